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

// TestWear: a run of one task costs at most 4 kB and exactly two fsyncs, a run of 100 tasks at most 60 kB, one of 1,000
// instances 900 kB, all with their way through the spool. The hundredth run costs what the first does.
func TestWear(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		harness.Lacks(t, "apt install strace: %v", err)
	}
	const (
		runs       = 20
		oneBytes   = 4096
		manyBytes  = 60_000
		eachBytes  = 900_000
		startSyncs = 4 // of the start, its end, and what shares none with others
	)
	x := e2eNew(t)
	x.File("one.yml", "tasks:\n  a: {run: echo hello}\n")
	many := "tasks:\n"
	for i := range 100 {
		many += "  t" + strconv.Itoa(i) + ": {run: echo hello}\n"
	}
	x.File("many.yml", many)
	x.File("each.yml", "tasks:\n  a: {run: echo hello, foreach: ["+strings.Join(strings.Split(strings.Repeat("x", 1000),
		""),
		",")+"]}\n")
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
	hundreds, hundredsSyncs := wearSpent(x)
	if r := x.run("each"); len(r.Tasks) != 1001 || r.Tasks[1000].State != taskSucceeded {
		t.Errorf("a run of 1,000 instances is %s (%s)", r.State, r.Reason)
	}
	holder := x.holder()
	if err := syscall.Kill(holder, syscall.SIGTERM); err != nil { // strace passes on how it ends
		t.Fatal(err)
	}
	p.Wait()
	all, allSyncs := wearSpent(x)
	one, hundred, thousand := (sum(ones)-sum(before))/runs, sum(hundreds)-sum(ones), sum(all)-sum(hundreds)
	t.Logf("a run: %d bytes, %.1f fsyncs; one of 100 tasks: %d bytes, %d fsyncs; one of 1,000 instances: %d bytes, %d "+
		"fsyncs to the end; in all %v", one, float64(onesSyncs-syncs)/runs, hundred, hundredsSyncs-onesSyncs, thousand,
		allSyncs-hundredsSyncs, all)
	// the client was told that it is queued, and how it ended
	if one == 0 || one > oneBytes || onesSyncs-syncs > 2*runs+startSyncs || onesSyncs-syncs < 2*runs {
		t.Errorf("%d runs: %d bytes each, %d fsyncs, want 2 for each", runs, one, onesSyncs-syncs)
	}
	if hundred > manyBytes || hundredsSyncs-onesSyncs > 2+startSyncs {
		t.Errorf("a run of 100 tasks: %d bytes, %d fsyncs", hundred, hundredsSyncs-onesSyncs)
	}
	if thousand > eachBytes || allSyncs-hundredsSyncs > 20+startSyncs { // it takes seconds under strace
		t.Errorf("a run of 1,000 instances: %d bytes, %d fsyncs", thousand, allSyncs-hundredsSyncs)
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

// TestForeachMemory: a run of 1,000 instances that print a line each takes no more memory than output at full speed,
// 30 MB (docs/performance.md), in the process that is principal and agent.
func TestForeachMemory(t *testing.T) {
	x := e2eNew(t)
	x.Bin = harness.Plain(t, x.Dir)
	x.File("each.yml", "tasks:\n  a: {run: echo hello, foreach: ["+strings.Join(strings.Split(strings.Repeat("x", 1000),
		""),
		",")+"]}\n")
	x.Principal("--with-agent", "--no-scheduler")
	for range 2 {
		if r := x.run("each"); r.State != runSucceeded || len(r.Tasks) != 1001 {
			t.Fatalf("a run of 1,000 instances is %s (%s)", r.State, r.Reason)
		}
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(x.holder()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(string(status))
	if found == nil {
		t.Fatalf("%s", status)
	}
	if most, _ := strconv.Atoi(found[1]); most > 30_000 {
		t.Errorf("at most %d kB were in memory", most)
	} else {
		t.Logf("at most %d kB were in memory", most)
	}
}
