package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// termHostile are texts that must not reach a terminal as they are.
var termHostile = []string{
	"\x1b[2J\x1b]0;pwned\a", "\x1b]52;c;cm0gLXJm\x1b\\", "\u009b31m\u0090\u009c", "a\u202eb\u2066c\u200fd",
	"\x00\x07\x08\x7f\x0e", "\xff\xfe\xc3(", "soft\u00adhyphen\ufeff", "zwj\u200d\u2028\u2029",
	"flag \U0001F1E9\U0001F1EA", "heart \u2764\ufe0f", "tag\U000E0041", "a\u0301\u0302\u0303b\u20dd", "\u0301first",
	"tab\tcr\rlf\n", "日本語テキスト", "🎉🎉 wide", "Ünïcödé ±§", "한국어", "\u1160\u11ff", "ﷺ",
	"dev \U0001F469\u200D\U0001F4BB on", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466",
	"\U0001F3C3\u200D\u2642\ufe0f\U0001F3C3", "\u2764\ufe0f\u200D\U0001F525\u0301", "\u200D\U0001F525\u200D",
	"\U0001F469\u200D\u200D\U0001F4BBx",
}

// termCanvas is a screen, its painter, and the terminal that it paints on.
type termCanvas struct {
	t *testing.T
	*termGrid
	p *termPainter
	e *termEmulator
}

func termCanvasNew(t *testing.T, w, h int, p *termPainter) *termCanvas {
	c := &termCanvas{t, termGridNew(w, h), p, termEmulatorNew(w, h)}
	c.e.Write([]byte(termEnterText))
	return c
}

// show paints the screen, sees that the terminal shows it, and gives what was sent for it.
func (c *termCanvas) show(what string) string {
	c.t.Helper()
	out := string(c.p.frame(c.termGrid))
	c.e.frame([]byte(out))
	if c.e.fault != "" {
		c.t.Fatalf("%s: %s\n%q", what, c.e.fault, out)
	}
	firsts := termJoinedCells(c.termGrid, c.p)
	for i, want := range c.cells {
		switch first := firsts[i]; {
		case first < 0:
			want.join = false
		case c.e.joiner == termJoinerColumn:
			continue // pictures, one of them perhaps only half
		case i == first && c.e.joiner == termJoinerJoins:
			want.join, want.mark = true, c.e.cells[i].mark // all of them are there, with their marks
		case i >= first+textRuneWidth(c.cells[first].r) && c.e.joiner == termJoinerJoins:
			want = termCell{r: ' ', style: c.cells[first].style}
		case i == first:
			want.join = false // it is the others that are joined to it
		}
		switch {
		case want.r == 0 && c.p.ascii && c.cells[i-1].r > 0x7e:
			want = termCell{r: '?', style: c.cells[i-1].style}
		case want.r == 0:
			want.style = c.cells[i-1].style // a letter has one style
		case want.r > 0x7e && c.p.ascii:
			want.r = '?'
		}
		if c.p.ascii {
			want.mark = 0
		}
		if c.p.noColor {
			want.style &^= styleColor
		}
		if got := c.e.cells[i]; got != termSeen(want) {
			c.t.Fatalf("%s: column %d, row %d shows %+v, not %+v\n%q\n%s", what, i%c.w, i/c.w, got, want, out,
				strings.Join(c.e.lines(), "\n"))
		}
	}
	if c.e.x != min(max(c.cursorX, 0), c.w-1) || c.e.y != min(max(c.cursorY, 0), c.h-1) || c.e.doubt {
		c.t.Fatalf("%s: the cursor is at %d, %d (%t), not at %d, %d", what, c.e.x, c.e.y, c.e.doubt, c.cursorX,
			c.cursorY)
	}
	if again := c.p.frame(c.termGrid); again != nil {
		c.t.Fatalf("%s: nothing has changed and this is sent: %q", what, again)
	}
	return out
}

// termJoinedCells gives for each cell of letters that a painter joins the cell of the first of them, and -1 for every
// other.
func termJoinedCells(g *termGrid, p *termPainter) []int {
	firsts := slices.Repeat([]int{-1}, len(g.cells))
	for i := 0; i < len(g.cells); {
		n := p.joined(g.cells[i : i+g.w-i%g.w])
		for k := range n {
			firsts[i+k] = i
		}
		i += max(n, textRuneWidth(g.cells[i].r))
	}
	return firsts
}

// edit changes something.
func (c *termCanvas) edit(random *rand.Rand, hostile bool) {
	x, y, w := random.IntN(c.w+4)-2, random.IntN(c.h+2)-1, random.IntN(c.w+3)
	style := []termStyle{0, 0, 0, styleRed, styleCyan | styleBold, styleReverse, styleDim | styleUnderline,
		styleYellow | styleReverse}[random.IntN(8)]
	text := fmt.Sprintf("%0*d", random.IntN(c.w+5), random.Uint32())
	switch n := random.IntN(6); {
	case n == 0 && hostile:
		text = termHostile[random.IntN(len(termHostile))]
	case n == 1:
		text = []string{"日本語", "über", "e\u0301a\u0300", "x日y", "   "}[random.IntN(5)]
	}
	switch random.IntN(12) {
	case 0, 1, 2:
		c.put(x, y, style, text)
	case 3:
		c.cell(x, y, w, style, text)
	case 4:
		c.right(x, y, w, style, text)
	case 5, 6:
		c.fill(x, y, w, style)
	case 7:
		c.restyle(x, y, w, style)
	case 8, 9: // a band scrolls
		top := random.IntN(c.h)
		end := top + random.IntN(c.h-top+1)
		shift := min(random.IntN(5), end-top) * c.w
		band := c.cells[top*c.w : end*c.w]
		if random.IntN(2) == 0 {
			copy(band, band[shift:])
		} else {
			copy(band[shift:], slices.Clone(band))
		}
	case 10:
		c.cursorX, c.cursorY = x, y
	case 11:
		if random.IntN(6) == 0 {
			c.clear()
		}
	}
}

// Whatever is drawn on whatever was there, the terminal shows it.
func TestTermPaintRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		size := [][2]int{{80, 24}, {120, 40}, {40, 10}, {7, 5}, {3, 8}, {2, 1}, {1, 3}}[seed%7]
		c := termCanvasNew(t, size[0], size[1], &termPainter{noColor: seed%5 == 1, ascii: seed%5 == 2,
			plain: seed%5 == 3})
		c.e.joiner = termEmulatorJoiner(seed % 3)
		for frame := range 200 {
			for range random.IntN(6) {
				c.edit(random, true)
			}
			switch random.IntN(40) {
			case 0:
				c.p.forget()
				c.e.Write([]byte("\x1b[0;7;31m\x1b[0;4m")) // somebody else was there
			case 1:
				w, h := max(1, c.w+random.IntN(5)-2), max(1, c.h+random.IntN(5)-2)
				c.termGrid = termGridNew(w, h)
				c.e.resize(w, h)
				if c.p.w == w && c.p.h == h {
					c.p.forget()
				}
			}
			c.show(fmt.Sprintf("seed %d, frame %d, %dx%d", seed, frame, c.w, c.h))
		}
		if c.e.fullFrames == 200 {
			t.Error("every frame was a whole one")
		}
	}
}

// Joined pictures take the columns that they take apart, whatever a terminal makes of the joiner, and what is around
// them stays as it is when they come, change, and go.
func TestTermPaintJoined(t *testing.T) {
	const dev, family = "\U0001F469\u200D\U0001F4BB", "\U0001F468\u200D\U0001F469\u200D\U0001F467"
	for joiner := range termJoinerColumn + 1 {
		for _, texts := range [][]string{
			{"ab" + dev + "cd", "ab" + family + "d"}, {"ab" + dev + "cd", "ab\U0001F469  cd"},
			{"ab" + dev + "cd", "abxxxxcd"}, {"ab" + dev + "cd", "ab\U0001F469"},
			{family, dev + "xx"}, {"x" + dev + family, "y" + dev + family}, {dev + dev + dev, dev + "    " + dev},
			{"日" + dev + "本", "日本" + dev}, {dev + "\u0301x", dev + "x"},
		} {
			c := termCanvasNew(t, 12, 2, &termPainter{})
			c.e.joiner = joiner
			for i := range 6 {
				c.clear()
				c.put(0, 0, 0, texts[i%2])
				c.put(10, 0, styleRed, "||")
				c.put(i%3, 1, 0, texts[i%2])
				c.show(fmt.Sprintf("joiner %d, %q, %d", joiner, texts, i))
			}
			c.restyle(0, 0, 3, styleReverse) // a part of them
			c.show(fmt.Sprintf("joiner %d, %q, in part", joiner, texts))
		}
	}
	c := termCanvasNew(t, 20, 1, &termPainter{})
	c.put(0, 0, 0, dev+"x")
	if out := c.show("a joined picture"); !strings.Contains(out, "    \r"+dev+"\x1b[;5Hx") {
		t.Errorf("sent %q", out)
	}
	for _, p := range []*termPainter{{ascii: true}, {plain: true}} { // they cannot, or nobody knows
		c := termCanvasNew(t, 20, 1, p)
		c.put(0, 0, 0, dev+"x")
		if out := c.show("no joined picture"); strings.ContainsRune(out, termJoiner) {
			t.Errorf("sent %q", out)
		}
	}
}

// A joiner is text between two pictures only, and in columns it is left out: there a terminal that joins would have
// them crooked.
func TestTextJoiner(t *testing.T) {
	const dev = "\U0001F469\u200D\U0001F4BB"
	for text, want := range map[string]string{
		dev: dev, "a" + dev + "b": "a" + dev + "b", "a\u200db": "a\uFFFDb", "\u200d\U0001F4BB": "\uFFFD\U0001F4BB",
		"\U0001F469\u200d":                 "\U0001F469\uFFFD",
		"\U0001F469\u200d\u200d\U0001F4BB": "\U0001F469\uFFFD\uFFFD\U0001F4BB",
		"\u2764\ufe0f\u200d\U0001F525":     "\u2764\ufe0f\u200d\U0001F525", "क्\u200dष": "क्\uFFFDष",
		"\U0001F469\u200d\x1b[2J": "\U0001F469\uFFFD^[[2J",
	} {
		if got := textSafe(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if w := textWidth(dev); w != 4 {
		t.Errorf("%d columns", w)
	}
	if cut := textCut(dev, 3); cut != "\U0001F469~" {
		t.Errorf("cut it is %q", cut)
	}
	var out strings.Builder
	if err := painterOf(&out, "never", func(string) string { return "" }).table([]string{"A", "B"},
		[][]tableCell{{{text: dev}, {text: "x"}}, {{text: "four"}, {text: "y"}}}); err != nil ||
		out.String() != "A     B\n\U0001F469\U0001F4BB  x\nfour  y\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	var back string
	if text := string(textJSON([]byte(`"` + dev + `"`))); strings.ContainsRune(text, termJoiner) ||
		json.Unmarshal([]byte(text), &back) != nil || back != dev {
		t.Errorf("JSON has %q, which is %q", text, back)
	}
}

func TestTermPaintRules(t *testing.T) {
	sync := func(text string) string { return termSyncBegin + text + termSyncEnd }
	rows := func(c *termCanvas, first int) {
		for y := range 8 {
			c.cell(0, y+1, 40, 0, strings.Repeat(string(rune('a'+first+y)), 38))
		}
	}
	short := func(c *termCanvas, letters string) {
		for y, letter := range letters {
			c.put(0, y+1, 0, strings.Repeat(string(letter), 12))
		}
	}
	counted := func(c *termCanvas, from int) {
		for y := range 10 {
			c.put(0, y, 0, fmt.Sprintf("row %d", from+y))
		}
	}
	for _, c := range []struct {
		name          string
		p             termPainter
		before, after func(c *termCanvas)
		want          string
	}{
		{"a cell", termPainter{}, func(c *termCanvas) {}, func(c *termCanvas) { c.put(5, 2, 0, "x") },
			sync("\x1b[3;6Hx\x1b[H")},
		{"of a plain terminal", termPainter{plain: true}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(5, 0, 0, "x") }, "\x1b[5Cx\r"},
		{"the cursor alone", termPainter{}, func(c *termCanvas) {}, func(c *termCanvas) { c.cursorX, c.cursorY = 0, 3 },
			sync("\x1b[4H")},
		{"beyond the edge it stays at it", termPainter{}, func(c *termCanvas) {},
			func(c *termCanvas) { c.cursorX, c.cursorY = 99, 99 }, sync("\x1b[10;40H")},
		{"a small gap is written again", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "a....b") },
			func(c *termCanvas) { c.put(0, 0, 0, "A....B") }, sync("A....B\r")},
		{"a larger one is leapt over", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "a.....b") },
			func(c *termCanvas) { c.put(0, 0, 0, "A.....B") }, sync("A\x1b[5CB\r")},
		{"and one of another style", termPainter{}, func(c *termCanvas) { c.put(1, 0, styleRed, "..") },
			func(c *termCanvas) { c.put(0, 0, 0, "A"); c.put(3, 0, 0, "B") }, sync("A\x1b[2CB\r")},
		{"the next row's start", termPainter{}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(9, 0, 0, "a"); c.put(0, 1, 0, "b"); c.put(1, 2, 0, "c") },
			sync("\x1b[9Ca\r\nb\r\n c\x1b[H")},
		{"a column of the next row", termPainter{}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(0, 0, 0, "a"); c.put(9, 1, 0, "b"); c.put(4, 2, styleRed, "c") },
			sync("a\r\n\x1b[9Cb\r\n    \x1b[0;31mc\x1b[H")},
		{"a blank of another colour", termPainter{}, func(c *termCanvas) { c.put(0, 0, styleRed, "  a") },
			func(c *termCanvas) { c.put(0, 0, styleGreen|styleBold, "  a") }, sync("  \x1b[0;1;32ma\r")},
		{"a blank between colours", termPainter{}, func(c *termCanvas) {}, func(c *termCanvas) {
			c.put(0, 0, styleRed, "a")
			c.put(2, 0, styleRed, "b  ")
			c.put(5, 0, styleDim, "c")
		}, sync("\x1b[0;31ma b  \x1b[0;2mc\r")},
		{"a blank on which a style shows", termPainter{}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(0, 0, styleUnderline|styleRed, "a b"); c.put(3, 0, 0, "  c") },
			sync("\x1b[0;4;31ma b\x1b[2C\x1b[0mc\r")},
		{"a blank in place of one", termPainter{}, func(c *termCanvas) { c.put(0, 0, styleReverse, "a  ") },
			func(c *termCanvas) { c.put(0, 0, styleBold, "a  ") }, sync("\x1b[0;1ma  \r")},
		{"a tail without a style", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "a text") },
			func(c *termCanvas) { c.fill(1, 0, 39, styleRed) }, sync("\x1b[2C\x1b[K\r")},
		{"a tail is erased", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "a text") },
			func(c *termCanvas) { c.fill(1, 0, 39, 0) }, sync("\x1b[2C\x1b[K\r")},
		{"not for three cells", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "abcd") },
			func(c *termCanvas) { c.fill(1, 0, 39, 0) }, sync("a   \r")},
		{"not where there is a style", termPainter{}, func(c *termCanvas) { c.put(0, 0, styleReverse, "abcdef") },
			func(c *termCanvas) { c.fill(0, 0, 6, styleReverse) }, sync("\x1b[0;7m      \r")},
		{"styles once", termPainter{}, func(c *termCanvas) {}, func(c *termCanvas) {
			c.put(0, 0, styleBold|styleDim|styleUnderline|styleReverse|styleWhite, "ab")
			c.put(2, 0, styleBlack, "c")
		}, sync("\x1b[0;1;2;4;7;37mab\x1b[0;30mc\r")},
		{"no colours", termPainter{noColor: true}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(0, 0, styleRed, "a"); c.put(1, 0, styleRed|styleBold, "b") },
			sync("a\x1b[0;1mb\r")},
		{"after a wide letter the column is set", termPainter{}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(0, 0, 0, "日é本x") }, sync("日\x1b[;3Hé本\x1b[;6Hx\r")},
		{"after a mark too", termPainter{}, func(c *termCanvas) {}, func(c *termCanvas) { c.put(0, 0, 0, "e\u0301x") },
			sync("e\u0301\x1b[;2Hx\r")},
		{"not as ASCII", termPainter{ascii: true}, func(c *termCanvas) {},
			func(c *termCanvas) { c.put(0, 0, 0, "日éa\u0301") }, sync("???a\r")},
		{"the right half is written over", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "日本") },
			func(c *termCanvas) { c.put(1, 0, 0, "x") }, sync(" x\r")},
		{"the left half is written over", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "日本") },
			func(c *termCanvas) { c.put(0, 0, 0, "x") }, sync("x \r")},
		{"a wide one over two halves", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "日本") },
			func(c *termCanvas) { c.put(1, 0, 0, "語") }, sync(" 語\x1b[;4H \r")},
		{"the style of a right half", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "日") },
			func(c *termCanvas) { c.restyle(0, 0, 2, styleBold) }, sync("\x1b[0;1m日\r")},
		{"the style of the right half alone", termPainter{}, func(c *termCanvas) { c.put(0, 0, 0, "日") },
			func(c *termCanvas) { c.restyle(1, 0, 1, styleBold) }, sync("日\r")},
		{"rows that are as cheap to write", termPainter{}, func(c *termCanvas) { short(c, "abcdefg") },
			func(c *termCanvas) { short(c, "defgefg") },
			sync("\r\n" + strings.Repeat("d", 12) + "\r\n" + strings.Repeat("e", 12) + "\r\n" +
				strings.Repeat("f", 12) + "\r\n" + strings.Repeat("g", 12) + "\x1b[H")},
		{"rows that differ in little, and move up", termPainter{}, func(c *termCanvas) { counted(c, 10) },
			func(c *termCanvas) { counted(c, 11) }, sync("\x1b[1;10r\x1b[M\x1b[r\x1b[10Hrow 20\x1b[H")},
		{"rows that move up", termPainter{}, func(c *termCanvas) { rows(c, 0) }, func(c *termCanvas) { rows(c, 1) },
			sync("\x1b[2;9r\r\n\x1b[M\x1b[r\x1b[9H" + strings.Repeat("i", 38) + "\x1b[H")},
		{"rows that move down", termPainter{}, func(c *termCanvas) { rows(c, 3) }, func(c *termCanvas) { rows(c, 1) },
			sync("\x1b[2;9r\r\n\x1b[2L\x1b[r\r\n" + strings.Repeat("b", 38) + "\r\n" + strings.Repeat("c", 38) +
				"\x1b[H")},
	} {
		canvas := termCanvasNew(t, 40, 10, &c.p)
		c.before(canvas)
		canvas.show(c.name + ": before")
		canvas.p.look(0)
		canvas.e.style = 0
		c.after(canvas)
		if got := canvas.show(c.name); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	c := termCanvasNew(t, 40, 10, &termPainter{})
	c.put(0, 0, 0, "x")
	if got, want := c.show("first"), sync("\x1b[0m\x1b[r\x1b[2Jx\r"); got != want {
		t.Errorf("a whole frame: %q, want %q", got, want)
	}
	if (&termPainter{}).frame(termGridNew(0, 0)) != nil {
		t.Error("a screen of no size is painted")
	}
}

// termScreenRuns draws something like the list of runs, termScreenLog something like a log.
func termScreenRuns(g *termGrid, selected, first int) {
	g.clear()
	g.cell(0, 0, g.w, styleReverse, " cdktr site-42  Runs  site07-backup                         run 1  fail 3  LIVE")
	g.put(0, 1, styleBold, "  STATE   RUN      STARTED       TOOK  TASKS  TRIGGER  AGENT    REASON")
	for y := 2; y < g.h-2; y++ {
		n := first + y
		x := g.put(2, y, []termStyle{styleGreen, styleRed | styleBold, styleCyan | styleBold}[n%3],
			[]string{"+ ok  ", "! fail", "* run "}[n%3])
		g.put(x, y, 0, fmt.Sprintf("  r%06d  02:%02d:00     %2d:%02d  %d/9    cron     edge-%02d  %s", n*7919%100000,
			n%60, n%24, n*7%60, n%9, n%5, []string{"", "dump exit 3", ""}[n%3]))
	}
	g.put(0, selected, 0, ">")
	g.restyle(0, selected, g.w, styleReverse)
	g.cell(0, g.h-2, g.w, 0, fmt.Sprintf(" %d-%d of 211   sort:started", first, first+g.h-4))
	g.cell(0, g.h-1, g.w, 0, " enter open  l log  x cancel  r rerun  t retry  / filter  esc back  ? help")
	g.cursorX, g.cursorY = 0, selected
}

func termScreenLogLine(n int) string {
	return fmt.Sprintf("02:%02d:%02d copied chunk %05d of 20000 sha256=%08x ok", n/60%60, n%60, n, uint32(n)*2654435769)
}

func termScreenLog(g *termGrid, lines int) {
	g.clear()
	g.cell(0, 0, g.w, styleReverse, " cdktr site-42  r001280  dump  log                                 FOLLOW  LIVE")
	for y := 1; y < g.h-2; y++ {
		g.put(0, y, 0, termScreenLogLine(lines-(g.h-3)+y))
	}
	g.cell(0, g.h-2, g.w, 0, fmt.Sprintf("line %d of %d   stdout+stderr   12.4 KB", lines, lines))
	g.cell(0, g.h-1, g.w, 0, " f follow  / search  n N  w wrap  t times  o out/err  s save  esc back  ? help")
	g.cursorX, g.cursorY = 0, g.h-3
}

// What a user does costs few bytes: at 2 KB/s they are the time it takes.
func TestTermPaintBudgets(t *testing.T) {
	for _, c := range []struct{ w, h, whole, cursor, scroll, line int }{{80, 24, 2500, 300, 300, 90},
		{120, 40, 4500, 350, 350, 90}} {
		list := termCanvasNew(t, c.w, c.h, &termPainter{})
		bytesOf := func(what string, limit int, draw func()) {
			t.Helper()
			draw()
			n := len(list.show(what))
			t.Logf("%dx%d: %s: %d bytes", c.w, c.h, what, n)
			if n == 0 || n > limit {
				t.Errorf("%dx%d: %s takes %d bytes, more than %d", c.w, c.h, what, n, limit)
			}
		}
		bytesOf("a whole frame", c.whole, func() { termScreenRuns(list.termGrid, 5, 100) })
		bytesOf("the cursor one row down", c.cursor, func() { termScreenRuns(list.termGrid, 6, 100) })
		bytesOf("the cursor one row up", c.cursor, func() { termScreenRuns(list.termGrid, 5, 100) })
		bytesOf("4 timers tick", 16+12*4, func() {
			for y := range 4 {
				list.put(34, 4+2*y, list.cells[(4+2*y)*c.w+34].style, "z")
			}
		})
		list.put(2, c.h-3, 0, "")
		termScreenRuns(list.termGrid, c.h-3, 100)
		list.show("before it scrolls")
		bytesOf("the list scrolls by a row", c.scroll, func() { termScreenRuns(list.termGrid, c.h-3, 101) })
		list.termGrid = termGridNew(c.w, c.h)
		termScreenLog(list.termGrid, 1041)
		list.show("a log")
		for n := 1042; n < 1052; n++ {
			bytesOf("a line of a log", len(termScreenLogLine(n))+c.line, func() { termScreenLog(list.termGrid, n) })
		}
		if n := allocsOf(100, func() { list.p.frame(list.termGrid) }); n != 0 {
			t.Errorf("a frame without a change allocates %v times", n)
		}
	}
}

func BenchmarkTermPaint(b *testing.B) {
	g := termGridNew(120, 40)
	for name, step := range map[string]int{"same": 0, "cursor": 1} {
		b.Run(name, func(b *testing.B) {
			p := &termPainter{}
			row := 0
			for b.Loop() {
				if step > 0 || row == 0 {
					row += step
					termScreenRuns(g, 3+row%20, 100)
					row = max(row, 1)
				}
				p.frame(g)
			}
		})
	}
}

// tmux is a terminal that others have written: it must read the same bytes as we do. It knows nothing of waste or
// colours.
func TestTermPaintTmux(t *testing.T) {
	const w, h = 80, 24
	harness.Need(t, "the test needs tmux", "tmux", "-V")
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tmux := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", filepath.Join(dir, "socket")},
			args...)...)
		cmd.Env = append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8", "TMUX=", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %q: %v: %s", args, err, out)
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	tmux("start-server", ";", "set", "-g", "status", "off", ";", "new-session", "-d", "-x", fmt.Sprint(w), "-y",
		fmt.Sprint(h), "stty raw -echo; exec cat "+pipe)
	file, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for cat
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() }) // after the server's end, which the end of the pipe would bring about as well
	harness.EndTmux(t, tmux)
	c := termCanvasNew(t, w, h, &termPainter{})
	file.WriteString(termEnterText)
	for frame := range 120 {
		seed := uint64(frame)
		random := rand.New(rand.NewPCG(seed, 1))
		for range 1 + random.IntN(5) {
			c.edit(random, false)
		}
		if frame%20 == 0 {
			termScreenLog(c.termGrid, 100)
		} else if frame%20 < 5 {
			termScreenLog(c.termGrid, 100+frame%20)
		}
		title := fmt.Sprintf("frame %d", frame)
		fmt.Fprintf(file, "%s\x1b]2;%s\a", c.show(title), title)
		shown := ""
		for !strings.HasPrefix(shown, title+"\n") { // the title comes behind the frame
			shown = tmux("display-message", "-p", "#{pane_title}", ";", "capture-pane", "-p")
		}
		lines := strings.Split(shown, "\n")[1:]
		for y, want := range c.e.lines() {
			if y >= len(lines) || strings.TrimRight(lines[y], " ") != want {
				t.Fatalf("%s: tmux shows another row %d:\n%s\nwant\n%s", title, y, strings.Join(lines, "\n"),
					strings.Join(c.e.lines(), "\n"))
			}
		}
	}
}

// The cells hold what may be shown and nothing else.
func TestTermGridPut(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\tb": "a b", "\x1b[31m": "\uFFFD[31m", "\u009b": "\uFFFD", "\xff": "\uFFFD",
		"x\u202ey\u2066z\u200d": "xyz", "s\u00adh\ufe0f": "sh",
		"e\u0301\u0302": "e\u0301", " \u0301": "", "日本語": "日本", "a\u2028b": "a\uFFFDb", "\r\n": "\uFFFD\uFFFD",
		"edgee\u0301": "edgee", "\u00a0": "\u00a0",
	} {
		c := termCanvasNew(t, 5, 1, &termPainter{})
		c.put(0, 0, 0, text)
		c.show(text)
		if got := c.e.lines()[0]; got != want {
			t.Errorf("%q is shown as %q, not %q", text, got, want)
		}
	}
	g := termGridNew(10, 2)
	for _, end := range []int{g.cell(0, 0, 6, 0, "too long for it"), g.right(0, 1, 6, 0, "right")} {
		if end != 6 {
			t.Errorf("the column behind is %d", end)
		}
	}
	e := termEmulatorNew(10, 2)
	e.Write([]byte(termEnterText))
	e.frame((&termPainter{}).frame(g))
	if got := strings.Join(e.lines(), "|"); got != "too l~| right" {
		t.Errorf("%q", got)
	}
}

// The referee must be one: what breaks a rule is a fault.
func TestTermEmulatorStrict(t *testing.T) {
	for _, text := range []string{
		"\x1b[6n", "\x1b[?1h", "\x1b[31m", "\x1b[0;31;32m", "\x1b[1A", "\x1bc", "\a", "\x07", "\x00", "\u009b2J",
		"\u202e", "\xff", "日x", "e\u0301x", "0123456789x", "\x1b[3B", "\x1b[H\x1b[H", "\x1b[9;9H",
		"\x1b[4H\n", "\x1b[0;1m\x1b[0;1m", "\x1b[0;7m\x1b[K", "\x1b[2K", "\x1b[10C", "\x1b[3;2r", "\x1b[2;3r",
		"\x1b[2;3r\x1b[M", "\x1b]52;c;eA==\a", "\x1b]2;a\x01\a", "\x1b[2;2t", "\x1b[?2026h",
		"\x1b[?2026h\x1b[?2026h\x1b[?2026l", "\x1b[", "\u0301",
	} {
		e := termEmulatorNew(10, 4)
		e.Write([]byte(termEnterText + "\x1b[r"))
		e.frame([]byte(text))
		if e.fault == "" {
			t.Errorf("%q is no fault", text)
		}
	}
	e := termEmulatorNew(10, 4)
	e.Write([]byte("shell\r\n" + termEnterText + "\x1b[r\x1b[2Jin" + termLeaveText + "\r\nshell"))
	if e.given() != "" || !bytes.Equal(e.outside, []byte("shell\r\n\r\nshell")) {
		t.Errorf("%s: %q", e.given(), e.outside)
	}
}
