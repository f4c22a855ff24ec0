//go:build !noui

// view_run_each.go: the instances of a task with foreach on the screen of a run. The task's row says how many are over.
// The instances have rows of their own below it while it is open.

package main

import (
	"strconv"
	"strings"
)

const (
	viewRunEachBar  = 10  // columns of the bar of a task with foreach
	viewRunEachWait = "." // in it, what is not over
)

// fold opens the selected task with foreach, or closes it, when one of its instances is selected too. False: the
// selected task has no instances.
func (v *viewRun) fold() bool {
	if v.Run == nil || !v.folds() {
		return false
	}
	task := v.Run.task(v.Selected)
	id := orDefault(task.Of, task.Task)
	v.unfold(id, !v.opened[id])
	v.Selected = id
	v.order()
	return true
}

// folds says whether the selected task has instances, or is one.
func (v *viewRun) folds() bool {
	task := v.Run.task(v.Selected)
	return task != nil && (task.Of != "" || len(v.Run.instances(task.Task)) > 0)
}

// unfold notes whether a task is open.
func (v *viewRun) unfold(id string, open bool) {
	if v.opened == nil {
		v.opened = map[string]bool{}
	}
	v.opened[id] = open
}

// openMatching opens the tasks of which an instance matches, so that a search finds it.
func (v *viewRun) openMatching(match func(*TaskRun) bool) {
	for i := v.Run.total(); i < len(v.Run.Tasks); i++ {
		if t := &v.Run.Tasks[i]; !v.opened[t.Of] && match(t) {
			v.unfold(t.Of, true)
		}
	}
	v.order()
}

// instancesOf gives the rows of the instances of a task, if it is open: they have its spec, and stand one deeper.
func (v *viewRun) instancesOf(row *viewRunRow) (rows []viewRunRow) {
	if !v.opened[row.run.Task] {
		return nil
	}
	instances := v.Run.instances(row.run.Task)
	for i := range instances {
		rows = append(rows, viewRunRow{run: &instances[i], spec: row.spec, depth: row.depth + 1,
			indent: row.indent + 1})
	}
	return rows
}

// name gives what the row is called in a table: an instance by its item alone.
func (r *viewRunRow) name() string { return strings.TrimPrefix(r.run.Task, r.run.Of) }

// viewRunProgress says how many instances are over, as "######.... 24/40, 2 failed"; "" of a task without instances.
func viewRunProgress(instances []TaskRun) string {
	if len(instances) == 0 {
		return ""
	}
	over, bad := 0, 0
	for i := range instances {
		t := &instances[i]
		if !taskActive(t.State) {
			over++
		}
		if dagFailed(t.State) {
			bad++
		}
	}
	filled := over * viewRunEachBar / len(instances)
	text := strings.Repeat("#", filled) + strings.Repeat(viewRunEachWait, viewRunEachBar-filled) + " " +
		strconv.Itoa(over) + "/" + strconv.Itoa(len(instances))
	if bad > 0 {
		text += ", " + strconv.Itoa(bad) + " failed"
	}
	return text
}
