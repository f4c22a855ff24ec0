// Tests of cli.go: flags.

package main

import (
	"strings"
	"testing"
)

// A name or value that is no text is refused where it is given: another one would arrive.
func TestPairsFlag(t *testing.T) {
	for text, want := range map[string]string{
		"day=a\xffb":   "the value of day is not UTF-8: byte 2 is 0xff",
		"day=\xe2\x82": "the value of day is not UTF-8: byte 1 is 0xe2",
		"day=a\x00":    "the value of day has a NUL byte in it, at byte 2",
		"d\xff=1":      `the name "d\xff" is not UTF-8: byte 2 is 0xff`,
		"d\x00=1":      `the name "d\x00" has a NUL byte in it, at byte 2`,
		"day":          `want NAME=VALUE, not "day"`, "=1": `want NAME=VALUE, not "=1"`,
		"day=": "", "day=\ufffd😀=é": "",
	} {
		var pairs pairsFlag
		err := pairs.Set(text)
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if k, v, _ := strings.Cut(text, "="); want == "" && pairs[k] != v || want != "" && len(pairs) > 0 {
			t.Errorf("%q: %q", text, pairs)
		}
	}
}

// Bytes that are no text on a command line are a mistake of usage. The error names the flag or argument, and the verb
// asks nobody anything.
func TestCommandText(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", "params: {day: x}\ntasks:\n  a: {run: 'echo \"$PARAM_DAY\"'}\n")
	x.Refused(2, []string{"-p", "value of day is not UTF-8", "byte 2 is 0xff"}, "run", "./workflows/w.yml", "-p",
		"day=a\xff")
	x.Refused(2, []string{"-label", "value of site is not UTF-8", "byte 1 is 0xc3"}, "start", "agent", "--label",
		"site=\xc3")
	x.Refused(2, []string{"label", `name "s\xff" is not UTF-8`}, "start", "agent", "--label", "s\xff=1")
	x.Principal()
	x.Refused(2, []string{"-p", "value of day is not UTF-8", "byte 3 is 0xe2"}, "run", "w", "-p", "day=ab\xe2\x82")
	x.Refused(2, []string{"key is not UTF-8", "byte 1 is 0xff"}, "run", "w", "--key", "\xff")
	x.Refused(2, []string{"is not UTF-8", "byte 2 is 0xff"}, "pause", "w\xff")
	if runs := x.OK("ps", "--all", "--json"); strings.Contains(runs, `"run"`) {
		t.Errorf("a run has begun: %s", runs)
	}
}
