// agent_if.go: the `if` of a task, and of a run. It is a shell line that says whether the task, or anything of the run,
// is to happen here and now. That of a task is the first part of its first attempt: it has the attempt's place, number
// and output. That of a run is like a task before all others, of which the graph does not know.

package main

import "time"

const (
	// agentIfLimit is how long an `if` may take: it asks, and does no work.
	agentIfLimit = time.Minute

	// ifOfRun stands in place of a task's index, for the `if` of the run.
	ifOfRun = -1
)

// guards says whether the attempt begins with the task's `if`. It is asked until it has said yes, and then no more.
func (t *taskTry) guards() bool { return t.task().If != "" && !t.passed }

// ifSkips says whether an `if` that ended so has said no. What it cannot have meant is no answer: 126 and more, by
// which a shell says that there was nothing to start; a signal; no end in time.
func ifSkips(res procResult) bool {
	return res.Exited && res.Exit >= 1 && res.Exit <= 125
}

// ifAsker goes on with what an `if` says. It is the agent; all of it is done by the agent's loop.
type ifAsker struct{ *agent }

// beginRun asks whether a run is to go on, before any of its tasks.
func (a ifAsker) beginRun(r *agentRun) {
	r.guard = &Task{If: r.as.Spec.If}
	t := &taskTry{run: r, of: r.guard, index: ifOfRun, began: a.now(), since: a.now()}
	t.output = t.outputsFile(&a.cfg)
	r.tries[ifOfRun] = t
	r.begins++
	a.spoolTurn() // that the run has begun is on disk before anything of it begins, as for every attempt
	a.startTask(t)
}

// answered is told how the process of an `if` ended. One that gave no answer fails its task: that is no attempt that
// could be repeated.
func (a ifAsker) answered(t *taskTry, res procResult) {
	switch yes := res.Reason == ""; {
	case yes && !t.stopping():
		t.procGone(a.agent, res)
		a.goAhead(t)
	case ifSkips(res):
		t.procGone(a.agent, res)
		t.leavePlace()
		a.skip(t, "if: "+res.Reason)
	default:
		if !res.Stopped {
			res.Reason = "if: " + orDefault(res.Reason, "stopped before the task began")
		}
		res.Exit = procNoExit // of the task's own process, which never was
		a.taskEnded(t, res, nil)
	}
}

// goAhead begins what the `if` has said yes to: the task's own process, or the graph of the run.
func (a ifAsker) goAhead(t *taskTry) {
	t.guarding, t.passed, t.since = false, true, a.now()
	if t.index == ifOfRun {
		delete(t.run.tries, ifOfRun)
		t.run.beginGraph(a.agent)
		return
	}
	t.run.begins++
	a.startTask(t)
}

// skip ends what the `if` has said no to. For what is behind a task that is as good as a success.
func (a ifAsker) skip(t *taskTry, reason string) {
	if t.index == ifOfRun {
		delete(t.run.tries, ifOfRun)
		a.finishRun(t.run, runSkipped, reason)
		return
	}
	a.endTask(t, &Event{Kind: evTaskFinished, Task: t.name(), Attempt: t.attempt, State: taskSkipped, Allowed: true,
		Reason: reason})
}

// noAnswer ends a run whose `if` could not be asked or gave no answer, or that was stopped meanwhile.
func (a ifAsker) noAnswer(t *taskTry, res procResult) {
	r := t.run
	delete(r.tries, ifOfRun)
	if r.stopState != "" {
		agentHandlers(a).graphOver(r, r.stopState, r.stopReason)
		return
	}
	agentHandlers(a).graphOver(r, runFailed, orDefault(r.late, res.Reason))
}
