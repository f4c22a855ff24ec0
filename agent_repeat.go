// agent_repeat.go: a task with repeat is tried again and again, until an attempt succeeds or its shell line `until`
// does. Between attempts it has no place of max_active_tasks. Thousands of attempts must not wear out a disk: the
// first few are reported as they come, and of later ones the newest, at most every repeatQuiet.

package main

import (
	"fmt"
	"os"
	"time"
)

const (
	repeatSoon  = 10               // so many attempts of a task are reported as they come
	repeatQuiet = 10 * time.Second // later ones that are shorter are reported together, this far apart
	repeatKept  = 20               // so many attempts, the newest, are in such a report
	repeatUntil = time.Minute      // how long the shell line `until` may take
)

// taskRepeat is what a task with repeat has beside other tasks. It belongs to the agent's loop.
type taskRepeat struct {
	// The time that there is for all attempts: limit ends with it, and then spent is set. Without `for` there is none.
	limit *time.Timer
	spent bool

	asks *repeatAsk // whose answer is waited for, nil when nobody's is

	// What was not reported yet: starts and ends of attempts. said is when something was. long has an attempt reported
	// that takes longer than repeatQuiet, so that it is seen to be at work.
	unsaid []*Event
	said   time.Time
	long   *time.Timer
}

// repeatAsk is an attempt that is over and about which the shell line `until` is asked.
type repeatAsk struct {
	res     procResult
	outputs map[string]string
}

// repeatBegan notes that an attempt of a task with repeat begins, of which e tells. It says whether e is kept.
func (t *taskTry) repeatBegan(a *agent, e *Event) (kept bool) {
	repeat := t.task().Repeat
	if repeat == nil {
		return false
	}
	if t.repeat == nil {
		t.repeat = &taskRepeat{said: t.since}
		if repeat.For > 0 {
			t.repeat.limit = time.AfterFunc(time.Duration(repeat.For), func() { a.call(func() { t.repeatSpent(a) }) })
		}
	}
	if t.attempt <= repeatSoon {
		return false
	}
	e.Time = stampOf(t.since)
	t.repeat.keep(e)
	attempt := t.attempt
	t.repeat.long = time.AfterFunc(repeatQuiet, func() {
		a.call(func() {
			if t.repeat.long != nil && t.attempt == attempt {
				t.repeatSay(a)
			}
		})
	})
	return true
}

// keep keeps what is to be reported later: of the newest attempts.
func (r *taskRepeat) keep(e *Event) {
	r.unsaid = append(r.unsaid, e)
	if over := len(r.unsaid) - 2*repeatKept; over > 0 {
		r.unsaid = append(r.unsaid[:0], r.unsaid[over:]...)
	}
}

// repeatSay reports what was kept.
func (t *taskTry) repeatSay(a *agent) {
	for _, e := range t.repeat.unsaid {
		a.emit(t.run, e)
	}
	t.repeat.unsaid, t.repeat.said = nil, a.now()
}

// repeatSpent is the end of the time that a task has for all its attempts: the one that is at work is stopped.
func (t *taskTry) repeatSpent(a *agent) {
	if !t.live() {
		return
	}
	t.repeat.spent = true
	a.stopTry(t, "stopped", false)
}

// repeatAgain says that an attempt did not succeed and what follows: the wait for the next, or with done the end of
// the task, for the reason that it gives.
func (t *taskTry) repeatAgain(a *agent, res procResult) (reason string, done bool) {
	repeat := t.task().Repeat
	gone := a.now().Sub(t.began)
	late := repeat.For > 0 && gone+time.Duration(repeat.Every) >= time.Duration(repeat.For)
	switch {
	case t.repeat.spent || late:
		return fmt.Sprintf("%s; given up after %s, attempt %d", res.Reason, repeat.For, t.attempt), true
	case t.attempt == repeat.Times:
		return fmt.Sprintf("%s; given up after %d attempts", res.Reason, t.attempt), true
	}
	next := fmt.Sprintf("%d in %s", t.attempt+1, repeat.Every)
	if repeat.Times > 0 {
		next = fmt.Sprintf("%d of %d in %s", t.attempt+1, repeat.Times, repeat.Every)
	}
	if repeat.For > 0 {
		next += ", for " + repeat.For.String() + " at most"
	}
	return res.Reason + stateAgain + next, false
}

// repeatWaits reports the end of an attempt, e, after which there is another.
func (t *taskTry) repeatWaits(a *agent, e *Event) {
	t.repeat.rest()
	e.Time = stampOf(a.now())
	t.repeat.keep(e)
	if t.attempt < repeatSoon || a.now().Sub(t.repeat.said) >= repeatQuiet {
		t.repeatSay(a)
	}
}

// rest ends the look at an attempt that may take long.
func (r *taskRepeat) rest() {
	if r.long != nil {
		r.long.Stop()
		r.long = nil
	}
}

// repeatOver reports what was kept of a task that has ended.
func (t *taskTry) repeatOver(a *agent) {
	if t.repeat == nil {
		return
	}
	t.repeat.rest()
	if t.repeat.limit != nil {
		t.repeat.limit.Stop()
	}
	t.repeatSay(a)
}

// asksUntil says whether the shell line `until` is at work, or about to be.
func (t *taskTry) asksUntil() bool { return t.repeat != nil && t.repeat.asks != nil }

// judge names the key that says which attempt is a success, where that is not one with exit code 0.
func (t *taskTry) judge() string {
	if t.repeat != nil && t.task().Repeat.Until != "" {
		return "until"
	}
	return "success_exit"
}

// repeatAsks has the shell line `until` look whether the task is done, once an attempt is over. It says whether there
// is such a line and somebody wants to know. If nobody does the attempt is no success, however it ended. Nor is one
// whose outputs cannot be kept.
func (t *taskTry) repeatAsks(a *agent, res *procResult, outputs map[string]string) bool {
	if t.repeat == nil || t.task().Repeat.Until == "" {
		return false
	}
	if t.run.stopState != "" || t.stopped != "" || t.late || t.repeat.spent {
		res.Reason = orDefault(res.Reason, "stopped")
		return false
	}
	if t.unkept || t.hopeless {
		return false
	}
	t.repeat.asks = &repeatAsk{*res, outputs}
	t.run.begins++
	a.startTask(t)
	return true
}

// repeatAnswered gives the result of an attempt, now that `until` has ended: success is up to that alone.
func (t *taskTry) repeatAnswered(until procResult) (procResult, map[string]string) {
	asked := t.repeat.asks
	t.repeat.asks = nil
	switch {
	case until.Reason == "":
		asked.res.Reason = ""
	case asked.res.Reason == "":
		asked.res.Reason = "until: " + until.Reason
	default:
		asked.res.Reason += ", until: " + until.Reason
	}
	return asked.res, asked.outputs
}

// spec makes the process of `until` of that of the attempt: the same environment, with what the attempt has handed on,
// and the same folder.
func (q *repeatAsk) spec(w *Workflow, task *Task, env *environ, spec *procSpec) {
	for _, key := range sortedKeys(q.outputs) {
		env.set(key, q.outputs[key])
	}
	env.set("CDKTR_OUTPUT", os.DevNull)
	spec.Env = env.list
	spec.Argv = append(w.shellOf(task), task.Repeat.Until)
	spec.Stdin, spec.Timeout, spec.Begun = "", repeatUntil, time.Time{}
}
