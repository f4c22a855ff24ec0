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
	"strings"
	"testing"
	"time"
)

// retainHost is a principal whose files are looked at when the test says so. files are made with their sizes first.
func retainHost(t *testing.T, limits retainLimits, files map[string]int) *host {
	t.Helper()
	dir := t.TempDir()
	for name, size := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(strings.Repeat("x\n", size/2)), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return retainStart(t, dir, limits)
}

func retainStart(t *testing.T, dir string, limits retainLimits) *host {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }
	p, err := principalOpen(principalConfig{StateDir: dir, NoSync: true, NoScheduler: true, Zone: time.UTC, Log: slog.New(slog.DiscardHandler), now: now})
	if err != nil {
		t.Fatal(err)
	}
	p.retain.limits = limits
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
	files := map[string]int{"logs/a/2026-01-01.jsonl": 100, "logs/a/2026-06-01.jsonl": 100, "logs/a/2026-06-14.jsonl": 100, "logs/a/notes.txt": 10_000,
		"logs/b/2025-01-01.jsonl": 1000, "history/a/2025-12.jsonl": 100, "history/a/2026-05.jsonl": 100, "history/a/2026-06.jsonl": 100}
	const rest = " logs/a/notes.txt logs/b/2025-01-01"
	for _, test := range []struct {
		name   string
		limits retainLimits
		full   bool
		want   string
	}{
		{"nothing", retainLimits{}, false, "logs/a/2026-01-01 logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2025-12 history/a/2026-05 history/a/2026-06"},
		{"age", retainLimits{Age: 90 * 24 * time.Hour}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-05 history/a/2026-06"},
		{"short age", retainLimits{Age: 24 * time.Hour}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"from the end of the month on", retainLimits{Age: 14*24*time.Hour + 12*time.Hour}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-05 history/a/2026-06"},
		{"from the end of the day on", retainLimits{Age: 13*24*time.Hour + 12*time.Hour}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"and not longer", retainLimits{Age: 13*24*time.Hour + 12*time.Hour - time.Second}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"bytes", retainLimits{Bytes: 1450}, false, "logs/a/2026-06-01 logs/a/2026-06-14" + rest + " history/a/2026-05 history/a/2026-06"},
		{"fewer bytes", retainLimits{Bytes: 1200}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"no bytes", retainLimits{Bytes: 1}, false, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
		{"full", retainLimits{}, true, "logs/a/2026-06-14" + rest + " history/a/2026-06"},
	} {
		h := retainHost(t, test.limits, files)
		h.p.retain.sweep(test.full)
		if left := retainLeft(t, h); left != test.want {
			t.Errorf("%s: left %s\nwant %s", test.name, left, test.want)
		}
	}
}

// TestRetainActive keeps the output of runs that go on, of the first of them on, whatever its age, and by log.keep what a workflow says.
func TestRetainActive(t *testing.T) {
	files := map[string]int{"logs/b/2026-06-01.jsonl": 100, "logs/b/2026-06-13.jsonl": 100, "logs/b/2026-06-14.jsonl": 100}
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
			id, refused := h.p.enqueue(w, fire{trigger: triggerManual})
			if refused != nil {
				t.Error(refused)
				return
			}
			h.p.state.Runs[id].LogDay = day
		}
	})
	<-done
	h.p.retain.sweep(true)
	if left := retainLeft(t, h); left != "logs/b/2026-06-14 logs/w/2024-01-02 logs/w/2024-02-01" {
		t.Errorf("left %s", left)
	}
}

// TestRetainRuns has 200,000 runs on disk: listing the newest costs little, and trimming leaves the newest of each workflow,
// whole, in little memory.
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
		h.p.retain.sweep(false)
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
	h.p.retain.sweep(false)
	if retainSettle(h); h.p.retain.seen["history/w"] == 0 {
		t.Error("it is not known to be short enough")
	}
}

// retainSettle waits until the store has done what was asked of it.
func retainSettle(h *host) {
	for range 2 { // the turn that hands the trims over, and one behind it
		done := make(chan struct{})
		h.p.call(func() { h.p.afterCommit(func() { close(done) }) })
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
