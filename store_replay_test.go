// store_replay_test.go: journals and snapshots that are damaged in every way, and what is kept of them.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// storeRecorded gives a journal of n events in one segment, and where each of its lines begins. Some have several
// events.
func storeRecorded(t testing.TB, n int) (text []byte, starts []int, g *storeRig) {
	g = storeRigOpen(t, storeOptions{NoSync: true})
	g.random(n)
	g.stop()
	text, err := os.ReadFile(filepath.Join(g.dir, storeSegmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(text); at += bytes.IndexByte(text[at:], '\n') + 1 {
		starts = append(starts, at)
	}
	return text, append(starts, len(text)), g
}

// storeBefore gives how many events are in front of a line of a recorded journal.
func storeBefore(text []byte, starts []int, g *storeRig, line int) uint64 {
	if line == len(starts)-1 {
		return uint64(len(g.log))
	}
	return storeLineSeq(text[starts[line]:]) - 1
}

// TestStoreCutAndFlip replays a journal cut at every byte, and with every byte changed: all lines before the damage
// are kept, no other is.
func TestStoreCutAndFlip(t *testing.T) {
	t.Parallel()
	text, starts, g := storeRecorded(t, 200)
	if several := bytes.Count(text, []byte(storeThen)); several < 5 {
		t.Fatalf("%d lines have several events", several)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	// Lines are checked one after the other: it is enough to begin two lines before the damage.
	replay := func(damaged []byte, line int, what string) {
		begin := max(line-2, 0)
		p := storeReplay{next: storeBefore(text, starts, g, begin) + 1, state: stateNew()}
		lines := storeReaderOf(bytes.NewReader(damaged[starts[begin]:]), int64(starts[begin]))
		_, fault, err := p.scan(lines, 1<<62) // as if all were covered: the lines are checked, not folded
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		kept := lines.next
		if fault != "" {
			kept = lines.at
		}
		want := storeBefore(text, starts, g, line)
		if p.next-1 != want || kept != int64(starts[line]) || (fault != "") != (len(damaged) > starts[line]) {
			t.Fatalf("%s: kept %d events in %d bytes, want %d in %d; fault %q", what, p.next-1, kept, want,
				starts[line], fault)
		}
	}
	line := 0
	for at := range text {
		if at >= starts[line+1] {
			line++
		}
		replay(text[:at], line, fmt.Sprintf("cut at byte %d", at))
		damaged := bytes.Clone(text[:min(len(text), starts[line+1]+300)])
		damaged[at] ^= 1 << rng.IntN(8)
		replay(damaged, line, fmt.Sprintf("flip at byte %d", at))
	}
}

// TestStoreDamagedOpen opens the whole store on journals with damage in each line. A torn end is cut off, and what is
// before it is kept. Damage with sound lines behind it is no torn write: the store refuses it and changes nothing.
func TestStoreDamagedOpen(t *testing.T) {
	t.Parallel()
	text, starts, g := storeRecorded(t, 210)
	last := len(starts) - 2
	for line := 0; line <= last; line += 3 {
		for _, end := range []int{starts[line+1], len(text)} { // with nothing behind the line, and with all that was
			storeDamagedOpen(t, g, text[:end], starts, line)
		}
	}
	storeDamagedOpen(t, g, text, starts, last)
}

func storeDamagedOpen(t *testing.T, g *storeRig, text []byte, starts []int, line int) {
	t.Helper()
	damaged := bytes.Clone(text)
	damaged[starts[line]+5+line%40] ^= 4
	dir := t.TempDir()
	name := filepath.Join(dir, storeSegmentName(1))
	os.Mkdir(filepath.Dir(name), 0o700)
	os.WriteFile(name, damaged, 0o600)
	s, state, report, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
	place := fmt.Sprintf(".jsonl:%d: ", line+1)
	if starts[line+1] < len(text) {
		now, _ := os.ReadFile(name)
		if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), "no torn write") ||
			!bytes.Equal(now, damaged) {
			t.Fatalf("damage in line %d with sound ones behind it: %v, %q", line+1, err, report.Notes)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	want := storeBefore(text, starts, g, line)
	if state.Seq != want || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], place) {
		t.Fatalf("damage in line %d: kept %d events, want %d; notes %q", line+1, state.Seq, want, report.Notes)
	}
	g.matches(state)
	if tails, _ := filepath.Glob(filepath.Join(dir, "journal/*.damaged-*")); len(tails) != 1 {
		t.Fatalf("damaged tails: %q", tails)
	}
	s, state, report, err = storeOpen(storeOptions{Dir: dir, NoSync: true})
	if err != nil || state.Seq != want || report.Notes != nil {
		t.Fatalf("second open: %v, %d events, notes %q", err, state.Seq, report.Notes)
	}
	s.close()
}

// TestStoreRefuses opens folders that cannot be trusted.
func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	older := func(dir string) string {
		names, _ := filepath.Glob(filepath.Join(dir, "journal/*.jsonl"))
		return names[len(names)-2]
	}
	newest := func(dir string) string {
		names, _ := filepath.Glob(filepath.Join(dir, "journal/*.jsonl"))
		return checkNewest(t, names)
	}
	named := func(name string) func(string) string {
		return func(dir string) string { return filepath.Join(dir, name) }
	}
	flip := func(text []byte) []byte { text[len(text)/2] ^= 1; return text }
	gone := func([]byte) []byte { return nil }
	cases := []struct {
		name string
		file []func(string) string
		edit func([]byte) []byte
		want string // of the error; "": it opens, with a note
	}{
		{"damage in an older segment", []func(string) string{older}, flip,
			"the line is damaged (its checksum does not match), and later events depend on it"},
		{"torn older segment", []func(string) string{older}, func(b []byte) []byte { return b[:len(b)-1] },
			"was not written to its end"},
		{"lines missing at the end of an older segment", []func(string) string{older},
			func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }, "but the next segment"},
		{"an older segment is gone", []func(string) string{older}, gone, "but the next segment"},
		{"a line is gone from the newest segment", []func(string) string{newest},
			func(b []byte) []byte {
				at := bytes.IndexByte(b, '\n') + 1
				return append(b[:at:at], b[at+bytes.IndexByte(b[at:], '\n')+1:]...)
			}, "no torn write"},
		{"newer schema", []func(string) string{named("snapshot.json")}, func(b []byte) []byte {
			var c storeEncoder
			c.add(map[string]any{"schema": 9, "needs": "7.5", "seq": 1})
			return c.take()
		}, "snapshot.json: it has schema 9 and needs cdktr 7.5 or newer; this version reads schema 3"},
		{"older schema", []func(string) string{named("snapshot.json")}, func(b []byte) []byte {
			var c storeEncoder
			c.add(map[string]any{"schema": 2, "needs": "0.1.0", "seq": 1, "state": stateNew()})
			return c.take()
		}, "snapshot.json: it has schema 2, from an earlier build; this version reads schema 3: give it another"},
		{"damaged snapshot", []func(string) string{named("snapshot.json")}, flip, ""},
		{"no snapshot but the one before", []func(string) string{named("snapshot.json")}, gone, ""},
		{"both snapshots damaged", []func(string) string{named("snapshot.json"), named("snapshot.json.1")}, flip,
			"and no snapshot holds what was before"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := storeRigOpen(t, storeOptions{SegmentBytes: 2 << 10, Keep: 1, NoSync: true})
			for range 3 {
				g.random(30)
				g.s.snapshot(g.state, nil)
				g.wait()
			}
			for range 4 {
				g.random(30)
				g.wait()
			}
			held := storeText(t, g.state)
			g.stop()
			for _, file := range c.file {
				name := file(g.dir)
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if text = c.edit(text); text == nil {
					os.Remove(name)
				} else {
					os.WriteFile(name, text, 0o600)
				}
			}
			s, state, report, err := storeOpen(g.opt)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), g.dir) {
					t.Fatalf("error %v, want one with %q and the file", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if state.Seq != uint64(len(g.log)) {
				t.Fatalf("%d of %d events; %q; held %s", state.Seq, len(g.log), report.Notes, held)
			}
			g.matches(state)
		})
	}
}

// TestStoreSnapshotAhead opens a journal whose lost end begins before the snapshot's last event: nothing that the
// snapshot has is lost, and a start finds again what is written after it.
func TestStoreSnapshotAhead(t *testing.T) {
	g := storeRigOpen(t, storeOptions{NoSync: true})
	g.random(30)
	g.s.snapshot(g.state, nil)
	g.wait()
	g.stop()
	os.Remove(filepath.Join(g.dir, storeSegmentName(g.state.Seq+1)))
	if err := os.Truncate(filepath.Join(g.dir, storeSegmentName(1)), 1000); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if report := g.reopen(); g.state.Seq != uint64(len(g.log)) {
			t.Fatalf("%d of %d events: %q", g.state.Seq, len(g.log), report.Notes)
		}
		g.matches(g.state)
		g.random(10)
		g.wait()
	}
}

// FuzzStoreReplay opens the store on any journal: it never panics, and what it opens once it opens again, with the same
// state.
func FuzzStoreReplay(f *testing.F) {
	text, starts, _ := storeRecorded(f, 20)
	f.Add(text)
	f.Add(text[:len(text)-3])
	f.Add(append(bytes.Clone(text[:starts[3]]), text[starts[4]:]...))
	f.Add([]byte("{\"seq\":1,\"e\":\"run.finished\",\"n\":1}\n{\"seq\":2,\"e\":\"run.queued\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		// Lines that are JSON objects get the checksum that they would have: else nothing comes past it.
		var fixed storeEncoder
		for line := range bytes.Lines(text) {
			var v json.RawMessage
			if storeSound(bytes.TrimSuffix(line, []byte("\n"))) || json.Unmarshal(line, &v) != nil ||
				!bytes.HasPrefix(v, []byte(`{"`)) {
				fixed.buf.Write(line)
			} else if err := fixed.add(v); err != nil {
				t.Fatal(err)
			}
		}
		dir := t.TempDir()
		os.Mkdir(filepath.Join(dir, storeJournal), 0o700)
		os.WriteFile(filepath.Join(dir, storeSegmentName(1)), fixed.take(), 0o600)
		var states [2][]byte
		for i := range states {
			s, state, report, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
			if err != nil && i == 0 {
				return
			}
			if err != nil || i == 1 && report.Notes != nil {
				t.Fatalf("open again: %v, notes %q", err, report.Notes)
			}
			states[i] = storeText(t, state)
			s.close()
		}
		if !bytes.Equal(states[0], states[1]) {
			t.Fatalf("opened as\n%s\nthen as\n%s", states[0], states[1])
		}
	})
}

// BenchmarkStoreReplay opens a store of 20,000 events.
func BenchmarkStoreReplay(b *testing.B) {
	g := storeRigOpen(b, storeOptions{NoSync: true})
	g.random(20000)
	for b.Loop() {
		g.reopen()
	}
	b.ReportMetric(float64(b.N)*float64(len(g.log))/b.Elapsed().Seconds(), "events/s")
}
