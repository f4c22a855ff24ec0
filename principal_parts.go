// principal_parts.go: tasks that another agent does than the one of their run (model_part.go). A task that asks for an
// agent waits in a line, until one with its labels has a place; then it is a part of that agent, which counts among its
// runs. What the agent reports of the part is made an event of the run, and the end of the task is the answer to the
// agent of the run. What is to be done is made of the state alone, each time that something has changed it: so it goes
// on after a restart. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

// parts is the tasks that ask for an agent, and what agents have of them.
type parts struct {
	*fleet

	of    map[string]*partUse            // by the id of the part: what agents have
	tasks map[string]map[string]*partUse // run -> task -> the same, and those that wait
	line  []*partUse                     // who waits, in order
	due   map[string]bool                // runs that this turn is to look at
	specs map[partSpecOf]*partSpec
}

// partsSpecs bounds the workflows of parts that are remembered; with more it begins anew.
const partsSpecs = 1000

// partUse is a task that asks for an agent, or that one has.
type partUse struct {
	run  *Run
	task string
	at   int64 // when it asked, in milliseconds
	spec *partSpec

	id, agent string // of its part; "": it waits
	told      int    // what the agent has heard of its end since it was connected: one of the below
}

// How far an agent was told that a part is to end.
const (
	partUntold = iota
	partStopped
	partForced
)

// partSpecOf names a task of a version of a workflow.
type partSpecOf struct{ version, task string }

// partSpec is what an agent is given of a workflow for one task, and what it needs for that.
type partSpec struct {
	spec   *Workflow
	labels map[string]string
	uses   []string // keys that it must know
	asked  string   // labels and keys as a text: who asks for the same goes to the same agents
}

// partsNew makes it for a fleet of which no agent has a part yet.
func partsNew(f *fleet) *parts {
	return &parts{fleet: f, of: map[string]*partUse{}, tasks: map[string]map[string]*partUse{}, due: map[string]bool{},
		specs: map[partSpecOf]*partSpec{}}
}

// before is the order of the line: higher priority first, then who came first.
func (u *partUse) before(other *partUse) bool {
	switch {
	case u.run.Priority != other.run.Priority:
		return u.run.Priority > other.run.Priority
	case u.at != other.at:
		return u.at < other.at
	case u.run != other.run:
		return u.run.ID < other.run.ID
	}
	return u.task < other.task
}

// observe takes in what an event has changed for the tasks of a run that ask for an agent, or that one has.
func (p *parts) observe(c change) {
	p.forget(c.forgotten)
	switch e := c.event; {
	case c.run == nil:
	case e.Kind == evTaskAsked && e.Asks == askAgent, e.Kind == evAdopted,
		p.tasks[c.run.ID] != nil:
		p.recall(c.run)
		if len(e.Items) > 0 {
			p.forgetGone(c.run)
		}
	}
}

// recall compares the tasks of a run with what is known of them.
func (p *parts) recall(r *Run) {
	known := p.tasks[r.ID]
	for i := range r.Tasks {
		t := &r.Tasks[i]
		has := t.Part != nil && t.Part.Answer == nil
		waits := r.State == runRunning && t.asksAgent() && t.Part == nil
		u := known[t.Task]
		if u == nil && !has && !waits {
			continue
		}
		if u != nil && (has && u.id == t.Part.ID || waits && u.id == "") {
			continue
		}
		if u != nil {
			p.leave(u)
			delete(known, t.Task)
		}
		if !has && !waits {
			continue
		}
		u = &partUse{run: r, task: t.Task, at: t.Ask.sinceMillis(), spec: p.specOf(r, t)}
		if known == nil {
			known = map[string]*partUse{}
			p.tasks[r.ID] = known
		}
		known[t.Task] = u
		if has {
			u.id, u.agent = t.Part.ID, t.Part.Agent
			p.of[u.id] = u
			p.addRunning(u.agent, 1)
			p.followers.news.ofAgent(u.agent)
		} else {
			at := sort.Search(len(p.line), func(i int) bool { return !p.line[i].before(u) })
			p.line = inserted(p.line, at, u)
		}
		p.assignable = true
	}
	if len(known) == 0 {
		delete(p.tasks, r.ID)
		return
	}
	p.due[r.ID] = true
}

// sinceMillis gives when something was asked, in milliseconds; 0 where nothing is asked any more.
func (a *TaskAsk) sinceMillis() int64 {
	if a == nil || a.Since.IsZero() {
		return 0
	}
	return a.Since.UnixMilli()
}

// leave takes a task out of the line, or off its agent.
func (p *parts) leave(u *partUse) {
	p.assignable = true
	if u.id == "" {
		if at := slices.Index(p.line, u); at >= 0 {
			p.line = slices.Delete(p.line, at, at+1)
		}
		return
	}
	delete(p.of, u.id)
	p.addRunning(u.agent, -1)
	p.followers.news.ofAgent(u.agent)
}

// forget lets go of a run that is not in memory any more; "" is none.
func (p *parts) forget(run string) {
	for _, u := range p.tasks[run] {
		p.drop(u, "its run is over")
	}
	delete(p.tasks, run)
	delete(p.due, run)
}

// forgetGone lets go of instances that a run does not have any more: its new attempt has other items.
func (p *parts) forgetGone(r *Run) {
	for task, u := range p.tasks[r.ID] {
		if r.task(task) == nil {
			p.drop(u, "its run has no such item any more")
			delete(p.tasks[r.ID], task)
		}
	}
	if len(p.tasks[r.ID]) == 0 {
		delete(p.tasks, r.ID)
	}
}

// drop lets go of a task. An agent that has it is told to end it, and to report nothing.
func (p *parts) drop(u *partUse, reason string) {
	p.leave(u)
	if link := p.links[u.agent]; link != nil {
		link.send(&agentMsg{Op: msgCancel, Run: u.id, Drop: true, Reason: reason})
	}
}

// specOf gives what an agent is given of a task's workflow.
func (p *parts) specOf(r *Run, t *TaskRun) *partSpec {
	of := partSpecOf{r.Version, orDefault(t.Of, t.Task)}
	if s := p.specs[of]; s != nil {
		return s
	}
	s, w := &partSpec{}, p.state.Versions[r.Version]
	if w != nil && w.task(of.task) != nil {
		task := w.task(of.task)
		s.spec, s.labels = w.parted(of.task, w.rerunsPart(task)), task.Agent
		s.uses = protoUses(s.spec)
		s.asked = string(protoEncode(s.labels)) + fmt.Sprint(s.uses)
	}
	if len(p.specs) >= partsSpecs {
		clear(p.specs)
	}
	p.specs[of] = s
	return s
}

// turn does what has become due: what asks for an end is ended, and who waits is given to an agent with room.
func (p *parts) turn() {
	p.settle()
	if p.assignable && len(p.line) > 0 {
		p.place()
		p.settle()
	}
}

// settle looks at the runs of which something has changed. It ends: each round ends something or tells it to end.
func (p *parts) settle() {
	for len(p.due) > 0 {
		due := sortedKeys(p.due)
		clear(p.due)
		for _, id := range due {
			for _, task := range sortedKeys(p.tasks[id]) {
				if u := p.tasks[id][task]; u != nil {
					p.attend(u)
				}
			}
		}
	}
}

// attend ends a task that waits for an agent, or tells its agent to end it, where that is wanted.
func (p *parts) attend(u *partUse) {
	t := u.run.task(u.task)
	if t == nil {
		return
	}
	why, force := u.run.stopsPart(t)
	switch {
	case why == "" && u.id == "" && len(u.spec.labels) == 0:
		p.answer(u, TaskAnswer{State: taskFailed,
			Reason: "its agent asks for another one, and its workflow does not say so"})
	case why == "":
	case u.id == "":
		p.answer(u, TaskAnswer{State: taskCancelled, Reason: why})
	default:
		p.stop(u, why, force)
	}
}

// stopsPart says why a task that another agent has, or is to have, is to end, and whether at once; "" when it is not.
func (r *Run) stopsPart(t *TaskRun) (why string, force bool) {
	why = r.stopping(t)
	force = r.Force || t.Force
	if t.Ask != nil && t.asksAgent() {
		why, force = orDefault(why, t.Ask.Stop), force || t.Ask.Force
	}
	switch {
	case t.Part != nil && t.Part.Stop != "":
		why = orDefault(why, t.Part.Stop)
	case !taskActive(t.State):
		why = orDefault(why, orDefault(t.Reason, "nobody waits for it any more"))
	}
	return why, force
}

// stop tells the agent of a part to end it, if it was not told that since it is connected.
func (p *parts) stop(u *partUse, why string, force bool) {
	link, tell := p.links[u.agent], partStopped
	if force {
		tell = partForced
	}
	if link == nil || u.told >= tell {
		return
	}
	u.told = tell
	m := &agentMsg{Op: msgCancel, Run: u.id, Reason: why, Force: force}
	p.whenDurable(func() { link.send(m) })
}

// answer ends a task that waits for an agent.
func (p *parts) answer(u *partUse, as TaskAnswer) {
	p.emit(&Event{Kind: evTaskAnswered, Run: u.run.ID, Workflow: u.run.Workflow, Task: u.task, State: as.State,
		Reason: as.Reason})
	fleetAnswer(p.fleet, u.run, u.run.task(u.task))
}

// place gives who waits to agents with room, in the order of the line. Whoever asks for the same as one for whom there
// was no agent is not looked at.
func (p *parts) place() {
	full := map[string]bool{}
	for _, u := range slices.Clone(p.line) {
		asked := u.spec.asked
		if len(p.refusals) > 0 { // an agent may have refused this version alone
			asked += u.run.Version
		}
		if full[asked] || u.spec.spec == nil {
			continue
		}
		if link := p.agentFor(u); link != nil {
			p.give(u, link)
		} else {
			full[asked] = true
		}
	}
}

// agentFor picks the agent with the most room for a task; nil when there is none.
func (p *parts) agentFor(u *partUse) (best *agentLink) {
	room := 0
	for _, link := range p.links {
		free := p.freeOf(link)
		if free <= 0 || p.cannot(link, u) != "" || p.refusing(link, u.run.Version) != "" {
			continue
		}
		if free > room || free == room && link.name < best.name {
			best, room = link, free
		}
	}
	return best
}

// cannot says why an agent cannot do a task, whatever else it has to do; "" when it can.
func (p *parts) cannot(link *agentLink, u *partUse) string {
	if !labelsMatch(u.spec.labels, p.state.Agents[link.name].Labels) {
		return "has other labels"
	}
	if !slices.Contains(link.can, msgPart) {
		return "is too old to do one task of a run: upgrade it"
	}
	for _, key := range u.spec.uses {
		if link.lacks[key] {
			return "does not know " + protoKeysText([]string{key}) + ": upgrade it"
		}
	}
	return ""
}

// waits says for people what a task waits for that has no agent yet.
func (p *parts) waits(r *Run, t *TaskRun) string {
	u := p.tasks[r.ID][t.Task]
	if u == nil || u.id != "" {
		return ""
	}
	return t.waitsForAgent() + ": " + orDefault(p.noTaker(u), "all are busy")
}

// noTaker says for people why no agent can do a task, "" when one can, though it may be busy.
func (p *parts) noTaker(u *partUse) string {
	why := "none is connected"
	for _, name := range sortedKeys(p.links) {
		link := p.links[name]
		switch fault := p.cannot(link, u); {
		case !labelsMatch(u.spec.labels, p.state.Agents[name].Labels):
		case fault != "":
			why = link.title() + " " + fault
		case p.refusing(link, u.run.Version) != "":
			why = p.refusing(link, u.run.Version)
		case p.state.Agents[name].Draining || link.leaving:
			why = "agent " + name + " is draining"
		default:
			return ""
		}
	}
	return why
}

// attentionPlace begins the keys of items of tasks that wait for an agent.
const attentionPlace = "place"

// eachUnplaced hands fn the tasks that have waited for an agent for long, and that no agent can do: an item for each
// task of a workflow. Only on the loop.
func (a *attention) eachUnplaced(grant *authGrant, now time.Time, fn func(AttentionItem)) {
	p, items := a.fleet.parts, map[string]*AttentionItem{} // nil: an agent can do it
	for _, u := range p.line {
		since, task := time.UnixMilli(u.at), u.task
		if t := u.run.task(u.task); t != nil {
			task = orDefault(t.Of, u.task)
		}
		if now.Sub(since) < attentionWaits || !grant.sees(u.run.Workflow) {
			continue
		}
		key := stateKey(attentionPlace, u.run.Workflow, task)
		item, known := items[key]
		if !known && len(items) < attentionMaxQueue {
			if why := p.noTaker(u); why != "" {
				item = &AttentionItem{Key: key, Kind: attentionOverdue, Workflow: u.run.Workflow, Task: task,
					Reason: "no agent with " + labelsText(u.spec.labels) + ": " + why, First: stampOf(since)}
			}
			items[key] = item
		}
		if item == nil {
			continue
		}
		if item.Count++; len(item.Runs) < stateMaxFailureRuns && !slices.Contains(item.Runs, u.run.ID) {
			item.Runs = append(item.Runs, u.run.ID)
		}
		item.Last = stampOf(since)
		if item.Last.Before(item.First.Time) {
			item.First = item.Last
		}
	}
	for _, key := range sortedKeys(items) {
		if items[key] != nil {
			fn(*items[key])
		}
	}
}

// give gives a task to an agent: first the event, and the message once that is on disk.
func (p *parts) give(u *partUse, link *agentLink) {
	r, t := u.run, u.run.task(u.task)
	as := &assignment{Run: runID(p.cfg.now(), p.state.LastRun), Lease: 1, Attempt: r.Attempt, Trigger: r.Trigger,
		Scheduled: r.Scheduled, Event: r.Event, Params: r.Params, Spec: u.spec.spec,
		Lines: p.output.linesOfTask(r, t.Task),
		Part:  &assignedPart{Run: r.ID, Task: t.Task, Of: t.Of, Tries: t.Attempts}}
	if t.Of != "" {
		as.Part.Share = len(r.instances(t.Of))
	}
	for _, done := range r.Tasks[:r.total()] {
		if len(done.Outputs) > 0 && done.Task != as.Part.Of {
			as.Done = append(as.Done, TaskRun{Task: done.Task, State: done.State, Finished: done.Finished,
				Outputs: done.Outputs})
		}
	}
	sort.SliceStable(as.Done, func(i, j int) bool { return as.Done[i].Finished.Before(as.Done[j].Finished.Time) })
	body := protoEncode(&agentMsg{V: protoVersion, Op: msgPart, Assign: as})
	if len(body) > wireMaxFrame {
		p.answer(u, TaskAnswer{State: taskFailed, Reason: fmt.Sprintf("it cannot be given to an agent: workflow, "+
			"parameters and outputs have %d bytes as JSON, and a message may have %d; write large data to files",
			len(body), wireMaxFrame)})
		return
	}
	link.answer() // its lease counts from the newest heartbeat that the agent knows to be heard
	p.emit(&Event{Kind: evTaskPlaced, Run: r.ID, Workflow: r.Workflow, Task: t.Task, Agent: link.name, Key: as.Run})
	p.onceDurable(storeLate, func() { link.sendBody(body) }) // loopWait has said when
	p.tellFollowed(r, false)
}

// tellFollowed tells the agents that have parts of a run that somebody follows it, or that nobody does any more.
func (p *parts) tellFollowed(r *Run, over bool) {
	if !over && p.followers.live[r.ID] == nil {
		return
	}
	for _, u := range p.tasks[r.ID] {
		if link := p.links[u.agent]; link != nil && u.id != "" {
			link.send(&agentMsg{Op: msgFollow, Run: u.id, Off: over})
		}
	}
}

// From here on: what agents say of their parts.

// at gives the part with that id if the agent has it, else nil.
func (p *parts) at(link *agentLink, id string) *partUse {
	if u := p.of[id]; u != nil && u.agent == link.name {
		return u
	}
	return nil
}

// held notes that an agent which says hello has a part, and whether it is its own.
func (p *parts) held(link *agentLink, h heldRun) bool {
	u := p.at(link, h.Run)
	if u == nil {
		return false
	}
	u.told = partUntold
	p.due[u.run.ID] = true
	p.tellFollowed(u.run, false)
	return true
}

// takeEvent takes in number n of an agent's reports where it is of a part, which may be over; else it gives false.
func (p *parts) takeEvent(link *agentLink, e *Event, n uint64) bool {
	u := p.at(link, e.Run)
	if u == nil {
		// the end of a part comes behind that of its task, with which the part is over
		return e.Kind == evRunFinished && p.state.Runs[e.Run] == nil
	}
	r := u.run
	e.Run, e.Task = r.ID, u.task
	e = protoReported(e, p.sums.of(e))
	e.Workflow, e.Key, e.Lease, e.Agent, e.Epoch, e.N = r.Workflow, u.id, 0, link.name, link.epoch, n
	p.timeEvent(link, e)
	switch e.Kind {
	case evTaskStarted:
		e.Items = nil
		if r.LogDay == "" {
			place := p.logs.end(r.Workflow)
			e.LogDay, e.LogAt = place.Day, place.At
		}
		p.takenUp(link.name, r.Version)
	case evTaskRetrying:
	case evTaskFinished, evRunFinished:
		p.over(u, e)
		return true
	default:
		return true
	}
	if err := p.emit(e); err != nil {
		p.note("agent reported what does not fit", link.conn.Peer(), "agent", link.name, "cause", err)
	}
	return true
}

// over ends a part as its agent says in e, or gives the task to another agent where this one has given it up.
func (p *parts) over(u *partUse, e *Event) {
	r, t := u.run, u.run.task(u.task)
	why, _ := r.stopsPart(t)
	if e.State == runCrashed && why == "" && p.again(u, t) {
		p.emit(&Event{Kind: evTaskPlaced, Time: e.Time, Run: r.ID, Workflow: r.Workflow, Task: u.task, Reason: e.Reason,
			Agent: e.Agent, Epoch: e.Epoch, N: e.N})
		return
	}
	e.Kind = evTaskAnswered
	if !slices.Contains([]string{taskSucceeded, taskSkipped, taskCancelled}, e.State) || e.State == taskCancelled &&
		why == "" {
		e.State = taskFailed
	}
	p.emit(e)
	fleetAnswer(p.fleet, r, r.task(u.task))
}

// again says whether a task that its agent has lost is to be done by another one. The lost attempt counts: among the
// retries of the task, some more with failover, or among the times of its repeat. A task with repeat may have times
// without end: it ends when too many agents are lost over it.
func (p *parts) again(u *partUse, t *TaskRun) bool {
	spec := p.state.Versions[u.run.Version]
	if spec == nil {
		return false
	}
	task := spec.task(orDefault(t.Of, t.Task))
	switch {
	case task == nil || !spec.rerunsPart(task):
		return false
	case task.Repeat != nil:
		left := task.Repeat.Times == 0 || t.Attempts < task.Repeat.Times
		return left && (t.Ask == nil || t.Ask.Lost < fleetMaxFailovers)
	case spec.failover() == failoverRerun:
		return t.Attempts <= task.Retries+fleetMaxFailovers
	}
	return t.Attempts <= task.Retries
}

// back takes a part back that an agent did not begin.
func (p *parts) back(u *partUse, reason string) {
	p.emit(&Event{Kind: evTaskPlaced, Run: u.run.ID, Workflow: u.run.Workflow, Task: u.task, Agent: u.agent,
		Reason: reason})
}

// giveUp ends what an agent had of tasks that it does not hold. saidAll means that it has said all it knows: what it
// did not begin was not begun.
func (p *parts) giveUp(agent, reason string, saidAll bool, holds func(id string) bool) {
	for _, id := range sortedKeys(p.of) {
		u := p.of[id]
		if u == nil || u.agent != agent || holds(id) {
			continue
		}
		t := u.run.task(u.task)
		began := t.State == taskRunning || t.State == taskRetrying
		why, _ := u.run.stopsPart(t)
		switch {
		case why != "":
			p.overOf(u, taskCancelled, why)
		case saidAll && !began, p.again(u, t):
			p.back(u, reason)
		default:
			p.overOf(u, taskFailed, reason)
		}
	}
}

// overOf ends a part of which its agent says nothing more.
func (p *parts) overOf(u *partUse, state, reason string) {
	r, t := u.run, u.run.task(u.task)
	p.emit(&Event{Kind: evTaskAnswered, Run: r.ID, Workflow: r.Workflow, Task: u.task, Key: u.id, State: state,
		Reason: protoReason(reason), Attempt: t.Attempts})
	fleetAnswer(p.fleet, r, r.task(u.task))
}
