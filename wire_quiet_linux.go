// wire_quiet_linux.go: a unix socket on which little is said. Linux tells whoever watches a unix socket each time that
// the other side has read a message: there may be room for another. The runtime watches its sockets for both ways, and
// so a process that sends one message and sleeps wakes once more, for nothing. This socket the runtime does not watch.
// It watches an epoll(7) with the socket in it, which tells only what there is to read.

package main

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wireQuiet is the net.Conn. One goroutine reads at a time, and one writes.
type wireQuiet struct {
	local, remote net.Addr
	fd            int // the socket; it is open for as long as in is
	in            *os.File
	raw           syscall.RawConn // of in

	mu      sync.Mutex // guards all below; held over no wait
	closed  bool
	out     *os.File  // the same as in, for room to write; nil as long as no write had to wait for that
	writeBy time.Time // when a write is given up
}

// wireQuietly makes a wireQuiet of a unix socket, which is not to be used any more. Where that is not possible it gives
// the socket back as it is.
func wireQuietly(nc net.Conn) net.Conn {
	unixConn, ok := nc.(*net.UnixConn)
	if !ok {
		return nc
	}
	q := &wireQuiet{local: nc.LocalAddr(), remote: nc.RemoteAddr(), fd: -1}
	raw, err := unixConn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { q.fd, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	}
	if err != nil || q.fd < 0 {
		return nc
	}
	q.in, err = wireQuietWatch(q.fd, unix.EPOLLIN)
	if err == nil {
		q.raw, err = q.in.SyscallConn()
	}
	if err != nil {
		unix.Close(q.fd)
		return nc
	}
	nc.Close()
	return q
}

// wireQuietWatch makes a file that the runtime can read from when one of the events is there for the socket fd.
func wireQuietWatch(fd int, events uint32) (*os.File, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events})
	if err == nil {
		err = unix.SetNonblock(epoll, true)
	}
	if err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	file := os.NewFile(uintptr(epoll), "epoll")
	if err := file.SetReadDeadline(time.Time{}); err != nil { // the runtime cannot wait for it
		file.Close()
		return nil, err
	}
	return file, nil
}

// SyscallConn is for wireSocket.
func (q *wireQuiet) SyscallConn() (syscall.RawConn, error) {
	r := &wireQuietRaw{wireQuiet: q}
	r.readCall = func(uintptr) bool { return r.read(uintptr(q.fd)) }
	return r, nil
}

// Read waits for bytes, up to the read deadline.
func (q *wireQuiet) Read(b []byte) (int, error) { return wireSocketOn(q).Read(b) }

// Write waits until all is written, up to the write deadline.
func (q *wireQuiet) Write(b []byte) (n int, err error) {
	s := wireSocketOn(q)
	for {
		some, err := s.writeNow(b[n:])
		n += some
		if err != nil || n == len(b) {
			return n, err
		}
		if err := q.room(); err != nil {
			return n, err
		}
	}
}

// room waits until something can be written, or the connection has ended.
func (q *wireQuiet) room() error {
	out, err := q.watchRoom()
	if err != nil {
		return err
	}
	raw, err := out.SyscallConn()
	if err == nil {
		err = raw.Read(func(epoll uintptr) bool {
			var events [1]unix.EpollEvent
			n, _ := unix.EpollWait(int(epoll), events[:], 0)
			return n != 0
		})
	}
	return q.fault(err)
}

// watchRoom makes out, if there is none, and has it tell once that there is room.
func (q *wireQuiet) watchRoom() (out *os.File, err error) {
	gone := q.raw.Control(func(uintptr) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.out == nil {
			if q.out, err = wireQuietWatch(q.fd, unix.EPOLLOUT|unix.EPOLLONESHOT); err == nil {
				err = q.out.SetReadDeadline(q.writeBy)
			}
		} else {
			err = wireQuietAgain(q.out, q.fd)
		}
		out = q.out
	})
	if gone != nil {
		err = gone
	}
	return out, q.fault(err)
}

// wireQuietAgain has a watch tell once more that there is room.
func wireQuietAgain(watch *os.File, fd int) error {
	raw, err := watch.SyscallConn()
	if err != nil {
		return err
	}
	gone := raw.Control(func(epoll uintptr) {
		room := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT}
		err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_MOD, fd, &room)
	})
	if gone != nil {
		return gone
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// fault is an error in the words of a net.Conn: the runtime has others for a file that is closed.
func (q *wireQuiet) fault(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil && q.closed {
		return net.ErrClosed
	}
	return err
}

// Close wakes who reads or writes.
func (q *wireQuiet) Close() error {
	q.mu.Lock()
	again := q.closed
	q.closed = true
	q.mu.Unlock()
	if again {
		return net.ErrClosed
	}
	q.in.Close() // returns once nobody uses it any more, and so none makes out
	q.mu.Lock()
	out := q.out
	q.mu.Unlock()
	if out != nil {
		out.Close()
	}
	return os.NewSyscallError("close", unix.Close(q.fd))
}

// LocalAddr is that of the socket.
func (q *wireQuiet) LocalAddr() net.Addr { return q.local }

// RemoteAddr is that of the socket.
func (q *wireQuiet) RemoteAddr() net.Addr { return q.remote }

// SetDeadline sets both.
func (q *wireQuiet) SetDeadline(t time.Time) error {
	if err := q.SetReadDeadline(t); err != nil {
		return err
	}
	return q.SetWriteDeadline(t)
}

// SetReadDeadline also holds for a Read that waits.
func (q *wireQuiet) SetReadDeadline(t time.Time) error { return q.fault(q.in.SetReadDeadline(t)) }

// SetWriteDeadline also holds for a Write that waits.
func (q *wireQuiet) SetWriteDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writeBy = t
	if q.out != nil {
		return q.out.SetReadDeadline(t)
	}
	return nil
}

// wireQuietRaw is the syscall.RawConn of a wireQuiet.
type wireQuietRaw struct {
	*wireQuiet
	read     func(fd uintptr) (done bool) // of the Read that is under way
	readCall func(uintptr) bool           // calls it; made once
}

// Control calls f while the socket is open.
func (r *wireQuietRaw) Control(f func(fd uintptr)) error {
	return r.fault(r.raw.Control(func(uintptr) { f(uintptr(r.fd)) }))
}

// Read calls f until it is done, each time that there is something to read.
func (r *wireQuietRaw) Read(f func(fd uintptr) (done bool)) error {
	r.read = f
	return r.fault(r.raw.Read(r.readCall))
}

// Write calls f until it is done, each time that there is room to write.
func (r *wireQuietRaw) Write(f func(fd uintptr) (done bool)) error {
	for {
		done := false
		if err := r.Control(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		if err := r.room(); err != nil {
			return err
		}
	}
}
