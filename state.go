// state.go: the state machine of the principal. State is everything that the journal holds; apply folds one Event into
// it, live and in recovery alike, and is the only way that State changes. Pure: no clock, no files, no goroutine.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what is kept in memory.
const (
	stateMaxFinished  = 1000           // newest finished runs; older ones are read from history
	stateMaxDecisions = 50             // newest decisions of a workflow, for `why`
	stateMaxRecent    = 10             // newest outcomes of a workflow, for `ls`
	stateMaxEarlier   = 20             // newest attempts of a task that failed before its newest one
	stateMaxEarliers  = 1000           // about so many attempts of all tasks of a run: it must fit into a message
	stateMaxWhy       = 120            // bytes of the reason of such an attempt
	stateKeyLife      = 24 * time.Hour // a request with the same key within this time gets the same run
)

// stateAgain stands in the reason of a task that will be tried again: why the attempt failed, stateAgain, what comes
// next.
const stateAgain = "; attempt "

// Kinds of event. Agents make the six at the end, the principal makes the others.
const (
	evVersion      = "workflow.version"   // a version of a workflow that runs refer to
	evSchedule     = "workflow.scheduled" // a schedule begins to count: nothing before Scheduled was missed
	evPaused       = "workflow.paused"    // Workflow "" is all of them; Until then, if that is given
	evResumed      = "workflow.resumed"   // with Until by itself: then it ended
	evSkipped      = "fire.skipped"       // a tick that became no run, and why
	evListening    = "event.listening"    // a listener (Key) begins: no event up to Scheduled counts, nor does Seen
	evEventSkipped = "event.skipped"      // an event that became no run, and why
	evQueued       = "run.queued"         //
	evAssigned     = "run.assigned"       //
	evRequeued     = "run.requeued"       // queued again: retry, workflow retries, failover
	evCancelling   = "run.cancelling"     // asked to stop; the agent answers with run.finished
	evTaskStopping = "task.cancelling"    // one task asked to stop; the agent answers with task.finished
	evTaskPlaced   = "task.assigned"      // given to another agent than its run's, as part Key; "": taken back
	evTaskAnswered = "task.answered"      // what a task has asked for is decided: the agent answers with task.finished
	evRunEnded     = "run.ended"          // finished by the principal: cancelled in the queue, agent lost
	evHandlers     = "run.handlers"       // queued again for handlers alone, which no agent has begun
	evAdopted      = "run.adopted"        // a lost run that its agent brought back
	evArchived     = "run.archived"       // it has ended and is no longer kept in memory: it takes too much room
	evAgentUp      = "agent.up"           //
	evAgentLost    = "agent.lost"         //
	evAgentDrained = "agent.drained"      //
	evAgentUndrain = "agent.undrained"    //
	evAgentForgot  = "agent.forgotten"    //
	evAcked        = "attention.acked"    // somebody has seen what Key names; it comes back at Until, if that is given
	evAckOver      = "attention.over"     // what was acknowledged is over
	evTold         = "attention.told"     // the alarm has told of what Key names; State: that it is over
	evAlarmRan     = "alarm.ran"          // the alarm's command has ended
	evLeft         = "run.left"           // processes of a run that its agent could not end: all that are known
	// the principal's machine has booted, and @reboot has fired; Key names this boot
	evBooted = "machine.booted"

	evRecorded   = "run.recorded"   // it was done elsewhere, and has ended: see applyRecorded
	evWrapForgot = "wrap.forgotten" // no run of that name is waited for any more

	evBatch        = "batch.begun"   // a backfill: Times has the fires that are to have runs, Batch names it
	evBatchStopped = "batch.stopped" // it makes no more runs: somebody has cancelled it, or it cannot go on

	evRunStarted   = "run.started"   //
	evTaskStarted  = "task.started"  //
	evTaskAsked    = "task.asked"    // it has no process: the principal says how it ends
	evTaskRetrying = "task.retrying" //
	evTaskFinished = "task.finished" //
	evRunEnding    = "run.ending"    // its graph is over; its handlers begin once the agent knows that this is safe
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
	Used    TaskUse           `json:"used,omitzero"`     // by the attempt
	Limited string            `json:"limited,omitempty"` // how the limits of the attempt were in force
	Allowed bool              `json:"allowed,omitempty"` // the task did not succeed, and counts as if it had
	// of task.started of a task with foreach: see applyItems; of event.listening: the listeners that are known from now
	// on, where others are forgotten
	Items []string `json:"items,omitempty"`

	// What a run is made of, and why.
	Params  map[string]string `json:"params,omitempty"`
	Version string            `json:"version,omitempty"` // hash of the workflow
	Spec    *Workflow         `json:"spec,omitempty"`    // what that version says
	Trigger string            `json:"trigger,omitempty"`
	// the tick; of workflow.scheduled: no tick before that was missed
	Scheduled Stamp  `json:"scheduled,omitzero"`
	Schedule  string `json:"schedule,omitempty"` // of workflow.scheduled: the schedule that begins to count
	Missed    int    `json:"missed,omitempty"`   // how many more ticks the decision speaks for
	// the event that fired the run or did not, and what was seen with it
	Event    *RunEvent   `json:"event,omitempty"`
	Seen     []EventSeen `json:"seen,omitempty"`
	Priority int         `json:"priority,omitempty"` // of the run in the queue
	Parent   string      `json:"parent,omitempty"`   // of run.queued: the run whose task, Task, has asked for it
	Batch    string      `json:"batch,omitempty"`    // that it is of
	Times    string      `json:"times,omitempty"`    // of batch.begun: its fires, see batchTimes
	Parallel int         `json:"parallel,omitempty"` // of batch.begun: how many of its runs may be active
	Asks     string      `json:"asks,omitempty"`     // of task.asked: what for
	// a name given by whoever makes it: of a request for a run, of what is acknowledged, of a boot
	Key string `json:"key,omitempty"`
	// whose Key of a run it is: the workflows that its user sees
	Scope string `json:"scope,omitempty"`

	// How it is to be done.
	All   bool `json:"all,omitempty"`   // of run.requeued: tasks that succeeded run again too
	Force bool `json:"force,omitempty"` // stopped at once, with KILL
	// of run.assigned: its agent had no place for it yet, and begins it when it has
	Ahead bool `json:"ahead,omitempty"`
	// of attention.acked: when it comes back; of agent.lost: when it was last heard; of workflow.paused and .resumed:
	// when the pause ends by itself
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
	Told      map[string]Told           `json:"told,omitempty"` // by stateToldKey
	Batches   map[string]*Batch         `json:"batches,omitempty"`

	PausedAll string  `json:"paused_all,omitempty"` // who paused all workflows, "" when nobody did
	Pauses    []Pause `json:"pauses,omitempty"`     // of all workflows, newest last; see pauseIn
	LastRun   string  `json:"last_run,omitempty"`   // the highest run id that was made
	Boot      string  `json:"boot,omitempty"`       // of the principal's machine, as the newest evBooted has it

	Alarm *AlarmRan `json:"alarm,omitempty"` // nil: it was never run
}

// WorkflowState is what is known of a workflow besides its file.
type WorkflowState struct {
	Paused    string     `json:"paused,omitempty"`   // who paused it, "" when nobody did
	Pauses    []Pause    `json:"pauses,omitempty"`   // newest last; see pauseIn
	Schedule  string     `json:"schedule,omitempty"` // the schedule that Tick belongs to
	Tick      Stamp      `json:"tick,omitzero"`      // ticks up to here are decided
	Decisions []Decision `json:"decisions,omitempty"`
	// what is known of its listeners, by their keys
	Listens map[string]*Listened `json:"listens,omitempty"`
	Heard   bool                 `json:"heard,omitempty"` // a workflow listens to the ends of its runs, or did
	Ends    []RunEnd             `json:"ends,omitempty"`  // these, of runs that are in memory, in their order

	// How its runs went.
	Recent []Outcome `json:"recent,omitempty"` // newest last
	// the newest of Recent, without its tasks, once Runs does not have it
	Last     *Run       `json:"last,omitempty"`
	Failures []*Failure `json:"failures,omitempty"` // what nobody has acknowledged
	Left     []*RunLeft `json:"left,omitempty"`     // the run that was told of last is last
	Expect   *Expected  `json:"expect,omitempty"`   // nil: nothing is expected of it, or no run has gone well
	Good     Stamp      `json:"good,omitzero"`      // when the newest run ended that succeeded
	Wrap     *Wrapped   `json:"wrap,omitempty"`     // nil: no run of it was recorded
}

// Decision says what became of a tick of a schedule, or of an event.
type Decision struct {
	At     Stamp  `json:"at"`      // the tick
	Made   Stamp  `json:"decided"` // when it was decided
	Fired  bool   `json:"fired"`
	Reason string `json:"reason"`
	Run    string `json:"run,omitempty"`
	Missed int    `json:"missed,omitempty"`
	Event  bool   `json:"event,omitempty"` // it was no tick, but an event of a listener
}

// Outcome is how a run ended, in short.
type Outcome struct {
	Run   string `json:"run"`
	State string `json:"state"`
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
		Agents: map[string]*Agent{}, Keys: map[string]KeyUse{}, Acks: map[string]Ack{}, Told: map[string]Told{}}
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
	case evListening:
		s.applyListening(e)
	case evEventSkipped:
		s.applySeen(e)
	case evQueued:
		return s.applyQueued(e)
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot:
		s.applyAgent(e)
	case evAcked, evAckOver:
		s.applyAck(e)
	case evTold:
		s.applyTold(e)
	case evAlarmRan:
		s.applyAlarm(e)
	case evBooted:
		s.Boot = e.Key
	case evLeft:
		s.applyLeft(e)
	case evRecorded:
		return s.applyRecorded(e)
	case evWrapForgot:
		s.workflow(e.Workflow).Wrap = nil
	case evBatch, evBatchStopped:
		return s.applyBatch(e)
	default:
		run := s.Runs[e.Run]
		if run == nil {
			return fmt.Errorf("apply %s: run %s is not known", e.Kind, e.Run)
		}
		before := run.State
		err := s.applyRun(run, e)
		if run.Batch != "" {
			s.batchMoved(run, before, e.Time)
		}
		return err
	}
	return nil
}

// decide records what became of a tick.
func (s *State) decide(e *Event, fired bool) {
	w := s.workflow(e.Workflow)
	if e.Scheduled.After(w.Tick.Time) {
		w.Tick = e.Scheduled
	}
	delete(s.Acks, stateKey("late", e.Workflow, ""))
	w.decided(Decision{At: e.Scheduled, Made: e.Time, Fired: fired, Reason: e.Reason, Run: e.Run, Missed: e.Missed})
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
		Parent: e.Parent, ParentTask: e.Task, Batch: e.Batch,
		Params: e.Params, Event: e.Event,
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
	if parent := s.Runs[r.Parent]; parent != nil {
		if t := parent.task(r.ParentTask); t != nil {
			t.Child = r.ID
		}
	}
	if e.Key != "" {
		s.Keys[stateUse(e.Workflow, e.Scope, e.Key)] = KeyUse{Run: e.Run, Time: e.Time}
	}
	if e.Batch != "" { // the schedule has decided about that fire before
		s.batchMade(e)
	} else if !e.Scheduled.IsZero() {
		s.decide(e, true)
	}
	s.applySeen(e)
	return nil
}

// applyRun folds an event of a run that is known.
func (s *State) applyRun(r *Run, e *Event) error {
	misfit := func() error { return fmt.Errorf("apply %s: run %s is %s", e.Kind, r.ID, r.State) }
	if e.Kind == evTaskPlaced {
		return s.applyPlaced(r, e)
	}
	if e.Key != "" { // of no other event of a run that is there
		return s.applyPart(r, e)
	}
	switch e.Kind {
	case evAssigned:
		if r.State != runQueued {
			return misfit()
		}
		r.State, r.Agent, r.Ahead, r.Parked = runRunning, e.Agent, e.Ahead, false
		if r.Ending == "" {
			r.Reason = ""
		}
		delete(s.Acks, stateKey("overdue", r.Workflow, ""))
		r.Lease++
	case evRequeued:
		nothingToDo := r.nothingLeft() && !e.All && e.Task == ""
		if nothingToDo || r.State == runQueued {
			return misfit()
		}
		s.requeue(r, e)
	case evHandlers:
		if r.State == runQueued {
			return misfit()
		}
		s.queueHandlers(r, e)
	case evCancelling:
		if !runActive(r.State) {
			return misfit()
		}
		r.Insist = r.Cancelling != ""
		r.Cancelling, r.Force = e.Reason, r.Force || e.Force
	case evTaskStopping:
		t := r.task(e.Task)
		atWork := t != nil && (t.State == taskRunning || t.State == taskRetrying || t.asking())
		if r.State != runRunning || !atWork {
			return fmt.Errorf("apply %s: task %s of the %s run %s is not at work", e.Kind, e.Task, r.State, r.ID)
		}
		t.Cancelling = orDefault(t.Cancelling, e.Reason) // the first reason stays, as in the agent's report
		t.Force = t.Force || e.Force
	case evTaskAnswered:
		return s.applyAnswered(r, e)
	case evArchived:
		if runActive(r.State) {
			return misfit()
		}
		s.unlist(r)
		s.forget(r)
		s.Archived = true
	case evAdopted:
		if runActive(r.State) || !r.Lost {
			return misfit()
		}
		s.adopt(r)
	case evRunEnded:
		if !runActive(r.State) {
			return misfit()
		}
		return s.finish(r, e)
	case evRunStarted, evRunEnding, evRunFinished, evTaskStarted, evTaskAsked, evTaskRetrying, evTaskFinished:
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
		r.noteLog(e)
		return nil
	case evRunEnding:
		spec := s.Versions[r.Version]
		if !runFinal(e.State) || spec == nil {
			return fmt.Errorf("apply %s: run %s cannot have handlers as %q", e.Kind, r.ID, e.State)
		}
		r.Ending, r.Reason = e.State, e.Reason
		r.addHandlers(spec, spec.handlersFor(e.State))
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
		r.Parked = false
		if t.Pooled {
			t.Ask = nil
		}
		if t.Started.IsZero() {
			t.Started = e.Time
		} else if e.Attempt > 1 {
			t.Began = e.Time
		}
		r.noteLog(e)
		if len(e.Items) > 0 {
			r.applyItems(t, e.Items)
		}
	case evTaskAsked:
		r.noteAsked(t, e)
	case evTaskRetrying:
		t.noteAttempt(e, r.earlierMost())
		t.State, t.Reason, t.Exit, t.Used, t.Limited = taskRetrying, e.Reason, e.Exit, e.Used, e.Limited
		r.noteAnswered(t)
	case evTaskFinished:
		t.State, t.Reason, t.Exit, t.Finished, t.Seconds, t.Outputs = e.State, e.Reason, e.Exit, e.Time, e.Seconds,
			e.Outputs
		t.Used, t.Limited, t.Force, t.Allowed = e.Used, e.Limited, false, e.Allowed
		if e.State == taskSucceeded { // it ended before it was stopped
			t.Cancelling = ""
		}
		r.noteAnswered(t)
		r.endItems(t)
	}
	return nil
}

// noteLog keeps where the output of the run begins, if the event is the first that says so.
func (r *Run) noteLog(e *Event) {
	if r.LogDay == "" && e.LogDay != "" {
		r.LogDay, r.LogAt = e.LogDay, e.LogAt
	}
}

// noteAttempt keeps an attempt that has failed. At most so many attempts are kept, the newest. The list only grows at
// its end: what was handed out of it stays as it was.
func (t *TaskRun) noteAttempt(e *Event, most int) {
	a := TaskAttempt{Attempt: e.Attempt, Reason: e.Reason, Exit: e.Exit, Started: t.began(), Seconds: e.Seconds,
		Used: e.Used, Limited: e.Limited}
	if i := strings.LastIndex(a.Reason, stateAgain); i >= 0 {
		a.Reason = a.Reason[:i]
	}
	if len(a.Reason) > stateMaxWhy {
		a.Reason = strings.ToValidUTF8(a.Reason[:stateMaxWhy], "")
	}
	t.Earlier = append(t.Earlier[max(len(t.Earlier)+1-most, 0):], a)
}

// requeue puts a run back into the queue. Tasks that succeeded, or were skipped by their `if`, stay done, but for those
// behind a task that failed, and for Task and those behind it; with All none stays done. The same attempt of a run goes
// on when its agent has given it back: then failures that were allowed stay done too, and no attempt that a task has
// spent is forgotten.
func (s *State) requeue(r *Run, e *Event) {
	if !runActive(r.State) {
		s.unfinish(r)
	}
	goesOn := e.Attempt == r.Attempt
	if !goesOn {
		s.askedAnew(r)
	}
	var behind []bool
	if spec := s.Versions[r.Version]; spec != nil && !e.All && !goesOn {
		behind = r.behindFailed(spec, e.Task)
	}
	r.State, r.Attempt, r.Agent, r.Reason, r.Cancelling, r.Lost = runQueued, e.Attempt, "", e.Reason, "", false
	r.Force, r.Ahead, r.Parked, r.OwnStarted, r.OwnFinished = false, false, false, Stamp{}, Stamp{}
	r.Started, r.Finished, r.Seconds, r.Ending, r.Insist = Stamp{}, Stamp{}, 0, "", false
	r.dropHandlers()
	for i := range r.Tasks {
		t := &r.Tasks[i]
		again := e.All || behind != nil && behind[r.place(i)]
		if !again && (t.kept() || goesOn && t.State == taskFailed && t.Allowed) {
			continue
		}
		if !again && t.partGoesOn(e) {
			t.Ask, t.Pooled = nil, t.Pooled && t.Part.Answer == nil
			continue
		}
		child, ask := s.askLeft(t, e)
		t.stopPart("the run begins again")
		anew := TaskRun{Task: t.Task, Of: t.Of, State: taskWaiting, Child: child, Ask: ask, Part: t.Part}
		if goesOn {
			anew.spend(t)
		}
		*t = anew
	}
}

// spend takes over the attempts that a task has spent which is to go on: those that have failed.
func (t *TaskRun) spend(from *TaskRun) {
	spent := from.Attempts
	if from.State == taskRunning { // its newest attempt was not at work, and begins again
		spent--
	}
	if spent > 0 {
		t.Attempts, t.Earlier, t.Started, t.Began = spent, from.Earlier, from.Started, from.Began
	}
}

// nothingLeft says whether a retry of the run would find nothing to do: it succeeded, and no failure was allowed in it.
func (r *Run) nothingLeft() bool {
	return r.State == runSucceeded && !slices.ContainsFunc(r.Tasks, func(t TaskRun) bool {
		return t.State == taskFailed
	})
}

// behindFailed says of each task of a run whether it depends, directly or not, on one that failed, crashed, was
// cancelled or is at work. Tasks there that clean up or raise the alarm belong to the attempt that they followed: they
// must follow the next attempt too. The task from, which need not have failed, counts as one of those behind; "" is no
// task.
func (r *Run) behindFailed(spec *Workflow, from string) []bool {
	down := make(map[string][]int, len(spec.Tasks))
	for i := range spec.Tasks {
		for _, id := range spec.Tasks[i].Depends {
			down[id] = append(down[id], i)
		}
	}
	behind := make([]bool, len(r.Tasks))
	var queue []string
	for i := range r.Tasks {
		behind[i] = from != "" && r.Tasks[i].Task == from
		switch r.Tasks[i].State {
		case taskSucceeded, taskSkipped, taskWaiting:
			if !behind[i] {
				continue
			}
		}
		queue = append(queue, r.Tasks[i].Task)
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
	r.OwnFinished, r.Ahead, r.Parked, r.Insist = e.Own, false, false, false
	byItsAgent := e.Agent != "" && e.Agent == r.Agent
	r.Lost = byItsAgent && (e.State == runCrashed || r.Ending != "") && e.Kind == evRunEnded
	r.Ending = ""
	if r.Seconds == 0 && !r.Started.IsZero() && e.Time.After(r.Started.Time) {
		r.Seconds = e.Time.Sub(r.Started.Time).Seconds()
	}
	r.endTasks(e, e.State)
	if !r.Lost { // else its agent may bring it back, with what it asks for
		s.askedAnew(r)
	}
	w := s.workflow(r.Workflow)
	w.Recent = append(w.Recent, Outcome{Run: r.ID, State: r.State})
	if n := len(w.Recent); n > stateMaxRecent {
		w.Recent = w.Recent[n-stateMaxRecent:]
	}
	w.Last = nil
	w.noteOutcome(r)
	w.noteExpected(r, s.Versions[r.Version])
	w.noteEnd(r, e.Seq)
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

// endTasks ends every task of a run that has not ended: the run ends in that state, because of e.
func (r *Run) endTasks(e *Event, state string) {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		t.Force = false
		t.stopPart("its run is over")
		if !r.Lost { // else the agent may bring it back, with what it asks for and has
			t.Pooled = false
			if t.Ask != nil && t.Ask.For == askPool {
				t.Ask = nil
			}
		}
		switch {
		case !taskActive(t.State):
		case t.State == taskWaiting:
			t.State, t.Reason = taskSkipped, "run "+state
		case state == runCancelled && t.Handler == "":
			t.State, t.Reason, t.Finished = taskCancelled, e.Reason, e.Time
		default:
			t.State, t.Reason, t.Finished = taskCrashed, e.Reason, e.Time
		}
	}
}

// forget drops a finished run from memory. It keeps a short copy of a workflow's last run: runs of other workflows must
// not push out how that went.
func (s *State) forget(r *Run) {
	delete(s.Runs, r.ID)
	s.askedAnew(r)
	w := s.workflow(r.Workflow)
	w.dropEnd(r.ID)
	if n := len(w.Recent); n > 0 && w.Recent[n-1].Run == r.ID {
		w.Last = r.short()
	}
}

// runFinal says whether a run can end in that state.
func runFinal(state string) bool {
	switch state {
	case runSucceeded, runFailed, runCancelled, runCrashed, runSkipped:
		return true
	}
	return false
}

// taskFinal says whether a task can end in that state.
func taskFinal(state string) bool {
	return runFinal(state) // a run and a task may both end as skipped
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
	w.dropEnd(r.ID)
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
