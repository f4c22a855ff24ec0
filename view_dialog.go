// view_dialog.go: questions before something is done that cannot be taken back. The answer is no unless it is given: enter
// is no, and what is pasted is no answer at all. Draws a box; no clock, no connection.

package main

import "strings"

const viewDialogWidth = 63 // columns of the box, where the screen has them

// viewDialog is a question. Without Word, y is yes, and n, enter and esc are no; with it, the word must be typed and enter
// pressed.
type viewDialog struct {
	Title   string
	Lines   []string // what will happen
	Yes, No string   // what the answers do, as "Cancel run" and "Keep running"
	Word    string   // must be typed, as the name of what is deleted
	typed   viewInput
	wrong   bool // what was typed is not the word
}

// key takes a key.
func (d *viewDialog) key(k termKey) viewAnswer {
	switch {
	case k.Code == termKeyPaste:
		return viewOpen
	case k.Code == termKeyEsc, k.Code == termKeyCtrl && k.Rune == 'c':
		return viewNo
	case d.Word == "":
		return d.keyPlain(k)
	case k.Code == termKeyEnter:
		if d.typed.String() == d.Word {
			return viewYes
		}
		d.wrong = true
		return viewOpen
	}
	d.wrong = false
	d.typed.key(k)
	return viewOpen
}

func (d *viewDialog) keyPlain(k termKey) viewAnswer {
	switch {
	case k.Code == termKeyEnter:
		return viewNo
	case k.Code != termKeyRune || k.Alt:
		return viewOpen
	case k.Rune == 'y' || k.Rune == 'Y':
		return viewYes
	case k.Rune == 'n' || k.Rune == 'N' || k.Rune == 'q':
		return viewNo
	}
	return viewOpen
}

// draw shows the box in the middle of an area. Where it is too low for all of them, lines are left out, which a mark says,
// and never the answers.
func (d *viewDialog) draw(g *termGrid, a viewArea) {
	w := min(viewDialogWidth, a.w)
	inner := w - 4
	if inner < 1 || a.h < 1 {
		return
	}
	var lines []string
	for _, line := range d.Lines {
		lines = append(lines, viewFold(textSafe(line), inner)...)
	}
	ask := d.answers(inner)
	room := max(a.h-2-len(ask), 0)
	switch {
	case len(lines) < room:
		lines = append(lines, "")
	case len(lines) > room:
		if lines = lines[:room]; room > 0 {
			lines[room-1] = textCut(lines[room-1], inner-4) + " ..."
		}
	}
	rows := append(lines, ask...)
	h := min(len(rows)+2, a.h)
	p := viewPen{g, viewArea{a.x + (a.w-w)/2, a.y + (a.h-h)/2, w, h}}
	p.clear()
	for y := range h {
		p.put(0, y, 0, "|")
		p.put(w-1, y, 0, "|")
	}
	for _, y := range []int{0, h - 1} {
		p.line(0, y, w, 0, '-')
		p.put(0, y, 0, "+")
		p.put(w-1, y, 0, "+")
	}
	p.put(3, 0, styleBold, textCut(" "+textSafe(d.Title)+" ", w-6))
	p = p.part(2, 1, inner, h-2)
	for y, row := range rows {
		p.put(0, y, 0, row)
	}
	if d.Word != "" {
		y := len(rows) - 1
		d.typed.draw(g, p.part(textWidth(rows[y]), y, inner, 1).viewArea)
		return
	}
	y := len(rows) - len(ask) // where the answer is that enter gives
	x := strings.Index(rows[y], "[")
	p.restyle(x, y, textWidth(d.button("n", d.No)), styleReverse)
	if y < p.h {
		g.cursorX, g.cursorY = p.x+x, p.y+y
	}
}

func (d *viewDialog) button(key, what string) string {
	return "[ " + key + "  " + textSafe(what) + " ]"
}

// answers gives the last rows of the box: the buttons at the right, side by side where there is room; or what to type,
// in whose last row it is typed.
func (d *viewDialog) answers(w int) []string {
	if d.Word != "" {
		ask := "Type " + textCut(textSafe(d.Word), max(w-5, 2)) + " to confirm:  "
		if d.wrong {
			ask = "That is not it. " + ask
		}
		rows := viewFold(ask, w)
		if last := rows[len(rows)-1]; textWidth(last)+2+min(textWidth(d.Word)+1, w) <= w {
			rows[len(rows)-1] = last + "  "
			return rows
		}
		return append(rows, "")
	}
	no, yes := d.button("n", d.No), d.button("y", d.Yes)
	if both := no + "    " + yes; textWidth(both) < w {
		return []string{strings.Repeat(" ", w-textWidth(both)-1) + both}
	}
	return []string{no, yes}
}

// viewFold breaks a text into rows of at most w columns, at blanks where there are any. There is one row at the least.
func viewFold(text string, w int) []string {
	rows, row := []string{}, ""
	for _, word := range strings.Fields(text) {
		if row != "" && textWidth(row)+1+textWidth(word) <= w {
			row += " " + word
			continue
		}
		if row != "" {
			rows = append(rows, row)
		}
		for textWidth(word) > w {
			cut := viewLogFit(word, max(w, 1))
			if cut == len(word) { // a letter that is wider than all there is
				break
			}
			rows, word = append(rows, word[:cut]), word[cut:]
		}
		row = word
	}
	return append(rows, row)
}
