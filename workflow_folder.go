// workflow_folder.go: the folder of workflow files. It finds them, reads what changed, keeps the last good version of
// each, and follows changes while the program runs. Other files in the folder do no harm.
//
// A workflow file is a regular file whose name ends in .yml, .yaml or .json and does not begin with a dot. Directories
// are read down to folderMaxDepth; those whose names begin with a dot are skipped. (CDKTR reads hidden files too, but
// editors, git and Kubernetes leave such behind.) Symbolic links to files and directories are followed, also out of the
// folder: a folder of links to a checkout is common, and whoever may write here may run any command anyway. So the
// files are not opened through os.Root. Devices, sockets and pipes are passed over and never opened for long. A file
// that does not answer, as on a network mount that hangs, has a fault, and the others are read (sys_disk.go).

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

// Bounds of a folder. A scan that meets one reads no further there and gives an error that says so; what it did not see
// is not taken for removed.
const (
	folderMaxDepth = 32     // folders within folders; deeper ones are not read, and a warning says so
	folderMaxDirs  = 5_000  // folders in all; the rest is not read, and a warning says so
	folderMaxFiles = 20_000 // files in all, those too that cannot be read; the same
)

// Times of following a folder.
const (
	folderSettle = 100 * time.Millisecond // without an event, before what changed is read
	folderDelay  = 500 * time.Millisecond // from the first event to reading at the latest, however many follow
	folderRescan = 60 * time.Second       // between scans for changes that make no event, as on network file systems
	folderRelook = time.Hour              // the same where every change should make one
	folderRetry  = 5 * time.Second        // between scans while the folder cannot be read, or a file is being written
	folderGrain  = 2 * time.Second        // the coarsest clock of a file system (FAT)
)

// workflowFile is one workflow of the folder as it is now. Two files with the same id are one workflowFile, with the
// faults of both.
type workflowFile struct {
	ID     string
	File   string          // path below the folder, with slashes
	Spec   *Workflow       // the last good version, nil if there was none
	Days   *schedDays      // on which its schedule fires; nil: on all
	Faults []workflowFault // of the file as it is now, warnings too

	Defaults map[string]string // which keys of Spec came from which defaults.yml, see workflowInherit
}

// folderEntry is one file as it was last read.
type folderEntry struct {
	info   fs.FileInfo // of the file that a link leads to
	fresh  bool        // it was so young when it was read that its time need not show a later change
	sum    [sha256.Size]byte
	id     string
	spec   *Workflow // nil when it has faults that are not warnings
	faults []workflowFault
	from   map[string]string // see workflowInherit
	data   []byte            // of a defaults.yml

	days      *schedDays      // on which its schedule fires; nil: on all
	daysFault []workflowFault // what is wrong with its files of days: the last good version stays in force meanwhile
}

// workflowFolder is what is known of a folder. It is owned by one goroutine: whoever calls scan or runWorkflowWatch.
type workflowFolder struct {
	dir   string
	now   func() time.Time
	open  func() (*watch, error)
	local func(path string) bool // whether each change of the file makes an event
	waits *diskWaits             // every look at a file or a folder is one of these
	zone  *time.Location         // of files that name none, for warnings; nil: not known
	quiet time.Duration          // a file younger than that is left for the next scan, which pending asks for

	entries map[string]*folderEntry // by path below dir
	files   map[string]workflowFile // by id, as last given to the caller
	days    map[string]*folderDays  // files of days that a workflow names, by path below dir

	// by full path: files that are being written since then, not read before they are closed
	busy    map[string]time.Time
	pending bool // the last scan left a file for later

	// What a watch must cover: full paths that the last scan went through.
	dirs  []string
	links []string    // links to files: those change elsewhere
	ways  []watchPath // what leads to all of these: if a link or a directory there is replaced, it leads elsewhere

	again chan chan struct{} // from readAgain: a scan is wanted; the channel that comes is closed after the scan

	failed atomic.Pointer[error] // what the last scan could not read
	// a scan has found another fault than the one before, or none any more; nil: nobody asks
	onFault func()
}

// fault says what the last scan could not read, nil when it could read all. Any goroutine may call it.
func (f *workflowFolder) fault() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// newWorkflowFolder makes a folder of which nothing has been read yet. It keeps the whole path: the process's own
// directory may be replaced by another.
func newWorkflowFolder(dir string) *workflowFolder {
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	return &workflowFolder{dir: dir, now: time.Now, open: func() (*watch, error) { return watchOpen(folderNamed) },
		local: diskLocal, waits: diskWaitsNew(), entries: map[string]*folderEntry{}, files: map[string]workflowFile{},
		days: map[string]*folderDays{},
		busy: map[string]time.Time{}, again: make(chan chan struct{})}
}

// scan reads what changed since the last scan; the first scan reads everything. changed and removed are in the order of
// the ids. An error says what could not be read: there, what was known before stays in force, and the rest is given as
// well. With an unchanged folder a scan costs a listing of each directory and a stat of each file. It waits for what
// does not answer as diskWaits says. When ctx ends, scan ends with its cause.
func (f *workflowFolder) scan(ctx context.Context) (changed []workflowFile, removed []string, err error) {
	before := fmt.Sprint(f.fault())
	defer func() {
		f.failed.Store(&err)
		if f.onFault != nil && fmt.Sprint(err) != before {
			f.onFault()
		}
	}()
	f.waits.turn()
	w := &folderWalk{watchWays: watchWaysNew(ctx, f.waits), found: map[string]folderFound{},
		days:   map[string]folderFound{},
		broken: map[string]error{}}
	w.addWay(f.dir)
	err = f.walk(w)
	f.pending, f.dirs, f.links, f.ways = false, w.dirs, w.links, w.ways
	if err != nil {
		return nil, nil, err
	}
	for rel := range f.entries {
		if w.found[rel].info == nil && w.broken[rel] == nil && !w.unseen(rel) {
			delete(f.entries, rel)
			f.defaultsChanged(rel)
		}
	}
	f.spoilDefaults(w)
	for _, rel := range folderOrder(w) {
		err = f.refresh(ctx, rel, w.found[rel])
		if err != nil {
			return nil, nil, err // the next scan, if there is one, gives what was read already
		}
	}
	for _, rel := range sortedKeys(w.broken) {
		if !workflowIsDefaults(rel) {
			f.spoil(rel, w.broken[rel])
		}
	}
	f.settleDays(ctx, w)
	changed, removed = f.publish()
	return changed, removed, errors.Join(w.errs...)
}

// folderWalk is what one walk through the folder found.
type folderWalk struct {
	watchWays                        // what leads to the places of the walk
	found     map[string]folderFound // workflow files
	days      map[string]folderFound // files that may be files of days
	broken    map[string]error       // workflow files that could not be looked at
	dirs      []string               // see workflowFolder
	links     []string               // see workflowFolder
	blind     []string               // directories that could not be read; ".": all that the walk did not come to
	errs      []error
}

// folderFound is a workflow file that a walk has found.
type folderFound struct {
	info  fs.FileInfo // of the file that a link leads to
	place string      // of diskWaits
}

// unseen says whether rel lies where the walk did not look.
func (w *folderWalk) unseen(rel string) bool {
	return slices.ContainsFunc(w.blind, func(dir string) bool { return dir == "." || strings.HasPrefix(rel, dir+"/") })
}

// walk goes through the folder. It gives an error only if the folder cannot be read at all.
func (f *workflowFolder) walk(w *folderWalk) error {
	info, err := diskStat(w.ctx, w.waits, f.dir, f.dir)
	switch {
	case w.ctx.Err() != nil:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read workflow folder %s: it does not exist: create it, or name another in the configuration",
			f.dir)
	case err != nil:
		return fmt.Errorf("read workflow folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("read workflow folder %s: it is not a directory", f.dir)
	}
	list, err := diskList(w.ctx, w.waits, f.dir, f.dir)
	if err != nil {
		return fmt.Errorf("read workflow folder: %w", err)
	}
	w.descend(f.dir, ".", list, []fs.FileInfo{info})
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return nil
}

// descend walks through the directory at dir (rel below the folder), which has that list of entries. above are the
// directories on the way to it, itself included: a link to one of them is a loop.
func (w *folderWalk) descend(dir, rel string, list []fs.DirEntry, above []fs.FileInfo) {
	w.dirs = append(w.dirs, dir)
	for _, item := range list {
		name := item.Name()
		full, below := filepath.Join(dir, name), path.Join(rel, name)
		linked, wanted := item.Type()&fs.ModeSymlink != 0, workflowEnding(name) != ""
		other := !wanted && !daysNamed(name) && !linked && !item.IsDir()
		if other || strings.HasPrefix(name, ".") {
			continue
		}
		if len(w.dirs) > folderMaxDirs || len(w.found)+len(w.days)+len(w.broken) >= folderMaxFiles {
			if !slices.Contains(w.blind, ".") {
				w.fail(".", fmt.Errorf("read workflow folder: stopped at %s: more than %d directories or %d "+
					"workflow files", full, folderMaxDirs, folderMaxFiles))
			}
			return
		}
		place := full
		if linked {
			w.addWay(full)
			place = w.placeOf(full)
		}
		info, err := diskStat(w.ctx, w.waits, place, full)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !(linked && wanted): // gone since the listing, or a link to nowhere
		case err != nil && wanted && !item.IsDir():
			w.broken[below] = err
		case errors.Is(err, syscall.ELOOP):
		case err != nil:
			w.fail(below, fmt.Errorf("read workflow folder: %w", err))
		case info.IsDir() && !workflowIsDefaults(name):
			w.enter(full, below, place, info, above)
		case wanted && !info.Mode().IsRegular():
			w.broken[below] = errFileKind
		case (wanted || daysNamed(name)) && info.Mode().IsRegular():
			if !linked {
				place = fmt.Sprintf("%s %d", full, diskInode(info)) // another file of that name is another place
			}
			if wanted {
				w.found[below] = folderFound{info, place}
			} else {
				w.days[below] = folderFound{info, place}
			}
			if linked {
				w.links = append(w.links, full)
			}
		}
	}
}

// enter reads a directory below the folder. place is where it is for diskWaits.
func (w *folderWalk) enter(dir, rel, place string, info fs.FileInfo, above []fs.FileInfo) {
	if slices.ContainsFunc(above, func(up fs.FileInfo) bool { return os.SameFile(up, info) }) {
		return
	}
	if len(above) > folderMaxDepth {
		w.fail(rel, fmt.Errorf("read workflow folder: %s lies deeper than %d directories", dir, folderMaxDepth))
		return
	}
	list, err := diskList(w.ctx, w.waits, place, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		w.fail(rel, fmt.Errorf("read workflow folder: %w", err))
	default:
		w.descend(dir, rel, list, append(above[:len(above):len(above)], info))
	}
}

func (w *folderWalk) fail(rel string, err error) {
	w.blind = append(w.blind, rel)
	w.errs = append(w.errs, err)
}

// unchanged says whether a file must still be as it was when it was read.
func (e *folderEntry) unchanged(info fs.FileInfo) bool {
	if e.info == nil || e.fresh {
		return false
	}
	return folderSame(e.info, info)
}

// folderSame says whether two looks at a file saw the same of it.
func folderSame(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// folderNamed says whether a change of a file of that name matters.
func folderNamed(name string) bool { return workflowNamed(name) || daysNamed(name) }

// refresh reads the file at rel, if it may have changed since it was last read. It gives an error only when ctx has
// ended.
func (f *workflowFolder) refresh(ctx context.Context, rel string, found folderFound) error {
	now, entry, info := f.now(), f.entries[rel], found.info
	if entry != nil && entry.unchanged(info) {
		return nil
	}
	if since, ok := f.busy[filepath.Join(f.dir, rel)]; ok && now.Sub(since) < folderRetry {
		return nil // when it is closed there is an event; without one the loop scans again after folderRetry
	}
	if age := now.Sub(info.ModTime()); age >= 0 && age < f.quiet {
		f.pending = true
		return nil
	}
	data, after, err := fileReadWithin(ctx, f.waits, found.place, filepath.Join(f.dir, rel), workflowMaxFile)
	var large *fileSizeError
	switch {
	case ctx.Err() != nil:
		return err
	case errors.As(err, &large):
		f.spoil(rel, workflowTooLarge(large.size))
		return nil
	case err != nil:
		f.spoil(rel, err)
		return nil
	case f.quiet > 0 && (after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime())):
		f.pending = true // it is being written right now
		return nil
	}
	sum := sha256.Sum256(data)
	fresh := now.Sub(info.ModTime()) < folderGrain
	if entry != nil && entry.info != nil && entry.sum == sum {
		entry.info, entry.fresh = info, fresh
		return nil
	}
	entry = &folderEntry{info: info, fresh: fresh, sum: sum}
	if workflowIsDefaults(rel) {
		entry.data = data
		f.entries[rel] = entry
		f.defaultsChanged(rel)
		return nil
	}
	entry.id, err = folderID(rel)
	if err != nil {
		entry.faults = []workflowFault{{File: rel, Message: err.Error()}}
	} else {
		entry.spec, entry.faults, entry.from = workflowParseAt(rel, entry.id, data, f.defaultsOf(rel),
			workflowClock{now, f.zone})
	}
	f.entries[rel] = entry
	return nil
}

// spoil notes that the file at rel cannot be read.
func (f *workflowFolder) spoil(rel string, err error) {
	id, _ := folderID(rel)
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	if errors.Is(err, errDiskSilent) {
		err = fmt.Errorf("%w; it is read once it does", err)
	}
	was := f.entries[rel]
	f.entries[rel] = &folderEntry{id: id, faults: []workflowFault{{File: rel,
		Message: fmt.Sprintf("read file: %v", err)}}}
	if was == nil || !slices.Equal(was.faults, f.entries[rel].faults) {
		f.defaultsChanged(rel)
	}
}

// folderID gives the id of the file at rel. If it cannot have one, folderID gives a name to show, and an error.
func folderID(rel string) (string, error) {
	id, err := workflowID(rel)
	if err == nil {
		return id, nil
	}
	return strings.Map(func(c rune) rune {
		if c == '/' {
			return '.'
		}
		if c == '\\' || c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.TrimSuffix(rel, workflowEnding(rel))), err
}

// publish puts the entries together by id, and gives the workflows that are not as they were last given.
func (f *workflowFolder) publish() (changed []workflowFile, removed []string) {
	byID := make(map[string][]string, len(f.entries)) // id to files
	for _, rel := range sortedKeys(f.entries) {
		if id := f.entries[rel].id; !workflowIsDefaults(rel) {
			byID[id] = append(byID[id], rel)
		}
	}
	for _, id := range sortedKeys(f.files) {
		if byID[id] == nil {
			removed = append(removed, id)
			delete(f.files, id)
		}
	}
	now := make(map[string]*workflowFile, len(byID))
	for id, rels := range byID {
		is := f.gather(id, rels, f.files[id])
		now[id] = &is
	}
	checkChildren(now, f.files)
	for _, id := range sortedKeys(now) {
		is := *now[id]
		was, known := f.files[id]
		same := is.File == was.File && is.Spec == was.Spec && is.Days == was.Days && slices.Equal(is.Faults, was.Faults)
		if !known || !same {
			f.files[id] = is
			changed = append(changed, is)
		}
	}
	return changed, removed
}

// gather makes the workflowFile of the files that have one id. While there are two of them, or one with faults, the
// last good version stays in force.
func (f *workflowFolder) gather(id string, rels []string, was workflowFile) workflowFile {
	is := workflowFile{ID: id, File: rels[0], Spec: was.Spec, Days: was.Days, Defaults: was.Defaults}
	if len(rels) == 1 {
		entry := f.entries[rels[0]]
		is.Faults = entry.faults
		if entry.daysFault != nil {
			is.Faults = slices.Concat(entry.faults, entry.daysFault)
		}
		if entry.spec != nil && entry.daysFault == nil {
			is.Spec, is.Days, is.Defaults = entry.spec, entry.days, entry.from
		}
		return is
	}
	if slices.Contains(rels, was.File) {
		is.File = was.File
	}
	for i, rel := range rels {
		others := slices.Concat(rels[:i], rels[i+1:])
		is.Faults = append(is.Faults, workflowFault{File: rel,
			Message: fmt.Sprintf("%s has the same id %q: rename one of them", strings.Join(others, " and "), id)})
		is.Faults = append(is.Faults, f.entries[rel].faults...)
	}
	return is
}

// placeOf gives the place, for diskWaits, to which a link leads: the directory of what it names. A folder may be full
// of links to a mount that hangs, and one of them is enough to find that out.
func (w *folderWalk) placeOf(link string) string {
	_, to, err := w.look(link)
	if err != nil || to == "" {
		return link
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(link), to)
	}
	return filepath.Dir(to)
}

// runWorkflowWatch keeps the caller up to date with the folder; it returns when ctx ends. Meanwhile it owns folder, and
// calls both functions from its own goroutine: onChange with what a scan has found, if anything, and onWarning with
// what keeps it from seeing changes at once or at all, once for each new text. It begins with a scan, so that it sees
// what changed since the caller's own. It wakes for changes of the files (and reads once they have settled for
// folderSettle), when something answers again that did not, when readAgain asks for it, and every folderRescan, or
// folderRelook.
func runWorkflowWatch(ctx context.Context, folder *workflowFolder, onChange func(changed []workflowFile,
	removed []string), onWarning func(error)) {
	loop := &folderLoop{folder: folder, onChange: onChange, onWarning: onWarning}
	folder.quiet = folderSettle
	watch, err := folder.open()
	watch.beside(ctx, folder.waits)
	if err != nil {
		loop.warn(&loop.warnedWatch, fmt.Errorf("watch workflow folder: %w: changes are seen within %s", err,
			folderRescan))
	}
	loop.watch = watch
	defer func() { loop.watch.close() }()
	loop.timer = time.NewTimer(0)
	defer loop.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case done := <-folder.again:
			loop.rescanNow(ctx)
			close(done)
		case report, ok := <-loop.watch.reports():
			if !ok {
				loop.warn(&loop.warnedWatch, fmt.Errorf("watch workflow folder: the events ended: changes are seen "+
					"within %s", folderRescan))
				loop.watch.close()
				loop.watch = nil
				continue
			}
			loop.take(loop.watch.translate(report))
		case <-folder.waits.back:
			loop.rescan(ctx)
		case <-loop.timer.C:
			loop.rescan(ctx)
		}
	}
}

// folderLoop is the state of runWorkflowWatch.
type folderLoop struct {
	folder    *workflowFolder
	watch     *watch // nil: no events, only rescans
	onChange  func(changed []workflowFile, removed []string)
	onWarning func(error)

	// What onWarning was last told, by the source.
	warnedScan  string
	warnedWatch string

	timer *time.Timer
	due   time.Time // when the timer fires
	first time.Time // when the first event since the last scan came; zero: there was none
}

// warn tells onWarning of err unless it was told the same last. Without an error it clears last.
func (l *folderLoop) warn(last *string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != *last {
		l.onWarning(err)
	}
	*last = text
}

// wake sets the timer.
func (l *folderLoop) wake(now time.Time, after time.Duration) {
	l.due = now.Add(after)
	l.timer.Reset(after)
}

// take notes what happened and sets the timer for the scan that it asks for.
func (l *folderLoop) take(notes []watchNote) {
	now, settle, busy := l.folder.now(), false, false
	for _, note := range notes {
		switch {
		case note.busy:
			l.folder.busy[note.path] = now
			busy = true
		case note.path == "":
			clear(l.folder.busy)
			settle = true
		default:
			delete(l.folder.busy, note.path)
			settle = true
		}
	}
	switch {
	case settle:
		if l.first.IsZero() {
			l.first = now
		}
		l.wake(now, max(0, min(folderSettle, folderDelay-now.Sub(l.first))))
	case busy && l.due.Sub(now) > folderRetry: // in case there is no event when the file is closed
		l.wake(now, folderRetry)
	}
}

// rescanNow scans because somebody has asked for it: files count as they are, also those that were just written.
func (l *folderLoop) rescanNow(ctx context.Context) {
	clear(l.folder.busy)
	quiet := l.folder.quiet
	l.folder.quiet = 0
	l.rescan(ctx)
	l.folder.quiet = quiet
}

// readAgain has runWorkflowWatch, which must run, scan the folder at once. It returns true when that is done and
// onChange was called with what was found, and false when ctx ended before.
func (f *workflowFolder) readAgain(ctx context.Context) bool {
	done := make(chan struct{})
	select {
	case f.again <- done:
	case <-ctx.Done():
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// hearsAll says whether each change of what the last scan went through makes an event.
func (f *workflowFolder) hearsAll(ctx context.Context) bool {
	paths, local := slices.Concat(f.dirs, f.links), f.local
	all, err := diskWait(ctx, f.waits, "file systems of "+f.dir, func() (bool, error) {
		return !slices.ContainsFunc(paths, func(path string) bool { return !local(path) }), nil
	})
	return all && err == nil
}

// rescan scans, reports, brings the watch up to date and sets the timer for the next time.
func (l *folderLoop) rescan(ctx context.Context) {
	l.first = time.Time{}
	now, next := l.folder.now(), folderRescan
	for name, since := range l.folder.busy {
		if now.Sub(since) >= folderRetry {
			delete(l.folder.busy, name)
		}
	}
	changed, removed, err := l.folder.scan(ctx)
	if ctx.Err() != nil {
		return
	}
	l.warn(&l.warnedScan, err)
	if len(l.folder.dirs) == 0 || len(l.folder.busy) > 0 {
		next = folderRetry
	}
	if l.folder.pending {
		next = folderSettle
	}
	if len(changed)+len(removed) > 0 {
		l.onChange(changed, removed)
	}
	if l.watch != nil {
		paths := slices.Clone(l.folder.ways)
		for _, path := range slices.Concat(l.folder.dirs, l.folder.links) {
			paths = append(paths, watchPath{path: path})
		}
		more, err := l.watch.follow(paths)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = fmt.Errorf("watch workflow folder: %w: some changes are seen only within %s", err, folderRescan)
		}
		l.warn(&l.warnedWatch, err)
		if err == nil && next == folderRescan && l.folder.hearsAll(ctx) {
			next = folderRelook
		}
		if more { // there are new watches: what changed before they were there made no event
			next = min(next, folderSettle)
		}
	}
	l.wake(l.folder.now(), next)
}
