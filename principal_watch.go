// principal_watch.go: the lists of workflows, runs and agents as they are, and then what changes in them (the op
// watch). The loop marks what an event has changed by its name only, for each follower; the follower has the loop copy
// the rows that are marked, a page at a time, and sends them whole. So a burst of changes of one row is one row, a slow
// reader costs a set of names, and without a follower nothing is marked at all.

package main

import (
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

// lookWatch sends the lists, and then what changes in them, for as long as the connection lasts.
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
		c.endLook() // from here on it is a stream, of which there is another bound
		l.runNewsFollower(c, w, all)
	}
}

// runNewsFollower sends the rows that it is given, says that this was all, and goes on with what is marked until the
// connection ends. It wakes for a mark, and for a heartbeat when there was none for a while.
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

// sendNews sends the named rows as they are by then, and gives the number of the newest event that they show. False
// when the connection or the principal has ended.
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
