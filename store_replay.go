// store_journal.go: the format of the journal and the way back from it to a State. A journal is a folder of segments,
// journal/0000000000001.jsonl, named by the number of their first event; a segment is lines; a line is one event, or
// several (see store_journal_line.go):
//
//	{"crc":"1a2b3c4d","seq":1,"t":"2026-01-31T02:30:00.000Z","e":"run.queued",...}
//
// The CRC-32C (RFC 3720, B.4) is over all that follows the crc field and its comma, without the newline. It has a fixed
// width and place, so that jq reads a line as it is and a check needs no parser.

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	storeLineHead   = `{"crc":"` // then 8 hexadecimal digits
	storeLineBody   = len(storeLineHead) + 8 + len(`",`)
	storeLineMax    = 64 << 20 // no line that was written is longer; a longer one is damage
	storeJournal    = "journal"
	storeKeepBroken = 8 // damaged tails that are kept for the curious
)

// storeCastagnoli is the table of CRC-32C: processors and JSON-free tools alike know it.
var storeCastagnoli = crc32.MakeTable(crc32.Castagnoli)

// storeEncoder turns values into checked lines. Not for several goroutines at once.
type storeEncoder struct {
	buf  bytes.Buffer
	json *json.Encoder
}

// add appends v, which must encode as a JSON object with at least one field, to the buffer as one checked line.
func (c *storeEncoder) add(v any) error {
	if c.json == nil {
		c.json = json.NewEncoder(&c.buf)
		c.json.SetEscapeHTML(false) // shell lines are full of & and >
	}
	start := c.buf.Len()
	c.buf.WriteString(storeLineHead + `00000000"`)
	if err := c.json.Encode(v); err != nil {
		c.buf.Truncate(start)
		return err
	}
	line := c.buf.Bytes()[start:]
	line[storeLineBody-1] = ',' // was the { of the object
	sum := storeSum(line[storeLineBody : len(line)-1])
	copy(line[len(storeLineHead):], sum[:])
	return nil
}

// take gives what was added and begins anew.
func (c *storeEncoder) take() []byte {
	data := bytes.Clone(c.buf.Bytes())
	c.buf.Reset()
	if c.buf.Cap() > 4<<20 { // a snapshot went through: that much is not needed again soon
		*c = storeEncoder{}
	}
	return data
}

// storeSum gives the CRC of body as a line carries it.
func storeSum(body []byte) (digits [8]byte) {
	sum := crc32.Checksum(body, storeCastagnoli)
	hex.Encode(digits[:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return digits
}

// storeSound says whether a line, without its newline, is what was once written.
func storeSound(line []byte) bool {
	if len(line) <= storeLineBody || string(line[:len(storeLineHead)]) != storeLineHead {
		return false
	}
	sum := storeSum(line[storeLineBody:])
	return bytes.Equal(line[len(storeLineHead):storeLineBody-2], sum[:]) &&
		string(line[storeLineBody-2:storeLineBody]) == `",`
}

// storeDecode reads a sound line into v. It changes one byte of the line, to spare a copy.
func storeDecode(line []byte, v any) error {
	line[storeLineBody-1] = '{'
	err := json.Unmarshal(line[storeLineBody-1:], v)
	line[storeLineBody-1] = ','
	return err
}

// storeLineSeq reads the number of the first event in a line without decoding the rest; 0 when there is none.
func storeLineSeq(line []byte) uint64 {
	const field = `"seq":`
	if len(line) < storeLineBody+len(field) || string(line[storeLineBody:storeLineBody+len(field)]) != field {
		return 0
	}
	var seq uint64
	for _, c := range line[storeLineBody+len(field):] {
		if c < '0' || c > '9' {
			return seq
		}
		seq = seq*10 + uint64(c-'0')
	}
	return 0 // the end of a block may have cut the number
}

// storeReader reads lines and knows where it is.
type storeReader struct {
	r    *bufio.Reader
	long []byte
	n    int   // number of the line read last, from 1
	at   int64 // where that line begins
	next int64 // where the one after it begins
}

// storeReaderOf reads the lines of r, which begins at a place in a file.
func storeReaderOf(r io.Reader, at int64) *storeReader {
	return &storeReader{r: bufio.NewReaderSize(r, 64<<10), at: at, next: at}
}

// line gives the next line without its newline, good until the next call; io.EOF after the last one. A last line that
// has no newline comes with io.ErrUnexpectedEOF.
func (r *storeReader) line() ([]byte, error) {
	part, err := r.r.ReadSlice('\n')
	text := part
	if err == bufio.ErrBufferFull {
		r.long = append(r.long[:0], part...)
		for err == bufio.ErrBufferFull && len(r.long) < storeLineMax {
			part, err = r.r.ReadSlice('\n')
			r.long = append(r.long, part...)
		}
		text = r.long
	}
	if err == io.EOF && len(text) == 0 {
		return nil, io.EOF
	}
	r.n++
	r.at, r.next = r.next, r.next+int64(len(text))
	switch err {
	case nil:
		return text[:len(text)-1], nil
	case io.EOF:
		return text, io.ErrUnexpectedEOF
	case bufio.ErrBufferFull: // the rest of it comes as further lines: none of them is sound
		return text, nil
	}
	return nil, err
}

// storeSegment is one file of the journal.
type storeSegment struct {
	name  string
	first uint64 // number of its first event
}

// storeSegmentName gives the file whose first event is first.
func storeSegmentName(first uint64) string {
	return fmt.Sprintf("%s/%013d.jsonl", storeJournal, first)
}

// segments lists the journal, oldest first. Files of other names are not looked at.
func (l *storeFiles) segments() ([]storeSegment, error) {
	entries, err := l.list(storeJournal)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var found []storeSegment
	for _, entry := range entries {
		digits, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		first, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && storeSegmentName(first) == path.Join(storeJournal, entry.Name()) {
			found = append(found, storeSegment{name: storeSegmentName(first), first: first})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].first < found[j].first })
	return found, nil
}

// storeReplay folds the journal into a State.
type storeReplay struct {
	files    *storeFiles
	dir      string // only for messages
	now      Stamp
	state    *State
	saved    bool         // there is a snapshot
	marked   uint64       // up to this event the journal was on the disk
	next     uint64       // the number that the next event must have
	last     storeSegment // where the journal is to be continued; no name: in a new segment
	size     int64        // of last
	events   int          // folded
	misfits  int          // reports of agents that did not fit, as they did not when they came
	finished []*Run       // as each was when it finished: what the history may lack
	notes    []string
}

// journal folds every event that the snapshot did not hold. Segments that it covers are not read. A torn end of the
// last segment is cut off: that is what a power cut leaves. Damage elsewhere is not of that kind, and is an error; so
// is a journal that ends before what is known to have been on the disk.
func (p *storeReplay) journal() error {
	covered := p.state.Seq
	p.next = covered + 1
	segments, err := p.files.segments()
	if err != nil {
		return err
	}
	if len(segments) == 0 && covered > 0 {
		p.notes = append(p.notes, fmt.Sprintf("the journal is empty: everything after event %d, where the snapshot "+
			"ends, is gone", covered))
	}
	from := sort.Search(len(segments), func(i int) bool { return segments[i].first > p.next }) - 1
	if from < 0 && len(segments) > 0 {
		return fmt.Errorf("read journal: %s begins at event %d, and no snapshot holds what was before (events %d to "+
			"%d): put the missing files back from a backup, or run cdktr check --repair",
			p.path(segments[0].name), segments[0].first, p.next, segments[0].first-1)
	}
	for i := max(from, 0); i < len(segments); i++ {
		if i == from {
			p.next = segments[i].first
		}
		if segments[i].first != p.next {
			return fmt.Errorf("read journal: %s ends at event %d, but the next segment %s begins at event %d: put "+
				"the missing lines back from a backup, or run cdktr check --repair",
				p.path(segments[i-1].name), p.next-1, path.Base(segments[i].name), segments[i].first)
		}
		p.last = segments[i]
		if err := p.segment(segments[i], i == len(segments)-1, covered); err != nil {
			return err
		}
	}
	if p.next <= covered { // the tail that was lost is in the snapshot: go on after it, in a segment of its own
		p.next, p.last, p.size = covered+1, storeSegment{}, 0
	}
	if p.next <= p.marked {
		return fmt.Errorf("read journal: it ends at event %d, but up to event %d it was on the disk (%s says so): "+
			"the end of %s, or a segment behind it, is gone: put it back from a backup, or run cdktr check --repair",
			p.next-1, p.marked, p.path(storeMark), orDefault(p.last.name, storeJournal))
	}
	p.state.Seq = p.next - 1
	return nil
}

// path gives the name by which the user finds a file.
func (p *storeReplay) path(name string) string { return path.Join(p.dir, name) }

// segment folds one segment.
func (p *storeReplay) segment(seg storeSegment, last bool, covered uint64) error {
	f, err := p.files.open(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	lines := storeReaderOf(f, 0)
	line, fault, err := p.scan(lines, covered)
	switch {
	case err != nil:
		return fmt.Errorf("read journal: %s:%d: %w", p.path(seg.name), lines.n, err)
	case fault == "":
		p.size = lines.next
		return nil
	case !last:
		return fmt.Errorf("read journal: %s:%d: %s, and later events depend on it: put the file back from a backup, "+
			"or run cdktr check --repair",
			p.path(seg.name), lines.n, fault)
	}
	return p.cut(seg, lines, line, fault)
}

// scan folds lines up to the end, or up to the first that is damaged: it gives that one and says what is wrong with it.
func (p *storeReplay) scan(lines *storeReader, covered uint64) (line []byte, fault string, err error) {
	for {
		line, err := lines.line()
		if err == io.EOF {
			return nil, "", nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return nil, "", err
		}
		if fault := p.fault(line, err != nil); fault != "" {
			return line, fault, nil
		}
		events, err := storeLineEvents(line)
		if err != nil {
			return nil, "", storeUnread(err)
		}
		for _, e := range events {
			if e.Seq > covered {
				if err := p.fold(e); err != nil {
					return nil, "", err
				}
			}
			p.next++
		}
	}
}

// fault says what is wrong with a line, "" when nothing is.
func (p *storeReplay) fault(line []byte, torn bool) string {
	switch {
	case torn:
		return "the line was not written to its end"
	case !storeSound(line):
		return "the line is damaged (its checksum does not match)"
	case storeLineSeq(line) != p.next:
		return fmt.Sprintf("event %d stands where event %d should", storeLineSeq(line), p.next)
	}
	return ""
}

// storeUnread is the error of a line that is sound but that this program cannot read: the state would be another than
// the one that was.
func storeUnread(err error) error {
	return fmt.Errorf("the line is whole but cannot be read; perhaps a newer version of cdktr wrote it: %w", err)
}

// fold applies an event. One of the principal that does not fit is an error, for the same cause. A report of an agent
// that does not fit (it came after its run was given to another) did not fit when it was written either, for apply is a
// function of the same events: it is counted, and the state is as it was.
func (p *storeReplay) fold(e *Event) error {
	if err := p.state.apply(e); err != nil {
		if e.N == 0 {
			return fmt.Errorf("event %d: %w; perhaps a newer version of cdktr wrote it", e.Seq, err)
		}
		p.misfits++
	} else if r := p.state.Runs[e.Run]; r != nil && e.ends(r) {
		p.finished = append(p.finished, r.clone())
	}
	p.events++
	return nil
}

// cut drops the rest of the last segment from the line that lines read last: it goes to a file of its own, then the
// segment is made shorter. A write that was torn leaves no sound line behind the damage, and was not synced: else this
// is damage of what was safe, and nothing is cut. So what is dropped may be lost for good, when the disk is full.
func (p *storeReplay) cut(seg storeSegment, lines *storeReader, line []byte, fault string) error {
	at, first := lines.at, lines.n
	tail, sound := append(bytes.Clone(line), '\n'), 0
	if lines.next-at > int64(len(line)) && storeSound(line) { // one before it is gone
		sound = 1
	}
	for {
		line, err := lines.line()
		if err == io.EOF {
			break
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return fmt.Errorf("read journal: %s:%d: %w", p.path(seg.name), lines.n, err)
		}
		tail = append(append(tail, line...), '\n')
		if err == nil && storeSound(line) {
			sound++
		}
	}
	if why := p.safe(sound); why != "" {
		return fmt.Errorf("read journal: %s:%d: %s, and %s: put the file back from a backup, or run cdktr check "+
			"--repair", p.path(seg.name), first, fault, why)
	}
	dropped := lines.n - first + 1
	tail = tail[:lines.next-at] // without the newline that was not there
	keep := fmt.Sprintf("%s.damaged-%s", strings.TrimSuffix(seg.name, ".jsonl"), p.now.Format("20060102T150405.000"))
	where := "kept as " + p.path(keep)
	if err := p.files.put(keep, tail); err != nil {
		where = "not kept: " + err.Error()
	}
	f, err := p.files.open(seg.name, os.O_RDWR)
	if err == nil {
		err = errors.Join(p.files.truncate(f, at), f.Close())
	}
	if err != nil {
		return fmt.Errorf("read journal: %s:%d: %s; cut it off: %w", p.path(seg.name), first, fault, err)
	}
	p.size = at
	p.notes = append(p.notes, fmt.Sprintf("%s:%d: %s: dropped the end of the journal from there, %d line(s) in %d "+
		"bytes (%s)",
		p.path(seg.name), first, fault, dropped, len(tail), where))
	return nil
}

// safe says why damage at event p.next, with so many sound lines from there on, is not the end of a torn write; "" when
// it may be.
func (p *storeReplay) safe(sound int) string {
	switch {
	case sound > 0:
		return fmt.Sprintf("%d sound line(s) from there on show that this is no torn write", sound)
	case p.next <= p.marked:
		return fmt.Sprintf("up to event %d the journal was on the disk (%s says so)", p.marked, p.path(storeMark))
	}
	return ""
}

// trimDamaged removes the oldest damaged tails beyond storeKeepBroken.
func (l *storeFiles) trimDamaged() {
	entries, _ := l.list(storeJournal)
	var broken []string
	for _, entry := range entries {
		if _, stamp, ok := strings.Cut(entry.Name(), ".damaged-"); ok {
			broken = append(broken, stamp+" "+entry.Name())
		}
	}
	sort.Strings(broken)
	for _, name := range broken[:max(0, len(broken)-storeKeepBroken)] {
		_, name, _ = strings.Cut(name, " ")
		l.remove(path.Join(storeJournal, name))
	}
}

// readEvents hands the events that are still in the journal files to fn, oldest first, beginning with number from
// (or the oldest that is there), at most limit of them (0: all), until fn says false. next is where to go on. Any
// goroutine may call it; an event is seen as soon as it is written, which may be before it is durable.
func (s *store) readEvents(from uint64, limit int, fn func(*Event) bool) (next uint64, err error) {
	segments, err := s.files.segments()
	if err != nil {
		return from, err
	}
	r := storeEvents{s: s, next: max(from, 1), left: limit, fn: fn}
	begin := max(0, sort.Search(len(segments), func(i int) bool { return segments[i].first > r.next })-1)
	for _, seg := range segments[min(begin, len(segments)):] {
		r.next = max(r.next, seg.first)
		err := r.segment(seg)
		if errors.Is(err, fs.ErrNotExist) { // removed since it was listed
			continue
		}
		if err != nil || r.stop {
			return r.next, err
		}
	}
	return r.next, nil
}

// storeEvents is one readEvents on its way.
type storeEvents struct {
	s    *store
	next uint64
	left int // 0: no limit
	fn   func(*Event) bool
	stop bool
}

// segment hands out what one segment holds from r.next on.
func (r *storeEvents) segment(seg storeSegment) error {
	f, err := r.s.files.open(seg.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	at, err := storeSeek(f, r.next)
	if err != nil {
		return fmt.Errorf("read journal: %s: %w", seg.name, err)
	}
	lines := storeReaderOf(io.NewSectionReader(f, at, 1<<62), at)
	for {
		line, err := lines.line()
		switch {
		case err == io.EOF || r.next > r.s.written.Load(): // what comes after that is being written
			return nil
		case err != nil && err != io.ErrUnexpectedEOF:
			return fmt.Errorf("read journal: %s: %w", seg.name, err)
		case storeLineSeq(line) < r.next && storeLineSeq(line) > 0 && !bytes.Contains(line, []byte(storeThen)):
			continue
		}
		var events []*Event
		if err == nil && storeSound(line) {
			events, _ = storeLineEvents(line)
		}
		if events == nil {
			if r.next > r.s.written.Load() { // taken back meanwhile, because the disk failed
				return nil
			}
			return fmt.Errorf("read journal: %s: the line at byte %d is damaged", seg.name, lines.at)
		}
		for _, e := range events {
			if e.Seq < r.next {
				continue
			}
			r.next = e.Seq + 1
			r.left--
			if !r.fn(e) || r.left == 0 {
				r.stop = true
				return nil
			}
		}
	}
}

// storeSeek finds by halving where, in a segment, a line begins that is not after event seq, and near it.
func storeSeek(f *os.File, seq uint64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	low, high := int64(0), info.Size() // a line that begins at low is not after seq
	block := make([]byte, 64<<10)
	for high-low > int64(len(block)) {
		mid := low + (high-low)/2
		n, err := f.ReadAt(block, mid)
		if err != nil && err != io.EOF {
			return 0, err
		}
		cut := bytes.IndexByte(block[:n], '\n') + 1
		found := storeLineSeq(block[cut:n])
		if cut == 0 || found == 0 || found > seq { // a very long line is gone around
			high = mid
		} else {
			low = mid + int64(cut)
		}
	}
	return low, nil
}

// storeSchema is the version of the form of a state folder: a folder of another one is refused. storeNeeds is the first
// version of the program that reads it.
const (
	storeSchema   = 3
	storeNeeds    = "0.1.0"
	storeSnapshot = "snapshot.json"
)

// storeSaved is what snapshot.json holds, after its crc field.
type storeSaved struct {
	Schema int    `json:"schema"`
	Seq    uint64 `json:"seq"`   // the newest event in State
	Needs  string `json:"needs"` // the oldest cdktr that can read it
	Saved  Stamp  `json:"saved"`
	State  *State `json:"state"`
}

// storeForeign is the error of a snapshot in a form that this version of the program does not read.
type storeForeign struct{ error }

// snapshot reads the snapshot that there is: the newest, or when that is damaged the one before it. One that is
// damaged is set aside, so that it can never replace the good one.
func (p *storeReplay) snapshot() error {
	p.state = stateNew()
	var faults []string
	for _, name := range []string{storeSnapshot, storeSnapshot + ".1"} {
		state, err := p.load(name)
		var foreign storeForeign
		switch {
		case err == nil:
			p.state = state
			if len(faults) > 0 {
				p.notes = append(p.notes, faults...)
				p.notes = append(p.notes, fmt.Sprintf("went on from the snapshot before it, %s, and the journal",
					p.path(name)))
			}
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.As(err, &foreign), !errors.Is(err, errStoreDamaged):
			return fmt.Errorf("read snapshot %s: %w", p.path(name), err)
		}
		aside := name + ".damaged-" + p.now.Format("20060102T150405.000")
		if err := p.files.rename(name, aside); err != nil {
			return fmt.Errorf("set damaged snapshot aside: %w", err)
		}
		faults = append(faults, fmt.Sprintf("read snapshot %s: %v (kept as %s)", p.path(name), err, path.Base(aside)))
	}
	p.notes = append(p.notes, faults...)
	return nil // the journal from its beginning, if all of it is there
}

// errStoreDamaged marks a file whose content is not what was written.
var errStoreDamaged = errors.New("the file is damaged")

// load reads one snapshot file.
func (p *storeReplay) load(name string) (*State, error) {
	f, err := p.files.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	line, whole := bytes.CutSuffix(text, []byte("\n"))
	if !whole || !storeSound(line) {
		return nil, fmt.Errorf("%w (its checksum does not match)", errStoreDamaged)
	}
	var head struct {
		Schema int    `json:"schema"`
		Needs  string `json:"needs"`
	}
	if err := storeDecode(line, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errStoreDamaged, err)
	}
	switch {
	case head.Schema > storeSchema:
		return nil, storeForeign{fmt.Errorf("it has schema %d and needs cdktr %s or newer; this version reads "+
			"schema %d",
			head.Schema, head.Needs, storeSchema)}
	case head.Schema < storeSchema:
		return nil, storeForeign{fmt.Errorf("it has schema %d, from before cdktr %s; this version reads schema %d: "+
			"give it another folder with --state, or move this one away", head.Schema, storeNeeds, storeSchema)}
	}
	saved := storeSaved{State: stateNew()}
	if err := storeDecode(line, &saved); err != nil || saved.State == nil {
		return nil, fmt.Errorf("%w: %w", errStoreDamaged, err)
	}
	saved.State.Seq, p.saved = saved.Seq, true
	return saved.State, nil
}

// storeEncodeSnapshot gives the content of snapshot.json.
func storeEncodeSnapshot(state *State, now time.Time) ([]byte, error) {
	var c storeEncoder
	err := c.add(&storeSaved{Schema: storeSchema, Seq: state.Seq, Needs: storeNeeds, Saved: stampOf(now), State: state})
	return c.buf.Bytes(), err
}
