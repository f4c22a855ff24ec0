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
	"slices"
	"sort"
	"strings"
	"sync"
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
	// since some instant, by a clock that nobody can set; nil: by Go's, which stands while the machine sleeps
	elapsed func() time.Duration
}

// principal schedules, queues, keeps state. Its fields belong to the goroutine of run, but for those marked otherwise.
type principal struct {
	cfg   principalConfig
	store *store // append and snapshot from the loop, reads from anywhere
	logs  *logs  // append from the loop, reads from anywhere
	state *State
	sched *sched

	files     map[string]*workflowFile    // what the folder says now
	ids       []string                    // of files, sorted; never changed, only replaced: looks keep it
	warned    *AttentionItem              // of files that are warned of, nil: there are none
	hashes    map[*Workflow]principalHash // of specs of files, as far as they were run
	troubled  map[string]bool             // workflows with something that needs a person, acknowledged or not
	queue     []*Run                      // queued runs, in the order in which they are to go
	queuedBy  map[string]int              // how many of them each has queued; "" is the principal itself
	queuedMem int64                       // memory that these take, about; see principalRunMem
	kept      principalKept               // those that have ended, the same
	// when those were queued that are not queued for the first time, or were when we started
	requeued  map[string]time.Time
	active    map[string][]string         // workflow -> its active runs, oldest first
	running   map[string]int              // agent -> runs it was given
	counted   bool                        // cfg.tell knows how many
	lines     map[string]int64            // active run -> highest line of output stored
	lost      map[string]lostLines        // active run -> output that is not stored, nor told of
	live      map[string]*liveRun         // active runs of which lines without an end are followed
	lostTold  time.Time                   // when that was last complained about
	dropped   map[string]attentionDropped // workflow -> output that was dropped since we started
	troubleAt time.Time                   // when acknowledged troubles are next looked at
	links     map[string]*agentLink       // agents that are connected
	// agents that are not, with runs or with what these left: when that is given up
	losing map[string]time.Time
	// runs that left processes which live at an agent that could not end them -> their workflows
	left     map[string]string
	nextLoss time.Time // no agent is to be dropped, and no run to be given up, before this
	loaded   bool      // the folder was read once
	held     bool      // schedules wait for beginSchedules; set before runPrincipal

	refusals map[dispatchWhat]*dispatchRefusal // what agents did not take, see principal_refused.go

	clockWall    time.Time     // the clock on the wall at the last turn
	clockElapsed time.Duration // and the one that nobody can set

	batch      []*Event // events of this turn, applied but not yet in the journal
	batchSync  bool     // one of them must be safe before the turn's replies go out
	after      []func() // what to do once the batch is safe, and soon; runs on the store's goroutine
	lazily     []func() // the same, whenever the disk is written next
	touched    map[string]bool
	assignable bool // something changed that may let a queued run go
	watchers   map[*watcher]bool
	news       map[*newsWatcher]bool
	trims      []string // folders of history to be cut behind the next snapshot
	retain     *retain
	// what to do once the next snapshot is saved; runs on the store's goroutine
	saved []func(seq uint64, err error)

	journalMu       sync.Mutex // guards journalWatchers, which the store's goroutine wakes
	journalWatchers map[*watcher]bool

	subscribers map[*subscriber]bool
	compat      compatState // what is known of CDKTR's agents
	shares      *shares     // from anywhere
	notes       *peerNotes  // the same

	asking  chan struct{}      // places of looks that ask the loop, see principal_look.go
	reading chan struct{}      // and of those that read files
	inbox   *loopInbox[func()] // from anywhere, by call
	ended   chan struct{}      // closed when the loop is over: the inbox's
	workers sync.WaitGroup
}

// principalOpen opens the state folder and replays the journal. The principal does nothing until run is called.
func principalOpen(cfg principalConfig) (*principal, error) {
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.elapsed == nil {
		began := time.Now()
		cfg.elapsed = func() time.Duration { return time.Since(began) }
	}
	p := &principal{cfg: cfg, sched: schedNew(cfg.Zone), files: map[string]*workflowFile{},
		hashes: map[*Workflow]principalHash{}, troubled: map[string]bool{}, queuedBy: map[string]int{},
		kept: principalKept{runs: map[string]int64{}, most: principalMaxKept}, requeued: map[string]time.Time{},
		active:  map[string][]string{},
		running: map[string]int{}, lines: map[string]int64{}, lost: map[string]lostLines{}, live: map[string]*liveRun{},
		links: map[string]*agentLink{}, losing: map[string]time.Time{}, left: map[string]string{},
		refusals: map[dispatchWhat]*dispatchRefusal{},
		touched:  map[string]bool{}, watchers: map[*watcher]bool{}, news: map[*newsWatcher]bool{},
		journalWatchers: map[*watcher]bool{},
		subscribers:     map[*subscriber]bool{}, compat: compatStateNew(), shares: sharesNew(),
		notes: peerNotesNew(cfg.Log), inbox: loopInboxNew[func()](principalInbox),
		asking: make(chan struct{}, lookMaxAsking), reading: make(chan struct{}, lookMaxReading)}
	p.ended = p.inbox.ended
	p.retain = &retain{p: p, limits: cfg.Retain, seen: map[string]int64{}, wake: make(chan bool, 1)}
	store, state, report, err := storeOpen(storeOptions{onFull: func() { p.retain.kick(true) }, Dir: cfg.StateDir,
		NoSync: cfg.NoSync, now: cfg.now, onHealth: p.storeHealth, onWritten: p.wakeEventFollowers})
	if err != nil {
		return nil, err
	}
	for _, line := range report.Notes {
		cfg.Log.Warn(line)
	}
	p.store, p.state = store, state
	p.clockWall, p.clockElapsed = cfg.now().Round(0), cfg.elapsed()
	if p.logs, err = logsOpen(cfg.StateDir + "/logs"); err != nil {
		store.close()
		return nil, err
	}
	return p, p.recover()
}

// recover rebuilds what is derived from the state. Every agent counts as lost from now on until it says hello.
func (p *principal) recover() error {
	for _, id := range sortedKeys(p.state.Runs) {
		r := p.state.Runs[id]
		p.reindex(r, "", "")
		if r.State == runRunning && r.LogDay != "" {
			n, err := p.logs.lastNumber(r.Workflow, r.ID, logPlaceOf(r))
			if err != nil {
				return fmt.Errorf("read output of run %s: %w", r.ID, err)
			}
			p.lines[id] = n
		}
	}
	for id, w := range p.state.Workflows {
		for _, l := range w.Left {
			p.left[l.Run] = id
		}
	}
	for _, name := range sortedKeys(p.state.Agents) {
		if a := p.state.Agents[name]; a.State != agentLost {
			p.emit(&Event{Kind: evAgentLost, Agent: name, Reason: "the principal started"})
		}
		if (p.running[name] > 0 || p.leftAt(name)) && !p.compatRecover(name) {
			p.losing[name] = p.cfg.now().Add(agentLostAfter)
		}
	}
	return nil
}

// storeHealth is told by the store when the disk begins to fail (err) and when it works again (nil).
func (p *principal) storeHealth(err error) {
	if err != nil {
		p.cfg.Log.Error("cannot write the journal: new runs are refused until it works again", "cause", err)
		return
	}
	p.cfg.Log.Info("the journal can be written again")
}

// call has fn done by the loop. False when the loop is over, and fn is not done. Not from the loop itself.
func (p *principal) call(fn func()) bool { return p.inbox.put(fn) }

// principalAsk has the loop make a value, and waits for it. False when the loop is over. Not from the loop itself.
func principalAsk[T any](p *principal, fn func() T) (value T, ok bool) {
	answer := make(chan T, 1)
	if !p.call(func() { answer <- fn() }) {
		return value, false
	}
	return <-answer, true // what was taken in is done
}

// runPrincipal is the loop. It wakes for a call (a request, a message of an agent, a changed file), for the next tick
// of a schedule and for the silence of an agent; it ends when ctx does, with everything written.
func (p *principal) runPrincipal(ctx context.Context) error {
	if p.cfg.Retain != (retainLimits{}) {
		p.workers.Go(p.retain.runRetain)
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
		p.lookAtClock(now)
		p.fireDue(now)
		p.giveUpLost(now)
		p.endTroubleAcks(now)
		p.assignQueued()
		p.commit()
		timer.Reset(p.untilNext(now))
	}
}

// stop ends the principal: no more calls, those that were taken in are done, what is open is written, files are closed.
func (p *principal) stop() error {
	p.inbox.end(func(fn func()) { fn() })
	for _, link := range p.links {
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
	if at, ok := p.sched.next(); ok {
		wait = min(principalClockCheck, at.Sub(now))
	}
	if p.mayLose() {
		wait = min(wait, p.nextLoss.Sub(now))
	}
	wait = p.untilAsked(now, wait)
	if p.cfg.pulse != nil {
		wait = min(wait, p.cfg.pulse())
	}
	return max(p.compatUntil(now, wait), 0)
}

// emit applies an event of this turn and puts it into the batch. An event that does not fit is an error, and is not
// journaled; for the principal's own events that is a fault in this program, and is logged.
func (p *principal) emit(e *Event) error {
	if e.Time.IsZero() {
		e.Time = stampOf(p.cfg.now())
	}
	e.Seq = p.state.Seq + 1
	before, agent, oldest := "", "", ""
	if r := p.state.Runs[e.Run]; r != nil {
		before, agent = r.State, r.Agent
	}
	if len(p.state.Finished) > 0 {
		oldest = p.state.Finished[0]
	}
	err := p.state.apply(e)
	if err != nil {
		p.state.Seq = e.Seq - 1
		if e.N == 0 {
			p.cfg.Log.Error("internal error", "cause", err)
		}
		return err
	}
	p.batch = append(p.batch, e)
	switch e.Kind {
	case evQueued, evRequeued, evAssigned, evCancelling, evTaskStopping, evRunEnded, evRunFinished, evPaused, evResumed,
		evAdopted, evAcked,
		evAgentDrained, evAgentUndrain, evAgentForgot:
		p.batchSync = true
	}
	if r := p.state.Runs[e.Run]; r != nil {
		p.touched[r.ID] = true
		p.reindex(r, before, agent)
	}
	if p.state.Runs[oldest] == nil { // one more has ended, or it takes too much
		p.kept.remove(oldest)
	}
	if e.Workflow != "" {
		p.noteTrouble(e.Workflow)
	}
	p.indexLeft(e)
	p.newsOf(e, before, agent)
	p.logEnd(e)
	return nil
}

// reindex brings queue, active and running up to date after a run changed; before and agent are its state and agent
// before that ("" for a run that was not there).
func (p *principal) reindex(r *Run, before, agent string) {
	if before == r.State {
		return
	}
	p.assignable, p.counted = true, false
	if runActive(r.State) {
		p.kept.remove(r.ID)
	} else {
		p.kept.add(r)
	}
	if before == runQueued {
		p.queuedMem -= principalRunMem(r.Params, len(r.Tasks))
		p.queue = slices.DeleteFunc(p.queue, func(q *Run) bool { return q == r })
		if p.queuedBy[r.By]--; p.queuedBy[r.By] == 0 {
			delete(p.queuedBy, r.By)
		}
		delete(p.requeued, r.ID)
	}
	if before == runRunning {
		p.running[agent]--
	}
	switch r.State {
	case runQueued:
		at := sort.Search(len(p.queue), func(i int) bool { return queuedBefore(r, p.queue[i]) })
		p.queue = slices.Insert(p.queue, at, r)
		p.queuedBy[r.By]++
		p.queuedMem += principalRunMem(r.Params, len(r.Tasks))
		if r.Attempt > 1 || r.Lease > 0 {
			p.requeued[r.ID] = p.cfg.now()
		}
	case runRunning:
		p.running[r.Agent]++
	}
	switch was, is := runActive(before), runActive(r.State); {
	case is && !was:
		p.active[r.Workflow] = append(p.active[r.Workflow], r.ID)
	case was && !is:
		p.active[r.Workflow] = slices.DeleteFunc(p.active[r.Workflow], func(id string) bool { return id == r.ID })
		if len(p.active[r.Workflow]) == 0 {
			delete(p.active, r.Workflow)
		}
		p.tellLost(r)
		delete(p.lines, r.ID)
	}
}

// queuedBefore is the order of the queue: higher priority first, then the older run.
func queuedBefore(a, b *Run) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.ID < b.ID
}

// afterCommit has fn done once everything emitted so far is safe on disk. It runs on another goroutine: it may send,
// and must not touch the principal's fields.
func (p *principal) afterCommit(fn func()) { p.after = append(p.after, fn) }

// commit ends a turn: the events of the turn go to the journal together, and what waits for them behind it.
func (p *principal) commit() {
	for _, e := range p.batch {
		if r := p.state.Runs[e.Run]; r != nil && e.ends(r) {
			p.store.history(r.clone(), nil)
		}
	}
	p.archive()
	if len(p.batch) > 0 || len(p.after) > 0 || len(p.lazily) > 0 {
		p.publishEvents(p.batch)
		after := append(p.after, p.lazily...)
		p.store.append(p.batch, p.batchSync || len(p.after) > 0, func() {
			for _, fn := range after {
				fn()
			}
		})
		p.batch, p.batchSync, p.after, p.lazily = nil, false, nil, nil
	}
	if due := p.store.wantsSnapshot(); due || len(p.saved) > 0 || len(p.trims) > 0 && p.store.failing() == nil {
		p.state.prune(p.cfg.now())
		saved, seq := p.saved, p.state.Seq
		p.saved = nil
		p.store.snapshot(p.state, func(err error) {
			if err != nil {
				p.cfg.Log.Error("write snapshot", "cause", err)
			}
			for _, fn := range saved {
				fn(seq, err)
			}
		})
		p.store.historyTrim(p.trims, p.retain.limits.Runs)
		p.trims = nil
		if due {
			p.retain.kick(false)
		}
	}
	p.wakeWatchers()
	p.tellCount()
}

// setFiles takes over what the workflow folder found: new and changed files, and those that are gone. Runs keep the
// version that they were queued with.
func (p *principal) setFiles(changed []workflowFile, removed []string) {
	now := p.cfg.now()
	for _, id := range removed {
		if f := p.files[id]; f != nil {
			delete(p.hashes, f.Spec)
		}
		delete(p.files, id)
		p.sched.remove(id)
		p.noteTrouble(id)
		p.newsWorkflow(id)
	}
	for i := range changed {
		f := &changed[i]
		before := p.files[f.ID]
		if p.files[f.ID] = f; before != nil && before.Spec != f.Spec {
			delete(p.hashes, before.Spec)
		}
		p.noteTrouble(f.ID)
		p.newsWorkflow(f.ID)
		if f.Spec != nil && !p.cfg.NoScheduler && !p.held && (before == nil || before.Spec != f.Spec) {
			p.schedule(f.Spec, now)
		}
		for _, fault := range f.Faults {
			if before != nil || !fault.Warning {
				p.cfg.Log.Warn(fault.String())
			}
		}
	}
	p.ids = sortedKeys(p.files)
	p.noteWarned()
	p.endFaultAcks()
	p.begun()
}

// schedule puts a workflow's schedule in force. Where it was in force before under the same words, the ticks since the
// last decided one were missed, and its catch-up policy says what becomes of them.
func (p *principal) schedule(w *Workflow, now time.Time) {
	pending, waits := p.sched.pending(w.ID)
	entry, err := p.sched.set(w, now)
	if err != nil {
		p.cfg.Log.Error("schedule", "cause", err)
		return
	}
	if entry == nil {
		return
	}
	known := p.state.Workflows[w.ID]
	switch {
	case known == nil || known.Schedule != schedSignature(w):
		p.countAnew(w, now)
	case waits && pending.Before(now): // its jitter, or this turn, comes between the tick and its decision
		p.sched.advance(entry, pending.Add(-time.Nanosecond))
	case !p.loaded && known.Tick.After(now):
		p.setBackBefore(entry, known.Tick.Time, now)
	case !p.loaded:
		if from := now.Add(-entry.jitter); from.After(known.Tick.Time) {
			p.sched.advance(entry, from) // the same: what is not missed yet is still to come
		} else {
			p.sched.advance(entry, known.Tick.Time)
		}
		ticks, total := entry.missed(known.Tick.Time, now)
		p.decide(w, schedCatchup(w, ticks, total, now, "the principal was down", p.pausedBy(w.ID)), triggerCatchup)
	}
	switch {
	case p.loaded: // a file that came later is for the next time
	case entry.reboots() && p.booted():
		p.decide(w, []schedVerdict{p.verdictOf(w, now)}, triggerReboot)
	case entry.starts():
		p.decide(w, []schedVerdict{p.verdictOf(w, now)}, triggerStart)
	}
}

// fireDue decides every tick that is due.
func (p *principal) fireDue(now time.Time) {
	for _, t := range p.sched.due(now) {
		if entry := p.sched.entries[t.spec.ID]; now.Sub(t.tick.Add(entry.jitter)) > schedLate {
			ticks, total := entry.missed(t.tick.Add(-time.Nanosecond), now)
			p.decide(t.spec, schedCatchup(t.spec, ticks, total, now, "this machine slept", p.pausedBy(t.spec.ID)),
				triggerCatchup)
			continue
		}
		p.decide(t.spec, []schedVerdict{p.verdictOf(t.spec, t.tick)}, triggerCron)
	}
}

// verdictOf says what becomes of a tick as things are now.
func (p *principal) verdictOf(w *Workflow, tick time.Time) schedVerdict {
	return schedDecide(w, tick, p.pausedBy(w.ID), p.active[w.ID], p.leftAlive(w.ID, ""))
}

// decide carries verdicts out, and records each.
func (p *principal) decide(w *Workflow, verdicts []schedVerdict, trigger string) {
	for _, v := range verdicts {
		if v.fire {
			_, refused := p.enqueue(w, fire{trigger: trigger, scheduled: v.tick, reason: v.reason, missed: v.missed})
			if refused == nil {
				continue
			}
			v.reason = refused.Message
		}
		p.emit(&Event{Kind: evSkipped, Workflow: w.ID, Scheduled: stampOf(v.tick), Reason: v.reason, Missed: v.missed})
	}
}

// pausedBy gives who paused a workflow's schedule, "" when it is not paused.
func (p *principal) pausedBy(id string) string {
	if w := p.state.Workflows[id]; w != nil && w.Paused != "" {
		return w.Paused
	}
	return p.state.PausedAll
}

// replaceActive cancels the active runs of a workflow, for a new one to take their place.
func (p *principal) replaceActive(workflow string) {
	for _, id := range slices.Clone(p.active[workflow]) {
		p.cancelRun(p.state.Runs[id], "replaced by a newer run", false, "", "")
	}
}

// fire is what asks for a run.
type fire struct {
	trigger   string
	scheduled time.Time
	reason    string
	missed    int
	params    map[string]string
	checked   *paramsChecked // the same; nil: not yet
	key       string
	scope     string     // of the key
	grant     *authGrant // of who asks for it; nil is the principal itself
	by, from  string
}

// enqueue makes a run of the workflow's present version and puts it into the queue, in place of the active ones where
// overlap says so. A refusal changes nothing. The caller answers after commit.
func (p *principal) enqueue(w *Workflow, f fire) (string, *protoError) {
	if refused := p.mayQueue(f.grant, f.by); refused != nil {
		return "", refused
	}
	params, refused := paramsFor(w, f.params, f.checked)
	if refused != nil {
		return "", refused
	}
	hash, size := p.hashOf(w)
	if size > principalMaxSpec {
		return "", refuse(codeInvalid, "workflow %s is too large to be sent to an agent: %d bytes, at most %d", w.ID,
			size, principalMaxSpec)
	}
	if w.Overlap == overlapReplace {
		p.replaceActive(w.ID)
	}
	if p.state.Versions[hash] == nil {
		p.emit(&Event{Kind: evVersion, Workflow: w.ID, Version: hash, Spec: w})
	}
	id := runID(p.cfg.now(), p.state.LastRun)
	p.emit(&Event{Kind: evQueued, Run: id, Workflow: w.ID, Version: hash, Params: params, Trigger: f.trigger,
		Scheduled: stampOf(f.scheduled), Reason: f.reason, Missed: f.missed, Priority: w.Priority, Key: f.key,
		Scope: f.scope, By: f.by, From: f.from})
	return id, nil
}

// principalHash is the name of a version of a workflow, and its size as JSON.
type principalHash struct {
	name string
	size int
}

// hashOf is the hash of a workflow that a file has now, which is made once for each version of the file.
func (p *principal) hashOf(w *Workflow) (name string, size int) {
	h, ok := p.hashes[w]
	if !ok {
		h.name, h.size = w.hash()
		if f := p.files[w.ID]; f != nil && f.Spec == w { // what comes and goes with its file
			p.hashes[w] = h
		}
	}
	return h.name, h.size
}

// principalRunMem gives about how much memory a queued run takes.
func principalRunMem(params map[string]string, tasks int) int64 {
	const run, task = 1 << 10, 300
	return int64(run + tasks*task + paramsSize(params))
}

// paramsOf checks the parameters that a run was given against what the workflow declares, and adds the defaults.
func paramsOf(w *Workflow, given map[string]string) (map[string]string, *protoError) {
	names := sortedKeys(w.Params)
	for _, name := range sortedKeys(given) {
		param, ok := w.Params[name]
		if !ok {
			message := fmt.Sprintf("workflow %s has no parameter %q", w.ID, name)
			if near := nearest(name, names); near != "" {
				message += fmt.Sprintf(" (did you mean %q?)", near)
			} else if len(names) > 0 {
				message += " (it has: " + strings.Join(names, ", ") + ")"
			}
			return nil, refuse(codeInvalid, "%s", message)
		}
		if re, err := paramPattern(param.Pattern); err != nil || param.Pattern != "" && !re.MatchString(given[name]) {
			return nil, refuse(codeInvalid, "parameter %s: %q does not match the pattern %s", name,
				textHead(given[name], principalMaxEcho), param.Pattern)
		}
	}
	params := make(map[string]string, len(names))
	for _, name := range names {
		value, ok := given[name]
		if !ok {
			if w.Params[name].Required {
				return nil, refuse(codeInvalid, "parameter %s is missing: give it with -p %s=VALUE", name, name)
			}
			value = w.Params[name].Default
		}
		params[name] = value
	}
	if err := paramsFault(params); err != nil {
		return nil, refuse(codeInvalid, "%v", err)
	}
	return params, nil
}
