// End-to-end tests of tasks that another agent does than the one of their run.

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// partFile makes a workflow whose task burn another agent does. That goes on for as long as the file hold is there.
func partFile(x *site, top, burn string) {
	x.T.Helper()
	x.File("copy.yml", top+`params: {day: monday}
env: {FROM: top}
agent: {disk: plain}
tasks:
  dump: {run: 'echo dumped; echo FILE=dump.1 > $CDKTR_OUTPUT'}
  burn:
    depends: [dump]
    agent: {disk: tape}
    env: {LABEL: "${params.day}"}
    run: |
      echo "burns $FILE $LABEL $FROM of $CDKTR_RUN_ID $CDKTR_TASK_ID try $CDKTR_ATTEMPT"
      while [ -e $DIR/hold ]; do sleep 0.05; done
      [ ! -e $DIR/broken ] || exit 1
      echo "TAPE=7" > $CDKTR_OUTPUT
    `+burn+`
  after: {depends: [burn], run: 'echo "on tape $TAPE"'}
  tidy: {depends: [burn], when: always, run: 'echo tidied'}
`)
}

const partFine = "succeeded dump=succeeded burn=succeeded after=succeeded tidy=succeeded"

// partSite is an installation with an agent for runs and one for tapes.
type partSite struct {
	*site
	principal, box, tape *harness.Proc
}

func newPartSite(t *testing.T, top, burn string) *partSite {
	x := &partSite{site: newSite(t)}
	partFile(x.site, top, burn)
	x.principal = x.Principal()
	x.startBox()
	x.startTape()
	return x
}

func (x *partSite) startBox() { x.box = x.Agent("box", "--label", "disk=plain", "--capacity", "1") }

func (x *partSite) startTape() { x.tape = x.Agent("tape", "--label", "disk=tape", "--capacity", "1") }

// begun starts the run and waits until the other agent is at work.
func (x *partSite) begun() string {
	x.T.Helper()
	x.File("../hold", "")
	run := x.Start("copy")
	x.burns(run, 1)
	return run
}

// burns waits until the other agent is at an attempt of the task.
func (x *partSite) burns(run string, attempt int) {
	x.T.Helper()
	x.Until("the other agent is at work", func() bool {
		r := x.show(run)
		return r != nil && r.task("burn").State == taskRunning && r.task("burn").Attempts == attempt &&
			r.task("burn").Agent == "tape" && x.lives(run)
	})
}

// lives says whether the process of the task lives.
func (x *partSite) lives(run string) bool { return len(harness.Alive("|"+run+"|burn|")) > 0 }

// lets lets the task go on.
func (x *partSite) lets() {
	x.T.Helper()
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		x.T.Fatal(err)
	}
}

// ends waits for the end of a run and holds it against what is wanted: states, and the reason of the task.
func (x *partSite) ends(run, states, reason string) *Run {
	x.T.Helper()
	r := x.await(run)
	if got := childEnds(r); got != states || !strings.Contains(r.task("burn").Reason, reason) {
		x.T.Errorf("%s (%s; %s), want %s (%s)", got, r.Reason, r.task("burn").Reason, states, reason)
	}
	return r
}

// TestPart: another agent does a task; what goes in and comes out is as if the run's own did, and its output is in the
// run's.
func TestPart(t *testing.T) {
	x := newPartSite(t, "", "")
	r := x.run("copy")
	if got := childEnds(r); got != partFine {
		t.Fatal(got, r.Reason, r.task("burn").Reason)
	}
	burn := r.task("burn")
	if r.Agent != "box" || burn.Agent != "tape" || burn.Outputs["TAPE"] != "7" || burn.Attempts != 1 ||
		burn.Exit == nil || *burn.Exit != 0 || burn.Seconds <= 0 || burn.Started.IsZero() {
		t.Errorf("run of %s: %+v", r.Agent, burn)
	}
	out := x.OK("logs", r.ID)
	if want := "burns dump.1 monday top of " + r.ID + " burn try 1\n"; !strings.Contains(out, want) ||
		!strings.Contains(out, "on tape 7\n") {
		t.Errorf("no %q in:\n%s", want, out)
	}
	if out := x.OK("show", r.ID); !strings.Contains(out, "agent tape") {
		t.Errorf("show:\n%s", out)
	}
	if out := x.OK("ps", "--all", "--json"); strings.Count(out, "\n") != 1 {
		t.Errorf("ps lists more than the run:\n%s", out)
	}
	if out := x.OK("graph", "copy", "--dot"); !strings.Contains(out, "agent: disk=tape") {
		t.Errorf("graph:\n%s", out)
	}
}

// TestPartStopped: whatever stops the task stops what the other agent has of it.
func TestPartStopped(t *testing.T) {
	x := newPartSite(t, "", "")
	for _, c := range []struct {
		args         []string
		ends, reason string
	}{
		{nil, "cancelled dump=succeeded burn=cancelled after=skipped tidy=skipped", "cancelled by root"},
		{[]string{"--force"}, "cancelled dump=succeeded burn=cancelled after=skipped tidy=skipped", "cancelled by root"},
		{[]string{"--task", "burn"}, "failed dump=succeeded burn=cancelled after=skipped tidy=succeeded",
			"cancelled by root"},
	} {
		run := x.begun()
		x.OK(append([]string{"cancel", run}, c.args...)...)
		x.ends(run, c.ends, c.reason)
		if x.lives(run) {
			t.Errorf("cancel %q: the task goes on", c.args)
		}
	}
	x.File("../broken", "")
	x.lets()
	r := x.run("copy")
	if got := childEnds(r); got != "failed dump=succeeded burn=failed after=skipped tidy=succeeded" ||
		r.Reason != "task burn: exit 1" {
		t.Errorf("%s, %s", got, r.Reason)
	}
}

// TestPartRestarts kills the principal, and the agent of the run, while another one does a task: that goes on, and is
// done once.
func TestPartRestarts(t *testing.T) {
	for name, kills := range map[string]func(x *partSite, run string){
		"the principal": func(x *partSite, run string) {
			x.principal.Kill()
			x.OK("version") // with nobody there
			x.principal = x.Principal()
			x.burns(run, 1)
			x.lets()
		},
		"the principal, while the task ends": func(x *partSite, run string) {
			x.principal.Kill()
			x.lets()
			x.Until("the task has ended", func() bool { return !x.lives(run) })
			x.Principal()
		},
		"the agent of the run": func(x *partSite, run string) {
			x.box.Kill()
			x.startBox()
			x.burns(run, 1)
			x.lets()
		},
		"the agent of the run, while the task ends": func(x *partSite, run string) {
			x.box.Kill()
			x.lets()
			x.Until("the task has ended", func() bool { return !x.lives(run) })
			x.startBox()
		},
		"both": func(x *partSite, run string) {
			x.principal.Kill()
			x.box.Kill()
			x.lets()
			x.Principal()
			x.startBox()
		},
		"the agent of the run ends, and gives it back": func(x *partSite, run string) {
			x.box.Stop()
			x.Until("the run is queued", func() bool { r := x.show(run); return r != nil && r.State == runQueued })
			x.burns(run, 1)
			x.startBox()
			x.lets()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newPartSite(t, "", "")
			run := x.begun()
			kills(x, run)
			x.ends(run, partFine, "")
			if out := x.OK("logs", run); strings.Count(out, "burns dump.1") != 1 ||
				strings.Count(out, "dumped\n") != 1 || strings.Count(out, "on tape 7\n") != 1 {
				t.Errorf("output:\n%s", out)
			}
		})
	}
}

// TestPartLost kills the agent that does the task, with KILL: it is done again only where that is allowed.
func TestPartLost(t *testing.T) {
	for name, c := range map[string]struct {
		top, burn    string
		ends, reason string
		attempts     int
	}{
		"no retries": {"", "", "failed dump=succeeded burn=failed after=skipped tidy=succeeded",
			"agent tape was restarted while it ran", 1},
		"retries":  {"", "retries: 1", partFine, "", 2},
		"failover": {"failover: rerun\n", "", partFine, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			x := newPartSite(t, c.top, c.burn)
			run := x.begun()
			x.tape.Kill()
			x.startTape()
			if c.attempts > 1 {
				x.burns(run, c.attempts)
			}
			x.lets()
			r := x.ends(run, c.ends, c.reason)
			burn := r.task("burn")
			if burn.Attempts != c.attempts || len(burn.Earlier) != c.attempts-1 {
				t.Errorf("%d attempts, earlier %+v", burn.Attempts, burn.Earlier)
			}
			if c.attempts > 1 && burn.Earlier[0].Reason != "agent tape was restarted while it ran" {
				t.Errorf("the first attempt: %+v", burn.Earlier)
			}
		})
	}
}

// TestPartAgentEnds: an agent that is told to end lets a task end that it does for another one's run. After its drain
// timeout it stops the task, which has failed, or goes to the next agent.
func TestPartAgentEnds(t *testing.T) {
	x := newPartSite(t, "", "")
	run := x.begun()
	x.tape.Signal(syscall.SIGTERM)
	x.tape.Saw(&x.tape.Err, "draining: waiting for runs to end")
	x.lets()
	x.tape.Wait()
	x.ends(run, partFine, "")
	for _, c := range []struct{ file, ends, reason string }{
		{"copy", "failed dump=succeeded burn=failed after=skipped tidy=succeeded", "agent tape was stopped"},
		{"again", partFine, ""},
	} {
		text, err := os.ReadFile(x.Dir + "/workflows/copy.yml")
		if err != nil {
			t.Fatal(err)
		}
		x.File("again.yml", "failover: rerun\n"+string(text))
		x.Until("the file is read", func() bool { return x.workflow("again").Workflow != "" })
		x.tape = x.Agent("tape", "--label", "disk=tape", "--drain-timeout", "0s")
		x.File("../hold", "")
		run := x.Start(c.file)
		x.burns(run, 1)
		x.tape.Signal(syscall.SIGTERM)
		x.tape.Wait()
		if c.reason == "" {
			x.startTape()
			x.burns(run, 2)
		}
		x.lets()
		x.ends(run, c.ends, c.reason)
	}
}

// TestPartWaits: a task for which there is no agent waits, and whoever looks is told for what.
func TestPartWaits(t *testing.T) {
	x := newPartSite(t, "", "")
	x.tape.Kill()
	run := x.Start("copy")
	why := "waiting for an agent with disk=tape: none is connected"
	x.Until("the run waits", func() bool {
		r := x.show(run)
		return r != nil && r.Reason == "task burn: "+why && r.task("burn").Reason == why
	})
	if out := x.OK("show", run); !strings.Contains(out, "@ agent") {
		t.Errorf("show:\n%s", out)
	}
	x.principal.Kill()
	x.principal = x.Principal()
	x.startTape()
	x.ends(run, partFine, "")

	other := x.begun() // the tape has one place
	next := x.Start("copy")
	x.Until("the next one waits", func() bool {
		r := x.show(next)
		return r != nil && r.task("burn").Reason == "waiting for an agent with disk=tape: all are busy"
	})
	x.OK("cancel", next)
	x.ends(next, "cancelled dump=succeeded burn=cancelled after=skipped tidy=skipped", "cancelled by root")
	x.OK("drain", "tape")
	next = x.Start("copy")
	x.Until("the next one waits", func() bool {
		r := x.show(next)
		return r != nil && r.task("burn").Reason == "waiting for an agent with disk=tape: agent tape is draining"
	})
	x.lets()
	x.ends(other, partFine, "")
	x.OK("undrain", "tape")
	x.ends(next, partFine, "")
}

// TestPartKeys: what a task may have besides holds for one that another agent does too.
func TestPartKeys(t *testing.T) {
	x := newPartSite(t, "", "")
	x.File("keys.yml", `
agent: {disk: plain}
retries: 0
pool: whole
tasks:
  names: {run: 'echo "WHO=[\"eu\",\"us\"]" > $CDKTR_OUTPUT'}
  each:
    depends: [names]
    agent: {disk: tape}
    foreach: "${tasks.names.outputs.WHO}"
    run: 'echo "for $ITEM"; echo GOT=$ITEM > $CDKTR_OUTPUT'
  twice:
    agent: {disk: tape}
    retries: 2
    retry_delay: 10ms
    pool: tape
    run: 'echo try $CDKTR_ATTEMPT; [ $CDKTR_ATTEMPT = 2 ]'
  no: {agent: {disk: tape}, if: 'exit 1', run: 'echo never'}
  until: {agent: {disk: tape}, run: 'echo $CDKTR_ATTEMPT > n', repeat: {every: 100ms, until: 'grep 3 n'},
    working_directory: "${env.HOME}"}
  may: {agent: {disk: tape}, run: 'exit 3', allow_failure: [3]}
  codes: {agent: {disk: tape}, run: 'exit 24', success_exit: [24]}
  late: {agent: {disk: tape}, run: 'sleep 60', timeout: 200ms, allow_failure: true}
  last: {depends: [each, twice, no, until, may, codes, late], run: 'echo "all $GOT"'}
on_exit: {tell: {run: 'echo told; cat $CDKTR_LOG'}}
`)
	x.Until("the file is read", func() bool { return x.workflow("keys").Workflow != "" })
	r := x.run("keys")
	if r.State != runSucceeded {
		t.Fatal(childEnds(r), r.Reason)
	}
	for task, want := range map[string]string{"each": "succeeded ", "each[eu]": "succeeded ", "twice": "succeeded ",
		"no": "skipped if: exit 1", "may": "failed exit 3", "codes": "succeeded exit 24, a success by success_exit",
		"late": "failed timed out after 200ms", "until": "succeeded exit 0 of until"} {
		t.Run(task, func(t *testing.T) {
			if got := r.task(task); got.State+" "+got.Reason != want && task != "until" {
				t.Errorf("%s %s, want %s", got.State, got.Reason, want)
			}
		})
	}
	if n := r.task("twice").Attempts; n != 2 || len(r.task("twice").Earlier) != 1 {
		t.Errorf("%d attempts", n)
	}
	out := x.OK("logs", r.ID)
	for _, want := range []string{"for eu\n", "for us\n", `all ["eu","us"]`, "told\n", "another agent has done it"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}
