//go:build !noui

// view_table.go: a table that scrolls, and the frame around every screen: header, status row, key row.

package main

import "strings"

// viewColumn is one column of a table.
type viewColumn struct {
	head      string
	width     int // in cells
	grow      int // share of the room that is left; 0: none
	right     bool
	minScreen int // shown on screens of so many columns and more
}

// viewCell is what one column shows of one row: a text, or several with a style each.
type viewCell struct {
	text  string
	style termStyle
	parts []viewCell
	rest  bool // the last of a row: it takes the rest of the row, in place of the columns behind
}

// viewRowMark is what stands in column 0 of a row that is not selected.
type viewRowMark struct {
	mark  string
	style termStyle
}

// viewTable is a table that shows the rows around the selected one.
type viewTable struct {
	cols     []viewColumn
	n        int
	selected int
	top      int // first row shown; draw keeps the selected one on the screen
	empty    string
	row      func(i int) (viewRowMark, []viewCell) // a cell for each of cols, or for the first of them
}

// viewMarkWidth is the room for the marks in front of each row.
const viewMarkWidth = 3

// draw shows the head and the rows that fit below it, and parks the cursor on the selected row. It gives the number of
// rows that there is room for.
func (t *viewTable) draw(g *termGrid, a viewArea) int {
	shown, widths := t.layout(a.w, g.w)
	x := a.x + viewMarkWidth
	for i, c := range shown {
		x = viewPut(g, x, a.y, widths[i], &t.cols[c], viewCell{text: t.cols[c].head, style: styleBold}) + 1
	}
	room := max(a.h-1, 0)
	t.top = viewScroll(t.top, t.selected, t.n, room)
	if t.n == 0 && room > 0 {
		for i, line := range viewFold(t.empty, max(a.w-viewMarkWidth, 1)) {
			if i < room {
				g.putTo(a.x+viewMarkWidth, a.y+1+i, a.x+a.w, styleDim, line)
			}
		}
	}
	for y := 0; y < room && t.top+y < t.n; y++ {
		i, row := t.top+y, a.y+1+y
		mark, cells := t.row(i)
		g.putTo(a.x, row, a.x+a.w, mark.style, mark.mark)
		x := a.x + viewMarkWidth
		for k, c := range shown {
			if last := len(cells) - 1; c >= last && last >= 0 && cells[last].rest {
				g.cell(x, row, a.x+a.w-x, cells[last].style, cells[last].text)
				break
			}
			if c < len(cells) {
				x = viewPut(g, x, row, widths[k], &t.cols[c], cells[c]) + 1
			}
		}
		if i == t.selected {
			viewSelect(g, viewArea{a.x, row, a.w, 1})
		}
	}
	return room
}

// viewSelect marks a row as the selected one: for eyes, and by the cursor for screen readers.
func viewSelect(g *termGrid, row viewArea) {
	g.put(row.x, row.y, 0, ">")
	g.restyle(row.x, row.y, row.w, styleReverse)
	g.cursorX, g.cursorY = row.x, row.y
}

// viewPut draws one cell of a table.
func viewPut(g *termGrid, x, y, width int, c *viewColumn, cell viewCell) int {
	switch {
	case cell.parts != nil:
		at := x
		for _, part := range cell.parts {
			at = g.putTo(at, y, x+width, part.style, part.text)
		}
		return x + width
	case c.right:
		return g.right(x, y, width, cell.style, cell.text)
	}
	return g.cell(x, y, width, cell.style, cell.text)
}

// layout gives the columns that are shown, and their widths. Columns that grow share the room that is left.
func (t *viewTable) layout(width, screen int) (shown, widths []int) {
	left, shares := width-viewMarkWidth+1, 0
	for i := range t.cols {
		if c := &t.cols[i]; c.minScreen <= screen {
			shown = append(shown, i)
			left -= c.width + 1
			shares += c.grow
		}
	}
	for _, i := range shown {
		w := t.cols[i].width
		if grow := t.cols[i].grow; grow > 0 {
			more := left * grow / shares
			w, left, shares = max(w+more, 1), left-more, shares-grow
		}
		widths = append(widths, w)
	}
	return shown, widths
}

// viewScroll gives the first row to show of n, so that the selected one is among room rows, with as little change as
// possible.
func viewScroll(top, selected, n, room int) int {
	top = min(top, selected)
	top = max(top, selected-room+1)
	return max(min(top, n-room), 0)
}

// viewHeader is the first row of every screen.
type viewHeader struct {
	site   string
	crumbs []string
	// The sums at the right: parts with two blanks between. Where there is no room, the first of them go.
	counts string
	link   string // LIVE, STALE since ..., FROZEN
	bad    bool   // link says something that must be seen
}

// draw fills row 0.
func (h *viewHeader) draw(g *termGrid) {
	g.fill(0, 0, g.w, styleReverse)
	style := styleReverse
	if h.bad {
		style |= styleBold
	}
	from := g.w - 1 - textWidth(h.link)
	g.put(from, 0, style, h.link)
	title, counts := strings.TrimSpace("cdktr "+h.site)+"  "+strings.Join(h.crumbs, "  "), h.counts
	for counts != "" && 1+textWidth(title)+2+textWidth(counts)+2 > from {
		_, counts, _ = strings.Cut(counts, "  ")
	}
	end := from - 2
	if counts != "" {
		end -= textWidth(counts) + 2
		g.put(end+2, 0, styleReverse, counts)
	}
	g.putTo(1, 0, max(end, 1), styleReverse, textCut(title, max(end-1, 0)))
}

// viewKey is a key as the last row shows it.
type viewKey struct{ key, what string }

// viewKeys draws the row of keys: as many as fit, in order, and always the last two, the way out and the help.
func viewKeys(g *termGrid, y int, keys []viewKey) {
	if len(keys) == 0 {
		return
	}
	size := func(k viewKey) int { return textWidth(k.key) + 1 + textWidth(k.what) + 2 }
	last := keys[max(len(keys)-2, 0):]
	room := g.w - 1
	for _, k := range last {
		room -= size(k)
	}
	x := 1
	draw := func(k viewKey) {
		x = g.put(x, y, styleBold, k.key)
		x = g.put(x+1, y, 0, k.what) + 2
	}
	for _, k := range keys[:len(keys)-len(last)] {
		if x+size(k) > room+2 {
			break
		}
		draw(k)
	}
	for _, k := range last {
		draw(k)
	}
}
