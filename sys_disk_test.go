// Tests of reading files that somebody else named, and of the room on a disk.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestFileRead reads what is a file, and refuses at once what has no end or makes its reader wait.
func TestFileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"empty": "", "small": "abc", "full": strings.Repeat("x", 4096),
		"over": strings.Repeat("x", 4097)} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("small", at("link")), os.Symlink("nothing", at("dangling")),
		unix.Mkfifo(at("pipe"), 0o600), os.Symlink("pipe", at("pipelink"))); err != nil {
		t.Fatal(err)
	}
	var large *fileSizeError
	for _, c := range []struct {
		name string
		n    int
		want func(error) bool
	}{
		{at("empty"), 0, nil}, {at("small"), 3, nil}, {at("full"), 4096, nil}, {at("link"), 3, nil},
		{at("over"), 0, func(err error) bool { return errors.As(err, &large) && large.size == 4097 }},
		{at("pipe"), 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{at("pipelink"), 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{dir, 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{"/dev/zero", 0, func(err error) bool { return errors.Is(err, errFileKind) }},
		{"/dev/tty", 0, func(err error) bool { return err != nil }},
		{at("dangling"), 0, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
	} {
		data, info, err := fileRead(c.name, 4096)
		switch {
		case c.want == nil && (err != nil || len(data) != c.n || info.Size() != int64(c.n)):
			t.Errorf("%s: %d bytes, %v", c.name, len(data), err)
		case c.want != nil && !c.want(err):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestDiskDoors: files are opened in few places, which see to it that nothing waits for a pipe; what is elsewhere is a
// folder of the kernel's, the terminal, or a file that is made where none may be.
func TestDiskDoors(t *testing.T) {
	t.Parallel()
	opens := regexp.MustCompile(`\b(os|root)\.(Open|OpenFile|Create|ReadFile)\(|\.FS\(\)`)
	allowed := map[string]int{"sys_disk.go": 3, "exec.go": 1, "sys_linux.go": 1, "cli_serve_listen.go": 1,
		"wire_linux.go": 1, "term_tty.go": 2, "auth_files.go": 3,
		"cli_backup.go": 1, "cli_keys.go": 1, "cli_setup.go": 1, "tui_prompt.go": 1, "agent_spool_tail.go": 1,
		"cli_check.go": 1, "cli_validate.go": 1, "agent_handlers.go": 1,
		"cli_wrap_spool.go": 1, "cli_restore.go": 2, "cli_restore_read.go": 1, "cli_backup_extra.go": 1, // of a verb
		"principal_metrics_file.go": 1, "principal_metrics_look.go": 1, // beside the loop
		"sys_process.go": 1}
	for file, text := range layersTexts(t) {
		if found := opens.FindAllString(text, -1); len(found) != allowed[file] {
			t.Errorf("%s opens files in %d places, and is known to in %d: call diskOpen, diskOpenIn, or fileRead; "+
				"say here what cannot: %q", file, len(found), allowed[file], found)
		}
	}
}

// diskHang is file systems that do not answer, by the places of their looks.
type diskHang struct {
	mu    sync.Mutex
	until map[string]chan struct{}
}

// begin is for diskWaits.begin.
func (h *diskHang) begin(place string) {
	h.mu.Lock()
	until := h.until[place]
	h.mu.Unlock()
	if until != nil {
		<-until
	}
}

// stop has a place answer no more, until the function that it gives is called. Looks that were begun hang until theirs
// is.
func (h *diskHang) stop(place string) (answer func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil {
		h.until = map[string]chan struct{}{}
	}
	until := make(chan struct{})
	h.until[place] = until
	return func() {
		h.mu.Lock()
		if h.until[place] == until {
			delete(h.until, place)
		}
		h.mu.Unlock()
		close(until)
	}
}

// diskTaken says how long it took until a look at a place gave something.
func diskTaken(ctx context.Context, w *diskWaits, place string) (time.Duration, error) {
	began := time.Now()
	v, err := diskWait(ctx, w, place, func() (string, error) { return place, nil })
	if err == nil && v != place {
		err = fmt.Errorf("it gave %q", v)
	}
	return time.Since(began), err
}

// A look that gets no answer is given up after a time that all looks of a turn share. It is not made again before the
// place has answered or some time has gone by.
func TestDiskWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := diskWaitsNew(), &diskHang{}
		w.begin = h.begin
		is := func(place string, taken time.Duration, silent bool) {
			t.Helper()
			got, err := diskTaken(t.Context(), w, place)
			if got != taken || errors.Is(err, errDiskSilent) != silent || err != nil && !silent {
				t.Errorf("%s: %v after %s, want one after %s", place, err, got, taken)
			}
		}
		answerA, answerB := h.stop("a"), h.stop("b")
		is("c", 0, false)
		is("a", 10*time.Second, true)
		is("b", 250*time.Millisecond, true) // of the same turn
		is("c", 0, false)
		is("a", 0, true)
		w.turn()
		is("a", 0, true)

		answerB()
		synctest.Wait()
		select {
		case <-w.back:
		default:
			t.Error("nobody is told that b has answered")
		}
		is("b", 0, false)

		time.Sleep(time.Minute)
		is("a", 250*time.Millisecond, true) // tried again, but not waited for as long
		time.Sleep(time.Minute)
		is("a", 0, true) // the second time is later
		time.Sleep(time.Minute)
		is("a", 250*time.Millisecond, true)
		time.Sleep(4 * time.Minute)
		is("a", 250*time.Millisecond, true)
		time.Sleep(24 * time.Hour)
		is("a", 0, true) // four hang there: no more
		answerA()
		synctest.Wait()
		is("a", 0, false)
		if len(w.hung) != 0 || w.stuck != 0 {
			t.Errorf("all have answered, and of %d places %d looks are counted still", len(w.hung), w.stuck)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		answerA = h.stop("a")
		time.AfterFunc(time.Second, func() { cancel(errors.New("told to stop")) })
		if got, err := diskTaken(ctx, w, "a"); got != time.Second || err == nil || err.Error() != "told to stop" {
			t.Errorf("told to stop: %v after %s", err, got)
		}
		if got, err := diskTaken(ctx, nil, "c"); got != 0 || err == nil {
			t.Errorf("after it: %v after %s", err, got)
		}
		answerA()
	})
}

// However many places do not answer, few looks hang in the system at once.
func TestDiskWaitMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, open := diskWaitsNew(), make(chan struct{})
		hang := true
		w.begin = func(string) {
			if hang {
				<-open
			}
		}
		for i := range 40 {
			w.turn()
			taken, err := diskTaken(t.Context(), w, fmt.Sprint(i))
			want := 10 * time.Second
			if i >= 32 {
				want = 0
			}
			if taken != want || !errors.Is(err, errDiskSilent) {
				t.Fatalf("look %d: %v after %s, want one after %s", i, err, taken, want)
			}
		}
		close(open)
		synctest.Wait()
		if _, err := diskTaken(t.Context(), w, "39"); err != nil {
			t.Error(err)
		}
	})
}

// A file or a folder that does not answer is one fault: the others are read. It is read once it answers, is removed, or
// is replaced.
func TestFolderSilent(t *testing.T) {
	const silent = "it does not answer: see whether its file system does, a network mount perhaps"
	const fault = "b b.yml none [b.yml: read file: " + silent + "; it is read once it does]"
	for _, c := range []struct {
		name  string
		make  func(f *folderTest, out string) // the file b.yml
		place func(f *folderTest, out string) string
		first string
		err   string
	}{
		{"a file", func(f *folderTest, out string) { f.write("b.yml", folderTestGood) },
			func(f *folderTest, out string) string {
				info, _ := os.Stat(f.dir + "/b.yml")
				return fmt.Sprintf("%s/b.yml %d", f.dir, diskInode(info))
			}, fault, ""},
		{"what tells of a file", func(f *folderTest, out string) { f.write("b.yml", folderTestGood) },
			func(f *folderTest, out string) string {
				return f.dir + "/b.yml"
			}, fault, ""},
		{"where a link leads", func(f *folderTest, out string) {
			f.ok(os.WriteFile(out+"/to.yml", []byte(folderTestGood), 0o644))
			f.ok(os.Symlink(out+"/to.yml", f.dir+"/b.yml"))
		}, func(f *folderTest, out string) string { return out }, fault, ""},
		{"a folder", func(f *folderTest, out string) { f.write("b/x.yml", folderTestGood) },
			func(f *folderTest, out string) string { return f.dir + "/b" },
			"", "read workflow folder: stat DIR/b: " + silent},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, out, h := folderTestNew(t), t.TempDir(), &diskHang{}
				f.folder.waits.begin = h.begin
				c.make(f, out)
				f.write("a.yml", folderTestGood)
				answer := h.stop(c.place(f, out))
				want := "a a.yml good"
				if c.first != "" {
					want += "; " + c.first
				}
				f.scan(want, c.err)
				f.write("c.yml", folderTestGood)
				began := time.Now()
				f.scan("c c.yml good", c.err)
				if taken := time.Since(began); taken != 0 {
					t.Errorf("what is known not to answer held the next scan up for %s", taken)
				}
				id := "b"
				if c.first == "" {
					id = "b.x"
				}
				defer answer()
				f.remove("b.yml")
				f.remove("b")
				if c.first != "" {
					f.scan("-"+id, "")
				} else {
					f.scan("", "")
				}
				c.make(f, out)
				answer2 := h.stop(c.place(f, out))
				h.mu.Lock()
				clear(h.until) // it answers: a new look would be good
				h.mu.Unlock()
				defer answer2()
				time.Sleep(diskAgain)
				f.scan(folderTestLine([]workflowFile{{ID: id, File: map[string]string{"b": "b.yml",
					"b.x": "b/x.yml"}[id], Spec: &Workflow{}}}, nil), "")
			})
		})
	}
}

// A file that answers again is read at once. A scan that is asked for meanwhile is answered, and the end of the program
// does not wait for the file.
func TestFolderSilentWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, out, h := folderTestNew(t), t.TempDir(), &diskHang{}
		f.folder.waits.begin = h.begin
		f.folder.open = func() (*watch, error) { return nil, errors.New("no events") }
		f.ok(os.WriteFile(filepath.Join(out, "to.yml"), []byte(folderTestGood), 0o644))
		f.ok(os.Symlink(filepath.Join(out, "to.yml"), filepath.Join(f.dir, "b.yml")))
		answer := h.stop(out)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var log []string
		var done sync.WaitGroup
		done.Go(func() {
			runWorkflowWatch(ctx, f.folder, func(c []workflowFile, r []string) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, folderTestLine(c, r))
			}, func(error) {})
		})
		last := func() string {
			mu.Lock()
			defer mu.Unlock()
			return log[len(log)-1]
		}
		began := time.Now()
		if !f.folder.readAgain(ctx) {
			t.Error("not read")
		}
		if taken := time.Since(began); taken > diskLimit+time.Second {
			t.Errorf("a scan took %s", taken)
		}
		if got := last(); len(got) < 12 || got[:12] != "b b.yml none" {
			t.Errorf("got %s", got)
		}
		answer()
		synctest.Wait()
		if got := last(); got != "b b.yml good" {
			t.Errorf("it answers again: %s", got)
		}

		answer = h.stop(f.dir)
		time.Sleep(folderRescan + time.Second) // a scan has begun, and hangs
		cancel()
		began = time.Now()
		done.Wait()
		if taken := time.Since(began); taken != 0 {
			t.Errorf("the end waited for %s", taken)
		}
		answer()
		synctest.Wait()
	})
}
