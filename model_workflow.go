// model_workflow.go: what a workflow file says, as plain data: the workflow, its parameters, and its tasks. The wire
// and the journal have it as JSON under the names of the file's keys, and a version of a workflow is named by that JSON
// (hash): so each field that this program adds is left out of it where a file does not have it.

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Workflow is what one workflow file says, checked and with defaults filled in. It is immutable: a changed file makes
// a new one, and a run keeps the version that it was queued with (see Hash).
type Workflow struct {
	ID          string `json:"id"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`

	// When it fires.
	Schedule      []string `json:"schedule,omitempty"` // cron expressions
	Except        []string `json:"except,omitempty"`   // days on which nothing fires; see calendarOf
	Only          []string `json:"only,omitempty"`     // days on which alone it fires
	Timezone      string   `json:"timezone,omitempty"` // IANA name; "" is the principal's
	StartTime     Stamp    `json:"start_time,omitzero"`
	EndTime       Stamp    `json:"end_time,omitzero"`
	Catchup       string   `json:"catchup,omitempty"` // "" is skip
	CatchupWindow Duration `json:"catchup_window,omitempty"`
	Overlap       string   `json:"overlap,omitempty"` // "" is skip
	Jitter        Duration `json:"jitter,omitempty"`

	On []Listener `json:"on,omitempty"` // what fires it besides

	// How the run as a whole goes.
	Priority int               `json:"priority,omitempty"`
	Timeout  Duration          `json:"timeout,omitempty"` // 0: none
	Retries  int               `json:"retries,omitempty"`
	Failover string            `json:"failover,omitempty"` // "": see failover
	Agent    map[string]string `json:"agent,omitempty"`    // labels that the agent must have
	Pool     map[string]int    `json:"pool,omitempty"`     // pool -> the places of it that a run needs to go
	Expect   *Expect           `json:"expect,omitempty"`   // nil: nothing is

	// What its tasks get.
	Params           map[string]Param  `json:"params,omitempty"`
	Env              map[string]string `json:"env,omitempty"`
	EnvFile          []string          `json:"env_file,omitempty"`
	WorkingDirectory string            `json:"working_directory,omitempty"`
	If               string            `json:"if,omitempty"`               // a shell line: whether the run is to go on
	Shell            string            `json:"shell,omitempty"`            // of its tasks; see shellOf
	User             string            `json:"user,omitempty"`             // whom its tasks run as; "": as the agent
	Secrets          []string          `json:"secrets,omitempty"`          // names; each task has them
	Limits           *Limits           `json:"limits,omitempty"`           // what a task does not say itself
	MaxActiveTasks   int               `json:"max_active_tasks,omitempty"` // 0: no limit
	// bytes of output of a run; 0: see logMaxSize
	LogMaxSize int64 `json:"log_max_size,omitempty"`
	// how long output is kept; 0: as the principal says
	LogKeep Duration `json:"log_keep,omitempty"`

	Tasks []Task `json:"tasks"` // in the order of the file

	// What follows the graph, see model_handlers.go.
	OnFailure []Task `json:"on_failure,omitempty"`
	OnSuccess []Task `json:"on_success,omitempty"`
	OnExit    []Task `json:"on_exit,omitempty"`
}

// Expect is how its runs are expected to go: attention tells when they do not.
type Expect struct {
	By     string   `json:"by,omitempty"`     // a time of day, as 04:00: one has succeeded by then; "": at no time
	Within Duration `json:"within,omitempty"` // of being queued, a run is over; 0: no limit
}

// text says what is expected, "" when nothing is.
func (x *Expect) text() string {
	if x == nil {
		return ""
	}
	var parts []string
	if x.By != "" {
		parts = append(parts, "one has succeeded by "+x.By)
	}
	if x.Within > 0 {
		parts = append(parts, fmt.Sprintf("each is over within %s", x.Within))
	}
	return strings.Join(append(parts, "each takes as long as usual"), ", ")
}

// logMaxSize gives how many bytes of output a run may write: 10 MiB unless the file says otherwise.
func (w *Workflow) logMaxSize() int64 {
	if w.LogMaxSize > 0 {
		return w.LogMaxSize
	}
	return 10 << 20
}

// Param is one parameter that a run may be given.
type Param struct {
	Default     string   `json:"default,omitempty"`
	Pattern     string   `json:"pattern,omitempty"` // RE2, matched against the whole value
	Choices     []string `json:"choices,omitempty"` // nil: any value will do
	Description string   `json:"description,omitempty"`
	Required    bool     `json:"required,omitempty"` // no default was written
}

// textFault says why a text cannot be a value, nil when it can: a process cannot be given a NUL, and text that is not
// UTF-8 does not survive JSON. The error reads on after the name of the value.
func textFault(text string) error {
	for i, c := range text {
		switch {
		case c == 0:
			return fmt.Errorf("has a NUL byte in it, at byte %d", i+1)
		case c == utf8.RuneError && strings.HasPrefix(text[i:], "\ufffd"):
		case c == utf8.RuneError:
			return fmt.Errorf("is not UTF-8: byte %d is 0x%02x", i+1, text[i])
		}
	}
	return nil
}

// paramPattern compiles the pattern of a parameter (RE2) so that it matches only a whole value.
func paramPattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // by itself first: "a)(b" would pass between brackets
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// paramsMax bounds the parameters of a run: bytes of all of them together, as a process gets them. A process can get no
// longer value. A run, or a file, that would have more is refused.
const paramsMax = 128 << 10

// paramsSize gives the bytes of parameters as a process gets them: PARAM_NAME=VALUE and a zero byte, for each.
func paramsSize(params map[string]string) (size int) {
	for name, value := range params {
		size += len("PARAM_") + len(name) + len("=") + len(value) + 1
	}
	return size
}

// paramsFault says that parameters are too large, and what to do; nil when they are not.
func paramsFault(params map[string]string) error {
	if size := paramsSize(params); size > paramsMax {
		return fmt.Errorf("the parameters have %d bytes and may have %d, all together: write large data to a file, "+
			"and give its name", size, paramsMax)
	}
	return nil
}

// Task is one node of a workflow's graph. Exactly one of Run, Cmd, Python, HTTP, Approve and Workflow says what it
// does.
type Task struct {
	ID          string   `json:"id"`
	Name        string   `json:"name,omitempty"`
	Description string   `json:"description,omitempty"`
	Depends     []string `json:"depends,omitempty"` // ids of tasks
	When        string   `json:"when,omitempty"`    // "" is success
	If          string   `json:"if,omitempty"`      // a shell line: whether it is to run

	Run    string   `json:"run,omitempty"`   // a shell line
	Shell  string   `json:"shell,omitempty"` // "" is the workflow's; see shellOf
	Cmd    string   `json:"cmd,omitempty"`   // a program
	Args   []string `json:"args,omitempty"`
	Python *Python  `json:"python,omitempty"`
	HTTP   *HTTP    `json:"http,omitempty"`
	Stdin  string   `json:"stdin,omitempty"` // ends in a newline
	Umask  string   `json:"umask,omitempty"` // three octal digits; "" is the agent's

	// What the principal does for it, in place of a process: it asks a person, or starts a run of another workflow.
	Approve   string   `json:"approve,omitempty"`   // the question
	Approvers []string `json:"approvers,omitempty"` // names of keys and users, uid:N; none: whoever may operate

	Workflow string            `json:"workflow,omitempty"`
	Params   map[string]string `json:"params,omitempty"` // of that run
	Wait     *bool             `json:"wait,omitempty"`   // nil: the task waits for the end of that run

	Pool map[string]int `json:"pool,omitempty"` // pool -> the places of it that each attempt needs to begin

	Agent map[string]string `json:"agent,omitempty"` // labels of the agent that does it; nil: the run's own does

	Retries          int               `json:"retries,omitempty"`
	RetryDelay       Duration          `json:"retry_delay,omitempty"`
	RetryMaxDelay    Duration          `json:"retry_max_delay,omitempty"`
	RetryExit        []int             `json:"retry_exit,omitempty"`   // nil: every failure is tried again
	SuccessExit      []int             `json:"success_exit,omitempty"` // nil is 0
	AllowFailure     ExitCodes         `json:"allow_failure,omitzero"` // with which its failure is allowed
	Timeout          Duration          `json:"timeout,omitempty"`      // of one attempt; 0: none
	StopSignal       string            `json:"stop_signal,omitempty"`  // one of stopSignals; "" is TERM
	Grace            Duration          `json:"grace,omitempty"`        // 0: the agent's
	Repeat           *Repeat           `json:"repeat,omitempty"`
	Foreach          *Foreach          `json:"foreach,omitempty"`
	MaxParallel      int               `json:"max_parallel,omitempty"` // instances at once; 0: foreachParallel
	Env              map[string]string `json:"env,omitempty"`
	WorkingDirectory string            `json:"working_directory,omitempty"`
	User             string            `json:"user,omitempty"`    // "": the workflow's, see userOf
	Secrets          []string          `json:"secrets,omitempty"` // names, besides the workflow's
	Limits           *Limits           `json:"limits,omitempty"`  // see limitsOf
}

// stopSignals are the signals that a stop may begin with. Each is there on every system, though not under one number.
var stopSignals = []string{"TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "ABRT", "WINCH", "KILL"}

// succeedsWith says whether a process of the task that has ended by itself, with that exit code, has succeeded.
func (t *Task) succeedsWith(exit int) bool {
	if len(t.SuccessExit) == 0 {
		return exit == 0
	}
	return slices.Contains(t.SuccessExit, exit)
}

// graceOr gives how long a stop of the task waits before KILL, where the agent's own grace is that.
func (t *Task) graceOr(own time.Duration) time.Duration {
	if t.Grace > 0 {
		return time.Duration(t.Grace)
	}
	return own
}

// Repeat says that a task is tried again and again, until it has succeeded or Until has. Without For and Times that may
// go on for ever.
type Repeat struct {
	Every Duration `json:"every"`           // from the end of an attempt to the start of the next
	For   Duration `json:"for,omitempty"`   // from the start of the first attempt; 0: no limit
	Times int      `json:"times,omitempty"` // attempts; 0: no limit
	Until string   `json:"until,omitempty"` // a shell line; "": an attempt that succeeds is the end
}

// endless says whether nothing but success, or somebody, ends it. r may be nil.
func (r *Repeat) endless() bool { return r != nil && r.For == 0 && r.Times == 0 }

// ExitCodes are exit codes of a process; nil is none, and an empty list is all of them. JSON has the list, or true.
type ExitCodes []int

// text writes the codes for people, "" for none.
func (c ExitCodes) text() string {
	switch {
	case c == nil:
		return ""
	case len(c) == 0:
		return "with any exit code, or none"
	}
	codes := make([]string, len(c))
	for i, code := range c {
		codes[i] = strconv.Itoa(code)
	}
	return "with exit " + strings.Join(codes, ", ")
}

func (c ExitCodes) MarshalJSON() ([]byte, error) {
	if c != nil && len(c) == 0 {
		return []byte("true"), nil
	}
	return json.Marshal([]int(c))
}

func (c *ExitCodes) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*c = ExitCodes{}
		return nil
	case "false":
		*c = nil
		return nil
	}
	return json.Unmarshal(b, (*[]int)(c))
}

// userOf gives the user whom a task runs as, "" for the agent's own.
func (w *Workflow) userOf(t *Task) string { return orDefault(t.User, w.User) }

// Python is a script run by uv, with its packages.
type Python struct {
	Script           string   `json:"script"`
	Args             []string `json:"args,omitempty"` // of the script
	Packages         []string `json:"packages,omitempty"`
	Project          bool     `json:"project,omitempty"` // a uv project brings its own packages
	UV               string   `json:"uv,omitempty"`      // "" is uv in PATH
	WorkingDirectory string   `json:"working_directory,omitempty"`
}

// eachPool hands fn each pool that the workflow names, and the places that are wanted there; a pool may come twice.
func (w *Workflow) eachPool(fn func(name string, places int)) {
	for name, places := range w.Pool {
		fn(name, places)
	}
	w.eachTask(func(t *Task) {
		for name, places := range t.Pool {
			fn(name, places)
		}
	})
}

// eachTask calls fn for every task, in the order of the file, and then for those of handlers.
func (w *Workflow) eachTask(fn func(*Task)) {
	for i := range w.Tasks {
		fn(&w.Tasks[i])
	}
	for _, name := range handlerNames {
		tasks := w.handler(name)
		for i := range tasks {
			fn(&tasks[i])
		}
	}
}

// poolsText writes pools and the places that are wanted there: database, tape 2.
func poolsText(want map[string]int) string {
	var parts []string
	for _, name := range sortedKeys(want) {
		if want[name] > 1 {
			name += " " + strconv.Itoa(want[name])
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

// hash names a version of a workflow by its content, 16 hexadecimal digits, and gives its size in bytes as JSON.
func (w *Workflow) hash() (name string, size int) {
	named, err := json.Marshal(w) // with escapes for HTML: the names in journals were made so
	if err != nil {
		panic("cdktr: internal error: encode workflow: " + err.Error()) // no field of it can fail
	}
	text, err := jsonText(w)
	if err != nil {
		panic("cdktr: internal error: encode workflow: " + err.Error())
	}
	sum := sha256.Sum256(named)
	return hex.EncodeToString(sum[:8]), len(text)
}

// task gives the task with that id, or nil.
func (w *Workflow) task(id string) *Task {
	for i := range w.Tasks {
		if w.Tasks[i].ID == id {
			return &w.Tasks[i]
		}
	}
	for _, name := range handlerNames {
		tasks := w.handler(name)
		for i := range tasks {
			if tasks[i].ID == id {
				return &tasks[i]
			}
		}
	}
	return nil
}

// cleansUp says whether the task cleans up or raises the alarm: it runs though the work before it was stopped.
func (t *Task) cleansUp() bool { return t.When == whenAlways || t.When == whenFailure }

// attempts gives how many attempts a task may have, 0 for a task with repeat that has no such limit.
func (t *Task) attempts() int {
	if t.Repeat != nil {
		return t.Repeat.Times
	}
	return t.Retries + 1
}

// failover gives the policy in force: without one in the file, a workflow with retries is rerun when its agent is lost.
func (w *Workflow) failover() string {
	switch {
	case w.Failover != "":
		return w.Failover
	case w.Retries > 0:
		return failoverRerun
	}
	return failoverFail
}
