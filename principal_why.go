// principal_why.go: the op why: what became of the ticks of a schedule, and what becomes of any instant, past or to
// come. The loop copies what it knows; the rest is made on the goroutine of the request.

package main

import (
	"slices"
	"sort"
	"time"
)

// whySearch is how long after an instant its run is looked for in the history.
const whySearch = 48 * time.Hour

// lookWhy lists what became of the ticks of a schedule: the newest, or those around a time, and tells of that time.
func (l *looks) lookWhy(c *opCall) {
	id, r := c.req.Workflow, Reply{Decisions: []Decision{}}
	known := whyKnown{now: l.cfg.now(), at: c.req.At}
	refused, ok := lookAsk(l, c, func() *protoError {
		f, ws := l.catalog.files[id], l.state.Workflows[id]
		if f == nil && ws == nil {
			return l.catalog.noWorkflow(c, id)
		}
		if f != nil {
			info := l.copier.infoOf(f)
			if info.Last != nil && info.Last.State == runQueued {
				info.Last = l.copier.shown(info.Last) // with what it waits for
			}
			r.Workflows = []WorkflowInfo{info}
			known.spec, known.days = f.Spec, f.Days
		}
		if ws != nil {
			r.Decisions = whyAround(ws.Decisions, c.req.At.Time, c.req.N.rows(10, opsPage))
		}
		if !c.req.At.IsZero() {
			known.note(l.state, id)
		}
		return nil
	})
	if l.cfg.NoScheduler {
		r.Note = "the principal was started with --no-scheduler: nothing fires by schedule"
	}
	switch {
	case !ok:
		return
	case refused != nil:
		c.refuse(refused.meant())
		return
	}
	if !c.req.At.IsZero() && known.spec != nil {
		r.Why = known.explain(l.cfg.Zone)
		if r.Why.Outcome == whyUnknown {
			if !l.readSlot(c) {
				return
			}
			l.whyHistory(c, r.Why)
		}
	}
	for i := range r.Workflows {
		r.Workflows[i] = protoWorkflowRow(r.Workflows[i])
	}
	c.reply(r)
}

// whyHistory looks in the history for the run that an instant became.
func (l *looks) whyHistory(c *opCall, why *WhyInstant) {
	filter := historyFilter{Workflow: why.Workflow, Since: why.At.Time, Before: why.At.Add(whySearch),
		over: func() bool { return l.gone(c) }}
	l.store.historyList(filter, func(r *Run) bool {
		if r.Scheduled.Equal(why.At.Time) {
			why.ran(r)
		}
		return !why.Fired
	})
}

// ran notes the run that an instant became.
func (w *WhyInstant) ran(r *Run) {
	w.Outcome, w.Fired, w.Run, w.State, w.Decided, w.Reason = whyFired, true, r.ID, r.shownState(), r.Queued, ""
}

// whyAround picks n decisions: the newest, or those nearest to a time.
func whyAround(all []Decision, at time.Time, n int) []Decision {
	from := max(0, len(all)-n)
	if !at.IsZero() {
		i := sort.Search(len(all), func(i int) bool { return !all[i].At.Before(at) })
		from = max(0, min(i-n/2, len(all)-n))
	}
	return slices.Clone(all[from:min(len(all), from+n)])
}

// whyKnown is what the loop knows of an instant.
type whyKnown struct {
	at   Stamp
	now  time.Time
	spec *Workflow
	days *schedDays

	tick     Stamp     // ticks up to it are decided
	decision *Decision // of the instant, or the one that speaks for it
	run      *Run      // that it became, if it is in memory
	pauses   []Pause   // of the workflow and of all
}

// note copies what the state has of the instant. Only on the loop.
func (k *whyKnown) note(s *State, id string) {
	k.at = stampOf(k.at.Truncate(time.Second))
	ws := s.Workflows[id]
	if ws == nil {
		ws = &WorkflowState{}
	}
	k.tick = ws.Tick
	before := len(ws.Decisions) < stateMaxDecisions // the tick decided before this one was before the instant
	for _, d := range ws.Decisions {
		if d.Event {
			continue
		}
		speaks := k.decision == nil && d.Missed > 0 && before && d.At.After(k.at.Time)
		if d.At.Equal(k.at.Time) || speaks {
			k.decision = &d
		}
		before = d.At.Before(k.at.Time)
	}
	for _, r := range s.Runs {
		if r.Workflow == id && !r.Scheduled.IsZero() && r.Scheduled.Equal(k.at.Time) {
			k.run = r.short()
			k.run.State = r.shownState()
		}
	}
	k.pauses = append(slices.Clone(ws.Pauses), s.Pauses...)
	for _, p := range []*Pause{s.pauseOwn(id), s.pauseOwn("")} {
		if p != nil && p.Since.IsZero() { // an older version has kept it
			k.pauses = append(k.pauses, *p)
		}
	}
}

// explain says what became of the instant, or is to become of it. zone is that of workflows that name none.
func (k *whyKnown) explain(zone *time.Location) *WhyInstant {
	w := &WhyInstant{Workflow: k.spec.ID, At: k.at, Outcome: whyNoFire, Schedules: []WhySchedule{},
		Catchup: k.spec.Catchup}
	if len(k.spec.Schedule) == 0 {
		w.Reason = "it has no schedule"
		return w
	}
	e, err := schedNew(zone).entryOf(k.spec)
	if err != nil {
		w.Reason = err.Error()
		return w
	}
	e.days = k.days
	w.Schedules = e.why(k.at.Time)
	w.Days = e.days.against(k.at.In(e.clock.zone))
	due := stampOf(k.at.Add(e.jitter))
	start, end := k.spec.StartTime, k.spec.EndTime
	switch {
	case !start.IsZero() && k.at.Before(start.Time):
		w.Window = "before start_time, " + e.timeOf(start.Unix()).Format(time.RFC3339)
	case !end.IsZero() && k.at.After(end.Time):
		w.Window = "after end_time, " + e.timeOf(end.Unix()).Format(time.RFC3339)
	}
	w.Pause = k.pauseAt(due)
	fires := slices.ContainsFunc(w.Schedules, func(s WhySchedule) bool { return s.Fires })
	if fires && e.jitter > 0 {
		w.Jitter, w.Due = e.jitter.Seconds(), due
	}
	exact := k.decision != nil && k.decision.At.Equal(k.at.Time)
	switch {
	case k.run != nil:
		w.ran(k.run)
		if exact {
			w.Reason = k.decision.Reason
		}
	case exact:
		k.decided(w)
	case !fires:
		w.Reason = "no schedule of it fires then"
		if len(w.Schedules) == 1 {
			w.Reason = w.Schedules[0].reason()
		}
	case w.Days != "":
		w.Reason = w.Days
	case w.Window != "":
		w.Reason = "it lies " + w.Window
	default:
		k.fires(w, due)
	}
	return w
}

// decided notes the decision that speaks for the instant.
func (k *whyKnown) decided(w *WhyInstant) {
	d := k.decision
	w.Outcome, w.Reason, w.Decided = whySkipped, d.Reason, d.Made
	if d.Fired && d.At.Equal(k.at.Time) {
		w.Outcome, w.Fired, w.Run = whyFired, true, d.Run
	}
}

// fires says what becomes of an instant at which the schedule fires and that has no decision of its own.
func (k *whyKnown) fires(w *WhyInstant, due Stamp) {
	switch {
	case k.decision != nil:
		k.decided(w)
		w.Reason += " (one decision speaks for several fires)"
	case due.After(k.now) && w.Pause != nil:
		w.Outcome, w.Reason = whyPaused, "paused by "+w.Pause.text()
	case due.After(k.now):
		w.Outcome = whyComing
	case k.tick.IsZero() || k.at.After(k.tick.Time):
		w.Outcome, w.Reason = whyPending, "it is due, and nobody has decided it"
	default:
		w.Outcome = whyUnknown
		w.Reason = "nothing is kept of it: the workflow was not there yet or had another schedule, or many fires " +
			"were decided since"
	}
}

// pauseAt finds the pause that was in force at a time, or is to be.
func (k *whyKnown) pauseAt(due Stamp) *Pause {
	for i := range k.pauses {
		p := &k.pauses[i]
		ended := p.Ended
		if ended.IsZero() {
			ended = p.Until
		}
		if !due.Before(p.Since.Time) && (ended.IsZero() || due.Before(ended.Time)) {
			return p
		}
	}
	return nil
}
