//go:build !noui

// view_run.go: the screen of one run: its state, how many tasks are in which state, and the tasks, as a table
// (view_run_table.go), in waves, or on a time axis (both view_run_time.go). Its caller draws the log of the selected
// task beside or below them.

package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// viewRunMode says how the tasks of a run are shown.
type viewRunMode int

const (
	viewRunTable viewRunMode = iota // one row a task, those it waits for beside it
	viewRunWave                     // one column for each depth of the graph
	viewRunTime                     // one row a task, with a bar from its start to its end
)

// The size that an area must have before more is shown.
const (
	viewRunWide     = 100 // columns: waves, tasks, facts and log at once
	viewRunHigh     = 27  // rows, for the same
	viewRunStripped = 120 // columns: all tasks as a strip of glyphs
	viewRunLogged   = 12  // rows: the log below the tasks
)

// viewRun is what is known of a run, and where in it the user is. One goroutine uses it at a time.
type viewRun struct {
	// What is known. Nobody may change Run. Spec is the version that the run is of: without it there is no AFTER, no
	// waves and no critical path. nil: not known; without a Run nothing is drawn.
	Run   *Run
	Spec  *Workflow
	Agent *Agent

	// Now measures what goes on, and its location is that of all times shown. Stale: it stands still, because no news
	// of the run comes.
	Now   time.Time
	Stale bool

	// What the user chose. Selected is a task's id. Split is the rows, or columns side by side, that the log has beyond
	// the usual; draw keeps it within what fits. Pane has the focus: 0 the tasks, 1 the log.
	Mode     viewRunMode
	Selected string
	Split    int
	Pane     int

	opened map[string]bool // tasks with foreach whose instances have rows

	LogPlace string // where in the log the reader is, for the right end of its heading

	// Made by order: the rows, in an order in which they could run; rows by depth; the graph of drawn, which is the
	// Spec that it was made of; tasks in each of viewRunStates; columns of the longest name, without and with its
	// indent.
	rows    []viewRunRow
	waves   [][]int
	graph   *dag
	drawn   *Workflow
	counts  []int
	widest  int
	longest int

	// Kept by draw: the first row shown, times on the screen that grow, facts of the selected task.
	top   int
	live  int
	facts []viewRunFact
}

// viewRunStates are the states that are counted, in the order of the counts, and their words.
var viewRunStates = []struct{ state, word string }{
	{taskSucceeded, "ok"}, {taskRunning, "running"}, {taskRetrying, "retrying"}, {askApprove, "asking"},
	{askWorkflow, "in a child"}, {askAgent, "for an agent"}, {taskFailed, "failed"},
	{taskCrashed, "crashed"}, {taskAllowed, "allowed"},
	{taskCancelled, "cancelled"}, {askPool, "at a pool"}, {taskWaiting, "waiting"}, {taskSkipped, "skipped"},
}

// viewRunStrip is the order of the strip of glyphs.
var viewRunStrip = []string{taskSucceeded, taskFailed, taskCrashed, taskAllowed, taskCancelled, taskRunning,
	taskRetrying, askApprove, askWorkflow, askAgent, askPool, taskWaiting, taskSkipped}

// viewRunRow is one task of the run.
type viewRunRow struct {
	run          *TaskRun
	spec         *Task // nil: not known
	depth        int   // in its graph; of a handler's tasks more than of all before them
	indent       int   // how much deeper it is than the first task of its graph
	deps, blocks []int // rows that it waits for, and that wait for it
	critical     bool
	took         string // "" while it goes on: see tookAt
	exit, tries  string
	after        string // as many names as fit into afterRoom columns
	afterRoom    int
}

// set takes new data. The selection stays on its task. At first it is on a task that failed or waits for a person, else
// on one that runs.
func (v *viewRun) set(run *Run, spec *Workflow) {
	v.Run, v.Spec = run, spec
	v.order()
	if v.selected() < 0 && len(v.rows) > 0 {
		v.Selected = v.rows[v.first()].run.Task
	}
}

// first gives the row to select at first.
func (v *viewRun) first() int {
	running := 0
	for i := range v.rows {
		switch state := v.rows[i].run.shownState(); {
		case state == taskFailed || state == taskCrashed || state == askApprove:
			return i
		case (state == taskRunning || state == taskRetrying) && running == 0:
			running = i
		}
	}
	return running
}

// order builds the rows: the tasks in an order in which they could run. Tasks that the workflow does not have come
// last; where it is not known, all tasks are such.
func (v *viewRun) order() {
	v.rows, v.waves, v.facts, v.widest, v.longest, v.counts = nil, nil, nil, 0, 0, make([]int, len(viewRunStates))
	if v.Run == nil {
		return
	}
	if v.Spec != v.drawn {
		v.drawn, v.graph = v.Spec, nil
		if v.Spec != nil {
			v.graph, _ = dagBuild(v.Spec.Tasks) // without a graph no edges are shown
		}
	}
	v.rows, v.waves = v.ordered()
	for i := range v.rows {
		r := &v.rows[i]
		v.write(r)
		width := textWidth(r.run.Task)
		v.longest = max(v.longest, textWidth(r.name())+min(2*r.indent, dagMaxIndent))
		if r.run.Of != "" {
			continue
		}
		v.widest = max(v.widest, width)
		for k, s := range viewRunStates {
			if s.state == r.run.shownState() && r.run.Handler == "" {
				v.counts[k]++
			}
		}
	}
	if v.graph != nil {
		handlers := slices.IndexFunc(v.rows, func(r viewRunRow) bool { return r.run.Handler != "" })
		if handlers < 0 {
			handlers = len(v.rows)
		}
		viewRunPath(v.rows[:handlers], v.Run.Started)
	}
}

// ordered puts the tasks of the run in order, with their places in the graph, and gives the rows of each wave. Behind a
// task that is open are its instances, which are in no wave. The tasks of each handler come behind all others, in waves
// of their own.
func (v *viewRun) ordered() (rows []viewRunRow, waves [][]int) {
	run, spec, graph := v.Run, v.Spec, v.graph
	at, taken := make(map[string]int, len(run.Tasks)), make([]bool, len(run.Tasks))
	for k := range run.Tasks {
		at[run.Tasks[k].Task] = k
	}
	rows = make([]viewRunRow, 0, len(run.Tasks))
	if graph != nil {
		base := 0 // the depth at which a graph begins
		add := func(tasks []Task, graph *dag) {
			// of each task of the graph, counted from 1; 0: the run has no such task
			rowOf, next := make([]int, len(tasks)), base
			for _, i := range graph.order() {
				k, there := at[tasks[i].ID]
				if !there {
					continue
				}
				row := viewRunRow{run: &run.Tasks[k], spec: &tasks[i], depth: base + graph.depth(i),
					indent: graph.depth(i)}
				for _, j := range graph.deps(i) {
					if rowOf[j] > 0 {
						row.deps = append(row.deps, rowOf[j]-1)
						rows[rowOf[j]-1].blocks = append(rows[rowOf[j]-1].blocks, len(rows))
					}
				}
				taken[k] = true
				next = max(next, row.depth+1)
				rows = append(rows, row)
				rowOf[i] = len(rows)
				rows = append(rows, v.instancesOf(&row)...)
			}
			base = next
		}
		add(spec.Tasks, graph)
		for _, name := range run.handlers() {
			if graph, err := dagBuild(spec.handler(name)); err == nil {
				add(spec.handler(name), graph)
			}
		}
	}
	for k := range run.Tasks {
		if !taken[k] && run.Tasks[k].Of == "" {
			row := viewRunRow{run: &run.Tasks[k]}
			rows = append(append(rows, row), v.instancesOf(&row)...)
		}
	}
	for i := range rows {
		if rows[i].run.Of != "" {
			continue
		}
		for len(waves) <= rows[i].depth {
			waves = append(waves, nil)
		}
		waves[rows[i].depth] = append(waves[rows[i].depth], i)
	}
	return rows, waves
}

// write makes the texts of a row that stay until the run changes.
func (v *viewRun) write(r *viewRunRow) {
	t := r.run
	running := v.Run.State == runRunning && (t.State == taskRunning || t.State == taskRetrying) && !t.Started.IsZero()
	switch {
	case running:
		r.took = ""
	case t.Seconds > 0:
		r.took = viewTook(time.Duration(t.Seconds * float64(time.Second)))
	case t.Started.IsZero() || t.Finished.IsZero():
		r.took = "-"
	default:
		r.took = viewTook(t.Finished.Sub(t.Started.Time))
	}
	r.exit, r.tries, r.afterRoom = "-", strconv.Itoa(t.Attempts), -1
	if t.Exit != nil && t.State != taskRunning { // a running task has the exit code of the attempt before
		r.exit = strconv.Itoa(*t.Exit)
	}
	if each := len(v.Run.instances(t.Task)); each > 0 {
		r.tries = "x" + strconv.Itoa(each)
	} else if r.spec != nil && r.spec.attempts() > 0 {
		r.tries += "/" + strconv.Itoa(r.spec.attempts())
	}
}

// running says whether a task runs, so that its time grows.
func (r *viewRunRow) running() bool { return r.took == "" }

// tookAt gives how long a task took, or has taken until now, and counts the times that grow.
func (v *viewRun) tookAt(r *viewRunRow) string {
	if !r.running() {
		return r.took
	}
	v.live++
	return viewTook(v.Now.Sub(r.run.Started.Time))
}

// selected gives the selected row, or -1.
func (v *viewRun) selected() int {
	for i := range v.rows {
		if v.rows[i].run.Task == v.Selected {
			return i
		}
	}
	return -1
}

// move goes that many tasks down, or up, in the order that the mode shows them.
func (v *viewRun) move(delta int) {
	if len(v.rows) == 0 {
		return
	}
	at := max(v.selected(), 0)
	if v.Mode != viewRunWave {
		v.choose(min(max(at+delta, 0), len(v.rows)-1))
		return
	}
	line, here := make([]int, 0, len(v.rows)), 0 // down each wave, then the next
	for _, wave := range v.waves {
		for _, i := range wave {
			if i == at {
				here = len(line)
			}
			line = append(line, i)
		}
	}
	v.choose(line[min(max(here+delta, 0), len(line)-1)])
}

// moveTo goes to the first task or the last.
func (v *viewRun) moveTo(end bool) {
	if end {
		v.move(len(v.rows))
	} else {
		v.move(-len(v.rows))
	}
}

// find selects the next task that matches, in the order of the table, or with -1 the one before, around the end if need
// be. here includes the selected task. Where no task matches, the selection stays.
func (v *viewRun) find(dir int, here bool, match func(*TaskRun) bool) {
	n, at := len(v.rows), max(v.selected(), 0)
	for k := range n {
		i := ((at+dir*k)%n + n) % n
		if (k > 0 || here) && match(v.rows[i].run) {
			v.choose(i)
			return
		}
	}
}

// choose selects row i.
func (v *viewRun) choose(i int) { v.Selected, v.facts = v.rows[i].run.Task, nil }

// growing gives how many times on the screen grow, as it was drawn last. While there are any, it is drawn each second.
func (v *viewRun) growing() int {
	if v.Stale {
		return 0
	}
	return v.live
}

// draw shows the run in an area, which it makes blank first. log draws the output of the selected task into its part of
// the area, below a heading that names the task; nil: there is none. The cursor is parked on the selected row.
func (v *viewRun) draw(g *termGrid, a viewArea, log func(g *termGrid, a viewArea)) {
	p := viewPen{g, a}
	p.clear()
	v.live = 0
	if v.Run == nil {
		return
	}
	head := v.drawHead(p)
	body := p.part(0, head, p.w, p.h-head)
	switch {
	case len(v.rows) == 0:
		body.cell(3, 0, body.w-3, 0, "no tasks yet")
		p.park(head)
	case v.Mode == viewRunTable && p.w >= viewRunWide && p.h >= viewRunHigh:
		v.drawWide(body, log)
	default:
		v.drawStacked(body, log)
	}
}

// drawStacked shows the tasks above the log. The log gets the rows that the tasks do not need.
func (v *viewRun) drawStacked(p viewPen, log func(*termGrid, viewArea)) {
	upper := p
	if log != nil && p.h+3 >= viewRunLogged {
		need := len(v.rows) + 2 // the heading, and a blank row
		if v.Mode == viewRunWave {
			need = 2
			for _, wave := range v.waves {
				need = max(need, len(wave)+2)
			}
		}
		usual := max((p.h+4)/3, p.h-need)
		lower := min(max(usual+v.Split, 2), p.h-3)
		v.Split = lower - usual
		upper = p.part(0, 0, p.w, p.h-lower)
		rule := p.part(0, p.h-lower, p.w, 1)
		rule.line(0, 0, rule.w, styleDim, '-')
		v.drawHeading(rule, 2, " --")
		log(p.g, p.part(0, p.h-lower+1, p.w, lower-1).viewArea)
	}
	switch v.Mode {
	case viewRunWave:
		v.drawWaves(upper, true)
	case viewRunTime:
		v.drawTime(upper)
	default:
		v.drawTable(upper)
	}
}

// drawHeading writes the row above the log: from column x on the task and what became of it, and at the right, before
// end, where the reader is. While the log has the focus, the row is marked as selected.
func (v *viewRun) drawHeading(p viewPen, x int, end string) {
	i := v.selected()
	if i < 0 {
		return
	}
	style, t := styleBold, v.rows[i].run
	if v.Pane == 1 {
		style |= styleReverse
		p.put(0, 0, styleBold, ">")
	}
	x = p.put(x, 0, 0, " ")
	x = p.cell(x, 0, min(textWidth(textSafe(t.Task)), p.w/2), style, t.Task)
	if why := instancesText(t, v.Run.instances(t.Task)); why != "" {
		_, _, look := viewLooks(t.shownState())
		x = p.put(x, 0, 0, "  ")
		x = p.cell(x, 0, min(textWidth(textSafe(why)), p.w-x-4), look, why)
	}
	x = p.put(x, 0, 0, " ")
	if where := " " + v.LogPlace + end; v.LogPlace != "" && p.w-x >= textWidth(where) {
		p.put(p.w-textWidth(where), 0, 0, where)
	}
}

// drawHead writes the rows above the tasks: the state of the run, the counts, and the reason for the state. Without a
// reason that row is blank, or missing where rows are few. It gives the number of rows.
func (v *viewRun) drawHead(p viewPen) int {
	r := v.Run
	glyph, _, style := viewLooks(r.State)
	x := p.put(1, 0, style, glyph)
	x = p.put(x+1, 0, style, strings.ToUpper(r.State))
	gap := 3
	if p.w >= viewRunWide {
		gap = 4
	}
	for k, part := range v.status(p.w >= viewRunWide) {
		space := gap
		if k == 0 {
			space = 1
		}
		if part != "" && x+space+textWidth(part) < p.w {
			x = p.put(x+space, 0, 0, part)
		}
	}
	v.drawCounts(p)
	switch reason := v.reason(); {
	case reason != "":
		p.cell(1, 2, p.w-2, style&styleColor, reason)
		return 3
	case p.h >= viewRunLogged:
		return 3
	}
	return 2
}

// status gives what to tell about the run, the most important first. The first part is how long it has taken, or "".
func (v *viewRun) status(wide bool) []string {
	r := v.Run
	parts := []string{"", r.Trigger, "try " + strconv.Itoa(r.Attempt), "", ""}
	switch {
	case r.State == runRunning && !r.Started.IsZero():
		v.live++
		parts[0] = viewTook(v.Now.Sub(r.Started.Time))
		if v.Stale {
			parts[0] += " (as of " + v.Now.Format("15:04:05") + ")"
		}
	case r.Seconds > 0:
		parts[0] = viewTook(time.Duration(r.Seconds * float64(time.Second)))
	}
	switch {
	case r.Parent != "":
		parts[1] = "started by task " + r.ParentTask + " of run " + r.Parent[max(len(r.Parent)-8, 0):]
	case r.By != "":
		parts[1] += " by " + r.By
		if r.Batch != "" {
			parts[1] += " for " + v.clock(r.Scheduled, true)
		}
	case r.Trigger == triggerCron && v.Spec != nil && len(v.Spec.Schedule) == 1:
		parts[1] += " " + v.Spec.Schedule[0]
	}
	// a person's retry, or a failover, goes beyond what the file allows
	if v.Spec != nil && r.Attempt <= v.Spec.Retries+1 {
		parts[2] += "/" + strconv.Itoa(v.Spec.Retries+1)
	}
	if r.Agent != "" {
		parts[3] = "agent " + r.Agent + v.agentText(wide)
	}
	if since := r.Started; !since.IsZero() {
		parts[4] = "started " + v.clock(since, wide)
	} else if !r.Queued.IsZero() {
		parts[4] = "queued " + v.clock(r.Queued, wide)
	}
	return parts
}

// agentText gives what to tell about the run's agent.
func (v *viewRun) agentText(wide bool) string {
	a := v.Agent
	switch {
	case a == nil || a.Name != v.Run.Agent:
		return ""
	case a.State != agentUp:
		return " (" + a.State + ")"
	case !wide:
		return ""
	}
	text := " ("
	for _, key := range sortedKeys(a.Labels) {
		text += key + "=" + a.Labels[key] + ", "
	}
	return text + strconv.Itoa(a.Running) + "/" + strconv.Itoa(a.Capacity) + " slots)"
}

// clock writes a time of day with its zone, and the date where there is room, or where it is not today.
func (v *viewRun) clock(s Stamp, wide bool) string {
	t := s.In(v.Now.Location())
	if y, m, d := t.Date(); !wide {
		if ny, nm, nd := v.Now.Date(); y == ny && m == nm && d == nd {
			return t.Format("15:04:05Z07:00")
		}
	}
	return t.Format("2006-01-02 15:04:05Z07:00")
}

// reason says why the run is as it is.
func (v *viewRun) reason() string {
	switch r := v.Run; {
	case r.State == runQueued && r.Reason != "":
		return "waits: " + r.Reason
	case r.State == runRunning && r.Cancelling != "":
		return "being stopped: " + r.Cancelling
	default:
		return orDefault(r.Reason, r.waitsFor())
	}
}

// drawCounts writes how many tasks are in which state, in words, or in glyphs where there is no room for words; then
// how many are over, and in wide areas a strip with one glyph a task.
func (v *viewRun) drawCounts(p viewPen) {
	if len(v.rows) == 0 {
		return
	}
	over, words := 0, 0 // words is the columns they take
	for k, s := range viewRunStates {
		if n := v.counts[k]; n > 0 {
			words += len("   + ") + len(strconv.Itoa(n)) + 1 + len(s.word)
		}
	}
	total := v.Run.total()
	for i := range v.Run.Tasks[:total] {
		if !taskActive(v.Run.Tasks[i].State) {
			over++
		}
	}
	all, done := strconv.Itoa(total), strconv.Itoa(over)
	end := max(p.w-1-len(done)-1-len(all), 0)
	p.put(p.put(p.put(end, 1, 0, done), 1, 0, "/"), 1, 0, all)
	x := p.put(p.put(1, 1, 0, all), 1, 0, " tasks")
	fit, same := x+words+1 < end, 0 // same: tasks in the states before that share this one's glyph
	for k, s := range viewRunStates {
		glyph, _, style := viewLooks(s.state)
		n := v.counts[k]
		if !fit && k+1 < len(viewRunStates) {
			if next, _, _ := viewLooks(viewRunStates[k+1].state); next == glyph {
				same += n
				continue
			}
		}
		switch count := strconv.Itoa(n + same); {
		case n+same == 0:
		case fit:
			x = p.put(p.put(x+3, 1, style, glyph)+1, 1, 0, count)
			x = p.put(x+1, 1, 0, s.word)
		case x+2+1+len(count) < end:
			x = p.put(p.put(x+2, 1, style, glyph), 1, 0, count)
		}
		same = 0
	}
	if from := end - 3 - len("[ ]") - 2*total; p.w >= viewRunStripped && from >= x+2 {
		v.drawStrip(p, from)
	}
}

// drawStrip writes one glyph a task from column x on: first what is over, then what runs, then what waits.
func (v *viewRun) drawStrip(p viewPen, x int) {
	x = p.put(x, 1, 0, "[ ")
	for _, state := range viewRunStrip {
		glyph, _, style := viewLooks(state)
		for i := range v.rows {
			if r := v.rows[i].run; r.Of == "" && r.shownState() == state {
				x = p.put(x, 1, style, glyph) + 1
			}
		}
	}
	p.put(x, 1, 0, "]")
}
