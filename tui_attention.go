//go:build !noui

// tui_attention.go: the screen of what needs a person: runs that failed and that nobody has looked at, files that do
// not load, lost agents, overdue fires. Below the list stands all that is known of the selected one.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tuiAttentionList is the items that the op attention answers with.
type tuiAttentionList struct {
	// The items, those that pass the filter, and the key of the selected one.
	all         []AttentionItem
	items       []AttentionItem
	filter      string
	selectedKey string

	tuiAsk
	alarm *AlarmInfo // nil: none is set

	table viewTable
	room  int // rows on the screen
}

// tuiAttentionNew makes the screen, and asks for what it shows.
func tuiAttentionNew(u *tui) *tuiAttentionList {
	l := &tuiAttentionList{table: viewTable{
		cols: []viewColumn{{head: "WHAT", width: 11}, {head: "WHERE", grow: 2, width: 12},
			{head: "RUNS", width: 4, right: true, minScreen: 48}, {head: "LAST", width: 12},
			{head: "AGENT", width: 8, minScreen: 90}, {head: "WHY", grow: 3, width: 12, minScreen: 48}}}}
	l.tuiAsk = tuiAsk{req: Request{Op: "attention"}, take: func(r *Reply) {
		l.alarm = r.Alarm
		l.set(r.Items)
	}}
	l.reload(u)
	return l
}

// set takes new items. The selection stays on its item.
func (l *tuiAttentionList) set(all []AttentionItem) {
	terms, items := tuiFilterParse(l.filter), []AttentionItem(nil)
	for _, it := range all {
		if tuiMatches([]tuiField{{"workflow", strings.Join(append(it.Workflows, it.Workflow), " ")},
			{"agent", strings.Join(append(it.Agents, it.Agent), " ")}, {"state", it.Kind},
			{"", it.Task + " " + it.Reason}}, terms) {
			items = append(items, it)
		}
	}
	l.all, l.items, l.table.n = all, items, len(items)
	if i := slices.IndexFunc(items, func(it AttentionItem) bool { return it.Key == l.selectedKey }); i >= 0 {
		l.table.selected = i
	}
	l.choose(l.table.selected)
}

func (l *tuiAttentionList) choose(i int) {
	l.table.selected = max(min(i, len(l.items)-1), 0)
	if it := l.item(); it != nil {
		l.selectedKey = it.Key
	}
}

// item gives the selected item, nil when there is none.
func (l *tuiAttentionList) item() *AttentionItem {
	if l.table.selected < len(l.items) {
		return &l.items[l.table.selected]
	}
	return nil
}

// news asks anew after a change of something that may need a person.
func (l *tuiAttentionList) news(u *tui, r *Reply) {
	if r.Attention != nil || len(r.Workflows) > 0 || len(r.Agents) > 0 {
		l.ask(u)
	}
}

func (l *tuiAttentionList) name() string         { return string(tuiAttention) }
func (l *tuiAttentionList) crumbs(*tui) []string { return []string{"Attention"} }
func (l *tuiAttentionList) leave(*tui)           {}

// draw shows the list in the upper half, and in the lower what is known of the selected item.
func (l *tuiAttentionList) draw(u *tui, g *termGrid, a viewArea) {
	now := u.clock()
	if !l.asked {
		u.drawBlank(g, a, "what needs a person", l.note)
		return
	}
	l.table.empty = "nothing needs attention: 1 shows the workflows, 2 the runs"
	if len(l.all) > 0 {
		l.table.empty = "nothing matches: esc takes the filter away"
	}
	l.table.row = func(i int) (viewRowMark, []viewCell) {
		it := &l.items[i]
		what, rest := tuiAttentionWhat(it)
		runs := "-"
		if len(it.Runs) > 0 && it.Kind != attentionOutput {
			runs = fmt.Sprint(it.Count)
		}
		return viewRowMark{}, []viewCell{what, {text: tuiAttentionOn(it), style: rest}, {text: runs, style: rest},
			{text: viewWhen(it.Last, now), style: rest}, {text: it.onAgents(), style: rest},
			{text: it.Reason, style: rest}}
	}
	top := min(len(l.items)+1, max(a.h/2, 3))
	l.room = l.table.draw(g, viewArea{a.x, a.y, a.w, max(top, 2)})
	it := l.item()
	if it == nil {
		return
	}
	y := a.y + top
	x := g.putTo(a.x, y, a.x+a.w, styleDim, textCut("-- "+tuiAttentionOn(it)+" ", a.w))
	g.put(x, y, styleDim, strings.Repeat("-", max(a.x+a.w-x, 0)))
	for _, line := range tuiAttentionText(it, a.w-2, now) {
		y++
		if y >= a.y+a.h {
			return
		}
		g.cell(a.x+1, y, a.w-1, line.style, line.text)
	}
}

// tuiAttentionWhat says what an item is, with the glyph and the colour of `cdktr attention`, and how the rest of its
// row is drawn: dim where the trouble is over by itself.
func tuiAttentionWhat(it *AttentionItem) (what viewCell, rest termStyle) {
	glyph, color, _ := attentionWords(it)
	switch {
	case it.Recovered:
		return viewCell{text: glyph + " recovered", style: styleGreen}, styleDim
	case color == colorYellow:
		return viewCell{text: glyph + " " + it.Kind, style: styleYellow}, 0
	}
	return viewCell{text: glyph + " " + it.Kind, style: styleRed | styleBold}, 0
}

// tuiAttentionOn says where it is: a workflow and its task, or an agent.
func tuiAttentionOn(it *AttentionItem) string {
	switch {
	case it.where() != "":
		return strings.TrimSpace(it.where() + " " + it.Task)
	case it.Kind == attentionDisk, it.Kind == attentionFolder, it.Kind == attentionAlarm:
		return "the principal"
	}
	return it.Agent
}

// tuiAttentionText tells all of an item: why, folded to a width, what was different when it last went well, its output,
// and how often it happened.
func tuiAttentionText(it *AttentionItem, width int, now time.Time) []viewCell {
	var lines []viewCell
	for _, line := range viewFold(it.Reason, max(width, 1)) {
		lines = append(lines, viewCell{text: line, style: styleBold})
	}
	if it.Recovered {
		lines = append(lines, viewCell{text: "a newer run has succeeded since", style: styleGreen})
	}
	for _, changed := range it.Changed {
		lines = append(lines, viewCell{text: changed, style: styleYellow})
	}
	for _, names := range [][]string{it.Workflows, it.Agents} {
		if len(names) > 0 {
			lines = append(lines, viewCell{text: attentionNamesText(names, attentionShown)})
		}
	}
	for i := range it.Lines {
		style := termStyle(0)
		if strings.HasPrefix(it.lineText(i), "e|") {
			style = styleYellow
		}
		lines = append(lines, viewCell{text: it.lineText(i), style: style})
	}
	if len(it.Runs) > 0 {
		text := "run " + tuiShort(it.Runs[0])
		if it.Agent != "" {
			text += " at " + it.Agent // the newest run was there
		}
		if it.Count > 1 {
			text = fmt.Sprintf("%d runs since %s, the newest %s", it.Count, viewWhen(it.First, now),
				strings.TrimPrefix(text, "run "))
		}
		lines = append(lines, viewCell{text: text, style: styleDim})
	}
	return lines
}

func (l *tuiAttentionList) status(u *tui) string {
	switch {
	case l.note != "":
		return l.note
	case !l.asked:
		return ""
	}
	text := fmt.Sprintf("%d of %d", min(l.table.selected+1, len(l.items)), len(l.items))
	if l.filter != "" {
		text += "  /" + l.filter
	}
	if l.alarm != nil {
		text += "  " + l.alarm.text(func(at Stamp) string { return viewWhen(at, u.clock()) })
	}
	return text
}

func (l *tuiAttentionList) pick(*tui) tuiPick {
	it := l.item()
	if it == nil {
		return tuiPick{}
	}
	p := tuiPick{workflow: it.Workflow, task: it.Task, agent: it.Agent, item: it.Key}
	if len(it.Runs) > 0 {
		p.run = it.Runs[0]
	}
	return p
}

func (l *tuiAttentionList) move(_ *tui, by int)   { l.choose(l.table.selected + by) }
func (l *tuiAttentionList) page(_ *tui, half int) { l.choose(l.table.selected + half*max(l.room/2, 1)) }

func (l *tuiAttentionList) edge(_ *tui, end bool) {
	if end {
		l.choose(len(l.items) - 1)
	} else {
		l.choose(0)
	}
}

func (l *tuiAttentionList) getFilter() string { return l.filter }

func (l *tuiAttentionList) setFilter(_ *tui, text string) {
	l.filter = text
	l.set(l.all)
}
