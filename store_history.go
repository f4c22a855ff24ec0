// store_history.go: the finished runs. Each is one line in history/<workflow>/<yyyy-mm>.jsonl, the file of the month
// (UTC) in which it finished, in the order of finishing. Lines have checksums as those of the journal do
// (store_line.go), and leave out what is usual (store_history_line.go). Files are read from their end: the newest 50 of
// a million runs cost a few kilobytes.
//
// A run gets a second line when it was retried, when an agent that was lost brought it back, or when more is known of
// the processes that it left: the later line counts, and readers drop the earlier. No crash makes the same line appear
// twice: a start looks up the runs that finished in the replayed journal at the ends of their files, and adds only
// those that are not there. Should a line be there twice all the same (files put back from a backup), readers drop the
// second as well. They pass over a damaged line.

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
	historyBlock    = 4 << 10  // bytes first read from the end of a file; each further block is twice as long
	historyBlockMax = 64 << 10 // the longest of these blocks

	// Readers stop at the first line that is older than wanted by this much: the clock may have been set back by up to
	// that between two lines of one file.
	historySlack = 48 * time.Hour
)

// errHistoryNone says that no finished run has that id.
var errHistoryNone = errors.New("the history has no such run")

// errHistoryOver says that a search was given up because nobody waited for it any more.
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

// history queues the line of a finished run; it does not wait, and does not keep run. The events that ended the run
// must have been appended. The writer calls done (nil: none) once the line is written. It is on the disk before the
// next snapshot is; until then the journal has the run.
func (s *store) history(run *Run, done func()) {
	if s.opt.Forget {
		s.put(storeOp{run: historyPlaceOf(run), done: done})
		return
	}
	if err := s.lines.addRun(run); err != nil {
		panic("cdktr: internal error: encode run: " + err.Error()) // no field of it can fail
	}
	s.put(storeOp{data: s.lines.take(), run: historyPlaceOf(run), done: done, last: s.seq})
}

// settled gives up to which event the history may tell: the journal is to say first that a run ended. It has written
// that, and synced it where it is about to or has failed to: a crash must not take it back and leave the history's
// line.
func (w *storeWriter) settled() uint64 {
	if len(w.lines) > 0 && (w.wait == storeSoon || w.journalFault.err != nil) {
		return w.lines[0].first - 1
	}
	return w.s.written.Load()
}

// flushHistory writes the lines that wait and may be written, those of one file in one go.
func (w *storeWriter) flushHistory(now bool) error {
	settled := w.settled()
	ready := sort.Search(len(w.runs), func(i int) bool { return w.runs[i].last > settled })
	if ready == 0 && w.historyFault.err == nil {
		return nil
	}
	if !now && w.historyFault.rests(time.Now()) {
		return w.historyFault.err
	}
	for ready > 0 {
		n, data := 1, slices.Clone(w.runs[0].data)
		for n < ready && *w.runs[n].run == *w.runs[0].run && len(data) < storeChunk {
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
		w.runs, ready = w.runs[n:], ready-n
		for _, op := range done {
			w.s.backlog.Add(-int64(len(op.data)))
			if op.done != nil {
				op.done()
			}
		}
	}
	if len(w.runs) == 0 {
		w.runs = nil
	}
	w.historyFault.set(nil, time.Now())
	return nil
}

// historyMonth is the file that was added to last. It stays open: many runs in a row go into one file.
type historyMonth struct {
	place historyPlace
	f     *os.File // nil: there is none
	size  int64    // as this process has left it
}

// close closes the file, if there is one.
func (m *historyMonth) close() {
	if m.f != nil {
		m.f.Close()
		m.f = nil
	}
}

// still says whether the file is there as it was left: nobody has removed or moved it, put another one in its place, or
// written to it.
func (m *historyMonth) still(root *os.Root) bool {
	info, err := m.f.Stat()
	if err != nil {
		return false
	}
	there, err := root.Lstat(m.place.file())
	return err == nil && os.SameFile(info, there) && info.Size() == m.size
}

// addHistory appends whole lines to one file.
func (w *storeWriter) addHistory(p *historyPlace, data []byte) error {
	if m := &w.month; m.f == nil || m.place != *p || !m.still(w.files.root) {
		m.close()
		if err := w.openHistory(p); err != nil {
			return err
		}
	}
	w.unsyncedHistory[p.file()] = true
	at := w.month.size
	if _, err := w.files.write(w.month.f, data); err != nil {
		w.files.truncate(w.month.f, at) // if this fails too, the next try does it
		w.month.close()
		return err
	}
	w.month.size += int64(len(data))
	w.s.did.history.Add(int64(len(data)))
	w.s.index.add(p, at, data)
	return nil
}

// openHistory opens a file to add to it. It cuts off what a crash or a full disk left of a line at the end.
func (w *storeWriter) openHistory(p *historyPlace) error {
	made, err := w.files.mkdir(p.folder)
	if err != nil {
		return err
	}
	if made || !w.syncedNames[historyFolder] {
		w.unsyncedHistory[historyFolder] = true
	}
	f, err := w.files.open(p.file(), os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	size, whole, err := historyEnd(f)
	if err == nil && whole < size {
		err = w.files.truncate(f, whole)
	}
	if err != nil {
		f.Close()
		return err
	}
	if size == 0 || !w.syncedNames[p.folder] {
		w.unsyncedHistory[p.folder] = true
	}
	w.month = historyMonth{*p, f, whole}
	return nil
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

// syncHistory makes durable what was written to the history, files before the folders that name them, and what its
// index says of that.
func (w *storeWriter) syncHistory() error {
	for _, name := range sortedKeys(w.unsyncedHistory) {
		if !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		if err := w.syncMonth(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // retention may have removed it
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
	return w.s.index.sync()
}

// syncMonth makes the lines of one file durable. After a sync that failed another one proves nothing (see ready): then
// it writes the file anew, which still reads well.
func (w *storeWriter) syncMonth(name string) error {
	if !w.lostHistory[name] {
		err := w.files.syncFile(name)
		w.lostHistory[name] = err != nil
		return err
	}
	w.unsyncedHistory[path.Dir(name)] = true
	w.month.close()
	return w.files.replaceEnd(name, 0)
}

// historyKey tells the lines of one run apart.
type historyKey struct {
	run, state string
	attempt    int
	finished   Stamp
	left       int // processes that the run has left
	gone       int // those of them that have ended since
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

// historyMissing gives, in their order, the runs that finished in the replay and are not in their files. It looks at as
// many lines from the end of a file as there are such runs: each was the last line when it was written. If a run was
// queued again and finished twice, only its last line counts: the earlier one may never have been written, when both
// came in one turn; written now, it would stand behind the last one and count.
func (s *store) historyMissing(finished []*Run) ([]*Run, error) {
	count := map[historyPlace]int{}
	for _, r := range finished {
		count[*historyPlaceOf(r)]++
	}
	there, places := map[historyKey]bool{}, indexPlaces{}
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
			run, err = back.run()
			if err == nil {
				there[historyKeyOf(run)] = true
				places.add(&place, back.at+int64(len(back.buf)), run.ID)
			}
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read history %s: %w", place.file(), err)
		}
	}
	s.index.addAgain(places)
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
	at    int64  // the offset of buf in the file
	buf   []byte // it ends with the line to be read next
	block int64  // how long the block was that was read last
	lines int    // how many were looked at

	only []byte      // lines without it are passed over; nil: none are
	stop time.Time   // lines of runs that finished before are not wanted
	over func() bool // see historyFilter
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
		if errors.Is(err, fs.ErrNotExist) { // retention has removed it
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

// line gives the line before the one that it gave last, with its newline if it has one. Before the first line it gives
// io.EOF. It passes over a line that is longer than storeLineMax.
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
			if err := b.skipLong(); err != nil {
				return nil, err
			}
			searched = 0
			continue
		}
		searched = max(len(b.buf)-1, 0)
		b.block = min(max(2*b.block, historyBlock), historyBlockMax)
		// the longer the line, the more is read at once
		n := min(max(b.block, int64(len(b.buf))), b.at, int64(storeLineMax+1-len(b.buf)))
		more := make([]byte, n, n+int64(len(b.buf)))
		if _, err := b.read(more, b.at-n); err != nil {
			return nil, err
		}
		b.at -= n
		b.buf = append(more, b.buf...)
	}
}

// skipLong passes over the rest of a line that is too long: buf is then the end of the line before it.
func (b *historyBack) skipLong() error {
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

// run gives the run of the line before; it passes over damaged lines. Before the first line, and once lines are older
// than is wanted, it gives io.EOF.
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
		if !wanted && b.lines%64 != 0 { // now and then is often enough to see how old they are
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
	run      string // only this run: for historyFind

	over func() bool // asked now and then: true once nobody waits for the list any more; nil: never

	// A list page by page.
	behind   string                // the list begins behind this run, the last of the page before
	behindAt time.Time             // the place of that run
	tell     func(place time.Time) // called before each run that is given, with its place; nil: nobody asks
}

// historyStream is the runs of one workflow, newest first.
type historyStream struct {
	s      *store
	folder string
	months []string // files not yet begun, the newest at the end
	filter *historyFilter
	back   *historyBack // the file that is read; nil: the next one is to be opened
	head   *Run         // the next run to be given
	place  time.Time    // of head in the list: when it finished, but never later than the run before it
}

// historyList hands finished runs to fn, the newest first, until fn says false or the limit is reached. Any goroutine
// may call it. A run that is in memory may be among them as it was when it last finished, though it is active again:
// the caller prefers what is in memory. The list remembers a hash of 8 bytes for each run that it passes, to drop the
// second line of a run: without a limit that adds up.
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
		key := id.Sum64()
		if !seen[key] && filter.begins(t) && filter.wants(t.head) {
			given++
			if filter.tell != nil {
				filter.tell(t.place)
			}
			if !fn(t.head) {
				return nil
			}
		}
		seen[key] = true
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

// begins says whether the list has begun. Lines come in the order of their places, and those of one place always in the
// same order: so a page begins where the one before it ended.
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
	kind := (f.Workflow == "" || f.Workflow == r.Workflow) && (f.State == "" || f.State == r.State)
	inTime := !r.Finished.Before(f.Since) && (f.Before.IsZero() || r.Finished.Before(f.Before))
	return kind && inTime
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

// advance puts the next older run at the head, nil when there is none. It does so too with a run that finished after
// filter.Before: else an older line of that run would pass for the newest.
func (t *historyStream) advance() error {
	for {
		if t.back == nil {
			more, err := t.nextMonth()
			if err != nil {
				return err
			}
			if !more {
				t.head = nil
				return nil
			}
		}
		run, err := t.back.run()
		if err == nil {
			t.head = run
			if t.place.IsZero() || run.Finished.Before(t.place) { // agents' clocks differ, and reports are late
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

// nextMonth opens the newest file that is not yet begun; false when no other can have a run that is wanted.
func (t *historyStream) nextMonth() (bool, error) {
	oldest := ""
	if !t.filter.Since.IsZero() {
		oldest = t.filter.Since.UTC().Format("2006-01")
	}
	for len(t.months) > 0 && t.months[len(t.months)-1] >= oldest {
		name := path.Join(t.folder, t.months[len(t.months)-1]+".jsonl")
		t.months = t.months[:len(t.months)-1]
		back, err := t.s.historyOpen(name)
		if errors.Is(err, fs.ErrNotExist) { // retention has removed it
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read history: %w", err)
		}
		back.over = t.filter.over
		if !t.filter.Since.IsZero() {
			back.stop = t.filter.Since.Add(-historySlack)
		}
		if t.filter.run != "" {
			back.only = []byte(`"run":"` + t.filter.run + `"`)
		}
		t.back = back
		return true, nil
	}
	return false, nil
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

// historyFind gives the newest line of a finished run, or errHistoryNone. Any goroutine may call it. A run that the
// index does not know, it looks for in the whole history, as it does where the index cannot be read: first in what
// finished since it was queued, as its id says. over is that of historyFilter.
func (s *store) historyFind(id string, over func() bool) (*Run, error) {
	queued := runTime(id)
	if queued.IsZero() { // no run ever had such an id
		return nil, fmt.Errorf("find run %q: %w", id, errHistoryNone)
	}
	whole := s.index.whole.Load()
	if whole {
		found, err := s.indexFind(id, over)
		if found != nil || errors.Is(err, errHistoryOver) {
			return found, err
		}
		if err != nil { // it cannot be read: the lines are there all the same
			s.indexStale()
		}
	}
	for _, since := range []time.Time{queued, {}} {
		var found *Run
		err := s.historyList(historyFilter{Since: since, run: id, over: over}, func(r *Run) bool {
			if r.ID == id {
				found = r
			}
			return found == nil
		})
		if found != nil && whole {
			s.indexStale()
		}
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, fmt.Errorf("find run %s: %w", id, errHistoryNone)
}
