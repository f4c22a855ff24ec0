// principal_listen.go: the listeners of workflows (on). Files and commands have a goroutine each, which hands what it
// has seen to the loop; the ends of runs the loop sees itself. The loop decides what fires, and when: an event waits
// while its workflow is paused, while it is joined with others (debounce), and while the listener has fired too often
// (rate). What was dealt with is in the state, so what came meanwhile fires after a restart, once.

package main

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"time"
)

const (
	listenMaxWaiting = 10_000          // events of a listener that wait; further files are looked for later
	listenMaxJoined  = 1000            // events that one fire is for; the next fire is for the others
	listenMaxPaths   = 128 << 10       // bytes of their paths, for the same reason
	listenMaxDepth   = 16              // runs in a row of which each was fired by the end of the one before
	listenTryAgain   = 1 * time.Minute // after a fire that was refused because there is no room
)

// listeners are the listeners of all workflows. They belong to the principal's loop.
type listeners struct {
	*principalLoop
	catalog   *catalog
	timetable *timetable
	enqueue   func(*Workflow, runOrder) (string, *protoError)

	touch func(workflow string) // has those who look at a workflow look again
	run   func(func())          // runs what listens to files or a command; tests have another

	ctx  context.Context         // of the loop; nil before it runs: nothing is listened to then
	next time.Time               // when fireDue has something to do; zero: nothing is due
	all  map[string][]*listening // by workflow, in the order of its file
	ends map[string][]*listening // those for runs of a workflow, by that workflow
	wait map[*listening]bool     // those with events that wait
	ill  map[*listening]bool     // those with a trouble, see listenTroubles
}

// listening is a listener at work. It belongs to the loop.
type listening struct {
	*Listener
	spec *Workflow
	key  string
	stop context.CancelFunc // ends its goroutine

	// Events that wait, the oldest first; when the first of them came; when they are looked at next.
	waiting []listenEvent
	queued  map[string]bool // the keys of those that have one
	first   time.Time
	due     time.Time
	more    func() // has all files, or runs, looked for anew; nil: lines do not come again
	missed  bool   // some did not fit among those that wait

	// How many fires it has left, and since when.
	left   float64
	filled time.Time

	// For people.
	fired   int
	dropped int
	last    Stamp
	listenTroubles
}

// listenEvent is an event, and what it is known by.
type listenEvent struct {
	EventSeen
	line     string
	workflow string
	run      string
	state    string
	depth    int
	live     bool // it was seen to come: no time needs to say that it is new
}

// listenersNew makes listeners without any.
func listenersNew(loop *principalLoop, catalog *catalog, timetable *timetable,
	enqueue func(*Workflow, runOrder) (string, *protoError)) *listeners {
	return &listeners{principalLoop: loop, catalog: catalog, timetable: timetable, enqueue: enqueue,
		run: loop.workers.Go,
		all: map[string][]*listening{}, ends: map[string][]*listening{}, wait: map[*listening]bool{},
		ill: map[*listening]bool{}}
}

// begin begins to listen, for all workflows that are known. The listeners end with ctx.
func (l *listeners) begin(ctx context.Context) {
	if l.cfg.NoScheduler {
		return
	}
	l.ctx = ctx
	for _, id := range l.catalog.ids {
		if f := l.catalog.files[id]; f.Spec != nil {
			l.set(f.Spec)
		}
	}
}

// set has the listeners of a workflow be those that its file has now. One that has not changed goes on.
func (l *listeners) set(w *Workflow) {
	before := l.all[w.ID]
	if l.ctx == nil || len(before)+len(w.On) == 0 {
		return
	}
	var now []*listening
	for i := range w.On {
		on := &w.On[i]
		at := slices.IndexFunc(before, func(o *listening) bool { return reflect.DeepEqual(o.Listener, on) })
		if at >= 0 {
			before[at].spec = w
			now = append(now, before[at])
			before = slices.Delete(slices.Clone(before), at, at+1)
		} else {
			now = append(now, l.open(w, on))
		}
	}
	for _, o := range before {
		l.close(o)
	}
	l.all[w.ID] = now
	if len(now) == 0 {
		delete(l.all, w.ID)
	}
}

// remove ends the listeners of a workflow.
func (l *listeners) remove(id string) {
	for _, o := range l.all[id] {
		l.close(o)
	}
	delete(l.all, id)
}

// open begins one listener.
func (l *listeners) open(w *Workflow, on *Listener) *listening {
	o := &listening{Listener: on, spec: w, key: on.key(), queued: map[string]bool{}, filled: l.cfg.now()}
	o.left = float64(o.rate())
	ctx, cancel := context.WithCancel(l.ctx)
	o.stop = cancel
	begins := l.known(o) == nil
	switch {
	case on.File != nil:
		f := listenFilesNew(on.File, begins, listenTold(l, o))
		o.more = f.lookAgain
		l.run(func() { f.runListenFiles(ctx) })
	case on.Command != nil:
		if begins {
			l.emitBegin(o, nil, l.cfg.now())
		}
		c := listenLinesNew(on.Command, listenTold(l, o), l.cfg.Log.With("workflow", w.ID))
		c.environ = l.cfg.Environ
		l.run(func() { c.runListenLines(ctx) })
	default:
		up := l.state.Workflows[on.Workflow.ID]
		if begins || up == nil || !up.Heard {
			l.emitBegin(o, nil, l.cfg.now())
		}
		l.ends[on.Workflow.ID] = append(l.ends[on.Workflow.ID], o)
		o.more = func() {
			for _, end := range l.state.Workflows[on.Workflow.ID].Ends {
				l.endOf(o, l.state.Runs[end.Run], end.Seq)
			}
		}
		o.looked = true
		o.more()
	}
	return o
}

// known gives what the state knows of a listener, nil while it has not begun.
func (l *listeners) known(o *listening) *Listened {
	if w := l.state.Workflows[o.spec.ID]; w != nil {
		return w.Listens[o.key]
	}
	return nil
}

// emitBegin has the state know of a listener from now on: nothing up to since counts, nor do the files there.
func (l *listeners) emitBegin(o *listening, there []EventSeen, since time.Time) {
	e := &Event{Kind: evListening, Workflow: o.spec.ID, Key: o.key, Scheduled: stampOf(since), Seen: there}
	if known := l.state.Workflows[o.spec.ID]; known != nil && len(known.Listens) >= listenMaxKnown {
		for i := range o.spec.On {
			e.Items = append(e.Items, o.spec.On[i].key())
		}
	}
	l.emit(e)
}

// close ends one listener. What waits with it is forgotten: a listener that is opened anew finds it again.
func (l *listeners) close(o *listening) {
	o.stop()
	delete(l.wait, o)
	delete(l.ill, o)
	if o.Workflow != nil {
		of := l.ends[o.Workflow.ID]
		l.ends[o.Workflow.ID] = slices.DeleteFunc(of, func(other *listening) bool { return other == o })
	}
}

// listenTeller is how a goroutine tells the loop. The functions may wait for the loop, and not be called on it.
type listenTeller struct {
	// a listener to files that the state does not know has looked: these were there, the oldest in front, and nothing
	// up to since counts
	began func(there []EventSeen, since time.Time)
	came  func(events []listenEvent, dropped int) // dropped are those that did not fit
	// what keeps it from listening, "" when nothing does any more; brief: it may be over before anybody comes
	trouble func(text string, brief bool)
}

// listenTold makes the functions by which the goroutine of a listener tells the loop.
func listenTold(l *listeners, o *listening) listenTeller {
	return listenTeller{
		began: func(there []EventSeen, since time.Time) {
			l.call(func() {
				if l.listens(o) && l.known(o) == nil {
					l.emitBegin(o, there, since)
					l.touch(o.spec.ID)
				}
			})
		},
		came: func(events []listenEvent, dropped int) {
			l.call(func() {
				if dropped > 0 {
					l.lose(o, dropped)
				}
				for _, e := range events {
					l.came(o, e)
				}
			})
		},
		trouble: func(text string, brief bool) { l.call(func() { l.hearTrouble(o, text, brief) }) },
	}
}

// listens says whether a listener is at work: what comes from one that was closed does not count.
func (l *listeners) listens(o *listening) bool {
	return l.ctx != nil && slices.Contains(l.all[o.spec.ID], o)
}

// observe sees the ends of runs. It emits nothing: fireDue does.
func (l *listeners) observe(c change) {
	if len(l.ends) == 0 || !c.ended() {
		return
	}
	for _, o := range l.ends[c.run.Workflow] {
		l.endOf(o, c.run, c.event.Seq)
	}
}

// endOf takes the end of a run as an event of a listener, if it is one. It is known by the number of the event that
// ended the run: the time is by the clock of an agent, which may have come back long after.
func (l *listeners) endOf(o *listening, r *Run, seq uint64) {
	if r.Workflow != o.Workflow.ID || r.State != o.Workflow.state() {
		return
	}
	depth := 1
	for up := r; up != nil; up = l.state.Runs[up.Parent] { // a run that a task has started is of its parent's row
		if up.Event != nil {
			depth += up.Event.Depth
			break
		}
	}
	l.came(o, listenEvent{EventSeen: EventSeen{Key: r.ID + "/" + strconv.Itoa(r.Attempt), At: r.Finished, Seq: seq},
		workflow: r.Workflow, run: r.ID, state: r.State, depth: depth})
}

// came takes an event in, unless it was dealt with before.
func (l *listeners) came(o *listening, e listenEvent) {
	known := l.known(o)
	switch {
	case !l.listens(o) && o.Workflow == nil: // one for workflows may be on its way into the list
		return
	case o.Command == nil && known != nil && !e.live && !known.isNew(e.EventSeen):
		return
	case o.queued[e.Key]:
		at := slices.IndexFunc(o.waiting, func(w listenEvent) bool { return w.Key == e.Key })
		if was := o.waiting[at]; !was.At.Equal(e.At.Time) || was.Sign != e.Sign {
			// it goes behind those that came before it: the state counts on that
			o.waiting = append(slices.Delete(o.waiting, at, at+1), e)
		}
		return
	case len(o.waiting) >= listenMaxWaiting || o.missed && o.more != nil: // none overtakes those that were missed
		o.dropped++
		o.missed = true
		return
	}
	if e.Key != "" {
		o.queued[e.Key] = true
	}
	if len(o.waiting) == 0 {
		o.first = l.cfg.now()
		o.due = o.first.Add(time.Duration(o.Debounce))
	}
	if n := len(o.waiting); n > 0 && o.Debounce > 0 {
		o.waiting[n-1].line = "" // the newest of a fire is all that counts
	}
	o.waiting = append(o.waiting, e)
	l.wait[o] = true
	if l.next.IsZero() || o.due.Before(l.next) { // fireDue may have been called in this turn already
		l.next = o.due
	}
}

// rate gives how many fires a listener has a minute.
func (o *listening) rate() int {
	if o.Rate > 0 {
		return o.Rate
	}
	return listenRate
}

// fireDue fires what is due.
func (l *listeners) fireDue(now time.Time) {
	l.next = time.Time{}
	for o := range l.wait {
		l.forgetUndone(o)
		paused := l.timetable.pausedBy(o.spec.ID) != ""
		if paused {
			l.relieve(o)
			if o.Command != nil {
				o.dropAll()
			}
		}
		for len(o.waiting) > 0 && !o.due.After(now) && !paused {
			if !l.fireOne(o, now) {
				break
			}
		}
		switch {
		case len(o.waiting) == 0:
			delete(l.wait, o)
			l.relieve(o)
			if o.missed && o.more != nil {
				o.missed = false
				o.more()
			}
		case paused: // the resume is a turn of its own
		case l.next.IsZero() || o.due.Before(l.next):
			l.next = o.due
		}
	}
}

// until gives how long the loop may sleep, at most wait.
func (l *listeners) until(now time.Time, wait time.Duration) time.Duration {
	if l.next.IsZero() {
		return wait
	}
	return min(wait, max(0, l.next.Sub(now)))
}

// forgetUndone drops the ends of runs that have been queued again since.
func (l *listeners) forgetUndone(o *listening) {
	if o.Workflow == nil {
		return
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(e listenEvent) bool {
		r := l.state.Runs[e.run]
		undone := r != nil && r.State != e.state
		if undone {
			delete(o.queued, e.Key)
		}
		return undone
	})
}

// fireOne makes a run of the events that wait first. False when none can be made now: then due says when.
func (l *listeners) fireOne(o *listening, now time.Time) bool {
	if by := now.Sub(o.filled); by > 0 {
		o.left = min(o.left+by.Minutes()*float64(o.rate()), float64(o.rate()))
	}
	o.filled = now
	if o.left < 1 {
		o.due = now.Add(time.Duration((1 - o.left) / float64(o.rate()) * float64(time.Minute)))
		l.hold(o)
		return false
	}
	n := o.joined()
	events := o.waiting[:n]
	fired := o.eventOf(events)
	var seen []EventSeen
	for _, e := range events {
		if o.Command == nil {
			delete(o.queued, e.Key)
			seen = append(seen, e.EventSeen)
		}
	}
	refused := l.order(o, fired, seen)
	if refused != nil && slices.Contains([]string{codeBusy, codeNoSpace, codeStopping}, refused.Code) {
		for _, e := range seen {
			o.queued[e.Key] = true
		}
		o.due = now.Add(listenTryAgain)
		if o.Command != nil {
			o.dropAll()
		}
		return false
	}
	o.left--
	o.last = stampOf(now)
	clear(events) // so that what was fired is let go
	o.waiting = o.waiting[n:]
	o.first, o.due = now, now
	return true
}

// joined gives how many of the events that wait the next fire is for.
func (o *listening) joined() int {
	switch {
	case o.Debounce == 0:
		return 1
	case o.Command != nil: // the newest line is all that the run has of them
		return len(o.waiting)
	}
	n, size := 0, 0
	for n < min(len(o.waiting), listenMaxJoined) {
		if size += len(o.waiting[n].Key); n > 0 && size > listenMaxPaths {
			break
		}
		n++
	}
	return n
}

// dropAll drops the lines that wait.
func (o *listening) dropAll() {
	o.dropped += len(o.waiting)
	o.waiting = nil
}

// order makes a run of an event, or records why not. What may work later is given back.
func (l *listeners) order(o *listening, e *RunEvent, seen []EventSeen) *protoError {
	var refused *protoError
	if e.Depth > listenMaxDepth {
		refused = refuse(codeConflict, "%d runs in a row were fired by the end of the one before: two workflows "+
			"listen to each other", listenMaxDepth)
	} else {
		_, refused = l.enqueue(o.spec, runOrder{trigger: triggerEvent, event: e, seen: seen})
	}
	switch {
	case refused == nil:
		o.fired++
		l.hearRefused(o, nil)
	case slices.Contains([]string{codeBusy, codeNoSpace, codeStopping}, refused.Code):
		l.hearRefused(o, refused)
	default:
		l.hearRefused(o, refused)
		l.emit(&Event{Kind: evEventSkipped, Workflow: o.spec.ID, Event: e, Seen: seen,
			Reason: e.String() + ": " + refused.Message})
	}
	return refused
}

// eventOf makes the event of a fire: that of the newest of some events.
func (o *listening) eventOf(events []listenEvent) *RunEvent {
	newest := events[len(events)-1]
	e := &RunEvent{Listener: o.key, Kind: o.kind(), Line: newest.line, Workflow: newest.workflow, Run: newest.run,
		State: newest.state, Depth: newest.depth}
	if len(events) > 1 {
		e.Count = len(events)
	}
	if o.File == nil {
		return e
	}
	e.Path = newest.Key
	for _, one := range events {
		if o.Debounce > 0 {
			e.Paths = append(e.Paths, one.Key)
		}
	}
	return e
}

// infoOf says how the listeners of a workflow do, but for those that have still to look for the first time.
func (l *listeners) infoOf(id string) (list []ListenerInfo) {
	for _, o := range l.all[id] {
		trouble := o.text()
		if trouble == "" && l.known(o) == nil {
			continue
		}
		list = append(list, ListenerInfo{Listener: o.key, Fired: o.fired, Dropped: o.dropped, Waiting: len(o.waiting),
			Last: o.last, Trouble: trouble})
	}
	return list
}
