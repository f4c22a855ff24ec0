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
	if p := agentPaceOf(agentLostAfter); p.beat >= serveHeartbeat {
		t.Errorf("an agent says so each %s, and is asked after %s", p.beat, serveHeartbeat)
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
		after("without answers", 3*pace.beat, 2)
		if n := len(g.of(msgHello)); n != 2 {
			t.Errorf("a dead connection was made anew %d times", n-1)
		}
		g.end()
	})
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

// TestAgentBeatBytes: an idle agent's connection by tcp with keys carries at most 1.5 MB a day. With headers that is
// 2.4 MB: a segment for the heartbeat, one for its answer and one that acknowledges that, each with 20 bytes of IPv4
// and 32 of TCP with times.
func TestAgentBeatBytes(t *testing.T) {
	const headers, frame = 20 + 32, 2
	load := 0.25
	size := func(m agentMsg) int { return frame + curveMessageExtra + len(protoEncode(&m)) }
	short, answer := size(agentMsg{Op: msgHeartbeat}), size(agentMsg{Op: msgHeartbeat})
	long := size(agentMsg{Op: msgHeartbeat, Load: &load, Clock: stampOf(time.Now())})
	round := float64((agentSaysEach-1)*short+long)/agentSaysEach + float64(answer)
	beats := float64(24*time.Hour) / float64(agentPaceOf(agentLostAfter).beat)
	day := round * beats
	t.Logf("%d bytes or %d, the answer %d: %.2f MB a day, %.2f with headers", short, long, answer, day/1e6,
		(day+3*headers*beats)/1e6)
	if day > 1.5e6 {
		t.Errorf("%.2f MB a day", day/1e6)
	}
}
