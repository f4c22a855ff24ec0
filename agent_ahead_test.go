// Tests of runs that an agent is given before it has a place for them, on the agent's side.

package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// aheadAgent is an agent all of whose four places are taken, and that was given R5 and R6 ahead.
func aheadAgent(t *testing.T) *agentRig {
	t.Helper()
	g := agentRigOpen(t)
	for _, run := range []string{"R1", "R2", "R3", "R4"} {
		g.assign(run, 1, Workflow{Tasks: agentWaiting})
	}
	for _, run := range []string{"R5", "R6"} {
		aheadAssign(g, run)
	}
	if got := g.events("R5") + g.events("R6"); got != "" {
		t.Fatalf("begun: %s", got)
	}
	return g
}

func aheadAssign(g *agentRig, run string) {
	g.t.Helper()
	g.say(&agentMsg{Op: msgAssign, Assign: &assignment{Run: run, Lease: 1, Attempt: 1, Ahead: true,
		Spec: &Workflow{ID: "w", Tasks: agentWaiting, Timeout: Duration(time.Minute)}}})
}

// aheadBack lists the runs that were given back, and why the last one was.
func aheadBack(g *agentRig) (runs, reason string) {
	for _, m := range g.of(msgReturn) {
		runs, reason = strings.TrimPrefix(runs+" "+m.Run, " "), m.Reason
	}
	return runs, reason
}

// A run that was given ahead begins as soon as there is a place, in order; its time and its timeout count from then.
func TestAheadBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := aheadAgent(t)
		time.Sleep(agentAhead / 2)
		g.say(&agentMsg{Op: msgCancel, Run: "R2", Reason: "enough"})
		if got := g.events("R5"); got != agentBegun {
			t.Errorf("said: %s", got)
		}
		if got := g.events("R6"); got != "" {
			t.Errorf("begun: %s", got)
		}
		time.Sleep(agentAhead)
		if runs, reason := aheadBack(g); runs != "R6" || reason != "agent x had no place for it within 200ms" {
			t.Errorf("given back: %s: %s", runs, reason)
		}
		time.Sleep(time.Minute - agentAhead - time.Second)
		if got := g.events("R5"); got != agentBegun {
			t.Errorf("said: %s", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if e := g.lastEvent("R5"); e.Kind != evRunFinished || e.Seconds != 60 {
			t.Errorf("%+v", e)
		}
		aheadAssign(g, "R7") // there are places: at once
		aheadAssign(g, "R8")
		if got := g.events("R7") + g.events("R8"); got != agentBegun {
			t.Errorf("said: %s", got)
		}
		g.end()
	})
}

// What waits for a place goes back when the principal asks for it, when the agent is to end, and is no more known when
// the connection ends.
func TestAheadGoesBack(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(g *agentRig)
		back string
		why  string
	}{
		"recall": {func(g *agentRig) { g.say(&agentMsg{Op: msgRecall}) }, "R5 R6", "agent x takes no more runs"},
		"drain": {func(g *agentRig) {
			g.do(g.a.drain)
			aheadAssign(g, "R7") // it was on its way
		}, "R5 R6 R7", "agent x takes no more runs"},
		"link": {func(g *agentRig) {
			g.do(func() { g.a.conn.Cut(nil) })
			time.Sleep(time.Second)
			hello := g.of(msgHello)
			if n := len(hello[len(hello)-1].Holds); n != 4 {
				g.t.Errorf("%d runs are held", n)
			}
		}, "", ""},
		"dropped": {func(g *agentRig) {
			g.say(&agentMsg{Op: msgCancel, Run: "R5", Drop: true})
			time.Sleep(2 * agentAhead)
		}, "R6", "agent x had no place for it within 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := aheadAgent(t)
				test.do(g)
				g.say(&agentMsg{Op: msgCancel, Run: "R1"})
				time.Sleep(2 * agentAhead)
				synctest.Wait()
				if got := g.events("R5") + g.events("R6") + g.events("R7"); got != "" {
					t.Errorf("said: %s", got)
				}
				if runs, why := aheadBack(g); runs != test.back || why != test.why {
					t.Errorf("given back: %q: %s", runs, why)
				}
				g.end()
			})
		})
	}
}

// A run that waits for a place and is cancelled ends at once, and says so. It is followed no more, however it ends.
func TestAheadCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := aheadAgent(t)
		g.say(&agentMsg{Op: msgFollow, Run: "R5"})
		g.say(&agentMsg{Op: msgFollow, Run: "R6"})
		g.say(&agentMsg{Op: msgCancel, Run: "R6", Drop: true})
		g.say(&agentMsg{Op: msgCancel, Run: "R5", Reason: "cancelled by me"})
		g.do(func() {
			if len(g.a.followed) > 0 {
				t.Errorf("still followed: %v", g.a.followed)
			}
		})
		if e := g.lastEvent("R5"); e.Kind != evRunFinished || e.State != runCancelled ||
			e.Reason != "cancelled by me" || e.Lease != 1 || e.Seconds != 0 {
			t.Errorf("%+v", e)
		}
		if got := g.events("R5"); strings.Contains(got, ",") {
			t.Errorf("said: %s", got)
		}
		g.end()
	})
}
