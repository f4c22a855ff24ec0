// principal_rest.go: how the principal's loop sleeps, and whether it has anything to do but to hear that its agents
// live. On several processors each heartbeat that wakes the process wakes a second thread to look for more to do, so an
// idle one works on a single processor. All of it belongs to the loop.

package main

import "time"

const (
	// principalIdle is how long a principal must have had nothing to do to be idle.
	principalIdle  = 10 * time.Second
	principalEarly = 1 * time.Second       // the alarm is left as it is set if it rings up to so much too early,
	principalLate  = 50 * time.Microsecond // or so much too late: a time that the kernel takes for itself
)

// principalSleep is what the loop sleeps by. What is due hardly ever changes from turn to turn, and so a turn sets the
// alarm only when it must.
type principalSleep struct {
	alarm
	due time.Duration // when it rings, by the clock that until was given
	set bool          // it has not rung since
}

// rang notes that the alarm has rung.
func (s *principalSleep) rang() { s.set = false }

// until has the alarm ring after wait. now is by a clock that nobody can set.
func (s *principalSleep) until(now, wait time.Duration) {
	due := now + wait
	if late := s.due - due; s.set && s.due > now && late <= principalLate && late >= -principalEarly {
		return
	}
	s.due, s.set = due, true
	s.reset(wait)
}

// principalRest tells set when the principal begins to be idle, and when it has work again.
type principalRest struct {
	set     func(idle bool) // nil: nobody wants to know
	resting bool
	worked  time.Time
}

// turn notes whether a turn of the loop had work. It is called at each turn, also at those of heartbeats.
func (r *principalRest) turn(now time.Time, work bool) {
	switch {
	case r.set == nil:
	case work:
		r.worked = now
		if r.resting {
			r.resting = false
			r.set(false)
		}
	case !r.resting && now.Sub(r.worked) >= principalIdle:
		r.resting = true
		r.set(true)
	}
}
