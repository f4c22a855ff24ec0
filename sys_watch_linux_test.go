// sys_watch_linux_test.go: the folder followed with the events of the real kernel, and what is seen without them.

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// watchTest follows a folder; each report arrives in got as a line of folderTestLine.
type watchTest struct {
	*folderTest
	got  chan string
	busy *atomic.Int64 // how often the loop has looked at the clock
}

func watchTestNew(t *testing.T, files ...string) *watchTest {
	f := folderTestNew(t)
	for _, file := range files {
		f.write(file, folderTestGood)
	}
	w := watchTestRun(f)
	for _, file := range files {
		w.want(strings.TrimSuffix(file, ".yml") + " " + file + " good")
	}
	w.ready()
	return w
}

// watchTestRun follows a folder until the end of the test.
func watchTestRun(f *folderTest) *watchTest {
	t, w := f.t, &watchTest{f, make(chan string, 100), new(atomic.Int64)}
	f.folder.now = func() time.Time { w.busy.Add(1); return time.Now() }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		runWorkflowWatch(ctx, f.folder, func(c []workflowFile, r []string) { w.got <- folderTestLine(c, r) },
			func(err error) { w.got <- "warning: " + strings.ReplaceAll(err.Error(), f.dir, "DIR") })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		for len(w.got) > 0 {
			t.Errorf("at the end also: %s", <-w.got)
		}
	})
	return w
}

// ready waits until the watches are there: a file that comes and goes is seen.
func (w *watchTest) ready() {
	w.t.Helper()
	w.write("ready.yml", folderTestGood)
	w.want("ready ready.yml good")
	w.remove("ready.yml")
	w.want("-ready")
}

// still waits until the loop does nothing any more by itself: what is seen then is seen by events.
func (w *watchTest) still() {
	for before := int64(-1); before != w.busy.Load(); {
		before = w.busy.Load()
		<-time.After(3 * folderSettle)
	}
}

// want waits for a report, which must be that one.
func (w *watchTest) want(line string) {
	w.t.Helper()
	select {
	case got := <-w.got:
		if got != line {
			w.t.Errorf("got  %s\nwant %s", got, line)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatalf("nothing came; want %s", line)
	}
}

func TestWatchLife(t *testing.T) {
	t.Parallel()
	w := watchTestNew(t, "a.yml")
	begin := time.Now()
	w.write("a.yml", folderTestGood+"name: new\n")
	w.want("a a.yml good")
	if took := time.Since(begin); took < folderSettle || took > 3*time.Second {
		t.Errorf("a change was live after %v", took)
	}
	w.write(".a.yml.new", folderTestGood+"name: newer\n") // as vim, emacs and git replace a file
	w.rename(".a.yml.new", "a.yml")
	w.want("a a.yml good")
	w.write("sub/deep/b.yml", folderTestGood)
	w.want("sub.deep.b sub/deep/b.yml good")
	w.write("sub/deep/b.yml", folderTestGood+"name: new\n")
	w.want("sub.deep.b sub/deep/b.yml good")
	w.rename("sub", "other")
	w.want("other.deep.b other/deep/b.yml good; -sub.deep.b")
	w.write("other/deep/b.yml", folderTestGood+"name: newest\n") // in a directory that moved
	w.want("other.deep.b other/deep/b.yml good")
	w.remove("a.yml")
	w.want("-a")
	w.remove("other")
	w.want("-other.deep.b")
	w.write("other/c.yml", folderTestGood) // a directory of a name that was watched before
	w.want("other.c other/c.yml good")
	w.write("README", "nobody asks")
	w.write("other/c.yml", "tasks: {}\n")
	w.want("other.c other/c.yml good [other/c.yml:1:1: warning: there are no tasks: each run succeeds at once]")
}

// TestWatchHalfWritten: a file is not read between two writes, however much else happens meanwhile.
func TestWatchHalfWritten(t *testing.T) {
	t.Parallel()
	w := watchTestNew(t, "a.yml")
	file, err := os.OpenFile(filepath.Join(w.dir, "a.yml"), os.O_WRONLY|os.O_TRUNC, 0)
	w.ok(err)
	fresh, err := os.Create(filepath.Join(w.dir, "fresh.yml"))
	w.ok(err)
	_, err = file.WriteString("name: half\ntasks:\n")
	w.ok(err)
	for range 2 {
		w.ready() // scans have been since, longer than folderSettle after the write
	}
	_, err = file.WriteString("  a: {run: y}\n")
	w.ok(err)
	w.ok(file.Close())
	w.want("a a.yml good")
	_, err = fresh.WriteString(folderTestGood)
	w.ok(err)
	w.ok(fresh.Close())
	w.want("fresh fresh.yml good")
}

// TestWatchLinks: a file behind a link is followed where it lies, through writes and replacements; and a link itself is
// replaced, as Kubernetes updates a mounted directory.
func TestWatchLinks(t *testing.T) {
	t.Parallel()
	w, out := watchTestNew(t), folderTestNew(t)
	out.write("real.yml", folderTestGood)
	w.ok(os.Symlink(filepath.Join(out.dir, "real.yml"), filepath.Join(w.dir, "a.yml")))
	w.want("a a.yml good")
	w.ready()
	out.write("real.yml", folderTestGood+"name: one\n")
	w.want("a a.yml good")
	out.write("new", folderTestGood+"name: two\n")
	out.rename("new", "real.yml")
	w.want("a a.yml good")
	out.write("real.yml", folderTestGood+"name: three\n")
	w.want("a a.yml good")

	w.write("..v1/k.yml", folderTestGood)
	w.ok(os.Symlink("..v1", filepath.Join(w.dir, "..data")))
	w.ok(os.Symlink("..data/k.yml", filepath.Join(w.dir, "k.yml")))
	w.want("k k.yml good")
	w.write("..v2/k.yml", folderTestGood+"name: new\n")
	w.ok(os.Symlink("..v2", filepath.Join(w.dir, "..data_tmp")))
	w.rename("..data_tmp", "..data")
	w.want("k k.yml good")
	w.ok(os.Link(filepath.Join(w.dir, "..v1/k.yml"), filepath.Join(w.dir, "hard.yml")))
	w.want("hard hard.yml good")
}

// TestWatchWay: what is on the way to the folder, or to what a link in it names, is exchanged, ends, and comes back;
// all of that is seen by its events, long before the next rescan.
func TestWatchWay(t *testing.T) {
	t.Parallel()
	link := func(t *testing.T, to, name string) { // as ln -sfn does
		t.Helper()
		if err := errors.Join(os.Symlink(to, name+".new"), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
	good := func(t *testing.T, dir, file string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), []byte(folderTestGood),
			0o644)); err != nil {
			t.Fatal(err)
		}
	}
	gone := "warning: read workflow folder DIR: it does not exist: create it, or name another in the configuration"
	for _, c := range []struct {
		name   string
		folder string // below the directory of the test
		before func(t *testing.T, dir string)
		first  string
		steps  []func(t *testing.T, dir string) string // does something and says what is to be reported; "" for nothing
	}{
		{"another folder by ln -sfn", "w", func(t *testing.T, dir string) {
			good(t, dir+"/v1", "a.yml")
			good(t, dir+"/v2", "b.yml")
			link(t, "v1", dir+"/w")
		}, "a a.yml good", []func(t *testing.T, dir string) string{
			func(t *testing.T, dir string) string { link(t, dir+"/v2", dir+"/w"); return "b b.yml good; -a" },
			func(t *testing.T, dir string) string { good(t, dir+"/v2", "c.yml"); return "c c.yml good" },
			func(t *testing.T, dir string) string { os.Remove(dir + "/w"); return gone },
			func(t *testing.T, dir string) string { link(t, "v1", dir+"/w"); return "a a.yml good; -b; -c" },
		}},
		{"another release above the folder", "current/w", func(t *testing.T, dir string) {
			good(t, dir+"/v1/w", "a.yml")
			good(t, dir+"/v2/w", "b.yml")
			link(t, "v1", dir+"/now")
			link(t, "now", dir+"/current")
		}, "a a.yml good", []func(t *testing.T, dir string) string{
			func(t *testing.T, dir string) string { link(t, "v2", dir+"/now"); return "b b.yml good; -a" },
		}},
		{"the folder moves away, another takes its place", "x/w", func(t *testing.T,
			dir string) {
			good(t, dir+"/x/w", "a.yml")
			good(t, dir+"/new/w", "b.yml")
		},
			"a a.yml good", []func(t *testing.T, dir string) string{
				func(t *testing.T, dir string) string { os.Rename(dir+"/x", dir+"/old"); return gone },
				func(t *testing.T, dir string) string { os.Rename(dir+"/new", dir+"/x"); return "b b.yml good; -a" },
				func(t *testing.T, dir string) string { os.RemoveAll(dir + "/x"); return gone },
				func(t *testing.T, dir string) string { // whole at once: no scan comes in between
					good(t, dir+"/y/w", "c.yml")
					os.Rename(dir+"/y", dir+"/x")
					return "c c.yml good; -b"
				},
			}},
		{"the target of a link", "w", func(t *testing.T, dir string) {
			good(t, dir+"/w", "a.yml")
			good(t, dir+"/repo/deep", "real.yml")
			link(t, "../repo/deep/real.yml", dir+"/w/b.yml")
			link(t, "../repo/more", dir+"/w/c")
		}, "a a.yml good; b b.yml good", []func(t *testing.T, dir string) string{
			func(t *testing.T, dir string) string {
				os.RemoveAll(dir + "/repo/deep")
				return "b b.yml good [b.yml: read file: no such file or directory]"
			},
			func(t *testing.T, dir string) string { good(t, dir+"/repo/deep", "real.yml"); return "b b.yml good" },
			func(t *testing.T, dir string) string { good(t, dir+"/repo/more", "x.yml"); return "c.x c/x.yml good" },
			func(t *testing.T, dir string) string { os.RemoveAll(dir + "/repo/more"); return "-c.x" },
			func(t *testing.T, dir string) string { good(t, dir+"/repo/more", "y.yml"); return "c.y c/y.yml good" },
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.before(t, dir)
			f := &folderTest{t, filepath.Join(dir, c.folder), newWorkflowFolder(filepath.Join(dir, c.folder))}
			w := watchTestRun(f)
			w.want(c.first)
			for _, step := range c.steps {
				w.still()
				w.want(step(t, dir))
			}
		})
	}
}

// TestWatchFolderReturns: the folder itself goes, and comes back.
func TestWatchFolderReturns(t *testing.T) {
	t.Parallel()
	w := watchTestNew(t, "a.yml")
	w.rename("", "/../moved")
	w.want("warning: read workflow folder DIR: it does not exist: create it, or name another in the configuration")
	w.rename("/../moved", "")
	w.write("b.yml", folderTestGood)
	w.want("b b.yml good")
	w.ready()
}

// TestWatchTooMany: without a watch for each directory, that is said once, and the rest is watched.
func TestWatchTooMany(t *testing.T) {
	w, err := watchOpen(workflowNamed)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	w.add = func(_ int, path string, _ uint32) (int, error) {
		if path == "/b" {
			return -1, unix.ENOSPC
		}
		return 7, nil
	}
	more, err := w.follow([]watchPath{{path: "/a"}, {path: "/b"}})
	if want := "watch /b: too many inotify watches: raise fs.inotify.max_user_watches"; !more || err == nil ||
		err.Error() != want {
		t.Errorf("more %v, error %v", more, err)
	}
	more, _ = w.follow([]watchPath{{path: "/a"}, {path: "/b"}})
	if more || w.paths[7].path != "/a" ||
		len(w.paths) != 1 {
		t.Errorf("more %v, paths %v", more, w.paths)
	}
}

// TestWatchOverflow: after lost events anything may have changed.
func TestWatchOverflow(t *testing.T) {
	event := func(wd int32, mask uint32, name string) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
		b = binary.NativeEndian.AppendUint32(b, mask)
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = binary.NativeEndian.AppendUint32(b, 16)
		return append(b, append([]byte(name), make([]byte, 16-len(name))...)...)
	}
	w := &watch{wants: workflowNamed, paths: map[int32]watchSpot{1: {path: "/d", whole: true},
		3: {path: "/e", names: map[string]bool{"w": true}}}}
	for _, c := range []struct {
		wd   int32
		mask uint32
		name string
		want []watchNote
	}{
		{-1, unix.IN_Q_OVERFLOW, "", []watchNote{{}}},
		{1, unix.IN_CLOSE_WRITE, "x.yml", []watchNote{{path: "/d/x.yml"}}},
		{1, unix.IN_MODIFY, "x.yml", []watchNote{{path: "/d/x.yml", busy: true}}},
		{1, unix.IN_MODIFY, "x.log", nil},
		{1, unix.IN_CLOSE_WRITE, ".x.yml", nil},
		{1, unix.IN_MOVED_TO, "..data", []watchNote{{path: "/d/..data"}}},
		{1, unix.IN_CREATE | unix.IN_ISDIR, "sub", []watchNote{{path: "/d/sub"}}},
		{1, unix.IN_ATTRIB | unix.IN_ISDIR, "", []watchNote{{path: "/d"}}},
		{2, unix.IN_CLOSE_WRITE, "x.yml", nil},
		{3, unix.IN_CREATE, "x.yml", nil}, // somebody else's
		{3, unix.IN_CREATE | unix.IN_ISDIR, "w", []watchNote{{path: "/e/w"}}},
		{3, unix.IN_MOVE_SELF, "", []watchNote{{path: "/e"}}},
		{1, unix.IN_IGNORED, "", []watchNote{{path: "/d"}}},
		{1, unix.IN_CLOSE_WRITE, "x.yml", nil}, // ignored since
	} {
		got := w.translate(event(c.wd, c.mask, c.name))
		if len(got) != len(c.want) || len(got) == 1 && got[0] != c.want[0] {
			t.Errorf("event %#x of %q: %v, want %v", c.mask, c.name, got, c.want)
		}
	}
	if got := w.translate(event(1, unix.IN_CREATE, "x")[:20]); got != nil {
		t.Errorf("half an event: %v", got)
	}

	f := newWorkflowFolder("/nowhere")
	f.busy["/d/x.yml"] = time.Now()
	loop := &folderLoop{folder: f, timer: time.NewTimer(time.Hour)}
	loop.take([]watchNote{{}})
	if len(f.busy) != 0 || loop.first.IsZero() {
		t.Error("an overflow leaves files busy, or asks for no scan")
	}
}

// TestWatchFollowAgain: while what is watched is settled anew, nothing of what happens is lost; and what is no longer
// asked for is no longer told.
func TestWatchFollowAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := watchOpen(workflowNamed)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	follow := func(paths ...watchPath) {
		t.Helper()
		if _, err := w.follow(paths); err != nil {
			t.Fatal(err)
		}
	}
	touch := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	until := func(mask uint32) (names []string) { // what is told, up to an event of that kind
		t.Helper()
		for {
			select {
			case report := <-w.reports():
				for len(report) >= unix.SizeofInotifyEvent {
					is := binary.NativeEndian.Uint32(report[4:])
					end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(report[12:]))
					if name := strings.TrimRight(string(report[unix.SizeofInotifyEvent:end]),
						"\x00"); is&unix.IN_CREATE != 0 {
						names = append(names, name)
					}
					report = report[end:]
					if is&mask != 0 {
						return names
					}
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("after %q no event of kind %x came", names, mask)
			}
		}
	}
	way, whole := watchPath{path: dir, way: true}, watchPath{path: dir}
	follow(way, whole)
	var made []string
	add := w.add
	w.add = func(fd int, path string, mask uint32) (int, error) {
		wd, err := add(fd, path, mask)
		name := fmt.Sprint("f", len(made))
		made = append(made, name)
		touch(name)
		return wd, err
	}
	follow(way, whole)
	follow(whole, way)
	w.add = add
	touch("last")
	if err := os.Remove(filepath.Join(dir, "last")); err != nil {
		t.Fatal(err)
	}
	if got, want := until(unix.IN_DELETE), append(made, "last"); len(made) < 4 || !slices.Equal(got, want) {
		t.Errorf("told of %q, want %q", got, want)
	}

	follow(way)
	touch("unasked")
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	if got := until(unix.IN_MOVE_SELF); len(got) > 0 {
		t.Errorf("told of %q, which nobody asked for", got)
	}
}

// Where there are no file events, runWatchLook looks again and again. Where a look says that it hears of all changes,
// it waits.
func TestWatchLookBlind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, looks := time.Now(), 0
		go runWatchLook(ctx, nil, time.Second, 10*time.Second, func(follow func(string) (bool, error)) bool {
			if _, err := follow("/"); err == nil {
				t.Error("there is nothing to tell")
			}
			if at := time.Since(began); at != time.Duration(looks)*10*time.Second {
				t.Errorf("look %d at %s", looks, at)
			}
			looks++
			return looks == 5
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if looks != 5 {
			t.Errorf("%d looks", looks)
		}
		cancel()
		synctest.Wait()
	})
}

// However often something changes, the next look comes within watchSettleMost. Other files in the folders on the way do
// not count.
func TestWatchLookNoise(t *testing.T) {
	t.Parallel()
	for what, noisy := range map[string]bool{"x/f": true, "x/g": true, "beside": false} {
		dir := t.TempDir()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ok(os.Mkdir(dir+"/x", 0o700))
		for _, name := range []string{"x/f", "x/g", "beside"} {
			ok(os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		w, err := watchOpen(nil)
		ok(err)
		ctx, cancel := context.WithCancel(t.Context())
		looks, ended := make(chan bool, 1000), make(chan struct{})
		go func() {
			defer close(ended)
			runWatchLook(ctx, w, time.Hour, time.Hour, func(follow func(string) (bool, error)) bool {
				_, err := follow(dir + "/x")
				looks <- true
				return err == nil
			})
		}()
		<-looks
		stop := time.After(3 * watchSettleMost)
		for over, seen := false, false; !over && !seen; {
			select {
			case <-looks:
				seen = true
				if !noisy {
					t.Errorf("%s has changed, and it was looked at", what)
				}
			case <-stop:
				over = true
				if noisy {
					stop, over = nil, false // the machine may be slow; it comes
				}
			case <-time.After(10 * time.Millisecond):
				ok(os.Chtimes(filepath.Join(dir, what), time.Now(), time.Now()))
			}
		}
		cancel()
		<-ended
	}
}

// A change is looked at when it has settled, also one of another file that has come into the place; when the events end
// the loop goes on without.
func TestWatchLook(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "f")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put("0")
	w, err := watchOpen(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		last := ""
		runWatchLook(ctx, w, time.Millisecond, time.Millisecond, func(follow func(string) (bool, error)) bool {
			more, err := follow(file)
			if text, _ := os.ReadFile(file); string(text) != last {
				last = string(text)
				seen <- last
			}
			return err == nil && !more
		})
	}()
	see := func(want string) {
		t.Helper()
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("saw %q, want %q", got, want)
			}
		case <-time.After(harness.Patience):
			t.Fatalf("never saw %q", want)
		}
	}
	see("0")
	put("1")
	see("1")
	put("2")
	see("2")
	w.file.Close() // as if the kernel told no more
	put("3")
	see("3")
	cancel()
	<-ended
}
