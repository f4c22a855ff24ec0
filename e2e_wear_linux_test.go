// End-to-end test of what runs cost a flash card: the bytes and the fsyncs of a real principal with an agent in it, as
// strace sees them.

package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

var (
	wearWrite = regexp.MustCompile(`(?:write|pwrite64|writev)\(\d+<([^>]*)>.* = (\d+)\n`)
	wearSync  = regexp.MustCompile(`f(?:data)?sync\(`)
)

// wearSpent counts what the traces in a folder say of writes below the state folder: bytes by the folder that they go
// to, and fsyncs.
func wearSpent(x *e2e) (bytes map[string]int, syncs int) {
	x.T.Helper()
	traces, err := filepath.Glob(x.Dir + "/trace.*")
	if err != nil || len(traces) == 0 {
		x.T.Fatalf("no trace: %v", err)
	}
	bytes = map[string]int{}
	for _, name := range traces {
		text, err := os.ReadFile(name)
		if err != nil {
			x.T.Fatal(err)
		}
		for _, m := range wearWrite.FindAllStringSubmatch(string(text), -1) {
			if file, ok := strings.CutPrefix(m[1], x.Dir+"/state/"); ok {
				n, _ := strconv.Atoi(m[2])
				folder, _, _ := strings.Cut(file, "/")
				bytes[folder] += n
			}
		}
		syncs += len(wearSync.FindAllString(string(text), -1))
	}
	return bytes, syncs
}

// TestWear: a run of one task costs at most 4 kB and exactly two fsyncs, a run of 100 tasks at most 60 kB, both with
// their way through the spool. The hundredth run costs what the first does.
func TestWear(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		harness.Lacks(t, "apt install strace: %v", err)
	}
	const (
		runs       = 20
		oneBytes   = 4096
		manyBytes  = 60_000
		startSyncs = 4 // of the start, its end, and what shares none with others
	)
	x := e2eNew(t)
	x.File("one.yml", "tasks:\n  a: {run: echo hello}\n")
	many := "tasks:\n"
	for i := range 100 {
		many += "  t" + strconv.Itoa(i) + ": {run: echo hello}\n"
	}
	x.File("many.yml", many)
	plain := x.Bin
	x.Bin = x.Dir + "/traced"
	if err := os.WriteFile(x.Bin, []byte("#!/bin/sh\nexec "+strace+" -ff -y -qq -o $DIR/trace -e "+
		"trace=write,pwrite64,writev,fsync,fdatasync "+plain+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := x.Principal("--with-agent", "--no-scheduler")
	x.Bin = plain
	sum := func(bytes map[string]int) (n int) {
		for folder, b := range bytes {
			if folder != "reserve" {
				n += b
			}
		}
		return n
	}
	x.run("one") // the first makes files and folders
	before, syncs := wearSpent(x)
	for range runs {
		x.run("one")
	}
	ones, onesSyncs := wearSpent(x)
	x.run("many")
	holder := x.holder()
	if err := syscall.Kill(holder, syscall.SIGTERM); err != nil { // strace passes on how it ends
		t.Fatal(err)
	}
	p.Wait()
	all, allSyncs := wearSpent(x)
	one, hundred := (sum(ones)-sum(before))/runs, sum(all)-sum(ones)
	t.Logf("a run: %d bytes, %.1f fsyncs; one of 100 tasks: %d bytes, %d fsyncs to the end; in all %v", one,
		float64(onesSyncs-syncs)/runs, hundred, allSyncs-onesSyncs, all)
	// the client was told that it is queued, and how it ended
	if one == 0 || one > oneBytes || onesSyncs-syncs > 2*runs+startSyncs || onesSyncs-syncs < 2*runs {
		t.Errorf("%d runs: %d bytes each, %d fsyncs, want 2 for each", runs, one, onesSyncs-syncs)
	}
	if hundred > manyBytes || allSyncs-onesSyncs > 2+startSyncs {
		t.Errorf("a run of 100 tasks: %d bytes, %d fsyncs", hundred, allSyncs-onesSyncs)
	}
}

// TestWearKept: 10,000 runs that print a line each need at most 15 MB in 200 files and folders. The test makes 1,000
// runs.
func TestWearKept(t *testing.T) {
	const (
		runs  = 1000
		bytes = 15_000_000 / 10_000 // of a run
		files = 200
	)
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: dir, NoSync: true, NoScheduler: true,
		Zone: time.UTC, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p.setFiles(principalFiles(&Workflow{ID: "one", Tasks: []Task{{ID: "a", Run: "echo hello"}}}), nil)
	h := newHost(p)
	cfg := agentConfig{Name: "a-machine", Capacity: 2, StateDir: dir, Fresh: true, Grace: time.Second, Log: log}
	if err := h.startAgent(context.Background(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	for range runs {
		if r, lines := agentFollow(t, h, Request{Workflow: "one"}, nil); r.State != runSucceeded || len(lines) != 1 {
			t.Fatalf("%+v, %q", r, lines)
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	sizes, count := map[string]int64{"reserve": storeReserve * runs / 10_000}, 0
	if err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			count++
		}
		if err == nil && info.Mode().IsRegular() {
			folder, _, _ := strings.Cut(strings.TrimPrefix(path, dir+"/"), "/")
			sizes[folder] += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, size := range sizes {
		sum += size
	}
	t.Logf("a run: %d bytes; %d files and folders; in all %v", sum/runs, count, sizes)
	if sum < 100*runs || sum > bytes*runs || count > files {
		t.Errorf("%d runs lie in %d bytes, %d files and folders", runs, sum, count)
	}
}

// holder gives the process that holds the state folder.
func (x *e2e) holder() int {
	x.T.Helper()
	f, err := os.Open(x.Dir + "/state/lock")
	if err != nil {
		x.T.Fatal(err)
	}
	defer f.Close()
	return storeHolderOf(f).PID
}
