// sched_clock.go: what becomes of schedules when the clock on the wall is set while they wait. The rules are those of
// daylight saving: an expression at fixed times fires once for what was leapt over, right after it, and not again in a
// time that comes twice; one that follows real time fires by the new clock, and nothing else. A clock that is set by
// schedLongStep or more was wrong before: schedules begin anew.

package main

import "time"

const schedLongStep = 3 * time.Hour // as Debian's cron has it

// schedLeap is the ticks of one workflow that a clock set ahead has leapt over.
type schedLeap struct {
	spec   *Workflow
	fixed  time.Time // the newest that is to fire after all; zero: none
	newest time.Time
	total  int // of them
}

// followsRealTime says whether an expression goes on by real time when the clock is changed.
func (c *cronExpr) followsRealTime() bool { return c.wild || c.every > 0 }

// clockSet moves every schedule to a clock that was set by so much and says now. Of a clock that was set ahead it gives
// the ticks that were leapt over.
func (s *sched) clockSet(now time.Time, by time.Duration) []schedLeap {
	var leaps []schedLeap
	before := now.Add(-by) // what the clock would say
	for _, id := range sortedKeys(s.entries) {
		e := s.entries[id]
		if leap := e.leap(before, now, by < schedLongStep); by > 0 && leap.total > 0 {
			leaps = append(leaps, leap)
		}
		switch {
		case by.Abs() >= schedLongStep:
			e.floor = time.Time{}
		case by > 0 || e.index < 0:
		case e.tick.After(before):
			e.setBack(before)
		default: // its jitter comes between this tick and its decision
			e.setBack(e.tick.Add(-time.Nanosecond))
		}
		if from := now.Add(-e.jitter); by > 0 {
			s.advance(e, from)
		} else {
			s.advance(e, now)
		}
	}
	return leaps
}

// setBack says that what comes up to a time has come already: expressions at fixed times do not fire again.
func (e *schedEntry) setBack(seen time.Time) {
	if seen.After(e.floor) {
		e.floor = seen
	}
}

// leap finds the ticks that are due at now, and were not, or just about, when the clock said before. mayFire: those at
// fixed times count.
func (e *schedEntry) leap(before, now time.Time, mayFire bool) schedLeap {
	if e.index < 0 {
		return schedLeap{}
	}
	ticks, total := e.missed(e.tick.Add(-time.Nanosecond), now)
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
		if at, ok := expr.next(t.Add(-time.Second), e.zone); ok && at.Equal(t) && !expr.followsRealTime() {
			return true
		}
	}
	return false
}
