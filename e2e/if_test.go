// End-to-end tests of conditions (`if`) and of failures that are allowed.

package e2e

import (
	"os"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// ifMixed has what may fail, what its condition skips, and what is behind each of them. last fails until a file is
// there.
const ifMixed = `env: {WORD: here}
tasks:
  lint: {run: 'echo line too long; exit 3', allow_failure: [3, 4], retries: 1, retry_delay: 0s}
  build: {depends: [lint], run: 'true'}
  note: {depends: [build], when: failure, run: 'true'}
  full:
    depends: [build]
    if: 'echo "asked $WORD $CDKTR_TASK_ID"; echo X=1 >> "$CDKTR_OUTPUT"; test "$WORD" = there'
    run: 'true'
  behind: {depends: [full], run: 'test -z "$X"'}
  alarm: {depends: [full], when: failure, run: 'true'}
  last: {depends: [behind], run: 'test -e $DIR/ready'}
`

// TestIfAndAllowed: what does not succeed and may do so hinders nothing behind it, and the record says which that was,
// in memory, in the history and to people.
func TestIfAndAllowed(t *testing.T) {
	x := newSite(t)
	x.File("mixed.yml", ifMixed)
	x.File("strict.yml", "tasks: {a: {run: exit 5, allow_failure: [3]}, b: {depends: [a], run: 'true'}}")
	x.File("broken.yml", "tasks: {a: {if: no-such-program, run: 'true', retries: 3}, b: {depends: [a], run: 'true'}}")
	x.File("any.yml", "tasks: {a: {run: kill -9 $$, allow_failure: true}}")
	p := x.Principal("--with-agent")
	r := x.run("mixed")
	const kept = "alarm=%s behind=succeeded build=succeeded full=skipped last=%s lint=failed note=succeeded"
	states := func(alarm, last string) string {
		return strings.NewReplacer("alarm=%s", "alarm="+alarm, "last=%s", "last="+last).Replace(kept)
	}
	if got := statesOf(r); r.State != runFailed || r.Reason != "task last: exit 1" ||
		got != states("succeeded", "failed") {
		t.Fatalf("the run is %s (%s), %s", r.State, r.Reason, got)
	}
	check := func(r *Run) {
		t.Helper()
		lint, full := r.task("lint"), r.task("full")
		if !lint.Allowed || lint.Reason != "exit 3" || lint.Exit == nil || *lint.Exit != 3 || lint.Attempts != 2 {
			t.Errorf("lint: %+v", lint)
		}
		if !full.Allowed || full.Reason != "if: exit 1" || full.Exit != nil || full.Attempts != 1 {
			t.Errorf("full: %+v", full)
		}
		if r.task("last").Allowed || r.task("build").Allowed {
			t.Errorf("%+v, %+v", r.task("last"), r.task("build"))
		}
	}
	check(r)
	if out := x.OK("logs", r.ID, "--task", "full"); out != "asked here full\n" {
		t.Errorf("its condition wrote %q", out)
	}
	if items := x.OK("attention", "--json"); !strings.Contains(items, `"task":"last"`) ||
		strings.Contains(items, "lint") {
		t.Errorf("Attention has %s", items)
	}
	x.Until("show draws both", func() bool {
		out := x.OK("show", r.ID)
		return strings.Contains(out, "^ allowed") && strings.Contains(out, "if: exit 1")
	})
	p.Kill()
	p = x.Principal("--with-agent")
	check(x.show(r.ID))
	// What was skipped by its condition stays so. What was allowed to fail did not succeed: it runs again, and all
	// behind it.
	if err := os.WriteFile(x.Dir+"/ready", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.OK("retry", r.ID)
	r = x.await(r.ID)
	check(r)
	if got := statesOf(r); r.State != runSucceeded || got != states("succeeded", "succeeded") {
		t.Errorf("the retry is %s (%s), %s", r.State, r.Reason, got)
	}
	x.OK("retry", r.ID) // what was allowed to fail is left to run
	if r = x.await(r.ID); r.State != runSucceeded || r.Attempt != 3 || r.task("lint").Attempts != 2 {
		t.Errorf("the retry of a success is %s, attempt %d, lint %+v", r.State, r.Attempt, r.task("lint"))
	}
	if out := x.OK("logs", r.ID, "--task", "full"); out != strings.Repeat("asked here full\n", 3) {
		t.Errorf("behind what ran again it was asked anew: %q", out)
	}
	for _, c := range []struct{ id, state, reason, states string }{
		{"strict", runFailed, "task a: exit 5", "a=failed b=skipped"},
		{"broken", runFailed, "task a: if: exit 127", "a=failed b=skipped"},
		{"any", runSucceeded, "", "a=failed"},
	} {
		r := x.run(c.id)
		if got := statesOf(r); r.State != c.state || r.Reason != c.reason || got != c.states ||
			r.task("a").Attempts != 1 {
			t.Errorf("%s is %s (%s), %s, %+v", c.id, r.State, r.Reason, got, r.task("a"))
		}
	}
	p.Stop()
}

// TestIfOfRun: a run whose condition says no is skipped, which needs nobody: not who waits for it, not Attention, not
// its retries. Once the condition says yes it runs, by a retry too.
func TestIfOfRun(t *testing.T) {
	x := newSite(t)
	x.File("guarded.yml", "retries: 2\nenv: {WORD: hello}\nworking_directory: \"${env.DIR}\"\nparams: {f: ready}\n"+
		"if: 'echo \"$WORD $PARAM_F $CDKTR_WORKFLOW_ID\"; test -e $PARAM_F'\n"+
		"tasks: {a: {run: echo done}, z: {depends: [a], when: always, run: echo after}}")
	x.File("deaf.yml", "retries: 1\nif: exit 126\ntasks: {a: {run: 'true'}, z: {depends: [a], when: always, run: "+
		"'true'}}")
	p := x.Principal("--with-agent")
	out := x.Code(0, "run", "guarded", "--wait", "--json")
	if want := " was skipped: if: exit 1\n"; !strings.HasSuffix(out.Err, want) {
		t.Errorf("it says %q, want %q at the end", out.Err, want)
	}
	r := harness.Decode[Run](t, out.Out)
	if r.State != "skipped" || r.Reason != "if: exit 1" || r.Attempt != 1 || statesOf(r) != "a=skipped z=skipped" {
		t.Errorf("the run is %s (%s), attempt %d, %s", r.State, r.Reason, r.Attempt, statesOf(r))
	}
	if log := x.OK("logs", r.ID); log != "hello ready guarded\n" {
		t.Errorf("its log is %q", log)
	}
	if out := x.OK("ps", "--all", "--state", "skipped"); !strings.Contains(out, "- skipped") ||
		!strings.Contains(out, r.ID) {
		t.Errorf("ps: %s", out)
	}
	if out := x.OK("stats", "guarded"); !strings.Contains(out, "0 failed, 0 crashed, 0 cancelled, 1 skipped") {
		t.Errorf("stats: %s", out)
	}
	if out := x.OK("attention", "--json"); out != "" {
		t.Errorf("Attention has %s", out)
	}
	p.Kill()
	p = x.Principal("--with-agent")
	if now := x.show(r.ID); now.State != "skipped" || now.Reason != "if: exit 1" {
		t.Errorf("after kill -9 it is %s (%s)", now.State, now.Reason)
	}
	if err := os.WriteFile(x.Dir+"/ready", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.OK("retry", r.ID)
	if r := x.await(r.ID); r.State != runSucceeded || r.Reason != "" || statesOf(r) != "a=succeeded z=succeeded" {
		t.Errorf("the retry is %s (%s), %s", r.State, r.Reason, statesOf(r))
	}
	x.File("parent.yml", "tasks: {a: {workflow: guarded, params: {f: none}}, b: {depends: [a], run: 'true'}, "+
		"c: {if: exit 3, workflow: guarded}}")
	x.Until("the file is read", func() bool { return x.workflow("parent").Workflow != "" })
	if r := x.run("parent"); r.State != runSucceeded || statesOf(r) != "a=succeeded b=succeeded c=skipped" {
		t.Errorf("the parent of one that is skipped is %s (%s), %s", r.State, r.Reason, statesOf(r))
	}
	deaf := x.run("deaf")
	if deaf.State != runFailed || deaf.Reason != "if: exit 126" || deaf.Attempt != 2 ||
		statesOf(deaf) != "a=skipped z=skipped" {
		t.Errorf("without an answer it is %s (%s), attempt %d, %s", deaf.State, deaf.Reason, deaf.Attempt,
			statesOf(deaf))
	}
	p.Stop()
}

// TestIfInTheMiddle lets things happen while a condition is asked, of a task and of a run: it ends as a task does.
func TestIfInTheMiddle(t *testing.T) {
	x := newSite(t)
	p, a := x.Principal(), x.Agent("a1")
	release := func(id string) { os.Remove(x.Dir + "/hold." + id) }
	for _, c := range []struct {
		name, keys, act string
		ofTask, ofRun   string // how a run ends in which a task is asked, and one that is asked itself
		asked           string // "" is any number of times
	}{
		{"cancel", "", "cancel", "cancelled a=cancelled b=skipped", "cancelled a=skipped b=skipped", "asked\n"},
		{"force", "", "cancel --force", "cancelled a=cancelled b=skipped", "cancelled a=skipped b=skipped", "asked\n"},
		{"late", "timeout: 0.3s\n", "", "failed a=failed b=skipped", "failed a=skipped b=skipped", ""},
		{"principal", "", "kill principal", "succeeded a=skipped b=succeeded", "skipped a=skipped b=skipped",
			"asked\n"},
		{"agent", "failover: rerun\n", "kill agent", "succeeded a=skipped b=succeeded",
			"skipped a=skipped b=skipped", "asked\nasked\n"},
		{"lost", "failover: fail\n", "kill agent", "crashed a=crashed b=skipped", "crashed a=skipped b=skipped",
			"asked\n"},
	} {
		for of, want := range map[string]string{"task": c.ofTask, "run": c.ofRun} {
			id := c.name + "-" + of
			asks := "if: 'echo asked >> $DIR/asked." + id + "; while [ -e $DIR/hold." + id +
				" ]; do sleep 0.05; done; " +
				"exit 1'\n"
			if of == "task" {
				x.File(id+".yml", c.keys+"tasks:\n  a:\n    retries: 3\n    run: 'true'\n    "+asks+
					"  b: {depends: [a], run: 'true'}")
			} else {
				x.File(id+".yml", c.keys+asks+"tasks: {a: {run: 'true'}, b: {depends: [a], run: 'true'}}")
			}
			if err := os.WriteFile(x.Dir+"/hold."+id, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			x.Until("the file is read", func() bool { return x.workflow(id).Workflow != "" })
			run := x.Start(id)
			asked := func() string {
				text, _ := os.ReadFile(x.Dir + "/asked." + id)
				return string(text)
			}
			x.Until(id+" is asked", func() bool { return asked() != "" || c.name == "late" })
			switch words := strings.Fields(c.act); {
			case len(words) == 0:
			case words[0] == "cancel":
				x.OK(append(words, run)...)
			case words[1] == "principal":
				p.Kill()
				p = x.Principal()
				release(id)
			default:
				a.Kill()
				a = x.Agent("a1")
				release(id)
			}
			r := x.await(run)
			if got := r.State + " " + statesOf(r); got != want || c.asked != "" && asked() != c.asked {
				t.Errorf("%s: %s (%s), want %s; asked: %q", id, got, r.Reason, want, asked())
			}
			x.Until("nothing of "+id+" is left", func() bool { return len(harness.Alive("|"+run+"|")) == 0 })
			release(id)
		}
	}
	a.Stop()
	p.Stop()
}

// TestIfTakesPlace: while the condition of a task is asked it has the task's place, and its time is none of the task's
// timeout.
func TestIfTakesPlace(t *testing.T) {
	x := newSite(t)
	x.File("one.yml", "max_active_tasks: 1\ntasks:\n"+
		"  a: {if: 'echo a asks; sleep 3.2', run: echo a runs, timeout: 3s}\n  b: {run: echo b runs}")
	p := x.Principal("--with-agent")
	r := x.run("one")
	if out := x.OK("logs", r.ID); r.State != runSucceeded || out != "a asks\na runs\nb runs\n" {
		t.Errorf("the run is %s (%s), and wrote %q", r.State, r.Reason, out)
	}
	p.Stop()
}

// TestIfOfHandlers: a handler may ask first, as whether there is output to mail, and its failure may be allowed. A run
// that is skipped has no handlers; one whose condition gives no answer has those of a failure.
func TestIfOfHandlers(t *testing.T) {
	x := newSite(t)
	const exits = "on_exit:\n  mail: {if: 'test -s \"$CDKTR_LOG\"', run: 'cat \"$CDKTR_LOG\" >> $DIR/mail'}\n" +
		"  behind: {depends: [mail], run: 'echo $CDKTR_RUN_STATE >> $DIR/states'}\n"
	x.File("quiet.yml", "tasks: {a: {run: 'true'}}\n"+exits)
	x.File("loud.yml", "tasks: {a: {run: echo from loud}}\n"+exits)
	x.File("guarded.yml", "if: exit 3\ntasks: {a: {run: echo from guarded}}\n"+exits)
	x.File("deaf.yml", "if: exit 126\ntasks: {a: {run: echo from deaf}}\n"+exits+
		"on_failure: {tell: {run: 'echo \"told: $CDKTR_REASON\" >> $DIR/states; exit 1', allow_failure: true}}\n")
	p := x.Principal("--with-agent")
	for _, c := range []struct{ id, state string }{{"quiet", runSucceeded}, {"loud", runSucceeded},
		{"guarded", "skipped"},
		{"deaf", runFailed}} {
		if r := x.run(c.id); r.State != c.state {
			t.Errorf("%s is %s (%s)", c.id, r.State, r.Reason)
		}
	}
	for name, want := range map[string]string{"mail": "from loud\n",
		"states": "succeeded\nsucceeded\ntold: if: exit 126\nfailed\n"} {
		if got, err := os.ReadFile(x.Dir + "/" + name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	p.Stop()
}
