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

// TestExec: exec ends as its command does, which gets its arguments as they are; the run is recorded as any other, and
// survives a kill of the principal, queued and at work.
func TestExec(t *testing.T) {
	x := newSite(t)
	p := x.Principal()
	agent := x.Agent("one", "--capacity", "2", "--label", "site=x")
	r := x.Code(7, "exec", "--", "sh", "-c", "echo told; echo warned >&2; exit 7")
	if r.Out != "told\n" || r.Err != "warned\n" {
		t.Errorf("it wrote %q and %q", r.Out, r.Err)
	}
	args := []string{"a b", "", "${params.x}", "$${y}", "$HOME", "*", `"'\`, "-l", "--", "日本"}
	if out := x.OK(append([]string{"exec", "--", "printf", "%s|"}, args...)...); out != strings.Join(args, "|")+"|\n" {
		t.Errorf("its arguments were %q", out)
	}
	if out := x.OK("exec", "--env", "A=x ${B}", "--cwd", "/", "--", "sh", "-c", `echo "$A"; pwd; cat`); out !=
		"x ${B}\n/\n" {
		t.Errorf("with variables and a folder: %q", out)
	}
	x.Code(137, "exec", "--", "sh", "-c", "kill -9 $$")
	x.Refused(124, []string{"timed out"}, "exec", "--timeout", "0.2", "--", "sleep", "600")
	x.Refused(126, []string{"executable"}, "exec", "--", "/etc/passwd")
	x.Refused(127, []string{"not found"}, "exec", "--", "no-such-command")
	x.Refused(125, []string{"--bad"}, "exec", "--bad", "--", "true")
	x.Refused(125, []string{"--"}, "exec")
	x.Refused(125, []string{"absolute"}, "exec", "--cwd", "tmp", "--", "true")
	x.Refused(125, []string{"letters"}, "exec", "-n", "a b", "--", "true")
	x.Refused(125, []string{"32768"}, "exec", "--", "echo", strings.Repeat("x", 33<<10))
	x.Refused(125, []string{"socket"}, "exec", "--principal", "ipc://"+x.Dir+"/none", "--", "true")
	x.Refused(5, []string{"cdktr exec"}, "run", "/exec")

	// One run for each key; a run as JSON.
	id := strings.TrimSpace(x.OK("exec", "--detach", "--key", "k", "-n", "once", "--", "true"))
	if again := strings.TrimSpace(x.OK("exec", "--detach", "--key", "k", "-n", "once", "--", "true")); again != id {
		t.Errorf("the same key made %s and %s", id, again)
	}
	x.Refused(125, []string{"another command"}, "exec", "--detach", "--key", "k", "--", "false")
	one := harness.Decode[Run](t, x.Code(3, "exec", "--json", "--", "sh", "-c", "exit 3").Out)
	if one.Workflow != "/exec" || one.Trigger != "manual" || one.Tasks[0].Task != "sh" || *one.Tasks[0].Exit != 3 {
		t.Errorf("as JSON: %+v", one)
	}
	if out := x.OK("logs", "/exec", "--json"); out != "" {
		t.Errorf("output of the newest: %q", out)
	}
	if r := x.Code(1, "retry", one.ID, "--wait"); !strings.Contains(r.Err, "exit 3") {
		t.Errorf("a retry: %q", r.Err)
	}
	if out := x.OK("attention"); strings.Contains(out, "exec") {
		t.Errorf("a command that failed needs attention: %s", out)
	}
	if trail := x.OK("events"); !strings.Contains(trail, `"args":["-c","exit 3"]`) {
		t.Errorf("the audit trail does not have the command:\n%s", trail)
	}

	// Over a kill of the principal: one at work, one queued that no agent can do yet.
	x.File("../hold", "")
	work := x.Spawn("exec", "--", "sh", "-c", `echo begun; while [ -e "$0" ]; do sleep 0.05; done; echo over; exit 9`,
		x.Dir+"/hold")
	work.Saw(&work.Out, "begun")
	far := x.Spawn("exec", "-l", "site=mars", "--", "echo", "from mars")
	far.Saw(&far.Err, "queued: no agent .*site=mars")
	p.Kill()
	work.Saw(&work.Err, "connection was lost")
	x.Principal()
	agent.Saw(&agent.Err, "connected to the principal(?s:.)*connected to the principal")
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if code := work.Wait(); code != 9 || work.Out.String() != "begun\nover\n" {
		t.Errorf("over a kill: exit code %d, %q, %q", code, work.Out.String(), work.Err.String())
	}
	x.Agent("two", "--label", "site=mars")
	if code := far.Wait(); code != 0 || far.Out.String() != "from mars\n" {
		t.Errorf("queued over a kill: exit code %d, %q", code, far.Out.String())
	}

	// Interrupted it leaves the run alone.
	x.File("../hold", "")
	left := x.Spawn("exec", "-n", "left", "--", "sh", "-c", `echo begun; while [ -e "$0" ]; do sleep 0.05; done`,
		x.Dir+"/hold")
	left.Saw(&left.Out, "begun")
	left.Signal(syscall.SIGINT)
	if code := left.Wait(); code != 130 {
		t.Errorf("interrupted: exit code %d", code)
	}
	id = left.Saw(&left.Err, "the run goes on: cdktr logs -f (\\w{26}) shows it, cdktr cancel")[1]
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if run := x.await(id); run.State != runSucceeded || run.Tasks[0].Task != "left" {
		t.Errorf("after the interruption the run is %+v", run)
	}
}
