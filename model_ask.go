// model_ask.go: tasks whose end, or whose begin, the principal decides. A task of the first kind starts no process: its
// agent says what it asks for, and ends it as it is answered. One that needs places in pools is not begun before it is
// told to go on, and one that another agent is to do is done there (model_part.go). A run of which all that is at work
// waits so is parked: it takes no place of its agent.

package main

import (
	"slices"
	"strconv"
)

// What a task may ask for.
const (
	askWorkflow = "workflow" // a run of another workflow
	askApprove  = "approve"  // a person who says yes or no
	askPool     = "pool"     // its places in pools, before each attempt
	askAgent    = "agent"    // another agent that does it
)

// TaskAsk is what a task asks of the principal.
type TaskAsk struct {
	// ask…; "": an earlier attempt of the run has asked, this one has not
	For    string            `json:"for,omitempty"`
	Since  Stamp             `json:"since,omitzero"`   // when it has asked
	Params map[string]string `json:"params,omitempty"` // of the run that it asks for
	Text   string            `json:"text,omitempty"`   // the question to a person; the labels of an agent
	Stop   string            `json:"stop,omitempty"`   // why it has what it asked for stopped, and waits for its end
	Force  bool              `json:"force,omitempty"`  // that is to be done with KILL
	Lost   int               `json:"lost,omitempty"`   // how many agents that did it were lost meanwhile
	Answer *TaskAnswer       `json:"answer,omitempty"` // nil: there is none yet
}

// TaskAnswer is how a task is to end that has asked, or that it is to go on.
type TaskAnswer struct {
	State   string            `json:"state,omitempty"` // succeeded or failed; "": it goes on
	Reason  string            `json:"reason,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`

	// Of a task that another agent has done, which may have skipped it too: what the end of a task says besides.
	Attempt int     `json:"attempt,omitempty"`
	Exit    *int    `json:"exit,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Used    TaskUse `json:"used,omitzero"`
	Limited string  `json:"limited,omitempty"`
	Allowed bool    `json:"allowed,omitempty"`
}

// asks says what the task asks of the principal; "" when it has a process instead.
func (t *Task) asks() string {
	switch {
	case t.Workflow != "":
		return askWorkflow
	case t.Approve != "":
		return askApprove
	}
	return ""
}

// approver says whether somebody may approve or reject the task: who is called by, or has that user number on the
// principal's machine (-1: it is not known). operates: they may operate.
func (t *Task) approver(by string, uid int, operates bool) bool {
	if len(t.Approvers) == 0 {
		return operates
	}
	return slices.Contains(t.Approvers, by) || uid >= 0 && slices.Contains(t.Approvers, approverUID+strconv.Itoa(uid))
}

// approverUID stands before the number of a user among approvers.
const approverUID = "uid:"

// waitsFor says for people what a task waits for that has asked, "" when it waits for nothing.
func (t *TaskRun) waitsFor() string {
	switch {
	case !t.asking():
		return ""
	case t.Ask.For == askApprove:
		return "waiting for approval: " + t.Ask.Text
	case t.Ask.For == askPool: // the principal says who has them
		return orDefault(t.Reason, "waiting for places in pools")
	case t.Child != "" && t.Ask.Stop != "":
		return "waiting for run " + t.Child + " to end: " + t.Ask.Stop
	case t.Ask.For == askAgent:
		return t.waitsForAgent()
	case t.Child != "":
		return "waiting for run " + t.Child
	}
	return "waiting for the principal to start its run"
}

// waits says whether a task that starts a run waits for its end.
func (t *Task) waits() bool { return t.Wait == nil || *t.Wait }

// asking says whether the task waits for an answer that it was not given yet.
func (t *TaskRun) asking() bool {
	return t.Ask != nil && t.Ask.For != "" && t.Ask.Answer == nil && t.State == taskRunning || t.waitsForPool() ||
		t.asksAgent()
}

// waitsForPool says whether the task is to begin when it has its places in pools.
func (t *TaskRun) waitsForPool() bool {
	return t.Ask != nil && t.Ask.For == askPool && t.Ask.Answer == nil && taskActive(t.State)
}

// onlyWaits says whether the run has tasks at work, and all of them wait for an answer; with answered also for one that
// they were given, and have not begun anything by.
func (r *Run) onlyWaits(answered bool) bool {
	some := false
	fans := map[string]bool{} // tasks that are at work by their instances alone
	for _, instance := range r.Tasks[r.total():] {
		fans[instance.Of] = true
	}
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; {
		case t.asking(), answered && taskActive(t.State) && t.Ask != nil && t.Ask.For != "":
			some = true
		case (t.State == taskRunning || t.State == taskRetrying) && !fans[t.Task]:
			return false
		}
	}
	return some
}

// goneWrong says whether a task of the run, or an instance, has failed or was stopped, and was not allowed to. Queued
// again, the run would do it once more.
func (r *Run) goneWrong() bool {
	return slices.ContainsFunc(r.Tasks, func(t TaskRun) bool { return dagFailed(t.State) && !t.Allowed })
}

// waitsFor says for people what a parked run waits for, "" for another one.
func (r *Run) waitsFor() string {
	if !r.Parked {
		return ""
	}
	var texts []string
	for i := range r.Tasks {
		if text := r.Tasks[i].waitsFor(); text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 { // a row has no tasks
		return ""
	}
	if len(texts) > 1 {
		return texts[0] + ", and " + strconv.Itoa(len(texts)-1) + " more"
	}
	return texts[0]
}

// lastOutputs gives what the tasks have handed on that nobody in their workflow depends on: the outputs of the run as a
// whole. Where two have one key, the later in the file wins.
func (r *Run) lastOutputs(w *Workflow) map[string]string {
	before := map[string]bool{}
	for i := range w.Tasks {
		for _, id := range w.Tasks[i].Depends {
			before[id] = true
		}
	}
	var all map[string]string
	for i := range r.Tasks[:r.total()] {
		t := &r.Tasks[i]
		if len(t.Outputs) == 0 || before[t.Task] {
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		for k, v := range t.Outputs {
			all[k] = v
		}
	}
	return all
}
