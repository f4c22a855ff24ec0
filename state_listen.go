// state_listen.go: which events of a listener have been dealt with. So what came while the principal was down fires
// when it is back, once.

package main

import (
	"maps"
	"slices"
)

// listenMaxSeen bounds the events that are known of a listener. Older ones are known by their time alone.
const listenMaxSeen = 256

// listenMaxKnown is how many listeners of a workflow are known, with those that its file had once: should one come
// back, it goes on. With more, those that the file does not have are forgotten.
const listenMaxKnown = 40

// Listened is what is known of a listener of a workflow. The ends of runs are told apart by their numbers, in whose
// order they fire. Files are told apart by their times, all by the one clock of their file system.
type Listened struct {
	Since    Stamp       `json:"since"`               // no file that has last changed up to here counts
	SinceKey string      `json:"since_key,omitempty"` // but that those of just this time count whose key is higher
	Seen     []EventSeen `json:"seen,omitempty"`      // later events that were dealt with, the newest last
	After    uint64      `json:"after,omitempty"`     // no end of a run with a number up to this counts
}

// isNew says whether an event was not dealt with yet, for those who have not seen it come.
func (l *Listened) isNew(e EventSeen) bool {
	if e.Seq > 0 && l.After > 0 {
		return e.Seq > l.After
	}
	return l.isLater(e) && !slices.ContainsFunc(l.Seen, func(seen EventSeen) bool {
		return seen.Key == e.Key && (!e.At.After(seen.At.Time) || e.Sign != "" && e.Sign == seen.Sign)
	})
}

// isLater says whether an event is behind those that are known by their time alone.
func (l *Listened) isLater(e EventSeen) bool {
	return e.At.After(l.Since.Time) || l.SinceKey != "" && e.At.Equal(l.Since.Time) && e.Key > l.SinceKey
}

// saw notes an event that was dealt with.
func (l *Listened) saw(e EventSeen) {
	if e.Seq > 0 {
		l.After = max(l.After, e.Seq)
		return
	}
	l.Seen = slices.DeleteFunc(l.Seen, func(seen EventSeen) bool { return seen.Key == e.Key })
	l.Seen = append(l.Seen, e)
	for len(l.Seen) > listenMaxSeen {
		oldest := 0
		for i := range l.Seen {
			if l.Seen[i].before(&l.Seen[oldest]) {
				oldest = i
			}
		}
		if old := l.Seen[oldest]; l.isLater(old) {
			l.Since, l.SinceKey = old.At, old.Key
		}
		l.Seen = slices.Delete(l.Seen, oldest, oldest+1)
	}
}

// before orders events as they fire: by their time, those of one time by their keys.
func (e *EventSeen) before(other *EventSeen) bool {
	return e.At.Before(other.At.Time) || e.At.Equal(other.At.Time) && e.Key < other.Key
}

// RunEnd is the end of a run.
type RunEnd struct {
	Run string `json:"run"`
	Seq uint64 `json:"seq"` // of the event that ended it
}

// noteEnd keeps the end of a run for those who listen to its workflow, if somebody does.
func (w *WorkflowState) noteEnd(r *Run, seq uint64) {
	if w.Heard {
		w.Ends = append(w.Ends, RunEnd{r.ID, seq})
	}
}

// dropEnd forgets the end of a run that is active again, or is not in memory any more.
func (w *WorkflowState) dropEnd(run string) {
	if at := slices.IndexFunc(w.Ends, func(end RunEnd) bool { return end.Run == run }); at >= 0 {
		w.Ends = slices.Delete(w.Ends, at, at+1)
	}
}

// applyListening folds that a listener begins: what was before does not count, nor what it has seen at its begin.
func (s *State) applyListening(e *Event) {
	w := s.workflow(e.Workflow)
	if w.Listens == nil {
		w.Listens = map[string]*Listened{}
	}
	if len(e.Items) > 0 {
		maps.DeleteFunc(w.Listens, func(key string, _ *Listened) bool { return !slices.Contains(e.Items, key) })
	}
	if id, ok := listenKeyWorkflow(e.Key); ok {
		s.workflow(id).Heard = true
	}
	if w.Listens[e.Key] == nil {
		w.Listens[e.Key] = &Listened{Since: e.Scheduled, Seen: e.Seen, After: e.Seq}
	}
}

// applySeen folds which events a run was fired for, or was not fired for after all.
func (s *State) applySeen(e *Event) {
	if e.Event == nil {
		return
	}
	w := s.workflow(e.Workflow)
	if l := w.Listens[e.Event.Listener]; l != nil {
		for _, seen := range e.Seen {
			l.saw(seen)
		}
	}
	w.decided(Decision{At: e.Time, Made: e.Time, Fired: e.Run != "", Reason: orDefault(e.Reason, e.Event.String()),
		Run: e.Run, Event: true})
}

// decided keeps a decision about a tick or an event.
func (w *WorkflowState) decided(d Decision) {
	w.Decisions = append(w.Decisions, d)
	if len(w.Decisions) <= stateMaxDecisions {
		return
	}
	events := 0
	for i := range w.Decisions {
		if w.Decisions[i].Event {
			events++
		}
	}
	many := events > stateMaxDecisions/2 // neither ticks nor events push out all of the others
	at := slices.IndexFunc(w.Decisions, func(d Decision) bool { return d.Event == many })
	if at == 0 {
		w.Decisions = w.Decisions[1:] // so append copies now and then, not each time
	} else {
		w.Decisions = slices.Concat(w.Decisions[:at], w.Decisions[at+1:])
	}
}
