package main

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTermTextSafe(t *testing.T) {
	for text, want := range map[string]string{
		"plain ~ text": "plain ~ text", "": "", "ü 日本 é": "ü 日本 é", "a\tb": "a    b",
		"\x1b[31mred\x1b[0m": "^[[31mred^[[0m", "\x1b]0;title\a": "^[]0;title^G", "a\rb\nc\x00": "a^Mb^Jc^@",
		"\x7f":    "^?",
		"\x9b31m": "\uFFFD31m", "\u009b31m": "\uFFFD31m", "\xff\xc3": "\uFFFD\uFFFD",
		"user\u202Etxt.exe": "user\uFFFDtxt.exe", "\u2066x\u2069": "\uFFFDx\uFFFD", "a\u200Bb": "a\uFFFDb",
		"\uFEFFx":        "\uFFFDx",
		"a\u2028b\u2029": "a\uFFFDb\uFFFD", "\uFFFD": "\uFFFD", "\U000E0041": "\uFFFD", "\u00ad": "\uFFFD",
	} {
		if got := textSafe(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzTermTextSafe(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff", 5)
	f.Add("日本語 text", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		safe := textSafe(text)
		for _, r := range safe {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
				t.Fatalf("%q has %U", safe, r)
			}
		}
		if !utf8.ValidString(safe) || textSafe(safe) != safe {
			t.Fatalf("%q is not safe", safe)
		}
		width = min(max(width, -5), 100)
		if cut := textCut(safe, width); textWidth(cut) > max(width, 0) || !utf8.ValidString(cut) ||
			textWidth(safe) <= width && cut != safe {
			t.Fatalf("%q cut to %d is %q", safe, width, cut)
		}
	})
}

func TestTermTextCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab~"}, {"", 0, ""}, {"a", 0, ""}, {"ab", 1, ""}, {"ab", -3, ""},
		{"äöüß", 3, "äö~"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本~"}, {"日本語", 4, "日~"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"}} {
		if got := textCut(c.text, c.width); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

// The table is Unicode's: sorted, and right where terminals are asked most often.
func TestTermTextWide(t *testing.T) {
	last := rune(-1)
	for _, r := range textWide.R16 {
		if rune(r.Lo) <= last || r.Hi < r.Lo {
			t.Errorf("%x is out of order", r.Lo)
		}
		last = rune(r.Hi)
	}
	for _, r := range textWide.R32 {
		if rune(r.Lo) <= last || r.Hi < r.Lo {
			t.Errorf("%x is out of order", r.Lo)
		}
		last = rune(r.Hi)
	}
	if n := len(textWide.R16) + len(textWide.R32); n != 121 {
		t.Errorf("the table has %d intervals", n)
	}
	for text, want := range map[string]int{
		"aé±─★☀✓●\u303f\U0001f321\U0001f336\U0001f3cb": 1,
		"日本語ハングル한국어　！￥〈《⌚⏰☔♈⚡⛔✅✨❌❓➕➰⬛⭐🀄🃏🆎🈁🌀🎉🐱👍💩🔥😀🚀🛒🟢🤖🥇🫠\U00020000\U0003fffd": 2, "\u0301\u20dd\u3099\ufe0f": 0,
	} {
		for _, r := range text {
			if got := textRuneWidth(r); got != want {
				t.Errorf("%q %U is %d columns wide, not %d", r, r, got, want)
			}
		}
	}
}
