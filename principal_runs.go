// principal_runs.go: the ops that start, await, stop and repeat a run, and how a run gets into the queue.

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const runsNamed = 3 // runs of a workflow that a refusal names

// opRun queues a run, and answers when that is on disk, or follows the run if the request asks for that.
func (p *principal) opRun(c *opCall) {
	id, refused := p.trigger(c.grant, c.req, c.by, c.from)
	if refused != nil {
		p.looks.refuseAside(c, refused)
		return
	}
	p.looks.followRun(c, id)
}

// trigger queues the run that a request asks for, or finds the run that an earlier request with its key has queued.
func (p *principal) trigger(grant *authGrant, req Request, by, from string) (string, *protoError) {
	if used := p.keyUse(grant, req); used != "" {
		r := p.state.Runs[used]
		if r == nil {
			return used, nil
		}
		if spec := p.state.Versions[r.Version]; spec != nil { // its defaults may differ from those of now
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
	f := p.catalog.files[req.Workflow]
	switch {
	case len(req.Key) > opsMaxKey:
		return "", refuse(codeInvalid, "key of %d bytes: it may have %d", len(req.Key), opsMaxKey)
	case req.Workflow == execWorkflow:
		return "", refuse(codeNotFound, "%s is no workflow, it is what cdktr exec has run: cdktr retry RUN --all runs "+
			"such a command again", execWorkflow)
	case f == nil:
		return "", noWorkflowAmong(p.catalog.ids, grant, req.Workflow)
	case f.Spec == nil:
		return "", refuse(codeConflict, "workflow %s does not load: %s", f.ID, p.copier.infoOf(f).Error)
	}
	return p.enqueue(f.Spec, runOrder{trigger: triggerManual, params: req.Params, checked: req.checked, key: req.Key,
		scope: grant.scope(), grant: grant, by: by, from: from})
}

// keyUse gives the run that a request with the same key has queued before, for the same workflow and by somebody who
// sees the same workflows; "" when there is none. Keys of others do not count: two parties may choose the same one.
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

// paramsCheck holds the parameters of a request against the workflow as it is now, nil when there is nothing to check.
// Not on the loop, for patterns over long values take their time.
func (p *principal) paramsCheck(req *Request) *paramsChecked {
	if len(req.Params) == 0 {
		return nil
	}
	spec, _ := principalAsk(p, func() *Workflow {
		if f := p.catalog.files[req.Workflow]; f != nil {
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

// paramsFor is paramsOf for the loop. It takes what was checked before, unless the workflow has changed since.
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
		p.looks.followRun(c, c.req.Run)
		return
	}
	p.looks.absentRun(c, func(r *Run) {
		row, left := protoRunRow(r)
		c.reply(Reply{Run: r.ID, Runs: []*Run{row}, Note: left})
	})
}

// opCancel stops a run, or one task of it.
func (p *principal) opCancel(c *opCall) {
	r := p.state.Runs[c.req.Run]
	switch {
	case c.req.Batch != "":
		p.cancelBatch(c)
	case c.req.Run == "":
		c.refuse(refuse(codeInvalid, `cancel needs the field "run", or "batch"`))
	case r == nil:
		p.looks.absentRun(c, func(r *Run) { c.refuse(refuse(codeConflict, "run %s is %s already", r.ID, r.State)) })
	case !runActive(r.State):
		c.refuse(refuse(codeConflict, "run %s is %s already", r.ID, r.State))
	case c.req.Task != "":
		p.cancelTask(c, r)
	default:
		reply := Reply{Run: r.ID, Note: p.fleet.cancelRun(r, "cancelled by "+c.by, c.req.Force, c.by, c.from)}
		p.whenDurable(func() { c.reply(reply) })
	}
}

// opRetry queues a run again that has ended, or says what that would do.
func (p *principal) opRetry(c *opCall) {
	r := p.state.Runs[c.req.Run]
	switch {
	case c.req.All && c.req.From != "":
		c.refuse(refuse(codeInvalid, "a retry is of all tasks or from one of them, not both"))
	case r == nil:
		p.looks.absentRun(c, func(r *Run) {
			another := ": start it again with cdktr run " + r.Workflow
			if r.Workflow == execWorkflow {
				another = ""
			}
			c.refuse(refuse(codeConflict, "run %s is too old to be retried (the newest %d can be, or %d MiB of "+
				"them)%s", r.ID, stateMaxFinished, retainMaxKept>>20, another))
		})
	case r.Trigger == triggerWrap:
		c.refuse(refuse(codeConflict, "run %s was done by cdktr wrap on %s: run the command there again", r.ID,
			r.Agent))
	case runActive(r.State):
		c.refuse(refuse(codeConflict, "run %s is %s: it can be retried when it has ended", r.ID, r.State))
	case r.nothingLeft() && !c.req.All && c.req.From == "":
		c.refuse(refuse(codeConflict, "run %s succeeded: nothing is left to run (--all runs it all again, --from "+
			"TASK that task and all behind it)", r.ID))
	default:
		if refused := retryFrom(r, c.req.From); refused != nil {
			p.looks.refuseAside(c, refused)
			return
		}
		if refused := p.queue.mayQueue(c.grant, c.by); refused != nil {
			c.refuse(refused)
			return
		}
		if spec := p.state.Versions[r.Version]; spec != nil {
			if few := p.fleet.pools.tooFew(spec); few != "" {
				c.refuse(refuse(codeConflict, "run %s of workflow %s cannot run again: %s", r.ID, r.Workflow, few))
				return
			}
		}
		again := &Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1, All: c.req.All,
			Task: c.req.From, Reason: "retried by " + c.by, By: c.by, From: c.from}
		reply := Reply{Run: r.ID, Note: p.newerFile(r)}
		if c.req.Dry {
			p.dryRetry(c, r, again, reply)
			return
		}
		p.emit(again)
		p.whenDurable(func() { c.reply(reply) })
	}
}

// retryFrom says why a retry of a run cannot begin at a task, nil when it can; "" is no task.
func retryFrom(r *Run, from string) *protoError {
	t := r.task(from)
	switch {
	case from == "":
		return nil
	case t == nil:
		return noTask(r, from)
	case t.Of != "":
		return refuse(codeConflict, "%s is an instance of task %s: a retry begins at a whole task, --from %[2]s", from,
			t.Of)
	case t.Handler != "":
		return refuse(codeConflict, "task %s belongs to %s, which follows every attempt of the run", from, t.Handler)
	}
	return nil
}

// dryRetry answers with the tasks as they would be behind an event that queues a run again.
func (p *principal) dryRetry(c *opCall, r *Run, again *Event, reply Reply) {
	scratch, copied := stateNew(), r.clone()
	scratch.Runs[r.ID], scratch.Versions[r.Version] = copied, p.state.Versions[r.Version]
	if err := scratch.apply(again); err != nil {
		c.refuse(refuse(codeConflict, "%v", err))
		return
	}
	reply.Tasks, reply.Spec = copied.Tasks, p.state.Versions[r.Version]
	if reply.Spec != nil && protoSize(reply.Tasks)+protoSize(reply.Spec) > protoMaxRow {
		reply.Spec = nil
	}
	c.reply(reply)
}

// newerFile notes that the file of a run's workflow has changed since the run was queued; "" when it has not.
func (p *principal) newerFile(r *Run) string {
	f := p.catalog.files[r.Workflow]
	if f == nil || f.Spec == nil {
		return ""
	}
	if hash, _ := f.Spec.hash(); hash == r.Version {
		return ""
	}
	return fmt.Sprintf("the file of %s has changed since run %s was queued: the retry does what it said then; cdktr "+
		"run %s does what it says now", r.Workflow, r.ID, r.Workflow)
}

// notRun refuses a workflow's id where a run's is wanted, and says what to type instead: the newest of its active runs,
// or else its newest run.
func (l *looks) notRun(op, workflow string) *protoError {
	ids, which := l.queue.active[workflow], "its active runs"
	if len(ids) == 0 && op != "cancel" {
		if id := l.copier.newestRun(workflow); id != "" {
			ids, which = []string{id}, "its newest run"
		}
	}
	if len(ids) == 0 {
		return refuse(codeNotFound, "%s is a workflow, not a run, and no run of it is active", workflow)
	}
	ids = ids[max(0, len(ids)-runsNamed):]
	return refuse(codeNotFound, "%s is a workflow, not a run; %s: cdktr %s %s", workflow, which, op,
		strings.Join(ids, ", cdktr "+op+" "))
}

// replaceActive cancels the active runs of a workflow: a new one takes their place. Those that are ending already it
// leaves alone: only a person, who asks twice, ends handlers. Runs of batches are for other fires: they go on.
func (p *principal) replaceActive(workflow string) {
	for _, id := range slices.Clone(p.queue.active[workflow]) {
		if r := p.state.Runs[id]; r.Cancelling == "" && r.Ending == "" && r.Batch == "" {
			p.fleet.cancelRun(r, "replaced by a newer run", false, "", "")
		}
	}
}

// runOrder is all that a run is queued by: a tick of a schedule, or the request of a peer.
type runOrder struct {
	trigger   string
	scheduled time.Time
	reason    string
	missed    int
	event     *RunEvent   // that fires it; nil: none does
	seen      []EventSeen // what was seen with it
	params    map[string]string
	checked   *paramsChecked // the same; nil: not yet
	key       string
	scope     string     // of the key
	grant     *authGrant // of who asks for it; nil is the principal itself
	by, from  string
	// the run, and its task, that ask for it
	parent, task string
	batch        string // that it is of
}

// enqueue makes a run of the present version of a workflow and puts it into the queue. With overlap replace it cancels
// the active runs. A refusal changes nothing. The caller answers when this turn is on disk.
func (p *principal) enqueue(w *Workflow, order runOrder) (string, *protoError) {
	if refused := p.queue.mayQueue(order.grant, order.by); refused != nil {
		return "", refused
	}
	if order.event != nil || order.batch != "" { // a flood of them leaves room for schedules and operators
		if refused := p.queue.room(principalMaxQueued - sharesQueueOwn - sharesQueueOperators); refused != nil {
			return "", refused
		}
	}
	params, refused := paramsFor(w, order.params, order.checked)
	if refused != nil {
		return "", refused
	}
	if few := p.fleet.pools.tooFew(w); few != "" {
		return "", refuse(codeConflict, "workflow %s cannot run: %s", w.ID, few)
	}
	if held := p.fleet.pools.heldAbove(w, order.parent, order.task); held != "" {
		return "", refuse(codeConflict, "workflow %s cannot run here: %s", w.ID, held)
	}
	hash := p.catalog.hashOf(w)
	if w.Overlap == overlapReplace && order.batch == "" {
		p.replaceActive(w.ID)
	}
	if p.state.Versions[hash] == nil {
		p.emit(&Event{Kind: evVersion, Workflow: w.ID, Version: hash, Spec: w})
	}
	id := runID(p.cfg.now(), p.state.LastRun)
	p.emit(&Event{Kind: evQueued, Run: id, Workflow: w.ID, Version: hash, Params: params, Trigger: order.trigger,
		Scheduled: stampOf(order.scheduled), Reason: order.reason, Missed: order.missed, Priority: w.Priority,
		Event: order.event, Seen: order.seen,
		Key:   order.key,
		Scope: order.scope, By: order.by, From: order.from, Parent: order.parent, Task: order.task,
		Batch: order.batch})
	return id, nil
}

// paramChoices names the choices of a parameter, for a sentence.
func paramChoices(param *Param) string { return textHead(workflowOr(param.Choices), principalMaxEcho) }

// paramsOf checks the parameters that a run was given against those that the workflow declares, and adds the defaults.
func paramsOf(w *Workflow, given map[string]string) (map[string]string, *protoError) {
	names := sortedKeys(w.Params)
	for _, name := range sortedKeys(given) {
		param, ok := w.Params[name]
		if !ok {
			message := fmt.Sprintf("workflow %s has no parameter %q", w.ID, name)
			if near := nearHint(name, names); near != "" {
				message += near
			} else if len(names) > 0 {
				message += " (it has: " + strings.Join(names, ", ") + ")"
			}
			return nil, refuse(codeInvalid, "%s", message)
		}
		if len(param.Choices) > 0 && !slices.Contains(param.Choices, given[name]) {
			return nil, refuse(codeInvalid, "parameter %s: %q is not %s%s", name,
				textHead(given[name], principalMaxEcho), paramChoices(&param), nearHint(given[name], param.Choices))
		}
		re, err := paramPattern(param.Pattern)
		if err != nil || param.Pattern != "" && !re.MatchString(given[name]) {
			return nil, refuse(codeInvalid, "parameter %s: %q does not match the pattern %s", name,
				textHead(given[name], principalMaxEcho), param.Pattern)
		}
	}
	params := make(map[string]string, len(names))
	for _, name := range names {
		value, ok := given[name]
		if !ok {
			if param := w.Params[name]; param.Required {
				message := fmt.Sprintf("parameter %s is missing: give it with -p %s=VALUE", name, name)
				if len(param.Choices) > 0 {
					message += ", " + paramChoices(&param)
				}
				return nil, refuse(codeInvalid, "%s", message)
			}
			value = w.Params[name].Default
		}
		params[name] = value
	}
	if err := paramsFault(params); err != nil {
		return nil, refuse(codeInvalid, "%v", err)
	}
	return params, nil
}

// cancelTask stops one task of a run; the run goes on as its graph says. The state keeps the request until the task has
// ended: an agent that is away now, or that the message does not reach, is told when it says hello.
func (p *principal) cancelTask(c *opCall, r *Run) {
	t, agent := r.task(c.req.Task), p.state.Agents[r.Agent]
	switch {
	case t == nil:
		p.looks.refuseAside(c, noTask(r, c.req.Task))
	case t.State == taskWaiting && !t.asking():
		c.refuse(refuse(codeConflict, "task %s of run %s has not begun (the run is %s): cdktr cancel %s stops the "+
			"whole run", t.Task, r.ID, r.State, r.ID))
	case !taskActive(t.State):
		c.refuse(refuse(codeConflict, "task %s of run %s is %s already: cdktr cancel %s stops the whole run", t.Task,
			r.ID, t.State, r.ID))
	case p.dialect.speaks(agent):
		c.refuse(refuse(codeConflict, "agent %s is one of CDKTR's, which cannot be told to stop a task: cdktr "+
			"cancel %s ends the whole run, and its processes go on", r.Agent, r.ID))
	case p.fleet.links[r.Agent] != nil && !slices.Contains(p.fleet.links[r.Agent].can, msgStopTask):
		c.refuse(refuse(codeConflict, "%s is too old to stop one task: cdktr cancel %s stops the whole run",
			p.fleet.links[r.Agent].title(), r.ID))
	default:
		p.emit(&Event{Kind: evTaskStopping, Run: r.ID, Workflow: r.Workflow, Task: t.Task, Reason: "cancelled by " +
			c.by, Force: c.req.Force, By: c.by, From: c.from})
		reply, link, stop := Reply{Run: r.ID}, p.fleet.links[r.Agent], fleetStop(r, t, c.req.Force)
		if link == nil {
			reply.Note = fleetAway(r.Agent, "task")
		}
		p.whenDurable(func() {
			if link != nil {
				link.send(stop)
			}
			c.reply(reply)
		})
	}
}

// noTask refuses a task that is not in a run.
func noTask(r *Run, id string) *protoError {
	ids := make([]string, len(r.Tasks))
	for i := range r.Tasks {
		ids[i] = r.Tasks[i].Task
	}
	return refuseNear(fmt.Sprintf("run %s has no task %q", r.ID, id), "cdktr show "+r.ID+" lists them", id,
		func() []string { return ids })
}
