package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPrincipalRests: a principal is idle when it has heard nothing but heartbeats for a while and no run is active.
// Any request ends that at once.
func TestPrincipalRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := ""
		g := principalRigOpen(t, t.TempDir())
		g.stop()
		g.cfg.rest = func(idle bool) {
			if idle {
				said += " idle"
			} else {
				said += " busy"
			}
		}
		g.start(principalTask(Workflow{ID: "w"}))
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if said != want {
				t.Errorf("%s: said%s, want%s", when, said, want)
			}
			said = ""
		}
		a := fleetAgentJoin(g, "x", 1)
		a.beat(principalIdle - time.Second)
		expect("soon after the agent came", "")
		a.beat(2 * principalIdle)
		expect("heartbeats alone", " idle")
		run := g.run("w")
		expect("a run", " busy")
		a.report(fleetBegun(a.last())...)
		a.beat(2 * principalIdle)
		expect("a task that is silent", "")
		aheadEnd(a, a.last(), 1)
		a.beat(2 * principalIdle)
		expect("after the run", " idle")
		g.show(run)
		expect("a request", " busy")
		g.stop()
	})
}
