// agent_handlers.go: what an agent does once the graph of a run is over, where the workflow has on_failure, on_success
// or on_exit for that. Each of these handlers is a graph, which the run walks after its own. The way: the graph is over
// (graphOver); the end of the output is spooled, and the files that handlers read are written (prepare); the
// principal is told how the run ended, and has that safe (begin); then one handler after the other
// (next); then the run has ended. Until the principal has it safe no handler begins, so that it always knows of
// a handler that may have run: one runs once, whoever is lost meanwhile. All of it is done by the agent's loop, but for
// what agentKept writes.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// agentHandlers sees to the handlers of the runs of an agent. It is the agent; all of it is done by the agent's loop.
type agentHandlers struct{ *agent }

// agentEnd is how a run ended, and which handlers it is still to have.
type agentEnd struct {
	state, reason string
	failed        []string // tasks that failed or were stopped
	started       Stamp
	seconds       float64

	stage int
	n     uint64   // from stage endTold on: the number of the report of it
	due   []string // handlers that have not begun, in order
}

// The stages of the end of a run that has handlers.
const (
	endTail  = iota // the end of its output is being spooled
	endFiles        // what handlers read is being written
	endTold         // it is reported, and the principal does not have that safe yet
	endWalk         // its handlers run
)

// graphOver goes on with a run whose graph is over, its own or that of a handler: with a handler, or with its end.
func (h agentHandlers) graphOver(r *agentRun, state, reason string) {
	switch {
	case r.end == nil && r.hasHandlers(state):
		h.endGraph(r, state, reason)
	case r.end == nil:
		h.finishRun(r, state, reason)
	case r.stopState != "":
		h.skip(r)
		h.finishRun(r, r.end.state, r.end.reason)
	case r.end.stage == endTail && !r.spoolingTail:
		h.prepare(r)
	case r.end.stage == endWalk:
		h.next(r)
	}
}

// hasHandlers says whether the run, which ends in this state, is to have handlers now. Not if the principal will try it
// again (fleet.afterRun): they follow the last attempt. Nor if this agent gives it up: another one has them done.
func (r *agentRun) hasHandlers(state string) bool {
	if r.dropIt || r.givenUp || r.forced || state == runCrashed || len(r.as.Spec.handlersFor(state)) == 0 {
		return false
	}
	again := state == runFailed && r.as.Attempt <= r.as.Spec.Retries && !r.taskStopped
	return !again
}

// endGraph fixes how a run ended. What comes from here on does not change that.
func (h agentHandlers) endGraph(r *agentRun, state, reason string) {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.end = &agentEnd{state: state, reason: protoReason(reason), started: stampOf(r.began),
		seconds: secondsBetween(r.began, h.now()), due: r.as.Spec.handlersFor(state)}
	for i := range r.tasks {
		if r.prog != nil && dagFailed(r.prog.states[i]) && !r.prog.allowed[i] { // nil: only its `if` was asked
			r.end.failed = append(r.end.failed, r.tasks[i].ID)
		}
	}
	r.stopState, r.stopReason, r.late = "", "", ""
	if !h.tailFirst(r, func() { h.graphOver(r, state, reason) }) {
		h.prepare(r)
	}
}

// prepare has the files written that handlers read, and then tells the principal how the run ended.
func (h agentHandlers) prepare(r *agentRun) {
	r.end.stage = endFiles
	h.workers.Go(func() {
		fault := r.kept.finish(r.end.failed)
		h.call(func() {
			if h.runs[r.as.Run] != r || r.stopState != "" {
				return
			}
			h.bound(r) // what handlers write counts by itself
			r.endedAt = time.Time{}
			if fault != nil {
				h.remark(r, nil, "handlers do not get all output: "+fault.Error())
			}
			if r.as.End != nil { // the principal knows how it ended
				r.end.stage = endWalk
				h.next(r)
				return
			}
			h.emit(r, &Event{Kind: evRunEnding, State: r.end.state, Reason: r.end.reason, Seconds: r.end.seconds})
			h.spoolTurn()
			r.end.stage, r.end.n = endTold, h.spool.last
			h.ending = append(h.ending, r)
			h.begin(h.spool.acked)
		})
	})
}

// begin begins the handlers of the runs of which the principal has the end safe: all reports up to number n.
func (h agentHandlers) begin(n uint64) {
	waiting := h.ending
	h.ending = nil
	for _, r := range waiting {
		switch {
		case h.runs[r.as.Run] != r || r.stopState != "":
		case r.end.n > n:
			h.ending = append(h.ending, r)
		default:
			r.end.stage = endWalk
			h.next(r)
		}
	}
}

// owed begins a run that was given to this agent for its handlers alone.
func (h agentHandlers) owed(r *agentRun) {
	as, end := r.as, r.as.End
	r.end = &agentEnd{state: end.State, reason: end.Reason, started: end.Started, seconds: end.Seconds}
	for _, t := range as.Done {
		if t.Handler == "" && t.Of == "" && dagFailed(t.State) && !t.Allowed {
			r.end.failed = append(r.end.failed, t.Task)
		}
	}
	for _, name := range as.Spec.handlersFor(end.State) {
		if !slices.ContainsFunc(as.Done, func(t TaskRun) bool { return t.Handler == name }) {
			r.end.due = append(r.end.due, name)
		}
	}
	h.prepare(r)
}

// next walks the next handler of a run; after the last one the run has ended.
func (h agentHandlers) next(r *agentRun) {
	if len(r.end.due) == 0 {
		h.finishRun(r, r.end.state, r.end.reason)
		return
	}
	name := r.end.due[0]
	r.end.due = r.end.due[1:]
	given := r.given
	if given == nil {
		given = r.givenHandlers()
	}
	tasks := r.as.Spec.handler(name)
	r.agentWalk = agentWalk{handler: name, tasks: tasks, outputs: make([]taskOutputs, len(tasks)), given: given}
	d, err := dagBuild(tasks)
	if err != nil { // a file like that does not load
		h.cfg.Log.Error("internal error", "run", r.as.Run, "cause", err)
		h.next(r)
		return
	}
	prog, ready, skipped := d.begin(nil)
	r.dag, r.prog = d, prog
	h.goOn(r, ready, skipped)
}

// skip reports what does not begin any more of the handlers of a run, because a person has stopped them. What
// this agent gives up it does not report: another one may begin it.
func (h agentHandlers) skip(r *agentRun) {
	if r.stopState != runCancelled || r.end.stage < endTold {
		return
	}
	skip := func(t *Task, state string) {
		h.emit(r, &Event{Kind: evTaskFinished, Task: t.ID, State: state, Reason: r.stopReason})
	}
	for i := range r.tasks {
		switch {
		case r.handler == "":
		case r.prog.states[i] == taskWaiting:
			skip(&r.tasks[i], taskSkipped)
		case r.prog.states[i] == taskRunning: // with foreach, and none of its instances is at work
			skip(&r.tasks[i], taskCancelled)
		}
	}
	for _, name := range r.end.due {
		for i := range r.as.Spec.handler(name) {
			skip(&r.as.Spec.handler(name)[i], taskSkipped)
		}
	}
	r.end.due = nil
}

// agentGiven is what the tasks of a handler are told of their run. It does not change once it is made.
type agentGiven struct {
	facts   [][2]string // variables
	kept    *agentKept
	log     string // the file $CDKTR_LOG
	tasks   []Task // of the workflow's graph
	outputs []taskOutputs
}

// givenHandlers makes what the handlers of a run are told. The run is at its own graph.
func (r *agentRun) givenHandlers() *agentGiven {
	started := ""
	if !r.end.started.IsZero() {
		started = r.end.started.Format("2006-01-02T15:04:05Z")
	}
	return &agentGiven{kept: r.kept, log: r.kept.path, tasks: r.tasks, outputs: r.outputs, facts: [][2]string{
		{"CDKTR_RUN_STATE", r.end.state},
		{"CDKTR_REASON", strings.ReplaceAll(r.end.reason, "\x00", "")},
		{"CDKTR_FAILED_TASKS", strings.Join(r.end.failed, " ")},
		{"CDKTR_STARTED_AT", started},
		{"CDKTR_SECONDS", strconv.Itoa(int(r.end.seconds))},
	}}
}

// setOutputs sets all that the tasks of the run handed on. Of two with one key the one that ended later wins.
func (g *agentGiven) setOutputs(env *environ) {
	order := make([]int, len(g.outputs))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return g.outputs[order[i]].order < g.outputs[order[j]].order })
	for _, i := range order {
		for _, key := range sortedKeys(g.outputs[i].values) {
			env.set(key, g.outputs[i].values[key])
		}
	}
}

// setFacts sets what is known of the run.
func (g *agentGiven) setFacts(env *environ) {
	for _, fact := range g.facts {
		env.set(fact[0], fact[1])
	}
	env.set("CDKTR_TAIL", g.log+agentKeptTail)
	env.set("CDKTR_LOG", g.log)
}

// forUser gives the same for tasks of another user, who cannot reach into the agent's folder: with copies of the files.
// It waits for the disk.
func (g *agentGiven) forUser(user *procUser) (*agentGiven, error) {
	log, err := g.kept.copyFor(user)
	if err != nil {
		return nil, err
	}
	theirs := *g
	theirs.log = log
	return &theirs, nil
}

// output gives the value of a reference to an output, as load.outputs.rows. It is empty where the task has handed on no
// such thing: an alarm must not fail because of what it tells of.
func (g *agentGiven) output(rest string) (value string, ok bool) {
	for i := range g.tasks {
		if key, its := strings.CutPrefix(rest, g.tasks[i].ID+".outputs."); its {
			return g.outputs[i].values[key], true
		}
	}
	return "", false
}

// within gives a reference to an output as it would name a task of this graph: in a handler tasks are named without
// the handler's name.
func (w *agentWalk) within(rest string) string {
	if w.handler == "" {
		return rest
	}
	return handlerTask(w.handler, rest)
}

// From here on: what the tasks of a run have written, for its handlers.

const (
	agentKeptLast = 100     // lines of each task that are in $CDKTR_TAIL at most, and of all together
	agentKeptTail = ".tail" // ends the name of the file $CDKTR_TAIL
)

// agentKeptDir is the folder of what runs with handlers have written. A new life of the agent begins with an empty one.
func agentKeptDir(state string) string { return filepath.Join(state, "handlers") }

// keep has what the tasks of a run write kept for its handlers.
func (h agentHandlers) keep(r *agentRun) {
	name := r.as.Run + "." + strconv.Itoa(r.as.Lease)
	r.kept = &agentKept{path: filepath.Join(agentKeptDir(h.cfg.StateDir), name), last: map[string][]agentKeptLine{},
		others: userOutFolder(h.cfg.StateDir) + name + "."}
}

// agentKept is the file $CDKTR_LOG: the output of a run that is kept. It is written as the output comes, without
// remarks of our own. Any goroutine but the loop's may call its methods; each may wait for the disk.
type agentKept struct {
	path   string
	others string // what the folders with copies for other users begin with; the user's number follows

	mu    sync.Mutex
	f     *os.File // nil: nothing was written
	size  int64
	last  map[string][]agentKeptLine // by task: its newest lines, agentKeptLast of them and up to as many more
	fault error                      // the first reason why something was not kept
	over  bool                       // the graph is over: what handlers write is not for them

	copies []string // folders with copies for other users
}

// agentKeptLine is a line of that file.
type agentKeptLine struct {
	at  int64
	len int
}

// add puts lines of a task behind the others. The last one need not have its newline.
func (k *agentKept) add(task string, text []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over || k.fault != nil || len(text) == 0 {
		return
	}
	if text[len(text)-1] != '\n' {
		text = append(slices.Clip(text), '\n')
	}
	if k.fault = k.write(text); k.fault != nil {
		return
	}
	task, _, _ = strings.Cut(task, "[") // of an instance the task
	lines, at := k.last[task], k.size-int64(len(text))
	for line := range strings.Lines(string(text)) {
		lines = append(lines, agentKeptLine{at, len(line)})
		at += int64(len(line))
		if len(lines) == 2*agentKeptLast {
			lines = lines[:copy(lines, lines[agentKeptLast:])]
		}
	}
	k.last[task] = lines
}

// write puts text at the end of the file, which it makes if there is none.
func (k *agentKept) write(text []byte) (err error) {
	if k.f == nil {
		if err = os.MkdirAll(filepath.Dir(k.path), 0o700); err == nil {
			k.f, err = os.OpenFile(k.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if err != nil {
			return err
		}
	}
	if err = diskRoom(k.f, len(text)); err != nil {
		return err
	}
	_, err = k.f.WriteAt(text, k.size)
	if err == nil {
		k.size += int64(len(text))
	}
	return err
}

// finish writes the file $CDKTR_TAIL: the newest lines of these tasks, or of all where there are none. Both files are
// there from then on. It gives the reason why something is not in them, nil when all is.
func (k *agentKept) finish(tasks []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return nil
	}
	k.over = true
	if err := k.write(nil); k.fault == nil {
		k.fault = err
	}
	var lines []agentKeptLine
	for _, task := range tasks {
		lines = append(lines, k.last[task]...)
	}
	if len(tasks) == 0 {
		for _, task := range sortedKeys(k.last) {
			lines = append(lines, k.last[task]...)
		}
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i].at < lines[j].at })
	lines = lines[max(0, len(lines)-agentKeptLast):]
	var text []byte
	for _, line := range lines {
		part := make([]byte, line.len)
		if _, err := k.f.ReadAt(part, line.at); err != nil {
			break
		}
		text = append(text, part...)
	}
	if err := os.WriteFile(k.path+agentKeptTail, text, 0o600); k.fault == nil {
		k.fault = err
	}
	return k.fault
}

// copyFor copies both files into a folder of a user's own, once, and gives the copy of $CDKTR_LOG.
func (k *agentKept) copyFor(user *procUser) (log string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	dir := k.others + strconv.FormatUint(uint64(user.UID), 10)
	log = filepath.Join(dir, "log")
	if slices.Contains(k.copies, dir) {
		return log, nil
	}
	if err := userOutMake(log, user); err != nil {
		return "", err
	}
	for _, end := range []string{"", agentKeptTail} {
		from, err := diskOpen(k.path+end, os.O_RDONLY)
		if err != nil {
			return "", err
		}
		err = attemptWrite(log+end, from, user)
		from.Close()
		if err != nil {
			return "", err
		}
	}
	k.copies = append(k.copies, dir)
	return log, nil
}

// remove takes the files away.
func (k *agentKept) remove() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	if k.f != nil {
		k.f.Close()
	}
	os.Remove(k.path)
	os.Remove(k.path + agentKeptTail)
	for _, dir := range k.copies {
		os.RemoveAll(dir)
	}
}
