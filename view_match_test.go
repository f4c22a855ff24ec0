package main

import (
	"fmt"
	"testing"
)

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
	for typed, want := range map[string]string{"re:(": "not a regular expression: missing closing ): `(`", "re:A[": "not a regular expression: missing closing ]: `[`"} {
		if _, err := viewMatchOf(typed); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", typed, err, want)
		}
	}
}
