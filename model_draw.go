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

// dagMaxIndent bounds the indentation of a row, in columns: so a chain of 1,000 tasks can still be read.
const dagMaxIndent = 40

// dagText draws the tasks of w as a table, in an order in which they could run. Each has one row, indented by depth,
// with its condition and the names that it depends on. The text is ASCII. width is the terminal's in columns: longer
// lists of names end in "+3 more"; 0 or less cuts nothing.
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

// dagWhen gives t's condition, "" for the usual one.
func dagWhen(t *Task) string {
	if t.When == "" || t.When == whenSuccess {
		return ""
	}
	return dagName(t.When)
}

// dagList joins names: as many as fit into room columns together with the count of the others; with room 0, all of
// them. If not even one name fits it gives the count alone, however long that is.
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

// dagName gives an id as a row may have it: as it is, or quoted if it is empty or has spaces, quotes, or characters
// that are not printable ASCII (a workflow file must not tell a terminal what to do).
func dagName(id string) string {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\`, r) }
	if id != "" && !strings.ContainsFunc(id, odd) {
		return id
	}
	return strconv.QuoteToASCII(id)
}

// dagQuote gives text as a quoted string of DOT. In one, the language itself knows only \" and reads backslashes in
// pairs; labels read \\ and \n as a backslash and a line break. Other control characters, and bytes that are not UTF-8,
// would break the file: they are written as \x1b.
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
