// principal_timetable.go: the principal and the clock on the wall. The loop holds it against a clock that nobody can
// set, so that a clock that was set is told from a machine that slept; and schedules may wait for a clock that is not
// right yet. All of it runs on the loop.

package main

import (
	"fmt"
	"time"
)

// principalStep is how much a clock must be set by, at once, to matter: less is taken for lateness.
const principalStep = schedLate

// lookAtClock finds out whether the clock was set since the last turn, and moves the schedules to it.
func (p *principal) lookAtClock(now time.Time) {
	elapsed := p.cfg.elapsed()
	wall := now.Round(0) // without what Go counts beside it, which cannot be set
	by := wall.Sub(p.clockWall) - (elapsed - p.clockElapsed)
	p.clockWall, p.clockElapsed = wall, elapsed
	if by.Abs() < principalStep {
		return
	}
	by = by.Round(time.Millisecond)
	p.cfg.Log.Warn("the clock was set", "by", by.String(), "now", stampOf(now), "schedules_begin_anew",
		by.Abs() >= schedLongStep)
	for _, leap := range p.sched.clockSet(now, by) {
		reason := "the clock was set ahead by " + by.String()
		if !leap.fixed.IsZero() {
			v := p.verdictOf(leap.spec, leap.fixed)
			v.reason = orDefault(v.reason, "right after "+reason)
			p.decide(leap.spec, []schedVerdict{v}, triggerCron)
		}
		if leap.newest.After(leap.fixed) {
			p.decide(leap.spec, []schedVerdict{{tick: leap.newest, missed: leap.total - 1, reason: "missed: " + reason +
				": this time was not"}}, triggerCron)
		}
	}
	if by.Abs() < schedLongStep {
		return
	}
	for _, id := range sortedKeys(p.sched.entries) {
		p.countAnew(p.sched.entries[id].spec, now)
	}
}

// countAnew has a schedule begin now: nothing before counts as missed, and nothing after as decided.
func (p *principal) countAnew(w *Workflow, now time.Time) {
	p.emit(&Event{Kind: evSchedule, Workflow: w.ID, Schedule: schedSignature(w), Scheduled: stampOf(now)})
}

// setBackBefore puts a schedule in force whose newest decided tick is still to come: the clock was set back while
// nobody looked.
func (p *principal) setBackBefore(entry *schedEntry, tick, now time.Time) {
	ahead := tick.Sub(now)
	if ahead >= schedLongStep {
		p.cfg.Log.Warn("the clock was set back while the principal was down: the schedule begins anew", "workflow",
			entry.spec.ID, "by", fmt.Sprint("at least ", ahead.Round(time.Second)))
		p.countAnew(entry.spec, now)
		return
	}
	entry.setBack(tick)
	p.sched.advance(entry, now)
}

// beginSchedules puts the schedules in force that have waited for the clock.
func (p *principal) beginSchedules() {
	if !p.held {
		return
	}
	p.held, p.loaded = false, false
	now := p.cfg.now()
	for _, id := range sortedKeys(p.files) {
		if f := p.files[id]; f.Spec != nil {
			p.schedule(f.Spec, now)
		}
	}
	p.begun()
}

// booted says whether no principal of this state has put its schedules in force yet since the machine booted.
func (p *principal) booted() bool { return p.cfg.Boot == "" || p.cfg.Boot != p.state.Boot }

// begun notes that the schedules are in force, where they are: what fires at the start has fired.
func (p *principal) begun() {
	p.loaded = true
	if !p.held && !p.cfg.NoScheduler && p.cfg.Boot != "" && p.booted() {
		p.emit(&Event{Kind: evBooted, Key: p.cfg.Boot})
	}
}
