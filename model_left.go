// model_left.go: processes that a run has left, as records and messages have them.

package main

import (
	"fmt"
	"strings"
)

// LeftProcess is a process of a task that outlived it, because its agent could not end it. The newest of a run are kept, and those
// that live before those that have gone.
type LeftProcess struct {
	Agent   string `json:"agent"`
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
	PID     int    `json:"pid"`
	User    string `json:"user"` // whose it is: a name, or the number of one that has none
	Command string `json:"command"`
	Why     string `json:"why"`           // it could not be ended
	Gone    Stamp  `json:"gone,omitzero"` // when it was found to have ended; zero: it lives, as far as its agent has said
}

// String says which process it is.
func (l *LeftProcess) String() string {
	return fmt.Sprintf("pid %d (%s): %s", l.PID, l.User, l.Command)
}

// leftText names processes in a line: the first few, and how many more there are.
func leftText(left []LeftProcess) string {
	const most = 3
	var text []string
	for i := range left[:min(len(left), most)] {
		text = append(text, left[i].String())
	}
	if more := len(left) - most; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, ", ")
}
