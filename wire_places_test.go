// Tests of places: who makes room, whom strangers cannot keep out over a slow
// network, and how descriptors are divided up.

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wireTestFar is one end of a connection over a network on which each write is on its
// way for a while. Nobody waits for that but the reader.
type wireTestFar struct {
	net.Conn
	late    time.Duration
	written chan wireTestFlight
	gone    chan struct{}
	once    sync.Once
}

type wireTestFlight struct {
	at   time.Time
	data []byte
}

func wireTestFarOn(nc net.Conn, late time.Duration) *wireTestFar {
	f := &wireTestFar{Conn: nc, late: late, written: make(chan wireTestFlight, 64), gone: make(chan struct{})}
	go func() { // woken by writes; ends with either side
		for {
			select {
			case w := <-f.written:
				if wait := time.Until(w.at); wait > 0 { // for one that is due, see step_race in .ci/run
					select {
					case <-time.After(wait):
					case <-f.gone:
						return
					}
				}
				if _, err := nc.Write(w.data); err != nil {
					return
				}
			case <-f.gone:
				return
			}
		}
	}()
	return f
}

func (f *wireTestFar) Write(p []byte) (int, error) {
	select {
	case <-f.gone:
		return 0, io.ErrClosedPipe
	case f.written <- wireTestFlight{time.Now().Add(f.late), append([]byte(nil), p...)}:
		return len(p), nil
	}
}

func (f *wireTestFar) Close() error {
	f.once.Do(func() { close(f.gone) })
	return f.Conn.Close()
}

// wireTestFrom gives a connection's far side an address.
type wireTestFrom struct {
	net.Conn
	from net.Addr
}

func (f wireTestFrom) RemoteAddr() net.Addr { return f.from }

// wireTestTown is a listener by tcp in a bubble, to which everything is as far.
type wireTestTown struct {
	ln   *wireTestListener
	late time.Duration
}

func wireTestTownNew(t *testing.T, opt wireOptions, late time.Duration) *wireTestTown {
	ln := wireTestListenerNew()
	ln.addr = &net.TCPAddr{}
	l := wireListenerOn(ln, "tcp://test", opt.withDefaults())
	go l.Serve(t.Context(), wireEcho)
	return &wireTestTown{ln, late}
}

// connect gives the far end of a new connection from an address.
func (w *wireTestTown) connect(from string) net.Conn {
	ours, theirs := net.Pipe()
	far := wireTestFarOn(theirs, w.late)
	select {
	case w.ln.conns <- wireTestFrom{far, &net.TCPAddr{IP: net.ParseIP(from), Port: 4711}}:
	case <-w.ln.closed:
		far.Close()
	}
	return wireTestFarOn(ours, w.late)
}

// flood opens connections from an address at a rate, until the end of the test. say is what each does.
func (w *wireTestTown) flood(t *testing.T, from string, each time.Duration, say func(nc net.Conn)) {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	go func() {
		tick := time.NewTicker(each)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			nc := w.connect(from)
			go say(nc)
			go func() {
				io.Copy(io.Discard, nc)
				nc.Close()
			}()
		}
	}()
}

// TestWireStrangers: while strangers open connections and get nowhere, those with a key come in, however long each step
// of their handshake takes.
func TestWireStrangers(t *testing.T) {
	silent := func(net.Conn) {}
	greets := func(nc net.Conn) { nc.Write(wireRawGreeting("CURVE")) }
	for _, c := range []struct {
		name string
		from string
		each time.Duration
		say  func(keys wireOptions) func(nc net.Conn)
	}{
		{"silent ones from their own address", "192.0.2.1", time.Second / 150,
			func(wireOptions) func(net.Conn) { return silent }},
		{"greeting ones from their own address", "192.0.2.1", time.Second / 150,
			func(wireOptions) func(net.Conn) { return greets }},
		{"greeting ones from another address, ten times as many", "192.0.2.2", time.Second / 1500,
			func(wireOptions) func(net.Conn) { return greets }},
		{"ones with the server's key, from another address", "192.0.2.2", time.Second / 150,
			func(keys wireOptions) func(net.Conn) {
				return func(nc net.Conn) {
					shake := curveJoin{client: keys.CurveClient}
					hello, err := shake.hello()
					if err != nil {
						t.Error(err)
					}
					nc.Write(append(wireRawGreeting("CURVE"), wireRawFrame(wireFlagCommand,
						"\x05HELLO"+string(hello))...))
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys := wireTestKeys(t)
				w := wireTestTownNew(t, keys, 100*time.Millisecond)
				w.flood(t, c.from, c.each, c.say(keys))
				time.Sleep(7 * time.Second) // of the bubble's clock: it is as crowded as it gets
				var wg sync.WaitGroup
				for i := range 12 {
					time.Sleep(10 * time.Millisecond)
					wg.Go(func() {
						link, err := wireHandshake(w.connect("192.0.2.1"), wirePeer{Transport: "tcp"},
							keys.withDefaults(), nil)
						if err != nil {
							t.Errorf("handshake %d: %v", i, err)
							return
						}
						defer link.Close()
						if err := link.Send([]byte("in")); err != nil {
							t.Errorf("handshake %d: %v", i, err)
						}
						if got, err := link.Recv(); err != nil || string(got[0]) != "in" {
							t.Errorf("handshake %d: %q, %v", i, got, err)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// wireTestCrowd fills places with guests from an address, and gives them. They have had time for their handshake.
func wireTestCrowd(t *testing.T, p *wirePlaces, n int, from string, step wireStep) (all []*wireGuest) {
	for range n {
		_, theirs := net.Pipe()
		g, out := p.enter(wireTestFrom{theirs, &net.TCPAddr{IP: net.ParseIP(from)}}, wirePeer{},
			&wireListener{opt: wireOptions{}.withDefaults()})
		if out != nil {
			t.Fatalf("a place was taken for guest %d", len(all))
		}
		if step >= wireGreeted {
			g.greeted()
		}
		if step >= wireProven {
			if err := g.prove(); err != nil {
				t.Fatal(err)
			}
		}
		g.since = g.since.Add(-wireYoung)
		all = append(all, g)
	}
	return all
}

// TestWireMakesRoom: who gives up his place for a newcomer.
func TestWireMakesRoom(t *testing.T) {
	type crowd struct {
		n    int
		from string
		step wireStep
	}
	for _, c := range []struct {
		name   string
		crowds []crowd
		newer  string
		loses  int // which crowd; -1: nobody
	}{
		{"there is room", []crowd{{3, "192.0.2.1", wireSilent}}, "192.0.2.1", -1},
		{"those with the server's key take no places of strangers", []crowd{{2, "192.0.2.1", wireProven},
			{3, "192.0.2.1", wireSilent}}, "192.0.2.1", -1},
		{"a stranger, not who has the server's key", []crowd{{2, "192.0.2.1", wireProven},
			{4, "192.0.2.1", wireGreeted}}, "192.0.2.1", 1},
		{"a silent one before one that speaks", []crowd{{3, "192.0.2.1", wireGreeted}, {1, "192.0.2.1", wireSilent}},
			"192.0.2.1", 1},
		{"one from where most are, though it speaks", []crowd{{1, "192.0.2.9", wireSilent},
			{3, "192.0.2.1", wireGreeted}}, "192.0.2.9", 1},
		{"one of a /64", []crowd{{1, "192.0.2.9", wireSilent}, {2, "2001:db8::1", wireSilent},
			{1, "192.0.2.8", wireSilent}}, "192.0.2.7", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wirePlacesNew(wireBounds{MaxStrangers: 4, MaxProven: 2})
			guests := make([][]*wireGuest, len(c.crowds))
			for i, crowd := range c.crowds {
				guests[i] = wireTestCrowd(t, p, crowd.n, crowd.from, crowd.step)
			}
			_, theirs := net.Pipe()
			_, out := p.enter(wireTestFrom{theirs, &net.TCPAddr{IP: net.ParseIP(c.newer)}}, wirePeer{}, nil)
			loses := -1
			for i := range guests {
				for _, g := range guests[i] {
					if g == out {
						loses = i
					}
				}
			}
			if loses != c.loses || out != nil && (out.step != wireGone || out.prove() == nil ||
				out.seat(&wirePeer{}) == nil) {
				t.Errorf("one of crowd %d made room (%+v), want one of %d", loses, out, c.loses)
			}
		})
	}
	// Those with the server's key make room for each other alone.
	p := wirePlacesNew(wireBounds{MaxStrangers: 4, MaxProven: 2})
	old := wireTestCrowd(t, p, 2, "192.0.2.1", wireProven)
	newer := wireTestCrowd(t, p, 1, "192.0.2.1", wireProven)[0]
	left := 0
	for _, g := range old {
		if g.step == wireGone {
			left++
			if _, err := g.conn.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("who made room is not hung up on: %v", err)
			}
		}
	}
	if left != 1 || newer.step != wireProven {
		t.Errorf("%d of two made room, and the newer one is at step %d", left, newer.step)
	}
}

// TestWireMakesRoomByChance: of equals, each may be the one, so that nobody can know whom a newcomer costs his place.
func TestWireMakesRoomByChance(t *testing.T) {
	went := map[int]bool{}
	for tries := 0; len(went) < 4 && tries < 10_000; tries++ {
		p := wirePlacesNew(wireBounds{MaxStrangers: 4})
		all := wireTestCrowd(t, p, 4, "192.0.2.1", wireGreeted)
		_, theirs := net.Pipe()
		_, out := p.enter(theirs, wirePeer{}, nil)
		for i, g := range all {
			if g == out {
				went[i] = true
			}
		}
	}
	if len(went) < 4 {
		t.Errorf("only %v of four equals made room", went)
	}
}

func TestWireParty(t *testing.T) {
	origin := netip.MustParsePrefix("192.0.2.7/32")
	us := uint32(os.Geteuid())
	for _, c := range []struct {
		peer   wirePeer
		origin netip.Prefix
		want   string
	}{
		{wirePeer{Key: "k", Name: "edge-07"}, origin, "key edge-07"},
		{wirePeer{}, origin, "192.0.2.7/32"},
		{wirePeer{HasCred: true, UID: us + 4711, PID: 3}, netip.Prefix{}, fmt.Sprint("uid ", us+4711)},
		{wirePeer{HasCred: true, UID: us, PID: 3}, netip.Prefix{}, "pid 3"},
		{wirePeer{HasCred: true, UID: 0, PID: 4}, netip.Prefix{}, "pid 4"},
		{wirePeer{HasCred: true, UID: us, PID: 3, Transport: wireMemory}, netip.Prefix{}, ""},
		{wirePeer{HasCred: true, UID: us}, netip.Prefix{}, ""}, // a system that does not tell
	} {
		if got := wireParty(c.peer, c.origin); got != c.want {
			t.Errorf("%+v from %v is %q, want %q", c.peer, c.origin, got, c.want)
		}
	}
}

// TestWireNewcomer: where most are from one address, a newcomer from there takes nobody's place who has not had time
// for the handshake; one from elsewhere does.
func TestWireNewcomer(t *testing.T) {
	p := wirePlacesNew(wireBounds{MaxStrangers: 4, MaxProven: 2})
	enter := func(from string) (g, out *wireGuest) {
		_, theirs := net.Pipe()
		return p.enter(wireTestFrom{theirs, &net.TCPAddr{IP: net.ParseIP(from)}}, wirePeer{},
			&wireListener{opt: wireOptions{}.withDefaults()})
	}
	young := map[*wireGuest]bool{}
	for range 4 {
		g, _ := enter("192.0.2.1")
		young[g] = true
	}
	if g, out := enter("192.0.2.1"); out != g || g.step != wireGone || len(p.strangers.guests) != 4 {
		t.Errorf("one of those before it made room for a newcomer from their address")
	}
	other, out := enter("192.0.2.2")
	if !young[out] || out.step != wireGone {
		t.Errorf("nobody made room for a newcomer from elsewhere: %+v", out)
	}
	delete(young, out)
	var proven []error
	for g := range young {
		proven = append(proven, g.prove())
	}
	if proven[0] != nil || proven[1] != nil || !errors.Is(proven[2], errWirePutOut) {
		t.Errorf("of three from one address two had places: %v", proven)
	}
	if err := other.prove(); err != nil || len(p.proven.guests) != 2 {
		t.Errorf("one from elsewhere: %v, and %d have places", err, len(p.proven.guests))
	}
}

// TestWireReconnect: when all links behind one address were cut, over a slow network and with few places, all are back
// soon, by the waits of agents.
func TestWireReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const links = 800
		keys := wireTestKeys(t)
		keys.wireBounds = wireBounds{MaxConns: links, MaxStrangers: 93, MaxProven: 31, MaxPerParty: links}
		w := wireTestTownNew(t, keys, 50*time.Millisecond)
		keys.wireBounds = wireBounds{}
		began := time.Now()
		var failed atomic.Int64
		var wg sync.WaitGroup
		for range links {
			wg.Go(func() {
				for wait := agentRedialMin; ; wait = min(2*wait, agentRedialMax) {
					link, err := wireHandshake(w.connect("192.0.2.1"), wirePeer{Transport: "tcp"},
						keys.withDefaults(), nil)
					if err == nil {
						t.Cleanup(func() { link.Cut(nil) })
						return
					}
					failed.Add(1)
					time.Sleep(wait*3/4 + rand.N(wait/2+1))
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("all were back after %v, and %d handshakes had failed", took, failed.Load())
		}
	})
}

// TestWireAgentPlaces: agents do not get all places, so that others come in.
func TestWireAgentPlaces(t *testing.T) {
	p := wirePlacesNew(wireBounds{MaxConns: 6, NoAgents: 2})
	enter := func(peer wirePeer) (*wireGuest, error) {
		_, theirs := net.Pipe()
		g, _ := p.enter(theirs, wirePeer{}, nil)
		return g, g.seat(&peer)
	}
	var agents []*wireGuest
	for i := range 3 {
		g, err := enter(wirePeer{Key: "k", Name: fmt.Sprint("agent-", i), Agent: true})
		if err != nil {
			t.Fatal(err)
		}
		agents = append(agents, g)
	}
	// Without a key it is known only when it says so.
	keyless, err := enter(wirePeer{})
	if err != nil || keyless.asAgent() != nil || agents[0].asAgent() != nil {
		t.Errorf("the fourth agent: %v", err)
	}
	refused := "4 agents are connected, which is all there may be (--max-connections)"
	if _, err := enter(wirePeer{Key: "k", Name: "agent-4", Agent: true}); err == nil || err.Error() != refused {
		t.Errorf("the fifth agent: %v", err)
	}
	operator, err := enter(wirePeer{Key: "k", Name: "op"})
	if err != nil {
		t.Errorf("an operator: %v", err)
	}
	if err := operator.asAgent(); err == nil || err.Error() != refused {
		t.Errorf("one that says late that it is an agent: %v", err)
	}
	agents[1].leave()
	if _, err := enter(wirePeer{Key: "k", Name: "agent-4", Agent: true}); err != nil {
		t.Errorf("an agent where one has left: %v", err)
	}
}

// TestWireFewPlaces: where few may be connected an agent comes in, and where two may be, so does one that is none.
func TestWireFewPlaces(t *testing.T) {
	for _, c := range []struct{ conns, files, agents int }{
		{1, 1 << 20, 1}, {2, 1 << 20, 1}, {4, 1 << 20, 3}, {7, 1 << 20, 6}, {16, 1 << 20, 14}, {0, 1 << 20, 8192 - 64},
		{0, 1, 1}, {0, 4, 1}, {0, 8, 4},
	} {
		bounds := wireBoundsOf(c.conns, c.files)
		bounds.MaxPerParty = 1 << 20
		p, agents := wirePlacesNew(bounds), 0
		seat := func(agent bool) error {
			g, _ := p.enter(wireTestPipeEnd(), wirePeer{}, nil)
			return g.seat(&wirePeer{Agent: agent})
		}
		for seat(true) == nil {
			agents++
		}
		if agents != c.agents {
			t.Errorf("of %d with %d files %d are agents, want %d", c.conns, c.files, agents, c.agents)
		}
		if err := seat(false); (err == nil) != (bounds.MaxConns > 1) {
			t.Errorf("of %d with %d files one that is no agent: %v", c.conns, c.files, err)
		}
	}
}

// TestWireNewcomerOfBox: where one process fills all places of the socket, another process comes in, and so does
// another user; one more of its own does not, and nobody is refused of whom nothing is known.
func TestWireNewcomerOfBox(t *testing.T) {
	us := uint32(os.Geteuid())
	process := func(pid int32) wirePeer { return wirePeer{HasCred: true, UID: us, PID: pid} }
	for _, c := range []struct {
		name         string
		crowd, newer wirePeer
		stays        bool
	}{
		{"itself", process(3), process(3), true},
		{"another process", process(3), process(4), false},
		{"another user", process(3), wirePeer{HasCred: true, UID: us + 4711, PID: 3}, false},
		{"another process of a crowding user", wirePeer{HasCred: true, UID: us + 4711, PID: 3},
			wirePeer{HasCred: true, UID: us + 4711, PID: 4}, true},
		{"a process that is not known", wirePeer{HasCred: true, UID: us}, wirePeer{HasCred: true, UID: us}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wirePlacesNew(wireBounds{MaxStrangers: 4})
			for range 4 {
				if _, out := p.enter(wireTestPipeEnd(), c.crowd, nil); out != nil {
					t.Fatal("a place was taken where some were free")
				}
			}
			newer, out := p.enter(wireTestPipeEnd(), c.newer, nil)
			if (out == newer) != c.stays || out == nil {
				t.Errorf("the newcomer has no place: %v, want %v", out == newer, c.stays)
			}
		})
	}
}

// wireTestPipeEnd is a connection that has no address.
func wireTestPipeEnd() net.Conn {
	_, theirs := net.Pipe()
	return theirs
}
