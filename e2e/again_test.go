// End-to-end tests of tasks that are tried again and again.

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// repeatThere waits for a file, and then for another, in a run that begins anew when its agent is lost.
const repeatThere = `failover: rerun
max_active_tasks: 1
tasks:
  first:
    run: test -e $DIR/one
    repeat: {every: 100ms, for: 1h}
  second:
    run: echo look; trap '' TERM; while [ -e $DIR/hang ]; do sleep 0.02; done
    repeat: {every: 100ms, until: 'test -e $DIR/two'}
  free: {run: 'true'}
`

// repeatWaits waits until a task of a run is between two attempts, and has made so many.
func repeatWaits(x *site, run, task string, attempts int) {
	x.T.Helper()
	x.Until(task+" waits for its next attempt", func() bool {
		t := x.show(run).task(task)
		return t.State == "retrying" && t.Attempts >= attempts
	})
}

// repeatTouch makes a file of the site.
func repeatTouch(x *site, name string) {
	x.T.Helper()
	if err := os.WriteFile(x.Dir+"/"+name, nil, 0o644); err != nil {
		x.T.Fatal(err)
	}
}

// TestRepeat: two tasks wait for a file each, with one place for both, while the principal is killed, and the agent.
func TestRepeat(t *testing.T) {
	x := newSite(t)
	x.File("there.yml", repeatThere)
	p := x.Principal()
	agent := x.Agent("far")
	run := x.Start("there")
	repeatWaits(x, run, "first", 2)
	repeatWaits(x, run, "second", 2)
	x.Until("the others have their turn", func() bool { return x.show(run).task("free").State == taskSucceeded })
	for _, want := range []string{"retrying", "exit 1; attempt ", " in 100ms, for 1h at most",
		"until: exit 1; attempt "} { // while it waits, which on a slow machine is seldom
		x.Until(fmt.Sprintf("show says %q", want), func() bool { return strings.Contains(x.OK("show", run), want) })
	}
	p.Kill()
	p = x.Principal()
	before := x.show(run).task("first").Attempts
	x.Until("it goes on with a new principal", func() bool { return x.show(run).task("first").Attempts > before })
	agent.Kill()
	agent = x.Agent("far")
	x.Until("it begins anew with a new agent", func() bool {
		r := x.show(run)
		return r.Attempt == 2 && r.task("first").State == "retrying"
	})
	repeatTouch(x, "one")
	repeatTouch(x, "two")
	r := x.await(run)
	if r.State != runSucceeded || r.Attempt != 2 {
		t.Errorf("the run is %s (%s), %s", r.State, r.Reason, statesOf(r))
	}
	if n := strings.Count(x.OK("logs", run, "--task", "second"), "look"); n < r.task("second").Attempts {
		t.Errorf("%d attempts wrote a line each, and %d are here", r.task("second").Attempts, n)
	}
	agent.Stop()
	p.Stop()
}

// TestRepeatCancel: a task is stopped between two attempts, and another, that ignores TERM, while it is at work.
func TestRepeatCancel(t *testing.T) {
	x := newSite(t)
	x.File("there.yml", repeatThere)
	x.Env = append(x.Env, "CDKTR_GRACE=1h")
	x.Principal("--with-agent")
	run := x.Start("there")
	repeatWaits(x, run, "first", 1)
	x.OK("cancel", run, "--task", "first")
	x.Until("first has ended", func() bool { return x.show(run).task("first").State == "cancelled" })
	repeatTouch(x, "hang")
	mark := "|" + run + "|second|"
	x.Until("second is at work", func() bool { return len(harness.Alive(mark)) > 0 })
	x.OK("cancel", run, "--task", "second", "--force")
	r := x.await(run)
	if by := "cancelled by " + r.By; r.State != runFailed || r.task("first").Reason != by ||
		r.task("second").Reason != by {
		t.Errorf("the run is %s (%s), %+v", r.State, r.Reason, r.Tasks)
	}
	run = x.Start("there")
	x.Until("second is at work in another run", func() bool { return len(harness.Alive("|"+run+"|second|")) > 0 })
	x.OK("cancel", run, "--force")
	if r := x.await(run); r.State != "cancelled" {
		t.Errorf("the run is %s (%s)", r.State, r.Reason)
	}
}

// foreachMany has an instance for each of five words: each waits for a file of its own, but one that fails.
const foreachMany = `failover: rerun
params: {words: {default: '["a b", "c", "bad", "d"]'}}
tasks:
  words:
    run: echo "LIST=$PARAM_WORDS" >> "$CDKTR_OUTPUT"
  each:
    depends: [words]
    foreach: ${tasks.words.outputs.LIST}
    max_parallel: 3
    run: |
      echo "at $ITEM"
      if [ "$ITEM" = bad ] && [ ! -e $DIR/good ]; then exit 3; fi
      trap 'exit 1' TERM
      while [ ! -e "$DIR/go $ITEM" ] && [ ! -e $DIR/all ]; do sleep 0.02; done
      echo "SAID=$ITEM!" >> "$CDKTR_OUTPUT"
  after:
    depends: [each]
    run: echo "$SAID"
  tidy: {depends: [each], when: always, run: 'true'}
`

// foreachWaits waits until the states of the tasks of a run are these.
func foreachWaits(x *site, run, states string) {
	x.T.Helper()
	x.Until(states, func() bool { return statesOf(x.show(run)) == states })
}

// TestForeach: instances run beside each other, fail and are stopped one by one, a retry repeats those that did not
// succeed, and what they hand on comes together. The principal is killed in the middle, and the agent.
func TestForeach(t *testing.T) {
	x := newSite(t)
	x.File("many.yml", foreachMany)
	p := x.Principal()
	agent := x.Agent("far")
	run := x.Start("many")
	foreachWaits(x, run, "after=waiting each=running each[a_b]=running each[bad]=failed each[c]=running "+
		"each[d]=running tidy=waiting words=succeeded")
	p.Kill()
	p = x.Principal()
	repeatTouch(x, "go a b")
	x.OK("cancel", run, "--task", "each[c]")
	foreachWaits(x, run, "after=waiting each=running each[a_b]=succeeded each[bad]=failed each[c]=cancelled "+
		"each[d]=running tidy=waiting words=succeeded")
	out := x.OK("show", run)
	for _, want := range []string{"1 failed, 1 cancelled, 1 succeeded, 1 running", "  [a_b]", "  [bad]  ! failed"} {
		if !strings.Contains(out, want) {
			t.Errorf("show does not say %q:\n%s", want, out)
		}
	}
	x.Refused(exitRefused, []string{`no task "each[e]"`}, "cancel", run, "--task", "each[e]")
	repeatTouch(x, "go d")
	r := x.await(run)
	if r.State != runFailed || r.Reason != "task each: 2 of 4 failed: bad: exit 3" || statesOf(r) != "after=skipped "+
		"each=failed each[a_b]=succeeded each[bad]=failed each[c]=cancelled each[d]=succeeded tidy=succeeded "+
		"words=succeeded" {
		t.Errorf("the run is %s (%s): %s", r.State, r.Reason, statesOf(r))
	}
	if row := x.OK("ps", "--all"); !strings.Contains(row, "3/4") {
		t.Errorf("it counts instances as tasks of the run:\n%s", row)
	}
	if got := x.OK("logs", run, "--task", "each[c]"); !strings.HasPrefix(got, "at c\n") {
		t.Errorf("the output of an instance is %q", got)
	}
	repeatTouch(x, "good")
	x.OK("retry", run)
	foreachWaits(x, run, "after=waiting each=running each[a_b]=succeeded each[bad]=running each[c]=running "+
		"each[d]=succeeded tidy=waiting words=succeeded")
	agent.Kill()
	agent = x.Agent("far")
	repeatTouch(x, "all")
	r = x.await(run)
	if r.State != runSucceeded || r.task("each").Outputs["SAID"] != `["a b!","c!","bad!","d!"]` {
		t.Errorf("the run is %s (%s): %s, %v", r.State, r.Reason, statesOf(r), r.task("each").Outputs)
	}
	lines := x.OK("logs", run, "--task", "each")
	if strings.Count(lines, "at a b\n") != 1 || strings.Count(lines, "at d\n") != 1 ||
		strings.Count(lines, "at c\n") < 2 {
		t.Errorf("the instances wrote\n%s", lines)
	}
	if got := x.OK("logs", run, "--task", "after"); got != "[\"a b!\",\"c!\",\"bad!\",\"d!\"]\n" {
		t.Errorf("what is behind it got %q", got)
	}
	agent.Stop()
	p.Stop()
	p = x.Principal()
	if again := x.show(run); statesOf(again) != statesOf(r) || again.task("each[bad]") == nil {
		t.Errorf("after a restart: %s", statesOf(again))
	}
	p.Stop()
}

// TestForeachCancel: a task with foreach is stopped as a whole, with instances that have not begun, and a run is killed
// in the middle of it.
func TestForeachCancel(t *testing.T) {
	x := newSite(t)
	x.File("many.yml", strings.Replace(foreachMany, "max_parallel: 3", "max_parallel: 1", 1))
	x.Env = append(x.Env, "CDKTR_GRACE=1h")
	x.Principal("--with-agent")
	run := x.Start("many")
	foreachWaits(x, run, "after=waiting each=running each[a_b]=running each[bad]=waiting each[c]=waiting "+
		"each[d]=waiting tidy=waiting words=succeeded")
	x.Refused(exitRefused, []string{"each[c]", "has not begun"}, "cancel", run, "--task", "each[c]")
	x.OK("cancel", run, "--task", "each")
	r := x.await(run)
	if by := "cancelled by " + r.By; r.State != runFailed || r.task("each").Reason != by ||
		statesOf(r) != "after=skipped "+
			"each=cancelled each[a_b]=cancelled each[bad]=skipped each[c]=skipped each[d]=skipped tidy=succeeded "+
			"words=succeeded" {
		t.Errorf("the run is %s (%s): %s", r.State, r.Reason, statesOf(r))
	}
	run = x.Start("many")
	mark := "|" + run + "|each[a_b]|"
	x.Until("an instance is at work", func() bool { return len(harness.Alive(mark)) > 0 })
	x.OK("cancel", run, "--force")
	if r := x.await(run); r.State != "cancelled" || r.task("each[a_b]").State != "cancelled" ||
		r.task("each[d]").State != "skipped" {
		t.Errorf("the run is %s (%s): %s", r.State, r.Reason, statesOf(r))
	}
}

// TestExampleFanOut asks hosts over a real sshd: two names of this machine, and one that does not answer.
func TestExampleFanOut(t *testing.T) {
	x := newSite(t)
	s := sshTestNew(t, x)
	tmp := t.TempDir()
	config, err := os.ReadFile(s.dir + "/config")
	if err != nil {
		t.Fatal(err)
	}
	port := s.endpoint[strings.LastIndex(s.endpoint, ":")+1:]
	exampleWrite(t, s.dir+"/hosts", "Host gone\n  HostName 127.0.0.1\n  Port 1\nHost one two\n  HostName 127.0.0.1\n  "+
		"Port "+port+"\n  HostKeyAlias [127.0.0.1]:"+port+"\n"+string(config))
	flags := []string{"-p", "ssh=ssh -F " + s.dir + "/hosts -o BatchMode=yes"}
	out := exampleFine(t, tmp, "fan-out.yml", append(flags, "-p", `hosts=["one", "two", "localhost"]`)...)
	if !strings.Contains(out, `of ["one","two","localhost"] full are ["`) {
		t.Errorf("it prints %s", out)
	}
	exampleFails(t, tmp, "fan-out.yml", "one: ", append(flags, "-p", "hosts=one\ngone\n")...)
	exampleFails(t, tmp, "fan-out.yml", "-oProxyCommand=x is no host", "-p", "hosts=-oProxyCommand=x")
}
