// Tests of check and repair: journals with every kind of fault.

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

// TestCheckRepair breaks an older segment in several ways: the start refuses, check names file and line, and after a repair
// the start finds what was before the damage; all that was set aside is still there.
func TestCheckRepair(t *testing.T) {
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
		if first, _, _ := strings.Cut(out, "\n"); code != exitUsage || !strings.HasPrefix(first, file+":"+sizeText(int64(line))+": ") || !strings.Contains(first, test.want) {
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
	for name, text := range map[string]string{"history/w/2026-01.jsonl": "{}\n", "logs/w/2026-01-01.jsonl": "hello\n{\"t\":null,\"r\":\"a\",\"i\":1,\"k\":\"a\",\"n\":1,\"s\":\"o\",\"m\":\"x\"}\n{\"t",
		"spool/0123456789abcdef-0000000000000001.jsonl": string(spoolHeader(nil, 0)) + string(spoolEncode(nil, 1, 1, []byte("{}"))) + "{\"n\":2,\n", "snapshot.json": "nonsense\n"} {
		name = filepath.Join(g.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	out, _, code := checkCLI(t, g.dir)
	for _, want := range []string{"/history/w/2026-01.jsonl:1: ", "/logs/w/2026-01-01.jsonl:1: ", "/logs/w/2026-01-01.jsonl:3: ", "/spool/0123456789abcdef-0000000000000001.jsonl:3: ", "/snapshot.json:1: "} {
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
