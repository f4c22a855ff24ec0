// principal.go: the principal's loop, and what it is made of. One goroutine owns the state; everybody else sends it a
// call. Each turn of the loop does what was asked and what is due, hands queued runs to agents, and commits: it appends
// all events of the turn to the journal at once, and sends the replies and assignments that rest on them when they are
// on disk.
//
// A request comes in by runPeer (principal_ops.go), which has it carried out by a look beside the loop
// (principal_look.go) or by the loop (dispatch). A run comes in by opRun (principal_runs.go) or a tick
// (principal_timetable.go), is queued by enqueue, given to an agent by assignQueued (principal_assign.go), reported on
// to hear (principal_fleet.go), and shown by runFollower (principal_follow.go).

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// runs waiting; more are refused as busy (some parties have fewer: principal_shares.go)
	principalMaxQueued    = 10_000
	principalMaxQueuedMem = 64 << 20 // bytes of memory that these take, about; more are refused as busy
	principalMaxEcho      = 100      // bytes of a parameter that an error repeats

	principalInbox        = 64  // calls that may wait; more make their callers wait
	principalCallsPerTurn = 256 // calls done in one turn of the loop
	// how long after the begin of a turn no more calls are begun: what is due must not wait for all of them
	principalTurn = 5 * time.Millisecond
	// how often the loop looks at the clock on the wall while there is a schedule and nobody tells when it is set
	principalClockCheck = 1 * time.Minute

	agentLostAfter = 30 * time.Second // silence after which an agent's runs are given up
	agentDoubt     = 1 * time.Second  // how long after that its silence is looked at once more
)

// principalConfig is what a principal is started with.
type principalConfig struct {
	// What it keeps, and for how long:

	StateDir string
	NoSync   bool // never wait for the disk: for tests
	Forget   bool // the state ends with the process: it is not written to the disk
	Retain   retainLimits

	// What it schedules:

	Folder      *workflowFolder
	Zone        *time.Location // of schedules that name none
	NoScheduler bool           // nothing fires by schedule
	Alone       bool           // nobody can reach it: what waits for a person fails
	Pools       map[string]int // places of pools that have another number than one
	Environ     []string       // of the commands of listeners; nil: that of this process
	// names this boot of the machine; "": nobody knows, and each start may be the first since
	Boot string

	// Whom it talks to:

	Listening []string  // where it listens, as endpoints
	Keys      *authKeys // whose keys are let in over tcp; nil: it does not listen there
	Log       *slog.Logger
	dialect   func(*principal) dialect // makes what serves peers that speak another language; nil: nothing does
	Alarm     alarmConfig              // whom it tells of what needs a person
	// the file that it keeps its metrics in; "": none
	MetricsFile string

	// What it knows of the machine. Each may be nil.

	now     func() time.Time
	elapsed func() time.Duration // since some instant, by a clock that nobody can set and that goes on in sleep
	load    func() *float64      // how busy this machine is; nil when that is not known

	// follow calls set each time that the clock is set, until ctx ends. Its error says that it does so no more.
	follow func(ctx context.Context, set func()) error

	timer func() wakeTimer // makes what the loop sleeps by

	// Who hears of it, on the loop. Each may be nil.

	tell   func(runs, queued int) // how many runs there are, when that has changed
	pulse  func() time.Duration   // each turn; the loop sleeps no longer than it says
	turned func()                 // at the end of each turn
}

// principal schedules, queues and keeps state. It is its loop and the parts that work on it, each in a file of its
// noun.
type principal struct {
	*principalLoop
	catalog   *catalog
	queue     *queue
	retention *retention
	followers *followers
	output    *output
	fleet     *fleet
	asks      *asks
	batches   *batches
	timetable *timetable
	listeners *listeners
	attention *attention
	alarm     *alarm // nil: none is set
	copier    *copier
	looks     *looks
	shares    *shares // any goroutine may use it
	metrics   *meters
}

// principalOpen opens the state folder and replays the journal. The principal does nothing until runPrincipal is
// called.
func principalOpen(cfg principalConfig) (*principal, error) {
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.elapsed == nil {
		began := time.Now()
		cfg.elapsed = func() time.Duration { return time.Since(began) }
	}
	if cfg.timer == nil {
		cfg.timer = wakeTimerPlain
	}
	loop := principalLoopNew(cfg)
	p := &principal{principalLoop: loop, shares: sharesNew()}
	p.catalog = catalogNew(loop)
	p.queue = queueNew(loop)
	p.retention = retentionNew(loop, p.queue, p.catalog)
	p.followers = followersNew(loop, p.queue, p.catalog)
	p.output = outputNew(loop, p.followers, p.retention)
	p.fleet = fleetNew(loop, p.queue, p.output, p.followers)
	p.timetable = timetableNew(loop, p.catalog, p.queue, p.fleet, p.enqueue)
	p.asks = asksNew(loop, p.fleet, p.catalog, p.enqueue)
	p.listeners = listenersNew(loop, p.catalog, p.timetable, p.enqueue)
	p.batches = batchesNew(p)
	p.attention = attentionNew(p)
	p.copier = &copier{principalLoop: loop, queue: p.queue, fleet: p.fleet, timetable: p.timetable,
		listeners: p.listeners}
	p.metrics = metricsNew(p)
	p.looks = looksNew(p)
	p.alarm = alarmNew(p)
	p.looks.alarm, p.attention.alarm = p.alarm, p.alarm
	p.followers.tellAgent = p.fleet.tellFollowed
	p.listeners.touch = p.followers.news.ofWorkflow
	p.followers.news.copier, p.followers.news.attention = p.copier, p.attention
	if cfg.dialect != nil {
		p.dialect = cfg.dialect(p)
	}
	// Queue, fleet and output come before attention and followers, which look at what those have made of the event.
	p.observers = []func(change){p.queue.observe, p.fleet.observe, p.asks.observe, p.output.observe,
		p.retention.observe, p.timetable.observe, p.listeners.observe, p.attention.observe, p.followers.observe,
		p.batches.observe,
		p.logEnd, p.metrics.observe}
	if p.alarm != nil { // it looks at what attention has made of the event
		p.observers = append(p.observers, p.alarm.observe)
	}
	err := loop.open(p.retention.kick, p.followers.wakeJournal, p.fleet.ackSafe)
	if err != nil {
		return nil, err
	}
	return p, p.recover()
}

// recover rebuilds what is derived from the state. Every agent counts as lost from now on until it says hello.
func (p *principal) recover() error {
	for _, id := range sortedKeys(p.state.Runs) {
		r := p.state.Runs[id]
		known := change{run: r}
		p.queue.observe(known)
		p.fleet.count(known)
		p.asks.recall(r)
		p.fleet.pools.recall(r)
		p.fleet.parts.recall(r)
		p.retention.observe(known)
		if r.State == runRunning && r.LogDay != "" {
			if err := p.output.countLines(r); err != nil {
				return fmt.Errorf("read output of run %s: %w", r.ID, err)
			}
		}
	}
	for id := range p.state.Batches {
		p.batches.recall(id)
	}
	p.timetable.notePause("")
	for id, w := range p.state.Workflows {
		p.timetable.notePause(id)
		p.attention.noteTrouble(id)
		for _, l := range w.Left {
			p.fleet.left[l.Run] = id
		}
	}
	for _, name := range sortedKeys(p.state.Agents) {
		if a := p.state.Agents[name]; a.State != agentLost {
			p.emit(&Event{Kind: evAgentLost, Agent: name, Reason: "the principal started"})
		}
		if (p.fleet.running[name] > 0 || p.fleet.leftAt(name)) && !p.dialect.recovered(name) {
			p.fleet.losing[name] = p.cfg.now().Add(agentLostAfter)
		}
	}
	return nil
}

// runPrincipal is the loop. It wakes for a call (a request, a message of an agent, a changed file), for the next tick
// of a schedule, when the clock is set and for the silence of an agent; it ends when ctx does, with everything written.
func (p *principal) runPrincipal(ctx context.Context) error {
	if p.cfg.Retain != (retainLimits{}) || !p.cfg.NoSync && !p.cfg.Forget {
		p.workers.Go(p.retention.runRetain)
	}
	if p.cfg.follow != nil {
		p.workers.Go(func() { p.timetable.runFollow(ctx) })
	}
	if p.metrics.file != nil {
		p.workers.Go(p.metrics.runFile)
	}
	sleep := principalSleep{wakeTimer: p.cfg.timer()}
	defer sleep.stop()
	p.timetable.whenInForce(func() { p.listeners.begin(ctx) })
	sleep.until(p.cfg.elapsed(), 0)
	for {
		select {
		case fn := <-p.inbox.ch:
			began := time.Now()
			fn()
			for calls := 1; calls < principalCallsPerTurn && len(p.inbox.ch) > 0; calls++ {
				if time.Since(began) >= principalTurn {
					break
				}
				(<-p.inbox.ch)()
			}
		case <-sleep.C:
			sleep.rang()
		case <-ctx.Done():
			return p.stop()
		}
		now := p.cfg.now()
		p.timetable.lookAtClock(now)
		p.timetable.fireDue(now)
		p.timetable.endPauses(now)
		p.listeners.fireDue(now)
		p.fleet.giveUpSilent(now)
		p.asks.settle()
		p.batches.turn()
		p.attention.endTroubleAcks(now)
		p.fleet.assignQueued()
		p.alarm.turn(now)
		p.commit()
		p.metrics.file.turn(now)
		sleep.until(p.cfg.elapsed(), p.untilNext(p.cfg.now()))
		if p.cfg.turned != nil {
			p.cfg.turned()
		}
	}
}

// stop ends the principal: no more calls, those that were taken in are done, what is open is written, files are closed.
func (p *principal) stop() error {
	p.inbox.end(func(fn func()) { fn() })
	for _, link := range p.fleet.links {
		link.conn.Cut(nil)
	}
	p.alarm.finish()
	p.commit()
	p.state.prune(p.cfg.now())
	if p.store.wantsSnapshot() {
		p.store.snapshot(p.state, func(error) {})
	}
	err := p.store.close()
	p.workers.Wait()
	p.logs.close()
	p.notes.end()
	return err
}

// untilNext gives how long the loop may sleep.
func (p *principal) untilNext(now time.Time) time.Duration {
	wait := time.Hour
	if at, ok := p.timetable.sched.firstDue(); ok {
		wait = min(wait, p.timetable.untilDue(at.Sub(now)))
	}
	if at := p.timetable.pauseEnd; !at.IsZero() && p.timetable.settled() {
		wait = min(wait, p.timetable.untilDue(at.Sub(now)))
	}
	if p.fleet.mayLose() {
		wait = min(wait, p.fleet.nextLoss.Sub(now))
	}
	wait = p.listeners.until(now, p.alarm.until(now, p.fleet.untilAsked(now, wait)))
	if p.cfg.pulse != nil {
		wait = min(wait, p.cfg.pulse())
	}
	return max(p.dialect.until(now, wait), 0)
}

// commit ends a turn: what has happened in it is stored, and told to those who follow it.
func (p *principal) commit() {
	ended := p.endedRuns()
	p.retention.archive()
	p.followers.publishEvents(p.batch)
	p.fleet.ackReported()
	p.appendBatch()
	for _, r := range ended { // behind the events: the journal is to say first that the runs ended
		p.store.history(r, nil)
	}
	p.snapshot()
	p.followers.wakeTouched()
	p.tellCount()
}

// endedRuns gives the runs that have ended in this turn: they go into the history.
func (p *principal) endedRuns() (ended []*Run) {
	for _, e := range p.batch {
		r := p.state.Runs[e.Run]
		if r != nil && e.ends(r) {
			ended = append(ended, r)
		}
	}
	return ended
}

// snapshot saves the state when it is time to, when somebody waits for that, or when history is to be cut after it.
func (p *principal) snapshot() {
	due, asked := p.store.wantsSnapshot(), len(p.onSnapshot) > 0
	cuts := len(p.retention.trims) > 0 && p.store.failing() == nil
	if !due && !asked && !cuts {
		return
	}
	p.state.prune(p.cfg.now())
	saved, seq := p.onSnapshot, p.state.Seq
	p.onSnapshot = nil
	p.store.snapshot(p.state, func(err error) {
		if err != nil {
			p.cfg.Log.Error("write snapshot", "cause", err)
		}
		for _, fn := range saved {
			fn(seq, err)
		}
	})
	p.store.historyTrim(p.retention.trims, p.retention.limits.Runs)
	p.retention.trims = nil
	if due {
		p.retention.kick(false)
	}
}

// declarePools puts other numbers of places of pools in force. Only on the loop.
func (p *principal) declarePools(places map[string]int) {
	p.fleet.pools.declare(places)
	p.fleet.assignable = true
	p.followers.news.ofWorkflow("")
	for _, id := range p.catalog.ids {
		if few := p.fleet.pools.tooFewIn(p.catalog.files[id]); few != "" {
			p.cfg.Log.Warn(few)
		}
	}
}

// setFiles takes over what the workflow folder found: new and changed files, and those that are gone. Runs keep the
// version that they were queued with.
func (p *principal) setFiles(changed []workflowFile, removed []string) {
	now := p.cfg.now()
	for _, id := range removed {
		p.catalog.remove(id)
		p.timetable.sched.remove(id)
		p.listeners.remove(id)
		p.attention.noteTrouble(id)
		p.followers.news.ofWorkflow(id)
	}
	for i := range changed {
		f := &changed[i]
		before := p.catalog.put(f)
		p.attention.noteTrouble(f.ID)
		p.followers.news.ofWorkflow(f.ID)
		if f.Spec != nil && (before == nil || before.Spec != f.Spec || before.Days != f.Days) && p.timetable.inForce() {
			p.timetable.schedule(f.Spec, now)
		}
		if f.Spec != nil {
			p.listeners.set(f.Spec)
		}
		if few := p.fleet.pools.tooFewIn(f); few != "" {
			p.cfg.Log.Warn(few)
		}
		for _, fault := range f.Faults {
			if before != nil || !fault.Warning {
				p.cfg.Log.Warn(fault.String())
			}
		}
	}
	p.catalog.sortIDs()
	p.attention.noteWarned()
	p.attention.endFaultAcks()
	p.stirred = true
	p.timetable.begun()
}
