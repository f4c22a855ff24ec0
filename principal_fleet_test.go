package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fleetAgent is an agent's end of a connection that speaks by hand, to a real principal.
type fleetAgent struct {
	g     *principalRig
	hello agentMsg
	conn  wireConn
	n     uint64 // newest number used

	mu  sync.Mutex
	got []agentMsg
	end error // of the connection
}

// fleetAgentJoin connects an agent that is new.
func fleetAgentJoin(g *principalRig, name string, capacity int) *fleetAgent {
	g.t.Helper()
	a := &fleetAgent{g: g, hello: agentMsg{Agent: name, Capacity: capacity, Epoch: "epoch-" + name, Version: "0"}}
	a.join()
	return a
}

// join says hello, on a new connection.
func (a *fleetAgent) join() {
	a.g.t.Helper()
	conn := a.g.connect()
	a.mu.Lock()
	a.conn, a.got, a.end = conn, nil, nil
	a.mu.Unlock()
	a.hello.V, a.hello.Op, a.hello.Last = protoVersion, msgHello, max(a.n, a.hello.Last)
	if a.hello.Knows == nil {
		a.hello.Knows = protoKnows()
	}
	if a.hello.Can == nil {
		a.hello.Can = protoAgentCan
	}
	a.send(&a.hello)
	a.g.group.Go(func() {
		for {
			frames, err := conn.Recv()
			m := agentMsg{}
			if err == nil {
				err = json.Unmarshal(frames[len(frames)-1], &m)
			}
			a.mu.Lock()
			if a.conn != conn {
				a.mu.Unlock()
				return
			}
			if err != nil {
				a.end = err
				a.mu.Unlock()
				return
			}
			a.got = append(a.got, m)
			a.mu.Unlock()
		}
	})
	synctest.Wait()
}

func (a *fleetAgent) send(m *agentMsg) {
	a.g.t.Helper()
	m.V = protoVersion
	a.conn.Send(protoEncode(m))
	synctest.Wait()
}

// report sends items under the next numbers, and waits until what rests on them is on the disk.
func (a *fleetAgent) report(items ...agentItem) {
	a.g.t.Helper()
	a.send(&agentMsg{Op: msgReport, N: a.n + 1, Items: items})
	a.n += uint64(len(items))
	time.Sleep(storeSoonDelay)
	synctest.Wait()
}

// gone hangs up.
func (a *fleetAgent) gone() {
	a.conn.Close()
	synctest.Wait()
}

// of lists the messages of one kind that came by this connection.
func (a *fleetAgent) of(op string) []agentMsg {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.got), func(m agentMsg) bool { return m.Op != op })
}

func (a *fleetAgent) assigned() []*assignment {
	var list []*assignment
	for _, m := range a.of(msgAssign) {
		list = append(list, m.Assign)
	}
	return list
}

// acked gives the newest number acknowledged by this connection.
func (a *fleetAgent) acked() uint64 {
	n := uint64(0)
	for _, m := range a.of(msgAck) {
		n = max(n, m.N)
	}
	return n
}

func (a *fleetAgent) cut() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.end != nil
}

// last gives the newest assignment.
func (a *fleetAgent) last() *assignment {
	a.g.t.Helper()
	list := a.assigned()
	if len(list) == 0 {
		a.g.t.Fatalf("agent %s has no run", a.hello.Agent)
	}
	return list[len(list)-1]
}

// beat stays for a while, and says so every five seconds.
func (a *fleetAgent) beat(d time.Duration) {
	for ; d > 0; d -= 5 * time.Second {
		time.Sleep(min(d, 5*time.Second))
		a.send(&agentMsg{Op: msgHeartbeat})
	}
}

func fleetEvent(as *assignment, kind, task, state string) agentItem {
	e := &Event{Kind: kind, Run: as.Run, Lease: as.Lease, Task: task, State: state, Time: stampOf(time.Now())}
	if kind == evTaskStarted {
		e.Attempt = 1
	}
	return agentItem{Event: e}
}

func fleetLines(as *assignment, numbers ...int64) agentItem {
	item := agentItem{Lease: as.Lease}
	for _, n := range numbers {
		item.Lines = append(item.Lines, LogLine{Time: stampOf(time.Now()), Run: as.Run, N: n, Task: "a", Attempt: 1,
			Stream: "o", Text: fmt.Sprintf("line %d by lease %d", n, as.Lease)})
	}
	return item
}

// begun is what an agent says of a run whose task a is at work.
func fleetBegun(as *assignment) []agentItem {
	return []agentItem{fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "a", "")}
}

// output reads the output of a run as `logs` gives it.
func (g *principalRig) output(id string) string {
	g.t.Helper()
	conn := g.connect()
	defer conn.Close()
	conn.Send([]byte{}, protoEncode(Request{V: protoVersion, ID: "o", Op: "logs", Run: id}))
	text := ""
	for {
		frames, err := conn.Recv()
		if err != nil {
			g.t.Fatal(err)
		}
		var r Reply
		if err := json.Unmarshal(frames[len(frames)-1], &r); err != nil || r.Error != nil {
			g.t.Fatalf("logs %s: %v %+v", id, err, r.Error)
		}
		if r.Line != nil {
			text += r.Line.Text + "\n"
		}
		if !r.More {
			return text
		}
	}
}

func TestDispatchRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		id := g.run("w")
		g.expect(id, runQueued, "no agent is connected")
		a := fleetAgentJoin(g, "x", 1)
		if m := a.of(msgWelcome); len(m) != 1 || m[0].N != 0 || m[0].Clock.IsZero() ||
			m[0].LostAfter != int(agentLostAfter/time.Second) {
			t.Fatalf("welcome: %+v", m)
		}
		as := a.last()
		if as.Run != id || as.Lease != 1 || as.Attempt != 1 || as.Spec.ID != "w" || as.Trigger != triggerManual ||
			as.Lines != 0 {
			t.Errorf("%+v", as)
		}
		second := g.run("w")
		g.expect(second, runQueued, "all agents are busy")
		a.report(fleetBegun(as)...)
		a.report(fleetLines(as, 1, 2), fleetLines(as, 3))
		g.expect(id, runRunning, "")
		if n := a.acked(); n != 0 {
			t.Errorf("%d is acknowledged, and nothing was synced", n)
		}
		a.beat(storeSyncDelay) // nobody waits for these
		if n := a.acked(); n != 4 {
			t.Errorf("%d is acknowledged, not 4", n)
		}
		a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
			fleetEvent(as, evRunFinished, "", runSucceeded))
		if n := a.acked(); n != 6 { // the end of a run is synced soon
			t.Errorf("%d is acknowledged, not 6", n)
		}
		g.expect(id, runSucceeded, "")
		if got := g.output(id); got != "line 1 by lease 1\nline 2 by lease 1\nline 3 by lease 1\n" {
			t.Errorf("output: %q", got)
		}
		if a.last().Run != second {
			t.Errorf("the next run was not given out: %+v", a.last())
		}
		if got := g.kinds(); got != "workflow.version run.queued agent.up run.assigned run.queued run.started "+
			"task.started task.finished run.finished run.assigned" {
			t.Errorf("journal: %s", got)
		}
		a.gone()
		g.stop()
	})
}

// What was reported before is dropped by its number. A gap ends the connection, and so does what cannot be read.
func TestDispatchNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		items := append(fleetBegun(as), fleetLines(as, 1))
		a.report(items...)
		a.send(&agentMsg{Op: msgReport, N: 1, Items: items}) // all of it again
		// and a part, with news
		a.send(&agentMsg{Op: msgReport, N: 3, Items: []agentItem{items[2], fleetLines(as, 1, 2)}})
		if got := g.output(id); got != "line 1 by lease 1\nline 2 by lease 1\n" {
			t.Errorf("output: %q", got)
		}
		if got := strings.Count(g.kinds(), evTaskStarted); got != 1 {
			t.Errorf("the task began %d times", got)
		}
		finished := fleetEvent(as, evRunFinished, "", runSucceeded)
		a.send(&agentMsg{Op: msgReport, N: 6, Items: []agentItem{finished}})
		if !a.cut() {
			t.Error("a gap does not end the connection")
		}
		g.expect(id, runRunning, "")
		a.hello.Holds, a.n = []heldRun{{id, 1}}, 4
		a.join()
		if m := a.of(msgWelcome); len(m) != 1 || m[0].N > 4 || m[0].N < 2 {
			t.Fatalf("%+v", m)
		}
		from := a.of(msgWelcome)[0].N
		a.n = from
		a.report(slices.Concat(items, []agentItem{fleetLines(as, 1, 2)})[from:]...)
		a.report(finished)
		g.expect(id, runSucceeded, "")
		for _, bad := range []string{"{", `{"op":"report","n":"1"}`, `{"op":"report","n":3,"skip":3}`} {
			a.join()
			a.conn.Send([]byte(bad))
			synctest.Wait()
			if !a.cut() {
				t.Errorf("%s does not end the connection", bad)
			}
		}
		a.join()
		a.send(&agentMsg{Op: "wave"})
		a.report(agentItem{}, agentItem{Event: &Event{Kind: evQueued, Run: "R"}},
			agentItem{Event: &Event{Kind: evRunStarted, Run: "R"}})
		if a.cut() || g.p.state.Runs["R"] != nil {
			t.Error("what is not known ends the connection")
		}
		a.gone()
		g.stop()
	})
}

// Numbers are missing from an agent that was started again or whose disk lost something. An agent whose output was
// acknowledged knows more than the principal's journal says.
func TestDispatchNumbersSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(append(fleetBegun(as), fleetLines(as, 1), fleetLines(as, 2))...)
		a.beat(storeSyncDelay)
		a.hello.N = a.acked()
		if a.hello.N != 4 {
			t.Fatalf("%d is acknowledged", a.hello.N)
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "w"}))
		a.hello.Holds = []heldRun{{id, 1}}
		a.join()
		if m := a.of(msgWelcome); len(m) != 1 || m[0].N != 4 {
			t.Fatalf("%+v", m)
		}
		g.expect(id, runRunning, "")
		a.hello.Last, a.n = 1<<32, 4
		a.report(fleetLines(as, 3))
		a.send(&agentMsg{Op: msgReport, N: 1<<32 + 1, Skip: 1<<32 - 5})
		a.n = 1 << 32
		a.report(fleetLines(as, 4), fleetEvent(as, evRunFinished, "", runSucceeded))
		g.expect(id, runSucceeded, "")
		if a.cut() || a.acked() != 1<<32+2 {
			t.Errorf("acknowledged %d, cut %v", a.acked(), a.cut())
		}
		if got := strings.Count(g.output(id), "\n"); got != 4 {
			t.Errorf("%d lines", got)
		}
		// The leap alone, as an agent says it that has nothing to send.
		a.gone()
		a.hello.Last, a.hello.Holds, a.hello.N, a.n = 1<<33, nil, 1<<32+2, 0
		next := g.run("w")
		a.join()
		if len(a.assigned()) != 0 {
			t.Error("it is given a run before it has sent what it spooled")
		}
		a.send(&agentMsg{Op: msgReport, N: 1<<33 + 1, Skip: 1<<33 - 1<<32 - 2})
		if a.last().Run != next || a.cut() {
			t.Errorf("%+v", a.assigned())
		}
		a.gone()
		// An agent that was forgotten meanwhile, and is not new.
		g.ask(Request{Op: "cancel", Run: next})
		time.Sleep(agentLostAfter)
		if r := g.ask(Request{Op: "forget", Agent: "x"}); !r.OK {
			t.Fatal(r.Error)
		}
		a.hello.N, a.n = 1<<33, 1<<33
		a.join()
		if m := a.of(msgWelcome); len(m) != 1 || m[0].N != 1<<33 {
			t.Errorf("%+v", m)
		}
		a.gone()
		g.stop()
	})
}

// Runs that agent and principal do not agree about when the agent says hello.
func TestDispatchReconcile(t *testing.T) {
	t.Parallel()
	type held = []heldRun
	for _, c := range []struct {
		name    string
		w       Workflow
		begun   bool // the agent said that it began
		cancel  bool
		holds   func(id string) held
		state   string
		reason  string
		attempt int
		cancels string // what the agent is told of runs to stop
	}{
		{name: "holds what is its own", begun: true, holds: func(id string) held { return held{{id, 1}} },
			state: runRunning, attempt: 1},
		{name: "holds it and has not said so", holds: func(id string) held { return held{{id, 1}} }, state: runRunning,
			attempt: 1},
		{name: "holds a stranger", begun: true, holds: func(id string) held { return held{{id, 1}, {"STRANGER", 1}} },
			state: runRunning, attempt: 1, cancels: "drop STRANGER"},
		{name: "does not hold it, not begun", holds: func(string) held { return nil }, state: runRunning, attempt: 1},
		{name: "does not hold it, begun", begun: true, holds: func(string) held { return nil }, state: runCrashed,
			reason: "was restarted while it ran", attempt: 1},
		{name: "does not hold it, begun, rerun", w: Workflow{Failover: failoverRerun}, begun: true,
			holds: func(string) held { return nil }, state: runRunning, attempt: 2},
		{name: "holds an earlier lease", begun: true, holds: func(id string) held { return held{{id, 0}} },
			state: runCrashed, reason: "was restarted", attempt: 1, cancels: "drop RUN"},
		{name: "cancelled meanwhile", begun: true, cancel: true, holds: func(id string) held { return held{{id, 1}} },
			state: runRunning, attempt: 1, cancels: "RUN"},
		{name: "cancelled meanwhile and does not hold it", begun: true, cancel: true,
			holds: func(id string) held { return nil }, state: runCancelled, reason: "cancelled by", attempt: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.w.ID = "w"
				g := principalRigOpen(t, t.TempDir(), principalTask(c.w))
				id := g.run("w")
				a := fleetAgentJoin(g, "x", 1)
				if c.begun {
					a.report(fleetBegun(a.last())...)
				}
				a.gone()
				if c.cancel {
					g.ask(Request{Op: "cancel", Run: id})
				}
				time.Sleep(agentLostAfter / 2)
				a.hello.Holds = c.holds(id)
				a.join()
				time.Sleep(fleetRefusedMin) // what it did not take it is not given at once
				synctest.Wait()
				g.expect(id, c.state, c.reason)
				r := g.show(id)
				if r.Attempt != c.attempt {
					t.Errorf("attempt %d", r.Attempt)
				}
				if c.state == runRunning && (len(c.holds(id)) == 0) != (r.Lease == 2) {
					t.Errorf("lease %d", r.Lease)
				}
				told := ""
				for _, m := range a.of(msgCancel) {
					if m.Drop {
						told += "drop "
					}
					told += strings.ReplaceAll(m.Run, id, "RUN")
				}
				if told != c.cancels {
					t.Errorf("told to cancel %q, want %q", told, c.cancels)
				}
				a.gone()
				g.stop()
			})
		})
	}
}

// An agent that says nothing for 15 s, and for 1 s more, loses its runs. When it comes back it goes on with those that
// no other agent has.
func TestDispatchSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "keep"}),
			principalTask(Workflow{ID: "rerun", Failover: failoverRerun}), principalTask(Workflow{ID: "fresh"}))
		keep, rerun, fresh := g.run("keep"), g.run("rerun"), g.run("fresh")
		a := fleetAgentJoin(g, "x", 3)
		given := a.assigned()
		if len(given) != 3 {
			t.Fatalf("%d runs were given out", len(given))
		}
		a.report(append(fleetBegun(given[0]), fleetBegun(given[1])...)...) // of the third it says nothing yet
		a.beat(30 * time.Second)
		time.Sleep(agentLostAfter + agentDoubt - time.Second)
		g.expect(keep, runRunning, "")
		time.Sleep(time.Second)
		synctest.Wait()
		if !a.cut() {
			t.Error("it is still connected")
		}
		g.expect(keep, runCrashed, "agent x was lost")
		g.expect(rerun, runQueued, "agent x was lost")
		g.expect(fresh, runCrashed, "agent x was lost") // it may have begun: nobody else may begin it
		if list := g.ask(Request{Op: "agents"}).Agents; len(list) != 1 || list[0].State != agentLost ||
			list[0].Running != 0 {
			t.Errorf("%+v", list)
		}
		b := fleetAgentJoin(g, "y", 3)
		if got := b.assigned(); len(got) != 1 || got[0].Run != rerun || got[0].Lease != 2 || got[0].Attempt != 2 {
			t.Fatalf("failed over: %+v", got)
		}
		b.report(fleetBegun(b.last())...)
		a.hello.Holds, a.hello.N = []heldRun{{keep, 1}, {rerun, 1}, {fresh, 1}}, a.acked()
		a.join()
		if got := a.of(msgCancel); len(got) != 1 || got[0].Run != rerun || !got[0].Drop {
			t.Errorf("told to cancel %+v", got)
		}
		g.expect(keep, runRunning, "")
		g.expect(fresh, runRunning, "")
		// What it says of the run that it lost is void: events and output.
		b.report(fleetLines(b.last(), 1))
		a.report(fleetLines(given[1], 1, 2), fleetEvent(given[1], evRunFinished, "", runFailed))
		a.report(fleetEvent(given[0], evTaskFinished, "a", taskSucceeded),
			fleetEvent(given[0], evRunFinished, "", runSucceeded))
		g.expect(rerun, runRunning, "")
		g.expect(keep, runSucceeded, "")
		if got := g.output(rerun); got != "line 1 by lease 2\n" {
			t.Errorf("output: %q", got)
		}
		if a.cut() || a.acked() != a.n {
			t.Errorf("acknowledged %d of %d", a.acked(), a.n)
		}
		a.gone()
		b.gone()
		g.stop()
	})
}

// When a connection ends after 10 s of silence, the agent's 15 s are still counted from its last word.
func TestDispatchCutForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "rerun", Failover: failoverRerun}))
		id := g.run("rerun")
		a := fleetAgentJoin(g, "x", 1)
		a.report(fleetBegun(a.last())...)
		a.beat(30 * time.Second)
		time.Sleep(10 * time.Second)
		a.gone()
		time.Sleep(agentLostAfter - 11*time.Second)
		g.expect(id, runRunning, "")
		time.Sleep(time.Second)
		synctest.Wait()
		g.expect(id, runQueued, "agent x was lost")
		g.stop()
	})
}

// The same run is given to the same agent again: what it says of the earlier lease is void.
func TestDispatchFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Failover: failoverRerun}))
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		first := a.last()
		a.report(append(fleetBegun(first), fleetLines(first, 1))...)
		time.Sleep(agentLostAfter + agentDoubt)
		synctest.Wait()
		g.expect(id, runQueued, "lost")
		a.hello.Holds = []heldRun{{id, 1}}
		a.join()
		second := a.last()
		if second.Lease != 2 || second.Lines != 1 {
			t.Fatalf("%+v", second)
		}
		a.report(fleetLines(first, 2, 3), fleetEvent(first, evRunFinished, "", runCancelled))
		a.report(append(fleetBegun(second), fleetLines(second, 2),
			fleetEvent(second, evRunFinished, "", runSucceeded))...)
		g.expect(id, runSucceeded, "")
		if got := g.output(id); got != "line 1 by lease 1\nline 2 by lease 2\n" {
			t.Errorf("output: %q", got)
		}
		a.gone()
		g.stop()
	})
}

// A principal that is started again drops output that it has already, by the number of the line, and gives up agents
// that stay away.
func TestDispatchPrincipalRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w"})
		g := principalRigOpen(t, t.TempDir(), w)
		id, other := g.run("w"), g.run("w")
		a, b := fleetAgentJoin(g, "x", 1), fleetAgentJoin(g, "y", 1)
		as := a.last()
		a.report(append(fleetBegun(as), fleetLines(as, 1, 2))...)
		b.report(fleetBegun(b.last())...)
		g.stop()
		g.start(w)
		a.hello.Holds = []heldRun{{id, 1}}
		a.join()
		from := a.of(msgWelcome)[0].N
		if from != 2 { // of output without an event behind it the journal says nothing
			t.Errorf("it has up to %d", from)
		}
		a.n = from
		a.report(fleetLines(as, 1, 2), fleetLines(as, 2, 3), fleetLines(as, 4))
		if got := g.output(id); got != "line 1 by lease 1\nline 2 by lease 1\nline 3 by lease 1\nline 4 by lease 1\n" {
			t.Errorf("output: %q", got)
		}
		g.expect(other, runRunning, "")
		a.beat(agentLostAfter)
		g.expect(other, runCrashed, "agent y was lost")
		g.expect(id, runRunning, "")
		a.gone()
		g.stop()
	})
}

func TestDispatchNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		twin := &fleetAgent{g: g, hello: agentMsg{Agent: "x", Capacity: 1, Epoch: "another"}}
		twin.join()
		if m := twin.of(msgRefused); len(m) != 1 || !strings.Contains(m[0].Reason,
			`another agent named "x" is connected`) || !twin.cut() {
			t.Errorf("a second x: %+v", m)
		}
		for _, hello := range []agentMsg{{Agent: "", Capacity: 1, Epoch: "e"}, {Agent: "z", Epoch: "e"},
			{Agent: "z", Capacity: -1, Epoch: "e"}, {Agent: "z", Capacity: 1}} {
			bad := &fleetAgent{g: g, hello: hello}
			bad.join()
			if m := bad.of(msgRefused); len(m) != 1 || !bad.cut() || g.p.state.Agents["z"] != nil {
				t.Errorf("%+v: %+v", hello, m)
			}
		}
		if a.cut() {
			t.Error("the first is gone")
		}
		again := &fleetAgent{g: g, hello: a.hello}
		again.join() // the same one, by a new connection
		if len(again.of(msgWelcome)) != 1 || !a.cut() {
			t.Error("a new connection of the same agent does not take the place of the old one")
		}
		g.run("w")
		if len(again.assigned()) != 1 || len(a.assigned()) != 0 {
			t.Errorf("%v, %v", again.assigned(), a.assigned())
		}
		again.gone()
		g.stop()
	})
}

func TestDispatchLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "any"}),
			principalTask(Workflow{ID: "gpu", Agent: map[string]string{"gpu": "yes"}}),
			principalTask(Workflow{ID: "mars", Agent: map[string]string{"gpu": "yes", "site": "mars"}}))
		plain := fleetAgentJoin(g, "plain", 2)
		gpu := &fleetAgent{g: g, hello: agentMsg{Agent: "gpu", Capacity: 3, Epoch: "g",
			Labels: map[string]string{"gpu": "yes", "site": "london"}}}
		gpu.join()
		mars := g.run("mars")
		g.expect(mars, runQueued, "no agent with labels gpu=yes site=mars")
		g.run("gpu")
		if len(gpu.assigned()) != 1 || len(plain.assigned()) != 0 {
			t.Errorf("%v, %v", gpu.assigned(), plain.assigned())
		}
		for range 4 { // to the one with the most room; of two the first by name
			g.run("any")
		}
		if len(gpu.assigned()) != 3 || len(plain.assigned()) != 2 {
			t.Errorf("%d, %d", len(gpu.assigned()), len(plain.assigned()))
		}
		full := g.run("any")
		g.expect(full, runQueued, "all agents are busy")
		gpu.gone()
		plain.gone()
		g.stop()
	})
}

func TestDispatchDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 2)
		one := g.run("w")
		g.ask(Request{Op: "drain", Agent: "x"})
		two := g.run("w")
		g.expect(one, runRunning, "")
		g.expect(two, runQueued, "all agents that could take it are draining")
		a.gone()
		a.hello.Holds = []heldRun{{one, 1}}
		a.join()
		g.expect(two, runQueued, "draining")
		if r := g.ask(Request{Op: "forget", Agent: "x"}); r.OK || r.Error.Code != codeConflict {
			t.Errorf("%+v", r)
		}
		g.ask(Request{Op: "undrain", Agent: "x"})
		g.expect(two, runRunning, "")
		// An agent that is going away says so itself.
		b := fleetAgentJoin(g, "y", 2)
		b.send(&agentMsg{Op: msgDrain})
		three := g.run("w")
		g.expect(three, runQueued, "")
		b.gone()
		if r := g.ask(Request{Op: "forget", Agent: "y"}); !r.OK || g.p.state.Agents["y"] != nil {
			t.Errorf("%+v", r)
		}
		a.gone()
		if r := g.ask(Request{Op: "forget", Agent: "x"}); r.OK || !strings.Contains(r.Error.Message,
			"still has 2 runs") {
			t.Errorf("%+v", r.Error)
		}
		g.stop()
	})
}

func TestDispatchCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Retries: 5}))
		queued := g.run("w")
		if r := g.ask(Request{Op: "cancel", Run: queued}); !r.OK {
			t.Error(r.Error)
		}
		g.expect(queued, runCancelled, "cancelled by ")
		a := fleetAgentJoin(g, "x", 1)
		id := g.run("w")
		as := a.last()
		a.report(fleetBegun(as)...)
		g.ask(Request{Op: "cancel", Run: id})
		g.ask(Request{Op: "cancel", Run: id, Force: true})
		if m := a.of(msgCancel); len(m) != 2 || m[0].Force || !m[1].Force || m[0].Run != id ||
			!strings.HasPrefix(m[0].Reason, "cancelled by ") {
			t.Errorf("%+v", m)
		}
		g.expect(id, runRunning, "")
		a.report(fleetEvent(as, evTaskFinished, "a", taskFailed), fleetEvent(as, evRunFinished, "", runFailed))
		g.expect(id, runFailed, "") // no retry of what was cancelled
		a.gone()
		g.stop()
	})
}

// A run that failed is queued again as often as its workflow says; what succeeded stays done.
func TestDispatchRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Workflow{ID: "w", Retries: 2, Tasks: []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x"}}}
		g := principalRigOpen(t, t.TempDir(), w)
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		for attempt := 1; attempt <= 3; attempt++ {
			as := a.last()
			if as.Attempt != attempt || as.Lease != attempt || (attempt > 1) != (len(as.Done) == 1) ||
				as.Lines != int64(attempt-1) {
				t.Fatalf("attempt %d: %+v", attempt, as)
			}
			a.report(fleetEvent(as, evRunStarted, "", ""))
			if attempt == 1 {
				a.report(fleetEvent(as, evTaskStarted, "a", ""), fleetEvent(as, evTaskFinished, "a",
					taskSucceeded))
			}
			a.report(fleetLines(as, int64(attempt)), fleetEvent(as, evTaskStarted, "b", ""),
				fleetEvent(as, evTaskFinished, "b", taskFailed), fleetEvent(as, evRunFinished, "", runFailed))
		}
		g.expect(id, runFailed, "")
		if r := g.ask(Request{Op: "retry", Run: id}); !r.OK {
			t.Fatal(r.Error)
		}
		as := a.last()
		if as.Attempt != 4 || len(as.Done) != 1 || as.Lines != 3 {
			t.Fatalf("%+v", as)
		}
		if r := g.ask(Request{Op: "retry", Run: id}); r.OK || r.Error.Code != codeConflict {
			t.Errorf("%+v", r)
		}
		a.report(fleetEvent(as, evTaskFinished, "b", taskSucceeded),
			fleetEvent(as, evRunFinished, "", runSucceeded))
		g.expect(id, runSucceeded, "")
		if r := g.ask(Request{Op: "retry", Run: id}); r.OK || !strings.Contains(r.Error.Message,
			"--all runs it all again") {
			t.Errorf("%+v", r)
		}
		if r := g.ask(Request{Op: "retry", Run: id, All: true}); !r.OK {
			t.Errorf("%+v", r)
		}
		g.expect(id, runRunning, "")
		if as := a.last(); as.Attempt != 5 || len(as.Done) != 0 {
			t.Errorf("%+v", as)
		}
		a.gone()
		g.stop()
	})
}

// A run that kills its agent does not go round for ever.
func TestDispatchFailoverBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Failover: failoverRerun}))
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		for n := 1; g.show(id).State == runRunning; n++ {
			if n > 10 {
				t.Fatal("it is still given out")
			}
			a.report(fleetBegun(a.last())...)
			a.gone()
			a.join()
		}
		if r := g.show(id); r.State != runCrashed || r.Attempt != 1+fleetMaxFailovers {
			t.Errorf("%s at attempt %d", r.State, r.Attempt)
		}
		a.gone()
		g.stop()
	})
}

// With overlap queue and replace the runs of a workflow go one after the other.
func TestDispatchOverlap(t *testing.T) {
	for overlap, want := range map[string]int{overlapAllow: 3, overlapSkip: 3, "": 3, overlapQueue: 1} {
		synctest.Test(t, func(t *testing.T) {
			g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlap}))
			a := fleetAgentJoin(g, "x", 5)
			ids := []string{g.run("w"), g.run("w"), g.run("w")}
			if got := len(a.assigned()); got != want {
				t.Errorf("overlap %q: %d at once", overlap, got)
			}
			if want == 1 {
				g.expect(ids[1], runQueued, "waiting for run "+ids[0])
				as := a.last()
				a.report(fleetEvent(as, evRunFinished, "", runSucceeded))
				g.expect(ids[1], runRunning, "")
				g.expect(ids[2], runQueued, "waiting for run "+ids[1])
			}
			a.gone()
			g.stop()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapReplace}))
		a := fleetAgentJoin(g, "x", 5)
		one := g.run("w")
		as := a.last()
		a.report(fleetBegun(as)...)
		two := g.run("w")
		g.expect(two, runQueued, "waiting for run "+one)
		if m := a.of(msgCancel); len(m) != 1 || m[0].Run != one {
			t.Errorf("%+v", m)
		}
		a.report(fleetEvent(as, evRunFinished, "", runCancelled))
		g.expect(one, runCancelled, "")
		g.expect(two, runRunning, "")
		a.gone()
		g.stop()
	})
}

// Output is acknowledged before an agent may send no more of it: many small messages as well as much of it.
func TestFleetAcksOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(fleetBegun(as)...)
		for n := range int64(agentReports) {
			msg, _ := parcelPack(as.Run, as.Lease, []parcelLines{parcelLine(&LogLine{Time: stampOf(time.Now()), N: n +
				1,
				Task: "a", Attempt: 1, Stream: "o", Text: "x"})}, nil)
			a.n++
			a.conn.Send(parcelMessage(a.n, 0, msg))
		}
		synctest.Wait()
		if n := a.acked(); n <= 2 || a.cut() {
			t.Fatalf("after %d lines: acknowledged up to %d, cut %v", agentReports, n, a.cut())
		}
		if got := g.output(as.Run); strings.Count(got, "x\n") != agentReports {
			t.Errorf("%d lines are stored", strings.Count(got, "x\n"))
		}
		a.gone()
		g.stop()
	})
}

// TestFleetOutputNumbers: whatever numbers an agent gives its lines, the lines that come later are taken.
func TestFleetOutputNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stream := range []string{"o", "c"} { // lines of one go as they are into the log; the others are read
			g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
			g.run("w")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			a.report(fleetBegun(as)...)
			send := func(numbers ...int64) {
				var lines []parcelLines
				for _, n := range numbers {
					lines = append(lines, parcelLine(&LogLine{Time: stampOf(time.Now()), N: n, Task: "a", Attempt: 1,
						Stream: stream, Text: fmt.Sprint("line ", n)}))
				}
				msg, _ := parcelPack(as.Run, as.Lease, lines, nil)
				a.n++
				a.conn.Send(parcelMessage(a.n, 0, msg))
				synctest.Wait()
			}
			send(1, 2)
			send(math.MaxInt64)
			send(math.MaxInt64-1, 3)
			send(4, 6, 5)
			send(6, 7)
			got := g.output(as.Run)
			for n := range 8 {
				if many := strings.Count(got, fmt.Sprintf("line %d\n", n)); n > 0 && n != 5 && many != 1 {
					t.Errorf("stream %s: line %d is stored %d times", stream, n, many)
				}
			}
			if strings.Contains(got, fmt.Sprint(int64(math.MaxInt64))) || strings.Contains(got, "line 5") {
				t.Errorf("stream %s: lines with wrong numbers are stored:\n%s", stream, got)
			}
			a.gone()
			g.stop()
		}
	})
}
