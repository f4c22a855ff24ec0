// state_left.go: processes that runs have left at agents, which could not end them: folded by run, and by workflow for
// as long as one of them lives, however long ago the run was. Pure, as state.go.

package main

import (
	"slices"
	"time"
)

const (
	// processes of a run that its record has: those that live before those that have gone, the newest of each
	stateMaxLeft = 16
	// runs of a workflow that have left something which lives; of older ones only the record tells
	stateMaxLeftRuns = 16

	// after the end of a run, until when its line in the history follows what it has left
	stateLeftLate = 24 * time.Hour
)

// RunLeft is a run that has left processes which live, as far as their agents have said.
type RunLeft struct {
	Run       string        `json:"run"`
	Since     Stamp         `json:"since"`
	Processes []LeftProcess `json:"processes"` // the list is replaced, never changed
}

// left gives what a run of the workflow has left that lives, nil when there is nothing.
func (w *WorkflowState) left(run string) *RunLeft {
	if i := slices.IndexFunc(w.Left, func(l *RunLeft) bool { return l.Run == run }); i >= 0 {
		return w.Left[i]
	}
	return nil
}

// applyLeft folds what a run has left by now: all of it, with what has gone.
func (s *State) applyLeft(e *Event) {
	if r := s.Runs[e.Run]; r != nil {
		r.Left = e.Left
	}
	s.keepLeft(e.Workflow, e.Run, e.Time, slices.DeleteFunc(slices.Clone(e.Left),
		func(l LeftProcess) bool { return !l.Gone.IsZero() }))
}

// keepLeft notes what a run has left that lives.
func (s *State) keepLeft(workflow, run string, now Stamp, alive []LeftProcess) {
	w := s.workflow(workflow)
	next := RunLeft{Run: run, Since: now, Processes: alive}
	if before := w.left(run); before != nil {
		next.Since = before.Since
	}
	w.Left = slices.DeleteFunc(slices.Clone(w.Left), func(l *RunLeft) bool { return l.Run == run })
	if len(alive) == 0 {
		delete(s.Acks, stateKey("left", workflow, run))
		return
	}
	w.Left = append(w.Left, &next)
	if len(w.Left) > stateMaxLeftRuns {
		delete(s.Acks, stateKey("left", workflow, w.Left[0].Run))
		w.Left = w.Left[1:]
	}
}

// forgetLeft drops what was left at an agent: nobody will say of it any more that it has gone.
func (s *State) forgetLeft(agent string) {
	for _, id := range sortedKeys(s.Workflows) {
		for _, l := range slices.Clone(s.Workflows[id].Left) {
			kept := slices.DeleteFunc(slices.Clone(l.Processes), func(p LeftProcess) bool { return p.Agent == agent })
			if len(kept) < len(l.Processes) {
				s.keepLeft(id, l.Run, l.Since, kept)
			}
		}
	}
}

// ends says whether an event, once it is folded, makes a line of the history of its run: the end, and what the run has
// left, for a while. Lines of the history lie in the order in which runs ended, about.
func (e *Event) ends(r *Run) bool {
	return !runActive(r.State) && (e.Kind == evRunFinished || e.Kind == evRunEnded || e.Kind == evLeft &&
		e.Time.Sub(r.Finished.Time) < stateLeftLate)
}
