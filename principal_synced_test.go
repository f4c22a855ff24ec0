// Tests of what is on the disk before anybody acts on an event or is told of it, kind by kind.

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// syncedKinds says of each kind of event when it is synced, and what rests on that: storeNow is before the turn's
// messages and replies go out. A new kind has to be decided here.
var syncedKinds = map[string]struct {
	wait storeWait
	why  string
}{
	evQueued:       {storeNow, "who asked has the run's id; a tick that fired does not fire again"},
	evAssigned:     {storeNow, "the agent begins: nobody else may be given the run"},
	evRequeued:     {storeNow, "who retried is answered"},
	evCancelling:   {storeNow, "who cancelled is answered; the agent stops the run"},
	evTaskStopping: {storeNow, "the same, for a task"},
	evTaskAsked:    {storeNow, "what is asked for begins; an agent gives its run back once this is acknowledged"},
	evTaskPlaced:   {storeNow, "the agent begins: nobody else may be given the task"},
	evTaskAnswered: {storeNow, "the agent ends the task; who answered is answered"},
	evRunEnded:     {storeNow, "who waits is told how it ended; history is written behind it"},
	evRunFinished:  {storeSoon, "who waits for it asks for a sync; history is written behind it"},
	evRunEnding:    {storeSoon, "its agent waits for that to begin handlers"},
	evHandlers:     {storeNow, "another agent begins them: nobody else may"},
	evAdopted:      {storeNow, "a run that was told to be crashed goes on"},
	evPaused:       {storeNow, "who paused is answered"},
	evResumed:      {storeNow, "who resumed is answered"},
	evAcked:        {storeNow, "who acknowledged is answered"},
	evBatch:        {storeNow, "who asked has its id"},
	evBatchStopped: {storeNow, "who cancelled is answered"},
	evRecorded:     {storeNow, "who recorded it forgets it"},
	evWrapForgot:   {storeNow, "who had it forgotten is answered"},
	evAgentDrained: {storeNow, "who drained is answered"},
	evAgentUndrain: {storeNow, "the same"},
	evAgentForgot:  {storeNow, "the same"},

	evTold: {storeNow, "people were told: lost, they would be told once more"},

	evVersion:  {storeLate, "always in one line or turn with run.queued, which is synced"},
	evSchedule: {storeLate, "lost, the schedule begins to count at the next start"},
	evSkipped:  {storeLate, "lost, the tick is missed and decided again: it made no run"},
	evListening: {storeSoon, "lost, the listener begins at the next start, and what came in between is lost with " +
		"it"},
	evEventSkipped: {storeLate, "lost, the event comes again and is decided again: it made no run"},
	evArchived:     {storeLate, "lost, the run is dropped again"},
	evAckOver:      {storeLate, "lost, it is found again"},
	evAlarmRan: {storeLate, "in one turn with what was told, which is synced; lost without that, it failed, and is " +
		"tried again"},
	evBooted: {storeLate, "in one turn with the runs that it made, which are synced; lost without any, it made none"},
	evLeft: {storeLate, "its agent says it again with its next hello; the end of the run, which is synced, " +
		"comes behind it"},
	evAgentUp:   {storeLate, "agents say hello again"},
	evAgentLost: {storeLate, "every agent counts as lost at a start"},
	evRunStarted: {storeLate, "the agent has it in its spool until it is acknowledged, which is behind the next " +
		"fsync"},
	evTaskStarted:  {storeLate, "the same"},
	evTaskRetrying: {storeLate, "the same"},
	evTaskFinished: {storeLate, "the same"},
}

// syncedNames gives the kinds that state.go declares.
func syncedNames(t *testing.T) (kinds []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "state.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "ev") && len(spec.Values) == 1 {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				kind, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds = append(kinds, kind)
			}
		}
		return true
	})
	return kinds
}

// TestPrincipalSynced emits an event of each kind on a real loop and counts the fsyncs of the journal: one comes when
// it is promised, and none before.
func TestPrincipalSynced(t *testing.T) {
	names := syncedNames(t)
	if len(names) != len(syncedKinds) {
		t.Errorf("state.go has %d kinds of event, the table %d", len(names), len(syncedKinds))
	}
	for _, kind := range names {
		if syncedKinds[kind].why == "" {
			t.Errorf("nobody has said whether %s is to be on the disk before anybody is told, and why", kind)
		}
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, dir)
		synctest.Wait()
		var syncs atomic.Int64
		g.do(func() { // the writer sees it with what the loop hands over next
			g.p.store.files.sync = func(f *os.File) error {
				if strings.HasSuffix(f.Name(), ".jsonl") && strings.Contains(f.Name(), storeJournal+"/") {
					syncs.Add(1)
				}
				return nil
			}
		})
		seen := map[string]bool{}
		emit := func(e Event) {
			t.Helper()
			time.Sleep(2 * storeSyncDelay) // nothing older waits any more
			synctest.Wait()
			before := syncs.Load()
			e.Run, e.Workflow = orDefault(e.Run, "R1"), "w"
			g.do(func() {
				if err := g.p.emit(&e); err != nil {
					t.Errorf("%s: %v", e.Kind, err)
				}
			})
			wait, want := syncedKinds[e.Kind].wait, int64(0)
			if e.Ahead {
				wait = storeSoon
			}
			for _, at := range []struct {
				wait  storeWait
				delay time.Duration
			}{{storeNow, 0}, {storeSoon, storeSoonDelay}, {storeLate, storeSyncDelay}} {
				if wait == at.wait {
					want = 1
				}
				time.Sleep(at.delay)
				synctest.Wait()
				if is := syncs.Load() - before; is != want {
					t.Errorf("%s: %d fsyncs %v after its turn, want %d", e.Kind, is, at.delay, want)
				}
			}
			seen[e.Kind] = true
		}
		of := func(kind string) Event { return Event{Kind: kind, Agent: "x", Lease: 1, Task: "a", Attempt: 1} }
		ends := func(kind, state string) Event {
			e := of(kind)
			e.State = state
			return e
		}
		emit(Event{Kind: evVersion, Version: "v", Spec: &Workflow{ID: "w",
			Tasks: []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x", Agent: map[string]string{"disk": "tape"}}}}})
		for _, kind := range []string{evSchedule, evSkipped, evListening, evEventSkipped, evPaused,
			evResumed} {
			emit(Event{Kind: kind, Run: "-", By: "me"})
		}
		emit(Event{Kind: evBooted, Run: "-", Key: "boot"})
		emit(Event{Kind: evBatch, Batch: "B01M8N8336EXGHM5ZXHR9QKEC3K", Times: "0"})
		emit(Event{Kind: evBatchStopped, Batch: "B01M8N8336EXGHM5ZXHR9QKEC3K"})
		emit(Event{Kind: evRecorded, Run: "R0", Version: "v", State: runFailed, Own: stampOf(time.Now())})
		emit(Event{Kind: evWrapForgot})
		emit(Event{Kind: evAcked, Key: "k"})
		emit(Event{Kind: evAckOver, Key: "k"})
		emit(Event{Kind: evTold, Key: "k"})
		emit(Event{Kind: evAlarmRan, State: runFailed})
		emit(Event{Kind: evAgentUp, Agent: "x", Epoch: "e", Capacity: 1})
		emit(Event{Kind: evQueued, Version: "v"})
		emit(Event{Kind: evAssigned, Agent: "x"})
		for _, kind := range []string{evRunStarted, evTaskStarted, evTaskAsked, evTaskAnswered, evTaskRetrying,
			evTaskStopping} {
			emit(of(kind))
		}
		emit(Event{Kind: evTaskAsked, Agent: "x", Lease: 1, Task: "b", Asks: askAgent})
		emit(Event{Kind: evTaskPlaced, Agent: "y", Task: "b", Key: "part"})
		emit(ends(evTaskFinished, taskFailed))
		emit(of(evCancelling))
		emit(ends(evRunEnded, runCrashed))
		emit(of(evAdopted))
		emit(ends(evRunEnding, runFailed))
		emit(ends(evHandlers, runFailed))
		emit(Event{Kind: evAssigned, Agent: "x"})
		last := ends(evRunFinished, runFailed)
		last.Lease = 2
		emit(last)
		emit(Event{Kind: evRequeued, Attempt: 2})
		emit(Event{Kind: evAssigned, Agent: "x", Ahead: true})
		emit(ends(evRunEnded, runCancelled))
		emit(Event{Kind: evArchived})
		for _, kind := range []string{evAgentDrained, evAgentUndrain, evLeft, evAgentLost, evAgentForgot} {
			emit(Event{Kind: kind, Agent: "x"})
		}
		for _, kind := range names {
			if !seen[kind] {
				t.Errorf("no %s was tried", kind)
			}
		}
		g.stop()
	})
}

// The end of a run comes into the history only when the journal has it on the disk, and shares the fsync of what comes
// soon after it.
func TestPrincipalHistoryBehind(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, dir, principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 2)
		g.run("w")
		one := a.last()
		g.run("w")
		two := a.last()
		a.report(append(fleetBegun(one), fleetBegun(two)...)...)
		a.beat(2 * storeSyncDelay)
		synctest.Wait()
		var mu sync.Mutex
		order := ""
		g.do(func() {
			files := &g.p.store.files
			write := files.write
			files.sync = func(f *os.File) error {
				mu.Lock()
				defer mu.Unlock()
				order += "sync "
				return nil
			}
			files.write = func(f *os.File, b []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(f.Name(), historyFolder+"/") {
					order += "history "
				}
				return write(f, b)
			}
		})
		for i, as := range []*assignment{one, two} {
			a.send(&agentMsg{Op: msgReport, N: a.n + uint64(i+1),
				Items: []agentItem{fleetEvent(as, evRunFinished, "", runSucceeded)}})
		}
		a.n += 2
		time.Sleep(storeSoonDelay)
		synctest.Wait()
		mu.Lock()
		if order != "sync history " {
			t.Errorf("the disk saw %s", order)
		}
		mu.Unlock()
		g.stop()
	})
}

// The events of a turn are handed to the writer before the ends of its runs: it may take the first without the second.
func TestPrincipalHistoryQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 1)
		g.run("w")
		as := a.last()
		rest := make(chan bool)
		g.do(func() {
			write := g.p.store.files.write
			g.p.store.files.write = func(f *os.File, b []byte) (int, error) {
				<-rest
				return write(f, b)
			}
		})
		for i, item := range append(fleetBegun(as), fleetEvent(as, evRunFinished, "", runSucceeded)) {
			a.send(&agentMsg{Op: msgReport, N: uint64(i + 1), Items: []agentItem{item}})
		}
		order := ""
		g.do(func() {
			g.p.store.mu.Lock()
			defer g.p.store.mu.Unlock()
			for _, op := range g.p.store.queue {
				order += map[bool]string{false: "events ", true: "history "}[op.run != nil]
			}
		})
		close(rest)
		if !strings.HasSuffix(order, "events history ") {
			t.Errorf("the writer is to do %s", order)
		}
		g.stop()
	})
}

// TestStoreFilesSync: what forces a file to the disk is the system's call, and not only counted by its callers.
func TestStoreFilesSync(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, noSync := range []bool{false, true} {
		files := storeFilesOf(root, noSync)
		f, err := files.open("f", os.O_RDWR|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := files.sync(f); (err == nil) != noSync { // the system refuses a file that is closed
			t.Errorf("sync of a closed file without sync %v: %v", noSync, err)
		}
	}
}
