// model_listen.go: what a workflow listens to besides its schedule, and the events that fire its runs.

package main

import (
	"fmt"
	"strings"
)

// Listener is one entry of a workflow's on. Exactly one of File, Workflow and Command is set.
type Listener struct {
	File     *ListenFile     `json:"file,omitempty"`
	Workflow *ListenWorkflow `json:"workflow,omitempty"`
	Command  *ListenCommand  `json:"command,omitempty"`

	Rate int `json:"rate,omitempty"` // fires a minute at most; 0: listenRate
	// events within this time of the first make one fire; 0: each makes one
	Debounce Duration `json:"debounce,omitempty"`
}

// ListenFile listens for files that come into a folder.
type ListenFile struct {
	Path   string   `json:"path"`             // the folder, and a pattern of names as path.Match has it
	Settle Duration `json:"settle,omitempty"` // how long a file must not have changed; 0: listenSettle
}

// ListenWorkflow listens for runs of another workflow that end.
type ListenWorkflow struct {
	ID    string `json:"id"`
	State string `json:"state,omitempty"` // in which they end; "" is succeeded
}

// ListenCommand listens to the lines that a command writes.
type ListenCommand struct {
	Run   string `json:"run"`             // a shell line
	Match string `json:"match,omitempty"` // RE2, somewhere in the line; "": each line counts
}

// listensTo gives the workflows to whose runs a workflow listens; nil for most, and for nil.
func (w *Workflow) listensTo() (ids []string) {
	if w == nil {
		return nil
	}
	for i := range w.On {
		if on := w.On[i].Workflow; on != nil {
			ids = append(ids, on.ID)
		}
	}
	return ids
}

// Kinds of listener.
const (
	listenOnFile     = "file"
	listenOnWorkflow = "workflow"
	listenOnCommand  = "command"
)

// kind gives the kind of the listener.
func (l *Listener) kind() string {
	switch {
	case l.File != nil:
		return listenOnFile
	case l.Workflow != nil:
		return listenOnWorkflow
	}
	return listenOnCommand
}

// key names the listener among those of its workflow, for people too: "file /data/in/*.csv".
func (l *Listener) key() string {
	switch {
	case l.File != nil:
		return listenOnFile + " " + l.File.Path
	case l.Workflow != nil:
		return listenOnWorkflow + " " + l.Workflow.ID + " " + l.Workflow.state()
	}
	return listenOnCommand + " " + l.Command.Run
}

// listenKeyWorkflow gives the workflow to whose runs the listener of a key listens; false when it listens to none.
func listenKeyWorkflow(key string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(key, listenOnWorkflow+" ")
	return rest[:max(strings.LastIndexByte(rest, ' '), 0)], ok // an id may have spaces, a state has none
}

// state gives the state of a run that counts.
func (w *ListenWorkflow) state() string { return orDefault(w.State, runSucceeded) }

// RunEvent is what fired a run, as its record and its tasks have it.
type RunEvent struct {
	Listener string `json:"listener"`       // the key of the listener
	Kind     string `json:"kind"`           // of the listener
	Path     string `json:"path,omitempty"` // of a file: the newest of Paths
	// of a file, with debounce: all that the fire is for, the oldest first
	Paths    []string `json:"paths,omitempty"`
	Line     string   `json:"line,omitempty"`     // of a command: the newest
	Workflow string   `json:"workflow,omitempty"` // of a workflow: which
	Run      string   `json:"run,omitempty"`      // the newest run of it
	State    string   `json:"state,omitempty"`    // in which that ended
	Count    int      `json:"count,omitempty"`    // how many events the fire is for; 0: one
	Depth    int      `json:"depth,omitempty"`    // how many runs in a row were fired by the end of the one before
}

// String says what happened, in a line.
func (e *RunEvent) String() string {
	var text string
	switch e.Kind {
	case listenOnFile:
		text = listenOnFile + " " + e.Path
	case listenOnWorkflow:
		text = "run " + e.Run + " of " + e.Workflow + " " + e.State
	default:
		text = "line " + textHead(strings.TrimSpace(e.Line), eventEcho)
	}
	if e.Count > 1 {
		text += fmt.Sprintf(" and %d more", e.Count-1)
	}
	return text
}

// eventEcho is how many bytes of a line a text about its event has.
const eventEcho = 200

// EventSeen is an event that was fired, or was decided not to: a file as it was then, or the end of a run.
type EventSeen struct {
	Key string `json:"key"` // the path, or the run and its attempt
	At  Stamp  `json:"at"`  // when the file last changed, by the clock of its file system; or when the run ended
	// of a file: inode, size and time of its content, so that new rights alone make no event
	Sign string `json:"sign,omitempty"`
	// of the end of a run: the number of the event by which the principal heard of it
	Seq uint64 `json:"seq,omitempty"`
}

// ListenerInfo is how a listener of a workflow does, since the principal began.
type ListenerInfo struct {
	Listener string `json:"listener"`          // "file /data/in/*.csv"
	Fired    int    `json:"fired"`             // runs
	Waiting  int    `json:"waiting,omitempty"` // events that wait: for debounce, for rate, for the end of a pause
	Dropped  int    `json:"dropped,omitempty"` // events that were too many
	Last     Stamp  `json:"last,omitzero"`     // when it fired last
	Trouble  string `json:"trouble,omitempty"` // what keeps it from listening
}

// String says how a listener does, in a line.
func (i *ListenerInfo) String() string {
	parts := []string{fmt.Sprintf("%s: fired %d", i.Listener, i.Fired)}
	if i.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d wait", i.Waiting))
	}
	if i.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d dropped", i.Dropped))
	}
	if i.Trouble != "" {
		parts = append(parts, i.Trouble)
	}
	return strings.Join(parts, ", ")
}
