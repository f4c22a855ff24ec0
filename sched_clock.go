// sched_clock.go: what becomes of schedules when the clock is set while they wait. The rules are those of daylight
// saving: an expression at fixed times fires once for the ticks that were leapt over, right after the leap, and does
// not fire again in a time that comes twice; one that follows real time goes on by the new clock. A clock that is set
// by schedLongStep or more was wrong before: schedules begin anew.

package main

import "time"

const schedLongStep = 3 * time.Hour // as Debian's cron has it

// schedLeap says which ticks of one workflow a clock that was set ahead has leapt over.
type schedLeap struct {
	spec   *Workflow
	fixed  time.Time // the newest that fires after all; zero: none does
	newest time.Time
	total  int // how many there are
}

// followsRealTime says whether an expression goes by the time that passes, also when the clock changes.
func (c *cronTimes) followsRealTime() bool { return c.wild || c.every > 0 }

// clockSet moves every schedule to a clock that was set by so much, and says now since. If the clock was set ahead it
// gives the ticks that were leapt over.
func (s *sched) clockSet(now time.Time, by time.Duration) []schedLeap {
	var leaps []schedLeap
	before := now.Add(-by) // what the clock would say if it had not been set
	for _, id := range sortedKeys(s.entries) {
		e := s.entries[id]
		if leap := e.leap(before, now, by < schedLongStep); by > 0 && leap.total > 0 {
			leaps = append(leaps, leap)
		}
		switch {
		case by.Abs() >= schedLongStep:
			e.floor = 0
		case by > 0 || e.index < 0:
		case e.tick().After(before):
			e.setBack(before)
		default: // its tick has come, but is not yet due by its jitter
			e.setBack(e.tick().Add(-time.Nanosecond))
		}
		if by > 0 {
			s.advance(e, now.Add(-e.jitter))
		} else {
			s.advance(e, now)
		}
	}
	return leaps
}

// setBack notes that ticks up to a time have come already: expressions at fixed times do not fire again then.
func (e *schedEntry) setBack(seen time.Time) {
	e.floor = max(e.floor, seen.Unix())
}

// leap finds the ticks that are due at now and were not handled when the clock said before. With mayFire the newest at
// fixed times, or due before the clock was set, fires after all.
func (e *schedEntry) leap(before, now time.Time, mayFire bool) schedLeap {
	if e.index < 0 {
		return schedLeap{}
	}
	ticks, total := e.missed(e.tick().Add(-time.Nanosecond), now)
	if total == 0 {
		return schedLeap{}
	}
	leap := schedLeap{spec: e.spec, newest: ticks[len(ticks)-1], total: total}
	for _, t := range ticks {
		if mayFire && (!t.After(before) || e.fixedAt(t)) {
			leap.fixed = t
		}
	}
	return leap
}

// fixedAt says whether one of the expressions at fixed times fires at t.
func (e *schedEntry) fixedAt(t time.Time) bool {
	for _, expr := range e.exprs {
		if at, ok := expr.nextUnix(t.Unix()-1, e.clock); ok && at == t.Unix() && !expr.followsRealTime() {
			return true
		}
	}
	return false
}
