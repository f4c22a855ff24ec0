// store_logs.go: what tasks print, kept by the principal. Each workflow has a folder and in it a file a day (UTC),
// named yyyy-mm-dd.jsonl, with one LogRecord a line as JSON, so that grep, tail and jq work on it. It is one line of
// output, or several that were written together:
//
//	{"t":"2026-01-31T02:30:00.000Z","r":"01JD…","i":1,"k":"load","n":1,"s":"o","m":"hello"}
//	{"t":"2026-01-31T02:30:01.000Z","r":"01JD…","i":2,"j":4,"k":"load","n":1,"s":"o","m":"one\ntwo\nthree"}
//
// Below, a line is a line of output, and a record one of a file.
//
// A line goes into the file of the day on which it is written, and never into an earlier file than the newest, whatever
// the clock does: so the order of places (day, offset) is the order of writing. One goroutine writes; any number of
// others read beside it and see whole lines only. Nothing is synced: what a killed process wrote is in the page cache,
// and what a power cut took of a line is cut off before the next one is written. The last of a disk is not for output:
// see sys_disk.go.

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
	uses  uint64            // counts uses of files: the one used longest ago is closed first
	floor map[string]string // by folder: no line goes to an earlier day; kept for every folder written to or asked for

	mu   sync.Mutex          // guards open and logFile.end against readers; never held over input or output
	open map[string]*logFile // by folder: the file that is written to

	damaged atomic.Int64 // lines met that name the run asked for but cannot be decoded, each time that they are met
}

// logFile is a day's file that is open for writing. Only the writer touches it, but for end.
type logFile struct {
	day  string
	f    *os.File
	end  int64 // all before it was written without error: readers go no further
	torn bool  // there may be remains of a failed write behind end
	used uint64
}

// logPlace is a place in the output of one workflow: a day's file, a byte offset in it, which is the start of a record,
// and how many lines of that record lie before the place. The zero place is before everything.
type logPlace struct {
	Day  string
	At   int64
	Skip int
}

// logPlaceOf gives a place before all output of a run.
func logPlaceOf(r *Run) logPlace { return logPlace{Day: r.LogDay, At: r.LogAt} }

// logFilter says which lines of a run are wanted. Each zero field lets everything pass.
type logFilter struct {
	Task   string         // of this task
	Stream string         // of this stream: o, e or c
	Since  time.Time      // not older
	Until  string         // not in a file of a later day
	Before int64          // of a lower number in its run than this; 0: any
	Grep   *regexp.Regexp // matched against the line as the task wrote it
	Tail   int            // only the last so many of the lines that are there and match
	None   bool           // no line at all: only the place behind them is wanted

	over func() bool // asked now and then: nobody waits for the lines any more; nil: somebody always does
}

// logsLook is after how many lines a reader asks whether anybody still waits.
const logsLook = 256

// errLogsOver says that reading was given up because nobody waits for it any more.
var errLogsOver = errors.New("reading was given up")

// logsOpen opens the folder of all output, and makes it when it is not there.
func logsOpen(dir string) (*logs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open log folder: %w", err)
	}
	return &logs{root: root, now: time.Now, writeAt: (*os.File).WriteAt,
		floor: map[string]string{}, open: map[string]*logFile{}}, nil
}

// close closes all files. Readers must have ended.
func (l *logs) close() {
	for folder := range l.open {
		l.shut(folder)
	}
	l.root.Close()
}

// end gives the place where the next line of a workflow goes, to be noted when a run starts: all of its lines are at
// that place or after it. It makes no file. When the disk does not answer it gives the zero place, which is also
// before all lines, only slower to read from.
func (l *logs) end(workflow string) logPlace {
	folder := idFolder(workflow)
	day, err := l.day(folder)
	if err != nil {
		return logPlace{}
	}
	file, err := l.file(folder, day, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return logPlace{Day: day}
	case err != nil:
		return logPlace{}
	}
	return logPlace{Day: day, At: file.end}
}

// append writes lines of one workflow behind all earlier ones, in one write. All of them are stored, or, with an
// error, none: what a failed write left is cut off before anything else is written, and readers never see it.
func (l *logs) append(workflow string, lines []LogLine) error {
	return l.put(workflow, lines, diskRoom)
}

// remark writes one line of our own in the same way, also in the room that output leaves free. There must be few of
// them.
func (l *logs) remark(workflow string, line LogLine) error {
	return l.put(workflow, []LogLine{line}, func(*os.File, int) error { return nil })
}

// put writes lines where room allows so many bytes.
func (l *logs) put(workflow string, lines []LogLine, room func(*os.File, int) error) error {
	if len(lines) == 0 {
		return nil
	}
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
	if cap(b) <= 1<<20 { // what one burst needed is not kept for ever
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
		file.mend() // when even that fails, the next append tries again before it writes
		return fmt.Errorf("write log of %s: %w", workflow, err)
	}
	l.mu.Lock()
	file.end += int64(len(b))
	l.mu.Unlock()
	return nil
}

// day gives the day whose file the next line of a folder goes to: today, but no day before one that has a file or was
// given out in a place.
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

// file gives the open file of a day, the newest of its folder. Without create, a file that is not there is
// fs.ErrNotExist. The file is known to readers before the first byte is written to it.
func (l *logs) file(folder, day string, create bool) (*logFile, error) {
	l.uses++
	if file := l.open[folder]; file != nil && file.day == day {
		file.used = l.uses
		return file, nil
	}
	flags := os.O_RDWR
	if create {
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

// read gives fn, in order, every line of a run that passes the filter, from a place up to what is written when read is
// called. It returns the place to go on from, which is how a run is followed: wait until something was written, read
// on. When fn returns an error, read stops and returns it with the place of that line. A place that is no start of a
// record, as after a power cut that took the end of a file, counts as the start of its day. Damaged records are
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
		place = logPlace{Day: spans[n-1].day, At: spans[n-1].to} // when the last lines of all are not wanted
	}
	if f.None {
		return place, nil
	}
	if f.Tail > 0 {
		if spans, err = l.tail(folder, spans, &f, &m); err != nil {
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
	looked int         // records, and lines in those of the run
	isOver bool        // over has said so: nothing is found any more
	found  []LogLine
}

// look counts what is looked at, and gives isOver.
func (m *logMatcher) look() bool {
	if m.looked++; m.looked%logsLook == 0 && m.over != nil {
		m.isOver = m.isOver || m.over()
	}
	return m.isOver
}

// lines gives those of the run in a record. They are good until it is called again.
func (m *logMatcher) lines(text []byte) []LogLine {
	if m.look() {
		return nil
	}
	if _, ok := logAfter(text, m.needle); !ok {
		return nil
	}
	var err error
	if m.found, err = logDecode(m.found[:0], text); err != nil {
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
	case f.Task != "" && line.Task != f.Task,
		f.Stream != "" && line.Stream != f.Stream,
		!f.Since.IsZero() && line.Time.Before(f.Since),
		f.Before > 0 && line.N >= f.Before,
		f.Grep != nil && line.Bytes != nil && !f.Grep.Match(line.Bytes),
		f.Grep != nil && line.Bytes == nil && !f.Grep.MatchString(line.Text):
		return false
	}
	return true
}

// lastNumber gives the highest number among the stored lines of a run, 0 when there is none: after a restart of the
// principal, lines up to it that are sent again are dropped.
func (l *logs) lastNumber(workflow, run string, from logPlace) (int64, error) {
	folder := idFolder(workflow)
	spans, err := l.spans(folder, from)
	if err != nil {
		return 0, fmt.Errorf("read log of %s: %w", workflow, err)
	}
	needle, last := logNeedle(run), int64(0)
	for _, s := range spans {
		_, err := l.scan(folder, s, func(text []byte) error {
			if rest, ok := logAfter(text, needle); ok {
				if _, n, ok := logNumbers(rest); ok {
					last = max(last, n) // a line whose text was damaged since was stored all the same
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

// logNeedle gives what every record of a run has near its start.
func logNeedle(run string) []byte { return logString([]byte(`"r":`), run) }

// logAfter gives what follows a run's needle in a record that has it where logEncode puts it. It is no proof, only
// cheap.
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
		s := logSpan{day: day, to: info.Size()} // the size is asked for first: what is found behind end is not good yet
		l.mu.Lock()
		if file := l.open[folder]; file != nil && file.day == day {
			s.to = min(s.to, file.end)
		}
		l.mu.Unlock()
		if day == from.Day {
			if s.from, err = l.start(folder, s, from.At); err != nil {
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

// scan gives fn the whole records of a span, in order, and returns the offset behind the last one; when fn fails, that
// of the line it failed at. The text is fn's only until it returns. A file that is gone has no lines.
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

// tail gives the spans that are left when reading starts at the last lines that the filter wants. It reads from the
// end, so it costs what these lines are away from it. It stops when nobody waits for them any more.
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
	var rest []byte // the end of a line, with its newline, whose start was not read yet
	for to, size := s.to, int64(logBlock); to > s.from; {
		n := min(size, to-s.from)
		text := make([]byte, int(n)+len(rest))
		if _, err := f.ReadAt(text[:n], to-n); err != nil {
			return err
		}
		copy(text[n:], rest)
		to -= n
		if len(rest) == 0 { // behind the last newline is a torn line, or a part of one that is too long
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
		if size = logBlock; len(rest) > 0 { // a long line is read in steps that grow with it
			size = max(size, int64(len(rest)))
		}
	}
	return nil
}
