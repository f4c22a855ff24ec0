package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestProtoKeys(t *testing.T) {
	knows := protoKnows()
	seen := map[string]bool{}
	for _, key := range knows {
		if seen[key] || strings.HasSuffix(key, ".") || strings.HasPrefix(key, ".") {
			t.Errorf("%q in %q", key, knows)
		}
		seen[key] = true
	}
	w := &Workflow{ID: "w", Timeout: 1, StartTime: stampOf(stateEpoch), Env: map[string]string{"umask": "x"},
		Params: map[string]Param{"nice": {Pattern: "a"}},
		Tasks: []Task{{ID: "a", Run: "true", Timeout: 1}, {ID: "b", Python: &Python{UV: "uv"},
			Env: map[string]string{"k": "v"}}}}
	if got, want := protoUses(w), strings.Fields("env id params params.pattern start_time tasks tasks.env tasks.id "+
		"tasks.python tasks.python.script tasks.python.uv tasks.run tasks.timeout timeout"); !slices.Equal(got, want) {
		t.Errorf("it has %q", got)
	}
	for text, want := range map[string]string{
		string(protoEncode(w)): "", `{"id":"w","umask":"077"}`: "umask",
		`{"tasks":[{"id":"a"},{"nice":5}]}`: "tasks.nice",
		`{"params":{"p":{"secret":true},"umask":{}},"tasks":[{"python":{"venv":"x"}}],"env":{"umask":"1"}}`: "params.secret tasks.python.venv", `null`: "", `[1]`: "", `{`: "",
	} {
		if got := strings.Join(protoUnknown([]byte(text)), " "); got != want {
			t.Errorf("%s: %q is unknown, not %q", text, got, want)
		}
	}
}

// An agent passes over what it does not know of a message, and refuses a run whose workflow has what it does not know.
func TestAgentRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		if hello := g.of(msgHello); len(hello) != 1 || !slices.Equal(hello[0].Knows, protoKnows()) {
			t.Fatalf("%+v", hello)
		}
		say := func(text string) {
			g.mu.Lock()
			conn := g.conn
			g.mu.Unlock()
			conn.Send([]byte(text))
			synctest.Wait()
		}
		spec := `"spec":{"id":"w","tasks":[{"id":"a","cmd":"/no/such/program"%s}]%s}`
		say(fmt.Sprintf(`{"v":1,"op":"assign","assign":{"run":"R1","lease":3,"attempt":1,`+spec+`}}`, `,"sandbox":"x"`,
			`,"niceness":5`))
		say(`{"v":1,"op":"assign","assign":{"run":"R2","lease":1,"attempt":1,"spec":{"id":"w","timeout":{"seconds":5},"tasks":[]}}}`)
		got := g.of(msgRefused)
		if len(got) != 2 || got[0].Run != "R1" || got[0].Lease != 3 ||
			!slices.Equal(got[0].Unknown, []string{"niceness", "tasks.sandbox"}) ||
			got[0].Reason != "does not know `niceness`, `tasks.sandbox`" || got[1].Run != "R2" ||
			!strings.Contains(got[1].Reason, "cannot read its workflow") {
			t.Fatalf("%+v", got)
		}
		say(fmt.Sprintf(`{"v":1,"op":"assign","soon":true,"assign":{"run":"R3","lease":1,"attempt":1,"wave":2,`+spec+`}}`, "", ""))
		say(`{"v":1,"op":"weather","sun":{"is":"out"}}`)
		if events := g.events("R3"); !strings.HasSuffix(events, "run.finished failed") ||
			g.events("R1")+g.events("R2") != "" {
			t.Errorf("R3: %s, R1: %s, R2: %s", events, g.events("R1"), g.events("R2"))
		}
		if n := len(g.of(msgHello)); n != 1 {
			t.Errorf("it said hello %d times", n)
		}
		g.end()
	})
}

// An agent that cannot work with the principal that it meets says why in its log, once, and asks again; as soon as it
// can, it works.
func TestAgentStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		other  *Reply
		greets *agentMsg
		want   string
	}{
		"a welcome that does not say what it can": {greets: &agentMsg{Op: msgWelcome, Version: "0.0.9"},
			want: "the principal (0.0.9) is too old for this agent: its welcome does not say what it can and knows"},
		"a welcome of another version": {greets: &agentMsg{V: 2, Op: msgWelcome, Version: "9.1.0",
			Can: protoPrincipalCan},
			want: "the principal (9.1.0) speaks version 2 of the protocol, and this agent version 1: update this " +
				"agent"},
		"an answer as to a client": {other: &Reply{V: protoVersion,
			Error: refuse(codeInvalid, "json: unknown field %q", "knows")}, want: `json: unknown field \"knows\"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := agentRigOpen(t)
				g.set(func() { g.other, g.greets = c.other, c.greets })
				g.setDown(true)
				g.setDown(false)
				time.Sleep(time.Minute)
				if n := len(g.of(msgHello)); n < 5 || n > 20 { // the first waits are short
					t.Errorf("it said hello %d times in a minute", n)
				}
				if log := g.log.String(); strings.Count(log, "refused this agent") != 1 ||
					!strings.Contains(log, c.want) {
					t.Errorf("log: %s", log)
				}
				g.set(func() { g.other, g.greets = nil, nil })
				time.Sleep(2 * agentRedialMax)
				g.assign("R1", 1, Workflow{Tasks: agentBroken})
				if g.events("R1") == "" {
					t.Error("it does not work for a principal that it can work with")
				}
				g.end()
			})
		})
	}
}

// An agent that the principal cannot work with is told why, and how to mend it; words that are not known do no harm.
func TestDispatchStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir())
		for hello, want := range map[string]string{
			`{"v":1,"op":"hello","agent":"x","epoch":"e","capacity":1,"version":"0.0.9","knows":["id"]}`: "agent x (0.0.9) " +
				"is too old for the principal: its hello does not say what it can and knows",
			`{"v":1,"op":"hello","agent":"x","epoch":"e","capacity":1,"can":[]}`: "agent x (of no version) is too old",
			`{"v":2,"op":"hello","agent":"x","epoch":"e","capacity":1,"version":"9.1.0","knows":[],"can":[]}`: "agent x " +
				"(9.1.0) speaks version 2 of the protocol, and the principal version 1: update the principal",
			`{"v":2,"op":"hello","agent":"x","epoch":"e","capacity":{"runs":1},"can":[]}`: "agent x (of no version) " +
				"speaks version 2 of the protocol",
			`{"v":1,"op":"hello","agent":"x","epoch":"e","capacity":1,"knows":["moon"],"can":["fly"]}`: msgWelcome,
		} {
			conn := g.connect()
			conn.Send([]byte(hello))
			frames, err := conn.Recv()
			if err != nil || !strings.Contains(string(frames[len(frames)-1]), want) {
				t.Errorf("%s: %q, %v", hello, frames, err)
			}
			conn.Close()
		}
		g.stop()
	})
}

// helloConn counts how often it was made an agent's.
type helloConn struct {
	wireConn
	agents *atomic.Int64
}

func (c helloConn) AsAgent() error {
	c.agents.Add(1)
	return c.wireConn.AsAgent()
}

// A hello that cannot be read makes no agent of a connection: nobody would look after its silence.
func TestDispatchHelloUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir())
		defer g.stop()
		for hello, want := range map[string]int64{
			`{"v":1,"op":"hello","agent":7}`:                                                0,
			`{"v":1,"op":"hello","agent":"x","epoch":"e","capacity":1,"knows":[],"can":[]}`: 1,
		} {
			ours, theirs := wirePipe()
			conn := helloConn{farConn{theirs}, new(atomic.Int64)}
			g.group.Go(func() { g.p.runPeer(conn) })
			ours.Send([]byte(hello))
			if _, err := ours.Recv(); err != nil || conn.agents.Load() != want {
				t.Errorf("%s: %d times an agent's, want %d (%v)", hello, conn.agents.Load(), want, err)
			}
			ours.Close()
		}
	})
}

// What an agent cannot take it is not sent: one that cannot stop a task goes on with it, and who asked hears why.
func TestDispatchCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), fleetHolds)
		a := &fleetAgent{g: g, hello: agentMsg{Agent: "x", Capacity: 1, Epoch: "e", Version: "0.9",
			Can: []string{"fly"}}}
		a.join()
		id := g.run("w")
		as := a.last()
		a.report(fleetAtWork(as)...)
		r := g.ask(Request{Op: "cancel", Run: id, Task: "load"})
		want := "agent x (0.9) is too old to stop one task: cdktr cancel " + id + " stops the whole run"
		if r.OK || r.Error.Code != codeConflict || r.Error.Message != want {
			t.Errorf("%+v", r.Error)
		}
		a.gone() // what is asked for meanwhile it cannot be told when it is back
		if r := g.ask(Request{Op: "cancel", Run: id, Task: "load"}); !r.OK {
			t.Errorf("%+v", r.Error)
		}
		a.hello.Holds = []heldRun{{as.Run, as.Lease}}
		a.join()
		if told := append(a.of(msgStopTask), a.of(msgFollow)...); len(told) != 0 {
			t.Errorf("it was told %+v", told)
		}
		g.expect(id, runRunning, "")
		a.gone()
		g.stop()
	})
}

// fleetUmask is a principal of a version whose workflows may have a key that no agent of these tests knows: it
// stands in for tasks.timeout.
const fleetUmask = "tasks.timeout"

func fleetUmaskWorkflow(id string) *Workflow {
	w := principalTask(Workflow{ID: id})
	w.Tasks[0].Timeout = Duration(time.Minute)
	return w
}

// What an agent says that it does not know it is not given. The run waits, and says for what; one that knows gets it.
func TestDispatchTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), fleetUmaskWorkflow("new"), principalTask(Workflow{ID: "plain"}))
		old := &fleetAgent{g: g, hello: agentMsg{Agent: "edge-07", Capacity: 2, Epoch: "e", Version: "0.1.0"}}
		old.hello.Knows = slices.DeleteFunc(protoKnows(), func(key string) bool { return key == fleetUmask })
		old.join()
		id := g.run("new")
		why := "agent edge-07 (0.1.0) does not know `" + fleetUmask + "`"
		g.expect(id, runQueued, why)
		if plain := g.run("plain"); old.last().Run != plain || len(old.assigned()) != 1 {
			t.Errorf("%+v", old.assigned())
		}
		items := func() []AttentionItem {
			return slices.DeleteFunc(g.ask(Request{Op: "attention"}).Items,
				func(i AttentionItem) bool { return i.Kind != attentionOld })
		}
		got := items()
		if len(got) != 1 || got[0].Agent != "edge-07" || !strings.Contains(got[0].Reason, why+" of workflow new") {
			t.Fatalf("%+v", got)
		}
		if r := g.ask(Request{Op: "ack", Key: got[0].Key}); !r.OK || len(items()) != 0 {
			t.Errorf("%+v, %+v", r.Error, items())
		}
		young := fleetAgentJoin(g, "young", 1)
		if young.last().Run != id {
			t.Errorf("%+v", young.assigned())
		}
		next := g.run("new")
		g.expect(next, runQueued, "all agents are busy") // one of them could take it
		old.gone()
		old.hello.Knows, old.hello.Version = protoKnows(), "0.2.0"
		old.join()
		if old.last().Run != next {
			t.Errorf("it was upgraded, and is not given the run: %+v", old.assigned())
		}
		young.gone()
		old.gone()
		g.stop()
	})
}

// Agents that find out only when they are given a run: one refuses it, one hangs up. Neither is given it again
// at once, nor without end, and all else goes on.
func TestDispatchRefused(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs up %v", hangs), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := principalRigOpen(t, t.TempDir(), fleetUmaskWorkflow("new"),
					principalTask(Workflow{ID: "plain"}))
				a := fleetAgentJoin(g, "edge-07", 2)
				a.hello.Version = "0.1.0"
				a.gone()
				a.join()
				given, plain, done := 0, 0, map[string]bool{}
				look := func() { // as its loop would
					for _, as := range a.assigned() {
						if as.Spec.ID == "plain" && !done[as.Run] {
							plain++
							done[as.Run] = true
							a.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "a", ""),
								fleetEvent(as, evTaskFinished, "a", taskSucceeded),
								fleetEvent(as, evRunFinished, "", runSucceeded))
						}
					}
					for _, as := range a.assigned() {
						if as.Spec.ID != "new" {
							continue
						}
						given++
						if hangs {
							a.gone()
							a.join()
							return
						}
						a.mu.Lock()
						a.got = nil
						a.mu.Unlock()
						a.send(&agentMsg{Op: msgRefused, Run: as.Run, Lease: as.Lease, Reason: "does not like it"})
					}
				}
				id := g.run("new")
				for i := range 720 { // an hour
					if i%60 == 0 {
						g.run("plain")
					}
					look()
					a.beat(5 * time.Second)
				}
				look()
				if given < 5 || given > 17 || plain != 12 {
					t.Errorf("in an hour it was given the run %d times, and %d of 12 others", given, plain)
				}
				why := "does not like it"
				if hangs {
					why = "hung up"
				}
				g.expect(id, runQueued, "edge-07 (0.1.0) "+why)
				g.expect(id, runQueued, " times now")
				if n := g.p.state.Seq; n > 300 {
					t.Errorf("%d events", n)
				}
				other := fleetAgentJoin(g, "other", 1)
				if other.last().Run != id {
					t.Errorf("%+v", other.assigned())
				}
				a.gone()
				other.gone()
				g.stop()
			})
		})
	}
}

// The keys that an agent says it does not know are taken at its word, for every workflow that has them; what it says of
// a run that is not its own, or has begun, is nothing.
func TestDispatchRefusedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), fleetUmaskWorkflow("new"), fleetUmaskWorkflow("other"),
			principalTask(Workflow{ID: "plain"}))
		a := fleetAgentJoin(g, "x", 3)
		plain := g.run("plain")
		begun := a.last()
		a.report(fleetBegun(begun)...)
		for _, m := range []agentMsg{{Run: plain, Lease: 1}, {Run: plain, Lease: 2}, {Run: "STRANGER", Lease: 1}} {
			m.Op = msgRefused
			a.send(&m)
		}
		g.expect(plain, runRunning, "")
		id := g.run("new")
		a.send(&agentMsg{Op: msgRefused, Run: id, Lease: a.last().Lease,
			Unknown: []string{fleetUmask, strings.Repeat("k", 10_000)}})
		second := g.run("other")
		for _, id := range []string{id, second} {
			g.expect(id, runQueued, "agent x (0) does not know `"+fleetUmask+"`")
		}
		time.Sleep(agentLostAfter / 2)
		if n := len(a.assigned()); n != 2 {
			t.Errorf("%d assignments", n)
		}
		if r := g.show(id); len(r.Reason) > 1000 {
			t.Errorf("a reason of %d bytes", len(r.Reason))
		}
		a.gone()
		g.stop()
	})
}

// What agents say may have fields that are not known here; requests of clients may not.
func TestProtoPeer(t *testing.T) {
	m := &agentMsg{}
	if err := protoPeer([]byte(`{"op":"hello","agent":"x","moon":1,"holds":[{"run":"R","lease":1,"since":"x"}]}`),
		m); err != nil || m.Agent != "x" || len(m.Holds) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := protoPeer([]byte(`{"agent":"`+strings.Repeat("x", 1000)+`"}`), m); err == nil {
		t.Error("a name of 1000 bytes is taken")
	}
	if err := protoRequest([]byte(`{"op":"run","moon":1}`), &Request{}); err == nil {
		t.Error("a request with an unknown field is taken")
	}
	as := &assignment{Run: "R", Lease: 2, Params: map[string]string{"a": "b"},
		Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}, Done: []TaskRun{{Task: "a"}}, Lines: 7}
	back := &assignment{}
	if err := json.Unmarshal(protoEncode(as), back); err != nil || !reflect.DeepEqual(as, back) || back.unfit() != "" {
		t.Errorf("%+v, %v", back, err)
	}
}
