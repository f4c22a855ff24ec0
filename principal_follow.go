// principal_follow.go: replies that take their time: the progress of a run, output, the audit trail. A follower is a
// goroutine that sleeps until the loop has touched what it follows; then it asks the loop for a fresh copy, or reads on
// in the files, and sends what is new. So a slow reader holds up its own follower only, and nothing is kept in memory
// for it.

package main

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"time"
)

const (
	followGap  = 20 * time.Millisecond // between two looks at a run that changes all the time
	followPage = 500                   // events in one reply

	followLines     = protoMaxLines // lines of output that are read at once, while the look has a slot
	followGrepSteps = 10_000        // steps of a regular expression that output is searched for

	// bytes of output that are read at once, about; as JSON they have at most six times as many
	followBytes = 64 << 10
	followHead  = 512 // bytes that a record is taken to have beside its text
)

// sleep waits until what is followed has changed. False when the stream, the connection or the principal has ended; the
// peer is told.
func (l *looks) sleep(w *follower, c *opCall) bool {
	select {
	case <-w.ch:
		return true
	case <-c.stopped:
		c.reply(Reply{})
	case <-c.conn.Done():
	case <-l.ended:
		l.refuseStopping(c)
	}
	return false
}

// refuseStopping ends a stream because the principal stops.
func (l *principalLoop) refuseStopping(c *opCall) {
	if c.req.Run != "" {
		c.refuse(refuse(codeStopping, "the principal is stopping; run %s goes on", c.req.Run))
		return
	}
	c.refuse(refuse(codeStopping, "the principal is stopping"))
}

// followRun answers the ops run and wait: at once when the run is on disk, or when it has ended, or with its progress
// until then, as the request asks. Only on the loop.
func (l *looks) followRun(c *opCall, id string) {
	if !c.req.Wait && !c.req.Follow || l.state.Runs[id] == nil {
		l.whenDurable(func() { c.reply(Reply{Run: id}) })
		return
	}
	c.req.Run = id
	w := l.followers.follow(id)
	w.wake()
	stream := c.req.Follow && !c.single
	if stream && c.req.All {
		l.followers.followLive(w)
	}
	begin := func() {
		if stream {
			c.reply(Reply{Run: id, More: true})
		}
		l.workers.Go(func() { l.runFollower(c, id, w, stream) })
	}
	if c.req.Op == "wait" { // all that it tells is on disk: the turn need not be synced for it
		begin()
		return
	}
	l.whenDurable(begin)
}

// runFollower waits until a run has ended, and sends the run in the last reply. If stream is set it also sends changed
// tasks and new output as they come. It wakes when the loop has touched the run.
func (l *looks) runFollower(c *opCall, id string, w *follower, stream bool) {
	defer l.followers.unfollow(w)
	var sent []TaskRun
	var place logPlace
	attempt := 0
	if c.req.Op == "run" { // it follows the run from its first attempt on
		attempt = 1
	}
	for l.sleep(w, c) {
		r, safe := l.copyRun(id)
		if r == nil {
			l.refuseStopping(c)
			return
		}
		if stream {
			if attempt > 0 && r.Attempt > attempt { // or it would look as if a failed task began again
				c.reply(Reply{More: true, Run: id, Note: fmt.Sprintf("the run is tried again: attempt %d", r.Attempt)})
			}
			attempt = r.Attempt
			place = l.sendLines(c, r, place, logFilter{})
			l.sendLive(c, w, logFilter{})
			for changed := tasksChanged(sent, r.Tasks); len(changed) > 0; {
				n := fitting(changed)
				c.reply(Reply{More: true, Run: id, Tasks: changed[:n]})
				changed = changed[n:]
			}
			sent = r.Tasks
		}
		if !runActive(r.State) {
			select { // the end is told when it is on disk
			case <-safe:
				row, left := protoRunRow(r)
				c.reply(Reply{Run: id, Runs: []*Run{row}, Note: left})
			case <-l.ended:
				l.refuseStopping(c)
			}
			return
		}
		if stream {
			l.pause(c, w, followGap)
		}
	}
}

// pause lets changes gather for a moment, so that a busy run costs a follower 50 messages a second and not thousands.
// It ends early when the run ends.
func (l *looks) pause(c *opCall, w *follower, gap time.Duration) {
	t := time.NewTimer(gap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.over:
	case <-c.stopped:
	case <-c.conn.Done():
	case <-l.ended:
	}
}

// copyRun asks the loop for a run as it is, and for a channel that is closed once that is on disk. The run is nil when
// the principal has stopped.
func (l *looks) copyRun(id string) (*Run, <-chan struct{}) {
	safe := make(chan struct{})
	r, _ := principalAsk(l, func() *Run {
		r := l.state.Runs[id]
		if r == nil {
			return nil
		}
		if !runActive(r.State) {
			l.whenDurable(func() { close(safe) })
		}
		return l.copier.shown(r)
	})
	return r, safe
}

// tasksChanged gives the tasks of now that differ from those before.
func tasksChanged(before, now []TaskRun) []TaskRun {
	var changed []TaskRun
	for i := range now {
		if i >= len(before) || !taskRunSame(&before[i], &now[i]) {
			changed = append(changed, now[i])
		}
	}
	return changed
}

// sendLines sends the output of a run behind a place, and gives the place behind what was sent. It reads a few lines
// before it sends them, so that a slow reader makes nobody else wait.
func (l *looks) sendLines(c *opCall, r *Run, from logPlace, filter logFilter) logPlace {
	most := c.req.N.rows(followLines, followLines)
	if r.LogDay == "" || most == 0 {
		return from
	}
	if from.Day == "" {
		from = logPlaceOf(r)
	}
	filter.over = func() bool { return l.gone(c) }
	for {
		if !l.readSlot(c) {
			return from
		}
		records, next, err := l.someLines(r, from, filter, most)
		c.leaveSlot()
		if !c.sendRecords(records) {
			return next
		}
		if !errors.Is(err, errFollowMore) {
			if err != nil && !errors.Is(err, errLogsOver) {
				c.reply(Reply{More: true, Note: "output could not be read: " + err.Error()})
			}
			return next
		}
		from, filter.Tail = next, 0
	}
}

// sendRecords sends output: many lines in a reply if the request's n asks for that, else one. False when nobody wants
// more.
func (c *opCall) sendRecords(records []LogRecord) bool {
	if len(records) == 0 {
		return true
	}
	if c.req.N != 0 {
		return c.send(Reply{Lines: records}) == nil
	}
	all := Reply{Lines: records}
	return all.eachLine(func(line *LogLine) error { return c.send(Reply{Line: line}) }) == nil
}

// endOfLines gives the place behind all output that a run has now.
func (l *looks) endOfLines(c *opCall, r *Run) logPlace {
	if r.LogDay == "" || !l.readSlot(c) {
		return logPlace{}
	}
	defer c.leaveSlot()
	place, err := l.logs.read(r.Workflow, r.ID, logPlaceOf(r), logFilter{None: true}, nil)
	if err != nil {
		c.reply(Reply{More: true, Note: "output could not be read: " + err.Error()})
	}
	return place
}

// errFollowMore says that there are more lines than are read at once.
var errFollowMore = errors.New("there is more output")

// someLines reads the output of a run from a place on, at most so many lines and about followBytes, and gives the place
// behind them.
func (l *looks) someLines(r *Run, from logPlace, filter logFilter,
	most int) (records []LogRecord, next logPlace, err error) {
	var pack recordPacker
	n, size := 0, 0
	next, err = l.logs.read(r.Workflow, r.ID, from, filter, func(line LogLine) error {
		if n == most || size > followBytes {
			return errFollowMore
		}
		before := len(pack.done)
		pack.add(&line)
		n, size = n+1, size+len(line.Text)+len(line.Bytes)+followHead*(len(pack.done)-before)
		return nil
	})
	return pack.records(), next, err
}

// lookLogs sends the output of a run; with follow it goes on until the run ends.
func (l *looks) lookLogs(c *opCall) {
	filter, refused := logsFilter(c)
	if refused != nil {
		c.refuse(refused)
		return
	}
	refused, ok := lookAsk(l, c, func() *protoError { return l.logsOf(c) })
	switch {
	case !ok:
		return
	case refused != nil:
		c.refuse(refused.meant())
		return
	}
	var w *follower
	if c.req.Follow {
		w, ok = lookAsk(l, c, func() *follower {
			r := l.state.Runs[c.req.Run]
			if r == nil || !runActive(r.State) {
				return nil
			}
			w := l.followers.follow(r.ID)
			w.wake()
			if c.req.All {
				l.followers.followLive(w)
			}
			return w
		})
		if !ok {
			return
		}
	}
	if w != nil {
		defer l.followers.unfollow(w)
	}
	if r, ok := l.withRun(c); ok {
		c.endLook() // from here on it is a stream, of which there is another bound
		l.logFollower(c, r, w, filter)
	}
}

// logsFilter reads which lines are wanted. Not on the loop: a regular expression may take its time.
func logsFilter(c *opCall) (filter logFilter, refused *protoError) {
	filter = logFilter{Task: c.req.Task, Stream: c.req.Stream, Since: c.req.Since.Time, Before: c.req.Before,
		Tail: int(c.req.Last)}
	switch {
	case !slices.Contains([]string{"", "o", "e", "c"}, c.req.Stream):
		return filter, refuse(codeInvalid,
			"stream %q: want \"o\" (standard output), \"e\" (standard error) or \"c\" (remarks of cdktr)", c.req.Stream)
	case c.single:
		return filter, refuse(codeInvalid, "logs answers with many replies: ask with a DEALER socket, not a REQ")
	case c.req.Grep != "":
		re, err := followGrep(c.req.Grep)
		if err != nil {
			return filter, refuse(codeInvalid, "grep: %v", err)
		}
		filter.Grep = re
	}
	return filter, nil
}

// followGrep compiles the expression that output is searched for. It refuses one that is too large with its counts
// written out, before it is compiled: each step may be taken for each letter of the output.
func followGrep(text string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if n := followSteps(tree, followGrepSteps); n > followGrepSteps {
		return nil, fmt.Errorf("the regular expression is too large: more than %d steps with its counts written out",
			followGrepSteps)
	}
	return regexp.Compile(text)
}

// followSteps counts the steps of an expression with its counts written out, and one for each range of a class. It
// counts no further than about most.
func followSteps(re *syntax.Regexp, most int) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += followSteps(sub, most)
		if n > most {
			return most + 1
		}
	}
	if re.Op == syntax.OpRepeat {
		if times := max(re.Min, re.Max, 1); n > most/times {
			return most + 1
		} else {
			n *= times
		}
	}
	return n
}

// logsOf finds the run of which output is wanted, and refuses when there is none. Only on the loop.
func (l *looks) logsOf(c *opCall) *protoError {
	if c.req.Run == "" {
		if last := l.copier.lastRun(c.req.Workflow); last != nil { // the workflow's file may be gone
			c.req.Run = last.ID
		}
	}
	switch {
	case c.req.Run != "":
		return nil
	case l.catalog.files[c.req.Workflow] == nil:
		return l.catalog.noWorkflow(c, c.req.Workflow)
	}
	return refuse(codeNotFound, "workflow %s has not run yet", c.req.Workflow)
}

// logFollower sends the output that there is. With w it goes on with what comes until the run ends; it wakes when the
// loop has touched the run.
func (l *looks) logFollower(c *opCall, r *Run, w *follower, filter logFilter) {
	if filter.Task != "" && r.task(filter.Task) == nil {
		c.refuse(noTask(r, filter.Task).meant())
		return
	}
	var place logPlace
	if c.req.Last == protoNone || c.req.N == protoNone { // only what comes is wanted
		filter.Tail = 0
		place = l.endOfLines(c, r)
		if w == nil {
			c.reply(Reply{Run: r.ID})
			return
		}
	}
	if w == nil {
		l.sendLines(c, r, logPlace{}, filter)
		c.reply(Reply{Run: r.ID})
		return
	}
	for l.sleep(w, c) {
		r, _ = l.copyRun(r.ID)
		if r == nil {
			l.refuseStopping(c)
			return
		}
		place = l.sendLines(c, r, place, filter)
		l.sendLive(c, w, filter)
		if place.Day != "" {
			filter.Tail = 0
		}
		if !runActive(r.State) {
			c.reply(Reply{Run: r.ID})
			return
		}
		l.pause(c, w, followGap)
	}
}

// lookEvents sends the audit trail from a number or a time on. It reads the journal in pages. With follow it goes on
// for as long as the connection lasts; it wakes when the journal has grown.
func (l *looks) lookEvents(c *opCall) {
	var w *follower
	if c.req.Follow {
		if c.single {
			c.refuse(refuse(codeInvalid, "following answers with many replies: ask with a DEALER socket, not a REQ"))
			return
		}
		w = l.followers.followJournal()
		defer l.followers.unfollow(w)
	}
	if !c.single {
		c.endLook() // it is a stream, of which there is another bound
	}
	seq, left := max(c.req.Seq, 1), int(c.req.N)
	if c.req.N == protoNone {
		c.reply(Reply{Seq: seq})
		return
	}
	for {
		page, next, err := l.someEvents(c, seq)
		if err != nil {
			c.refuse(refuse(codeInternal, "read journal: %v", err))
			return
		}
		if left > 0 && len(page) >= left && w == nil {
			c.reply(Reply{Events: page[:left], Seq: page[left-1].Seq + 1})
			return
		}
		left -= len(page)
		read := next - seq
		seq = next
		switch {
		case c.over.Load():
			return
		case c.single || read == 0 && w == nil:
			c.reply(Reply{Events: page, Seq: seq})
			return
		case len(page) > 0:
			if c.send(Reply{Events: page, Seq: seq}) != nil {
				c.reply(Reply{}) // the stream was stopped, or nobody reads it
				return
			}
		}
		if read == 0 && !l.sleep(w, c) {
			return
		}
	}
}

// someEvents reads a page of the journal from a number on, without what the peer may not see, and gives the number
// behind it.
func (l *looks) someEvents(c *opCall, seq uint64) (page []*Event, next uint64, err error) {
	if !l.readSlot(c) {
		return nil, seq, nil
	}
	defer c.leaveSlot()
	size, over, gone := 0, uint64(0), l.gone(c)
	next, err = l.store.readEvents(seq, followPage, func(e *Event) bool {
		if !c.req.Since.IsZero() && e.Time.Before(c.req.Since.Time) || !c.grant.sees(e.Workflow) {
			return !gone
		}
		row := protoEventRow(e)
		size += protoSize(row)
		if size > opsBytes && len(page) > 0 {
			over = e.Seq // it begins the next page
			return false
		}
		page = append(page, row)
		return !gone
	})
	if over > 0 {
		next = over
	}
	return page, next, err
}

// Lines that a task has begun and not ended, as a progress bar has one, shown to those who follow a
// run and ask for them. Nothing of them is stored: a line is stored when it ends. The agent sends them only while
// somebody follows.

// sendLive sends the lines without an end that a follower has not got yet, and an empty line for each that is gone. It
// is called after sendLines, which has sent those that have ended meanwhile.
func (l *looks) sendLive(c *opCall, w *follower, filter logFilter) {
	if !c.req.All || filter.Grep != nil {
		return
	}
	lines, _ := principalAsk(l, func() (lines []LogLine) {
		if begun := l.followers.live[w.run]; begun != nil {
			for _, key := range sortedKeys(begun.lines) {
				lines = append(lines, begun.lines[key])
			}
		}
		return lines
	})
	there := map[string]bool{}
	for i := range lines {
		line, key := &lines[i], liveKey(&lines[i])
		if !filter.pass(line) {
			continue
		}
		there[key] = true
		before, ok := w.shown[key]
		if !ok || before.Text != line.Text || before.Attempt != line.Attempt {
			w.shown[key] = *line
			c.reply(Reply{More: true, Line: line})
		}
	}
	for _, key := range sortedKeys(w.shown) {
		if gone := w.shown[key]; !there[key] {
			delete(w.shown, key)
			gone.Text = ""
			c.reply(Reply{More: true, Line: &gone})
		}
	}
}
