// principal_listen_file.go: a listener for files. It looks at a folder when the system says that something happened
// there, and tells of each file that has come or changed, once it has settled.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	listenMaxFiles = 10_000 // files that match and are looked after; of more, those beyond are not heard of
	// between looks where the system does not tell of changes, or the folder is missing
	listenRescan = 10 * time.Second
	listenRelook = time.Hour // between looks where it does
	// after so long without a change a file is taken for closed, whatever was heard of it
	listenStuck = time.Minute
)

// listenFiles is a listener for files. It belongs to the goroutine of runListenFiles.
type listenFiles struct {
	dir     string
	pattern string // of names in dir
	settle  time.Duration
	tell    listenTeller
	waits   *diskWaits
	watch   *watch // nil: the system tells of nothing
	again   chan struct{}

	begins bool        // nothing is known of it: what the first look finds does not count
	folder fs.FileInfo // as the newest look found it; nil: there was none, or not all of it was seen
	full   bool        // more files match than are looked after
	blind  string      // why the system does not tell of changes although it could, "" when it does

	deaf  string                // why some files are not heard of, "" when all are
	known map[string]listenSign // files as they were told of, by full path
	fresh map[string]listenFresh
	open  map[string]bool // files of fresh that are open for writing
}

// listenSign tells one content of a file from another.
type listenSign struct {
	inode    uint64
	size     int64
	modified time.Time
}

// String writes the sign for the journal.
func (s listenSign) String() string {
	return fmt.Sprintf("%d-%d-%d", s.inode, s.size, s.modified.UnixNano())
}

// listenFresh is a file that must settle before it is told of.
type listenFresh struct {
	sign    listenSign
	changed time.Time // by the clock of the file system: also when it was moved there
	quiet   time.Time // when it was last seen to change
	live    bool      // it was seen to come or to change
}

// listenFilesNew makes a listener that has not looked yet. begins: the state knows nothing of it.
func listenFilesNew(on *ListenFile, begins bool, tell listenTeller) *listenFiles {
	dir, pattern := filepath.Split(on.Path)
	settle := time.Duration(on.Settle)
	if settle == 0 {
		settle = listenSettle
	}
	return &listenFiles{dir: filepath.Clean(dir), pattern: pattern, settle: settle, tell: tell, begins: begins,
		waits: diskWaitsNew(),
		again: make(chan struct{}, 1), known: map[string]listenSign{}, fresh: map[string]listenFresh{},
		open: map[string]bool{}}
}

// lookAgain has it tell of all files anew. Any goroutine may call it; it does not wait.
func (f *listenFiles) lookAgain() {
	select {
	case f.again <- struct{}{}:
	default:
	}
}

// wants says whether a file of that path counts. A name that begins with a dot counts only if the pattern does.
func (f *listenFiles) wants(path string) bool {
	name := filepath.Base(path)
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(f.pattern, ".") {
		return false
	}
	ok, _ := filepath.Match(f.pattern, name)
	return ok
}

// runListenFiles follows the folder until ctx ends. It wakes for changes there, when a file may have settled, when
// lookAgain asks for it, and every listenRescan, or listenRelook where the system tells of every change.
func (f *listenFiles) runListenFiles(ctx context.Context) {
	f.listen(ctx)
	defer func() { f.watch.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	rescan := time.Now() // when the whole folder is looked at next
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.again:
			f.forget()
			rescan = time.Now()
		case report, ok := <-f.watch.reports():
			if !ok {
				f.watch.close()
				f.watch, f.blind = nil, "the system no longer tells of changes"
				rescan = time.Now().Add(listenRescan)
				break
			}
			f.waits.turn()
			if f.heard(ctx, f.watch.translate(report)) {
				rescan = time.Now()
			}
		case <-f.waits.back:
			rescan = time.Now()
		case <-timer.C:
		}
		if !time.Now().Before(rescan) {
			rescan = time.Now().Add(f.look(ctx))
		}
		timer.Reset(max(0, min(time.Until(rescan), f.settled(ctx))))
	}
}

// listen has the system tell of changes, if it can.
func (f *listenFiles) listen(ctx context.Context) {
	f.watch, f.blind = nil, ""
	w, err := watchOpen(f.wants)
	switch {
	case err == nil:
		w.beside(ctx, f.waits)
		f.watch = w
	case !errors.Is(err, errWatchNone):
		f.blind = err.Error()
	}
}

// forget has all files told of that the state does not say were dealt with.
func (f *listenFiles) forget() {
	clear(f.known)
	f.folder = nil
}

// heard takes reports of the system in. True when the whole folder must be looked at.
func (f *listenFiles) heard(ctx context.Context, notes []watchNote) (all bool) {
	for _, note := range notes {
		switch {
		case filepath.Dir(note.path) != f.dir:
			all = true
		case !f.wants(note.path):
		case note.busy:
			f.open[note.path] = true
			f.see(ctx, note.path)
		default:
			delete(f.open, note.path)
			f.see(ctx, note.path)
		}
	}
	return all
}

// look looks at the whole folder, and has the system tell of what happens there. It gives when to look again.
func (f *listenFiles) look(ctx context.Context) time.Duration {
	f.waits.turn()
	f.deaf, f.full = "", false
	if f.blind != "" && f.watch == nil {
		f.listen(ctx)
	}
	more, hears, found := true, false, fs.FileInfo(nil)
	for tries := 0; more && tries < 3; tries++ { // what came between the look and the watch is seen by the next look
		more, hears = f.follow(ctx)
		folder, err := diskStat(ctx, f.waits, f.dir, f.dir)
		if f.folder != nil && (err != nil || !os.SameFile(f.folder, folder)) { // another file system was mounted there
			f.forget()
		}
		var list []fs.DirEntry
		if err == nil {
			list, err = diskList(ctx, f.waits, f.dir, f.dir)
		}
		switch {
		case ctx.Err() != nil:
			return listenRelook
		case errors.Is(err, fs.ErrNotExist):
			f.forget()
			if f.begins {
				f.begins = false
				f.tell.began(nil, time.Now())
			}
			f.tell.trouble("there is no folder "+f.dir, false)
			return f.rest(hears)
		case err != nil:
			f.forget()
			f.tell.trouble(err.Error(), false)
			return listenRescan
		}
		gone := maps.Clone(f.known)
		for _, item := range list {
			delete(gone, filepath.Join(f.dir, item.Name()))
		}
		for path := range gone { // the system does not tell of every end
			delete(f.known, path)
		}
		for _, item := range list {
			if f.wants(item.Name()) && !item.IsDir() {
				f.see(ctx, filepath.Join(f.dir, item.Name()))
			}
		}
		found = folder
	}
	if f.begins {
		f.begin()
	}
	if f.folder = found; f.full {
		f.folder = nil
	}
	if f.deaf == "" && f.blind != "" {
		f.deaf = fmt.Sprintf("%s: it looks every %s instead", f.blind, listenRescan)
	}
	f.tell.trouble(f.deaf, false)
	return f.rest(hears)
}

// begin takes all files that were found so far for known: they were there before the listener.
func (f *listenFiles) begin() {
	f.begins = false
	var there []EventSeen
	for path, is := range f.fresh {
		f.known[path] = is.sign
		there = append(there, is.seen(path))
	}
	clear(f.fresh)
	sort.Slice(there, func(i, j int) bool { return there[i].before(&there[j]) })
	first, size := len(there), 0
	for first > 0 && len(there)-first < listenMaxSeen {
		if size += len(there[first-1].Key); size > listenMaxPaths {
			break
		}
		first--
	}
	since := time.Time{}
	if first > 0 { // the others are known by the time alone
		since = there[first-1].At.Time
	}
	f.tell.began(there[first:], since)
}

// seen gives a file as it is now, for the state.
func (is *listenFresh) seen(path string) EventSeen {
	return EventSeen{Key: path, At: stampOf(is.changed), Sign: is.sign.String()}
}

// notHeard notes why a file is not heard of. It tells of the first one only: there may be a million.
func (f *listenFiles) notHeard(why string) {
	if f.deaf == "" {
		f.deaf = why
		f.tell.trouble(why, false)
	}
}

// rest gives how long nothing needs to be looked at.
func (f *listenFiles) rest(hears bool) time.Duration {
	if hears {
		return listenRelook
	}
	return listenRescan
}

// follow watches the folder and the way to it. more: it watches more than before. hears: the system tells of every
// change.
func (f *listenFiles) follow(ctx context.Context) (more, hears bool) {
	if f.watch == nil {
		return false, false
	}
	ways := watchWaysNew(ctx, f.waits)
	ways.addWay(f.dir)
	more, err := f.watch.follow(append(ways.ways, watchPath{path: f.dir}))
	if f.blind = ""; err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.blind = err.Error()
	}
	local, _ := diskWait(ctx, f.waits, f.dir, func() (bool, error) { return diskLocal(f.dir), nil })
	return more, err == nil && local
}

// see looks at one file.
func (f *listenFiles) see(ctx context.Context, path string) {
	info, err := diskStat(ctx, f.waits, f.dir, path)
	if err != nil || !info.Mode().IsRegular() {
		if errors.Is(err, fs.ErrNotExist) {
			delete(f.known, path)
		}
		delete(f.fresh, path)
		delete(f.open, path)
		return
	}
	sign := listenSign{diskInode(info), info.Size(), info.ModTime()}
	was, waits := f.fresh[path]
	before, knew := f.known[path]
	switch {
	case before == sign && !waits:
		delete(f.open, path)
	case waits && was.sign == sign && !f.open[path]:
		was.changed = diskChanged(info)
		f.fresh[path] = was
	case !utf8.ValidString(path): // neither the journal nor a message can have it
		f.notHeard(fmt.Sprintf("the name of %q is not UTF-8: it is not heard of", path))
	case !waits && !knew && len(f.known)+len(f.fresh) >= listenMaxFiles:
		f.full = true
		f.notHeard(fmt.Sprintf("more than %d files match in %s: those beyond are not heard of", listenMaxFiles, f.dir))
	default:
		live := f.folder != nil || knew || waits && (was.live || was.sign != sign)
		f.fresh[path] = listenFresh{sign, diskChanged(info), time.Now(), live}
	}
}

// settled tells of the files that have settled, the oldest change first, and gives when the next may have.
func (f *listenFiles) settled(ctx context.Context) (next time.Duration) {
	next = listenRelook
	var events []listenEvent
	now := time.Now()
	for _, path := range sortedKeys(f.fresh) {
		was := f.fresh[path]
		needs := f.settle
		if f.open[path] {
			needs = max(needs, listenStuck)
		}
		if left := needs - now.Sub(was.quiet); left > 0 {
			next = min(next, left)
			continue
		}
		f.see(ctx, path)
		is, there := f.fresh[path]
		if !there || is.quiet.After(was.quiet) && is.sign != was.sign {
			next = min(next, f.settle)
			continue
		}
		delete(f.fresh, path)
		delete(f.open, path)
		f.known[path] = is.sign
		events = append(events, listenEvent{EventSeen: is.seen(path), live: is.live})
	}
	if len(events) > 0 {
		sort.SliceStable(events, func(i, j int) bool { return events[i].before(&events[j].EventSeen) })
		f.tell.came(events, 0)
	}
	return next
}
