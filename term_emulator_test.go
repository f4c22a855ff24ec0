// A terminal for tests that is stricter than any: it knows what the painter and the lifecycle send and nothing else.
// What a terminal of today would forgive, or what terminals do differently, is a fault.

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// termEmulator is a terminal. Bytes are written to it in chunks of any size; fault says what was wrong first.
type termEmulator struct {
	w, h       int
	cells      []termCell // of the screen that programs have of their own
	x, y       int
	doubt      bool // the column is not the same on all terminals
	style      termStyle
	top, end   int // rows of the scroll region
	modes      map[string]bool
	titles     int // on the stack
	title      string
	outside    []byte // text while no program has the screen
	rest       []byte // of a sequence
	fault      string
	joiner     termEmulatorJoiner
	picture    bool // the letter before was one, and the cursor is behind it
	joining    bool // a joiner came behind it
	moves      int  // sequences that moved the cursor
	fullFrames int  // that cleared the screen
}

// termEmulatorJoiner is what a terminal makes of U+200D.
type termEmulatorJoiner int

const (
	termJoinerNone   termEmulatorJoiner = iota // both letters are shown
	termJoinerJoins                            // they are one, as wide as the first
	termJoinerColumn                           // both are shown, with a column between
)

func termEmulatorNew(w, h int) *termEmulator {
	e := &termEmulator{modes: map[string]bool{"?7": true, "?25": true}}
	e.resize(w, h)
	return e
}

// resize makes the screen larger or smaller; what is on it then nobody knows.
func (e *termEmulator) resize(w, h int) {
	e.w, e.h, e.top, e.end, e.x, e.y = w, h, 0, h, 0, 0
	e.cells = slices.Repeat([]termCell{{r: '#', style: styleReverse}}, w*h)
	e.doubt = true
}

func (e *termEmulator) Write(b []byte) (int, error) {
	e.rest = append(e.rest, b...)
	for len(e.rest) > 0 && e.fault == "" {
		n := e.next(e.rest)
		if n == 0 {
			break
		}
		e.rest = e.rest[n:]
	}
	return len(b), nil
}

func (e *termEmulator) wrong(format string, args ...any) int {
	if e.fault == "" {
		e.fault = fmt.Sprintf(format, args...) + fmt.Sprintf(" at column %d, row %d, before %.60q", e.x, e.y, e.rest)
	}
	return len(e.rest)
}

// next takes one letter, control byte or sequence, and gives its length.
func (e *termEmulator) next(b []byte) int {
	switch {
	case b[0] == 0x1b:
		e.picture, e.joining = false, false
		return e.escape(b)
	case !e.modes["?1049"]:
		e.outside = append(e.outside, b[0])
		return 1
	case b[0] == '\r':
		e.x, e.doubt = 0, false
		return 1
	case b[0] == '\n':
		if e.y+1 >= e.end {
			return e.wrong("a line feed at the margin")
		}
		e.y++
		return 1
	case !utf8.FullRune(b):
		return 0
	}
	r, size := utf8.DecodeRune(b)
	e.print(r, size)
	return size
}

// letter gives the cell of the letter before the cursor.
func (e *termEmulator) letter() int {
	i := e.y*e.w + e.x - 1
	if e.cells[i].r == 0 {
		i--
	}
	return i
}

func (e *termEmulator) print(r rune, size int) {
	width, joining := textRuneWidth(r), e.joining
	e.joining = false
	if r == termJoiner {
		if !e.picture {
			e.wrong("a joiner behind no picture")
		}
		e.joining = true
		if e.joiner == termJoinerColumn {
			e.x++
		}
		return
	}
	e.picture = width == 0 && e.picture || termPicture(r)
	if joining && !e.picture {
		e.wrong("a joiner before no picture")
	}
	if joining && e.joiner == termJoinerJoins {
		e.cells[e.letter()].join = true
		return
	}
	if joining && e.joiner == termJoinerColumn && e.x+width > e.w {
		return
	}
	switch {
	case r == utf8.RuneError && size <= 1, r < ' ', r >= 0x7f && r < 0xa0, unicode.Is(unicode.Cf, r), r == 0x2028,
		r == 0x2029, r >= 0xfe00 && r <= 0xfe0f:
		e.wrong("%q is no text", r)
		return
	case e.modes["?7"]:
		e.wrong("text while lines wrap")
		return
	case width == 0:
		if e.x == 0 || e.x == e.w || e.cells[e.letter()].mark != 0 {
			e.wrong("a mark on nothing, or on one that has one")
			return
		}
		e.cells[e.letter()].mark = r
		e.doubt = true
		return
	case e.doubt && !joining:
		e.wrong("text in a column that is in doubt")
		return
	case e.x+width > e.w:
		e.wrong("text beyond the edge")
		return
	}
	row := e.cells[e.y*e.w : (e.y+1)*e.w]
	if row[e.x].r == 0 {
		row[e.x-1].r = ' '
	}
	if last := e.x + width; last < e.w && row[last].r == 0 {
		row[last].r = ' '
	}
	row[e.x] = termSeen(termCell{r: r, style: e.style, join: joining})
	if width == 2 {
		row[e.x+1] = termCell{style: e.style}
	}
	e.x += width
	e.doubt = r > 0xff || e.x == e.w
}

// termSeen gives a cell as it looks: on a blank no style shows that is of letters.
func termSeen(c termCell) termCell {
	if c.r == ' ' && c.style&(styleUnderline|styleReverse) == 0 {
		c.style = 0
	}
	return c
}

func (e *termEmulator) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] == ']' {
		end := bytes.IndexByte(b, '\a')
		if end < 0 {
			return 0
		}
		title, ok := strings.CutPrefix(string(b[2:end]), "2;")
		if !ok || strings.ContainsFunc(title, unicode.IsControl) {
			return e.wrong("unknown OSC %q", b[:end])
		}
		e.title = title
		return end + 1
	}
	if b[1] != '[' {
		return e.wrong("unknown sequence %q", b[:2])
	}
	end := 2
	for end < len(b) && (b[end] < 0x40 || b[end] > 0x7e) {
		if b[end] < 0x30 {
			return e.wrong("unknown sequence %q", b[:end+1])
		}
		end++
	}
	if end == len(b) {
		return 0
	}
	params, final := string(b[2:end]), b[end]
	switch {
	case final == 'h' || final == 'l':
		e.mode(params, final == 'h')
	case final == 't' && params == "22;0":
		e.titles++
	case final == 't' && params == "23;0":
		e.titles--
		if e.titles < 0 {
			e.wrong("no title on the stack")
		}
	case !e.modes["?1049"]:
		e.wrong("sequence %q before the screen is ours", b[:end+1])
	case final == 'm':
		e.sgr(params)
	default:
		e.control(params, final)
	}
	return end + 1
}

func (e *termEmulator) mode(name string, on bool) {
	switch {
	case !slices.Contains([]string{"?1049", "?7", "?2004", "?25", "?2026"}, name):
		e.wrong("unknown mode %q", name)
	case name == "?2026" && on && e.modes[name]:
		e.wrong("a frame in a frame")
	}
	e.modes[name] = on
}

func (e *termEmulator) sgr(params string) {
	style, was := termStyle(0), e.style
	for i, field := range strings.Split(params, ";") {
		n, _ := strconv.Atoi(field)
		switch {
		case i == 0 && field == "0":
		case i > 0 && strings.Contains("1247", field) && len(field) == 1:
			style |= map[int]termStyle{1: styleBold, 2: styleDim, 4: styleUnderline, 7: styleReverse}[n]
		case i > 0 && n >= 30 && n <= 37 && style&styleColor == 0:
			style |= termStyle(n-30) + styleBlack
		default:
			e.wrong("unknown SGR %q", params)
		}
	}
	if style == was && style != 0 {
		e.wrong("SGR %q changes nothing", params)
	}
	e.style = style
}

// control takes the sequences that move the cursor and erase.
func (e *termEmulator) control(params string, final byte) {
	var n []int
	for field := range strings.SplitSeq(params, ";") {
		number := 1
		if field != "" {
			number, _ = strconv.Atoi(field)
		}
		if field == "1" && final != 'r' || field != "" && strconv.Itoa(number) != field || number < 1 {
			e.wrong("%q%c is no sequence of ours", params, final)
			return
		}
		n = append(n, number)
	}
	if final != 'H' && final != 'r' && final != 'C' && e.style != 0 {
		e.wrong("%c erases in a style", final)
	}
	switch {
	case final == 'H' && len(n) <= 2:
		y, x := n[0]-1, append(n, 1)[1]-1
		if y >= e.h || x >= e.w {
			e.wrong("a move to %d, %d", x, y)
		} else if x == e.x && y == e.y && !e.doubt {
			e.wrong("a move to where the cursor is")
		}
		e.x, e.y, e.doubt = x, y, false
		e.moves++
	case final == 'C' && len(n) == 1:
		e.x += n[0]
		if e.x >= e.w || e.doubt {
			e.wrong("a move by %d, in doubt: %t", n[0], e.doubt)
		}
		e.moves++
	case final == 'K' && params == "" && !e.doubt:
		e.erase(e.y*e.w+e.x, (e.y+1)*e.w)
	case final == 'J' && params == "2":
		e.erase(0, len(e.cells))
		e.fullFrames++
	case final == 'J' && params == "" && e.x == 0 && e.y == 0:
		e.erase(0, len(e.cells))
	case final == 'r' && (params == "" || len(n) == 2 && n[0] < n[1] && n[1] <= e.h):
		e.top, e.end = 0, e.h
		if params != "" {
			e.top, e.end = n[0]-1, n[1]
		}
		e.x, e.y, e.doubt = 0, 0, false
	case (final == 'M' || final == 'L') && len(n) == 1 && e.y >= e.top && e.y+n[0] <= e.end && !e.doubt:
		band := e.cells[e.y*e.w : e.end*e.w]
		if final == 'M' {
			copy(band, band[n[0]*e.w:])
			e.erase((e.end-n[0])*e.w, e.end*e.w)
		} else {
			copy(band[n[0]*e.w:], band)
			e.erase(e.y*e.w, (e.y+n[0])*e.w)
		}
		e.doubt = true // some put the cursor into the first column
	default:
		e.wrong("unknown sequence %q%c", params, final)
	}
}

func (e *termEmulator) erase(from, to int) {
	if e.cells[from].r == 0 && from%e.w > 0 {
		e.cells[from-1].r = ' '
	}
	for i := from; i < to; i++ {
		e.cells[i] = termBlank
	}
}

// frame writes a whole frame, and sees that it is one.
func (e *termEmulator) frame(b []byte) {
	e.Write(b)
	if e.fault == "" && (len(e.rest) > 0 || e.modes["?2026"] || e.top != 0 || e.end != e.h) {
		e.wrong("a frame that is not over: %v, rows %d to %d", e.modes, e.top, e.end)
	}
}

// lines gives the rows as text, without the blanks at their ends.
func (e *termEmulator) lines() []string {
	lines := make([]string, e.h)
	for y := range lines {
		var b strings.Builder
		for _, c := range e.cells[y*e.w : (y+1)*e.w] {
			for _, r := range []rune{c.r, c.mark} {
				if r != 0 {
					b.WriteRune(r)
				}
			}
		}
		lines[y] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// given says what of the terminal was not given back as it was: empty when all was.
func (e *termEmulator) given() string {
	var left []string
	for _, mode := range sortedKeys(e.modes) {
		if on := e.modes[mode]; on != (mode == "?7" || mode == "?25") {
			left = append(left, fmt.Sprintf("mode %s is %t", mode, on))
		}
	}
	if e.titles != 0 {
		left = append(left, fmt.Sprintf("%d titles are on the stack", e.titles))
	}
	if e.fault != "" {
		left = append(left, e.fault)
	}
	return strings.Join(left, ", ")
}
