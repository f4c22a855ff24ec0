// store_logs.go: the output of tasks, as the principal keeps it. Each workflow has a folder, with one file a day (UTC)
// named yyyy-mm-dd.jsonl. A line of such a file is a LogRecord as JSON, so that grep, tail and jq work on it. A record
// is one line of output, or several that were written together:
//
//	{"t":"2026-01-31T02:30:00.000Z","r":"01JD…","i":1,"k":"load","n":1,"s":"o","m":"hello"}
//	{"t":"2026-01-31T02:30:01.000Z","r":"01JD…","i":2,"j":4,"k":"load","n":1,"s":"o","m":"one\ntwo\nthree"}
//
// In this file, a line is a line of output, and a record is a line of a file.
//
// A line goes into the file of the day on which it is written, but never into a file older than the newest, whatever
// the clock does: so the order of places (day, offset) is the order of writing. One goroutine writes. Any number of
// others read meanwhile, and see whole lines only. Nothing is synced: what a killed process wrote is in the page cache,
// and the rest of a line that a power cut tore is cut off before the next line is written. Output leaves the last of a
// disk free: see sys_disk.go.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	logMaxOpen   = 32       // files kept open for writing
	logMaxLine   = 16 << 20 // bytes of a record as JSON; a longer one is refused, and skipped by readers
	logBlock     = 64 << 10 // bytes read at once
	logDayLayout = "2006-01-02"
	logEnding    = ".jsonl"
)

// logs is the folder of all output. append, end and close belong to one goroutine; read and lastNumber may be called
// by any, at any time before close.
type logs struct {
	root    *os.Root
	now     func() time.Time
	writeAt func(*os.File, []byte, int64) (int, error)

	buf   []byte
	uses  uint64            // counts uses of files: the file that was used longest ago is closed first
	floor map[string]string // by folder, for every folder written to or asked for: no line goes to an earlier day
	none  map[string]string // by folder: a day that has no file, unless somebody else has put one there

	mu   sync.Mutex          // guards open and logFile.end against readers; never held over input or output
	open map[string]*logFile // by folder: the file that is written to

	wrote   atomic.Int64 // bytes that were written since the start
	damaged atomic.Int64 // records that name a run that was asked for but cannot be decoded, once for each look at them
}

// logFile is a day's file that is open for writing. Only the goroutine that writes touches it; readers read end.
type logFile struct {
	day  string
	f    *os.File
	end  int64  // all before it was written without error: readers go no further
	torn bool   // there may be remains of a failed write behind end
	used uint64 // logs.uses when it was last used
}

// logPlace is a place in the output of one workflow: a day's file, the offset of a record in it in bytes, and how many
// lines of that record lie before the place. The zero place is before everything.
type logPlace struct {
	Day  string
	At   int64
	Skip int
}

// logPlaceOf gives a place before all output of a run.
func logPlaceOf(r *Run) logPlace { return logPlace{Day: r.LogDay, At: r.LogAt} }

// logFilter says which lines of a run are wanted. Each zero field lets everything pass.
type logFilter struct {
	Task   string         // of this task, or of all its instances
	Stream string         // of this stream: o, e or c
	Since  time.Time      // not older than that
	Until  string         // not in the file of a later day
	Before int64          // with a lower number in its run than this; 0: any
	Grep   *regexp.Regexp // matched against the line as the task wrote it
	Tail   int            // only the last so many of the lines that are there and match
	None   bool           // no line at all: only the place behind them is wanted

	over func() bool // asked now and then: true once nobody waits for the lines any more; nil: never
}

// logsLook is how many lines a reader looks at before it asks again whether anybody still waits.
const logsLook = 256

// errLogsOver says that reading was given up because nobody waited for it any more.
var errLogsOver = errors.New("reading was given up")

// logsOpen opens the folder of all output, and makes it if there is none.
func logsOpen(dir string) (*logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open log folder: %w", err)
	}
	return &logs{root: root, now: time.Now, writeAt: (*os.File).WriteAt,
		floor: map[string]string{}, none: map[string]string{}, open: map[string]*logFile{}}, nil
}

// close closes all files. Readers must have ended.
func (l *logs) close() {
	for folder := range l.open {
		l.shut(folder)
	}
	l.root.Close()
}

// end gives the place where the next line of a workflow goes. It is noted when a run starts: all lines of the run are
// at that place or after it. It makes no file. When the disk does not answer it gives the zero place, which is before
// all lines too, only slower to read from.
func (l *logs) end(workflow string) logPlace {
	folder := idFolder(workflow)
	day, err := l.day(folder)
	if err != nil {
		return logPlace{}
	}
	if l.none[folder] == day { // a workflow that prints nothing asks for each run
		return logPlace{Day: day}
	}
	file, err := l.file(folder, day, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.none[folder] = day
		return logPlace{Day: day}
	case err != nil:
		return logPlace{}
	}
	return logPlace{Day: day, At: file.end}
}

// append writes lines of one workflow after all earlier ones, in one write. It stores all of them or, with an error,
// none: what a failed write left is cut off before anything else is written, and readers never see it.
func (l *logs) append(workflow string, lines []LogLine) error {
	return l.put(workflow, lines, diskRoom)
}

// remark writes one line of cdktr's own in the same way, but may also use the room that output leaves free. There must
// be few of them.
func (l *logs) remark(workflow string, line LogLine) error {
	return l.put(workflow, []LogLine{line}, func(*os.File, int) error { return nil })
}

// appendBlocks is append for lines that are ready to be stored. It has no bound of its own on their length.
func (l *logs) appendBlocks(workflow string, blocks []LogBlock) error {
	b := l.buf[:0]
	for len(blocks) > 0 {
		n := logJoined(blocks)
		b = logEncodeBlocks(b, blocks[:n])
		blocks = blocks[n:]
	}
	return l.write(workflow, b, diskRoom)
}

// put writes lines, if room has no objection to so many bytes.
func (l *logs) put(workflow string, lines []LogLine, room func(*os.File, int) error) error {
	var pack recordPacker
	for i := range lines {
		pack.add(&lines[i])
	}
	b := l.buf[:0]
	for _, r := range pack.records() {
		before := len(b)
		b = logEncode(b, &r)
		if len(b)-before > logMaxLine {
			return fmt.Errorf("write log of %s: line %d of run %s is over %d MiB", workflow, r.N, r.Run, logMaxLine>>20)
		}
	}
	return l.write(workflow, b, room)
}

// write writes records, if room has no objection to so many bytes.
func (l *logs) write(workflow string, b []byte, room func(*os.File, int) error) error {
	if len(b) == 0 {
		return nil
	}
	if cap(b) <= 1<<20 { // the memory for one burst is not kept for ever
		l.buf = b
	}
	folder := idFolder(workflow)
	day, err := l.day(folder)
	if err != nil {
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	file, err := l.file(folder, day, true)
	if err != nil {
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	if err := file.mend(); err != nil {
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	if err := room(file.f, len(b)); err != nil {
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	if _, err := l.writeAt(file.f, b, file.end); err != nil {
		file.torn = true
		file.mend() // if that fails too, the next append tries again before it writes
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	l.mu.Lock()
	file.end += int64(len(b))
	l.mu.Unlock()
	l.wrote.Add(int64(len(b)))
	return nil
}

// day gives the day whose file the next line of a folder goes to: today, but never a day before one that has a file or
// that a place was given of.
func (l *logs) day(folder string) (string, error) {
	floor, known := l.floor[folder]
	if !known {
		days, err := l.days(folder)
		if err != nil {
			return "", err
		}
		if n := len(days); n > 0 {
			floor = days[n-1]
		}
	}
	day := max(floor, l.now().UTC().Format(logDayLayout))
	l.floor[folder] = day
	return day, nil
}

// days lists the days that a folder has files of, in order. No folder is no days.
func (l *logs) days(folder string) ([]string, error) {
	dir, err := diskOpenIn(l.root, folder, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var days []string
	for _, name := range names {
		day, ok := strings.CutSuffix(name, logEnding)
		if _, err := time.Parse(logDayLayout, day); ok && err == nil {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	return days, nil
}

// file gives the open file of a day, the newest of its folder. Without create, a file that is not there gives
// fs.ErrNotExist. Readers know of the file before the first byte is written to it.
func (l *logs) file(folder, day string, create bool) (*logFile, error) {
	l.uses++
	if file := l.open[folder]; file != nil && file.day == day {
		file.used = l.uses
		return file, nil
	}
	flags := os.O_RDWR
	if create {
		delete(l.none, folder)
		flags |= os.O_CREATE
		if err := l.root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	f, err := diskOpenIn(l.root, logName(folder, day), flags)
	if err != nil {
		return nil, err
	}
	end, err := fileWhole(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	file := &logFile{day: day, f: f, end: end, torn: true, used: l.uses}
	if err := file.mend(); err != nil {
		f.Close()
		return nil, err
	}
	l.shut(folder)
	if len(l.open) >= logMaxOpen {
		l.shutOldest()
	}
	l.mu.Lock()
	l.open[folder] = file
	l.mu.Unlock()
	return file, nil
}

// mend cuts off what a failed write left behind the end.
func (file *logFile) mend() error {
	if !file.torn {
		return nil
	}
	info, err := file.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > file.end {
		if err := file.f.Truncate(file.end); err != nil {
			return err
		}
	}
	file.torn = false
	return nil
}

// shut closes the open file of a folder, if there is one.
func (l *logs) shut(folder string) {
	file := l.open[folder]
	if file == nil {
		return
	}
	file.mend()
	l.mu.Lock()
	delete(l.open, folder)
	l.mu.Unlock()
	file.f.Close()
}

// shutOldest closes the file that was used longest ago.
func (l *logs) shutOldest() {
	oldest, used := "", uint64(0)
	for folder, file := range l.open {
		if oldest == "" || file.used < used {
			oldest, used = folder, file.used
		}
	}
	l.shut(oldest)
}

func logName(folder, day string) string { return folder + "/" + day + logEnding }

// logSpan is a stretch of one day's file. The first lines of its first record may be passed over.
type logSpan struct {
	day      string
	from, to int64
	skip     int
}

// read gives fn, in order, every line of a run that passes the filter: from a place on, up to what is written when read
// is called. It returns the place to go on from: to follow a run, wait until something was written and read on from
// there. When fn returns an error, read stops and returns it with the place of that line. A place that is not the start
// of a record, as after a power cut that took the end of a file, counts as the start of its day. Damaged records are
// skipped. What fn gets may share memory with other lines of its record.
func (l *logs) read(workflow, run string, from logPlace, f logFilter, fn func(LogLine) error) (logPlace, error) {
	folder := idFolder(workflow)
	spans, err := l.spans(folder, from)
	if err != nil {
		return from, fmt.Errorf("read log of %s: %w", workflow, err)
	}
	if f.Until != "" {
		spans = slices.DeleteFunc(spans, func(s logSpan) bool { return s.day > f.Until })
	}
	m := logMatcher{l: l, run: run, needle: logNeedle(run), over: f.over}
	place := from
	if n := len(spans); n > 0 {
		place = logPlace{Day: spans[n-1].day, At: spans[n-1].to} // where all of it ends
	}
	if f.None {
		return place, nil
	}
	if f.Tail > 0 {
		spans, err = l.tail(folder, spans, &f, &m)
		if err != nil {
			return from, fmt.Errorf("read log of %s: %w", workflow, err)
		}
		if m.isOver {
			return from, errLogsOver
		}
	}
	for _, s := range spans {
		at, skip, next := int64(0), 0, s.skip
		at, err = l.scan(folder, s, func(text []byte) error {
			lines := m.lines(text)
			skip, next = next, 0 // next is of the first record alone
			for ; skip < len(lines) && !m.look(); skip++ {
				if f.pass(&lines[skip]) {
					if err := fn(lines[skip]); err != nil {
						return err
					}
				}
			}
			if m.isOver {
				return errLogsOver
			}
			return nil
		})
		if err != nil {
			return logPlace{Day: s.day, At: at, Skip: skip}, err
		}
		place = logPlace{Day: s.day, At: at}
	}
	return place, nil
}

// logMatcher finds the lines of one run in records.
type logMatcher struct {
	l      *logs
	run    string
	needle []byte
	over   func() bool // see logFilter
	looked int         // how many records, and lines in those of the run
	isOver bool        // over has said yes: nothing is found any more
	found  []LogLine
}

// look counts a record or a line that is looked at, and gives isOver.
func (m *logMatcher) look() bool {
	m.looked++
	if m.looked%logsLook == 0 && m.over != nil {
		m.isOver = m.isOver || m.over()
	}
	return m.isOver
}

// lines gives the run's lines in a record. They are good until it is called again.
func (m *logMatcher) lines(text []byte) []LogLine {
	if m.look() {
		return nil
	}
	if _, ok := logAfter(text, m.needle); !ok {
		return nil
	}
	var err error
	m.found, err = logDecode(m.found[:0], text)
	if err != nil {
		m.l.damaged.Add(1)
		return nil
	}
	if m.found[0].Run != m.run {
		return nil
	}
	return m.found
}

// pass says whether a line is wanted.
func (f *logFilter) pass(line *LogLine) bool {
	switch {
	case f.Task != "" && line.Task != f.Task && !foreachIs(line.Task, f.Task),
		f.Stream != "" && line.Stream != f.Stream,
		!f.Since.IsZero() && line.Time.Before(f.Since),
		f.Before > 0 && line.N >= f.Before,
		f.Grep != nil && line.Bytes != nil && !f.Grep.Match(line.Bytes),
		f.Grep != nil && line.Bytes == nil && !f.Grep.MatchString(line.Text):
		return false
	}
	return true
}

// lastNumber gives the highest number among the stored lines of a run, 0 when there is none. After a restart the
// principal drops lines up to that number when they are sent again.
func (l *logs) lastNumber(workflow, run string, from logPlace) (int64, error) {
	return l.lastNumbers(workflow, run, from, nil)
}

// lastNumbers is lastNumber. It hands each every record of the run, and how many lines it has; nil: nobody wants to
// know.
func (l *logs) lastNumbers(workflow, run string, from logPlace, each func(record []byte, lines int64)) (int64, error) {
	folder := idFolder(workflow)
	spans, err := l.spans(folder, from)
	if err != nil {
		return 0, fmt.Errorf("read log of %s: %w", workflow, err)
	}
	needle, last := logNeedle(run), int64(0)
	for _, s := range spans {
		_, err := l.scan(folder, s, func(text []byte) error {
			if rest, ok := logAfter(text, needle); ok {
				if first, n, ok := logNumbers(rest); ok {
					last = max(last, n) // a line whose text was damaged since was stored all the same
					if each != nil {
						each(text, n-first+1)
					}
				}
			}
			return nil
		})
		if err != nil {
			return last, fmt.Errorf("read log of %s: %w", workflow, err)
		}
	}
	return last, nil
}

// logNeedle gives the text that every record of a run has near its start.
func logNeedle(run string) []byte { return logString([]byte(`"r":`), run) }

// logAfter gives what follows a run's needle in a record that has the needle where logEncode puts it. It is cheap, and
// proves nothing: the record may be damaged.
func logAfter(text, needle []byte) ([]byte, bool) {
	const front = len(`{"t":"`) + len(stampLayout) + len(`",`)
	at := bytes.Index(text[:min(len(text), front+len(needle))], needle)
	if at < 0 {
		return nil, false
	}
	return text[at+len(needle):], true
}

// spans lists what is written from a place on: a stretch of each day's file, oldest first.
func (l *logs) spans(folder string, from logPlace) ([]logSpan, error) {
	days, err := l.days(folder)
	if err != nil {
		return nil, err
	}
	var spans []logSpan
	for _, day := range days {
		if day < from.Day {
			continue
		}
		info, err := l.root.Stat(logName(folder, day))
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention was faster
		} else if err != nil {
			return nil, err
		}
		s := logSpan{day: day, to: info.Size()} // asked for before end is read: bytes behind end are not good yet
		l.mu.Lock()
		if file := l.open[folder]; file != nil && file.day == day {
			s.to = min(s.to, file.end)
		}
		l.mu.Unlock()
		if day == from.Day {
			s.from, err = l.start(folder, s, from.At)
			if err != nil {
				return nil, err
			}
			if s.from == from.At {
				s.skip = from.Skip
			}
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// start gives at when it is a start of a record in the span's file, else the file's start.
func (l *logs) start(folder string, s logSpan, at int64) (int64, error) {
	if at <= 0 || at > s.to {
		return 0, nil
	}
	f, err := diskOpenIn(l.root, logName(folder, s.day), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at-1); err != nil || b[0] != '\n' {
		return 0, nil
	}
	return at, nil
}

// scan gives fn the whole records of a span, in order, and returns the offset behind the last one, or that of the
// record at which fn failed. The text is fn's only until it returns. A file that is gone has no records.
func (l *logs) scan(folder string, s logSpan, fn func(text []byte) error) (int64, error) {
	if s.from >= s.to {
		return s.from, nil
	}
	f, err := diskOpenIn(l.root, logName(folder, s.day), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return s.from, nil
	} else if err != nil {
		return s.from, err
	}
	defer f.Close()
	at, next := s.from, s.from // the record's start; where to read on
	buf, held := make([]byte, min(logBlock, s.to-s.from)), 0
	drop := false // the record is too long: its rest is thrown away
	for next < s.to {
		if held == len(buf) {
			if held >= logMaxLine {
				drop, held = true, 0
			} else {
				buf = slices.Grow(buf, len(buf))[:2*len(buf)]
			}
		}
		n, err := f.ReadAt(buf[held:held+int(min(int64(len(buf)-held), s.to-next))], next)
		if n == 0 && err == io.EOF {
			return at, nil // shorter than it was: its end is gone
		} else if n == 0 && err != nil {
			return at, err
		}
		next += int64(n)
		text, searched := buf[:held+n], held
		for {
			end := bytes.IndexByte(text[searched:], '\n')
			if end < 0 {
				break
			}
			end += searched + 1
			if !drop {
				if err := fn(text[:end]); err != nil {
					return at, err
				}
			} else {
				l.damaged.Add(1)
			}
			drop, searched = false, 0
			text = text[end:]
			at = next - int64(len(text))
		}
		held = copy(buf, text)
	}
	return at, nil
}

// tail cuts spans so that they begin with the last lines that the filter wants. It reads from the end: it costs as much
// as there is from these lines on. It stops when nobody waits for them any more.
func (l *logs) tail(folder string, spans []logSpan, f *logFilter, m *logMatcher) ([]logSpan, error) {
	n := f.Tail
	for i := len(spans) - 1; i >= 0; i-- {
		s := &spans[i]
		first, skip := s.from, s.skip
		err := l.scanBack(folder, *s, func(text []byte, at int64) bool {
			least := 0
			if at == first {
				least = skip
			}
			lines := m.lines(text)
			for k := len(lines) - 1; k >= least && n > 0 && !m.look(); k-- {
				if f.pass(&lines[k]) {
					n--
					s.from, s.skip = at, k
				}
			}
			return n > 0 && !m.isOver
		})
		if err != nil {
			return nil, err
		}
		if n == 0 || m.isOver {
			return spans[i:], nil
		}
	}
	return spans, nil
}

// scanBack gives fn the whole records of a span, the last one first, with their offsets, until fn returns false.
func (l *logs) scanBack(folder string, s logSpan, fn func(text []byte, at int64) bool) error {
	f, err := diskOpenIn(l.root, logName(folder, s.day), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	var rest []byte // the end of a record, with its newline, whose start is not read yet
	for to, size := s.to, int64(logBlock); to > s.from; {
		n := min(size, to-s.from)
		text := make([]byte, int(n)+len(rest))
		if _, err := f.ReadAt(text[:n], to-n); err != nil {
			return err
		}
		copy(text[n:], rest)
		to -= n
		if len(rest) == 0 { // behind the last newline is a torn record, or a part of one that is too long
			text = text[:bytes.LastIndexByte(text, '\n')+1]
		}
		for len(text) > 0 {
			start := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
			if start == 0 && to > s.from {
				break
			}
			if !fn(text[start:], to+int64(start)) {
				return nil
			}
			text = text[:start]
		}
		rest = text
		if len(rest) > logMaxLine {
			rest = nil
		}
		size = max(logBlock, int64(len(rest))) // a long record is read in steps that grow with it
	}
	return nil
}
