// agent_step.go: work of an attempt that files or the system may hold up for ever: its preparation and start, and the
// reading of its outputs. Each is a step, and has a goroutine to itself. The agent's loop waits for none: a step has a
// time limit, and is given up when that is over or when its task is stopped.

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

const (
	stepLimit = 10 * time.Second // how long a step may take; then its attempt fails
	// the least time for the reading of outputs, whatever is left of the task's timeout: the process has ended in time
	stepRead = time.Second
	stepMost = 32 // steps under way at once; further ones wait for their turn
	stepEach = 8  // of these at most so many of one workflow, with those of it that hang: the rest is for others
	// steps given up that have not come back; with so many the next one fails at once
	stepHung = 256
	stepIdle = 8 // goroutines that wait for the work of the next step, rather than grow a stack for each
)

// errStepGivenUp is why a process that is about to start after all must not.
var errStepGivenUp = errors.New("given up: it took too long to start, or was stopped before it did")

// steps are the steps of an agent. They belong to its loop.
type steps struct {
	queue []*step        // those that wait for their turn
	count map[string]int // by workflow: those under way and those that hang
	hangs map[string]int // by workflow: those that hang
	live  int            // how many are under way
	hung  int            // how many were given up and have not come back

	work chan func()  // to a goroutine that is idle
	idle atomic.Int32 // how many are
}

// step is one piece of work of an attempt. What is not atomic belongs to the agent's loop.
type step struct {
	a     *agent
	try   *taskTry
	over  bool // done, or given up
	began bool

	// work runs outside of the loop. The loop calls what it returns, or late when the step was given up.
	work func(*step) func()
	late func(reason string)

	// ctx ends when the step is given up; timer is its limit.
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer

	stage atomic.Pointer[string] // what it waits for, as "read env_file x"
	proc  atomic.Pointer[proc]   // the process that it has started
	ended func()                 // what the loop does once it has heard of that; nil: it has not ended by then
}

// at notes what the step is about to wait for.
func (s *step) at(stage string) { s.stage.Store(&stage) }

// given says whether nobody waits for the step any more. Any goroutine may ask.
func (s *step) given() bool { return s.ctx.Err() != nil }

// stepBegin makes a step of the attempt t, which has none. work is done once there is room for it; then the loop calls
// what it returned. If that takes too long the loop calls late instead, with the reason, and what work returns later is
// dropped.
func (a *agent) stepBegin(t *taskTry, work func(*step) func(), late func(reason string)) {
	s := &step{a: a, try: t, work: work, late: late}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.at("get its turn: much else is being prepared on this agent")
	t.step = s
	// a process that has ended in time does not fail because others hold this up
	if left := s.left(); left > 0 && t.proc == nil {
		s.limit(left, s.timedOut)
	}
	a.steps.queue = append(a.steps.queue, s)
	a.stepNext()
}

// left gives how much of the task's timeout is left for the step, at least stepRead for one that reads outputs. It is 0
// when the task has none.
func (s *step) left() time.Duration {
	limit, least := time.Duration(s.try.task().Timeout), time.Duration(1)
	// what looks whether the task is to run, or is done, has a limit of its own
	if limit == 0 || s.try.guards() || s.try.asksUntil() {
		return 0
	}
	if s.try.proc != nil {
		least = stepRead
	}
	return max(limit-s.a.cfg.now().Sub(s.try.since), least)
}

// limit has the loop give up the step after d, for what reason gives then.
func (s *step) limit(d time.Duration, reason func() string) {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(d, func() {
		s.a.call(func() {
			if !s.over && s.proc.Load() == nil { // a process that has just started has the timeout now
				text := reason()
				s.giveUp()
				s.late(text)
				s.a.stepNext()
			}
		})
	})
}

// timedOut and tookLong word the two limits.
func (s *step) timedOut() string {
	return "timed out after " + procDuration(time.Duration(s.try.task().Timeout)) + ", waiting to " + *s.stage.Load()
}

func (s *step) tookLong() string {
	return fmt.Sprintf("%s: no answer for %s: see whether its file system does, a network mount perhaps",
		*s.stage.Load(), procDuration(stepLimit))
}

// stepNext starts the steps that there is room for, the oldest first. Where too many hang it ends the next one: that
// would hang as well.
func (a *agent) stepNext() {
	for {
		i := slices.IndexFunc(a.steps.queue, func(s *step) bool {
			hasRoom := a.steps.live < stepMost && a.steps.count[s.workflow()] < stepEach
			return s.over || hasRoom || a.stepHopeless(s)
		})
		if i < 0 {
			return
		}
		s := a.steps.queue[i]
		a.steps.queue = slices.Delete(a.steps.queue, i, i+1)
		switch {
		case s.over:
		case a.stepHopeless(s):
			s.giveUp()
			s.late(fmt.Sprintf("%d attempts before this one still wait for files that do not answer, %d of them of "+
				"this workflow: see whether their file system does", a.steps.hung, a.steps.hangs[s.workflow()]))
		default:
			a.stepStart(s)
		}
	}
}

// workflow names the workflow that the step counts for.
func (s *step) workflow() string { return s.try.run.as.Spec.ID }

// stepHopeless says whether so much hangs already that this step would only be one more.
func (a *agent) stepHopeless(s *step) bool {
	return a.steps.hangs[s.workflow()] >= stepEach || a.steps.hung >= stepHung
}

// stepStart begins the work of a step, in a goroutine that is its own until the work is done, however long the system
// holds that up, and where the work began a process, until that has ended. The agent does not wait for it.
func (a *agent) stepStart(s *step) {
	s.began = true
	if left := s.left(); left > 0 && left <= stepLimit {
		s.limit(left, s.timedOut)
	} else {
		s.limit(stepLimit, s.tookLong)
	}
	a.steps.live++
	a.steps.count[s.workflow()]++
	work := func() {
		done := s.work(s)
		a.call(func() { a.stepDone(s, done) })
		if p := s.proc.Load(); p != nil {
			p.run()
		}
	}
	select {
	case a.steps.work <- work:
	default:
		go a.runSteps(work)
	}
}

// runSteps does the work of a step, and then that of others for as long as few are idle. It ends with the loop.
func (a *agent) runSteps(work func()) {
	for {
		work()
		if a.steps.idle.Add(1) > stepIdle {
			a.steps.idle.Add(-1)
			return
		}
		select {
		case work = <-a.steps.work:
			a.steps.idle.Add(-1)
		case <-a.ended:
			return
		}
	}
}

// stepDone takes back a step whose work is done.
func (a *agent) stepDone(s *step, done func()) {
	drop := func(n map[string]int) {
		n[s.workflow()]--
		if n[s.workflow()] == 0 {
			delete(n, s.workflow())
		}
	}
	drop(a.steps.count)
	if s.over {
		a.steps.hung--
		drop(a.steps.hangs)
		if p := s.proc.Load(); p != nil { // it began while the step was given up
			p.kill(errStepGivenUp.Error())
		}
	} else {
		a.steps.live--
		s.end()
		done()
	}
	a.stepNext()
}

// end parts the step from its attempt.
func (s *step) end() {
	s.over = true
	s.timer.Stop()
	if s.try.step == s {
		s.try.step = nil
	}
}

// giveUp ends a step before its work is done. The work has no effect from here on.
func (s *step) giveUp() {
	if s.timer == nil {
		s.timer = time.NewTimer(0)
	}
	s.end()
	s.cancel(errStepGivenUp)
	if s.began {
		s.a.steps.live--
		s.a.steps.hung++
		s.a.steps.hangs[s.workflow()]++
	}
}
