// sys_loop.go: how the goroutines of a process talk to the one that owns some state.

package main

import "sync"

// loopInbox is what waits for an owner's loop. The loop receives from ch; whoever wants something of it puts that in.
// What was taken in is done, also when the loop ends meanwhile; what was not, its sender is told of. ended is closed
// when the loop is over.
type loopInbox[T any] struct {
	ch    chan T
	ended chan struct{}

	// putting is read-locked while something is put in. When end has had it for itself, whoever comes later sees that
	// the loop has ended: select alone would pick at random between room in ch and the end, and say yes to what nobody
	// does.
	putting sync.RWMutex
}

// loopInboxNew makes an inbox in which n may wait. More make their senders wait.
func loopInboxNew[T any](n int) *loopInbox[T] {
	return &loopInbox[T]{ch: make(chan T, n), ended: make(chan struct{})}
}

// put hands v to the loop. False when the loop has ended, and v will not be done. Any goroutine may call it but the
// loop's own, which would wait for itself when the inbox is full.
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

// unlessEnded does fn, which must not wait, unless the loop has ended: then it gives false. end goes on when it is
// done.
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

// end takes nothing in any more, and gives do what was taken in before. Only the loop may call it, once, as it ends; do
// must not put anything in and wait for it.
func (b *loopInbox[T]) end(do func(T)) {
	close(b.ended)   // wakes those who wait for room
	b.putting.Lock() // from here on nobody is within put or unlessEnded any more
	left := len(b.ch)
	b.putting.Unlock()
	for range left {
		do(<-b.ch)
	}
}
