package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"cdktr/e2e/harness"
)

// agentWait is far longer than anything here takes: a test that waits for so long has failed.
const agentWait = 60 * time.Second

// agentHost is a principal and an agent in this process that run real tasks.
func agentHost(t *testing.T, log *principalLog, workflows ...*Workflow) *host {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, nil))
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: t.TempDir(), NoSync: true, NoScheduler: true,
		Zone: time.UTC,
		Log:  logger})
	if err != nil {
		t.Fatal(err)
	}
	p.setFiles(principalFiles(workflows...), nil)
	h := newHost(p)
	cfg := agentConfig{Name: "x", Capacity: 2, StateDir: t.TempDir(), Grace: 200 * time.Millisecond,
		Environ: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, Log: logger}
	if err := h.startAgent(context.Background(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Contains(text, "internal error") || strings.Contains(text, "does not fit") {
			t.Errorf("logged:\n%s", text)
		}
	})
	return h
}

// agentFollow runs a workflow and gives its end, and its output as task|stream|text. each is called with every reply.
func agentFollow(t *testing.T, h *host, req Request, each func(*client, *Reply)) (*Run, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), agentWait)
	defer cancel()
	c := &client{conn: h.connect(), endpoint: "here"}
	defer c.close()
	req.Op, req.Follow = "run", true
	var run *Run
	var lines []string
	if err := c.stream(ctx, req, func(r *Reply) error {
		if r.Line != nil {
			lines = append(lines, r.Line.Task+"|"+r.Line.Stream+"|"+string(r.Line.raw()))
		}
		if len(r.Runs) > 0 {
			run = r.Runs[0]
		}
		if each != nil {
			each(c, r)
		}
		return nil
	}); err != nil || run == nil {
		t.Fatalf("run %s: %v", req.Workflow, err)
	}
	return run, lines
}

// agentStates gives the tasks of a run in short.
func agentStates(r *Run) string {
	var parts []string
	for _, task := range r.Tasks {
		text := task.Task + " " + task.State
		if task.Reason != "" {
			text += " (" + task.Reason + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func TestAgentRunValues(t *testing.T) {
	w := &Workflow{ID: "w", Params: map[string]Param{"day": {Required: true}},
		Env: map[string]string{"WHO": "${params.day}"}, Tasks: []Task{
			{ID: "a", Run: `echo "rows=42" >> "$CDKTR_OUTPUT"; echo "k=a" >> "$CDKTR_OUTPUT"; echo "$WHO $PARAM_DAY $CDKTR_TASK_ID $CDKTR_ATTEMPT"`},
			{ID: "b", Run: `echo k=b > "$CDKTR_OUTPUT"; echo err >&2`, Depends: []string{"a"}},
			{ID: "c", Run: `echo k=c > "$CDKTR_OUTPUT"`, Depends: []string{"a"}},
			{ID: "d", Cmd: "echo", Args: []string{"${tasks.a.outputs.rows}", "${run.id}"}, Depends: []string{"b", "c"}},
			{ID: "e", Run: `echo "$rows $k"`, Depends: []string{"b", "c"}}}}
	h := agentHost(t, &principalLog{}, w)
	r, lines := agentFollow(t, h, Request{Workflow: "w", Params: map[string]string{"day": "monday"}}, nil)
	if r.State != runSucceeded || r.Reason != "" || r.Agent != "x" || r.Seconds <= 0 {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"a|o|monday monday a 1", "b|e|err", "d|o|42 " + r.ID} {
		if !slices.Contains(lines, want) {
			t.Errorf("there is no %q in %q", want, lines)
		}
	}
	winner, warned := "", ""
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, "e|o|42 "); ok {
			winner = text
		}
		if strings.HasPrefix(line, "e|c|") {
			warned = line
		}
	}
	if winner == "" || warned != "e|c|[cdktr: both b and c hand on k: "+winner+" ended later and wins]" {
		t.Errorf("k is %q, and the warning %q", winner, warned)
	}
	if out := r.task("a").Outputs; out["rows"] != "42" || out["k"] != "a" {
		t.Errorf("outputs %v", out)
	}
}

func TestAgentRunOutcomes(t *testing.T) {
	log := &principalLog{}
	workflows := []*Workflow{
		{ID: "fails", Tasks: []Task{{ID: "a", Run: "exit 3"}, {ID: "b", Run: "true", Depends: []string{"a"}},
			{ID: "c", Run: "true", Depends: []string{"b"}}, {ID: "d", Run: "true", Depends: []string{"a"},
				When: whenFailure},
			{ID: "e", Run: "true", Depends: []string{"c"}, When: whenAlways}, {ID: "f", Run: "true"}}},
		{ID: "retried", Tasks: []Task{{ID: "a", Run: `test "$CDKTR_ATTEMPT" = 3`, Retries: 2,
			RetryDelay: Duration(time.Millisecond)}}},
		{ID: "exhausted", Tasks: []Task{{ID: "a", Run: `exit $CDKTR_ATTEMPT`, Retries: 1,
			RetryDelay: Duration(time.Millisecond)}}},
		{ID: "task timeout", Tasks: []Task{{ID: "a", Run: "exec sleep 300",
			Timeout: Duration(100 * time.Millisecond)}}},
		{ID: "run timeout", Timeout: Duration(300 * time.Millisecond),
			Tasks: []Task{{ID: "a", Run: "exec sleep 300"}, {ID: "b", Run: "true", Depends: []string{"a"}}}},
		{ID: "bad outputs", Tasks: []Task{{ID: "a", Run: `echo what > "$CDKTR_OUTPUT"`}}},
		{ID: "no program", Tasks: []Task{{ID: "a", Cmd: "/no/such/program"}}},
		{ID: "no value", Tasks: []Task{{ID: "a", Run: "true"}, {ID: "b", Run: "true",
			Env: map[string]string{"X": "${tasks.a.outputs.none}"}, Depends: []string{"a"}}}},
		{ID: "killed", Tasks: []Task{{ID: "a", Run: "kill -9 $$"}}},
		{ID: "leaves", Tasks: []Task{{ID: "a", Run: "setsid sleep 300 & sleep 0.1"}}},
		{ID: "whole again", Retries: 1, Tasks: []Task{{ID: "a", Run: "echo once"},
			{ID: "b", Run: `test -n "$AGAIN"`, Depends: []string{"a"}}}},
	}
	h := agentHost(t, log, workflows...)
	for id, want := range map[string]string{
		"fails": "failed (task a: exit 3): a failed (exit 3), b skipped (a failed), c skipped (b was " +
			"skipped), d succeeded, e succeeded, f succeeded",
		"retried":      "succeeded (): a succeeded",
		"exhausted":    "failed (task a: exit 2): a failed (exit 2)",
		"task timeout": "failed (task a: timed out after 100ms): a failed (timed out after 100ms)",
		"run timeout":  "failed (timed out after 300ms): a failed (timed out after 300ms), b skipped (a failed)",
		"bad outputs":  `failed (task a: $CDKTR_OUTPUT:1: want KEY=value, not "what"): a failed ($CDKTR_OUTPUT:1: want KEY=value, not "what")`,
		"no value": "failed (task b: env X: ${tasks.a.outputs.none} has no value): a succeeded, b failed (env " +
			"X: ${tasks.a.outputs.none} has no value)",
		"killed":      "failed (task a: signal SIGKILL): a failed (signal SIGKILL)",
		"leaves":      "succeeded (): a succeeded",
		"whole again": "failed (task b: exit 1): a succeeded, b failed (exit 1)",
	} {
		r, lines := agentFollow(t, h, Request{Workflow: id}, nil)
		if got := fmt.Sprintf("%s (%s): %s", r.State, r.Reason, agentStates(r)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", id, got, want)
		}
		switch {
		case id == "retried" && r.Tasks[0].Attempts != 3:
			t.Errorf("%d attempts", r.Tasks[0].Attempts)
		case id == "leaves" && (len(lines) != 1 || !strings.HasPrefix(lines[0],
			"a|c|[cdktr: the task left processes behind, which are being ended (1): s")):
			t.Errorf("output %q", lines)
		case id == "whole again" && (r.Attempt != 2 || len(lines) != 1):
			t.Errorf("attempt %d, output %q", r.Attempt, lines)
		}
	}
	// nothing ran
	if r, _ := agentFollow(t, h, Request{Workflow: "no program"}, nil); r.State != runFailed ||
		r.Tasks[0].Exit != nil {
		t.Errorf("%+v", r)
	}
}

// Never more tasks at once than the workflow says, and they start in the order of the file.
func TestAgentRunMaxActive(t *testing.T) {
	w := &Workflow{ID: "w", MaxActiveTasks: 2}
	for i := range 6 {
		w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t", i), Run: "sleep 0.1"})
	}
	h := agentHost(t, &principalLog{}, w)
	agentFollow(t, h, Request{Workflow: "w"}, nil)
	active, order := 0, ""
	if _, err := h.p.store.readEvents(1, 1000, func(e *Event) bool {
		switch e.Kind {
		case evTaskStarted:
			active++
			order += e.Task
		case evTaskFinished:
			active--
		}
		if active > 2 {
			t.Errorf("%d tasks at once", active)
		}
		return true
	}); err != nil || order != "t0t1t2t3t4t5" {
		t.Errorf("order %s, %v", order, err)
	}
}

// A run is cancelled while one task is at work, one waits for its next attempt, and one for both.
func TestAgentRunCancel(t *testing.T) {
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a",
		Run: "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"},
		{ID: "b", Run: "exit 1", Retries: 3, RetryDelay: Duration(time.Hour)},
		{ID: "c", Run: "true", Depends: []string{"a", "b"}}}}
	h := agentHost(t, &principalLog{}, w)
	seen := map[string]bool{}
	asked := false
	id := ""
	r, lines := agentFollow(t, h, Request{Workflow: "w"}, func(c *client, r *Reply) {
		if r.Run != "" {
			id = r.Run
		}
		if r.Line != nil && r.Line.Text == "up" {
			seen["up"] = true
		}
		for _, task := range r.Tasks {
			seen[task.Task+task.State] = true
		}
		if seen["up"] && seen["b"+taskRetrying] && !asked {
			asked = true
			if err := c.send(Request{Op: "cancel", Run: id}); err != nil {
				t.Error(err)
			}
		}
	})
	if r.State != runCancelled || !strings.HasPrefix(r.Reason, "cancelled by ") || stateTask(r, "a") != taskCancelled ||
		stateTask(r, "b") != taskCancelled || stateTask(r, "c") != taskSkipped && stateTask(r, "c") != taskCancelled {
		t.Errorf("%s (%s): %s", r.State, r.Reason, agentStates(r))
	}
	if !slices.Contains(lines, "a|o|bye") {
		t.Errorf("output: %q", lines)
	}
}

// One task of a run is stopped: it ends, and what needs it is skipped; all else of the run goes on, and it is not run
// again.
func TestAgentRunCancelTask(t *testing.T) {
	for name, force := range map[string]bool{"term": false, "kill": true} {
		t.Run(name, func(t *testing.T) {
			// it does not succeed by ending well now
			script := "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
			if force {
				script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
			}
			w := &Workflow{ID: "w", Retries: 3, Tasks: []Task{{ID: "a", Run: script, Retries: 5},
				{ID: "b", Run: "true", Depends: []string{"a"}},
				{ID: "c", Run: "echo alarm", Depends: []string{"b"}, When: whenFailure},
				{ID: "d", Run: "echo tidy", Depends: []string{"a"}, When: whenAlways},
				{ID: "e", Run: "exit 1", Retries: 3, RetryDelay: Duration(time.Hour)}, {ID: "f", Run: "echo free"}}}
			h := agentHost(t, &principalLog{}, w)
			id, up, asked := "", false, map[string]bool{}
			stop := func(c *client, task string) {
				if !asked[task] {
					asked[task] = true
					if err := c.send(Request{Op: "cancel", Run: id, Task: task, Force: force}); err != nil {
						t.Error(err)
					}
				}
			}
			r, lines := agentFollow(t, h, Request{Workflow: "w"}, func(c *client, r *Reply) {
				id = orDefault(r.Run, id)
				up = up || r.Line != nil && r.Line.Text == "up"
				if up {
					stop(c, "a")
				}
				for _, task := range r.Tasks {
					if task.Task == "e" && task.State == taskRetrying {
						stop(c, "e")
					}
				}
			})
			by, _ := strings.CutPrefix(r.task("a").Reason, "cancelled by ")
			want := fmt.Sprintf("a cancelled (cancelled by %s), b skipped (a was cancelled), c succeeded, d "+
				"succeeded, e cancelled (cancelled by %[1]s), f succeeded", by)
			if got := agentStates(r); r.State != runFailed || r.Attempt != 1 || by == "" || got != want {
				t.Errorf("%s, attempt %d: %s\nwant %s", r.State, r.Attempt, got, want)
			}
			if r.Reason != "task a: cancelled by "+by && r.Reason != "task e: cancelled by "+by { // whichever was first
				t.Errorf("reason %q", r.Reason)
			}
			if n := r.task("a").Attempts; n != 1 || !slices.Contains(lines, "f|o|free") {
				t.Errorf("%d attempts, output %q", n, lines)
			}
		})
	}
}

// One task of a run is stopped: the one that is named, by the lease that is in force, while it is at work. All else is
// as if nothing had been said.
func TestAgentRunCancelTaskFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		later := Task{Cmd: "/no/such/program", Retries: 100, RetryDelay: Duration(10 * time.Minute)}
		a, b := later, later
		a.ID, b.ID = "a", "b"
		g.assign("R1", 2, Workflow{Tasks: []Task{a, b, {ID: "c", Cmd: "/x", Depends: []string{"a"}},
			{ID: "d", Cmd: "/x", Depends: []string{"c"}, When: whenFailure}, {ID: "e", Cmd: "/x"}}})
		time.Sleep(2 * agentGather) // while several tasks are at work, what happens is told together
		begun := g.events("R1")
		stop := func(run string, lease int, task string, force bool) {
			g.say(&agentMsg{Op: msgStopTask, Run: run, Lease: lease, Task: task, Reason: "cancelled by me",
				Force: force})
		}
		g.say(&agentMsg{Op: msgStopTask})
		g.say(&agentMsg{Op: msgStopTask, Run: "R1", Lease: 2})
		stop("R2", 2, "a", false)
		stop("R1", 1, "a", false) // an earlier assignment's
		stop("R1", 2, "none", true)
		stop("R1", 2, "c", true) // has not begun
		stop("R1", 2, "e", true) // has ended
		if got := g.events("R1"); got != begun || len(g.of(msgHello)) != 1 {
			t.Fatalf("what does not fit: %s, before %s", got, begun)
		}
		stop("R1", 2, "a", false)
		stop("R1", 2, "a", true)
		want := begun + ", task.finished a cancelled, task.finished c skipped, task.started d, task.finished d failed"
		if got := g.events("R1"); got != want {
			t.Errorf("said: %s\nwant: %s", got, want)
		}
		time.Sleep(time.Hour) // b is tried again, a is not
		if a, b := strings.Count(g.events("R1"), "task.started a"), strings.Count(g.events("R1"),
			"task.started b"); a != 1 || b < 2 {
			t.Errorf("a began %d times, b %d", a, b)
		}
		stop("R1", 2, "b", true)
		if got, e := g.events("R1"), g.lastEvent("R1"); !strings.HasSuffix(got,
			", task.finished b cancelled, run.finished failed") || !strings.HasPrefix(e.Reason, "task e: ") {
			t.Errorf("said: %s (%s)", got, e.Reason)
		}
		stop("R1", 2, "b", true)
		g.assign("R3", 1, Workflow{Tasks: []Task{a}})
		stop("R3", 1, "a", false)
		if got, e := g.events("R3"), g.lastEvent("R3"); got != agentBegun+", task.finished a cancelled, "+
			"run.finished failed" || e.Reason != "task a: cancelled by me" {
			t.Errorf("said: %s (%s)", got, e.Reason)
		}
		g.end()
	})
}

// The same run is given to the agent anew while it still stops the earlier one: the new one begins when that is gone.
func TestAgentRunGivenAnew(t *testing.T) {
	agentEnd, ours := wirePipe()
	conns := make(chan wireConn, 1)
	conns <- agentEnd
	log := &principalLog{}
	procTestAlone(t)
	a, err := agentOpen(agentConfig{Name: "x", Capacity: 2, StateDir: t.TempDir(), Fresh: true, Grace: time.Second,
		Environ: []string{"PATH=/usr/bin:/bin"}, Log: slog.New(slog.NewTextHandler(log, nil)),
		Dial: func(ctx context.Context) (wireConn, error) {
			select {
			case c := <-conns:
				return c, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.runAgent(ctx, nil) }()
	said := make(chan string, 1000)
	go func() { // ends with the connection
		defer close(said)
		for {
			frames, err := ours.Recv()
			var m agentMsg
			if err != nil || json.Unmarshal(frames[len(frames)-1], &m) != nil {
				return
			}
			m.unpack()
			switch m.Op {
			case msgHello:
				ours.Send(protoEncode(agentMsg{Op: msgWelcome, Can: protoPrincipalCan}))
			case msgHeartbeat:
				ours.Send(protoEncode(agentMsg{Op: msgHeartbeat}))
			case msgReport:
				ours.Send(protoEncode(agentMsg{Op: msgAck, N: m.N - 1 + uint64(len(m.Items))}))
			}
			for _, item := range m.Items {
				if item.Event != nil {
					said <- fmt.Sprintf("%d %s %s", item.Event.Lease, item.Event.Kind, item.Event.State)
				}
				for _, l := range item.Lines {
					said <- fmt.Sprintf("%d output %s", item.Lease, l.Text)
				}
			}
		}
	}()
	until := func(want string) (before []string) {
		t.Helper()
		late := time.After(agentWait)
		for {
			select {
			case text, ok := <-said:
				if text == want {
					return before
				}
				if !ok {
					t.Fatalf("no %q after %q", want, before)
				}
				before = append(before, text)
			case <-late:
				t.Fatalf("no %q after %q; logged:\n%s", want, before, log)
			}
		}
	}
	give := func(lease int, script string) {
		ours.Send(protoEncode(agentMsg{Op: msgAssign, Assign: &assignment{Run: "R1", Lease: lease, Attempt: lease,
			Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: script}}}}}))
	}
	give(1, "trap '' TERM; echo up; while :; do echo x; sleep 0.05; done")
	until("1 output up")
	ours.Send(protoEncode(agentMsg{Op: msgCancel, Run: "R1", Drop: true, Reason: "not yours"}))
	give(2, "echo second")
	for _, text := range until("2 run.finished succeeded") {
		if strings.HasPrefix(text, "1 run.finished") || strings.HasPrefix(text, "1 task.finished") {
			t.Errorf("of the run that was dropped it says %q", text)
		}
	}
	// And once more, cancelled before it can begin.
	give(3, "trap '' TERM; echo up; while :; do sleep 0.05; done")
	until("3 output up")
	give(4, "echo fourth")
	ours.Send(protoEncode(agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"}))
	for _, text := range until("4 run.finished cancelled") {
		if strings.Contains(text, "fourth") {
			t.Errorf("it began: %q", text)
		}
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(agentWait):
		t.Fatal("the agent does not end")
	}
	ours.Close()
}

// The start of a task is in the spool before its process begins, also of one of many that start at once.
func TestAgentRunStartSpooled(t *testing.T) {
	w := &Workflow{ID: "w"}
	for i := range 3 * attemptBegins {
		w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t",
			i), Run: `grep -q '"e":"task.started","task":"'$CDKTR_TASK_ID'"}' "${CDKTR_OUTPUT%/*}"/../spool/*.jsonl`})
	}
	h := agentHost(t, &principalLog{}, w)
	if r, lines := agentFollow(t, h, Request{Workflow: "w"}, nil); r.State != runSucceeded {
		t.Errorf("%s (%s), %q", r.State, r.Reason, lines)
	}
}

// A task that waits for its next attempt leaves its place to others, and waits for one when its time has come.
func TestAgentRunPlaces(t *testing.T) {
	w := &Workflow{ID: "w", MaxActiveTasks: 1, Tasks: []Task{
		{ID: "a", Run: `test "$CDKTR_ATTEMPT" = 3`, Retries: 2, RetryDelay: Duration(20 * time.Millisecond)},
		{ID: "b", Run: "exit 1", Retries: 3, RetryDelay: Duration(time.Hour)},
		{ID: "c", Run: "sleep 0.1"}, {ID: "d", Run: "sleep 0.1", Depends: []string{"c"}}}}
	h := agentHost(t, &principalLog{}, w)
	id, asked, states := "", false, map[string]string{}
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, func(c *client, r *Reply) {
		id = orDefault(r.Run, id)
		for _, task := range r.Tasks {
			states[task.Task] = task.State
		}
		if !asked && states["b"] == taskRetrying && states["a"] == taskSucceeded && states["d"] == taskSucceeded {
			asked = true
			if err := c.send(Request{Op: "cancel", Run: id, Task: "b"}); err != nil {
				t.Error(err)
			}
		}
	})
	if got := agentStates(r); !strings.HasPrefix(got, "a succeeded, b cancelled") ||
		!strings.HasSuffix(got, "c succeeded, d succeeded") {
		t.Error(got)
	}
	active, most := 0, 0
	if _, err := h.p.store.readEvents(1, 1000, func(e *Event) bool {
		switch {
		case e.Kind == evTaskStarted:
			active++
		case e.Kind == evTaskRetrying, e.Kind == evTaskFinished && e.Task != "b":
			active--
		}
		most = max(most, active)
		return true
	}); err != nil || most != 1 {
		t.Errorf("%d tasks at once, %v", most, err)
	}
}

// A task that waits for its next attempt, and then for a place, is stopped like any other.
func TestAgentRunPlacesStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		g.assign("R1", 1, Workflow{MaxActiveTasks: 1, Tasks: []Task{{ID: "a", Cmd: "/no/such/program", Retries: 5,
			RetryDelay: Duration(time.Minute)}}})
		g.do(func() { g.a.runs["R1"].places++ }) // as if a task of it went on
		time.Sleep(5 * time.Minute)
		g.do(func() {
			if r := g.a.runs["R1"]; len(r.due) != 1 || r.tries[0].attempt != 1 {
				t.Errorf("%d are due, attempt %d", len(r.due), r.tries[0].attempt)
			}
		})
		g.say(&agentMsg{Op: msgCancel, Run: "R1", Reason: "enough"})
		if got := g.events("R1"); !strings.HasSuffix(got, "task.finished a cancelled, run.finished cancelled") {
			t.Error(got)
		}
		g.end()
	})
}

// What attempts that failed wrote to their outputs is gone with them: it counts for nothing.
func TestAgentRunOutputsOfFailures(t *testing.T) {
	write := `head -c 60000 /dev/zero | tr '\0' x | sed 's/^/k=/' > "$CDKTR_OUTPUT"; `
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: write + `test "$CDKTR_ATTEMPT" = 6`, Retries: 5,
		RetryDelay: Duration(time.Millisecond)}}}
	for i := range 5 {
		w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("f", i), Run: write + "exit 1", Depends: []string{"a"}})
	}
	w.Tasks = append(w.Tasks, Task{ID: "b", Run: write, Depends: []string{"f0", "f1", "f2", "f3", "f4"},
		When: whenAlways})
	h := agentHost(t, &principalLog{}, w)
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
	for _, task := range r.Tasks {
		switch failed := task.Task[0] == 'f'; {
		case failed && (task.State != taskFailed || task.Outputs != nil):
			t.Errorf("%s: %s, %d outputs", task.Task, task.State, len(task.Outputs))
		case !failed && (task.State != taskSucceeded || len(task.Outputs["k"]) != 60000):
			t.Errorf("%s: %s (%s), %d bytes", task.Task, task.State, task.Reason, len(task.Outputs["k"]))
		}
	}
	four := &Workflow{ID: "four"} // what succeeded does count
	for i := range 5 {
		four.Tasks = append(four.Tasks, Task{ID: fmt.Sprint("t", i), Run: write})
	}
	h.p.call(func() { h.p.setFiles(principalFiles(w, four), nil) })
	if r, _ := agentFollow(t, h, Request{Workflow: "four"}, nil); r.State != runFailed ||
		strings.Count(agentStates(r), "outputs of this run are more than 256 KiB as JSON in all") != 1 {
		t.Errorf("%s: %s", r.State, agentStates(r))
	}
	// Also what is kept for another attempt of the run, and as it is in a message: a control character is six bytes of
	// JSON.
	again := &Workflow{ID: "again"}
	for i := range 4 {
		again.Tasks = append(again.Tasks, Task{ID: fmt.Sprint("t", i), Run: write})
	}
	again.Retries = 1
	again.Tasks = append(again.Tasks, Task{ID: "b", Run: "mkdir " + t.TempDir() + "/first && exit 4; " + write,
		Depends: []string{"t0", "t1", "t2", "t3"}})
	wide := &Workflow{ID: "wide"}
	for i := range 2 {
		wide.Tasks = append(wide.Tasks, Task{ID: fmt.Sprint("t", i), Run: strings.Replace(write,
			"head -c 60000 /dev/zero | tr '\\0' x", "head -c 30000 /dev/zero | tr '\\0' '\\001'", 1)})
	}
	h.p.call(func() { h.p.setFiles(principalFiles(w, again, wide), nil) })
	for _, id := range []string{"again", "wide"} {
		if r, _ := agentFollow(t, h, Request{Workflow: id}, nil); r.State != runFailed ||
			strings.Count(agentStates(r), "outputs of this run are more than 256 KiB as JSON in all") != 1 {
			t.Errorf("%s: %s: %.500s", id, r.State, agentStates(r))
		}
	}
}

// TestAgentRunBlames: the task that failed first is named, wherever it stands, and neither one that was skipped for it
// nor one that ran and failed because of it. So does attention.
func TestAgentRunBlames(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{{"a", "b", "a"}, {"b", "a", "b"}} {
		dir := t.TempDir()
		if err := unix.Mkfifo(dir+"/over", 0o600); err != nil {
			t.Fatal(err)
		}
		exits := map[string]int{"a": 3, "b": 4}
		w := &Workflow{ID: "w", Tasks: []Task{{ID: "a"}, {ID: "b"},
			{ID: "c", Run: "exit 5", Depends: []string{c.first}, When: whenFailure},
			{ID: "d", Run: fmt.Sprintf(": >%s/over; exit 6", dir), Depends: []string{"c"}, When: whenAlways},
			{ID: "e", Run: "true", Depends: []string{c.first}}}}
		for i := range w.Tasks[:2] {
			task := &w.Tasks[i]
			task.Run = fmt.Sprintf("exit %d", exits[task.ID])
			if task.ID == c.second { // it ends behind all that follows from the first
				task.Run = fmt.Sprintf("read x <%s/over; %s", dir, task.Run)
			}
		}
		h := agentHost(t, &principalLog{}, w)
		r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
		if want := fmt.Sprintf("task %s: exit %d", c.want, exits[c.want]); r.State != runFailed || r.Reason != want {
			t.Errorf("%s first: %s %q, want %q", c.first, r.State, r.Reason, want)
		}
		if f := runFailure(r); f.Task != c.want || f.Exit == nil || *f.Exit != exits[c.want] {
			t.Errorf("%s first: attention blames %s", c.first, f.Task)
		}
	}
}

// While a task waits it says what comes next; what is kept of the attempt is only why it failed, and how long it took.
func TestAgentRunRetryReason(t *testing.T) {
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: `sleep 0.1; test "$CDKTR_ATTEMPT" = 3`, Retries: 2,
		RetryDelay: Duration(time.Millisecond)}}}
	h := agentHost(t, &principalLog{}, w)
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
	if is := agentStates(r); r.State != runSucceeded || is != "a succeeded" {
		t.Fatalf("%s: %s", r.State, is)
	}
	waits, n := regexp.MustCompile(`^exit 1; attempt ([23]) of 3 in [01]\d?m?s$`), 0
	if _, err := h.p.store.readEvents(1, 1000, func(e *Event) bool {
		if e.Kind == evTaskRetrying {
			n++
			if m := waits.FindStringSubmatch(e.Reason); m == nil || m[1] != fmt.Sprint(n+1) || e.Seconds < 0.1 ||
				e.Attempt != n {
				t.Errorf("attempt %d failed after %gs: %q", e.Attempt, e.Seconds, e.Reason)
			}
		}
		return true
	}); err != nil || n != 2 {
		t.Errorf("%d attempts failed, %v", n, err)
	}
	task := r.task("a")
	for i, a := range task.Earlier {
		if a.Attempt != i+1 || a.Reason != "exit 1" || a.Exit == nil || *a.Exit != 1 || a.Seconds < 0.1 ||
			a.Started.IsZero() {
			t.Errorf("kept of attempt %d is %+v", i+1, a)
		}
	}
	tries := task.tries()
	if len(tries) != 3 || task.Attempts != 3 || tries[0].Started != task.Started || tries[2].Started != task.Began ||
		tries[2].Seconds < 0.1 {
		t.Fatalf("%d attempts: %+v", task.Attempts, tries)
	}
	for i := range 2 {
		over := tries[i].Started.Add(time.Duration(tries[i].Seconds * float64(time.Second)))
		if over.After(tries[i+1].Started.Add(2 * time.Millisecond)) {
			t.Errorf("attempt %d ended %v, the next began %v", i+1, over, tries[i+1].Started)
		}
	}
}

// A task that fails twice and then succeeds: the command line tells of all three, and does so after a restart.
func TestAgentRunRetryShown(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", `
tasks:
  flaky: {run: 'sleep 0.1; exit $((CDKTR_ATTEMPT == 3 ? 0 : CDKTR_ATTEMPT + 2))', retries: 2, retry_delay: 10ms}
  plain: {run: 'true'}
`)
	p := x.Principal("--with-agent")
	id := x.Start("w")
	if run := x.await(id); run.State != runSucceeded {
		t.Fatalf("the run is %+v", run)
	}
	see := func(when string) {
		t.Helper()
		text := x.OK("show", id, "--json")
		run := harness.Decode[Run](t, text)
		flaky := run.task("flaky")
		if flaky.Attempts != 3 || len(flaky.Earlier) != 2 || flaky.Began.IsZero() {
			t.Fatalf("%s: %s", when, text)
		}
		for i, a := range flaky.Earlier {
			if a.Attempt != i+1 || a.Exit == nil || *a.Exit != i+3 || a.Reason != fmt.Sprint("exit ", i+3) ||
				a.Seconds < 0.1 || a.Started.IsZero() {
				t.Errorf("%s: attempt %d is %+v", when, i+1, a)
			}
		}
		if n := strings.Count(text, `"earlier"`) + strings.Count(text, `"began"`); n != 2 {
			t.Errorf("%s: also a task that was not retried has attempts: %s", when, text)
		}
		row := regexp.MustCompile(`flaky +\+ succeeded .* 0 +3 .*\n  try 1 +! failed +[\d:]+ +[\d.ms]+ +3 .* +exit 3\n  try 2 +! failed +[\d:]+ +[\d.ms]+ +4 .* +exit 4\n  try 3 +\+ succeeded +[\d:]+ +[\d.ms]+ +0 .*\nplain `)
		if text := x.OK("show", id); !row.MatchString(text) || strings.Count(text, "try") != 3 {
			t.Errorf("%s it prints:\n%s", when, text)
		}
	}
	see("at first")
	p.Stop()
	x.Principal("--with-agent")
	see("after a restart")
}

// The timeout of a run stops its tasks, and not what cleans up or raises the alarm behind them, nor what of that is at
// work.
func TestAgentRunLate(t *testing.T) {
	sleep, limit := "exec sleep 300", Duration(400*time.Millisecond)
	clean := func(id string, depends ...string) Task {
		return Task{ID: id, Run: "echo " + id, Depends: depends, When: whenAlways}
	}
	alarm := func(id string, depends ...string) Task {
		return Task{ID: id, Run: "echo " + id, Depends: depends, When: whenFailure}
	}
	for id, c := range map[string]struct {
		most  int
		tasks []Task
		want  string
	}{
		"behind": {0, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: "true", Depends: []string{"a"}}, clean("c", "b"),
			alarm("d", "a"), {ID: "e", Run: "echo e", Depends: []string{"c"}}, alarm("f", "e")},
			"a failed (LATE), b skipped (a failed), c succeeded, d succeeded, e cancelled (LATE), f succeeded"},
		"waits for a place": {1, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: "echo b"}, alarm("c", "b"),
			{ID: "d", Run: "true", Depends: []string{"b"}}},
			"a failed (LATE), b cancelled (LATE), c succeeded, d skipped (b was cancelled)"},
		"at work": {0, []Task{{ID: "z", Run: "true"}, {ID: "a", Run: "sleep 1; echo a", Depends: []string{"z"},
			When: whenAlways}},
			"z succeeded, a succeeded"},
		"is tried again": {0, []Task{{ID: "a", Run: "exit 1", Retries: 5, RetryDelay: Duration(time.Hour)},
			{ID: "b", Run: `test "$CDKTR_ATTEMPT" = 2`, Depends: []string{"a"}, When: whenFailure, Retries: 1,
				RetryDelay: Duration(time.Millisecond)}},
			"a failed (LATE), b succeeded"},
		"has its own": {0, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: sleep, Depends: []string{"a"}, When: whenAlways,
			Timeout: Duration(100 * time.Millisecond)}},
			"a failed (LATE), b failed (timed out after 100ms)"},
	} {
		t.Run(id, func(t *testing.T) {
			h := agentHost(t, &principalLog{}, &Workflow{ID: "w", Timeout: limit, MaxActiveTasks: c.most,
				Tasks: c.tasks})
			r, lines := agentFollow(t, h, Request{Workflow: "w"}, nil)
			got := fmt.Sprintf("%s (%s): %s", r.State, r.Reason, agentStates(r))
			if want := strings.ReplaceAll("failed (LATE): "+c.want, "LATE", "timed out after 400ms"); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			for _, line := range lines {
				if strings.HasPrefix(line, "e|o|") || id == "waits for a place" && strings.HasPrefix(line, "b|o|") {
					t.Errorf("it ran: %q", line)
				}
			}
			if id == "at work" && !slices.Contains(lines, "a|o|a") {
				t.Errorf("output %q", lines)
			}
		})
	}
}

// What cleans up after the run's timeout has five minutes for all its attempts; and a cancel ends it like anything
// else.
func TestAgentRunLateCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := Task{Cmd: "/no/such/program", Retries: 1000, RetryDelay: Duration(30 * time.Second),
			RetryMaxDelay: Duration(30 * time.Second)}
		a, b := again, again
		a.ID, b.ID, b.When, b.Depends = "a", "b", whenAlways, []string{"a"}
		w := Workflow{Timeout: Duration(time.Hour), Tasks: []Task{a, b}}
		g := agentRigOpen(t)
		began := time.Now()
		g.assign("R1", 1, w)
		time.Sleep(2 * time.Hour)
		last := g.lastEvent("R1")
		if took := last.Time.Sub(began); last.Kind != evRunFinished || last.State != runFailed ||
			last.Reason != "timed out after 1h" || took < time.Hour+5*time.Minute ||
			took > time.Hour+5*time.Minute+time.Second {
			t.Errorf("%s %s %q after %v", last.Kind, last.State, last.Reason, took)
		}
		if got := g.events("R1"); !strings.HasSuffix(got, "task.finished b failed, run.finished failed") ||
			strings.Count(got, "task.finished a failed") != 1 {
			t.Error(got)
		}
		g.assign("R2", 2, w)
		time.Sleep(time.Hour + time.Minute)
		g.say(&agentMsg{Op: msgCancel, Run: "R2", Reason: "enough"})
		if got := g.events("R2"); !strings.HasSuffix(got, "task.finished b cancelled, run.finished cancelled") {
			t.Error(got)
		}
		g.end()
	})
}
