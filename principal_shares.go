// principal_shares.go: what one party may have of that of which there is only so much: followers of the lists, streams,
// looks, places in the queue. A party is a key, a user of the box, an address without a key (wireParty). What is left
// over is for operators, and of the queue some is for the principal's own fires alone: whoever may only look or trigger
// cannot make them wait.

package main

import (
	"maps"
	"runtime"
	"sync"
	"time"
)

const (
	sharesNews     = 16   // followers of the lists (watch) of one party; more are refused as busy
	sharesNewsKept = 64   // of newsMax, that only operators and the principal's owner may have
	sharesStreams  = 1024 // requests of one party that have not had their last reply, over all of its connections
	// looks of one party that are under way or wait for a place, over all of its connections; one more is answered busy
	sharesLooks = 64
	// of these, those that have a place of either kind (principal_look.go); the rest wait, and only for their own
	sharesLooksAtOnce = 2
	sharesQueued      = 1_000 // runs waiting that one trigger key has queued, or all peers without a name together

	sharesQueueOwn       = 1_000 // places in the queue that only the principal's own fires may take
	sharesQueueOperators = 1_000 // and those that only these and operators may
)

// shares is what each party has under way. Any goroutine may use it.
type shares struct {
	mu      sync.Mutex
	parties map[string]*shareParty // those that have anything, or had until just now
	swept   time.Time              // when those were last sought that may be forgotten
}

// sharesNew is shares of which nobody has any yet.
func sharesNew() *shares { return &shares{parties: map[string]*shareParty{}} }

// shareParty is what one party has under way, over all of its connections; "" is nobody's, of which each connection is
// one of its own. Any goroutine may use it.
type shareParty struct {
	shares                *shares
	name                  string
	conns, streams, looks int // guarded by shares.mu
	// the same: until then its messages have used what it may have, see principal_shares.go
	paid time.Time
	left time.Time // the same: when it last had nothing any more

	asking, reading chan struct{} // a token for each of its looks that has a place of that kind
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

// leave counts one connection less.
func (p *shareParty) leave() { p.give(&p.conns) }

// take counts one more in count, which is one of p's. False when there are as many as there may be.
func (p *shareParty) take(count *int, most int) bool {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if *count >= most {
		return false
	}
	*count++
	return true
}

// give counts one less. What a connection has begun, and is not through with, counts for its party also when it has
// gone and another has come.
func (p *shareParty) give(count *int) {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	*count--
	p.left = time.Now()
}

// over says whether a party may be forgotten: it has nothing, and who comes back as it does not do better than who has
// stayed (principal_shares.go). The caller holds shares.mu.
func (p *shareParty) over(now time.Time) bool {
	return p.conns+p.streams+p.looks == 0 && now.After(p.paid) && now.Sub(p.left) > paceRest
}

// opStreams are the requests of one connection that are not answered to the end. It belongs to the goroutine of that
// connection.
type opStreams struct {
	party *shareParty
	byID  map[string]*opCall // streams
	asked *opCall            // of a REQ peer: what it asked last
}

// admit keeps count of a connection's streams, by the ids of their requests, and carries out stop, which ends one. A
// REQ peer has one request at a time: that is what REQ is, and whoever goes on all the same would have what no bound of
// streams holds. False when there is nothing more to do.
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
	c.reply(Reply{}) // one that has ended by itself is as good
}

// end gives up what the connection has had: it has ended.
func (s *opStreams) end() {
	for _, c := range s.byID {
		c.ended()
	}
}

// How fast one party is served. Whoever asks faster than this waits, in the goroutines of its own
// connections, and what it sends meanwhile waits at its own end: so nobody can keep all processors of a small machine
// busy with questions, and have others wait for one. Operators, the principal's owner and agents are not held back.

const (
	paceBurst = 200                   // messages of one party that are taken as they come; more wait for their turn
	paceEach  = time.Millisecond      // between two messages beyond those, over all connections of the party
	paceKiB   = 30 * time.Microsecond // and for each KiB of a message, which is deciphered and read
	// longest rest after a look, which is as long as the look took, and keeps only its party's place
	paceRest = time.Second
)

// paced says whether a peer is held to a pace: who may only look or trigger, or came without a name.
func (p *principal) paced(grant *authGrant, by string) bool {
	return !grant.operates() || by == peerAnyone
}

// pace waits until the party may have one more message handled. It is called behind each message, by the goroutine of
// the connection. False when it waited, and meanwhile the connection ended or the principal did: then nothing more is
// handled.
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
		runtime.Gosched() // whose socket always has more does not give way by waiting
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

// rest gives a party's place back after a look that began then, when it has rested as long as it worked. A look that is
// not paced rests not at all.
func (c *opCall) rest(share chan struct{}) {
	if !c.paced {
		<-share
		return
	}
	time.AfterFunc(min(time.Since(c.placed), paceRest), func() { <-share })
}
