// wire_places.go: how many may be connected, and who makes room. A newcomer gets a place for the time of the handshake.
// Where all are taken, a stranger from where most are gives up its place: from one address, or one process of this box.
// Where the newcomer itself is from there, as when all links behind one address were cut, it takes only the place of
// one that has had time for its handshake: if there is none, it is the newcomer that must come back. A client that has
// shown that it knows the server's key stands among few, and none of these makes room for a stranger. Some places are
// kept for those who are no agents, so that an operator comes in however many agents there are. Listeners may share one
// set of places, so that what they take of the process's descriptors together has a bound.

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// wireBounds are how many connections there may be at once. A zero field means its default.
type wireBounds struct {
	MaxConns     int // through their handshake; more are refused; 8192
	MaxStrangers int // in their handshake; one of them makes room for a newcomer; 1024
	MaxProven    int // in their handshake, after a valid HELLO; one of them makes room for the next; 1024
	MaxPerParty  int // of those through their handshake, of one party (wireParty); more are refused; 64
	NoAgents     int // of MaxConns, that agents do not get, but that one has a place; 64
}

// wireYoung is how long a handshake may take before one from the same address, or process, may take its place.
const wireYoung = 2 * time.Second

// wireBoundsOf makes the bounds for at most so many connections, and for a process that may have so many descriptors.
// With few of them the bounds are lower.
func wireBoundsOf(conns, files int) wireBounds {
	b := wireBounds{MaxConns: conns}.withDefaults()
	b.MaxConns = min(b.MaxConns, max(files*11/16, 1))
	b.MaxStrangers = min(b.MaxStrangers, max(files*3/16, 1))
	b.MaxProven = min(b.MaxProven, max(files/8, 1))
	b.MaxPerParty = min(b.MaxPerParty, max(b.MaxConns/8, 4))
	b.NoAgents = min(b.NoAgents, max(b.MaxConns/8, 1))
	return b
}

// agents is how many of the connections may be agents'.
func (b wireBounds) agents() int { return max(b.MaxConns-b.NoAgents, 1) }

// wireFiles gives how many descriptors this process may have open.
func wireFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what most systems begin with
	}
	return int(min(uint64(limit.Cur), 1<<20))
}

// withDefaults gives b with a value in every field that has none.
func (b wireBounds) withDefaults() wireBounds {
	for _, i := range []struct {
		field *int
		value int
	}{{&b.MaxConns, 8192}, {&b.MaxStrangers, 1024}, {&b.MaxProven, 1024}, {&b.MaxPerParty, 64}, {&b.NoAgents, 64}} {
		if *i.field <= 0 {
			*i.field = i.value
		}
	}
	return b
}

// wireStep is how far a guest has come.
type wireStep uint8

const (
	wireSilent  wireStep = iota // has not sent a whole greeting
	wireGreeted                 // speaks ZeroMQ
	wireProven                  // has sent a valid HELLO: it knows the server's key
	wireSeated                  // is through its handshake
	wireGone                    // has left, or was put out
)

// errWirePutOut ends the handshake of a guest that makes room for another.
var errWirePutOut = errors.New("too many are in their handshake")

// wireGuest is one connection at a listener, from accept on. The zero value has no
// places to take: it is for a handshake without a listener.
type wireGuest struct {
	conn   net.Conn
	origin netip.Prefix // its address; zero where there is no such address
	from   string       // who it is as far as is known without a key (wireParty); "" for nobody known
	home   *wireListener
	places *wirePlaces

	// Guarded by places.mu:

	step  wireStep
	since time.Time // when it came into the crowd that it is in
	party string    // known once it is seated
	agent bool      // it is an agent, as far as is known
}

// wirePlaces are the places of one or several listeners. Any goroutine may call its
// methods, and those of its guests; none of them waits.
type wirePlaces struct {
	bounds wireBounds

	mu        sync.Mutex // never held over I/O
	strangers wireCrowd  // wireSilent and wireGreeted
	proven    wireCrowd  // wireProven
	seated    int
	agents    int            // of these
	parties   map[string]int // how many of them each party has
}

// wireCrowd is guests that compete for the same places.
type wireCrowd struct {
	guests map[*wireGuest]bool
	from   map[string]int // how many of them are from there
}

// wireCrowdNew makes an empty crowd.
func wireCrowdNew() wireCrowd {
	return wireCrowd{guests: map[*wireGuest]bool{}, from: map[string]int{}}
}

// add takes a guest in.
func (c wireCrowd) add(g *wireGuest) {
	c.guests[g] = true
	c.from[g.from]++
}

// remove takes a guest out.
func (c wireCrowd) remove(g *wireGuest) {
	delete(c.guests, g)
	c.from[g.from]--
	if c.from[g.from] == 0 {
		delete(c.from, g.from)
	}
}

// loser gives the guest that makes room for newer: one of those from where most are; of these one that has not said
// anything; among equals any. It is chosen by chance, because a stranger who knew the order could keep all others out.
// Where newer is itself from where most are, only those from there that are not young can be chosen; if there is none,
// it is newer. Of whom nothing is known, as of a process of our user on macOS, it is not said that he is one of them.
func (c wireCrowd) loser(newer *wireGuest) *wireGuest {
	most, equals := 0, 0
	for _, n := range c.from {
		most = max(most, n)
	}
	own, now := newer.from != "" && c.from[newer.from] >= most, time.Now()
	var out *wireGuest
	for g := range c.guests {
		switch {
		case own && (g.from != newer.from || now.Sub(g.since) < wireYoung):
			continue
		case c.from[g.from] < most, out != nil && out.step == wireSilent && g.step != wireSilent:
			continue
		case out == nil, out.step != wireSilent && g.step == wireSilent:
			equals = 0
		}
		equals++
		if rand.IntN(equals) == 0 {
			out = g
		}
	}
	if out == nil {
		return newer
	}
	return out
}

// wirePlacesNew makes places, all of them free.
func wirePlacesNew(bounds wireBounds) *wirePlaces {
	return &wirePlaces{bounds: bounds.withDefaults(), strangers: wireCrowdNew(), proven: wireCrowdNew(),
		parties: map[string]int{}}
}

// enter gives a newcomer a place; of peer the credentials are known. out is the guest that must go, nil for none:
// another one or the newcomer itself. It is off the list, and the caller must close its connection.
func (p *wirePlaces) enter(nc net.Conn, peer wirePeer, home *wireListener) (g, out *wireGuest) {
	g = &wireGuest{conn: nc, origin: wireOrigin(nc), home: home, places: p}
	g.from = wireParty(peer, g.origin)
	p.mu.Lock()
	defer p.mu.Unlock()
	return g, p.strangers.admit(g, p.bounds.MaxStrangers)
}

// admit takes a guest in. Of more than so many one must go: it is taken out, and given.
func (c wireCrowd) admit(g *wireGuest, most int) (out *wireGuest) {
	g.since = time.Now()
	if len(c.guests) >= most {
		out = c.loser(g)
		out.step = wireGone
		if out == g {
			return g
		}
		c.remove(out)
	}
	c.add(g)
	return out
}

// greeted notes that a guest has sent its greeting.
func (g *wireGuest) greeted() {
	if g.places == nil {
		return
	}
	g.places.mu.Lock()
	defer g.places.mu.Unlock()
	if g.step == wireSilent {
		g.step = wireGreeted
	}
}

// prove notes that a guest knows the server's key. From here on no stranger takes its place, but another guest that
// knows the key may.
func (g *wireGuest) prove() error {
	p := g.places
	if p == nil {
		return nil
	}
	p.mu.Lock()
	if g.step == wireGone {
		p.mu.Unlock()
		return errWirePutOut
	}
	p.strangers.remove(g)
	g.step = wireProven
	out := p.proven.admit(g, p.bounds.MaxProven)
	p.mu.Unlock()
	switch out {
	case nil:
		return nil
	case g:
		g.home.putOut(g)
		return errWirePutOut
	}
	out.conn.Close()
	out.home.putOut(out)
	return nil
}

// seat ends a guest's handshake. It sets peer.Party, since it is known now who the guest is, and refuses it when that
// party has no room for one more.
func (g *wireGuest) seat(peer *wirePeer) error {
	peer.Party = wireParty(*peer, g.origin)
	p := g.places
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case g.step == wireGone:
		return errWirePutOut
	case p.seated >= p.bounds.MaxConns:
		return fmt.Errorf("%d connections are open, which is all there may be (--max-connections)", p.seated)
	case peer.Agent && p.agents >= p.bounds.agents():
		return p.noAgentMore()
	case peer.Party != "" && p.parties[peer.Party] >= p.bounds.MaxPerParty:
		return fmt.Errorf("%s has %d connections already, which is all it may have", peer.Party, p.parties[peer.Party])
	}
	p.unlist(g)
	g.step, g.party = wireSeated, peer.Party
	p.seated++
	p.parties[g.party]++
	if peer.Agent {
		g.agent = true
		p.agents++
	}
	return nil
}

// asAgent notes that a guest that is through its handshake is an agent, and refuses it when agents have all places that
// they may have.
func (g *wireGuest) asAgent() error {
	p := g.places
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.agent || g.step != wireSeated {
		return nil
	}
	if p.agents >= p.bounds.agents() {
		return p.noAgentMore()
	}
	g.agent = true
	p.agents++
	return nil
}

// noAgentMore refuses one more agent. The caller holds mu.
func (p *wirePlaces) noAgentMore() error {
	return fmt.Errorf("%d agents are connected, which is all there may be (--max-connections)", p.agents)
}

// unlist takes a guest off the list that it is on. The caller holds mu.
func (p *wirePlaces) unlist(g *wireGuest) {
	switch g.step {
	case wireSilent, wireGreeted:
		p.strangers.remove(g)
	case wireProven:
		p.proven.remove(g)
	case wireSeated:
		p.seated--
		if g.agent {
			p.agents--
		}
		p.parties[g.party]--
		if p.parties[g.party] == 0 {
			delete(p.parties, g.party)
		}
	}
	g.step = wireGone
}

// leave gives up a guest's place. It says whether the guest still had one.
func (g *wireGuest) leave() bool {
	p := g.places
	p.mu.Lock()
	defer p.mu.Unlock()
	had := g.step != wireGone
	p.unlist(g)
	return had
}

// shaking gives the connections of one listener that are in their handshake.
func (p *wirePlaces) shaking(home *wireListener) (conns []net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, crowd := range []wireCrowd{p.strangers, p.proven} {
		for g := range crowd.guests {
			if g.home == home {
				conns = append(conns, g.conn)
			}
		}
	}
	return conns
}

// wireParty says whose share of the bounds a connection counts against: its key; without one its user on this box, or
// the address that it is from. Of our own user and root, who may do all here anyway, each process is a party: all that
// comes through ssh comes as one user. "" has no bound: it is this very process.
func wireParty(peer wirePeer, origin netip.Prefix) string {
	switch {
	case peer.Key != "":
		return "key " + peer.Name
	case peer.HasCred && (peer.UID == 0 || int64(peer.UID) == int64(os.Geteuid())):
		if peer.PID == 0 || peer.Transport == wireMemory {
			return ""
		}
		return fmt.Sprint("pid ", peer.PID)
	case peer.HasCred:
		return fmt.Sprint("uid ", peer.UID)
	case origin.IsValid():
		return origin.String()
	}
	return ""
}
