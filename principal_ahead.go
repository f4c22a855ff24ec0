// principal_ahead.go: runs that an agent is given before it has a place for them. Between the end of one run and the
// begin of the next lie a report, an fsync and a message: an agent whose runs are short would stand empty for much of
// its time. So it is given runs ahead, one or some for each place, once no agent has a place that is free, and begins
// each as soon as it has a place. What it could not begin within agentAhead (agent_ahead.go) it gives back. So for no
// longer than that a run waits there while another agent has become idle, or a run of higher priority behind one of
// lower. That is so of an agent that answers. One that is silent may have begun what it was given: such a run waits
// until the agent is back, or is given up with all others of the agent after agentLostAfter.

package main

import (
	"slices"
	"time"
)

const (
	// how long the last run of an agent may have taken for it to be given others ahead: behind a longer one the time
	// between two runs does not matter
	fleetQuick    = 200 * time.Millisecond
	fleetQuickMax = 4  // runs that are given ahead for one place, if they take less than a fourth of that together
	fleetMaxAhead = 32 // runs that an agent is given ahead, at most
)

// aheadOf gives how many runs an agent may be given ahead, those that it has among them.
func (f *fleet) aheadOf(link *agentLink) int {
	if link.quick == 0 || !slices.Contains(link.can, msgRecall) {
		return 0
	}
	a := f.state.Agents[link.name]
	if a == nil || a.Draining || !link.synced || link.leaving {
		return 0
	}
	return min(a.Capacity*link.quick, fleetMaxAhead)
}

// room says whether the agent may be given a run, at once or ahead.
func (l *agentLink) room() bool { return l.free+l.extra > 0 }

// fleetQuickOf gives how many runs may be given ahead for each place of an agent whose last run took so many seconds:
// as many as are begun long before they go back.
func fleetQuickOf(seconds float64) int {
	switch {
	case seconds > fleetQuick.Seconds():
		return 0
	case seconds*4*fleetQuickMax > fleetQuick.Seconds():
		return 1
	}
	return fleetQuickMax
}

// noteQuick notes how many runs an agent is given ahead for each of its places.
func (f *fleet) noteQuick(link *agentLink, quick int) {
	if link.quick != quick {
		link.quick = quick
		f.noteRoom(link)
		f.assignable = true
	}
}

// countAhead counts what each agent was given ahead and has not begun. When a run is not ahead any more, whatever has
// become of it, the agent's row has changed, and how many runs are queued is to be told anew (tellCount).
func (f *fleet) countAhead(c change) {
	if c.ahead {
		f.ahead[c.agent]--
		f.followers.news.ofAgent(c.agent)
	}
	if c.run != nil && c.run.Ahead {
		f.ahead[c.run.Agent]++
	}
	f.queue.counted = f.queue.counted && !c.ahead
}

// runsAt gives how many runs an agent has begun, and how many it was given ahead and has not begun.
func (f *fleet) runsAt(agent string) (begun, ahead int) {
	ahead = f.ahead[agent]
	return f.running[agent] - ahead, ahead
}

// recall asks an agent for what it was given ahead, when it is to be given no more runs.
func (f *fleet) recall(agent string) {
	if link := f.links[agent]; link != nil && f.ahead[agent]+f.parked[agent] > 0 {
		f.whenDurable(func() { link.send(&agentMsg{Op: msgRecall}) })
	}
}

// hearReturn takes a run back that an agent was given ahead and has not begun, or that only waits for an answer while
// the agent is to have no more runs. The agent does not have it any more, whatever we know of it. Its places are not
// free soon.
func (f *fleet) hearReturn(link *agentLink, m *agentMsg) {
	f.noteQuick(link, 0)
	if r := f.state.Runs[m.Run]; link.has(r, m.Lease) {
		f.giveUpRun(r, protoReason(orDefault(m.Reason, "agent "+link.name+" gave it back")), true)
	}
}
