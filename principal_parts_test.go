package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// partsRig is a principal with the agent of a run whose task a is to be done by an agent with disk=tape.
type partsRig struct {
	*principalRig
	own *fleetAgent
	id  string
	as  *assignment // of the run
}

// partsRigOpen begins a run of the workflow.
func partsRigOpen(t *testing.T, w Workflow) *partsRig {
	t.Helper()
	return partsRigBegin(principalRigOpen(t, t.TempDir(), partsWhole(&w)))
}

// partsWhole gives the workflow its other tasks.
func partsWhole(w *Workflow) *Workflow {
	w.ID, w.Agent = "w", map[string]string{"disk": "plain"}
	w.Tasks = append(w.Tasks, Task{ID: "before", Run: "true"},
		Task{ID: "b", Run: "true", Depends: []string{"a"}, Env: map[string]string{"X": "1"}})
	return w
}

// partsRigBegin begins a run of a principal's workflow, as partsWhole makes it.
func partsRigBegin(p *principalRig) *partsRig {
	p.t.Helper()
	g := &partsRig{principalRig: p}
	g.own = &fleetAgent{g: g.principalRig, hello: agentMsg{Agent: "own", Capacity: 1, Epoch: "e", Version: "0",
		Labels: map[string]string{"disk": "plain"}}}
	g.own.join()
	g.id = g.run("w")
	g.as = g.own.last()
	e := fleetEvent(g.as, evTaskFinished, "before", taskSucceeded)
	e.Event.Outputs = map[string]string{"K": "v"}
	g.own.report(fleetEvent(g.as, evRunStarted, "", ""), e)
	if len(g.as.Spec.Tasks[0].Pool) > 0 {
		g.asks("a", askPool, "")
	}
	g.ask("a")
	return g
}

// ask has the run's agent ask for another one.
func (g *partsRig) ask(task string) {
	g.t.Helper()
	g.asks(task, askAgent, "disk=tape")
}

// asks has the run's agent ask for something.
func (g *partsRig) asks(task, what, text string) {
	g.t.Helper()
	e := fleetEvent(g.as, evTaskAsked, task, "")
	e.Event.Asks, e.Event.Reason = what, text
	g.own.report(e)
}

// tape connects an agent for the task.
func (g *partsRig) tape(name string) *fleetAgent {
	g.t.Helper()
	a := &fleetAgent{g: g.principalRig, hello: agentMsg{Agent: name, Capacity: 1, Epoch: "epoch-" + name, Version: "0",
		Labels: map[string]string{"disk": "tape"}}}
	a.join()
	return a
}

// part gives the newest part that an agent was given.
func (g *partsRig) part(a *fleetAgent) *assignment {
	g.t.Helper()
	list := a.of(msgPart)
	if len(list) == 0 {
		g.t.Fatalf("agent %s was given no task: %s", a.hello.Agent, g.show(g.id).task("a").Reason)
	}
	return list[len(list)-1].Assign
}

// answer gives what the agent of the run was told last, "" when that is nothing.
func (g *partsRig) answer() string {
	g.t.Helper()
	list := g.own.of(msgAnswer)
	if len(list) == 0 {
		return ""
	}
	m := list[len(list)-1]
	return strings.TrimSpace(m.Task + " " + m.Answer.State + " " + m.Answer.Reason)
}

func partsTask(w Workflow, t Task) Workflow {
	t.ID, t.Run, t.Agent = "a", "true", map[string]string{"disk": "tape"}
	w.Tasks = []Task{t}
	return w
}

// TestPartsGiven: an agent is given what the task needs, and no more of its workflow; it has a place for one.
func TestPartsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{Env: map[string]string{"E": "1"}, Secrets: []string{"S"}, If: "true",
			Timeout: Duration(time.Hour), OnExit: []Task{{ID: "on_exit", Run: "x"}}},
			Task{Pool: map[string]int{"p": 1}}))
		a := g.tape("tape")
		as := g.part(a)
		if got := string(protoEncode(as.Spec)); got != `{"id":"w","env":{"E":"1"},"secrets":["S"],"tasks":[`+
			`{"id":"a","run":"true"},{"id":"before"},{"id":"b","depends":["a"]}]}` {
			t.Errorf("it was given %s", got)
		}
		if as.Run == g.id || *as.Part != (assignedPart{Run: g.id, Task: "a"}) || len(as.Done) != 1 ||
			as.Done[0].Outputs["K"] != "v" {
			t.Errorf("%+v, %+v", as, as.Part)
		}
		if r := g.ask2(Request{Op: "agents"}); r.Agents[1].Running != 1 || r.Agents[1].Name != "tape" {
			t.Errorf("agents: %+v", r.Agents)
		}
		e := fleetEvent(as, evTaskFinished, "a", taskSucceeded)
		e.Event.Attempt = 1
		e.Event.Outputs, e.Event.Seconds = map[string]string{"T": "7"}, 2
		a.report(append(fleetBegun(as), e, fleetEvent(as, evRunFinished, "", taskSucceeded))...)
		if m := g.own.of(msgAnswer); len(m) != 2 || m[1].Answer.Outputs["T"] != "7" || m[1].Answer.Attempt != 1 ||
			m[1].Answer.Seconds != 2 { // the first was of its places
			t.Errorf("the answer: %+v", m)
		}
		if r := g.ask2(Request{Op: "agents"}); r.Agents[1].Running != 0 {
			t.Errorf("agents: %+v", r.Agents)
		}
		if strings.Contains(g.log.String(), "does not fit") {
			t.Errorf("logged:\n%s", g.log)
		}
		g.stop()
	})
}

// ask2 asks the principal.
func (g *partsRig) ask2(req Request) *Reply { return g.principalRig.ask(req) }

// TestPartsSilent: a task whose agent is silent is given to another one where that is allowed, and else has failed. The
// agent that comes back with it is told to drop it.
func TestPartsSilent(t *testing.T) {
	rerun, each := Workflow{Failover: failoverRerun}, &Repeat{Every: Duration(time.Second), Times: 9}
	for _, c := range []struct {
		name         string
		spec         Workflow
		attempt      int // that is lost
		lease, again bool
	}{
		{"no retries", partsTask(Workflow{}, Task{}), 1, false, false},
		{"retries", partsTask(Workflow{}, Task{Retries: 1}), 1, true, true},
		{"retries are spent", partsTask(Workflow{}, Task{Retries: 1}), 2, true, false},
		{"failover", partsTask(rerun, Task{}), 1, true, true},
		{"failover, too often", partsTask(rerun, Task{}), 1 + fleetMaxFailovers, true, false},
		{"repeat", partsTask(rerun, Task{Repeat: each}), 8, true, true},
		{"repeat is spent", partsTask(rerun, Task{Repeat: each}), 9, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := partsRigOpen(t, c.spec)
				a := g.tape("tape")
				as := g.part(a)
				if lease := as.Spec.failover() == failoverRerun; lease != c.lease {
					t.Errorf("the agent stops it by itself when it is alone: %v", lease)
				}
				begun := fleetBegun(as)
				begun[1].Event.Attempt = c.attempt
				a.report(begun...)
				b := g.tape("tape2")
				for range 8 {
					g.own.beat(5 * time.Second)
					b.beat(0)
					b.send(&agentMsg{Op: msgHeartbeat})
				}
				if given := len(b.of(msgPart)) == 1; given != c.again {
					t.Errorf("it was given to another agent: %v", given)
				}
				if c.again {
					if as := g.part(b); as.Part.Tries != c.attempt {
						t.Errorf("%+v", as.Part)
					}
				} else if got := g.answer(); got != "a failed agent tape was lost" {
					t.Errorf("the answer: %q", got)
				}
				a.hello.Holds = []heldRun{{as.Run, 1}}
				a.join()
				if m := a.of(msgCancel); len(m) != 1 || !m[0].Drop || m[0].Run != as.Run {
					t.Errorf("it is told %+v", m)
				}
				g.stop()
			})
		})
	}
}

// TestPartsLost: a task that is repeated without end, and over which one agent after the other is lost, ends.
func TestPartsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{Failover: failoverRerun},
			Task{Repeat: &Repeat{Every: Duration(time.Second)}}))
		for n := range 1 + fleetMaxFailovers {
			a := g.tape(fmt.Sprint("tape", n))
			as := g.part(a)
			begun := fleetBegun(as)
			begun[1].Event.Attempt = 1 + n
			a.report(begun...)
			a.gone()
			for range 8 {
				g.own.beat(5 * time.Second)
			}
		}
		if got := g.answer(); got != "a failed agent tape3 was lost" {
			t.Errorf("the answer: %q", got)
		}
		g.stop()
	})
}

// TestPartsOverdue: a task that no agent can do needs a person after a while, and the alarm tells of it, until one can;
// one that waits for a busy agent does not.
func TestPartsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := partsTask(Workflow{}, Task{})
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{Delay: time.Minute}, partsWhole(&w))
		g := partsRigBegin(r.principalRig)
		r.x = g.own
		r.tells(attentionWaits - time.Second)
		g.wants("not for long", "")
		r.tells(time.Second)
		g.wants("for long", "overdue w no agent with disk=tape: none is connected")
		if it := g.ask2(Request{Op: "attention"}).Items[0]; it.Task != "a" || it.Count != 1 ||
			!slices.Equal(it.Runs, []string{g.id}) {
			t.Errorf("%+v", it)
		}
		r.tells(2*time.Minute, "new w a waits for an agent")
		g.ack(attentionOverdue, 0)
		r.tells(time.Minute)
		g.wants("acknowledged", "")
		a := g.tape("tape")
		as := g.part(a)
		a.report(fleetBegun(as)...)
		r.x.beat(attentionTroubles + time.Second)
		a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded), fleetEvent(as, evRunFinished, "", taskSucceeded))
		g.own.report(fleetEvent(g.as, evTaskFinished, "a", taskSucceeded), fleetEvent(g.as, evRunFinished, "",
			runSucceeded))
		a.gone()
		g.own.beat(2 * agentLostAfter)
		g.ask2(Request{Op: "forget", Agent: "tape"})
		g.wants("done", "")
		r.told = nil

		g.id = g.run("w")
		g.as = g.own.last()
		g.own.report(fleetEvent(g.as, evRunStarted, "", ""))
		g.ask("a")
		r.tells(attentionWaits+2*time.Minute, "new w a waits for an agent")
		a = g.tape("tape")
		for range 24 {
			a.send(&agentMsg{Op: msgHeartbeat})
			g.own.beat(5 * time.Second)
		}
		r.tells(0, "over w a waits for an agent")
		g.stop()
	})
}

// TestPartsUnfit: an agent that is too old is not given the task; one that refuses it gives it back.
func TestPartsUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{Umask: "027"}))
		waits := func(why string) {
			t.Helper()
			if got := g.show(g.id).task("a").Reason; got != "waiting for an agent with disk=tape: "+why {
				t.Errorf("it says %q", got)
			}
		}
		waits("none is connected")
		a := &fleetAgent{g: g.principalRig, hello: agentMsg{Agent: "t1", Capacity: 1, Epoch: "e1", Version: "0",
			Labels: map[string]string{"disk": "tape"}, Can: []string{msgStopTask}}}
		a.join()
		waits("agent t1 (0) is too old to do one task of a run: upgrade it")
		a.hello.Can, a.hello.Knows = protoAgentCan, slices.DeleteFunc(protoKnows(), func(key string) bool {
			return key == "tasks.umask"
		})
		a.join()
		waits("agent t1 (0) does not know `tasks.umask`: upgrade it")
		b := g.tape("t2")
		as := g.part(b)
		b.send(&agentMsg{Op: msgRefused, Run: as.Run, Lease: 1, Unknown: []string{"tasks.umask"}})
		if r := g.show(g.id); r.task("a").Part != nil || r.task("a").Attempts != 0 {
			t.Errorf("%+v", r.task("a"))
		}
		c := g.tape("t3")
		g.part(c)
		if got := len(a.of(msgPart)) + len(b.of(msgPart)); got != 1 {
			t.Errorf("given %d times to the others", got)
		}
		g.stop()
	})
}

// TestPartsLines: lines of several agents are numbered as they come, none is lost or stored twice, whatever is said
// again after the principal was started anew.
func TestPartsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{}))
		a := g.tape("tape")
		as := g.part(a)
		b := fleetEvent(g.as, evTaskStarted, "b", "") // at work on its own agent meanwhile
		g.own.report(b)
		text := func(item agentItem, task, text string) agentItem {
			for i := range item.Lines {
				item.Lines[i].Task, item.Lines[i].Text = task, fmt.Sprint(text, item.Lines[i].N)
			}
			return item
		}
		a.report(fleetBegun(as)...)
		own := text(fleetLines(g.as, 1, 2), "b", "own ")
		theirs := text(fleetLines(as, 1, 2, 3), "a", "tape ")
		g.own.report(own)
		a.report(theirs)
		g.own.report(text(fleetLines(g.as, 3), "b", "own "))
		g.again(a, as)
		g.own.report(own, text(fleetLines(g.as, 2, 3, 4), "b", "own "))
		a.report(theirs, text(fleetLines(as, 4), "a", "tape "))
		g.own.report(text(fleetLines(g.as, 4, 5), "b", "own "))
		want := "own 1\nown 2\ntape 1\ntape 2\ntape 3\nown 3\nown 4\ntape 4\nown 5\n"
		if got := g.output(g.id); got != want {
			t.Errorf("output:\n%swant\n%s", got, want)
		}
		a.report(text(fleetLines(as, 5), "b", "forged "))
		if got := g.output(g.id); got != want+"forged 5\n" {
			t.Errorf("output:\n%s", got)
		}
		g.stop()
	})
}

// TestPartsLinesLost: what the disk did not take was of whoever; after that the principal is started again, and takes
// what both agents write next.
func TestPartsLinesLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{}))
		a := g.tape("tape")
		as := g.part(a)
		a.report(fleetBegun(as)...)
		g.own.report(fleetEvent(g.as, evTaskStarted, "b", ""))
		say := func(agent *fleetAgent, of *assignment, task string, numbers ...int64) {
			item := fleetLines(of, numbers...)
			for i := range item.Lines {
				item.Lines[i].Task, item.Lines[i].Text = task, fmt.Sprint(task, " ", item.Lines[i].N)
			}
			agent.report(item)
		}
		say(g.own, g.as, "b", 1)
		g.p.logs.writeAt = func(*os.File, []byte, int64) (int, error) { return 0, syscall.ENOSPC }
		say(a, as, "a", 1, 2, 3)
		say(g.own, g.as, "b", 2)
		g.p.logs.writeAt = (*os.File).WriteAt
		say(a, as, "a", 4)
		g.again(a, as)
		say(g.own, g.as, "b", 3, 4)
		say(a, as, "a", 5)
		want := "b 1\n[cdktr: 4 lines of output were lost here: write log of w: no space left on device]\na 4\nb 3\nb 4\na 5\n"
		if got := g.output(g.id); got != want {
			t.Errorf("output:\n%swant\n%s", got, want)
		}
		g.stop()
	})
}

// again starts the principal anew, and connects the agent of the run and that of the part.
func (g *partsRig) again(a *fleetAgent, as *assignment) {
	a.gone()
	g.own.gone()
	g.stop()
	g.start(g.p.state.Versions[g.show0().Version])
	g.own.hello.Holds = []heldRun{{g.id, 1}}
	a.hello.Holds = []heldRun{{as.Run, 1}}
	for _, agent := range []*fleetAgent{g.own, a} {
		agent.join()
		agent.n = agent.of(msgWelcome)[0].N
	}
}

// back connects the agent of the run, which has forgotten what it had, and is given the run again.
func (g *partsRig) back() {
	g.own.hello.Holds, g.own.hello.Epoch, g.own.hello.Last, g.own.n = nil, "e2", 0, 0
	g.own.join()
	g.as = g.own.last()
}

// show0 gives the run as the state has it, while no principal is at work.
func (g *partsRig) show0() *Run { return g.p.state.Runs[g.id] }

// TestPartsStopped: the agent of a part is told once that it is to end, again with force, and again when it comes back;
// also when its run is over, and when the agent of the run asks for that.
func TestPartsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{}))
		a := g.tape("tape")
		as := g.part(a)
		a.report(fleetBegun(as)...)
		told := func(want ...string) {
			t.Helper()
			var got []string
			for _, m := range a.of(msgCancel) {
				got = append(got, fmt.Sprint(m.Run == as.Run, " ", m.Force, " ", m.Reason))
			}
			if !slices.Equal(got, want) {
				t.Errorf("it was told %q, want %q", got, want)
			}
		}
		e := fleetEvent(g.as, evTaskAsked, "a", "")
		e.Event.State, e.Event.Asks, e.Event.Reason = taskCancelled, askAgent, "timed out after 2h"
		g.own.report(e)
		told("true false timed out after 2h")
		g.ask2(Request{Op: "cancel", Run: g.id})
		told("true false timed out after 2h")
		g.ask2(Request{Op: "cancel", Run: g.id, Force: true})
		if m := a.of(msgCancel); len(m) != 2 || !m[1].Force {
			t.Errorf("with force: %+v", m)
		}
		a.hello.Holds = []heldRun{{as.Run, 1}}
		a.join()
		if m := a.of(msgCancel); len(m) != 1 || !m[0].Force {
			t.Errorf("when it is back: %+v", m)
		}
		if got := g.answer(); got != "" {
			t.Errorf("its agent is told %q before the task has ended", got)
		}
		end := fleetEvent(as, evTaskFinished, "a", taskCancelled)
		end.Event.Reason = "cancelled"
		a.report(end)
		if got := g.answer(); got != "a cancelled cancelled" {
			t.Errorf("the answer: %q", got)
		}
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{}))
		a := g.tape("tape")
		as := g.part(a)
		a.report(fleetBegun(as)...)
		for range 8 { // the agent of the run is silent, and its run is over
			a.beat(5 * time.Second)
		}
		g.expect(g.id, runCrashed, "agent own was lost")
		if m := a.of(msgCancel); len(m) != 1 || m[0].Drop || m[0].Run != as.Run {
			t.Errorf("it is told %+v", m)
		}
		if r := g.ask2(Request{Op: "retry", Run: g.id}); !r.OK {
			t.Fatal(r.Error)
		}
		g.back()
		g.own.report(fleetEvent(g.as, evRunStarted, "", ""))
		g.ask("a")
		if n := len(a.of(msgPart)); n != 1 {
			t.Errorf("the task was given out %d times, beside itself", n)
		}
		a.report(fleetEvent(as, evTaskFinished, "a", taskCancelled), fleetEvent(as, evRunFinished, "", runCancelled))
		if n := len(a.of(msgPart)); n != 2 || g.part(a).Run == as.Run {
			t.Errorf("the task was given out %d times", n)
		}
		g.stop()
	})
}

// TestPartsPooled: a task that another agent goes on with has its places while its run waits for a new agent, which is
// told so when it asks for them; when the task ends meanwhile, they are free.
func TestPartsPooled(t *testing.T) {
	for _, ends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			pool := map[string]int{"drive": 1}
			g := partsRigOpen(t, partsTask(Workflow{Failover: failoverRerun}, Task{Pool: pool}))
			a := g.tape("tape")
			as := g.part(a)
			a.report(fleetBegun(as)...)
			taken := func(want int) {
				t.Helper()
				got := 0
				for _, p := range g.ask2(Request{Op: "pools"}).Pools {
					got += p.Taken
				}
				if got != want {
					t.Errorf("%d places are taken, want %d", got, want)
				}
			}
			taken(1)
			for range 8 { // the agent of the run is silent
				a.beat(5 * time.Second)
			}
			g.expect(g.id, runQueued, "")
			taken(1)
			end := fleetEvent(as, evTaskFinished, "a", taskSucceeded)
			if ends {
				a.report(end, fleetEvent(as, evRunFinished, "", taskSucceeded))
				taken(0)
			}
			g.back()
			g.own.report(fleetEvent(g.as, evRunStarted, "", ""))
			g.asks("a", askPool, "")
			taken(1)
			if got := g.answer(); got != "a" {
				t.Errorf("asked for places, it is told %q", got)
			}
			g.ask("a")
			if !ends {
				if got := g.answer(); got != "a" {
					t.Errorf("asked for an agent, it is told %q", got)
				}
				a.report(end, fleetEvent(as, evRunFinished, "", taskSucceeded))
			}
			if got := g.answer(); got != "a succeeded" {
				t.Errorf("at the end it is told %q", got)
			}
			if n := len(a.of(msgPart)); n != 1 {
				t.Errorf("the task was given out %d times", n)
			}
			g.own.report(fleetEvent(g.as, evTaskFinished, "a", taskSucceeded))
			taken(0)
			g.stop()
		})
	}
}

// TestPartsItemGone: an agent that still has an instance, of which the next attempt of the run has no item, is told to
// drop it, and what it says of it is nobody's.
func TestPartsItemGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := partsTask(Workflow{}, Task{})
		w.Tasks = append(w.Tasks, Task{ID: "each", Run: "true", Agent: w.Tasks[0].Agent, Foreach: &Foreach{From: "x"}})
		g := partsRigOpen(t, w)
		items := func(items ...string) {
			t.Helper()
			e := fleetEvent(g.as, evTaskStarted, "each", "")
			e.Event.Items = items
			g.own.report(e)
		}
		items("x")
		g.ask("each[x]")
		a := &fleetAgent{g: g.principalRig, hello: agentMsg{Agent: "tape", Capacity: 2, Epoch: "epoch", Version: "0",
			Labels: map[string]string{"disk": "tape"}}}
		a.join()
		as := g.part(a)
		if as.Part.Task != "each[x]" {
			t.Fatalf("given last: %+v", as.Part)
		}
		a.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "each[x]", ""))
		for range 8 { // the agent of the run is silent, and its run is over
			a.beat(5 * time.Second)
		}
		g.expect(g.id, runCrashed, "agent own was lost")
		if r := g.ask2(Request{Op: "retry", Run: g.id, All: true}); !r.OK {
			t.Fatal(r.Error)
		}
		g.back()
		g.own.report(fleetEvent(g.as, evRunStarted, "", ""))
		items("y")
		var dropped []string
		for _, m := range a.of(msgCancel) {
			if m.Drop {
				dropped = append(dropped, m.Run+" "+m.Reason)
			}
		}
		if want := as.Run + " its run has no such item any more"; !slices.Equal(dropped, []string{want}) {
			t.Errorf("it is told to drop %q, want %q", dropped, want)
		}
		a.report(fleetEvent(as, evTaskFinished, "each[x]", taskCancelled), fleetEvent(as, evRunFinished, "",
			runCancelled))
		if r := g.ask2(Request{Op: "agents"}); r.Agents[1].Name != "tape" || r.Agents[1].Running != 1 { // task a
			t.Errorf("agents: %+v", r.Agents)
		}
		a.gone()
		g.own.beat(2 * agentLostAfter)
		if r := g.show(g.id); r.State != runRunning {
			t.Errorf("the run is %s: %s", r.State, r.Reason)
		}
		g.stop()
	})
}

// TestPartsRefusedVersion: an agent that does not take a task of one version is given that of another, and the task
// that waits in front of it says why.
func TestPartsRefusedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := partsRigOpen(t, partsTask(Workflow{}, Task{}))
		a := g.tape("tape")
		first := g.part(a)
		a.send(&agentMsg{Op: msgRefused, Run: first.Run, Lease: 1, Reason: "says no"})
		if got := g.show(g.id).task("a").Reason; !strings.HasSuffix(got,
			"agent with disk=tape: agent tape (0) says no") {
			t.Errorf("it waits for %q", got)
		}
		other := partsTask(Workflow{ID: "other", Agent: map[string]string{"disk": "plain"}}, Task{})
		g.p.call(func() { g.p.setFiles(principalFiles(&other), nil) })
		id := g.run("other")
		g.as = g.own.last()
		if g.as.Run != id {
			t.Fatal("the other run has no agent")
		}
		g.own.report(fleetEvent(g.as, evRunStarted, "", ""))
		g.ask("a")
		if as := g.part(a); as.Part.Run != id {
			t.Errorf("given last: %+v", as.Part)
		}
		g.stop()
	})
}
