// End-to-end tests of pools: places that runs share.

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// poolsHold holds a place until a file is there.
const poolsHold = `
pool: %s
overlap: allow
params: {gate: ""}
tasks:
  hold: {run: 'until [ -e "$PARAM_GATE" ]; do sleep 0.02; done'}
`

// poolsSite is an installation with pools.
type poolsSite struct{ *site }

// says waits until a run is in a state for that reason.
func (x poolsSite) says(run, state, reason string) {
	x.T.Helper()
	x.Until(fmt.Sprintf("run %s to be %s: %q", run, state, reason), func() bool {
		r := x.show(run)
		return r != nil && r.State == state && r.Reason == reason
	})
}

// starts queues a run that ends when the file with that name is there.
func (x poolsSite) starts(workflow, gate string) string {
	x.T.Helper()
	return x.Start(workflow, "-p", "gate="+x.Dir+"/"+gate)
}

// declare writes the configuration, and has a principal that is there read it.
func (x poolsSite) declare(p *harness.Proc, places int) {
	x.T.Helper()
	if err := os.WriteFile(x.Dir+"/config.yml", []byte(fmt.Sprintf("pools: {database: %d}\n", places)),
		0o600); err != nil {
		x.T.Fatal(err)
	}
	if p == nil {
		return
	}
	p.Signal(syscall.SIGHUP)
	x.Until("other places", func() bool { return strings.Contains(x.OK("pools"), fmt.Sprintf("/%d ", places)) })
}

// TestPools: runs wait for the places of a pool, in order; a principal that is killed, an agent that is killed, a
// cancel and other numbers of places in between change nothing of that.
func TestPools(t *testing.T) {
	x := poolsSite{newSite(t)}
	x.File("one.yml", fmt.Sprintf(poolsHold, "database"))
	x.File("two.yml", fmt.Sprintf(poolsHold, "{database: 2}"))
	x.File("free.yml", "tasks:\n  a: {run: 'true'}\n")
	x.declare(nil, 2)
	p := x.Principal("--config", x.Dir+"/config.yml")
	agent := x.Agent("worker", "--capacity", "9")
	a, b := x.starts("one", "a"), x.starts("one", "b")
	x.says(a, runRunning, "")
	x.says(b, runRunning, "")
	both := x.starts("two", "both")
	c := x.starts("one", "c")
	held := "waiting: pool database, held by "
	x.says(both, runQueued, held+a+" and 1 more")
	x.says(c, runQueued, held+a+" and 1 more")
	if r := x.run("free"); r.State != runSucceeded {
		t.Errorf("a run without a pool: %+v", r)
	}
	if out := x.OK("why", "two"); !strings.Contains(out, both+": "+held+a+" and 1 more") {
		t.Errorf("why:\n%s", out)
	}

	p.Kill()
	p = x.Principal("--config", x.Dir+"/config.yml")
	x.says(both, runQueued, held+a+" and 1 more")
	out := x.OK("pools")
	if want := regexp.MustCompile(`(?m)^database +2/2 +\* holds +` + a + ` .*\n^database +2/2 +\* holds +` + b +
		` .*\n^database +2/2 +\. waits +` + both + ` +two +2 .*\n^database +2/2 +\. waits +` + c +
		` +one +1 `); !want.MatchString(out) {
		t.Errorf("pools:\n%s", out)
	}
	harness.Fields(t, x.OK("pools", "--json"), "pool places declared taken workflows holding waiting holders waiters")

	x.OK("cancel", a, "--force")
	x.says(both, runQueued, held+b) // one place is free, and kept for it
	x.says(c, runQueued, "waiting: pool database, behind "+both)
	x.File("../b", "")
	x.says(both, runRunning, "")
	x.says(c, runQueued, held+both)
	x.declare(p, 3)
	x.says(c, runRunning, "")

	d := x.starts("one", "d")
	x.says(d, runQueued, held+both+" and 1 more")
	agent.Kill()
	x.Agent("worker", "--capacity", "9")
	x.says(both, "crashed", "agent worker was restarted while it ran")
	x.says(d, runRunning, "")

	x.declare(p, 1)
	x.Refused(5, []string{"workflow two cannot run: it wants 2 places of pool database, which has 1",
		"pools: {database: 2}"},
		"run", "two", "--detach")
	if out := x.OK("show", "two"); !strings.Contains(out,
		"two.yml: warning: no run of it can start: it wants 2 places") {
		t.Errorf("show:\n%s", out)
	}
	p.Saw(&p.Err, "two.yml: warning: no run of it can start")
	x.File("../d", "")
	if r := x.await(d); r.State != runSucceeded {
		t.Errorf("%+v", r)
	}
	if out := x.OK("pools", "data"); !strings.Contains(out, "- free") || x.OK("pools", "-n", "0", "xyz") !=
		"no pool is called \"xyz\": cdktr pools lists them\n" {
		t.Errorf("pools: %s", out)
	}
}

// TestPoolsKnot: two runs that have each other's pools are told of, also after a restart, until one is cancelled.
func TestPoolsKnot(t *testing.T) {
	x := poolsSite{newSite(t)}
	const knot = "pool: %s\ntasks:\n  hold: {run: 'until [ -e " + "%s" + "/gate ]; do sleep 0.02; done'}\n" +
		"  next: {depends: [hold], pool: %s, run: 'true'}\n"
	x.File("a.yml", fmt.Sprintf(knot, "one", x.Dir, "two"))
	x.File("b.yml", fmt.Sprintf(knot, "two", x.Dir, "one"))
	p := x.Principal()
	x.Agent("worker", "--capacity", "9")
	a, b := x.Start("a"), x.Start("b")
	x.says(a, runRunning, "")
	x.says(b, runRunning, "")
	x.File("../gate", "")
	says := func() {
		t.Helper()
		var out string
		x.Until("somebody is told", func() bool {
			out = x.OK("attention")
			return strings.Contains(out, "2 runs wait for each other's pools")
		})
		for _, want := range []string{a + " next waits for pool two, held by " + b, b +
			" next waits for pool one, held by " + a,
			"none of them goes on before one is cancelled", "$ cdktr cancel " + b} {
			if !strings.Contains(out, want) {
				t.Errorf("attention does not say %q:\n%s", want, out)
			}
		}
	}
	says()
	want := "waiting: pool two, held by " + b + "; " + b + " next waits for pool one, held by " + a + ": none of them"
	for _, verb := range [][]string{{"show", a}, {"pools"}} {
		if out := strings.Join(strings.Fields(x.OK(verb...)), " "); !strings.Contains(out, want) {
			t.Errorf("%s does not say %q:\n%s", verb, want, out)
		}
	}
	p.Kill()
	x.Principal()
	says()
	x.OK("cancel", b)
	if r := x.await(a); r.State != runSucceeded {
		t.Errorf("%+v", r)
	}
	if out := x.OK("attention"); !strings.Contains(out, "nothing needs attention") {
		t.Errorf("after the cancel:\n%s", out)
	}
}

// TestPoolsFault: numbers of places that cannot be keep a principal from starting.
func TestPoolsFault(t *testing.T) {
	x := newSite(t)
	x.Refused(2, []string{"pools: database: want a number of places from 1 to 10000, not \"0\""}, "start", "principal",
		"--pool", "database=0")
	x.File("big.yml", "pool: {database: 3}\ntasks:\n  a: {run: 'true'}\n")
	x.OK("run", "./workflows/big.yml") // in a process of its own it shares them with nobody
}

// poolsTasks is a run of which one task needs the pool, another does not.
const poolsTasks = `
overlap: allow
max_active_tasks: 1
params: {gate: ""}
tasks:
  hold:
    pool: database
    run: 'echo attempt $CDKTR_ATTEMPT; until [ -e "$PARAM_GATE" ]; do sleep 0.02; done; test "$(cat "$PARAM_GATE")" != fail -o "$CDKTR_ATTEMPT" != 1'
    retries: 1
    retry_delay: 0s
  other: {run: 'true'}
`

// task waits until a task of a run is in a state for that reason.
func (x poolsSite) task(run, task, state, reason string) {
	x.T.Helper()
	x.Until(fmt.Sprintf("task %s of run %s to be %s: %q", task, run, state, reason), func() bool {
		r := x.show(run)
		return r != nil && r.task(task) != nil && r.task(task).State == state && r.task(task).Reason == reason
	})
}

// TestPoolsTasks: tasks wait for the places of a pool beside runs, and hold up nothing meanwhile: neither other tasks
// of their run nor other runs at their agent. Principal and agent may be killed meanwhile, a waiting task and a waiting
// run be cancelled.
func TestPoolsTasks(t *testing.T) {
	x := poolsSite{newSite(t)}
	x.File("tasks.yml", poolsTasks)
	x.File("run.yml", fmt.Sprintf(poolsHold, "database"))
	x.File("free.yml", "tasks:\n  a: {run: 'true'}\n")
	p := x.Principal()
	one, two := x.Agent("one", "--capacity", "1", "--label", "n=1"), x.Agent("two", "--capacity", "1", "--label", "n=2")
	a := x.starts("tasks", "a")
	x.task(a, "hold", "running", "")
	b := x.starts("tasks", "b")
	held := "waiting: pool database, held by " + a + " hold"
	x.task(b, "hold", "waiting", held)
	x.task(b, "other", "succeeded", "") // though the run has one place for its tasks
	c := x.starts("run", "c")
	x.says(c, runQueued, held)
	if r := x.run("free"); r.State != runSucceeded { // though the agent has one place, and b is there
		t.Errorf("a run beside one that waits: %+v", r)
	}
	for _, verb := range [][]string{{"show", b}, {"ps"}} {
		if out := x.OK(verb...); !strings.Contains(out, held) {
			t.Errorf("%s:\n%s", verb, out)
		}
	}
	x.says(b, runRunning, "task hold: "+held)
	d := x.starts("tasks", "d")
	x.task(d, "hold", "waiting", held)

	p.Kill()
	x.Principal()
	x.task(b, "hold", "waiting", held)
	x.OK("cancel", d, "--task", "hold")
	if r := x.await(d); r.State != runFailed || r.task("hold").State != "cancelled" || r.task("hold").Attempts != 0 {
		t.Errorf("a run whose task was cancelled while it waited: %+v", r)
	}
	e := x.starts("tasks", "e")
	x.task(e, "hold", "waiting", held)
	x.OK("cancel", e, "--force")
	if r := x.await(e); r.State != runCancelled {
		t.Errorf("a run that was cancelled while its task waited: %+v", r)
	}

	x.File("../a", "fail") // the first attempt fails: the place goes to who waits, and back for the second attempt
	x.task(b, "hold", "running", "")
	x.says(c, runQueued, "waiting: pool database, held by "+b+" hold")
	x.task(a, "hold", "retrying", "waiting: pool database, held by "+b+" hold")
	x.File("../b", "")
	x.says(c, runRunning, "")
	x.File("../c", "")
	if r := x.await(a); r.State != runSucceeded || r.task("hold").Attempts != 2 {
		t.Errorf("%+v", r)
	}

	f, g := x.starts("tasks", "f"), ""
	x.task(f, "hold", "running", "")
	g = x.starts("tasks", "g")
	x.task(g, "hold", "waiting", "waiting: pool database, held by "+f+" hold")
	if x.show(f).Agent == "one" {
		one.Kill()
		x.Agent("one", "--capacity", "1", "--label", "n=1")
	} else {
		two.Kill()
		x.Agent("two", "--capacity", "1", "--label", "n=2")
	}
	x.task(g, "hold", "running", "")
	if r := x.await(f); r.State != "crashed" {
		t.Errorf("%+v", r)
	}
	x.File("../g", "")
	if r := x.await(g); r.State != runSucceeded {
		t.Errorf("%+v", r)
	}
	if out := x.OK("pools"); !strings.Contains(out, "database  0/1    - free") {
		t.Errorf("pools at the end:\n%s", out)
	}
}

// TestPoolsChild: a run that waits for a place of the run that has started it would wait for ever: it is not started.
func TestPoolsChild(t *testing.T) {
	x := newSite(t)
	x.File("parent.yml", "pool: database\ntasks:\n  a: {workflow: child}\n")
	x.File("each.yml", "pool: database\ntasks:\n  a: {foreach: [x], workflow: child}\n")
	x.File("child.yml", "tasks:\n  a: {run: 'true', pool: database}\n")
	x.Principal("--with-agent")
	for parent, which := range map[string]string{"parent": "", "each": "1 of 1 failed: x: "} {
		r := x.run(parent)
		want := "task a: " + which + "cannot start child: workflow child cannot run here: it needs pool database, in " +
			"which run " + r.ID + " of " + parent + " has places until it has ended: one of the two files must leave " +
			"the pool out"
		if r.State != runFailed || r.Reason != want {
			t.Errorf("the run is %s: %s, want %s", r.State, r.Reason, want)
		}
	}
}

// TestPoolsForeach: each instance of a task waits for a place of its own.
func TestPoolsForeach(t *testing.T) {
	x := newSite(t)
	x.File("each.yml", `
tasks:
  ship:
    foreach: [a, b, c, d]
    pool: ship
    run: 'mkdir "${TMPDIR:-/tmp}/lock.$CDKTR_RUN_ID" && sleep 0.02 && rmdir "${TMPDIR:-/tmp}/lock.$CDKTR_RUN_ID"'
`)
	x.Principal("--with-agent")
	r := x.run("each")
	if r.State != runSucceeded || len(r.Tasks) != 5 {
		t.Errorf("%+v", r)
	}
	if out := x.OK("pools"); !strings.Contains(out, "ship  0/1    - free") {
		t.Errorf("pools at the end:\n%s", out)
	}
}

// TestPoolsGivenBack: a run that waits for a place goes on where it was when its agent is drained: neither a failure
// that is allowed nor an attempt that was spent is made once more, on whatever agent.
func TestPoolsGivenBack(t *testing.T) {
	x := poolsSite{newSite(t)}
	x.File("run.yml", fmt.Sprintf(poolsHold, "tape"))
	x.File("it.yml", `
tasks:
  lint: {run: 'echo lint >>$DIR/ran; exit 3', allow_failure: true}
  ship:
    depends: [lint]
    foreach: [x, y]
    max_parallel: 1
    pool: tape
    retries: 1
    retry_delay: 0s
    allow_failure: true
    run: |
      echo "$ITEM $CDKTR_ATTEMPT" >>$DIR/ran
      [ "$ITEM$CDKTR_ATTEMPT" != x1 ] || until [ -e $DIR/go ]; do sleep 0.02; done
      exit 4
`)
	x.Principal()
	x.Agent("one")
	it := x.Start("it")
	x.task(it, "ship[x]", "running", "")
	x.Agent("two")
	b := x.starts("run", "b")
	x.says(b, runQueued, "waiting: pool tape, held by "+it+" ship[x]")
	x.File("../go", "")
	x.task(it, "ship[x]", "retrying", "waiting: pool tape, held by "+b)
	x.OK("drain", "one")
	x.Until("the other agent has it", func() bool { r := x.show(it); return r != nil && r.Parked && r.Agent == "two" })
	c := x.starts("run", "c")
	x.Agent("three")
	x.File("../b", "")
	x.says(c, runRunning, "")
	x.task(it, "ship[y]", "waiting", "waiting: pool tape, held by "+c)
	x.OK("drain", "two")
	x.Until("the third agent has it", func() bool {
		r := x.show(it)
		return r != nil && r.Parked && r.Agent == "three"
	})
	x.File("../c", "")
	r := x.await(it)
	ran, err := os.ReadFile(x.Dir + "/ran")
	if want := "lint\nx 1\nx 2\ny 1\ny 2\n"; err != nil || string(ran) != want {
		t.Errorf("ran %q, want %q (%v)", ran, want, err)
	}
	if ship := r.task("ship"); r.State != runSucceeded || r.Attempt != 1 || !ship.Allowed ||
		ship.Reason != "2 of 2 failed: x: exit 4" || r.task("ship[x]").Attempts != 2 {
		t.Errorf("%s: %+v", r.State, r.Tasks)
	}
}
