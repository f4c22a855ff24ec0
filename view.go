// view.go: what all screens of the terminal UI have in common: areas, the looks of states, times, tables. The files of
// this room draw, each from a struct that says all it shows, into a grid: no clock, no connection, no keys.

package main

import (
	"fmt"
	"time"
)

// viewArea is a part of the screen, in cells.
type viewArea struct{ x, y, w, h int }

// viewLooks gives the glyph, the word and the style of a state of a run, a task or an agent. Glyph and word say it all:
// colour comes second, and the attributes stand in for it where there is none.
func viewLooks(state string) (glyph, word string, style termStyle) {
	switch state {
	case runQueued:
		return ".", "queue", styleDim
	case taskWaiting:
		return "o", "wait", 0
	case runRunning:
		return "*", "run", styleCyan | styleBold
	case taskRetrying:
		return "~", "retry", styleYellow | styleBold
	case runSucceeded:
		return "+", "ok", styleGreen
	case runFailed:
		return "!", "fail", styleRed | styleBold
	case runCrashed:
		return "!", "crash", styleRed | styleBold
	case runCancelled:
		return "x", "canc", styleMagenta
	case taskSkipped:
		return "-", "skip", styleDim
	case agentUp:
		return "+", "up", styleGreen
	case agentDrain:
		return "=", "drain", styleYellow
	case agentLost:
		return "?", "lost", styleRed | styleReverse
	}
	return "?", state, styleRed
}

// viewTook gives a duration in the fewest letters: 0:02, 2:14, 1:02:14, 3d04h.
func viewTook(d time.Duration) string {
	s := int(max(d, 0) / time.Second)
	switch {
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	case s < 100*3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// viewSince gives how long something took or, while it goes on, has taken at now; "-" before it began.
func viewSince(started, finished Stamp, now time.Time) string {
	switch {
	case started.IsZero():
		return "-"
	case finished.IsZero():
		return viewTook(now.Sub(started.Time))
	}
	return viewTook(finished.Sub(started.Time))
}

// viewWhen gives a time as people read it, in at most 12 columns and in the zone of now: the time of day, before it the
// weekday where it is within six days, else the date.
func viewWhen(t Stamp, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	at := t.In(now.Location())
	switch day := now.AddDate(0, 0, -6); {
	case at.YearDay() == now.YearDay() && at.Year() == now.Year():
		return at.Format("15:04:05")
	case at.After(day) && at.Before(now.AddDate(0, 0, 6)):
		return at.Format("Mon 15:04:05")
	case at.Year() == now.Year():
		return at.Format("Jan 02 15:04")
	}
	return at.Format("2006-01-02")
}

// Drawing within one area of the screen. Whatever is written through a pen ends at the edges of its area,
// so that a screen need not count columns twice.

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
	w = p.room(x, y, w)
	if w > 0 {
		p.g.cell(p.x+x, p.y+y, w, style, s)
	}
	return x + w
}

// right is cell with the text at the right edge.
func (p viewPen) right(x, y, w int, style termStyle, s string) int {
	w = p.room(x, y, w)
	if w > 0 {
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
	w = p.room(x, y, w)
	if w > 0 {
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
