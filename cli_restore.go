// cli_restore.go: the verb restore, which puts what backup wrote into an empty state folder. All of it is unpacked into
// a folder within that one, read as a start reads it, and brought to the disk. Only then is it moved into place, the
// snapshot last: without the snapshot a start refuses what is there, so that half a state is never taken for a whole.
// cli_restore_read.go reads the archive, cli_restore_told.go says what the archive cannot know.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// restoreFolder is the folder within the state folder into which the archive is unpacked.
const restoreFolder = ".restore"

// restoreOrder is what an archive may hold, in the order in which it is moved into place.
var restoreOrder = []string{backupExtra, "logs", historyFolder, authFolder, storeJournal, storeSnapshot}

// restoreBeside is what a folder may have that still counts as empty: nothing of it is a principal's state.
var restoreBeside = []string{"lock", "lost+found", "secrets", "reserve", authFolder, configSocket, restoreFolder}

// restoreVerb is the entry of `restore`.
func restoreVerb() cliVerb {
	return cliVerb{name: "restore", args: "FILE|-",
		help: "put what backup wrote into an empty state folder, and say what has happened since",
		run:  doRestore,
		more: `
Run it as the user of the principal that will start there, or as root where the folder belongs to that user. A folder
with state is left as it is, and so is any folder if the archive is damaged. Exit codes: 2 the archive is no sound
backup, 5 the folder has state, a process holds it, or there is no room.`,
		flags: func(f *cliFlags) {
			f.setting("state", "the state folder `DIR` to fill; it is made if it is not there")
			f.setting("workflows", "the folder `DIR` of the workflow files, to say which fires were missed")
			f.BoolVar(&f.dryRun, "dry-run", false, "unpack and check it, say what would be there, and leave nothing")
		},
		examples: []string{"cdktr restore --state /var/lib/cdktr /backup/cdktr-2026-02-01.tar.gz",
			"ssh hub cdktr backup - | cdktr restore --dry-run -",
			"cdktr restore --json FILE | jq .missed"}}
}

// restorer is one restore.
type restorer struct {
	c     *cli
	name  string // of the archive, for people
	dir   string // the state folder
	made  string // the topmost folder that had to be made; "" for none
	owner *owner
	now   time.Time

	root  *os.Root // of the state folder
	into  *os.Root // of restoreFolder
	files int
	bytes int64
	owned string // to whom the archive says that the state belonged, as chown takes it; "" for root

	state *State // what a start makes of it
	saved Stamp  // when the newest event was, or the snapshot was saved
	told  restoreTold
}

// doRestore reads the archive as the caller, and writes everything as the owner of the folder.
func doRestore(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "restore", "FILE, or - for standard input")
	if err != nil {
		return err
	}
	r := &restorer{c: c, name: name, now: time.Now()}
	in := c.in
	if name == "-" {
		r.name = "standard input"
		if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return usageError("standard input is a terminal: cdktr restore - < FILE")
		}
	} else {
		f, err := os.Open(name)
		if err != nil {
			return &exitError{code: exitUsage, err: fmt.Errorf("open backup: %w", err)}
		}
		defer f.Close()
		in = f
	}
	if err := r.target(); err != nil {
		return err
	}
	err = r.owner.do(func() error { return r.fill(ctx, in) })
	if (err != nil || c.flags.dryRun) && r.made != "" {
		os.RemoveAll(r.made) // only what this call has made is in it
	}
	if err != nil {
		return err
	}
	r.told.missed(ctx, r)
	return r.report()
}

// target finds the state folder and its owner, and makes the folder where it is not there.
func (r *restorer) target() (err error) {
	r.dir, err = filepath.Abs(r.c.cfg.get("state"))
	if err != nil {
		return fmt.Errorf("find state folder: %w", err)
	}
	if _, err := os.Stat(stateUsual); err == nil && r.c.cfg.values["state"].From == "default" && r.dir != stateUsual {
		return &exitError{code: exitUsage, err: errors.New("which state folder is meant?"),
			hint: fmt.Sprintf("--state %s, where a service keeps it, or --state %s", stateUsual, r.dir)}
	}
	r.owner, err = ownerOf(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		r.made = r.dir
		for above := filepath.Dir(r.dir); above != "/"; above = filepath.Dir(above) {
			if _, err := os.Lstat(above); err == nil {
				break
			}
			r.made = above
		}
		if err = os.MkdirAll(r.dir, 0o700); err == nil {
			r.owner, err = ownerOf(r.dir)
		}
		if err != nil {
			os.RemoveAll(r.made)
		}
	}
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("open state folder %s: %w", r.dir, err)}
	}
	return nil
}

// fill takes hold of the folder, fills it, and lets go of it. If it fails it leaves the folder as it was.
func (r *restorer) fill(ctx context.Context, in io.Reader) (err error) {
	if r.root, err = os.OpenRoot(r.dir); err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("open state folder: %w", err)}
	}
	defer r.root.Close()
	files := storeFilesOf(r.root, false)
	_, before := r.root.Lstat("lock")
	lock, err := files.lock(r.dir, stampOf(r.now))
	if err != nil {
		return &exitError{code: exitRefused, err: err}
	}
	defer func() {
		if errors.Is(before, fs.ErrNotExist) && (err != nil || r.c.flags.dryRun) {
			r.root.Remove("lock")
		}
		storeUnlock(lock)
	}()
	if err := r.empty(); err != nil {
		return err
	}
	if err := r.root.RemoveAll(restoreFolder); err != nil { // of a restore that was killed
		return fmt.Errorf("remove what is left of an earlier restore: %w", err)
	}
	defer r.root.RemoveAll(restoreFolder)
	if err := r.root.Mkdir(restoreFolder, 0o700); err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("unpack into %s: %w", r.dir, err)}
	}
	if r.into, err = r.root.OpenRoot(restoreFolder); err != nil {
		return fmt.Errorf("unpack into %s: %w", r.dir, err)
	}
	defer r.into.Close()
	if err := r.unpack(ctx, in); err != nil {
		return err
	}
	if err := r.look(); err != nil || r.c.flags.dryRun {
		return err
	}
	return r.publish()
}

// empty refuses a folder that has the state of a principal or the reports of an agent.
func (r *restorer) empty() error {
	files := storeFilesOf(r.root, true)
	entries, err := files.list(".")
	if err != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("read state folder: %w", err)}
	}
	var there, known []string
	halfway := false
	for _, e := range entries {
		name := e.Name()
		halfway = halfway || name == restoreFolder
		if slices.Contains(restoreBeside, name) {
			continue
		}
		there = append(there, name)
		if slices.Contains(restoreOrder, name) {
			known = append(known, name)
		}
	}
	switch {
	case len(there) == 0:
		return nil
	case halfway && len(known) == len(there) && !slices.Contains(known, storeSnapshot):
		return &exitError{code: exitRefused,
			err: fmt.Errorf("%s: an earlier restore was killed when it was nearly done: %s", r.dir,
				strings.Join(there, ", ")),
			hint: "if no principal has started there since, remove these and do it again: cd " + r.dir + " && rm -r " +
				strings.Join(there, " ")}
	}
	names := strings.Join(there[:min(len(there), doctorNames)], ", ")
	return &exitError{code: exitRefused,
		err:  fmt.Errorf("%s is not empty: it has %s; nothing was restored", r.dir, names),
		hint: fmt.Sprintf("name another folder with --state, or move it away and keep it: mv %s %s.old", r.dir, r.dir)}
}

// look reads what was unpacked as a start would. A backup has no damage in its journal: that the principal would have
// refused.
func (r *restorer) look() error {
	files := storeFilesOf(r.into, true)
	k := &checker{dir: r.name, files: files, cutAt: -1, losing: checkRuns{}, moved: checkRuns{}}
	if err := k.walk(); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	for _, f := range k.faults {
		kind, _, _ := strings.Cut(strings.TrimPrefix(f.File, r.name+"/"), "/")
		if kind != historyFolder && kind != "logs" {
			return &exitError{code: exitUsage, err: fmt.Errorf("%s: nothing was restored", f.String()),
				hint: "this backup is damaged, or of another version: take another one"}
		}
	}
	_, snapshot := r.into.Lstat(storeSnapshot)
	if len(k.segments) == 0 && snapshot != nil {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s holds no state of a principal: it has neither %s nor %s",
			r.name, storeSnapshot, storeJournal), hint: "it must be a file that cdktr backup wrote"}
	}
	r.state, r.told.damaged = k.state, k.count
	r.told.state(r)
	return nil
}

// publish brings everything to the disk and moves it into place.
func (r *restorer) publish() error {
	folder, err := r.root.Open(".")
	if err != nil {
		return fmt.Errorf("open state folder: %w", err)
	}
	defer folder.Close()
	if err := diskSync(folder); err != nil {
		return restoreNoRoom(fmt.Errorf("bring it to the disk: %w", err))
	}
	if info, err := folder.Stat(); err == nil && info.Mode()&0o077 != 0 {
		if err := folder.Chmod(0o700); err != nil {
			return fmt.Errorf("close %s to others: %w", r.dir, err)
		}
		r.told.add("%s had mode %04o, and has 0700 now", r.dir, info.Mode().Perm())
	}
	if r.told.keys {
		r.root.Remove(authFolder) // an empty one, which may stand there; no folder can be moved onto it
	}
	for _, name := range restoreOrder {
		err := r.root.Rename(filepath.Join(restoreFolder, name), name)
		if err == nil {
			err = folder.Sync() // in this order on the disk, too
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &exitError{code: exitRefused, err: fmt.Errorf("move %s into place: %w", name, err),
				hint: "what stands in " + r.dir + " is not whole: empty it, and do it again"}
		}
	}
	return nil
}

// restoreNoRoom gives an error of the disk its exit code.
func restoreNoRoom(err error) error { return &exitError{code: exitRefused, err: err} }
