// cli_live.go: output that is followed on a terminal, with a line below it that has not ended, as a progress bar is
// one: it is drawn over until it ends.

package main

import (
	"fmt"
	"unicode/utf8"
)

// lookLive prints the lines of a run on a terminal. One goroutine uses it.
type lookLive struct {
	c     *cli
	p     *painter
	lines map[string]LogLine // that have not ended, by stream and task
	shown string             // which of them is on the screen; "": none
}

// print prints a line, or draws one that has not ended: that has no number, and no text when it is no more.
func (v *lookLive) print(l *LogLine) error {
	key := l.Stream + l.Task
	delete(v.lines, key)
	if err := v.clear(); err != nil {
		return err
	}
	if l.N == 0 {
		if l.Text == "" {
			return nil
		}
		v.lines[key] = *l
		return v.draw(key)
	}
	if err := v.c.printLogLine(v.p, true, l); err != nil {
		return err
	}
	for _, key := range sortedKeys(v.lines) { // another one, if there is one
		return v.draw(key)
	}
	return nil
}

// clear takes the line that has not ended off the screen.
func (v *lookLive) clear() error {
	if v.shown == "" {
		return nil
	}
	v.shown = ""
	_, err := fmt.Fprint(v.p.w, "\r\x1b[K")
	return err
}

// draw puts a line below the others, cut to its end where it is too long for one row of the screen.
func (v *lookLive) draw(key string) error {
	l := v.lines[key]
	front, text := textSafe(l.Task)+": ", termLogPlain(l.Text)
	for room := max(v.p.width-1-textWidth(front), 1); textWidth(text) > room; {
		_, n := utf8.DecodeRuneInString(text)
		text = text[n:]
	}
	v.shown = key
	_, err := fmt.Fprint(v.p.w, v.p.paint(colorDim, front+text))
	return err
}
