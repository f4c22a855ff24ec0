// agent_ask.go: tasks that ask the principal (model_ask.go), and wait for its answer: in place of a process, or before
// they begin one. What is asked for is an event, spooled and sent like all others. While a task waits it takes no place
// of max_active_tasks; a run in which nothing else is at work is parked, and takes no place of the agent either. It
// takes one again before anything of it begins. All of it is the loop's, but for the work of a step.

package main

import (
	"slices"
	"time"
)

// agentAsks is what the tasks of an agent ask for, and the runs that are parked for it.
type agentAsks struct {
	a        *agent
	parked   int         // runs that take no place
	waiting  []*agentRun // those of them that want a place again, in order
	recalled bool        // the principal wants some of the parked ones back
}

// start asks for what a task wants. Its parameters are put together in a step: files that it needs for them may
// hang.
func (k *agentAsks) start(t *taskTry) {
	a := k.a
	start := attemptStart{t: t, task: t.task(), run: t.run.as, walk: t.run.agentWalk, index: t.index,
		attempt: t.attempt, item: t.itemOf(), output: t.output, since: t.since}
	a.stepBegin(t, func(s *step) func() {
		env := a.environ.copy()
		env.item = start.item
		values, _, err := environOfTask(env, start.run, &start.walk, start.index, start.attempt, start.output, s.at)
		return func() {
			t.run.begins--
			if err != nil {
				a.taskEnded(t, procResult{Exit: procNoExit, Reason: err.Error()}, nil)
			} else {
				k.tell(t, &values)
			}
		}
	}, func(reason string) {
		t.run.begins--
		a.taskEnded(t, procResult{Exit: procNoExit, Reason: reason}, nil)
	})
}

// tell says to the principal what a task waits for.
func (k *agentAsks) tell(t *taskTry, values *taskValues) {
	a, r := k.a, t.run
	t.leavePlace()
	t.asking = true
	r.asking++
	a.emit(r, &Event{Kind: evTaskAsked, Task: t.name(), Attempt: t.attempt, Asks: t.task().asks(),
		Params: values.params, Reason: values.question})
	if limit, attempt := time.Duration(t.task().Timeout), t.attempt; limit > 0 {
		t.timer = time.AfterFunc(max(limit-a.now().Sub(t.since), 0), func() {
			a.call(func() {
				if t.asking && t.attempt == attempt {
					k.stop(t, "timed out after "+procDuration(limit), false)
				}
			})
		})
	}
	a.goOn(r, nil, nil)
}

// askPool asks for the places in pools that the next attempt of a task needs. The attempt begins with the answer: the
// wait is none of its time.
func (k *agentAsks) askPool(t *taskTry) {
	t.asking = true
	t.run.asking++
	k.a.emit(t.run, &Event{Kind: evTaskAsked, Task: t.name(), Attempt: t.attempt, Asks: askPool})
	k.a.limitCleanup(t)
}

// askAgent asks for another agent that does the task, with all its attempts. Its answer is the end of the task.
func (k *agentAsks) askAgent(t *taskTry) {
	t.asking, t.parted = true, true
	t.run.asking++
	k.a.limitCleanup(t)
	k.a.emit(t.run, &Event{Kind: evTaskAsked, Task: t.name(), Asks: askAgent, Reason: labelsText(t.task().Agent)})
}

// partOver ends a task that another agent has done. Handlers, which do not have its output, are told where that is.
func (k *agentAsks) partOver(t *taskTry, as *TaskAnswer) {
	r, kept, task := t.run, t.run.kept, t.task().ID
	t.asking, t.ending = false, ""
	r.asking--
	if kept == nil {
		k.endPart(t, as)
		return
	}
	where := agentRemark("the output of " + t.name() + " is in cdktr logs " + r.as.Run + ": another agent has done it")
	k.a.workers.Go(func() {
		kept.add(task, []byte(where))
		k.a.call(func() {
			if t.live() {
				k.endPart(t, as)
			}
		})
	})
}

// endPart reports the end of a task that another agent has done.
func (k *agentAsks) endPart(t *taskTry, as *TaskAnswer) {
	r, a := t.run, k.a
	t.began = a.now().Add(-time.Duration(as.Seconds * float64(time.Second)))
	e := &Event{Kind: evTaskFinished, Task: t.name(), Attempt: as.Attempt, State: as.State, Reason: as.Reason,
		Exit: as.Exit, Used: as.Used, Limited: as.Limited, Allowed: as.Allowed}
	switch tooMany := r.handed+outputsSize(as.Outputs) > outputsRunMax; {
	case as.State == taskSkipped, as.State == taskSucceeded && !tooMany:
		e.Outputs = as.Outputs
	case as.State == taskSucceeded:
		e.State, e.Reason = taskFailed, "outputs of this run are "+outputsRunText
	case r.stopState == runCancelled:
		e.State, e.Reason, e.Allowed = taskCancelled, r.stopReason, false
	case r.stopState == runCrashed:
		e.State, e.Reason, e.Allowed = taskCrashed, r.stopReason, false
	case t.stopped != "":
		e.State, e.Reason, e.Allowed = taskCancelled, t.stopped, false
	default:
		e.State, e.Allowed = taskFailed, as.Allowed && !t.late
	}
	a.endTask(t, e)
}

// goOn has the next attempt of a task begin, in front of those that were not given places.
func (k *agentAsks) goOn(t *taskTry) {
	t.asking, t.pooled = false, true
	t.run.asking--
	if t.limit != nil && t.task().Timeout > 0 { // it was that of the wait
		t.limit.Stop()
		t.limit = nil
	}
	t.run.due = inserted(t.run.due, 0, t)
	k.a.goOn(t.run, nil, nil)
}

// hear ends a task as the principal says, or goes on with it. An answer that comes again, or to an earlier attempt,
// says nothing new.
func (k *agentAsks) hear(m *agentMsg) {
	r := k.a.runs[m.Run]
	if r == nil || r.as.Lease != m.Lease || m.Answer == nil {
		return
	}
	for _, t := range r.tries {
		away := len(t.task().Agent) > 0 // its attempts are counted there
		if !t.asking || t.name() != m.Task || t.attempt != m.Attempt && !away {
			continue
		}
		switch goes := m.Answer.State == ""; {
		case goes && t.parted: // it has had its places since: it was told that again
			return
		case goes:
			k.goOn(t)
			return
		case t.parted:
			k.partOver(t, m.Answer)
			return
		}
		res := procResult{Exit: procNoExit}
		if m.Answer.State != taskSucceeded {
			res.Reason = orDefault(t.ending, orDefault(m.Answer.Reason, m.Answer.State))
		}
		t.said = m.Answer.Reason
		k.end(t, t.judged(res, m.Answer.Outputs, nil), m.Answer.Outputs)
		return
	}
}

// askStopLimit is how long a task that is stopped waits for the end of the run that it has started. As a rule that is
// over long before, by the grace of its tasks, and is only waited for so long where nobody can tell.
const askStopLimit = 5 * time.Minute

// stop ends the wait of a task for that reason. One that waits for a run has that stopped, and ends when it has: what
// cleans up behind it must not meet it at work. It ends at once where this agent gives the run up, which leaves the
// other one alone, and when somebody who had it stopped wants it to be killed. One that another agent does ends when
// that says so, or is lost.
func (k *agentAsks) stop(t *taskTry, reason string, force bool) {
	r, task := t.run, t.task()
	waits := (task.Workflow != "" && task.waits() || t.parted) && !r.dropIt && !r.givenUp
	switch {
	case !waits || t.ending != "" && force && !t.parted:
		k.end(t, procResult{Exit: procNoExit, Reason: reason}, nil)
		return
	case t.parted:
		if t.ending == "" || force {
			t.ending = orDefault(t.ending, reason)
			k.a.emit(r, &Event{Kind: evTaskAsked, Task: t.name(), Asks: askAgent, State: taskCancelled, Reason: reason,
				Force: force})
		}
		return
	case t.ending != "":
		return
	}
	t.ending = reason
	k.a.emit(r, &Event{Kind: evTaskAsked, Task: t.name(), Attempt: t.attempt, Asks: askWorkflow, State: taskCancelled,
		Reason: reason})
	if t.timer != nil {
		t.timer.Stop()
	}
	attempt := t.attempt
	t.timer = time.AfterFunc(askStopLimit, func() {
		k.a.call(func() {
			if t.asking && t.attempt == attempt {
				k.end(t, procResult{Exit: procNoExit, Reason: reason}, nil)
			}
		})
	})
}

// end ends the wait of a task.
func (k *agentAsks) end(t *taskTry, res procResult, outputs map[string]string) {
	t.asking, t.ending = false, ""
	t.run.asking--
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	k.a.taskEnded(t, res, outputs)
}

// hasPlace says whether the agent has a place for one more run.
func (k *agentAsks) hasPlace() bool { return len(k.a.runs)-k.parked < k.a.cfg.Capacity }

// park gives the place of a run back if nothing of it is at work, or is to begin.
func (k *agentAsks) park(r *agentRun) {
	onlyAsks := r.asking > 0 && r.asking == len(r.tries) && len(r.ready)+len(r.due) == 0 && r.fanNext() == nil
	if r.parked || !onlyAsks || k.a.runs[r.as.Run] != r {
		return
	}
	r.parked = true
	k.parked++
	k.placeFree()
}

// unpark takes a place again for a run of which something is to begin. It is false when there is none now: then the run
// goes on when there is.
func (k *agentAsks) unpark(r *agentRun) bool {
	if r.parked && !k.hasPlace() {
		if !slices.Contains(k.waiting, r) {
			k.waiting = append(k.waiting, r)
		}
		return false
	}
	k.over(r)
	return true
}

// placeFree gives a place that has become free to the runs that wait for one: first to those that had one before.
func (k *agentAsks) placeFree() {
	for len(k.waiting) > 0 && k.hasPlace() {
		r := k.waiting[0]
		k.waiting = k.waiting[1:]
		k.a.goOn(r, nil, nil)
	}
	k.a.beginAhead()
}

// over notes that a run is not parked any more: it has a place again, or has ended.
func (k *agentAsks) over(r *agentRun) {
	if r.parked {
		r.parked = false
		k.parked--
		k.waiting = slices.DeleteFunc(k.waiting, func(o *agentRun) bool { return o == r })
	}
}

// recall notes that the principal wants back what it can have: all that is parked now.
func (k *agentAsks) recall() {
	k.recalled = k.parked > 0
	for _, r := range k.a.runs {
		r.goes = r.parked
	}
}

// giveBack gives parked runs back that the principal wants, or all of them when the agent takes no more runs: nothing
// of them is at work, and another agent, or this one in its next life, asks again. The principal must have acknowledged
// all that has happened in one before. One that is at its handlers stays, and one in which a task has failed or was
// stopped: that task would run once more.
func (k *agentAsks) giveBack() {
	a := k.a
	if k.parked == 0 || !k.recalled && !a.draining || a.conn == nil || !a.welcomed {
		return
	}
	k.recalled = false
	for _, id := range sortedKeys(a.runs) {
		r := a.runs[id]
		if r == nil || !r.goes && !a.draining {
			continue
		}
		k.recalled = true // until it is gone, or none is left
		if !r.parked {
			continue
		}
		only := r.asking == len(r.tries) && len(r.ready)+len(r.due) == 0 && r.stopState == ""
		for _, t := range r.tries {
			only = only && t.ending == ""
		}
		// what is not spooled would be forgotten with it, and a handler that has begun is begun by nobody else
		if !only || r.size > 0 || r.last > a.spool.acked || r.end != nil || r.goneWrong() {
			continue
		}
		r.dropIt = true
		a.stopRun(r, runCancelled, "it was given back", false)
		a.giveBack(r.as, a.noMore())
	}
}

// goneWrong says whether a task of the run, or an instance, has failed or was stopped, and was not allowed to, or its
// time is over.
func (r *agentRun) goneWrong() bool {
	return r.failed+r.late != "" || slices.ContainsFunc(r.fans, func(f *taskFan) bool { return f.blamed })
}
