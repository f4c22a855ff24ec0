// state_handlers.go: runs that are queued again for their handlers alone, and lost runs that come back. Pure, as
// state.go is.

package main

// queueHandlers puts a run whose graph is over into the queue for its handlers, which no agent has begun: the agent of
// the run was lost, or had reckoned with another attempt.
func (s *State) queueHandlers(r *Run, e *Event) {
	if !runActive(r.State) {
		s.unfinish(r)
	}
	r.endTasks(e, e.State)
	r.State, r.Agent, r.Reason, r.Ending, r.Lost, r.Ahead = runQueued, "", e.Reason, e.State, false, false
	r.Parked, r.Finished, r.Seconds, r.OwnFinished = false, Stamp{}, 0, Stamp{}
	if spec := s.Versions[r.Version]; spec != nil {
		r.addHandlers(spec, spec.handlersOwed(r, e.State))
	}
}

// adopt takes a lost run back that its agent brings: it goes on where the agent is with it.
func (s *State) adopt(r *Run) {
	s.unfinish(r)
	if r.handlersAt() < len(r.Tasks) {
		r.Ending = r.State
	}
	r.State, r.Reason, r.Finished, r.Seconds, r.Lost = runRunning, "", Stamp{}, 0, false
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; {
		case t.State == taskCrashed:
			t.State, t.Reason, t.Finished = taskRunning, "", Stamp{}
		case t.State == taskSkipped && t.Finished.IsZero(): // finish skipped it; the agent may have begun it since
			t.State, t.Reason = taskWaiting, ""
		}
	}
	r.Parked = r.onlyWaits(false)
}
