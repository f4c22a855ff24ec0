//go:build !noui

// view_help.go: the help: the keys, and what the glyphs mean. Its rows come from the tables of keys, so none is
// missing.

package main

import "fmt"

// viewHelpWide is the width from which the command stands beside its key. In less, it has a row of its own.
const viewHelpWide = 72

// viewHelpRow is one key: its group, what it does, and the command that does the same, if there is one.
type viewHelpRow struct{ group, keys, what, twin string }

// viewHelp is the help and how far it is scrolled.
type viewHelp struct {
	rows []viewHelpRow
	top  int
	w, h int // of the last drawing
}

// viewHelpLine is one row on the screen.
type viewHelpLine struct {
	head             string // of a group
	keys, what, twin string
	style            termStyle // of keys
}

// viewHelpStates are the states whose glyphs the help explains.
var viewHelpStates = []struct{ state, what string }{
	{runQueued, "waits for an agent with room for it, or for a place in a pool"},
	{taskWaiting, "waits for a task before it"},
	{runRunning, "runs"},
	{taskRetrying, "failed, and will be tried again"},
	{askApprove, "waits for a person: A approves, R rejects"},
	{askWorkflow, "waits for the run that it has started: c opens that"},
	{askPool, "waits for its places in pools: P shows who has them"},
	{askAgent, "waits for an agent with its labels"},
	{runSucceeded, "succeeded"},
	{runFailed, "failed or took too long"},
	{runCrashed, "was lost together with its agent"},
	{runCancelled, "was cancelled"},
	{taskAllowed, "failed, and was allowed to"},
	{taskSkipped, "did not run: its if said no, or what it needs did not happen"},
	{agentUp, "agent that takes work"},
	{agentDrain, "agent that ends what it has and takes no more"},
	{agentLost, "agent that does not answer"},
}

// lines lays the help out in w columns: each group under its name, in the order of its first row, then the glyphs.
func (v *viewHelp) lines(w int) []viewHelpLine {
	var lines []viewHelpLine
	line := func(l viewHelpLine) {
		below := viewHelpLine{}
		if w < viewHelpWide && l.twin != "" {
			l.twin, below.twin = "", l.twin
		}
		lines = append(lines, l)
		if below.twin != "" {
			lines = append(lines, below)
		}
	}
	done := map[string]bool{}
	for _, first := range v.rows {
		if done[first.group] {
			continue
		}
		done[first.group] = true
		line(viewHelpLine{head: first.group})
		for _, r := range v.rows {
			if r.group == first.group {
				line(viewHelpLine{keys: r.keys, what: r.what, twin: r.twin, style: styleBold})
			}
		}
		line(viewHelpLine{})
	}
	line(viewHelpLine{head: "Glyphs"})
	for _, s := range viewHelpStates {
		glyph, word, style := viewLooks(s.state)
		line(viewHelpLine{keys: glyph + " " + word, what: s.what, style: style})
	}
	line(viewHelpLine{keys: "#", what: "workflow file that does not load", style: styleRed | styleBold})
	return lines
}

// move goes n rows down, or up where n is negative.
func (v *viewHelp) move(n int) { v.top = min(max(v.top+n, 0), v.most()) }

// page goes n screens down or up; a row of the last one stays in view.
func (v *viewHelp) page(n int) { v.move(n * max(v.h-1, 1)) }

// home goes to the first row.
func (v *viewHelp) home() { v.top = 0 }

// end goes to the last row.
func (v *viewHelp) end() { v.top = v.most() }

// most gives the first row of the last page.
func (v *viewHelp) most() int { return max(len(v.lines(v.w))-v.h, 0) }

// status says which rows are shown.
func (v *viewHelp) status() string {
	n := len(v.lines(v.w))
	return fmt.Sprintf("%d-%d of %d", min(v.top+1, n), min(v.top+v.h, n), n)
}

// draw fills an area with the rows from top on.
func (v *viewHelp) draw(g *termGrid, a viewArea) {
	v.w, v.h = a.w, max(a.h, 0)
	v.move(0)
	p := viewPen{g, a}
	p.clear()
	if a.w > 0 && a.h > 0 {
		p.park(0)
	}
	lines := v.lines(a.w)
	keys := 0
	for _, l := range lines {
		keys = max(keys, textWidth(l.keys))
	}
	what := 3 + min(keys, a.w/3) + 2
	for y := 0; y < a.h && v.top+y < len(lines); y++ {
		l := lines[v.top+y]
		p.cell(3, y, what-5, l.style, l.keys)
		switch {
		case l.head != "":
			p.cell(1, y, a.w-1, styleBold, l.head)
		case l.what == "":
			p.cell(what, y, a.w-what, styleDim, l.twin)
		case l.twin == "":
			p.cell(what, y, a.w-what, 0, l.what)
		default:
			twin := what + (a.w-what)/2
			p.cell(what, y, twin-what-2, 0, l.what)
			p.cell(twin, y, a.w-twin, styleDim, l.twin)
		}
	}
}
