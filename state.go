// state.go: the state machine of the principal. State is everything that the journal holds; apply folds one Event into
// it, live and in recovery alike, and is the only way that State changes. Pure: no clock, no files, no goroutine.

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is kept in memory.
const (
	stateMaxFinished  = 1000           // newest finished runs; older ones are read from history
	stateMaxDecisions = 50             // newest decisions of a workflow, for `why`
	stateMaxRecent    = 10             // newest outcomes of a workflow, for `ls`
	stateMaxEarlier   = 16             // newest attempts of a task that failed before its newest one
	stateMaxEarliers  = 1000           // about so many attempts of all tasks of a run: it must fit into a message
	stateMaxWhy       = 120            // bytes of the reason of such an attempt
	stateKeyLife      = 24 * time.Hour // a request with the same key within this time gets the same run
)

// stateAgain stands in the reason of a task that will be tried again: why the attempt failed, stateAgain, what comes
// next.
const stateAgain = "; attempt "

// Kinds of event. Agents make the five at the end, the principal makes the others.
const (
	evVersion      = "workflow.version"   // a version of a workflow that runs refer to
	evSchedule     = "workflow.scheduled" // a schedule begins to count: nothing before Scheduled was missed
	evPaused       = "workflow.paused"    // Workflow "" is all of them
	evResumed      = "workflow.resumed"   //
	evSkipped      = "fire.skipped"       // a tick that became no run, and why
	evQueued       = "run.queued"         //
	evAssigned     = "run.assigned"       //
	evRequeued     = "run.requeued"       // queued again: retry, workflow retries, failover
	evCancelling   = "run.cancelling"     // asked to stop; the agent answers with run.finished
	evTaskStopping = "task.cancelling"    // one task asked to stop; the agent answers with task.finished
	evRunEnded     = "run.ended"          // finished by the principal: cancelled in the queue, agent lost
	evAdopted      = "run.adopted"        // a lost run that its agent brought back
	evArchived     = "run.archived"       // it has ended and is no longer kept in memory: it takes too much room
	evAgentUp      = "agent.up"           //
	evAgentLost    = "agent.lost"         //
	evAgentDrained = "agent.drained"      //
	evAgentUndrain = "agent.undrained"    //
	evAgentForgot  = "agent.forgotten"    //
	evAcked        = "attention.acked"    // somebody has seen what Key names; it comes back at Until, if that is given
	evAckOver      = "attention.over"     // what was acknowledged is over
	evLeft         = "run.left"           // processes of a run that its agent could not end: all that are known
	// the principal's machine has booted, and @reboot has fired; Key names this boot
	evBooted = "machine.booted"

	evRunStarted   = "run.started"   //
	evTaskStarted  = "task.started"  //
	evTaskRetrying = "task.retrying" //
	evTaskFinished = "task.finished" //
	evRunFinished  = "run.finished"  //
)

// Event is one change, complete in itself: who did what to what, when. It is one flat type, so that a line of the
// journal is one plain JSON object that jq can filter. A field means one thing in all kinds of event;
// docs/protocol.md says which kinds have it. The order of the fields is that of the JSON.
type Event struct {
	Seq  uint64 `json:"seq"` // counts up by one; given by the store
	Time Stamp  `json:"t"`   // by the principal's clock
	Kind string `json:"e"`

	// What the event is of, and what became of it.
	Workflow string `json:"workflow,omitempty"`
	Run      string `json:"run,omitempty"`
	Task     string `json:"task,omitempty"`
	Attempt  int    `json:"attempt,omitempty"` // of the task; without a task, of the run
	State    string `json:"state,omitempty"`   // in which the task ended; without a task, the run
	Reason   string `json:"reason,omitempty"`  // why, for people
	Exit     *int   `json:"exit,omitempty"`    // exit code of the task's process; nil: there is none

	// How long it took, by the agent's monotonic clock: the attempt of task.retrying; else the task, from its first
	// attempt on, or the run.
	Seconds float64           `json:"seconds,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"` // of the task

	// What a run is made of, and why.
	Params  map[string]string `json:"params,omitempty"`
	Version string            `json:"version,omitempty"` // hash of the workflow
	Spec    *Workflow         `json:"spec,omitempty"`    // what that version says
	Trigger string            `json:"trigger,omitempty"`
	// the tick; of workflow.scheduled: no tick before that was missed
	Scheduled Stamp  `json:"scheduled,omitzero"`
	Schedule  string `json:"schedule,omitempty"` // of workflow.scheduled: the schedule that begins to count
	Missed    int    `json:"missed,omitempty"`   // how many more ticks the decision speaks for
	Priority  int    `json:"priority,omitempty"` // of the run in the queue
	// a name given by whoever makes it: of a request for a run, of what is acknowledged, of a boot
	Key string `json:"key,omitempty"`
	// whose Key of a run it is: the workflows that its user sees
	Scope string `json:"scope,omitempty"`

	// How it is to be done.
	All   bool `json:"all,omitempty"`   // of run.requeued: tasks that succeeded run again too
	Force bool `json:"force,omitempty"` // stopped at once, with KILL
	// of run.assigned: its agent had no place for it yet, and begins it when it has
	Ahead bool `json:"ahead,omitempty"`
	// of attention.acked: when it comes back; of agent.lost: when it was last heard
	Until Stamp `json:"until,omitzero"`

	Own Stamp `json:"own,omitzero"` // of an agent's event: its time by the agent's clock, where that is far from ours

	// What an agent says of itself when it comes up.
	Labels   map[string]string `json:"labels,omitempty"`
	Capacity int               `json:"capacity,omitempty"`
	Build    string            `json:"build,omitempty"` // its version of this program

	// Where the output of the run begins.
	LogDay string `json:"log_day,omitempty"` // the file, yyyy-mm-dd
	LogAt  int64  `json:"log_at,omitempty"`  // the offset in it

	// Who.
	By    string `json:"by,omitempty"`    // who asked: a user, a key, an agent
	From  string `json:"from,omitempty"`  // over which connection
	Agent string `json:"agent,omitempty"` // whom it concerns, or who says it
	Lease int    `json:"lease,omitempty"` // the assignment that the agent reports on
	Epoch string `json:"epoch,omitempty"` // of the agent's numbering
	N     uint64 `json:"n,omitempty"`     // the agent's number of this event in the epoch; 0: the principal's own event

	Left []LeftProcess `json:"left,omitempty"` // of run.left: all that are known of the run
}

// State is what the journal says, folded. Only the principal's loop holds one. The order of the fields is that of the
// JSON in the snapshot.
type State struct {
	Seq uint64 `json:"seq"` // of the newest event that is folded

	// Runs. Those that finished last are kept; older ones are in the history.
	Runs     map[string]*Run `json:"runs"`
	Finished []string        `json:"finished"`           // the finished ones in Runs, the first to finish in front
	Archived bool            `json:"archived,omitempty"` // some were dropped for their size: so Finished may be short

	Versions  map[string]*Workflow      `json:"versions"` // by their hash
	Workflows map[string]*WorkflowState `json:"workflows"`
	Agents    map[string]*Agent         `json:"agents"`
	Keys      map[string]KeyUse         `json:"keys"`           // see stateUse
	Acks      map[string]Ack            `json:"acks,omitempty"` // see stateKey

	PausedAll string `json:"paused_all,omitempty"` // who paused all workflows, "" when nobody did
	LastRun   string `json:"last_run,omitempty"`   // the highest run id that was made
	Boot      string `json:"boot,omitempty"`       // of the principal's machine, as the newest evBooted has it
}

// WorkflowState is what is known of a workflow besides its file.
type WorkflowState struct {
	Paused    string     `json:"paused,omitempty"`   // who paused it, "" when nobody did
	Schedule  string     `json:"schedule,omitempty"` // the schedule that Tick belongs to
	Tick      Stamp      `json:"tick,omitzero"`      // ticks up to here are decided
	Decisions []Decision `json:"decisions,omitempty"`

	// How its runs went.
	Recent []Outcome `json:"recent,omitempty"` // newest last
	// the newest of Recent, without its tasks, once Runs does not have it
	Last     *Run       `json:"last,omitempty"`
	Failures []*Failure `json:"failures,omitempty"` // what nobody has acknowledged
	Left     []*RunLeft `json:"left,omitempty"`     // the run that was told of last is last
}

// Decision says what became of a tick of a schedule.
type Decision struct {
	At     Stamp  `json:"at"`      // the tick
	Made   Stamp  `json:"decided"` // when it was decided
	Fired  bool   `json:"fired"`
	Reason string `json:"reason"`
	Run    string `json:"run,omitempty"`
	Missed int    `json:"missed,omitempty"`
}

// Outcome is how a run ended, in short.
type Outcome struct {
	Run   string `json:"run"`
	State string `json:"state"`
}

// States of an agent.
const (
	agentUp    = "up"
	agentDrain = "drain"
	agentLost  = "lost"
)

// Agent is a worker as the principal knows it. The field names are those of `agents --json`.
type Agent struct {
	Name     string            `json:"agent"`
	State    string            `json:"state"`
	Labels   map[string]string `json:"labels"`
	Capacity int               `json:"capacity"`           // how many runs it takes at once
	Running  int               `json:"running"`            // how many it has; only in replies
	Version  string            `json:"version"`            // of this program
	Seen     Stamp             `json:"seen,omitzero"`      // when it was last heard
	Draining bool              `json:"draining,omitempty"` // it gets no more runs, whether it is there or not
	Epoch    string            `json:"epoch,omitempty"`    // of its numbering
	N        uint64            `json:"n,omitempty"`        // its newest event that was folded
	Skew     float64           `json:"skew,omitempty"`     // seconds that its clock is ahead, if many; only in replies
	Address  string            `json:"address,omitempty"`  // see stateAddress
	Load     *float64          `json:"load,omitempty"`     // of its machine, averaged over a minute; only in replies
}

// loadText writes the load of an agent's machine for people.
func (a *Agent) loadText() string {
	if a.Load == nil {
		return "-"
	}
	return strconv.FormatFloat(*a.Load, 'f', 2, 64)
}

// stateAddress says where an agent is, by the name of its connection: the address and port that the principal sees, or
// that it is a process of this machine. ssh may have started such a process for an agent far away.
func stateAddress(from string) string {
	if at, ok := strings.CutPrefix(from, "tcp://"); ok {
		return at
	}
	if pid, ok := strings.CutPrefix(from, "ipc "); ok {
		return "local " + pid
	}
	if from == "" { // the connection does not say
		return ""
	}
	return "local"
}

// KeyUse says which run the request with an idempotency key made, and when.
type KeyUse struct {
	Run  string `json:"run"`
	Time Stamp  `json:"t"`
}

// stateUse names an idempotency key among those of all workflows and scopes.
func stateUse(workflow, scope, key string) string {
	return workflow + "\x00" + scope + "\x00" + key
}

// stateNew gives the state before the first event.
func stateNew() *State {
	return &State{Runs: map[string]*Run{}, Versions: map[string]*Workflow{}, Workflows: map[string]*WorkflowState{},
		Agents: map[string]*Agent{}, Keys: map[string]KeyUse{}, Acks: map[string]Ack{}}
}

// workflow gives the state that is kept for a workflow; it makes one if there is none.
func (s *State) workflow(id string) *WorkflowState {
	w := s.Workflows[id]
	if w == nil {
		w = &WorkflowState{}
		s.Workflows[id] = w
	}
	return w
}

// agent gives the record of an agent; it makes one if there is none.
func (s *State) agent(name string) *Agent {
	a := s.Agents[name]
	if a == nil {
		a = &Agent{Name: name, State: agentLost}
		s.Agents[name] = a
	}
	return a
}

// repeated says whether an agent's event was folded before: its number is not above the newest one.
func (s *State) repeated(e *Event) bool {
	a := s.Agents[e.Agent]
	if e.N == 0 || a == nil || a.Epoch != e.Epoch {
		return false
	}
	return e.N <= a.N
}

// apply folds e into s. An event that does not fit leaves s as it was, but for the numbers of the newest event; the
// error says what does not fit. apply keeps e's maps and pointers: the caller must not change them afterwards.
func (s *State) apply(e *Event) error {
	s.Seq = max(s.Seq, e.Seq)
	if e.N > 0 {
		if s.repeated(e) {
			return fmt.Errorf("apply %s: number %d of agent %s was applied before", e.Kind, e.N, e.Agent)
		}
		a := s.agent(e.Agent)
		a.Epoch, a.N = e.Epoch, e.N
	}
	switch e.Kind {
	case evVersion:
		s.Versions[e.Version] = e.Spec
	case evSchedule:
		w := s.workflow(e.Workflow)
		w.Schedule, w.Tick = e.Schedule, e.Scheduled
	case evPaused, evResumed:
		s.applyPause(e)
	case evSkipped:
		s.decide(e, false)
	case evQueued:
		return s.applyQueued(e)
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot:
		s.applyAgent(e)
	case evAcked, evAckOver:
		s.applyAck(e)
	case evBooted:
		s.Boot = e.Key
	case evLeft:
		s.applyLeft(e)
	default:
		run := s.Runs[e.Run]
		if run == nil {
			return fmt.Errorf("apply %s: run %s is not known", e.Kind, e.Run)
		}
		return s.applyRun(run, e)
	}
	return nil
}

func (s *State) applyPause(e *Event) {
	by := e.By
	if e.Kind == evResumed {
		by = ""
	} else if by == "" {
		by = "?"
	}
	if e.Workflow == "" {
		s.PausedAll = by
		return
	}
	s.workflow(e.Workflow).Paused = by
}

// decide records what became of a tick.
func (s *State) decide(e *Event, fired bool) {
	w := s.workflow(e.Workflow)
	if e.Scheduled.After(w.Tick.Time) {
		w.Tick = e.Scheduled
	}
	delete(s.Acks, stateKey("late", e.Workflow, ""))
	w.Decisions = append(w.Decisions, Decision{At: e.Scheduled, Made: e.Time, Fired: fired, Reason: e.Reason,
		Run: e.Run, Missed: e.Missed})
	if n := len(w.Decisions); n > stateMaxDecisions {
		w.Decisions = w.Decisions[n-stateMaxDecisions:] // so append copies now and then, not each time
	}
}

func (s *State) applyQueued(e *Event) error {
	if s.Runs[e.Run] != nil {
		return fmt.Errorf("apply %s: run %s is there already", e.Kind, e.Run)
	}
	spec := s.Versions[e.Version]
	if spec == nil {
		return fmt.Errorf("apply %s: run %s: version %s of workflow %s is not known", e.Kind, e.Run, e.Version,
			e.Workflow)
	}
	r := &Run{ID: e.Run, Workflow: e.Workflow, State: runQueued, Trigger: e.Trigger, By: e.By, Attempt: 1,
		Params:    e.Params,
		Scheduled: e.Scheduled, Queued: e.Time, Version: e.Version, Priority: e.Priority,
		Tasks: make([]TaskRun, len(spec.Tasks))}
	if r.Params == nil {
		r.Params = map[string]string{}
	}
	for i := range spec.Tasks {
		r.Tasks[i] = TaskRun{Task: spec.Tasks[i].ID, State: taskWaiting}
	}
	s.Runs[r.ID] = r
	s.LastRun = max(s.LastRun, r.ID)
	if e.Key != "" {
		s.Keys[stateUse(e.Workflow, e.Scope, e.Key)] = KeyUse{Run: e.Run, Time: e.Time}
	}
	if !e.Scheduled.IsZero() {
		s.decide(e, true)
	}
	return nil
}

func (s *State) applyAgent(e *Event) {
	a := s.agent(e.Agent)
	switch e.Kind {
	case evAgentUp:
		build := a.Version
		a.Labels, a.Capacity, a.Version, a.State, a.Seen = e.Labels, e.Capacity, e.Build, agentUp, e.Time
		a.Address = stateAddress(e.From)
		if a.Labels == nil { // the journal leaves empty labels out: so nil and empty must not differ
			a.Labels = map[string]string{}
		}
		if a.Draining {
			a.State = agentDrain
		}
		if a.Epoch != e.Epoch {
			a.Epoch, a.N = e.Epoch, 0
		}
		delete(s.Acks, stateKey("agent", e.Agent, ""))
		if build != e.Build { // another version may know more
			delete(s.Acks, stateKey("old", e.Agent, ""))
		}
	case evAgentLost:
		a.State, a.Seen = agentLost, e.Time
		if !e.Until.IsZero() {
			a.Seen = e.Until
		}
	case evAgentDrained:
		a.Draining = true
		if a.State == agentUp {
			a.State = agentDrain
		}
	case evAgentUndrain:
		a.Draining = false
		if a.State == agentDrain {
			a.State = agentUp
		}
	case evAgentForgot:
		delete(s.Agents, e.Agent)
		delete(s.Acks, stateKey("agent", e.Agent, ""))
		delete(s.Acks, stateKey("old", e.Agent, ""))
		s.forgetLeft(e.Agent)
	}
}

// applyRun folds an event of a run that is known.
func (s *State) applyRun(r *Run, e *Event) error {
	misfit := func() error { return fmt.Errorf("apply %s: run %s is %s", e.Kind, r.ID, r.State) }
	switch e.Kind {
	case evAssigned:
		if r.State != runQueued {
			return misfit()
		}
		r.State, r.Agent, r.Reason, r.Ahead = runRunning, e.Agent, "", e.Ahead
		delete(s.Acks, stateKey("overdue", r.Workflow, ""))
		r.Lease++
	case evRequeued:
		nothingToDo := r.State == runSucceeded && !e.All
		if nothingToDo || r.State == runQueued {
			return misfit()
		}
		s.requeue(r, e)
	case evCancelling:
		if !runActive(r.State) {
			return misfit()
		}
		r.Cancelling, r.Force = e.Reason, r.Force || e.Force
	case evTaskStopping:
		t := r.task(e.Task)
		atWork := t != nil && (t.State == taskRunning || t.State == taskRetrying)
		if r.State != runRunning || !atWork {
			return fmt.Errorf("apply %s: task %s of the %s run %s is not at work", e.Kind, e.Task, r.State, r.ID)
		}
		t.Cancelling = orDefault(t.Cancelling, e.Reason) // the first reason stays, as in the agent's report
		t.Force = t.Force || e.Force
	case evArchived:
		if runActive(r.State) {
			return misfit()
		}
		s.unlist(r)
		s.forget(r)
		s.Archived = true
	case evAdopted:
		if r.State != runCrashed || !r.Lost {
			return misfit()
		}
		s.unfinish(r)
		r.State, r.Reason, r.Finished, r.Seconds, r.Lost = runRunning, "", Stamp{}, 0, false
		for i := range r.Tasks {
			switch t := &r.Tasks[i]; {
			case t.State == taskCrashed:
				t.State, t.Reason, t.Finished = taskRunning, "", Stamp{}
			case t.State == taskSkipped && t.Finished.IsZero(): // finish skipped it; the agent may have begun it since
				t.State, t.Reason = taskWaiting, ""
			}
		}
	case evRunEnded:
		if !runActive(r.State) {
			return misfit()
		}
		return s.finish(r, e)
	case evRunStarted, evRunFinished, evTaskStarted, evTaskRetrying, evTaskFinished:
		if r.State != runRunning || r.Agent != e.Agent || r.Lease != e.Lease {
			return fmt.Errorf("apply %s: run %s is %s with agent %q by lease %d, not with %q by lease %d",
				e.Kind, r.ID, r.State, r.Agent, r.Lease, e.Agent, e.Lease)
		}
		return s.applyReport(r, e)
	default:
		return fmt.Errorf("apply %s: this version does not know such an event (run %s)", e.Kind, e.Run)
	}
	return nil
}

// applyReport folds what the agent of a running run says of it.
func (s *State) applyReport(r *Run, e *Event) error {
	switch e.Kind {
	case evRunStarted:
		r.Ahead = false
		if r.Started.IsZero() {
			r.Started, r.OwnStarted = e.Time, e.Own
		}
		return nil
	case evRunFinished:
		return s.finish(r, e)
	}
	t := r.task(e.Task)
	if t == nil {
		return fmt.Errorf("apply %s: run %s has no task %q", e.Kind, r.ID, e.Task)
	}
	if !taskActive(t.State) {
		return fmt.Errorf("apply %s: task %s of run %s is %s", e.Kind, t.Task, r.ID, t.State)
	}
	if e.Kind == evTaskFinished && !taskFinal(e.State) {
		return fmt.Errorf("apply %s: task %s of run %s cannot end as %q", e.Kind, t.Task, r.ID, e.State)
	}
	switch e.Kind {
	case evTaskStarted:
		t.State, t.Attempts, t.Reason = taskRunning, e.Attempt, ""
		if t.Started.IsZero() {
			t.Started = e.Time
		} else if e.Attempt > 1 {
			t.Began = e.Time
		}
		if r.LogDay == "" && e.LogDay != "" {
			r.LogDay, r.LogAt = e.LogDay, e.LogAt
		}
	case evTaskRetrying:
		t.noteAttempt(e, min(stateMaxEarlier, max(1, stateMaxEarliers/len(r.Tasks))))
		t.State, t.Reason, t.Exit = taskRetrying, e.Reason, e.Exit
	case evTaskFinished:
		t.State, t.Reason, t.Exit, t.Finished, t.Seconds, t.Outputs = e.State, e.Reason, e.Exit, e.Time, e.Seconds,
			e.Outputs
		t.Force = false
		if e.State == taskSucceeded { // it ended before it was stopped
			t.Cancelling = ""
		}
	}
	return nil
}

// noteAttempt keeps an attempt that has failed. At most so many attempts are kept, the newest. The list only grows at
// its end: what was handed out of it stays as it was.
func (t *TaskRun) noteAttempt(e *Event, most int) {
	a := TaskAttempt{Attempt: e.Attempt, Reason: e.Reason, Exit: e.Exit, Started: t.began(), Seconds: e.Seconds}
	if i := strings.LastIndex(a.Reason, stateAgain); i >= 0 {
		a.Reason = a.Reason[:i]
	}
	if len(a.Reason) > stateMaxWhy {
		a.Reason = strings.ToValidUTF8(a.Reason[:stateMaxWhy], "")
	}
	t.Earlier = append(t.Earlier[max(len(t.Earlier)+1-most, 0):], a)
}

// requeue puts a run back into the queue. Tasks that succeeded stay done, but for those behind a task that failed;
// with All none stays done.
func (s *State) requeue(r *Run, e *Event) {
	if !runActive(r.State) {
		s.unfinish(r)
	}
	var behind []bool
	if spec := s.Versions[r.Version]; spec != nil && !e.All {
		behind = r.behindFailed(spec)
	}
	r.State, r.Attempt, r.Agent, r.Reason, r.Cancelling, r.Lost = runQueued, e.Attempt, "", e.Reason, "", false
	r.Force, r.Ahead, r.OwnStarted, r.OwnFinished = false, false, Stamp{}, Stamp{}
	r.Started, r.Finished, r.Seconds = Stamp{}, Stamp{}, 0
	for i := range r.Tasks {
		t := &r.Tasks[i]
		again := e.All || behind != nil && behind[i]
		if again || t.State != taskSucceeded {
			*t = TaskRun{Task: t.Task, State: taskWaiting}
		}
	}
}

// behindFailed says of each task of a run whether it depends, directly or not, on one that failed, crashed, was
// cancelled or is at work. Tasks there that clean up or raise the alarm belong to the attempt that they followed: they
// must follow the next attempt too.
func (r *Run) behindFailed(spec *Workflow) []bool {
	down := make(map[string][]int, len(spec.Tasks))
	for i := range spec.Tasks {
		for _, id := range spec.Tasks[i].Depends {
			down[id] = append(down[id], i)
		}
	}
	behind := make([]bool, len(r.Tasks))
	var queue []string
	for i := range r.Tasks {
		switch r.Tasks[i].State {
		case taskSucceeded, taskSkipped, taskWaiting:
		default:
			queue = append(queue, r.Tasks[i].Task)
		}
	}
	for at := 0; at < len(queue); at++ { // it grows by each task once
		for _, i := range down[queue[at]] {
			if i < len(behind) && !behind[i] {
				behind[i] = true
				queue = append(queue, spec.Tasks[i].ID)
			}
		}
	}
	return behind
}

// finish ends a run: its own state and that of every task that had not ended.
func (s *State) finish(r *Run, e *Event) error {
	if !runFinal(e.State) {
		return fmt.Errorf("apply %s: run %s cannot end as %q", e.Kind, r.ID, e.State)
	}
	r.State, r.Reason, r.Finished, r.Seconds, r.Force = e.State, e.Reason, e.Time, e.Seconds, false
	r.OwnFinished, r.Ahead = e.Own, false
	byItsAgent := e.Agent != "" && e.Agent == r.Agent
	r.Lost = byItsAgent && e.State == runCrashed && e.Kind == evRunEnded
	if r.Seconds == 0 && !r.Started.IsZero() && e.Time.After(r.Started.Time) {
		r.Seconds = e.Time.Sub(r.Started.Time).Seconds()
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		t.Force = false
		switch {
		case !taskActive(t.State):
		case t.State == taskWaiting:
			t.State, t.Reason = taskSkipped, "run "+e.State
		case e.State == runCancelled:
			t.State, t.Reason, t.Finished = taskCancelled, e.Reason, e.Time
		default:
			t.State, t.Reason, t.Finished = taskCrashed, e.Reason, e.Time
		}
	}
	w := s.workflow(r.Workflow)
	w.Recent = append(w.Recent, Outcome{Run: r.ID, State: r.State})
	if n := len(w.Recent); n > stateMaxRecent {
		w.Recent = w.Recent[n-stateMaxRecent:]
	}
	w.Last = nil
	w.noteOutcome(r)
	delete(s.Acks, stateKey("overdue", r.Workflow, ""))
	s.Finished = append(s.Finished, r.ID)
	if n := len(s.Finished) - stateMaxFinished; n > 0 {
		for _, id := range s.Finished[:n] {
			s.forget(s.Runs[id])
		}
		s.Finished = s.Finished[n:]
	}
	return nil
}

// forget drops a finished run from memory. It keeps a short copy of a workflow's last run: runs of other workflows must
// not push out how that went.
func (s *State) forget(r *Run) {
	delete(s.Runs, r.ID)
	w := s.workflow(r.Workflow)
	if n := len(w.Recent); n > 0 && w.Recent[n-1].Run == r.ID {
		w.Last = r.short()
	}
}

// runFinal says whether a run can end in that state.
func runFinal(state string) bool {
	switch state {
	case runSucceeded, runFailed, runCancelled, runCrashed:
		return true
	}
	return false
}

// taskFinal says whether a task can end in that state.
func taskFinal(state string) bool {
	return runFinal(state) || state == taskSkipped
}

// unlist takes a run off the list of those that have finished.
func (s *State) unlist(r *Run) {
	for i, id := range s.Finished {
		if id == r.ID {
			s.Finished = append(s.Finished[:i:i], s.Finished[i+1:]...)
			break
		}
	}
}

// unfinish takes back what finish noted outside the run, for a run that becomes active again.
func (s *State) unfinish(r *Run) {
	s.unlist(r)
	w := s.workflow(r.Workflow)
	w.forgetOutcome(r)
	for i, o := range w.Recent {
		if o.Run == r.ID {
			w.Recent = append(w.Recent[:i:i], w.Recent[i+1:]...)
			break
		}
	}
}

// prune drops what nothing needs any more: versions of which no run is in memory, and keys past their life. It runs
// before a snapshot is written, so that a snapshot's size is bounded.
func (s *State) prune(now time.Time) {
	used := map[string]bool{}
	for _, r := range s.Runs {
		used[r.Version] = true
	}
	for hash := range s.Versions {
		if !used[hash] {
			delete(s.Versions, hash)
		}
	}
	for key, use := range s.Keys {
		if now.Sub(use.Time.Time) > stateKeyLife {
			delete(s.Keys, key)
		}
	}
}
