// store_journal_test.go: the journal as it is written: batches that share an fsync, what is synced later, disks that
// fail, and where readers find an event.

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestStoreGroupSync holds one fsync up: all that is appended meanwhile shares the next.
func TestStoreGroupSync(t *testing.T) {
	dir := t.TempDir()
	disk := storeDiskNew(t, dir, 1)
	entered, release := make(chan bool), make(chan bool)
	g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
	var arrived atomic.Int64
	g.add(true, &Event{Kind: evPaused, By: "x"})
	g.wait()
	g.s.files.sync = func(next func(*os.File) error) func(*os.File) error {
		return func(f *os.File) error {
			if arrived.Add(1) == 1 {
				entered <- true
				<-release
			}
			return next(f)
		}
	}(g.s.files.sync)
	g.add(true, &Event{Kind: evPaused, By: "y"})
	<-entered
	last := make(chan bool)
	for range 100 {
		g.add(true, &Event{Kind: evPaused, By: "z"})
	}
	g.s.append(nil, storeNow, func() { close(last) })
	release <- true
	<-last
	if n := arrived.Load(); n != 2 {
		t.Fatalf("101 batches took %d fsyncs, want 2", n)
	}
}

// TestStoreDelayedSync: what nobody waits for is written at once and synced after 10 s, with one fsync.
func TestStoreDelayedSync(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		g.wait()
		before := disk.syncs // of the first snapshot
		for range 5 {
			g.add(false, &Event{Kind: evPaused, By: "x"})
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if text, _ := os.ReadFile(filepath.Join(dir, storeSegmentName(1))); bytes.Count(text, []byte("\n")) != 5 ||
			g.acked.Load() != 0 {
			t.Fatalf("before the sync: acknowledged %d, file:\n%s", g.acked.Load(), text)
		}
		time.Sleep(storeSyncDelay - 5*time.Second)
		synctest.Wait()
		if g.acked.Load() != 5 || disk.syncs-before != 1 {
			t.Fatalf("after %v: acknowledged %d with %d syncs, want 5 with 1", storeSyncDelay, g.acked.Load(),
				disk.syncs-before)
		}
	})
}

// TestStoreFailure: nothing is lost while the disk fails, the owner is told, and it goes on by itself.
func TestStoreFailure(t *testing.T) {
	for _, c := range []struct {
		ops   string
		errno syscall.Errno
		files int // segments afterwards
	}{{"write", syscall.ENOSPC, 1}, {"open", syscall.EROFS, 1}, {"write truncate", syscall.EIO, 1},
		{"sync", syscall.EIO, 2}, {"sync truncate", syscall.EIO, 2}} {
		t.Run(c.ops, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) { storeFailure(t, dir, c.ops, c.errno, c.files) })
		})
	}
}

func storeFailure(t *testing.T, dir, ops string, errno syscall.Errno, files int) {
	disk := storeDiskNew(t, dir, 1)
	var health []error
	g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap, onHealth: func(err error) {
		health = append(health,
			err)
	}})
	g.random(10)
	g.add(true)
	synctest.Wait()
	good := g.acked.Load()
	disk.set(func(op string) error {
		if strings.Contains(ops, op) {
			return errno
		}
		return nil
	})
	if ops == "open" {
		g.s.snapshot(g.state, nil) // makes it open a new segment
	}
	g.random(20)
	g.add(true)
	time.Sleep(25 * time.Second)
	g.random(20)
	synctest.Wait()
	if err := g.s.failing(); !errors.Is(err, errno) || g.acked.Load() > good {
		t.Fatalf("failing is %v, acknowledged %d, before %d", err, g.acked.Load(), good)
	}
	disk.set(nil)
	time.Sleep(storeRetryMax)
	synctest.Wait()
	if err := g.s.failing(); err != nil || g.acked.Load() != g.state.Seq {
		t.Fatalf("afterwards failing is %v, acknowledged %d of %d", err, g.acked.Load(), g.state.Seq)
	}
	if n := len(health); n < 2 || health[0] == nil || health[n-1] != nil {
		t.Fatalf("health: %v", health)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "journal", "*")); ops != "open" && len(names) != files {
		t.Fatalf("segments: %q, want %d", names, files)
	}
	if g.s.backlog.Load() != 0 {
		t.Fatalf("backlog %d", g.s.backlog.Load())
	}
	g.matches(g.state)
}

// TestStoreAbandonCut cuts the power after the writer gave a segment up because its sync failed: what came to the disk
// of it all the same is not part of the journal.
func TestStoreAbandonCut(t *testing.T) {
	for seed := range uint64(8) {
		top := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			dir := filepath.Join(top, "before")
			disk := storeDiskNew(t, dir, seed)
			g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
			for range 3 {
				g.random(10)
				g.add(true)
				synctest.Wait()
				disk.set(func(op string) error {
					if op == "sync" {
						return syscall.EIO
					}
					return nil
				})
				g.random(20)
				g.add(true)
				time.Sleep(storeRetryMax)
				disk.set(nil)
				time.Sleep(storeRetryMax)
				synctest.Wait()
			}
			if g.acked.Load() != g.state.Seq {
				t.Fatalf("acknowledged %d of %d", g.acked.Load(), g.state.Seq)
			}
			storeModelCut(t, g, disk, filepath.Join(top, "after"))
		})
	}
}

// TestStoreSeek: wherever the end of a block cuts a line, a reader begins at a line that is not after the event that it
// looks for.
func TestStoreSeek(t *testing.T) {
	t.Parallel()
	const mid = 100_000 // of the segment, where it is halved
	var c storeEncoder
	line := func(seq uint64, size int) []byte {
		t.Helper()
		e := &Event{Seq: seq, Kind: evAcked}
		if _, err := c.addEvents([]*Event{e}); err != nil {
			t.Fatal(err)
		}
		e.Reason = strings.Repeat("x", size-len(c.take())-len(`,"reason":""`))
		if _, err := c.addEvents([]*Event{e}); err != nil {
			t.Fatal(err)
		}
		return c.take()
	}
	for shown := range storeLineBody + len(`"seq":11,`) { // bytes of the second line that are in the block
		first := line(9, mid+64<<10-shown)
		name := filepath.Join(t.TempDir(), "segment")
		if err := os.WriteFile(name, append(first, line(11, 2*mid-len(first))...), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for seq, most := range map[uint64]int64{9: 0, 10: 0, 11: int64(len(first))} {
			if at, err := storeSeek(f, seq); err != nil || at > most {
				t.Errorf("%d bytes of line 11 are in the block: event %d is looked for from byte %d on, and line 11 "+
					"begins at %d: %v", shown, seq, at, len(first), err)
			}
		}
		f.Close()
	}
}
