// Tests of the backup: taken under load, and restored.

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// backupRestore unpacks an archive into a new folder, as its user is told to, and wants everything in it to be that
// user's alone.
func backupRestore(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", name, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %v after restoring", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBackup takes a backup while runs are queued, run and finished, and restores it: every run that was acknowledged
// before is there, nothing is damaged, and the output of the first is whole.
func TestBackup(t *testing.T) {
	x := e2eNew(t)
	x.Env = append(x.Env, "CDKTR_RETAIN_RUNS=0") // however many runs the load makes
	x.File("w.yml", "overlap: allow\ntasks: {a: {run: \"echo hello; echo there\"}}\n")
	p := x.Principal("--with-agent")
	first := x.run("w")
	acked := []string{first.ID}
	stop, loaded := make(chan struct{}), make(chan []string, 1)
	go func() { // load, until the backup is there
		var more []string
		for {
			select {
			case <-stop:
				loaded <- more
				return
			default:
				if r, err := x.ask(Request{Op: "run", Workflow: "w", Wait: true}); err == nil {
					more = append(more, r.Run)
				}
			}
		}
	}()
	for range 20 {
		acked = append(acked, x.Start("w"))
	}
	archive := x.Dir + "/b.tar.gz"
	r := x.Cdktr("backup", archive)
	close(stop)
	if load := <-loaded; r.Code != 0 || len(load) == 0 {
		t.Fatalf("exit code %d, %s, with %d runs beside it", r.Code, r.Err, len(load))
	}
	if info, err := os.Stat(archive); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err) // others could read keys and output in it
	}
	x.Refused(exitRefused, []string{"is there already"}, "backup", archive)
	dir := backupRestore(t, archive)
	for _, name := range []string{"keys", "lock", "spool", "reserve"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is in the backup", name)
		}
	}
	if r := x.Cdktr("check", "--state", dir); r.Code != 0 {
		t.Errorf("what was restored: exit code %d, %s%s", r.Code, r.Out, r.Err)
	}
	snapshot := struct{ Seq uint64 }{}
	if err := json.Unmarshal(checkRead(t, filepath.Join(dir, storeSnapshot)), &snapshot); err != nil ||
		snapshot.Seq == 0 {
		t.Errorf("the principal was not asked to save its state: %+v, %v", snapshot, err)
	}
	s, state, report, err := storeOpen(storeOptions{Dir: dir, NoSync: true})
	if err != nil || report.Notes != nil {
		t.Fatalf("start on what was restored: %v, %q", err, report.Notes)
	}
	for _, id := range acked {
		if state.Runs[id] != nil {
			continue
		}
		if _, err := s.historyFind(id, nil); err != nil {
			t.Errorf("run %s is not in the backup: %v", id, err)
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	again := e2eAlone(t)
	again.Env = append(again.Env, "CDKTR_STATE="+dir, "CDKTR_RETAIN_RUNS=0")
	q := again.Principal("--with-agent")
	if out := again.OK("logs", first.ID); out != "hello\nthere\n" {
		t.Errorf("output of the first run: %q", out)
	}
	again.Until("end of all runs", func() bool { return strings.TrimSpace(again.OK("ps", "--json")) == "" })
	q.Stop()
	p.Stop()
	x.OK("backup", x.Dir+"/still.tar.gz") // with nobody there
	if dir := backupRestore(t, x.Dir+"/still.tar.gz"); x.Cdktr("check", "--state", dir).Code != 0 {
		t.Error("the backup of a stopped principal is damaged")
	}
	x.Refused(exitUnreachable, []string{"is not there"}, "backup", "--state", x.Dir+"/none", "--principal",
		"ipc://"+x.Dir+"/no", x.Dir+"/c")
}

// TestBackupOrder: each file may be newer than those before it, for a start looks for what the journal says beyond the
// snapshot in the history, and for output where the journal says it is. Of lines only whole ones are taken.
func TestBackupOrder(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{})
	g.random(100)
	g.s.snapshot(g.state, nil)
	g.random(100)
	g.stop()
	log := filepath.Join(g.dir, "logs/w/2026-01-01.jsonl")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	checkWrite(t, log, logsEncode(LogLine{Run: "a", N: 1, Task: "a", Attempt: 1, Stream: "o", Text: "x"}))
	whole := map[string]string{}
	for _, pattern := range []string{"/journal/*.jsonl", "/history/*/*.jsonl", "/logs/*/*.jsonl"} {
		names, err := filepath.Glob(g.dir + pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names { // each is being written to
			text := checkRead(t, name)
			whole[strings.TrimPrefix(name, g.dir+"/")] = string(text)
			checkWrite(t, name, append(text, `{"crc":"1a2b`...))
		}
	}
	root, err := os.OpenRoot(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	o, err := ownerOf(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := (&backup{owner: o, files: storeFilesOf(root, false), folders: map[string]bool{}}).write(&archive,
		false, nil); err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(&archive)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{}
	for files := tar.NewReader(zip); ; {
		head, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if head.Typeflag == tar.TypeDir {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if want, lines := whole[head.Name]; lines && string(text) != want {
			t.Errorf("%s has %d bytes, want %d", head.Name, len(text), len(want))
		}
		delete(whole, head.Name)
		if kind, _, _ := strings.Cut(head.Name, "/"); len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	if is := strings.Join(kinds, " "); is != "snapshot.json history journal logs" || len(whole) > 0 {
		t.Errorf("the order is %s; not there are %v", is, whole)
	}
}

// TestBackupSame: entries have the times of the files and folders, and of the same state the same archive is made.
func TestBackupSame(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{})
	g.random(100)
	g.s.snapshot(g.state, nil)
	g.random(100)
	g.stop()
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	for _, pattern := range []string{"/*.json", "/journal", "/journal/*.jsonl", "/history", "/history/*",
		"/history/*/*.jsonl"} {
		names, err := filepath.Glob(g.dir + pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			at = at.Add(time.Hour)
			if os.Chtimes(name, at, at) != nil {
				t.Fatal(name)
			}
		}
	}
	var archives [2][]byte
	for i := range archives {
		name := filepath.Join(t.TempDir(), "b.tar.gz")
		var errs bytes.Buffer
		c := &cli{out: io.Discard, err: &errs, getenv: func(string) string { return "" }}
		if code := c.main(t.Context(), []string{"backup", "--state", g.dir, "--principal", "ipc://" + g.dir + "/none",
			name}); code != 0 {
			t.Fatalf("exit code %d, %s", code, errs.String())
		}
		archives[i] = checkRead(t, name)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same state differ")
	}
	zip, err := gzip.NewReader(bytes.NewReader(archives[0]))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for files := tar.NewReader(zip); ; n++ {
		head, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(g.dir, head.Name))
		if err != nil || !head.ModTime.Equal(info.ModTime()) {
			t.Errorf("%s is of %v in the archive, of %v in the folder, %v", head.Name, head.ModTime, info.ModTime(),
				err)
		}
	}
	if n < 6 {
		t.Errorf("%d entries", n)
	}
}

// TestBackupMeanwhile: what retention removes while a backup is made is left out of it; without a part of the journal
// there is no backup, and nothing is left of one that did not come to its end.
func TestBackupMeanwhile(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{})
	g.random(100)
	g.s.snapshot(g.state, nil)
	g.random(100)
	g.stop()
	for _, folder := range []string{"logs/w", "history/w"} {
		for _, name := range []string{"2026-01-01.jsonl", "2026-01-02.jsonl"} {
			if err := os.MkdirAll(filepath.Join(g.dir, folder), 0o700); err != nil {
				t.Fatal(err)
			}
			checkWrite(t, filepath.Join(g.dir, folder, name), []byte("{}\n"))
		}
	}
	o, err := ownerOf(g.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"logs/w/2026-01-02", "history/w/2026-01-02", storeJournal} {
		root, err := os.OpenRoot(g.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		b := &backup{owner: o, files: storeFilesOf(root, false), folders: map[string]bool{}}
		open, gone := b.files.open, ""
		b.files.open = func(name string, flag int) (*os.File, error) {
			if gone == "" && strings.HasPrefix(name, kind) { // it was there when its folder was listed
				gone = name
				if err := root.Remove(name); err != nil {
					t.Error(err)
				}
			}
			return open(name, flag)
		}
		var archive bytes.Buffer
		err = b.write(&archive, false, nil)
		if journal := kind == storeJournal; gone == "" || journal != (err != nil) || journal &&
			!strings.HasSuffix(err.Error(), "try again") {
			t.Errorf("without %s: %v", gone, err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(g.dir, storeSegmentName(1<<40)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, out := &cli{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }},
		filepath.Join(t.TempDir(), "b.tar.gz")
	if code := c.main(t.Context(), []string{"backup", "--state", g.dir, "--principal", "ipc://" + g.dir + "/none",
		out}); code == 0 {
		t.Error("a backup of a journal that cannot be read")
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a backup is left: %v", err)
	}
}
