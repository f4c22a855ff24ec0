// term.go: the terminal as the command line uses it: whether there is one, how wide it is, its colours, and the writer
// that keeps it from harm. Everything that the command line prints goes through a termSafe, so that a verb need not
// think of it: an argument that is repeated, a name, a message of the principal cannot move the cursor or turn text
// around.

package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// termOf gives the size of the terminal behind w, and false when w is no terminal.
func termOf(w io.Writer) (width, height int, ok bool) {
	f, isFile := termRaw(w).(*os.File)
	if !isFile {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err == nil && (width <= 0 || height <= 0) {
		width, height = 80, 24 // a serial line has no size
	}
	return width, height, err == nil
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

// termSafe makes what is written to it harmless for a terminal; newlines and tabs stay. A write must end where a
// character does.
type termSafe struct{ w io.Writer }

// termSafeOf makes a writer safe, once.
func termSafeOf(w io.Writer) io.Writer {
	if _, ok := w.(termSafe); ok || w == nil {
		return w
	}
	return termSafe{w}
}

// termRaw gives the writer behind a safe one. It is for those who write colours, the output of tasks, or no text at
// all: they must make harmless themselves what else they write.
func termRaw(w io.Writer) io.Writer {
	if s, ok := w.(termSafe); ok {
		return s.w
	}
	return w
}

// Write writes text. It gives the length of text, not of what that became.
func (s termSafe) Write(text []byte) (int, error) {
	if _, err := io.WriteString(s.w, termSafeText(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
