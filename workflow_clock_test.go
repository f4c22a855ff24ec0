// workflow_clock_test.go: warnings about a file: it loads, but may not do what its author meant.

package main

import (
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// workflowWarned reads a file at noon of 1 February 2026 in Berlin, and gives the warnings.
func workflowWarned(t *testing.T, text string) string {
	t.Helper()
	zone, err := zoneLoad("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	spec, faults, _ := workflowParseAt("w.yml", "w", []byte(text), nil,
		workflowClock{time.Date(2026, 2, 1, 12, 0, 0, 0, zone),
			zone})
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	if spec == nil {
		t.Fatalf("it does not load: %s", strings.Join(lines, "\n"))
	}
	return strings.Join(lines, "\n")
}

func TestWorkflowWarned(t *testing.T) {
	t.Parallel()
	tasks := "\ntasks: {a: {run: make}}\n"
	sudo := "an agent that is not root cannot end what sudo starts"
	for _, c := range []struct{ text, want string }{
		{"schedule: '*/90 * * * *'" + tasks,
			`w.yml:1:11: warning: schedule "*/90 * * * *": */90 in the minute field is the value 0 alone`},
		{"schedule: [0 3 * * *, '0 */25 * * *']" + tasks,
			`w.yml:1:23: warning: schedule "0 */25 * * *": */25 in the hour field`},
		{"schedule: '* 0 3 * * *'" + tasks, "the seconds are *"},
		{"schedule: '0 0 3 1 1 * 2025'" + tasks,
			`w.yml:1:11: warning: schedule "0 0 3 1 1 * 2025" has no fire left: it never fires again`},
		{"schedule: '0 3 1 1 *'\nend_time: 2026-06-01T00:00:00Z" + tasks,
			"has no fire left before end_time: it never fires again"},
		{"schedule: '0 3 * * *'\nend_time: 2026-01-01T00:00:00Z" + tasks,
			"w.yml:2:11: warning: end_time 2026-01-01T00:00:00Z is over: the schedule fires no more"},
		{"schedule: '30 2 * * *'" + tasks,
			"on 2026-03-29 the clock of Europe/Berlin leaves out 02:00 to 03:00: what lies there fires at 03:00"},
		{"schedule: '*/5 2 * * *'" + tasks, "leaves out 02:00 to 03:00: what lies there does not fire"},
		{"schedule: '*/5 1 * * *'\ntimezone: Europe/London" + tasks,
			"on 2026-03-29 the clock of Europe/London leaves out 01:00 to 02:00"},
		{"schedule: '0 4 * * *'\nparams: {day: {description: which}}" + tasks,
			`w.yml:2:1: warning: parameter "day" has no default, and a schedule gives none: its fires cannot run`},
		{"tasks: {a: {run: 'serve &'}}",
			`w.yml:1:18: warning: task "a": & starts a command in the background, which is ended with the task`},
		{"tasks:\n  a:\n    run: |\n      one\n      two || true\n",
			`w.yml:3:10: warning: task "a": || true at the end hides that the command before it has failed`},
		{"tasks: {a: {run: 'one || :'}}", "|| : at the end hides"},
		{"tasks: {a: {run: 'cd / && sudo reboot'}}", sudo},
		{"tasks: {a: {cmd: /usr/bin/sudo, args: [reboot]}}", sudo},
		{"schedule: '30 2 * * *'\ntimezone: UTC" + tasks, ""},
		{"schedule: ['@reboot', '0 * * * *', '15 4 * * *']" + tasks, ""},
		{"schedule: '0 4 * * *'\nstart_time: 2027-01-01T00:00:00Z" + tasks, ""},
		{"schedule: '0 4 * * *'\nparams: {day: {default: ''}, mode: quick}" + tasks, ""},
		{"params: {day: {description: which}}" + tasks, ""},
		{"end_time: 2026-01-01T00:00:00Z" + tasks, ""},
		{"tasks: {a: {run: 'one & two & wait'}, b: {run: 'x || true; y'}, c: {run: 'echo sudo'}, d: {cmd: echo, " +
			"args: [sudo, '&']}}", ""},
	} {
		got := workflowWarned(t, c.text)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestWorkflowWarnedWhere: validate, show and attention give the warnings of a file, ls says that it has some. What was
// acknowledged in attention comes back when the warnings are others.
func TestWorkflowWarnedWhere(t *testing.T) {
	x := e2eNew(t)
	x.File("odd.yml", "schedule: '*/90 * * * *'\ntasks: {a: {run: 'true'}}\n")
	x.File("sub/bad.yml", "tasks: {a: {run: 'one || true'}}\n")
	x.File("fine.yml", "schedule: '0 4 * * *'\ntasks: {a: {run: 'true'}}\n")
	p := x.Principal()
	odd, bad := "odd.yml:1:11: warning: schedule \"*/90 * * * *\"", "sub/bad.yml:1:18: warning: task \"a\": || true"
	if r := x.Code(0, "ls"); !strings.Contains(r.Err, "2 warnings on the files of 2 workflows: cdktr show odd ") {
		t.Errorf("ls says %s", r.Err)
	}
	if r := x.Code(0, "show", "odd"); !strings.Contains(r.Out+r.Err, odd) || strings.Contains(r.Out+r.Err, "sub/bad") {
		t.Errorf("show says %s%s", r.Out, r.Err)
	}
	if r := x.Code(0, "validate"); !strings.Contains(r.Out, odd) || !strings.Contains(r.Out, bad) {
		t.Errorf("validate says %s", r.Out)
	}
	items := func() []AttentionItem { return harness.Lines[AttentionItem](t, x.OK("attention", "--json")) }
	list := items()
	if len(list) != 1 || list[0].Kind != attentionFolder || list[0].Count != 2 ||
		strings.Join(list[0].Workflows, " ") != "odd sub.bad" ||
		!strings.Contains(list[0].Reason, odd) || !strings.Contains(list[0].Reason, "and 1 more") {
		t.Fatalf("attention: %+v", list)
	}
	x.OK("ack", list[0].Key)
	if left := items(); len(left) != 0 {
		t.Errorf("acknowledged: %+v", left)
	}
	x.File("odd.yml", "schedule: '*/80 * * * *'\ntasks: {a: {run: 'true'}}\n")
	x.OK("rescan")
	if again := items(); len(again) != 1 || again[0].Key == list[0].Key {
		t.Errorf("another warning: %+v", again)
	}
	p.Stop()
}
