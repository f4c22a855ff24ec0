package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAgentPace: the leases end well before the principal gives runs to others, and two heartbeats fit into each. That
// holds for the principal of this build and for one that does not say how long it waits.
func TestAgentPace(t *testing.T) {
	for patience, want := range map[time.Duration]agentPace{
		0:              {5 * time.Second, 10 * time.Second, 11 * time.Second},
		agentLostAfter: {10 * time.Second, 20 * time.Second, 21 * time.Second},
	} {
		if got := agentPaceOf(patience); got != want {
			t.Errorf("after %s: %+v", patience, got)
		}
	}
	for _, patience := range []time.Duration{agentPatience, agentLostAfter, 100 * time.Hour} {
		p := agentPaceOf(patience)
		if 2*p.beat > p.lease || p.deaf > patience || p.lease > min(patience, time.Hour)*2/3 {
			t.Errorf("after %s: %+v", patience, p)
		}
	}
}

// TestAgentBeats: an agent says each ten seconds that it is there, with runs or without, and makes a connection anew on
// which it hears nothing.
func TestAgentBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, greets: &agentMsg{Op: msgWelcome,
			Can: protoPrincipalCan, LostAfter: int(agentLostAfter / time.Second)}}
		g.start()
		pace, beats := agentPaceOf(agentLostAfter), 0
		after := func(what string, d time.Duration, more int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			beats += more
			if n := len(g.of(msgHeartbeat)); n != beats {
				t.Fatalf("%s: %d heartbeats, want %d", what, n, beats)
			}
		}
		after("before the first", pace.beat-1, 0)
		after("the first", 1, 1)
		after("idle", 10*pace.beat, 10)
		after("before a run", pace.beat-time.Second, 0)
		g.assign("R1", 1, Workflow{Tasks: agentWaiting, Failover: failoverRerun})
		after("a run", time.Second, 1)
		after("busy", 3*pace.beat, 3)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Drop: true})
		after("idle again", 10*pace.beat, 10)
		g.set(func() { g.silent = true })
		after("without answers", 4*pace.beat, 3)
		if n := len(g.of(msgHello)); n != 2 {
			t.Errorf("a dead connection was made anew %d times", n-1)
		}
		g.end()
	})
}

// TestAgentBeatsLater: an agent without runs is woken by an answer to each second heartbeat, and one with runs by an
// answer to each. An earlier principal answers all at once.
func TestAgentBeatsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, greets: &agentMsg{Op: msgWelcome,
			Can: protoPrincipalCan, LostAfter: int(agentLostAfter / time.Second)}}
		g.start()
		slept := time.Duration(0)
		g.do(func() { g.a.cfg.count = func() time.Time { return time.Now().Add(slept) } })
		const beats = 100
		answers := func() (n int) {
			g.set(func() { n = g.answers })
			return n
		}
		after := func(what string, want int) {
			t.Helper()
			before, said := answers(), len(g.of(msgHeartbeat))
			time.Sleep(beats * agentPaceOf(agentLostAfter).beat)
			synctest.Wait()
			if n := len(g.of(msgHeartbeat)) - said; n != beats || answers()-before != want {
				t.Errorf("%s: %d heartbeats and %d answers, want %d and %d", what, n, answers()-before, beats, want)
			}
		}
		after("idle", beats/2)
		time.Sleep(agentPaceOf(agentLostAfter).beat + time.Second)
		// the next heartbeat, which is to be answered, is late
		g.do(func() { slept += agentPaceOf(agentLostAfter).beat })
		time.Sleep(agentPaceOf(agentLostAfter).beat)
		g.assign("R1", 1, Workflow{Tasks: agentWaiting, Failover: failoverRerun})
		after("busy", beats)
		if got := g.events("R1"); got != agentBegun {
			t.Errorf("a run that nothing ended: %s", got)
		}
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Drop: true})
		g.set(func() { g.eager = true })
		after("an earlier principal", beats)
		if n := len(g.of(msgHello)); n != 1 {
			t.Errorf("it connected %d times", n)
		}
		g.end()
	})
}

// TestAgentBeatsIdle: nothing but its heartbeats wakes an agent without runs, though its timer rings a little early by
// the clock that leases count by: so each second heartbeat comes shortly before a lease would end.
func TestAgentBeatsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		began, beat := time.Now(), agentPaceOf(0).beat
		g.do(func() {
			g.a.cfg.count = func() time.Time { return time.Now().Add(-time.Since(began) / 10_000) }
		})
		time.Sleep(beat + time.Second)
		said := len(g.of(msgHeartbeat))
		time.Sleep(100 * beat)
		synctest.Wait()
		if n := len(g.of(msgHeartbeat)) - said; n != 100 {
			t.Errorf("%d heartbeats, want 100", n)
		}
		g.end()
	})
}

// TestAgentBeatsForLease: the lease of a run that comes to an idle agent does not count from the heartbeat before the
// last one, though that was the last to be answered: the principal answers before it gives the run out, and where the
// two have crossed the agent asks at once.
func TestAgentBeatsForLease(t *testing.T) {
	for what, crossed := range map[string]bool{"answered": false, "crossed": true} {
		synctest.Test(t, func(t *testing.T) {
			g := agentRigOpen(t)
			pace := agentPaceOf(0)
			time.Sleep(pace.beat + time.Second)
			beats := g.of(msgHeartbeat)
			if n := len(beats); n != 1 || !beats[0].Later {
				t.Fatalf("%s: %d heartbeats", what, n)
			}
			w, asks := Workflow{ID: "w", Tasks: agentWaiting, Failover: failoverRerun}, 0
			if crossed {
				g.say(&agentMsg{Op: msgAssign, Assign: &assignment{Run: "R1", Lease: 1, Attempt: 1, Spec: &w}})
				asks = 1
			} else {
				g.assign("R1", 1, w)
			}
			if n := len(g.of(msgHeartbeat)); n != 1+asks {
				t.Errorf("%s: %d heartbeats with the run", what, n-1)
			}
			time.Sleep(pace.beat - 2*time.Second) // before the next one
			var from time.Time
			g.do(func() { from = g.a.leaseFrom })
			if age := time.Since(from); age > pace.beat {
				t.Errorf("%s: the lease counts from %s ago", what, age)
			}
			time.Sleep(time.Minute)
			if got := g.events("R1"); got != agentBegun {
				t.Errorf("%s: %s", what, got)
			}
			g.end()
		})
	}
}

// TestAgentBeatsNear: an agent in the principal's process has no timer for heartbeats.
func TestAgentBeatsNear(t *testing.T) {
	ours, theirs := wirePipe()
	defer ours.Close()
	defer theirs.Close()
	a := &agent{conn: ours, pace: agentPaceOf(0), runs: map[string]*agentRun{"r": nil}}
	if a.every() != 0 {
		t.Error("it sets one")
	}
	if a.conn = nil; a.every() != a.pace.beat {
		t.Error("its leases never end without a principal")
	}
}

// TestAgentBeatBytes: an idle agent's connection by tcp with keys carries at most 1 MB a day. With headers that is 2
// MB: for two heartbeats there are a segment for each, one that acknowledges the first, one for the answer and one that
// acknowledges that, each with 20 bytes of IPv4 and 32 of TCP with times.
func TestAgentBeatBytes(t *testing.T) {
	const headers, frame, segments = 20 + 32, 2, 2.5
	load := 0.25
	size := func(m agentMsg) int { return frame + curveMessageExtra + len(protoEncode(&m)) }
	later, answer := size(agentMsg{Op: msgHeartbeat, Later: true}), size(agentMsg{Op: msgHeartbeat, N: 2})
	short := size(agentMsg{Op: msgHeartbeat})
	long := size(agentMsg{Op: msgHeartbeat, Later: true, Load: &load, Clock: stampOf(time.Now())})
	round := float64(short+answer)/2 + float64((agentSaysEach/2-1)*later+long)/agentSaysEach
	beats := float64(24*time.Hour) / float64(agentPaceOf(agentLostAfter).beat)
	day := round * beats
	t.Logf("%d bytes or %d, the answer %d: %.2f MB a day, %.2f with headers", short, long, answer, day/1e6,
		(day+segments*headers*beats)/1e6)
	if day > 1e6 {
		t.Errorf("%.2f MB a day", day/1e6)
	}
}
