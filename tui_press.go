//go:build !noui

// tui_press.go: the way of a key that was pressed: through the box above the screen and the prompt to the table of
// keys.

package main

import (
	"slices"
	"strings"
)

// key takes one key. ^C, ^\ and ^Z mean the same everywhere. All others go to the box above the screen; without one, to
// the prompt; without that, to the tables.
func (u *tui) key(k termKey) {
	u.dirty = true
	_, inForm := u.over.(*tuiForm)
	typing := inForm || u.prompt != nil
	if k.Alt && k.Code == termKeyRune && !typing {
		u.key(termKey{Code: termKeyEsc}) // nothing is bound to Alt: this is esc and a key soon after it
		k.Alt = false
	}
	name := k.String()
	switch {
	case name == "^C":
		u.interrupted()
		return
	case name == "^\\":
		u.leaveWith(nil)
		return
	case name == "^Z":
		u.suspend()
		return
	}
	u.flash = ""
	switch {
	case u.over != nil:
		u.over.key(u, k)
	case u.prompt != nil:
		u.promptKey(k)
	case k.Code == termKeyPaste:
		u.say("paste ignored")
	default:
		u.bound(name)
	}
}

// interrupted is ^C: it closes the box and the prompt. Without those, a second ^C within tuiQuitTwice quits.
func (u *tui) interrupted() {
	now := u.now()
	switch {
	case u.over != nil || u.prompt != nil:
		u.over = nil
		u.endPrompt(false)
	case now.Sub(u.interrupt) < tuiQuitTwice:
		u.leaveWith(nil)
	default:
		u.say("q quits, x cancels a run")
	}
	u.interrupt = now
}

// onScreen gives the name of the present screen and what its selected row is about; nothing before the first.
func (u *tui) onScreen() (name string, p tuiPick) {
	s := u.screen()
	if s == nil {
		return "", tuiPick{}
	}
	return s.name(), s.pick(u)
}

// bound looks a key up in the tables, and does what they have for it.
func (u *tui) bound(name string) {
	screen, p := u.onScreen()
	for i := range u.keys {
		if b := &u.keys[i]; b.has(name) && b.fits(screen) {
			u.carryOut(b, name, p)
			return
		}
	}
	u.unbound(name, screen)
}

// carryOut does what a key is bound to, or says why that cannot be done now.
func (u *tui) carryOut(b *tuiBinding, name string, p tuiPick) {
	s := u.screen()
	switch {
	case s == nil && !slices.Contains([]string{"q", "?", ":", "^L"}, name):
		u.say("not connected yet: :connect tries at once")
	case b.act && !u.live():
		u.say("%s (%s) needs a connection: %s", name, orDefault(b.label, b.what), u.staleText())
	case u.refuses(b, p) != "":
		u.say("%s", u.refuses(b, p))
	case b.do == nil:
		s.(tuiKeyed).key(u, name)
	default:
		b.do(u, p)
	}
}

// refuses says why a key can do nothing to the selected row, "" when it can. With marked rows it always can: the
// principal answers for each.
func (u *tui) refuses(b *tuiBinding, p tuiPick) string {
	if b.why == nil || u.marked() {
		return ""
	}
	return b.why(u, p)
}

// unbound says what a key would do elsewhere, or that it does nothing.
func (u *tui) unbound(name, screen string) {
	var meanings []string
	for _, b := range tuiElsewhere(u.keys, screen) {
		if b.has(name) {
			meanings = append(meanings, b.what+" ("+b.onText()+")")
		}
	}
	changes := func(b tuiBinding) bool { return b.act && b.has(name) }
	switch {
	case len(meanings) > 0 && screen == "":
		u.say("not connected yet: :connect tries at once")
	case len(meanings) > 0:
		u.say("%s does nothing here. Elsewhere: %s", name, strings.Join(meanings, "; "))
	case u.readonly && slices.ContainsFunc(tuiBindings(false), changes):
		u.say("%s changes something, and this is --readonly", name)
	default:
		u.say("%s does nothing here: ? shows the keys", name)
	}
}
