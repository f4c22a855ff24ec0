// principal_pace.go: how fast one party is served. Whoever asks faster than this waits, in the goroutines of its own
// connections, and what it sends meanwhile waits at its own end: so nobody can keep all processors of a small machine
// busy with questions, and have others wait for one. Operators, the principal's owner and agents are not held back.

package main

import (
	"runtime"
	"time"
)

const (
	paceBurst = 200                   // messages of one party that are taken as they come; more wait for their turn
	paceEach  = time.Millisecond      // between two messages beyond those, over all connections of the party
	paceKiB   = 30 * time.Microsecond // and for each KiB of a message, which is deciphered and read
	paceRest  = time.Second           // longest rest after a look, which is as long as the look took, and keeps only its party's place
)

// paced says whether a peer is held to a pace: who may only look or trigger, or came without a name.
func (p *principal) paced(grant *authGrant, by string) bool {
	return !grant.operates() || by == peerAnyone
}

// pace waits until the party may have one more message handled. It is called behind each message, by the goroutine of the
// connection. False when it waited, and meanwhile the connection ended or the principal did: then nothing more is handled.
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
func (c *verbCall) rest(share chan struct{}) {
	if !c.paced {
		<-share
		return
	}
	time.AfterFunc(min(time.Since(c.placed), paceRest), func() { <-share })
}
