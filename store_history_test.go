// store_history_test.go: the history of finished runs: order, filters, what a list of the newest costs, runs with two
// lines, crashes between journal and history, and names that try to get out of their folder.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// historyRun makes a finished run; ids rise with n.
func historyRun(n int, workflow, state string, finished time.Time) *Run {
	id := runID(finished.Add(-time.Minute), "")
	return &Run{ID: id, Workflow: workflow, State: state, Attempt: 1, Params: map[string]string{"n": fmt.Sprint(n)},
		Queued: stampOf(finished.Add(-time.Minute)), Finished: stampOf(finished),
		Tasks: []TaskRun{{Task: "main", State: state}}}
}

func historyIDs(t testing.TB, s *store, filter historyFilter) (ids []string) {
	t.Helper()
	if err := s.historyList(filter, func(r *Run) bool { ids = append(ids, r.ID); return true }); err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestHistoryList compares random lists with the same lists made by hand.
func TestHistoryList(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	rng := rand.New(rand.NewPCG(5, 5))
	begin := time.Date(2025, 11, 20, 0, 0, 0, 0, time.UTC)
	flows, states := []string{"a", "b c/..", "ü"}, []string{runSucceeded, runFailed}
	var all []*Run
	at := begin
	for n := range 600 {
		at = at.Add(time.Duration(1+rng.IntN(8*3600)) * time.Second)
		r := historyRun(n, flows[rng.IntN(3)], states[rng.IntN(2)], at)
		if n > 20 && rng.IntN(10) == 0 { // retried: a later line of an earlier run
			i := rng.IntN(len(all))
			r.ID, r.Workflow, r.Attempt = all[i].ID, all[i].Workflow, 2
			all = slices.Delete(all, i, i+1)
		}
		if rng.IntN(10) == 0 {
			r.Params["long"] = strings.Repeat("x", rng.IntN(20000))
		}
		all = append(all, r)
		g.s.history(r, nil)
	}
	g.wait()
	for range 60 {
		f := historyFilter{Workflow: append(flows, "")[rng.IntN(4)], State: append(states, "")[rng.IntN(3)],
			Limit: rng.IntN(50)}
		if rng.IntN(2) == 0 {
			f.Since = begin.Add(time.Duration(rng.IntN(100*24)) * time.Hour)
		}
		if rng.IntN(2) == 0 {
			f.Before = begin.Add(time.Duration(rng.IntN(100*24)) * time.Hour)
		}
		var want []string
		for _, r := range slices.Backward(all) {
			if f.wants(r) && (f.Limit == 0 || len(want) < f.Limit) {
				want = append(want, r.ID)
			}
		}
		if got := historyIDs(t, g.s, f); !slices.Equal(got, want) {
			t.Fatalf("%+v gives\n%v, want\n%v", f, got, want)
		}
	}
	for _, r := range all[:100] {
		if found, err := g.s.historyFind(r.ID, nil); err != nil || string(storeText(t, found)) != string(storeText(t,
			r)) {
			t.Fatalf("find %s: %v, %s", r.ID, err, storeText(t, found))
		}
	}
	for _, id := range []string{"", "x", runID(begin, ""), strings.Repeat("Z", 26)} {
		if r, err := g.s.historyFind(id, nil); !errors.Is(err, errHistoryNone) {
			t.Fatalf("find %q: %v, %v", id, r, err)
		}
	}
}

// TestHistoryNewestIsCheap lists the newest 50 of many runs and counts the blocks read.
func TestHistoryNewestIsCheap(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var last *Run
	for n := range 20000 {
		at = at.Add(time.Second)
		last = historyRun(n, "w", runSucceeded, at)
		g.s.history(last, nil)
	}
	g.wait()
	var opens atomic.Int64
	open := g.s.files.open
	g.s.files.open = func(name string, flag int) (*os.File, error) { opens.Add(1); return open(name, flag) }
	if ids := historyIDs(t, g.s, historyFilter{Limit: 50}); len(ids) != 50 || ids[0] != last.ID {
		t.Fatalf("listed %v", ids)
	}
	if n := opens.Load(); n > 3 { // 4 + 8 + 16 kB
		t.Fatalf("the newest 50 of 20,000 runs took %d blocks", n)
	}
	opens.Store(0)
	if _, err := g.s.historyFind(last.ID, nil); err != nil || opens.Load() > 1 {
		t.Fatalf("find the newest: %v, %d blocks", err, opens.Load())
	}
}

func TestHistoryName(t *testing.T) {
	seen := map[string]string{}
	for id, want := range map[string]string{
		"backup": "backup", "a.b c-ü_1": "a.b c-ü_1", "": "%", ".": "%2E", "..": "%2E.", ".hidden": "%2Ehidden",
		"a/../b":      "a%2F..%2Fb",
		"/etc/passwd": "%2Fetc%2Fpasswd", "%2E": "%252E", "a\x00b\n": "a%00b%0A", "\xff": "%FF", "a:b*": "a%3Ab%2A",
		"\u202e": "%E2%80%AE",
	} {
		if got := idFolder(id); got != want || seen[got] != "" {
			t.Errorf("folder of %q is %q (also of %q), want %q", id, got, seen[got], want)
		}
		seen[want] = id
	}
	long := idFolder(strings.Repeat("ü", 1000))
	if len(long) > 200 || long == idFolder(strings.Repeat("ü", 1001)) {
		t.Errorf("long id gives %q", long)
	}
}

// TestHistoryStays writes runs of workflows whose ids try to get out, also through a symbolic link.
func TestHistoryStays(t *testing.T) {
	top := t.TempDir()
	dir, out := filepath.Join(top, "state"), filepath.Join(top, "out")
	os.Mkdir(out, 0o700)
	g := storeRigOpen(t, storeOptions{Dir: dir, NoSync: true})
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	ids := []string{"..", "../..", "../../out/x", "/tmp", ".", "", "a/b", strings.Repeat("../", 200)}
	for n, id := range ids {
		g.s.history(historyRun(n, id, runFailed, at.Add(time.Duration(n)*time.Second)), nil)
	}
	g.wait()
	for _, id := range ids { // "" is a filter for all of them
		want := 1
		if id == "" {
			want = len(ids)
		}
		if got := historyIDs(t, g.s, historyFilter{Workflow: id}); len(got) != want {
			t.Errorf("runs of %q: %v", id, got)
		}
	}
	if err := os.Symlink(out, filepath.Join(dir, "history", "evil")); err != nil {
		t.Fatal(err)
	}
	g.s.history(historyRun(1, "evil", runFailed, at), nil)
	g.wait()
	if err := g.s.failing(); err == nil {
		t.Error("a link out of the state folder was followed")
	}
	os.Remove(filepath.Join(dir, "history", "evil"))
	for _, folder := range []string{top, out} {
		entries, _ := os.ReadDir(folder)
		if want := map[string]int{top: 2, out: 0}[folder]; len(entries) != want {
			t.Errorf("%s holds %v", folder, entries)
		}
	}
}

// TestHistoryAfterCrash takes lines off the end of a history file, whole and torn, as a crash does: the next start
// puts them back, once.
func TestHistoryAfterCrash(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	g.random(400)
	g.stop()
	files, _ := filepath.Glob(filepath.Join(g.dir, "history", "*", "*.jsonl"))
	if len(files) == 0 {
		t.Fatal("no history")
	}
	for round := range 12 {
		lost := false
		for i, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			cut := len(text) * ((round + i) % 5) / 4
			lost = lost || cut < len(text)
			if err := os.WriteFile(name, text[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report := g.reopen()
		if (report.History > 0) != lost {
			t.Fatalf("round %d: %d runs were put back", round, report.History)
		}
		g.wait()
		storeHistoryHolds(t, g)
		g.stop()
		for _, name := range files {
			text, _ := os.ReadFile(name)
			seen := map[string]bool{}
			for line := range strings.Lines(string(text)) {
				if seen[line] || !storeSound([]byte(strings.TrimSuffix(line, "\n"))) {
					t.Fatalf("round %d: %s has a line twice, or damaged: %s", round, name, line)
				}
				seen[line] = true
			}
		}
	}
}

// TestHistoryPages reads a history page by page. Some runs finished at one instant, and some lines are not in the order
// of finishing, because agents' clocks differ and reports are late. Each run is on one page.
func TestHistoryPages(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	const runs = 400
	for i := range runs {
		late := time.Duration(g.rng.IntN(4)*g.rng.IntN(2000)) * time.Millisecond
		at := g.clock.Add(time.Duration(i/5)*time.Second - late)
		g.s.history(&Run{ID: fmt.Sprintf("R%03d", (i*7)%runs), Workflow: fmt.Sprint("w", g.rng.IntN(3)),
			State: runSucceeded, Finished: stampOf(at)}, nil)
	}
	g.wait()
	for _, size := range []int{1, 3, 50} {
		seen, behind, behindAt := map[string]int{}, "", time.Time{}
		for more := true; more; {
			given, last, lastAt, place := 0, "", time.Time{}, time.Time{}
			filter := historyFilter{Limit: size, behind: behind, behindAt: behindAt,
				tell: func(at time.Time) { place = at }}
			if err := g.s.historyList(filter, func(r *Run) bool {
				given++
				seen[r.ID]++
				last, lastAt = r.ID, place
				return true
			}); err != nil {
				t.Fatal(err)
			}
			more, behind, behindAt = given == size, last, lastAt
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("pages of %d: run %s is on %d", size, id, n)
			}
		}
		if len(seen) != runs {
			t.Errorf("pages of %d: %d of %d runs", size, len(seen), runs)
		}
	}
}

// TestHistoryQueuedAgain: a run failed, was queued again in the same turn, and succeeded, so that the principal wrote
// only its last end. The next start must not add the failure behind that. A torture test of 15 minutes found this.
func TestHistoryQueuedAgain(t *testing.T) {
	g := storeRigOpen(t, storeOptions{NoSync: true})
	id, agent := runID(g.clock, ""), "one"
	of := func(kind, state string, attempt int) *Event {
		g.clock = g.clock.Add(time.Second)
		e := &Event{Time: stampOf(g.clock), Kind: kind, Workflow: "w", Run: id, State: state, Attempt: attempt,
			Version: "v0"}
		switch kind {
		case evRunStarted, evRunFinished:
			g.n++
			e.Agent, e.Epoch, e.N, e.Lease = agent, "e1", g.n, g.state.Runs[id].Lease
		case evAssigned:
			e.Agent = agent
		}
		return e
	}
	g.add(true, &Event{Time: stampOf(g.clock), Kind: evVersion, Workflow: "w", Version: "v0",
		Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "x"}}}},
		&Event{Time: stampOf(g.clock), Kind: evAgentUp, Agent: agent, Capacity: 1, Epoch: "e1"})
	g.add(true, of(evQueued, "", 0))
	g.add(true, of(evAssigned, "", 0))
	g.add(true, of(evRunStarted, "", 0))
	failed := of(evRunFinished, runFailed, 0)
	g.add(true, failed, of(evRequeued, "", 2))
	g.add(true, of(evAssigned, "", 0))
	g.add(true, of(evRunStarted, "", 0))
	g.add(true, of(evRunFinished, runSucceeded, 0))
	if got := g.state.Runs[id].State; got != runSucceeded {
		t.Fatalf("the run is %s", got)
	}
	g.s.history(g.state.Runs[id].clone(), nil)
	g.wait()
	for range 2 {
		if report := g.reopen(); report.History != 0 {
			t.Errorf("%d lines were put back", report.History)
		}
		g.wait()
		if r, err := g.s.historyFind(id, nil); err != nil || r.State != runSucceeded || r.Attempt != 2 {
			t.Errorf("the history has %+v, %v", r, err)
		}
	}
	g.stop()
}

// TestHistoryLongLine: damage has made a line that is longer than any that is written, at the end of a file or within
// it. Readers pass over it, with no more memory than a good line takes. Not parallel: it counts what is allocated.
func TestHistoryLongLine(t *testing.T) {
	g := storeRigOpen(t, storeOptions{NoSync: true})
	at := time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
	runs := []*Run{historyRun(1, "w", runSucceeded, at), historyRun(2, "w", runSucceeded, at.Add(time.Minute))}
	g.s.history(runs[0], nil)
	g.wait()
	file := filepath.Join(g.dir, historyPlaceOf(runs[0]).file())
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, info.Size()+8*storeLineMax); err != nil { // a hole, which takes no room
		t.Fatal(err)
	}
	frugal := func(what string, fn func()) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 6*storeLineMax {
			t.Errorf("%s: %d MB were allocated", what, took>>20)
		}
	}
	want := func(what string, ids ...string) {
		t.Helper()
		frugal(what, func() {
			if got := historyIDs(t, g.s, historyFilter{}); !slices.Equal(got, ids) {
				t.Errorf("%s: %q, want %q", what, got, ids)
			}
		})
	}
	want("at the end", runs[0].ID)
	looks := 0
	if err := g.s.historyList(historyFilter{over: func() bool { looks++; return looks > 1 }},
		func(*Run) bool { return true }); !errors.Is(err, errHistoryOver) {
		t.Errorf("nobody waits any more: %v", err)
	}
	frugal("append", func() {
		g.s.history(runs[1], nil)
		g.wait()
	})
	want("appended", runs[1].ID, runs[0].ID)

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(append([]byte("\n"), text[info.Size():]...), info.Size()+8*storeLineMax); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, len(text)-int(info.Size())), info.Size()); err != nil {
		t.Fatal(err)
	}
	want("within", runs[1].ID, runs[0].ID)
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 2*storeLineMax); err != nil {
		t.Fatal(err)
	}
	want("nothing else")
}

// TestHistoryLine: any run comes back from its line as it was, and the line of an ordinary run is short.
func TestHistoryLine(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	zero, three := 0, 3
	at := func() Stamp { return stampOf(time.Date(2026, 1, 31, 12, 0, 0, rng.IntN(4)*1e6, time.UTC)) }
	for range 500 {
		r := &Run{ID: "R", Workflow: "w", LogDay: []string{"", "2026-01-30", "2026-01-31"}[rng.IntN(3)],
			State: runFailed, Reason: []string{"", "why <é>"}[rng.IntN(2)], Attempt: rng.IntN(3), Lease: rng.IntN(3),
			Params:  map[string]string{},
			Started: at(), Finished: at(), Seconds: float64(rng.IntN(3)) / 1000, Tasks: []TaskRun{}}
		if rng.IntN(2) == 0 {
			r.Trigger, r.By, r.Agent, r.Version, r.Scheduled, r.Queued = "manual", "me", "x", "v", at(), at()
			r.Priority, r.Ahead, r.Force, r.Lost, r.LogAt, r.Cancelling = rng.IntN(2), true, true, true, 1<<40, "stop"
			r.OwnStarted, r.OwnFinished, r.Left = at(), at(), []LeftProcess{{PID: 7}}
		}
		if rng.IntN(2) == 0 {
			r.Params["k"] = "v"
		}
		if rng.IntN(4) == 0 {
			r.Started, r.Lease = Stamp{}, 0
		}
		for range rng.IntN(4) {
			task := TaskRun{Task: "a", State: []string{taskSucceeded, taskFailed, taskSkipped}[rng.IntN(3)],
				Exit:     []*int{nil, &zero, &three}[rng.IntN(3)],
				Attempts: rng.IntN(3), Started: at(), Seconds: float64(rng.IntN(4)) / 1000}
			if task.Finished = stampOf(task.Started.Add(time.Millisecond)); rng.IntN(4) == 0 {
				task.Started, task.Finished = Stamp{}, Stamp{}
			}
			if rng.IntN(4) == 0 {
				task.Cancelling, task.Outputs = "cancelled by me", map[string]string{"k": "v", "a": ""}
			}
			for n := range rng.IntN(3) * rng.IntN(2) {
				task.Began = at()
				task.Earlier = append(task.Earlier, TaskAttempt{Attempt: n + 1, Reason: "exit 3",
					Exit: []*int{nil, &three}[rng.IntN(2)], Started: at(), Seconds: float64(rng.IntN(4)) / 1000})
			}
			r.Tasks = append(r.Tasks, task)
		}
		var c storeEncoder
		if err := c.add(historyLineOf(r)); err != nil {
			t.Fatal(err)
		}
		line := bytes.TrimSuffix(c.take(), []byte("\n"))
		if err := c.addRun(r); err != nil || !bytes.Equal(bytes.TrimSuffix(c.take(), []byte("\n")), line) {
			t.Fatalf("%v: not as encoding/json has it:\n%s", err, line)
		}
		found, err := historyDecode(line)
		if err != nil || !bytes.Equal(storeText(t, r), storeText(t, found)) {
			t.Fatalf("%v\n%s\n%s\n%s", err, line, storeText(t, r), storeText(t, found))
		}
	}
	began := at()
	text := storeText(t, historyLineOf(&Run{ID: "R", State: runSucceeded, Attempt: 1, Lease: 1, LogDay: "2026-01-31",
		Params: map[string]string{}, Started: began, Finished: began,
		Tasks: []TaskRun{{Task: "a", State: taskSucceeded, Exit: &zero, Attempts: 1, Started: began,
			Finished: stampOf(began.Add(time.Second)), Seconds: 1}}}))
	if !bytes.Contains(text, []byte(`"tasks":[{"task":"a","state":"succeeded","seconds":1}]}`)) ||
		bytes.Contains(text, []byte(`"attempt"`)) || bytes.Contains(text, []byte(`"log_day"`)) {
		t.Errorf("%s", text)
	}
}

// TestStoreTrimUnsaved: a history is not cut when the snapshot before that could not be saved: else the next start
// would add again what was cut off.
func TestStoreTrimUnsaved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		g.add(true, &Event{Kind: evVersion, Version: "v", Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}})
		for i := range 9 {
			id := fmt.Sprint("R", i)
			g.add(true, &Event{Kind: evQueued, Workflow: "w", Run: id, Version: "v"},
				&Event{Kind: evRunEnded, Run: id, State: runFailed, Time: stampOf(g.clock)})
			g.s.history(g.state.Runs[id], nil)
		}
		synctest.Wait()
		folder := historyFolder + "/w"
		count := func() int { return len(storeHistoryLines(t, dir+"/"+folder+"/*.jsonl")) }
		before := count()
		if before != 9 {
			t.Fatalf("%d lines", before)
		}
		for _, fails := range []bool{true, false} {
			disk.set(func(op string) error {
				if op == "rename" && fails {
					fails = false // of the snapshot; the trim's own would work
					return syscall.EIO
				}
				return nil
			})
			want := 2
			if fails {
				want = before
			}
			var failed error
			g.s.snapshot(g.state, func(err error) { failed = err })
			g.s.historyTrim([]string{folder}, 2)
			synctest.Wait()
			if is := count(); is != want || (failed == nil) != (want == 2) {
				t.Fatalf("%d lines of %d are left, want %d; saved: %v", is, before, want, failed)
			}
		}
	})
}

// TestStoreTrimRestart: a trim renamed a file, and the process ended before the name was synced. The name is on the
// disk before a snapshot of the next process builds on a line in that file.
func TestStoreTrimRestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		folder := historyFolder + "/w"
		finish := func(id string) {
			g.add(true, &Event{Kind: evQueued, Workflow: "w", Run: id, Version: "v"},
				&Event{Kind: evRunEnded, Run: id, State: runFailed, Time: stampOf(g.clock)})
			g.s.history(g.state.Runs[id], nil)
			g.s.snapshot(g.state, func(err error) {
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		g.add(true, &Event{Kind: evVersion, Version: "v", Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}})
		for i := range 9 {
			finish(fmt.Sprint("R", i))
		}
		g.s.historyTrim([]string{folder}, 2)
		synctest.Wait()
		g.reopen()
		finish("R9")
		for name, now := range storeNames(filepath.Join(dir, folder)) {
			if synced := disk.names[folder][name]; synced == nil || storeInode(synced) != storeInode(now) {
				t.Errorf("%s is saved by a snapshot, and after a power cut another file may have its name", name)
			}
		}
	})
}

// TestHistoryBehindJournal: while the journal cannot be written or synced, the history does not tell of the ends that
// it lacks, and goes on with others. TestStoreModel looks for the same after power cuts.
func TestHistoryBehindJournal(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"write", "sync"} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			var failing atomic.Bool
			fails := func(f *os.File, this string) error {
				if failing.Load() && this == op && strings.Contains(f.Name(), storeJournal+"/") {
					return syscall.EIO
				}
				return nil
			}
			g := storeRigOpen(t, storeOptions{Dir: dir, files: func(l *storeFiles) {
				write, sync := l.write, l.sync
				l.write = func(f *os.File, b []byte) (int, error) {
					if err := fails(f, "write"); err != nil {
						return 0, err
					}
					return write(f, b)
				}
				l.sync = func(f *os.File) error { return errors.Join(fails(f, "sync"), sync(f)) }
			}})
			g.add(true, &Event{Kind: evVersion, Version: "v", Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}})
			for _, id := range []string{"R1", "R2", "R3"} {
				g.add(true, &Event{Kind: evQueued, Workflow: "w", Run: id, Version: "v"})
			}
			end := func(id string, lines int) {
				t.Helper()
				g.add(true, &Event{Kind: evRunEnded, Run: id, State: runCancelled, Time: stampOf(g.clock)})
				g.s.history(g.state.Runs[id], nil)
				synctest.Wait()
				if n := len(storeHistoryLines(t, dir+"/history/*/*.jsonl")); n != lines {
					t.Errorf("%s fails: after the end of %s the history has %d lines, want %d", op, id, n, lines)
				}
			}
			end("R1", 1)
			g.s.history(g.state.Runs["R1"], nil) // it rests on what is safe
			failing.Store(true)
			end("R2", 2)
			end("R3", 2)
			failing.Store(false)
			time.Sleep(storeRetryMax)
			synctest.Wait()
			storeHistoryHolds(t, g)
			if n := len(storeHistoryLines(t, dir+"/history/*/*.jsonl")); n != 4 || g.s.failing() != nil {
				t.Errorf("%s works again: the history has %d lines, %v", op, n, g.s.failing())
			}
		})
	}
}

// TestStoreHistoryUnsynced: the sync of a history file fails once, and the kernel drops what it could not write. The
// runs are there all the same after the next snapshot and a power cut.
func TestStoreHistoryUnsynced(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) { // the disk drops in some
		top := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			disk := storeDiskNew(t, filepath.Join(top, "before"), seed)
			g := storeRigOpen(t, storeOptions{Dir: disk.dir, files: disk.wrap})
			g.add(true, &Event{Kind: evVersion, Version: "v", Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}})
			for _, fails := range []bool{false, true, false} {
				for range 3 {
					id := fmt.Sprint("R", g.state.Seq)
					g.add(true, &Event{Kind: evQueued, Workflow: "w", Run: id, Version: "v"},
						&Event{Kind: evRunEnded, Run: id, State: runFailed, Time: stampOf(g.clock)})
					g.s.history(g.state.Runs[id], nil)
				}
				synctest.Wait()
				disk.set(func(op string) error {
					if op == "sync" && fails {
						fails = false // of the history: the journal has nothing to sync
						return syscall.EIO
					}
					return nil
				})
				want := fails
				g.s.snapshot(g.state, func(err error) {
					if (err != nil) != want {
						t.Errorf("saved: %v", err)
					}
				})
				synctest.Wait()
			}
			storeModelCut(t, g, disk, filepath.Join(top, "after"))
		})
	}
}

// TestHistoryKeptOpen: runs that end one after the other are added to a file that was opened once. A file that somebody
// has removed, moved, replaced or written to meanwhile is opened anew.
func TestHistoryKeptOpen(t *testing.T) {
	t.Parallel()
	opens := 0
	g := storeRigOpen(t, storeOptions{NoSync: true, files: func(l *storeFiles) {
		open := l.open
		l.open = func(name string, flag int) (*os.File, error) {
			if strings.HasPrefix(name, historyFolder) && flag&os.O_APPEND != 0 {
				opens++ // on the writer's goroutine; each run is waited for
			}
			return open(name, flag)
		}
	}})
	at, n := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), 0
	add := func() string {
		r := historyRun(n, "w", runSucceeded, at.Add(time.Duration(n)*time.Second))
		n++
		written := make(chan struct{})
		g.s.history(r, func() { close(written) })
		<-written
		return r.ID
	}
	file := filepath.Join(g.dir, historyFolder, "w", "2026-01.jsonl")
	read := func() []byte {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	expect := func(when string, most int, ids ...string) {
		t.Helper()
		if found := historyIDs(t, g.s, historyFilter{}); !slices.Equal(found, ids) || opens > most {
			t.Errorf("%s: %q, want %q; opened %d times, want %d", when, found, ids, opens, most)
		}
	}
	var all []string
	for range 20 {
		all = slices.Insert(all, 0, add())
	}
	expect("one after the other", 1, all...)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	all = []string{add()}
	expect("removed", 2, all...)
	if err := os.Rename(file, filepath.Join(g.dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	all = []string{add()}
	expect("moved", 3, all...)
	text := read()
	if err := errors.Join(os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	all = slices.Insert(all, 0, add())
	expect("replaced", 4, all...)
	if err := os.WriteFile(file, append(read(), "half a line"...), 0o600); err != nil {
		t.Fatal(err)
	}
	all = slices.Insert(all, 0, add())
	expect("written to", 5, all...)
	if text := read(); bytes.Contains(text, []byte("half a line")) {
		t.Errorf("half a line stays:\n%s", text)
	}
}

// TestHistoryLineFields: each field of a run, of its tasks and of their attempts comes back from the line as it was.
func TestHistoryLineFields(t *testing.T) {
	t.Parallel()
	check := func(name string, r *Run) {
		t.Helper()
		var c storeEncoder
		err := c.addRun(r)
		if err != nil {
			t.Fatal(err)
		}
		line := bytes.TrimSuffix(c.take(), []byte("\n"))
		if found, err := historyDecode(line); err != nil || !bytes.Equal(storeText(t, r), storeText(t, found)) {
			t.Errorf("%s is lost: %v\n%s\n%s", name, err, line, storeText(t, r))
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Run]()) {
		r := fieldFilled(t, *historyShort(), field)
		check(field.Name, &r)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[TaskRun]()) {
		// only while the task is active
		if field.Name == "Force" || field.Name == "Ask" || field.Name == "Pooled" || field.Name == "Part" {
			continue
		}
		r := historyShort()
		r.Tasks[0] = fieldFilled(t, r.Tasks[0], field)
		check("Tasks."+field.Name, r)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[TaskAttempt]()) {
		r := historyShort()
		r.Tasks[0].Earlier = []TaskAttempt{fieldFilled(t, TaskAttempt{}, field)}
		check("Tasks.Earlier."+field.Name, r)
	}
}

// historyShort is a finished run as most are.
func historyShort() *Run {
	began := stampOf(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))
	return &Run{ID: "01JD8ZQ0000000000000000000", Workflow: "load", State: runSucceeded, Trigger: "manual", By: "me",
		Agent: "here", Version: "0123456789abcdef", Attempt: 1, Lease: 1, LogDay: "2026-01-31",
		Params: map[string]string{}, Queued: began, Started: began, Finished: stampOf(began.Add(time.Second)),
		Seconds: 1, Tasks: []TaskRun{{Task: "a", State: taskSucceeded, Exit: new(int), Attempts: 1, Started: began,
			Finished: stampOf(began.Add(time.Second)), Seconds: 1}}}
}

// TestHistoryLineCosts: the line of a run is made with few allocations.
func TestHistoryLineCosts(t *testing.T) {
	r, c := historyShort(), storeEncoder{}
	c.buf.Grow(4 << 10)
	if n := allocsOf(100, func() { c.addRun(r); c.buf.Reset() }); n > 6 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHistoryLine(b *testing.B) {
	r, c := historyShort(), storeEncoder{}
	b.ReportAllocs()
	for b.Loop() {
		c.addRun(r)
		c.buf.Reset()
	}
}
