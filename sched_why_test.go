// Tests of what a schedule says of one instant.

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// whyTestOf gives what one expression says of an instant, in short.
func whyTestOf(t *testing.T, expr, zone string, at time.Time) WhySchedule {
	t.Helper()
	e, err := schedNew(time.UTC).entryOf(&Workflow{ID: "w", Schedule: []string{expr}, Timezone: zone})
	if err != nil {
		t.Fatalf("%q: %v", expr, err)
	}
	return e.why(at)[0]
}

func TestSchedWhy(t *testing.T) {
	const ny = "America/New_York"
	for _, c := range []struct{ expr, zone, at, want string }{
		{"30 2 * * *", "UTC", "2026-03-08T02:30:00Z", "yes"},
		{"30 2 * * *", "UTC", "2026-03-08T03:30:00Z", "hour: 3 is not 2"},
		{"30 2 * * *", "UTC", "2026-03-08T02:31:05Z", "minute: 31 is not 30; second: 5 is not 0"},
		{"15 30 2 * * *", "UTC", "2026-03-08T02:30:00Z", "second: 0 is not 15"},
		{"0 0 1 jan *", "UTC", "2026-03-08T00:00:00Z", "month: Mar is not jan; day: 8 is not 1"},
		{"0 0 * * mon-fri", "UTC", "2026-03-08T00:00:00Z", "weekday: Sun is not mon-fri"},
		{"0 0 13 * fri", "UTC", "2026-03-08T00:00:00Z",
			"day: 8 is not 13 (the weekday alone would do); weekday: Sun is not fri (the day alone would do)"},
		{"0 0 13 * fri", "UTC", "2026-03-13T00:00:00Z", "yes"},
		{"0 0 13 * fri", "UTC", "2026-04-13T00:00:00Z", "yes | only the day matches: cron fires then, systemd timers " +
			"and CDKTR's own library want both"},
		{"0 0 */2 * mon", "UTC", "2026-03-02T00:00:00Z", "day: 2 is not */2 | only the weekday matches: robfig's cron " +
			"fires then, for it takes no */n for a star"},
		{"0 0 0 1 1 * 2030", "UTC", "2026-01-01T00:00:00Z", "year: 2026 is not 2030"},
		{"0 0 LW * *", "UTC", "2026-01-30T00:00:00Z", "yes"},
		{"0 0 L * *", "UTC", "2026-01-30T00:00:00Z", "day: 30 is not L"},
		{"@daily", "UTC", "2026-01-30T01:00:00Z", "hour: 1 is not 0"},
		{"@every 90s", "UTC", "1970-01-01T00:03:01Z", "period: 1s after a multiple is not one of 1m30s since 1970"},
		{"@every 90s", "UTC", "1970-01-01T00:03:00Z", "yes"},
		{"@reboot", "UTC", "2026-01-30T01:00:00Z", "occasion: a time is not a boot of the principal's machine"},
		{"@start", "UTC", "2026-01-30T01:00:00Z", "occasion: a time is not a start of the principal"},
		{"H(5-5) 3 * * *", "UTC", "2026-01-30T03:00:00Z", "minute: 0 is not H(5-5), which is 5 here"},
		{"5~5 3 * * *", "UTC", "2026-01-30T03:00:00Z", "minute: 0 is not 5~5, which is 5 here"},

		// the clock goes from 02:00 to 03:00 at 07:00 UTC, and from 02:00 to 01:00 at 06:00 UTC
		{"30 2 * * *", ny, "2026-03-08T07:00:00Z", "yes; the clock went from 02:00 to 03:00; 02:30 was left out, and " +
			"fires at once after that | robfig's cron and systemd timers leave 02:30 out, and do not fire"},
		{"30 2 * * *", ny, "2026-03-08T07:30:00Z", "hour: 3 is not 2; the clock went from 02:00 to 03:00"},
		{"*/30 2 * * *", ny, "2026-03-08T07:00:00Z", "hour: 3 is not 2; the clock went from 02:00 to 03:00; it follows " +
			"real time, so 02:00, which was left out, does not fire"},
		{"30 1 * * *", ny, "2026-11-01T05:30:00Z", "yes; the clock shows 01:00 to 02:00 twice, and this is the first " +
			"time | robfig's cron fires again in the second pass"},
		{"30 1 * * *", ny, "2026-11-01T06:30:00Z", "; the clock shows 01:00 to 02:00 twice, and this is the second " +
			"time; a schedule at fixed times fires in the first pass only | robfig's cron fires in both passes"},
		{"30 * * * *", ny, "2026-11-01T06:30:00Z", "yes; the clock shows 01:00 to 02:00 twice, and this is the second " +
			"time"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		w := whyTestOf(t, c.expr, c.zone, at)
		got := "yes"
		if !w.Fires {
			var against []string
			for _, f := range w.Against {
				against = append(against, f.text())
			}
			got = strings.Join(against, "; ")
		}
		got = strings.Join(append([]string{got}, w.Notes...), "; ")
		if len(w.Others) > 0 {
			got += " | " + strings.Join(w.Others, "; ")
		}
		if got != c.want {
			t.Errorf("%q in %s at %s:\n%s\nwant\n%s", c.expr, c.zone, c.at, got, c.want)
		}
	}
}

// The fires before and after an instant are those that the search forward finds, and a field says no exactly where the
// search finds no fire.
func TestSchedWhyNeighbours(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	for n := range 400 {
		expr := fmt.Sprintf("%s %s %s %s %s", pick("0", "*/7", "*", "30", "H", "~"), pick("2", "*", "1-3", "H"),
			pick("*", "1", "13", "L", "*/3"), pick("*", "3", "nov"), pick("*", "mon", "6-1", "5L"))
		zone := pick("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
		e, err := schedNew(time.UTC).entryOf(&Workflow{ID: "w", Schedule: []string{expr}, Timezone: zone})
		if err != nil {
			t.Fatal(err)
		}
		near := time.Date(2026, time.Month(1+rnd.IntN(12)), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60), 0, 0, time.UTC)
		fire, ok := e.next(near)
		if !ok {
			continue
		}
		later, _ := e.next(fire)
		for _, at := range []time.Time{fire, fire.Add(time.Second), later.Add(-time.Second), near} {
			w := whyTestOf(t, expr, zone, at)
			if fires := at.Equal(fire); fires != w.Fires && !at.Equal(near) {
				t.Errorf("seed %d, %d: %q in %s at %s: %+v", seed, n, expr, zone, at, w)
			}
			if !at.After(fire) {
				continue
			}
			if !w.Before.Equal(fire) || !w.After.Equal(later) {
				t.Errorf("seed %d, %d: %q in %s at %s: before %s after %s, want %s and %s", seed, n, expr, zone, at,
					w.Before, w.After, fire, later)
			}
			if len(w.Against) == 0 && len(w.Notes) == 0 {
				t.Errorf("seed %d, %d: %q in %s at %s: no field says no: %+v", seed, n, expr, zone, at, w)
			}
		}
	}
	if w := whyTestOf(t, "0 0 1 1 *", "UTC", time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)); !w.Before.IsZero() {
		t.Errorf("a fire before 1970: %+v", w)
	}
	if w := whyTestOf(t, "0 0 0 1 1 * 2030", "UTC", time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)); !w.After.IsZero() ||
		w.Before.Year() != 2030 {
		t.Errorf("after the last year: %+v", w)
	}
	if w := whyTestOf(t, "* * * * * *", "UTC", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)); !w.Fires {
		t.Errorf("the last second: %+v", w)
	}
}
