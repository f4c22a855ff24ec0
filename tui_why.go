// tui_why.go: why a key does nothing on the selected row now. The last row of the screen leaves such a key out, and
// who presses it all the same is told.

package main

import "slices"

// whyNoRun says why a key that is about a run does nothing: no row of one is selected.
func whyNoRun(_ *tui, p tuiPick) string {
	if p.workflow != "" {
		return needs(p.run, "no run of "+p.workflow+" is known: r runs it")
	}
	return needs(p.run, "no run is selected")
}

// whyNoWorkflow says why a key that is about a workflow does nothing.
func whyNoWorkflow(_ *tui, p tuiPick) string { return needs(p.workflow, "no workflow is selected") }

// needs gives what is wrong when a thing is missing.
func needs(thing, what string) string {
	if thing == "" {
		return what
	}
	return ""
}

// whyNotOpen: an item or an event may be about nothing that has a screen.
func whyNotOpen(_ *tui, p tuiPick) string {
	return needs(p.run+p.workflow+p.agent, "there is nothing to open")
}

// whyNotNext: one goes on from a search.
func whyNotNext(u *tui, _ tuiPick) string {
	if s, ok := u.screen().(tuiFiltered); ok && s.getFilter() != "" {
		return ""
	}
	return "nothing is searched for: / does"
}

// whyNotRun and its like say why a key cannot act on a row now, "" when it can. This one: there is no version to run.
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

// whyNotRetry: only a run that has ended, and not well, is retried.
func whyNotRetry(u *tui, p tuiPick) string {
	switch state := u.runState(p.run); {
	case p.run == "":
		return "no run is selected"
	case runActive(state):
		return tuiShort(p.run) + " is " + state + ": x cancels it"
	case state == runSucceeded:
		return tuiShort(p.run) + " succeeded: r runs it again"
	}
	return ""
}

// whyNotCancel: only a run that has not ended is cancelled.
func whyNotCancel(u *tui, p tuiPick) string {
	switch state := u.runState(p.run); {
	case p.run == "":
		return "no run is selected"
	case state != "" && !runActive(state):
		return tuiShort(p.run) + " is over (" + state + "): r runs it again"
	}
	return ""
}

// whyNotKillTask: only a task that is at work is killed.
func whyNotKillTask(u *tui, p tuiPick) string {
	r, t := u.taskOf(p)
	switch {
	case t == nil:
		return "no task is selected"
	case t.State == taskWaiting:
		return t.Task + " has not begun: x cancels the whole run"
	case !taskActive(t.State) && runActive(r.State):
		return t.Task + " is over (" + t.State + "): x cancels the whole run"
	case !taskActive(t.State):
		return t.Task + " is over (" + t.State + ")"
	}
	return ""
}

// taskOf gives the run on the screen and the task of it that is picked; without one, nil.
func (u *tui) taskOf(p tuiPick) (*Run, *TaskRun) {
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.Run != nil {
		return s.view.Run, s.view.Run.task(p.task)
	}
	return nil, nil
}

// whyNotPause: only what has a schedule is paused.
func whyNotPause(u *tui, p tuiPick) string {
	switch w := u.model.workflows[p.workflow]; {
	case w == nil:
		return "no workflow is selected"
	case len(w.Schedule) == 0:
		return p.workflow + " has no schedule"
	}
	return ""
}

// whyNotAgent: some agent must be selected.
func whyNotAgent(_ *tui, p tuiPick) string { return needs(p.agent, "no agent is selected") }

// whyNotDrain: one that is drained already is not drained.
func whyNotDrain(u *tui, p tuiPick) string {
	if a := u.model.agents[p.agent]; a != nil && (a.Draining || a.State == agentDrain) {
		return p.agent + " is drained: u gives it runs again"
	}
	return whyNotAgent(u, p)
}

// whyNotUndrain: and the other way round.
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

// whyNotAck: something must be selected.
func whyNotAck(_ *tui, p tuiPick) string { return needs(p.item, "nothing is selected") }

// runOf gives a run as the lists or the screen have it, nil when neither does.
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
