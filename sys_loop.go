// sys_loop.go: how the goroutines of a process talk to the one that owns some state.

package main

import "sync"

// loopInbox holds what waits for an owner's loop. The loop receives from ch; others put in what they want of it. The
// loop does all that put has accepted, even when it ends meanwhile; put tells its caller when it does not accept.
// ended is closed when the loop is over.
type loopInbox[T any] struct {
	ch    chan T
	ended chan struct{}

	// putting is read-locked while something is put in. Once end has held it alone, every later put sees that the loop
	// has ended. A select alone would pick at random between room in ch and the end, and accept what nobody does.
	putting sync.RWMutex
}

// loopInboxNew makes an inbox in which n may wait. More make their senders wait.
func loopInboxNew[T any](n int) *loopInbox[T] {
	return &loopInbox[T]{ch: make(chan T, n), ended: make(chan struct{})}
}

// put hands v to the loop. It gives false when the loop has ended: v will not be done then. Any goroutine may call it
// but the loop's own, which would wait for itself when the inbox is full.
func (b *loopInbox[T]) put(v T) bool {
	b.putting.RLock()
	defer b.putting.RUnlock()
	select {
	case <-b.ended:
		return false
	default:
	}
	select {
	case b.ch <- v:
		return true
	case <-b.ended:
		return false
	}
}

// unlessEnded calls fn, unless the loop has ended: it gives false then. fn must not wait, for end waits for it.
func (b *loopInbox[T]) unlessEnded(fn func()) bool {
	b.putting.RLock()
	defer b.putting.RUnlock()
	select {
	case <-b.ended:
		return false
	default:
		fn()
		return true
	}
}

// end closes the inbox, and calls do with everything that it still holds. Only the loop may call it, once, as it ends.
// do must not put anything in and wait for it.
func (b *loopInbox[T]) end(do func(T)) {
	close(b.ended)   // wakes those who wait for room
	b.putting.Lock() // from here on nobody is within put or unlessEnded any more
	left := len(b.ch)
	b.putting.Unlock()
	for range left {
		do(<-b.ch)
	}
}

// loopRoom bounds what was read for a loop and that the loop has not worked off, in bytes: most in all, beside which
// each who reads may have least, as long as all of them together have no more than all. So one who reads much makes
// nobody wait who reads little.
type loopRoom struct {
	most, least, all int

	mu    sync.Mutex
	freed sync.Cond // for those who wait in take
	used  int
	ended bool

	owing []*loopShare // the loop's: those of whom it has worked off something and given no room back
}

// loopShare is what one who reads has of a room: used of it. The loop has worked off so many bytes of that, and not
// given them back.
type loopShare struct {
	room   *loopRoom
	used   int // guarded by room.mu
	worked int // the loop's
}

// take waits until there is room for n bytes; more than that at once are let in alone. After the room's end nobody
// waits. Any goroutine may call it but the loop's own.
func (s *loopShare) take(n int) {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed.L = &r.mu
	for !r.ended && !s.fits(n) {
		r.freed.Wait()
	}
	r.used += n
	s.used += n
}

// fits says whether n bytes more may be taken. What the share has first may be more than least.
func (s *loopShare) fits(n int) bool {
	little := s.used == 0 || s.used+n <= s.room.least
	total := s.room.used + n
	return total <= s.room.most || little && total <= s.room.all || s.room.used == 0
}

// work notes that the loop, which calls it, has worked off n bytes of a share.
func (s *loopShare) work(n int) {
	if s.worked == 0 {
		s.room.owing = append(s.room.owing, s)
	}
	s.worked += n
}

// give gives back the room of all that the loop, which calls it, has worked off.
func (r *loopRoom) give() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.owing {
		r.used -= s.worked
		s.used -= s.worked
		s.worked, r.owing[i] = 0, nil
	}
	r.owing = r.owing[:0]
	r.freed.Broadcast()
}

// end lets all in who wait.
func (r *loopRoom) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.freed.Broadcast()
}
