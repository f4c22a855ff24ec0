// workflow_folder_test.go: the folder of workflow files as people and editors leave it, and how it is followed by
// rescans.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

const (
	folderTestGood = "tasks:\n  a: {run: x}\n"
	folderTestBad  = "tasks:\n  a: {rum: x}\n"
)

// folderTest is a folder in a temporary directory.
type folderTest struct {
	t      *testing.T
	dir    string
	folder *workflowFolder
}

func folderTestNew(t *testing.T) *folderTest {
	dir := t.TempDir()
	return &folderTest{t, dir, newWorkflowFolder(dir)}
}

func (f *folderTest) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// write makes a file and the directories to it.
func (f *folderTest) write(rel, text string) {
	f.t.Helper()
	f.ok(os.MkdirAll(filepath.Dir(filepath.Join(f.dir, rel)), 0o755))
	f.ok(os.WriteFile(filepath.Join(f.dir, rel), []byte(text), 0o644))
}

func (f *folderTest) remove(rel string) {
	f.t.Helper()
	f.ok(os.RemoveAll(filepath.Join(f.dir, rel)))
}

func (f *folderTest) rename(from, to string) {
	f.t.Helper()
	f.ok(os.Rename(filepath.Join(f.dir, from), filepath.Join(f.dir, to)))
}

// folderTestLine writes what a scan gave: "id file good|none; …" and "-id", with the faults beside.
func folderTestLine(changed []workflowFile, removed []string) string {
	var parts []string
	for _, c := range changed {
		state := "none"
		if c.Spec != nil {
			state = "good"
		}
		part := fmt.Sprintf("%s %s %s", c.ID, c.File, state)
		for _, fault := range c.Faults {
			part += " [" + fault.String() + "]"
		}
		parts = append(parts, part)
	}
	for _, id := range removed {
		parts = append(parts, "-"+id)
	}
	return strings.Join(parts, "; ")
}

// scan scans, and fails unless the changes and the error are those.
func (f *folderTest) scan(want, wantErr string) []workflowFile {
	f.t.Helper()
	changed, removed, err := f.folder.scan(context.Background())
	text := ""
	if err != nil {
		text = strings.ReplaceAll(err.Error(), f.dir, "DIR")
	}
	if got := folderTestLine(changed, removed); got != want || text != wantErr {
		f.t.Errorf("scan:\n got %s (error %q)\nwant %s (error %q)", got, text, want, wantErr)
	}
	return changed
}

const folderTestFault = `:2:7: task "a": key "rum" is not known (did you mean "run"?)]`

func TestFolderLife(t *testing.T) {
	f := folderTestNew(t)
	f.scan("", "")
	f.write("b.yml", folderTestGood)
	f.write("etl/daily.yaml", folderTestGood)
	f.write("a.json", `{"tasks": {"a": {"run": "x"}}}`)
	f.scan("a a.json good; b b.yml good; etl.daily etl/daily.yaml good", "")
	f.scan("", "")
	f.write("b.yml", folderTestGood) // written again, the same
	f.scan("", "")
	f.write("b.yml", folderTestGood+"name: new\n")
	if got := f.scan("b b.yml good", ""); got[0].Spec.Name != "new" || got[0].Spec.ID != "b" {
		t.Errorf("spec %+v", got[0].Spec)
	}
	f.rename("a.json", "c.json")
	f.scan("c c.json good; -a", "")
	f.rename("etl", "load")
	f.scan("load.daily load/daily.yaml good; -etl.daily", "")
	f.write("tmp", folderTestGood+"name: over\n")
	f.rename("tmp", "b.yml")
	f.scan("b b.yml good", "")
	f.remove("load")
	f.scan("-load.daily", "")
	f.remove("b.yml")
	f.remove("c.json")
	f.scan("-b; -c", "")
}

// TestFolderBadFile: a file with a fault leaves the version before it in force, until it is deleted.
func TestFolderBadFile(t *testing.T) {
	const nothing = `:2:3: task "a": nothing says what it does: write one of run, cmd, python, http, workflow, approve or config]`
	f := folderTestNew(t)
	f.write("a.yml", folderTestGood+"name: one\n")
	f.write("b.yml", folderTestBad)
	first := f.scan("a a.yml good; b b.yml none [b.yml"+nothing+" [b.yml"+folderTestFault, "")
	f.write("a.yml", folderTestBad)
	if second := f.scan("a a.yml good [a.yml"+nothing+" [a.yml"+folderTestFault, ""); second[0].Spec != first[0].Spec {
		t.Error("the last good version is not the one before")
	}
	f.write("a.yml", "\n"+folderTestBad) // still bad, in another place
	f.scan(`a a.yml good [a.yml:3:3: task "a": nothing says what it does: write one of run, cmd, python, http, workflow, approve or config] [a.yml:3:7: task "a": key "rum" is not known (did you mean "run"?)]`, "")
	f.write("a.yml", folderTestGood+"name: two\n")
	if third := f.scan("a a.yml good", ""); third[0].Spec.Name != "two" {
		t.Errorf("spec %+v", third[0].Spec)
	}
	f.write("a.yml", "name: [\n")
	f.scan(`a a.yml good [a.yml:2:1: a value is missing here, or the list or map before is not closed]`, "")
	f.remove("a.yml")
	f.scan("-a", "")
	f.write("a.yml", folderTestBad) // deleted is forgotten
	f.scan("a a.yml none [a.yml"+nothing+" [a.yml"+folderTestFault, "")
	f.write("b.yml", "tasks:\n")
	f.scan("b b.yml good [b.yml:1:1: warning: there are no tasks: each run succeeds at once]", "")
}

// TestFolderTwins: two files with one id are a fault of both, and the last good version stays in force.
func TestFolderTwins(t *testing.T) {
	const faults = `[etl.daily.yaml: etl/daily.yml has the same id "etl.daily": rename one of them] [etl/daily.yml: etl.daily.yaml has the same id "etl.daily": rename one of them]`
	for _, heal := range []string{"etl/daily.yml", "etl.daily.yaml"} {
		f := folderTestNew(t)
		f.write("etl/daily.yml", folderTestGood+"name: one\n")
		f.write("etl.daily.yaml", folderTestGood+"name: two\n")
		f.scan("etl.daily etl.daily.yaml none "+faults, "")
		f.scan("", "")
		f.remove(heal)
		left := map[string]string{"etl/daily.yml": "etl.daily.yaml", "etl.daily.yaml": "etl/daily.yml"}[heal]
		f.scan("etl.daily "+left+" good", "")
	}
	f := folderTestNew(t)
	f.write("etl/daily.yml", folderTestGood+"name: one\n")
	one := f.scan("etl.daily etl/daily.yml good", "")
	f.write("etl.daily.yaml", folderTestGood+"name: two\n")
	if two := f.scan("etl.daily etl/daily.yml good "+faults, ""); two[0].Spec != one[0].Spec {
		t.Error("the version before is not in force")
	}
	f.rename("etl.daily.yaml", "other.yaml")
	f.scan("etl.daily etl/daily.yml good; other other.yaml good", "")
}

// TestFolderStray: what else lies in a folder does no harm, and does not stop the good file among it.
func TestFolderStray(t *testing.T) {
	f := folderTestNew(t)
	for _, name := range []string{"README", "README.md", "Makefile", ".gitkeep", ".hidden.yml", ".git/x.yml", ".#x.yml",
		"x.yml~", "#x.yml#",
		".x.yml.swp", "4913", "x.yml.bak", "x.yml.tmp", "yml", "x.yml.d/notes"} {
		f.write(name, "rubbish: [")
	}
	f.write("good.yml", folderTestGood)
	f.write("dir.yml/in.yml", folderTestGood)
	f.write("empty.yml", "")
	f.write("binary.yml", "\x7fELF\x00\x01\x02")
	f.write("dark.yml", folderTestGood)
	f.ok(os.MkdirAll(filepath.Join(f.dir, "void.json"), 0o755))
	f.ok(syscall.Mkfifo(filepath.Join(f.dir, "pipe.yml"), 0o600))
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	f.ok(err)
	defer syscall.Close(socket)
	t.Chdir(f.dir) // a socket's path is short
	f.ok(syscall.Bind(socket, &syscall.SockaddrUnix{Name: "socket.yml"}))
	for link, to := range map[string]string{"self.yml": "self.yml", "loop": ".", "dir.yml/up": "..", "void": "nowhere",
		"void.yml": "nowhere", "device.yml": "/dev/zero", "selfdir": "selfdir"} {
		f.ok(os.Symlink(to, filepath.Join(f.dir, link)))
	}
	big, err := os.Create(filepath.Join(f.dir, "big.yml"))
	f.ok(err)
	f.ok(big.Truncate(100 << 20))
	f.ok(big.Close())
	f.ok(os.WriteFile(filepath.Join(f.dir, "a\nb.yml"), []byte(folderTestGood), 0o644))
	f.ok(os.WriteFile(filepath.Join(f.dir, "a\xffb.yml"), []byte(folderTestGood), 0o644))
	want := []string{
		`a?b a` + "\n" + `b.yml none [a` + "\n" + `b.yml: a` + "\xff" +
			`b.yml has the same id "a?b": rename one of them]`,
		"big big.yml none [big.yml: read file: the file has 104857600 bytes, more than 1048576: a workflow is a " +
			"text of a few pages]",
		"binary binary.yml none [binary.yml:1:1: character U+007F does not belong in a text file]",
		"dark dark.yml good",
		"device device.yml none [device.yml: read file: not a regular file]",
		"dir.yml.in dir.yml/in.yml good",
		"empty empty.yml none [empty.yml:1:1: the file is empty: a workflow has at least tasks]",
		"good good.yml good",
		"pipe pipe.yml none [pipe.yml: read file: not a regular file]",
		"self self.yml none [self.yml: read file: too many levels of symbolic links]",
		"socket socket.yml none [socket.yml: read file: not a regular file]",
		"void void.yml none [void.yml: read file: no such file or directory]",
	}
	changed, removed, err := f.folder.scan(t.Context())
	if err != nil || len(changed) != len(want) || len(removed) > 0 {
		t.Fatalf("error %v; got\n%s", err, strings.ReplaceAll(folderTestLine(changed, removed), "; ", "\n"))
	}
	for i := range want {
		if got := folderTestLine(changed[i:i+1], nil); !strings.HasPrefix(got, want[i]) {
			t.Errorf("got  %q\nwant %q", got, want[i])
		}
	}
	f.scan("", "")
}

// TestFolderUnreadable: what cannot be read for a while is not taken for deleted. It reads as a user who may be
// refused.
func TestFolderUnreadable(t *testing.T) {
	f := folderTestNew(t)
	f.write("sub/a.yml", folderTestGood)
	f.write("b.yml", folderTestGood)
	f.scan("b b.yml good; sub.a sub/a.yml good", "")
	entry := f.folder.files["b"]
	f.folder.spoil("b.yml", &fs.PathError{Op: "open", Path: "b.yml", Err: syscall.EACCES})
	if changed, removed := f.folder.publish(); folderTestLine(changed,
		removed) != "b b.yml good [b.yml: read file: permission denied]" || changed[0].Spec != entry.Spec {
		t.Errorf("got %s", folderTestLine(changed, removed))
	}
	f.scan("b b.yml good", "")

	w := &folderWalk{blind: []string{"sub"}}
	for rel, unseen := range map[string]bool{"sub/a.yml": true, "sub/deep/a.yml": true, "subway/a.yml": false,
		"b.yml": false} {
		if w.unseen(rel) != unseen {
			t.Errorf("unseen(%q) = %v", rel, !unseen)
		}
	}
	deep := strings.Repeat("d/", folderMaxDepth+1)
	f.write(deep+"x.yml", folderTestGood)
	f.scan("", "read workflow folder: DIR/"+strings.TrimSuffix(deep, "/")+" lies deeper than 32 directories")
}

func TestFolderMissing(t *testing.T) {
	f := folderTestNew(t)
	f.remove("")
	f.scan("", "read workflow folder DIR: it does not exist: create it, or name another in the configuration")
	f.write("a.yml", folderTestGood)
	f.scan("a a.yml good", "")
	f.rename("", "/../moved")
	f.scan("", "read workflow folder DIR: it does not exist: create it, or name another in the configuration")
	f.ok(os.WriteFile(f.dir, nil, 0o644))
	f.scan("", "read workflow folder DIR: it is not a directory")
	f.remove("")
	f.rename("/../moved", "")
	f.scan("", "") // what was there is still in force
}

// TestFolderLinks: links lead to files and directories outside, and a changed target is a changed file.
func TestFolderLinks(t *testing.T) {
	f, out := folderTestNew(t), folderTestNew(t)
	out.write("real.txt", folderTestGood)
	out.write("more/x.yml", folderTestGood)
	f.ok(os.Symlink(filepath.Join(out.dir, "real.txt"), filepath.Join(f.dir, "a.yml")))
	f.ok(os.Symlink(filepath.Join(out.dir, "more"), filepath.Join(f.dir, "sub")))
	f.ok(os.Symlink(filepath.Join(out.dir, "more"), filepath.Join(f.dir, "twin")))
	f.scan("a a.yml good; sub.x sub/x.yml good; twin.x twin/x.yml good", "")
	out.write("real.txt", folderTestGood+"name: new\n")
	f.scan("a a.yml good", "")
	if want := []string{filepath.Join(f.dir, "a.yml")}; !slices.Equal(f.folder.links, want) {
		t.Errorf("links %v, want %v", f.folder.links, want)
	}
}

// TestFolderSameTime: a change that leaves size and time as they were is found while the file is young, or by its
// inode.
func TestFolderSameTime(t *testing.T) {
	f := folderTestNew(t)
	f.write("a.yml", folderTestGood+"name: one\n")
	info, err := os.Stat(filepath.Join(f.dir, "a.yml"))
	f.ok(err)
	again := func(rel, name string) {
		f.write(rel, folderTestGood+"name: "+name+"\n")
		f.ok(os.Chtimes(filepath.Join(f.dir, rel), info.ModTime(), info.ModTime()))
	}
	f.scan("a a.yml good", "")
	again("a.yml", "two")
	f.scan("a a.yml good", "")
	f.folder.now = func() time.Time { return info.ModTime().Add(time.Hour) }
	f.scan("", "")
	again("new", "six")
	f.rename("new", "a.yml")
	f.scan("a a.yml good", "")
}

// TestFolderBusy: a file that is being written is read when it is closed, or when that takes too long.
func TestFolderBusy(t *testing.T) {
	f := folderTestNew(t)
	f.write("a.yml", folderTestGood)
	f.scan("a a.yml good", "")
	now := time.Now()
	f.folder.now = func() time.Time { return now }
	f.folder.busy[filepath.Join(f.dir, "a.yml")] = now
	f.write("a.yml", "")
	f.scan("", "")
	now = now.Add(folderRetry)
	f.scan("a a.yml good [a.yml:1:1: the file is empty: a workflow has at least tasks]", "")

	clear(f.folder.busy)
	f.folder.quiet = folderSettle
	now = time.Now()
	f.write("a.yml", folderTestGood)
	f.ok(os.Chtimes(filepath.Join(f.dir, "a.yml"), now, now))
	if f.scan("", ""); !f.folder.pending {
		t.Error("nothing is left for later")
	}
	now = now.Add(folderSettle)
	if f.scan("a a.yml good", ""); f.folder.pending {
		t.Error("something is left for later")
	}
}

// TestFolderRescan follows a folder without events, in false time.
func TestFolderRescan(t *testing.T) {
	f := folderTestNew(t)
	f.write("a.yml", folderTestGood)
	f.scan("a a.yml good", "")
	synctest.Test(t, func(t *testing.T) {
		var log []string
		folder := f.folder
		loop := &folderLoop{folder: folder, timer: time.NewTimer(time.Hour),
			onChange:  func(c []workflowFile, r []string) { log = append(log, folderTestLine(c, r)) },
			onWarning: func(err error) { log = append(log, "warning") }}
		begin := time.Now()
		after := func() time.Duration { return (<-loop.timer.C).Sub(begin) }
		loop.rescan(t.Context())
		if d := after(); d != folderRescan {
			t.Errorf("rescan after %v", d)
		}
		f.write("b.yml", folderTestGood)
		loop.rescan(t.Context())
		f.remove("")
		loop.rescan(t.Context())
		begin = time.Now()
		if d := after(); d != folderRetry {
			t.Errorf("rescan after %v of a folder that is not there", d)
		}
		loop.rescan(t.Context())
		f.write("b.yml", folderTestGood)
		loop.rescan(t.Context())
		f.remove("")
		loop.rescan(t.Context())
		if got, want := strings.Join(log, "|"), "b b.yml good|warning|-a|warning"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}

		begin = time.Now()
		folder.now = time.Now
		for range 20 { // an event each 60 ms: read when the first is folderDelay old
			loop.take([]watchNote{{path: "x"}})
			time.Sleep(60 * time.Millisecond)
			select {
			case at := <-loop.timer.C:
				if d := at.Sub(begin); d != folderDelay {
					t.Errorf("read after %v", d)
				}
				return
			default:
			}
		}
		t.Error("never read while events come")
	})
}

// TestFolderWarnsOnce: a trouble that lasts gets one warning, and another when it comes back.
func TestFolderWarnsOnce(t *testing.T) {
	var log []string
	loop := &folderLoop{onWarning: func(err error) { log = append(log, err.Error()) }}
	for _, err := range []error{errors.New("a"), errors.New("a"), nil, nil, errors.New("a"), errors.New("b")} {
		loop.warn(&loop.warnedScan, err)
		loop.warn(&loop.warnedWatch, nil)
	}
	if got := strings.Join(log, " "); got != "a a b" {
		t.Errorf("warned %s", got)
	}
}

// TestFolderWithoutEvents: where the system has no events to give, that is said once, and the rescans find the changes.
func TestFolderWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := folderTestNew(t)
		var log []string
		f.folder.open = func() (*watch, error) { return nil, errors.New("no events") }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			runWorkflowWatch(ctx, f.folder, func(c []workflowFile, r []string) {
				log = append(log,
					folderTestLine(c, r))
			},
				func(err error) { log = append(log, err.Error()) })
		}()
		time.Sleep(time.Second)
		f.write("a.yml", folderTestGood)
		time.Sleep(folderRescan)
		f.remove("a.yml")
		time.Sleep(2 * folderRescan)
		cancel()
		<-done
		if got, want := strings.Join(log,
			"|"), "watch workflow folder: no events: changes are seen within 1m0s|a a.yml good|-a"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestFolderReadAgain: readAgain has the folder read at once, without events, those files too that were just written.
func TestFolderReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := folderTestNew(t)
		var log []string
		f.folder.open = func() (*watch, error) { return nil, errors.New("no events") }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			runWorkflowWatch(ctx, f.folder, func(c []workflowFile, r []string) {
				log = append(log,
					folderTestLine(c, r))
			}, func(error) {})
		}()
		time.Sleep(time.Second)
		f.write("a.yml", folderTestGood)
		// in false time it is as young as can be
		f.ok(os.Chtimes(filepath.Join(f.dir, "a.yml"), time.Now(), time.Now()))
		if !f.folder.readAgain(ctx) || strings.Join(log, "|") != "a a.yml good" {
			t.Errorf("read: %q", log)
		}
		time.Sleep(folderRescan / 2)
		f.remove("a.yml")
		if !f.folder.readAgain(ctx) || strings.Join(log, "|") != "a a.yml good|-a" {
			t.Errorf("read again: %q", log)
		}
		cancel()
		<-done
		if f.folder.readAgain(ctx) {
			t.Error("nobody reads any more")
		}
	})
}

// folderWatches counts the inotify instances of this process.
func folderWatches(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "anon_inode:inotify" {
			n++
		}
	}
	return n
}

// TestFolderEnds: the watch ends with its context, also before its first scan and in the middle of its work, and leaves
// no instance of inotify. It counts those of the process: nothing runs beside.
func TestFolderEnds(t *testing.T) {
	before := folderWatches(t)
	f := folderTestNew(t)
	f.write("a.yml", "tasks: {a: {run: x}}")
	for _, first := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		found := make(chan []workflowFile, 10)
		if first {
			cancel()
		}
		ended := make(chan bool)
		go func() {
			defer close(ended)
			runWorkflowWatch(ctx, newWorkflowFolder(f.dir), func(changed []workflowFile,
				_ []string) {
				found <- changed
			}, func(err error) { t.Error(err) })
		}()
		if !first {
			if got := <-found; len(got) != 1 || got[0].ID != "a" {
				t.Errorf("found %+v", got)
			}
			cancel()
		}
		select {
		case <-ended:
		case <-time.After(harness.Patience):
			t.Fatalf("ended before its first scan %v: it goes on", first)
		}
		cancel()
		if n := folderWatches(t); n > before {
			t.Errorf("ended before its first scan %v: %d instances of inotify, %d before", first, n, before)
		}
	}
}

func folderBench(b *testing.B, n int) string {
	dir := b.TempDir()
	for i := range n {
		text := fmt.Sprintf("name: job %d\nschedule: \"%d 2 * * *\"\ntasks:\n  dump:\n    run: pg_dump db%d\n    "+
			"timeout: 30m\n    retries: 3\n"+
			"  ship:\n    depends: [dump]\n    cmd: rclone\n    args: [copy, dump, remote]\n", i, i%60, i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("job%d.yml", i)), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func BenchmarkFolderScan(b *testing.B) {
	for _, n := range []int{100, 1000} {
		dir := folderBench(b, n)
		b.Run(fmt.Sprint("first/", n), func(b *testing.B) {
			for b.Loop() {
				newWorkflowFolder(dir).scan(context.Background())
			}
		})
		b.Run(fmt.Sprint("again/", n), func(b *testing.B) {
			f := newWorkflowFolder(dir)
			f.now = func() time.Time { return time.Now().Add(time.Hour) }
			f.scan(context.Background())
			for b.Loop() {
				f.scan(context.Background())
			}
		})
	}
}

// Files that cannot be read count as files: a folder full of links to nowhere ends at the same bound.
func TestFolderBroken(t *testing.T) {
	t.Parallel()
	f := folderTestNew(t)
	for i := range folderMaxFiles + 2 {
		f.ok(os.Symlink("none", fmt.Sprintf("%s/w%05d.yml", f.dir, i)))
	}
	changed, _, err := f.folder.scan(t.Context())
	want := fmt.Sprintf("read workflow folder: stopped at %s/w%05d.yml: more than 5000 directories or 20000 "+
		"workflow files", f.dir, folderMaxFiles)
	if len(changed) != folderMaxFiles || err == nil || err.Error() != want {
		t.Errorf("%d workflows, %v", len(changed), err)
	}
}

// TestWorkflowFolderRelook looks again rarely where each change makes an event, and each minute where one may not: at a
// link that leads to a network file system too.
func TestWorkflowFolderRelook(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, file := range []string{dir + "/a.yml", elsewhere + "/b.yml"} {
		if err := os.WriteFile(file, []byte("tasks: {a: {run: echo}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere+"/b.yml", dir+"/b.yml"); err != nil {
		t.Fatal(err)
	}
	for _, remote := range []string{"", dir, dir + "/b.yml"} {
		folder := newWorkflowFolder(dir)
		folder.local = func(path string) bool { return path != remote }
		w, err := folder.open()
		if err != nil {
			harness.Lacks(t, "no file events here: %v", err)
		}
		loop := &folderLoop{folder: folder, watch: w, timer: time.NewTimer(time.Hour),
			onWarning: func(err error) { t.Error(err) },
			onChange:  func([]workflowFile, []string) {}}
		loop.rescan(t.Context())
		loop.rescan(t.Context()) // the first has made watches
		want := folderRescan
		if remote == "" {
			want = folderRelook
		}
		if got := loop.due.Sub(folder.now()).Round(time.Second); got != want {
			t.Errorf("remote %q: looks again after %s, want %s", remote, got, want)
		}
		w.close()
	}
}
