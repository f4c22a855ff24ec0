// model_limits.go: the key limits: how much of its agent's machine a task may take.

package main

import (
	"fmt"
	"strings"
)

// Limits is how much of its agent's machine an attempt of a task may take, all its processes together. The agent says
// how far they were in force, see TaskRun.Limited.
type Limits struct {
	Memory int64 `json:"memory,omitempty"` // bytes; 0: no limit
	CPU    int   `json:"cpu,omitempty"`    // percent of one processor; 0: no limit
	PIDs   int   `json:"pids,omitempty"`   // processes and threads at the same time; 0: no limit
	Nice   *int  `json:"nice,omitempty"`   // of each process; nil: the agent's
}

// limitsOf gives the limits of a task, nil when it has none. What the task does not say the workflow may.
func (w *Workflow) limitsOf(t *Task) *Limits {
	switch {
	case w.Limits == nil:
		return t.Limits
	case t.Limits == nil:
		return w.Limits
	}
	all := *t.Limits
	if all.Memory == 0 {
		all.Memory = w.Limits.Memory
	}
	if all.CPU == 0 {
		all.CPU = w.Limits.CPU
	}
	if all.PIDs == 0 {
		all.PIDs = w.Limits.PIDs
	}
	if all.Nice == nil {
		all.Nice = w.Limits.Nice
	}
	return &all
}

// text writes limits for people, "" when there are none: memory 512M, cpu 50%, pids 100, nice 10.
func (l *Limits) text() string {
	if l == nil {
		return ""
	}
	var parts []string
	if l.Memory > 0 {
		parts = append(parts, "memory "+sizeText(l.Memory))
	}
	if l.CPU > 0 {
		parts = append(parts, fmt.Sprintf("cpu %d%%", l.CPU))
	}
	if l.PIDs > 0 {
		parts = append(parts, fmt.Sprint("pids ", l.PIDs))
	}
	if l.Nice != nil {
		parts = append(parts, fmt.Sprint("nice ", *l.Nice))
	}
	return strings.Join(parts, ", ")
}
