// End-to-end tests of why for one instant.

package e2e

import (
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// whyInstant is what why says of an instant.
type whyInstant struct {
	Outcome, Reason, Run, State string
	At                          time.Time
	Fired                       bool
	Due                         time.Time
	Pause                       *struct{ By, Note string }
	Schedules                   []struct {
		Schedule string
		Fires    bool
		Against  []struct{ Field, Has, Wants, Or string }
		Before   time.Time
		After    time.Time
	}
}

// TestWhyInstant: why tells of any instant, and of an expression without a principal.
func TestWhyInstant(t *testing.T) {
	x := newSite(t)
	x.File("tick.yml", "schedule: '*/1 * * * * *'\noverlap: allow\ntasks:\n  a: {run: 'true'}\n")
	x.File("two.yml", "schedule: ['0 3 * * *', '0 0 13 1 fri']\ntimezone: UTC\njitter: 1h\nexcept: [12-25]\ntasks:\n"+
		"  a: {run: 'true'}\n")
	x.File("hand.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent")
	x.Until("it fires", func() bool { return len(x.decisions("tick")) > 0 })
	d := x.decisions("tick")[0]
	w := harness.Decode[whyInstant](t, x.OK("why", "tick", d.At.Format(time.RFC3339), "--json"))
	if !w.Fired || w.Run != d.Run || w.State == "" || !w.At.Equal(d.At) || !w.Schedules[0].Fires {
		t.Errorf("of a fire it says %+v", w)
	}
	x.OK("pause", "two", "--until", "2098-12-31T12:00", "--note", "rebuilt")
	for at, want := range map[string]string{
		"2098-01-01T03:00:00Z": "paused", "2099-01-01T03:00:00Z": "coming", "2099-12-25T03:00:00Z": "no_fire",
		"2099-01-01T04:00:00Z": "no_fire", "2001-01-01T03:00:00Z": "not_kept", "2099-01-13T00:00:00Z": "coming",
	} {
		w := harness.Decode[whyInstant](t, x.OK("why", "two", at, "--json"))
		if w.Outcome != want || len(w.Schedules) != 2 || w.Fired {
			t.Errorf("at %s it says %+v", at, w)
		}
		held := w.Pause != nil && w.Pause.Note == "rebuilt" && strings.Contains(w.Reason, "rebuilt")
		if want == "paused" && !held {
			t.Errorf("the pause at %s: %+v", at, w)
		}
		if want == "coming" && (!w.Due.After(w.At) || w.Pause != nil) {
			t.Errorf("what is to come at %s: %+v", at, w)
		}
	}
	text := x.OK("why", "two", "2099-01-02T03:00:01", "--tz", "UTC")
	for _, want := range []string{"outcome      - no fire", "against    second: 1 is not 0",
		"against    hour: 3 is not 0", "before     Fri 2099-01-02 03:00:00 UTC",
		"after      Sat 2099-01-03 03:00:00 UTC"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	if text := x.OK("why", "hand", "2099-01-02"); !strings.Contains(text, "it has no schedule") {
		t.Errorf("of a workflow without a schedule it says %s", text)
	}
	x.Refused(2, []string{"is not a time"}, "why", "two", "soon")
	x.Refused(2, []string{"before 1970"}, "why", "two", "0001-01-01")
	x.Refused(5, []string{"did you mean"}, "why", "tow", "2099-01-01")

}

// TestWhyExpression: an expression is explained without a principal.
func TestWhyExpression(t *testing.T) {
	y := newSite(t)
	r := y.Code(0, "why", "--cron", "30 2 * * *", "2026-03-29T02:30", "--tz", "Europe/Berlin")
	if !strings.Contains(r.Err, "is left out") || !strings.Contains(r.Out, "change     02:30 was left out") ||
		!strings.Contains(r.Out, "after      Mon 2026-03-30 02:30:00 CEST") {
		t.Errorf("it says %s%s", r.Out, r.Err)
	}
	r = y.Code(0, "why", "--cron", "30 2 * * *", "2026-10-25T02:30", "--tz", "Europe/Berlin", "--json")
	if w := harness.Decode[whyInstant](t, r.Out); w.Outcome != "fires" || w.At.Format("15:04") != "00:30" ||
		!strings.Contains(r.Err, "comes twice") {
		t.Errorf("of a time that comes twice it says %s%s", r.Out, r.Err)
	}
	for args, word := range map[string]string{"--cron|* * * * *": "takes a TIME",
		"--cron|x|2026-01-01": "want 5 fields",
		"--cron||2026-01-01":  "want 5 fields", "--cron|* * * * *|a|b": "not both",
		"--cron|* * * * *|2026-01-01|--tz|Mars/X": "no time zone"} {
		y.Refused(2, []string{word}, append([]string{"why"}, strings.Split(args, "|")...)...)
	}
}
