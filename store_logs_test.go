// store_logs_test.go: output comes back as it was; order and places, following while lines are written, tails against a
// simple model, failing disks, damage.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// logsClock is a clock that stands until it is set.
type logsClock struct{ at time.Time }

func (c *logsClock) now() time.Time { return c.at }

// logsNew opens output in a new folder with a clock at noon.
func logsNew(t testing.TB) (*logs, *logsClock, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "logs")
	l, err := logsOpen(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	clock := &logsClock{time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	l.now = clock.now
	return l, clock, dir
}

// logsLine makes line n of a run.
func logsLine(run string, n int64, text string) LogLine {
	line := LogLine{Time: stampOf(time.Unix(1769860800+n, 0)), Run: run, N: n, Task: "load", Attempt: 1, Stream: "o"}
	line.set([]byte(text))
	return line
}

func logsAppend(t testing.TB, l *logs, workflow string, lines ...LogLine) {
	t.Helper()
	if err := l.append(workflow, lines); err != nil {
		t.Fatal(err)
	}
}

// logsEncode gives lines as a file holds them that were written together.
func logsEncode(lines ...LogLine) (b []byte) {
	var pack recordPacker
	for i := range lines {
		pack.add(&lines[i])
	}
	for _, r := range pack.records() {
		b = logEncode(b, &r)
	}
	return b
}

// logsRead reads all that passes the filter.
func logsRead(t testing.TB, l *logs, workflow, run string, from logPlace, f logFilter) ([]LogLine, logPlace) {
	t.Helper()
	var got []LogLine
	place, err := l.read(workflow, run, from, f, func(line LogLine) error {
		got = append(got, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, place
}

// logsNumbers gives the numbers of lines, to compare in short.
func logsNumbers(lines []LogLine) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%d ", line.N)
	}
	return strings.TrimSpace(b.String())
}

func TestLogsRoundTrip(t *testing.T) {
	t.Parallel()
	texts := []string{"", "hello", "tab\there", `quote " back \ slash`, "<a href='x'>&amp;</a>", "\x1b[31mred\x1b[0m\r",
		"naïve — 日本語 🚀",
		"c1 \u009b31m \u0085 del \x7f", "not utf-8 \xff\xfe\x00", "\xc2", "\u2028\u2029", `","r":"OTHER","i":9`,
		"nul \x00", strings.Repeat("x", 1<<20),
		strings.Repeat("\xff", 1<<20), "\ufffd", "\ufeff"}
	l, _, dir := logsNew(t)
	var want []LogLine
	for i, text := range texts {
		want = append(want, logsLine("RUN", int64(i+1), text))
	}
	want = append(want, LogLine{Run: "RUN", N: 99, Stream: "c", Bytes: []byte{}})
	logsAppend(t, l, "etl.daily", want...)
	got, _ := logsRead(t, l, "etl.daily", "RUN", logPlace{}, logFilter{})
	if len(got) != len(want) {
		t.Fatalf("got %d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].raw(), want[i].raw()) || got[i].Time != want[i].Time || got[i].N != want[i].N ||
			got[i].Stream != want[i].Stream {
			t.Errorf("line %d: got %.80q, want %.80q", i, got[i].raw(), want[i].raw())
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "etl.daily", "2026-01-31.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(text, "\x1b\x7f\x00\r") || bytes.Contains(text, []byte("\u009b")) {
		t.Error("the file holds control characters")
	}
	if !bytes.Contains(text, []byte("<a href='x'>&amp;</a>")) {
		t.Error("grep does not find text in the file as it was written")
	}
	line := logsLine("01JD", 7, "hi")
	if got, want := string(logsEncode(line)),
		`{"t":"2026-01-31T12:00:07.000Z","r":"01JD","i":7,"k":"load","n":1,"s":"o","m":"hi"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	for i := range want {
		var back LogLine
		if err := json.Unmarshal(logsEncode(want[i]), &back); err != nil || !bytes.Equal(back.raw(), want[i].raw()) {
			t.Errorf("line %d: encoding/json reads %.80q, %v", i, back.raw(), err)
		}
		if _, short := logParse(logsEncode(want[i])); short != (want[i].Bytes == nil && !want[i].Time.IsZero()) {
			t.Errorf("line %d: %.80q takes the short way: %v", i, want[i].raw(), short)
		}
	}
	bad := LogLine{Run: "R", N: 1, Text: "\xff"} // set would have put it into Bytes
	if back, err := logDecode(nil, logsEncode(bad)); err != nil || string(back[0].raw()) != "\xff" {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestLogsInterleavedRuns(t *testing.T) {
	l, _, _ := logsNew(t)
	first := l.end("w")
	logsAppend(t, l, "w", logsLine("A", 1, "a"), logsLine("A", 2, "a"))
	second := l.end("w")
	for n := int64(1); n <= 300; n++ {
		logsAppend(t, l, "w", logsLine("A", n+2, "a"), logsLine("B", n, "b"))
	}
	for _, c := range []struct {
		run  string
		from logPlace
		want int
	}{{"A", first, 302}, {"A", logPlace{}, 302}, {"B", second, 300}, {"B", first, 300}, {"C", first, 0},
		{"A", l.end("w"), 0}} {
		got, _ := logsRead(t, l, "w", c.run, c.from, logFilter{})
		if len(got) != c.want {
			t.Errorf("run %s from %v: got %d lines, want %d", c.run, c.from, len(got), c.want)
		}
		for i, line := range got {
			if line.N != int64(i+1) || line.Run != c.run {
				t.Fatalf("run %s: line %d is number %d of %s", c.run, i, line.N, line.Run)
			}
		}
		if last, err := l.lastNumber("w", c.run, c.from); err != nil || last != int64(c.want) {
			t.Errorf("run %s: last number %d, %v; want %d", c.run, last, err, c.want)
		}
	}
	if got, place := logsRead(t, l, "other", "A", logPlace{}, logFilter{}); len(got) != 0 || place != (logPlace{}) {
		t.Errorf("a workflow without output has %d lines up to %v", len(got), place)
	}
}

func TestLogsMidnightAndClockSteps(t *testing.T) {
	l, clock, dir := logsNew(t)
	start := l.end("w")
	if want := (logPlace{Day: "2026-01-31"}); start != want {
		t.Fatalf("start is %v, want %v", start, want)
	}
	steps := []struct {
		add time.Duration
		day string
	}{{0, "2026-01-31"}, {12*time.Hour - 1, "2026-01-31"}, {1, "2026-02-01"}, {-48 * time.Hour, "2026-02-01"},
		{-400 * 24 * time.Hour, "2026-02-01"},
		{500 * 24 * time.Hour, "2026-05-10"}, {-1, "2026-05-10"}}
	place, seen := start, ""
	for i, step := range steps {
		clock.at = clock.at.Add(step.add)
		before := l.end("w")
		if before.Day != step.day {
			t.Errorf("step %d: the next line would go to %s, want %s", i, before.Day, step.day)
		}
		logsAppend(t, l, "w", logsLine("R", int64(i+1), "x"))
		if got, _ := logsRead(t, l, "w", "R", before, logFilter{}); logsNumbers(got) != fmt.Sprint(i+1) {
			t.Errorf("step %d: from %v come %q", i, before, logsNumbers(got))
		}
		var got []LogLine
		got, place = logsRead(t, l, "w", "R", place, logFilter{})
		seen += logsNumbers(got)
		if i == 4 { // another life, with the clock still behind
			l.close()
			var err error
			if l, err = logsOpen(dir); err != nil {
				t.Fatal(err)
			}
			defer l.close()
			l.now = clock.now
		}
	}
	if seen != "1234567" {
		t.Errorf("followed %q", seen)
	}
	got, _ := logsRead(t, l, "w", "R", start, logFilter{})
	if logsNumbers(got) != "1 2 3 4 5 6 7" {
		t.Errorf("read %q", logsNumbers(got))
	}
	if err := os.Remove(filepath.Join(dir, "w", "2026-02-01.jsonl")); err != nil { // as retention does
		t.Fatal(err)
	}
	got, _ = logsRead(t, l, "w", "R", logPlace{Day: "2026-02-01", At: 80}, logFilter{})
	if logsNumbers(got) != "6 7" {
		t.Errorf("read %q from a day that is gone", logsNumbers(got))
	}
}

func TestLogsFilter(t *testing.T) {
	l, _, _ := logsNew(t)
	all := []LogLine{logsLine("R", 1, "begin"), logsLine("R", 2, "error: disk"), logsLine("R", 3, "bytes \xff error"),
		logsLine("R", 4, "end"), logsLine("R", 5, "bye")}
	all[1].Stream, all[2].Task, all[3].Stream, all[4].Task = "e", "save", "c", "save"
	logsAppend(t, l, "w", all...)
	logsAppend(t, l, "w", logsLine("RR", 1, "error"))
	for _, c := range []struct {
		f    logFilter
		want string
	}{
		{logFilter{}, "1 2 3 4 5"},
		{logFilter{Task: "save"}, "3 5"},
		{logFilter{Task: "sav"}, ""},
		{logFilter{Stream: "e"}, "2"},
		{logFilter{Stream: "c"}, "4"},
		{logFilter{Since: all[2].Time.Time}, "3 4 5"},
		{logFilter{Since: all[4].Time.Add(time.Millisecond)}, ""},
		{logFilter{Grep: regexp.MustCompile(`error`)}, "2 3"},
		{logFilter{Grep: regexp.MustCompile(`^b`)}, "1 3 5"},
		{logFilter{Grep: regexp.MustCompile(`^b`), Task: "load"}, "1"},
		{logFilter{Before: 3}, "1 2"},
		{logFilter{Before: 1}, ""},
		{logFilter{Before: 4, Tail: 2}, "2 3"},
		{logFilter{Tail: 2}, "4 5"},
		{logFilter{Tail: 5}, "1 2 3 4 5"},
		{logFilter{Tail: 500}, "1 2 3 4 5"},
		{logFilter{Tail: 1, Task: "load"}, "4"},
		{logFilter{Tail: 2, Grep: regexp.MustCompile(`^b`)}, "3 5"},
		{logFilter{Tail: 2, Grep: regexp.MustCompile(`nothing`)}, ""},
	} {
		got, place := logsRead(t, l, "w", "R", logPlace{}, c.f)
		if logsNumbers(got) != c.want {
			t.Errorf("%+v: got %q, want %q", c.f, logsNumbers(got), c.want)
		}
		if place != l.end("w") {
			t.Errorf("%+v: goes on at %v, want %v", c.f, place, l.end("w"))
		}
	}
	stop := errors.New("stop")
	place, err := l.read("w", "R", logPlace{}, logFilter{}, func(line LogLine) error {
		if line.N == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("got error %v", err)
	}
	if got, _ := logsRead(t, l, "w", "R", place, logFilter{}); logsNumbers(got) != "3 4 5" {
		t.Errorf("a reader that failed at line 3 goes on with %q", logsNumbers(got))
	}
}

// TestLogsTailModel compares tails and places with the last of all lines, over line lengths around the block's.
func TestLogsTailModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	l, clock, _ := logsNew(t)
	var places []logPlace
	total := 400
	for n := 1; n <= total; n++ {
		size := rnd.IntN(200)
		switch rnd.IntN(40) {
		case 0:
			size = logBlock - 200 + rnd.IntN(400)
		case 1:
			size = rnd.IntN(5 * logBlock)
		case 2:
			clock.at = clock.at.Add(10 * time.Hour)
		}
		places = append(places, l.end("w"))
		logsAppend(t, l, "w", logsLine("R", int64(n), strings.Repeat("y", size)), logsLine("S", int64(n), "other"))
	}
	for range 100 {
		from, tail := rnd.IntN(total), rnd.IntN(total+20)
		f := logFilter{Tail: tail}
		got, place := logsRead(t, l, "w", "R", places[from], f)
		want := total - from
		if tail > 0 {
			want = min(want, tail)
		}
		if len(got) != want || len(got) > 0 && (got[0].N != int64(total-want+1) || got[want-1].N != int64(total)) {
			t.Fatalf("from line %d, tail %d: got %d lines, want %d", from+1, tail, len(got), want)
		}
		if place != l.end("w") {
			t.Fatalf("from line %d, tail %d: goes on at %v, want %v", from+1, tail, place, l.end("w"))
		}
	}
}

// TestLogsFollow reads on while lines are written, over two midnights, and with writes that fail half way.
func TestLogsFollow(t *testing.T) {
	l, clock, _ := logsNew(t)
	fail := false
	l.writeAt = func(f *os.File, b []byte, at int64) (int, error) {
		if fail {
			n, _ := f.WriteAt(b[:len(b)*3/4], at)
			return n, syscall.ENOSPC
		}
		return f.WriteAt(b, at)
	}
	const total = 2000
	start := l.end("w")
	wrote := make(chan bool, 1)
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			place, next := start, int64(1)
			for more := true; more; { // woken by each write; ends when the writer has ended and all is read
				_, more = <-wrote
				var err error
				place, err = l.read("w", "R", place, logFilter{}, func(line LogLine) error {
					if line.N != next || len(line.Text) != int(line.N%500) {
						return fmt.Errorf("got line %d of %d bytes, want line %d", line.N, len(line.Text), next)
					}
					next++
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
			if next != total+1 {
				t.Errorf("followed up to line %d, want %d", next-1, total)
			}
		})
	}
	for n := int64(1); n <= total; n += 4 {
		if n%700 == 1 {
			clock.at = clock.at.Add(24 * time.Hour)
		}
		var lines []LogLine
		for i := range int64(4) {
			lines = append(lines, logsLine("R", n+i, strings.Repeat("z", int((n+i)%500))))
		}
		if n%28 == 1 {
			fail = true
			junk := []LogLine{logsLine("R", 1e6, "x"), logsLine("R", 1e6+1, "x"), logsLine("R", 1e6+2, "x"),
				logsLine("R", 1e6+3, "x")}
			if err := l.append("w", junk); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v", err)
			}
			fail = false
		}
		logsAppend(t, l, "w", lines...)
		select {
		case wrote <- true:
		default:
		}
	}
	close(wrote)
	readers.Wait()
}

// TestLogsTorn cuts a file at each byte of its last line, as a power cut may.
func TestLogsTorn(t *testing.T) {
	t.Parallel()
	l, clock, dir := logsNew(t)
	logsAppend(t, l, "w", logsLine("R", 1, "one"))
	kept := l.end("w").At
	logsAppend(t, l, "w", logsLine("R", 2, "two"))
	after := l.end("w")
	l.close()
	path := filepath.Join(dir, "w", "2026-01-31.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := kept; cut < int64(len(whole)); cut++ {
		text := append(bytes.Clone(whole[:cut]), make([]byte, cut%3)...) // file systems may leave zeros
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := logsOpen(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.now = clock.now
		if got, place := logsRead(t, l, "w", "R", logPlace{}, logFilter{}); logsNumbers(got) != "1" ||
			place.At != kept {
			t.Fatalf("cut at %d: before the next line there are %q up to %v", cut, logsNumbers(got), place)
		}
		if end := l.end("w"); end.At != kept {
			t.Fatalf("cut at %d: the next line goes to %d, want %d", cut, end.At, kept)
		}
		logsAppend(t, l, "w", logsLine("R", 3, "three, and longer than two"))
		for _, f := range []logFilter{{}, {Tail: 9}} {
			if got, _ := logsRead(t, l, "w", "R", logPlace{}, f); logsNumbers(got) != "1 3" {
				t.Fatalf("cut at %d: read %q", cut, logsNumbers(got))
			}
		}
		if got, _ := logsRead(t, l, "w", "R", after, logFilter{}); logsNumbers(got) != "1 3" {
			t.Fatalf("cut at %d: from a place that is none any more: read %q", cut, logsNumbers(got))
		}
		l.close()
	}
}

func TestLogsDamageSkipped(t *testing.T) {
	t.Parallel()
	l, _, dir := logsNew(t)
	for i, text := range []string{"one", "two", "three"} {
		logsAppend(t, l, "w", logsLine("R", int64(i+1), text))
	}
	path := filepath.Join(dir, "w", "2026-01-31.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"m":"two"`), []byte(`"m":}two"`), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, _ := logsRead(t, l, "w", "R", logPlace{}, logFilter{})
	if logsNumbers(got) != "1 3" || l.damaged.Load() != 1 {
		t.Errorf("read %q with %d damaged", logsNumbers(got), l.damaged.Load())
	}
	long := bytes.Repeat([]byte("x"), logMaxLine+logBlock)
	text = append(append(append(text, long...), '\n'), text...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l.shut("w")
	for _, f := range []logFilter{{}, {Tail: 9}} {
		if got, _ := logsRead(t, l, "w", "R", logPlace{}, f); logsNumbers(got) != "1 3 1 3" {
			t.Errorf("%+v: read %q around a line without end", f, logsNumbers(got))
		}
	}
}

// TestLogsDiskFull fails writes at every length and then lets the next one pass.
func TestLogsDiskFull(t *testing.T) {
	t.Parallel()
	l, _, dir := logsNew(t)
	room := 0
	l.writeAt = func(f *os.File, b []byte, at int64) (int, error) {
		if room < len(b) {
			n, _ := f.WriteAt(b[:room], at)
			if got, place := logsRead(t, l, "w", "R", logPlace{}, logFilter{}); len(got) != 0 || place.At != 0 {
				t.Errorf("room %d: a reader saw %q of a write that failed, up to %v", room, logsNumbers(got), place)
			}
			return n, syscall.ENOSPC
		}
		return f.WriteAt(b, at)
	}
	batch := []LogLine{logsLine("R", 1, "one"), logsLine("R", 2, "two")}
	size := len(logsEncode(batch...))
	for room = 0; room < size; room++ {
		if err := l.append("w", batch); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room %d: got %v", room, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "w", "2026-01-31.jsonl")); err != nil || info.Size() != 0 {
			t.Fatalf("room %d: %d bytes are left, %v", room, info.Size(), err)
		}
	}
	logsAppend(t, l, "w", batch...)
	if got, _ := logsRead(t, l, "w", "R", logPlace{}, logFilter{}); logsNumbers(got) != "1 2" {
		t.Errorf("read %q", logsNumbers(got))
	}
	big := logsLine("R", 3, strings.Repeat("x", logMaxLine))
	if err := l.append("w", []LogLine{big}); err == nil || !strings.Contains(err.Error(), "line 3 of run R") {
		t.Errorf("a line that no reader would take: %v", err)
	}
}

func TestLogsFolderNames(t *testing.T) {
	long := strings.Repeat("ö", 200)
	for _, c := range []struct{ id, want string }{
		{"etl.daily", "etl.daily"}, {"with space", "with space"}, {"täglich", "täglich"}, {"", "%"}, {".", "%2E"},
		{"..", "%2E."},
		{"../../etc", "%2E.%2F..%2Fetc"}, {"/abs", "%2Fabs"}, {"a/b", "a%2Fb"}, {`a\b`, "a%5Cb"}, {"100%", "100%25"},
		{"%2E", "%252E"},
		{"nul\x00", "nul%00"}, {"esc\x1b[", "esc%1B["}, {"\xff", "%FF"}, {"a*?", "a%2A%3F"}, {".hidden", "%2Ehidden"},
		{long, strings.Repeat("ö", 75) + "%-" + "b2b2d0f5"},
	} {
		got := idFolder(c.id)
		if c.id == long {
			c.want = c.want[:152] + got[152:]
			if len(got) != 152+16 {
				t.Errorf("long id: %d bytes", len(got))
			}
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.id, got, c.want)
		}
	}
	l, _, dir := logsNew(t)
	for i, id := range []string{"..", ".", "", "../x", "a/b", long, long + "!", "\x00", strings.Repeat("/", 300)} {
		logsAppend(t, l, id, logsLine("R", int64(i+1), "x"))
		if got, _ := logsRead(t, l, id, "R", logPlace{}, logFilter{}); logsNumbers(got) != fmt.Sprint(i+1) {
			t.Errorf("%q: read %q", id, logsNumbers(got))
		}
	}
	if outside, err := filepath.Glob(filepath.Join(dir, "..", "*")); err != nil || len(outside) != 1 {
		t.Errorf("beside the log folder there is %q, %v", outside, err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "evil")); err != nil {
		t.Fatal(err)
	}
	if err := l.append("evil", []LogLine{logsLine("R", 1, "x")}); err == nil {
		t.Error("output follows a link out of the folder")
	}
}

func TestLogsManyWorkflows(t *testing.T) {
	t.Parallel()
	l, _, _ := logsNew(t)
	for round := range 3 {
		for w := range 3 * logMaxOpen {
			logsAppend(t, l, fmt.Sprint("w", w), logsLine("R", int64(round+1), "x"))
			if len(l.open) > logMaxOpen {
				t.Fatalf("%d files are open", len(l.open))
			}
		}
	}
	for w := range 3 * logMaxOpen {
		if got, _ := logsRead(t, l, fmt.Sprint("w", w), "R", logPlace{}, logFilter{}); logsNumbers(got) != "1 2 3" {
			t.Fatalf("workflow %d: read %q", w, logsNumbers(got))
		}
	}
}

// FuzzLogsFile reads a file of any content: forward, backward and from any place. What it gives is a line of the run.
func FuzzLogsFile(f *testing.F) {
	line := logsLine("R", 1, "one")
	text := logsEncode(line)
	f.Add(text, int64(0), 1)
	f.Add(append(logsEncode(line, logsLine("R", 2, "two"), logsLine("R", 3, "")), text...), int64(0), 2)
	f.Add(bytes.Replace(logsEncode(line, logsLine("R", 2, "two")), []byte(`"j":2`), []byte(`"j":3`), 1), int64(0), 2)
	f.Add(append(append(bytes.Clone(text), "\n{}\nnull\n"...), text[:40]...), int64(3), 2)
	f.Add([]byte(`{"r":"R","i":-5,"b":"!"}`+"\n"+`{"r":"R","t":"x"}`+"\n"), int64(-1), 9)
	f.Fuzz(func(t *testing.T, text []byte, at int64, tail int) {
		l, _, dir := logsNew(t)
		if err := os.Mkdir(filepath.Join(dir, "w"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "w", "2026-01-31.jsonl"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		from := logPlace{Day: "2026-01-31", At: at}
		all, place := logsRead(t, l, "w", "R", from, logFilter{})
		last, lines := logsRead(t, l, "w", "R", from, logFilter{Tail: 1 + tail&0xff})
		if want := all[max(0, len(all)-1-tail&0xff):]; !reflect.DeepEqual(last, want) && len(want) > 0 {
			t.Errorf("tail gives %v, want %v", last, want)
		}
		if lines != place || place.At > int64(len(text)) {
			t.Errorf("goes on at %v and %v", place, lines)
		}
		for _, line := range all {
			if line.Run != "R" {
				t.Errorf("gave a line of run %q", line.Run)
			}
			again, err := logDecode(nil, logsEncode(line))
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].raw(), line.raw()) || again[0].N != line.N {
				t.Errorf("line %+v comes back as %+v, %v", line, again, err)
			}
		}
		if _, err := l.lastNumber("w", "R", from); err != nil {
			t.Error(err)
		}
		logsAppend(t, l, "w", logsLine("NEW", 1, "x"))
		if got, _ := logsRead(t, l, "w", "NEW", logPlace{}, logFilter{Tail: 1}); logsNumbers(got) != "1" {
			t.Errorf("a line behind it reads as %q", logsNumbers(got))
		}
	})
}

// FuzzLogsDecode compares the quick parser of a record with encoding/json.
func FuzzLogsDecode(f *testing.F) {
	for _, text := range []string{"one", "", "tab\t \"quoted\" \\ \x1b[31m \u009b é", "\xff"} {
		line := logsLine("R", 1, text)
		f.Add(logsEncode(line))
		f.Add(logsEncode(line, logsLine("R", 2, text), logsLine("R", 3, text)))
	}
	f.Add([]byte(`{"t":"2026-01-31T12:00:07.000Z","r":"R","i":01,"k":"load","n":-1,"s":"o","m":"\u00zz\n\"}`))
	f.Add([]byte(`{"t":"2026-01-31T12:00:07.123456Z","r":"","i":9223372036854775807,"k":"\u0041","n":99999999999,"s":"","m":"\u00"} `))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := logParse(text)
		if !ok {
			return
		}
		var want LogRecord
		if err := json.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %+v, encoding/json %+v, %v", text, got, want, err)
		}
	})
}

// FuzzLogsString compares the writer of strings with encoding/json's reader.
func FuzzLogsString(f *testing.F) {
	f.Add("a\"\\\n\u0085\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		s = strings.ToValidUTF8(s, "?")
		if err := json.Unmarshal(logString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q comes back as %q, %v", s, back, err)
		}
	})
}

func BenchmarkLogsAppend(b *testing.B) {
	l, _, _ := logsNew(b)
	lines := make([]LogLine, 100)
	for i := range lines {
		lines[i] = logsLine("01JD3V5K0000000000000000AB", int64(i),
			"a line of output, as tasks print them, about eighty bytes long: 0123456789")
	}
	b.ReportAllocs()
	for b.Loop() {
		logsAppend(b, l, "w", lines...)
	}
}

func BenchmarkLogsRead(b *testing.B) {
	l, _, _ := logsNew(b)
	lines := make([]LogLine, 1000)
	for i := range lines {
		run := "01JD3V5K0000000000000000AB"
		if i%10 > 0 {
			run = "01JD3V5K0000000000000000CD"
		}
		lines[i] = logsLine(run, int64(i), "a line of output, as tasks print them, about eighty bytes long: 0123456789")
	}
	for range 100 {
		logsAppend(b, l, "w", lines...)
	}
	for _, c := range []struct {
		name string
		f    logFilter
	}{{"Tenth", logFilter{}}, {"Tail", logFilter{Tail: 10}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				logsRead(b, l, "w", "01JD3V5K0000000000000000AB", logPlace{}, c.f)
			}
		})
	}
	b.Run("LastNumber", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.lastNumber("w", "01JD3V5K0000000000000000AB", logPlace{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestLogsDay: a line goes into the file of the day, in UTC, on which it is written, at that day's first moment and its
// last too.
func TestLogsDay(t *testing.T) {
	east, west := time.FixedZone("east", 14*3600), time.FixedZone("west", -11*3600)
	for _, zone := range []*time.Location{time.UTC, east, west} {
		for at, day := range map[string]string{"2026-01-31T00:00:00Z": "2026-01-31",
			"2026-01-31T12:00:00Z": "2026-01-31", "2026-01-31T23:59:59.999Z": "2026-01-31",
			"2026-02-01T00:00:00Z": "2026-02-01", "2028-02-29T23:59:59Z": "2028-02-29",
			"2026-12-31T23:59:59Z": "2026-12-31"} {
			dir := t.TempDir()
			l, err := logsOpen(dir)
			if err != nil {
				t.Fatal(err)
			}
			now, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			l.now = func() time.Time { return now.In(zone) }
			place := l.end("w")
			if err := l.append("w", []LogLine{{Time: stampOf(now.AddDate(0, 0, -3)), Run: "R", N: 1, Stream: "o",
				Text: "x"}}); err != nil {
				t.Fatal(err)
			}
			l.close()
			files, _ := os.ReadDir(dir + "/w")
			if place.Day != day || len(files) != 1 || files[0].Name() != day+".jsonl" {
				t.Errorf("%s in %s: the place is in %s, the files %v, want %s", at, zone, place.Day, files, day)
			}
		}
	}
}

// logsTogether appends lines in one write for each batch, so that files have records of several.
func logsTogether(t testing.TB, l *logs, run string, batches ...[]string) (all []LogLine) {
	t.Helper()
	for _, texts := range batches {
		var lines []LogLine
		for _, text := range texts {
			lines = append(lines, logsLine(run, int64(len(all)+len(lines)+1), text))
		}
		logsAppend(t, l, "w", lines...)
		all = append(all, lines...)
	}
	return all
}

// TestLogsRecords: short lines that are written together take little more than their text, and come back one by one
// with their own times.
func TestLogsRecords(t *testing.T) {
	l, _, dir := logsNew(t)
	var lines []LogLine
	for n := int64(1); n <= 100_000; n++ {
		line := logsLine("01JD3V5K0000000000000000AB", n, fmt.Sprint(n))
		line.Time = stampOf(time.Date(2026, 1, 31, 12, 0, 0, int(n/1000)*1e6, time.UTC))
		lines = append(lines, line)
	}
	for batch := range slices.Chunk(lines, 1500) {
		logsAppend(t, l, "w", batch...)
	}
	info, err := os.Stat(filepath.Join(dir, "w", "2026-01-31.jsonl"))
	if most := int64(len(lines) * 12); err != nil || info.Size() > most {
		t.Errorf("%d bytes, %v; want %d at most", info.Size(), err, most)
	}
	got, _ := logsRead(t, l, "w", lines[0].Run, logPlace{}, logFilter{})
	if !reflect.DeepEqual(got, lines) {
		t.Errorf("%d lines come back as %d others", len(lines), len(got))
	}
	if n, err := l.lastNumber("w", lines[0].Run, logPlace{}); n != int64(len(lines)) || err != nil {
		t.Errorf("the last number is %d, %v", n, err)
	}
}

// TestLogsPlaceWithin: a place may be within a record. A reader that stopped at any line goes on with that line and
// gives it once, whether it reads forward or from the end.
func TestLogsPlaceWithin(t *testing.T) {
	l, clock, _ := logsNew(t)
	batch := []string{"a", "b", "needle", "c", "", "needle d"}
	all := logsTogether(t, l, "R", batch, batch[:1], batch, batch[2:])
	clock.at = clock.at.Add(24 * time.Hour)
	all = append(all, logsTogether(t, l, "S", batch)...) // another run's in a file of its own
	all = all[:len(all)-len(batch)]
	stop := errors.New("stop")
	for at := range all {
		place, err := l.read("w", "R", logPlace{}, logFilter{}, func(line LogLine) error {
			if line.N == all[at].N {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) {
			t.Fatalf("line %d: %v", all[at].N, err)
		}
		for _, f := range []logFilter{{}, {Tail: 1}, {Tail: 3}, {Tail: 4}, {Tail: 100},
			{Grep: regexp.MustCompile("needle")}, {Grep: regexp.MustCompile("needle"), Tail: 2}, {Before: 9},
			{Before: 9, Tail: 2}} {
			var want []LogLine
			for _, line := range all[at:] {
				if f.pass(&line) {
					want = append(want, line)
				}
			}
			if f.Tail > 0 {
				want = want[max(0, len(want)-f.Tail):]
			}
			got, _ := logsRead(t, l, "w", "R", place, f)
			if logsNumbers(got) != logsNumbers(want) {
				t.Errorf("from line %d, %+v: %q, want %q", all[at].N, f, logsNumbers(got), logsNumbers(want))
			}
		}
	}
}

// TestLogsRecordTornAndDamaged: a file that is cut anywhere loses the record that was cut and no line before it. A
// damaged record is lost alone, and its last number still counts: what was stored is not asked for again.
func TestLogsRecordTornAndDamaged(t *testing.T) {
	l, clock, dir := logsNew(t)
	logsTogether(t, l, "R", []string{"one", "two"}, []string{"three", "four", "five"})
	l.close()
	path := filepath.Join(dir, "w", "2026-01-31.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.IndexByte(whole, '\n') + 1
	open := func(text []byte) *logs {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := logsOpen(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.now = clock.now
		return l
	}
	for cut := second; cut < len(whole); cut++ {
		l := open(whole[:cut])
		last, err := l.lastNumber("w", "R", logPlace{})
		if got, _ := logsRead(t, l, "w", "R", logPlace{}, logFilter{}); logsNumbers(got) != "1 2" || last != 2 ||
			err != nil {
			t.Errorf("cut at %d: %q, last %d, %v", cut, logsNumbers(got), last, err)
		}
		l.close()
	}
	for _, c := range []struct{ from, to, want string }{{"three", "th\x00ee", "1 2"}, {`"j":5`, `"j":6`, "1 2"},
		{`"m":"three`, `"m":}three`, "1 2"}, {"one", "o\x01e", "3 4 5"}} {
		l := open(bytes.Replace(whole, []byte(c.from), []byte(c.to), 1))
		last, err := l.lastNumber("w", "R", logPlace{})
		for _, f := range []logFilter{{}, {Tail: 9}} {
			if got, _ := logsRead(t, l, "w", "R", logPlace{}, f); logsNumbers(got) != c.want || last < 5 ||
				err != nil || l.damaged.Load() == 0 {
				t.Errorf("%q for %q: %q, last %d, %v, %d damaged", c.to, c.from, logsNumbers(got), last, err,
					l.damaged.Load())
			}
		}
		l.close()
	}
}

// TestLogsWithin reads on in a file with lines by themselves, one with a newline within it and one of bytes.
func TestLogsWithin(t *testing.T) {
	l, _, dir := logsNew(t)
	old := `{"t":"2026-01-30T12:00:07.000Z","r":"R","i":1,"k":"load","n":1,"s":"o","m":"one"}
{"t":"2026-01-30T12:00:07.000Z","r":"R","i":2,"k":"load","n":1,"s":"e","m":"two\u000aof one line"}
{"t":"2026-01-30T12:00:07.000Z","r":"R","i":3,"k":"load","n":1,"s":"o","b":"/w=="}
`
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "2026-01-31.jsonl"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	logsAppend(t, l, "w", logsLine("R", 4, "four"), logsLine("R", 5, "five"))
	got, _ := logsRead(t, l, "w", "R", logPlace{}, logFilter{})
	var texts []string
	for _, line := range got {
		texts = append(texts, string(line.raw()))
	}
	if want := "one|two\nof one line|\xff|four|five"; strings.Join(texts, "|") != want ||
		logsNumbers(got) != "1 2 3 4 5" {
		t.Errorf("read %q, numbers %s", texts, logsNumbers(got))
	}
}

// TestLogsNone: that a workflow has no output is found out once, for each of its runs asks where that would go.
func TestLogsNone(t *testing.T) {
	l, _, _ := logsNew(t)
	none := l.end("w")
	if n := allocsOf(100, func() { l.end("w") }); n > 3 || none != (logPlace{Day: "2026-01-31"}) {
		t.Errorf("%v: asked again it takes %v allocations", none, n)
	}
	logsAppend(t, l, "w", logsLine("R", 1, "hello"))
	if place := l.end("w"); place.At == 0 {
		t.Errorf("with output: %v", place)
	}
}
