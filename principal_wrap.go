// principal_wrap.go: runs that clients have done themselves (cdktr wrap), and names whose next run is late. A record
// may come long after the run: what was spooled while the principal was away. All of it runs on the loop.

package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	// records of one party within wrapPeriod; more are refused as busy, and come later
	wrapRecords = 2000
	wrapPeriod  = time.Hour            // after which a party may record so many again
	wrapAhead   = time.Minute          // how far a client's clock may be ahead; a later end is taken for now
	wrapOldest  = 366 * 24 * time.Hour // the end of an older run is taken for that long ago
)

// opRecord keeps a run that has ended, and answers when that is on disk. Or it forgets a name.
func (p *principal) opRecord(c *opCall) {
	name, rec := c.req.Workflow, c.req.Record
	known := p.state.wrapped(name)
	switch {
	case c.req.Force && !c.grant.operates():
		c.refuse(c.grant.deny("have a name forgotten"))
		return
	case c.req.Force && known == nil:
		c.refuse(refuse(codeNotFound, "no run of %q was recorded", name))
		return
	case c.req.Force:
		p.emit(&Event{Kind: evWrapForgot, Workflow: name, By: c.by, From: c.from})
		p.whenDurable(func() { c.reply(Reply{}) })
		return
	case rec == nil:
		c.refuse(refuse(codeInvalid, `record needs the field "record"`))
		return
	}
	refused := rec.fault()
	_, err := workflowID(name + ".yml")
	switch {
	case refused != nil:
	case err != nil || strings.Contains(name, "/") || isBatchID(name) || isBatchID(batchPrefix+name):
		refused = refuse(codeInvalid, "%q cannot be the name of runs: use letters, digits and ._-", name)
	case p.catalog.files[name] != nil: // nobody may pass a run of his own off as one of a workflow
		refused = refuse(codeConflict, "%s is a workflow of the principal: runs that are recorded need "+
			"another name", name)
	case known.told(rec.Source, rec.N):
		p.whenDurable(func() { c.reply(Reply{Note: "it was told before"}) })
		return
	case known == nil && len(p.attention.wraps) >= wrapMaxNames:
		refused = refuse(codeBusy, "runs of %d names are recorded: have one forgotten (cdktr wrap --forget NAME)",
			wrapMaxNames)
	case p.store.failing() != nil:
		refused = refuse(codeNoSpace, "the journal cannot be written: %v", p.store.failing())
	case !c.peer.party.record(time.Now()):
		refused = refuse(codeBusy, "%d runs were recorded within an hour: try again later", wrapRecords)
	}
	if refused != nil {
		c.refuse(refused)
		return
	}
	id := p.recordRun(c, name, rec)
	p.whenDurable(func() { c.reply(Reply{Run: id}) })
}

// recordRun makes the run of a record, with its output.
func (p *principal) recordRun(c *opCall, name string, rec *WrapRecord) string {
	now := p.cfg.now()
	ended, due := rec.Ended, rec.Due
	if ended.After(now.Add(wrapAhead)) {
		ended = stampOf(now)
	}
	if oldest := now.Add(-wrapOldest); ended.Before(oldest) {
		ended = stampOf(oldest)
	}
	// The task does nothing: a run that somebody records must never be one that an agent does.
	spec := &Workflow{ID: name, Name: name, Description: "by cdktr wrap on " + rec.Host,
		Tasks: []Task{{ID: "run", Name: rec.Command, Run: ":"}}}
	hash, _ := spec.hash()
	if p.state.Versions[hash] == nil {
		p.emit(&Event{Kind: evVersion, Workflow: name, Version: hash, Spec: spec})
	}
	e := &Event{Kind: evRecorded, Run: runID(now, p.state.LastRun), Workflow: name, Version: hash, Trigger: triggerWrap,
		State: rec.State, Reason: rec.Reason, Exit: rec.Exit, Seconds: rec.Seconds, Used: rec.Used, Agent: rec.Host,
		Own: ended, Until: due, By: c.by, From: c.from}
	if rec.Source != "" {
		e.Key = wrapKey(strings.ReplaceAll(rec.Source, " ", "_"), rec.N)
	}
	if len(rec.Lines) > 0 {
		place := p.logs.end(name)
		e.LogDay, e.LogAt = place.Day, place.At
	}
	if p.emit(e) != nil || len(rec.Lines) == 0 {
		return e.Run
	}
	r, lines := p.state.Runs[e.Run], rec.Lines
	for i := range lines {
		l := &lines[i]
		l.Run, l.N, l.Task, l.Attempt = e.Run, int64(i+1), "run", 1
		if l.Time.IsZero() || l.Time.After(now) {
			l.Time = ended
		}
		protoLine(l)
	}
	p.followers.publishLines(name, lines)
	p.output.storeLines(r, lines)
	p.output.tellDropped(r)
	return e.Run
}

// record counts a run that a party records. False when there were too many.
func (p *shareParty) record(now time.Time) bool {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if now.Sub(p.recordsSince) > wrapPeriod {
		p.recordsSince, p.records = now, 0
	}
	p.records++
	return p.records <= wrapRecords
}

// eachWrapLate hands fn the names whose next run is late, of those that a peer may see.
func (a *attention) eachWrapLate(grant *authGrant, now time.Time, fn func(AttentionItem)) {
	for name := range a.wraps {
		w := a.state.wrapped(name)
		if w.Due.IsZero() || now.Before(w.Due.Time) || !grant.sees(name) {
			continue
		}
		fn(AttentionItem{Key: expectKey(name, "late "+w.Due.UTC().Format(time.RFC3339)), Kind: attentionExpect,
			Workflow: name, Reason: fmt.Sprintf("nothing was heard of it since its run of %s: the next was to have "+
				"ended by %s", w.Last.In(a.cfg.Zone).Format(time.DateTime), w.Due.In(a.cfg.Zone).Format(time.DateTime)),
			Count: 1, First: w.Due, Last: w.Due})
	}
}
