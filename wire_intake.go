// wire_intake.go: one bound, over all connections of a server, for what is kept of messages that have begun and have
// not come to their end. Whoever begins many and ends none has them cut. The others wait for each other for as long as
// messages come to their end, and then go on reading.

package main

import (
	"errors"
	"sync"
	"time"
)

const (
	// wireIntakeMost is how many bytes all listeners of a server keep together. 32 of the largest frames are much for a
	// hub of some hundred agents, and little for a machine.
	wireIntakeMost = 32 << 20
	// wireIntakeFree is how many bytes of a message are not counted: most messages have fewer.
	wireIntakeFree = 4 << 10
)

// errWireIntake cuts the peer that holds most of what is unfinished, when there is no room left.
var errWireIntake = errors.New("too much of unfinished messages is held, and most of it by this peer")

// wireIntake counts the bytes of unfinished messages. Listeners may share one.
type wireIntake struct {
	most  int
	stall time.Duration // where there is no room, a message that takes longer may be cut

	mu      sync.Mutex
	held    int
	holders map[*wireHolder]bool // those with counted bytes
	room    chan struct{}        // closed and made anew when bytes are given back
}

// wireIntakeNew makes an intake of most bytes. Where there is no room, a message that takes longer than stall may be
// cut.
func wireIntakeNew(most int, stall time.Duration) *wireIntake {
	return &wireIntake{most: most, stall: stall, holders: map[*wireHolder]bool{}, room: make(chan struct{})}
}

// wireHolder is the unfinished message of one connection. A nil one counts nothing.
type wireHolder struct {
	intake *wireIntake
	party  string
	cut    func(error)   // ends the connection; must not wait
	over   chan struct{} // closed by end

	// The message so far; they belong to the reading goroutine. free is how many bytes are not counted; large: others
	// are counted.
	free  int
	large bool

	counted int // guarded by intake.mu, and the next two
	since   time.Time
	ended   bool
}

// holder makes a holder for a connection of a party.
func (in *wireIntake) holder(party string, cut func(error)) *wireHolder {
	return &wireHolder{intake: in, party: party, cut: cut, over: make(chan struct{})}
}

// take counts n bytes more, before anything is allocated for them. Where there is no room it cuts another connection,
// of a party that holds more than this one would, or whose message takes too long; else it waits for room. While it
// waits no PING is answered. Only the reading goroutine calls it.
func (h *wireHolder) take(n int) error {
	if h == nil {
		return nil
	}
	if h.free+n <= wireIntakeFree {
		h.free += n
		return nil
	}
	in := h.intake
	h.large = true
	for {
		ok, room, wait, err := in.make(h, n)
		if ok || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-room:
		case <-timer.C:
		case <-h.over:
		}
		timer.Stop()
	}
}

// make counts n bytes of h, and may cut others for that. Where it cannot it says what to wait for, and how long.
func (in *wireIntake) make(h *wireHolder, n int) (ok bool, room chan struct{}, wait time.Duration, err error) {
	var outs []*wireHolder
	defer func() { // without mu, which cut takes
		for _, out := range outs {
			out.cut(errWireIntake)
		}
	}()
	in.mu.Lock()
	defer in.mu.Unlock()
	if h.ended {
		return false, nil, 0, errWireClosed
	}
	for in.held+n > in.most {
		out, wait := in.loser(h, n, time.Now())
		if out == nil {
			return false, in.room, wait, nil
		}
		in.drop(out)
		outs = append(outs, out)
	}
	in.add(h, n)
	return true, nil, 0, nil
}

// add counts bytes. The caller holds mu.
func (in *wireIntake) add(h *wireHolder, n int) {
	if h.counted == 0 {
		h.since = time.Now()
		in.holders[h] = true
	}
	h.counted += n
	in.held += n
}

// loser gives the holder to cut for n bytes of h: of the party that holds most, if that is more than h's own would
// hold, the one whose message began first; else one whose message began longer ago than the stall time. Where there is
// none it is nil, and wait is how long until there is one. The caller holds mu.
func (in *wireIntake) loser(h *wireHolder, n int, now time.Time) (out *wireHolder, wait time.Duration) {
	sums := map[string]int{}
	for other := range in.holders {
		sums[other.party] += other.counted
	}
	own, most := sums[h.party]+n, 0
	for party, sum := range sums {
		if party != h.party {
			most = max(most, sum)
		}
	}
	var oldest *wireHolder
	for other := range in.holders {
		if other == h {
			continue
		}
		if oldest == nil || other.since.Before(oldest.since) {
			oldest = other
		}
		holdsMost := most > own && sums[other.party] == most && other.party != h.party
		if holdsMost && (out == nil || other.since.Before(out.since)) {
			out = other
		}
	}
	wait = in.stall
	if out == nil && oldest != nil {
		wait -= now.Sub(oldest.since)
		if wait <= 0 {
			return oldest, 0
		}
	}
	return out, wait
}

// drop gives back what a holder has counted. The caller holds mu.
func (in *wireIntake) drop(h *wireHolder) {
	if h.counted == 0 {
		return
	}
	in.held -= h.counted
	h.counted = 0
	delete(in.holders, h)
	close(in.room)
	in.room = make(chan struct{})
}

// done gives back what a message has taken, once it is complete. Only the reading goroutine calls it.
func (h *wireHolder) done() {
	if h == nil {
		return
	}
	h.free = 0
	if !h.large {
		return
	}
	h.large = false
	h.intake.mu.Lock()
	h.intake.drop(h)
	h.intake.mu.Unlock()
}

// end gives back what the connection has taken, once it has ended, and wakes it. Any goroutine may call it.
func (h *wireHolder) end() {
	if h == nil {
		return
	}
	h.intake.mu.Lock()
	defer h.intake.mu.Unlock()
	h.intake.drop(h)
	if !h.ended {
		h.ended = true
		close(h.over)
	}
}
