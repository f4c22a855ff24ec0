// Tests of the bound for messages that have begun and are not complete.

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wireTestBegun connects from an address and begins a message, whose rest never comes: whole frames, and the head of
// one.
func wireTestBegun(t *testing.T, w *wireTestTown, from string, frames, head int) net.Conn {
	t.Helper()
	nc := w.connect(from)
	nc.Write(wireRawHello())
	if _, err := io.ReadFull(nc, make([]byte, wireGreetingLen+len(wireRawAnswer()))); err != nil {
		t.Fatal(err)
	}
	for range frames {
		nc.Write(wireRawFrame(wireFlagMore|wireFlagLong, string(make([]byte, 1<<20))))
	}
	if head > 0 {
		nc.Write(wireRawHeader(wireFlagMore, uint64(head)))
	}
	return nc
}

// wireTestIntake is a server by tcp without keys, that echoes, with what it keeps of unfinished messages.
func wireTestIntake(t *testing.T, most int) (*wireTestTown, *wireIntake, chan error) {
	in, notes := wireIntakeNew(most, wireStall), make(chan error, 100)
	return wireTestTownNew(t, wireOptions{InsecureAny: true, Intake: in, Note: func(err error) { notes <- err }}, 0),
		in, notes
}

func wireTestHeld(in *wireIntake) (bytes, messages int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.held, len(in.holders)
}

// wireTestWhole sends a message and wants it back.
func wireTestWhole(t *testing.T, w *wireTestTown, from string, size int) {
	t.Helper()
	c, err := wireHandshake(w.connect(from), wirePeer{Transport: "tcp"}, wireOptions{}.withDefaults(), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	c.Send(make([]byte, size))
	if got, err := c.Recv(); err != nil || len(got[0]) != size {
		t.Errorf("%s gets %d frames, %v, for a message of %d bytes", from, len(got), err, size)
	}
}

// TestWireIntake: whoever begins messages and ends none has them cut, the oldest first, for a message of another; what
// is kept stays within its bound.
func TestWireIntake(t *testing.T) {
	for _, c := range []struct{ name, kind string }{
		{"whole frames, and no last one", "frames"},
		{"heads of frames alone", "heads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, in, notes := wireTestIntake(t, 8<<20)
				var begun []net.Conn
				for range 20 {
					frames, head := 1, 0
					if c.kind == "heads" {
						frames, head = 0, 1<<20
					}
					nc := wireTestBegun(t, w, "192.0.2.2", frames, head)
					defer nc.Close()
					begun = append(begun, nc)
					time.Sleep(time.Millisecond) // one is older than the next
				}
				if held, holders := wireTestHeld(in); held != 8<<20 || holders != 8 {
					t.Errorf("%d bytes of %d messages are kept", held, holders)
				}
				start := time.Now()
				wireTestWhole(t, w, "192.0.2.1", 1<<20)
				if took := time.Since(start); took != 0 {
					t.Errorf("the message of another waited %v", took)
				}
				if _, err := begun[0].Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the oldest: %v, want its end", err)
				}
				if err := <-notes; !errors.Is(err, errWireIntake) || len(notes) > 0 {
					t.Errorf("note: %v, and %d more", err, len(notes))
				}
			})
		})
	}
}

// TestWireIntakeWaits: where nobody holds more than the others, they wait for each other, and all messages arrive. Only
// one that takes longer than the stall time makes room.
func TestWireIntakeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in, notes := wireTestIntake(t, 4<<20)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { wireTestWhole(t, w, fmt.Sprintf("192.0.2.%d", i+1), 1<<20) })
		}
		wg.Wait()
		synctest.Wait()
		if held, holders := wireTestHeld(in); len(notes) != 0 || held != 0 || holders != 0 {
			t.Errorf("%d notes; %d bytes are still counted", len(notes), held)
		}
		var begun []net.Conn
		for i := range 4 {
			begun = append(begun, wireTestBegun(t, w, fmt.Sprintf("192.0.2.%d", i+1), 0, 1<<20))
			time.Sleep(time.Second)
		}
		start := time.Now()
		wireTestWhole(t, w, "192.0.2.9", 1<<20)
		if took := time.Since(start); took != wireStall-4*time.Second {
			t.Errorf("a message waited %v for one that does not end", took)
		}
		if _, err := begun[0].Read(make([]byte, 1)); err != io.EOF || len(notes) != 1 {
			t.Errorf("the oldest: %v, want its end; %d notes", err, len(notes))
		}
		for _, nc := range begun {
			nc.Close()
		}
		synctest.Wait()
		if held, _ := wireTestHeld(in); held != 0 {
			t.Errorf("%d bytes are counted for connections that have ended", held)
		}
	})
}

// TestWireIntakeEnds: a message that waits for room ends with its connection.
func TestWireIntakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, in, _ := wireTestIntake(t, 1<<20)
		first := wireTestBegun(t, w, "192.0.2.1", 0, 1<<20)
		defer first.Close()
		synctest.Wait()
		cut := make(chan error, 1)
		h := in.holder("192.0.2.2/32", func(error) {})
		go func() { cut <- h.take(1 << 20) }()
		synctest.Wait()
		h.end()
		if err := <-cut; err != errWireClosed {
			t.Errorf("take: %v", err)
		}
		err := h.take(1 << 20)
		if held, _ := wireTestHeld(in); err != errWireClosed || held != 1<<20 {
			t.Errorf("take after the end: %v, %d bytes are counted", err, held)
		}
	})
}
