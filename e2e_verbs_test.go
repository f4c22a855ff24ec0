// End-to-end tests of the verbs: what they print, as text and as JSON, and their exit codes.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// e2eDeploy is a workflow with parameters.
const e2eDeploy = `
name: Deploy
description: puts it there
params:
  day: {pattern: "\\d{4}-\\d{2}-\\d{2}", description: which day}
  to: {default: staging}
tasks:
  pack: {run: 'echo "packing $PARAM_DAY"; echo FILE=p.zip >> "$CDKTR_OUTPUT"'}
  ship: {depends: [pack], cmd: echo, args: ["${tasks.pack.outputs.FILE}", "to", "${params.to}"]}
`

// e2eSlow runs until it is stopped, and says when it has begun.
const e2eSlow = "tasks:\n  hold: {run: 'echo holding; exec sleep 600'}\n"

// TestRunFile: a file runs with no principal; nothing of it stays.
func TestRunFile(t *testing.T) {
	x := e2eNew(t)
	x.file("deploy.yml", e2eDeploy)
	x.file("bad.yml", "tasks:\n  a: {run: 'echo told; echo warned >&2; exit 7'}\n")
	x.file("wrong.yml", "tasks:\n  a: {rum: x}\n")
	r := x.code(0, "run", "./workflows/deploy.yml", "-p", "day=2026-01-31")
	if want := "packing 2026-01-31\np.zip to staging\n"; r.out != want {
		t.Errorf("standard output is %q, want %q", r.out, want)
	}
	if !strings.Contains(r.err, "succeeded") {
		t.Errorf("standard error does not tell how it went: %q", r.err)
	}
	if r := x.feed(e2eDeploy, "run", "-", "-p", "day=2026-02-01", "--task-name"); r.code != 0 ||
		r.out != "pack: packing 2026-02-01\nship: p.zip to staging\n" {
		t.Errorf("from standard input: code %d, %q, %s", r.code, r.out, r.err)
	}
	r = x.code(1, "run", "workflows/bad.yml", "--json")
	e2eFields(t, r.out, "run workflow state reason trigger by agent attempt params queued started finished seconds "+
		"tasks")
	if run := e2eDecode[Run](t, r.out); run.State != runFailed || run.Reason != "task a: exit 7" ||
		*run.Tasks[0].Exit != 7 {
		t.Errorf("the run is %+v", run)
	}
	x.file("again.yml", "retries: 1\ntasks:\n  a: {run: 'echo told; exit 7'}\n")
	if r := x.code(1, "run", "workflows/again.yml"); r.out != "told\ntold\n" ||
		!strings.Contains(r.err, "the run is tried again: attempt 2\n") {
		t.Errorf("a run that is tried again printed %q and %q", r.out, r.err)
	}
	if r := x.code(1, "run", "workflows/again.yml", "--json"); r.err != "" {
		t.Errorf("with --json it says %q", r.err)
	}
	x.refused(2, []string{"wrong.yml:2:", "rum", "run"}, "run", "./workflows/wrong.yml")
	x.refused(2, []string{"nowhere.yml"}, "run", "./nowhere.yml")
	x.refused(2, []string{"day", "missing"}, "run", "workflows/deploy.yml")
	x.refused(2, []string{"detach"}, "run", "workflows/deploy.yml", "--detach")
	kept := x.dir + "/kept"
	x.ok("run", "workflows/deploy.yml", "-p", "day=2026-01-31", "--state", kept)
	if _, err := os.Stat(kept + "/journal"); err != nil {
		t.Errorf("--state kept nothing: %v", err)
	}
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "kept" && e.Name() != "workflows" {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// TestRunFileInterrupted: an interrupted `run FILE` takes its tasks with it.
func TestRunFileInterrupted(t *testing.T) {
	x := e2eNew(t)
	x.file("slow.yml", "tasks:\n  a: {run: 'echo begun; sleep 600 & sleep 601'}\n  b: {depends: [a], run: 'echo "+
		"never'}\n")
	p := x.spawn("run", "workflows/slow.yml")
	p.saw(&p.out, "begun\n")
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if left := e2eAlive(x.dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if strings.Contains(p.out.String(), "never") || !strings.Contains(p.err.String(), "cancelled") {
		t.Errorf("it said %s%s", p.out.String(), p.err.String())
	}
}

// TestRunID: the ways to start a run at a principal, and what can be wrong with it.
func TestRunID(t *testing.T) {
	x := e2eNew(t)
	x.file("deploy.yml", e2eDeploy)
	x.file("etl/bad.yml", "tasks:\n  a: {run: 'echo warned >&2; exit 7'}\n")
	x.file("slow.yml", e2eSlow)
	x.file("wrong.yml", "tasks:\n  a: {rum: x}\n")
	x.principal("--with-agent")

	id := x.start("deploy", "-p", "day=2026-01-31")
	if !isRunID(id) {
		t.Fatalf("--detach printed %q", id)
	}
	if run := x.await(id); run.State != runSucceeded || run.Params["to"] != "staging" ||
		run.Tasks[0].Outputs["FILE"] != "p.zip" {
		t.Errorf("the run is %+v", run)
	}
	if piped := strings.TrimSpace(x.ok("run", "-p", "day=2026-01-31", "-p", "to=live", "--",
		"deploy")); x.await(piped).Params["to"] != "live" {
		t.Errorf("run %s: parameters %v", piped, x.show(piped).Params)
	}
	r := x.code(0, "run", "--follow", "deploy", "-p", "day=2026-01-31")
	if r.out != "packing 2026-01-31\np.zip to staging\n" || !strings.Contains(r.err, "+ ship succeeded") {
		t.Errorf("--follow printed %q and %q", r.out, r.err)
	}
	e2eFields(t, x.ok("task", "run", "deploy", "-p", "day=2026-01-31", "--wait", "--json"),
		"run workflow state reason trigger by agent attempt params queued started finished seconds tasks")
	e2eFields(t, x.ok("run", "deploy", "-p", "day=2026-01-31", "--detach", "--json"), "run")
	x.refused(1, []string{"failed", "task a: exit 7", "cdktr logs"}, "run", "etl.bad", "--wait")
	if r := x.code(1, "run", "etl.bad", "--follow"); !strings.Contains(r.err, "exit 7") {
		t.Errorf("--follow of a run that fails says %q", r.err)
	}

	for _, c := range []struct {
		code  int
		words []string
		args  []string
	}{
		{5, []string{"deploi", "did you mean", "deploy"}, []string{"run", "deploi"}},
		{5, []string{"wrong", "does not load", "wrong.yml:2:3"}, []string{"run", "wrong"}},
		{2, []string{"day", "missing", "-p day="}, []string{"run", "deploy"}},
		{2, []string{"dya", "did you mean", "day"}, []string{"run", "deploy", "-p", "dya=1"}},
		{2, []string{"day", "soon", "pattern"}, []string{"run", "deploy", "-p", "day=soon"}},
		{2, []string{"NAME=VALUE"}, []string{"run", "deploy", "-p", "day"}},
		{2, []string{"unknown verb", "run"}, []string{"runn", "deploy"}},
		{2, []string{"unknown verb", "cdktr resume ID"}, []string{"enable", "deploy"}},
		{2, []string{"--nope"}, []string{"run", "deploy", "--nope"}},
		{2, []string{"no flag --wiat", "did you mean --wait?"}, []string{"run", "deploy", "--wiat"}},
		{2, []string{"--detach", "--wait"}, []string{"run", "deploy", "-p", "day=2026-01-31", "--wait", "--detach"}},
		{2, []string{"no verb"}, []string{"--json"}},
		{2, []string{"-wait", "stand behind"}, []string{"--wait", "run", "deploy"}},
		{2, []string{"unknown verb"}, []string{"--json", "lsx"}},
		{2, []string{"-n N: want a number that is not below 0"}, []string{"ps", "-n", "-1"}},
		{2, []string{"--color red"}, []string{"ls", "--color", "red"}},
		{2, []string{"5 fields"}, []string{"next", "--cron", ""}},
		{2, nil, []string{"run"}},
		{2, nil, []string{"run", "a", "b"}},
		{3, []string{"nobody", "start principal"}, []string{"run", "deploy", "--principal", "ipc://" + x.dir +
			"/nobody"}},
	} {
		x.refused(c.code, c.words, c.args...)
	}

	// Flags may stand anywhere, before the verb too.
	endpoint := "ipc://" + x.dir + "/s"
	for _, args := range [][]string{{"ls", "--json", "--principal", endpoint, "deploy"}, {"ls", "deploy", "--json"},
		{"--principal", endpoint, "--json", "ls", "deploy"}} {
		e2eFields(t, x.ok(args...), "workflow name schedule paused last error")
	}

	// With a key a repeat is the same run.
	first := x.start("deploy", "-p", "day=2026-01-31", "--key", "k1")
	if again := x.start("deploy", "-p", "day=2026-01-31", "--key", "k1"); again != first {
		t.Errorf("one key made runs %s and %s", first, again)
	}
	if other := x.start("deploy", "-p", "day=2026-01-31", "--key", "k2"); other == first {
		t.Errorf("two keys made one run %s", first)
	}
}

// TestReaderGone: a reader that has seen enough ends neither a run nor the truth about it.
func TestReaderGone(t *testing.T) {
	x := e2eNew(t)
	// The second task waits until the reader has gone for good; the third finds that nobody reads.
	x.file("told.yml", "tasks:\n  a: {run: 'echo one'}\n  b: {depends: a, run: 'until test -e $DIR/gone; do sleep "+
		"0.01; done; echo two'}\n  c: {depends: b, run: 'seq 20000; exit 7'}\n")
	x.principal("--with-agent")
	for _, c := range []struct {
		args, code, said string
	}{
		{"run ./workflows/told.yml", "1", "! c failed: exit 7"},
		{"run told --follow", "130", "nobody reads the output any more"},
	} {
		os.Remove(x.dir + "/gone")
		cmd := exec.Command("bash", "-c",
			`{ "$1" $2 2> err; echo $? > code; } | { head -n 1; touch gone; exec >&- <&-; }; cat code`, "bash", x.bin,
			c.args)
		cmd.Dir, cmd.Env = x.dir, x.env
		out, err := cmd.Output()
		said, _ := os.ReadFile(x.dir + "/err")
		if err != nil || string(out) != "one\n"+c.code+"\n" || !strings.Contains(string(said), c.said) {
			t.Errorf("%s into head: %v, %q, and it said %s", c.args, err, out, said)
		}
	}
}

// TestFollowerInterrupted: a follower that is interrupted leaves the run alone, and says how to stop it.
func TestFollowerInterrupted(t *testing.T) {
	x := e2eNew(t)
	x.file("slow.yml", e2eSlow)
	x.principal("--with-agent")
	interrupt := func(p *e2eProc, id string) {
		t.Helper()
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
		if text := p.err.String(); !strings.Contains(text, "goes on") || !strings.Contains(text, "cdktr cancel "+id) {
			t.Errorf("it says %q", text)
		}
		if run := x.show(id); run.State != runRunning {
			t.Errorf("the run is %s", run.State)
		}
	}
	p := x.spawn("run", "slow", "--follow")
	id := p.saw(&p.err, `run (\w{26})`)[1]
	p.saw(&p.out, "holding\n")
	interrupt(p, id)
	follower := x.spawn("logs", id, "-f")
	follower.saw(&follower.out, "holding\n")
	interrupt(follower, id)
	// `logs -f` goes on until the run ends.
	logs := x.spawn("logs", id, "-f")
	logs.saw(&logs.out, "holding\n")
	x.ok("cancel", id)
	if code := logs.wait(); code != 0 || logs.out.String() != "holding\n" {
		t.Errorf("logs -f: exit code %d, %q", code, logs.out.String())
	}
	run := x.await(id)
	if run.State != runCancelled || !strings.Contains(run.Reason, "cancelled by") ||
		e2eStates(run) != "hold=cancelled" {
		t.Errorf("the run is %s (%s), %s", run.State, run.Reason, e2eStates(run))
	}
	x.refused(5, []string{"cancelled already"}, "cancel", id)
}

// TestLogsLost: a principal that goes away under logs -f does not take the run with it, and logs says so.
func TestLogsLost(t *testing.T) {
	x := e2eNew(t)
	x.env = append(x.env, e2eMainEnv+"=1s")
	x.file("slow.yml", e2eSlow)
	p := x.principal()
	x.agent("edge-1")
	id := x.start("slow")
	logs := x.spawn("logs", "slow", "-f")
	logs.saw(&logs.out, "holding\n")
	p.kill()
	if code := logs.wait(); code != exitUnreachable || !strings.Contains(logs.err.String(),
		"hint: the run is not lost: when there is a principal again, cdktr show "+id) {
		t.Errorf("exit code %d, %q", code, logs.err.String())
	}
	x.principal()
	x.ok("cancel", id)
	x.await(id)
}

// TestLook: the verbs that look.
func TestLook(t *testing.T) {
	x := e2eNew(t)
	x.file("deploy.yml", e2eDeploy)
	x.file("slow.yml", e2eSlow)
	x.file("etl/daily.yml", "name: Daily load\nschedule: '30 2 * * *'\ntimezone: Europe/London\ntasks:\n  a: {run: "+
		"echo one}\n  b: {depends: [a], run: 'echo two >&2'}\n")
	x.principal("--with-agent")
	run := x.run("etl.daily")
	if run.State != runSucceeded {
		t.Fatalf("the run is %+v", run)
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in:\n%s", word, text)
			}
		}
	}
	has(x.ok("ls"), "etl.daily", "30 2 * * *", "Daily load", "deploy", "manual")
	has(x.ok("ls", "etl.*"), "etl.daily")
	if text := x.ok("ls", "etl.*", "--json"); strings.Contains(text, "deploy") {
		t.Errorf("the pattern has no effect: %s", text)
	} else {
		e2eFields(t, text, "workflow name schedule next paused last error")
	}
	has(x.ok("show", "deploy"), "Deploy", "puts it there", "day", "which day", "pack", "ship")
	e2eFields(t, x.ok("show", "deploy", "--json"), "workflow name schedule paused error spec")
	has(x.ok("show", run.ID), run.ID, "succeeded", "manual", "etl.daily", "one")
	e2eFields(t, x.ok("show", run.ID,
		"--json"), "run workflow state reason trigger by agent attempt params queued started finished seconds tasks")
	has(x.ok("ps", "--all"), run.ID, "etl.daily", "2/2")
	if text := x.ok("ps", "--json"); text != "" {
		t.Errorf("ps shows runs that have ended: %s", text)
	}
	has(x.ok("why", "etl.daily"), "no tick", "next")
	fires := strings.Split(strings.TrimSpace(x.ok("next", "etl.daily", "-n", "3")), "\n")
	if len(fires) != 3 {
		t.Errorf("next printed %q", fires)
	}
	e2eFields(t, x.ok("next", "etl.daily", "--json", "-n", "1"), "workflow at")
	has(x.ok("next", "--cron", "0 0 29 2 *", "--tz", "UTC", "--from", "2026-01-01", "-n", "2"), "2028-02-29 00:00:00",
		"2032-02-29 00:00:00")
	has(x.ok("graph", "deploy"), "pack", "ship")
	has(x.ok("graph", "./workflows/deploy.yml", "--dot"), "digraph", `"pack" -> "ship"`)
	has(x.ok("agents"), "one", "up", "0/4", "local")
	e2eFields(t, x.ok("agents", "--json"), "agent state labels capacity running version seen address load")
	has(x.ok("ping"), version, x.dir+"/s")
	e2eFields(t, x.ok("ping", "--json"), "principal version seconds seq")
	var kinds []string
	for _, e := range e2eLines[Event](t, x.ok("events")) {
		if e.Run == run.ID {
			kinds = append(kinds, strings.TrimSpace(e.Kind+" "+e.Task))
		}
	}
	if got := strings.Join(kinds, ", "); got != "run.queued, run.assigned, run.started, task.started a, "+
		"task.finished a, task.started b, task.finished b, run.finished" {
		t.Errorf("the run left events %s", got)
	}
	if list := e2eLines[Event](t, x.ok("events", "--seq", "3", "-n", "2")); len(list) != 2 || list[0].Seq != 3 {
		t.Errorf("events --seq 3 -n 2 gave %+v", list)
	}
	events := x.spawn("events", "-f", "--since", "1h")
	events.saw(&events.out, `"e":"run.finished","workflow":"etl.daily"`)
	next := x.start("deploy", "-p", "day=2026-01-31")
	events.saw(&events.out, `"e":"run.finished","workflow":"deploy","run":"`+next+`"`)
	events.signal(syscall.SIGINT)
	if code := events.wait(); code != exitInterrupted || events.err.String() != "" {
		t.Errorf("events -f ended with code %d and said %q", code, events.err.String())
	}
	watch := x.spawn("ps", "--watch", "--all")
	watch.saw(&watch.out, `succeeded  `+next)
	watch.signal(syscall.SIGINT)
	if code := watch.wait(); code != exitInterrupted {
		t.Errorf("ps --watch ended with code %d", code)
	}
	if text := x.ok("logs", run.ID); text != "one\ntwo\n" {
		t.Errorf("logs printed %q", text)
	}
	if text := x.ok("logs", "query", "etl.daily", "--err"); text != "two\n" {
		t.Errorf("logs --err printed %q", text)
	}
	if text := x.ok("logs", "etl.daily", "--task", "a", "--task-name", "--grep", "^o"); text != "a: one\n" {
		t.Errorf("logs --task --task-name --grep printed %q", text)
	}
	if text := x.ok("logs", "etl.daily", "-n", "1"); text != "two\n" {
		t.Errorf("logs -n 1 printed %q", text)
	}
	for _, args := range []string{"logs etl.daily", "logs --json etl.daily", "events", "events -f", "ps --all --json",
		"next etl.daily", "next", "next --cron @daily", "why etl.daily --json", "logs -f etl.daily"} {
		if r := x.code(0, append(strings.Fields(args), "-n", "0")...); r.out+r.err != "" {
			t.Errorf("%s -n 0 printed %q and %q", args, r.out, r.err)
		}
	}
	e2eFields(t, x.ok("logs", run.ID, "--json"), "t run task attempt stream line")
	if lines := e2eLines[logJSON](t, x.ok("logs", run.ID, "--json")); len(lines) != 2 || lines[1].Stream != "err" ||
		lines[1].Line != "two" {
		t.Errorf("logs --json printed %+v", lines)
	}
	x.file("never.yml", "tasks:\n  a: {run: 'true'}\n")
	x.until("never.yml is seen", func() bool { return x.workflow("never").File != "" })
	x.refused(5, []string{"has not run yet"}, "logs", "never")
	if err := os.Remove(x.dir + "/workflows/etl/daily.yml"); err != nil {
		t.Fatal(err)
	}
	x.until("etl/daily.yml is gone", func() bool { return !strings.Contains(x.ok("ls", "--json"), "etl.daily") })
	if text := x.ok("logs", "etl.daily", "-n", "1"); text != "two\n" {
		t.Errorf("of a workflow whose file is gone logs printed %q", text)
	}
	x.refused(5, []string{"no workflow"}, "show", "nothing.here")
	x.refused(5, []string{"no run"}, "show", runID(run.Queued.Time, run.ID))
	x.refused(2, []string{"missing closing )"}, "logs", "etl.daily", "--grep", "(")
	x.refused(5, []string{"no task", "extract", "cdktr show"}, "logs", "etl.daily", "--task", "extract")
	x.refused(5, []string{"no task", "did you mean", "hold"}, "logs", x.start("slow"), "--task", "hodl", "-f")
	x.refused(2, []string{"done", "succeeded"}, "ps", "--state", "done")
}

// TestPsPages: ps --all goes back as far as is asked, page by page, each run once.
func TestPsPages(t *testing.T) {
	x := e2eNew(t)
	x.file("one.yml", "tasks:\n  a: {run: 'true'}\n")
	x.file("two.yml", "tasks:\n  a: {run: 'false'}\n")
	x.principal("--with-agent")
	var ids []string
	for i := range 30 {
		r, err := x.ask(Request{Op: "run", Workflow: []string{"one", "two"}[i%2], Wait: i == 29})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Run)
	}
	for _, id := range ids {
		x.await(id)
	}
	slices.Reverse(ids)
	var got []string
	for after := ""; ; {
		r, err := x.ask(Request{Op: "ps", All: true, N: 7, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range r.Runs {
			got = append(got, run.ID)
		}
		if after = r.Next; after == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("pages of 7 gave %d runs, want %d, newest first, each once:\n%v", len(got), len(ids), got)
	}
	for flags, want := range map[string]int{"--all": 30, "--all -n 10": 10, "--all --workflow two": 15,
		"--state succeeded": 15, "--all --since 1h -n 1000": 30, "": 0} {
		if n := len(e2eLines[Run](t, x.ok(append([]string{"ps", "--json"}, strings.Fields(flags)...)...))); n != want {
			t.Errorf("ps %s gave %d runs, want %d", flags, n, want)
		}
	}
}

// TestChange: the verbs that change something.
func TestChange(t *testing.T) {
	x := e2eNew(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	x.file("once.yml", "schedule: '30 2 * * *'\ntasks:\n  a: {run: 'echo a >> $DIR/ran'}\n  b: {depends: [a], run: "+
		"'echo b >> $DIR/ran; test -e $DIR/ready'}\n  c: {depends: [b], run: 'echo c >> $DIR/ran'}\n")
	x.principal()
	agent := x.agent("edge-1")

	x.ok("pause", "once")
	if by := x.workflow("once").Paused; by != me.Username {
		t.Errorf("paused by %q", by)
	}
	if text := x.ok("ls"); !strings.Contains(text, "paused") {
		t.Errorf("ls does not say so: %s", text)
	}
	x.file("twice.yml", "schedule: '30 3 * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.until("twice.yml is seen", func() bool { return x.workflow("twice").File != "" })
	if r := x.code(0, "next", "-n", "2"); strings.Contains(r.out, "once") || strings.Count(r.out, "twice") != 2 {
		t.Errorf("next lists what is paused:\n%s", r.out)
	}
	for _, verb := range []string{"show", "why"} {
		if text := x.ok(verb, "once"); !strings.Contains(text, "next         = paused\n") {
			t.Errorf("%s says of what is paused:\n%s", verb, text)
		}
	}
	paused := "cdktr: once is paused by " + me.Username + ": none of these will fire until cdktr resume "
	if r := x.code(0, "next", "once", "-n", "1"); !strings.Contains(r.out, "02:30:00") || r.err != paused+"once\n" {
		t.Errorf("next of what is paused says %q, and %q", r.out, r.err)
	}
	x.ok("pause", "--all", "--json")
	if r := x.code(0, "next", "once", "-n", "1"); r.err != paused+"--all\n" {
		t.Errorf("next of what is paused with all says %q", r.err)
	}
	if r := x.code(0, "next"); r.out != "" || !strings.Contains(r.err, "all schedules are paused by "+me.Username) {
		t.Errorf("next, with all paused, says %q, and %q", r.out, r.err)
	}
	if r := x.code(0, "resume", "once"); !strings.Contains(r.err, "all schedules are still paused") {
		t.Errorf("resume says %q", r.err)
	}
	x.ok("pause", "once")
	if r := x.code(0, "resume", "--all"); !strings.Contains(r.err, "by themselves before: once") {
		t.Errorf("resume --all says %q", r.err)
	}
	if by := x.workflow("once").Paused; by != "" {
		t.Errorf("still paused by %q", by)
	}
	if r := x.code(0, "resume", "--all"); strings.Contains(r.err, "once") {
		t.Errorf("resume --all says %q", r.err)
	}
	x.refused(2, nil, "pause")
	x.refused(5, []string{"did you mean"}, "pause", "onec")

	run := x.run("once")
	if run.State != runFailed || e2eStates(run) != "a=succeeded b=failed c=skipped" {
		t.Fatalf("the run is %s, %s", run.State, e2eStates(run))
	}
	if err := os.WriteFile(x.dir+"/ready", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.ok("retry", run.ID)
	if run = x.await(run.ID); run.State != runSucceeded || run.Attempt != 2 {
		t.Errorf("after retry the run is %+v", run)
	}
	x.refused(5, []string{"succeeded", "--all"}, "retry", run.ID)
	x.ok("retry", run.ID, "--all")
	if run = x.await(run.ID); run.State != runSucceeded || run.Attempt != 3 {
		t.Errorf("after retry --all the run is %+v", run)
	}
	if ran, _ := os.ReadFile(x.dir + "/ran"); strings.Join(strings.Fields(string(ran)), "") != "abbcabc" {
		t.Errorf("the tasks ran in the order %q", ran)
	}

	x.ok("drain", "edge-1")
	if text := x.ok("agents", "--json"); !strings.Contains(text, `"state":"drain"`) {
		t.Errorf("agents says %s", text)
	}
	waiting := x.start("once")
	if reason := x.show(waiting).Reason; !strings.Contains(reason, "drain") {
		t.Errorf("the run waits for %q", reason)
	}
	for text, args := range map[string]string{`{"done":"undrain","agent":"edge-1"}`: "undrain edge-1",
		`{"done":"pause","workflow":"once"}`:      "pause once",
		`{"done":"retry","run":"` + run.ID + `"}`: "retry --all " + run.ID} {
		if out := x.ok(append(strings.Fields(args), "--json")...); out != text+"\n" {
			t.Errorf("%s --json printed %q", args, out)
		}
	}
	x.await(waiting)
	x.await(run.ID)
	x.refused(5, []string{"connected"}, "forget", "edge-1")
	x.refused(5, []string{"did you mean"}, "drain", "edge-2")
	agent.stop()
	x.until("the agent is lost", func() bool { return strings.Contains(x.ok("agents", "--json"), `"state":"lost"`) })
	x.ok("forget", "edge-1")
	if text := x.ok("agents", "--json"); text != "" {
		t.Errorf("agents says %s", text)
	}
	queued := x.start("once")
	if reason := x.show(queued).Reason; reason != "no agent is connected" {
		t.Errorf("the run waits for %q", reason)
	}
	if words := x.ok("completion", "words", "--", "cancel", ""); words != queued+"\n" {
		t.Errorf("cancel is completed by %q, and only %s is active", words, queued)
	}
	x.refused(exitRefused, []string{"once is a workflow, not a run; its active runs: cdktr cancel " + queued}, "cancel",
		"once")
	x.refused(exitRefused, []string{"twice is a workflow, not a run, and no run of it is active"}, "cancel", "twice")
	x.refused(exitRefused, []string{`no run "onec" (did you mean "once"?)`}, "cancel", "onec")
	x.refused(exitRefused, []string{`no run "twise" (did you mean "twice"?)`}, "retry", "twise")
	x.ok("cancel", queued)
	x.refused(exitRefused, []string{"once is a workflow, not a run; its newest run: cdktr retry " + queued}, "retry",
		"once")
	if run := x.show(queued); run.State != runCancelled {
		t.Errorf("the run is %s", run.State)
	}
}

// TestSetup: the verbs that need no principal.
func TestSetup(t *testing.T) {
	x := e2eNew(t)
	want := "cdktr: no principal has made the socket ipc://" + x.dir +
		"/s\nhint: is it running? start one with `cdktr start principal --with-agent`, or name it with --principal\n"
	if r := x.code(exitUnreachable, "ls"); r.err != want {
		t.Errorf("with no principal ls says %q, want %q", r.err, want)
	}
	if text := x.ok("init", "site"); !strings.Contains(text,
		"wrote site/workflows/hello.yml\nwrote site/workflows/health-check.yml\n") {
		t.Errorf("init says %q", text)
	}
	x.refused(5, []string{"there already"}, "init", "site")
	x.ok("run", "./site/workflows/hello.yml")
	x.ok("validate", "site/workflows/hello.yml")
	x.ok("validate", "--workflows", "site/workflows")
	x.file("wrong.yml", "tasks:\n  a: {run: x, depends: [bee]}\n  b: {run: x}\n")
	x.file("twin.yml", e2eSlow)
	x.file("twin.yaml", e2eSlow)
	x.file("large.yml", "#"+strings.Repeat("x", workflowMaxFile))
	r := x.code(2, "validate")
	for _, want := range []string{"workflows/wrong.yml:2:25: ", `"bee"`, "workflows/large.yml:1:1: ",
		"workflows/twin.yml:1:1: ", "workflows/twin.yaml:1:1: "} {
		if !strings.Contains(r.out, want) {
			t.Errorf("validate does not say %s: %q", want, r.out)
		}
	}
	place := regexp.MustCompile(`^[^:]+:[1-9]\d*:[1-9]\d*: `)
	for _, line := range strings.Split(strings.TrimSpace(r.out+x.code(2, "validate", "nowhere.yml",
		"workflows/large.yml").out), "\n") {
		if !place.MatchString(line) {
			t.Errorf("no FILE:LINE:COL in %q", line)
		}
	}
	e2eFields(t, x.code(2, "validate", "--json").out, "file line column message warning")
	if text := x.ok("version"); !strings.Contains(text, version) || x.ok("--version") != text {
		t.Errorf("version says %q", text)
	}
	e2eFields(t, x.ok("version", "--json"), "version go os arch")
	e2eFields(t, x.ok("config", "--json"), "key value from")
	setting := func(key string) string {
		t.Helper()
		for _, v := range e2eLines[configValue](t, x.ok("config", "--json", "--config", x.dir+"/config.yml",
			"--capacity", "9")) {
			if v.Key == key {
				return v.Value + " " + v.From
			}
		}
		return "none"
	}
	if err := os.WriteFile(x.dir+"/config.yml", []byte("timezone: Asia/Tokyo\ncapacity: 2\nname: other\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"capacity": "9 flag --capacity",
		"name":     "one environment CDKTR_AGENT_NAME",
		"timezone": "Asia/Tokyo file " + x.dir + "/config.yml", "log_level": "info default", "principal": "ipc://" +
			x.dir + "/s environment CDKTR_SOCKET"} {
		if got := setting(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	x.env = append(x.env, "CDKTR_PRINCIPAL_HOST=10.1.2.3", "CDKTR_PRINCIPAL_PORT=7000", "CDKTR_AGENT_MAX_CONCURRENCY=3",
		"CDKTR_WORKFLOW_DIR=/other")
	for key, want := range map[string]string{"principal": "tcp://10.1.2.3:7000 environment CDKTR_PRINCIPAL_HOST"} {
		if got := setting(key); got != want {
			t.Errorf("with CDKTR's variables %s is %q, want %q", key, got, want)
		}
	}
	x.refused(2, []string{"tcp://10.1.2.3:7000 needs a key", "--credential"}, "ls")
	x.refused(2, []string{"unknown setting", "colour"}, "config", "--config", x.badConfig("colour: red\n"))
	x.refused(2, []string{"start what"}, "start")
}

// TestWatch: lists that go on say what there is, and then what changes, a line each.
func TestWatch(t *testing.T) {
	x := e2eNew(t)
	x.file("ok.yml", "schedule: '0 3 * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.file("slow.yml", e2eSlow)
	x.principal("--with-agent")
	held := x.start("slow")
	x.until("the run has begun", func() bool { return x.show(held).State == runRunning })
	runs, json := x.spawn("ps", "--watch"), x.spawn("ps", "--watch", "--json", "--workflow", "ok")
	flows, agents := x.spawn("ls", "--watch", "o?"), x.spawn("agents", "--watch")
	runs.saw(&runs.out, `\d\d:\d\d:\d\d \* running    `+held+`  slow  0/1  on one`)
	flows.saw(&flows.out, `ok  next \d{4}-\d\d-\d\d 03:00:00\n`)
	agents.saw(&agents.out, `\+ up     one  1/4`)
	id := x.start("ok")
	runs.saw(&runs.out, `\+ succeeded  `+id+`  ok  1/1  on one  \d`)
	flows.saw(&flows.out, `ok  \+  next .*  succeeded `+id)
	json.saw(&json.out, `"state":"succeeded".*"done":1,"total":1`)
	x.ok("pause", "ok")
	flows.saw(&flows.out, `ok  \+  paused by `)
	x.ok("drain", "one")
	agents.saw(&agents.out, `= drain  one  1/4`)
	x.ok("cancel", held, "--force")
	runs.saw(&runs.out, `x cancelled  `+held)
	agents.saw(&agents.out, `= drain  one  0/4`)
	if err := os.Remove(x.dir + "/workflows/ok.yml"); err != nil {
		t.Fatal(err)
	}
	flows.saw(&flows.out, `ok  gone\n`)
	for _, p := range []*e2eProc{runs, json, flows, agents} {
		p.signal(syscall.SIGINT)
		if code := p.wait(); code != exitInterrupted || strings.Contains(p.out.String(), "\x1b") {
			t.Errorf("exit code %d, %q", code, p.out.String())
		}
	}
	if strings.Contains(flows.out.String(), "slow") || strings.Contains(json.out.String(), held) {
		t.Errorf("what was not asked for: %s%s", flows.out.String(), json.out.String())
	}
	p := x.spawn("ps", "--all", "--watch", "--state", "succeeded", "-n", "5")
	p.saw(&p.out, `\+ succeeded  `+id)
	p.signal(syscall.SIGINT)
	p.wait()
	x.refused(2, nil, "ps", "--watch", "--state", "done")
}

// TestContexts: a principal that the configuration file knows by name.
func TestContexts(t *testing.T) {
	x := e2eNew(t)
	x.principal()
	config := x.badConfig("contexts:\n  here: {principal: 'ipc://" + x.dir + "/s'}\n  away: {principal: 'ipc://" +
		x.dir + "/none'}\n")
	x.ok("ping", "--config", config, "--context", "here")
	x.refused(3, []string{"none"}, "ping", "--config", config, "--context", "away")
	x.refused(2, []string{"--context", "did you mean", "here"}, "ping", "--config", config, "--context", "hre")
	x.ok("ping", "--config", config, "--context", "away", "--principal", "ipc://"+x.dir+"/s")
	if out := x.ok("config", "--config", config); !strings.Contains(out, "contexts.away.principal") ||
		!strings.Contains(out, "ipc://"+x.dir+"/none") {
		t.Errorf("config prints\n%s", out)
	}
	x.env = append(x.env, "CDKTR_CONTEXT=away")
	x.refused(3, []string{"none"}, "ping", "--config", config)
}

// badConfig writes a configuration file.
func (x *e2e) badConfig(text string) string {
	x.t.Helper()
	name := x.dir + "/bad-config.yml"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
	return name
}

// TestHelp: every verb has help with examples that name it.
func TestHelp(t *testing.T) {
	x := e2eNew(t)
	overview := x.ok("help")
	if x.ok() != overview || x.ok("--help") != overview {
		t.Error("help, --help and no verb at all differ")
	}
	for _, v := range cliVerbs() {
		if !strings.Contains(overview, fmt.Sprintf("  %-16s %s\n", v.name, v.help)) {
			t.Errorf("help lacks %s", v.name)
		}
		text := x.ok(append(strings.Fields(v.name), "--help")...)
		_, examples, ok := strings.Cut(text, "Examples:\n")
		if !ok || !strings.Contains(examples, "cdktr "+v.name) {
			t.Errorf("%s --help has no example:\n%s", v.name, text)
		}
		if !strings.Contains(text, "--json") || !strings.Contains(text, "--principal") {
			t.Errorf("%s --help lacks the flags that every verb has:\n%s", v.name, text)
		}
	}
	for _, args := range [][]string{{"help", "help"}, {"help", "--json"}, {"-h", "run"}, {"--json", "--help"}} {
		if x.ok(args...) != overview {
			t.Errorf("%v does not give the overview", args)
		}
	}
	if x.ok("help", "run") != x.ok("run", "--help") {
		t.Error("help run and run --help differ")
	}
}

// TestOutputBytes: output reaches a pipe byte for byte, whatever it is.
func TestOutputBytes(t *testing.T) {
	x := e2eNew(t)
	all := make([]byte, 0, 1024)
	for i := range 256 {
		all = append(all, byte(i), byte(255-i), 'x')
	}
	all = append(all, '\n')
	if err := os.WriteFile(x.dir+"/bytes", all, 0o644); err != nil {
		t.Fatal(err)
	}
	x.file("bytes.yml", "tasks:\n  a: {run: 'cat $DIR/bytes; printf \"\\033[31mred\\033[0m\\n\"; echo -- --end'}\n")
	x.principal("--with-agent")
	want := string(all) + "\x1b[31mred\x1b[0m\n-- --end\n"
	if r := x.code(0, "run", "bytes", "--follow"); r.out != want {
		t.Errorf("run --follow printed %q, want %q", r.out, want)
	}
	if text := x.ok("logs", "bytes"); text != want {
		t.Errorf("logs printed %q, want %q", text, want)
	}
	if text := x.ok("run", "./workflows/bytes.yml"); text != want {
		t.Errorf("run FILE printed %q, want %q", text, want)
	}
	if text := x.ok("logs", "bytes", "-f", "--raw", "--color", "never"); text != want {
		t.Errorf("logs -f --raw printed %q, want %q", text, want)
	}
}

// TestVerbsFiles names files that are not there, have no end, or are no files, wherever a verb takes one.
func TestVerbsFiles(t *testing.T) {
	x := e2eNew(t)
	x.file("report.yml", "tasks: {a: {run: 'true'}}")
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"reprot.yml", "did you mean ./workflows/report.yml?"}, []string{"run", "workflows/reprot.yml"}},
		{[]string{"no such file"}, []string{"run", "./something-else.yml"}},
		{[]string{"more than 1048576"}, []string{"run", "/dev/zero"}},
		{[]string{"/dev/zero", "not a regular file"}, []string{"ls", "--config", "/dev/zero"}},
		{[]string{x.dir, "not a regular file"}, []string{"ls", "--config", x.dir}},
		{[]string{"nowhere.yml", "no such file"}, []string{"ls", "--config", x.dir + "/nowhere.yml"}},
	} {
		x.refused(exitUsage, c.words, c.args...)
	}
}

// TestVerbsRetryNewer retries a run whose file is another one by now: it does what it said then, and says so.
func TestVerbsRetryNewer(t *testing.T) {
	x := e2eNew(t)
	x.file("job.yml", "tasks: {a: {run: 'exit 3'}}\n")
	x.principal()
	x.agent("edge-1")
	run := x.run("job")
	if r := x.code(0, "retry", run.ID); strings.Contains(r.err, "changed") {
		t.Errorf("retry of the version in force says %q", r.err)
	}
	x.await(run.ID)
	x.file("job.yml", "description: mended\ntasks: {a: {run: 'exit 0'}}\n")
	x.until("the new file is in force", func() bool { return strings.Contains(x.ok("show", "job"), "mended") })
	if r := x.code(0, "retry", run.ID); !strings.Contains(r.err, "the file of job has changed since run "+run.ID) ||
		!strings.Contains(r.err, "cdktr run job") {
		t.Errorf("retry of an older version says %q", r.err)
	}
	if again := x.await(run.ID); again.State != runFailed {
		t.Errorf("the retry is %s: it did what the file says now", again.State)
	}
}
