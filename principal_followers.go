// principal_followers.go: who is woken by what. A follower is a goroutine that sleeps until the loop has touched what
// it follows: a run, the lists of workflows, runs and agents, or the journal. What it sends then is in
// principal_follow.go and principal_watch.go; SUB peers, who are sent everything as it happens, are in
// principal_publish.go.

package main

import (
	"maps"
	"slices"
	"sync"
)

// followers is everybody who is told what happens. It belongs to the principal's loop, but for ofJournal.
type followers struct {
	*principalLoop
	queue   *queue
	catalog *catalog
	// tells the agent of a run that somebody follows it, or that nobody does any more; set once
	tellAgent func(r *Run, over bool)

	ofRuns      map[*follower]bool
	live        map[string]*liveRun // active runs of which lines without an end are followed
	touched     map[string]bool     // runs that this turn has changed
	news        map[*newsFollower]bool
	subscribers map[*subscriber]bool

	journalMu sync.Mutex // guards ofJournal, which the store's goroutine wakes
	ofJournal map[*follower]bool
}

// followersNew makes followers of which there are none yet.
func followersNew(loop *principalLoop, queue *queue, catalog *catalog) *followers {
	return &followers{principalLoop: loop, queue: queue, catalog: catalog, ofRuns: map[*follower]bool{},
		live: map[string]*liveRun{}, touched: map[string]bool{}, news: map[*newsFollower]bool{},
		subscribers: map[*subscriber]bool{}, ofJournal: map[*follower]bool{}}
}

// observe wakes the followers of the run at the end of the turn, and marks rows for those of the lists.
func (fs *followers) observe(c change) {
	if c.run != nil {
		fs.touched[c.run.ID] = true
	}
	fs.newsOf(c.event, c.before, c.agent)
}

// follower is somebody who follows a run or the journal: a goroutine sleeps until ch holds a token, which it does when
// what is followed has changed.
type follower struct {
	run   string // the run that is followed; "": the journal is
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

// wakeTouched wakes the followers of the runs that this turn has changed.
func (fs *followers) wakeTouched() {
	if len(fs.touched) == 0 {
		return
	}
	for w := range fs.ofRuns {
		if fs.touched[w.run] {
			r := fs.state.Runs[w.run]
			if !w.ended && (r == nil || !runActive(r.State)) {
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

// takeLive takes in lines without an end. Only on the loop.
func (fs *followers) takeLive(link *agentLink, m *agentMsg) {
	for i := range m.Items {
		item := &m.Items[i]
		for j := range item.Lines {
			line := &item.Lines[j]
			r, l := fs.state.Runs[line.Run], fs.live[line.Run]
			fits := (line.Stream == "o" || line.Stream == "e") && len(line.Text) <= followMaxLive
			if l == nil || !fits || !link.has(r, item.Lease) || r.task(line.Task) == nil {
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

// mayFollow says why a peer cannot follow the lists now, nil when it can. Only on the loop.
func (fs *followers) mayFollow(c *opCall) *protoError {
	party, its, lookers := c.conn.Peer().Party, 0, 0
	for w := range fs.news {
		if party != "" && w.conn.Peer().Party == party {
			its++
		}
		if !w.grant.operates() {
			lookers++
		}
	}
	switch {
	case len(fs.news) >= newsMax:
		return refuse(codeBusy, "%d clients watch already", newsMax)
	case its >= sharesNews:
		return refuse(codeBusy, "%s watches %d times already", party, its)
	case !c.grant.operates() && lookers >= newsMax-sharesNewsKept:
		return refuse(codeBusy, "%d clients watch already, and the rest is for operators", lookers)
	}
	return nil
}

// newsNames is rows of the lists by their names, each in the order in which they are to be sent.
type newsNames struct{ workflows, runs, agents []string }

// empty says whether there are no names.
func (n *newsNames) empty() bool { return len(n.workflows)+len(n.runs)+len(n.agents) == 0 }

// newsFollower is one follower of the lists. Its sets are the rows that have changed since it took them last; they
// belong to the loop.
type newsFollower struct {
	follower
	conn      wireConn
	grant     *authGrant
	workflows map[string]bool
	runs      map[string]bool
	agents    map[string]bool
	attention int // the number of items that it was told last; the loop's
}

// newsAll names every row that a new follower is shown: all workflows, active runs and agents, and the newest n
// finished runs.
func (fs *followers) newsAll(w *newsFollower, n int) *newsNames {
	all := &newsNames{}
	for id := range fs.catalog.files {
		if w.grant.sees(id) {
			all.workflows = append(all.workflows, id)
		}
	}
	for workflow, ids := range fs.queue.active {
		if w.grant.sees(workflow) {
			all.runs = append(all.runs, ids...)
		}
	}
	for i := len(fs.state.Finished) - 1; i >= 0 && n > 0; i-- {
		if id := fs.state.Finished[i]; w.grant.sees(fs.state.Runs[id].Workflow) {
			all.runs = append(all.runs, id)
			n--
		}
	}
	if w.seesAgents() {
		for name := range fs.state.Agents {
			all.agents = append(all.agents, name)
		}
	}
	return all
}

// seesAgents says whether the peer may see agents, which belong to no workflow.
func (w *newsFollower) seesAgents() bool { return w.grant.may(protoOpOf("agents")) }

// take gives the rows that were marked, and begins new sets. Only on the loop.
func (w *newsFollower) take() *newsNames {
	names := &newsNames{slices.Collect(maps.Keys(w.workflows)), slices.Collect(maps.Keys(w.runs)),
		slices.Collect(maps.Keys(w.agents))}
	w.workflows, w.runs, w.agents = map[string]bool{}, map[string]bool{}, map[string]bool{}
	return names
}

// mark notes a changed row in one of the sets. A reader with too many marks is cut off; it is shown the whole lists
// when it comes back.
func (w *newsFollower) mark(set map[string]bool, name string) {
	set[name] = true
	if len(set) > newsMaxDirty {
		w.conn.Cut(nil)
		clear(set)
	}
	w.wake()
}

// newsOf marks what an event has changed. before and agent are the state and the agent that its run had. Only on the
// loop.
func (fs *followers) newsOf(e *Event, before, agent string) {
	if len(fs.news) == 0 || e.Kind == evVersion {
		return
	}
	switch e.Kind {
	case evAcked, evAckOver:
		for w := range fs.news {
			w.wake()
		}
		return
	case evPaused, evResumed:
		fs.newsWorkflow(e.Workflow)
		return
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot:
		fs.newsAgent(e.Agent)
		fs.newsRuns(fs.queue.runs) // they may wait for something else now
		return
	case evTaskStarted, evTaskRetrying, evTaskFinished, evTaskStopping:
	case evLeft:
		fs.newsWorkflow(e.Workflow)
		fs.newsRuns(fs.queue.runs) // they may too
	default:
		fs.newsWorkflow(e.Workflow)
	}
	r := fs.state.Runs[e.Run]
	if r == nil {
		return
	}
	fs.newsRuns([]*Run{r})
	if r.State == before {
		return
	}
	fs.newsAgent(agent)
	fs.newsAgent(r.Agent)
	siblings := fs.queue.active[r.Workflow]
	for _, id := range siblings[:min(len(siblings), newsSiblings)] {
		if s := fs.state.Runs[id]; s.State == runQueued {
			fs.newsRuns([]*Run{s})
		}
	}
}

// newsWorkflow marks a workflow, "" all of them.
func (fs *followers) newsWorkflow(id string) {
	for w := range fs.news {
		if id != "" && w.grant.sees(id) {
			w.mark(w.workflows, id)
		}
		if id == "" {
			for id := range fs.catalog.files {
				if w.grant.sees(id) {
					w.mark(w.workflows, id)
				}
			}
		}
	}
}

// newsRuns marks runs.
func (fs *followers) newsRuns(runs []*Run) {
	for w := range fs.news {
		for _, r := range runs {
			if w.grant.sees(r.Workflow) {
				w.mark(w.runs, r.ID)
			}
		}
	}
}

// newsAgent marks an agent; "" is none.
func (fs *followers) newsAgent(name string) {
	for w := range fs.news {
		if name != "" && w.seesAgents() {
			w.mark(w.agents, name)
		}
	}
}
