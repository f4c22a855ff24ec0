// state_failure.go: what went wrong and has not been looked at. The failed runs of a workflow are folded into groups of
// those that failed alike, as they end; an acknowledgement takes a group away, or puts it to sleep until a time. What
// needs a person and is no run (a file, an agent, a schedule) is known elsewhere: of that only the acknowledgement is
// kept here. Pure, as state.go is.

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

const (
	stateMaxFailures    = 10   // groups a workflow; the one that was quiet for longest goes
	stateMaxFailureRuns = 20   // runs, and agents, that a group names; more are counted
	stateMaxAcks        = 1000 // acknowledgements of what is no run; the oldest goes
)

// Failure is runs of one workflow that failed alike: in the same task, with the same exit, on whatever agents.
type Failure struct {
	Key       string   `json:"key"`
	Task      string   `json:"task,omitempty"`
	Exit      *int     `json:"exit,omitempty"`
	Agent     string   `json:"agent,omitempty"`  // of the newest run
	Agents    []string `json:"agents,omitempty"` // of all of them, where they are several, in the order of their names
	Reason    string   `json:"reason"`           // of the newest run
	Runs      []string `json:"runs"`             // newest first
	Count     int      `json:"count"`
	First     Stamp    `json:"first"`
	Last      Stamp    `json:"last"`
	Recovered bool     `json:"recovered,omitempty"` // a run of the workflow has succeeded since
	Until     Stamp    `json:"until,omitzero"`      // asleep until then
}

// Ack is an acknowledgement of something that is no run.
type Ack struct {
	Time  Stamp `json:"t"`
	Until Stamp `json:"until,omitzero"` // in force until then; zero: for as long as there is something
}

// stateKey names what needs a person: its kind, what it is of, and, where two of one thing must differ, a hash.
func stateKey(kind, of, more string) string {
	if more == "" {
		return kind + ":" + of
	}
	sum := sha256.Sum256([]byte(more))
	return kind + ":" + of + ":" + hex.EncodeToString(sum[:4])
}

// runFailure makes the group that a run which has failed or crashed belongs to, with that run alone in it.
func runFailure(r *Run) *Failure {
	f := &Failure{Agent: r.Agent, Reason: r.Reason, Runs: []string{r.ID}, Count: 1, First: r.Finished, Last: r.Finished}
	// the first that failed, as the run's reason has it; where none did, the first that crashed or was stopped
	var blame *TaskRun
	for i := range r.Tasks {
		t := &r.Tasks[i]
		failed, before := t.State == taskFailed, blame == nil || t.Finished.Before(blame.Finished.Time)
		switch {
		case !failed && t.State != taskCrashed && t.State != taskCancelled:
		case blame != nil && failed != (blame.State == taskFailed):
			if failed {
				blame = t
			}
		case before:
			blame = t
		}
	}
	if blame != nil {
		f.Task, f.Exit = blame.Task, blame.Exit
	}
	if t := r.task(f.Task); r.State == runFailed && r.taskStopped() && t != nil && t.Cancelling == "" {
		f.Reason = "task " + t.Task + ": " + t.Reason // the run's own reason may be the task that was stopped
	}
	f.Key = f.keyOf(r.Workflow)
	return f
}

// keyOf names the group, in its workflow.
func (f *Failure) keyOf(workflow string) string {
	return stateKey("failed", workflow, fmt.Sprintf("%q %s", f.Task, f.exit()))
}

func (f *Failure) exit() string {
	if f.Exit == nil {
		return "none"
	}
	return fmt.Sprint(*f.Exit)
}

// addAgents notes on which agents runs of the group were.
func (f *Failure) addAgents(others ...string) {
	all := append([]string{f.Agent}, f.Agents...)
	all = append(all, others...)
	slices.Sort(all)
	if all = slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" }); len(all) > 1 {
		f.Agents = all[:min(len(all), stateMaxFailureRuns)]
	}
}

// stoppedOnly says whether a run has failed for nothing but the tasks of it that somebody had stopped: who did that
// knows it, and nobody else need look.
func (r *Run) stoppedOnly() bool {
	return r.State == runFailed && r.taskStopped() && !slices.ContainsFunc(r.Tasks, func(t TaskRun) bool {
		return t.State == taskFailed || t.State == taskCrashed || t.State == taskCancelled && t.Cancelling == ""
	})
}

// failure finds a group of a workflow, nil when there is none.
func (w *WorkflowState) failure(key string) *Failure {
	for _, f := range w.Failures {
		if f.Key == key {
			return f
		}
	}
	return nil
}

// noteOutcome folds the outcome of a run that has ended into the groups of its workflow.
func (w *WorkflowState) noteOutcome(r *Run) {
	switch r.State {
	case runSucceeded:
		for _, f := range w.Failures {
			f.Recovered = true
		}
	case runFailed, runCrashed:
		if r.stoppedOnly() {
			return
		}
		one := runFailure(r)
		f := w.failure(one.Key)
		if f == nil {
			w.Failures = append(w.Failures, one)
			w.boundFailures()
			return
		}
		f.Runs = append([]string{r.ID}, f.Runs[:min(len(f.Runs), stateMaxFailureRuns-1)]...)
		f.Count++
		f.addAgents(one.Agent)
		f.Last, f.Reason, f.Agent, f.Recovered = one.Last, one.Reason, one.Agent, false
	}
}

// boundFailures drops the group that was quiet for longest, when there are too many.
func (w *WorkflowState) boundFailures() {
	if len(w.Failures) <= stateMaxFailures {
		return
	}
	oldest := 0
	for i, f := range w.Failures {
		if f.Last.Before(w.Failures[oldest].Last.Time) {
			oldest = i
		}
	}
	w.Failures = slices.Delete(w.Failures, oldest, oldest+1)
}

// forgetOutcome takes a run out of its group: it is to run once more, and how that ends is what counts.
func (w *WorkflowState) forgetOutcome(r *Run) {
	if r.State != runFailed && r.State != runCrashed {
		return
	}
	f := w.failure(runFailure(r).Key)
	if f == nil || r.Finished.Before(f.First.Time) { // it was acknowledged
		return
	}
	named := slices.Index(f.Runs, r.ID)
	switch {
	case named >= 0:
		f.Runs = append(f.Runs[:named:named], f.Runs[named+1:]...)
		f.Count--
	case f.Count > len(f.Runs) && !r.stoppedOnly(): // which was never counted
		f.Count--
	}
	if len(f.Runs) == 0 {
		w.Failures = slices.DeleteFunc(w.Failures, func(other *Failure) bool { return other == f })
	}
}

// applyAck folds an acknowledgement, or (evAckOver) that what one was of is over.
func (s *State) applyAck(e *Event) {
	if e.Kind == evAckOver {
		delete(s.Acks, e.Key)
		return
	}
	if w := s.Workflows[e.Workflow]; w != nil {
		if f := w.failure(e.Key); f != nil {
			if f.Until = e.Until; e.Until.IsZero() {
				w.Failures = slices.DeleteFunc(w.Failures, func(other *Failure) bool { return other == f })
			}
			return
		}
	}
	s.Acks[e.Key] = Ack{Time: e.Time, Until: e.Until}
	for len(s.Acks) > stateMaxAcks {
		oldest := e.Key
		for _, key := range sortedKeys(s.Acks) {
			if s.Acks[key].Time.Before(s.Acks[oldest].Time.Time) {
				oldest = key
			}
		}
		delete(s.Acks, oldest)
	}
}
