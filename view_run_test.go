package main

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// viewRunBackup is the run of the pictures: one of nine tasks, two of them at it, one failed.
func viewRunBackup() (*Run, *Workflow, *Agent) {
	exit := func(n int) *int { return &n }
	spec := &Workflow{ID: "site07-backup", Schedule: []string{"0 2 * * *"}, Retries: 2,
		WorkingDirectory: "/var/lib/backup", Env: map[string]string{"PGUSER": "backup"}, Tasks: []Task{
			{ID: "fetch-keys", Run: "scp keys: ."},
			{ID: "freeze", Run: "fsfreeze -f /srv"},
			{ID: "dump", Run: "set -e\npg_dump site07 > site07.sql\nsync\n", Depends: []string{"fetch-keys", "freeze"},
				Retries: 2},
			{ID: "dump-audit", Name: "Audit dump", Cmd: "/usr/bin/pg_dump", Args: []string{"-h", "10.2.0.9", "audit"},
				Depends: []string{"freeze"},
				Retries: 2, RetryDelay: Duration(10 * time.Second), Timeout: Duration(10 * time.Minute),
				Env: map[string]string{"PGPASSWORD": "secret"}},
			{ID: "encrypt", Run: "age -r key site07.sql", Depends: []string{"dump"}},
			{ID: "report-audit", Run: "mail", Depends: []string{"dump-audit"}},
			{ID: "upload", Run: "rclone", Depends: []string{"encrypt"}, Retries: 4},
			{ID: "thaw", Run: "fsfreeze -u /srv", Depends: []string{"freeze"}, When: whenAlways},
			{ID: "metrics", Run: "curl", Depends: []string{"freeze"}},
		}}
	run := &Run{ID: "01KJVX3H5T0000000000001280", Workflow: "site07-backup", State: runRunning, Trigger: triggerCron,
		Agent: "edge-07", Attempt: 1,
		Started: viewStamp("02:00:00"), Tasks: []TaskRun{
			{Task: "fetch-keys", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:00"),
				Finished: viewStamp("02:00:02"), Seconds: 2},
			{Task: "freeze", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:00"),
				Finished: viewStamp("02:00:11"), Seconds: 11},
			{Task: "dump", State: taskRunning, Exit: exit(1), Attempts: 2, Started: viewStamp("02:00:16"),
				Began: viewStamp("02:01:07"),
				Earlier: []TaskAttempt{{Attempt: 1, Reason: "exit 1", Exit: exit(1), Started: viewStamp("02:00:16"),
					Seconds: 41.5}}},
			{Task: "dump-audit", State: taskFailed, Reason: "exit 3", Exit: exit(3), Attempts: 3,
				Started: viewStamp("02:00:59"), Began: viewStamp("02:01:53"),
				Finished: viewStamp("02:02:09"), Seconds: 70, Earlier: []TaskAttempt{{Attempt: 1, Reason: "exit 3",
					Exit: exit(3), Started: viewStamp("02:00:59"), Seconds: 11.2},
					{Attempt: 2, Reason: "exit 3", Exit: exit(3), Started: viewStamp("02:01:20"), Seconds: 13}}},
			{Task: "encrypt", State: taskWaiting},
			{Task: "report-audit", State: taskSkipped, Reason: "dump-audit failed", Finished: viewStamp("02:02:09")},
			{Task: "upload", State: taskWaiting},
			{Task: "thaw", State: taskRunning, Attempts: 1, Started: viewStamp("02:02:11")},
			{Task: "metrics", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:11"),
				Finished: viewStamp("02:00:12"), Seconds: 1},
		}}
	agent := &Agent{Name: "edge-07", State: agentUp, Labels: map[string]string{"arch": "arm64"}, Capacity: 4,
		Running: 2}
	return run, spec, agent
}

// viewRunLog stands in for the log pane.
func viewRunLog(g *termGrid, a viewArea) {
	p := viewPen{g, a}
	for y := range a.h {
		p.cell(0, y, a.w, 0, "02:01:09 pg_dump: error: connection to server failed: timeout expired"+strings.Repeat(" .", 60))
	}
}

func viewRunFixture() *viewRun {
	run, spec, agent := viewRunBackup()
	v := &viewRun{Agent: agent, Now: viewStamp("02:02:14").Time, LogPlace: "1042 lines  end"}
	v.set(run, spec)
	return v
}

func TestViewRunGolden(t *testing.T) {
	screens := []struct {
		name   string
		change func(v *viewRun)
	}{
		{"run", func(v *viewRun) {}},
		{"run-wave", func(v *viewRun) { v.Mode = viewRunWave }},
		{"run-time", func(v *viewRun) { v.Mode = viewRunTime }},
		{"run-failed", func(v *viewRun) { // over, with the log in focus
			end := viewStamp("04:02:00")
			v.Run.State, v.Run.Reason, v.Run.Finished, v.Run.Seconds = runFailed, "task dump-audit: exit 3", end, 7320.4
			dump, thaw := v.Run.task("dump"), v.Run.task("thaw")
			dump.State, dump.Reason, dump.Finished, dump.Seconds = taskFailed, "timed out after 2h", end, 7304
			thaw.State, thaw.Finished, thaw.Seconds = taskSucceeded, viewStamp("02:02:15"), 4.2
			v.Run.task("encrypt").State, v.Run.task("upload").State = taskSkipped, taskSkipped
			v.Run.task("metrics").State = taskCrashed
			v.Pane = 1
			v.set(v.Run, v.Spec)
		}},
		{"run-queued", func(v *viewRun) {
			v.set(&Run{ID: "R", State: runQueued, Reason: "all agents are busy", Trigger: triggerManual, By: "ana",
				Attempt: 1, Queued: viewStamp("02:02:00")}, nil)
		}},
		{"run-many", func(v *viewRun) { // more than fits anywhere, of names that mean harm
			run, spec := viewRunMany(300, rand.New(rand.NewPCG(7, 7)),
				func(i int) string { return viewHostile[i%len(viewHostile)] + strconv.Itoa(i) })
			v.set(run, spec)
			v.Selected = spec.Tasks[140].ID
		}},
		{"run-many-wave", func(v *viewRun) {
			run, spec := viewRunMany(300, rand.New(rand.NewPCG(7, 7)),
				func(i int) string { return "task-" + strconv.Itoa(i) })
			v.set(run, spec)
			v.Selected, v.Mode = "task-140", viewRunWave
		}},
	}
	for _, s := range screens {
		for _, size := range viewSizes {
			v := viewRunFixture()
			s.change(v)
			g := termGridNew(size[0], size[1])
			v.draw(g, viewArea{0, 1, g.w, g.h - 3}, viewRunLog)
			if strings.Contains(viewPicture(g), "secret") {
				t.Errorf("%s shows the value of a variable", s.name)
			}
			viewGolden(t, s.name, g)
		}
	}
}

// TestViewRunTry counts against what the file allows only what is within that.
func TestViewRunTry(t *testing.T) {
	for _, c := range []struct {
		attempt, retries int
		want             string
	}{{1, 0, "try 1/1"}, {1, 2, "try 1/3"}, {3, 2, "try 3/3"}, {2, 0, "try 2"}, {4, 2, "try 4"}} {
		v := viewRunFixture()
		v.Run.Attempt, v.Spec.Retries = c.attempt, c.retries
		if got := v.status(false)[2]; got != c.want {
			t.Errorf("attempt %d with %d retries: %q, want %q", c.attempt, c.retries, got, c.want)
		}
	}
}

// viewRunTasks makes a run of tasks with times in seconds after 02:00:00: "id start end deps...", where "-" is a time
// that there is not.
func viewRunTasks(t *testing.T, state string, lines ...string) (*Run, *Workflow) {
	t.Helper()
	began := viewStamp("02:00:00")
	run, spec := &Run{ID: "R", State: state, Started: began, Attempt: 1}, &Workflow{ID: "w"}
	for _, line := range lines {
		words := strings.Fields(line)
		at := func(word string) Stamp {
			if word == "-" {
				return Stamp{}
			}
			seconds, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			return stampOf(began.Add(time.Duration(seconds) * time.Second))
		}
		task := TaskRun{Task: words[0], Started: at(words[1]), Finished: at(words[2]), State: taskSucceeded,
			Attempts: 1}
		switch {
		case task.Started.IsZero() && !task.Finished.IsZero():
			task.State, task.Attempts = taskSkipped, 0
		case task.Started.IsZero():
			task.State, task.Attempts = taskWaiting, 0
		case task.Finished.IsZero():
			task.State = taskRunning
		}
		run.Tasks = append(run.Tasks, task)
		spec.Tasks = append(spec.Tasks, Task{ID: words[0], Depends: words[3:]})
	}
	return run, spec
}

func TestViewRunPath(t *testing.T) {
	tests := []struct {
		name, state string
		tasks       []string
		want        string
	}{
		{"nothing began", runQueued, []string{"a - -", "b - - a"}, ""},
		{"one task", runSucceeded, []string{"a 0 5"}, "a"},
		{"a chain", runSucceeded, []string{"a 0 5", "b 5 9 a", "c 9 12 b"}, "a b c"},
		{"a diamond goes by the slower side", runSucceeded, []string{"a 0 1", "b 1 3 a", "c 1 8 a", "d 8 9 b c"},
			"a c d"},
		{"the last to end, not the deepest", runSucceeded, []string{"a 0 1", "b 1 2 a", "c 2 3 b", "d 0 60"}, "d"},
		{"a tie goes to the first named", runSucceeded, []string{"a 0 5", "b 0 5", "c 5 6 b a"}, "b c"},
		{"what runs ends last", runRunning, []string{"a 0 50", "b 0 2", "c 2 - b", "d - - c"}, "b c"},
		{"what has run longest", runRunning, []string{"a 0 2", "b 2 - a", "c 9 -"}, "a b"},
		{"through one that was skipped", runSucceeded, []string{"a 0 7", "b - 7 a", "c 7 9 b"}, "a c"},
		{"not into an earlier attempt", runSucceeded, []string{"a -90 -60", "b 0 4 a"}, "b"},
		{"all done in an earlier attempt", runSucceeded, []string{"a -90 -60"}, ""},
		{"a run that stands still with a task that never ended", runCrashed, []string{"a 0 4", "b 4 - a"}, "a"},
	}
	for _, test := range tests {
		v := &viewRun{}
		run, spec := viewRunTasks(t, test.state, test.tasks...)
		v.set(run, spec)
		var got []string
		for i := range v.rows {
			if v.rows[i].critical {
				got = append(got, v.rows[i].run.Task)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: the critical path is %q, want %q", test.name, got, test.want)
		}
		v.set(run, nil)
		if len(v.rows) > 0 && v.rows[0].critical {
			t.Errorf("%s: without a workflow there is no critical path", test.name)
		}
	}
}

func TestViewRunSelection(t *testing.T) {
	v := viewRunFixture()
	if v.Selected != "dump-audit" {
		t.Errorf("at first %q is selected, not what failed", v.Selected)
	}
	run, spec, _ := viewRunBackup()
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"down", func() { v.move(1) }, "encrypt"},
		{"up three", func() { v.move(-3) }, "freeze"},
		{"far up", func() { v.move(-100) }, "fetch-keys"},
		{"end", func() { v.moveTo(true) }, "metrics"},
		{"start", func() { v.moveTo(false) }, "fetch-keys"},
		{"new data keep it", func() { v.move(2); v.set(run, spec) }, "dump"},
		{"waves go down their column", func() { v.Mode = viewRunWave; v.move(1) }, "dump-audit"},
		{"and on to the next", func() { v.move(3) }, "encrypt"},
		{"end of the waves", func() { v.moveTo(true) }, "upload"},
		{"start of the waves", func() { v.moveTo(false) }, "fetch-keys"},
		{"a task that is gone", func() {
			v.moveTo(true)
			run, spec := viewRunTasks(t, runRunning, "a 0 1", "b 1 - a")
			v.set(run, spec)
		}, "b"},
		{"a run without tasks", func() { v.set(&Run{State: runQueued}, nil); v.move(1); v.moveTo(true) }, "b"},
	}
	for _, s := range steps {
		s.do()
		if v.Selected != s.want {
			t.Errorf("%s: %q is selected, want %q", s.name, v.Selected, s.want)
		}
	}
}

// viewRunMany makes a run of n tasks, most of which hang on two earlier ones.
func viewRunMany(n int, random *rand.Rand, names func(i int) string) (*Run, *Workflow) {
	states := []string{taskSucceeded, taskSucceeded, taskSucceeded, taskFailed, taskCrashed, taskCancelled, taskRunning,
		taskRetrying, taskWaiting, taskSkipped, "strange"}
	run := &Run{ID: "R", Workflow: names(0), State: runRunning, Started: viewStamp("02:00:00"), Attempt: 1,
		Agent: "edge-07"}
	spec := &Workflow{ID: "w"}
	for i := range n {
		began := run.Started.Add(time.Duration(random.IntN(4000)-100) * time.Second)
		task := TaskRun{Task: names(i), State: states[random.IntN(len(states))], Attempts: random.IntN(12)}
		if taskActive(task.State) != (task.State == taskWaiting) {
			task.Started = stampOf(began)
		} else if task.State != taskWaiting {
			task.Started, task.Finished = stampOf(began),
				stampOf(began.Add(time.Duration(random.IntN(900)-5)*time.Second))
			task.Exit, task.Reason = &task.Attempts, names(i+1)
		}
		run.Tasks = append(run.Tasks, task)
		t := Task{ID: task.Task, Name: names(i + 2), Run: names(i + 3), Retries: random.IntN(3),
			Env: map[string]string{names(i): "x"}}
		for k := 0; k < 2 && i > 0 && random.IntN(4) > 0; k++ {
			t.Depends = append(t.Depends, spec.Tasks[random.IntN(i)].ID)
		}
		spec.Tasks = append(spec.Tasks, t)
	}
	return run, spec
}

// viewRunEarlier gives a task attempts that make no sense, now and then.
func viewRunEarlier(random *rand.Rand, t *TaskRun) {
	if random.IntN(3) == 0 {
		t.Began = stampOf(t.Started.Add(time.Duration(random.IntN(2000)-500) * time.Second))
	}
	for n := range random.IntN(20) * random.IntN(2) {
		a := TaskAttempt{Attempt: n + random.IntN(3), Reason: viewHostile[random.IntN(len(viewHostile))],
			Exit: &t.Attempts, Seconds: []float64{0, 1, 300, -5, 1e9, 1e300, -1e300}[random.IntN(7)]}
		if random.IntN(4) > 0 {
			a.Started = stampOf(t.Started.Add(time.Duration(random.IntN(3000)-900) * time.Second))
		}
		t.Earlier = append(t.Earlier, a)
	}
}

func TestViewRunWithin(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 600 {
		run, spec := viewRunMany(random.IntN(60), random, func(i int) string {
			return viewHostile[random.IntN(len(viewHostile))] + strconv.Itoa(i)
		})
		run.State = []string{runQueued, runRunning, runFailed, runCrashed, runSucceeded, "strange"}[random.IntN(6)]
		run.Reason, run.By = viewHostile[random.IntN(len(viewHostile))], viewHostile[random.IntN(len(viewHostile))]
		if random.IntN(4) == 0 {
			run.Started = Stamp{}
		}
		if random.IntN(4) == 0 {
			spec = nil
		}
		for i := range run.Tasks {
			viewRunEarlier(random, &run.Tasks[i])
		}
		v := &viewRun{Now: run.Started.Add(time.Duration(random.Int64N(1 << uint(20+random.IntN(43))))),
			Mode:  viewRunMode(random.IntN(3)),
			Split: random.IntN(200) - 100, Pane: random.IntN(2), Stale: random.IntN(2) == 0}
		v.set(run, spec)
		v.move(random.IntN(70))
		var log func(*termGrid, viewArea)
		if random.IntN(4) > 0 {
			log = viewRunLog
		}
		viewWithin(t, random, func(g *termGrid, a viewArea) {
			v.draw(g, a, log)
			if rows := v.rows; len(rows) > 0 && v.Mode != viewRunWave && a.h >= 6 && a.w > 2 && a.w < viewRunWide {
				if c := g.cells[g.cursorY*g.w+g.cursorX]; c.r != '>' {
					t.Fatalf("%+v: the cursor is on %q, not on the selected row", a, c.r)
				}
			}
		})
	}
}

func TestViewRunGrowing(t *testing.T) {
	v := viewRunFixture()
	g := termGridNew(80, 24)
	a := viewArea{0, 1, 80, 21}
	v.draw(g, a, nil)
	if v.growing() == 0 {
		t.Error("a run that goes on is not drawn each second")
	}
	v.Stale = true
	if v.growing() != 0 {
		t.Error("without news times do not grow")
	}
	v.draw(g, a, nil)
	if text := viewPicture(g); !strings.Contains(text, "RUNNING 2:14 (as of 02:02:14)") {
		t.Errorf("it is not said of when the times are:\n%s", text)
	}
	v.Stale = false
	v.Run.State = runFailed
	v.set(v.Run, v.Spec)
	v.draw(g, a, nil)
	if v.growing() != 0 {
		t.Error("a run that is over is drawn each second")
	}
}

func TestViewRunList(t *testing.T) {
	tests := []struct {
		names string
		room  int
		want  string
	}{
		{"", 10, ""},
		{"a b c", 5, "a b c"},
		{"aaaa bbbb cccc", 14, "aaaa bbbb cccc"},
		{"aaaa bbbb cccc", 13, "aaaa +2 more"},
		{"aaaa bbbb cccc", 11, "aa~ +2 more"},
		{"日本 日本 日本", 13, "日本 +2 more"},
		{"aaaaaaaa", 4, "aaa~"},
	}
	for _, test := range tests {
		if got := viewRunList(strings.Fields(test.names), " ", test.room); got != test.want {
			t.Errorf("%q in %d columns is %q, want %q", test.names, test.room, got, test.want)
		}
	}
}

func BenchmarkViewRunDraw(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	run, spec := viewRunMany(300, random, func(i int) string { return "task-" + strconv.Itoa(i) })
	for mode, name := range []string{"table", "wave", "time"} {
		b.Run(name, func(b *testing.B) {
			v := &viewRun{Now: viewStamp("03:10:00").Time, Mode: viewRunMode(mode)}
			v.set(run, spec)
			g := termGridNew(120, 40)
			b.ReportAllocs()
			for b.Loop() {
				v.draw(g, viewArea{0, 1, 120, 37}, func(*termGrid, viewArea) {})
			}
		})
	}
	b.Run("set", func(b *testing.B) {
		v := &viewRun{Now: viewStamp("03:10:00").Time}
		for b.Loop() {
			v.set(run, spec)
		}
	})
}

// TestViewRunSplit moves the border between tasks and log as far as it goes, both ways.
func TestViewRunSplit(t *testing.T) {
	for _, size := range viewSizes[1:] {
		v, g := viewRunFixture(), termGridNew(size[0], size[1])
		var log viewArea
		draw := func() { v.draw(g, viewArea{0, 1, g.w, g.h - 3}, func(_ *termGrid, a viewArea) { log = a }) }
		draw()
		usual, most := log, viewArea{}
		for _, by := range []int{1000, -2000} {
			v.Split += by
			draw()
			end := v.Split
			if end == 0 || end == by || (log.w*log.h > usual.w*usual.h) != (by > 0) {
				t.Errorf("%dx%d: by %d the log goes from %+v to %+v (%d)", g.w, g.h, by, usual, log, end)
			}
			most = log
			if log.w <= 0 || log.h <= 0 {
				t.Errorf("%dx%d: by %d nothing is left of the log: %+v", g.w, g.h, by, log)
			}
			draw()
			if v.Split != end || log != most {
				t.Errorf("%dx%d: drawn again the border moves from %d to %d", g.w, g.h, end, v.Split)
			}
		}
	}
}
