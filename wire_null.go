// Wire NULL: the handshake of ZMTP's NULL mechanism (RFC 37, "The NULL Security
// Mechanism") as a zmq4.Security, with our own reading of the peer's metadata,
// which zmq4 reads with panics. Any other mechanism needs the same two things:
// wireMeet at the server and wireMeetServer at the client.

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-zeromq/zmq4"
)

// wireClear is the part of a zmq4.Security that leaves bytes as they are.
type wireClear struct{}

// Encrypt passes bytes on.
func (wireClear) Encrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// Decrypt passes bytes on.
func (wireClear) Decrypt(w io.Writer, data []byte) (int, error) { return w.Write(data) }

// wireNull is the security of one connection. Handshake fills in the peer's
// Socket and Identity.
type wireNull struct {
	wireClear
	peer  *wirePeer
	guest *wireGuest // at the listening side
}

// Type names the mechanism for zmq4's greeting.
func (wireNull) Type() zmq4.SecurityType { return zmq4.NullSecurity }

// Handshake exchanges READY commands. The server listens first, since what it
// presents itself as depends on the peer's type.
func (n wireNull) Handshake(conn *zmq4.Conn, server bool) error {
	if !server {
		if err := conn.SendCmd(zmq4.CmdReady, wireMeta(string(zmq4.Dealer))); err != nil {
			return err
		}
	} else {
		n.guest.greeted()
	}
	body, err := wireRecvCommand(conn, zmq4.CmdReady)
	if err != nil {
		return err
	}
	if !server {
		return wireMeetServer(conn, n.peer, body)
	}
	ours, err := wireMeet(conn, n.peer, body)
	if err == nil {
		err = n.guest.seat(n.peer)
	}
	if err != nil {
		return wireRefuse(conn, err)
	}
	return conn.SendCmd(zmq4.CmdReady, wireMeta(ours))
}

// wireMeet reads a client's metadata into peer and returns the socket type that
// we present to it.
func wireMeet(conn *zmq4.Conn, peer *wirePeer, meta []byte) (ours string, err error) {
	if peer.Socket, peer.Identity, err = wireReadMeta(meta); err != nil {
		return "", err
	}
	ours, ok := wireAnswer(peer.Socket)
	if !ok {
		return "", fmt.Errorf("no service for a %s socket: connect a REQ, DEALER, SUB or PUSH", peer.Socket)
	}
	// zmq4.Open was told one type before the peer's was known and compares the
	// two now: give it a pair that goes together.
	conn.Peer.Meta["Socket-Type"] = string(zmq4.Dealer)
	return ours, nil
}

// wireMeetServer reads a server's metadata into peer.
func wireMeetServer(conn *zmq4.Conn, peer *wirePeer, meta []byte) (err error) {
	if peer.Socket, peer.Identity, err = wireReadMeta(meta); err != nil {
		return err
	}
	if peer.Socket != string(zmq4.Router) {
		return fmt.Errorf("the other side is a %s socket, not a principal", peer.Socket)
	}
	conn.Peer.Meta["Socket-Type"] = string(zmq4.Router)
	return nil
}

// wireAnswer is the socket type that a server presents to a peer of the given
// type. It knows exactly the types that are served.
func wireAnswer(peer string) (string, bool) {
	switch zmq4.SocketType(peer) {
	case zmq4.Req, zmq4.Dealer:
		return string(zmq4.Router), true
	case zmq4.Sub:
		return string(zmq4.XPub), true
	case zmq4.Push:
		return string(zmq4.Pull), true
	}
	return "", false
}

// wireRefuse tells the peer why it is not let in, by an ERROR command, and
// returns the reason. Whether the peer hears it changes nothing.
func wireRefuse(conn *zmq4.Conn, why error) error {
	reason := why.Error()
	reason = reason[:min(len(reason), 255)]
	_ = conn.SendCmd(zmq4.CmdError, append([]byte{byte(len(reason))}, reason...))
	return why
}

// wireRecvCommand returns the body of the peer's next command, which must have
// this name, or its ERROR as an error.
func wireRecvCommand(conn *zmq4.Conn, name string) ([]byte, error) {
	cmd, err := conn.RecvCmd()
	if err != nil {
		return nil, err
	}
	switch cmd.Name {
	case name:
		return cmd.Body, nil
	case zmq4.CmdError:
		reason := ""
		if len(cmd.Body) > 0 {
			reason = string(cmd.Body[1:min(len(cmd.Body), 1+int(cmd.Body[0]))])
		}
		if reason == wireUnauthorized {
			return nil, errWireUnauthorized
		}
		return nil, fmt.Errorf("the other side refuses us: %q", reason)
	}
	return nil, fmt.Errorf("handshake command %q where %s was due", cmd.Name, name)
}

// wireMeta is the metadata of our own READY: the socket type and an empty identity.
func wireMeta(socket string) []byte {
	var b []byte
	for _, p := range [...][2]string{{"Socket-Type", socket}, {"Identity", ""}} {
		b = append(b, byte(len(p[0])))
		b = append(b, p[0]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p[1])))
		b = append(b, p[1]...)
	}
	return b
}

// wireSocketTypes are the types of ZMTP 3.0. A peer of another type is a fault,
// of one of these that we do not serve a refusal.
const wireSocketTypes = " PAIR PUB SUB REQ REP DEALER ROUTER PULL PUSH XPUB XSUB "

// wireReadMeta reads metadata (RFC 37: a length byte and a name, which has no
// case; four length bytes and a value) for what we need of it.
func wireReadMeta(b []byte) (socket, identity string, err error) {
	for len(b) > 0 {
		name, rest, err := wireCommand(b)
		if err != nil || name == "" || len(rest) < 4 {
			return "", "", errors.New("metadata is cut short")
		}
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return "", "", errors.New("metadata is cut short")
		}
		value := string(rest[:size])
		b = rest[size:]
		switch {
		case strings.EqualFold(name, "Socket-Type"):
			if socket != "" {
				return "", "", errors.New("metadata has two Socket-Types")
			}
			if strings.Contains(value, " ") || !strings.Contains(wireSocketTypes, " "+value+" ") {
				return "", "", fmt.Errorf("Socket-Type %.20q is unknown", value)
			}
			socket = value
		case strings.EqualFold(name, "Identity"):
			if len(value) > 255 {
				return "", "", fmt.Errorf("identity of %d bytes is over the limit of 255", len(value))
			}
			identity = value
		}
	}
	if socket == "" {
		return "", "", errors.New("metadata has no Socket-Type")
	}
	return socket, identity, nil
}
