// exec_output.go: the half of the process room that reads what a process writes, cuts it into lines, and drops what goes
// beyond the bound of its run. May use what exec.go may.

package main

import (
	"bytes"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// procBudget bounds what several processes write together. The line that does not fit any more, and all that come after
// it, whole or not, are read, counted and dropped, so that a flood costs nothing but the reading of it. All its methods
// may be called by any goroutine.
type procBudget struct {
	onCut func()       // called once, in the place of the first line that is dropped; may block as Output may
	left  atomic.Int64 // bytes; below zero when it is spent, and for good
	lines atomic.Int64 // dropped; a line without an end counts as one
	bytes atomic.Int64 // of them, with their newlines
}

// procLineCost is what a line costs the budget beside its text: about what is stored with it.
const procLineCost = 100

// newProcBudget makes a budget of so many bytes.
func newProcBudget(size int64, onCut func()) *procBudget {
	b := &procBudget{onCut: onCut}
	b.left.Store(size)
	return b
}

// take says whether a line of n bytes may still be delivered.
func (b *procBudget) take(n int) bool {
	cost := int64(n) + procLineCost
	left := b.left.Add(-cost)
	if left < 0 && left+cost >= 0 {
		b.onCut()
	}
	return left >= 0
}

// spent says that nothing is delivered any more.
func (b *procBudget) spent() bool { return b != nil && b.left.Load() < 0 }

// dropped gives what was dropped so far.
func (b *procBudget) dropped() (lines, bytes int64) { return b.lines.Load(), b.bytes.Load() }

// procStream is one of the two pipes a process writes to, and its unfinished line.
type procStream struct {
	fd    int // -1: closed
	isErr bool
	buf   []byte // data read and not delivered: buf[:n]
	n     int
	begun bool // the end of the line that was dropped last is not seen yet
}

// openPipes makes the pipes of stdout and stderr and returns the ends for the process.
func (p *proc) openPipes() (ends [2]int, err error) {
	p.out = [2]procStream{{fd: -1}, {fd: -1, isErr: true}}
	ends = [2]int{-1, -1}
	if p.poll, err = newProcPoll(); err != nil {
		return ends, err
	}
	for i := range p.out {
		var r int
		if r, ends[i], err = procPipe(); err == nil {
			p.out[i].fd = r
			err = p.poll.add(r)
		}
		if err != nil {
			procCloseFds(ends[:])
			p.closePipes()
			return ends, err
		}
	}
	return ends, nil
}

// closePipes closes our ends. Once runRead has started it alone may call this.
func (p *proc) closePipes() {
	for i := range p.out {
		procCloseFds([]int{p.out[i].fd})
		p.out[i].fd = -1
	}
	p.poll.close()
}

// procCloseFds closes those that are open (>= 0).
func procCloseFds(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// runRead delivers the output. One goroutine reads both pipes, in the order in which they became readable: of the one that
// was first all that is there is read, then it has to wait behind the other. So lines keep their order across stdout and
// stderr, but for those that were all written before we woke. Output wakes it; it ends when both pipes are closed, or with
// what is in them when run interrupts it.
func (p *proc) runRead() {
	defer close(p.readDone)
	defer p.closePipes()
	var queue []*procStream // that have something to read, or have ended
	for open := 2; open > 0; {
		ready, ok := p.poll.wait(len(queue) == 0)
		if queue = p.enqueue(queue, ready); !ok {
			break
		}
		s := queue[0]
		queue = queue[1:]
		more, ended := p.read(s)
		if more {
			more, ended = p.drain(s)
		}
		switch {
		case ended:
			p.poll.remove(s.fd)
			unix.Close(s.fd)
			s.fd = -1
			open--
		case more:
			ready, _ = p.poll.wait(false)
			queue = append(p.enqueue(queue, ready), s)
		}
	}
	for _, s := range p.enqueue(queue, append(p.poll.last(), p.out[0].fd, p.out[1].fd)) {
		p.drain(s)
	}
	for i := range p.out {
		p.finishLine(&p.out[i])
	}
}

// enqueue puts the streams with these descriptors behind those that wait to be read, once each.
func (p *proc) enqueue(queue []*procStream, fds []int) []*procStream {
	for _, fd := range fds {
		for i := range p.out {
			if s := &p.out[i]; fd >= 0 && s.fd == fd && !slices.Contains(queue, s) {
				queue = append(queue, s)
			}
		}
	}
	return queue
}

// drain delivers what is in a pipe now, which is bounded even if a leftover goes on writing. It says what read says.
func (p *proc) drain(s *procStream) (more, ended bool) {
	there, err := unix.IoctlGetInt(s.fd, procFionread)
	more = true
	for err == nil && there > 0 && more && !p.sealed.Load() {
		there -= s.room()
		more, ended = p.read(s)
	}
	return more, ended
}

// finishLine delivers the last line of a stream, if it has no newline.
func (p *proc) finishLine(s *procStream) {
	if s.n > 0 {
		p.give(s, time.Now(), s.buf[:s.n], procUnended)
		s.n = 0
	}
}

// room is how much the next read takes at most; it makes that at least one byte.
func (s *procStream) room() int {
	if s.n == len(s.buf) {
		grown := make([]byte, min(max(2*len(s.buf), procMinBuf), procMaxLine+1))
		copy(grown, s.buf[:s.n])
		s.buf = grown
	}
	return len(s.buf) - s.n
}

// read takes what is there, up to room, and delivers the lines that are complete. It says whether there may be more to
// read now, and whether the stream has ended. A buffer has space for the newline of the longest line; when it is full
// without one, the line is split.
func (p *proc) read(s *procStream) (more, ended bool) {
	s.room()
	if p.spec.Budget.spent() && len(s.buf) <= procMaxLine { // a flood is read in large pieces
		s.buf = append(make([]byte, 0, procMaxLine+1), s.buf[:s.n]...)[:procMaxLine+1]
	}
	n, err := unix.Read(s.fd, s.buf[s.n:])
	switch {
	case err == unix.EAGAIN:
		return false, false
	case err == unix.EINTR:
		return true, false
	case err != nil || n == 0:
		return false, true
	}
	more = s.n+n == len(s.buf) // a pipe gives all that it has, up to that
	now := time.Now()
	at, scan, end := 0, s.n, s.n+n
	for {
		if p.spec.Budget.spent() {
			s.drop(p.spec.Budget, s.buf[at:end])
			s.n = 0
			return more, false
		}
		i := bytes.IndexByte(s.buf[scan:end], '\n')
		if i < 0 {
			break
		}
		p.give(s, now, s.buf[at:scan+i], procEnded)
		at = scan + i + 1
		scan = at
	}
	s.n = copy(s.buf, s.buf[at:end])
	if s.n > procMaxLine {
		p.give(s, now, s.buf[:procMaxLine], procPartial)
		s.n = copy(s.buf, s.buf[procMaxLine:s.n])
	}
	return more, false
}

// drop counts bytes that are not delivered. A line is counted where it begins.
func (s *procStream) drop(b *procBudget, text []byte) {
	if len(text) == 0 {
		return
	}
	ends := int64(bytes.Count(text, []byte{'\n'}))
	starts := ends
	if text[len(text)-1] != '\n' {
		starts++
	}
	if s.begun {
		starts--
	}
	s.begun = text[len(text)-1] != '\n'
	b.lines.Add(starts)
	b.bytes.Add(int64(len(text)))
}

// How a line that give is given ends.
const (
	procEnded   = iota // with a newline
	procUnended        // with the output
	procPartial        // not yet
)

// give delivers a line, or drops it when the budget has no room for it, or when done has been declared over its head.
func (p *proc) give(s *procStream, now time.Time, text []byte, end int) {
	if p.spec.Output == nil || p.sealed.Load() {
		return
	}
	if b := p.spec.Budget; b != nil && !b.take(len(text)) {
		if s.drop(b, text); end == procEnded {
			s.drop(b, []byte{'\n'})
		}
		return
	}
	p.spec.Output(procLine{Time: now, Err: s.isErr, Text: bytes.Clone(text), Partial: end == procPartial})
}
