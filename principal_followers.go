// principal_followers.go: who is woken by what. A follower is a goroutine that sleeps until the loop has touched what
// it follows: a run, the lists of workflows, runs and agents (principal_news.go), or the journal. What it sends then is
// in principal_follow.go and principal_watch.go; SUB peers, who are sent everything as it happens, are in
// principal_publish.go.

package main

import "sync"

// followers is everybody who is told what happens. It belongs to the principal's loop, but for ofJournal.
type followers struct {
	*principalLoop
	// tells the agent of a run that somebody follows it, or that nobody does any more; set once
	tellAgent func(r *Run, over bool)

	ofRuns      map[*follower]bool
	live        map[string]*liveRun // active runs of which lines without an end are followed
	touched     map[string]bool     // runs that this turn has changed
	news        *news
	subscribers map[*subscriber]bool

	journalMu sync.Mutex // guards ofJournal, which the store's goroutine wakes
	ofJournal map[*follower]bool
}

// followersNew makes followers of which there are none yet.
func followersNew(loop *principalLoop, queue *queue, catalog *catalog) *followers {
	return &followers{principalLoop: loop, ofRuns: map[*follower]bool{},
		live: map[string]*liveRun{}, touched: map[string]bool{}, news: newsNew(loop, queue, catalog),
		subscribers: map[*subscriber]bool{}, ofJournal: map[*follower]bool{}}
}

// observe wakes the followers of the run at the end of the turn, and marks rows for those of the lists.
func (fs *followers) observe(c change) {
	if c.run != nil {
		fs.touched[c.run.ID] = true
	}
	fs.news.observe(c.event, c.before, c.agent)
}

// follower is somebody who follows a run or the journal: a goroutine sleeps until ch holds a token, which it does when
// what is followed has changed.
type follower struct {
	run   string // the run, or the batch, that is followed; "": the journal is
	ch    chan struct{}
	over  chan struct{}      // closed when the run has ended
	ended bool               // over is closed; the loop's
	live  bool               // it is woken for lines without an end too; the loop's
	shown map[string]LogLine // lines without an end that were sent; its goroutine's
}

// wake leaves a token, unless there is one already.
func (w *follower) wake() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// follow adds a follower of a run. Only on the loop.
func (fs *followers) follow(run string) *follower {
	w := &follower{run: run, ch: make(chan struct{}, 1), over: make(chan struct{}), shown: map[string]LogLine{}}
	fs.ofRuns[w] = true
	return w
}

// followJournal adds a follower of the journal, which the store's goroutine wakes.
func (fs *followers) followJournal() *follower {
	w := &follower{ch: make(chan struct{}, 1)}
	fs.journalMu.Lock()
	defer fs.journalMu.Unlock()
	fs.ofJournal[w] = true
	return w
}

// wakeJournal is called by the store when the journal has grown.
func (fs *followers) wakeJournal() {
	fs.journalMu.Lock()
	defer fs.journalMu.Unlock()
	for w := range fs.ofJournal {
		w.wake()
	}
}

// unfollow takes a follower off. Any goroutine may call it.
func (fs *followers) unfollow(w *follower) {
	if w.run != "" {
		fs.call(func() {
			delete(fs.ofRuns, w)
			fs.unfollowLive(w)
		})
		return
	}
	fs.journalMu.Lock()
	defer fs.journalMu.Unlock()
	delete(fs.ofJournal, w)
}

// wakeTouched wakes the followers of the runs that this turn has changed, and those of the lists.
func (fs *followers) wakeTouched() {
	fs.news.wakeAll()
	if len(fs.touched) == 0 {
		return
	}
	for w := range fs.ofRuns {
		if fs.touched[w.run] {
			r := fs.state.Runs[w.run]
			if !w.ended && (r == nil || !runActive(r.State)) && !isBatchID(w.run) {
				w.ended = true
				close(w.over)
			}
			w.wake()
		}
	}
	clear(fs.touched)
}

// followMaxLive is how many bytes of a line without an end are shown. A longer one is not shown at all.
const followMaxLive = 4 << 10

// liveRun is what is shown of an active run beside its stored output. It belongs to the loop.
type liveRun struct {
	followers int
	lines     map[string]LogLine // by liveKey: at most two for each task
}

// liveKey names a task's stream of output.
func liveKey(l *LogLine) string { return l.Stream + l.Task }

// followLive has a follower woken for lines without an end too. Only on the loop.
func (fs *followers) followLive(w *follower) {
	r := fs.state.Runs[w.run]
	if r == nil || !runActive(r.State) {
		return
	}
	l := fs.live[w.run]
	if l == nil {
		l = &liveRun{lines: map[string]LogLine{}}
		fs.live[w.run] = l
		fs.tellAgent(r, false)
	}
	w.live = true
	l.followers++
}

// unfollowLive undoes followLive. The agent is told when this was the last follower of the run. Only on the loop.
func (fs *followers) unfollowLive(w *follower) {
	l := fs.live[w.run]
	if !w.live || l == nil {
		return
	}
	w.live = false
	l.followers--
	if l.followers > 0 {
		return
	}
	delete(fs.live, w.run)
	if r := fs.state.Runs[w.run]; r != nil {
		fs.tellAgent(r, true)
	}
}

// takeLive takes in lines without an end, also those of parts. Only on the loop.
func (fs *followers) takeLive(link *agentLink, m *agentMsg, parts *parts) {
	for i := range m.Items {
		item := &m.Items[i]
		for j := range item.Lines {
			line := &item.Lines[j]
			part := parts.at(link, line.Run)
			if part != nil {
				line.Run, line.Task = part.run.ID, part.task
			}
			r, l := fs.state.Runs[line.Run], fs.live[line.Run]
			fits := (line.Stream == "o" || line.Stream == "e") && len(line.Text) <= followMaxLive
			if l == nil || !fits || part == nil && !link.has(r, item.Lease) || r.task(line.Task) == nil {
				continue
			}
			line.N = 0
			protoLine(line)
			l.lines[liveKey(line)] = *line
			fs.touched[r.ID] = true
		}
	}
}

// endLive drops the line without an end of a task's stream: it has ended, and is stored now. Only on the loop.
func (fs *followers) endLive(run, stream, task string) {
	if l := fs.live[run]; l != nil {
		delete(l.lines, stream+task)
	}
}
