// principal_runs.go: the ops that start, await, stop and repeat a run, as principal_ops.go dispatches them.

package main

import (
	"fmt"
	"maps"
	"strings"
)

const principalRunsNamed = 3 // runs of a workflow that a refusal names

// opRun queues a run, and says so once it is on disk.
func (p *principal) opRun(c *opCall) {
	id, refused := p.trigger(c.grant, c.req, c.by, c.from)
	if refused != nil {
		p.refuseLater(c, refused)
		return
	}
	p.followRun(c, id)
}

// trigger queues the run that a request asks for, or finds the one that an earlier request with its key has made.
func (p *principal) trigger(grant *authGrant, req Request, by, from string) (string, *protoError) {
	if used := p.keyUse(grant, req); used != "" {
		r := p.state.Runs[used]
		if r == nil {
			return used, nil
		}
		if spec := p.state.Versions[r.Version]; spec != nil { // with the defaults of then: those of now may be others
			params, refused := paramsFor(spec, req.Params, req.checked)
			if refused != nil {
				return "", refused
			}
			if !maps.Equal(params, r.Params) {
				return "", refuse(codeConflict, "key %q was used for run %s with other parameters", req.Key, r.ID)
			}
		}
		return r.ID, nil
	}
	f := p.files[req.Workflow]
	switch {
	case len(req.Key) > opsMaxKey:
		return "", refuse(codeInvalid, "key of %d bytes: it may have %d", len(req.Key), opsMaxKey)
	case f == nil:
		return "", noWorkflowAmong(p.ids, grant, req.Workflow)
	case f.Spec == nil:
		return "", refuse(codeConflict, "workflow %s does not load: %s", f.ID, p.infoOf(f).Error)
	}
	return p.enqueue(f.Spec, fire{trigger: triggerManual, params: req.Params, checked: req.checked, key: req.Key,
		scope: grant.scope(), grant: grant, by: by, from: from})
}

// keyUse gives the run that a request with the same key has made before, of the same workflow and by somebody who sees
// the same workflows; "" when there is none. Keys of others are nothing to it: they may have thought of the same one.
func (p *principal) keyUse(grant *authGrant, req Request) string {
	if req.Key == "" {
		return ""
	}
	use := p.state.Keys[stateUse(req.Workflow, grant.scope(), req.Key)]
	if use.Run == "" || p.cfg.now().Sub(use.Time.Time) > stateKeyLife {
		return ""
	}
	return use.Run
}

// paramsCheck holds the parameters of a request against the workflow as it is now: patterns over long values take their
// time, and the loop has none. nil when there is nothing to check. Not on the loop.
func (p *principal) paramsCheck(req *Request) *paramsChecked {
	if len(req.Params) == 0 {
		return nil
	}
	spec, _ := principalAsk(p, func() *Workflow {
		if f := p.files[req.Workflow]; f != nil {
			return f.Spec
		}
		return nil
	})
	if spec == nil {
		return nil
	}
	c := &paramsChecked{spec: spec}
	c.params, c.refused = paramsOf(spec, req.Params)
	return c
}

// paramsFor is paramsOf for the loop: what was checked before is not checked again, unless the workflow has changed
// since.
func paramsFor(w *Workflow, given map[string]string, checked *paramsChecked) (map[string]string, *protoError) {
	if checked != nil && checked.spec == w {
		return checked.params, checked.refused
	}
	return paramsOf(w, given)
}

// opWait answers when a run has ended.
func (p *principal) opWait(c *opCall) {
	c.req.Wait = true
	if p.state.Runs[c.req.Run] != nil {
		p.followRun(c, c.req.Run)
		return
	}
	p.absentRun(c, func(r *Run) {
		row, left := protoRunRow(r)
		c.reply(Reply{Run: r.ID, Runs: []*Run{row}, Note: left})
	})
}

// opCancel stops a run, or one task of it.
func (p *principal) opCancel(c *opCall) {
	r := p.state.Runs[c.req.Run]
	switch {
	case r == nil:
		p.absentRun(c, func(r *Run) { c.refuse(refuse(codeConflict, "run %s is %s already", r.ID, r.State)) })
	case !runActive(r.State):
		c.refuse(refuse(codeConflict, "run %s is %s already", r.ID, r.State))
	case c.req.Task != "":
		p.cancelTask(c, r)
	default:
		reply := Reply{Run: r.ID, Note: p.cancelRun(r, "cancelled by "+c.by, c.req.Force, c.by, c.from)}
		p.afterCommit(func() { c.reply(reply) })
	}
}

// opRetry queues a run that has ended once more.
func (p *principal) opRetry(c *opCall) {
	r := p.state.Runs[c.req.Run]
	switch {
	case r == nil:
		p.absentRun(c, func(r *Run) {
			c.refuse(refuse(codeConflict, "run %s is too old to be retried (the newest %d can be, or %d MiB of "+
				"them): start it again with cdktr run %s",
				r.ID, stateMaxFinished, principalMaxKept>>20, r.Workflow))
		})
	case runActive(r.State):
		c.refuse(refuse(codeConflict, "run %s is %s: it can be retried when it has ended", r.ID, r.State))
	case r.State == runSucceeded && !c.req.All:
		c.refuse(refuse(codeConflict, "run %s succeeded: nothing is left to run (--all runs it all again)", r.ID))
	default:
		if refused := p.mayQueue(c.grant, c.by); refused != nil {
			c.refuse(refused)
			return
		}
		p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1, All: c.req.All,
			Reason: "retried by " + c.by, By: c.by, From: c.from})
		id, note := r.ID, p.newerFile(r)
		p.afterCommit(func() { c.reply(Reply{Run: id, Note: note}) })
	}
}

// newerFile says that a run is of another version than its workflow's file is now; "" when it is not.
func (p *principal) newerFile(r *Run) string {
	f := p.files[r.Workflow]
	if f == nil || f.Spec == nil {
		return ""
	}
	if hash, _ := f.Spec.hash(); hash == r.Version {
		return ""
	}
	return fmt.Sprintf("the file of %s has changed since run %s was queued: the retry does what it said then; cdktr "+
		"run %s does what it says now", r.Workflow, r.ID, r.Workflow)
}

// notRun refuses a workflow's id where that of a run is wanted, and says what to type: the newest of its active runs,
// or else its newest run.
func (p *principal) notRun(op, workflow string) *protoError {
	ids, which := p.active[workflow], "its active runs"
	if len(ids) == 0 && op != "cancel" {
		if id := p.newestRun(workflow); id != "" {
			ids, which = []string{id}, "its newest run"
		}
	}
	if len(ids) == 0 {
		return refuse(codeNotFound, "%s is a workflow, not a run, and no run of it is active", workflow)
	}
	ids = ids[max(0, len(ids)-principalRunsNamed):]
	return refuse(codeNotFound, "%s is a workflow, not a run; %s: cdktr %s %s", workflow, which, op,
		strings.Join(ids, ", cdktr "+op+" "))
}
