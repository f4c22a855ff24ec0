// principal.go: the owner loop of the principal. One goroutine owns the state, the queue and the schedule; everybody
// else sends it a call. A turn of the loop reads so: do what was asked and what is due, hand queued runs to agents,
// then commit: one journal append for all events of the turn, and behind its fsync the replies and assignments that
// rest on them. The ops are in principal_ops.go, the agents' side in principal_fleet.go, streams in
// principal_follow.go.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	// runs waiting; more are refused as busy (principal_shares.go: to some before)
	principalMaxQueued    = 10_000
	principalMaxQueuedMem = 64 << 20 // bytes of memory that these take, about: the same, to everybody
	// bytes of a workflow as JSON: it must fit into a frame, with what goes with it
	principalMaxSpec      = 512 << 10
	principalInbox        = 64  // calls that may wait; more make their callers wait
	principalCallsPerTurn = 256 // calls done before one commit,
	// and none is begun after so long: what is due must not wait for all of them
	principalTurn = 5 * time.Millisecond
	// with a schedule, the clock on the wall is looked at this often, in case it was set
	principalClockCheck = 1 * time.Minute
	agentLostAfter      = 15 * time.Second // silence after which an agent's runs are given up
	agentDoubt          = 1 * time.Second  // after which it is looked once more whether nothing came
	principalMaxEcho    = 100              // bytes of a parameter that an error repeats
)

// principalConfig is what a principal is started with.
type principalConfig struct {
	StateDir    string
	NoSync      bool // temporary state: never wait for the disk
	NoScheduler bool
	Boot        string // names this boot of the machine; "" when nobody knows: each start may be the first since then
	Retain      retainLimits
	Zone        *time.Location // of schedules that name none
	Folder      *workflowFolder
	Listening   []string  // where it listens, as endpoints
	Keys        *authKeys // whose keys are let in over tcp; nil: there is no such listener
	Log         *slog.Logger
	now         func() time.Time
	load        func() *float64 // how busy this machine is, nil when nobody knows; nil: nobody does
	// hears, on the loop, how many runs there are when that has changed; nil: nobody does
	tell func(runs, queued int)
	// called in each turn of the loop, which may sleep for as long as it says; nil: as it likes
	pulse func() time.Duration
	// makes what serves the peers that speak another language, see dialect; nil: there are none
	dialect func(*principal) dialect
	// since some instant, by a clock that nobody can set; nil: by Go's, which stands while the machine sleeps
	elapsed func() time.Duration
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
	timetable *timetable
	attention *attention
	copier    *copier
	looks     *looks
	shares    *shares // any goroutine may use it
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
	loop := principalLoopNew(cfg)
	p := &principal{principalLoop: loop, shares: sharesNew()}
	p.catalog = catalogNew(loop)
	p.queue = queueNew(loop)
	p.retention = retentionNew(loop, p.queue, p.catalog)
	p.followers = followersNew(loop, p.queue, p.catalog)
	p.output = outputNew(loop, p.followers, p.retention)
	p.fleet = fleetNew(loop, p.queue, p.output, p.followers)
	p.timetable = timetableNew(loop, p.catalog, p.queue, p.fleet, p.enqueue)
	p.attention = attentionNew(p)
	p.copier = &copier{principalLoop: loop, catalog: p.catalog, queue: p.queue, fleet: p.fleet, timetable: p.timetable}
	p.looks = looksNew(p)
	p.followers.tellAgent = p.fleet.tellFollowed
	if cfg.dialect != nil {
		p.dialect = cfg.dialect(p)
	}
	// Queue, fleet and output come before attention and followers, which look at what those have made of the event.
	p.observers = []func(change){p.queue.observe, p.fleet.observe, p.output.observe, p.retention.observe,
		p.attention.observe, p.followers.observe, p.logEnd}
	err := loop.open(func() { p.retention.kick(true) }, p.followers.wakeJournal)
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
		p.retention.observe(known)
		if r.State == runRunning && r.LogDay != "" {
			n, err := p.logs.lastNumber(r.Workflow, r.ID, logPlaceOf(r))
			if err != nil {
				return fmt.Errorf("read output of run %s: %w", r.ID, err)
			}
			p.output.lines[id] = n
		}
	}
	for id, w := range p.state.Workflows {
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
// of a schedule and for the silence of an agent; it ends when ctx does, with everything written.
func (p *principal) runPrincipal(ctx context.Context) error {
	if p.cfg.Retain != (retainLimits{}) {
		p.workers.Go(p.retention.runRetain)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case fn := <-p.inbox.ch:
			began := time.Now()
			fn()
			for n := 1; n < principalCallsPerTurn && len(p.inbox.ch) > 0 && time.Since(began) < principalTurn; n++ {
				(<-p.inbox.ch)()
			}
		case <-timer.C:
		case <-ctx.Done():
			return p.stop()
		}
		now := p.cfg.now()
		p.timetable.lookAtClock(now)
		p.timetable.fireDue(now)
		p.fleet.giveUpLost(now)
		p.attention.endTroubleAcks(now)
		p.fleet.assignQueued()
		p.commit()
		timer.Reset(p.untilNext(now))
	}
}

// stop ends the principal: no more calls, those that were taken in are done, what is open is written, files are closed.
func (p *principal) stop() error {
	p.inbox.end(func(fn func()) { fn() })
	for _, link := range p.fleet.links {
		link.conn.Cut(nil)
	}
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
	if at, ok := p.timetable.sched.next(); ok {
		wait = min(principalClockCheck, at.Sub(now))
	}
	if p.fleet.mayLose() {
		wait = min(wait, p.fleet.nextLoss.Sub(now))
	}
	wait = p.fleet.untilAsked(now, wait)
	if p.cfg.pulse != nil {
		wait = min(wait, p.cfg.pulse())
	}
	return max(p.dialect.until(now, wait), 0)
}

// commit ends a turn: the events of the turn go to the journal together, and what waits for them behind it.
func (p *principal) commit() {
	for _, e := range p.batch {
		r := p.state.Runs[e.Run]
		if r != nil && e.ends(r) {
			p.store.history(r.clone(), nil)
		}
	}
	p.retention.archive()
	if len(p.batch) > 0 || len(p.onDurable) > 0 || len(p.onDurableLazy) > 0 {
		p.followers.publishEvents(p.batch)
		after := append(p.onDurable, p.onDurableLazy...)
		p.store.append(p.batch, p.batchSync || len(p.onDurable) > 0, func() {
			for _, fn := range after {
				fn()
			}
		})
		p.batch, p.batchSync, p.onDurable, p.onDurableLazy = nil, false, nil, nil
	}
	due := p.store.wantsSnapshot()
	if due || len(p.onSnapshot) > 0 || len(p.retention.trims) > 0 &&
		p.store.failing() == nil {
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
	p.followers.wakeTouched()
	p.tellCount()
}
