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
