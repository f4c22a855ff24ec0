// term_paint.go: from a screen as it should be to the bytes that make it of the screen as it is. What is the same is
// not sent: over a slow line the bytes are the time.

package main

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	termSyncBegin = "\x1b[?2026h" // a terminal that knows it shows what follows at once, and no half of it
	termSyncEnd   = "\x1b[?2026l"

	termBridge     = 4  // cells that are as they should be and are written again, because a move is no shorter
	termBandRows   = 4  // rows that move together are scrolled, when there are so many
	termBandShift  = 3  // by so many rows at most
	termBandCost   = 30 // bytes that the sequences of a scroll take, at most
	termMoveCost   = 7  // bytes that a move to a cell takes, most often
	termEraseCells = 4  // from so many blanks at the end of a row on, erasing is shorter than writing them
)

// termPainter knows what a terminal shows. The terminal does not wrap lines, and its output is not processed (raw
// mode). One goroutine uses it.
type termPainter struct {
	noColor bool // attributes, but none of the colours
	ascii   bool // what is above 0x7e is shown as ?
	plain   bool // a terminal that does not know of synchronized output

	w, h             int
	cells            []termCell // what the terminal shows; nil: nobody knows
	cursorX, cursorY int        // where g had its cursor in the last frame
	x, y             int        // where the terminal's cursor is; x -1: in row y, but who knows where
	style            termStyle  // what the terminal writes in
	out              []byte
}

// forget says that nobody knows what the terminal shows: the next frame is a whole one.
func (p *termPainter) forget() { p.cells = nil }

// frame gives the bytes that make the terminal show g, nil when it does already. They are good until the next call.
func (p *termPainter) frame(g *termGrid) []byte {
	whole := p.cells == nil || p.w != g.w || p.h != g.h
	cursorStays := p.cursorX == g.cursorX && p.cursorY == g.cursorY
	if len(g.cells) == 0 || !whole && cursorStays && slices.Equal(p.cells, g.cells) {
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

// row writes what has changed in row y, and erases its end where that has become blank.
func (p *termPainter) row(g *termGrid, y int) {
	now, was := g.cells[y*g.w:(y+1)*g.w], p.cells[y*g.w:(y+1)*g.w]
	blank := len(now) // from here on everything should be blank
	for blank > 0 && now[blank-1].bare() {
		blank--
	}
	// all of it: only the terminal knows what it made of the joiners
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
		if now[x].r == 0 && x > 0 { // the right half of a letter: it comes with the left one
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

// termJoins says whether letters are joined in a row.
func termJoins(row []termCell) bool {
	return slices.ContainsFunc(row, func(c termCell) bool { return c.join })
}

// joined gives how many cells the letters at the start take that are joined, 0 when only one is there. A terminal that
// knows no joined letters, or is not known to, gets them one by one, as are those of several styles.
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

// writeJoined writes joined letters. They have as many columns as all of them have alone, and a terminal that joins
// them needs but two: so those columns are made blank before. Either way what follows is where it should be, and nobody
// need know what the terminal does.
func (p *termPainter) writeJoined(cells []termCell) {
	x := p.x
	for range cells {
		p.write(termCell{r: ' ', style: cells[0].style})
	}
	p.move(x, p.y)
	p.look(cells[0].style) // a blank may be in another
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

// bridge moves to column x of a row, over a few cells by writing them again. To the row below it goes by way of its
// start: that is no longer than to name both row and column.
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
	p.x += width // behind the last column it is no column, and no move begins there
	if c.doubtful() && !p.ascii {
		p.x = -1
	}
}

// bare says that a cell is a blank on which no style shows: colour and weight are those of letters.
func (c termCell) bare() bool { return c.r == ' ' && c.style&(styleUnderline|styleReverse) == 0 }

// like says that two cells look the same.
func (c termCell) like(other termCell) bool { return c == other || c.bare() && other.bare() }

// fits says that a cell may be written in the style that the terminal writes in.
func (p *termPainter) fits(c termCell) bool {
	return p.shown(c.style) == p.style || c.bare() && p.style&(styleUnderline|styleReverse) == 0
}

// doubtful says that terminals are not of one mind on how wide a cell is.
func (c termCell) doubtful() bool { return c.r > 0xff || c.mark != 0 }

// shown gives what of a style this terminal gets.
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

// termCost estimates the bytes that it takes to make a of b: what has changed, and the moves to there.
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

// scroll looks for a band of rows that are on the screen already, a little further up or down, and moves the one that
// saves most: a log that goes on, a list that scrolls.
func (p *termPainter) scroll(g *termGrid) {
	row := func(cells []termCell, y int) []termCell { return cells[y*g.w : (y+1)*g.w] }
	best, bestShift, bestTop, bestEnd := termBandCost, 0, 0, 0
	for shift := -termBandShift; shift <= termBandShift; shift++ {
		end := g.h - max(0, shift)
		for y := max(0, -shift); shift != 0 && y < end; y++ {
			first := y // rows from here to y should be what the terminal shows shift rows below them
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

// scrollBand moves the rows from top to end up by shift, or down where it is negative. Lines are deleted and inserted:
// unlike the sequences that scroll, every terminal since the VT102 knows those.
func (p *termPainter) scrollBand(top, end, shift int) {
	p.look(0) // rows come in blank, in the colour that is set
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
