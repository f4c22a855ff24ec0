// Tests of check and repair: journals with every kind of fault.

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkCLI runs the verb on a folder, and gives what it printed and its exit code.
func checkCLI(t *testing.T, dir string, flags ...string) (out, stderr string, code int) {
	t.Helper()
	var stdout, errs bytes.Buffer
	c := &cli{out: &stdout, err: &errs, getenv: func(string) string { return "" }}
	code = c.main(context.Background(), append([]string{"check", "--state", dir}, flags...))
	return stdout.String(), errs.String(), code
}

// checkRecorded gives a state folder with n events in many segments, and no snapshot.
func checkRecorded(t *testing.T, n int) *storeRig {
	g := storeRigOpen(t, storeOptions{NoSync: true, SegmentBytes: 4 << 10})
	for range n / 20 {
		g.random(20)
		g.wait()
	}
	g.stop()
	return g
}

// checkSegments lists the journal's files.
func checkSegments(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(dir + "/journal/*.jsonl")
	if err != nil || len(names) < 4 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	return names
}

func TestCheckSound(t *testing.T) {
	t.Parallel()
	g := checkRecorded(t, 300)
	if out, stderr, code := checkCLI(t, g.dir); out != "" || stderr != "" || code != 0 {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	g.reopen()
	if _, stderr, code := checkCLI(t, g.dir); code != exitRefused || !strings.Contains(stderr, "holds it since") {
		t.Errorf("while it is open: exit code %d, %s", code, stderr)
	}
	if _, _, code := checkCLI(t, g.dir+"/none"); code != exitUsage {
		t.Errorf("without a folder: exit code %d", code)
	}
}

// TestCheckRepair breaks an older segment in several ways: the start refuses, check names file and line, and after a
// repair the start finds what was before the damage; all that was set aside is still there.
func TestCheckRepair(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, names []string) (file string, line int)
		want   string
	}{
		{"flip", func(t *testing.T, names []string) (string, int) {
			text := checkRead(t, names[1])
			at := bytes.IndexByte(text, '\n') + 50
			text[at] ^= 1
			checkWrite(t, names[1], text)
			return names[1], 2
		}, "its checksum does not match"},
		{"lost line", func(t *testing.T, names []string) (string, int) {
			text := checkRead(t, names[2])
			checkWrite(t, names[2], text[bytes.IndexByte(text, '\n')+1:])
			return names[2], 1
		}, "stands where event"},
		{"lost segment", func(t *testing.T, names []string) (string, int) {
			if err := os.Remove(names[2]); err != nil {
				t.Fatal(err)
			}
			return names[3], 1
		}, "the segment before it ends at event"},
		{"torn", func(t *testing.T, names []string) (string, int) {
			text := checkRead(t, names[1])
			checkWrite(t, names[1], text[:len(text)-5])
			return names[1], bytes.Count(text, []byte{'\n'})
		}, "not written to its end"},
		{"flip in the newest", func(t *testing.T, names []string) (string, int) {
			name := checkNewest(t, names)
			text := checkRead(t, name)
			text[bytes.IndexByte(text, '\n')+50] ^= 1
			checkWrite(t, name, text)
			return name, 2
		}, "its checksum does not match"},
		{"lost line in the newest", func(t *testing.T, names []string) (string, int) {
			name := checkNewest(t, names)
			text := checkRead(t, name)
			at := bytes.IndexByte(text, '\n') + 1
			next := at + bytes.IndexByte(text[at:], '\n') + 1
			checkWrite(t, name, append(text[:at:at], text[next:]...))
			return name, 2
		}, "stands where event"},
	} {
		g := checkRecorded(t, 400)
		names := checkSegments(t, g.dir)
		before := checkBytes(t, g.dir)
		file, line := test.damage(t, names)
		lost := before - checkBytes(t, g.dir)
		if _, _, _, err := storeOpen(g.opt); err == nil || !strings.Contains(err.Error(), "check --repair") {
			t.Fatalf("%s: the start says %v", test.name, err)
		}
		out, _, code := checkCLI(t, g.dir)
		if first, _, _ := strings.Cut(out, "\n"); code != exitUsage ||
			!strings.HasPrefix(first, file+":"+sizeText(int64(line))+": ") || !strings.Contains(first, test.want) {
			t.Errorf("%s: exit code %d, %s; want %s:%d", test.name, code, first, file, line)
		}
		if out, _, _ := checkCLI(t, g.dir, "--json"); !strings.Contains(out, `"line":`) {
			t.Errorf("%s: as JSON: %s", test.name, out)
		}
		_, stderr, code := checkCLI(t, g.dir, "--repair")
		if code != 0 || !strings.Contains(stderr, "lost: events ") || !strings.Contains(stderr, "in a new snapshot") {
			t.Errorf("%s: repair: exit code %d, %s", test.name, code, stderr)
		}
		if now := checkBytes(t, g.dir); now != before-lost {
			t.Errorf("%s: %d bytes of journal and damage are there, %d were", test.name, now, before-lost)
		}
		if out, stderr, code := checkCLI(t, g.dir); code != 0 {
			t.Errorf("%s: after the repair: exit code %d, %s%s", test.name, code, out, stderr)
		}
		s, state, report, err := storeOpen(g.opt)
		if err != nil || report.Notes != nil || state.Seq == 0 || state.Seq >= uint64(len(g.log)) {
			t.Fatalf("%s: start: event %d of %d, %v, %v", test.name, state.Seq, len(g.log), report.Notes, err)
		}
		g.log = g.log[:state.Seq]
		g.s, g.state, g.open = s, state, true
		g.stop()
	}
}

// checkNewest gives the newest segment that has lines.
func checkNewest(t *testing.T, names []string) string {
	t.Helper()
	for i := len(names) - 1; i > 0; i-- {
		if bytes.Count(checkRead(t, names[i]), []byte("\n")) > 3 {
			return names[i]
		}
		if err := os.Remove(names[i]); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no segment has lines")
	return ""
}

func checkRead(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func checkWrite(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkBytes counts what is in the journal and in what was moved out of it.
func checkBytes(t *testing.T, dir string) (sum int64) {
	t.Helper()
	for _, pattern := range []string{"/journal/*", "/damaged-*/*"} {
		names, err := filepath.Glob(dir + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size()
		}
	}
	return sum
}

// TestCheckOthers finds damage in the snapshot, history, output and spool.
func TestCheckOthers(t *testing.T) {
	g := checkRecorded(t, 40)
	for name, text := range map[string]string{"history/w/2026-01.jsonl": "{}\n",
		"logs/w/2026-01-01.jsonl": "hello\n{\"t\":null,\"r\":\"a\",\"i\":1,\"k\":\"a\",\"n\":1,\"s\":\"o\",\"m\":\"x\"}\n{\"t",
		"spool/0123456789abcdef-0000000000000001.jsonl": string(spoolHeader(nil, 0)) +
			string(spoolEncode(nil, 1, 1, []byte("{}"))) + "{\"n\":2,\n", "snapshot.json": "nonsense\n"} {
		name = filepath.Join(g.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text),
			0o600)); err != nil {
			t.Fatal(err)
		}
	}
	out, _, code := checkCLI(t, g.dir)
	for _, want := range []string{"/history/w/2026-01.jsonl:1: ", "/logs/w/2026-01-01.jsonl:1: ",
		"/logs/w/2026-01-01.jsonl:3: ", "/spool/0123456789abcdef-0000000000000001.jsonl:3: ", "/snapshot.json:1: "} {
		if !strings.Contains(out, g.dir+want) {
			t.Errorf("no fault at %s in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n"); code != exitUsage || n != 5 {
		t.Errorf("exit code %d, %d faults:\n%s", code, n, out)
	}
	if err := os.Remove(g.dir + "/snapshot.json"); err != nil {
		t.Fatal(err)
	}
}

// TestCheckRepairLines damages lines of history and output in several ways: after a repair nothing is wrong, what was
// damaged is kept, and the sound lines lie where they did.
func TestCheckRepairLines(t *testing.T) {
	g := checkRecorded(t, 200)
	historical, err := filepath.Glob(g.dir + "/history/*/*.jsonl")
	if err != nil || len(historical) == 0 {
		t.Fatalf("no history: %v", err)
	}
	log := filepath.Join(g.dir, "logs/w/2026-01-01.jsonl")
	line := func(i int) string {
		return string(logsEncode(LogLine{Run: "a", N: int64(i), Task: "a", Attempt: 1, Stream: "o", Text: "x"}))
	}
	bad := []string{"hello", line(2)[7:30], "\x00\x00\x00", `{"t":nu`}
	whole := line(1) + bad[0] + "\n" + line(2) + bad[1] + "\n" + bad[2] + "\n" + line(3)
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	checkWrite(t, log, []byte(whole+bad[3]))
	text := checkRead(t, historical[0])
	text[40] ^= 1
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	bad = append(bad, string(first))
	checkWrite(t, historical[0], text)

	if out, _, code := checkCLI(t, g.dir); code != exitUsage || strings.Count(out, "\n") != len(bad) {
		t.Fatalf("exit code %d, want %d faults:\n%s", code, len(bad), out)
	}
	if _, stderr, code := checkCLI(t, g.dir, "--repair"); code != 0 ||
		!strings.Contains(stderr, "moved 5 damaged lines of history and output to ") {
		t.Fatalf("repair: exit code %d, %s", code, stderr)
	}
	if out, stderr, code := checkCLI(t, g.dir); code != 0 {
		t.Errorf("after the repair: exit code %d, %s%s", code, out, stderr)
	}
	kept, err := filepath.Glob(g.dir + "/damaged-*/lines")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	if text := string(checkRead(t, kept[0])); text != strings.Join(append(bad[4:5:5], bad[:4]...), "\n")+"\n" {
		t.Errorf("kept %q of %q", text, bad)
	}
	for _, b := range bad[:3] {
		whole = strings.Replace(whole, b+"\n", strings.Repeat(" ", len(b))+"\n", 1)
	}
	if text := string(checkRead(t, log)); text != whole {
		t.Errorf("output:\n%q, want\n%q", text, whole)
	}
	// the start adds the run again
	if text := string(checkRead(t, historical[0])); !strings.HasPrefix(text,
		strings.Repeat(" ", len(first))+"\n"+string(rest)) {
		t.Errorf("history: %q", text)
	}
	logs, err := logsOpen(g.dir + "/logs")
	if err != nil {
		t.Fatal(err)
	}
	defer logs.close()
	n := 0
	if _, err := logs.read("w", "a", logPlace{Day: "2026-01-01"}, logFilter{},
		func(LogLine) error { n++; return nil }); err != nil || n != 3 || logs.damaged.Load() != 0 {
		t.Errorf("%d lines, %d damaged, %v", n, logs.damaged.Load(), err)
	}
}

// TestCheckRepairRuns: a repair names the runs that it lost or set aside, where what is there still says which, and
// counts them all.
func TestCheckRepairRuns(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	var ids []string
	queue := func() string {
		id := runID(g.clock, g.state.LastRun)
		g.add(true, &Event{Kind: evQueued, Time: stampOf(g.clock), Workflow: "w", Version: "v", Run: id,
			Trigger: triggerCron})
		ids = append(ids, id)
		return id
	}
	end := func(id string) {
		g.add(true, &Event{Kind: evRunEnded, Time: stampOf(g.clock), Workflow: "w", Run: id, State: runCancelled})
		g.s.history(g.state.Runs[id], nil)
	}
	g.add(true, &Event{Kind: evVersion, Time: stampOf(g.clock), Workflow: "w", Version: "v",
		Spec: &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}}})
	end(queue())
	end(queue())
	queue()
	queue() // its line is damaged below: the sixth of runs
	g.add(true, &Event{Kind: evAssigned, Time: stampOf(g.clock), Workflow: "w", Run: ids[2], Agent: "one"},
		&Event{Kind: evRequeued, Time: stampOf(g.clock), Workflow: "w", Run: ids[1], Attempt: 2})
	for len(ids) < checkMaxRuns+6 {
		queue()
	}
	g.wait()
	g.stop()
	spoil := func(pattern string, line int) {
		names, err := filepath.Glob(g.dir + pattern)
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		lines := bytes.SplitAfter(checkRead(t, names[0]), []byte("\n"))
		lines[line][10] ^= 1 // in its checksum
		checkWrite(t, names[0], bytes.Join(lines, nil))
	}
	spoil("/journal/*.jsonl", 6)
	spoil("/history/*/*.jsonl", 0)
	log := filepath.Join(g.dir, "logs/w/2026-01-01.jsonl")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	checkWrite(t, log, append([]byte("{"), logsEncode(LogLine{Run: ids[5], N: 1, Task: "a", Attempt: 1, Stream: "o",
		Text: "in \"" + ids[4] + "\""})...))

	_, stderr, code := checkCLI(t, g.dir, "--repair")
	for _, want := range []string{
		"runs that such lines name (2): " + ids[0] + " " + ids[5] + "\n",
		"runs that lost all their events (103): " + strings.Join(ids[3:checkMaxRuns+3], " ") + " and 3 more\n",
		"runs that lost their newest events (2): " + ids[1] + " " + ids[2] + "\n",
	} {
		if code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, stderr)
		}
	}
	if out, stderr, code := checkCLI(t, g.dir, "--repair"); code != 0 || strings.Contains(stderr, "runs that") {
		t.Errorf("a second time: exit code %d, %s%s", code, out, stderr)
	}
}

// TestCheckRepairFull repairs on a full disk: what cannot be set aside stays where it is, sound lines behind damage
// among it.
func TestCheckRepairFull(t *testing.T) {
	t.Parallel()
	g := checkRecorded(t, 400)
	name := checkNewest(t, checkSegments(t, g.dir))
	text := checkRead(t, name)
	text[bytes.IndexByte(text, '\n')+50] ^= 1
	checkWrite(t, name, text)
	log := filepath.Join(g.dir, "logs/w/2026-01-01.jsonl")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	checkWrite(t, log, []byte("hello\n"))
	for _, full := range []string{"write", "sync", "open"} {
		k, err := checkOpen(g.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.walk(); err != nil || k.lost == 0 || len(k.bad) != 1 {
			t.Fatalf("lost %d, %d bad lines, %v", k.lost, len(k.bad), err)
		}
		disk := storeDiskNew(t, g.dir, 1)
		disk.wrap(&k.files)
		disk.set(func(op string) error {
			if op == full {
				return syscall.ENOSPC
			}
			return nil
		})
		now := time.Now()
		if full == "open" {
			now = now.Add(time.Hour)
		}
		if _, err := k.repair(now); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: repair: %v", full, err)
		}
		k.cutAt, k.keepTo, k.keepFrom, k.lost = -1, len(k.segments), 0, 0 // as if only output were damaged
		if _, err := k.repair(now.Add(time.Minute)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: repair of output: %v", full, err)
		}
		k.close()
		if now := checkRead(t, name); !bytes.Equal(now, text) {
			t.Fatalf("%s: the journal was cut", full)
		}
		if now := string(checkRead(t, log)); now != "hello\n" {
			t.Fatalf("%s: the log is %q", full, now)
		}
	}
}
