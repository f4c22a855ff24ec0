// view_run_wave.go: the tasks of a run in waves: a column for each depth of the graph, a cell for each task, so that it
// is seen how wide the work is and how far it has come.

package main

import "strconv"

// Columns of one wave.
const (
	viewRunWaveLeast = 16
	viewRunWaveMost  = 28
)

// drawWaves shows as many waves as fit, among them that of the selected task. focus says that this is where the selection
// is moved: then it has the mark and the cursor.
func (v *viewRun) drawWaves(p viewPen, focus bool) {
	at := max(v.selected(), 0)
	width := min(max((p.w-1)/len(v.waves), v.widest+len("! ")+len(" 0:00 ")+1, viewRunWaveLeast), viewRunWaveMost)
	fit := max((p.w-1)/width, 1)
	depth := v.rows[at].depth
	from := min(max(depth-fit/2, 0), max(len(v.waves)-fit, 0))
	for k := from; k < min(from+fit, len(v.waves)); k++ {
		x := (k - from) * width
		head := "wave " + strconv.Itoa(k+1)
		if k == from && from > 0 || k == from+fit-1 && k < len(v.waves)-1 {
			head += " of " + strconv.Itoa(len(v.waves))
		}
		p.cell(x+1, 0, width-1, styleBold, head)
		v.drawWave(p.part(x, 1, width, p.h-1), v.waves[k], at, focus)
	}
}

// drawWave shows one column. When it is too short for all, it says how many there are above and below.
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

// drawTask shows a task as one cell of a wave: glyph, name, and where there is room how long it took or has.
func (v *viewRun) drawTask(p viewPen, y int, r *viewRunRow, focus bool) {
	glyph, _, style := viewLooks(r.run.State)
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
