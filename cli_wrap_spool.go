// cli_wrap_spool.go: the folder of wrap, one for each user: the locks of jobs, and the records that no principal was
// told of yet. A record is a file that is named by its number. Records are told in order, one after the other, and
// their numbers let the principal pass over what it was told before: so each counts once, however a wrap ends.

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	wrapMaxSpooled = 1000      // records; the oldest is dropped for a new one
	wrapMaxFile    = 256 << 10 // bytes of one as JSON; a larger file is none of ours
)

// wrapSpool is the folder.
type wrapSpool struct{ dir string }

// wrapSpooled is the content of a record's file.
type wrapSpooled struct {
	Name   string     `json:"name"`
	Record WrapRecord `json:"record"`
}

// wrapSpoolOpen makes the folder, in the user's home, or else in /var/tmp.
func wrapSpoolOpen(getenv func(string) string) (*wrapSpool, error) {
	home := getenv("HOME")
	if u, err := user.Current(); home == "" && err == nil {
		home = u.HomeDir
	}
	s := &wrapSpool{filepath.Join(home, ".local/state/cdktr-wrap")}
	err := os.MkdirAll(s.dir, 0o700)
	if err != nil || syscall.Access(s.dir, 2) != nil {
		s.dir = fmt.Sprintf("/var/tmp/cdktr-wrap-%d", os.Getuid())
		if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	fi, err := os.Lstat(s.dir) // in /var/tmp it may be another's
	if err != nil {
		return nil, err
	}
	if stat, ok := fi.Sys().(*syscall.Stat_t); !fi.IsDir() || ok && int(stat.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is no folder of this user", s.dir)
	}
	return s, nil
}

// open opens a file of the folder to be locked.
func (s *wrapSpool) open(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// lock takes the lock of a job, and waits for it as long as it may; one waits at a time. busy says why it was not
// taken, "" when it was, or when nothing can be locked here.
func (s *wrapSpool) lock(ctx context.Context, host, name string, wait time.Duration) (unlock func(), busy string) {
	file := "lock." + idFolder(host+"."+name) // homes are shared by machines
	f, err := s.open(file)
	if err != nil {
		return func() {}, ""
	}
	if !wrapTry(f) {
		busy = wrapHolder(f)
		next, err := s.open(file + ".next")
		if wait == 0 || err != nil {
			return nil, busy
		}
		defer next.Close()
		if !wrapTry(next) {
			return nil, busy + ", and another one waits for its end"
		}
		got := make(chan error, 1)
		go func() { got <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }() // ends with the lock, or the process
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case err := <-got:
			if err != nil {
				return nil, busy
			}
		case <-timer.C:
			return nil, fmt.Sprintf("%s (waited %s)", busy, Duration(wait))
		case <-ctx.Done():
			return nil, busy + " (stopped while it waited)"
		}
	}
	f.Truncate(0)
	fmt.Fprintf(f, "(process %d, since %s)", os.Getpid(), time.Now().Format(time.DateTime)) // for others to read
	return func() { f.Close() }, ""
}

// put writes a record under the next number.
func (s *wrapSpool) put(name string, rec *WrapRecord) error {
	f, err := s.open("next")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { // nobody holds it for long
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return err
	}
	var number string
	rec.Source, number, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	rec.N, err = strconv.ParseUint(number, 10, 63)
	if err != nil || len(rec.Source) != 16 {
		var source [8]byte
		rand.Read(source[:])
		rec.Source, rec.N = hex.EncodeToString(source[:]), 0
	}
	rec.N++
	body, err := jsonText(wrapSpooled{name, *rec})
	if err != nil {
		return err
	}
	if files := s.files(); len(files) >= wrapMaxSpooled {
		os.Remove(filepath.Join(s.dir, files[0]))
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%019d.json", rec.N))
	if err := os.WriteFile(path+".new", body, 0o600); err != nil {
		return err
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%s %019d\n", rec.Source, rec.N), 0); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// files lists the records, the oldest first.
func (s *wrapSpool) files() (names []string) {
	entries, _ := os.ReadDir(s.dir) // sorted
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	return names
}

// tell tells a principal all records, and gives the run of the last one. One wrap tells at a time; others wait for it a
// little, and else leave theirs to it. each hears of each record, and why it was refused; nil: nobody does.
func (s *wrapSpool) tell(ctx context.Context, c *cli, dial time.Duration, each func(string, error)) (string, error) {
	f, err := s.open("tell")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for i := 0; !wrapTry(f); i++ {
		if i == 20 {
			return "", &exitError{code: exitRefused, err: errors.New("another wrap is at it")}
		}
		select {
		case <-time.After(wrapDial / 20):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	files := s.files()
	if len(files) == 0 {
		return "", nil
	}
	limited, cancel := context.WithTimeout(ctx, dial)
	conn, err := c.dial(limited)
	cancel()
	if err != nil {
		return "", err
	}
	defer conn.close()
	run := ""
	for ; len(files) > 0; files = s.files() { // what came meanwhile too
		for _, name := range files {
			path := filepath.Join(s.dir, name)
			var spooled wrapSpooled
			body, _, err := fileRead(path, wrapMaxFile)
			if err == nil {
				err = json.Unmarshal(body, &spooled)
			}
			var r *Reply
			if err == nil {
				r, err = conn.ask(ctx, Request{Op: "record", Workflow: spooled.Name, Record: &spooled.Record})
				refused, ok := errors.AsType[*protoError](err)
				if err != nil && (!ok || refused.Code != codeInvalid && refused.Code != codeConflict) {
					return run, err // the next wrap asks again
				}
			}
			if each != nil {
				each(spooled.Name, err)
			}
			if err != nil { // nobody will ever take it
				err = os.Rename(path, path+".refused")
			} else {
				run, err = r.Run, os.Remove(path)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return run, err
			}
		}
	}
	return run, nil
}
