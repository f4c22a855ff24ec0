package main

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// calendarTestNone is for calendars without files.
func calendarTestNone(name string) (*calendar, error) { return nil, errors.New("no file " + name) }

func TestCalendarDays(t *testing.T) {
	file, err := calendarRead("# bank holidays\n2026-12-28   # a substitute\r\n\n05-01\n")
	if err != nil {
		t.Fatal(err)
	}
	c, err := calendarOf([]string{"2026-12-25", "02-29", "sat-sun", "Wednesday", "@bank.txt"},
		func(string) (*calendar, error) { return file, nil })
	if err != nil {
		t.Fatal(err)
	}
	for day, want := range map[string]string{
		"2026-12-25": "2026-12-25",
		"2026-12-24": "",          // a Thursday
		"2025-12-25": "",          // a Thursday of another year
		"2028-02-29": "02-29",     // a Tuesday
		"2026-02-28": "sat-sun",   //
		"2026-12-23": "Wednesday", //
		"2026-12-28": "2026-12-28 of bank.txt",
		"2027-12-28": "", // a Tuesday
		"2028-05-01": "05-01 of bank.txt",
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := c.has(at.Add(23*time.Hour + 59*time.Minute)); got != want || ok != (want != "") {
			t.Errorf("%s: %q %t, want %q", day, got, ok, want)
		}
	}
}

func TestCalendarFaults(t *testing.T) {
	for item, want := range map[string]string{
		"2026-13-01": "there is no day 2026-13-01",
		"2026-02-29": "there is no day 2026-02-29",
		"02-30":      "there is no day 02-30",
		"christmas":  `"christmas" is no day: write it as 2026-12-25, 12-25 (of every year), sat-sun, or @FILE`,
		"":           `"" is no day`,
		"5L":         `"5L" is no day`,
		"1":          `"1" is no day`,
		"mon fri":    `"mon fri" is no day`,
		"@bank.txt":  "no file bank.txt",
	} {
		if _, err := calendarOf([]string{item}, calendarTestNone); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", item, err, want)
		}
	}
	for text, want := range map[string]string{
		"12-25\nlater\n":                         `line 2: "later" is no day`,
		"@other.txt":                             "line 1: a file of days cannot name another one",
		strings.Repeat("\n", calendarMaxDays+1):  "more than 10000 lines",
		"12-25 Christmas Day\n":                  `line 1: "Christmas Day" behind the day 12-25: a line has one day`,
		"Christmas Day\n":                        `line 1: "Christmas Day" is no day`,
		strings.Repeat("12-25\n", 3) + "99-99\n": "line 4: there is no day 99-99",
	} {
		if _, err := calendarRead(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

// TestCalendarFires: the ticks that may fire are those of the schedule without those of days that are kept off, in
// zones whose clocks change at midnight too.
func TestCalendarFires(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	schedules := []string{"17 * * * *", "0 0 * * *", "59 23 * * *", "30 */5 * * *", "@every 7h", "0 12 1-7 * 1"}
	days := []string{"sat-sun", "mon", "12-24", "12-25", "2026-12-26", "12-31", "2027-01-01", "fri-tue", "01-01"}
	for range 200 {
		zone, err := zoneLoad([]string{"UTC", "Europe/London", "America/Havana", "Africa/Cairo"}[rnd.IntN(4)])
		if err != nil {
			t.Fatal(err)
		}
		w := &Workflow{ID: "w", Schedule: []string{schedules[rnd.IntN(len(schedules))]}}
		for range rnd.IntN(4) {
			w.Except = append(w.Except, days[rnd.IntN(len(days))])
		}
		for range rnd.IntN(3) {
			w.Only = append(w.Only, days[rnd.IntN(len(days))])
		}
		kept, err := schedDaysOf(w, calendarTestNone)
		if err != nil {
			t.Fatal(err)
		}
		s := schedNew(zone)
		from := time.Date(2026, time.Month(1+rnd.IntN(12)), 20, 0, 0, 0, 0, zone)
		to := from.AddDate(0, 1, 0)
		e, err := s.set(w, kept, from)
		if err != nil {
			t.Fatal(err)
		}
		var want []time.Time
		for at, ok := e.next(from); ok && !at.After(to); at, ok = e.next(at) {
			off := slices.ContainsFunc(w.Except, func(d string) bool { return calendarTestIs(d, at) })
			on := len(w.Only) == 0 || slices.ContainsFunc(w.Only, func(d string) bool { return calendarTestIs(d, at) })
			if on && !off {
				want = append(want, at)
			}
		}
		got, total := e.missed(from, to)
		same := slices.EqualFunc(got, want, func(a, b time.Time) bool { return a.Equal(b) })
		if total != len(want) || !same {
			t.Fatalf("%v except %v only %v in %s: %v (%d), want %v", w.Schedule, w.Except, w.Only, zone, got, total,
				want)
		}
		coming := s.coming("w", from, len(want))
		if !slices.EqualFunc(coming, want, func(a, b time.Time) bool { return a.Equal(b) }) {
			t.Fatalf("%v except %v only %v in %s: coming %v, want %v", w.Schedule, w.Except, w.Only, zone, coming, want)
		}
		if due, ok := s.dueOf("w"); len(want) > 0 && (!ok || !due.Equal(want[0])) {
			t.Fatalf("%v except %v only %v in %s: due %v, want %v", w.Schedule, w.Except, w.Only, zone, due, want[0])
		}
	}
}

// calendarTestIs says what a day means, in another way than calendar does.
func calendarTestIs(item string, at time.Time) bool {
	switch item {
	case "sat-sun":
		return at.Weekday() == time.Saturday || at.Weekday() == time.Sunday
	case "mon":
		return at.Weekday() == time.Monday
	case "fri-tue":
		return at.Weekday() != time.Wednesday && at.Weekday() != time.Thursday
	}
	return strings.HasSuffix(at.Format(time.DateOnly), item)
}

// TestCalendarPassOver: a day on which nothing fires is passed at once, and the next day's ticks come.
func TestCalendarPassOver(t *testing.T) {
	w := &Workflow{ID: "w", Schedule: []string{"*/15 * * * *"}, Except: []string{"12-25"}}
	kept, err := schedDaysOf(w, calendarTestNone)
	if err != nil {
		t.Fatal(err)
	}
	s := schedNew(time.UTC)
	christmas := time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC)
	e, err := s.set(w, kept, christmas.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if reason := e.days.against(e.tick()); reason != "except: 12-25" {
		t.Fatalf("%v: %q", e.tick(), reason)
	}
	if more := s.passOver(e, e.tick()); more != 24*4-1 {
		t.Errorf("%d more ticks of the day, want %d", more, 24*4-1)
	}
	if at, _ := s.firstDue(); !at.Equal(christmas.AddDate(0, 0, 1)) {
		t.Errorf("due at %v, want the next day", at)
	}
	only := &Workflow{ID: "o", Schedule: []string{"0 9 * * *"}, Only: []string{"2020-01-01"}}
	past, err := schedDaysOf(only, calendarTestNone)
	if err != nil {
		t.Fatal(err)
	}
	e, err = s.set(only, past, christmas)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := e.nextFire(christmas); ok {
		t.Errorf("fires at %v", at)
	}
	if reason := e.days.against(christmas); reason != "only: 2026-12-25 is none of its days" {
		t.Errorf("%q", reason)
	}
}
