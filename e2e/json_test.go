package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// What the program says in JSON, as somebody writes it down who has only docs/protocol.md: a field that is renamed in
// the program is missing here. Fields that no test looks at are left out.

// Request is a request to the principal.
type Request struct {
	V        int               `json:"v"`
	ID       string            `json:"id"`
	Op       string            `json:"op"`
	Workflow string            `json:"workflow,omitempty"`
	Run      string            `json:"run,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Pattern  string            `json:"pattern,omitempty"`
	Wait     bool              `json:"wait,omitempty"`
	All      bool              `json:"all,omitempty"`
	N        int               `json:"n,omitempty"`
	After    string            `json:"after,omitempty"`
}

// Reply is the principal's answer.
type Reply struct {
	ID        string          `json:"id"`
	OK        bool            `json:"ok"`
	Error     json.RawMessage `json:"error"`
	Run       string          `json:"run"`
	Runs      []*Run          `json:"runs"`
	Workflows []WorkflowInfo  `json:"workflows"`
	Decisions []Decision      `json:"decisions"`
	Agents    []Agent         `json:"agents"`
	Items     []AttentionItem `json:"items"`
	Next      string          `json:"next"`
}

// Run is one run of a workflow, as show, ps and run print it.
type Run struct {
	ID        string            `json:"run"`
	Workflow  string            `json:"workflow"`
	State     string            `json:"state"`
	Reason    string            `json:"reason"`
	Trigger   string            `json:"trigger"`
	By        string            `json:"by"`
	Agent     string            `json:"agent"`
	Attempt   int               `json:"attempt"`
	Params    map[string]string `json:"params"`
	Scheduled time.Time         `json:"scheduled"`
	Tasks     []TaskRun         `json:"tasks"`
	Left      []LeftProcess     `json:"left"`
	Parent    string            `json:"parent"`
	Parked    bool              `json:"parked"`
	Lease     int               `json:"lease"`
}

// TaskRun is a task of a run.
type TaskRun struct {
	Task       string            `json:"task"`
	State      string            `json:"state"`
	Reason     string            `json:"reason"`
	Exit       *int              `json:"exit"`
	Attempts   int               `json:"attempts"`
	Allowed    bool              `json:"allowed"`
	Started    time.Time         `json:"started"`
	Handler    string            `json:"handler"`
	Outputs    map[string]string `json:"outputs"`
	Cancelling string            `json:"cancelling"`
	Used       TaskUse           `json:"used"`
	Limited    string            `json:"limited"`
	Earlier    []TaskAttempt     `json:"earlier"`
	Child      string            `json:"child"`
	Agent      string            `json:"agent"`
	Seconds    float64           `json:"seconds"`
	Part       *TaskPart         `json:"part"`
}

// TaskPart is what another agent than the run's has of a task.
type TaskPart struct {
	ID    string `json:"id"`
	Agent string `json:"agent"`
}

// TaskAttempt is an attempt of a task that failed.
type TaskAttempt struct {
	Attempt int     `json:"attempt"`
	Reason  string  `json:"reason"`
	Used    TaskUse `json:"used"`
	Limited string  `json:"limited"`
}

// TaskUse is what an attempt used.
type TaskUse struct {
	CPU    float64 `json:"cpu"`
	Memory int64   `json:"memory"`
	Limits string  `json:"limits"`
}

// LeftProcess is a process of a run that could not be ended.
type LeftProcess struct {
	Agent   string    `json:"agent"`
	Task    string    `json:"task"`
	Attempt int       `json:"attempt"`
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Command string    `json:"command"`
	Why     string    `json:"why"`
	Gone    time.Time `json:"gone"`
}

// WorkflowInfo is a workflow, as ls prints it.
type WorkflowInfo struct {
	Workflow  string         `json:"workflow"`
	File      string         `json:"file"`
	Paused    string         `json:"paused"`
	Error     string         `json:"error"`
	Tasks     int            `json:"tasks"`
	Last      *Run           `json:"last"`
	Listeners []ListenerInfo `json:"listeners"`
}

// ListenerInfo is how a listener does.
type ListenerInfo struct {
	Fired   int    `json:"fired"`
	Waiting int    `json:"waiting"`
	Dropped int    `json:"dropped"`
	Trouble string `json:"trouble"`
}

// Decision is what became of a tick of a schedule, as why prints it.
type Decision struct {
	At     time.Time `json:"at"`
	Made   time.Time `json:"decided"`
	Fired  bool      `json:"fired"`
	Reason string    `json:"reason"`
	Run    string    `json:"run"`
	Missed int       `json:"missed"`
}

// Event is an entry of the audit trail.
type Event struct {
	Seq  uint64 `json:"seq"`
	Kind string `json:"e"`
	Run  string `json:"run"`
	Task string `json:"task"`
	By   string `json:"by"`
	From string `json:"from"`
}

// Agent is an agent, as agents prints it.
type Agent struct {
	Name    string   `json:"agent"`
	State   string   `json:"state"`
	Address string   `json:"address"`
	Load    *float64 `json:"load"`
}

// AttentionItem is something that needs a person.
type AttentionItem struct {
	Key      string   `json:"key"`
	Kind     string   `json:"kind"`
	Workflow string   `json:"workflow"`
	Agent    string   `json:"agent"`
	Reason   string   `json:"reason"`
	Runs     []string `json:"runs"`
	Lines    []string `json:"lines"`
}

// LogLine is a line of output, as logs --json prints it.
type LogLine struct {
	Stream string `json:"stream"`
	Line   string `json:"line"`
}

// Setting is what config --json prints.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Rescanned is what rescan --json prints.
type Rescanned struct {
	Workflows int    `json:"workflows"`
	Note      string `json:"note"`
}

// Finding is what doctor --json prints.
type Finding struct {
	Code  string `json:"code"`
	What  string `json:"what"`
	State string `json:"state"`
	Text  string `json:"text"`
}

// States of runs, tasks and agents.
const (
	runQueued, runRunning                 = "queued", "running"
	runSucceeded, runFailed, runCancelled = "succeeded", "failed", "cancelled"
	taskWaiting, taskRunning              = "waiting", "running"
	taskSucceeded                         = "succeeded"
	agentUp, agentLost                    = "up", "lost"
)

// Exit codes of the command line.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotAllowed  = 4
	exitRefused     = 5
	exitInterrupted = 130
)

// task gives a task of a run, nil when it has none of that name.
func (r *Run) task(id string) *TaskRun {
	for i := range r.Tasks {
		if r.Tasks[i].Task == id {
			return &r.Tasks[i]
		}
	}
	return nil
}

// statesOf gives the states of a run's tasks, as "a=succeeded b=failed".
func statesOf(r *Run) string {
	var list []string
	for _, t := range r.Tasks {
		list = append(list, t.Task+"="+t.State)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
