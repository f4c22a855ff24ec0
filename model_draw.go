// model_draw.go: pictures of a graph, for `cdktr graph`: one row a task for terminals, DOT for Graphviz. Pure: text
// out. A graph with faults is drawn too, in the order of the file.

package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dagMaxIndent bounds what depth adds to a row, in columns: a chain of 1,000 tasks is still read from top to bottom.
const dagMaxIndent = 40

// dagText draws the tasks of w as a table in the order they could run in: one row each, indented by depth, with the
// condition and the names they depend on. Every task stands there once, so a diamond stays a diamond. Only ASCII comes
// out. width is that of the terminal in columns: longer lists of names end in "+3 more"; 0 or less cuts nothing.
func dagText(w *Workflow, width int) string {
	order, depths := dagRows(w)
	indent := dagMaxIndent
	if width > 0 {
		indent = min(indent, width/3)
	}
	names, wide, wideWhen := make([]string, len(w.Tasks)), len("TASK"), len("WHEN")
	for i := range w.Tasks {
		names[i] = strings.Repeat(" ", min(2*depths[i], indent)) + dagName(w.Tasks[i].ID)
		wide, wideWhen = max(wide, len(names[i])), max(wideWhen, len(dagWhen(&w.Tasks[i])))
	}
	var b strings.Builder
	row := func(task, when, after string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %s", wide, task, wideWhen, when, after), " ") + "\n")
	}
	row("TASK", "WHEN", "AFTER")
	room := 0
	if width > 0 {
		room = max(width-wide-wideWhen-4, 1)
	}
	for _, i := range order {
		t := &w.Tasks[i]
		row(names[i], dagWhen(t), dagList(dagAfter(t), room))
	}
	return b.String()
}

// dagDot draws w in the DOT language (https://graphviz.org/doc/info/lang.html): arrows go the way of time.
func dagDot(w *Workflow) string {
	order, _ := dagRows(w)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n\tnode [shape=box];\n", dagQuote(w.ID))
	for _, i := range order {
		t := &w.Tasks[i]
		label := t.ID
		if dagWhen(t) != "" {
			label += "\nwhen: " + t.When
		}
		label = strings.ReplaceAll(label, "&", "&amp;") // a label may hold HTML entities, a name may not
		fmt.Fprintf(&b, "\t%s [label=%s];\n", dagQuote(t.ID), dagQuote(label))
	}
	for _, i := range order {
		for _, name := range dagAfter(&w.Tasks[i]) {
			fmt.Fprintf(&b, "\t%s -> %s;\n", dagQuote(name), dagQuote(w.Tasks[i].ID))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// dagRows gives the order to draw the tasks in and the depth of each.
func dagRows(w *Workflow) (order, depths []int) {
	depths = make([]int, len(w.Tasks))
	d, err := dagBuild(w.Tasks)
	if err != nil {
		for i := range w.Tasks {
			order = append(order, i)
		}
		return order, depths
	}
	for i := range depths {
		depths[i] = d.depth(i)
	}
	return d.order(), depths
}

// dagAfter gives the names that t depends on, once each.
func dagAfter(t *Task) []string {
	var names []string
	seen := make(map[string]bool, len(t.Depends))
	for _, name := range t.Depends {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// dagWhen gives t's condition where it is not the usual one.
func dagWhen(t *Task) string {
	if t.When == "" || t.When == whenSuccess {
		return ""
	}
	return dagName(t.When)
}

// dagList joins names, as many as fit into room columns with the count of the others; 0 is all of them. Where not even
// one fits, the count stands alone, be the room what it may.
func dagList(names []string, room int) string {
	var list strings.Builder
	fit, shown := "", 0 // the longest text that fits, and how many names it shows
	for k, name := range names {
		if k > 0 {
			list.WriteByte(' ')
		}
		list.WriteString(dagName(name))
		if room > 0 && list.Len() > room {
			break
		}
		if rest := len(names) - k - 1; rest == 0 {
			fit, shown = list.String(), len(names)
		} else if more := fmt.Sprintf(" +%d more", rest); room > 0 && list.Len()+len(more) <= room {
			fit, shown = list.String()+more, k+1
		}
	}
	if shown == 0 && len(names) > 0 {
		return fmt.Sprintf("+%d more", len(names))
	}
	return fit
}

// dagName gives an id as it may stand in a row: as it is, or quoted where it is empty, has a space or a quote, or has
// what is not ASCII or not printable (a terminal must not be told what to do by a workflow file).
func dagName(id string) string {
	plain := func(r rune) bool { return r > ' ' && r <= '~' && r != '"' && r != '\\' }
	if id != "" && strings.IndexFunc(id, func(r rune) bool { return !plain(r) }) < 0 {
		return id
	}
	return strconv.QuoteToASCII(id)
}

// dagQuote gives text as a quoted string of DOT. The language itself knows only \" in one, but reads backslashes in
// pairs, and labels take \\ and \n for a backslash and a line break. Other control characters and bytes that are not
// UTF-8 are written out as \x1b, for they would break the file.
func dagQuote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\\x%02x`, text[0])
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\\x%02x`, r)
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	b.WriteByte('"')
	return b.String()
}
