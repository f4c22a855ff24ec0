// view_pen.go: drawing within one area of the screen. Whatever is written through a pen ends at the edges of its area,
// so that a screen need not count columns twice.

package main

// viewPen writes into an area of a grid, with places counted from the area's upper left corner.
type viewPen struct {
	g *termGrid
	viewArea
}

// part gives a pen for a part of the area, cut where it would leave it.
func (p viewPen) part(x, y, w, h int) viewPen {
	x, y = min(max(x, 0), max(p.w, 0)), min(max(y, 0), max(p.h, 0))
	w, h = min(max(w, 0), p.w-x), min(max(h, 0), p.h-y)
	return viewPen{p.g, viewArea{p.x + x, p.y + y, max(w, 0), max(h, 0)}}
}

// room gives how many of w cells from x on in row y are within the area.
func (p viewPen) room(x, y, w int) int {
	if x < 0 || y < 0 || y >= p.h {
		return 0
	}
	return max(min(w, p.w-x), 0)
}

// put writes text from x on, as far as the area goes, and gives the column behind it.
func (p viewPen) put(x, y int, style termStyle, s string) int {
	if p.room(x, y, 1) == 0 {
		return x
	}
	return p.g.putTo(p.x+x, p.y+y, p.x+p.w, style, s) - p.x
}

// cell is the grid's: w columns of text, cut with a mark or filled with blanks. It gives the column behind them.
func (p viewPen) cell(x, y, w int, style termStyle, s string) int {
	if w = p.room(x, y, w); w > 0 {
		p.g.cell(p.x+x, p.y+y, w, style, s)
	}
	return x + w
}

// right is cell with the text at the right edge.
func (p viewPen) right(x, y, w int, style termStyle, s string) int {
	if w = p.room(x, y, w); w > 0 {
		p.g.right(p.x+x, p.y+y, w, style, s)
	}
	return x + w
}

// line fills w cells with one letter of ASCII.
func (p viewPen) line(x, y, w int, style termStyle, letter rune) {
	for end := x + p.room(x, y, w); x < end; x++ {
		p.g.set(p.x+x, p.y+y, letter, 1, style)
	}
}

// restyle adds attributes to w cells.
func (p viewPen) restyle(x, y, w int, style termStyle) {
	if w = p.room(x, y, w); w > 0 {
		p.g.restyle(p.x+x, p.y+y, w, style)
	}
}

// clear makes the whole area blank.
func (p viewPen) clear() {
	for y := range max(p.h, 0) {
		p.line(0, y, p.w, 0, ' ')
	}
}

// park puts the terminal's cursor at the start of row y, where the selected row has its mark.
func (p viewPen) park(y int) {
	if p.room(0, y, 1) > 0 {
		p.g.cursorX, p.g.cursorY = p.x, p.y+y
	}
}
