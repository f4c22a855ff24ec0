//go:build !noui

// view_log_draw.go: a log on the screen: which rows are on it, how a reader moves through them, and how they are drawn.

package main

import (
	"fmt"
)

const (
	viewLogTextMin = 16 // columns of text, at the least: for these, names go first, and then times

	viewLogFound = styleUnderline | styleReverse
)

// move goes n rows down, or up where n is negative. Going up ends following.
func (v *viewLog) move(n int) {
	if n >= 0 && v.follow || len(v.shown) == 0 {
		return
	}
	i, sub := v.start()
	v.stay(v.walk(i, sub, n))
}

// stay ends following, with a row at the top of the screen, or with the last page if the row is on that.
func (v *viewLog) stay(i, sub int) {
	v.follow, v.top = false, viewLogPlace{v.shown[i], sub}
	i, sub = v.start()
	v.top = viewLogPlace{v.shown[i], sub}
}

// page goes n screens down or up, and keeps one row in view.
func (v *viewLog) page(n int) { v.move(n * max(v.h-1, 1)) }

// halfPage goes n halves of a screen down or up.
func (v *viewLog) halfPage(n int) { v.move(n * max(v.h/2, 1)) }

// home goes to the oldest line.
func (v *viewLog) home() { v.follow, v.top = false, viewLogPlace{seq: v.first} }

// end goes to the newest line and follows. While behind is not 0, load the newest lines anew instead: see reset.
func (v *viewLog) end() { v.follow = true }

// toggleFollow follows, or ends that.
func (v *viewLog) toggleFollow() {
	if v.follow && len(v.shown) > 0 {
		v.stay(v.start())
		return
	}
	v.follow = !v.follow
}

// toggleWrap wraps long lines, or cuts them.
func (v *viewLog) toggleWrap() { v.wrap, v.pan, v.top.sub = !v.wrap, 0, 0 }

// panBy moves the lines n columns to the left, or to the right where n is negative, up to the end of the longest one on
// the screen.
func (v *viewLog) panBy(n int) {
	if v.wrap {
		return
	}
	from, _ := v.start()
	most := v.pan
	for _, seq := range v.shown[from:v.bottom()] {
		r := v.row(seq)
		most = max(most, r.cols-v.width(r))
	}
	v.pan = max(min(v.pan+n, most), 0)
}

// atTop says whether the oldest line shown is on the screen, so that older ones are due.
func (v *viewLog) atTop() bool {
	i, sub := v.start()
	return i == 0 && sub == 0
}

// bottom gives the number of lines down to the last one on the screen.
func (v *viewLog) bottom() int {
	if len(v.shown) == 0 {
		return 0
	}
	i, sub := v.start()
	i, _ = v.walk(i, sub, v.h-1)
	return i + 1
}

// start gives the first row of the screen, as an index of shown and a row of that line. The last page is full.
func (v *viewLog) start() (i, sub int) {
	last := len(v.shown) - 1
	if last < 0 {
		return 0, 0
	}
	i, sub = v.walk(last, v.rows(last)-1, 1-v.h)
	if v.follow {
		return i, sub
	}
	at := v.index(v.top.seq)
	if at > i {
		return i, sub
	}
	atSub := 0
	if v.shown[at] == v.top.seq {
		atSub = min(v.top.sub, v.rows(at)-1)
	}
	if at == i {
		return i, min(atSub, sub)
	}
	return at, atSub
}

// walk goes n rows down from a row, or up where n is negative, while there are rows.
func (v *viewLog) walk(i, sub, n int) (int, int) {
	for n > 0 {
		left := v.rows(i) - 1 - sub
		if left >= n {
			return i, sub + n
		}
		if i+1 >= len(v.shown) {
			return i, sub + left
		}
		n -= left + 1
		i, sub = i+1, 0
	}
	for n < 0 {
		if sub >= -n {
			return i, sub + n
		}
		if i == 0 {
			return 0, 0
		}
		n += sub + 1
		i--
		sub = v.rows(i) - 1
	}
	return i, sub
}

// rows gives how many rows the ith of the shown lines takes.
func (v *viewLog) rows(i int) int {
	r := v.row(v.shown[i])
	w := v.width(r)
	switch {
	case !v.wrap || r.cols <= w:
		return 1
	case r.plain():
		return (r.cols + w - 1) / w
	}
	n := 0
	for rest := r.text; rest != ""; n++ {
		rest = rest[viewLogFit(rest, w):]
	}
	return n
}

// viewLogFit gives how many bytes of s fit into w columns: at least one letter, with the marks on it.
func viewLogFit(s string, w int) int {
	for i, r := range s {
		w -= textRuneWidth(r)
		if w < 0 && i > 0 {
			return i
		}
	}
	return len(s)
}

// named says whether the task stands before each line: where lines of several tasks are shown.
func (v *viewLog) named() bool {
	if v.task == "" {
		return len(v.names) > 1
	}
	for name := range v.names {
		if foreachIs(name, v.task) {
			return true
		}
	}
	return false
}

// columns gives the widths of time and task before the text, each with the blank behind it; 0 where it is not shown.
func (v *viewLog) columns() (clock, name int) {
	if v.times && v.w-9 >= viewLogTextMin {
		clock = 9
	}
	if v.named() {
		name = min(v.column, viewLogName) + 1
		if v.w-clock-name < viewLogTextMin {
			name = 0
		}
	}
	return clock, name
}

// width gives the columns for a line's text. A gap has the whole row.
func (v *viewLog) width(r *viewLogRow) int {
	if r.stream == "c" {
		return max(v.w, 1)
	}
	clock, name := v.columns()
	return max(v.w-clock-name, 1)
}

// goTo makes a hit the current one, and moves the screen to it.
func (v *viewLog) goTo(hit viewLogHit) {
	v.hit = hit
	if !v.hitValid() {
		return
	}
	r, i, sub := v.row(hit.seq), v.index(hit.seq), 0
	v.spans = v.search.all(r.text, v.spans[:0])
	span, w := v.spans[hit.nth], v.width(r)
	if v.wrap {
		for at := 0; ; sub++ {
			at += viewLogFit(r.text[at:], w)
			if at > span.from {
				break
			}
		}
	} else if from, to := textWidth(r.text[:span.from]), textWidth(r.text[:span.to]); to < w {
		v.pan = 0
	} else if from <= v.pan || to >= v.pan+w {
		v.pan = max(from-w/3, 0)
	}
	first, firstSub := v.start()
	last, lastSub := v.walk(first, firstSub, v.h-1)
	above := i < first || i == first && sub < firstSub
	below := i > last || i == last && sub > lastSub
	if above || below {
		v.stay(v.walk(i, sub, -v.h/3))
	}
}

// draw shows the log in an area, and parks the cursor at the current hit, or on the last row.
func (v *viewLog) draw(g *termGrid, a viewArea) {
	v.w, v.h = a.w, a.h
	if a.w <= 0 || a.h <= 0 {
		return
	}
	g.cursorX = -1
	y, end, last := a.y, a.y+a.h, a.y
	for i, sub := v.start(); i < len(v.shown) && y < end; i, sub = i+1, 0 {
		nth := -1
		if v.shown[i] == v.hit.seq {
			nth = v.hit.nth
		}
		last = y
		y = v.drawLine(g, viewArea{a.x, y, a.w, end - y}, v.row(v.shown[i]), sub, nth)
	}
	if g.cursorX < 0 {
		g.cursorX, g.cursorY = a.x, last
	}
	for ; y < end; y++ {
		g.fill(a.x, y, a.w, 0)
	}
}

// drawLine shows a line from its row sub on, down to the end of the area, and gives the row below it. nth is the
// current hit, where the cursor is parked, or -1.
func (v *viewLog) drawLine(g *termGrid, a viewArea, r *viewLogRow, sub, nth int) int {
	clock, name := v.columns()
	w, text, style := v.width(r), r.text, termStyle(0)
	x := a.x + a.w - w
	switch r.stream {
	case "c":
		style = styleDim
	case "e":
		style = styleYellow
	}
	if r.open {
		style |= styleDim
	}
	from, lead := 0, 0
	if v.wrap {
		for range sub {
			from += viewLogFit(text[from:], w)
		}
	} else {
		from, lead = viewLogSkip(r, v.pan)
	}
	hits := v.hitsIn(r, from, w*a.h)
	for row := sub; ; row++ {
		to := from + viewLogFit(text[from:], max(w-lead, 1))
		g.fill(a.x, a.y, a.w, 0)
		if row == 0 && r.stream != "c" {
			if clock > 0 && !r.time.IsZero() {
				g.putTo(a.x, a.y, a.x+clock, styleDim, r.time.Local().Format("15:04:05"))
			}
			if name > 0 {
				g.cell(a.x+clock, a.y, name-1, styleDim, r.task)
			}
		}
		v.drawText(g, x+lead, a.y, x+w, r, style, from, to)
		for i, hit := range hits {
			if hit.to <= from || hit.from >= to {
				continue
			}
			found, start := viewLogFound, max(hit.from, from)
			hitX := x + lead + textWidth(text[from:start])
			if i == nth {
				found |= styleBold
				if hit.from >= from {
					g.cursorX, g.cursorY = hitX, a.y
				}
			}
			g.restyle(hitX, a.y, min(textWidth(text[start:min(hit.to, to)]), x+w-hitX), found)
		}
		if !v.wrap && from > 0 {
			g.put(x, a.y, styleReverse, "<")
		}
		if !v.wrap && to < len(text) {
			g.put(x+w-1, a.y, styleReverse, ">")
		}
		a.y, a.h = a.y+1, a.h-1
		from = to
		if !v.wrap || a.h == 0 || from >= len(text) {
			return a.y
		}
	}
}

// drawText writes a stretch of a line, in the task's own colours where they are shown.
func (v *viewLog) drawText(g *termGrid, x, y, end int, r *viewLogRow, style termStyle, from, to int) {
	for from < to {
		look, until := style, to
		if v.colour {
			for _, p := range r.paints {
				if p.start > from {
					until = min(until, p.start)
					break
				}
				look = p.style
			}
		}
		x = g.putTo(x, y, end, look, r.text[from:until])
		from = until
	}
}

// hitsIn finds the hits in a line, up to the end of what the screen can show of it.
func (v *viewLog) hitsIn(r *viewLogRow, from, columns int) []viewSpan {
	if r.hits == 0 {
		return nil
	}
	text := r.text
	if v.search.re == nil && r.plain() {
		text = text[:min(len(text), from+columns+len(v.search.text))]
	}
	v.spans = v.search.all(text, v.spans[:0])
	return v.spans
}

// viewLogSkip gives the byte where a line begins when some columns of it are left of the screen, and how many columns
// stay blank before it because the edge cuts a wide letter.
func viewLogSkip(r *viewLogRow, columns int) (from, lead int) {
	if columns <= 0 {
		return 0, 0
	}
	if r.plain() {
		return min(columns, len(r.text)), 0
	}
	col := 0
	for i, letter := range r.text {
		w := textRuneWidth(letter)
		if col >= columns && w > 0 {
			return i, col - columns
		}
		col += w
	}
	return len(r.text), 0
}

// tail shows the log as a pane of another screen, and leaves the cursor where it is.
func (v *viewLog) tail(g *termGrid, a viewArea) {
	cursorX, cursorY := g.cursorX, g.cursorY
	v.draw(g, a)
	g.cursorX, g.cursorY = cursorX, cursorY
}

// whereText says in a few words where the reader is, and which stream is shown if only one is.
func (v *viewLog) whereText() string {
	text := fmt.Sprintf("%d lines  ", len(v.shown))
	if len(v.shown) == 1 {
		text = "1 line  "
	}
	if v.streams != "" {
		text = v.streamsText() + "  " + text
	}
	if v.follow {
		return text + "end"
	}
	return text + fmt.Sprintf("line %d", v.bottom())
}
