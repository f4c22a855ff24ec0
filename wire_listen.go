// wire_listen.go: opening connections from either end: ipc endpoints, dialling, who is let in, and the listener, which
// starts and ends every connection that it accepts.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// wireEndpointPath gives the socket path in ipc://PATH. Any other endpoint, tcp:// too, is an error that says what to
// use instead.
func wireEndpointPath(endpoint string) (string, error) {
	scheme, path, ok := strings.Cut(endpoint, "://")
	switch {
	case !ok:
		return "", fmt.Errorf("endpoint %q has no scheme: write ipc://PATH or tcp://HOST:PORT", endpoint)
	case scheme == "tcp":
		return "", fmt.Errorf("endpoint %q is no socket of this box: write ipc://PATH", endpoint)
	case scheme == "ssh":
		return "", errors.New("ssh:// is for reaching a principal, not for listening: any box with sshd and cdktr " +
			"can be reached so")
	case scheme != "ipc":
		return "", fmt.Errorf("endpoint %q: no transport %q: write ipc://PATH or tcp://HOST:PORT", endpoint, scheme)
	case path == "":
		return "", fmt.Errorf("endpoint %q has no path: write ipc://PATH", endpoint)
	case path[0] == '@':
		return "", fmt.Errorf("endpoint %q: abstract sockets have no file mode to protect them: write ipc://PATH",
			endpoint)
	case strings.IndexByte(path, 0) >= 0:
		return "", fmt.Errorf("endpoint %q: a path cannot hold a zero byte", endpoint)
	}
	// The kernel's own bound (unix(7)): 107 bytes on Linux, 103 on macOS.
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return "", fmt.Errorf("socket path %s is %d bytes long and the system takes %d: choose a shorter one", path,
			len(path), most)
	}
	return path, nil
}

// wireDial connects to a listener and returns once the handshake is done. Our
// side is a DEALER. The context bounds dialling and handshake only.
func wireDial(ctx context.Context, endpoint string, opt wireOptions) (wireConn, error) {
	opt = opt.withDefaults()
	if strings.HasPrefix(endpoint, wireSSHScheme) {
		return wireDialSSH(ctx, endpoint, opt)
	}
	network, address, err := wireEndpointParse(endpoint)
	if err != nil {
		return nil, err
	}
	d := wireDialer(opt)
	nc, err := wireDialAny(ctx, d, network, address)
	if err != nil && ctx.Err() != nil { // in the caller's words, as below
		return nil, fmt.Errorf("dial %s: %w", endpoint, context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, wireDialHint(err, network))
	}
	if opt.Quiet {
		nc = wireQuietly(nc)
	}
	c, err := wireGreetWithin(ctx, nc, endpoint, opt)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	return c, nil
}

// wireGreetWithin calls wireGreetServer for as long as ctx lasts. When ctx ends it closes the socket, which wakes the
// handshake.
func wireGreetWithin(ctx context.Context, nc net.Conn, endpoint string, opt wireOptions) (*wireLink, error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	c, err := wireGreetServer(nc, endpoint, opt)
	if !stop() && ctx.Err() != nil {
		if c != nil {
			c.Cut(context.Cause(ctx))
		}
		return nil, context.Cause(ctx)
	}
	return c, err
}

// wirePeerCred fills in who connected, as the kernel knows it. It leaves HasCred false for a connection that is not a
// unix socket.
func wirePeerCred(nc net.Conn, peer *wirePeer) {
	_, ssh := nc.(*wireSSHConn)
	_, local := nc.RemoteAddr().(*net.UnixAddr)
	socket, ok := nc.(syscall.Conn)
	if ssh || !local || !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { wireCredOf(int(fd), peer) })
	}
}

// wireGreetServer is the part of dialling after connect. It closes nc on error.
func wireGreetServer(nc net.Conn, endpoint string, opt wireOptions) (*wireLink, error) {
	peer := wirePeer{Transport: wireTransport(nc.RemoteAddr()), Addr: endpoint}
	if _, ok := nc.(*wireSSHConn); ok {
		peer.Transport = "ssh"
	}
	wirePeerCred(nc, &peer)
	if opt.Allow != nil && peer.Transport == "ipc" {
		if err := wireAdmit(peer, os.Geteuid(), opt.Allow); err != nil {
			nc.Close()
			return nil, fmt.Errorf("refuse server: %w", err)
		}
	}
	c, err := wireHandshake(nc, peer, opt, nil)
	if errors.Is(err, errWireClosed) {
		return nil, fmt.Errorf("%w before it was open: the other side refuses us, is full or is going down (its log "+
			"says which)", err)
	}
	return c, err
}

// wireTransport names the kind of a socket.
func wireTransport(addr net.Addr) string {
	if _, ok := addr.(*net.TCPAddr); ok {
		return "tcp"
	}
	return "ipc"
}

// wireDialHint adds to a connect error what to do about it; errors.Is still sees the cause.
func wireDialHint(err error, network string) error {
	var timeout net.Error
	switch {
	case network == "tcp" && errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens there; check host and port, and that a principal was started with "+
			"that address", err)
	case network == "tcp" && errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: no answer; check the host, and the firewalls between", err)
	case network == "tcp":
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: no principal has made this socket; start one, or name its socket", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: a principal that is gone left this socket; start one", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the socket belongs to another user or group", err)
	}
	return err
}

// wireAdmit is the rule for ipc peers: our own user and root may come in, and allow decides on the others.
func wireAdmit(peer wirePeer, euid int, allow func(wirePeer) error) error {
	if peer.HasCred && (peer.UID == 0 || int64(peer.UID) == int64(euid)) {
		return nil
	}
	if allow != nil {
		return allow(peer)
	}
	if !peer.HasCred {
		return errors.New("its user cannot be known")
	}
	return fmt.Errorf("uid %d is neither ours (%d) nor root", peer.UID, euid)
}

// wireListener accepts connections on one endpoint.
type wireListener struct {
	endpoint string
	opt      wireOptions
	ln       net.Listener
	cred     func(net.Conn, *wirePeer) // wirePeerCred; tests replace it
	places   *wirePlaces

	// The socket file: its path, and what we have made, so that Close removes no other.
	path string
	file fs.FileInfo

	// The end. wg counts every goroutine of Serve, and Close closes stop; fail is its error, to be read after once has
	// run.
	wg   sync.WaitGroup
	once sync.Once
	stop chan struct{}
	fail error

	mu   sync.Mutex // guards live, and ln and file once Serve was called; never held over I/O
	live map[*wireLink]struct{}
}

// wireListen binds ipc://PATH, whose folder must exist, or tcp://HOST:PORT. It replaces a socket file that a killed
// process left there; one that still answers is an error. With port 0 it takes a free one; endpoint says which. Either
// Serve or Close must follow.
func wireListen(endpoint string, opt wireOptions) (*wireListener, error) {
	opt = opt.withDefaults()
	network, path, err := wireEndpointParse(endpoint)
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		ln, err := wireListenTCP(path, opt)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", endpoint, err)
		}
		return wireListenerOn(ln, "tcp://"+ln.Addr().String(), opt), nil
	}
	if err := wireRemoveStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", endpoint, err)
	}
	ln, file, err := wireBind(path, opt.SocketMode, opt.SocketGroup)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", endpoint, err)
	}
	l := wireListenerOn(ln, endpoint, opt)
	l.path, l.file = path, file
	return l, nil
}

// wireListenerOn makes a listener of a bound socket.
func wireListenerOn(ln net.Listener, endpoint string, opt wireOptions) *wireListener {
	if opt.Places == nil {
		opt.Places = wirePlacesNew(opt.wireBounds)
	}
	if opt.Intake == nil {
		opt.Intake = wireIntakeNew(wireIntakeMost, opt.Stall)
	}
	return &wireListener{
		endpoint: endpoint, opt: opt, ln: ln, cred: wirePeerCred, places: opt.Places,
		stop: make(chan struct{}),
		live: make(map[*wireLink]struct{}),
	}
}

// Close stops accepting, removes the socket file if it is still ours, and makes
// Serve end every connection and return.
func (l *wireListener) Close() error {
	l.once.Do(func() {
		close(l.stop)
		l.mu.Lock()
		file := l.file
		l.mu.Unlock()
		if file != nil {
			l.fail = wireUnlink(l.path, file)
		}
		l.listening().Close()
	})
	if l.fail != nil {
		return fmt.Errorf("remove socket: %w", l.fail)
	}
	return nil
}

// listening gives the socket that accepts now: renew puts another in its place.
func (l *wireListener) listening() net.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ln
}

// standing says whether the socket file is there as we made it. For tcp, which has none, it is true.
func (l *wireListener) standing() bool {
	l.mu.Lock()
	file := l.file
	l.mu.Unlock()
	if file == nil {
		return true
	}
	// While the socket is open its inode number cannot be given to another file.
	now, err := os.Lstat(l.path)
	return err == nil && os.SameFile(file, now)
}

// renew makes the socket file again, for when it was found gone while Serve goes on, and accepts there from now on.
// Connections stay as they are. A socket that another process has put there is left alone while it answers. One
// goroutine at a time may call it.
func (l *wireListener) renew() error {
	if err := wireRemoveStale(l.path); err != nil {
		return err
	}
	ln, file, err := wireBind(l.path, l.opt.SocketMode, l.opt.SocketGroup)
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.ln
	if l.stopped() { // Close looks at both after stop
		l.mu.Unlock()
		return errors.Join(ln.Close(), wireUnlink(l.path, file))
	}
	l.ln, l.file = ln, file
	l.mu.Unlock()
	return old.Close()
}

// stopped says whether Close was called.
func (l *wireListener) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// Serve accepts connections and runs handle for each in a goroutine of its own,
// which ends the connection when handle returns. It is called once. It returns
// when the context ends or Close is called, after every connection was closed
// (with up to one second for what was queued) and every handle has returned.
func (l *wireListener) Serve(ctx context.Context, handle func(wireConn)) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	l.acceptLoop(handle)

	for _, nc := range l.places.shaking(l) {
		nc.Close()
	}
	l.mu.Lock()
	for c := range l.live {
		l.wg.Go(func() { c.Close() })
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.Close()
}

const (
	wireAcceptPause    = 5 * time.Millisecond // first wait after a failed accept; doubles
	wireAcceptPauseMax = time.Second          // longest wait between two accepts that fail

	// so many tcp connections are accepted as they come; further ones wait in the system's queue
	wireAcceptBurst = 64
	// time between two of the further ones: strangers cannot keep a small machine busy by connecting
	wireAcceptEach = 500 * time.Microsecond
)

// acceptLoop wakes for each new connection, and ends only when the listener is closed. An accept that fails (EMFILE,
// ENOBUFS) is tried again after a pause; a row of failures is noted once.
func (l *wireListener) acceptLoop(handle func(wireConn)) {
	pause := time.Duration(0)
	paid := time.Time{} // until then the burst is used up
	for {
		ln := l.listening()
		nc, err := ln.Accept()
		if l.stopped() {
			if err == nil {
				nc.Close()
			}
			return
		}
		if err == nil {
			pause = 0
			l.accepted(nc, handle)
			paid = l.acceptPace(paid)
			continue
		}
		if ln != l.listening() { // renew has closed it
			continue
		}
		if pause == 0 {
			l.opt.Note(&wireNote{Kind: "cannot accept connections; trying on", Addr: l.endpoint, Err: err})
		}
		pause = min(max(2*pause, wireAcceptPause), wireAcceptPauseMax)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.stop:
			timer.Stop()
			return
		}
	}
}

// acceptPace waits after an accept when connections have come faster than they may. It gives until when the burst is
// used up.
func (l *wireListener) acceptPace(paid time.Time) time.Time {
	if l.path != "" { // on this box a user who floods it can do worse
		return paid
	}
	now := time.Now()
	if free := now.Add(-wireAcceptBurst * wireAcceptEach); paid.Before(free) {
		paid = free
	}
	paid = paid.Add(wireAcceptEach)
	if paid.After(now) {
		timer := time.NewTimer(paid.Sub(now))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.stop:
		}
	}
	return paid
}

// accepted starts the goroutine of a new connection.
func (l *wireListener) accepted(nc net.Conn, handle func(wireConn)) {
	peer := wirePeer{Transport: wireTransport(l.listening().Addr()), Addr: l.endpoint}
	if peer.Transport == "tcp" {
		peer.Addr = "tcp://" + nc.RemoteAddr().String()
	}
	l.cred(nc, &peer)
	guest, out := l.places.enter(nc, peer, l)
	if out != nil {
		out.conn.Close()
		out.home.putOut(out)
	}
	if out == guest {
		return
	}
	l.wg.Go(func() { l.serveOne(guest, peer, handle) })
}

// putOut notes that a guest had to make room, or that there was none for it.
func (l *wireListener) putOut(g *wireGuest) {
	l.opt.Note(&wireNote{Kind: "handshake cut to make room for others", Party: g.from, Err: errWirePutOut})
}

// serveOne is the whole life of one accepted connection.
func (l *wireListener) serveOne(guest *wireGuest, peer wirePeer, handle func(wireConn)) {
	c, err := l.welcome(guest, peer)
	if err != nil {
		stayed := guest.leave() // else it made room for another
		// a peer that only looks whether we live is no news
		if stayed && !errors.Is(err, errWireClosed) && !l.stopped() {
			note := &wireNote{Kind: "connection refused", Party: wireParty(peer, guest.origin), Addr: peer.String(),
				Err: err}
			if errors.Is(err, errWireUnknown) {
				note.Kind = "connection refused: its key is not authorized"
			}
			l.opt.Note(note)
		}
		return
	}
	defer guest.leave()
	c.framer.holder = l.opt.Intake.holder(c.peer.Party, func(why error) {
		c.Cut(why)
		l.opt.Note(&wireNote{Kind: "connection cut to make room for others", Party: c.peer.Party, Addr: c.peer.String(),
			Err: why})
	})
	l.mu.Lock()
	// Serve looks through live after stop is closed: it misses none.
	serve := !l.stopped()
	if serve {
		l.live[c] = struct{}{}
	}
	l.mu.Unlock()
	if !serve {
		c.Cut(nil)
		c.Close()
		return
	}
	l.recheck(c)
	handle(c)
	c.Close()
	l.mu.Lock()
	delete(l.live, c)
	l.mu.Unlock()
}

// recheck cuts a connection whose key was taken away between its handshake and its
// place in the set of live ones, where CutKey did not find it.
func (l *wireListener) recheck(c *wireLink) {
	key, err := curveKeyParse(c.peer.Key)
	if err != nil { // a connection without keys
		return
	}
	again := c.peer
	err = wireAuthorize(l.opt.CurveServer, key, &again)
	if err == nil && again.Name != c.peer.Name {
		err = fmt.Errorf("its key is another's now: %s", again.Name)
	}
	if err != nil {
		c.Cut(err)
	}
}

// CutKey ends every connection of a key that was taken away, and gives how many there were. The peers are told nothing;
// Recv and Send here return why. Authorize must refuse the key before, so that no new connection of it comes in.
func (l *wireListener) CutKey(key curveKey, why error) int {
	text := key.String()
	var cut []*wireLink
	l.mu.Lock()
	for c := range l.live {
		if c.peer.Key == text {
			cut = append(cut, c)
		}
	}
	l.mu.Unlock()
	for _, c := range cut {
		c.Cut(why)
	}
	return len(cut)
}

// welcome lets a peer in. It closes its connection on error.
func (l *wireListener) welcome(guest *wireGuest, peer wirePeer) (*wireLink, error) {
	if peer.Transport == "ipc" {
		if err := wireAdmit(peer, os.Geteuid(), l.opt.Allow); err != nil {
			guest.conn.Close()
			return nil, err
		}
	}
	return wireHandshake(guest.conn, peer, l.opt, guest)
}
