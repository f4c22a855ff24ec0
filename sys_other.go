//go:build !linux

// sys_other.go: the clock's room where the system tells less.

package main

import (
	"time"
)

// clockBoot is not known here: each start counts as the first.
func clockBoot() string { return "" }

// clockMonotonic is for systemd, which is not here.
func clockMonotonic() (time.Duration, bool) { return 0, false }

// clockElapsed gives what tells the time since some instant; whether the machine's sleep counts is the system's choice.
func clockElapsed() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// clockUnset says no: it is not known.
func clockUnset() bool { return false }

// How busy this machine is, where that is not known.

// loadAverage gives nil: it is not known.
func loadAverage() *float64 { return nil }
