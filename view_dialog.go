//go:build !noui

// view_dialog.go: a question before something that cannot be undone, and the form for the parameters of a run. A
// question is answered yes only by a key for that: enter means no, and pasted text means nothing.

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const viewDialogWidth = 63 // columns of the box, where the screen has them

// viewDialog is a question. Without Word, y means yes, and n, enter and esc mean no. With Word, yes is the word and
// enter.
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

// draw shows the box in the middle of an area. In a low area it leaves out lines, with a mark, and never the answers.
func (d *viewDialog) draw(g *termGrid, a viewArea) {
	w := min(viewDialogWidth, a.w)
	inner := w - 4
	if inner < 1 || a.h < 1 {
		return
	}
	var lines []string
	for _, line := range d.Lines {
		lines = append(lines, viewFold(line, inner)...)
	}
	ask := d.answers(inner)
	room := max(a.h-2-len(ask), 0)
	switch {
	case len(lines) < room:
		lines = append(lines, "")
	case len(lines) > room:
		lines = lines[:room]
		if room > 0 {
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
	p.put(3, 0, styleBold, textCut(" "+d.Title+" ", w-6))
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
	return "[ " + key + "  " + what + " ]"
}

// answers gives the last rows of the box: the buttons, side by side where there is room, or what to type. The user
// types in the last of them.
func (d *viewDialog) answers(w int) []string {
	if d.Word != "" {
		ask := "Type " + textCut(d.Word, max(w-5, 2)) + " to confirm:  "
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

// viewFold makes text harmless and breaks it into rows of at most w columns, at blanks where there are any. There is
// one row at the least.
func viewFold(text string, w int) []string {
	rows, row := []string{}, ""
	for _, word := range strings.Fields(textSafe(text)) {
		if row != "" && textWidth(row)+1+textWidth(word) <= w {
			row += " " + word
			continue
		}
		if row != "" {
			rows = append(rows, row)
		}
		for textWidth(word) > w {
			cut := viewLogFit(word, max(w, 1))
			if cut == len(word) { // one letter that is wider than w
				break
			}
			rows, word = append(rows, word[:cut]), word[cut:]
		}
		row = word
	}
	return append(rows, row)
}

// viewForm is the parameters of a workflow that will run, one a row, and the row that keys go to. The principal accepts
// what the form accepts.
type viewForm struct {
	fields []viewField
	focus  int
	top    int  // the first row on the screen
	tried  bool // to submit it: since then it shows missing values as faults
}

// viewField is one parameter.
type viewField struct {
	name    string
	param   Param
	pattern *regexp.Regexp
	bad     string // why the pattern is not valid
	in      viewInput
	start   string // what was in it at first
	choice  int    // of a parameter with choices: which one, -1: none yet
}

// viewFormNew makes a form from the parameters of a workflow, by name, with the defaults filled in.
func viewFormNew(params map[string]Param) *viewForm {
	f := &viewForm{}
	for _, name := range sortedKeys(params) {
		field := viewField{name: name, param: params[name]}
		if field.param.Pattern != "" {
			re, err := paramPattern(field.param.Pattern)
			field.pattern = re
			if err != nil {
				field.bad = err.Error()
			}
		}
		field.in.set("", field.param.Default)
		field.choice = slices.Index(field.param.Choices, field.param.Default)
		if field.param.Required {
			field.choice = -1
		}
		field.start = field.in.String()
		f.fields = append(f.fields, field)
	}
	return f
}

// fill puts in the values of an earlier run.
func (f *viewForm) fill(params map[string]string) {
	for i := range f.fields {
		value, ok := params[f.fields[i].name]
		switch at := slices.Index(f.fields[i].param.Choices, value); {
		case ok && at >= 0:
			f.fields[i].choose(at)
		case ok && len(f.fields[i].param.Choices) == 0 && value != f.fields[i].param.Default:
			in := &f.fields[i].in
			in.set("", value)
			if in.String() != value { // a line cannot show it: the default stays
				in.set("", f.fields[i].start)
			}
		}
	}
}

// value gives the value of a field, and whether it must be sent. An untouched field means the default, even where a
// line cannot show that.
func (field *viewField) value() (value string, given bool) {
	if len(field.param.Choices) > 0 {
		if field.choice < 0 {
			return "", false
		}
		value = field.param.Choices[field.choice]
		return value, field.param.Required || value != field.param.Default
	}
	value = field.in.String()
	if value == field.start {
		value = field.param.Default
	}
	return value, value != field.param.Default // a required field has no default
}

// fault says what is wrong with a field, "" where nothing is. A missing value is a fault too.
func (field *viewField) fault() string {
	value, given := field.value()
	switch {
	case field.param.Required && len(field.param.Choices) > 0:
		if field.choice < 0 {
			return "is required: left and right pick"
		}
		return ""
	case field.param.Required && value == "":
		return "is required"
	case !given || field.param.Pattern == "":
		return ""
	case field.bad != "":
		return "pattern: " + field.bad
	case !field.pattern.MatchString(value):
		return "must match " + field.param.Pattern
	}
	return ""
}

// values gives the parameters to send: the required ones, and those that differ from the default. It gives false while
// a field has a fault.
func (f *viewForm) values() (map[string]string, bool) {
	values := map[string]string{}
	for i := range f.fields {
		field := &f.fields[i]
		if field.fault() != "" {
			return nil, false
		}
		if value, given := field.value(); given {
			values[field.name] = value
		}
	}
	return values, true
}

// key takes a key. Up, down and tab go between the fields. Enter goes to the next one, and submits in the last; ^S
// submits anywhere; esc leaves. A form with a fault is not submitted: keys go to the first field that has one.
func (f *viewForm) key(k termKey) viewAnswer {
	last := len(f.fields) - 1
	switch {
	case k.Code == termKeyEsc, k.Code == termKeyCtrl && k.Rune == 'c':
		return viewNo
	case k.Code == termKeyCtrl && k.Rune == 's', k.Code == termKeyEnter && f.focus >= last:
		return f.submit()
	case k.Code == termKeyUp, k.Code == termKeyCtrl && k.Rune == 'p':
		f.focus = max(f.focus-1, 0)
	case k.Code == termKeyDown, k.Code == termKeyEnter, k.Code == termKeyCtrl && k.Rune == 'n':
		f.focus = max(min(f.focus+1, last), 0)
	case k.Code == termKeyTab && last >= 0:
		f.focus = (f.focus + 1) % (last + 1)
	case k.Code == termKeyBackTab && last >= 0:
		f.focus = (f.focus + last) % (last + 1)
	case last >= 0:
		f.fields[f.focus].key(k)
	}
	return viewOpen
}

// key takes a key for the field. In one with choices left and right pick, and so do space and the letter that a choice
// begins with.
func (field *viewField) key(k termKey) {
	choices := field.param.Choices
	n := len(choices)
	switch {
	case n == 0:
		field.in.key(k)
	case k.Code == termKeyRight, k.Code == termKeyRune && k.Rune == ' ':
		field.choose((field.choice + 1) % n)
	case k.Code == termKeyLeft:
		field.choose((max(field.choice, 0) + n - 1) % n)
	case k.Code == termKeyRune:
		for i := range n {
			if at := (field.choice + 1 + i) % n; strings.HasPrefix(choices[at], string(k.Rune)) {
				field.choose(at)
				return
			}
		}
	}
}

// choose picks one of the choices.
func (field *viewField) choose(at int) {
	field.choice = at
	field.in.set("", field.param.Choices[at])
}

func (f *viewForm) submit() viewAnswer {
	if _, ok := f.values(); ok {
		return viewYes
	}
	f.tried = true
	for i := range f.fields {
		if f.fields[i].fault() != "" {
			f.focus = i
			break
		}
	}
	return viewOpen
}

// draw shows the fields, each with its fault or its description, and at the bottom the facts of the field that keys go
// to. The cursor is parked in that field.
func (f *viewForm) draw(g *termGrid, a viewArea) {
	p := viewPen{g, a}
	p.clear()
	if a.w <= 0 || a.h <= 0 {
		return
	}
	p.park(0)
	if len(f.fields) == 0 {
		p.put(viewMarkWidth, 0, styleDim, "no parameters")
		return
	}
	name := 0
	for i := range f.fields {
		name = max(name, textWidth(f.fields[i].name))
	}
	name = min(name, a.w/4)
	facts := min(3, max(a.h-3, 0))
	rows := a.h - facts
	f.top = viewScroll(f.top, f.focus, len(f.fields), rows)
	cursorX, cursorY := g.cursorX, g.cursorY
	for y := 0; y < rows && f.top+y < len(f.fields); y++ {
		f.drawField(p, y, name, &f.fields[f.top+y], f.top+y == f.focus)
		if f.top+y == f.focus {
			cursorX, cursorY = g.cursorX, g.cursorY
		}
	}
	g.cursorX, g.cursorY = cursorX, cursorY
	if facts == 3 {
		f.fields[f.focus].drawFacts(p, rows+1)
	}
}

// drawField shows one field: a mark where keys go to it, its name, a star if it is required, the input, and a note.
func (f *viewForm) drawField(p viewPen, y, name int, field *viewField, current bool) {
	style := termStyle(0)
	if current {
		p.put(0, y, styleBold, ">")
		style = styleBold
	}
	x := p.cell(viewMarkWidth, y, name, style, field.name)
	if field.param.Required {
		p.put(x, y, styleBold, "*")
	}
	x += 2
	in := p.part(x, y, max((p.w-x)/2, min(p.w-x, viewLogTextMin)), 1)
	field.in.draw(p.g, in.viewArea)
	in.restyle(0, 0, in.w, styleUnderline)
	x += in.w + 1
	fault := field.fault()
	switch {
	case fault != "" && (field.in.String() != field.start || f.tried):
		p.cell(x, y, p.w-x, styleRed|styleBold, "! "+fault)
	default:
		p.cell(x, y, p.w-x, styleDim, field.param.Description)
	}
}

// drawFacts says in two rows what a field is for and what it may hold.
func (field *viewField) drawFacts(p viewPen, y int) {
	facts := "optional"
	switch {
	case field.param.Required:
		facts = "required"
	case field.param.Default != "":
		facts = fmt.Sprintf("default %q", field.param.Default)
	}
	if field.param.Pattern != "" {
		facts += "   pattern " + field.param.Pattern
	}
	if len(field.param.Choices) > 0 {
		facts += "   one of " + strings.Join(field.param.Choices, ", ") + ": left and right pick"
	}
	p.cell(viewMarkWidth, y, p.w-viewMarkWidth, 0, orDefault(field.param.Description, field.name))
	p.cell(viewMarkWidth, y+1, p.w-viewMarkWidth, styleDim, facts)
}
