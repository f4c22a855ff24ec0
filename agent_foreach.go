// agent_foreach.go: a task with foreach on an agent. To the graph it is one task. Here it has an instance for each
// item, which begins, is tried again and ends as a task does (agent_attempt.go), under a name of its own. All of it
// belongs to the agent's loop.

package main

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"
)

// taskFan is a task with foreach at work: its instances.
type taskFan struct {
	run   *agentRun
	of    *Task
	index int // of the task in its graph
	items []foreachItem
	began time.Time

	// Of each item, what its instance has handed on; done: it succeeded, now or before this agent had the run, or it
	// failed before that and was allowed to.
	outputs []map[string]string
	done    []bool

	next int // the item to begin next
	live int // instances at work

	// What went wrong: how many instances did not succeed, which was the first, and why. blamed: its failure, or that
	// of another, is not allowed. cut is why no further one begins; stopped: somebody wanted that.
	failed  int
	first   string
	exit    *int
	blamed  bool
	cut     string
	stopped bool
}

// task gives the task as the workflow has it. Any goroutine may ask.
func (f *taskFan) task() *Task { return f.of }

// fanOut begins a task with foreach, as far as its instances are to be made. One that has none ends here; ready and
// skipped are what comes of that.
func (r *agentRun) fanOut(a *agent, index int) (ready []int, skipped []dagSkip) {
	f := &taskFan{run: r, of: &r.tasks[index], index: index, began: a.now()}
	items, err := f.itemsOf()
	if n := len(items); err == nil && r.items+n > foreachRunMax {
		err = fmt.Errorf("there are %d items, and with those of other tasks more than %d in this run", n, foreachRunMax)
	}
	if err != nil {
		e := &Event{Kind: evTaskFinished, Task: f.task().ID, State: taskFailed, Reason: "foreach: " + err.Error()}
		return f.end(a, e)
	}
	r.items += len(items)
	f.items, f.outputs, f.done = items, make([]map[string]string, len(items)), make([]bool, len(items))
	names := make([]string, len(items))
	for i := range items {
		names[i] = items[i].name
		if done := r.doneItems[f.name(i)]; done != nil {
			f.outputs[i], f.done[i] = done.Outputs, true
			if done.State == taskFailed {
				f.blame(i, done.Reason, done.Exit, done.Allowed)
			}
		}
	}
	if len(items) > 0 {
		a.emit(r, &Event{Kind: evTaskStarted, Task: f.task().ID, Attempt: 1, Items: names})
	}
	if !slices.Contains(f.done, false) {
		return f.end(a, f.over(a))
	}
	r.fans = append(r.fans, f)
	return nil, nil
}

// itemsOf gives the items of the task.
func (f *taskFan) itemsOf() ([]foreachItem, error) {
	each, from := f.task().Foreach, ""
	if each.From != "" {
		var err error
		from, err = workflowExpand(each.From, func(ref string) (string, bool) {
			return lookupRef(ref, f.run.as, newEnviron(nil), &f.run.agentWalk, f.index)
		})
		if err != nil {
			return nil, err
		}
	}
	return each.items(from)
}

// name names an instance.
func (f *taskFan) name(item int) string { return foreachInstance(f.task().ID, f.items[item].name) }

// begins gives the next item to begin; ok is false when none may now.
func (f *taskFan) begins() (item int, ok bool) {
	for f.next < len(f.items) && f.done[f.next] {
		f.next++
	}
	most := f.task().MaxParallel
	if most == 0 {
		most = foreachParallel
	}
	return f.next, f.cut == "" && f.next < len(f.items) && f.live < most
}

// fanNext gives the first fan that has an item to begin, nil when none has.
func (r *agentRun) fanNext() *taskFan {
	for _, f := range r.fans {
		if _, ok := f.begins(); ok {
			return f
		}
	}
	return nil
}

// begin makes the instance of the next item.
func (f *taskFan) begin(a *agent) *taskTry {
	t := &taskTry{run: f.run, of: f.of, index: f.index, began: a.now(), fan: f, item: f.next}
	t.goesOn()
	f.next++
	f.live++
	return t
}

// ended notes the end of an instance. When it was the last it gives the end of the task too, else nil.
func (f *taskFan) ended(a *agent, t *taskTry, e *Event) *Event {
	f.live--
	if e.State == taskSucceeded || e.State == taskSkipped {
		f.outputs[t.item], f.done[t.item] = e.Outputs, true
	} else {
		f.blame(t.item, e.Reason, e.Exit, e.Allowed)
	}
	if f.waits() {
		return nil
	}
	return f.over(a)
}

// blame notes that an instance did not succeed. The first of those that were not allowed to stands for all, or the
// first.
func (f *taskFan) blame(item int, reason string, exit *int, allowed bool) {
	f.failed++
	blames := !allowed && !f.blamed
	if f.first == "" || blames {
		f.first, f.exit, f.blamed = f.items[item].name+": "+reason, exit, blames
	}
}

// waits says whether the task has instances at work, or to begin.
func (f *taskFan) waits() bool {
	left := f.cut == "" && slices.Contains(f.done[f.next:], false)
	return f.live > 0 || left
}

// over makes the event of the end of the task: it has succeeded when all instances have, also where that was in the
// moment in which it was stopped.
func (f *taskFan) over(a *agent) *Event {
	r := f.run
	e := &Event{Kind: evTaskFinished, Task: f.task().ID, Attempt: 1, State: taskSucceeded, Exit: f.exit,
		Seconds: secondsBetween(f.began, a.now())}
	all := f.failed == 0 && !slices.Contains(f.done, false)
	switch {
	case all && len(f.items) == 0:
		e.Attempt, e.Seconds, e.Reason = 0, 0, "foreach has no items"
	case all:
		var err error
		e.Outputs, err = f.collect()
		if err != nil {
			e.State, e.Reason, e.Outputs = taskFailed, err.Error(), nil
		}
	case r.stopState == runCancelled:
		e.State, e.Reason = taskCancelled, r.stopReason
	case r.stopState == runCrashed:
		e.State, e.Reason = taskCrashed, r.stopReason
	case f.stopped:
		e.State, e.Reason = taskCancelled, f.cut
	case f.cut != "":
		e.State, e.Reason = taskFailed, f.cut
	default:
		e.State, e.Allowed = taskFailed, !f.blamed
		e.Reason = fmt.Sprintf("%d of %d failed: %s", f.failed, len(f.items), f.first)
	}
	return e
}

// collect puts the outputs of all instances together: under each key a JSON list in the order of the items, with null
// where an instance has not set the key.
func (f *taskFan) collect() (map[string]string, error) {
	keys := map[string][]byte{}
	for i := range f.outputs {
		for key := range f.outputs[i] {
			keys[key] = nil
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	outputs := make(map[string]string, len(keys))
	for key := range keys {
		list := []byte{'['}
		for i := range f.outputs {
			if i > 0 {
				list = append(list, ',')
			}
			if text, has := f.outputs[i][key]; has {
				list = appendJSONText(list, text)
			} else {
				list = append(list, "null"...)
			}
		}
		outputs[key] = string(append(list, ']'))
	}
	if f.run.handed+outputsSize(outputs) > outputsRunMax {
		return nil, errors.New("its outputs together are too many: " + outputsRunText)
	}
	return outputs, nil
}

// end ends the task, which is at work no more: e says how. It gives what follows in the graph.
func (f *taskFan) end(a *agent, e *Event) (ready []int, skipped []dagSkip) {
	ready, skipped = f.run.endNode(a, f.index, e)
	a.emit(f.run, e)
	return ready, skipped
}

// stop has no further instance begin, for that reason, and stops those at work.
func (f *taskFan) stop(a *agent, reason string, by, force bool) {
	f.cut, f.stopped = orDefault(f.cut, reason), f.stopped || by
	for _, t := range f.run.atWork() {
		if t.fan == f && t.live() {
			if by {
				t.stopped = orDefault(t.stopped, reason)
			} else {
				t.late = true
			}
			a.stopTry(t, reason, force)
		}
	}
	if f.live == 0 && slices.Contains(f.run.fans, f) {
		ready, skipped := f.end(a, f.over(a))
		a.goOn(f.run, ready, skipped)
	}
}

// atWork gives what runs or waits for its next attempt: the run's `if`, or tasks in the order of the graph, with their
// instances in the order of the items. Who may end others thereby asks each whether it is still live.
func (r *agentRun) atWork() []*taskTry {
	if t := r.tries[ifOfRun]; t != nil {
		return []*taskTry{t}
	}
	if len(r.tries) == 0 { // also when the graph was never built
		return nil
	}
	place := make([]int, len(r.tasks))
	for k, i := range r.dag.order() {
		place[i] = k
	}
	tries := make([]*taskTry, 0, len(r.tries))
	for _, t := range r.tries {
		tries = append(tries, t)
	}
	sort.Slice(tries, func(i, j int) bool {
		a, b := tries[i], tries[j]
		return place[a.index] < place[b.index] || a.index == b.index && a.item < b.item
	})
	return tries
}

// key names a try among those of its run.
func (t *taskTry) key() int {
	if t.fan == nil {
		return t.index
	}
	return len(t.run.tasks)*(t.item+1) + t.index
}

// name names the task, or the instance of it.
func (t *taskTry) name() string {
	if t.fan == nil {
		return t.task().ID
	}
	return t.fan.name(t.item)
}

// itemOf gives the item that the try is an instance for, nil when it is of a task without foreach.
func (t *taskTry) itemOf() *foreachItem {
	if t.fan == nil {
		return nil
	}
	return &t.fan.items[t.item]
}

// setItem gives a task the item that it is done for: ITEM, and ITEM_NAME for each of its values.
func (e *environ) setItem() {
	if e.item == nil {
		return
	}
	e.set("ITEM", e.item.text)
	for _, v := range e.item.values {
		if envNameOK(v.name) {
			e.set("ITEM_"+v.name, v.text)
		}
	}
}

// itemRef gives what ${item} or ${item.NAME} stands for.
func (e *environ) itemRef(name string) (string, bool) {
	switch {
	case e.item == nil:
		return "", false
	case name == "":
		return e.item.text, true
	}
	for _, v := range e.item.values {
		if v.name == name {
			return v.text, true
		}
	}
	return "", false
}
