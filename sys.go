// sys.go: what the system knows of its clock: how much time has gone by, sleep of the machine included, and whether
// something has set the clock yet. A board without a clock of its own starts in 1970, or where it was when it was
// switched off, and is right only when NTP has spoken.

package main

import (
	"context"
	"time"
)

const clockAwaitEach = time.Second // a clock that is being set is looked at so often: nothing tells of it

// clockCount gives a clock that nobody can set and that goes on while the machine sleeps: only the differences of its
// times mean anything. Any goroutine may call what it gives.
func clockCount() func() time.Time {
	began, elapsed := time.Now(), clockElapsed()
	at := elapsed()
	return func() time.Time { return began.Add(elapsed() - at) }
}

// clockAwait waits until the clock is set, but no longer than most, and not beyond ctx. It says whether it is.
func clockAwait(ctx context.Context, most time.Duration, unset func() bool) bool {
	over := time.After(most)
	for unset() {
		select {
		case <-time.After(clockAwaitEach):
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}
