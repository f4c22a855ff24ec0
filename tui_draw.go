//go:build !noui

// tui_draw.go: one frame: the header, the body that a screen draws, the status row and the row of keys.

package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// draw fills the grid.
func (u *tui) draw() {
	g := u.grid
	g.clear()
	u.running = 0
	if g.w < tuiMinWidth || g.h < tuiMinHeight {
		for y, line := range []string{fmt.Sprintf("cdktr: terminal is %dx%d,", g.w, g.h),
			fmt.Sprintf("needs %dx%d. Resize, or use", tuiMinWidth, tuiMinHeight), "`cdktr ps --watch`.  q quits"} {
			g.put(0, y, 0, line)
		}
		return
	}
	s := u.screen()
	head := viewHeader{site: u.link.target.name, counts: u.model.counts()}
	head.link, head.bad = u.linkText()
	body := viewArea{0, 1, g.w, g.h - 3}
	if s == nil {
		u.drawNothing(g, body)
	} else {
		head.crumbs = s.crumbs(u)
		if s, ok := s.(tuiCounted); ok {
			head.counts = s.counts(u)
		}
		s.draw(u, g, body)
	}
	if u.over == nil {
		u.drawStatus(g, body)
		head.draw(g)
		viewKeys(g, g.h-1, u.shownKeys())
		return
	}
	head.draw(g)
	u.over.draw(u, g, body)
	what, keys := u.over.hint()
	g.cell(1, g.h-2, g.w-1, 0, what)
	viewKeys(g, g.h-1, keys)
}

// drawNothing draws the body before the first screen.
func (u *tui) drawNothing(g *termGrid, a viewArea) {
	g.cell(a.x+1, a.y+1, a.w-1, 0, "connecting to "+u.link.target.at)
	if u.link.err == nil {
		return
	}
	y := a.y + 2
	for _, line := range viewFold(u.link.err.Error(), a.w-2) {
		g.cell(a.x+1, y, a.w-1, styleRed, line)
		y++
	}
	texts := []string{"Is it running? Start one with: cdktr start principal --with-agent",
		":connect ENDPOINT tries another, :connect alone this one at once. q quits."}
	if len(u.contexts) > 0 {
		texts = append(texts, "The configuration file knows: "+strings.Join(u.contexts, ", "))
	}
	for _, text := range texts {
		for _, line := range viewFold(text, a.w-2) {
			y++
			g.cell(a.x+1, y, a.w-1, 0, line)
		}
	}
}

// blank gives the text in place of something that has not come yet; note says why it will not come.
func (u *tui) blank(what, note string) string {
	switch {
	case note != "":
		return note
	case u.live():
		return "asking for " + what
	}
	return what + ": not here yet, it comes with the connection"
}

// drawBlank draws that text in place of a screen.
func (u *tui) drawBlank(g *termGrid, a viewArea, what, note string) {
	for y, line := range viewFold(u.blank(what, note), max(a.w-viewMarkWidth-1, 1)) {
		if y+1 < a.h {
			g.cell(a.x+viewMarkWidth, a.y+1+y, a.w-viewMarkWidth, styleDim, line)
		}
	}
	g.cursorX, g.cursorY = a.x, a.y
}

// drawStatus draws the row above the keys: the prompt, the last message, or the status of the screen. A message that is
// longer than a row takes rows from the body, which is drawn again above it: messages say at their end what to do.
func (u *tui) drawStatus(g *termGrid, body viewArea) {
	if u.prompt != nil {
		u.prompt.input.draw(g, viewArea{1, g.h - 2, g.w - 1, 1})
		return
	}
	s := u.screen()
	text, style := u.flash, styleBold
	switch {
	case text != "" || s == nil:
	case u.live():
		text, style = s.status(u), 0
	default:
		text, style = u.staleText(), styleRed
	}
	rows := []string{text}
	if textWidth(text) > g.w-2 {
		rows = viewFold(text, g.w-2)
	}
	if n := len(rows); n > tuiMaxNote {
		rows = append(rows[:tuiMaxNote-1], strings.Join(rows[tuiMaxNote-1:], " "))
	}
	if more := len(rows) - 1; more > 0 && s != nil {
		g.clear()
		body.h -= more
		u.running = 0
		s.draw(u, g, body)
	}
	for i, row := range rows {
		g.cell(1, g.h-1-len(rows)+i, g.w-1, style, row)
	}
}

// shownKeys gives the keys for the last row: those that do something to the selected row now, or to what is being
// typed.
func (u *tui) shownKeys() []viewKey {
	if u.prompt != nil {
		keys := []viewKey{{"enter", "done"}, {"esc", "leave"}}
		if u.prompt.words != nil {
			keys = inserted(keys, 0, viewKey{"tab", "complete"})
		}
		return keys
	}
	var shown []*tuiBinding
	screen, p := u.onScreen()
	for i := range u.keys {
		b := &u.keys[i]
		if b.label != "" && b.fits(screen) && u.keyWorks(b, p) {
			shown = append(shown, b)
		}
	}
	sort.SliceStable(shown, func(a, b int) bool { return shown[a].rank() < shown[b].rank() })
	keys := make([]viewKey, len(shown))
	for i, b := range shown {
		key, _, _ := strings.Cut(b.keys, " ")
		keys[i] = viewKey{key, b.label}
	}
	return keys
}

// keyWorks says whether a key does something now.
func (u *tui) keyWorks(b *tuiBinding, p tuiPick) bool {
	switch {
	case u.screen() == nil && !slices.Contains([]string{":", "q", "?"}, b.keys):
		return false
	case b.keys == "esc backspace" && len(u.stack) < 2: // it leads nowhere
		return false
	case b.keys == "q" && len(u.stack) > 1: // esc is the way out
		return false
	case b.act && !u.live():
		return false
	}
	return u.refuses(b, p) == ""
}

// rank sorts the keys of the last row, which may not have room for all. First comes enter, then the answers to what
// asks for one, what else changes something, the search, and all others; then the command prompt, and at the end the
// way out and the help, which always have room.
func (b *tuiBinding) rank() int {
	if at := slices.Index([]string{":", "esc backspace", "q", "?"}, b.keys); at >= 0 {
		return 6 + at
	}
	if at := slices.Index([]string{"enter", "A", "R", "", "/"}, b.keys); at >= 0 {
		return at
	}
	if b.act {
		return 3
	}
	return 5
}
