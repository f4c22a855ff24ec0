// End-to-end tests of the alarm: the principal runs a real command, which may hang, flood, fork, or be interrupted.

package e2e

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// alarmInput is what the command of an alarm gets.
type alarmInput struct {
	Host             string
	Text             string
	New, Still, Over []AttentionItem
	Test             bool
}

// alarmSite is a site whose alarm is the script $DIR/alarm. A script may begin with alarmTold, which notes what it is
// told.
func alarmSite(t *testing.T, script string) *site {
	t.Helper()
	x := newSite(t)
	x.Env = append(x.Env, "CDKTR_ALARM=sh $DIR/alarm", "CDKTR_ALARM_DELAY=0s")
	alarmScript(x, script)
	for _, id := range []string{"bad", "worse"} {
		x.File(id+".yml", "tasks:\n  a: {run: 'echo why; test -e $DIR/well'}\n")
	}
	return x
}

// alarmTold notes the JSON and the text, each in one step.
const alarmTold = `cat > "$DIR/new.json" && printf '%s\n' "$CDKTR_ALARM_TEXT" >> "$DIR/text" &&
n=$(ls "$DIR" | grep -c '^told\.' || :) && mv "$DIR/new.json" "$DIR/told.$n"
`

func alarmScript(x *site, script string) {
	x.T.Helper()
	if err := os.WriteFile(x.Dir+"/alarm.new", []byte(script), 0o644); err != nil {
		x.T.Fatal(err)
	}
	if err := os.Rename(x.Dir+"/alarm.new", x.Dir+"/alarm"); err != nil {
		x.T.Fatal(err)
	}
}

// alarmTells gives what the command was told so far, in short: the workflows or agents of each list.
func alarmTells(x *site) (told []string) {
	x.T.Helper()
	for n := 0; ; n++ {
		text, err := os.ReadFile(filepath.Join(x.Dir, "told."+strconv.Itoa(n)))
		if err != nil {
			return told
		}
		var in struct {
			alarmInput
			Recovered []AttentionItem
		}
		if err := json.Unmarshal(text, &in); err != nil {
			x.T.Fatalf("%v: %s", err, text)
		}
		var parts []string
		for _, list := range []struct {
			head  string
			items []AttentionItem
		}{{"new", in.New}, {"still", in.Still}, {"over", in.Recovered}} {
			for _, item := range list.items {
				parts = append(parts, list.head+" "+item.Kind+" "+item.Workflow+item.Agent)
			}
		}
		told = append(told, strings.Join(parts, ", "))
	}
}

// alarmUntil waits until the alarm has told so much, and wants just that.
func alarmUntil(x *site, want ...string) {
	x.T.Helper()
	x.Until("the alarm tells of "+want[len(want)-1], func() bool { return len(alarmTells(x)) >= len(want) })
	if got := alarmTells(x); strings.Join(got, "; ") != strings.Join(want, "; ") {
		x.T.Errorf("the alarm told %q, want %q", got, want)
	}
}

// TestAlarm: a real command is told of what fails and of what never ran, once, and of what is over; also over a kill of
// the principal at any time.
func TestAlarm(t *testing.T) {
	x := alarmSite(t, alarmTold)
	p := x.Principal("--with-agent")
	x.run("bad")
	alarmUntil(x, "new failed badone")
	x.Until("it is noted", func() bool { return strings.Contains(x.OK("attention"), "the alarm told of it last at ") })
	x.File("odd.yml", "tasks: {a: {rum: x}}\n")
	alarmUntil(x, "new failed badone", "new file odd")
	x.Until("it is noted", func() bool { return strings.Count(x.OK("events"), "attention.told") == 2 })
	p.Kill()

	p = x.Principal("--with-agent") // nothing is told twice
	x.run("worse")
	told := []string{"new failed badone", "new file odd", "new failed worseone"}
	alarmUntil(x, told...)
	if err := os.WriteFile(x.Dir+"/well", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Until("it is noted", func() bool { return strings.Count(x.OK("events"), "attention.told") == 3 })
	x.run("bad")
	told = append(told, "over failed badone")
	alarmUntil(x, told...)
	text, err := os.ReadFile(x.Dir + "/text")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{": 1 new\n\nNEW\n* bad a exit 1 on one\n  task a: exit 1\n", "\n  o| why\n",
		"* odd does not load\n", "RECOVERED\n* bad a exit 1 on one, recovered since\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it was not told %q, but:\n%s", want, text)
		}
	}

	// Killed while the command runs: that goes on, and all is told once more.
	alarmScript(x, alarmTold+`>"$DIR/in"; until test -e "$DIR/go"; do sleep 0.02; done`)
	x.File("odder.yml", "tasks: {a: {rum: x}}\n")
	told = append(told, "new file odder")
	alarmUntil(x, told...)
	x.Until("the command is at work", func() bool { _, err := os.Stat(x.Dir + "/in"); return err == nil })
	p.Kill()
	if err := os.WriteFile(x.Dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p = x.Principal("--with-agent")
	told = append(told, "new file odder")
	alarmUntil(x, told...)
	p.Stop()
}

// TestAlarmTroubles: a command that fails, floods, forks or hangs holds up nothing, and is told of.
func TestAlarmTroubles(t *testing.T) {
	x := alarmSite(t, "echo no way >&2; exit 3")
	p := x.Principal("--with-agent")
	alarmItem := func() *AttentionItem {
		r, err := x.ask(Request{Op: "attention"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Items {
			if r.Items[i].Kind == "alarm" {
				return &r.Items[i]
			}
		}
		return nil
	}
	x.run("bad")
	x.Until("its failure needs attention", func() bool { return alarmItem() != nil })
	if item := alarmItem(); item.Reason != "exit 3: no way" || len(item.Lines) != 1 || item.Lines[0] != "no way" {
		t.Errorf("%+v", item)
	}
	if r := x.Code(1, "doctor"); !strings.Contains(r.Out, "! bad   alarm      the alarm failed") {
		t.Error(r.Out)
	}
	p.Kill()
	p = x.Principal("--with-agent")
	if item := alarmItem(); item == nil || !strings.HasPrefix(item.Reason, "exit 3: no way") {
		t.Errorf("after a restart: %+v", item)
	}

	r := x.Code(1, "attention", "--test-alarm")
	if !strings.Contains(r.Out, "| no way\n") || !strings.Contains(r.Out, "test item: exit 3: no way\n") ||
		!strings.Contains(r.Err, "the alarm failed") {
		t.Errorf("%s%s", r.Out, r.Err)
	}
	alarmScript(x, "exec yes flood")
	if r := x.Code(1, "attention", "--test-alarm"); !strings.Contains(r.Out, "it wrote more than 1048576 bytes") ||
		len(r.Out) > 20_000 {
		t.Errorf("%.1000s", r.Out)
	}
	alarmScript(x, "sleep 1000 & sleep 1001 >/dev/null 2>&1 & echo $$ fork; "+alarmTold)
	if out := x.OK("attention", "--test-alarm"); !strings.Contains(out, " fork\n") ||
		!strings.Contains(out, "test item: exit 0\n") {
		t.Error(out)
	}
	alarmUntil(x, "new test ", "new failed badone") // now what waited is told
	x.Until("its failure is over", func() bool { return alarmItem() == nil })
	x.OK("doctor")

	alarmScript(x, `>"$DIR/in"; trap '' TERM; while :; do sleep 0.02; done`)
	x.run("worse")
	x.Until("the command is at work", func() bool { _, err := os.Stat(x.Dir + "/in"); return err == nil })
	x.Refused(5, []string{"the alarm runs just now"}, "attention", "--test-alarm")
	if run := x.run("bad"); run.State != runFailed { // it holds up nothing
		t.Errorf("%+v", run)
	}
	p.Signal(syscall.SIGTERM) // it is stopped with the principal
	if code := p.Wait(); code != 0 {
		t.Errorf("the principal ends with %d", code)
	}
	alarmScript(x, alarmTold)
	p = x.Principal()
	alarmUntil(x, "new test ", "new failed badone", "new failed worseone")
	p.Stop()

	x.Env = append(x.Env, "CDKTR_ALARM=")
	p = x.Principal()
	x.Refused(5, []string{"no alarm is set"}, "attention", "--test-alarm")
	p.Stop()
	x.Refused(2, []string{"alarm_repeat", "at least 1m"}, "start", "principal", "--alarm-repeat", "5s")
}

// TestExpect: a run that is not over in time needs attention, and the alarm tells, without anybody who looks; over a
// kill of the principal and of the agent, and until the run is cancelled.
func TestExpect(t *testing.T) {
	x := alarmSite(t, alarmTold)
	x.File("slow.yml", "expect: {within: 1s}\ntasks:\n  a: {run: 'until test -e \"$DIR/go\"; do sleep 0.05; done'}\n")
	p := x.Principal()
	agent := x.Agent("one")
	tells := func(what string, times int) {
		t.Helper()
		x.Until("the alarm tells of "+what, func() bool {
			return strings.Count(strings.Join(alarmTells(x), ", "), what) == times
		})
	}
	listed := func() bool {
		r, err := x.ask(Request{Op: "attention"})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(r.Items, func(it AttentionItem) bool {
			return it.Kind == "expect" && it.Workflow == "slow" && it.Reason == "it is not over 1s after it was queued"
		})
	}
	run := x.Start("slow")
	tells("new expect slow", 1)
	if out := x.OK("attention"); !strings.Contains(out, ". slow is not as expected") ||
		!strings.Contains(out, "$ cdktr show "+run+"\n") {
		t.Error(out)
	}
	if out := x.OK("show", "slow"); !strings.Contains(out, "each is over within 1s") {
		t.Error(out)
	}
	x.Until("it is noted", func() bool { return strings.Contains(x.OK("events"), "attention.told") })
	p.Kill()
	p = x.Principal()
	x.Until("it is listed after a restart", listed)
	agent.Kill()
	agent = x.Agent("one") // it ends what is left of the run
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("%+v", r)
	}
	tells("over expect slow", 1)
	tells("new expect slow", 1)
	for n, flag := range []string{"--json", "--force"} {
		run := x.Start("slow")
		tells("new expect slow", n+2)
		x.Until("the run is listed", listed)
		x.OK("cancel", run, flag)
		x.await(run)
		x.Until("a cancelled run is not listed", func() bool { return !listed() })
		tells("over expect slow", n+2)
	}
	agent.Stop()
	p.Stop()
}

// expectZone makes a time zone in which it is that time of day now, and has the program know it.
func expectZone(x *site, hour, minute, second int) (name string) {
	x.T.Helper()
	now := time.Now().UTC()
	east := (hour-now.Hour())*3600 + (minute-now.Minute())*60 + second - now.Second()
	file := append([]byte("TZif"), make([]byte, 40)...) // version 1: no transitions, one kind of time, its name
	file[39], file[43] = 1, 4
	file = binary.BigEndian.AppendUint32(file, uint32(int32(east)))
	file = append(file, 0, 0, 'T', 'S', 'T', 0)
	if err := os.MkdirAll(x.Dir+"/zones/Test", 0o755); err != nil {
		x.T.Fatal(err)
	}
	if err := os.WriteFile(x.Dir+"/zones/Test/Here", file, 0o644); err != nil {
		x.T.Fatal(err)
	}
	return "Test/Here"
}

// TestExpectBy: at its time of day no run has succeeded, and the alarm tells, until one has. Kills of the principal and
// of the agent, and a cancel of runs, change nothing of that.
func TestExpectBy(t *testing.T) {
	x := alarmSite(t, alarmTold)
	x.Env = append(x.Env, "ZONEINFO="+x.Dir+"/zones")
	p := x.Principal()
	agent := x.Agent("one")
	began := time.Now()
	x.File("night.yml", "timezone: "+expectZone(x, 11, 59, 52)+"\nschedule: '* * * * * *'\nexpect: {by: '12:00'}\n"+
		"tasks:\n  a: {run: 'until test -e \"$DIR/go\"; do sleep 0.05; done'}\n")
	listed := func() bool {
		r, err := x.ask(Request{Op: "attention"})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(r.Items, func(it AttentionItem) bool {
			return it.Kind == "expect" && it.Workflow == "night" && it.Reason == "no run has succeeded by 12:00"
		})
	}
	told := func(what string) int { return strings.Count(strings.Join(alarmTells(x), ", "), what) }
	active := func() (run string) {
		x.Until("a run is at work", func() bool {
			for _, r := range harness.Lines[Run](t, x.OK("ps", "--json")) {
				if r.Workflow == "night" && r.State == runRunning {
					run = r.ID
				}
			}
			return run != ""
		})
		return run
	}
	first := active()
	if now := listed(); now && time.Since(began) < 6*time.Second {
		t.Error("it is listed before its time")
	}
	x.OK("cancel", first)
	x.Until("the alarm tells", func() bool { return told("new expect night") == 1 })
	x.Until("it is noted", func() bool { return strings.Contains(x.OK("events"), "attention.told") })
	if out := x.OK("show", "night"); !strings.Contains(out, "12:00") {
		t.Error(out)
	}
	p.Kill()
	p = x.Principal()
	x.Until("it is listed after a restart", listed)
	agent.Kill()
	agent = x.Agent("one")
	x.OK("cancel", active(), "--force")
	x.OK("pause", "night")
	x.Until("it is not listed while it is paused", func() bool { return !listed() })
	x.OK("resume", "night")
	x.Until("it is listed again", listed)
	active()
	if err := os.WriteFile(x.Dir+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Until("it is over once a run has succeeded", func() bool { return !listed() && told("over expect night") > 0 })
	agent.Stop()
	p.Stop()
}
