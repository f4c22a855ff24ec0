// proto.go: what is said over a connection, whatever carries it: requests and replies between a client and the
// principal, messages between an agent and the principal, error codes, and the table of ops (protoOps). Dispatch and
// `help` are made from that table. Every message is one frame of JSON.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// protoVersion is the "v" of every message.
const protoVersion = 1

// versionNext is the version that this source becomes when it is released.
const versionNext = "0.1.0"

// version is set by the linker where a release is built: -ldflags '-X main.version=0.1.0'. Read programVersion.
var version string

// programVersion is the version of this program, as `cdktr version`, a ping and an agent's hello say it.
var programVersion = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(version, info)
})

// versionPseudo matches what Go calls a commit that has no tag: the version that would come next, its time, the commit.
var versionPseudo = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9.]+)-(?:.*\.)?[0-9]{14}-([0-9a-f]{12})(\+dirty)?$`)
})

// versionOf is the version that the linker has set. Else it is that of the checkout, as Go notes it in the program:
// 0.1.0 at that tag, 0.1.1-dev+COMMIT behind it, with .dirty where files were changed. A program that was built outside
// of a checkout is 0.1.0-dev.
func versionOf(linked string, info *debug.BuildInfo) string {
	text := linked
	if text == "" && info != nil && info.Main.Version != "(devel)" {
		text = info.Main.Version
	}
	if text == "" {
		return versionNext + "-dev"
	}
	text = strings.TrimPrefix(text, "v")
	if !strings.Contains(text, "-") { // a release
		return text
	}
	pseudo := versionPseudo().FindStringSubmatch(text)
	if pseudo == nil {
		return text
	}
	next := pseudo[1]
	if next == "0.0.0" { // there is no tag yet
		next = versionNext
	}
	return next + "-dev+" + pseudo[2] + strings.Replace(pseudo[3], "+", ".", 1)
}

// protoMaxName is how many bytes a name in a message has at most: an id, an op, the name of a task or an agent.
const protoMaxName = 256

// Request is one question to the principal. protoOps says which fields an op reads, and docs/protocol.md what they
// mean. Every text has a bound, max, in bytes: protoDecode refuses a longer one, so that nothing behind it looks for a
// name of a megabyte. Params has bounds of its own where runs are queued. ack allows a longer key than run does: there
// is an id in it.
type Request struct {
	V  int    `json:"v"`
	ID string `json:"id" max:"256"`
	Op string `json:"op" max:"256"`

	// What the request is about.
	Key      string            `json:"key,omitempty" max:"1024"`
	Workflow string            `json:"workflow,omitempty" max:"256"`
	Run      string            `json:"run,omitempty" max:"256"`
	Batch    string            `json:"batch,omitempty" max:"256"`
	Agent    string            `json:"agent,omitempty" max:"256"`
	Params   map[string]string `json:"params,omitempty"`

	// How it is carried out, and answered.
	Wait   bool `json:"wait,omitempty"`
	Follow bool `json:"follow,omitempty"`
	Force  bool `json:"force,omitempty"`
	All    bool `json:"all,omitempty"`

	Reverse bool `json:"reverse,omitempty"` // backfill: the newest fire first

	// Which rows or lines are wanted, and how many.
	Pattern string     `json:"pattern,omitempty" max:"1024"`
	State   string     `json:"state,omitempty" max:"32"`
	Task    string     `json:"task,omitempty" max:"256"`
	Stream  string     `json:"stream,omitempty" max:"32"`
	Grep    string     `json:"grep,omitempty" max:"1024"`
	Since   Stamp      `json:"since,omitzero"`
	At      Stamp      `json:"at,omitzero"`
	N       protoCount `json:"n,omitempty"`
	After   string     `json:"after,omitempty" max:"1024"`
	Seq     uint64     `json:"seq,omitempty"`
	Last    protoCount `json:"last,omitempty"`
	Before  int64      `json:"before,omitempty"`

	Record *WrapRecord `json:"record,omitempty"` // record

	Comment string `json:"comment,omitempty" max:"1024"` // approve, reject and pause
	From    string `json:"from,omitempty" max:"256"`     // retry
	Dry     bool   `json:"dry,omitempty"`                // retry and backfill

	// exec: a command, and the agents that may do it.
	Args      []string          `json:"args,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Directory string            `json:"directory,omitempty" max:"4096"`
	Timeout   Duration          `json:"timeout,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`

	Of    string `json:"of,omitempty" max:"256"` // stop: the request whose stream is to end
	Until Stamp  `json:"until,omitzero"`         // ack, pause and backfill

	// Params as they were held against the workflow, before the principal's loop has the request.
	checked *paramsChecked
}

// paramsChecked is the outcome when the parameters of a request were held against a workflow.
type paramsChecked struct {
	spec    *Workflow // as it was then
	params  map[string]string
	refused *protoError
}

// protoCount is how many rows or lines are wanted at most. Zero means that the request does not say: then each op has a
// number of its own, or gives all there is. In JSON that is left out, and 0 is protoNone.
type protoCount int

// protoNone asks for no row at all.
const protoNone protoCount = -1

// protoCountOf gives the count that means n; below 0 the request does not say.
func protoCountOf(n int) protoCount {
	switch {
	case n < 0:
		return 0
	case n == 0:
		return protoNone
	}
	return protoCount(n)
}

// rows gives how many are wanted: fallback where the request does not say, and never more than most.
func (c protoCount) rows(fallback, most int) int {
	switch {
	case c == 0:
		return min(fallback, most)
	case c < 0:
		return 0
	}
	return min(int(c), most)
}

// MarshalJSON writes protoNone as 0. The field's omitempty leaves out what is not said.
func (c protoCount) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(max(c, 0)), 10), nil
}

// UnmarshalJSON reads a number that is not below 0.
func (c *protoCount) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 32)
	if string(text) == "null" {
		return nil
	}
	if err != nil || n < 0 {
		return fmt.Errorf("%s is no number of rows: want one that is not below 0, and no fraction",
			textHead(string(text), protoMaxName))
	}
	*c = protoCountOf(int(n))
	return nil
}

// Reply answers a Request. A stream sends any number of them with More set, and one without it at the end. Each op
// fills fields of its own; docs/protocol.md has the table.
type Reply struct {
	V     int         `json:"v"`
	ID    string      `json:"id"`
	OK    bool        `json:"ok"`
	More  bool        `json:"more,omitempty"`
	Error *protoError `json:"error,omitempty"`

	// Runs and their output. Lines is for logs where n says how many lines a reply may have.
	Run   string      `json:"run,omitempty"`
	Runs  []*Run      `json:"runs,omitempty"`
	Tasks []TaskRun   `json:"tasks,omitempty"`
	Line  *LogLine    `json:"line,omitempty"`
	Lines []LogRecord `json:"lines,omitempty"`

	// Lists. Next is what to pass as "after" for what comes next.
	Workflows []WorkflowInfo `json:"workflows,omitempty"`
	Spec      *Workflow      `json:"spec,omitempty"`
	Fires     []Fire         `json:"fires,omitempty"`
	Decisions []Decision     `json:"decisions,omitempty"`
	Why       *WhyInstant    `json:"why,omitempty"`
	Agents    []*Agent       `json:"agents,omitempty"`
	Pools     []PoolInfo     `json:"pools,omitempty"`
	Events    []*Event       `json:"events,omitempty"`
	Verbs     []protoOp      `json:"verbs,omitempty"`
	Version   string         `json:"version,omitempty"`
	Next      string         `json:"next,omitempty"`
	Seq       uint64         `json:"seq,omitempty"`

	// watch. Clock is the principal's, so that a client whose clock is off can tell ages. Gone are workflows that have
	// no file any more, GoneRuns are runs that went from memory into the history, and GoneAgents are agents that were
	// forgotten. Attention is how many things need a person, when that has changed.
	Clock      Stamp    `json:"clock,omitzero"`
	Rows       []RunRow `json:"rows,omitempty"`
	Gone       []string `json:"gone,omitempty"`
	GoneRuns   []string `json:"gone_runs,omitempty"`
	GoneAgents []string `json:"gone_agents,omitempty"`
	Attention  *int     `json:"attention,omitempty"`

	Items []AttentionItem `json:"items,omitempty"`
	Alarm *AlarmInfo      `json:"alarm,omitempty"` // nil: none is set

	// backfill: the batch that has begun, "" where there was nothing to make, and what was found. batches: batches.
	Batch   string     `json:"batch,omitempty"`
	Plan    *BatchPlan `json:"plan,omitempty"`
	Batches []*Batch   `json:"batches,omitempty"`

	Stats *Stats `json:"stats,omitempty"`
	Live  bool   `json:"live,omitempty"` // watch: all rows were sent; from now on changes are
	Note  string `json:"note,omitempty"`
	Count int    `json:"count,omitempty"`

	Metrics string `json:"metrics,omitempty"` // as text that Prometheus reads

	// ping and backup: the state folder, on the principal's machine. ping: where the principal listens.
	Folder    string   `json:"folder,omitempty"`
	Listening []string `json:"listening,omitempty"`
}

// eachLine hands fn the lines of output in a reply, from Line or from Lines, until fn fails.
func (r *Reply) eachLine(fn func(*LogLine) error) error {
	if r.Line != nil {
		if err := fn(r.Line); err != nil {
			return err
		}
	}
	var lines []LogLine
	for i := range r.Lines {
		var err error
		lines, err = r.Lines[i].lines(lines[:0])
		if err != nil {
			return fmt.Errorf("read output: %w", err)
		}
		for k := range lines {
			if err := fn(&lines[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// RunRow is a run as a line of a list. It has no tasks but counts them.
type RunRow struct {
	*Run
	Done  int `json:"done"`  // tasks that are over; in a run that has ended badly, those that ran
	Total int `json:"total"` // tasks
}

// protoRowOf makes the row of a whole run.
func protoRowOf(r *Run) RunRow {
	return RunRow{Run: r.short(), Done: r.done(), Total: r.total()}
}

// WorkflowInfo is a workflow as `ls --json` prints it.
type WorkflowInfo struct {
	Workflow    string    `json:"workflow"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	File        string    `json:"file"`
	Schedule    []string  `json:"schedule"`
	Timezone    string    `json:"timezone,omitempty"`
	Next        Stamp     `json:"next"` // null: none is coming
	Paused      string    `json:"paused"`
	Pause       *Pause    `json:"pause,omitempty"` // nil: it is not paused
	Last        *Run      `json:"last"`            // null: it has not run
	Recent      []Outcome `json:"recent,omitempty"`
	Error       string    `json:"error"`
	Warnings    []string  `json:"warnings,omitempty"`
	Tasks       int       `json:"tasks"`

	Defaults map[string]string `json:"defaults,omitempty"` // which keys came from which defaults.yml

	Listeners []ListenerInfo `json:"listeners,omitempty"`
}

// fires says what fires the workflow, for a list: its schedule, the kinds of its listeners; manual when nothing does.
func (w *WorkflowInfo) fires() string {
	parts := slices.Clone(w.Schedule)
	for i := range w.Listeners {
		kind, _, _ := strings.Cut(w.Listeners[i].Listener, " ")
		if kind = "on " + kind; !slices.Contains(parts, kind) {
			parts = append(parts, kind)
		}
	}
	return orDefault(strings.Join(parts, ", "), "manual")
}

// Codes of a refused request. The command line turns them into exit codes: invalid 2, not_allowed 4, others 5.
const (
	codeInvalid    = "invalid"     // the request makes no sense: a field is missing or wrong
	codeUnknownOp  = "unknown_op"  //
	codeNotFound   = "not_found"   //
	codeConflict   = "conflict"    // not in this state
	codeNotAllowed = "not_allowed" // the peer may not
	codeNoSpace    = "no_space"    // the disk is full or fails: nothing new is taken until it works again
	codeBusy       = "busy"        // a bound is reached: try again later
	codeStopping   = "stopping"    // the principal is going down
	codeTooLarge   = "too_large"   // the reply does not fit into a message
	codeInternal   = "internal"    //
)

// protoError is why a request was refused.
type protoError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Retry   bool   `json:"retry"` // the same request may work later

	// suggest gives the message with what was probably meant, "" when that is not known. It takes a while.
	suggest func() string

	// Where a client refuses its own request: the field, and what is wrong with it, to be read behind its name.
	field, fault string
}

// Error is the message.
func (e *protoError) Error() string { return e.Message }

// refuse makes the error of a refused request. What it repeats of the request may be long; the message is shortened.
func refuse(code, format string, args ...any) *protoError {
	return &protoError{Code: code, Message: textHead(fmt.Sprintf(format, args...), protoMaxMessage),
		Retry: code == codeNoSpace || code == codeBusy || code == codeStopping}
}

// refuseNear makes the error for a name that is not there. what says that it is not, and otherwise says what to do when
// no name in known is near it. Only meant calls known, in any goroutine.
func refuseNear(what, otherwise, name string, known func() []string) *protoError {
	e := refuse(codeNotFound, "%s (%s)", what, otherwise)
	e.suggest = func() string {
		if meant := nearHint(name, known()); meant != "" {
			return what + meant
		}
		return ""
	}
	return e
}

// meant gives the error with what was probably meant in its message. It takes milliseconds: no loop may call it.
func (e *protoError) meant() *protoError {
	if e == nil || e.suggest == nil {
		return e
	}
	m := *e
	m.Message, m.suggest = orDefault(e.suggest(), e.Message), nil
	return &m
}

// Roles that an op asks for. auth.go says which roles of a key are enough for each.
const (
	roleAny      = "any" // whoever is let in at all
	roleViewer   = "viewer"
	roleTrigger  = "trigger"
	roleOperator = "operator"
	roleAgent    = "agent"
)

// protoOp is one row of the request API. Fields names the fields of Request that it reads, with a star behind those
// that must be there.
type protoOp struct {
	Op     string   `json:"op"`
	Help   string   `json:"help"`
	Role   string   `json:"role"`
	Fields []string `json:"fields"`
	Stream bool     `json:"stream,omitempty"` // may answer with several replies; a REQ peer gets the last only
	Scoped bool     `json:"scoped,omitempty"` // asked by a trigger key, it tells of that key's workflows only
}

// protoOpOf finds the row of an op, nil when there is none.
func protoOpOf(op string) *protoOp {
	for i := range protoOps {
		if protoOps[i].Op == op {
			return &protoOps[i]
		}
	}
	return nil
}

// missing names the first field that a request of this op must have and does not have, "" when all are there.
func (v *protoOp) missing(req *Request) string {
	given := map[string]string{"workflow": req.Workflow, "run": req.Run, "agent": req.Agent, "key": req.Key,
		"of": req.Of}
	for _, field := range v.Fields {
		if name, must := strings.CutSuffix(field, "*"); must && given[name] == "" {
			return name
		}
	}
	return ""
}

// protoOps is the request API. An op that is not here does not exist.
var protoOps = []protoOp{
	{Op: "ping", Help: "the principal answers with its version", Role: roleAny},
	{Op: "help", Help: "these ops, with their fields", Role: roleAny},
	{Op: "ls", Help: "workflows whose id matches the pattern, with schedule, next fire and last run", Role: roleViewer,
		Scoped: true, Fields: []string{"pattern", "n", "after"}},
	{Op: "show", Help: "one workflow with its definition, or one run", Role: roleViewer, Scoped: true,
		Fields: []string{"workflow", "run"}},
	{Op: "ps", Help: "runs, newest first: the active ones, or all", Role: roleViewer, Scoped: true,
		Fields: []string{"all", "workflow", "batch", "state", "since", "n", "after"}},
	{Op: "next", Help: "coming fires", Role: roleViewer, Scoped: true,
		Fields: []string{"workflow", "n", "at", "after"}},
	{Op: "why", Help: "what became of the fires of a schedule, newest last", Role: roleViewer, Scoped: true,
		Fields: []string{"workflow*", "at", "n"}},
	{Op: "logs", Help: "output of a run, or of the newest run of a workflow; follow goes on until the run ends",
		Role: roleViewer, Scoped: true,
		Fields: []string{"run", "workflow", "task", "stream", "grep", "since", "before", "last", "n", "follow", "all"},
		Stream: true},
	{Op: "events", Help: "the audit trail from a sequence number on", Role: roleViewer, Scoped: true,
		Fields: []string{"seq", "since", "n", "follow"}, Stream: true},
	{Op: "watch", Help: "workflows, runs and agents as they are, n finished runs among them, then each that changes",
		Role: roleViewer, Scoped: true, Fields: []string{"n"}, Stream: true},
	{Op: "stop", Help: "end the stream that the request with the id `of`, on this connection, has begun; it still " +
		"gets its last reply", Role: roleAny, Fields: []string{"of*"}},
	{Op: "stats", Help: "how a workflow has done: its newest 10000 runs, of 84 days", Role: roleViewer, Scoped: true,
		Fields: []string{"workflow*"}},
	{Op: "metrics", Help: "counters and gauges of what the principal does, as Prometheus reads them", Role: roleViewer},
	{Op: "attention", Help: "what needs a person: failed runs, approvals, files that do not load, lost agents",
		Role: roleViewer, Scoped: true, Fields: []string{"n", "after"}},
	{Op: "ack", Help: "acknowledge what attention lists; until has it come back then", Role: roleOperator,
		Fields: []string{"key*", "until"}},
	{Op: "alarm", Help: "run the command of the alarm with a test item; answers when it has ended", Role: roleOperator},
	{Op: "agents", Help: "agents and what they are doing", Role: roleViewer, Fields: []string{"n", "after"}},
	{Op: "pools", Help: "pools, who has their places and who waits for them, n of each", Role: roleViewer,
		Fields: []string{"pattern", "n", "after"}},
	{Op: "wait", Help: "answers when the run has ended; follow sends its tasks and output meanwhile", Role: roleViewer,
		Scoped: true, Fields: []string{"run*", "follow", "n", "all"}, Stream: true},
	{Op: "run", Help: "queue a run of a workflow; wait holds the reply until it has ended, follow sends its " +
		"progress; key makes a repeat harmless for 24 h", Role: roleTrigger,
		Fields: []string{"workflow*", "params", "key", "wait", "follow", "n", "all"}, Stream: true},
	{Op: "exec", Help: "queue a run of one command, task is its name; key makes a repeat harmless for 24 h",
		Role:   roleOperator,
		Fields: []string{"args", "task", "env", "directory", "timeout", "labels", "key"}},
	{Op: "backfill", Help: "make runs for the fires of a schedule from since until until that have none which " +
		"succeeded, at most n at once, as a batch; all: for each fire; state failed: for those whose run failed; " +
		"dry: only say what would be made", Role: roleTrigger, Stream: true,
		Fields: []string{"workflow*", "since", "until", "params", "n", "all", "state", "reverse", "dry"}},
	{Op: "record", Help: "keep a run that the asker has done itself, of a name that is no workflow's; force forgets " +
		"the name", Role: roleTrigger, Fields: []string{"workflow*", "record", "force"}},
	{Op: "batches", Help: "backfills, newest first, or one; with wait or follow until that is over", Role: roleViewer,
		Scoped: true, Fields: []string{"batch", "workflow", "n", "wait", "follow"}, Stream: true},
	{Op: "cancel", Help: "stop a run, or one task of it, or a batch with its runs; force kills at once",
		Role: roleOperator, Fields: []string{"run", "batch", "task", "force"}},
	{Op: "approve", Help: "say yes for a task of a run that waits for it, to whom it names, or whoever may operate; " +
		"task where several wait", Role: roleViewer, Scoped: true, Fields: []string{"run*", "task", "comment"}},
	{Op: "reject", Help: "say no", Role: roleViewer, Scoped: true, Fields: []string{"run*", "task", "comment"}},
	{Op: "retry", Help: "run again what failed and all behind it, from a task on too, or all of it; dry only says " +
		"what would run", Role: roleOperator, Fields: []string{"run*", "all", "from", "dry"}},
	{Op: "pause", Help: "stop the schedule of a workflow, or of all, until somebody resumes it, or a time; comment " +
		"says why", Role: roleOperator, Fields: []string{"workflow", "all", "until", "comment"}},
	{Op: "resume", Help: "start the schedule again", Role: roleOperator, Fields: []string{"workflow", "all"}},
	{Op: "drain", Help: "give an agent no more runs", Role: roleOperator, Fields: []string{"agent*"}},
	{Op: "undrain", Help: "give an agent runs again", Role: roleOperator, Fields: []string{"agent*"}},
	{Op: "forget", Help: "take an agent that is lost off the list", Role: roleOperator, Fields: []string{"agent*"}},
	{Op: "rescan", Help: "look at the workflows folder at once, and answer when what has changed is in force: for " +
		"file systems that tell of no changes", Role: roleOperator},
	{Op: "backup", Help: "save a snapshot, and make all before it durable, for the files to be copied; answers with " +
		"their folder", Role: roleOperator},
	{Op: "hello", Help: "begin as an agent", Role: roleAgent, Fields: []string{"agent*"}},
}

// Messages between an agent and the principal. hello begins them: it is an op of the request API too.
const (
	msgHello    = "hello"     // agent: name, labels, capacity, version, numbering, runs it holds
	msgWelcome  = "welcome"   // principal: its version, what it can, and N, the newest number it has
	msgAssign   = "assign"    // principal: take this run; Ahead: begin it as soon as there is a place for it
	msgCancel   = "cancel"    // principal: stop this run; Force: at once; Drop: and say nothing of it
	msgStopTask = "stop_task" // principal: stop this task of this lease of the run, no other; Force: at once
	// principal: how a task is to end that has asked for something; it may come again
	msgAnswer = "answer"
	// principal: one task of a run that another agent has; it is reported as a run with one task
	msgPart   = "part"
	msgReport = "report" // agent: spooled items, numbered from N on
	msgParcel = "parcel" // agent: a report whose items are the parcel's
	// principal: somebody follows this run: tell what its tasks have begun to write; Off: nobody does any more
	msgFollow = "follow"
	// agent: lines that have not ended, with number 0; it sends none before the principal has said follow
	msgLive      = "live"
	msgAck       = "ack"       // principal: everything up to N is safe
	msgDrain     = "drain"     // agent: give me no more runs
	msgHeartbeat = "heartbeat" // both ways
	// agent: all processes that live and that it could not end; what it said before is void
	msgLeft = "left"
	// principal: give back what was given ahead; agent: this run, which was given ahead, has not begun and will not
	msgRecall = "recall"
	msgReturn = "return"
	// principal: why this agent may not come in; agent: why it does not take this run
	msgRefused = "refused"
)

// agentMsg is any message between an agent and the principal. Op says which, and the groups say which fields it has.
type agentMsg struct {
	V  int    `json:"v,omitempty"` // of hello and welcome: it holds for the connection
	Op string `json:"op" max:"256"`

	// hello: who says it. Version is of its program, as in a welcome; Epoch names its numbering, Last is the newest
	// number that it has given, and Holds lists the runs that it is at or has results of.
	Agent    string            `json:"agent,omitempty" max:"256"`
	Labels   map[string]string `json:"labels,omitempty"`
	Capacity int               `json:"capacity,omitempty"`
	Version  string            `json:"version,omitempty"`
	Epoch    string            `json:"epoch,omitempty" max:"256"`
	Last     uint64            `json:"last,omitempty"`
	Holds    []heldRun         `json:"holds,omitempty"`

	// hello: the keys of a workflow that the agent knows. hello and welcome: the messages that the sender takes besides
	// the first ones. See proto_spec.go.
	Knows []string `json:"knows,omitempty"`
	Can   []string `json:"can,omitempty"`

	// In a cancel how often it was asked for, once where it is not said: the second time ends handlers too. Else a
	// number of the agent's: in a hello the newest that was acknowledged, in a welcome the newest that the principal
	// has, in a report or a parcel that of the first item, in an ack the newest that is safe. Skip, in a report or a
	// parcel: so many numbers before N there are none of.
	N     uint64      `json:"n,omitempty"`
	Skip  uint64      `json:"skip,omitempty"`
	Items []agentItem `json:"items,omitempty"` // report and live

	Parcel *parcel `json:"parcel,omitempty"` // parcel

	// assign and part: everything about the run.
	Assign *assignment `json:"assign,omitempty"`

	// cancel, stop_task, answer, follow, return, and refused of an agent: which run, which assignment of it, and which
	// task. Force ends it with KILL at once; Drop, of cancel: nobody wants to hear of it; Off, of follow: nobody
	// follows it any more.
	Run   string `json:"run,omitempty" max:"256"`
	Lease int    `json:"lease,omitempty"`
	Task  string `json:"task,omitempty" max:"256"`
	Force bool   `json:"force,omitempty"`
	Drop  bool   `json:"drop,omitempty"`
	Off   bool   `json:"off,omitempty"`

	// answer: to which attempt of the task, and how the task is to end.
	Attempt int         `json:"attempt,omitempty"`
	Answer  *TaskAnswer `json:"answer,omitempty"`

	// cancel, stop_task, return and refused: why. Error, of the principal's refused: the same for programs. Unknown, of
	// an agent's: the keys of the workflow that it does not know.
	Reason  string      `json:"reason,omitempty"`
	Error   *protoError `json:"error,omitempty"`
	Unknown []string    `json:"unknown,omitempty"`

	// An agent's heartbeat: its answer may come with that of the next one, and comes before a run. N of an answer: so
	// many heartbeats are answered, 1 where it is not said.
	Later bool `json:"later,omitempty"`

	// welcome, and some of an agent's heartbeats: the sender's clock. Load, of such a heartbeat: how busy its machine
	// is, nil when it does not know.
	Clock Stamp    `json:"clock,omitzero"`
	Load  *float64 `json:"load,omitempty"`

	// welcome: after so many seconds of silence the principal gives an agent's runs up. An agent that has runs says
	// within a third of that that it is there, and ends what others may run after two thirds.
	LostAfter int `json:"lost_after,omitempty"`

	// hello and left: processes that live and that the agent could not end.
	Left []heldLeft `json:"left,omitempty"`
}

// heldLeft is what an attempt of a task has left at an agent: processes that it could not end.
type heldLeft struct {
	Run       string        `json:"run"`
	Lease     int           `json:"lease"`
	Processes []LeftProcess `json:"processes"`
}

// heldRun names a run, by its lease, that an agent is at or has results of.
type heldRun struct {
	Run   string `json:"run"`
	Lease int    `json:"lease"`
}

// assignment is everything that an agent needs for a run.
type assignment struct {
	Run       string            `json:"run"`
	Lease     int               `json:"lease"`
	Attempt   int               `json:"attempt"`
	Trigger   string            `json:"trigger"`
	Scheduled Stamp             `json:"scheduled,omitzero"`
	Event     *RunEvent         `json:"event,omitempty"` // that fired the run
	Params    map[string]string `json:"params,omitempty"`
	Spec      *Workflow         `json:"spec"`
	Done      []TaskRun         `json:"done,omitempty"`  // tasks that have ended, and are not to run again
	Spent     []TaskRun         `json:"spent,omitempty"` // tasks that go on behind their `if`, after so many Attempts
	Lines     int64             `json:"lines,omitempty"` // how many lines of output there are already
	Ahead     bool              `json:"ahead,omitempty"` // the agent may have no place for it yet

	// Its graph is over: nothing is to run but those of its handlers that Done has no task of. Done has all others.
	End *assignedEnd `json:"end,omitempty"`

	// part: of which run and task it is. Run names the part, and Lines counts those of the task.
	Part *assignedPart `json:"part,omitempty"`

	unknown    []string    // keys of the workflow, as it came, that this program does not know
	unreadable error       // why the workflow could not be read
	specs      *protoSpecs // where the workflow may be found by its text
}

// agentItem is one thing that an agent reports: an event, or lines of output of one run.
type agentItem struct {
	Event *Event    `json:"event,omitempty"`
	Lines []LogLine `json:"lines,omitempty"`
	Lease int       `json:"lease,omitempty"` // of the run, with lines; an event has its own

	blocks []LogBlock // in place of lines, where the principal has read them so
}

// protoEncode writes a message. It cannot fail: every type that is sent marshals.
func protoEncode(v any) []byte {
	b, err := jsonText(v)
	if err != nil {
		panic("cdktr: internal error: encode message: " + err.Error())
	}
	return b
}

// protoSplit parts a message into its envelope and its one body frame. The envelope is the empty delimiter that REQ
// adds, and whatever stands before it; a reply must carry it in front.
func protoSplit(frames [][]byte) (envelope [][]byte, body []byte, err error) {
	for i, f := range frames {
		if len(f) == 0 && i < len(frames)-1 {
			envelope, frames = frames[:i+1], frames[i+1:]
			break
		}
	}
	if len(frames) != 1 {
		return envelope, nil, refuse(codeInvalid, "a message has one body frame, this one has %d", len(frames))
	}
	return envelope, frames[0], nil
}

// protoDecode reads a JSON body into v, a pointer to a struct. A field that is not known is an error: a misspelt one
// would have no effect without a word. A text longer than its tag max allows is an error too.
func protoDecode(body []byte, v any) error {
	if len(body) == 0 || body[0] != '{' {
		return refuse(codeInvalid, "want a JSON object, as {\"v\":1,\"id\":\"1\",\"op\":\"ping\"}")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refuse(codeInvalid, "read request: %s", textHead(err.Error(), protoMaxName))
	}
	end := d.InputOffset()
	if len(bytes.TrimLeft(body[end:], " \t\r\n")) > 0 {
		return refuse(codeInvalid, "read request: there is more behind the JSON object, at byte %d", end)
	}
	return protoBounds(v)
}

// protoPeer reads a message between an agent and the principal. It passes over fields that it does not know: the peer
// may be newer. What an agent must not pass over it finds in the assignment, see assignment.unfit.
func protoPeer(body []byte, m *agentMsg) error {
	if err := json.Unmarshal(body, m); err != nil {
		if m.V > protoVersion {
			return refuse(codeInvalid, "%s", m.stranger())
		}
		return refuse(codeInvalid, "read message: %s", textHead(err.Error(), protoMaxName))
	}
	return protoBounds(m)
}

// protoRequest reads a client's request. A field that is there twice is an error: nobody knows which of the two was
// meant, and a parser before ours may have looked at the other one. A text that the decoder has changed is an error
// too, see protoText.
func protoRequest(body []byte, req *Request) error {
	if err := protoDecode(body, req); err != nil {
		return err
	}
	if protoPlain(body) {
		return nil
	}
	if key, twice := protoTwice(json.NewDecoder(bytes.NewReader(body))); twice {
		return refuse(codeInvalid, "field %q is there twice", textHead(key, protoMaxName))
	}
	return protoText(body)
}

// protoTwice looks through a sound JSON value for an object that has a key twice. In the outermost object Op and op are
// the same key, as they are for the decoder.
func protoTwice(d *json.Decoder) (key string, twice bool) {
	var keys []map[string]bool // of each object that is open; nil for a list
	var isKey []bool           // whether what comes next in each of them is a key
	for {
		token, err := d.Token()
		if err != nil {
			return "", false // the end
		}
		top := len(keys) - 1
		if name, ok := token.(string); ok && top >= 0 && isKey[top] {
			same := name
			if top == 0 {
				same = strings.Map(protoFold, name)
			}
			if keys[top][same] {
				return name, true
			}
			keys[top][same], isKey[top] = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			keys, isKey = append(keys, map[string]bool{}), append(isKey, true)
			continue
		case json.Delim('['):
			keys, isKey = append(keys, nil), append(isKey, false)
			continue
		case json.Delim('}'), json.Delim(']'):
			keys, isKey = keys[:top], isKey[:top]
			top--
		}
		if top >= 0 {
			isKey[top] = keys[top] != nil // behind a value
		}
	}
}

// protoFold gives one letter for all that are the same to the decoder when it looks for a field (unicode.SimpleFold).
func protoFold(r rune) rune {
	for {
		other := unicode.SimpleFold(r)
		if other <= r {
			return other
		}
		r = other
	}
}

// protoBounds refuses a message with a text that is longer than the tag max of its field allows. v points to a struct.
func protoBounds(v any) error {
	fields := reflect.ValueOf(v).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		bound, ok := field.Tag.Lookup("max")
		if !ok {
			continue
		}
		most, err := strconv.Atoi(bound)
		if err != nil {
			panic("cdktr: internal error: bound of field " + field.Name + ": " + err.Error())
		}
		if n := fields.Field(i).Len(); n > most {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			fault := fmt.Sprintf("has %d bytes: it may have %d", n, most)
			e := refuse(codeInvalid, "field %q %s", name, fault)
			e.field, e.fault = name, fault
			return e
		}
	}
	return nil
}
