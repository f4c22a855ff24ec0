// principal_retain.go: what becomes of old output and old runs. Output is removed a day's file at a time and history a
// month's, the oldest first: when they are older than is kept, or when all files together are larger than is kept. The
// history of a workflow that has many more runs than are kept is cut at its front. The newest file of a workflow always
// stays, and so does the output of active runs. One goroutine does all this beside the loop.

package main

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"
)

const (
	retainEvery = time.Hour       // between two looks at all files, at most
	retainAgain = 5 * time.Second // between two tries to make room while the disk is full
	retainLogs  = "logs"
)

// retainLimits says how much is kept. Zero means no bound.
type retainLimits struct {
	Age   time.Duration
	Runs  int   // runs of each workflow in the history; half as many more may be there for a while
	Bytes int64 // bytes of all output and history
}

// retention removes what is too old or too much. Its fields belong to the goroutine of runRetain, but for those marked
// otherwise.
type retention struct {
	*principalLoop
	queue   *queue
	catalog *catalog

	limits retainLimits
	seen   map[string]int64 // history folder -> size of its newest file when its runs were counted
	wake   chan bool        // holds a word to look now, true when the disk is full; any goroutine's

	// The loop's:

	kept  retainKept // runs that have ended and are in memory
	trims []string   // folders of history to be cut after the next snapshot
}

// retentionNew makes a retention that has looked at nothing yet.
func retentionNew(loop *principalLoop, queue *queue, catalog *catalog) *retention {
	return &retention{principalLoop: loop, queue: queue, catalog: catalog, limits: loop.cfg.Retain,
		seen: map[string]int64{}, wake: make(chan bool, 1),
		kept: retainKept{runs: map[string]int64{}, most: retainMaxKept}}
}

// retainFile is a file that may be removed.
type retainFile struct {
	name string
	last time.Time // nothing in it is newer, by a day
	size int64
	keep bool
}

// kick has the files looked at soon; with full, as much is removed as makes a difference. Any goroutine may call it.
func (r *retention) kick(full bool) {
	if full {
		select { // the word that waits may be false
		case <-r.wake:
		default:
		}
	}
	select {
	case r.wake <- full:
	default:
	}
}

// runRetain removes what is too old or too much, and looks after the index of the history. It wakes once an hour, after
// a snapshot, and when the disk is full; then again and again for as long as the disk is full and there is something to
// remove. After it has made room it does not wake for a while, until it shows whether that was enough. It ends with the
// principal.
func (r *retention) runRetain() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	full, wake := false, r.wake
	for {
		select {
		case full = <-wake:
		case <-timer.C:
			wake = r.wake
		case <-r.ended:
			return
		}
		removed, next := int64(0), retainEvery
		if r.limits != (retainLimits{}) {
			removed = r.sweep(full)
		}
		if full {
			wake, next = nil, retainAgain
		} else {
			r.index()
		}
		full = full && removed > 0 && errors.Is(r.store.failing(), syscall.ENOSPC)
		timer.Reset(next)
	}
}

// retainHeld says what must stay, and for how long.
type retainHeld struct {
	days map[string]string        // log folder -> the first day of an active run's output
	keep map[string]time.Duration // log folder -> log.keep of the workflow
}

// held asks the loop what must stay. False when the loop is over.
func (r *retention) held() (retainHeld, bool) {
	return principalAsk(r, func() retainHeld {
		h := retainHeld{map[string]string{}, map[string]time.Duration{}}
		for workflow, ids := range r.queue.active {
			for _, id := range ids {
				if run := r.state.Runs[id]; run.LogDay != "" {
					name := idFolder(workflow)
					h.days[name] = min(orDefault(h.days[name], run.LogDay), run.LogDay)
				}
			}
		}
		for id, f := range r.catalog.files {
			if f.Spec != nil && f.Spec.LogKeep > 0 {
				h.keep[idFolder(id)] = time.Duration(f.Spec.LogKeep)
			}
		}
		return h
	})
}

// sweep looks at every file, and gives how many bytes it removed. With full it removes a quarter of what is there.
func (r *retention) sweep(full bool) (removed int64) {
	held, ok := r.held()
	if !ok {
		return 0
	}
	now := r.cfg.now()
	var total int64
	days := map[time.Time]int64{} // bytes of what may go
	r.each(held, func(f retainFile, age time.Duration) {
		old := age > 0 && now.Sub(f.last) > age
		if old && !f.keep && r.remove(f) {
			removed += f.size
			return
		}
		total += f.size
		if !f.keep {
			days[f.last] += f.size
		}
	})
	bound := r.limits.Bytes
	if full && (bound == 0 || bound > total*3/4) {
		bound = total * 3 / 4
	}
	for bound > 0 && total > bound && len(days) > 0 {
		var oldest time.Time
		for day := range days {
			if oldest.IsZero() || day.Before(oldest) {
				oldest = day
			}
		}
		delete(days, oldest)
		r.each(held, func(f retainFile, _ time.Duration) {
			goes := !f.keep && total > bound && f.last.Equal(oldest)
			if goes && r.remove(f) {
				removed, total = removed+f.size, total-f.size
			}
		})
	}
	r.trim()
	if removed > 0 {
		r.cfg.Log.Info("removed old output and history", "bytes", removed, "kept", total)
	}
	return removed
}

// index has the index of the history made anew if that is due.
func (r *retention) index() {
	err := r.store.indexKeep(func() bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
	if err != nil && !errors.Is(err, errHistoryOver) {
		r.cfg.Log.Warn("finding old runs is slow until the next try", "cause", err)
	}
}

// remove takes one file away.
func (r *retention) remove(f retainFile) bool {
	err := r.store.files.root.Remove(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Log.Warn("remove old file", "cause", err)
	}
	return err == nil
}

// each hands fn every file of output and history, folder by folder and the oldest first, and how long it is kept. It
// passes over what cannot be read, for that cannot be removed either. It ends early when the principal does.
func (r *retention) each(held retainHeld, fn func(f retainFile, age time.Duration)) {
	files := &r.store.files
	for _, kind := range []string{retainLogs, historyFolder} {
		folders, _ := files.list(kind)
		for _, folder := range folders {
			entries, _ := files.list(path.Join(kind, folder.Name()))
			newest, age := "", r.limits.Age
			for _, e := range entries {
				if _, ok := retainLast(e.Name()); ok {
					newest = e.Name()
				}
			}
			keep := held.keep[folder.Name()]
			if keep > 0 && kind == retainLogs {
				age = keep
			}
			for _, e := range entries {
				select {
				case <-r.ended:
					return
				default:
				}
				last, ok := retainLast(e.Name())
				info, err := e.Info()
				if !ok || err != nil {
					continue
				}
				day := held.days[folder.Name()]
				keep := e.Name() == newest || kind == retainLogs && day != "" && e.Name() >= day
				fn(retainFile{name: path.Join(kind, folder.Name(), e.Name()), last: last, size: info.Size(),
					keep: keep}, age)
			}
		}
	}
}

// retainLast gives the end of the day or month that a file is named by.
func retainLast(name string) (time.Time, bool) {
	text, ok := strings.CutSuffix(name, logEnding)
	if !ok {
		return time.Time{}, false
	}
	if day, err := time.Parse(logDayLayout, text); err == nil {
		return day.AddDate(0, 0, 1), true
	}
	month, err := time.Parse("2006-01", text)
	return month.AddDate(0, 1, 0), err == nil
}

// trim finds the workflows that have half as many runs again as are kept, and has the store cut their history. It reads
// only folders that have grown since it looked last.
func (r *retention) trim() {
	if r.limits.Runs <= 0 {
		return
	}
	folders, _ := r.store.files.list(historyFolder)
	var long []string
	for _, e := range folders {
		folder := path.Join(historyFolder, e.Name())
		months, err := r.store.historyMonths(folder)
		if err != nil || len(months) == 0 {
			continue
		}
		info, err := r.store.files.root.Stat(path.Join(folder, months[len(months)-1]+logEnding))
		if err != nil || info.Size() == r.seen[folder] {
			continue
		}
		r.seen[folder] = info.Size()
		if n := r.limits.Runs; r.store.historyLonger(folder, n+n/2) {
			delete(r.seen, folder)
			long = append(long, folder)
		}
	}
	if len(long) > 0 {
		r.call(func() { r.trims = long }) // the turn's commit does it
	}
}

// Runs that have ended and are kept in memory, to be listed, shown and retried without a look into the history. The
// state bounds their number, and archive their memory. It drops a run by an event, run.archived, so that a journal is
// replayed to the same state whatever the bound is.

const (
	// bytes of memory that ended runs take, about; the oldest of more are only in the history
	retainMaxKept = 32 << 20
	// newest ended runs that are kept whatever memory they take: who waits for one is still to be told how it ended
	retainMinKept = 16
)

// retainKept is about how much memory each ended run takes, and all of them together. It belongs to the loop.
type retainKept struct {
	runs map[string]int64
	all  int64
	most int64 // retainMaxKept, but in tests
}

// add counts a run that has ended.
func (k *retainKept) add(r *Run) {
	k.remove(r.ID)
	k.runs[r.ID] = retainKeptMem(r)
	k.all += k.runs[r.ID]
}

// remove counts a run no more: it is active again, or is not in memory.
func (k *retainKept) remove(id string) {
	k.all -= k.runs[id]
	delete(k.runs, id)
}

// retainKeptMem gives about how much memory a run takes that has ended.
func retainKeptMem(r *Run) int64 {
	const attempt, output = 100, 64 // bytes that each takes beside its texts
	size := queueMemOf(r) + int64(len(r.Reason))
	for i := range r.Tasks {
		t := &r.Tasks[i]
		size += int64(len(t.Reason) + len(t.Cancelling))
		for j := range t.Earlier {
			size += int64(attempt + len(t.Earlier[j].Reason))
		}
		for name, value := range t.Outputs {
			size += int64(output + len(name) + len(value))
		}
	}
	return size
}

// observe counts the memory of runs that have ended.
func (r *retention) observe(c change) {
	if c.moved() {
		if runActive(c.run.State) {
			r.kept.remove(c.run.ID)
		} else {
			r.kept.add(c.run)
		}
	}
	r.kept.remove(c.forgotten)
}

// archive drops the oldest ended runs from memory while all of them take too much. They are on their way into the
// history already. Only on the loop.
func (r *retention) archive() {
	for r.kept.all > r.kept.most && len(r.state.Finished) > retainMinKept {
		oldest := r.state.Runs[r.state.Finished[0]]
		if r.emit(&Event{Kind: evArchived, Run: oldest.ID, Workflow: oldest.Workflow}) != nil {
			return
		}
	}
}
