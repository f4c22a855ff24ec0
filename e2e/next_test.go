// End-to-end tests of next --load and next --ical.

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// nextLoad is what next --load --json prints.
type nextLoad struct {
	Fires, Workflows int
	Hours            []int
	Minutes          map[string]int
	Together         []struct {
		At        string
		Fires     int
		Workflows []string
	}
	Quietest string
	More     bool
}

// TestNextLoad: the coming fires are counted and written as a calendar, page after page.
func TestNextLoad(t *testing.T) {
	x := newSite(t)
	x.File("etl/minute.yml", "schedule: '* * * * *'\ntimezone: UTC\ntasks:\n  a: {run: 'true'}\n")
	for n := range 4 {
		x.File(fmt.Sprintf("night%d.yml", n), "schedule: '30 2 * * *'\ntimezone: UTC\ntasks:\n  a: {run: 'true'}\n")
	}
	x.Principal("--with-agent")
	x.OK("run", "night0", "--wait")
	args := []string{"--days", "2", "--from", "2099-01-01T00:00:30Z", "--tz", "UTC"}
	l := harness.Decode[nextLoad](t, x.OK(append([]string{"next", "--load", "--json"}, args...)...))
	if l.Fires != 2*24*60+8 || l.Workflows != 5 || l.Hours[2] != 128 || l.Minutes["02:30"] != 10 || l.More {
		t.Errorf("it counts %+v", l)
	}
	if len(l.Together) != 1 || l.Together[0].At != "02:30:00" || l.Together[0].Fires != 5 {
		t.Errorf("together: %+v", l.Together)
	}
	l = harness.Decode[nextLoad](t, x.OK(append([]string{"next", "--load", "--json", "night*"}, args...)...))
	if l.Fires != 8 || l.Quietest != "14:30" {
		t.Errorf("of a pattern it counts %+v", l)
	}
	text := x.OK(append([]string{"next", "--load", "night"}, args...)...)
	for _, want := range []string{"\n02 |                              @                             |         8\n",
		"together     02:30:00: 4 at once: night0, night1, night2 and 1 more",
		"quietest     14:30: no fire within 719 minutes of it"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("a line of %d columns: %q", len(line)-1, line)
		}
	}
	ics := x.OK(append([]string{"next", "--ical", "night"}, args...)...)
	if strings.Count(ics, "BEGIN:VEVENT\r\n") != 8 || !strings.Contains(ics, "UID:night0-20990101T023000Z@cdktr\r\n") ||
		!strings.HasSuffix(ics, "END:VCALENDAR\r\n") {
		t.Errorf("the calendar is %s", ics)
	}
	x.OK("pause", "night1", "--until", "2099-01-02T00:00:00Z")
	x.OK("pause", "night2")
	if ics := x.OK(append([]string{"next", "--ical", "night"}, args...)...); strings.Count(ics, "SUMMARY:") != 5 {
		t.Errorf("with pauses the calendar is %s", ics)
	}
	for args, word := range map[string]string{"--load --ical": "not both", "--ical --json": "no JSON",
		"--load -n 3": "no -n", "--load --days 0": "from 1 to 366", "--days 3": "goes with --load",
		"--load a b": "takes one", "--load --cron x": "want 5 fields"} {
		x.Refused(2, []string{word}, append([]string{"next"}, strings.Fields(args)...)...)
	}
}

// TestNextLoadExpression: an expression is counted, and written as a calendar, without a principal.
func TestNextLoadExpression(t *testing.T) {
	x := newSite(t)
	r := x.Code(0, "next", "--load", "--cron", "* * * * * *", "--days", "9", "--json", "--from", "2099-01-01")
	if l := harness.Decode[nextLoad](t, r.Out); l.Fires != 200_000 || !l.More ||
		!strings.Contains(r.Err, "only the first 200000 fires") {
		t.Errorf("it counts %d, and says %s", l.Fires, r.Err)
	}
	ics := x.OK("next", "--ical", "--cron", "0 12 * * *", "--tz", "UTC", "--from", "2099-01-01", "--days", "3")
	if strings.Count(ics, "BEGIN:VEVENT") != 3 || !strings.Contains(ics, "SUMMARY:0 12 * * *\r\n") {
		t.Errorf("the calendar is %s", ics)
	}
	if r := x.Code(0, "next", "--load", "--cron", "0 0 30 2 *"); !strings.Contains(r.Err, "no fire is to come") {
		t.Errorf("of what never fires it says %s%s", r.Out, r.Err)
	}
}
