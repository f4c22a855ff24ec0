// store_files.go: how the store touches the disk. Every open, write, fsync, truncation, rename and removal of the
// principal's files goes through storeFiles, so that a test can make each of them fail. The lock of the state folder
// and the safe replacement of a file are here too.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// storeFiles is the file layer. All names are relative to the state folder, with slashes; os.Root keeps them inside it,
// with any symbolic link that they go through. storeFilesOf sets the functions to the real thing; a test wraps them.
type storeFiles struct {
	root     *os.Root
	open     func(name string, flag int) (*os.File, error) // files are made with mode 0600
	write    func(f *os.File, b []byte) (int, error)
	sync     func(f *os.File) error // of a file or a folder
	truncate func(f *os.File, size int64) error
	rename   func(from, to string) error
	remove   func(name string) error
}

// storeFilesOf gives the real file layer over root. With noSync nothing is forced to the disk: for state that is
// thrown away at the end.
func storeFilesOf(root *os.Root, noSync bool) storeFiles {
	l := storeFiles{
		root:     root,
		open:     func(name string, flag int) (*os.File, error) { return diskOpenIn(root, name, flag) },
		write:    (*os.File).Write,
		sync:     (*os.File).Sync,
		truncate: (*os.File).Truncate,
		rename:   root.Rename,
		remove:   root.Remove,
	}
	if noSync {
		l.sync = func(*os.File) error { return nil }
	}
	return l
}

// mkdir makes a folder, and says whether it had to.
func (l *storeFiles) mkdir(name string) (bool, error) {
	err := l.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// list gives the entries of a folder, sorted by name; a folder that is not there has none.
func (l *storeFiles) list(name string) ([]fs.DirEntry, error) {
	dir, err := diskOpenIn(l.root, name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// syncFolder makes the names in a folder durable. A file system that cannot sync a folder (some network and FUSE ones
// say EINVAL) either keeps names in order by itself or does not: nothing more can be done there.
func (l *storeFiles) syncFolder(name string) error {
	f, err := l.open(name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", name, err)
	}
	defer f.Close()
	if err := l.sync(f); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync folder %s: %w", name, err)
	}
	return nil
}

// syncFile makes what was written to a file durable, whoever wrote it.
func (l *storeFiles) syncFile(name string) error {
	f, err := l.open(name, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("sync file %s: %w", name, err)
	}
	defer f.Close()
	if err := l.sync(f); err != nil {
		return fmt.Errorf("sync file %s: %w", name, err)
	}
	return nil
}

// put writes a file whole and makes its content durable, but not yet its name.
func (l *storeFiles) put(name string, data []byte) error {
	f, err := l.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = l.write(f, data)
	if err == nil {
		err = l.sync(f)
	}
	closeErr := f.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil {
		l.remove(name) // half a file helps nobody, and takes space that is needed
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// replace writes data in place of the file name, and keeps the old content as name.1. If the file was there, one of the
// two is there and whole at every instant.
func (l *storeFiles) replace(name string, data []byte) error {
	if err := l.put(name+".tmp", data); err != nil {
		return err
	}
	if err := l.rename(name, name+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep old %s: %w", name, err)
	}
	if err := l.rename(name+".tmp", name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return l.syncFolder(".")
}

// storeHolder is what the lock file says of the process that holds the state folder.
type storeHolder struct {
	PID   int   `json:"pid"`
	Since Stamp `json:"since"`
}

const (
	storeLockWait  = 2 * time.Second      // how long a start waits for the lock of a process that is gone
	storeLockAgain = 5 * time.Millisecond // between two tries within storeLockWait
)

// lock takes the lock of the state folder dir (flock(2): the kernel releases it when the process ends, however it
// ends). A child that the dead process was just starting may hold the lock for a moment longer, between fork and exec:
// lock waits for that. The file stays behind at the end: if it were removed, two processes could lock two files of one
// name.
func (l *storeFiles) lock(dir string, since Stamp) (*os.File, error) {
	f, err := diskOpenIn(l.root, "lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock state folder %s: %w", dir, err)
	}
	for began := time.Now(); ; time.Sleep(storeLockAgain) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		soonFree := err == unix.EWOULDBLOCK && storeHolderGone(f) && time.Since(began) < storeLockWait
		if err != unix.EINTR && !soonFree {
			break
		}
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		defer f.Close()
		return nil, conflict(fmt.Sprintf("lock state folder %s: %s: stop that one first, or give this one a folder "+
			"of its own with --state", dir, storeHeldBy(f)))
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("lock state folder %s: %w: it must be on a filesystem that can lock files", dir, err)
	}
	// Errors are ignored: the file's text only helps the reader of the error above, and a full disk must not stop a
	// start.
	if text, err := json.Marshal(storeHolder{PID: os.Getpid(), Since: since}); err == nil {
		f.Truncate(0)
		f.WriteAt(append(text, '\n'), 0)
	}
	return f, nil
}

// storeUnlock releases a lock and closes its file. A child that is just being started may have the file open a moment
// longer: the lock is released for it too.
func storeUnlock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// storeHolderOf reads what the lock file f says; a PID of 0 when it says nothing.
func storeHolderOf(f *os.File) (holder storeHolder) {
	var text [256]byte
	n, _ := f.ReadAt(text[:], 0)
	if json.Unmarshal(text[:n], &holder) != nil {
		return storeHolder{}
	}
	return holder
}

// storeHolderGone says whether the process that the lock file f names is no more.
func storeHolderGone(f *os.File) bool {
	holder := storeHolderOf(f)
	return holder.PID > 0 && errors.Is(unix.Kill(holder.PID, 0), unix.ESRCH)
}

// storeHeldBy says in words who holds the lock file f.
func storeHeldBy(f *os.File) string {
	holder := storeHolderOf(f)
	if holder.PID == 0 {
		return "another process holds it"
	}
	return fmt.Sprintf("process %d holds it since %s", holder.PID, holder.Since.Format(stampLayout))
}
