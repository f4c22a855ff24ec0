package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// agentRig is a real agent in a synctest bubble, and a principal that speaks by hand. No process is ever started: a
// program that is not there fails at once, and a task that waits for its next attempt keeps its run alive.
type agentRig struct {
	t     *testing.T
	a     *agent
	dir   string
	log   *principalLog
	stop  context.CancelFunc
	kill  chan struct{}
	group sync.WaitGroup

	mu      sync.Mutex
	conn    wireConn // our end of the newest connection
	down    bool     // nobody listens
	silent  bool     // heartbeats are not answered
	eager   bool     // all are answered at once
	owed    uint64   // heartbeats that are not answered yet
	answers int      // to heartbeats
	mute    bool     // nothing is acknowledged
	deny    string   // why a hello is refused
	folded  uint64
	got     []agentMsg
	dialled []time.Time
	real    *principal // connected to instead of this one
	other   *Reply     // it answers a hello so, as to a client; nil: it does not
	greets  *agentMsg  // it welcomes with this; nil: as it should
	bytes   int        // of all reports
	gap     string     // what a principal would cut the connection for
}

func agentRigOpen(t *testing.T) *agentRig {
	t.Helper()
	g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}}
	g.start()
	return g
}

// start begins a life of the agent, as agentOpen does but for the signals, which do not come into a bubble.
func (g *agentRig) start() {
	g.t.Helper()
	cfg := agentConfig{Name: "x", Labels: map[string]string{"site": "here"}, Capacity: 4, StateDir: g.dir,
		Grace: time.Second, DrainTimeout: time.Minute,
		Dial: g.dial, Log: slog.New(slog.NewTextHandler(g.log, nil)), now: time.Now, count: time.Now}
	sp, err := spoolOpen(filepath.Join(g.dir, "spool"))
	if err != nil {
		g.t.Fatal(err)
	}
	ps := agentRigProcs(g.t)
	g.a = newAgent(cfg, sp, ps)
	if err := g.a.recallEnds(); err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop, g.kill = stop, make(chan struct{})
	g.group.Go(func() {
		if err := g.a.runAgent(ctx, g.kill); err != nil {
			g.t.Error(err)
		}
	})
	synctest.Wait()
}

// agentRigProcs is what newProcs makes, but for the signals, which do not come into a bubble of synctest.
func agentRigProcs(t testing.TB) *procs {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	ps := &procs{key: "CDKTR_COOKIE", null: null, kill: unix.Kill, sigCh: make(chan os.Signal, 1),
		quitCh: make(chan struct{}), hurry: make(chan struct{}),
		mains: map[int]*proc{}, live: map[*proc]struct{}{}}
	if err := ps.sys.open(t.Name()); err != nil {
		t.Fatal(err)
	}
	ps.loop.Go(ps.runCollect)
	return ps
}

// end stops the agent and waits for it.
func (g *agentRig) end() {
	g.t.Helper()
	g.stop()
	g.group.Wait()
	if g.gap != "" {
		g.t.Error(g.gap)
	}
}

// die ends the agent as kill -9 does: what it has spooled stays.
func (g *agentRig) die() {
	g.setDown(true)
	close(g.kill)
	g.group.Wait()
}

func (g *agentRig) setDown(down bool) {
	g.mu.Lock()
	g.down = down
	conn := g.conn
	g.mu.Unlock()
	if down && conn != nil {
		conn.Close()
	}
	synctest.Wait()
}

func (g *agentRig) set(fn func()) {
	g.mu.Lock()
	fn()
	g.mu.Unlock()
}

func (g *agentRig) dial(context.Context) (wireConn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dialled = append(g.dialled, time.Now())
	if g.down {
		return nil, errors.New("nobody is there")
	}
	near, server := wirePipe()
	client := farConn{near} // with heartbeats and leases
	if g.real != nil {
		go g.real.runPeer(server) // ends with the connection, and the bubble with it
		return client, nil
	}
	g.conn = server
	g.group.Go(func() { g.serve(server) })
	return client, nil
}

// serve is the principal: it welcomes, answers heartbeats, and acknowledges at once what comes in order.
func (g *agentRig) serve(conn wireConn) {
	said := uint64(0) // newest number that came, or is missing, on this connection
	for {
		frames, err := conn.Recv()
		if err != nil {
			return
		}
		m := agentMsg{}
		if err := protoDecode(frames[len(frames)-1], &m); err != nil {
			g.t.Errorf("the agent says %q: %v", frames, err)
			return
		}
		m.unpack()
		var reply *agentMsg
		g.mu.Lock()
		g.got = append(g.got, m)
		switch m.Op {
		case msgHello:
			g.folded, g.owed = max(g.folded, m.N), 0
			said = g.folded
			reply = &agentMsg{Op: msgWelcome, N: g.folded, Can: protoPrincipalCan}
			if g.greets != nil {
				reply = g.greets
			}
			if g.other != nil {
				conn.Send(protoEncode(g.other))
				reply = nil
			}
			if g.deny != "" {
				reply = &agentMsg{Op: msgRefused, Reason: g.deny}
			}
		case msgHeartbeat:
			if g.silent {
				break
			}
			if g.owed++; !m.Later || g.eager {
				reply = g.answer()
			}
		case msgReport:
			if m.N-1-m.Skip != said {
				g.gap = fmt.Sprintf("number %d with %d skipped came after %d", m.N, m.Skip, said)
			}
			said = m.N - 1 + uint64(len(m.Items))
			g.bytes += len(frames[len(frames)-1])
			if !g.mute {
				g.folded = said
				reply = &agentMsg{Op: msgAck, N: said}
			}
		}
		deny := g.deny
		g.mu.Unlock()
		if reply != nil {
			reply.V = max(reply.V, protoVersion)
			conn.Send(protoEncode(reply))
		}
		if deny != "" {
			conn.Close()
			return
		}
	}
}

// say sends the agent a message.
func (g *agentRig) say(m *agentMsg) {
	g.t.Helper()
	g.mu.Lock()
	conn := g.conn
	g.mu.Unlock()
	m.V = protoVersion
	conn.Send(protoEncode(m))
	synctest.Wait()
}

// answer makes the answer to the heartbeats that were not answered yet. The caller holds mu.
func (g *agentRig) answer() *agentMsg {
	m := &agentMsg{Op: msgHeartbeat, N: g.owed}
	g.owed = 0
	g.answers++
	return m
}

func (g *agentRig) assign(run string, lease int, w Workflow) {
	g.t.Helper()
	w.ID = "w"
	var answer *agentMsg
	g.set(func() {
		if g.owed > 0 {
			answer = g.answer()
		}
	})
	if answer != nil {
		g.say(answer)
	}
	g.say(&agentMsg{Op: msgAssign, Assign: &assignment{Run: run, Lease: lease, Attempt: lease, Spec: &w}})
}

// of lists what the agent said of one kind.
func (g *agentRig) of(op string) []agentMsg {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.got), func(m agentMsg) bool { return m.Op != op })
}

// events lists all events of a run that were reported, in short, repeats too.
func (g *agentRig) events(run string) string {
	var list []string
	for _, m := range g.of(msgReport) {
		for _, item := range m.Items {
			if e := item.Event; e != nil && e.Run == run {
				list = append(list, strings.Join(strings.Fields(e.Kind+" "+e.Task+" "+e.State), " "))
			}
		}
	}
	return strings.Join(list, ", ")
}

// lastEvent gives the newest event of a run.
func (g *agentRig) lastEvent(run string) *Event {
	g.t.Helper()
	var last *Event
	for _, m := range g.of(msgReport) {
		for _, item := range m.Items {
			if item.Event != nil && item.Event.Run == run {
				last = item.Event
			}
		}
	}
	if last == nil {
		g.t.Fatalf("nothing was said of run %s", run)
	}
	return last
}

// do runs fn on the agent's loop.
func (g *agentRig) do(fn func()) {
	g.t.Helper()
	if !g.a.call(fn) {
		g.t.Fatal("the agent has ended")
	}
	synctest.Wait()
}

// output gives the function that takes what the first task of a run writes.
func (g *agentRig) output(run string) (output func(procLines)) {
	g.t.Helper()
	g.do(func() { output = g.a.outputOf(g.a.runs[run].tries[0]) })
	return output
}

// write has the first task of a run write a text some times, and gives how many bytes were taken so far.
func (g *agentRig) write(run, text string, times int) (taken *atomic.Int64) {
	g.t.Helper()
	output := g.output(run)
	taken = &atomic.Int64{}
	go func() {
		for range times {
			output(procLines{Time: time.Now(), Text: []byte(text)})
			taken.Add(int64(len(text)))
		}
	}()
	synctest.Wait()
	return taken
}

var (
	agentBroken  = []Task{{ID: "a", Cmd: "/no/such/program"}}
	agentWaiting = []Task{{ID: "a", Cmd: "/no/such/program", Retries: 100, RetryDelay: Duration(100 * time.Hour)}}
)

const agentBegun = "run.started, task.started a, task.retrying a"

func TestAgentHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		hello := g.of(msgHello)
		if len(hello) != 1 || hello[0].Agent != "x" || hello[0].Capacity != 4 || hello[0].Labels["site"] != "here" ||
			hello[0].Epoch == "" || len(hello[0].Holds) != 0 || hello[0].Last != 0 {
			t.Fatalf("%+v", hello)
		}
		g.assign("R1", 1, Workflow{Tasks: agentBroken})
		if got := g.events("R1"); got != "run.started, task.started a, task.finished a failed, run.finished failed" {
			t.Errorf("said: %s", got)
		}
		if e := g.lastEvent("R1"); !strings.HasPrefix(e.Reason, "task a: ") || e.Lease != 1 || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
		time.Sleep(time.Minute + time.Second)
		if n := len(g.of(msgHeartbeat)); n != 12 || len(g.of(msgHello)) != 1 {
			t.Errorf("%d heartbeats in a minute", n)
		}
		// What makes no sense does no harm, or ends the connection.
		g.say(&agentMsg{Op: "wave"})
		g.say(&agentMsg{Op: msgAssign})
		g.say(&agentMsg{Op: msgAssign, Assign: &assignment{Run: "R2"}})
		g.say(&agentMsg{Op: msgCancel, Run: "R3"})
		g.say(&agentMsg{Op: msgAck, N: 1 << 50})
		if len(g.of(msgHello)) != 1 {
			t.Error("it said hello again")
		}
		g.conn.Send([]byte("{"))
		time.Sleep(time.Second)
		if len(g.of(msgHello)) != 2 {
			t.Error("it listens on")
		}
		g.assign("R4", 1, Workflow{Tasks: []Task{{ID: "a", Run: "x", Depends: []string{"b"}}}})
		if got := g.events("R4"); got != "run.started, run.finished failed" {
			t.Errorf("a graph that is none: %s", got)
		}
		g.end()
	})
}

// TestAgentLoad says how busy the machine is, at once and then with each fourth heartbeat.
func TestAgentLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		load := 0.25
		g.a.call(func() { g.a.cfg.load = func() *float64 { return &load } })
		synctest.Wait()
		before := len(g.of(msgHeartbeat))
		g.say(&agentMsg{Op: msgWelcome, Version: programVersion(), Can: protoPrincipalCan})
		time.Sleep(agentSaysEach*agentPaceOf(0).beat + time.Second)
		beats := g.of(msgHeartbeat)[before:]
		if len(beats) != 1+agentSaysEach {
			t.Fatalf("%d heartbeats: %+v", len(beats), beats)
		}
		for i, beat := range beats {
			says := i%agentSaysEach == 0
			if (beat.Load != nil && *beat.Load == load) != says || beat.Clock.IsZero() == says {
				t.Errorf("heartbeat %d: %+v", i, beat)
			}
		}
		g.end()
	})
}

// Many tasks that fail at once: each is told once, and so is the end of the run.
func TestAgentFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		tasks := []Task{{ID: "a", Cmd: "/no/such/program"}, {ID: "b", Cmd: "/no/such/program", Depends: []string{"a"}},
			{ID: "c", Cmd: "/no/such/program", Depends: []string{"a"}, When: whenAlways},
			{ID: "d", Cmd: "/no/such/program", Depends: []string{"a"}, When: whenFailure},
			{ID: "e", Cmd: "/no/such/program"}}
		for run, limit := range map[string]int{"R1": 0, "R2": 1} {
			g.assign(run, 1, Workflow{Tasks: tasks, MaxActiveTasks: limit})
			got := g.events(run)
			for _, one := range []string{"run.started", "task.finished a failed", "task.finished b skipped",
				"task.finished c failed", "task.finished d failed", "task.finished e failed", "run.finished failed"} {
				if strings.Count(got, one) != 1 {
					t.Errorf("%s: %q is not there once: %s", run, one, got)
				}
			}
			if !strings.HasSuffix(got, "run.finished failed") {
				t.Errorf("%s: %s", run, got)
			}
		}
		g.end()
	})
}

// The wait between attempts doubles up to its bound, give or take a fifth.
func TestAgentRetryDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "a", Cmd: "/no/such/program", Retries: 5,
			RetryDelay: Duration(10 * time.Second), RetryMaxDelay: Duration(35 * time.Second)}}})
		time.Sleep(10 * time.Minute)
		var starts []time.Time
		for _, m := range g.of(msgReport) {
			for _, item := range m.Items {
				if e := item.Event; e != nil && e.Kind == evTaskStarted {
					starts = append(starts, e.Time.Time)
				}
			}
		}
		want := []time.Duration{10, 20, 35, 35, 35}
		if len(starts) != len(want)+1 {
			t.Fatalf("%d attempts: %s", len(starts), g.events("R1"))
		}
		for i, w := range want {
			if d := starts[i+1].Sub(starts[i]); d < w*time.Second*8/10-time.Millisecond ||
				d > w*time.Second*12/10+time.Millisecond {
				t.Errorf("wait %d is %v, want about %v", i, d, w*time.Second)
			}
		}
		if e := g.lastEvent("R1"); e.Kind != evRunFinished || e.State != runFailed || e.Seconds < 100 {
			t.Errorf("%+v", e)
		}
		g.end()
	})
}

// What was not acknowledged is sent again after hello, from the number that the principal names.
func TestAgentResends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		g.assign("R2", 3, Workflow{Tasks: agentBroken})
		if got := g.events("R1"); got != agentBegun {
			t.Fatalf("said: %s", got)
		}
		g.setDown(true)
		g.set(func() { g.got, g.folded, g.mute = nil, 2, false })
		g.setDown(false)
		time.Sleep(15 * time.Second)
		hello := g.of(msgHello)
		if len(hello) != 1 || hello[0].Last != 7 || hello[0].N != 0 || fmt.Sprint(hello[0].Holds) != "[{R1 1} {R2 3}]" {
			t.Fatalf("%+v", hello)
		}
		if reports := g.of(msgReport); reports[0].N != 3 || reports[0].Skip != 0 ||
			g.events("R1") != "task.retrying a" {
			t.Errorf("%+v", reports[0])
		}
		// Now all is acknowledged, the end of R2 too: it is no longer held.
		g.setDown(true)
		g.set(func() { g.got = nil })
		g.setDown(false)
		time.Sleep(15 * time.Second)
		if hello := g.of(msgHello); len(hello) != 1 || hello[0].N != 7 || fmt.Sprint(hello[0].Holds) != "[{R1 1}]" ||
			len(g.of(msgReport)) != 0 {
			t.Errorf("%+v, %+v", hello, g.of(msgReport))
		}
		g.stop()
		g.end()
	})
}

// Wherever in what a turn had the principal lost it, the agent goes on with the very next number.
func TestAgentResumesWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentBroken})
		g.assign("R2", 1, Workflow{Tasks: agentBroken})
		for folded := uint64(0); folded < 8; folded++ {
			g.setDown(true)
			g.set(func() { g.got, g.folded = nil, folded })
			g.setDown(false)
			time.Sleep(15 * time.Second)
			items := 0
			reports := g.of(msgReport)
			for _, m := range reports {
				items += len(m.Items)
			}
			if hello := g.of(msgHello); len(hello) != 1 || hello[0].Last != 8 || reports[0].N != folded+1 ||
				items != 8-int(folded) {
				t.Fatalf("from %d on: %+v, %d items in %+v", folded+1, hello, items, reports)
			}
		}
		g.set(func() { g.mute = false })
		g.say(&agentMsg{Op: msgAck, N: 8})
		g.end()
	})
}

// An agent that is started again goes on in the numbers of its earlier life, and says which of them there are none of.
func TestAgentRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentBroken})
		epoch := g.of(msgHello)[0].Epoch
		g.die()
		g.set(func() { g.got, g.mute, g.down = nil, false, false })
		g.start()
		hello := g.of(msgHello)
		if len(hello) != 1 || hello[0].Epoch != epoch || hello[0].Last < spoolLeap ||
			fmt.Sprint(hello[0].Holds) != "[{R1 1}]" {
			t.Fatalf("%+v", hello)
		}
		if got := g.events("R1"); got != "run.started, task.started a, task.finished a failed, run.finished failed" {
			t.Errorf("said: %s", got)
		}
		if g.folded != hello[0].Last {
			t.Errorf("the principal has up to %d, and waits for %d", g.folded, hello[0].Last)
		}
		g.assign("R2", 1, Workflow{Tasks: agentBroken})
		if got := g.events("R2"); !strings.HasSuffix(got, "run.finished failed") {
			t.Errorf("said: %s", got)
		}
		// Once more, and something is spooled behind the leap before there is a principal.
		g.set(func() { g.mute = true })
		g.assign("R3", 1, Workflow{Tasks: agentBroken})
		g.die()
		g.set(func() { g.got, g.mute = nil, false })
		g.start()
		g.do(func() {
			msg, items := parcelPack("LATE", 1, nil, []*Event{{Kind: evRunStarted}})
			g.a.spool.add(msg, items, true)
		})
		g.setDown(false)
		time.Sleep(15 * time.Second)
		skipped := slices.DeleteFunc(g.of(msgReport), func(m agentMsg) bool { return m.Skip == 0 })
		if len(skipped) != 1 || skipped[0].Skip != spoolLeap || len(skipped[0].Items) != 1 ||
			g.events("LATE") != evRunStarted || g.events("R3") == "" {
			t.Errorf("%+v", skipped)
		}
		g.end()
	})
}

// The agent and the principal are both real, and each is started again; then the principal's folder is lost.
func TestAgentWithPrincipalRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Workflow{ID: "w", Tasks: agentBroken}
		p := principalRigOpen(t, t.TempDir(), w)
		g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, real: p.p}
		g.start()
		stop := func() {
			g.set(func() { g.down = true })
			p.stop()
		}
		start := func() {
			p.start(w)
			g.set(func() { g.down, g.real = false, p.p })
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		works := func(when string) {
			t.Helper()
			r := p.show(p.run("w"))
			time.Sleep(storeSoonDelay) // then its end is acknowledged
			if synctest.Wait(); r.State == runRunning {
				r = p.show(r.ID)
			}
			if r.State != runFailed {
				t.Errorf("%s a run is %s: %s\n%s", when, r.State, r.Reason, p.log)
			}
		}
		works("at first")
		stop()
		start()
		works("after a restart of the principal")
		stop()
		g.die()
		start()
		g.set(func() { g.down = false })
		g.start()
		works("after a restart of both")
		stop()
		p.dir = t.TempDir()
		p.cfg.StateDir = p.dir
		start()
		works("with a new folder")
		if text := p.log.String(); strings.Contains(text, "gap") || strings.Contains(text, "fit") {
			t.Errorf("logged:\n%s", text)
		}
		g.end()
		p.stop()
	})
}

// Ten seconds without the principal's word: a run that would be rerun elsewhere is stopped, others go on. That holds
// whether the connection ended or the principal is merely silent, and an answer that comes late gives no more than one
// that came at once.
func TestAgentLease(t *testing.T) {
	for _, how := range []string{"silent", "gone", "late"} {
		synctest.Test(t, func(t *testing.T) {
			g := agentRigOpen(t)
			g.assign("KEEP", 1, Workflow{Tasks: agentWaiting})
			g.assign("RERUN", 1, Workflow{Tasks: agentWaiting, Failover: failoverRerun})
			time.Sleep(31 * time.Second) // with answers nothing ends
			if got := g.events("RERUN"); got != agentBegun {
				t.Fatalf("said: %s", got)
			}
			heard := time.Now().Add(-time.Second) // the last heartbeat was answered then
			if how == "gone" {
				g.setDown(true)
			} else {
				g.set(func() { g.silent = true })
			}
			time.Sleep(time.Until(heard.Add(agentPaceOf(0).lease - time.Second)))
			synctest.Wait()
			alive := map[string]bool{}
			look := func() {
				g.do(func() {
					clear(alive)
					for id := range g.a.runs {
						alive[id] = true
					}
				})
			}
			look()
			if !alive["RERUN"] || !alive["KEEP"] {
				t.Errorf("%s: too early: %v", how, alive)
			}
			if how == "late" { // the answer to the heartbeat of 4 s ago
				g.say(&agentMsg{Op: msgHeartbeat})
				time.Sleep(agentPaceOf(0).beat)
			}
			time.Sleep(2 * time.Second)
			look()
			if alive["RERUN"] || !alive["KEEP"] {
				t.Errorf("%s: after the lease: %v", how, alive)
			}
			g.set(func() { g.silent, g.down = false, false })
			time.Sleep(20 * time.Second)
			e := g.lastEvent("RERUN")
			if e.Kind != evRunFinished || e.State != runCrashed || !strings.Contains(e.Reason, "no principal for 10s") {
				t.Errorf("%s: %+v", how, e)
			}
			if how == "late" {
				heard = heard.Add(agentPaceOf(0).beat)
			}
			// by the agent's own beat, and not when something came
			if late := e.Time.Sub(heard.Add(agentPaceOf(0).lease)); late.Abs() > 100*time.Millisecond {
				t.Errorf("%s: it was stopped %v after its lease was over", how, late)
			}
			g.stop()
			g.end()
		})
	}
}

// Nothing heard for 11 s: the connection is given up and made anew.
func TestAgentDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.silent = true })
		time.Sleep(agentPaceOf(0).deaf + 2*agentPaceOf(0).beat)
		if n := len(g.of(msgHello)); n != 2 {
			t.Errorf("%d hellos", n)
		}
		g.end()
	})
}

// Waits between attempts to connect grow to ten seconds, and stay there when the agent is refused.
func TestAgentRedials(t *testing.T) {
	for _, deny := range []string{"", "another agent named x is connected"} {
		synctest.Test(t, func(t *testing.T) {
			g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, down: deny == "", deny: deny}
			g.start()
			time.Sleep(10 * time.Minute)
			g.mu.Lock()
			dialled := slices.Clone(g.dialled)
			g.mu.Unlock()
			if n := len(dialled); n < 45 || n > 95 {
				t.Errorf("%d attempts in ten minutes", n)
			}
			for i := 1; i < len(dialled); i++ {
				if d := dialled[i].Sub(dialled[i-1]); d > agentRedialMax*5/4+time.Millisecond || i > 12 &&
					d < agentRedialMax/2 {
					t.Errorf("wait %d is %v", i, d)
				}
			}
			if got := strings.Count(g.log.String(), "no principal; trying again"); deny == "" && got != 1 {
				t.Errorf("that there is no principal is logged %d times", got)
			}
			if got := strings.Count(g.log.String(), "refused this agent"); deny != "" && got != 1 {
				t.Errorf("that it is refused is logged %d times", got)
			}
			g.set(func() { g.down, g.deny = false, "" })
			time.Sleep(15 * time.Second)
			if g.assign("R1", 1, Workflow{Tasks: agentBroken}); g.lastEvent("R1").Kind != evRunFinished {
				t.Error("it does not come back")
			}
			g.end()
		})
	}
}

// Of output that is not acknowledged a megabyte is sent, and no more; a full spool drops output and says so.
func TestAgentWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		write := func(lines int) {
			g.do(func() {
				for range lines {
					r := g.a.runs["R1"]
					g.a.takeLines(r, []parcelLines{parcelLine(&LogLine{Time: stampOf(time.Now()), Run: "R1", Task: "a",
						Attempt: 1, Stream: "o", Text: strings.Repeat("x", 1000)})})
				}
			})
			time.Sleep(2 * agentGather)
			synctest.Wait()
		}
		sent := func() (lines, bytes int) {
			g.set(func() { bytes = g.bytes })
			for _, m := range g.of(msgReport) {
				for _, item := range m.Items {
					lines += len(item.Lines)
				}
			}
			return lines, bytes
		}
		write(4000)
		if lines, bytes := sent(); bytes < agentWindow || bytes > agentWindow+2*agentParcel || lines > 1100 {
			t.Errorf("%d lines, %d bytes are on their way", lines, bytes)
		}
		g.set(func() { g.mute = false })
		for range 60 {
			g.mu.Lock()
			last := g.got[len(g.got)-1]
			g.mu.Unlock()
			if last.Op != msgReport {
				break
			}
			g.say(&agentMsg{Op: msgAck, N: last.N - 1 + uint64(len(last.Items))})
		}
		if lines, _ := sent(); lines != 4000 {
			t.Errorf("%d lines came", lines)
		}
		g.set(func() { g.mute, g.got = true, nil })
		g.do(func() { g.a.spool.maxBytes = 100 << 10 })
		write(300)
		g.set(func() { g.mute = false })
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		lines, text := 0, ""
		for _, m := range g.of(msgReport) {
			for _, item := range m.Items {
				for _, l := range item.Lines {
					if lines++; l.Stream == "c" {
						text = l.Text
					}
					if item.Lease != 1 {
						t.Errorf("lines by lease %d", item.Lease)
					}
				}
			}
		}
		if want := fmt.Sprintf("[cdktr: %d lines of output were dropped", 300-(lines-1)); !strings.HasPrefix(text,
			want) || lines > 150 {
			t.Errorf("%d lines came, and %q", lines, text)
		}
		g.end()
	})
}

func TestAgentCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: slices.Concat(agentWaiting, []Task{{ID: "b", Cmd: "/no/such/program",
			Depends: []string{"a"}, When: whenAlways}})})
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "cancelled by me"})
		if got := g.events("R1"); got != agentBegun+", task.finished a cancelled, run.finished cancelled" {
			t.Errorf("said: %s", got)
		}
		if e := g.lastEvent("R1"); e.Reason != "cancelled by me" {
			t.Errorf("%+v", e)
		}
		// A run that is not its own any more: it stops, and says nothing.
		g.assign("R2", 1, Workflow{Tasks: agentWaiting})
		g.say(&agentMsg{Op: msgCancel, Run: "R2", Drop: true})
		if got := g.events("R2"); got != agentBegun {
			t.Errorf("said: %s", got)
		}
		// A repeat of an assignment is nothing new; the next lease takes the place of this one.
		g.assign("R3", 1, Workflow{Tasks: agentWaiting})
		g.assign("R3", 1, Workflow{Tasks: agentWaiting})
		if got := g.events("R3"); got != agentBegun {
			t.Errorf("said: %s", got)
		}
		g.assign("R3", 2, Workflow{Tasks: agentWaiting})
		if got := g.events("R3"); got != agentBegun+", "+agentBegun || g.lastEvent("R3").Lease != 2 {
			t.Errorf("said: %s", got)
		}
		g.assign("R4", 1, Workflow{Tasks: agentWaiting, Timeout: Duration(time.Minute)})
		time.Sleep(time.Minute + time.Second)
		if e := g.lastEvent("R4"); e.State != runFailed || e.Reason != "timed out after 1m" {
			t.Errorf("%+v", e)
		}
		g.stop()
		g.end()
	})
}

// Told to stop, the agent says so, waits for its runs as long as it may, and ends them.
func TestAgentDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		began := time.Now()
		g.stop()
		synctest.Wait()
		if len(g.of(msgDrain)) != 1 {
			t.Error("it does not say that it is going away")
		}
		g.conn.Close() // it says so again to whom it meets
		time.Sleep(30 * time.Second)
		if len(g.of(msgDrain)) != 2 {
			t.Errorf("%d drains", len(g.of(msgDrain)))
		}
		g.group.Wait()
		if took := time.Since(began); took < time.Minute || took > time.Minute+10*time.Second {
			t.Errorf("it took %v", took)
		}
		if e := g.lastEvent("R1"); e.State != runCrashed || e.Reason != "agent x was stopped" {
			t.Errorf("%+v", e)
		}
		if g.gap != "" {
			t.Error(g.gap)
		}
		// With nobody to tell there is nothing to wait for.
		g = &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, down: true}
		g.start()
		began = time.Now()
		g.end()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
		// A principal that acknowledges nothing holds it up for a bounded time.
		g = agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentBroken})
		began = time.Now()
		g.end()
		if took := time.Since(began); took > time.Minute+10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAgentMessagesAreJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign(`R"1`, 1, Workflow{Tasks: []Task{{ID: "a", Cmd: "/no/such/\xff\"program"}}})
		for _, m := range g.of(msgReport) {
			if _, err := json.Marshal(m); err != nil {
				t.Error(err)
			}
		}
		if g.lastEvent(`R"1`).Kind != evRunFinished {
			t.Errorf("%+v", g.lastEvent(`R"1`))
		}
		g.end()
	})
}

// A task that writes faster than the principal takes it in waits, and loses nothing. Without a principal it goes on.
func TestAgentLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		text := strings.Repeat(strings.Repeat("x", 99)+"\n", 600)
		written := g.write("R1", text, 200)
		if n := written.Load(); n < agentLag || n > agentLag+2*agentInBytes {
			t.Errorf("%d bytes were taken while nothing was acknowledged", n)
		}
		g.set(func() { g.mute = false })
		g.say(&agentMsg{Op: msgAck, N: 1})
		for last := uint64(1); ; {
			reports := g.of(msgReport)
			m := reports[len(reports)-1]
			if n := m.N - 1 + uint64(len(m.Items)); n > last {
				last = n
				g.say(&agentMsg{Op: msgAck, N: n})
				continue
			}
			break
		}
		lines := 0
		for _, m := range g.of(msgReport) {
			for _, item := range m.Items {
				lines += len(item.Lines)
			}
		}
		if n := int64(200 * len(text)); written.Load() != n || lines != 200*600 {
			t.Errorf("%d of %d bytes were taken, %d lines came", written.Load(), n, lines)
		}
		g.setDown(true)
		if n := g.write("R1", text, 200).Load(); n != int64(200*len(text)) {
			t.Errorf("without a principal %d of %d bytes were taken", n, 200*len(text))
		}
		g.setDown(false)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		g.end()
	})
}

// A task that floods its output while the principal is behind holds up itself alone: what others write, and how they
// end, is spooled meanwhile. Also of many of them all have little in memory.
func TestAgentLagOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		write := func(run, text string, times int) (taken *atomic.Int64) {
			g.assign(run, 1, Workflow{Tasks: agentWaiting})
			return g.write(run, text, times)
		}
		flood := write("R1", strings.Repeat("flood of text\n", 1000), 1000)
		before := flood.Load()
		if before > agentLag+2*agentInBytes {
			t.Fatalf("%d bytes of the flood were taken while nothing was acknowledged", before)
		}
		last := func() (last uint64) {
			g.do(func() { last = g.a.spool.last })
			return last
		}
		for i := range 10 {
			run, at := fmt.Sprint("Q", i), last()
			if n := write(run, strings.Repeat("quiet\n", 1000), 8).Load(); n != 48000 {
				t.Errorf("%d bytes of a quiet task were taken", n)
			}
			g.say(&agentMsg{Op: msgCancel, Run: run, Reason: "enough"})
			if n := last(); n < at+4 { // its start, its output and its end
				t.Errorf("of a quiet task %d things were spooled", n-at)
			}
		}
		if n := flood.Load(); n != before {
			t.Errorf("%d bytes of the flood were taken meanwhile", n-before)
		}
		loud := write("L", strings.Repeat("loud\n", 2000), 100).Load()
		if loud == 0 || loud > agentInShare {
			t.Errorf("%d bytes of a second flood were taken", loud)
		}
		for i := 0; ; i++ {
			run := fmt.Sprint("M", i)
			n := write(run, strings.Repeat("many\n", 10000), 1).Load()
			g.say(&agentMsg{Op: msgCancel, Run: run, Reason: "enough"})
			if n == 0 {
				break
			}
			if i*50000 > agentInAll {
				t.Fatalf("%d bytes of quiet tasks were taken", i*50000)
			}
		}
		g.set(func() { g.mute = false })
		g.setDown(true)
		synctest.Wait()
		if n := flood.Load(); n != 1000*14000 {
			t.Errorf("without a principal %d bytes of the flood were taken", n)
		}
		g.setDown(false)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		g.say(&agentMsg{Op: msgCancel, Run: "L", Reason: "enough"})
		g.end()
	})
}

// A principal that acknowledges nothing for long holds up no task any more than one that is away.
func TestAgentLagEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.set(func() { g.mute = true })
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		text := strings.Repeat(strings.Repeat("x", 99)+"\n", 600)
		written := g.write("R1", text, 200)
		most := int64(200 * len(text))
		if n := written.Load(); n >= most/2 {
			t.Errorf("%d bytes were taken at once", n)
		}
		time.Sleep(agentLagMost - time.Millisecond)
		if n := written.Load(); n >= most/2 {
			t.Errorf("%d bytes were taken too soon", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := written.Load(); n != most || len(g.of(msgHello)) != 1 {
			t.Errorf("%d of %d bytes were taken, %d connections", n, most, len(g.of(msgHello)))
		}
		g.set(func() { g.mute = false })
		g.setDown(true)
		g.setDown(false)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		g.end()
	})
}

// What a run writes is told at once, and what it writes in the next moments together. Of many small messages no more
// are on their way than a connection has room for.
func TestAgentSmallOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: agentWaiting})
		time.Sleep(time.Second)
		output := g.output("R1")
		line := func() {
			output(procLines{Time: time.Now(), Text: []byte("x\n")})
			synctest.Wait()
		}
		begun := len(g.of(msgReport))
		told := func() int { return len(g.of(msgReport)) - begun }
		if line(); told() != 1 {
			t.Errorf("the first line: %d reports", told())
		}
		for range 20 {
			line()
		}
		if told() != 1 {
			t.Errorf("at once after it: %d reports", told())
		}
		time.Sleep(agentGather)
		synctest.Wait()
		if told() != 2 {
			t.Errorf("a moment later: %d reports", told())
		}
		g.set(func() { g.mute = true })
		for range agentReports + 500 {
			time.Sleep(2 * agentGather)
			line()
		}
		if n := told() - 2; n != agentReports || len(g.of(msgHello)) != 1 {
			t.Errorf("%d reports are on their way, %d connections", n, len(g.of(msgHello)))
		}
		g.set(func() { g.mute = false })
		reports := g.of(msgReport)
		g.say(&agentMsg{Op: msgAck, N: reports[len(reports)-1].N})
		if n := told() - 2; n != agentReports+500 {
			t.Errorf("then %d reports came", n)
		}
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		g.end()
	})
}

// Tasks of a run that begin and end one soon after the other are told of together. Each start is spooled meanwhile.
func TestAgentShortTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		const n = 40
		fails := Task{Cmd: "/no/such/program", Retries: 1, RetryDelay: Duration(time.Hour)} // and waits
		w := Workflow{MaxActiveTasks: 1}
		for i := range n {
			fails.ID = fmt.Sprintf("t%02d", i)
			w.Tasks = append(w.Tasks, fails)
			fails.Retries = i % 2 // none of every other one: it ends
		}
		g.assign("R1", 1, w)
		spooled := 0
		g.do(func() { spooled, _ = g.a.spool.pending() })
		reports := len(g.of(msgReport))
		if spooled < n/2 || reports > 2 {
			t.Errorf("%d messages are spooled, %d were sent", spooled, reports)
		}
		time.Sleep(agentGather)
		synctest.Wait()
		if got := strings.Count(g.events("R1"), "task.started"); got != n {
			t.Errorf("%d tasks were told of", got)
		}
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		g.end()
	})
}

// The end of a run is told at once, also when a run that waited for its place begins with it.
func TestAgentEndWithStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		fails := Task{ID: "a", Cmd: "/no/such/program", Retries: 1, RetryDelay: Duration(time.Hour)}
		also := fails // two at work: more of the run is to come soon
		also.ID = "b"
		g.do(func() { g.a.cfg.Capacity = 1 })
		g.assign("R1", 1, Workflow{Tasks: []Task{fails}})
		g.say(&agentMsg{Op: msgAssign, Assign: &assignment{Run: "R2", Lease: 1, Ahead: true,
			Spec: &Workflow{ID: "w", Tasks: []Task{fails, also}}}})
		time.Sleep(2 * agentGather)
		synctest.Wait()
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		if got := g.lastEvent("R1"); got.Kind != evRunFinished {
			t.Errorf("of R1 the last is %s", got.Kind)
		}
		time.Sleep(agentGather)
		synctest.Wait()
		if !strings.Contains(g.events("R2"), evTaskStarted) {
			t.Errorf("of R2: %s", g.events("R2"))
		}
		g.say(&agentMsg{Op: msgCancel, Run: "R2", Reason: "enough"})
		g.end()
	})
}
