// principal_watch.go: the lists of workflows, runs and agents as they are, and then what changes in them (the op
// watch). The loop marks what an event has changed by its name only, for each follower; the follower has the loop copy
// the rows that are marked, a page at a time, and sends them whole. So a burst of changes of one row is one row, a slow
// reader costs a set of names, and without a follower nothing is marked at all.

package main

import (
	"maps"
	"slices"
	"time"
)

const (
	newsGap       = 100 * time.Millisecond // between two replies while things keep changing
	newsHeartbeat = 5 * time.Second        // an empty reply after so long without another
	newsTurn      = 2 * time.Millisecond   // of the loop's time for one page of rows
	// so many heartbeats between looks for what came to need a person by mere time
	newsLook     = 6
	newsMax      = 256    // followers at once; more are refused as busy
	newsMaxDirty = 50_000 // names that wait for one follower; one with more is cut off
	// queued runs of a workflow told anew what they wait for when one of its runs moves
	newsSiblings = 100
)

// newsNames is rows by their names, each list in the order in which it is to be sent.
type newsNames struct{ workflows, runs, agents []string }

func (n *newsNames) empty() bool { return len(n.workflows)+len(n.runs)+len(n.agents) == 0 }

// newsWatcher is one follower of the lists. Its sets belong to the loop, which swaps them when the follower takes them.
type newsWatcher struct {
	watcher
	conn      wireConn
	grant     *authGrant
	workflows map[string]bool
	runs      map[string]bool
	agents    map[string]bool
	attention int // as it was told; the loop's too
}

// lookWatch sends the lists, and then what changes in them, for as long as the connection lasts.
func (p *principal) lookWatch(c *opCall) {
	if c.single {
		c.refuse(refuse(codeInvalid, "watch answers with many replies: ask with a DEALER socket, not a REQ"))
		return
	}
	n := c.req.N.rows(opsDefaultN, stateMaxFinished)
	w := &newsWatcher{watcher: watcher{ch: make(chan struct{}, 1)}, conn: c.conn, grant: c.grant, attention: -1}
	w.take()
	var refused *protoError
	all, ok := lookAsk(p, c, func() *newsNames {
		if refused = p.mayWatch(c); refused != nil {
			return nil
		}
		p.news[w] = true
		return p.newsAll(w, n) // no more than are in memory
	})
	switch {
	case !ok:
	case refused != nil:
		c.refuse(refused)
	default:
		c.endLook() // from here on it is a stream, of which there is another bound
		p.runNewsFollower(c, w, all)
	}
}

// newsAll names every row that a new follower is shown: all but the finished runs, of which it wants the newest n.
func (p *principal) newsAll(w *newsWatcher, n int) *newsNames {
	all := &newsNames{}
	for id := range p.files {
		if w.grant.sees(id) {
			all.workflows = append(all.workflows, id)
		}
	}
	for workflow, ids := range p.active {
		if w.grant.sees(workflow) {
			all.runs = append(all.runs, ids...)
		}
	}
	for i := len(p.state.Finished) - 1; i >= 0 && n > 0; i-- {
		if id := p.state.Finished[i]; w.grant.sees(p.state.Runs[id].Workflow) {
			all.runs = append(all.runs, id)
			n--
		}
	}
	if w.seesAgents() {
		for name := range p.state.Agents {
			all.agents = append(all.agents, name)
		}
	}
	return all
}

// seesAgents says whether agents are for this peer: they belong to no workflow.
func (w *newsWatcher) seesAgents() bool { return w.grant.may(protoOpOf("agents")) }

// take gives what was marked, and begins anew. Only on the loop.
func (w *newsWatcher) take() *newsNames {
	names := &newsNames{slices.Collect(maps.Keys(w.workflows)), slices.Collect(maps.Keys(w.runs)),
		slices.Collect(maps.Keys(w.agents))}
	w.workflows, w.runs, w.agents = map[string]bool{}, map[string]bool{}, map[string]bool{}
	return names
}

// mark notes a changed row in one of the watcher's sets. A reader for whom too many wait is cut off: when it comes back
// it is shown the lists as they are.
func (w *newsWatcher) mark(set map[string]bool, name string) {
	set[name] = true
	if len(set) > newsMaxDirty {
		w.conn.Cut(nil)
		clear(set)
	}
	w.wake()
}

// newsOf marks what an event has changed. before and agent are the state and the agent that its run had. Only on the
// loop.
func (p *principal) newsOf(e *Event, before, agent string) {
	if len(p.news) == 0 || e.Kind == evVersion {
		return
	}
	switch e.Kind {
	case evAcked, evAckOver:
		for w := range p.news {
			w.wake()
		}
		return
	case evPaused, evResumed:
		p.newsWorkflow(e.Workflow)
		return
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot:
		p.newsAgent(e.Agent)
		p.newsQueue(p.queue) // what runs wait for is another thing now
		return
	case evTaskStarted, evTaskRetrying, evTaskFinished, evTaskStopping:
	default:
		p.newsWorkflow(e.Workflow)
	}
	r := p.state.Runs[e.Run]
	if r == nil {
		return
	}
	p.newsQueue([]*Run{r})
	if r.State == before {
		return
	}
	p.newsAgent(agent)
	p.newsAgent(r.Agent)
	siblings := p.active[r.Workflow]
	for _, id := range siblings[:min(len(siblings), newsSiblings)] {
		if s := p.state.Runs[id]; s.State == runQueued {
			p.newsQueue([]*Run{s})
		}
	}
}

// newsWorkflow marks a workflow, "" all of them.
func (p *principal) newsWorkflow(id string) {
	for w := range p.news {
		if id != "" && w.grant.sees(id) {
			w.mark(w.workflows, id)
		}
		if id == "" {
			for id := range p.files {
				if w.grant.sees(id) {
					w.mark(w.workflows, id)
				}
			}
		}
	}
}

// newsQueue marks runs.
func (p *principal) newsQueue(runs []*Run) {
	for w := range p.news {
		for _, r := range runs {
			if w.grant.sees(r.Workflow) {
				w.mark(w.runs, r.ID)
			}
		}
	}
}

// newsAgent marks an agent; "" is none.
func (p *principal) newsAgent(name string) {
	for w := range p.news {
		if name != "" && w.seesAgents() {
			w.mark(w.agents, name)
		}
	}
}

// runNewsFollower sends the rows that it is given, says that this was all, and goes on with what is marked until the
// connection ends. It wakes for a mark, and for a heartbeat when there was none for a while.
func (p *principal) runNewsFollower(c *opCall, w *newsWatcher, names *newsNames) {
	defer p.call(func() { delete(p.news, w) })
	beat := time.NewTimer(newsHeartbeat)
	defer beat.Stop()
	seq, ok := p.sendNews(c, w, names)
	ok = ok && c.send(Reply{Seq: seq, Live: true, Clock: stampOf(p.cfg.now())}) == nil
	beats := 0
	for ok {
		beat.Reset(newsHeartbeat)
		p.pause(c, &w.watcher, newsGap)
		select {
		case <-w.ch:
			if names, ok = principalAsk(p, w.take); ok {
				seq, ok = p.sendNews(c, w, names)
			}
		case <-beat.C:
			if ok = c.send(Reply{Seq: seq, Clock: stampOf(p.cfg.now())}) == nil; !ok {
				return
			}
			if beats++; beats%newsLook == 0 {
				seq, ok = p.sendNews(c, w, &newsNames{})
			}
		case <-c.stopped:
			c.reply(Reply{})
			return
		case <-c.conn.Done():
			return
		case <-p.ended:
			ok = false
		}
	}
	select {
	case <-p.ended:
		c.refuse(refuse(codeStopping, "the principal is stopping"))
	default:
	}
}

// sendNews sends the named rows as they are by then, and gives the number of the newest event that they show. False
// when the connection or the principal has ended.
func (p *principal) sendNews(c *opCall, w *newsWatcher, names *newsNames) (seq uint64, ok bool) {
	slices.Sort(names.workflows)
	slices.Sort(names.agents)
	slices.Sort(names.runs)
	slices.Reverse(names.runs) // newest first
	for {
		page, ok := principalAsk(p, func() *Reply { return p.newsPage(w, names) })
		if !ok {
			return seq, false
		}
		seq = page.Seq
		for _, part := range newsSplit(page) {
			if err := c.send(part); err != nil {
				c.conn.Cut(err) // or a client would take silence for good news
				return seq, false
			}
		}
		if names.empty() {
			return seq, true
		}
	}
}

// newsPage copies rows off the front of the lists, as many as a page has and the loop has time for. Only on the loop.
func (p *principal) newsPage(w *newsWatcher, names *newsNames) *Reply {
	page := &Reply{Seq: p.state.Seq}
	began, rows := time.Now(), 0
	next := func(list *[]string) (name string, ok bool) {
		if len(*list) == 0 || rows == opsPage || rows > 0 && time.Since(began) > newsTurn {
			return "", false
		}
		rows++
		name, *list = (*list)[0], (*list)[1:]
		return name, true
	}
	for name, ok := next(&names.agents); ok; name, ok = next(&names.agents) {
		if p.state.Agents[name] != nil {
			page.Agents = append(page.Agents, p.agentOf(name))
		} else {
			page.GoneAgents = append(page.GoneAgents, name)
		}
	}
	for id, ok := next(&names.workflows); ok; id, ok = next(&names.workflows) {
		if f := p.files[id]; f != nil {
			page.Workflows = append(page.Workflows, p.infoOf(f))
		} else {
			page.Gone = append(page.Gone, id)
		}
	}
	for id, ok := next(&names.runs); ok; id, ok = next(&names.runs) {
		if r := p.state.Runs[id]; r != nil {
			page.Rows = append(page.Rows, p.rowOf(r))
		} else {
			page.GoneRuns = append(page.GoneRuns, id)
		}
	}
	if names.empty() {
		if n := p.attentionCount(w.grant); n != w.attention {
			w.attention, page.Attention = n, &n
		}
	}
	return page
}

// rowOf copies a run without its tasks, of which it gives the numbers. Only on the loop.
func (p *principal) rowOf(r *Run) RunRow {
	row := protoRowOf(r)
	if spec := p.state.Versions[r.Version]; row.Total == 0 && spec != nil {
		row.Total = len(spec.Tasks)
	}
	row.Run = p.shown(row.Run)
	row.Tasks = []TaskRun{}
	return row
}

// newsSplit cuts a page into replies that each fit into a frame.
func newsSplit(page *Reply) (parts []Reply) {
	part, size := Reply{Seq: page.Seq, Gone: page.Gone, GoneAgents: page.GoneAgents, GoneRuns: page.GoneRuns,
		Attention: page.Attention}, 0
	if part.Gone == nil && part.GoneAgents == nil && part.GoneRuns == nil && part.Attention == nil &&
		len(page.Agents)+len(page.Workflows)+len(page.Rows) == 0 {
		return nil // it was woken for what others are told
	}
	place := func(n int) *Reply {
		if size > 0 && size+n > opsBytes {
			parts = append(parts, part)
			part, size = Reply{Seq: page.Seq}, 0
		}
		size += n
		return &part
	}
	for _, a := range page.Agents {
		q := place(protoSize(a))
		q.Agents = append(q.Agents, a)
	}
	for _, info := range page.Workflows {
		info = protoWorkflowRow(info)
		q := place(protoSize(info))
		q.Workflows = append(q.Workflows, info)
	}
	for _, row := range page.Rows {
		row.Run, _ = protoRunRow(row.Run)
		q := place(protoSize(row))
		q.Rows = append(q.Rows, row)
	}
	return append(parts, part)
}
