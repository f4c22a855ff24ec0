// sys_alarm.go: a timer for a process that mostly sleeps. The kernel wakes a sleeping Go program for a timer late, by a
// thousandth of the time that it sleeps, and the runtime's watcher thread, which wakes in time, looks again and again
// until then: some twenty switches for a timer of ten seconds. An alarm of Linux comes like bytes from a socket: one.

package main

import "time"

// alarm is what a loop sleeps by. It belongs to that loop.
type alarm struct {
	C     <-chan time.Time // gets the time when it rings; the ring before a reset may still be there
	reset func(time.Duration)
	stop  func()
}

// alarmTimer is an alarm by the runtime's timer. Tests with a false clock have no other.
func alarmTimer() alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return alarm{C: t.C, reset: func(after time.Duration) { t.Reset(after) }, stop: func() { t.Stop() }}
}
