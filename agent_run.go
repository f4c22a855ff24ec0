// agent_run.go: one run on an agent: its graph and its tasks, from assignment to end. Everything here is done by the
// agent's loop; attempts are in agent_attempt.go, the processes themselves in exec.go.

package main

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// agentCleanup is how long a task that cleans up may take once the run's timeout is over, and a task of a handler: with
// its waits and all its attempts. Then it has failed. See limitCleanup for one with a timeout of its own.
const agentCleanup = 5 * time.Minute

// agentRun is a run that this agent has.
type agentRun struct {
	as *assignment

	// guard has the run's `if`, nil when there is none. It comes before the graph, of which prog is how far it is: nil
	// until it has begun.
	guard *Task

	agentWalk // the graph that it is at: that of its tasks, and then that of each handler

	// due are the tasks whose next attempt may begin. They wait for max_active_tasks, of which places are taken, as new
	// ones do. begins counts the attempts that are being prepared, and tries has the tasks that run or wait for their
	// next attempt.
	due    []*taskTry
	places int
	begins int
	tries  map[int]*taskTry

	// asking counts the tasks that wait for an answer of the principal. parked: nothing else was at work, so the run
	// has given its place back (agent_ask.go).
	asking int
	parked bool
	goes   bool // the principal wants it back as long as it is parked

	// How many items tasks with foreach have had. doneItems has the instances that ended before this agent had the run,
	// by name.
	items     int
	doneItems map[string]*TaskRun

	handed int // bytes of outputs, of all tasks

	// What is not spooled yet: lines, what happened after them, and about how many bytes both are. spooled is when
	// there was something before that, and last the number of the newest of that. lines is the number of the newest
	// line of output. dropped counts lines that the spool did not take, the first because of dropWhy.
	output  []parcelLines
	events  []*Event
	size    int
	spooled time.Time
	last    uint64
	lines   int64
	dropped int64
	dropWhy error

	// Output past log.max_size: budget says what is reported as it comes, and tail has what comes after that until it
	// is reported. spoolingTail: that is being spooled, and the end of the run waits for it.
	budget       *procBudget
	counted      int64 // lines that there were before those of budget
	tail         *spoolTail
	spoolingTail bool

	live agentLive // lines that have not ended

	lacks []string // what its output says already that is missing of limits

	// When it began, and when its last task ended, once that is known. timer is the run's own timeout; late is "timed
	// out after 2h" once that is over: then only what cleans up goes on.
	began   time.Time
	endedAt time.Time
	timer   *time.Timer
	late    string

	// How it will end. failed is "task load: exit 3", of the first task that failed or was stopped. stopState is set
	// while the run is being stopped. dropIt: this assignment is void; end the run and report nothing.
	failed     string
	stopState  string
	stopReason string
	forced     bool // a person had it stopped with KILL, or asked twice: no handlers begin any more
	dropIt     bool
	givenUp    bool // this agent ends, or may not go on with the run: it waits for nothing

	// Of a workflow with handlers: taskStopped, a person had a task stopped, so that the principal does not try the run
	// again; kept, what its tasks have written; end, how it ended, once its graph is over and it is at its handlers.
	// Without handlers they stay as they are.
	taskStopped bool
	kept        *agentKept
	end         *agentEnd

	next *assignment // the same run, given to this agent anew: it begins when this one has ended
}

// agentWalk is a graph of tasks that a run is at, and how far it is.
type agentWalk struct {
	handler string // whose graph it is; "": the workflow's own
	tasks   []Task
	dag     *dag
	prog    *dagRun
	over    int        // tasks that have ended
	ready   []int      // new tasks that may begin
	fans    []*taskFan // tasks with foreach at work

	outputs []taskOutputs // what each task handed on; set before any task that depends on it begins
	given   *agentGiven   // what a handler is told of the run; nil in the workflow's own graph
}

// taskOutputs is what a task handed on, and its place in the order in which tasks ended.
type taskOutputs struct {
	values map[string]string
	order  int
}

// begin takes a run from the principal.
func (a *agent) begin(as *assignment) {
	switch before := a.runs[as.Run]; {
	case as.Spec == nil || before != nil && as.Lease <= before.as.Lease:
		return // a repeat
	case before != nil:
		before.dropIt = true
		a.stopRun(before, runCancelled, "the run was given out anew", false)
		if a.runs[as.Run] != nil {
			before.next = as
			return
		}
	}
	a.wake()
	r := &agentRun{as: as, tries: map[int]*taskTry{}, lines: as.Lines, began: a.now()}
	r.tasks, r.outputs = as.Spec.Tasks, make([]taskOutputs, len(as.Spec.Tasks))
	a.bound(r)
	a.runs[as.Run] = r
	a.beginLive(r)
	a.emit(r, &Event{Kind: evRunStarted})
	if as.Spec.hasHandlers() {
		agentHandlers{a}.keep(r)
	}
	var err error
	r.dag, err = dagBuild(as.Spec.Tasks)
	if err != nil {
		a.finishRun(r, runFailed, err.Error())
		return
	}
	if as.Part != nil {
		agentParts{a}.begin(r)
		return
	}
	if as.End != nil {
		r.beginGraph(a)
		return
	}
	if limit := time.Duration(as.Spec.Timeout); limit > 0 {
		r.timer = time.AfterFunc(limit, func() {
			a.call(func() { a.runLate(r) })
		})
	}
	if as.Spec.If != "" && len(as.Done)+len(as.Spent) == 0 { // what has done something is not skipped
		ifAsker{a}.beginRun(r)
		return
	}
	r.beginGraph(a)
}

// beginGraph begins the tasks that wait for none. What was done of the run before stays done; where that is the whole
// graph, the handlers begin that are still owed.
func (r *agentRun) beginGraph(a *agent) {
	as, done := r.as, map[string]string{}
	for at := range as.Done {
		t := &as.Done[at]
		if t.Of != "" {
			if r.doneItems == nil {
				r.doneItems = map[string]*TaskRun{}
			}
			r.doneItems[t.Task] = t
			r.handed += outputsSize(t.Outputs)
			continue
		}
		done[t.Task] = t.shownState()
		for i := range as.Spec.Tasks {
			if as.Spec.Tasks[i].ID == t.Task {
				r.outputs[i] = taskOutputs{t.Outputs, -1}
				r.handed += outputsSize(t.Outputs)
			}
		}
	}
	if as.End != nil {
		agentHandlers{a}.owed(r)
		return
	}
	prog, ready, skipped := r.dag.begin(done)
	r.prog = prog
	a.goOn(r, ready, skipped)
}

// goOn starts what has become ready, notes what is skipped, and ends the run when nothing is left.
func (a *agent) goOn(r *agentRun, ready []int, skipped []dagSkip) {
	a.emitSkips(r, skipped)
	r.ready = append(r.ready, ready...)
	a.cutLate(r)
	for tries := a.nextTries(r); len(tries) > 0; tries = a.nextTries(r) {
		a.startTasks(tries)
	}
	a.asks.park(r)
	switch {
	case len(r.tries) > 0 || a.runs[r.as.Run] != r: // a task that ended at once may have ended the run
	case r.stopState != "":
		agentHandlers{a}.graphOver(r, r.stopState, r.stopReason)
	case r.prog != nil && r.prog.finished():
		if state, _ := r.prog.outcome(); r.late == "" {
			agentHandlers{a}.graphOver(r, state, r.failed)
		} else {
			agentHandlers{a}.graphOver(r, runFailed, r.late)
		}
	}
}

// endTask reports that a task is over, and goes on with what comes after it.
func (a *agent) endTask(t *taskTry, e *Event) {
	r := t.run
	e.Seconds = secondsBetween(t.began, a.now())
	r.taskStopped = r.taskStopped || t.stopped != "" && e.State != taskSucceeded
	if t.limit != nil {
		t.limit.Stop()
	}
	t.repeatOver(a)
	delete(r.tries, t.key())
	if r.as.Part != nil {
		agentParts{a}.over(r, e)
		return
	}
	var ready []int
	var skipped []dagSkip
	var whole *Event // the end of the task, where e is that of its last instance
	if t.fan == nil {
		ready, skipped = r.endNode(a, t.index, e)
	} else {
		r.handed += outputsSize(e.Outputs)
		whole = t.fan.ended(a, t, e)
		if whole != nil {
			ready, skipped = r.endNode(a, t.index, whole)
		}
	}
	e.Time = stampOf(a.now())
	report := func() {
		a.emit(r, e)
		if whole != nil {
			a.emit(r, whole)
		}
		a.goOn(r, ready, skipped)
	}
	last := len(r.tries) == 0 && (r.stopState != "" || len(ready)+len(r.ready) == 0 && r.fanNext() == nil)
	if !last || !a.tailFirst(r, report) {
		report()
	}
}

// endNode notes the end of a task of the graph, and gives what follows from it. The caller reports it.
func (r *agentRun) endNode(a *agent, index int, e *Event) (ready []int, skipped []dagSkip) {
	if dagFailed(e.State) && !e.Allowed && r.failed == "" {
		r.failed = "task " + e.Task + ": " + e.Reason
	}
	r.over++
	r.outputs[index] = taskOutputs{e.Outputs, r.over}
	r.handed += outputsSize(e.Outputs)
	r.fans = slices.DeleteFunc(r.fans, func(f *taskFan) bool { return f.index == index })
	ready, skipped, err := r.prog.end(index, e.State, e.Allowed)
	if err != nil {
		a.cfg.Log.Error("internal error", "run", r.as.Run, "cause", err)
	}
	return ready, skipped
}

// runLate is the end of a run's timeout. The run has failed. What is at work is stopped and nothing more begins, except
// what cleans up or raises the alarm: that goes on, or begins as it does after any failure, for agentCleanup or as
// long as its own timeout says.
func (a *agent) runLate(r *agentRun) {
	if a.runs[r.as.Run] != r || r.stopState != "" || r.late != "" || r.end != nil {
		return
	}
	r.late = "timed out after " + r.as.Spec.Timeout.String()
	late := slices.DeleteFunc(slices.Clone(r.fans), func(f *taskFan) bool { return f.task().cleansUp() })
	for _, f := range late { // all of them first: the end of one lets others begin
		f.cut = orDefault(f.cut, r.late)
	}
	for _, f := range late {
		f.stop(a, r.late, false, false)
	}
	for _, t := range r.atWork() {
		switch {
		case !t.live() || t.late:
		case t.task().cleansUp():
			a.limitCleanup(t)
		default:
			t.late = true
			a.stopTry(t, r.late, false)
		}
	}
	a.goOn(r, nil, nil)
}

// cutLate ends the tasks that would begin if the run's timeout were not over. For those behind them that is a failure.
func (a *agent) cutLate(r *agentRun) {
	if r.late == "" || r.stopState != "" {
		return
	}
	queue := r.ready
	r.ready = nil
	for at := 0; at < len(queue); at++ {
		i := queue[at]
		if r.tasks[i].cleansUp() {
			r.ready = append(r.ready, i)
			continue
		}
		a.emit(r, &Event{Kind: evTaskFinished, Task: r.tasks[i].ID, State: taskCancelled, Reason: r.late})
		ready, skipped, err := r.prog.end(i, taskCancelled, false)
		if err != nil {
			a.cfg.Log.Error("internal error", "run", r.as.Run, "cause", err)
		}
		a.emitSkips(r, skipped)
		queue = append(queue, ready...)
	}
}

// limitCleanup sets how long a task that cleans up may go on after the run's timeout, and a task of a handler: from
// when its turn has come, with its waits and all its attempts. One with a timeout has that for each attempt instead,
// and for each wait for its places in pools; one that another agent does has agentCleanup more for its wait. What would
// repeat for ever then ends after agentCleanup, or after that timeout where that is longer.
func (a *agent) limitCleanup(t *taskTry) {
	if t.run.late == "" && t.run.handler == "" || t.limit != nil {
		return
	}
	own := time.Duration(t.task().Timeout)
	limit, rest := agentCleanup, "all there is once the run has timed out"
	if t.run.handler != "" {
		rest = "all that a task of " + t.run.handler + " has"
		if own == 0 {
			rest += " without a timeout of its own"
		}
	}
	switch {
	case own == 0:
	case t.task().Repeat.endless():
		limit = max(limit, own)
	case t.parted:
		limit, rest = own+agentCleanup, "its timeout and "+procDuration(agentCleanup)+" of waiting for an agent"
	case t.asking && t.task().asks() == "":
		limit, rest = own, "waiting for its places in pools"
	default:
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(limit, func() {
		a.call(func() {
			if t.live() && t.limit == timer {
				t.late = true
				a.stopTry(t, "timed out after "+procDuration(limit)+", "+rest, false)
			}
		})
	})
	t.limit = timer
}

// emitSkips reports tasks that are skipped.
func (a *agent) emitSkips(r *agentRun, skipped []dagSkip) {
	for _, s := range skipped {
		a.emit(r, &Event{Kind: evTaskFinished, Task: r.tasks[s.Task].ID, State: taskSkipped, Reason: s.Reason})
	}
}

// stopRun ends a run before its time, in the given state. Its tasks are stopped, and no more are started. With force
// they are killed.
func (a *agent) stopRun(r *agentRun, state, reason string, force bool) {
	if r.stopState == "" {
		r.stopState, r.stopReason = state, reason
	}
	if r.next != nil { // that ends before it has begun
		anew := &agentRun{as: r.next, lines: r.next.Lines, began: a.now()}
		r.next = nil
		a.finishRun(anew, state, reason)
	}
	r.ready, r.forced = nil, r.forced || force
	for _, f := range r.fans {
		f.cut = orDefault(f.cut, reason)
	}
	for _, t := range r.atWork() {
		if t.live() {
			a.stopTry(t, reason, force)
		}
	}
	if a.runs[r.as.Run] == r && len(r.tries) == 0 {
		agentHandlers{a}.graphOver(r, r.stopState, r.stopReason)
	}
}

// finishRun reports the end of a run and forgets it.
func (a *agent) finishRun(r *agentRun, state, reason string) {
	if r.timer != nil {
		r.timer.Stop()
	}
	if a.tailFirst(r, func() { a.finishRun(r, state, reason) }) {
		return
	}
	if r.endedAt.IsZero() {
		r.endedAt = a.now()
	}
	a.emit(r, &Event{Kind: evRunFinished, State: state, Reason: reason, Seconds: secondsBetween(r.began, r.endedAt)})
	if r.kept != nil {
		a.workers.Go(r.kept.remove)
	}
	if a.runs[r.as.Run] == r {
		delete(a.runs, r.as.Run)
		delete(a.followed, r.as.Run)
		a.asks.over(r)
	}
	if r.next != nil {
		a.begin(r.next)
	}
	a.asks.placeFree()
}

// remark puts a line of our own into the output of a run, behind what came before it. It is about the attempt t, or
// with nil about the run. A spool that takes no more output takes it too: there are few of them.
func (a *agent) remark(r *agentRun, t *taskTry, text string) {
	if r.dropIt {
		return
	}
	line := a.remarkLine(r, r.lines+1, text)
	if t != nil {
		line.Task, line.Attempt = t.name(), t.attempt
	}
	if r.tail != nil && !r.budget.remark() { // behind what was written before it
		r.keep(agentTag(line.Task, line.Attempt), spoolTailRemark, line.Time.Time, []byte(agentRemark(text)))
		return
	}
	r.lines++
	r.output = append(r.output, line)
	a.noted(r, len(line.Text)+agentLineRest)
}

// remarkLine makes a line of our own, with number n in its run.
func (a *agent) remarkLine(r *agentRun, n int64, text string) parcelLines {
	return parcelLine(&LogLine{Time: stampOf(a.now()), Run: r.as.Run, N: n, Stream: "c", Text: agentRemark(text)})
}

// agentRemark gives a remark as a line of output.
func agentRemark(text string) string { return "[cdktr: " + text + "]" }

// emit reports an event of a run, behind the output that came before it. It is spooled at the end of the turn at the
// latest.
func (a *agent) emit(r *agentRun, e *Event) {
	if r.dropIt {
		return
	}
	e.Run, e.Lease, e.Reason = r.as.Run, r.as.Lease, protoReason(e.Reason)
	if e.Time.IsZero() {
		e.Time = stampOf(a.now())
	}
	r.events = append(r.events, e)
	a.noted(r, 250+len(e.Reason)+outputsSize(e.Outputs))
}

// cancel stops a run because the principal says so.
func (a *agent) cancel(m *agentMsg) {
	a.spoolTurn() // then an end of this run is among the ends
	if m.Drop {
		delete(a.ends, m.Run)
	}
	r := a.runs[m.Run]
	if r == nil {
		a.cancelAhead(m)
		return
	}
	if m.Drop {
		r.dropIt, r.next = true, nil
	}
	again := m.N > 1 || m.Force
	if r.end != nil && !again && !m.Drop {
		return // it ends the graph, which is over, and not the handlers
	}
	r.forced = r.forced || again
	a.stopRun(r, runCancelled, m.Reason, m.Force)
}

// cancelTask stops one task because the principal says so, and nothing else of its run. A task that is not at work any
// more has ended by itself meanwhile, and the principal is about to hear of that.
func (a *agent) cancelTask(m *agentMsg) {
	r := a.runs[m.Run]
	if r == nil || r.as.Lease != m.Lease {
		return
	}
	for _, f := range r.fans {
		if f.task().ID == m.Task {
			f.stop(a, m.Reason, true, m.Force)
			return
		}
	}
	for _, t := range r.tries {
		if t.name() == m.Task {
			t.stopped = orDefault(t.stopped, m.Reason)
			a.stopTry(t, t.stopped, m.Force)
			return
		}
	}
}

// crashRuns stops all of these runs, which have crashed for that reason. Until it comes to one, that does not go on in
// the place of another.
func (a *agent) crashRuns(reason string, force bool, these func(*agentRun) bool) {
	var ids []string
	for _, id := range sortedKeys(a.runs) {
		if r := a.runs[id]; these(r) {
			ids = append(ids, id)
			r.givenUp = true
			if r.stopState == "" {
				r.stopState, r.stopReason = runCrashed, reason
			}
		}
	}
	for _, id := range ids {
		if r := a.runs[id]; r != nil { // else it has ended with another
			a.stopRun(r, runCrashed, reason, force)
		}
	}
}

// stopRuns stops every run because the agent ends; with force by KILL.
func (a *agent) stopRuns(force bool) {
	a.crashRuns("agent "+a.cfg.Name+" was stopped", force, func(*agentRun) bool { return true })
}

// secondsBetween gives how long something took, to the millisecond: by the monotonic clock, and as the stamps of both
// ends say it where these differ by rounding alone.
func secondsBetween(from, to time.Time) float64 {
	took := to.Sub(from).Milliseconds()
	if stamps := stampOf(to).Sub(stampOf(from).Time).Milliseconds(); stamps == took+1 || stamps == took-1 {
		took = stamps
	}
	return float64(took) / 1000
}

// From here on: lines that a task has begun and not ended. The principal is told of them while somebody follows the
// run. While nobody does they cost no more than a look at a flag. What is told is not spooled: the line is, when it
// ends.

// agentLiveAfter is how long after it was read a line without an end is told, and the least time between two times.
const agentLiveAfter = 300 * time.Millisecond

// agentLiveMax bounds the runs that an agent knows to be followed. Of further ones nothing is told before it is stored.
const agentLiveMax = 1000

// agentLive is what is told of a run's lines that have not ended.
type agentLive struct {
	on   atomic.Bool       // somebody follows it
	due  atomic.Bool       // there is something to be told soon
	told map[string]string // what was told, by stream and task; the loop's
}

// unendedOf makes the function that is called when a process has written a line without an end. Any goroutine may call
// it.
func (a *agent) unendedOf(r *agentRun) func() {
	return func() {
		if r.live.on.Load() && r.live.due.CompareAndSwap(false, true) {
			time.AfterFunc(agentLiveAfter, func() { a.call(func() { a.tellLive(r) }) })
		}
	}
}

// follow begins or ends the telling of a run's unended lines, because the principal says so. That may come before the
// run does.
func (a *agent) follow(m *agentMsg) {
	switch {
	case m.Off:
		delete(a.followed, m.Run)
	case len(a.followed) < agentLiveMax:
		a.followed[m.Run] = true
	}
	if r := a.runs[m.Run]; r != nil {
		a.beginLive(r)
	}
}

// beginLive tells what the tasks of a run have begun to write, if somebody follows it.
func (a *agent) beginLive(r *agentRun) {
	r.live.told = map[string]string{}
	r.live.on.Store(a.followed[r.as.Run])
	a.tellLive(r)
}

// followNone ends the telling for all runs: the connection is over.
func (a *agent) followNone() {
	clear(a.followed)
	for _, r := range a.runs {
		r.live.on.Store(false)
	}
}

// tellLive tells the lines without an end that were not told yet.
func (a *agent) tellLive(r *agentRun) {
	r.live.due.Store(false)
	wanted := r.live.on.Load() && a.runs[r.as.Run] == r
	if !wanted || a.conn == nil || !a.welcomed {
		return
	}
	a.moment = time.Time{}
	var lines []LogLine
	for _, t := range r.atWork() {
		if t.proc == nil {
			continue
		}
		for _, stream := range []string{"o", "e"} {
			key := stream + t.name()
			text := strings.ToValidUTF8(t.proc.unended(stream == "e"), "\uFFFD")
			if text != "" && r.live.told[key] != text {
				r.live.told[key] = text
				lines = append(lines, LogLine{Time: stampOf(a.now()), Run: r.as.Run, Task: t.name(),
					Attempt: t.attempt, Stream: stream, Text: text})
			}
		}
	}
	if len(lines) > 0 {
		a.send(&agentMsg{Op: msgLive, Items: []agentItem{{Lines: lines, Lease: r.as.Lease}}})
	}
}

// ended notes that a line of a stream has ended: the next one that is told of it is another.
func (l *agentLive) ended(stream, task string) {
	if l.on.Load() {
		delete(l.told, stream+task)
	}
}
