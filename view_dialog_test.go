package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func viewDialogCancel() *viewDialog {
	return &viewDialog{Title: "Cancel run r001280?", Yes: "Cancel run", No: "Keep running",
		Lines: []string{"site07-backup is RUNNING on edge-07 for 2:14.",
			"2 tasks get SIGTERM now and SIGKILL after 10s.", "2 waiting tasks will not start. This cannot be undone."}}
}

func viewDialogForget() *viewDialog {
	return &viewDialog{Title: "Forget agent edge-09?", Word: "edge-09",
		Lines: []string{"Its key is removed from the registry. Runs pinned to it (3) move back to the queue."}}
}

// TestViewDialogKeys: only a y, or the word and enter, is yes.
func TestViewDialogKeys(t *testing.T) {
	for _, c := range []struct {
		script      string
		plain, word viewAnswer
	}{
		{"", viewOpen, viewOpen},
		{"y", viewYes, viewOpen},
		{"Y", viewYes, viewOpen},
		{"n", viewNo, viewOpen},
		{"q", viewNo, viewOpen},
		{sendEnter, viewNo, viewOpen},
		{sendEsc, viewNo, viewNo},
		{"\x03", viewNo, viewNo},
		{"x", viewOpen, viewOpen},
		{"\x1by", viewOpen, viewOpen},
		{"\x19", viewOpen, viewOpen},
		{viewPasted("y"), viewOpen, viewOpen},
		{viewPasted("edge-09"), viewOpen, viewOpen},
		{viewPasted("edge-09") + sendEnter, viewNo, viewOpen},
		{"edge-09", viewOpen, viewOpen},
		{"edge-09" + sendEnter, viewNo, viewYes},
		{"edge-9" + sendLeft + "0" + sendEnter, viewNo, viewYes},
		{"edge-08" + sendEnter, viewNo, viewOpen},
		{"EDGE-09" + sendEnter, viewNo, viewOpen},
		{"edge-08" + sendEnter + sendBack + "9" + sendEnter, viewNo, viewYes},
		{sendBack + sendBack, viewOpen, viewOpen},
		{sendTab, viewOpen, viewOpen},
	} {
		for word, want := range map[bool]viewAnswer{false: c.plain, true: c.word} {
			d := viewDialogCancel()
			if word {
				d = viewDialogForget()
			}
			answer := viewOpen
			for _, k := range viewTyped(c.script) {
				answer = d.key(k)
				if answer != viewOpen {
					break
				}
			}
			if answer != want {
				t.Errorf("%q, typed %v: answer %d, want %d", c.script, word, answer, want)
			}
		}
	}
}

// TestViewDialogScreens are pictures of both kinds.
func TestViewDialogScreens(t *testing.T) {
	for _, size := range viewSizes {
		g := termGridNew(size[0], size[1])
		viewDialogCancel().draw(g, viewArea{0, 1, g.w, g.h - 3})
		viewGolden(t, "dialog", g)
		g.clear()
		d := viewDialogForget()
		for _, k := range viewTyped("edge-") {
			d.key(k)
		}
		d.draw(g, viewArea{0, 1, g.w, g.h - 3})
		viewGolden(t, "dialog-word", g)
	}
}

// TestViewDialogInside draws questions about hostile things.
func TestViewDialogInside(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string { return viewHostile[random.IntN(len(viewHostile))] }
	for range 2000 {
		d := &viewDialog{Title: text(), Yes: text(), No: text()}
		for range random.IntN(8) {
			d.Lines = append(d.Lines, text()+" "+text())
		}
		if random.IntN(2) == 0 {
			d.Word = text()
			d.typed.set("", text())
			d.wrong = random.IntN(2) == 0
		}
		viewWithin(t, random, d.draw)
	}
}

func viewFormParams() map[string]Param {
	return map[string]Param{
		"count":  {Default: "3", Pattern: "[0-9]+", Description: "how many chunks are copied at once"},
		"day":    {Required: true, Pattern: `\d{4}-\d\d-\d\d`, Description: "the day to export"},
		"note":   {},
		"target": {Default: "a\nb", Description: "two lines, which a row cannot show"},
	}
}

// TestViewFormKeys fills in the form; the fields are count, day, note and target, in this order.
func TestViewFormKeys(t *testing.T) {
	for _, c := range []struct {
		script string
		answer viewAnswer
		at     int
		values map[string]string // nil: not valid
	}{
		{"", viewOpen, 0, nil},
		{sendEsc, viewNo, 0, nil},
		{"\x13", viewOpen, 1, nil}, // ^S: day is missing
		{sendTab + "2026-03-04\x13", viewYes, 1, map[string]string{"day": "2026-03-04"}},
		{sendDown + "2026-03-04" + sendEnter + sendEnter, viewOpen, 3, map[string]string{"day": "2026-03-04"}},
		{sendDown + "2026-03-04" + sendEnter + sendEnter + sendEnter, viewYes, 3,
			map[string]string{"day": "2026-03-04"}},
		{sendDown + "2026-03-04x\x13", viewOpen, 1, nil},
		{sendDown + "x2026-03-04\x13", viewOpen, 1, nil},
		{sendDown + "2026-03-04" + sendUp + "7\x13", viewYes, 0, map[string]string{"day": "2026-03-04", "count": "37"}},
		{sendDown + "2026-03-04" + sendUp + "x\x13", viewOpen, 0, nil},
		// empty is not the default, and no number
		{sendDown + "2026-03-04" + sendUp + sendBack + "\x13", viewOpen, 0, nil},
		{sendDown + "2026-03-04" + sendUp + "x" + sendBack + "\x13", viewYes, 0,
			map[string]string{"day": "2026-03-04"}},
		{sendDown + viewPasted("2026-03-04\nrm -rf") + sendTab + "hi" + sendBackTab + "\x13", viewYes, 1,
			map[string]string{"day": "2026-03-04", "note": "hi"}},
		// the newline is not seen, so it is not sent
		{sendDown + "2026-03-04" + sendDown + sendDown + "!\x13", viewYes, 3,
			map[string]string{"day": "2026-03-04", "target": "ab!"}},
		{sendBackTab, viewOpen, 3, nil},
		{sendBackTab + sendTab, viewOpen, 0, nil},
		{sendUp + sendBack + sendBack + sendBack, viewOpen, 0, nil},
	} {
		f := viewFormNew(viewFormParams())
		answer := viewOpen
		for _, k := range viewTyped(c.script) {
			answer = f.key(k)
			if answer != viewOpen {
				break
			}
		}
		values, ok := f.values()
		if answer != c.answer || f.focus != c.at || ok != (c.values != nil) || !maps.Equal(values, c.values) {
			t.Errorf("%q: answer %d at %d, %v %v; want %d at %d, %v", c.script, answer, f.focus, values, ok, c.answer,
				c.at, c.values)
		}
		if ok { // what the form lets pass, the principal does
			if _, err := paramsOf(&Workflow{ID: "w", Params: viewFormParams()}, values); err != nil {
				t.Errorf("%q: the principal refuses %v: %v", c.script, values, err)
			}
		}
	}
	if f := viewFormNew(nil); f.key(termKey{Code: termKeyEnter}) != viewYes ||
		f.key(termKey{Code: termKeyTab}) != viewOpen || f.key(termKey{Code: termKeyDown}) != viewOpen {
		t.Error("a form without fields does not end with enter")
	}
}

// TestViewFormChoices picks from choices; the fields are mode, with a default, and where, without.
func TestViewFormChoices(t *testing.T) {
	params := map[string]Param{"mode": {Choices: []string{"full", "quick", "a\nb"}, Default: "full"},
		"where": {Choices: []string{"north", "south", ""}, Required: true}}
	for script, want := range map[string]map[string]string{
		"":                                    nil,
		sendDown + sendRight:                  {"where": "north"},
		sendDown + " ":                        {"where": "north"},
		sendDown + " " + sendRight:            {"where": "south"},
		sendDown + sendLeft:                   {"where": ""},
		sendDown + "s":                        {"where": "south"},
		sendDown + "sx" + sendBack:            {"where": "south"},
		sendDown + "s" + sendUp + sendLeft:    {"where": "south", "mode": "a\nb"},
		sendDown + "s" + sendUp + "qf":        {"where": "south"},
		sendDown + "s" + sendUp + "   q":      {"where": "south", "mode": "quick"},
		sendDown + viewPasted("rm") + "n":     {"where": "north"},
		sendDown + viewPasted("south\n") + "": nil,
	} {
		f := viewFormNew(params)
		for _, k := range viewTyped(script) {
			f.key(k)
		}
		values, ok := f.values()
		if ok != (want != nil) || !maps.Equal(values, want) {
			t.Errorf("%q: %v %v, want %v", script, values, ok, want)
		}
		if ok {
			if _, err := paramsOf(&Workflow{ID: "w", Params: params}, values); err != nil {
				t.Errorf("%q: the principal refuses %v: %v", script, values, err)
			}
		}
	}
	f := viewFormNew(params)
	f.fill(map[string]string{"mode": "quick", "where": "gone"})
	if value, _ := f.fields[0].value(); value != "quick" || f.fields[1].fault() != "is required: left and right pick" {
		t.Errorf("filled in from a run: %q, %q", value, f.fields[1].fault())
	}
	g := termGridNew(80, 12)
	f.draw(g, viewArea{0, 1, g.w, g.h - 3})
	if picture := viewPicture(g); !strings.Contains(picture, "one of full, quick") {
		t.Errorf("drawn:\n%s", picture)
	}
}

// TestViewFormFaults: what is said beside a field.
func TestViewFormFaults(t *testing.T) {
	for _, c := range []struct {
		param Param
		typed string
		want  string
	}{
		{Param{Required: true}, "", "is required"},
		{Param{Required: true}, "x", ""},
		{Param{Pattern: "a|b"}, "", ""},
		{Param{Pattern: "a|b"}, "ab", "must match a|b"},
		{Param{Pattern: "a|b"}, "b", ""},
		{Param{Pattern: "a(b"}, "", ""},
		{Param{Pattern: "a(b"}, "x", "pattern: missing closing ): `a(b`"},
		{Param{Default: "x", Pattern: "a"}, "", ""}, // it is not sent
	} {
		f := viewFormNew(map[string]Param{"p": c.param})
		for _, k := range viewTyped(c.typed) {
			f.key(k)
		}
		if got := f.fields[0].fault(); got != c.want {
			t.Errorf("%+v, %q: %q, want %q", c.param, c.typed, got, c.want)
		}
	}
}

// TestViewFormScreens are pictures of a form that is half filled in.
func TestViewFormScreens(t *testing.T) {
	for _, size := range viewSizes {
		f := viewFormNew(viewFormParams())
		for _, k := range viewTyped("x" + sendDown + "2026-03-") {
			f.key(k)
		}
		g := termGridNew(size[0], size[1])
		f.draw(g, viewArea{0, 1, g.w, g.h - 3})
		viewGolden(t, "form", g)
	}
}

// TestViewFormInside draws forms of hostile parameters.
func TestViewFormInside(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string { return viewHostile[random.IntN(len(viewHostile))] }
	for range 1000 {
		params := map[string]Param{}
		for i := range random.IntN(12) {
			params[text()+fmt.Sprint(i)] = Param{Default: text(), Pattern: text(), Description: text(),
				Required: random.IntN(2) == 0}
		}
		f := viewFormNew(params)
		for range random.IntN(20) {
			f.key([]termKey{{Code: termKeyDown}, {Code: termKeyTab}, {Code: termKeyRune, Rune: '日'},
				{Code: termKeyLeft}, {Code: termKeyCtrl, Rune: 's'}}[random.IntN(5)])
		}
		viewWithin(t, random, f.draw)
	}
}
