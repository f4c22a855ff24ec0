// state_pause.go: pauses of schedules, of one workflow or of all: who, why, and until when. Those that are over are
// kept for a while, so that it can be told why nothing fired then.

package main

import "slices"

// statePauses is how many pauses of a workflow are kept, and of all: the newest.
const statePauses = 10

// Pause is a time in which a schedule does not fire.
type Pause struct {
	By      string `json:"by"`
	Note    string `json:"note,omitempty"`     // why, as whoever paused it says
	Since   Stamp  `json:"since,omitzero"`     // not known of a pause that an older version has kept
	Until   Stamp  `json:"until,omitzero"`     // when it ends by itself; zero: when somebody ends it
	Ended   Stamp  `json:"ended,omitzero"`     // zero: it is in force
	EndedBy string `json:"ended_by,omitempty"` // "": it has ended by itself
	All     bool   `json:"all,omitempty"`      // it is of all workflows
}

// text says who paused, and why.
func (p *Pause) text() string {
	if p.Note == "" {
		return p.By
	}
	return p.By + ": " + p.Note
}

// covers says whether a pause that is in force holds back what is due at that time.
func (p *Pause) covers(at Stamp) bool { return p.Until.IsZero() || at.Before(p.Until.Time) }

// applyPause begins a pause or ends it. A pause that begins while there is one takes its place.
func (s *State) applyPause(e *Event) {
	by, list := &s.PausedAll, &s.Pauses
	if e.Workflow != "" {
		w := s.workflow(e.Workflow)
		by, list = &w.Paused, &w.Pauses
	}
	delete(s.Acks, stateKey("paused", e.Workflow, ""))
	pauses := slices.Clone(*list) // the old list may have been handed out
	if n := len(pauses); n > 0 && pauses[n-1].Ended.IsZero() {
		last := &pauses[n-1]
		last.Ended, last.EndedBy = e.Time, e.By
		if e.Kind == evResumed && !e.Until.IsZero() {
			last.Ended = e.Until
		}
	}
	*by = ""
	if e.Kind == evPaused {
		*by = orDefault(e.By, "?")
		pauses = append(pauses, Pause{By: *by, Note: e.Reason, Since: e.Time, Until: e.Until, All: e.Workflow == ""})
	}
	*list = pauses[max(0, len(pauses)-statePauses):]
}

// pauseIn gives the pause that is in force of those of one workflow, or of all; by is who paused it, "" when nobody
// did. nil: there is none.
func pauseIn(by string, pauses []Pause) *Pause {
	n := len(pauses)
	switch {
	case by == "":
		return nil
	case n > 0 && pauses[n-1].Ended.IsZero():
		return &pauses[n-1]
	}
	return &Pause{By: by} // an older version has kept it
}

// pauseOwn gives the pause that is in force of a workflow by itself, and with "" that of all; nil: there is none.
func (s *State) pauseOwn(id string) *Pause {
	if id == "" {
		return pauseIn(s.PausedAll, s.Pauses)
	}
	if w := s.Workflows[id]; w != nil {
		return pauseIn(w.Paused, w.Pauses)
	}
	return nil
}

// pauseOf gives the pause that holds back a workflow: its own or that of all, whichever lasts longer. nil: neither.
func (s *State) pauseOf(id string) *Pause {
	own, all := s.pauseOwn(id), s.pauseOwn("")
	if own == nil || all != nil && !own.Until.IsZero() && all.covers(own.Until) {
		return all
	}
	return own
}
