package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// foreachStates gives a run in short: how it ended, its tasks with their instances, and what the task `all` printed.
func foreachStates(r *Run, lines []string) string {
	text := r.State + ": " + agentStates(r)
	for _, line := range lines {
		if said, ok := strings.CutPrefix(line, "all|o|"); ok {
			text += ", all says " + said
		}
	}
	return text
}

func TestAgentForeachOutcomes(t *testing.T) {
	all := Task{ID: "all", Run: `echo "$K"`, Depends: []string{"a"}}
	list := func(items ...string) *Foreach { return &Foreach{Items: items} }
	workflows := []*Workflow{
		{ID: "list", Tasks: []Task{{ID: "a", Run: `echo "K=$ITEM $CDKTR_TASK_ID" >> "$CDKTR_OUTPUT"`,
			Foreach: list("eu", "us")}, all}},
		{ID: "args", Tasks: []Task{{ID: "a", Cmd: "sh", Args: []string{"-c", `echo "K=$0" >> "$CDKTR_OUTPUT"`,
			"<${item}>"},
			Foreach: list("b c", "${x}")}, all}},
		{ID: "lists", Tasks: []Task{{ID: "a", Run: `echo "K=$ITEM_os-$V" >> "$CDKTR_OUTPUT"`,
			Env: map[string]string{"V": "${item.v}"}, Foreach: &Foreach{Lists: []ForeachList{
				{"os", []string{"linux", "mac"}}, {"v", []string{"1", "2"}}}}}, all}},
		{ID: "params", Params: map[string]Param{"x": {}}, Tasks: []Task{{ID: "a",
			Run:     `echo "K=$ITEM" >> "$CDKTR_OUTPUT"`,
			Foreach: &Foreach{From: "${params.x}"}}, all}},
		{ID: "none", Tasks: []Task{{ID: "a", Run: "exit 1", Foreach: list()}, all}},
		{ID: "fails", Tasks: []Task{{ID: "a", Run: `test "$ITEM" = ok || exit 3; echo "K=$ITEM" >> "$CDKTR_OUTPUT"`,
			Foreach: list("ok", "bad", "ok", "worse"), MaxParallel: 1}, all,
			{ID: "tell", Run: "true", When: whenFailure, Depends: []string{"all"}}}},
		{ID: "some", Tasks: []Task{{ID: "a", Run: `test "$ITEM" = b || echo "K=$ITEM" >> "$CDKTR_OUTPUT"`,
			Foreach: list("a", "b", "c")}, all}},
		{ID: "retried", Tasks: []Task{{ID: "a", Run: `test "$ITEM$CDKTR_ATTEMPT" != b1`, Retries: 1, RetryDelay: 1000,
			Foreach: list("a", "b")}, all}},
		{ID: "repeated", Tasks: []Task{{ID: "a", Run: `test "$ITEM$CDKTR_ATTEMPT" = "b3"`, Foreach: list("b", "c"),
			Repeat: &Repeat{Every: 1000, Times: 4}}}},
		{ID: "outputs", Tasks: []Task{{ID: "z", Run: `printf 'H<<END\nx y\n\nz\nEND\n' > "$CDKTR_OUTPUT"`},
			{ID: "a", Run: `echo "K=$ITEM" >> "$CDKTR_OUTPUT"`, Foreach: &Foreach{From: "${tasks.z.outputs.H}"},
				Depends: []string{"z"}}, all}},
		{ID: "no output", Tasks: []Task{{ID: "z", Run: "true"}, {ID: "a", Run: "true",
			Foreach: &Foreach{From: "${tasks.z.outputs.H}"}, Depends: []string{"z"}}, all}},
		{ID: "one place", MaxActiveTasks: 1, Tasks: []Task{{ID: "a", Run: `echo "K=$ITEM" >> "$CDKTR_OUTPUT"`,
			Foreach: list("a", "b", "c")}, {ID: "b", Run: "true", Foreach: list("x", "y")}, all}},
	}
	h := agentHost(t, &principalLog{}, workflows...)
	for _, c := range []struct {
		id, param, want string
	}{
		{"list", "", `succeeded: a succeeded, all succeeded, a[eu] succeeded, a[us] succeeded, all says ["eu a","us a"]`},
		{"args", "", `succeeded: a succeeded, all succeeded, a[b_c] succeeded, a[__x_] succeeded, ` +
			`all says ["<b c>","<${x}>"]`},
		{"lists", "", `succeeded: a succeeded, all succeeded, a[linux,1] succeeded, a[linux,2] succeeded, ` +
			`a[mac,1] succeeded, a[mac,2] succeeded, all says ["linux-1","linux-2","mac-1","mac-2"]`},
		{"params", `["a", 7, {"n": true}]`, `succeeded: a succeeded, all succeeded, a[a] succeeded, a[7] succeeded, ` +
			`a[true] succeeded, all says ["a","7","{\"n\": true}"]`},
		{"params", `[`, `failed: a failed (foreach: want a JSON list, or one item a line: unexpected end of JSON input), ` +
			`all skipped (a failed)`},
		{"params", `["a", null]`, `failed: a failed (foreach: item 2 is null), all skipped (a failed)`},
		{"params", strings.Repeat("x\n", 1001), `failed: a failed (foreach: there are 1001 items, more than 1000), ` +
			`all skipped (a failed)`},
		{"params", "", `succeeded: a succeeded (foreach has no items), all succeeded, all says `},
		{"none", "", `succeeded: a succeeded (foreach has no items), all succeeded, all says `},
		{"fails", "", `failed: a failed (2 of 4 failed: bad: exit 3), all skipped (a failed), tell succeeded, ` +
			`a[ok] succeeded, a[bad] failed (exit 3), a[ok~3] succeeded, a[worse] failed (exit 3)`},
		{"some", "", `succeeded: a succeeded, all succeeded, a[a] succeeded, a[b] succeeded, a[c] succeeded, ` +
			`all says ["a",null,"c"]`},
		{"retried", "", `succeeded: a succeeded, all succeeded, a[a] succeeded, a[b] succeeded, all says `},
		{"repeated", "", `failed: a failed (1 of 2 failed: c: exit 1; given up after 4 attempts), a[b] succeeded, ` +
			`a[c] failed (exit 1; given up after 4 attempts)`},
		{"outputs", "", `succeeded: z succeeded, a succeeded, all succeeded, a[x_y] succeeded, a[z] succeeded, ` +
			`all says ["x y","z"]`},
		{"no output", "", `failed: z succeeded, a failed (foreach: ${tasks.z.outputs.H} has no value), ` +
			`all skipped (a failed)`},
		{"one place", "", `succeeded: a succeeded, b succeeded, all succeeded, a[a] succeeded, a[b] succeeded, ` +
			`a[c] succeeded, b[x] succeeded, b[y] succeeded, all says ["a","b","c"]`},
	} {
		req := Request{Workflow: c.id}
		if c.id == "params" {
			req.Params = map[string]string{"x": c.param}
		}
		r, lines := agentFollow(t, h, req, nil)
		if got := foreachStates(r, lines); got != c.want {
			t.Errorf("%s %.20q:\n%s\nwant\n%s", c.id, c.param, got, c.want)
		}
		if a := r.task("a"); a.State != taskSucceeded && c.id == "fails" && (a.Exit == nil || *a.Exit != 3) {
			t.Errorf("%s: exit %v", c.id, a.Exit)
		}
	}
}

// Never more instances at once than max_parallel says, and they begin in the order of their items.
func TestAgentForeachMaxParallel(t *testing.T) {
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "sleep 0.05", MaxParallel: 2,
		Foreach: &Foreach{Items: strings.Split("0123456", "")}}}}
	h := agentHost(t, &principalLog{}, w)
	agentFollow(t, h, Request{Workflow: "w"}, nil)
	active, most, order := 0, 0, ""
	if _, err := h.p.store.readEvents(1, 1000, func(e *Event) bool {
		switch {
		case !foreachIs(e.Task, "a"):
		case e.Kind == evTaskStarted:
			active++
			order += strings.Trim(e.Task, "a[]")
		case e.Kind == evTaskFinished:
			active--
		}
		most = max(most, active)
		return true
	}); err != nil || order != "0123456" || most != 2 {
		t.Errorf("order %s, %d at once, %v", order, most, err)
	}
}

// A retry repeats the instances that failed, and hands on what all of them have.
func TestAgentForeachRetry(t *testing.T) {
	w := &Workflow{ID: "w", Retries: 1, Tasks: []Task{
		{ID: "a", Run: `echo "K=$ITEM" >> "$CDKTR_OUTPUT"; echo "$ITEM"; test "$ITEM" != b || test -e "$0.$CDKTR_RUN_ID" || ` +
			`{ : > "$0.$CDKTR_RUN_ID"; exit 1; }`, Shell: "/bin/sh -c",
			Foreach: &Foreach{Items: []string{"a", "b", "c"}}},
		{ID: "all", Run: `echo "$K"`, Depends: []string{"a"}}}}
	w.Tasks[0].Run = strings.ReplaceAll(w.Tasks[0].Run, "$0", t.TempDir()+"/seen")
	h := agentHost(t, &principalLog{}, w)
	r, lines := agentFollow(t, h, Request{Workflow: "w"}, nil)
	want := `succeeded: a succeeded, all succeeded, a[a] succeeded, a[b] succeeded, a[c] succeeded, all says ["a","b","c"]`
	if got := foreachStates(r, lines); got != want || r.Attempt != 2 {
		t.Errorf("attempt %d: %s\nwant %s", r.Attempt, got, want)
	}
	slices.Sort(lines)
	if got := fmt.Sprint(lines); got != `[a[a]|o|a a[b]|o|b a[b]|o|b a[c]|o|c all|o|["a","b","c"]]` {
		t.Errorf("output %s", got)
	}
}

// What instances have handed on in an earlier attempt of the run counts among all that is handed on.
func TestAgentForeachRetryBound(t *testing.T) {
	seen := t.TempDir() + "/seen"
	w := &Workflow{ID: "w", Retries: 1, Tasks: []Task{{ID: "a", MaxParallel: 1,
		Run: `test "$ITEM" != e || test -e ` + seen + ` || { : >` + seen + `; exit 1; }
			printf 'K=%060000d\n' 1 >"$CDKTR_OUTPUT"`,
		Foreach: &Foreach{Items: []string{"a", "b", "c", "d", "e"}}}}}
	h := agentHost(t, &principalLog{}, w)
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
	if e := r.task("a[e]"); r.Attempt != 2 || e.Reason != "outputs of this run are "+outputsRunText {
		t.Errorf("attempt %d: %s", r.Attempt, e.Reason)
	}
}

// Keys of others hold for each instance: `if`, allow_failure.
func TestAgentForeachWith(t *testing.T) {
	list := &Foreach{Items: []string{"a", "b"}}
	codes := func(text string) ExitCodes {
		w, faults := workflowParse("w.yml", "w", []byte("tasks:\n  a: {run: x, allow_failure: "+text+"}\n"))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return w.Tasks[0].AllowFailure
	}
	workflows := []*Workflow{
		{ID: "if", Tasks: []Task{{ID: "a", If: `test "$ITEM" = b`, Run: "true", Foreach: list},
			{ID: "all", Run: "true", Depends: []string{"a"}}}},
		{ID: "allowed", Tasks: []Task{{ID: "a", AllowFailure: codes("true"), Run: `test "$ITEM" = b`, Foreach: list},
			{ID: "all", Run: "true", Depends: []string{"a"}}}},
		{ID: "child", Params: map[string]Param{"x": {Required: true}}, Tasks: []Task{
			{ID: "c", Run: `test "$PARAM_X" != "<c>" && echo "K=$PARAM_X" >> "$CDKTR_OUTPUT"`}}},
		{ID: "children", Tasks: []Task{{ID: "a", Workflow: "child", Params: map[string]string{"x": "<${item}>"},
			Foreach: list}, {ID: "all", Run: `echo "$K"`, Depends: []string{"a"}}}},
		{ID: "children fail", Tasks: []Task{{ID: "a", Workflow: "child", Params: map[string]string{"x": "<${item}>"},
			MaxParallel: 1, Foreach: &Foreach{Items: []string{"b", "c", "d"}}}}},
		{ID: "allowed some", Tasks: []Task{{ID: "a", AllowFailure: codes("[3]"), Foreach: list,
			Run: `test "$ITEM" = b || exit 3; exit 4`}, {ID: "all", Run: "true", Depends: []string{"a"}}}},
	}
	h := agentHost(t, &principalLog{}, workflows...)
	for id, want := range map[string]string{
		"if":       "succeeded: a succeeded, all succeeded, a[a] skipped (if: exit 1), a[b] succeeded",
		"children": `succeeded: a succeeded, all succeeded, a[a] succeeded, a[b] succeeded, all says ["<a>","<b>"]`,
		"children fail": "failed: a failed (1 of 3 failed: c: RUN of child failed: task c: exit 1), a[b] succeeded, " +
			"a[c] failed (RUN of child failed: task c: exit 1), a[d] succeeded",
		"allowed": "succeeded: a failed (1 of 2 failed: a: exit 1), all succeeded, a[a] failed (exit 1), " +
			"a[b] succeeded",
		"allowed some": "failed: a failed (2 of 2 failed: b: exit 4), all skipped (a failed), a[a] failed (exit 3), " +
			"a[b] failed (exit 4)",
	} {
		r, lines := agentFollow(t, h, Request{Workflow: id}, nil)
		got := regexp.MustCompile("run [0-9A-Z]{26}").ReplaceAllString(foreachStates(r, lines), "RUN")
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", id, got, want)
		}
	}
}

// The end of the run's timeout ends a task with foreach or repeat, and what cleans up behind it runs, also as one with
// foreach. Instances that have not begun never do.
func TestAgentForeachTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		later := Task{ID: "a", Cmd: "/no/such/program", Retries: 100, RetryDelay: Duration(10 * time.Minute),
			Foreach: &Foreach{Items: []string{"x", "y", "z"}}, MaxParallel: 2}
		watch := Task{ID: "w", Cmd: "/no/such/program", Repeat: &Repeat{Every: Duration(time.Hour)}}
		g.assign("R1", 1, Workflow{Timeout: Duration(time.Minute), Tasks: []Task{later, watch,
			{ID: "tidy", Cmd: "/no/such/program", When: whenAlways, Depends: []string{"a"},
				Foreach: &Foreach{Items: []string{"1", "2"}}}, {ID: "b", Cmd: "/x", Depends: []string{"w"}}}})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := g.events("R1")
		for _, want := range []string{"task.finished a[x] failed", "task.finished a[y] failed",
			"task.finished a failed",
			"task.finished w failed", "task.finished tidy[1] failed", "task.finished tidy[2] failed",
			"task.finished tidy failed", "task.finished b skipped"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("not once: %s", want)
			}
		}
		if e := g.lastEvent("R1"); strings.Contains(got, "a[z]") || e.Kind != evRunFinished ||
			e.Reason != "timed out after 1m" {
			t.Errorf("said: %s (%s)", got, e.Reason)
		}
		g.end()
	})
}

// A run is cancelled, or its agent stops, while instances wait for their next attempt, and others have not begun.
func TestAgentForeachStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		each := Task{ID: "a", Cmd: "/no/such/program", Retries: 100, RetryDelay: Duration(10 * time.Minute),
			Foreach: &Foreach{Items: []string{"x", "y", "z"}}, MaxParallel: 2}
		g.assign("R1", 1, Workflow{Tasks: []Task{each, {ID: "b", Cmd: "/x", Depends: []string{"a"}}}})
		time.Sleep(time.Minute)
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "cancelled by me"})
		got := g.events("R1")
		if !strings.Contains(got, "task.finished a[x] cancelled, task.finished a[y] cancelled, task.finished a "+
			"cancelled") ||
			strings.Contains(got, "a[z]") || !strings.HasSuffix(got, "run.finished cancelled") {
			t.Errorf("cancelled: %s", got)
		}
		g.assign("R2", 1, Workflow{Tasks: []Task{each}})
		time.Sleep(time.Minute)
		stop := func(task string) {
			g.say(&agentMsg{Op: msgStopTask, Run: "R2", Lease: 1, Task: task, Reason: "cancelled by me"})
		}
		stop("a[y]")
		time.Sleep(time.Second)
		stop("a[none]")
		stop("a")
		time.Sleep(time.Second)
		got = g.events("R2")
		if !strings.Contains(got, "task.finished a[y] cancelled") || !strings.Contains(got, "task.started a[z]") ||
			!strings.HasSuffix(got, "task.finished a[x] cancelled, task.finished a[z] cancelled, task.finished a "+
				"cancelled, "+
				"run.finished failed") {
			t.Errorf("its task is cancelled: %s", got)
		}
		g.end()
	})
}

// A task whose instances have all succeeded has succeeded, though somebody or something was about to stop it.
func TestAgentForeachStoppedLate(t *testing.T) {
	a := &agent{cfg: agentConfig{now: time.Now, count: time.Now}}
	for name, c := range map[string]struct {
		run  *agentRun
		fan  taskFan
		want string // where the second instance did not end well
	}{
		"run cancelled": {&agentRun{stopState: runCancelled, stopReason: "why"}, taskFan{cut: "why"}, "cancelled why"},
		"run crashed":   {&agentRun{stopState: runCrashed, stopReason: "why"}, taskFan{cut: "why"}, "crashed why"},
		"task stopped":  {&agentRun{}, taskFan{cut: "why", stopped: true}, "cancelled why"},
		"run timed out": {&agentRun{late: "why"}, taskFan{cut: "why"}, "failed why"},
	} {
		for _, all := range []bool{true, false} {
			f, want := c.fan, "succeeded  [\"1\",\"2\"]"
			f.run, f.of, f.items = c.run, &Task{ID: "a"}, make([]foreachItem, 2)
			f.outputs, f.done = []map[string]string{{"K": "1"}, {"K": "2"}}, []bool{true, all}
			if !all {
				f.failed, f.outputs[1], want = 1, nil, c.want+" "
			}
			e := f.over(a)
			if got := e.State + " " + e.Reason + " " + e.Outputs["K"]; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
}
