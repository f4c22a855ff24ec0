// principal_timetable.go: the schedules that are in force: which ticks are due, what becomes of them, and what happens
// to them when the clock on the wall is set. The loop compares that clock with one that nobody can set, to tell a clock
// that was set from a machine that slept. Schedules may wait for a clock that is not right yet. All of it runs on the
// loop.

package main

import (
	"context"
	"fmt"
	"time"
)

// timetableStep is how far the clock must be set at once to matter; less is taken for lateness.
const timetableStep = schedLate

// timetable is the schedules that are in force. It belongs to the principal's loop.
type timetable struct {
	*principalLoop
	catalog *catalog
	queue   *queue
	fleet   *fleet
	enqueue func(*Workflow, runOrder) (string, *protoError)

	sched  *sched
	loaded bool   // the folder was read once
	held   bool   // schedules wait for begin; set before runPrincipal
	then   func() // what else waits for it; nil: nothing does

	paused   map[string]bool // workflows that are paused by themselves; "": all are
	pauseEnd time.Time       // no pause ends by itself before; zero: none does

	following    bool          // the loop has a turn when the clock is set
	clockWall    time.Time     // the clock on the wall at the last turn
	clockElapsed time.Duration // the clock that nobody can set at the last turn
	steps        int           // how often the clock was set since the start
}

// timetableNew makes a timetable without schedules. enqueue makes a run of a tick.
func timetableNew(loop *principalLoop, catalog *catalog, queue *queue, fleet *fleet,
	enqueue func(*Workflow, runOrder) (string, *protoError)) *timetable {
	return &timetable{principalLoop: loop, catalog: catalog, queue: queue, fleet: fleet, enqueue: enqueue,
		paused: map[string]bool{}, sched: schedNew(loop.cfg.Zone), clockWall: loop.cfg.now().Round(0),
		clockElapsed: loop.cfg.elapsed()}
}

// runFollow has the loop look at the clock each time that it is set. It ends with ctx, or when nobody tells any more.
func (t *timetable) runFollow(ctx context.Context) {
	follow := func(yes bool) { t.call(func() { t.following = yes }) }
	follow(true)
	err := t.cfg.follow(ctx, func() { follow(true) }) // each turn looks
	if err != nil {
		t.cfg.Log.Debug("the clock is looked at each minute", "cause", err)
		follow(false)
	}
}

// untilDue gives how long the loop may sleep for a tick that is due after left. While nobody says that the clock was
// set it looks each minute. Else it looks again shortly before the tick: a clock that is being corrected runs up to a
// thousandth faster or slower.
func (t *timetable) untilDue(left time.Duration) time.Duration {
	switch {
	case !t.following:
		return min(left, principalClockCheck)
	case left > principalClockCheck:
		return left - left/64
	}
	return left
}

// lookAtClock finds out whether the clock was set since the last turn, and adapts the schedules to it.
func (t *timetable) lookAtClock(now time.Time) {
	elapsed := t.cfg.elapsed()
	wall := now.Round(0) // without Go's monotonic clock, which cannot be set
	by := wall.Sub(t.clockWall) - (elapsed - t.clockElapsed)
	t.clockWall, t.clockElapsed = wall, elapsed
	if by.Abs() < timetableStep {
		return
	}
	by = by.Round(time.Millisecond)
	t.steps++
	t.cfg.Log.Warn("the clock was set", "by", by.String(), "now", stampOf(now), "schedules_begin_anew",
		by.Abs() >= schedLongStep)
	for _, leap := range t.sched.clockSet(now, by) {
		reason := "the clock was set ahead by " + by.String()
		if !leap.fixed.IsZero() {
			v := t.verdictOf(leap.spec, leap.fixed)
			v.reason = orDefault(v.reason, "right after "+reason)
			t.carryOut(leap.spec, []schedVerdict{v}, triggerCron)
		}
		if leap.newest.After(leap.fixed) {
			t.carryOut(leap.spec, []schedVerdict{{tick: leap.newest, missed: leap.total - 1, reason: schedMissed +
				reason + ": this time was not"}}, triggerCron)
		}
	}
	if by.Abs() < schedLongStep {
		return
	}
	for _, id := range sortedKeys(t.sched.entries) {
		t.countAnew(t.sched.entries[id].spec, now)
	}
}

// countAnew has a schedule begin now: nothing before now counts as missed, and nothing after now as decided.
func (t *timetable) countAnew(w *Workflow, now time.Time) {
	t.emit(&Event{Kind: evSchedule, Workflow: w.ID, Schedule: schedSignature(w), Scheduled: stampOf(now)})
}

// setBackBefore puts a schedule in force whose newest decided tick lies ahead: the clock was set back while the
// principal was down.
func (t *timetable) setBackBefore(entry *schedEntry, tick, now time.Time) {
	ahead := tick.Sub(now)
	if ahead >= schedLongStep {
		t.cfg.Log.Warn("the clock was set back while the principal was down: the schedule begins anew", "workflow",
			entry.spec.ID, "by", fmt.Sprint("at least ", ahead.Round(time.Second)))
		t.countAnew(entry.spec, now)
		return
	}
	entry.setBack(tick)
	t.sched.advance(entry, now)
}

// begin puts the schedules in force that have waited for the clock.
func (t *timetable) begin() {
	if !t.held {
		return
	}
	t.held, t.loaded = false, false
	now := t.cfg.now()
	for _, id := range sortedKeys(t.catalog.files) {
		if f := t.catalog.files[id]; f.Spec != nil {
			t.schedule(f.Spec, now)
		}
	}
	t.begun()
	if t.then != nil {
		t.then()
	}
}

// whenInForce has fn done now, or with begin if that is to come: a clock that is not right yet does not say what is
// new.
func (t *timetable) whenInForce(fn func()) {
	if t.held {
		t.then = fn
	} else {
		fn()
	}
}

// booted says whether schedules of this state were not in force yet since the machine booted.
func (t *timetable) booted() bool { return t.cfg.Boot == "" || t.cfg.Boot != t.state.Boot }

// inForce says whether schedules are in force: they may wait for the clock, or never be.
func (t *timetable) inForce() bool { return !t.held && !t.cfg.NoScheduler }

// begun notes that the schedules are in force, if they are: what fires at the start has fired.
func (t *timetable) begun() {
	t.loaded = true
	if t.inForce() && t.cfg.Boot != "" && t.booted() {
		t.emit(&Event{Kind: evBooted, Key: t.cfg.Boot})
	}
}

// schedule puts a workflow's schedule in force. If the same schedule was in force before, the ticks since the last
// decided one were missed, and the workflow's catch-up policy says what becomes of them.
func (t *timetable) schedule(w *Workflow, now time.Time) {
	pending, waits := t.sched.pending(w.ID)
	entry, err := t.sched.set(w, t.catalog.files[w.ID].Days, now)
	if err != nil {
		t.cfg.Log.Error("schedule", "cause", err)
		return
	}
	if entry == nil {
		return
	}
	known := t.state.Workflows[w.ID]
	switch {
	case known == nil || known.Schedule != schedSignature(w):
		t.countAnew(w, now)
	case waits && pending.Before(now): // its tick is over but not decided, because of its jitter or of this turn
		t.sched.advance(entry, pending.Add(-time.Nanosecond))
	case !t.loaded && known.Tick.After(now):
		t.setBackBefore(entry, known.Tick.Time, now)
	case !t.loaded:
		if from := now.Add(-entry.jitter); from.After(known.Tick.Time) {
			t.sched.advance(entry, from) // the same: such a tick is not missed, but still to come
		} else {
			t.sched.advance(entry, known.Tick.Time)
		}
		ticks, total := entry.missed(known.Tick.Time, now)
		t.catchUp(entry, ticks, total, now, "the principal was down")
	}
	switch {
	case t.loaded: // a file that comes later waits for the next start
	case entry.reboots() && t.booted():
		t.carryOut(w, []schedVerdict{t.verdictOf(w, now)}, triggerReboot)
	case entry.starts():
		t.carryOut(w, []schedVerdict{t.verdictOf(w, now)}, triggerStart)
	}
}

// fireDue decides every tick that is due.
func (t *timetable) fireDue(now time.Time) {
	for _, due := range t.sched.due(now) {
		entry := t.sched.entries[due.spec.ID]
		if now.Sub(due.tick.Add(entry.jitter)) > schedLate {
			ticks, total := entry.missed(due.tick.Add(-time.Nanosecond), now)
			t.catchUp(entry, ticks, total, now, "this machine slept")
			continue
		}
		if entry.days.against(due.tick) != "" {
			t.passOver(entry, due.tick)
			continue
		}
		t.carryOut(due.spec, []schedVerdict{t.verdictOf(due.spec, due.tick)}, triggerCron)
	}
}

// passOver decides at once all ticks of a day on which nothing fires: one decision speaks for them.
func (t *timetable) passOver(e *schedEntry, tick time.Time) {
	reason := e.days.against(tick)
	if more := t.sched.passOver(e, tick); more > 0 {
		reason += fmt.Sprintf(" (and %d more fires of that day)", more)
	}
	t.carryOut(e.spec, []schedVerdict{{tick: tick, reason: reason}}, triggerCron)
}

// verdictOf says what becomes of a tick now.
func (t *timetable) verdictOf(w *Workflow, tick time.Time) schedVerdict {
	due := tick
	if e := t.sched.entries[w.ID]; e != nil {
		due = tick.Add(e.jitter)
		if reason := e.days.against(tick.In(e.clock.zone)); reason != "" {
			return schedVerdict{tick: tick, reason: reason}
		}
	}
	paused := ""
	if p := t.state.pauseOf(w.ID); p != nil && p.covers(stampOf(due)) {
		paused = p.text()
	}
	active := t.queue.active[w.ID]
	if w.Overlap == overlapQueue || w.Overlap == overlapAllow {
		return schedDecide(w, tick, paused, active, t.fleet.leftAlive(w.ID, ""))
	}
	batch, others := t.queue.ofBatches(active) // what a batch makes up for must cost no other fire
	v := schedDecide(w, tick, paused, others, t.fleet.leftAlive(w.ID, ""))
	if v.fire && len(batch) > 0 {
		v.reason, v.behind = "queued behind run "+batch[0]+" of a backfill", true
	}
	return v
}

// carryOut queues a run for each verdict to fire, and records each other one.
func (t *timetable) carryOut(w *Workflow, verdicts []schedVerdict, trigger string) {
	for _, v := range verdicts {
		if v.fire {
			by := trigger
			if v.behind { // such runs go one by one
				by = triggerCatchup
			}
			_, refused := t.enqueue(w, runOrder{trigger: by, scheduled: v.tick, reason: v.reason,
				missed: v.missed})
			if refused == nil {
				continue
			}
			v.reason = refused.Message
		}
		t.emit(&Event{Kind: evSkipped, Workflow: w.ID, Scheduled: stampOf(v.tick), Reason: v.reason, Missed: v.missed})
	}
}
