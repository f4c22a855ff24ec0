// principal_left.go: processes that agents could not end: what an agent says of them, what of that is news, and which
// runs wait for them. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"maps"
	"slices"
)

// takeLeft takes in all that an agent could not end and that lives. What it does not tell of any more has gone.
func (p *principal) takeLeft(link *agentLink, held []heldLeft) {
	said := map[string][]LeftProcess{}
	for _, h := range held[:min(len(held), protoMaxLeft)] {
		if workflow := p.leftBy(link.name, h.Run); workflow == "" {
			p.note("agent told of what a run has left that is not its own", link.conn.Peer(), "agent", link.name, "run",
				h.Run)
			continue
		}
		for _, l := range h.Processes[:min(len(h.Processes), stateMaxLeft)] {
			said[h.Run] = append(said[h.Run], LeftProcess{Agent: link.name, Task: textHead(l.Task, protoMaxName),
				Attempt: l.Attempt, PID: l.PID, User: textHead(l.User, dispatchLeftText),
				Command: textHead(l.Command, dispatchLeftText), Why: textHead(l.Why, dispatchLeftText)})
		}
	}
	for run := range p.left {
		if _, told := said[run]; !told {
			said[run] = nil
		}
	}
	for _, run := range sortedKeys(said) {
		p.noteLeft(link, run, said[run])
	}
}

// leftBy gives the workflow of a run of which an agent may tell what it has left, "" when it may not: it has the run,
// had it last, or has told of it before.
func (p *principal) leftBy(agent, run string) string {
	if r := p.state.Runs[run]; r != nil && r.Agent == agent {
		return r.Workflow
	}
	if workflow, known := p.left[run]; known {
		for _, l := range p.state.Workflows[workflow].left(run).Processes {
			if l.Agent == agent {
				return workflow
			}
		}
	}
	return ""
}

// noteLeft puts together what is known of a run with what its agent says of it now, and notes it when that is news.
func (p *principal) noteLeft(link *agentLink, run string, said []LeftProcess) {
	workflow := p.leftBy(link.name, run)
	if workflow == "" {
		return
	}
	var before []LeftProcess
	if r := p.state.Runs[run]; r != nil {
		before = r.Left
	} else if l := p.state.Workflows[workflow].left(run); l != nil {
		before = l.Processes
	}
	now, changed := stampOf(p.cfg.now()), false
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
	p.emit(&Event{Kind: evLeft, Run: run, Workflow: workflow, Agent: link.name,
		Left: append(slices.Clip(all), gone...)})
}

// same says whether two are the same process of an attempt.
func (l *LeftProcess) same(other *LeftProcess) bool {
	return l.Agent == other.Agent && l.Task == other.Task && l.Attempt == other.Attempt && l.PID == other.PID
}

// indexLeft brings the index of runs that left something up to date after an event: what a workflow keeps of them is
// bounded, so that one which comes may drive another out. Runs may have waited for that.
func (p *principal) indexLeft(e *Event) {
	switch e.Kind {
	case evLeft, evAgentForgot:
	default:
		return
	}
	maps.DeleteFunc(p.left, func(run, workflow string) bool { return p.state.Workflows[workflow].left(run) == nil })
	if e.Kind == evLeft && p.state.Workflows[e.Workflow].left(e.Run) != nil {
		p.left[e.Run] = e.Workflow
	}
	p.assignable = true
	p.newsQueue(p.queue)
}

// leftAt says whether something is left at an agent.
func (p *principal) leftAt(agent string) bool {
	for run, workflow := range p.left {
		if slices.ContainsFunc(p.state.Workflows[workflow].left(run).Processes,
			func(l LeftProcess) bool { return l.Agent == agent }) {
			return true
		}
	}
	return false
}

// leftAlive says what runs of a workflow have left that lives, as "what run R left lives on agent A: ..."; "" when
// there is nothing. run is the one that is meant, "" all of them. What was left at an agent that stays away is given up
// when its runs are.
func (p *principal) leftAlive(workflow, run string) string {
	w := p.state.Workflows[workflow]
	if w == nil {
		return ""
	}
	for _, l := range w.Left {
		if run != "" && run != l.Run {
			continue
		}
		for _, process := range l.Processes {
			_, waited := p.losing[process.Agent]
			if p.links[process.Agent] != nil || waited {
				return fmt.Sprintf("what run %s left lives on agent %s: %s", l.Run, process.Agent,
					leftText(l.Processes))
			}
		}
	}
	return ""
}
