//go:build !linux

// sys_watch_other.go: systems without inotify report no file events. Their users look again from time to time.

package main

import (
	"context"
	"fmt"
	"runtime"
)

// watch is never made on this system.
type watch struct{}

// watchOpen says that there are no file events.
func watchOpen(func(path string) bool) (*watch, error) {
	return nil, fmt.Errorf("%w on %s", errWatchNone, runtime.GOOS)
}

func (w *watch) reports() <-chan []byte                    { return nil }
func (w *watch) translate([]byte) []watchNote              { return nil }
func (w *watch) follow([]watchPath) (more bool, err error) { return false, nil }
func (w *watch) beside(context.Context, *diskWaits)        {}
func (w *watch) close()                                    {}

func watchOpenNames() (*watch, error) { return watchOpen(nil) }
