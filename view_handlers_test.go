package main

import (
	"fmt"
	"testing"
)

// TestViewRunHandlers: the tasks of handlers come behind those of the graph, in waves of their own, and count for
// nothing in its head.
func TestViewRunHandlers(t *testing.T) {
	spec := handlersWorkflow(Workflow{})
	spec.OnFailure = append(spec.OnFailure, Task{ID: "on_failure.n", Run: "x", Depends: []string{"on_failure.m"}})
	run := &Run{ID: "R", Workflow: "w", State: runRunning, Ending: runFailed, Tasks: []TaskRun{
		{Task: "a", State: taskSucceeded}, {Task: "b", State: taskFailed}}}
	run.addHandlers(spec, spec.handlersFor(runFailed))
	v := &viewRun{}
	v.set(run, spec)
	rows := ""
	for _, r := range v.rows {
		rows += fmt.Sprintf(" %s/%d/%d", r.run.Task, r.depth, r.indent)
	}
	if rows != " a/0/0 b/1/1 on_failure.m/2/0 on_failure.n/3/1 on_exit/4/0" || len(v.waves) != 5 {
		t.Errorf("%d waves, rows%s", len(v.waves), rows)
	}
	counted := ""
	for k, n := range v.counts {
		if n > 0 {
			counted += fmt.Sprintf(" %d %s", n, viewRunStates[k].state)
		}
	}
	if counted != " 1 succeeded 1 failed" || run.done() != 2 || run.total() != 2 {
		t.Errorf("counts %v, %d of %d", v.counts, run.done(), run.total())
	}
}
