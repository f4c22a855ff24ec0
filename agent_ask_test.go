// Tests of tasks that ask the principal, with an agent whose principal speaks by hand.

package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// askTasks is a task that waits for a person.
var askTasks = []Task{{ID: "ask", Approve: "Ship?"}}

// returned lists the runs that the agent has given back.
func (g *agentRig) returned() (runs string) {
	for _, m := range g.of(msgReturn) {
		runs += m.Run + " "
	}
	return runs
}

// A run that only waits is given back once the principal has acknowledged all of that run, whatever else it has not
// acknowledged: an agent with much to say is never done with that.
func TestAgentGivesBackOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: askTasks})
		time.Sleep(time.Second)
		synctest.Wait()
		g.set(func() { g.mute = true })
		g.assign("R2", 1, Workflow{Tasks: askTasks})
		g.assign("R3", 1, Workflow{Tasks: agentWaiting})
		time.Sleep(time.Second)
		g.say(&agentMsg{Op: msgRecall})
		if got := g.returned(); got != "R1 " {
			t.Errorf("given back: %q", got)
		}
		g.set(func() { g.mute = false })
		g.say(&agentMsg{Op: msgAck, N: g.a.spool.last})
		if got := g.returned(); got != "R1 R2 " {
			t.Errorf("given back: %q", got)
		}
		g.end()
	})
}

// A run that is cancelled, and whose task waits for the end of another run, has its handlers done by another agent when
// this one is stopped meanwhile.
func TestAgentStoppedWhileCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "kid", Workflow: "kid"}}, OnExit: agentBroken})
		time.Sleep(time.Second)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "why"})
		if events := g.events("R1"); events != "run.started, task.started kid, task.asked kid, task.asked kid "+
			"cancelled" {
			t.Errorf("cancelled: %s", events)
		}
		g.stop()
		time.Sleep(2 * time.Minute)
		g.group.Wait()
		if events := g.events("R1"); !strings.HasSuffix(events, "task.finished kid cancelled, run.finished cancelled") {
			t.Errorf("stopped: %s", events)
		}
	})
}

// A task that is stopped ends with the run that it waits for, or when nobody can say that this has ended.
func TestAgentChildStopped(t *testing.T) {
	for _, answer := range []string{"", taskFailed, taskSucceeded} {
		synctest.Test(t, func(t *testing.T) {
			g := agentRigOpen(t)
			g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "kid", Workflow: "kid", Timeout: Duration(time.Minute)},
				{ID: "tidy", Depends: []string{"kid"}, When: whenAlways, Cmd: "/no/such/program"}}})
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			const waits = "run.started, task.started kid, task.asked kid, task.asked kid cancelled"
			if events := g.events("R1"); events != waits {
				t.Errorf("it waits: %s", events)
			}
			want := answer
			if answer == "" {
				time.Sleep(askStopLimit)
				synctest.Wait()
				want = taskFailed
			} else {
				g.say(&agentMsg{Op: msgAnswer, Run: "R1", Lease: 1, Task: "kid", Attempt: 1,
					Answer: &TaskAnswer{State: answer, Reason: "it was cancelled"}})
			}
			if events := g.events("R1"); !strings.HasPrefix(events,
				waits+", task.finished kid "+want+", task.started tidy") {
				t.Errorf("answered %q: %s", answer, events)
			}
			if e := g.lastEvent("R1"); answer != taskSucceeded && e.Reason != "task kid: timed out after 1m" {
				t.Errorf("answered %q: %s", answer, e.Reason)
			}
			g.end()
		})
	}
}

// A task that has its places in pools, and then asks for another agent, asks once, however often it is told that it has
// them: the principal says so again whenever the agent is back.
func TestAgentPartAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "burn", Run: "true", Pool: map[string]int{"p": 1},
			Agent: map[string]string{"disk": "tape"}}}})
		for range 2 {
			time.Sleep(time.Second)
			g.say(&agentMsg{Op: msgAnswer, Run: "R1", Lease: 1, Task: "burn", Answer: &TaskAnswer{}})
		}
		time.Sleep(time.Second)
		if events := g.events("R1"); events != "run.started, task.asked burn, task.asked burn" {
			t.Error(events)
		}
		g.end()
	})
}
