// sys_watch.go: looking at something again when its files change: the one loop of those who follow a file or two. The
// workflows folder has another, for much happens there (workflow_folder.go).

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errWatchNone says that the system tells of no changes.
var errWatchNone = errors.New("no file events")

// watchNote is what a watch tells: a file that is being written (busy) or was closed, or that something else changed.
type watchNote struct {
	path string // full path, "" when it may be anywhere
	busy bool
}

// watchSettleMost is how long after the first change a look is made at the latest, however many changes follow.
const watchSettleMost = time.Second

// runWatchLook calls look at once, and again settle after the last change of what the look before it has followed, but
// watchSettleMost after the first one. Where that look says that it will not be told of all, it is called again after
// that time. follow is for look: it has w tell of a path and of what leads there, and of no other, and says whether
// there is more that it tells of than before. It ends with ctx, and then closes w, which may be nil.
func runWatchLook(ctx context.Context, w *watch, settle, again time.Duration,
	look func(follow func(path string) (more bool, err error)) (told bool)) {
	defer func() { w.close() }()
	follow := func(path string) (bool, error) {
		if w == nil {
			return false, errWatchNone
		}
		ways := watchWaysNew(ctx, nil)
		ways.addWay(path)
		return w.follow(append(ways.ways, watchPath{path: path}))
	}
	var first time.Time // of the changes since the last look; zero: there was none
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case report, ok := <-w.reports():
			if !ok {
				w.close()
				w = nil
			} else if len(w.translate(report)) == 0 {
				continue // of something else beside the way
			}
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(max(0, min(settle, watchSettleMost-time.Since(first))))
		case <-timer.C:
			first = time.Time{}
			if !look(follow) {
				timer.Reset(again)
			}
		}
	}
}

// What leads to a path: where one of these directories or links is another, so is what the path
// names.

// watchPath is what a watch is to cover: all that happens in a folder, or to a file, or less.
type watchPath struct {
	path string
	way  bool   // that this link or directory ends or moves; a link is not followed
	name string // not "": that an entry of this name appears in this directory
}

// watchMaxLinks is how many links a path may lead through: as many as the kernel follows (path_resolution(7)).
const watchMaxLinks = 40

// watchWays gathers what leads to some paths. It belongs to one goroutine.
type watchWays struct {
	ctx   context.Context // of the looks
	waits *diskWaits
	ways  []watchPath
	have  map[watchPath]bool
	plain map[string]bool // directories, no links, that are in ways already
}

// watchWaysNew gathers nothing yet. waits is of who looks (diskWait).
func watchWaysNew(ctx context.Context, waits *diskWaits) watchWays {
	return watchWays{ctx: ctx, waits: waits, have: map[watchPath]bool{}, plain: map[string]bool{}}
}

// addWay goes along a whole path, through links, to what is there, or to where it ends, and notes what leads there.
// Each directory is looked at once.
func (w *watchWays) addWay(full string) {
	at, rest, links := "/", strings.Split(full, "/"), 0
	for len(rest) > 0 {
		item := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, item) // .. too is as the kernel has it: there is no link in at
		if item == "" || item == "." || item == ".." || w.plain[next] {
			at = next
			continue
		}
		info, to, err := w.look(next)
		switch {
		case err != nil:
			w.putWay(watchPath{path: at, name: item})
			return
		case info.Mode()&fs.ModeSymlink != 0:
			w.putWay(watchPath{path: next, way: true})
			links++
			if to == "" || links > watchMaxLinks {
				return
			}
			if strings.HasPrefix(to, "/") {
				at = "/"
			}
			rest = append(strings.Split(to, "/"), rest...)
			continue
		case info.IsDir():
			w.plain[next] = true
			w.putWay(watchPath{path: next, way: true})
		}
		at = next
	}
}

// look gives what a path is itself, and where it leads if it is a link.
func (w *watchWays) look(name string) (info fs.FileInfo, to string, err error) {
	info, err = diskWait(w.ctx, w.waits, name, func() (fs.FileInfo, error) { return os.Lstat(name) })
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		to, err = diskWait(w.ctx, w.waits, name, func() (string, error) { return os.Readlink(name) })
	}
	return info, to, err
}

func (w *watchWays) putWay(p watchPath) {
	if !w.have[p] {
		w.have[p] = true
		w.ways = append(w.ways, p)
	}
}
