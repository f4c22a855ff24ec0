// principal_assign.go: which queued run goes to which agent, and what a run that goes to none waits for. All of it runs
// on the principal's loop.

package main

import (
	"fmt"
	"strings"
)

// assignQueued gives queued runs to agents, in the order of the queue, as far as agents have room.
func (f *fleet) assignQueued() {
	f.askAgain(f.cfg.now())
	if !f.assignable {
		return
	}
	f.assignable = false
	free := 0
	for _, link := range f.links {
		free += max(0, f.freeOf(link))
	}
	for i := 0; i < len(f.queue.runs) && free > 0; {
		r := f.queue.runs[i]
		spec := f.state.Versions[r.Version]
		link := f.bestAgent(r, spec)
		if link == nil || f.mustWait(r, spec) != "" {
			i++
			continue
		}
		if f.assign(r, spec, link) { // r is out of the queue, in one way or another
			free--
		}
	}
}

// freeOf gives how many more runs an agent may be given.
func (f *fleet) freeOf(link *agentLink) int {
	a := f.state.Agents[link.name]
	if a == nil || a.Draining {
		return 0
	}
	if !link.synced || link.leaving {
		return 0
	}
	return a.Capacity - f.running[link.name]
}

// bestAgent picks the agent with the most room among those whose labels match and that can take the run; nil when none
// has any.
func (f *fleet) bestAgent(r *Run, spec *Workflow) *agentLink {
	var best *agentLink
	for _, link := range f.links {
		free := f.freeOf(link)
		if free <= 0 || !labelsMatch(spec.Agent, f.state.Agents[link.name].Labels) ||
			f.unable(link, r.Version, spec) != "" {
			continue
		}
		if best == nil {
			best = link
			continue
		}
		most := f.freeOf(best)
		if free > most || free == most && link.name < best.name {
			best = link
		}
	}
	return best
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

// mustWait says why a queued run may not go yet although an agent is free, "" when it may: with overlap queue or
// replace only the oldest active run of a workflow goes, and none while something lives that an earlier one left. With
// skip that holds for runs that make up for missed ticks: there may be a thousand of them; and for what its own earlier
// attempts have left.
func (f *fleet) mustWait(r *Run, spec *Workflow) string {
	if spec.Overlap == overlapAllow {
		return ""
	}
	if orDefault(spec.Overlap, overlapSkip) == overlapSkip && r.Trigger != triggerCatchup {
		return f.leftAlive(r.Workflow, r.ID)
	}
	for _, id := range f.queue.active[r.Workflow] {
		other := f.state.Runs[id]
		if other != r && (other.State == runRunning || queuedBefore(other, r)) {
			return "waiting for run " + id
		}
	}
	return f.leftAlive(r.Workflow, "")
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
	return "all agents are busy"
}

// noTaker says why no agent that is there can take a run, however little it had to do; "" when one can.
func (f *fleet) noTaker(r *Run, spec *Workflow) string {
	if len(f.links) == 0 {
		return fleetNoAgent
	}
	matching, taking, able, first := 0, 0, 0, ""
	for name, link := range f.links {
		a := f.state.Agents[name]
		if !labelsMatch(spec.Agent, a.Labels) {
			continue
		}
		matching++
		if a.Draining || link.leaving {
			continue
		}
		taking++
		if reason := f.unable(link, r.Version, spec); reason == "" {
			able++
		} else if first == "" || reason < first { // the same each time
			first = reason
		}
	}
	switch {
	case matching == 0:
		return "no agent with labels " + labelsText(spec.Agent)
	case taking == 0:
		return "all agents that could take it are draining"
	case able == 0 && taking > 1:
		return fmt.Sprintf("%s, and %d more cannot take it either", first, taking-1)
	case able == 0:
		return first
	}
	return ""
}

// labelsText writes the labels that a run asks for, as k=v k=v; none is any agent.
func labelsText(labels map[string]string) string {
	text := ""
	for _, k := range sortedKeys(labels) {
		text += " " + k + "=" + labels[k]
	}
	return strings.TrimPrefix(text, " ")
}

// assign gives a run to an agent: the event first, the message once that is on disk. A run that does not fit into a
// message with all that belongs to it has failed: no agent can be given it, and this gives false.
func (f *fleet) assign(r *Run, spec *Workflow, link *agentLink) bool {
	if f.output.lines[r.ID] == 0 && r.LogDay != "" {
		f.output.readLines(r)
	}
	as := &assignment{Run: r.ID, Lease: r.Lease + 1, Attempt: r.Attempt, Trigger: r.Trigger, Scheduled: r.Scheduled,
		Params: r.Params, Spec: spec, Lines: f.output.lines[r.ID]}
	for _, t := range r.Tasks {
		if t.State == taskSucceeded {
			// more is of no use to the agent
			as.Done = append(as.Done, TaskRun{Task: t.Task, State: t.State, Outputs: t.Outputs})
		}
	}
	body := protoEncode(&agentMsg{V: protoVersion, Op: msgAssign, Assign: as})
	if len(body) > wireMaxFrame {
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runFailed, Reason: fmt.Sprintf(
			"it cannot be given to an agent: workflow, parameters and outputs have %d bytes as JSON, and a message "+
				"may have %d; write large data to files", len(body), wireMaxFrame)})
		return false
	}
	f.emit(&Event{Kind: evAssigned, Run: r.ID, Workflow: r.Workflow, Agent: link.name})
	f.whenDurable(func() { link.sendBody(body) })
	f.tellFollowed(r, false)
	return true
}
