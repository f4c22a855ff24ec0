// view_match.go: what a person types to find text in a log: plain text to search, words to filter, "re:" before a regular
// expression. Pure: finds, and draws nothing.

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	viewMatchPrefix = "re:" // what follows is a regular expression (RE2)
	viewMatchHits   = 1000  // hits that are looked for in one line; more of them are not told apart
)

// viewMatch finds one text. Text in small letters is found in any case; with a capital in it, as it is. The zero
// viewMatch finds nothing.
type viewMatch struct {
	text string         // with its prefix, as it was typed
	fold string         // in small letters, where any case will do; "" where it will not
	re   *regexp.Regexp // in place of plain text
}

// viewSpan is a stretch of a text, in bytes.
type viewSpan struct{ from, to int }

// viewMatchOf reads what was typed. The only text that is at fault is a regular expression that is none.
func viewMatchOf(text string) (viewMatch, error) {
	m := viewMatch{text: text}
	pattern, isPattern := strings.CutPrefix(text, viewMatchPrefix)
	anyCase := !strings.ContainsFunc(text, unicode.IsUpper)
	switch {
	case isPattern:
		anyCase = !strings.ContainsFunc(viewMatchEscapes.ReplaceAllString(pattern, ""), unicode.IsUpper)
	case anyCase && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }):
		pattern, isPattern = regexp.QuoteMeta(text), true // letters whose cases have different lengths
	case anyCase:
		m.fold = text
	}
	if !isPattern || pattern == "" {
		return m, nil
	}
	re, err := regexp.Compile(pattern)
	if err == nil && anyCase {
		re, err = regexp.Compile("(?i)" + pattern)
	}
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), "error parsing regexp: ")
		return viewMatch{}, fmt.Errorf("not a regular expression: %s", why)
	}
	m.re = re
	return m, nil
}

// viewMatchEscapes are those whose capitals are no letters to be found, as \S.
var viewMatchEscapes = regexp.MustCompile(`\\[pP]\{[^}]*\}|\\[pP].|\\.`)

// all appends the hits in s to spans, from left to right. No hit is empty, and none lies over another.
func (m *viewMatch) all(s string, spans []viewSpan) []viewSpan {
	if m.re != nil {
		for _, at := range m.re.FindAllStringIndex(s, viewMatchHits) {
			if at[0] < at[1] {
				spans = append(spans, viewSpan{at[0], at[1]})
			}
		}
		return spans
	}
	if m.text == "" || m.text == viewMatchPrefix {
		return spans
	}
	for from, n := 0, 0; n < viewMatchHits; n++ {
		at := m.index(s[from:])
		if at < 0 {
			break
		}
		from += at + len(m.text)
		spans = append(spans, viewSpan{from - len(m.text), from})
	}
	return spans
}

// index gives where plain text is found first, or -1.
func (m *viewMatch) index(s string) int {
	if m.fold == "" {
		return strings.Index(s, m.text)
	}
	n, small := len(m.fold), m.fold[0]
	capital := small
	if small >= 'a' && small <= 'z' {
		capital -= 'a' - 'A'
	}
	for i := 0; i+n <= len(s); i++ {
		if (s[i] == small || s[i] == capital) && strings.EqualFold(s[i:i+n], m.fold) {
			return i
		}
	}
	return -1
}

// in says whether s has it.
func (m *viewMatch) in(s string) bool {
	if m.re != nil {
		return m.re.MatchString(s)
	}
	return m.index(s) >= 0
}

// viewFilter lets lines pass: those with every word in them, and none of the words behind a "!". With "re:" before it,
// all of the text is one regular expression. The zero viewFilter lets all pass.
type viewFilter struct {
	text    string
	have    []viewMatch
	haveNot []viewMatch
}

// viewFilterOf reads what was typed. The error is that of viewMatchOf.
func viewFilterOf(text string) (viewFilter, error) {
	f := viewFilter{text: text}
	words := strings.Fields(text)
	if strings.HasPrefix(text, viewMatchPrefix) {
		words = []string{text}
	}
	for _, word := range words {
		not := strings.HasPrefix(word, "!")
		m, err := viewMatchOf(strings.TrimPrefix(word, "!"))
		switch {
		case err != nil:
			return viewFilter{}, err
		case m.text == "" || m.text == viewMatchPrefix: // not typed to the end
		case not:
			f.haveNot = append(f.haveNot, m)
		default:
			f.have = append(f.have, m)
		}
	}
	return f, nil
}

// pass says whether s may be shown.
func (f *viewFilter) pass(s string) bool {
	return !slices.ContainsFunc(f.have, func(m viewMatch) bool { return !m.in(s) }) &&
		!slices.ContainsFunc(f.haveNot, func(m viewMatch) bool { return m.in(s) })
}
