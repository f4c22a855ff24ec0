package main

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wireQuietPair is a quiet socket and the other end of it.
func wireQuietPair(t *testing.T) (*wireQuiet, net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", wireTestPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	q, ok := wireQuietly(nc).(*wireQuiet)
	if !ok {
		t.Fatal("it is not quiet")
	}
	t.Cleanup(func() {
		q.Close()
		peer.Close()
	})
	return q, peer
}

// TestWireQuietWakes: what watches a quiet socket hears of what the other side says, and not of what it reads. Of any
// other unix socket it hears both.
func TestWireQuietWakes(t *testing.T) {
	q, peer := wireQuietPair(t)
	watch, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	add := func(fd int) { // as the runtime does
		event := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}
		if err := unix.EpollCtl(watch, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(what string, want ...int) {
		t.Helper()
		events := make([]unix.EpollEvent, 8)
		n, err := unix.EpollWait(watch, events, 0)
		if err != nil || n != len(want) {
			t.Fatalf("%s: %d events, want %d: %v", what, n, len(want), err)
		}
		for i, fd := range want {
			if int(events[i].Fd) != fd {
				t.Errorf("%s: event %d is another's", what, i)
			}
		}
	}
	in, b := 0, make([]byte, 4)
	q.raw.Control(func(fd uintptr) { in = int(fd) })
	said := func(from, to net.Conn) {
		t.Helper()
		if _, err := from.Write([]byte("beat")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, b); err != nil {
			t.Fatal(err)
		}
	}
	add(in)
	heard("at first")
	for range 3 {
		said(q, peer)
		heard("the other side has read")
		if _, err := peer.Write([]byte("said")); err != nil {
			t.Fatal(err)
		}
		heard("it has said something", in)
		if _, err := io.ReadFull(q, b); err != nil {
			t.Fatal(err)
		}
		heard("that was read")
	}
	add(q.fd)
	heard("another watch", q.fd)
	said(q, peer)
	heard("the other side has read, to the other watch", q.fd)
}

// TestWireQuietWrites: a write waits for room up to its deadline, which can be set meanwhile, and goes on behind what
// was written. Close ends it.
func TestWireQuietWrites(t *testing.T) {
	q, peer := wireQuietPair(t)
	most := make([]byte, 4<<20)
	q.SetWriteDeadline(time.Now().Add(time.Millisecond))
	n, err := q.Write(most)
	if n == 0 || n == len(most) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes of %d, %v", n, len(most), err)
	}
	if _, err := q.Write(most); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the deadline is up, and: %v", err)
	}
	q.SetWriteDeadline(time.Time{})
	wrote := make(chan error, 1)
	go func() {
		_, err := q.Write(most)
		wrote <- err
	}()
	if got, err := io.ReadFull(peer, make([]byte, n+len(most))); err != nil {
		t.Errorf("%d bytes came, %v", got, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if n, err := unix.EpollWait(int(q.out.Fd()), make([]unix.EpollEvent, 1), 0); n != 0 {
		t.Errorf("it still tells of room: %d, %v", n, err)
	}
	write := func() {
		_, err := q.Write(most)
		wrote <- err
	}
	go write()
	for range 1000 { // until it waits, most times
		runtime.Gosched()
	}
	q.SetDeadline(time.Unix(1, 0))
	if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline that was set meanwhile: %v", err)
	}
	if _, err := q.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read after its deadline: %v", err)
	}
	q.SetDeadline(time.Time{})
	go write()
	for range 1000 { // until it waits, most times
		runtime.Gosched()
	}
	q.Close()
	if err := <-wrote; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it was closed, and: %v", err)
	}
}

// TestWireQuietCloses: Close wakes who reads, ends the connection for the other side and comes once.
func TestWireQuietCloses(t *testing.T) {
	q, peer := wireQuietPair(t)
	read := make(chan error, 1)
	go func() {
		_, err := q.Read(make([]byte, 1))
		read <- err
	}()
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader has %v", err)
	}
	if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other side has %d bytes, %v", n, err)
	}
	if err := q.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second time: %v", err)
	}
	for what, err := range map[string]error{
		"write": func() error { _, err := q.Write([]byte("x")); return err }(),
		"set":   q.SetDeadline(time.Time{}),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}
