// Tests of dialling and listening: endpoints, the socket file, who is let in, what
// the listener does when it is out of files or full, and how it ends.

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWireEndpoint(t *testing.T) {
	cases := []struct{ endpoint, want string }{
		{"tcp://127.0.0.1:5561", "tcp:// needs CURVE keys"},
		{"tcp://127.0.0.1", "write tcp://HOST:PORT"},
		{"tcp://::1:5561", "IPv6 address in brackets"},
		{"tcp://:5561", "no host"},
		{"tcp://host:65536", "from 1 to 65535"},
		{"tcp://host:ssh", "from 1 to 65535"},
		{"inproc://x", `no transport "inproc"`},
		{"/run/cdktr.sock", "no scheme"},
		{"ipc://", "no path"},
		{"ipc://@cdktr", "abstract"},
		{"ipc:///run/a\x00b", "zero byte"},
		{"ipc:///" + strings.Repeat("x", 107), "is 108 bytes long and the system takes 107"},
	}
	for _, c := range cases {
		if _, err := wireListen(c.endpoint, wireOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("listen on %q: %v", c.endpoint, err)
		}
		if _, err := wireDial(t.Context(), c.endpoint, wireOptions{}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("dial %q: %v", c.endpoint, err)
		}
	}
	long := "/" + strings.Repeat("x", 106)
	if path, err := wireEndpointPath("ipc://" + long); err != nil || path != long {
		t.Errorf("a path of 107 bytes: %q, %v", path, err)
	}
}

func TestWireSocketFile(t *testing.T) {
	for _, mode := range []fs.FileMode{0, 0o600, 0o660} {
		path := wireTestPath(t)
		l, err := wireListen("ipc://"+path, wireOptions{SocketMode: mode})
		if err != nil {
			t.Fatal(err)
		}
		fi, err := os.Lstat(path)
		if want := max(mode, 0o600); err != nil || fi.Mode() != fs.ModeSocket|want {
			t.Errorf("mode %v, %v; want %v", fi.Mode(), err, want)
		}
		if _, err := wireListen("ipc://"+path, wireOptions{}); err == nil ||
			!strings.Contains(err.Error(), "another principal is listening there") {
			t.Errorf("second listener: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket file after Close: %v", err)
		}
	}
}

// The mode is there before bind, not only after: with umask 0 a plain bind would
// make the file 0777.
func TestWireSocketModeAtBind(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := wireTestPath(t)
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if err := wireSocketMode(fd, 0o600); err != nil {
				t.Error(err)
			}
		})
	}}
	ln, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if fi, err := os.Lstat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

// wireTestStale leaves a socket file that nobody listens on.
func wireTestStale(t *testing.T, path string) {
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

func TestWireStaleSocket(t *testing.T) {
	path := wireTestPath(t)
	wireTestStale(t, path)
	if _, err := wireDial(t.Context(), "ipc://"+path, wireOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial a stale socket: %v", err)
	}
	l, err := wireListen("ipc://"+path, wireOptions{})
	if err != nil {
		t.Fatalf("listen over a stale socket: %v", err)
	}
	// Another process takes the path away from us: its file is not ours to remove.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wireTestStale(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket file: %v", err)
	}

	file := wireTestPath(t)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wireListen("ipc://"+file, wireOptions{}); err == nil ||
		!strings.Contains(err.Error(), "not a socket") {
		t.Errorf("listen on a plain file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the plain file: %q, %v", b, err)
	}
}

func TestWireDialErrors(t *testing.T) {
	if _, err := wireDial(t.Context(), "ipc://"+wireTestPath(t), wireOptions{}); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "start one") {
		t.Errorf("no socket: %v", err)
	}
	// A server that takes the connection and never says a word, until the caller has had enough.
	wireNoLeaks(t)
	path := wireTestPath(t)
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	go func() {
		nc, err := ln.Accept()
		cancel(enough)
		if err == nil {
			io.Copy(io.Discard, nc)
			nc.Close()
		}
	}()
	if _, err := wireDial(ctx, "ipc://"+path, wireOptions{Handshake: time.Hour}); !errors.Is(err, enough) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestWireDialSilent: a server that never says a word is given up after the time of a handshake, or of the context.
func TestWireDialSilent(t *testing.T) {
	for _, addr := range []net.Addr{&net.UnixAddr{}, &net.TCPAddr{}} {
		synctest.Test(t, func(t *testing.T) {
			dial := func(ctx context.Context) (time.Duration, error) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go io.Copy(io.Discard, theirs)
				start := time.Now()
				_, err := wireGreetWithin(ctx, wireTestAddr{ours, addr}, "test", wireOptions{}.withDefaults())
				return time.Since(start), err
			}
			if took, err := dial(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) || took != 5*time.Second {
				t.Errorf("silent server by %s: %v after %v", addr.Network(), err, took)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if took, err := dial(ctx); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Errorf("cancelled, by %s: %v after %v", addr.Network(), err, took)
			}
		})
	}
}

func TestWireAdmit(t *testing.T) {
	allowed := func(wirePeer) error { return nil }
	refused := func(wirePeer) error { return errors.New("not in the group") }
	cases := []struct {
		name  string
		peer  wirePeer
		allow func(wirePeer) error
		want  string
	}{
		{"same user", wirePeer{HasCred: true, UID: 1000}, refused, ""},
		{"root", wirePeer{HasCred: true, UID: 0}, refused, ""},
		{"other user", wirePeer{HasCred: true, UID: 1001}, nil, "uid 1001 is neither ours (1000) nor root"},
		{"other user allowed", wirePeer{HasCred: true, UID: 1001}, allowed, ""},
		{"other user refused", wirePeer{HasCred: true, UID: 1001}, refused, "not in the group"},
		{"unknown", wirePeer{}, nil, "cannot be known"},
		{"no user", wirePeer{HasCred: true, UID: 1<<32 - 1}, nil, "uid 4294967295"},
	}
	for _, c := range cases {
		err := wireAdmit(c.peer, 1000, c.allow)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// wireTestListener accepts connections in memory; tests inject what else it does.
type wireTestListener struct {
	conns   chan net.Conn
	failing func() error // asked at each Accept
	addr    net.Addr
	once    sync.Once
	closed  chan struct{}
}

func wireTestListenerNew() *wireTestListener {
	return &wireTestListener{conns: make(chan net.Conn), failing: func() error { return nil }, addr: &net.UnixAddr{},
		closed: make(chan struct{})}
}

func (l *wireTestListener) Accept() (net.Conn, error) {
	if err := l.failing(); err != nil {
		return nil, err
	}
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *wireTestListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *wireTestListener) Addr() net.Addr { return l.addr }

// wireTestCred stands in for SO_PEERCRED.
func wireTestCred(uid int) func(net.Conn, *wirePeer) {
	return func(_ net.Conn, p *wirePeer) { p.HasCred, p.UID = true, uint32(uid) }
}

func TestWireRefusesOtherUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		ln := wireTestListenerNew()
		l := wireListenerOn(ln, "ipc://test", wireOptions{Note: func(err error) {
			notes = append(notes,
				err.Error())
		}}.withDefaults())
		l.cred = wireTestCred(os.Geteuid() + 4711)
		go l.Serve(t.Context(), func(wireConn) { t.Error("the other user was let in") })
		ours, theirs := net.Pipe()
		ln.conns <- theirs
		if n, err := ours.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes, %v; want nothing but the end", n, err)
		}
		synctest.Wait()
		if len(notes) != 1 || !strings.Contains(notes[0], "neither ours") {
			t.Errorf("notes: %q", notes)
		}
	})
}

func TestWireAcceptFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, notes atomic.Int32
		var mended atomic.Bool
		ln := wireTestListenerNew()
		ln.failing = func() error {
			if calls.Add(1); !mended.Load() {
				return &net.OpError{Op: "accept", Err: syscall.EMFILE}
			}
			return nil
		}
		l := wireListenerOn(ln, "ipc://test", wireOptions{Note: func(error) { notes.Add(1) }}.withDefaults())
		l.cred = wireTestCred(os.Geteuid())
		go l.Serve(t.Context(), wireEcho)
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if n := calls.Load(); n < 60 || n > 70 || notes.Load() != 1 {
			t.Errorf("%d accepts and %d notes in a minute of EMFILE", n, notes.Load())
		}
		mended.Store(true)
		wireTestRawEcho(t, ln)
	})
}

func TestWireConnLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		bounds wireBounds
		want   string // what the third of three is told
	}{
		{"all", wireBounds{MaxConns: 2}, "2 connections are open"},
		{"of one party", wireBounds{MaxPerParty: 2}, "uid 4711 has 2 connections already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := wireTestListenerNew()
				l := wireListenerOn(ln, "ipc://test", wireOptions{wireBounds: c.bounds,
					Allow: func(wirePeer) error { return nil }}.withDefaults())
				l.cred = wireTestCred(4711)
				go l.Serve(t.Context(), wireEcho)
				knock := func() (net.Conn, string) {
					ours, theirs := net.Pipe()
					ln.conns <- theirs
					go ours.Write(wireRawHello())
					said := make([]byte, wireGreetingLen+len(wireRawAnswer()))
					n, _ := io.ReadFull(ours, said)
					return ours, string(said[min(n, wireGreetingLen):n])
				}
				first, said := knock()
				second, too := knock()
				if want := string(wireRawAnswer()); said != want || too != want {
					t.Fatalf("the first two were told %q and %q", said, too)
				}
				third, said := knock()
				if !strings.Contains(said, "ERROR") || !strings.Contains(said, c.want[:20]) {
					t.Errorf("the connection too many was told %q, want %q", said, c.want)
				}
				if c.name != "all" { // there is room for others
					l.cred = wireTestCred(4712)
					wireTestRawEcho(t, ln)
					l.cred = wireTestCred(4711)
				}
				first.Close()
				synctest.Wait()
				wireTestRawEcho(t, ln)
				second.Close()
				third.Close()
				synctest.Wait()
				if p := l.places; p.seated != 0 || len(p.parties)+len(p.strangers.guests)+len(p.strangers.from) != 0 {
					t.Errorf("places are taken when all have gone: %+v", p)
				}
			})
		})
	}
}

func TestWireServeEnds(t *testing.T) {
	wireNoLeaks(t)
	l, err := wireListen("ipc://"+wireTestPath(t), wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Serve(ctx, wireEcho) }()
	c := wireTestDial(t, l.endpoint)
	wireTestRoundTrip(t, c, "hello")
	silent, err := net.Dial("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := c.Recv(); !errors.Is(err, errWireClosed) {
		t.Errorf("client of a server that ended: %v", err)
	}
	if _, err := os.Lstat(l.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket file: %v", err)
	}
}

// Peers that never speak, and peers that said hello and nothing more, are in nobody's way.
func TestWireIdleConnections(t *testing.T) {
	endpoint := wireTestServe(t, wireOptions{wireBounds: wireBounds{MaxPerParty: 101}}, wireEcho)
	for i := range 200 {
		nc, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if i%2 == 0 {
			wireTestRoundTrip(t, wireTestDial(t, endpoint), "one")
		}
	}
	wireTestRoundTrip(t, wireTestDial(t, endpoint), "last")
}
