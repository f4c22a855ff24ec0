// Tests of the restore: archives from everywhere, and folders that are not empty.

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// restoreEntry is an entry of an archive that a test makes.
type restoreEntry struct {
	name, text string
	kind       byte // 0: a file
	size       int64
	link       string
	pax        map[string]string
}

// restoreArchive makes an archive with package archive/tar, as others may make one.
func restoreArchive(t *testing.T, entries ...restoreEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o777, Size: int64(len(e.text)), Linkname: e.link,
			PAXRecords: e.pax}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.size > 0 {
			h.Size = e.size
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err == nil { // else an entry has not its size, as is meant
		w.Close()
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// restoreTry restores an archive into dir, and gives the exit code and what was said.
func restoreTry(archive []byte, dir string, flags ...string) (code int, out, said string) {
	var stdout, stderr bytes.Buffer
	c := &cli{in: bytes.NewReader(archive), out: &stdout, err: &stderr, getenv: func(string) string { return "" }}
	code = c.main(context.Background(), append([]string{"restore", "--state", dir, "--workflows", dir + "/none", "-"},
		flags...))
	return code, stdout.String(), stderr.String()
}

// restoreTree lists what is in a folder, with modes; "" where it is not there.
func restoreTree(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, fmt.Sprintf("%s %v", strings.TrimPrefix(name, dir), info.Mode()))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// restoreBackup makes a state with some runs and gives its backup.
func restoreBackup(t *testing.T) []byte {
	t.Helper()
	g := storeRigOpen(t, storeOptions{})
	g.random(100)
	g.s.snapshot(g.state, nil)
	g.random(100)
	g.stop()
	keys := filepath.Join(g.dir, authFolder)
	if err := os.Mkdir(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := authDirOpen(keys, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.makeServerPair(); err != nil {
		t.Fatal(err)
	}
	d.close()
	name := filepath.Join(t.TempDir(), "b.tar.gz")
	var said bytes.Buffer
	c := &cli{out: io.Discard, err: &said, getenv: func(string) string { return "" }}
	if code := c.main(t.Context(), []string{"backup", "--keys", "--state", g.dir, "--principal", "ipc://" + g.dir +
		"/none", name}); code != 0 {
		t.Fatal(said.String())
	}
	return checkRead(t, name)
}

// TestRestore: what backup wrote comes back with modes of its own, into a folder that is there or is not.
func TestRestore(t *testing.T) {
	t.Parallel()
	archive := restoreBackup(t)
	for _, there := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "new/state")
		if there {
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/lock", nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		before := restoreTree(t, filepath.Dir(dir))
		if code, out, said := restoreTry(archive, dir, "--dry-run"); code != 0 || !strings.HasPrefix(out,
			"would restore ") {
			t.Errorf("--dry-run: %d, %s%s", code, out, said)
		}
		if after := restoreTree(t, filepath.Dir(dir)); after != before {
			t.Errorf("--dry-run left\n%s\nbefore there was\n%s", after, before)
		}
		code, out, said := restoreTry(archive, dir)
		if code != 0 || !strings.Contains(out, "nothing that came later is in it") {
			t.Fatalf("exit code %d, %s%s", code, out, said)
		}
		tree := restoreTree(t, dir)
		if strings.Contains(tree, restoreFolder) || !strings.Contains(tree, "/keys/server.key -rw-------") {
			t.Errorf("there is\n%s", tree)
		}
		for _, line := range strings.Split(tree, "\n") {
			if !strings.HasSuffix(line, " -rw-------") && !strings.HasSuffix(line, " drwx------") {
				t.Errorf("mode of %s", line)
			}
		}
		s, state, report, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
		if err != nil || report.Notes != nil || state.Seq == 0 {
			t.Fatalf("start on it: %v, %q", err, report.Notes)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
		if code, _, said := restoreTry(archive, dir); code != exitRefused || !strings.Contains(said, "is not empty") ||
			!strings.Contains(said, "mv "+dir) {
			t.Errorf("a second time: %d, %s", code, said)
		}
	}
}

// TestRestoreHostile: what no backup is, is refused with its cause, and leaves nothing behind.
func TestRestoreHostile(t *testing.T) {
	t.Parallel()
	good := restoreBackup(t)
	flip := bytes.Clone(good)
	flip[len(flip)-6] ^= 1 // in the checksum
	file := restoreEntry{name: "journal/0000000000001.jsonl", text: "x\n"}
	of := func(entries ...restoreEntry) []byte { return restoreArchive(t, entries...) }
	deep := strings.Repeat("d/", 30)
	for _, c := range []struct {
		name    string
		archive []byte
		code    int
		says    string
	}{
		{"nothing", nil, exitUsage, "it ends too early"},
		{"no gzip", []byte(strings.Repeat("hello ", 1000)), exitUsage, "gzip: invalid header"},
		{"cut off", good[:len(good)/2], exitUsage, "it ends too early"},
		{"cut at the checksum", good[:len(good)-3], exitUsage, "it ends too early"},
		{"wrong checksum", flip, exitUsage, "checksum"},
		{"more behind it", append(bytes.Clone(good), "more"...), exitUsage, "read standard input"},
		{"up", of(restoreEntry{name: "../evil", text: "x"}), exitUsage, `entry "../evil" leads out`},
		{"up within", of(restoreEntry{name: "logs/../../evil", text: "x"}), exitUsage, "leads out"},
		{"absolute", of(restoreEntry{name: "/etc/evil", text: "x"}), exitUsage, "leads out"},
		{"link", of(restoreEntry{name: "logs", kind: tar.TypeSymlink, link: "/tmp"}), exitUsage, "is a link"},
		{"hard link", of(restoreEntry{name: "keys/a", kind: tar.TypeLink, link: "/etc/shadow"}), exitUsage,
			"is a link"},
		{"device", of(restoreEntry{name: "keys/a", kind: tar.TypeBlock}), exitUsage, "neither a file nor a folder"},
		{"pipe", of(restoreEntry{name: "keys/a", kind: tar.TypeFifo}), exitUsage, "neither a file nor a folder"},
		{"holes", of(restoreEntry{name: "keys/a", text: "x", pax: map[string]string{"VENDOR.a": "b"}},
			restoreEntry{name: "spool/x", text: "x"}), exitUsage, `"spool/x" is none that a backup has`},
		{"huge", of(restoreEntry{name: "keys/a", size: 1 << 60}), exitRefused, "no room"},
		{"larger than it is", of(restoreEntry{name: "keys/a", text: "x", size: 4096}), exitUsage, "ends too early"},
		{"twice", of(file, file), exitUsage, "is there twice"},
		{"a folder that is a file", of(restoreEntry{name: "logs/a", kind: tar.TypeDir},
			restoreEntry{name: "logs/a/b/c.jsonl"}), exitUsage, "is none that a backup has"},
		{"newline", of(restoreEntry{name: "files/a\nb", text: "x"}), exitUsage, "control characters"},
		{"escape", of(restoreEntry{name: "files/\x1b[2J", text: "x"}), exitUsage, "control characters"},
		{"deep", of(restoreEntry{name: "files/" + deep + "a", text: "x"}), exitUsage, "is none that a backup has"},
		{"lock", of(restoreEntry{name: "lock", text: "x"}), exitUsage, "is none that a backup has"},
		{"no state", of(restoreEntry{name: "files/a", text: "x"}), exitUsage, "holds no state of a principal"},
		{"empty", of(), exitUsage, "holds no state of a principal"},
		{"damaged journal", of(file), exitUsage, "standard input/journal/0000000000001.jsonl:1: "},
		{"snapshot of nothing", of(restoreEntry{name: "snapshot.json", text: "{}\n"}), exitUsage, "snapshot.json:1: "},
		{"gap", of(restoreEntry{name: "journal/0000000000007.jsonl", text: ""}), exitUsage, "begins at event 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, there := range []bool{true, false} {
				above := t.TempDir()
				dir := filepath.Join(above, "a/state")
				if there {
					if err := os.MkdirAll(dir, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				before := restoreTree(t, above)
				code, out, said := restoreTry(c.archive, dir)
				if code != c.code || !strings.Contains(said, c.says) || out != "" {
					t.Errorf("exit code %d, want %d; it says %s%s", code, c.code, out, said)
				}
				if after := restoreTree(t, above); after != before {
					t.Errorf("it left\n%s", after)
				}
			}
		})
	}
}

// TestRestoreFlips: a backup in which a byte is wrong, or whose end is missing, is refused or gives the same state.
func TestRestoreFlips(t *testing.T) {
	t.Parallel()
	good := restoreBackup(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range 60 {
		archive, at := bytes.Clone(good), random.IntN(len(good))
		if i%2 == 0 {
			archive = archive[:at]
		} else {
			archive[at] ^= 1 << random.IntN(8)
		}
		dir := filepath.Join(t.TempDir(), "state")
		code, _, said := restoreTry(archive, dir)
		switch {
		case code == 0 && i%2 != 0 && at < 10: // the time and the system in the gzip header do not matter
		case code != exitUsage && code != exitRefused || restoreTree(t, dir) != "":
			t.Errorf("seed %d, byte %d of %d: exit code %d, %s\n%s", seed, at, len(good), code, said,
				restoreTree(t, dir))
		}
	}
}

// TestRestoreOther: a folder that is not empty stays as it is, and the hint says what to do.
func TestRestoreOther(t *testing.T) {
	t.Parallel()
	archive := restoreBackup(t)
	for _, c := range []struct {
		files []string // with a slash at the end: folders
		says  string
	}{
		{[]string{"journal/"}, "it has journal"},
		{[]string{"spool/"}, "it has spool"},
		{[]string{"notes.txt"}, "it has notes.txt"},
		{[]string{".restore/", "history/", "logs/"}, "rm -r history logs"},
		{[]string{".restore/", "history/", "snapshot.json"}, "is not empty"},
		{[]string{"keys/", "keys/authorized"}, "has keys, and so has the backup"},
		{[]string{"keys/", "lost+found/", "secrets/", ".restore/", ".restore/half"}, ""},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			var err error
			if strings.HasSuffix(name, "/") {
				err = os.MkdirAll(filepath.Join(dir, name), 0o700)
			} else {
				err = os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		before := restoreTree(t, dir)
		code, _, said := restoreTry(archive, dir)
		if c.says == "" {
			if code != 0 || strings.Contains(restoreTree(t, dir), restoreFolder) {
				t.Errorf("%q: exit code %d, %s", c.files, code, said)
			}
			continue
		}
		after := restoreTree(t, dir)
		if code != exitRefused || !strings.Contains(said, c.says) || c.files[0] != "keys/" && after != before {
			t.Errorf("%q: exit code %d, %s; there is\n%s", c.files, code, said, after)
		}
	}
	dir := t.TempDir()
	s, _, _, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if code, _, said := restoreTry(archive, dir); code != exitRefused || !strings.Contains(said, "holds it since") {
		t.Errorf("while a principal has it: %d, %s", code, said)
	}
}

// TestRestoreTold: the JSON says what the archive has, and what it cannot know.
func TestRestoreTold(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{})
	spec := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}}
	tick := time.Now().Add(-90 * time.Minute).Truncate(time.Hour)
	g.add(true, &Event{Kind: evAgentUp, Agent: "hub", Epoch: "e", Capacity: 1},
		&Event{Kind: evSchedule, Workflow: "w", Schedule: "0 * * * * UTC", Scheduled: stampOf(tick)},
		&Event{Kind: evSchedule, Workflow: "paused", Schedule: "0 * * * * UTC", Scheduled: stampOf(tick)},
		&Event{Kind: evPaused, Workflow: "paused", By: "ana"},
		&Event{Kind: evVersion, Version: "v", Spec: spec},
		&Event{Kind: evQueued, Run: "01M82RWEBDM2C5KWQYXR0W5RD1", Workflow: "w", Version: "v", Trigger: triggerManual})
	g.stop()
	name, work := filepath.Join(t.TempDir(), "b.tar.gz"), t.TempDir()
	for _, id := range []string{"w", "paused"} {
		doctorTestPut(t, work+"/"+id+".yml", "schedule: 0 * * * *\ntimezone: UTC\ncatchup: all\ntasks: {a: {run: "+
			"'true'}}\n")
	}
	var out, said bytes.Buffer
	c := &cli{out: &out, err: &said, getenv: func(string) string { return "" }}
	if code := c.main(t.Context(), []string{"backup", "--all", "--workflows", work, "--state", g.dir, "--principal",
		"ipc://" + g.dir + "/none", "--config", os.DevNull, name}); code != 0 {
		t.Fatal(said.String())
	}
	dir := filepath.Join(t.TempDir(), "state")
	if code := c.main(t.Context(), []string{"restore", "--json", "--workflows", work, "--state", dir,
		name}); code != 0 {
		t.Fatal(said.String())
	}
	told := restoreJSON{}
	if err := json.Unmarshal(out.Bytes(), &told); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	fires := int(time.Since(tick) / time.Hour)
	if len(told.Missed) != 2 || told.Missed[0].Runs != 0 || told.Missed[0].Workflow != "paused" {
		t.Fatalf("%s", out.String())
	}
	told.Missed = told.Missed[1:]
	if told.Event != 6 || told.Keys || len(told.Active) != 1 || told.Active[0] != told.Newest ||
		strings.Join(told.Agents, " ") != "hub" || len(told.Missed) != 1 || told.Missed[0].Missed != fires ||
		told.Missed[0].Runs != fires || time.Since(told.Saved.Time) > time.Hour {
		t.Errorf("%s", out.String())
	}
	if text := checkRead(t, dir+"/files/workflows/w.yml"); !strings.Contains(string(text), "catchup: all") {
		t.Errorf("the workflow file: %s", text)
	}
}

// TestTar: what is written here package archive/tar reads, and the other way round.
func TestTar(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	long := strings.Repeat("long/", 60) + "name"
	var ours bytes.Buffer
	w := &tarWriter{w: &ours}
	theirs := bytes.Buffer{}
	v := tar.NewWriter(&theirs)
	names := []string{"a", "b/", "ä/ö", long, strings.Repeat("x", 100), strings.Repeat("x", 101)}
	for i, name := range names {
		kind, text := byte(tarFile), strings.Repeat("y", i*300)
		if strings.HasSuffix(name, "/") {
			kind, text = tarFolder, ""
		}
		err := errors.Join(w.head(&tarHead{name: name, kind: kind, mode: 0o600, uid: 7, gid: 8, user: "ana",
			size: int64(len(text)), at: at}), tarTestWrite(w, text))
		if err == nil {
			err = errors.Join(v.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: 0o600, Uid: 7, Gid: 8,
				Uname: "ana", Size: int64(len(text)), ModTime: at, Format: tar.FormatPAX}), tarTestWrite(v, text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.end(), v.Close()); err != nil {
		t.Fatal(err)
	}
	us, them := &tarReader{r: &theirs}, tar.NewReader(&ours)
	for i, name := range names {
		h, err := us.next()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(us)
		if err != nil || h.name != name || !h.at.Equal(at) || h.uid != 7 || h.gid != 8 || h.user != "ana" ||
			int64(len(text)) != h.size || h.mode != 0o600 {
			t.Errorf("theirs: %+v, %d bytes, %v", h, len(text), err)
		}
		g, err := them.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(them)
		if err != nil || g.Name != name || !g.ModTime.Equal(at) || g.Uid != 7 || g.Uname != "ana" ||
			string(text) != string(content) || g.Typeflag != h.kind {
			t.Errorf("ours, %d: %+v, %d bytes, %v", i, g, len(content), err)
		}
	}
	_, err := us.next()
	_, other := them.Next()
	if err != io.EOF || other != io.EOF {
		t.Errorf("at the end: %v, %v", err, other)
	}
}

func tarTestWrite(w io.Writer, text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// FuzzTar: a reader of any bytes ends, and gives no more than there is.
func FuzzTar(f *testing.F) {
	var seed bytes.Buffer
	w := &tarWriter{w: &seed}
	if err := errors.Join(w.head(&tarHead{name: strings.Repeat("x", 120), kind: tarFile, size: 3, at: time.Unix(1, 5)}),
		tarTestWrite(w, "abc"), w.end()); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &tarReader{r: bytes.NewReader(text)}
		for n := 0; ; {
			h, err := r.next()
			if err != nil {
				return
			}
			m, err := io.Copy(io.Discard, r)
			if n += int(m) + tarBlock; n > len(text) || err == nil && m != h.size {
				t.Fatalf("%d bytes of %d, %+v, %v", n, len(text), h, err)
			}
		}
	})
}
