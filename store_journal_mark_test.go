// store_journal_mark_test.go: what the mark says, when it is written, and what a start makes of a journal that ends
// before it.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// markRead gives the mark of a folder, 0 when there is none.
func markRead(t *testing.T, dir string) uint64 {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files := storeFilesOf(root, false)
	seq, fault := files.marked()
	if fault != "" {
		t.Fatal(fault)
	}
	return seq
}

// TestStoreMark: the mark follows the first fsync at once and others a minute later, is not written while nothing was
// synced, and is right at the end.
func TestStoreMark(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		disk := storeDiskNew(t, dir, 1)
		g := storeRigOpen(t, storeOptions{Dir: dir, files: disk.wrap})
		pause := func() *Event { return &Event{Kind: evPaused, By: "x"} }
		g.add(true, pause(), pause())
		synctest.Wait()
		if seq := markRead(t, dir); seq != 2 {
			t.Fatalf("behind the first fsync the mark says %d, want 2", seq)
		}
		g.add(true, pause())
		time.Sleep(storeMarkDelay / 2)
		synctest.Wait()
		if seq := markRead(t, dir); seq != 2 {
			t.Fatalf("half a minute after another fsync the mark says %d, want 2", seq)
		}
		time.Sleep(storeMarkDelay / 2)
		synctest.Wait()
		if seq := markRead(t, dir); seq != 3 {
			t.Fatalf("a minute after another fsync the mark says %d, want 3", seq)
		}
		disk.set(func(op string) error {
			if op == "sync" {
				return syscall.EIO
			}
			return nil
		})
		g.add(true, pause())
		time.Sleep(2 * storeMarkDelay)
		synctest.Wait()
		if seq := markRead(t, dir); seq != 3 {
			t.Fatalf("the mark says %d of what no fsync has made durable, want 3", seq)
		}
		disk.set(nil)
		time.Sleep(storeRetryMax)
		synctest.Wait()
		before := disk.syncs
		g.stop()
		if seq := markRead(t, dir); seq != 4 || disk.syncs != before {
			t.Fatalf("at the end the mark says %d, want 4; %d fsyncs for it", seq, disk.syncs-before)
		}
		g.reopen()
		if os.Remove(filepath.Join(dir, storeMark)) != nil {
			t.Fatal("no mark")
		}
		time.Sleep(2 * storeMarkDelay)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, storeMark)); err == nil {
			t.Fatal("the mark was written although nothing was synced")
		}
	})
}

// TestStoreMarkLost takes away, in several ways, what was on the disk. The start says what is missing and changes
// nothing. So does check, and after a repair the start goes on from what there is.
func TestStoreMarkLost(t *testing.T) {
	newest := func(dir string) string {
		names, _ := filepath.Glob(filepath.Join(dir, storeJournal, "*.jsonl"))
		return names[len(names)-1]
	}
	end := func(dir string, bytes int64) error {
		info, err := os.Stat(newest(dir))
		if err != nil {
			return err
		}
		return os.Truncate(newest(dir), info.Size()-bytes)
	}
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		intact bool // it is no loss, or nobody can tell
	}{
		{"newest segment missing", func(dir string) error { return os.Remove(newest(dir)) }, false},
		{"newest segment empty", func(dir string) error { return os.Truncate(newest(dir), 0) }, false},
		{"journal gone", func(dir string) error { return os.RemoveAll(filepath.Join(dir, storeJournal)) }, false},
		{"journal and snapshots gone", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, storeJournal)),
				os.Remove(filepath.Join(dir, storeSnapshot)), os.Remove(filepath.Join(dir, storeSnapshot+".1")))
		}, false},
		{"last line torn", func(dir string) error { return end(dir, 5) }, false},
		{"last line damaged", func(dir string) error {
			text, err := os.ReadFile(newest(dir))
			if err == nil {
				text[len(text)-10] ^= 1
				err = os.WriteFile(newest(dir), text, 0o600)
			}
			return err
		}, false},
		{"last line gone", func(dir string) error {
			text, err := os.ReadFile(newest(dir))
			if err != nil {
				return err
			}
			return os.Truncate(newest(dir), int64(bytes.LastIndexByte(text[:len(text)-1], '\n')+1))
		}, false},
		{"mark older", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, storeMark), storeMarkOf(3),
				0o600)
		}, true},
		{"mark torn", func(dir string) error { return os.Truncate(filepath.Join(dir, storeMark), 20) }, true},
		{"mark gone", func(dir string) error { return os.Remove(filepath.Join(dir, storeMark)) }, true},
		{"mark of zeros", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, storeMark), make([]byte, 64),
				0o600)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := storeRigOpen(t, storeOptions{})
			for range 2 {
				g.random(20)
				g.s.snapshot(g.state, nil)
				g.wait()
			}
			g.random(20)
			g.stop()
			want, before := g.state.Seq, checkBytes(t, g.dir)
			if err := test.damage(g.dir); err != nil {
				t.Fatal(err)
			}
			lost := before - checkBytes(t, g.dir)
			s, state, _, err := storeOpen(g.opt)
			if test.intact {
				if err != nil || state.Seq != want {
					t.Fatalf("start: %v", err)
				}
				s.close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("up to event %d", want)) ||
				!strings.Contains(err.Error(), "check --repair") || !strings.Contains(err.Error(), g.dir) {
				t.Fatalf("start: %v, want one that names event %d", err, want)
			}
			if out, _, code := checkCLI(t, g.dir); code != exitUsage {
				t.Fatalf("check: exit code %d, %s", code, out)
			}
			_, stderr, code := checkCLI(t, g.dir, "--repair")
			if code != 0 || !strings.Contains(stderr, "lost: events ") ||
				!strings.Contains(stderr, fmt.Sprintf("to %d,", want)) {
				t.Fatalf("repair: exit code %d, %s", code, stderr)
			}
			if now := checkBytes(t, g.dir) - int64(len(storeMarkOf(1))); now != before-lost {
				t.Errorf("%d bytes of journal and damage are there, %d were", now, before-lost)
			}
			if out, stderr, code := checkCLI(t, g.dir); code != 0 {
				t.Errorf("after the repair: exit code %d, %s%s", code, out, stderr)
			}
			s, state, report, err := storeOpen(g.opt)
			if err != nil || report.Notes != nil || state.Seq >= want {
				t.Fatalf("after the repair: event %d of %d, %v, %v", state.Seq, want, report.Notes, err)
			}
			s.close()
			g.state = state
			g.log = g.log[:state.Seq]
			g.matches(state)
		})
	}
}

// TestStoreMarkUnread: a mark is there and says nothing. A start reports that, goes on, and writes the mark anew if it
// can; check reports it and moves the mark aside.
func TestStoreMarkUnread(t *testing.T) {
	const damaged, unread = "it is damaged, as a power failure may leave it", "it cannot be read"
	at := func(dir string) string { return filepath.Join(dir, storeMark) }
	write := func(text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(at(dir), []byte(text), 0o600) }
	}
	sound := string(storeMarkOf(7))
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		want   string
		anew   bool // a start can write it in its place
	}{
		{"torn", write(sound[:20]), damaged, true},
		{"empty", write(""), damaged, true},
		{"zeros", write(strings.Repeat("\x00", len(sound))), damaged, true},
		{"one bit", write(strings.Replace(sound, "7", "6", 1)), damaged, true},
		{"longer, and of another program", write("synced up to event 7, says another program, at noon\n" + sound),
			damaged, true},
		{"a folder", func(dir string) error { return errors.Join(os.Remove(at(dir)), os.Mkdir(at(dir), 0o700)) },
			unread, false},
		{"a pipe", func(dir string) error { return errors.Join(os.Remove(at(dir)), syscall.Mkfifo(at(dir), 0o600)) },
			unread, false},
		{"a link to nowhere it may go", func(dir string) error {
			return errors.Join(os.Remove(at(dir)),
				os.Symlink("/etc/hostname", at(dir)))
		}, unread, false},
		{"gone", func(dir string) error { return os.Remove(at(dir)) }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := storeRigOpen(t, storeOptions{})
			g.random(20)
			g.stop()
			if err := test.damage(g.dir); err != nil {
				t.Fatal(err)
			}
			out, _, code := checkCLI(t, g.dir)
			if test.want == "" && (code != 0 || out != "") || test.want != "" &&
				(code != exitUsage || !strings.Contains(out, at(g.dir)+": "+test.want)) {
				t.Errorf("check: exit code %d, %s", code, out)
			}
			for i := range 2 {
				s, state, report, err := storeOpen(g.opt)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.close(); err != nil || state.Seq != g.state.Seq {
					t.Fatalf("event %d of %d, %v", state.Seq, g.state.Seq, err)
				}
				if told := strings.Join(report.Notes, "; "); (told == "") != (test.want == "" || i > 0 && test.anew) ||
					told != "" && !strings.HasPrefix(told, at(g.dir)+": "+test.want) {
					t.Errorf("start %d tells %q, want %q", i, told, test.want)
				}
			}
			if test.anew {
				if seq := markRead(t, g.dir); seq != g.state.Seq {
					t.Errorf("the mark says %d, want %d", seq, g.state.Seq)
				}
				return
			}
			if _, stderr, code := checkCLI(t, g.dir, "--repair"); code != 0 ||
				!strings.Contains(stderr, "moved the file synced, which says nothing, to "+g.dir) {
				t.Errorf("repair: exit code %d, %s", code, stderr)
			}
			s, _, report, err := storeOpen(g.opt)
			if err != nil || report.Notes != nil {
				t.Fatalf("after the repair: %v, %v", report.Notes, err)
			}
			s.close()
			if seq := markRead(t, g.dir); seq != g.state.Seq {
				t.Errorf("after the repair the mark says %d, want %d", seq, g.state.Seq)
			}
		})
	}
}
