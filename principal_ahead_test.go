// Tests of runs that an agent is given before it has a place for them, on the principal's side.

package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// aheadEnd reports that a run was done in so many seconds.
func aheadEnd(a *fleetAgent, as *assignment, seconds float64) {
	a.g.t.Helper()
	end := fleetEvent(as, evRunFinished, "", runSucceeded)
	end.Event.Seconds = seconds
	a.report(append(fleetBegun(as), fleetEvent(as, evTaskFinished, "a", taskSucceeded), end)...)
}

// aheadRig is a principal with an agent of one place, whose last run took so many seconds, and which is at the next
// one. Three runs more are queued.
func aheadRig(t *testing.T, seconds float64, workflows ...*Workflow) (g *principalRig, a *fleetAgent, queued []string) {
	t.Helper()
	workflows = append(workflows, principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
	g = principalRigOpen(t, t.TempDir(), workflows...)
	a = fleetAgentJoin(g, "x", 1)
	g.run("w")
	aheadEnd(a, a.last(), seconds)
	g.run("w")
	a.report(fleetBegun(a.last())...)
	for range 3 {
		queued = append(queued, g.run("w"))
	}
	return g, a, queued
}

// aheadOf lists the runs that an agent was given, in short: * is one that was given ahead.
func aheadOf(a *fleetAgent) string {
	var all []string
	for _, as := range a.assigned() {
		all = append(all, map[bool]string{true: "*"}[as.Ahead]+as.Run)
	}
	return strings.Join(all, " ")
}

// An agent whose runs are short is given one more than it has places, which is shown as queued until it begins.
func TestAheadGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, queued := aheadRig(t, 0.1)
		if got := aheadOf(a); !strings.HasSuffix(got, " *"+queued[0]) {
			t.Fatalf("given %s, queued %s", got, queued)
		}
		g.expect(queued[0], runQueued, "agent x begins it when it has a place for it")
		g.expect(queued[1], runQueued, "all agents are busy")
		if r := g.ask(Request{Op: "agents"}); r.Agents[0].Running != 1 {
			t.Errorf("the agent is said to be at %d runs", r.Agents[0].Running)
		}
		if r := g.ask(Request{Op: "ps", State: runQueued}); r.Count != 3 {
			t.Errorf("%d runs are said to be queued", r.Count)
		}
		if r := g.ask(Request{Op: "ps", State: runRunning}); r.Count != 1 || r.Runs[0].ID == queued[0] {
			t.Errorf("%d runs are said to be running", r.Count)
		}
		if r := g.ask(Request{Op: "show", Workflow: "w"}); len(r.Workflows) == 1 && r.Workflows[0].Last != nil &&
			r.Workflows[0].Last.State != runQueued {
			t.Errorf("the last run is said to be %s", r.Workflows[0].Last.State)
		}
		a.beat(10 * time.Second)
		as := a.last()
		a.report(fleetEvent(as, evRunStarted, "", ""))
		g.expect(queued[0], runRunning, "")
		if r := g.ask(Request{Op: "agents"}); r.Agents[0].Running != 2 {
			t.Errorf("the agent is said to be at %d runs", r.Agents[0].Running)
		}
		aheadEnd(a, as, 0.1)
		if r := g.show(queued[0]); r.State != runSucceeded || r.Seconds != 0.1 ||
			r.Started.Sub(r.Queued.Time) < 9*time.Second {
			t.Errorf("%+v", r)
		}
		g.stop()
	})
}

// None is given ahead to an agent whose runs are long, that does not know how to give one back, or that is not to get
// more; nor while another agent has a free place.
func TestAheadNot(t *testing.T) {
	t.Parallel()
	last := func(t *testing.T, a *fleetAgent, queued []string) {
		t.Helper()
		if got := aheadOf(a); strings.Contains(got, "*") {
			t.Errorf("given %s, queued %s", got, queued)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		g, a, queued := aheadRig(t, 0.3)
		last(t, a, queued)
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := &fleetAgent{g: g, hello: agentMsg{Agent: "x", Capacity: 1, Epoch: "e", Version: "0",
			Can: []string{msgFollow}}}
		a.join()
		g.run("w")
		aheadEnd(a, a.last(), 0.1)
		last(t, a, []string{g.run("w"), g.run("w")})
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) { // another has a free place, and the run asks for nothing
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "a", 1)
		g.run("w")
		aheadEnd(a, a.last(), 0.1)
		g.run("w")
		b := fleetAgentJoin(g, "b", 1)
		run := g.run("w")
		if got := aheadOf(b); got != run {
			t.Errorf("the idle agent was given %q, not %s", got, run)
		}
		last(t, a, nil)
		g.run("w")
		if got := aheadOf(a); strings.Count(got, "*") != 1 { // b has shown nothing yet
			t.Errorf("given %s", got)
		}
		g.stop()
	})
}

// Runs of a workflow that go one after the other are not given ahead of each other.
func TestAheadOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := principalTask(Workflow{ID: "one", Overlap: overlapQueue})
		g, a, queued := aheadRig(t, 0.1, one)
		first, second := g.run("one"), g.run("one")
		for _, id := range queued {
			aheadEnd(a, a.last(), 0.1)
			if got := aheadOf(a); strings.Contains(got, second) {
				t.Fatalf("given %s while %s is not over (%s)", got, first, id)
			}
		}
		if as := a.last(); as.Run != first {
			t.Fatalf("%s was given, not %s", as.Run, first)
		}
		aheadEnd(a, a.last(), 0.1)
		if as := a.last(); as.Run != second {
			t.Errorf("%s was given, not %s", as.Run, second)
		}
		g.stop()
	})
}

// What an agent gives back is queued again in its place, and the agent is given none ahead until it has ended a short
// run again. A run of higher priority that came meanwhile goes first.
func TestAheadReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, queued := aheadRig(t, 0.1, principalTask(Workflow{ID: "first", Overlap: overlapAllow, Priority: 5}))
		as := a.last()
		at := a.assigned()[1]
		first := g.run("first")
		a.send(&agentMsg{Op: msgReturn, Run: as.Run, Lease: as.Lease + 1, Reason: "not this one"})
		if r := g.show(as.Run); r.Lease != as.Lease || !r.Ahead {
			t.Fatalf("%+v", r)
		}
		a.send(&agentMsg{Op: msgReturn, Run: as.Run, Lease: as.Lease, Reason: "no place"})
		g.expect(as.Run, runQueued, "no place; it had not begun; all agents are busy")
		if r := g.show(as.Run); r.Attempt != 1 || r.Ahead || r.Agent != "" {
			t.Errorf("%+v", r)
		}
		end := fleetEvent(at, evRunFinished, "", runSucceeded)
		end.Event.Seconds = 0.1
		a.report(end) // others are given ahead again
		if got := aheadOf(a); !strings.HasSuffix(got, " "+first+" *"+queued[0]) {
			t.Errorf("given %s, want %s and *%s", got, first, queued[0])
		}
		if as := a.last(); as.Lease != 2 {
			t.Errorf("lease %d", as.Lease)
		}
		g.stop()
	})
}

// A run that was given ahead and is cancelled ends as its agent says, or as the principal does when it comes back.
func TestAheadCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, _ := aheadRig(t, 0.1)
		as := a.last()
		if r := g.ask(Request{Op: "cancel", Run: as.Run}); !r.OK {
			t.Fatal(r.Error)
		}
		if m := a.of(msgCancel); len(m) != 1 || m[0].Run != as.Run {
			t.Fatalf("%+v", m)
		}
		a.send(&agentMsg{Op: msgReturn, Run: as.Run, Lease: as.Lease, Reason: "no place"}) // it was on its way already
		g.expect(as.Run, runCancelled, "cancelled by ")
		g.stop()
	})
}

// A run that was cancelled before it began says nothing of how long the agent's runs take.
func TestAheadCancelledNotQuick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, queued := aheadRig(t, 0.1)
		as := a.last()
		if r := g.ask(Request{Op: "cancel", Run: as.Run}); !r.OK {
			t.Fatal(r.Error)
		}
		a.report(fleetEvent(as, evRunFinished, "", runCancelled))
		if got := aheadOf(a); !strings.HasSuffix(got, " *"+as.Run+" *"+queued[1]) {
			t.Errorf("given %s", got)
		}
		g.stop()
	})
}

// An agent that is drained is asked for what it was given ahead, and given no more.
func TestAheadDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, queued := aheadRig(t, 0.1)
		as := a.last()
		if r := g.ask(Request{Op: "drain", Agent: "x"}); !r.OK {
			t.Fatal(r.Error)
		}
		if len(a.of(msgRecall)) != 1 {
			t.Fatal("nothing was recalled")
		}
		a.send(&agentMsg{Op: msgReturn, Run: as.Run, Lease: as.Lease, Reason: "drained"})
		g.expect(queued[0], runQueued, "drained; it had not begun; all agents that could take it are draining")
		aheadEnd(a, a.assigned()[1], 0.1)
		if got := len(a.assigned()); got != 3 {
			t.Errorf("%d runs were given", got)
		}
		g.stop()
	})
}

// A connection that ends, and a principal that starts again: what the agent has not begun is queued again, also where
// the agent had said nothing of it; what it has begun goes on. The agent is not taken to be too old for it.
func TestAheadLinkLost(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for _, begun := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				g, a, _ := aheadRig(t, 0.1)
				at, as := a.assigned()[1], a.last()
				if begun {
					a.report(fleetEvent(as, evRunStarted, "", ""))
					a.hello.Holds = append(a.hello.Holds, heldRun{as.Run, as.Lease})
				}
				a.hello.Holds = append(a.hello.Holds, heldRun{at.Run, at.Lease})
				if restart {
					g.stop()
					g.start(principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
				} else {
					a.gone()
				}
				if r := g.show(as.Run); r.Ahead == begun {
					t.Errorf("begun %v: %+v", begun, r)
				}
				a.join()
				want := map[bool]string{false: runQueued, true: runRunning}[begun]
				if r := g.show(as.Run); r.State != want || r.Attempt != 1 || r.Ahead {
					t.Errorf("begun %v, restart %v: %+v", begun, restart, r)
				}
				if !begun {
					g.expect(as.Run, runQueued, "agent x had no place for it when its connection ended; it had not "+
						"begun")
				}
				g.do(func() {
					if len(g.p.fleet.refusals) > 0 || g.p.fleet.ahead["x"] != 0 {
						t.Errorf("refusals %v, ahead %v", g.p.fleet.refusals, g.p.fleet.ahead)
					}
				})
				g.stop()
			})
		}
	}
}

// An agent that stays away may have begun what it was given ahead: that is crashed, or run again, as any other run.
func TestAheadAgentLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, _ := aheadRig(t, 0.1)
		as := a.last()
		a.gone()
		r := g.ask(Request{Op: "forget", Agent: "x"})
		if r.OK || r.Error.Message != "agent x still has 1 runs, and 1 queued ones that it was given ahead" {
			t.Errorf("%+v", r.Error)
		}
		time.Sleep(agentLostAfter + agentDoubt)
		synctest.Wait()
		g.expect(as.Run, runCrashed, "agent x was lost")
		g.do(func() {
			if n := g.p.fleet.ahead["x"]; n != 0 {
				t.Errorf("%d are counted as given ahead", n)
			}
		})
		g.stop()
	})
}

// What is told to whoever counts: a run that was given ahead is queued.
func TestAheadCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, _ := aheadRig(t, 0.1)
		told := ""
		g.do(func() { g.p.cfg.tell = func(runs, queued int) { told = fmt.Sprint(runs, " ", queued) } })
		g.do(func() { g.p.queue.counted = false })
		if told != "1 3" {
			t.Errorf("told %s", told)
		}
		a.report(fleetEvent(a.last(), evRunStarted, "", ""))
		if told != "2 2" {
			t.Errorf("told %s", told)
		}
		g.stop()
	})
}

// The shorter the runs of an agent are, the more it is given ahead, up to a bound.
func TestAheadCount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		seconds      float64
		places, want int
	}{{0.3, 3, 0}, {0.2, 3, 3}, {0.05, 3, 3}, {0.001, 3, 12}, {0, 30, fleetMaxAhead}} {
		g := lanesRigOpen(t)
		g.join("a", test.places, nil)
		link := g.f.links["a"]
		g.f.noteQuick(link, fleetQuickOf(test.seconds))
		for range 100 {
			g.queue(&Workflow{ID: "w", Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}})
		}
		if given := len(g.turn()); given != test.places+test.want || g.f.ahead["a"] != test.want {
			t.Errorf("after %v s: %d given, %d ahead, not %d", test.seconds, given, g.f.ahead["a"], test.want)
		}
	}
}

// What several reports bring, in one turn or in several, is acknowledged by one message once it is on the disk.
func TestFleetAcksTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 2)
		g.run("w")
		as := a.last()
		g.do(func() { // the loop is busy: all three come in one turn
			for i, item := range append(fleetBegun(as), fleetEvent(as, evRunFinished, "", runSucceeded)) {
				a.conn.Send(protoEncode(&agentMsg{V: protoVersion, Op: msgReport, N: uint64(i + 1),
					Items: []agentItem{item}}))
			}
			time.Sleep(time.Millisecond)
		})
		a.n = 3
		g.run("w") // its own fsync makes the three safe too
		as = a.last()
		if acks := a.of(msgAck); len(acks) != 1 || a.acked() != 3 {
			t.Errorf("%d acknowledgements, of %d", len(acks), a.acked())
		}
		for i, item := range append(fleetBegun(as), fleetEvent(as, evRunFinished, "", runSucceeded)) {
			a.send(&agentMsg{Op: msgReport, N: uint64(i + 4), Items: []agentItem{item}})
		}
		a.n = 6
		if acks := a.of(msgAck); len(acks) != 1 {
			t.Errorf("%d acknowledgements before the disk was written", len(acks))
		}
		time.Sleep(storeSoonDelay)
		synctest.Wait()
		if acks := a.of(msgAck); len(acks) != 2 || a.acked() != 6 {
			t.Errorf("%d acknowledgements, of %d", len(acks), a.acked())
		}
		g.stop()
	})
}
