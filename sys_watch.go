// sys_watch.go: looking at something again when its files change: the one loop of those who follow a file or two. The
// workflows folder has another, for much happens there (workflow_folder.go).

package main

import (
	"context"
	"errors"
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
// watchSettleMost after the first one. Where that look
// says that it will not be told of all, it is called again after that time. follow is for look: it has w tell of a path and of
// what leads there, and of no other, and says whether there is more that it tells of than before. It ends with ctx, and then closes w, which may be nil.
func runWatchLook(ctx context.Context, w *watch, settle, again time.Duration, look func(follow func(path string) (more bool, err error)) (told bool)) {
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
