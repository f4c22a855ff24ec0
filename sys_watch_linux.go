// sys_watch_linux.go: inotify (inotify(7)). It tells that something changed in directories, and which files are being
// written; what that means is the business of whoever opened it.

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

// watchMask is what is asked for: whatever makes, ends, renames or writes a file, and the end of the watched thing
// itself. IN_ATTRIB also comes when a file that is watched by a link loses its name to another.
const watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE |
	unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// watchNames is asked for where only the end of a file's name counts: it lost it, or was moved.
const watchNames = unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// watchBirth is asked for where an entry of some name is awaited.
const watchBirth = watchNames | unix.IN_CREATE | unix.IN_MOVED_TO

// watch is one inotify instance. All but its reader belongs to the goroutine that opened it.
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

// watchSpot is what is watched with one descriptor: the kernel has one for each file, whatever paths lead to it.
type watchSpot struct {
	path  string
	whole bool            // all that the mask of the instance asks for; else only the end of the path
	names map[string]bool // beside that, that an entry of one of these names appears in it
	mask  uint32          // of what is asked for
	flags uint32          // with which path is followed
}

// watchOpen starts an instance that watches nothing yet. close ends it. What is written to a file tells it only where
// wants says that the file counts, by its full path; nil: all files count.
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

// watchOpenNames starts an instance that tells of the end of the names that it follows, and of nothing else.
func watchOpenNames() (*watch, error) {
	w, err := watchOpen(nil)
	if err == nil {
		w.mask = watchNames
	}
	return w, err
}

// beside has it look at no path but in w, until ctx ends: a path may lead where nothing answers.
func (w *watch) beside(ctx context.Context, waits *diskWaits) {
	if w == nil {
		return
	}
	w.add = func(fd int, path string, mask uint32) (int, error) {
		return diskWait(ctx, waits, path, func() (int, error) { return unix.InotifyAddWatch(fd, path, mask) })
	}
	w.born = func(path string) bool {
		// if not known: no
		born, _ := diskWait(ctx, waits, path, func() (bool, error) { return watchOpenFor(path), nil })
		return born
	}
}

// runRead hands on what the kernel reports. It waits in read, and ends when close has closed the file.
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

// reports is where the reports come from, for translate. It is closed when there will be no more; of no watch it is
// nil.
func (w *watch) reports() <-chan []byte {
	if w == nil {
		return nil
	}
	return w.raw
}

// follow watches paths and nothing else, and says whether some were not watched before. A path whose file has been
// replaced is watched anew; the kernel gives the same descriptor for what it watches already. Of the way to them what
// may not be watched is passed over.
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
		// added to: with less in between, what happens then would be lost
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
		case errors.Is(failure, fs.ErrPermission) && (p.way || p.name != ""): // one may go through without reading it
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

// translate reads a report of the kernel: struct inotify_event, one after the other.
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
	const writing = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
	switch {
	case mask&unix.IN_ISDIR == 0 && mask&writing != 0 && !wanted: // someone's log
		return notes
	case mask&unix.IN_MODIFY != 0, mask&unix.IN_CREATE != 0 && mask&unix.IN_ISDIR == 0 && wanted && w.born(path):
		return append(notes, watchNote{path: path, busy: true})
	}
	return append(notes, watchNote{path: path})
}

// watchOpenFor says whether a file that has just appeared is likely open for writing, so that an event of its closing
// will follow: not a link to a file that was there before.
func watchOpenFor(path string) bool {
	var info unix.Stat_t
	return unix.Lstat(path, &info) == nil && info.Mode&syscall.S_IFMT == syscall.S_IFREG && info.Nlink == 1
}
