// state_left.go: processes that runs left behind, because their agents could not end them. A run has them, and its
// workflow too, for as long as one of them lives, however long ago the run was. Pure, as state.go is.

package main

import (
	"slices"
	"time"
)

const (
	// Processes that the record of a run has: first those that live, then those that have ended, the newest of each.
	stateMaxLeft = 16
	// Runs of a workflow that are kept because a process of theirs lives; older runs have only their records.
	stateMaxLeftRuns = 16
	// So long after the end of a run news of its processes gets it another line in the history.
	stateLeftLate = 24 * time.Hour
)

// RunLeft is a run of which processes live, as far as their agents have said.
type RunLeft struct {
	Run       string        `json:"run"`
	Since     Stamp         `json:"since"`
	Processes []LeftProcess `json:"processes"` // the list is replaced, never changed
}

// left gives the processes of a run of the workflow that live, nil when there are none.
func (w *WorkflowState) left(run string) *RunLeft {
	if i := slices.IndexFunc(w.Left, func(l *RunLeft) bool { return l.Run == run }); i >= 0 {
		return w.Left[i]
	}
	return nil
}

// applyLeft folds the processes that a run has left: all that are known, those too that have ended.
func (s *State) applyLeft(e *Event) {
	if r := s.Runs[e.Run]; r != nil {
		r.Left = e.Left
	}
	s.keepLeft(e.Workflow, e.Run, e.Time, slices.DeleteFunc(slices.Clone(e.Left),
		func(l LeftProcess) bool { return !l.Gone.IsZero() }))
}

// keepLeft notes which processes of a run live.
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

// forgetLeft drops the processes at an agent: nobody will ever say that they have ended.
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

// ends says whether an event, once it is folded, gives its run a line in the history: the end does, and for a while
// news of the processes that the run left. Not for ever: lines of the history lie about in the order in which runs
// ended.
func (e *Event) ends(r *Run) bool {
	if runActive(r.State) {
		return false
	}
	leftSoon := e.Kind == evLeft && e.Time.Sub(r.Finished.Time) < stateLeftLate
	return leftSoon || e.Kind == evRecorded || e.Kind == evRunFinished || e.Kind == evRunEnded
}
