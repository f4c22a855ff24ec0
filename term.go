// term.go: the terminal: whether there is one, how wide it is, colours, and text from elsewhere made harmless before it
// is shown. Knows nothing of workflows. Uses nothing of the package.

package main

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// termOf says what w is: the size of the terminal behind it, and false when there is none.
func termOf(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return width, height, err == nil && width > 0
}

// Colours of the 16 that every terminal has.
const (
	colorReset   = "\x1b[0m"
	colorDim     = "\x1b[0;2m"
	colorBold    = "\x1b[0;1m"
	colorRed     = "\x1b[0;31m"
	colorGreen   = "\x1b[0;32m"
	colorYellow  = "\x1b[0;33m"
	colorMagenta = "\x1b[0;35m"
	colorCyan    = "\x1b[0;36m"
)

// textSafe makes text harmless for a terminal and for one line of it: escape and other control bytes, bidi and other
// invisible controls, and what is not UTF-8 are replaced; tabs become blanks.
func textSafe(s string) string {
	if textIsSafe(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == utf8.RuneError && size <= 1:
			b.WriteRune(utf8.RuneError)
		case r < 0x20:
			b.WriteByte('^')
			b.WriteByte(byte(r) + 0x40)
		case r == 0x7f:
			b.WriteString("^?")
		case r < 0xa0 && r > 0x7f, unicode.Is(unicode.Cf, r), r == 0x2028, r == 0x2029:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// textIsSafe says whether s is printable ASCII, as most text is.
func textIsSafe(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// textCut cuts s to at most width columns, with a mark at the cut.
func textCut(s string, width int) string {
	if textWidth(s) <= width {
		return s
	}
	if width <= 1 {
		return ""
	}
	left := width - 1
	for i, r := range s {
		if left -= textRuneWidth(r); left < 0 {
			return s[:i] + "~"
		}
	}
	return s
}

// textWidth gives how many columns of a terminal s takes.
func textWidth(s string) int {
	width := 0
	for _, r := range s {
		width += textRuneWidth(r)
	}
	return width
}

// textWide take two columns: the blocks of East Asian width W and F, and emoji.
var textWide = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97c, 1}, {0xac00, 0xd7a3, 1},
		{0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff01, 0xff60, 1}, {0xffe0, 0xffe6, 1}},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

// textRuneWidth gives the columns of one letter: marks that lie on the letter before take none.
func textRuneWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(textWide, r):
		return 2
	}
	return 1
}
