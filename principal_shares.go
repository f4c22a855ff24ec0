// principal_shares.go: how much one party may have of what is bounded: followers of the lists, streams, looks, places
// in the queue. A party is a key, a user of the box, or an address without a key (wireParty). Some of each is kept for
// operators, and some of the queue for the principal's own fires. So who may only look or trigger cannot make them
// wait.

package main

import (
	"maps"
	"runtime"
	"sync"
	"time"
)

const (
	sharesNews     = 16   // followers of the lists (watch) of one party; more are refused as busy
	sharesNewsKept = 64   // followers, of newsMax, that only operators and the principal's owner may be
	sharesStreams  = 1024 // requests of one party that have not had their last reply, over all of its connections
	// looks of one party that are under way or wait for a slot, over all of its connections; more are refused as busy
	sharesLooks = 64
	// looks of one party that have a slot of one kind (principal_look.go); its others wait
	sharesLooksAtOnce = 2
	sharesQueued      = 1_000 // queued runs of one trigger key, or of all peers without a name together

	sharesQueueOwn       = 1_000 // places in the queue for schedules, and what tasks start, alone
	sharesQueueOperators = 1_000 // places in the queue for these and operators
)

// shares is what each party has now. Any goroutine may use it.
type shares struct {
	mu      sync.Mutex
	parties map[string]*shareParty // those that have something, or had until just now
	swept   time.Time              // when parties that may be forgotten were last searched for
}

// sharesNew makes shares of which nobody has any yet.
func sharesNew() *shares { return &shares{parties: map[string]*shareParty{}} }

// shareParty is what one party has, over all of its connections. The party "" is nobody: each of its connections counts
// alone. Any goroutine may use it.
type shareParty struct {
	shares                *shares
	name                  string
	conns, streams, looks int // guarded by shares.mu, as paid and left are
	// until then its messages have used up its pace
	paid time.Time
	left time.Time // when it gave back something last
	// runs that it has recorded since then, see record
	records      int
	recordsSince time.Time

	asking, reading chan struct{} // a token for each of its looks that has such a slot
}

// join counts a connection of a party; leave must follow.
func (s *shares) join(name string) *shareParty {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.swept) > paceRest {
		s.swept = now
		maps.DeleteFunc(s.parties, func(_ string, p *shareParty) bool { return p.over(now) })
	}
	p := s.parties[name]
	if p == nil {
		p = &shareParty{shares: s, name: name, asking: make(chan struct{}, sharesLooksAtOnce),
			reading: make(chan struct{}, sharesLooksAtOnce)}
		if name != "" {
			s.parties[name] = p
		}
	}
	p.conns++
	return p
}

// leave undoes join.
func (p *shareParty) leave() { p.give(&p.conns) }

// take counts one more in count, which is one of p's. False when there are as many as allowed.
func (p *shareParty) take(count *int, most int) bool {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if *count >= most {
		return false
	}
	*count++
	return true
}

// give counts one less. What a connection has begun counts for its party until it is done, even if that connection has
// gone and another has come.
func (p *shareParty) give(count *int) {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	*count--
	p.left = time.Now()
}

// over says whether a party may be forgotten: it has nothing, and would gain nothing by coming back as a new one. The
// caller holds shares.mu.
func (p *shareParty) over(now time.Time) bool {
	recorded := p.records > 0 && now.Sub(p.recordsSince) <= wrapPeriod
	return p.conns+p.streams+p.looks == 0 && !recorded && now.After(p.paid) && now.Sub(p.left) > paceRest
}

// opStreams are the requests of one connection that have not had their last reply. It belongs to the goroutine of that
// connection.
type opStreams struct {
	party *shareParty
	byID  map[string]*opCall // streams
	asked *opCall            // the last request of a REQ peer
}

// admit counts a connection's streams by the ids of their requests, and carries out the op stop, which ends one. It
// refuses a REQ peer that asks before it was answered: such requests would be bounded by nothing. False when there is
// nothing more to do.
func (s *opStreams) admit(c *opCall) bool {
	if c.single {
		if s.asked != nil && !s.asked.over.Load() {
			c.refuse(refuse(codeBusy, "the request before this one is not answered yet: a REQ socket asks one at a "+
				"time, a DEALER as many as it likes"))
			return false
		}
		s.asked = c
	}
	op := protoOpOf(c.req.Op)
	switch {
	case c.req.Op == "stop":
		s.stop(c, op)
		return false
	case c.single || op == nil || !op.Stream:
		return true
	}
	maps.DeleteFunc(s.byID, func(_ string, other *opCall) bool { return other.over.Load() })
	switch {
	case s.byID[c.req.ID] != nil:
		c.refuse(refuse(codeConflict, "id %q is that of a stream that has not ended", c.req.ID))
		return false
	case len(s.byID) >= opsMaxStreams:
		c.refuse(refuse(codeBusy, "%d streams on one connection already: stop one", opsMaxStreams))
		return false
	case !s.party.take(&s.party.streams, sharesStreams):
		c.refuse(refuse(codeBusy, "%s has %d streams already: stop one", s.party.name, sharesStreams))
		return false
	}
	c.stopped, c.ended = make(chan struct{}), sync.OnceFunc(func() { s.party.give(&s.party.streams) })
	s.byID[c.req.ID] = c
	return true
}

// stop ends the stream that a request names.
func (s *opStreams) stop(c *opCall, op *protoOp) {
	if field := op.missing(&c.req); field != "" {
		c.refuse(refuse(codeInvalid, "%s needs the field %q", c.req.Op, field))
		return
	}
	if stream := s.byID[c.req.Of]; stream != nil {
		close(stream.stopped)
		stream.ended()
		delete(s.byID, c.req.Of)
	}
	c.reply(Reply{}) // it is no error that the stream had ended already
}

// end gives up the streams of a connection that has ended.
func (s *opStreams) end() {
	for _, c := range s.byID {
		c.ended()
	}
}

// The pace: how fast one party is served. A party that asks faster waits, in the goroutines of its own connections, and
// what it sends meanwhile waits at its own end. So nobody can keep all processors of a small machine busy with
// questions. Operators, the principal's owner and agents are not held to it.

const (
	paceBurst = 200                   // messages of one party that are handled at once; more wait for their turn
	paceEach  = time.Millisecond      // between two messages beyond those, over all connections of the party
	paceKiB   = 30 * time.Microsecond // more for each KiB of a message, which is deciphered and read
	// longest time that a party's slot is kept after a look; else it is kept as long as the look took
	paceRest = time.Second
)

// paced says whether a peer is held to a pace: it may only look or trigger, or came without a name.
func (p *principal) paced(grant *authGrant, by string) bool {
	return !grant.operates() || by == peerAnyone
}

// pace waits until the party may have one more message handled. The goroutine of the connection calls it after each
// message. False when the connection or the principal ended meanwhile: then the message is not handled.
func (p *shareParty) pace(conn wireConn, ended <-chan struct{}, frames [][]byte) bool {
	cost := paceEach
	for _, frame := range frames {
		cost += time.Duration(len(frame)>>10) * paceKiB
	}
	p.shares.mu.Lock()
	now := time.Now()
	if free := now.Add(-paceBurst * paceEach); p.paid.Before(free) {
		p.paid = free
	}
	p.paid = p.paid.Add(cost)
	wait := p.paid.Sub(now)
	p.shares.mu.Unlock()
	if wait <= 0 {
		runtime.Gosched() // a socket that always has more never waits by itself
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-conn.Done():
	case <-ended:
	}
	return false
}

// rest gives a party's slot back after a look. A look that is held to a pace keeps it for as long again as the look
// took.
func (c *opCall) rest(share chan struct{}) {
	if !c.paced {
		<-share
		return
	}
	time.AfterFunc(min(time.Since(c.slotSince), paceRest), func() { <-share })
}
