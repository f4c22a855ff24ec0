// principal_log.go: what the principal's log says of runs and of peers, and the number of runs that whoever started it
// is told.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// logLevelRuns is the level of a line for each run that ended well: below that of what the daemon says of itself, for
// there may be thousands in an hour.
const logLevelRuns = slog.LevelInfo - 2

// logMaxWhy is how many bytes of a run's reason go into the log; `cdktr show` has all of it.
const logMaxWhy = 200

// logEnd logs that a run has ended: as a warning if somebody may have to look after it. Only on the loop.
func (p *principal) logEnd(c change) {
	r := c.run
	over := c.event.Kind == evRecorded || c.event.Kind == evRunFinished || c.event.Kind == evRunEnded
	if !over || r == nil || runActive(r.State) {
		return
	}
	attrs := []any{"workflow", r.Workflow, "run", r.ID}
	if r.Reason != "" {
		attrs = append(attrs, "cause", textHead(r.Reason, logMaxWhy))
	}
	if r.Agent != "" {
		attrs = append(attrs, "agent", r.Agent)
	}
	level := slog.LevelWarn
	if runWell(r.State) || r.State == runCancelled {
		level = logLevelRuns
	}
	p.cfg.Log.Log(context.Background(), level, "run "+r.State, attrs...)
}

// tellCount says how many runs there are when that has changed. Only on the loop.
func (p *principal) tellCount() {
	if p.cfg.tell == nil || p.queue.counted {
		return
	}
	p.queue.counted = true
	running, ahead := p.atAgents()
	p.cfg.tell(running-ahead, len(p.queue.runs)+ahead)
}

// atAgents gives how many runs agents have, and how many of these they were given ahead. Only on the loop.
func (p *principal) atAgents() (running, ahead int) {
	for _, n := range p.fleet.running {
		running += n
	}
	for _, n := range p.fleet.ahead {
		ahead += n
	}
	return running, ahead
}

// The log lines that peers cause. All of them go through here. Of each kind of line a party (wireParty) gets one a
// minute, and one more that counts the rest of its kind; only notesParties parties get lines of their own, and all
// others share one; and what a peer has said is shortened. So nobody can fill the principal's disk by being refused.

const (
	notesPeriod = time.Minute // in each a party gets one line of a kind; at its end the rest are counted in another
	// parties that get lines of their own, of each kind and period; others are counted together
	notesParties = 10
	notesValue   = 100 // bytes of what a peer has said that are logged
	notesCause   = 200 // bytes of our own sentence around it that are logged
)

// peerNotes logs what peers do that is worth a line. Any goroutine may call note.
type peerNotes struct {
	log *slog.Logger

	mu    sync.Mutex // never held while a line is written
	kinds map[string]*notesKind
	over  bool // nothing is counted any more

	refused atomic.Int64 // how often a listener had something to tell: a connection that it refused, for the most part
}

// notesKind is one period of one kind of line.
type notesKind struct {
	again  map[string]int // party that was logged -> how often it did the same again
	others int            // how often parties did it that got no line
	timer  *time.Timer    // ends the period
}

// peerNotesNew makes notes that go into a log.
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

// first says whether this is to be logged; if not, it was counted.
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

// tell ends a period of a kind, and logs what was only counted in it.
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

// end logs everything that was only counted.
func (n *peerNotes) end() {
	n.mu.Lock()
	n.over = true
	kinds := sortedKeys(n.kinds)
	n.mu.Unlock()
	for _, kind := range kinds {
		n.tell(kind)
	}
}

// noteCut shortens a value for the log. A value that was shortened says so.
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

// noteWire logs what a listener has to tell (wireOptions.Note).
func (n *peerNotes) noteWire(err error) {
	n.refused.Add(1)
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
