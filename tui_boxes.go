//go:build !noui

// tui_boxes.go: the boxes above the screen: a question, the form of a workflow's parameters, the help.

package main

import "strings"

// tuiOverlay is a box above the screen. It gets every key but ^C, ^Z and ^\.
type tuiOverlay interface {
	draw(u *tui, g *termGrid, a viewArea)
	key(u *tui, k termKey)
	hint() (what string, keys []viewKey) // for the last two rows
}

// confirm asks before something that is hard to undo.
func (u *tui) confirm(d viewDialog, then func()) { u.over = &tuiDialog{viewDialog: d, then: then} }

// tuiDialog is a question above the screen.
type tuiDialog struct {
	viewDialog
	then func()
}

func (d *tuiDialog) hint() (string, []viewKey) {
	if d.Word != "" {
		return "", []viewKey{{"enter", d.Yes}, {"esc", d.No}}
	}
	return "", []viewKey{{"y", d.Yes}, {"n", d.No}}
}

func (d *tuiDialog) draw(_ *tui, g *termGrid, a viewArea) { d.viewDialog.draw(g, a) }

func (d *tuiDialog) key(u *tui, k termKey) {
	switch d.viewDialog.key(k) {
	case viewYes:
		u.over = nil
		d.then()
	case viewNo:
		u.over = nil
	}
}

// tuiForm is the parameters of a workflow, to be filled in.
type tuiForm struct {
	*viewForm
	workflow string
	about    string // name and description of the workflow
	then     func(map[string]string)
}

func (f *tuiForm) hint() (string, []viewKey) {
	return "run " + f.workflow + " with these parameters; * must be given",
		[]viewKey{{"enter", "next, at last run"}, {"^S", "run"}, {"tab", "next"}, {"esc", "leave"}}
}

// draw says above the form what will run, if there is room.
func (f *tuiForm) draw(_ *tui, g *termGrid, a viewArea) {
	if head := viewFold(f.about, max(a.w-viewMarkWidth-1, 1)); a.h >= len(f.fields)+len(head)+5 {
		viewPen{g, a}.clear()
		for i, line := range head {
			g.cell(a.x+viewMarkWidth, a.y+i, a.w-viewMarkWidth, styleBold, line)
		}
		a.y, a.h = a.y+len(head)+1, a.h-len(head)-1
	}
	f.viewForm.draw(g, a)
}

func (f *tuiForm) key(u *tui, k termKey) {
	switch f.viewForm.key(k) {
	case viewYes:
		if params, ok := f.values(); ok {
			u.over = nil
			f.then(params)
		}
	case viewNo:
		u.over = nil
	}
}

// tuiHelp is the help above the screen.
type tuiHelp struct{ *viewHelp }

// openHelp shows the help, made from the tables of keys and commands. In each group the keys of the present screen come
// first.
func (u *tui) openHelp(tuiPick) {
	screen, _ := u.onScreen()
	others := tuiElsewhere(u.keys, screen)
	var rows []viewHelpRow
	for _, group := range []string{tuiGroupMove, tuiGroupScreen, tuiGroupAct} {
		for _, b := range u.keys {
			if b.group == group && b.fits(screen) {
				rows = append(rows, viewHelpRow{group, b.keys, b.what, b.twin})
			}
		}
		for _, b := range others {
			if b.group == group {
				rows = append(rows, viewHelpRow{group, b.keys, b.what + " (in " + b.onText() + ")", b.twin})
			}
		}
	}
	for _, c := range tuiCommands() {
		if !c.act || !u.readonly {
			rows = append(rows, viewHelpRow{"Prompt", ":" + c.name, strings.ToUpper(c.arg), ""})
		}
	}
	u.over = tuiHelp{&viewHelp{rows: rows}}
}

func (h tuiHelp) hint() (string, []viewKey) {
	return h.status(), []viewKey{{"j k", "move"}, {"PgDn PgUp", "screen"}, {"esc", "close"}}
}

func (h tuiHelp) draw(_ *tui, g *termGrid, a viewArea) { h.viewHelp.draw(g, a) }

func (h tuiHelp) key(u *tui, k termKey) {
	switch k.String() {
	case "j", "down":
		h.move(1)
	case "k", "up":
		h.move(-1)
	case "PgDn", "space", "^D":
		h.page(1)
	case "PgUp", "^U":
		h.page(-1)
	case "g", "Home":
		h.home()
	case "G", "End":
		h.end()
	case "esc", "q", "?", "enter", "backspace":
		u.over = nil
	}
}
