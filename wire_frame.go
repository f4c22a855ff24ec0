// wire_frame.go: the net.Conn that lies between a socket and zmq4.
//
// zmq4 does the handshake. It believes what a peer says of its lengths, and reads and writes header and body apart. So
// this file follows every byte that comes in. It buffers. It ends the connection at the first header that breaks ZMTP
// (RFC 23, RFC 37) or our limits, before anything is allocated for it. The frames after the handshake it reads and
// writes itself: zmq4 answers a PING without its context, and between two halves of a frame that is being written.

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	wireFlagMore    = 1 // another frame of this message follows
	wireFlagLong    = 2 // the length is 8 bytes, not 1
	wireFlagCommand = 4
	wireFlagsKnown  = wireFlagMore | wireFlagLong | wireFlagCommand

	wireGreetingLen = 64
	wireNameAt      = 12 // where the mechanism stands in the greeting
	wireNameLen     = 20
	wireReadBuffer  = 4 << 10 // bytes that are read at once
	// A peer must take so much within the stall time. It is also the most that is
	// copied before a write.
	wireWriteChunk = 64 << 10
	// A write buffer that grew beyond this is given back when all is written.
	wireWriteKeep = 4 << 10

	// Largest command in the handshake. A READY of ours has 45 bytes, one with
	// every property of RFC 26 and a 255 byte identity some 400.
	wireMaxHello = 4 << 10
	// Largest command later on. A PING has up to 23 bytes.
	wireMaxCommand = 512
)

// wireStage is how far the bytes of a peer have come.
type wireStage uint8

const (
	wireStageGreeting  wireStage = iota // 64 bytes that name version and mechanism
	wireStageHandshake                  // commands of the mechanism, given to zmq4
	wireStageTraffic                    // messages, and commands between them
)

// wireFramer is the net.Conn under one zmq4.Conn, and follows it. Until traffic begins one
// goroutine uses it; from then on one reads and one writes.
type wireFramer struct {
	*wireSocket // Read and Write below stand before its own
	limits      wireLimits
	stall       time.Duration
	mechanism   string               // that both sides must speak
	ping        func(context []byte) // called in Read for each PING; must copy and not wait
	stage       wireStage
	sealed      bool // frames of the traffic are sealed

	// The reading goroutine has these: the socket with its buffer, and how much of the greeting has come, with the
	// mechanism that it names.
	in      *bufio.Reader
	pulse   *wirePulse // under in
	greeted int
	named   [wireNameLen]byte

	// The current frame and message: the header, what zmq4 has not read of it, and how many bytes of the body zmq4 has
	// not read. holder counts the message; nil: it is not counted. fault is why reading ended, in our words, where zmq4
	// has others.
	header  [9]byte
	head    []byte
	left    int
	message wireTally
	holder  *wireHolder
	fault   error

	// The writing goroutine's, or that of a message which is sent at once: what is not with the kernel yet, and whether
	// a deadline is set for that.
	out   []byte
	timed bool
}

// wireFramerOn puts a framer on a fresh connection. A write that makes no progress for as long as stall ends it.
func wireFramerOn(nc net.Conn, limits wireLimits, stall time.Duration, mechanism string) *wireFramer {
	socket := wireSocketOn(nc)
	pulse := &wirePulse{nc: socket}
	return &wireFramer{
		wireSocket: socket, limits: limits, stall: stall, mechanism: mechanism,
		in: bufio.NewReaderSize(pulse, wireReadBuffer), pulse: pulse,
	}
}

// wirePulse is the reading side of a socket. With a heartbeat it notices that no byte has come for so long. It needs no
// timer for that, only the deadline of a read. That wakes an idle process too, and so there is none for an agent: who
// reads of an agent looks after its silence.
type wirePulse struct {
	nc    net.Conn
	every time.Duration // 0 for no heartbeat
	beat  func()        // asks the other side for a sign of life; must not wait
	timed bool          // a deadline is set

	agent atomic.Bool // the other side is an agent; any goroutine may set it
}

// Read waits for bytes. It wakes for them, for the end of the socket, and after each heartbeat: the first time it asks
// for a sign of life, the second time in a row it gives up.
func (p *wirePulse) Read(b []byte) (int, error) {
	if p.every == 0 || p.agent.Load() {
		if p.timed {
			p.timed = false
			if err := p.nc.SetReadDeadline(time.Time{}); err != nil {
				return 0, err
			}
		}
		return p.nc.Read(b)
	}
	for asked := false; ; asked = true {
		p.timed = true
		if err := p.nc.SetReadDeadline(time.Now().Add(p.every)); err != nil {
			return 0, err
		}
		n, err := p.nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if asked {
			return 0, fmt.Errorf("%w: nothing came from it for %v, and no answer to a PING", errWireSilent, 2*p.every)
		}
		p.beat()
	}
}

// wireTally counts a message while its frames come in.
type wireTally struct {
	parts, bytes int
	open         bool // frames of it are still to come
}

// admit counts one frame, or says which limit it breaks. A sealed one passes admitSealed before.
func (t *wireTally) admit(size uint64, more bool, limits wireLimits) error {
	if size > uint64(limits.MaxFrame) {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", size, limits.MaxFrame)
	}
	t.parts++
	t.bytes += int(size)
	if t.parts > limits.MaxParts {
		return fmt.Errorf("message of more than %d frames", limits.MaxParts)
	}
	if t.bytes > limits.MaxMessage {
		return fmt.Errorf("message of more than %d bytes", limits.MaxMessage)
	}
	t.open = more
	if !more {
		*t = wireTally{}
	}
	return nil
}

// established ends the handshake: from here on messages pass, commands do not,
// Write has its own deadlines, and so has Read if there is a heartbeat.
func (f *wireFramer) established(heartbeat time.Duration, queue *wireQueue) {
	f.stage = wireStageTraffic
	f.ping = queue.answer
	f.pulse.every, f.pulse.beat = heartbeat, queue.beat
}

// Read gives zmq4 the next bytes of a greeting or of a command of the handshake that was found good.
// After an error it only repeats it.
func (f *wireFramer) Read(p []byte) (int, error) {
	if f.fault != nil {
		return 0, f.fault
	}
	n, err := f.read(p)
	f.fault = err
	return n, err
}

// read does the work of Read.
func (f *wireFramer) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// One goroutine does both ways now: say what we have before we listen.
	if err := f.flush(); err != nil {
		return 0, err
	}
	if f.stage == wireStageGreeting {
		return f.readGreeting(p)
	}
	if len(f.head) == 0 && f.left == 0 {
		if err := f.nextFrame(); err != nil {
			return 0, err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.in.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, wireReadFault(err, false)
}

// readFrame reads one frame of the traffic that is no command outside a seal.
func (f *wireFramer) readFrame() (flags byte, body []byte, err error) {
	if err := f.nextFrame(); err != nil {
		return 0, nil, err
	}
	body = make([]byte, f.left)
	_, err = io.ReadFull(f.in, body)
	return f.header[0], body, wireReadFault(err, false)
}

// readGreeting passes the greeting on and checks it as it comes, so that a peer
// that speaks something else is told at its first byte, not after 64.
func (f *wireFramer) readGreeting(p []byte) (int, error) {
	n, err := f.in.Read(p[:min(len(p), wireGreetingLen-f.greeted)])
	if err != nil {
		return n, wireReadFault(err, f.greeted == 0)
	}
	for i, b := range p[:n] {
		switch at := f.greeted + i; {
		case at == 0 && b != 0xff, at == 9 && b != 0x7f:
			return 0, fmt.Errorf("not ZeroMQ: byte %d of the greeting is %#02x", at, b)
		case at == 10 && b < 3:
			return 0, fmt.Errorf("ZMTP %d is too old: version 3 is needed (libzmq 4.0 and later)", b)
		case at >= wireNameAt && at < wireNameAt+wireNameLen:
			f.named[at-wireNameAt] = b
			name := string(bytes.TrimRight(f.named[:], "\x00"))
			if at == wireNameAt+wireNameLen-1 && name != f.mechanism {
				return 0, wireMechanismFault(name, f.mechanism)
			}
		}
	}
	f.greeted += n
	if f.greeted == wireGreetingLen {
		f.stage = wireStageHandshake
	}
	return n, nil
}

// wireMechanismFault says that two sides speak different mechanisms, and what one of them is missing.
func wireMechanismFault(theirs, ours string) error {
	hint := ""
	switch {
	case theirs == "NULL" && ours == "CURVE":
		hint = ": it came without keys"
	case theirs == "CURVE" && ours == "NULL":
		hint = ": it wants keys, and we have none"
	}
	return fmt.Errorf("other side has security mechanism %q where we have %s%s", theirs, ours, hint)
}

// nextFrame reads headers until there is a frame to be given on. It keeps commands of the traffic to itself, and ends
// at the first frame that is none, or with the connection.
func (f *wireFramer) nextFrame() error {
	for {
		flags, size, err := f.readHeader()
		if err != nil {
			return err
		}
		command, more := flags&wireFlagCommand != 0, flags&wireFlagMore != 0
		switch {
		case flags&^wireFlagsKnown != 0:
			return fmt.Errorf("frame has unknown flags %#02x", flags)
		case command && more:
			return errors.New("command has the flag for more frames")
		case f.stage == wireStageHandshake && !command:
			return errors.New("message before the handshake was done")
		case f.stage == wireStageHandshake && size > wireMaxHello:
			return fmt.Errorf("handshake command of %d bytes is over the limit of %d", size, wireMaxHello)
		case f.stage == wireStageTraffic && f.sealed:
			if err := f.admitSealed(flags, size); err != nil {
				return err
			}
		case f.stage == wireStageTraffic && command:
			// libzmq puts a PING anywhere, between two frames of one message too.
			if err := f.keepCommand(size); err != nil {
				return err
			}
			continue
		case !command:
			if err := f.message.admit(size, more, f.limits); err != nil {
				return err
			}
		}
		if f.stage == wireStageTraffic {
			if err := f.holder.take(int(size)); err != nil {
				return err
			}
		}
		f.left = int(size)
		return nil
	}
}

// admitSealed looks at the outside of a sealed frame. RFC 26 calls it a command, and libzmq sends it as a message: both
// are good. A command that is not sealed, such as a PING, fails when it is opened:
// anybody may have made it.
func (f *wireFramer) admitSealed(flags byte, size uint64) error {
	if flags&wireFlagMore != 0 {
		return errors.New("sealed message has the flag for more frames outside its seal")
	}
	if size < uint64(curveMessageExtra) {
		return fmt.Errorf("sealed message of %d bytes", size)
	}
	if size > uint64(f.limits.MaxFrame)+uint64(curveMessageExtra) {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", size-uint64(curveMessageExtra),
			f.limits.MaxFrame)
	}
	return nil
}

// readHeader reads a whole frame header and keeps its bytes for zmq4.
func (f *wireFramer) readHeader() (flags byte, size uint64, err error) {
	if _, err := io.ReadFull(f.in, f.header[:2]); err != nil {
		return 0, 0, wireReadFault(err, err != io.ErrUnexpectedEOF && !f.message.open)
	}
	f.head = f.header[:2]
	if f.header[0]&wireFlagLong == 0 {
		return f.header[0], uint64(f.header[1]), nil
	}
	if _, err := io.ReadFull(f.in, f.header[2:9]); err != nil {
		return 0, 0, wireReadFault(err, false)
	}
	f.head = f.header[:9]
	return f.header[0], binary.BigEndian.Uint64(f.header[1:9]), nil
}

// keepCommand reads one command after the handshake. A PING goes to f.ping; a PONG, or any other, needs no answer.
func (f *wireFramer) keepCommand(size uint64) error {
	f.head = nil
	if size > wireMaxCommand {
		return fmt.Errorf("command of %d bytes is over the limit of %d", size, wireMaxCommand)
	}
	body, err := f.in.Peek(int(size))
	if err != nil {
		return wireReadFault(err, false)
	}
	if err := f.command(body); err != nil {
		return err
	}
	_, err = f.in.Discard(int(size))
	return err
}

// command takes one command of the traffic, out of a frame or out of a seal.
func (f *wireFramer) command(body []byte) error {
	if len(body) > wireMaxCommand {
		return fmt.Errorf("command of %d bytes is over the limit of %d", len(body), wireMaxCommand)
	}
	name, rest, err := wireCommand(body)
	if err != nil {
		return err
	}
	if name == "PING" {
		if len(rest) < 2 {
			return errors.New("PING without its time to live")
		}
		f.ping(rest[2:])
	}
	return nil
}

// wireCommand splits a command into its name and the rest.
func wireCommand(body []byte) (name string, rest []byte, err error) {
	if len(body) == 0 || int(body[0]) > len(body)-1 {
		return "", nil, errors.New("command without a name")
	}
	end := 1 + int(body[0])
	return string(body[1:end]), body[end:], nil
}

// wireReadFault turns what a socket says into what happened. An end between two
// messages is errWireClosed, anywhere else a fault.
func wireReadFault(err error, between bool) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errWireSilent):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("handshake took too long: %w", err)
	// A unix socket says ECONNRESET where the peer went without reading all of ours.
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		if between {
			return fmt.Errorf("%w by the other side", errWireClosed)
		}
		return fmt.Errorf("other side hung up inside a message: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read socket: %w", err)
}

// Write gathers what zmq4 writes, and hands it to the kernel a chunk at a time.
func (f *wireFramer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n := min(max(wireWriteChunk-len(f.out), 0), len(p)-written)
		f.out = append(f.out, p[written:written+n]...)
		written += n
		if len(f.out) >= wireWriteChunk {
			if err := f.writeOut(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// frame writes a frame of the traffic, as Write does. Its header may go a little over the chunk.
func (f *wireFramer) frame(flags byte, body []byte) error {
	if len(body) > 255 {
		f.out = binary.BigEndian.AppendUint64(append(f.out, flags|wireFlagLong), uint64(len(body)))
	} else {
		f.out = append(f.out, flags, byte(len(body)))
	}
	_, err := f.Write(body)
	return err
}

// flush writes the rest. Then no timer is set and no large buffer kept, so that an idle connection costs neither.
func (f *wireFramer) flush() error {
	if len(f.out) > 0 {
		if err := f.writeOut(); err != nil {
			return err
		}
	}
	if cap(f.out) > wireWriteKeep {
		f.out = nil
	}
	if !f.timed {
		return nil
	}
	f.timed = false
	return f.SetWriteDeadline(time.Time{})
}

// flushNow writes of the rest what the kernel takes at once. It is false when flush must write on.
func (f *wireFramer) flushNow() (all bool, err error) {
	n, err := f.writeNow(f.out)
	f.out = append(f.out[:0], f.out[n:]...)
	return len(f.out) == 0, f.writeFault(err)
}

// writeOut hands what is in out to the kernel. In the handshake the deadline of the whole handshake stays.
func (f *wireFramer) writeOut() error {
	if f.stage == wireStageTraffic {
		if !f.timed { // else the deadline of the chunk before may have passed
			if all, err := f.flushNow(); all || err != nil {
				return err
			}
		}
		f.timed = true
		if err := f.SetWriteDeadline(time.Now().Add(f.stall)); err != nil {
			return fmt.Errorf("write socket: %w", err)
		}
	}
	_, err := f.Conn.Write(f.out)
	f.out = f.out[:0]
	return f.writeFault(err)
}

// writeFault turns what a socket says into what happened.
func (f *wireFramer) writeFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && f.stage == wireStageTraffic:
		return fmt.Errorf("other side took nothing for %v: %w", f.stall, err)
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("%w by the other side", errWireClosed)
	}
	return fmt.Errorf("write socket: %w", err)
}
