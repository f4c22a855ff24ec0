// principal_news.go: what has changed in the lists of workflows, runs and agents, for all who follow them
// (principal_watch.go). A change is marked once, however many follow. A follower knows the number of the last mark that
// it has seen, and takes the rows with later ones. What is sent of a row is copied and encoded once for all of them,
// and what needs a person is counted once for all who may see the same.

package main

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// newsFresh is how long a copy of a row serves further followers. Some of what a row shows is never marked, as how busy
// an agent is.
const newsFresh = 1 * time.Second

// newsKey names a row: a workflow, a run or an agent.
type newsKey struct {
	kind byte // newsOfAgent and so on
	name string
}

// The kinds, in the order in which rows are sent.
const (
	newsOfAgent byte = iota
	newsOfWorkflow
	newsOfRun
	newsKinds
)

// newsMark is a row that has changed.
type newsMark struct {
	newsKey
	workflow string // of a run
	number   uint64 // of its last change
	ticked   uint64 // of the last change up to a tick, when the row has changed again since then; 0: there was none
}

// news is the marks of all lists, and what is shared between those who follow them. It belongs to the principal's loop.
type news struct {
	*principalLoop
	queue     *queue
	catalog   *catalog
	copier    *copier    // set once
	attention *attention // set once
	followers map[*newsFollower]bool

	number uint64     // of the last mark
	marks  *list.List // of *newsMark, in the order of their numbers
	of     map[newsKey]*list.Element
	acked  uint64 // the number that the last change of what needs a person had, which is in no row
	marked bool   // something was marked in this turn

	queueDue bool              // queued runs may wait for something else than they did
	waits    map[string]string // queued run -> what it waits for, as was shown last

	// All who take something within a gap take it up to one number, and share what they are sent:

	tickAt  time.Time
	tick    uint64 // that number
	tickSeq uint64 // the newest event that it has
	pages   map[newsShare]*newsTaken
	counts  map[string]int // rights -> how much needs a person

	copies   map[newsKey]*newsCopy
	copiesAt time.Time // of the oldest
	work     newsWork
}

// newsWork is what was done so far, for tests to count.
type newsWork struct{ copied, counted int }

// newsNew makes news that nobody follows.
func newsNew(loop *principalLoop, queue *queue, catalog *catalog) *news {
	n := &news{principalLoop: loop, queue: queue, catalog: catalog, followers: map[*newsFollower]bool{}}
	n.forget()
	return n
}

// forget drops all marks and copies: nobody follows any more.
func (n *news) forget() {
	n.marks, n.of, n.waits, n.queueDue = list.New(), map[newsKey]*list.Element{}, map[string]string{}, false
	n.copies, n.pages, n.counts = map[newsKey]*newsCopy{}, map[newsShare]*newsTaken{}, map[string]int{}
}

// join adds a follower, who is shown all rows as they are now.
func (n *news) join(w *newsFollower) {
	n.followers[w] = true
	w.seen, w.seq = n.number, n.state.Seq
	if len(n.followers) == 1 {
		n.copier.fleet.pools.follow(true)
	}
}

// leave takes a follower off.
func (n *news) leave(w *newsFollower) {
	delete(n.followers, w)
	if len(n.followers) == 0 {
		n.forget()
		n.copier.fleet.pools.follow(false)
	}
}

// mark notes that a row has changed. workflow is that of a run.
func (n *news) mark(kind byte, name, workflow string) {
	n.number++
	n.marked = true
	key := newsKey{kind, name}
	delete(n.copies, key)
	if e := n.of[key]; e != nil {
		m := e.Value.(*newsMark)
		if m.number <= n.tick {
			m.ticked = m.number
		}
		m.number = n.number
		n.marks.MoveToBack(e)
		return
	}
	n.of[key] = n.marks.PushBack(&newsMark{newsKey: key, workflow: workflow, number: n.number})
	if n.marks.Len() <= newsMaxDirty {
		return
	}
	// A follower that has not seen the oldest is cut off: it is shown the whole lists when it comes back.
	oldest := n.dropFirst()
	for w := range n.followers {
		if w.seen < oldest.number {
			w.conn.Cut(nil)
		}
	}
}

// dropFirst forgets the oldest mark.
func (n *news) dropFirst() *newsMark {
	oldest := n.marks.Remove(n.marks.Front()).(*newsMark)
	delete(n.of, oldest.newsKey)
	return oldest
}

// trim forgets the marks that all followers have seen.
func (n *news) trim() {
	seen := n.number
	for w := range n.followers {
		seen = min(seen, w.seen)
	}
	for e := n.marks.Front(); e != nil && e.Value.(*newsMark).number <= seen; e = n.marks.Front() {
		n.dropFirst()
	}
}

// wakeAll wakes all followers, at the end of a turn in which something was marked.
func (n *news) wakeAll() {
	if !n.marked {
		return
	}
	n.marked = false
	for w := range n.followers {
		w.wake()
	}
}

// observe marks what an event has changed. before and agent are the state and the agent that its run had.
func (n *news) observe(e *Event, before, agent string) {
	if len(n.followers) == 0 || e.Kind == evVersion || e.Kind == evTold {
		return
	}
	switch e.Kind {
	case evAcked, evAckOver, evAlarmRan:
		n.number++
		n.acked, n.marked = n.number, true
		return
	case evPaused, evResumed:
		n.ofWorkflow(e.Workflow)
		return
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot:
		n.ofAgent(e.Agent)
		n.ofQueue()
		return
	case evTaskStarted, evTaskRetrying, evTaskFinished, evTaskStopping:
	case evLeft:
		n.ofWorkflow(e.Workflow)
		n.ofQueue()
	default:
		n.ofWorkflow(e.Workflow)
	}
	r := n.state.Runs[e.Run]
	if r == nil {
		return
	}
	n.mark(newsOfRun, r.ID, r.Workflow)
	if r.State == before {
		return
	}
	if before == runQueued {
		delete(n.waits, r.ID)
	}
	n.ofAgent(agent)
	n.ofAgent(r.Agent)
	siblings := n.queue.active[r.Workflow]
	for _, id := range siblings[:min(len(siblings), newsSiblings)] {
		n.ofWaiting(n.state.Runs[id])
	}
}

// ofWorkflow marks a workflow, "" all of them.
func (n *news) ofWorkflow(id string) {
	switch {
	case len(n.followers) == 0:
	case id != "":
		n.mark(newsOfWorkflow, id, "")
	default:
		for id := range n.catalog.files {
			n.mark(newsOfWorkflow, id, "")
		}
	}
}

// ofAgent marks an agent; "" is none.
func (n *news) ofAgent(name string) {
	if len(n.followers) > 0 && name != "" {
		n.mark(newsOfAgent, name, "")
	}
}

// ofQueue notes that any queued run may wait for something else now. Which of them do is looked at when somebody takes
// what has changed.
func (n *news) ofQueue() {
	if len(n.followers) > 0 {
		n.queueDue, n.marked = true, true
	}
}

// ofPools notes that runs which wait for places of pools may wait for something else now. Which of them do is looked at
// when somebody takes what has changed.
func (n *news) ofPools() { n.marked = n.marked || len(n.followers) > 0 }

// ofWaiting marks a queued run if it waits for something else than was shown last.
func (n *news) ofWaiting(r *Run) {
	shown, ok := n.waits[r.ID]
	if !ok { // nobody has seen it yet
		return
	}
	if wait := n.copier.fleet.waitReason(r); wait != shown {
		n.waits[r.ID] = wait
		n.mark(newsOfRun, r.ID, r.Workflow)
	}
}

// gap gives how long changes gather before they are sent. It is longer for a crowd, so that what all of them cost
// together has a bound.
func (n *news) gap() time.Duration {
	return newsGap * time.Duration(max(1, len(n.followers)/newsCrowd))
}

// beginTick begins to share anew, if it is time to: then all that has changed until now is taken.
func (n *news) beginTick() {
	now := n.cfg.now()
	if now.Sub(n.tickAt).Abs() < n.gap() {
		return
	}
	if n.queueDue {
		n.queueDue = false
		for _, r := range n.queue.runs {
			n.ofWaiting(r)
		}
	}
	n.copier.fleet.pools.eachChanged(newsSiblings, func(r *Run) {
		if r.State == runQueued {
			n.ofWaiting(r)
		} else { // a task of it waits
			n.mark(newsOfRun, r.ID, r.Workflow)
		}
	})
	n.trim()
	n.tickAt, n.tick, n.tickSeq = now, n.number, n.state.Seq
	clear(n.pages)
	clear(n.counts)
}

// mayFollow says why a peer cannot follow the lists now, nil when it can. Only on the loop.
func (n *news) mayFollow(c *opCall) *protoError {
	party, its, lookers := c.conn.Peer().Party, 0, 0
	for w := range n.followers {
		if party != "" && w.conn.Peer().Party == party {
			its++
		}
		if !w.grant.operates() {
			lookers++
		}
	}
	switch {
	case len(n.followers) >= newsMax:
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

// newsFollower is a follower of the lists. Its fields belong to the loop.
type newsFollower struct {
	follower
	conn      wireConn
	grant     *authGrant
	seen      uint64 // the number of the last mark that it has taken
	seq       uint64 // the newest event of which it has taken all
	attention int    // the number of items that it was told last
}

// all names every row that a new follower is shown: all workflows, active runs and agents, and the newest
// finished runs.
func (n *news) all(w *newsFollower, most int) *newsNames {
	all := &newsNames{}
	for id := range n.catalog.files {
		if w.grant.sees(id) {
			all.workflows = append(all.workflows, id)
		}
	}
	for workflow, ids := range n.queue.active {
		if w.grant.sees(workflow) {
			all.runs = append(all.runs, ids...)
		}
	}
	for i := len(n.state.Finished) - 1; i >= 0 && most > 0; i-- {
		if id := n.state.Finished[i]; w.grant.sees(n.state.Runs[id].Workflow) {
			all.runs = append(all.runs, id)
			most--
		}
	}
	if w.seesAgents() {
		for name := range n.state.Agents {
			all.agents = append(all.agents, name)
		}
	}
	all.sort()
	return all
}

// seesAgents says whether the peer may see agents, which belong to no workflow.
func (w *newsFollower) seesAgents() bool { return w.grant.may(protoOpOf("agents")) }

// newsShare says whose page is the same: those who have seen the same and may see the same.
type newsShare struct {
	seen, seq uint64
	attention int
	rights    string
}

// newsTaken is what a follower has taken: a page, and the names of the rows that the loop had no time for.
type newsTaken struct {
	page      *newsPage
	rest      *newsNames
	seen, seq uint64
	attention int
	gap       time.Duration // until it is to take more
}

// rights names what a grant lets its holder see: who has the same is sent the same.
func (w *newsFollower) rights() string { return w.grant.Role + "\x00" + w.grant.scope() }

// take gives what has changed since a follower took it last, up to the tick. What came after it is for the next one.
func (n *news) take(w *newsFollower) *newsTaken {
	n.beginTick()
	share := newsShare{w.seen, w.seq, w.attention, w.rights()}
	taken := n.pages[share]
	if taken == nil {
		names := n.since(w)
		changed := !names.empty() || n.acked > w.seen
		w.seen, w.seq = max(n.tick, w.seen), max(n.tickSeq, w.seq)
		page := &newsPage{head: Reply{Seq: w.seq}}
		if changed {
			page = n.page(w, names)
		}
		taken = &newsTaken{page: page, rest: names, seen: w.seen, seq: w.seq, attention: w.attention, gap: n.gap()}
		if names.empty() {
			n.pages[share] = taken
		}
	}
	w.seen, w.seq, w.attention = taken.seen, taken.seq, taken.attention
	if n.number > w.seen || n.queueDue || len(n.copier.fleet.pools.changed) > 0 {
		w.wake()
	}
	return taken
}

// more gives the next page of named rows, and at the end what needs a person, beside what a follower takes.
func (n *news) more(w *newsFollower, names *newsNames) *newsPage {
	n.beginTick()
	return n.page(w, names)
}

// since names the rows that have changed up to the tick since a follower took them last, of those that it may see. A
// row that has changed again after the tick is one of them, or one that changes all the time would never be sent.
func (n *news) since(w *newsFollower) *newsNames {
	names, agents := &newsNames{}, w.seesAgents()
	for e := n.marks.Back(); e != nil && e.Value.(*newsMark).number > w.seen; e = e.Prev() {
		m := e.Value.(*newsMark)
		switch {
		case m.number > n.tick && m.ticked <= w.seen:
		case m.kind == newsOfAgent && agents:
			names.agents = append(names.agents, m.name)
		case m.kind == newsOfWorkflow && w.grant.sees(m.name):
			names.workflows = append(names.workflows, m.name)
		case m.kind == newsOfRun && w.grant.sees(m.workflow):
			names.runs = append(names.runs, m.name)
		}
	}
	names.sort()
	return names
}

// sort puts the names into the order in which rows are sent: runs newest first.
func (names *newsNames) sort() {
	slices.Sort(names.workflows)
	slices.Sort(names.agents)
	slices.Sort(names.runs)
	slices.Reverse(names.runs)
}

// page takes names off the front of the lists and gives their rows: as many as a page has, and as the loop has time
// for. The last page has the number of what needs a person, if it is another than the follower was told.
func (n *news) page(w *newsFollower, names *newsNames) *newsPage {
	page := &newsPage{head: Reply{Seq: w.seq}}
	began, rows := time.Now(), 0
	for i, list := range []struct {
		names *[]string
		gone  *[]string
	}{newsOfAgent: {&names.agents, &page.head.GoneAgents}, newsOfWorkflow: {&names.workflows, &page.head.Gone},
		newsOfRun: {&names.runs, &page.head.GoneRuns}} {
		for len(*list.names) > 0 && (rows == 0 || rows < opsPage && time.Since(began) <= newsTurn) {
			name := (*list.names)[0]
			*list.names = (*list.names)[1:]
			rows++
			if row := n.copyOf(byte(i), name); row != nil {
				page.rows[i] = append(page.rows[i], row)
			} else {
				*list.gone = append(*list.gone, name)
			}
		}
	}
	if names.empty() {
		if count := n.countFor(w); count != w.attention {
			w.attention, page.head.Attention = count, &count
		}
	}
	return page
}

// newsCopy is what is sent of a row. Any goroutine may ask for its text.
type newsCopy struct {
	text func() []byte // the row as JSON; the first who asks encodes it
}

// newsCopyOf makes a copy of what row gives, which is called once, beside the loop.
func newsCopyOf(row func() any) *newsCopy {
	return &newsCopy{sync.OnceValue(func() []byte { return protoEncode(row()) })}
}

// copyOf gives the copy of a row, nil when there is no such row any more.
func (n *news) copyOf(kind byte, name string) *newsCopy {
	if now := n.cfg.now(); now.Sub(n.copiesAt).Abs() >= newsFresh {
		clear(n.copies)
		n.copiesAt = now
	}
	key := newsKey{kind, name}
	c := n.copies[key]
	if c == nil {
		if c = n.newCopy(kind, name); c != nil {
			n.copies[key] = c
			n.work.copied++
		}
	}
	return c
}

func (n *news) newCopy(kind byte, name string) *newsCopy {
	switch kind {
	case newsOfAgent:
		if n.state.Agents[name] != nil {
			a := n.copier.agentOf(name)
			return newsCopyOf(func() any { return a })
		}
	case newsOfWorkflow:
		if f := n.catalog.files[name]; f != nil {
			info := n.copier.infoOf(f)
			return newsCopyOf(func() any { return protoWorkflowRow(info) })
		}
	case newsOfRun:
		if r := n.state.Runs[name]; r != nil {
			n.ofWaiting(r) // who was shown something else is to see this too
			if r.State == runQueued {
				n.waits[r.ID] = n.copier.fleet.waitReason(r)
			}
			row := n.copier.rowOf(r)
			return newsCopyOf(func() any {
				row.Run, _ = protoRunRow(row.Run)
				return row
			})
		}
	}
	return nil
}

// countFor gives how much needs a person, of what a follower may see. It is counted once in a tick for all with the
// same rights.
func (n *news) countFor(w *newsFollower) int {
	count, known := n.counts[w.rights()]
	if !known {
		count = n.attention.count(w.grant)
		n.counts[w.rights()] = count
		n.work.counted++
	}
	return count
}

// newsPage is rows that are to be sent: what has gone and what needs a person in the head of a reply, and copies of the
// rows that are there, by their kind. Any goroutine may ask for the replies. They are made once for all who ask one
// after another with the same id of their request, and kept for one id at a time.
type newsPage struct {
	head Reply
	rows [newsKinds][]*newsCopy

	mu     sync.Mutex // guards the rest
	made   bool       // the replies are made
	id     string     // of the request that they answer
	bodies [][]byte   // the replies
}

// replies gives the page as replies to a request, each of which fits into a frame. There is none when the follower was
// woken for something that its peer may not see.
func (page *newsPage) replies(id string) [][]byte {
	page.mu.Lock()
	defer page.mu.Unlock()
	if page.made && page.id == id {
		return page.bodies
	}
	var bodies [][]byte
	head, size := page.head, 0
	head.V, head.ID, head.OK, head.More = protoVersion, id, true, true
	var part [newsKinds][]*newsCopy
	for kind, rows := range page.rows {
		for _, row := range rows {
			if n := len(row.text()); size > 0 && size+n > opsBytes {
				bodies = append(bodies, newsReply(&head, &part, size))
				head = Reply{V: head.V, ID: id, OK: true, More: true, Seq: head.Seq}
				part, size = [newsKinds][]*newsCopy{}, 0
			}
			part[kind] = append(part[kind], row)
			size += len(row.text())
		}
	}
	if gone := len(head.Gone) + len(head.GoneAgents) + len(head.GoneRuns); gone+size > 0 || head.Attention != nil {
		bodies = append(bodies, newsReply(&head, &part, size))
	}
	page.made, page.id, page.bodies = true, id, bodies
	return bodies
}

// newsReply puts rows that are JSON already, of size bytes together, into a reply.
func newsReply(head *Reply, rows *[newsKinds][]*newsCopy, size int) []byte {
	text := protoEncode(head)
	body := make([]byte, 0, len(text)+size+len(rows[0])+len(rows[1])+len(rows[2])+64)
	body = append(body, text[:len(text)-1]...)
	for kind, name := range [newsKinds]string{newsOfAgent: "agents", newsOfWorkflow: "workflows", newsOfRun: "rows"} {
		for i, row := range rows[kind] {
			if i == 0 {
				body = append(append(append(body, `,"`...), name...), `":[`...)
			} else {
				body = append(body, ',')
			}
			body = append(body, row.text()...)
		}
		if len(rows[kind]) > 0 {
			body = append(body, ']')
		}
	}
	return append(body, '}')
}
