// principal_rest.go: how the principal's loop sleeps. All of it belongs to the loop.

package main

import "time"

const (
	principalEarly = 1 * time.Second       // the timer is left as it is set if it rings up to so much too early,
	principalLate  = 50 * time.Microsecond // or so much too late: a time that the kernel takes for itself
)

// principalSleep is what the loop sleeps by. What is due hardly ever changes from turn to turn, and so a turn sets the
// timer only when it must.
type principalSleep struct {
	wakeTimer
	due time.Duration // when it rings, by the clock that until was given
	set bool          // it has not rung since
}

// rang notes that the timer has rung.
func (s *principalSleep) rang() { s.set = false }

// until has the timer ring after wait. now is by a clock that nobody can set.
func (s *principalSleep) until(now, wait time.Duration) {
	due := now + wait
	if late := s.due - due; s.set && s.due > now && late <= principalLate && late >= -principalEarly {
		return
	}
	s.due, s.set = due, true
	s.reset(wait)
}
