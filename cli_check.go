// cli_check.go: the verb check, which reads every file of a state folder line by line, and names each fault with file
// and line. --repair cuts the journal where a start could not read on, and moves the rest aside, so that a principal
// can start again. It deletes nothing.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

const (
	checkMaxFaults = 1000    // how many faults are named; others are counted
	checkMaxBad    = 100_000 // how many damaged lines one repair blanks; others are left to the next repair
	checkMaxRuns   = 100     // how many runs of one kind a repair names; others are counted
)

// checkFault is one thing that is wrong.
type checkFault struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// String writes the fault for people. Line 0 is a fault of the whole file.
func (f *checkFault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Message
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
}

// checker is one check of a state folder, which it holds.
type checker struct {
	dir    string
	files  storeFiles
	held   []*os.File // locked: no principal or agent can start meanwhile
	faults []checkFault
	count  int // of all faults

	// history and output
	bad   []checkLine // the damaged lines
	moved checkRuns   // the runs that these lines name

	// the journal
	state    *State // what a start makes of it, as far as it is sound
	marked   uint64 // the mark says that the events up to this one were on the disk
	unmarked string // why the mark cannot be read; "" where it can, or where there is none
	segments []storeSegment
	newest   uint64 // the newest event that was seen

	// what a start cannot read of the journal
	keepFrom int       // segments before this one, which the snapshot makes unnecessary
	keepTo   int       // segments from this one on
	cutAt    int64     // in the last segment that is kept, everything from this byte on; -1: nothing
	lost     uint64    // the first event that is lost so; 0: none is
	losing   checkRuns // the runs that lose events
}

// checkRuns is the ids of runs.
type checkRuns map[string]bool

// find adds every run's id that stands in quotes in a line. The line may be damaged.
func (r checkRuns) find(line []byte) {
	for _, word := range bytes.Split(line, []byte{'"'}) {
		if isRunID(string(word)) {
			r[string(word)] = true
		}
	}
}

// text writes how many runs there are, and names the first ones.
func (r checkRuns) text() string {
	ids := sortedKeys(r)
	text := fmt.Sprintf("(%d): %s", len(ids), strings.Join(ids[:min(len(ids), checkMaxRuns)], " "))
	if len(ids) > checkMaxRuns {
		text += fmt.Sprintf(" and %d more", len(ids)-checkMaxRuns)
	}
	return text
}

// checkLine is where a damaged line is.
type checkLine struct {
	file     string
	at, size int64 // in bytes, without the newline
	torn     bool  // it is the last line, and has no newline
}

// checkVerb is the entry of `check`.
func checkVerb() cliVerb {
	return cliVerb{name: "check",
		help: "read every file of a stopped principal's or agent's state folder, and name what is damaged",
		run:  doCheck,
		more: `
Each fault is a line FILE:LINE: MESSAGE. Exit codes: 0 all is well or was repaired, 2 there are faults, 5 a process
holds the folder. All readers pass over damage in history, output and spool. --repair puts blanks in the place of
damaged lines of history and output, and keeps what was there. It leaves a damaged spool: the agent drops that once it
is sent.`,
		flags: func(f *cliFlags) {
			f.setting("state", "the state folder `DIR`")
			f.BoolVar(&f.repair, "repair", false,
				"make the journal readable again: move what cannot be read into a folder damaged-TIME")
		},
		examples: []string{"cdktr check", "cdktr check --state /var/lib/cdktr --json", "cdktr check --repair"}}
}

func doCheck(ctx context.Context, c *cli, args []string) error {
	found, o, err := checkFind(ctx, c, exitUsage)
	if err != nil {
		return err
	}
	return o.do(func() error { return checkFolder(c, found.dir, o) })
}

// checkFind finds the state folder and its owner. code is the exit code where there is none.
func checkFind(ctx context.Context, c *cli, code int) (found stateFound, o *owner, err error) {
	found, err = c.stateFind(ctx)
	if err != nil {
		return found, nil, err
	}
	o, err = ownerOf(found.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, nil, found.nothing(code, "is not there")
	case errors.Is(err, errOwnerPath):
		return found, nil, &exitError{code: exitRefused, err: fmt.Errorf("open state folder %s: %w", found.dir, err)}
	case err != nil:
		return found, nil, &exitError{code: exitUsage, err: fmt.Errorf("open state folder: %w", err),
			hint: "name it with --state"}
	}
	for _, name := range []string{storeJournal, storeSnapshot, "spool", "lock"} {
		_, err = os.Lstat(filepath.Join(found.dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return found, o, nil // also after another error: whoever reads the file will say so
		}
	}
	return found, nil, found.nothing(code, "holds no state of a principal or an agent")
}

// checkFolder checks a folder, and repairs it if that was asked. It runs as the owner of the folder.
func checkFolder(c *cli, dir string, o *owner) error {
	k, err := checkOpen(dir)
	if err != nil {
		return err
	}
	defer k.close()
	if err := errors.Join(k.owners(o), k.walk()); err != nil {
		return err
	}
	for _, f := range k.faults {
		if c.flags.json {
			err = printJSON(c.out, f)
		} else {
			err = printText(c.out, f.String())
		}
		if err != nil {
			return err
		}
	}
	if c.flags.repair {
		notes, err := k.repair(time.Now())
		for _, note := range notes {
			c.say(note)
		}
		return err
	}
	if k.count > 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s in %s", countText(k.count, "fault"), k.dir),
			hint: "a start cuts off a torn end of the newest journal file by itself; cdktr check --repair moves " +
				"aside what else cannot be read"}
	}
	return nil
}

// checkOpen takes hold of a state folder. It fails if another process holds that.
func checkOpen(dir string) (*checker, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("open state folder: %w", err),
			hint: "name it with --state"}
	}
	k := &checker{dir: dir, files: storeFilesOf(root, false), cutAt: -1, losing: checkRuns{}, moved: checkRuns{}}
	lock, err := k.files.lock(dir, stampOf(time.Now()))
	if err != nil {
		root.Close()
		return nil, &exitError{code: exitRefused, err: err}
	}
	k.held = []*os.File{lock}
	if spool, err := k.files.open("spool", os.O_RDONLY); err == nil {
		k.held = append(k.held, spool)
		if err := syscall.Flock(int(spool.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			k.close()
			return nil, &exitError{code: exitRefused,
				err: fmt.Errorf("lock spool of %s: %w: an agent runs with this state folder", dir, err)}
		}
	}
	return k, nil
}

// close lets go of the folder. A second call does nothing.
func (k *checker) close() {
	for _, f := range k.held {
		storeUnlock(f)
	}
	k.held = nil
	k.files.root.Close()
}

// fault notes a fault.
func (k *checker) fault(file string, line int, format string, args ...any) {
	k.count++
	if k.count <= checkMaxFaults {
		k.faults = append(k.faults, checkFault{path.Join(k.dir, file), line, fmt.Sprintf(format, args...)})
	}
}

// owners checks who owns the files, and who else can write them. A file of another owner than the folder's is mostly
// root's, from a command that was given as root: the service cannot read or replace it.
func (k *checker) owners(o *owner) error {
	for _, doubt := range authDoubts(k.dir) {
		k.fault(doubt.file, 0, "%s", doubt.text)
	}
	return fs.WalkDir(k.files.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil // its owner is noted already, or the file is gone
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path.Join(k.dir, name), err)
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		if uid, _ := ownerIDs(info); uid != o.uid && path.Dir(name) != "out" { // tasks may run as others
			k.fault(name, 0, "it belongs to %s, and the state folder to %s, who may not be able to use it: chown -h "+
				"%d:%d %s", ownerName(uid), ownerName(o.uid), o.uid, o.gid, path.Join(k.dir, name))
		}
		return nil
	})
}

// walk reads all files.
func (k *checker) walk() error {
	k.state = k.snapshots()
	if err := k.journal(k.state); err != nil {
		return err
	}
	err := k.each(historyFolder, func(line []byte) string {
		if !storeSound(line) {
			return "the line is damaged (its checksum does not match); readers pass over it"
		}
		if _, err := historyDecode(line); err != nil {
			return "the line is whole but no run: " + err.Error()
		}
		return ""
	})
	if err != nil {
		return err
	}
	var lines []LogLine // used again for each line
	err = k.each("logs", func(line []byte) (fault string) {
		lines, err = logDecode(lines[:0], line)
		if err != nil {
			return "the line is no output; readers pass over it"
		}
		return ""
	})
	if err != nil {
		return err
	}
	return k.spool()
}

// snapshots reads the snapshots, and gives the state with which a start would begin.
func (k *checker) snapshots() *State {
	p := storeReplay{files: &k.files, dir: k.dir}
	state := (*State)(nil)
	for _, name := range []string{storeSnapshot, storeSnapshot + ".1"} {
		found, err := p.load(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			k.fault(name, 1, "%v", err)
		case state == nil:
			state = found
		}
	}
	if state == nil {
		return stateNew()
	}
	return state
}

// lines calls fn for each line of a file, with its number and place. torn: it is the last line and has no newline.
func (k *checker) lines(name string, fn func(line []byte, n int, at int64, torn bool)) error {
	f, err := k.files.open(name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	r := storeReaderOf(f, 0)
	for {
		line, err := r.line()
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("read %s: line %d: %w", path.Join(k.dir, name), r.n, err)
		}
		fn(line, r.n, r.at, err != nil)
	}
}

// each reads the .jsonl files of the folders in a folder, and has fn say what is wrong with a line.
func (k *checker) each(kind string, fn func(line []byte) string) error {
	folders, err := k.files.list(kind)
	if err != nil {
		return fmt.Errorf("list %s: %w", kind, err)
	}
	for _, folder := range folders {
		entries, err := k.files.list(path.Join(kind, folder.Name()))
		if err != nil {
			return fmt.Errorf("list %s: %w", folder.Name(), err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".jsonl") {
				continue
			}
			name := path.Join(kind, folder.Name(), e.Name())
			err := k.lines(name, func(line []byte, n int, at int64, torn bool) {
				text := "the line was not written to its end; the next one to be written replaces it"
				if !torn && len(bytes.TrimLeft(line, " ")) == 0 { // a repair has blanked it
					return
				} else if !torn {
					text = fn(line)
				}
				if text != "" {
					k.fault(name, n, "%s", text)
					if len(k.bad) < checkMaxBad {
						k.bad = append(k.bad, checkLine{name, at, int64(len(line)), torn})
						k.moved.find(line)
					}
				}
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// spool reads the reports that an agent still has to send.
func (k *checker) spool() error {
	entries, err := k.files.list("spool")
	if err != nil {
		return fmt.Errorf("list spool: %w", err)
	}
	for _, e := range entries {
		if _, _, ok := spoolParseName(e.Name()); !ok {
			continue
		}
		name := path.Join("spool", e.Name())
		err := k.lines(name, func(line []byte, n int, _ int64, torn bool) {
			text := append(line[:len(line):len(line)], '\n')
			if _, ok := spoolAcked(text); n == 1 && !ok {
				k.fault(name, n, "the first line is damaged: what was acknowledged is sent again, and dropped there "+
					"as a repeat")
			} else if _, err := spoolDecode(text); n > 1 && (torn || err != nil) {
				k.fault(name, n, "the line is damaged; it is not sent")
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// missing notes that the events from first up to the oldest segment are lost.
func (k *checker) missing(first uint64, oldest storeSegment) {
	k.fault(oldest.name, 1, "the journal begins at event %d, and no snapshot holds what was before (events %d to %d)",
		oldest.first, first, oldest.first-1)
	k.cut(0, -1, first)
}

// journal reads every segment, folds the events that the snapshot does not hold, and finds where a start would stop.
func (k *checker) journal(state *State) (err error) {
	k.segments, err = k.files.segments()
	if err != nil {
		return err
	}
	k.marked, k.unmarked = k.files.marked()
	if k.unmarked != "" {
		k.fault(storeMark, 0, "%s", k.unmarked)
	}
	k.keepTo, k.newest = len(k.segments), state.Seq
	j := checkJournal{k: k, replay: storeReplay{files: &k.files, dir: k.dir, state: state}, covered: state.Seq}
	j.from = sort.Search(len(k.segments), func(i int) bool { return k.segments[i].first > j.covered+1 }) - 1
	if j.from < 0 && len(k.segments) > 0 {
		k.missing(j.covered+1, k.segments[0])
	}
	for j.i = range k.segments {
		if err := j.segment(); err != nil {
			return err
		}
	}
	if k.lost == 0 && k.newest < k.marked {
		k.fault(storeMark, 1, "up to event %d the journal was on the disk, and it ends at event %d", k.marked, k.newest)
		k.cut(len(k.segments), -1, k.newest+1)
	}
	k.newest = max(k.newest, k.marked)
	return nil
}

// checkJournal reads the segments of a journal as a start does, and goes on where a start would stop.
type checkJournal struct {
	k       *checker
	replay  storeReplay
	covered uint64 // the snapshot holds the events up to this one
	from    int    // a start needs the segments from this one on

	i       int    // the segment that is being read
	damaged bool   // a line of it is damaged
	unfit   bool   // an event of it does not fit the state
	cut     func() // notes that the journal cannot be read on from its damage; nil: it has none
}

// segment reads one segment to its end.
func (j *checkJournal) segment() error {
	k, seg := j.k, j.k.segments[j.i]
	if j.i > 0 && j.replay.next != 0 && seg.first != j.replay.next {
		k.fault(seg.name, 1, "it begins at event %d, and the segment before it ends at event %d", seg.first,
			j.replay.next-1)
		k.broken(j.i-1, j.from, -1, j.replay.next)
	}
	j.replay.next = seg.first
	j.damaged, j.unfit, j.cut = false, false, nil
	if err := k.lines(seg.name, j.line); err != nil {
		return err
	}
	if j.damaged {
		j.replay.next = 0 // where the next segment must begin is not known
	}
	return nil
}

// line reads one line of the segment; torn: it is the last one and has no end.
func (j *checkJournal) line(line []byte, n int, at int64, torn bool) {
	k, p := j.k, &j.replay
	sound := !torn && storeSound(line)
	if j.cut != nil && sound {
		j.cut() // there is more behind the damage: it is no torn write
	}
	if text := p.fault(line, torn); text != "" {
		k.fault(k.segments[j.i].name, n, "%s", text)
		if !j.damaged {
			i, next := j.i, p.next
			j.cut = func() { k.broken(i, j.from, at, next) }
			if sound || j.i < len(k.segments)-1 {
				j.cut()
			}
		}
		j.damaged = true
		if !sound {
			if j.i >= j.from && p.next > j.covered {
				k.losing.find(line)
			}
			p.next++ // most likely one event
			return
		}
		p.next = storeLineSeq(line)
	}
	events, err := storeLineEvents(line)
	for _, e := range events {
		if e.Seq > j.covered {
			err = j.event(e, err)
		}
	}
	if events == nil {
		err = storeUnread(err)
	}
	if err != nil && !j.unfit {
		k.fault(k.segments[j.i].name, n, "%v", err)
		j.unfit = true
	}
	p.next += max(uint64(len(events)), 1)
	k.newest = max(k.newest, p.next-1)
}

// event folds an event that the snapshot does not hold, as long as nothing before it is damaged; else it notes whose
// event a cut loses. err is the first fault of the line so far.
func (j *checkJournal) event(e *Event, err error) error {
	whole := j.k.lost == 0 && !j.damaged
	if whole && !j.unfit && err == nil {
		return j.replay.fold(e)
	}
	if !whole && j.i >= j.from && e.Run != "" {
		j.k.losing[e.Run] = true
	}
	return err
}

// broken notes that a start cannot read on from a place in segment i. If the snapshot holds all events of the segment,
// only the audit trail is affected.
func (k *checker) broken(i, from int, at int64, next uint64) {
	if i < from {
		k.keepFrom = max(k.keepFrom, i+1)
		return
	}
	k.cut(i+1, at, next)
}

// cut notes where the journal must be cut. Only the first cut counts.
func (k *checker) cut(keepTo int, at int64, next uint64) {
	if k.lost == 0 {
		k.keepTo, k.cutAt, k.lost = keepTo, at, next
	}
}

// repair moves what a start could not read, and the damaged lines of history and output, into a new folder. Then it
// opens the store and saves a snapshot. The notes say what it did and what is lost.
func (k *checker) repair(now time.Time) (notes []string, err error) {
	aside := "damaged-" + now.UTC().Format("20060102T150405.000")
	unreadable := k.keepFrom > 0 || k.lost > 0 // a part of the journal is
	if unreadable || len(k.bad) > 0 || k.unmarked != "" {
		if _, err := k.files.mkdir(aside); err != nil {
			return nil, fmt.Errorf("make folder %s: %w", aside, err)
		}
	}
	if unreadable {
		note, err := k.repairJournal(aside)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note)
	}
	if k.unmarked != "" {
		if err := k.files.rename(storeMark, path.Join(aside, storeMark)); err != nil {
			return notes, fmt.Errorf("move mark aside: %w", err)
		}
		notes = append(notes, fmt.Sprintf("moved the file %s, which says nothing, to %s", storeMark,
			path.Join(k.dir, aside)))
	}
	if len(k.bad) > 0 {
		if err := k.blank(aside); err != nil {
			return notes, err
		}
		note := fmt.Sprintf("moved %d damaged lines of history and output to %s", len(k.bad), path.Join(k.dir, aside))
		if len(k.bad) == checkMaxBad {
			note += "; there may be more: run cdktr check --repair again"
		}
		notes = append(notes, note)
		if len(k.moved) > 0 {
			notes = append(notes, "runs that such lines name "+k.moved.text())
		}
	}
	if k.keepFrom > 0 {
		notes = append(notes, fmt.Sprintf("the audit trail before event %d is no longer readable with cdktr events; "+
			"the state is not affected", k.segments[min(k.keepFrom, len(k.segments)-1)].first))
	}
	if k.lost > 0 {
		notes = append(notes, fmt.Sprintf("lost: events %d to %d, as far as the snapshot does not hold them", k.lost,
			max(k.newest, k.lost)))
	}
	k.close()
	s, state, report, err := storeOpen(storeOptions{Dir: k.dir, Repair: true})
	notes = append(notes, report.Notes...)
	if err != nil {
		return notes, err
	}
	if k.lost > 0 {
		lost, err := k.lostRuns(s, state)
		notes = append(notes, lost...)
		if err != nil {
			return notes, errors.Join(err, s.close())
		}
	}
	saved := make(chan error, 1)
	s.snapshot(state, func(err error) { saved <- err })
	if err := errors.Join(<-saved, s.close()); err != nil {
		return notes, err
	}
	return append(notes, fmt.Sprintf("the state is that of event %d, in a new snapshot", state.Seq)), nil
}

// lostRuns says which runs have lost all of their events, and which only the newest. The store is open again.
func (k *checker) lostRuns(s *store, state *State) (notes []string, err error) {
	gone, known := maps.Clone(k.losing), checkRuns{}
	look := func(r *Run) bool {
		if gone[r.ID] {
			delete(gone, r.ID)
			known[r.ID] = true
		}
		return len(gone) > 0
	}
	for _, r := range state.Runs {
		look(r)
	}
	if len(gone) > 0 {
		err = s.historyList(historyFilter{}, look)
	}
	if len(gone) > 0 {
		notes = append(notes, "runs that lost all their events "+gone.text())
	}
	if len(known) > 0 {
		notes = append(notes, "runs that lost their newest events "+known.text())
	}
	return notes, err
}

// repairJournal moves the segments, and the end of one, that a start could not read into the folder aside. The mark
// goes with them, since it covers events that are lost now.
func (k *checker) repairJournal(aside string) (note string, err error) {
	if k.cutAt >= 0 {
		if err := k.cutTail(k.segments[k.keepTo-1].name, aside); err != nil {
			return "", err
		}
	}
	moved := append(append([]storeSegment(nil), k.segments[:k.keepFrom]...), k.segments[k.keepTo:]...)
	for _, seg := range moved {
		if err := k.files.rename(seg.name, path.Join(aside, path.Base(seg.name))); err != nil {
			return "", fmt.Errorf("move segment aside: %w", err)
		}
	}
	if k.lost > 0 && k.marked > 0 {
		if err := k.files.rename(storeMark, path.Join(aside, storeMark)); err != nil {
			return "", fmt.Errorf("move mark aside: %w", err)
		}
	}
	note = fmt.Sprintf("moved %d whole segments of the journal, and the ends of %d, to %s", len(moved),
		min(1, k.cutAt+1), path.Join(k.dir, aside))
	return note, errors.Join(k.files.syncFolder(aside), k.files.syncFolder(storeJournal), k.files.syncFolder("."))
}

// blank copies the damaged lines of history and output durably to a file in the folder aside. Then it overwrites them
// with blanks, so that the places in these files which the state knows stay right. It cuts off a last line without its
// newline.
func (k *checker) blank(aside string) error {
	kept, err := k.files.open(path.Join(aside, "lines"), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("keep damaged lines: %w", err)
	}
	defer kept.Close()
	for _, b := range k.bad {
		f, err := k.files.open(b.file, os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("keep damaged lines: %w", err)
		}
		text := make([]byte, b.size, b.size+1)
		_, err = f.ReadAt(text, b.at)
		f.Close()
		if err == nil {
			_, err = k.files.write(kept, append(text, '\n'))
		}
		if err != nil {
			return fmt.Errorf("keep damaged lines: %w", err)
		}
	}
	if err := errors.Join(k.files.sync(kept), k.files.syncFolder(aside), k.files.syncFolder(".")); err != nil {
		return fmt.Errorf("keep damaged lines: %w", err)
	}
	for i, b := range k.bad {
		f, err := k.files.open(b.file, os.O_RDWR)
		if err != nil {
			return fmt.Errorf("repair %s: %w", b.file, err)
		}
		if b.torn {
			err = k.files.truncate(f, b.at)
		} else {
			_, err = f.WriteAt(bytes.Repeat([]byte(" "), int(b.size)), b.at)
		}
		if err == nil && (i == len(k.bad)-1 || k.bad[i+1].file != b.file) {
			err = k.files.sync(f)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("repair %s: %w", b.file, err)
		}
	}
	return nil
}

// cutTail copies the end of a segment durably to the folder aside, and then cuts it off.
func (k *checker) cutTail(name, aside string) error {
	if err := k.files.copyEnd(name, path.Join(aside, path.Base(name)), k.cutAt); err != nil {
		return fmt.Errorf("keep damaged end: %w", err)
	}
	if err := errors.Join(k.files.syncFolder(aside), k.files.syncFolder(".")); err != nil {
		return fmt.Errorf("keep damaged end: %w", err)
	}
	f, err := k.files.open(name, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("cut journal: %w", err)
	}
	defer f.Close()
	if err := errors.Join(k.files.truncate(f, k.cutAt), k.files.sync(f)); err != nil {
		return fmt.Errorf("cut journal: %w", err)
	}
	return nil
}
