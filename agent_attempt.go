// agent_attempt.go: an attempt of a task on an agent. It is noted, prepared, started, read and judged, and perhaps
// stopped or tried again. The agent's loop does all of it but what runs in a step (agent_step.go). What a task is
// given, its environment above all, is made in agent_environ.go.

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	attemptBegins    = 32 // attempts of a run that are prepared at once; that they begin is noted together
	attemptLeftNames = 3  // so many of the processes that a task left behind are named
)

// taskTry is a task at work: one attempt, or the wait for the next.
type taskTry struct {
	run     *agentRun
	index   int // of the task in the workflow
	attempt int

	// It has a place of max_active_tasks, but not while it waits for its next attempt.
	placed bool

	// What goes on: a step while the attempt is prepared and started or its outputs are read, the process from its
	// start to its end, and a timer while the task waits for its next attempt. Those that do not go on are nil.
	step  *step
	proc  *proc
	timer *time.Timer

	// When the first attempt began, and when this one did. output is the file $CDKTR_OUTPUT.
	began  time.Time
	since  time.Time
	output string

	// limit is the time for what cleans up after the run's timeout, nil when it is under none. late: that, or the run's
	// timeout, has stopped the task: there is no next attempt. stopped is why somebody had this task alone stopped, ""
	// when nobody has.
	limit   *time.Timer
	late    bool
	stopped string
}

// task gives the task as the workflow has it.
func (t *taskTry) task() *Task { return &t.run.as.Spec.Tasks[t.index] }

// nextTries gives the tasks of a run that there is room for, first those that were tried before, and gives each its
// place. It waits until half of the last ones are prepared, so that several are noted at once.
func (a *agent) nextTries(r *agentRun) (tries []*taskTry) {
	if r.stopState != "" || r.begins > attemptBegins/2 {
		return nil
	}
	limit := r.as.Spec.MaxActiveTasks
	hasPlace := func() bool { return r.begins < attemptBegins && (limit == 0 || r.places < limit) }
	for len(r.due)+len(r.ready) > 0 && hasPlace() {
		var t *taskTry
		if len(r.due) > 0 {
			t, r.due = r.due[0], r.due[1:]
		} else {
			t = &taskTry{run: r, index: r.ready[0], began: a.now()}
			r.ready = r.ready[1:]
			r.tries[t.index] = t
		}
		t.placed = true
		r.places++
		r.begins++
		tries = append(tries, t)
	}
	return tries
}

// startTasks begins the next attempts of tasks of one run. The events that say so are on disk before the first of them
// begins: after a crash nobody takes a task that may have run for one that has not.
func (a *agent) startTasks(tries []*taskTry) {
	for _, t := range tries {
		t.attempt++
		t.since = a.now()
		t.output = filepath.Join(a.cfg.folder("out"),
			t.run.as.Run+"."+strconv.Itoa(t.index)+"."+strconv.Itoa(t.attempt))
		a.emit(t.run, &Event{Kind: evTaskStarted, Task: t.task().ID, Attempt: t.attempt})
	}
	a.spoolTurn() // with what is new of other runs: it is one write
	for _, t := range tries {
		a.limitCleanup(t)
		a.startTask(t)
	}
}

// startTask prepares an attempt and begins its process, in a step.
func (a *agent) startTask(t *taskTry) {
	start := attemptStart{t: t, run: t.run.as, dag: t.run.dag, outputs: t.run.outputs, budget: t.run.budget,
		rest: t.run.restOf(t), index: t.index, attempt: t.attempt, output: t.output, since: t.since}
	a.stepBegin(t, func(s *step) func() {
		err := a.runStart(s, &start)
		return func() {
			t.run.begins--
			if err != nil {
				a.taskEnded(t, procResult{Exit: procNoExit, Reason: err.Error()}, nil)
			} else {
				a.taskStarted(t, s)
			}
		}
	}, func(reason string) {
		t.run.begins--
		a.taskEnded(t, procResult{Exit: procNoExit, Reason: reason}, nil)
	})
}

// attemptStart is what the start of an attempt needs to know away from the loop. Nothing of it changes meanwhile.
type attemptStart struct {
	t       *taskTry // only to name it to the loop
	run     *assignment
	dag     *dag
	outputs []taskOutputs // of the tasks before it alone
	budget  *procBudget
	rest    func(procRest)
	index   int
	attempt int
	output  string
	since   time.Time
}

// runStart prepares an attempt and begins its process, which it leaves in the step. It is the work of a step.
func (a *agent) runStart(s *step, start *attemptStart) error {
	spec, warnings, err := a.procSpecOf(s, start)
	if err != nil {
		return err
	}
	if len(warnings) > 0 { // before the first line of the process
		a.call(func() {
			for _, w := range warnings {
				if !s.over {
					a.remark(start.t.run, start.t, w)
				}
			}
		})
	}
	p, err := a.procs.begin(s.ctx, spec)
	if err != nil {
		return err
	}
	s.proc.Store(p)
	over := func(res procResult) { a.procOver(s, p, start.output, res) }
	if !p.then(over) {
		over(p.result())
	}
	if s.given() {
		p.kill(errStepGivenUp.Error())
	}
	return nil
}

// procSpecOf says which process an attempt is: its arguments, environment and folder.
func (a *agent) procSpecOf(s *step, start *attemptStart) (spec procSpec, warnings []string, err error) {
	dir := filepath.Dir(start.output)
	s.at("make the folder " + dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return spec, nil, fmt.Errorf("make folder for outputs: %w", err)
	}
	s.at("read " + userFile)
	values, warnings, err := environOfTask(a.environ.copy(), start.run, start.dag, start.index, start.attempt,
		start.outputs, start.output, s.at)
	if err != nil {
		return spec, nil, err
	}
	task, output := &start.run.Spec.Tasks[start.index], a.outputOf(start.t)
	return procSpec{Argv: values.argv, Env: values.env, Dir: values.dir, Timeout: time.Duration(task.Timeout),
		Begun: start.since, Grace: a.cfg.Grace, Budget: start.budget,
		Cookie: attemptCookie(a.cfg.StateDir, start.run.Run, task.ID, start.attempt),
		Stage:  s.at,
		Rest:   start.rest, Unended: a.unendedOf(start.t.run), Left: a.leftOf(agentAttempt{start.run.Run,
			start.run.Lease, task.ID, start.attempt}),
		Output: func(l procLines) {
			if !s.given() {
				output(l)
			}
		}}, warnings, nil
}

// attemptCookie is what the processes of an attempt carry: FOLDER|RUN|TASK|ATTEMPT. The folder is the agent's. A | in
// it is written as %7C, so that the first | ends it, whatever run and task are called.
func attemptCookie(state, run, task string, attempt int) string {
	return attemptFolder(state) + "|" + run + "|" + task + "|" + strconv.Itoa(attempt)
}

// attemptCookieOf takes apart a cookie of the agent with that folder. The name of its task may have a | in it. ok is
// false for a cookie of another agent, and for what no agent writes.
func attemptCookieOf(cookie, state string) (of agentAttempt, ok bool) {
	f := strings.Split(cookie, "|")
	last := len(f) - 1
	if last < 3 || f[0] != attemptFolder(state) {
		return of, false
	}
	attempt, err := strconv.Atoi(f[last])
	return agentAttempt{Run: f[1], Task: strings.Join(f[2:last], "|"), Attempt: attempt}, err == nil
}

// attemptFolder gives a folder as it stands in a cookie.
func attemptFolder(state string) string {
	return strings.ReplaceAll(strings.ReplaceAll(state, "%", "%25"), "|", "%7C")
}

// taskStarted notes the process of an attempt. That may be over already.
func (a *agent) taskStarted(t *taskTry, s *step) {
	t.proc = s.proc.Load()
	a.goOn(t.run, nil, nil)
	if s.ended != nil {
		s.ended()
	}
}

// procOver is called by whoever saw the end of the process of an attempt: it has the loop go on, once that has heard of
// the start.
func (a *agent) procOver(s *step, p *proc, file string, res procResult) {
	// that there is no file, as for most tasks, our own folder says at once
	_, err := os.Lstat(file)
	t := s.try
	ended := func() {
		if errors.Is(err, os.ErrNotExist) {
			a.taskEnded(t, t.judged(res, nil, nil), nil)
		} else {
			a.procEnded(t, res)
		}
	}
	a.call(func() {
		switch {
		case t.proc == p:
			ended()
		case !s.over: // else the step was given up
			s.ended = ended
		}
	})
}

// procEnded reads the outputs that a process has written, once it has ended. The file is in our own folder, but may be
// a link to anywhere.
func (a *agent) procEnded(t *taskTry, res procResult) {
	file := t.output
	a.stepBegin(t, func(s *step) func() {
		s.at("read its outputs, $CDKTR_OUTPUT")
		outputs, err := outputsRead(file)
		return func() { a.taskEnded(t, t.judged(res, outputs, err), outputs) }
	}, func(reason string) {
		res.Reason = orDefault(res.Reason, reason)
		a.taskEnded(t, res, nil)
	})
}

// judged gives the result of an attempt once its outputs are known. Outputs that cannot be read, or with which those of
// the whole run are too many, are a failure: a run must fit into a message.
func (t *taskTry) judged(res procResult, outputs map[string]string, err error) procResult {
	if err == nil && t.run.handed+outputsSize(outputs) > outputsRunMax {
		err = fmt.Errorf("outputs of this run are more than %d KiB as JSON in all: write large data to a file and "+
			"hand on its name", outputsRunMax>>10)
	}
	if err != nil && res.Reason == "" {
		res.Reason = err.Error()
	}
	return res
}

// attemptExit gives the exit code of an attempt, nil where there was no process.
func attemptExit(res procResult) *int {
	if res.Exit == procNoExit {
		return nil
	}
	return &res.Exit
}

// taskEnded looks at an attempt that is over: the task is done, or tried again later. outputs are those of an attempt
// that has succeeded.
func (a *agent) taskEnded(t *taskTry, res procResult, outputs map[string]string) {
	r, task := t.run, t.task()
	t.proc = nil
	if t.placed {
		t.placed = false
		r.places--
	}
	if n := len(res.Left); n > 0 {
		a.remark(r, t, fmt.Sprintf("the task left processes behind, which are being ended (%d): %s", n,
			strings.Join(res.Left[:min(n, attemptLeftNames)], ", ")))
	}
	if left := a.left.live[t.attemptOf()]; len(left.said) > 0 {
		a.remark(r, t, fmt.Sprintf("processes of the task could not be ended and go on (%d): %s", len(left.said),
			leftText(left.said)))
	}
	e := &Event{Kind: evTaskFinished, Task: task.ID, Attempt: t.attempt, Reason: res.Reason, Exit: attemptExit(res)}
	switch {
	case res.Reason == "":
		e.State, e.Outputs = taskSucceeded, outputs
	case r.stopState == runCancelled:
		e.State, e.Reason = taskCancelled, r.stopReason
	case r.stopState == runCrashed:
		e.State, e.Reason = taskCrashed, r.stopReason
	case t.stopped != "":
		e.State, e.Reason = taskCancelled, t.stopped
	case r.stopState == "" && !t.late && t.attempt <= task.Retries:
		a.retryLater(t, res)
		return
	default:
		e.State = taskFailed
	}
	a.endTask(t, e)
}

// attemptDelay gives how long to wait after an attempt: retry_delay, doubled each time up to retry_max_delay, give or
// take a fifth.
func attemptDelay(task *Task, attempt int) time.Duration {
	delay, most := time.Duration(task.RetryDelay), time.Duration(task.RetryMaxDelay)
	for n := 1; n < attempt && (most == 0 || delay < most) && delay < 24*time.Hour; n++ {
		delay *= 2
	}
	if most > 0 {
		delay = min(delay, most)
	}
	return delay + time.Duration((rand.Float64()*0.4-0.2)*float64(delay))
}

// retryLater waits for the next attempt (attemptDelay). The task's place is for others meanwhile.
func (a *agent) retryLater(t *taskTry, res procResult) {
	task, delay := t.task(), attemptDelay(t.task(), t.attempt)
	a.emit(t.run, &Event{Kind: evTaskRetrying, Task: task.ID, Attempt: t.attempt, Exit: attemptExit(res),
		Seconds: secondsBetween(t.since, a.now()),
		Reason: fmt.Sprintf("%s%s%d of %d in %s", res.Reason, stateAgain, t.attempt+1, task.Retries+1,
			delay.Round(10*time.Millisecond))})
	t.timer = time.AfterFunc(delay, func() {
		a.call(func() {
			if t.timer != nil {
				t.timer = nil
				t.run.due = append(t.run.due, t)
				a.goOn(t.run, nil, nil)
			}
		})
	})
	a.goOn(t.run, nil, nil)
}

// stopTry ends a task at work: its process, what prepares it or reads its outputs, or the wait for its next attempt.
func (a *agent) stopTry(t *taskTry, reason string, force bool) {
	p := t.proc
	if t.step != nil && p == nil {
		p = t.step.proc.Load() // started, and the loop is about to hear of it
	}
	s := t.step
	lives := p != nil && (s == nil || t.proc == nil) // else a step reads the outputs of a process that has ended
	switch {
	case lives && force:
		p.kill(reason)
	case lives:
		p.stop(reason)
	case s != nil:
		s.giveUp()
		s.late(reason)
		a.stepNext()
	case t.timer != nil:
		t.timer.Stop()
		t.timer = nil
		a.taskEnded(t, procResult{Exit: procNoExit, Reason: reason}, nil)
	case slices.Contains(t.run.due, t):
		t.run.due = slices.DeleteFunc(t.run.due, func(o *taskTry) bool { return o == t })
		a.taskEnded(t, procResult{Exit: procNoExit, Reason: reason}, nil)
	}
}
