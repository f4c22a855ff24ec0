// Tests of what a person says in the UI to a task that waits for that.

package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestTuiApprove says yes and no on the screen of a run and on that of what needs a person, each after a question, and
// only to what waits for it; c leads to the run of a task.
func TestTuiApprove(t *testing.T) {
	const id = "01KJ00000000000000R0001280"
	for _, c := range []struct{ keys, asks, says string }{
		{"A", "", "Approve ship of R0001280?"},
		{"A", "", "Waiting for approval: Ship 7?"},
		{"A y", "", "comment (enter: none): "},
		{"A y", "", "enter done  esc leave"},
		{"A y enter", "approve " + id + " ship", "approve ship of R0001280: asked"},
		{"A y text:all space text:well space enter", "approve " + id + " ship: all well", ""},
		{"A y esc", "", "approve ship of R0001280: not sent"},
		{"A enter", "", ""},
		{"R y text:red enter", "reject " + id + " ship: red", "reject ship of R0001280: asked"},
		{"", "", "o pool"},
		{"", "", "o 1 at a pool"},
		{"", "", "? ask"},
		{"", "", "started by task top of run R0001270"},
		{"g A", "", "this does not wait for approval"},
		{"g", "", "> child"},
		{"g", "", "waiting for run 01KJ00000000000000R0001281"},
	} {
		g := tuiRigOpen(t, 120, 40, tuiFixture())
		g.keys("2 enter")
		run := tuiTestRun(1280, "site11-sync", runRunning, "2026-03-04 12:02:17", 0, "edge-07", "")
		run.Parent, run.ParentTask, run.Parked = "01KJ00000000000000R0001270", "top", true
		for _, task := range []TaskRun{{Task: "load", Child: "01KJ00000000000000R0001281",
			Ask: &TaskAsk{For: askWorkflow}},
			{Task: "tape", State: taskWaiting, Ask: &TaskAsk{For: askPool}},
			{Task: "ship", Ask: &TaskAsk{For: askApprove, Text: "Ship 7?"}}} {
			if task.State == "" {
				task.State, task.Attempts, task.Started = taskRunning, 1, run.Started
			}
			run.Tasks = append(run.Tasks, task)
		}
		g.reply("show", &Reply{Runs: []*Run{run}, Spec: &Workflow{ID: "site11-sync",
			Tasks: []Task{{ID: "load", Workflow: "etl"}, {ID: "tape", Run: "tar"}, {ID: "ship", Approve: "Ship 7?"}}}})
		if at := g.u.screen().(*tuiRunScreen).view.Selected; at != "ship" {
			t.Errorf("%s is selected, not what waits for a person", at)
		}
		g.asked()
		g.keys("G " + c.keys)
		if got := g.asked(); got != c.asks {
			t.Errorf("%s asks %q, want %q", c.keys, got, c.asks)
		}
		g.shows(c.says)
	}
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("0")
	g.reply("attention", &Reply{Items: []AttentionItem{{Key: "approve:" + id + ":ship", Kind: attentionApprove,
		Workflow: "site11-sync", Task: "ship", Reason: "waiting for approval: Ship 7?", Runs: []string{id}, Count: 1}}})
	g.shows("? approve   site11-sync ship")
	g.asked()
	g.keys("R y text:no enter")
	if got := g.asked(); got != "reject "+id+" ship: no" {
		t.Errorf("asked %q", got)
	}
}

// TestTuiRunsTree: the list of runs has those that tasks have started below the run of the task, in both directions of
// time, and each by itself in any other order and where the parent is filtered out.
func TestTuiRunsTree(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	r := &Reply{Seq: 88124}
	for n, parent := range map[int]int{1290: 0, 1291: 1290, 1292: 1291, 1293: 1290, 1294: 0, 1295: 1111} {
		run := tuiTestRun(n, fmt.Sprintf("w%d", n), runRunning, "2026-03-04 12:03:00", 0, "edge-07", "")
		if parent > 0 {
			run.Parent = tuiTestRun(parent, "", "", "2026-03-04 12:03:00", 0, "", "").ID
		}
		r.Rows = append(r.Rows, RunRow{Run: run, Total: 9})
	}
	g.u.model.apply(r)
	g.keys("2")
	rows := func() string {
		var names []string
		for line := range strings.Lines(g.screen()) {
			if at := strings.Index(line, "w12"); at > 0 && strings.Contains(line, "* run") {
				names = append(names, line[strings.Index(line, "R000")+len("R000129"):at+len("w1290")])
			}
		}
		return strings.Join(names, ",")
	}
	for _, c := range []struct{ keys, want string }{
		{"", "5 w1295,4 w1294,0 w1290,1   w1291,2     w1292,3   w1293"},
		{"S", "0 w1290,1   w1291,2     w1292,3   w1293,4 w1294,5 w1295"},
		{"S s", "0 w1290,1 w1291,2 w1292,3 w1293,4 w1294,5 w1295"},
		{"s s s / text:!w1290 enter", "5 w1295,4 w1294,3 w1293,1 w1291,2   w1292"},
	} {
		g.keys(c.keys)
		if got := rows(); got != c.want {
			t.Errorf("%s: %s, want %s", c.keys, got, c.want)
		}
	}
}
