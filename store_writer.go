// store_writer.go: the writer, the goroutine that does all of the store's writing in the order of the calls. What it
// does to the journal is in store_journal.go, to the history in store_history.go and store_history_trim.go, to the
// snapshot in store_snapshot.go, to the mark in store_journal_mark.go.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	storeRetryFirst   = time.Second      // after a write that failed; doubled each time
	storeRetryMax     = 10 * time.Second // longest wait between two tries to write
	storeSaveRetry    = time.Minute      // between snapshots that fail
	storeReserve      = 1 << 20          // bytes, in the file of that name
	storeReserveAgain = time.Minute      // between tries to set them aside again
)

// storeWriter is what the writer's goroutine owns.
type storeWriter struct {
	s     *store
	files *storeFiles
	timer *time.Timer // for the next thing due: a sync, or another try

	// The newest segment of the journal. Up to synced it is on the disk; between synced and size are lines[:placed].
	file     *os.File // nil: to be opened
	name     string   // "": there is none yet
	size     int64
	synced   int64
	syncLost bool // a sync failed: what is after synced may be gone, though it still reads well

	// The lines of the journal that are not yet on the disk.
	lines    []storeOp // in order
	placed   int       // how many of them are written to the segment
	unsynced int64     // bytes of lines
	wait     storeWait // the most urgent that one of them says
	syncBy   time.Time // when a sync is due though nobody waits; zero: there is nothing to sync

	// The mark.
	durable   uint64        // the newest event known to be on the disk
	markBy    time.Time     // when the mark must say so; zero: it does
	markDelay time.Duration // from an fsync to the mark: 0 after the first one

	// The history.
	runs            []storeOp       // lines not yet written, in order
	month           historyMonth    // where the last ones were written
	unsyncedHistory map[string]bool // files and folders to be synced before the next snapshot
	lostHistory     map[string]bool // files whose last sync failed
	syncedNames     map[string]bool // folders that this process has synced: in others an older name may come back

	saved        uint64    // the newest event in snapshot.json
	reserveAt    time.Time // when the reserve is to be set aside again; zero: it is there
	journalFault storeFault
	historyFault storeFault
}

// storeFault is a kind of writing that fails, and when it is tried again. The zero value: it does not fail.
type storeFault struct {
	err   error
	delay time.Duration
	retry time.Time
}

// rests says that it is too early for another try.
func (f *storeFault) rests(now time.Time) bool { return f.err != nil && now.Before(f.retry) }

// set notes how a try went.
func (f *storeFault) set(err error, now time.Time) {
	if err == nil {
		*f = storeFault{}
		return
	}
	f.err, f.delay = err, min(max(2*f.delay, storeRetryFirst), storeRetryMax)
	f.retry = now.Add(f.delay)
}

// run is the writer. It wakes when the owner queues something, when a sync is due that nobody waits for, when the mark
// is to follow a sync, and when it is time to try again after a failure. It ends after close, with one more try.
func (w *storeWriter) run() {
	defer close(w.s.ended)
	w.reserve()
	for {
		select {
		case <-w.s.wake:
		case <-w.timer.C:
		}
		w.s.mu.Lock()
		ops, closing := w.s.queue, w.s.closing
		w.s.queue = nil
		w.s.mu.Unlock()
		for _, op := range ops {
			w.accept(op)
		}
		w.flush(closing)
		w.flushHistory(closing)
		w.mark(closing)
		if closing {
			w.s.endErr = w.end()
			return
		}
		w.health()
		if !w.reserveAt.IsZero() && !time.Now().Before(w.reserveAt) {
			w.reserve()
		}
		w.arm()
	}
}

// accept takes one request in: a snapshot and a cut of the history are done at once, lines wait for the flush.
func (w *storeWriter) accept(op storeOp) {
	switch {
	case op.save:
		w.acceptSave(op)
	case op.trim != "":
		if w.saved >= op.last {
			w.trim(op.trim, op.keep) // nothing rests on it: when it fails, the history is longer for a while
		}
	case op.run != nil:
		w.runs = append(w.runs, op)
	default:
		w.lines = append(w.lines, op)
		w.noteWait(op)
	}
}

// noteWait counts lines that are not on the disk, and sets when they are to be.
func (w *storeWriter) noteWait(op storeOp) {
	delay := storeSyncDelay
	if op.wait == storeSoon {
		delay = storeSoonDelay
	}
	if by := time.Now().Add(delay); w.syncBy.IsZero() || op.wait > w.wait && by.Before(w.syncBy) {
		w.syncBy = by
	}
	w.unsynced += int64(len(op.data))
	w.wait = max(w.wait, op.wait)
}

// acceptSave saves a snapshot, and says when another try is due if that fails.
func (w *storeWriter) acceptSave(op storeOp) {
	err := op.err
	if err == nil {
		err = w.save(op)
	}
	w.s.saveAt.Store(0)
	if err != nil {
		w.s.saveAt.Store(w.s.opt.now().Add(storeSaveRetry).UnixNano())
		err = fmt.Errorf("save snapshot: %w", err)
	}
	w.s.saving.Store(false)
	if op.saved != nil {
		op.saved(err)
	}
}

// reserve sets bytes aside for the journal, if none are: at the start, and once there is room again after they were
// used. It is no fault when there is no room.
func (w *storeWriter) reserve() {
	w.reserveAt = time.Time{}
	if w.s.opt.NoSync {
		return
	}
	f, err := w.files.open("reserve", os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err == nil {
		err = w.fillReserve(f)
		f.Close()
	}
	if err != nil {
		w.reserveAt = time.Now().Add(storeReserveAgain)
	}
}

// fillReserve writes the reserve's bytes to its new file. With little room left it does not: the reserve would be given
// up at once.
func (w *storeWriter) fillReserve(f *os.File) error {
	free, err := diskFree(f)
	if err == nil && free < 2*storeReserve+diskLeave {
		err = syscall.ENOSPC
	} else {
		_, err = w.files.write(f, make([]byte, storeReserve))
	}
	if err != nil {
		w.files.remove("reserve")
	}
	return err
}

// spendReserve gives the reserve up when err says that the disk is full, and tells the owner. It is true when that made
// room: then what failed may be tried once more.
func (w *storeWriter) spendReserve(err error) bool {
	if !errors.Is(err, syscall.ENOSPC) {
		return false
	}
	if w.s.opt.onFull != nil {
		w.s.opt.onFull()
	}
	if w.files.remove("reserve") != nil {
		return false
	}
	w.reserveAt = time.Now().Add(storeReserveAgain)
	return true
}

// fault gives what keeps it from writing, nil when nothing does.
func (w *storeWriter) fault() error {
	if w.journalFault.err != nil {
		return w.journalFault.err
	}
	return w.historyFault.err
}

// health tells the owner whether the disk works, if that has changed.
func (w *storeWriter) health() {
	err := w.fault()
	before := w.s.trouble.Load()
	switch {
	case err == nil && before == nil:
		return
	case err == nil:
		w.s.trouble.Store(nil)
	case before != nil && before.err.Error() == err.Error():
		return
	default:
		w.s.trouble.Store(&storeTrouble{err})
	}
	if w.s.opt.onHealth != nil {
		w.s.opt.onHealth(err)
	}
}

// arm sets the timer for the next thing due, if there is one.
func (w *storeWriter) arm() {
	var next time.Time
	for _, t := range []time.Time{w.journalFault.retry, w.historyFault.retry, w.reserveAt, w.markBy} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	toSync := w.journalFault.err == nil && len(w.lines) > 0
	if toSync && (next.IsZero() || w.syncBy.Before(next)) {
		next = w.syncBy
	}
	w.timer.Stop()
	if !next.IsZero() {
		w.timer.Reset(time.Until(next))
	}
}

// end says what could not be written.
func (w *storeWriter) end() error {
	w.timer.Stop()
	w.close()
	w.month.close()
	w.s.index.end()
	var err error
	if len(w.lostHistory) > 0 { // the next process cannot know that a sync by it would prove nothing
		err = w.syncHistory()
	}
	if len(w.lines) > 0 {
		err = errors.Join(err, fmt.Errorf("close store: events %d to %d are not on the disk: %w", w.lines[0].first,
			w.lines[len(w.lines)-1].last, w.journalFault.err))
	}
	if len(w.runs) > 0 { // those that the journal has, the next start adds
		err = errors.Join(err, fmt.Errorf("close store: %d finished runs are not in the history yet: %w", len(w.runs),
			w.fault()))
	}
	return err
}
