package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// viewLogAt is when the lines of these tests were written: local, so that the screens are the same in every zone.
var viewLogAt = time.Date(2026, 3, 4, 2, 0, 13, 0, time.Local)

// viewLogMade makes lines from texts, numbered from n on, one a second. "e:" and "c:" in front choose the stream.
func viewLogMade(n int, texts ...string) []LogLine {
	lines := make([]LogLine, len(texts))
	for i, text := range texts {
		lines[i] = LogLine{Time: stampOf(viewLogAt.Add(time.Duration(n+i) * time.Second)), Run: "R", N: int64(n + i),
			Task: "dump", Attempt: 1, Stream: "o"}
		if stream, rest, ok := strings.Cut(text, ":"); ok && (stream == "e" || stream == "c") {
			lines[i].Stream, text = stream, rest
		}
		lines[i].set([]byte(text))
	}
	return lines
}

// viewLogMany makes lines "line 1" and on.
func viewLogMany(from, to int) []LogLine {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, fmt.Sprintf("line %d", i))
	}
	return viewLogMade(from, texts...)
}

// viewRows reads the text of a grid, row by row, without blanks at the ends.
func viewRows(g *termGrid) []string {
	rows := make([]string, g.h)
	for y := range rows {
		var b strings.Builder
		for _, c := range g.cells[y*g.w : (y+1)*g.w] {
			if c.r != 0 {
				b.WriteRune(c.r)
			}
			if c.mark != 0 {
				b.WriteRune(c.mark)
			}
		}
		rows[y] = strings.TrimRight(b.String(), " ")
	}
	return rows
}

// viewLogShown draws a log without times in a screen of w by h, and gives its rows.
func viewLogShown(v *viewLog, w, h int) string {
	g := termGridNew(w, h)
	v.draw(g, viewArea{0, 0, w, h})
	return strings.Join(viewRows(g), "|")
}

func viewLogPlain() *viewLog {
	v := viewLogNew()
	v.times = false
	return v
}

// TestViewLogMoves goes through a log as keys do, in a screen of four rows.
func TestViewLogMoves(t *testing.T) {
	v := viewLogPlain()
	v.add(viewLogMany(1, 10)...)
	for i, step := range []struct {
		do     func()
		want   string
		follow bool
	}{
		{func() {}, "7..10", true},
		{func() { v.move(1) }, "7..10", true},
		{func() { v.add(viewLogMany(11, 12)...) }, "9..12", true},
		{func() { v.move(-1) }, "8..11", false},
		{func() { v.add(viewLogMany(13, 14)...) }, "8..11", false},
		{func() { v.page(-1) }, "5..8", false},
		{func() { v.halfPage(1) }, "7..10", false},
		{func() { v.page(9) }, "11..14", false},
		{func() { v.add(viewLogMany(15, 15)...) }, "11..14", false},
		{func() { v.home() }, "1..4", false},
		{func() { v.move(-5) }, "1..4", false},
		{func() { v.end() }, "12..15", true},
		{func() { v.toggleFollow() }, "12..15", false},
		{func() { v.add(viewLogMany(16, 16)...) }, "12..15", false},
		{func() { v.toggleFollow() }, "13..16", true},
		{func() { v.home(); v.prepend(viewLogMany(-3, 0)...) }, "1..4", false},
		{func() { v.move(-2) }, "-1..2", false},
		{func() { v.home() }, "-3..0", false},
		{func() { v.reset() }, "", true},
		{func() {
			v.move(-1)
			v.page(1)
			v.home()
			v.next(1)
			v.panBy(3)
			v.toggleFollow()
		}, "", true},
	} {
		step.do()
		rows := strings.Split(viewLogShown(v, 20, 4), "|")
		got := strings.ReplaceAll(rows[0]+".."+rows[3], "line ", "")
		if rows[0] == "" {
			got = ""
		}
		if got != step.want || v.follow != step.follow {
			t.Errorf("step %d: %s, follow %v; want %s, %v", i, got, v.follow, step.want, step.follow)
		}
	}
}

// TestViewLogBounds: a flood of lines leaves the newest, within what is said to be the most; and what someone reads
// stays.
func TestViewLogBounds(t *testing.T) {
	t.Parallel()
	v := viewLogNew()
	v.setSearch("line")
	long := strings.Repeat("x", 3000)
	for i := range 4 * viewLogLines {
		line := viewLogMade(i+1, fmt.Sprint("line ", i+1))
		if i%3 == 0 && i > 2*viewLogLines {
			line[0].Text += long
		}
		v.add(line...)
		if len(v.lines) > viewLogLines || v.bytes > viewLogBytes || len(v.shown) != len(v.lines) {
			t.Fatalf("%d lines, %d shown, %d bytes", len(v.lines), len(v.shown), v.bytes)
		}
	}
	bytes, size := 0, 0
	for i := range v.lines {
		bytes, size = bytes+v.lines[i].cost(), size+len(v.lines[i].text)
	}
	if v.hits != len(v.lines) {
		t.Errorf("%d hits in %d lines with one each", v.hits, len(v.lines))
	}
	if bytes != v.bytes || size != v.size || v.names["dump"] != len(v.lines) {
		t.Errorf("%d bytes, %d of text, %d of the task; counted %d, %d, %d", v.bytes, v.size, v.names["dump"], bytes,
			size, len(v.lines))
	}
	if last := v.lines[len(v.lines)-1]; last.n != 4*viewLogLines {
		t.Errorf("the last line is number %d", last.n)
	}

	v.home()
	oldest := v.oldest()
	for range 7 {
		v.add(viewLogMade(1, strings.Repeat("new ", 2000))...)
	}
	if v.behind != 7 || v.oldest() != oldest {
		t.Errorf("with the oldest line on the screen, new ones pushed it out: %d behind", v.behind)
	}
	if _, right := v.status(); !strings.HasPrefix(right, "7 newer: G   ") {
		t.Errorf("status %q", right)
	}

	v.reset()
	v.add(viewLogMany(1001, 1000+viewLogLines)...)
	v.home()
	v.prepend(viewLogMany(1, 1000)...)
	if v.oldest() != 1 || len(v.lines) != viewLogLines || v.behind != 1000 ||
		v.row(v.shown[v.index(v.top.seq)]).n != 1001 {
		t.Errorf("after older lines: oldest %d, %d lines, %d behind, top %v", v.oldest(), len(v.lines), v.behind, v.top)
	}
}

// TestViewLogMemory weighs a full log, of lines as short as they come and of very long ones.
func TestViewLogMemory(t *testing.T) {
	for name, text := range map[string]string{"short": "x", "medium": strings.Repeat("m", 250),
		"huge": strings.Repeat("h", 1<<20), "hostile": strings.Repeat("\x1b[31m\x00", 1<<12),
		"colours": strings.Repeat("\x1b[31ma\x1b[32mb", 600)} {
		weigh := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := weigh()
		v := viewLogNew()
		n := 2 * viewLogLines
		if len(text) > 1<<10 {
			n = 400
		}
		for i := range n {
			v.add(viewLogMade(i, strings.Clone(text))...)
		}
		if took := int64(weigh() - before); took > 2*viewLogBytes {
			t.Errorf("%s: a full log takes %d bytes", name, took)
		}
		runtime.KeepAlive(v)
	}
}

// TestViewLogFilters: which lines are shown.
func TestViewLogFilters(t *testing.T) {
	v := viewLogPlain()
	v.add(viewLogMade(1, "start", "e:bad start", "c:[cdktr: 3 lines were dropped]", "Go on", "e:bad end")...)
	other := viewLogMade(6, "other start")
	other[0].Task = "load"
	v.add(other...)
	v.gap("2 lines lost")
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "dump start|dump bad start|~~ 3 lines were dropped ~~|dump Go on|dump bad end|load other " +
			"start|~~ 2 lines lost ~~"},
		{func() { v.cycleStreams() }, "dump start|~~ 3 lines were dropped ~~|dump Go on|load other start|~~ 2 lines " +
			"lost ~~"},
		{func() { v.cycleStreams() }, "dump bad start|~~ 3 lines were dropped ~~|dump bad end|~~ 2 lines lost ~~"},
		{func() { v.cycleStreams(); v.setTask("load") }, "other start|~~ 2 lines lost ~~"},
		{func() { v.setTask("dump"); v.setOnly("start") },
			"start|bad start|~~ 3 lines were dropped ~~|~~ 2 lines lost ~~"},
		{func() { v.setOnly("start !bad") }, "start|~~ 3 lines were dropped ~~|~~ 2 lines lost ~~"},
		{func() { v.setOnly("Start") }, "~~ 3 lines were dropped ~~|~~ 2 lines lost ~~"},
		{func() { v.setOnly("go ! on") }, "~~ 3 lines were dropped ~~|Go on|~~ 2 lines lost ~~"},
		{func() { v.setOnly("re:(go|bad) ?(on|e)") }, "~~ 3 lines were dropped ~~|Go on|bad end|~~ 2 lines lost ~~"},
		{func() {
			if fault := v.setOnly("re:(go"); fault != "not a regular expression: missing closing ): `(go`" {
				t.Error(fault)
			}
		}, "~~ 3 lines were dropped ~~|Go on|bad end|~~ 2 lines lost ~~"},
		{func() {
			v.add(viewLogMade(8, "go one",
				"stay")...)
		}, "~~ 3 lines were dropped ~~|Go on|bad end|~~ 2 lines lost ~~|go one"},
	} {
		step.do()
		if got := strings.TrimRight(viewLogShown(v, 40, 8), "|"); got != step.want {
			t.Errorf("step %d: %s\nwant %s", i, got, step.want)
		}
	}
}

// TestViewLogSearch types a search and goes through what it finds.
func TestViewLogSearch(t *testing.T) {
	v := viewLogPlain()
	v.add(viewLogMade(1, "Alpha a", "beta", "gamma ALPHA", "delta", "alpha alpha", "eps", "zeta", "eta")...)
	v.home()
	viewLogShown(v, 20, 3)
	for i, step := range []struct {
		do   func()
		left string
		top  string
	}{
		{func() { v.searchBegin(); v.setSearch("a") }, "/a  match 1 of 15", "Alpha a"},
		{func() { v.setSearch("al") }, "/al  match 1 of 4", "Alpha a"},
		{func() { v.setSearch("zet") }, "/zet  match 1 of 1", "eps"},
		{func() { v.setSearch("zetx") }, "/zetx  no match", "Alpha a"},
		{func() { v.setSearch("alpha") }, "/alpha  match 1 of 4", "Alpha a"},
		{func() { v.searchEnd(true); v.next(1) }, "/alpha  match 2 of 4", "Alpha a"},
		{func() { v.next(1) }, "/alpha  match 3 of 4", "delta"},
		{func() { v.next(1) }, "/alpha  match 4 of 4", "delta"},
		{func() {
			if !v.next(1) {
				t.Error("around the end, and it is not said")
			}
		}, "/alpha  match 1 of 4", "Alpha a"},
		{func() {
			if !v.next(-1) {
				t.Error("around the start, and it is not said")
			}
		}, "/alpha  match 4 of 4", "delta"},
		{func() { v.next(-1); v.next(-1) }, "/alpha  match 2 of 4", "beta"},
		{func() { v.home(); v.next(1) }, "/alpha  match 3 of 4", "delta"},
		{func() { v.end(); v.next(-1) }, "/alpha  match 4 of 4", "delta"},
		{func() { v.add(viewLogMade(9, "more alpha")...) }, "/alpha  match 4 of 5", "delta"},
		{func() { v.setOnly("more") }, "&more  /alpha  1 matches", "more alpha"},
		{func() { v.setOnly(""); v.home(); v.searchBegin(); v.setSearch("eta") }, "/eta  match 1 of 3", "Alpha a"},
		{func() { v.setSearch("re:[") }, "not a regular expression: missing closing ]: `[`", "Alpha a"},
		{func() { v.setSearch("Alpha") }, "/Alpha  match 1 of 1", "Alpha a"},
		{func() { v.setSearch("zeta") }, "/zeta  match 1 of 1", "eps"},
		{func() { v.searchEnd(false) }, "/alpha  match 4 of 5", "Alpha a"},
		{func() { v.end(); v.searchBegin(); v.setSearch("alpha") }, "/alpha  match 5 of 5", "zeta"},
		{func() { v.setSearch("beta") }, "/beta  match 1 of 1", "Alpha a"},
		{func() { v.searchEnd(false) }, "/alpha  match 4 of 5", "zeta"},
		{func() { v.setSearch("") }, "", "zeta"},
	} {
		step.do()
		rows := strings.Split(viewLogShown(v, 20, 3), "|")
		if left, _ := v.status(); left != step.left || rows[0] != step.top {
			t.Errorf("step %d: %q, top %q; want %q, %q", i, left, rows[0], step.left, step.top)
		}
	}
	if !v.follow {
		t.Error("a search that was given up ended following")
	}
}

// TestViewLogScrolls: while following, n new rows move the screen up by n rows, and nothing else changes.
func TestViewLogScrolls(t *testing.T) {
	for _, wrap := range []bool{false, true} {
		v := viewLogPlain()
		v.wrap = wrap
		v.add(viewLogMany(1, 50)...)
		v.setSearch("line 5")
		v.hit = viewLogHit{nth: -1}
		v.end()
		before := strings.Split(viewLogShown(v, 30, 10), "|")
		v.add(viewLogMade(51, strings.Repeat("abc ", 12), "next")...)
		rows := 2
		if wrap {
			rows = 3
		}
		after := strings.Split(viewLogShown(v, 30, 10), "|")
		if got, want := strings.Join(after[:10-rows], "|"), strings.Join(before[rows:], "|"); got != want {
			t.Errorf("wrap %v: %s\nwant %s", wrap, got, want)
		}
	}
}

// TestViewLogLong: long lines are cut, moved sideways, or wrapped, also when letters are wide.
func TestViewLogLong(t *testing.T) {
	v := viewLogPlain()
	v.add(viewLogMade(1, "abcdefghijklmnopqrstuvwxyz", "日本語日本語日本語日本語日本語", "short", "\u0301x")...)
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "abcdefghijklmnopqrs>|日本語日本語日本語 >|short|x"},
		{func() { v.panBy(3) }, "<efghijklmnopqrstuv>|<語日本語日本語日本>|<t|<"},
		{func() { v.panBy(100) }, "<lmnopqrstuvwxyz|< 日本語日本語日本語|<|<"},
		{func() { v.panBy(-100); v.setSearch("xyz") }, "<stuvwxyz|<日本語日本語|<|<"},
		{func() { v.setSearch("short") }, "abcdefghijklmnopqrs>|日本語日本語日本語 >|short|x"},
		{func() { v.toggleWrap() }, "日本語日本語日本語日|本語日本語|short|x"},
		{func() { v.move(-1) }, "uvwxyz|日本語日本語日本語日|本語日本語|short"},
		{func() { v.home(); v.setSearch("x") }, "abcdefghijklmnopqrst|uvwxyz|日本語日本語日本語日|本語日本語"},
	} {
		step.do()
		if got := viewLogShown(v, 20, 4); got != step.want {
			t.Errorf("step %d: %s\nwant %s", i, got, step.want)
		}
	}
}

// TestViewLogResized: whatever becomes of the screen's size, no row of it stays empty that could show one.
func TestViewLogResized(t *testing.T) {
	v := viewLogPlain()
	v.toggleWrap()
	v.add(viewLogMade(1, "first", "aaaabbbbccccddddeeee")...)
	viewLogShown(v, 4, 2)
	v.toggleFollow()
	for _, c := range []struct {
		w, h int
		want string
	}{{4, 2, "dddd|eeee"}, {4, 4, "bbbb|cccc|dddd|eeee"}, {4, 6, "t|aaaa|bbbb|cccc|dddd|eeee"},
		{10, 2, "aaaabbbbcc|ccddddeeee"}, {40, 2, "first|aaaabbbbccccddddeeee"}, {4, 2, "dddd|eeee"}} {
		if got := viewLogShown(v, c.w, c.h); got != c.want {
			t.Errorf("%dx%d: %s, want %s", c.w, c.h, got, c.want)
		}
	}
}

// TestViewLogBytes counts what a line costs on the way to the terminal while someone follows: itself, and a scroll.
func TestViewLogBytes(t *testing.T) {
	v := viewLogNew()
	for i := range 100 {
		v.add(viewLogMade(i, fmt.Sprintf("copied chunk %05d of 20000 sha256=%08x ok", i, uint32(i)*0x9e3779b1))...)
	}
	var p termPainter
	g := termGridNew(80, 24)
	v.draw(g, viewArea{0, 1, 80, 21})
	p.frame(g)
	line := viewLogMade(100, "copied chunk 00100 of 20000 sha256=deadbeef ok")
	v.add(line...)
	v.draw(g, viewArea{0, 1, 80, 21})
	if n := len(p.frame(g)); n > 9+len(line[0].Text)+90 {
		t.Errorf("a line of %d letters took %d bytes", len(line[0].Text), n)
	}
	v.draw(g, viewArea{0, 1, 80, 21})
	if out := p.frame(g); out != nil {
		t.Errorf("nothing is new, and %q is sent", out)
	}
}

// TestViewLogColours: what a task asked for is shown when it is asked for, up to the end of its line.
func TestViewLogColours(t *testing.T) {
	v := viewLogPlain()
	v.add(viewLogMade(1, "a \x1b[31mred \x1b[1mbold", "plain", "e:err", "\x1b[32mgreen")...)
	look := func() string {
		g := termGridNew(12, 4)
		v.draw(g, viewArea{0, 0, 12, 4})
		var b strings.Builder
		for i, c := range g.cells {
			if c.r != ' ' {
				b.WriteString(viewStyleLetter(c.style))
			}
			if i%g.w == g.w-1 {
				b.WriteByte('|')
			}
		}
		return b.String()
	}
	if got, want := look(), "        |     |yyy|     |"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	v.colour = true
	if got, want := look(), " rrrRRRR|     |yyy|ggggg|"; got != want {
		t.Errorf("with colours %q, want %q", got, want)
	}
	v.setSearch("d b")
	v.panBy(3)
	if got, want := viewLogShown(v, 12, 4), "a red bold|plain|err|green"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestViewLogScreens are pictures of a log: as it comes, searched, and as a pane.
func TestViewLogScreens(t *testing.T) {
	v := viewLogNew()
	v.add(viewLogMade(0, "pg_dump: last built-in OID is 16383", "pg_dump: reading extensions",
		"copied chunk 00001 of 20000 sha256=9e3779b1 ok", "e:pg_dump: warning: slow disk",
		"job printed \x1b]0;PWN\a and it is shown, never sent",
		"c:[cdktr: 3 lines of output were dropped: the principal was away and the spool was full]",
		"a very long line is cut at the right edge; w wraps it, h and l pan it, and what does not fit at once is "+
			"not lost", "日本語の行 sha256=00 and more", "done sha256=3c6ef362 sha256=daa66d13")...)
	for _, size := range viewSizes {
		w, h := size[0], size[1]
		g := termGridNew(w, h)
		v.wrap, v.top = false, viewLogPlace{}
		v.end()
		v.setSearch("")
		v.draw(g, viewArea{0, 1, w, h - 3})
		viewGolden(t, "log", g)
		g.clear()
		v.toggleWrap()
		v.setSearch("sha256")
		v.next(-1)
		v.draw(g, viewArea{0, 1, w, h - 3})
		left, right := v.status()
		g.cell(1, h-2, w-2, 0, left)
		if room := w - 3 - textWidth(left); room > 0 {
			g.right(1+textWidth(left), h-2, room, 0, right)
		}
		viewGolden(t, "log-search", g)
		g.clear()
		v.home()
		v.tail(g, viewArea{w / 4, h / 3, w / 2, h / 2})
		viewGolden(t, "log-pane", g)
	}
	want := "02:00:13.000 pg_dump: last built-in OID is 16383\n"
	if got := string(v.text()); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 9 ||
		strings.Contains(got, "\x1b") {
		t.Errorf("saved as %q", got)
	}
}

// TestViewLogInside draws logs full of hostile text at random, and looks at the cells around the area.
func TestViewLogInside(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	parts := []string{"\x1b[31m", "\x1b]0;PWN\a", "\x9b2J", "\u009b1m", "\u202e", "日本", "e\u0301\u0302", "\u0301",
		"\x00", "\r", "\t", "word ", "\xff", "🎉", "\u200b", "\ufe0f", "\n", strings.Repeat("z", 50)}
	for range 300 {
		w, h := 1+rng.IntN(60), 1+rng.IntN(12)
		a := viewArea{rng.IntN(w), rng.IntN(h), 0, 0}
		a.w, a.h = rng.IntN(w-a.x+1), rng.IntN(h-a.y+1)
		v := viewLogNew()
		v.follow, v.wrap, v.times, v.colour = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(2) == 0
		for n := range rng.IntN(20) {
			var b strings.Builder
			for range rng.IntN(12) {
				b.WriteString(parts[rng.IntN(len(parts))])
			}
			line := viewLogMade(n, b.String())
			line[0].Task = parts[rng.IntN(len(parts))]
			line[0].Stream = []string{"o", "e", "c"}[rng.IntN(3)]
			v.add(line...)
		}
		g := termGridNew(w, h)
		for i := range g.cells {
			g.cells[i] = termCell{r: '#', style: styleBlue}
		}
		for range 6 {
			switch rng.IntN(8) {
			case 0:
				v.move(rng.IntN(9) - 4)
			case 1:
				v.panBy(rng.IntN(40) - 10)
			case 2:
				v.setSearch([]string{"z", "wo", "re:.", "本", "re:z*", ""}[rng.IntN(6)])
			case 3:
				v.next(1 - 2*rng.IntN(2))
			case 4:
				v.toggleWrap()
			case 5:
				v.home()
			case 6:
				v.setOnly([]string{"z", "!wo", ""}[rng.IntN(3)])
			}
			if rng.IntN(3) == 0 {
				v.tail(g, a)
			} else {
				v.draw(g, a)
			}
			for i, c := range g.cells {
				x, y := i%w, i/w
				inside := x >= a.x && x < a.x+a.w && y >= a.y && y < a.y+a.h
				if !inside && (c != termCell{r: '#', style: styleBlue}) {
					t.Fatalf("area %+v of %dx%d: cell %d,%d is %q %q %x", a, w, h, x, y, c.r, c.mark, c.style)
				}
				if inside && (c.r == '#' || c.r != 0 && c.r < ' ' || c.r >= 0x7f && c.r < 0xa0 || c.r == 0x202e) {
					t.Fatalf("area %+v of %dx%d: cell %d,%d holds %U", a, w, h, x, y, c.r)
				}
			}
		}
	}
}

// BenchmarkViewLogAdd adds lines to a full log while something is searched.
func BenchmarkViewLogAdd(b *testing.B) {
	v := viewLogNew()
	v.setSearch("sha256=")
	lines := viewLogMade(1, "copied chunk 00001 of 20000 sha256=9e3779b1 ok")
	b.ReportAllocs()
	for b.Loop() {
		v.add(lines...)
	}
}

// BenchmarkViewLogDraw draws a full log with a search, on a large screen.
func BenchmarkViewLogDraw(b *testing.B) {
	v := viewLogNew()
	for i := range viewLogLines {
		v.add(viewLogMade(i, fmt.Sprintf("copied chunk %05d of 20000 sha256=%08x ok %s", i, i*77777,
			strings.Repeat("and more ", i%30)))...)
	}
	g := termGridNew(120, 40)
	v.setSearch("sha256=")
	for _, wrap := range []bool{false, true} {
		b.Run(fmt.Sprint("wrap=", wrap), func(b *testing.B) {
			v.wrap = wrap
			b.ReportAllocs()
			for b.Loop() {
				v.draw(g, viewArea{0, 1, 120, 37})
				v.status()
			}
		})
	}
}

// BenchmarkViewLogSearch types one letter of a search in a full log.
func BenchmarkViewLogSearch(b *testing.B) {
	v := viewLogNew()
	for i := range viewLogLines {
		v.add(viewLogMade(i, fmt.Sprintf("copied chunk %05d of 20000 sha256=%08x ok %s", i, i*77777,
			strings.Repeat("and more ", i%30)))...)
	}
	for _, text := range []string{"sha256=", "e", "re:sha[0-9]+=", "re:[a-f]+[0-9]"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				v.setSearch(text)
			}
		})
	}
}

// TestViewLogOpen: lines that have not ended are the last ones, are drawn over, and go when they end.
func TestViewLogOpen(t *testing.T) {
	v := viewLogPlain()
	open := func(task, stream, text string) func() {
		return func() { v.begun(LogLine{Run: "R", Task: task, Attempt: 1, Stream: stream, Text: text}) }
	}
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() { v.add(viewLogMade(1, "one")...) }, "one"},
		{open("dump", "o", "10%"), "one|10%"},
		{open("dump", "o", "20%"), "one|20%"},
		{open("dump", "e", "what?"), "one|20%|what?"},
		{open("load", "o", "."), "dump one|dump 20%|dump what?|load ."},
		{func() { v.add(viewLogMade(2, "20% done")...) }, "dump one|dump 20% done|dump what?|load ."},
		{func() { v.gap("lost") }, "dump one|dump 20% done|~~ lost ~~|dump what?|load ."},
		{func() { v.setTask("dump") }, "one|20% done|~~ lost ~~|what?"},
		{func() { v.prepend(viewLogMade(0, "zero")...) }, "zero|one|20% done|~~ lost ~~|what?"},
		{open("dump", "e", ""), "zero|one|20% done|~~ lost ~~"},
		{func() { v.setTask(""); v.add(viewLogMade(3, "e:three")...) },
			"dump zero|dump one|dump 20% done|~~ lost ~~|dump three|load ."},
		{func() { v.setOnly("three") }, "~~ lost ~~|dump three"},
		{open("load", "o", "three"), "~~ lost ~~|dump three|load three"},
		{open("load", "o", ""), "~~ lost ~~|three"},
	} {
		step.do()
		if got := strings.TrimRight(viewLogShown(v, 40, 8), "|"); got != step.want {
			t.Errorf("step %d: %s\nwant %s", i, got, step.want)
		}
	}
	for range 3 * viewLogLines { // it costs no line, and is never counted as one that is missed
		open("dump", "o", strings.Repeat(".", 100))()
	}
	v.home()
	open("dump", "o", "last")()
	if len(v.lines) > 7 || v.behind != 0 || v.bytes > 7*(viewLogCost+100) {
		t.Errorf("%d lines, %d behind, %d bytes", len(v.lines), v.behind, v.bytes)
	}
}
