// state_failure.go: what went wrong and nobody has looked at yet. As runs of a workflow fail they are put into groups
// of those that failed alike. An acknowledgement takes a group away, or puts it to sleep until a time. Other things
// that need a person (a file, an agent, a schedule) are known elsewhere; only their acknowledgements are kept here.
// Pure, as state.go is.

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

const (
	stateMaxFailures    = 10   // groups of a workflow; with more, the one that was quiet for longest is dropped
	stateMaxFailureRuns = 20   // runs, and agents, that a group names; more are only counted
	stateMaxAcks        = 1000 // acknowledgements of what is no run; with more, the oldest is dropped
)

// Failure is a group of runs of one workflow that failed alike: in the same task, with the same exit code, on any
// agent.
type Failure struct {
	Key    string   `json:"key"`              // see keyOf
	Task   string   `json:"task,omitempty"`   // the task that is to blame
	Exit   *int     `json:"exit,omitempty"`   // its exit code; nil: it has none
	Agent  string   `json:"agent,omitempty"`  // of the newest run
	Agents []string `json:"agents,omitempty"` // of all runs, if they are several, sorted
	Reason string   `json:"reason"`           // of the newest run
	Runs   []string `json:"runs"`             // newest first
	Count  int      `json:"count"`            // of all runs, those too that Runs no longer names
	First  Stamp    `json:"first"`            // when the first run ended
	Last   Stamp    `json:"last"`             // and the newest

	Recovered bool  `json:"recovered,omitempty"` // a run of the workflow has succeeded since
	Until     Stamp `json:"until,omitzero"`      // acknowledged until then
}

// Ack is an acknowledgement of something that is no run.
type Ack struct {
	Time  Stamp `json:"t"`
	Until Stamp `json:"until,omitzero"` // in force until then; zero: as long as what was acknowledged is there
}

// stateKey names what needs a person: its kind, what it is of, and a hash of more where one thing can have several.
func stateKey(kind, of, more string) string {
	if more == "" {
		return kind + ":" + of
	}
	sum := sha256.Sum256([]byte(more))
	return kind + ":" + of + ":" + hex.EncodeToString(sum[:4])
}

// runFailure makes the group of a run that has failed or crashed, with that run alone in it.
func runFailure(r *Run) *Failure {
	f := &Failure{Agent: r.Agent, Reason: r.Reason, Runs: []string{r.ID}, Count: 1, First: r.Finished, Last: r.Finished}
	if t := r.blamed(); t != nil {
		f.Task, f.Exit = t.Task, t.Exit
		if r.State == runFailed && r.taskStopped() && t.Cancelling == "" {
			f.Reason = "task " + t.Task + ": " + t.Reason // the run's own reason may be another task, which was stopped
		}
	}
	f.Key = f.keyOf(r.Workflow)
	return f
}

// blamed gives the task that a run failed for: the first that failed, as the run's reason has it; if none did, the
// first that crashed or was stopped; nil if there is none of these.
func (r *Run) blamed() *TaskRun {
	var blame *TaskRun
	for i := range r.Tasks[:r.total()] {
		t := &r.Tasks[i]
		failed := t.State == taskFailed && !t.Allowed
		switch {
		case !failed && t.State != taskCrashed && t.State != taskCancelled:
		case blame != nil && failed != (blame.State == taskFailed):
			if failed {
				blame = t
			}
		case blame == nil || t.Finished.Before(blame.Finished.Time):
			blame = t
		}
	}
	return blame
}

// keyOf names the group among those of its workflow.
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
	all = slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
	if len(all) > 1 {
		f.Agents = all[:min(len(all), stateMaxFailureRuns)]
	}
}

// stoppedOnly says whether a run has failed only because somebody stopped tasks of it: who did that knows, and nobody
// else need look.
func (r *Run) stoppedOnly() bool {
	wentWrong := func(t TaskRun) bool {
		if t.State == taskCancelled {
			return t.Cancelling == ""
		}
		return t.State == taskFailed && !t.Allowed || t.State == taskCrashed
	}
	return r.State == runFailed && r.taskStopped() && !slices.ContainsFunc(r.Tasks[:r.handlersAt()], wentWrong)
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

// noteOutcome puts a run that has failed into its group; one that has succeeded marks all groups as recovered.
func (w *WorkflowState) noteOutcome(r *Run) {
	switch r.State {
	case runSucceeded:
		w.Good = r.Finished
		for _, f := range w.Failures {
			f.Recovered = true
		}
	case runFailed, runCrashed:
		if r.stoppedOnly() || r.Workflow == execWorkflow { // who ran that command is told
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

// boundFailures drops the group that was quiet for longest, if there are too many.
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

// forgetOutcome takes a run out of its group: it will run once more, and then that outcome counts.
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
	case f.Count > len(f.Runs) && !r.stoppedOnly(): // a run that was only stopped was never counted
		f.Count--
	}
	if len(f.Runs) == 0 {
		w.Failures = slices.DeleteFunc(w.Failures, func(other *Failure) bool { return other == f })
	}
}

// applyAck folds an acknowledgement, or (evAckOver) that what was acknowledged is over.
func (s *State) applyAck(e *Event) {
	if e.Kind == evAckOver {
		delete(s.Acks, e.Key)
		return
	}
	delete(s.Told, stateToldKey(e.Key)) // should it come back, it is new to the alarm
	if w := s.Workflows[e.Workflow]; w != nil {
		if f := w.failure(e.Key); f != nil {
			f.Until = e.Until
			if e.Until.IsZero() {
				w.Failures = slices.DeleteFunc(w.Failures, func(other *Failure) bool { return other == f })
			}
			return
		}
		if x := w.Expect; x != nil && x.Odd != nil && e.Until.IsZero() &&
			e.Key == expectKey(e.Workflow, "length "+x.Odd.Run) {
			x.Odd = nil
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
