// principal_expect.go: what is not as the key expect of a workflow says: no run has succeeded by its time of day, a run
// is not over in time, or one takes or took unusually long or short. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"strings"
	"time"
)

// eachExpected hands fn what is not as expected of the workflows that a peer may see.
func (a *attention) eachExpected(grant *authGrant, now time.Time, fn func(AttentionItem)) {
	for id := range a.expects {
		spec := a.catalog.files[id].Spec
		if !grant.sees(id) || spec == nil || spec.Expect == nil {
			continue
		}
		item := func(what string, since time.Time, reason, run string) {
			it := AttentionItem{Key: expectKey(id, what), Kind: attentionExpect, Workflow: id, Reason: reason, Count: 1,
				First: stampOf(since), Last: stampOf(since)}
			if run != "" {
				it.Runs = []string{run}
			}
			fn(it)
		}
		if by, late := a.expectedBy(id, spec.Expect, now); late {
			item("by "+by.Format(time.DateOnly), by, fmt.Sprintf("no run has succeeded by %s", spec.Expect.By), "")
		}
		went := a.state.expected(id)
		usual, known := went.usual()
		for _, run := range a.queue.active[id] {
			r := a.state.Runs[run]
			if at, ok := a.expectedEnd(r, spec.Expect); ok && !now.Before(at) {
				item("within "+run, at, fmt.Sprintf("it is not over %s after it was queued", spec.Expect.Within), run)
			}
			if at, ok := expectedLength(r, usual, known); ok && !now.Before(at) {
				item("length "+run, at, usual.text("it has run for", now.Sub(r.Started.Time).Seconds()), run)
			}
		}
		if went != nil && went.Odd != nil {
			odd := went.Odd
			item("length "+odd.Run, odd.Ended.Time, odd.Usual.text("it took", odd.Seconds), odd.Run)
		}
	}
}

// expectedEnd gives when a run is to be over; false when nothing is said of that.
func (a *attention) expectedEnd(r *Run, expect *Expect) (time.Time, bool) {
	since := r.Queued.Time
	switch {
	case r.State == runQueued:
		since = a.queue.since(r)
	case r.Attempt > 1 && !r.Started.IsZero(): // it was queued long ago for the first time
		since = r.Started.Time
	}
	return since.Add(time.Duration(expect.Within)), expect.Within > 0
}

// expectedLength gives when a run that is at work takes unusually long.
func expectedLength(r *Run, usual UsualLength, known bool) (time.Time, bool) {
	if !known || r.Started.IsZero() {
		return time.Time{}, false
	}
	return r.Started.Add(time.Duration(usual.longest() * float64(time.Second))), true
}

// expectedBy gives the newest time by which a run was to have succeeded, and whether none has. A run counts that ended
// after the first tick of the day before that time. Ticks that were passed over on purpose do not count.
func (a *attention) expectedBy(id string, expect *Expect, now time.Time) (by time.Time, late bool) {
	entry, ws := a.timetable.sched.entries[id], a.state.Workflows[id]
	if expect.By == "" || entry == nil || ws == nil || a.timetable.pausedBy(id) != "" {
		return by, false
	}
	by = expect.last(now.In(entry.clock.zone))
	before := by.AddDate(0, 0, -1)
	var first time.Time
	older := len(ws.Decisions) == stateMaxDecisions // there were some that are not known any more
	for _, d := range ws.Decisions {
		if d.Event {
			continue
		}
		if older && d.At.After(by) {
			first, _ = entry.nextFire(before)
		}
		older = false
		missed := strings.HasPrefix(d.Reason, "missed") && !strings.Contains(d.Reason, "paused by")
		if first.IsZero() && d.At.After(before) && !d.At.After(by) && (d.Fired || missed) {
			first = d.At.Time
		}
	}
	if first.IsZero() || first.After(by) {
		return by, false
	}
	return by, ws.Expect == nil || ws.Expect.Good.Before(first)
}

// last gives the newest time up to now at which the clock showed By, in the zone of now.
func (x *Expect) last(now time.Time) time.Time {
	clock, err := time.Parse("15:04", x.By)
	if err != nil { // the parser takes no other
		return time.Time{}
	}
	year, month, day := now.Date()
	at := time.Date(year, month, day, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	if at.After(now) {
		at = time.Date(year, month, day-1, clock.Hour(), clock.Minute(), 0, 0, now.Location())
	}
	return at
}

// expectedAt hands note the times at which something may be not as expected.
func (a *attention) expectedAt(now time.Time, note func(time.Time)) {
	for id := range a.expects {
		spec := a.catalog.files[id].Spec
		if spec == nil || spec.Expect == nil {
			continue
		}
		if entry := a.timetable.sched.entries[id]; entry != nil && spec.Expect.By != "" {
			note(spec.Expect.last(now.In(entry.clock.zone)).AddDate(0, 0, 1))
		}
		usual, known := a.state.expected(id).usual()
		for _, run := range a.queue.active[id] {
			r := a.state.Runs[run]
			if at, ok := a.expectedEnd(r, spec.Expect); ok {
				note(at)
			}
			if at, ok := expectedLength(r, usual, known); ok {
				note(at)
			}
		}
	}
}
