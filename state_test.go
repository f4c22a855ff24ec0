package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var stateEpoch = time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)

// stateRig applies events to a State, holds what it is to the invariants after each, and folds their JSON on the side.
type stateRig struct {
	t      *testing.T
	s      *State
	copied *State // folded from events that went through JSON
	clock  time.Time
	every  uint64 // events between looks at all of the state, where there are thousands; 0: each
}

func stateRigNew(t *testing.T) *stateRig {
	g := &stateRig{t: t, s: stateNew(), copied: stateNew(), clock: stateEpoch}
	g.apply(&Event{Kind: evVersion, Workflow: "w", Version: "v1", Spec: &Workflow{ID: "w",
		Tasks: []Task{{ID: "a", Run: "x"}, {ID: "b", Run: "x"}, {ID: "c", Run: "x"}}}})
	return g
}

// try applies an event and gives the error.
func (g *stateRig) try(e *Event) error {
	g.t.Helper()
	g.clock = g.clock.Add(time.Second)
	e.Time, e.Seq = stampOf(g.clock), g.s.Seq+1
	text, err := json.Marshal(e)
	if err != nil {
		g.t.Fatal(err)
	}
	var copied Event
	if err := json.Unmarshal(text, &copied); err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	look := g.every == 0 || g.s.Seq%g.every == 0
	var before []byte
	if look {
		before = storeText(g.t, g.s)
	}
	err = g.s.apply(e)
	if again := g.copied.apply(&copied); (again == nil) != (err == nil) {
		g.t.Fatalf("%s: %v, but after a trip through JSON %v", text, err, again)
	}
	if err != nil && e.N == 0 {
		g.s.Seq--
		g.copied.Seq--
		if after := storeText(g.t, g.s); look && string(after) != string(before) {
			g.t.Fatalf("refused (%v), but it left something:\n%s\n%s", err, before, after)
		}
	}
	if look {
		g.invariants()
	}
	return err
}

func (g *stateRig) apply(events ...*Event) {
	g.t.Helper()
	for _, e := range events {
		if err := g.try(e); err != nil {
			g.t.Fatal(err)
		}
	}
}

// invariants hold after each event, whatever came before.
func (g *stateRig) invariants() {
	g.t.Helper()
	s := g.s
	bad := func(format string, args ...any) { g.t.Helper(); g.t.Fatalf(format, args...) }
	if len(s.Finished) > stateMaxFinished {
		bad("%d finished runs", len(s.Finished))
	}
	seen := map[string]bool{}
	for _, id := range s.Finished {
		r := s.Runs[id]
		if r == nil || runActive(r.State) || seen[id] {
			bad("run %s of the finished ones: %+v, seen %v", id, r, seen[id])
		}
		seen[id] = true
	}
	for id, r := range s.Runs {
		switch {
		case id != r.ID || id > s.LastRun:
			bad("run %s under %s, newest %s", r.ID, id, s.LastRun)
		case runActive(r.State) == seen[id]:
			bad("run %s is %s, finished: %v", id, r.State, seen[id])
		case runActive(r.State) != r.Finished.IsZero():
			bad("run %s is %s and ended %v", id, r.State, r.Finished)
		case r.State == runQueued && (r.Agent != "" || !r.Started.IsZero()), r.State == runRunning &&
			(r.Agent == "" || r.Lease == 0):
			bad("run %s is %s with agent %q by lease %d, started %v", id, r.State, r.Agent, r.Lease, r.Started)
		case r.Lost && r.State != runCrashed:
			bad("run %s is %s and lost", id, r.State)
		case s.Versions[r.Version] == nil || r.Params == nil || r.Attempt < 1:
			bad("run %s: %+v", id, r)
		}
		for _, task := range r.Tasks {
			if len(task.Earlier) > stateMaxEarlier {
				bad("task %s of run %s has %d earlier attempts", task.Task, id, len(task.Earlier))
			}
			if !runActive(r.State) && taskActive(task.State) || r.State == runQueued && task.State != taskWaiting &&
				task.State != taskSucceeded {
				bad("task %s of the %s run %s is %s", task.Task, r.State, id, task.State)
			}
		}
	}
	for id, w := range s.Workflows {
		if len(w.Decisions) > stateMaxDecisions || len(w.Recent) > stateMaxRecent {
			bad("workflow %s has %d decisions, %d outcomes", id, len(w.Decisions), len(w.Recent))
		}
		for i, o := range w.Recent {
			if r := s.Runs[o.Run]; r != nil && r.State != o.State {
				bad("outcome %+v of the %s run", o, r.State)
			}
			if slices.ContainsFunc(w.Recent[:i], func(p Outcome) bool { return p.Run == o.Run }) {
				bad("run %s is twice among the outcomes", o.Run)
			}
		}
	}
	if one, two := storeText(g.t, s), storeText(g.t, g.copied); string(one) != string(two) {
		bad("events after a trip through JSON fold to another state:\n%s\n%s", one, two)
	}
}

func stateInt(n int) *int { return &n }

// Paths to each state of a run, and of its task a.
var (
	statePathQueued   = []*Event{{Kind: evQueued, Run: "R1", Workflow: "w", Version: "v1"}}
	statePathAssigned = append(slices.Clip(statePathQueued), &Event{Kind: evAssigned, Run: "R1", Agent: "x"})
	statePathRunning  = append(slices.Clip(statePathAssigned), &Event{Kind: evRunStarted, Run: "R1", Agent: "x",
		Lease: 1},
		&Event{Kind: evTaskStarted, Run: "R1", Agent: "x", Lease: 1, Task: "a", Attempt: 1})
)

// stateEnd is a path on to an end of the run.
func stateEnd(path []*Event, e Event) []*Event {
	e.Run = "R1"
	return append(slices.Clip(path), &e)
}

// Which event of a run is taken in which state, and to which state it leads; "": it is refused.
func TestStateTransitions(t *testing.T) {
	fin := func(state string) Event { return Event{Kind: evRunFinished, Agent: "x", Lease: 1, State: state} }
	paths := map[string][]*Event{
		"queued": statePathQueued, "assigned": statePathAssigned, "running": statePathRunning,
		"cancelling":         stateEnd(statePathRunning, Event{Kind: evCancelling, Reason: "by me"}),
		"succeeded":          stateEnd(statePathRunning, fin(runSucceeded)),
		"failed":             stateEnd(statePathRunning, fin(runFailed)),
		"crashed":            stateEnd(statePathRunning, fin(runCrashed)),
		"lost":               stateEnd(statePathRunning, Event{Kind: evRunEnded, Agent: "x", State: runCrashed}),
		"cancelled":          stateEnd(statePathRunning, fin(runCancelled)),
		"cancelled in queue": stateEnd(statePathQueued, Event{Kind: evRunEnded, State: runCancelled}),
	}
	events := map[string]Event{
		"assigned": {Kind: evAssigned, Agent: "x"}, "requeued": {Kind: evRequeued, Attempt: 2},
		"requeued all": {Kind: evRequeued, Attempt: 2, All: true},
		"cancelling":   {Kind: evCancelling, Reason: "r"}, "task cancelling": {Kind: evTaskStopping, Task: "a",
			Reason: "r"}, "adopted": {Kind: evAdopted, Agent: "x"}, "ended": {Kind: evRunEnded, State: runCrashed},
		"started": {Kind: evRunStarted, Agent: "x", Lease: 1}, "finished": fin(runFailed),
		"task started":  {Kind: evTaskStarted, Agent: "x", Lease: 1, Task: "a", Attempt: 1},
		"task retrying": {Kind: evTaskRetrying, Agent: "x", Lease: 1, Task: "a"},
		"task finished": {Kind: evTaskFinished, Agent: "x", Lease: 1, Task: "a", State: taskSucceeded},
	}
	taken := map[string]map[string]string{
		"queued": {"assigned": runRunning, "cancelling": runQueued, "ended": runCrashed},
		"assigned": {"requeued": runQueued, "requeued all": runQueued, "cancelling": runRunning, "ended": runCrashed,
			"started": runRunning, "finished": runFailed, "task started": runRunning, "task retrying": runRunning,
			"task finished": runRunning},
		"succeeded":  {"requeued all": runQueued},
		"failed":     {"requeued": runQueued, "requeued all": runQueued},
		"lost":       {"requeued": runQueued, "requeued all": runQueued, "adopted": runRunning},
		"running":    nil,
		"cancelling": nil,
	}
	taken["running"] = maps.Clone(taken["assigned"])
	taken["running"]["task cancelling"] = runRunning // nothing of an assigned run is at work yet
	taken["cancelling"] = taken["running"]
	taken["crashed"], taken["cancelled"], taken["cancelled in queue"] = taken["failed"], taken["failed"],
		taken["failed"]
	for from, path := range paths {
		for name, e := range events {
			t.Run(from+"/"+name, func(t *testing.T) {
				g := stateRigNew(t)
				for _, e := range path {
					copied := *e
					g.apply(&copied)
				}
				before := g.s.Runs["R1"].State
				e.Run = "R1"
				err := g.try(&e)
				want, is := taken[from][name], g.s.Runs["R1"].State
				switch {
				case want == "" && err == nil:
					t.Errorf("is taken, and the run %s", is)
				case want == "" && (is != before || !strings.Contains(err.Error(), "R1") ||
					!strings.Contains(err.Error(), e.Kind)):
					t.Errorf("left the run %s: %v", is, err)
				case want != "" && (err != nil || is != want):
					t.Errorf("the run is %s, not %s: %v", is, want, err)
				}
			})
		}
	}
}

// A task keeps the reason why somebody had it stopped until it succeeds all the same, or is to run again.
func TestStateTaskStopping(t *testing.T) {
	stop := func(task, reason string) *Event {
		return &Event{Kind: evTaskStopping, Run: "R1", Task: task, Reason: reason}
	}
	of := func(kind, task, state string) *Event {
		return &Event{Kind: kind, Run: "R1", Agent: "x", Lease: 1, Task: task, State: state, Attempt: 1}
	}
	lost := &Event{Kind: evRunEnded, Run: "R1", Agent: "x", State: runCrashed, Reason: "lost"}
	for _, c := range []struct {
		name   string
		events []*Event
		want   string // state and Cancelling of task a, and whether one of the run was stopped
	}{
		{"asked for", []*Event{stop("a", "by me")}, "running by me true"},
		{"asked for twice", []*Event{stop("a", "by me"), stop("a", "by you")}, "running by me true"},
		{"tried again all the same", []*Event{stop("a", "by me"), of(evTaskRetrying, "a", ""),
			of(evTaskStarted, "a", "")}, "running by me true"},
		{"while it waits for its next attempt", []*Event{of(evTaskRetrying, "a", ""), stop("a", "by me")},
			"retrying by me true"},
		{"stopped", []*Event{stop("a", "by me"), of(evTaskFinished, "a", taskCancelled)}, "cancelled by me true"},
		{"failed by itself", []*Event{stop("a", "by me"), of(evTaskFinished, "a", taskFailed)}, "failed by me true"},
		{"was quicker", []*Event{stop("a", "by me"), of(evTaskFinished, "a", taskSucceeded)}, "succeeded  false"},
		{"its agent was lost", []*Event{stop("a", "by me"), lost}, "crashed by me true"},
		{"its agent came back", []*Event{stop("a", "by me"), lost, {Kind: evAdopted, Run: "R1", Agent: "x"}},
			"running by me true"},
		{"retried by hand", []*Event{stop("a", "by me"), of(evTaskFinished, "a", taskCancelled),
			of(evRunFinished, "", runFailed), {Kind: evRequeued, Run: "R1", Attempt: 2}}, "waiting  false"},
	} {
		g := stateRigNew(t)
		for _, e := range slices.Concat(statePathRunning, c.events) {
			copied := *e
			g.apply(&copied)
		}
		a := g.s.Runs["R1"].task("a")
		if got := fmt.Sprint(a.State, " ", a.Cancelling, " ", g.s.Runs["R1"].taskStopped()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	g := stateRigNew(t)
	for _, e := range statePathRunning {
		copied := *e
		g.apply(&copied)
	}
	for _, e := range []*Event{stop("b", "r"), stop("none", "r"), {Kind: evTaskStopping, Run: "R1"}} { // b waits
		if err := g.try(e); err == nil || !strings.Contains(err.Error(), "not at work") ||
			g.s.Runs["R1"].taskStopped() {
			t.Errorf("task %q: %v", e.Task, err)
		}
	}
}

// Events that no state takes.
func TestStateMisfits(t *testing.T) {
	g := stateRigNew(t)
	for _, e := range statePathRunning {
		copied := *e
		g.apply(&copied)
	}
	report := func(e Event) *Event { e.Run, e.Agent, e.Lease = "R1", "x", 1; return &e }
	wrong := map[string]*Event{
		"is there already":      {Kind: evQueued, Run: "R1", Workflow: "w", Version: "v1"},
		"version v9":            {Kind: evQueued, Run: "R2", Workflow: "w", Version: "v9"},
		"run R9 is not known":   {Kind: evAssigned, Run: "R9", Agent: "x"},
		"run  is not known":     {Kind: "what.ever"},
		"does not know such":    {Kind: "run.waved", Run: "R1"},
		`no task "z"`:           report(Event{Kind: evTaskStarted, Task: "z"}),
		`task a of run R1 cann`: report(Event{Kind: evTaskFinished, Task: "a", State: taskRunning}),
		`end as "queued"`:       report(Event{Kind: evRunFinished, State: runQueued}),
		`end as ""`:             {Kind: evRunEnded, Run: "R1"},
		`not with "y" by leas`:  {Kind: evRunFinished, Run: "R1", Agent: "y", Lease: 1, State: runFailed},
		`by lease 2`:            {Kind: evRunFinished, Run: "R1", Agent: "x", Lease: 2, State: runFailed},
	}
	for want, e := range wrong {
		if err := g.try(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", e, err, want)
		}
	}
	g.apply(report(Event{Kind: evTaskFinished, Task: "a", State: taskFailed, Exit: stateInt(3), Reason: "exit 3",
		Seconds: 1.5}))
	if err := g.try(report(Event{Kind: evTaskStarted, Task: "a", Attempt: 2})); err == nil {
		t.Error("a task that failed started again")
	}
}

// What a run looks like on its way: leases, attempts, tasks.
func TestStateRequeueAndLeases(t *testing.T) {
	g := stateRigNew(t)
	report := func(lease int, kind, task, state string) *Event {
		return &Event{Kind: kind, Run: "R1", Agent: "x", Lease: lease, Task: task, State: state, Attempt: 1,
			Reason: "r:" + task}
	}
	g.apply(&Event{Kind: evQueued, Run: "R1", Workflow: "w", Version: "v1", Key: "k", Scope: "*",
		Scheduled: stampOf(stateEpoch),
		By:        "me", Trigger: triggerCron},
		&Event{Kind: evAssigned, Run: "R1", Agent: "x"}, report(1, evRunStarted, "", ""),
		report(1, evTaskStarted, "a", ""),
		report(1, evTaskFinished, "a", taskSucceeded), report(1, evTaskStarted, "b", ""),
		report(1, evTaskRetrying, "b", ""),
		report(1, evTaskStarted, "b", ""), report(1, evTaskFinished, "b", taskFailed),
		report(1, evTaskFinished, "c", taskSkipped),
		report(1, evRunFinished, "", runFailed))
	r := g.s.Runs["R1"]
	if r.Lease != 1 || r.Started.IsZero() || r.Seconds <= 0 || len(g.s.Finished) != 1 ||
		len(g.s.workflow("w").Recent) != 1 {
		t.Fatalf("%+v", r)
	}
	g.apply(&Event{Kind: evRequeued, Run: "R1", Attempt: 2, Reason: "retried by me"})
	if stateTask(r, "a") != taskSucceeded || stateTask(r, "b") != taskWaiting || stateTask(r, "c") != taskWaiting ||
		r.Attempt != 2 || r.Reason != "retried by me" ||
		len(g.s.Finished) != 0 || len(g.s.workflow("w").Recent) != 0 || r.task("b").Reason != "" {
		t.Fatalf("%+v, finished %v", r, g.s.Finished)
	}
	g.apply(&Event{Kind: evAssigned, Run: "R1", Agent: "x"})
	if err := g.try(report(1, evRunFinished, "", runSucceeded)); err == nil || r.Lease != 2 || r.Reason != "" {
		t.Fatalf("a report on the first lease is taken: %v, %+v", err, r)
	}
	g.apply(report(2, evRunFinished, "", runSucceeded))
	g.apply(&Event{Kind: evRequeued, Run: "R1", Attempt: 3, All: true})
	if stateTask(r, "a") != taskWaiting || r.State != runQueued {
		t.Fatalf("all again: %+v", r)
	}
	if g.s.Keys[stateUse("w", "*", "k")].Run != "R1" || !g.s.workflow("w").Tick.Equal(stateEpoch) ||
		!g.s.workflow("w").Decisions[0].Fired {
		t.Errorf("%+v, %+v", g.s.Keys, g.s.workflow("w"))
	}
}

func stateTask(r *Run, id string) string { return r.task(id).State }

// A run that was given up and comes back is as it was, tasks that waited too.
func TestStateAdopt(t *testing.T) {
	g := stateRigNew(t)
	for _, e := range statePathRunning {
		copied := *e
		g.apply(&copied)
	}
	report := func(task, kind, state string) *Event {
		return &Event{Kind: kind, Run: "R1", Agent: "x", Lease: 1, Task: task, State: state, Attempt: 1}
	}
	g.apply(report("c", evTaskFinished, taskSkipped), &Event{Kind: evRunEnded, Run: "R1", Agent: "x", State: runCrashed,
		Reason: "agent x was lost"})
	r := g.s.Runs["R1"]
	if !r.Lost || stateTask(r, "a") != taskCrashed || stateTask(r, "b") != taskSkipped ||
		r.task("b").Reason != "run crashed" {
		t.Fatalf("%+v", r)
	}
	g.apply(&Event{Kind: evAdopted, Run: "R1", Agent: "x"})
	if r.Lost || r.State != runRunning || stateTask(r, "a") != taskRunning || stateTask(r, "b") != taskWaiting ||
		stateTask(r, "c") != taskSkipped || len(g.s.Finished) != 0 {
		t.Fatalf("%+v", r)
	}
	g.apply(report("a", evTaskFinished, taskSucceeded), report("b", evTaskStarted, ""),
		report("b", evTaskFinished, taskSucceeded), report("", evRunFinished, runSucceeded))
	if stateTask(r, "b") != taskSucceeded || r.State != runSucceeded {
		t.Fatalf("%+v", r)
	}
}

// TestStateAddress says where an agent is, by what its connection came over, and keeps that when it is lost.
func TestStateAddress(t *testing.T) {
	g := stateRigNew(t)
	for from, want := range map[string]string{"tcp://10.0.3.4:41022": "10.0.3.4:41022",
		"tcp://[fe80::1%eth0]:4": "[fe80::1%eth0]:4", "ipc pid 4242": "local pid 4242", "memory pid 7": "local",
		"": ""} {
		g.apply(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e1", Capacity: 2, From: from},
			&Event{Kind: evAgentLost, Agent: "x"})
		if got := g.s.Agents["x"].Address; got != want {
			t.Errorf("from %q: %q, want %q", from, got, want)
		}
	}
}

// An agent's numbers: a repeat is refused, a new epoch begins anew.
func TestStateNumbers(t *testing.T) {
	g := stateRigNew(t)
	for _, e := range statePathAssigned {
		copied := *e
		g.apply(&copied)
	}
	started := func(epoch string, n uint64) *Event {
		return &Event{Kind: evRunStarted, Run: "R1", Agent: "x", Lease: 1, Epoch: epoch, N: n}
	}
	g.apply(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e1", Capacity: 2}, started("e1", 5))
	for _, n := range []uint64{1, 5} {
		if err := g.try(started("e1", n)); err == nil || !strings.Contains(err.Error(), "was applied before") {
			t.Errorf("number %d: %v", n, err)
		}
	}
	g.apply(started("e1", 9), &Event{Kind: evAgentUp, Agent: "x", Epoch: "e1", Capacity: 2})
	if a := g.s.Agents["x"]; a.N != 9 || a.State != agentUp || a.Labels == nil {
		t.Errorf("%+v", a)
	}
	g.apply(&Event{Kind: evAgentDrained, Agent: "x"}, &Event{Kind: evAgentLost, Agent: "x"},
		&Event{Kind: evAgentUp, Agent: "x", Epoch: "e2"})
	if a := g.s.Agents["x"]; a.N != 0 || a.State != agentDrain || !a.Draining {
		t.Errorf("%+v", a)
	}
	g.apply(started("e2", 1), &Event{Kind: evAgentUndrain, Agent: "x"})
	if a := g.s.Agents["x"]; a.N != 1 || a.State != agentUp {
		t.Errorf("%+v", a)
	}
	g.apply(&Event{Kind: evAgentForgot, Agent: "x"})
	if g.s.Agents["x"] != nil {
		t.Error("it is not forgotten")
	}
}

func TestStatePauseAndDecisions(t *testing.T) {
	g := stateRigNew(t)
	g.apply(&Event{Kind: evPaused, By: "me"}, &Event{Kind: evPaused, Workflow: "w"},
		&Event{Kind: evSchedule, Workflow: "w", Schedule: "* * * * *", Scheduled: stampOf(stateEpoch)})
	if g.s.PausedAll != "me" || g.s.workflow("w").Paused != "?" {
		t.Errorf("%q %+v", g.s.PausedAll, g.s.workflow("w"))
	}
	g.apply(&Event{Kind: evResumed}, &Event{Kind: evResumed, Workflow: "w"})
	for i := range 2 * stateMaxDecisions {
		g.apply(&Event{Kind: evSkipped, Workflow: "w",
			Scheduled: stampOf(stateEpoch.Add(time.Duration(i) * time.Minute)), Reason: fmt.Sprint(i)})
	}
	g.apply(&Event{Kind: evSkipped, Workflow: "w", Scheduled: stampOf(stateEpoch), Reason: "old"})
	w := g.s.workflow("w")
	if g.s.PausedAll != "" || w.Paused != "" || len(w.Decisions) != stateMaxDecisions ||
		w.Decisions[0].Reason != "51" || w.Decisions[49].Reason != "old" ||
		!w.Tick.Equal(stateEpoch.Add((2*stateMaxDecisions-1)*time.Minute)) {
		t.Errorf("%+v", w)
	}
}

func TestStatePrune(t *testing.T) {
	g := stateRigNew(t)
	g.apply(&Event{Kind: evVersion, Version: "v2", Spec: &Workflow{ID: "w"}},
		&Event{Kind: evQueued, Run: "R1", Workflow: "w", Version: "v1", Key: "k"})
	for _, s := range []*State{g.s, g.copied} {
		s.prune(g.clock.Add(stateKeyLife))
		if s.Versions["v1"] == nil || s.Versions["v2"] != nil || len(s.Keys) != 1 {
			t.Errorf("%v %v", s.Versions, s.Keys)
		}
		s.prune(g.clock.Add(stateKeyLife + time.Second))
		if len(s.Keys) != 0 {
			t.Errorf("%v", s.Keys)
		}
	}
	g.invariants()
}

// More runs end than are kept: the oldest go, lost ones with them.
func TestStateBound(t *testing.T) {
	s := stateNew()
	s.Versions["v"] = &Workflow{ID: "w"}
	for i := range stateMaxFinished + 25 {
		id := fmt.Sprintf("R%05d", i)
		for _, e := range []*Event{{Kind: evQueued, Run: id, Workflow: "w", Version: "v"},
			{Kind: evAssigned, Run: id, Agent: "x"}, {Kind: evRunEnded, Run: id, Agent: "x", State: runCrashed}} {
			if err := s.apply(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.Finished) != stateMaxFinished || len(s.Runs) != stateMaxFinished || s.Runs["R00024"] != nil ||
		s.Finished[0] != "R00025" || len(s.workflow("w").Recent) != stateMaxRecent {
		t.Errorf("%d finished, %d runs, first %s", len(s.Finished), len(s.Runs), s.Finished[0])
	}
	if err := s.apply(&Event{Kind: evAdopted, Run: "R00000", Agent: "x"}); err == nil {
		t.Error("a run that is gone was adopted")
	}
}

// TestStateLast: runs of other workflows push a workflow's last run out of memory, and it is still known how that went.
func TestStateLast(t *testing.T) {
	s, made := stateNew(), 0
	s.Versions["v"] = &Workflow{ID: "w", Tasks: []Task{{ID: "a"}}}
	newID := func() string { made++; return fmt.Sprintf("R%05d", made) }
	run := func(id, workflow, state string) {
		t.Helper()
		for _, e := range []*Event{{Kind: evQueued, Run: id, Workflow: workflow, Version: "v"},
			{Kind: evRunEnded, Run: id, State: state, Reason: "so"}} {
			if err := s.apply(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	others := func(n int) {
		for range n {
			run(newID(), "busy", runSucceeded)
		}
	}
	others(1)
	run(newID(), "nightly", runFailed)
	run(newID(), "nightly", runSucceeded)
	w := s.workflow("nightly")
	others(stateMaxFinished - 1)
	if s.Runs["R00002"] != nil || w.Last != nil {
		t.Errorf("the newest run is in memory: %+v", w.Last)
	}
	others(1)
	if s.Runs["R00003"] != nil || w.Last == nil || w.Last.ID != "R00003" || w.Last.State != runSucceeded ||
		w.Last.Tasks == nil || len(w.Last.Tasks) != 0 {
		t.Errorf("%+v", w.Last)
	}
	run(newID(), "nightly", runFailed)
	if w.Last != nil {
		t.Errorf("a newer run is in memory: %+v", w.Last)
	}
}

// Random events against a model that knows only the state, agent, lease and attempt of a run.
func TestStateModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { stateModel(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

type stateModelRun struct {
	state, agent   string
	lease, attempt int
	lost           bool
}

func stateModel(t *testing.T, rnd *rand.Rand) {
	g := stateRigNew(t)
	model := map[string]*stateModelRun{}
	kinds := []string{evQueued, evAssigned, evRequeued, evCancelling, evTaskStopping, evRunEnded, evAdopted,
		evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished, evRunFinished, evRunFinished}
	ends := []string{runSucceeded, runFailed, runCancelled, runCrashed, runRunning}
	for range 600 {
		e := &Event{Kind: kinds[rnd.IntN(len(kinds))], Run: fmt.Sprint("R", rnd.IntN(6)),
			Agent: []string{"x", "y"}[rnd.IntN(2)], Workflow: "w", Version: "v1",
			Task: []string{"a", "b", "c"}[rnd.IntN(3)], Lease: 1 + rnd.IntN(4), Attempt: 1 + rnd.IntN(3), Reason: "r",
			State: ends[rnd.IntN(len(ends))]}
		if e.Kind == evRequeued {
			e.All = rnd.IntN(2) == 0
			e.Task = []string{"", e.Task}[rnd.IntN(2)]
		}
		if e.Kind == evAdopted && model[e.Run] != nil {
			e.Agent = model[e.Run].agent
		}
		want, task := stateModelApply(model, e), ""
		if r := g.s.Runs[e.Run]; r != nil && e.Task != "" {
			task = stateTask(r, e.Task)
		}
		if want && (e.Kind == evTaskStarted || e.Kind == evTaskRetrying || e.Kind == evTaskFinished) {
			want = taskActive(task) && (e.Kind != evTaskFinished || e.State != runRunning)
		}
		if e.Kind == evTaskStopping {
			want = want && (task == taskRunning || task == taskRetrying)
		}
		if err := g.try(e); (err == nil) != want {
			t.Fatalf("%+v: %v, want taken: %v", e, err, want)
		}
		for id, m := range model {
			r := g.s.Runs[id]
			if is := (stateModelRun{r.State, r.Agent, r.Lease, r.Attempt, r.Lost}); is != *m {
				t.Fatalf("after %+v run %s is %+v, want %+v", e, id, is, *m)
			}
		}
	}
}

// stateModelApply says whether the model takes an event, and does.
func stateModelApply(model map[string]*stateModelRun, e *Event) bool {
	m := model[e.Run]
	if e.Kind == evQueued {
		if m == nil {
			model[e.Run] = &stateModelRun{state: runQueued, attempt: 1}
		}
		return m == nil
	}
	if m == nil {
		return false
	}
	active := m.state == runQueued || m.state == runRunning
	final := e.State == runSucceeded || e.State == runFailed || e.State == runCancelled || e.State == runCrashed
	mine := m.state == runRunning && m.agent == e.Agent && m.lease == e.Lease
	switch e.Kind {
	case evAssigned:
		if m.state != runQueued {
			return false
		}
		m.state, m.agent = runRunning, e.Agent
		m.lease++
		return true
	case evRequeued:
		if m.state == runQueued || m.state == runSucceeded && !e.All && e.Task == "" {
			return false
		}
		m.state, m.agent, m.attempt, m.lost = runQueued, "", e.Attempt, false
		return true
	case evCancelling:
		return active
	case evTaskStopping:
		return m.state == runRunning
	case evAdopted:
		if !m.lost {
			return false
		}
		m.state, m.lost = runRunning, false
		return true
	case evRunEnded, evRunFinished:
		if !final || e.Kind == evRunEnded && !active || e.Kind == evRunFinished && !mine {
			return false
		}
		m.state, m.lost = e.State, e.Kind == evRunEnded && e.State == runCrashed && m.agent == e.Agent
		return true
	}
	return mine
}
