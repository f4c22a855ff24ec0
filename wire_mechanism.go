// Wire CURVE: the handshake of wire_curve.go as a zmq4.Security, with the metadata of
// wire_null.go inside its boxes. What comes after the handshake is sealed and
// opened by the connection itself, frame by frame.

package main

import (
	"errors"
	"fmt"

	"github.com/go-zeromq/zmq4"
)

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

// Handshake: see wireCurve.
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
		_ = wireRefuse(conn, errors.New(wireUnauthorized)) // whether it hears that or not, it is refused
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

// wireAuthorize asks for the name of a client's key.
func wireAuthorize(server *curveServer, key curveKey, peer *wirePeer) error {
	name, ok := "", false
	if server.Authorize != nil {
		name, ok = server.Authorize(key)
	}
	if !ok {
		return fmt.Errorf("its key %v is %w", key, errWireUnknown)
	}
	peer.Name = name
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
