// store_history.go: the finished runs, history/<workflow>/<yyyy-mm>.jsonl, one line a run in the order of finishing, in
// the file of the month (UTC) that it finished in. Lines are checked like those of the journal, and leave out what is
// usual (see store_history_line.go). Files are read from their end: the newest 50 of a million runs cost a few
// kilobytes.
//
// A run has a second line when it was retried, came back from an agent that was thought lost, or has left processes
// that could not be ended, of which more is known now: the later line wins, and readers drop the earlier. The same line
// is written once, whatever crash lies between: at the start the runs that finished in the replayed journal are looked
// up at the ends of their files, and those not there are added. Should it ever be there twice (files put back from a
// backup), readers drop the second as well. A damaged line is passed over.

package main

import (
	"bytes"
	"container/heap"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	historyFolder   = "history"
	historyBlock    = 4 << 10  // the first bytes read from the end of a file; each further block is twice as long,
	historyBlockMax = 64 << 10 // up to this

	// historySlack is how far the clock may have been set back between two lines of one file, for readers that stop
	// at the first line that is too old.
	historySlack = 48 * time.Hour
)

// errHistoryNone says that no finished run has that id.
var errHistoryNone = errors.New("the history has no such run")

// errHistoryOver says that a search was given up because nobody waits for it any more.
var errHistoryOver = errors.New("the search was given up")

// historyPlace is where the line of a run goes.
type historyPlace struct{ folder, month string }

// historyPlaceOf says which file a finished run lies in.
func historyPlaceOf(r *Run) *historyPlace {
	return &historyPlace{folder: path.Join(historyFolder, idFolder(r.Workflow)),
		month: r.Finished.UTC().Format("2006-01")}
}

// file gives the path of the file below the state folder.
func (p *historyPlace) file() string { return path.Join(p.folder, p.month+".jsonl") }

// history queues the line of a finished run; it does not wait, and does not keep run. done (nil: none) is called by
// the writer once it is written; it is durable before the next snapshot is, and until then the journal has the run.
func (s *store) history(run *Run, done func()) {
	if err := s.lines.add(historyLineOf(run)); err != nil {
		panic("cdktr: internal error: encode run: " + err.Error()) // no field of it can fail
	}
	s.put(storeOp{data: s.lines.take(), run: historyPlaceOf(run), done: done})
}

// flushHistory writes the lines that wait, those of one file at once.
func (w *storeWriter) flushHistory(now bool) error {
	if len(w.runs) == 0 && w.historyFault.err == nil {
		return nil
	}
	if !now && w.historyFault.rests(time.Now()) {
		return w.historyFault.err
	}
	for len(w.runs) > 0 {
		n, data := 1, slices.Clone(w.runs[0].data)
		for n < len(w.runs) && *w.runs[n].run == *w.runs[0].run && len(data) < storeChunk {
			data = append(data, w.runs[n].data...)
			n++
		}
		err := w.addHistory(w.runs[0].run, data)
		if w.spendReserve(err) {
			err = w.addHistory(w.runs[0].run, data)
		}
		if err != nil {
			w.historyFault.set(fmt.Errorf("write history: %w", err), time.Now())
			return w.historyFault.err
		}
		done := w.runs[:n]
		w.runs = w.runs[n:]
		for _, op := range done {
			w.s.backlog.Add(-int64(len(op.data)))
			if op.done != nil {
				op.done()
			}
		}
	}
	w.runs = nil
	w.historyFault.set(nil, time.Now())
	return nil
}

// addHistory appends whole lines to one file. What a crash or a full disk left of a line at its end is cut off first.
func (w *storeWriter) addHistory(p *historyPlace, data []byte) error {
	if made, err := w.files.mkdir(p.folder); err != nil {
		return err
	} else if made || !w.syncedNames[historyFolder] {
		w.unsyncedHistory[historyFolder] = true
	}
	f, err := w.files.open(p.file(), os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	defer f.Close()
	size, whole, err := historyEnd(f)
	if err != nil {
		return err
	}
	if size == 0 || !w.syncedNames[p.folder] {
		w.unsyncedHistory[p.folder] = true
	}
	if whole < size {
		if err := w.files.truncate(f, whole); err != nil {
			return err
		}
	}
	w.unsyncedHistory[p.file()] = true
	if _, err = w.files.write(f, data); err != nil {
		w.files.truncate(f, whole) // else the next try does it
	}
	return err
}

// historyEnd gives the size of a file and where its last whole line ends.
func historyEnd(f *os.File) (size, whole int64, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, 0, err
	}
	whole, err = fileWhole(f)
	return info.Size(), whole, err
}

// syncHistory makes durable what was written to the history, files before the folders that name them.
func (w *storeWriter) syncHistory() error {
	for _, name := range sortedKeys(w.unsyncedHistory) {
		if !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		if err := w.syncMonth(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // retention took it
			return err
		}
		delete(w.unsyncedHistory, name)
		delete(w.lostHistory, name)
	}
	for _, name := range sortedKeys(w.unsyncedHistory) {
		if err := w.files.syncFolder(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(w.unsyncedHistory, name)
		w.syncedNames[name] = true
	}
	return nil
}

// syncMonth makes the lines of one file durable. Where a sync has failed another one proves nothing (see ready): then
// the file, which still reads well, is written anew.
func (w *storeWriter) syncMonth(name string) error {
	if !w.lostHistory[name] {
		err := w.files.syncFile(name)
		w.lostHistory[name] = err != nil
		return err
	}
	w.unsyncedHistory[path.Dir(name)] = true
	return w.files.replaceEnd(name, 0)
}

// historyKey tells the lines of one run apart.
type historyKey struct {
	run, state string
	attempt    int
	finished   Stamp
	left       int // processes that it has left, and
	gone       int // those of them that have gone
}

func historyKeyOf(r *Run) historyKey {
	key := historyKey{run: r.ID, state: r.State, attempt: r.Attempt, finished: r.Finished, left: len(r.Left)}
	for i := range r.Left {
		if !r.Left[i].Gone.IsZero() {
			key.gone++
		}
	}
	return key
}

// historyMissing gives those of the runs that finished in the replay that are not in their files, in their order. Each
// was the last line of its file when it was written: as many lines from the end as there are runs are enough to look
// at. Of a run that was queued again only its last end counts: an earlier one may never have been written, when both
// came in one turn, and behind the last one it would be taken for it.
func (s *store) historyMissing(finished []*Run) ([]*Run, error) {
	count := map[historyPlace]int{}
	for _, r := range finished {
		count[*historyPlaceOf(r)]++
	}
	there := map[historyKey]bool{}
	for place, n := range count {
		back, err := s.historyOpen(place.file())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		for ; n > 0 && err == nil; n-- {
			var run *Run
			if run, err = back.run(); err == nil {
				there[historyKeyOf(run)] = true
			}
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read history %s: %w", place.file(), err)
		}
	}
	last := map[string]*Run{}
	for _, r := range finished {
		last[r.ID] = r
	}
	var missing []*Run
	for _, r := range finished {
		if last[r.ID] == r && !there[historyKeyOf(r)] {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// historyBack reads the lines of a file from its end.
type historyBack struct {
	read  func(b []byte, at int64) (int, error)
	at    int64  // buf is what lies at this offset,
	buf   []byte // up to the end of the line to be read next
	block int64
	lines int
	only  []byte    // not nil: lines without it are passed over
	stop  time.Time // no line that finished before is wanted
	over  func() bool
}

// historyOpen begins at the end of a file. The file is opened anew for each block: a list over thousands of workflows
// must not hold thousands of files.
func (s *store) historyOpen(name string) (*historyBack, error) {
	info, err := s.files.root.Stat(name)
	if err != nil {
		return nil, err
	}
	read := func(b []byte, at int64) (int, error) {
		f, err := s.files.open(name, os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) { // retention took it
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if now, err := f.Stat(); err != nil || !os.SameFile(now, info) { // it was trimmed: offsets have changed
			return 0, io.EOF
		}
		return f.ReadAt(b, at)
	}
	return &historyBack{read: read, at: info.Size()}, nil
}

// line gives the line before the one given last, with its newline if it has one; io.EOF before the first. One that is
// longer than any that was written is passed over.
func (b *historyBack) line() ([]byte, error) {
	searched := 0
	for {
		end := max(len(b.buf)-1-searched, 0)
		if cut := bytes.LastIndexByte(b.buf[:end], '\n'); cut >= 0 {
			line := b.buf[cut+1:]
			b.buf = b.buf[:cut+1]
			return line, nil
		}
		if b.at == 0 {
			line := b.buf
			b.buf = nil
			if len(line) == 0 {
				return nil, io.EOF
			}
			return line, nil
		}
		if len(b.buf) > storeLineMax {
			if err := b.pass(); err != nil {
				return nil, err
			}
			searched = 0
			continue
		}
		searched = max(len(b.buf)-1, 0)
		b.block = min(max(2*b.block, historyBlock), historyBlockMax)
		// a long line is not read a block at a time
		n := min(max(b.block, int64(len(b.buf))), b.at, int64(storeLineMax+1-len(b.buf)))
		more := make([]byte, n, n+int64(len(b.buf)))
		if _, err := b.read(more, b.at-n); err != nil {
			return nil, err
		}
		b.at -= n
		b.buf = append(more, b.buf...)
	}
}

// pass passes over the rest of a line that is too long: buf is then the end of the line before it.
func (b *historyBack) pass() error {
	block := make([]byte, historyBlockMax)
	for b.buf = nil; b.at > 0 && b.buf == nil; {
		if b.over != nil && b.over() {
			return errHistoryOver
		}
		n := min(historyBlockMax, b.at)
		if _, err := b.read(block[:n], b.at-n); err != nil {
			return err
		}
		b.at -= n
		if cut := bytes.LastIndexByte(block[:n], '\n'); cut >= 0 {
			b.buf = block[:cut+1]
		}
	}
	return nil
}

// run gives the run of the line before, passing over damaged ones; io.EOF before the first, or when they become older
// than is wanted.
func (b *historyBack) run() (*Run, error) {
	for {
		line, err := b.line()
		if err != nil {
			return nil, err
		}
		text, whole := bytes.CutSuffix(line, []byte("\n"))
		b.lines++
		if b.over != nil && b.lines%64 == 1 && b.over() {
			return nil, errHistoryOver
		}
		wanted := b.only == nil || bytes.Contains(text, b.only)
		if !wanted && b.lines%64 != 0 { // to see now and then how old they are is enough
			continue
		}
		if !whole || !storeSound(text) {
			continue
		}
		r, err := historyDecode(text)
		if err != nil {
			continue
		}
		if r.Finished.Before(b.stop) {
			return nil, io.EOF
		}
		if wanted {
			return r, nil
		}
	}
}

// historyFilter says which finished runs are wanted. Zero values mean any.
type historyFilter struct {
	Workflow string
	State    string
	Since    time.Time // finished at or after
	Before   time.Time // finished before
	Limit    int
	run      string // only this one: for historyFind

	over func() bool // asked now and then: nobody waits for the list any more; nil: somebody always does

	behind   string                // the list begins behind this run, which was given
	behindAt time.Time             // at this place
	tell     func(place time.Time) // called before each run is given: its place, for behindAt; nil: nobody asks
}

// historyStream is the runs of one workflow, newest first.
type historyStream struct {
	s      *store
	folder string
	months []string // files not yet begun, the newest at the end
	filter *historyFilter
	back   *historyBack
	head   *Run      // the next to be given
	place  time.Time // its place in the list: when it finished, but never later than the run before it
}

// historyList hands finished runs to fn, the one that finished last in front, until fn says false or the limit is
// reached. Any goroutine may call it. A run that is in memory, active again perhaps, may be among them as it was when
// it last finished: what is in memory wins. A list without a limit remembers 8 bytes and their keep for each run it
// passes, to know the runs that have two lines.
func (s *store) historyList(filter historyFilter, fn func(*Run) bool) error {
	streams, err := s.historyStreams(&filter)
	if err != nil {
		return err
	}
	heap.Init(&streams)
	seen := map[uint64]bool{}
	for given := 0; len(streams) > 0 && (filter.Limit <= 0 || given < filter.Limit); {
		t := streams[0]
		id := fnv.New64a()
		io.WriteString(id, t.head.ID)
		if key := id.Sum64(); !seen[key] {
			seen[key] = true
			if filter.begins(t) && filter.wants(t.head) {
				if given++; filter.tell != nil {
					filter.tell(t.place)
				}
				if !fn(t.head) {
					return nil
				}
			}
		}
		if err := t.advance(); err != nil {
			return err
		}
		if t.head == nil {
			heap.Pop(&streams)
		} else {
			heap.Fix(&streams, 0)
		}
	}
	return nil
}

// begins says whether the list has begun: lines come in the order of their places, those of one place always in the
// same order, so that a page begins where the one before it ended.
func (f *historyFilter) begins(t *historyStream) bool {
	switch {
	case f.behind == "":
		return true
	case t.place.Before(f.behindAt):
		f.behind = ""
		return true
	case t.place.Equal(f.behindAt) && t.head.ID == f.behind:
		f.behind = ""
	}
	return false
}

// wants says whether the newest line of a run fits the filter.
func (f *historyFilter) wants(r *Run) bool {
	return (f.Workflow == "" || f.Workflow == r.Workflow) && (f.State == "" || f.State == r.State) &&
		!r.Finished.Before(f.Since) && (f.Before.IsZero() || r.Finished.Before(f.Before))
}

// historyStreams opens a stream for each workflow that has something to give.
func (s *store) historyStreams(filter *historyFilter) (historyStreams, error) {
	var folders []string
	if filter.Workflow != "" {
		folders = []string{idFolder(filter.Workflow)}
	} else {
		entries, err := s.files.list(historyFolder)
		if err != nil {
			return nil, fmt.Errorf("list history: %w", err)
		}
		for _, entry := range entries {
			folders = append(folders, entry.Name())
		}
	}
	var streams historyStreams
	for _, name := range folders {
		months, err := s.historyMonths(path.Join(historyFolder, name))
		if err != nil {
			return nil, err
		}
		t := &historyStream{s: s, folder: path.Join(historyFolder, name), months: months, filter: filter}
		if err := t.advance(); err != nil {
			return nil, err
		}
		if t.head != nil {
			streams = append(streams, t)
		}
	}
	return streams, nil
}

// historyMonths lists the months of a workflow's folder, oldest first.
func (s *store) historyMonths(folder string) ([]string, error) {
	entries, err := s.files.list(folder)
	if err != nil {
		return nil, fmt.Errorf("list history: %w", err)
	}
	var months []string
	for _, entry := range entries {
		month, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		if _, err := time.Parse("2006-01", month); ok && err == nil {
			months = append(months, month)
		}
	}
	sort.Strings(months)
	return months, nil
}

// advance puts the next older run at the head, nil when there is none. A run that finished after filter.Before is put
// there too: an older line of it must not pass for the newest.
func (t *historyStream) advance() error {
	for {
		if t.back == nil {
			if len(t.months) == 0 || !t.filter.Since.IsZero() &&
				t.months[len(t.months)-1] < t.filter.Since.UTC().Format("2006-01") {
				t.head = nil
				return nil
			}
			name := path.Join(t.folder, t.months[len(t.months)-1]+".jsonl")
			t.months = t.months[:len(t.months)-1]
			back, err := t.s.historyOpen(name)
			if errors.Is(err, fs.ErrNotExist) { // retention took it
				continue
			}
			if err != nil {
				return fmt.Errorf("read history: %w", err)
			}
			if t.back, back.over = back, t.filter.over; !t.filter.Since.IsZero() {
				back.stop = t.filter.Since.Add(-historySlack)
			}
			if t.filter.run != "" {
				back.only = []byte(`"run":"` + t.filter.run + `"`)
			}
		}
		run, err := t.back.run()
		if err == nil {
			// agents' clocks differ, and reports are late
			if t.head = run; t.place.IsZero() || run.Finished.Before(t.place) {
				t.place = run.Finished.Time
			}
			return nil
		}
		t.back = nil
		if err != io.EOF {
			return fmt.Errorf("read history %s: %w", t.folder, err)
		}
	}
}

// historyStreams is a heap with the newest head in front.
type historyStreams []*historyStream

func (h historyStreams) Len() int      { return len(h) }
func (h historyStreams) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h historyStreams) Less(i, j int) bool {
	if h[i].place.Equal(h[j].place) {
		return h[i].folder < h[j].folder
	}
	return h[i].place.After(h[j].place)
}
func (h *historyStreams) Push(x any) { *h = append(*h, x.(*historyStream)) }
func (h *historyStreams) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// historyFind gives the newest line of a finished run, or errHistoryNone. Any goroutine may call it. The id says when
// the run was queued: files are read from their ends back to there, so that a recent run is found at once. Only an id
// that is not there, or one made while the clock was wrong, costs a look at everything.
// over (nil: never) is asked now and then whether nobody waits any more.
func (s *store) historyFind(id string, over func() bool) (*Run, error) {
	from := historyQueued(id)
	if from.IsZero() { // no run ever had such an id
		return nil, fmt.Errorf("find run %q: %w", id, errHistoryNone)
	}
	for _, since := range []time.Time{from, {}} {
		var found *Run
		err := s.historyList(historyFilter{Since: since, run: id, over: over}, func(r *Run) bool {
			if r.ID == id {
				found = r
			}
			return found == nil
		})
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, fmt.Errorf("find run %s: %w", id, errHistoryNone)
}

// historyQueued gives the time in a run id (the first 48 bits of a ULID, in 10 characters), zero when it has none.
func historyQueued(id string) time.Time {
	if len(id) != 26 {
		return time.Time{}
	}
	var ms int64
	for _, c := range id[:10] {
		digit := strings.IndexRune(ulidDigits, c)
		if digit < 0 {
			return time.Time{}
		}
		ms = ms<<5 | int64(digit)
	}
	return time.UnixMilli(ms)
}
