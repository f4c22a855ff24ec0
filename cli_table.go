// cli_table.go: output of the command line: tables for people, JSON for programs, states in colour.

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// painter prints to one stream, as wide and as coloured as that allows. What is written to w goes out as it is: text
// that comes from a file or a peer must pass through paint or table, which make it harmless.
type painter struct {
	w     io.Writer
	width int // of the terminal; 0: there is none, and nothing is cut
	color bool
}

// painterOf looks at the stream, NO_COLOR and --color.
func painterOf(w io.Writer, mode string, getenv func(string) string) *painter {
	p := &painter{w: termRaw(w)}
	width, _, ok := termOf(w)
	if ok {
		p.width = width
	}
	p.color = ok && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" && mode != "never" || mode == "always"
	return p
}

// paint makes text harmless and puts it in a colour, or in none for "".
func (p *painter) paint(color, text string) string { return p.tint(color, textSafe(text)) }

// tint puts text that is harmless already in a colour.
func (p *painter) tint(color, text string) string {
	if !p.color || color == "" {
		return text
	}
	return color + text + colorReset
}

// stateLooks gives the glyph and the colour of a state of a run or a task. The glyph is enough where there is no
// colour.
func stateLooks(state string) (glyph, color string) {
	switch state {
	case runQueued:
		return ".", colorDim
	case taskWaiting:
		return "o", ""
	case runRunning:
		return "*", colorCyan
	case taskRetrying:
		return "~", colorYellow
	case askApprove:
		return "?", colorYellow
	case askWorkflow:
		return ">", colorCyan
	case askPool:
		return "o", colorYellow
	case askAgent:
		return "@", colorCyan
	case runSucceeded:
		return "+", colorGreen
	case runFailed, runCrashed:
		return "!", colorRed
	case taskAllowed:
		return "^", colorYellow
	case runCancelled:
		return "x", colorMagenta
	case taskSkipped:
		return "-", colorDim
	}
	return "?", colorRed
}

// state gives a state as a cell: glyph and word, in its colour.
func (p *painter) state(state string) tableCell {
	glyph, color := stateLooks(state)
	return tableCell{glyph + " " + state, color}
}

// tableCell is one cell of a table.
type tableCell struct{ text, color string }

// cell makes a cell without colour.
func cell(format string, args ...any) tableCell { return tableCell{text: fmt.Sprintf(format, args...)} }

// table prints rows under a heading. Each column is as wide as its widest cell; on a terminal the last one is cut.
func (p *painter) table(heads []string, rows [][]tableCell) error {
	all := make([][]tableCell, 0, len(rows)+1)
	head := make([]tableCell, len(heads))
	for i, h := range heads {
		head[i] = tableCell{h, colorBold}
	}
	all = append(append(all, head), rows...)
	widths := make([]int, len(heads))
	for _, row := range all {
		for i := range row {
			row[i].text = textApart(textSafe(row[i].text))
			widths[i] = max(widths[i], textWidth(row[i].text))
		}
	}
	var b strings.Builder
	for _, row := range all {
		at := 0
		for i, c := range row {
			if i == len(row)-1 {
				if p.width > 0 {
					c.text = textCut(c.text, max(p.width-at, 8))
				}
				b.WriteString(p.tint(c.color, c.text))
				break
			}
			b.WriteString(p.tint(c.color, c.text))
			b.WriteString(strings.Repeat(" ", widths[i]-textWidth(c.text)+2))
			at += widths[i] + 2
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(p.w, b.String())
	return err
}

// printJSON prints one object on a line of its own, in one write. It is for jq and grep, not for a web page: an & stays
// an &. It is harmless for a terminal (textJSON).
func printJSON(w io.Writer, v any) error {
	line, err := jsonText(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = w.Write(textJSON(append(line, '\n')))
	return err
}

// printText prints text in one line, even if the text has line breaks or escapes in it.
func printText(w io.Writer, text string) error {
	_, err := fmt.Fprintln(w, textSafe(text))
	return err
}

// timeText writes a time for people: in local time, with the date only where it is not today's.
func timeText(t Stamp, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	local, today := t.Local(), now.Local()
	switch {
	case local.YearDay() == today.YearDay() && local.Year() == today.Year():
		return local.Format("15:04:05")
	case local.Year() == today.Year():
		return local.Format("Jan 02 15:04:05")
	}
	return local.Format("2006-01-02 15:04")
}

// tookText writes how long something took, as 0.3s, 12.3s, 2:14, 1:02:14.
func tookText(seconds float64) string {
	s := int(seconds)
	switch {
	case seconds < 59.95: // a longer time would be rounded to 60.0s
		return fmt.Sprintf("%.1fs", seconds)
	case s < 3600:
		s = max(s, 60)
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// facts prints pairs of names and values in two columns, without those that have no value.
func (p *painter) facts(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" && pairs[i+1] != "-" {
			fmt.Fprintf(p.w, "%s %s\n", p.paint(colorDim, fmt.Sprintf("%-12s", pairs[i])), p.paint("", pairs[i+1]))
		}
	}
}
