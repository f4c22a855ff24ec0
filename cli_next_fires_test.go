// Tests of next --load and next --ical: what is counted, and that a calendar is one, by a reader of its own.

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLoad(t *testing.T) {
	l := loadNew(time.UTC)
	day := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for d := range 3 {
		for _, at := range []string{"01:00:00 a", "01:00:00 b", "01:00:30 a", "02:00:00 a", "02:00:00 b",
			"02:00:00 c", "02:00:00 d", "23:50:00 a"} {
			clock, id, _ := strings.Cut(at, " ")
			when, err := time.Parse("15:04:05", clock)
			if err != nil {
				t.Fatal(err)
			}
			l.count(Fire{Workflow: id, At: stampOf(day.AddDate(0, 0, d).Add(when.Sub(when.Truncate(24 * time.Hour))))})
		}
	}
	l.end()
	j := l.json(&nextWindow{from: day, until: day.AddDate(0, 0, 3)}, false)
	if j.Fires != 24 || j.Workflows != 4 || j.Hours[1] != 9 || j.Hours[2] != 12 || j.Minutes["23:50"] != 3 ||
		len(j.Minutes) != 3 {
		t.Errorf("%+v", j)
	}
	if len(j.Together) != 2 || j.Together[0].At != "02:00:00" || j.Together[0].Fires != 4 || j.Together[0].Days != 3 ||
		strings.Join(j.Together[0].Workflows, "") != "abc" || j.Together[1].At != "01:00:00" {
		t.Errorf("together: %+v %+v", *j.Together[0], *j.Together[1])
	}
	if j.Quietest != "12:55" { // in the middle of 02:00 to 23:50
		t.Errorf("quietest: %s", j.Quietest)
	}
	full := loadNew(time.UTC)
	for m := range loadDay {
		full.minutes[m] = 2
	}
	full.minutes[257] = 1
	if m, _ := full.quietest(); loadClock(m) != "04:17" {
		t.Errorf("with fires in each minute the quietest is %s", loadClock(m))
	}
}

// icalRead reads a calendar as RFC 5545 has it: lines end in CRLF, are folded at 75 bytes and no later, between
// characters, and texts are escaped. It gives the properties of each event.
func icalRead(t *testing.T, text string) (events []map[string]string) {
	t.Helper()
	if !strings.HasSuffix(text, "\r\n") || strings.Count(text, "\n") != strings.Count(text, "\r\n") ||
		strings.Count(text, "\r") != strings.Count(text, "\r\n") {
		t.Errorf("a line does not end in CRLF: %q", text)
	}
	for _, line := range strings.Split(text, "\r\n") {
		if len(line) > icalFold || !utf8.ValidString(line) {
			t.Errorf("a line of %d bytes, or cut in a character: %q", len(line), line)
		}
	}
	var in []string
	for _, line := range strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n ", ""), "\r\n"), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			t.Fatalf("no property: %q", line)
		}
		switch {
		case name == "BEGIN":
			in = append(in, value)
			if value == "VEVENT" {
				events = append(events, map[string]string{})
			}
			continue
		case name == "END":
			if len(in) == 0 || in[len(in)-1] != value {
				t.Fatalf("END of %q in %v", value, in)
			}
			in = in[:len(in)-1]
			continue
		case len(in) == 0:
			t.Fatalf("outside of the calendar: %q", line)
		}
		plain := ""
		for i := 0; i < len(value); i++ {
			switch {
			case value[i] == '\\' && i+1 < len(value) && strings.ContainsRune(`\;,nN`, rune(value[i+1])):
				i++
				plain += strings.Replace(string(value[i]), "n", "\n", 1)
			case value[i] == '\\' || value[i] == ';' || value[i] == ',' || value[i] < ' ' || value[i] == 0x7f:
				t.Errorf("not escaped at byte %d: %q", i, value)
			default:
				plain += string(value[i])
			}
		}
		if len(in) == 2 {
			if events[len(events)-1][name] != "" {
				t.Errorf("%s twice in an event", name)
			}
			events[len(events)-1][name] = plain
		}
	}
	if len(in) != 0 {
		t.Errorf("not ended: %v", in)
	}
	return events
}

func TestIcal(t *testing.T) {
	at := stampOf(time.Date(2026, 3, 8, 2, 30, 0, 0, time.UTC))
	for _, id := range []string{"etl", "a;b,c\\d\ne\r\x1bf\x7f", strings.Repeat("ä", 200), strings.Repeat("x", 74),
		"\xff",
		strings.Repeat("日本", 60) + "\r\nBEGIN:VALARM"} {
		x := &icalText{stamp: "20260101T000000Z"}
		x.line("BEGIN:VCALENDAR")
		x.event(Fire{Workflow: id, At: at}, "", 90.4)
		x.event(Fire{Workflow: id, At: stampOf(at.Add(time.Hour))}, "", 0.2)
		x.line("END:VCALENDAR")
		events := icalRead(t, x.b.String())
		if len(events) != 2 || events[0]["DTSTART"] != "20260308T023000Z" || events[0]["DURATION"] != "PT90S" ||
			events[1]["DURATION"] != "" || events[0]["UID"] == events[1]["UID"] || events[0]["DTSTAMP"] == "" {
			t.Errorf("%q: %v", id, events)
		}
	}
	x := &icalText{}
	x.event(Fire{At: at}, "30 2 * * *", 0)
	if text := x.b.String(); !strings.Contains(text, "SUMMARY:30 2 * * *\r\n") {
		t.Errorf("of an expression: %q", text)
	}
	if fmt.Sprint(icalEscape("a\tb")) != "ab" {
		t.Error("a tab is no text")
	}
}
