// principal_pause.go: pauses of schedules: how they begin and end, by a person or by themselves, what they do to fires
// that were missed, and which of them somebody may have forgotten. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

const (
	pauseMaxNote   = 300            // bytes of the note of a pause: each fire that it holds back repeats it
	pauseForgotten = 24 * time.Hour // after so long a pause without an end needs a person
)

// opPause stops or starts the schedule of one workflow or of all (pause and resume).
func (p *principal) opPause(c *opCall) {
	id, kind := c.req.Workflow, evPaused
	if c.req.Op == "resume" {
		kind = evResumed
	}
	switch until := c.req.Until; {
	case id == "" && !c.req.All:
		c.refuse(refuse(codeInvalid, "%s needs a workflow, or all", c.req.Op))
		return
	case id != "" && p.catalog.files[id] == nil:
		p.looks.refuseAside(c, p.catalog.noWorkflow(c, id))
		return
	case kind == evPaused && len(c.req.Comment) > pauseMaxNote:
		c.refuse(refuse(codeInvalid, "the note has %d bytes, and may have %d", len(c.req.Comment), pauseMaxNote))
		return
	case kind == evPaused && !until.IsZero() && !until.After(p.cfg.now()):
		c.refuse(refuse(codeInvalid, "until %s is over: name a time to come", until.Format(time.RFC3339)))
		return
	}
	before, note := p.state.pauseOwn(id), ""
	e := &Event{Kind: kind, Workflow: id, By: c.by, From: c.from}
	if kind == evPaused {
		e.Reason, e.Until = strings.TrimSpace(c.req.Comment), c.req.Until
		if before != nil && before.text() != c.by {
			note = "this takes the place of the pause by " + before.text()
		}
	} else {
		p.timetable.owesNothing(id, p.cfg.now())
	}
	p.emit(e)
	switch all := p.state.pauseOwn(""); {
	case kind == evResumed && id != "" && all != nil:
		note = "all schedules are still paused by " + all.text() + ": cdktr resume --all"
	case kind == evResumed && id == "":
		note = p.resumeEach(c)
	}
	p.whenDurable(func() { c.reply(Reply{Note: note}) })
}

// resumeEach starts the schedules that were paused one by one, which are a part of all. Its note names them, for
// somebody who would rather have left them paused.
func (p *principal) resumeEach(c *opCall) string {
	ids := sortedKeys(p.timetable.paused)
	for _, id := range ids {
		p.timetable.owesNothing(id, p.cfg.now())
		p.emit(&Event{Kind: evResumed, Workflow: id, By: c.by, From: c.from})
	}
	if len(ids) == 0 {
		return ""
	}
	more := ""
	if n := len(ids) - opsNoted; n > 0 {
		ids, more = ids[:opsNoted], fmt.Sprintf(" and %d more", n)
	}
	return "also resumed, paused by themselves before: " + strings.Join(ids, ", ") + more
}

// observe keeps which workflows are paused.
func (t *timetable) observe(c change) {
	if c.event.Kind == evPaused || c.event.Kind == evResumed {
		t.notePause(c.event.Workflow)
	}
}

// notePause keeps whether a workflow is paused by itself, or whether all are ("").
func (t *timetable) notePause(id string) {
	p := t.state.pauseOwn(id)
	if p == nil {
		delete(t.paused, id)
		return
	}
	t.paused[id] = true
	if !p.Until.IsZero() {
		t.pauseEnd = earlier(t.pauseEnd, p.Until.Time)
	}
}

// settled says whether the schedules are known and the clock is right: before that no pause ends, for what was missed
// in it is told by the pause.
func (t *timetable) settled() bool { return t.loaded && !t.held }

// endPauses ends the pauses whose time is over. What was due before then has been decided.
func (t *timetable) endPauses(now time.Time) {
	if t.pauseEnd.IsZero() || now.Before(t.pauseEnd) || !t.settled() {
		return
	}
	t.pauseEnd = time.Time{}
	for _, id := range sortedKeys(t.paused) {
		switch p := t.state.pauseOwn(id); {
		case p.Until.IsZero():
		case p.Until.After(now):
			t.pauseEnd = earlier(t.pauseEnd, p.Until.Time)
		default:
			t.owesNothing(id, p.Until.Time)
			t.emit(&Event{Kind: evResumed, Workflow: id, Until: p.Until, Reason: "its time was over"})
		}
	}
}

// owesNothing has no fire of a paused workflow, or of all (""), up to a time count as missed. While schedules are in
// force each is decided when it is due; without a scheduler none is.
func (t *timetable) owesNothing(id string, until time.Time) {
	if !t.cfg.NoScheduler || t.state.pauseOwn(id) == nil {
		return
	}
	ids := []string{id}
	if id == "" {
		ids = sortedKeys(t.state.Workflows)
	}
	for _, id := range ids {
		if w := t.state.Workflows[id]; w != nil && w.Schedule != "" && w.Tick.Before(until) {
			t.emit(&Event{Kind: evSchedule, Workflow: id, Schedule: w.Schedule, Scheduled: stampOf(until)})
		}
	}
}

// catchUp decides ticks that were missed, oldest first: what was due in a pause is not caught up.
func (t *timetable) catchUp(e *schedEntry, ticks []time.Time, total int, now time.Time, cause string) {
	held, paused := 0, ""
	if p := t.state.pauseOf(e.spec.ID); p != nil {
		paused = p.text()
		held = sort.Search(len(ticks), func(i int) bool { return !p.covers(stampOf(ticks[i].Add(e.jitter))) })
	}
	left := ticks[held:]
	if held > 0 {
		t.carryOut(e.spec, schedCatchup(e.spec, ticks[:held], total-len(left), now, cause, paused), triggerCatchup)
		total = len(left)
	}
	t.carryOut(e.spec, schedCatchup(e.spec, left, total, now, cause, ""), triggerCatchup)
}

// pausedBy gives who paused a workflow's schedule, "" when nobody did.
func (t *timetable) pausedBy(id string) string {
	if p := t.state.pauseOf(id); p != nil {
		return p.By
	}
	return ""
}

// notePause adds to a workflow for a list that it is paused, and when it fires next if the pause has an end.
func (cp *copier) notePause(info *WorkflowInfo) {
	info.Pause = cp.state.pauseOf(info.Workflow)
	if info.Pause == nil {
		return
	}
	info.Paused = info.Pause.By
	e := cp.timetable.sched.entries[info.Workflow]
	if e != nil && !info.Next.IsZero() && info.Pause.covers(info.Next) && !info.Pause.Until.IsZero() {
		later := *e
		later.beginAfter(info.Pause)
		tick, ok := later.nextFire(e.tick())
		info.Next = Stamp{}
		if ok {
			info.Next = stampOf(tick.Add(e.jitter))
		}
	}
}

// beginAfter has a copy of an entry give no ticks that are due in a pause with an end; nil: it is not paused.
func (e *schedEntry) beginAfter(p *Pause) {
	if p != nil && !p.Until.IsZero() {
		e.after = p.Until.Add(-e.jitter - time.Nanosecond).Unix()
	}
}

// endText says what ends a pause, for a person: a time, or else the verb; which are its arguments.
func (p *Pause) endText(which string, zone *time.Location) string {
	if p.Until.IsZero() {
		return "cdktr resume " + which
	}
	if zone == nil {
		zone = time.UTC
	}
	return p.Until.In(zone).Format("2006-01-02 15:04:05 MST")
}

// eachPaused hands fn the pauses that have no end and that somebody may have forgotten.
func (a *attention) eachPaused(grant *authGrant, now time.Time, fn func(AttentionItem)) {
	for id := range a.timetable.paused {
		p := a.state.pauseOwn(id)
		mine := grant.sees(id)
		if id == "" {
			mine = grant.may(protoOpOf("agents"))
		}
		if !mine || !p.forgotten(now) || id != "" && a.catalog.files[id] == nil {
			continue
		}
		fn(AttentionItem{Key: stateKey(attentionPaused, id, ""), Kind: attentionPaused, Workflow: id, Count: 1,
			Reason: "without an end, by " + p.text(), First: p.Since, Last: p.Since})
	}
}

// forgotten says whether a pause that is in force has no end and has lasted for long.
func (p *Pause) forgotten(now time.Time) bool {
	return p.Until.IsZero() && !p.Since.IsZero() && now.Sub(p.Since.Time) >= pauseForgotten
}

// pausedAt hands note the times at which a pause becomes one that somebody may have forgotten.
func (a *attention) pausedAt(note func(time.Time)) {
	for id := range a.timetable.paused {
		if p := a.state.pauseOwn(id); p.Until.IsZero() && !p.Since.IsZero() {
			note(p.Since.Add(pauseForgotten))
		}
	}
}
