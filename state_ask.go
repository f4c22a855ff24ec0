// state_ask.go: how the state changes when a task asks for something, and is answered.

package main

import "fmt"

// applyAnswered folds what a task was answered. A task that has ended before it was answered by anybody asks no more.
func (s *State) applyAnswered(r *Run, e *Event) error {
	t := r.task(e.Task)
	if t == nil || t.Ask == nil || t.Ask.Answer != nil {
		return fmt.Errorf("apply %s: task %s of run %s asks for nothing", e.Kind, e.Task, r.ID)
	}
	delete(s.Acks, stateKey(askApprove, r.ID, t.Task))
	if !t.asking() {
		t.Ask = nil
		if t.State == taskRetrying {
			t.Child = ""
		}
		return nil
	}
	t.Pooled = t.Ask.For == askPool && e.State == ""
	ask := *t.Ask
	ask.Answer = &TaskAnswer{State: e.State, Reason: e.Reason, Outputs: e.Outputs}
	t.Ask = &ask
	r.Parked = r.onlyWaits(false)
	return nil
}

// noteAnswered notes that an attempt of a task is over. What it was answered is done with; what it asked for and was
// not answered stays: somebody is to be told that nobody waits for it any more.
func (r *Run) noteAnswered(t *TaskRun) {
	t.Pooled = false
	if t.Ask != nil && (t.Ask.For == askPool || t.Ask.For == askAgent) { // nothing was begun for it, or a part was
		t.Ask = nil
	}
	if t.Ask != nil && t.Ask.Answer != nil {
		t.Ask = nil
		if t.State == taskRetrying { // the next attempt asks for another run
			t.Child = ""
		}
	}
	r.Parked = r.onlyWaits(false)
}

// noteAsked folds what a task asks for. What a person has answered before the run was queued again still holds, and so
// do places that were kept because another agent went on with the task.
func (r *Run) noteAsked(t *TaskRun, e *Event) {
	if e.State != "" { // it asks no more, but waits for the end of what it has asked for
		if t.asking() {
			ask := *t.Ask
			ask.Stop, ask.Force = orDefault(ask.Stop, e.Reason), ask.Force || e.Force
			t.Ask = &ask
		}
		return
	}
	ask := &TaskAsk{For: e.Asks, Since: e.Time, Params: e.Params, Text: e.Reason}
	switch {
	case e.Asks == askAgent && t.Part != nil && t.Part.Answer != nil: // it was done while the run was queued
		ask.Answer, t.Part = t.Part.Answer, nil
	case e.Asks == askPool && t.Pooled:
		ask.Answer = &TaskAnswer{}
	case t.Ask != nil && t.Ask.For == "":
		ask.Answer = t.Ask.Answer
	}
	t.Ask = ask
	r.Parked = r.onlyWaits(false)
}

// askedAnew forgets who has seen that tasks of a run wait for a person: they wait no more, or ask anew.
func (s *State) askedAnew(r *Run) {
	if len(s.Acks) == 0 {
		return
	}
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.Ask != nil && t.Ask.For == askApprove {
			delete(s.Acks, stateKey(askApprove, r.ID, t.Task))
		}
	}
}

// askLeft gives what stays of a task's question when its run is queued again. The run that it has started goes on, and
// is the task's again once that begins; with all, tasks begin anew, whatever has ended. What a person has said, and the
// agent has not heard, is kept, unless a person begins the run again: who approves then knows of the failure. What
// another agent has done is partGoesOn's.
func (s *State) askLeft(t *TaskRun, e *Event) (child string, ask *TaskAsk) {
	switch r := s.Runs[t.Child]; {
	case t.Ask == nil, t.Ask.For == askPool, t.Ask.For == askAgent, e.All && (r == nil || !runActive(r.State)):
	case t.Child != "":
		return t.Child, &TaskAsk{}
	case t.Ask.Answer != nil && e.By == "":
		return "", &TaskAsk{Answer: t.Ask.Answer}
	}
	return "", nil
}
