// sys_disk.go: how a file is opened and read so that nothing waits, and how much room there is on the file system of a
// file. Output leaves the last of that alone: what is left then is for events, so that runs can still be made, ended,
// and recorded.

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

// diskFree gives how many bytes may still be written where an open file or folder lies, by a user who is not root. Any
// goroutine may call it.
func diskFree(f *os.File) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// diskRoom says no, with ENOSPC, to n bytes of output that would leave less than diskLeave. A file system that does not
// say how much is free has room until a write says otherwise.
func diskRoom(f *os.File, n int) error {
	free, err := diskFree(f)
	if err != nil || free >= int64(n)+diskLeave {
		return nil
	}
	return fmt.Errorf("%w: %d kB are left, for events", unix.ENOSPC, free>>10)
}

// errFileKind is an error of what is no regular file: a pipe would be waited for, a device has no end.
var errFileKind = errors.New("not a regular file")

// fileSizeError is an error of a file that is larger than its reader takes. Both are bytes; size is what is known of
// it.
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

// diskOpen opens a file or a folder of our own, made with mode 0600. What else has the name, a pipe say, is refused
// with errFileKind and not waited for: whoever may write there may put one in the place of a file.
func diskOpen(name string, flag int) (*os.File, error) {
	return diskOpened(os.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpenIn is diskOpen within a root.
func diskOpenIn(root *os.Root, name string, flag int) (*os.File, error) {
	return diskOpened(root.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600))
}

// diskOpened passes on what was opened, when it is a regular file or a folder.
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

// fileRead reads a regular file of at most most bytes, and says what it was after that. It does not wait for a pipe or
// a device that has the name, and follows links. A file on a network that hangs is waited for: no loop may call it.
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

// fileWhole gives the length of a file up to the end of its last whole line, however long what is behind that is.
func fileWhole(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	block := make([]byte, 4<<10)
	for to := info.Size(); to > 0; {
		if to == info.Size() { // most often the last byte is all there is to see
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

// Looking at files of which a user says where they are, for those who must go on when such a file
// does not answer: one on a network that hangs is waited for by the kernel, without an end. Each look is made beside
// its owner, has a limit of time, and is given up after that.

const (
	diskLimit = 10 * time.Second       // how long the looks of one turn may take together before one is given up
	diskShort = 250 * time.Millisecond // what each further look of that turn still gets
	// after which a place that did not answer is tried once more, beside the look that still waits; then twice as long
	diskAgain     = time.Minute
	diskAgainMost = time.Hour // at most so long
	// looks at one place that wait at once; with so many it is not tried again before one comes back
	diskStuckEach = 4
	// looks in all that wait at once, each with a thread of the system; with so many every look fails at once
	diskStuckMost = 32
)

// errDiskSilent is what a look fails with that was given up, and each at the same place while that lasts.
var errDiskSilent = errors.New("it does not answer: see whether its file system does, a network mount perhaps")

// diskWaits are the looks of one owner, who makes one after the other. nil is an owner who looks once.
type diskWaits struct {
	back  chan struct{}      // gets one when a look that was given up has come back: it may be made again
	begin func(place string) // called beside the owner at the start of each look; nil but in tests, where it may hang

	left  time.Duration // of diskLimit, in this turn; of the owner alone
	mu    sync.Mutex    // guards what is below
	hung  map[string]*diskHung
	stuck int // looks that were given up and wait
}

// diskHung is a place that does not answer.
type diskHung struct {
	stuck int           // looks that wait there
	again time.Time     // when it is tried once more
	gap   time.Duration // between that and the time after
}

// diskWaitsNew is an owner of which nothing waits.
func diskWaitsNew() *diskWaits {
	return &diskWaits{back: make(chan struct{}, 1), left: diskLimit, hung: map[string]*diskHung{}}
}

// turn begins a turn: its looks have diskLimit together.
func (w *diskWaits) turn() { w.left = diskLimit }

// diskWait looks, by fn, at what is in a place: a file, or a part of a file system that answers or does not as a whole.
// It gives up with errDiskSilent, or with the cause of ctx when that ends. fn is called on another goroutine and may
// still be running then: it must touch nothing of its owner's. Only the owner of w calls this.
func diskWait[T any](ctx context.Context, w *diskWaits, place string, fn func() (T, error)) (value T, err error) {
	if w == nil {
		w = diskWaitsNew()
	}
	if ctx.Err() != nil {
		return value, context.Cause(ctx)
	}
	patience := w.patience(place)
	if patience == 0 {
		return value, errDiskSilent
	}
	type result struct {
		value T
		err   error
	}
	// the two are guarded by w.mu: whether it came, and whether nobody waits
	done, over, given := make(chan result, 1), false, false
	go func() { // ends with the look, however long the system holds that up
		if w.begin != nil {
			w.begin(place)
		}
		v, err := fn()
		done <- result{v, err}
		w.mu.Lock()
		defer w.mu.Unlock()
		over = true
		if given {
			w.returned(place)
		}
	}()
	began, timer := time.Now(), time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-done:
		w.left -= time.Since(began)
		return r.value, r.err
	case <-timer.C:
		err = errDiskSilent
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	w.left -= time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	if over {
		r := <-done
		return r.value, r.err
	}
	given = true
	w.gaveUp(place)
	return value, err
}

// patience gives how long a look at a place may take; 0: it is not made.
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

// fileReadWithin is fileRead within such a look, for whoever can be told to stop meanwhile.
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

// diskStat is os.Stat within such a look.
func diskStat(ctx context.Context, w *diskWaits, place, name string) (fs.FileInfo, error) {
	info, err := diskWait(ctx, w, place, func() (fs.FileInfo, error) { return os.Stat(name) })
	return info, diskNamed("stat", name, err)
}

// diskList is os.ReadDir within such a look.
func diskList(ctx context.Context, w *diskWaits, place, name string) ([]fs.DirEntry, error) {
	list, err := diskWait(ctx, w, place, func() ([]fs.DirEntry, error) { return os.ReadDir(name) })
	return list, diskNamed("read", name, err)
}

// diskNamed names the file of a look that was given up; other errors name it already.
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
