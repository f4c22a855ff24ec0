// principal_watch.go: the op watch: the lists of workflows, runs and agents as they are, and then what changes in them.
// The loop only marks the names of the rows that an event has changed (principal_news.go). A follower has the loop copy
// the rows that were marked since, a page at a time, and sends them whole. So many changes of one row are one row, a
// slow reader costs nothing, and without a follower nothing is marked.

package main

import "time"

const (
	newsGap       = 100 * time.Millisecond // between two replies while things keep changing
	newsCrowd     = 64                     // followers; with twice as many it is twice as long, and so on
	newsHeartbeat = 5 * time.Second        // without a reply, before an empty one is sent
	newsTurn      = 2 * time.Millisecond   // of the loop's time, for one page of rows
	// heartbeats between two looks for what needs a person only because time has passed
	newsLook     = 6
	newsMax      = 256    // followers at once; more are refused as busy
	newsMaxDirty = 50_000 // rows that have changed since a follower took them; one for whom more wait is cut off
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
	var refused *protoError
	all, ok := lookAsk(l, c, func() *newsNames {
		refused = l.news.mayFollow(c)
		if refused != nil {
			return nil
		}
		l.news.join(w)
		return l.news.all(w, n) // no more than are in memory
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
	defer l.call(func() { l.news.leave(w) })
	beat := time.NewTimer(newsHeartbeat)
	defer beat.Stop()
	seq, ok := l.sendNews(c, w, names)
	ok = ok && c.send(Reply{Seq: seq, Live: true, Clock: stampOf(l.cfg.now())}) == nil
	beats, gap := 0, newsGap
	for ok {
		beat.Reset(newsHeartbeat)
		l.pause(c, &w.follower, gap)
		select {
		case <-w.ch:
			var taken *newsTaken
			taken, ok = principalAsk(l, func() *newsTaken { return l.news.take(w) })
			if !ok {
				break
			}
			gap, seq, ok = taken.gap, taken.page.head.Seq, c.sendPage(taken.page) == nil
			if ok && !taken.rest.empty() {
				seq, ok = l.sendNews(c, w, taken.rest)
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

// sendNews sends the named rows as they are then, and gives the number of the newest event that was told. False when
// the connection or the principal has ended.
func (l *looks) sendNews(c *opCall, w *newsFollower, names *newsNames) (seq uint64, ok bool) {
	for {
		page, ok := principalAsk(l, func() *newsPage { return l.news.more(w, names) })
		if !ok || c.sendPage(page) != nil {
			return seq, false
		}
		seq = page.head.Seq
		if names.empty() {
			return seq, true
		}
	}
}

// sendPage sends a page of rows, and waits for the peer to take it. A peer to which it cannot be sent is cut off, or it
// would take silence for no change.
func (c *opCall) sendPage(page *newsPage) error {
	for _, body := range page.replies(c.req.ID) {
		if err := c.sendBody(body); err != nil {
			c.conn.Cut(err)
			return err
		}
	}
	return nil
}
