// agent_part.go: a part on the agent that does it (model_part.go): one task of a run that another agent has. It is a
// run of which nothing begins but that task, and it ends with it. All of it is the agent's loop's.

package main

import "slices"

// partLogLeast is how many bytes of output an instance of a task may write at least, however many share log.max_size.
const partLogLeast = 64 << 10

// agentParts sees to the parts that an agent has. It is the agent.
type agentParts struct{ *agent }

// of gives the id of the run that an assignment is of, or of which it is a part.
func (as *assignment) of() string {
	if as.Part != nil {
		return as.Part.Run
	}
	return as.Run
}

// begin begins the task of a part. What tasks before it have handed on is in the assignment.
func (p agentParts) begin(r *agentRun) {
	part := r.as.Part
	for i, done := range r.as.Done {
		at := slices.IndexFunc(r.tasks, func(t Task) bool { return t.ID == done.Task })
		if at >= 0 {
			r.outputs[at] = taskOutputs{done.Outputs, i}
		}
	}
	index := slices.IndexFunc(r.tasks, func(t Task) bool { return t.ID == orDefault(part.Of, part.Task) })
	if index < 0 {
		p.over(r, &Event{Kind: evTaskFinished, Task: part.Task, State: taskFailed,
			Reason: "its workflow has no such task"})
		return
	}
	t := &taskTry{run: r, of: &r.tasks[index], index: index, attempt: part.Tries, began: p.now()}
	if t.of.Foreach != nil {
		fan, fault := p.fanOf(r, t.of, index, part.Task)
		if fault != "" {
			p.over(r, &Event{Kind: evTaskFinished, Task: part.Task, State: taskFailed, Reason: "foreach: " + fault})
			return
		}
		t.fan, t.item = fan, fan.next
	}
	r.tries[t.key()] = t
	r.due = append(r.due, t)
	p.goOn(r, nil, nil)
}

// fanOf makes the task with foreach of which a part is an instance; its next item is that of the instance.
func (p agentParts) fanOf(r *agentRun, of *Task, index int, name string) (f *taskFan, fault string) {
	f = &taskFan{run: r, of: of, index: index, began: p.now()}
	var err error
	f.items, err = f.itemsOf()
	if err != nil {
		return nil, err.Error()
	}
	for f.next < len(f.items) && f.name(f.next) != name {
		f.next++
	}
	if f.next == len(f.items) {
		return nil, "it has no such item here"
	}
	return f, ""
}

// over reports the end of the task, and with it that of the part.
func (p agentParts) over(r *agentRun, e *Event) {
	e.Time = stampOf(p.now())
	report := func() {
		p.emit(r, e)
		p.finishRun(r, e.State, e.Reason)
	}
	if !p.tailFirst(r, report) {
		report()
	}
}
