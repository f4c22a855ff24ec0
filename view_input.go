//go:build !noui

// view_input.go: one line that the user types, in a prompt or a field of a form, and what finds the typed text in a
// log. The line has the keys of a shell, a history, and completion of words.

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	viewInputMax     = 4096 // letters of a line; what is typed beyond them is dropped
	viewInputHistory = 100  // lines of the history
)

// viewAnswer is what a key made of a question.
type viewAnswer uint8

const (
	viewOpen viewAnswer = iota // not answered yet
	viewYes
	viewNo
)

// viewInput is a line and the cursor in it. Its prompt stands before it: "/", ":" or "&". The zero viewInput is empty.
type viewInput struct {
	prompt string
	text   []rune
	cursor int // letters before it
	hidden int // letters left of the screen

	// The history, the oldest line first; how many lines back in it the line is; and, while that is not 0, the line
	// that was typed.
	history   []string
	stepsBack int
	typedLine string

	choices viewChoice // while a word is completed
}

// viewChoice is the words that one completion offers, and which of them stands in the line.
type viewChoice struct {
	words []string
	at    int // -1: none of them, only what they have in common
	start int // letters before the word
}

// set starts again with a text. The history stays.
func (in *viewInput) set(prompt, text string) {
	in.prompt, in.text, in.cursor, in.hidden, in.stepsBack, in.choices = prompt, nil, 0, 0, 0, viewChoice{}
	in.insert(text)
}

// String gives the line as it is.
func (in *viewInput) String() string { return string(in.text) }

// word gives the word before the cursor, which complete completes, and all that stands before that word.
func (in *viewInput) word() (before, word string) {
	start := in.typedStart()
	return string(in.text[:start]), string(in.text[start:in.cursor])
}

// key takes a key. Enter means yes, and puts the line into the history. Esc, ^C, and a backspace in an empty line mean
// no. Other keys that mean nothing here do nothing; so does tab: see complete.
func (in *viewInput) key(k termKey) viewAnswer {
	in.choices = viewChoice{}
	switch k.Code {
	case termKeyEnter:
		in.remember()
		return viewYes
	case termKeyEsc:
		return viewNo
	case termKeyRune:
		in.keyRune(k)
	case termKeyCtrl:
		return in.keyCtrl(k.Rune)
	case termKeyPaste:
		first := strings.TrimLeft(k.Text, "\r\n")
		if end := strings.IndexAny(first, "\r\n"); end >= 0 {
			first = first[:end]
		}
		in.insert(first)
	case termKeyBackspace:
		if len(in.text) == 0 {
			return viewNo
		}
		if k.Alt || k.Ctrl {
			in.remove(in.wordStart(), in.cursor)
		} else {
			in.remove(in.cursor-1, in.cursor)
		}
	case termKeyDelete:
		in.remove(in.cursor, in.step(1))
	case termKeyLeft, termKeyRight:
		dir := 1
		if k.Code == termKeyLeft {
			dir = -1
		}
		if k.Ctrl || k.Alt {
			in.cursor = in.wordStep(dir)
		} else {
			in.cursor = in.step(dir)
		}
	case termKeyHome:
		in.cursor = 0
	case termKeyEnd:
		in.cursor = len(in.text)
	case termKeyUp:
		in.recall(1)
	case termKeyDown:
		in.recall(-1)
	}
	return viewOpen
}

func (in *viewInput) keyRune(k termKey) {
	switch {
	case !k.Alt:
		in.insert(string(k.Rune))
	case k.Rune == 'b':
		in.cursor = in.wordStep(-1)
	case k.Rune == 'f':
		in.cursor = in.wordStep(1)
	case k.Rune == 'd':
		in.remove(in.cursor, in.wordStep(1))
	}
}

func (in *viewInput) keyCtrl(letter rune) viewAnswer {
	switch letter {
	case 'c':
		return viewNo
	case 'a':
		in.cursor = 0
	case 'e':
		in.cursor = len(in.text)
	case 'b':
		in.cursor = in.step(-1)
	case 'f':
		in.cursor = in.step(1)
	case 'd':
		in.remove(in.cursor, in.step(1))
	case 'u':
		in.remove(0, in.cursor)
	case 'k':
		in.remove(in.cursor, len(in.text))
	case 'w':
		in.remove(in.wordStart(), in.cursor)
	case 'p':
		in.recall(1)
	case 'n':
		in.recall(-1)
	}
	return viewOpen
}

// insert puts the visible letters of a text in at the cursor, a tab as a blank.
func (in *viewInput) insert(text string) {
	var letters []rune
	for i := 0; i < len(text) && len(in.text)+len(letters) < viewInputMax; {
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		if r, _ := termRune(r, size); r != 0 && r != utf8.RuneError {
			letters = append(letters, r)
		}
	}
	in.text = append(in.text[:in.cursor:in.cursor], append(letters, in.text[in.cursor:]...)...)
	in.cursor += len(letters)
}

// remove takes out the letters between two places in the line.
func (in *viewInput) remove(from, to int) {
	from, to = max(from, 0), min(to, len(in.text))
	if from < to {
		in.text = append(in.text[:from:from], in.text[to:]...)
		in.cursor = from
	}
}

// step gives the place one letter on, or with -1 back. Marks belong to their letter.
func (in *viewInput) step(dir int) int {
	at := min(max(in.cursor+dir, 0), len(in.text))
	for at > 0 && at < len(in.text) && textRuneWidth(in.text[at]) == 0 {
		at += dir
	}
	return at
}

// wordStep gives the place behind the next word, or with -1 the start of the word before.
func (in *viewInput) wordStep(dir int) int {
	if dir < 0 {
		return in.wordStart()
	}
	at := in.cursor
	for at < len(in.text) && in.text[at] == ' ' {
		at++
	}
	for at < len(in.text) && in.text[at] != ' ' {
		at++
	}
	return at
}

// wordStart gives the start of the word before the cursor, over blanks if there are any.
func (in *viewInput) wordStart() int {
	at := in.cursor
	for at > 0 && in.text[at-1] == ' ' {
		at--
	}
	for at > 0 && in.text[at-1] != ' ' {
		at--
	}
	return at
}

// typedStart gives the start of the word that ends at the cursor. Behind a blank that is the cursor itself.
func (in *viewInput) typedStart() int {
	at := in.cursor
	for at > 0 && in.text[at-1] != ' ' {
		at--
	}
	return at
}

// remember puts the line at the end of the history, unless it is there already.
func (in *viewInput) remember() {
	line := in.String()
	if n := len(in.history); line != "" && (n == 0 || in.history[n-1] != line) {
		in.history = append(in.history[max(n+1-viewInputHistory, 0):], line)
	}
	in.stepsBack = 0
}

// recall goes n lines back in the history, or with -1 forward, and at last to the line that was typed.
func (in *viewInput) recall(n int) {
	if in.stepsBack+n < 0 || in.stepsBack+n > len(in.history) {
		return
	}
	if in.stepsBack == 0 {
		in.typedLine = in.String()
	}
	back, text := in.stepsBack+n, in.typedLine
	if back > 0 {
		text = in.history[len(in.history)-back]
	}
	in.set(in.prompt, text)
	in.stepsBack = back
}

// complete completes the word before the cursor with those candidates that begin with it. The first call puts in what
// they have in common. If that is nothing new, and from the second call on, it goes through them, forward or with -1
// backward; those calls do not look at candidates.
func (in *viewInput) complete(dir int, candidates []string) {
	c := in.choices
	if c.words == nil {
		c = viewChoice{at: -1, start: in.typedStart()}
		typed := string(in.text[c.start:in.cursor])
		common := ""
		for _, word := range candidates {
			if !strings.HasPrefix(word, typed) {
				continue
			}
			if c.words == nil {
				common = word
			}
			c.words = append(c.words, word)
			common = viewCommon(common, word)
		}
		switch {
		case len(c.words) == 0:
			return
		case len(c.words) == 1:
			in.replace(c.start, common+" ")
			return
		case common != typed:
			in.replace(c.start, common)
			in.choices = c
			return
		}
	}
	n := len(c.words)
	if c.at < 0 && dir < 0 {
		c.at = 0
	}
	c.at = (c.at + dir + n) % n
	in.replace(c.start, c.words[c.at])
	in.choices = c
}

// replace puts text in the place of the letters from start to the cursor.
func (in *viewInput) replace(start int, text string) {
	in.remove(start, in.cursor)
	in.insert(text)
}

// viewCommon gives the letters that both texts begin with.
func viewCommon(a, b string) string {
	for i, r := range a {
		if !strings.HasPrefix(b[i:], string(r)) {
			return a[:i]
		}
	}
	return a
}

// draw shows prompt and line in the first row of an area, with a mark at an edge that hides more, and behind them what
// completion offers. The cursor is parked in the line.
func (in *viewInput) draw(g *termGrid, a viewArea) {
	if a.w <= 0 || a.h <= 0 {
		return
	}
	g.fill(a.x, a.y, a.w, 0)
	x, end := g.putTo(a.x, a.y, a.x+a.w-1, styleBold, in.prompt), a.x+a.w
	in.scroll(end - x - 1) // the last column is for a cursor behind the text
	first := x
	for i := in.hidden; i < len(in.text); i++ {
		if i == in.cursor {
			g.cursorX, g.cursorY = x, a.y
		}
		if x+textRuneWidth(in.text[i]) > end {
			g.put(end-1, a.y, styleReverse, ">")
			break
		}
		if n := x; textRuneWidth(in.text[i]) > 0 {
			x = g.putTo(n, a.y, end, 0, string(in.text[i]))
		} else if n > first {
			g.mark(n, a.y, in.text[i])
		}
	}
	if in.cursor == len(in.text) {
		g.cursorX, g.cursorY = min(x, end-1), a.y
	}
	if in.hidden > 0 {
		g.put(first, a.y, styleReverse, "<")
	}
	for i, word := range in.choices.words {
		x += 2
		if x+textWidth(word) > end {
			break
		}
		style := styleDim
		if i == in.choices.at {
			style = styleReverse
		}
		x = g.putTo(x, a.y, end, style, word)
	}
}

// scroll moves the line so that the cursor is on the screen and the mark at the left edge does not cover it.
func (in *viewInput) scroll(room int) {
	width := func(from, to int) int { return textWidth(string(in.text[from:to])) }
	if width(0, len(in.text)) <= room {
		in.hidden = 0
		return
	}
	in.hidden = min(in.hidden, max(in.cursor-1, 0), len(in.text))
	for in.hidden < in.cursor && width(in.hidden, in.cursor) > room {
		in.hidden++
	}
	for in.hidden > 0 && in.hidden < in.cursor && textRuneWidth(in.text[in.hidden]) == 0 {
		in.hidden++
	}
}

const (
	viewMatchPrefix = "re:" // what follows is a regular expression (RE2)
	viewMatchHits   = 1000  // hits found in one line; the rest of the line is not searched
)

// viewMatch finds a text in a log: plain text, or a regular expression behind "re:". Text in small letters is found in
// any case; text with a capital only as it is. The zero viewMatch finds nothing.
type viewMatch struct {
	text string         // as it was typed, with its prefix
	fold string         // the text, where any case will do; else ""
	re   *regexp.Regexp // nil: plain text
}

// viewSpan is a stretch of a text, in bytes.
type viewSpan struct{ from, to int }

// viewMatchOf reads what the user typed. It fails only for a regular expression that is not valid.
func viewMatchOf(text string) (viewMatch, error) {
	m := viewMatch{text: text}
	pattern, isPattern := strings.CutPrefix(text, viewMatchPrefix)
	anyCase := !strings.ContainsFunc(text, unicode.IsUpper)
	switch {
	case isPattern:
		anyCase = !strings.ContainsFunc(viewMatchEscapes().ReplaceAllString(pattern, ""), unicode.IsUpper)
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

// viewMatchEscapes matches escapes such as \S, whose capitals are no letters to find.
var viewMatchEscapes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\\[pP]\{[^}]*\}|\\[pP].|\\.`)
})

// all appends the hits in s to spans, from left to right. No hit is empty, and no two overlap.
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

// index gives the place of the first hit of plain text, or -1.
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

// in says whether s has a hit.
func (m *viewMatch) in(s string) bool {
	if m.re != nil {
		return m.re.MatchString(s)
	}
	return m.index(s) >= 0
}

// viewFilter lets lines pass that have every word, and none of the words behind a "!". Behind "re:", all of the text is
// one regular expression. The zero viewFilter lets every line pass.
type viewFilter struct {
	text    string
	have    []viewMatch
	haveNot []viewMatch
}

// viewFilterOf reads what the user typed. It fails as viewMatchOf does.
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
		case m.text == "" || m.text == viewMatchPrefix: // not complete yet
		case not:
			f.haveNot = append(f.haveNot, m)
		default:
			f.have = append(f.have, m)
		}
	}
	return f, nil
}

// pass says whether s passes.
func (f *viewFilter) pass(s string) bool {
	return !slices.ContainsFunc(f.have, func(m viewMatch) bool { return !m.in(s) }) &&
		!slices.ContainsFunc(f.haveNot, func(m viewMatch) bool { return m.in(s) })
}
