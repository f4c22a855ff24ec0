// principal_loop.go: what the principal's loop owns, and all of its parts work with: the state, the events of the turn,
// and what waits for these to be on disk. emit is the only way to change the state.

package main

import "sync"

// principalLoop is the state and the turn. Its fields belong to the goroutine of runPrincipal, but for those marked
// otherwise. Every part of the principal has it, and belongs to the same goroutine.
type principalLoop struct {
	cfg principalConfig
	// append and snapshot are the loop's; any goroutine may read from it
	store *store
	// append is the loop's; any goroutine may read from it
	logs  *logs
	state *State // changed by emit alone
	// serves the peers that speak another language; set once
	dialect dialect
	// are told of each event that was applied, one after the other
	observers []func(change)

	// events of this turn, applied but not yet in the journal
	batch []*Event
	// when it is to be on the disk
	batchWait storeWait
	// what to do once the batch is on disk, in order, on the store's goroutine
	onDurable []func()
	// something that needs a person may have come or gone since the alarm looked
	stirred bool
	// what to do once the next snapshot is saved, which is asked for at once
	onSnapshot []func(seq uint64, err error)

	// From any goroutine:

	inbox   *loopInbox[func()] // of call
	ended   chan struct{}      // closed when the loop is over: the inbox's
	workers sync.WaitGroup     // goroutines that the principal waits for when it stops
	notes   *peerNotes
}

// principalLoopNew makes a loop that has no state yet: see open.
func principalLoopNew(cfg principalConfig) *principalLoop {
	inbox := loopInboxNew[func()](principalInbox)
	return &principalLoop{cfg: cfg, dialect: noDialect{}, notes: peerNotesNew(cfg.Log), inbox: inbox,
		ended: inbox.ended}
}

// open reads the state folder. onFiles is called when old files are to be looked at, true when the disk is full,
// onWritten when the journal has grown, onSynced when what waited for the disk was done.
func (l *principalLoop) open(onFiles func(full bool), onWritten, onSynced func()) error {
	store, state, report, err := storeOpen(storeOptions{onFull: func() { onFiles(true) },
		onStale: func() { onFiles(false) }, Dir: l.cfg.StateDir, NoSync: l.cfg.NoSync, Forget: l.cfg.Forget,
		now: l.cfg.now, onHealth: l.storeHealth, onWritten: onWritten, onSynced: onSynced})
	if err != nil {
		return err
	}
	for _, line := range report.Notes {
		l.cfg.Log.Warn(line)
	}
	l.store, l.state = store, state
	l.logs, err = logsOpen(l.cfg.StateDir + "/logs")
	if err != nil {
		store.close()
	}
	return err
}

// stir is stirred from another goroutine, which may not wait for the loop.
func (l *principalLoop) stir() {
	l.workers.Go(func() { l.call(func() { l.stirred = true }) })
}

// storeHealth is told by the store when the disk begins to fail (err) and when it works again (nil).
func (l *principalLoop) storeHealth(err error) {
	l.stir()
	if err != nil {
		l.cfg.Log.Error("cannot write the journal: new runs are refused until it works again", "cause", err)
		return
	}
	l.cfg.Log.Info("the journal can be written again")
}

// call has fn done by the loop. False when the loop is over, and fn is not done. Not from the loop itself.
func (l *principalLoop) call(fn func()) bool { return l.inbox.put(fn) }

// principalAsk has the loop make a value, and waits for it. False when the loop is over. Not from the loop itself.
func principalAsk[T any](loop interface{ call(func()) bool }, fn func() T) (value T, ok bool) {
	answer := make(chan T, 1)
	if !loop.call(func() { answer <- fn() }) {
		return value, false
	}
	return <-answer, true // what was taken in is done
}

// emit applies an event of this turn and puts it into the batch. An event that does not fit is an error, and is not
// journaled; for the principal's own events that is a fault in this program, and is logged.
func (l *principalLoop) emit(e *Event) error {
	if e.Time.IsZero() {
		e.Time = stampOf(l.cfg.now())
	}
	e.Seq = l.state.Seq + 1
	c := change{event: e}
	if r := l.state.Runs[e.Run]; r != nil {
		c.before, c.agent, c.ahead, c.parked = r.State, r.Agent, r.Ahead, r.Parked
	}
	oldest := ""
	if len(l.state.Finished) > 0 {
		oldest = l.state.Finished[0]
	}
	err := e.writable()
	if err == nil {
		err = l.state.apply(e)
	}
	if err != nil {
		l.state.Seq = e.Seq - 1
		if e.N == 0 {
			l.cfg.Log.Error("internal error", "cause", err)
		}
		return err
	}
	l.batch = append(l.batch, e)
	l.batchWait = max(l.batchWait, loopWait(e))
	c.run = l.state.Runs[e.Run]
	switch {
	case c.run == nil && c.before != "":
		c.forgotten = e.Run
	case l.state.Runs[oldest] == nil:
		c.forgotten = oldest
	}
	for _, observe := range l.observers {
		observe(c)
	}
	return nil
}

// loopWait says when an event must be on the disk. Who waits for the end of a run asks for it himself, and a run that
// is given ahead waits for a place. With the end of a run that has handlers its agent waits.
func loopWait(e *Event) storeWait {
	switch e.Kind {
	case evAssigned:
		if e.Ahead {
			return storeSoon
		}
		return storeNow
	case evRunEnding, evRunFinished, evListening:
		return storeSoon
	case evQueued, evRequeued, evHandlers, evCancelling, evTaskStopping, evTaskAsked, evTaskPlaced,
		evTaskAnswered, evRunEnded,
		evPaused,
		evResumed, evAdopted, evAcked, evTold, evBatch, evBatchStopped, evRecorded,
		evWrapForgot, evAgentDrained, evAgentUndrain, evAgentForgot:
		return storeNow
	}
	return storeLate
}

// change is an event that was folded just now, and what it has changed.
type change struct {
	event         *Event
	run           *Run   // that the event is of; nil: of none that is in memory
	before, agent string // the state and the agent that the run had; "" for a run that was not there
	ahead         bool   // it was given ahead, and had not begun
	parked        bool   // all that was at work in it waited for an answer
	forgotten     string // the run that is not in memory any more, for itself or for one that ended later; "": none
}

// moved says whether the run has another state now.
func (c *change) moved() bool { return c.run != nil && c.run.State != c.before }

// began says whether the run has become active.
func (c *change) began() bool { return c.moved() && runActive(c.run.State) && !runActive(c.before) }

// ended says whether the run was active and is not any more.
func (c *change) ended() bool { return c.moved() && runActive(c.before) && !runActive(c.run.State) }

// appendBatch has the store append the events of this turn, and then do what waits for them.
func (l *principalLoop) appendBatch() {
	if len(l.batch)+len(l.onDurable) == 0 {
		return
	}
	after := l.onDurable
	l.store.append(l.batch, l.batchWait, func() {
		for _, fn := range after {
			fn()
		}
	})
	l.batch, l.batchWait, l.onDurable = nil, storeLate, nil
}

// whenDurable has fn done once everything emitted so far is safe on disk. It runs on another goroutine: it may send,
// and must not touch the principal's fields.
func (l *principalLoop) whenDurable(fn func()) { l.onceDurable(storeNow, fn) }

// onceDurable is whenDurable for what can wait for longer.
func (l *principalLoop) onceDurable(wait storeWait, fn func()) {
	l.batchWait = max(l.batchWait, wait)
	l.onDurable = append(l.onDurable, fn)
}
