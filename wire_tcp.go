// wire_tcp.go: what tcp://HOST:PORT means, who may do without keys, and how many strangers one address may send.
//
// A connection that is half open is noticed in three ways: by the heartbeat of a side that has one; where we write, by
// the stall time; where neither side says anything, by the kernel's keepalive, which costs us nothing.

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wireKeepAlive notices in about two minutes that a silent peer has gone (tcp(7)).
func wireKeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}
}

// wireEndpointParse reads ipc://PATH or tcp://HOST:PORT into what package net
// calls them: "unix" and the path, or "tcp" and HOST:PORT. The host * is every
// address of this box, for listening; the name of a host is looked up later.
func wireEndpointParse(endpoint string) (network, address string, err error) {
	rest, ok := strings.CutPrefix(endpoint, "tcp://")
	if !ok {
		path, err := wireEndpointPath(endpoint)
		return "unix", path, err
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return "", "", fmt.Errorf("endpoint %q: write tcp://HOST:PORT, and an IPv6 address in brackets", endpoint)
	}
	if host == "" {
		return "", "", fmt.Errorf("endpoint %q has no host: write tcp://HOST:PORT, or tcp://*:PORT to listen on "+
			"every address", endpoint)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("endpoint %q: a port is a number from 1 to 65535", endpoint)
	}
	if host == "*" {
		host = ""
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

// wireLocal says whether a host is this box by its name: localhost, or a name below it. Programs should know these
// themselves (RFC 6761, 6.3): then they need no resolver, and none can send them elsewhere.
func wireLocal(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// wireAddresses gives the addresses to try for HOST:PORT, one after the other. A host that is not this box by its name
// stays as it is: it is looked up.
func wireAddresses(address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !wireLocal(host) {
		return []string{address}
	}
	return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
}

// wireDialAny connects to the first of a host's addresses that answers. Where none does the error is that of the first.
func wireDialAny(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return d.DialContext(ctx, network, address)
	}
	var first error
	for _, address := range wireAddresses(address) {
		nc, err := d.DialContext(ctx, network, address)
		if err == nil {
			return nc, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// wireNoKeys refuses a connection to or from this address that has no CURVE keys, unless it may do without.
func wireNoKeys(addr *net.TCPAddr, opt wireOptions) error {
	switch {
	case opt.InsecureAny || opt.Insecure && addr.IP.IsLoopback():
		return nil
	case opt.Insecure:
		return fmt.Errorf("%v is no loopback address: %w", addr, errWireNoKeys)
	}
	return errors.New("tcp:// needs CURVE keys: without them anybody on the network could give orders")
}

// wireListenTCP binds HOST:PORT: the first address of the host that this box has.
func wireListenTCP(address string, opt wireOptions) (ln net.Listener, err error) {
	for _, address := range wireAddresses(address) {
		ln, err = wireListenAt(address, opt)
		if !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.EAFNOSUPPORT) {
			break
		}
	}
	return ln, err
}

// wireListenAt binds one address.
func wireListenAt(address string, opt wireOptions) (net.Listener, error) {
	// Looked up once, so that what is judged is what is bound.
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if opt.CurveServer == nil {
		if err := wireNoKeys(addr, opt); err != nil {
			return nil, err
		}
	}
	lc := net.ListenConfig{KeepAliveConfig: wireKeepAlive()}
	ln, err := lc.Listen(context.Background(), "tcp", addr.String())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: %w", err,
			conflict("another program listens there: stop it, or choose another port"))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this box has no such address", err)
	}
	return ln, err
}

// wireDialer makes a dialer for either network. Over tcp without keys it checks each address before the first packet
// (wireNoKeys).
func wireDialer(opt wireOptions) net.Dialer {
	d := net.Dialer{Timeout: opt.Handshake, KeepAliveConfig: wireKeepAlive()}
	if opt.CurveClient == nil {
		d.Control = func(network, address string, _ syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			addr, err := net.ResolveTCPAddr(network, address) // digits: nothing is looked up
			if err != nil {
				return err
			}
			return wireNoKeys(addr, opt)
		}
	}
	return d
}

// wireOrigin is the part of a peer's address that one owner holds: the address, or
// the /64 of an IPv6 one. It is the zero prefix where there is no such address.
func wireOrigin(nc net.Conn) netip.Prefix {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	origin, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return origin
}
