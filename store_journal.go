// store_journal.go: the journal. It is a folder of segments, journal/0000000000001.jsonl, each named by the number of its
// first event. A segment is lines (store_line.go); a line is one event, or several (store_journal_line.go). The writer
// appends to the newest segment and syncs it here; readEvents reads while it does. How a start folds the journal into a
// State is in store_replay.go.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	storeJournal     = "journal"        // the folder
	storeSyncDelay   = 10 * time.Second // what a power cut may take back of what nobody waits for
	storeUnsyncedMax = 1 << 20          // bytes written but not synced, before that is done without being asked
	storeChunk       = 1 << 20          // bytes of one write
)

// storeSegment is one file of the journal.
type storeSegment struct {
	name  string
	first uint64 // number of its first event
}

// storeSegmentName gives the file whose first event is first.
func storeSegmentName(first uint64) string {
	return fmt.Sprintf("%s/%013d.jsonl", storeJournal, first)
}

// segments lists the journal, oldest first. Files of other names are not looked at.
func (l *storeFiles) segments() ([]storeSegment, error) {
	entries, err := l.list(storeJournal)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var found []storeSegment
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		first, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && storeSegmentName(first) == path.Join(storeJournal, entry.Name()) {
			found = append(found, storeSegment{name: storeSegmentName(first), first: first})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].first < found[j].first })
	return found, nil
}

// flush writes what waits, and syncs it when that is due or when now says so.
func (w *storeWriter) flush(now bool) error {
	if len(w.lines) == 0 && w.journalFault.err == nil {
		return nil
	}
	if !now && w.journalFault.rests(time.Now()) {
		return w.journalFault.err
	}
	err := w.write()
	if w.spendReserve(err) {
		w.close()
		err = w.write()
	}
	if w.syncBy.IsZero() {
		w.syncBy = time.Now().Add(storeSyncDelay)
	}
	due := now || w.waited || w.journalFault.err != nil || w.unsynced > storeUnsyncedMax || !time.Now().Before(w.syncBy)
	if err == nil && due {
		err = w.sync()
	}
	if err != nil {
		w.close()
		w.journalFault.set(fmt.Errorf("write journal: %w", err), time.Now())
	} else if due {
		w.journalFault.set(nil, time.Now())
	}
	return w.journalFault.err
}

// write puts the lines that are not there yet at the end of the segment, and begins a new one when it is full.
func (w *storeWriter) write() error {
	for {
		if err := w.ready(); err != nil {
			return err
		}
		if w.placed == len(w.lines) {
			return nil
		}
		if w.size >= w.s.opt.SegmentBytes {
			if err := w.roll(); err != nil {
				return err
			}
			continue // roll may have taken lines off
		}
		chunk, n := w.lines[w.placed].data, 1
		if w.placed+1 < len(w.lines) {
			chunk = slices.Clone(chunk)
			for w.placed+n < len(w.lines) && len(chunk) < storeChunk {
				chunk = append(chunk, w.lines[w.placed+n].data...)
				n++
			}
		}
		if len(chunk) > 0 {
			if _, err := w.files.write(w.file, chunk); err != nil {
				return err // what of it is there, ready cuts off again
			}
		}
		w.size += int64(len(chunk))
		w.placed += n
		w.s.written.Store(w.lines[w.placed-1].last)
		if w.s.opt.onWritten != nil {
			w.s.opt.onWritten()
		}
	}
}

// sync makes the segment durable and tells whoever waits for its lines.
func (w *storeWriter) sync() error {
	if w.size > w.synced { // else somebody waits for what is there already
		if err := w.files.sync(w.file); err != nil {
			w.lost = true
			return fmt.Errorf("sync %s: %w", w.name, err)
		}
	}
	w.synced = w.size
	done := w.lines[:w.placed]
	if len(done) > 0 {
		w.markLater(done[len(done)-1].last)
	}
	w.lines = slices.Clone(w.lines[w.placed:])
	w.placed, w.unsynced, w.waited, w.syncBy = 0, 0, false, time.Time{}
	for _, op := range w.lines {
		w.unsynced += int64(len(op.data))
		w.waited = w.waited || op.sync
	}
	for _, op := range done {
		w.s.backlog.Add(-int64(len(op.data)))
		if op.done != nil {
			op.done()
		}
	}
	return nil
}

// ready opens the segment, after a failure as it was before it. A failed fsync may have dropped pages that still read
// well and that no later fsync writes (https://wiki.postgresql.org/wiki/Fsync_Errors), so all that was not synced goes
// to a new file; the old one is first cut, durably, to what is known to be on the disk.
func (w *storeWriter) ready() error {
	if w.file != nil {
		return nil
	}
	if w.lost {
		if err := w.abandon(); err != nil {
			return err
		}
	}
	if w.name == "" {
		w.name, w.size, w.synced = storeSegmentName(w.s.written.Load()+1), 0, 0
	}
	f, err := w.files.open(w.name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.Size() < w.size:
		err = fmt.Errorf("%s has %d bytes and should have %d: somebody else changed it", w.name, info.Size(), w.size)
	case err == nil && info.Size() > w.size:
		err = w.files.truncate(f, w.size)
	}
	if err == nil && w.size == 0 {
		err = w.files.syncFolder(storeJournal)
	}
	if err != nil {
		f.Close()
		return err
	}
	w.file = f
	return nil
}

// abandon gives up a segment whose sync failed.
func (w *storeWriter) abandon() error {
	if w.synced == 0 {
		if err := w.files.remove(w.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	} else {
		f, err := w.files.open(w.name, os.O_RDWR)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := w.files.truncate(f, w.synced); err != nil {
			return err
		}
		if err := w.files.sync(f); err != nil {
			return fmt.Errorf("sync %s: %w", w.name, err)
		}
	}
	if len(w.lines) > 0 {
		w.s.written.Store(w.lines[0].first - 1)
	}
	w.name, w.placed, w.lost = "", 0, false
	return nil
}

// roll ends the segment, durably, so that only the last one can ever be torn, and begins the next.
func (w *storeWriter) roll() error {
	if w.size == 0 {
		return w.ready()
	}
	if err := w.ready(); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.close()
	w.name = ""
	return w.ready()
}

func (w *storeWriter) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// readEvents hands the events that are still in the journal files to fn, oldest first, beginning with number from
// (or the oldest that is there), at most limit of them (0: all), until fn says false. next is where to go on. Any
// goroutine may call it; an event is seen as soon as it is written, which may be before it is durable.
func (s *store) readEvents(from uint64, limit int, fn func(*Event) bool) (next uint64, err error) {
	segments, err := s.files.segments()
	if err != nil {
		return from, err
	}
	r := storeEvents{s: s, next: max(from, 1), left: limit, fn: fn}
	begin := max(0, sort.Search(len(segments), func(i int) bool { return segments[i].first > r.next })-1)
	for _, seg := range segments[min(begin, len(segments)):] {
		r.next = max(r.next, seg.first)
		err := r.segment(seg)
		if errors.Is(err, fs.ErrNotExist) { // removed since it was listed
			continue
		}
		if err != nil || r.stop {
			return r.next, err
		}
	}
	return r.next, nil
}

// storeEvents is one readEvents on its way.
type storeEvents struct {
	s    *store
	next uint64
	left int // 0: no limit
	fn   func(*Event) bool
	stop bool
}

// segment hands out what one segment holds from r.next on.
func (r *storeEvents) segment(seg storeSegment) error {
	f, err := r.s.files.open(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	at, err := storeSeek(f, r.next)
	if err != nil {
		return fmt.Errorf("read journal: %s: %w", seg.name, err)
	}
	lines := storeReaderOf(io.NewSectionReader(f, at, 1<<62), at)
	for {
		line, err := lines.line()
		switch {
		case err == io.EOF || r.next > r.s.written.Load(): // what comes after that is being written
			return nil
		case err != nil && err != io.ErrUnexpectedEOF:
			return fmt.Errorf("read journal: %s: %w", seg.name, err)
		case storeLineSeq(line) < r.next && storeLineSeq(line) > 0 && !bytes.Contains(line, []byte(storeThen)):
			continue
		}
		var events []*Event
		if err == nil && storeSound(line) {
			events, _ = storeLineEvents(line)
		}
		if events == nil {
			if r.next > r.s.written.Load() { // taken back meanwhile, because the disk failed
				return nil
			}
			return fmt.Errorf("read journal: %s: the line at byte %d is damaged", seg.name, lines.at)
		}
		for _, e := range events {
			if e.Seq < r.next {
				continue
			}
			r.next = e.Seq + 1
			r.left--
			if !r.fn(e) || r.left == 0 {
				r.stop = true
				return nil
			}
		}
	}
}

// storeSeek finds by halving where, in a segment, a line begins that is not after event seq, and near it.
func storeSeek(f *os.File, seq uint64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	low, high := int64(0), info.Size() // a line that begins at low is not after seq
	block := make([]byte, 64<<10)
	for high-low > int64(len(block)) {
		mid := low + (high-low)/2
		n, err := f.ReadAt(block, mid)
		if err != nil && err != io.EOF {
			return 0, err
		}
		cut := bytes.IndexByte(block[:n], '\n') + 1
		found := storeLineSeq(block[cut:n])
		if cut == 0 || found == 0 || found > seq { // a very long line is gone around
			high = mid
		} else {
			low = mid + int64(cut)
		}
	}
	return low, nil
}
