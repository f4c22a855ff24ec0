// sys_timer.go: a timer for a process that mostly sleeps. The kernel wakes a sleeping Go program for a timer late, by a
// thousandth of the time that it sleeps, and the runtime's watcher thread, which wakes in time, looks again and again
// until then: some twenty switches for a timer of ten seconds. A timer of Linux comes like bytes from a socket: one.

package main

import (
	"context"
	"time"
)

// sleepFor waits for d; false when ctx has ended before. Any goroutine may call it.
func sleepFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wakeTimer is what a loop sleeps by. It belongs to that loop.
type wakeTimer struct {
	C     <-chan time.Time // gets the time when it rings; the ring before a reset may still be there
	reset func(time.Duration)
	stop  func()
}

// wakeTimerPlain is one by the runtime's timer. Tests with a false clock have no other.
func wakeTimerPlain() wakeTimer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return wakeTimer{C: t.C, reset: func(after time.Duration) { t.Reset(after) }, stop: func() { t.Stop() }}
}
