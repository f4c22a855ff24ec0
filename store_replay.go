// store_replay.go: the way back: a start folds the snapshot, and the journal behind it, into a State. It finds what a
// crash or a failing disk left damaged, mends what a torn write explains, and refuses the rest.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
)

const storeKeepBroken = 8 // damaged ends of journals that are kept, for whoever looks into them

// storeReplay folds snapshot and journal into a State.
type storeReplay struct {
	files  *storeFiles
	dir    string // only for messages
	now    Stamp
	marked uint64 // up to this event the journal was on the disk
	next   uint64 // the number that the next event must have

	// What it finds.
	state    *State
	saved    bool         // there is a snapshot
	indexed  bool         // who saved it keeps the index of the history
	last     storeSegment // where the journal goes on; no name: in a new segment
	size     int64        // of last
	events   int          // folded
	misfits  int          // reports of agents that did not fit when they came, and do not now
	finished []*Run       // each as it was when it finished: the history may not have them yet
	notes    []string
}

// journal folds every event that the snapshot does not hold. It does not read segments that the snapshot covers. It
// cuts off a torn end of the last segment: a power cut leaves such. A power cut leaves no damage elsewhere, so that is
// an error. So is a journal that ends before what is known to have been on the disk.
func (p *storeReplay) journal() error {
	covered := p.state.Seq
	p.next = covered + 1
	segments, err := p.files.segments()
	if err != nil {
		return err
	}
	if len(segments) == 0 && covered > 0 {
		p.notes = append(p.notes, fmt.Sprintf("the journal is empty: everything after event %d, where the snapshot "+
			"ends, is gone", covered))
	}
	begin := sort.Search(len(segments), func(i int) bool { return segments[i].first > p.next }) - 1
	if begin < 0 && len(segments) > 0 {
		return fmt.Errorf("read journal: %s begins at event %d, and no snapshot holds what was before (events %d to "+
			"%d): put the missing files back from a backup, or run cdktr check --repair",
			p.path(segments[0].name), segments[0].first, p.next, segments[0].first-1)
	}
	for i := max(begin, 0); i < len(segments); i++ {
		if i == begin {
			p.next = segments[i].first
		}
		if segments[i].first != p.next {
			return fmt.Errorf("read journal: %s ends at event %d, but the next segment %s begins at event %d: put "+
				"the missing lines back from a backup, or run cdktr check --repair",
				p.path(segments[i-1].name), p.next-1, path.Base(segments[i].name), segments[i].first)
		}
		p.last = segments[i]
		if err := p.segment(segments[i], i == len(segments)-1, covered); err != nil {
			return err
		}
	}
	if p.next <= covered { // the snapshot has the end that was lost: the journal goes on after it, in a new segment
		p.next, p.last, p.size = covered+1, storeSegment{}, 0
	}
	if p.next <= p.marked {
		return fmt.Errorf("read journal: it ends at event %d, but up to event %d it was on the disk (%s says so): "+
			"the end of %s, or a segment behind it, is gone: put it back from a backup, or run cdktr check --repair",
			p.next-1, p.marked, p.path(storeMark), orDefault(p.last.name, storeJournal))
	}
	p.state.Seq = p.next - 1
	return nil
}

// path gives the name by which the user finds a file.
func (p *storeReplay) path(name string) string { return path.Join(p.dir, name) }

// segment folds one segment.
func (p *storeReplay) segment(seg storeSegment, last bool, covered uint64) error {
	f, err := p.files.open(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	lines := storeReaderOf(f, 0)
	line, fault, err := p.scan(lines, covered)
	switch {
	case err != nil:
		return fmt.Errorf("read journal: %s:%d: %w", p.path(seg.name), lines.n, err)
	case fault == "":
		p.size = lines.next
		return nil
	case !last:
		return fmt.Errorf("read journal: %s:%d: %s, and later events depend on it: put the file back from a backup, "+
			"or run cdktr check --repair",
			p.path(seg.name), lines.n, fault)
	}
	return p.cut(seg, lines, line, fault)
}

// scan folds lines up to the end, or up to the first that is damaged. It gives that line and says what is wrong with
// it.
func (p *storeReplay) scan(lines *storeReader, covered uint64) (line []byte, fault string, err error) {
	for {
		line, err := lines.line()
		if err == io.EOF {
			return nil, "", nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return nil, "", err
		}
		if fault := p.fault(line, err != nil); fault != "" {
			return line, fault, nil
		}
		events, err := storeLineEvents(line)
		if err != nil {
			return nil, "", storeUnread(err)
		}
		for _, e := range events {
			if e.Seq > covered {
				if err := p.fold(e); err != nil {
					return nil, "", err
				}
			}
			p.next++
		}
	}
}

// fault says what is wrong with a line, "" when nothing is.
func (p *storeReplay) fault(line []byte, torn bool) string {
	switch {
	case torn:
		return "the line was not written to its end"
	case !storeSound(line):
		return "the line is damaged (its checksum does not match)"
	case storeLineSeq(line) != p.next:
		return fmt.Sprintf("event %d stands where event %d should", storeLineSeq(line), p.next)
	}
	return ""
}

// storeUnread is the error of a line that is sound but that this program cannot read. To go on without it would give
// another state than there was.
func storeUnread(err error) error {
	return fmt.Errorf("the line is whole but cannot be read; perhaps a newer version of cdktr wrote it: %w", err)
}

// fold applies an event. An event of the principal that does not fit is an error, as in storeUnread. A report of an
// agent may not fit, if it came after its run was given to another agent. It did not fit when it came either: apply
// depends on nothing but the events. It is counted, and the state stays as it was.
func (p *storeReplay) fold(e *Event) error {
	if err := p.state.apply(e); err != nil {
		if e.N == 0 {
			return fmt.Errorf("event %d: %w; perhaps a newer version of cdktr wrote it", e.Seq, err)
		}
		p.misfits++
	} else if r := p.state.Runs[e.Run]; r != nil && e.ends(r) {
		p.finished = append(p.finished, r.clone())
	}
	p.events++
	return nil
}

// cut drops the end of the last segment, from the line that lines read last. It keeps the end in a file of its own, if
// the disk has room for it, and then makes the segment shorter. It does so only for the end of a torn write: that was
// not synced, and no sound line stands behind the damage. Else what was safe is damaged, and that is an error.
func (p *storeReplay) cut(seg storeSegment, lines *storeReader, line []byte, fault string) error {
	at, first := lines.at, lines.n
	tail, sound := append(bytes.Clone(line), '\n'), 0
	if lines.next-at > int64(len(line)) && storeSound(line) { // it is whole: what is missing is a line before it
		sound = 1
	}
	for {
		line, err := lines.line()
		if err == io.EOF {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("read journal: %s:%d: %w", p.path(seg.name), lines.n, err)
		}
		tail = append(append(tail, line...), '\n')
		if err == nil && storeSound(line) {
			sound++
		}
	}
	if why := p.safe(sound); why != "" {
		return fmt.Errorf("read journal: %s:%d: %s, and %s: put the file back from a backup, or run cdktr check "+
			"--repair", p.path(seg.name), first, fault, why)
	}
	dropped := lines.n - first + 1
	tail = tail[:lines.next-at] // a last line without a newline got one above
	keep := fmt.Sprintf("%s.damaged-%s", strings.TrimSuffix(seg.name, ".jsonl"), p.now.Format("20060102T150405.000"))
	where := "kept as " + p.path(keep)
	if err := p.files.put(keep, tail); err != nil {
		where = "not kept: " + err.Error()
	}
	f, err := p.files.open(seg.name, os.O_RDWR)
	if err == nil {
		err = errors.Join(p.files.truncate(f, at), f.Close())
	}
	if err != nil {
		return fmt.Errorf("read journal: %s:%d: %s; cut it off: %w", p.path(seg.name), first, fault, err)
	}
	p.size = at
	p.notes = append(p.notes, fmt.Sprintf("%s:%d: %s: dropped the end of the journal from there, %d line(s) in %d "+
		"bytes (%s)",
		p.path(seg.name), first, fault, dropped, len(tail), where))
	return nil
}

// safe says why damage at event p.next, with so many sound lines from there on, cannot be the end of a torn write; ""
// if it may be.
func (p *storeReplay) safe(sound int) string {
	switch {
	case sound > 0:
		return fmt.Sprintf("%d sound line(s) from there on show that this is no torn write", sound)
	case p.next <= p.marked:
		return fmt.Sprintf("up to event %d the journal was on the disk (%s says so)", p.marked, p.path(storeMark))
	}
	return ""
}

// trimDamaged removes the oldest damaged tails beyond storeKeepBroken.
func (l *storeFiles) trimDamaged() {
	entries, _ := l.list(storeJournal)
	var broken []string
	for _, entry := range entries {
		if _, stamp, ok := strings.Cut(entry.Name(), ".damaged-"); ok {
			broken = append(broken, stamp+" "+entry.Name())
		}
	}
	sort.Strings(broken)
	for _, name := range broken[:max(0, len(broken)-storeKeepBroken)] {
		_, name, _ = strings.Cut(name, " ")
		l.remove(path.Join(storeJournal, name))
	}
}
