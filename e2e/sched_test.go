// End-to-end tests of what happens by itself: files that change while the principal runs, schedules that fire, overlap,
// catch-up, and the order and place in which queued runs go.

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// Policies of a schedule, as workflow files name them.
const (
	overlapSkip, overlapQueue, overlapReplace, overlapAllow = "skip", "queue", "replace", "allow"
	catchupSkip, catchupOnce, catchupAll                    = "skip", "once", "all"
)

// TestFolderLive: the folder is followed while the principal runs.
func TestFolderLive(t *testing.T) {
	x := newSite(t)
	if err := os.Remove(x.Dir + "/workflows"); err != nil {
		t.Fatal(err)
	}
	p := x.Principal("--with-agent")
	if text := p.Err.String(); !strings.Contains(text, "workflows") || !strings.Contains(text, "does not exist") {
		t.Errorf("it does not say that the folder is missing: %s", text)
	}
	said := func() string {
		t.Helper()
		run := x.run("sub.w")
		if run.State != runSucceeded {
			t.Errorf("the run is %s (%s)", run.State, run.Reason)
		}
		return x.OK("logs", run.ID)
	}
	x.File("sub/w.yml", "tasks:\n  a: {run: echo one}\n") // the folder comes into being
	x.Until("the new file is seen", func() bool { return x.workflow("sub.w").Tasks == 1 })
	if text := said(); text != "one\n" {
		t.Errorf("the first version said %q", text)
	}
	x.File("sub/w.yml", "tasks:\n  a: {run: echo two}\n  b: {run: 'true'}\n")
	x.Until("the change is seen", func() bool { return x.workflow("sub.w").Tasks == 2 })
	if text := said(); text != "two\n" {
		t.Errorf("the second version said %q", text)
	}
	x.File("sub/w.yml", "tasks:\n  a: {rum: echo three}\n")
	x.Until("the fault is seen", func() bool { return strings.Contains(x.workflow("sub.w").Error, "sub/w.yml:2:") })
	if text := said(); text != "two\n" { // the last good version stays in force
		t.Errorf("after a bad change it said %q", text)
	}
	if r := x.Code(0, "ls"); !strings.Contains(r.Out, "does not load") || !strings.Contains(r.Err, "sub/w.yml:2:") {
		t.Errorf("ls says %s%s", r.Out, r.Err)
	}
	x.File("sub/w.yml", "tasks:\n  a: {run: echo four}\n")
	x.Until("the mended file is seen", func() bool { w := x.workflow("sub.w"); return w.Error == "" && w.Tasks == 1 })
	if text := said(); text != "four\n" {
		t.Errorf("the mended version said %q", text)
	}
	x.File("sub.w.yml", "tasks:\n  a: {run: echo other}\n")
	x.Until("two files of one id are told of", func() bool {
		return strings.Contains(x.workflow("sub.w").Error,
			"same id")
	})
	if text := said(); text != "four\n" {
		t.Errorf("with two files of one id it said %q", text)
	}
	if err := os.Remove(x.Dir + "/workflows/sub.w.yml"); err != nil {
		t.Fatal(err)
	}
	x.Until("one file is left", func() bool { return x.workflow("sub.w").Error == "" })
	if err := os.RemoveAll(x.Dir + "/workflows/sub"); err != nil {
		t.Fatal(err)
	}
	x.Until("the file is gone", func() bool { return x.workflow("sub.w").File == "" })
	x.Refused(5, []string{"no workflow"}, "run", "sub.w")
	p.Stop()
}

// TestFolderGone: ls, attention, doctor and rescan report a workflows folder that is gone, also when its path was
// relative and the directory of the start has been replaced. What was read stays in force. When there is a folder
// again, rescan reads it.
func TestFolderGone(t *testing.T) {
	x := newSite(t)
	y := *x
	y.Dir = x.Dir + "/here" // where it is started
	for _, dir := range []string{y.Dir + "/workflows", x.Dir + "/other/workflows"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	y.File("a.yml", "tasks: {a: {run: echo hi}}\n")
	p := y.Principal("--with-agent", "--workflows", "workflows", "--state", "../state", "--bind", "tcp://127.0.0.1:0")
	if r := x.Code(0, "rescan"); !strings.Contains(r.Err, "1 workflow") {
		t.Errorf("rescan says %s", r.Err)
	}
	if err := os.Rename(y.Dir, x.Dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	x.Refused(exitFailed, []string{y.Dir + "/workflows", "does not exist", "stays in force"}, "rescan")
	if r := x.Code(0, "ls"); !strings.Contains(r.Err, y.Dir+"/workflows") ||
		!strings.Contains(r.Err, "stays in force") || !strings.Contains(r.Out, "a ") {
		t.Errorf("ls says %s%s", r.Out, r.Err)
	}
	if out := x.OK("attention", "--json"); !strings.Contains(out, `"kind":"folder"`) ||
		!strings.Contains(out, y.Dir+"/workflows") {
		t.Errorf("attention says %s", out)
	}
	if found := x.Cdktr("doctor", "--json"); found.Code != exitFailed ||
		!strings.Contains(found.Out, y.Dir+"/workflows") {
		t.Errorf("doctor: exit code %d, %s", found.Code, found.Out)
	}
	if run := x.run("a"); run.State != runSucceeded {
		t.Errorf("what was read before: %+v", run)
	}
	if err := os.Rename(x.Dir+"/other", y.Dir); err != nil {
		t.Fatal(err)
	}
	y.File("b.yml", "tasks: {a: {run: echo there}}\n")
	got := harness.Decode[Rescanned](t, x.OK("rescan", "--json"))
	if got.Workflows != 1 || got.Note != "" || x.workflow("b").Tasks != 1 || x.workflow("a").File != "" {
		t.Errorf("rescan found %+v; workflows %s", got, x.OK("ls", "--json"))
	}
	if r := x.Code(0, "ls"); r.Err != "" {
		t.Errorf("ls says %s", r.Err)
	}
	x.OK("authorize", "--new", "op", "--role", "operator", "--endpoint", "tcp://hub:1")
	p.Stop()
	x.OK("check")
}

// TestScheduleFires: a schedule fires at its seconds, `why` tells of each, and a pause stops it.
func TestScheduleFires(t *testing.T) {
	x := newSite(t)
	x.File("tick.yml", "schedule: '*/1 * * * * *'\noverlap: allow\ntasks:\n  a: {run: 'echo $CDKTR_SCHEDULED_AT'}\n")
	x.Principal("--with-agent")
	x.Until("it fires", func() bool { return len(x.decisions("tick")) >= 4 })
	ticks := x.decisions("tick")
	for i, d := range ticks {
		if !d.Fired || d.Run == "" || d.At.Nanosecond() != 0 || d.Made.Before(d.At) {
			t.Errorf("decision %d is %+v", i, d)
		}
		if i > 0 && d.At.Sub(ticks[i-1].At) != time.Second {
			t.Errorf("after %s came %s", ticks[i-1].At, d.At)
		}
	}
	run := x.await(ticks[0].Run)
	if run.Trigger != "cron" || run.Scheduled != ticks[0].At || run.State != runSucceeded {
		t.Errorf("the run is %+v", run)
	}
	if text := x.OK("logs", run.ID); text != run.Scheduled.Format("2006-01-02T15:04:05Z")+"\n" {
		t.Errorf("the run was told %q", text)
	}
	harness.Fields(t, x.OK("why", "tick", "--json"), "workflow at decided fired reason run")
	if text := x.OK("why", "tick"); !strings.Contains(text, "fired") ||
		!strings.Contains(text, ticks[len(ticks)-1].Run) {
		t.Errorf("why says %s", text)
	}
	x.OK("pause", "tick")
	x.Until("a tick is skipped", func() bool {
		d := x.decisions("tick")
		return len(d) > 0 && !d[len(d)-1].Fired && strings.HasPrefix(d[len(d)-1].Reason, "paused by ")
	})
	if text := x.OK("why", "tick"); !strings.Contains(text, "skipped") || !strings.Contains(text, "paused by") {
		t.Errorf("why says %s", text)
	}
	x.OK("resume", "tick")
	x.Until("it fires again", func() bool { d := x.decisions("tick"); return d[len(d)-1].Fired })
}

// TestScheduleOverlap: each policy for a tick that finds a run active.
func TestScheduleOverlap(t *testing.T) {
	x := newSite(t)
	for _, policy := range []string{overlapSkip, overlapQueue, overlapReplace, overlapAllow} {
		x.File(policy+".yml", "schedule: '* * * * * *'\noverlap: "+policy+"\ntasks:\n  a: {run: 'exec sleep 600'}\n")
	}
	x.Principal("--with-agent", "--capacity", "50")
	second := map[string]Decision{}
	x.Until("each has met its own run", func() bool {
		for _, policy := range []string{overlapSkip, overlapQueue, overlapReplace, overlapAllow} {
			if d := x.decisions(policy); len(d) >= 3 {
				second[policy] = d[1]
			}
		}
		return len(second) == 4
	})
	first := func(policy string) string { return x.decisions(policy)[0].Run }
	if d := second[overlapSkip]; d.Fired || d.Reason != "overlap: run "+first(overlapSkip)+" is still active" {
		t.Errorf("skip: %+v", d)
	}
	if d := second[overlapQueue]; !d.Fired || d.Reason != "queued behind run "+first(overlapQueue) {
		t.Errorf("queue: %+v", d)
	} else if run := x.show(d.Run); run.State != runQueued || !strings.Contains(run.Reason,
		"waiting for run "+first(overlapQueue)) {
		t.Errorf("queue: the second run is %s (%s)", run.State, run.Reason)
	}
	if d := second[overlapReplace]; !d.Fired || !strings.HasPrefix(d.Reason, "in place of run "+first(overlapReplace)) {
		t.Errorf("replace: %+v", d)
	} else if run := x.await(first(overlapReplace)); run.State != runCancelled ||
		run.Reason != "replaced by a newer run" {
		t.Errorf("replace: the first run is %s (%s)", run.State, run.Reason)
	}
	if d := second[overlapAllow]; !d.Fired {
		t.Errorf("allow: %+v", d)
	} else {
		x.Until("two run at once", func() bool {
			return x.show(d.Run).State == runRunning && x.show(first(overlapAllow)).State == runRunning
		})
	}
	x.OK("pause", "--all") // and away with what runs, so that the agent can stop
	for _, run := range harness.Lines[Run](t, x.OK("ps", "--json", "-n", "500")) {
		x.Cdktr("cancel", run.ID, "--force")
	}
}

// TestScheduleCatchup: what becomes of ticks that were missed while the principal was down, and of @reboot and @start.
func TestScheduleCatchup(t *testing.T) {
	x := newSite(t)
	policies := []string{catchupSkip, catchupOnce, catchupAll}
	for _, policy := range policies {
		x.File(policy+".yml", "schedule: '@every 1s'\ncatchup: "+policy+"\noverlap: allow\ntasks:\n  a: {run: "+
			"'true'}\n")
	}
	x.File("window.yml", "schedule: '@every 1s'\ncatchup: all\ncatchup_window: 1ms\noverlap: allow\ntasks:\n  a: "+
		"{run: 'true'}\n")
	for _, occasion := range []string{"reboot", "start"} {
		x.File(occasion+".yml", "schedule: '@"+occasion+"'\ntasks:\n  a: {run: 'true'}\n")
	}
	p := x.Principal("--with-agent")
	for _, policy := range append(policies, "window") {
		x.Until("it fires", func() bool { return len(x.decisions(policy)) >= 1 })
	}
	p.Stop()
	<-time.After(3500 * time.Millisecond) // three ticks pass
	p = x.Principal("--with-agent")
	caughtUp := func(id string) (fired, skipped int, reasons string) {
		for _, d := range x.decisions(id) {
			switch {
			case strings.HasPrefix(d.Reason, "caught up: the principal was down"):
				fired++
				if run := x.await(d.Run); run.Trigger != "catch-up" || run.Scheduled != d.At {
					t.Errorf("%s: the run is %+v", id, run)
				}
			case strings.HasPrefix(d.Reason, "missed: the principal was down"):
				skipped += 1 + d.Missed
			}
			reasons += fmt.Sprintf("\n%+v", d)
		}
		return fired, skipped, reasons
	}
	for id, good := range map[string]func(fired, skipped int) bool{
		catchupSkip: func(fired, skipped int) bool { return fired == 0 && skipped >= 3 },
		catchupOnce: func(fired, skipped int) bool { return fired == 1 && skipped >= 2 },
		catchupAll:  func(fired, skipped int) bool { return fired >= 3 && skipped == 0 },
		"window":    func(fired, skipped int) bool { return fired == 0 && skipped >= 3 },
	} {
		if fired, skipped, all := caughtUp(id); !good(fired, skipped) {
			t.Errorf("%s: %d runs for missed ticks, %d ticks skipped:%s", id, fired, skipped, all)
		}
	}
	// Each tick between has one decision.
	for id, step := range map[string]time.Duration{catchupAll: time.Second} {
		list := x.decisions(id)
		for i := 1; i < len(list); i++ {
			if got := list[i].At.Sub(list[i-1].At); got != step {
				t.Errorf("%s: %s lies %s after %s", id, list[i].At, got, list[i-1].At)
			}
		}
	}
	for occasion, want := range map[string]int{"reboot": 1, "start": 2} {
		if runs := harness.Lines[Run](t, x.OK("ps", "--all", "--workflow", occasion, "--json")); len(runs) != want ||
			runs[0].Trigger != occasion {
			t.Errorf("@%s made %d runs in two starts of one boot: %+v", occasion, len(runs), runs)
		}
	}
	p.Stop()
}

// TestNoScheduler: with --no-scheduler nothing fires, and why says so.
func TestNoScheduler(t *testing.T) {
	x := newSite(t)
	x.File("tick.yml", "schedule: '* * * * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent", "--no-scheduler")
	<-time.After(1200 * time.Millisecond) // in which it would have fired
	if d := x.decisions("tick"); len(d) > 0 {
		t.Errorf("it fired: %+v", d)
	}
	if text := x.OK("why", "tick"); !strings.Contains(text, "--no-scheduler") {
		t.Errorf("why says %s", text)
	}
}

// TestPriorities: with one place, queued runs go by priority, then by age.
func TestPriorities(t *testing.T) {
	x := newSite(t)
	for name, priority := range map[string]int{"low": -1, "middle": 0, "high": 10} {
		x.File(name+".yml", fmt.Sprintf("priority: %d\ntasks:\n  a: {run: 'echo $CDKTR_RUN_ID >> $DIR/ran'}\n",
			priority))
	}
	x.File("gate.yml", "tasks:\n  a: {run: 'while [ ! -e $DIR/open ]; do sleep 0.05; done'}\n")
	x.Principal("--with-agent", "--capacity", "1")
	gate := x.Start("gate")
	x.Until("the gate stands", func() bool { return x.show(gate).State == runRunning })
	low, middle, high, high2, middle2 := x.Start("low"), x.Start("middle"), x.Start("high"), x.Start("high"),
		x.Start("middle")
	if reason := x.show(high).Reason; reason != "all agents are busy" {
		t.Errorf("the run waits for %q", reason)
	}
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.await(low)
	want := strings.Join([]string{high, high2, middle, middle2, low}, "\n") + "\n"
	if ran, _ := os.ReadFile(x.Dir + "/ran"); string(ran) != want {
		t.Errorf("they ran as\n%swant\n%s", ran, want)
	}
}

// TestLabels: a run waits for an agent with the labels that it asks for.
func TestLabels(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "agent: {site: london, disk: ssd}\ntasks:\n  a: {run: 'true'}\n")
	x.File("any.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Principal()
	x.Agent("paris", "--label", "site=paris", "--label", "disk=ssd")
	id := x.Start("w")
	// it does not stand in the way of others
	if run := x.run("any"); run.State != runSucceeded || run.Agent != "paris" {
		t.Errorf("the other run is %+v", run)
	}
	if run := x.show(id); run.State != runQueued || run.Reason != "no agent with labels disk=ssd site=london" {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	if text := x.OK("ps"); !strings.Contains(text, "no agent with labels disk=ssd site=london") {
		t.Errorf("ps says %s", text)
	}
	x.Agent("london", "--label", "site=london", "--label", "disk=ssd", "--label", "more=yes")
	if run := x.await(id); run.State != runSucceeded || run.Agent != "london" {
		t.Errorf("the run is %+v", run)
	}
}

// TestScheduleDays: a file of holidays is followed while the principal runs, also after it was killed. Nothing fires on
// its days, why says so, and a person may run it all the same.
func TestScheduleDays(t *testing.T) {
	x := newSite(t)
	today := time.Now().UTC()
	holidays := x.Dir + "/workflows/off.txt"
	exampleWrite(t, holidays, today.Format("01-02\n")+today.AddDate(0, 0, 1).Format("01-02 # midnight may come\n"))
	x.File("w.yml", "schedule: '@every 1s'\ntimezone: UTC\nexcept: ['@off.txt']\ntasks: {a: {run: 'true'}}\n")
	p := x.Principal("--with-agent")
	kept := func() bool {
		d := x.decisions("w")
		return len(d) > 0 && !d[len(d)-1].Fired && strings.Contains(d[len(d)-1].Reason, " of off.txt (and ")
	}
	x.Until("a day is kept off", kept)
	if out := x.OK("why", "w"); !strings.Contains(out, "except: ") {
		t.Errorf("why says %s", out)
	}
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("a person's run is %s (%s)", run.State, run.Reason)
	}
	p.Kill()
	x.Principal("--with-agent")
	x.Until("the day is kept off after the restart", kept)
	exampleWrite(t, holidays, "2020-01-01\n")
	x.Until("it fires", func() bool { d := x.decisions("w"); return len(d) > 0 && d[len(d)-1].Fired })
	exampleWrite(t, holidays, "soon\n")
	x.Until("the fault is seen", func() bool {
		return strings.Contains(x.workflow("w").Error, `except: off.txt: line 1: "soon" is no day`)
	})
	if r := x.Code(2, "validate", x.Dir+"/workflows/w.yml"); !strings.Contains(r.Out,
		`off.txt: line 1: "soon" is no day`) {
		t.Errorf("validate says %s%s", r.Out, r.Err)
	}
}

// TestScheduleKeys: what says when a schedule counts does so, over a kill of the principal too.
func TestScheduleKeys(t *testing.T) {
	x := newSite(t)
	now := time.Now().UTC().Truncate(time.Second)
	day := strings.ToLower(now.AddDate(0, 0, 3).Weekday().String()[:3])
	const tail = "overlap: allow\ntasks: {a: {run: 'true'}}\n"
	window := func(key string, at time.Time) {
		x.File("window.yml", "schedule: '* * * * * *'\n"+key+": "+at.Format(time.RFC3339)+"\n"+tail)
	}
	x.File("plain.yml", "cron: '* * * * * *'\n"+tail)
	x.File("only.yml", "schedule: '* * * * * *'\nonly: "+day+"\n"+tail)
	x.File("spread.yml", "schedule: '0 4 * * *'\njitter: 30m\ntimezone: UTC\n"+tail)
	begin := now.Add(3 * time.Second)
	window("start_time", begin)
	p := x.Principal("--with-agent")
	spread := x.OK("next", "spread", "-n", "1", "--json")
	at := harness.Decode[struct{ At time.Time }](t, spread).At.UTC()
	if late := time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second; at.Hour() != 4 ||
		late == 0 || late >= 30*time.Minute {
		t.Errorf("with jitter it fires at %s", at)
	}
	p.Kill()
	p = x.Principal("--with-agent")
	if again := x.OK("next", "spread", "-n", "1", "--json"); again != spread {
		t.Errorf("with jitter it fires at %s, and after a restart at %s", spread, again)
	}
	last := func(id string) (d Decision) {
		if list := x.decisions(id); len(list) > 0 {
			d = list[len(list)-1]
		}
		return d
	}
	x.Until("it fires", func() bool { return last("window").Fired })
	for _, d := range x.decisions("window") {
		if d.Fired && d.At.Before(begin) {
			t.Errorf("from %s on it fired at %s", begin, d.At)
		}
	}
	end := time.Now().UTC().Truncate(time.Second)
	window("end_time", end)
	x.Until("the end is read", func() bool {
		return strings.Contains(x.OK("show", "window"), " is over: the schedule fires no more")
	})
	over := last("window").At
	p.Kill()
	p = x.Principal("--with-agent")
	x.Until("another fires", func() bool { d := last("plain"); return d.Fired && d.At.After(over.Add(2*time.Second)) })
	if d := last("window"); d.At != over {
		t.Errorf("until %s it fired at %s", end, d.At)
	}
	for _, d := range x.decisions("only") {
		if d.Fired || !strings.Contains(d.Reason, "only") {
			t.Errorf("only on %s it decided %+v", day, d)
		}
	}
	p.Stop()
}
