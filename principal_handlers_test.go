package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// handlersWorkflow has a handler of each kind.
func handlersWorkflow(w Workflow) *Workflow {
	w.ID, w.Tasks = "w", []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x", Depends: []string{"a"}}}
	w.OnFailure = []Task{{ID: "on_failure.m", Run: "x"}}
	w.OnSuccess, w.OnExit = []Task{{ID: "on_success", Run: "x"}}, []Task{{ID: "on_exit", Run: "x"}}
	return &w
}

// handlersEnding is the report of the end of a graph.
func handlersEnding(as *assignment, state string) agentItem {
	item := fleetEvent(as, evRunEnding, "", state)
	item.Event.Reason = "why"
	return item
}

// TestHandlersOwed: how a run ended, what was said of it, and what is given out for it then. An agent has begun
// handlers only behind run.ending.
func TestHandlersOwed(t *testing.T) {
	t.Parallel()
	const graph = "a succeeded, b "
	for _, c := range []struct {
		name   string
		w      Workflow
		items  func(as *assignment) []agentItem
		then   string // what happens: lost, back (from a restart), cancel, stop (of task b), force
		end    string // the state of the assignment for handlers that follows, "" when there is none
		begun  string // the handlers that it says were begun
		states string
	}{
		{"lost in the graph", Workflow{}, nil, "lost", runCrashed, "", ""},
		{"lost in the graph, to be rerun", Workflow{Failover: failoverRerun}, nil, "lost", "", "", ""},
		{"restarted in the graph", Workflow{}, nil, "back", runCrashed, "", ""},
		{"lost while it is cancelled", Workflow{}, nil, "cancel lost", runCancelled, "", ""},
		{"lost while it is killed", Workflow{}, nil, "force lost", "", "", ""},
		{"lost in a handler", Workflow{}, func(as *assignment) []agentItem {
			return []agentItem{handlersEnding(as, runFailed), fleetEvent(as, evTaskStarted, "on_failure.m", "")}
		}, "lost", "", "", graph + "failed, on_failure.m crashed (why; its handlers " +
			"were cut short: agent x was lost), on_exit skipped (run failed)"},
		{"lost in a handler of a run that succeeded", Workflow{}, func(as *assignment) []agentItem {
			return []agentItem{fleetEvent(as, evRunEnding, "", runSucceeded),
				fleetEvent(as, evTaskStarted, "on_success",
					"")}
		}, "lost", "", "", graph + "failed, on_success crashed (its handlers were cut short: agent x was lost), " +
			"on_exit " +
			"skipped (run succeeded)"},
		{"restarted in a handler", Workflow{}, func(as *assignment) []agentItem {
			return []agentItem{handlersEnding(as, runFailed), fleetEvent(as, evTaskStarted, "on_failure.m", "")}
		}, "back", runFailed, "on_failure", ""},
		{"failed by itself while it is cancelled", Workflow{Retries: 1}, func(as *assignment) []agentItem {
			return []agentItem{fleetEvent(as, evRunFinished, "", runFailed)}
		}, "cancel report", runFailed, "", ""},
		{"failed by itself while a task is stopped", Workflow{Retries: 1}, func(as *assignment) []agentItem {
			return []agentItem{fleetEvent(as, evRunFinished, "", runFailed)}
		}, "stop report", runFailed, "", ""},
		{"failed, to be tried again", Workflow{Retries: 1}, func(as *assignment) []agentItem {
			return []agentItem{fleetEvent(as, evRunFinished, "", runFailed)}
		}, "report", "", "", ""},
		{"all done", Workflow{}, func(as *assignment) []agentItem {
			return []agentItem{handlersEnding(as, runFailed), fleetEvent(as, evTaskStarted, "on_failure.m", ""),
				fleetEvent(as, evTaskFinished, "on_failure.m", taskFailed),
				fleetEvent(as, evTaskStarted, "on_exit", ""),
				fleetEvent(as, evTaskFinished, "on_exit", taskSucceeded), fleetEvent(as, evRunFinished, "", runFailed)}
		}, "report", "", "", graph + "failed, on_failure.m failed, on_exit succeeded"},
		{"ended by an agent that stops", Workflow{}, func(as *assignment) []agentItem {
			return []agentItem{handlersEnding(as, runSucceeded), fleetEvent(as, evTaskStarted, "on_success", ""),
				fleetEvent(as, evTaskFinished, "on_success", taskCrashed), fleetEvent(as, evRunFinished, "",
					runSucceeded)}
		}, "report", runSucceeded, "on_success", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := principalRigOpen(t, t.TempDir(), handlersWorkflow(c.w))
			id := g.run("w")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			b := fleetAgentJoin(g, "y", 1)
			last := taskFailed
			items := []agentItem{fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "a", ""),
				fleetEvent(as, evTaskFinished, "a", taskSucceeded), fleetEvent(as, evTaskStarted, "b", "")}
			a.report(items...)
			more := []agentItem{}
			if c.items != nil {
				more = append([]agentItem{fleetEvent(as, evTaskFinished, "b", last)}, c.items(as)...)
			}
			if !strings.Contains(c.then, "report") {
				a.report(more...)
			}
			for do := range strings.FieldsSeq(c.then) {
				switch do {
				case "report":
					a.send(&agentMsg{Op: msgDrain}) // what follows goes to the other agent
					a.report(more...)
				case "cancel", "force":
					g.ask(Request{Op: "cancel", Run: id, Force: do == "force"})
				case "stop":
					g.ask(Request{Op: "cancel", Run: id, Task: "b"})
				case "back":
					a.gone()
					b.beat(agentLostAfter / 3)
					b.send(&agentMsg{Op: msgDrain}) // it comes back without its run
					a.hello.Holds = nil
					a.join()
				case "lost":
					a.gone()
					b.beat(2 * agentLostAfter)
				}
			}
			other := b
			if strings.Contains(c.then, "back") {
				other = a
			}
			var given *assignment
			for _, one := range other.assigned() {
				if one.Lease > as.Lease && one.End != nil {
					given = one
				}
			}
			if r := g.show(id); (given != nil) != (c.end != "") {
				t.Errorf("%s: given out %+v; %s (%s), %s", c.name, given, r.State, r.Reason, agentStates(r))
			} else if given != nil {
				begun := ""
				for _, task := range given.Done {
					begun += task.Handler
				}
				if given.End.State != c.end || begun != c.begun || r.Ending != c.end || r.State != runRunning {
					t.Errorf("%s: %+v, begun %q; %s, ending %q", c.name, given.End, begun, r.State, r.Ending)
				}
				other.report(fleetEvent(given, evRunStarted, "", ""), fleetEvent(given, evRunFinished, "",
					given.End.State))
			} else if c.states != "" && agentStates(r) != c.states {
				t.Errorf("%s: %s", c.name, agentStates(r))
			}
			a.gone()
			b.gone()
			g.stop()
		})
	}
}

// TestHandlersNobody: without an agent that has the labels the handlers wait, and a cancel ends that; the run ends as
// it did.
func TestHandlersNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), handlersWorkflow(Workflow{Agent: map[string]string{"site": "far"}}))
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		a.gone()
		a.hello.Labels = map[string]string{"site": "far"}
		a.join()
		a.report(fleetEvent(a.last(), evRunStarted, "", ""), fleetEvent(a.last(), evTaskStarted, "a", ""))
		a.gone()
		time.Sleep(2 * agentLostAfter)
		r := g.show(id)
		if r.State != runQueued || r.Ending != runCrashed || !strings.Contains(r.handlersText(), "crashed") ||
			agentStates(r) != "a crashed (agent x was lost), b skipped (run crashed), on_failure.m waiting, on_exit "+
				"waiting" {
			t.Errorf("%s, ending %q: %s", r.State, r.Ending, agentStates(r))
		}
		if reply := g.ask(Request{Op: "cancel", Run: id}); !reply.OK || reply.Note != "its handlers do not run" {
			t.Errorf("%+v", reply)
		}
		g.expect(id, runCrashed, "agent x was lost")
		g.stop()
	})
}

// TestHandlersLeftAlone: the first cancel of a run that is at its handlers changes nothing of how it ends.
func TestHandlersLeftAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ how, states string }{
		{taskSucceeded, "a crashed (agent x was lost), b skipped (run crashed), on_failure.m succeeded, on_exit " +
			"succeeded"},
		{taskCrashed, "a crashed (agent x was lost), b skipped (run crashed), on_failure.m crashed, on_exit crashed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := principalRigOpen(t, t.TempDir(), handlersWorkflow(Workflow{}))
			id := g.run("w")
			a, b := fleetAgentJoin(g, "x", 1), fleetAgentJoin(g, "y", 1)
			a.report(fleetEvent(a.last(), evRunStarted, "", ""), fleetEvent(a.last(), evTaskStarted, "a", ""))
			a.gone()
			b.beat(2 * agentLostAfter)
			as := b.last()
			b.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "on_failure.m", ""))
			if reply := g.ask(Request{Op: "cancel", Run: id}); !reply.OK || !strings.Contains(reply.Note, "again") {
				t.Errorf("%+v", reply)
			}
			b.report(fleetEvent(as, evTaskFinished, "on_failure.m", c.how),
				fleetEvent(as, evTaskStarted, "on_exit", ""),
				fleetEvent(as, evTaskFinished, "on_exit", c.how), fleetEvent(as, evRunFinished, "", runCrashed))
			if r := g.show(id); r.State != runCrashed || agentStates(r) != c.states {
				t.Errorf("%s: %s, %s", c.how, r.State, agentStates(r))
			}
			b.gone()
			g.stop()
		})
	}
}

// TestHandlersReplaced: newer runs do not end the handlers of those that they take the place of.
func TestHandlersReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), handlersWorkflow(Workflow{Overlap: overlapReplace}))
		first := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		a.report(fleetEvent(a.last(), evRunStarted, "", ""), fleetEvent(a.last(), evTaskStarted, "a", ""))
		second, third := g.run("w"), g.run("w")
		if r := g.show(first); r.State != runRunning || r.Cancelling == "" || r.Insist {
			t.Errorf("%s, stopping %q, insist %v", r.State, r.Cancelling, r.Insist)
		}
		g.expect(second, runCancelled, "replaced by a newer run")
		a.gone() // and on_exit waits for another agent
		time.Sleep(2 * agentLostAfter)
		fourth := g.run("w")
		if r := g.show(first); r.State != runQueued || r.Ending != runCancelled {
			t.Errorf("%s, ending %q", r.State, r.Ending)
		}
		g.expect(third, runCancelled, "replaced by a newer run")
		b := fleetAgentJoin(g, "y", 2)
		as := b.last()
		if as.Run != first || as.End == nil {
			t.Errorf("given out: %+v", as)
		}
		b.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "on_exit", ""),
			fleetEvent(as, evTaskFinished, "on_exit", taskSucceeded), fleetEvent(as, evRunFinished, "", runCancelled))
		if as := b.last(); as.Run != fourth {
			t.Errorf("then: %+v", as)
		}
		b.gone()
		g.stop()
	})
}

// TestHandlersOfChild: the handlers of a run that a task has started wait for their agent also when nobody waits for
// the run any more; with force they end.
func TestHandlersOfChild(t *testing.T) {
	t.Parallel()
	for _, force := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			parent := &Workflow{ID: "p", Tasks: []Task{{ID: "t", Workflow: "w"}}}
			g := principalRigOpen(t, t.TempDir(), handlersWorkflow(Workflow{}), parent)
			id := g.run("p")
			a := fleetAgentJoin(g, "x", 2)
			as := a.last()
			ask := fleetEvent(as, evTaskAsked, "t", "")
			ask.Event.Asks = askWorkflow
			a.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "t", ""), ask)
			child := a.last()
			a.send(&agentMsg{Op: msgDrain})
			a.report(fleetEvent(child, evRunStarted, "", ""), fleetEvent(child, evRunFinished, "", runSucceeded))
			if r := g.show(child.Run); child.Run == id || r.State != runQueued || r.Ending != runSucceeded {
				t.Fatalf("the child is %+v", r)
			}
			g.ask(Request{Op: "cancel", Run: id, Force: force})
			want := runQueued
			if force {
				want = runSucceeded
			}
			if r := g.show(child.Run); r.State != want {
				t.Errorf("force %v: the child is %s, want %s", force, r.State, want)
			}
			a.gone()
			g.stop()
		})
	}
}
