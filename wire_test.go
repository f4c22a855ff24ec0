// Tests of a connection, both transports through one table, and against libzmq.
// Listening is in wire_listen_test.go, hostile peers in wire_hostile_test.go.

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// wireNoLeaks fails the test if a goroutine of this room that began in it outlives it.
func wireNoLeaks(t testing.TB) {
	before := wireGoroutines()
	t.Cleanup(func() {
		left := wireLeft(before)
		for end := time.Now().Add(20 * time.Second); len(left) > 0 && time.Now().Before(end); left = wireLeft(before) {
			runtime.Gosched()
		}
		if len(left) > 0 {
			t.Errorf("%d goroutines left over:\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// wireGoroutines gives the stacks of all other goroutines with something of this room in them, by what they begin with:
// "goroutine 7". Functions are called by the package: main in the program, cdktr in its tests.
func wireGoroutines() map[string]string {
	pc, _, _, _ := runtime.Caller(0)
	pkg, _, _ := strings.Cut(runtime.FuncForPC(pc).Name(), ".")
	buf := make([]byte, 1<<20)
	for n := runtime.Stack(buf, true); ; n = runtime.Stack(buf, true) {
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	found := map[string]string{}
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i > 0 && (strings.Contains(g, pkg+".wire") || strings.Contains(g, pkg+".(*wire")) {
			name, _, _ := strings.Cut(g, " [")
			found[name] = g
		}
	}
	return found
}

// wireLeft gives the stacks of those that were not there before.
func wireLeft(before map[string]string) (left []string) {
	for name, g := range wireGoroutines() {
		if _, ok := before[name]; !ok {
			left = append(left, g)
		}
	}
	return left
}

// TestWireNoLeaks: what looks for goroutines that are left over finds one, in a function and in a method, and no longer
// when it has ended.
func TestWireNoLeaks(t *testing.T) {
	q := wireQueueWith(wireOptions{}.withDefaults().wireLimits)
	for name, begin := range map[string]func(ended func()){
		"a method": func(ended func()) {
			go func() {
				q.take(true)
				ended()
			}()
		},
		"a function": func(ended func()) { go wireTestTake(q, ended) },
	} {
		before, ended := wireGoroutines(), make(chan struct{})
		begin(func() { close(ended) })
		for end := time.Now().Add(time.Minute); len(wireLeft(before)) == 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s: a goroutine that is left over is not found", name)
			}
		}
		q.answer([]byte{})
		<-ended
		for end := time.Now().Add(time.Minute); len(wireLeft(before)) > 0; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%s: one that has ended is still found", name)
			}
		}
	}
}

func wireTestTake(q *wireQueue, ended func()) {
	q.take(true)
	ended()
}

// wireTestPath returns a socket path short enough for the kernel.
func wireTestPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// wireTestServe runs a listener until the test ends and returns its endpoint.
func wireTestServe(t testing.TB, opt wireOptions, handle func(wireConn)) string {
	return wireTestServeAt(t, "ipc://"+wireTestPath(t), opt, handle).endpoint
}

func wireTestServeAt(t testing.TB, endpoint string, opt wireOptions, handle func(wireConn)) *wireListener {
	wireNoLeaks(t)
	l, err := wireListen(endpoint, opt)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(t.Context(), handle) }() // the context ends just before cleanup
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

func wireEcho(c wireConn) {
	for {
		frames, err := c.Recv()
		if err != nil || c.Send(frames...) != nil {
			return
		}
	}
}

func wireTestDial(t testing.TB, endpoint string) wireConn {
	return wireTestDialWith(t, endpoint, wireOptions{})
}

func wireTestDialWith(t testing.TB, endpoint string, opt wireOptions) wireConn {
	c, err := wireDial(context.Background(), endpoint, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wireTestRoundTrip proves that a server is alive.
func wireTestRoundTrip(t testing.TB, c wireConn, text string) {
	t.Helper()
	if err := c.Send([]byte(text)); err != nil {
		t.Fatalf("send: %v", err)
	}
	got, err := c.Recv()
	if err != nil || len(got) != 1 || string(got[0]) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// wireTestPair runs a test once for each transport.
func wireTestPair(t *testing.T, test func(t *testing.T, client, server wireConn)) {
	t.Run("memory", func(t *testing.T) {
		wireNoLeaks(t)
		client, server := wirePipe()
		test(t, client, server)
		client.Close()
		server.Close()
	})
	keys := wireTestKeys(t)
	for name, way := range map[string]struct {
		endpoint string
		opt      wireOptions
	}{
		"ipc":        {"ipc://" + wireTestPath(t), wireOptions{}},
		"ipc, quiet": {"ipc://" + wireTestPath(t), wireOptions{Quiet: true}},
		"tcp":        {"tcp://127.0.0.1:0", keys},
		// A heartbeat that never comes to a PING changes nothing.
		"tcp without keys": {"tcp://127.0.0.1:0", wireOptions{Insecure: true, Heartbeat: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan wireConn)
			l := wireTestServeAt(t, way.endpoint, way.opt, func(c wireConn) {
				got <- c
				<-c.Done()
			})
			client := wireTestDialWith(t, l.endpoint, way.opt)
			server := <-got
			test(t, client, server)
			client.Close()
			server.Close()
		})
	}
}

func TestWirePeer(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		if got := server.Peer().Socket; got != "DEALER" {
			t.Errorf("the server's peer is a %q", got)
		}
		if got := client.Peer().Socket; got != "ROUTER" {
			t.Errorf("the client's peer is a %q", got)
		}
		for _, p := range []wirePeer{client.Peer(), server.Peer()} {
			if p.Transport == "tcp" {
				if p.HasCred || !strings.HasPrefix(p.Addr, "tcp://127.0.0.1:") {
					t.Errorf("tcp: %+v", p)
				}
				continue
			}
			if !p.HasCred || int(p.UID) != os.Getuid() || int(p.GID) != os.Getgid() || int(p.PID) != os.Getpid() {
				t.Errorf("credentials of %+v are not ours", p)
			}
			if p.Transport != "ipc" && p.Transport != "memory" || p.Addr == "" {
				t.Errorf("no transport or address: %+v", p)
			}
		}
	})
}

func TestWireOrder(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		const n = 3000
		make1 := func(i int) [][]byte {
			return [][]byte{{}, fmt.Appendf(nil, "%d", i), bytes.Repeat([]byte{byte(i)}, i), {}}
		}
		go func() {
			for i := range n {
				if err := client.Send(make1(i)...); err != nil {
					t.Errorf("send %d: %v", i, err)
				}
			}
		}()
		for i := range n {
			got, err := server.Recv()
			if err != nil || !slices.EqualFunc(got, make1(i), bytes.Equal) {
				t.Fatalf("message %d came as %d frames, %v", i, len(got), err)
			}
		}
	})
}

func TestWireManySenders(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		const senders, each = 8, 400
		var wg sync.WaitGroup
		for s := range senders {
			for _, c := range []wireConn{client, server} {
				wg.Go(func() {
					for i := range each {
						if err := c.Send([]byte{byte(s)}, binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
							t.Errorf("send: %v", err)
						}
					}
				})
			}
		}
		for _, c := range []wireConn{client, server} {
			wg.Go(func() {
				var next [senders]uint32
				for range senders * each {
					m, err := c.Recv()
					if err != nil || len(m) != 2 {
						t.Errorf("recv: %q, %v", m, err)
						return
					}
					if s := m[0][0]; binary.BigEndian.Uint32(m[1]) != next[s] {
						t.Errorf("sender %d: got %x, want %d", s, m[1], next[s])
						return
					} else {
						next[s]++
					}
				}
			})
		}
		wg.Wait()
	})
}

// wireTestFill sends until the queue stays full, and returns how many it took.
func wireTestFill(c wireConn, frame []byte) int {
	sent := 0
	for refused := 0; refused < 200; {
		if c.TrySend(frame) {
			sent++
			refused = 0
		} else {
			refused++
			runtime.Gosched()
		}
	}
	return sent
}

func TestWireBackpressure(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		frame := make([]byte, 16<<10)
		sent := wireTestFill(client, frame)
		high := 12 << 20 / len(frame)
		if client.Peer().Transport == "tcp" {
			high *= 3 // what the kernel buffers grows (tcp_rmem and tcp_wmem of tcp(7))
		}
		if low := 8 << 20 / len(frame); sent < low || sent > high {
			t.Fatalf("%d messages were taken with nobody reading, want %d to %d", sent, low, high)
		}
		last := make(chan error, 1)
		go func() { last <- client.Send([]byte("last")) }()
		for i := range sent {
			if m, err := server.Recv(); err != nil || len(m[0]) != len(frame) {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		if m, err := server.Recv(); err != nil || string(m[0]) != "last" {
			t.Fatalf("got %q, %v; want the message that had to wait", m, err)
		}
		if err := <-last; err != nil {
			t.Errorf("the send that had to wait: %v", err)
		}
	})
}

func TestWireCloseFlushes(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		const n = 50
		for i := range n {
			if !client.TrySend([]byte{byte(i)}) {
				t.Fatalf("TrySend %d", i)
			}
		}
		for range 2 {
			if err := client.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		client.Cut(errors.New("too late to matter"))
		select {
		case <-client.Done():
		default:
			t.Error("Done is open after Close")
		}
		for i := range n {
			if m, err := server.Recv(); err != nil || m[0][0] != byte(i) {
				t.Fatalf("message %d sent before close: %q, %v", i, m, err)
			}
		}
		for _, c := range []wireConn{client, server} {
			for range 2 {
				if _, err := c.Recv(); !errors.Is(err, errWireClosed) {
					t.Errorf("Recv after the end: %v", err)
				}
			}
			<-c.Done()
			if err := c.Send([]byte("x")); !errors.Is(err, errWireClosed) {
				t.Errorf("Send after the end: %v", err)
			}
			if c.TrySend([]byte("x")) {
				t.Error("TrySend after the end")
			}
		}
	})
}

// A Recv and a Send that wait are woken by the end of the connection, from either side.
func TestWireEndWakes(t *testing.T) {
	ends := map[string]func(client, server wireConn){
		"own close":  func(client, _ wireConn) { client.Close() },
		"own cut":    func(client, _ wireConn) { client.Cut(nil) },
		"peer close": func(_, server wireConn) { server.Close() },
		"peer cut":   func(_, server wireConn) { server.Cut(errors.New("not the client's business")) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			wireTestPair(t, func(t *testing.T, client, server wireConn) {
				wireTestFill(client, make([]byte, 64<<10))
				woken := make(chan error, 2)
				go func() {
					for {
						if err := client.Send(make([]byte, 64<<10)); err != nil {
							woken <- err
							return
						}
					}
				}()
				go func() {
					_, err := client.Recv()
					woken <- err
				}()
				end(client, server)
				for range 2 {
					if err := <-woken; !errors.Is(err, errWireClosed) {
						t.Errorf("woken by %v", err)
					}
				}
			})
		})
	}
}

func TestWireCutSaysWhy(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		why := errors.New("key was removed")
		server.Cut(why)
		if _, err := server.Recv(); err != why {
			t.Errorf("Recv: %v", err)
		}
		if err := server.Send([]byte("x")); err != why {
			t.Errorf("Send: %v", err)
		}
		if _, err := client.Recv(); !errors.Is(err, errWireClosed) || errors.Is(err, why) {
			t.Errorf("the other side's Recv: %v", err)
		}
	})
}

func TestWireSendLimits(t *testing.T) {
	big := make([]byte, 1<<20)
	cases := []struct {
		name   string
		frames [][]byte
		want   string // "" for a message that passes
	}{
		{"largest frame", [][]byte{big}, ""},
		{"largest message", [][]byte{big, big, big, big}, ""},
		{"most parts", make([][]byte, 16), ""},
		{"frame too large", [][]byte{append(big, 0)}, "frame of 1048577 bytes"},
		{"message too large", [][]byte{big, big, big, big, {0}}, "message of more than 4194304 bytes"},
		{"too many parts", make([][]byte, 17), "more than 16 frames"},
		{"no frames", nil, "no frames"},
	}
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		for _, c := range cases {
			err := client.Send(c.frames...)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || client.TrySend(c.frames...) {
					t.Errorf("%s: %v", c.name, err)
				}
				continue
			}
			got, recvErr := server.Recv()
			if err != nil || recvErr != nil || len(got) != len(c.frames) {
				t.Errorf("%s: %d frames, %v, %v", c.name, len(got), err, recvErr)
			}
		}
	})
}

const wireClientScript = `
import sys, time, zmq
ctx = zmq.Context()
def new(kind):
    s = ctx.socket(kind)
    if len(sys.argv) > 2:
        s.curve_serverkey, s.curve_publickey, s.curve_secretkey = [k.encode() for k in sys.argv[2:]]
    return s
def sock(kind, **opts):
    s = new(kind)
    s.linger = 0
    s.rcvtimeo = 20000
    for k, v in opts.items(): setattr(s, k, v)
    s.connect(sys.argv[1])
    return s
def same(s, *frames):
    s.send_multipart(frames)
    got = s.recv_multipart()
    assert got == list(frames), [len(f) for f in got]

req = sock(zmq.REQ)
for i in range(100): same(req, b"ask %d" % i)
same(req, b"many", b"", b"parts", b"x" * 300)

dealer = sock(zmq.DEALER, identity=b"me")
same(dealer, b"", b"with a delimiter")
same(dealer, b"without")
same(dealer, bytes(1 << 20))
same(dealer, *[bytes(1 << 18)] * 16)
for i in range(1000): dealer.send(b"%d" % i)
for i in range(1000): assert dealer.recv() == b"%d" % i

beat = sock(zmq.REQ, heartbeat_ivl=50, heartbeat_timeout=200)
mon = beat.get_monitor_socket(zmq.EVENT_DISCONNECTED)
same(beat, b"before")
time.sleep(0.6)
same(beat, b"after")
assert not mon.poll(0), "heartbeats did not keep the connection"

big = sock(zmq.DEALER)
mon = big.get_monitor_socket(zmq.EVENT_DISCONNECTED)
same(big, b"small")
big.send(bytes(2 << 20))
assert mon.poll(20000), "2 MiB frame did not end the connection"
same(sock(zmq.REQ), b"still there")

pub = new(zmq.PUB)
mon = pub.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED)
pub.connect(sys.argv[1])
assert mon.poll(20000), "PUB was let in"
sub = sock(zmq.SUB)
sub.subscribe(b"event.")
assert sub.recv_multipart() == [b"event.", b"\x01event."]
push = sock(zmq.PUSH)
push.linger = 5000
push.send(b"pushed")
print("OK")
ctx.destroy(linger=5000)
`

func TestWireLibzmqClient(t *testing.T) {
	t.Run("ipc", func(t *testing.T) { wireTestLibzmqClient(t, "ipc://"+wireTestPath(t), wireOptions{}) })
	t.Run("tcp", func(t *testing.T) {
		opt := wireTestKeys(t)
		client := opt.CurveClient
		wireTestLibzmqClient(t, "tcp://127.0.0.1:0", opt,
			client.Server.String(), client.Pair.Public.String(), client.Pair.Secret.Text())
	})
}

func wireTestLibzmqClient(t *testing.T, endpoint string, opt wireOptions, keys ...string) {
	var mu sync.Mutex
	peers := map[string]int{}
	var faults []string
	pushed := make(chan string, 10)
	endpoint = wireTestServeAt(t, endpoint, opt, func(c wireConn) {
		p := c.Peer()
		mu.Lock()
		peers[p.Socket+" "+p.Identity]++
		mu.Unlock()
		for {
			frames, err := c.Recv()
			if err != nil {
				mu.Lock()
				if !errors.Is(err, errWireClosed) {
					faults = append(faults, err.Error())
				}
				mu.Unlock()
				return
			}
			switch p.Socket {
			case "PUSH":
				pushed <- string(frames[0])
			case "SUB": // 1 and a topic is a subscription
				c.Send([]byte("other"), frames[0])
				c.Send(frames[0][1:], frames[0])
			default:
				c.Send(frames...)
			}
		}
	}).endpoint
	out, err := harness.Python(t, endpoint, wireClientScript, keys...).Output()
	if err != nil || string(out) != "OK\n" {
		t.Fatalf("libzmq client: %v, %q", err, out)
	}
	if got := <-pushed; got != "pushed" {
		t.Errorf("PUSH sent %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	// Three REQ: a heartbeat that failed would show as a fourth. The DEALER that
	// was cut comes back by itself, and may do so more than once.
	if peers["REQ "] != 3 || peers["DEALER me"] != 1 || peers["DEALER "] < 1 || peers["SUB "] != 1 ||
		peers["PUSH "] != 1 {
		t.Errorf("connections: %v", peers)
	}
	if len(faults) == 0 || !strings.Contains(faults[0], "frame of 2097152 bytes is over the limit of 1048576") {
		t.Errorf("faults: %q", faults)
	}
}

// The server wants keys if it is given some. A request of "wait" it answers late.
const wireServerScript = `
import sys, time, zmq
s = zmq.Context().socket(zmq.REP if sys.argv[2:3] == ["REP"] else zmq.ROUTER)
if len(sys.argv) > 3:
    s.curve_server, s.curve_secretkey = 1, sys.argv[3].encode()
else:
    s.heartbeat_ivl, s.heartbeat_timeout = 50, 200
s.linger = 0
s.bind(sys.argv[1])
print(s.last_endpoint.decode(), flush=True)
while True:
    m = s.recv_multipart()
    if m[-1] == b"wait": time.sleep(2.5)
    s.send_multipart(m)
`

// wireTestLibzmqServer starts the server and returns its endpoint and process id.
func wireTestLibzmqServer(t *testing.T, endpoint string, args ...string) (string, int) {
	cmd := harness.Python(t, endpoint, wireServerScript, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("libzmq server: %q, %v", line, err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

func TestWireLibzmqServer(t *testing.T) {
	wireNoLeaks(t)
	endpoint, pid := wireTestLibzmqServer(t, "ipc://"+wireTestPath(t))
	c := wireTestDial(t, endpoint)
	if p := c.Peer(); p.Socket != "ROUTER" || int(p.PID) != pid {
		t.Errorf("peer: %+v", p)
	}
	wireTestRoundTrip(t, c, "small")
	wireTestRoundTrip(t, c, strings.Repeat("x", 1<<20))
}

func wireBench(b *testing.B, c wireConn) {
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(body); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWireRoundTripIPC(b *testing.B) {
	wireBench(b, wireTestDial(b, wireTestServe(b, wireOptions{}, wireEcho)))
}

func BenchmarkWireRoundTripMemory(b *testing.B) {
	client, server := wirePipe()
	go wireEcho(server)
	defer client.Close()
	wireBench(b, client)
}

// wireLastEcho takes everything and sends back what is empty.
func wireLastEcho(c wireConn) {
	for {
		m, err := c.Recv()
		if err != nil || len(m[0]) == 0 && c.Send(m...) != nil {
			return
		}
	}
}

// One way, in batches as they come: what a flood of events costs each.
func wireBenchOneWay(b *testing.B, c wireConn) {
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		c.Send(body)
	}
	wireTestRoundTrip(b, c, "")
}

func BenchmarkWireOneWayIPC(b *testing.B) {
	wireBenchOneWay(b, wireTestDial(b, wireTestServe(b, wireOptions{}, wireLastEcho)))
}

// TestWireRoomForReplies: a stream that fills the queue as fast as it may leaves room for what cannot wait.
func TestWireRoomForReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := wirePipe()
		var sent atomic.Int64
		done := make(chan error)
		go func() {
			for {
				if err := here.Send([]byte("line")); err != nil {
					done <- err
					return
				}
				sent.Add(1)
			}
		}()
		synctest.Wait() // nobody reads: the stream waits
		replies := 0
		for here.TrySend([]byte("reply")) {
			replies++
		}
		if streamed := int(sent.Load()); streamed < 100 || replies < streamed-1 {
			t.Errorf("room for %d of a stream, and then for %d replies", streamed, replies)
		}
		there.Cut(nil)
		if err := <-done; err == nil {
			t.Error("a stream to a peer that has gone did not end")
		}
	})
}
