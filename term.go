// term_safe.go: what a terminal is kept from. Everything that the command line writes goes through a termSafe, so that
// a verb need not think of it: an argument that is repeated, a name, a message of the principal cannot move the cursor
// or turn text around. JSON is written without such characters, and means the same.

package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// textHidden says whether a character does something to a terminal or to the text around it, and is not seen itself:
// the control characters, those of bidirectional text, and those without a width.
func textHidden(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r > 0x7f && unicode.Is(unicode.Cf, r)
}

// textJSON writes the hidden characters of encoded JSON, which can be in its strings only, as \u00XX.
func textJSON(line []byte) []byte {
	if textIsSafe(strings.TrimSuffix(string(line), "\n")) {
		return line
	}
	out := make([]byte, 0, len(line)+16)
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r < 0x20 || !textHidden(r): // the encoder escapes those below 0x20; here they are between values
			out = append(out, line[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		line = line[size:]
	}
	return out
}

// termSafe makes what is written to it harmless for a terminal, but for the ends of lines and tabs. A write must end
// where a character does.
type termSafe struct{ w io.Writer }

// termSafeOf makes a writer safe; one that is stays as it is.
func termSafeOf(w io.Writer) io.Writer {
	if _, ok := w.(termSafe); ok || w == nil {
		return w
	}
	return termSafe{w}
}

// termRaw gives the writer behind a safe one: for those who write colours, the output of tasks, or no text at all, and
// see themselves to what else is in it.
func termRaw(w io.Writer) io.Writer {
	if s, ok := w.(termSafe); ok {
		return s.w
	}
	return w
}

// Write writes text. It gives the length of what it was given, not of what that became.
func (s termSafe) Write(text []byte) (int, error) {
	if _, err := io.WriteString(s.w, termSafeText(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// termSafeText is textSafe for text of several lines.
func termSafeText(text string) string {
	rest, safe := text, true
	for _, r := range text {
		if r != '\n' && r != '\t' && (textHidden(r) || r == utf8.RuneError) {
			safe = false
			break
		}
	}
	if safe {
		return text
	}
	var b strings.Builder
	for rest != "" {
		end := strings.IndexAny(rest, "\n\t")
		if end < 0 {
			end = len(rest)
		}
		b.WriteString(textSafe(rest[:end]))
		if rest = rest[end:]; rest != "" {
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return b.String()
}
