// principal_metrics.go: what the principal counts for those who watch it with Prometheus: runs, fires, tasks, messages.
// Counters begin at 0 with the process, as Prometheus expects. What is, and need not be counted, is looked at when
// somebody asks (principal_metrics_look.go). principal_metrics_table.go says what each number is called and means, and
// principal_metrics_file.go keeps a file of them.

package main

import (
	"strings"
	"sync/atomic"
	"time"
)

const (
	// workflows, agents and pools that have metrics of their own, each; others are only in the sums, and are counted
	metricsMost = 500
	// bytes of metrics of workflows, about, half as many of agents, a quarter of pools; with more, fewer have some
	metricsBytes = 360 << 10
)

// metricsEnds are the states in which runs end, and with them tasks.
var metricsEnds = [...]string{runSucceeded, runFailed, runCrashed, runCancelled, runSkipped}

// metricsTriggers are what fires runs.
var metricsTriggers = [...]string{triggerCron, triggerCatchup, triggerReboot, triggerStart, triggerManual,
	triggerWorkflow, triggerEvent, triggerBackfill, triggerWrap}

// metricsTransports are the ways by which peers come.
var metricsTransports = [...]string{"ipc", "tcp", wireMemory}

// metricsCounts is what was counted since the start. It belongs to the principal's loop.
type metricsCounts struct {
	queued        [len(metricsTriggers)]float64
	ended, tasks  [len(metricsEnds)]float64
	requeued      float64
	retries       float64    // of tasks
	processor     float64    // seconds, of tasks
	fires         [3]float64 // that became a run, that did not, that were missed
	eventsSkipped float64    //
	agentsLost    float64    //
	durations     *histogram // of runs
	waits         *histogram // from being queued to the start of the first attempt
	late          *histogram // from a tick to its run
}

// metricsWorkflow is what was counted of one workflow.
type metricsWorkflow struct {
	ended   [len(metricsEnds)]float64
	seconds float64 // that its runs took
}

// meters counts, and tells. It belongs to the principal's loop, but for what is marked otherwise.
type meters struct {
	*principalLoop
	p       *principal
	count   metricsCounts
	of      map[string]*metricsWorkflow // at most metricsMost
	began   time.Time                   // set once
	traffic metricsTraffic              // any goroutine's
	file    *metricsFile                // nil: none is kept
}

// metricsNew makes the meters of a principal that has counted nothing yet.
func metricsNew(p *principal) *meters {
	return &meters{principalLoop: p.principalLoop, p: p, of: map[string]*metricsWorkflow{}, began: p.cfg.now(),
		file: metricsFileNew(p.cfg), traffic: metricsTraffic{requests: make([]atomic.Int64, len(protoOps))},
		count: metricsCounts{
			durations: histogramNew(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4*3600, 12*3600, 24*3600),
			waits:     histogramNew(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 6*3600),
			late:      histogramNew(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)}}
}

// observe counts what an event says.
func (m *meters) observe(c change) {
	e, n := c.event, &m.count
	m.file.changed()
	switch e.Kind {
	case evQueued:
		metricsCount(metricsTriggers[:], n.queued[:], e.Trigger)
		switch e.Trigger {
		case triggerCron:
			n.fires[0]++
			n.late.add(e.Time.Sub(e.Scheduled.Time))
		case triggerCatchup, triggerReboot, triggerStart:
			n.fires[0]++
		}
	case evSkipped:
		what := 1
		if strings.HasPrefix(e.Reason, schedMissed) {
			what = 2
		}
		n.fires[what] += float64(1 + e.Missed)
	case evEventSkipped:
		n.eventsSkipped++
	case evRequeued:
		n.requeued++
	case evRunStarted:
		if c.run != nil && c.run.Attempt <= 1 {
			n.waits.add(c.run.Started.Sub(c.run.Queued.Time))
		}
	case evTaskRetrying:
		n.retries++
		n.processor += e.Used.CPU
	case evTaskFinished:
		metricsCount(metricsEnds[:], n.tasks[:], e.State)
		n.processor += e.Used.CPU
	case evAgentLost:
		n.agentsLost++
	}
	if c.ended() {
		m.runEnded(c.run)
	}
}

// metricsCount counts one more of a name. One that is not in names is not counted.
func metricsCount(names []string, counts []float64, name string) {
	for i := range names {
		if names[i] == name {
			counts[i]++
		}
	}
}

// runEnded counts the end of a run.
func (m *meters) runEnded(r *Run) {
	metricsCount(metricsEnds[:], m.count.ended[:], r.State)
	ran := !r.Started.IsZero() && r.State != runSkipped // how long its `if` took says nothing of how long runs take
	if ran {
		m.count.durations.add(time.Duration(r.Seconds * float64(time.Second)))
	}
	w := m.of[r.Workflow]
	if w == nil {
		if len(m.of) >= metricsMost {
			return
		}
		w = &metricsWorkflow{}
		m.of[r.Workflow] = w
	}
	metricsCount(metricsEnds[:], w.ended[:], r.State)
	if ran {
		w.seconds += r.Seconds
	}
}

// metricsTraffic counts connections and what goes over them. Any goroutine may use it.
type metricsTraffic struct {
	open, opened [len(metricsTransports)]atomic.Int64
	passed       [4]atomic.Int64 // messages in and out, bytes in and out
	requests     []atomic.Int64  // by the place of the op in protoOps
}

// request counts a request.
func (t *metricsTraffic) request(op string) {
	for i := range protoOps {
		if protoOps[i].Op == op {
			t.requests[i].Add(1)
			return
		}
	}
}

// metricsConn is a connection of which what goes over it is counted.
type metricsConn struct {
	wireConn
	traffic *metricsTraffic
}

// join counts a connection, and gives it as one that counts; the function ends that.
func (t *metricsTraffic) join(conn wireConn) (wireConn, func()) {
	at := 0
	for i, name := range metricsTransports {
		if name == conn.Peer().Transport {
			at = i
		}
	}
	t.open[at].Add(1)
	t.opened[at].Add(1)
	return &metricsConn{conn, t}, func() { t.open[at].Add(-1) }
}

// pass counts a message: 0 that came in, 1 that goes out.
func (c *metricsConn) pass(way int, frames [][]byte) {
	c.traffic.passed[way].Add(1)
	for i := range frames {
		c.traffic.passed[2+way].Add(int64(len(frames[i])))
	}
}

// Send: see wireConn.
func (c *metricsConn) Send(frames ...[]byte) error {
	err := c.wireConn.Send(frames...)
	if err == nil {
		c.pass(1, frames)
	}
	return err
}

// TrySend: see wireConn.
func (c *metricsConn) TrySend(frames ...[]byte) bool {
	ok := c.wireConn.TrySend(frames...)
	if ok {
		c.pass(1, frames)
	}
	return ok
}

// Recv: see wireConn.
func (c *metricsConn) Recv() ([][]byte, error) {
	frames, err := c.wireConn.Recv()
	if err == nil {
		c.pass(0, frames)
	}
	return frames, err
}
