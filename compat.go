// compat.go: the dialect of CDKTR, the Rust system whose clients and agents are still about (its main branch of March
// 2026). A request whose body begins with a letter is in it: words joined by the byte 1, answered in the same way, on
// the same connection as everything else. Its agents are served in compat_agent.go, its log records in compat_log.go.
//
// What its clients see of us: a run's id stands where they expect a workflow instance id, TASK.ATTEMPT where they
// expect a task instance id. A cancelled run is FAILED to them, one that no agent has begun is PENDING. Of agents they
// see all, of workflows those that load; a shell line looks like !Subprocess /bin/sh -c LINE, and start_time is given
// in UTC.

package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	compatSplit    = "\x01"
	compatMaxReply = 1000 << 10 // bytes of a reply: a frame has a limit of 1 MiB
	compatMaxEcho  = 256        // bytes of what was wrong that an error repeats
	compatStatuses = 10         // rows of GETRECENTSTATUSES
	compatMaxWords = 64         // words that a request is split into: none needs more than six
)

// Status words. CDKTR knows no others.
const (
	compatPending   = "PENDING"
	compatRunning   = "RUNNING"
	compatWaiting   = "WAITING"
	compatCompleted = "COMPLETED"
	compatFailed    = "FAILED"
	compatCrashed   = "CRASHED"
)

// compat serves CDKTR's clients and agents. It belongs to the principal's loop, but for serve and pushed. What it knows
// of agents beside the principal's state is lost with the process.
type compat struct {
	p *principal

	heard   map[string]time.Time // agents that are up
	given   []compatGiven        // runs that were fetched and not heard of, oldest first
	byAgent map[compatKey]*compatInstance
	byFlow  map[compatKey]*compatInstance
	byRun   map[string]*compatInstance // the newest of each run
	order   []*compatInstance          // oldest first
	queries int                        // searches under way
}

// compatNew is the dialect of a principal that has heard of no agent yet (principalConfig.dialect).
func compatNew(p *principal) dialect {
	return &compat{p: p, heard: map[string]time.Time{}, byAgent: map[compatKey]*compatInstance{},
		byFlow: map[compatKey]*compatInstance{}, byRun: map[string]*compatInstance{}}
}

// compatCall is one request in the dialect: args are the words behind the first.
type compatCall struct {
	*opCall
	args []string
}

// compatArg is a word that a request must have.
type compatArg struct {
	missing string                   // the complaint when the request ends before it
	wrong   func(word string) string // the complaint about the word itself, "" for none; nil takes any
}

// compatOp is one request of the dialect. More words than its args may follow, and are mostly ignored.
type compatOp struct {
	word string // the first of the request
	as   string // the op of protoOps that it is like: whoever may ask that may ask this
	args []compatArg
	do   func(*compat, *compatCall) // on the loop
}

// compatOps is the dialect.
var compatOps = []compatOp{
	{word: "PING", as: "ping", do: func(_ *compat, c *compatCall) { c.answer("PONG") }},
	{word: "LSWORKFLOWS", as: "ls", do: (*compat).list},
	{word: "RUNTASK", as: "run", args: []compatArg{{missing: "Request is missing task_id"}},
		do: (*compat).runTask},
	{word: "REGISTERAGENT", as: "hello", args: []compatArg{{missing: "Missing arg AGENT_ID"}},
		do: (*compat).register},
	{word: "FETCHWORKFLOW", as: "hello", args: []compatArg{{missing: "Missing agent id"}},
		do: (*compat).fetch},
	{word: "AGENTWORKFLOWSTATUS", as: "hello", args: []compatArg{{missing: "Missing arg AGENT_ID"},
		{missing: "Missing arg TASK_ID"}, {missing: "Missing arg TASK_EXECUTION_ID"},
		{"Missing arg TASK_STATUS", compatStatusWrong}}, do: (*compat).runStatus},
	{word: "AGENTTASKSTATUS", as: "hello", args: []compatArg{{missing: "Missing arg AGENT_ID"},
		{missing: "Missing arg TASK_ID"}, {missing: "Missing arg TASK_EXECUTION_ID"},
		{missing: "Missing arg WORKFLOW_INSTANCE_ID"}, {"Missing arg TASK_STATUS", compatStatusWrong}},
		do: (*compat).taskStatus},
	{word: "QUERYLOGS", as: "logs", args: []compatArg{{"Missing END_TIMESTAMP", compatTimeWrong},
		{"Missing START_TIMESTAMP parameter", compatTimeWrong},
		{missing: "Missing WORKFLOW_ID parameter"}, {missing: "Missing WORKFLOW_INSTANCE_ID parameter"}},
		do: (*compat).query},
	{word: "GETRECENTSTATUSES", as: "ps", do: (*compat).recent},
	{word: "GETREGISTEREDAGENTS", as: "agents", do: (*compat).agents},
}

// compatOpOf gives the request that begins with a word, nil when there is none.
func compatOpOf(word string) *compatOp {
	for i := range compatOps {
		if compatOps[i].word == word {
			return &compatOps[i]
		}
	}
	return nil
}

// compatRequest reads a request: its body frames, without the envelope. It gives the op, or a refusal when op is nil.
// ours is false when the body is not in the dialect: it does not begin with a letter.
func compatRequest(body [][]byte) (op *compatOp, args []string, refusal string, ours bool) {
	if len(body) == 0 || len(body[0]) == 0 {
		return nil, nil, "", false
	}
	if first := body[0][0] | 0x20; first < 'a' || first > 'z' {
		return nil, nil, "", false
	}
	text := string(body[0])
	switch { // CDKTR reads its own complaint as the request, and so do we
	case len(body) > 1:
		text = "Message must have only 1 frame to convert to String"
	case !utf8.ValidString(text):
		text = "Could not parse string from message"
	}
	words := strings.SplitN(text, compatSplit, compatMaxWords)
	found := compatOpOf(words[0])
	if found == nil {
		return nil, nil, compatParseError("Unrecognised message type: " + compatEcho(words[0])), true
	}
	for i, arg := range found.args {
		if i+1 >= len(words) {
			return nil, nil, compatParseError(arg.missing), true
		}
		if n := len(words[i+1]); n > protoMaxName {
			return nil, nil, compatParseError(fmt.Sprintf("word %d has %d bytes: it may have %d", i+1, n,
				protoMaxName)), true
		}
		if err := textFault(words[i+1]); err != nil {
			return nil, nil, compatParseError(fmt.Sprintf("word %d %v", i+1, err)), true
		}
		if arg.wrong != nil {
			if complaint := arg.wrong(words[i+1]); complaint != "" {
				return nil, nil, compatParseError(complaint), true
			}
		}
	}
	return found, words[1:], "", true
}

// serve answers a request in the dialect; false when it is in another. The goroutine of the connection calls it. A
// principal that stops does not answer: CDKTR's agents try again after silence, and exit after an error.
func (d *compat) serve(c *opCall, body [][]byte) bool {
	op, args, refusal, ours := compatRequest(body)
	if !ours {
		return false
	}
	call := &compatCall{opCall: c, args: args}
	switch {
	case !compatTrusts(c.conn.Peer()):
		call.answer("CLIENTERROR" + compatSplit + "this dialect is for peers without a key")
		return true
	case op == nil:
		call.answer(refusal)
		return true
	}
	if !d.p.call(func() { op.do(d, call) }) {
		c.conn.Close()
	}
	return true
}

// compatTrusts says whether a peer may speak the dialect, and do all that it can: it came by the box's own socket, or
// --insecure lets everybody in. Other peers have keys and roles, which the dialect does not know.
func compatTrusts(peer wirePeer) bool { return peer.Key == "" }

// answer sends the reply. A peer that does not take its replies is cut off. Any goroutine may call it.
func (c *compatCall) answer(body string) {
	if !c.conn.TrySend(append(c.envelope[:len(c.envelope):len(c.envelope)], []byte(body))...) {
		c.conn.Cut(nil)
	}
}

// refuse answers with one of our refusals, in CDKTR's form.
func (c *compatCall) refuse(err *protoError) {
	switch err.Code {
	case codeInvalid, codeNotFound, codeConflict, codeNotAllowed:
		c.answer("CLIENTERROR" + compatSplit + err.Message)
	default:
		c.answer("SERVERERROR" + compatSplit + err.Message)
	}
}

// success answers with a payload, if a frame can hold it.
func (c *compatCall) success(payload string) {
	if len(payload) > compatMaxReply {
		c.answer(fmt.Sprintf("SERVERERROR%sthe reply would take %d bytes, and a frame takes %d: ask for less, or "+
			"with the newer requests, which answer in pages",
			compatSplit, len(payload), compatMaxReply))
		return
	}
	c.answer("SUCCESS" + compatSplit + payload)
}

// compatParseError is the reply to a request that cannot be read.
func compatParseError(text string) string { return "CLIENTERROR" + compatSplit + "ParseError: " + text }

// compatEcho shortens what an error repeats of a request.
func compatEcho(text string) string {
	if len(text) <= compatMaxEcho {
		return text
	}
	return strings.ToValidUTF8(text[:compatMaxEcho], "")
}

func compatStatusWrong(word string) string {
	switch word {
	case compatPending, compatRunning, compatWaiting, compatCompleted, compatFailed, compatCrashed:
		return ""
	}
	return "Unrecognised task status: " + compatEcho(word)
}

// compatTimeWrong complains of a word that is neither empty nor milliseconds. CDKTR writes end for the start too.
func compatTimeWrong(word string) string {
	_, err := compatMillis(word)
	if word != "" && err != nil {
		return "Not a valid end timestamp"
	}
	return ""
}

// compatMillis reads a time in milliseconds; a sign is allowed where Rust allows it.
func compatMillis(word string) (uint64, error) {
	return strconv.ParseUint(strings.TrimPrefix(word, "+"), 10, 64)
}

// compatJSON writes v as serde_json does: no space, and no escapes for HTML. Every type given to it marshals.
func compatJSON(v any) string { return string(protoEncode(v)) }

// runTask answers RUNTASK: it queues a run.
func (d *compat) runTask(c *compatCall) {
	id := c.args[0]
	if d.p.catalog.files[id] == nil {
		c.answer("CLIENTERROR" + compatSplit + "No workflow exists with id " + compatEcho(id))
		return
	}
	if _, refused := d.p.trigger(c.grant, Request{Workflow: id}, c.by, c.from); refused != nil {
		c.refuse(refused)
		return
	}
	d.p.whenDurable(func() { c.answer("OK") })
}

// compatStatus is a row of GETRECENTSTATUSES.
type compatStatus struct {
	Workflow string `json:"workflow_id"`
	Instance string `json:"workflow_instance_id"`
	Status   string `json:"status"`
	Time     int64  `json:"timestamp_ms"`
}

// compatStatusOf gives the status of a run in CDKTR's words, and since when it has it.
func compatStatusOf(r *Run) compatStatus {
	s := compatStatus{Workflow: r.Workflow, Instance: r.ID, Status: compatPending, Time: r.Queued.UnixMilli()}
	switch r.State {
	case runRunning:
		if !r.Started.IsZero() {
			s.Status, s.Time = compatRunning, r.Started.UnixMilli()
		}
	case runSucceeded, runSkipped:
		s.Status = compatCompleted
	case runFailed, runCancelled:
		s.Status = compatFailed
	case runCrashed:
		s.Status = compatCrashed
	}
	if !runActive(r.State) {
		s.Time = r.Finished.UnixMilli()
	}
	return s
}

// newer says whether a status stands in front of another.
func (s compatStatus) newer(other compatStatus) bool {
	if s.Time != other.Time {
		return s.Time > other.Time
	}
	return s.Instance > other.Instance
}

// recent lists the newest status of each workflow, the newest in front.
func (d *compat) recent(c *compatCall) {
	newest := map[string]compatStatus{}
	for _, r := range d.p.state.Runs {
		s := compatStatusOf(r)
		old, ok := newest[s.Workflow]
		if !ok || s.newer(old) {
			newest[s.Workflow] = s
		}
	}
	rows := make([]compatStatus, 0, len(newest))
	for _, s := range newest {
		rows = append(rows, s)
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].newer(rows[j]) })
	c.success(compatJSON(rows[:min(len(rows), compatStatuses)]))
}

// compatAgentRow is a row of GETREGISTEREDAGENTS.
type compatAgentRow struct {
	Agent   string `json:"agent_id"`
	Ping    int64  `json:"last_ping_timestamp"` // microseconds
	Running int    `json:"running_tasks"`       // workflows
}

// agents lists all agents, CDKTR's and ours.
func (d *compat) agents(c *compatCall) {
	rows := []compatAgentRow{}
	for _, name := range sortedKeys(d.p.state.Agents) {
		seen := d.p.state.Agents[name].Seen.Time
		if link := d.p.fleet.links[name]; link != nil {
			seen = link.heard
		}
		row := compatAgentRow{Agent: name}
		row.Running, _ = d.p.fleet.runsAt(name)
		if !seen.IsZero() {
			row.Ping = seen.UnixMicro()
		}
		rows = append(rows, row)
	}
	c.success(compatJSON(rows))
}

// compatWorkflow is a workflow as CDKTR writes it. The order of the fields is its order.
type compatWorkflow struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description *string   `json:"description"`
	Path        string    `json:"path"`
	DAG         compatDAG `json:"dag"`
	Cron        *string   `json:"cron"`
	StartTime   *string   `json:"start_time"`
}

// compatDAG is its graph, as the crates daggy and petgraph write one.
type compatDAG struct {
	Name  string                `json:"name"`
	Index map[string]int        `json:"task_id_node_ix_map"`
	Tasks map[string]compatTask `json:"task_map"`
	Inner struct {
		Nodes     []string `json:"nodes"`
		NodeHoles []int    `json:"node_holes"`
		Property  string   `json:"edge_property"`
		Edges     [][3]int `json:"edges"` // parent, child, 0
	} `json:"inner"`
	First []string `json:"first_tasks"`
}

// compatTask is one task.
type compatTask struct {
	Name        string       `json:"name"`
	Description *string      `json:"description"`
	Depends     []string     `json:"depends"`
	Config      compatConfig `json:"config"`
}

// compatConfig says what a task does: one of the two.
type compatConfig struct {
	Subprocess *compatSubprocess `json:"Subprocess,omitempty"`
	UvPython   *compatUvPython   `json:"UvPython,omitempty"`
}

// compatSubprocess is a program and its arguments.
type compatSubprocess struct {
	Cmd  string   `json:"cmd"`
	Args []string `json:"args"`
}

// compatUvPython is a script that uv runs.
type compatUvPython struct {
	Script    string   `json:"script_path"`
	Project   *bool    `json:"is_uv_project"`
	Packages  []string `json:"packages"`
	UV        *string  `json:"uv_path"`
	Directory *string  `json:"working_directory"`
}

// list lists the workflows that load, by id. They may be thousands: a goroutine of its own writes them.
func (d *compat) list(c *compatCall) {
	files := make([]*workflowFile, 0, len(d.p.catalog.files))
	for _, f := range d.p.catalog.files {
		if f.Spec != nil {
			files = append(files, f)
		}
	}
	if refused := c.beginLook(); refused != nil {
		c.refuse(refused)
		return
	}
	d.p.workers.Go(func() {
		defer c.endLook()
		if !d.p.looks.waitSlot(c.opCall, d.p.looks.asking) {
			return
		}
		all := make(map[string]compatWorkflow, len(files))
		for _, f := range files {
			all[f.ID] = compatWorkflowOf(f.Spec, f.File, nil)
		}
		c.success(compatJSON(all))
	})
}

// compatWorkflowOf puts a workflow into CDKTR's form, without the tasks that are done.
func compatWorkflowOf(w *Workflow, file string, done map[string]bool) compatWorkflow {
	name := orDefault(w.Name, w.ID)
	out := compatWorkflow{ID: w.ID, Name: name, Description: compatOption(w.Description), Path: file,
		Cron: compatOption(strings.Join(w.Schedule, "; "))}
	if !w.StartTime.IsZero() {
		out.StartTime = compatOption(compatTime(w.StartTime.Time))
	}
	dag := compatDAG{Name: name, Index: map[string]int{}, Tasks: map[string]compatTask{}, First: []string{}}
	dag.Inner.Nodes, dag.Inner.NodeHoles, dag.Inner.Property, dag.Inner.Edges = []string{}, []int{}, "directed",
		[][3]int{}
	for i := range w.Tasks {
		if id := w.Tasks[i].ID; !done[id] {
			dag.Index[id] = len(dag.Inner.Nodes)
			dag.Inner.Nodes = append(dag.Inner.Nodes, id)
		}
	}
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if done[t.ID] {
			continue
		}
		task := compatTask{Name: orDefault(t.Name, t.ID), Description: compatOption(t.Description),
			Config: compatConfigOf(w, t)}
		for _, before := range t.Depends {
			if at, ok := dag.Index[before]; ok {
				task.Depends = append(task.Depends, before)
				dag.Inner.Edges = append(dag.Inner.Edges, [3]int{at, dag.Index[t.ID], 0})
			}
		}
		if task.Depends == nil {
			dag.First = append(dag.First, t.ID)
		}
		dag.Tasks[t.ID] = task
	}
	out.DAG = dag
	return out
}

// compatConfigOf says what a task does in CDKTR's form.
func compatConfigOf(w *Workflow, t *Task) compatConfig {
	plain := func(text string) string {
		text, _ = compatPlain(text)
		return text
	}
	switch {
	case t.Run != "":
		shell := w.shellOf(t)
		return compatConfig{Subprocess: &compatSubprocess{Cmd: shell[0],
			Args: append(shell[1:len(shell):len(shell)], t.Run)}}
	case t.Python != nil:
		py := &compatUvPython{Script: plain(t.Python.Script), UV: compatOption(t.Python.UV),
			Directory: compatOption(plain(t.Python.WorkingDirectory))}
		for _, name := range t.Python.Packages {
			py.Packages = append(py.Packages, plain(name))
		}
		if t.Python.Project {
			py.Project = &t.Python.Project
		}
		return compatConfig{UvPython: py}
	}
	if t.HTTP != nil {
		return compatConfig{Subprocess: &compatSubprocess{Cmd: "curl", Args: []string{plain(t.HTTP.URL)}}}
	}
	sub := &compatSubprocess{Cmd: plain(t.Cmd), Args: []string{}}
	for _, arg := range t.Args {
		sub.Args = append(sub.Args, plain(arg))
	}
	return compatConfig{Subprocess: sub}
}

// compatPlain gives a text as a program would get it, and whether it refers to something. Then plain is not what the
// program would get.
func compatPlain(text string) (plain string, refers bool) {
	plain, err := workflowExpand(text, func(ref string) (string, bool) {
		refers = true
		return "${" + ref + "}", true
	})
	if err != nil {
		return text, true
	}
	return plain, refers
}

// compatOption gives null for an empty text.
func compatOption(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
