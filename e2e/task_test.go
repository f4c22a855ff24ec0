// End-to-end tests of the stop of one task of a run.

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// taskTwo has two branches: load, which has processes of three kinds, and free, which waits for a file to go away.
const taskTwo = `tasks:
  load:
    retries: 3
    run: |
      if [ -e $DIR/stubborn ]; then trap '' TERM; else trap 'echo bye; exit 0' TERM; fi
      (setsid sh -c 'sleep 1000; :' &)
      sleep 1000 &
      wait
  behind: {depends: [load], run: 'true'}
  alarm: {depends: [behind], when: failure, run: 'true'}
  free: {run: 'while [ -e $DIR/hold ]; do sleep 0.05; done'}
  last: {depends: [free], run: 'true'}
`

// taskTwoStopped is how its tasks end when load is stopped.
const taskTwoStopped = "alarm=succeeded behind=skipped free=succeeded last=succeeded load=cancelled"

// taskLoading starts a run of it and waits until load is at work. It gives the run, and a text in the environment of
// its processes.
func taskLoading(x *site, id string) (run, mark string) {
	x.T.Helper()
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o644); err != nil {
		x.T.Fatal(err)
	}
	run = x.Start(id)
	mark = "|" + run + "|load|"
	taskAtWork(x, run, mark)
	return run, mark
}

// taskAtWork waits until load is at work with all its processes, two shells and two that sleep, and the principal knows
// it.
func taskAtWork(x *site, run, mark string) {
	x.T.Helper()
	x.Until("load is at work", func() bool {
		r := x.show(run)
		return len(harness.Alive(mark)) >= 4 && r != nil && r.task("load").State == taskRunning &&
			r.task("free").State != taskWaiting
	})
}

// TestCancelTask stops one task of a run: its processes are gone, all else goes on, and nothing begins the run again.
func TestCancelTask(t *testing.T) {
	x := newSite(t)
	x.File("two.yml", "retries: 2\n"+taskTwo)
	x.Env = append(x.Env, "CDKTR_GRACE=1h") // who waits for that has waited in vain
	x.Principal("--with-agent")
	run, mark := taskLoading(x, "two")
	x.Refused(exitRefused, []string{`no task "laod"`, `did you mean "load"?`}, "cancel", run, "--task", "laod")
	x.Refused(exitRefused, []string{"behind", "has not begun", "cdktr cancel " + run}, "cancel", run, "--task",
		"behind")
	x.Refused(exitUsage, []string{"no task is named"}, "cancel", run, "--task", "")
	for _, words := range [][]string{{"cancel", run, "--task", ""}, {"cancel", "--force", run, "--task", "l"},
		{"logs", "two", "--task", "la"}, {"cancel", "--task", ""}} {
		want := map[string]string{"": "alarm\nbehind\nfree\nlast\nload\n", "l": "last\nload\n",
			"la": "last\n"}[words[len(words)-1]]
		if len(words) < 4 { // of no run yet
			want = ""
		}
		if out := x.OK(append([]string{"completion", "words", "--"}, words...)...); out != want {
			t.Errorf("%q is completed with %q, want %q", words, out, want)
		}
	}
	if r := x.Code(0, "cancel", run, "--task", "load"); r.Out != "" ||
		r.Err != "cancelling task load of run "+run+"\n" {
		t.Errorf("it says %q and %q", r.Out, r.Err)
	}
	x.Until("the processes of load are gone", func() bool { return len(harness.Alive(mark)) == 0 })
	x.Until("load has ended", func() bool { return x.show(run).task("load").State == "cancelled" })
	if out := x.OK("logs", run, "--task", "load"); out != "bye\n" {
		t.Errorf("it was not let end by itself: %q", out)
	}
	x.Refused(exitRefused, []string{"load", "is cancelled already"}, "cancel", run, "--task", "load")
	if r := x.show(run); r.State != runRunning || r.task("free").State != taskRunning {
		t.Errorf("the run is %s, %s", r.State, statesOf(r))
	}
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	r := x.await(run)
	by := r.By
	if r.State != runFailed || r.Reason != "task load: cancelled by "+by || r.Attempt != 1 ||
		r.task("load").Reason != "cancelled by "+by || r.task("load").Attempts != 1 {
		t.Errorf("the run is %s (%s), attempt %d, load %+v", r.State, r.Reason, r.Attempt, r.task("load"))
	}
	if got := statesOf(r); got != taskTwoStopped {
		t.Errorf("its tasks are %s", got)
	}
	x.Refused(exitRefused, []string{"is failed already"}, "cancel", run, "--task", "load")
	asked := 0
	for _, e := range harness.Lines[Event](t, x.OK("events", "--json")) {
		if e.Kind == "task.cancelling" && e.Run == run && e.Task == "load" && e.By == by && e.From != "" {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("%d entries in the audit trail", asked)
	}
	// A retry by hand runs it again. Now its processes ignore TERM.
	if err := os.WriteFile(x.Dir+"/stubborn", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.OK("retry", run)
	taskAtWork(x, run, mark)
	if out := x.OK("cancel", run, "--task", "load", "--force",
		"--json"); strings.TrimSpace(out) != `{"done":"cancel","run":"`+run+`","task":"load"}` {
		t.Errorf("it prints %q", out)
	}
	if r := x.await(run); r.State != runFailed || r.Attempt != 2 {
		t.Errorf("the run is %s (%s), attempt %d", r.State, r.Reason, r.Attempt)
	}
	x.Until("the processes of load are gone again", func() bool { return len(harness.Alive(mark)) == 0 })
}

// TestKill9CancelTask: the principal is killed between the request and the end of the task, with the agent away: the
// agent hears of it from the next one.
func TestKill9CancelTask(t *testing.T) {
	x := newSite(t)
	x.File("two.yml", taskTwo)
	p := x.Principal()
	agent := x.Agent("far")
	run, mark := taskLoading(x, "two")
	x.OK("pause", "two") // what is answered is on the disk, and so is all before it
	agent.Signal(syscall.SIGSTOP)
	p.Kill()
	p = x.Principal()
	r := x.Code(0, "cancel", run, "--task", "load")
	if !strings.Contains(r.Err, "agent far is not connected now: it stops the task when it is back") {
		t.Errorf("it says %q", r.Err)
	}
	p.Kill()
	p = x.Principal()
	if r := x.show(run); r.State != runRunning || !strings.HasPrefix(r.task("load").Cancelling, "cancelled by ") {
		t.Errorf("the run is %s, load %+v", r.State, r.task("load"))
	}
	if out := x.OK("show", run); !strings.Contains(out, "being stopped: cancelled by ") {
		t.Errorf("show says\n%s", out)
	}
	agent.Signal(syscall.SIGCONT)
	x.Until("the processes of load are gone", func() bool { return len(harness.Alive(mark)) == 0 })
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := x.await(run); r.State != runFailed || r.Reason != "task load: cancelled by "+r.By ||
		statesOf(r) != taskTwoStopped {
		t.Errorf("the run is %s (%s), %s", r.State, r.Reason, statesOf(r))
	}
	agent.Stop()
	p.Stop()
}
