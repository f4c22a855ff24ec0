// principal_watch.go: the op watch: the lists of workflows, runs and agents as they are, and then what changes in them.
// The loop only marks the names of the rows that an event has changed, for each follower (principal_followers.go). The
// follower has the loop copy the marked rows, a page at a time, and sends them whole. So many changes of one row are
// one row, a slow reader costs a set of names, and without a follower nothing is marked.

package main

import (
	"slices"
	"time"
)

const (
	newsGap       = 100 * time.Millisecond // between two replies while things keep changing
	newsHeartbeat = 5 * time.Second        // without a reply, before an empty one is sent
	newsTurn      = 2 * time.Millisecond   // of the loop's time, for one page of rows
	// heartbeats between two looks for what needs a person only because time has passed
	newsLook     = 6
	newsMax      = 256    // followers at once; more are refused as busy
	newsMaxDirty = 50_000 // names that wait for one follower; a follower with more is cut off
	// queued runs of a workflow that are sent again when one of its runs changes: they may wait for something else
	newsSiblings = 100
)

// lookWatch sends the lists, and then what changes in them for as long as the connection lasts.
func (l *looks) lookWatch(c *opCall) {
	if c.single {
		c.refuse(refuse(codeInvalid, "watch answers with many replies: ask with a DEALER socket, not a REQ"))
		return
	}
	n := c.req.N.rows(opsDefaultN, stateMaxFinished)
	w := &newsFollower{follower: follower{ch: make(chan struct{}, 1)}, conn: c.conn, grant: c.grant, attention: -1}
	w.take()
	var refused *protoError
	all, ok := lookAsk(l, c, func() *newsNames {
		refused = l.followers.mayFollow(c)
		if refused != nil {
			return nil
		}
		l.followers.news[w] = true
		return l.followers.newsAll(w, n) // no more than are in memory
	})
	switch {
	case !ok:
	case refused != nil:
		c.refuse(refused)
	default:
		c.endLook() // from here on it is a stream, and bounded as one
		l.runNewsFollower(c, w, all)
	}
}

// runNewsFollower sends the named rows, says that these were all, and goes on with what is marked until the connection
// ends. It wakes for a mark, and for a heartbeat after a while without one.
func (l *looks) runNewsFollower(c *opCall, w *newsFollower, names *newsNames) {
	defer l.call(func() { delete(l.followers.news, w) })
	beat := time.NewTimer(newsHeartbeat)
	defer beat.Stop()
	seq, ok := l.sendNews(c, w, names)
	ok = ok && c.send(Reply{Seq: seq, Live: true, Clock: stampOf(l.cfg.now())}) == nil
	beats := 0
	for ok {
		beat.Reset(newsHeartbeat)
		l.pause(c, &w.follower, newsGap)
		select {
		case <-w.ch:
			names, ok = principalAsk(l, w.take)
			if ok {
				seq, ok = l.sendNews(c, w, names)
			}
		case <-beat.C:
			ok = c.send(Reply{Seq: seq, Clock: stampOf(l.cfg.now())}) == nil
			if !ok {
				return
			}
			beats++
			if beats%newsLook == 0 {
				seq, ok = l.sendNews(c, w, &newsNames{})
			}
		case <-c.stopped:
			c.reply(Reply{})
			return
		case <-c.conn.Done():
			return
		case <-l.ended:
			ok = false
		}
	}
	select {
	case <-l.ended:
		c.refuse(refuse(codeStopping, "the principal is stopping"))
	default:
	}
}

// sendNews sends the named rows as they are then, and gives the number of the newest event that they show. False when
// the connection or the principal has ended.
func (l *looks) sendNews(c *opCall, w *newsFollower, names *newsNames) (seq uint64, ok bool) {
	slices.Sort(names.workflows)
	slices.Sort(names.agents)
	slices.Sort(names.runs)
	slices.Reverse(names.runs) // newest first
	for {
		page, ok := principalAsk(l, func() *Reply { return l.newsPage(w, names) })
		if !ok {
			return seq, false
		}
		seq = page.Seq
		for _, part := range newsSplit(page) {
			if err := c.send(part); err != nil {
				c.conn.Cut(err) // or the client would take silence for no change
				return seq, false
			}
		}
		if names.empty() {
			return seq, true
		}
	}
}

// newsPage takes names off the front of the lists and copies their rows: as many as a page has, and as the loop has
// time for. Only on the loop.
func (l *looks) newsPage(w *newsFollower, names *newsNames) *Reply {
	page := &Reply{Seq: l.state.Seq}
	began, rows := time.Now(), 0
	next := func(list *[]string) (name string, ok bool) {
		full := rows == opsPage || rows > 0 && time.Since(began) > newsTurn
		if full || len(*list) == 0 {
			return "", false
		}
		rows++
		name, *list = (*list)[0], (*list)[1:]
		return name, true
	}
	for name, ok := next(&names.agents); ok; name, ok = next(&names.agents) {
		if l.state.Agents[name] != nil {
			page.Agents = append(page.Agents, l.copier.agentOf(name))
		} else {
			page.GoneAgents = append(page.GoneAgents, name)
		}
	}
	for id, ok := next(&names.workflows); ok; id, ok = next(&names.workflows) {
		if f := l.catalog.files[id]; f != nil {
			page.Workflows = append(page.Workflows, l.copier.infoOf(f))
		} else {
			page.Gone = append(page.Gone, id)
		}
	}
	for id, ok := next(&names.runs); ok; id, ok = next(&names.runs) {
		if r := l.state.Runs[id]; r != nil {
			page.Rows = append(page.Rows, l.copier.rowOf(r))
		} else {
			page.GoneRuns = append(page.GoneRuns, id)
		}
	}
	if names.empty() {
		if n := l.attention.count(w.grant); n != w.attention {
			w.attention, page.Attention = n, &n
		}
	}
	return page
}

// newsSplit cuts a page into replies that each fit into a frame.
func newsSplit(page *Reply) (parts []Reply) {
	part, size := Reply{Seq: page.Seq, Gone: page.Gone, GoneAgents: page.GoneAgents, GoneRuns: page.GoneRuns,
		Attention: page.Attention}, 0
	gone := len(page.Gone) + len(page.GoneAgents) + len(page.GoneRuns)
	if gone+len(page.Agents)+len(page.Workflows)+len(page.Rows) == 0 && page.Attention == nil {
		return nil // it was woken for something that this peer may not see
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
