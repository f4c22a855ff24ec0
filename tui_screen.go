// tui_screen.go: what a screen is, and the stack of them of which the last one is shown.

package main

import "slices"

// tuiScreen is what fills the body. The methods are called by the loop alone.
type tuiScreen interface {
	name() string // as the table of keys has it
	crumbs(u *tui) []string
	draw(u *tui, g *termGrid, a viewArea)
	status(u *tui) string
	pick(u *tui) tuiPick // what the selected row is about
	move(u *tui, by int)
	page(u *tui, half int) // by half screens
	edge(u *tui, end bool)
	leave(u *tui) // it is closed
}

// tuiPick names what keys act on; what does not apply is empty.
type tuiPick struct{ workflow, run, task, agent, item string }

// screen is the one that is shown, nil before the first.
func (u *tui) screen() tuiScreen {
	if len(u.stack) == 0 {
		return nil
	}
	return u.stack[len(u.stack)-1]
}

// open shows a screen above the present one.
func (u *tui) open(s tuiScreen) {
	u.stack = append(u.stack, s)
	u.dirty = true
}

// goTo shows a screen in place of all others.
func (u *tui) goTo(s tuiScreen) {
	for _, old := range slices.Backward(u.stack) {
		old.leave(u)
	}
	u.stack = u.stack[:0]
	u.open(s)
}

// back closes the screen that is shown; the first one stays.
func (u *tui) back() {
	if len(u.stack) > 1 {
		u.screen().leave(u)
		u.stack = u.stack[:len(u.stack)-1]
	}
}

// goBack clears the filter, then the marks, or leaves the screen for the one before.
func (u *tui) goBack(tuiPick) {
	s, ok := u.screen().(interface {
		setFilter(*tui, string)
		getFilter() string
	})
	if ok && s.getFilter() != "" {
		s.setFilter(u, "")
		return
	}
	if l, ok := u.screen().(*tuiList); ok && len(l.marks) > 0 {
		clear(l.marks)
		return
	}
	u.back()
}

// freeze keeps what is shown as it is, or lets it go on. What came meanwhile is asked for anew.
func (u *tui) freeze(tuiPick) {
	u.frozen = !u.frozen
	for _, s := range u.stack {
		if s, ok := s.(interface{ hold(*tui, bool) }); ok {
			s.hold(u, u.frozen)
		}
	}
	if !u.frozen && u.missed {
		u.subscribe()
	}
}

// copyID hands the id of the row to the terminal's clipboard (OSC 52), where it allows that.
func (u *tui) copyID(p tuiPick) {
	id := []string{p.run, p.agent, p.workflow}
	if l, ok := u.screen().(*tuiList); ok && l.kind == tuiWorkflows {
		id = []string{p.workflow}
	}
	at := slices.IndexFunc(id, func(s string) bool { return s != "" })
	if at < 0 {
		u.say("nothing is selected")
		return
	}
	if err := u.copy(id[at]); err != nil {
		u.say("copy: %v", err)
		return
	}
	u.say("copied %s", id[at])
}

// openItem shows what the selected item is about: its newest run, its file, or the agents.
func (u *tui) openItem(p tuiPick) {
	switch {
	case p.run != "":
		u.openRun(p)
	case p.workflow != "":
		u.openSource(p)
	case p.agent != "":
		l := tuiListNew(tuiAgents)
		l.at = p.agent
		u.open(l)
	}
}
