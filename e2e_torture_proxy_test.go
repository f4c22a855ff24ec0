// The proxy of the torture program: it stands on a socket of its own between agents or clients and the principal, and
// does to their connections what a bad network does: cuts them, in the middle of a message too, holds back what goes
// one way or both, refuses new ones.

package main

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// tortureProxy passes connections on. Any goroutine may call its methods.
type tortureProxy struct {
	path string // of the principal's socket
	ln   net.Listener
	done sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*torturePair]bool
	held   [2]time.Time // until when nothing passes: to the principal, from it
	closed bool
	freed  chan struct{} // closed, and made anew, when held changes or the proxy ends

	cuts, tears, holds int
}

// torturePair is one connection, and the one that it is passed on to.
type torturePair struct {
	ends [2]net.Conn // who asked, the principal
	tear bool        // pass on half of the next piece, then cut
}

func tortureProxyStart(t *testing.T, from, to string) *tortureProxy {
	t.Helper()
	ln, err := net.Listen("unix", from)
	if err != nil {
		t.Fatal(err)
	}
	p := &tortureProxy{path: to, ln: ln, pairs: map[*torturePair]bool{}, freed: make(chan struct{})}
	p.done.Go(p.runAccept)
	return p
}

// runAccept takes connections until the listener is closed.
func (p *tortureProxy) runAccept() {
	for {
		here, err := p.ln.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("unix", p.path)
		if err != nil {
			here.Close()
			continue
		}
		pair := &torturePair{ends: [2]net.Conn{here, there}}
		p.mu.Lock()
		p.pairs[pair] = true
		if p.closed {
			p.cut(pair)
		}
		p.mu.Unlock()
		p.done.Go(func() { p.runPump(pair, 0) })
		p.done.Go(func() { p.runPump(pair, 1) })
	}
}

// runPump passes on what comes from one end until either is closed.
func (p *tortureProxy) runPump(pair *torturePair, from int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := pair.ends[from].Read(buf)
		if n > 0 && !p.pass(pair, from, buf[:n]) || err != nil {
			break
		}
	}
	p.mu.Lock()
	p.cut(pair)
	p.mu.Unlock()
}

// pass writes one piece to the other end when nothing holds it back. False when the connection is over.
func (p *tortureProxy) pass(pair *torturePair, from int, b []byte) bool {
	p.mu.Lock()
	for p.pairs[pair] && time.Now().Before(p.held[from]) {
		wait, freed := time.NewTimer(time.Until(p.held[from])), p.freed
		p.mu.Unlock()
		select {
		case <-wait.C:
		case <-freed:
		}
		wait.Stop()
		p.mu.Lock()
	}
	alive, tear := p.pairs[pair], pair.tear
	p.mu.Unlock()
	if !alive {
		return false
	}
	if tear {
		b = b[:len(b)/2]
	}
	_, err := pair.ends[1-from].Write(b)
	return err == nil && !tear
}

// cut ends a connection; the caller holds mu.
func (p *tortureProxy) cut(pair *torturePair) {
	if p.pairs[pair] {
		delete(p.pairs, pair)
		pair.ends[0].Close()
		pair.ends[1].Close()
	}
}

// cutSome cuts each connection with that chance; with tear, only after half of the next piece.
func (p *tortureProxy) cutSome(r *rand.Rand, chance float64, tear bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		switch {
		case r.Float64() >= chance:
		case tear:
			pair.tear = true
			p.tears++
		default:
			p.cut(pair)
			p.cuts++
		}
	}
}

// hold lets nothing pass for that long: to the principal, from it, or both ways.
func (p *tortureProxy) hold(to, from time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.held = [2]time.Time{now.Add(to), now.Add(from)}
	p.holds++
	close(p.freed)
	p.freed = make(chan struct{})
}

// close cuts everything off and ends the proxy.
func (p *tortureProxy) close() {
	p.ln.Close()
	p.mu.Lock()
	p.closed = true
	for pair := range p.pairs {
		p.cut(pair)
	}
	p.mu.Unlock()
	p.hold(0, 0)
	p.done.Wait()
}
