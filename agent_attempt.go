// agent_attempt.go: an attempt of a task on an agent. It is noted, prepared, started, read and judged, and perhaps
// stopped or tried again. The agent's loop does all of it but what runs in a step (agent_step.go). What a task is
// given, its environment above all, is made in agent_environ.go.

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	attemptBegins    = 32        // attempts of a run that are prepared at once; that they begin is noted together
	attemptLeftNames = 3         // so many of the processes that a task left behind are named
	attemptScript    = ".script" // ends the name of a file with the script of an attempt
)

// taskTry is a task at work: one attempt, or the wait for the next.
type taskTry struct {
	run     *agentRun
	of      *Task
	index   int // of the task in its graph
	attempt int

	// The task with foreach that it is an instance of, and the place of its item; nil for any other task.
	fan  *taskFan
	item int

	// It has a place of max_active_tasks, but not while it waits for its next attempt.
	placed bool

	// What goes on: a step while the attempt is prepared and started or its outputs are read, the process from its
	// start to its end, and a timer while the task waits for its next attempt. Those that do not go on are nil.
	step  *step
	proc  *proc
	timer *time.Timer

	// It has asked the principal, and waits for the answer; timer is its timeout then, nil where it has none. said is
	// why it was answered so. ending is why it has the run stopped that it waits for, "" when it has not. pooled: it
	// has the places in pools that its next attempt needs, or that the present one has.
	asking bool
	pooled bool
	ending string
	said   string
	parted bool // what it has asked for is that another agent does it

	// When the first attempt began, and when this one did. output is the file $CDKTR_OUTPUT.
	began  time.Time
	since  time.Time
	output string

	// guarding: the process is that of the task's `if`. passed: that has said yes.
	guarding, passed bool

	// limit is the time for what cleans up after the run's timeout, nil when it is under none. late: that, or the run's
	// timeout, has stopped the task: there is no next attempt. stopped is why somebody had this task alone stopped, ""
	// when nobody has.
	limit   *time.Timer
	late    bool
	stopped string

	unkept   bool        // the outputs of the attempt that is over cannot be kept: it is no success
	hopeless bool        // the attempt could not begin, and no other could
	mask     *procMask   // hides the secrets of the attempt that goes on; nil: it has none
	repeat   *taskRepeat // nil for a task without repeat, and before its first attempt
}

// live says whether the task is still at work.
func (t *taskTry) live() bool { return t.run.tries[t.key()] == t }

// task gives the task as the workflow has it; for the `if` of the run, a task that has nothing else. Any goroutine may
// ask.
func (t *taskTry) task() *Task { return t.of }

// stopping says whether somebody or something has had the attempt stopped.
func (t *taskTry) stopping() bool { return t.run.stopState != "" || t.late || t.stopped != "" }

// nextTries gives the tasks of a run that there is room for, first those that were tried before, and gives each its
// place. It waits until half of the last ones are prepared, so that several are noted at once.
func (a *agent) nextTries(r *agentRun) (tries []*taskTry) {
	if r.stopState != "" || r.begins > attemptBegins/2 {
		return nil
	}
	limit := r.as.Spec.MaxActiveTasks
	if (len(r.due)+len(r.ready) > 0 || r.fanNext() != nil) && !a.asks.unpark(r) {
		return nil
	}
	hasPlace := func() bool { return r.begins < attemptBegins && (limit == 0 || r.places < limit) }
	for hasPlace() {
		t := r.nextTry(a)
		if t == nil {
			break
		}
		if len(t.task().Pool) > 0 && !t.pooled {
			a.asks.askPool(t)
			continue
		}
		if len(t.task().Agent) > 0 {
			a.asks.askAgent(t)
			continue
		}
		t.placed = true
		r.places++
		r.begins++
		tries = append(tries, t)
	}
	return tries
}

// nextTry gives the next task of a run that may begin: one that was tried before, a new one, or an instance of one with
// foreach. It gives nil when there is none.
func (r *agentRun) nextTry(a *agent) (t *taskTry) {
	for len(r.due) == 0 && len(r.ready) > 0 && r.tasks[r.ready[0]].Foreach != nil {
		index := r.ready[0]
		r.ready = r.ready[1:]
		ready, skipped := r.fanOut(a, index)
		a.emitSkips(r, skipped)
		r.ready = append(r.ready, ready...)
		a.cutLate(r)
	}
	switch f := r.fanNext(); {
	case len(r.due) > 0:
		t, r.due = r.due[0], r.due[1:]
		return t
	case len(r.ready) > 0:
		t = &taskTry{run: r, of: &r.tasks[r.ready[0]], index: r.ready[0], began: a.now()}
		t.goesOn()
		r.ready = r.ready[1:]
	case f != nil:
		t = f.begin(a)
	default:
		return nil
	}
	r.tries[t.key()] = t
	return t
}

// goesOn has a task go on where it was when its run was given back: after the attempts that it has spent, and behind
// its `if`.
func (t *taskTry) goesOn() {
	if len(t.run.as.Spent) == 0 {
		return
	}
	name := t.name()
	at := slices.IndexFunc(t.run.as.Spent, func(spent TaskRun) bool { return spent.Task == name })
	if at >= 0 {
		t.attempt, t.passed = t.run.as.Spent[at].Attempts, true
	}
}

// startTasks begins the next attempts of tasks of one run. The events that say so are on disk before the first of them
// begins: after a crash nobody takes a task that may have run for one that has not.
func (a *agent) startTasks(tries []*taskTry) {
	for _, t := range tries {
		t.attempt++
		t.since, t.unkept = a.now(), false
		t.output = t.outputsFile(&a.cfg)
		e := &Event{Kind: evTaskStarted, Task: t.name(), Attempt: t.attempt}
		if !t.repeatBegan(a, e) {
			a.emit(t.run, e)
		}
	}
	a.spoolTurn() // with what is new of other runs: it is one write
	for _, t := range tries {
		a.limitCleanup(t)
		a.startTask(t)
	}
}

// startTask prepares an attempt and begins its process, in a step.
func (a *agent) startTask(t *taskTry) {
	if t.task().asks() != "" && !t.guards() {
		a.asks.start(t)
		return
	}
	start := attemptStart{t: t, task: t.task(), guards: t.guards(), run: t.run.as, walk: t.run.agentWalk,
		budget: t.run.budget, rest: t.run.restOf(t), index: t.index, attempt: t.attempt, name: t.name(),
		item: t.itemOf(), output: t.output, since: t.since, secrets: secretsOf(&a.cfg)}
	if t.asksUntil() {
		start.asks, start.output = t.repeat.asks, t.output+".until" // which it is not told of
	}
	a.stepBegin(t, func(s *step) func() {
		err := a.runStart(s, &start)
		return func() {
			t.run.begins--
			if err != nil {
				_, t.hopeless = err.(hopelessError)
				a.taskEnded(t, procResult{Exit: procNoExit, Reason: start.front() + err.Error()}, nil)
			} else {
				t.guarding, t.mask = start.guards, start.mask
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
	task    *Task
	guards  bool // what begins is the task's `if`
	run     *assignment
	walk    agentWalk // of its outputs, those of the tasks before it alone
	budget  *procBudget
	rest    func(procRest)
	index   int
	attempt int
	name    string // of the task, or of the instance for the item
	item    *foreachItem
	output  string // the file $CDKTR_OUTPUT
	since   time.Time
	asks    *repeatAsk // not the attempt is started but what looks whether it was the last
	script  string     // a file that is gone with the attempt; "": there is none
	paths   string     // the file $EVENT_PATHS, which goes with this process; "": there is none
	secrets secretStore
	mask    *procMask // hides the attempt's secrets, nil: it has none; set by runStart
	limits  *Limits   // nil: it has none; set by runStart
}

// hopelessError is why an attempt cannot begin and no other attempt could: what it lacks only a person can bring.
type hopelessError struct{ error }

// front is what the reason of a start that fails begins with.
func (start *attemptStart) front() string {
	if start.guards {
		return "if: "
	}
	return ""
}

// runStart prepares an attempt and begins its process, which it leaves in the step. It is the work of a step.
func (a *agent) runStart(s *step, start *attemptStart) (err error) {
	defer func() {
		if err != nil {
			err = start.mask.error(err)
			start.end()
			if userOutFile(start.output) {
				outputsDrop(start.output)
			}
		}
	}()
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
		if start.requests() {
			err = httpNoCurl(err)
		}
		return err
	}
	s.proc.Store(p)
	if lacks := p.lacks(); lacks != "" && !start.guards && start.asks == nil {
		a.call(func() {
			if !s.over {
				a.limitsSay(start.t, lacks)
			}
		})
	}
	over := func(res procResult) {
		if asks := start.guards || start.asks != nil; !asks || !ifSkips(res) { // else it has said no
			limitsReason(start.limits, &res)
		}
		start.end()
		a.procOver(s, p, start, res)
	}
	if !p.then(over) {
		over(p.result())
	}
	if s.given() {
		p.kill(errStepGivenUp.Error())
	}
	return nil
}

// requests says whether what is started is the request of a task, and not what is asked before or behind it.
func (start *attemptStart) requests() bool {
	return start.task.HTTP != nil && !start.guards && start.asks == nil
}

// end removes what was made for the process alone. No loop may call it.
func (start *attemptStart) end() {
	if start.script != "" {
		os.Remove(start.script) // if it stays, it goes with the folder
	}
	if start.paths != "" {
		start.dropPaths()
	}
}

// procSpecOf says which process an attempt is: its arguments, environment and folder.
func (a *agent) procSpecOf(s *step, start *attemptStart) (spec procSpec, warnings []string, err error) {
	dir := a.cfg.folder("out")
	s.at("make the folder " + dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return spec, nil, fmt.Errorf("make folder for outputs: %w", err)
	}
	s.at("read " + userFile)
	env, task := a.environ.copy(), start.task
	env.item = start.item
	user, err := start.userAndFiles(s, env)
	if err != nil {
		return spec, nil, err
	}
	secrets, err := start.secrets.secretsFor(start.run.Spec, task, start.guards, s.at)
	if err != nil {
		return spec, nil, err
	}
	mask := secrets.mask()
	start.mask = mask
	secrets.into(env) // for what refers to them
	var values taskValues
	if start.guards {
		values, warnings, err = environOfIf(env, start.run, &start.walk, task, start.index, start.attempt, start.output,
			s.at)
	} else {
		values, warnings, err = environOfTask(env, start.run, &start.walk, start.index, start.attempt, start.output,
			s.at)
	}
	if err != nil {
		return spec, nil, err
	}
	secrets.into(env)
	output := a.outputOf(start.t)
	start.limits = start.run.Spec.limitsOf(task)
	spec = procSpec{Argv: values.argv, Env: values.env, Dir: values.dir, Stdin: orDefault(values.stdin, task.Stdin),
		Umask: task.Umask,
		User:  user, Mask: start.mask, Limits: limitsFor(start.limits),
		Timeout: time.Duration(task.Timeout),
		Begun:   start.since, StopSignal: attemptSignal(task.StopSignal), Grace: task.graceOr(a.cfg.Grace),
		Budget: start.budget,
		Cookie: attemptCookie(a.cfg.StateDir, start.run.of(), start.name, start.attempt),
		Stage:  func(stage string) { s.at(mask.text(stage)) },
		Rest:   start.rest, Unended: a.unendedOf(start.t.run),
		Left: secretLeft(start.mask, a.leftOf(agentAttempt{start.run.of(), start.run.Lease, start.name,
			start.attempt})),
		Output: func(l procLines) {
			if !s.given() {
				output(l)
			}
		}}
	switch {
	case start.asks != nil:
		start.asks.spec(start.run.Spec, task, env, &spec)
		return spec, nil, nil
	case start.guards:
		spec.Stdin, spec.Timeout, spec.Begun = "", agentIfLimit, time.Time{}
		return spec, warnings, nil
	}
	if task.HTTP != nil {
		httpBound(&spec, s)
	}
	if len(task.Run) > scriptMax {
		start.script = start.output + attemptScript
		s.at("write its script to " + start.script)
		if err := attemptWrite(start.script, strings.NewReader(task.Run), user); err != nil {
			return spec, nil, fmt.Errorf("write its script: %w", err)
		}
	}
	return spec, warnings, nil
}

// attemptWrite writes a file that an attempt reads, for the user whom it is to run as; nil is our own. The folder may
// be that user's, who then may have put a link in the place of the file: it must not be there.
func attemptWrite(file string, text io.Reader, user *procUser) error {
	os.Remove(file) // if something of an earlier attempt stays, the next line says so
	f, err := diskOpen(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, text)
	if err == nil && user != nil {
		err = f.Chown(int(user.UID), int(user.GID))
	}
	return errors.Join(err, f.Close())
}

// userAndFiles gives the user whom an attempt is to run as, nil for our own, and writes the files that it may read.
func (start *attemptStart) userAndFiles(s *step, env *environ) (user *procUser, err error) {
	if name := start.run.Spec.userOf(start.task); name != "" {
		user, err = start.becomes(s, name, env)
		if err != nil {
			return nil, err
		}
	}
	if start.hasPaths() {
		s.at("write the paths of its event")
		if err := start.writePaths(user); err != nil {
			return nil, err
		}
		env.paths = start.paths
	}
	if user != nil && start.walk.given != nil {
		s.at("copy what the tasks have written, for user " + user.Name)
		start.walk.given, err = start.walk.given.forUser(user)
		if err != nil {
			return nil, fmt.Errorf("copy $CDKTR_LOG for user %s: %w", user.Name, err)
		}
	}
	return user, nil
}

// becomes looks up the user whom an attempt is to run as, says so in its environment, and gives it a folder for its
// outputs and the paths of an event, where those are not in ours.
func (start *attemptStart) becomes(s *step, name string, env *environ) (*procUser, error) {
	s.at("read " + userFile + " and " + groupFile)
	user, entry, err := userFor(name, userFile, groupFile, userID())
	if err != nil {
		return nil, hopelessError{err}
	}
	env.become(entry)
	writes := !start.guards && start.asks == nil
	if userOutFile(start.output) && (writes || start.hasPaths()) {
		s.at("make the folder of $CDKTR_OUTPUT")
		if err := userOutMake(start.output, user); err != nil {
			return nil, fmt.Errorf("make folder for outputs: %w", err)
		}
	}
	return user, nil
}

// attemptSignal gives the signal that a stop begins with, by its name without SIG; 0 for none.
func attemptSignal(name string) syscall.Signal {
	if name == "" {
		return 0
	}
	return unix.SignalNum("SIG" + name)
}

// agentGraceMost gives the longest grace among the tasks at work, or the agent's own where that is longer.
func agentGraceMost(runs map[string]*agentRun, own time.Duration) time.Duration {
	most := own
	for _, r := range runs {
		for _, t := range r.tries {
			most = max(most, t.task().graceOr(own))
		}
	}
	return most
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
func (a *agent) procOver(s *step, p *proc, start *attemptStart, res procResult) {
	t := s.try
	var err error
	if !start.guards {
		// that there is no file, as for most tasks, our own folder says at once
		_, err = os.Lstat(start.output)
		if err != nil && userOutFile(start.output) {
			outputsDrop(start.output)
		}
	}
	ended := func() {
		switch {
		case start.guards:
			ifAsker{a}.answered(t, res)
		case errors.Is(err, os.ErrNotExist) && !start.requests():
			a.taskEnded(t, t.judged(res, nil, nil), nil)
		default:
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
	file, mask, read := t.output, t.mask, outputsRead
	if request := t.task().HTTP; request != nil && !t.asksUntil() {
		read = func(file string) (map[string]string, error) { return httpAnswer(request, file) }
	}
	a.stepBegin(t, func(s *step) func() {
		s.at("read its outputs, $CDKTR_OUTPUT")
		outputs, err := read(file)
		if err == nil {
			err = secretOutputs(mask, outputs)
		}
		err = mask.error(err)
		return func() { a.taskEnded(t, t.judged(res, outputs, err), outputs) }
	}, func(reason string) {
		a.taskEnded(t, t.judged(res, nil, errors.New(reason)), nil)
	})
}

// judged gives the result of an attempt once its outputs are known; its reason is "" when it has succeeded. The task
// says which exit codes are a success; a signal never is. Outputs that cannot be read, or with which those of the whole
// run are too many, are a failure: a run must fit into a message.
func (t *taskTry) judged(res procResult, outputs map[string]string, err error) procResult {
	switch {
	case !res.Exited || t.asksUntil():
	case t.task().succeedsWith(res.Exit):
		res.Reason = ""
	case t.task().HTTP != nil:
		res.Reason = httpFailed(res.Exit)
	case res.Exit == 0:
		res.Reason = "exit 0, which success_exit leaves out"
	}
	t.unkept = err != nil && t.task().HTTP == nil // an answer that is not as expected is no fault of its outputs
	if err == nil && t.run.handed+outputsSize(outputs) > outputsRunMax {
		t.unkept, err = true, errors.New("outputs of this run are "+outputsRunText)
	}
	switch {
	case err == nil:
	case res.Reason == "":
		res.Reason = err.Error()
	case t.unkept && t.judge() == "until": // which is not asked
		res.Reason += ", " + err.Error()
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

// attemptUse gives what a process used as the record has it: processor time to the millisecond.
func attemptUse(u procUse) TaskUse {
	return TaskUse{CPU: float64(u.CPU.Round(time.Millisecond).Milliseconds()) / 1000, Memory: u.Memory, Read: u.Read,
		Written: u.Written}
}

// taskEnded looks at an attempt that is over: the task is done, or tried again later. outputs are those of an attempt
// that has succeeded.
func (a *agent) taskEnded(t *taskTry, res procResult, outputs map[string]string) {
	r := t.run
	t.procGone(a, res)
	switch {
	case t.index == ifOfRun:
		ifAsker{a}.noAnswer(t, res)
		return
	case t.asksUntil():
		res, outputs = t.repeatAnswered(res)
	case !t.guarding && t.repeatAsks(a, &res, outputs):
		return
	}
	t.leavePlace()
	e := &Event{Kind: evTaskFinished, Task: t.name(), Attempt: t.attempt, Reason: res.Reason, Exit: attemptExit(res),
		Used: attemptUse(res.Used), Limited: res.Limited}
	switch {
	case res.Reason == "":
		e.State, e.Outputs, e.Reason = taskSucceeded, outputs, t.said
		if res.Exit > 0 {
			e.Reason = fmt.Sprintf("exit %d, a success by %s", res.Exit, t.judge())
		}
	case r.stopState == runCancelled:
		e.State, e.Reason = taskCancelled, r.stopReason
	case r.stopState == runCrashed:
		e.State, e.Reason = taskCrashed, r.stopReason
	case t.stopped != "":
		e.State, e.Reason = taskCancelled, t.stopped
	case !t.stopping() && !t.guarding && !t.hopeless && a.retryLater(t, &res):
		return
	default:
		e.State, e.Reason, e.Allowed = taskFailed, res.Reason, !t.late && t.allows(res)
	}
	a.endTask(t, e)
}

// procGone parts a task from its process, and says in the output what that has left behind.
func (t *taskTry) procGone(a *agent, res procResult) {
	t.proc = nil
	if n := len(res.Left); n > 0 {
		a.remark(t.run, t, fmt.Sprintf("the task left processes behind, which are being ended (%d): %s", n,
			strings.Join(res.Left[:min(n, attemptLeftNames)], ", ")))
	}
	if left := a.left.live[t.attemptOf()]; len(left.said) > 0 {
		a.remark(t.run, t, fmt.Sprintf("processes of the task could not be ended and go on (%d): %s", len(left.said),
			leftText(left.said)))
	}
}

// leavePlace gives back the task's place of max_active_tasks, and its places in pools.
func (t *taskTry) leavePlace() {
	t.pooled = false
	if t.placed {
		t.placed = false
		t.run.places--
	}
}

// allows says whether the task may fail so. A code in the list is one that the process gave: a signal or a time-out has
// none.
func (t *taskTry) allows(res procResult) bool {
	codes := t.task().AllowFailure
	return codes != nil && (len(codes) == 0 || res.Exited && slices.Contains(codes, res.Exit))
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

// retryLater waits for the next attempt, if there is one: every so often for a task with repeat, else as attemptDelay
// says. The task's place is for others meanwhile. When there is none, the reason in res is that of the task's end.
func (a *agent) retryLater(t *taskTry, res *procResult) bool {
	task := t.task()
	e := &Event{Kind: evTaskRetrying, Task: t.name(), Attempt: t.attempt, Exit: attemptExit(*res),
		Seconds: secondsBetween(t.since, a.now()), Used: attemptUse(res.Used), Limited: res.Limited}
	var delay time.Duration
	switch {
	case task.Repeat != nil:
		reason, done := t.repeatAgain(a, *res)
		if done {
			res.Reason = reason
			return false
		}
		e.Reason, delay = reason, time.Duration(task.Repeat.Every)
		t.repeatWaits(a, e)
	case t.attempt > task.Retries:
		return false
	case len(task.RetryExit) > 0 && (res.TimedOut || !slices.Contains(task.RetryExit, res.Exit)):
		res.Reason += ", which retry_exit leaves out: not tried again"
		return false
	default:
		delay = attemptDelay(task, t.attempt)
		e.Reason = fmt.Sprintf("%s%s%d of %d in %s", res.Reason, stateAgain, t.attempt+1, task.Retries+1,
			delay.Round(10*time.Millisecond))
		a.emit(t.run, e)
	}
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
	return true
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
	case t.asking:
		a.asks.stop(t, reason, force)
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
