package main

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTermLogText(t *testing.T) {
	long := strings.Repeat("x", termLogMax)
	for line, want := range map[string]string{
		"": "", "plain": "plain", "\x1b[1;31mred\x1b[0m end": "red end", "\x1b[mx\x1b[38;5;1my": "xy",
		"\x1b]0;title\a": "^[]0;title^G", "\x1b[2J": "^[[2J", "\x1b[1;31": "^[[1;31", "\x1b": "^[",
		"\x1b[?25l":   "^[[?25l",
		"a\tb\tcc\td": "a       b       cc      d", "日本\tx": "日本    x", "12345678\tx": "12345678        x",
		"\x1b[31m\tx":    "        x",
		"10%\r50%\r100%": "100%", "done\r\n": "done", "half\r\r": "half", "\r": "",
		"a\u009b2Jb\u202e": "a\uFFFD2Jb\uFFFD", "\xff": "\uFFFD", "a\x00b\x7f": "a^@b^?",
		long: long, long + "y": long + "~", long[1:] + "é": long[1:] + "~", long + "\rend": "end", long[2:] +
			"é\x1b[m": long[2:] + "é~",
	} {
		if got := termLogPlain(line); got != want {
			t.Errorf("%.40q: %.60q, want %.60q", line, got, want)
		}
	}
}

func TestTermLogSpans(t *testing.T) {
	for line, want := range map[string][]termSpan{
		"":                         nil,
		"plain":                    {{0, "plain"}},
		"\x1b[1;31mred\x1b[0m end": {{styleRed | styleBold, "red"}, {0, " end"}},
		"a\x1b[mb\x1b[0mc":         {{0, "abc"}},
		"\x1b[32ma\x1b[39mb":       {{styleGreen, "a"}, {0, "b"}},
		"\x1b[2;4;7;35ma\x1b[22;24mb": {{styleDim | styleUnderline | styleReverse | styleMagenta, "a"},
			{styleReverse | styleMagenta, "b"}},
		"\x1b[92ma\x1b[;33mb":                        {{styleGreen | styleBold, "a"}, {styleYellow, "b"}},
		"\x1b[38;5;1ma\x1b[38;5;12mb\x1b[38;5;200mc": {{styleRed, "a"}, {styleBlue, "b"}, {0, "c"}},
		"\x1b[38;2;1;4;7;1ma\x1b[48;5;1;31mb":        {{styleBold, "a"}, {styleBold | styleRed, "b"}},
		"\x1b[38;5ma\x1b[38mb\x1b[38;2;1mc":          {{0, "abc"}},
		"\x1b[41;31ma\x1b[4:3mb\x1b[99999999999mc":   {{styleRed, "abc"}},
		"\x1b[31m\tx\x1b[27m\x1b]y":                  {{styleRed, "        x^[]y"}},
		"\x1b[31ma\rb":                               {{0, "b"}},
	} {
		if got := termLogText(line, true); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func FuzzTermLogText(f *testing.F) {
	f.Add("\x1b[1;31mred\x1b[38;5;1m\tx\r\x1b]0;\a\u202e")
	f.Fuzz(func(t *testing.T, line string) {
		plain := ""
		for _, span := range termLogText(line, true) {
			plain += span.text
			if span.text == "" {
				t.Fatalf("%q has an empty span", line)
			}
		}
		if plain != termLogPlain(line) || !utf8.ValidString(plain) || len(plain) > 8*termLogMax+1 ||
			strings.ContainsFunc(plain, func(r rune) bool {
				return unicode.IsControl(r) ||
					unicode.Is(unicode.Cf, r)
			}) {
			t.Fatalf("%q is shown as %q, in colours as %q", line, termLogPlain(line), plain)
		}
	})
}
