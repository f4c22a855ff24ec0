// store.go: the principal's memory on disk: a journal of events, a snapshot of what they fold to, and the history of
// finished runs. The owner of the State (the principal's loop) hands over events and never waits for the disk; one
// goroutine, the writer, does all writing, in the order of the calls.
//
// What is promised:
//   - When done of a batch is called, the batch is on the disk: a power cut cannot take it back. Whatever is queued
//     while an fsync runs shares the next one.
//   - A batch that need not be acknowledged is written at once, so that kill -9 cannot take it back, and reaches the
//     disk with the next fsync, or after storeSyncDelay.
//   - A reserve of 1 MiB is kept from the start. When the disk is full it is given up, so that journal and history go
//     on: the job that makes room can still be run, and be recorded. When there is room again it is set aside again.
//   - When the disk fails or is full nothing is lost: what is not yet on the disk is kept in memory and written again,
//     after 1 s at first and every 10 s at last. Until then failing says why, and the owner refuses new work.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	storeSegmentBytes = 16 << 20         // a segment that is longer is followed by another
	storeKeepBytes    = 32 << 20         // of segments that the snapshot covers: the audit trail
	storeBacklogMax   = 8 << 20          // bytes that wait in memory before failing says so
	storeUnsyncedMax  = 1 << 20          // bytes written but not synced, before that is done without being asked
	storeChunk        = 1 << 20          // bytes of one write
	storeSyncDelay    = 10 * time.Second // what a power cut may take back of what nobody waits for
	storeRetryFirst   = time.Second      // after a write that failed; doubled each time
	storeRetryMax     = 10 * time.Second // longest wait between two tries to write
	storeSaveRetry    = time.Minute      // between snapshots that fail
	storeReserve      = 1 << 20          // bytes, in the file of that name
	storeReserveAgain = time.Minute      // between tries to set them aside again
	storeReplayMany   = 20000            // events whose replay makes a snapshot worth its while
)

// errStoreBehind says that the disk is too slow for what comes in.
var errStoreBehind = errors.New("the disk does not keep up: too many events wait to be written")

// storeOptions says where a store lies and how large it may become. Zero values are replaced by the defaults.
type storeOptions struct {
	Dir          string // the state folder
	NoSync       bool   // never force anything to the disk: for state that is thrown away at the end
	Repair       bool   // what the mark says is lost may be lost: somebody was told, and wants to go on
	SegmentBytes int64  // 16 MiB
	Keep         int64  // bytes of old segments kept as an audit trail: 32 MiB
	// called from the writer when events have been written, safe or not; must not block
	onWritten func()
	onFull    func() // called from the writer when the disk is full, the reserve or not; must not block
	// called from the writer when the disk begins to fail, and with nil when it works again
	onHealth func(error)
	now      func() time.Time    // time.Now
	files    func(l *storeFiles) // wraps the file layer, for tests
}

// storeReport says what storeOpen found.
type storeReport struct {
	Snapshot uint64   // the event that the snapshot ends with, 0: no snapshot
	Events   int      // events replayed after it
	Misfits  int      // of these, reports of agents that did not fit, now as when they came
	History  int      // finished runs that the history lacked, and that are added now
	Notes    []string // what was damaged or dropped, in plain words with file and line; nil when all was well
}

// store is an open state folder. append, snapshot, history, wantsSnapshot and close belong to the owner of the State,
// one goroutine; the other methods may be called by any.
type store struct {
	opt   storeOptions
	files storeFiles
	lock  *os.File

	// The owner's.
	seq     uint64 // of the newest event
	unsaved int64  // bytes of journal since the last snapshot
	many    bool   // a lot was replayed at the start
	lines   storeEncoder

	// Between owner and writer.
	mu      sync.Mutex // protects the next two fields; never held over I/O or a callback
	queue   []storeOp
	closing bool
	wake    chan struct{} // holds one: there is something in the queue, or closing
	ended   chan struct{} // closed when the writer is
	endErr  error         // what the writer could not do; read it after ended

	backlog atomic.Int64  // bytes that are not yet on the disk
	written atomic.Uint64 // the newest event in the journal's files
	trouble atomic.Pointer[storeTrouble]
	saving  atomic.Bool  // a snapshot is on its way
	saveAt  atomic.Int64 // after one failed, Unix nanoseconds of when the next is wanted; else 0
}

// storeTrouble holds the error that keeps the writer from writing.
type storeTrouble struct{ err error }

// storeOp is one request to the writer. Which fields are set says which kind it is.
type storeOp struct {
	data []byte
	done func() // may be nil

	first, last uint64 // journal lines: the numbers of the first event and the last
	sync        bool   // and that somebody waits for them

	run *historyPlace // a line of history: where it goes

	save  bool // a snapshot, data, with last the newest event in it
	saved func(error)
	err   error // why there is no data

	trim string // a folder of history to be cut to keep lines, if the snapshot of event last is saved
	keep int
}

// storeOpen takes the state folder, which is made when it is not there, and folds what it holds into a State. It fails
// when another process holds the folder, and when what is there cannot be trusted; errors say file, line and what to
// do. The caller owns the State and must close the store.
func storeOpen(opt storeOptions) (*store, *State, storeReport, error) {
	if opt.SegmentBytes <= 0 {
		opt.SegmentBytes = storeSegmentBytes
	}
	if opt.Keep <= 0 {
		opt.Keep = storeKeepBytes
	}
	if opt.now == nil {
		opt.now = time.Now
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, nil, storeReport{}, fmt.Errorf("make state folder: %w", err)
	}
	root, err := os.OpenRoot(opt.Dir)
	if err != nil {
		return nil, nil, storeReport{}, fmt.Errorf("open state folder: %w", err)
	}
	s := &store{opt: opt, files: storeFilesOf(root, opt.NoSync), wake: make(chan struct{}, 1),
		ended: make(chan struct{})}
	if opt.files != nil {
		opt.files(&s.files)
	}
	state, report, err := s.start()
	if err != nil {
		if s.lock != nil {
			storeUnlock(s.lock)
		}
		root.Close()
		return nil, nil, report, err
	}
	return s, state, report, nil
}

// start locks the folder, reads it, and starts the writer.
func (s *store) start() (*State, storeReport, error) {
	now := stampOf(s.opt.now())
	var err error
	if s.lock, err = s.files.lock(s.opt.Dir, now); err != nil {
		return nil, storeReport{}, err
	}
	if err := s.prepare(); err != nil {
		return nil, storeReport{}, err
	}
	p := storeReplay{files: &s.files, dir: s.opt.Dir, now: now}
	if !s.opt.Repair {
		seq, fault := s.files.marked()
		if p.marked = seq; fault != "" {
			p.notes = append(p.notes, p.path(storeMark)+": "+fault)
		}
	}
	if err := p.snapshot(); err != nil {
		return nil, storeReport{Notes: p.notes}, err
	}
	report := storeReport{Snapshot: p.state.Seq}
	err = p.journal()
	report.Events, report.Misfits, report.Notes = p.events, p.misfits, p.notes
	if err != nil {
		return nil, report, err
	}
	if p.last.name != "" { // an earlier process may have written what it could not sync, and this one builds on it
		if err := s.files.syncFile(p.last.name); err != nil {
			return nil, report, err
		}
	}
	missing, err := s.historyMissing(p.finished)
	if err != nil {
		return nil, report, err
	}
	report.History = len(missing)
	s.seq, s.many, s.unsaved = p.state.Seq, p.events >= storeReplayMany, p.size
	s.written.Store(s.seq)
	w := &storeWriter{s: s, files: &s.files, name: p.last.name, size: p.size, synced: p.size, saved: report.Snapshot,
		timer: time.NewTimer(time.Hour), unsyncedHistory: map[string]bool{}, syncedNames: map[string]bool{},
		lostHistory: map[string]bool{}}
	w.timer.Stop()
	w.durable = p.marked
	w.markLater(s.seq)
	// Which lines of the history, and names of its files, the process before has synced nobody knows: those of the
	// replay are synced again, before a snapshot takes the journal's place.
	for _, run := range p.finished {
		place := historyPlaceOf(run)
		w.unsyncedHistory[place.file()], w.unsyncedHistory[place.folder], w.unsyncedHistory[historyFolder] = true, true,
			true
	}
	go w.run()
	for _, run := range missing {
		s.history(run, nil)
	}
	if !p.saved && !s.opt.NoSync {
		s.snapshot(p.state, nil) // it has the schema number, by which another version knows what it cannot read
	}
	return p.state, report, nil
}

// prepare makes the folders and clears away what a crash left half done.
func (s *store) prepare() error {
	made := false
	for _, name := range []string{storeJournal, historyFolder} {
		m, err := s.files.mkdir(name)
		if err != nil {
			return fmt.Errorf("make folder %s: %w", name, err)
		}
		made = made || m
	}
	s.files.remove(storeSnapshot + ".tmp")
	s.files.trimDamaged()
	if made {
		return s.files.syncFolder(".")
	}
	return nil
}

// append numbers the events (e.Seq) and hands them to the writer; it does not wait. The State's own Seq need not
// follow: snapshot sets it. An event of the principal that State.apply refuses must not be appended, for no replay
// would pass it. With sync somebody waits for them: they go to the disk as soon as it is free. done (nil: none) is
// called by the writer once they are on the disk, in the order of the appends, and must not block; nor must any of
// these be called after close. An empty batch with sync waits for all before it. The store does not keep the events. An
// event that cannot be written is a programming error: every field of Event encodes, if its Seconds is finite.
func (s *store) append(events []*Event, sync bool, done func()) {
	first := s.seq + 1
	for _, e := range events {
		s.seq++
		e.Seq = s.seq
	}
	for len(events) > 0 {
		n, err := s.lines.addEvents(events)
		if err != nil {
			panic("cdktr: internal error: encode event: " + err.Error())
		}
		events = events[n:]
	}
	data := s.lines.take()
	s.unsaved += int64(len(data))
	s.put(storeOp{data: data, first: first, last: s.seq, sync: sync, done: done})
}

// put queues op and wakes the writer.
func (s *store) put(op storeOp) {
	if !op.save {
		s.backlog.Add(int64(len(op.data)))
	}
	s.mu.Lock()
	s.queue = append(s.queue, op)
	s.mu.Unlock()
	s.poke()
}

func (s *store) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// failing says why the store cannot take new work, nil when it can. What is handed to it nevertheless is kept in
// memory, without a bound: the owner refuses requests and stops to read from agents until failing is nil again. It
// wraps the error of the system: errors.Is(err, syscall.ENOSPC) is a full disk.
func (s *store) failing() error {
	if t := s.trouble.Load(); t != nil {
		return t.err
	}
	if s.backlog.Load() > storeBacklogMax {
		return errStoreBehind
	}
	return nil
}

// wantsSnapshot says that it is time for one: a segment's worth was written since the last, or a lot was replayed.
func (s *store) wantsSnapshot() bool {
	failed := s.saveAt.Load()
	return (s.unsaved >= s.opt.SegmentBytes || s.many || failed != 0) && !s.saving.Load() &&
		s.opt.now().UnixNano() >= failed
}

// snapshot prunes state, encodes it at once (about 10 ms for 1,000 runs) and leaves the writing to the writer. state
// must hold all that was appended, and nothing else. The segments before the last two snapshots are removed then, but
// for the newest storeOptions.Keep bytes of them. done (nil: none) is called by the writer and must not block.
func (s *store) snapshot(state *State, done func(error)) {
	state.Seq = s.seq
	state.prune(s.opt.now())
	data, err := storeEncodeSnapshot(state, s.opt.now())
	s.unsaved, s.many = 0, false
	s.saving.Store(true)
	s.put(storeOp{save: true, data: data, err: err, last: s.seq, saved: done})
}

// close writes and syncs what waits, stops the writer and gives the folder free. The error says what could not be
// written; done of these batches is never called.
func (s *store) close() error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	s.poke()
	<-s.ended
	if again {
		return s.endErr
	}
	return errors.Join(s.endErr, storeUnlock(s.lock), s.files.root.Close())
}

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

// save writes a snapshot. All that it folds is on the disk before, in the journal and, of finished runs, in the
// history: else a crash between could take back what the snapshot builds on.
func (w *storeWriter) save(op storeOp) error {
	if err := w.flush(w.journalFault.err == nil); err != nil {
		return err
	}
	if err := w.flushHistory(false); err != nil {
		return err
	}
	if err := w.syncHistory(); err != nil {
		return err
	}
	if err := w.roll(); err != nil {
		w.close()
		w.journalFault.set(fmt.Errorf("write journal: %w", err), time.Now())
		return w.journalFault.err
	}
	if err := w.files.replace(storeSnapshot, op.data); err != nil {
		return err
	}
	before := w.saved
	w.saved = op.last
	w.reserve()
	return w.prune(before)
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

// prune removes the oldest segments that the snapshot before the newest one covers (should the newest one be damaged
// the way back is still there) beyond the bytes that are kept as an audit trail.
func (w *storeWriter) prune(covered uint64) error {
	segments, err := w.files.segments()
	if err != nil {
		return err
	}
	var kept int64
	for i := len(segments) - 2; i >= 0; i-- {
		if segments[i+1].first > covered+1 {
			continue
		}
		if info, err := w.files.root.Stat(segments[i].name); err == nil {
			kept += info.Size()
		}
		if kept <= w.s.opt.Keep {
			continue
		}
		// Oldest first, so that what is left has no hole in it, whenever this ends.
		for _, seg := range segments[:i+1] {
			if err := w.files.remove(seg.name); err != nil {
				return fmt.Errorf("remove old segment: %w", err)
			}
		}
		return nil
	}
	return nil
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
