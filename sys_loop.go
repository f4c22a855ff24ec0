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

// loopRoom bounds what was read for a loop and that the loop has not worked off, in bytes. The zero value is ready.
type loopRoom struct {
	mu    sync.Mutex
	freed sync.Cond // for those who wait in take
	used  int
	ended bool
}

// take waits until there is room for n bytes among most; more than that at once are let in alone. After end nobody
// waits. Any goroutine may call it but the loop's own.
func (r *loopRoom) take(n, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freed.L = &r.mu
	for r.used > 0 && r.used+n > most && !r.ended {
		r.freed.Wait()
	}
	r.used += n
}

// give gives back the room of n bytes.
func (r *loopRoom) give(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	r.freed.Broadcast()
}

// end lets all in who wait.
func (r *loopRoom) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.freed.Broadcast()
}
