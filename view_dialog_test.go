package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

func viewDialogCancel() *viewDialog {
	return &viewDialog{Title: "Cancel run r001280?", Yes: "Cancel run", No: "Keep running", Lines: []string{"site07-backup is RUNNING on edge-07 for 2:14.",
		"2 tasks get SIGTERM now and SIGKILL after 10s.", "2 waiting tasks will not start. This cannot be undone."}}
}

func viewDialogForget() *viewDialog {
	return &viewDialog{Title: "Forget agent edge-09?", Word: "edge-09", Lines: []string{"Its key is removed from the registry. Runs pinned to it (3) move back to the queue."}}
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
				if answer = d.key(k); answer != viewOpen {
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
