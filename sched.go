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
	schedMaxMissed = 1000            // fires that one catch-up looks at; more are only counted
	schedMaxCount  = 100_000         // fires that are counted one by one
	schedLate      = 1 * time.Minute // a fire that is found later than this was missed, not just late
)

// sched is the heap of coming ticks. The zero value is not ready: use schedNew.
type sched struct {
	entries map[string]*schedEntry
	heap    schedHeap

	// What entries share.
	exprs  map[string]schedExpr  // by their texts
	clocks map[string]schedClock // by the names of their zones, as workflows have them; "" is that of the principal
}

// schedEntry is one workflow with a schedule. There may be 100,000: so times are in seconds since 1970, and what
// several entries have in common they share.
type schedEntry struct {
	spec   *Workflow
	exprs  []*cronTimes // of spec.Schedule, in its order
	clock  *cronClock
	jitter time.Duration // fixed, made from the id
	days   *schedDays    // on which it fires; nil: on all of them
	after  int64         // of a copy: only later ticks are wanted; 0: all are
	floor  int64         // ticks at fixed times do not come again up to here: the clock was set back; 0: it was not

	coming int64 // the next tick, as the schedule says it, while index is not -1
	index  int   // in the heap; -1 when no tick is to come
}

// schedExpr is an expression, and how many entries have it.
type schedExpr struct {
	times *cronTimes
	uses  int
}

// schedClock is the clock of a zone, and how many entries have it.
type schedClock struct {
	clock *cronClock
	uses  int
}

// schedTick is a tick that has come due.
type schedTick struct {
	spec *Workflow
	tick time.Time
}

// schedNew makes an empty schedule; zone is that of workflows that name none.
func schedNew(zone *time.Location) *sched {
	return &sched{entries: map[string]*schedEntry{}, exprs: map[string]schedExpr{},
		clocks: map[string]schedClock{"": {cronClockOf(zone), 1}}} // that one stays
}

// schedSignature names what a schedule says. Ticks can have been missed only while it was the same.
func schedSignature(w *Workflow) string {
	says := strings.TrimSpace(strings.Join(w.Schedule, " | ") + " " + w.Timezone)
	if len(w.Except) > 0 {
		says += " except " + strings.Join(w.Except, " ")
	}
	if len(w.Only) > 0 {
		says += " only " + strings.Join(w.Only, " ")
	}
	return says
}

// entryOf reads the schedule of a workflow that was validated before. The entry counts as a use of what it shares.
func (s *sched) entryOf(w *Workflow) (*schedEntry, error) {
	e := &schedEntry{spec: w, index: -1, exprs: make([]*cronTimes, 0, len(w.Schedule))}
	var err error
	e.clock, err = s.takeClock(w.Timezone)
	if err != nil {
		return nil, fmt.Errorf("workflow %s: load timezone: %w", w.ID, err)
	}
	for _, text := range w.Schedule {
		expr, err := s.take(text, w.ID)
		if err != nil {
			s.giveBack(e)
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

// takeClock gives the clock of a zone, the same to all entries that are in it: zone data is read for the first of them.
// giveBack must follow.
func (s *sched) takeClock(name string) (*cronClock, error) {
	shared := s.clocks[name]
	if shared.uses == 0 {
		zone, err := zoneLoad(name)
		if err != nil {
			return nil, err
		}
		shared.clock = cronClockOf(zone)
	}
	shared.uses++
	s.clocks[name] = shared
	return shared.clock, nil
}

// take gives an expression, the same to all who ask for one text unless it depends on the id. giveBack must follow.
func (s *sched) take(text, id string) (*cronTimes, error) {
	shared := s.exprs[text]
	if shared.times == nil {
		expr, err := cronParse(text, id)
		if err != nil {
			return nil, err
		}
		times := expr.cronTimes // without what only those who write the file want to know
		if expr.own {
			return &times, nil
		}
		shared.times = &times
	}
	shared.uses++
	s.exprs[text] = shared
	return shared.times, nil
}

// giveBack forgets the zone and the expressions of an entry that no other has.
func (s *sched) giveBack(e *schedEntry) {
	zone := s.clocks[e.spec.Timezone]
	zone.uses--
	if zone.uses > 0 {
		s.clocks[e.spec.Timezone] = zone
	} else {
		delete(s.clocks, e.spec.Timezone)
	}
	for i, times := range e.exprs {
		text := e.spec.Schedule[i]
		shared := s.exprs[text]
		if shared.times != times { // its own
			continue
		}
		shared.uses--
		if shared.uses > 0 {
			s.exprs[text] = shared
		} else {
			delete(s.exprs, text)
		}
	}
}

// next gives the first tick strictly after t that lies within the workflow's start and end.
func (e *schedEntry) next(t time.Time) (time.Time, bool) {
	tick, ok := e.nextUnix(t.Unix())
	if !ok {
		return time.Time{}, false
	}
	return e.timeOf(tick), true
}

// nextUnix is next in seconds since 1970.
func (e *schedEntry) nextUnix(t int64) (first int64, ok bool) {
	if start := e.spec.StartTime.Time; !start.IsZero() {
		t = max(t, start.Add(-time.Nanosecond).Unix()) // a tick at the start itself counts
	}
	if e.after != 0 {
		t = max(t, e.after)
	}
	for _, expr := range e.exprs {
		after := t
		if e.floor != 0 && !expr.followsRealTime() {
			after = max(t, e.floor)
		}
		if at, fires := expr.nextUnix(after, e.clock); fires && (!ok || at < first) {
			first, ok = at, true
		}
	}
	if end := e.spec.EndTime.Time; ok && !end.IsZero() && first > end.Unix() {
		return 0, false
	}
	return first, ok
}

// timeOf gives a tick as a time in the zone of the schedule.
func (e *schedEntry) timeOf(tick int64) time.Time { return time.Unix(tick, 0).In(e.clock.zone) }

// tick gives the next tick, as the schedule says it.
func (e *schedEntry) tick() time.Time { return e.timeOf(e.coming) }

// at gives when the next tick is due: the tick and the jitter.
func (e *schedEntry) at() time.Time { return e.tick().Add(e.jitter) }

// reboots says whether the workflow fires when the machine has booted.
func (e *schedEntry) reboots() bool { return e.firesAt(cronReboot) }

// starts says whether the workflow fires at each start of the principal.
func (e *schedEntry) starts() bool { return e.firesAt(cronStart) }

func (e *schedEntry) firesAt(occasion string) bool {
	return slices.ContainsFunc(e.exprs, func(expr *cronTimes) bool { return expr.firesAt() == occasion })
}

// set puts a workflow in, or its new version in place of the old one, with the days on which it fires. Its first tick
// is the first one later than after.
func (s *sched) set(w *Workflow, days *schedDays, after time.Time) (*schedEntry, error) {
	before := s.entries[w.ID]
	if len(w.Schedule) == 0 {
		s.remove(w.ID)
		return nil, nil
	}
	e, err := s.entryOf(w)
	s.remove(w.ID)
	if err != nil {
		return nil, err
	}
	e.days = days
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
	return e.tick(), true
}

// remove takes a workflow out; one that is not there is fine.
func (s *sched) remove(id string) {
	if e := s.entries[id]; e != nil {
		if e.index >= 0 {
			heap.Remove(&s.heap, e.index)
		}
		s.giveBack(e)
		delete(s.entries, id)
	}
}

// advance moves an entry to its first tick after t, into or out of the heap.
func (s *sched) advance(e *schedEntry, t time.Time) {
	tick, ok := e.nextUnix(t.Unix())
	if ok {
		e.coming = tick
	}
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
	for len(s.heap) > 0 && !s.heap[0].at().After(now) {
		e := s.heap[0]
		last := e.tick()
		ticks = append(ticks, schedTick{e.spec, last})
		if now.Sub(e.at()) > schedLate {
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
	return s.heap[0].at(), true
}

// dueOf gives when the next tick of one workflow is due that may fire, jitter included.
func (s *sched) dueOf(id string) (time.Time, bool) {
	e := s.entries[id]
	if e == nil || e.index < 0 {
		return time.Time{}, false
	}
	if e.days == nil {
		return e.at(), true
	}
	tick, ok := e.nextFire(e.tick().Add(-time.Second))
	return tick.Add(e.jitter), ok
}

// copyOf gives a copy of the schedules that are wanted, for use by another goroutine. It serves coming and comingOfAll
// alone: its own heap is empty.
func (s *sched) copyOf(wanted func(workflow string) bool) *sched {
	c := &sched{entries: map[string]*schedEntry{}}
	for id, e := range s.entries {
		if wanted(id) {
			one := *e
			c.entries[id] = &one
		}
	}
	return c
}

// coming lists the next n ticks of one workflow after t that may fire, jitter included.
func (s *sched) coming(id string, t time.Time, n int) []time.Time {
	e := s.entries[id]
	if e == nil {
		return nil
	}
	var list []time.Time
	for len(list) < n {
		tick, ok := e.nextFire(t)
		if !ok {
			break
		}
		list = append(list, tick.Add(e.jitter))
		t = tick
	}
	return list
}

// comingOfAll lists the next n ticks after t that may fire, of all workflows that are wanted, in order, jitter
// included. Where a cursor is given the list begins behind the fire that it names, and the second result is the cursor
// of what follows, "" when nothing does.
func (s *sched) comingOfAll(t time.Time, n int, cursor string, wanted func(workflow string) bool) ([]Fire, string) {
	last, lastID, _ := strings.Cut(cursor, " ")
	lastAt, err := time.Parse(time.RFC3339Nano, last)
	behind := err == nil
	var ahead schedHeap
	for _, id := range sortedKeys(s.entries) {
		if !wanted(id) {
			continue
		}
		e := *s.entries[id] // a copy: s.heap stays as it is
		from := t
		if behind {
			from = lastAt.Add(-e.jitter)
			if id > lastID && from.Nanosecond() == 0 {
				from = from.Add(-time.Second)
			}
		}
		if tick, ok := e.nextFireUnix(from.Unix()); ok {
			e.coming, e.index = tick, len(ahead)
			ahead = append(ahead, &e)
		}
	}
	heap.Init(&ahead)
	fires, next := []Fire{}, ""
	for len(fires) < n && len(ahead) > 0 {
		e := ahead[0]
		next = e.at().UTC().Format(time.RFC3339Nano) + " " + e.spec.ID
		fires = append(fires, Fire{Workflow: e.spec.ID, At: stampOf(e.at())})
		tick, ok := e.nextFireUnix(e.coming)
		if !ok {
			heap.Pop(&ahead)
			continue
		}
		e.coming = tick
		heap.Fix(&ahead, 0)
	}
	if len(ahead) == 0 {
		next = ""
	}
	return fires, next
}

// missed lists the ticks after `after` that might have fired, up to and including to: the newest schedMaxMissed of
// them, and how many there were in all. After schedMaxCount of them it stops counting and leaps to the last ones: there
// were at least total.
func (e *schedEntry) missed(after, to time.Time) (ticks []time.Time, total int) {
	last, leapt := after, false
	for {
		tick, ok := e.nextFire(last)
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

// schedMissed begins the reason of a tick that was not decided in time, and does not fire.
const schedMissed = "missed: "

// schedVerdict is what becomes of one tick.
type schedVerdict struct {
	tick   time.Time
	fire   bool
	reason string // why it does not fire, or why it does though something is in the way
	missed int    // how many earlier ticks it speaks for too
	behind bool   // it fires, and goes when a run of a batch has ended
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
	reason := fmt.Sprintf(schedMissed+"%s (catchup: %s)", cause, orDefault(w.Catchup, catchupSkip))
	switch {
	case paused != "":
		drop, reason = len(ticks), fmt.Sprintf(schedMissed+"%s, and paused by %s", cause, paused)
	case drop > byPolicy:
		reason = fmt.Sprintf(schedMissed+"%s, and longer ago than catchup_window %s", cause, w.CatchupWindow)
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
	// whole seconds first: the sum in nanoseconds holds no years after 2262
	a, b := h[i].coming+int64(h[i].jitter/time.Second), h[j].coming+int64(h[j].jitter/time.Second)
	if a != b {
		return a < b
	}
	if x, y := h[i].jitter%time.Second, h[j].jitter%time.Second; x != y {
		return x < y
	}
	return h[i].spec.ID < h[j].spec.ID
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
