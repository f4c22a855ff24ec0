// store_writer.go: the writer, the goroutine that does all of the store's writing in the order of the calls. What it does
// to the journal is in store_journal.go, to the history in store_history.go and store_history_trim.go, to the snapshot
// in store_snapshot.go, to the mark in store_journal_mark.go.

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

	// The segment. Up to synced it is on the disk; between synced and size are lines[:placed].
	file   *os.File // nil: to be opened
	name   string   // "": there is none yet
	size   int64
	synced int64
	lost   bool // a sync failed: what is after synced may be gone, though it still reads well

	lines    []storeOp // not yet on the disk, in order
	placed   int
	unsynced int64     // bytes of lines
	waited   bool      // somebody waits for a sync
	syncBy   time.Time // when one is due without that; zero: nothing to sync

	runs            []storeOp       // lines of history not yet written
	unsyncedHistory map[string]bool // its files and folders to be synced before the next snapshot
	lostHistory     map[string]bool // files of it whose last sync failed
	// folders of it that this process has synced: what the one before renamed in others may come back
	syncedNames map[string]bool

	durable uint64    // the newest event known to be on the disk
	markBy  time.Time // when the mark is to say so; zero: it does

	markDelay    time.Duration // from an fsync to the mark: 0 behind the first one
	saved        uint64        // the newest event in snapshot.json
	reserveAt    time.Time     // when the reserve is to be set aside again; zero: it is there
	journalFault storeFault
	historyFault storeFault
}

// storeFault is something that fails, and when it is to be tried again.
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
// is to follow one, and when it is time to try again after a failure. It ends after close, having tried once more.
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

// accept takes one request in.
func (w *storeWriter) accept(op storeOp) {
	switch {
	case op.save:
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
	case op.trim != "":
		if w.saved < op.last {
			return
		}
		w.trim(op.trim, op.keep) // nothing rests on it: when it fails, the history is longer for a while
	case op.run != nil:
		w.runs = append(w.runs, op)
	default:
		w.lines = append(w.lines, op)
		w.unsynced += int64(len(op.data))
		w.waited = w.waited || op.sync
	}
}

// reserve sets bytes aside for the journal, if none are: at the start, and once there is room again after they were
// used. It is no fault when there is none.
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
		defer f.Close()
		var free int64
		// else it would be given up at once
		if free, err = diskFree(f); err != nil || free >= 2*storeReserve+diskLeave {
			_, err = w.files.write(f, make([]byte, storeReserve))
		} else {
			err = syscall.ENOSPC
		}
		if err != nil {
			w.files.remove("reserve")
		}
	}
	if err != nil {
		w.reserveAt = time.Now().Add(storeReserveAgain)
	}
}

// spendReserve gives the reserve up when err says that the disk is full, and tells the owner. True when that made room:
// then what failed may be tried once more.
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

// health tells the owner whether the disk works, when that changed.
func (w *storeWriter) health() {
	err := w.journalFault.err
	if err == nil {
		err = w.historyFault.err
	}
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
	if w.journalFault.err == nil && len(w.lines) > 0 && (next.IsZero() || w.syncBy.Before(next)) {
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
	var err error
	if len(w.lostHistory) > 0 { // the next process cannot know that the sync it does proves nothing
		err = w.syncHistory()
	}
	if len(w.lines) > 0 {
		err = errors.Join(err, fmt.Errorf("close store: events %d to %d are not on the disk: %w", w.lines[0].first,
			w.lines[len(w.lines)-1].last, w.journalFault.err))
	}
	if len(w.runs) > 0 { // the journal has them: the next start adds them
		err = errors.Join(err, fmt.Errorf("close store: %d finished runs are not in the history yet: %w", len(w.runs),
			w.historyFault.err))
	}
	return err
}
