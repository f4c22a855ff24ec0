// term_grid.go: the cells of a screen, and putTo, through which all text gets into them. It makes harmless whatever
// comes from outside, in one place.

package main

import (
	"unicode"
	"unicode/utf8"
)

// termStyle is how a cell looks: one of the eight colours that every terminal has, or none, and any attributes.
type termStyle uint16

// The colours, from 1 on, in the order of their SGR numbers 30 to 37.
const (
	styleBlack termStyle = iota + 1
	styleRed
	styleGreen
	styleYellow
	styleBlue
	styleMagenta
	styleCyan
	styleWhite

	styleColor termStyle = 0xf // the bits of the colour

	styleBold      termStyle = 1 << 4
	styleDim       termStyle = 1 << 5
	styleUnderline termStyle = 1 << 6
	styleReverse   termStyle = 1 << 7
)

// termCell is one place of the screen. The right half of a wide letter has no rune of its own.
type termCell struct {
	r     rune // 0: the right half of the letter to the left
	mark  rune // a combining mark on it, 0: none
	style termStyle
	join  bool // joined with the letter before it: see termPainter.joined
}

var termBlank = termCell{r: ' '}

// termGrid is a screen to show. One goroutine uses it at a time.
type termGrid struct {
	w, h             int
	cells            []termCell // row by row
	cursorX, cursorY int        // where to park the terminal's cursor, for screen readers and magnifiers
}

// termGridNew makes an empty screen.
func termGridNew(w, h int) *termGrid {
	g := &termGrid{w: w, h: h, cells: make([]termCell, w*h)}
	g.clear()
	return g
}

// clear makes every cell blank.
func (g *termGrid) clear() {
	for i := range g.cells {
		g.cells[i] = termBlank
	}
	g.cursorX, g.cursorY = 0, 0
}

// put writes text from column x on into row y, up to the edge of the grid, and gives the column behind it. Control
// characters, bidi and other invisible controls, and what is not UTF-8 never get into a cell: see termRune.
func (g *termGrid) put(x, y int, style termStyle, s string) int { return g.putTo(x, y, g.w, style, s) }

// putTo is put, and ends before column end.
func (g *termGrid) putTo(x, y, end int, style termStyle, s string) int {
	if y < 0 || y >= g.h {
		return x
	}
	end = min(end, g.w)
	from := x
	before, joins := rune(0), false // the letter before, if it is in the grid; whether a joiner came after it
	for i := 0; i < len(s); {
		read, size := utf8.DecodeRuneInString(s[i:])
		i += size
		joins = joins || read == termJoiner
		r, width := termRune(read, size)
		switch {
		case r == 0:
			continue
		case width == 0:
			if x > from { // else it would lie on a letter of another text
				g.mark(x, y, r)
			}
			continue
		case x+width > end:
			return x
		}
		g.set(x, y, r, width, style)
		if joins && termPicture(before) && termPicture(r) {
			g.cells[y*g.w+x].join = true
		}
		before, joins = 0, false
		if x >= 0 {
			before = r
		}
		x += width
	}
	return x
}

// mark lays a combining mark on the letter before column x. A cell keeps one mark. The last letter of a row gets none:
// there, some terminals (tmux) lay it on the letter before.
func (g *termGrid) mark(x, y int, mark rune) {
	if x >= g.w {
		return
	}
	for x--; x >= 0; x-- {
		if c := &g.cells[y*g.w+x]; c.r != 0 {
			if c.mark == 0 && c.r > ' ' {
				c.mark = mark
			}
			return
		}
	}
}

// set writes one letter. If it covers one half of a wide letter, the other half becomes a blank.
func (g *termGrid) set(x, y int, r rune, width int, style termStyle) {
	if x < 0 {
		return
	}
	row := g.cells[y*g.w : (y+1)*g.w]
	if row[x].r == 0 && x > 0 {
		row[x-1].r, row[x-1].mark, row[x-1].join = ' ', 0, false
	}
	next := x + width
	if next < g.w && row[next].r == 0 {
		row[next].r = ' '
		next++
	}
	if next < g.w {
		row[next].join = false // the letter that it was joined with is gone
	}
	row[x] = termCell{r: r, style: style}
	if width == 2 {
		row[x+1] = termCell{style: style}
	}
}

// cell writes text into the w columns from x on, cut with a mark if it is too long, and fills the rest with blanks of
// the same style. It gives the column behind them.
func (g *termGrid) cell(x, y, w int, style termStyle, s string) int {
	end := g.putTo(x, y, x+w, style, textCut(s, w))
	g.fill(end, y, x+w-end, style)
	return x + w
}

// right is cell with the text at the right end of its columns.
func (g *termGrid) right(x, y, w int, style termStyle, s string) int {
	s = textCut(s, w)
	from := x + w - textWidth(s)
	g.fill(x, y, from-x, style)
	g.putTo(from, y, x+w, style, s)
	return x + w
}

// fill makes w cells from x on blanks of a style.
func (g *termGrid) fill(x, y, w int, style termStyle) {
	if y < 0 || y >= g.h {
		return
	}
	for end := min(x+w, g.w); x < end; x++ {
		g.set(x, y, ' ', 1, style)
	}
}

// restyle adds attributes to the w cells from x on, as for a selected row or a found word.
func (g *termGrid) restyle(x, y, w int, style termStyle) {
	if y < 0 || y >= g.h {
		return
	}
	for end := min(x+w, g.w); x < end; x++ {
		if x >= 0 {
			g.cells[y*g.w+x].style |= style
		}
	}
}

// termRune gives what a cell may hold for a rune that was decoded from size bytes, and its width in columns. 0 means
// nothing: invisible controls, such as those of bidi, and variation selectors are dropped. Control characters of 7 and
// 8 bits and broken UTF-8 become U+FFFD. A tab becomes a blank.
func termRune(r rune, size int) (rune, int) {
	switch {
	case r >= 0x20 && r < 0x7f:
		return r, 1
	case r == '\t':
		return ' ', 1
	case r < 0xa0, r == utf8.RuneError && size <= 1, r == 0x2028, r == 0x2029:
		return utf8.RuneError, 1
	case r == 0xad, r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef, unicode.Is(unicode.Cf, r):
		return 0, 0
	}
	return r, textRuneWidth(r)
}
