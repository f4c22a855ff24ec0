//go:build !linux

// sys_timer_other.go: where there are no timers but the runtime's timers.

package main

// wakeTimerNew makes one that is not set.
func wakeTimerNew() wakeTimer { return wakeTimerPlain() }
