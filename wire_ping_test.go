package main

import (
	"context"
	"encoding/binary"
	"log/slog"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// pingRig is a principal behind a unix socket, and a client that is connected.
func pingRig(t testing.TB) *client {
	t.Helper()
	dir := t.TempDir()
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: filepath.Join(dir, "state"),
		NoScheduler: true,
		Zone:        time.UTC, Log: slog.New(slog.DiscardHandler), elapsed: clockElapsed()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := wireListen("ipc://"+filepath.Join(dir, "sock"), wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(p)
	served := make(chan struct{})
	go func() {
		l.Serve(context.Background(), p.runPeer)
		close(served)
	}()
	c, err := clientDial(t.Context(), "ipc://"+filepath.Join(dir, "sock"), wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.close()
		l.Close()
		<-served
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// BenchmarkPing is a ping over a unix socket and its answer, both ends in this process.
func BenchmarkPing(b *testing.B) {
	c := pingRig(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ask(b.Context(), Request{Op: "ping"}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPingAllocs holds what both ends of a ping allocate.
func TestPingAllocs(t *testing.T) {
	c := pingRig(t)
	n := allocsOf(200, func() {
		if _, err := c.ask(t.Context(), Request{Op: "ping"}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 55 {
		t.Errorf("%v allocations", n)
	}
}

// TestWireNow: a short message goes to the kernel without the queue while nothing waits there. What the kernel does not
// take, of a message too, is written on by the goroutine that writes, and stays in order.
func TestWireNow(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		link, ok := client.(*wireLink)
		if !ok {
			return
		}
		state := func() (parked bool, queued int) {
			link.queue.mu.Lock()
			defer link.queue.mu.Unlock()
			return link.queue.parked, cap(link.queue.msgs)
		}
		for parked := false; !parked; parked, _ = state() {
			runtime.Gosched()
		}
		sent := uint32(0)
		frame := func() []byte { return append(binary.BigEndian.AppendUint32(nil, sent), make([]byte, 999)...) }
		for ; sent < 10; sent++ {
			if !client.TrySend(frame()) {
				t.Fatal("it was not taken")
			}
		}
		if _, queued := state(); queued > 0 {
			t.Error("it went through the queue")
		}
		for refused := 0; refused < 200; {
			if client.TrySend(frame()) {
				sent, refused = sent+1, 0
			} else {
				refused++
				runtime.Gosched()
			}
		}
		for i := range sent {
			m, err := server.Recv()
			if err != nil || len(m[0]) != 4+999 || binary.BigEndian.Uint32(m[0]) != i {
				t.Fatalf("message %d: %d bytes, %v", i, len(m[0]), err)
			}
		}
	})
}

// TestWireNowAndClose: Close comes while a sender writes a message, of which the kernel has not taken all: the rest is
// sent.
func TestWireNowAndClose(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		link, ok := client.(*wireLink)
		if !ok {
			return
		}
		for !link.queue.claim() {
			runtime.Gosched()
		}
		if err := link.writeMessage([][]byte{[]byte("begun")}); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error)
		go func() { closed <- link.Close() }()
		for link.queue.ended() == nil {
			runtime.Gosched()
		}
		link.queue.release(true)
		if m, err := server.Recv(); err != nil || string(m[0]) != "begun" {
			t.Errorf("the other side has %q, %v", m, err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestWireNowAndCut: after Cut nothing is sent of such a message.
func TestWireNowAndCut(t *testing.T) {
	q := wireQueueWith(wireOptions{}.withDefaults().wireLimits)
	q.parked = true
	if !q.claim() {
		t.Fatal("no claim")
	}
	q.end(errWireClosed, true)
	q.release(true)
	if due := q.take(true); !due.none() {
		t.Errorf("%+v is sent", due)
	}
}

// TestWireSlowTaker: a chunk that the other side takes at once is written, though the time of the chunk before is up.
func TestWireSlowTaker(t *testing.T) {
	wireTestPair(t, func(t *testing.T, client, server wireConn) {
		link, ok := client.(*wireLink)
		if !ok {
			return
		}
		for !link.queue.claim() {
			runtime.Gosched()
		}
		link.framer.timed = true
		if err := link.framer.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		err := link.writeMessage([][]byte{[]byte("taken")})
		if err == nil {
			err = link.framer.flush()
		}
		link.queue.release(false)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := server.Recv(); err != nil || string(m[0]) != "taken" {
			t.Errorf("the other side has %q, %v", m, err)
		}
		if !client.TrySend([]byte("next")) {
			t.Error("the next is not taken")
		}
	})
}
