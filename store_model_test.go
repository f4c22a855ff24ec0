// store_model_test.go: random operations on a store, with a disk that fails now and then, restarts, trims of the
// history and power cuts: what was acknowledged is there, and each run that ended is in the history.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	storeSteps = flag.Int("store.steps", storeModelSeeds*storeModelSteps, "how many steps TestStoreModel takes in all")
	storeSeed  = flag.Uint64("store.seed", 0, "the first seed of TestStoreModel")
)

const (
	storeModelSteps = 120 // of one seed
	storeModelSeeds = 12  // in a suite, one after the other: more of them, on their own, go side by side
)

// TestStoreModel does random things to a store, with a disk that fails now and then, and cuts the power.
func TestStoreModel(t *testing.T) {
	t.Parallel()
	var events atomic.Int64
	seeds := (*storeSteps + storeModelSteps - 1) / storeModelSteps
	t.Run("seeds", func(t *testing.T) {
		for seed := *storeSeed; seed < *storeSeed+uint64(seeds); seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				if seeds > storeModelSeeds {
					t.Parallel()
				}
				top := t.TempDir()
				synctest.Test(t, func(t *testing.T) { events.Add(storeModel(t, top, seed)) })
			})
		}
	})
	t.Logf("%d seeds from %d, %d steps, %d events", seeds, *storeSeed, seeds*storeModelSteps, events.Load())
}

// storeModel is one seed of it. It gives how many events it made.
func storeModel(t *testing.T, top string, seed uint64) (events int64) {
	dir := filepath.Join(top, "0")
	disk := storeDiskNew(t, dir, seed)
	g := storeRigOpen(t, storeOptions{Dir: dir, SegmentBytes: 8 << 10, Keep: 8 << 10, files: disk.wrap})
	g.rng = rand.New(rand.NewPCG(seed, 1))
	for step := range storeModelSteps {
		made := len(g.log)
		switch k := g.rng.IntN(20); {
		case k < 12:
			g.random(g.rng.IntN(30))
			if k < 6 {
				synctest.Wait()
			}
		case k == 12:
			g.s.snapshot(g.state, nil)
		case k == 13:
			g.verifyMid()
		case k == 14:
			ops, errno := []string{"open write", "write", "sync", "sync truncate", "rename",
				"remove truncate write sync"}[g.rng.IntN(6)], []error{syscall.ENOSPC, syscall.EIO}[g.rng.IntN(2)]
			disk.set(func(op string) error {
				if strings.Contains(ops, op) {
					return errno
				}
				return nil
			})
		case k == 15:
			disk.set(nil)
			g.s.index.stale.Store(g.rng.IntN(4) == 0)
			g.s.indexKeep(func() bool { return false })
		case k == 16:
			time.Sleep(time.Duration(g.rng.IntN(30)) * time.Second) // the bubble's time: retries and delayed syncs
		case k == 17:
			synctest.Wait()
		case k == 18 && step > 20:
			storeModelCut(t, g, disk, filepath.Join(top, fmt.Sprint(step)))
		case k == 19 && g.rng.IntN(2) == 0:
			storeModelTrim(t, g)
		case k == 19:
			disk.set(nil)
			time.Sleep(storeRetryMax)
			g.reopen() // all that was written is there, synced or not
			storeHistoryHolds(t, g)
		}
		events += int64(max(0, len(g.log)-made))
		if g.s.wantsSnapshot() {
			g.s.snapshot(g.state, nil)
		}
	}
	disk.set(nil)
	time.Sleep(time.Minute)
	synctest.Wait()
	if err := g.s.failing(); err != nil {
		t.Fatalf("still failing: %v", err)
	}
	if g.acked.Load() != g.state.Seq {
		t.Fatalf("acknowledged up to %d of %d", g.acked.Load(), g.state.Seq)
	}
	g.matches(g.state)
	storeHistoryHolds(t, g)
	return events
}

// storeModelCut cuts the power and goes on with what is left.
func storeModelCut(t *testing.T, g *storeRig, disk *storeDisk, into string) {
	synctest.Wait()
	acked := g.acked.Load()
	disk.cut(".", into)
	disk.set(nil)
	g.s.close() // the old one writes into the void
	g.open = false
	disk.move(into)
	g.dir, g.opt.Dir, g.opt.files = into, into, disk.wrap
	report := g.reopen()
	if g.state.Seq < acked {
		t.Fatalf("power cut: event %d was acknowledged, and only %d are there: %q", acked, g.state.Seq, report.Notes)
	}
	g.matches(g.state)
	g.log = g.log[:g.state.Seq]
	storeHistoryKnown(t, g)
	g.acked.Store(g.state.Seq)
	synctest.Wait()
	storeHistoryHolds(t, g)
}

// storeModelTrim cuts the history as retention does, behind a snapshot: when the one that is there does not cover what
// goes, nothing is to go.
func storeModelTrim(t *testing.T, g *storeRig) {
	const keep = 5
	synctest.Wait()
	if g.s.failing() != nil {
		return
	}
	before, goes := map[string][]historyKey{}, map[historyKey]bool{}
	for i := range 3 {
		folder := historyFolder + "/" + idFolder(fmt.Sprintf("flow %d/ü.", i))
		lines := storeHistoryLines(t, g.dir+"/"+folder+"/*.jsonl")
		before[folder] = lines
		for _, key := range lines[:max(0, len(lines)-keep)] {
			goes[key] = true
		}
	}
	var failed error
	g.s.snapshot(g.state, func(err error) { failed = err })
	g.s.historyTrim(sortedKeys(before), keep)
	synctest.Wait()
	covered := failed == nil || storeModelSaved(t, g) == g.state.Seq // an earlier one may say the same
	if covered {
		for key := range goes {
			g.gone[key] = true
		}
	}
	for folder, lines := range before {
		if now := storeHistoryLines(t, g.dir+"/"+folder+"/*.jsonl"); !covered && len(now) != len(lines) ||
			len(now) < min(len(lines), keep) {
			t.Fatalf("%s has %d lines after a trim, had %d; saved: %v", folder, len(now), len(lines), failed)
		}
	}
	storeHistoryHolds(t, g)
}

// storeModelSaved gives the number of the newest event in the snapshot, 0 when there is none.
func storeModelSaved(t *testing.T, g *storeRig) uint64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, storeSnapshot))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var saved storeSaved
	if err == nil {
		err = json.Unmarshal(text, &saved)
	}
	if err != nil {
		t.Fatal(err)
	}
	return saved.Seq
}

// storeHistoryLines reads the lines of history files, oldest month first.
func storeHistoryLines(t *testing.T, files string) (keys []historyKey) {
	t.Helper()
	names, err := filepath.Glob(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if line, whole := bytes.CutSuffix(line, []byte("\n")); whole && storeSound(line) {
				run, err := historyDecode(line)
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, historyKeyOf(run))
			}
		}
	}
	return keys
}

// storeHistoryHolds checks that each finished run in memory is in the history, but for those that were trimmed: as it
// is, and once, where the newest line of the run is what the journal knows.
func storeHistoryHolds(t *testing.T, g *storeRig) {
	t.Helper()
	if g.s.failing() != nil {
		return // it may be on its way
	}
	there := map[historyKey]bool{}
	for _, key := range storeHistoryLines(t, g.dir+"/"+historyFolder+"/*/*.jsonl") {
		there[key] = true
	}
	found := map[string]*Run{}
	err := g.s.historyList(historyFilter{}, func(r *Run) bool {
		if found[r.ID] != nil {
			t.Errorf("run %s is listed twice", r.ID)
		}
		found[r.ID] = r
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	storeIndexHolds(t, g, found)
	for _, id := range g.state.Finished {
		r := g.state.Runs[id]
		key := historyKeyOf(r)
		if !there[key] && !g.gone[key] {
			t.Fatalf("run %s is not in the history as it ended: %+v", id, key)
		}
		if other := found[id]; other != nil && historyKeyOf(other) == key &&
			!bytes.Equal(storeText(t, r), storeText(t, other)) {
			t.Errorf("history of run %s:\nwant %s\ngot  %s", id, storeText(t, r), storeText(t, other))
		}
	}
}

// storeHistoryKnown checks that the history tells of no end that the journal does not know.
func storeHistoryKnown(t *testing.T, g *storeRig) {
	t.Helper()
	known, state := map[historyKey]bool{}, stateNew()
	for _, text := range g.log {
		e := &Event{}
		if err := json.Unmarshal(text, e); err != nil {
			t.Fatal(err)
		}
		if state.apply(e) != nil {
			continue
		}
		if r := state.Runs[e.Run]; r != nil && e.ends(r) {
			known[historyKeyOf(r)] = true
		}
	}
	for _, key := range storeHistoryLines(t, g.dir+"/"+historyFolder+"/*/*.jsonl") {
		if !known[key] {
			t.Errorf("the history has the end of a run that the journal does not know: %+v", key)
		}
	}
}

// storeIndexHolds checks that the index, where it is whole, finds the runs of the history as they are listed. It need
// not know lines that a power cut has brought back after they were trimmed, nor those of which it has taken the
// journal's events.
func storeIndexHolds(t *testing.T, g *storeRig, listed map[string]*Run) {
	t.Helper()
	if !g.s.index.whole.Load() {
		return
	}
	for id, r := range listed {
		key := historyKeyOf(r)
		run, err := g.s.indexFind(id, nil)
		switch {
		case err != nil:
			t.Fatalf("run %s by the index: %v", id, err)
		case run == nil && !g.gone[key] && g.state.Runs[id] != nil && historyKeyOf(g.state.Runs[id]) == key:
			t.Fatalf("run %s is not in the index, and is listed as %+v", id, key)
		case run != nil && historyKeyOf(run) != key:
			t.Fatalf("run %s by the index: %+v, listed as %+v", id, historyKeyOf(run), key)
		}
	}
}
