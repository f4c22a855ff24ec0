// Tests of what is removed, what stays, and what it costs.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// retainHost is a principal whose files are looked at when the test says so. files are made with their sizes first.
func retainHost(t *testing.T, limits retainLimits, files map[string]int) *host {
	t.Helper()
	dir := t.TempDir()
	for name, size := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name,
			[]byte(strings.Repeat("x\n", size/2)), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return retainStart(t, dir, limits)
}

func retainStart(t *testing.T, dir string, limits retainLimits) *host {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: dir, NoSync: true, NoScheduler: true,
		Zone: time.UTC,
		Log:  slog.New(slog.DiscardHandler), now: now})
	if err != nil {
		t.Fatal(err)
	}
	p.retention.limits = limits
	h := newHost(p)
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// retainLeft lists what is left of output and history.
func retainLeft(t *testing.T, h *host) string {
	t.Helper()
	var left []string
	for _, kind := range []string{"logs", "history"} {
		err := filepath.WalkDir(h.p.cfg.StateDir+"/"+kind, func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				name, err = filepath.Rel(h.p.cfg.StateDir, name)
				left = append(left, strings.TrimSuffix(name, ".jsonl"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(left, " ")
}

func TestRetainSweep(t *testing.T) {
	t.Parallel()
	files := map[string]int{"logs/a/2026-01-01.jsonl": 100, "logs/a/2026-06-01.jsonl": 100,
		"logs/a/2026-06-14.jsonl": 100, "logs/a/notes.txt": 10_000,
		"logs/b/2025-01-01.jsonl": 1000, "history/a/2025-12.jsonl": 100, "history/a/2026-05.jsonl": 100,
		"history/a/2026-06.jsonl": 100}
	const rest = " logs/a/notes.txt logs/b/2025-01-01"
	for _, test := range []struct {
		name   string
		limits retainLimits
		full   bool
		want   string
	}{
		{"nothing", retainLimits{}, false, "logs/a/2026-01-01 logs/a/2026-06-01 logs/a/2026-06-14" + rest +
			" history/a/2025-12 history/a/2026-05 history/a/2026-06"},
		{"age", retainLimits{Age: 90 * 24 * time.Hour}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest +
			" history/a/2026-05 history/a/2026-06"},
		{"short age", retainLimits{Age: 24 * time.Hour}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"from the end of the month on", retainLimits{Age: 14*24*time.Hour + 12*time.Hour}, false,
			"logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-05 history/a/2026-06"},
		{"from the end of the day on", retainLimits{Age: 13*24*time.Hour + 12*time.Hour}, false,
			"logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"and not longer", retainLimits{Age: 13*24*time.Hour + 12*time.Hour - time.Second}, false, "logs/a/2026-06-14" +
			rest + " history/a/2026-06"},
		{"bytes", retainLimits{Bytes: 1450}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest +
			" history/a/2026-05 history/a/2026-06"},
		{"fewer bytes", retainLimits{Bytes: 1200}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"no bytes", retainLimits{Bytes: 1}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"full", retainLimits{}, true, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
	} {
		h := retainHost(t, test.limits, files)
		h.p.retention.sweep(test.full)
		if left := retainLeft(t, h); left != test.want {
			t.Errorf("%s: left %s\nwant %s", test.name, left, test.want)
		}
	}
}

// TestRetainActive keeps the output of active runs from the first of them on, whatever its age, and that of a workflow
// for as long as its log.keep says.
func TestRetainActive(t *testing.T) {
	files := map[string]int{"logs/b/2026-06-01.jsonl": 100, "logs/b/2026-06-13.jsonl": 100,
		"logs/b/2026-06-14.jsonl": 100}
	for _, day := range []string{"2024-01-01", "2024-01-02", "2024-02-01"} {
		files["logs/w/"+day+".jsonl"] = 100
	}
	h := retainHost(t, retainLimits{Age: 30 * 24 * time.Hour}, files)
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}}
	b := &Workflow{ID: "b", LogKeep: Duration(24 * time.Hour), Tasks: w.Tasks}
	done := make(chan struct{})
	h.p.call(func() {
		defer close(done)
		h.p.setFiles(principalFiles(w, b), nil)
		for _, day := range []string{"2024-02-01", "2024-01-02", "2024-02-01"} {
			id, refused := h.p.enqueue(w, runOrder{trigger: triggerManual})
			if refused != nil {
				t.Error(refused)
				return
			}
			h.p.state.Runs[id].LogDay = day
		}
	})
	<-done
	h.p.retention.sweep(true)
	if left := retainLeft(t, h); left != "logs/b/2026-06-14 logs/w/2024-01-02 logs/w/2024-02-01" {
		t.Errorf("left %s", left)
	}
}

// TestRetainRuns has 200,000 runs on disk: listing the newest costs little, and trimming leaves the newest of each
// workflow, whole, in little memory.
func TestRetainRuns(t *testing.T) {
	const runs, keep = 200_000, 1000
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/history/w", 0o700); err != nil {
		t.Fatal(err)
	}
	var file *os.File
	var out *bufio.Writer
	var lines storeEncoder
	at, month := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), ""
	last := ""
	for i := range runs {
		at = at.Add(30 * time.Second)
		if m := at.Format("2006-01"); m != month {
			if out != nil {
				if err := errors.Join(out.Flush(), file.Close()); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if file, err = os.Create(dir + "/history/w/" + m + ".jsonl"); err != nil {
				t.Fatal(err)
			}
			out, month = bufio.NewWriter(file), m
		}
		last = fmt.Sprintf("R%07d", i)
		if err := lines.add(&Run{ID: last, Workflow: "w", State: runSucceeded, Finished: stampOf(at)}); err != nil {
			t.Fatal(err)
		}
		out.Write(lines.take())
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		t.Fatal(err)
	}
	h := retainStart(t, dir, retainLimits{Runs: keep})
	list := func(limit int) (n int, newest, oldest string) {
		err := h.p.store.historyList(historyFilter{Limit: limit}, func(r *Run) bool {
			if n++; newest == "" {
				newest = r.ID
			}
			oldest = r.ID
			return true
		})
		if err != nil {
			t.Error(err)
		}
		return n, newest, oldest
	}
	if cost := retainAllocated(func() { list(50) }); cost > 2<<20 {
		t.Errorf("to list 50 runs took %d bytes", cost)
	}
	cost := retainAllocated(func() {
		h.p.retention.sweep(false)
		retainSettle(h)
	})
	if cost > 32<<20 {
		t.Errorf("to trim took %d bytes of memory", cost)
	}
	if n, newest, oldest := list(0); n != keep || newest != last || oldest != fmt.Sprintf("R%07d", runs-keep) {
		t.Errorf("after trimming: %d runs, %s to %s", n, oldest, newest)
	}
	size := int64(0)
	for _, name := range strings.Fields(retainLeft(t, h)) {
		if info, err := os.Stat(dir + "/" + name + ".jsonl"); err == nil {
			size += info.Size()
		}
	}
	if size == 0 || size > keep*1000 {
		t.Errorf("the history has %d bytes", size)
	}
	h.p.retention.sweep(false)
	if retainSettle(h); h.p.retention.seen["history/w"] == 0 {
		t.Error("it is not known to be short enough")
	}
}

// retainSettle waits until the store has done what was asked of it.
func retainSettle(h *host) {
	for range 2 { // the turn that hands the trims over, and one behind it
		done := make(chan struct{})
		h.p.call(func() { h.p.whenDurable(func() { close(done) }) })
		<-done
	}
}

// retainAllocated gives how many bytes fn allocated, in all.
func retainAllocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Runs with large parameters leave memory before there are a thousand of them. They are listed and shown out of the
// history all the same, also after a restart.
func TestKeptBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each, most, many = 30 << 10, 1 << 20, 50
		w := principalTask(Workflow{ID: "w", Params: map[string]Param{"day": {Default: strings.Repeat("d", each)}}})
		g := principalRigOpen(t, t.TempDir(), w, principalTask(Workflow{ID: "small"}))
		g.do(func() { g.p.retention.kept.most = most })
		small := g.run("small")
		var runs []string
		for range many {
			runs = append(runs, g.run("w"))
			g.ask(Request{Op: "cancel", Run: runs[len(runs)-1]})
		}
		first, last := runs[0], runs[many-1]
		held := func() {
			t.Helper()
			g.do(func() {
				n := len(g.p.state.Finished)
				if g.p.retention.kept.all > most || g.p.retention.kept.all < most-2*each ||
					len(g.p.retention.kept.runs) != n || n >= many-10 {
					t.Errorf("%d of %d runs, %d counted, of %d bytes are kept", n, many, len(g.p.retention.kept.runs),
						g.p.retention.kept.all)
				}
				if g.p.state.Runs[first] != nil || g.p.state.Runs[last] == nil || g.p.state.Runs[small] == nil {
					t.Error("not the oldest of those that have ended was dropped")
				}
			})
			all := map[string]int{}
			for after := ""; ; {
				r := g.ask(Request{Op: "ps", All: true, Workflow: "w", N: 15, After: after})
				for _, run := range r.Runs {
					all[run.ID]++
				}
				if after = r.Next; after == "" || r.Error != nil {
					break
				}
			}
			for _, id := range runs {
				if all[id] != 1 {
					t.Fatalf("ps lists %d runs of %d, and %s %d times", len(all), many, id, all[id])
				}
			}
			if r := g.show(first); r.State != runCancelled || len(r.Params["day"]) != each {
				t.Errorf("show of one that was dropped: %s with %d bytes of a parameter", r.State, len(r.Params["day"]))
			}
		}
		held()
		if r := g.ask(Request{Op: "retry", Run: first}); r.Error == nil ||
			!strings.Contains(r.Error.Message, "or 32 MiB of them") {
			t.Errorf("retry of one that was dropped: %s", protoEncode(r))
		}
		g.stop()
		g.start(w)
		g.do(func() {
			if g.p.retention.kept.most != retainMaxKept {
				t.Errorf("a principal keeps up to %d bytes", g.p.retention.kept.most)
			}
			g.p.retention.kept.most = most
		})
		held()
		if r := g.ask(Request{Op: "retry", Run: last}); !r.OK {
			t.Errorf("retry of the newest: %s", protoEncode(r))
		}
		g.do(func() {
			if g.p.retention.kept.runs[last] != 0 {
				t.Error("a run that is queued counts among those that have ended")
			}
		})
		g.stop()
	})
}

// TestPsHistory: the history is listed and found though few runs are in memory, or none: it may be from a backup, or
// the state may have been lost.
func TestPsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v := principalTask(Workflow{ID: "w"}), principalTask(Workflow{ID: "v"})
		g := principalRigOpen(t, t.TempDir(), w, v)
		var old []string // the one that ended last in front
		for n := range 7 {
			r := historyRun(n, []string{"w", "v"}[n%2], []string{runFailed, runSucceeded}[n%3&1],
				time.Now().Add(time.Duration(n-100)*time.Hour))
			g.p.store.history(r, nil)
			old = slices.Insert(old, 0, r.ID)
		}
		newest := g.run("w")
		g.ask(Request{Op: "cancel", Run: newest})
		synctest.Wait()
		listed := func(req Request) (ids []string) {
			req.Op = "ps"
			for {
				r := g.ask(req)
				if r.Error != nil || len(r.Runs) > 3 && req.N != 0 {
					t.Fatalf("%+v: %s", req, protoEncode(r))
				}
				for _, run := range r.Runs {
					ids = append(ids, run.ID)
				}
				if req.After = r.Next; req.After == "" {
					return ids
				}
			}
		}
		all := append([]string{newest}, old...)
		if got := listed(Request{All: true}); !slices.Equal(got, all) {
			t.Errorf("all: %q, want %q", got, all)
		}
		if got := listed(Request{All: true, N: 3}); !slices.Equal(got, all) {
			t.Errorf("all in pages: %q, want %q", got, all)
		}
		if got := listed(Request{State: runFailed, N: 2}); len(got) == 0 || slices.Contains(got, newest) {
			t.Errorf("those that failed: %q", got)
		}
		if got := listed(Request{All: true, Workflow: "v", N: 1}); len(got) != 3 {
			t.Errorf("those of v: %q", got)
		}
		if got := listed(Request{}); len(got) != 0 {
			t.Errorf("the active ones: %q", got)
		}
		if r := g.show(old[6]); r.ID != old[6] {
			t.Errorf("show of the oldest: %+v", r)
		}
		g.stop()
	})
}

// The newest runs are kept whatever they take, and whoever waits for one is told how it ended. The journal of a version
// without this bound is replayed as it was, and then brought within the bound.
func TestKeptNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w"})
		g := principalRigOpen(t, t.TempDir(), w)
		g.do(func() { g.p.retention.kept.most = 1 << 40 }) // as a version that does not count
		var runs []string
		for range 3 * retainMinKept {
			runs = append(runs, g.run("w"))
			g.ask(Request{Op: "cancel", Run: runs[len(runs)-1]})
		}
		if r := g.ask(Request{Op: "retry", Run: runs[0]}); !r.OK {
			t.Errorf("%s", protoEncode(r))
		}
		g.stop()
		g.start(w)
		g.do(func() { g.p.retention.kept.most = 0 })
		k := lookTestOpen(t, g)
		k.send(Request{ID: "1", Op: "wait", Run: runs[0]})
		synctest.Wait()
		if r := g.ask(Request{Op: "cancel", Run: runs[0]}); !r.OK {
			t.Errorf("%s", protoEncode(r))
		}
		if got := k.got["1"]; len(got) != 1 || len(got[0].Runs) != 1 || got[0].Runs[0].State != runCancelled {
			t.Errorf("who waited is told %s", protoEncode(got))
		}
		k.conn.Cut(nil)
		g.do(func() {
			if n := len(g.p.state.Finished); n != retainMinKept || g.p.state.Finished[n-1] != runs[0] ||
				g.p.state.Runs[runs[len(runs)-1]] == nil || g.p.state.Runs[runs[1]] != nil {
				t.Errorf("%d runs are kept, the newest %q", n, g.p.state.Finished[n-1])
			}
		})
		g.stop()
	})
}

// What is large in a run counts.
func TestKeptMem(t *testing.T) {
	t.Parallel()
	const each = 1 << 20
	text := strings.Repeat("x", each)
	for name, r := range map[string]*Run{
		"parameters":      {Params: map[string]string{"a": text}},
		"the name of one": {Params: map[string]string{text: ""}},
		"its reason":      {Reason: text},
		"an output":       {Tasks: []TaskRun{{}, {Outputs: map[string]string{"a": text}}}},
		"a task's reason": {Tasks: []TaskRun{{Reason: text}}},
		"attempts before": {Tasks: []TaskRun{{Earlier: []TaskAttempt{{Reason: text[:each/2]},
			{Reason: text[:each/2]}}}}},
		"many tasks": {Tasks: make([]TaskRun, each/300+1)},
	} {
		if n := retainKeptMem(r); n < each || n > 2*each {
			t.Errorf("%s of %d bytes count as %d", name, each, n)
		}
	}
}
