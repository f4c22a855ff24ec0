// exec_output.go: what a process writes. It is read and cut into lines; what goes beyond the bound of its run is passed
// on as it is.

package main

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// procBudget bounds what several processes deliver together. The first line that does not fit, and all that any of them
// writes after it, goes to procSpec.Rest in raw pieces, so that a flood costs little more than the reading of it. Any
// goroutine may call its methods; nil has no bound.
type procBudget struct {
	mu    sync.Mutex
	left  int64 // bytes
	over  bool  // it is spent, and for good
	lines int64 // that were delivered
	bytes int64 // of them
}

// newProcBudget makes a budget of so many bytes, newlines among them.
func newProcBudget(size int64) *procBudget { return &procBudget{left: size} }

// take gives how many bytes at the front of a text may still be delivered, in whole lines. The last line of the text
// may be without its newline.
func (b *procBudget) take(text []byte) int {
	if b == nil {
		return len(text)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(text)
	if !b.over && int64(n) > b.left {
		b.over = true
		n = bytes.LastIndexByte(text[:b.left], '\n') + 1
	} else if b.over {
		n = 0
	}
	b.left -= int64(n)
	b.bytes += int64(n)
	b.lines += int64(bytes.Count(text[:n], []byte{'\n'}))
	if n > 0 && text[n-1] != '\n' {
		b.lines++
	}
	return n
}

// remark counts a line that no process has written, which needs no room. It is false once the budget is spent.
func (b *procBudget) remark() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.lines++
	}
	return !b.over
}

// spent says whether nothing is delivered any more.
func (b *procBudget) spent() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// given says what was delivered so far; once the budget is spent that does not change.
func (b *procBudget) given() (lines, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines, b.bytes
}

// procRest is a piece of what goes beyond the budget: bytes as they were read, of any number of lines.
type procRest struct {
	Time  time.Time
	Err   bool   // from stderr
	Text  []byte // the callee may use it until it returns; empty: the line has ended without a newline
	Begun bool   // Text goes on with the line of this stream's last piece
}

// procStream is one of the two pipes that a process writes to, and its unfinished line.
type procStream struct {
	fd    int // our end; -1: closed, by closePipes
	end   int // the process's end, -1: closed. It stays open here as well, or the last who closes it would wake us
	isErr bool
	begun bool // the last line that went to Rest has not ended yet

	mu   sync.Mutex // guards what follows against unended; never held over a read or a callback
	buf  []byte     // data read and not delivered: buf[:n]
	n    int
	tail []byte // the end of the last line that went to Rest

	masking procMasking // where there are secrets
}

// unended gives the end of a line that a process has begun and not ended, procShown bytes at most, "" when there is
// none. Of what goes to Rest it gives the last line. Any goroutine may call it.
func (p *proc) unended(isErr bool) string {
	s := &p.out[0]
	if isErr {
		s = &p.out[1]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n > 0 {
		return procLastLine(s.buf[:s.n])
	}
	return string(s.tail)
}

// procLastLine gives the end of the last line of a text, procShown bytes at most. Of a line that was drawn over with
// carriage returns it gives what is seen.
func procLastLine(text []byte) string {
	text = bytes.TrimRight(text[max(0, len(text)-2*procShown):], "\r\n")
	text = text[bytes.LastIndexAny(text, "\r\n")+1:]
	return string(text[max(0, len(text)-procShown):])
}

// openPipes makes the pipes of stdout and stderr.
func (p *proc) openPipes() (err error) {
	for i := range p.out {
		p.out[i].fd, p.out[i].end, p.out[i].isErr = -1, -1, i == 1
	}
	p.endFd = -1
	p.poll, err = p.ps.takePoll()
	if err != nil {
		return err
	}
	for i := range p.out {
		s := &p.out[i]
		s.fd, s.end, err = procPipe()
		if err == nil {
			err = p.poll.add(s.fd)
		}
		if err != nil {
			p.closePipes()
			return err
		}
		if u := p.spec.User; u != nil { // else it could not open /dev/stderr
			unix.Fchown(s.end, int(u.UID), int(u.GID))
		}
	}
	return nil
}

// closePipes closes both ends, and gives back the set that they were in. Once run has started, only run may call this.
func (p *proc) closePipes() {
	p.unwatchEnd()
	for i := range p.out {
		s := &p.out[i]
		if s.fd >= 0 {
			p.poll.remove(s.fd)
		}
		procCloseFds(s.fd, s.end)
		s.fd, s.end = -1, -1
	}
	p.ps.mu.Lock()
	poll := p.poll
	p.poll = nil // nobody interrupts it any more
	p.ps.mu.Unlock()
	p.ps.keepPoll(poll)
}

// takePoll gives an empty set.
func (ps *procs) takePoll() (*procPoll, error) {
	ps.mu.Lock()
	if n := len(ps.polls); n > 0 {
		poll := ps.polls[n-1]
		ps.polls = ps.polls[:n-1]
		ps.mu.Unlock()
		return poll, nil
	}
	ps.mu.Unlock()
	return newProcPoll()
}

// keepPoll takes an empty set back.
func (ps *procs) keepPoll(poll *procPoll) {
	poll.resume()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.closed || len(ps.polls) == procPolls {
		poll.close()
		return
	}
	ps.polls = append(ps.polls, poll)
}

// procCloseFds closes those that are open (>= 0).
func procCloseFds(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// next reads from the stream that has waited longest, and gives those that wait after that.
func (p *proc) next(queue []*procStream) []*procStream {
	s := queue[0]
	queue = queue[1:]
	if p.read(s) && p.drain(s) {
		ready, _ := p.poll.wait(false)
		return append(p.enqueue(queue, ready), s)
	}
	return queue
}

// enqueue puts the streams with these descriptors behind those that wait to be read, once each. It notes when one is
// that of the end.
func (p *proc) enqueue(queue []*procStream, fds []int) []*procStream {
	for _, fd := range fds {
		p.endTold = p.endTold || fd == p.endFd
		for i := range p.out {
			if s := &p.out[i]; s.fd == fd && !slices.Contains(queue, s) {
				queue = append(queue, s)
			}
		}
	}
	return queue
}

// drain delivers what is in a pipe now. It comes to an end even if a leftover goes on writing. It says what read says.
func (p *proc) drain(s *procStream) (more bool) {
	there, err := unix.IoctlGetInt(s.fd, procFionread)
	more = true
	for err == nil && there > 0 && more && !p.sealed.Load() {
		room, before := s.room(), s.masking.read
		more = p.read(s)
		if p.spec.Mask != nil {
			room = s.masking.read - before
		}
		there -= room
	}
	return more
}

// finishLine delivers the last line of a stream, if it has no newline.
func (p *proc) finishLine(s *procStream) {
	if p.spec.Mask != nil {
		s.masking.over = true
		for p.read(s) { // what is left of it, which is little
		}
	}
	if s.n > 0 {
		if left := p.give(s, time.Now(), s.buf[:s.n], false); len(left) > 0 {
			p.rest(s, time.Now(), left)
		}
	}
	s.keep(nil)
	if s.begun {
		p.rest(s, time.Now(), nil)
	}
}

// room gives how much the next read takes at most, and makes that at least one byte.
func (s *procStream) room() int {
	if s.n == len(s.buf) {
		s.grow(min(max(2*len(s.buf), procMinBuf), procMaxLine+1))
	}
	return len(s.buf) - s.n
}

// grow makes the buffer size bytes long.
func (s *procStream) grow(size int) {
	grown := make([]byte, size)
	copy(grown, s.buf[:s.n])
	s.mu.Lock()
	s.buf = grown
	s.mu.Unlock()
}

// keep notes that of the buffer only text is not delivered yet.
func (s *procStream) keep(text []byte) {
	s.mu.Lock()
	s.n = copy(s.buf, text)
	s.mu.Unlock()
}

// read takes what is there, up to room, and delivers the lines that are complete. It says whether there may be more to
// read now. A stream that has more than its buffer holds gets a larger one, with space for the longest line and its
// newline at last; a line that fills that without a newline is split.
func (p *proc) read(s *procStream) (more bool) {
	s.room()
	if p.spec.Budget.spent() && len(s.buf) <= procMaxLine { // a flood is read in large pieces
		s.grow(procMaxLine + 1)
	}
	n := 0
	if p.spec.Mask == nil {
		var err error
		n, err = unix.Read(s.fd, s.buf[s.n:])
		if err != nil { // EAGAIN: there is nothing
			n, more = 0, err == unix.EINTR
		} else {
			more = s.n+n == len(s.buf) // a pipe gives all that it has, if there is room
		}
	} else {
		n, more = s.readMasked(p.spec.Mask, s.buf[s.n:])
	}
	if n == 0 {
		return more
	}
	now := time.Now()
	text := s.buf[:s.n+n]
	if whole := s.n + bytes.LastIndexByte(text[s.n:], '\n') + 1; whole > s.n {
		left := p.give(s, now, text[:whole], false)
		text = text[whole-len(left):]
	}
	if len(text) > procMaxLine && !p.spec.Budget.spent() {
		left := p.give(s, now, text[:procMaxLine], true)
		text = text[procMaxLine-len(left):]
	}
	if len(text) > 0 && p.spec.Budget.spent() {
		p.rest(s, now, text)
		text = nil
	}
	s.keep(text)
	if more && len(s.buf) <= procMaxLine {
		s.grow(min(2*len(s.buf), procMaxLine+1))
	}
	if s.n+len(s.tail) > 0 && p.spec.Unended != nil {
		p.spec.Unended()
	}
	return more
}

// give delivers lines, or throws them away when done is closed already. It gives those that the budget has no room for.
func (p *proc) give(s *procStream, now time.Time, text []byte, partial bool) (left []byte) {
	if p.spec.Output == nil || p.sealed.Load() {
		return nil
	}
	n := p.spec.Budget.take(text)
	if n > 0 {
		p.spec.Output(procLines{Time: now, Err: s.isErr, Text: text[:n], Partial: partial})
	}
	return text[n:]
}

// rest passes on what goes beyond the budget. An empty text ends the line.
func (p *proc) rest(s *procStream, now time.Time, text []byte) {
	if p.spec.Rest == nil || p.sealed.Load() {
		return
	}
	p.spec.Rest(procRest{Time: now, Err: s.isErr, Text: text, Begun: s.begun})
	s.begun = len(text) > 0 && text[len(text)-1] != '\n'
	if len(text) > 0 {
		s.mu.Lock()
		s.tail = append(s.tail[:0], procLastLine(text)...)
		s.mu.Unlock()
	}
}
