// term_paint.go: the bytes that turn what the terminal shows into what it should show. What stays the same is not sent:
// over a slow line, bytes are time.

package main

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	termSyncBegin = "\x1b[?2026h" // a terminal that knows it shows what follows up to the end at once
	termSyncEnd   = "\x1b[?2026l"

	termBridge     = 4  // right cells that are written again, because moving over them takes as many bytes
	termBandRows   = 4  // rows that move together, at the least, for a scroll
	termBandShift  = 3  // rows that a scroll moves them, at the most
	termBandCost   = 30 // bytes of the sequences of a scroll, at the most
	termMoveCost   = 7  // bytes of a move to a cell, in most cases
	termEraseCells = 4  // blanks at the end of a row, from which erasing is shorter than writing them
)

// termPainter knows what a terminal shows. The terminal must not wrap lines, nor process its output (raw mode). One
// goroutine uses it.
type termPainter struct {
	noColor bool // attributes only, no colours
	ascii   bool // what is above 0x7e is shown as ?
	plain   bool // a terminal without synchronized output

	w, h             int
	cells            []termCell // what the terminal shows; nil: not known
	cursorX, cursorY int        // where g had its cursor in the last frame
	x, y             int        // where the terminal's cursor is; x is -1 when only the row is known
	style            termStyle  // what the terminal writes in
	out              []byte
}

// forget says that nobody knows what the terminal shows, so that the next frame is a whole one.
func (p *termPainter) forget() { p.cells = nil }

// frame gives the bytes that make the terminal show g, nil when it does already. They are valid until the next call.
func (p *termPainter) frame(g *termGrid) []byte {
	whole := p.cells == nil || p.w != g.w || p.h != g.h
	cursorStays := p.cursorX == g.cursorX && p.cursorY == g.cursorY
	same := !whole && cursorStays && slices.Equal(p.cells, g.cells)
	if same || len(g.cells) == 0 {
		return nil
	}
	p.out = p.out[:0]
	if !p.plain {
		p.out = append(p.out, termSyncBegin...)
	}
	if whole {
		p.w, p.h = g.w, g.h
		p.cells = slices.Repeat([]termCell{termBlank}, g.w*g.h)
		p.out = append(p.out, "\x1b[0m\x1b[r\x1b[2J"...) // an end of the scroll region moves the cursor home
		p.x, p.y, p.style = 0, 0, 0
	} else {
		p.scroll(g)
	}
	for y := range p.h {
		p.row(g, y)
	}
	copy(p.cells, g.cells)
	p.cursorX, p.cursorY = g.cursorX, g.cursorY
	p.move(min(max(g.cursorX, 0), g.w-1), min(max(g.cursorY, 0), g.h-1))
	if !p.plain {
		p.out = append(p.out, termSyncEnd...)
	}
	return p.out
}

// row writes what has changed in row y, and erases its end if that has become blank.
func (p *termPainter) row(g *termGrid, y int) {
	now, was := g.cells[y*g.w:(y+1)*g.w], p.cells[y*g.w:(y+1)*g.w]
	blank := len(now) // from here on everything should be blank
	for blank > 0 && now[blank-1].bare() {
		blank--
	}
	// A changed row with joiners is written whole: only the terminal knows what it made of them.
	anew := (termJoins(now) || termJoins(was)) && !slices.Equal(now, was)
	for x := 0; x < len(now); x++ {
		if !anew && now[x].like(was[x]) {
			continue
		}
		if x >= blank && (anew || termChanged(now[x:], was[x:]) >= termEraseCells) {
			p.move(x, y)
			p.look(0)
			p.out = append(p.out, "\x1b[K"...)
			return
		}
		if now[x].r == 0 && x > 0 { // the right half of a letter, which comes with the left one
			x--
		}
		p.bridge(now, x, y)
		if n := p.joined(now[x:]); n > 0 {
			p.writeJoined(now[x : x+n])
			x += n - 1
			continue
		}
		p.write(now[x])
		if x+1 < len(now) && now[x+1].r == 0 {
			x++
		}
	}
}

// termJoins says whether a row has joined letters.
func termJoins(row []termCell) bool {
	return slices.ContainsFunc(row, func(c termCell) bool { return c.join })
}

// joined gives how many cells the joined letters at the start take, 0 when there is only one letter. Letters of several
// styles are written one by one, and so are all on a terminal that may not know joiners.
func (p *termPainter) joined(cells []termCell) (n int) {
	letters := 0
	for n < len(cells) && (n == 0 || cells[n].join && cells[n].style == cells[0].style) {
		n, letters = n+textRuneWidth(cells[n].r), letters+1
	}
	if letters < 2 || p.ascii || p.plain {
		return 0
	}
	return n
}

// writeJoined writes joined letters. In the grid they take the columns of all of them, but a terminal that joins them
// uses only two. So it makes these columns blank first, and what follows is in its place whatever the terminal does.
func (p *termPainter) writeJoined(cells []termCell) {
	x := p.x
	for range cells {
		p.write(termCell{r: ' ', style: cells[0].style})
	}
	p.move(x, p.y)
	p.look(cells[0].style) // the blanks may have another
	for i, c := range cells {
		if c.r == 0 {
			continue
		}
		if i > 0 {
			p.out = utf8.AppendRune(p.out, termJoiner)
		}
		p.out = utf8.AppendRune(p.out, c.r)
		if c.mark != 0 {
			p.out = utf8.AppendRune(p.out, c.mark)
		}
	}
	p.x = -1
}

// bridge moves to column x of a row. It goes over a few right cells by writing them again, and to the row below by way
// of its start, because that takes no more bytes than to name row and column.
func (p *termPainter) bridge(now []termCell, x, y int) {
	if p.y+1 == y {
		p.move(0, y)
	}
	short := p.x >= 0 && p.x < x && x-p.x <= termBridge
	if p.y == y && short {
		same := true
		for _, c := range now[p.x:x] {
			same = same && c.r >= ' ' && !c.doubtful() && p.fits(c)
		}
		for same && p.x < x {
			p.write(now[p.x])
		}
	}
	p.move(x, y)
}

// move brings the terminal's cursor to a cell, in the fewest bytes.
func (p *termPainter) move(x, y int) {
	switch {
	case p.y == y && p.x == x:
		return
	case p.y == y && x == 0:
		p.out = append(p.out, '\r')
	case p.y == y && p.x >= 0 && p.x < x:
		p.sequence(x-p.x, 'C')
	case p.y+1 == y && x == 0:
		p.out = append(p.out, '\r', '\n')
	case x == 0:
		p.sequence(y+1, 'H')
	default:
		p.out = append(p.out, "\x1b["...)
		if y > 0 {
			p.out = strconv.AppendInt(p.out, int64(y+1), 10)
		}
		p.out = append(p.out, ';')
		p.out = strconv.AppendInt(p.out, int64(x+1), 10)
		p.out = append(p.out, 'H')
	}
	p.x, p.y = x, y
}

// sequence writes a control sequence with one number, which is left out when it is 1.
func (p *termPainter) sequence(n int, final byte) {
	p.out = append(p.out, "\x1b["...)
	if n != 1 {
		p.out = strconv.AppendInt(p.out, int64(n), 10)
	}
	p.out = append(p.out, final)
}

// write writes a cell where the terminal's cursor is.
func (p *termPainter) write(c termCell) {
	if !p.fits(c) {
		p.look(c.style)
	}
	width := textRuneWidth(c.r)
	switch {
	case !p.ascii:
		p.out = utf8.AppendRune(p.out, c.r)
		if c.mark != 0 {
			p.out = utf8.AppendRune(p.out, c.mark)
		}
	case c.r > 0x7e:
		p.out = append(p.out, "??"[:width]...)
	default:
		p.out = append(p.out, byte(c.r))
	}
	p.x += width // behind the last column there is none, and no move begins there
	if c.doubtful() && !p.ascii {
		p.x = -1
	}
}

// bare says whether a cell is a blank that shows no style: only letters show colour and weight.
func (c termCell) bare() bool { return c.r == ' ' && c.style&(styleUnderline|styleReverse) == 0 }

// like says whether two cells look the same.
func (c termCell) like(other termCell) bool { return c == other || c.bare() && other.bare() }

// fits says whether a cell may be written in the present style of the terminal.
func (p *termPainter) fits(c termCell) bool {
	return p.shown(c.style) == p.style || c.bare() && p.style&(styleUnderline|styleReverse) == 0
}

// doubtful says whether terminals may differ on how wide a cell is.
func (c termCell) doubtful() bool { return c.r > 0xff || c.mark != 0 }

// shown gives the part of a style that this terminal gets.
func (p *termPainter) shown(style termStyle) termStyle {
	if p.noColor {
		return style &^ styleColor
	}
	return style
}

// look makes the terminal write in a style.
func (p *termPainter) look(style termStyle) {
	style = p.shown(style)
	if style == p.style {
		return
	}
	p.style = style
	p.out = append(p.out, "\x1b[0"...)
	for _, a := range [...]struct {
		bit    termStyle
		number byte
	}{{styleBold, '1'}, {styleDim, '2'}, {styleUnderline, '4'}, {styleReverse, '7'}} {
		if style&a.bit != 0 {
			p.out = append(p.out, ';', a.number)
		}
	}
	if color := style & styleColor; color != 0 {
		p.out = append(p.out, ';', '3', '0'+byte(color-styleBlack))
	}
	p.out = append(p.out, 'm')
}

// termChanged counts the cells of a that differ from b.
func termChanged(a, b []termCell) (n int) {
	for i := range a {
		if !a[i].like(b[i]) {
			n++
		}
	}
	return n
}

// termCost estimates the bytes that turn b into a: the cells that changed, and the moves to them.
func termCost(a, b []termCell) (n int) {
	same := termBridge + 1
	for i := range a {
		if a[i].like(b[i]) {
			same++
			continue
		}
		if same > termBridge {
			same = termMoveCost
		}
		n, same = n+same+1, 0
	}
	return n
}

// scroll looks for bands of rows that are on the screen already, a little further up or down, as when a log goes on or
// a list scrolls. It moves the band that saves most.
func (p *termPainter) scroll(g *termGrid) {
	row := func(cells []termCell, y int) []termCell { return cells[y*g.w : (y+1)*g.w] }
	best, bestShift, bestTop, bestEnd := termBandCost, 0, 0, 0
	for shift := -termBandShift; shift <= termBandShift; shift++ {
		end := g.h - max(0, shift)
		for y := max(0, -shift); shift != 0 && y < end; y++ {
			first := y // the terminal shows the rows from here to y already, shift rows further down
			for y < end && slices.Equal(row(g.cells, y), row(p.cells, y+shift)) {
				y++
			}
			if y-first < termBandRows {
				continue
			}
			top, bottom := min(first, first+shift), max(y, y+shift)
			saved := termCost(g.cells[top*g.w:bottom*g.w], p.cells[top*g.w:bottom*g.w])
			for fresh := top; fresh < bottom; fresh++ { // rows that the scroll leaves blank
				if fresh < first || fresh >= y {
					cells := 0
					for _, c := range row(g.cells, fresh) {
						if !c.bare() {
							cells++
						}
					}
					if cells > 0 {
						saved -= termMoveCost + cells
					}
				}
			}
			if saved > best {
				best, bestShift, bestTop, bestEnd = saved, shift, top, bottom
			}
		}
	}
	if bestShift != 0 {
		p.scrollBand(bestTop, bestEnd, bestShift)
	}
}

// scrollBand moves the rows from top to end up by shift, or down where shift is negative. It deletes and inserts lines,
// which every terminal since the VT102 knows, unlike the sequences that scroll.
func (p *termPainter) scrollBand(top, end, shift int) {
	p.look(0) // new rows are blank, in the present style
	p.out = append(p.out, "\x1b["...)
	p.out = strconv.AppendInt(p.out, int64(top+1), 10)
	p.out = append(p.out, ';')
	p.out = strconv.AppendInt(p.out, int64(end), 10)
	p.out = append(p.out, 'r')
	p.x, p.y = 0, 0
	p.move(0, top)
	band := p.cells[top*p.w : end*p.w]
	cut := max(shift, -shift) * p.w
	if shift > 0 {
		p.sequence(shift, 'M')
		copy(band, band[cut:])
		band = band[len(band)-cut:]
	} else {
		p.sequence(-shift, 'L')
		copy(band[cut:], band)
		band = band[:cut]
	}
	for i := range band {
		band[i] = termBlank
	}
	p.out = append(p.out, "\x1b[r"...)
	p.x, p.y = 0, 0
}
