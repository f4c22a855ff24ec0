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
	"reflect"
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

// historyTaskOf makes the short form of a task if that says all there is, else the whole.
func historyTaskOf(t *TaskRun, r *Run) historyTask {
	whole := historyTask{Task: t.Task, State: t.State, Reason: t.Reason, Exit: t.Exit, Attempts: &t.Attempts,
		Earlier: t.Earlier, Started: t.Started, Began: t.Began,
		Finished: t.Finished, Seconds: t.Seconds, Outputs: t.Outputs, Stopping: t.Cancelling}
	short := whole
	short.Attempts, short.Finished = nil, Stamp{}
	if t.State == taskSucceeded {
		short.Exit = nil
	}
	if t.Started.Equal(r.Started.Time) {
		short.Started = Stamp{}
	}
	if !reflect.DeepEqual(short.task(r), *t) {
		return whole
	}
	return short
}

// task gives the task of the run r from its form in the line.
func (h *historyTask) task(r *Run) TaskRun {
	t := TaskRun{Task: h.Task, State: h.State, Reason: h.Reason, Exit: h.Exit, Earlier: h.Earlier, Started: h.Started,
		Began: h.Began, Finished: h.Finished,
		Seconds: h.Seconds, Outputs: h.Outputs, Cancelling: h.Stopping}
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
