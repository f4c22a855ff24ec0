// principal_left.go: processes that agents could not end: what an agent says of them, what of that is new, and which
// runs wait for them. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"maps"
	"slices"
)

// takeLeft takes in all processes that an agent could not end and that live. A process that the agent does not name any
// more has gone.
func (f *fleet) takeLeft(link *agentLink, held []heldLeft) {
	said := map[string][]LeftProcess{}
	for _, h := range held[:min(len(held), protoMaxLeft)] {
		if workflow := f.leftBy(link.name, h.Run); workflow == "" {
			f.note("agent told of what a run has left that is not its own", link.conn.Peer(), "agent", link.name, "run",
				h.Run)
			continue
		}
		for _, l := range h.Processes[:min(len(h.Processes), stateMaxLeft)] {
			said[h.Run] = append(said[h.Run], LeftProcess{Agent: link.name, Task: textHead(l.Task, protoMaxName),
				Attempt: l.Attempt, PID: l.PID, User: textHead(l.User, fleetLeftText),
				Command: textHead(l.Command, fleetLeftText), Why: textHead(l.Why, fleetLeftText)})
		}
	}
	for run := range f.left {
		if _, named := said[run]; !named {
			said[run] = nil
		}
	}
	for _, run := range sortedKeys(said) {
		f.noteLeft(link, run, said[run])
	}
}

// leftBy gives the workflow of a run, if this agent may tell what the run left: it has the run, had it last, or has
// told of it before. Else it gives "".
func (f *fleet) leftBy(agent, run string) string {
	r := f.state.Runs[run]
	if r != nil && r.did(agent) {
		return r.Workflow
	}
	if workflow, known := f.left[run]; known {
		for _, l := range f.state.Workflows[workflow].left(run).Processes {
			if l.Agent == agent {
				return workflow
			}
		}
	}
	return ""
}

// noteLeft compares what is known of a run with what its agent says now, and notes what has changed.
func (f *fleet) noteLeft(link *agentLink, run string, said []LeftProcess) {
	workflow := f.leftBy(link.name, run)
	if workflow == "" {
		return
	}
	var before []LeftProcess
	if r := f.state.Runs[run]; r != nil {
		before = r.Left
	} else if l := f.state.Workflows[workflow].left(run); l != nil {
		before = l.Processes
	}
	now, changed := stampOf(f.cfg.now()), false
	var alive, gone []LeftProcess
	for _, l := range before {
		i := slices.IndexFunc(said, func(s LeftProcess) bool { return s.same(&l) })
		switch {
		case !l.Gone.IsZero():
			gone = append(gone, l)
		case l.Agent != link.name:
			alive = append(alive, l)
		case i < 0:
			l.Gone, changed = now, true
			gone = append(gone, l)
		}
	}
	for _, l := range said {
		changed = changed || !slices.Contains(before, l)
		alive = append(alive, l)
	}
	if !changed {
		return
	}
	all := alive[max(0, len(alive)-stateMaxLeft):]
	gone = gone[max(0, len(gone)+len(all)-stateMaxLeft):]
	f.emit(&Event{Kind: evLeft, Run: run, Workflow: workflow, Agent: link.name,
		Left: append(slices.Clip(all), gone...)})
}

// same says whether two are the same process of an attempt.
func (l *LeftProcess) same(other *LeftProcess) bool {
	return l.Agent == other.Agent && l.Task == other.Task && l.Attempt == other.Attempt && l.PID == other.PID
}

// indexLeft brings the index of runs that left something up to date after an event. A workflow keeps a bounded number
// of them, so that a new one may push out another. Runs that waited may go then.
func (f *fleet) indexLeft(e *Event) {
	switch e.Kind {
	case evLeft, evAgentForgot:
	default:
		return
	}
	maps.DeleteFunc(f.left, func(run, workflow string) bool { return f.state.Workflows[workflow].left(run) == nil })
	if e.Kind == evLeft && f.state.Workflows[e.Workflow].left(e.Run) != nil {
		f.left[e.Run] = e.Workflow
	}
	f.assignable = true
}

// leftAt says whether a run left something at an agent.
func (f *fleet) leftAt(agent string) bool {
	for run, workflow := range f.left {
		if slices.ContainsFunc(f.state.Workflows[workflow].left(run).Processes,
			func(l LeftProcess) bool { return l.Agent == agent }) {
			return true
		}
	}
	return false
}

// leftAlive says what lives that runs of a workflow left, as "what run R left lives on agent A: ..."; "" when nothing
// does. run is the run that is meant, "" all of them. What was left at an agent that stays away counts until the
// agent's runs are given up.
func (f *fleet) leftAlive(workflow, run string) string {
	w := f.state.Workflows[workflow]
	if w == nil {
		return ""
	}
	for _, l := range w.Left {
		if run != "" && run != l.Run {
			continue
		}
		for _, process := range l.Processes {
			_, waited := f.losing[process.Agent]
			if f.links[process.Agent] != nil || waited {
				return fmt.Sprintf("what run %s left lives on agent %s: %s", l.Run, process.Agent,
					leftText(l.Processes))
			}
		}
	}
	return ""
}
