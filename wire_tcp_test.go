// Tests of tcp: who may do without keys, strangers from one address, and
// heartbeats.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWireInsecure(t *testing.T) {
	addr := func(text string) *net.TCPAddr {
		a, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	loopback, any := wireOptions{Insecure: true}, wireOptions{InsecureAny: true}
	for _, c := range []struct {
		addr string
		opt  wireOptions
		want string
	}{
		{"127.0.0.1:1", wireOptions{}, "needs CURVE keys"},
		{"127.0.0.1:1", loopback, ""},
		{"127.8.9.10:1", loopback, ""},
		{"[::1]:1", loopback, ""},
		{":1", loopback, "no loopback address"},
		{"0.0.0.0:1", loopback, "no loopback address"},
		{"[::]:1", loopback, "no loopback address"},
		{"192.0.2.1:1", loopback, "192.0.2.1:1 is no loopback address"},
		{"[2001:db8::1]:1", loopback, "no loopback address"},
		{"192.0.2.1:1", any, ""},
		{":1", any, ""},
	} {
		err := wireNoKeys(addr(c.addr), c.opt)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v %v: %v, want %q", c.addr, c.opt.Insecure, c.opt.InsecureAny, err, c.want)
		}
	}
	// The same at the two doors. Nothing is sent to 192.0.2.1, which nobody has.
	if _, err := wireListen("tcp://*:0", loopback); err == nil || !strings.Contains(err.Error(),
		"no loopback address") {
		t.Errorf("listen on every address: %v", err)
	}
	if _, err := wireDial(t.Context(), "tcp://192.0.2.1:9", loopback); err == nil ||
		!strings.Contains(err.Error(), "192.0.2.1:9 is no loopback address") {
		t.Errorf("dial another box: %v", err)
	}
	// An ipc endpoint takes no notice of keys.
	opt := wireTestKeys(t)
	l := wireTestServeAt(t, "ipc://"+wireTestPath(t), opt, wireEcho)
	wireTestRoundTrip(t, wireTestDialWith(t, l.endpoint, opt), "hello")
}

// wireTestHasIPv6 says whether this box has IPv6, at least for itself.
func wireTestHasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		l.Close()
	}
	return err == nil
}

// TestWireLocalhost: localhost and the names below it are this box, without a resolver: to listen on, and to dial, by
// whichever of its two addresses somebody listens.
func TestWireLocalhost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true, "a.localhost": true, "a.b.LOCALHOST.": true,
		"localhost.example": false, "notlocalhost": false, "": false, "127.0.0.1": false,
	} {
		if wireLocal(host) != want {
			t.Errorf("%q is this box: %t", host, !want)
		}
	}
	opt := wireOptions{Insecure: true}
	for _, c := range []struct{ listen, dial string }{
		{"hub.localhost", "127.0.0.1"}, {"127.0.0.1", "hub.localhost"}, {"LOCALHOST.", "a.b.localhost"},
		{"[::1]", "hub.localhost"},
	} {
		if c.listen == "[::1]" && !wireTestHasIPv6() {
			continue
		}
		l := wireTestServeAt(t, "tcp://"+c.listen+":0", opt, wireEcho)
		port := l.endpoint[strings.LastIndexByte(l.endpoint, ':'):]
		conn, err := wireDial(t.Context(), "tcp://"+c.dial+port, opt)
		if err != nil {
			t.Errorf("listening on %s (%s), dialling %s: %v", c.listen, l.endpoint, c.dial, err)
			continue
		}
		conn.Close()
	}
	if _, err := wireDial(t.Context(), "tcp://hub.localhost:1", opt); err == nil ||
		!strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("where nobody listens: %v", err)
	}
}

func TestWireTCPErrors(t *testing.T) {
	keys := wireTestKeys(t)
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", keys, wireEcho)
	if _, err := wireListen(l.endpoint, keys); err == nil || !strings.Contains(err.Error(),
		"another program listens there") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := wireListen("tcp://192.0.2.1:0", keys); err == nil || !strings.Contains(err.Error(),
		"no such address") {
		t.Errorf("an address of another box: %v", err)
	}
	closed, err := wireListen("tcp://127.0.0.1:0", keys)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := wireDial(t.Context(), closed.endpoint, keys); err == nil ||
		!strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("a port that is closed: %v", err)
	}
}

type wireTestAddr struct {
	net.Conn
	addr net.Addr
}

func (a wireTestAddr) RemoteAddr() net.Addr { return a.addr }

func TestWireOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7:1234":                "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1":          "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1":      "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":              "fe80::/64",
		"[2001:db8:1:2:ffff:4:5:6]:999": "2001:db8:1:2::/64",
	} {
		host, _, _ := net.SplitHostPort(text)
		host, zone, _ := strings.Cut(host, "%")
		addr := &net.TCPAddr{IP: net.ParseIP(host), Zone: zone, Port: 1}
		if got := wireOrigin(wireTestAddr{addr: addr}).String(); got != want {
			t.Errorf("%s is of %s, want %s", text, got, want)
		}
	}
	if wireOrigin(wireTestAddr{addr: &net.UnixAddr{}}).IsValid() {
		t.Error("a unix socket has an origin")
	}
}

// wireTestBuffer is a net.Pipe whose writes do not wait for the reader, as those of
// a socket do not.
type wireTestBuffer struct {
	net.Conn
	written chan []byte
	closed  chan struct{}
	once    sync.Once
}

func wireTestBufferOn(nc net.Conn) *wireTestBuffer {
	b := &wireTestBuffer{Conn: nc, written: make(chan []byte, 64), closed: make(chan struct{})}
	go func() { // woken by writes; ends with either side
		for {
			select {
			case p := <-b.written:
				if _, err := nc.Write(p); err != nil {
					return
				}
			case <-b.closed:
				return
			}
		}
	}()
	return b
}

func (b *wireTestBuffer) Write(p []byte) (int, error) {
	select {
	case b.written <- bytes.Clone(p):
		return len(p), nil
	case <-b.closed:
		return 0, io.ErrClosedPipe
	}
}

func (b *wireTestBuffer) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

// wireTestBubble connects two ends in memory, in a bubble with its own clock.
func wireTestBubble(t *testing.T, server, client wireOptions) (s, c *wireLink) {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		var err error
		s, err = wireHandshake(wireTestBufferOn(theirs), wirePeer{Transport: "tcp"}, server.withDefaults(),
			&wireGuest{})
		ended <- err
	}()
	c, err := wireHandshake(wireTestBufferOn(ours), wirePeer{Transport: "tcp"}, client.withDefaults(), nil)
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// Two sides that have nothing to say keep a connection up for as long as both
// listen; one that does not is cut after two heartbeats, and not before.
func TestWireHeartbeat(t *testing.T) {
	keys := wireTestKeys(t)
	for name, opt := range map[string]wireOptions{"CURVE": keys, "NULL": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				beating := opt
				beating.Heartbeat = 5 * time.Second
				server, client := wireTestBubble(t, opt, beating)
				start := time.Now()
				got := make(chan error, 1)
				recv := func() {
					m, err := client.Recv()
					if err == nil && string(m[0]) != "at last" {
						err = fmt.Errorf("got %q", m)
					}
					got <- err
				}
				go recv()
				serving := make(chan [][]byte, 1)
				go func() {
					m, _ := server.Recv()
					serving <- m // and is deaf from now on
				}()
				time.Sleep(time.Hour)
				if err := server.Send([]byte("at last")); err != nil {
					t.Fatal(err)
				}
				if err := <-got; err != nil {
					t.Fatalf("after %v: %v", time.Since(start), err)
				}
				// Nobody in Recv: no silence is counted, however long.
				time.Sleep(time.Hour)
				client.Send([]byte("stop listening"))
				if m := <-serving; len(m) != 1 {
					t.Fatalf("the server got %q", m)
				}
				start = time.Now()
				go recv()
				err := <-got
				if !errors.Is(err, errWireSilent) || !strings.Contains(err.Error(), "for 10s") {
					t.Errorf("silence: %v", err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("cut after %v", took)
				}
				if err := client.Send([]byte("x")); !errors.Is(err, errWireSilent) {
					t.Errorf("Send after the cut: %v", err)
				}
				server.Close()
			})
		})
	}
}

// TestWireHeartbeatOfAgent: an agent is sent no PING and is not cut for its silence, and no deadline is set for what it
// says: who listens to it looks after that.
func TestWireHeartbeatOfAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := wireTestBubble(t, wireOptions{Heartbeat: 5 * time.Second}, wireOptions{})
		server.framer.pulse.nc = &wireDeadlines{Conn: server.framer.pulse.nc}
		sets := &server.framer.pulse.nc.(*wireDeadlines).sets
		say := func(text string) {
			t.Helper()
			go client.Send([]byte(text))
			if m, err := server.Recv(); err != nil || string(m[0]) != text {
				t.Fatalf("%q, %v", m, err)
			}
		}
		say("hello")
		if *sets != 1 {
			t.Errorf("%d deadlines for a peer", *sets)
		}
		if err := server.AsAgent(); err != nil {
			t.Fatal(err)
		}
		for range 10 { // nobody reads what the server sends: a PING would have no answer
			go func() {
				time.Sleep(time.Hour)
				client.Send([]byte("beat"))
			}()
			if m, err := server.Recv(); err != nil || string(m[0]) != "beat" {
				t.Fatalf("%q, %v", m, err)
			}
		}
		if *sets != 2 {
			t.Errorf("%d deadlines for an agent", *sets-1)
		}
		client.Cut(nil)
		server.Cut(nil)
	})
}

// wireDeadlines counts the deadlines that are set for reads.
type wireDeadlines struct {
	net.Conn
	sets int
}

func (c *wireDeadlines) SetReadDeadline(t time.Time) error {
	c.sets++
	return c.Conn.SetReadDeadline(t)
}

// libzmq answers our PING while its owner sleeps.
func TestWireHeartbeatLibzmq(t *testing.T) {
	wireNoLeaks(t)
	keys := wireTestKeys(t)
	endpoint, _ := wireTestLibzmqServer(t, "tcp://127.0.0.1:*", "ROUTER", keys.CurveServer.Pair.Secret.Text())
	keys.Heartbeat = time.Second
	c := wireTestDialWith(t, endpoint, keys)
	wireTestRoundTrip(t, c, "small")
	wireTestRoundTrip(t, c, "wait") // for two heartbeats and a half
	wireTestRoundTrip(t, c, strings.Repeat("x", 1<<20))
}

func TestWireLibzmqREP(t *testing.T) {
	wireNoLeaks(t)
	keys := wireTestKeys(t)
	endpoint, _ := wireTestLibzmqServer(t, "tcp://127.0.0.1:*", "REP", keys.CurveServer.Pair.Secret.Text())
	if _, err := wireDial(t.Context(), endpoint, keys); err == nil || !strings.Contains(err.Error(),
		"the other side is a REP socket, not a principal") {
		t.Errorf("dial a REP: %v", err)
	}
	lost := *keys.CurveClient
	lost.Server = curveTestPair(t, 13).Public
	if _, err := wireDial(t.Context(), endpoint, wireOptions{CurveClient: &lost}); !errors.Is(err, errWireClosed) {
		t.Errorf("dial with another server key: %v", err)
	}
}
