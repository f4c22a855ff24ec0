// store_index_test.go: the index of the history: that a run is found in a few blocks, and that nothing that happens to
// the index or to the history makes it give a wrong line. TestStoreModel looks at it after power cuts.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// indexRig is a store with runs of some workflows in its history, a few of which were retried.
type indexRig struct {
	*storeRig
	runs  map[string]*Run // as they ended last
	opens atomic.Int64    // of files of the history and the index
}

func indexRigOpen(t *testing.T) *indexRig {
	g := &indexRig{runs: map[string]*Run{}}
	g.storeRig = storeRigOpen(t, storeOptions{files: func(l *storeFiles) {
		open := l.open
		l.open = func(name string, flag int) (*os.File, error) {
			if flag == os.O_RDONLY {
				g.opens.Add(1)
			}
			return open(name, flag)
		}
	}})
	return g
}

// add writes n runs of some workflows to the history, from a day on.
func (g *indexRig) add(n int, from time.Time) {
	for i := range n {
		at := from.Add(time.Duration(i) * time.Hour)
		r := historyRun(i, fmt.Sprintf("flow %d", i%7), runFailed, at)
		g.s.history(r, nil)
		if i%5 == 0 { // retried, in the next month
			again := *r
			again.Attempt, again.State, again.Finished = 2, runSucceeded, stampOf(at.Add(31*24*time.Hour))
			r = &again
			g.s.history(r, nil)
		}
		g.runs[r.ID] = r
	}
	g.wait()
}

// keep makes the index if that is due.
func (g *indexRig) keep() {
	g.t.Helper()
	if err := g.s.indexKeep(func() bool { return false }); err != nil {
		g.t.Fatal(err)
	}
}

// finds looks every run up, and gives how many files were opened for one at most.
func (g *indexRig) finds(what string) (most int64) {
	g.t.Helper()
	for id, want := range g.runs {
		before := g.opens.Load()
		found, err := g.s.historyFind(id, nil)
		if err != nil || !bytes.Equal(storeText(g.t, found), storeText(g.t, want)) {
			g.t.Fatalf("%s: find %s: %v\n%s, want\n%s", what, id, err, storeText(g.t, found), storeText(g.t, want))
		}
		most = max(most, g.opens.Load()-before)
	}
	return most
}

// files gives the paths of the files of the index, or of the history.
func (g *indexRig) files(pattern string) []string {
	names, err := filepath.Glob(filepath.Join(g.dir, pattern))
	if err != nil || len(names) == 0 {
		g.t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	return names
}

var indexBegin = time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)

// TestIndexFind: with the index one run is found in the records of its day and its line, however many there are.
func TestIndexFind(t *testing.T) {
	t.Parallel()
	g := indexRigOpen(t)
	g.add(200, indexBegin) // before there is an index
	if n := g.finds("without an index"); n <= 3 {
		t.Fatalf("%d files without an index: nothing is tested", n)
	}
	g.keep()
	g.s.historyFind(sortedKeys(g.runs)[0], nil) // it lists the folders
	if n := g.finds("made from the history"); n != 2 {
		t.Errorf("a run is found in %d files", n)
	}
	g.add(200, indexBegin.Add(90*24*time.Hour))
	if n := g.finds("added to"); n != 2 {
		t.Errorf("a run that came later is found in %d files", n)
	}
	g.keep()
	if g.reopen(); !g.s.index.whole.Load() {
		t.Error("the next process does not trust the index")
	}
	if n := g.finds("of the next process"); n > 3 {
		t.Errorf("the next process finds a run in %d files", n)
	}
	if size := g.s.sizeOf(indexFolder); size > 16*500 {
		t.Errorf("the index of 480 lines has %d bytes", size)
	}
}

// TestIndexDamage: whatever becomes of the index and of the history, the right line is found, and where it is found
// slowly the index is made anew.
func TestIndexDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what  string
		do    func(g *indexRig)
		stale bool // a search shows it
	}{
		{"a torn record", func(g *indexRig) {
			for _, name := range g.files("index/2026-*") {
				indexAppend(g.t, name, "torn!")
			}
		}, false},
		{"days of zeros", func(g *indexRig) {
			for _, name := range g.files("index/2026-*") {
				if err := os.WriteFile(name, make([]byte, 1000), 0o600); err != nil {
					g.t.Fatal(err)
				}
			}
		}, true},
		{"days that are gone", func(g *indexRig) {
			for _, name := range g.files("index/2026-*")[:5] {
				os.Remove(name)
			}
		}, true},
		{"no index", func(g *indexRig) { os.RemoveAll(filepath.Join(g.dir, indexFolder)) }, true},
		{"another form", func(g *indexRig) {
			os.WriteFile(filepath.Join(g.dir, indexWhole), []byte("0\n"), 0o600)
			g.reopen()
		}, false},
		{"lines that were moved", func(g *indexRig) {
			for _, name := range g.files("history/*/*.jsonl") {
				text, err := os.ReadFile(name)
				if err == nil {
					err = os.WriteFile(name, append([]byte("a remark\n"), text...), 0o600)
				}
				if err != nil {
					g.t.Fatal(err)
				}
			}
		}, false},
		{"files from elsewhere", func(g *indexRig) {
			name := path.Join(historyFolder, idFolder("put here"))
			if _, err := g.s.files.mkdir(name); err != nil {
				g.t.Fatal(err)
			}
			r := historyRun(0, "put here", runFailed, indexBegin)
			var c storeEncoder
			c.add(historyLineOf(r))
			indexAppend(g.t, filepath.Join(g.dir, name, "2026-01.jsonl"), string(c.take()))
			g.runs[r.ID] = r
		}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := indexRigOpen(t)
			g.add(100, indexBegin)
			g.keep()
			var told atomic.Int64
			g.s.opt.onStale = func() { told.Add(1) }
			g.opt.onStale = g.s.opt.onStale
			c.do(g)
			g.finds(c.what)
			if told.Load() > 0 != c.stale {
				t.Errorf("the index was found stale: %v, want %v", told.Load() > 0, c.stale)
			}
			g.keep()
			g.add(30, indexBegin.Add(200*24*time.Hour))
			if n := g.finds(c.what + ", made anew"); c.stale && n > 3 {
				t.Errorf("a run is found in %d files after the index was made anew", n)
			}
		})
	}
}

func indexAppend(t testing.TB, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestIndexTrim: retention cuts files and removes them; the index finds what stays, and is made anew when most of it
// points to nothing.
func TestIndexTrim(t *testing.T) {
	t.Parallel()
	g := indexRigOpen(t)
	g.add(400, indexBegin)
	g.keep()
	folder := path.Join(historyFolder, idFolder("flow 0"))
	g.s.snapshot(g.state, nil)
	g.s.historyTrim([]string{folder}, 10)
	g.wait()
	left := 0
	for id, r := range g.runs {
		if r.Workflow != "flow 0" {
			continue
		}
		found, err := g.s.historyFind(id, nil)
		if err != nil {
			delete(g.runs, id)
		} else if left++; historyKeyOf(found) != historyKeyOf(r) {
			t.Errorf("run %s: %+v", id, historyKeyOf(found))
		}
	}
	if left == 0 || left > 10 {
		t.Errorf("%d runs are left of 10 lines", left)
	}
	g.finds("trimmed")
	for day := range 3 { // records that point nowhere
		indexAppend(t, filepath.Join(g.dir, indexFolder, fmt.Sprintf("2020-01-%02d", day+1)), strings.Repeat("\x00",
			indexSpare/2))
	}
	g.keep()
	if size := g.s.sizeOf(indexFolder); size > 16*500 {
		t.Errorf("the index has %d bytes, most of them for nothing", size)
	}
	if n := g.finds("made anew"); n > 3 {
		t.Errorf("a run is found in %d files", n)
	}
}

// TestIndexMadeOnDisk: the index is made of names that no power cut takes back. A file that retention has cut would be
// longer again then, and records would point to older lines of their runs.
func TestIndexMadeOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := storeDiskNew(t, dir, 1)
	g := &indexRig{storeRig: storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap}), runs: map[string]*Run{}}
	g.add(100, indexBegin)
	folder := path.Join(historyFolder, idFolder("flow 0"))
	g.s.snapshot(g.state, nil)
	g.s.historyTrim([]string{folder}, 5)
	g.wait()
	older := func() (names []string) {
		for name, info := range storeNames(filepath.Join(dir, folder)) {
			if synced := disk.names[folder][name]; synced == nil || !os.SameFile(synced, info) {
				names = append(names, name)
			}
		}
		return names
	}
	if len(older()) == 0 {
		t.Fatal("the cut is on the disk already: nothing is tested")
	}
	if g.keep(); len(older()) > 0 {
		t.Errorf("a power cut brings back %q as they were before the cut", older())
	}
}

// TestIndexStaysMarked: while the disk does not take that index/whole is gone, no snapshot is saved.
func TestIndexStaysMarked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := storeDiskNew(t, dir, 1)
	g := &indexRig{storeRig: storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap}), runs: map[string]*Run{}}
	g.add(20, indexBegin)
	g.keep()
	disk.set(func(op string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	})
	g.s.index.stale.Store(true)
	if err := g.s.indexKeep(func() bool { return false }); err == nil {
		t.Fatal("the index is made on a disk that fails")
	}
	disk.set(nil)
	g.add(20, indexBegin.Add(100*24*time.Hour)) // not noted
	saved := make(chan error, 1)
	g.s.snapshot(g.state, func(err error) { saved <- err })
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	if disk.names[indexFolder]["whole"] != nil {
		t.Error("a snapshot is saved, and a power cut may bring back an index that lacks lines")
	}
}

// TestIndexOlder: an older cdktr adds to the history and not to the index. Where its snapshot has taken the journal's
// place, the index is not believed, nor after a crash since.
func TestIndexOlder(t *testing.T) {
	t.Parallel()
	g := indexRigOpen(t)
	g.add(50, indexBegin)
	g.keep()
	snapshot := func() {
		g.t.Helper()
		saved := make(chan error, 1)
		g.s.snapshot(g.state, func(err error) { saved <- err })
		if err := <-saved; err != nil {
			g.t.Fatal(err)
		}
	}
	snapshot()
	if g.reopen(); !g.s.index.whole.Load() {
		t.Fatal("the index is not believed though its snapshot is our own")
	}
	index, before := filepath.Join(g.dir, indexFolder), t.TempDir()
	if err := os.CopyFS(before, os.DirFS(index)); err != nil {
		t.Fatal(err)
	}
	for _, r := range g.runs { // each is retried and saved by the older one
		again := *r
		again.Attempt, again.Finished = r.Attempt+1, stampOf(r.Finished.Add(31*24*time.Hour))
		g.s.history(&again, nil)
		g.runs[r.ID] = &again
	}
	snapshot()
	g.stop()
	text, err := os.ReadFile(filepath.Join(g.dir, storeSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(text, []byte(`"index":true,`), nil, 1)
	storeSeal(older)
	err = errors.Join(os.WriteFile(filepath.Join(g.dir, storeSnapshot), older, 0o600), os.RemoveAll(index),
		os.CopyFS(index, os.DirFS(before)))
	if err != nil || len(older) == len(text) {
		t.Fatal(err, "nothing is tested")
	}
	g.reopen()
	g.finds("after the older one")
	snapshot() // from here on it says that the index is kept
	if _, err := os.Stat(filepath.Join(g.dir, indexWhole)); err == nil {
		t.Error("after a crash now the index would count as whole")
	}
	g.keep()
	if g.finds("made anew"); !g.s.index.whole.Load() {
		t.Error("the index is not made anew")
	}
}

// TestIndexUnreadable: where the index cannot be read, runs are found all the same, and it is made anew.
func TestIndexUnreadable(t *testing.T) {
	t.Parallel()
	g := indexRigOpen(t)
	g.add(50, indexBegin)
	g.keep()
	for _, name := range g.files("index/2026-*") {
		if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	g.finds("folders in place of files")
	g.keep()
	g.s.historyFind(sortedKeys(g.runs)[0], nil)
	if n := g.finds("made anew"); n != 2 {
		t.Errorf("a run is found in %d files", n)
	}
}

// TestIndexFull: an index that cannot be written costs nothing but time: history and snapshots go on.
func TestIndexFull(t *testing.T) {
	t.Parallel()
	full := atomic.Bool{}
	g := &indexRig{runs: map[string]*Run{}}
	g.storeRig = storeRigOpen(t, storeOptions{files: func(l *storeFiles) {
		write := l.write
		l.write = func(f *os.File, b []byte) (int, error) {
			if full.Load() && strings.Contains(f.Name(), indexFolder+"/") {
				n, _ := write(f, b[:len(b)/2])
				return n, syscall.ENOSPC
			}
			return write(f, b)
		}
	}})
	g.add(20, indexBegin)
	g.keep()
	full.Store(true)
	g.add(20, indexBegin.Add(100*24*time.Hour))
	g.finds("while it is full")
	g.s.snapshot(g.state, nil)
	g.wait()
	full.Store(false)
	if _, err := os.Stat(filepath.Join(g.dir, indexWhole)); err == nil {
		t.Error("the index counts as whole, and lacks records")
	}
	g.keep()
	if g.finds("made anew"); !g.s.index.whole.Load() {
		t.Error("the index is not whole again")
	}
}

// TestIndexWhileRunsEnd: runs that end while the index is made are in it.
func TestIndexWhileRunsEnd(t *testing.T) {
	t.Parallel()
	g := indexRigOpen(t)
	g.add(50, indexBegin)
	n := 0
	if err := g.s.indexKeep(func() bool { // it is asked for each file
		if n++; n%7 == 0 {
			g.add(3, indexBegin.Add(time.Duration(100+n)*24*time.Hour))
		}
		return false
	}); err != nil || n < 14 {
		t.Fatalf("asked %d times: %v", n, err)
	}
	for id := range g.runs {
		if run, err := g.s.indexFind(id, nil); run == nil || err != nil {
			t.Errorf("run %s is not in the index: %v", id, err)
		}
	}
	if err := g.s.indexKeep(func() bool { return true }); err != nil {
		t.Errorf("it is made again for nothing: %v", err)
	}
	g.s.index.stale.Store(true)
	if err := g.s.indexKeep(func() bool { return true }); err == nil || g.s.index.whole.Load() {
		t.Errorf("given up: %v, whole %v", err, g.s.index.whole.Load())
	}
	g.finds("given up")
}

// BenchmarkIndexFind finds runs among 100,000 of 100 workflows.
func BenchmarkIndexFind(b *testing.B) {
	g := storeRigOpen(b, storeOptions{NoSync: true})
	var ids []string
	for i := range 100_000 {
		r := historyRun(i, fmt.Sprintf("flow %d", i%100), runSucceeded, indexBegin.Add(time.Duration(i)*time.Minute))
		g.s.history(r, nil)
		ids = append(ids, r.ID)
	}
	g.wait()
	if err := g.s.indexKeep(func() bool { return false }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7919
		if _, err := g.s.historyFind(ids[i%len(ids)], nil); err != nil {
			b.Fatal(err)
		}
	}
}
