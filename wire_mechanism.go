// wire_mechanism.go: the two security mechanisms of ZMTP as zmq4.Security, which is their handshakes: NULL (RFC 37,
// "The NULL Security Mechanism") and CURVE, whose bytes wire_curve.go makes and checks. In both the two ends tell each
// other metadata, which is read here too: zmq4 panics on some. A further mechanism needs wireMeet at the server and
// wireMeetServer at the client. What comes after a CURVE handshake is sealed and opened by the connection itself, frame
// by frame.

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
	peer.Socket, peer.Identity, err = wireReadMeta(meta)
	if err != nil {
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
	peer.Socket, peer.Identity, err = wireReadMeta(meta)
	if err != nil {
		return err
	}
	if peer.Socket != string(zmq4.Router) {
		return fmt.Errorf("the other side is a %s socket, not a principal", peer.Socket)
	}
	conn.Peer.Meta["Socket-Type"] = string(zmq4.Router)
	return nil
}

// wireAnswer gives the socket type that a server presents to a peer of the given type. ok is false for types that are
// not served.
func wireAnswer(peer string) (ours string, ok bool) {
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

// wireRefuse tells the peer by an ERROR command why it is not let in, and returns the reason. It is the same whether
// the peer hears it or not.
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

// wireMeta makes the metadata of our own READY: the socket type and an empty identity.
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

// wireSocketTypes are the types of ZMTP 3.0. A peer of any other type is at fault; one of a type that we do not serve
// is refused.
const wireSocketTypes = " PAIR PUB SUB REQ REP DEALER ROUTER PULL PUSH XPUB XSUB "

// wireReadMeta reads what we need of metadata (RFC 37: a length byte and a name, in which case does not matter; four
// length bytes and a value).
func wireReadMeta(b []byte) (socket, identity string, err error) {
	for len(b) > 0 {
		name, rest, err := wireCommand(b)
		if err != nil || name == "" || len(rest) < 4 {
			return "", "", errors.New("metadata is cut short")
		}
		size := binary.BigEndian.Uint32(rest)
		rest = rest[4:]
		if uint64(size) > uint64(len(rest)) {
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

// wireUnauthorized is all that a client with an unknown key is told: the status
// code of RFC 27 for it, which libzmq's monitors know.
const wireUnauthorized = "400"

// wireCurve is the security of one connection. Handshake fills in the peer's Key,
// Name, Socket and Identity, and the two halves of the traffic.
type wireCurve struct {
	wireClear
	peer   *wirePeer
	guest  *wireGuest   // at the listening side
	server *curveServer // the same
	client *curveClient // at the dialling side
	seal   *curveSealer // both known after the handshake
	open   *curveOpener
}

// Type names the mechanism for zmq4's greeting. Afterwards it says NULL, with which
// zmq4 hands frames on as they are, without a copy: they are sealed already.
func (c *wireCurve) Type() zmq4.SecurityType {
	if c.open != nil {
		return zmq4.NullSecurity
	}
	return zmq4.CurveSecurity
}

// Handshake does that of the server or of the client.
func (c *wireCurve) Handshake(conn *zmq4.Conn, server bool) error {
	if server {
		return c.accept(conn)
	}
	return c.join(conn)
}

// accept lets a client in: HELLO, WELCOME, INITIATE, and READY or ERROR.
func (c *wireCurve) accept(conn *zmq4.Conn) error {
	c.guest.greeted()
	shake := curveAccept{server: c.server}
	hello, err := wireRecvCommand(conn, zmq4.CmdHello)
	if err != nil {
		return err
	}
	welcome, err := shake.hello(hello)
	if err != nil {
		return wireRefuse(conn, err)
	}
	if err := c.guest.prove(); err != nil {
		return err
	}
	if err := conn.SendCmd(zmq4.CmdWelcome, welcome); err != nil {
		return err
	}
	initiate, err := wireRecvCommand(conn, zmq4.CmdInitiate)
	if err != nil {
		return err
	}
	key, meta, err := shake.initiate(initiate)
	if err != nil {
		return wireRefuse(conn, err)
	}
	c.peer.Key = key.String()
	if err := wireAuthorize(c.server, key, c.peer); err != nil {
		_ = wireRefuse(conn, errors.New(wireUnauthorized)) // the caller gets the true reason
		return err
	}
	ours, err := wireMeet(conn, c.peer, meta)
	if err == nil {
		err = c.guest.seat(c.peer)
	}
	if err != nil {
		return wireRefuse(conn, err)
	}
	ready, seal, open := shake.ready(wireMeta(ours))
	if err := conn.SendCmd(zmq4.CmdReady, ready); err != nil {
		return err
	}
	c.seal, c.open = seal, open
	return nil
}

// wireAuthorize asks for the name of a client's key, and puts it into peer.
func wireAuthorize(server *curveServer, key curveKey, peer *wirePeer) error {
	name, ok := "", false
	if server.Authorize != nil {
		name, ok = server.Authorize(key)
	}
	if !ok {
		return fmt.Errorf("its key %v is %w", key, errWireUnknown)
	}
	peer.Name, peer.Agent = name, server.Agent != nil && server.Agent(key)
	return nil
}

// join gets us in at a server: HELLO, WELCOME, INITIATE, READY.
func (c *wireCurve) join(conn *zmq4.Conn) error {
	shake := curveJoin{client: c.client}
	hello, err := shake.hello()
	if err != nil {
		return err
	}
	if err := conn.SendCmd(zmq4.CmdHello, hello); err != nil {
		return err
	}
	welcome, err := wireRecvCommand(conn, zmq4.CmdWelcome)
	if err != nil {
		return err
	}
	initiate, err := shake.welcome(welcome, wireMeta(string(zmq4.Dealer)))
	if err != nil {
		return err
	}
	if err := conn.SendCmd(zmq4.CmdInitiate, initiate); err != nil {
		return err
	}
	ready, err := wireRecvCommand(conn, zmq4.CmdReady)
	if err != nil {
		return err
	}
	meta, seal, open, err := shake.ready(ready)
	if err != nil {
		return err
	}
	c.peer.Key = c.client.Server.String()
	if err := wireMeetServer(conn, c.peer, meta); err != nil {
		return err
	}
	c.seal, c.open = seal, open
	return nil
}
