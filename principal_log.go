// principal_log.go: what the principal says of its runs to those who look after the service: how each ended, in the
// log, and how many there are. All of it runs on the loop.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// principalLevelRuns is the level of a line for each run that ended as it should: below that of what the daemon says of
// itself, for there may be thousands in an hour.
const principalLevelRuns = slog.LevelInfo - 2

// principalMaxWhy is how many bytes of a run's reason go into the log; what is more is in `cdktr show`.
const principalMaxWhy = 200

// logEnd says that a run has ended, once it has for good: a warning where somebody may have to look after it.
func (p *principal) logEnd(c change) {
	r := c.run
	over := c.event.Kind == evRunFinished || c.event.Kind == evRunEnded
	if !over || r == nil || runActive(r.State) {
		return
	}
	attrs := []any{"workflow", r.Workflow, "run", r.ID}
	if r.Reason != "" {
		attrs = append(attrs, "cause", textHead(r.Reason, principalMaxWhy))
	}
	if r.Agent != "" {
		attrs = append(attrs, "agent", r.Agent)
	}
	level := slog.LevelWarn
	if r.State == runSucceeded || r.State == runCancelled {
		level = principalLevelRuns
	}
	p.cfg.Log.Log(context.Background(), level, "run "+r.State, attrs...)
}

// tellCount says how many runs there are, when that has changed.
func (p *principal) tellCount() {
	if p.cfg.tell == nil || p.queue.counted {
		return
	}
	p.queue.counted = true
	running := 0
	for _, n := range p.fleet.running {
		running += n
	}
	p.cfg.tell(running, len(p.queue.runs))
}

// The log lines that a peer can make. All of them go through here: of each kind a party (wireParty)
// has one line a minute, and one more with the count of what was like it; of a kind so many parties have lines of their
// own, and the rest share one; and what a peer has said is cut. So nobody fills the disk of a principal by being
// refused.

const (
	notesPeriod  = time.Minute // one line of a kind and a party in each; the count of the rest follows at its end
	notesParties = 10          // with lines of their own, of each kind and period; all others are counted together
	notesValue   = 100         // bytes of what a peer has said; more are cut
	notesCause   = 200         // bytes of a sentence of ours around that
)

// peerNotes logs what peers do that is of note. Any goroutine may call note.
type peerNotes struct {
	log *slog.Logger

	mu    sync.Mutex // never held while a line is written
	kinds map[string]*notesKind
	over  bool // nothing is counted any more
}

// notesKind is one period of one kind of line.
type notesKind struct {
	again  map[string]int // of each party that was logged, how often it did it once more
	others int            // how often those did it who are beyond notesParties
	timer  *time.Timer    // ends the period
}

// peerNotesNew notes into a log.
func peerNotesNew(log *slog.Logger) *peerNotes {
	return &peerNotes{log: log, kinds: map[string]*notesKind{}}
}

// note logs that a party did something, or counts it. kind is one of our own sentences, always the same; attrs are
// names and values, as slog has them.
func (n *peerNotes) note(kind, party string, attrs ...any) {
	if !n.first(kind, party) {
		return
	}
	line := make([]any, 0, len(attrs)+2)
	if party != "" {
		line = append(line, "peer", noteCut(party, notesValue))
	}
	for i, v := range attrs {
		if i%2 == 1 {
			most := notesValue
			if attrs[i-1] == "cause" {
				most = notesCause
			}
			v = noteCut(v, most)
		}
		line = append(line, v)
	}
	n.log.Warn(kind, line...)
}

// first says whether this is to be logged; else it was counted.
func (n *peerNotes) first(kind, party string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.kinds[kind]
	if k == nil {
		if n.over {
			return true
		}
		k = &notesKind{again: map[string]int{}}
		k.timer = time.AfterFunc(notesPeriod, func() { n.tell(kind) })
		n.kinds[kind] = k
	}
	_, known := k.again[party]
	switch {
	case known:
		k.again[party]++
	case len(k.again) < notesParties:
		k.again[party] = 0
		return true
	default:
		k.others++
	}
	return false
}

// tell ends a period of a kind: what was only counted in it is logged.
func (n *peerNotes) tell(kind string) {
	n.mu.Lock()
	k := n.kinds[kind]
	delete(n.kinds, kind)
	n.mu.Unlock()
	if k == nil {
		return
	}
	k.timer.Stop()
	for _, party := range sortedKeys(k.again) {
		if again := k.again[party]; again > 0 {
			n.log.Warn(kind, "peer", noteCut(party, notesValue), "times_more", again)
		}
	}
	if k.others > 0 {
		n.log.Warn(kind, "peer", "others", "times_more", k.others)
	}
}

// end tells of everything that was only counted.
func (n *peerNotes) end() {
	n.mu.Lock()
	n.over = true
	kinds := sortedKeys(n.kinds)
	n.mu.Unlock()
	for _, kind := range kinds {
		n.tell(kind)
	}
}

// noteCut bounds a value for the log. What has been cut says so.
func noteCut(v any, most int) any {
	text := ""
	switch v := v.(type) {
	case string:
		text = v
	case error:
		text = v.Error()
	case fmt.Stringer:
		text = v.String()
	default:
		return v
	}
	return textHead(text, most)
}

// noteWire is what a listener has to tell (wireOptions.Note).
func (n *peerNotes) noteWire(err error) {
	var note *wireNote
	if !errors.As(err, &note) {
		n.note("listener", "", "cause", err)
		return
	}
	if note.Addr == "" {
		n.note(note.Kind, note.Party, "cause", note.Err)
		return
	}
	n.note(note.Kind, note.Party, "from", note.Addr, "cause", note.Err)
}

// note is peerNotes.note about who is at the other end of a connection. Any goroutine.
func (l *principalLoop) note(kind string, peer wirePeer, attrs ...any) {
	l.notes.note(kind, peer.Party, append(attrs, "from", peer)...)
}
