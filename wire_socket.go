// wire_socket.go: a socket whose reads and writes do not wait in the kernel. Go's own tell the runtime that a call may
// take long. In a process that was idle that wakes a watcher thread, for each heartbeat and each ping. Where these
// would wait the runtime waits for the socket, as it does for Go's own.

package main

import (
	"io"
	"net"
	"os"
	"syscall"
)

// wireSocket is a net.Conn. One goroutine reads at a time, and one writes.
type wireSocket struct {
	net.Conn
	raw syscall.RawConn // nil: Conn is no socket of the kernel, and has its own reads and writes

	in, out wireSyscall
}

// wireSyscall is one read or write under way, and what came of it.
type wireSyscall struct {
	buf  []byte
	n    int
	err  error
	call func(fd uintptr) (done bool) // made once: one for each read would be garbage
}

// wireSocketOn puts a wireSocket on a connection.
func wireSocketOn(nc net.Conn) *wireSocket {
	s := &wireSocket{Conn: nc}
	if sys, ok := nc.(syscall.Conn); ok {
		s.raw, _ = sys.SyscallConn()
	}
	s.in.call = func(fd uintptr) bool { return s.in.do(wireReadNow, fd) }
	s.out.call = func(fd uintptr) bool {
		s.out.do(wireWriteNow, fd)
		return true
	}
	return s
}

// do makes the call on the socket fd. It is false where the call would wait.
func (c *wireSyscall) do(call func(fd uintptr, b []byte) (int, error), fd uintptr) bool {
	for {
		c.n, c.err = call(fd, c.buf)
		switch c.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			c.n, c.err = 0, nil
			return false
		default:
			return true
		}
	}
}

// Read waits for bytes, up to the read deadline.
func (s *wireSocket) Read(b []byte) (int, error) {
	if s.raw == nil || len(b) == 0 {
		return s.Conn.Read(b)
	}
	s.in.buf = b
	err := s.raw.Read(s.in.call)
	s.in.buf = nil
	switch {
	case err != nil:
		return 0, err
	case s.in.err != nil:
		return 0, os.NewSyscallError("read", s.in.err)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// writeNow writes what the kernel takes at once, and gives how many bytes that is.
func (s *wireSocket) writeNow(b []byte) (int, error) {
	if s.raw == nil || len(b) == 0 {
		return 0, nil
	}
	s.out.buf = b
	err := s.raw.Write(s.out.call)
	s.out.buf = nil
	switch {
	case err != nil:
		return 0, err
	case s.out.err != nil:
		return 0, os.NewSyscallError("write", s.out.err)
	}
	return s.out.n, nil
}
