// principal_asks.go: tasks whose end the principal decides (model_ask.go). An agent reports that a task asks; what
// follows is made of the state alone, each time that something has changed it: so it goes on after a restart, and
// doing it twice does no harm. An answer is an event. It is sent once that is on disk, and again whenever the agent
// says hello, until the agent reports the end of the task. All of it runs on the principal's loop.

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// asksMaxDepth is how deep runs may start runs: a run that nobody's task has started has depth 1.
const asksMaxDepth = 8

// fleetMaxParked is how many runs of an agent take no place of it because they wait for an answer. Further ones do.
const fleetMaxParked = 1000

// asks answers what tasks ask for.
type asks struct {
	*principalLoop
	fleet   *fleet
	catalog *catalog
	enqueue func(*Workflow, runOrder) (string, *protoError)

	open     map[string]bool // runs with a task that asks, or that nobody has told yet that nobody waits any more
	due      map[string]bool // those that this turn is to look at
	checking map[askOf]bool  // tasks whose parameters for another run are being checked, beside the loop
	orphans  []*Run          // runs whose task is not there any more

	// Tasks whose run has ended and is not in memory: how it ended is read from the history, of one after the other,
	// beside the loop. The first of finds is being looked for. finding has them all.
	finds   []askOf
	finding map[askOf]bool
}

// askOf names a task that asks, the assignment of its run, and the run that the task has started; "" when it has none.
type askOf struct {
	run, task string
	lease     int
	child     string
}

// asksNew makes it for a principal of which nobody asks yet.
func asksNew(loop *principalLoop, fleet *fleet, catalog *catalog,
	enqueue func(*Workflow, runOrder) (string, *protoError)) *asks {
	return &asks{principalLoop: loop, fleet: fleet, catalog: catalog, enqueue: enqueue, open: map[string]bool{},
		due: map[string]bool{}, checking: map[askOf]bool{}, finding: map[askOf]bool{}}
}

// observe notes which runs are to be looked at: those of which a task asks when anything happens to them, and the
// parent of a run that has begun to wait or has ended.
func (k *asks) observe(c change) {
	delete(k.open, c.forgotten)
	switch {
	case c.run == nil:
		return
	case c.event.Kind == evTaskAsked:
		k.look(c.run.ID)
		fleetAnswer(k.fleet, c.run, c.run.task(c.event.Task)) // it may have been answered before it was queued again
	case c.event.Kind == evAdopted:
		k.look(c.run.ID)
	case k.open[c.run.ID]:
		k.look(c.run.ID)
	}
	if len(c.event.Items) > 0 && c.run.Lease > 1 {
		k.noteOrphans(c.run, c.event.Task)
	}
	if c.run.Parent != "" && c.moved() {
		k.look(c.run.Parent)
	}
}

// look has this turn look at a run.
func (k *asks) look(run string) { k.open[run], k.due[run] = true, true }

// recall finds what is open in a run when the principal starts.
func (k *asks) recall(r *Run) {
	for i := range r.Tasks {
		if r.Tasks[i].Ask != nil {
			k.look(r.ID)
			return
		}
	}
}

// noteOrphans notes the runs that instances of a task have started which its run does not have any more: its new
// attempt has other items.
func (k *asks) noteOrphans(r *Run, task string) {
	if of := k.taskOf(r, &TaskRun{Task: task}); of == nil || !of.waits() {
		return
	}
	for _, id := range sortedKeys(k.state.Runs) {
		child := k.state.Runs[id]
		if child.Parent == r.ID && runActive(child.State) && r.task(child.ParentTask) == nil &&
			strings.HasPrefix(child.ParentTask, task+"[") {
			k.orphans = append(k.orphans, child)
		}
	}
}

// settle does what has become due in this turn, and what follows from that. It ends: each round answers, starts or
// stops something, and no run is nested deeper than asksMaxDepth.
func (k *asks) settle() {
	for _, child := range k.orphans {
		if runActive(child.State) && child.Cancelling == "" {
			k.fleet.cancelRun(child, fmt.Sprintf("task %s of run %s: its run has no such item any more",
				child.ParentTask, child.Parent), false, "", "")
		}
	}
	k.orphans = nil
	for len(k.due) > 0 {
		due := sortedKeys(k.due)
		clear(k.due)
		for _, id := range due {
			r := k.state.Runs[id]
			if r == nil || !k.attend(r) {
				delete(k.open, id)
			}
		}
	}
}

// attend looks at all tasks of a run that ask. It says whether some of them still do.
func (k *asks) attend(r *Run) (open bool) {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		switch {
		case t.Ask == nil, t.Ask.Answer != nil:
			continue
		case t.Ask.For == askPool && k.pooled(r, t), t.Ask.For == askAgent: // pools and parts look after these
			continue
		case t.asking() && r.ending(t) == "":
			k.attendTask(r, t)
		case t.asking(): // its agent ends it, once the run that it waits for has ended
			k.stopChild(r, t, r.ending(t), r.Force || t.Force)
			k.childStopped(r, t)
		case t.State != taskRunning && t.State != taskCrashed && t.State != taskWaiting: // nobody waits for it any more
			k.stopChild(r, t, orDefault(t.Reason, r.Reason), false)
			k.answer(r, t, TaskAnswer{State: taskCancelled, Reason: "nobody waits for it any more"})
		}
		open = open || t.Ask != nil && t.Ask.Answer == nil
	}
	return open
}

// attendTask does what a task asks for, as far as that is not done, and answers it if it can.
func (k *asks) attendTask(r *Run, t *TaskRun) {
	task := k.taskOf(r, t)
	if task == nil || t.Ask.For != task.asks() {
		k.answer(r, t, TaskAnswer{State: taskFailed, Reason: fmt.Sprintf("its agent asks for %s, and its workflow "+
			"does not say so", textHead(t.Ask.For, protoMaxName))})
		return
	}
	switch {
	case t.Ask.For == askWorkflow:
		k.attendChild(r, t, task)
	case k.cfg.Alone:
		k.answer(r, t, TaskAnswer{State: taskFailed, Reason: "nobody can approve it here (" + t.Ask.Text +
			"): run the " +
			"workflow at a principal"})
	}
}

// pooled says whether a task names pools.
func (k *asks) pooled(r *Run, t *TaskRun) bool {
	task := k.taskOf(r, t)
	return task != nil && len(task.Pool) > 0
}

// taskOf gives a task as its run's version of the workflow has it; nil when there is none.
func (k *asks) taskOf(r *Run, t *TaskRun) *Task {
	if spec := k.state.Versions[r.Version]; spec != nil {
		return spec.task(orDefault(t.Of, t.Task))
	}
	return nil
}

// answer decides how a task ends that asks, and tells its agent.
func (k *asks) answer(r *Run, t *TaskRun, as TaskAnswer) {
	k.answerBy(r, t, as, "", "")
}

// answerBy is answer for what somebody has asked for.
func (k *asks) answerBy(r *Run, t *TaskRun, as TaskAnswer, by, from string) {
	k.emit(&Event{Kind: evTaskAnswered, Run: r.ID, Workflow: r.Workflow, Task: t.Task, State: as.State,
		Reason: protoReason(as.Reason), Outputs: as.Outputs, By: by, From: from})
	fleetAnswer(k.fleet, r, t)
}

// fleetAnswer sends a task's answer to its agent, if there is one and the agent is connected.
func fleetAnswer(f *fleet, r *Run, t *TaskRun) {
	link := f.links[r.Agent]
	if link == nil || r.State != runRunning || t.Ask == nil || t.Ask.Answer == nil {
		return
	}
	m := &agentMsg{Op: msgAnswer, Run: r.ID, Lease: r.Lease, Task: t.Task, Attempt: t.Attempts, Answer: t.Ask.Answer}
	f.whenDurable(func() { link.send(m) })
}

// fleetCountParked counts the runs of each agent that take no place of it.
func fleetCountParked(f *fleet, c change) {
	parked := c.run != nil && c.run.Parked
	if parked == c.parked {
		return
	}
	agent, n := c.agent, -1
	if parked {
		agent, n = c.run.Agent, 1
	}
	f.parked[agent] += n
	f.assignable = true
	if link := f.links[agent]; link != nil {
		f.noteRoom(link)
	}
	f.followers.news.ofAgent(agent)
}

// From here on: tasks that start a run of another workflow.

// attendChild starts the run that a task asks for, or ends the task with it. A run that an earlier attempt of the
// parent has started, and that goes on or has ended meanwhile, is taken over.
func (k *asks) attendChild(r *Run, t *TaskRun, task *Task) {
	child := k.state.Runs[t.Child]
	switch {
	case t.Child == "":
		k.startChild(r, t, task)
	case !task.waits():
		k.answer(r, t, TaskAnswer{State: taskSucceeded})
	case child == nil:
		k.findChild(askOf{r.ID, t.Task, r.Lease, t.Child})
	case !runActive(child.State):
		k.answer(r, t, k.outcomeOf(child))
	}
}

// findChild has the run looked for that a task has started: it has ended, and the history alone has it.
func (k *asks) findChild(of askOf) {
	if k.finding[of] {
		return
	}
	k.finding[of] = true
	k.finds = append(k.finds, of)
	if len(k.finds) == 1 {
		k.findNext()
	}
}

// findNext reads the history beside the loop, for the first of finds.
func (k *asks) findNext() {
	of := k.finds[0]
	k.workers.Go(func() {
		child, err := k.store.historyFind(of.child, func() bool {
			select {
			case <-k.ended:
				return true
			default:
				return false
			}
		})
		k.call(func() {
			delete(k.finding, of)
			k.found(of, child, err)
			if k.finds = k.finds[1:]; len(k.finds) > 0 {
				k.findNext()
			}
		})
	})
}

// found ends a task with the run that it has started, as the history has it. Where that was removed from the history
// the task starts another one.
func (k *asks) found(of askOf, child *Run, err error) {
	r, t := k.stillAsks(of)
	switch {
	case t == nil:
	case k.state.Runs[of.child] != nil: // somebody has queued it again meanwhile
		k.look(r.ID)
	case err == nil:
		k.answer(r, t, k.outcomeOf(child))
	case !errors.Is(err, errHistoryNone):
		k.answer(r, t, TaskAnswer{State: taskFailed,
			Reason: "how run " + of.child + " ended is not known: read history: " + err.Error()})
	default:
		k.startChild(r, t, k.taskOf(r, t))
	}
}

// stillAsks gives the run and the task that were looked after beside the loop; nil when the task waits no more, or has
// another run.
func (k *asks) stillAsks(of askOf) (*Run, *TaskRun) {
	r := k.state.Runs[of.run]
	if r == nil || r.Lease != of.lease {
		return nil, nil
	}
	t := r.task(of.task)
	if t == nil || !t.asking() || r.ending(t) != "" || t.Child != of.child {
		return nil, nil
	}
	return r, t
}

// outcomeOf makes the answer of a run that has ended for the task that has started it.
func (k *asks) outcomeOf(child *Run) TaskAnswer {
	if runWell(child.State) { // one that was skipped hands on nothing
		return k.handedOn(child)
	}
	how := child.State
	if how == runCancelled {
		how = "was cancelled"
	}
	text := fmt.Sprintf("run %s of %s %s", child.ID, child.Workflow, how)
	if child.Reason != "" && child.Reason != "cancelled" {
		text += ": " + child.Reason
	}
	return TaskAnswer{State: taskFailed, Reason: text}
}

// handedOn makes the answer of a run that went well. Which of its tasks are the last ones its version of the workflow
// says, and that is forgotten some time after the run.
func (k *asks) handedOn(child *Run) TaskAnswer {
	spec := k.state.Versions[child.Version]
	if f := k.catalog.files[child.Workflow]; spec == nil && f != nil && f.Spec != nil {
		if k.catalog.hashOf(f.Spec) == child.Version {
			spec = f.Spec
		}
	}
	some := func(t TaskRun) bool { return len(t.Outputs) > 0 }
	switch {
	case spec != nil:
		return TaskAnswer{State: taskSucceeded, Outputs: child.lastOutputs(spec)}
	case slices.ContainsFunc(child.Tasks, some):
		return TaskAnswer{State: taskFailed, Reason: fmt.Sprintf("run %s of %s succeeded, but its version of the "+
			"workflow is not known any more, and without it neither is what the run hands on", child.ID,
			child.Workflow)}
	}
	return TaskAnswer{State: taskSucceeded}
}

// startChild starts the run that a task asks for. Its parameters are checked beside the loop: patterns over long values
// take their time.
func (k *asks) startChild(r *Run, t *TaskRun, task *Task) {
	of := askOf{r.ID, t.Task, r.Lease, t.Child}
	spec, fault := k.childSpec(r, task.Workflow)
	switch {
	case fault != "":
		k.answer(r, t, TaskAnswer{State: taskFailed, Reason: "cannot start " + task.Workflow + ": " + fault})
	case len(t.Ask.Params) == 0:
		k.beginChild(of, spec, nil)
	case !k.checking[of]:
		k.checking[of] = true
		checked := &paramsChecked{spec: spec}
		given := t.Ask.Params
		k.workers.Go(func() {
			checked.params, checked.refused = paramsOf(spec, given)
			k.call(func() {
				delete(k.checking, of)
				k.beginChild(of, spec, checked)
			})
		})
	}
}

// childSpec gives the version of a workflow that is in force, or why no run of it can be started by a task of r.
func (k *asks) childSpec(r *Run, id string) (spec *Workflow, fault string) {
	chain := []string{id}
	for up := r; up != nil; up = k.state.Runs[up.Parent] {
		chain = append(chain, up.Workflow)
		if up.Workflow == id || len(chain) > asksMaxDepth {
			break
		}
	}
	f := k.catalog.files[id]
	switch {
	case chain[len(chain)-1] == id && len(chain) > 1:
		return nil, "it would start itself: " + asksChain(chain)
	case len(chain) > asksMaxDepth:
		return nil, fmt.Sprintf("workflows start each other more than %d deep: %s", asksMaxDepth, asksChain(chain))
	case f == nil:
		return nil, "there is no such workflow"
	case f.Spec == nil:
		return nil, "it does not load"
	}
	if w := k.state.Workflows[id]; w != nil && w.Paused != "" {
		return nil, fmt.Sprintf("it was paused by %s: cdktr resume %s", w.Paused, id)
	}
	return f.Spec, ""
}

// asksChain writes which workflow starts which, from a list that has the last one in front.
func asksChain(ids []string) string {
	var text strings.Builder
	for i := len(ids) - 1; i >= 0; i-- {
		text.WriteString(ids[i])
		if i > 0 {
			text.WriteString(" -> ")
		}
	}
	return text.String()
}

// beginChild queues the run that a task asks for, unless the task has ended or got its run meanwhile.
func (k *asks) beginChild(of askOf, spec *Workflow, checked *paramsChecked) {
	r, t := k.stillAsks(of)
	if t == nil {
		return
	}
	_, refused := k.enqueue(spec, runOrder{trigger: triggerWorkflow, params: t.Ask.Params, checked: checked,
		by: r.By, parent: r.ID, task: t.Task})
	if refused != nil {
		k.answer(r, t, TaskAnswer{State: taskFailed, Reason: "cannot start " + spec.ID + ": " + refused.Message})
		return
	}
	k.look(r.ID)
}

// childStopped answers a task that is being stopped when it has no run to wait for any more.
func (k *asks) childStopped(r *Run, t *TaskRun) {
	child, task := k.state.Runs[t.Child], k.taskOf(r, t)
	switch {
	case t.Ask.For != askWorkflow:
	case child == nil, task == nil || !task.waits():
		k.answer(r, t, TaskAnswer{State: taskFailed, Reason: r.ending(t)})
	case !runActive(child.State):
		k.answer(r, t, k.outcomeOf(child))
	}
}

// stopChild stops the run that a task has started and waits for: the task is being stopped, or has ended. Handlers of
// that run end only by force.
func (k *asks) stopChild(r *Run, t *TaskRun, reason string, force bool) {
	child := k.state.Runs[t.Child]
	if child == nil || !runActive(child.State) {
		return
	}
	if ending := child.Cancelling != "" || child.Ending != ""; ending && (!force || child.Force) {
		return
	}
	if task := k.taskOf(r, t); task == nil || !task.waits() {
		return
	}
	k.fleet.cancelRun(child, fmt.Sprintf("task %s of run %s: %s", t.Task, r.ID, reason), force, "", "")
}
