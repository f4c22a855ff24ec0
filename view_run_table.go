//go:build !noui

// view_run_table.go: the tasks of a run as a table. Wide areas show everything about the run at once: waves, table,
// facts of the selected task, log.

package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	viewRunName  = 22 // columns of a task's name, at the least where other columns are shown
	viewRunAfter = 12 // columns of the names that a task waits for, at the least
	viewRunFacts = 15 // rows kept for the facts of the selected task, at the most
	viewRunWhy   = 24 // columns of why an attempt failed, at the most
)

// drawWide shows the waves on top, below them the table and the facts of the selected task, and beside these its log.
func (v *viewRun) drawWide(p viewPen, log func(*termGrid, viewArea)) {
	most := 0
	for _, wave := range v.waves {
		most = max(most, len(wave))
	}
	if len(v.waves) > 1 {
		strip := min(most+1, p.h/4)
		v.drawWaves(p.part(0, 0, p.w, strip), false)
		p.line(0, strip, p.w, styleDim, '-')
		p = p.part(0, strip+1, p.w, p.h-strip-1)
	}
	left := p
	if log != nil {
		usual := p.w - max(p.w*55/120, 55) // the columns of a table without AFTER
		width := min(max(usual+v.Split, 30), p.w-40)
		v.Split = width - usual
		left = p.part(0, 0, p.w-width, p.h)
		right := p.part(p.w-width, 0, width, p.h)
		for y := range right.h {
			right.line(0, y, 1, styleDim, '|')
		}
		v.drawHeading(right.part(1, 0, right.w-1, 1), 0, " ")
		log(p.g, right.part(1, 1, right.w-1, right.h-1).viewArea)
	}
	table := min(len(v.rows)+2, left.h-min(viewRunFacts, left.h/2))
	v.drawTable(left.part(0, 0, left.w, table))
	v.drawFacts(left.part(0, table, left.w, left.h-table))
}

// scroll keeps the selected row among the shown ones.
func (v *viewRun) scroll(shown int) {
	at := max(v.selected(), 0)
	v.top = min(v.top, at, max(len(v.rows)-shown, 0))
	v.top = max(v.top, at-shown+1, 0)
}

// drawShown says at the right edge of a heading, behind column least, which rows are shown if not all are.
func (v *viewRun) drawShown(p viewPen, least, shown int) {
	if shown <= 0 || shown >= len(v.rows) {
		return
	}
	text := " " + strconv.Itoa(v.top+1) + "-" + strconv.Itoa(v.top+shown) + " of " + strconv.Itoa(len(v.rows))
	if from := p.w - 1 - len(text); from >= least {
		p.put(from, 0, 0, text)
	}
}

// drawTable shows one row a task, indented by depth. In narrow areas the columns at the right are left out.
func (v *viewRun) drawTable(p viewPen) {
	name := max(min(v.longest, p.w-3-29-25), min(viewRunName, p.w-3-1-16), 1)
	state := 3 + name + 1
	exit, tries, after := state+17, state+23, state+29
	room := p.w - after - 1
	if v.graph == nil || room < viewRunAfter {
		room = 0
	}
	p.put(3, 0, styleBold, "TASK")
	p.put(state, 0, styleBold, "STATE")
	end := p.put(state+10, 0, styleBold, "TOOK")
	if exit+4 <= p.w {
		end = p.put(exit, 0, styleBold, "EXIT")
	}
	if tries+5 <= p.w {
		end = p.put(tries, 0, styleBold, "TRY")
	}
	if room > 0 {
		end = p.put(after, 0, styleBold, "AFTER")
	}
	shown := min(p.h-1, len(v.rows))
	v.scroll(p.h - 1)
	v.drawShown(p, end, shown)
	for y := 1; y <= shown; y++ {
		r := &v.rows[v.top+y-1]
		glyph, word, style := viewLooks(r.run.shownState())
		v.drawMark(p, y, r)
		indent := min(2*r.indent, dagMaxIndent, name/2)
		apart := termStyle(0)
		if r.run.Handler != "" {
			apart = styleDim
		}
		p.cell(3+indent, y, name-indent, apart, r.name())
		p.put(p.put(state, y, style, glyph)+1, y, style, word)
		took := v.tookAt(r)
		p.put(state+max(14-len(took), 8), y, 0, took) // hours reach into the gap before EXIT
		if exit+4 <= p.w {
			p.right(exit, y, 4, 0, r.exit)
		}
		if tries+5 <= p.w {
			p.cell(tries, y, 5, 0, r.tries)
		}
		if room > 0 {
			p.put(after, y, 0, v.afterText(r, room))
		}
		v.drawSelected(p, y, r)
	}
}

// drawMark says in columns 0 and 1 whether a row is selected, and whether it is on the critical path.
func (v *viewRun) drawMark(p viewPen, y int, r *viewRunRow) {
	if r.run.Task == v.Selected {
		p.put(0, y, 0, ">")
	}
	if r.critical {
		p.put(1, y, styleBold, "#")
	}
}

// drawSelected reverses the selected row, and parks the cursor on it.
func (v *viewRun) drawSelected(p viewPen, y int, r *viewRunRow) {
	if r.run.Task == v.Selected {
		p.restyle(0, y, p.w, styleReverse)
		p.park(y)
	}
}

// afterText gives the names that a task waits for, as many as fit. For a task that was skipped it also says how those
// ended that did not succeed.
func (v *viewRun) afterText(r *viewRunRow, room int) string {
	if r.afterRoom == room {
		return r.after
	}
	if r.run.Of != "" { // it waits for what its task waits for
		r.after, r.afterRoom = textCut(r.run.why(), room), room
		return r.after
	}
	names := make([]string, len(r.deps))
	for k, i := range r.deps {
		dep := v.rows[i].run
		names[k] = dep.Task
		if r.run.State == taskSkipped && dep.State != taskSucceeded {
			names[k] += " (" + dep.shownState() + ")"
		}
	}
	bar := viewRunProgress(v.Run.instances(r.run.Task))
	if textWidth(bar) > room {
		bar = strings.TrimLeft(bar, "#"+viewRunEachWait+" ")
	}
	gap := ""
	if bar != "" && len(names) > 0 {
		gap = "  "
	}
	if left := room - len(bar) - len(gap); left > 0 {
		bar += gap + viewRunList(names, " ", left)
	}
	r.after, r.afterRoom = textCut(bar, room), room
	return r.after
}

// viewRunList joins as many names as fit into room columns with the count of the others. It shows at least the
// beginning of the first.
func viewRunList(names []string, between string, room int) string {
	var list strings.Builder
	more := func(shown int) string {
		if shown == len(names) {
			return ""
		}
		return " +" + strconv.Itoa(len(names)-shown) + " more"
	}
	width, fit, shown := 0, 0, 0 // the first shown names are fit bytes long
	for k, name := range names {
		if k > 0 {
			list.WriteString(between)
			width += len(between)
		}
		list.WriteString(name)
		width += textWidth(name)
		if width > room {
			break
		}
		if width+len(more(k+1)) <= room {
			fit, shown = list.Len(), k+1
		}
	}
	if shown == 0 && len(names) > 0 {
		return textCut(names[0], room-len(more(1))) + more(1)
	}
	return list.String()[:fit] + more(shown)
}

// viewRunFact is a line about the selected task.
type viewRunFact struct {
	label, text string   // the label has six letters at most
	list        []string // instead of text: as many as fit
	tries       []string // instead of both: the newest that fit
	lost        int      // tries before the first of these
}

// drawFacts shows what the row of the selected task has no room for.
func (v *viewRun) drawFacts(p viewPen) {
	i := v.selected()
	if i < 0 {
		return
	}
	if v.facts == nil {
		v.facts = v.factsOf(&v.rows[i])
	}
	x := p.cell(1, 0, min(textWidth(v.Selected), p.w-2), styleBold, v.Selected)
	if spec := v.rows[i].spec; spec != nil && spec.Name != "" {
		p.cell(x+2, 0, p.w-x-3, 0, spec.Name)
	}
	for k, f := range v.facts {
		p.cell(1, k+1, 7, styleDim, f.label)
		text := f.text
		if f.list != nil {
			text = viewRunList(f.list, "  ", p.w-9)
		}
		for from := range f.tries {
			text = strings.Join(f.tries[from:], " | ")
			if f.lost+from > 0 {
				text = "+" + strconv.Itoa(f.lost+from) + " more | " + text
			}
			if textWidth(text) <= p.w-9 {
				break
			}
		}
		p.cell(8, k+1, p.w-9, 0, text)
	}
}

// factsOf gathers the facts of a task. Of variables it shows only the names: their values may be secret.
func (v *viewRun) factsOf(r *viewRunRow) []viewRunFact {
	facts := make([]viewRunFact, 0, viewRunFacts)
	text := func(label, text string) {
		if text != "" {
			facts = append(facts, viewRunFact{label: label, text: text})
		}
	}
	list := func(label string, names []string) {
		if len(names) > 0 {
			facts = append(facts, viewRunFact{label: label, list: names})
		}
	}
	if r.spec != nil {
		text(viewRunWork(r.spec))
	}
	list("after", v.namesOf(r.deps))
	list("blocks", v.namesOf(r.blocks))
	tries := r.tries
	if r.run.Exit != nil {
		tries += "   last exit " + r.exit
	}
	if !r.running() && r.run.Attempts > 0 {
		tries += "   " + r.took + " in all"
	}
	if each := v.Run.instances(r.run.Task); len(each) > 0 {
		facts = append(facts, viewRunFact{label: "each", text: viewRunProgress(each) + "   " + instancesCount(each)})
	} else {
		text("tries", tries)
	}
	if len(r.run.Earlier) > 0 {
		tries := viewRunTries(r.run)
		facts[len(facts)-1].tries, facts[len(facts)-1].lost = tries, max(r.run.Attempts-len(tries), 0)
	}
	used := r.run.used()
	text("used", used.text())
	text("limits", r.run.Limited)
	text("why", r.run.why())
	text("child", r.run.Child)
	text("agent", r.run.Agent)
	if r.critical {
		text("path", "# on the critical path")
	}
	if r.spec != nil {
		text("when", r.spec.When)
		text("if", r.spec.If)
		if r.spec.AllowFailure != nil {
			text("may", "fail "+r.spec.AllowFailure.text())
		}
		text("limit", viewRunLimits(v.Spec, r.spec))
		env := slices.Concat(sortedKeys(v.Spec.Env), sortedKeys(r.spec.Env))
		slices.Sort(env)
		env = slices.Compact(env)
		if len(env) > 0 {
			list("env", append(env, "(values hidden)"))
		}
		list("secret", slices.Concat(v.Spec.Secrets, r.spec.Secrets))
		text("user", v.Spec.userOf(r.spec))
		text("dir", orDefault(r.spec.WorkingDirectory, v.Spec.WorkingDirectory))
	}
	return facts
}

// viewRunTries gives a text for each attempt of a task: its number, what became of it, and how long it took if it is
// over.
func viewRunTries(t *TaskRun) []string {
	var tries []string
	for k, a := range t.tries() {
		_, what, _ := viewLooks(t.shownState())
		if k < len(t.Earlier) || t.State == taskFailed {
			what = textCut(a.Reason, viewRunWhy)
		}
		text := strconv.Itoa(a.Attempt) + " " + what
		if k < len(t.Earlier) || !t.Finished.IsZero() {
			text += " " + viewTook(time.Duration(a.Seconds*float64(time.Second)))
		}
		tries = append(tries, text)
	}
	return tries
}

// namesOf names rows, with their states.
func (v *viewRun) namesOf(rows []int) []string {
	names := make([]string, len(rows))
	for k, i := range rows {
		t := v.rows[i].run
		glyph, word, _ := viewLooks(t.shownState())
		names[k] = t.Task + " (" + glyph + " " + word + ")"
	}
	return names
}

// viewRunWork gives what a task does: the key in the workflow file, or a word of six letters at most for it, and one
// line of its value.
func viewRunWork(t *Task) (label, text string) {
	switch {
	case t.Cmd != "":
		return "cmd", strings.Join(append([]string{t.Cmd}, t.Args...), " ")
	case t.Python != nil:
		return "python", strings.Join(append([]string{t.Python.Script}, t.Python.Packages...), " ")
	case t.Workflow != "":
		return "starts", t.Workflow
	case t.Approve != "":
		return "asks", t.Approve
	case t.HTTP != nil:
		return "http", t.HTTP.method() + " " + t.HTTP.URL
	}
	first, rest, more := strings.Cut(strings.TrimSpace(t.Run), "\n")
	if more {
		first += " (+" + strconv.Itoa(strings.Count(rest, "\n")+1) + " lines)"
	}
	return "run", first
}

// viewRunLimits gives a task's bounds, its retries or repeats, its pools, and what it may take of its machine.
func viewRunLimits(w *Workflow, t *Task) string {
	var limits []string
	if t.Timeout > 0 {
		limits = append(limits, "timeout "+t.Timeout.String())
	}
	if t.Retries > 0 {
		text := "retry " + strconv.Itoa(t.Retries)
		if t.RetryDelay > 0 {
			text += " after " + t.RetryDelay.String() + " x2"
		}
		if t.RetryMaxDelay > 0 {
			text += " up to " + t.RetryMaxDelay.String()
		}
		limits = append(limits, text)
	}
	if each := t.Repeat; each != nil {
		text := "repeat every " + each.Every.String()
		if each.For > 0 {
			text += " for " + each.For.String()
		}
		limits = append(limits, text)
	}
	if len(t.Agent) > 0 {
		limits = append(limits, "agent with "+labelsText(t.Agent))
	}
	if len(t.Pool) > 0 {
		limits = append(limits, "pool "+poolsText(t.Pool))
	}
	if all := w.limitsOf(t).text(); all != "" {
		limits = append(limits, all)
	}
	return strings.Join(limits, ", ")
}
