// state_requeue_test.go: what a run begins with when it is queued again: which tasks run again, and what is left of the
// attempt before.

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// requeueTasks reads tasks as "id:depends,depends state".
func requeueTasks(texts []string) (tasks []Task, states []string) {
	for _, text := range texts {
		name, state, _ := strings.Cut(text, " ")
		id, depends, _ := strings.Cut(name, ":")
		task := Task{ID: id, Run: "x", When: whenAlways}
		if depends != "" {
			task.Depends = strings.Split(depends, ",")
		}
		tasks, states = append(tasks, task), append(states, state)
	}
	return tasks, states
}

// TestStateRequeueTasks: what did not succeed runs again, and all that is behind a task that failed, whatever became of
// it. What else succeeded keeps its outputs.
func TestStateRequeueTasks(t *testing.T) {
	for _, test := range []struct {
		name  string
		tasks string
		all   bool
		want  string // those that stay done
		from  string
	}{
		{"from a task that succeeded", "a succeeded; b:a succeeded; c:b succeeded; d:a succeeded", false, "a d", "b"},
		{"from a task, and what failed besides", "a succeeded; b:a succeeded; c failed; d:c skipped; e succeeded",
			false, "e", "a"},
		{"from a task that failed", "a succeeded; b:a failed; c:b skipped", false, "a", "b"},
		{"clean-up behind a failure", "mount succeeded; work:mount failed; umount:work succeeded; alarm:work succeeded",
			false, "mount", ""},
		{"far behind a failure", "a failed; b:a skipped; c:b skipped; tidy:c succeeded; after:tidy succeeded",
			false, "", ""},
		{"beside a failure", "a failed; b succeeded; c:b succeeded; both:c,a succeeded", false, "b c", ""},
		{"in front of a failure", "a succeeded; b:a succeeded; c:b failed", false, "a b", ""},
		{"behind a cancelled task", "a succeeded; b:a cancelled; c:b succeeded", false, "a", ""},
		{"behind a crashed task", "a succeeded; b:a crashed; c:b succeeded; d:a succeeded", false, "a d", ""},
		{"behind what was skipped for no failure", "a succeeded; alarm:a skipped; note:alarm succeeded; b failed",
			false, "a note", ""},
		{"listed before what it follows",
			"tidy:work succeeded; alarm:tidy succeeded; work:setup failed; setup succeeded", false, "setup", ""},
		{"a diamond", "a succeeded; b:a failed; c:a succeeded; d:b,c succeeded", false, "a c", ""},
		{"two failures", "a failed; b failed; c:a,b succeeded; d succeeded", false, "d", ""},
		{"all", "a succeeded; b:a failed; c succeeded", true, "", ""},
	} {
		tasks, states := requeueTasks(strings.Split(test.tasks, "; "))
		s := stateNew()
		s.Versions["v"] = &Workflow{ID: "w", Tasks: tasks}
		events := []*Event{{Kind: evQueued, Workflow: "w", Version: "v"}, {Kind: evAssigned, Agent: "x"}}
		for i, task := range tasks {
			events = append(events, &Event{Kind: evTaskFinished, Task: task.ID, State: states[i], Agent: "x", Lease: 1,
				Outputs: map[string]string{"of": task.ID}})
		}
		events = append(events, &Event{Kind: evRunFinished, State: runFailed, Agent: "x", Lease: 1},
			&Event{Kind: evRequeued, Attempt: 2, All: test.all, Task: test.from})
		for _, e := range events {
			e.Run, e.Time = "R1", stampOf(stateEpoch)
			if err := s.apply(e); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
		var done []string
		for _, task := range s.Runs["R1"].Tasks {
			if task.State == taskSucceeded && task.Outputs["of"] == task.Task {
				done = append(done, task.Task)
			} else if !reflect.DeepEqual(task, TaskRun{Task: task.Task, State: taskWaiting}) {
				t.Errorf("%s: %+v", test.name, task)
			}
		}
		if is := strings.Join(done, " "); is != test.want {
			t.Errorf("%s: stay done %q, want %q", test.name, is, test.want)
		}
	}
}

// TestStateRequeueGoesOn: a run that its agent gives back goes on. What has ended stays so, a failure that is allowed
// too, and of a task that waits the attempts stay that have failed.
func TestStateRequeueGoesOn(t *testing.T) {
	at := func(n int) Stamp { return stampOf(stateEpoch.Add(time.Duration(n) * time.Second)) }
	earlier := []TaskAttempt{{Attempt: 1}, {Attempt: 2}}
	s := stateNew()
	s.Versions["v"] = &Workflow{ID: "w", Tasks: make([]Task, 7)}
	ask := &TaskAsk{For: askPool}
	s.Acks[stateKey(askApprove, "R1", "person")] = Ack{} // that it waits somebody has seen: it waits on
	s.Runs["R1"] = &Run{ID: "R1", Workflow: "w", State: runRunning, Attempt: 3, Version: "v", Tasks: []TaskRun{
		{Task: "lint", State: taskFailed, Allowed: true, Attempts: 1},
		{Task: "note", State: taskSucceeded, Attempts: 1},
		{Task: "no", State: taskSkipped, Reason: "nothing before it failed"},
		{Task: "pool", State: taskRetrying, Attempts: 2, Earlier: earlier, Started: at(1), Began: at(2), Ask: ask},
		{Task: "kid", State: taskRunning, Attempts: 3, Earlier: earlier, Started: at(1), Began: at(3), Child: "R2",
			Ask: &TaskAsk{For: askWorkflow}},
		{Task: "person", State: taskRunning, Attempts: 1, Started: at(1), Ask: &TaskAsk{For: askApprove}},
		{Task: "first", State: taskWaiting, Ask: ask}}}
	before := s.Runs["R1"].clone()
	if err := s.apply(&Event{Kind: evRequeued, Run: "R1", Attempt: 3}); err != nil {
		t.Fatal(err)
	}
	want := []TaskRun{before.Tasks[0], before.Tasks[1], {Task: "no", State: taskWaiting},
		{Task: "pool", State: taskWaiting, Attempts: 2, Earlier: earlier, Started: at(1), Began: at(2)},
		{Task: "kid", State: taskWaiting, Attempts: 2, Earlier: earlier, Started: at(1), Began: at(3), Child: "R2",
			Ask: &TaskAsk{}},
		{Task: "person", State: taskWaiting}, {Task: "first", State: taskWaiting}}
	if got := s.Runs["R1"].Tasks; !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want\n%+v", got, want)
	}
	if len(s.Acks) != 1 {
		t.Errorf("acknowledged: %v", s.Acks)
	}
}

// TestStateRequeueAcks: who has seen that a run waits for a person has not seen that its next attempt does. A lost run
// that comes back waits on.
func TestStateRequeueAcks(t *testing.T) {
	for name, c := range map[string]struct {
		events []*Event
		kept   bool
	}{
		"crashed":    {[]*Event{{Kind: evRunFinished, State: runCrashed, Agent: "x", Lease: 1}}, false},
		"cancelled":  {[]*Event{{Kind: evRunEnded, State: runCancelled}}, false},
		"lost":       {[]*Event{{Kind: evRunEnded, State: runCrashed, Agent: "x"}}, true},
		"lost, back": {[]*Event{{Kind: evRunEnded, State: runCrashed, Agent: "x"}, {Kind: evAdopted}}, true},
		"lost, queued again": {[]*Event{{Kind: evRunEnded, State: runCrashed, Agent: "x"},
			{Kind: evRequeued, Attempt: 2}}, false},
		"lost, forgotten": {[]*Event{{Kind: evRunEnded, State: runCrashed, Agent: "x"}, {Kind: evArchived}}, false},
		"run again":       {[]*Event{{Kind: evRequeued, Attempt: 2}}, false},
	} {
		s := stateNew()
		s.Versions["v"] = &Workflow{ID: "w", Tasks: []Task{{ID: "a", Approve: "Ship?"}}}
		for _, e := range append([]*Event{{Kind: evQueued, Version: "v"}, {Kind: evAssigned, Agent: "x"},
			{Kind: evTaskStarted, Task: "a", Attempt: 1, Agent: "x", Lease: 1},
			{Kind: evTaskAsked, Task: "a", Attempt: 1, Asks: askApprove, Agent: "x", Lease: 1},
			{Kind: evAcked, Key: stateKey(askApprove, "R1", "a")}}, c.events...) {
			e.Time = stampOf(stateEpoch)
			if e.Kind != evAcked {
				e.Run, e.Workflow = "R1", "w"
			}
			if err := s.apply(e); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if kept := len(s.Acks) == 1; kept != c.kept {
			t.Errorf("%s: %v", name, s.Acks)
		}
	}
}

// TestStateRequeuePart: another agent goes on with a task of a run that is queued again. What it has done is not made
// the answer of a task that is to begin anew, behind one that failed.
func TestStateRequeuePart(t *testing.T) {
	part := &TaskPart{ID: "P1", Agent: "tape"}
	answer := &TaskAnswer{State: taskSucceeded}
	s := stateNew()
	s.Versions["v"] = &Workflow{ID: "w", Tasks: []Task{{ID: "on"}, {ID: "done"}, {ID: "bad"},
		{ID: "tidy", Depends: []string{"bad"}, When: whenAlways}}}
	s.Runs["R1"] = &Run{ID: "R1", Workflow: "w", State: runRunning, Attempt: 1, Version: "v", Tasks: []TaskRun{
		{Task: "on", State: taskRetrying, Attempts: 1, Part: part, Ask: &TaskAsk{For: askAgent}},
		{Task: "done", State: taskRunning, Attempts: 1, Agent: "tape", Ask: &TaskAsk{For: askAgent, Answer: answer}},
		{Task: "bad", State: taskFailed},
		{Task: "tidy", State: taskRunning, Ask: &TaskAsk{For: askAgent, Answer: answer}}}}
	if err := s.apply(&Event{Kind: evRequeued, Run: "R1", Attempt: 2}); err != nil {
		t.Fatal(err)
	}
	want := []TaskRun{{Task: "on", State: taskRetrying, Attempts: 1, Part: part},
		{Task: "done", State: taskRunning, Attempts: 1, Agent: "tape", Part: &TaskPart{Agent: "tape", Answer: answer}},
		{Task: "bad", State: taskWaiting}, {Task: "tidy", State: taskWaiting}}
	if got := s.Runs["R1"].Tasks; !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v, want\n%+v", got, want)
	}
}

// TestStateRequeueFields says of every field of a run what becomes of it. A new field has to be decided here.
func TestStateRequeueFields(t *testing.T) {
	const keeps, resets = true, false
	fields := map[string]bool{"ID": keeps, "Workflow": keeps, "Trigger": keeps, "By": keeps, "Params": keeps,
		"Event":     keeps,
		"Scheduled": keeps, "Queued": keeps, "Version": keeps,
		"Priority": keeps, "Lease": keeps, "Left": keeps, // they live on
		"Batch": keeps, "Parent": keeps, "ParentTask": keeps, "Parked": resets,
		"LogDay": keeps, "LogAt": keeps, // output goes on behind what is there
		"Agent": resets, "Started": resets, "Finished": resets, "Seconds": resets, "Cancelling": resets,
		"Force": resets, "Ahead": resets, "OwnStarted": resets, "OwnFinished": resets, "Lost": resets,
		"Ending": resets, "Insist": resets}
	set := map[string]any{"State": runQueued, "Attempt": 7, "Reason": "why"} // by the event
	for _, state := range []string{runRunning, runFailed, runCrashed, runCancelled} {
		s := stateNew()
		r := &Run{}
		v := reflect.ValueOf(r).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i).Addr().Interface().(type) {
			case *string:
				*f = "x"
			case *int:
				*f = 3
			case *int64:
				*f = 3
			case *float64:
				*f = 3
			case *bool:
				*f = true
			case *Stamp:
				*f = stampOf(stateEpoch)
			case *map[string]string:
				*f = map[string]string{"k": "v"}
			case *[]LeftProcess:
				*f = []LeftProcess{{PID: 3}}
			case **RunEvent:
				*f = &RunEvent{Kind: listenOnFile}
			case *[]TaskRun:
				*f = []TaskRun{{Task: "a", State: taskFailed, Cancelling: "x", Earlier: []TaskAttempt{{}}}}
			default:
				t.Fatalf("field %s: %T", v.Type().Field(i).Name, f)
			}
		}
		r.State, r.Version = state, "v"
		s.Runs[r.ID], s.Versions["v"] = r, &Workflow{Tasks: []Task{{ID: "a"}}}
		before := reflect.ValueOf(*r.clone())
		if err := s.apply(&Event{Kind: evRequeued, Run: r.ID, Attempt: 7, Reason: "why"}); err != nil {
			t.Fatal(err)
		}
		for i := range v.NumField() {
			name, is := v.Type().Field(i).Name, v.Field(i)
			keep, known := fields[name]
			switch want, bySelf := set[name]; {
			case name == "Tasks":
			case bySelf && is.Interface() != want:
				t.Errorf("of a %s run %s is %v, want %v", state, name, is, want)
			case bySelf:
			case !known:
				t.Errorf("nobody has said what becomes of %s", name)
			case keep && !reflect.DeepEqual(is.Interface(), before.Field(i).Interface()):
				t.Errorf("of a %s run %s is %v, was %v", state, name, is, before.Field(i))
			case !keep && !is.IsZero():
				t.Errorf("of a %s run %s is left: %v", state, name, is)
			}
		}
	}
}

// A run that was cancelled and then retried is not cancelled again when its agent comes back, and neither is its task.
func TestDispatchCancelledRetried(t *testing.T) {
	t.Parallel()
	for _, task := range []string{"", "a"} {
		synctest.Test(t, func(t *testing.T) {
			g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
			id := g.run("w")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			a.report(fleetBegun(as)...)
			if r := g.ask(Request{Op: "cancel", Run: id, Task: task}); !r.OK {
				t.Fatal(r.Error)
			}
			a.report(fleetEvent(as, evTaskFinished, "a", taskCancelled),
				fleetEvent(as, evRunFinished, "", runCancelled))
			if r := g.ask(Request{Op: "retry", Run: id}); !r.OK {
				t.Fatal(r.Error)
			}
			as = a.last()
			a.report(fleetBegun(as)...)
			a.gone()
			time.Sleep(agentLostAfter / 2)
			a.hello.Holds = []heldRun{{id, as.Lease}}
			a.join()
			if n := len(a.of(msgCancel)) + len(a.of(msgStopTask)); n != 0 || as.Attempt != 2 {
				t.Errorf("attempt %d is cancelled when its agent is back", as.Attempt)
			}
			a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
				fleetEvent(as, evRunFinished, "", runSucceeded))
			g.expect(id, runSucceeded, "")
			a.gone()
			g.stop()
		})
	}
}

// TestDispatchRetryBehind: the next attempt is told nothing of the clean-up behind what failed, whoever asks for it and
// on whichever agent it is; and an agent that is lost in the middle leaves it to be done as well.
func TestDispatchRetryBehind(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"retries", "by hand", "agent lost"} {
		synctest.Test(t, func(t *testing.T) {
			w := &Workflow{ID: "w", Failover: failoverRerun, Tasks: []Task{{ID: "setup", Run: "x"},
				{ID: "work", Run: "x", Depends: []string{"setup"}},
				{ID: "tidy", Run: "x", Depends: []string{"work"}, When: whenAlways},
				{ID: "tell", Run: "x", Depends: []string{"tidy"}, When: whenFailure}}}
			if how == "retries" {
				w.Retries = 1
			}
			g := principalRigOpen(t, t.TempDir(), w)
			id := g.run("w")
			a := fleetAgentJoin(g, "x", 1)
			as := a.last()
			b := fleetAgentJoin(g, "y", 1)
			setup := fleetEvent(as, evTaskFinished, "setup", taskSucceeded)
			setup.Event.Outputs = map[string]string{"disk": "/mnt"}
			a.report(fleetEvent(as, evRunStarted, "", ""), setup, fleetEvent(as, evTaskFinished, "work",
				taskFailed), fleetEvent(as, evTaskFinished, "tidy", taskSucceeded))
			a.send(&agentMsg{Op: msgDrain}) // the next attempt goes to the other one
			if how == "agent lost" {
				a.report(fleetEvent(as, evTaskStarted, "tell", ""))
				a.gone()
				b.beat(2 * agentLostAfter)
			} else {
				a.report(fleetEvent(as, evTaskFinished, "tell", taskSucceeded),
					fleetEvent(as, evRunFinished, "", runFailed))
			}
			if how == "by hand" {
				if r := g.ask(Request{Op: "retry", Run: id}); !r.OK {
					t.Fatal(r.Error)
				}
			}
			as = b.last()
			if len(as.Done) != 1 || as.Done[0].Task != "setup" || as.Done[0].Outputs["disk"] != "/mnt" {
				t.Fatalf("%s: the second attempt is told %+v is done", how, as.Done)
			}
			if is := agentStates(g.show(id)); is != "setup succeeded, work waiting, tidy waiting, tell waiting" {
				t.Errorf("%s: shown are %s", how, is)
			}
			skip := fleetEvent(as, evTaskFinished, "tell", taskSkipped)
			skip.Event.Reason = "nothing before it failed"
			b.report(fleetEvent(as, evRunStarted, "", ""), fleetEvent(as, evTaskFinished, "work", taskSucceeded),
				fleetEvent(as, evTaskFinished, "tidy", taskSucceeded), skip,
				fleetEvent(as, evRunFinished, "", runSucceeded))
			if is := agentStates(g.show(id)); is != "setup succeeded, work succeeded, tidy succeeded, tell skipped "+
				"(nothing before it failed)" {
				t.Errorf("%s: at the end are shown %s", how, is)
			}
			a.gone()
			b.gone()
			g.stop()
		})
	}
}

// TestAgentRunRetryBehind runs it for real: clean-up follows each attempt, the alarm each failure, and what succeeded
// in front runs once.
func TestAgentRunRetryBehind(t *testing.T) {
	dir := t.TempDir()
	note := func(name string) string { return fmt.Sprintf("echo %s >> %s/story; ", name, dir) }
	w := &Workflow{ID: "w", Retries: 1, Tasks: []Task{{ID: "setup", Run: note("setup") +
		`echo disk=/mnt >> "$CDKTR_OUTPUT"`},
		{ID: "work", Run: note("work-${DISK}") + `test $(grep -c work ` + dir + `/story) = 3`,
			Depends: []string{"setup"}, Env: map[string]string{"DISK": "${tasks.setup.outputs.disk}"}},
		{ID: "tidy", Run: note("tidy"), Depends: []string{"work"}, When: whenAlways},
		{ID: "tell", Run: note("tell"), Depends: []string{"work", "tidy"}, When: whenFailure}}}
	h := agentHost(t, &principalLog{}, w)
	story := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "story"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
	want := "setup work-/mnt tidy tell work-/mnt tidy tell"
	if is := story(); r.State != runFailed || is != want {
		t.Fatalf("%s after %s, want %s", r.State, is, want)
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentWait)
	defer cancel()
	c := &client{conn: h.connect(), endpoint: "here"}
	defer c.close()
	if _, err := c.ask(ctx, Request{Op: "retry", Run: r.ID}); err != nil {
		t.Fatal(err)
	}
	reply, err := c.ask(ctx, Request{Op: "wait", Run: r.ID})
	if err != nil || len(reply.Runs) != 1 {
		t.Fatalf("wait: %v", err)
	}
	r = reply.Runs[0]
	if is := story(); is != want+" work-/mnt tidy" || r.State != runSucceeded {
		t.Errorf("retried by hand: %s after %s", r.State, is)
	}
	if is := agentStates(r); is != "setup succeeded, work succeeded, tidy succeeded, tell skipped (nothing before "+
		"it failed)" {
		t.Errorf("shown are %s", is)
	}
}

// TestStateRequeueModel plays random runs by the model of the graph and has them queued again. What stays done is what
// counts as a success without having failed, and has no failure before it, allowed or not.
func TestStateRequeueModel(t *testing.T) {
	rng := dagRng(t)
	states := []string{taskSucceeded, taskSucceeded, taskSucceeded, taskFailed, taskCrashed, taskCancelled,
		"failed allowed", "skipped allowed"}
	for range 300 {
		tasks, fate := dagRandom(rng, 1+rng.IntN(12)), map[string]string{}
		byID := map[string]*Task{}
		for i := range tasks {
			byID[tasks[i].ID] = &tasks[i]
			fate[tasks[i].ID] = states[rng.IntN(len(states))]
		}
		final, _ := dagModel(tasks, fate, nil)
		r := &Run{ID: "R1", State: runFailed, Version: "v"}
		for i := range tasks {
			state, allowed := strings.CutSuffix(final[tasks[i].ID], " allowed")
			r.Tasks = append(r.Tasks, TaskRun{Task: tasks[i].ID, State: state, Allowed: allowed})
		}
		s := stateNew()
		s.Versions["v"], s.Runs[r.ID] = &Workflow{ID: "w", Tasks: tasks}, r
		if err := s.apply(&Event{Kind: evRequeued, Run: r.ID, Attempt: 2}); err != nil {
			t.Fatal(err)
		}
		var behind func(id string) bool // a failure
		behind = func(id string) bool {
			return slices.ContainsFunc(byID[id].Depends, func(before string) bool {
				switch final[before] {
				case "failed", "failed allowed", "crashed", "cancelled":
					return true
				}
				return behind(before)
			})
		}
		done := map[string]string{}
		for i := range r.Tasks {
			id, state := r.Tasks[i].Task, r.Tasks[i].State
			stays := (final[id] == "succeeded" || final[id] == "skipped allowed") && !behind(id)
			if stays != (state != taskWaiting) || stays && r.Tasks[i].Allowed != (state == taskSkipped) {
				t.Fatalf("%+v ended as %v: %s is %+v", tasks, final, id, r.Tasks[i])
			}
			if stays {
				done[id] = state
			}
		}
		want, _ := dagModel(tasks, fate, done)
		if got := dagPlay(t, rng, tasks, fate, done); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, done %v: %v, want %v", tasks, done, got, want)
		}
	}
}
