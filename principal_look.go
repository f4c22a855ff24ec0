// principal_look.go: how requests that only look are carried out. Each is a look: a goroutine of its own, which has the
// loop copy what it needs and does the rest itself: patterns, sorting, reading files, making the reply. So nobody who
// asks can choose how long the loop is busy. Looks have slots, of which there are few, and each party has a share of
// them (principal_shares.go). The ops are in principal_list.go, principal_follow.go, principal_watch.go,
// principal_attention.go and principal_stats.go.

package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

const (
	lookMaxUnder   = 16 // looks of one connection that are under way or wait for a slot; one more is answered busy
	lookMaxAsking  = 2  // looks at once that have the loop copy something, or compute; others wait
	lookMaxReading = 8  // looks at once that read files; others wait

	lookTurn = 2 * time.Millisecond // of the loop's time, for one copy of many rows
	lookRows = 100                  // rows of one such copy
)

// lookPeer counts the looks of a connection, as a part of those of its party. Any goroutine may use it.
type lookPeer struct {
	under atomic.Int32
	party *shareParty
}

// looks carries out the requests that only look. Its methods run on the goroutines of the requests, and have the loop
// copy what they need, but for those that say that they are only for the loop.
type looks struct {
	*principalLoop
	catalog   *catalog
	queue     *queue
	followers *followers
	news      *news
	timetable *timetable
	attention *attention
	alarm     *alarm // nil: none is set
	batches   *batches
	copier    *copier
	metrics   *meters

	asking  chan struct{} // slots of looks that ask the loop or compute
	reading chan struct{} // slots of looks that read files
}

// looksNew makes looks at the parts of a principal.
func looksNew(p *principal) *looks {
	return &looks{principalLoop: p.principalLoop, catalog: p.catalog, queue: p.queue, followers: p.followers,
		news: p.followers.news, timetable: p.timetable, attention: p.attention, batches: p.batches, copier: p.copier,
		metrics: p.metrics,
		asking:  make(chan struct{}, lookMaxAsking), reading: make(chan struct{}, lookMaxReading)}
}

// principalLooks is the table of the ops that only look; principalOps has the others. Each runs on a goroutine of its
// own, with a slot among those that ask.
var principalLooks = opTable[*looks]{
	{"help", (*looks).lookHelp}, {"ls", (*looks).lookLs}, {"show", (*looks).lookShow}, {"ps", (*looks).lookPs},
	{"next", (*looks).lookNext}, {"why", (*looks).lookWhy}, {"agents", (*looks).lookAgents},
	{"pools", (*looks).lookPools}, {"batches", (*looks).lookBatches},
	{"logs", (*looks).lookLogs}, {"events", (*looks).lookEvents}, {"watch", (*looks).lookWatch},
	{"attention", (*looks).lookAttention}, {"stats", (*looks).lookStats}, {"rescan", (*looks).lookRescan},
	{"metrics", (*looks).lookMetrics},
}

// beginLook counts one more look of the connection, or says that there are too many.
func (c *opCall) beginLook() *protoError {
	if c.peer.under.Add(1) > lookMaxUnder {
		c.peer.under.Add(-1)
		return refuse(codeBusy, "%d requests that only look are under way on this connection: wait for one of them",
			lookMaxUnder)
	}
	if party := c.peer.party; !party.take(&party.looks, sharesLooks) {
		c.peer.under.Add(-1)
		return refuse(codeBusy, "%d requests of %s that only look are under way: wait for one of them", sharesLooks,
			party.name)
	}
	c.looking = true
	return nil
}

// endLook counts a look no more: it has ended, or has become a stream.
func (c *opCall) endLook() {
	c.leaveSlot()
	if c.looking {
		c.looking = false
		c.peer.under.Add(-1)
		c.peer.party.give(&c.peer.party.looks)
	}
}

// takeSlot waits for a slot. False when nobody waits for the answer any more, or the principal stops; the peer is
// told. Nobody waits for a slot while having another.
func (l *looks) takeSlot(c *opCall, slots chan struct{}) bool {
	if l.waitSlot(c, slots) {
		return true
	}
	select {
	case <-c.stopped:
		c.reply(Reply{})
	case <-l.ended:
		l.refuseStopping(c)
	default: // the connection has ended
	}
	return false
}

// waitSlot is takeSlot, but does not tell the peer.
func (l *looks) waitSlot(c *opCall, slots chan struct{}) bool {
	share := c.peer.party.asking
	if slots == l.reading {
		share = c.peer.party.reading
	}
	for i, ch := range []chan struct{}{share, slots} {
		select {
		case ch <- struct{}{}:
			continue
		case <-c.stopped:
		case <-c.conn.Done():
		case <-l.ended:
		}
		if i > 0 {
			<-share
		}
		return false
	}
	c.slot, c.share, c.slotSince = slots, share, time.Now()
	return true
}

// leaveSlot gives the slot back, if the look has one.
func (c *opCall) leaveSlot() {
	if c.slot != nil {
		<-c.slot
		c.rest(c.share)
		c.slot = nil
	}
}

// readSlot gives the look's slot back, and waits for one among those that read files.
func (l *looks) readSlot(c *opCall) bool {
	c.leaveSlot()
	return l.takeSlot(c, l.reading)
}

// gone says whether nobody waits for an answer any more. What reads many files asks it now and then, and lets others
// have the processor meanwhile.
func (l *looks) gone(c *opCall) bool {
	runtime.Gosched()
	select {
	case <-c.stopped:
	case <-c.conn.Done():
	case <-l.ended:
	default:
		return false
	}
	return true
}

// start begins a look. False when the principal has stopped, and the peer was not told. Not on the loop.
func (l *looks) start(c *opCall, look func(*looks, *opCall)) bool {
	if refused := c.beginLook(); refused != nil {
		c.refuse(refused)
		return true
	}
	return l.inbox.unlessEnded(func() {
		l.workers.Go(func() {
			defer c.endLook()
			if !l.takeSlot(c, l.asking) {
				return
			}
			refused, ok := lookAsk(l, c, func() *protoError { return l.mayAsk(c) })
			switch {
			case !ok:
			case refused != nil:
				c.refuse(refused)
			default:
				look(l, c)
			}
		})
	})
}

// aside goes on with a request beside the loop, as a look, which the loop has begun. Only on the loop.
func (l *looks) aside(c *opCall, fn func()) {
	if refused := c.beginLook(); refused != nil {
		c.refuse(refused)
		return
	}
	l.workers.Go(func() {
		defer c.endLook()
		fn()
	})
}

// refuseAside answers with an error. If the peer may have meant another name, that is searched for beside the loop.
// Only on the loop.
func (l *looks) refuseAside(c *opCall, err *protoError) {
	if err.suggest == nil {
		c.refuse(err)
		return
	}
	l.aside(c, func() {
		if l.takeSlot(c, l.asking) {
			c.refuse(err.meant())
		}
	})
}

// lookAsk has the loop make a value for a look. False when the principal stops; the peer is told.
func lookAsk[T any](l *looks, c *opCall, fn func() T) (T, bool) {
	value, ok := principalAsk(l, fn)
	if !ok {
		l.refuseStopping(c)
	}
	return value, ok
}

// lookCopy has the loop make a row of each name that fn knows, in order. It does a few at a time, and the loop serves
// others between. False when the principal stops; the peer is told.
func lookCopy[T any](l *looks, c *opCall, names []string, fn func(name string) (T, bool)) (rows []T, ok bool) {
	if !l.piecewise(len(names), func(i int) {
		if row, ok := fn(names[i]); ok {
			rows = append(rows, row)
		}
	}) {
		l.refuseStopping(c)
		return nil, false
	}
	return rows, true
}

// piecewise has the loop call fn for each number below n, a few at a time: it serves others between. False when the
// loop is over. Not from the loop itself.
func (l *principalLoop) piecewise(n int, fn func(i int)) bool {
	for at := 0; at < n; {
		if _, ok := principalAsk(l, func() bool {
			began := time.Now()
			for last := min(n, at+lookRows); at < last; {
				fn(at)
				at++
				if time.Since(began) > lookTurn {
					break
				}
			}
			return true
		}); !ok {
			return false
		}
	}
	return true
}

// absentRun finds a run in the history that is not in memory, and goes on with fn. Only on the loop.
func (l *looks) absentRun(c *opCall, fn func(*Run)) {
	id := c.req.Run
	if l.catalog.files[id] != nil && c.grant.sees(id) {
		c.refuse(l.notRun(c.req.Op, id))
		return
	}
	ids := l.catalog.ids
	l.aside(c, func() {
		if r, ok := l.oldRun(c, ids); ok {
			fn(r)
		}
	})
}

// withRun finds a run in memory or in the history, and gives a copy. False when there is none; the peer is told. Not on
// the loop.
func (l *looks) withRun(c *opCall) (*Run, bool) {
	id := c.req.Run
	var refused *protoError
	var ids []string
	r, ok := lookAsk(l, c, func() *Run {
		ids = l.catalog.ids
		if r := l.state.Runs[id]; r != nil {
			return l.copier.shown(r)
		}
		if l.catalog.files[id] != nil && c.grant.sees(id) {
			refused = l.notRun(c.req.Op, id)
		}
		return nil
	})
	switch {
	case !ok:
		return nil, false
	case refused != nil:
		c.refuse(refused)
		return nil, false
	case r != nil:
		return r, true
	}
	return l.oldRun(c, ids)
}

// oldRun finds a run in the history. False when there is none; the peer is told, and which of ids it may have meant.
// Not on the loop.
func (l *looks) oldRun(c *opCall, ids []string) (*Run, bool) {
	if !l.readSlot(c) {
		return nil, false
	}
	r, err := l.store.historyFind(c.req.Run, func() bool { return l.gone(c) })
	refused := l.historyRefused(c, err)
	if errors.Is(err, errHistoryNone) {
		refused = refuseNear(fmt.Sprintf("no run %q", c.req.Run), "cdktr ps --all lists them", c.req.Run,
			func() []string { return visible(ids, c.grant) }).meant()
	}
	if err == nil && !c.grant.sees(r.Workflow) {
		refused = c.grant.denyWorkflow("that of run " + r.ID)
	}
	if refused != nil {
		c.refuse(refused)
		return nil, false
	}
	return r, true
}

// historyRefused gives the answer to a search in the history that failed with err; nil when err is.
func (l *looks) historyRefused(c *opCall, err error) *protoError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errHistoryOver): // nobody waits for it, or the principal stops
		return refuse(codeStopping, "the search in the history was given up")
	}
	return refuse(codeInternal, "read history: %v", err)
}

// visible gives the ids that a peer may see.
func visible(ids []string, grant *authGrant) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !grant.sees(id) })
}
