// Tests of what programs read: JSON lines.

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestTableTerminal: a serial console, whose size nobody has set, is a terminal like any other.
func TestTableTerminal(t *testing.T) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		e2eLacks(t, "no pseudo terminals here: %v", err)
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
