// proto_attention.go: what needs a person, as a reply has it, and the words for it.

package main

import (
	"fmt"
	"strings"
)

// attentionShown is how many names of workflows or agents an item lists; it counts the others.
const attentionShown = 12

// Kinds of what needs a person.
const (
	attentionFailed   = "failed"
	attentionFile     = "file"
	attentionAgent    = "agent"
	attentionOld      = "old"
	attentionOverdue  = "overdue"
	attentionDisk     = "disk"     // the principal's disk takes no more
	attentionOutput   = "output"   // some output was dropped
	attentionFolder   = "folder"   // the folder of workflows
	attentionClock    = "clock"    // the clock of an agent
	attentionLeft     = "left"     // processes that could not be ended
	attentionApprove  = "approve"  // a task waits for a person
	attentionExpect   = "expect"   // not as the workflow's expect says
	attentionListener = "listener" // what a workflow listens to does not fire it as it should
	attentionPools    = "pools"    // runs wait for each other's places
	attentionPaused   = "paused"   // for long, and without an end
	attentionAlarm    = "alarm"    // the alarm told nobody
	attentionTest     = "test"     // nothing: the alarm tells of it when it is tried
)

// AttentionItem is something that needs a person: one thing, or runs that failed alike.
type AttentionItem struct {
	Key       string   `json:"key"` // for ack
	Kind      string   `json:"kind"`
	Workflow  string   `json:"workflow,omitempty"`
	Task      string   `json:"task,omitempty"`
	Exit      *int     `json:"exit,omitempty"`
	Agent     string   `json:"agent,omitempty"`
	Reason    string   `json:"reason"`
	Runs      []string `json:"runs,omitempty"` // newest first
	Count     int      `json:"count"`
	First     Stamp    `json:"first,omitzero"`
	Last      Stamp    `json:"last,omitzero"`
	Recovered bool     `json:"recovered,omitempty"`
	Workflows []string `json:"workflows,omitempty"` // all, where one cause has several; workflow is empty then
	Agents    []string `json:"agents,omitempty"`    // all, where there are several; agent is that of the newest run
	Lines     []string `json:"lines,omitempty"`     // the last lines that the newest run's task wrote
	// a letter for each of these lines: o standard output, e standard error, c a remark of cdktr
	Streams string   `json:"streams,omitempty"`
	Changed []string `json:"changed,omitempty"` // what was different in the last good run before, which is Good
	Good    string   `json:"good,omitempty"`

	// The items that one cause has made one of, the newest first; nil when it is one by itself.
	members []AttentionItem
}

// AlarmInfo is how the alarm is: how it went last (as AlarmRan has it), and when it goes on. Durations are in seconds.
type AlarmInfo struct {
	Time   Stamp  `json:"t,omitzero"`
	State  string `json:"state,omitempty"`
	Exit   *int   `json:"exit,omitempty"`
	Reason string `json:"reason,omitempty"`
	Failed int    `json:"failed,omitempty"`
	Since  Stamp  `json:"since,omitzero"`

	Delay   float64  `json:"delay"`
	Repeat  float64  `json:"repeat"`
	Running bool     `json:"running,omitempty"`
	Next    Stamp    `json:"next,omitzero"`   // after a failure: when it is tried again at the soonest
	Lines   []string `json:"lines,omitempty"` // of a test: the last lines that the command wrote
}

// text says how the alarm is, for people.
func (a *AlarmInfo) text(when func(Stamp) string) string {
	switch {
	case a == nil:
		return "no alarm is set"
	case a.Failed > 0:
		text := fmt.Sprintf("the alarm failed %s: %s; again at %s", when(a.Time), a.Reason, when(a.Next))
		if a.Failed > 1 {
			text = fmt.Sprintf("the alarm failed %d times since %s: %s; again at %s", a.Failed, when(a.Since), a.Reason,
				when(a.Next))
		}
		return text
	case a.Time.IsZero():
		return "the alarm is set; it had nothing to tell yet"
	}
	return "the alarm told of it last at " + when(a.Time)
}

// what says in a few words what an item is about.
func (item *AttentionItem) what() string {
	switch item.Kind {
	case attentionFile:
		return item.Workflow + " does not load"
	case attentionAgent:
		return "agent " + item.Agent + " is lost"
	case attentionOld:
		return "agent " + item.Agent + " is too old"
	case attentionOverdue:
		switch {
		case item.Task != "":
			return item.Workflow + " " + item.Task + " waits for an agent"
		case len(item.Workflows) > 1:
			return item.where() + " are overdue"
		}
		return item.where() + " is overdue"
	case attentionDisk:
		return "the principal's disk takes nothing"
	case attentionOutput:
		return item.Workflow + " lost output"
	case attentionFolder:
		if len(item.Workflows) > 0 {
			files := "the file of "
			if item.Count > 1 {
				files = "the files of "
			}
			return files + countText(item.Count, "workflow") + " may not mean what was meant"
		}
		return "the workflows folder cannot be read"
	case attentionClock:
		return "the clock of agent " + item.Agent + " is off"
	case attentionApprove:
		return item.Workflow + " " + item.Task + " waits for approval"
	case attentionLeft:
		return item.Workflow + " " + item.Task + " left processes alive on " + item.Agent
	case attentionExpect:
		return item.Workflow + " is not as expected"
	case attentionPools:
		return countText(item.Count, "run") + " wait for each other's pools"
	case attentionListener:
		return item.Workflow + " does not hear all that should fire it"
	case attentionPaused:
		switch {
		case len(item.Workflows) > 1:
			return item.where() + " are paused"
		case item.Workflow == "":
			return "all schedules are paused"
		}
		return item.where() + " is paused"
	case attentionAlarm:
		return "the alarm told nobody"
	case attentionTest:
		return "a test"
	}
	what := item.where()
	if item.Task != "" {
		what += " " + item.Task
	}
	if item.Exit != nil {
		what += fmt.Sprintf(" exit %d", *item.Exit)
	}
	if on := item.onAgents(); on != "" {
		what += " on " + on
	}
	if item.Recovered {
		what += ", recovered since"
	}
	return what
}

// where names the workflow of an item, or counts its workflows.
func (item *AttentionItem) where() string {
	if n := len(item.Workflows); n > 0 {
		return countText(n, "workflow")
	}
	return item.Workflow
}

// onAgents names the agent of an item, or counts its agents.
func (item *AttentionItem) onAgents() string {
	if n := len(item.Agents); n > 0 {
		return countText(n, "agent")
	}
	return item.Agent
}

// lineText gives a line of an item's output, marked with its stream: o, e, or c. An older principal does not name the
// stream.
func (item *AttentionItem) lineText(i int) string {
	if i < len(item.Streams) {
		return item.Streams[i:i+1] + "| " + item.Lines[i]
	}
	return "| " + item.Lines[i]
}

// attentionNamesText lists the first few names, and counts the others.
func attentionNamesText(names []string, most int) string {
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
