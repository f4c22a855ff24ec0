// store_journal.go: the journal. It is a folder of segments, journal/0000000000001.jsonl, each named by the number of
// its first event. A segment is lines (store_line.go); a line is one event, or several (store_journal_line.go). The
// writer appends to the newest segment and syncs it here; readEvents reads while it does. How a start folds the journal
// into a State is in store_replay.go.

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
	storeJournal     = "journal"            // the folder
	storeSyncDelay   = 10 * time.Second     // how much a power cut may take back of events that nobody waits for
	storeSoonDelay   = 2 * time.Millisecond // how long events that are to be safe soon wait to share an fsync
	storeUnsyncedMax = 1 << 20              // bytes written but not synced; more are synced though nobody waits
	storeChunk       = 1 << 20              // bytes of one write
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

// flush writes the lines that wait, and syncs the journal when that is due or when now says so. It is due when somebody
// waits, storeSyncDelay after the first line that nobody waits for, storeSoonDelay after the first that is to be on the
// disk soon, and after a failure.
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
	wanted := now || w.wait == storeNow || w.journalFault.err != nil
	late := w.unsynced > storeUnsyncedMax || !time.Now().Before(w.syncBy)
	due := wanted || late
	if err == nil && due {
		err = w.syncJournal()
	}
	if err != nil {
		w.close()
		w.journalFault.set(fmt.Errorf("write journal: %w", err), time.Now())
	} else if due {
		w.journalFault.set(nil, time.Now())
	}
	return w.journalFault.err
}

// write appends the lines that are not written yet to the segment, and begins a new segment when it is full.
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
		chunk, n := w.chunk()
		if len(chunk) > 0 {
			if _, err := w.files.write(w.file, chunk); err != nil {
				return err // ready cuts off what of it was written
			}
			w.s.did.journal.Add(int64(len(chunk)))
		}
		w.size += int64(len(chunk))
		w.placed += n
		w.s.written.Store(w.lines[w.placed-1].last)
		if w.s.opt.onWritten != nil {
			w.s.opt.onWritten()
		}
	}
}

// chunk gives what one write appends, and how many of the lines that is.
func (w *storeWriter) chunk() (data []byte, n int) {
	data, n = w.lines[w.placed].data, 1
	if w.placed+1 < len(w.lines) {
		data = slices.Clone(data)
	}
	for w.placed+n < len(w.lines) && len(data) < storeChunk {
		data = append(data, w.lines[w.placed+n].data...)
		n++
	}
	return data, n
}

// syncJournal makes the segment durable: it is the journal's fsync. Then it tells those who wait for its lines.
func (w *storeWriter) syncJournal() error {
	if w.size > w.synced { // else all of it is on the disk already
		began := time.Now()
		if err := w.files.sync(w.file); err != nil {
			w.syncLost = true
			return fmt.Errorf("sync %s: %w", w.name, err)
		}
		w.s.did.syncs.add(time.Since(began))
	}
	w.synced = w.size
	done := w.lines[:w.placed]
	if len(done) > 0 {
		w.markLater(done[len(done)-1].last)
	}
	w.lines = slices.Clone(w.lines[w.placed:]) // those that the segment does not have yet
	w.placed, w.unsynced, w.wait, w.syncBy = 0, 0, storeLate, time.Time{}
	for _, op := range w.lines {
		w.noteWait(op)
	}
	for _, op := range done {
		w.s.backlog.Add(-int64(len(op.data)))
		if op.done != nil {
			op.done()
		}
	}
	if w.s.opt.onSynced != nil {
		w.s.opt.onSynced()
	}
	return nil
}

// ready opens the segment. After a write that failed it first cuts the segment back to what was there before. After an
// fsync that failed it goes on in a new segment, with all lines that were not synced: the kernel may have dropped pages
// that still read well and that no later fsync writes (https://wiki.postgresql.org/wiki/Fsync_Errors).
func (w *storeWriter) ready() error {
	if w.file != nil {
		return nil
	}
	if w.syncLost {
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

// abandon gives up a segment whose sync failed: it cuts it, durably, to what is known to be on the disk.
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
	w.name, w.placed, w.syncLost = "", 0, false
	return nil
}

// roll ends the segment and begins the next. The old one is on the disk then: only the newest can ever be torn.
func (w *storeWriter) roll() error {
	if w.size == 0 {
		return w.ready()
	}
	if err := w.ready(); err != nil {
		return err
	}
	if err := w.syncJournal(); err != nil {
		return err
	}
	w.close()
	w.name = ""
	return w.ready()
}

// close closes the segment's file; ready opens it again.
func (w *storeWriter) close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// readEvents hands the events that the journal still has to fn, oldest first, until fn says false. It begins with
// number from (or the oldest that is there) and gives at most limit of them (0: all). next is where to go on. Any
// goroutine may call it. It sees an event as soon as it is written, which may be before it is on the disk.
func (s *store) readEvents(from uint64, limit int, fn func(*Event) bool) (next uint64, err error) {
	segments, err := s.files.segments()
	if err != nil {
		return from, err
	}
	r := storeEvents{s: s, next: max(from, 1), left: limit, fn: fn}
	behind := sort.Search(len(segments), func(i int) bool { return segments[i].first > r.next })
	for _, seg := range segments[max(0, behind-1):] {
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
		case err == io.EOF || r.next > r.s.written.Load(): // the lines behind that are being written
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
			if r.next > r.s.written.Load() { // the disk failed meanwhile, and the writer took the line back
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

// storeSeek finds, by halving, a place in a segment where a line begins that is not after event seq, but close to it.
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
