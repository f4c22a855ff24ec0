package main

import (
	"testing"
	"time"
)

// TestWakeTimer: it rings when it is set, each time, and not after it was set to later.
func TestWakeTimer(t *testing.T) {
	for name, make := range map[string]func() wakeTimer{"of the system": wakeTimerNew,
		"of the runtime": wakeTimerPlain} {
		t.Run(name, func(t *testing.T) {
			a := make()
			defer a.stop()
			for _, after := range []time.Duration{0, -time.Hour, time.Millisecond} {
				a.reset(time.Hour)
				a.reset(after)
				<-a.C
			}
			a.reset(time.Hour)
			select {
			case <-a.C:
				t.Error("it rang an hour early")
			default:
			}
		})
	}
}
