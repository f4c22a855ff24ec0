package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAgentLeaseAfterSleep: what wakes the agent after the machine has slept for longer than its leases hold finds that
// over first: no attempt begins of a run that is somebody else's by now, and nothing of it is said to have begun.
func TestAgentLeaseAfterSleep(t *testing.T) {
	for what, wake := range map[string]func(g *agentRig){
		"an attempt that is due":      func(*agentRig) { time.Sleep(4 * time.Second) }, // before the next heartbeat
		"a message of the principal":  func(g *agentRig) { g.say(&agentMsg{Op: msgFollow, Run: "R1"}) },
		"another run":                 func(g *agentRig) { g.assign("R2", 1, Workflow{Tasks: agentWaiting}) },
		"an answer that was long due": func(g *agentRig) { g.say(&agentMsg{Op: msgHeartbeat}) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := agentRigOpen(t)
				slept := time.Duration(0)
				g.do(func() { g.a.cfg.count = func() time.Time { return time.Now().Add(slept) } })
				time.Sleep(agentPaceOf(0).beat + time.Second/2)
				g.assign("R1", 1, Workflow{Failover: failoverRerun, Tasks: []Task{{ID: "a", Cmd: "/no/such/program",
					Retries: 9, RetryDelay: Duration(3 * time.Second)}}})
				if got := g.events("R1"); !strings.HasSuffix(got, "task.retrying a") {
					t.Errorf("before the sleep: %s", got)
				}
				g.do(func() { slept = time.Hour })
				wake(g)
				synctest.Wait()
				if got := g.events("R1"); strings.Count(got, "task.started") != 1 ||
					!strings.HasSuffix(got, "run.finished crashed") {
					t.Errorf("%s", got)
				}
				g.end()
			})
		})
	}
}

// TestAgentLeaseFromSending: the lease of a run counts from when the heartbeat that was answered last was sent. An
// answer that was on its way for long says nothing of what the principal heard since. It counts by the clock that goes
// on while the machine sleeps: here the other one stands still.
func TestAgentLeaseFromSending(t *testing.T) {
	now := time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)
	spool, err := spoolOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer spool.close()
	near, theirs := wirePipe()
	far := farConn{near}
	defer theirs.Close()
	a := &agent{cfg: agentConfig{Name: "one", Log: slog.New(slog.DiscardHandler), now: time.Now,
		count: func() time.Time { return now }}, spool: spool,
		runs: map[string]*agentRun{}, ends: map[string]heldEnd{}}
	a.asks.a = a
	hold := func() {
		a.runs["r"] = &agentRun{as: &assignment{Run: "r", Lease: 1, Spec: &Workflow{ID: "w", Failover: failoverRerun}}}
	}
	a.connected(far)
	a.hear(far, &agentMsg{Op: msgWelcome, Can: protoPrincipalCan})
	hold()
	for _, step := range []struct {
		after time.Duration
		do    func()
		held  bool
	}{
		{5 * time.Second, a.beat, true},
		{8 * time.Second, func() { a.hear(far, &agentMsg{Op: msgHeartbeat}) }, true}, // 13 s: the answer to that of 5 s
		{1 * time.Second, a.endLeases, true},
		{1 * time.Second, a.endLeases, false}, // 15 s
	} {
		now = now.Add(step.after)
		step.do()
		if (a.runs["r"] != nil) != step.held {
			t.Fatalf("at second %d the run is held: %v", now.Second(), !step.held)
		}
	}
	hold()
	a.disconnected(far)
	a.connected(far)
	now = now.Add(9 * time.Second)
	a.hear(far, &agentMsg{Op: msgWelcome, Can: protoPrincipalCan})
	now = now.Add(time.Second)
	if a.endLeases(); a.runs["r"] != nil {
		t.Error("a welcome that took 9 s holds a run for longer than 10 s from the hello")
	}
}

// TestAgentLeaseFromHello: an agent that heard a welcome and nothing since stops its runs when ten seconds from its
// hello are over, between two heartbeats.
func TestAgentLeaseFromHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: agentWaiting, Failover: failoverRerun})
		time.Sleep(time.Second)
		g.set(func() { g.silent = true })
		g.setDown(true)
		g.setDown(false)
		time.Sleep(agentPaceOf(0).lease + agentPaceOf(0).beat)
		synctest.Wait()
		hello := g.dialled[1]
		if e := g.lastEvent("R1"); e.State != runCrashed ||
			e.Time.Sub(hello.Add(agentPaceOf(0).lease)).Abs() > 100*time.Millisecond {
			t.Errorf("hello at %v, and at %v %+v", hello, e.Time, e)
		}
		g.end()
	})
}
