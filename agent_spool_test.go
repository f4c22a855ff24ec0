// agent_spool_test.go: the spool against a model with random operations and failing disks, torn and flipped files at
// each byte, kill -9 of a process that uses it.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func spoolNew(t testing.TB, dir string) *spool {
	t.Helper()
	s, err := spoolOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func spoolAdd(t testing.TB, s *spool, msg string) uint64 {
	t.Helper()
	n, err := s.add([]byte(msg), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// spoolDrain gives all that next has left, as "number:message".
func spoolDrain(t testing.TB, s *spool, maxBytes int) []string {
	t.Helper()
	var got []string
	for {
		first, msgs, err := s.next(maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			return got
		}
		for i, msg := range msgs {
			got = append(got, fmt.Sprintf("%d:%s", first+uint64(i), msg))
		}
	}
}

func spoolExpect(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%s: got %.300q, want %.300q", what, got, want)
	}
}

// spoolFiles lists the folder.
func spoolFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestSpoolBasics(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	s := spoolNew(t, dir)
	epoch := s.epoch()
	for i, msg := range []string{`{"a":1}`, `{"b":2}`, `{"c":3}`, `{"d":4}`} {
		if n := spoolAdd(t, s, msg); n != uint64(i+1) {
			t.Fatalf("message %d has number %d", i+1, n)
		}
	}
	if first, msgs, err := s.next(15); first != 1 || len(msgs) != 2 || err != nil {
		t.Fatalf("15 bytes hold %q from %d, %v", msgs, first, err)
	}
	if first, msgs, err := s.next(1); first != 3 || len(msgs) != 1 || err != nil {
		t.Fatalf("1 byte holds %q from %d, %v", msgs, first, err)
	}
	s.ack(2)
	if count, size := s.pending(); count != 2 || size != int64(2*len(`{"n":3,"crc":"01234567","m":{"c":3}}`+"\n")) {
		t.Fatalf("%d messages of %d bytes are pending", count, size)
	}
	s.rewind(1)
	spoolExpect(t, "after a rewind below what is acknowledged", spoolDrain(t, s, 100), `3:{"c":3}`, `4:{"d":4}`)
	s.rewind(3)
	spoolExpect(t, "after a rewind", spoolDrain(t, s, 100), `4:{"d":4}`)

	if _, err := spoolOpen(dir); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("a second agent: %v", err)
	}
	s.close()
	s = spoolNew(t, dir)
	if s.epoch() != epoch {
		t.Fatal("the epoch changed with messages left")
	}
	n := spoolAdd(t, s, `{"e":5}`)
	if n != 5+spoolLeap {
		t.Fatalf("in its second life the spool gave number %d", n)
	}
	spoolExpect(t, "second life", spoolDrain(t, s, 100), `4:{"d":4}`, fmt.Sprintf(`%d:{"e":5}`, n))
	s.ack(4)
	if count, _ := s.pending(); count != 1 {
		t.Fatalf("%d messages are pending", count)
	}
	s.ack(1 << 60) // more than was ever given
	if count, size := s.pending(); count != 0 || size != 0 {
		t.Fatalf("%d messages of %d bytes are pending after all were acknowledged", count, size)
	}
	if n := spoolAdd(t, s, `{"f":6}`); n != 6+spoolLeap {
		t.Fatalf("the next number is %d", n)
	}
	spoolExpect(t, "after that", spoolDrain(t, s, 100), fmt.Sprintf(`%d:{"f":6}`, n+1))
	s.ack(n + 1)
	s.close()
	s = spoolNew(t, dir)
	defer s.close()
	if s.epoch() == epoch || len(s.epoch()) != 16 {
		t.Fatalf("epoch %q goes on with nothing left", s.epoch())
	}
	if files := spoolFiles(t, dir); len(files) != 0 {
		t.Fatalf("left are %q", files)
	}
	if n := spoolAdd(t, s, `{}`); n != 1 {
		t.Fatalf("a new epoch begins with %d", n)
	}
	if _, err := s.add([]byte("{\n}"), 1, true); err == nil {
		t.Fatal("a message of two lines was taken")
	}
}

func TestSpoolBound(t *testing.T) {
	s := spoolNew(t, t.TempDir())
	defer s.close()
	s.maxBytes = 1000
	msg := []byte(`{"o":"` + strings.Repeat("x", 100) + `"}`)
	var err error
	for err == nil {
		_, err = s.add(msg, 1, false)
	}
	if _, size := s.pending(); !errors.Is(err, errSpoolFull) || size > 1000 || size < 800 {
		t.Fatalf("refused with %v at %d bytes", err, size)
	}
	n, err := s.add(msg, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	s.ack(n - 1)
	if _, err := s.add(msg, 1, false); err != nil {
		t.Fatalf("refused with room: %v", err)
	}
}

// TestSpoolRotates fills several segments, and frees them one by one.
func TestSpoolRotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	msg := `{"o":"` + strings.Repeat("x", 100<<10) + `"}`
	const total = 130
	for n := range uint64(total) {
		if spoolAdd(t, s, msg) != n+1 {
			t.Fatal("numbers are not consecutive")
		}
	}
	if files := spoolFiles(t, dir); len(files) != 4 {
		t.Fatalf("%d segments", len(files))
	}
	got := spoolDrain(t, s, 300<<10)
	if len(got) != total || !strings.HasPrefix(got[total-1], "130:{") {
		t.Fatalf("got %d messages", len(got))
	}
	for n := uint64(1); n <= total; n += 7 {
		s.ack(n)
		if count, _ := s.pending(); count != total-int(n) {
			t.Fatalf("%d are pending after %d were acknowledged", count, n)
		}
		s.rewind(n)
		if first, msgs, err := s.next(1); err != nil || n < total && (first != n+1 || len(msgs) != 1) {
			t.Fatalf("after %d comes %d, %v", n, first, err)
		}
		if n == 64 { // in the middle of it, another life
			s.close()
			s = spoolNew(t, dir)
			if count, _ := s.pending(); count != total-int(n) || s.damage() != nil {
				t.Fatalf("another life finds %d, %v", count, s.damage())
			}
		}
	}
	s.ack(total)
	files := spoolFiles(t, dir)
	if info, err := os.Stat(files[0]); len(files) != 1 || err != nil {
		t.Fatalf("left are %q, %v", files, err)
	} else if info.Size() > spoolMaxIdle {
		t.Fatalf("left are %d bytes", info.Size())
	}
	s.close()
}

// TestSpoolEmpties sees that a long file is emptied when all is acknowledged, and numbers go on.
func TestSpoolEmpties(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	defer s.close()
	msg := `{"o":"` + strings.Repeat("x", 1000) + `"}`
	for want := uint64(1); want < 5000; want++ {
		n := spoolAdd(t, s, msg)
		first, msgs, err := s.next(1 << 20)
		if n != want || first != n || len(msgs) != 1 || string(msgs[0]) != msg || err != nil {
			t.Fatalf("message %d: %d came back, %v", n, first, err)
		}
		s.ack(n)
		if info, err := os.Stat(spoolFiles(t, dir)[0]); err != nil || info.Size() > spoolMaxIdle+2000 {
			t.Fatalf("%d bytes are kept, %v", info.Size(), err)
		}
	}
}

// spoolModel is what a spool must behave like.
type spoolModel struct {
	msgs        map[uint64]string // not acknowledged
	last, acked uint64
	sent        uint64
}

func (m *spoolModel) after(n uint64) (uint64, bool) {
	best := uint64(0)
	for k := range m.msgs {
		if k > n && (best == 0 || k < best) {
			best = k
		}
	}
	return best, best > 0
}

// TestSpoolModel does random things to a spool on a disk that fails at times, and compares with a map.
func TestSpoolModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for i := range 8 {
		spoolModelRun(t, rnd, t.TempDir(), i%2 == 1)
	}
}

func spoolModelRun(t *testing.T, rnd *rand.Rand, dir string, lazy bool) {
	m := spoolModel{msgs: map[uint64]string{}}
	full := false
	writeAt := func(f *os.File, b []byte, at int64) (int, error) {
		if full {
			n, _ := f.WriteAt(b[:rnd.IntN(len(b)+1)], at)
			return n, syscall.ENOSPC
		}
		return f.WriteAt(b, at)
	}
	s := spoolNew(t, dir)
	s.writeAt, s.lazy = writeAt, lazy
	for step := range 1500 {
		switch k := rnd.IntN(100); {
		case k < 50:
			size := rnd.IntN(300)
			if rnd.IntN(10) == 0 {
				size = rnd.IntN(200 << 10)
			}
			must := rnd.IntN(2) == 0
			msg := fmt.Sprintf(`{"step":%d,"x":"%s"}`, step, strings.Repeat("x", size))
			n, err := s.add([]byte(msg), 1, must)
			switch {
			case err == nil && n != m.last+1:
				t.Fatalf("step %d: number %d follows %d", step, n, m.last)
			case err == nil:
				m.last, m.msgs[n] = n, msg
			case !full || !errors.Is(err, syscall.ENOSPC):
				t.Fatalf("step %d: %v", step, err)
			case must && s.lateBytes+len(msg) <= spoolMaxLate:
				t.Fatalf("step %d: an event was refused with %d bytes in memory", step, s.lateBytes)
			}
		case k < 75:
			limit := 1 + rnd.IntN(100<<10)
			first, msgs, err := s.next(limit)
			if err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			size := 0
			for i, msg := range msgs {
				want, ok := m.after(m.sent)
				if n := first + uint64(i); !ok || n != want || string(msg) != m.msgs[n] {
					t.Fatalf("step %d: sent is %d, got %d, want %d", step, m.sent, n, want)
				}
				m.sent, size = want, size+len(msg)
			}
			if want, ok := m.after(m.sent); len(msgs) == 0 && ok || len(msgs) > 1 && size > limit {
				t.Fatalf("step %d: got %d messages of %d bytes, limit %d; next would be %d", step, len(msgs), size,
					limit, want)
			}
		case k < 88:
			n := m.acked + uint64(rnd.IntN(20))
			if k < 78 {
				n = m.last
			}
			s.ack(n)
			m.ack(n)
		case k < 93:
			n := m.acked + uint64(rnd.IntN(5))
			s.rewind(n)
			m.ack(n)
			m.sent = m.acked
		case k < 97:
			full = !full
		case lazy: // nobody opens it again
			full = false
		default:
			full = false
			s.close()
			epoch, left := s.epoch(), len(m.msgs)
			s = spoolNew(t, dir)
			s.writeAt = writeAt
			if (s.epoch() == epoch) != (left > 0) {
				t.Fatalf("step %d: with %d left the epoch goes from %s to %s", step, left, epoch, s.epoch())
			}
			m.sent, m.last = m.acked, s.last
			if left == 0 {
				m = spoolModel{msgs: map[uint64]string{}}
			}
		}
		if count, size := s.pending(); count != len(m.msgs) || (size == 0) != (count == 0) {
			t.Fatalf("step %d: %d messages of %d bytes are pending, want %d messages", step, count, size, len(m.msgs))
		}
		if err := s.damage(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	s.close()
}

// TestSpoolLazy: a spool whose folder goes away with the process asks the disk only for what waits for long.
func TestSpoolLazy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	defer s.close()
	s.lazy = true
	writes := 0
	s.writeAt = func(f *os.File, b []byte, at int64) (int, error) {
		writes++
		return f.WriteAt(b, at)
	}
	msg := `{"o":"` + strings.Repeat("x", 1000) + `"}`
	for range 1000 { // four times what it keeps
		n := spoolAdd(t, s, msg)
		if _, msgs, err := s.next(1 << 20); len(msgs) != 1 || err != nil {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
		s.ack(n)
	}
	if files := spoolFiles(t, dir); writes > 0 || len(files) > 0 {
		t.Errorf("%d writes, files %v of what was acknowledged at once", writes, files)
	}
	for range 1000 {
		spoolAdd(t, s, msg)
	}
	if s.lateBytes > spoolLazy || writes < 700 {
		t.Errorf("%d bytes are in memory, %d messages on the disk", s.lateBytes, writes)
	}
}

func (m *spoolModel) ack(n uint64) {
	m.acked = max(m.acked, min(n, m.last))
	m.sent = max(m.sent, m.acked)
	for k := range m.msgs {
		if k <= m.acked {
			delete(m.msgs, k)
		}
	}
}

// spoolFixture makes a spool with messages 1 to 5, of which one is acknowledged, and gives its file.
func spoolFixture(t *testing.T) (text []byte, name string, ends []int) {
	t.Helper()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	for i := range 5 {
		spoolAdd(t, s, fmt.Sprintf(`{"m":%d}`, i+1))
		ends = append(ends, int(s.end().at))
	}
	s.ack(1)
	s.close()
	path := spoolFiles(t, dir)[0]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text, filepath.Base(path), ends
}

// spoolWith opens a spool with one file of that content.
func spoolWith(t *testing.T, name string, text []byte) *spool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return spoolNew(t, dir)
}

// TestSpoolTorn cuts the file at each byte: every whole message is kept, the rest is dropped without a word, and what
// is added then comes after it.
func TestSpoolTorn(t *testing.T) {
	t.Parallel()
	text, name, ends := spoolFixture(t)
	for cut := range len(text) {
		s := spoolWith(t, name, append(bytes.Clone(text[:cut]), make([]byte, cut%3)...))
		var want []string
		for i, end := range ends {
			if i > 0 && end <= cut {
				want = append(want, fmt.Sprintf(`%d:{"m":%d}`, i+1, i+1))
			}
		}
		n := spoolAdd(t, s, `{"new":1}`)
		if len(want) > 0 && n < spoolLeap {
			t.Fatalf("cut at %d: number %d may have been given before", cut, n)
		}
		if len(want) == 0 && s.epoch() == name[:16] {
			t.Fatalf("cut at %d: the epoch goes on with nothing left", cut)
		}
		want = append(want, fmt.Sprintf(`%d:{"new":1}`, n))
		spoolExpect(t, fmt.Sprint("cut at ", cut), spoolDrain(t, s, 1<<10), want...)
		if err := s.damage(); err != nil && cut >= int(spoolHeaderSize) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		dir := s.dir
		s.close()
		s = spoolNew(t, dir)
		spoolExpect(t, fmt.Sprint("once more, cut at ", cut), spoolDrain(t, s, 1<<10), want...)
		s.close()
	}
}

// TestSpoolFlipped flips each bit: at most two messages are lost (when it is in the newline between them), the damage
// is told, and all others are kept. When it is in the first line, the acknowledged message is sent again.
func TestSpoolFlipped(t *testing.T) {
	t.Parallel()
	text, name, ends := spoolFixture(t)
	for at := range text {
		for bit := range 8 {
			bad := bytes.Clone(text)
			bad[at] ^= 1 << bit
			s := spoolWith(t, name, bad)
			got := spoolDrain(t, s, 1<<10)
			var want []string
			for i, end := range ends {
				begin := int(spoolHeaderSize)
				if i > 0 {
					begin = ends[i-1]
				}
				hit := at >= begin && at < end || at == begin-1 && at >= int(spoolHeaderSize)
				if !hit && (i > 0 || at < int(spoolHeaderSize)) {
					want = append(want, fmt.Sprintf(`%d:{"m":%d}`, i+1, i+1))
				}
			}
			have := " " + strings.Join(got, " ") + " "
			for _, w := range want {
				if !strings.Contains(have, " "+w+" ") {
					t.Fatalf("byte %d bit %d: %s is not in %q", at, bit, w, got)
				}
			}
			for _, g := range got {
				if !bytes.Contains(text, []byte(g[strings.Index(g, ":")+1:])) || g[0] != g[len(`1:{"m":`)] {
					t.Fatalf("byte %d bit %d: %s was never added", at, bit, g)
				}
			}
			if s.damage() == nil && at != len(text)-1 { // without the newline the last line is one that is not whole
				t.Fatalf("byte %d bit %d: no damage is told", at, bit)
			}
			n := spoolAdd(t, s, `{"new":1}`)
			spoolExpect(t, "after damage", spoolDrain(t, s, 1<<10), fmt.Sprintf(`%d:{"new":1}`, n))
			s.ack(n)
			if count, size := s.pending(); count != 0 || size != 0 {
				t.Fatalf("byte %d bit %d: %d messages of %d bytes are pending", at, bit, count, size)
			}
			s.close()
		}
	}
}

// TestSpoolDiskFull sees what is told, what is refused and what is kept while the disk takes nothing.
func TestSpoolDiskFull(t *testing.T) {
	dir := t.TempDir()
	s := spoolNew(t, dir)
	full := true
	s.writeAt = func(f *os.File, b []byte, at int64) (int, error) {
		if full {
			n, _ := f.WriteAt(b[:len(b)/2], at)
			return n, syscall.ENOSPC
		}
		return f.WriteAt(b, at)
	}
	if n := spoolAdd(t, s, `{"a":1}`); n != 1 {
		t.Fatalf("number %d", n)
	}
	if _, err := s.add([]byte(`{"o":1}`), 1, false); !errors.Is(err, syscall.ENOSPC) ||
		!errors.Is(s.trouble(), syscall.ENOSPC) {
		t.Fatalf("output: %v, trouble %v", err, s.trouble())
	}
	spoolAdd(t, s, `{"b":2}`)
	spoolExpect(t, "from memory", spoolDrain(t, s, 100), `1:{"a":1}`, `2:{"b":2}`)
	s.ack(1)
	spoolAdd(t, s, `{"c":3}`)
	full = false
	spoolAdd(t, s, `{"d":4}`)
	if s.trouble() != nil || len(s.late) != 0 {
		t.Fatalf("trouble %v, %d in memory with room on disk", s.trouble(), len(s.late))
	}
	spoolExpect(t, "what memory had sent is not sent again", spoolDrain(t, s, 100), `3:{"c":3}`, `4:{"d":4}`)
	s.rewind(1)
	spoolExpect(t, "rewound", spoolDrain(t, s, 100), `2:{"b":2}`, `3:{"c":3}`, `4:{"d":4}`)
	full = true
	big, refused := []byte(`{"e":"`+strings.Repeat("x", 100<<10)+`"}`), 0
	for range 20 {
		if _, err := s.add(big, 1, true); err != nil {
			refused++
		}
	}
	if refused != 10 || s.lateBytes > spoolMaxLate {
		t.Fatalf("%d events were refused, %d bytes are in memory", refused, s.lateBytes)
	}
	size := func() int64 {
		info, err := os.Stat(spoolFiles(t, dir)[0])
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if size() != s.end().at {
		t.Fatalf("failed writes left %d bytes behind %d", size(), s.end().at)
	}
	s.ack(4)
	if size() != spoolHeaderSize {
		t.Fatalf("the full disk still holds %d bytes that are acknowledged", size())
	}
	full = false
	s.close()
	s = spoolNew(t, dir)
	defer s.close()
	if got := spoolDrain(t, s, 1<<20); len(got) != 10 || !strings.HasPrefix(got[0], "5:") {
		t.Fatalf("another life finds %d messages", len(got))
	}
}

// TestSpoolGone takes a segment away while it is in use.
func TestSpoolGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	defer s.close()
	for range 100 {
		spoolAdd(t, s, `{"x":"`+strings.Repeat("x", 100<<10)+`"}`)
	}
	s.rewind(0)
	if err := os.Remove(spoolFiles(t, dir)[1]); err != nil {
		t.Fatal(err)
	}
	got := spoolDrain(t, s, 1<<20)
	if len(got) < 50 || len(got) > 70 || !strings.HasPrefix(got[len(got)-1], "100:") ||
		!errors.Is(s.damage(), os.ErrNotExist) {
		t.Fatalf("got %d messages, damage %v", len(got), s.damage())
	}
	s.ack(99)
	if count, _ := s.pending(); count != 1 {
		t.Fatalf("%d are pending", count)
	}
}

// TestSpoolBlocked makes a segment unreadable for a cause that passes: nothing is skipped.
func TestSpoolBlocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	defer s.close()
	for range 100 {
		spoolAdd(t, s, `{"x":"`+strings.Repeat("x", 100<<10)+`"}`)
	}
	s.rewind(0)
	path := spoolFiles(t, dir)[1]
	// a link to itself: ELOOP
	if err := errors.Join(os.Rename(path, path+".away"), os.Symlink(path, path)); err != nil {
		t.Fatal(err)
	}
	got := 0
	for {
		_, msgs, err := s.next(1 << 20)
		got += len(msgs)
		if errors.Is(err, syscall.ELOOP) {
			break
		} else if err != nil || len(msgs) == 0 {
			t.Fatalf("after %d messages: %v", got, err)
		}
	}
	s.ack(60) // cannot be found either, for now
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	rest := spoolDrain(t, s, 1<<20)
	if s.ack(61); len(rest) != 40 || !strings.HasPrefix(rest[0], "61:") || s.damage() != nil {
		t.Fatalf("then come %d messages, damage %v", len(rest), s.damage())
	}
	if count, _ := s.pending(); count != 39 {
		t.Fatalf("%d are pending", count)
	}
}

// TestSpoolTwoEpochs opens a folder that a power cut left with files of two epochs.
func TestSpoolTwoEpochs(t *testing.T) {
	text, name, _ := spoolFixture(t)
	other := "0123456789abcdef" + name[16:]
	dir := t.TempDir()
	for _, n := range []string{other, name} {
		if err := os.WriteFile(filepath.Join(dir, n), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := spoolNew(t, dir)
	defer s.close()
	if len(spoolDrain(t, s, 100)) != 4 || s.damage() == nil {
		t.Fatalf("damage %v", s.damage())
	}
	if files := spoolFiles(t, dir); len(files) != 2 || strings.HasSuffix(files[0],
		".aside") == strings.HasSuffix(files[1], ".aside") {
		t.Fatalf("left are %q", files)
	}
}

// TestSpoolBareSegment goes on where a life was killed after it had made a new segment and before it had written the
// first line of it: the segment gets that line together with its first message, so that a third life finds it whole.
func TestSpoolBareSegment(t *testing.T) {
	for _, head := range []string{"", `{"acked":"00`} {
		dir := t.TempDir()
		s := spoolNew(t, dir)
		n := spoolAdd(t, s, `{"first":1}`)
		name := fmt.Sprintf("%s-%016x%s", s.name, n+1, spoolEnding)
		s.close()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(head), 0o600); err != nil {
			t.Fatal(err)
		}
		s = spoolNew(t, dir)
		spoolAdd(t, s, `{"second":2}`)
		s.close()
		s = spoolNew(t, dir)
		if msgs := spoolDrain(t, s, 1<<20); len(msgs) != 2 || s.damage() != nil {
			t.Errorf("%q: found %q, damage %v", head, msgs, s.damage())
		}
		s.close()
	}
}

// TestSpoolKill kills a process that adds and acknowledges, again and again. What it said it had added and had not
// begun to acknowledge is there, what it said was acknowledged is not.
func TestSpoolKill(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("SPOOL_KILL_DIR"); dir != "" {
		spoolKillChild(dir)
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	dir := t.TempDir()
	left := map[uint64]string{} // added and not acknowledged, as far as the children said
	epoch := ""
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSpoolKill$")
		cmd.Env = append(os.Environ(), "SPOOL_KILL_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		began, done := uint64(0), uint64(0)
		stop := 200 + rnd.IntN(3000)
		lines := bufio.NewReader(out)
		for i := 0; ; i++ {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // the child is dead and all that it said is read, but for half a line
			}
			var n uint64
			var word, text string
			if _, err := fmt.Sscan(line, &word, &n, &text); err != nil {
				t.Fatalf("the child said %q", line)
			}
			switch word {
			case "epoch":
				if epoch != text {
					left, epoch = map[uint64]string{}, text
				}
			case "added":
				left[n] = text
			case "ack":
				began = n
			case "acked":
				done = n
			}
			if i == stop {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		s := spoolNew(t, dir)
		found := map[uint64]string{}
		for _, m := range spoolDrain(t, s, 1<<20) {
			var n uint64
			fmt.Sscanf(m, "%d:", &n)
			found[n] = m[strings.Index(m, ":")+1:]
			if n <= done {
				t.Fatalf("round %d: %d is there after %d was acknowledged", round, n, done)
			}
		}
		for n, text := range left {
			if n > began && found[n] != text {
				t.Fatalf("round %d: %d was added (acknowledging %d began), found %q, want %q", round, n, began,
					found[n], text)
			}
		}
		if s.damage() != nil {
			t.Fatalf("round %d: %v", round, s.damage())
		}
		left = found
		epoch = s.epoch()
		s.close()
	}
}

// spoolKillChild works with a spool until it is killed, and says so line by line.
func spoolKillChild(dir string) {
	s, err := spoolOpen(dir)
	if err != nil {
		fmt.Println("cannot 0", err)
		return
	}
	fmt.Println("epoch 0", s.epoch())
	for i := 0; ; i++ {
		msg := fmt.Sprintf(`{"i":%d,"x":"%s"}`, i, strings.Repeat("x", i*37%9000))
		n, err := s.add([]byte(msg), 1, true)
		if err != nil {
			return
		}
		fmt.Println("added", n, msg)
		if i%5 == 0 {
			if first, msgs, _ := s.next(8 << 10); len(msgs) > 0 {
				upTo := first + uint64(len(msgs)) - 1
				fmt.Println("ack", upTo, "-")
				s.ack(upTo)
				fmt.Println("acked", upTo, "-")
			}
		}
	}
}

// FuzzSpoolFile opens a segment of any content, and uses the spool.
func FuzzSpoolFile(f *testing.F) {
	text := spoolHeader(nil, 1)
	f.Add(text)
	for n := range uint64(4) {
		text = spoolEncode(text, n+1, 1, []byte(`{"x":1}`))
	}
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Fuzz(func(t *testing.T, text []byte) {
		s := spoolWith(t, "0123456789abcdef-0000000000000001.jsonl", text)
		defer s.close()
		spoolDrain(t, s, 100)
		n := spoolAdd(t, s, `{"new":1}`)
		got := spoolDrain(t, s, 100)
		spoolExpect(t, "a new message", got, fmt.Sprintf(`%d:{"new":1}`, n))
		s.rewind(0)
		if got := spoolDrain(t, s, 100); got[len(got)-1] != fmt.Sprintf(`%d:{"new":1}`, n) {
			t.Fatalf("rewound: %q", got)
		}
		s.ack(n)
		if count, size := s.pending(); count != 0 || size != 0 {
			t.Fatalf("%d messages of %d bytes are pending", count, size)
		}
	})
}

// BenchmarkSpool is a small event on its way: added, sent, acknowledged.
func BenchmarkSpool(b *testing.B) {
	s := spoolNew(b, b.TempDir())
	defer s.close()
	msg := []byte(`{"e":"task.started","run":"01JD3V5K0000000000000000AB","task":"load","attempt":1,"t":"2026-01-31T12:00:00.000Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		n, err := s.add(msg, 1, true)
		if err != nil {
			b.Fatal(err)
		}
		if first, msgs, err := s.next(64 << 10); err != nil || first != n || len(msgs) != 1 {
			b.Fatal(first, err)
		}
		s.ack(n)
	}
}

// BenchmarkSpoolBacklog adds 64 KiB of output in messages of 4 KiB, and sends and acknowledges half of it each time.
func BenchmarkSpoolBacklog(b *testing.B) {
	s := spoolNew(b, b.TempDir())
	defer s.close()
	s.maxBytes = 1 << 40
	msg := []byte(`{"o":"` + strings.Repeat("x", 4<<10) + `"}`)
	b.SetBytes(16 * int64(len(msg)))
	for b.Loop() {
		for range 16 {
			if _, err := s.add(msg, 1, false); err != nil {
				b.Fatal(err)
			}
		}
		for range 2 {
			first, msgs, err := s.next(32 << 10)
			if err != nil {
				b.Fatal(err)
			}
			s.ack(first + uint64(len(msgs))/2)
		}
	}
}

// A message of several numbers goes when the last of them is acknowledged, and comes whole until then, in a second life
// too.
func TestSpoolSeveral(t *testing.T) {
	dir := t.TempDir()
	s := spoolNew(t, dir)
	for i, of := range []int{1, 3, 2} {
		if n, err := s.add([]byte(fmt.Sprintf(`{"x":%d}`, i)), of, true); err != nil || n != []uint64{1, 4, 6}[i] {
			t.Fatalf("message %d: %d, %v", i, n, err)
		}
	}
	for range 2 {
		s.ack(2)
		s.rewind(2)
		for i, want := range []uint64{2, 5} {
			if first, msgs, err := s.next(1); err != nil || first != want || len(msgs) != 1 ||
				string(msgs[0]) != fmt.Sprintf(`{"x":%d}`, i+1) {
				t.Fatalf("%q from %d, want from %d; %v", msgs, first, want, err)
			}
		}
		s.close()
		s = spoolNew(t, dir)
	}
	s.ack(4)
	if count, _ := s.pending(); count != 1 || s.damage() != nil {
		t.Fatalf("%d messages are pending, %v", count, s.damage())
	}
	s.ack(6)
	if count, _ := s.pending(); count != 0 {
		t.Fatalf("%d messages are pending", count)
	}
	s.close()
}

// What was acknowledged behind damage is forgotten in memory too: another message may be written in its place, and is
// not passed over.
func TestSpoolFreshDamaged(t *testing.T) {
	t.Parallel()
	for _, ack := range []uint64{5, 150} {
		s := spoolNew(t, t.TempDir())
		msg := `{"x":"` + strings.Repeat("x", 100) + `"}`
		for range 200 {
			spoolAdd(t, s, msg)
		}
		s.freshForget(2) // as a spool has forgotten the oldest of very many
		s.segments[0].f.Truncate(spoolHeaderSize)
		s.ack(ack)
		for i := range s.fresh {
			if m := &s.fresh[i]; m.last() <= ack || m.end > m.segment.size {
				t.Fatalf("after %d message %d is kept, up to byte %d of %d", ack, m.n, m.end, m.segment.size)
			}
		}
		for n := uint64(201); n <= 203; n++ {
			spoolAdd(t, s, msg)
		}
		s.ack(201)
		s.rewind(201)
		if got := spoolDrain(t, s, 1<<20); len(got) != 2 || got[0] != "202:"+msg {
			t.Fatalf("%d messages came", len(got))
		}
		s.close()
	}
}

// TestSpoolFresh: what was just added is sent and acknowledged without a look at the file: it is not there any more to
// be read. What is more than memory has room for comes from the file, in its place.
func TestSpoolFresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spoolNew(t, dir)
	defer s.close()
	msg := `{"x":"` + strings.Repeat("x", 100<<10) + `"}`
	for n := range uint64(50) {
		spoolAdd(t, s, msg)
		s.segments[0].f.Truncate(0) // it can be read no more
		if first, msgs, err := s.next(1); err != nil || first != n+1 || len(msgs) != 1 || string(msgs[0]) != msg {
			t.Fatalf("message %d: %d came, %v", n+1, first, err)
		}
		if n > 0 {
			s.ack(n)
		}
		if count, _ := s.pending(); count != 1 {
			t.Fatalf("%d messages are pending", count)
		}
	}
	s.ack(50)
	for range 100 {
		spoolAdd(t, s, msg)
		if s.freshBytes > spoolFreshBytes {
			t.Fatalf("%d bytes are kept in memory", s.freshBytes)
		}
	}
	got := spoolDrain(t, s, 1)
	if len(got) != 100 || got[0] != "51:"+msg || got[99] != "150:"+msg || s.freshBytes != 0 || s.damage() != nil {
		t.Fatalf("%d messages came, %d bytes are left in memory, damage %v", len(got), s.freshBytes, s.damage())
	}
	s.rewind(60)
	if got := spoolDrain(t, s, 1<<20); len(got) != 90 || got[0] != "61:"+msg {
		t.Fatalf("%d messages came again", len(got))
	}
}
