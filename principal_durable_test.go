// Tests of the promise "answered when it is on disk", for everything that changes something. The fsync of a store
// blocks, and each op is asked in turn: before the fsync there is no answer, behind it there is one. The table must
// have every op that the loop carries out, and every request of the older dialect that changes something.

package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// durableRig is a principal whose journal is synced when the test says so.
type durableRig struct {
	*principalRig
	gate    chan bool    // full: fsyncs wait
	blocked atomic.Int64 // fsyncs that have come to it
	run     string       // of workflow w, queued
	ended   string       // of workflow w, failed
	batch   string       // of workflow d
}

func durableRigOpen(t *testing.T) *durableRig {
	g := &durableRig{principalRig: principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}),
		principalTask(Workflow{ID: "v"}), principalTask(Workflow{ID: "d", Schedule: []string{"*/10 * * * *"},
			Overlap: overlapAllow}), &Workflow{ID: "q", Tasks: []Task{{ID: "a", Approve: "Go on?"}}}),
		gate: make(chan bool, 1)}
	g.do(func() {
		next := g.p.store.files.sync
		g.p.store.files.sync = func(f *os.File) error {
			g.blocked.Add(1)
			g.gate <- true
			<-g.gate
			return next(f)
		}
		g.p.emit(&Event{Kind: evAgentUp, Agent: "lost", Epoch: "e", Capacity: 1})
		g.p.emit(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e", Capacity: 1})
		g.p.emit(&Event{Kind: evAgentLost, Agent: "lost", Reason: "it is so"})
	})
	g.ended = g.principalRig.run("w")
	g.do(func() {
		g.p.emit(&Event{Kind: evRunEnded, Run: g.ended, Workflow: "w", State: runFailed, Reason: "it is so"})
	})
	time.Sleep(attentionAway + time.Second) // the lost agent needs a person
	g.run = g.principalRig.run("w")
	synctest.Wait()
	return g
}

// compat says a word of the older dialect and wants a good answer to it.
func (g *durableRig) compat(text string) string {
	g.t.Helper()
	conn := g.connect()
	defer conn.Cut(nil)
	if err := conn.Send([]byte(text)); err != nil {
		g.t.Fatal(err)
	}
	frames, err := conn.Recv()
	if err != nil || strings.Contains(string(frames[0]), "ERROR") {
		g.t.Fatalf("%q: %q, %v", text, frames, err)
	}
	return string(frames[0])
}

// durableCase is something that changes the state, and who is told of it.
type durableCase struct {
	op    string                // of protoOps, a word of the older dialect, or what it is about
	setup func(*durableRig)     // while fsyncs go through
	body  func(*durableRig) any // what is sent: a Request, or the text of the older dialect; nil: nothing
	when  func(*durableRig)     // done once it is sent, while fsyncs wait; nil: nothing
	want  string                // in the answer
}

var durableCases = []durableCase{
	{op: "run", body: func(*durableRig) any { return Request{Op: "run", Workflow: "v"} }, want: `"run":"`},
	{op: "run with a key that was used", setup: func(g *durableRig) {
		g.ask(Request{Op: "run", Workflow: "v",
			Key: "k"})
	}, body: func(*durableRig) any { return Request{Op: "run", Workflow: "v", Key: "k"} },
		when: func(g *durableRig) { g.do(func() { g.p.emit(&Event{Kind: evPaused, Workflow: "v", By: "x"}) }) },
		want: `"run":"`},
	{op: "run and wait", body: func(*durableRig) any { return Request{Op: "run", Workflow: "v", Wait: true} },
		when: func(g *durableRig) {
			g.do(func() { g.p.fleet.cancelRun(g.p.state.Runs[g.p.queue.active["v"][0]], "enough", false, "", "") })
		}, want: runCancelled},
	{op: "wait", body: func(g *durableRig) any { return Request{Op: "wait", Run: g.run} },
		when: func(g *durableRig) {
			g.do(func() { g.p.fleet.cancelRun(g.p.state.Runs[g.run], "enough", false, "", "") })
		},
		want: runCancelled},
	{op: "wait and follow", body: func(g *durableRig) any { return Request{Op: "wait", Run: g.run, Follow: true} },
		when: func(g *durableRig) {
			g.do(func() { g.p.fleet.cancelRun(g.p.state.Runs[g.run], "enough", false, "", "") })
		},
		want: `"runs":[`},
	{op: "cancel", body: func(g *durableRig) any { return Request{Op: "cancel", Run: g.run} }, want: `"run":"`},
	{op: "cancel of a task", setup: (*durableRig).begin, body: func(g *durableRig) any {
		return Request{Op: "cancel",
			Run: g.run, Task: "a"}
	}, want: `"run":"`},
	{op: "cancel of a run that an agent has", setup: (*durableRig).begin,
		body: func(g *durableRig) any { return Request{Op: "cancel", Run: g.run} }, want: `"run":"`},
	{op: "backfill", body: func(*durableRig) any {
		return Request{Op: "backfill", Workflow: "d", Since: stampOf(time.Now().Add(-time.Hour))}
	}, want: `"batch":"B`},
	{op: "cancel of a batch", setup: func(g *durableRig) {
		g.batch = g.ask(Request{Op: "backfill", Workflow: "d", Since: stampOf(time.Now().Add(-time.Hour))}).Batch
	}, body: func(g *durableRig) any { return Request{Op: "cancel", Batch: g.batch} }, want: `"batch":"B`},
	{op: "exec", body: func(g *durableRig) any { return Request{Op: "exec", Args: []string{"true"}} }, want: `"run":"`},
	{op: "record", body: func(*durableRig) any {
		return Request{Op: "record", Workflow: "cron", Record: &WrapRecord{Command: "x", State: runFailed,
			Ended: stampOf(time.Now())}}
	}, want: `"run":"`},
	{op: "retry", body: func(g *durableRig) any { return Request{Op: "retry", Run: g.ended} }, want: `"run":"`},
	{op: "pause", body: func(*durableRig) any { return Request{Op: "pause", Workflow: "w"} }, want: `"ok":true`},
	{op: "pause of all", body: func(*durableRig) any { return Request{Op: "pause", All: true} }, want: `"ok":true`},
	{op: "resume", setup: func(g *durableRig) { g.ask(Request{Op: "pause", Workflow: "w"}) },
		body: func(*durableRig) any { return Request{Op: "resume", Workflow: "w"} }, want: `"ok":true`},
	{op: "ack", body: func(*durableRig) any { return Request{Op: "ack", Key: "agent:lost"} }, want: `"ok":true`},
	{op: "alarm", setup: func(g *durableRig) {
		g.do(func() {
			g.p.cfg.Alarm = alarmConfig{Command: "tell", Delay: time.Hour,
				run: func(context.Context, commandSpec) commandResult { return commandResult{} }}
			g.p.alarm = alarmNew(g.p)
		})
	}, body: func(*durableRig) any { return Request{Op: "alarm"} }, want: `"alarm":{`},
	{op: "approve", setup: (*durableRig).beginAsking,
		body: func(g *durableRig) any { return Request{Op: "approve", Run: g.run} }, want: `"run":"`},
	{op: "reject", setup: (*durableRig).beginAsking,
		body: func(g *durableRig) any { return Request{Op: "reject", Run: g.run} }, want: `"run":"`},
	{op: "drain", body: func(*durableRig) any { return Request{Op: "drain", Agent: "x"} }, want: `"ok":true`},
	{op: "undrain", setup: func(g *durableRig) { g.ask(Request{Op: "drain", Agent: "x"}) },
		body: func(*durableRig) any { return Request{Op: "undrain", Agent: "x"} }, want: `"ok":true`},
	{op: "forget", body: func(*durableRig) any { return Request{Op: "forget", Agent: "lost"} }, want: `"ok":true`},
	{op: "backup", body: func(*durableRig) any { return Request{Op: "backup"} },
		when: func(g *durableRig) { g.do(func() { g.p.emit(&Event{Kind: evPaused, Workflow: "v", By: "x"}) }) },
		want: `"folder":"`},
	{op: "RUNTASK", body: func(*durableRig) any { return "RUNTASK\x01v" }, want: "OK"},
	{op: "REGISTERAGENT", body: func(*durableRig) any { return "REGISTERAGENT\x01old" }, want: "OK"},
	{op: "FETCHWORKFLOW", setup: func(g *durableRig) { g.compat("REGISTERAGENT\x01old") },
		body: func(*durableRig) any { return "FETCHWORKFLOW\x01old" }, want: `SUCCESS` + compatSplit},
	{op: "AGENTWORKFLOWSTATUS", setup: func(g *durableRig) {
		g.compat("FETCHWORKFLOW\x01old")
		g.compat("AGENTWORKFLOWSTATUS\x01old\x01w\x01i\x01RUNNING")
	},
		body: func(*durableRig) any { return "AGENTWORKFLOWSTATUS\x01old\x01w\x01i\x01CRASHED" }, want: "OK"},
	{op: "AGENTTASKSTATUS", setup: func(g *durableRig) {
		g.compat("FETCHWORKFLOW\x01old")
		g.compat("AGENTWORKFLOWSTATUS\x01old\x01w\x01i\x01RUNNING")
	},
		body: func(*durableRig) any { return "AGENTTASKSTATUS\x01old\x01a\x01t\x01i\x01RUNNING" }, want: "OK"},
}

// beginAsking begins a run whose task waits for a person.
func (g *durableRig) beginAsking() {
	g.run = g.principalRig.run("q")
	g.beginAs("q", &Event{Kind: evTaskAsked, Task: "a", Attempt: 1, Lease: 1, Asks: askApprove, Reason: "Go on?"})
}

// begin gives the queued run to an agent, which has started its task.
func (g *durableRig) begin() { g.beginAs("w") }

// beginAs gives the queued run of a workflow to an agent, which has started its task, and then says more.
func (g *durableRig) beginAs(workflow string, more ...*Event) {
	g.do(func() {
		for _, e := range append([]*Event{{Kind: evAssigned}, {Kind: evRunStarted, Lease: 1},
			{Kind: evTaskStarted, Task: "a", Attempt: 1, Lease: 1}}, more...) {
			e.Run, e.Workflow, e.Agent = g.run, workflow, "x"
			if err := g.p.emit(e); err != nil {
				g.t.Error(err)
			}
		}
	})
}

// durableFinal gives the last reply among what came, "" when there is none.
func durableFinal(got []string) string {
	for _, text := range got {
		if !strings.Contains(text, `"more":true`) {
			return text
		}
	}
	return ""
}

func TestDurableAnswers(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{"ping": true}
	for _, c := range durableCases {
		op, _, _ := strings.Cut(c.op, " ")
		covered[op] = true
		t.Run(c.op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := durableRigOpen(t)
				if c.setup != nil {
					c.setup(g)
				}
				time.Sleep(2 * storeSyncDelay) // nothing waits for an fsync of its own any more
				synctest.Wait()
				g.gate <- true
				before := g.blocked.Load()
				conn, got := g.connect(), []string{}
				g.group.Go(func() {
					for {
						frames, err := conn.Recv()
						if err != nil {
							return
						}
						got = append(got, string(frames[len(frames)-1]))
					}
				})
				var body []byte
				switch what := c.body(g).(type) {
				case Request:
					what.V, what.ID = protoVersion, "1"
					body = protoEncode(what)
				case string:
					body = []byte(what)
				}
				sent := []func(){func() {
					if err := conn.Send(body); err != nil {
						t.Fatal(err)
					}
				}}
				// what is not on the disk yet was there before
				if c.when != nil && strings.Contains(c.op, "key") || c.op == "backup" {
					sent = slices.Insert(sent, 0, func() { c.when(g) })
				} else if c.when != nil {
					sent = append(sent, func() { c.when(g) })
				}
				for _, do := range sent {
					do()
					synctest.Wait()
				}
				time.Sleep(followGap)
				synctest.Wait()
				if text := durableFinal(got); text != "" {
					t.Errorf("answered before it is on the disk: %s", text)
				}
				if g.blocked.Load() == before {
					t.Error("nothing is to be put on the disk")
				}
				<-g.gate
				time.Sleep(followGap)
				synctest.Wait()
				if text := durableFinal(got); !strings.Contains(text, c.want) || strings.Contains(text, `"error"`) {
					t.Errorf("once it is on the disk the answers are %q, want %q", got, c.want)
				}
				g.stop()
			})
		})
	}
	for _, op := range principalOps.names() {
		if !covered[op] {
			t.Errorf("%s is carried out by the loop, and not in the table", op)
		}
	}
	for _, op := range compatOps {
		if changes := slices.Contains([]string{"run", msgHello}, op.as); changes && !covered[op.word] {
			t.Errorf("%s of the older dialect changes something, and is not in the table", op.word)
		}
	}
}

// What an agent is told rests on the disk too: what to do, what to stop, and what it may forget.
func TestDurableAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := durableRigOpen(t)
		a := fleetAgentJoin(g.principalRig, "y", 4)
		if as := a.assigned(); len(as) != 1 || as[0].Run != g.run {
			t.Fatalf("assigned: %+v", as)
		}
		event := func(run string, e Event) agentItem {
			e.Run, e.Agent, e.Lease, e.Time = run, "y", 1, stampOf(time.Now())
			return agentItem{Event: &e}
		}
		a.report(event(g.run, Event{Kind: evRunStarted}), event(g.run,
			Event{Kind: evTaskStarted, Task: "a", Attempt: 1}))
		for _, c := range []struct {
			op string
			do func()
		}{
			{msgAssign, func() { g.p.enqueue(g.p.catalog.files["v"].Spec, runOrder{trigger: triggerManual}) }},
			{msgStopTask, func() {
				g.p.cancelTask(&opCall{req: Request{Op: "cancel", Run: g.run, Task: "a"}, conn: g.connect(), by: "x"},
					g.p.state.Runs[g.run])
			}},
			{msgCancel, func() { g.p.fleet.cancelRun(g.p.state.Runs[g.run], "enough", false, "x", "") }},
			{msgAck, nil},
		} {
			for range 2 * storeSyncDelay / agentPaceOf(agentLostAfter).beat {
				a.send(&agentMsg{Op: msgHeartbeat})
				time.Sleep(agentPaceOf(agentLostAfter).beat)
			}
			g.gate <- true
			before := len(a.of(c.op))
			if c.do != nil {
				g.do(c.do)
			} else {
				a.report(event(g.run, Event{Kind: evTaskFinished, Task: "a", Attempt: 1, State: taskCancelled,
					Reason: "stopped"}), event(g.run, Event{Kind: evRunFinished, State: runCancelled,
					Reason: "stopped"}))
			}
			synctest.Wait()
			if n := len(a.of(c.op)) - before; n != 0 {
				t.Errorf("%s was said before it is on the disk", c.op)
			}
			<-g.gate
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(a.of(c.op)) - before; n != 1 {
				t.Errorf("%s was said %d times once it is on the disk", c.op, n)
			}
		}
		g.stop()
	})
}
