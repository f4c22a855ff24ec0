// Tests of what tasks ask of the principal, with an agent that speaks by hand.

package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asksOf is what an agent says of a run whose task asks for something.
func asksOf(as *assignment, task, what string) []agentItem {
	begun := fleetEvent(as, evTaskStarted, task, "")
	asked := fleetEvent(as, evTaskAsked, task, "")
	asked.Event.Attempt, asked.Event.Asks = 1, what
	return []agentItem{begun, asked}
}

// answers lists the answers that came by this connection, each with its state, reason and outputs.
func (a *fleetAgent) answers() string {
	text := ""
	for _, m := range a.of(msgAnswer) {
		text += m.Answer.State + " " + m.Answer.Reason
		for _, key := range sortedKeys(m.Answer.Outputs) {
			text += " " + key + "=" + m.Answer.Outputs[key]
		}
		text += "\n"
	}
	return text
}

// TestAsksItemGone: a run that an instance has started is stopped when the next attempt of its run has no such item;
// the one of an item that is still there goes on.
func TestAsksItemGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &Workflow{ID: "up", Agent: map[string]string{"of": "up"},
			Tasks: []Task{{ID: "each", Workflow: "kid", Foreach: &Foreach{From: "x"}}}}
		kid := principalTask(Workflow{ID: "kid", Overlap: overlapAllow, Agent: map[string]string{"of": "kids"}})
		g := principalRigOpen(t, t.TempDir(), up, kid)
		join := func(name string, capacity int) *fleetAgent {
			a := &fleetAgent{g: g, hello: agentMsg{Agent: name, Capacity: capacity, Epoch: "e", Version: "0",
				Labels: map[string]string{"of": name}}}
			a.join()
			return a
		}
		a, kids := join("up", 1), join("kids", 2)
		id := g.run("up")
		begin := func(items ...string) {
			t.Helper()
			as := a.last()
			each := fleetEvent(as, evTaskStarted, "each", "")
			each.Event.Items = items
			all := []agentItem{fleetEvent(as, evRunStarted, "", ""), each}
			for _, item := range items {
				all = append(all, asksOf(as, "each["+item+"]", askWorkflow)...)
			}
			a.report(all...)
		}
		begin("x", "y")
		x, y := g.show(id).task("each[x]").Child, g.show(id).task("each[y]").Child
		for range 8 { // the agent of the run is silent, and its run is over
			kids.beat(5 * time.Second)
		}
		g.expect(id, runCrashed, "agent up was lost")
		if r := g.ask(Request{Op: "retry", Run: id, All: true}); !r.OK {
			t.Fatal(r.Error)
		}
		a.hello.Epoch, a.n = "e2", 0
		a.join()
		begin("y", "z")
		if r := g.show(x); r.Cancelling != "task each[x] of run "+id+": its run has no such item any more" {
			t.Errorf("of the item that is gone: %+v", r)
		}
		if r := g.show(y); r.State != runRunning || r.Cancelling != "" {
			t.Errorf("of the item that is still there: %+v", r)
		}
		if r := g.show(id); r.task("each[y]").Child != y || r.task("each[z]").Child == "" {
			t.Errorf("%+v", r.Tasks)
		}
		g.stop()
	})
}

// A child run that ended while its parent was away, and that only the history has, is the task's all the same: no
// second one is started. What it handed on is known while its version of the workflow is.
func TestAsksChildOfHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		outputs bool // the child has some
		changed bool // its file has changed since
		removed bool // it is not in the history any more
		want    string
	}{
		{name: "as it was", outputs: true, want: "succeeded  ROWS=7\n"},
		{name: "changed, without outputs", changed: true, want: "succeeded \n"},
		{name: "changed", outputs: true, changed: true,
			want: "failed run RUN of kid succeeded, but its version of the " +
				"workflow is not known any more, and without it neither is what the run hands on\n"},
		{name: "removed", removed: true, want: ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			up := &Workflow{ID: "up", Tasks: []Task{{ID: "a", Workflow: "kid"}}}
			kid := principalTask(Workflow{ID: "kid"})
			g := principalRigOpen(t, t.TempDir(), up, kid)
			id := g.run("up")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			a.report(append([]agentItem{fleetEvent(as, evRunStarted, "", "")}, asksOf(as, "a", askWorkflow)...)...)
			child := g.show(id).task("a").Child
			first := a.last()
			if child == "" || first.Run != child {
				t.Fatalf("%s: the child is %q, the agent has %+v", c.name, child, first)
			}
			a.gone() // and is back without the parent, which waits for another
			a.hello.Holds = []heldRun{{Run: child, Lease: first.Lease}}
			a.join()
			end := fleetEvent(first, evTaskFinished, "a", taskSucceeded)
			if c.outputs {
				end.Event.Outputs = map[string]string{"ROWS": "7"}
			}
			a.report(append(fleetBegun(first), end, fleetEvent(first, evRunFinished, "", runSucceeded))...)
			g.do(func() {
				g.p.emit(&Event{Kind: evArchived, Run: child, Workflow: "kid"})
				g.p.state.prune(stateEpoch)
			})
			if c.changed {
				other := principalTask(Workflow{ID: "kid", Description: "another"})
				g.do(func() { g.p.setFiles(principalFiles(up, other), nil) })
			}
			if c.removed {
				os.RemoveAll(g.dir + "/" + historyFolder)
			}
			if as = a.last(); as.Run != id {
				t.Fatalf("%s: the agent has %+v", c.name, as)
			}
			a.report(append([]agentItem{fleetEvent(as, evRunStarted, "", "")}, asksOf(as, "a", askWorkflow)...)...)
			r := g.show(id)
			got, want := a.answers(), strings.ReplaceAll(c.want, "RUN", child)
			if anew := r.task("a").Child != child; got != want || anew != c.removed {
				t.Errorf("%s: answered %q, want %q; the child %s is %s now", c.name, got, want, child,
					r.task("a").Child)
			}
			a.gone()
			g.stop()
		})
	}
}

// A run that is given back just when its task was told to begin has not begun it: it goes to another agent.
func TestAsksReturned(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			g := principalRigOpen(t, t.TempDir(), &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "x", Retries: 1,
				Pool: map[string]int{"p": 1}}}})
			id := g.run("w")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			items := []agentItem{fleetEvent(as, evRunStarted, "", "")}
			if attempts > 0 {
				ended := fleetEvent(as, evTaskRetrying, "a", "")
				ended.Event.Attempt = 1
				items = append(items, fleetEvent(as, evTaskStarted, "a", ""), ended)
			}
			asked := fleetEvent(as, evTaskAsked, "a", "")
			asked.Event.Asks, asked.Event.Attempt = askPool, attempts
			a.report(append(items, asked)...)
			if got := a.answers(); got != " \n" {
				t.Fatalf("answered %q", got)
			}
			a.send(&agentMsg{Op: msgDrain})
			b := fleetAgentJoin(g, "y", 1)
			a.send(&agentMsg{Op: msgReturn, Run: id, Lease: as.Lease})
			spent := 0
			for _, one := range b.last().Spent {
				spent = one.Attempts
			}
			if r := g.show(id); r.Agent != "y" || r.Attempt != 1 || spent != attempts {
				t.Errorf("after %d attempts: %s at %s, attempt %d: %+v", attempts, r.State, r.Agent, r.Attempt,
					b.last())
			}
			a.gone()
			b.gone()
			g.stop()
		})
	}
}

// A run that crashed while a task of it asked is looked after for as long as it is in memory, and no longer.
func TestAsksForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), &Workflow{ID: "w", Tasks: []Task{{ID: "a", Approve: "Ship?"}}})
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(append([]agentItem{fleetEvent(as, evRunStarted, "", "")}, asksOf(as, "a", askApprove)...)...)
		a.report(fleetEvent(as, evRunFinished, "", runCrashed))
		g.do(func() {
			if !g.p.asks.open[id] {
				t.Error("nobody looks after it")
			}
			g.p.emit(&Event{Kind: evArchived, Run: id, Workflow: "w"})
			if len(g.p.asks.open) != 0 {
				t.Error(g.p.asks.open)
			}
		})
		a.gone()
		g.stop()
	})
}
