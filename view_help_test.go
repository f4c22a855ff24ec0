package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func viewHelpFixture() *viewHelp {
	return &viewHelp{rows: []viewHelpRow{
		{"Move", "j k, arrows", "down and up", ""}, {"Move", "g G", "first and last", ""},
		{"Act", "x", "cancel the run", "cdktr cancel RUN"}, {"Act", "r", "run the workflow, or the finished run again",
			"cdktr run WORKFLOW"},
		{"Screen", "1", "workflows", "cdktr ls"}, {"Move", "^D ^U", "half a page down and up", ""},
	}}
}

// TestViewHelpScrolls: every row can be reached, at any size, and none is beyond the last page.
func TestViewHelpScrolls(t *testing.T) {
	for _, size := range viewSizes {
		v := viewHelpFixture()
		g := termGridNew(size[0], size[1])
		seen := ""
		for range 20 {
			v.draw(g, viewArea{0, 0, g.w, g.h})
			seen += strings.Join(viewRows(g), "\n")
			v.page(1)
		}
		for _, want := range []string{"half a page", "cdktr cancel RUN", "first and last", "Glyphs", "~ retry", "# "} {
			if !strings.Contains(seen, want) {
				t.Errorf("%v: %q is not to be seen", size, want)
			}
		}
		n := len(v.lines(g.w))
		v.end()
		if v.top != max(n-g.h, 0) {
			t.Errorf("%v: the end is row %d of %d", size, v.top, n)
		}
		v.move(5)
		v.move(-3)
		if v.top != max(n-g.h-3, 0) {
			t.Errorf("%v: 3 above the end is row %d of %d", size, v.top, n)
		}
		v.home()
		if v.top != 0 {
			t.Errorf("%v: home is row %d", size, v.top)
		}
	}
	v := viewHelpFixture()
	v.draw(termGridNew(80, 10), viewArea{0, 0, 80, 10})
	v.move(2)
	if got := v.status(); got != "3-12 of 31" {
		t.Errorf("status %q", got)
	}
}

// TestViewHelpScreens are pictures of the help.
func TestViewHelpScreens(t *testing.T) {
	for _, size := range viewSizes {
		g := termGridNew(size[0], size[1])
		v := viewHelpFixture()
		v.draw(g, viewArea{0, 1, g.w, g.h - 3})
		viewGolden(t, "help", g)
	}
}

// TestViewHelpInside draws help of hostile rows.
func TestViewHelpInside(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string { return viewHostile[random.IntN(len(viewHostile))] }
	for range 1000 {
		v := &viewHelp{top: random.IntN(9)}
		for range random.IntN(30) {
			v.rows = append(v.rows, viewHelpRow{text(), text(), text(), text()})
		}
		viewWithin(t, random, v.draw)
	}
}
