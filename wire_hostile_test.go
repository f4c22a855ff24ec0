// What a hostile or broken peer may send: each case must cost that peer its
// connection, nobody else anything, and no memory.

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wireRawGreeting is a greeting as RFC 37 has it.
func wireRawGreeting(mechanism string) []byte {
	g := make([]byte, wireGreetingLen)
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:32], mechanism)
	return g
}

// wireRawFrame is one frame with the flags given; the length is long if they say so.
func wireRawFrame(flags byte, body string) []byte {
	if flags&wireFlagLong == 0 {
		return append([]byte{flags, byte(len(body))}, body...)
	}
	return append(wireRawHeader(flags, uint64(len(body))), body...)
}

func wireRawHeader(flags byte, size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{flags | wireFlagLong}, size)
}

func wireRawReady(meta []byte) []byte {
	return wireRawFrame(wireFlagCommand|wireFlagLong, "\x05READY"+string(meta))
}

// wireRawHello is all that a well-behaved DEALER says before its first message.
func wireRawHello() []byte {
	return append(wireRawGreeting("NULL"), wireRawReady(wireMeta("DEALER"))...)
}

func wireRawPing(context string) []byte {
	return wireRawFrame(wireFlagCommand, "\x04PING\x00\x0a"+context)
}

// wireRawAnswer is what the server says to wireRawHello, without the 64 byte greeting.
func wireRawAnswer() []byte {
	return wireRawFrame(wireFlagCommand, "\x05READY"+string(wireMeta("ROUTER")))
}

// wireTestRawEcho is a good client by hand, for listeners in a bubble.
func wireTestRawEcho(t *testing.T, ln *wireTestListener) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	ln.conns <- theirs
	message := wireRawFrame(0, "hello")
	go ours.Write(append(wireRawHello(), message...))
	got := make([]byte, wireGreetingLen+len(wireRawAnswer())+len(message))
	if _, err := io.ReadFull(ours, got); err != nil {
		t.Fatalf("good client: %v after %q", err, got)
	}
	if want := append(wireRawAnswer(), message...); !bytes.Equal(got[wireGreetingLen:], want) {
		t.Fatalf("good client got %q, want %q", got[wireGreetingLen:], want)
	}
}

type wireHostileCase struct {
	name  string
	bytes []byte
	hello bool   // say hello first
	close bool   // hang up after; otherwise the server must
	want  string // in the error that the server's side saw
}

func wireHostileCases() []wireHostileCase {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	greeting := wireRawGreeting("NULL")
	property := func(name string, size uint32, value string) []byte {
		b := append([]byte{byte(len(name))}, name...)
		return append(binary.BigEndian.AppendUint32(b, size), value...)
	}
	ready := func(meta []byte) []byte { return join(greeting, wireRawReady(meta)) }
	old := wireRawGreeting("NULL")
	old[10] = 1
	return []wireHostileCase{
		{name: "HTTP", bytes: []byte("GET / HTTP/1.1\r\n\r\n"), want: "byte 0 of the greeting is 0x47"},
		{name: "wrong signature", bytes: []byte("\xff12345678\x7e"), want: "byte 9 of the greeting"},
		{name: "old version", bytes: old[:11], want: "ZMTP 1 is too old"},
		{name: "half a greeting", bytes: greeting[:30], close: true, want: "hung up inside"},
		{name: "CURVE", bytes: wireRawGreeting("CURVE"), want: "security mechanism"},
		{name: "unknown mechanism", bytes: wireRawGreeting("\xff\xfe ROT13"), want: "security mechanism"},
		{name: "impossible server flag", bytes: append(greeting[:32:32], bytes.Repeat([]byte{7}, 32)...),
			want: "server flag"},

		{name: "no Socket-Type", bytes: ready(nil), want: "no Socket-Type"},
		{name: "unknown Socket-Type", bytes: ready(wireMeta("BOGUS")), want: `Socket-Type "BOGUS" is unknown`},
		{name: "empty Socket-Type", bytes: ready(wireMeta("")), want: `Socket-Type "" is unknown`},
		{name: "two in one Socket-Type", bytes: ready(wireMeta("PUB SUB")), want: "is unknown"},
		{name: "two Socket-Types", bytes: ready(join(wireMeta("REQ"), wireMeta("REQ"))), want: "two Socket-Types"},
		{name: "type we do not serve", bytes: ready(wireMeta("PUB")), want: "no service for a PUB socket"},
		{name: "long identity", bytes: ready(property("Identity", 256, strings.Repeat("i", 256))),
			want: "identity of 256 bytes"},
		{name: "name cut", bytes: ready([]byte{200, 'S'}), want: "cut short"},
		{name: "no name", bytes: ready([]byte{0, 0, 0, 0, 0}), want: "cut short"},
		{name: "length cut", bytes: ready([]byte("\x0bSocket-Type\x00\x00")), want: "cut short"},
		{name: "value cut", bytes: ready(property("Socket-Type", 100, "REQ")), want: "cut short"},
		{name: "value of 4 GiB", bytes: ready(property("Socket-Type", 1<<32-1, "REQ")), want: "cut short"},
		{name: "empty command", bytes: join(greeting, []byte{4, 0}), want: "recv cmd"},
		{name: "command name cut", bytes: join(greeting, []byte{4, 1, 9}), want: "command name"},
		{name: "other command", bytes: join(greeting, wireRawFrame(4, "\x05HELLO")),
			want: `"HELLO" where READY was due`},
		{name: "error command", bytes: join(greeting, wireRawFrame(4, "\x05ERROR\x20no")), want: `refuses us: "no"`},
		{name: "message in the handshake", bytes: join(greeting, wireRawFrame(0, "hi")),
			want: "before the handshake was done"},
		{name: "command with more", bytes: join(greeting, wireRawFrame(5, "\x05READY")), want: "flag for more"},
		{name: "unknown flags", bytes: join(greeting, []byte{0xf4, 1, 0}), want: "unknown flags"},
		{name: "READY of 5 KiB", bytes: ready(make([]byte, 5<<10)), want: "handshake command of 5126 bytes"},
		{name: "READY of 2^62", bytes: join(greeting, wireRawHeader(4, 1<<62)),
			want: "handshake command of 4611686018427387904"},
		{name: "hang up in READY", bytes: ready(wireMeta("REQ"))[:80], close: true, want: "hung up inside"},

		{name: "frame of 2^62", hello: true, bytes: wireRawHeader(0, 1<<62), want: "frame of 4611686018427387904"},
		{name: "frame of 2^64-1", hello: true, bytes: wireRawHeader(0, 1<<64-1), want: "frame of 18446744073709551615"},
		{name: "frame of 1 MiB + 1", hello: true, bytes: wireRawHeader(0, 1<<20+1), want: "frame of 1048577"},
		{name: "command of 2^62", hello: true, bytes: wireRawHeader(4, 1<<62), want: "command of 4611686018427387904"},
		{name: "endless MORE", hello: true, bytes: bytes.Repeat([]byte{1, 0}, 100), want: "more than 16 frames"},
		{name: "large MORE", hello: true, bytes: bytes.Repeat(wireRawFrame(3, strings.Repeat("x", 1<<20)), 5),
			want: "more than 4194304 bytes"},
		{name: "nameless command", hello: true, bytes: []byte{4, 0}, want: "without a name"},
		{name: "long-named command", hello: true, bytes: []byte{4, 2, 9, 'P'}, want: "without a name"},
		{name: "short PING", hello: true, bytes: wireRawFrame(4, "\x04PING\x00"), want: "without its time to live"},
		{name: "later unknown flags", hello: true, bytes: []byte{8, 0}, want: "unknown flags"},
		{name: "hang up in a header", hello: true, bytes: []byte{2, 0, 0}, close: true, want: "hung up inside"},
		{name: "hang up in a frame", hello: true, bytes: []byte{0, 9, 'x'}, close: true, want: "hung up inside"},
		{name: "hang up in a message", hello: true, bytes: []byte{1, 1, 'x'}, close: true, want: "hung up inside"},
		{name: "hang up in a command", hello: true, bytes: []byte{4, 9, 4, 'P'}, close: true, want: "hung up inside"},
		{name: "flood of commands", hello: true, bytes: bytes.Repeat(wireRawPing("0123456789abcdef"), 20000),
			close: true, want: errWireClosed.Error()},
		{name: "flood of unknown commands", hello: true, bytes: append(bytes.Repeat(wireRawFrame(4, "\x01?"), 50000), 9,
			9), want: "unknown flags"},
	}
}

func TestWireHostile(t *testing.T) {
	faults := make(chan error, 10)
	endpoint := wireTestServe(t, wireOptions{Note: func(err error) { faults <- err }}, func(c wireConn) {
		if c.Peer().Identity == "" { // the hostile ones
			for {
				if _, err := c.Recv(); err != nil {
					faults <- err
					return
				}
			}
		}
		wireEcho(c)
	})
	good := wireRawHostileFriend(t, endpoint)
	good()
	for _, c := range wireHostileCases() {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			wireTestAttack(t, endpoint, c)
			if err := <-faults; !strings.Contains(err.Error(), c.want) {
				t.Errorf("the server saw %v, want %q", err, c.want)
			}
			runtime.ReadMemStats(&after)
			// The largest that is allocated on purpose is one message.
			if n := after.TotalAlloc - before.TotalAlloc; n > 6<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
			good()
		})
	}
}

// wireTestAttack sends the bytes of one case and waits until the server ended
// the connection, or ends it.
func wireTestAttack(t *testing.T, endpoint string, c wireHostileCase) {
	nc, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	if c.hello {
		if _, err := nc.Write(wireRawHello()); err != nil {
			t.Fatal(err)
		}
	}
	// The server may hang up before it has all: that is the point.
	if _, err := nc.Write(c.bytes); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("write: %v", err)
	}
	if c.close {
		// Not before the server has spoken: one that finds us gone already takes
		// that for a look whether it lives.
		heard := wireGreetingLen
		if c.hello {
			heard += len(wireRawAnswer())
		}
		if _, err := io.ReadFull(nc, make([]byte, heard)); err != nil {
			t.Errorf("handshake: %v", err)
		}
		return
	}
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server did not hang up")
	}
}

// wireRawHostileFriend connects a client with an identity and returns a round trip over it.
func wireRawHostileFriend(t *testing.T, endpoint string) func() {
	nc, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	meta := append(wireMeta("REQ")[:19:19], "\x08identity\x00\x00\x00\x06friend"...)
	nc.Write(append(wireRawGreeting("NULL"), wireRawReady(meta)...))
	if _, err := io.ReadFull(nc, make([]byte, wireGreetingLen+len(wireRawAnswer()))); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		message := wireRawFrame(0, "still there?")
		nc.Write(message)
		got := make([]byte, len(message))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("good client got %q, %v", got, err)
		}
	}
}

// A refused peer is told why, in words ZMTP has for it.
func TestWireRefusalIsTold(t *testing.T) {
	endpoint := wireTestServe(t, wireOptions{}, wireEcho)
	nc, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	nc.Write(append(wireRawGreeting("NULL"), wireRawReady(wireMeta("PAIR"))...))
	got, err := io.ReadAll(nc)
	if want := "\x05ERROR\x40no service for a PAIR socket"; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("got %q, %v; want %q in it", got, err, want)
	}
}

// RFC 37: the PONG carries the context of its PING, and one may come between two
// frames of a message.
func TestWirePingInsideMessage(t *testing.T) {
	endpoint := wireTestServe(t, wireOptions{}, wireEcho)
	nc, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	read := func(want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	nc.Write(wireRawHello())
	read(wireRawGreeting("NULL"))
	read(wireRawAnswer())
	nc.Write(wireRawPing(""))
	read(wireRawFrame(4, "\x04PONG"))
	nc.Write(append(wireRawFrame(1, "one"), wireRawPing("ctx")...))
	read(wireRawFrame(4, "\x04PONGctx"))
	nc.Write(wireRawFrame(0, "two"))
	read(append(wireRawFrame(1, "one"), wireRawFrame(0, "two")...))
}

// Silence at any point of the handshake ends after its time, and holds up nobody.
func TestWireHandshakeTime(t *testing.T) {
	for _, said := range []int{0, 1, 10, 64, 66, len(wireRawHello()) - 1} {
		synctest.Test(t, func(t *testing.T) {
			ln := wireTestListenerNew()
			l := wireListenerOn(ln, "ipc://test", wireOptions{}.withDefaults())
			l.cred = wireTestCred(os.Geteuid())
			go l.Serve(t.Context(), wireEcho)
			ours, theirs := net.Pipe()
			start := time.Now()
			ln.conns <- theirs
			go ours.Write(wireRawHello()[:said])
			wireTestRawEcho(t, ln)
			if took := time.Since(start); took != 0 {
				t.Errorf("a good client waited %v for one that is silent after %d bytes", took, said)
			}
			io.Copy(io.Discard, ours)
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("silent after %d bytes: cut after %v", said, took)
			}
		})
	}
}

// A peer that reads nothing is cut when its time is over, and not before.
func TestWireStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := wireTestListenerNew()
		l := wireListenerOn(ln, "ipc://test", wireOptions{}.withDefaults())
		l.cred = wireTestCred(os.Geteuid())
		ended := make(chan error, 1)
		go l.Serve(t.Context(), func(c wireConn) {
			for {
				if err := c.Send(make([]byte, 1<<10)); err != nil {
					ended <- err
					return
				}
			}
		})
		ours, theirs := net.Pipe()
		defer ours.Close()
		ln.conns <- theirs
		go ours.Write(wireRawHello())
		io.ReadFull(ours, make([]byte, wireGreetingLen+len(wireRawAnswer())))
		// It reads a little now and then: that is slow, not stalled.
		for range 5 {
			time.Sleep(29 * time.Second)
			if _, err := io.ReadFull(ours, make([]byte, 64<<10)); err != nil {
				t.Fatalf("cut while it was reading: %v", err)
			}
		}
		start := time.Now()
		if err := <-ended; !strings.Contains(err.Error(), "took nothing for 30s") {
			t.Errorf("the sender was told %v", err)
		}
		if took := time.Since(start); took > 30*time.Second || took < 20*time.Second {
			t.Errorf("cut after %v", took)
		}
	})
}

// Close gives a peer that does not read one second.
func TestWireCloseTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go ours.Write(wireRawHello())
		go io.ReadFull(ours, make([]byte, wireGreetingLen+len(wireRawAnswer())))
		c, err := wireHandshake(theirs, wirePeer{}, wireOptions{}.withDefaults(), &wireGuest{})
		if err != nil {
			t.Fatal(err)
		}
		c.Send([]byte("never read"))
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != wireFlushTime {
			t.Errorf("Close took %v", took)
		}
	})
}

// wireScript is a peer that says what it has to say, hangs up and listens to nothing.
type wireScript struct {
	io.Reader
	net.Conn
}

func (s wireScript) Read(p []byte) (int, error)       { return s.Reader.Read(p) }
func (s wireScript) Write(p []byte) (int, error)      { return len(p), nil }
func (s wireScript) Close() error                     { return nil }
func (s wireScript) SetDeadline(time.Time) error      { return nil }
func (s wireScript) SetWriteDeadline(time.Time) error { return nil }

// FuzzWireServer feeds raw bytes to a server's connection: whatever they are, it
// ends with an error, and each message before is within the limits.
func FuzzWireServer(f *testing.F) {
	for _, c := range wireHostileCases() {
		if len(c.bytes) > 8<<10 {
			continue
		}
		if c.hello {
			c.bytes = append(wireRawHello(), c.bytes...)
		}
		f.Add(c.bytes)
	}
	f.Add(append(wireRawHello(), "\x01\x01a\x00\x00\x04\x08\x04PING\x00\x00c\x00\x01b"...))
	opt := wireOptions{wireLimits: wireLimits{MaxFrame: 1 << 10, MaxMessage: 2 << 10, MaxParts: 4}}.withDefaults()
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := wireHandshake(wireScript{Reader: bytes.NewReader(raw)}, wirePeer{}, opt, &wireGuest{})
		if err != nil {
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			return
		}
		defer c.Close()
		if _, ok := wireAnswer(c.Peer().Socket); !ok || len(c.Peer().Identity) > 255 {
			t.Fatalf("let in %+v", c.Peer())
		}
		for {
			frames, err := c.Recv()
			if err != nil {
				return
			}
			if _, err := wireMeasure(frames, opt.wireLimits); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzWireClient: a client dials whatever is there, and that may say anything, with keys and without.
func FuzzWireClient(f *testing.F) {
	f.Add(append(wireRawGreeting("NULL"), wireRawReady(wireMeta("ROUTER"))...))
	f.Add(append(append(wireRawGreeting("NULL"), wireRawReady(wireMeta("ROUTER"))...),
		"\x01\x00\x00\x01a\x04\x08\x04PING\x00\x00c\x00\x01b"...))
	f.Add(append(wireRawGreeting("NULL"), wireRawFrame(4, "\x05ERROR\x05no no")...))
	f.Add(append(wireRawGreeting("CURVE"), wireRawFrame(4, "\x07WELCOME"+strings.Repeat("x", 160))...))
	f.Add(append(wireRawGreeting("CURVE"), wireRawFrame(4, "\x05ERROR\xff")...))
	keys := wireTestKeys(f)
	opt := wireOptions{wireLimits: wireLimits{MaxFrame: 1 << 10, MaxMessage: 2 << 10, MaxParts: 4}}.withDefaults()
	seed := append(wireRawGreeting("NULL"), wireRawReady(wireMeta("ROUTER"))...)
	if c, err := wireHandshake(wireScript{Reader: bytes.NewReader(seed)}, wirePeer{Transport: "ipc"}, opt,
		nil); err != nil {
		f.Fatalf("the first seed gives no connection: %v", err)
	} else {
		c.Close()
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, curve := range []*curveClient{nil, keys.CurveClient} {
			o := opt
			o.CurveClient = curve
			transport := "ipc"
			if curve != nil {
				transport = "tcp"
			}
			c, err := wireHandshake(wireScript{Reader: bytes.NewReader(raw)}, wirePeer{Transport: transport}, o, nil)
			switch {
			case err != nil && strings.Contains(err.Error(), "panicked"):
				t.Fatal(err)
			case err == nil && curve != nil:
				t.Fatal("somebody without the server's key was taken for it")
			case err != nil:
				continue
			}
			for {
				frames, err := c.Recv()
				if err != nil {
					break
				}
				if _, err := wireMeasure(frames, opt.wireLimits); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
	})
}
