// state_told.go: what the alarm has told people of, and how it went when it was run last. So a principal that starts
// again tells nothing twice, and knows what is over by then. Pure, as state.go is.

package main

import "strings"

// stateMaxTold is how many things that the alarm has told of are remembered; with more, the one told longest ago is
// forgotten, and told once more if it is still there.
const stateMaxTold = 5000

// States of an event attention.told: what has become of what the alarm had told of. "" says that it has told of it.
const (
	toldOver = "recovered" // it is over, and the alarm has said so
	toldGone = "removed"   // its workflow or its agent is no more, and so the alarm says nothing
)

// Told is something that needs a person, as the alarm has told it. The fields are those of its item.
type Told struct {
	Time     Stamp  `json:"t"` // when it was told last
	Workflow string `json:"workflow,omitempty"`
	Task     string `json:"task,omitempty"`
	Exit     *int   `json:"exit,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// AlarmRan is how the alarm went when it was run last.
type AlarmRan struct {
	Time   Stamp  `json:"t"` // when it ended
	State  string `json:"state"`
	Exit   *int   `json:"exit,omitempty"`   // nil: there was no process, or it was killed
	Reason string `json:"reason,omitempty"` // why it failed
	Failed int    `json:"failed,omitempty"` // how often it has failed, one time after the other
	Since  Stamp  `json:"since,omitzero"`   // the first of these times
}

// stateToldKey names what needs a person for the alarm, by the key of its item. A file with another fault is still the
// file that does not load, and another run that loses output is of the same trouble: neither is told as new.
func stateToldKey(key string) string {
	switch kind, rest, _ := strings.Cut(key, ":"); kind {
	case "file", "output":
		if i := strings.LastIndexByte(rest, ':'); i >= 0 {
			return kind + ":" + rest[:i]
		}
	}
	return key
}

// applyTold folds that the alarm has told of something, or that this is over.
func (s *State) applyTold(e *Event) {
	key := stateToldKey(e.Key)
	if e.State != "" {
		delete(s.Told, key)
		return
	}
	s.Told[key] = Told{Time: e.Time, Workflow: e.Workflow, Task: e.Task, Exit: e.Exit, Agent: e.Agent,
		Reason: e.Reason}
	for len(s.Told) > stateMaxTold {
		oldest := key
		for _, other := range sortedKeys(s.Told) {
			if s.Told[other].Time.Before(s.Told[oldest].Time.Time) {
				oldest = other
			}
		}
		delete(s.Told, oldest)
	}
}

// applyAlarm folds how the alarm went.
func (s *State) applyAlarm(e *Event) {
	ran := &AlarmRan{Time: e.Time, State: e.State, Exit: e.Exit, Reason: e.Reason}
	if e.State != runSucceeded {
		ran.Failed, ran.Since = 1, e.Time
		if was := s.Alarm; was != nil && was.Failed > 0 {
			ran.Failed, ran.Since = was.Failed+1, was.Since
		}
	}
	s.Alarm = ran
}
