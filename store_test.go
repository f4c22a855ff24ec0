// store_test.go: the store against a model with random operations, on a disk that fails and forgets, and against kill
// -9. Every store that storeRig opens is closed and folded again at the end.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// storeRig is an open store, the State that its owner holds, and everything that was ever appended.
type storeRig struct {
	t     testing.TB
	dir   string
	opt   storeOptions
	s     *store
	state *State
	log   [][]byte // the events, encoded when they were appended; the first has number 1
	clock time.Time
	rng   *rand.Rand
	n     uint64        // the agent's numbering
	acked atomic.Uint64 // the newest event whose done was called
	open  bool
	gone  map[historyKey]bool // runs that a trim took out of the history, or was to
}

func storeRigOpen(t testing.TB, opt storeOptions) *storeRig {
	t.Helper()
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	g := &storeRig{t: t, dir: opt.Dir, opt: opt, clock: time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC),
		rng:  rand.New(rand.NewPCG(1, 2)),
		gone: map[historyKey]bool{}}
	if report := g.reopen(); report.Notes != nil {
		t.Fatalf("a fresh store has notes: %q", report.Notes)
	}
	t.Cleanup(g.verify)
	return g
}

// reopen opens the folder, closing it first if it is open.
func (g *storeRig) reopen() storeReport {
	g.t.Helper()
	g.stop()
	s, state, report, err := storeOpen(g.opt)
	if err != nil {
		g.t.Fatalf("open store: %v", err)
	}
	g.s, g.state, g.open = s, state, true
	return report
}

func (g *storeRig) stop() {
	g.t.Helper()
	if g.open {
		g.open = false
		if err := g.s.close(); err != nil {
			g.t.Fatalf("close store: %v", err)
		}
	}
}

// verify is the invariant of every store test: what is on disk folds to the State that is held.
func (g *storeRig) verify() {
	if g.t.Failed() && g.open {
		g.s.close()
		g.open = false
	}
	if !g.open {
		return
	}
	held := storeText(g.t, g.state)
	g.opt.files = nil
	report := g.reopen()
	if found := storeText(g.t, g.state); !bytes.Equal(held, found) {
		g.t.Errorf("the files fold to another state (notes %q):\nheld  %s\nfound %s", report.Notes, held, found)
	}
	g.stop()
}

func storeText(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// add applies and appends the events, as the principal's loop does.
func (g *storeRig) add(sync bool, events ...*Event) {
	g.t.Helper()
	for _, e := range events {
		if err := g.state.apply(e); err != nil && e.N == 0 {
			g.t.Fatal(err)
		}
	}
	g.push(sync, events)
}

// push appends events that were applied.
func (g *storeRig) push(sync bool, events []*Event) {
	last, wait := g.s.seq+uint64(len(events)), storeLate
	if sync {
		wait = storeNow
	}
	g.s.append(events, wait, func() {
		if g.acked.Load() > last {
			g.t.Errorf("batch up to %d was acknowledged after %d", last, g.acked.Load())
		}
		g.acked.Store(last)
	})
	g.state.Seq = last
	for _, e := range events {
		g.log = append(g.log, storeText(g.t, e))
	}
}

// wait returns when all that was appended is on the disk, and the history of it written: that comes after the journal
// in the writer's round, so that the second answer is of a later round.
func (g *storeRig) wait() {
	for range 2 {
		done := make(chan bool)
		g.s.append(nil, storeNow, func() { close(done) })
		<-done
	}
}

// random makes n events that fit, most of them, and appends them in small batches.
func (g *storeRig) random(n int) {
	waits := g.rng.IntN(5) // of 4: how often somebody waits for a batch
	for n > 0 {
		var batch []*Event
		for range 1 + g.rng.IntN(4) {
			e := g.event()
			err := g.state.apply(e)
			if err != nil && e.N == 0 {
				continue // the principal would not have made it
			}
			batch = append(batch, e)
		}
		var ended []*Run // that is always waited for
		for _, e := range batch {
			if r := g.state.Runs[e.Run]; r != nil && e.ends(r) {
				ended = append(ended, r)
			}
		}
		n -= len(batch)
		g.push(len(ended) > 0 || g.rng.IntN(4) < waits, batch)
		for _, r := range ended {
			g.s.history(r, nil)
		}
	}
}

// event makes a random event; many of them do not fit the state.
func (g *storeRig) event() *Event {
	g.clock = g.clock.Add(time.Duration(g.rng.IntN(100000)) * time.Millisecond)
	e := &Event{Time: stampOf(g.clock), Workflow: fmt.Sprintf("flow %d/ü.", g.rng.IntN(3))}
	var run *Run
	for _, id := range sortedKeys(g.state.Runs) { // a seed makes the same choice each time
		if run == nil || g.rng.IntN(3) > 0 {
			run = g.state.Runs[id]
		}
	}
	pick := func(texts ...string) string { return texts[g.rng.IntN(len(texts))] }
	for v := range 2 {
		if hash := fmt.Sprintf("v%d", v); g.state.Versions[hash] == nil {
			e.Kind, e.Version = evVersion, hash
			e.Spec = &Workflow{ID: e.Workflow, Tasks: []Task{{ID: "a", Run: "true && <x>"},
				{ID: "b", Depends: []string{"a"}, Timeout: Duration(time.Minute)}},
				OnExit: []Task{{ID: "on_exit", Run: "true"}}}
			return e
		}
	}
	switch k := g.rng.IntN(20); {
	case k < 6 || run == nil:
		e.Kind, e.Run, e.Version, e.Trigger = evQueued, runID(g.clock, g.state.LastRun), pick("v0", "v1"), triggerCron
		e.Scheduled, e.Key = e.Time, pick("", "key "+e.Run)
	case k == 6:
		e.Kind, e.By = pick(evPaused, evResumed, evSkipped, evSchedule), "me <me@x>"
	case k == 7:
		e.Kind, e.Agent, e.Capacity, e.Epoch = pick(evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain,
			evAgentForgot), pick("one", "two"), 3, "e1"
	case k < 10:
		e.Kind, e.Run, e.Agent = evAssigned, run.ID, pick("one", "two")
	case k == 10:
		e.Kind, e.Run, e.Attempt, e.All = evRequeued, run.ID, run.Attempt+1, g.rng.IntN(3) == 0
	case k == 11:
		e.Kind, e.Run, e.State, e.Agent = pick(evRunEnded, evAdopted, evCancelling, evHandlers), run.ID,
			pick(runCancelled, runCrashed), run.Agent
	case k == 12:
		e.Kind, e.Run, e.Task, e.Reason, e.By, e.From = evTaskStopping, run.ID, pick("a", "b", "c"), "cancelled by me",
			"me", "here"
	default:
		g.n++
		e.Kind, e.Run, e.Agent, e.Epoch, e.N = pick(evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished,
			evRunEnding, evRunFinished), run.ID, run.Agent, "e1", g.n
		e.Task, e.Attempt, e.Seconds, e.State, e.Workflow = pick("a", "b", "on_exit", "c"), 1+g.rng.IntN(3),
			g.rng.Float64(),
			pick(taskSucceeded, taskFailed, taskFailed, taskRunning), ""
		e.Outputs = map[string]string{"k": "\u2028 é\x00"}
	}
	return e
}

// matches says whether the state is what the first state.Seq events fold to. Pruning is no event: both are pruned.
func (g *storeRig) matches(state *State) {
	g.t.Helper()
	if state.Seq > uint64(len(g.log)) {
		g.t.Fatalf("event %d was invented: only %d were appended", state.Seq, len(g.log))
	}
	want := stateNew()
	for _, text := range g.log[:state.Seq] {
		e := &Event{}
		if err := json.Unmarshal(text, e); err != nil {
			g.t.Fatal(err)
		}
		want.apply(e)
	}
	want.Seq = state.Seq
	far := g.clock.Add(1000 * time.Hour)
	want.prune(far)
	var found State
	if err := json.Unmarshal(storeText(g.t, state), &found); err != nil {
		g.t.Fatal(err)
	}
	found.prune(far)
	if a, b := storeText(g.t, want), storeText(g.t, found); !bytes.Equal(a, b) {
		g.t.Fatalf("state after event %d:\nwant  %s\nfound %s", state.Seq, a, b)
	}
}

// verifyMid lets the writer come to rest and reads the events back.
func (g *storeRig) verifyMid() {
	synctest.Wait()
	from := uint64(len(g.log)) / 2
	want := from
	_, err := g.s.readEvents(from, 0, func(e *Event) bool {
		if from == want && e.Seq > want { // older ones were removed
			want = e.Seq
		}
		want = max(want, 1)
		if e.Seq != want || !bytes.Equal(storeText(g.t, e), g.log[e.Seq-1]) {
			g.t.Fatalf("event %d reads as %s, want number %d", e.Seq, storeText(g.t, e), want)
		}
		want++
		return true
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestStoreLock(t *testing.T) {
	g := storeRigOpen(t, storeOptions{})
	_, _, _, err := storeOpen(g.opt)
	want := fmt.Sprintf("process %d holds it since 20", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), g.dir) {
		t.Fatalf("error %v, want %q", err, want)
	}
}

// TestStoreSnapshotRemovesSegments checks that the journal stays within its bounds, and that what stays has no gap.
func TestStoreSnapshotRemovesSegments(t *testing.T) {
	g := storeRigOpen(t, storeOptions{SegmentBytes: 4 << 10, Keep: 10 << 10, NoSync: true})
	for range 60 {
		g.random(30)
		if g.s.wantsSnapshot() {
			saved := make(chan error)
			g.s.snapshot(g.state, func(err error) { saved <- err })
			if err := <-saved; err != nil {
				t.Fatal(err)
			}
		}
	}
	segments, err := g.s.files.segments()
	if err != nil || len(segments) < 2 || len(segments) > 9 || segments[0].first == 1 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	next := uint64(0)
	g.verifyFrom(&next)
	if next != g.state.Seq+1 {
		t.Fatalf("events end before %d, want %d", next, g.state.Seq+1)
	}
}

// verifyFrom pages through the events that are there.
func (g *storeRig) verifyFrom(next *uint64) {
	g.wait()
	for {
		n, before := 0, *next
		after, err := g.s.readEvents(*next, 7, func(e *Event) bool {
			n++
			if !bytes.Equal(storeText(g.t, e), g.log[e.Seq-1]) {
				g.t.Fatalf("event %d reads as %s", e.Seq, storeText(g.t, e))
			}
			return true
		})
		if err != nil || n > 7 || n > 0 && after < before+uint64(n) {
			g.t.Fatalf("read from %d: %d events, next %d, %v", before, n, after, err)
		}
		*next = after
		if n == 0 {
			return
		}
	}
}

// TestStoreReserve: on a full disk the journal goes on, in the bytes that were set aside.
func TestStoreReserve(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		g.random(10)
		synctest.Wait()
		if info, err := os.Stat(filepath.Join(dir, "reserve")); err != nil || info.Size() != storeReserve {
			t.Fatalf("reserve: %v, %v", info, err)
		}
		disk.set(func(op string) error {
			if _, err := os.Stat(filepath.Join(dir, "reserve")); err == nil && op == "write" {
				return syscall.ENOSPC
			}
			return nil
		})
		g.random(10)
		g.add(true)
		synctest.Wait()
		if g.s.failing() != nil || g.acked.Load() != g.state.Seq {
			t.Fatalf("failing is %v, acknowledged %d of %d", g.s.failing(), g.acked.Load(), g.state.Seq)
		}
		g.s.snapshot(g.state, nil) // the disk is still full
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, "reserve")); err == nil {
			t.Fatal("the reserve is there again on a full disk")
		}
		disk.set(nil)
		time.Sleep(storeReserveAgain)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, "reserve")); err != nil {
			t.Fatal("the reserve does not come back")
		}
	})
}

// TestStoreBehind: a disk that hangs makes failing say so, before memory is full.
func TestStoreBehind(t *testing.T) {
	dir := t.TempDir()
	g := storeRigOpen(t, storeOptions{Dir: dir, NoSync: true})
	release := make(chan bool)
	g.s.files.write = func(f *os.File, b []byte) (int, error) {
		<-release
		return f.Write(b)
	}
	for range storeBacklogMax/1000 + 1 {
		g.add(false, &Event{Kind: evPaused, By: strings.Repeat("x", 1000)})
	}
	if err := g.s.failing(); err != errStoreBehind {
		t.Fatalf("failing is %v", err)
	}
	close(release)
	g.wait()
	if err := g.s.failing(); err != nil {
		t.Fatalf("failing is %v after all was written", err)
	}
}

// TestStoreKill kills a real process that appends as fast as it can: what it acknowledged is there.
func TestStoreKill(t *testing.T) {
	if dir := os.Getenv("CDKTR_TEST_STORE"); dir != "" {
		storeKillChild(t, dir)
		return
	}
	g := storeRigOpen(t, storeOptions{})
	g.stop()
	for round := range 4 {
		child := exec.Command(os.Args[0], "-test.run=^TestStoreKill$")
		child.Env = append(os.Environ(), "CDKTR_TEST_STORE="+g.dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var acked uint64
		for range 40 + 100*round {
			if _, err := fmt.Fscanln(out, &acked); err != nil {
				t.Fatalf("read child: %v", err)
			}
		}
		child.Process.Kill()
		for _, err := fmt.Fscanln(out, &acked); err == nil; { // what it still said before it died
			_, err = fmt.Fscanln(out, &acked)
		}
		child.Wait()
		s, state, report, err := storeOpen(storeOptions{Dir: g.dir, SegmentBytes: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		if state.Seq < acked || len(state.Workflows) != int(state.Seq) {
			t.Fatalf("round %d: acknowledged %d, there are %d, %d applied: %q", round, acked, state.Seq,
				len(state.Workflows), report.Notes)
		}
	}
}

// storeKillChild appends until it is killed, and says the number of each event that is on the disk.
func storeKillChild(t *testing.T, dir string) {
	s, state, _, err := storeOpen(storeOptions{Dir: dir, SegmentBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	room := make(chan bool, 8)
	for {
		room <- true
		n := state.Seq + 1
		e := &Event{Kind: evPaused, Workflow: fmt.Sprint("w", n), By: "x"}
		s.append([]*Event{e}, storeWait(n%3), func() { // late, soon and now
			os.Stdout.WriteString(fmt.Sprintln(n))
			<-room
		})
		if n%3 == 0 {
			s.append(nil, storeNow, nil)
		}
		state.apply(e)
		if s.wantsSnapshot() {
			s.snapshot(state, nil)
		}
	}
}

// TestStoreWear: a run of one task is about a kilobyte and at most two fsyncs.
func TestStoreWear(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		g.add(true, &Event{Kind: evVersion, Version: "0123456789abcdef",
			Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "main"}}}})
		synctest.Wait()
		size := func() (n int64) {
			filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
				if info, err := e.Info(); err == nil && !e.IsDir() {
					n += info.Size()
				}
				return nil
			})
			return n
		}
		before, syncs := size(), disk.syncs
		now := stampOf(time.Now())
		id, agent, exit := runID(time.Now(), ""), "raspberry-1", 0
		g.add(true, // a run is queued and assigned in one turn of the principal's loop, where an agent is free
			&Event{Time: now, Kind: evQueued, Run: id, Workflow: "backup", Version: "0123456789abcdef",
				Trigger: triggerCron, Scheduled: now},
			&Event{Time: now, Kind: evAssigned, Run: id, Agent: agent})
		synctest.Wait()
		for n, kind := range []string{evRunStarted, evTaskStarted, evTaskFinished, evRunFinished} {
			e := &Event{Time: now, Kind: kind, Run: id, Agent: agent, Epoch: "01KZZZZZ", N: uint64(n + 1),
				State: runSucceeded}
			if kind == evTaskStarted || kind == evTaskFinished {
				e.Task, e.Attempt, e.Exit = "main", 1, &exit
			}
			g.add(false, e)
		}
		g.s.history(g.state.Runs[id], nil)
		time.Sleep(storeSyncDelay)
		synctest.Wait()
		bytes, syncs := size()-before, disk.syncs-syncs
		if bytes > 2000 || syncs > 2 {
			t.Fatalf("a run of one task: %d bytes, %d fsyncs", bytes, syncs)
		}
		t.Logf("a run of one task: %d bytes, %d fsyncs", bytes, syncs)
	})
}

// BenchmarkStoreAppend appends batches that are waited for, 64 at a time, with real fsyncs.
func BenchmarkStoreAppend(b *testing.B) {
	g := storeRigOpen(b, storeOptions{})
	var fsyncs atomic.Int64
	next := g.s.files.sync
	g.s.files.sync = func(f *os.File) error { fsyncs.Add(1); return next(f) }
	room := make(chan bool, 64)
	for b.Loop() {
		room <- true
		e := &Event{Time: stampOf(g.clock), Kind: evTaskFinished, Run: "01KZZZZZZZZZZZZZZZZZZZZZZZ", Task: "main",
			Agent: "one", Epoch: "e", N: g.s.seq + 1, State: taskSucceeded}
		g.state.apply(e)
		g.s.append([]*Event{e}, storeNow, func() { <-room })
	}
	for range cap(room) {
		room <- true
	}
	g.state.Seq = g.s.seq
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/float64(fsyncs.Load()), "events/fsync")
}
