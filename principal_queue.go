// principal_queue.go: the runs that wait for an agent, in the order in which they are to go, and all runs that are
// active. What of the queue a party may take is in principal_shares.go.

package main

import (
	"slices"
	"sort"
	"time"
)

// queue is the queued and the active runs. It belongs to the principal's loop.
type queue struct {
	*principalLoop
	runs []*Run         // queued, in the order in which they are to go
	by   map[string]int // how many of them each has queued; "" is the principal itself
	mem  int64          // bytes of memory that these take, about; see queueRunMem
	// when those were queued that are not queued for the first time, or were queued before the principal started
	requeued map[string]time.Time
	active   map[string][]string // workflow -> its active runs, oldest first
	// workflow -> the same as they go one by one; of those for which somebody has asked
	lines   map[string]*queueLine
	counted bool // cfg.tell knows how many there are
}

// queueNew makes an empty queue.
func queueNew(loop *principalLoop) *queue {
	return &queue{principalLoop: loop, by: map[string]int{}, requeued: map[string]time.Time{},
		active: map[string][]string{}, lines: map[string]*queueLine{}}
}

// queueLine is the active runs of a workflow of which one goes after the other.
type queueLine struct {
	running []*Run // the one that has gone first in front
	queued  []*Run // in the order of the queue
}

// put puts a run into the line, or takes it out, as one that is in that state.
func (l *queueLine) put(r *Run, state string, in bool) {
	list, at := &l.running, len(l.running)
	switch {
	case state == runQueued:
		list, at = &l.queued, sort.Search(len(l.queued), func(i int) bool { return !queuedBefore(l.queued[i], r) })
	case state != runRunning:
		return
	case !in:
		at = slices.Index(l.running, r)
	}
	if in {
		*list = inserted(*list, at, r)
	} else if at >= 0 && at < len(*list) && (*list)[at] == r {
		*list = queueWithout(*list, at)
	}
}

// ahead gives a run of the same workflow that must end before a queued one goes, where they go one by one; nil when
// there is none. r may be a copy.
func (q *queue) ahead(r *Run) *Run {
	l := q.lines[r.Workflow]
	if l == nil {
		l = &queueLine{}
		for _, id := range q.active[r.Workflow] {
			other := q.state.Runs[id]
			l.put(other, other.State, true)
		}
		q.lines[r.Workflow] = l
	}
	for _, list := range [][]*Run{l.running, l.queued} {
		if len(list) > 0 && list[0].ID != r.ID {
			return list[0]
		}
	}
	return nil
}

// observe brings the queue and the active runs up to date.
func (q *queue) observe(c change) {
	r := c.run
	if !c.moved() {
		return
	}
	q.counted = false
	if l := q.lines[r.Workflow]; l != nil {
		l.put(r, c.before, false)
		l.put(r, r.State, true)
	}
	if c.before == runQueued {
		q.mem -= queueMemOf(r)
		if at := q.place(r); at < len(q.runs) && q.runs[at] == r {
			q.runs = queueWithout(q.runs, at)
		}
		q.by[r.By]--
		if q.by[r.By] == 0 {
			delete(q.by, r.By)
		}
		delete(q.requeued, r.ID)
	}
	if r.State == runQueued {
		q.runs = inserted(q.runs, q.place(r), r)
		q.by[r.By]++
		q.mem += queueMemOf(r)
		if r.Attempt > 1 || r.Lease > 0 {
			q.requeued[r.ID] = q.cfg.now()
		}
	}
	switch {
	case c.began():
		q.active[r.Workflow] = append(q.active[r.Workflow], r.ID)
	case c.ended():
		q.active[r.Workflow] = queueWithout(q.active[r.Workflow], slices.Index(q.active[r.Workflow], r.ID))
		if len(q.active[r.Workflow]) == 0 {
			delete(q.active, r.Workflow)
			delete(q.lines, r.Workflow)
		}
	}
}

// since gives when a queued run began to wait.
func (q *queue) since(r *Run) time.Time {
	if again, ok := q.requeued[r.ID]; ok {
		return again
	}
	return r.Queued.Time
}

// place gives where a run is in the queue, or would be.
func (q *queue) place(r *Run) int {
	return sort.Search(len(q.runs), func(i int) bool { return !queuedBefore(q.runs[i], r) })
}

// queueWithout takes one off a list, which is mostly the first: then nothing is moved.
func queueWithout[T any](list []T, at int) []T {
	if at == 0 {
		var none T
		list[0] = none
		return list[1:]
	}
	return slices.Delete(list, at, at+1)
}

// queuedBefore is the order of the queue: higher priority first, then the older run.
func queuedBefore(a, b *Run) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.ID < b.ID
}

// queueMemOf gives about how much memory a run takes, with the event that fired it.
func queueMemOf(r *Run) int64 {
	mem := queueRunMem(r.Params, len(r.Tasks))
	if e := r.Event; e != nil {
		mem += int64(len(e.Line))
		for _, path := range e.Paths {
			mem += int64(len(path))
		}
	}
	return mem
}

// queueRunMem gives about how much memory a queued run takes.
func queueRunMem(params map[string]string, tasks int) int64 {
	const run, task = 1 << 10, 300
	return int64(run + tasks*task + paramsSize(params))
}

// mayQueue says why nothing can be queued now, nil when it can: by whom grant is for, who is called by; nil is the
// principal itself. Only on the loop.
func (q *queue) mayQueue(grant *authGrant, by string) *protoError {
	if err := q.store.failing(); err != nil {
		return refuse(codeNoSpace, "the journal cannot be written: %v", err)
	}
	most := principalMaxQueued
	switch {
	case grant == nil:
	case grant.operates() && by != peerAnyone:
		most -= sharesQueueOwn
	case q.by[by] >= sharesQueued:
		return refuse(codeBusy, "%d runs of %s are queued already", q.by[by], by)
	default:
		most -= sharesQueueOwn + sharesQueueOperators
	}
	return q.room(most)
}

// room says why nothing can be queued where so many runs may be, nil when it can.
func (q *queue) room(most int) *protoError {
	if len(q.runs) >= most {
		return refuse(codeBusy, "%d runs are queued already", len(q.runs))
	}
	if q.mem >= principalMaxQueuedMem/principalMaxQueued*int64(most) { // the same shares of the memory
		return refuse(codeBusy, "the %d runs that are queued already take %d MiB of memory", len(q.runs),
			q.mem>>20)
	}
	return nil
}
