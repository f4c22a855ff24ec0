// agent_run.go: one run on an agent: its graph and its tasks, from assignment to end. Everything here is done by the
// agent's loop; attempts are in agent_attempt.go, the processes themselves in exec.go.

package main

import (
	"strings"
	"sync/atomic"
	"time"
)

// agentCleanup is how long a task that cleans up may take, with all its attempts, once the run's timeout is over. Then
// it has failed. A task with a timeout of its own has that instead.
const agentCleanup = 5 * time.Minute

// agentRun is a run that this agent has.
type agentRun struct {
	as *assignment

	// The graph, and how far it is.
	dag  *dag
	prog *dagRun
	over int // tasks that have ended

	// Tasks that are to begin: ready are new ones, due are those whose next attempt may begin. Both wait for
	// max_active_tasks, of which places are taken. begins counts the attempts that are being prepared, and tries has
	// the tasks that run or wait for their next attempt.
	ready  []int
	due    []*taskTry
	places int
	begins int
	tries  map[int]*taskTry

	// What each task handed on, and how many bytes that is. It is set before any task that depends on it begins.
	outputs []taskOutputs
	handed  int

	// What is not spooled yet: lines, what happened after them, and about how many bytes both are. spooled is when
	// there was something before that. lines is the number of the newest line of output. dropped counts lines that the
	// spool did not take, the first because of dropWhy.
	output  []parcelLines
	events  []*Event
	size    int
	spooled time.Time
	lines   int64
	dropped int64
	dropWhy error

	// Output past log.max_size: budget says what is reported as it comes, and tail has what comes after that until it
	// is reported. spoolingTail: that is being spooled, and the end of the run waits for it.
	budget       *procBudget
	tail         *spoolTail
	spoolingTail bool

	live agentLive // lines that have not ended

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
	dropIt     bool

	next *assignment // the same run, given to this agent anew: it begins when this one has ended
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
	r := &agentRun{as: as, tries: map[int]*taskTry{}, outputs: make([]taskOutputs, len(as.Spec.Tasks)), lines: as.Lines,
		began: a.now()}
	a.bound(r)
	a.runs[as.Run] = r
	a.beginLive(r)
	a.emit(r, &Event{Kind: evRunStarted})
	var err error
	r.dag, err = dagBuild(as.Spec.Tasks)
	if err != nil {
		a.finishRun(r, runFailed, err.Error())
		return
	}
	done := map[string]string{}
	for _, t := range as.Done {
		done[t.Task] = t.State
		for i := range as.Spec.Tasks {
			if as.Spec.Tasks[i].ID == t.Task {
				r.outputs[i] = taskOutputs{t.Outputs, -1}
				r.handed += outputsSize(t.Outputs)
			}
		}
	}
	if limit := time.Duration(as.Spec.Timeout); limit > 0 {
		r.timer = time.AfterFunc(limit, func() {
			a.call(func() { a.runLate(r) })
		})
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
	switch {
	case len(r.tries) > 0 || a.runs[r.as.Run] != r: // a task that ended at once may have ended the run
	case r.stopState != "":
		a.finishRun(r, r.stopState, r.stopReason)
	case r.prog.finished():
		if state, _ := r.prog.outcome(); r.late == "" {
			a.finishRun(r, state, r.failed)
		} else {
			a.finishRun(r, runFailed, r.late)
		}
	}
}

// endTask reports that a task is over, and goes on with what comes after it.
func (a *agent) endTask(t *taskTry, e *Event) {
	r := t.run
	e.Seconds = secondsBetween(t.began, a.now())
	if dagFailed(e.State) && r.failed == "" {
		r.failed = "task " + e.Task + ": " + e.Reason
	}
	r.over++
	r.outputs[t.index] = taskOutputs{e.Outputs, r.over}
	r.handed += outputsSize(e.Outputs)
	if t.limit != nil {
		t.limit.Stop()
	}
	delete(r.tries, t.index)
	ready, skipped, err := r.prog.end(t.index, e.State)
	if err != nil {
		a.cfg.Log.Error("internal error", "run", r.as.Run, "cause", err)
	}
	e.Time = stampOf(a.now())
	report := func() {
		a.emit(r, e)
		a.goOn(r, ready, skipped)
	}
	last := len(r.tries) == 0 && (r.stopState != "" || len(ready)+len(r.ready) == 0)
	if !last || !a.tailFirst(r, report) {
		report()
	}
}

// runLate is the end of a run's timeout. The run has failed. What is at work is stopped and nothing more begins, except
// what cleans up or raises the alarm: that goes on, or begins as it does after any failure, for agentCleanup or as
// long as its own timeout says.
func (a *agent) runLate(r *agentRun) {
	if a.runs[r.as.Run] != r || r.stopState != "" || r.late != "" {
		return
	}
	r.late = "timed out after " + r.as.Spec.Timeout.String()
	for _, i := range r.dagOrder() {
		switch t := r.tries[i]; {
		case t == nil:
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
		if r.as.Spec.Tasks[i].cleansUp() {
			r.ready = append(r.ready, i)
			continue
		}
		a.emit(r, &Event{Kind: evTaskFinished, Task: r.as.Spec.Tasks[i].ID, State: taskCancelled, Reason: r.late})
		ready, skipped, err := r.prog.end(i, taskCancelled)
		if err != nil {
			a.cfg.Log.Error("internal error", "run", r.as.Run, "cause", err)
		}
		a.emitSkips(r, skipped)
		queue = append(queue, ready...)
	}
}

// limitCleanup sets how long a task that cleans up may go on after the run's timeout.
func (a *agent) limitCleanup(t *taskTry) {
	if t.run.late == "" || t.limit != nil || t.task().Timeout > 0 {
		return
	}
	t.limit = time.AfterFunc(agentCleanup, func() {
		a.call(func() {
			if t.run.tries[t.index] == t {
				t.late = true
				a.stopTry(t, "timed out after "+procDuration(agentCleanup)+", all there is once the run has timed out",
					false)
			}
		})
	})
}

// emitSkips reports tasks that are skipped.
func (a *agent) emitSkips(r *agentRun, skipped []dagSkip) {
	for _, s := range skipped {
		a.emit(r, &Event{Kind: evTaskFinished, Task: r.as.Spec.Tasks[s.Task].ID, State: taskSkipped, Reason: s.Reason})
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
	r.ready = nil
	for _, i := range r.dagOrder() {
		if t := r.tries[i]; t != nil {
			a.stopTry(t, reason, force)
		}
	}
	if a.runs[r.as.Run] == r && len(r.tries) == 0 {
		a.finishRun(r, r.stopState, r.stopReason)
	}
}

// dagOrder gives the tasks in order; none when the graph was never built.
func (r *agentRun) dagOrder() []int {
	if r.dag == nil {
		return nil
	}
	return r.dag.order()
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
	if a.runs[r.as.Run] == r {
		delete(a.runs, r.as.Run)
		delete(a.followed, r.as.Run)
	}
	if r.next != nil {
		a.begin(r.next)
	}
	a.beginAhead()
}

// remark puts a line of our own into the output of a run, behind what came before it. It is about the attempt t, or
// with nil about the run. A spool that takes no more output takes it too: there are few of them.
func (a *agent) remark(r *agentRun, t *taskTry, text string) {
	if r.dropIt {
		return
	}
	line := a.remarkLine(r, r.lines+1, text)
	if t != nil {
		line.Task, line.Attempt = t.task().ID, t.attempt
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
	a.stopRun(r, runCancelled, m.Reason, m.Force)
}

// cancelTask stops one task because the principal says so, and nothing else of its run. A task that is not at work any
// more has ended by itself meanwhile, and the principal is about to hear of that.
func (a *agent) cancelTask(m *agentMsg) {
	r := a.runs[m.Run]
	if r == nil || r.as.Lease != m.Lease {
		return
	}
	for _, t := range r.tries {
		if t.task().ID == m.Task {
			t.stopped = orDefault(t.stopped, m.Reason)
			a.stopTry(t, t.stopped, m.Force)
			return
		}
	}
}

// stopRuns stops every run.
func (a *agent) stopRuns(reason string) {
	for _, id := range sortedKeys(a.runs) {
		a.stopRun(a.runs[id], runCrashed, reason, false)
	}
}

// killRuns stops every run with KILL.
func (a *agent) killRuns() {
	for _, id := range sortedKeys(a.runs) {
		a.stopRun(a.runs[id], runCrashed, "agent "+a.cfg.Name+" was stopped", true)
	}
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
	for _, i := range r.dagOrder() {
		t := r.tries[i]
		if t == nil || t.proc == nil {
			continue
		}
		for _, stream := range []string{"o", "e"} {
			key := stream + t.task().ID
			text := strings.ToValidUTF8(t.proc.unended(stream == "e"), "\uFFFD")
			if text != "" && r.live.told[key] != text {
				r.live.told[key] = text
				lines = append(lines, LogLine{Time: stampOf(a.now()), Run: r.as.Run, Task: t.task().ID,
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
