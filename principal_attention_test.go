// Tests of what needs a person: how failures are grouped, what is told of them, and what an acknowledgement does, also
// over a restart.

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// attentionRun lets a run of workflow w end, on an agent: by task a with an exit, or well.
func (g *stateRig) attentionRun(id, agent string, exit int) {
	g.t.Helper()
	if g.s.Runs[id] == nil {
		g.apply(&Event{Kind: evQueued, Run: id, Workflow: "w", Version: "v1"})
	}
	g.apply(&Event{Kind: evAssigned, Run: id, Workflow: "w", Agent: agent})
	lease, state := g.s.Runs[id].Lease, runSucceeded
	if exit != 0 {
		state = runFailed
	}
	g.apply(&Event{Kind: evTaskStarted, Run: id, Workflow: "w", Agent: agent, Lease: lease, Task: "a", Attempt: 1},
		&Event{Kind: evTaskFinished, Run: id, Workflow: "w", Agent: agent, Lease: lease, Task: "a", State: state,
			Exit: &exit},
		&Event{Kind: evRunFinished, Run: id, Workflow: "w", Agent: agent, Lease: lease, State: state,
			Reason: fmt.Sprint("by ", id)})
}

// TestAttentionGroups: how outcomes are grouped. A step is a run, its agent and its exit; "retry RUN", or "ack N" of
// the Nth group.
func TestAttentionGroups(t *testing.T) {
	for _, c := range []struct{ name, steps, want string }{
		{"none", "1 x 0, 2 x 0", ""},
		{"one", "1 x 3", "a 3 x: 1"},
		{"alike", "1 x 3, 2 x 3, 3 x 3", "a 3 x: 3 2 1"},
		{"by exit", "1 x 3, 2 x 4, 3 x 3", "a 3 x: 3 1; a 4 x: 2"},
		{"on several agents", "1 x 3, 2 y 3, 3 x 3, 4 z 3", "a 3 z of x y z: 4 3 2 1"},
		{"on several agents, by exit", "1 x 3, 2 y 4, 3 y 3", "a 3 y of x y: 3 1; a 4 y: 2"},
		{"recovered", "1 x 3, 2 x 0", "a 3 x: 1 recovered"},
		{"recovered, and failed again", "1 x 3, 2 x 0, 3 x 3", "a 3 x: 3 1"},
		{"other kinds stay recovered", "1 x 3, 2 x 0, 3 x 4", "a 3 x: 1 recovered; a 4 x: 3"},
		{"a retry that is under way", "1 x 3, 2 x 3, retry 2", "a 3 x: 1"},
		{"a retry that went well", "1 x 3, retry 1, 1 x 0", ""},
		{"a retry that failed", "1 x 3, retry 1, 1 x 3", "a 3 x: 1"},
		{"a retry that failed elsewhere", "1 x 3, retry 1, 1 y 4", "a 4 y: 1"},
		{"acknowledged", "1 x 3, 2 y 4, ack 1", "a 4 y: 2"},
		{"acknowledged, and again", "1 x 3, 2 x 3, ack 1, 3 x 3", "a 3 x: 3"},
		{"a retry of what was acknowledged", "1 x 3, ack 1, 2 x 3, retry 1", "a 3 x: 2"},
		{"a retry of what was acknowledged, failed", "1 x 3, ack 1, retry 1, 1 x 3", "a 3 x: 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := stateRigNew(t)
			for step := range strings.SplitSeq(c.steps, ", ") {
				var id, agent string
				var n int
				switch word, rest, _ := strings.Cut(step, " "); word {
				case "retry":
					g.apply(&Event{Kind: evRequeued, Run: rest, Workflow: "w", Attempt: g.s.Runs[rest].Attempt + 1})
				case "ack":
					fmt.Sscan(rest, &n)
					g.apply(&Event{Kind: evAcked, Workflow: "w", Key: g.s.Workflows["w"].Failures[n-1].Key})
				default:
					fmt.Sscan(step, &id, &agent, &n)
					g.attentionRun(id, agent, n)
				}
			}
			var got []string
			for _, f := range g.s.workflow("w").Failures {
				agent := f.Agent
				if len(f.Agents) > 0 {
					agent += " of " + strings.Join(f.Agents, " ")
				}
				text := fmt.Sprintf("%s %d %s: %s", f.Task, *f.Exit, agent, strings.Join(f.Runs, " "))
				if f.Recovered {
					text += " recovered"
				}
				if f.Count != len(f.Runs) || f.Reason != "by "+f.Runs[0] &&
					!strings.HasPrefix(c.steps, "1 x 3, 2 x 3, retry 2") || f.First.After(f.Last.Time) {
					t.Errorf("%+v", f)
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("%s\nwant %s", text, c.want)
			}
		})
	}
}

// TestAttentionStopped: a run that failed because somebody stopped a task of it needs nobody, unless something else
// went wrong in it. The words say how its tasks ended, with "!" for those that somebody stopped.
func TestAttentionStopped(t *testing.T) {
	for _, c := range []struct{ tasks, state, want string }{
		{"!cancelled succeeded succeeded", runFailed, ""},
		{"!cancelled succeeded skipped", runFailed, ""},
		{"!cancelled !cancelled succeeded", runFailed, ""},
		{"!cancelled failed skipped", runFailed, "b task b: of b"},
		{"succeeded failed !cancelled", runFailed, "b task b: of b"},
		{"!failed succeeded succeeded", runFailed, "a of the run"}, // it was quicker, and failed
		{"!cancelled cancelled succeeded", runFailed, "a of the run"},
		{"!succeeded failed succeeded", runFailed, "b of the run"}, // nothing was stopped
		{"!cancelled succeeded succeeded", runCrashed, "a of the run"},
		{"failed succeeded succeeded", runFailed, "a of the run"},
		{"!cancelled succeeded succeeded", runCancelled, ""},
	} {
		g := stateRigNew(t)
		g.attentionRun("R0", "x", 3)
		if len(g.s.Workflows["w"].Failures) != 1 {
			t.Fatalf("%+v", g.s.Workflows["w"].Failures)
		}
		g.apply(&Event{Kind: evQueued, Run: "R1", Workflow: "w", Version: "v1"},
			&Event{Kind: evAssigned, Run: "R1", Workflow: "w", Agent: "y"})
		of := func(kind, task string) *Event {
			return &Event{Kind: kind, Run: "R1", Workflow: "w", Agent: "y", Lease: 1, Task: task, Attempt: 1,
				Reason: "of " + task}
		}
		for i, word := range strings.Fields(c.tasks) {
			task := string(rune('a' + i))
			how, stopped := strings.CutPrefix(word, "!")
			g.apply(of(evTaskStarted, task))
			if stopped {
				g.apply(of(evTaskStopping, task))
			}
			e := of(evTaskFinished, task)
			e.State = how
			g.apply(e)
		}
		over := of(evRunFinished, "")
		over.State, over.Reason = c.state, "of the run"
		g.apply(over)
		got := ""
		for _, f := range g.s.Workflows["w"].Failures[1:] {
			got += f.Task + " " + f.Reason
		}
		if got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.tasks, c.state, got, c.want)
		}
		if c.state == runFailed {
			g.apply(&Event{Kind: evRequeued, Run: "R1", Workflow: "w", Attempt: 2})
		}
		if n := len(g.s.Workflows["w"].Failures); c.state == runFailed && n != 1 {
			t.Errorf("%s: %d groups when it is retried", c.tasks, n)
		}
	}
	w := &WorkflowState{} // a group that counts more than it names: whose retry takes one off
	stopped := &Run{ID: "R1", Workflow: "w", State: runFailed, Agent: "x",
		Tasks: []TaskRun{{Task: "a", State: taskCancelled, Cancelling: "by ana"}}}
	group := runFailure(stopped)
	group.Runs, group.Count = []string{"R9"}, 2
	w.Failures = []*Failure{group}
	if w.forgetOutcome(stopped); group.Count != 2 {
		t.Errorf("%d runs in the group, of which one that was stopped was never one", group.Count)
	}
	group.Runs = []string{"R9", "R1"} // as older versions counted
	if w.forgetOutcome(stopped); group.Count != 1 || len(group.Runs) != 1 {
		t.Errorf("%+v: the retry of a run that it names leaves it there", group)
	}
}

// TestAttentionBounds: groups, their runs, and acknowledgements are bounded, whatever happens.
func TestAttentionBounds(t *testing.T) {
	t.Parallel()
	g := stateRigNew(t)
	g.every = 50
	seed := uint64(time.Now().UnixNano())
	t.Log("seed ", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	failed := 0
	for i := range 400 {
		exit := rnd.IntN(3 * stateMaxFailures)
		if i < 60 {
			exit = 1
		}
		if exit != 0 {
			failed++
		}
		g.attentionRun(fmt.Sprintf("%04d", i), "x", exit)
		if i == 59 {
			if f := g.s.workflow("w").Failures[0]; f.Count != 60 || len(f.Runs) != stateMaxFailureRuns ||
				f.Runs[0] != "0059" {
				t.Fatalf("%+v", f)
			}
		}
	}
	list := g.s.workflow("w").Failures
	if len(list) != stateMaxFailures {
		t.Errorf("%d groups", len(list))
	}
	for _, f := range list {
		if f.Count < len(f.Runs) || len(f.Runs) == 0 || !slices.IsSortedFunc(f.Runs,
			func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("%+v", f)
		}
	}
	old := g.s.Runs["0000"]
	g.apply(&Event{Kind: evAcked, Workflow: "w", Key: runFailure(old).Key})
	for i := range stateMaxFailureRuns + 5 {
		g.attentionRun(fmt.Sprint("1", i), old.Agent, 1)
	}
	g.apply(&Event{Kind: evRequeued, Run: old.ID, Workflow: "w", Attempt: 2}) // it was acknowledged: it is in no group
	if f := g.s.workflow("w").failure(runFailure(g.s.Runs["10"]).Key); f.Count != stateMaxFailureRuns+5 {
		t.Errorf("a retry of what was acknowledged leaves %d of the others", f.Count)
	}
	for i := range stateMaxAcks + 5 {
		g.s.applyAck(&Event{Kind: evAcked, Time: stampOf(stateEpoch.Add(time.Duration(i) * time.Second)),
			Key: fmt.Sprint("agent:", i)})
	}
	if _, first := g.s.Acks["agent:4"]; first || len(g.s.Acks) != stateMaxAcks {
		t.Errorf("%d acknowledgements, the fifth is there: %v", len(g.s.Acks), first)
	}
}

// attention gives the items, in short.
func (g *principalRig) attention() string {
	g.t.Helper()
	r := g.ask(Request{Op: "attention"})
	var list []string
	for _, item := range r.Items {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s%s %s", item.Kind, item.Workflow, item.Agent,
			item.Reason)))
	}
	if !r.OK || r.Count != len(r.Items) {
		g.t.Errorf("count %d: %+v", r.Count, r.Error)
	}
	return strings.Join(list, "; ")
}

// wants holds the items to what they should be.
func (g *principalRig) wants(when, want string) {
	g.t.Helper()
	if got := g.attention(); got != want {
		g.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// ack acknowledges the first item of a kind.
func (g *principalRig) ack(kind string, until time.Duration) {
	g.t.Helper()
	for _, item := range g.ask(Request{Op: "attention"}).Items {
		if item.Kind == kind {
			req := Request{Op: "ack", Key: item.Key}
			if until > 0 {
				req.Until = stampOf(time.Now().Add(until))
			}
			if r := g.ask(req); !r.OK {
				g.t.Errorf("ack %s: %+v", item.Key, r.Error)
			}
			return
		}
	}
	g.t.Errorf("there is no %s to acknowledge", kind)
}

// TestAttentionKinds: files, agents and overdue runs are listed, acknowledged, sleep, and are listed again when they
// are new.
func TestAttentionKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		fault := func(text string) {
			f := workflowFile{ID: "w", File: "w.yml", Spec: principalTask(Workflow{ID: "w"})}
			if text != "" {
				f.Faults = []workflowFault{{File: "w.yml", Message: "odd", Warning: true},
					{File: "w.yml", Message: text}}
			}
			g.do(func() { g.p.setFiles([]workflowFile{f}, nil) })
		}
		g.wants("at first", "")
		k := newsClientOpen(g, nil, 0)
		count := func(want int) {
			t.Helper()
			time.Sleep(2 * newsGap)
			synctest.Wait()
			for _, r := range slices.Backward(k.since(0)) {
				if r.Attention != nil {
					if *r.Attention != want {
						t.Errorf("watch tells of %d, want %d", *r.Attention, want)
					}
					return
				}
			}
			t.Error("watch tells of no number")
		}
		count(0)
		fault("no tasks")
		g.wants("a fault", "file w w.yml: no tasks")
		count(1)
		g.ack(attentionFile, 0)
		g.wants("acknowledged", "")
		count(0)
		fault("no tasks")
		g.wants("the same again", "")
		fault("bad tasks")
		g.wants("another", "file w w.yml: bad tasks")
		g.ack(attentionFile, time.Hour)
		time.Sleep(59 * time.Minute)
		g.wants("asleep", "")
		time.Sleep(2 * time.Minute)
		g.wants("awake", "file w w.yml: bad tasks")
		count(1)
		g.ack(attentionFile, 0)
		fault("")
		g.wants("mended", "")
		fault("bad tasks")
		g.wants("broken again", "file w w.yml: bad tasks")
		fault("")

		a := fleetAgentJoin(g, "x", 1)
		a.gone()
		time.Sleep(attentionAway - time.Second)
		g.wants("just gone", "")
		time.Sleep(time.Second)
		g.wants("gone", "agent x lost")
		g.ack(attentionAgent, 0)
		g.wants("acknowledged", "")
		a.join()
		a.gone()
		time.Sleep(time.Minute)
		g.wants("gone again", "agent x lost")
		g.ask(Request{Op: "forget", Agent: "x"})
		g.wants("forgotten", "")

		g.run("w")
		g.wants("queued without any agent", "overdue w no agent is connected")
		time.Sleep(newsHeartbeat * newsLook)
		count(1)
		g.ack(attentionOverdue, 0)
		g.wants("acknowledged", "")
		g.stop()
	})
}

// TestAttentionOne: one cause in several workflows is one item that names them all; to acknowledge it is to acknowledge
// each.
func TestAttentionOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arm := map[string]string{"arch": "arm"}
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "a", Agent: arm}),
			principalTask(Workflow{ID: "b", Agent: arm}), principalTask(Workflow{ID: "c", Agent: arm}),
			principalTask(Workflow{ID: "d"}), principalTask(Workflow{ID: "e"}), principalTask(Workflow{ID: "f"}))
		items := func() string {
			text := ""
			for _, it := range g.ask(Request{Op: "attention"}).Items {
				text += fmt.Sprintf("%s [%s] %d %s; ", it.Kind, it.where()+":"+strings.Join(it.Workflows, " "),
					it.Count, it.Reason)
			}
			return strings.TrimSuffix(text, "; ")
		}
		want := func(when, want string) {
			t.Helper()
			if got := items(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			g.run(id)
			time.Sleep(time.Second)
		}
		want("no agent", "overdue [4 workflows:d c b a] 4 no agent is connected")
		x := fleetAgentJoin(g, "x", 1)
		as := x.last()
		for i, id := range []string{"d", "e", "f"} {
			if i > 0 {
				g.run(id)
				as = x.last()
			}
			x.report(fleetBegun(as)...)
			exit := 127
			reason := `task a: command "pg_dump" not found in PATH of the agent`
			if id == "f" {
				exit, reason = 1, "task a: exit 1"
			}
			task, over := fleetEvent(as, evTaskFinished, "a", taskFailed),
				fleetEvent(as, evRunFinished, "", runFailed)
			task.Event.Exit, task.Event.Reason, over.Event.Reason = &exit, strings.TrimPrefix(reason, "task a: "),
				reason
			x.report(task, over)
			time.Sleep(time.Second)
		}
		const missing = `failed [2 workflows:e d] 2 command "pg_dump" not found in PATH of the agent`
		want("an agent without the label", "failed [f:] 1 task a: exit 1; "+missing)
		time.Sleep(attentionWaits)
		x.join() // it was silent
		want("for long", "failed [f:] 1 task a: exit 1; "+missing+"; overdue [3 workflows:c b a] 3 no agent with "+
			"labels arch=arm")
		for _, it := range g.ask(Request{Op: "attention"}).Items {
			if it.where() == "f" {
				continue
			}
			if r := g.ask(Request{Op: "ack", Key: it.Key}); !r.OK {
				t.Errorf("ack %s: %+v", it.Key, r.Error)
			}
		}
		want("acknowledged", "failed [f:] 1 task a: exit 1")
		for _, id := range []string{"d", "f"} {
			g.run(id)
			as = x.last()
			x.report(fleetBegun(as)...)
			x.report(fleetEvent(as, evRunFinished, "", runCrashed))
		}
		x.gone()
		g.stop()
	})
}

// TestAttentionTroubles: a trouble without a failed run is listed for as long as it lasts, and after an acknowledgement
// it is listed again when it happens again.
func TestAttentionTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		dir := t.TempDir() + "/flows"
		folder := newWorkflowFolder(dir)
		g.do(func() { g.p.cfg.Folder = folder })
		kinds := func() string {
			text := ""
			for _, it := range g.ask(Request{Op: "attention"}).Items {
				text += it.Kind + " "
			}
			return strings.TrimSpace(text)
		}
		want := func(when, want string) {
			t.Helper()
			if got := kinds(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		want("at first", "")
		folder.scan(t.Context())
		want("no folder", "folder")
		if r := g.ask(Request{Op: "attention"}); !strings.Contains(r.Items[0].Reason, dir) {
			t.Errorf("%+v", r.Items)
		}
		g.ack(attentionFolder, 0)
		want("acknowledged", "")
		os.Mkdir(dir, 0o700)
		folder.scan(t.Context())
		want("there", "")
		time.Sleep(2 * attentionTroubles)
		g.do(func() {})
		os.Remove(dir)
		folder.scan(t.Context())
		want("gone again", "folder")
		os.Mkdir(dir, 0o700)
		folder.scan(t.Context())

		a := fleetAgentJoin(g, "x", 1)
		g.do(func() { g.p.fleet.links["x"].skew = -90 * time.Second })
		want("a clock", "clock")
		if r := g.ask(Request{Op: "attention"}); r.Items[0].Agent != "x" ||
			!strings.Contains(r.Items[0].Reason, "1m30s behind") {
			t.Errorf("%+v", r.Items)
		}
		g.do(func() { g.p.fleet.links["x"].skew = 0 })
		want("set right", "")

		run := g.run("w")
		as := a.last()
		a.report(fleetBegun(as)...)
		g.do(func() {
			g.p.logs.writeAt = func(*os.File, []byte, int64) (int, error) { return 0, syscall.ENOSPC }
		})
		a.report(fleetLines(as, 1, 2, 3))
		want("output that is dropped", "output")
		if it := g.ask(Request{Op: "attention"}).Items[0]; it.Workflow != "w" || it.Runs[0] != run ||
			!strings.Contains(it.Reason, "3 lines") {
			t.Errorf("%+v", it)
		}
		g.ack(attentionOutput, 0)
		want("acknowledged", "")
		a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
			fleetEvent(as, evRunFinished, "", runSucceeded))
		g.do(func() { g.p.logs.writeAt = (*os.File).WriteAt })
		for _, said := range []string{"3 " + protoRemarkDropped + "spool is full: 9 bytes wait for the principal",
			protoRemarkLost + "no space left on device",
			"9 lines of output, 99 bytes, are left out here: more than log.max_size, 10M, and " + protoRemarkTail +
				"no space left on device"} {
			run := g.run("w")
			as := a.last()
			a.report(fleetBegun(as)...)
			say := func(n int64, stream, text string) {
				line := fleetLines(as, n)
				line.Lines[0].Stream, line.Lines[0].Text = stream, "[cdktr: "+text+"]"
				a.report(line)
			}
			say(1, "o", said) // a task prints it
			say(2, "c", "9 lines of output, 99 bytes, are left out here: more than log.max_size, 10M")
			want("nothing is dropped", "")
			say(3, "c", said)
			a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
				fleetEvent(as, evRunFinished, "", runSucceeded))
			want("dropped by the agent", "output")
			if it := g.ask(Request{Op: "attention"}).Items[0]; it.Workflow != "w" || it.Agent != "x" ||
				it.Runs[0] != run || it.Reason != "agent x: "+said {
				t.Errorf("%+v", it)
			}
			g.ack(attentionOutput, 0)
			want("acknowledged", "")
		}
		a.gone()
		g.stop()
	})
}

// TestAttentionBlames: when several tasks failed, the item names the one that failed first, as the run's reason does,
// even if another was stopped or crashed before it.
func TestAttentionBlames(t *testing.T) {
	for _, c := range []struct{ tasks, want string }{ // each as STATE@when it ended
		{"failed@2 failed@1 failed@3", "b"},
		{"failed@1 failed@1 failed@1", "a"},
		{"skipped@0 failed@2 failed@1", "c"},
		{"cancelled@1 crashed@2 failed@3", "c"},
		{"failed@3 cancelled@1 crashed@2", "a"},
		{"crashed@2 cancelled@1 skipped@0", "b"},
		{"succeeded@1 succeeded@1 succeeded@1", ""},
	} {
		r := &Run{ID: "R", Workflow: "w", State: runFailed}
		for i, word := range strings.Fields(c.tasks) {
			state, at, _ := strings.Cut(word, "@")
			n, _ := time.ParseDuration(at + "s")
			r.Tasks = append(r.Tasks, TaskRun{Task: string(rune('a' + i)), State: state,
				Finished: stampOf(stateEpoch.Add(n))})
		}
		if f := runFailure(r); f.Task != c.want {
			t.Errorf("%s: %q, want %q", c.tasks, f.Task, c.want)
		}
	}
}

// TestAttentionRan: the tasks of a failed run count for the agent on which they ran.
func TestAttentionRan(t *testing.T) {
	tasks := []TaskRun{{State: taskSucceeded}, {State: taskFailed}, {State: taskSkipped}, {State: taskSkipped},
		{State: taskRunning}}
	for state, want := range map[string]int{runFailed: 2, runCrashed: 2, runCancelled: 2, runSucceeded: 4,
		runRunning: 4} {
		if row := protoRowOf(&Run{State: state, Tasks: tasks}); row.Done != want || row.Total != 5 {
			t.Errorf("%s: %d/%d, want %d", state, row.Done, row.Total, want)
		}
	}
}

// TestAttentionLate: a tick that the loop should have decided long ago is an item.
func TestAttentionLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Schedule: []string{"* * * * *"}}),
			principalTask(Workflow{ID: "v"}))
		g.do(func() {
			for after, want := range map[time.Duration]int{attentionLate: 0, attentionLate + time.Minute: 1} {
				n := 0
				g.p.attention.each(authOwner, time.Now().Add(after), func(item AttentionItem, _ bool) {
					n++
					if item.Kind != attentionOverdue || item.Workflow != "w" {
						t.Errorf("%+v", item)
					}
				})
				if n != want {
					t.Errorf("after %s: %d items, want %d", after, n, want)
				}
			}
		})
		g.stop()
	})
}

// TestAttentionExplained: the output of the newest run, what was different, and the last good run; also when both runs
// have left memory.
func TestAttentionExplained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Params: map[string]Param{"day": {Default: "1"}}})
		g := principalRigOpen(t, t.TempDir(), w, principalTask(Workflow{ID: "v", Agent: map[string]string{"gpu": "1"}}))
		a := fleetAgentJoin(g, "x", 1)
		end := func(a *fleetAgent, state string, exit int, lines ...int64) {
			as := a.last()
			a.report(fleetBegun(as)...)
			a.report(fleetLines(as, lines...))
			task := fleetEvent(as, evTaskFinished, "a", state)
			task.Event.Exit = &exit
			a.report(task, fleetEvent(as, evRunFinished, "", state))
		}
		good := g.run("w")
		end(a, runSucceeded, 0, 1, 2)
		a.gone()
		time.Sleep(time.Hour)
		b := fleetAgentJoin(g, "y", 1)
		bad := g.ask(Request{Op: "run", Workflow: "w", Params: map[string]string{"day": "2"}}).Run
		var many []int64
		for n := range int64(20) {
			many = append(many, n+1)
		}
		end(b, runFailed, 7, many...)
		look := func(when string) {
			t.Helper()
			var item AttentionItem
			for _, one := range g.ask(Request{Op: "attention"}).Items {
				if one.Kind == attentionFailed {
					item = one
				}
			}
			if item.Workflow != "w" || item.Task != "a" || item.Exit == nil || *item.Exit != 7 || item.Agent != "y" ||
				!slices.Equal(item.Runs, []string{bad}) || item.Good != good {
				t.Errorf("%s: %+v", when, item)
			}
			if len(item.Lines) != attentionLines || item.Lines[0] != "line 11 by lease 1" ||
				item.Lines[9] != "line 20 by lease 1" {
				t.Errorf("%s: lines %q", when, item.Lines)
			}
			want := []string{`it ran on agent "y", the good one on "x"`, `parameter day is "2", it was "1"`,
				"the last good run ended 1h before"}
			if !slices.Equal(item.Changed, want) {
				t.Errorf("%s: changed %q", when, item.Changed)
			}
		}
		look("in memory")
		for range stateMaxFinished {
			g.ask(Request{Op: "cancel", Run: g.run("v")})
		}
		if g.p.state.Runs[bad] != nil || g.p.state.Runs[good] != nil {
			t.Fatal("the runs are in memory still")
		}
		look("in the history")
		b.gone()
		g.stop()
	})
}

// TestAttentionOutlivesKill: what was acknowledged stays so when the principal is killed, and the ops say so.
func TestAttentionOutlivesKill(t *testing.T) {
	x := e2eNew(t)
	x.File("bad.yml", "tasks:\n  a: {run: 'echo told; echo warned >&2; exit 7'}\n")
	x.File("worse.yml", "tasks:\n  a: {run: 'exit 8'}\n")
	x.File("wrong.yml", "tasks:\n  a: {rum: x}\n")
	p := x.Principal("--with-agent")
	one := x.await(x.Start("bad")).ID
	x.await(x.Start("worse"))
	out := x.OK("attention")
	for _, want := range []string{"! bad a exit 7 on ", "    o| told\n    e| warned\n", "no good run is known",
		"$ cdktr retry " + one, "$ cdktr logs " + one,
		"$ cdktr ack failed:bad:", "! worse a exit 8", "# wrong does not load", "wrong.yml:2:"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	keys := map[string]string{}
	for _, item := range harness.Lines[AttentionItem](t, x.OK("attention", "--json")) {
		keys[item.Workflow] = item.Key
	}
	x.Refused(5, []string{"did you mean", keys["bad"]}, "ack", keys["bad"][:len(keys["bad"])-1])
	x.Refused(2, []string{"--snooze"}, "ack", keys["bad"], "--snooze", "soon")
	x.OK("ack", keys["bad"])
	x.OK("ack", keys["wrong"])
	if got := x.OK("ack", keys["worse"], "--snooze", "4h", "--json"); !strings.Contains(got, `"done":"ack"`) ||
		!strings.Contains(got, `"until":"`) {
		t.Errorf("ack --json printed %s", got)
	}
	p.Signal(syscall.SIGKILL)
	p.Wait()
	x.Principal("--with-agent")
	x.Until("the agent is there again", func() bool {
		r, err := x.ask(Request{Op: "agents"})
		return err == nil && len(r.Agents) == 1 && r.Agents[0].State == agentUp
	})
	if out := x.OK("attention"); out != "nothing needs attention\n" {
		t.Errorf("after a kill:\n%s", out)
	}
	x.await(x.Start("bad"))
	if items := harness.Lines[AttentionItem](t, x.OK("attention", "--json")); len(items) != 1 || items[0].Count != 1 ||
		items[0].Key != keys["bad"] {
		t.Errorf("failed again: %+v", items)
	}
}

// The head of an item counts its runs, and does not call them runs when it counts something else.
func TestAttentionHeads(t *testing.T) {
	t.Parallel()
	at, now := stampOf(time.Date(2026, 3, 4, 10, 0, 0, 0, time.Local)), time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	for want, item := range map[string]AttentionItem{
		"! w a exit 1 on vm  2 runs, 10:00:00 to 10:00:00": {Kind: attentionFailed, Workflow: "w",
			Task: "a", Exit: new(1), Agent: "vm", Count: 2, Runs: []string{"2", "1"}},
		"# the files of 2 workflows may not mean what was meant  10:00:00": {Kind: attentionFolder,
			Workflows: []string{"v", "w"}, Count: 2},
		// ticks
		". 2 workflows are overdue  10:00:00": {Kind: attentionOverdue,
			Workflows: []string{"v", "w"}, Count: 2},
		". 2 workflows are overdue  3 runs, 10:00:00 to 10:00:00": {Kind: attentionOverdue,
			Workflows: []string{"v", "w"}, Count: 3, Runs: []string{"3", "2", "1"}},
	} {
		item.First, item.Last = at, at
		var out strings.Builder
		p := painterOf(&out, "never", func(string) string { return "" })
		if err := p.attentionItem(&item, now); err != nil || !strings.HasPrefix(out.String(), want+"\n") {
			t.Errorf("%v, %q, want %q", err, out.String(), want)
		}
	}
}

// TestAttentionSkipped: a run that was skipped mends nothing, and a failure that is allowed is to blame for nothing.
func TestAttentionSkipped(t *testing.T) {
	w, at := &WorkflowState{}, func(s int) Stamp { return stampOf(stateEpoch.Add(time.Duration(s) * time.Second)) }
	failed := &Run{ID: "R1", Workflow: "w", State: runFailed, Reason: "task b: exit 2", Finished: at(9),
		Tasks: []TaskRun{
			{Task: "a", State: taskFailed, Reason: "exit 1", Allowed: true, Finished: at(1)},
			{Task: "b", State: taskFailed, Reason: "exit 2", Finished: at(2)}}}
	w.noteOutcome(failed)
	w.noteOutcome(&Run{ID: "R2", Workflow: "w", State: runSkipped, Reason: "if: exit 1", Finished: at(10)})
	if len(w.Failures) != 1 || w.Failures[0].Task != "b" || w.Failures[0].Recovered || w.Failures[0].Count != 1 {
		t.Errorf("%+v", w.Failures)
	}
	stopped := &Run{State: runFailed, Tasks: []TaskRun{{Task: "a", State: taskFailed, Allowed: true},
		{Task: "b", State: taskCancelled, Cancelling: "cancelled by ana"}}}
	if !stopped.stoppedOnly() {
		t.Error("a run of which a task was stopped, and another was allowed to fail, needs nobody")
	}
}
