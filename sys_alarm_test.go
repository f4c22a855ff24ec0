package main

import (
	"testing"
	"time"
)

// TestAlarm: it rings when it is set, each time, and not after it was set to later.
func TestAlarm(t *testing.T) {
	for name, make := range map[string]func() alarm{"of the system": alarmNew, "of the runtime": alarmTimer} {
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
