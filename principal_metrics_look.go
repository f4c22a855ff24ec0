// principal_metrics_look.go: how all numbers are looked at: the loop copies them a few at a time, and whoever asks
// makes the text of them (principal_metrics_table.go).

package main

import (
	"io/fs"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// metricsSeen is all numbers as they are now. Whoever has it owns it.
type metricsSeen struct {
	now, began time.Time
	next       time.Time // when something may need a person by time alone; zero: nothing will
	count      metricsCounts

	// The loop's:

	active    [2]float64 // runs: queued, running
	files     [2]float64 // that load, that do not
	paused    float64    // workflows
	attention [len(metricsAttention)]float64
	agents    [3]float64 // up, drained, lost
	seq       uint64     // events
	lost      int64      // lines of output
	steps     float64    // of the clock

	// Of those that have metrics of their own, and how many workflows, agents and pools have none:

	workflows, ofAgents, ofPools []metricsOf
	left                         [3]float64

	// Of the process, its files and its connections; zero is not known:

	resident, virtual int64 // bytes
	open              int   // descriptors
	disk              metricsDisk
	syncs             *histogram
	backlog           int64 // bytes
	failing           bool
	written           [4]float64 // bytes: journal, history, snapshot, output
	conns, opened     [len(metricsTransports)]float64
	traffic           [4]float64 // messages in and out, bytes in and out
	requests          []float64
	refused           int64
	unwritten         float64
}

// metricsOf is the numbers of one workflow, agent or pool, NaN where one is not known.
type metricsOf struct {
	name    string
	numbers [7]float64                // in the order of the text
	ended   [len(metricsEnds)]float64 // of a workflow
}

// metricsDisk is the file system of the state folder, in bytes; zero: it does not say.
type metricsDisk struct{ free, size int64 }

// lookMetrics answers the op metrics.
func (l *looks) lookMetrics(c *opCall) {
	if !l.readSlot(c) { // the disk is asked
		return
	}
	var disk metricsDisk
	disk.read(l.store)
	seen, ok := l.metrics.see(disk)
	if !ok {
		l.refuseStopping(c)
		return
	}
	c.reply(Reply{Metrics: string(seen.text())})
}

// read asks the file system of the state folder. It waits for one that hangs: no loop may call it.
func (d *metricsDisk) read(s *store) (fs.FileInfo, error) {
	root, err := s.files.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	facts, err := diskFactsOf(root)
	d.free, d.size = facts.free, facts.size
	return nil, err
}

// see looks at all numbers. False when the principal has stopped. Not on the loop.
func (m *meters) see(disk metricsDisk) (*metricsSeen, bool) {
	var s *metricsSeen
	var names [3][]string
	ok := m.piecewise(1, func(int) { s, names = m.head() }) &&
		m.piecewise(len(names[0]), func(i int) { s.workflows = append(s.workflows, m.workflowOf(names[0][i])) }) &&
		m.piecewise(len(names[1]), func(i int) {
			if m.state.Agents[names[1][i]] != nil { // else it was forgotten meanwhile
				s.ofAgents = append(s.ofAgents, m.agentOf(names[1][i]))
			}
		}) &&
		m.piecewise(len(names[2]), func(i int) { s.ofPools = append(s.ofPools, m.poolOf(names[2][i])) })
	if !ok {
		return nil, false
	}
	s.disk = disk
	m.shared(s)
	return s, true
}

// shared looks at what any goroutine may look at.
func (m *meters) shared(s *metricsSeen) {
	s.resident, s.virtual, _ = processMemory()
	s.open = processFiles()
	did, t := &m.store.did, &m.traffic
	s.syncs, s.backlog, s.failing = did.syncs, m.store.backlog.Load(), m.store.failing() != nil
	for i, n := range []*atomic.Int64{&did.journal, &did.history, &did.snapshot, &m.logs.wrote} {
		s.written[i] = float64(n.Load())
	}
	for i := range t.open {
		s.conns[i], s.opened[i] = float64(t.open[i].Load()), float64(t.opened[i].Load())
	}
	for i := range t.passed {
		s.traffic[i] = float64(t.passed[i].Load())
	}
	for i := range t.requests {
		s.requests = append(s.requests, float64(t.requests[i].Load()))
	}
	s.refused = m.notes.refused.Load()
	if m.file != nil {
		s.unwritten = float64(m.file.failed.Load())
	}
}

// head looks at all but what each workflow, agent and pool has, and gives the names of those. Only on the loop.
func (m *meters) head() (s *metricsSeen, names [3][]string) {
	p, now := m.p, m.cfg.now()
	s = &metricsSeen{now: now, began: m.began, next: p.attention.changesAt(now), count: m.count, seq: m.state.Seq,
		lost: p.output.lost, steps: float64(p.timetable.steps)}
	running, ahead := p.atAgents()
	s.active = [2]float64{float64(len(p.queue.runs) + ahead), float64(running - ahead)}
	for id := range m.of {
		if p.catalog.files[id] == nil && len(p.queue.active[id]) == 0 {
			delete(m.of, id)
		}
	}
	for _, f := range p.catalog.files {
		if f.Spec != nil && !workflowBroken(f.Faults) {
			s.files[0]++
		} else {
			s.files[1]++
		}
		s.paused += metricsBool(p.timetable.pausedBy(f.ID) != "")
	}
	for _, item := range p.attention.items(authOwner, now) {
		if !item.Recovered {
			metricsCount(metricsAttention[:], s.attention[:], item.Kind)
		}
	}
	for name, a := range m.state.Agents {
		state := a.State
		if link := p.fleet.links[name]; link != nil && link.leaving {
			state = agentDrain
		}
		metricsCount([]string{agentUp, agentDrain, agentLost}, s.agents[:], state)
	}
	pools := map[string]bool{}
	for name := range p.fleet.pools.declared {
		pools[name] = true
	}
	for name := range p.fleet.pools.of {
		pools[name] = true
	}
	names[0], s.left[0] = metricsFit(m.listed(), metricsBytes, 13)
	names[1], s.left[1] = metricsFit(sortedKeys(m.state.Agents), metricsBytes/2, 6)
	names[2], s.left[2] = metricsFit(sortedKeys(pools), metricsBytes/4, 3)
	return s, names
}

// listed gives the workflows by id; where there are too many, first those that were counted.
func (m *meters) listed() []string {
	ids := m.p.catalog.ids
	if len(ids) <= metricsMost {
		return ids
	}
	listed := sortedKeys(m.of)
	for _, id := range ids {
		if m.of[id] == nil {
			listed = append(listed, id)
		}
	}
	return listed
}

// metricsFit gives the first of the names, in order, of which so many lines each are not too many or too long, and how
// many others there are.
func metricsFit(names []string, most, lines int) (fit []string, left float64) {
	const line = 80 // bytes of one beside the name
	n := 0
	for n < len(names) && n < metricsMost {
		most -= lines * (line + protoSize(names[n]))
		if most < 0 {
			break
		}
		n++
	}
	fit = slices.Clone(names[:n])
	slices.Sort(fit)
	return fit, float64(len(names) - n)
}

// workflowOf looks at one workflow. Only on the loop.
func (m *meters) workflowOf(id string) metricsOf {
	w := metricsOf{name: id}
	for _, run := range m.p.queue.active[id] {
		w.numbers[int(metricsBool(m.state.Runs[run].shownState() != runQueued))]++
	}
	if n := m.of[id]; n != nil {
		w.ended, w.numbers[2] = n.ended, n.seconds
	}
	well, good := math.NaN(), Stamp{}
	if ws := m.state.Workflows[id]; ws != nil {
		good = ws.Good
		for _, o := range ws.Recent {
			well = metricsBool(runWell(o.State))
			r := m.state.Runs[o.Run]
			if ws.Good.IsZero() && r != nil && r.State == runSucceeded { // of an older snapshot
				good = r.Finished
			}
		}
	}
	next, _ := m.p.timetable.sched.dueOf(id)
	w.numbers[3], w.numbers[4], w.numbers[5] = well, metricsTime(good.Time), metricsTime(next)
	w.numbers[6] = metricsBool(m.p.timetable.pausedBy(id) != "")
	return w
}

// agentOf looks at one agent. Only on the loop.
func (m *meters) agentOf(name string) metricsOf {
	a, load := m.p.copier.agentOf(name), math.NaN()
	if a.Load != nil {
		load = *a.Load
	}
	return metricsOf{name: name, numbers: [7]float64{metricsBool(a.State != agentLost),
		metricsBool(a.Draining || a.State == agentDrain), float64(a.Capacity), float64(a.Running), load, a.Skew}}
}

// poolOf looks at one pool. Only on the loop.
func (m *meters) poolOf(name string) metricsOf {
	info := m.p.copier.poolOf(name, 0)
	return metricsOf{name: name, numbers: [7]float64{float64(info.Places), float64(info.Taken), float64(info.Waiting)}}
}
