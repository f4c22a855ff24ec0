// tui_press.go: the way of a key that was pressed: through the box above the screen and the prompt to the table of
// keys.

package main

import (
	"slices"
	"strings"
)

// key takes one key: the box above the screen has it first, then the prompt, then the table.
func (u *tui) key(k termKey) {
	u.dirty = true
	if _, typing := u.over.(*tuiForm); k.Code == termKeyRune && k.Alt && u.prompt == nil && !typing {
		u.key(termKey{Code: termKeyEsc}) // nothing here has Alt: it is an esc with a key close behind it
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

// interrupted is ^C: it ends what is being typed, and the second within a second quits.
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

// bound does what the table has for a key.
func (u *tui) bound(name string) {
	s := u.screen()
	screen, p := "", tuiPick{}
	if s != nil {
		screen, p = s.name(), s.pick(u)
	}
	var other *tuiBinding
	var meanings []string // of a key that has none here, elsewhere
	for i := range u.keys {
		b := &u.keys[i]
		if !slices.Contains(strings.Fields(b.keys), name) {
			continue
		}
		if !b.fits(screen) {
			other = b
			meanings = append(meanings, b.what+" ("+strings.ReplaceAll(b.on, " ", ", ")+")")
			continue
		}
		switch {
		case s == nil && !slices.Contains([]string{"q", "?", ":", "^L"}, name):
			u.say("not connected yet: :connect tries at once")
		case b.act && !u.live():
			u.say("%s (%s) needs a connection: %s", name, orDefault(b.label, b.what), u.staleText())
		case b.why != nil && !u.marked() && b.why(u, p) != "":
			u.say("%s", b.why(u, p))
		case b.do == nil:
			s.(interface{ key(*tui, string) }).key(u, name)
		default:
			b.do(u, p)
		}
		return
	}
	switch {
	case other != nil && screen != "":
		u.say("%s does nothing here. Elsewhere: %s", name, strings.Join(meanings, "; "))
	case other != nil:
		u.say("not connected yet: :connect tries at once")
	case u.readonly && slices.ContainsFunc(tuiActKeys(),
		func(b tuiBinding) bool { return slices.Contains(strings.Fields(b.keys), name) }):
		u.say("%s changes something, and this is --readonly", name)
	default:
		u.say("%s does nothing here: ? shows the keys", name)
	}
}
