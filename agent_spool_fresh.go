// agent_spool_fresh.go: what a spool remembers of the messages that it wrote last, so that what is sent and
// acknowledged soon is not read back from the disk.

package main

import "sort"

const (
	// bytes of messages that are kept in memory until they are sent; later ones are read back from the disk
	spoolFreshBytes = 2 << 20
	spoolFreshCount = 1024 // messages whose places are kept in memory until they are acknowledged
)

// spoolFresh is a message on the disk, and its place there. msg is nil once it was sent, and where too much waits.
type spoolFresh struct {
	spoolMessage
	segment *spoolSegment
	at, end int64
}

// isAt says whether a place is that of a message.
func (s *spool) isAt(c spoolCursor, m *spoolFresh) bool {
	return c.segment < len(s.segments) && s.segments[c.segment] == m.segment && c.at == m.at
}

// freshNext gives the message that follows those that next gave, nil where its place is not known.
func (s *spool) freshNext() *spoolFresh {
	s.pass(&s.sendAt)
	i := sort.Search(len(s.fresh), func(i int) bool { return s.fresh[i].last() > s.sent })
	if i == len(s.fresh) || !s.isAt(s.sendAt, &s.fresh[i]) {
		return nil
	}
	return &s.fresh[i]
}

// freshKeep notes a message that was written just now behind all others in a segment.
func (s *spool) freshKeep(n uint64, of int, msg []byte, seg *spoolSegment, at int64) {
	if s.freshBytes+len(msg) > spoolFreshBytes {
		msg = nil
	}
	if len(s.fresh) == spoolFreshCount {
		s.freshForget(1)
	}
	s.freshBytes += len(msg)
	s.fresh = append(s.fresh, spoolFresh{spoolMessage{n: n, of: of, msg: msg}, seg, at, seg.size})
}

// freshForget forgets the first messages whose places are known.
func (s *spool) freshForget(count int) {
	for i := range s.fresh[:count] {
		s.freshBytes -= len(s.fresh[i].msg)
		s.fresh[i] = spoolFresh{}
	}
	s.fresh = s.fresh[count:]
	if len(s.fresh) == 0 {
		s.fresh = nil
	}
}
