package main

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTextDiff makes differences of random texts, and finds both texts in them again.
func TestTextDiff(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		var b strings.Builder
		for range random.IntN(14) {
			b.WriteString(string(rune('a'+random.IntN(4))) + "\n")
		}
		return b.String()
	}
	head := regexp.MustCompile(`^--- (/dev/null|f)\n\+\+\+ f\n@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n`)
	for range 3000 {
		was, is := text(), text()
		var b strings.Builder
		if err := textDiff(&b, "f", was, is); err != nil {
			t.Fatal(err)
		}
		m := head.FindStringSubmatch(b.String())
		if was == is {
			if b.Len() > 0 {
				t.Fatalf("%q has a difference to itself: %s", was, b.String())
			}
			continue
		}
		if m == nil {
			t.Fatalf("%q and %q: %s", was, is, b.String())
		}
		for i, c := range []struct{ text, mark string }{{was, "-"}, {is, "+"}} {
			at, _ := strconv.Atoi(m[2+2*i])
			n, _ := strconv.Atoi(m[3+2*i])
			var lines []string
			for line := range strings.Lines(b.String()[len(m[0]):]) {
				if line[:1] == " " || line[:1] == c.mark {
					lines = append(lines, line[1:])
				}
			}
			all := strings.SplitAfter(c.text, "\n")
			all = all[:len(all)-1]
			from := max(at-1, 0)
			if len(lines) != n || from+n > len(all) || strings.Join(all[from:from+n], "") != strings.Join(lines, "") {
				t.Fatalf("%q and %q: %q of line %d is not %q\n%s", was, is, c.mark, at, lines, b.String())
			}
		}
	}
}

func TestDiffChanged(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\nc\n", "a\nc\n", "- b\n"},
		{"a\nc\n", "a\nb\nc\n", "+ b\n"},
		{"a\nx\nc\n", "a\ny\nc\n", "- x\n+ y\n"},
		{"", "a\n", "+ a\n"},
		{strings.Repeat("a\n", diffLines), "a\n", "they have 1001 and 2 lines\n"},
	} {
		if got := diffChanged(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.a, test.b, got, test.want)
		}
	}
	for _, text := range []string{"", "x", "[Unit]\n", unitHead, unitHead + "\n",
		unitHead + "000000000000, x\n[Unit]\n"} {
		if !unitEdited(text) {
			t.Errorf("%q seems to be ours", text)
		}
	}
}
