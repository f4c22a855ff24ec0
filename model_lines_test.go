// model_lines_test.go: lines as JSON are what they were, in one form.

package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// linesTestText makes a text of lines with much in it that is escaped, wide, or no text.
func linesTestText(rnd *rand.Rand, size int) []byte {
	parts := []string{"\n", "\n", "a", "some words of plain text", `"`, `\`, "\t", "\r", "\x00", "\x1f", "\x7f",
		"\u0080", "\u009f", "\u00a0", "é", "\u2028", "漢字", "\U0001f600", "\ufffd", "\xff", "\xc2", "\xe6\xbc", "<&>"}
	if rnd.IntN(3) == 0 { // without what is no text
		parts = parts[:len(parts)-4]
	}
	var b []byte
	for len(b) < size {
		b = append(b, parts[rnd.IntN(len(parts))]...)
	}
	return b
}

// linesTestCheck looks at what linesAppend makes of a text.
func linesTestCheck(t *testing.T, text []byte) {
	t.Helper()
	front := []byte("front")
	got, count, rest := linesAppend(front, text)
	taken := text[:len(text)-len(rest)]
	if len(rest) > 0 {
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if utf8.Valid(line) || len(taken) > 0 && taken[len(taken)-1] != '\n' {
			t.Fatalf("%q: left is %q", text, rest)
		}
	}
	list := got[len(front):]
	var back []string
	if err := json.Unmarshal([]byte("["+string(list)+"]"), &back); err != nil || count != len(back) {
		t.Fatalf("%q: %d lines in %s: %v", text, count, list, err)
	}
	var want []string
	for line := range strings.Lines(string(taken)) {
		want = append(want, strings.TrimSuffix(line, "\n"))
	}
	if strings.Join(back, "\n") != strings.Join(want, "\n") || len(back) != len(want) {
		t.Fatalf("%q: %q came back from %s", text, back, list)
	}
	for _, line := range want { // the form is that of a file of output, and linesEnd knows it
		one := logString(nil, line)
		if end := linesEnd(append(one[1:], '"')); end != len(one)-2 || !bytes.HasPrefix(list, one) {
			t.Fatalf("%q is %s in a file, and %s in a parcel; linesEnd gives %d", line, one, list, end)
		}
		list = bytes.TrimPrefix(list[len(one):], []byte(","))
	}
}

// Lines come back from JSON as they were, and have one form, whatever is in them; the first line that is no text stops
// it.
func TestLines(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for c := range rune(0x180) { // each at every place of a word of eight bytes
		for at := range 9 {
			linesTestCheck(t, []byte(strings.Repeat("x", at)+string(c)+"yyyyyyyyy\nz"))
			linesTestCheck(t, append([]byte(strings.Repeat("x", at)), byte(c), 'y'))
		}
	}
	for range 3000 {
		linesTestCheck(t, linesTestText(rnd, rnd.IntN(200)))
	}
}

// linesEnd takes nothing for a line that is not in the form of linesString: what it takes stands in a file as it is.
func FuzzLinesEnd(f *testing.F) {
	for _, text := range []string{`abc"`, `a\"b\\"`, `\u001b["`, `\u0041"`, `\u000A"`, `\n"`, `\/"`, "\x7f\"",
		"\u0085\"", `\u0085"`,
		"é\"", "\xff\"", `\`, `\u00`, `\u00g0"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		end := linesEnd(text)
		if end < 0 {
			return
		}
		line := ""
		if err := json.Unmarshal([]byte(`"`+string(text[:end])+`"`), &line); err != nil || text[end] != '"' {
			t.Fatalf("%q: %v", text, err)
		}
		again, used := linesString(nil, []byte(line))
		if used != len(line) || !bytes.Equal(again, text[:end]) {
			t.Fatalf("%q is written as %q", text[:end], again)
		}
	})
}
