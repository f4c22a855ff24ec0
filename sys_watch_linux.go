// sys_watch_linux.go: file events by inotify (inotify(7)). A watch reports that something changed in directories, and
// which files are being written. What that means is for its opener to know.

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchMask asks for everything that makes, removes, renames or writes a file, and for the end of the watched file or
// folder itself. IN_ATTRIB also comes when a file that is watched by a link loses its name to another.
const watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE |
	unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// watchNames asks only for the end of a file's name: the file lost it, or was moved.
const watchNames = unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// watchBirth asks for new entries of a directory, where one of a certain name is awaited.
const watchBirth = watchNames | unix.IN_CREATE | unix.IN_MOVED_TO

// watch is one inotify instance. It belongs to the goroutine that opened it, but for runRead.
type watch struct {
	file  *os.File
	fd    int
	add   func(fd int, path string, mask uint32) (int, error) // unix.InotifyAddWatch
	born  func(path string) bool                              // watchOpenFor
	mask  uint32
	wants func(path string) bool // which files count, by their names; nil: all of them
	raw   chan []byte
	stop  chan struct{}
	done  sync.WaitGroup
	paths map[int32]watchSpot // by watch descriptor
}

// watchSpot is what one watch descriptor covers. The kernel has one for each file, whatever paths lead to it.
type watchSpot struct {
	path  string
	whole bool            // all that the mask of the instance asks for; else only the end of the path
	names map[string]bool // also that an entry of one of these names appears in it
	mask  uint32          // what the kernel was asked for
	flags uint32          // how the kernel was asked to follow the path
}

// watchOpen starts an instance that watches nothing yet. close ends it. It reports writing only to files that wants
// names, by their full path; nil: all files.
func watchOpen(wants func(path string) bool) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	switch {
	case errors.Is(err, unix.EMFILE):
		return nil, fmt.Errorf("start inotify: %w: raise fs.inotify.max_user_instances", err)
	case err != nil:
		return nil, fmt.Errorf("start inotify: %w", err)
	}
	w := &watch{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, add: unix.InotifyAddWatch, born: watchOpenFor,
		mask:  watchMask,
		wants: wants, raw: make(chan []byte), stop: make(chan struct{}), paths: map[int32]watchSpot{}}
	w.done.Go(w.runRead)
	return w, nil
}

// watchOpenNames starts an instance that reports when a followed file loses its name, and nothing else.
func watchOpenNames() (*watch, error) {
	w, err := watchOpen(nil)
	if err == nil {
		w.mask = watchNames
	}
	return w, err
}

// beside makes the watch look at paths only by looks of waits, until ctx ends: a path may lead to a file system that
// hangs.
func (w *watch) beside(ctx context.Context, waits *diskWaits) {
	if w == nil {
		return
	}
	w.add = func(fd int, path string, mask uint32) (int, error) {
		return diskWait(ctx, waits, path, func() (int, error) { return unix.InotifyAddWatch(fd, path, mask) })
	}
	w.born = func(path string) bool {
		born, _ := diskWait(ctx, waits, path, func() (bool, error) { return watchOpenFor(path), nil })
		return born // false where the look gave up
	}
}

// runRead passes on what the kernel reports. It waits in read, and ends when close has closed the file.
func (w *watch) runRead() {
	defer close(w.raw)
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return
		}
		select {
		case w.raw <- append([]byte(nil), buffer[:n]...):
		case <-w.stop:
			return
		}
	}
}

// close ends the reader and the instance.
func (w *watch) close() {
	if w == nil {
		return
	}
	close(w.stop)
	w.file.Close()
	w.done.Wait()
}

// reports gives the kernel's reports, for translate. The channel is closed when there will be no more; it is nil where
// there is no watch.
func (w *watch) reports() <-chan []byte {
	if w == nil {
		return nil
	}
	return w.raw
}

// follow watches paths and nothing else, and says whether it watches more than before. It watches a path whose file was
// replaced anew; the kernel gives the same descriptor for a file that it watches already. It passes over directories on
// the way that it may not read.
func (w *watch) follow(paths []watchPath) (more bool, err error) {
	before := w.paths
	w.paths = make(map[int32]watchSpot, len(paths))
	for _, p := range paths {
		mask, flags := w.mask, uint32(0)
		switch {
		case p.name != "":
			mask, flags = watchBirth, unix.IN_ONLYDIR
		case p.way:
			mask, flags = watchNames, unix.IN_DONT_FOLLOW
		}
		// IN_MASK_ADD: with a smaller mask in between, events of that moment would be lost
		wd, failure := w.add(w.fd, p.path, mask|flags|unix.IN_MASK_ADD)
		switch {
		case failure == nil:
			spot, twice := w.paths[int32(wd)]
			was, known := before[int32(wd)]
			more = more || !known || p.name != "" && !was.names[p.name] || was.mask&mask != mask
			if p.name != "" {
				if spot.names == nil {
					spot.names = map[string]bool{}
				}
				spot.names[p.name] = true
			}
			if whole := !p.way && p.name == ""; !twice || whole && !spot.whole {
				spot.path, spot.whole, spot.flags = p.path, whole, flags
			}
			spot.mask |= mask
			w.paths[int32(wd)] = spot
		case errors.Is(failure, unix.ENOSPC):
			err = fmt.Errorf("watch %s: too many inotify watches: raise fs.inotify.max_user_watches", p.path)
		case errors.Is(failure, fs.ErrNotExist): // gone since the scan
			more = true
		case errors.Is(failure, fs.ErrPermission) && (p.way || p.name != ""): // a path may lead through it all the same
		default:
			err = fmt.Errorf("watch %s: %w", p.path, failure)
		}
	}
	for wd, was := range before {
		spot, still := w.paths[wd]
		switch {
		case !still:
			unix.InotifyRmWatch(w.fd, uint32(wd)) // fails where the directory is gone, and the watch with it
		case was.mask&^spot.mask != 0: // less is asked for than before
			if now, failure := w.add(w.fd, spot.path, spot.mask|spot.flags); failure != nil || int32(now) != wd {
				more = true // exchanged since
			}
		}
	}
	return more, err
}

// translate reads a report of the kernel, which is one struct inotify_event after the other.
func (w *watch) translate(report []byte) []watchNote {
	var notes []watchNote
	for len(report) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(report))
		mask := binary.NativeEndian.Uint32(report[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(report[12:]))
		if end > len(report) {
			break
		}
		name := strings.TrimRight(string(report[unix.SizeofInotifyEvent:end]), "\x00")
		report = report[end:]
		spot, known := w.paths[wd]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			notes = append(notes, watchNote{})
		case !known: // of a watch that follow has just ended
		case mask&unix.IN_IGNORED != 0:
			delete(w.paths, wd)
			notes = append(notes, watchNote{path: spot.path})
		case spot.whole:
			notes = w.note(notes, filepath.Join(spot.path, name), mask)
		case name == "" || spot.names[name]:
			notes = append(notes, watchNote{path: filepath.Join(spot.path, name)})
		}
	}
	return notes
}

// note adds the note that an event of path makes, if it makes one.
func (w *watch) note(notes []watchNote, path string, mask uint32) []watchNote {
	if w.wants == nil {
		return append(notes, watchNote{path: path})
	}
	wanted := w.wants(path)
	file := mask&unix.IN_ISDIR == 0
	const writing = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
	switch {
	case file && mask&writing != 0 && !wanted: // somebody's log
		return notes
	case mask&unix.IN_MODIFY != 0, file && wanted && mask&unix.IN_CREATE != 0 && w.born(path):
		return append(notes, watchNote{path: path, busy: true})
	}
	return append(notes, watchNote{path: path})
}

// watchOpenFor says whether a file that has just appeared is likely open for writing, so that an event of its closing
// will follow. A new hard link to an old file is not.
func watchOpenFor(path string) bool {
	var info unix.Stat_t
	return unix.Lstat(path, &info) == nil && info.Mode&syscall.S_IFMT == syscall.S_IFREG && info.Nlink == 1
}
