package main

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDispatchSilenceTwice: a principal that was stopped or slept for longer than an agent may be silent first reads
// what the agent said meanwhile. An agent that said nothing is given up at the second look.
func TestDispatchSilenceTwice(t *testing.T) {
	now := time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: t.TempDir(), NoSync: true, NoScheduler: true,
		Zone: time.UTC,
		Log:  slog.New(slog.DiscardHandler), now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	conn, theirs := wirePipe()
	defer conn.Close()
	link := &agentLink{name: "one", epoch: "e", conn: theirs, grant: &authGrant{}}
	hello := protoTestHello("one", "e")
	p.fleet.welcome(link, &hello)
	look := func(after time.Duration) bool {
		now = now.Add(after)
		p.fleet.giveUpSilent(now)
		return p.fleet.links["one"] != nil
	}
	if !look(time.Minute) {
		t.Fatal("it was given up at the first look after a minute of sleep")
	}
	if wait := p.untilNext(now); wait != agentDoubt {
		t.Errorf("the second look is in %s", wait)
	}
	p.fleet.hear(link, &agentMsg{Op: msgHeartbeat}, 10)
	if !look(agentDoubt) || !look(agentLostAfter) {
		t.Fatal("it was given up though it had been heard")
	}
	if look(agentDoubt) {
		t.Error("it is silent and was not given up")
	}
}

// TestDispatchSilenceWakes: while agents say that they are there, the principal wakes for that alone.
func TestDispatchSilenceWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
		turns := atomic.Int32{}
		g.cfg = principalConfig{dialect: compatNew, StateDir: g.dir, NoSync: true, Zone: time.UTC,
			Log:   slog.New(slog.NewTextHandler(g.log, nil)),
			pulse: func() time.Duration { turns.Add(1); return time.Hour }}
		g.start()
		a := fleetAgentJoin(g, "x", 1)
		synctest.Wait()
		turns.Store(0)
		for range 20 {
			time.Sleep(16 * time.Second)
			a.send(&agentMsg{Op: msgHeartbeat})
			synctest.Wait()
		}
		if n := turns.Load(); n > 22 {
			t.Errorf("%d turns for 20 heartbeats", n)
		}
		time.Sleep(agentLostAfter + 2*agentDoubt)
		synctest.Wait()
		if !a.cut() {
			t.Error("it is silent, and still there")
		}
		g.stop()
	})
}

// TestDispatchSkew: an agent whose clock is far off is named; one whose message was long on its way is not.
func TestDispatchSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		beat := func(ahead time.Duration) float64 {
			t.Helper()
			a.send(&agentMsg{Op: msgHeartbeat, Clock: stampOf(time.Now().Add(ahead))})
			return g.ask(Request{Op: "agents"}).Agents[0].Skew
		}
		const warning = "the clock of this agent is not ours"
		for _, c := range []struct {
			ahead    time.Duration
			skew     float64
			warnings int
		}{
			{0, 0, 0}, {-17 * time.Second, 0, 0}, {time.Second, 0, 0}, {4 * time.Second, 0, 0}, {time.Minute, 0, 0},
			// once a minute
			{time.Minute, 60, 1}, {62 * time.Second, 62, 1}, {0, 0, 1}, {-time.Hour, 0, 1}, {-time.Hour, -3600, 1},
		} {
			skew := beat(c.ahead)
			if n := strings.Count(g.log.String(), warning); skew != c.skew || n != c.warnings {
				t.Errorf("a clock %v ahead: skew %v, want %v; %d warnings, want %d", c.ahead, skew, c.skew, n,
					c.warnings)
			}
		}
		g.stop()
		if log := g.log.String(); strings.Count(log, warning) != 2 || !strings.Contains(log, "times_more=1") {
			t.Errorf("the second time is not told of:\n%s", log)
		}
	})
}

// TestDispatchLoad: agents says how busy an agent's machine is. Followers are told of it only together with other
// changes, and the journal never. An older agent says nothing of it, and nonsense is no load.
func TestDispatchLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		agent := func() *Agent { return g.ask(Request{Op: "agents"}).Agents[0] }
		if a := agent(); a.Load != nil || !strings.HasPrefix(a.Address, "local") || a.loadText() != "-" {
			t.Errorf("before it said so: %+v", a)
		}
		if w := a.of(msgWelcome); len(w) != 1 || w[0].Version != programVersion() {
			t.Errorf("welcomed by %+v: the agent cannot know that a load is understood", w)
		}
		watch := newsClientOpen(g, nil, opsPage)
		defer watch.conn.Close()
		pushed := func(n int) (rows int) {
			for _, r := range watch.since(n) {
				rows += len(r.Agents)
			}
			return rows
		}
		seq, before := g.p.state.Seq, watch.count()
		for i, c := range []struct {
			load float64
			want string
			rows int // told so far
		}{{0.5, "0.50", 1}, {0.75, "0.75", 1}, {12, "12.00", 1}, {-1, "12.00", 1}, {1e300, "12.00", 1},
			{0, "0.00", 1}} {
			a.send(&agentMsg{Op: msgHeartbeat, Load: &c.load})
			time.Sleep(2 * newsGap)
			synctest.Wait()
			if got := agent().loadText(); got != c.want || pushed(before) != c.rows {
				t.Errorf("heartbeat %d: load %s, want %s; %d rows were pushed, want %d", i, got, c.want, pushed(before),
					c.rows)
			}
		}
		a.send(&agentMsg{Op: msgHeartbeat})
		if got := agent().loadText(); got != "0.00" || g.p.state.Seq != seq || g.p.state.Agents["x"].Load != nil {
			t.Errorf("load %s, %d events were written", got, g.p.state.Seq-seq)
		}
		a.gone()
		if a := agent(); a.Load != nil || a.Address == "" {
			t.Errorf("of a lost one: %+v", a)
		}
		g.stop()
	})
}

// TestPrincipalAnswersLater: heartbeats whose answer may come later are answered with the next one, in one message, or
// before a run: its lease counts from them.
func TestPrincipalAnswersLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		said := func(what, want string) {
			t.Helper()
			synctest.Wait()
			a.mu.Lock()
			defer a.mu.Unlock()
			got := ""
			for _, m := range a.got {
				got += fmt.Sprintf("%s %d, ", m.Op, m.N)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
			a.got = nil
		}
		said("the hello", "welcome 0, ")
		a.send(&agentMsg{Op: msgHeartbeat, Later: true})
		a.send(&agentMsg{Op: msgHeartbeat, Later: true})
		said("later", "")
		a.send(&agentMsg{Op: msgHeartbeat})
		said("now", "heartbeat 3, ")
		a.send(&agentMsg{Op: msgHeartbeat})
		said("an earlier agent", "heartbeat 0, ")
		a.send(&agentMsg{Op: msgHeartbeat, Later: true})
		g.run("w")
		said("a run", "heartbeat 0, assign 0, ")
		a.send(&agentMsg{Op: msgHeartbeat, Later: true})
		said("an agent that had not heard of its run when it sent that", "heartbeat 0, ")
		g.stop()
	})
}
