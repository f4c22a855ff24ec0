// wire_conn.go: the two kinds of connection. One is over a socket: one goroutine writes, and whoever calls Recv reads.
// The other is a pair in memory, where each side receives from the other's queue. Both have a bounded queue of outgoing
// messages.

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
)

// wireFlushTime is how long Close waits for queued messages to be written.
const wireFlushTime = time.Second

// wireNowMost is how many bytes of a message its sender writes itself: with CURVE these take some 20 µs to seal.
const wireNowMost = 4 << 10

// errWireFull tells TrySend that the queue is full; nobody else sees it.
var errWireFull = errors.New("queue is full")

// wireQueue is a bounded queue of messages with one taker. It also carries the
// one answer to a PING that is due, and the one PING of ours: a later PING
// replaces the former, so that a flood of them costs no memory.
type wireQueue struct {
	limits wireLimits

	mu   sync.Mutex // guards all below; never held over I/O
	work sync.Cond  // the taker waits for something to take, or for the end
	room sync.Cond  // senders wait for room, or for the end

	// The messages from head on, and their bytes.
	msgs  [][][]byte
	head  int
	bytes int

	// Who writes: parked says that the taker waits, and held that a sender writes a message itself, past the queue, and
	// nobody else may. rest: it has begun one that the taker must write on.
	parked, held, rest bool

	pong    []byte // the context of the PING to answer, nil when none is due
	ping    bool   // a PING of ours is due
	why     error  // not nil once nothing more may be put in
	dropped bool   // what was put in before is not sent either
}

// wireQueueWith makes an empty queue.
func wireQueueWith(limits wireLimits) *wireQueue {
	q := &wireQueue{limits: limits}
	q.work.L, q.room.L = &q.mu, &q.mu
	return q
}

// put appends one message. Where it would have to wait for room it returns errWireFull instead, unless wait is set.
func (q *wireQueue) put(frames [][]byte, wait bool) error {
	size, err := wireMeasure(frames, q.limits)
	if err != nil {
		return err
	}
	frames = slices.Clone(frames) // the slice is the caller's, the frames are ours
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.why == nil && q.full(size, wait) {
		if !wait {
			return errWireFull
		}
		q.room.Wait()
	}
	if q.why != nil {
		return q.why
	}
	// Rather than grow, reuse the front when most of it was taken: on average no
	// message is moved more than once.
	if len(q.msgs) == cap(q.msgs) && q.head > len(q.msgs)/2 {
		q.msgs = slices.Delete(q.msgs, 0, q.head)
		q.head = 0
	}
	q.msgs = append(q.msgs, frames)
	q.bytes += size
	q.work.Signal()
	return nil
}

// claim lets a sender write one message itself. Nothing is before it and nobody else writes, until release.
func (q *wireQueue) claim() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.parked || q.held || q.why != nil || !q.idle() {
		return false
	}
	q.held = true
	return true
}

// release ends a claim; rest: the taker must write on.
func (q *wireQueue) release(rest bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held, q.rest = false, rest && !q.dropped
	if q.why != nil || !q.idle() {
		q.work.Signal()
	}
}

// idle says that nothing is to be taken. The caller holds mu.
func (q *wireQueue) idle() bool { return q.pong == nil && !q.ping && !q.rest && q.head == len(q.msgs) }

// full says whether there is no room for a message of size bytes. An empty queue takes any message that is within the
// limits. A sender that can wait leaves half of the room to those that cannot: otherwise a stream, which the peer reads
// as fast as it can, would leave no room for a reply, and the peer would be cut. The caller holds mu.
func (q *wireQueue) full(size int, wait bool) bool {
	messages, bytes := q.limits.SendMessages, q.limits.SendBytes
	if wait {
		messages, bytes = max(messages/2, 1), bytes/2
	}
	n := len(q.msgs) - q.head
	return n > 0 && (n >= messages || q.bytes+size > bytes)
}

// wireMeasure holds a message of ours to the limits, and gives how many bytes it has.
func wireMeasure(frames [][]byte, limits wireLimits) (int, error) {
	if len(frames) == 0 {
		return 0, errors.New("send message: it has no frames")
	}
	var tally wireTally
	size := 0
	for i, f := range frames {
		if err := tally.admit(uint64(len(f)), i < len(frames)-1, limits); err != nil {
			return 0, fmt.Errorf("send message: %w", err)
		}
		size += len(f)
	}
	return size, nil
}

// answer notes that a PING with this context is to be answered.
func (q *wireQueue) answer(context []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.why == nil {
		q.pong = append(make([]byte, 0, len(context)), context...) // never nil
		q.work.Signal()
	}
}

// beat notes that a PING is to be sent.
func (q *wireQueue) beat() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.why == nil {
		q.ping = true
		q.work.Signal()
	}
}

// wireDue is what a queue hands out: a message, a command, the rest of a message to write, or nothing.
type wireDue struct {
	rest    bool
	frames  [][]byte
	command string // PING or PONG; body is what follows its name
	body    []byte
}

// none says that there is nothing to send.
func (d wireDue) none() bool { return d.frames == nil && d.command == "" && !d.rest }

// take returns a command that is due, or the next message. With wait it waits for
// either; else, or when the queue has ended and is empty, it returns neither.
func (q *wireQueue) take(wait bool) wireDue {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.parked = wait
	for wait && (q.held || q.why == nil && q.idle()) {
		q.work.Wait()
	}
	q.parked = false
	if q.rest {
		q.rest = false
		return wireDue{rest: true}
	}
	if pong := q.pong; pong != nil {
		q.pong = nil
		return wireDue{command: zmq4.CmdPong, body: pong}
	}
	if q.ping {
		q.ping = false
		// It has no time to live: with one we would have to send something all the time.
		return wireDue{command: zmq4.CmdPing, body: []byte{0, 0}}
	}
	if q.head == len(q.msgs) {
		return wireDue{}
	}
	frames := q.msgs[q.head]
	q.msgs[q.head] = nil
	q.head++
	for _, f := range frames {
		q.bytes -= len(f)
	}
	if q.head == len(q.msgs) {
		q.msgs, q.head = q.msgs[:0], 0
		if cap(q.msgs) > 64 {
			q.msgs = nil
		}
	}
	q.room.Broadcast() // a message may make room for several
	return wireDue{frames: frames}
}

// end lets nothing more in; drop also forgets what is there. The first reason stays.
func (q *wireQueue) end(why error, drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.why == nil {
		q.why = why
	}
	if drop {
		q.dropped = true
		q.msgs, q.head, q.bytes, q.pong, q.ping, q.rest = nil, 0, 0, nil, false, false
	}
	q.work.Broadcast()
	q.room.Broadcast()
}

// ended returns why nothing more may be put in, or nil.
func (q *wireQueue) ended() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.why
}

// wireLink is a connection over a socket.
type wireLink struct {
	framer *wireFramer
	peer   wirePeer
	guest  *wireGuest // where we accepted it; nil where we dialled
	queue  *wireQueue
	once   sync.Once     // for done
	done   chan struct{} // closed when the connection has ended
	idle   chan struct{} // closed when the writing goroutine has ended

	// With CURVE alone; nil else. The writing goroutine has seal and box, which is the next sealed frame; the goroutine
	// in Recv has open.
	seal *curveSealer
	open *curveOpener
	box  []byte
}

// wireHandshake opens ZMTP over nc, as the server of a guest or, without one, as a client, and starts the writing
// goroutine. It closes nc on error. Any goroutine may call it; it waits for the peer, opt.Handshake at most.
func wireHandshake(nc net.Conn, peer wirePeer, opt wireOptions, guest *wireGuest) (*wireLink, error) {
	if err := nc.SetDeadline(time.Now().Add(opt.Handshake)); err != nil {
		nc.Close()
		return nil, fmt.Errorf("set handshake deadline: %w", err)
	}
	sec := wireSecurity(&peer, opt, guest)
	server := guest != nil
	f := wireFramerOn(nc, opt.wireLimits, opt.Stall, string(sec.Type()))
	err := wireOpen(f, sec, server)
	if err == nil || f.fault == nil {
		flushErr := f.flush() // our READY, or the ERROR that says why there will be none
		if err == nil {
			err = flushErr
		}
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("shake hands: %w", wireBare(err))
	}
	c := &wireLink{
		framer: f, peer: peer, guest: guest, queue: wireQueueWith(opt.wireLimits),
		done: make(chan struct{}), idle: make(chan struct{}),
	}
	if curve, ok := sec.(*wireCurve); ok {
		c.seal, c.open, f.sealed = curve.seal, curve.open, true
	}
	f.established(opt.Heartbeat, c.queue)
	go c.writeLoop() // Close waits for it
	return c, nil
}

// wireBare takes off zmq4's words around an error of the security handshake. They are the same each time; what is left
// says why.
func wireBare(err error) error {
	for _, words := range []string{"zmq4: could not initialize ZMTP connection: ",
		"zmq4: could not perform security handshake: "} {
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), words) {
			err = inner
		}
	}
	return err
}

// wireSecurity gives the mechanism for a connection: CURVE over tcp with keys, else NULL.
func wireSecurity(peer *wirePeer, opt wireOptions, guest *wireGuest) zmq4.Security {
	switch {
	case peer.Transport == "tcp" && guest != nil && opt.CurveServer != nil:
		return &wireCurve{peer: peer, guest: guest, server: opt.CurveServer}
	case peer.Transport == "tcp" && guest == nil && opt.CurveClient != nil:
		return &wireCurve{peer: peer, client: opt.CurveClient}
	}
	return wireNull{peer: peer, guest: guest}
}

// wireSaid keeps the error of a handshake, which zmq4 wraps in words of its own.
type wireSaid struct {
	zmq4.Security
	err error
}

// Handshake does the handshake of the Security within.
func (s *wireSaid) Handshake(conn *zmq4.Conn, server bool) error {
	s.err = s.Security.Handshake(conn, server)
	return s.err
}

// wireOpen calls zmq4.Open. It turns a panic there into an error of this connection, and gives errors in our words
// where we have some.
func wireOpen(f *wireFramer, sec zmq4.Security, server bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("zmq4 panicked: %v", r)
		}
	}()
	typ := zmq4.Dealer
	if server {
		typ = zmq4.Router
	}
	said := &wireSaid{Security: sec}
	_, err = zmq4.Open(f, said, typ, nil, server, nil)
	switch {
	case err != nil && f.fault != nil:
		return f.fault
	case err != nil && said.err != nil:
		return said.err
	}
	return err
}

// writeLoop owns the writing half of the socket, but for messages that sendNow writes while it waits. It is woken by a
// message or a command in the queue, writes all there is, then hands it to the kernel in one go. It ends when the queue
// has ended and is empty, or at the first write error.
func (c *wireLink) writeLoop() {
	defer close(c.idle)
	for {
		due := c.queue.take(false)
		if due.none() {
			if err := c.framer.flush(); err != nil {
				c.writeFailed(err)
				return
			}
			due = c.queue.take(true)
			if due.none() {
				return
			}
		}
		if err := c.write(due); err != nil {
			c.writeFailed(err)
			return
		}
	}
}

// writeFailed ends the connection. Where the other side hung up it leaves that to Recv: the other side may have said
// why before.
func (c *wireLink) writeFailed(err error) {
	if errors.Is(err, errWireClosed) {
		c.queue.end(err, true)
		return
	}
	c.finish(err)
}

// write writes a message or a command, sealed with CURVE.
func (c *wireLink) write(due wireDue) error {
	if due.command != "" {
		body := append([]byte{byte(len(due.command))}, due.command...)
		body = append(body, due.body...)
		if c.seal == nil {
			return c.framer.frame(wireFlagCommand, body)
		}
		return c.writeSealed(curveFlagCommand, body)
	}
	return c.writeMessage(due.frames)
}

// writeMessage writes the frames of a message, sealed with CURVE.
func (c *wireLink) writeMessage(frames [][]byte) (err error) {
	for i, frame := range frames {
		more := i < len(frames)-1
		switch {
		case c.seal == nil && more:
			err = c.framer.frame(wireFlagMore, frame)
		case c.seal == nil:
			err = c.framer.frame(0, frame)
		case more:
			err = c.writeSealed(curveFlagMore, frame)
		default:
			err = c.writeSealed(0, frame)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendNow writes a message and hands it to the kernel, without the goroutine of writeLoop, if that waits and the
// message is short. It does not wait: what the kernel does not take at once is left to that goroutine. It is false when
// the message must go through the queue.
func (c *wireLink) sendNow(frames [][]byte) (sent bool, err error) {
	size := 0
	for _, frame := range frames {
		size += len(frame)
	}
	if c.framer.raw == nil || size > wireNowMost {
		return false, nil
	}
	if _, err := wireMeasure(frames, c.queue.limits); err != nil {
		return false, err
	}
	if !c.queue.claim() {
		return false, nil
	}
	all := false
	err = c.writeMessage(frames)
	if err == nil {
		all, err = c.framer.flushNow()
	}
	if err != nil {
		c.writeFailed(err)
	}
	c.queue.release(!all)
	if err != nil {
		err = c.queue.ended()
	}
	return true, err
}

// writeSealed sends one sealed frame, which is a message on the wire.
func (c *wireLink) writeSealed(flags byte, data []byte) (err error) {
	c.box, err = c.seal.seal(c.box[:0], flags, data)
	if err != nil {
		return err
	}
	err = c.framer.frame(0, c.box) // which copies it
	if cap(c.box) > wireWriteKeep {
		c.box = nil
	}
	return err
}

// finish ends the connection for a reason; the first one stays.
func (c *wireLink) finish(why error) {
	c.queue.end(why, true)
	c.once.Do(func() {
		c.framer.Conn.Close() // wakes a Recv and a write that wait
		c.framer.holder.end()
		close(c.done)
	})
}

// Send: see wireConn.
func (c *wireLink) Send(frames ...[]byte) error { return c.send(frames, true) }

// TrySend: see wireConn.
func (c *wireLink) TrySend(frames ...[]byte) bool { return c.send(frames, false) == nil }

// send writes a message at once or queues it.
func (c *wireLink) send(frames [][]byte, wait bool) error {
	if sent, err := c.sendNow(frames); sent || err != nil {
		return err
	}
	return c.queue.put(frames, wait)
}

// Recv: see wireConn.
func (c *wireLink) Recv() ([][]byte, error) {
	select {
	case <-c.done: // nobody wants what is left in the read buffer
		return nil, c.queue.ended()
	default:
	}
	frames, err := c.receive()
	if err == nil {
		c.framer.holder.done()
		return frames, nil
	}
	c.finish(err)
	return nil, c.queue.ended()
}

// receive reads one message. In CURVE it is woken by each sealed frame and ends
// with the last of a message, or at the first that does not open.
func (c *wireLink) receive() ([][]byte, error) {
	var frames [][]byte
	for {
		flags, data, err := c.framer.readFrame()
		if err == nil && c.open != nil {
			flags, data, err = c.open.open(data)
		}
		switch {
		case err != nil:
			return nil, err
		case c.open == nil:
			frames, flags = append(frames, data), flags&wireFlagMore
		case flags == curveFlagCommand:
			err = c.framer.command(data)
		default:
			frames = append(frames, data)
			err = c.framer.message.admit(uint64(len(data)), flags == curveFlagMore, c.framer.limits)
		}
		if err != nil {
			return nil, err
		}
		if flags == 0 {
			return frames, nil
		}
	}
}

// Close: see wireConn.
func (c *wireLink) Close() error {
	c.queue.end(errWireClosed, false)
	late := time.AfterFunc(wireFlushTime, func() { c.finish(errWireClosed) })
	<-c.idle
	late.Stop()
	c.finish(errWireClosed)
	return nil
}

// Cut: see wireConn.
func (c *wireLink) Cut(why error) {
	if why == nil {
		why = errWireClosed
	}
	c.finish(why)
}

// Done: see wireConn.
func (c *wireLink) Done() <-chan struct{} { return c.done }

// Peer: see wireConn.
func (c *wireLink) Peer() wirePeer { return c.peer }

// AsAgent: see wireConn.
func (c *wireLink) AsAgent() error {
	if c.guest == nil {
		return nil
	}
	if err := c.guest.asAgent(); err != nil {
		return err
	}
	c.framer.pulse.agent.Store(true)
	return nil
}

// wireMem is one end of a connection in memory.
type wireMem struct {
	peer    wirePeer
	out, in *wireQueue // out is the other end's in
	once    sync.Once
	done    chan struct{}
}

// wirePipe returns the two ends of a connection in memory, with the default
// limits. To each the other is this very process. The client looks like a DEALER.
func wirePipe() (client, server wireConn) {
	limits := wireOptions{}.withDefaults().wireLimits
	up, down := wireQueueWith(limits), wireQueueWith(limits)
	peer := wirePeer{
		Socket: string(zmq4.Router), Transport: wireMemory, Addr: wireMemory, HasCred: true,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: int32(os.Getpid()),
	}
	c := &wireMem{peer: peer, out: up, in: down, done: make(chan struct{})}
	peer.Socket = string(zmq4.Dealer)
	s := &wireMem{peer: peer, out: down, in: up, done: make(chan struct{})}
	return c, s
}

// Send: see wireConn.
func (m *wireMem) Send(frames ...[]byte) error { return m.out.put(frames, true) }

// TrySend: see wireConn.
func (m *wireMem) TrySend(frames ...[]byte) bool { return m.out.put(frames, false) == nil }

// Recv: see wireConn.
func (m *wireMem) Recv() ([][]byte, error) {
	select {
	case <-m.done: // ended from this side: what the other side sent is not wanted
	default:
		if due := m.in.take(true); due.frames != nil {
			return due.frames, nil
		}
		m.finish(m.in.ended(), false)
	}
	return nil, m.out.ended()
}

// finish ends this side; the other one still receives what was sent, unless drop.
func (m *wireMem) finish(why error, drop bool) {
	m.once.Do(func() {
		// before the other side is woken: why is not its business
		m.in.end(fmt.Errorf("%w by the other side", errWireClosed), true)
		m.out.end(why, drop)
		close(m.done)
	})
}

// Close: see wireConn. What is queued is with the other side already.
func (m *wireMem) Close() error {
	m.finish(errWireClosed, false)
	return nil
}

// Cut: see wireConn.
func (m *wireMem) Cut(why error) {
	if why == nil {
		why = errWireClosed
	}
	m.finish(why, true)
}

// Done: see wireConn.
func (m *wireMem) Done() <-chan struct{} { return m.done }

// Peer: see wireConn.
func (m *wireMem) Peer() wirePeer { return m.peer }

// AsAgent: see wireConn. An agent in this process takes no place.
func (m *wireMem) AsAgent() error { return nil }
