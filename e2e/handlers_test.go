// End-to-end tests of on_failure, on_success and on_exit.

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// handlersRead gives the lines that tasks have written to a file of the site's folder, joined by |.
func handlersRead(x *site, name string) string {
	text, _ := os.ReadFile(x.Dir + "/" + name)
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "|")
}

// TestHandlers: handlers follow the last attempt of a run, know all about it, and change nothing of how it ended.
func TestHandlers(t *testing.T) {
	x := newSite(t)
	x.File("bad.yml", `retries: 1
tasks:
  get: {run: 'echo got; echo ROWS=42 >> $CDKTR_OUTPUT'}
  put:
    depends: [get]
    run: 'seq 1 200; echo try $CDKTR_ATTEMPT >&2; exit 3'
on_failure:
  tell:
    run: |
      echo "$CDKTR_WORKFLOW_ID $CDKTR_TASK_ID $CDKTR_RUN_STATE: $CDKTR_REASON" > $DIR/told
      echo "$CDKTR_FAILED_TASKS $ROWS $((CDKTR_SECONDS < 100)) ${CDKTR_STARTED_AT%T*}" >> $DIR/told
      head -1 "$CDKTR_TAIL" >> $DIR/told; wc -l < "$CDKTR_TAIL" >> $DIR/told
      head -1 "$CDKTR_LOG" >> $DIR/told; wc -l < "$CDKTR_LOG" >> $DIR/told
      echo "WHO=ops" >> $CDKTR_OUTPUT
      echo told
  log:
    depends: [tell]
    cmd: sh
    args: [-c, 'echo "$1 $WHO" >> $DIR/told', x, "${tasks.get.outputs.ROWS}${tasks.put.outputs.NONE} ${tasks.tell.outputs.WHO}"]
on_success: echo never > $DIR/told
on_exit: exit 5
`)
	x.File("good.yml", `tasks: {a: {run: 'echo out'}, b: {run: 'echo B=1 >> $CDKTR_OUTPUT'}}
on_failure: echo never > $DIR/fine
on_success: 'echo "$CDKTR_RUN_STATE, $CDKTR_REASON$CDKTR_FAILED_TASKS, $B, $(cat "$CDKTR_TAIL")" > $DIR/fine'
on_exit: {}
`)
	p := x.Principal("--with-agent")
	r := x.run("bad")
	if r.State != runFailed || r.Reason != "task put: exit 3" || r.Attempt != 2 || statesOf(r) !=
		"get=succeeded on_exit=failed on_failure.log=succeeded on_failure.tell=succeeded put=failed" {
		t.Errorf("%s (%s), attempt %d: %s", r.State, r.Reason, r.Attempt, statesOf(r))
	}
	day := r.task("get").Started.UTC().Format("2006-01-02")
	want := "bad on_failure.tell failed: task put: exit 3|put 42 1 " + day + "|102|100|1|201|42 ops ops"
	if got := handlersRead(x, "told"); got != want {
		t.Errorf("it was told\n%s, want\n%s", got, want)
	}
	if r.task("on_failure.tell").Handler != "on_failure" || r.task("on_exit").Handler != "on_exit" ||
		r.task("put").Handler != "" {
		t.Errorf("%+v", r.Tasks)
	}
	if out := x.OK("logs", r.ID, "--task", "on_failure.tell"); out != "told\n" {
		t.Errorf("its log is %q", out)
	}
	if out := x.OK("ps", "--all"); !strings.Contains(out, " 2/2 ") {
		t.Errorf("ps counts handlers:\n%s", out)
	}
	show := x.OK("show", r.ID)
	graph := x.OK("graph", "bad")
	for _, out := range []string{show, graph} {
		if _, below, _ := strings.Cut(out, "put "); !strings.Contains(below, "\n\non_failure.tell") ||
			!strings.Contains(below, "\n\non_exit") {
			t.Errorf("the handlers are not drawn apart:\n%s", out)
		}
	}
	if r := x.run("good"); r.State != runSucceeded || statesOf(r) != "a=succeeded b=succeeded on_success=succeeded" {
		t.Errorf("%s: %s", r.State, statesOf(r))
	}
	if got := handlersRead(x, "fine"); got != "succeeded, , 1, out" {
		t.Errorf("it was told %q", got)
	}
	// A retry by hand has an end of its own.
	x.OK("retry", r.ID)
	if again := x.await(r.ID); again.Attempt != 3 || len(again.Tasks) != 5 {
		t.Errorf("attempt %d: %s", again.Attempt, statesOf(again))
	}
	p.Stop()
	if left, _ := os.ReadDir(x.Dir + "/state/handlers"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// handlersFile is a workflow whose graph and handlers wait for as long as there are files of their names.
const handlersFile = `tasks: {work: {run: 'while [ -e $DIR/work ]; do sleep 0.05; done; exit $(cat $DIR/code)'}}
on_failure: 'echo fail >> $DIR/did; while [ -e $DIR/fail ]; do sleep 0.05; done'
on_exit: 'echo exit >> $DIR/did; while [ -e $DIR/exit ]; do sleep 0.05; done'
`

// handlersHold makes the files that hold up the parts of such a run, and releases the others.
func handlersHold(x *site, parts string) {
	for _, part := range []string{"work", "fail", "exit"} {
		if strings.Contains(parts, part) {
			x.File("../"+part, "")
		} else {
			os.Remove(x.Dir + "/" + part)
		}
	}
}

// TestHandlersCancel: what a cancel, a second one, and one with --force end.
func TestHandlersCancel(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", handlersFile)
	p := x.Principal("--with-agent")
	defer p.Stop()
	at := func(run, task string) {
		x.Until(task+" is at work", func() bool {
			r := x.show(run)
			return r != nil && r.task(task) != nil && r.task(task).State == taskRunning
		})
	}
	for _, c := range []struct{ name, hold, at, then, state, tasks, did string }{
		{"a cancel", "work", "work", "cancel", "cancelled", "on_exit=succeeded work=cancelled", "exit"},
		{"with force", "work", "work", "force", "cancelled", "work=cancelled", ""},
		{"twice", "work exit", "work", "cancel on_exit cancel", "cancelled", "on_exit=cancelled work=cancelled",
			"exit"},
		{"twice, with force", "work exit", "work", "cancel on_exit force", "cancelled",
			"on_exit=cancelled work=cancelled", "exit"},
		{"once, in a handler", "fail", "on_failure", "cancel go", "failed",
			"on_exit=succeeded on_failure=succeeded work=failed", "fail|exit"},
		{"twice, in a handler", "fail", "on_failure", "cancel cancel", "failed",
			"on_exit=skipped on_failure=cancelled work=failed", "fail"},
		{"its task alone", "fail", "on_failure", "task", "failed",
			"on_exit=succeeded on_failure=cancelled work=failed", "fail|exit"},
	} {
		os.Remove(x.Dir + "/did")
		x.File("../code", "3")
		handlersHold(x, c.hold)
		run := x.Start("w")
		at(run, c.at)
		for do := range strings.FieldsSeq(c.then) {
			switch do {
			case "cancel":
				out := x.Code(0, "cancel", run)
				if c.name == "once, in a handler" && !strings.Contains(out.Err, "cancel it again to end them") {
					t.Errorf("%s: it says %q", c.name, out.Err)
				}
			case "force":
				x.OK("cancel", run, "--force")
			case "task":
				x.OK("cancel", run, "--task", c.at)
			case "go":
				handlersHold(x, "")
			default:
				at(run, do)
			}
		}
		if r := x.await(run); r.State != c.state || statesOf(r) != c.tasks || handlersRead(x, "did") != c.did {
			t.Errorf("%s: %s (%s), %s, did %s", c.name, r.State, r.Reason, statesOf(r), handlersRead(x, "did"))
		}
	}
}

// TestKill9Handlers: whoever is killed, and wherever the run is then, each handler begins once, and the run ends as its
// graph did.
func TestKill9Handlers(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", handlersFile)
	p, agent := x.Principal(), x.Agent("far")
	for _, c := range []struct{ name, at, kill, state, reason, tasks, did string }{
		{"the agent at work", "work", "agent", "crashed", "agent far was restarted while it ran",
			"on_exit=succeeded on_failure=succeeded work=crashed", "fail|exit"},
		{"the agent in a handler", "fail", "agent", "failed", "task work: exit 3",
			"on_exit=succeeded on_failure=crashed work=failed", "fail|exit"},
		{"the agent in the last handler", "exit", "agent", "failed",
			"task work: exit 3; its handlers were cut short: agent far was restarted while it ran",
			"on_exit=crashed on_failure=succeeded work=failed", "fail|exit"},
		{"the principal at work", "work", "principal", "failed", "task work: exit 3",
			"on_exit=succeeded on_failure=succeeded work=failed", "fail|exit"},
		{"the principal in a handler", "fail", "principal", "failed", "task work: exit 3",
			"on_exit=succeeded on_failure=succeeded work=failed", "fail|exit"},
		{"both in a handler", "fail", "principal agent", "failed", "task work: exit 3",
			"on_exit=succeeded on_failure=crashed work=failed", "fail|exit"},
	} {
		os.Remove(x.Dir + "/did")
		x.File("../code", "3")
		handlersHold(x, c.at)
		run := x.Start("w")
		task := map[string]string{"work": "work", "fail": "on_failure", "exit": "on_exit"}[c.at]
		x.Until(task+" is at work", func() bool {
			r := x.show(run)
			return r != nil && r.task(task) != nil && r.task(task).State == taskRunning
		})
		x.OK("pause", "w") // what is answered is on the disk, and so is all before it
		x.OK("resume", "w")
		if strings.Contains(c.kill, "principal") {
			p.Kill()
		}
		if strings.Contains(c.kill, "agent") {
			agent.Kill()
		}
		handlersHold(x, "")
		if strings.Contains(c.kill, "principal") {
			p = x.Principal()
		}
		if strings.Contains(c.kill, "agent") {
			agent = x.Agent("far")
		}
		r := x.await(run)
		if r.State != c.state || r.Reason != c.reason || statesOf(r) != c.tasks || handlersRead(x, "did") != c.did {
			t.Error(c.name, fmt.Sprintf(": %s (%s), %s, did %s", r.State, r.Reason, statesOf(r),
				handlersRead(x, "did")))
		}
	}
	agent.Stop()
	p.Stop()
}

// TestHandlersElsewhere: the agent of a run is gone for good, and no other has its labels: the principal's own runs the
// handlers.
func TestHandlersElsewhere(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "agent: {site: far}\n"+handlersFile)
	x.File("../code", "0")
	handlersHold(x, "work")
	p, agent := x.Principal("--with-agent"), x.Agent("far", "--label", "site=far")
	run := x.Start("w")
	x.Until("it is at work", func() bool { return x.show(run).task("work").State == taskRunning })
	agent.Kill()
	handlersHold(x, "")
	agent = x.Agent("far") // a far one without the label
	r := x.await(run)
	if r.State != "crashed" || r.Agent != "one" || statesOf(r) !=
		"on_exit=succeeded on_failure=succeeded work=crashed" || handlersRead(x, "did") != "fail|exit" {
		t.Errorf("%s on %s (%s): %s, did %s", r.State, r.Agent, r.Reason, statesOf(r), handlersRead(x, "did"))
	}
	agent.Stop()
	p.Stop()
}
