//go:build !noui

// tui_screen.go: what a screen is, and the stack of them of which the last one is shown.

package main

import "slices"

// tuiScreen is what fills the body. The loop alone calls its methods.
type tuiScreen interface {
	name() string           // the one that tuiBindings has
	crumbs(u *tui) []string // for the header: where one is
	draw(u *tui, g *termGrid, a viewArea)
	status(u *tui) string // for the row below the body
	pick(u *tui) tuiPick  // what the selected row is about
	move(u *tui, by int)
	page(u *tui, half int) // by half screens
	edge(u *tui, end bool) // to the first row, or the last
	leave(u *tui)          // it is closed
}

// What some screens do beside that. Who needs one of these asks the screen for the interface, and passes over a screen
// that does not have it. Which screen has which is in the list below.
type (
	// tuiKeyed carries out keys itself: those that tui_keys.go binds to nothing.
	tuiKeyed interface{ key(u *tui, name string) }

	// tuiCounted has a text of its own for the header, in place of what there is in all.
	tuiCounted interface{ counts(u *tui) string }

	// tuiFiltered has a filter or a search. esc clears it before it leaves the screen.
	tuiFiltered interface {
		getFilter() string
		setFilter(u *tui, text string)
	}

	// tuiReloaded asks anew for what it shows, after the lists have come anew.
	tuiReloaded interface{ reload(u *tui) }

	// tuiInformed is told of each change of the lists.
	tuiInformed interface{ news(u *tui, r *Reply) }

	// tuiFrozen shows what comes by itself, and holds it back while the UI is frozen.
	tuiFrozen interface{ hold(u *tui, frozen bool) }
)

var (
	_ tuiKeyed    = (*tuiRunScreen)(nil)
	_ tuiKeyed    = (*tuiLogScreen)(nil)
	_ tuiKeyed    = (*tuiSource)(nil)
	_ tuiKeyed    = (*tuiEventList)(nil)
	_ tuiCounted  = (*tuiList)(nil)
	_ tuiCounted  = (*tuiLogScreen)(nil)
	_ tuiFiltered = (*tuiAttentionList)(nil)
	_ tuiFiltered = (*tuiList)(nil)
	_ tuiFiltered = (*tuiEventList)(nil)
	_ tuiFiltered = (*tuiPoolList)(nil)
	_ tuiFiltered = (*tuiRunScreen)(nil)
	_ tuiFiltered = (*tuiLogScreen)(nil)
	_ tuiFiltered = (*tuiSource)(nil)
	_ tuiReloaded = (*tuiAttentionList)(nil)
	_ tuiReloaded = (*tuiList)(nil)
	_ tuiReloaded = (*tuiEventList)(nil)
	_ tuiReloaded = (*tuiPoolList)(nil)
	_ tuiReloaded = (*tuiRunScreen)(nil)
	_ tuiReloaded = (*tuiLogScreen)(nil)
	_ tuiReloaded = (*tuiStats)(nil)
	_ tuiReloaded = (*tuiSource)(nil)
	_ tuiInformed = (*tuiAttentionList)(nil)
	_ tuiInformed = (*tuiList)(nil)
	_ tuiInformed = (*tuiPoolList)(nil)
	_ tuiInformed = (*tuiRunScreen)(nil)
	_ tuiInformed = (*tuiLogScreen)(nil)
	_ tuiInformed = (*tuiStats)(nil)
	_ tuiInformed = (*tuiSource)(nil)
	_ tuiFrozen   = (*tuiEventList)(nil)
	_ tuiFrozen   = (*tuiRunScreen)(nil)
	_ tuiFrozen   = (*tuiLogScreen)(nil)
)

// tuiPick names what keys act on. What the row is not about is empty.
type tuiPick struct{ workflow, run, task, agent, item string }

// screen gives the screen that is shown, nil before the first.
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

// goBack clears the filter; without one, the marks; without those, it leaves the screen for the one below.
func (u *tui) goBack(tuiPick) {
	if s, ok := u.screen().(tuiFiltered); ok && s.getFilter() != "" {
		s.setFilter(u, "")
		return
	}
	if l, ok := u.screen().(*tuiList); ok && len(l.marks) > 0 {
		clear(l.marks)
		return
	}
	u.back()
}

// freeze keeps what is shown as it is, or ends that. What came meanwhile is then asked for anew.
func (u *tui) freeze(tuiPick) {
	u.frozen = !u.frozen
	for _, s := range u.stack {
		if s, ok := s.(tuiFrozen); ok {
			s.hold(u, u.frozen)
		}
	}
	if !u.frozen && u.missed {
		u.subscribe()
	}
}

// copyID gives the id of the selected row to the terminal's clipboard (OSC 52). Not every terminal takes it.
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
		l.selectedID = p.agent
		u.open(l)
	}
}
