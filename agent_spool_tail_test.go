// Tests of the end of output: that what is read is exactly the end of what came, also over files that take turns,
// damage, a disk that is full, and another life.

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spoolTailTestLines gives what a tail has, as stream, tag and text, and what is left out. limit 0 is all.
func spoolTailTestLines(t *testing.T, path string, limit int64,
	total *spoolTailMeta) (lines []string, x *spoolTailReader) {
	t.Helper()
	x, err := spoolTailOf(path, limit, total)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	if err := x.each(func(l spoolTailLineOf) error {
		lines = append(lines, l.stream+" "+l.tag+" "+string(l.text))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines, x
}

// TestSpoolTail adds lines of several streams in random pieces, and wants the end of what came, a line at a time.
func TestSpoolTail(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed ", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, test := range []struct {
		lines int
		size  int64
	}{{10, 1 << 20}, {1000, 5000}, {60_000, 100_000}, {60_000, 1 << 20}, {60_000, 3 << 20}} {
		tail := spoolTailNew(t.TempDir(), spoolTailMeta{Run: "R", Lease: 2, Size: test.size})
		tail.after(7, 0)
		var all []string
		ends := make([]int64, 0, test.lines) // bytes that had come when that line began
		sum, at := int64(0), time.Now()
		for i := range test.lines {
			flags, tag := 0, fmt.Sprint("1 t", rnd.IntN(2))
			stream := "o"
			if rnd.IntN(3) == 0 {
				flags, stream = spoolTailErr, "e"
			}
			text := fmt.Sprintf("line %d %s", i, strings.Repeat("x", rnd.IntN(90)))
			all = append(all, stream+" "+tag+" "+text)
			ends = append(ends, sum)
			for rest := text + "\n"; rest != ""; { // lines come whole or in pieces, close together or not
				n := len(rest)
				if rnd.IntN(4) == 0 {
					n = 1 + rnd.IntN(n)
				}
				tail.add(tag, flags, at, []byte(rest[:n]))
				flags |= spoolTailBegun
				rest = rest[n:]
				at = at.Add(time.Duration(rnd.IntN(8)) * time.Millisecond)
			}
			sum += int64(len(text)) + 1
		}
		total, fault := tail.total()
		if fault != nil || total.Bytes != sum || total.Lines != int64(test.lines) {
			t.Fatalf("%v: %+v, %v; want %d bytes", test, total, fault, sum)
		}
		for _, limit := range []int64{0, test.size, test.size / 3} {
			for _, known := range []*spoolTailMeta{&total, nil} { // nil: by the next life, which has the files alone
				lines, x := spoolTailTestLines(t, tail.path, limit, known)
				want := len(all) - len(lines)
				if strings.Join(lines, "\n") != strings.Join(all[want:], "\n") || x.lines != int64(want) || want > 0 &&
					x.bytes != ends[want] {
					t.Errorf("%v, %d: %d lines of %d, the first %.60q; %d lines and %d bytes left out", test, limit,
						len(lines), len(all), lines[0], x.lines, x.bytes)
				}
				if limit == 0 {
					limit = test.size
				}
				if kept := sum - x.bytes; kept > limit || kept < min(sum, limit-200) {
					t.Errorf("%v, %d: %d bytes kept", test, limit, kept)
				}
				if x.meta.N != 7 || x.meta.Run != "R" || x.meta.Lease != 2 {
					t.Errorf("%+v", x.meta)
				}
			}
		}
		if left := spoolTailsLeft(tail.path[:strings.LastIndexByte(tail.path, '/')]); len(left) != 1 ||
			left[0] != tail.path {
			t.Errorf("left: %q", left)
		}
		tail.remove()
		if left, _ := os.ReadDir(tail.path[:strings.LastIndexByte(tail.path, '/')]); len(left) != 0 {
			t.Errorf("not removed: %v", left)
		}
	}
}

// TestSpoolTailDisk: a tail takes no more of the disk than a few times what is wanted of it, even by single bytes.
func TestSpoolTailDisk(t *testing.T) {
	t.Parallel()
	tail := spoolTailNew(t.TempDir(), spoolTailMeta{Run: "R", Size: 1000})
	at, tag := time.Now(), "1 "+strings.Repeat("a", 800)
	for i := range 20_000 {
		at = at.Add(time.Second) // nothing is joined
		tail.add(tag, i%2, at, []byte("x\n"))
		if i%1000 == 0 {
			size := int64(0)
			for _, turn := range []string{"a", "b"} {
				if info, err := os.Stat(tail.path + turn + spoolTailEnd); err == nil {
					size += info.Size()
				}
			}
			if size > 2*(spoolTailFiles*spoolTailText+spoolTailPiece) {
				t.Fatalf("%d bytes on the disk", size)
			}
		}
	}
	if lines, x := spoolTailTestLines(t, tail.path, 0, nil); len(lines) != 500 || x.lines != 19_500 {
		t.Errorf("%d lines, %d left out", len(lines), x.lines)
	}
}

// TestSpoolTailOdd: lines without an end, remarks, damage, and a disk that takes nothing.
func TestSpoolTailOdd(t *testing.T) {
	now := time.Now()
	begin := func() *spoolTail { return spoolTailNew(t.TempDir(), spoolTailMeta{Run: "R", Size: 1 << 20}) }
	tail := begin()
	tail.add("1 a", 0, now, []byte("one\ntw"))
	tail.add("1 a", spoolTailErr, now, []byte("err"))
	tail.add("1 b", spoolTailRemark, now, []byte("[cdktr: a remark]"))
	tail.add("1 a", spoolTailBegun, now, []byte("o"))
	tail.add("1 a", spoolTailBegun, now, nil)                  // its last line had no newline
	tail.add("2 a", 0, now, []byte("again\n"))                 // the next attempt
	tail.add("2 a", 0, now, bytes.Repeat([]byte("y"), 70_000)) // longer than a line may be
	want := "o 1 a one|c 1 b [cdktr: a remark]|o 1 a two|o 2 a again|o 2 a " + strings.Repeat("y", spoolTailLine) +
		"|e 1 a err|o 2 a " + strings.Repeat("y", 70_000-spoolTailLine)
	lines, x := spoolTailTestLines(t, tail.path, 0, nil)
	if got := strings.Join(lines, "|"); got != want || x.lines != 0 || x.bytes != 0 {
		t.Errorf("%.200q, %d lines and %d bytes left out", got, x.lines, x.bytes)
	}

	tail = begin() // the newest piece is torn
	tail.add("1 a", 0, now, []byte("one\n"))
	tail.add("1 a", spoolTailErr, now, []byte("two\n"))
	if err := os.Truncate(tail.path+"a"+spoolTailEnd, tail.size-1); err != nil {
		t.Fatal(err)
	}
	if lines, x := spoolTailTestLines(t, tail.path, 0, nil); strings.Join(lines, "|") != "o 1 a one" || x.lines != 0 {
		t.Errorf("torn: %q", lines)
	}

	for _, length := range []uint32{spoolTailPiece + 1, 1 << 31, 1<<32 - 1} { // the head of the newest piece is damaged
		tail = begin()
		tail.add("1 a", 0, now, []byte("one\n"))
		tail.add("1 a", spoolTailErr, now, []byte("two\n"))
		if _, err := tail.f.WriteAt(binary.LittleEndian.AppendUint32(nil, length), tail.at+4); err != nil {
			t.Fatal(err)
		}
		if lines, x := spoolTailTestLines(t, tail.path, 0, nil); strings.Join(lines, "|") != "o 1 a one" ||
			x.lines != 0 {
			t.Errorf("of length %d: %q", length, lines)
		}
	}

	tail = begin() // the disk takes some, then nothing, then some
	tail.add("1 a", 0, now, []byte("one\n"))
	tail.room = func(*os.File, int) error { return unix.ENOSPC }
	tail.add("1 a", 0, now, []byte("two\nthree\n"))
	tail.room = func(*os.File, int) error { return nil }
	tail.add("1 a", 0, now, []byte("four\n"))
	total, fault := tail.total()
	if lines, x := spoolTailTestLines(t, tail.path, 0, &total); strings.Join(lines, "|") != "o 1 a one|o 1 a four" ||
		x.lines != 2 || x.bytes != 10 || fault != unix.ENOSPC {
		t.Errorf("full: %q, %d lines and %d bytes left out, %v", lines, x.lines, x.bytes, fault)
	}

	tail = begin() // no file at all
	tail.room = func(*os.File, int) error { return unix.ENOSPC }
	if tail.begun() {
		t.Error("a tail has begun to which nothing was added")
	}
	if tail.add("1 a", 0, now, []byte("one\n")); !tail.begun() {
		t.Error("a tail that the disk does not take has not begun")
	}
}

// spoolTailTestBoth makes a tail whose output fills one file and a part of the other. It gives the names of the two,
// the older one first, and how many of its lines that has.
func spoolTailTestBoth(t *testing.T, dir string) (tail *spoolTail, older, newer string, first int) {
	t.Helper()
	tail = spoolTailNew(dir, spoolTailMeta{Run: "R", Size: 1 << 20})
	line := append(bytes.Repeat([]byte("x"), 999), '\n')
	for first = 0; tail.turn < 2; first++ {
		tail.add("1 a", 0, time.Now(), line)
	}
	tail.add("1 a", 0, time.Now(), line)
	if _, fault := tail.total(); fault != nil {
		t.Fatal(fault)
	}
	return tail, tail.path + "a" + spoolTailEnd, tail.path + "b" + spoolTailEnd, first - 1
}

// TestSpoolTailHalf: of two files one cannot be read. What the other one has is told, and that something is missing.
func TestSpoolTailHalf(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(name string) error{
		"empty":   func(name string) error { return os.Truncate(name, 0) },
		"torn":    func(name string) error { return os.Truncate(name, spoolTailHead+3) },
		"damaged": func(name string) error { return os.WriteFile(name, bytes.Repeat([]byte{7}, 9000), 0o600) },
		"other":   func(name string) error { return errors.Join(os.Remove(name), os.Symlink(name, name)) },
	} {
		tail, older, newer, first := spoolTailTestBoth(t, t.TempDir())
		for _, c := range []struct {
			name string
			want int
		}{{older, 2}, {newer, first}} {
			if err := os.Rename(c.name, c.name+".whole"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := spoil(c.name); err != nil {
				t.Fatal(err)
			}
			if lines, x := spoolTailTestLines(t, tail.path, 1<<30, nil); len(lines) != c.want || x.meta.Run != "R" ||
				x.fault == nil {
				t.Errorf("%s, %s: %d lines, want %d; %+v, fault %v", what, c.name, len(lines), c.want, x.meta, x.fault)
			}
			if err := os.Rename(c.name+".whole", c.name); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(older, nil, 0o600), spoil(older), os.WriteFile(newer, nil, 0o600),
			spoil(newer)); err != nil {
			t.Fatal(err)
		}
		if x, err := spoolTailOf(tail.path, 0, nil); err == nil {
			t.Errorf("%s, both: %+v", what, x.meta)
		}
	}
}

// TestSpoolTailNext: the older file goes when the next one is whole, and not before. (On a full disk: TestDiskTail.)
func TestSpoolTailNext(t *testing.T) {
	t.Parallel()
	tail, older, newer, first := spoolTailTestBoth(t, t.TempDir())
	made := tail.path + spoolTailNext + spoolTailEnd
	if err := os.MkdirAll(made+"/x", 0o700); err != nil { // nothing can be made
		t.Fatal(err)
	}
	line := append(bytes.Repeat([]byte("x"), 999), '\n')
	for tail.fault == nil {
		tail.add("1 a", 0, time.Now(), line)
	}
	if lines, x := spoolTailTestLines(t, tail.path, 1<<30, nil); len(lines) <= first || x.fault != nil {
		t.Errorf("%d lines, the older file had %d; fault %v", len(lines), first, x.fault)
	}
	if err := os.RemoveAll(made); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(made, []byte("of a life that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	tail.add("1 a", 0, time.Now(), line)
	if info, err := os.Stat(older); err != nil || info.Size() > 2000 {
		t.Errorf("the third file: %v, %v", info, err)
	}
	if left := spoolTailsLeft(filepath.Dir(newer)); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	if err := os.WriteFile(made, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tail.remove()
	if left, _ := os.ReadDir(filepath.Dir(newer)); len(left) != 0 {
		t.Errorf("not removed: %v", left)
	}
}
