// Tasks that are a run of another workflow.

package e2e

import (
	"os"
	"sort"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// childFiles makes a workflow whose task kid is a run of another one. That goes on for as long as the file hold is
// there. up and kid are keys of the two workflows, each with a newline.
func childFiles(x *site, up, kid string) {
	x.T.Helper()
	x.File("up.yml", up+`tasks:
  before: {run: 'echo begun'}
  kid:
    depends: [before]
    workflow: kid
    params: {day: "day of ${run.id}"}
  after: {depends: [kid], run: 'echo "got $ROWS"'}
  tidy: {depends: [kid], when: always, run: 'true'}
`)
	x.File("kid.yml", kid+`params: {day: }
tasks:
  load: {run: 'while [ -e $DIR/hold ]; do sleep 0.05; done; [ ! -e $DIR/broken ]; echo A=1 > $CDKTR_OUTPUT'}
  sum: {depends: [load], run: 'echo "$PARAM_DAY"; echo ROWS=7 > $CDKTR_OUTPUT'}
`)
}

// childBegun starts the workflow and waits until the other one is at work, and the principal knows it. It gives the
// runs of both.
func childBegun(x *site) (up, kid string) {
	x.T.Helper()
	x.File("../hold", "")
	up = x.Start("up")
	x.Until("the child is at work", func() bool {
		if r := x.show(up); r != nil && r.task("kid").Child != "" {
			kid = r.task("kid").Child
		}
		r := x.show(kid)
		return kid != "" && r != nil && r.task("load").State == taskRunning && x.show(up).Parked
	})
	return up, kid
}

// childEnds says how runs and their tasks ended.
func childEnds(r *Run) string {
	text := r.State
	for _, t := range r.Tasks {
		text += " " + t.Task + "=" + t.State
	}
	return text
}

const childFine = "succeeded before=succeeded kid=succeeded after=succeeded tidy=succeeded"

// TestChild: an agent with one place runs parent and child, each is named in the other, parameters go down, and outputs
// come up.
func TestChild(t *testing.T) {
	x := newSite(t)
	childFiles(x, "", "")
	x.File("top.yml", "tasks:\n  all: {workflow: up}\n  again: {workflow: kid, params: {day: x}, wait: false}\n")
	x.Principal("--with-agent", "--capacity", "1")
	top := x.run("top")
	if got := childEnds(top); got != "succeeded all=succeeded again=succeeded" {
		t.Fatal(got, top.task("all").Reason)
	}
	up := x.await(top.task("all").Child)
	if got := childEnds(up); got != childFine || up.Parent != top.ID || up.Trigger != "workflow" {
		t.Fatalf("%s, parent %s, trigger %s", got, up.Parent, up.Trigger)
	}
	kid := x.await(up.task("kid").Child)
	if kid.Parent != up.ID || kid.Params["day"] != "day of "+up.ID || up.task("kid").Outputs["ROWS"] != "7" ||
		up.task("kid").Outputs["A"] != "" {
		t.Errorf("the child: %+v, its task: %+v", kid, up.task("kid"))
	}
	for _, c := range []struct{ args, want string }{{"show " + up.ID, "run " + kid.ID},
		{"show " + kid.ID, up.ID + " kid"}, {"ps --all --tree", "\n+ succeeded  " + top.ID},
		{"ps --all --tree", "\n+ succeeded    " + up.ID}, {"ps --all --tree", "\n+ succeeded      " + kid.ID}} {
		if out := x.OK(strings.Fields(c.args)...); !strings.Contains(out, c.want) {
			t.Errorf("%s: no %q in %s", c.args, c.want, out)
		}
	}
	if out := x.OK("logs", up.ID); !strings.Contains(out, "got 7\n") {
		t.Errorf("output: %s", out)
	}
	if r := x.await(top.task("again").Child); r.State != runSucceeded || r.Parent != top.ID {
		t.Errorf("the run that nobody waits for: %+v", r)
	}
}

// TestChildStoppedFirst: a task that is stopped ends when the run has that it waits for, and what cleans up behind it
// begins after that: whoever has it stopped, and when the principal was killed meanwhile.
func TestChildStoppedFirst(t *testing.T) {
	x := newSite(t)
	x.File("up.yml", `
params: {kill: ""}
on_exit: {say: {run: 'echo exit >>$DIR/order'}}
tasks:
  kid: {workflow: kid}
  tidy: {depends: [kid], when: always, run: 'echo tidy >>$DIR/order'}
`)
	x.File("short.yml", `
tasks:
  kid: {workflow: kid, timeout: 300ms, retries: 1, retry_delay: 0s}
  tidy: {depends: [kid], when: always, run: 'echo tidy >>$DIR/order'}
`)
	x.File("late.yml", `
timeout: 300ms
tasks:
  kid: {workflow: kid}
  tidy: {depends: [kid], when: always, run: 'echo tidy >>$DIR/order'}
`)
	x.File("kid.yml", `
tasks:
  hold:
    run: |
      trap 'touch $DIR/stops; until [ -e $DIR/go ]; do sleep 0.02; done; sleep 0.1; echo kid >>$DIR/order; exit 1' TERM
      echo begun >>$DIR/order
      while :; do sleep 0.02; done
`)
	p := x.Principal()
	x.Agent("one", "--grace", "30s")
	for _, c := range []struct {
		workflow string
		args     []string // of cancel; nil: it ends by itself
		kill     bool     // the principal, once the other run is being stopped
		order    string
	}{
		{"up", []string{"--task", "kid"}, false, "begun kid tidy exit"},
		{"up", []string{}, true, "begun kid exit"},
		{"short", nil, false, "begun kid begun kid tidy"},
		{"late", nil, true, "begun kid tidy"},
	} {
		for _, name := range []string{"/order", "/go", "/stops"} {
			os.Remove(x.Dir + name)
		}
		up, kid := x.Start(c.workflow), ""
		x.Until("the child is at work", func() bool {
			r, text := x.show(up), ""
			if b, err := os.ReadFile(x.Dir + "/order"); err == nil {
				text = string(b)
			}
			kid = r.task("kid").Child
			return kid != "" && text != ""
		})
		if c.args != nil {
			x.OK(append([]string{"cancel", up}, c.args...)...)
		}
		x.Until("the child is being stopped", func() bool {
			_, err := os.Stat(x.Dir + "/stops")
			return err == nil
		})
		if c.kill {
			p.Kill()
			p = x.Principal()
		}
		if r := x.show(up); r.task("kid").State != taskRunning {
			t.Errorf("%s %q: the task is %s before the run has ended", c.workflow, c.args, r.task("kid").State)
		}
		x.File("../go", "")
		r := x.await(up)
		order, _ := os.ReadFile(x.Dir + "/order")
		if got := strings.Join(strings.Fields(string(order)), " "); got != c.order {
			t.Errorf("%s %q: %s, want %s (%s: %s)", c.workflow, c.args, got, c.order, r.State, r.Reason)
		}
	}
}

// TestChildStopped: whatever stops the task stops the run that it waits for, and how that ends decides.
func TestChildStopped(t *testing.T) {
	x := newSite(t)
	childFiles(x, "", "")
	x.File("short.yml", "tasks:\n  kid: {workflow: kid, params: {day: x}, timeout: 3s}\n"+
		"  tidy: {depends: [kid], when: failure, run: 'true'}\n")
	x.Principal("--with-agent", "--capacity", "1")
	for _, c := range []struct {
		args       []string
		kid        bool // the child is what is cancelled
		up, reason string
		child      string
	}{
		{args: []string{}, up: "cancelled before=succeeded kid=cancelled after=skipped tidy=skipped",
			reason: "cancelled by root", child: "cancelled load=cancelled sum=skipped"},
		{args: []string{"--force"}, up: "cancelled before=succeeded kid=cancelled after=skipped tidy=skipped",
			reason: "cancelled by root", child: "cancelled load=cancelled sum=skipped"},
		{args: []string{"--task", "kid"}, up: "failed before=succeeded kid=cancelled after=skipped tidy=succeeded",
			reason: "cancelled by root", child: "cancelled load=cancelled sum=skipped"},
		{args: []string{}, kid: true, up: "failed before=succeeded kid=failed after=skipped tidy=succeeded",
			reason: "of kid was cancelled: cancelled by root", child: "cancelled load=cancelled sum=skipped"},
	} {
		up, kid := childBegun(x)
		victim := up
		if c.kid {
			victim = kid
		}
		x.OK(append([]string{"cancel", victim}, c.args...)...)
		r, child := x.await(up), x.await(kid)
		if got := childEnds(r); got != c.up || !strings.Contains(r.Reason+r.task("kid").Reason, c.reason) {
			t.Errorf("cancel %q: %s (%s; %s), want %s (%s)", c.args, got, r.Reason, r.task("kid").Reason, c.up,
				c.reason)
		}
		if got := childEnds(child); got != c.child {
			t.Errorf("cancel %q: the child %s, want %s", c.args, got, c.child)
		}
	}
	r := x.run("short")
	if got := childEnds(r); got != "failed kid=failed tidy=succeeded" || !strings.Contains(r.Reason, "timed out") {
		t.Errorf("timeout: %s, %s", got, r.Reason)
	}
	child := x.await(r.task("kid").Child)
	if child.State != "cancelled" || !strings.Contains(child.Reason, "timed out") {
		t.Errorf("timeout: the child %s, %s", child.State, child.Reason)
	}
}

// TestChildRestarts kills the principal, and the agent, while a task waits for its run: that goes on, and is started
// once.
func TestChildRestarts(t *testing.T) {
	x := newSite(t)
	childFiles(x, "agent: {for: parents}\n", "agent: {for: kids}\n")
	p := x.Principal()
	parents := x.Agent("parents", "--label", "for=parents")
	x.Agent("kids", "--capacity", "1", "--label", "for=kids")
	over := func(up, kid string) {
		t.Helper()
		r := x.await(up)
		if got := childEnds(r); got != childFine || r.task("kid").Child != kid {
			t.Errorf("%s (%s), with the child %s, want %s", got, r.Reason, r.task("kid").Child, kid)
		}
		if n := len(harness.Lines[Run](t, x.OK("ps", "--all", "--workflow", "kid", "--json"))); n != 1 {
			t.Errorf("%d runs of the child", n)
		}
	}
	up, kid := childBegun(x)
	p.Kill()
	p = x.Principal()
	parents.Kill()
	x.Agent("parents", "--label", "for=parents")
	x.Until("the task waits again", func() bool {
		r := x.show(up)
		return r != nil && r.Parked && r.Lease == 2 && r.task("kid").Child == kid
	})
	p.Kill()
	x.OK("version") // with nobody there
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	x.Until("the child has ended", func() bool { return len(harness.Alive("|"+kid+"|load|")) == 0 })
	x.Principal()
	over(up, kid)
}

// TestChildLocal: run FILE shows what the runs write that it starts, and those that these start; they have the defaults
// that are for their files, and share the pools of the configuration.
func TestChildLocal(t *testing.T) {
	x := newSite(t)
	x.File("defaults.yml", "env: {WHO: everybody}\n")
	x.File("up.yml", "tasks:\n  own: {run: 'echo own $WHO'}\n  many: {workflow: in.kid, foreach: [a, b], params: "+
		"{who: '${item}'}}\n  free: {workflow: in.kid, params: {who: c}, wait: false}\n")
	x.File("in/defaults.yml", "env: {WHO: kids}\npool: db\n")
	x.File("in/kid.yml", "params: {who: ''}\noverlap: allow\ntasks:\n  hi: {run: 'echo $PARAM_WHO $WHO; echo err "+
		">&2'}\n  "+
		"deep: {workflow: deep, depends: [hi]}\n")
	x.File("deep.yml", "overlap: allow\ntasks: {say: {run: 'printf deep'}}\n")
	x.File("../config.yml", "pools: {db: 3}\n")
	r := x.Code(0, "run", x.Dir+"/workflows/up.yml", "--config", x.Dir+"/config.yml", "--task-name")
	lines := strings.Split(strings.TrimSpace(r.Out), "\n")
	sort.Strings(lines)
	want := "free/deep/say: deep|free/hi: c kids|free/hi: err|many[a]/deep/say: deep|many[a]/hi: a kids|many[a]/hi: " +
		"err|" +
		"many[b]/deep/say: deep|many[b]/hi: b kids|many[b]/hi: err|own: own everybody"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("it shows\n%s\nwant\n%s\n%s", got, want, r.Err)
	}
	if at := strings.Index(r.Err, " succeeded in "); at < 0 || !strings.Contains(r.Err, "many[a] succeeded") {
		t.Errorf("it says:\n%s", r.Err)
	}
	if r := x.Code(0, "run", x.Dir+"/workflows/up.yml", "--json"); strings.Contains(r.Out, "kids") {
		t.Errorf("--json shows output: %s", r.Out)
	}
}

// TestChildLocalWaits: run FILE waits for the runs that it has started, also for those that no task waits for.
func TestChildLocalWaits(t *testing.T) {
	x := newSite(t)
	x.File("up.yml", "tasks: {late: {workflow: kid, wait: false}}\n")
	x.File("kid.yml", "tasks: {a: {run: 'until test -e "+x.Dir+"/go; do sleep 0.02; done; echo late'}}\n")
	p := x.Spawn("run", x.Dir+"/workflows/up.yml")
	p.Saw(&p.Err, "waiting for run [0-9A-Z]+ of kid, which it has started")
	if text := p.Out.String(); text != "" {
		t.Errorf("before the child run has ended: %s", text)
	}
	x.File("../go", "")
	if code := p.Wait(); code != 0 || p.Out.String() != "late\n" {
		t.Errorf("exit code %d, output %q", code, p.Out.String())
	}
}

// TestChildRefused: what cannot be started fails the task at once, with the reason.
func TestChildRefused(t *testing.T) {
	x := newSite(t)
	x.File("kid.yml", "params: {day: {pattern: '[0-9]+'}}\ntasks: {a: {run: 'true'}}\n")
	x.File("bad.yml", "tasks: {a: {rum: x}}\n")
	for name, task := range map[string]string{"none": "workflow: nobody", "lacks": "workflow: kid",
		"misfits": "workflow: kid, params: {day: x}", "other": "workflow: kid, params: {day: '1', dya: x}",
		"broken": "workflow: bad", "paused": "workflow: kid, params: {day: '1'}"} {
		x.File(name+".yml", "tasks: {t: {"+task+"}}\n")
	}
	x.Principal("--with-agent")
	for _, c := range [][2]string{{"none", "cannot start nobody: there is no such workflow"},
		{"lacks", "cannot start kid: parameter day is missing"},
		{"misfits", `cannot start kid: parameter day: "x" does not match the pattern`},
		{"other", `cannot start kid: workflow kid has no parameter "dya"`},
		{"broken", "cannot start bad: it does not load"}} {
		if r := x.run(c[0]); r.State != runFailed || !strings.Contains(r.Reason, c[1]) {
			t.Errorf("%s: %s, %s", c[0], r.State, r.Reason)
		}
	}
	x.OK("pause", "kid")
	r := x.run("paused")
	if r.State != runFailed || !strings.Contains(r.Reason, "it was paused by root: cdktr resume") {
		t.Errorf("%s, %s", r.State, r.Reason)
	}

	// a loop is a fault of all files in it; what they said before stays in force
	x.File("paused.yml", "tasks: {t: {workflow: lacks}}\n")
	x.File("lacks.yml", "tasks: {t: {workflow: paused}}\n")
	x.Refused(exitUsage, nil, "validate")
	out := x.Cdktr("validate").Out
	for _, want := range []string{`task "t": workflow paused: it would start itself: lacks -> paused -> lacks`,
		`warning: task "t": workflow nobody: there is no such`} {
		if !strings.Contains(out, want) {
			t.Errorf("validate: %s", out)
		}
	}
	x.Until("the loop is seen", func() bool { return strings.Contains(x.workflow("lacks").Error, "start itself") })
	if r := x.run("lacks"); !strings.Contains(r.Reason, "kid") {
		t.Errorf("the last good version is not in force: %s", r.Reason)
	}
	x.Code(exitUsage, "run", x.Dir+"/workflows/lacks.yml")
	if r := x.Code(exitUsage, "run", x.Dir+"/workflows/none.yml"); !strings.Contains(r.Err,
		"task t of none: workflow nobody: there is no file of it beside") {
		t.Errorf("run FILE: %s", r.Err)
	}
}
