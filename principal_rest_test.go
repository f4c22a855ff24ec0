package main

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPrincipalSleepsOn: the heartbeats of an agent are all that wakes an idle principal. Its timer, which is set for
// what it does when the agent goes silent, never rings meanwhile, and most of its turns leave the timer as it is.
func TestPrincipalSleepsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sets, rings atomic.Int64
		g := principalRigOpen(t, t.TempDir())
		g.stop()
		g.cfg.timer = func() wakeTimer {
			timer := wakeTimerPlain()
			counted := wakeTimer{C: timer.C, stop: timer.stop}
			ring := (*time.Timer)(nil)
			counted.reset = func(after time.Duration) {
				sets.Add(1)
				if ring != nil {
					ring.Stop()
				}
				ring = time.AfterFunc(after, func() { rings.Add(1) })
				timer.reset(after)
			}
			return counted
		}
		g.start(principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		a.beat(time.Minute)
		sets.Store(0)
		rings.Store(0)
		a.beat(time.Hour)
		if most := int64(time.Hour/(agentLostAfter/2)) + 1; sets.Load() > most || rings.Load() > 0 {
			t.Errorf("the heartbeats of an hour set the timer %d times, more than %d, or it rang %d times", sets.Load(),
				most, rings.Load())
		}
		time.Sleep(2 * agentLostAfter)
		if rings.Load() == 0 {
			t.Error("nothing woke it when the agent was silent")
		}
		g.stop()
	})
}

// TestPrincipalSleepUntil: the timer rings when it must, whatever it was set to before.
func TestPrincipalSleepUntil(t *testing.T) {
	t.Parallel()
	var asked []time.Duration
	s := principalSleep{wakeTimer: wakeTimer{reset: func(after time.Duration) { asked = append(asked, after) }}}
	for _, c := range []struct {
		name      string
		now, wait time.Duration
		want      []time.Duration
		rang      bool
	}{
		{"the first time", 0, time.Minute, []time.Duration{time.Minute}, false},
		{"the same time", time.Second, 59 * time.Second, nil, false},
		{"a little later", time.Second, 59*time.Second + principalEarly, nil, false},
		{"later", time.Second, time.Hour, []time.Duration{time.Hour}, false},
		{"hardly earlier", 2 * time.Second, time.Hour - time.Second - principalLate, nil, false},
		{"earlier", 2 * time.Second, time.Hour - time.Second - time.Millisecond,
			[]time.Duration{time.Hour - time.Second - time.Millisecond}, false},
		{"now", 3 * time.Second, 0, []time.Duration{0}, false},
		{"it should have rung, and its clock stood still", time.Minute, 0, []time.Duration{0}, false},
		{"it has rung", time.Minute, 0, []time.Duration{0}, true},
	} {
		if asked = nil; c.rang {
			s.rang()
		}
		s.until(c.now, c.wait)
		if !slices.Equal(asked, c.want) {
			t.Errorf("%s: set to %v, want %v", c.name, asked, c.want)
		}
	}
}
