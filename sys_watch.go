// sys_watch.go: looks at something again when its files change. This loop serves all who follow a file or two; the
// workflows folder, where much happens, has a loop of its own (workflow_folder.go).

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

// errWatchNone says that the system reports no changes of files.
var errWatchNone = errors.New("no file events")

// watchNote is one report of a watch: a file is being written (busy) or was closed, or something else has changed.
type watchNote struct {
	path string // full path, "" when it may be anywhere
	busy bool
}

// watchSettleMost is how long after a first change the next look comes at the latest, however many changes follow.
const watchSettleMost = time.Second

// runWatchLook calls look at once, and again after changes: settle after the last one, but watchSettleMost after the
// first one at the latest. look calls follow for the one path whose changes it wants to hear of; follow says whether it
// watches more than before. look gives false where it may not hear of every change: then it is called again after
// again. runWatchLook ends with ctx and closes w, which may be nil.
func runWatchLook(ctx context.Context, w *watch, settle, again time.Duration,
	look func(follow func(path string) (more bool, err error)) (hearsAll bool)) {
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
				continue // it is about something else in a folder on the path
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

// Below: the way to a path, its directories and links. When one of them is replaced, the path names another file.

// watchPath is what a watch is to cover: all that happens in a folder or to a file, or less.
type watchPath struct {
	path string
	way  bool   // only that this link or directory ends or moves; a link is not followed
	name string // if not "": only that an entry of this name appears in this directory
}

// watchMaxLinks is how many links a path may lead through: as many as the kernel follows (path_resolution(7)).
const watchMaxLinks = 40

// watchWays gathers the ways to some paths. It belongs to one goroutine.
type watchWays struct {
	ctx   context.Context // of the looks
	waits *diskWaits
	ways  []watchPath
	have  map[watchPath]bool // what is in ways
	plain map[string]bool    // directories that are in ways and are no links
}

// watchWaysNew gathers nothing yet. waits are the looks of its owner (diskWait).
func watchWaysNew(ctx context.Context, waits *diskWaits) watchWays {
	return watchWays{ctx: ctx, waits: waits, have: map[watchPath]bool{}, plain: map[string]bool{}}
}

// addWay goes along a full path, through its links, to its end or to the first part that is missing, and gathers each
// directory and link on it. It looks at each directory once.
func (w *watchWays) addWay(full string) {
	at, rest, links := "/", strings.Split(full, "/"), 0
	for len(rest) > 0 {
		item := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, item) // right for .. too: at holds no link
		known := w.plain[next]
		if item == "" || item == "." || item == ".." {
			known = true
		}
		if known {
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

// look says what a path is, and where it leads if it is a link.
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
