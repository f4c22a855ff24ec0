// agent_spool_tail.go: the end of a run's output, for a run that writes more than is stored. It is kept on the agent's
// disk until the run ends, because nobody knows before which part is the end. Two files take turns: pieces of output go
// behind the newer one; when that is as long as what is wanted the older one is deleted, and a third begins. So there
// is always as much as is wanted, unless less has come, and at most twice as much. The files outlive an agent that is
// killed: its next life finds them. Nothing is synced, as in the spool. A file begins with a spoolTailMeta, and each
// piece in it has a checksum; reading ends at the first that is damaged.

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spoolTailPiece is the most bytes of text in one piece. Shorter ones of one stream that come within spoolTailJoin
	// become one: otherwise a program that writes single bytes would cost twenty bytes for each.
	spoolTailPiece = 64<<10 + 1
	spoolTailJoin  = 10 * time.Millisecond // pieces of one stream within this time become one
	spoolTailTag   = 1 << 10               // bytes of a tag
	spoolTailLine  = 64 << 10              // bytes of a line that is given in one piece
	// least bytes of text in a file: shorter files would cost more than what is in them
	spoolTailText = 1 << 20
	// a file is at most so many times as long as its text should be: pieces have heads
	spoolTailFiles = 4
	// bytes of a piece before its tag: checksum of tag and text, length of the text, time, length of the tag, flags
	spoolTailHead = 20
	spoolTailEnd  = ".tail"
	spoolTailNext = "n" // a file that is being made has this where the others have a or b
)

// Flags of a piece.
const (
	spoolTailErr    = 1 << iota // from standard error
	spoolTailBegun              // goes on with the line of its stream's last piece
	spoolTailRemark             // a remark of our own, one line
	spoolTailIsMeta             // no output: the spoolTailMeta of the file
)

// spoolTailMeta says whose output it is, and how much came before the file's first piece.
type spoolTailMeta struct {
	Run   string `json:"run"`
	Lease int    `json:"lease"`
	Size  int64  `json:"size"`  // bytes of output that the run may have stored, for the remark about it
	Limit int64  `json:"limit"` // how many of them the tail may have
	N     int64  `json:"n"`     // number of the run's last line before the tail
	Lines int64  `json:"lines"` // lines in earlier files; a line counts where it begins
	Bytes int64  `json:"bytes"` // the same in bytes
}

// spoolTail takes in the end of a run's output. Any goroutine may call its methods; each may wait for the disk.
type spoolTail struct {
	mu   sync.Mutex
	path string // without the letter that the two files differ in
	meta spoolTailMeta
	room func(f *os.File, n int) error

	f     *os.File // the newer file; nil: nothing has come
	turn  int
	size  int64 // of the newer one
	text  int64 // bytes of output in it
	buf   []byte
	fault error // the first reason why something was not kept

	at   int64 // of the newest piece
	head [spoolTailHead]byte
	tag  string
}

// spoolTailNew makes the tail of a run, in a folder. Nothing is written before something is added.
func spoolTailNew(dir string, meta spoolTailMeta) *spoolTail {
	meta.Limit = max(meta.Size, 1)
	return &spoolTail{path: filepath.Join(dir, fmt.Sprintf("%s.%d", meta.Run, meta.Lease)), meta: meta, room: diskRoom}
}

// after says what is stored of the run's output already: lines up to number n, and so many bytes. The tail may have the
// rest of what the run may have stored. It is called before anything is added.
func (t *spoolTail) after(n, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meta.N, t.meta.Limit = n, max(t.meta.Size-bytes, 1)
}

// begun says whether something was added.
func (t *spoolTail) begun() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.f != nil || t.fault != nil
}

// add puts a piece of output of the stream that tag and flags name behind the others. What the disk does not take
// counts as left out.
func (t *spoolTail) add(tag string, flags int, at time.Time, text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if flags&spoolTailRemark == 0 {
		t.meta.Bytes += int64(len(text))
		t.meta.Lines += spoolTailLines(text, flags&spoolTailBegun != 0)
	}
	for first := true; first || len(text) > 0; first = false {
		piece := text[:min(len(text), spoolTailPiece)]
		text = text[len(piece):]
		if err := t.put(tag[:min(len(tag), spoolTailTag)], flags, at, piece); err != nil {
			if t.fault == nil {
				t.fault = err
			}
			return
		}
		flags |= spoolTailBegun
	}
}

// spoolTailLines counts the lines that begin in a text.
func spoolTailLines(text []byte, begun bool) int64 {
	n := int64(bytes.Count(text, []byte{'\n'}))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		n++
	}
	if begun && len(text) > 0 {
		n--
	}
	return n
}

// put writes a piece.
func (t *spoolTail) put(tag string, flags int, at time.Time, text []byte) error {
	most := max(t.meta.Limit, spoolTailText)
	if t.f == nil || t.text >= most || t.size >= spoolTailFiles*most {
		if err := t.next(text, flags); err != nil {
			return err
		}
	}
	if err := t.room(t.f, len(text)); err != nil {
		return err
	}
	if t.join(tag, flags, at, text) {
		return nil
	}
	head := spoolTailHeadOf(tag, flags, at, text)
	t.buf = append(append(append(t.buf[:0], head[:]...), tag...), text...)
	if _, err := t.f.WriteAt(t.buf, t.size); err != nil {
		return err // the next piece goes to the same place
	}
	t.at, t.head, t.tag = t.size, head, tag
	t.size += int64(len(t.buf))
	t.text += int64(len(text))
	return nil
}

// spoolTailHeadOf makes the head of a piece.
func spoolTailHeadOf(tag string, flags int, at time.Time, text []byte) (head [spoolTailHead]byte) {
	sum := crc32.Update(crc32.Checksum([]byte(tag), spoolCastagnoli()), spoolCastagnoli(), text)
	binary.LittleEndian.PutUint32(head[0:], sum)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(text)))
	binary.LittleEndian.PutUint64(head[8:], uint64(at.UnixMilli()))
	binary.LittleEndian.PutUint16(head[16:], uint16(len(tag)))
	binary.LittleEndian.PutUint16(head[18:], uint16(flags))
	return head
}

// join adds a text to the newest piece, if that is of the same stream and moment.
func (t *spoolTail) join(tag string, flags int, at time.Time, text []byte) bool {
	long := int64(binary.LittleEndian.Uint32(t.head[4:]))
	before := int(binary.LittleEndian.Uint16(t.head[18:]))
	same := t.at > 0 && tag == t.tag && (flags|before)&spoolTailRemark == 0 && (flags^before)&spoolTailErr == 0
	soon := at.UnixMilli()-int64(binary.LittleEndian.Uint64(t.head[8:])) <= spoolTailJoin.Milliseconds()
	fits := len(text) > 0 && long > 0 && long+int64(len(text)) <= spoolTailPiece
	if !same || !soon || !fits {
		return false
	}
	head := t.head
	binary.LittleEndian.PutUint32(head[0:], crc32.Update(binary.LittleEndian.Uint32(head[0:]), spoolCastagnoli(), text))
	binary.LittleEndian.PutUint32(head[4:], uint32(long)+uint32(len(text)))
	if _, err := t.f.WriteAt(text, t.size); err != nil {
		return false
	}
	if _, err := t.f.WriteAt(head[:], t.at); err != nil {
		return false
	}
	t.head = head
	t.size += int64(len(text))
	t.text += int64(len(text))
	return true
}

// next begins a file that takes the place of the older one. text is to be its first, and is counted already.
func (t *spoolTail) next(text []byte, flags int) error {
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	meta := t.meta
	if flags&spoolTailRemark == 0 {
		meta.Bytes -= int64(len(text))
		meta.Lines -= spoolTailLines(text, flags&spoolTailBegun != 0)
	}
	body, _ := json.Marshal(meta) // it has nothing that does not marshal
	head := spoolTailHeadOf("", spoolTailIsMeta, time.Time{}, body)
	name := t.path + string(rune('a'+t.turn%2)) + spoolTailEnd
	f, err := t.begin(name, append(head[:], body...))
	if errors.Is(err, unix.ENOSPC) {
		os.Remove(name) // the older one may have the room
		f, err = t.begin(name, append(head[:], body...))
	}
	if err != nil {
		return err
	}
	if t.f != nil {
		t.f.Close()
	}
	t.f, t.turn, t.size, t.text, t.at = f, t.turn+1, int64(spoolTailHead+len(body)), 0, 0
	return nil
}

// begin makes a file with its first piece. The file gets its name once that is in it, so that a file of that name is
// whole at any time.
func (t *spoolTail) begin(name string, first []byte) (*os.File, error) {
	made := t.path + spoolTailNext + spoolTailEnd
	os.Remove(made) // an earlier life may have left one
	f, err := os.OpenFile(made, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(first, 0)
	if err == nil {
		err = os.Rename(made, name)
	}
	if err != nil {
		f.Close()
		os.Remove(made)
		return nil, err
	}
	return f, nil
}

// total says how much came in all, and, where some of what is wanted of it is missing, why.
func (t *spoolTail) total() (spoolTailMeta, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.meta, t.fault
}

// remove deletes what was kept. Nothing may be added any more.
func (t *spoolTail) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.f != nil {
		t.f.Close()
	}
	spoolTailRemove(t.path)
}

// spoolTailRemove deletes the files of a tail.
func spoolTailRemove(path string) {
	for _, turn := range []string{"a", "b", spoolTailNext} {
		os.Remove(path + turn + spoolTailEnd)
	}
}

// spoolTailsLeft lists the tails in a folder, by the path for spoolTailOf. They are of runs that an agent had when it
// was killed.
func spoolTailsLeft(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir) // no folder is no tails
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), spoolTailEnd); ok && len(base) > 1 {
			if path := filepath.Join(dir, base[:len(base)-1]); len(paths) == 0 || paths[len(paths)-1] != path {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// spoolTailReader is what was kept, to be read. Its methods belong to one goroutine; nothing may be added meanwhile.
type spoolTailReader struct {
	meta  spoolTailMeta // of the older file
	files []*os.File    // the older one first
	skip  int64         // bytes of text at the front that are not wanted

	// What is left out before the first line that each gives, and why more than that is missing, if more is.
	lines int64
	bytes int64
	fault error

	since time.Time // when the first line was written
}

// spoolTailOf opens what was kept under a path, of which the last limit bytes are wanted; 0 for as many as the file
// says. total is how much came in all, with what the disk did not take, where that is known. A file that cannot be read
// counts as one that is not there, and is the reader's fault; it is an error when there is no other.
func spoolTailOf(path string, limit int64, total *spoolTailMeta) (*spoolTailReader, error) {
	x := &spoolTailReader{}
	var found []*spoolTailMeta
	for _, turn := range []string{"a", "b"} {
		f, meta, err := spoolTailOpen(path + turn + spoolTailEnd)
		switch {
		case err == nil:
			found, x.files = append(found, meta), append(x.files, f)
		case !errors.Is(err, fs.ErrNotExist):
			x.fault = err
		}
	}
	if len(found) == 0 {
		if x.fault == nil {
			x.fault = fs.ErrNotExist
		}
		return nil, fmt.Errorf("read the end of output in %s: %w", path, x.fault)
	}
	if len(found) == 2 && found[0].Bytes > found[1].Bytes {
		found[0], x.files[0], x.files[1] = found[1], x.files[1], x.files[0]
	}
	x.meta = *found[0]
	all := x.meta // how much came in all, as far as the files know
	x.pieces(func(_ string, flags int, _ time.Time, text []byte) error {
		if flags&spoolTailRemark == 0 {
			all.Bytes += int64(len(text))
			all.Lines += spoolTailLines(text, flags&spoolTailBegun != 0)
		}
		return nil
	})
	if limit == 0 {
		limit = x.meta.Limit
	}
	x.skip = max(all.Bytes-x.meta.Bytes-limit, 0)
	if total != nil {
		all = *total
	}
	kept := spoolTailMeta{}
	x.each(func(l spoolTailLineOf) error {
		if x.since.IsZero() {
			x.since = l.at
		}
		if l.stream != "c" {
			kept.Bytes += int64(len(l.text))
		}
		if l.ended {
			kept.Bytes++
		}
		if l.first && l.stream != "c" {
			kept.Lines++
		}
		return nil
	})
	x.lines, x.bytes = all.Lines-kept.Lines, all.Bytes-kept.Bytes
	return x, nil
}

// spoolTailOpen opens a file of a tail, and reads what it begins with.
func spoolTailOpen(name string) (*os.File, *spoolTailMeta, error) {
	f, err := diskOpen(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	meta := &spoolTailMeta{}
	n, err := spoolTailPieceOf(f, 0, func(_ string, flags int, _ time.Time, text []byte) error {
		if flags&spoolTailIsMeta == 0 {
			return errors.New("it does not say whose output it is")
		}
		return json.Unmarshal(text, meta)
	})
	if err == nil && n == 0 {
		err = errors.New("it is damaged where it begins")
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", filepath.Base(name), pathCause(err))
	}
	return f, meta, nil
}

// close closes the files.
func (x *spoolTailReader) close() {
	for _, f := range x.files {
		f.Close()
	}
}

// pieces gives fn the pieces of both files, in order; of each file up to the first that is damaged.
func (x *spoolTailReader) pieces(fn func(tag string, flags int, at time.Time, text []byte) error) error {
	for _, f := range x.files {
		for at, more := int64(0), true; more; {
			n, err := spoolTailPieceOf(f, at, func(tag string, flags int, when time.Time, text []byte) error {
				if flags&spoolTailIsMeta != 0 {
					return nil
				}
				return fn(tag, flags, when, text)
			})
			if err != nil {
				return err
			}
			at, more = at+n, n > 0
		}
	}
	return nil
}

// spoolTailPieceOf gives fn the piece at a place, and says how long it is with its head: 0 at the end, and where it is
// damaged.
func spoolTailPieceOf(f *os.File, at int64, fn func(tag string, flags int, when time.Time,
	text []byte) error) (int64, error) {
	var head [spoolTailHead]byte
	if _, err := f.ReadAt(head[:], at); err != nil {
		if err == io.EOF {
			err = nil
		}
		return 0, err
	}
	text, tag := binary.LittleEndian.Uint32(head[4:]), int(binary.LittleEndian.Uint16(head[16:]))
	// text is compared before it becomes an int, which may have 32 bits
	if text > spoolTailPiece || tag > spoolTailTag {
		return 0, nil
	}
	body := make([]byte, tag+int(text))
	if _, err := f.ReadAt(body, at+spoolTailHead); err != nil && err != io.EOF {
		return 0, err
	} else if err != nil || crc32.Checksum(body, spoolCastagnoli()) != binary.LittleEndian.Uint32(head[0:]) {
		return 0, nil
	}
	when := time.UnixMilli(int64(binary.LittleEndian.Uint64(head[8:])))
	return int64(spoolTailHead + len(body)), fn(string(body[:tag]), int(binary.LittleEndian.Uint16(head[18:])), when,
		body[tag:])
}

// spoolTailLineOf is a line, or a piece of one that is too long.
type spoolTailLineOf struct {
	tag          string
	stream       string // as in LogLine
	at           time.Time
	text         []byte // the callee may keep it
	first, ended bool   // it begins the line; a newline stands behind it
}

// spoolTailStream is a stream while it is read: its line that has not ended.
type spoolTailStream struct {
	held  []byte
	at    time.Time
	begun bool // a piece of the line was given
	cut   int  // bytes passed over so far of a line whose start is left out; -1: there is no such line
}

// each gives fn the lines, in the order in which they ended. A line whose start is left out is left out, unless it is
// longer than spoolTailLine.
func (x *spoolTailReader) each(fn func(spoolTailLineOf) error) error {
	streams := map[string]*spoolTailStream{}
	var order []string // of their keys
	skip := x.skip
	err := x.pieces(func(tag string, flags int, at time.Time, text []byte) error {
		if flags&spoolTailRemark != 0 {
			if skip > 0 {
				return nil
			}
			return fn(spoolTailLineOf{tag: tag, stream: "c", at: at, text: text})
		}
		key := "o" + tag
		if flags&spoolTailErr != 0 {
			key = "e" + tag
		}
		s := streams[key]
		if s == nil {
			s = &spoolTailStream{cut: -1}
			if flags&spoolTailBegun != 0 {
				s.cut = 0
			}
			streams[key], order = s, append(order, key)
		}
		if n := min(skip, int64(len(text))); n > 0 {
			skip -= n
			s.cut = -1
			if text[n-1] != '\n' {
				s.cut = 0
			}
			text = text[n:]
			if len(text) == 0 {
				return nil
			}
		}
		return s.take(key, at, text, fn)
	})
	for _, key := range order {
		if s := streams[key]; err == nil && len(s.held) > 0 {
			err = s.give(key, s.held, false, fn)
		}
	}
	return err
}

// take cuts a text into lines. An empty text ends the line.
func (s *spoolTailStream) take(key string, at time.Time, text []byte, fn func(spoolTailLineOf) error) error {
	s.at = at
	if len(text) == 0 {
		held := s.held
		s.held, s.cut = nil, -1
		if len(held) == 0 {
			return nil
		}
		err := s.give(key, held, false, fn)
		s.begun = false
		return err
	}
	if s.cut >= 0 {
		end := bytes.IndexByte(text, '\n')
		switch {
		case end >= 0 && s.cut+end <= spoolTailLine:
			text, s.cut = text[end+1:], -1
		case s.cut+len(text) <= spoolTailLine:
			s.cut += len(text)
			return nil
		default:
			s.cut, s.begun = -1, true
		}
	}
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			s.held = append(s.held, text...)
			for len(s.held) > spoolTailLine {
				if err := s.give(key, bytes.Clone(s.held[:spoolTailLine]), false, fn); err != nil {
					return err
				}
				s.held, s.begun = s.held[spoolTailLine:], true
			}
			return nil
		}
		line := append(s.held, text[:end]...)
		s.held, text = nil, text[end+1:]
		for len(line) > spoolTailLine {
			if err := s.give(key, line[:spoolTailLine], false, fn); err != nil {
				return err
			}
			line, s.begun = line[spoolTailLine:], true
		}
		if err := s.give(key, line, true, fn); err != nil {
			return err
		}
		s.begun = false
	}
	return nil
}

// give hands fn a line of the stream.
func (s *spoolTailStream) give(key string, text []byte, ended bool, fn func(spoolTailLineOf) error) error {
	return fn(spoolTailLineOf{tag: key[1:], stream: key[:1], at: s.at, text: text, first: !s.begun, ended: ended})
}
