// End-to-end tests of the keys that say how a task's process is run, stopped and judged.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// processEnd is how a task ended, in a line: state, exit code, attempts, reason.
func processEnd(r *Run, id string) string {
	task := r.task(id)
	exit := "-"
	if task.Exit != nil {
		exit = fmt.Sprint(*task.Exit)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %s", task.State, exit, task.Attempts, task.Reason))
}

// TestExits: which exit codes are a success, and after which there is another attempt.
func TestExits(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", `tasks:
  partial: {run: 'echo K=v >> "$CDKTR_OUTPUT"; exit 24', success_exit: [0, 24]}
  behind: {depends: [partial], run: 'test "$K" = v'}
  strict: {run: 'true', success_exit: 24}
  killed: {run: 'kill -TERM $$', success_exit: [0, 143]}
  busy: {run: 'test $CDKTR_ATTEMPT = 1 && exit 75; exit 3', retries: 5, retry_delay: 10ms, retry_exit: [75]}
  slow: {run: 'sleep 1000', timeout: 3s, retries: 5, retry_exit: [75, 143]}
  late: {run: 'sleep 1000', timeout: 3s, success_exit: [0, 143]}
  absent: {cmd: /no/such/program, retries: 5, retry_exit: 75}
`)
	x.File("fine.yml", "tasks:\n  a: {run: exit 24, success_exit: [0, 24]}\n")
	x.Principal("--with-agent")
	r := x.run("w")
	for id, want := range map[string]string{
		"partial": "succeeded 24 1 exit 24, a success by success_exit",
		"behind":  "succeeded 0 1",
		"strict":  "failed 0 1 exit 0, which success_exit leaves out",
		"killed":  "failed 143 1 signal SIGTERM",
		"busy":    "failed 3 2 exit 3, which retry_exit leaves out: not tried again",
		"slow":    "failed 143 1 timed out after 3s, which retry_exit leaves out: not tried again",
		"late":    "failed 143 1 timed out after 3s",
	} {
		if got := processEnd(r, id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if absent := processEnd(r, "absent"); !strings.HasPrefix(absent, "failed - 1 exec: ") ||
		!strings.HasSuffix(absent, "which retry_exit leaves out: not tried again") {
		t.Errorf("absent: %s", absent)
	}
	fine := x.run("fine")
	if fine.State != runSucceeded || fine.Reason != "" {
		t.Errorf("a run whose task exits with 24, which is fine: %s (%s)", fine.State, fine.Reason)
	}
	if out := x.OK("show", fine.ID); !regexp.MustCompile(`succeeded .* 24 .* exit 24, a success by success_exit`).MatchString(out) {
		t.Errorf("shown so:\n%s", out)
	}
}

// TestStdin: a task reads its text, at its own pace and in each attempt anew, and makes files under its umask.
func TestStdin(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", `tasks:
  answer: {run: 'set -e; read a; echo "it says $a"', stdin: "yes"}
  again: {run: 'cat; test $CDKTR_ATTEMPT = 2', stdin: "a\nb\n", retries: 1, retry_delay: 1ms}
  deaf: {run: 'true', stdin: nobody reads this}
  nothing: {run: 'cat', stdin: ""}
  private: {run: 'umask; touch $DIR/private; ls -l $DIR/private | cut -c1-10', umask: "077"}
  slow: {run: 'read a; echo $a; while [ -e $DIR/hold ]; do sleep 0.02; done; cat', stdin: "one\ntwo"}
`)
	x.File("../hold", "")
	p := x.Principal()
	agent := x.Agent("far")
	run := x.Start("w")
	x.Until("a line was read", func() bool { return strings.Contains(x.OK("logs", run, "--task", "slow"), "one") })
	p.Kill()
	x.Principal()
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := x.await(run); r.State != runSucceeded {
		t.Errorf("the run is %s (%s)", r.State, r.Reason)
	}
	for task, want := range map[string]string{"answer": "it says yes\n", "again": "a\nb\na\nb\n", "deaf": "",
		"nothing": "", "private": "0077\n-rw-------\n", "slow": "one\ntwo\n"} {
		if out := x.OK("logs", run, "--task", task); out != want {
			t.Errorf("%s wrote %q, want %q", task, out, want)
		}
	}
	// Cut short by force, and by the end of its agent.
	x.File("../hold", "")
	for _, end := range []func(run string){func(run string) { x.OK("cancel", run, "--force") },
		func(string) { agent.Kill(); x.Agent("far") }} {
		run := x.Start("w")
		x.Until("a line was read", func() bool { return strings.Contains(x.OK("logs", run, "--task", "slow"), "one") })
		end(run)
		if r := x.await(run); r.State != "cancelled" && r.State != "crashed" {
			t.Errorf("the run is %s (%s)", r.State, r.Reason)
		}
	}
	if left, err := filepath.Glob(x.Dir + "/cdktr-stdin-*"); len(left) > 0 || err != nil {
		t.Errorf("left in the temporary folder: %q, %v", left, err)
	}
}

// processStop is a workflow whose task says which signal has come. It ignores signals while $DIR/stubborn is there.
const processStop = `tasks:
  t:
    stop_signal: int
    grace: GRACE
    KEYS
    run: |
      trap 'echo got INT; exit 0' INT
      trap 'echo got TERM; exit 0' TERM
      [ ! -e $DIR/stubborn ] || trap '' INT TERM
      echo up
      while :; do sleep 0.02; done
`

// processUp starts a run and waits until its task is at work.
func processUp(x *site, id string) (run string) {
	x.T.Helper()
	run = x.Start(id)
	x.Until("the task is up", func() bool { return strings.Contains(x.OK("logs", run), "up\n") })
	return run
}

// TestStopSignal: a stop begins with the task's signal and waits for the task's grace, through restarts too. The
// agent's own grace is an hour.
func TestStopSignal(t *testing.T) {
	x := newSite(t)
	file := strings.NewReplacer("GRACE", "1h", "    KEYS\n", "")
	x.File("polite.yml", file.Replace(processStop))
	x.File("limited.yml", strings.NewReplacer("GRACE", "1h", "KEYS", "timeout: 3s").Replace(processStop))
	x.File("hasty.yml", strings.NewReplacer("GRACE", "50ms", "    KEYS\n", "").Replace(processStop))
	x.Env = append(x.Env, "CDKTR_GRACE=1h")
	p := x.Principal()
	agent := x.Agent("far")
	ended := func(run, state, output string) {
		t.Helper()
		if r := x.await(run); r.State != state {
			t.Errorf("the run is %s (%s), want %s", r.State, r.Reason, state)
		}
		if out := x.OK("logs", run); out != output {
			t.Errorf("the task wrote %q, want %q", out, output)
		}
	}
	run := processUp(x, "polite")
	x.OK("cancel", run)
	ended(run, "cancelled", "up\ngot INT\n")

	run = processUp(x, "polite")
	x.OK("cancel", run, "--task", "t")
	ended(run, runFailed, "up\ngot INT\n")

	run = processUp(x, "polite")
	p.Kill()
	x.Principal()
	x.OK("cancel", run)
	ended(run, "cancelled", "up\ngot INT\n")

	ended(x.Start("limited"), runFailed, "up\ngot INT\n")

	x.File("../stubborn", "")
	run = processUp(x, "hasty")
	x.OK("cancel", run)
	ended(run, "cancelled", "up\n")

	run = processUp(x, "polite")
	x.OK("cancel", run)
	x.OK("cancel", run, "--force")
	ended(run, "cancelled", "up\n")

	run = processUp(x, "polite")
	x.OK("cancel", run, "--task", "t", "--force")
	ended(run, runFailed, "up\n")

	// An agent that was killed ends in its next life what is left of the task. (That knows no signal of the task.)
	if err := os.Remove(x.Dir + "/stubborn"); err != nil {
		t.Fatal(err)
	}
	run = processUp(x, "polite")
	agent.Kill()
	x.Agent("far")
	x.Until("the task is gone", func() bool { return len(harness.Alive("|"+run+"|t|")) == 0 })
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("the run is %s (%s)", r.State, r.Reason)
	}
}

// TestShells: the workflow names the shell of its tasks, a task may have its own, and scripts that are too long for an
// argument reach every kind of shell, and leave no file behind.
func TestShells(t *testing.T) {
	x := newSite(t)
	harness.Need(t, "apt install bash python3 perl", "sh", "-c",
		"bash --version && python3 --version && perl --version")
	filler := strings.Repeat("      # nothing to be seen here\n", 4000)
	x.File("w.yml", `shell: bash -euo pipefail -c
x-common: &common {retries: 1, retry_delay: 1ms}
x-note: of no meaning
tasks:
  pipe: {run: 'false | true'}
  own: {run: 'false | true', shell: /bin/sh -c, x-note: neither}
  merged: {<<: *common, run: 'test $CDKTR_ATTEMPT = 2'}
  long:
    run: |
      echo "$0 $- $(wc -c < $CDKTR_OUTPUT.script)"
`+filler+`      false | true
      echo not reached
  sh:
    shell: sh -c
    run: |
      cat <<'END'
      $PARAM and 'quotes'
      END
`+filler+`      exit 7
  waits:
    run: |
      echo up
`+filler+`      while [ -e $DIR/hold ]; do sleep 0.02; done
      echo on
`)
	x.File("others.yml", `tasks:
  python:
    shell: python3 -u -c
    run: |
      import sys
`+filler+`      print("py", len(sys.argv))
  perl:
    shell: perl -e
    run: |
`+filler+`      print "pl\n";
`)
	x.File("../hold", "")
	p := x.Principal()
	agent := x.Agent("far")
	waits := func() (run string) {
		run = x.Start("w")
		x.Until("the long script has begun", func() bool {
			return strings.Contains(x.OK("logs", run, "--task", "waits"), "up")
		})
		return run
	}
	run := waits()
	p.Kill()
	x.Principal()
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	r := x.await(run)
	for id, want := range map[string]string{"pipe": "failed 1 1 exit 1", "own": "succeeded 0 1",
		"merged": "succeeded 0 2", "long": "failed 1 1 exit 1", "sh": "failed 7 1 exit 7", "waits": "succeeded 0 1"} {
		if got := processEnd(r, id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	for id, want := range map[string]string{"sh": "$PARAM and 'quotes'\n", "waits": "up\non\n"} {
		if out := x.OK("logs", run, "--task", id); out != want {
			t.Errorf("%s wrote %q, want %q", id, out, want)
		}
	}
	others := x.run("others")
	for id, want := range map[string]string{"python": "py 1\n", "perl": "pl\n"} {
		if out := x.OK("logs", others.ID, "--task", id); out != want || others.task(id).State != runSucceeded {
			t.Errorf("%s wrote %q, want %q, and is %s", id, out, want, processEnd(others, id))
		}
	}
	if out := x.OK("logs", run, "--task", "long"); !strings.HasPrefix(out, "bash ehu") {
		t.Errorf("the long script wrote %q", out)
	}
	left := func() []string {
		files, err := filepath.Glob(x.Dir + "/far/out/*")
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	if files := left(); len(files) > 0 {
		t.Errorf("left in the agent's folder: %q", files)
	}
	x.File("../hold", "")
	run = waits()
	x.OK("cancel", run, "--force")
	x.await(run)
	x.Until("the script is gone", func() bool { return len(left()) == 0 })
	run = waits()
	agent.Kill()
	if files := left(); len(files) == 0 {
		t.Error("the agent was killed, and yet its file is gone")
	}
	x.Agent("far")
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("the run is %s (%s)", r.State, r.Reason)
	}
	if files := left(); len(files) > 0 {
		t.Errorf("left in the folder of an agent that was killed: %q", files)
	}
}

// TestChoices: a run is given one of the choices of a parameter, or is refused with all of them.
func TestChoices(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", `params:
  mode: {choices: [full, quick, none at all], default: full, description: how much}
  where: {choices: [north, south]}
tasks:
  a: {run: 'echo "$PARAM_MODE $PARAM_WHERE"'}
`)
	x.Principal("--with-agent")
	x.Refused(exitUsage, []string{`parameter mode: "qick" is not full, quick or none at all (did you mean "quick"?)`},
		"run", "w", "-p", "mode=qick", "-p", "where=north")
	x.Refused(exitUsage, []string{"parameter where is missing: give it with -p where=VALUE, north or south"}, "run",
		"w")
	x.Refused(exitUsage, []string{`parameter where: "" is not north or south`}, "run", x.Dir+"/workflows/w.yml", "-p",
		"where=")
	run := x.run("w", "-p", "where=south", "-p", "mode=none at all")
	if out := x.OK("logs", run.ID); out != "none at all south\n" {
		t.Errorf("it ran with %q", out)
	}
	if out := x.OK("show", "w"); !strings.Contains(out, "mode=full  how much full, quick, none at all") ||
		!strings.Contains(out, "where=   north, south") {
		t.Errorf("shown so:\n%s", out)
	}
	for words, want := range map[string]string{"run|w|-p|": "mode=|where=",
		"run|w|-p|mode=": "mode=full|mode=none at " +
			"all|mode=quick", "run|w|-p|mode=full|-p|where=s": "where=south",
		"run|-p|mode=full|w|-p|where=n": "where=north",
		"run|w|-p|mode|=":               "full|none at all|quick", "run|w|-p|mode|=|q": "quick", "run|w|-p|other=": "",
		"run|-p|mode=": "", "run|none|-p|": ""} {
		out := x.OK(append([]string{"completion", "words", "--"}, strings.Split(words, "|")...)...)
		if got := strings.ReplaceAll(strings.TrimSpace(out), "\n", "|"); got != want {
			t.Errorf("%s is completed with %s, want %s", words, got, want)
		}
	}
}
