// model_dag.go: the graph of a workflow's tasks. A dag is its structure: which tasks wait for which, in what order, how
// deep. A dagRun is one go through it: it is told how each task ended, and says which tasks may start now, which are
// skipped, and why. Pure: values in, values out, no clock and no goroutine.

package main

import (
	"fmt"
	"math/bits"
	"slices"
	"sort"
	"strings"
)

// Bounds. The sets of ancestors take n*n/8 bytes: 125 kB for 1,000 tasks, 12.5 MB at the limit.
const (
	dagMaxTasks  = 10_000 // of one graph; more are a fault of its file
	dagMaxFaults = 20     // faults reported of one workflow; the rest comes after these are mended
	dagMaxMeant  = 100    // bytes of a name that "did you mean" is tried for: the work grows with their square

	dagCircleWork = 10_000_000 // steps of the search for a shorter circle than the one found: half a second at worst
)

// dagError is one fault of a graph, and the place in the task list that it belongs to.
type dagError struct {
	Task    string   // id of the task
	Index   int      // its place among the tasks
	Depends int      // the place in its depends list of the name at fault, -1 when it is the task itself
	Circle  []string // the tasks of a circle, each depends on the next and the last on the first; nil for other faults
	Text    string   // for the user; only the file's name and line are missing
}

func (e *dagError) Error() string { return e.Text }

// dagErrors are the faults of a graph, in the order of the file; never empty where it is returned as an error.
type dagErrors []*dagError

func (e dagErrors) Error() string {
	texts := make([]string, len(e))
	for i, fault := range e {
		texts[i] = fault.Text
	}
	return strings.Join(texts, "\n")
}

// dagSet is a set of task indexes, one bit each.
type dagSet []uint64

func dagSetNew(n int) dagSet    { return make(dagSet, (n+63)/64) }
func (s dagSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s dagSet) remove(i int)   { s[i/64] &^= 1 << (i % 64) }
func (s dagSet) has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }
func (s dagSet) union(more dagSet) {
	for k, word := range more {
		s[k] |= word
	}
}

// lowest gives the smallest member, or -1.
func (s dagSet) lowest() int {
	for k, word := range s {
		if word != 0 {
			return k*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// dag is the structure of a workflow's tasks, which it names by their place in Workflow.Tasks. It is immutable, so any
// goroutine may use it; the slices that it hands out must not be changed.
type dag struct {
	ids    []string
	whens  []string
	up     [][]int  // the tasks that each depends on, in the order of its depends list, once each
	down   [][]int  // the tasks that depend on each, in the order of the file
	sorted []int    // see order
	depths []int    // see depth
	before []dagSet // all tasks before each, direct or not
}

// dagBuild makes the graph of tasks. Its error is always a dagErrors: ids used twice, names that are not a task, tasks
// that depend on themselves, or, if all names are right, a circle. A name that a depends list has twice counts once.
// Whoever read the file has checked When; here, all but failure and always counts as success.
func dagBuild(tasks []Task) (*dag, error) {
	if len(tasks) > dagMaxTasks {
		return nil, dagErrors{{Task: tasks[dagMaxTasks].ID, Index: dagMaxTasks, Depends: -1,
			Text: fmt.Sprintf("there are %d tasks, more than %d: split the workflow", len(tasks), dagMaxTasks)}}
	}
	d := &dag{ids: make([]string, len(tasks)), whens: make([]string, len(tasks)), up: make([][]int, len(tasks)),
		down: make([][]int, len(tasks))}
	for i := range tasks {
		d.ids[i], d.whens[i] = tasks[i].ID, tasks[i].When
	}
	if faults := d.link(tasks); len(faults) > 0 {
		return nil, faults
	}
	if stuck := d.sort(); stuck.lowest() >= 0 {
		return nil, dagErrors{d.circleError(d.circle(stuck))}
	}
	d.measure()
	return d, nil
}

// link draws the edges, and finds what is wrong with single names.
func (d *dag) link(tasks []Task) dagErrors {
	var faults dagErrors
	fault := func(i, k int, format string, args ...any) {
		if len(faults) < dagMaxFaults {
			text := fmt.Sprintf("task %q: ", d.ids[i]) + fmt.Sprintf(format, args...)
			faults = append(faults, &dagError{Task: d.ids[i], Index: i, Depends: k, Text: text})
		}
	}
	at := make(map[string]int, len(tasks))
	for i, id := range d.ids {
		if _, twice := at[id]; !twice {
			at[id] = i
		}
	}
	drawn := make([]int, len(tasks)) // drawn[j] is i+1 when the edge from j to i is there
	for i := range tasks {
		if at[d.ids[i]] != i {
			fault(i, -1, "another task has this id: give one of them a new one")
		}
		for k, name := range tasks[i].Depends {
			j, known := at[name]
			switch {
			case name == d.ids[i]:
				fault(i, k, "depends on itself")
			case !known && len(faults) < dagMaxFaults: // with more, nobody would see the name that was meant
				fault(i, k, "depends on %q, which is not a task here%s", name, d.meant(i, name))
			case known && drawn[j] != i+1:
				drawn[j] = i + 1
				d.up[i] = append(d.up[i], j)
				d.down[j] = append(d.down[j], i)
			}
		}
	}
	return faults
}

// meant names the task that the author of task i likely had in mind.
func (d *dag) meant(i int, name string) string {
	if len(name) > dagMaxMeant {
		return ""
	}
	return nearHint(name, slices.Concat(d.ids[:i], d.ids[i+1:]))
}

// sort finds the order (Kahn, "Topological sorting of large networks", 1962): among the tasks that wait for nothing
// more, the first in the file comes next. It returns the tasks that this never reaches: those in circles, and behind
// them.
func (d *dag) sort() (stuck dagSet) {
	stuck, free, left := dagSetNew(len(d.ids)), dagSetNew(len(d.ids)), make([]int, len(d.ids))
	for i, deps := range d.up {
		stuck.add(i)
		left[i] = len(deps)
		if left[i] == 0 {
			free.add(i)
		}
	}
	d.sorted = make([]int, 0, len(d.ids))
	for i := free.lowest(); i >= 0; i = free.lowest() {
		free.remove(i)
		stuck.remove(i)
		d.sorted = append(d.sorted, i)
		for _, child := range d.down[i] {
			left[child]--
			if left[child] == 0 {
				free.add(child)
			}
		}
	}
	return stuck
}

// measure finds depths and ancestors, from the roots down.
func (d *dag) measure() {
	d.depths, d.before = make([]int, len(d.ids)), make([]dagSet, len(d.ids))
	for _, i := range d.sorted {
		d.before[i] = dagSetNew(len(d.ids))
		for _, j := range d.up[i] {
			d.depths[i] = max(d.depths[i], d.depths[j]+1)
			d.before[i].union(d.before[j])
			d.before[i].add(j)
		}
	}
}

// circle finds a shortest circle among stuck tasks, the one that starts first in the file. In a graph so large that
// this would take long, it gives the shortest that it found in time. The same graph always gives the same circle.
func (d *dag) circle(stuck dagSet) []int {
	best, work := d.circleAny(stuck), 0
	limit := len(best) // at first one of the same length is better too, if it starts earlier in the file
	for start := 0; start < len(d.ids) && limit > 1 && work <= dagCircleWork; start++ {
		if !stuck.has(start) {
			continue
		}
		found, steps := d.circleFrom(start, stuck, limit)
		work += steps
		if found != nil {
			best, limit = found, len(found)-1
		}
	}
	first := slices.Index(best, slices.Min(best))
	return slices.Concat(best[first:], best[:first])
}

// circleAny follows dependencies until it comes to a task a second time. It can always go on: a task is stuck because
// one that it depends on is stuck.
func (d *dag) circleAny(stuck dagSet) []int {
	var path []int
	seen := make(map[int]int) // where in path
	for i := stuck.lowest(); ; {
		if at, again := seen[i]; again {
			return path[at:]
		}
		seen[i] = len(path)
		path = append(path, i)
		i = d.up[i][slices.IndexFunc(d.up[i], stuck.has)]
	}
}

// circleFrom finds a shortest circle through start, breadth first; nil if it has more than limit tasks. It also says
// how many steps the search took.
func (d *dag) circleFrom(start int, stuck dagSet, limit int) (path []int, steps int) {
	length := make([]int, len(d.ids)) // of the way from start to a task, in tasks; 0: not reached
	parent := make([]int, len(d.ids)) // the task before it on that way
	length[start], steps = 1, len(d.ids)
	queue := []int{start}
	for at := 0; at < len(queue) && length[queue[at]] <= limit; at++ {
		i := queue[at]
		steps += len(d.up[i])
		for _, j := range d.up[i] {
			if j == start {
				for ; i != start; i = parent[i] {
					path = append(path, i)
				}
				path = append(path, start)
				slices.Reverse(path)
				return path, steps
			}
			if stuck.has(j) && length[j] == 0 {
				length[j], parent[j] = length[i]+1, i
				queue = append(queue, j)
			}
		}
	}
	return nil, steps
}

func (d *dag) circleError(path []int) *dagError {
	names := make([]string, len(path))
	for k, i := range path {
		names[k] = d.ids[i]
	}
	text := "tasks depend on each other in a circle: " + strings.Join(names, " -> ") + " -> " + names[0]
	return &dagError{Task: names[0], Index: path[0], Depends: -1, Circle: names, Text: text}
}

// order gives all tasks, each after those that it depends on, otherwise in the order of the file.
func (d *dag) order() []int { return d.sorted }

// depth gives the length of the longest way to task i from a task that depends on nothing, which has depth 0.
func (d *dag) depth(i int) int { return d.depths[i] }

// deps gives the tasks that i depends on directly, in the order that its depends list has them.
func (d *dag) deps(i int) []int { return d.up[i] }

// ancestor says whether task i comes before task j in every run: j depends on i, directly or not.
func (d *dag) ancestor(i, j int) bool { return d.before[j].has(i) }

// dagSkip is a task that will not run, and why: "load failed", "load was skipped", "nothing before it failed".
type dagSkip struct {
	Task   int
	Reason string
}

// dagRun is the progress of one run through a dag. Each task becomes ready or skipped exactly once, or neither if it
// was done before. One goroutine owns it. A whole run costs time in proportion to its tasks and edges.
type dagRun struct {
	d *dag

	// Of each task.
	states []string // waiting; running from when it is ready; or how it ended
	left   []int    // how many of those it depends on have not ended
	hurt   []bool   // a task before it, direct or not, failed, crashed or was cancelled; right once left is 0
	done   []bool   // it ended before this part of the run, and so that it is not started again
	// it did not succeed, and counts as if it had: its failure is allowed, or its own condition skipped it
	allowed []bool

	open   int // how many tasks have not ended
	failed int // the task that failed, crashed or was cancelled first, and was not allowed to; or -1
}

// begin starts a run: it gives the tasks to start now, in the order of the file, and those that are skipped already.
// done has the states of tasks that ended before this part of the run began, by id; nil where it is the first. A task
// that succeeded, was skipped by its own condition, or failed and was allowed to (taskAllowed), is not started again,
// and counts as ended once all before it have; all others run again. Tasks behind a failure that is to run again are
// not in done, whatever their when, nor are tasks that were skipped for another reason (State.requeue).
func (d *dag) begin(done map[string]string) (r *dagRun, ready []int, skipped []dagSkip) {
	n := len(d.ids)
	flags := make([]bool, 3*n)
	r = &dagRun{d: d, states: make([]string, n), left: make([]int, n), hurt: flags[:n], done: flags[n : 2*n],
		allowed: flags[2*n:], open: n, failed: -1}
	var roots []int
	for i, id := range d.ids {
		r.states[i], r.left[i], r.done[i] = taskWaiting, len(d.up[i]), true
		switch done[id] {
		case taskSucceeded:
			r.states[i] = taskSucceeded
		case taskSkipped:
			r.states[i], r.allowed[i] = taskSkipped, true
		case taskAllowed:
			r.states[i], r.allowed[i] = taskFailed, true
		default:
			r.done[i] = false
		}
		if r.left[i] == 0 {
			roots = append(roots, i)
		}
	}
	ready, skipped = r.reach(roots)
	return r, ready, skipped
}

// end is told that task i, which was ready, ended in a final state: succeeded, failed, skipped, cancelled or crashed.
// allowed: it failed or was skipped, and counts as a success: tasks behind it that ask for success may run, and a
// failure does not fail the run; those that ask for a failure run behind it all the same. It gives the tasks to start
// now, in the order of the file, and those that are skipped because of it, each after those that it depends on. A call
// that does not fit (no such task, not ready yet, ended before, a state that is not final) changes nothing and is an
// error. To stop a run, end what is running, and start nothing more.
func (r *dagRun) end(i int, state string, allowed bool) (ready []int, skipped []dagSkip, err error) {
	if i < 0 || i >= len(r.states) {
		return nil, nil, fmt.Errorf("end task %d: there are %d tasks", i, len(r.states))
	}
	switch state {
	case taskSucceeded, taskFailed, taskSkipped, taskCancelled, taskCrashed:
	default:
		return nil, nil, fmt.Errorf("end task %s: %q is not a state that a task ends in", r.d.ids[i], state)
	}
	if r.states[i] != taskRunning {
		return nil, nil, fmt.Errorf("end task %s as %s: it is %s, not running", r.d.ids[i], state, r.states[i])
	}
	if allowed && state != taskFailed && state != taskSkipped {
		return nil, nil, fmt.Errorf("end task %s as %s: only a failure or a skip can be allowed", r.d.ids[i], state)
	}
	ready, skipped = r.reach(r.close(i, state, allowed, nil))
	return ready, skipped, nil
}

// finished says whether every task has ended.
func (r *dagRun) finished() bool { return r.open == 0 }

// outcome gives the state of the run and the task that decided it: failed, and the task that was the first to fail,
// crash or be cancelled without being allowed to; or succeeded and -1. Before all tasks have ended it is running and
// -1. The reason is the caller's to write, who knows how the task failed, and whether the run was stopped as a whole.
func (r *dagRun) outcome() (state string, task int) {
	switch {
	case !r.finished():
		return runRunning, -1
	case r.failed >= 0:
		return runFailed, r.failed
	}
	return runSucceeded, -1
}

// reach decides what becomes of tasks that wait for nothing more. A task that does not run ends here, so that others
// may wait for nothing more either: the queue grows until all of them are decided.
func (r *dagRun) reach(queue []int) (ready []int, skipped []dagSkip) {
	for at := 0; at < len(queue); at++ {
		i := queue[at]
		if r.done[i] {
			queue = r.close(i, r.states[i], r.allowed[i], queue)
		} else if reason := r.against(i); reason != "" {
			skipped = append(skipped, dagSkip{Task: i, Reason: reason})
			queue = r.close(i, taskSkipped, false, queue)
		} else {
			r.states[i] = taskRunning
			ready = append(ready, i)
		}
	}
	//lint:ignore S1032 sort.Ints links a sort of its own
	sort.Sort(sort.IntSlice(ready))
	return ready, skipped
}

// close ends task i, and appends to queue the tasks that waited for nothing else.
func (r *dagRun) close(i int, state string, allowed bool, queue []int) []int {
	r.states[i], r.allowed[i] = state, allowed
	r.open--
	failed := dagFailed(state)
	if failed && !allowed && r.failed < 0 {
		r.failed = i
	}
	for _, child := range r.d.down[i] {
		r.hurt[child] = r.hurt[child] || r.hurt[i] || failed
		r.left[child]--
		if r.left[child] == 0 {
			queue = append(queue, child)
		}
	}
	return queue
}

// against gives the reason why task i may not start, now that all tasks before it have ended, or "". Of several tasks
// it names the first that failed: a skip is only the consequence of a failure elsewhere.
func (r *dagRun) against(i int) string {
	switch r.d.whens[i] {
	case whenAlways:
		return ""
	case whenFailure:
		if r.hurt[i] {
			return ""
		}
		return "nothing before it failed"
	}
	cause := -1
	for _, j := range r.d.up[i] {
		if r.states[j] == taskSucceeded || r.allowed[j] {
			continue
		}
		if dagFailed(r.states[j]) {
			cause = j
			break
		}
		if cause < 0 {
			cause = j
		}
	}
	if cause < 0 {
		return ""
	}
	if state := r.states[cause]; state == taskFailed || state == taskCrashed {
		return r.d.ids[cause] + " " + state
	}
	return r.d.ids[cause] + " was " + r.states[cause]
}

// dagFailed says whether a task that ended so counts as a failure. A task that somebody stopped does: its work is not
// done, and the tasks behind it that clean up or raise the alarm are wanted. A skip is neither failure nor success,
// unless it is allowed.
func dagFailed(state string) bool {
	return state == taskFailed || state == taskCrashed || state == taskCancelled
}
