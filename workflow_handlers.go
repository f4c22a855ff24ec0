// workflow_handlers.go: reads on_failure, on_success and on_exit: each is a map of tasks, or one shell line.

package main

import (
	"errors"

	"go.yaml.in/yaml/v4"
)

// workflowMaxHandler bounds the tasks of a handler; more are a fault.
const workflowMaxHandler = 100

// workflowHandler is a handler half read.
type workflowHandler struct {
	name  string
	tasks []*workflowTask
	line  bool // it is one shell line: its task has the handler's own name
}

// workflowReadHandler reads a handler.
func workflowReadHandler(r *workflowReader, d *workflowDraft, p workflowPair) {
	h := &workflowHandler{name: p.key}
	d.handlers = append(d.handlers, h)
	if p.value.Kind == yaml.ScalarNode {
		t := &workflowTask{Task: Task{ID: p.key}, at: p.at, keys: map[string]workflowPair{}}
		t.Run = r.filled(p, "a shell line or a map of tasks")
		t.keys["run"] = workflowPair{"run", p.at, p.value}
		r.habits(t)
		h.tasks, h.line = []*workflowTask{t}, true
		return
	}
	if p.value.Kind != yaml.MappingNode {
		r.errorf(p.value, "%s: want a map of tasks or a shell line, not %s", p.key, workflowKind(p.value))
		return
	}
	r.within(p.key, func() { h.tasks = r.taskMap(p, workflowMaxHandler) })
	for _, t := range h.tasks {
		if key, has := t.keys["agent"]; has {
			r.within(p.key, func() {
				r.within("task "+workflowQuote(t.ID), func() {
					r.errorf(key.at, "agent: a handler runs on the agent of the run, which has the output: leave it "+
						"out")
				})
			})
		}
	}
}

// checkHandlers puts the tasks of each handler together, and checks how they depend on each other, and what they refer
// to: each other, and any task of the workflow's graph.
func (d *workflowDraft) checkHandlers(r *workflowReader) {
	for _, h := range d.handlers {
		tasks := make([]Task, len(h.tasks))
		for i, t := range h.tasks {
			tasks[i] = t.Task
		}
		graph, err := dagBuild(tasks)
		var faults dagErrors
		if errors.As(err, &faults) {
			r.within(h.name, func() { workflowGraphFaults(r, h.tasks, faults) })
		}
		known := d.known()
		own := len(d.tasks)
		for i, t := range h.tasks {
			known.tasks[t.ID] = own + i
			known.taskNames = append(known.taskNames, t.ID)
		}
		for i, t := range h.tasks {
			known.before = func(j int) bool { return j < own || graph == nil || graph.ancestor(j-own, i) }
			r.within(h.name, func() {
				r.within("task "+workflowQuote(t.ID), func() { r.references(t.texts, known) })
			})
			h.record(r, d, t, &tasks[i])
		}
		d.setHandler(h.name, tasks)
	}
}

// record makes of a task what the record of a run has: with the handler's name in front of the ids.
func (h *workflowHandler) record(r *workflowReader, d *workflowDraft, t *workflowTask, to *Task) {
	*to = t.Task
	if !h.line {
		to.ID = handlerTask(h.name, t.ID)
		to.Depends = nil
		for _, id := range t.Depends {
			to.Depends = append(to.Depends, handlerTask(h.name, id))
		}
	}
	for _, other := range d.tasks {
		if other.ID == to.ID {
			r.errorf(t.at, "%s: task %s of tasks has the id that this one has in the record of a run: rename one of "+
				"them",
				h.name, workflowQuote(to.ID))
		}
	}
}

// setHandler gives the workflow the tasks of a handler.
func (d *workflowDraft) setHandler(name string, tasks []Task) {
	if len(tasks) == 0 {
		return
	}
	switch name {
	case handlerFailure:
		d.spec.OnFailure = tasks
	case handlerSuccess:
		d.spec.OnSuccess = tasks
	case handlerExit:
		d.spec.OnExit = tasks
	}
}
