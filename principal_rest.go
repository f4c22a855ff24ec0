// principal_rest.go: whether the principal has anything to do but to hear that its agents live. On several processors
// each heartbeat that wakes the process wakes a second thread to look for more to do, so an idle one works on a single
// processor. It belongs to the principal's loop.

package main

import "time"

// principalIdle is how long a principal must have had nothing to do to be idle.
const principalIdle = 10 * time.Second

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
