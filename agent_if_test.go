// Tests of conditions on an agent: what an `if` is given, what counts as its answer, and how often it is asked.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestIfSkips says which ends of an `if` are a no; all others but success are no answer.
func TestIfSkips(t *testing.T) {
	for _, c := range []struct {
		res  procResult
		want bool
	}{
		{procResult{Exit: 1, Exited: true, Reason: "exit 1"}, true},
		{procResult{Exit: 125, Exited: true, Reason: "exit 125"}, true},
		{procResult{Exit: 0, Exited: true}, false},
		{procResult{Exit: 126, Exited: true, Reason: "exit 126"}, false},
		{procResult{Exit: 127, Exited: true, Reason: "exit 127"}, false},
		{procResult{Exit: 1, TimedOut: true, Reason: "timed out after 1m"}, false},
		{procResult{Exit: 1, Stopped: true, Reason: "cancelled"}, false},
		{procResult{Exit: procNoExit, Reason: "no such file"}, false},
	} {
		if got := ifSkips(c.res); got != c.want {
			t.Errorf("%+v: %v", c.res, got)
		}
	}
}

// TestAllows says which failures of a task are allowed.
func TestAllows(t *testing.T) {
	exit3 := procResult{Exit: 3, Exited: true, Reason: "exit 3"}
	killed := procResult{Exit: 137, Signal: "SIGKILL", Reason: "signal SIGKILL"}
	late := procResult{Exit: 3, TimedOut: true, Reason: "timed out after 1s"}
	for _, c := range []struct {
		codes ExitCodes
		res   procResult
		want  bool
	}{
		{nil, exit3, false}, {ExitCodes{}, exit3, true}, {ExitCodes{}, killed, true}, {ExitCodes{}, late, true},
		{ExitCodes{1, 3}, exit3, true}, {ExitCodes{1, 4}, exit3, false}, {ExitCodes{137}, killed, false},
		{ExitCodes{3}, late, false},
	} {
		if got := (&taskTry{of: &Task{ID: "a", AllowFailure: c.codes}}).allows(c.res); got != c.want {
			t.Errorf("%v, %+v: %v", c.codes, c.res, got)
		}
	}
}

// TestIfIsGiven: the condition of a task has its environment, folder, shell and umask, but a time of its own, no input
// and no file for outputs, and it needs none of the values that only the task itself does.
func TestIfIsGiven(t *testing.T) {
	g, dir := &agent{environ: newEnvironBase(nil)}, t.TempDir()
	g.cfg.StateDir = dir
	task := Task{ID: "b", If: "test -n \"$K\"", Shell: "bash -c", Depends: []string{"a"}, Stdin: "yes\n", Umask: "027",
		Timeout: Duration(time.Second), Env: map[string]string{"WHO": "me"},
		Python: &Python{Script: "${tasks.a.outputs.NONE}", WorkingDirectory: "/py"}}
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "x"}, task}}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	r := &agentRun{as: &assignment{Run: "R1", Spec: w}, tries: map[int]*taskTry{},
		agentWalk: agentWalk{tasks: w.Tasks, dag: d,
			outputs: []taskOutputs{{values: map[string]string{"K": "v"}}, {}}}}
	try := &taskTry{run: r, of: &w.Tasks[1], index: 1, attempt: 1}
	start := &attemptStart{t: try, task: try.task(), guards: try.guards(), run: r.as, walk: r.agentWalk, index: 1,
		attempt: 1, output: filepath.Join(dir, "o"), since: time.Now()}
	spec, _, err := g.procSpecOf(&step{}, start)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(spec.Argv, []string{"bash", "-c", task.If}) || spec.Dir != "/py" || spec.Timeout != time.Minute ||
		!spec.Begun.IsZero() || spec.Stdin != "" || spec.Umask != "027" {
		t.Errorf("%+v", spec)
	}
	for _, want := range []string{"K=v", "WHO=me", "CDKTR_TASK_ID=b", "CDKTR_ATTEMPT=1", "CDKTR_OUTPUT=/dev/null"} {
		if !slices.Contains(spec.Env, want) {
			t.Errorf("%s is not in %q", want, spec.Env)
		}
	}
	try.passed, start.guards = true, false
	if _, _, err := g.procSpecOf(&step{}, start); try.guards() || err == nil || !strings.Contains(err.Error(), "NONE") {
		t.Errorf("the task itself: %v", err)
	}
}

// TestIfEvent: whatever of a run is asked has the event that fired it, with its paths beside the attempt's outputs.
func TestIfEvent(t *testing.T) {
	g, dir := &agent{environ: newEnvironBase(nil)}, t.TempDir()
	g.cfg.StateDir = dir
	w := &Workflow{ID: "w", If: "x", Tasks: []Task{{ID: "a", If: "x", Run: "x", Repeat: &Repeat{Every: 1, Until: "x"}}}}
	d, err := dagBuild(w.Tasks)
	if err != nil {
		t.Fatal(err)
	}
	r := &agentRun{as: &assignment{Run: "R1", Spec: w, Event: &RunEvent{Kind: listenOnFile,
		Paths: []string{"/p", "/q"}}},
		agentWalk: agentWalk{tasks: w.Tasks, dag: d, outputs: make([]taskOutputs, 1)}}
	r.guard = &Task{If: w.If}
	for name, start := range map[string]*attemptStart{
		"of a run":  {task: r.guard, guards: true, index: ifOfRun, output: filepath.Join(dir, "R1.if")},
		"of a task": {task: &w.Tasks[0], guards: true, output: filepath.Join(dir, "o1")},
		"until":     {task: &w.Tasks[0], asks: &repeatAsk{}, output: filepath.Join(dir, "o2")},
	} {
		start.t = &taskTry{run: r, of: start.task, index: start.index}
		start.run, start.walk = r.as, r.agentWalk
		spec, _, err := g.procSpecOf(&step{}, start)
		if err != nil || !slices.Contains(spec.Env, "EVENT_PATHS="+eventPaths(start.output)) ||
			!slices.Contains(spec.Env, "CDKTR_OUTPUT=/dev/null") {
			t.Errorf("%s: %v, %q", name, err, spec.Env)
		}
		if text, err := os.ReadFile(eventPaths(start.output)); string(text) != "/p\n/q\n" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// TestIfOnce: a condition that says yes is asked before the first attempt, and before no other one; one that says no
// ends the task, whatever other attempts it might have had.
func TestIfOnce(t *testing.T) {
	asked := filepath.Join(t.TempDir(), "asked")
	note := "echo $CDKTR_TASK_ID >> " + asked
	h := agentHost(t, &principalLog{}, &Workflow{ID: "w", Tasks: []Task{
		{ID: "tried", If: note, Run: `test "$CDKTR_ATTEMPT" = 3`, Retries: 4},
		{ID: "repeated", If: note, Run: `test "$CDKTR_ATTEMPT" = 3`,
			Repeat: &Repeat{Every: Duration(time.Millisecond)}},
		{ID: "no", If: note + "; exit 9", Run: "exit 1", Retries: 4},
		{ID: "never", If: note + "; exit 9", Run: "exit 1", Repeat: &Repeat{Every: 1, Until: "true"}},
		{ID: "deaf", If: note + "; exit 200", Run: "true", AllowFailure: ExitCodes{},
			Repeat: &Repeat{Every: 1, Until: "true"}},
		{ID: "join", Run: "true", Depends: []string{"no", "never", "deaf"}}}})
	r, _ := agentFollow(t, h, Request{Op: "run", Workflow: "w"}, nil)
	var got []string
	for _, task := range r.Tasks {
		got = append(got, strings.TrimSpace(task.Task+" "+task.shownState()+" "+task.Reason))
	}
	want := []string{"tried succeeded", "repeated succeeded", "no skipped if: exit 9", "never skipped if: exit 9",
		"deaf allowed if: exit 200", "join succeeded"}
	if r.State != runSucceeded || !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", r.State, got, want)
	}
	text, err := os.ReadFile(asked)
	lines := strings.Fields(string(text))
	slices.Sort(lines)
	if want := []string{"deaf", "never", "no", "repeated", "tried"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("asked: %q, %v, want %q", lines, err, want)
	}
}

// TestIfNotBegun: a condition that could not be begun has said nothing: the attempt has failed, and the next one asks.
// What comes of an answer is dropped when somebody has stopped the task meanwhile.
func TestIfNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{Tasks: []Task{{ID: "a", Cmd: "/no/such/program", If: "x", Shell: "/no/such/shell",
			Retries: 5, RetryDelay: Duration(time.Minute)}}})
		e := g.lastEvent("R1")
		if e.Kind != evTaskRetrying || !strings.HasPrefix(e.Reason, "if: ") ||
			!strings.Contains(e.Reason, "/no/such/shell") {
			t.Errorf("%+v", e)
		}
		g.do(func() {
			try := g.a.runs["R1"].tries[0]
			if !try.guards() || try.guarding {
				t.Errorf("guards %v, guarding %v", try.guards(), try.guarding)
			}
			try.timer.Stop()
			try.timer, try.stopped, try.guarding = nil, "cancelled by ana", true
			ifAsker{g.a}.answered(try, procResult{Exited: true})
			if try.step != nil {
				t.Error("it begins though it was stopped")
			}
		})
		if events := g.events("R1"); !strings.HasSuffix(events, "run.finished failed") ||
			!strings.Contains(events, "cancelled") {
			t.Errorf("events %s", events)
		}
		g.end()
	})
}
