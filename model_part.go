// model_part.go: tasks that another agent does than the one of their run, because they have labels of their own. The
// agent of the run asks for it once, when the task's turn has come, and then waits; it is told how the task ended. What
// the other agent has is a part: an assignment with an id of its own, of that one task with all its attempts. What it
// reports belongs to the run: its events are those of the task, and its lines are lines of the run.

package main

import "strings"

// TaskPart is what another agent has of a task.
type TaskPart struct {
	ID    string `json:"id"`
	Agent string `json:"agent"`

	// Why it is to end: nobody waits for it, or the run has begun anew; "": it is not. The next part of the task waits
	// until it has ended.
	Stop string `json:"stop,omitempty"`

	// How it ended while its run had no agent that waits for that; nil: it goes on.
	Answer *TaskAnswer `json:"answer,omitempty"`
}

// asksAgent says whether the task is to be done by another agent, or is, and nobody has told its own how it ended.
func (t *TaskRun) asksAgent() bool {
	return t.Ask != nil && t.Ask.For == askAgent && t.Ask.Answer == nil && taskActive(t.State)
}

// waitsForAgent says for people what a task that another agent is to do waits for.
func (t *TaskRun) waitsForAgent() string {
	switch {
	case t.Part == nil:
		return "waiting for an agent with " + t.Ask.Text
	case t.Ask.Stop != "":
		return "waiting for agent " + t.Part.Agent + " to end it: " + t.Ask.Stop
	case t.Part.Stop != "":
		return "waiting for the end of what agent " + t.Part.Agent + " has of it"
	}
	return "agent " + t.Part.Agent + " does it"
}

// did says whether the agent has the run, or had it last, or the same of one of its tasks.
func (r *Run) did(agent string) bool {
	if r.Agent == agent {
		return true
	}
	for i := range r.Tasks {
		if r.Tasks[i].Agent == agent {
			return true
		}
	}
	return false
}

// parted gives the workflow of which an agent is given one task, under which no other key of the workflow holds than
// those of its tasks' processes. Of the others it has what outputs are looked up by. rerun: another agent may be given
// the task when this one is silent.
func (w *Workflow) parted(id string, rerun bool) *Workflow {
	part := &Workflow{ID: w.ID, Env: w.Env, EnvFile: w.EnvFile, WorkingDirectory: w.WorkingDirectory, Shell: w.Shell,
		User: w.User, Secrets: w.Secrets, Limits: w.Limits, LogMaxSize: w.LogMaxSize, Tasks: make([]Task, len(w.Tasks))}
	if rerun {
		part.Failover = failoverRerun
	}
	for i := range w.Tasks {
		t := w.Tasks[i]
		if t.ID == id {
			t.Agent, t.Pool = nil, nil
			part.Tasks[i] = t
		} else {
			part.Tasks[i] = Task{ID: t.ID, Depends: t.Depends}
		}
	}
	return part
}

// rerunsPart says whether a task that its agent has lost is given to another one. The attempt that was lost counts.
func (w *Workflow) rerunsPart(t *Task) bool { return t.Retries > 0 || w.failover() == failoverRerun }

// labelsText writes the labels that a run asks for, as k=v k=v; "" when any agent will do.
func labelsText(labels map[string]string) string {
	text := ""
	for _, k := range sortedKeys(labels) {
		text += " " + k + "=" + labels[k]
	}
	return strings.TrimPrefix(text, " ")
}

// isPart says whether the task with that id is done by another agent than the run's.
func (w *Workflow) isPart(id string) bool {
	t := w.task(id)
	return t != nil && len(t.Agent) > 0
}

// hasParts says whether other agents than the run's do tasks of it.
func (w *Workflow) hasParts() bool {
	for i := range w.Tasks {
		if len(w.Tasks[i].Agent) > 0 {
			return true
		}
	}
	return false
}
