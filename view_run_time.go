//go:build !noui

// view_run_time.go: the tasks of a run on a time axis, which shows where the time went, with the critical path; and the
// tasks in waves, which show how wide the work is and how far it has come.

package main

import (
	"strconv"
	"strings"
	"time"
)

// viewRunSteps are the distances between two marks of the time axis. Longer ones are whole days.
var viewRunSteps = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second,
	30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
	2 * time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour}

const (
	viewRunBars  = 20 // columns of the bars, at the least where there is room beside the names
	viewRunTicks = 10 // columns between two marks of the axis, at the least
)

// drawTime shows a heading with the axis, and below it one row a task with its bar: see drawBar.
func (v *viewRun) drawTime(p viewPen) {
	name := max(min(viewRunName, p.w-3-2-9-viewRunBars), 8)
	took := 3 + 2 + name
	from := took + 9
	bars := p.part(from, 0, p.w-from-1, p.h)
	start, whole := v.Run.Started, v.length()
	p.put(3, 0, styleBold, "TASK")
	p.right(took, 0, 8, styleBold, "TOOK")
	shown := min(p.h-1, len(v.rows))
	if shown < p.h-1 { // a row is left for the meaning of the letters
		p.cell(3, p.h-1, p.w-3, styleDim, "# critical path   = a try   . waits   ~ several   > goes on   < done before")
	}
	v.scroll(p.h - 1)
	viewRunAxis(bars, whole)
	for y := 1; y <= shown; y++ {
		r := &v.rows[v.top+y-1]
		glyph, _, style := viewLooks(r.run.shownState())
		v.drawMark(p, y, r)
		p.put(3, y, style, glyph)
		p.cell(5, y, name, 0, r.run.Task)
		p.right(took, y, 8, 0, v.tookAt(r))
		if !start.IsZero() && !r.run.Started.IsZero() {
			v.drawBar(bars.part(0, y, bars.w, 1), r, start.Time, whole)
		}
		v.drawSelected(p, y, r)
	}
}

// length gives what the axis measures: how long the run took, or has taken until now.
func (v *viewRun) length() time.Duration {
	if v.Run.Started.IsZero() {
		return 0
	}
	end := v.Now
	if !v.Run.Finished.IsZero() {
		end = v.Run.Finished.Time
	}
	whole := end.Sub(v.Run.Started.Time)
	for i := range v.rows { // by the clock of another box a task may seem to end after its run
		if t := v.rows[i].run; !t.Finished.IsZero() && !t.Started.IsZero() {
			whole = max(whole, t.Finished.Sub(v.Run.Started.Time))
		}
	}
	return max(whole, time.Millisecond)
}

// viewRunAxis writes the marks of the axis, each at its column, or only the whole length where there is no room for
// two.
func viewRunAxis(p viewPen, whole time.Duration) {
	if whole <= 0 {
		return
	}
	if p.w < 2*viewRunTicks {
		p.right(0, 0, p.w, styleDim, viewTook(whole))
		return
	}
	step, day := time.Duration(0), 24*time.Hour
	for _, s := range viewRunSteps {
		if viewRunColumn(s, whole, p.w) >= viewRunTicks {
			step = s
			break
		}
	}
	// Powers of two: one lies between half of the whole and all of it, which is wide enough.
	for days := time.Duration(1); step == 0; days *= 2 {
		if viewRunColumn(days*day, whole, p.w) >= viewRunTicks {
			step = days * day
		}
	}
	for at := time.Duration(0); at >= 0 && at <= whole; at += step { // below 0 it has overflowed, after 292 years
		text, x := viewTook(at), viewRunColumn(at, whole, p.w)
		if x+len(text) > p.w {
			break
		}
		p.put(x, 0, styleDim, text)
	}
}

// viewRunColumn gives the column of a time on an axis of w columns.
func viewRunColumn(at, whole time.Duration, w int) int {
	return min(int(float64(at)/float64(whole)*float64(w)), w-1)
}

// drawBar draws the bar of one task. Each try is "=" and ends in the glyph of what became of it, or in ">" while it
// goes on; a short one is the glyph alone. "." is a wait for the next try. "~" stands for tries whose start is not
// known. "<" stands for a task that was done before this run began, in an earlier attempt of the run.
func (v *viewRun) drawBar(p viewPen, r *viewRunRow, start time.Time, whole time.Duration) {
	t := r.run
	glyph, _, style := viewLooks(t.shownState())
	end := v.Now
	switch {
	case !t.Finished.IsZero():
		end = t.Finished.Time
	case r.running():
		glyph = ">"
	default:
		return
	}
	if end.Before(start) {
		p.put(0, 0, style, "<")
		return
	}
	column := func(at time.Time) int { return max(viewRunColumn(at.Sub(start), whole, p.w), 0) }
	x, last, gap, gapStyle := column(t.Started.Time), column(end), '~', style // x is where the row is drawn up to
	bar := func(began, over time.Time, style termStyle, glyph string) {
		from, to := min(column(began), last), min(column(over), last)
		p.line(x, 0, from-x, gapStyle, gap)
		x = max(x, from)
		p.line(x, 0, to-x, style, '=')
		// two tries in one column: the glyph of the later one stays
		x = max(x, p.put(max(from, to), 0, style, glyph))
	}
	for i := range t.Earlier {
		a := &t.Earlier[i]
		if a.Started.IsZero() {
			continue
		}
		over := a.Started.Add(time.Duration(a.Seconds * float64(time.Second)))
		failed, _, red := viewLooks(taskFailed)
		bar(a.Started.Time, over, red, failed)
		gap, gapStyle = '.', styleDim
	}
	began := t.began().Time
	if t.between() || began.IsZero() { // it waits for its next try, or nobody knows when that began
		began = end
	}
	bar(began, end, style, glyph)
	if t.Attempts > 1 {
		tries := strings.Replace(r.tries, "/", " of ", 1) + " tries"
		if x+1+len(tries) <= p.w {
			p.put(x+1, 0, 0, tries)
		}
	}
}

// viewRunPath marks the critical path. It starts at the task that ended last, and goes back each time to that task
// which ended last of those it waited for, as long as they ran in this try of the run. A task that still runs counts as
// ending last; of several, the one that began first.
func viewRunPath(rows []viewRunRow, began Stamp) {
	later := func(a, b *viewRunRow) bool {
		switch {
		case a.running() && b.running():
			return a.run.Started.Before(b.run.Started.Time)
		case a.running() || b.running():
			return a.running()
		}
		return a.run.Finished.After(b.run.Finished.Time)
	}
	ended := func(r *viewRunRow) bool {
		return r.running() || !r.run.Finished.IsZero() && !r.run.Finished.Before(began.Time)
	}
	last := -1
	for i := range rows {
		r := &rows[i]
		if r.run.Started.IsZero() || !ended(r) || r.run.Of != "" {
			continue
		}
		if last < 0 || later(r, &rows[last]) {
			last = i
		}
	}
	for at := last; at >= 0; {
		r := &rows[at]
		r.critical = !r.run.Started.IsZero() // a skipped task on the path took no time
		at = -1
		for _, i := range r.deps {
			if ended(&rows[i]) && (at < 0 || later(&rows[i], &rows[at])) {
				at = i
			}
		}
	}
}

// Columns of one wave, which is the tasks of one depth of the graph.
const (
	viewRunWaveLeast = 16
	viewRunWaveMost  = 28
)

// drawWaves shows as many waves as fit, that of the selected task among them. With focus, the keys move the selection
// here, so it has the mark and the cursor.
func (v *viewRun) drawWaves(p viewPen, focus bool) {
	at := max(v.selected(), 0)
	width := min(max((p.w-1)/len(v.waves), v.widest+len("! ")+len(" 0:00 ")+1, viewRunWaveLeast), viewRunWaveMost)
	fit := max((p.w-1)/width, 1)
	depth := v.rows[at].depth
	from := min(max(depth-fit/2, 0), max(len(v.waves)-fit, 0))
	for k := from; k < min(from+fit, len(v.waves)); k++ {
		x := (k - from) * width
		head := "wave " + strconv.Itoa(k+1)
		if wave := v.waves[k]; len(wave) > 0 && v.rows[wave[0]].run.Handler != "" {
			head = v.rows[wave[0]].run.Handler
		}
		moreBefore := k == from && from > 0
		moreBehind := k == from+fit-1 && k < len(v.waves)-1
		if moreBefore || moreBehind {
			head += " of " + strconv.Itoa(len(v.waves))
		}
		p.cell(x+1, 0, width-1, styleBold, head)
		v.drawWave(p.part(x, 1, width, p.h-1), v.waves[k], at, focus)
	}
}

// drawWave shows one wave as a column. If not all tasks fit, it says how many are above and below.
func (v *viewRun) drawWave(p viewPen, wave []int, at int, focus bool) {
	from, to := 0, len(wave) // the tasks between are shown
	if p.h <= 0 {
		return
	}
	if len(wave) > p.h {
		for k, i := range wave {
			if i == at {
				from = min(max(k-p.h/2, 0), len(wave)-p.h)
			}
		}
		to = from + p.h
	}
	for k := from; k < to; k++ {
		y := k - from
		switch {
		case y == 0 && from > 0 && wave[k] != at:
			p.cell(1, y, p.w-2, styleDim, "  +"+strconv.Itoa(k+1)+" above")
			continue
		case k == to-1 && to < len(wave) && wave[k] != at:
			p.cell(1, y, p.w-2, styleDim, "  +"+strconv.Itoa(len(wave)-k)+" more")
			continue
		}
		v.drawTask(p, y, &v.rows[wave[k]], focus)
	}
}

// drawTask shows a task of a wave: glyph, name, and where there is room how long it took or has taken.
func (v *viewRun) drawTask(p viewPen, y int, r *viewRunRow, focus bool) {
	glyph, _, style := viewLooks(r.run.shownState())
	p.put(1, y, style, glyph)
	name := textWidth(r.run.Task)
	x := p.cell(3, y, min(name, p.w-4), style&^styleColor&^styleBold, r.run.Task)
	if took := v.tookAt(r); took != "-" && x+1+len(took) < p.w {
		p.put(x+1, y, 0, took)
	}
	if r.critical {
		p.put(0, y, styleBold, "#")
	}
	if r.run.Task != v.Selected {
		return
	}
	p.restyle(1, y, p.w-2, styleReverse)
	if focus {
		p.put(0, y, 0, ">")
		p.park(y)
	}
}
