// agent_spool.go: an agent's messages to the principal, kept on disk until the principal has acknowledged them. They
// are JSON objects that the spool does not look into. They are numbered upwards within an epoch, which has a random
// name and lives as long as anything of it is unacknowledged. The folder holds segments named EPOCH-FIRST.jsonl, both
// hexadecimal. The first line of a segment has a fixed length, and is rewritten in place with the newest number that
// was acknowledged. The other lines are
//
//	{"n":17,"crc":"0f4a5c11","m":{…}}
//	{"n":18,"of":3,"crc":"5b21c90e","m":{…}}
//
// A message may stand for several things, each of which has a number and is acknowledged by itself: "of" says how many,
// where it is not one, and "n" is the number of the first.
//
// Numbers go up by one. Each time that a spool is opened with something left in it they leap by 2^32: a power cut may
// have taken messages that were sent already, and if their numbers were given again the principal would drop the new
// ones as repeats. Nothing is synced: a killed agent loses nothing, and a power cut ends its tasks as well. One
// goroutine owns a spool.

package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	spoolMaxBytes   = 64 << 20 // with more unacknowledged bytes output is refused, unless set otherwise
	spoolMaxSegment = 4 << 20  // a segment that is as long gets no more messages
	// a segment that is longer is emptied when all is acknowledged, so that what is young never reaches the disk
	spoolMaxIdle    = 4 << 10
	spoolMaxMessage = 16 << 20  // bytes of one message
	spoolMaxLate    = 1 << 20   // bytes kept in memory while the disk takes nothing
	spoolLazy       = 256 << 10 // bytes kept in memory by a spool that is lazy
	spoolBlock      = 64 << 10  // bytes read at once to find what was acknowledged
	spoolLeap       = 1 << 32
	spoolLockWait   = time.Second          // how long to wait for the lock of a process that may be about to end
	spoolLockAgain  = 5 * time.Millisecond // between two tries within spoolLockWait
	spoolEnding     = ".jsonl"
	spoolHeaderForm = `{"acked":"%016x","crc":"%08x"}` + "\n"
	spoolHeaderSize = int64(len(`{"acked":"0123456789abcdef","crc":"01234567"}` + "\n"))
)

// errSpoolFull refuses output because too much is unacknowledged.
var errSpoolFull = errors.New("spool is full")

// spoolCastagnoli is the table of CRC-32C, as in the journal. The first call makes it.
func spoolCastagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// spool is the folder of messages. All of it belongs to one goroutine.
type spool struct {
	// The folder, its lock, and the name of the epoch. With more unacknowledged bytes than maxBytes output is refused.
	dir      string
	lock     *os.File
	name     string
	maxBytes int64
	writeAt  func(*os.File, []byte, int64) (int, error)

	// The files, oldest first; the last one is written to.
	segments []*spoolSegment

	// The newest number: that was given, that next gave, and that was acknowledged. sendAt and ackAt are the places
	// behind the newest message that next gave, and behind the newest that was acknowledged.
	last   uint64
	sent   uint64
	acked  uint64
	sendAt spoolCursor
	ackAt  spoolCursor

	// The last messages on the disk, in order, of those that this life wrote; freshBytes are in memory. So what is sent
	// and acknowledged soon is not read back.
	fresh      []spoolFresh
	freshBytes int

	// What the disk did not take, in order: it comes behind all that is on the disk. fault is why the disk took nothing
	// the last time that it was tried, nil when it did. lazy: the folder goes away with the process, so the disk is
	// asked only when more waits than spoolLazy, and mostly the principal has acknowledged it before.
	late      []spoolMessage
	lateBytes int
	fault     error
	lazy      bool

	// What could not be read: how many lines or files, and which came first.
	damages  int
	firstBad error

	buf   []byte // of write
	block []byte // of walk
}

// spoolSegment is one file.
type spoolSegment struct {
	name string
	f    *os.File // nil until it is read or written
	size int64    // of whole lines; when torn, remains of a failed write may stand behind them
	left int      // messages in it that are not acknowledged
	torn bool
	bare bool  // its file is shorter than a first line: the life that made it was killed
	told int64 // damage before this byte was noted
}

// spoolCursor is a place in the segments.
type spoolCursor struct {
	segment int
	at      int64
}

// before says whether a place comes before another.
func (c spoolCursor) before(d spoolCursor) bool {
	return c.segment < d.segment || c.segment == d.segment && c.at < d.at
}

// spoolMessage is a message that waits in memory for the disk, or that was read from a line.
type spoolMessage struct {
	n   uint64 // the first of its numbers
	of  int    // how many it has
	msg []byte
}

// last gives the number of the last thing that the message stands for.
func (m *spoolMessage) last() uint64 { return m.n + uint64(m.of) - 1 }

// spoolOpen opens the spool in a folder, and makes it when it is not there. It locks the folder until close. What an
// earlier life left unacknowledged keeps its epoch and numbers, and is sent first. damage says what could not be kept.
func spoolOpen(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	lock, err := diskOpen(dir, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	// A process that a killed agent was just starting holds the lock for a moment, between fork and exec.
	for began := time.Now(); ; time.Sleep(spoolLockAgain) {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		held := errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
		if !held || time.Since(began) > spoolLockWait {
			break
		}
	}
	if err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, conflict("lock spool " + dir +
				": another agent runs with this state folder: stop it, or give this one its own with --state")
		}
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	s := &spool{dir: dir, lock: lock, maxBytes: spoolMaxBytes, writeAt: (*os.File).WriteAt}
	if err := s.load(); err != nil {
		s.close()
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	return s, nil
}

// close writes what waits in memory, if the disk takes it now, and frees the lock.
func (s *spool) close() {
	s.retry()
	s.free()
	for _, seg := range s.segments {
		seg.shut()
	}
	s.lock.Close()
}

// epoch names this numbering: 16 hexadecimal digits.
func (s *spool) epoch() string { return s.name }

// pending gives how many messages, and how many bytes of them, are not acknowledged.
func (s *spool) pending() (count int, bytes int64) {
	count = len(s.late)
	for _, seg := range s.segments {
		count += seg.left
	}
	return count, s.bytes()
}

// trouble gives why the disk took nothing the last time that it was tried, nil when all is well.
func (s *spool) trouble() error { return s.fault }

// damage says what of the spool could not be read, nil when nothing: how many lines or files, and which came first.
func (s *spool) damage() error {
	if s.damages > 1 {
		return fmt.Errorf("%w, and %d more", s.firstBad, s.damages-1)
	}
	return s.firstBad
}

// spoiled notes damage at a byte of a segment, once.
func (s *spool) spoiled(seg *spoolSegment, at int64, cause error) {
	if at < seg.told {
		return
	}
	seg.told = at + 1
	s.damages++
	if s.firstBad == nil {
		s.firstBad = fmt.Errorf("read spool file %s at byte %d: %w; skipped it", filepath.Join(s.dir, seg.name), at,
			cause)
	}
}

// add puts a message behind all others: one JSON object without a newline, which stands for so many things. The spool
// keeps it: the caller does not change it any more. It gives the last of the message's numbers. A message that must go
// in (events) is kept in memory when the disk takes nothing; each later call tries to write it, and it is sent from
// there as well, but it would be gone with the process. It is refused only when 1 MiB is kept so already. Any other
// (output) is refused with errSpoolFull past the bound, and with the disk's error when the disk takes nothing or has
// little left.
func (s *spool) add(msg []byte, of int, must bool) (uint64, error) {
	if len(msg) > spoolMaxMessage || bytes.IndexByte(msg, '\n') >= 0 {
		return 0, fmt.Errorf("spool message of %d bytes: it must be one line of at most %d", len(msg), spoolMaxMessage)
	}
	if !must && s.bytes()+int64(len(msg)) > s.maxBytes {
		return 0, fmt.Errorf("%w: %d bytes wait for the principal", errSpoolFull, s.bytes())
	}
	keeps := s.lazy && s.lateBytes+len(msg) <= spoolLazy
	if !keeps {
		err := s.put(of, msg, must)
		keeps = err != nil && must && s.lateBytes+len(msg) <= spoolMaxLate
		switch {
		case err == nil || keeps:
		case must:
			return 0, fmt.Errorf("spool event: %d bytes wait in memory for the disk: %w", s.lateBytes, err)
		default:
			return 0, fmt.Errorf("spool output: %w", err)
		}
	}
	if keeps {
		s.late = append(s.late, spoolMessage{n: s.last + 1, of: of, msg: msg})
		s.lateBytes += len(msg)
	}
	s.last += uint64(of)
	return s.last, nil
}

// put writes the next message to the disk, behind what waits in memory.
func (s *spool) put(of int, msg []byte, must bool) error {
	err := s.flush()
	if err == nil && !must {
		err = diskRoom(s.lock, len(msg))
	}
	if err == nil {
		err = s.write(s.last+1, of, msg)
	}
	return err
}

// next gives messages that follow those it gave before: consecutive numbers from first, at most maxBytes of them, but
// at least one message; none when all were given. A message that is acknowledged in part comes whole. The caller may
// keep them. What is damaged is skipped (see damage). An error means that no more could be read for a cause that may
// pass, as too many open files: messages given with it are good, and the next call goes on behind them.
func (s *spool) next(maxBytes int) (first uint64, msgs [][]byte, err error) {
	s.retry()
	taken := 0
	fits := func(n, last uint64, msg []byte) bool {
		if len(msgs) > 0 && (n != s.sent+1 || taken+len(msg) > maxBytes) {
			return false
		}
		if len(msgs) == 0 {
			first = n
		}
		msgs, taken, s.sent = append(msgs, msg), taken+len(msg), last
		return true
	}
	for taken < maxBytes || len(msgs) == 0 {
		if m := s.freshNext(); m != nil && m.msg != nil {
			if !fits(m.n, m.last(), m.msg) {
				return first, msgs, nil
			}
			s.freshBytes -= len(m.msg)
			m.msg, s.sendAt.at = nil, m.end
			continue
		}
		chunk, err := s.chunk(&s.sendAt, max(maxBytes-taken, 1<<10), nil)
		if err != nil {
			return first, msgs, err
		}
		if len(chunk) == 0 {
			break
		}
		for len(chunk) > 0 {
			line := chunk[:bytes.IndexByte(chunk, '\n')+1]
			m, err := spoolDecode(line)
			switch {
			case err != nil:
				s.spoiled(s.segments[s.sendAt.segment], s.sendAt.at, err)
			case m.last() > s.sent && !fits(m.n, m.last(), m.msg):
				return first, msgs, nil
			}
			s.sendAt.at += int64(len(line))
			chunk = chunk[len(line):]
		}
	}
	for i := range s.late {
		if m := &s.late[i]; m.last() > s.sent && !fits(m.n, m.last(), m.msg) {
			break
		}
	}
	return first, msgs, nil
}

// rewind makes next begin again with the first message above acked, which the principal named on a new connection. What
// was acknowledged before is not sent again.
func (s *spool) rewind(acked uint64) {
	s.ack(acked)
	s.sendAt, s.sent = s.ackAt, s.acked
	for _, seg := range s.segments[:max(len(s.segments)-1, 0)] {
		seg.shut()
	}
}

// ack frees all messages up to number n. A number that is not above the last one changes nothing.
func (s *spool) ack(n uint64) {
	n = min(n, s.last)
	if n <= s.acked {
		return
	}
	s.acked = n
	for len(s.late) > 0 && s.late[0].last() <= n {
		s.lateBytes -= len(s.late[0].msg)
		s.late = s.late[1:]
	}
	if n == s.last {
		s.ackAt = s.end()
		s.freshForget(len(s.fresh))
		for _, seg := range s.segments {
			seg.left = 0
		}
	} else {
		s.walk()
	}
	s.sent = max(s.sent, n)
	s.free()
	s.retry()
}

// walk moves ackAt behind the last line that is acknowledged, and behind damage on the way. No message that is
// acknowledged stays in memory, though the damage was in its place: another may be written there.
func (s *spool) walk() {
	defer func() {
		n := slices.IndexFunc(s.fresh, func(m spoolFresh) bool { return m.last() > s.acked })
		if n < 0 {
			n = len(s.fresh)
		}
		s.freshForget(n)
	}()
	for {
		s.pass(&s.ackAt)
		if len(s.fresh) > 0 && s.isAt(s.ackAt, &s.fresh[0]) {
			m := &s.fresh[0]
			if m.last() > s.acked {
				return
			}
			m.segment.left--
			s.ackAt.at = m.end
			s.freshForget(1)
			continue
		}
		if s.block == nil {
			s.block = make([]byte, spoolBlock)
		}
		chunk, err := s.chunk(&s.ackAt, len(s.block), s.block)
		if err != nil {
			return // the next acknowledgement goes on from here
		}
		if len(chunk) == 0 {
			return
		}
		for len(chunk) > 0 {
			line := chunk[:bytes.IndexByte(chunk, '\n')+1]
			m, err := spoolDecode(line)
			if err == nil && m.last() > s.acked {
				return
			}
			seg := s.segments[s.ackAt.segment]
			if err == nil && seg.left > 0 {
				seg.left--
			}
			s.ackAt.at += int64(len(line))
			chunk = chunk[len(line):]
			if len(s.fresh) > 0 && s.isAt(s.ackAt, &s.fresh[0]) {
				break
			}
		}
	}
}

// free notes on disk what is acknowledged, and gives back the room: it deletes segments of which all is acknowledged,
// and empties the last one when it is long or the disk is full. If the note fails no harm is done: the next life sends
// more again than it has to, and the principal drops the repeats.
func (s *spool) free() {
	if len(s.segments) == 0 {
		return
	}
	last := len(s.segments) - 1
	for s.ackAt.segment < last && s.ackAt.at >= s.segments[s.ackAt.segment].size {
		s.ackAt = spoolCursor{segment: s.ackAt.segment + 1, at: spoolHeaderSize}
	}
	if s.sendAt.before(s.ackAt) {
		s.sendAt = s.ackAt
	}
	s.note(s.segments[s.ackAt.segment])
	for _, seg := range s.segments[:s.ackAt.segment] {
		seg.shut()
		os.Remove(filepath.Join(s.dir, seg.name)) // if it stays, the next open finds it acknowledged
	}
	s.segments = slices.Delete(s.segments, 0, s.ackAt.segment)
	s.sendAt.segment -= s.ackAt.segment
	s.ackAt.segment = 0
	seg := s.segments[0]
	if s.ackAt != s.end() || seg.size <= spoolMaxIdle && s.fault == nil {
		return
	}
	s.freshForget(len(s.fresh)) // of what was damaged
	seg.size, seg.left, seg.torn = spoolHeaderSize, 0, true
	s.ackAt, s.sendAt = s.end(), s.end()
	s.mend(seg)
}

// end is the place behind all that is on disk.
func (s *spool) end() spoolCursor {
	n := len(s.segments)
	if n == 0 {
		return spoolCursor{at: spoolHeaderSize}
	}
	return spoolCursor{segment: n - 1, at: s.segments[n-1].size}
}

// bytes gives how many bytes are not acknowledged, on disk and in memory.
func (s *spool) bytes() int64 {
	sum := int64(s.lateBytes)
	for i, seg := range s.segments {
		sum += seg.size - spoolHeaderSize
		if i == s.ackAt.segment { // what came before counts no more
			sum = int64(s.lateBytes) + seg.size - s.ackAt.at
		}
	}
	return sum
}

// retry tries again to write what the disk did not take.
func (s *spool) retry() {
	if !s.lazy {
		s.flush()
	}
}

// flush writes what waits in memory. next reads again what was sent from there already, and passes over it.
func (s *spool) flush() error {
	for len(s.late) > 0 {
		m := s.late[0]
		if err := s.write(m.n, m.of, m.msg); err != nil {
			return err
		}
		s.late = s.late[1:]
		s.lateBytes -= len(m.msg)
	}
	return nil
}

// write puts a message behind all that is on disk, in one write.
func (s *spool) write(n uint64, of int, msg []byte) error {
	s.fault = func() error {
		seg, err := s.room(n)
		if err != nil {
			return err
		}
		s.buf = spoolEncode(s.buf[:0], n, of, msg)
		if _, err := s.writeAt(seg.f, s.buf, seg.size); err != nil {
			seg.torn = true
			s.mend(seg) // when even that fails, the next write tries again first
			return err
		}
		at := seg.size
		seg.size += int64(len(s.buf))
		seg.left++
		s.freshKeep(n, of, msg, seg, at)
		return nil
	}()
	if cap(s.buf) > 1<<20 { // one large message does not hold the memory for ever
		s.buf = nil
	}
	return s.fault
}

// room gives the segment that message n goes into, ready to be written to.
func (s *spool) room(n uint64) (*spoolSegment, error) {
	if i := len(s.segments) - 1; i >= 0 && s.segments[i].size < spoolMaxSegment {
		return s.segments[i], s.mend(s.segments[i])
	}
	seg := &spoolSegment{name: fmt.Sprintf("%s-%016x%s", s.name, n, spoolEnding), size: spoolHeaderSize}
	path := filepath.Join(s.dir, seg.name)
	f, err := diskOpen(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	seg.f = f
	if err := s.note(seg); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	if i := len(s.segments) - 1; i >= 0 && i != s.sendAt.segment {
		s.segments[i].shut()
	}
	s.segments = append(s.segments, seg)
	return seg, nil
}

// note writes the newest number acknowledged into a segment's first line.
func (s *spool) note(seg *spoolSegment) error {
	if err := s.reach(seg); err != nil {
		return err
	}
	var b [spoolHeaderSize]byte
	_, err := s.writeAt(seg.f, spoolHeader(b[:0], s.acked), 0)
	if err == nil {
		seg.bare = false
	}
	return err
}

// reach opens the file of a segment.
func (s *spool) reach(seg *spoolSegment) (err error) {
	if seg.f == nil {
		seg.f, err = diskOpen(filepath.Join(s.dir, seg.name), os.O_RDWR)
	}
	return err
}

// mend opens the file of a segment and cuts off what a failed write left in it. A bare segment gets its first line
// before that: cutting would put zeros there.
func (s *spool) mend(seg *spoolSegment) error {
	if err := s.reach(seg); err != nil || !seg.torn {
		return err
	}
	if seg.bare {
		if err := s.note(seg); err != nil {
			return err
		}
	}
	if err := seg.f.Truncate(seg.size); err != nil {
		return err
	}
	seg.torn = false
	return nil
}

// shut closes the file of a segment; reach opens it again.
func (seg *spoolSegment) shut() {
	if seg.f != nil {
		seg.f.Close()
		seg.f = nil
	}
}

// pass moves a cursor from the end of a segment to the beginning of the next one.
func (s *spool) pass(cur *spoolCursor) {
	for cur.segment < len(s.segments)-1 && cur.at >= s.segments[cur.segment].size {
		s.segments[cur.segment].shut()
		*cur = spoolCursor{segment: cur.segment + 1, at: spoolHeaderSize}
	}
}

// chunk reads whole lines from a cursor on: as many as go into want bytes, but at least one; none at the end of all. At
// the end of a segment it moves the cursor to the next one. Where the disk does not give the rest of a segment it moves
// the cursor over that. It uses buf when that is long enough.
func (s *spool) chunk(cur *spoolCursor, want int, buf []byte) ([]byte, error) {
	for s.pass(cur); cur.segment < len(s.segments); s.pass(cur) {
		seg := s.segments[cur.segment]
		if cur.at >= seg.size {
			break
		}
		text, err := s.lines(seg, cur.at, want, buf)
		if spoolGone(err) {
			s.spoiled(seg, cur.at, err)
			cur.at = seg.size
			if cur == &s.ackAt {
				seg.left = 0
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read spool: %w", err)
		}
		return text, nil
	}
	return nil, nil
}

// spoolGone says whether the rest of a segment cannot be read now or later.
func spoolGone(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, os.ErrNotExist)
}

// lines reads whole lines of a segment: as many as go into want bytes, but at least one.
func (s *spool) lines(seg *spoolSegment, at int64, want int, buf []byte) ([]byte, error) {
	if err := s.reach(seg); err != nil {
		return nil, err
	}
	for left := seg.size - at; ; want *= 4 {
		n := int(min(int64(want), left))
		if len(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := seg.f.ReadAt(buf[:n], at); err != nil {
			return nil, err
		}
		if end := bytes.LastIndexByte(buf[:n], '\n'); end >= 0 {
			return buf[:end+1], nil
		}
		if int64(n) == left {
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// spoolEncode appends a message's line.
func spoolEncode(b []byte, n uint64, of int, msg []byte) []byte {
	b = append(spoolFront(b, n, of, msg), msg...)
	return append(b, '}', '\n')
}

// spoolFront appends what stands before the message in its line. The checksum is over the digits of the number, over
// "of" and its digits where they are there, and over the message.
func spoolFront(b []byte, n uint64, of int, msg []byte) []byte {
	b = append(b, `{"n":`...)
	from := len(b)
	b = strconv.AppendUint(b, n, 10)
	if of != 1 {
		b = strconv.AppendInt(append(b, `,"of":`...), int64(of), 10)
	}
	sum := crc32.Update(crc32.Checksum(b[from:], spoolCastagnoli()), spoolCastagnoli(), msg)
	b = append(b, `,"crc":"`...)
	b = hex.AppendEncode(b, []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return append(b, `","m":`...)
}

// spoolDecode reads a message's line with its newline. The message that it gives is a part of the line.
func spoolDecode(line []byte) (m spoolMessage, err error) {
	const front, crc, back = len(`{"n":`), len(`,"crc":"01234567","m":`), len("}\n")
	const digits = len("18446744073709551615")
	numbers := bytes.Index(line[:min(len(line), front+digits+len(`,"of":`)+digits+len(`,"crc`))], []byte(`,"crc`))
	if numbers < front || len(line) < numbers+crc+back || !bytes.HasSuffix(line, []byte("}\n")) {
		return m, errors.New("not a message")
	}
	first, of, several := strings.Cut(string(line[front:numbers]), `,"of":`)
	m.n, err = strconv.ParseUint(first, 10, 64)
	m.of = 1
	if err == nil && several {
		m.of, err = strconv.Atoi(of)
	}
	numbered := m.n > 0 && m.of > 0 && m.last() >= m.n
	if err != nil || !numbered {
		return m, errors.New("not a message")
	}
	from, to := numbers+crc, len(line)-back
	var want [128]byte
	m.msg = line[from:to:to]
	if !bytes.HasPrefix(line, spoolFront(want[:0], m.n, m.of, m.msg)) {
		return m, errors.New("wrong checksum")
	}
	return m, nil
}

// spoolHeader appends the first line of a segment.
func spoolHeader(b []byte, acked uint64) []byte {
	digits := fmt.Sprintf("%016x", acked)
	return fmt.Appendf(b, spoolHeaderForm, acked, crc32.Checksum([]byte(digits), spoolCastagnoli()))
}

// spoolAcked reads the first line of a segment.
func spoolAcked(text []byte) (acked uint64, ok bool) {
	if int64(len(text)) < spoolHeaderSize {
		return 0, false
	}
	at := len(`{"acked":"`)
	acked, err := strconv.ParseUint(string(text[at:at+16]), 16, 64)
	return acked, err == nil && bytes.Equal(spoolHeader(nil, acked), text[:spoolHeaderSize])
}
