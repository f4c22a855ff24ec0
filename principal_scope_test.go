// A key that is for some workflows sees nothing of others in any reply. The test asks every op of the table with every
// field that it reads. A new op is tested by itself, and a new field fails the test until it has values here.

package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	scopeMine  = "load-a-mine"
	scopeOther = "load-b-other"  // its id is near to names that the key may ask for
	scopeBad   = "load-b-broken" // does not load
	scopeAgent = "edge-secret"   // is lost: agents are not for the key
	scopeNear  = "load-a-other"  // within what the key is for, and not there
)

// scopeRig is a principal with two workflows, of which a key is for one.
type scopeRig struct {
	sharesRig
	marks []string            // what no reply may hold: ids, runs, output and keys of the other workflow
	runs  map[string][]string // by workflow: one in the history, one that is in memory, one that is queued
	// by workflow: one that was stopped
	batches map[string]string
	sent    map[string][]byte // requests, by id
	got     chan [2]string    // frames that came, with the ids of the requests
	by      map[string]string // all that came, by the id of the request; of one without an id, and of topics, under ""
}

func scopeRigOpen(t *testing.T) *scopeRig {
	g := &scopeRig{runs: map[string][]string{}, sent: map[string][]byte{}, got: make(chan [2]string, 1000),
		by: map[string]string{}, batches: map[string]string{scopeMine: "B01M8N8336EXGHM5ZXHR9QKEC3K",
			scopeOther: "B01M8N8339TPR1VAN8ZE3YFM2DF"}}
	g.sharesRig = sharesRigOpen(t, principalTask(Workflow{ID: scopeMine, Schedule: []string{"* * * * *"},
		Overlap: overlapAllow}),
		principalTask(Workflow{ID: scopeOther, Schedule: []string{"* * * * *"}, Overlap: overlapAllow}))
	g.marks = []string{scopeOther, scopeBad, scopeAgent}
	g.do(func() {
		g.p.cfg.Keys.grants["ci"].Workflows = []string{"load-a*"}
		// which are warned of
		for _, f := range []workflowFile{*g.p.catalog.files[scopeMine], *g.p.catalog.files[scopeOther]} {
			f.Faults = []workflowFault{{File: f.File, Line: 1, Message: "warned of " + f.ID, Warning: true}}
			g.p.setFiles([]workflowFile{f}, nil)
		}
		g.p.setFiles([]workflowFile{{ID: scopeBad, File: scopeBad + ".yml",
			Faults: []workflowFault{{File: scopeBad + ".yml", Message: "it is broken"}}}}, nil)
		g.p.emit(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e", Capacity: 4})
		g.p.emit(&Event{Kind: evAgentUp, Agent: scopeAgent, Epoch: "e", Capacity: 4})
		g.p.emit(&Event{Kind: evAgentLost, Agent: scopeAgent, Reason: "it is so"})
	})
	for _, workflow := range []string{scopeMine, scopeOther} {
		g.do(func() { g.end(workflow) })
	}
	for i := 0; i < stateMaxFinished; i += 50 { // what is in memory is newer than these
		g.do(func() {
			for range 50 {
				g.end(scopeOther)
			}
		})
	}
	for _, workflow := range []string{scopeMine, scopeOther} {
		g.do(func() { g.end(workflow) })
	}
	time.Sleep(attentionWaits + 2*time.Minute) // ticks, and what they have queued is overdue
	synctest.Wait()
	g.do(func() {
		for _, workflow := range []string{scopeMine, scopeOther} {
			ids := g.runs[workflow]
			g.runs[workflow] = []string{ids[0], ids[len(ids)-1], g.p.queue.active[workflow][0]}
			if r := g.p.state.Runs[ids[0]]; r != nil {
				t.Errorf("run %s is in memory still", r.ID)
			}
		}
		for _, f := range g.p.state.Workflows[scopeOther].Failures {
			g.marks = append(g.marks, f.Key)
		}
	})
	g.marks = append(g.marks, g.runs[scopeOther]...)
	g.marks = append(g.marks, g.batches[scopeOther])
	g.do(func() {
		for _, workflow := range []string{scopeMine, scopeOther} {
			for _, kind := range []string{evBatch, evBatchStopped} {
				g.p.emit(&Event{Kind: kind, Workflow: workflow, Batch: g.batches[workflow], Times: "0"})
			}
			g.p.emit(&Event{Kind: evLeft, Run: g.runs[workflow][1], Workflow: workflow, Agent: "x",
				Left: []LeftProcess{{Agent: "x", Task: "a", PID: 4711, Command: "command of " + workflow}}})
			g.p.output.noteTrouble(g.p.state.Runs[g.runs[workflow][1]], func(d *outputTrouble) {
				d.say("x",
					"output is dropped of "+workflow)
			})
		}
	})
	return g
}

// end has a run begin, write a line, and fail. Only on the loop.
func (g *scopeRig) end(workflow string) {
	id, refused := g.p.enqueue(g.p.catalog.files[workflow].Spec, runOrder{trigger: triggerManual, by: "somebody"})
	if refused != nil {
		g.t.Fatal(refused)
	}
	now := stampOf(g.p.cfg.now())
	place := logPlace{Day: now.UTC().Format(logDayLayout)}
	for _, e := range []*Event{{Kind: evAssigned, Agent: "x"}, {Kind: evRunStarted},
		{Kind: evTaskStarted, Task: "a", Attempt: 1, LogDay: place.Day},
		{Kind: evTaskFinished, Task: "a", Attempt: 1, State: taskFailed, Exit: stateInt(3), Reason: "exit of " +
			workflow}, {Kind: evRunFinished, State: runFailed, Reason: "task a of " + workflow}} {
		e.Run, e.Workflow, e.Agent, e.Lease = id, workflow, "x", 1
		if e.Kind == evAssigned {
			e.Lease = 0
		}
		if err := g.p.emit(e); err != nil {
			g.t.Fatal(err)
		}
	}
	line := []LogLine{{Time: now, Run: id, N: 1, Task: "a", Attempt: 1, Stream: "e", Text: "output of " + workflow}}
	if err := g.p.logs.append(workflow, line); err != nil {
		g.t.Fatal(err)
	}
	g.p.followers.publishLines(workflow, line)
	g.runs[workflow] = append(g.runs[workflow], id)
}

// values gives what a field of a request is asked with; the empty value is asked for too.
func (g *scopeRig) values(field string) []any {
	mine, other := g.runs[scopeMine], g.runs[scopeOther]
	values, ok := map[string][]any{
		"workflow": {scopeMine, scopeNear}, "run": {mine[0], mine[1], mine[2], other[0], other[1], other[2], scopeOther,
			scopeMine, scopeNear}, "agent": {"x", "y"}, "params": {}, "wait": {true}, "follow": {true},
		"key":   {"failed:" + scopeNear + ":" + strings.TrimPrefix(g.marks[3], "failed:"+scopeOther+":"), "agent:y"},
		"force": {}, "all": {true}, "pattern": {"load*"}, "state": {runFailed}, "task": {"b"},
		"stream": {}, "grep": {}, "since": {}, "at": {"2000-01-01T00:00:00Z"}, "n": {3, 500},
		"after": {"load-a", other[1]}, "seq": {}, "last": {5}, "before": {}, "of": {"1"}, "until": {},
		"comment": {}, "batch": {g.batches[scopeMine], g.batches[scopeOther]}, "reverse": {},
		"record": {}, "dry": {}, "from": {}, "args": {}, "env": {}, "directory": {}, "timeout": {}, "labels": {},
	}[field]
	if !ok {
		g.t.Errorf("the field %q has no values here", field)
	}
	return append([]any{nil}, values...)
}

// requests makes every request of an op.
func (g *scopeRig) requests(v *protoOp) []map[string]any {
	all := []map[string]any{{"v": 1, "op": v.Op}}
	for _, field := range v.Fields {
		name, must := strings.CutSuffix(field, "*")
		var more []map[string]any
		for _, value := range g.values(name) {
			for _, req := range all {
				if value == nil && must && len(g.values(name)) > 1 {
					continue
				}
				req = maps.Clone(req)
				if value != nil {
					req[name] = value
				}
				more = append(more, req)
			}
		}
		all = more
	}
	return all
}

// connect gives a connection with the key that is for one workflow, and keeps what comes over it.
func (g *scopeRig) connect(socket string) wireConn {
	ours, near := wirePipe()
	g.group.Go(func() {
		g.p.runPeer(sharesConn{near, wirePeer{Socket: socket, Transport: "tcp", Addr: "tcp://192.0.2.1:4711", Key: "ci",
			Name: "ci", Party: "key ci"}})
	})
	g.ends = append(g.ends, ours)
	g.group.Go(func() {
		for {
			frames, err := ours.Recv()
			if err != nil {
				return
			}
			_, id := peek(frames[len(frames)-1])
			for _, frame := range frames {
				g.got <- [2]string{id, string(frame)}
			}
		}
	})
	return ours
}

func TestScopedKeySees(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := scopeRigOpen(t)
		g.group.Go(func() {
			for frame := range g.got {
				g.by[frame[0]] += frame[1]
			}
		})
		sub := g.connect("SUB")
		for _, topic := range []string{"", "event.", "log.", "event." + scopeMine, "log." + scopeMine} {
			if err := sub.Send(append([]byte{1}, topic...)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		ops := map[string]string{} // of requests, by their ids
		for i := range protoOps {
			v := &protoOps[i]
			for _, req := range g.requests(v) {
				id := fmt.Sprint(len(ops))
				req["id"], ops[id] = id, v.Op
				g.sent[id] = protoEncode(req)
				conn := g.connect("DEALER") // of its own: some of them go on
				if err := conn.Send(g.sent[id]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(paceEach)
				synctest.Wait()
				if v.Op != "watch" && req["follow"] != true {
					conn.Cut(nil)
				}
			}
		}
		g.do(func() { // what goes on is told of both
			for _, workflow := range []string{scopeMine, scopeOther} {
				g.end(workflow)
				g.p.fleet.cancelRun(g.p.state.Runs[g.runs[workflow][2]], "enough", false, "somebody", "")
				g.p.emit(&Event{Kind: evPaused, Workflow: workflow, By: "somebody"})
			}
			g.p.setFiles(nil, []string{scopeBad})
			g.p.emit(&Event{Kind: evAgentLost, Agent: "x", Reason: "it is so"})
		})
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		for _, end := range g.ends {
			end.Cut(nil)
		}
		synctest.Wait()
		close(g.got)
		synctest.Wait()
		seen := map[string]string{} // op -> all that it answered
		for id, text := range g.by {
			seen[ops[id]] += text
			for _, mark := range g.marks {
				if strings.Contains(text, mark) && !strings.Contains(string(g.sent[id]), mark) {
					t.Errorf("%s is told of the other workflow, by %s:\n%.600s", g.sent[id], mark,
						text[max(0, strings.Index(text, mark)-200):])
				}
			}
			if strings.Contains(text, `"agent.lost"`) || strings.Contains(text, `"agent.up"`) {
				t.Errorf("%s is told of agents", g.sent[id])
			}
		}
		for _, v := range protoOps { // and it does see what is its own
			if text := seen[v.Op]; v.Op != msgHello && text == "" || v.Scoped && !strings.Contains(text, scopeMine) {
				t.Errorf("%s tells nothing of the key's own workflow: %.300s", v.Op, text)
			}
		}
		for _, want := range []string{"event." + scopeMine, "log." + scopeMine, "output of " + scopeMine} {
			if !strings.Contains(seen[""], want) {
				t.Errorf("a subscriber is not told of %q", want)
			}
		}
		if len(ops) < 100 {
			t.Errorf("only %d requests were sent", len(ops))
		}
		g.stop()
	})
}
