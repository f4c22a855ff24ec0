// Tests of what workflows say of each other, and of how a run is queued again of which a task has asked for something.

package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestWorkflowLoops finds a shortest loop of each workflow that would start itself, and no other workflow.
func TestWorkflowLoops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ starts, want string }{
		{"", ""},
		{"a:b b:c", ""},
		{"a:a", "a>a"},
		{"a:b b:a", "a>b>a b>a>b"},
		{"a:b b:c c:b d:a", "b>c>b c>b>c"}, // a only leads to the loop
		{"a:b,c b:d c:a d:a e:x", "a>c>a b>d>a>b c>a>c d>a>b>d"}, // of two loops the shorter
		{"a:!b b:a", "a>b>a b>a>b"},                              // ! is a handler
	} {
		specs := map[string]*Workflow{"broken": nil}
		for _, one := range strings.Fields(c.starts) {
			id, children, _ := strings.Cut(one, ":")
			w := &Workflow{ID: id, Tasks: []Task{{ID: "plain", Run: "x"}}}
			for _, child := range strings.Split(children, ",") {
				if name, handler := strings.CutPrefix(child, "!"); handler {
					w.OnFailure = append(w.OnFailure, Task{ID: child, Workflow: name})
				} else {
					w.Tasks = append(w.Tasks, Task{ID: child, Workflow: child})
				}
			}
			specs[id] = w
		}
		loops := workflowLoops(specs)
		var got []string
		for _, id := range sortedKeys(loops) {
			got = append(got, strings.Join(loops[id], ">"))
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %q, want %q", c.starts, text, c.want)
		}
	}
}

// A workflow that listens to one that is not there has a warning, and loads.
func TestWorkflowListensToNone(t *testing.T) {
	t.Parallel()
	listens := &Workflow{ID: "a", On: []Listener{{Workflow: &ListenWorkflow{ID: "loda"}},
		{Workflow: &ListenWorkflow{ID: "load"}}, {Command: &ListenCommand{Run: "x"}}}}
	files := map[string]*workflowFile{"a": {ID: "a", File: "a.yml", Spec: listens},
		"load": {ID: "load", File: "load.yml"}} // with faults
	checkChildren(files, nil)
	const want = "a.yml: warning: on: workflow loda: there is no such workflow (did you mean \"load\"?)"
	if f := files["a"]; f.Spec != listens || len(f.Faults) != 1 || f.Faults[0].String() != want {
		t.Errorf("%v", f.Faults)
	}
}

// A run of each item that ends that of the item before is warned of.
func TestWorkflowReplacesItems(t *testing.T) {
	t.Parallel()
	no := false
	for _, c := range []struct {
		task    Task
		overlap string
		warned  bool
	}{
		{Task{Foreach: &Foreach{Items: []string{"x", "y"}}}, overlapReplace, true},
		{Task{Foreach: &Foreach{From: "${params.x}"}}, overlapReplace, true},
		{Task{Foreach: &Foreach{Items: []string{"x", "y"}}, MaxParallel: 1, Wait: &no}, overlapReplace, true},
		{Task{Foreach: &Foreach{Items: []string{"x", "y"}}, MaxParallel: 1}, overlapReplace, false},
		{Task{Foreach: &Foreach{Items: []string{"x"}}}, overlapReplace, false},
		{Task{}, overlapReplace, false},
		{Task{Foreach: &Foreach{Items: []string{"x", "y"}}}, overlapQueue, false},
	} {
		c.task.ID, c.task.Workflow = "each", "kid"
		files := map[string]*workflowFile{"a": {ID: "a", File: "a.yml",
			Spec: &Workflow{ID: "a", Tasks: []Task{c.task}}},
			"kid": {ID: "kid", File: "kid.yml", Spec: &Workflow{ID: "kid", Overlap: c.overlap}}}
		checkChildren(files, nil)
		got, want := "", ""
		for _, f := range files["a"].Faults {
			got += f.String()
		}
		if c.warned {
			want = "a.yml: warning: task \"each\": workflow kid: it has overlap: replace, so the run of each item " +
				"would " +
				"end that of the one before: write overlap: queue or allow there"
		}
		if got != want {
			t.Errorf("%+v, %s: %q", c.task, c.overlap, got)
		}
	}
}

// TestWorkflowFamily finds the files of other workflows beside a file: a dot may stand for a folder, and the folder of
// the file may be the front of the id.
func TestWorkflowFamily(t *testing.T) {
	t.Parallel()
	files := map[string]string{"/w/etl/load.yml": "tasks: {a: {workflow: etl.deep.sum}}",
		"/w/etl/deep.sum.yaml": "tasks: {a: {run: x}}", "/w/plain.json": `{"tasks":{"a":{"run":"x"}}}`}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	for _, c := range []struct{ file, starts, want string }{
		{"/w/up.yml", "plain", "plain=/w/plain.json"},
		{"/w/up.yml", "etl.load", "etl.load=/w/etl/load.yml etl.deep.sum=/w/etl/deep.sum.yaml"},
		{"/w/etl/up.yml", "etl.load", "etl.load=/w/etl/load.yml etl.deep.sum=/w/etl/deep.sum.yaml"},
		{"/w/etl/up.yml", "plain", "no file"},
		{"/w/up.yml", "none", "no file"},
	} {
		w := &Workflow{ID: "up", Tasks: []Task{{ID: "t", Workflow: c.starts}}}
		family, err := workflowFamily(context.Background(), w, c.file, read, workflowParse)
		var got []string
		for _, f := range family {
			got = append(got, f.ID+"="+filepath.ToSlash(f.File))
		}
		text := strings.Join(got, " ")
		if err != nil && strings.Contains(err.Error(), "there is no file of it beside "+c.file) {
			text = "no file"
		}
		if text != c.want {
			t.Errorf("%s starts %s: %q (%v), want %q", c.file, c.starts, text, err, c.want)
		}
	}
}

// TestStateAskLeft says what stays of a question when a run is queued again.
func TestStateAskLeft(t *testing.T) {
	t.Parallel()
	yes := &TaskAnswer{State: taskSucceeded}
	for _, c := range []struct {
		name      string
		task      TaskRun
		childEnds bool
		again     Event
		child     string
		answered  bool
	}{
		{"a child that goes on is kept", TaskRun{Child: "C", Ask: &TaskAsk{For: askWorkflow}}, false, Event{}, "C",
			false},
		{"also by hand", TaskRun{Child: "C", Ask: &TaskAsk{For: askWorkflow}}, false, Event{By: "ana"}, "C", false},
		{"and with all", TaskRun{Child: "C", Ask: &TaskAsk{For: askWorkflow}}, false, Event{All: true}, "C", false},
		{"one that has ended is kept", TaskRun{Child: "C", Ask: &TaskAsk{For: askWorkflow}}, true, Event{}, "C", false},
		{"but not with all", TaskRun{Child: "C", Ask: &TaskAsk{For: askWorkflow}}, true, Event{All: true}, "", false},
		{"nor one whose end the task knows", TaskRun{Child: "C"}, true, Event{}, "", false},
		{"an approval that was not heard is kept", TaskRun{Ask: &TaskAsk{For: askApprove, Answer: yes}}, false, Event{},
			"",
			true},
		{"but not by hand", TaskRun{Ask: &TaskAsk{For: askApprove, Answer: yes}}, false, Event{By: "ana"}, "", false},
		{"a question is asked anew", TaskRun{Ask: &TaskAsk{For: askApprove}}, false, Event{}, "", false},
	} {
		s := stateNew()
		c.task.Task, c.task.State = "t", taskCrashed
		s.Versions["v"] = &Workflow{ID: "w", Tasks: []Task{{ID: "t", Approve: "?"}}}
		s.Runs["R"] = &Run{ID: "R", Workflow: "w", Version: "v", State: runCrashed, Tasks: []TaskRun{c.task}}
		s.Runs["C"] = &Run{ID: "C", State: map[bool]string{true: runSucceeded, false: runRunning}[c.childEnds]}
		c.again.Kind, c.again.Run, c.again.Attempt = evRequeued, "R", 2
		if err := s.apply(&c.again); err != nil {
			t.Fatal(err)
		}
		left := s.Runs["R"].Tasks[0]
		if left.Child != c.child || (left.Ask != nil && left.Ask.Answer != nil) != c.answered || left.asking() {
			t.Errorf("%s: %+v, %+v", c.name, left, left.Ask)
		}
		for _, e := range []*Event{{Kind: evAssigned, Agent: "x"}, {Kind: evTaskStarted, Task: "t", Attempt: 1},
			{Kind: evTaskAsked, Task: "t", Attempt: 1, Asks: askApprove}} {
			e.Run, e.Agent, e.Lease = "R", "x", 1
			if err := s.apply(e); err != nil {
				t.Fatal(err)
			}
		}
		if r := s.Runs["R"]; r.Parked == c.answered || r.Tasks[0].asking() == c.answered {
			t.Errorf("%s: asked again, it waits %v", c.name, r.Parked)
		}
	}
}

// TestWorkflowAskFaults: keys that do nothing beside each other are refused, and what is missing is named.
func TestWorkflowAskFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ task, want string }{
		{"workflow: kid, env: {A: b}", "env is for a process, and a task with workflow has none: leave it out"},
		{"approve: Go?, stop_signal: INT",
			"stop_signal is for a process, and a task with approve has none: leave it out"},
		{"approve: Go?, retries: 2", "a person is asked once: leave retries out"},
		{"approve: Go?, approvers: []", "approvers: nobody could approve: name somebody, or leave the key out for " +
			"whoever may operate"},
		{`approve: Go?, approvers: ["uid:x"]`, "approvers: \"uid:x\": want a number behind uid:"},
		{`approve: Go?, approvers: ["a b"]`, "approvers: \"a b\" is no name of a key or a user"},
		{"approve: ' '", "approve is empty: want a question such as Ship to production?"},
		{"run: x, approvers: [ana]", "approvers goes only with approve"},
		{"run: x, wait: false", "wait goes only with workflow"},
		{"run: x, params: {a: b}", "params goes only with workflow"},
		{"workflow: etl/daily.yml", "workflow: want the id of a workflow, not its file: etl/daily.yml is etl.daily"},
		{`workflow: "${params.x}"`, "workflow: ${…} is not replaced here: write the id of a workflow, such as " +
			"etl.daily"},
		{`workflow: kid, params: {a: "${params.x}"}`, `params: a: ${params.x}: there is no parameter "x"`},
		{"workflow: kid, approve: Go?", "has workflow and approve: write only one of them"},
	} {
		_, faults := workflowParse("w.yml", "w", []byte("tasks: {t: {"+c.task+"}}\n"))
		if len(faults) != 1 || !strings.HasSuffix(faults[0].Message, `task "t": `+c.want) {
			t.Errorf("%s: %v, want %s", c.task, faults, c.want)
		}
	}
}
