// principal_handlers.go: what the principal does about the handlers of runs (on_failure, on_success, on_exit). As a
// rule nothing: the agent of a run has them done before it reports the end. It begins them once it knows that the
// principal has "run.ending" safe. So of a run without that event no agent has begun a handler. When such a run is over
// for good, because its agent was lost or had reckoned with another attempt, it is queued once more for its handlers
// alone. Of a run with that event those handlers alone may be given out that its agent, which has said all, did not
// begin. Thus each runs once at most. All of it runs on the principal's loop.

package main

import "fmt"

// fleetHandlers sees to the handlers of runs.
type fleetHandlers struct {
	*fleet
	queued map[string]bool // runs that are queued for their handlers alone
}

// owes says whether a run that ends in this state is to be queued for handlers that no agent has begun. One that never
// began has none, nor has one that a person wanted to end at once.
func (f *fleetHandlers) owes(r *Run, spec *Workflow, state string) bool {
	if spec == nil || !spec.hasHandlers() || r.Force || r.Insist {
		return false
	}
	return !(r.Started.IsZero() && state == runCancelled) && len(spec.handlersOwed(r, state)) > 0
}

// giveUp is giveUpRun for a run whose graph is over: how it ended stands.
func (f *fleetHandlers) giveUp(r *Run, spec *Workflow, reason string, saidAll bool) {
	if saidAll && f.owes(r, spec, r.Ending) {
		f.emit(&Event{Kind: evHandlers, Run: r.ID, Workflow: r.Workflow, State: r.Ending, Reason: r.Reason})
		return
	}
	cut := "its handlers were cut short: " + reason
	if r.Reason != "" {
		cut = r.Reason + "; " + cut
	}
	f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, State: r.Ending, Reason: cut})
}

// afterRun queues a run again that its agent has ended, if its workflow asks for another attempt. A run of which a
// person stopped anything is not tried again: a person begins it again. When its agent had reckoned with another
// attempt, or could not go on, an agent has yet to run its handlers; not so where a person wanted it to end at once,
// which is forced.
func (f *fleet) afterRun(r *Run, forced bool) {
	spec := f.state.Versions[r.Version]
	if spec == nil {
		return
	}
	again := r.Cancelling == "" && !r.taskStopped()
	switch {
	case again && r.State == runFailed && r.Attempt <= spec.Retries:
		f.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: fmt.Sprintf("retry %d of %d after: %s", r.Attempt, spec.Retries, r.Reason)})
	case again && r.State == runCrashed && fleetFailsOver(r, spec):
		f.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: r.Reason})
	case !forced && f.handlers.owes(r, spec, r.State):
		f.emit(&Event{Kind: evHandlers, Run: r.ID, Workflow: r.Workflow, State: r.State, Reason: r.Reason})
	}
}

// note keeps the list of the runs that are queued for their handlers alone.
func (f *fleetHandlers) note(c change) {
	if r := c.run; r != nil && r.State == runQueued && r.Ending != "" {
		f.queued[r.ID] = true
	} else if r != nil && c.before == runQueued {
		delete(f.queued, r.ID)
	}
}

// assignQueued gives out runs that wait for nothing but their handlers where no connected agent has the labels for
// them: the agent within the principal's own process takes such a run, whatever its labels. With an agent that has
// them such a run goes the way of all others.
func (f *fleetHandlers) assignQueued() {
	if len(f.queued) == 0 {
		return
	}
	for _, link := range f.links { // at most one of them is in this process
		if !link.inProcess {
			continue
		}
		for _, id := range sortedKeys(f.queued) {
			r := f.state.Runs[id]
			spec := f.state.Versions[r.Version]
			if f.laneOf(r.Version, spec).matching == 0 && f.freeOf(link) > 0 {
				f.assign(r, spec, link) // this program knows all keys of what it has queued
			}
		}
		return
	}
}

// assignEnding makes an assignment one for the handlers of a run alone.
func assignEnding(as *assignment, r *Run) {
	as.End = &assignedEnd{State: r.Ending, Reason: r.Reason, Started: r.Started}
	for _, t := range r.Tasks[:r.handlersAt()] {
		if !r.Started.IsZero() && !t.Finished.IsZero() {
			as.End.Seconds = max(as.End.Seconds, t.Finished.Sub(r.Started.Time).Seconds())
		}
	}
}
