// principal_backfill.go: backfills. The op finds the fires of a schedule between two instants that have no run which
// went well, and makes a batch of them. Each turn of the loop then queues runs of the batches that have a place for
// one, made of the state alone: so a batch goes on after any restart. A workflow whose runs must not overlap has one
// run at a time, whatever it is for; its own fires come between two runs of a batch, and are not passed over for them.

package main

import (
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	batchMaxParallel = 100 // active runs of one batch
	batchOperators   = 10  // of batchMaxOpen, those that only operators may begin
	batchPage        = 500 // fires in one reply to a dry run
)

// batches makes the runs of the batches. It belongs to the principal's loop.
type batches struct {
	*principalLoop
	catalog   *catalog
	queue     *queue
	fleet     *fleet
	followers *followers
	enqueue   func(*Workflow, runOrder) (string, *protoError)

	open map[string]*batchOpen // those that are to make more runs
}

// batchOpen is a batch that is to make more runs.
type batchOpen struct {
	times    []int64
	checked  *paramsChecked // its parameters, held against the workflow as it is; nil: not yet
	checking bool           // that is going on, beside the loop
}

// batchesNew makes batches that make no runs.
func batchesNew(p *principal) *batches {
	return &batches{principalLoop: p.principalLoop, catalog: p.catalog, queue: p.queue, fleet: p.fleet,
		followers: p.followers, enqueue: p.enqueue, open: map[string]*batchOpen{}}
}

// observe notes which batches make runs, and wakes who follows one.
func (bs *batches) observe(c change) {
	id := c.event.Batch
	if c.run != nil && c.moved() {
		id = orDefault(id, c.run.Batch)
	}
	if id != "" {
		bs.followers.touched[id] = true
		bs.recall(id)
	}
}

// recall takes up a batch that makes runs.
func (bs *batches) recall(id string) {
	b := bs.state.Batches[id]
	switch {
	case b == nil || !b.makes():
		delete(bs.open, id)
	case bs.open[id] == nil:
		bs.open[id] = &batchOpen{times: batchRead(b.Times)}
	}
}

// turn queues a run for each place that there is.
func (bs *batches) turn() {
	if len(bs.open) == 0 {
		return
	}
	for _, id := range sortedKeys(bs.open) {
		for bs.open[id] != nil && bs.waits(bs.state.Batches[id]) == "" && bs.fill(id) {
		}
	}
}

// waits says why a batch makes no run now, "" when it can make one.
func (bs *batches) waits(b *Batch) string {
	f := bs.catalog.files[b.Workflow]
	switch {
	case f == nil:
		return "its workflow has no file"
	case f.Spec == nil:
		return "its workflow does not load"
	case b.active() >= b.Parallel:
		return "its runs are active"
	}
	if active := bs.queue.active[b.Workflow]; f.Spec.Overlap != overlapAllow && len(active) > 0 {
		return "waiting for run " + active[0]
	}
	return ""
}

// fill queues the next run of a batch. False when it cannot now.
func (bs *batches) fill(id string) bool {
	b, open := bs.state.Batches[id], bs.open[id]
	spec := bs.catalog.files[b.Workflow].Spec
	if len(b.Params) > 0 && (open.checked == nil || open.checked.spec != spec) {
		bs.check(open, spec, b.Params)
		return false
	}
	_, refused := bs.enqueue(spec, runOrder{trigger: triggerBackfill, scheduled: time.Unix(open.times[b.Made], 0),
		params: b.Params, checked: open.checked, by: b.By, batch: id})
	if refused == nil {
		return true
	}
	if !refused.Retry {
		bs.emit(&Event{Kind: evBatchStopped, Workflow: b.Workflow, Batch: id,
			Reason: "it cannot go on: " + refused.Message})
	}
	return false
}

// check holds the parameters of a batch against a workflow, beside the loop: patterns over long values take their time.
func (bs *batches) check(open *batchOpen, spec *Workflow, given map[string]string) {
	if open.checking {
		return
	}
	open.checking = true
	bs.workers.Go(func() {
		checked := &paramsChecked{spec: spec}
		checked.params, checked.refused = paramsOf(spec, given)
		bs.call(func() { open.checked, open.checking = checked, false })
	})
}

// shown gives a copy of a batch as it is told of: with what it waits for, and without its fires.
func (bs *batches) shown(b *Batch) *Batch {
	c := *b
	if c.makes() && c.active() == 0 {
		c.Reason = bs.waits(b)
	}
	c.Times = ""
	return &c
}

// ofBatches gives the runs that are of batches, and the others, of active runs.
func (q *queue) ofBatches(active []string) (of, others []string) {
	for _, id := range active {
		if q.state.Runs[id].Batch != "" {
			of = append(of, id)
		} else {
			others = append(others, id)
		}
	}
	return of, others
}

// goesAlone says whether a run of that trigger waits for all active runs of its workflow also with overlap: skip: there
// may be a thousand of them.
func goesAlone(trigger string) bool { return trigger == triggerCatchup || trigger == triggerBackfill }

// From here on: the ops.

// batchAsk is a backfill that is asked for.
type batchAsk struct {
	spec     *Workflow
	days     *schedDays
	from, to time.Time
	fires    []time.Time
	params   map[string]string // as they were given
	failed   bool              // only those whose newest run failed, crashed or was missed
	again    bool              // those too whose run succeeded
	past     map[int64]BatchFire
}

// opBackfill finds the fires of a schedule, and begins a batch. The search goes on beside the loop.
func (p *principal) opBackfill(c *opCall) {
	f := p.catalog.files[c.req.Workflow]
	ask := &batchAsk{from: c.req.Since.Time, to: c.req.Until.Time, failed: c.req.State == runFailed, again: c.req.All,
		params: c.req.Params}
	now := p.cfg.now()
	if ask.to.IsZero() || ask.to.After(now) {
		ask.to = now
	}
	if tick, ok := p.timetable.sched.pending(c.req.Workflow); ok && !tick.After(ask.to) { // it fires by itself
		ask.to = tick.Add(-time.Second)
	}
	switch {
	case f == nil:
		p.looks.refuseAside(c, noWorkflowAmong(p.catalog.ids, c.grant, c.req.Workflow))
		return
	case f.Spec == nil:
		c.refuse(refuse(codeConflict, "workflow %s does not load: %s", f.ID, p.copier.infoOf(f).Error))
		return
	case len(f.Spec.Schedule) == 0:
		c.refuse(refuse(codeConflict, "workflow %s has no schedule: nothing of it was to fire", f.ID))
		return
	case c.req.State != "" && !ask.failed || ask.failed && ask.again:
		c.refuse(refuse(codeInvalid, `state is "failed" or left out, and goes without all`))
		return
	case ask.from.IsZero():
		c.refuse(refuse(codeInvalid, `backfill needs the field "since"`))
		return
	case ask.from.After(ask.to):
		c.refuse(refuse(codeInvalid, "nothing lies between %s and %s", ask.from.In(p.cfg.Zone).Format(time.RFC3339),
			ask.to.In(p.cfg.Zone).Format(time.RFC3339)))
		return
	}
	if refused := p.backfillMay(c, f.Spec); refused != nil {
		c.refuse(refused)
		return
	}
	ask.spec, ask.days = f.Spec, f.Days
	p.looks.aside(c, func() {
		if refused := p.backfillSearch(c, ask); refused != nil {
			c.refuse(refused)
		}
	})
}

// backfillMay says why no batch can be begun, nil when one can.
func (p *principal) backfillMay(c *opCall, w *Workflow) *protoError {
	n := c.req.N.rows(1, batchMaxParallel)
	most := batchMaxOpen
	if !c.grant.operates() {
		most -= batchOperators
	}
	switch {
	case n < 1 || int(c.req.N) > batchMaxParallel:
		return refuse(codeInvalid, "n, how many runs may be active at once, is 1 to %d", batchMaxParallel)
	case n > 1 && w.Overlap != overlapAllow:
		return refuse(codeConflict, "runs of %s go one at a time (overlap: %s): overlap: allow in its file lets more "+
			"be active", w.ID, orDefault(w.Overlap, overlapSkip))
	case len(p.batches.open) >= most && !c.req.Dry:
		return refuse(codeBusy, "%d backfills are under way: wait for one of them, or cancel it", len(p.batches.open))
	}
	_, refused := paramsFor(w, c.req.Params, c.req.checked)
	return refused
}

// backfillSearch finds the fires, and what the history says of them. Not on the loop.
func (p *principal) backfillSearch(c *opCall, ask *batchAsk) *protoError {
	if !p.looks.takeSlot(c, p.looks.asking) {
		return nil
	}
	schedule := schedNew(p.cfg.Zone) // one of its own: that of the loop may pass ticks over
	entry, err := schedule.set(ask.spec, ask.days, ask.from)
	if err != nil {
		return refuse(codeInternal, "%v", err)
	}
	for at := ask.from.Add(-time.Second); ; {
		tick, ok := entry.nextFire(at)
		if !ok || tick.After(ask.to) {
			break
		}
		at = tick
		if tick.Before(ask.from) {
			continue
		}
		if ask.fires = append(ask.fires, tick); len(ask.fires) > batchMaxFires {
			return refuse(codeInvalid, "%s would have fired more than %d times between %s and %s: make it in parts",
				ask.spec.ID, batchMaxFires, ask.from.In(p.cfg.Zone).Format(time.RFC3339),
				ask.to.In(p.cfg.Zone).Format(time.RFC3339))
		}
	}
	if !p.looks.readSlot(c) {
		return nil
	}
	ask.past = make(map[int64]BatchFire, len(ask.fires))
	for _, at := range ask.fires {
		ask.past[at.Unix()] = BatchFire{}
	}
	filter := historyFilter{Workflow: ask.spec.ID, Since: ask.from, over: func() bool { return p.looks.gone(c) }}
	err = p.store.historyList(filter, func(r *Run) bool {
		ask.note(r)
		return true
	})
	if refused := p.looks.historyRefused(c, err); refused != nil {
		return refused
	}
	c.leaveSlot()
	if c.req.Dry {
		plan, ok := lookAsk(p.looks, c, func() *BatchPlan { return p.backfillPlan(ask) })
		if ok {
			sendPlan(c, plan)
		}
		return nil
	}
	if !p.call(func() { p.backfillBegin(c, ask) }) {
		p.looks.refuseStopping(c)
	}
	return nil
}

// note takes in a run, newer ones first: the newest counts, and one that went well before all others.
func (ask *batchAsk) note(r *Run) {
	at := r.Scheduled.Unix()
	was, ours := ask.past[at]
	if r.Scheduled.IsZero() || !ours || was.Run != "" && (runWell(was.State) || !runWell(r.State)) {
		return
	}
	for name, value := range ask.params { // with other parameters it is another run
		if r.Params[name] != value {
			return
		}
	}
	ask.past[at] = BatchFire{Run: r.ID, State: r.State}
}

// backfillPlan says what becomes of each fire. Only on the loop.
func (p *principal) backfillPlan(ask *batchAsk) *BatchPlan {
	taken := map[int64]BatchFire{}
	for _, id := range sortedKeys(p.batches.open) {
		if b := p.state.Batches[id]; b.Workflow == ask.spec.ID && sameParams(b.Params, ask.params) {
			for _, at := range p.batches.open[id].times[b.Made:] {
				taken[at] = BatchFire{State: runQueued}
			}
		}
	}
	for _, id := range slices.Backward(sortedKeys(p.state.Runs)) {
		r := p.state.Runs[id]
		switch {
		case r.Workflow != ask.spec.ID:
		case !runActive(r.State):
			ask.note(r)
		case !r.Scheduled.IsZero():
			if b := p.state.Batches[r.Batch]; b == nil || sameParams(b.Params, ask.params) {
				taken[r.Scheduled.Unix()] = BatchFire{Run: r.ID, State: r.State}
			}
		}
	}
	missed := p.backfillMissed(ask)
	plan := &BatchPlan{Fires: len(ask.fires), Rows: make([]BatchFire, 0, len(ask.fires))}
	for i, at := range ask.fires {
		row := ask.past[at.Unix()]
		if row.Run == "" && missed[i] {
			row.State = batchMissed
		}
		active, is := taken[at.Unix()]
		switch {
		case is:
			row = active
			plan.Active++
		case runWell(row.State) && !ask.again:
			plan.Succeeded++
		case ask.failed && row.State != runFailed && row.State != runCrashed && row.State != batchMissed:
			plan.Others++
		default:
			row.Make = true
			if plan.Make++; plan.Make == 1 {
				plan.First = stampOf(at)
			}
			plan.Last = stampOf(at)
		}
		row.At = stampOf(at)
		plan.Rows = append(plan.Rows, row)
	}
	return plan
}

// sameParams says whether two are given the same parameters.
func sameParams(a, b map[string]string) bool {
	return len(a) == len(b) && labelsMatch(a, b)
}

// backfillMissed says which fires the schedule has missed, as far as its decisions are still known. One decision speaks
// for fires before it too.
func (p *principal) backfillMissed(ask *batchAsk) map[int]bool {
	missed, ws := map[int]bool{}, p.state.Workflows[ask.spec.ID]
	if ws == nil {
		return missed
	}
	for _, d := range ws.Decisions {
		if d.Fired || d.Event || !strings.HasPrefix(d.Reason, "missed") {
			continue
		}
		last := sort.Search(len(ask.fires), func(i int) bool { return ask.fires[i].After(d.At.Time) }) - 1
		for i := last; i >= 0 && i >= last-d.Missed; i-- {
			missed[i] = true
		}
	}
	return missed
}

// sendPlan answers a dry run with its fires in parts. Not on the loop.
func sendPlan(c *opCall, plan *BatchPlan) {
	rows := plan.Rows
	for len(rows) > batchPage && !c.single {
		if c.send(Reply{Plan: &BatchPlan{Rows: rows[:batchPage]}}) != nil {
			return
		}
		rows = rows[batchPage:]
	}
	plan.Rows = rows[max(0, len(rows)-batchPage):]
	c.reply(Reply{Plan: plan})
}

// backfillBegin begins the batch, and answers when that is on disk. Only on the loop.
func (p *principal) backfillBegin(c *opCall, ask *batchAsk) {
	if refused := p.backfillMay(c, ask.spec); refused != nil {
		c.refuse(refused)
		return
	}
	if refused := p.queue.mayQueue(c.grant, c.by); refused != nil {
		c.refuse(refused)
		return
	}
	plan := p.backfillPlan(ask)
	var times []int64
	for i := range plan.Rows {
		if plan.Rows[i].Make {
			times = append(times, plan.Rows[i].At.Unix())
		}
	}
	plan.Rows = nil
	if len(times) == 0 {
		p.whenDurable(func() { c.reply(Reply{Plan: plan}) })
		return
	}
	first, last := plan.First, plan.Last
	if c.req.Reverse {
		slices.Reverse(times)
		first, last = last, first
	}
	id := batchPrefix + runID(p.cfg.now(), p.state.LastRun)
	p.emit(&Event{Kind: evBatch, Workflow: ask.spec.ID, Batch: id, Params: ask.params, Times: batchTimes(times),
		Scheduled: first, Until: last, Parallel: c.req.N.rows(1, batchMaxParallel), By: c.by, From: c.from})
	if c.req.checked != nil && p.batches.open[id] != nil {
		p.batches.open[id].checked = c.req.checked
	}
	p.whenDurable(func() { c.reply(Reply{Batch: id, Plan: plan}) })
}

// cancelBatch stops a batch, and its active runs.
func (p *principal) cancelBatch(c *opCall) {
	b := p.state.Batches[c.req.Batch]
	switch {
	case c.req.Run != "" || c.req.Task != "":
		c.refuse(refuse(codeInvalid, "cancel is for a batch, or for a run, not for both"))
		return
	case b == nil:
		c.refuse(noBatch(c.req.Batch))
		return
	case !b.Finished.IsZero():
		c.refuse(refuse(codeConflict, "batch %s is %s already", b.ID, b.State))
		return
	}
	reason := "cancelled by " + c.by
	if b.makes() {
		p.emit(&Event{Kind: evBatchStopped, Workflow: b.Workflow, Batch: b.ID, Reason: reason, By: c.by, From: c.from})
	}
	note := ""
	for _, id := range slices.Clone(p.queue.active[b.Workflow]) {
		if r := p.state.Runs[id]; r.Batch == b.ID {
			note = orDefault(note, p.fleet.cancelRun(r, reason, c.req.Force, c.by, c.from))
		}
	}
	p.whenDurable(func() { c.reply(Reply{Batch: c.req.Batch, Note: note}) })
}

// noBatch refuses a batch that is not there.
func noBatch(id string) *protoError {
	return refuse(codeNotFound, "no batch %q (cdktr backfill lists them)", textHead(id, protoMaxName))
}

// lookBatches lists batches, the newest first, or shows one; with follow it shows that one as it goes, until it is
// over.
func (l *looks) lookBatches(c *opCall) {
	if c.req.Batch == "" {
		list, ok := lookAsk(l, c, func() (list []*Batch) {
			for _, id := range slices.Backward(sortedKeys(l.state.Batches)) {
				b := l.state.Batches[id]
				mine := c.req.Workflow == "" || c.req.Workflow == b.Workflow
				if mine && c.grant.sees(b.Workflow) && len(list) < c.req.N.rows(stateMaxBatch, stateMaxBatch) {
					list = append(list, l.batches.shown(b))
				}
			}
			return list
		})
		if ok {
			for i, b := range list {
				list[i] = protoBatchRow(b)
			}
			c.reply(Reply{Batches: list[:fitting(list)]})
		}
		return
	}
	b, ok := lookAsk(l, c, func() *Batch {
		if b := l.state.Batches[c.req.Batch]; b != nil && c.grant.sees(b.Workflow) {
			return l.batches.shown(b)
		}
		return nil
	})
	switch {
	case !ok:
	case b == nil:
		c.refuse(noBatch(c.req.Batch))
	case !c.req.Follow && !c.req.Wait:
		c.reply(Reply{Batches: []*Batch{protoBatchRow(b)}})
	default:
		w, ok := lookAsk(l, c, func() *follower { return l.followers.follow(b.ID) })
		if ok {
			w.wake()
			l.workers.Go(func() { l.batchFollower(c, w) })
		}
	}
}

// batchFollower sends a batch as often as it changes, and in the last reply when it is over. It wakes when the loop has
// touched the batch.
func (l *looks) batchFollower(c *opCall, w *follower) {
	defer l.followers.unfollow(w)
	for l.sleep(w, c) {
		safe := make(chan struct{})
		b, _ := principalAsk(l, func() *Batch {
			b := l.state.Batches[w.run]
			if b == nil {
				return nil
			}
			if !b.Finished.IsZero() {
				l.whenDurable(func() { close(safe) })
			}
			return l.batches.shown(b)
		})
		if b == nil { // others have taken its place
			c.refuse(noBatch(w.run))
			return
		}
		if !b.Finished.IsZero() {
			select {
			case <-safe:
				c.reply(Reply{Batches: []*Batch{protoBatchRow(b)}})
			case <-l.ended:
				l.refuseStopping(c)
			}
			return
		}
		if c.req.Follow && !c.single {
			c.reply(Reply{More: true, Batches: []*Batch{protoBatchRow(b)}})
			l.pause(c, w, batchGap)
		}
	}
}

// batchGap is how long changes of a batch gather before a follower is told.
const batchGap = 200 * time.Millisecond
