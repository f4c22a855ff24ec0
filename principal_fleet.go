// principal_fleet.go: the principal's side of its agents: who is connected, what an agent reports, and what becomes of
// the runs of an agent that goes silent. All of it runs on the principal's loop, but for runAgentLink, which reads one
// agent's connection. A run is active on at most one agent: each assignment has a number, the lease, and what an agent
// says of an earlier lease is void.

package main

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// fleetAckBytes is how much output an agent keeps unacknowledged before the principal asks for an fsync at once.
	fleetAckBytes = 256 << 10
	// fleetAckEach is how many bytes a message counts for beside its own: many small ones are to be acknowledged too.
	fleetAckEach = 512
	// fleetMaxFailovers is how often a run is run again because its agent was lost, beyond the retries of its
	// workflow: a run that kills its agent must not go round for ever.
	fleetMaxFailovers = 3
	// fleetSkew is how far an agent's clock may be from ours before it is a trouble. The times of its lines of output
	// are by its clock, those of tasks by ours (timeEvent). A message is on its way for a part of the difference.
	fleetSkew = 5 * time.Second
	// fleetFew is how many agents are looked at more often than must be, for the loop to wake less often.
	fleetFew = 16
	// fleetNoAgent is why a run waits when there is no agent at all.
	fleetNoAgent = "no agent is connected"
	// fleetMaxLoad is the highest load of a machine that is believed.
	fleetMaxLoad = 1_000_000
	// fleetLeftText is how many bytes of each text about a process that was left are kept.
	fleetLeftText = 128
)

// agentLink is one connected agent.
type agentLink struct {
	// Who it is:

	name      string
	conn      wireConn
	grant     *authGrant
	by, from  string // whose key or user it came with, and from where, for the audit trail
	epoch     string
	inProcess bool // it is in this process, and cannot go silent

	// Whether it is there:

	heard   time.Time // its last word
	doubted time.Time // when it was first found silent for too long; zero: it was not
	owed    int       // its heartbeats that are not answered yet
	leaving bool      // it goes away, and is given no more runs
	quick   int       // how many runs it is given ahead for each of its places

	// What of its spool has come:

	last   uint64         // the newest number that it had spooled when it said hello
	synced bool           // all up to last has come: it may be given runs
	held   map[string]int // until then: the runs that it said it holds -> their leases
	folded uint64         // the newest number that was taken in
	taken  int            // bytes of reports that were taken in
	toAck  bool           // this turn took in reports
	safe   atomic.Int64   // bytes of reports that are on the disk; the store's goroutine sets it
	safeN  uint64         // the number up to which they are, if that is to be acknowledged; the store's goroutine's

	// Its machine:

	ahead time.Duration // how far its clock was ahead of ours when it last said the time
	skew  time.Duration // the same, once it was too far off twice in a row; else 0
	load  *float64      // as it said last; nil: it did not

	// What it can do:

	build string          // its version
	can   []string        // the messages that it takes besides the first ones
	lacks map[string]bool // the keys of a workflow that we know and it does not; mostly there are none
	old   *fleetOld       // why it was passed over as too old; nil: it was not

	// How it stands in the lanes (principal_lanes.go):

	lanes  []*lane           // those that it has the labels for
	labels map[string]string // as its hello said
	takes  bool              // it may be given runs: it neither drains nor goes away
	free   int               // places that no run has; below 0 it has runs that were given ahead
	extra  int               // runs that it may be given ahead, with those that it has
}

// fleet is the agents: those that are connected, those that were, and what they have. It belongs to the principal's
// loop.
type fleet struct {
	*principalLoop
	queue     *queue
	output    *output
	followers *followers

	links   map[string]*agentLink // agents that are connected
	running map[string]int        // agent -> runs that it was given
	ahead   map[string]int        // agent -> those of them that it was given ahead, and has not begun
	parked  map[string]int        // agent -> those of them that only wait for an answer, and take no place
	lanes   *lanes
	pools   *pools
	parts   *parts
	// agents that are not connected, with runs or with processes that these left -> when that is given up
	losing map[string]time.Time
	// runs that left processes which live at an agent that could not end them -> their workflows
	left map[string]string
	// no agent is to be dropped, and no run to be given up, before this
	nextLoss time.Time
	// what agents did not take, see principal_refused.go
	refusals map[fleetWhat]*fleetRefusal
	// those that have reported in this turn
	toAck []*agentLink
	// those whose reports are on the disk now; it belongs to the store's goroutine
	safe     []*agentLink
	assigned protoAssigned
	handlers *fleetHandlers
	sums     *outputSums
	// something changed that may let a queued run go
	assignable bool
	// queued runs that were held against agents so far: the work of assignQueued, which tests count
	tried int
}

// fleetNew makes a fleet without agents.
func fleetNew(loop *principalLoop, queue *queue, output *output, followers *followers) *fleet {
	f := &fleet{principalLoop: loop, queue: queue, output: output, followers: followers,
		links: map[string]*agentLink{}, running: map[string]int{}, ahead: map[string]int{}, parked: map[string]int{},
		losing: map[string]time.Time{}, left: map[string]string{}, refusals: map[fleetWhat]*fleetRefusal{},
		lanes: lanesNew()}
	f.pools, f.parts, f.sums = poolsNew(f), partsNew(f), &outputSums{loop, map[string]int{}}
	output.parts = f.parts
	f.handlers = &fleetHandlers{fleet: f, queued: map[string]bool{}}
	return f
}

// observe counts the runs of each agent, and keeps the index of what runs have left.
func (f *fleet) observe(c change) {
	f.count(c)
	f.sums.observe(c)
	f.pools.observe(c)
	f.parts.observe(c)
	f.indexLeft(c.event)
	switch c.event.Kind {
	case evAgentDrained, evAgentUndrain:
		if link := f.links[c.event.Agent]; link != nil {
			f.enroll(link)
		}
	}
}

// count counts the runs of each agent, and keeps the lanes.
func (f *fleet) count(c change) {
	f.countAhead(c)
	fleetCountParked(f, c)
	f.handlers.note(c)
	if !c.moved() {
		return
	}
	f.assignable = true
	inLine := f.pools.count(c.run, c.before)
	switch c.before {
	case runRunning:
		f.addRunning(c.agent, -1)
	case runQueued:
		f.line(c.run, false)
	}
	switch c.run.State {
	case runRunning:
		f.addRunning(c.run.Agent, 1)
	case runQueued:
		if !inLine { // else it comes into its lane once it has its places
			f.line(c.run, true)
		}
	}
}

// addRunning counts one run more or less of an agent.
func (f *fleet) addRunning(agent string, n int) {
	f.running[agent] += n
	if link := f.links[agent]; link != nil {
		f.noteRoom(link)
	}
}

// noteLoad notes how busy an agent's machine is. Followers are told of the first such number only: the load changes all
// the time, and goes out with whatever else changes.
func (f *fleet) noteLoad(link *agentLink, load *float64) {
	if load == nil || *load < 0 || *load > fleetMaxLoad {
		return
	}
	if link.load == nil {
		f.followers.news.ofAgent(link.name)
	}
	link.load = load
}

// clocked compares an agent's clock with ours. It believes a difference when it has seen it twice: one message may have
// been long on its way.
func (f *fleet) clocked(link *agentLink, theirs Stamp, now time.Time) {
	if link.inProcess || theirs.IsZero() {
		return
	}
	before, known := link.ahead, link.skew != 0
	link.ahead, link.skew = theirs.Sub(now), 0
	if min(before.Abs(), link.ahead.Abs()) <= fleetSkew {
		f.stirred = f.stirred || known
		return
	}
	link.skew = link.ahead
	if !known {
		f.stirred = true
		f.note("the clock of this agent is not ours: the times of its lines of output are its own", link.conn.Peer(),
			"agent", link.name, "ahead", link.skew.Round(time.Second))
	}
}

// runAgentLink reads what a connected agent says until the connection ends, and then takes the agent off. It is the
// goroutine of that connection; hello is its first message.
func (f *fleet) runAgentLink(conn wireConn, grant *authGrant, hello *agentMsg) {
	by, from := peerName(conn.Peer())
	link := &agentLink{name: hello.Agent, conn: conn, grant: grant, by: by, from: from,
		inProcess: conn.Peer().Transport == wireMemory,
		epoch:     hello.Epoch, last: hello.Last}
	if !f.call(func() { f.welcome(link, hello) }) {
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
			m, err = protoOfAgent(body)
		}
		if err != nil {
			f.note("agent sent what cannot be read", conn.Peer(), "agent", link.name, "cause", err)
			break
		}
		if !f.call(func() { f.hear(link, m, len(body)) }) {
			break
		}
	}
	conn.Close()
	f.call(func() { f.dropLink(link, "connection closed") })
}

// welcome takes an agent in: it compares the agent's runs with the state, and tells the agent from which number on to
// send its spool.
func (f *fleet) welcome(link *agentLink, m *agentMsg) {
	if reason := f.unwelcome(link, m); reason != "" {
		f.note("an agent was not let in", link.conn.Peer(), "agent", m.Agent, "cause", reason)
		link.send(&agentMsg{Op: msgRefused, Reason: reason})
		f.workers.Go(func() { link.conn.Close() }) // Close waits until the refusal is sent, the loop does not
		return
	}
	now := f.cfg.now()
	link.heard, link.held = now, map[string]int{}
	f.clocked(link, m.Clock, now)
	a := f.state.Agents[link.name]
	if a != nil && a.Epoch == link.epoch {
		link.folded = a.N
	}
	// The state has the numbers of events only. The agent knows those of output, and what was acknowledged to it if it
	// was forgotten since.
	link.folded = max(link.folded, m.N)
	f.links[link.name] = link
	f.knowing(link, m)
	delete(f.losing, link.name)
	f.emit(&Event{Kind: evAgentUp, Agent: link.name, Epoch: link.epoch, Labels: m.Labels, Capacity: m.Capacity,
		Build: m.Version,
		By:    link.by, From: link.from})
	f.enroll(link)
	f.takeLeft(link, m.Left)
	link.send(&agentMsg{V: protoVersion, Op: msgWelcome, N: link.folded, Version: programVersion(),
		Can:   protoPrincipalCan,
		Clock: stampOf(now), LostAfter: int(agentLostAfter / time.Second)})
	for _, h := range m.Holds {
		r := f.state.Runs[h.Run]
		switch {
		case f.parts.held(link, h):
			link.held[h.Run] = h.Lease
			continue
		case !link.holds(r, h.Lease):
			link.send(&agentMsg{Op: msgCancel, Run: h.Run, Drop: true, Reason: "this run is no longer this agent's"})
			continue
		case r.Lost:
			f.emit(&Event{Kind: evAdopted, Run: r.ID, Workflow: r.Workflow, Agent: link.name,
				Reason: "the agent came back with it"})
			f.output.readLines(r)
		case r.Cancelling != "":
			link.send(fleetCancel(r))
		}
		link.held[h.Run] = h.Lease
		f.tellFollowed(r, false)
		for i := range r.Tasks {
			t := &r.Tasks[i]
			if t.Cancelling != "" && taskActive(t.State) && slices.Contains(link.can, msgStopTask) {
				link.send(fleetStop(r, t, t.Force))
			}
			fleetAnswer(f, r, t)
		}
	}
	f.trySync(link)
}

// unwelcome says why an agent may not come in, "" when it may. A second connection of the same agent replaces the
// first; another agent with its name is refused while the first is connected.
func (f *fleet) unwelcome(link *agentLink, m *agentMsg) string {
	if fault := m.stranger(); fault != "" {
		return fault
	}
	switch labels := protoSize(m.Labels); {
	case m.Agent == "" || m.Epoch == "" || m.Capacity < 1:
		return "a hello needs a name, an epoch and a capacity of at least 1"
	case max(len(m.Knows), len(m.Can)) > protoMaxKnows:
		return fmt.Sprintf("the hello says that it knows %d keys and can %d messages, more than %d", len(m.Knows),
			len(m.Can), protoMaxKnows)
	case len(m.Version) > protoMaxName: // the decoder has looked at name and epoch
		return fmt.Sprintf("the version has %d bytes, and may have %d", len(m.Version), protoMaxName)
	case labels > protoMaxLabels:
		return fmt.Sprintf("the labels have %d bytes as JSON, and may have %d: start the agent with fewer or "+
			"shorter ones", labels, protoMaxLabels)
	}
	g := link.grant
	if g.Name != "" && g.Name != m.Agent { // a key is one agent's: it speaks for no other
		return fmt.Sprintf("this key is agent %q, not %q: start the agent with --name %s", g.Name, m.Agent, g.Name)
	}
	other := f.links[link.name]
	if other == nil {
		return ""
	}
	if other.epoch != link.epoch {
		return fmt.Sprintf("another agent named %q is connected: start this one with another --name", link.name)
	}
	f.dropLink(other, "replaced by a new connection")
	other.conn.Cut(nil)
	return ""
}

// trySync marks an agent as ready for runs once all that it had spooled before has arrived. The agent has lost the runs
// that it was given and does not hold: it was started again, or never got them.
func (f *fleet) trySync(link *agentLink) {
	if link.synced || link.folded < link.last {
		return
	}
	link.synced, f.assignable, f.pools.knots.again = true, true, true
	f.noteRoom(link)
	for _, r := range f.runsOf(link.name) {
		if link.held[r.ID] != r.Lease {
			if r.Started.IsZero() && r.Cancelling == "" && !r.Ahead {
				f.refused(link, r.Version, "hung up, or was started again, when it was given this workflow")
			}
			reason := "agent " + link.name + " was restarted while it ran"
			if r.Ahead {
				reason = "agent " + link.name + " had no place for it when its connection ended"
			}
			f.giveUpRun(r, reason, true)
		}
	}
	held := link.held
	f.parts.giveUp(link.name, "agent "+link.name+" was restarted while it ran", true, func(id string) bool {
		_, holds := held[id]
		return holds
	})
	link.held = nil
}

// runsOf lists the running runs of an agent.
func (f *fleet) runsOf(agent string) []*Run {
	var runs []*Run
	if f.running[agent] == 0 {
		return nil
	}
	for _, ids := range f.queue.active {
		for _, id := range ids {
			r := f.state.Runs[id]
			if r.State == runRunning && r.Agent == agent {
				runs = append(runs, r)
			}
		}
	}
	return runs
}

// giveUpRun ends what an agent had of a run. The run goes back to the queue where that is safe or its workflow asks for
// it; else it has crashed. saidAll means that the agent has said all it knows, so that a run which it did not begin was
// not begun; an agent that is silent may have begun it.
func (f *fleet) giveUpRun(r *Run, reason string, saidAll bool) {
	spec := f.state.Versions[r.Version]
	switch {
	case r.Ending != "":
		f.handlers.giveUp(r, spec, reason, saidAll)
	case f.handlers.owes(r, spec, runCancelled) && r.Cancelling != "":
		f.emit(&Event{Kind: evHandlers, Run: r.ID, Workflow: r.Workflow, State: runCancelled, Reason: r.Cancelling})
	case r.Cancelling != "":
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, State: runCancelled, Reason: r.Cancelling})
	case saidAll && r.Started.IsZero():
		f.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt,
			Reason: reason + "; it had not begun"})
	case saidAll && r.onlyWaits(true) && !r.goneWrong():
		f.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt,
			Reason: reason + "; nothing of it was at work"})
	case fleetFailsOver(r, spec) && !r.taskStopped():
		f.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1,
			Reason: reason})
	case f.handlers.owes(r, spec, runCrashed):
		f.emit(&Event{Kind: evHandlers, Run: r.ID, Workflow: r.Workflow, State: runCrashed, Reason: reason})
	default:
		f.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, State: runCrashed,
			Reason: reason})
	}
}

// fleetFailsOver says whether a run that its agent has lost is to be run again.
func fleetFailsOver(r *Run, spec *Workflow) bool {
	return spec != nil && spec.failover() == failoverRerun && r.Attempt <= spec.Retries+fleetMaxFailovers
}

// has says whether the agent runs a run under this lease.
func (l *agentLink) has(r *Run, lease int) bool {
	return r != nil && r.State == runRunning && r.Agent == l.name && r.Lease == lease
}

// holds says whether the agent may go on with a run that it says it holds: the run is still its own, or was given up
// with it.
func (l *agentLink) holds(r *Run, lease int) bool {
	if r == nil || r.Agent != l.name || r.Lease != lease {
		return false
	}
	return runActive(r.State) || r.Lost
}

// dropLink takes an agent's connection off. The agent goes on with its runs; they are given up when it stays away. That
// is counted from its last word: a connection that was cut for its silence is not waited for twice.
func (f *fleet) dropLink(link *agentLink, reason string) {
	if f.links[link.name] != link {
		return
	}
	delete(f.links, link.name)
	f.withdraw(link)
	lost := &Event{Kind: evAgentLost, Agent: link.name, Reason: reason}
	if !link.inProcess {
		lost.Until = stampOf(link.heard)
	}
	f.emit(lost)
	if f.running[link.name] > 0 || f.leftAt(link.name) {
		now := f.cfg.now()
		at := now.Add(agentLostAfter)
		if !link.inProcess {
			at = link.heard.Add(agentLostAfter)
		}
		if soon := now.Add(agentDoubt); at.Before(soon) { // we may have slept, and it may be back at once
			at = soon
		}
		f.losing[link.name] = at
	}
}

// giveUpSilent drops agents that have been silent for too long, and gives up the runs of those that stayed away. It
// looks twice before it drops one: when this machine or this process has slept, what the agent said meanwhile is still
// to be read. It looks at all agents only when one of them may be due, for there may be a thousand.
func (f *fleet) giveUpSilent(now time.Time) {
	f.dialect.giveUp(now)
	early := time.Duration(0) // a turn that is there for other causes looks so early, that none is needed for this
	if len(f.links) <= fleetFew {
		early = agentLostAfter / 2
	}
	if now.Before(f.nextLoss.Add(-early)) {
		return
	}
	f.nextLoss = now.Add(agentLostAfter) // no agent that comes, is heard or is dropped from now on is due before this
	for _, name := range sortedKeys(f.links) {
		link := f.links[name]
		due := link.heard.Add(agentLostAfter)
		switch {
		case link.inProcess:
		case now.Before(due):
			link.doubted = time.Time{}
			f.nextLoss = fleetEarlier(f.nextLoss, due)
		case link.doubted.IsZero():
			link.doubted = now
			f.nextLoss = fleetEarlier(f.nextLoss, now.Add(agentDoubt))
		case now.Sub(link.doubted) < agentDoubt:
			f.nextLoss = fleetEarlier(f.nextLoss, link.doubted.Add(agentDoubt))
		default:
			f.dropLink(link, fmt.Sprintf("silent for %s", agentLostAfter))
			link.conn.Cut(nil)
			f.losing[name] = now
		}
	}
	for _, name := range sortedKeys(f.losing) {
		if now.Before(f.losing[name]) {
			f.nextLoss = fleetEarlier(f.nextLoss, f.losing[name])
			continue
		}
		delete(f.losing, name)
		f.assignable = true // no run waits any more for what it left
		for _, r := range f.runsOf(name) {
			f.giveUpRun(r, "agent "+name+" was lost", false)
		}
		f.parts.giveUp(name, "agent "+name+" was lost", false, func(string) bool { return false })
	}
}

// fleetEarlier gives the earlier of two times.
func fleetEarlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// mayLose says whether there is an agent whose silence would matter.
func (f *fleet) mayLose() bool {
	if len(f.losing) > 0 {
		return true
	}
	for _, link := range f.links { // at most one of them is in this process
		if !link.inProcess {
			return true
		}
	}
	return false
}

// hear takes in one message of an agent; size is its length in bytes.
func (f *fleet) hear(link *agentLink, m *agentMsg, size int) {
	if f.links[link.name] != link {
		return
	}
	now := f.cfg.now()
	link.heard, link.doubted = now, time.Time{}
	switch m.Op {
	case msgHeartbeat:
		f.state.Agents[link.name].Seen = stampOf(now)
		f.clocked(link, m.Clock, now)
		f.noteLoad(link, m.Load)
		if link.owed++; !m.Later || f.running[link.name] > 0 { // a run on its way counts for it
			link.answer()
		}
	case msgDrain:
		link.leaving = true
		f.enroll(link)
		f.followers.news.ofAgent(link.name)
		f.followers.news.ofQueue()
	case msgRefused:
		f.hearRefused(link, m)
	case msgReturn:
		f.hearReturn(link, m)
	case msgLive:
		f.followers.takeLive(link, m, f.parts)
	case msgLeft:
		f.takeLeft(link, m.Left)
	case msgReport:
		if m.N <= m.Skip || m.N-m.Skip > link.folded+1 {
			f.dropLink(link, fmt.Sprintf("a gap in its reports: %d after %d", m.N, link.folded))
			link.conn.Cut(nil)
			return
		}
		link.folded = max(link.folded, m.N-1) // with Skip: its disk lost some, or it was started again
		for i := range m.Items {
			if n := m.N + uint64(i); n > link.folded {
				f.takeItem(link, &m.Items[i], n)
				link.folded = n
			}
		}
		link.taken += size + fleetAckEach
		f.trySync(link)
		f.ackWhenDurable(link)
	default:
		f.note("agent sent a message that is not known", link.conn.Peer(), "agent", link.name, "op", m.Op)
	}
}

// takeItem takes in number n of an agent's reports: an event, or output.
func (f *fleet) takeItem(link *agentLink, item *agentItem, n uint64) {
	if e := item.Event; e != nil && f.parts.takeEvent(link, e, n) {
		if a := f.state.Agents[link.name]; a != nil {
			a.Epoch, a.N = link.epoch, n
		}
		return
	} else if e != nil {
		e = protoReported(e, f.sums.of(e))
		e.Agent, e.Epoch, e.N = link.name, link.epoch, n
		f.timeEvent(link, e)
		f.takeEvent(link, e)
		return
	}
	f.output.takeLines(link, item)
	if a := f.state.Agents[link.name]; a != nil {
		a.N = n
	}
}

// timeEvent gives an agent's event its time by our clock. The agent's own time is taken if it can be true: it lies
// between when the run was queued or begun and now. Else the agent's clock is off: what it was ahead of ours, as far as
// that is known, is taken off. If that cannot be true either, the time is now. So no run is filed under a day on which
// it did not happen. What the agent said is kept beside it when it is far from that.
func (f *fleet) timeEvent(link *agentLink, e *Event) {
	r := f.state.Runs[e.Run]
	if r == nil || link.inProcess {
		return
	}
	now, from := f.cfg.now(), r.Queued.Time
	if r.Started.After(from) {
		from = r.Started.Time
	}
	can := func(at Stamp) bool { return !at.Before(from.Add(-fleetSkew)) && !at.After(now.Add(fleetSkew)) }
	own := e.Time
	e.Time = stampOf(own.Add(-link.skew))
	if !can(e.Time) {
		e.Time = stampOf(own.Add(-link.ahead))
	}
	if !can(e.Time) {
		e.Time = stampOf(now)
	}
	if e.Time.Sub(own.Time).Abs() > fleetSkew {
		e.Own = own
	}
}

// takeEvent applies an agent's event, and does what follows from it.
func (f *fleet) takeEvent(link *agentLink, e *Event) {
	r := f.state.Runs[e.Run]
	if r != nil {
		e.Workflow = r.Workflow
		if r.LogDay == "" && f.writes(r, e) {
			place := f.logs.end(r.Workflow)
			e.LogDay, e.LogAt = place.Day, place.At
		}
	}
	switch e.Kind {
	case evRunStarted, evTaskStarted, evTaskAsked, evTaskRetrying, evTaskFinished, evRunEnding, evRunFinished:
	default:
		f.note("agent reported an event that is not an agent's", link.conn.Peer(), "agent", link.name, "event", e.Kind)
		return
	}
	if r != nil && e.State == runCrashed {
		fleetAsked(r, e)
	}
	forced := r != nil && (r.Force || r.Insist)
	if err := f.emit(e); err != nil {
		f.note("agent reported what does not fit", link.conn.Peer(), "agent", link.name, "cause", err)
		return
	}
	switch e.Kind {
	case evRunStarted:
		f.takenUp(link.name, r.Version)
	case evRunFinished:
		// a run that was skipped, or cancelled before it began, says nothing of how long runs take
		if !r.Started.IsZero() && r.State != runSkipped {
			f.noteQuick(link, fleetQuickOf(r.Seconds))
		}
		f.afterRun(r, forced)
	}
}

// writes says whether output of the run may come behind an event: of a task, or of the run's `if`.
func (f *fleet) writes(r *Run, e *Event) bool {
	if e.Kind != evRunStarted {
		return e.Kind == evTaskStarted
	}
	spec := f.state.Versions[r.Version]
	return spec != nil && spec.If != ""
}

// fleetAsked makes a crash a cancellation where a person had asked for that, and the agent gave the run up by itself
// before it heard of it. How a run ends that is at its handlers was said before, and stands.
func fleetAsked(r *Run, e *Event) {
	if e.Kind == evTaskFinished {
		t := r.task(e.Task)
		if t != nil && r.stopping(t) != "" {
			e.State, e.Reason = taskCancelled, r.stopping(t)
		}
		return
	}
	if r.Ending != "" {
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

// ackWhenDurable acknowledges what an agent has reported, once its events are on disk. All that one fsync makes safe is
// acknowledged together.
func (f *fleet) ackWhenDurable(link *agentLink) {
	if !link.toAck {
		link.toAck = true
		f.toAck = append(f.toAck, link)
	}
}

// ackReported ends the turn for the agents that have reported in it.
func (f *fleet) ackReported() {
	for _, link := range f.toAck {
		wait, n, taken := storeLate, link.folded, int64(link.taken)
		if taken-link.safe.Load() >= fleetAckBytes {
			wait = storeNow
		}
		link.toAck = false
		f.onceDurable(wait, func() {
			link.safe.Store(taken)
			if link.safeN == 0 {
				f.safe = append(f.safe, link)
			}
			link.safeN = n
		})
	}
	f.toAck = f.toAck[:0]
}

// ackSafe tells agents up to where their reports are safe. On the store's goroutine.
func (f *fleet) ackSafe() {
	for _, link := range f.safe {
		link.sendBody(protoAck(link.safeN))
		link.safeN = 0
	}
	f.safe = f.safe[:0]
}

// answer answers all heartbeats of the agent that are not answered yet. Only on the loop.
func (l *agentLink) answer() {
	if l.owed == 0 {
		return
	}
	m := &agentMsg{Op: msgHeartbeat}
	if l.owed > 1 {
		m.N = uint64(l.owed)
	}
	l.owed = 0
	l.send(m)
}

// send gives the agent a message. An agent that does not take its messages is cut off; it comes back when it can.
func (l *agentLink) send(m *agentMsg) {
	l.sendBody(protoEncode(m))
}

// sendBody is send for a message that is encoded already.
func (l *agentLink) sendBody(body []byte) {
	if !l.conn.TrySend(body) {
		l.conn.Cut(nil)
	}
}

// tellFollowed tells the agent of a run that somebody follows it, or that nobody does any more. Only on the loop.
func (f *fleet) tellFollowed(r *Run, over bool) {
	link := f.links[r.Agent]
	if link != nil && slices.Contains(link.can, msgFollow) &&
		r.State == runRunning && (over || f.followers.live[r.ID] != nil) {
		link.send(&agentMsg{Op: msgFollow, Run: r.ID, Off: over})
	}
	f.parts.tellFollowed(r, over)
}
