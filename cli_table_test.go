// Tests of tables, times and JSON lines.

package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// TestTableTerminal: a serial console, whose size nobody has set, is a terminal like any other.
func TestTableTerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		harness.Lacks(t, "no pseudo terminals here: %v", err)
	}
	defer f.Close()
	if w, h, ok := termOf(f); w != 80 || h != 24 || !ok {
		t.Errorf("a terminal of unknown size: %d columns, %d lines, %v", w, h, ok)
	}
	if p := painterOf(f, "auto", func(string) string { return "" }); p.width != 80 || !p.color {
		t.Errorf("%+v", p)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, _, ok := termOf(null); ok {
		t.Error("/dev/null is no terminal")
	}
}

// TestTableJSON: a line of JSON is one write, and grep finds in it what a task printed.
func TestTableJSON(t *testing.T) {
	var b strings.Builder
	line := logJSONOf(&LogLine{Stream: "o", Text: `<b> & "c" > d`})
	if err := printJSON(&b, line); err != nil {
		t.Fatal(err)
	}
	if want := `"line":"<b> & \"c\" > d"`; !strings.Contains(b.String(), want) || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("printed %q, want %s in one line", b.String(), want)
	}
}

func TestTableTook(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0s", 0.04: "0.0s", 12.34: "12.3s", 59.94: "59.9s",
		59.96: "1:00", 60: "1:00", 134: "2:14", 3599.9: "59:59", 3600: "1:00:00", 3734: "1:02:14",
		360000: "100:00:00"} {
		if got := tookText(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestTableTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 59, 0, time.Local)
	for at, want := range map[time.Time]string{now: "23:59:59", now.Add(-23 * time.Hour): "00:59:59",
		now.Add(-24 * time.Hour): "Jan 30 23:59:59", now.Add(time.Second): "Feb 01 00:00:00",
		now.AddDate(-1, 0, 0): "2025-01-31 23:59", {}: "-"} {
		if got := timeText(stampOf(at), now); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestTableLayout(t *testing.T) {
	rows := func(p *painter) [][]tableCell {
		return [][]tableCell{{cell("etl"), p.state(runSucceeded), cell("fine")},
			{cell("日本"), p.state(taskRetrying), cell("a long reason \x1b[31m that goes on")},
			{cell("x%d", 1), p.state("what"), cell("")}}
	}
	for _, c := range []struct {
		name  string
		p     painter
		want  string
		heads []string
	}{
		{"to a file", painter{}, "ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long " +
			"reason ^[[31m that goes on\nx1    ? what       \n", []string{"ID", "STATE", "REASON"}},
		{"to a terminal", painter{width: 30},
			"ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long rea~\nx1    ? what       \n",
			[]string{"ID", "STATE", "REASON"}},
		{"to a tiny terminal", painter{width: 5},
			"ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long ~\nx1    ? what       \n",
			[]string{"ID", "STATE", "REASON"}},
	} {
		var out bytes.Buffer
		c.p.w = &out
		if err := c.p.table(c.heads, rows(&c.p)); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, out.String(), c.want)
		}
	}
	var out bytes.Buffer
	p := &painter{w: &out, color: true}
	if err := p.table([]string{"S"}, [][]tableCell{{p.state(runFailed)}}); err != nil ||
		out.String() != colorBold+"S"+colorReset+"\n"+colorRed+"! failed"+colorReset+"\n" {
		t.Errorf("%q", out.String())
	}
	getenv := func(set string) func(string) string {
		return func(name string) string {
			if name == set {
				return "1"
			}
			return ""
		}
	}
	for _, c := range []struct {
		mode, env string
		want      bool
		// to what is no terminal
	}{{"auto", "", false}, {"always", "", true}, {"always", "NO_COLOR", true}, {"never", "", false}} {
		if p := painterOf(&out, c.mode, getenv(c.env)); p.color != c.want || p.width != 0 {
			t.Errorf("%+v: %+v", c, p)
		}
	}
	for _, state := range []string{runQueued, runRunning, runSucceeded, runFailed, runCancelled, runCrashed,
		taskWaiting, taskRetrying, taskSkipped} {
		if glyph, _ := stateLooks(state); len(glyph) != 1 || glyph == "?" {
			t.Errorf("%s is shown as %q", state, glyph)
		}
	}
}
