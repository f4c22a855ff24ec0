//go:build !noui

// tui_list.go: the lists of workflows, runs and agents. One type serves all three; tuiListKinds has what differs.

package main

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const tuiListDeep = 4 // steps by which a run stands below its parents at the most: its name needs room too

// tuiListKind is what differs between the lists.
type tuiListKind struct {
	kind   tuiKind
	title  string
	twin   string // the command that prints the same
	empty  string
	cols   []viewColumn
	ids    func(*tuiList, *tuiModel) []string // in the order of the first sort
	fields func(*tuiList, *tuiModel, string) []tuiField
	row    func(*tuiList, *tuiModel, string, time.Time) (viewRowMark, []viewCell)
	sorts  []tuiSort
}

// tuiSort is an order of a list. The first of each kind has no key: it leaves the ids as they come.
type tuiSort struct {
	name string
	key  func(*tuiList, *tuiModel, string) string
}

// tuiList is a screen that lists things.
type tuiList struct {
	// What it lists: things of a kind; of runs maybe only those of one workflow, or at one agent.
	kind     tuiKind
	workflow string
	agent    string

	// How the user wants them: the filter, which of the kind's sorts, and the marked rows by id.
	filter  string
	sort    int
	reverse bool
	marks   map[string]bool

	// What is shown: ids in order, made when tuiModel.changed was built (-1: make them anew), and how many there were
	// before the filter. selectedID is the id of the selected row, and stays when the row goes.
	ids        []string
	depths     map[string]int // of runs, how many parents each has in the list, where it has any; see tree
	built      int
	total      int
	selectedID string
	table      viewTable
	room       int // rows on the screen

	// The older runs of a list of runs, and the id of the request for more of them, "" when there is none.
	older   *tuiOlder
	request string
}

// tuiListNew makes a list of everything of one kind.
func tuiListNew(kind tuiKind) *tuiList {
	k := tuiListKindOf(kind)
	return &tuiList{kind: kind, marks: map[string]bool{}, built: -1, older: &tuiOlder{},
		table: viewTable{cols: k.cols, empty: k.empty}}
}

// tuiListKinds has the lists.
var tuiListKinds = []tuiListKind{
	{kind: tuiWorkflows, title: "Workflows", twin: "cdktr ls --watch",
		empty: "no workflow yet: put a file into the principal's workflows folder",
		cols: []viewColumn{
			{head: "NAME", grow: 3, width: 8}, {head: "SCHEDULE", grow: 1, width: 9, minScreen: 64},
			{head: "NEXT", width: 12, minScreen: 48}, {head: "LAST", width: stateMaxRecent, minScreen: 60},
			{head: "RAN", width: 12, minScreen: 100}, {head: "STATE", width: 7}, {head: "TOOK", width: 7, right: true},
			{head: "TITLE", grow: 3, width: 4, minScreen: 110}},
		ids:    func(_ *tuiList, m *tuiModel) []string { return sortedKeys(m.workflows) },
		fields: func(_ *tuiList, m *tuiModel, id string) []tuiField { return tuiWorkflowFields(m.workflows[id]) },
		row:    tuiWorkflowRow,
		sorts: []tuiSort{
			{name: "name"},
			{"next", func(_ *tuiList, m *tuiModel, id string) string {
				return tuiSortTime(m.workflows[id].Next, "~")
			}},
			{"last", func(_ *tuiList, m *tuiModel, id string) string {
				_, _, queued := tuiLast(m.workflows[id])
				return tuiSortTime(queued, "")
			}},
			{"state", func(_ *tuiList, m *tuiModel, id string) string {
				return tuiWorkflowFields(m.workflows[id])[2].text
			}},
		}},
	{kind: tuiRuns, title: "Runs", twin: "cdktr ps --watch", empty: "no run yet: r on a workflow starts one",
		cols: []viewColumn{
			{head: "STATE", width: 7}, {head: "RUN", width: 8}, {head: "WORKFLOW", grow: 2, width: 10},
			{head: "STARTED", width: 12, minScreen: 56}, {head: "TOOK", width: 7, right: true},
			{head: "TASKS", width: 7, right: true, minScreen: 64}, {head: "BY", width: 7, minScreen: 100},
			{head: "AGENT", width: 8, minScreen: 90}, {head: "REASON", grow: 3, width: 7, minScreen: 72}},
		ids:    tuiRunIDs,
		fields: func(l *tuiList, m *tuiModel, id string) []tuiField { return tuiRunFields(l.run(m, id)) },
		row:    tuiRunRow,
		sorts: []tuiSort{
			{name: "newest"},
			{"workflow", func(l *tuiList, m *tuiModel, id string) string { return l.run(m, id).Workflow }},
			{"state", func(l *tuiList, m *tuiModel, id string) string { return l.run(m, id).State }},
			{"took", func(l *tuiList, m *tuiModel, id string) string {
				return fmt.Sprintf("%015.3f", l.run(m, id).Seconds)
			}},
		}},
	{kind: tuiAgents, title: "Agents", twin: "cdktr agents --watch",
		empty: "no agent has come yet: cdktr start agent, or start principal --with-agent",
		cols: []viewColumn{
			{head: "STATE", width: 7}, {head: "AGENT", grow: 2, width: 8},
			{head: "ADDRESS", grow: 1, width: 15, minScreen: 80}, {head: "RUNS", width: 6, right: true},
			{head: "LOAD", width: 5, right: true, minScreen: 48}, {head: "LAST SEEN", width: 12, minScreen: 56},
			{head: "VERSION", width: 7, minScreen: 64}, {head: "LABELS", grow: 3, width: 7, minScreen: 72}},
		ids:    func(_ *tuiList, m *tuiModel) []string { return sortedKeys(m.agents) },
		fields: func(_ *tuiList, m *tuiModel, id string) []tuiField { return tuiAgentFields(m.agents[id]) },
		row:    tuiAgentRow,
		sorts: []tuiSort{
			{name: "name"},
			{"state", func(_ *tuiList, m *tuiModel, id string) string { return m.agents[id].State }},
			{"load", func(_ *tuiList, m *tuiModel, id string) string {
				return fmt.Sprintf("%12s", m.agents[id].loadText())
			}},
		}},
}

// tuiListKindOf gives the list of a kind.
func tuiListKindOf(kind tuiKind) *tuiListKind {
	at := slices.IndexFunc(tuiListKinds, func(k tuiListKind) bool { return k.kind == kind })
	return &tuiListKinds[at]
}

// tuiSortTime is a time as text that sorts; for no time it is none.
func tuiSortTime(t Stamp, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// tuiRunIDs gives the runs of a list, the newest first, and behind them the older ones that were asked for.
func tuiRunIDs(l *tuiList, m *tuiModel) []string {
	ids := make([]string, 0, len(m.newest)+len(l.older.ids))
	for _, id := range slices.Backward(m.newest) {
		if l.holds(m.runs[id]) {
			ids = append(ids, id)
		}
	}
	for _, id := range l.older.ids {
		if m.runs[id] == nil { // else it was retried: the lists have it again
			ids = append(ids, id)
		}
	}
	return ids
}

// holds says whether a run belongs to the list.
func (l *tuiList) holds(r *RunRow) bool {
	ofWorkflow := l.workflow == "" || r.Workflow == l.workflow
	ofAgent := l.agent == "" || r.Agent == l.agent
	return ofWorkflow && ofAgent
}

// tuiStateCell is a state as glyph and word.
func tuiStateCell(state string) viewCell {
	glyph, word, style := viewLooks(state)
	return viewCell{text: glyph + " " + word, style: style}
}

func tuiWorkflowRow(_ *tuiList, m *tuiModel, id string, now time.Time) (viewRowMark, []viewCell) {
	w := m.workflows[id]
	if w.Error != "" && len(w.Schedule) == 0 && w.Tasks == 0 { // no version of it has ever loaded
		return viewRowMark{"#", styleRed | styleBold}, []viewCell{{text: id},
			{text: "INVALID " + strings.TrimPrefix(w.Error, w.File+":"), style: styleRed | styleBold, rest: true}}
	}
	mark := viewRowMark{}
	if w.Error != "" {
		mark = viewRowMark{"#", styleRed | styleBold}
	}
	next := viewCell{text: viewWhen(w.Next, now)}
	if w.Paused != "" {
		next = viewCell{text: "= paused", style: styleYellow}
		if p := w.Pause; p != nil && !p.Until.IsZero() {
			next.text = "= to " + viewDay(p.Until, now)
		}
	}
	var marks []viewCell
	for _, o := range w.Recent {
		glyph, _, style := viewLooks(o.State)
		marks = append(marks, viewCell{text: glyph, style: style})
	}
	marks = inserted(marks, 0, viewCell{text: strings.Repeat(" ", stateMaxRecent-min(len(marks), stateMaxRecent))})
	ran, state, took := viewCell{text: "never", style: styleDim}, viewCell{}, viewCell{text: "-"}
	if run, last, at := tuiLast(w); run != "" {
		ran = viewCell{text: viewWhen(at, now)}
		state = tuiStateCell(last)
	}
	if w.Last != nil {
		took.text = viewSince(w.Last.Started, w.Last.Finished, now)
	}
	title := w.Name
	if title == id {
		title = w.Description
	}
	if p := w.Pause; p != nil {
		title = "paused by " + p.text() + "  " + title
	}
	return mark, []viewCell{{text: id}, {text: w.fires()}, next,
		{parts: marks}, ran, state, took, {text: title, style: styleDim}}
}

// tuiShort is the end of a run's id: the part that differs between neighbours.
func tuiShort(run string) string { return run[max(len(run)-8, 0):] }

func tuiRunRow(l *tuiList, m *tuiModel, id string, now time.Time) (viewRowMark, []viewCell) {
	r := l.run(m, id)
	tasks := viewCell{text: "-"}
	if r.Total > 0 {
		tasks.text = fmt.Sprintf("%d/%d", r.Done, r.Total)
	}
	started := r.Started
	if started.IsZero() {
		started = r.Queued
	}
	below := strings.Repeat("  ", min(l.depths[id], tuiListDeep))
	return viewRowMark{}, []viewCell{tuiStateCell(r.State), {text: tuiShort(id)}, {text: below + r.Workflow},
		{text: viewWhen(started, now)},
		{text: viewSince(r.Started, r.Finished, now)}, tasks, {text: orDefault(r.By, r.Trigger)}, {text: r.Agent},
		{text: r.Reason}}
}

func tuiAgentRow(_ *tuiList, m *tuiModel, id string, now time.Time) (viewRowMark, []viewCell) {
	a := m.agents[id]
	var labels []string
	for _, k := range sortedKeys(a.Labels) {
		labels = append(labels, k+"="+a.Labels[k])
	}
	return viewRowMark{}, []viewCell{tuiStateCell(a.State), {text: a.Name}, {text: orDefault(a.Address, "-")},
		{text: strconv.Itoa(a.Running) + "/" + strconv.Itoa(a.Capacity)}, {text: a.loadText()},
		{text: viewWhen(a.Seen, now)}, {text: a.Version}, {text: strings.Join(labels, " ")}}
}

// fill brings ids up to date with the model. The selection stays on its row. If the row is gone, it stays in its place.
func (l *tuiList) fill(m *tuiModel) {
	if l.built == m.changed[l.kind] {
		return
	}
	l.built = m.changed[l.kind]
	k := tuiListKindOf(l.kind)
	ids := k.ids(l, m)
	l.total = len(ids)
	if terms := tuiFilterParse(l.filter); len(terms) > 0 {
		ids = slices.DeleteFunc(ids, func(id string) bool { return !tuiMatches(k.fields(l, m, id), terms) })
	}
	if key := k.sorts[l.sort].key; key != nil {
		keys := make(map[string]string, len(ids))
		for _, id := range ids {
			keys[id] = key(l, m, id)
		}
		sort.SliceStable(ids, func(a, b int) bool { return keys[ids[a]] < keys[ids[b]] })
	}
	if l.reverse {
		slices.Reverse(ids)
	}
	ids, l.depths = l.tree(m, ids)
	l.ids = ids
	l.table.n = len(ids)
	if at := slices.Index(ids, l.selectedID); at >= 0 {
		l.table.selected = at
	}
	l.choose(l.table.selected)
	if len(l.marks) > 0 {
		for id := range l.marks {
			if !slices.Contains(ids, id) {
				delete(l.marks, id)
			}
		}
	}
}

// tree puts runs below the run that has brought them about, and says how deep those are. Any other order than
// that by time takes each run by itself.
func (l *tuiList) tree(m *tuiModel, ids []string) (sorted []string, depths map[string]int) {
	isChild := func(id string) bool { return l.run(m, id).above() != "" }
	if l.kind != tuiRuns || l.sort != 0 || !slices.ContainsFunc(ids, isChild) {
		return ids, nil
	}
	runs := make([]*Run, len(ids))
	for i, id := range ids {
		runs[i] = l.run(m, id).Run
	}
	depths = map[string]int{}
	runs, deep := runTree(runs)
	for i, r := range runs {
		ids[i] = r.ID
		if deep[i] > 0 {
			depths[r.ID] = deep[i]
		}
	}
	return ids, depths
}

// choose selects row i, or the nearest one.
func (l *tuiList) choose(i int) {
	l.table.selected = max(min(i, len(l.ids)-1), 0)
	if l.table.selected < len(l.ids) {
		l.selectedID = l.ids[l.table.selected]
	}
}

// selected gives the id of the selected row, "" when there is none.
func (l *tuiList) selected() string {
	if l.table.selected < len(l.ids) {
		return l.ids[l.table.selected]
	}
	return ""
}

func (l *tuiList) name() string { return string(l.kind) }

func (l *tuiList) crumbs(*tui) []string {
	crumbs := []string{tuiListKindOf(l.kind).title}
	if scope := l.workflow + l.agent; scope != "" {
		crumbs = append(crumbs, scope)
	}
	return crumbs
}

// counts sums up the list for the header: agents by their state, runs of one workflow or agent by theirs. All other
// lists have the sum of everything.
func (l *tuiList) counts(u *tui) string {
	n := map[string]int{}
	switch {
	case l.kind == tuiAgents:
		for _, a := range u.model.agents {
			n[a.State]++
		}
	case l.kind == tuiRuns && l.workflow+l.agent != "":
		l.fill(u.model)
		for _, id := range l.ids {
			n[l.run(u.model, id).State]++
		}
	default:
		return u.model.counts()
	}
	text := ""
	for _, state := range []string{agentUp, agentDrain, agentLost, runRunning, runQueued, runFailed, runCrashed} {
		_, word, _ := viewLooks(state)
		if n[state] > 0 {
			text += fmt.Sprintf("  %s %d", word, n[state])
		}
	}
	return strings.TrimSpace(text)
}

func (l *tuiList) draw(u *tui, g *termGrid, a viewArea) {
	l.fill(u.model)
	k := tuiListKindOf(l.kind)
	now := u.clock()
	l.table.empty = k.empty
	switch {
	case !u.model.complete:
		l.table.empty = u.blank("the list", "")
	case l.request != "":
		l.table.empty = "loading older runs"
	case l.total > 0:
		l.table.empty = l.noMatch()
	case l.workflow != "":
		l.table.empty = "no run of it yet: r runs it, from the list of workflows (1)"
	case l.agent != "":
		l.table.empty = "no run there among the newest"
	}
	l.table.row = func(i int) (viewRowMark, []viewCell) {
		id := l.ids[i]
		mark, cells := k.row(l, u.model, id, now)
		if l.marks[id] {
			mark = viewRowMark{" " + "+", styleBold}
		}
		return mark, cells
	}
	if l.workflow != "" { // each row would say the same
		l.table.cols = slices.Clone(k.cols)
		for i := range l.table.cols {
			if l.table.cols[i].head == "WORKFLOW" {
				l.table.cols[i].minScreen = 1 << 20
			}
		}
	}
	l.room = l.table.draw(g, a)
	u.running += l.runningShown(u.model)
}

// runningShown counts the rows on the screen that show a growing time.
func (l *tuiList) runningShown(m *tuiModel) int {
	n := 0
	for i := l.table.top; i < min(l.table.top+l.room, len(l.ids)); i++ {
		switch id := l.ids[i]; l.kind {
		case tuiWorkflows:
			if last := m.workflows[id].Last; last != nil && last.State == runRunning {
				n++
			}
		case tuiRuns:
			if l.run(m, id).State == runRunning {
				n++
			}
		}
	}
	return n
}

// status says which row is selected, and how the list is filtered and sorted.
func (l *tuiList) status(u *tui) string {
	text := fmt.Sprintf("%d of %d", min(l.table.selected+1, len(l.ids)), len(l.ids))
	if l.filter != "" {
		text += fmt.Sprintf("  (%d in all)  /%s", l.total, l.filter)
	}
	order := tuiListKindOf(l.kind).sorts[l.sort].name
	if l.reverse {
		order = "-" + order
	}
	text += "  sort:" + order
	if n := len(l.marks); n > 0 {
		text += fmt.Sprintf("  %d marked", n)
	}
	if w := u.model.workflows[l.selected()]; l.kind == tuiWorkflows && w != nil && w.Error != "" {
		return w.Error
	}
	if l.kind == tuiRuns {
		text += l.olderText(u.model)
	}
	if r := l.run(u.model, l.selected()); l.kind == tuiRuns && r != nil && r.Reason != "" { // its column is narrow
		text += "  " + tuiShort(r.ID) + ": " + r.Reason
	}
	return text
}

// A key may come before the list is drawn, so each of these calls fill first.

func (l *tuiList) move(u *tui, by int) {
	l.fill(u.model)
	row := l.table.selected + by
	l.choose(row)
	beyondOldest := row >= len(l.ids)
	if l.reverse {
		beyondOldest = row < 0
	}
	if beyondOldest {
		l.more(u)
	}
}

func (l *tuiList) page(u *tui, half int) { l.move(u, half*max(l.room/2, 1)) }

func (l *tuiList) edge(u *tui, end bool) {
	l.fill(u.model)
	if end {
		l.choose(len(l.ids) - 1)
	} else {
		l.choose(0)
	}
	if end != l.reverse {
		l.more(u)
	}
}

func (l *tuiList) leave(u *tui)               { u.forget(l.request) }
func (l *tuiList) setFilter(_ *tui, s string) { l.filter, l.built = s, -1 }
func (l *tuiList) getFilter() string          { return l.filter }

// pick says what the selected row is about.
func (l *tuiList) pick(u *tui) tuiPick {
	l.fill(u.model)
	return l.pickOf(u, l.selected())
}

// pickOf says what a row is about.
func (l *tuiList) pickOf(u *tui, id string) tuiPick {
	switch {
	case id == "":
		return tuiPick{}
	case l.kind == tuiWorkflows:
		p := tuiPick{workflow: id}
		if w := u.model.workflows[id]; w != nil {
			p.run, _, _ = tuiLast(w)
		}
		return p
	case l.kind == tuiRuns:
		p := tuiPick{run: id}
		if r := l.run(u.model, id); r != nil {
			p.workflow = r.Workflow
		}
		return p
	}
	return tuiPick{agent: id}
}

// openRuns shows the runs of the workflow that a row is about.
func (u *tui) openRuns(p tuiPick) {
	l := tuiListNew(tuiRuns)
	l.workflow = p.workflow
	u.open(l)
	l.fill(u.model)
	w := u.model.workflows[p.workflow]
	hasRun := w != nil && len(w.Recent) > 0
	if hasRun && len(l.ids) == 0 { // long ago
		l.more(u)
	}
}

// openAgentRuns shows the runs at the agent that a row is about.
func (u *tui) openAgentRuns(p tuiPick) {
	l := tuiListNew(tuiRuns)
	l.agent = p.agent
	u.open(l)
}

// nextSort orders a list by the next of its columns.
func (u *tui) nextSort(tuiPick) {
	if l, ok := u.screen().(*tuiList); ok {
		l.sort = (l.sort + 1) % len(tuiListKindOf(l.kind).sorts)
		l.built = -1
	}
}

// turnSort reverses the order of a list.
func (u *tui) turnSort(tuiPick) {
	if l, ok := u.screen().(*tuiList); ok {
		l.reverse, l.built = !l.reverse, -1
	}
}

// mark marks the selected row, or takes its mark away, and goes to the next row.
func (u *tui) mark(tuiPick) {
	l, ok := u.screen().(*tuiList)
	if !ok || l.selected() == "" {
		return
	}
	id := l.selected()
	if l.marks[id] {
		delete(l.marks, id)
	} else {
		l.marks[id] = true
	}
	l.choose(l.table.selected + 1)
}

// marked says whether keys act on marked rows instead of the selected one.
func (u *tui) marked() bool {
	l, ok := u.screen().(*tuiList)
	return ok && len(l.marks) > 0
}
