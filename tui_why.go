//go:build !noui

// tui_why.go: why a key does nothing on the selected row now. The last row of the screen leaves such a key out, and
// who presses it all the same is told.

package main

import "slices"

// whyNoRun: the key needs a run.
func whyNoRun(_ *tui, p tuiPick) string {
	if p.workflow != "" {
		return needs(p.run, "no run of "+p.workflow+" is known: r runs it")
	}
	return needs(p.run, "no run is selected")
}

// whyNoWorkflow: the key needs a workflow.
func whyNoWorkflow(_ *tui, p tuiPick) string { return needs(p.workflow, "no workflow is selected") }

// needs gives what is wrong where a thing is missing, else "".
func needs(thing, what string) string {
	if thing == "" {
		return what
	}
	return ""
}

// whyNotOpen: some items and events are about nothing that has a screen.
func whyNotOpen(_ *tui, p tuiPick) string {
	return needs(p.run+p.workflow+p.agent, "there is nothing to open")
}

// whyNotNext: there is no next hit without a search.
func whyNotNext(u *tui, _ tuiPick) string {
	if s, ok := u.screen().(tuiFiltered); ok && s.getFilter() != "" {
		return ""
	}
	return "nothing is searched for: / does"
}

// whyNotRun: only a workflow with a version that loads runs.
func whyNotRun(u *tui, p tuiPick) string {
	if p.workflow == "" {
		return "no workflow is selected"
	}
	switch w := u.model.workflows[p.workflow]; {
	case w == nil:
		return p.workflow + " has no file any more: it cannot be run"
	case w.Tasks == 0:
		return p.workflow + " has no version that loads: e shows what is wrong"
	}
	return ""
}

// whyNotRetry: only a run that has ended without success is retried.
func whyNotRetry(u *tui, p tuiPick) string {
	switch state := u.runState(p.run); {
	case p.run == "":
		return "no run is selected"
	case runActive(state):
		return tuiShort(p.run) + " is " + state + ": x cancels it"
	case state == runSucceeded && tuiNothingLeft(u, p.run): // of one that was skipped the `if` may say yes now
		return tuiShort(p.run) + " succeeded: r runs it again"
	}
	return ""
}

// tuiNothingLeft says whether a retry of a run that succeeded finds nothing to do, as far as the screen knows.
func tuiNothingLeft(u *tui, id string) bool {
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.Run != nil && s.view.Run.ID == id {
		return s.view.Run.nothingLeft()
	}
	return true
}

// whyNotCancel: only a run that is queued or running is cancelled.
func whyNotCancel(u *tui, p tuiPick) string {
	switch state := u.runState(p.run); {
	case p.run == "":
		return "no run is selected"
	case state != "" && !runActive(state):
		return tuiShort(p.run) + " is over (" + state + "): r runs it again"
	}
	return ""
}

// whyNotKillTask: only a task that has begun and not ended is killed.
func whyNotKillTask(u *tui, p tuiPick) string {
	r, t := u.taskOf(p)
	switch {
	case t == nil:
		return "no task is selected"
	case t.State == taskWaiting && !t.asking():
		return t.Task + " has not begun: x cancels the whole run"
	case !taskActive(t.State) && runActive(r.State):
		return t.Task + " is over (" + t.State + "): x cancels the whole run"
	case !taskActive(t.State):
		return t.Task + " is over (" + t.State + ")"
	}
	return ""
}

// taskOf gives the run on the screen and its picked task, or nil.
func (u *tui) taskOf(p tuiPick) (*Run, *TaskRun) {
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.Run != nil {
		return s.view.Run, s.view.Run.task(p.task)
	}
	return nil, nil
}

// whyNotPause: only a workflow with a schedule is paused.
func whyNotPause(u *tui, p tuiPick) string {
	switch w := u.model.workflows[p.workflow]; {
	case w == nil:
		return "no workflow is selected"
	case len(w.Schedule) == 0:
		return p.workflow + " has no schedule"
	}
	return ""
}

// whyNotAgent: the key needs an agent.
func whyNotAgent(_ *tui, p tuiPick) string { return needs(p.agent, "no agent is selected") }

// whyNotDrain: the agent may be drained already.
func whyNotDrain(u *tui, p tuiPick) string {
	if a := u.model.agents[p.agent]; a != nil && (a.Draining || a.State == agentDrain) {
		return p.agent + " is drained: u gives it runs again"
	}
	return whyNotAgent(u, p)
}

// whyNotUndrain: the agent may not be drained.
func whyNotUndrain(u *tui, p tuiPick) string {
	if a := u.model.agents[p.agent]; a != nil && !a.Draining && a.State != agentDrain {
		return p.agent + " is not drained: d does"
	}
	return whyNotAgent(u, p)
}

// whyNotForget: only a lost agent is forgotten.
func whyNotForget(u *tui, p tuiPick) string {
	if a := u.model.agents[p.agent]; a != nil && a.State != agentLost {
		return p.agent + " is " + a.State + ": only a lost agent can be forgotten"
	}
	return whyNotAgent(u, p)
}

// whyNotAck: the key needs an item.
func whyNotAck(_ *tui, p tuiPick) string { return needs(p.item, "nothing is selected") }

// runOf gives a run that the lists or the screen hold, nil when neither does.
func (u *tui) runOf(id string) *Run {
	if r := u.model.runs[id]; r != nil {
		return r.Run
	}
	for _, s := range slices.Backward(u.stack) {
		if l, ok := s.(*tuiList); ok && l.older.rows[id] != nil {
			return l.older.rows[id].Run
		}
	}
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.Run != nil && s.view.Run.ID == id {
		return s.view.Run
	}
	return nil
}

// runState gives the state of a run, "" when it is not known.
func (u *tui) runState(id string) string {
	if r := u.runOf(id); r != nil {
		return r.State
	}
	if l, ok := u.screen().(*tuiList); ok && l.kind == tuiWorkflows && u.model.workflows[l.selected()] != nil {
		if run, state, _ := tuiLast(u.model.workflows[l.selected()]); run == id {
			return state
		}
	}
	return ""
}
