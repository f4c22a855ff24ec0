// Runs that are started by hand, one or many, and waited for: wait, retry, exec, trigger.

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// adhocFiles makes a workflow that goes on for as long as the file hold is there, and one that fails.
func adhocFiles(x *site) {
	x.T.Helper()
	x.File("slow.yml", "tasks:\n  a: {run: 'while [ -e $DIR/hold ]; do sleep 0.05; done'}\n")
	x.File("bad.yml", "tasks:\n  a: {run: exit 3}\n")
	x.File("good.yml", "tasks:\n  a: {run: 'true'}\n")
}

// TestWait: wait ends with the last of its runs, by the worst of them, and finds a principal again that was killed.
func TestWait(t *testing.T) {
	x := newSite(t)
	adhocFiles(x)
	x.File("../hold", "")
	p := x.Principal()
	agent := x.Agent("one", "--capacity", "3")
	good, bad, slow := x.Start("good"), x.Start("bad"), x.Start("slow")
	if r := x.Code(0, "wait", good); !strings.HasPrefix(r.Out, "+ succeeded  "+good+"  good  1/1  on one") {
		t.Errorf("a run that succeeds: %q", r.Out)
	}
	r := x.Code(1, "wait", bad, good)
	if n := strings.Count(r.Out, "\n"); n != 2 || !strings.Contains(r.Out, "! failed     "+bad) ||
		!strings.Contains(r.Err, "1 of 2 runs did not succeed") {
		t.Errorf("a run that fails: %q, %q", r.Out, r.Err)
	}
	r = x.Feed("\n"+bad+"\n"+good+"\n"+strings.Repeat("x", 300)+"\nnone", "wait", "-", "--json")
	if n := strings.Count(r.Out, "\n"); r.Code != 5 || n != 2 {
		t.Errorf("from standard input: exit code %d, %q, %q", r.Code, r.Out, r.Err)
	}
	for _, line := range strings.Split(strings.TrimSpace(r.Out), "\n") {
		if run := harness.Decode[Run](t, line); run.State != runSucceeded && run.State != runFailed {
			t.Errorf("as JSON: %s", line)
		}
	}
	x.Refused(1, []string{"timeout after 300ms", "1 run had not ended"}, "wait", slow, "--timeout", "0.3")
	x.Refused(2, []string{"RUN"}, "wait")
	x.Refused(2, []string{"--timeout", "soon"}, "wait", slow, "--timeout", "soon")
	x.Refused(5, []string{"good", "is a workflow", good}, "wait", "good")

	waits := x.Spawn("wait", slow, bad)
	waits.Saw(&waits.Out, bad)
	p.Kill()
	waits.Saw(&waits.Err, "connection was lost")
	x.Principal()
	agent.Saw(&agent.Err, "connected to the principal(?s:.)*connected to the principal")
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if code := waits.Wait(); code != 1 {
		t.Errorf("exit code %d over a restart: %s", code, waits.Err.String())
	}
	if out := waits.Out.String(); !strings.Contains(out, "+ succeeded  "+slow) || strings.Count(out, "\n") != 2 {
		t.Errorf("over a restart it printed %q", out)
	}

	// Why a run does not begin is said; an end by a signal leaves it alone.
	x.File("far.yml", "agent: {site: mars}\ntasks:\n  a: {run: 'true'}\n")
	x.OK("rescan")
	far := x.Start("far")
	waits = x.Spawn("wait", far)
	waits.Saw(&waits.Err, "run "+far+" is queued: .*site=mars")
	waits.Signal(syscall.SIGINT)
	if code := waits.Wait(); code != 130 || !strings.Contains(waits.Err.String(), "they go on") {
		t.Errorf("interrupted: exit code %d, %q", code, waits.Err.String())
	}
}

// TestRetryFrom: a retry from a task runs that and all behind it again, with the outputs of the others; a dry one only
// tells; --wait and --follow see to the end, without what was written before.
func TestRetryFrom(t *testing.T) {
	x := newSite(t)
	const tasks = `tasks:
  get: {run: 'echo getting; echo N=7 > "$CDKTR_OUTPUT"'}
  load: {depends: [get], run: 'echo "loading $N"'}
  sum: {depends: [load], run: 'echo summing'}
  side: {depends: [get], run: 'echo side'}
`
	x.File("etl.yml", tasks)
	x.File("bad.yml", "tasks:\n  a: {run: 'echo told; exit 3'}\n  b: {depends: [a], run: 'true'}\n")
	x.File("kid.yml", "tasks:\n  a: {run: 'true'}\n")
	x.File("top.yml", "tasks:\n  a: {workflow: kid}\n  b: {depends: [a], run: 'true'}\n")
	x.Principal("--with-agent", "--capacity", "2")
	run := x.run("etl")
	if r := x.Code(5, "retry", run.ID); !strings.Contains(r.Err, "--from") {
		t.Errorf("a run that succeeded: %q", r.Err)
	}

	r := x.Code(0, "retry", run.ID, "--from", "load", "--dry-run")
	if !strings.Contains(r.Out, "get   + succeeded  its outcome is used again") ||
		!strings.Contains(r.Out, "sum   + succeeded  runs again") || !strings.Contains(r.Err, "nothing was done") {
		t.Errorf("a dry retry: %s%s", r.Out, r.Err)
	}
	if again := x.show(run.ID); again.Attempt != 1 || again.State != runSucceeded {
		t.Errorf("a dry retry left the run %s, attempt %d", again.State, again.Attempt)
	}
	r = x.Code(0, "retry", run.ID, "--from", "load", "--follow")
	if r.Out != "loading 7\nsumming\n" && r.Out != "summing\nloading 7\n" {
		t.Errorf("with --follow: %q, %q", r.Out, r.Err)
	}
	again := x.show(run.ID)
	for _, task := range again.Tasks {
		was := run.task(task.Task)
		if kept := task.Started.Equal(was.Started); kept != (task.Task == "get" || task.Task == "side") {
			t.Errorf("task %s: started %s, before %s", task.Task, task.Started, was.Started)
		}
	}
	if trail := x.OK("events"); again.Attempt != 2 ||
		!strings.Contains(trail, `"task":"load","attempt":2,"reason":"retr`) {
		t.Errorf("attempt %d; the audit trail has no such event:\n%s", again.Attempt, trail)
	}

	// What has changed since: a task, one that is gone, and one that is new.
	x.File("etl.yml", strings.NewReplacer("summing", "adding up", "side:", "aside:").Replace(tasks))
	x.OK("rescan")
	r = x.Code(0, "retry", run.ID, "--from", "load", "--dry-run", "--json")
	harness.Fields(t, r.Out, "run workflow attempt file tasks new")
	for _, want := range []string{`"file":"changed","tasks"`,
		`"task":"get","state":"succeeded","again":false,"file":"same"`,
		`"task":"sum","state":"succeeded","again":true,"file":"changed"`,
		`"task":"side","state":"succeeded","again":false,"file":"gone"`, `"new":["aside"]`, `"attempt":3`} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("as JSON, without %s: %s", want, r.Out)
		}
	}
	if r := x.Code(0, "retry", run.ID, "--from", "load", "--dry-run"); !strings.Contains(r.Err, "aside") ||
		!strings.Contains(r.Err, "has changed since") {
		t.Errorf("what has changed: %q", r.Err)
	}

	bad := x.run("bad")
	r = x.Code(1, "retry", bad.ID, "--wait")
	if r.Out != bad.ID+"\n" || !strings.Contains(r.Err, "task a: exit 3") {
		t.Errorf("with --wait: %q, %q", r.Out, r.Err)
	}
	if r := x.Code(1, "retry", bad.ID, "--wait", "--json"); harness.Decode[Run](t, r.Out).Attempt != 3 {
		t.Errorf("with --wait and --json: %s", r.Out)
	}

	// A task that is a run of another workflow starts a new one.
	top := x.run("top")
	x.OK("retry", top.ID, "--from", "a", "--wait")
	if child := x.show(top.ID).task("a").Child; child == top.task("a").Child || child == "" {
		t.Errorf("the child is %s, and was %s", child, top.task("a").Child)
	}

	x.Refused(5, []string{"no task", "lod", "did you mean", "load"}, "retry", run.ID, "--from", "lod")
	x.Refused(2, []string{"--all", "--from"}, "retry", run.ID, "--from", "load", "--all")
	x.Refused(2, []string{"--from"}, "retry", run.ID, "--from", "")
	x.Refused(2, []string{"--dry-run"}, "retry", run.ID, "--dry-run", "--wait")
	x.Refused(5, []string{"is a workflow"}, "retry", "etl", "--dry-run")
}
