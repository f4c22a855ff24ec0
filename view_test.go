// What the tests of all screens share: golden screens, which are pictures that a reviewer can read, and a check that a
// screen stays within its area.

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// viewSizes are the sizes of terminals that golden screens are made for.
var viewSizes = [][2]int{{40, 10}, {80, 24}, {120, 40}}

// viewGolden compares a screen with testdata/screens/NAME.WxH.txt: its text between bars, a row where the cursor is,
// and its styles, one letter for a colour and a mark for attributes. -update writes the file anew.
func viewGolden(t *testing.T, name string, g *termGrid) {
	t.Helper()
	file := filepath.Join("testdata", "screens", fmt.Sprintf("%s.%dx%d.txt", name, g.w, g.h))
	got := viewPicture(g)
	if *protocolUpdate {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: make it with go test -run %s -update .", err, t.Name())
	}
	if got != string(want) {
		t.Errorf("%s is not what is drawn; if it should be, write it anew with -update. Drawn is:\n%s", file, got)
	}
	viewBudget(t, name, g)
}

// viewBudget holds a screen to the bytes that it may take as a whole frame. A letter whose width is in doubt takes
// more: it has up to four bytes, and the column is set behind it.
func viewBudget(t *testing.T, name string, g *termGrid) {
	t.Helper()
	most := map[int]int{40: 700, 80: 2500, 120: 4500}[g.w]
	for _, c := range g.cells {
		if c.doubtful() {
			most += 3 + termMoveCost
		}
	}
	c := termCanvasNew(t, g.w, g.h, &termPainter{})
	c.termGrid = g
	if n := len(c.show(name)); n > most {
		t.Errorf("%s takes %d bytes as a whole frame of %dx%d, more than %d", name, n, g.w, g.h, most)
	}
}

// viewPicture writes a screen as a text block and a style block. A wide letter takes two columns in both.
func viewPicture(g *termGrid) string {
	var text, style strings.Builder
	for y := range g.h {
		row, looks := "", ""
		for x := range g.w {
			c := g.cells[y*g.w+x]
			if c.r != 0 {
				row += string(c.r)
			}
			if c.mark != 0 {
				row += string(c.mark)
			}
			looks += viewStyleLetter(c.style)
		}
		fmt.Fprintf(&text, "|%s|\n", row)
		fmt.Fprintf(&style, "|%s|\n", looks)
	}
	return fmt.Sprintf("%scursor %d,%d\n%s", text.String(), g.cursorX, g.cursorY, style.String())
}

// viewStyleLetter writes a style as one letter: the first of the colour (k is black), else a mark; capital letters are
// bold, and "@" stands for all that is reverse.
func viewStyleLetter(s termStyle) string {
	letter := string(" krgybmcw"[min(s&styleColor, 8)])
	switch {
	case s&styleReverse != 0:
		return "@"
	case s&styleUnderline != 0:
		return "_"
	case letter == " " && s&styleBold != 0:
		return "*"
	case letter == " " && s&styleDim != 0:
		return "."
	case s&styleBold != 0:
		return strings.ToUpper(letter)
	}
	return letter
}

// viewHostile are texts that must do no harm wherever they are drawn.
var viewHostile = []string{"", " ", "\x1b]0;PWN\x07", "\x1b[2J\x1b[1;1H", "a\u202eb", "\u0301\u0302x", "日本語のタスク",
	"\xff\xfe\x80", "\u009b31m", "e\u0301e\u0301",
	"👩‍👩‍👧‍👦", "tab\tand\nline\r", "\u200b\u200b", strings.Repeat("x", 300), strings.Repeat("界", 150), "\x00", "100%",
	"plain"}

// viewWithin draws into random areas of a grid that is full of letters, and wants all outside the area untouched.
func viewWithin(t *testing.T, random *rand.Rand, draw func(g *termGrid, a viewArea)) {
	t.Helper()
	g := termGridNew(1+random.IntN(210), 1+random.IntN(70))
	for i := range g.cells {
		g.cells[i] = termCell{r: 'X', style: styleBlue}
	}
	a := viewArea{x: random.IntN(g.w), y: random.IntN(g.h)}
	a.w, a.h = random.IntN(g.w-a.x+1), random.IntN(g.h-a.y+1)
	draw(g, a)
	for i, c := range g.cells {
		x, y := i%g.w, i/g.w
		inside := x >= a.x && x < a.x+a.w && y >= a.y && y < a.y+a.h
		switch {
		case !inside && c != termCell{r: 'X', style: styleBlue}:
			t.Fatalf("%dx%d, area %+v: the cell at %d,%d is now %+v", g.w, g.h, a, x, y, c)
		case inside && c.r != 0 && (c.r < ' ' || c.r >= 0x7f && c.r < 0xa0):
			t.Fatalf("%dx%d, area %+v: the cell at %d,%d holds %+q", g.w, g.h, a, x, y, c.r)
		}
	}
	if a.w > 0 && a.h > 0 && (g.cursorX < 0 || g.cursorX >= g.w || g.cursorY < 0 || g.cursorY >= g.h) {
		t.Fatalf("%dx%d, area %+v: the cursor is at %d,%d", g.w, g.h, a, g.cursorX, g.cursorY)
	}
}

// viewStamp gives a time of the fixtures.
func viewStamp(clock string) Stamp {
	at, err := time.Parse(time.RFC3339, "2026-03-04T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return stampOf(at)
}
