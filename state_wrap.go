// state_wrap.go: runs that a client has done itself, and tells of when they are over: those of cdktr wrap. One event
// makes a run that has ended. Pure, as state.go is.

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// wrapSources is how many spools are remembered that tell of one name; what the first of more tell twice counts twice.
const wrapSources = 64

// Wrapped is what is known of a name that runs were recorded for.
type Wrapped struct {
	Last Stamp        `json:"last"`         // the end of the newest run, by its own clock
	Due  Stamp        `json:"due,omitzero"` // by when the next one is to have ended; zero: nobody said
	From []WrapSource `json:"from"`         // that told of it last in front
}

// WrapSource is a spool, and the number of the newest record that it has told of this name.
type WrapSource struct {
	ID string `json:"id"`
	N  uint64 `json:"n"`
}

// told says whether a record was told before.
func (w *Wrapped) told(source string, n uint64) bool {
	if w == nil || source == "" {
		return false
	}
	for _, from := range w.From {
		if from.ID == source {
			return n <= from.N
		}
	}
	return false
}

// wrapped gives what is known of a name, nil where no run of it was recorded.
func (s *State) wrapped(name string) *Wrapped {
	if w := s.Workflows[name]; w != nil {
		return w.Wrap
	}
	return nil
}

// wrapKey writes a source and a number as one text.
func wrapKey(source string, n uint64) string { return source + " " + strconv.FormatUint(n, 10) }

// wrapKeyRead reads what wrapKey has written.
func wrapKeyRead(key string) (source string, n uint64) {
	source, number, _ := strings.Cut(key, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return "", 0
	}
	return source, n
}

// applyRecorded folds a run that was done elsewhere. Own is its end, Key its source and number, and Until when the next
// one is due.
func (s *State) applyRecorded(e *Event) error {
	spec := s.Versions[e.Version]
	if spec == nil || len(spec.Tasks) == 0 || s.Runs[e.Run] != nil || !runFinal(e.State) {
		return fmt.Errorf("apply %s: run %s is there already, or nothing says what it was", e.Kind, e.Run)
	}
	began := stampOf(e.Own.Add(-time.Duration(e.Seconds * float64(time.Second))))
	task := TaskRun{Task: spec.Tasks[0].ID, State: e.State, Reason: e.Reason, Exit: e.Exit}
	if e.State != runSkipped {
		task.Attempts, task.Started, task.Finished, task.Seconds, task.Used = 1, began, e.Own, e.Seconds, e.Used
	}
	r := &Run{ID: e.Run, Workflow: e.Workflow, State: runRunning, Trigger: e.Trigger, By: e.By, Agent: e.Agent,
		Attempt: 1, Lease: 1, Params: map[string]string{}, Queued: began, Started: began, Version: e.Version,
		Tasks: []TaskRun{task}}
	r.noteLog(e)
	s.Runs[r.ID] = r
	s.LastRun = max(s.LastRun, r.ID)
	w := s.workflow(e.Workflow)
	if w.Wrap == nil {
		w.Wrap = &Wrapped{}
	}
	w.Wrap.note(e)
	return s.finish(r, &Event{Seq: e.Seq, Time: e.Own, Kind: e.Kind, State: e.State, Reason: e.Reason,
		Seconds: e.Seconds})
}

// note takes in a record. A run that was skipped, because another was at work, is no word of that other.
func (w *Wrapped) note(e *Event) {
	if e.State != runSkipped && !e.Own.Before(w.Last.Time) {
		w.Last, w.Due = e.Own, e.Until
	}
	if e.Key == "" {
		return
	}
	source, n := wrapKeyRead(e.Key)
	list := append(make([]WrapSource, 0, len(w.From)+1), WrapSource{source, n})
	for _, from := range w.From {
		if from.ID != source && len(list) < wrapSources {
			list = append(list, from)
		}
	}
	w.From = list
}
