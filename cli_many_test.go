package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestManyLines(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"a":                              "1a",
		"a\n":                            "1a",
		"a\n\nb\r\n":                     "1a 2 3b",
		"12345678\n123456789\nb":         "112345678 2! 3b",
		"12345678\r\n123456789\r\n":      "112345678 2!",
		strings.Repeat("x", 1<<17):       "1!",
		strings.Repeat("x", 90) + "\n\n": "1! 2",
	} {
		var got []string
		err := manyLines(strings.NewReader(in), 8, func(line int, text string, long bool) bool {
			if long {
				text = "!"
			}
			got = append(got, fmt.Sprint(line, text))
			return true
		})
		if text := strings.Join(got, " "); err != nil || text != want {
			t.Errorf("%.40q: %q, %v, want %q", in, text, err, want)
		}
	}
}
