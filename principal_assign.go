// principal_assign.go: which queued run goes to which agent, and what a run waits for that goes to none. All of it runs
// on the principal's loop.

package main

import "fmt"

// assignQueued gives queued runs to agents, in the order of the queue, for as long as agents have room. It looks at no
// run for which no agent has room.
func (f *fleet) assignQueued() {
	f.askAgain(f.cfg.now())
	f.parts.turn()
	if !f.assignable {
		return
	}
	f.assignable = false
	f.handlers.assignQueued()
	if f.lanes.moves >= f.lanes.sweep {
		f.lanes.forget(f.links)
	}
	f.pools.keepPlaces()
	f.assignReady()
	for f.pools.keepPlaces() { // a run that could not be given to its agent has left its places to others
		f.assignReady()
	}
}

// assignReady makes one pass over the lanes that have runs and agents with room.
func (f *fleet) assignReady() {
	for pass := f.lanes.pass(); len(pass) > 0; pass = lanesNext(pass) {
		l := pass[0]
		if len(l.free) == 0 { // the last of them has gone to another lane
			continue
		}
		r := l.runs[l.at]
		spec := f.state.Versions[r.Version]
		f.tried++
		link := f.bestAgent(l, r)
		if link == nil || f.mustWait(r, spec) != "" {
			l.at++
			continue
		}
		f.assign(r, spec, link) // it is out of the lane now, even if the run has failed
		if l.at < len(l.runs) && l.runs[l.at] == r {
			l.at++ // or, should it ever stay there, the pass would not end
		}
	}
}

// freeOf gives how many more runs an agent has places for. Below 0 it has runs that were given ahead.
func (f *fleet) freeOf(link *agentLink) int {
	a := f.state.Agents[link.name]
	if a == nil || a.Draining {
		return 0
	}
	if !link.synced || link.leaving {
		return 0
	}
	return a.Capacity - f.running[link.name] + min(f.parked[link.name], fleetMaxParked)
}

// bestAgent picks the agent with the most room among those of a run's lane that did not refuse it; nil when there is
// none.
func (f *fleet) bestAgent(l *lane, r *Run) *agentLink {
	for _, link := range l.free {
		if f.refusing(link, r.Version) == "" {
			return link
		}
	}
	return nil
}

// labelsMatch says whether an agent with these labels has all that are wanted.
func labelsMatch(want, has map[string]string) bool {
	for k, v := range want {
		if has[k] != v {
			return false
		}
	}
	return true
}

// mustWait says why a queued run may not go yet although an agent is free, "" when it may. With overlap queue or
// replace only the oldest active run of a workflow goes, and none goes while processes live that an earlier one left.
// With skip the same holds for runs that make up for ticks, of which there may be a thousand; any other run
// waits only for what its own earlier attempts left.
func (f *fleet) mustWait(r *Run, spec *Workflow) string {
	if spec.Overlap == overlapAllow || r.Ending != "" {
		return ""
	}
	if fleetWaitsAlone(r, spec) {
		return f.leftAlive(r.Workflow, r.ID)
	}
	if other := f.queue.ahead(r); other != nil {
		return "waiting for run " + other.ID
	}
	return f.leftAlive(r.Workflow, "")
}

// fleetWaitsAlone says whether a run waits for nothing that other runs of its workflow do.
func fleetWaitsAlone(r *Run, spec *Workflow) bool {
	return spec.Overlap == overlapAllow ||
		orDefault(spec.Overlap, overlapSkip) == overlapSkip && !goesAlone(r.Trigger)
}

// waitReason says what a queued run waits for.
func (f *fleet) waitReason(r *Run) string {
	spec := f.state.Versions[r.Version]
	if spec == nil {
		return ""
	}
	if reason := f.mustWait(r, spec); reason != "" {
		return reason
	}
	if reason := f.noTaker(r, spec); reason != "" {
		return reason
	}
	if reason := f.pools.waits(r); reason != "" {
		return reason
	}
	return "all agents are busy"
}

// noTaker says why none of the connected agents can take a run, even if it had nothing else to do; "" when one can. It
// looks at single agents only where each of them may have refused the run.
func (f *fleet) noTaker(r *Run, spec *Workflow) string {
	if len(f.links) == 0 {
		return fleetNoAgent
	}
	l := f.laneOf(r.Version, spec)
	able, first := l.able, ""
	if able <= len(f.refusals) {
		for what := range f.refusals {
			link := f.links[what.agent]
			if what.version != r.Version || link == nil || !l.has(link) {
				continue
			}
			if reason := f.refusing(link, r.Version); reason != "" {
				able--
				first = lanesFirst(first, reason)
			}
		}
	}
	taking := l.able + len(l.old)
	switch {
	case l.matching == 0:
		return "no agent with labels " + labelsText(spec.Agent)
	case taking == 0:
		return "all agents that could take it are draining"
	case able > 0:
		return ""
	}
	first = lanesFirst(first, l.oldest())
	if taking > 1 {
		return fmt.Sprintf("%s, and %d more cannot take it either", first, taking-1)
	}
	return first
}

// assign gives a run to an agent: first the event, and the message once that is on disk. A run that does not fit into a
// message with all that belongs to it can be given to no agent: it has failed.
func (f *fleet) assign(r *Run, spec *Workflow, link *agentLink) {
	if f.output.lines[r.ID] == 0 && r.LogDay != "" {
		f.output.readLines(r)
	}
	as := &assignment{Run: r.ID, Lease: r.Lease + 1, Attempt: r.Attempt, Trigger: r.Trigger, Scheduled: r.Scheduled,
		Event: r.Event, Params: r.Params, Spec: spec, Lines: f.output.linesOf(r), Ahead: f.freeOf(link) <= 0}
	if r.Ending != "" {
		assignEnding(as, r)
	}
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; {
		case !taskActive(t.State): // the agent needs no more of it
			done := TaskRun{Task: t.Task, Of: t.Of, State: t.State, Allowed: t.Allowed, Outputs: t.Outputs,
				Handler: t.Handler}
			if t.Of != "" && t.State == taskFailed { // which the end of the whole task tells of
				done.Reason, done.Exit = t.Reason, t.Exit
			}
			as.Done = append(as.Done, done)
		case t.Attempts > 0 || t.Child != "":
			as.Spent = append(as.Spent, TaskRun{Task: t.Task, Of: t.Of, State: t.State, Attempts: t.Attempts})
		}
	}
	body := f.assigned.encode(as)
	if len(body) > wireMaxFrame {
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runFailed, Reason: fmt.Sprintf(
			"it cannot be given to an agent: workflow, parameters and outputs have %d bytes as JSON, and a message "+
				"may have %d; write large data to files", len(body), wireMaxFrame)})
		return
	}
	link.answer() // the lease of the run counts from the newest heartbeat that the agent knows to be heard
	f.emit(&Event{Kind: evAssigned, Run: r.ID, Workflow: r.Workflow, Agent: link.name, Ahead: as.Ahead})
	f.onceDurable(storeLate, func() { link.sendBody(body) }) // loopWait has said when
	f.tellFollowed(r, false)
}
