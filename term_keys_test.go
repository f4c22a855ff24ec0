package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// termKeySeqs are sequences of every kind, and the names of the keys that they are. None but the last may be cut short.
var termKeySeqs = []struct{ bytes, keys string }{
	{"j", "j"}, {"é", "é"}, {"日", "日"}, {"🎉", "🎉"}, {" ", "space"}, {"\r", "enter"}, {"\t", "tab"},
	{"\x7f", "backspace"}, {"\x04", "^D"}, {"\x00", "^@"}, {"\x1c", `^\`},
	{"\x1b[A", "up"}, {"\x1bOB", "down"}, {"\x1b[1;5C", "ctrl-right"}, {"\x1b[1;4D", "alt-shift-left"},
	{"\x1b[H", "Home"}, {"\x1b[4~", "End"}, {"\x1b[5~", "PgUp"}, {"\x1b[6;2~", "shift-PgDn"},
	{"\x1b[3~", "Del"}, {"\x1b[2~", "Ins"}, {"\x1b[Z", "shift-tab"}, {"\x1bOP", "F1"}, {"\x1b[15~", "F5"},
	{"\x1b[24~", "F12"}, {"\x1b[[C", "F3"}, {"\x1bOM", "enter"}, {"\x1bOw", "7"},
	{"\x1bx", "alt-x"}, {"\x1bé", "alt-é"}, {"\x1b\x7f", "alt-backspace"}, {"\x1b\x04", "alt-^D"},
	{"\x1b ", "alt-space"},
	{"\x1b[200~one\rtwo\x1b[A\x1b[201~", "paste(one\rtwo\x1b[A)"}, {"\x1b[200~\x1b[20\x1b[201\x1b[201~",
		"paste(\x1b[20\x1b[201)"}, {"\x1b[200~x\x1b[20\x1b[201~", "paste(x\x1b[20)"}, {"\x1b[201~", ""},
	{"\x1b]0;title\a", ""}, {"\x1b]11;rgb:0/0/0\x1b\\", ""}, {"\x1bP1$r0m\x1b\\", ""}, {"\x1b_apc\x1b\\", ""},
	{"\x1b^pm\x1b\\", ""}, {"\x1bXsos\x1b\\", ""}, {"\x1b[?62;1c", ""}, {"\x1b[12;40R", ""}, {"\x1b[<0;3;4M", ""},
	{"\x1b[M #!", ""}, {"\x1b[I", ""}, {"\x1b[1;2;3A", ""}, {"\x1b[x", ""}, {"\x1b[1 q", ""}, {"\x1bO~", ""},
	{"\x1b[99999999999~", ""},
	{"\x1b[\x1b[A", "up"}, {"\x1bO\x1b[A", "up"}, {"\x1b]junk\x1b[A", "up"}, {"\x1b[12\x03", "^C"}, {"\x1b[12\x18", ""},
	{"\x1b]0;x\x03", "^C"}, {"\x1b]0;x\x18", ""}, {"\x1b\x1b[A", "esc up"}, {"\x1b[\xc3\xa9", "é"},
	{"\xff", "\uFFFD"}, {"\u009b", ""}, {"\xe6\x97x", "\uFFFD \uFFFD x"},
}

// termKeysText writes keys as text.
func termKeysText(keys []termKey) string {
	var names []string
	for _, k := range keys {
		name := k.String()
		if k.Code == termKeyPaste {
			name += "(" + k.Text + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestTermKeysEach(t *testing.T) {
	for _, c := range termKeySeqs {
		var d termDecoder
		if got := termKeysText(d.feed([]byte(c.bytes))); got != c.keys || d.pending() {
			t.Errorf("%q: %q, want %q; pending: %t", c.bytes, got, c.keys, d.pending())
		}
	}
}

// However the bytes arrive, the keys are the same.
func TestTermKeysCut(t *testing.T) {
	t.Parallel()
	var all, want []string
	for _, c := range termKeySeqs {
		all = append(all, c.bytes)
		if c.keys != "" {
			want = append(want, c.keys)
		}
	}
	joined := []byte(strings.Join(all, ""))
	keys := strings.Join(want, " ")
	for i := range len(joined) + 1 {
		for j := i; j <= len(joined); j++ {
			var d termDecoder
			got := slices.Concat(d.feed(joined[:i]), d.feed(joined[i:j]), d.feed(joined[j:]))
			if text := termKeysText(got); text != keys || d.pending() {
				t.Fatalf("cut at %d and %d: %q, want %q", i, j, text, keys)
			}
		}
	}
	var d termDecoder
	var got []termKey
	for i := range joined {
		got = append(got, d.feed(joined[i:i+1])...)
	}
	if text := termKeysText(got); text != keys {
		t.Errorf("byte by byte: %q, want %q", text, keys)
	}
}

// The steps: text is fed, and . flushes.
func TestTermKeysWaits(t *testing.T) {
	for _, c := range []struct {
		steps []string
		keys  string
		wait  time.Duration // after the last but the flushes
	}{
		{[]string{"\x1b", "."}, "esc", termEscWait},
		{[]string{"\x1b", ".", "[A"}, "esc up", 0},
		{[]string{"\x1b", ".", "OA"}, "esc up", 0},
		{[]string{"\x1b", ".", "[1;5Cx"}, "esc ctrl-right x", 0},
		{[]string{"\x1b", ".", "[200~text\x1b[201~"}, "esc paste(text)", 0},
		{[]string{"\x1b", ".", "["}, "esc [", 0},
		{[]string{"\x1b", ".", "[", "A"}, "esc [ A", 0},
		{[]string{"\x1b", ".", "[x"}, "esc [ x", 0},
		{[]string{"\x1b", ".", "OK"}, "esc O K", 0},
		{[]string{"\x1b", ".", "Op"}, "esc O p", 0},
		{[]string{"\x1b", ".", "j", "[A"}, "esc j [ A", 0},
		{[]string{"\x1b", ".", "", "[A"}, "esc up", 0},
		{[]string{"\x1b", "[A"}, "up", 0},
		{[]string{"\x1b[", "."}, "alt-[", termSeqWait},
		{[]string{"\x1bO", "."}, "alt-O", termSeqWait},
		{[]string{"\x1b]", ".", "x"}, "alt-] x", 0},
		{[]string{"\x1b[1;", ".", "x"}, "x", 0},
		{[]string{"\x1b[1;", "."}, "", termSeqWait},
		{[]string{"\xe6\x97", ".", "x"}, "x", 0},
		{[]string{"\xe6\x97"}, "", termSeqWait},
		{[]string{"\x1b\x1b", "."}, "esc esc", termEscWait},
		{[]string{"\x1b[200~half\x1b[20", "."}, "paste(half\x1b[20)", termPasteWait},
		{[]string{"x", "."}, "x", 0},
		{[]string{"."}, "", 0},
	} {
		var d termDecoder
		var got []termKey
		wait := time.Duration(0)
		for _, step := range c.steps {
			if step == "." {
				got = append(got, d.flush()...)
				continue
			}
			got = append(got, d.feed([]byte(step))...)
			wait = 0
			if d.pending() {
				wait = d.wait(false)
				if ssh := d.wait(true); (wait == termEscWait) != (ssh == termEscWaitSSH) {
					t.Errorf("%q: over ssh it waits %v", c.steps, ssh)
				}
			}
		}
		if text := termKeysText(got); text != c.keys || wait != c.wait {
			t.Errorf("%q: %q, want %q; waits %v, want %v", c.steps, text, c.keys, wait, c.wait)
		}
		if last := c.steps[len(c.steps)-1]; last == "." && d.pending() {
			t.Errorf("%q: something is pending after a flush", c.steps)
		}
	}
}

// Nothing grows without end, and what is too long is no key.
func TestTermKeysBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1", 3*termSeqMax)
	for _, c := range []struct{ bytes, keys string }{
		{"\x1b[" + long + "Ax", "x"},
		{"\x1b[" + strings.Repeat("0", termSeqMax-3) + "Ax", "up x"},
		{"\x1b[" + strings.Repeat("0", termSeqMax-2) + "Ax", "x"},
		{"\x1b]" + long + "\ax", "x"},
		{"\x1bP" + long + "\x1b\\x", "x"},
		{"\x1b]" + strings.Repeat("1", termSeqMax-3) + "\x1b\\x", "x"},
		{"\x1b]" + long + "\x1b[Ax", "up x"},
		{"\x1b[200~" + strings.Repeat("p", 2*termPasteMax) + "\x1b[201~x", "paste(" +
			strings.Repeat("p", termPasteMax) + ") x"},
	} {
		for _, size := range []int{1, 100, termSeqMax, len(c.bytes)} {
			var d termDecoder
			var got []termKey
			for chunk := range slices.Chunk([]byte(c.bytes), size) {
				got = append(got, d.feed(chunk)...)
				if len(d.buf) > termSeqMax || len(d.paste) > termPasteMax {
					t.Fatalf("%.20q: %d and %d bytes are kept", c.bytes, len(d.buf), len(d.paste))
				}
			}
			if text := termKeysText(got); text != c.keys || d.pending() {
				t.Errorf("%.20q in chunks of %d: %.100q, want %.100q", c.bytes, size, text, c.keys)
			}
		}
	}
}

func TestTermKeysNames(t *testing.T) {
	for _, c := range termKeySeqs {
		var d termDecoder
		for _, key := range d.feed([]byte(c.bytes)) {
			key.Text = ""
			if back, err := termKeyParse(key.String()); err != nil || back != key {
				t.Errorf("%v is read as %v, %v", key, back, err)
			}
		}
	}
	for _, name := range []string{"-", "^", "F", "alt--", "alt-^", "ctrl-alt-shift-up", "paste", "G", "^_", "F10"} {
		if key, err := termKeyParse(name); err != nil || key.String() != name {
			t.Errorf("%s is read as %v, %v", name, key, err)
		}
	}
	for _, name := range []string{"", "up-", "alt-", "meta-x", "F0", "F13", "^d", "^dd", "pgdn", "xy", "ctrl"} {
		if key, err := termKeyParse(name); err == nil {
			t.Errorf("%q is read as %v", name, key)
		}
	}
}

func FuzzTermDecode(f *testing.F) {
	for _, c := range termKeySeqs {
		f.Add([]byte(c.bytes), uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, input []byte, first, second uint8) {
		var whole, cut termDecoder
		want := whole.feed(bytes.Clone(input))
		i := min(int(first), len(input))
		j := min(i+int(second), len(input))
		got := slices.Concat(cut.feed(input[:i]), cut.feed(input[i:j]), cut.feed(input[j:]))
		if !slices.Equal(got, want) || whole.pending() != cut.pending() || whole.wait(false) != cut.wait(false) {
			t.Fatalf("%q cut at %d, %d: %v, want %v", input, i, j, got, want)
		}
		if !slices.Equal(whole.flush(), cut.flush()) || whole.pending() || whole.flush() != nil {
			t.Fatalf("%q: flushed otherwise", input)
		}
		for _, key := range want {
			key.Text = ""
			if back, err := termKeyParse(key.String()); err != nil || back != key {
				t.Fatalf("%q: %#v is named %q, which is %v, %v", input, key, key, back, err)
			}
		}
	})
}

// termKeyParse reads the name of a key as String writes it. A paste has no text.
func termKeyParse(name string) (key termKey, err error) {
	rest := name
	for {
		for code, known := range termKeyNames {
			if rest == known && known != "" {
				key.Code = termCode(code)
				return key, nil
			}
		}
		word, more, found := strings.Cut(rest, "-")
		if !found || more == "" {
			break
		}
		switch word {
		case "ctrl":
			key.Ctrl = true
		case "alt":
			key.Alt = true
		case "shift":
			key.Shift = true
		default:
			return key, fmt.Errorf("read key %q: %q is none of ctrl, alt, shift", name, word)
		}
		rest = more
	}
	r, size := utf8.DecodeRuneInString(rest)
	number, isF := strings.CutPrefix(rest, "F")
	n, err := strconv.Atoi(number)
	switch {
	case rest == "space":
		key.Code, key.Rune = termKeyRune, ' '
	case size == len(rest) && size > 0:
		key.Code, key.Rune = termKeyRune, r
	case len(rest) == 2 && rest[0] == '^' && rest[1] >= '@' && rest[1] <= '_':
		key.Code, key.Rune = termKeyCtrl, termCtrlRune(rest[1]-'@')
	case isF && err == nil && n >= 1 && n <= 12:
		key.Code = termKeyF1 + termCode(n-1)
	default:
		return key, fmt.Errorf("read key %q: no key has that name", name)
	}
	return key, nil
}
