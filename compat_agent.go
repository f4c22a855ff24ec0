// compat_agent.go: CDKTR's agents. Such an agent asks for a run each half second (FETCHWORKFLOW), reports on it by ids
// that it makes up itself (AGENTWORKFLOWSTATUS, AGENTTASKSTATUS), and lives for as long as it is heard of
// (REGISTERAGENT, each 5 s; every other request of it counts too). It has no connection of its own and no capacity, and
// cannot be told anything. Its runs have the events and leases of our own agents' runs. All of it runs on the loop.
//
// It is given only runs of workflows that it can do as they are meant: see compatUnfit. It owns a run once it has
// fetched it. A run of which it says nothing for 30 s goes back to the queue: it begins no task before it has told us.
// All runs of an agent that was silent for 30 s are given up: they run again or have crashed, as the workflow's
// failover says. An agent that comes back with such a run gets it back. What it says of a run that is no longer its own
// is void; it is answered OK all the same, because it could do nothing with another answer.
//
// Three things it cannot tell us. If it is started again within 30 s under its old id, it looks as if it had never been
// away, and its runs stay as they are. A run of it that is cancelled ends for us, and goes on at the agent. And after a
// restart of the principal it is not known which of several runs of one workflow on one agent is meant: the oldest is
// taken.

package main

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	compatEpoch        = "cdktr"          // the epoch of its agents, which have none
	compatBuild        = "CDKTR"          // the version that is shown of them; they do not tell theirs
	compatLostAfter    = 30 * time.Second // silence after which an agent is lost, or a run that was fetched is given up
	compatMaxAgents    = 1000             // agents that are known; when there are as many no more of these may come
	compatMaxName      = 255              // bytes of an agent's id
	compatMaxInstances = 2000             // instance ids that are remembered; the oldest that are over go first
	compatMaxWord      = 255              // bytes of an instance id
)

// compatGiven is a run that was fetched.
type compatGiven struct {
	run   string
	lease int
	agent string
	at    time.Time
}

// compatKey names an instance: by agent, or by workflow as log records do, and its own id.
type compatKey struct{ owner, id string }

// compatInstance is a run as its agent knows it.
type compatInstance struct {
	id, agent     string
	run, workflow string
	lease         int
	lines         int64             // lines stored that came by this instance
	tasks         map[string]string // its ids of task instances, and the tasks that they are of
}

// compatUnfit says why a workflow cannot be given to an agent of CDKTR, "" when it can. It does not look at tasks that
// are done. CDKTR starts a task as soon as one of those that it depends on has ended, so a task may depend on one at
// most. A shell line is sent as /bin/sh -c LINE. No text may name what our agents hand to a task (CDKTR_OUTPUT and the
// like). What a script looks for in its environment cannot be seen here: a workflow with such a script asks for a label
// of ours.
func compatUnfit(w *Workflow, done map[string]bool) string {
	if key := compatBeyond(*w, compatDoesWorkflow); key != "" {
		return key
	}
	left := 0
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if done[t.ID] {
			continue
		}
		left++
		if reason := compatUnfitTask(t, done); reason != "" {
			return "task " + t.ID + ": " + reason
		}
	}
	if left == 0 {
		return "no tasks" // CDKTR's agent never ends such a run
	}
	return ""
}

// The keys of a workflow and of a task, as their JSON has them, that CDKTR's agents do, or that the principal does for
// them. Whoever adds a key has it done by our agents alone until it stands here.
var (
	compatDoesWorkflow = []string{"id", "name", "description", "schedule", "timezone", "start_time", "end_time",
		"catchup", "catchup_window", "overlap", "jitter", "priority", "retries", "failover", "log_max_size", "log_keep",
		"tasks"}
	compatDoesTask = []string{"id", "name", "description", "depends", "run", "cmd", "args", "python"}
)

// compatBeyond names the first field of a struct, by its key in JSON, that has a value and is not among does.
func compatBeyond(of any, does []string) string {
	v := reflect.ValueOf(of)
	for i := range v.NumField() {
		if key := protoJSONName(v.Type().Field(i)); !v.Field(i).IsZero() && !slices.Contains(does, key) {
			return key
		}
	}
	return ""
}

// compatUnfitTask says what CDKTR cannot do of a task, "" when it can do all.
func compatUnfitTask(t *Task, done map[string]bool) string {
	waits := 0
	for _, before := range t.Depends {
		if !done[before] {
			waits++
		}
	}
	if waits > 1 {
		return "more than one in depends"
	}
	rest := *t
	if rest.When == whenSuccess {
		rest.When = ""
	}
	if key := compatBeyond(rest, compatDoesTask); key != "" {
		return key
	}
	if len(t.Run) > scriptMax {
		return fmt.Sprintf("run of more than %d bytes", scriptMax)
	}
	if t.Python != nil && len(t.Python.Args) > 0 {
		return "args of python"
	}
	texts := append([]string{t.Cmd}, t.Args...)
	if t.Python != nil {
		texts = append(append(texts, t.Python.Script, t.Python.WorkingDirectory), t.Python.Packages...)
	}
	for _, text := range texts {
		if _, refers := compatPlain(text); refers {
			return "a reference ${…}"
		}
	}
	for _, text := range append(texts, t.Run) {
		if strings.Contains(text, "CDKTR_") {
			return "CDKTR_… of our agents"
		}
	}
	return ""
}

// hear notes that an agent is alive, and takes it in if it is new. It gives the reply to an agent that may not come in,
// "" for all others.
func (d *compat) hear(name string) (refusal string) {
	a := d.p.state.Agents[name]
	busy := a != nil && !d.speaks(a) && d.p.fleet.running[name] > 0 // one of our agents, which is away
	switch {
	case name == "":
		return compatParseError("Missing arg AGENT_ID")
	case len(name) > compatMaxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return compatParseError(fmt.Sprintf("an AGENT_ID is text of up to %d bytes", compatMaxName))
	case busy || d.p.fleet.links[name] != nil:
		return "CLIENTERROR" + compatSplit + "there is another agent named " + name +
			": start this one with another --suffix"
	case a == nil && len(d.p.state.Agents) >= compatMaxAgents:
		return fmt.Sprintf("SERVERERROR%s%d agents are known already: forget some that are lost (cdktr forget AGENT)",
			compatSplit, len(d.p.state.Agents))
	}
	now := d.p.cfg.now()
	d.heard[name] = now
	delete(d.p.fleet.losing, name)
	if !d.speaks(a) || a.State == agentLost {
		d.p.emit(&Event{Kind: evAgentUp, Agent: name, Epoch: compatEpoch, Build: compatBuild})
	}
	d.p.state.Agents[name].Seen = stampOf(now)
	return ""
}

// answer answers when this turn's events are on disk, or at once when there are none: agents ask twice a second.
func (d *compat) answer(c *compatCall, reply string) {
	if len(d.p.batch) == 0 {
		c.answer(reply)
		return
	}
	d.p.whenDurable(func() { c.answer(reply) })
}

// register answers a heartbeat.
func (d *compat) register(c *compatCall) {
	if refusal := d.hear(c.args[0]); refusal != "" {
		c.answer(refusal)
		return
	}
	d.answer(c, "OK")
}

// fetch gives an agent the first run of the queue that it can do, or nothing.
func (d *compat) fetch(c *compatCall) {
	name := c.args[0]
	if refusal := d.hear(name); refusal != "" {
		c.answer(refusal)
		return
	}
	reply := "OK"
	if !d.p.state.Agents[name].Draining {
		r, text := d.pick()
		if r != nil && d.p.emit(&Event{Kind: evAssigned, Run: r.ID, Workflow: r.Workflow,
			Agent: name}) == nil {
			d.given = append(d.given, compatGiven{r.ID, r.Lease, name, d.p.cfg.now()})
			if d.p.output.lines[r.ID] == 0 && r.LogDay != "" {
				d.p.output.readLines(r)
			}
			reply = "SUCCESS" + compatSplit + text
		}
	}
	d.answer(c, reply)
}

// pick finds the first run of the queue that an agent of CDKTR can do, and its workflow in CDKTR's form.
func (d *compat) pick() (*Run, string) {
	for _, r := range d.p.queue.runs {
		spec := d.p.state.Versions[r.Version]
		done := map[string]bool{}
		for i := range r.Tasks {
			if r.Tasks[i].State == taskSucceeded {
				done[r.Tasks[i].Task] = true
			}
		}
		if spec == nil || compatUnfit(spec, done) != "" || d.p.fleet.mustWait(r, spec) != "" {
			continue
		}
		file := r.Workflow + ".yml"
		if f := d.p.catalog.files[r.Workflow]; f != nil {
			file = f.File
		}
		if text := compatJSON(compatWorkflowOf(spec, file, done)); len(text) <= compatMaxReply {
			return r, text
		}
	}
	return nil, ""
}

// holds says whether an agent still has a run, under this lease.
func (d *compat) holds(run, agent string, lease int) bool {
	r := d.p.state.Runs[run]
	return r != nil && r.Agent == agent && r.Lease == lease && (r.State == runRunning || r.State == runCrashed &&
		r.Lost)
}

// find gives the run that an agent means by an instance id, nil when that is none that it has now. An id that is new is
// bound to a run of that workflow, or, if no workflow is named, to one that has that task: to a run that was fetched
// and not heard of yet, or else to one that was running before the principal started.
func (d *compat) find(agent, id, workflow, task string, begins bool) *compatInstance {
	in := d.byAgent[compatKey{agent, id}]
	if in != nil && (workflow == "" || in.workflow == workflow) {
		if d.holds(in.run, in.agent, in.lease) {
			return in
		}
		if !begins {
			return nil // over: the id is not free for another run
		}
	}
	fits := func(r *Run) bool {
		return (workflow == "" || r.Workflow == workflow) && (task == "" || r.task(task) != nil)
	}
	for i, g := range d.given {
		if g.agent == agent && d.holds(g.run, agent, g.lease) && fits(d.p.state.Runs[g.run]) {
			d.given = slices.Delete(d.given, i, i+1)
			return d.bind(id, d.p.state.Runs[g.run])
		}
	}
	var loose []*Run
	for _, r := range d.p.state.Runs {
		if d.holds(r.ID, agent, r.Lease) && fits(r) && !d.bound(r) {
			loose = append(loose, r)
		}
	}
	if len(loose) == 0 || begins {
		return nil
	}
	sort.Slice(loose, func(i, j int) bool { return loose[i].ID < loose[j].ID })
	return d.bind(id, loose[0])
}

// bound says whether an instance id is known for a run under its present lease.
func (d *compat) bound(r *Run) bool {
	in := d.byRun[r.ID]
	return in != nil && in.lease == r.Lease
}

// bind ties an agent's instance id to a run.
func (d *compat) bind(id string, r *Run) *compatInstance {
	k := d
	in := &compatInstance{id: id, agent: r.Agent, run: r.ID, workflow: r.Workflow, lease: r.Lease,
		lines: d.p.output.lines[r.ID],
		tasks: map[string]string{}}
	k.byAgent[compatKey{in.agent, id}], k.byFlow[compatKey{in.workflow, id}], k.byRun[in.run] = in, in, in
	k.order = append(k.order, in)
	for i := 0; len(k.order) > compatMaxInstances && i < len(k.order); i++ {
		if old := k.order[i]; !d.holds(old.run, old.agent, old.lease) {
			compatForget(k.byAgent, compatKey{old.agent, old.id}, old)
			compatForget(k.byFlow, compatKey{old.workflow, old.id}, old)
			compatForget(k.byRun, old.run, old)
			k.order = slices.Delete(k.order, i, i+1)
			i--
		}
	}
	return in
}

// compatForget takes an instance off an index, unless another has taken its place there.
func compatForget[K comparable](index map[K]*compatInstance, key K, in *compatInstance) {
	if index[key] == in {
		delete(index, key)
	}
}

// runStatus takes in what an agent says of a run.
func (d *compat) runStatus(c *compatCall) {
	agent, workflow, id, status := c.args[0], c.args[1], c.args[2], c.args[3]
	if refusal := d.hear(agent); refusal != "" {
		c.answer(refusal)
		return
	}
	d.p.whenDurable(func() { c.answer("OK") })
	if status == compatPending || status == compatWaiting || !compatWord(id) {
		return
	}
	in := d.find(agent, id, workflow, "", status == compatRunning)
	if in == nil {
		d.p.note("agent spoke of a run that is not its own", c.conn.Peer(), "agent", agent, "workflow", workflow,
			"instance", id, "status", status)
		return
	}
	r := d.begin(in)
	if status == compatRunning {
		return
	}
	e := &Event{Kind: evRunFinished, State: runSucceeded}
	switch status {
	case compatCompleted: // its words about tasks may not have arrived: this implies them
		for i := range r.Tasks {
			if t := &r.Tasks[i]; taskActive(t.State) {
				d.taskReport(in, t.Task, compatCompleted)
			}
		}
	case compatFailed:
		e.State, e.Reason = runFailed, "its agent says that it failed"
		for i := range r.Tasks {
			if t := &r.Tasks[i]; t.State == taskFailed {
				e.Reason = "task " + t.Task + ": " + t.Reason
				break
			}
		}
	case compatCrashed:
		e.State, e.Reason = runCrashed, "its agent says that it crashed"
	}
	d.report(in, e)
}

// taskStatus takes in what an agent says of a task.
func (d *compat) taskStatus(c *compatCall) {
	agent, task, taskID, id, status := c.args[0], c.args[1], c.args[2], c.args[3], c.args[4]
	if refusal := d.hear(agent); refusal != "" {
		c.answer(refusal)
		return
	}
	d.p.whenDurable(func() { c.answer("OK") })
	if !compatWord(id) || !compatWord(taskID) {
		return
	}
	in := d.find(agent, id, "", task, false)
	if in == nil || d.p.state.Runs[in.run].task(task) == nil {
		d.p.note("agent spoke of a task that is not its own", c.conn.Peer(), "agent", agent, "task", task, "instance",
			id,
			"status", status)
		return
	}
	if len(in.tasks) < 4*len(d.p.state.Runs[in.run].Tasks) {
		in.tasks[taskID] = task
	}
	d.begin(in) // an agent waits for the answer to PENDING before it starts a task, so nothing begins unheard
	if status != compatPending && status != compatWaiting {
		d.taskReport(in, task, status)
	}
}

// compatWord says whether text may be an instance id.
func compatWord(text string) bool {
	return text != "" && len(text) <= compatMaxWord && utf8.ValidString(text)
}

// begin makes a run one that its agent can report on: it brings the run back if it was given up, and has it begin.
func (d *compat) begin(in *compatInstance) *Run {
	r := d.p.state.Runs[in.run]
	if r.Lost {
		d.p.emit(&Event{Kind: evAdopted, Run: r.ID, Workflow: r.Workflow, Agent: in.agent,
			Reason: "the agent came back with it"})
		d.p.output.lines[r.ID] = in.lines
		if in.lines == 0 && r.LogDay != "" {
			d.p.output.readLines(r)
		}
	}
	if r.Started.IsZero() {
		d.report(in, &Event{Kind: evRunStarted, Reason: "workflow instance " + in.id})
	}
	return r
}

// taskReport makes the events that bring a task of a run to a status. A task that has ended stays as it is: CDKTR may
// run one twice.
func (d *compat) taskReport(in *compatInstance, task, status string) {
	t := d.begin(in).task(task)
	if !taskActive(t.State) {
		return
	}
	if t.State == taskWaiting {
		d.report(in, &Event{Kind: evTaskStarted, Task: task, Attempt: 1})
	}
	e := &Event{Kind: evTaskFinished, Task: task, Attempt: 1,
		Seconds: float64(d.p.cfg.now().Sub(t.Started.Time).Milliseconds()) / 1000}
	switch status {
	case compatRunning:
		return
	case compatCompleted:
		e.State = taskSucceeded
	case compatFailed:
		e.State, e.Reason = taskFailed, "failed (CDKTR's agents do not say how)"
	case compatCrashed:
		e.State, e.Reason = taskCrashed, "crashed (CDKTR's agents do not say how)"
	}
	d.report(in, e)
}

// report applies an event of an agent as if one of our agents had sent it.
func (d *compat) report(in *compatInstance, e *Event) {
	e.Agent, e.Run, e.Lease = in.agent, in.run, in.lease
	d.p.fleet.takeEvent(&agentLink{name: in.agent}, e)
}

// speaks says whether an agent is one of CDKTR's.
func (d *compat) speaks(agent *Agent) bool { return agent != nil && agent.Epoch == compatEpoch }

// cancel ends a run of an agent of CDKTR's, which cannot be told of it. False when another agent has the run.
func (d *compat) cancel(r *Run, reason, by, from string) bool {
	if !d.speaks(d.p.state.Agents[r.Agent]) {
		return false
	}
	d.p.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runCancelled, By: by, From: from,
		Reason: reason + "; CDKTR's agent " + r.Agent + " cannot be told, its processes go on"})
	return true
}

// recovered gives an agent of CDKTR's that has runs its usual time to be heard of after the principal was started.
// False when it is another agent.
func (d *compat) recovered(name string) bool {
	if !d.speaks(d.p.state.Agents[name]) {
		return false
	}
	now := d.p.cfg.now()
	d.heard[name] = now
	for _, r := range d.p.fleet.runsOf(name) {
		if r.Started.IsZero() {
			d.given = append(d.given, compatGiven{r.ID, r.Lease, name, now})
		}
	}
	return true
}

// giveUp gives up agents that are silent for too long, with all their runs; and runs that were fetched and never heard
// of, because the reply may not have arrived.
func (d *compat) giveUp(now time.Time) {
	for _, name := range sortedKeys(d.heard) {
		if now.Sub(d.heard[name]) < compatLostAfter {
			continue
		}
		delete(d.heard, name)
		a := d.p.state.Agents[name]
		if !d.speaks(a) {
			continue // one of ours has its name now
		}
		if a.State != agentLost {
			d.p.emit(&Event{Kind: evAgentLost, Agent: name, Reason: fmt.Sprintf("silent for %s", compatLostAfter)})
		}
		for _, r := range d.p.fleet.runsOf(name) {
			d.p.fleet.giveUpRun(r, "agent "+name+" was lost", true)
		}
	}
	d.given = slices.DeleteFunc(d.given, func(g compatGiven) bool {
		holds := d.holds(g.run, g.agent, g.lease)
		if holds && now.Sub(g.at) >= compatLostAfter {
			d.p.fleet.giveUpRun(d.p.state.Runs[g.run], "agent "+g.agent+" fetched it and did not say that it began",
				true)
		}
		return !holds || now.Sub(g.at) >= compatLostAfter
	})
}

// present says whether an agent of CDKTR's is there: it is not known what that can take.
func (d *compat) present() bool {
	for _, a := range d.p.state.Agents {
		if d.speaks(a) && a.State != agentLost {
			return true
		}
	}
	return false
}

// until bounds how long the loop may sleep.
func (d *compat) until(now time.Time, wait time.Duration) time.Duration {
	for _, at := range d.heard {
		wait = min(wait, at.Add(compatLostAfter).Sub(now))
	}
	for _, g := range d.given {
		wait = min(wait, g.at.Add(compatLostAfter).Sub(now))
	}
	return wait
}
