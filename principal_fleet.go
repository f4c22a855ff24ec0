// principal_fleet.go: the principal's side of its agents: who is connected, which run goes to whom, what comes back,
// and what becomes of the runs of an agent that goes silent. All of it runs on the principal's loop, but for
// runAgentLink, which reads one agent's connection. A run is active on one agent at most: each assignment has a number,
// the lease, and what an agent says of an earlier lease is void.

package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	// dispatchAckBytes of output held unacknowledged make the principal ask for an fsync before the lazy one is due.
	dispatchAckBytes = 256 << 10
	// dispatchMaxFailovers bounds how often a run is given to another agent because its agent was lost, beyond the
	// retries of its workflow: a run that kills its agent must not go round for ever.
	dispatchMaxFailovers = 3
	dispatchLostAgain    = time.Minute // between two complaints about output that cannot be stored
	// dispatchSkew is how far an agent's clock may be from ours without a word. The times of its lines of output are
	// its own, those of tasks are made ours (timeEvent), and what was sent is older by its way here when it is
	// compared.
	dispatchSkew = 5 * time.Second
	// dispatchNoAgent is why nobody takes a run where nobody is there.
	dispatchNoAgent = "no agent is connected"
	// dispatchMaxLoad is the most that a machine's load can be: more is no load.
	dispatchMaxLoad = 1_000_000
	// dispatchLeftText is the bytes of each text about a process that was left; a longer one is shortened.
	dispatchLeftText = 128
)

// lostLines is output of an active run that the disk did not take, and why the first of it was not.
type lostLines struct {
	lines int
	cause error
}

// agentLink is one connected agent.
type agentLink struct {
	name    string
	conn    wireConn
	grant   *authGrant
	by      string // whose key or user, and from where, for the audit trail
	from    string
	epoch   string
	near    bool // it lives in this process, and cannot go silent
	heard   time.Time
	doubted time.Time      // when it was found silent for too long; zero: it was not
	last    uint64         // the newest number it had spooled when it said hello
	held    map[string]int // runs it said it holds, with their leases
	leaving bool           // it is going away: it may be given no more
	synced  bool           // what it had spooled has arrived: it may be given runs
	folded  uint64         // newest number taken in
	acked   uint64         // newest number acknowledged
	unsafe  int            // bytes taken in since the last acknowledgement
	ahead   time.Duration  // its clock, of ours, when it last said what time it is
	skew    time.Duration  // the same, once it was found too far off twice in a row; 0 else
	load    *float64       // of its machine, as it said last; nil: it did not

	build string            // its version
	can   []string          // the messages that it takes besides the first ones
	knows map[string]bool   // the keys of a workflow that it knows
	lacks map[string]string // version of a workflow -> why it is too old for it, "" when it is not
	old   *dispatchOld      // it was passed over because it is too old; nil: it was not
}

// noteLoad notes how busy an agent's machine is. Only the first word of it is news: like when it was heard, it changes
// all the time, and is told with whatever else changes.
func (p *principal) noteLoad(link *agentLink, load *float64) {
	if load == nil || *load < 0 || *load > dispatchMaxLoad {
		return
	}
	if link.load == nil {
		p.newsAgent(link.name)
	}
	link.load = load
}

// clocked compares an agent's clock with ours. Twice, because one message may just have been long on its way.
func (p *principal) clocked(link *agentLink, theirs Stamp, now time.Time) {
	if link.near || theirs.IsZero() {
		return
	}
	before, known := link.ahead, link.skew != 0
	link.ahead, link.skew = theirs.Sub(now), 0
	if min(before.Abs(), link.ahead.Abs()) <= dispatchSkew {
		return
	}
	if link.skew = link.ahead; !known {
		p.note("the clock of this agent is not ours: the times of its lines of output are its own", link.conn.Peer(),
			"agent", link.name, "ahead", link.skew.Round(time.Second))
	}
}

// runAgentLink reads what a connected agent says until the connection ends, then takes the agent off. It is the
// goroutine of that connection; hello is its first message.
func (p *principal) runAgentLink(conn wireConn, grant *authGrant, hello *agentMsg) {
	by, from := peerName(conn.Peer())
	link := &agentLink{name: hello.Agent, conn: conn, grant: grant, by: by, from: from,
		near:  conn.Peer().Transport == wireMemory,
		epoch: hello.Epoch, last: hello.Last}
	if !p.call(func() { p.welcome(link, hello) }) {
		conn.Close()
		return
	}
	for {
		frames, err := conn.Recv()
		if err != nil {
			break
		}
		_, body, err := protoSplit(frames)
		m := &agentMsg{}
		if err == nil {
			err = protoPeer(body, m)
		}
		if err != nil {
			p.note("agent sent what cannot be read", conn.Peer(), "agent", link.name, "cause", err)
			break
		}
		if !p.call(func() { p.hear(link, m, len(body)) }) {
			break
		}
	}
	conn.Close()
	p.call(func() { p.dropLink(link, "connection closed") })
}

// welcome takes an agent in: its runs are compared with the state, and it is told from where to send its spool.
func (p *principal) welcome(link *agentLink, m *agentMsg) {
	if reason := p.unwelcome(link, m); reason != "" {
		p.note("an agent was not let in", link.conn.Peer(), "agent", m.Agent, "cause", reason)
		link.send(&agentMsg{Op: msgRefused, Reason: reason})
		p.workers.Go(func() { link.conn.Close() }) // after these words are out; the loop does not wait for that
		return
	}
	now := p.cfg.now()
	link.heard, link.held = now, map[string]int{}
	p.clocked(link, m.Clock, now)
	if a := p.state.Agents[link.name]; a != nil && a.Epoch == link.epoch {
		link.folded = a.N
	}
	// The state holds the numbers of events; those of output, and all that was acknowledged to an agent that was
	// forgotten since, are known to the agent alone.
	link.folded = max(link.folded, m.N)
	link.acked = link.folded
	p.links[link.name] = link
	p.knowing(link, m)
	delete(p.losing, link.name)
	p.emit(&Event{Kind: evAgentUp, Agent: link.name, Epoch: link.epoch, Labels: m.Labels, Capacity: m.Capacity,
		Build: m.Version,
		By:    link.by, From: link.from})
	p.takeLeft(link, m.Left)
	link.send(&agentMsg{Op: msgWelcome, N: link.folded, Version: programVersion(), Can: protoPrincipalCan,
		Clock: stampOf(now)})
	for _, h := range m.Holds {
		r := p.state.Runs[h.Run]
		switch {
		case r == nil || r.Agent != link.name || r.Lease != h.Lease || !runActive(r.State) && !r.Lost:
			link.send(&agentMsg{Op: msgCancel, Run: h.Run, Drop: true, Reason: "this run is no longer this agent's"})
			continue
		case r.Lost:
			p.emit(&Event{Kind: evAdopted, Run: r.ID, Workflow: r.Workflow, Agent: link.name,
				Reason: "the agent came back with it"})
			p.readLines(r)
		case r.Cancelling != "":
			link.send(&agentMsg{Op: msgCancel, Run: r.ID, Reason: r.Cancelling, Force: r.Force})
		}
		link.held[h.Run] = h.Lease
		p.tellFollowed(r, false)
		for i := range r.Tasks {
			t := &r.Tasks[i]
			if t.Cancelling != "" && taskActive(t.State) && slices.Contains(link.can, msgStopTask) {
				link.send(dispatchStop(r, t, t.Force))
			}
		}
	}
	p.trySync(link)
}

// unwelcome says why an agent may not come in, "" when it may. A second connection of the same agent replaces the
// first; another agent with its name is refused while the first is there.
func (p *principal) unwelcome(link *agentLink, m *agentMsg) string {
	if fault := m.stranger(); fault != "" {
		return fault
	}
	switch labels := protoSize(m.Labels); {
	case m.Agent == "" || m.Epoch == "" || m.Capacity < 1:
		return "a hello needs a name, an epoch and a capacity of at least 1"
	case max(len(m.Knows), len(m.Can)) > protoMaxKnows:
		return fmt.Sprintf("the hello says that it knows %d keys and can %d messages, more than %d", len(m.Knows),
			len(m.Can), protoMaxKnows)
	case len(m.Version) > protoMaxName: // name and epoch the decoder has looked at
		return fmt.Sprintf("the version has %d bytes, and may have %d", len(m.Version), protoMaxName)
	case labels > protoMaxLabels:
		return fmt.Sprintf("the labels have %d bytes as JSON, and may have %d: start the agent with fewer or "+
			"shorter ones", labels, protoMaxLabels)
	}
	if g := link.grant; g.Name != "" && g.Name != m.Agent { // a key is an agent's identity: it speaks for no other
		return fmt.Sprintf("this key is agent %q, not %q: start the agent with --name %s", g.Name, m.Agent, g.Name)
	}
	other := p.links[link.name]
	if other == nil {
		return ""
	}
	if other.epoch != link.epoch {
		return fmt.Sprintf("another agent named %q is connected: start this one with another --name", link.name)
	}
	p.dropLink(other, "replaced by a new connection")
	other.conn.Cut(nil)
	return ""
}

// readLines looks up how many lines of a run's output are stored, where the loop has forgotten it. When the disk does
// not answer that is taken for as many as were found: lines may be stored twice then, none is lost.
func (p *principal) readLines(r *Run) {
	n, err := p.logs.lastNumber(r.Workflow, r.ID, logPlaceOf(r))
	if err != nil {
		p.cfg.Log.Error("count stored output", "run", r.ID, "cause", err)
	}
	p.lines[r.ID] = n
}

// trySync marks an agent as ready for runs once all that it had spooled before has arrived. Runs that it was given and
// does not hold are lost: it was started again, or never got them.
func (p *principal) trySync(link *agentLink) {
	if link.synced || link.folded < link.last {
		return
	}
	link.synced, p.assignable = true, true
	for _, r := range p.runsOf(link.name) {
		if link.held[r.ID] != r.Lease {
			if r.Started.IsZero() && r.Cancelling == "" {
				p.refused(link, r.Version, "hung up, or was started again, when it was given this workflow")
			}
			p.loseRun(r, "agent "+link.name+" was restarted while it ran", true)
		}
	}
	link.held = nil
}

// runsOf lists the running runs of an agent, oldest first.
func (p *principal) runsOf(agent string) []*Run {
	var runs []*Run
	if p.running[agent] == 0 {
		return nil
	}
	for _, ids := range p.active {
		for _, id := range ids {
			if r := p.state.Runs[id]; r.State == runRunning && r.Agent == agent {
				runs = append(runs, r)
			}
		}
	}
	return runs
}

// loseRun ends what an agent had of a run: the run goes back to the queue where that is safe or asked for, else it is
// over as crashed. told: the agent has said all it knows, so that what it did not begin was not begun. An agent that is
// silent may be at it.
func (p *principal) loseRun(r *Run, reason string, told bool) {
	spec := p.state.Versions[r.Version]
	switch {
	case r.Cancelling != "":
		p.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runCancelled, Reason: r.Cancelling})
	case told && r.Started.IsZero():
		p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt,
			Reason: reason + "; it had not begun"})
	case spec != nil && spec.failover() == failoverRerun && r.Attempt <= spec.Retries+dispatchMaxFailovers &&
		!r.taskStopped():
		p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: reason})
	default:
		p.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, State: runCrashed,
			Reason: reason})
	}
}

// dropLink takes an agent's connection off. Its runs go on over there; they are given up when it stays away, which
// counts from its last word: a connection that was cut for its silence is not waited for twice.
func (p *principal) dropLink(link *agentLink, reason string) {
	if p.links[link.name] != link {
		return
	}
	delete(p.links, link.name)
	lost := &Event{Kind: evAgentLost, Agent: link.name, Reason: reason}
	if !link.near {
		lost.Until = stampOf(link.heard)
	}
	p.emit(lost)
	if p.running[link.name] > 0 || p.leftAt(link.name) {
		now := p.cfg.now()
		at := now.Add(agentLostAfter)
		if !link.near {
			at = link.heard.Add(agentLostAfter)
		}
		if soon := now.Add(agentDoubt); at.Before(soon) { // it may be at the door again: we may have slept
			at = soon
		}
		p.losing[link.name] = at
	}
}

// giveUpLost drops agents that have been silent for too long, and gives up the runs of those that stayed away. Silence
// is looked at twice: after a sleep of this machine, or of this process, what agents said meanwhile is still to be
// read. It looks when one of them may be due, not at every turn of the loop: there may be a thousand.
func (p *principal) giveUpLost(now time.Time) {
	p.compatGiveUp(now)
	if now.Before(p.nextLoss) {
		return
	}
	p.nextLoss = now.Add(agentLostAfter) // an agent that comes, is heard or is dropped from now on is due no sooner
	for _, name := range sortedKeys(p.links) {
		link := p.links[name]
		due := link.heard.Add(agentLostAfter)
		switch {
		case link.near:
		case now.Before(due):
			link.doubted = time.Time{}
			p.nextLoss = dispatchEarlier(p.nextLoss, due)
		case link.doubted.IsZero():
			link.doubted = now
			p.nextLoss = dispatchEarlier(p.nextLoss, now.Add(agentDoubt))
		case now.Sub(link.doubted) < agentDoubt:
			p.nextLoss = dispatchEarlier(p.nextLoss, link.doubted.Add(agentDoubt))
		default:
			p.dropLink(link, fmt.Sprintf("silent for %s", agentLostAfter))
			link.conn.Cut(nil)
			p.losing[name] = now
		}
	}
	for _, name := range sortedKeys(p.losing) {
		if now.Before(p.losing[name]) {
			p.nextLoss = dispatchEarlier(p.nextLoss, p.losing[name])
			continue
		}
		delete(p.losing, name)
		p.assignable = true // what it has left holds nobody back any more
		for _, r := range p.runsOf(name) {
			p.loseRun(r, "agent "+name+" was lost", false)
		}
	}
}

// dispatchEarlier gives the earlier of two times.
func dispatchEarlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// mayLose says whether there is an agent whose silence would matter.
func (p *principal) mayLose() bool {
	if len(p.losing) > 0 {
		return true
	}
	for _, link := range p.links { // at most one is near
		if !link.near {
			return true
		}
	}
	return false
}

// hear takes in one message of an agent; size is its length in bytes.
func (p *principal) hear(link *agentLink, m *agentMsg, size int) {
	if p.links[link.name] != link {
		return
	}
	now := p.cfg.now()
	link.heard, link.doubted = now, time.Time{}
	switch m.Op {
	case msgHeartbeat:
		p.state.Agents[link.name].Seen = stampOf(now)
		p.clocked(link, m.Clock, now)
		p.noteLoad(link, m.Load)
		link.send(&agentMsg{Op: msgHeartbeat, Clock: stampOf(now)})
	case msgDrain:
		link.leaving = true
		p.newsAgent(link.name)
		p.newsQueue(p.queue)
	case msgRefused:
		p.hearRefused(link, m)
	case msgLive:
		p.takeLive(link, m)
	case msgLeft:
		p.takeLeft(link, m.Left)
	case msgReport:
		if m.N <= m.Skip || m.N-m.Skip > link.folded+1 {
			p.dropLink(link, fmt.Sprintf("a gap in its reports: %d after %d", m.N, link.folded))
			link.conn.Cut(nil)
			return
		}
		link.folded = max(link.folded, m.N-1) // with Skip: its disk lost some, or it was started again
		for i := range m.Items {
			if n := m.N + uint64(i); n > link.folded {
				p.takeItem(link, &m.Items[i], n)
				link.folded = n
			}
		}
		link.unsafe += size
		p.trySync(link)
		p.ackLater(link)
	default:
		p.note("agent sent a message that is not known", link.conn.Peer(), "agent", link.name, "op", m.Op)
	}
}

// takeItem folds number n of an agent's reports: an event, or output.
func (p *principal) takeItem(link *agentLink, item *agentItem, n uint64) {
	if e := item.Event; e != nil {
		e = protoReported(e, p.outputsOf(e))
		e.Agent, e.Epoch, e.N = link.name, link.epoch, n
		p.timeEvent(link, e)
		p.takeEvent(link, e)
		return
	}
	p.takeLines(link, item)
	if a := p.state.Agents[link.name]; a != nil {
		a.N = n
	}
}

// timeEvent gives an agent's event its time by our clock. That of the agent is taken where it can be: from when the run
// was queued, or begun, until now. Where it cannot, its clock is off: what it was ahead when it said hello, or said
// that it is there, is taken off, and where that is no time either it is now. So no run is filed where it did not
// happen. What the agent said is kept beside it when that is far from it.
func (p *principal) timeEvent(link *agentLink, e *Event) {
	r := p.state.Runs[e.Run]
	if r == nil || link.near {
		return
	}
	now, from := p.cfg.now(), r.Queued.Time
	if r.Started.After(from) {
		from = r.Started.Time
	}
	can := func(at Stamp) bool { return !at.Before(from.Add(-dispatchSkew)) && !at.After(now.Add(dispatchSkew)) }
	own := e.Time
	if e.Time = stampOf(own.Add(-link.skew)); !can(e.Time) {
		e.Time = stampOf(own.Add(-link.ahead))
	}
	if !can(e.Time) {
		e.Time = stampOf(now)
	}
	if e.Time.Sub(own.Time).Abs() > dispatchSkew {
		e.Own = own
	}
}

// outputsOf gives the bytes of the outputs that the run of an event has, where the event would add to them.
func (p *principal) outputsOf(e *Event) (size int) {
	if r := p.state.Runs[e.Run]; r != nil && len(e.Outputs) > 0 {
		for i := range r.Tasks {
			if t := &r.Tasks[i]; len(t.Outputs) > 0 {
				size += protoSize(t.Outputs)
			}
		}
	}
	return size
}

// takeEvent folds an agent's event, and what follows from it.
func (p *principal) takeEvent(link *agentLink, e *Event) {
	r := p.state.Runs[e.Run]
	if r != nil {
		e.Workflow = r.Workflow
		if e.Kind == evTaskStarted && r.LogDay == "" {
			place := p.logs.end(r.Workflow)
			e.LogDay, e.LogAt = place.Day, place.At
		}
	}
	switch e.Kind {
	case evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished, evRunFinished:
	default:
		p.note("agent reported an event that is not an agent's", link.conn.Peer(), "agent", link.name, "event", e.Kind)
		return
	}
	if r != nil && e.State == runCrashed {
		dispatchAsked(r, e)
	}
	if err := p.emit(e); err != nil {
		p.note("agent reported what does not fit", link.conn.Peer(), "agent", link.name, "cause", err)
		return
	}
	switch e.Kind {
	case evRunStarted:
		p.takenUp(link.name, r.Version)
	case evRunFinished:
		p.afterRun(r)
	}
}

// dispatchAsked makes of a crash what a person had asked for before, where the agent had not heard of that when it gave
// the run up by itself.
func dispatchAsked(r *Run, e *Event) {
	if e.Kind == evTaskFinished {
		if t := r.task(e.Task); t != nil && r.Cancelling+t.Cancelling != "" {
			e.State, e.Reason = taskCancelled, orDefault(r.Cancelling, t.Cancelling)
		}
		return
	}
	if r.Cancelling != "" {
		e.State, e.Reason = runCancelled, r.Cancelling
		return
	}
	stopped := ""
	for i := range r.Tasks {
		t := &r.Tasks[i]
		switch {
		case t.State == taskCrashed || taskActive(t.State) && t.State != taskWaiting:
			return
		case t.State == taskCancelled && stopped == "":
			stopped = "task " + t.Task + ": " + t.Reason
		}
	}
	if stopped != "" {
		e.State, e.Reason = runFailed, stopped
	}
}

// afterRun looks at a run that its agent has ended: it may be due for another attempt, unless a person stopped it or a
// task of it. What a person ended is begun again by a person.
func (p *principal) afterRun(r *Run) {
	spec := p.state.Versions[r.Version]
	if spec == nil || r.Cancelling != "" || r.taskStopped() {
		return
	}
	switch {
	case r.State == runFailed && r.Attempt <= spec.Retries:
		p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: fmt.Sprintf("retry %d of %d after: %s", r.Attempt, spec.Retries, r.Reason)})
	case r.State == runCrashed && spec.failover() == failoverRerun && r.Attempt <= spec.Retries+dispatchMaxFailovers:
		p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: r.Reason})
	}
}

// takeLines stores output that is not there yet. Output of an earlier lease is void: its numbers may be those of other
// lines now.
func (p *principal) takeLines(link *agentLink, item *agentItem) {
	for lines := item.Lines; len(lines) > 0; {
		r := p.state.Runs[lines[0].Run]
		n := 1
		for n < len(lines) && lines[n].Run == lines[0].Run {
			n++
		}
		batch := lines[:n]
		lines = lines[n:]
		if r == nil || r.State != runRunning || r.Agent != link.name || r.Lease != item.Lease {
			continue
		}
		for len(batch) > 0 && batch[0].N <= p.lines[r.ID] {
			batch = batch[1:]
		}
		if len(batch) == 0 {
			continue
		}
		for i := range batch {
			protoLine(&batch[i])
			if said := protoDropped(&batch[i]); said != "" {
				p.noteDropped(r, func(d *attentionDropped) { d.say(link.name, said) })
			}
		}
		p.lines[r.ID] = batch[len(batch)-1].N
		p.publishLines(r.Workflow, batch)
		p.storeLines(r, batch)
		p.endLive(r.ID, batch)
		p.touched[r.ID] = true
	}
}

// storeLines puts output into the log. What the disk does not take is lost and counted: a line in its place says so, as
// soon as there is room for that.
func (p *principal) storeLines(r *Run, batch []LogLine) {
	lost := p.lost[r.ID]
	if lost.lines > 0 {
		batch = append([]LogLine{p.lostLine(r, lost, batch[0].N-1)}, batch...)
	}
	err := p.logs.append(r.Workflow, batch)
	switch {
	case err == nil:
		delete(p.lost, r.ID)
		return
	case lost.lines > 0:
		batch = batch[1:]
	default:
		lost.cause = err
	}
	if now := p.cfg.now(); now.Sub(p.lostTold) > dispatchLostAgain {
		p.lostTold = now
		p.cfg.Log.Error("store output: it is dropped and counted until it can be", "run", r.ID, "cause", err)
	}
	for _, line := range batch {
		if line.Stream != "c" || p.logs.remark(r.Workflow, line) != nil {
			lost.lines++
		}
	}
	p.lost[r.ID] = lost
	p.noteDropped(r, func(d *attentionDropped) { d.lostLines = lost })
	if errors.Is(err, syscall.ENOSPC) {
		p.retain.kick(true)
	}
}

// lostLine says how much was lost, under the number of a line that was.
func (p *principal) lostLine(r *Run, lost lostLines, n int64) LogLine {
	return LogLine{Time: stampOf(p.cfg.now()), Run: r.ID, N: n, Stream: "c",
		Text: fmt.Sprintf("[cdktr: %d lines of output were lost here: %v]", lost.lines, lost.cause)}
}

// tellLost says at the end of a run what is not said yet.
func (p *principal) tellLost(r *Run) {
	lost := p.lost[r.ID]
	if lost.lines == 0 {
		return
	}
	delete(p.lost, r.ID)
	if err := p.logs.remark(r.Workflow, p.lostLine(r, lost, p.lines[r.ID])); err != nil {
		p.cfg.Log.Error("output is lost, and the run's log does not say so", "run", r.ID, "lines", lost.lines, "cause",
			err)
	}
}

// ackLater acknowledges what an agent has reported, as soon as the events among it are on disk.
func (p *principal) ackLater(link *agentLink) {
	n := link.folded
	p.batchSync = p.batchSync || link.unsafe >= dispatchAckBytes
	p.lazily = append(p.lazily, func() { p.call(func() { link.ack(n) }) })
}

// ack tells the agent that everything up to n is safe.
func (l *agentLink) ack(n uint64) {
	if n <= l.acked {
		return
	}
	l.acked, l.unsafe = n, 0
	l.send(&agentMsg{Op: msgAck, N: n})
}

// send gives the agent a message. One that does not take what it is sent is cut off: it comes back when it can.
func (l *agentLink) send(m *agentMsg) {
	m.V = protoVersion
	l.sendBody(protoEncode(m))
}

// sendBody is send for a message that is encoded already.
func (l *agentLink) sendBody(body []byte) {
	if !l.conn.TrySend(body) {
		l.conn.Cut(nil)
	}
}

// cancelRun stops a run: one in the queue at once, a running one by its agent. It gives a note where that one is away.
func (p *principal) cancelRun(r *Run, reason string, force bool, by, from string) (note string) {
	if r.State == runQueued {
		p.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runCancelled, Reason: reason, By: by,
			From: from})
		return ""
	}
	if p.compatCancel(r, reason, by, from) {
		return ""
	}
	p.emit(&Event{Kind: evCancelling, Run: r.ID, Workflow: r.Workflow, Reason: reason, Force: force, By: by,
		From: from})
	link := p.links[r.Agent]
	if link == nil {
		return dispatchAway(r.Agent, "run")
	}
	p.afterCommit(func() { link.send(&agentMsg{Op: msgCancel, Run: r.ID, Reason: reason, Force: force}) })
	return ""
}

// cancelTask stops one task of a run and leaves the rest to its graph. The request stays in the state until the task
// has ended: an agent that is away now, or was not reached, is told when it says hello.
func (p *principal) cancelTask(c *opCall, r *Run) {
	t, agent := r.task(c.req.Task), p.state.Agents[r.Agent]
	switch {
	case t == nil:
		p.refuseLater(c, noTask(r, c.req.Task))
	case t.State == taskWaiting:
		c.refuse(refuse(codeConflict, "task %s of run %s has not begun (the run is %s): cdktr cancel %s stops the "+
			"whole run", t.Task, r.ID, r.State, r.ID))
	case !taskActive(t.State):
		c.refuse(refuse(codeConflict, "task %s of run %s is %s already: cdktr cancel %s stops the whole run", t.Task,
			r.ID, t.State, r.ID))
	case agent != nil && agent.Epoch == compatEpoch:
		c.refuse(refuse(codeConflict, "agent %s is one of CDKTR's, which cannot be told to stop a task: cdktr "+
			"cancel %s ends the whole run, and its processes go on", r.Agent, r.ID))
	case p.links[r.Agent] != nil && !slices.Contains(p.links[r.Agent].can, msgStopTask):
		c.refuse(refuse(codeConflict, "%s is too old to stop one task: cdktr cancel %s stops the whole run",
			p.links[r.Agent].title(), r.ID))
	default:
		p.emit(&Event{Kind: evTaskStopping, Run: r.ID, Workflow: r.Workflow, Task: t.Task, Reason: "cancelled by " +
			c.by, Force: c.req.Force, By: c.by, From: c.from})
		reply, link, stop := Reply{Run: r.ID}, p.links[r.Agent], dispatchStop(r, t, c.req.Force)
		if link == nil {
			reply.Note = dispatchAway(r.Agent, "task")
		}
		p.afterCommit(func() {
			if link != nil {
				link.send(stop)
			}
			c.reply(reply)
		})
	}
}

// dispatchAway says of what somebody stops that its agent will hear of it.
func dispatchAway(agent, what string) string {
	return fmt.Sprintf("agent %s is not connected now: it stops the %s when it is back", agent, what)
}

// dispatchStop tells an agent to stop one task of a run.
func dispatchStop(r *Run, t *TaskRun, force bool) *agentMsg {
	return &agentMsg{Op: msgStopTask, Run: r.ID, Lease: r.Lease, Task: t.Task, Reason: t.Cancelling, Force: force}
}

// noTask refuses a task that a run has not.
func noTask(r *Run, id string) *protoError {
	ids := make([]string, len(r.Tasks))
	for i := range r.Tasks {
		ids[i] = r.Tasks[i].Task
	}
	return refuseNear(fmt.Sprintf("run %s has no task %q", r.ID, id), "cdktr show "+r.ID+" lists them", id,
		func() []string { return ids })
}
