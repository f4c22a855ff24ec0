// principal_cancel.go: how runs and tasks are stopped: those that wait at once, those that an agent has by that agent.
// The state keeps what was asked for, so that an agent which is away is told when it is back. All of it is the loop's.

package main

import "fmt"

// cancelRun stops a run: a queued one at once, a running one by its agent. It gives a note for the reply when that
// agent is away.
func (f *fleet) cancelRun(r *Run, reason string, force bool, by, from string) (note string) {
	if r.State == runQueued && r.Ending != "" {
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: r.Ending, Reason: r.Reason, By: by,
			From: from})
		return "its handlers do not run"
	}
	if r.State == runQueued {
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runCancelled, Reason: reason, By: by,
			From: from})
		return ""
	}
	if f.dialect.cancel(r, reason, by, from) {
		return ""
	}
	f.emit(&Event{Kind: evCancelling, Run: r.ID, Workflow: r.Workflow, Reason: reason, Force: force, By: by,
		From: from})
	link := f.links[r.Agent]
	if link == nil {
		return fleetAway(r.Agent, "run")
	}
	cancel := fleetCancel(r)
	f.whenDurable(func() { link.send(cancel) })
	if r.Ending != "" && !r.Force && !r.Insist {
		return "the graph of the run is over and its handlers run: cancel it again to end them"
	}
	return ""
}

// fleetCancel tells an agent to stop a run.
func fleetCancel(r *Run) *agentMsg {
	m := &agentMsg{Op: msgCancel, Run: r.ID, Reason: r.Cancelling, Force: r.Force}
	if r.Insist {
		m.N = 2
	}
	return m
}

// fleetAway notes that an agent which is away will stop something when it is back.
func fleetAway(agent, what string) string {
	return fmt.Sprintf("agent %s is not connected now: it stops the %s when it is back", agent, what)
}

// fleetStop tells an agent to stop one task of a run.
func fleetStop(r *Run, t *TaskRun, force bool) *agentMsg {
	return &agentMsg{Op: msgStopTask, Run: r.ID, Lease: r.Lease, Task: t.Task, Reason: t.Cancelling, Force: force}
}
