package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// leftSays is what an agent says of a run that has left processes with these numbers.
func leftSays(run string, lease int, pids ...int) *agentMsg {
	held := heldLeft{Run: run, Lease: lease}
	for _, pid := range pids {
		held.Processes = append(held.Processes, LeftProcess{Agent: "a liar", Task: "a", Attempt: 1, PID: pid,
			User: "root", Command: "sleep 9", Why: "it is root's"})
	}
	return &agentMsg{Op: msgLeft, Left: []heldLeft{held}}
}

// leftRun has an agent do a run that leaves a process, which it tells of before the end as agents do.
func leftRun(g *principalRig, a *fleetAgent, workflow, state string, pids ...int) (run string) {
	g.t.Helper()
	run = g.run(workflow)
	as := a.last()
	if as.Run != run {
		g.t.Fatalf("%s has run %s, not %s", a.hello.Agent, as.Run, run)
	}
	a.report(fleetBegun(as)...)
	a.send(leftSays(run, as.Lease, pids...))
	task := taskSucceeded
	if state == runFailed {
		task = taskFailed
	}
	a.report(fleetEvent(as, evTaskFinished, "a", task), fleetEvent(as, evRunFinished, "", state))
	return run
}

// TestDispatchLeft: what a run left holds back the runs behind it, as overlap says, until its agent says that it has
// gone.
func TestDispatchLeft(t *testing.T) {
	for overlap, want := range map[string]struct{ fire, asked string }{
		overlapSkip: {"00:01 skipped overlap: what run R left lives on agent x: pid 7 (root): sleep 9, pid 8 " +
			"(root): sleep 9", runRunning},
		overlapQueue: {"00:01 fired queued: what run R left lives on agent x: pid 7 (root): sleep 9, pid 8 " +
			"(root): sleep 9", runQueued},
		overlapReplace: {"00:01 fired queued: what run R left lives on agent x: pid 7 (root): sleep 9, pid 8 " +
			"(root): sleep 9", runQueued},
		overlapAllow: {"00:01 fired", runRunning},
	} {
		t.Run(overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Schedule: []string{"* * * * *"},
					Overlap: overlap}), principalTask(Workflow{ID: "v"}))
				a := fleetAgentJoin(g, "x", 9)
				run := leftRun(g, a, "w", runSucceeded, 7, 8)
				if r := g.show(run); len(r.Left) != 2 || r.Left[0] != (LeftProcess{Agent: "x", Task: "a", Attempt: 1,
					PID: 7, User: "root", Command: "sleep 9", Why: "it is root's"}) {
					t.Errorf("the run says %+v", r.Left)
				}
				a.beat(61 * time.Second)
				if got := strings.ReplaceAll(g.decisions("w"), run, "R"); got != want.fire {
					t.Errorf("the fire: %q, want %q", got, want.fire)
				}
				asked := g.run("w")
				if overlap == overlapReplace { // what the fire has queued gave way
					g.expect(asked, want.asked, "what run "+run+" left lives on agent x")
				} else if r := g.show(asked); r.State != want.asked {
					t.Errorf("who asks for a run gets one that is %s: %s", r.State, r.Reason)
				}
				g.expect(g.run("v"), runRunning, "")
				g.wants("while they live", "left wx pid 7 (root): sleep 9, pid 8 (root): sleep 9: it is root's; end "+
					"it there, as root")
				a.send(leftSays(run, 1, 8))
				if r := g.show(run); len(r.Left) != 2 || !r.Left[0].Gone.IsZero() || r.Left[0].PID != 8 ||
					r.Left[1].Gone.IsZero() {
					t.Errorf("one has gone, and the run says %+v", r.Left)
				}
				a.send(&agentMsg{Op: msgLeft})
				g.wants("when they have gone", "")
				if n := len(g.p.queue.active["w"]); overlap != overlapSkip && n == 0 {
					t.Error("nothing is active")
				}
				for _, id := range g.p.queue.active["w"][:1] {
					g.expect(id, runRunning, "")
				}
				if text, err := g.p.store.historyFind(run, nil); err != nil || len(text.Left) != 2 ||
					text.Left[0].Gone.IsZero() || text.Left[1].Gone.IsZero() {
					t.Errorf("the history has %+v: %v", text, err)
				}
				g.stop()
			})
		})
	}
}

// TestDispatchLeftAway: runs wait for what is left at an agent that is away for as long as the agent's runs are waited
// for, even if the principal is started again. What the agent does not name when it comes back has gone.
func TestDispatchLeftAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Overlap: overlapQueue})
		g := principalRigOpen(t, t.TempDir(), w)
		a := fleetAgentJoin(g, "x", 9)
		run := leftRun(g, a, "w", runSucceeded, 7)
		b := fleetAgentJoin(g, "y", 9)
		waits := func(when, id string, waits bool) {
			t.Helper()
			if r := g.show(id); (r.State == runQueued) != waits || waits &&
				!strings.Contains(r.Reason, "what run "+run+" left lives on agent x") {
				t.Errorf("%s the next run is %s: %s", when, r.State, r.Reason)
			}
		}
		next := g.run("w")
		waits("at first", next, true)
		a.gone()
		b.beat(agentLostAfter - time.Second)
		waits("just before its agent is given up", next, true)
		b.beat(2 * time.Second)
		waits("after that", next, false)
		b.report(append(fleetBegun(b.last()), fleetEvent(b.last(), evRunFinished, "", runSucceeded))...)

		a.hello.Left = leftSays(run, 1, 7).Left
		a.join()
		next = g.run("w")
		waits("when it is back with that", next, true)
		g.stop()
		g.start(w)
		b.join()
		waits("after a start of the principal", next, true)
		b.beat(agentLostAfter - time.Second)
		waits("some seconds later", next, true)
		a.join()
		waits("with the agent", next, true)
		b.beat(time.Minute)
		a.hello.Left = nil
		a.join()
		waits("when it is back without", next, false)
		if r := g.show(run); len(r.Left) != 1 || r.Left[0].Gone.IsZero() {
			t.Errorf("the run says %+v", r.Left)
		}
		g.stop()
	})
}

// TestDispatchLeftForget: what was left at an agent that is forgotten is not listed any more. Nor is anything that
// strangers tell, or that agents tell of runs which they never had.
func TestDispatchLeftForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapQueue}))
		a := fleetAgentJoin(g, "x", 9)
		run := leftRun(g, a, "w", runSucceeded, 7)
		b := fleetAgentJoin(g, "y", 9)
		b.send(leftSays(run, 1, 66))
		b.send(leftSays("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1, 67))
		flood := &agentMsg{Op: msgLeft}
		for i := range 500 {
			flood.Left = append(flood.Left, leftSays(run, 1, i).Left...)
		}
		b.send(flood)
		if r := g.show(run); len(r.Left) != 1 || r.Left[0].PID != 7 || len(g.p.fleet.left) != 1 {
			t.Errorf("of %d runs, the run says %+v", len(g.p.fleet.left), r.Left)
		}
		for i := range flood.Left {
			flood.Left[i].Processes[0].Command = strings.Repeat("x", 1000)
		}
		a.send(flood)
		r := g.show(run)
		if len(r.Left) != stateMaxLeft || len(r.Left[0].Command) > fleetLeftText+50 {
			t.Errorf("%d processes, the first is %+v", len(r.Left), r.Left[0])
		}
		a.gone()
		b.beat(agentLostAfter + time.Second)
		if !strings.Contains(g.attention(), "left wx pid ") {
			t.Errorf("attention: %s", g.attention())
		}
		if r := g.ask(Request{Op: "forget", Agent: "x"}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		g.wants("after it was forgotten", "")
		if len(g.p.fleet.left) != 0 || len(g.p.state.Workflows["w"].Left) != 0 {
			t.Errorf("%v, %v", g.p.fleet.left, g.p.state.Workflows["w"].Left)
		}
		g.stop()
	})
}

// TestDispatchLeftRetry: a run that is tried again waits for what its own earlier attempt has left, unless it may run
// beside itself.
func TestDispatchLeftRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: overlapSkip, Retries: 1}),
			principalTask(Workflow{ID: overlapAllow, Retries: 1, Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 9)
		skip := leftRun(g, a, overlapSkip, runFailed, 7)
		g.expect(skip, runQueued, "what run "+skip+" left lives")
		g.expect(g.run(overlapSkip), runRunning, "")       // who asks for another gets it
		allow := leftRun(g, a, overlapAllow, runFailed, 8) // and 7 has gone
		g.expect(allow, runRunning, "")
		g.expect(skip, runRunning, "")
		if r := g.show(allow); len(r.Left) != 1 || r.Attempt != 2 {
			t.Errorf("attempt %d, left %+v", r.Attempt, r.Left)
		}
		g.stop()
	})
}

// TestStateLeftBounds: the newest runs of a workflow that left something are kept. What was acknowledged and has gone
// is new when it comes again.
func TestStateLeftBounds(t *testing.T) {
	s := stateNew()
	say := func(run int, left ...LeftProcess) {
		t.Helper()
		if err := s.apply(&Event{Kind: evLeft, Run: fmt.Sprint("R", run), Workflow: "w", Left: left,
			Time: stampOf(stateEpoch)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * stateMaxLeftRuns {
		say(i, LeftProcess{PID: i})
	}
	list := s.Workflows["w"].Left
	if len(list) != stateMaxLeftRuns || list[len(list)-1].Run != fmt.Sprint("R", 3*stateMaxLeftRuns-1) {
		t.Errorf("%d, the last is %+v", len(list), list[len(list)-1])
	}
	last := 3*stateMaxLeftRuns - 1
	key := stateKey("left", "w", list[len(list)-1].Run)
	if err := s.apply(&Event{Kind: evAcked, Key: key, Workflow: "w", Time: stampOf(stateEpoch)}); err != nil {
		t.Fatal(err)
	}
	say(last, LeftProcess{PID: last}, LeftProcess{PID: 9})
	if _, acked := s.Acks[key]; !acked {
		t.Error("its acknowledgement has gone")
	}
	say(last, LeftProcess{PID: last, Gone: stampOf(stateEpoch)})
	if _, acked := s.Acks[key]; acked || s.Workflows["w"].left(list[len(list)-1].Run) != nil {
		t.Errorf("acknowledged %v, %+v", acked, s.Workflows["w"].Left)
	}
}

// TestDispatchLeftMany: the newest runs of a workflow that left something are kept, and those that they pushed out are
// in no index.
func TestDispatchLeftMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 9)
		var held []heldLeft // an agent tells of all that it has
		for i := range stateMaxLeftRuns + 2 {
			g.run("w")
			as := a.last()
			held = append(held, leftSays(as.Run, as.Lease, i+1).Left...)
			a.report(fleetBegun(as)...)
			a.send(&agentMsg{Op: msgLeft, Left: held})
			a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
				fleetEvent(as, evRunFinished, "", runSucceeded))
			if i == 0 {
				g.ask(Request{Op: "ack", Key: g.ask(Request{Op: "attention"}).Items[0].Key})
			}
		}
		if items := g.ask(Request{Op: "attention"}).Items; len(items) != stateMaxLeftRuns ||
			len(g.p.fleet.left) != stateMaxLeftRuns || len(g.p.state.Acks) > 0 {
			t.Errorf("%d items of %d runs, %d acknowledged", len(items), len(g.p.fleet.left), len(g.p.state.Acks))
		}
		fleetAgentJoin(g, "y", 9).send(&agentMsg{Op: msgLeft, Left: held[:1]}) // of another's run
		a.send(&agentMsg{Op: msgLeft})
		g.wants("when they have gone", "")
		g.stop()
	})
}
