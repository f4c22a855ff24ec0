// Tests of what is asked about one run: to start it with a key, to stop it or one of its tasks, at once or in good
// order.

package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Keys are of a workflow and of those who see the same workflows: nobody's key is in the way of another's. Those of a
// version that kept all of them together hold for their workflow until their time is over.
func TestPrincipalKeys(t *testing.T) {
	etl := &authGrant{Name: "etl", Role: roleTrigger, Workflows: []string{"etl", "ops"}}
	ops := &authGrant{Name: "ops", Role: roleTrigger, Workflows: []string{"ops"}}
	again := &authGrant{Name: "again", Role: roleTrigger, Workflows: []string{"ops"}}
	operator := &authGrant{Name: "operator", Role: roleOperator}
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "etl"}), principalTask(Workflow{ID: "ops"}))
		run := func(grant *authGrant, workflow, key string) (id string) {
			t.Helper()
			g.do(func() {
				var refused *protoError
				if id, refused = g.p.trigger(grant, Request{Workflow: workflow, Key: key}, grant.Name,
					""); refused != nil {
					t.Errorf("%s, %s, %s: %v", grant.Name, workflow, key, refused)
				}
			})
			return id
		}
		seen := map[string]string{}
		for _, c := range []struct {
			grant         *authGrant
			workflow, who string
		}{{etl, "etl", "etl of etl"}, {etl, "ops", "ops of etl"}, {ops, "ops", "ops of ops"},
			{again, "ops", "ops of ops"}, {operator, "ops", "ops of all"}, {authOwner, "ops", "ops of all"},
			{authOwner, "etl", "etl of all"}} {
			for range 2 {
				id := run(c.grant, c.workflow, "k")
				if seen[c.who] == "" {
					for who, other := range seen {
						if other == id {
							t.Errorf("%s has the run of %s", c.who, who)
						}
					}
					seen[c.who] = id
				}
				if seen[c.who] != id {
					t.Errorf("%s starts another run", c.who)
				}
			}
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "etl"}), principalTask(Workflow{ID: "ops"}))
		if run(ops, "ops", "k") != seen["ops of ops"] || run(operator, "etl", "k") != seen["etl of all"] {
			t.Error("after a start the keys are others")
		}
		time.Sleep(stateKeyLife + time.Second)
		if run(etl, "etl", "k") == seen["etl of etl"] || run(ops, "ops", "k") == seen["ops of ops"] {
			t.Error("keys hold for ever")
		}
		g.stop()
	})
}

// An agent that was away is told what was asked for. --force is not forgotten, even if the principal was started again
// or somebody asked once more without it, and it ends with the run.
func TestDispatchForce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		task  string
		asked []bool
		force bool
	}{
		{"run", "", []bool{true}, true}, {"run, without", "", []bool{false}, false},
		{"run, then with", "", []bool{false, true}, true}, {"run, then without", "", []bool{true, false}, true},
		{"task", "load", []bool{true}, true}, {"task, without", "load", []bool{false}, false},
		{"task, then with", "load", []bool{false, true}, true}, {"task, then without", "load", []bool{true, false},
			true},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g, a, as, _ := fleetWorking(t)
					spec := as.Spec
					a.gone()
					for _, force := range c.asked {
						if r := g.ask(Request{Op: "cancel", Run: as.Run, Task: c.task, Force: force}); !r.OK {
							t.Fatal(r.Error)
						}
					}
					if restart {
						g.stop()
						g.start(spec)
					}
					a.hello.Holds, a.n = []heldRun{{as.Run, 1}}, 4
					a.join()
					told := append(a.of(msgCancel), a.of(msgStopTask)...)
					if len(told) != 1 || told[0].Force != c.force || (told[0].Op == msgStopTask) != (c.task != "") {
						t.Fatalf("told %+v", told)
					}
					a.report(fleetEvent(as, evTaskFinished, "load", taskCancelled),
						fleetEvent(as, evRunFinished, "", runCancelled))
					r := g.show(as.Run)
					if r.Force || r.task("load").Force || r.State != runCancelled {
						t.Errorf("%s, force %v, of the task %v", r.State, r.Force, r.task("load").Force)
					}
					if r := g.ask(Request{Op: "retry", Run: as.Run}); !r.OK {
						t.Fatal(r.Error)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					next := a.last()
					a.report(fleetEvent(next, evRunStarted, "", ""))
					a.hello.Holds = []heldRun{{next.Run, next.Lease}}
					a.gone()
					a.join()
					if told := append(a.of(msgCancel), a.of(msgStopTask)...); len(told) > 0 {
						t.Errorf("of the retry it is told %+v", told)
					}
					a.gone()
					g.stop()
				})
			})
		}
	}
}

// fleetToldTasks lists what an agent was told, by its present connection, of tasks to stop.
func fleetToldTasks(a *fleetAgent) string {
	var told []string
	for _, m := range a.of(msgStopTask) {
		told = append(told, fmt.Sprintf("%s %s lease %d force %v", m.Task, m.Reason, m.Lease, m.Force))
	}
	return strings.Join(told, ", ")
}

// fleetHolds is a workflow that begins again by itself after a failure, and after its agent was lost.
var fleetHolds = &Workflow{ID: "w", Retries: 2, Failover: failoverRerun,
	Tasks: []Task{{ID: "load", Run: "x"}, {ID: "tidy", Run: "x", Depends: []string{"load"}}, {ID: "free", Run: "x"}}}

// fleetAtWork is what an agent says of a run of it: load is at work, and free has succeeded.
func fleetAtWork(as *assignment) []agentItem {
	return []agentItem{fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "load", ""),
		fleetEvent(as, evTaskStarted, "free", ""), fleetEvent(as, evTaskFinished, "free", taskSucceeded)}
}

// fleetWorking makes a principal with an agent, x, that is at work on a run; by is who asked for that.
func fleetWorking(t *testing.T) (g *principalRig, a *fleetAgent, as *assignment, by string) {
	t.Helper()
	g = principalRigOpen(t, t.TempDir(), fleetHolds)
	a = fleetAgentJoin(g, "x", 1)
	id := g.run("w")
	as = a.last()
	a.report(fleetAtWork(as)...)
	return g, a, as, g.show(id).By
}

// An agent stops one task of a run. When the run fails because of it, only a person begins it again.
func TestDispatchTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), fleetHolds)
		id := g.run("w")
		by := g.show(id).By
		refused := func(task, code, text string) {
			t.Helper()
			if r := g.ask(Request{Op: "cancel", Run: id, Task: task}); r.OK || r.Error.Code != code ||
				!strings.Contains(r.Error.Message, text) {
				t.Errorf("cancel of %s: %+v, want %s with %q", task, r.Error, code, text)
			}
		}
		refused("load", codeConflict, "has not begun (the run is queued): cdktr cancel "+id+" stops the whole run")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(fleetAtWork(as)...)
		refused("lod", codeNotFound, `has no task "lod" (did you mean "load"?)`)
		refused("something", codeNotFound, "(cdktr show "+id+" lists them)")
		refused("tidy", codeConflict, "has not begun (the run is running)")
		refused("free", codeConflict, "is succeeded already")
		if got := fleetToldTasks(a); got != "" || strings.Contains(g.kinds(), evTaskStopping) {
			t.Errorf("of what was refused the agent was told %q", got)
		}
		for _, force := range []bool{false, true} {
			if r := g.ask(Request{Op: "cancel", Run: id, Task: "load", Force: force}); !r.OK || r.Run != id ||
				r.Note != "" {
				t.Errorf("%+v", r)
			}
		}
		want := fmt.Sprintf("load cancelled by %s lease 1 force false, load cancelled by %[1]s lease 1 force true", by)
		if got := fleetToldTasks(a); got != want || len(a.of(msgCancel)) != 0 {
			t.Errorf("told %q, want %q; to cancel the run: %+v", got, want, a.of(msgCancel))
		}
		g.expect(id, runRunning, "")
		ended := fleetEvent(as, evTaskFinished, "load", taskCancelled)
		ended.Event.Reason = "cancelled by " + by
		over := fleetEvent(as, evRunFinished, "", runFailed)
		over.Event.Reason = "task load: cancelled by " + by
		a.report(ended, fleetEvent(as, evTaskFinished, "tidy", taskSkipped), over)
		g.expect(id, runFailed, "task load: cancelled by "+by) // two retries are left
		refused("load", codeConflict, "run "+id+" is failed already")
		noted := 0
		if _, err := g.p.store.readEvents(1, 1000, func(e *Event) bool {
			if e.Kind == evTaskStopping && e.Run == id && e.Task == "load" && e.Workflow == "w" && e.By == by &&
				e.From != "" && e.Reason == "cancelled by "+by {
				noted++
			}
			return true
		}); err != nil || noted != 2 {
			t.Errorf("%d entries in the audit trail, %v", noted, err)
		}
		if items := g.ask(Request{Op: "attention"}).Items; len(items) != 0 {
			t.Errorf("what somebody has stopped wants attention: %+v", items)
		}
		g.ask(Request{Op: "retry", Run: id})
		if as = a.last(); as.Attempt != 2 || len(as.Done) != 1 || g.show(id).taskStopped() {
			t.Fatalf("retried: %+v", as)
		}
		a.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskStarted, "load", ""),
			fleetEvent(as, evTaskFinished, "load", taskFailed), fleetEvent(as, evRunFinished, "", runFailed))
		g.expect(id, runRunning, "") // the next failure is nobody's doing
		a.gone()
		g.stop()
	})
}

// The stop of a task is repeated to an agent that comes back, and by a principal that was started again, until the task
// has ended.
func TestDispatchTaskRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a, as, by := fleetWorking(t)
		id := as.Run
		told := "load cancelled by " + by + " lease 1 force true"
		a.gone()
		if r := g.ask(Request{Op: "cancel", Run: id, Task: "load", Force: true}); !r.OK ||
			!strings.Contains(r.Note, "agent x is not connected now") {
			t.Errorf("%+v", r)
		}
		a.hello.Holds, a.n = []heldRun{{id, 1}}, 4
		for life := range 2 {
			a.join()
			if got := fleetToldTasks(a); got != told {
				t.Errorf("life %d: told %q, want %q", life, got, told)
			}
			if life == 0 {
				a.gone()
				g.stop()
				g.start(fleetHolds)
			}
		}
		if r := g.show(id).task("load"); r.State != taskRunning || r.Cancelling != "cancelled by "+by {
			t.Errorf("%+v", r)
		}
		a.report(fleetEvent(as, evTaskFinished, "load", taskCancelled))
		a.gone()
		a.join()
		if got := fleetToldTasks(a); got != "" {
			t.Errorf("of a task that has ended it is told %q", got)
		}
		a.gone()
		g.stop()
	})
}

// A run with a stopped task goes to no other agent when its own is lost. When the agent brings it back, the stop still
// counts.
func TestDispatchTaskLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a, as, by := fleetWorking(t)
		id := as.Run
		g.ask(Request{Op: "cancel", Run: id, Task: "load"})
		a.gone()
		b := fleetAgentJoin(g, "y", 1)
		b.beat(2 * agentLostAfter)
		g.expect(id, runCrashed, "agent x was lost")
		if len(b.assigned()) != 0 {
			t.Errorf("it was given to %+v", b.assigned())
		}
		a.hello.Holds = []heldRun{{id, 1}}
		a.join()
		g.expect(id, runRunning, "")
		if got := fleetToldTasks(a); got != "load cancelled by "+by+" lease 1 force false" {
			t.Errorf("told %q", got)
		}
		a.report(fleetEvent(as, evRunFinished, "", runCrashed)) // as an agent that is stopped says
		time.Sleep(time.Second)
		g.expect(id, runCrashed, "")
		a.gone()
		b.gone()
		g.stop()
	})
}

// TestDispatchAsked: an agent gives a run up by itself before it has heard of the stop that was asked for. The run ends
// as it was asked to.
func TestDispatchAsked(t *testing.T) {
	for _, task := range []string{"", "load"} {
		synctest.Test(t, func(t *testing.T) {
			g, a, as, by := fleetWorking(t)
			id := as.Run
			time.Sleep(3 * time.Second)
			a.gone()
			if lost := g.ask(Request{Op: "agents"}).Agents[0]; lost.State != agentLost ||
				time.Since(lost.Seen.Time) < 3*time.Second {
				t.Errorf("it was last heard of %s ago: %+v", time.Since(lost.Seen.Time), lost)
			}
			if r := g.ask(Request{Op: "cancel", Run: id, Task: task}); !r.OK ||
				!strings.Contains(r.Note, "agent x is not connected now: it stops the ") {
				t.Errorf("%+v", r)
			}
			a.hello.Holds, a.n = []heldRun{{id, 1}}, 4
			a.join()
			crash := func(kind, task string) agentItem {
				item := fleetEvent(as, kind, task, runCrashed)
				item.Event.Reason = "no principal for 10s"
				return item
			}
			a.report(crash(evTaskFinished, "load"), crash(evRunFinished, ""))
			want := "cancelled by " + by
			if got := g.show(id).task("load"); got.State != taskCancelled || got.Reason != want {
				t.Errorf("%+v", got)
			}
			if task == "" {
				g.expect(id, runCancelled, want)
			} else {
				g.expect(id, runFailed, "task load: "+want)
			}
			a.send(&agentMsg{Op: msgDrain})
			synctest.Wait()
			if there := g.ask(Request{Op: "agents"}).Agents[0]; there.State != agentDrain {
				t.Errorf("an agent that is being stopped is %s", there.State)
			}
			a.gone()
			g.stop()
		})
	}
}
