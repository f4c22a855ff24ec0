// wire.go: the head of the connection layer. It carries messages of a few byte frames between two parts of cdktr, or
// between cdktr and anything that speaks ZeroMQ (ZMTP 3.x). What a message means it does not know.
//
// This file says what a connection is, who may be at its other end, and what it may cost. The files that make one,
// from the top down:
//
//	wire_listen.go     dialling and listening; who is let in
//	wire_file.go       the file of an ipc socket
//	wire_places.go     how many may be connected, and who makes room
//	wire_ssh.go        dialling through the ssh program
//	wire_tcp.go        what tcp:// adds: addresses, and who may do without keys
//	wire_conn.go       the bounded queue, and the two kinds of connection: over a socket, in memory
//	wire_mechanism.go  the handshakes, NULL and CURVE, and the metadata in both
//	wire_intake.go     what is kept of messages that are not complete
//	wire_frame.go      the socket under zmq4: follows frames and keeps the limits
//	wire_socket.go     the socket itself: reads and writes that do not wait in the kernel
//	wire_quiet_linux.go  one that wakes nobody when the other side has read
//	wire_curve.go      CurveZMQ as bytes: keys, handshake commands, boxes, and the check of each nonce
//	wire_linux.go      what the kernel says about the peer (elsewhere wire_other.go)
//	wire.go
//
// They use zmq4 for greeting and handshake, and x/sys for peer credentials.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// errWireClosed ends a connection in order: this side closed it, or the other
// side did, between two messages. Any other error is a fault worth a log line.
var errWireClosed = errors.New("connection closed")

// errWireUnauthorized is what a dialler gets when the listener does not know its key. It is of no use to try again
// soon.
var errWireUnauthorized = errors.New("the other side does not know our key: authorize it there")

// errWireUnknown is why a listener refuses a key.
var errWireUnknown = errors.New("not authorized")

// errWireNoKeys refuses an address that is not this box's own, where no keys are used.
var errWireNoKeys = errors.New("only those may do without CURVE keys")

// errWireSilent ends a connection whose other side let a PING go unanswered.
var errWireSilent = errors.New("other side is silent")

// wireConn is one connection, over a socket or in memory. All methods but Recv
// may be called from any goroutine.
//
// Frames handed to Send belong to the connection from then on, and frames from
// Recv may be shared with the sender: nobody writes to either.
type wireConn interface {
	// Send queues one message. It waits while the outgoing queue is full, until
	// there is room or the connection ends; then it returns why. A message over
	// the limits is an error, and the connection lives on.
	Send(frames ...[]byte) error
	// TrySend is Send that never waits. It reports false, and sends nothing, when
	// the queue is full, the connection has ended or the message is over the limits.
	TrySend(frames ...[]byte) bool
	// Recv waits for the next message and returns its frames as they came, empty
	// delimiters too. One goroutine calls it. It is also what reads the socket:
	// while nobody is in Recv no PING is answered and no hang-up is seen.
	// The error is errWireClosed or says what was wrong, and comes again each time.
	Recv() ([][]byte, error)
	// Close ends the connection after what is queued has been given to the kernel,
	// for which it waits one second at most. Repeated calls are harmless.
	Close() error
	// Cut ends the connection at once, drops what is queued and never waits.
	// Recv and Send return why (errWireClosed if it is nil).
	Cut(why error)
	// Done is closed when the connection has ended.
	Done() <-chan struct{}
	// Peer says who is at the other end.
	Peer() wirePeer
	// AsAgent notes that the other end is an agent: from the next Recv on it gets no PING, and may be silent for as
	// long as the caller likes. It is an error when agents have all places that they may have.
	AsAgent() error
}

// wireStall is how long a peer may take nothing before it is cut.
const wireStall = 30 * time.Second

// wireMaxFrame bounds the bytes of one frame, either way, unless wireLimits says otherwise. A sender must look before
// it sends: the other side cuts the connection when a longer one comes.
const wireMaxFrame = 1 << 20

// wireMemory is the transport of a connection within this process.
const wireMemory = "memory"

// wirePeer is what is known of the other end. The credentials, which come from
// the kernel, can be trusted, and so can Key and Name, which the peer has proved.
// The rest is what it said.
type wirePeer struct {
	Socket    string // ZeroMQ socket type: REQ, DEALER, SUB or PUSH; ROUTER at the dialling side
	Transport string // "ipc", wireMemory, "tcp" or, at the dialling side, "ssh"
	Addr      string // the endpoint; that of the client where we accepted it by tcp
	Key       string // public key of the other side, in Z85; empty without CURVE
	Name      string // what Authorize calls that key; empty at the dialling side
	Agent     bool   // its key is an agent's
	Identity  string // up to 255 bytes of anything; a claim, never a key
	Party     string // whose share of the bounds it counts against (wireParty); "" is nobody's
	HasCred   bool   // whether UID, GID and PID are known
	UID, GID  uint32 // of the process that connected, when it connected
	PID       int32
}

// String names the peer for logs.
func (p wirePeer) String() string {
	if p.Name != "" {
		return fmt.Sprintf("%s (%s)", p.Addr, p.Name)
	}
	if !p.HasCred {
		return p.Addr
	}
	return fmt.Sprintf("%s (uid %d, pid %d)", p.Addr, p.UID, p.PID)
}

// wireNote is what a listener has to tell.
type wireNote struct {
	Kind  string // one of few sentences
	Party string // who did it (wireParty); "" for nobody
	Addr  string // where it came from, "" where Party says it
	Err   error
}

// Error gives all of it as text.
func (n *wireNote) Error() string {
	if n.Addr == "" {
		return fmt.Sprintf("%s: %s: %v", n.Kind, n.Party, n.Err)
	}
	return fmt.Sprintf("%s: %s: %v", n.Kind, n.Addr, n.Err)
}

// Unwrap is for errors.Is.
func (n *wireNote) Unwrap() error { return n.Err }

// wireLimits bound what one connection may cost. A zero field means its default.
type wireLimits struct {
	MaxFrame     int // bytes in one frame, either way; 1 MiB
	MaxMessage   int // bytes in all frames of a message; 4 MiB
	MaxParts     int // frames in a message; 16
	SendMessages int // messages waiting to be sent; 1024
	SendBytes    int // bytes waiting to be sent; 8 MiB, or one message if that is larger
}

// wireOptions are the settings of a listener or a dialler. A zero field means its default.
type wireOptions struct {
	wireLimits
	wireBounds
	Places     *wirePlaces   // of a listener, where it shares them with others; nil: its own, by the bounds
	Intake     *wireIntake   // the same
	Handshake  time.Duration // longest handshake; 5 s
	Stall      time.Duration // a peer that takes nothing for so long is cut; 30 s
	SocketMode fs.FileMode   // of an ipc socket file; 0600
	// SocketGroup is the group that an ipc socket file is given to; nil: none.
	SocketGroup *int

	// Heartbeat is how long the other side may be silent before it is sent a PING,
	// which every ZeroMQ peer answers; after twice that it is cut. Silence is what
	// a Recv waits in: a side that is busy elsewhere cuts nobody. 0 is none.
	Heartbeat time.Duration

	// Quiet: little is said on a connection that is dialled by ipc, and the process is not to be woken when the other
	// side has read a message.
	Quiet bool

	// By tcp:// a listener needs CurveServer and a dialler CurveClient. ipc:// uses
	// neither: the kernel says who is there.
	CurveServer *curveServer
	CurveClient *curveClient
	// Insecure does without keys on tcp:// where the address is a loopback one,
	// InsecureAny on all. Keys that are there are used all the same.
	Insecure, InsecureAny bool

	// SSH is the program and first arguments with which ssh:// is dialled; "ssh".
	// SSHAsk lets it ask for a password on the terminal, in the foreground.
	SSH    []string
	SSHAsk bool

	// Allow decides on an ipc peer that is neither our user nor root: nil lets it
	// in. Without Allow a listener refuses it; a dialler takes any server,
	// because it named the path. Asked before the handshake, so that Socket and
	// Identity are empty; called from many goroutines.
	Allow func(wirePeer) error
	// Note hears of what a listener turned away or could not do: of a wireNote, in
	// words fit for a log. Called from many goroutines. May be nil.
	Note func(error)
}

// withDefaults gives o with a value in every field that has none.
func (o wireOptions) withDefaults() wireOptions {
	ints := []struct {
		field *int
		value int
	}{
		{&o.MaxFrame, wireMaxFrame}, {&o.MaxMessage, 4 << 20}, {&o.MaxParts, 16},
		{&o.SendMessages, 1024}, {&o.SendBytes, 8 << 20},
	}
	o.wireBounds = o.wireBounds.withDefaults()
	for _, i := range ints {
		if *i.field <= 0 {
			*i.field = i.value
		}
	}
	if o.Handshake <= 0 {
		o.Handshake = 5 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = wireStall
	}
	if o.SocketMode == 0 {
		o.SocketMode = 0o600
	}
	if o.Note == nil {
		o.Note = func(error) {}
	}
	return o
}
