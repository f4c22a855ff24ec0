// state_part.go: how the state changes when a task is given to another agent than its run's, and what that agent
// reports (model_part.go). Pure, as state.go is.

package main

import "fmt"

// applyPlaced notes that an agent is given a task (Key names the part), or that it has not done the task and another is
// to be found (Key is "").
func (s *State) applyPlaced(r *Run, e *Event) error {
	t := r.task(e.Task)
	switch {
	case t == nil, e.Key == "" && t.Part == nil, e.Key != "" && (t.Part != nil || !t.asksAgent()):
		return fmt.Errorf("apply %s: task %s of run %s is not to be given to an agent", e.Kind, e.Task, r.ID)
	case e.Key != "":
		t.Part, t.Agent, t.Reason = &TaskPart{ID: e.Key, Agent: e.Agent}, e.Agent, ""
		s.LastRun = max(s.LastRun, e.Key)
		return nil
	}
	t.Part = nil
	if t.State == taskRunning {
		t.noteAttempt(&Event{Attempt: t.Attempts, Reason: e.Reason}, r.earlierMost())
		t.State = taskRetrying
		if t.Ask != nil {
			ask := *t.Ask
			ask.Lost++
			t.Ask = &ask
		}
	}
	if taskActive(t.State) {
		t.Reason = e.Reason
	}
	return nil
}

// applyPart folds what an agent says of its part: an attempt has begun or failed, or the task is over.
func (s *State) applyPart(r *Run, e *Event) error {
	t := r.task(e.Task)
	if t == nil || t.Part == nil || t.Part.ID != e.Key {
		return fmt.Errorf("apply %s: agent %s does not have task %s of run %s as part %s", e.Kind, e.Agent, e.Task,
			r.ID,
			e.Key)
	}
	active := taskActive(t.State) && t.Part.Stop == ""
	switch e.Kind {
	case evTaskAnswered:
		answer := &TaskAnswer{State: e.State, Reason: e.Reason, Outputs: e.Outputs, Attempt: e.Attempt, Exit: e.Exit,
			Seconds: e.Seconds, Used: e.Used, Limited: e.Limited, Allowed: e.Allowed}
		switch {
		case t.asksAgent() && (t.Part.Stop == "" || t.Ask.Stop != ""): // else it asks for a new one
			t.Part = nil
			r.answerPart(t, answer)
		case active && t.Part.Answer == nil: // its run is queued
			part := *t.Part
			part.Answer = answer
			t.Part, t.Pooled = &part, false
		default:
			t.Part = nil
		}
	case evTaskStarted:
		if !active { // nobody waits for it
			return nil
		}
		t.State, t.Attempts, t.Reason = taskRunning, e.Attempt, ""
		if t.Started.IsZero() {
			t.Started = e.Time
		} else if e.Attempt > 1 {
			t.Began = e.Time
		}
		r.noteLog(e)
	case evTaskRetrying:
		if active {
			t.noteAttempt(e, r.earlierMost())
			t.State, t.Reason, t.Exit, t.Used, t.Limited = taskRetrying, e.Reason, e.Exit, e.Used, e.Limited
		}
	}
	return nil
}

// answerPart tells the task how it ended on the other agent.
func (r *Run) answerPart(t *TaskRun, answer *TaskAnswer) {
	ask := *t.Ask
	ask.Answer = answer
	t.Ask = &ask
	r.Parked = r.State == runRunning && r.onlyWaits(false)
}

// stopPart notes that what another agent has of a task is to end. What has ended is forgotten. Should the run come
// back, its agent is told that: it is not begun again.
func (t *TaskRun) stopPart(reason string) {
	switch {
	case t.Part == nil || t.Part.Stop != "":
	case t.Part.Answer != nil:
		t.Part = nil
	default:
		part := *t.Part
		part.Stop = reason
		t.Part = &part
		if t.asksAgent() {
			ask := *t.Ask
			ask.Stop = orDefault(ask.Stop, reason)
			t.Ask = &ask
		}
	}
}

// partGoesOn says whether another agent goes on with the task, or has done it, though e queues its run again. What its
// own agent was not told, or has not acted on, is kept for the next one.
func (t *TaskRun) partGoesOn(e *Event) bool {
	if e.All || e.By != "" || !taskActive(t.State) {
		return false
	}
	if t.Ask != nil && t.Ask.For == askAgent && t.Ask.Answer != nil {
		t.Part = &TaskPart{Agent: t.Agent, Answer: t.Ask.Answer}
	}
	return t.Part != nil && t.Part.Stop == ""
}

// earlierMost gives how many attempts of each task of the run are kept.
func (r *Run) earlierMost() int { return min(stateMaxEarlier, max(1, stateMaxEarliers/len(r.Tasks))) }
