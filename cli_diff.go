// cli_diff.go: the difference of two texts, as diff -u writes it.

package main

import (
	"fmt"
	"io"
	"strings"
)

const (
	diffContext = 3         // lines around a change
	diffMost    = 4_000_000 // pairs of lines that are compared; above it all of a text counts as changed
	diffLines   = 1000      // lines that diffChanged compares
)

// textDiff prints the unified difference of two texts of one name, in one hunk; nothing where they are the same.
func textDiff(w io.Writer, name, was, is string) (err error) {
	if was == is {
		return nil
	}
	a, b := diffSplit(was), diffSplit(is)
	front, back := 0, 0
	for front < min(len(a), len(b)) && a[front] == b[front] {
		front++
	}
	for back < min(len(a), len(b))-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	first, behind := max(front-diffContext, 0), max(back-diffContext, 0)
	line := func(mark, text string) {
		if err == nil {
			err = printText(w, mark+text)
		}
	}
	if was == "" {
		line("--- ", "/dev/null")
	} else {
		line("--- ", name)
	}
	line("+++ ", name)
	start := func(lines []string) int { return min(first+1, len(lines)) }
	line("@@ ", fmt.Sprintf("-%d,%d +%d,%d @@", start(a), len(a)-first-behind, start(b), len(b)-first-behind))
	for _, text := range a[first:front] {
		line(" ", text)
	}
	diffMiddle(a[front:len(a)-back], b[front:len(b)-back], line)
	for _, text := range a[len(a)-back : len(a)-behind] {
		line(" ", text)
	}
	return err
}

// diffSplit gives the lines of a text.
func diffSplit(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// diffMiddle passes on the lines of both texts, each with a blank, - or +.
func diffMiddle(a, b []string, line func(mark, text string)) {
	wide := len(b) + 1
	var same []int32 // same[i*wide+k] is how many lines a[i:] and b[k:] have in common
	if len(a)*len(b) <= diffMost {
		same = make([]int32, (len(a)+1)*wide)
		for at := len(a)*wide - 2; at >= 0; at-- {
			i, k := at/wide, at%wide
			if k == len(b) {
				continue
			}
			same[at] = max(same[at+wide], same[at+1])
			if a[i] == b[k] {
				same[at] = same[at+wide+1] + 1
			}
		}
	}
	for i, k := 0, 0; i < len(a) || k < len(b); {
		at := i*wide + k
		switch {
		case same != nil && i < len(a) && k < len(b) && a[i] == b[k]:
			line(" ", a[i])
			i, k = i+1, k+1
		case i < len(a) && (k == len(b) || same == nil || same[at+wide] >= same[at+1]):
			line("-", a[i])
			i++
		default:
			line("+", b[k])
			k++
		}
	}
}

// diffChanged gives the lines in which two texts differ: with - those that only a has, with + those that only b has.
func diffChanged(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(x) > diffLines || len(y) > diffLines {
		return fmt.Sprintf("they have %d and %d lines\n", len(x), len(y))
	}
	var out strings.Builder
	diffMiddle(x, y, func(mark, text string) {
		if mark != " " {
			out.WriteString(mark + " " + text + "\n")
		}
	})
	return out.String()
}
