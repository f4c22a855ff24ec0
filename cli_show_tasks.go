// cli_show_tasks.go: the tasks of a run as `show` lists them: each with its attempts and its instances.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	showInstances = 20 // a task with foreach and no more instances has all of them listed
	showBadly     = 50 // of others so many that are at work or did not succeed; the rest is counted
)

// showTasks is the table while it is made.
type showTasks struct {
	p    *painter
	now  time.Time
	rows [][]tableCell
	used bool // some task says what it used
}

// print prints the tasks of a run.
func (s *showTasks) print(r *Run) error {
	handler := "" // that the row above is of
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.Of != "" {
			continue
		}
		if t.Handler != handler { // drawn apart
			s.rows, handler = append(s.rows, nil), t.Handler
		}
		instances := r.instances(t.Task)
		used := t.used()
		for k := range instances {
			used.add(instances[k].used())
		}
		s.task(t, "", t.Task, instancesText(t, instances), used)
		s.instances(instances)
	}
	head := []string{"TASK", "STATE", "STARTED", "TOOK", "EXIT", "TRIES", "USED", "REASON"}
	if !s.used {
		head = slices.Delete(head, 6, 7)
		for i, row := range s.rows {
			if row != nil {
				s.rows[i] = slices.Delete(row, 6, 7)
			}
		}
	}
	return s.p.table(head, s.rows)
}

// task adds a task, or an instance of one, and each of its attempts where there are several.
func (s *showTasks) task(t *TaskRun, indent, name, why string, used TaskUse) {
	if t.Child != "" && !strings.Contains(why, t.Child) {
		why = strings.TrimSuffix("run "+t.Child+": "+why, ": ")
	}
	if t.Agent != "" && !strings.Contains(why, "agent "+t.Agent) {
		why = strings.TrimSuffix("agent "+t.Agent+": "+why, ": ")
	}
	over := !t.Finished.IsZero()
	s.row(indent+name, t.shownState(), fmt.Sprint(t.Attempts), over, TaskAttempt{Reason: why, Exit: t.Exit,
		Started: t.Started, Seconds: t.Seconds, Used: used})
	if len(t.Earlier) == 0 {
		return
	}
	for k, a := range t.tries() {
		if name := fmt.Sprint(indent, "  try ", a.Attempt); k < len(t.Earlier) {
			s.row(name, taskFailed, "", true, a)
		} else {
			s.row(name, t.shownState(), "", over, a)
		}
	}
}

// row adds a line of the table.
func (s *showTasks) row(name, state, tries string, over bool, a TaskAttempt) {
	exit, took := "-", "-"
	if a.Exit != nil {
		exit = fmt.Sprint(*a.Exit)
	}
	if over {
		took = tookText(a.Seconds)
	}
	s.rows = append(s.rows, []tableCell{{text: name}, s.p.state(state), {text: timeText(a.Started, s.now)},
		{text: took},
		{text: exit}, {text: tries}, {text: a.Used.text()}, {text: a.Reason}})
	s.used = s.used || a.Used != TaskUse{}
}

// instances adds the instances of a task: all, or where they are many those that a person looks for.
func (s *showTasks) instances(instances []TaskRun) {
	few, listed := len(instances) <= showInstances, 0
	var rest []TaskRun
	for i := range instances {
		t := &instances[i]
		calm := t.State == taskSucceeded || t.State == taskWaiting || t.State == taskSkipped
		if !few && (calm || listed == showBadly) {
			rest = append(rest, *t)
			continue
		}
		listed++
		s.task(t, "  ", strings.TrimPrefix(t.Task, t.Of), t.why(), t.used())
	}
	if len(rest) > 0 {
		s.rows = append(s.rows, []tableCell{{text: fmt.Sprintf("  and %d more", len(rest))}, {}, {}, {}, {}, {}, {},
			{text: instancesCount(rest)}})
	}
}
