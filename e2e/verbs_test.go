// End-to-end tests of the verbs: what they print, as text and as JSON, and their exit codes.

package e2e

import (
	"os"
	"os/exec"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// verbsDeploy is a workflow with parameters.
const verbsDeploy = `
name: Deploy
description: puts it there
params:
  day: {pattern: "\\d{4}-\\d{2}-\\d{2}", description: which day}
  to: {default: staging}
tasks:
  pack: {run: 'echo "packing $PARAM_DAY"; echo FILE=p.zip >> "$CDKTR_OUTPUT"'}
  ship: {depends: [pack], cmd: echo, args: ["${tasks.pack.outputs.FILE}", "to", "${params.to}"]}
`

// verbsSlow runs until it is stopped, and says when it has begun.
const verbsSlow = "tasks:\n  hold: {run: 'echo holding; exec sleep 600'}\n"

// TestRunFile: a file runs with no principal; nothing of it stays.
func TestRunFile(t *testing.T) {
	x := newSite(t)
	x.File("deploy.yml", verbsDeploy)
	x.File("bad.yml", "tasks:\n  a: {run: 'echo told; echo warned >&2; exit 7'}\n")
	x.File("wrong.yml", "tasks:\n  a: {rum: x}\n")
	r := x.Code(0, "run", "./workflows/deploy.yml", "-p", "day=2026-01-31")
	if want := "packing 2026-01-31\np.zip to staging\n"; r.Out != want {
		t.Errorf("standard output is %q, want %q", r.Out, want)
	}
	if !strings.Contains(r.Err, "succeeded") {
		t.Errorf("standard error does not tell how it went: %q", r.Err)
	}
	if r := x.Feed(verbsDeploy, "run", "-", "-p", "day=2026-02-01", "--task-name"); r.Code != 0 ||
		r.Out != "pack: packing 2026-02-01\nship: p.zip to staging\n" {
		t.Errorf("from standard input: code %d, %q, %s", r.Code, r.Out, r.Err)
	}
	r = x.Code(1, "run", "workflows/bad.yml", "--json")
	harness.Fields(t, r.Out, "run workflow state reason trigger by agent attempt params queued started finished "+
		"seconds "+
		"tasks")
	if run := harness.Decode[Run](t, r.Out); run.State != runFailed || run.Reason != "task a: exit 7" ||
		*run.Tasks[0].Exit != 7 {
		t.Errorf("the run is %+v", run)
	}
	x.File("again.yml", "retries: 1\ntasks:\n  a: {run: 'echo told; exit 7'}\n")
	if r := x.Code(1, "run", "workflows/again.yml"); r.Out != "told\ntold\n" ||
		!strings.Contains(r.Err, "the run is tried again: attempt 2\n") {
		t.Errorf("a run that is tried again printed %q and %q", r.Out, r.Err)
	}
	if r := x.Code(1, "run", "workflows/again.yml", "--json"); r.Err != "" {
		t.Errorf("with --json it says %q", r.Err)
	}
	x.Refused(2, []string{"wrong.yml:2:", "rum", "run"}, "run", "./workflows/wrong.yml")
	x.Refused(2, []string{"nowhere.yml"}, "run", "./nowhere.yml")
	x.Refused(2, []string{"day", "missing"}, "run", "workflows/deploy.yml")
	x.Refused(2, []string{"detach"}, "run", "workflows/deploy.yml", "--detach")
	kept := x.Dir + "/kept"
	x.OK("run", "workflows/deploy.yml", "-p", "day=2026-01-31", "--state", kept)
	if _, err := os.Stat(kept + "/journal"); err != nil {
		t.Errorf("--state kept nothing: %v", err)
	}
	entries, err := os.ReadDir(x.Dir)
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
	x := newSite(t)
	x.File("slow.yml", "tasks:\n  a: {run: 'echo begun; sleep 600 & sleep 601'}\n  b: {depends: [a], run: 'echo "+
		"never'}\n")
	p := x.Spawn("run", "workflows/slow.yml")
	p.Saw(&p.Out, "begun\n")
	p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if left := harness.Alive(x.Dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if strings.Contains(p.Out.String(), "never") || !strings.Contains(p.Err.String(), "cancelled") {
		t.Errorf("it said %s%s", p.Out.String(), p.Err.String())
	}
}

// TestRunID: the ways to start a run at a principal, and what can be wrong with it.
func TestRunID(t *testing.T) {
	x := newSite(t)
	x.File("deploy.yml", verbsDeploy)
	x.File("etl/bad.yml", "tasks:\n  a: {run: 'echo warned >&2; exit 7'}\n")
	x.File("slow.yml", verbsSlow)
	x.File("wrong.yml", "tasks:\n  a: {rum: x}\n")
	x.Principal("--with-agent")

	id := x.Start("deploy", "-p", "day=2026-01-31")
	if !regexp.MustCompile("^[0-7][0-9A-HJKMNP-TV-Z]{25}$").MatchString(id) {
		t.Fatalf("--detach printed %q", id)
	}
	if run := x.await(id); run.State != runSucceeded || run.Params["to"] != "staging" ||
		run.Tasks[0].Outputs["FILE"] != "p.zip" {
		t.Errorf("the run is %+v", run)
	}
	if piped := strings.TrimSpace(x.OK("run", "-p", "day=2026-01-31", "-p", "to=live", "--",
		"deploy")); x.await(piped).Params["to"] != "live" {
		t.Errorf("run %s: parameters %v", piped, x.show(piped).Params)
	}
	r := x.Code(0, "run", "--follow", "deploy", "-p", "day=2026-01-31")
	if r.Out != "packing 2026-01-31\np.zip to staging\n" || !strings.Contains(r.Err, "+ ship succeeded") {
		t.Errorf("--follow printed %q and %q", r.Out, r.Err)
	}
	harness.Fields(t, x.OK("task", "run", "deploy", "-p", "day=2026-01-31", "--wait", "--json"),
		"run workflow state reason trigger by agent attempt params queued started finished seconds tasks")
	harness.Fields(t, x.OK("run", "deploy", "-p", "day=2026-01-31", "--detach", "--json"), "run")
	x.Refused(1, []string{"failed", "task a: exit 7", "cdktr logs"}, "run", "etl.bad", "--wait")
	if r := x.Code(1, "run", "etl.bad", "--follow"); !strings.Contains(r.Err, "exit 7") {
		t.Errorf("--follow of a run that fails says %q", r.Err)
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
		{3, []string{"nobody", "start principal"}, []string{"run", "deploy", "--principal", "ipc://" + x.Dir +
			"/nobody"}},
	} {
		x.Refused(c.code, c.words, c.args...)
	}

	// Flags may stand anywhere, before the verb too.
	endpoint := "ipc://" + x.Dir + "/s"
	for _, args := range [][]string{{"ls", "--json", "--principal", endpoint, "deploy"}, {"ls", "deploy", "--json"},
		{"--principal", endpoint, "--json", "ls", "deploy"}} {
		harness.Fields(t, x.OK(args...), "workflow name schedule paused last error")
	}

	// With a key a repeat is the same run.
	first := x.Start("deploy", "-p", "day=2026-01-31", "--key", "k1")
	if again := x.Start("deploy", "-p", "day=2026-01-31", "--key", "k1"); again != first {
		t.Errorf("one key made runs %s and %s", first, again)
	}
	if other := x.Start("deploy", "-p", "day=2026-01-31", "--key", "k2"); other == first {
		t.Errorf("two keys made one run %s", first)
	}
}

// TestReaderGone: a reader that closes the pipe does not end the run, and the command says what became of it.
func TestReaderGone(t *testing.T) {
	x := newSite(t)
	// The second task waits until the reader has gone for good; the third finds that nobody reads.
	x.File("told.yml", "tasks:\n  a: {run: 'echo one'}\n  b: {depends: a, run: 'until test -e $DIR/gone; do sleep "+
		"0.01; done; echo two'}\n  c: {depends: b, run: 'seq 20000; exit 7'}\n")
	x.Principal("--with-agent")
	for _, c := range []struct {
		args, code, said string
	}{
		{"run ./workflows/told.yml", "1", "! c failed: exit 7"},
		{"run told --follow", "130", "nobody reads the output any more"},
	} {
		os.Remove(x.Dir + "/gone")
		cmd := exec.Command("bash", "-c",
			`{ "$1" $2 2> err; echo $? > code; } | { head -n 1; touch gone; exec >&- <&-; }; cat code`, "bash", x.Bin,
			c.args)
		cmd.Dir, cmd.Env = x.Dir, x.Env
		out, err := cmd.Output()
		said, _ := os.ReadFile(x.Dir + "/err")
		if err != nil || string(out) != "one\n"+c.code+"\n" || !strings.Contains(string(said), c.said) {
			t.Errorf("%s into head: %v, %q, and it said %s", c.args, err, out, said)
		}
	}
}

// TestFollowerInterrupted: a follower that is interrupted leaves the run alone, and says how to stop it.
func TestFollowerInterrupted(t *testing.T) {
	x := newSite(t)
	x.File("slow.yml", verbsSlow)
	x.Principal("--with-agent")
	interrupt := func(p *harness.Proc, id string) {
		t.Helper()
		p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
		if text := p.Err.String(); !strings.Contains(text, "goes on") || !strings.Contains(text, "cdktr cancel "+id) {
			t.Errorf("it says %q", text)
		}
		if run := x.show(id); run.State != runRunning {
			t.Errorf("the run is %s", run.State)
		}
	}
	p := x.Spawn("run", "slow", "--follow")
	id := p.Saw(&p.Err, `run (\w{26})`)[1]
	p.Saw(&p.Out, "holding\n")
	interrupt(p, id)
	follower := x.Spawn("logs", id, "-f")
	follower.Saw(&follower.Out, "holding\n")
	interrupt(follower, id)
	// `logs -f` goes on until the run ends.
	logs := x.Spawn("logs", id, "-f")
	logs.Saw(&logs.Out, "holding\n")
	x.OK("cancel", id)
	if code := logs.Wait(); code != 0 || logs.Out.String() != "holding\n" {
		t.Errorf("logs -f: exit code %d, %q", code, logs.Out.String())
	}
	run := x.await(id)
	if run.State != runCancelled || !strings.Contains(run.Reason, "cancelled by") ||
		statesOf(run) != "hold=cancelled" {
		t.Errorf("the run is %s (%s), %s", run.State, run.Reason, statesOf(run))
	}
	x.Refused(5, []string{"cancelled already"}, "cancel", id)
}

// TestLook: the verbs that look.
func TestLook(t *testing.T) {
	x := newSite(t)
	x.File("deploy.yml", verbsDeploy)
	x.File("slow.yml", verbsSlow)
	x.File("etl/daily.yml", "name: Daily load\nschedule: '30 2 * * *'\ntimezone: Europe/London\ntasks:\n  a: {run: "+
		"echo one}\n  b: {depends: [a], run: 'echo two >&2'}\n")
	x.Principal("--with-agent")
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
	has(x.OK("ls"), "etl.daily", "30 2 * * *", "Daily load", "deploy", "manual")
	has(x.OK("ls", "etl.*"), "etl.daily")
	if text := x.OK("ls", "etl.*", "--json"); strings.Contains(text, "deploy") {
		t.Errorf("the pattern has no effect: %s", text)
	} else {
		harness.Fields(t, text, "workflow name schedule next paused last error")
	}
	has(x.OK("show", "deploy"), "Deploy", "puts it there", "day", "which day", "pack", "ship")
	harness.Fields(t, x.OK("show", "deploy", "--json"), "workflow name schedule paused error spec")
	has(x.OK("show", run.ID), run.ID, "succeeded", "manual", "etl.daily", "one")
	harness.Fields(t, x.OK("show", run.ID,
		"--json"), "run workflow state reason trigger by agent attempt params queued started finished seconds tasks")
	has(x.OK("ps", "--all"), run.ID, "etl.daily", "2/2")
	if text := x.OK("ps", "--json"); text != "" {
		t.Errorf("ps shows runs that have ended: %s", text)
	}
	has(x.OK("why", "etl.daily"), "no fire", "next")
	fires := strings.Split(strings.TrimSpace(x.OK("next", "etl.daily", "-n", "3")), "\n")
	if len(fires) != 3 {
		t.Errorf("next printed %q", fires)
	}
	harness.Fields(t, x.OK("next", "etl.daily", "--json", "-n", "1"), "workflow at")
	has(x.OK("next", "--cron", "0 0 29 2 *", "--tz", "UTC", "--from", "2026-01-01", "-n", "2"), "2028-02-29 00:00:00",
		"2032-02-29 00:00:00")
	has(x.OK("graph", "deploy"), "pack", "ship")
	has(x.OK("graph", "./workflows/deploy.yml", "--dot"), "digraph", `"pack" -> "ship"`)
	has(x.OK("agents"), "one", "up", "0/4", "local")
	harness.Fields(t, x.OK("agents", "--json"), "agent state labels capacity running version seen address load")
	has(x.OK("ping"), verbsVersion(x), x.Dir+"/s")
	harness.Fields(t, x.OK("ping", "--json"), "principal version seconds seq")
	var kinds []string
	for _, e := range harness.Lines[Event](t, x.OK("events")) {
		if e.Run == run.ID {
			kinds = append(kinds, strings.TrimSpace(e.Kind+" "+e.Task))
		}
	}
	if got := strings.Join(kinds, ", "); got != "run.queued, run.assigned, run.started, task.started a, "+
		"task.finished a, task.started b, task.finished b, run.finished" {
		t.Errorf("the run left events %s", got)
	}
	if list := harness.Lines[Event](t, x.OK("events", "--seq", "3", "-n", "2")); len(list) != 2 || list[0].Seq != 3 {
		t.Errorf("events --seq 3 -n 2 gave %+v", list)
	}
	events := x.Spawn("events", "-f", "--since", "1h")
	events.Saw(&events.Out, `"e":"run.finished","workflow":"etl.daily"`)
	next := x.Start("deploy", "-p", "day=2026-01-31")
	events.Saw(&events.Out, `"e":"run.finished","workflow":"deploy","run":"`+next+`"`)
	events.Signal(syscall.SIGINT)
	if code := events.Wait(); code != exitInterrupted || events.Err.String() != "" {
		t.Errorf("events -f ended with code %d and said %q", code, events.Err.String())
	}
	watch := x.Spawn("ps", "--watch", "--all")
	watch.Saw(&watch.Out, `succeeded  `+next)
	watch.Signal(syscall.SIGINT)
	if code := watch.Wait(); code != exitInterrupted {
		t.Errorf("ps --watch ended with code %d", code)
	}
	if text := x.OK("logs", run.ID); text != "one\ntwo\n" {
		t.Errorf("logs printed %q", text)
	}
	if text := x.OK("logs", "query", "etl.daily", "--err"); text != "two\n" {
		t.Errorf("logs --err printed %q", text)
	}
	if text := x.OK("logs", "etl.daily", "--task", "a", "--task-name", "--grep", "^o"); text != "a: one\n" {
		t.Errorf("logs --task --task-name --grep printed %q", text)
	}
	if text := x.OK("logs", "etl.daily", "-n", "1"); text != "two\n" {
		t.Errorf("logs -n 1 printed %q", text)
	}
	for _, args := range []string{"logs etl.daily", "logs --json etl.daily", "events", "events -f", "ps --all --json",
		"next etl.daily", "next", "next --cron @daily", "why etl.daily --json", "logs -f etl.daily"} {
		if r := x.Code(0, append(strings.Fields(args), "-n", "0")...); r.Out+r.Err != "" {
			t.Errorf("%s -n 0 printed %q and %q", args, r.Out, r.Err)
		}
	}
	harness.Fields(t, x.OK("logs", run.ID, "--json"), "t run task attempt stream line")
	if lines := harness.Lines[LogLine](t, x.OK("logs", run.ID, "--json")); len(lines) != 2 ||
		lines[1].Stream != "err" ||
		lines[1].Line != "two" {
		t.Errorf("logs --json printed %+v", lines)
	}
	x.File("never.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Until("never.yml is seen", func() bool { return x.workflow("never").File != "" })
	x.Refused(5, []string{"has not run yet"}, "logs", "never")
	if err := os.Remove(x.Dir + "/workflows/etl/daily.yml"); err != nil {
		t.Fatal(err)
	}
	x.Until("etl/daily.yml is gone", func() bool { return !strings.Contains(x.OK("ls", "--json"), "etl.daily") })
	if text := x.OK("logs", "etl.daily", "-n", "1"); text != "two\n" {
		t.Errorf("of a workflow whose file is gone logs printed %q", text)
	}
	x.Refused(5, []string{"no workflow"}, "show", "nothing.here")
	x.Refused(5, []string{"no run"}, "show", verbsOtherRun(run.ID))
	x.Refused(2, []string{"missing closing )"}, "logs", "etl.daily", "--grep", "(")
	x.Refused(5, []string{"no task", "extract", "cdktr show"}, "logs", "etl.daily", "--task", "extract")
	x.Refused(5, []string{"no task", "did you mean", "hold"}, "logs", x.Start("slow"), "--task", "hodl", "-f")
	x.Refused(2, []string{"done", "succeeded"}, "ps", "--state", "done")
}

// verbsOtherRun makes of the id of a run one that no run has.
func verbsOtherRun(id string) string {
	last := "0"
	if strings.HasSuffix(id, last) {
		last = "1"
	}
	return id[:len(id)-1] + last
}

// verbsVersion is the version of the program under test.
func verbsVersion(x *site) string {
	x.T.Helper()
	said := harness.Decode[struct{ Version string }](x.T, x.OK("version", "--json"))
	if !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(said.Version) {
		x.T.Errorf("the version is %q", said.Version)
	}
	return said.Version
}

// TestPsPages: ps --all goes back as far as is asked, page by page, each run once.
func TestPsPages(t *testing.T) {
	x := newSite(t)
	x.File("one.yml", "tasks:\n  a: {run: 'true'}\n")
	x.File("two.yml", "tasks:\n  a: {run: 'false'}\n")
	x.Principal("--with-agent")
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
		after = r.Next
		if after == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("pages of 7 gave %d runs, want %d, newest first, each once:\n%v", len(got), len(ids), got)
	}
	for flags, want := range map[string]int{"--all": 30, "--all -n 10": 10, "--all --workflow two": 15,
		"--state succeeded": 15, "--all --since 1h -n 1000": 30, "": 0} {
		if n := len(harness.Lines[Run](t, x.OK(append([]string{"ps", "--json"},
			strings.Fields(flags)...)...))); n != want {
			t.Errorf("ps %s gave %d runs, want %d", flags, n, want)
		}
	}
}

// TestChange: the verbs that change something.
func TestChange(t *testing.T) {
	x := newSite(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	x.File("once.yml", "schedule: '30 2 * * *'\ntasks:\n  a: {run: 'echo a >> $DIR/ran'}\n  b: {depends: [a], run: "+
		"'echo b >> $DIR/ran; test -e $DIR/ready'}\n  c: {depends: [b], run: 'echo c >> $DIR/ran'}\n")
	x.Principal()
	agent := x.Agent("edge-1")

	x.OK("pause", "once")
	if by := x.workflow("once").Paused; by != me.Username {
		t.Errorf("paused by %q", by)
	}
	if text := x.OK("ls"); !strings.Contains(text, "paused") {
		t.Errorf("ls does not say so: %s", text)
	}
	x.File("twice.yml", "schedule: '30 3 * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.Until("twice.yml is seen", func() bool { return x.workflow("twice").File != "" })
	if r := x.Code(0, "next", "-n", "2"); strings.Contains(r.Out, "once") || strings.Count(r.Out, "twice") != 2 {
		t.Errorf("next lists what is paused:\n%s", r.Out)
	}
	for _, verb := range []string{"show", "why"} {
		if text := x.OK(verb, "once"); !strings.Contains(text, "next         = paused\n") {
			t.Errorf("%s says of what is paused:\n%s", verb, text)
		}
	}
	paused := "cdktr: once is paused by " + me.Username + ": none of these will fire until cdktr resume "
	if r := x.Code(0, "next", "once", "-n", "1"); !strings.Contains(r.Out, "02:30:00") || r.Err != paused+"once\n" {
		t.Errorf("next of what is paused says %q, and %q", r.Out, r.Err)
	}
	x.OK("pause", "--all", "--json")
	if r := x.Code(0, "next", "once", "-n", "1"); r.Err != paused+"--all\n" {
		t.Errorf("next of what is paused with all says %q", r.Err)
	}
	if r := x.Code(0, "next"); r.Out != "" || !strings.Contains(r.Err, "all schedules are paused by "+me.Username) {
		t.Errorf("next, with all paused, says %q, and %q", r.Out, r.Err)
	}
	if r := x.Code(0, "resume", "once"); !strings.Contains(r.Err, "all schedules are still paused") {
		t.Errorf("resume says %q", r.Err)
	}
	x.OK("pause", "once")
	if r := x.Code(0, "resume", "--all"); !strings.Contains(r.Err, "by themselves before: once") {
		t.Errorf("resume --all says %q", r.Err)
	}
	if by := x.workflow("once").Paused; by != "" {
		t.Errorf("still paused by %q", by)
	}
	if r := x.Code(0, "resume", "--all"); strings.Contains(r.Err, "once") {
		t.Errorf("resume --all says %q", r.Err)
	}
	x.Refused(2, nil, "pause")
	x.Refused(5, []string{"did you mean"}, "pause", "onec")

	run := x.run("once")
	if run.State != runFailed || statesOf(run) != "a=succeeded b=failed c=skipped" {
		t.Fatalf("the run is %s, %s", run.State, statesOf(run))
	}
	if err := os.WriteFile(x.Dir+"/ready", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.OK("retry", run.ID)
	run = x.await(run.ID)
	if run.State != runSucceeded || run.Attempt != 2 {
		t.Errorf("after retry the run is %+v", run)
	}
	x.Refused(5, []string{"succeeded", "--all"}, "retry", run.ID)
	x.OK("retry", run.ID, "--all")
	run = x.await(run.ID)
	if run.State != runSucceeded || run.Attempt != 3 {
		t.Errorf("after retry --all the run is %+v", run)
	}
	if ran, _ := os.ReadFile(x.Dir + "/ran"); strings.Join(strings.Fields(string(ran)), "") != "abbcabc" {
		t.Errorf("the tasks ran in the order %q", ran)
	}

	x.OK("drain", "edge-1")
	if text := x.OK("agents", "--json"); !strings.Contains(text, `"state":"drain"`) {
		t.Errorf("agents says %s", text)
	}
	waiting := x.Start("once")
	if reason := x.show(waiting).Reason; !strings.Contains(reason, "drain") {
		t.Errorf("the run waits for %q", reason)
	}
	for text, args := range map[string]string{`{"done":"undrain","agent":"edge-1"}`: "undrain edge-1",
		`{"done":"pause","workflow":"once"}`:      "pause once",
		`{"done":"retry","run":"` + run.ID + `"}`: "retry --all " + run.ID} {
		if out := x.OK(append(strings.Fields(args), "--json")...); out != text+"\n" {
			t.Errorf("%s --json printed %q", args, out)
		}
	}
	x.await(waiting)
	x.await(run.ID)
	x.Refused(5, []string{"connected"}, "forget", "edge-1")
	x.Refused(5, []string{"did you mean"}, "drain", "edge-2")
	agent.Stop()
	x.Until("the agent is lost", func() bool { return strings.Contains(x.OK("agents", "--json"), `"state":"lost"`) })
	x.OK("forget", "edge-1")
	if text := x.OK("agents", "--json"); text != "" {
		t.Errorf("agents says %s", text)
	}
	queued := x.Start("once")
	if reason := x.show(queued).Reason; reason != "no agent is connected" {
		t.Errorf("the run waits for %q", reason)
	}
	if words := x.OK("completion", "words", "--", "cancel", ""); words != queued+"\n" {
		t.Errorf("cancel is completed by %q, and only %s is active", words, queued)
	}
	x.Refused(exitRefused, []string{"once is a workflow, not a run; its active runs: cdktr cancel " + queued}, "cancel",
		"once")
	x.Refused(exitRefused, []string{"twice is a workflow, not a run, and no run of it is active"}, "cancel", "twice")
	x.Refused(exitRefused, []string{`no run "onec" (did you mean "once"?)`}, "cancel", "onec")
	x.Refused(exitRefused, []string{`no run "twise" (did you mean "twice"?)`}, "retry", "twise")
	x.OK("cancel", queued)
	x.Refused(exitRefused, []string{"once is a workflow, not a run; its newest run: cdktr retry " + queued}, "retry",
		"once")
	if run := x.show(queued); run.State != runCancelled {
		t.Errorf("the run is %s", run.State)
	}
}

// TestSetup: the verbs that need no principal.
func TestSetup(t *testing.T) {
	x := newSite(t)
	want := "cdktr: no principal has made the socket ipc://" + x.Dir +
		"/s\nhint: is it running? start one with `cdktr start principal --with-agent`, or name it with --principal\n"
	if r := x.Code(exitUnreachable, "ls"); r.Err != want {
		t.Errorf("with no principal ls says %q, want %q", r.Err, want)
	}
	if text := x.OK("init", "site"); !strings.Contains(text,
		"wrote site/workflows/hello.yml\nwrote site/workflows/health-check.yml\n") {
		t.Errorf("init says %q", text)
	}
	x.Refused(5, []string{"there already"}, "init", "site")
	x.OK("run", "./site/workflows/hello.yml")
	x.OK("validate", "site/workflows/hello.yml")
	x.OK("validate", "--workflows", "site/workflows")
	x.File("wrong.yml", "tasks:\n  a: {run: x, depends: [bee]}\n  b: {run: x}\n")
	x.File("twin.yml", verbsSlow)
	x.File("twin.yaml", verbsSlow)
	x.File("large.yml", "#"+strings.Repeat("x", 1<<20))
	r := x.Code(2, "validate")
	for _, want := range []string{"workflows/wrong.yml:2:25: ", `"bee"`, "workflows/large.yml:1:1: ",
		"workflows/twin.yml:1:1: ", "workflows/twin.yaml:1:1: "} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("validate does not say %s: %q", want, r.Out)
		}
	}
	place := regexp.MustCompile(`^[^:]+:[1-9]\d*:[1-9]\d*: `)
	for _, line := range strings.Split(strings.TrimSpace(r.Out+x.Code(2, "validate", "nowhere.yml",
		"workflows/large.yml").Out), "\n") {
		if !place.MatchString(line) {
			t.Errorf("no FILE:LINE:COL in %q", line)
		}
	}
	harness.Fields(t, x.Code(2, "validate", "--json").Out, "file line column message warning")
	if text := x.OK("version"); !strings.Contains(text, verbsVersion(x)) || x.OK("--version") != text {
		t.Errorf("version says %q", text)
	}
	harness.Fields(t, x.OK("version", "--json"), "version go os arch")
	harness.Fields(t, x.OK("config", "--json"), "key value from")
	x.OK("config", "--check", "--config", x.badConfig("timezone: Europe/London\n"))
	if r := x.Code(2, "config", "--check", "--json", x.badConfig("capcity: 1\nstate: [x]\n")); !strings.Contains(r.Out,
		`:1,"column":1,"message":"unknown setting \"capcity\" (did you mean \"capacity\"?)"`) ||
		strings.Count(r.Out, "\n") != 2 {
		t.Errorf("config --check: %s%s", r.Out, r.Err)
	}
	x.Refused(2, []string{"/none", "no such file"}, "config", "--check", "/none")
	x.Refused(2, []string{"only with --check"}, "config", x.badConfig(""))
	setting := func(key string) string {
		t.Helper()
		for _, v := range harness.Lines[Setting](t, x.OK("config", "--json", "--config", x.Dir+"/config.yml",
			"--capacity", "9")) {
			if v.Key == key {
				return v.Value + " " + v.From
			}
		}
		return "none"
	}
	if err := os.WriteFile(x.Dir+"/config.yml", []byte("timezone: Asia/Tokyo\ncapacity: 2\nname: other\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"capacity": "9 flag --capacity",
		"name":     "one environment CDKTR_AGENT_NAME",
		"timezone": "Asia/Tokyo file " + x.Dir + "/config.yml", "log_level": "info default", "principal": "ipc://" +
			x.Dir + "/s environment CDKTR_SOCKET"} {
		if got := setting(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	x.Env = append(x.Env, "CDKTR_PRINCIPAL_HOST=10.1.2.3", "CDKTR_PRINCIPAL_PORT=7000", "CDKTR_AGENT_MAX_CONCURRENCY=3",
		"CDKTR_WORKFLOW_DIR=/other")
	for key, want := range map[string]string{"principal": "tcp://10.1.2.3:7000 environment CDKTR_PRINCIPAL_HOST"} {
		if got := setting(key); got != want {
			t.Errorf("with CDKTR's variables %s is %q, want %q", key, got, want)
		}
	}
	x.Refused(2, []string{"tcp://10.1.2.3:7000 needs a key", "--credential"}, "ls")
	x.Refused(2, []string{"unknown setting", "colour"}, "config", "--config", x.badConfig("colour: red\n"))
	x.Refused(2, []string{"start what"}, "start")
}

// TestWatch: with --watch, lists print what there is, then a line for each change.
func TestWatch(t *testing.T) {
	x := newSite(t)
	x.File("ok.yml", "schedule: '0 3 * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.File("slow.yml", verbsSlow)
	x.Principal("--with-agent")
	held := x.Start("slow")
	x.Until("the run has begun", func() bool { return x.show(held).State == runRunning })
	runs, json := x.Spawn("ps", "--watch"), x.Spawn("ps", "--watch", "--json", "--workflow", "slow")
	flows, agents := x.Spawn("ls", "--watch", "o?"), x.Spawn("agents", "--watch")
	runs.Saw(&runs.Out, `\d\d:\d\d:\d\d \* running    `+held+`  slow  0/1  on one`)
	json.Saw(&json.Out, `"state":"running".*"total":1`)
	flows.Saw(&flows.Out, `ok  next \d{4}-\d\d-\d\d 03:00:00\n`)
	agents.Saw(&agents.Out, `\+ up     one  1/4`)
	id := x.Start("ok")
	runs.Saw(&runs.Out, `\+ succeeded  `+id+`  ok  1/1  on one  \d`)
	flows.Saw(&flows.Out, `ok  \+  next .*  succeeded `+id)
	x.OK("pause", "ok")
	flows.Saw(&flows.Out, `ok  \+  paused by `)
	x.OK("drain", "one")
	agents.Saw(&agents.Out, `= drain  one  1/4`)
	x.OK("cancel", held, "--force")
	runs.Saw(&runs.Out, `x cancelled  `+held)
	json.Saw(&json.Out, `"state":"cancelled".*"done":1,"total":1`)
	agents.Saw(&agents.Out, `= drain  one  0/4`)
	if err := os.Remove(x.Dir + "/workflows/ok.yml"); err != nil {
		t.Fatal(err)
	}
	flows.Saw(&flows.Out, `ok  gone\n`)
	for _, p := range []*harness.Proc{runs, json, flows, agents} {
		p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != exitInterrupted || strings.Contains(p.Out.String(), "\x1b") {
			t.Errorf("exit code %d, %q", code, p.Out.String())
		}
	}
	if strings.Contains(flows.Out.String(), "slow") || strings.Contains(json.Out.String(), id) {
		t.Errorf("what was not asked for: %s%s", flows.Out.String(), json.Out.String())
	}
	p := x.Spawn("ps", "--all", "--watch", "--state", "succeeded", "-n", "5")
	p.Saw(&p.Out, `\+ succeeded  `+id)
	p.Signal(syscall.SIGINT)
	p.Wait()
	x.Refused(2, nil, "ps", "--watch", "--state", "done")
}

// TestContexts: a principal that the configuration file knows by name.
func TestContexts(t *testing.T) {
	x := newSite(t)
	x.Principal()
	config := x.badConfig("contexts:\n  here: {principal: 'ipc://" + x.Dir + "/s'}\n  away: {principal: 'ipc://" +
		x.Dir + "/none'}\n")
	x.OK("ping", "--config", config, "--context", "here")
	x.Refused(3, []string{"none"}, "ping", "--config", config, "--context", "away")
	x.Refused(2, []string{"--context", "did you mean", "here"}, "ping", "--config", config, "--context", "hre")
	x.OK("ping", "--config", config, "--context", "away", "--principal", "ipc://"+x.Dir+"/s")
	if out := x.OK("config", "--config", config); !strings.Contains(out, "contexts.away.principal") ||
		!strings.Contains(out, "ipc://"+x.Dir+"/none") {
		t.Errorf("config prints\n%s", out)
	}
	x.Env = append(x.Env, "CDKTR_CONTEXT=away")
	x.Refused(3, []string{"none"}, "ping", "--config", config)
}

// badConfig writes a configuration file.
func (x *site) badConfig(text string) string {
	x.T.Helper()
	name := x.Dir + "/bad-config.yml"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		x.T.Fatal(err)
	}
	return name
}

// TestOutputBytes: output reaches a pipe byte for byte, whatever it is.
func TestOutputBytes(t *testing.T) {
	x := newSite(t)
	all := make([]byte, 0, 1024)
	for i := range 256 {
		all = append(all, byte(i), byte(255-i), 'x')
	}
	all = append(all, '\n')
	if err := os.WriteFile(x.Dir+"/bytes", all, 0o644); err != nil {
		t.Fatal(err)
	}
	x.File("bytes.yml", "tasks:\n  a: {run: 'cat $DIR/bytes; printf \"\\033[31mred\\033[0m\\n\"; echo -- --end'}\n")
	x.Principal("--with-agent")
	want := string(all) + "\x1b[31mred\x1b[0m\n-- --end\n"
	if r := x.Code(0, "run", "bytes", "--follow"); r.Out != want {
		t.Errorf("run --follow printed %q, want %q", r.Out, want)
	}
	if text := x.OK("logs", "bytes"); text != want {
		t.Errorf("logs printed %q, want %q", text, want)
	}
	if text := x.OK("run", "./workflows/bytes.yml"); text != want {
		t.Errorf("run FILE printed %q, want %q", text, want)
	}
	if text := x.OK("logs", "bytes", "-f", "--raw", "--color", "never"); text != want {
		t.Errorf("logs -f --raw printed %q, want %q", text, want)
	}
}

// TestVerbsFiles names files that are not there, have no end, or are no files, wherever a verb takes one.
func TestVerbsFiles(t *testing.T) {
	x := newSite(t)
	x.File("report.yml", "tasks: {a: {run: 'true'}}")
	for _, c := range []struct {
		words []string
		args  []string
	}{
		{[]string{"reprot.yml", "did you mean ./workflows/report.yml?"}, []string{"run", "workflows/reprot.yml"}},
		{[]string{"no such file"}, []string{"run", "./something-else.yml"}},
		{[]string{"more than 1048576"}, []string{"run", "/dev/zero"}},
		{[]string{"/dev/zero", "not a regular file"}, []string{"ls", "--config", "/dev/zero"}},
		{[]string{x.Dir, "not a regular file"}, []string{"ls", "--config", x.Dir}},
		{[]string{"nowhere.yml", "no such file"}, []string{"ls", "--config", x.Dir + "/nowhere.yml"}},
	} {
		x.Refused(exitUsage, c.words, c.args...)
	}
}

// TestVerbsRetryNewer retries a run whose file has changed since: the run does what the file said then, and retry says
// so.
func TestVerbsRetryNewer(t *testing.T) {
	x := newSite(t)
	x.File("job.yml", "tasks: {a: {run: 'exit 3'}}\n")
	x.Principal()
	x.Agent("edge-1")
	run := x.run("job")
	if r := x.Code(0, "retry", run.ID); strings.Contains(r.Err, "changed") {
		t.Errorf("retry of the version in force says %q", r.Err)
	}
	x.await(run.ID)
	x.File("job.yml", "description: mended\ntasks: {a: {run: 'exit 0'}}\n")
	x.Until("the new file is in force", func() bool { return strings.Contains(x.OK("show", "job"), "mended") })
	if r := x.Code(0, "retry", run.ID); !strings.Contains(r.Err, "the file of job has changed since run "+run.ID) ||
		!strings.Contains(r.Err, "cdktr run job") {
		t.Errorf("retry of an older version says %q", r.Err)
	}
	if again := x.await(run.ID); again.State != runFailed {
		t.Errorf("the retry is %s: it did what the file says now", again.State)
	}
}
