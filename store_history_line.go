// store_history_line.go: a finished run as a line of the history. It is the run as --json prints it, without what is
// usual and follows from the rest:
//   - A run's missing fields mean: no reason, no parameters, attempt 1, lease 1, started its seconds before it
//     finished, output in the file of the day on which it finished.
//   - A task's missing fields mean: one attempt, started with the run, ended after its seconds, exit 0 if it succeeded.
//
// A run or a task for which that is not true has all its fields.

package main

import (
	"math"
	"time"
)

// historyLine is a run as its line has it.
type historyLine struct {
	*Run
	Reason  string            `json:"reason,omitempty"`
	Attempt *int              `json:"attempt,omitempty"` // nil: 1, and what else is left out has its usual value
	Params  map[string]string `json:"params,omitempty"`
	Started Stamp             `json:"started,omitzero"`
	Lease   int               `json:"lease,omitempty"`
	LogDay  string            `json:"log_day,omitempty"`
	Tasks   []historyTask     `json:"tasks"`
}

// historyTask is a task in such a line.
type historyTask struct {
	Task     string            `json:"task"`
	Of       string            `json:"of,omitempty"`
	State    string            `json:"state"`
	Reason   string            `json:"reason,omitempty"`
	Exit     *int              `json:"exit,omitempty"`
	Attempts *int              `json:"attempts,omitempty"` // nil: 1, and what else is left out has its usual value
	Earlier  []TaskAttempt     `json:"earlier,omitempty"`
	Started  Stamp             `json:"started,omitzero"`
	Began    Stamp             `json:"began,omitzero"`
	Finished Stamp             `json:"finished,omitzero"`
	Seconds  float64           `json:"seconds,omitempty"`
	Outputs  map[string]string `json:"outputs,omitempty"`
	Used     TaskUse           `json:"used,omitzero"`
	Limited  string            `json:"limited,omitempty"`
	Allowed  bool              `json:"allowed,omitempty"`
	Child    string            `json:"child,omitempty"`
	Agent    string            `json:"agent,omitempty"`
	Handler  string            `json:"handler,omitempty"`
	Stopping string            `json:"cancelling,omitempty"`
}

// historyLineOf makes the line of a run. It shares what the run has.
func historyLineOf(r *Run) *historyLine {
	line := &historyLine{Run: r, Reason: r.Reason, Params: r.Params, Tasks: make([]historyTask, len(r.Tasks))}
	usual := historyUsual(r)
	asUsual := r.Attempt == usual.Attempt && r.Lease == usual.Lease && r.LogDay == usual.LogDay
	if !asUsual || !r.Started.Equal(usual.Started.Time) {
		line.Attempt, line.Started, line.Lease, line.LogDay = &r.Attempt, r.Started, r.Lease, r.LogDay
	}
	for i := range r.Tasks {
		line.Tasks[i] = historyTaskOf(&r.Tasks[i], r)
	}
	return line
}

// historyUsual gives attempt, lease, day of output and start that a run has if its line does not say.
func historyUsual(r *Run) Run {
	took := time.Duration(math.Round(r.Seconds*1000)) * time.Millisecond
	return Run{Attempt: 1, Lease: 1, LogDay: r.Finished.UTC().Format(time.DateOnly),
		Started: stampOf(r.Finished.Add(-took))}
}

// addRun appends the line of a run, as add does of historyLineOf: it makes it without reflection, for there is one for
// each run.
func (c *storeEncoder) addRun(r *Run) error {
	line := historyLineOf(r)
	x := eventText{b: c.begin()}
	line.fields(&x)
	if x.err == nil {
		c.end(append(x.b, "]}\n"...))
	}
	return x.err
}

// fields appends the fields of the line, but for the end of the last one.
func (h *historyLine) fields(x *eventText) {
	r := h.Run
	x.always("run", r.ID)
	x.always("workflow", r.Workflow)
	x.always("state", r.State)
	x.always("trigger", r.Trigger)
	x.always("by", r.By)
	x.always("agent", r.Agent)
	if r.Event != nil {
		x.other("event", r.Event)
	}
	x.stamp("scheduled", r.Scheduled, Stamp{})
	x.stamp("queued", r.Queued, Stamp{})
	x.stamp("finished", r.Finished, Stamp{})
	x.seconds("seconds", r.Seconds, math.NaN()) // always
	x.always("version", r.Version)
	x.count("priority", r.Priority, 0)
	x.flag("ahead", r.Ahead, false)
	x.flag("parked", r.Parked, false)
	x.text("parent", r.Parent, "")
	x.text("parent_task", r.ParentTask, "")
	x.text("batch", r.Batch, "")
	x.text("ending", r.Ending, "")
	x.text("cancelling", r.Cancelling, "")
	x.flag("force", r.Force, false)
	x.flag("insist", r.Insist, false)
	x.flag("lost", r.Lost, false)
	x.offset("log_at", r.LogAt, 0)
	x.stamp("own_started", r.OwnStarted, Stamp{})
	x.stamp("own_finished", r.OwnFinished, Stamp{})
	if len(r.Left) > 0 {
		x.other("left", r.Left)
	}
	x.text("reason", h.Reason, "")
	x.given("attempt", h.Attempt, nil)
	x.texts("params", h.Params, nil)
	x.stamp("started", h.Started, Stamp{})
	x.count("lease", h.Lease, 0)
	x.text("log_day", h.LogDay, "")
	x.name("tasks")
	x.b = append(x.b, '[')
	for i := range h.Tasks {
		h.Tasks[i].append(x, i > 0)
	}
}

// append appends the task as an element of a list.
func (h *historyTask) append(x *eventText, more bool) {
	if more {
		x.b = append(x.b, ',')
	}
	start := len(x.b)
	x.always("task", h.Task)
	x.b[start] = '{' // in place of the first comma
	x.text("of", h.Of, "")
	x.always("state", h.State)
	x.text("reason", h.Reason, "")
	x.given("exit", h.Exit, nil)
	x.given("attempts", h.Attempts, nil)
	if len(h.Earlier) > 0 {
		x.other("earlier", h.Earlier)
	}
	x.stamp("started", h.Started, Stamp{})
	x.stamp("began", h.Began, Stamp{})
	x.stamp("finished", h.Finished, Stamp{})
	x.seconds("seconds", h.Seconds, 0)
	x.texts("outputs", h.Outputs, nil)
	x.used(h.Used, TaskUse{})
	x.text("limited", h.Limited, "")
	x.flag("allowed", h.Allowed, false)
	x.text("child", h.Child, "")
	x.text("agent", h.Agent, "")
	x.text("handler", h.Handler, "")
	x.text("cancelling", h.Stopping, "")
	x.b = append(x.b, '}')
}

// historyTaskOf makes the short form of a task if that says all there is, else the whole.
func historyTaskOf(t *TaskRun, r *Run) historyTask {
	whole := historyTask{Task: t.Task, Of: t.Of, State: t.State, Reason: t.Reason, Exit: t.Exit, Attempts: &t.Attempts,
		Earlier: t.Earlier, Started: t.Started, Began: t.Began,
		Finished: t.Finished, Seconds: t.Seconds, Outputs: t.Outputs, Used: t.Used, Limited: t.Limited,
		Allowed: t.Allowed,
		Child:   t.Child, Agent: t.Agent, Handler: t.Handler,
		Stopping: t.Cancelling}
	short := whole
	short.Attempts, short.Finished = nil, Stamp{}
	if t.State == taskSucceeded {
		short.Exit = nil
	}
	if t.Started.Equal(r.Started.Time) {
		short.Started = Stamp{}
	}
	if said := short.task(r); !taskRunSame(&said, t) {
		return whole
	}
	return short
}

// task gives the task of the run r from its form in the line.
func (h *historyTask) task(r *Run) TaskRun {
	t := TaskRun{Task: h.Task, Of: h.Of, State: h.State, Reason: h.Reason, Exit: h.Exit, Earlier: h.Earlier,
		Started: h.Started, Began: h.Began, Finished: h.Finished,
		Seconds: h.Seconds, Outputs: h.Outputs, Used: h.Used, Limited: h.Limited, Allowed: h.Allowed, Child: h.Child,
		Agent: h.Agent, Handler: h.Handler,
		Cancelling: h.Stopping}
	if h.Attempts != nil {
		t.Attempts = *h.Attempts
		return t
	}
	t.Attempts = 1
	if t.State == taskSucceeded && t.Exit == nil {
		t.Exit = new(int)
	}
	if t.Started.IsZero() {
		t.Started = r.Started
	}
	if t.Finished.IsZero() {
		t.Finished = stampOf(t.Started.Add(time.Duration(math.Round(t.Seconds*1000)) * time.Millisecond))
	}
	return t
}

// historyDecode reads a sound line of the history.
func historyDecode(text []byte) (*Run, error) {
	line := historyLine{Run: &Run{}}
	if err := storeDecode(text, &line); err != nil {
		return nil, err
	}
	r := line.Run
	r.Reason, r.Params = line.Reason, line.Params
	if line.Attempt != nil {
		r.Attempt, r.Started, r.Lease, r.LogDay = *line.Attempt, line.Started, line.Lease, line.LogDay
	} else {
		usual := historyUsual(r)
		r.Attempt, r.Started, r.Lease, r.LogDay = usual.Attempt, usual.Started, usual.Lease, usual.LogDay
	}
	if r.Params == nil {
		r.Params = map[string]string{}
	}
	r.Tasks = make([]TaskRun, len(line.Tasks))
	for i := range line.Tasks {
		r.Tasks[i] = line.Tasks[i].task(r)
	}
	return r, nil
}
