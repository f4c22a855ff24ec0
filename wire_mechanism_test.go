// Tests of CURVE over tcp: who is let in, what an attacker on the way can do, cut
// keys, and libzmq at the other end.

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// wireTestKeys are options for both ends of tcp: the server knows the client's key
// as "tester".
func wireTestKeys(t testing.TB) wireOptions {
	server, client := curveTestPair(t, 11), curveTestPair(t, 12)
	return wireOptions{
		CurveServer: &curveServer{Pair: server, Authorize: func(key curveKey) (string, bool) {
			return "tester", key == client.Public
		}},
		CurveClient: &curveClient{Pair: client, Server: server.Public},
	}
}

func TestWireCurvePeer(t *testing.T) {
	opt := wireTestKeys(t)
	got := make(chan wirePeer, 1)
	l := wireTestServeAt(t, "tcp://localhost:0", opt, func(c wireConn) {
		got <- c.Peer()
		wireEcho(c)
	})
	c := wireTestDialWith(t, l.endpoint, opt)
	wireTestRoundTrip(t, c, "hello")
	if p := <-got; p.Key != opt.CurveClient.Pair.Public.String() || p.Name != "tester" || p.Socket != "DEALER" ||
		p.Transport != "tcp" {
		t.Errorf("the server's peer: %+v", p)
	} else if want := p.Addr + " (tester)"; p.String() != want {
		t.Errorf("it is shown as %q, want %q", p, want)
	}
	if p := c.Peer(); p.Key != opt.CurveServer.Pair.Public.String() || p.Name != "" || p.Socket != "ROUTER" ||
		p.Addr != l.endpoint {
		t.Errorf("the client's peer: %+v", p)
	}
}

// Who does not fit is refused, and both sides say why in words.
func TestWireCurveRefused(t *testing.T) {
	keys := wireTestKeys(t)
	stranger := *keys.CurveClient
	stranger.Pair = curveTestPair(t, 13)
	lost := *keys.CurveClient
	lost.Server = curveTestPair(t, 13).Public
	insecure := wireOptions{Insecure: true}
	cases := []struct {
		name           string
		server, client wireOptions
		toClient       string // in the dialler's error
		noted          string // at the server
	}{
		{"unknown client key", keys, wireOptions{CurveClient: &stranger}, errWireUnauthorized.Error(), "its key " +
			stranger.Pair.Public.String() + " is not authorized"},
		{"nobody is authorized", wireOptions{CurveServer: &curveServer{Pair: keys.CurveServer.Pair}}, keys,
			errWireUnauthorized.Error(), "is not authorized"},
		{"wrong server key", keys, wireOptions{CurveClient: &lost}, "client has another key for this server",
			errCurveHello.Error()},
		{"NULL to CURVE", keys, insecure, `mechanism "CURVE" where we have NULL: it wants keys, and we have none`,
			`"NULL" where we have CURVE: it came without keys`},
		{"CURVE to NULL", insecure, keys, `mechanism "NULL" where we have CURVE: it came without keys`,
			`"CURVE" where we have NULL: it wants keys`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			notes := make(chan error, 10)
			c.server.Note = func(err error) { notes <- err }
			l := wireTestServeAt(t, "tcp://127.0.0.1:0", c.server, func(wireConn) { t.Error("it was let in") })
			if _, err := wireDial(t.Context(), l.endpoint, c.client); err == nil ||
				!strings.Contains(err.Error(), c.toClient) {
				t.Errorf("the client got %v, want %q", err, c.toClient)
			} else if unknown := strings.Contains(c.toClient, "authorize"); errors.Is(err,
				errWireUnauthorized) != unknown {
				t.Errorf("errors.Is(%v, errWireUnauthorized) is %v", err, !unknown)
			}
			if err := <-notes; !strings.Contains(err.Error(), c.noted) ||
				!strings.Contains(err.Error(), "tcp://127.0.0.1:") {
				t.Errorf("the server noted %v, want %q", err, c.noted)
			}
		})
	}
}

// wireRaw is a client of CURVE made by hand, to do what it should not.
type wireRaw struct {
	net.Conn
	seal *curveSealer
	open *curveOpener
}

// wireRawCommands returns the frames that a client sends in its handshake, by a socket of some type. It
// talks to answer, which returns the body of the server's next command.
func wireRawCommands(client *curveClient, socket string, send func(frame []byte),
	answer func() []byte) (*curveSealer, *curveOpener, error) {
	join := curveJoin{client: client}
	hello, err := join.hello()
	if err != nil {
		return nil, nil, err
	}
	send(wireRawFrame(wireFlagCommand, "\x05HELLO"+string(hello)))
	initiate, err := join.welcome(answer(), wireMeta(socket))
	if err != nil {
		return nil, nil, err
	}
	send(wireRawFrame(wireFlagCommand|wireFlagLong, "\x08INITIATE"+string(initiate)))
	_, seal, open, err := join.ready(answer())
	return seal, open, err
}

// wireRawCurve connects and shakes hands by hand, and must be let in.
func wireRawCurve(t *testing.T, endpoint string, client *curveClient) *wireRaw {
	t.Helper()
	r, err := wireRawDial(endpoint, client, "DEALER")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// wireRawDial connects and shakes hands by hand, by a socket of some type.
func wireRawDial(endpoint string, client *curveClient, socket string) (*wireRaw, error) {
	nc, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(time.Minute))
	nc.Write(wireRawGreeting("CURVE"))
	var failed error
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(nc, b); err != nil && failed == nil {
			failed = fmt.Errorf("handshake: %w", err)
		}
		return b
	}
	read(wireGreetingLen)
	r := &wireRaw{Conn: nc}
	r.seal, r.open, err = wireRawCommands(client, socket, func(frame []byte) { nc.Write(frame) }, func() []byte {
		body := read(int(read(2)[1]))
		if failed != nil || len(body) == 0 {
			return nil
		}
		return body[1+int(body[0]):]
	})
	if err := cmp.Or(failed, err); err != nil {
		nc.Close()
		return nil, err
	}
	return r, nil
}

// sealed is one sealed frame with its header.
func (r *wireRaw) sealed(flags byte, data string) []byte {
	frame, err := r.seal.seal(nil, flags, []byte(data))
	if err != nil {
		panic(err)
	}
	if len(frame) > 255 {
		return wireRawFrame(wireFlagLong, string(frame))
	}
	return wireRawFrame(0, string(frame))
}

// wireCurveCase ends its connection with this error at the server, and reaches
// nobody else.
type wireCurveCase struct {
	name  string
	bytes func(r *wireRaw) []byte
	want  string
}

func wireCurveCases() []wireCurveCase {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []wireCurveCase{
		{"replay", func(r *wireRaw) []byte { f := r.sealed(0, "pay"); return join(f, f) }, errCurveReplay.Error()},
		{"reordered", func(r *wireRaw) []byte { a, b := r.sealed(0, "1"), r.sealed(0, "2"); return join(b, a) },
			errCurveReplay.Error()},
		{"nonce of the handshake", func(r *wireRaw) []byte { r.seal.nonce = 1; return r.sealed(0, "x") },
			errCurveReplay.Error()},
		{"clear message", func(*wireRaw) []byte { return wireRawFrame(0, strings.Repeat("clear", 10)) },
			"message is not sealed"},
		{"short clear message", func(*wireRaw) []byte { return wireRawFrame(0, "clear") }, "sealed message of 5 bytes"},
		{"clear PING", func(*wireRaw) []byte { return wireRawPing("") }, "sealed message of 7 bytes"},
		{"long clear PING", func(*wireRaw) []byte { return wireRawPing(strings.Repeat("c", 30)) },
			"message is not sealed"},
		{"clear MORE", func(r *wireRaw) []byte { f := r.sealed(0, "x"); f[0] = 1; return f },
			"flag for more frames outside its seal"},
		{"unknown flags", func(r *wireRaw) []byte { f := r.sealed(0, "x"); f[0] = 8; return f }, "unknown flags"},
		{"unknown sealed flags", func(r *wireRaw) []byte { return r.sealed(3, "x") }, "unknown flags 0x03"},
		{"empty frame", func(*wireRaw) []byte { return []byte{0, 0} }, "sealed message of 0 bytes"},
		{"frame of 1 MiB + 1", func(*wireRaw) []byte { return wireRawHeader(0, 1<<20+1+33) },
			"frame of 1048577 bytes is over the limit of 1048576"},
		{"frame of 2^62", func(*wireRaw) []byte { return wireRawHeader(0, 1<<62) }, "is over the limit"},
		{"frame of 2^64-1", func(*wireRaw) []byte { return wireRawHeader(0, 1<<64-1) }, "is over the limit"},
		{"endless MORE", func(r *wireRaw) (b []byte) {
			for range 20 {
				b = append(b, r.sealed(curveFlagMore, "")...)
			}
			return b
		}, "more than 16 frames"},
		{"large MORE", func(r *wireRaw) (b []byte) {
			for range 5 {
				b = append(b, r.sealed(curveFlagMore, strings.Repeat("x", 1<<20))...)
			}
			return b
		}, "more than 4194304 bytes"},
		{"nameless command", func(r *wireRaw) []byte { return r.sealed(curveFlagCommand, "") }, "without a name"},
		{"short PING", func(r *wireRaw) []byte { return r.sealed(curveFlagCommand, "\x04PING\x00") },
			"without its time to live"},
		{"large command", func(r *wireRaw) []byte {
			return r.sealed(curveFlagCommand,
				"\x01x"+strings.Repeat("x", 600))
		}, "command of 602 bytes"},
	}
}

func TestWireCurveHostile(t *testing.T) {
	opt := wireTestKeys(t)
	faults := make(chan error, 10)
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", opt, func(c wireConn) {
		if c.Peer().Identity == "" {
			wireEcho(c)
		}
		_, err := c.Recv()
		faults <- err
	})
	for _, c := range wireCurveCases() {
		t.Run(c.name, func(t *testing.T) {
			r := wireRawCurve(t, l.endpoint, opt.CurveClient)
			attack := c.bytes(r)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r.Write(attack)
			if err := <-faults; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the server saw %v, want %q", err, c.want)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 && strings.HasPrefix(c.name, "frame of") {
				t.Errorf("%d bytes were allocated", n)
			}
			if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server did not hang up")
			}
		})
	}
	t.Run("every byte", func(t *testing.T) {
		for at := range 2 + curveMessageExtra + 5 {
			r := wireRawCurve(t, l.endpoint, opt.CurveClient)
			frame := r.sealed(0, "hello")
			frame[at] ^= 0x40
			// Bytes after it, so that a length that grew finds them, and the end.
			r.Write(append(frame, make([]byte, 100)...))
			r.Conn.(*net.TCPConn).CloseWrite()
			if err := <-faults; err == nil || errors.Is(err, errWireClosed) {
				t.Errorf("byte %d altered: %v", at, err)
			}
			if echo, _ := io.ReadAll(r); len(echo) > 0 {
				t.Errorf("byte %d altered: the server answered %x", at, echo)
			}
		}
	})
	wireTestRoundTrip(t, wireTestDialWith(t, l.endpoint, opt), "still there?")
}

// A sealed frame may say outside that it is a command, as RFC 26 has it; the
// largest passes; a PING comes sealed, between two frames too, and so does its PONG.
func TestWireCurveByHand(t *testing.T) {
	opt := wireTestKeys(t)
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", opt, wireEcho)
	r := wireRawCurve(t, l.endpoint, opt.CurveClient)
	read := func(flags byte, data string) {
		t.Helper()
		head := make([]byte, 2)
		io.ReadFull(r, head)
		size := int(head[1])
		if head[0] == wireFlagLong {
			rest := make([]byte, 7)
			io.ReadFull(r, rest)
			size = int(rest[4])<<16 | int(rest[5])<<8 | int(rest[6])
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatalf("read: %v", err)
		}
		got, text, err := r.open.open(frame)
		if err != nil || got != flags || string(text) != data {
			t.Fatalf("got flags %d and %d bytes, %v; want %d and %d bytes", got, len(text), err, flags, len(data))
		}
	}
	asCommand := r.sealed(0, "hello")
	asCommand[0] |= wireFlagCommand
	r.Write(asCommand)
	read(0, "hello")
	large := strings.Repeat("x", 1<<20)
	go r.Write(r.sealed(0, large))
	read(0, large)
	r.Write(r.sealed(curveFlagMore, "one"))
	r.Write(r.sealed(curveFlagCommand, "\x04PING\x00\x0actx"))
	read(curveFlagCommand, "\x04PONGctx")
	r.Write(r.sealed(0, "two"))
	read(curveFlagMore, "one")
	read(0, "two")
}

// wireCurveStep is a client that goes wrong in its handshake: say gets its HELLO
// as a frame, and a func that says it, waits for WELCOME and returns INITIATE.
type wireCurveStep struct {
	name string
	say  func(hello []byte, initiate func(meta []byte) []byte) []byte
	want string
}

func wireCurveSteps() []wireCurveStep {
	type frame = func(meta []byte) []byte
	dealer := wireMeta("DEALER")
	return []wireCurveStep{
		{"half HELLO", func(hello []byte, _ frame) []byte { return hello[:100] }, "hung up inside"},
		{"short HELLO", func(hello []byte, _ frame) []byte {
			return wireRawFrame(wireFlagCommand,
				string(hello[2:201]))
		}, "HELLO of 193 bytes"},
		{"PING for HELLO", func([]byte, frame) []byte { return wireRawPing("") }, `"PING" where HELLO was due`},
		{"READY for HELLO", func([]byte, frame) []byte { return wireRawReady(dealer) }, `"READY" where HELLO was due`},
		{"message for HELLO", func([]byte, frame) []byte { return wireRawFrame(0, "hello") },
			"before the handshake was done"},
		{"HELLO for INITIATE", func(hello []byte, initiate frame) []byte { initiate(nil); return hello },
			`"HELLO" where INITIATE was due`},
		{"half INITIATE", func(_ []byte, initiate frame) []byte { return initiate(dealer)[:150] }, "hung up inside"},
		{"short INITIATE", func(_ []byte, initiate frame) []byte {
			return wireRawFrame(wireFlagCommand, string(initiate(nil)[9:218]))
		}, "INITIATE of 200 bytes"},
		{"long INITIATE", func(_ []byte, initiate frame) []byte { return initiate(make([]byte, 4<<10)) },
			"handshake command of 4353 bytes is over the limit"},
		{"message for INITIATE", func(_ []byte, initiate frame) []byte {
			initiate(nil)
			return wireRawFrame(0,
				"hello")
		}, "before the handshake was done"},
		{"no metadata", func(_ []byte, initiate frame) []byte { return initiate(nil) }, "no Socket-Type"},
		{"PUB", func(_ []byte, initiate frame) []byte { return initiate(wireMeta("PUB")) },
			"no service for a PUB socket"},
	}
}

// Cut off or wrong at any place, a handshake is an end.
func TestWireCurveCutHandshake(t *testing.T) {
	opt := wireTestKeys(t)
	notes := make(chan error, 10)
	opt.Note = func(err error) { notes <- err }
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", opt, func(wireConn) { t.Error("it was let in") })
	for _, c := range wireCurveSteps() {
		nc, err := net.Dial("tcp", strings.TrimPrefix(l.endpoint, "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(time.Minute))
		nc.Write(wireRawGreeting("CURVE"))
		join := curveJoin{client: opt.CurveClient}
		body, err := join.hello()
		if err != nil {
			t.Fatal(err)
		}
		hello := wireRawFrame(wireFlagCommand, "\x05HELLO"+string(body))
		nc.Write(c.say(hello, func(meta []byte) []byte {
			nc.Write(hello)
			welcome := make([]byte, wireGreetingLen+2+8+curveWelcomeLen)
			if _, err := io.ReadFull(nc, welcome); err != nil {
				t.Fatal(err)
			}
			body, err := join.welcome(welcome[wireGreetingLen+2+8:], meta)
			if err != nil {
				t.Fatal(err)
			}
			return wireRawFrame(wireFlagCommand|wireFlagLong, "\x08INITIATE"+string(body))
		}))
		nc.(*net.TCPConn).CloseWrite()
		if err := <-notes; !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the server noted %v, want %q", c.name, err, c.want)
		}
	}
}

func TestWireCutKey(t *testing.T) {
	opt := wireTestKeys(t)
	key := opt.CurveClient.Pair.Public
	var removed atomic.Bool
	opt.CurveServer.Authorize = func(k curveKey) (string, bool) { return "some", !removed.Load() || k != key }
	ended := make(chan error, 10)
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", opt, func(c wireConn) {
		wireEcho(c)
		_, err := c.Recv()
		ended <- err
	})
	other := opt
	other.CurveClient = &curveClient{Pair: curveTestPair(t, 14), Server: opt.CurveServer.Pair.Public}
	one, two, stays := wireTestDialWith(t, l.endpoint, opt), wireTestDialWith(t, l.endpoint, opt),
		wireTestDialWith(t, l.endpoint, other)
	for _, c := range []wireConn{one, two, stays} {
		wireTestRoundTrip(t, c, "in")
	}
	removed.Store(true)
	why := errors.New("its line was removed")
	if n := l.CutKey(key, why); n != 2 {
		t.Errorf("%d connections were cut", n)
	}
	for _, c := range []wireConn{one, two} {
		if _, err := c.Recv(); !errors.Is(err, errWireClosed) {
			t.Errorf("the client saw %v", err)
		}
		if err := <-ended; err != why {
			t.Errorf("the server saw %v", err)
		}
	}
	wireTestRoundTrip(t, stays, "stays")
	if _, err := wireDial(t.Context(), l.endpoint, opt); !errors.Is(err, errWireUnauthorized) {
		t.Errorf("it came again: %v", err)
	}
}

// A key that is taken away, or given another name, while its handshake is on the
// way is not let through.
func TestWireCutKeyInHandshake(t *testing.T) {
	for name, second := range map[string]func() (string, bool){
		"removed": func() (string, bool) { return "", false },
		"renamed": func() (string, bool) { return "viewer", true },
	} {
		t.Run(name, func(t *testing.T) {
			opt := wireTestKeys(t)
			var asked atomic.Int32
			opt.CurveServer.Authorize = func(curveKey) (string, bool) {
				if asked.Add(1) == 1 {
					return "operator", true
				}
				return second()
			}
			ended := make(chan error, 1)
			l := wireTestServeAt(t, "tcp://127.0.0.1:0", opt, func(c wireConn) {
				_, err := c.Recv()
				ended <- err
			})
			wireTestDialWith(t, l.endpoint, opt).Send([]byte("quick"))
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "its key") {
				t.Errorf("the server's Recv: %v", err)
			}
		})
	}
}

const wireStrangerScript = `
import sys, zmq
ctx = zmq.Context()
def refused(events, *keys):
    s = ctx.socket(zmq.DEALER)
    s.linger = 0
    if keys: s.curve_serverkey, s.curve_publickey, s.curve_secretkey = [k.encode() for k in keys]
    mon = s.get_monitor_socket(events)
    s.connect(sys.argv[1])
    s.send(b"let me in")
    assert mon.poll(20000), "it was not refused"
    return zmq.utils.monitor.recv_monitor_message(mon)["value"]
print(refused(zmq.EVENT_HANDSHAKE_FAILED_AUTH, *sys.argv[2:]), flush=True)
refused(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
print("OK")
`

// A libzmq client is told so that its monitor knows: 400 is RFC 27's code for it.
func TestWireLibzmqStranger(t *testing.T) {
	keys := wireTestKeys(t)
	l := wireTestServeAt(t, "tcp://127.0.0.1:0", keys, func(wireConn) { t.Error("it was let in") })
	stranger := curveTestPair(t, 13)
	out, err := harness.Python(t, l.endpoint, "import zmq.utils.monitor"+wireStrangerScript,
		keys.CurveClient.Server.String(), stranger.Public.String(), stranger.Secret.Text()).Output()
	if err != nil || string(out) != "400\nOK\n" {
		t.Errorf("libzmq client: %v, %q", err, out)
	}
}

// FuzzCurveServer feeds raw bytes to a server's CURVE connection. Its random
// numbers are always the same, so that the seed is a client who is let in.
func FuzzCurveServer(f *testing.F) {
	opt := wireTestKeys(f)
	opt.wireLimits = wireLimits{MaxFrame: 1 << 10, MaxMessage: 2 << 10, MaxParts: 4}
	opt = opt.withDefaults()
	server := func() *curveServer {
		s := *opt.CurveServer
		s.Random = curveTestRandom(20)
		return &s
	}
	client := *opt.CurveClient
	client.Random = curveTestRandom(21)
	raw := wireFuzzTranscript(f, server(), &client)
	f.Add(raw)
	f.Add(raw[:len(raw)-60])
	f.Add(wireRawGreeting("CURVE"))
	f.Add(append(wireRawGreeting("CURVE"), wireRawReady(wireMeta("DEALER"))...))
	seed := opt
	seed.CurveServer = server()
	if c, err := wireHandshake(wireScript{Reader: bytes.NewReader(raw)}, wirePeer{Transport: "tcp"}, seed,
		&wireGuest{}); err != nil {
		f.Fatalf("the seed was not let in: %v", err)
	} else {
		c.Close()
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o := opt
		o.CurveServer = server()
		c, err := wireHandshake(wireScript{Reader: bytes.NewReader(raw)}, wirePeer{Transport: "tcp"}, o, &wireGuest{})
		if err != nil {
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			return
		}
		defer c.Close()
		if p := c.Peer(); p.Key != client.Pair.Public.String() || p.Name != "tester" {
			t.Fatalf("let in %+v", p)
		}
		for {
			frames, err := c.Recv()
			if err != nil {
				return
			}
			// The client has sealed these and nothing else.
			if text := string(bytes.Join(frames, nil)); text != "hello" && text != "manyframes" {
				t.Fatalf("it said %q", text)
			}
		}
	})
}

// wireFuzzTranscript is all that a client says to this server.
func wireFuzzTranscript(f *testing.F, server *curveServer, client *curveClient) []byte {
	accept := curveAccept{server: server}
	raw, said := wireRawGreeting("CURVE"), []byte(nil)
	commands := 0
	seal, _, err := wireRawCommands(client, "DEALER", func(frame []byte) {
		raw, said = append(raw, frame...), frame
	}, func() (answer []byte) {
		var err error
		if commands++; commands == 1 {
			answer, err = accept.hello(said[2+6:])
		} else {
			_, _, err = accept.initiate(said[9+9:])
			answer, _, _ = accept.ready(wireMeta("ROUTER"))
		}
		if err != nil {
			f.Fatal(err)
		}
		return answer
	})
	if err != nil {
		f.Fatal(err)
	}
	r := wireRaw{seal: seal}
	raw = append(raw, r.sealed(0, "hello")...)
	raw = append(raw, r.sealed(curveFlagMore, "many")...)
	raw = append(raw, r.sealed(curveFlagCommand, "\x04PING\x00\x00ctx")...)
	return append(raw, r.sealed(0, "frames")...)
}

func BenchmarkWireRoundTripCURVE(b *testing.B) {
	opt := wireTestKeys(b)
	wireBench(b, wireTestDialWith(b, wireTestServeAt(b, "tcp://127.0.0.1:0", opt, wireEcho).endpoint, opt))
}

func BenchmarkWireRoundTripTCP(b *testing.B) {
	opt := wireOptions{Insecure: true}
	wireBench(b, wireTestDialWith(b, wireTestServeAt(b, "tcp://127.0.0.1:0", opt, wireEcho).endpoint, opt))
}

func BenchmarkWireRoundTripHeartbeat(b *testing.B) {
	opt := wireTestKeys(b)
	opt.Heartbeat = 5 * time.Second
	wireBench(b, wireTestDialWith(b, wireTestServeAt(b, "tcp://127.0.0.1:0", opt, wireEcho).endpoint, opt))
}

func BenchmarkWireDialCURVE(b *testing.B) {
	opt := wireTestKeys(b)
	l := wireTestServeAt(b, "tcp://127.0.0.1:0", opt, wireEcho)
	for b.Loop() {
		c, err := wireDial(context.Background(), l.endpoint, opt)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkWireOneWayCURVE(b *testing.B) {
	opt := wireTestKeys(b)
	wireBenchOneWay(b, wireTestDialWith(b, wireTestServeAt(b, "tcp://127.0.0.1:0", opt, wireLastEcho).endpoint, opt))
}
