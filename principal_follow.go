// principal_follow.go: replies that take their time. A follower is a goroutine that sleeps on its watcher; when the
// loop has touched what it watches, it asks the loop for a fresh copy, or reads on in the files, and sends what is new.
// So a slow reader holds up its own follower only, and nothing is kept in memory for it.

package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"time"
)

const (
	followGap  = 20 * time.Millisecond // between two looks at what changes all the time
	followPage = 500                   // events in one reply

	followLines     = protoMaxLines // lines of output that are read at once, with a place among those that read files,
	followGrepSteps = 10_000        // of a regular expression

	// and about so many bytes of them; they are sent without one. As JSON they have six times as many at most
	followBytes = 64 << 10
	followHead  = 512 // bytes that a record has beside its text, for that
)

// watcher wakes a follower: ch holds one token when something it watches has changed.
type watcher struct {
	run   string // "" watches the journal
	ch    chan struct{}
	over  chan struct{}      // closed when the run has ended
	ended bool               // over is closed; belongs to the loop
	live  bool               // it is woken for lines without an end as well; the loop's
	shown map[string]LogLine // those that its follower has got; the follower's
}

// wake leaves a token, unless there is one to read already.
func (w *watcher) wake() {
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// watch adds a watcher of a run. Only on the loop.
func (p *principal) watch(run string) *watcher {
	w := &watcher{run: run, ch: make(chan struct{}, 1), over: make(chan struct{}), shown: map[string]LogLine{}}
	p.watchers[w] = true
	return w
}

// watchJournal adds a watcher of the journal, which the store's goroutine wakes.
func (p *principal) watchJournal() *watcher {
	w := &watcher{ch: make(chan struct{}, 1)}
	p.journalMu.Lock()
	defer p.journalMu.Unlock()
	p.journalWatchers[w] = true
	return w
}

// wakeEventFollowers is called by the store when the journal has grown.
func (p *principal) wakeEventFollowers() {
	p.journalMu.Lock()
	defer p.journalMu.Unlock()
	for w := range p.journalWatchers {
		w.wake()
	}
}

// unwatch takes a watcher off. From any goroutine.
func (p *principal) unwatch(w *watcher) {
	if w.run != "" {
		p.call(func() {
			delete(p.watchers, w)
			p.unwatchLive(w)
		})
		return
	}
	p.journalMu.Lock()
	defer p.journalMu.Unlock()
	delete(p.journalWatchers, w)
}

// wakeWatchers tells the followers of this turn's changes.
func (p *principal) wakeWatchers() {
	if len(p.touched) == 0 {
		return
	}
	for w := range p.watchers {
		if p.touched[w.run] {
			if r := p.state.Runs[w.run]; !w.ended && (r == nil || !runActive(r.State)) {
				w.ended = true
				close(w.over)
			}
			w.wake()
		}
	}
	clear(p.touched)
}

// sleep waits for the watcher. False when the stream, the connection or the principal has ended; the peer is told.
func (p *principal) sleep(w *watcher, c *opCall) bool {
	select {
	case <-w.ch:
		return true
	case <-c.stopped:
		c.reply(Reply{})
	case <-c.conn.Done():
	case <-p.ended:
		p.refuseStopping(c)
	}
	return false
}

// refuseStopping ends a stream because the principal is going down.
func (p *principal) refuseStopping(c *opCall) {
	if c.req.Run != "" {
		c.refuse(refuse(codeStopping, "the principal is stopping; run %s goes on", c.req.Run))
		return
	}
	c.refuse(refuse(codeStopping, "the principal is stopping"))
}

// followRun answers `run` and `wait`: at once when the run is on disk, or when it has ended, or with its progress.
// Only on the loop.
func (p *principal) followRun(c *opCall, id string) {
	if !c.req.Wait && !c.req.Follow || p.state.Runs[id] == nil {
		p.afterCommit(func() { c.reply(Reply{Run: id}) })
		return
	}
	c.req.Run = id
	w := p.watch(id)
	w.wake()
	stream := c.req.Follow && !c.single
	if stream && c.req.All {
		p.watchLive(w)
	}
	begin := func() {
		if stream {
			c.reply(Reply{Run: id, More: true})
		}
		p.workers.Go(func() { p.runFollower(c, id, w, stream) })
	}
	if c.req.Op == "wait" { // nothing rests on it that is not on the disk already: it must not have a turn synced
		begin()
		return
	}
	p.afterCommit(begin)
}

// runFollower sends what changes in a run until it has ended: changed tasks and new output if stream is set, and the
// run itself in the last reply. It wakes when the loop touched the run.
func (p *principal) runFollower(c *opCall, id string, w *watcher, stream bool) {
	defer p.unwatch(w)
	var sent []TaskRun
	var place logPlace
	attempt := 0
	if c.req.Op == "run" { // it is there from the first
		attempt = 1
	}
	for p.sleep(w, c) {
		r, safe := p.copyRun(id)
		if r == nil {
			p.refuseStopping(c)
			return
		}
		if stream {
			if attempt > 0 && r.Attempt > attempt { // else a failed task would just run once more
				c.reply(Reply{More: true, Run: id, Note: fmt.Sprintf("the run is tried again: attempt %d", r.Attempt)})
			}
			attempt = r.Attempt
			place = p.sendLines(c, r, place, logFilter{})
			p.sendLive(c, w, logFilter{})
			for changed := tasksChanged(sent, r.Tasks); len(changed) > 0; {
				n := fitting(changed)
				c.reply(Reply{More: true, Run: id, Tasks: changed[:n]})
				changed = changed[n:]
			}
			sent = r.Tasks
		}
		if !runActive(r.State) {
			select { // the end is told once it is on disk
			case <-safe:
				row, left := protoRunRow(r)
				c.reply(Reply{Run: id, Runs: []*Run{row}, Note: left})
			case <-p.ended:
				p.refuseStopping(c)
			}
			return
		}
		if stream {
			p.pause(c, w, followGap)
		}
	}
}

// pause lets changes gather for a moment, so that a busy run costs a follower 50 messages a second, not thousands. The
// end of the run is news that does not wait.
func (p *principal) pause(c *opCall, w *watcher, gap time.Duration) {
	t := time.NewTimer(gap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.over:
	case <-c.stopped:
	case <-c.conn.Done():
	case <-p.ended:
	}
}

// copyRun asks the loop for a run as it is, and for a channel that is closed once that is on disk; nil when the
// principal has stopped.
func (p *principal) copyRun(id string) (*Run, <-chan struct{}) {
	safe := make(chan struct{})
	r, _ := principalAsk(p, func() *Run {
		r := p.state.Runs[id]
		if r == nil {
			return nil
		}
		if !runActive(r.State) {
			p.afterCommit(func() { close(safe) })
		}
		return p.shown(r)
	})
	return r, safe
}

// tasksChanged gives the tasks of now that are not as they were.
func tasksChanged(before, now []TaskRun) []TaskRun {
	var changed []TaskRun
	for i := range now {
		if i >= len(before) || !reflect.DeepEqual(before[i], now[i]) {
			changed = append(changed, now[i])
		}
	}
	return changed
}

// sendLines sends the output of a run that lies behind a place, and gives the place behind it. A reader that is slow
// makes it wait, and it alone: what is sent was read before, a few lines at a time.
func (p *principal) sendLines(c *opCall, r *Run, from logPlace, filter logFilter) logPlace {
	if r.LogDay == "" {
		return from
	}
	if from.Day == "" {
		from = logPlaceOf(r)
	}
	filter.over = func() bool { return p.gone(c) }
	for {
		if !p.readPlace(c) {
			return from
		}
		records, next, err := p.someLines(r, from, filter, c.req.N.rows(followLines, followLines))
		c.leavePlace()
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

// sendRecords sends output: many lines in a reply where n says so, else one. False when nobody wants more.
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

// endOfLines gives the place behind all output of a run that is there.
func (p *principal) endOfLines(c *opCall, r *Run) logPlace {
	if r.LogDay == "" || !p.readPlace(c) {
		return logPlace{}
	}
	defer c.leavePlace()
	place, err := p.logs.read(r.Workflow, r.ID, logPlaceOf(r), logFilter{None: true}, nil)
	if err != nil {
		c.reply(Reply{More: true, Note: "output could not be read: " + err.Error()})
	}
	return place
}

// errFollowMore says that there are more lines than are read at once.
var errFollowMore = errors.New("there is more output")

// someLines reads the output of a run from a place on, as much of it as is read at once and most lines at most, and
// gives the place behind it.
func (p *principal) someLines(r *Run, from logPlace, filter logFilter,
	most int) (records []LogRecord, next logPlace, err error) {
	var pack recordPacker
	n, size := 0, 0
	next, err = p.logs.read(r.Workflow, r.ID, from, filter, func(line LogLine) error {
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

// lookLogs sends the output of a run, and with follow what comes until the run ends.
func (p *principal) lookLogs(c *opCall) {
	filter, refused := logsFilter(c)
	if refused != nil {
		c.refuse(refused)
		return
	}
	refused, ok := lookAsk(p, c, func() *protoError { return p.logsOf(c) })
	switch {
	case !ok:
		return
	case refused != nil:
		c.refuse(refused.meant())
		return
	}
	var w *watcher
	if c.req.Follow {
		if w, ok = lookAsk(p, c, func() *watcher {
			r := p.state.Runs[c.req.Run]
			if r == nil || !runActive(r.State) {
				return nil
			}
			w := p.watch(r.ID)
			if w.wake(); c.req.All {
				p.watchLive(w)
			}
			return w
		}); !ok {
			return
		}
	}
	if w != nil {
		defer p.unwatch(w)
	}
	if r, ok := p.withRun(c); ok {
		c.endLook() // from here on it is a stream, of which there is another bound
		p.logFollower(c, r, w, filter)
	}
}

// logsFilter reads which lines are wanted. A regular expression may take its time: not on the loop.
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

// followGrep compiles what output is searched for. One that grows too large when its counts are written out is refused
// before it is: each step of it may be taken for each letter of the output.
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

// followSteps counts the steps of an expression with its counts written out, a range of a class for one of each, up to
// about a bound.
func followSteps(re *syntax.Regexp, most int) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		if n += followSteps(sub, most); n > most {
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

// logsOf finds out of which run output is wanted, and refuses when there is none. Only on the loop.
func (p *principal) logsOf(c *opCall) *protoError {
	if c.req.Run == "" {
		if last := p.lastRun(c.req.Workflow); last != nil { // also of a workflow whose file is gone
			c.req.Run = last.ID
		}
	}
	switch {
	case c.req.Run != "":
		return nil
	case p.files[c.req.Workflow] == nil:
		return p.noWorkflow(c, c.req.Workflow)
	}
	return refuse(codeNotFound, "workflow %s has not run yet", c.req.Workflow)
}

// logFollower sends what output there is, then, with a watcher, what comes. It wakes when the loop touched the run.
func (p *principal) logFollower(c *opCall, r *Run, w *watcher, filter logFilter) {
	if filter.Task != "" && r.task(filter.Task) == nil {
		c.refuse(noTask(r, filter.Task).meant())
		return
	}
	var place logPlace
	if c.req.Last == protoNone || c.req.N == protoNone { // nothing of what is there, only what comes
		filter.Tail = 0
		if place = p.endOfLines(c, r); w == nil {
			c.reply(Reply{Run: r.ID})
			return
		}
	}
	if w == nil {
		p.sendLines(c, r, logPlace{}, filter)
		c.reply(Reply{Run: r.ID})
		return
	}
	for p.sleep(w, c) {
		if r, _ = p.copyRun(r.ID); r == nil {
			p.refuseStopping(c)
			return
		}
		place = p.sendLines(c, r, place, filter)
		p.sendLive(c, w, filter)
		if place.Day != "" {
			filter.Tail = 0
		}
		if !runActive(r.State) {
			c.reply(Reply{Run: r.ID})
			return
		}
		p.pause(c, w, followGap)
	}
}

// lookEvents sends the audit trail from a number or a time on, and with follow what comes. It reads the journal in
// pages. With a watcher it goes on for as long as the connection does; it wakes when the journal has grown.
func (p *principal) lookEvents(c *opCall) {
	var w *watcher
	if c.req.Follow {
		if c.single {
			c.refuse(refuse(codeInvalid, "following answers with many replies: ask with a DEALER socket, not a REQ"))
			return
		}
		w = p.watchJournal()
		defer p.unwatch(w)
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
		page, next, err := p.someEvents(c, seq)
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
				c.reply(Reply{}) // it was stopped, or there is nobody to read this
				return
			}
		}
		if read == 0 && !p.sleep(w, c) {
			return
		}
	}
}

// someEvents reads a page of the journal from a number on, and gives the number behind it. What a peer may not see is
// passed over.
func (p *principal) someEvents(c *opCall, seq uint64) (page []*Event, next uint64, err error) {
	if !p.readPlace(c) {
		return nil, seq, nil
	}
	defer c.leavePlace()
	size, over, gone := 0, uint64(0), p.gone(c)
	next, err = p.store.readEvents(seq, followPage, func(e *Event) bool {
		if !c.req.Since.IsZero() && e.Time.Before(c.req.Since.Time) || !c.grant.sees(e.Workflow) {
			return !gone
		}
		row := protoEventRow(e)
		if size += protoSize(row); size > opsBytes && len(page) > 0 {
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

// followMaxLive is the most bytes of a line without an end that is shown. What an agent sends that is longer is not
// shown.
const followMaxLive = 4 << 10

// liveRun is what is shown of an active run that somebody follows. It belongs to the loop.
type liveRun struct {
	followers int
	lines     map[string]LogLine // by liveKey; two for each task at most
}

// liveKey names a stream of output.
func liveKey(l *LogLine) string { return l.Stream + l.Task }

// watchLive has a watcher woken for lines without an end as well. Only on the loop.
func (p *principal) watchLive(w *watcher) {
	r := p.state.Runs[w.run]
	if r == nil || !runActive(r.State) {
		return
	}
	l := p.live[w.run]
	if l == nil {
		l = &liveRun{lines: map[string]LogLine{}}
		p.live[w.run] = l
		p.tellFollowed(r, false)
	}
	w.live = true
	l.followers++
}

// unwatchLive takes a watcher off again; with the last one the agent is told that nobody follows. Only on the loop.
func (p *principal) unwatchLive(w *watcher) {
	l := p.live[w.run]
	if !w.live || l == nil {
		return
	}
	w.live = false
	if l.followers--; l.followers > 0 {
		return
	}
	delete(p.live, w.run)
	if r := p.state.Runs[w.run]; r != nil {
		p.tellFollowed(r, true)
	}
}

// tellFollowed tells the agent of a run that somebody follows it, or that nobody does any more. Only on the loop.
func (p *principal) tellFollowed(r *Run, over bool) {
	if link := p.links[r.Agent]; link != nil && slices.Contains(link.can, msgFollow) &&
		r.State == runRunning && (over || p.live[r.ID] != nil) {
		link.send(&agentMsg{Op: msgFollow, Run: r.ID, Off: over})
	}
}

// takeLive takes in lines without an end. Only on the loop.
func (p *principal) takeLive(link *agentLink, m *agentMsg) {
	for i := range m.Items {
		item := &m.Items[i]
		for j := range item.Lines {
			line := &item.Lines[j]
			r, l := p.state.Runs[line.Run], p.live[line.Run]
			if l == nil || r == nil || r.State != runRunning || r.Agent != link.name || r.Lease != item.Lease ||
				r.task(line.Task) == nil ||
				line.Stream != "o" && line.Stream != "e" || len(line.Text) > followMaxLive {
				continue
			}
			line.N = 0
			protoLine(line)
			l.lines[liveKey(line)] = *line
			p.touched[r.ID] = true
		}
	}
}

// endLive notes that lines have ended: they are stored now. Only on the loop.
func (p *principal) endLive(run string, lines []LogLine) {
	if l := p.live[run]; l != nil {
		for i := range lines {
			delete(l.lines, liveKey(&lines[i]))
		}
	}
}

// sendLive sends the lines without an end that a follower has not got yet, and an empty one for each that is no more.
// It is called behind sendLines: what has ended meanwhile was sent before.
func (p *principal) sendLive(c *opCall, w *watcher, filter logFilter) {
	if !c.req.All || filter.Grep != nil {
		return
	}
	lines, _ := principalAsk(p, func() (lines []LogLine) {
		if l := p.live[w.run]; l != nil {
			for _, key := range sortedKeys(l.lines) {
				lines = append(lines, l.lines[key])
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
		if before, ok := w.shown[key]; !ok || before.Text != line.Text || before.Attempt != line.Attempt {
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
