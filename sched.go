// sched.go: when workflows fire. sched keeps the next tick of every schedule in a heap: the principal sets one timer,
// for the first of them, and nothing polls. schedDecide decides whether a tick becomes a run, and says why. missed
// finds the ticks that fell into a time when nobody looked, and schedCatchup decides which of those run. No goroutine
// and no clock of its own: the principal's loop owns a sched and passes the time in.

package main

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

const (
	schedMaxMissed = 1000            // ticks that one catch-up looks at; more are only counted
	schedMaxCount  = 100_000         // ticks that are counted one by one
	schedLate      = 1 * time.Minute // a tick that is found later than this was missed, not just late
)

// sched is the heap of coming ticks. The zero value is not ready: use schedNew.
type sched struct {
	zone    *time.Location // of workflows that name none
	entries map[string]*schedEntry
	heap    schedHeap
}

// schedEntry is one workflow with a schedule.
type schedEntry struct {
	spec   *Workflow
	exprs  []*cronExpr
	zone   *time.Location
	jitter time.Duration // fixed, made from the id
	floor  time.Time     // ticks at fixed times do not come again up to here: the clock was set back

	tick  time.Time // the next tick, as the schedule says it
	at    time.Time // when that is due: tick and jitter
	index int       // in the heap; -1 when no tick is to come
}

// schedTick is a tick that has come due.
type schedTick struct {
	spec *Workflow
	tick time.Time
}

// schedNew makes an empty schedule; zone is that of workflows that name none.
func schedNew(zone *time.Location) *sched {
	return &sched{zone: zone, entries: map[string]*schedEntry{}}
}

// schedSignature names what a schedule says. Ticks can have been missed only while it was the same.
func schedSignature(w *Workflow) string {
	return strings.TrimSpace(strings.Join(w.Schedule, " | ") + " " + w.Timezone)
}

// schedEntryOf reads the schedule of a workflow that was validated before.
func (s *sched) schedEntryOf(w *Workflow) (*schedEntry, error) {
	e := &schedEntry{spec: w, zone: s.zone, index: -1}
	if w.Timezone != "" {
		zone, err := zoneLoad(w.Timezone)
		if err != nil {
			return nil, fmt.Errorf("workflow %s: load timezone: %w", w.ID, err)
		}
		e.zone = zone
	}
	for _, text := range w.Schedule {
		expr, err := cronParse(text, w.ID)
		if err != nil {
			return nil, fmt.Errorf("workflow %s: schedule: %w", w.ID, err)
		}
		e.exprs = append(e.exprs, expr)
	}
	if w.Jitter > 0 {
		h := fnv.New64a()
		h.Write([]byte(w.ID))
		e.jitter = time.Duration(h.Sum64() % uint64(w.Jitter))
	}
	return e, nil
}

// next gives the first tick strictly after t that lies within the workflow's start and end.
func (e *schedEntry) next(t time.Time) (time.Time, bool) {
	if start := e.spec.StartTime.Time; !start.IsZero() && t.Before(start) {
		t = start.Add(-time.Nanosecond) // a tick at the start itself counts
	}
	var first time.Time
	for _, expr := range e.exprs {
		after := t
		if e.floor.After(t) && !expr.followsRealTime() {
			after = e.floor
		}
		if at, ok := expr.next(after, e.zone); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if end := e.spec.EndTime.Time; first.IsZero() || !end.IsZero() && first.After(end) {
		return time.Time{}, false
	}
	return first, true
}

// reboots says whether the workflow fires when the machine has booted.
func (e *schedEntry) reboots() bool { return e.firesAt(cronReboot) }

// starts says whether the workflow fires at each start of the principal.
func (e *schedEntry) starts() bool { return e.firesAt(cronStart) }

func (e *schedEntry) firesAt(occasion string) bool {
	return slices.ContainsFunc(e.exprs, func(expr *cronExpr) bool { return expr.firesAt() == occasion })
}

// set puts a workflow in, or its new version in place of the old one. Its first tick is the first one later than after.
func (s *sched) set(w *Workflow, after time.Time) (*schedEntry, error) {
	before := s.entries[w.ID]
	s.remove(w.ID)
	if len(w.Schedule) == 0 {
		return nil, nil
	}
	e, err := s.schedEntryOf(w)
	if err != nil {
		return nil, err
	}
	if before != nil {
		e.floor = before.floor
	}
	s.entries[w.ID] = e
	s.advance(e, after)
	return e, nil
}

// pending gives the tick that a workflow waits for. The tick is in the past while its jitter is not over.
func (s *sched) pending(id string) (tick time.Time, ok bool) {
	e := s.entries[id]
	if e == nil || e.index < 0 {
		return time.Time{}, false
	}
	return e.tick, true
}

// remove takes a workflow out; one that is not there is fine.
func (s *sched) remove(id string) {
	if e := s.entries[id]; e != nil {
		if e.index >= 0 {
			heap.Remove(&s.heap, e.index)
		}
		delete(s.entries, id)
	}
}

// advance moves an entry to its first tick after t, into or out of the heap.
func (s *sched) advance(e *schedEntry, t time.Time) {
	tick, ok := e.next(t)
	e.tick, e.at = tick, tick.Add(e.jitter)
	switch {
	case !ok && e.index >= 0:
		heap.Remove(&s.heap, e.index)
	case ok && e.index >= 0:
		heap.Fix(&s.heap, e.index)
	case ok:
		heap.Push(&s.heap, e)
	}
}

// due gives the ticks that are due at now, and moves their workflows on. Of a workflow that is late by more than
// schedLate it gives only the first tick: the caller finds the others with missed.
func (s *sched) due(now time.Time) []schedTick {
	var ticks []schedTick
	for len(s.heap) > 0 && !s.heap[0].at.After(now) {
		e := s.heap[0]
		ticks = append(ticks, schedTick{e.spec, e.tick})
		last := e.tick
		if now.Sub(e.at) > schedLate {
			last = now.Add(-e.jitter)
		}
		s.advance(e, last)
	}
	return ticks
}

// firstDue gives when the first tick of all is due; false when none is to come.
func (s *sched) firstDue() (time.Time, bool) {
	if len(s.heap) == 0 {
		return time.Time{}, false
	}
	return s.heap[0].at, true
}

// dueOf gives when the next tick of one workflow is due, jitter included.
func (s *sched) dueOf(id string) (time.Time, bool) {
	e := s.entries[id]
	if e == nil || e.index < 0 {
		return time.Time{}, false
	}
	return e.at, true
}

// copyOf gives a copy of the schedules that are wanted, for use by another goroutine. It serves coming and comingOfAll
// alone: its own heap is empty.
func (s *sched) copyOf(wanted func(workflow string) bool) *sched {
	c := schedNew(s.zone)
	for id, e := range s.entries {
		if wanted(id) {
			one := *e
			c.entries[id] = &one
		}
	}
	return c
}

// coming lists the next n ticks of one workflow after t, jitter included.
func (s *sched) coming(id string, t time.Time, n int) []time.Time {
	e := s.entries[id]
	if e == nil {
		return nil
	}
	var list []time.Time
	for len(list) < n {
		tick, ok := e.next(t)
		if !ok {
			break
		}
		list = append(list, tick.Add(e.jitter))
		t = tick
	}
	return list
}

// comingOfAll lists the next n ticks after t of all workflows that are wanted, in order, jitter included.
func (s *sched) comingOfAll(t time.Time, n int, wanted func(workflow string) bool) []Fire {
	var ahead schedHeap
	for _, id := range sortedKeys(s.entries) {
		if !wanted(id) {
			continue
		}
		e := *s.entries[id] // a copy: s.heap stays as it is
		if tick, ok := e.next(t); ok {
			e.tick, e.at, e.index = tick, tick.Add(e.jitter), len(ahead)
			ahead = append(ahead, &e)
		}
	}
	heap.Init(&ahead)
	fires := []Fire{}
	for len(fires) < n && len(ahead) > 0 {
		e := ahead[0]
		fires = append(fires, Fire{Workflow: e.spec.ID, At: stampOf(e.at)})
		tick, ok := e.next(e.tick)
		if !ok {
			heap.Pop(&ahead)
			continue
		}
		e.tick, e.at = tick, tick.Add(e.jitter)
		heap.Fix(&ahead, 0)
	}
	return fires
}

// missed lists the ticks after `after`, up to and including to: the newest schedMaxMissed of them, and how many there
// were in all. After schedMaxCount of them it stops counting and leaps to the last ones: there were at least total.
func (e *schedEntry) missed(after, to time.Time) (ticks []time.Time, total int) {
	last, leapt := after, false
	for {
		tick, ok := e.next(last)
		if !ok || tick.Add(e.jitter).After(to) {
			return ticks[max(0, len(ticks)-schedMaxMissed):], total
		}
		total++
		ticks = append(ticks, tick)
		if len(ticks) > 2*schedMaxMissed {
			ticks = append([]time.Time(nil), ticks[len(ticks)-schedMaxMissed:]...)
		}
		last = tick
		if total == schedMaxCount && !leapt {
			leapt = true
			usual := tick.Sub(after) / schedMaxCount
			if near := to.Add(-4 * schedMaxMissed * usual); near.After(last) {
				last, ticks = near, nil
			}
		}
	}
}

// schedVerdict is what becomes of one tick.
type schedVerdict struct {
	tick   time.Time
	fire   bool
	reason string // why it does not fire, or why it does though something is in the way
	missed int    // how many earlier ticks it speaks for too
}

// schedCatchup decides which missed ticks of a workflow (oldest first) run after all, by its catch-up policy. One
// verdict, on the newest of them, speaks for all that do not run. paused says who paused the schedule, "" when nobody
// did: while it is paused none of them runs.
func schedCatchup(w *Workflow, ticks []time.Time, total int, now time.Time, cause, paused string) []schedVerdict {
	if len(ticks) == 0 {
		return nil
	}
	drop := 0 // ticks[:drop] do not run
	switch w.Catchup {
	case catchupOnce:
		drop = len(ticks) - 1
	case catchupAll: // none is dropped
	default:
		drop = len(ticks)
	}
	byPolicy := drop
	window := time.Duration(w.CatchupWindow)
	for window > 0 && drop < len(ticks) && now.Sub(ticks[drop]) > window {
		drop++
	}
	reason := fmt.Sprintf("missed: %s (catchup: %s)", cause, orDefault(w.Catchup, catchupSkip))
	switch {
	case paused != "":
		drop, reason = len(ticks), fmt.Sprintf("missed: %s, and paused by %s", cause, paused)
	case drop > byPolicy:
		reason = fmt.Sprintf("missed: %s, and longer ago than catchup_window %s", cause, w.CatchupWindow)
	}
	var verdicts []schedVerdict
	if drop > 0 {
		unlisted := total - len(ticks)
		earlier := drop - 1 + unlisted // dropped ticks before the newest of them
		verdicts = append(verdicts, schedVerdict{tick: ticks[drop-1], reason: reason, missed: earlier})
	}
	for _, tick := range ticks[drop:] {
		verdicts = append(verdicts, schedVerdict{tick: tick, fire: true, reason: "caught up: " + cause})
	}
	return verdicts
}

// schedDecide decides whether a tick becomes a run, and says why not. paused says who paused the schedule, "" when
// nobody did. active are the runs of the workflow that are not over, and left says what earlier runs left that still
// lives, "" when nothing does. With overlap: replace the caller cancels the active runs.
func schedDecide(w *Workflow, tick time.Time, paused string, active []string, left string) schedVerdict {
	v := schedVerdict{tick: tick}
	free := len(active) == 0 && left == ""
	switch {
	case paused != "":
		v.reason = "paused by " + paused
	case free || w.Overlap == overlapAllow:
		v.fire = true
	case len(active) == 0 && (w.Overlap == overlapQueue || w.Overlap == overlapReplace):
		v.fire, v.reason = true, "queued: "+left
	case len(active) == 0:
		v.reason = "overlap: " + left
	case w.Overlap == overlapQueue:
		v.fire, v.reason = true, "queued behind run "+active[len(active)-1]
	case w.Overlap == overlapReplace:
		v.fire, v.reason = true, "in place of run "+strings.Join(active, ", ")
	default:
		v.reason = fmt.Sprintf("overlap: run %s is still active", active[0])
	}
	return v
}

// schedHeap orders entries by when they are due; container/heap drives it.
type schedHeap []*schedEntry

func (h schedHeap) Len() int { return len(h) }
func (h schedHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].spec.ID < h[j].spec.ID
	}
	return h[i].at.Before(h[j].at)
}
func (h schedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *schedHeap) Push(x any) {
	e := x.(*schedEntry)
	e.index = len(*h)
	*h = append(*h, e)
}
func (h *schedHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	e.index = -1
	return e
}
