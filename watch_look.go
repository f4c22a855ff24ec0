// watch_look.go: looking at something again when its files change: the one loop of those who follow a file or two. The workflows
// folder has another, for much happens there (folder.go). Uses watch_way.go and the watch_ file of the system.

package main

import (
	"context"
	"errors"
	"time"
)

// errWatchNone says that the system tells of no changes.
var errWatchNone = errors.New("no file events")

// runWatchLook calls look at once, and again settle after the last change of what the look before it has followed. Where that look
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
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case report, ok := <-w.reports():
			if ok {
				w.translate(report) // what it says is not asked for, but it keeps the books
			} else {
				w.close()
				w = nil
			}
			timer.Reset(settle)
		case <-timer.C:
			if !look(follow) {
				timer.Reset(again)
			}
		}
	}
}
