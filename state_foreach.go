// state_foreach.go: what the record of a run has of the instances of tasks with foreach. Pure, as state.go is.

package main

import "slices"

// applyItems notes for which items a task with foreach is done, as its start says. What is known of an instance from an
// earlier attempt of the run stays. The list of tasks is made anew, in the order of the items: what was handed out of
// it stays as it was.
func (r *Run) applyItems(t *TaskRun, items []string) {
	from, to := r.instancesAt(t.Task)
	room := foreachRunMax - (len(r.Tasks) - r.total() - (to - from))
	known := make(map[string]TaskRun, to-from)
	for _, instance := range r.Tasks[from:to] {
		known[instance.Task] = instance
	}
	var instances []TaskRun
	for _, item := range items[:min(len(items), max(room, 0))] {
		name := foreachInstance(t.Task, item)
		instance, before := known[name]
		if !before {
			instance = TaskRun{Task: name, Of: t.Task, State: taskWaiting, Handler: t.Handler}
		}
		instances = append(instances, instance)
	}
	r.Tasks = slices.Concat(r.Tasks[:from], instances, r.Tasks[to:])
}

// endItems ends what is left of the instances of a task that has ended: those that have not begun.
func (r *Run) endItems(t *TaskRun) {
	instances := r.instances(t.Task)
	for i := range instances {
		instance := &instances[i]
		instance.Force = false
		if taskActive(instance.State) {
			instance.State, instance.Reason = taskSkipped, t.Task+" "+stateOver(t.State)
		}
	}
}

// stateOver says how a task ended, for the reason of another.
func stateOver(state string) string {
	if state == taskFailed || state == taskCrashed {
		return state
	}
	return "was " + state
}

// place gives the place in r.Tasks of the task that the one at place i is an instance of, else i.
func (r *Run) place(i int) int {
	of := r.Tasks[i].Of
	if of == "" {
		return i
	}
	return max(slices.IndexFunc(r.Tasks, func(t TaskRun) bool { return t.Task == of }), 0)
}
