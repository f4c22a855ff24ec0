// sys_disk.go: opens and reads files so that nothing waits, and says how much room their file system has. Output leaves
// the last of the room to events, so that runs can still be made, ended, and recorded.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// diskLeave is what output leaves free, in bytes. The store's reserve comes on top of it.
const diskLeave = 1 << 20

// diskFree says how many bytes a user who is not root may still write where an open file or folder lies. Any goroutine
// may call it.
func diskFree(f *os.File) (int64, error) {
	facts, err := diskFactsOf(f)
	return facts.free, err
}

// diskFacts is what a file system says of itself.
type diskFacts struct {
	free, size         int64  // bytes, see diskFree, and all that it has
	inodes, inodesFree uint64 // files that it can hold, and how many more; 0, 0: it does not say
	kind               string // network, memory or fat; "": a usual one, or not known
}

// diskFactsOf asks the file system of an open file or folder.
func diskFactsOf(f *os.File) (facts diskFacts, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return facts, fmt.Errorf("ask for free space: %w", err)
	}
	return diskFacts{int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), st.Files,
		uint64(st.Ffree), diskKind(&st)}, nil
}

// diskRoom refuses n bytes of output, with ENOSPC, where they would leave less than diskLeave. A file system that does
// not say how much is free has room until a write fails.
func diskRoom(f *os.File, n int) error {
	free, err := diskFree(f)
	if err != nil || free >= int64(n)+diskLeave {
		return nil
	}
	return fmt.Errorf("%w: %d kB are left, for events", unix.ENOSPC, free>>10)
}

// errFileKind is the error of what is no regular file: reading would wait for a pipe, and never end on a device.
var errFileKind = errors.New("not a regular file")

// fileSizeError is the error of a file that has more than most bytes; size is how many are known of.
type fileSizeError struct{ size, most int64 }

func (e *fileSizeError) Error() string {
	return fmt.Sprintf("the file has %d bytes, more than %d", e.size, e.most)
}

// pathCause gives the cause of an error of package os without the path, for messages that name it themselves.
func pathCause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// diskOpen opens a file or a folder of our own, and may make it with mode 0600. It refuses anything else, such as a
// pipe, with errFileKind and without waiting: whoever may write in the folder can put a pipe in the place of a file.
func diskOpen(name string, flag int) (*os.File, error) {
	return diskOpened(os.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpenIn is diskOpen within a root.
func diskOpenIn(root *os.Root, name string, flag int) (*os.File, error) {
	return diskOpened(root.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpened passes on what was opened if it is a regular file or a folder, and closes it otherwise.
func diskOpened(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.Join(err, errFileKind)}
	}
	return f, nil
}

// fileRead reads a regular file of at most most bytes, and gives its FileInfo as it was after that. It follows links,
// and does not wait for a pipe or a device. It does wait for a network file system that hangs: no loop may call it.
// Errors are those of package os, errFileKind, or a fileSizeError.
func fileRead(name string, most int) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	return fileReadOpen(file, most)
}

// fileReadOpen is fileRead of a file that was opened so that nothing waits (O_NONBLOCK). The caller closes it.
func fileReadOpen(file *os.File, most int) ([]byte, fs.FileInfo, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, errFileKind
	case info.Size() > int64(most):
		return nil, nil, &fileSizeError{info.Size(), int64(most)}
	}
	data := make([]byte, 0, info.Size()+512)
	for {
		n, err := file.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if len(data) > most { // it has grown, or is a file of /proc, which has no size
			return nil, nil, &fileSizeError{int64(len(data)), int64(most)}
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
	info, err = file.Stat()
	return data, info, err
}

// errFileOwner is the error of a file that belongs to another user than its folder.
var errFileOwner = errors.New("it is not a file of the user whose folder it is in")

// fileReadOwn reads a regular file of at most most bytes in a folder, if both are of one user. It follows no link, also
// not to the folder, and waits for no pipe or device. It does wait for a file system that hangs: no loop may call it.
func fileReadOwn(dir, name string, most int) ([]byte, error) {
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ELOOP || err == unix.EMLINK: // as FreeBSD has it
		return nil, errFileOwner
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var folder, own unix.Stat_t
	if err := errors.Join(unix.Fstat(at, &folder), unix.Fstat(fd, &own)); err != nil {
		return nil, err
	}
	if folder.Uid != own.Uid {
		return nil, errFileOwner
	}
	text, _, err := fileReadOpen(file, most)
	return text, err
}

// fileReadPrivate reads a regular file of at most most bytes that nobody but its owner may read, and that belongs to us
// or to root, as the folder does that it is in. It follows no link from there. It does wait for a file system that
// hangs: no loop may call it.
func fileReadPrivate(dir, name string, most int) ([]byte, error) {
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ELOOP || err == unix.EMLINK: // as FreeBSD has it
		return nil, errors.New("it is a link: put the file itself there")
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var folder, own unix.Stat_t
	if err := errors.Join(unix.Fstat(at, &folder), unix.Fstat(fd, &own)); err != nil {
		return nil, err
	}
	foreign := func(uid uint32) bool { return uid != 0 && int(uid) != os.Geteuid() }
	switch {
	case foreign(folder.Uid):
		return nil, fmt.Errorf("its folder belongs to user %d, and not to us: chown it", folder.Uid)
	case folder.Mode&0o022 != 0:
		return nil, fmt.Errorf("others may write in its folder: chmod go-w %s", dir)
	case foreign(own.Uid):
		return nil, fmt.Errorf("it belongs to user %d, and not to us: chown it", own.Uid)
	case own.Mode&0o077 != 0 && own.Mode&unix.S_IFMT == unix.S_IFREG:
		return nil, fmt.Errorf("others may read it (its mode is %04o): chmod 600 %s/%s", own.Mode&0o7777, dir, name)
	}
	text, _, err := fileReadOpen(file, most)
	return text, err
}

// fileWhole gives the length of a file up to the end of its last whole line, however long the piece behind that is.
func fileWhole(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	block := make([]byte, 4<<10)
	for to := info.Size(); to > 0; {
		if to == info.Size() { // most often the last byte is enough
			if _, err := f.ReadAt(block[:1], to-1); err != nil {
				return 0, err
			}
			if block[0] == '\n' {
				return to, nil
			}
		}
		b := block[:min(to, int64(len(block)))]
		if _, err := f.ReadAt(b, to-int64(len(b))); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(b, '\n'); at >= 0 {
			return to - int64(len(b)) + int64(at) + 1, nil
		}
		to -= int64(len(b))
	}
	return 0, nil
}

// Below: looks at files whose place a user chooses, for owners who must go on when such a file does not answer. The
// kernel waits without end for a file on a network file system that hangs. So each look runs on a goroutine of its own
// and has a time limit; its owner gives it up after that.

const (
	diskLimit = 10 * time.Second       // how long the looks of one turn may take together before one is given up
	diskShort = 250 * time.Millisecond // how long each further look of that turn may still take
	// after this time a silent place is tried again, beside the look that still waits; the time doubles with each try
	diskAgain     = time.Minute
	diskAgainMost = time.Hour // the longest such time
	// how many looks may wait at one place; with so many it is not tried again before one comes back
	diskStuckEach = 4
	// how many looks may wait in all, each with a thread of the system; with so many every further look fails at once
	diskStuckMost = 32
)

// errDiskSilent is the error of a look that was given up, and of each further look at that place while it is silent.
var errDiskSilent = errors.New("it does not answer: see whether its file system does, a network mount perhaps")

// diskWaits are the looks of one owner, who makes one after the other. nil is an owner who looks once.
type diskWaits struct {
	back  chan struct{}      // gets one when a look that was given up has come back: it may be made again
	begin func(place string) // called on the look's goroutine before each look; nil but in tests, where it may hang

	left time.Duration // what is left of diskLimit in this turn; only the owner uses it

	mu    sync.Mutex // guards the fields below
	hung  map[string]*diskHung
	stuck int // looks that were given up and still wait
}

// diskHung is a place that does not answer.
type diskHung struct {
	stuck int           // looks that wait there
	again time.Time     // when it is tried the next time
	gap   time.Duration // how long after that it is tried again
}

// diskWaitsNew begins the looks of an owner.
func diskWaitsNew() *diskWaits {
	return &diskWaits{back: make(chan struct{}, 1), left: diskLimit, hung: map[string]*diskHung{}}
}

// turn begins a turn: its looks may take diskLimit together.
func (w *diskWaits) turn() { w.left = diskLimit }

// diskWait makes a look, as diskLook does, that gives a value.
func diskWait[T any](ctx context.Context, w *diskWaits, place string, fn func() (T, error)) (value T, err error) {
	found := new(T) // of a look that was given up: nobody else reads it
	over, err := diskLook(ctx, w, place, func() (err error) {
		*found, err = fn()
		return err
	})
	if over {
		value = *found
	}
	return value, err
}

// diskLook makes a look: it calls fn for a place, which is a file, or a part of a file system that answers or hangs as
// a whole. It gives up with errDiskSilent, or with the cause of ctx when that ends; over says that it did not. fn runs
// on another goroutine, maybe longer than diskLook: it must touch nothing that belongs to the owner. Only the owner of
// w calls this.
func diskLook(ctx context.Context, w *diskWaits, place string, fn func() error) (over bool, err error) {
	if w == nil {
		w = diskWaitsNew()
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	patience := w.patience(place)
	if patience == 0 {
		return false, errDiskSilent
	}
	done := make(chan error, 1)
	returned, given := false, false // whether fn has returned, and whether the owner has given up; w.mu guards them
	go func() {                     // ends with the look, however long the system holds that up
		if w.begin != nil {
			w.begin(place)
		}
		done <- fn()
		w.mu.Lock()
		defer w.mu.Unlock()
		returned = true
		if given {
			w.returned(place)
		}
	}()
	began, timer := time.Now(), time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-done:
		w.left -= time.Since(began)
		return true, err
	case <-timer.C:
		err = errDiskSilent
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	w.left -= time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	if returned {
		return true, <-done
	}
	given = true
	w.gaveUp(place)
	return false, err
}

// patience says how long a look at a place may take; 0: it is not made.
func (w *diskWaits) patience(place string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hung[place]
	switch {
	case w.stuck >= diskStuckMost, h != nil && (h.stuck >= diskStuckEach || time.Now().Before(h.again)):
		return 0
	case h != nil:
		return diskShort
	}
	return max(w.left, diskShort)
}

// gaveUp notes a look that waits on, and when its place is tried again. w.mu is held.
func (w *diskWaits) gaveUp(place string) {
	h := w.hung[place]
	if h == nil {
		h = &diskHung{gap: diskAgain}
		w.hung[place] = h
	}
	h.stuck++
	h.again = time.Now().Add(h.gap)
	h.gap = min(2*h.gap, diskAgainMost)
	w.stuck++
}

// returned notes that a look which was given up has come back: its place answers again. w.mu is held.
func (w *diskWaits) returned(place string) {
	w.stuck--
	h := w.hung[place]
	h.stuck--
	if h.stuck == 0 {
		delete(w.hung, place)
	} else {
		h.again = time.Time{}
	}
	select {
	case w.back <- struct{}{}:
	default:
	}
}

// fileReadWithin is fileRead as a look. ctx can end it.
func fileReadWithin(ctx context.Context, w *diskWaits, place, name string, most int) ([]byte, fs.FileInfo, error) {
	type file struct {
		data []byte
		info fs.FileInfo
	}
	f, err := diskWait(ctx, w, place, func() (f file, err error) {
		f.data, f.info, err = fileRead(name, most)
		return f, err
	})
	return f.data, f.info, diskNamed("read", name, err)
}

// diskStat is os.Stat as a look.
func diskStat(ctx context.Context, w *diskWaits, place, name string) (fs.FileInfo, error) {
	info, err := diskWait(ctx, w, place, func() (fs.FileInfo, error) { return os.Stat(name) })
	return info, diskNamed("stat", name, err)
}

// diskList is os.ReadDir as a look.
func diskList(ctx context.Context, w *diskWaits, place, name string) ([]fs.DirEntry, error) {
	list, err := diskWait(ctx, w, place, func() ([]fs.DirEntry, error) { return os.ReadDir(name) })
	return list, diskNamed("read", name, err)
}

// diskNamed puts the file's name into the error of a look that was given up. Other errors have it already.
func diskNamed(op, name string, err error) error {
	if errors.Is(err, errDiskSilent) {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return err
}

// diskInode gives the number that a file system has for a file; 0 where it has none.
func diskInode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
