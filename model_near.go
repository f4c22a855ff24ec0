// model_near.go: the name that comes nearest to one that does not exist, for "did you mean".

package main

import (
	"strings"
	"unicode/utf8"
)

// Bounds of nearest, far beyond what anybody mistypes. The work takes a few milliseconds at most.
const (
	nearestMaxText = 64      // letters; for a longer text nothing comes near
	nearestMaxWork = 1 << 20 // pairs of letters compared; after that the best candidate so far is taken
)

// nearHint ends a message about a name that does not exist with the candidate that it most likely means, as in
// ` (did you mean "load"?)`. It is "" where none comes near. Every refusal of an unknown name ends so, or has the same
// as its hint.
func nearHint(text string, candidates []string) string { return nearMeans(nearest(text, candidates)) }

// nearMeans is the end of such a message for a name that is found already; "" for none.
func nearMeans(name string) string {
	if name == "" {
		return ""
	}
	return " (did you mean \"" + name + "\"?)"
}

// nearest gives the candidate that text most likely means, or "" where none comes near. Its work is bounded, whatever
// the text and however many candidates there are.
func nearest(text string, candidates []string) string {
	if len(text) > nearestMaxText*utf8.UTFMax {
		return ""
	}
	letters := []rune(strings.ToLower(text))
	if len(letters) > nearestMaxText {
		return ""
	}
	best, bestCost, work := "", len(letters)/3+1, nearestMaxWork
	for _, c := range candidates {
		if len(c) > len(text)*utf8.UTFMax+bestCost*utf8.UTFMax { // it is too long, however it is written
			work--
			continue
		}
		cost, compared := editDistance(letters, []rune(strings.ToLower(c)), bestCost)
		if cost < bestCost {
			best, bestCost = c, cost
		}
		work -= compared
		if work <= 0 {
			break
		}
	}
	return best
}

// editDistance counts the insertions, deletions, changes and swaps of neighbours that make b of a, up to limit.
// compared is how many pairs of letters it compared: only those that are near enough to the diagonal to stay within the
// limit.
func editDistance(a, b []rune, limit int) (cost, compared int) {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit, 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	above := 0 // the least of the row above
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-limit), min(len(b), i+limit)
		row[from-1] = limit
		if from == 1 {
			row[0] = i
		}
		least := row[from-1]
		for j := from; j <= to; j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(row[j-1]+1, last[j-1]+change)
			if j < i+limit {
				row[j] = min(row[j], last[j]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		compared += to - from + 1
		if least >= limit && above >= limit { // a swap reaches back two rows
			return limit, compared
		}
		above = least
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit), compared
}
