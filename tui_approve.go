//go:build !noui

// tui_approve.go: how a person says yes or no in the UI to a task that waits for that. A question comes first: on the
// screen of what needs a person a stray key must do no harm. Then comes a line for a comment.

package main

import "strings"

// tuiKeysApprove is the keys of the screens that show what waits for a person.
func tuiKeysApprove() []tuiBinding {
	return []tuiBinding{
		{keys: "A", group: tuiGroupAct, what: "approve what waits for it", label: "approve",
			twin: "cdktr approve RUN TASK", act: true, why: whyNotApprove, do: tuiApprove},
		{keys: "R", group: tuiGroupAct, what: "reject it: its task fails", label: "reject",
			twin: "cdktr reject RUN TASK", act: true, why: whyNotApprove, do: tuiReject},
	}
}

// tuiKeyChild leads from a task to the run that it has started, and back.
func tuiKeyChild() tuiBinding {
	return tuiBinding{keys: "c", group: tuiGroupScreen, what: "the run that the task has started, or the parent",
		label: "child", twin: "cdktr show RUN", why: whyNoChild, do: func(u *tui, p tuiPick) {
			u.openRun(tuiPick{run: tuiChild(u, p)})
		}}
}

// tuiChild gives the run that the picked task has started, else the parent of its run, else "".
func tuiChild(u *tui, p tuiPick) string {
	r, t := u.taskOf(p)
	switch {
	case t != nil && t.Child != "":
		return t.Child
	case r != nil:
		return r.Parent
	}
	return ""
}

// whyNoChild: most runs have neither.
func whyNoChild(u *tui, p tuiPick) string {
	if tuiChild(u, p) == "" {
		return "this task has started no run, and no task has started this one"
	}
	return ""
}

// tuiApproval gives what waits for a person at a pick: the run, the task and the question; "" for none.
func tuiApproval(u *tui, p tuiPick) (run, task, question string) {
	switch s := u.screen().(type) {
	case *tuiAttentionList:
		if it := s.item(); it != nil && it.Kind == attentionApprove {
			return it.Runs[0], it.Task, it.Reason
		}
	case *tuiRunScreen:
		if _, t := u.taskOf(p); t != nil && t.asking() && t.Ask.For == askApprove {
			return p.run, t.Task, t.waitsFor()
		}
	}
	return "", "", ""
}

// whyNotApprove: only what waits for a person is approved or rejected.
func whyNotApprove(u *tui, p tuiPick) string {
	if run, _, _ := tuiApproval(u, p); run == "" {
		return "this does not wait for approval"
	}
	return ""
}

// tuiApprove says yes, after a question.
func tuiApprove(u *tui, p tuiPick) {
	run, task, question := tuiApproval(u, p)
	u.confirm(viewDialog{Title: "Approve " + task + " of " + tuiShort(run) + "?", Lines: []string{tuiUpper(question)},
		No: "Not now", Yes: "Approve"}, func() { tuiAnswer(u, "approve", run, task) })
}

// tuiReject says no, after a question.
func tuiReject(u *tui, p tuiPick) {
	run, task, question := tuiApproval(u, p)
	u.confirm(viewDialog{Title: "Reject " + task + " of " + tuiShort(run) + "?",
		Lines: []string{tuiUpper(question), "The task fails, and what depends on it is skipped."}, No: "Not now",
		Yes: "Reject"}, func() { tuiAnswer(u, "reject", run, task) })
}

// tuiAnswer sends what a person says to a task, with a comment if they want to write one.
func tuiAnswer(u *tui, verb, run, task string) {
	what := verb + " " + task + " of " + tuiShort(run)
	u.ask("comment (enter: none): ", "", tuiPrompt{
		done: func(text string) {
			u.act(what, Request{Op: verb, Run: run, Task: task, Comment: strings.TrimSpace(text)})
		},
		undo: func() { u.say("%s: not sent", what) },
	})
}
