// sys.go: the machine's clock: how much time has gone by, with the machine's sleep, and whether something has set the
// clock yet. A board without a battery starts in 1970, or at the time when it was switched off, until NTP sets its
// clock. The other files of this room ask the machine for disk space, file events, owners of files and time zones, and
// say how much memory a daemon may take.

package main

import (
	"context"
	"time"
)

const clockAwaitEach = time.Second // how often clockAwait looks at the clock: nothing tells when it is set

// clockCount gives a clock that nobody can set and that goes on while the machine sleeps. Only the differences of its
// times mean anything. Any goroutine may call the clock.
func clockCount() func() time.Time {
	began, elapsed := time.Now(), clockElapsed()
	at := elapsed()
	return func() time.Time { return began.Add(elapsed() - at) }
}

// clockAwait waits until the clock is set, but no longer than most, and not beyond ctx. It says whether it is set.
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
