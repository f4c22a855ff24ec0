package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// dagTasks reads tasks in short: "load:fetch,audit?failure" is the task load, after fetch and audit, when: failure.
func dagTasks(specs ...string) []Task {
	tasks := []Task{}
	for _, spec := range specs {
		spec, when, _ := strings.Cut(spec, "?")
		id, deps, _ := strings.Cut(spec, ":")
		task := Task{ID: id, When: when}
		if deps != "" {
			task.Depends = strings.Split(deps, ",")
		}
		tasks = append(tasks, task)
	}
	return tasks
}

func dagOf(t testing.TB, specs ...string) *dag {
	t.Helper()
	d, err := dagBuild(dagTasks(specs...))
	if err != nil {
		t.Fatalf("build %v: %v", specs, err)
	}
	return d
}

// dagNames joins the ids of tasks.
func dagNames(d *dag, tasks []int) string {
	names := make([]string, len(tasks))
	for k, i := range tasks {
		names[k] = d.ids[i]
	}
	return strings.Join(names, " ")
}

func dagSkips(d *dag, skips []dagSkip) string {
	texts := make([]string, len(skips))
	for k, s := range skips {
		texts[k] = d.ids[s.Task] + "(" + s.Reason + ")"
	}
	return strings.Join(texts, " ")
}

func TestDagStructure(t *testing.T) {
	for _, c := range []struct {
		name   string
		tasks  []string
		order  string
		depths []int // in the order of the file
	}{
		{"empty", nil, "", []int{}},
		{"single", []string{"a"}, "a", []int{0}},
		{"chain written backwards", []string{"c:b", "b:a", "a"}, "a b c", []int{2, 1, 0}},
		{"the file breaks ties, not the depth", []string{"a", "b:a", "c:b", "d"}, "a b c d", []int{0, 1, 2, 0}},
		{"a task freed late goes before later ones", []string{"b:z", "z", "c"}, "z b c", []int{1, 0, 0}},
		{"diamond with a long side", []string{"a", "b:a", "c:b", "d:a,c"}, "a b c d", []int{0, 1, 2, 3}},
		{"and with the long side named first", []string{"a", "b:a", "c:b", "d:c,a"}, "a b c d", []int{0, 1, 2, 3}},
		{"a name given twice", []string{"a", "b:a,a"}, "a b", []int{0, 1}},
	} {
		d := dagOf(t, c.tasks...)
		if got := dagNames(d, d.order()); got != c.order {
			t.Errorf("%s: order %q, want %q", c.name, got, c.order)
		}
		for i, want := range c.depths {
			if d.depth(i) != want {
				t.Errorf("%s: depth of %s is %d, want %d", c.name, d.ids[i], d.depth(i), want)
			}
		}
	}

	d := dagOf(t, "a", "b:a", "c:a", "d:c,b,c", "e")
	if got := dagNames(d, d.deps(3)); got != "c b" {
		t.Errorf("deps of d: %q, want them as the file has them, once", got)
	}
	if got := dagNames(d, d.down[0]); got != "b c" {
		t.Errorf("children of a: %q", got)
	}
	before := map[string]string{"b": "a", "c": "a", "d": "a b c"}
	for i, of := range d.ids {
		for j, id := range d.ids {
			if want := slices.Contains(strings.Fields(before[of]), id); d.ancestor(j, i) != want {
				t.Errorf("ancestor(%s, %s) is %v", id, of, !want)
			}
		}
	}
}

func TestDagFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks []string
		want  string // index/dependency: text
	}{
		{"unknown, near", []string{"transform", "load:transfrom"},
			`1/0: task "load": depends on "transfrom", which is not a task here (did you mean "transform"?)`},
		{"unknown, far", []string{"a", "load:a,elsewhere"},
			`1/1: task "load": depends on "elsewhere", which is not a task here`},
		{"never means itself", []string{"load:loed",
			"x"}, `0/0: task "load": depends on "loed", which is not a task here`},
		{"too long to guess at", []string{strings.Repeat("x", 200), "a:" + strings.Repeat("x", 199)},
			`1/0: task "a": depends on "` + strings.Repeat("x", 199) + `", which is not a task here`},
		{"twice", []string{"a", "b", "a"}, `2/-1: task "a": another task has this id: give one of them a new one`},
		{"itself", []string{"a", "b:a,b"}, `1/1: task "b": depends on itself`},
		{"all in the order of the file", []string{"a:a", "b:qqqq", "a"}, `0/0: task "a": depends on itself` + "\n" +
			`1/0: task "b": depends on "qqqq", which is not a task here` + "\n" +
			`2/-1: task "a": another task has this id: give one of them a new one`},
		{"circle of two", []string{"b:a", "a:b"}, `0/-1: tasks depend on each other in a circle: b -> a -> b`},
		{"circle of three, behind a root, with a tail", []string{"tail:c", "root", "a:b,root", "b:c", "c:a"},
			`2/-1: tasks depend on each other in a circle: a -> b -> c -> a`},
		{"the shortest circle", []string{"a:b", "b:c", "c:a,y", "x:y", "y:x"},
			`3/-1: tasks depend on each other in a circle: x -> y -> x`},
		{"of equal triangles the first", []string{"t:x", "a:b", "x:y", "b:c", "y:z", "c:a", "z:x"},
			`1/-1: tasks depend on each other in a circle: a -> b -> c -> a`},
		{"of equals the first", []string{"t:b", "a:c", "b:d", "c:a", "d:b"},
			`1/-1: tasks depend on each other in a circle: a -> c -> a`},
	} {
		d, err := dagBuild(dagTasks(c.tasks...))
		var faults dagErrors
		if d != nil || !errors.As(err, &faults) {
			t.Errorf("%s: got %v, %v, want dagErrors", c.name, d, err)
			continue
		}
		var lines []string
		for _, f := range faults {
			lines = append(lines, fmt.Sprintf("%d/%d: %s", f.Index, f.Depends, f.Error()))
			if id, _, _ := strings.Cut(c.tasks[f.Index], ":"); f.Task != id {
				t.Errorf("%s: fault of task %q, but index %d is %q", c.name, f.Task, f.Index, id)
			}
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestDagBounds(t *testing.T) {
	t.Parallel()
	tasks := make([]Task, dagMaxTasks+1)
	for i := range tasks {
		tasks[i] = Task{ID: fmt.Sprint("t", i), Depends: []string{"nowhere"}}
	}
	_, err := dagBuild(tasks)
	if err == nil || !strings.Contains(err.Error(), "there are 10001 tasks, more than 10000") {
		t.Errorf("too many tasks: %v", err)
	}
	_, err = dagBuild(tasks[:dagMaxTasks])
	if faults, ok := errors.AsType[dagErrors](err); !ok || len(faults) != dagMaxFaults {
		t.Errorf("%d faults, want the first %d", len(faults), dagMaxFaults)
	}
	for i := range tasks[:dagMaxTasks] {
		tasks[i].Depends = nil
		if i > 0 {
			tasks[i].Depends = []string{tasks[i-1].ID}
		}
	}
	d, err := dagBuild(tasks[:dagMaxTasks])
	if err != nil || d.depth(dagMaxTasks-1) != dagMaxTasks-1 || !d.ancestor(0, dagMaxTasks-1) {
		t.Errorf("a chain of the most tasks: %v", err)
	}
	tasks[0].Depends = []string{tasks[dagMaxTasks-1].ID}
	_, err = dagBuild(tasks[:dagMaxTasks]) // the search for a shorter one must give up in time
	if faults, ok := errors.AsType[dagErrors](err); !ok || len(faults[0].Circle) != dagMaxTasks {
		t.Error("the circle of the most tasks was not named whole")
	}
}

// dagFate gives what end is told of a task with that fate: a state, and " allowed" behind it if it is.
func dagFate(d *dag, id, fate string) (i int, state string, allowed bool) {
	state, allowed = strings.CutSuffix(fate, " allowed")
	return slices.Index(d.ids, id), state, allowed
}

// TestDagShapes plays runs of small graphs. A step is what the caller says and what it must hear:
// "a failed => ready tasks | skipped tasks with reasons".
func TestDagShapes(t *testing.T) {
	for _, c := range []struct {
		name    string
		tasks   []string
		begin   string
		steps   []string
		outcome string
	}{
		{"empty", nil, " | ", nil, "succeeded -"},
		{"single", []string{"a"}, "a | ", []string{"a succeeded =>  | "}, "succeeded -"},
		{"single fails", []string{"a"}, "a | ", []string{"a failed =>  | "}, "failed a"},
		{"single crashes", []string{"a"}, "a | ", []string{"a crashed =>  | "}, "failed a"},
		{"single cancelled", []string{"a"}, "a | ", []string{"a cancelled =>  | "}, "failed a"},
		{"chain", []string{"a", "b:a", "c:b"}, "a | ",
			[]string{"a succeeded => b | ", "b succeeded => c | ", "c succeeded =>  | "}, "succeeded -"},
		{"chain whose root fails", []string{"a", "b:a", "c:b"}, "a | ",
			[]string{"a failed =>  | b(a failed) c(b was skipped)"}, "failed a"},
		{"chain whose root crashes", []string{"a", "b:a"}, "a | ", []string{"a crashed =>  | b(a crashed)"},
			"failed a"},
		{"chain whose root is cancelled", []string{"a", "b:a", "f:a?failure", "z:a?always"}, "a | ",
			[]string{"a cancelled => f z | b(a was cancelled)", "z succeeded =>  | ", "f succeeded =>  | "},
			"failed a"},
		{"fan-out", []string{"a", "b:a", "c:a", "d:a"}, "a | ",
			[]string{"a succeeded => b c d | ", "c failed =>  | ", "d succeeded =>  | ", "b succeeded =>  | "},
			"failed c"},
		{"fan-in starts once, after all", []string{"a", "b", "c", "d:a,b,c"}, "a b c | ",
			[]string{"c succeeded =>  | ", "a succeeded =>  | ", "b succeeded => d | ", "d succeeded =>  | "},
			"succeeded -"},
		{"fan-in waits for all before it is skipped", []string{"a", "b", "c:a,b"}, "a b | ",
			[]string{"a failed =>  | ", "b succeeded =>  | c(a failed)"}, "failed a"},
		{"diamond", []string{"a", "b:a", "c:a", "d:b,c"}, "a | ",
			[]string{"a succeeded => b c | ", "c succeeded =>  | ", "b succeeded => d | ", "d succeeded =>  | "},
			"succeeded -"},
		{"diamond whose root fails", []string{"a", "b:a", "c:a", "d:b,c"}, "a | ",
			[]string{"a failed =>  | b(a failed) c(a failed) d(b was skipped)"}, "failed a"},
		{"independent branches go on", []string{"a", "b", "a2:a", "b2:b"}, "a b | ",
			[]string{"a failed =>  | a2(a failed)", "b succeeded => b2 | ", "b2 succeeded =>  | "}, "failed a"},
		{"the failure names the reason, not the skip", []string{"r?failure", "a", "b:r,a"},
			"a | r(nothing before it failed)",
			[]string{"a failed =>  | b(a failed)"}, "failed a"},
		{"a root for failures", []string{"a?failure", "b:a", "c:a?always"},
			"c | a(nothing before it failed) b(a was skipped)",
			[]string{"c succeeded =>  | "}, "succeeded -"},
		{"alarm sees a failure from afar", []string{"a", "b:a", "alarm:b?failure"}, "a | ",
			[]string{"a failed => alarm | b(a failed)", "alarm succeeded =>  | "}, "failed a"},
		{"alarm sees a failure that was survived", []string{"a", "b:a?always", "alarm:b?failure"}, "a | ",
			[]string{"a crashed => b | ", "b succeeded => alarm | ", "alarm failed =>  | "}, "failed a"},
		{"alarm not needed", []string{"a", "alarm:a?failure", "after:alarm", "z:alarm?always"}, "a | ",
			[]string{"a succeeded => z | alarm(nothing before it failed) after(alarm was skipped)",
				"z succeeded =>  | "}, "succeeded -"},
		{"after an alarm that ran", []string{"a", "alarm:a?failure", "after:alarm"}, "a | ",
			[]string{"a failed => alarm | ", "alarm succeeded => after | ", "after succeeded =>  | "}, "failed a"},
		{"always, but not before the end of all", []string{"a", "b", "z:a,b?always"}, "a b | ",
			[]string{"b failed =>  | ", "a succeeded => z | ", "z failed =>  | "}, "failed b"},
		{"the first failure in time", []string{"a", "b"}, "a b | ", []string{"b failed =>  | ", "a failed =>  | "},
			"failed b"},
		{"a cancel counts as a failure", []string{"a", "b"}, "a b | ",
			[]string{"b cancelled =>  | ", "a failed =>  | "}, "failed b"},
		{"a cancel far before an alarm", []string{"a", "b:a", "alarm:b?failure", "free"}, "a free | ",
			[]string{"a cancelled => alarm | b(a was cancelled)", "alarm succeeded =>  | ", "free succeeded =>  | "},
			"failed a"},
		{"a task that skips itself", []string{"a", "b:a"}, "a | ", []string{"a skipped =>  | b(a was skipped)"},
			"succeeded -"},
		{"an allowed failure", []string{"a", "b:a", "f:a?failure", "z:a?always"}, "a | ",
			[]string{"a failed allowed => b f z | ", "z succeeded =>  | ", "f succeeded =>  | ", "b succeeded =>  | "},
			"succeeded -"},
		{"an allowed failure is seen from afar", []string{"a", "b:a", "f:b?failure"}, "a | ",
			[]string{"a failed allowed => b | ", "b succeeded => f | ", "f succeeded =>  | "}, "succeeded -"},
		{"a failure behind one that is allowed", []string{"a", "b:a", "c:a,b"}, "a | ",
			[]string{"a failed allowed => b | ", "b failed =>  | c(b failed)"}, "failed b"},
		{"a skip by its own condition", []string{"a", "b:a", "f:a?failure"}, "a | ",
			[]string{"a skipped allowed => b | f(nothing before it failed)", "b succeeded =>  | "}, "succeeded -"},
		{"a branch and the join behind it", []string{"a", "l:a", "r:a", "j:l,r"}, "a | ",
			[]string{"a succeeded => l r | ", "l skipped allowed =>  | ", "r succeeded => j | ",
				"j succeeded =>  | "}, "succeeded -"},
		{"behind a skip by a condition, a failure before it counts", []string{"a", "b:a?always", "c:b?failure", "d:b"},
			"a | ", []string{"a failed => b | ", "b skipped allowed => c d | ", "c succeeded =>  | ",
				"d succeeded =>  | "}, "failed a"},
	} {
		d := dagOf(t, c.tasks...)
		r, ready, skipped := d.begin(nil)
		if got := dagNames(d, ready) + " | " + dagSkips(d, skipped); got != c.begin {
			t.Errorf("%s: begin: %q, want %q", c.name, got, c.begin)
		}
		for _, step := range c.steps {
			if state, task := r.outcome(); r.finished() || state != runRunning || task != -1 {
				t.Errorf("%s: before %q: finished %v, outcome %s %d", c.name, step, r.finished(), state, task)
			}
			call, want, _ := strings.Cut(step, " => ")
			id, state, _ := strings.Cut(call, " ")
			ready, skipped, err := r.end(dagFate(d, id, state))
			if got := dagNames(d, ready) + " | " + dagSkips(d, skipped); err != nil || got != want {
				t.Errorf("%s: %s: got %q, %v, want %q", c.name, call, got, err, want)
			}
		}
		state, task := r.outcome()
		got := state + " -"
		if task >= 0 {
			got = state + " " + d.ids[task]
		}
		if !r.finished() || got != c.outcome {
			t.Errorf("%s: finished %v, outcome %q, want %q", c.name, r.finished(), got, c.outcome)
		}
	}
}

func TestDagSecondAttempt(t *testing.T) {
	for _, c := range []struct {
		name  string
		tasks []string
		done  map[string]string
		begin string
		first string // the state that the first ready task ends in
		then  string
	}{
		{"goes on after what succeeded", []string{"a", "b:a", "c:b"}, map[string]string{"a": "succeeded",
			"b": "failed"}, "b | ", "succeeded", "c | "},
		{"only success is kept", []string{"a", "b", "c", "d"}, map[string]string{"a": "failed", "b": "cancelled",
			"c": "crashed", "d": "succeeded"}, "a b c | ", "succeeded", " | "},
		{"a skip by its own condition is kept", []string{"a", "b:a", "c", "d:b"}, map[string]string{"a": "skipped",
			"b": "succeeded", "c": "failed"}, "c d | ", "succeeded", " | "},
		{"a failure that is allowed is kept", []string{"a", "b:a", "c:a?failure"}, map[string]string{"a": "allowed"},
			"b c | ", "succeeded", " | "},
		{"all done", []string{"a", "b:a"}, map[string]string{"a": "succeeded", "b": "succeeded"}, " | ", "", ""},
		{"names that are no task", []string{"a"}, map[string]string{"zzz": "succeeded"}, "a | ", "succeeded", " | "},
		{"what follows a done task waits for all before that", []string{"a", "x:a?always", "c:x?failure", "e:x"},
			map[string]string{"x": "succeeded"},
			"a | ", "failed", "c e | "},
		{"an alarm that rang stays done", []string{"a", "alarm:a?failure", "after:alarm"},
			map[string]string{"alarm": "succeeded"}, "a | ", "succeeded", "after | "},
	} {
		d := dagOf(t, c.tasks...)
		r, ready, skipped := d.begin(c.done)
		if got := dagNames(d, ready) + " | " + dagSkips(d, skipped); got != c.begin {
			t.Errorf("%s: begin: %q, want %q", c.name, got, c.begin)
			continue
		}
		if c.first == "" {
			if state, _ := r.outcome(); state != runSucceeded {
				t.Errorf("%s: outcome %s", c.name, state)
			}
			continue
		}
		ready, skipped, err := r.end(dagFate(d, d.ids[ready[0]], c.first))
		if got := dagNames(d, ready) + " | " + dagSkips(d, skipped); err != nil || got != c.then {
			t.Errorf("%s: then: %q, %v, want %q", c.name, got, err, c.then)
		}
	}
}

func TestDagMisfits(t *testing.T) {
	d := dagOf(t, "a", "b:a", "c?failure")
	r, _, _ := d.begin(nil)
	if _, _, err := r.end(0, taskSucceeded, true); err == nil ||
		err.Error() != "end task a as succeeded: only a failure or a skip can be allowed" {
		t.Errorf("an allowed success: %v", err)
	}
	for _, c := range []struct {
		task  int
		state string
		want  string
	}{
		{-1, taskSucceeded, "end task -1: there are 3 tasks"},
		{3, taskSucceeded, "end task 3: there are 3 tasks"},
		{0, taskRetrying, `end task a: "retrying" is not a state that a task ends in`},
		{0, "", `end task a: "" is not a state that a task ends in`},
		{1, taskSucceeded, "end task b as succeeded: it is waiting, not running"},
		{2, taskFailed, "end task c as failed: it is skipped, not running"},
		{0, taskSucceeded, ""},
		{0, taskFailed, "end task a as failed: it is succeeded, not running"},
		{1, taskSucceeded, ""},
		{1, taskSucceeded, "end task b as succeeded: it is succeeded, not running"},
	} {
		got := ""
		ready, skipped, err := r.end(c.task, c.state, false)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && (ready != nil || skipped != nil) {
			t.Errorf("end(%d, %q): %v, %v, %q, want %q", c.task, c.state, ready, skipped, got, c.want)
		}
	}
	if state, _ := r.outcome(); state != runSucceeded {
		t.Errorf("outcome %s: calls that did not fit have left a mark", state)
	}
}

// dagModel is the meaning of a graph, written as plainly as can be: sweep over the tasks until nothing changes. fate
// says how each task ends if it starts, with " allowed" behind a failure or a skip that counts as a success. It shares
// no code with dag.
func dagModel(tasks []Task, fate, done map[string]string) (final map[string]string, started map[string]bool) {
	final, started = map[string]string{}, map[string]bool{}
	byID := map[string]*Task{}
	for i := range tasks {
		byID[tasks[i].ID] = &tasks[i]
	}
	bad := func(id string) bool {
		switch final[id] {
		case "failed", "failed allowed", "crashed", "cancelled":
			return true
		}
		return false
	}
	content := func(id string) bool { // whoever asks for success is, behind it
		return final[id] == "succeeded" || final[id] == "failed allowed" || final[id] == "skipped allowed"
	}
	for changed := true; changed; {
		changed = false
		for i := range tasks {
			t := &tasks[i]
			ended, succeeded := 0, 0
			for _, dep := range t.Depends {
				if final[dep] != "" {
					ended++
				}
				if content(dep) {
					succeeded++
				}
			}
			if final[t.ID] != "" || ended < len(t.Depends) {
				continue
			}
			starts := succeeded == len(t.Depends)
			if t.When == "always" {
				starts = true
			} else if t.When == "failure" {
				starts = false
				seen, todo := map[string]bool{}, t.Depends
				for len(todo) > 0 {
					id := todo[0]
					todo = todo[1:]
					if !seen[id] {
						seen[id] = true
						starts = starts || bad(id)
						todo = append(slices.Clone(todo), byID[id].Depends...)
					}
				}
			}
			switch {
			case done[t.ID] == "succeeded":
				final[t.ID] = "succeeded"
			case done[t.ID] == "skipped":
				final[t.ID] = "skipped allowed"
			case done[t.ID] == "allowed":
				final[t.ID] = "failed allowed"
			case starts:
				final[t.ID] = fate[t.ID]
				started[t.ID] = true
			default:
				final[t.ID] = "skipped"
			}
			changed = true
		}
	}
	return final, started
}

// dagPlay runs tasks to the end, completing them in an order picked by rng, and checks each step; it gives the final
// states.
func dagPlay(t *testing.T, rng *rand.Rand, tasks []Task, fate, done map[string]string) map[string]string {
	t.Helper()
	d, err := dagBuild(tasks)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	final, started, running := map[string]string{}, map[string]bool{}, []int{}
	// What was done before is not announced: it has ended when all before it has.
	ended := func(id string) bool {
		return final[id] != "" || done[id] == taskSucceeded || done[id] == taskSkipped || done[id] == taskAllowed
	}
	hear := func(ready []int, skipped []dagSkip) {
		for _, s := range skipped {
			id := tasks[s.Task].ID
			if started[id] || ended(id) || s.Reason == "" {
				t.Fatalf("%s skipped (%q), but started %v, ended %q", id, s.Reason, started[id], final[id])
			}
			final[id] = taskSkipped
		}
		if !slices.IsSorted(ready) {
			t.Fatalf("ready out of order: %v", ready)
		}
		for _, i := range ready {
			if started[tasks[i].ID] || ended(tasks[i].ID) {
				t.Fatalf("%s became ready, but started %v, ended %q", tasks[i].ID, started[tasks[i].ID],
					final[tasks[i].ID])
			}
			for j := range tasks {
				if d.ancestor(j, i) && !ended(tasks[j].ID) {
					t.Fatalf("%s became ready before %s ended", tasks[i].ID, tasks[j].ID)
				}
			}
			started[tasks[i].ID] = true
			running = append(running, i)
		}
	}
	r, ready, skipped := d.begin(done)
	hear(ready, skipped)
	for len(running) > 0 {
		if r.finished() {
			t.Fatal("finished while tasks are running")
		}
		k := rng.IntN(len(running))
		i := running[k]
		running = slices.Delete(running, k, k+1)
		id := tasks[i].ID
		final[id] = fate[id]
		ready, skipped, err := r.end(dagFate(d, id, fate[id]))
		if err != nil {
			t.Fatalf("end %s: %v", id, err)
		}
		hear(ready, skipped)
	}
	if !r.finished() {
		t.Fatal("nothing is running, but the run is not finished")
	}
	for id, state := range done {
		switch state {
		case taskSucceeded:
			final[id] = state
		case taskSkipped:
			final[id] = state + " allowed"
		case taskAllowed:
			final[id] = "failed allowed"
		}
	}
	dagOutcomeFits(t, r, tasks, final)
	return final
}

// dagOutcomeFits checks the outcome of a finished run against its final states.
func dagOutcomeFits(t *testing.T, r *dagRun, tasks []Task, final map[string]string) {
	t.Helper()
	count := map[string]int{}
	for _, state := range final {
		count[state]++
	}
	want := runSucceeded
	if count[taskFailed]+count[taskCrashed]+count[taskCancelled] > 0 {
		want = runFailed
	}
	state, task := r.outcome()
	if state != want || (task >= 0) != (want != runSucceeded) {
		t.Fatalf("outcome %s %d, want %s", state, task, want)
	}
	if task >= 0 && !slices.Contains([]string{taskFailed, taskCrashed, taskCancelled}, final[tasks[task].ID]) {
		t.Fatalf("run %s because of task %s, which is %s", state, tasks[task].ID, final[tasks[task].ID])
	}
}

// dagRandom makes a graph without circles of n tasks, written in an order that has nothing to do with its edges.
func dagRandom(rng *rand.Rand, n int) []Task {
	whens := []string{"", "", whenSuccess, whenSuccess, whenFailure, whenAlways}
	tasks := make([]Task, n)
	many := rng.IntN(5) // how many dependencies a task has at most
	near := 1 + rng.IntN(n+1)
	for i := range tasks {
		tasks[i] = Task{ID: fmt.Sprint("t", i), When: whens[rng.IntN(len(whens))]}
		for range rng.IntN(many + 1) {
			if i > 0 {
				tasks[i].Depends = append(tasks[i].Depends, tasks[max(0, i-1-rng.IntN(near))].ID)
			}
		}
	}
	rng.Shuffle(n, func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	return tasks
}

func dagSize(rng *rand.Rand) int {
	if rng.IntN(20) == 0 {
		return 1 + rng.IntN(300)
	}
	return 1 + rng.IntN(25)
}

func dagRng(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestDagModel(t *testing.T) {
	t.Parallel()
	rng := dagRng(t)
	states := []string{taskSucceeded, taskSucceeded, taskSucceeded, taskSucceeded, taskFailed, taskCrashed,
		taskCancelled, taskSkipped, "failed allowed", "skipped allowed"}
	for n := range 2000 {
		tasks := dagRandom(rng, dagSize(rng))
		fate, done := map[string]string{}, map[string]string{}
		kept := rng.IntN(3) == 0
		for i := range tasks {
			fate[tasks[i].ID] = states[rng.IntN(len(states))]
			if kept && rng.IntN(3) == 0 {
				done[tasks[i].ID] = append(states, taskAllowed)[rng.IntN(len(states)+1)]
			}
		}
		want, _ := dagModel(tasks, fate, done)
		for range 2 {
			if got := dagPlay(t, rng, tasks, fate, done); !reflect.DeepEqual(got, want) {
				t.Fatalf("graph %d: %+v\nfate %v\ndone %v\n got %v\nwant %v", n, tasks, fate, done, got, want)
			}
		}
	}
}

// TestDagEveryOrder completes small graphs in every order there is: the final states are always the same.
func TestDagEveryOrder(t *testing.T) {
	rng := dagRng(t)
	states := []string{taskSucceeded, taskSucceeded, taskFailed, taskCancelled, "failed allowed", "skipped allowed"}
	orders := 0
	for range 100 {
		tasks := dagRandom(rng, 6)
		fate := map[string]string{}
		for i := range tasks {
			fate[tasks[i].ID] = states[rng.IntN(len(states))]
		}
		want, _ := dagModel(tasks, fate, nil)
		d, err := dagBuild(tasks)
		if err != nil {
			t.Fatal(err)
		}
		// try plays the run again with the choices made so far, then branches on each task that could end next.
		var try func(choices []int)
		try = func(choices []int) {
			r, running, _ := d.begin(nil)
			for _, i := range choices {
				ready, _, err := r.end(dagFate(d, tasks[i].ID, fate[tasks[i].ID]))
				if err != nil {
					t.Fatal(err)
				}
				running = append(slices.DeleteFunc(running, func(j int) bool { return j == i }), ready...)
			}
			for _, i := range running {
				try(append(slices.Clone(choices), i))
			}
			if len(running) > 0 {
				return
			}
			orders++
			for i := range tasks {
				got := r.states[i]
				if r.allowed[i] {
					got += " allowed"
				}
				if got != want[tasks[i].ID] {
					t.Fatalf("%+v fate %v order %v: %s is %s, want %s", tasks, fate, choices, tasks[i].ID, got,
						want[tasks[i].ID])
				}
			}
		}
		try(nil)
	}
	if orders < 100 {
		t.Errorf("only %d orders were played", orders)
	}
}

// TestDagOrderModel compares the order with a search from the start of the file for each next task.
func TestDagOrderModel(t *testing.T) {
	rng := dagRng(t)
	for range 500 {
		tasks := dagRandom(rng, dagSize(rng))
		d, err := dagBuild(tasks)
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		out := map[string]bool{}
		for len(want) < len(tasks) {
			for i := range tasks {
				waits := slices.ContainsFunc(tasks[i].Depends, func(id string) bool { return !out[id] })
				if !out[tasks[i].ID] && !waits {
					want = append(want, i)
					out[tasks[i].ID] = true
					break
				}
			}
		}
		if !slices.Equal(d.order(), want) {
			t.Fatalf("%+v: order %v, want %v", tasks, d.order(), want)
		}
	}
}

func TestDagCircles(t *testing.T) {
	t.Parallel()
	rng := dagRng(t)
	for range 1500 {
		tasks := dagRandom(rng, 2+rng.IntN(30))
		// Plant a circle through some tasks in any order.
		ring := rng.Perm(len(tasks))[:2+rng.IntN(len(tasks)-1)]
		for k, i := range ring {
			tasks[i].Depends = append(tasks[i].Depends, tasks[ring[(k+1)%len(ring)]].ID)
		}
		_, err := dagBuild(tasks)
		faults, ok := errors.AsType[dagErrors](err)
		if !ok || len(faults) != 1 {
			t.Fatalf("%+v: %v", tasks, err)
		}
		circle := faults[0].Circle
		byID := map[string]Task{}
		for _, task := range tasks {
			byID[task.ID] = task
		}
		seen := map[string]bool{}
		for k, id := range circle {
			if next := circle[(k+1)%len(circle)]; seen[id] || !slices.Contains(byID[id].Depends, next) {
				t.Fatalf("%+v: %v is no circle at %s", tasks, circle, id)
			}
			seen[id] = true
		}
		if want := dagGirth(tasks); len(circle) != want {
			t.Fatalf("%+v: %v has %d tasks, the shortest %d", tasks, circle, len(circle), want)
		}
		text := "tasks depend on each other in a circle: " + strings.Join(circle, " -> ") + " -> " + circle[0]
		if faults[0].Text != text || faults[0].Task != circle[0] || tasks[faults[0].Index].ID != circle[0] {
			t.Fatalf("fault %+v", faults[0])
		}
		if _, again := dagBuild(tasks); again.Error() != err.Error() {
			t.Fatalf("%v, then %v", err, again)
		}
	}
}

// dagGirth gives the length of the shortest circle, from all shortest distances (Floyd and Warshall).
func dagGirth(tasks []Task) int {
	const far = 1 << 20
	n := len(tasks)
	dist := make([][]int, n)
	for i := range dist {
		dist[i] = slices.Repeat([]int{far}, n)
		for j := range tasks {
			if slices.Contains(tasks[i].Depends, tasks[j].ID) {
				dist[i][j] = 1
			}
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				dist[i][j] = min(dist[i][j], dist[i][k]+dist[k][j])
			}
		}
	}
	best := far
	for i := range n {
		best = min(best, dist[i][i])
	}
	return best
}

// FuzzDag builds whatever the bytes say (names that are no task, ids used twice, circles), draws it, and where it is a
// graph runs it against the model. Three bytes are a task: condition and fate, and two dependencies.
func FuzzDag(f *testing.F) {
	f.Add([]byte{0, 255, 255, 1, 0, 255, 2, 0, 1}, "a\nb\nc", uint64(1))
	f.Add([]byte{4, 1, 255, 5, 0, 255}, "a\nb", uint64(2))
	f.Add([]byte{0, 0, 9, 0, 7, 1}, "a\na", uint64(3))
	f.Add([]byte{8, 255, 255, 1, 0, 0, 26, 0, 1, 16, 2, 255}, "a\n\x1b[2J\n\"\\\n\xff", uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, names string, seed uint64) {
		ids := strings.Split(names, "\n")
		fate := map[string]string{}
		var tasks []Task
		name := func(b byte) string {
			if int(b) < len(ids) {
				return ids[b]
			}
			return fmt.Sprint("t", b)
		}
		for k := 0; k+2 < len(data) && len(tasks) < 60; k += 3 {
			task := Task{ID: name(byte(len(tasks))), When: []string{"", whenFailure, whenAlways,
				whenSuccess}[data[k]&3]}
			fate[task.ID] = []string{taskSucceeded, taskFailed, taskCrashed, taskCancelled, taskSkipped,
				"failed allowed", "skipped allowed"}[data[k]>>2%7]
			for _, b := range data[k+1 : k+3] {
				if b < 250 {
					task.Depends = append(task.Depends, name(b))
				}
			}
			tasks = append(tasks, task)
		}
		w := &Workflow{ID: names, Tasks: tasks}
		dagDrawFits(t, w, int(seed%100))
		_, err := dagBuild(tasks)
		if err == nil {
			want, _ := dagModel(tasks, fate, nil)
			got := dagPlay(t, rand.New(rand.NewPCG(seed, 0)), tasks, fate, nil)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v\nfate %v\n got %v\nwant %v", tasks, fate, got, want)
			}
			return
		}
		faults, ok := errors.AsType[dagErrors](err)
		if !ok || len(faults) == 0 {
			t.Fatalf("error %#v", err)
		}
		for _, fault := range faults {
			if tasks[fault.Index].ID != fault.Task || fault.Depends >= len(tasks[fault.Index].Depends) {
				t.Fatalf("%+v: fault %+v", tasks, fault)
			}
		}
	})
}

// dagThousand is 1,000 tasks in 20 layers of 50, each after ten of the layer before it.
func dagThousand() []Task {
	tasks := make([]Task, 1000)
	for i := range tasks {
		tasks[i] = Task{ID: fmt.Sprint("task-", i)}
		for k := range 10 {
			if i >= 50 {
				tasks[i].Depends = append(tasks[i].Depends, fmt.Sprint("task-", i/50*50-50+(i+k*7)%50))
			}
		}
	}
	return tasks
}

func BenchmarkDagBuild(b *testing.B) {
	tasks := dagThousand()
	for b.Loop() {
		if _, err := dagBuild(tasks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDagRun(b *testing.B) {
	d, err := dagBuild(dagThousand())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, running, _ := d.begin(nil)
		for at := 0; at < len(running); at++ {
			ready, _, err := r.end(running[at], taskSucceeded, false)
			if err != nil {
				b.Fatal(err)
			}
			running = append(running, ready...)
		}
		if !r.finished() || len(running) != 1000 {
			b.Fatal("not finished")
		}
	}
}
