//go:build !noui

// view.go: what all screens of the terminal UI have in common: areas, the looks of states, times, and a pen. The files
// of this room draw into a grid. Each draws from a struct that holds all it shows, and has no clock and no connection.

package main

import (
	"fmt"
	"time"
)

// viewArea is a part of the screen, in cells.
type viewArea struct{ x, y, w, h int }

// viewLooks gives the glyph, the word and the style of a state of a run, a task or an agent. Glyph and word alone say
// which state it is; colour only helps, and where there is none the attributes do.
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
	case askApprove:
		return "?", "ask", styleYellow | styleBold
	case askWorkflow:
		return ">", "child", styleCyan
	case askPool:
		return "o", "pool", styleYellow
	case askAgent:
		return "@", "agent", styleCyan
	case runSucceeded:
		return "+", "ok", styleGreen
	case runFailed:
		return "!", "fail", styleRed | styleBold
	case runCrashed:
		return "!", "crash", styleRed | styleBold
	case taskAllowed:
		return "^", "allow", styleYellow
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

// viewTook writes a duration in few letters: 0:02, 2:14, 1:02:14, 3d04h.
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

// viewSince gives how long something took, or has taken until now while it goes on; "-" before it began.
func viewSince(started, finished Stamp, now time.Time) string {
	switch {
	case started.IsZero():
		return "-"
	case finished.IsZero():
		return viewTook(now.Sub(started.Time))
	}
	return viewTook(finished.Sub(started.Time))
}

// viewWhen writes a time for people, in at most 12 columns and in the zone of now: the time of day where it is today,
// with the weekday where it is within six days, else the date.
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

// viewDay writes a time to come in at most seven columns: the time of a day, or another day.
func viewDay(t Stamp, now time.Time) string {
	at := t.In(now.Location())
	switch {
	case at.YearDay() == now.YearDay() && at.Year() == now.Year():
		return at.Format("15:04")
	case at.Year() == now.Year():
		return at.Format("Jan 02")
	}
	return at.Format("2006-01")
}

// viewPen writes into an area of a grid. Columns and rows count from the area's upper left corner, and what is written
// ends at its edges, so that a screen need not check them.
type viewPen struct {
	g *termGrid
	viewArea
}

// part gives a pen for a part of the area, cut at the area's edges.
func (p viewPen) part(x, y, w, h int) viewPen {
	x, y = min(max(x, 0), max(p.w, 0)), min(max(y, 0), max(p.h, 0))
	w, h = min(max(w, 0), p.w-x), min(max(h, 0), p.h-y)
	return viewPen{p.g, viewArea{p.x + x, p.y + y, max(w, 0), max(h, 0)}}
}

// room gives how many of the w cells from x on in row y are within the area.
func (p viewPen) room(x, y, w int) int {
	if x < 0 || y < 0 || y >= p.h {
		return 0
	}
	return max(min(w, p.w-x), 0)
}

// put writes text from x on, up to the edge of the area, and gives the column behind it.
func (p viewPen) put(x, y int, style termStyle, s string) int {
	if p.room(x, y, 1) == 0 {
		return x
	}
	return p.g.putTo(p.x+x, p.y+y, p.x+p.w, style, s) - p.x
}

// cell writes text into w columns, cut with a mark or filled with blanks. It gives the column behind them.
func (p viewPen) cell(x, y, w int, style termStyle, s string) int {
	w = p.room(x, y, w)
	if w > 0 {
		p.g.cell(p.x+x, p.y+y, w, style, s)
	}
	return x + w
}

// right is cell with the text at the right end of its columns.
func (p viewPen) right(x, y, w int, style termStyle, s string) int {
	w = p.room(x, y, w)
	if w > 0 {
		p.g.right(p.x+x, p.y+y, w, style, s)
	}
	return x + w
}

// line fills w cells with one ASCII letter.
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

// park puts the terminal's cursor at the start of row y, where a selected row has its mark.
func (p viewPen) park(y int) {
	if p.room(0, y, 1) > 0 {
		p.g.cursorX, p.g.cursorY = p.x, p.y+y
	}
}
