package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// What the record has of instances: they come with the start of their task, stay over a retry when they have succeeded,
// and end with their task; the order is that of the items.
func TestStateForeach(t *testing.T) {
	t.Parallel()
	s, seq := stateNew(), uint64(0)
	apply := func(e Event) {
		t.Helper()
		seq++
		e.Seq, e.Run, e.Agent, e.Time = seq, "R1", "x", stampOf(stateEpoch)
		if e.Kind != evAssigned && e.Kind != evRequeued {
			if r := s.Runs["R1"]; r != nil {
				e.Lease = r.Lease
			}
		}
		if err := s.apply(&e); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		var parts []string
		for _, task := range s.Runs["R1"].Tasks {
			parts = append(parts, task.Task+" "+task.State)
		}
		if got := strings.Join(parts, ", "); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
	spec := &Workflow{ID: "w", Tasks: []Task{{ID: "a"}, {ID: "each", Foreach: &Foreach{}, Depends: []string{"a"}},
		{ID: "b", Foreach: &Foreach{}}}}
	apply(Event{Kind: evVersion, Version: "v", Spec: spec})
	apply(Event{Kind: evQueued, Workflow: "w", Version: "v"})
	apply(Event{Kind: evAssigned})
	end := func(task, state string) { apply(Event{Kind: evTaskFinished, Task: task, State: state}) }
	begin := func(task string, items ...string) {
		apply(Event{Kind: evTaskStarted, Task: task, Attempt: 1, Items: items})
	}
	begin("b", "1")
	end("a", taskSucceeded)
	begin("each", "x", "y", "z")
	before := s.Runs["R1"].clone()
	begin("each[x]")
	begin("each[y]")
	end("each[x]", taskFailed)
	end("each[y]", taskSucceeded)
	if before.Tasks[3].State != taskWaiting {
		t.Error("what was handed out has changed")
	}
	is("a succeeded, each running, b running, b[1] waiting, each[x] failed, each[y] succeeded, each[z] waiting")
	if r := s.Runs["R1"]; r.total() != 3 || r.done() != 1 {
		t.Errorf("%d of %d tasks are done", r.done(), r.total())
	}
	end("each", taskFailed)
	is("a succeeded, each failed, b running, b[1] waiting, each[x] failed, each[y] succeeded, each[z] skipped")
	apply(Event{Kind: evRunFinished, State: runFailed})
	is("a succeeded, each failed, b crashed, b[1] skipped, each[x] failed, each[y] succeeded, each[z] skipped")
	if f := s.Workflows["w"].Failures; len(f) != 1 || f[0].Task != "each" {
		t.Errorf("to blame: %+v", f)
	}
	apply(Event{Kind: evRequeued, Attempt: 2})
	is("a succeeded, each waiting, b waiting, b[1] waiting, each[x] waiting, each[y] succeeded, each[z] waiting")
	apply(Event{Kind: evAssigned})
	begin("each", "z", "new", "y")
	is("a succeeded, each running, b waiting, b[1] waiting, each[z] waiting, each[new] waiting, each[y] succeeded")
	apply(Event{Kind: evRunFinished, State: runFailed})
	apply(Event{Kind: evRequeued, Attempt: 3, All: true})
	is("a waiting, each waiting, b waiting, b[1] waiting, each[z] waiting, each[new] waiting, each[y] waiting")
	apply(Event{Kind: evAssigned})
	var many []string
	for i := range foreachRunMax {
		many = append(many, fmt.Sprint(i))
	}
	begin("each", many...)
	begin("b", many...)
	if r := s.Runs["R1"]; len(r.Tasks) > 3+foreachRunMax {
		t.Errorf("%d tasks", len(r.Tasks))
	}
	end("each", taskSucceeded) // without the ends of its instances
	if last := s.Runs["R1"].task("each[0]"); last == nil || last.State != taskSkipped {
		t.Errorf("%d tasks, %+v, %+v", len(s.Runs["R1"].Tasks), s.Runs["R1"].Tasks[:5], last)
	}
	run := s.Runs["R1"]
	run.State, run.Finished = runFailed, stampOf(stateEpoch)
	c := &storeEncoder{}
	if err := c.addRun(run); err != nil {
		t.Fatal(err)
	}
	again, err := historyDecode(bytes.TrimSuffix(c.take(), []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Tasks) != len(run.Tasks) || again.total() != 3 ||
		!taskRunSame(&again.Tasks[9], &run.Tasks[9]) {
		t.Errorf("the history has %d tasks of %d", len(again.Tasks), len(run.Tasks))
	}
}

// A task with foreach behind one that failed runs again as a whole when its run is queued again.
func TestStateForeachBehind(t *testing.T) {
	t.Parallel()
	s := stateNew()
	spec := &Workflow{ID: "w", Tasks: []Task{{ID: "a"}, {ID: "c"}, {ID: "tidy", Foreach: &Foreach{}, When: whenAlways,
		Depends: []string{"a"}}, {ID: "each", Foreach: &Foreach{}}}}
	for i, e := range []Event{{Kind: evVersion, Version: "v", Spec: spec},
		{Kind: evQueued, Workflow: "w", Version: "v"},
		{Kind: evAssigned}, {Kind: evTaskFinished, Task: "a", State: taskFailed},
		{Kind: evTaskStarted, Task: "tidy", Attempt: 1, Items: []string{"x"}},
		{Kind: evTaskStarted, Task: "each", Attempt: 1, Items: []string{"y"}},
		{Kind: evTaskFinished, Task: "tidy[x]", State: taskSucceeded}, {Kind: evTaskFinished, Task: "each[y]",
			State: taskSucceeded}, {Kind: evTaskFinished, Task: "tidy", State: taskSucceeded},
		{Kind: evTaskFinished, Task: "each", State: taskSucceeded}, {Kind: evRunFinished, State: runFailed},
		{Kind: evRequeued, Attempt: 2}} {
		e.Seq, e.Run, e.Agent, e.Time, e.Lease = uint64(i+1), "R1", "x", stampOf(stateEpoch), 1
		if err := s.apply(&e); err != nil {
			t.Fatal(err)
		}
	}
	r := s.Runs["R1"]
	if r.task("tidy[x]").State != taskWaiting || r.task("each[y]").State != taskSucceeded {
		t.Errorf("tidy[x] is %s, each[y] %s", r.task("tidy[x]").State, r.task("each[y]").State)
	}
}
