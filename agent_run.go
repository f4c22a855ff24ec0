// agent_run.go: one run on an agent: its graph and its tasks, from assignment to end. Everything here is done by the
// agent's loop; attempts are in agent_attempt.go, the processes themselves in exec.go.

package main

import (
	"strings"
	"sync/atomic"
	"time"
)

// agentCleanup is how long a task that cleans up may take once the run's timeout is over, with all its attempts,
// unless it has a timeout of its own. Then it has failed.
const agentCleanup = 5 * time.Minute

// agentRun is a run that this agent has.
type agentRun struct {
	as      *assignment
	dag     *dag
	prog    *dagRun
	ready   []int            // tasks that may begin, and
	due     []*taskTry       // those whose next attempt may, all waiting for max_active_tasks
	tries   map[int]*taskTry // tasks that run or wait for their next attempt
	places  int              // of max_active_tasks that are taken
	begins  int              // attempts that are being prepared
	outputs []taskOutputs    // what each task handed on. That of a task is set before any that depends on it begins
	handed  int              // bytes of them
	over    int              // tasks that have ended
	output  []LogLine        // what is not spooled yet: lines,
	events  []*Event         // and what happened behind them,
	size    int              // bytes of both, about
	lines   int64            // number of its last line of output
	dropped int64            // lines that the spool did not take
	dropWhy error            // the first of them
	budget  *procBudget      // what of its output is reported as it comes
	tail    *spoolTail       // what comes behind that, until it was reported
	telling bool             // the tail is being reported, the end of the run waits for it
	live    agentLive
	began   time.Time
	ended   time.Time   // when the last task did, once that is known
	timer   *time.Timer // of the run's own timeout
	failed  string      // "task load: exit 3", of the first that failed or was stopped

	late       string // "timed out after 2h", once its timeout is over: only what cleans up goes on
	stopState  string // set when the run is being stopped: how it will end
	stopReason string
	dropIt     bool        // it is no longer ours: end it and say nothing
	next       *assignment // the same run, given to this agent anew: it begins when this one has ended
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
	r := &agentRun{as: as, tries: map[int]*taskTry{}, outputs: make([]taskOutputs, len(as.Spec.Tasks)), lines: as.Lines,
		began: a.now()}
	a.bound(r)
	a.runs[as.Run] = r
	a.beginLive(r)
	a.emit(r, &Event{Kind: evRunStarted})
	var err error
	if r.dag, err = dagBuild(as.Spec.Tasks); err != nil {
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

// endTask reports a task that is over, and goes on with what comes after it.
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

// runLate is the end of a run's timeout. What is at work is stopped and nothing more begins, but for what cleans up or
// raises the alarm: that goes on, and begins as behind any failure, for agentCleanup or as long as its own timeout
// says. Then the run has failed.
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

// cutLate ends the tasks that may begin but for the end of the run's timeout. That is a failure, for those behind them.
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

// limitCleanup has a task that cleans up end in time, after the run's timeout.
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

// stopRun ends a run before its time, in the given state: its tasks are stopped, no more are started. force kills.
func (a *agent) stopRun(r *agentRun, state, reason string, force bool) {
	if r.stopState == "" {
		r.stopState, r.stopReason = state, reason
	}
	if next := r.next; next != nil { // it ends before it began
		r.next = nil
		a.finishRun(&agentRun{as: next, lines: next.Lines, began: a.now()}, state, reason)
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
	if r.ended.IsZero() {
		r.ended = a.now()
	}
	a.emit(r, &Event{Kind: evRunFinished, State: state, Reason: reason, Seconds: secondsBetween(r.began, r.ended)})
	if a.runs[r.as.Run] == r {
		delete(a.runs, r.as.Run)
		delete(a.followed, r.as.Run)
	}
	if r.next != nil {
		a.begin(r.next)
	}
}

// remark puts a line of our own into the output of a run, behind what came before it: about the attempt t, or nil for
// the run. It goes into a spool that takes no more output, too: there are few of them.
func (a *agent) remark(r *agentRun, t *taskTry, text string) {
	if r.dropIt {
		return
	}
	line := a.remarkLine(r, r.lines+1, text)
	if t != nil {
		line.Task, line.Attempt = t.task().ID, t.attempt
	}
	if r.tail != nil && !r.budget.take(0) { // it stays behind what was written before it
		r.keep(agentTag(line.Task, line.Attempt), spoolTailRemark, line.Time.Time, []byte(line.Text))
		return
	}
	r.lines++
	r.output = append(r.output, line)
	a.noted(r, len(text)+100)
}

// remarkLine makes a line of our own, with number n in its run.
func (a *agent) remarkLine(r *agentRun, n int64, text string) LogLine {
	return LogLine{Time: stampOf(a.now()), Run: r.as.Run, N: n, Stream: "c", Text: "[cdktr: " + text + "]"}
}

// emit reports an event of a run, behind the output that came before it, at the end of the turn at the latest.
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
	a.spoolTurn() // an end is held once it is spooled
	if m.Drop {
		delete(a.ends, m.Run)
	}
	r := a.runs[m.Run]
	if r == nil {
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

// Lines that a task has begun and not ended, told to the principal while somebody follows the run. While
// nobody does they cost nothing but a look at a flag. What is told is not spooled: the line is, when it ends.

// agentLiveAfter is how long after something was read it is told that it is a line without an end, and how often at
// most.
const agentLiveAfter = 300 * time.Millisecond

// agentLiveMax bounds the runs that an agent knows to be followed. Of more than these nothing is told before it is
// stored.
const agentLiveMax = 1000

// agentLive is whether, and of what, a run is told.
type agentLive struct {
	on   atomic.Bool       // somebody follows it
	due  atomic.Bool       // it is to be told soon
	told map[string]string // by tag and stream, what was; the loop's
}

// unendedOf makes what is called when a process has written a line without an end. Any goroutine may call that.
func (a *agent) unendedOf(r *agentRun) func() {
	return func() {
		if r.live.on.Load() && r.live.due.CompareAndSwap(false, true) {
			time.AfterFunc(agentLiveAfter, func() { a.call(func() { a.tellLive(r) }) })
		}
	}
}

// follow begins to tell, or ends it, because the principal says so; perhaps before it gives the run to this agent.
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

// beginLive tells what a run has begun to write, if somebody follows it.
func (a *agent) beginLive(r *agentRun) {
	r.live.told = map[string]string{}
	r.live.on.Store(a.followed[r.as.Run])
	a.tellLive(r)
}

// followNone ends it for all runs: the connection is over.
func (a *agent) followNone() {
	clear(a.followed)
	for _, r := range a.runs {
		r.live.on.Store(false)
	}
}

// tellLive tells the lines without an end that were not told yet.
func (a *agent) tellLive(r *agentRun) {
	r.live.due.Store(false)
	if !r.live.on.Load() || a.runs[r.as.Run] != r || a.conn == nil || !a.welcomed {
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
			text, key := strings.ToValidUTF8(t.proc.unended(stream == "e"), "\uFFFD"), stream+t.task().ID
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

// ended notes that a line has ended: what is told next of its stream is another.
func (l *agentLive) ended(line *LogLine) {
	if l.on.Load() {
		delete(l.told, line.Stream+line.Task)
	}
}
