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
