// Tests of output that is followed on a terminal: what a line that has not ended leaves on the screen.

package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestLookLive: a line that has not ended is drawn over below the others, takes one row at most, and leaves nothing.
func TestLookLive(t *testing.T) {
	var out bytes.Buffer
	c := &cli{flags: &cliFlags{}}
	v := &logsLive{c: c, p: &painter{w: &out, width: 20}, lines: map[string]LogLine{}}
	const clear = "\r\x1b[K"
	for i, step := range []struct {
		line LogLine
		want string
	}{
		{LogLine{Task: "a", Stream: "o", Text: "10%"}, "a: 10%"},
		{LogLine{Task: "a", Stream: "o", Text: "20%"}, clear + "a: 20%"},
		{LogLine{Task: "b", Stream: "e", N: 1, Text: "x"}, clear + "b: x\na: 20%"},
		{LogLine{Task: "a", Stream: "o", Text: strings.Repeat("=", 30) + ">"}, clear + "a: " + strings.Repeat("=", 15) +
			">"},
		{LogLine{Task: "a", Stream: "o", Text: "日本語の長いタスク"}, clear + "a: 本語の長いタスク"},
		{LogLine{Task: "a", Stream: "o", N: 2, Text: "done"}, clear + "a: done\n"},
		{LogLine{Task: "a", Stream: "o", N: 3, Text: "more"}, "a: more\n"},
		{LogLine{Task: "a", Stream: "e", Text: "?"}, "a: ?"},
		{LogLine{Task: "a", Stream: "e"}, clear},
	} {
		out.Reset()
		if err := v.print(&step.line); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if at := strings.Index(got, "00:00.000 "); at > 0 { // the time in front
			got = got[:at-3] + got[at+len("00:00.000 "):]
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
