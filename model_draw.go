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

// dagMaxIf is how many bytes of a condition a label in DOT has.
const dagMaxIf = 60

// dagText draws the tasks of w as a table, in an order in which they could run. Each has one row, indented by depth,
// with its condition and the names that it depends on. Below them each handler has its own tasks. The text is ASCII.
// width is the terminal's in columns: longer lists of names end in "+3 more"; 0 or less cuts nothing.
func dagText(w *Workflow, width int) string {
	indent := dagMaxIndent
	if width > 0 {
		indent = min(indent, width/3)
	}
	graphs, wide, wideWhen := dagGraphs(w), len("TASK"), len("WHEN")
	for _, graph := range graphs {
		for i := range graph.tasks {
			graph.names[i] = strings.Repeat(" ", min(2*graph.depths[i], indent)) + dagName(graph.tasks[i].ID)
			wide, wideWhen = max(wide, len(graph.names[i])), max(wideWhen, len(dagWhen(&graph.tasks[i])))
		}
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
	for k, graph := range graphs {
		if k > 0 {
			row("", "", "")
		}
		for _, i := range graph.order {
			t := &graph.tasks[i]
			row(graph.names[i], dagWhen(t), dagList(dagAfter(t), room))
		}
	}
	return b.String()
}

// dagDot draws w in the DOT language (https://graphviz.org/doc/info/lang.html): arrows go the way of time.
func dagDot(w *Workflow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n\tnode [shape=box];\n", dagQuote(w.ID))
	for k, graph := range dagGraphs(w) {
		if k == 0 {
			graph.dot(&b)
			continue
		}
		fmt.Fprintf(&b, "\tsubgraph cluster_%s {\n\tlabel=%[1]s;\n", graph.handler)
		graph.dot(&b)
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dot writes the nodes and arrows of one graph.
func (g *dagDrawn) dot(b *strings.Builder) {
	for _, i := range g.order {
		t := &g.tasks[i]
		label := t.ID
		if t.When != "" && t.When != whenSuccess {
			label += "\nwhen: " + t.When
		}
		if t.If != "" {
			label += "\nif: " + textHead(strings.TrimSpace(t.If), dagMaxIf)
		}
		if t.AllowFailure != nil {
			label += "\nmay fail: " + t.AllowFailure.text()
		}
		if t.Foreach != nil {
			label += "\nforeach: " + t.Foreach.text()
		}
		if t.Repeat != nil {
			label += "\nrepeat: every " + t.Repeat.Every.String()
		}
		if len(t.Agent) > 0 {
			label += "\nagent: " + labelsText(t.Agent)
		}
		if len(t.Pool) > 0 {
			label += "\npool: " + poolsText(t.Pool)
		}
		if t.Workflow != "" {
			label += "\nworkflow: " + t.Workflow
		}
		if t.Approve != "" {
			label += "\napprove: " + textHead(t.Approve, dagMaxIf)
		}
		label = strings.ReplaceAll(label, "&", "&amp;") // a label may hold HTML entities, a name may not
		fmt.Fprintf(b, "\t%s [label=%s];\n", dagQuote(t.ID), dagQuote(label))
	}
	for _, i := range g.order {
		for _, name := range dagAfter(&g.tasks[i]) {
			fmt.Fprintf(b, "\t%s -> %s;\n", dagQuote(name), dagQuote(g.tasks[i].ID))
		}
	}
}

// dagDrawn is a graph that is being drawn: that of the workflow, or of a handler.
type dagDrawn struct {
	handler string // "": that of the workflow
	tasks   []Task
	order   []int
	depths  []int    // of each task
	names   []string // of each task, as it is drawn
}

// dagGraphs gives the graphs of a workflow: its own, and then those of its handlers.
func dagGraphs(w *Workflow) []*dagDrawn {
	graphs := []*dagDrawn{{tasks: w.Tasks}}
	for _, name := range handlerNames {
		if tasks := w.handler(name); len(tasks) > 0 {
			graphs = append(graphs, &dagDrawn{handler: name, tasks: tasks})
		}
	}
	for _, g := range graphs {
		g.order, g.depths = dagRows(g.tasks)
		g.names = make([]string, len(g.tasks))
	}
	return graphs
}

// dagRows gives the order to draw tasks in and the depth of each.
func dagRows(tasks []Task) (order, depths []int) {
	depths = make([]int, len(tasks))
	d, err := dagBuild(tasks)
	if err != nil {
		for i := range tasks {
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

// dagWhen gives what is said of t besides what it is after: when it runs, that it has a condition of its own, that it
// may fail, how often it is done, and what it waits for; "" for the usual.
func dagWhen(t *Task) string {
	var words []string
	if t.When != "" && t.When != whenSuccess {
		words = append(words, dagName(t.When))
	}
	if t.If != "" {
		words = append(words, "if")
	}
	if t.AllowFailure != nil {
		words = append(words, "may fail")
	}
	if t.Foreach != nil {
		words = append(words, "each of "+t.Foreach.text())
	}
	if t.Repeat != nil {
		words = append(words, "repeat")
	}
	for _, name := range sortedKeys(t.Pool) {
		words = append(words, "pool "+dagName(name))
	}
	if t.Workflow != "" {
		words = append(words, "run of "+dagName(t.Workflow))
	}
	if t.Approve != "" {
		words = append(words, "asks a person")
	}
	return strings.Join(words, ", ")
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
