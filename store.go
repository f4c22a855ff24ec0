// store.go: the principal's memory on disk: a journal of events, a snapshot of what they fold to, and the history of
// finished runs. This file is what the owner of the State (the principal's loop) calls. It hands over events and never
// waits for the disk: one goroutine, the writer, does all writing, in the order of the calls.
//
//	store_writer.go    the writer: its loop, what it does when the disk fails or is full, the reserve
//	store_journal.go   the journal: written, synced, read; its lines (_line), up to where it is safe (_mark)
//	store_snapshot.go  the snapshot: saved and read
//	store_replay.go    what a start makes of snapshot and journal
//	store_history.go   the finished runs: written, listed, found; their lines (_line), cutting old ones off (_trim)
//	store_index.go     where the lines of a finished run lie
//	store_logs.go      the output of tasks, which is not the writer's: see there
//	store_line.go      a line with its checksum, as journal, snapshot and history have it
//	store_files.go     how the disk is touched; the lock of the folder
//
// What is promised:
//   - When done of a batch is called, the batch is on the disk: a power cut cannot take it back. All batches that are
//     queued while an fsync runs share the next one. A batch that is to be there soon waits storeSoonDelay for others
//     to share its fsync.
//   - A batch that nobody waits for is written at once, so that kill -9 cannot take it back. It reaches the disk with
//     the next fsync, at the latest after storeSyncDelay.
//   - The history tells of no end that the journal does not have, also after a crash.
//   - A reserve of 1 MiB is kept from the start. When the disk is full the reserve is given up, so that journal and
//     history go on: the job that makes room can still run and be recorded. The reserve is set aside again once there
//     is room.
//   - When the disk fails or is full nothing is lost. What is not yet on the disk stays in memory and is written again,
//     after 1 s at first and every 10 s at last. Until then failing says why, and the owner refuses new work.

package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	storeSegmentBytes = 16 << 20 // a segment that is longer is followed by another
	storeKeepBytes    = 32 << 20 // of segments that the snapshot covers: the audit trail
	storeBacklogMax   = 8 << 20  // bytes that wait in memory before failing says so
	storeReplayMany   = 20000    // events whose replay makes a snapshot worth its while
)

// errStoreBehind says that the disk is too slow for what comes in.
var errStoreBehind = errors.New("the disk does not keep up: too many events wait to be written")

// storeOptions says where a store lies and how large it may become. Zero values are replaced by the defaults.
type storeOptions struct {
	Dir          string // the state folder
	NoSync       bool   // never force anything to the disk: for tests
	Forget       bool   // write nothing, and find nothing: for state that ends with the process
	Repair       bool   // go on although the mark says that events are lost: somebody was told of it
	SegmentBytes int64  // a segment that is longer is followed by another: 16 MiB
	Keep         int64  // bytes of old segments kept as an audit trail: 32 MiB

	// the index of the history is to be made anew: call indexKeep; any goroutine calls it; must not block
	onStale func()

	// The writer calls these. They must not block.
	onWritten func()      // events have been written; they need not be on the disk yet
	onSynced  func()      // events have come to the disk, and done of all of their batches was called
	onFull    func()      // the disk is full, whether there was a reserve or not
	onHealth  func(error) // the disk begins to fail; nil: it works again

	now   func() time.Time    // time.Now
	files func(l *storeFiles) // wraps the file layer, for tests
}

// storeReport says what storeOpen found.
type storeReport struct {
	Snapshot uint64   // the event that the snapshot ends with, 0: no snapshot
	Events   int      // events replayed after it
	Misfits  int      // of these, reports of agents that did not fit when they came, and do not now
	History  int      // finished runs that were missing in the history, and are added now
	Notes    []string // what was damaged or dropped, in plain words with file and line; nil when all was well
}

// store is an open state folder. append, snapshot, history, wantsSnapshot and close belong to the owner of the State,
// one goroutine; the other methods may be called by any.
type store struct {
	opt   storeOptions
	files storeFiles
	lock  *os.File
	index historyIndex

	// The owner's.
	seq     uint64 // of the newest event
	unsaved int64  // bytes of journal since the last snapshot
	many    bool   // the start replayed storeReplayMany events or more
	lines   storeEncoder

	// Between owner and writer.
	mu      sync.Mutex // protects the next two fields; never held over I/O or a callback
	queue   []storeOp
	closing bool
	wake    chan struct{} // holds one: there is something in the queue, or closing
	ended   chan struct{} // closed when the writer has ended
	endErr  error         // what the writer could not do; read it after ended

	did     storeDid      // what the writer did
	backlog atomic.Int64  // bytes that are not yet on the disk
	written atomic.Uint64 // the newest event in the journal's files
	trouble atomic.Pointer[storeTrouble]
	saving  atomic.Bool  // a snapshot is on its way
	saveAt  atomic.Int64 // after one failed, Unix nanoseconds of when the next is wanted; else 0
}

// storeDid counts what the writer did since the start. Any goroutine may read it.
type storeDid struct {
	journal, history, snapshot atomic.Int64 // bytes written
	syncs                      *histogram   // of the journal
}

// storeWait says when events are to be on the disk. They are written at once in any case.
type storeWait int

const (
	storeLate storeWait = iota // whenever it is written next, after storeSyncDelay at the latest: nobody waits
	storeSoon                  // after storeSoonDelay at the latest: what waits does not stand still meanwhile
	storeNow                   // as soon as it is free: somebody waits
)

// storeTrouble holds the error that keeps the writer from writing.
type storeTrouble struct{ err error }

// storeOp is one request to the writer. Which fields are set says which kind it is.
type storeOp struct {
	data []byte
	done func() // called when lines of the journal are on the disk, or one of the history is written; nil: nobody asks

	// Lines of the journal.
	first, last uint64    // the numbers of the first event and the last
	wait        storeWait // who waits for them

	// A line of the history. It rests on the events up to last.
	run *historyPlace // where it goes

	// A snapshot. last is the newest event in it.
	save  bool
	saved func(error)
	err   error // why there is no data

	// A cut of the history, made if the snapshot of event last is saved.
	trim string // the folder of the workflow
	keep int    // how many lines stay
}

// storeOpen takes the state folder and folds what it holds into a State. It makes the folder if there is none. It fails
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
	s.did.syncs = histogramNew(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
	if opt.files != nil {
		opt.files(&s.files)
	}
	s.index.files, s.index.unsynced = &s.files, map[string]bool{}
	if opt.Forget {
		go s.runForget()
		return s, stateNew(), storeReport{}, nil
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
	s.lock, err = s.files.lock(s.opt.Dir, now)
	if err != nil {
		return nil, storeReport{}, err
	}
	if err := s.prepare(); err != nil {
		return nil, storeReport{}, err
	}
	p := storeReplay{files: &s.files, dir: s.opt.Dir, now: now}
	if !s.opt.Repair {
		seq, fault := s.files.marked()
		p.marked = seq
		if fault != "" {
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
	if p.last.name != "" { // the process before may have written what it could not sync; this one builds on it
		if err := s.files.syncFile(p.last.name); err != nil {
			return nil, report, err
		}
	}
	s.index.open(p.saved && !p.indexed)
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
	// Nobody knows which lines of the history, and which names of its files, the process before has synced. Those of
	// the replay are synced again before a snapshot takes the journal's place.
	for _, run := range p.finished {
		place := historyPlaceOf(run)
		for _, name := range []string{place.file(), place.folder, historyFolder} {
			w.unsyncedHistory[name] = true
		}
	}
	go w.run()
	for _, run := range missing {
		s.history(run, nil)
	}
	if !p.saved && !s.opt.NoSync {
		s.snapshot(p.state, nil) // it holds the schema number: another version sees that it cannot read the folder
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

// append numbers the events (e.Seq) and hands them to the writer; it does not wait. wait says when they are to be on
// the disk. The writer calls done (nil: none) once they are, in the order of the appends; done must not block. An empty
// batch with storeNow waits for all batches before it. The store does not keep the events. append must not be called
// after close.
//
// The State's own Seq need not follow: snapshot sets it. An event of the principal that State.apply refuses must not be
// appended: no replay would get past it. An event that cannot be encoded is a programming error: every field of Event
// encodes, if its Seconds is finite.
func (s *store) append(events []*Event, wait storeWait, done func()) {
	first := s.seq + 1
	for _, e := range events {
		s.seq++
		e.Seq = s.seq
	}
	if s.opt.Forget {
		events = nil
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
	s.put(storeOp{data: data, first: first, last: s.seq, wait: wait, done: done})
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

// failing says why the store cannot take new work, nil when it can. What is handed to it all the same stays in memory,
// without a bound: so the owner refuses requests and stops reading from agents until failing is nil again. The error
// wraps that of the system: errors.Is(err, syscall.ENOSPC) is a full disk.
func (s *store) failing() error {
	if t := s.trouble.Load(); t != nil {
		return t.err
	}
	if s.backlog.Load() > storeBacklogMax {
		return errStoreBehind
	}
	return nil
}

// wantsSnapshot says that it is time for a snapshot: a segment's worth was written since the last one, a lot was
// replayed at the start, or the last try failed storeSaveRetry ago.
func (s *store) wantsSnapshot() bool {
	again := s.saveAt.Load()
	due := s.unsaved >= s.opt.SegmentBytes || s.many || again != 0
	return due && !s.saving.Load() && s.opt.now().UnixNano() >= again
}

// snapshot prunes state, encodes it at once (about 10 ms for 1,000 runs) and leaves the writing to the writer. state
// must hold all that was appended, and nothing else. Then the segments before the last two snapshots are removed, but
// for the newest storeOptions.Keep bytes of them. The writer calls done (nil: none), which must not block.
func (s *store) snapshot(state *State, done func(error)) {
	state.Seq = s.seq
	state.prune(s.opt.now())
	data, err := storeEncodeSnapshot(state, s.opt.now())
	s.unsaved, s.many = 0, false
	s.saving.Store(true)
	s.put(storeOp{save: true, data: data, err: err, last: s.seq, saved: done})
}

// close writes and syncs what waits, stops the writer and releases the folder. The error says what could not be
// written; done of these batches is never called.
func (s *store) close() error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	s.poke()
	<-s.ended
	switch {
	case again:
		return s.endErr
	case s.opt.Forget: // it has no lock
		return s.files.root.Close()
	}
	return errors.Join(s.endErr, storeUnlock(s.lock), s.files.root.Close())
}
