//go:build !noui

// tui_acts.go: the keys that change something. Each says what it asks for, and then what the principal answers. Nothing
// on the screen changes before that.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tuiSnooze is how long a snoozed item of the attention screen stays away.
const tuiSnooze = 4 * time.Hour

// act asks the principal to change something, and shows what it answers.
func (u *tui) act(what string, req Request) {
	id := u.send(req, func(r *Reply) {
		switch {
		case r.Error != nil:
			u.say("%s: %s", what, r.Error.Message)
		case r.Note != "":
			u.say("%s: %s", what, r.Note)
		case req.Op == "run":
			u.say("%s: queued as %s", what, tuiName(r.Run))
		default:
			u.say("%s: done", what)
		}
	})
	if id == "" {
		u.say("%s: not sent, the connection is busy or gone", what)
		return
	}
	u.say("%s: asked (request %s)", what, id)
}

// picked gives what a key acts on: the marked rows, or the selected one where none is marked.
func (u *tui) picked(p tuiPick, of func(tuiPick) string) []string {
	if !u.marked() {
		return []string{of(p)}
	}
	l := u.screen().(*tuiList)
	var ids []string
	for _, id := range l.ids {
		if l.marks[id] {
			ids = append(ids, of(l.pickOf(u, id)))
		}
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// each makes the same request of all that are picked. Of more than one it asks first, and shows the answers as one.
func (u *tui) each(p tuiPick, what string, of func(tuiPick) string, req func(id string) Request) {
	ids := u.picked(p, of)
	do := func() {
		answers, refused := 0, ""
		for _, id := range ids {
			if len(ids) == 1 {
				u.act(what+" "+tuiName(id), req(id))
				break
			}
			sent := u.send(req(id), func(r *Reply) {
				answers++
				if r.Error != nil {
					refused += "; " + tuiName(id) + ": " + r.Error.Message
				}
				u.say("%s: %d of %d answered%s", what, answers, len(ids), refused)
			})
			if sent == "" {
				refused += "; " + tuiName(id) + ": not sent"
			}
		}
		if len(ids) > 1 {
			u.say("%s: asked of %d%s", what, len(ids), refused)
		}
		if l, ok := u.screen().(*tuiList); ok {
			clear(l.marks)
		}
	}
	if len(ids) < 2 {
		do()
		return
	}
	lines := []string{strings.Join(ids[:min(len(ids), 5)], ", ")}
	if len(ids) > 5 {
		lines = append(lines, fmt.Sprintf("and %d more", len(ids)-5))
	}
	u.confirm(viewDialog{Title: fmt.Sprintf("%s %d rows?", tuiUpper(what), len(ids)), Lines: lines, No: "Leave them",
		Yes: tuiUpper(what) + " all"}, do)
}

// tuiName gives an id as the screen shows it: of a run only its end.
func tuiName(id string) string {
	if isRunID(id) {
		return tuiShort(id)
	}
	return id
}

// tuiUpper begins a text with a capital.
func tuiUpper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func pickWorkflow(p tuiPick) string { return p.workflow }
func pickRun(p tuiPick) string      { return p.run }
func pickAgent(p tuiPick) string    { return p.agent }

// actRun starts a run: through a form where the workflow has parameters, after a question where one runs already.
func (u *tui) actRun(p tuiPick) {
	if len(u.picked(p, pickWorkflow)) > 1 {
		u.each(p, "run", pickWorkflow, func(id string) Request { return Request{Op: "run", Workflow: id} })
		return
	}
	id := u.picked(p, pickWorkflow)[0]
	u.send(Request{Op: "show", Workflow: id}, func(r *Reply) {
		switch {
		case r.Error != nil:
			u.say("run %s: %s", id, r.Error.Message)
		case r.Spec == nil:
			u.say("%s has no version that loads", id)
		case len(r.Spec.Params) > 0:
			form := viewFormNew(r.Spec.Params)
			if run := u.runOf(p.run); run != nil && run.Workflow == id && u.screen().name() != string(tuiWorkflows) {
				form.fill(run.Params)
			}
			u.over = &tuiForm{form, id, strings.TrimSpace(r.Spec.Name + "  " + r.Spec.Description),
				func(params map[string]string) { u.runNow(id, params, false) }}
		default:
			u.runNow(id, nil, p.item != "")
		}
		u.dirty = true
	})
}

// runNow asks for the run. It puts a question first where a run of the workflow is active, and where the caller wants
// one.
func (u *tui) runNow(id string, params map[string]string, question bool) {
	do := func() { u.act("run "+id, Request{Op: "run", Workflow: id, Params: params}) }
	for _, run := range slices.Backward(u.model.newest) {
		if r := u.model.runs[run]; r.Workflow == id && runActive(r.State) {
			u.confirm(viewDialog{Title: "Run " + id + " again?", Lines: []string{"Run " + tuiShort(run) + " of it is " +
				r.State + " already.", "The new one is queued as well."}, No: "Leave it", Yes: "Run"}, do)
			return
		}
	}
	if question {
		u.confirm(viewDialog{Title: "Run " + id + " again?",
			Lines: []string{"It runs with all its tasks, from the first."}, No: "Leave it", Yes: "Run"}, do)
		return
	}
	do()
}

// actRetry runs again what failed, and all tasks behind it. On the attention screen it puts a question first: the UI
// opens there by itself, so a stray key must do no harm.
func (u *tui) actRetry(p tuiPick) {
	retry := func() {
		u.each(p, "retry", pickRun, func(id string) Request { return Request{Op: "retry", Run: id} })
	}
	if p.item == "" {
		retry()
		return
	}
	u.confirm(viewDialog{Title: "Retry run " + tuiShort(p.run) + " of " + p.workflow + "?",
		Lines: []string{"What failed and all behind it runs again; the rest stays done."}, No: "Leave it",
		Yes: "Retry"}, retry)
}

// actCancel stops a run, after a question.
func (u *tui) actCancel(p tuiPick) { u.stopRuns(p, "cancel", false) }

// actKill stops a run after a question, and gives its tasks no time.
func (u *tui) actKill(p tuiPick) { u.stopRuns(p, "kill", true) }

// stopRuns says what a stop will do, and asks the principal for it once that is confirmed.
func (u *tui) stopRuns(p tuiPick, what string, force bool) {
	ids := u.picked(p, pickRun)
	if len(ids) != 1 {
		u.each(p, what, pickRun, func(id string) Request { return Request{Op: "cancel", Run: id, Force: force} })
		return
	}
	var lines []string
	if r := u.model.runs[ids[0]]; r != nil {
		line := fmt.Sprintf("%s is %s", r.Workflow, strings.ToUpper(r.State))
		if r.Agent != "" {
			line += " on " + r.Agent
		}
		if !r.Started.IsZero() {
			line += " for " + viewSince(r.Started, r.Finished, u.clock())
		}
		lines = append(lines, line+".")
	}
	those := "Its tasks that run"
	if r := u.model.runs[ids[0]]; r != nil && r.Total > 0 {
		those = fmt.Sprintf("%d of %d tasks are not over. Those that run", r.Total-r.Done, r.Total)
	}
	if force {
		lines = append(lines, those+" get SIGKILL at once.")
	} else {
		lines = append(lines, those+" get SIGTERM now, or their stop_signal, and SIGKILL after the grace.")
	}
	lines = append(lines, "Those that wait will not start. This cannot be undone.")
	u.confirm(viewDialog{Title: tuiUpper(what) + " run " + tuiShort(ids[0]) + "?", Lines: lines, No: "Keep running",
		Yes: tuiUpper(what) + " run"}, func() {
		u.act(what+" "+tuiShort(ids[0]), Request{Op: "cancel", Run: ids[0], Force: force})
	})
}

// actKillTask stops one task of a run after a question, and gives it no time. The rest of the run goes on.
func (u *tui) actKillTask(p tuiPick) {
	r, t := u.taskOf(p)
	line := fmt.Sprintf("It is %s on %s for %s.", strings.ToUpper(t.State), r.Agent,
		viewSince(t.Started, t.Finished, u.clock()))
	lines := []string{line, "It gets SIGKILL at once, and is not tried again.",
		"Tasks that need it are skipped, others go on.", "The run ends as failed."}
	u.confirm(viewDialog{Title: "Kill task " + t.Task + " of " + tuiShort(p.run) + "?", Lines: lines,
		No: "Keep running", Yes: "Kill task"}, func() {
		u.act("kill "+p.task+" of "+tuiShort(p.run), Request{Op: "cancel", Run: p.run, Task: p.task, Force: true})
	})
}

// actPause pauses the schedule of a workflow, or resumes it.
func (u *tui) actPause(p tuiPick) {
	op := "pause"
	if w := u.model.workflows[p.workflow]; w.Paused != "" {
		op = "resume"
	}
	u.each(p, op, pickWorkflow, func(id string) Request { return Request{Op: op, Workflow: id} })
}

// actDrain gives an agent no more runs.
func (u *tui) actDrain(p tuiPick) {
	u.each(p, "drain", pickAgent, func(id string) Request { return Request{Op: "drain", Agent: id} })
}

// actUndrain gives an agent runs again.
func (u *tui) actUndrain(p tuiPick) {
	u.each(p, "undrain", pickAgent, func(id string) Request { return Request{Op: "undrain", Agent: id} })
}

// actForget wants the agent's name typed, because what the agent still had to report is given up.
func (u *tui) actForget(p tuiPick) {
	u.confirm(viewDialog{Title: "Forget agent " + p.agent + "?",
		Lines: []string{"It is taken off the list, and what it may still have to report is refused.",
			"It may come back by saying hello again."}, Word: p.agent, No: "Keep it", Yes: "Forget"}, func() {
		u.act("forget "+p.agent, Request{Op: "forget", Agent: p.agent})
	})
}

// named gives what is asked for, and of what: "snooze WORKFLOW TASK".
func (p tuiPick) named(what string) string {
	if p.workflow == "" {
		return what + " " + p.agent
	}
	return strings.TrimSpace(what + " " + p.workflow + " " + p.task)
}

// actAck acknowledges the selected item.
func (u *tui) actAck(p tuiPick) { u.act(p.named("acknowledge"), Request{Op: "ack", Key: p.item}) }

// actSnooze acknowledges the selected item for tuiSnooze.
func (u *tui) actSnooze(p tuiPick) {
	u.act(p.named("snooze"), Request{Op: "ack", Key: p.item, Until: stampOf(u.clock().Add(tuiSnooze))})
}
