package main

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// viewEachRun is a run with a task that has so many instances: a third has succeeded, one failed, two are at work.
func viewEachRun(n int) (*Run, *Workflow) {
	spec := &Workflow{ID: "w", Tasks: []Task{{ID: "list"}, {ID: "ship", Depends: []string{"list"}, Foreach: &Foreach{}},
		{ID: "after", Depends: []string{"ship"}}}}
	began := stampOf(time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC))
	run := &Run{ID: runID(began.Time, ""), Workflow: "w", State: runRunning, Attempt: 1, Started: began,
		Tasks: []TaskRun{
			{Task: "list", State: taskSucceeded, Attempts: 1, Started: began, Finished: began},
			{Task: "ship", State: taskRunning, Attempts: 1, Started: began}, {Task: "after", State: taskWaiting}}}
	exit := 3
	for i := range n {
		t := TaskRun{Task: foreachInstance("ship", "host"+strconv.Itoa(i+1)), Of: "ship", State: taskWaiting}
		switch {
		case i == 1:
			t.State, t.Exit, t.Reason = taskFailed, &exit, "exit 3"
		case i < n/3:
			t.State = taskSucceeded
		case i < n/3+2:
			t.State = taskRunning
		}
		if t.State != taskWaiting {
			t.Attempts, t.Started = 1, began
		}
		run.Tasks = append(run.Tasks, t)
	}
	return run, spec
}

func viewEachText(v *viewRun, w, h int) string {
	g := termGridNew(w, h)
	v.draw(g, viewArea{0, 0, w, h}, nil)
	return viewPicture(g)
}

// A task with foreach is one row with counts and a bar; opened, its instances stand below it, and 1,000 scroll.
func TestViewRunEach(t *testing.T) {
	t.Parallel()
	run, spec := viewEachRun(1000)
	v := &viewRun{Now: run.Started.Add(time.Minute)}
	v.set(run, spec)
	v.Selected = "ship"
	text := viewEachText(v, 120, 30)
	for _, want := range []string{"3 tasks", "1/3", "x1000", "###....... 333/1000, 1 failed  list",
		"1 failed, 332 succeeded, 2 running, 665 waiting"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "[host") || !v.fold() {
		t.Errorf("it is open at first:\n%s", text)
	}
	for range 400 {
		v.move(1)
	}
	text = viewEachText(v, 120, 30)
	if v.Selected != "ship[host400]" || !strings.Contains(text, ">      [host400]") ||
		!strings.Contains(text, " of 1003") ||
		!strings.Contains(text, "3 tasks") {
		t.Errorf("400 down, on %s:\n%s", v.Selected, text)
	}
	v.moveTo(true)
	if v.Selected != "after" {
		t.Errorf("the last is %s", v.Selected)
	}
	v.Selected = "ship[host7]"
	v.Mode = viewRunWave
	if text := viewEachText(v, 120, 30); strings.Contains(text, "[host") {
		t.Errorf("waves have instances:\n%s", text)
	}
	v.Mode = viewRunTime
	if text := viewEachText(v, 120, 30); !strings.Contains(text, "[host7]") {
		t.Errorf("the timeline has none:\n%s", text)
	}
	if !v.fold() || v.Selected != "ship" || len(v.rows) != 3 {
		t.Errorf("closed from an instance, on %s, %d rows", v.Selected, len(v.rows))
	}
	v.Selected = "list"
	if v.fold() {
		t.Error("a task without foreach opens")
	}
	v.openMatching(func(t *TaskRun) bool { return t.State == taskFailed })
	v.find(1, true, func(t *TaskRun) bool { return t.State == taskFailed })
	if v.Selected != "ship[host2]" {
		t.Errorf("a search for what failed finds %s", v.Selected)
	}
	v.set(run, nil) // the workflow is not known
	if v.Selected != "ship[host2]" || len(v.rows) != 1003 {
		t.Errorf("without the workflow: on %s, %d rows", v.Selected, len(v.rows))
	}
}
