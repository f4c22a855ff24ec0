// store_files_test.go: a disk for the tests of the store that fails when it is told to, writes half of what it should,
// and knows what would be left of it after a power cut.

package main

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// storeDisk is a disk that fails when it is told to, and knows what would be left of it after a power cut.
type storeDisk struct {
	t        testing.TB
	mu       sync.Mutex
	dir      string
	rng      *rand.Rand
	fail     func(op string) error // "open", "write", "sync", "truncate", "rename", "remove"; nil error: it works
	content  map[uint64][]byte     // by inode: what is on the disk,
	perhaps  map[uint64][][]byte   // or one of these, which were written or taken back since
	dropped  map[uint64][2]int     // what a sync that failed may have dropped for good, though it reads well: from, to
	names    map[string]map[string]fs.FileInfo
	held     []*os.File // removed files, so that their inodes are not used again
	syncs    int
	syncHook func()
}

func storeDiskNew(t testing.TB, dir string, seed uint64) *storeDisk {
	d := &storeDisk{t: t, dir: dir, rng: rand.New(rand.NewPCG(seed, 7)), fail: func(string) error { return nil },
		content: map[uint64][]byte{}, perhaps: map[uint64][][]byte{}, dropped: map[uint64][2]int{},
		names: map[string]map[string]fs.FileInfo{}}
	t.Cleanup(func() {
		for _, f := range d.held {
			f.Close()
		}
	})
	return d
}

func (d *storeDisk) set(fail func(op string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail = fail; fail == nil {
		d.fail = func(string) error { return nil }
	}
}

func (d *storeDisk) fails(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fail(op)
}

// wrap puts the disk under a store.
func (d *storeDisk) wrap(l *storeFiles) {
	real := *l
	l.open = func(name string, flag int) (*os.File, error) {
		if flag&os.O_CREATE != 0 {
			if err := d.fails("open"); err != nil {
				return nil, err
			}
		}
		return real.open(name, flag)
	}
	l.write = func(f *os.File, b []byte) (int, error) {
		if err := d.fails("write"); err != nil {
			n, _ := real.write(f, b[:d.rng.IntN(len(b)+1)])
			return n, err
		}
		return real.write(f, b)
	}
	l.sync = func(f *os.File) error {
		if d.syncHook != nil {
			d.syncHook()
		}
		if err := d.fails("sync"); err != nil {
			d.written(f)
			d.drop(f)
			return err
		}
		d.sync(f)
		return nil
	}
	l.truncate = func(f *os.File, size int64) error {
		if err := d.fails("truncate"); err != nil {
			return err
		}
		d.written(f)
		return real.truncate(f, size)
	}
	l.rename = func(from, to string) error {
		if err := d.fails("rename"); err != nil {
			return err
		}
		d.hold(to)
		return real.rename(from, to)
	}
	l.remove = func(name string) error {
		if err := d.fails("remove"); err != nil {
			return err
		}
		d.hold(name)
		return real.remove(name)
	}
}

func (d *storeDisk) hold(name string) {
	if f, err := os.Open(filepath.Join(d.dir, name)); err == nil {
		d.held = append(d.held, f)
	}
}

func storeInode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// written notes that a part of what f holds and was not synced may have come to the disk all the same.
func (d *storeDisk) written(f *os.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return
	}
	inode := storeInode(info)
	text, err := os.ReadFile(f.Name())
	if err != nil {
		d.t.Error(err)
	}
	if rest, ok := bytes.CutPrefix(text, d.content[inode]); ok && len(rest) > 0 {
		d.perhaps[inode] = append(d.perhaps[inode], text[:len(text)-d.rng.IntN(len(rest))])
	}
}

// drop notes what a failed sync of f may have dropped: the kernel takes such pages for written, and no later sync
// writes them (https://wiki.postgresql.org/wiki/Fsync_Errors).
func (d *storeDisk) drop(f *os.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return
	}
	inode := storeInode(info)
	if _, ok := d.dropped[inode]; !ok && d.rng.IntN(2) == 0 {
		d.dropped[inode] = [2]int{len(d.content[inode]), int(info.Size())}
	}
}

// sync notes that what f holds is on the disk.
func (d *storeDisk) sync(f *os.File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		d.t.Error(err)
		return
	}
	if info.IsDir() {
		d.names[storeInodePath(d.dir, info)] = storeNames(f.Name())
		return
	}
	d.syncs++
	text, err := os.ReadFile(f.Name())
	if err != nil {
		d.t.Error(err)
	}
	if lost, ok := d.dropped[storeInode(info)]; ok {
		clear(text[min(lost[0], len(text)):min(lost[1], len(text))])
	}
	d.content[storeInode(info)] = text
	delete(d.perhaps, storeInode(info))
}

// storeInodePath finds the folder by what it is, for a file's Name may be spelled in several ways.
func storeInodePath(dir string, want fs.FileInfo) (found string) {
	filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			if info, err := e.Info(); err == nil && os.SameFile(info, want) {
				found, _ = filepath.Rel(dir, p)
			}
		}
		return nil
	})
	return found
}

func storeNames(dir string) map[string]fs.FileInfo {
	names := map[string]fs.FileInfo{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			names[e.Name()] = info
		}
	}
	return names
}

// cut gives a folder with what a power cut leaves: of each folder the names that were synced, or the newest; of each
// file what was synced, and perhaps some of what was written since, in part as zeros.
func (d *storeDisk) cut(folder, into string) {
	names := d.names[folder]
	if d.rng.IntN(2) == 0 || names == nil && folder == "." {
		names = storeNames(filepath.Join(d.dir, folder))
	}
	now := map[uint64]string{}
	for name, info := range storeNames(filepath.Join(d.dir, folder)) {
		now[storeInode(info)] = name
	}
	os.MkdirAll(into, 0o700)
	for name, info := range names {
		if info.IsDir() {
			d.cut(filepath.Join(folder, name), filepath.Join(into, name))
			continue
		}
		text := d.content[storeInode(info)]
		if other := d.perhaps[storeInode(info)]; len(other) > 0 && d.rng.IntN(2) == 0 {
			text = other[d.rng.IntN(len(other))]
		} else if newer, err := os.ReadFile(filepath.Join(d.dir, folder, now[storeInode(info)])); err == nil &&
			now[storeInode(info)] != "" {
			if rest, ok := bytes.CutPrefix(newer, text); ok {
				rest = rest[:d.rng.IntN(len(rest)+1)]
				zero := d.rng.IntN(3*len(rest) + 1)
				for i := zero; i < len(rest); i++ {
					rest[i] = 0
				}
				text = append(bytes.Clone(text), rest...)
			} else if d.rng.IntN(2) == 0 {
				text = newer
			}
		}
		if err := os.WriteFile(filepath.Join(into, name), text, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

// move goes on in another folder; all that is there is on the disk.
func (d *storeDisk) move(dir string) {
	d.dir, d.content, d.perhaps, d.dropped, d.names = dir, map[uint64][]byte{}, map[uint64][][]byte{},
		map[uint64][2]int{}, map[string]map[string]fs.FileInfo{}
	filepath.WalkDir(dir, func(p string, _ fs.DirEntry, _ error) error {
		if f, err := os.Open(p); err == nil {
			d.sync(f)
			f.Close()
		}
		return nil
	})
}
