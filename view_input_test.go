package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// What some keys send. viewTyped makes keys of a script of them, and of letters, which send themselves.
const (
	sendUp, sendDown, sendRight, sendLeft = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
	sendHome, sendEnd, sendDel            = "\x1b[H", "\x1b[F", "\x1b[3~"
	sendEnter, sendTab, sendBackTab       = "\r", "\t", "\x1b[Z"
	sendBack, sendEsc                     = "\x7f", "\x1b"
)

func viewTyped(script string) []termKey {
	d := &termDecoder{}
	return append(d.feed([]byte(script)), d.flush()...)
}

func viewPasted(text string) string { return termPasteBegin + text + termPasteEnd }

// TestViewInputKeys: what a script of keys makes of the line; | is the cursor.
func TestViewInputKeys(t *testing.T) {
	for _, c := range []struct {
		script, want string
		answer       viewAnswer
	}{
		{"", "|", viewOpen},
		{"abc", "abc|", viewOpen},
		{"abc" + sendLeft + "x", "abx|c", viewOpen},
		{"abc" + sendHome + "x" + sendEnd + "y", "xabcy|", viewOpen},
		{"abc\x01x\x05y", "xabcy|", viewOpen},
		{"abc\x02\x02X\x06Y", "aXbY|c", viewOpen},
		{"abc" + sendBack + sendBack, "a|", viewOpen},
		{"a" + sendBack, "|", viewOpen},
		{"a" + sendBack + sendBack, "|", viewNo},
		{"abc" + sendHome + sendBack + sendDel + "\x04", "|c", viewOpen},
		{"abc" + sendDel, "abc|", viewOpen},
		{"one two  three\x17", "one two  |", viewOpen},
		{"one two  three\x17\x17\x17\x17", "|", viewOpen},
		{"one two" + sendLeft + sendLeft + "\x15", "|wo", viewOpen},
		{"one two" + sendLeft + sendLeft + "\x0b", "one t|", viewOpen},
		{"one two three\x1bb\x1bb\x1bd", "one | three", viewOpen},
		{"one two\x01\x1bf!", "one!| two", viewOpen},
		{"one two\x1b[1;5D.", "one .|two", viewOpen},
		{"e\u0301x" + sendLeft + sendLeft + "-", "-|e\u0301x", viewOpen},
		{"日本" + sendLeft + "語", "日語|本", viewOpen},
		{"a" + viewPasted("b\tc\x1b[31m\u202e\x00d\r\ne f"), "ab c[31md|", viewOpen},
		{viewPasted("\n\nfirst\nsecond"), "first|", viewOpen},
		{"ab" + sendTab + sendUp + sendDown + "\x1b[5~\x0c", "ab|", viewOpen},
		{"ab" + sendEnter, "ab|", viewYes},
		{"ab" + sendEsc, "ab|", viewNo},
		{"ab\x03", "ab|", viewNo},
	} {
		var in viewInput
		answer := viewOpen
		for _, k := range viewTyped(c.script) {
			answer = in.key(k)
			if answer != viewOpen {
				break
			}
		}
		got := string(in.text[:in.cursor]) + "|" + string(in.text[in.cursor:])
		if got != c.want || answer != c.answer {
			t.Errorf("%q: %q, answer %d; want %q, %d", c.script, got, answer, c.want, c.answer)
		}
	}
}

// TestViewInputHistory goes back through lines, and forth to the one that is typed.
func TestViewInputHistory(t *testing.T) {
	var in viewInput
	for i := range viewInputHistory + 20 {
		for range 2 { // the same again is not kept
			in.set(":", fmt.Sprint("line ", i))
			in.key(termKey{Code: termKeyEnter})
		}
	}
	if len(in.history) != viewInputHistory || in.history[0] != "line 20" {
		t.Fatalf("%d lines from %q on", len(in.history), in.history[0])
	}
	in.set(":", "")
	in.key(termKey{Code: termKeyEnter})
	for _, step := range []struct{ script, want string }{
		{"new", "new"}, {sendUp, "line 119"}, {sendUp, "line 118"}, {sendDown, "line 119"}, {sendDown, "new"},
		{sendDown, "new"},
		{"\x10", "line 119"}, {"!", "line 119!"}, {"\x10", "line 118"}, {"\x0e\x0e", "new"},
		{strings.Repeat(sendUp, 150), "line 20"},
	} {
		for _, k := range viewTyped(step.script) {
			in.key(k)
		}
		if in.String() != step.want {
			t.Errorf("after %q: %q, want %q", step.script, in.String(), step.want)
		}
	}
	in.set(":", strings.Repeat("x", 3*viewInputMax))
	if len(in.text) != viewInputMax {
		t.Errorf("%d letters in a line", len(in.text))
	}
}

// TestViewInputComplete completes words as tab and back-tab do.
func TestViewInputComplete(t *testing.T) {
	verbs := []string{"run", "reload", "rerun", "cancel", "goto", "日本", "日曜"}
	for _, c := range []struct {
		typed string
		dirs  []int
		want  string
	}{
		{"c", []int{1}, "cancel |"},
		{"x", []int{1, 1}, "x|"},
		{"re", []int{1}, "reload|"},
		{"re", []int{1, 1}, "rerun|"},
		{"re", []int{1, 1, 1}, "reload|"},
		{"re", []int{-1}, "rerun|"},
		{"re", []int{-1, -1}, "reload|"},
		{"", []int{1, 1, 1, 1}, "cancel|"},
		{"x r", []int{1, -1, -1}, "x reload|"},
		{"日", []int{1}, "日本|"},
		{"r x" + sendLeft + sendLeft, []int{1}, "run| x"},
	} {
		var in viewInput
		for _, k := range viewTyped(c.typed) {
			in.key(k)
		}
		for _, dir := range c.dirs {
			in.complete(dir, verbs)
		}
		if got := string(in.text[:in.cursor]) + "|" + string(in.text[in.cursor:]); got != c.want {
			t.Errorf("%q, %v: %q, want %q", c.typed, c.dirs, got, c.want)
		}
	}
	var in viewInput
	in.set(":", "goto a")
	behind := &viewInput{text: []rune("goto "), cursor: 5}
	if before, word := behind.word(); before != "goto " || word != "" {
		t.Errorf("behind a blank the word is %q after %q", word, before)
	}
	if before, word := in.word(); before != "goto " || word != "a" {
		t.Errorf("the word is %q after %q", word, before)
	}
	in.complete(1, []string{"agents", "agents-lost"})
	if in.String() != "goto agents" {
		t.Errorf("what all have in common is %q", in.String())
	}
	in.complete(1, nil)
	in.complete(1, nil)
	if in.String() != "goto agents-lost" {
		t.Errorf("the second is %q", in.String())
	}
	g := termGridNew(40, 1)
	in.draw(g, viewArea{0, 0, 40, 1})
	if got := viewRows(g)[0]; got != ":goto agents-lost  agents  agents-lost" {
		t.Errorf("drawn %q", got)
	}
	in.key(termKey{Code: termKeyRune, Rune: '!'})
	in.draw(g, viewArea{0, 0, 40, 1})
	if got := viewRows(g)[0]; got != ":goto agents-lost!" {
		t.Errorf("drawn %q", got)
	}
}

// TestViewInputDraw: a line that is longer than its row moves with the cursor.
func TestViewInputDraw(t *testing.T) {
	for _, c := range []struct {
		script, want string
		cursor       int
	}{
		{"", "/", 1},
		{"abc", "/abc", 4},
		{"abcdefgh", "/abcdefgh", 9},
		{"abcdefghi", "/<cdefghi", 9},
		{"abcdefghijkl" + sendHome, "/abcdefgh>", 1},
		{"abcdefghijkl" + sendLeft + sendLeft, "/<fghijkl", 7},
		{"日本語日本語", "/< 日本語", 9},
		{"日本語日本語" + sendHome, "/日本語日>", 1},
	} {
		var in viewInput
		in.set("/", "")
		g := termGridNew(10, 1)
		for _, k := range viewTyped(c.script) {
			in.key(k)
			in.draw(g, viewArea{0, 0, 10, 1})
		}
		in.draw(g, viewArea{0, 0, 10, 1})
		if got := viewRows(g)[0]; got != c.want || g.cursorX != c.cursor {
			t.Errorf("%q: %q, cursor %d; want %q, %d", c.script, got, g.cursorX, c.want, c.cursor)
		}
	}
}

// TestViewInputRandom types at random, draws, and holds what must always be so.
func TestViewInputRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	keys := []string{"a", "日", "e\u0301", " ", "\u0301", sendLeft, sendRight, sendHome, sendEnd, sendDel, sendBack,
		"\x17", "\x0b", "\x15", sendUp, sendDown, "\x1bb", "\x1bf", "\x1bd", sendEnter}
	for range 200 {
		var in viewInput
		in.set(string(viewHostile[random.IntN(len(viewHostile))]), viewHostile[random.IntN(len(viewHostile))])
		for range 30 {
			switch random.IntN(6) {
			case 0:
				in.complete(1-2*random.IntN(2), append(slices.Clone(viewHostile), "aa", "ab", "日日"))
			case 1:
				in.key(termKey{Code: termKeyPaste, Text: viewHostile[random.IntN(len(viewHostile))]})
			default:
				for _, k := range viewTyped(keys[random.IntN(len(keys))]) {
					in.key(k)
				}
			}
			if in.cursor < 0 || in.cursor > len(in.text) || len(in.text) > viewInputMax {
				t.Fatalf("cursor at %d of %d letters", in.cursor, len(in.text))
			}
			viewWithin(t, random, in.draw)
		}
	}
}

// TestViewMatch: what is found in a text, as the bytes from and to.
func TestViewMatch(t *testing.T) {
	for _, c := range []struct{ typed, text, want string }{
		{"", "abc", "[]"},
		{"re:", "abc", "[]"},
		{"ab", "abcAB aB", "[{0 2} {3 5} {6 8}]"},
		{"AB", "abcAB aB", "[{3 5}]"},
		{"aa", "aaaaa", "[{0 2} {2 4}]"},
		{"a b", "xa b", "[{1 4}]"},
		{"[a", "x[a", "[{1 3}]"},
		{"k", "\u212a", "[]"}, // the sign of kelvin is three bytes
		{"ü", "üÜ", "[{0 2} {2 4}]"},
		{"Ü", "üÜ", "[{2 4}]"},
		{"日本", "の日本", "[{3 9}]"},
		{"re:^a", "aaa", "[{0 1}]"},
		{"re:x*", "axxb", "[{1 3}]"},
		{"re:a|b", "AB", "[{0 1} {1 2}]"},
		{`re:\S+\p{L}`, "aB", "[{0 2}]"},
		{`re:a\S`, "AB", "[{0 2}]"}, // \S is no capital
		{`re:a\pL`, "AB", "[{0 2}]"},
		{"re:aB", "ab aB", "[{3 5}]"},
	} {
		m, err := viewMatchOf(c.typed)
		if err != nil {
			t.Errorf("%q: %v", c.typed, err)
			continue
		}
		spans := m.all(c.text, nil)
		if got := fmt.Sprint(spans); got != c.want {
			t.Errorf("%q in %q: %s, want %s", c.typed, c.text, got, c.want)
		}
		if c.typed != "" && c.typed != viewMatchPrefix && m.in(c.text) != (len(spans) > 0) {
			t.Errorf("%q in %q: %v", c.typed, c.text, !(len(spans) > 0))
		}
	}
	for typed, want := range map[string]string{"re:(": "not a regular expression: missing closing ): `(`",
		"re:A[": "not a regular expression: missing closing ]: `[`"} {
		if _, err := viewMatchOf(typed); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", typed, err, want)
		}
	}
}
