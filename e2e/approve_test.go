// Tasks that wait for a person.

package e2e

import (
	"os"
	"strings"
	"testing"
)

const approveFile = `tasks:
  build: {run: 'echo VERSION=7 > $CDKTR_OUTPUT'}
  ask:
    depends: [build]
    approve: Ship ${tasks.build.outputs.VERSION}?
    KEYS
  ship: {depends: [ask], run: 'echo "$by said $comment"'}
  undo: {depends: [ask], when: failure, run: 'true'}
`

// approveAsked starts the workflow and waits until its task asks.
func approveAsked(x *site, id string, flags ...string) string {
	x.T.Helper()
	run := x.Start(id, flags...)
	x.Until("the task asks", func() bool { r := x.show(run); return r != nil && r.Parked })
	return run
}

// TestApprove answers tasks that wait for a person: yes, no, by nobody in time, by somebody who may not; and stops the
// principal, the agent and the run meanwhile.
func TestApprove(t *testing.T) {
	x := newSite(t)
	x.File("it.yml", strings.Replace(approveFile, "KEYS", "timeout: 1h", 1))
	x.File("short.yml", strings.Replace(approveFile, "KEYS", "timeout: 100ms", 1))
	x.File("hers.yml", strings.Replace(approveFile, "KEYS", "approvers: [ana]", 1))
	x.File("his.yml", strings.Replace(approveFile, "KEYS", `approvers: [ana, "uid:0"]`, 1))
	p := x.Principal()
	agent := x.Agent("one", "--capacity", "1")
	ended := func(run, want, reason string) {
		t.Helper()
		r := x.await(run)
		if got := childEnds(r); got != want || !strings.Contains(r.task("ask").Reason, reason) {
			t.Errorf("%s, %q; want %s, %q", got, r.task("ask").Reason, want, reason)
		}
	}
	const yes = "succeeded build=succeeded ask=succeeded ship=succeeded undo=skipped"
	const no = "failed build=succeeded ask=failed ship=skipped undo=succeeded"

	run, other := approveAsked(x, "it"), approveAsked(x, "it") // an agent with one place has room for both
	for _, want := range []string{"it ask waits for approval", "waiting for approval: Ship 7?",
		"$ cdktr approve " + run + " ask", "$ cdktr reject " + other + " ask"} {
		if out := x.Cdktr("attention").Out; !strings.Contains(out, want) {
			t.Errorf("attention says %s, not %q", out, want)
		}
	}
	if out := x.OK("show", run); !strings.Contains(out, "waiting for approval: Ship 7?") {
		t.Errorf("show: %s", out)
	}
	x.Refused(exitRefused, []string{"does not wait for approval: it is succeeded"}, "approve", run, "build")
	x.Refused(exitRefused, []string{"has no task"}, "approve", run, "biuld")
	x.OK("approve", run, "--comment", "fine by me")
	ended(run, yes, "approved by root: fine by me")
	if out := x.OK("logs", run); !strings.Contains(out, "root said fine by me\n") {
		t.Errorf("output: %s", out)
	}
	x.Refused(exitRefused, []string{"no task of run " + run + " waits for approval"}, "reject", run)
	x.OK("reject", other, "ask", "--comment", "the tests were red")
	ended(other, no, "rejected by root: the tests were red")
	if out := x.OK("events", "--json"); !strings.Contains(out, `"e":"task.answered"`) ||
		!strings.Contains(out, "the tests were red") {
		t.Errorf("the audit trail says nothing of it: %s", out)
	}
	ended(x.Start("short"), no, "timed out after 100ms")

	run = approveAsked(x, "hers")
	x.Refused(exitNotAllowed, []string{"is not for root to decide: ana may"}, "approve", run)
	x.OK("cancel", run)
	ended(run, "cancelled build=succeeded ask=cancelled ship=skipped undo=skipped", "cancelled by root")
	run = approveAsked(x, "his")
	x.OK("approve", run)
	ended(run, yes, "approved by root")

	// The principal is killed while it waits; the agent, which takes the question up again; then the principal with an
	// answer that the agent has not heard.
	run = approveAsked(x, "it")
	p.Kill()
	p = x.Principal()
	agent.Kill()
	agent = x.Agent("one", "--capacity", "1")
	x.Until("the task asks again", func() bool { r := x.show(run); return r != nil && r.Parked && r.Lease == 2 })
	if r := x.show(run); r.Attempt != 1 || r.task("build").State != taskSucceeded {
		t.Errorf("asked again: %+v", r)
	}
	agent.Kill()
	x.Until("the principal knows", func() bool { return strings.Contains(x.OK("agents"), "lost") })
	if r := x.Code(0, "approve", run); !strings.Contains(r.Err, "not connected now: the run goes on when it is back") {
		t.Errorf("approve without an agent: %s", r.Err)
	}
	p.Kill()
	x.Principal()
	agent = x.Agent("one", "--capacity", "1")
	ended(run, yes, "approved by root")

	// An agent that ends gives back what only waits, and so does one that is drained.
	run = approveAsked(x, "it")
	agent.Stop()
	x.Until("it is queued again", func() bool { r := x.show(run); return r.State == runQueued && r.Attempt == 1 })
	x.Agent("two")
	x.Until("the other agent asks", func() bool { r := x.show(run); return r != nil && r.Parked && r.Agent == "two" })
	x.Agent("three")
	x.OK("drain", "two")
	x.Until("the third one asks", func() bool { r := x.show(run); return r != nil && r.Parked && r.Agent == "three" })
	x.OK("approve", run)
	ended(run, yes, "approved by root")
}

// TestApproveBesideFailure: a run in which a task has failed is not queued again for an agent that is drained or was
// killed: that task would run once more, which nobody has asked for.
func TestApproveBesideFailure(t *testing.T) {
	x := newSite(t)
	x.File("it.yml", "tasks:\n  bad: {run: 'echo $CDKTR_RUN_ID >>$DIR/ran; exit 3'}\n  ask: {approve: Ship?}\n")
	x.Principal()
	one := x.Agent("one")
	asked := func() string {
		run := x.Start("it")
		x.Until("the task asks", func() bool {
			r := x.show(run)
			return r != nil && r.Parked && r.task("bad").State == runFailed
		})
		return run
	}
	run := asked()
	x.Agent("two")
	x.OK("drain", "one")
	x.OK("approve", run)
	if r := x.await(run); r.State != runFailed || r.Agent != "one" || r.task("ask").State != taskSucceeded {
		t.Errorf("drained: %s on %s, %+v", r.State, r.Agent, r.Tasks)
	}
	x.OK("drain", "two")
	x.OK("undrain", "one")
	run = asked()
	one.Kill()
	x.Agent("one")
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("killed: %s, %+v", r.State, r.Tasks)
	}
	if text, err := os.ReadFile(x.Dir + "/ran"); strings.Count(string(text), "\n") != 2 {
		t.Errorf("the task has run %q times, %v", text, err)
	}
}

// TestApproveKeys: a key that a task names may answer it with any role that sees the workflow, and no other may.
func TestApproveKeys(t *testing.T) {
	x := newSite(t)
	x.File("hers.yml", strings.Replace(approveFile, "KEYS", "approvers: [ana]", 1))
	h := &hub{x, x.OpenHub("--with-agent")}
	run := approveAsked(x, "hers")
	h.Authorize("ana", "viewer")
	h.Authorize("bob", "operator")
	as := func(name string) []string { return []string{"--credential", h.Creds[name]} }
	x.Refused(exitNotAllowed, []string{"is not for bob to decide"}, append([]string{"approve", run}, as("bob")...)...)
	x.OK(append([]string{"approve", run}, as("ana")...)...)
	if r := x.await(run); r.State != runSucceeded || r.task("ask").Outputs["by"] != "ana" {
		t.Errorf("%s, %+v", r.State, r.task("ask"))
	}
}
