// model_handlers.go: what a workflow has done once the graph of a run is over: on_failure, on_success and on_exit. Each
// of these handlers is a graph of its own. Its tasks are in the record of the run, with the handler's name in front of
// theirs. Pure.

package main

import "slices"

// The handlers, by their keys in a workflow file.
const (
	handlerFailure = "on_failure"
	handlerSuccess = "on_success"
	handlerExit    = "on_exit"
)

// handlerNames lists the handlers in the order in which messages and pictures have them.
var handlerNames = [...]string{handlerFailure, handlerSuccess, handlerExit}

// handlerTask gives the id that a task of a handler has in the record of a run.
func handlerTask(handler, id string) string { return handler + "." + id }

// handler gives the tasks of a handler, none where the workflow does not have it. Their ids are those of the record.
func (w *Workflow) handler(name string) []Task {
	switch name {
	case handlerFailure:
		return w.OnFailure
	case handlerSuccess:
		return w.OnSuccess
	case handlerExit:
		return w.OnExit
	}
	return nil
}

// hasHandlers says whether the workflow has any handler.
func (w *Workflow) hasHandlers() bool { return len(w.OnFailure)+len(w.OnSuccess)+len(w.OnExit) > 0 }

// handlersFor lists the handlers that the workflow has for a run that ends in this state, in the order in which they
// run, one after the other.
func (w *Workflow) handlersFor(state string) (names []string) {
	switch {
	case state == runSkipped: // nothing was done
		return nil
	case state == runSucceeded && len(w.OnSuccess) > 0:
		names = append(names, handlerSuccess)
	case (state == runFailed || state == runCrashed) && len(w.OnFailure) > 0:
		names = append(names, handlerFailure)
	}
	if len(w.OnExit) > 0 {
		names = append(names, handlerExit)
	}
	return names
}

// handlersOwed lists the handlers that a run which ends in this state is still to have: those that no agent has begun.
// What a person has stopped is not owed: its tasks have a time at which they ended.
func (w *Workflow) handlersOwed(r *Run, state string) []string {
	return slices.DeleteFunc(w.handlersFor(state), func(name string) bool { return handlerBegun(r.Tasks, name) })
}

// handlerBegun says whether some of the tasks of a run are of this handler and were begun, or ended by their agent.
func handlerBegun(tasks []TaskRun, name string) bool {
	return slices.ContainsFunc(tasks, func(t TaskRun) bool {
		return t.Handler == name && (t.Attempts > 0 || !t.Finished.IsZero())
	})
}

// addHandlers puts the tasks of handlers that were not begun into the record of a run: they wait.
func (r *Run) addHandlers(w *Workflow, names []string) {
	tasks := slices.DeleteFunc(slices.Clone(r.Tasks), func(t TaskRun) bool { return slices.Contains(names, t.Handler) })
	for _, name := range names {
		for i := range w.handler(name) {
			tasks = append(tasks, TaskRun{Task: w.handler(name)[i].ID, State: taskWaiting, Handler: name})
		}
	}
	r.Tasks = tasks
}

// dropHandlers takes the tasks of all handlers out of the record of a run, which is tried again: they belonged to the
// end of the attempt before.
func (r *Run) dropHandlers() {
	if n := r.handlersAt(); n < len(r.Tasks) {
		r.Tasks = slices.Clone(r.Tasks[:n])
	}
}

// handlersAt gives the place of the first task of a handler, or where it would be. In the record the tasks of the graph
// and their instances are in front.
func (r *Run) handlersAt() int {
	n := len(r.Tasks)
	for n > 0 && r.Tasks[n-1].Handler != "" {
		n--
	}
	return n
}

// handlers lists the handlers that are in the record of a run, in the order in which they run.
func (r *Run) handlers() (names []string) {
	for _, t := range r.Tasks[r.handlersAt():] {
		if !slices.Contains(names, t.Handler) {
			names = append(names, t.Handler)
		}
	}
	return names
}

// handlersText says of a run that is at its handlers how it will end; "" of any other.
func (r *Run) handlersText() string {
	switch {
	case r.Ending == "":
		return ""
	case r.State == runQueued:
		return "wait for an agent; then the run ends as " + r.Ending
	}
	return "run; then the run ends as " + r.Ending
}

// stopping says why somebody has a task of a run end, "" when nobody has. The first cancel of a run leaves its handlers
// alone.
func (r *Run) stopping(t *TaskRun) string {
	if t.Handler != "" && !r.Force && !r.Insist {
		return t.Cancelling
	}
	return orDefault(r.Cancelling, t.Cancelling)
}

// ending says why a task that asks is to end, "" when it is not: somebody wants that, or its time is over.
func (r *Run) ending(t *TaskRun) string { return orDefault(r.stopping(t), t.Ask.Stop) }
