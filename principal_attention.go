// principal_attention.go: what needs a person: runs that failed since somebody looked, files that do not load, agents
// that are lost, and what should have begun long ago. The loop makes the list from what the state has folded
// (state_failure.go) and from what it knows itself. A goroutine of the request adds what explains it: the last lines of
// output, and what was different when the workflow last went well.

package main

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	attentionPage     = 50             // items in one reply, at most: each may cost a look into history and output
	attentionLines    = 10             // lines of output that explain an item
	attentionMaxLine  = 400            // bytes of each of these lines
	attentionParams   = 5              // changed parameters that an item names
	attentionMaxParam = 100            // bytes of each of their values
	attentionAway     = agentLostAfter // how long an agent is lost before it is an item: some are only starting again
	// how long a run is queued that no agent can take before it is overdue; without any agent it is at once
	attentionWaits    = 5 * time.Minute
	attentionNames    = 100             // workflows that an item names; it counts the others too
	attentionLate     = 2 * time.Minute // how long a fire is not decided before it is overdue
	attentionMaxQueue = 200             // workflows with queued runs that are looked at, in the order of the queue
)

// attentionCase is an item, and the runs that explain it; these are nil where they must be looked up in the history.
type attentionCase struct {
	item   AttentionItem
	of     *AttentionItem // the member that the runs are of, when item has members; nil: they are item's
	failed *Run
	good   *Run
}

// attention knows what needs a person. It belongs to the principal's loop.
type attention struct {
	*principalLoop
	catalog   *catalog
	queue     *queue
	output    *output
	fleet     *fleet
	timetable *timetable
	alarm     *alarm // nil: none is set
	asks      *asks
	listeners *listeners

	expects   map[string]bool // workflows that have the key expect
	wraps     map[string]bool // names that runs were recorded for
	troubled  map[string]bool // workflows with something that needs a person, acknowledged or not
	warned    *AttentionItem  // the item of all files that load with warnings; nil: there are none
	troubleAt time.Time       // when acknowledged troubles are next looked at
}

// attentionNew makes an attention that looks at the parts of a principal.
func attentionNew(p *principal) *attention {
	return &attention{principalLoop: p.principalLoop, catalog: p.catalog, queue: p.queue, output: p.output,
		fleet: p.fleet, timetable: p.timetable, asks: p.asks, listeners: p.listeners, troubled: map[string]bool{},
		expects: map[string]bool{}, wraps: map[string]bool{}}
}

// observe keeps the set of workflows in trouble.
func (a *attention) observe(c change) {
	if c.event.Workflow != "" {
		a.noteTrouble(c.event.Workflow)
	}
}

// each hands fn everything that needs a person and that this peer may see, in no order, and whether it was acknowledged
// or sleeps. Only on the loop.
func (a *attention) each(grant *authGrant, now time.Time, fn func(item AttentionItem, seen bool)) {
	acked := func(key string) bool {
		ack, ok := a.state.Acks[key]
		return ok && (ack.Until.IsZero() || now.Before(ack.Until.Time))
	}
	for id := range a.troubled {
		if !grant.sees(id) {
			continue
		}
		if key, reason := attentionFault(a.catalog.files[id]); key != "" {
			fn(AttentionItem{Key: key, Kind: attentionFile, Workflow: id, Reason: reason, Count: 1}, acked(key))
		}
		if ws := a.state.Workflows[id]; ws != nil {
			for _, f := range ws.Failures {
				fn(AttentionItem{Key: f.Key, Kind: attentionFailed, Workflow: id, Task: f.Task, Exit: f.Exit,
					Agent: f.Agent, Agents: f.Agents, Reason: f.Reason,
					Runs: f.Runs, Count: f.Count, First: f.First, Last: f.Last, Recovered: f.Recovered},
					now.Before(f.Until.Time))
			}
		}
	}
	for _, agent := range a.state.Agents {
		key := stateKey("agent", agent.Name, "")
		if agent.State == agentLost &&
			now.Sub(agent.Seen.Time) >= attentionAway &&
			grant.may(protoOpOf("agents")) {
			fn(AttentionItem{Key: key, Kind: attentionAgent, Agent: agent.Name, Reason: "lost", Count: 1,
				First: agent.Seen,
				Last:  agent.Seen}, acked(key))
		}
	}
	a.eachTrouble(grant, func(item AttentionItem) { fn(item, acked(item.Key)) })
	a.eachApproval(grant, func(item AttentionItem) { fn(item, acked(item.Key)) })
	a.eachPaused(grant, now, func(item AttentionItem) { fn(item, acked(item.Key)) })
	a.eachOld(grant, func(item AttentionItem) { fn(item, acked(item.Key)) })
	a.eachOverdue(now, func(item AttentionItem) {
		if grant.sees(item.Workflow) {
			fn(item, acked(item.Key))
		}
	})
}

// items lists what needs a person, may be seen by this peer, and was not acknowledged. Items of several workflows with
// one cause are one. Only on the loop.
func (a *attention) items(grant *authGrant, now time.Time) (items []AttentionItem) {
	a.each(grant, now, func(item AttentionItem, seen bool) {
		if !seen {
			items = append(items, item)
		}
	})
	return attentionGroups(items)
}

// attentionGroups makes one item of those that have one cause.
func attentionGroups(all []AttentionItem) (items []AttentionItem) {
	alike := map[string]int{}
	for _, item := range all {
		cause := attentionCause(&item)
		if i, known := alike[cause]; known && cause != "" {
			items[i].merge(item)
			continue
		}
		alike[cause] = len(items)
		items = append(items, item)
	}
	for i := range items {
		if item := &items[i]; len(item.members) > 0 {
			item.Key = stateKey("cause", item.Kind, attentionCause(item))
			sort.Slice(item.members, func(i, j int) bool {
				x, y := &item.members[i], &item.members[j]
				return cmp.Or(y.Last.Compare(x.Last.Time), cmp.Compare(x.Workflow, y.Workflow)) < 0
			})
			item.sum()
		}
	}
	return items
}

// parts gives the items that one cause has made one of, or the item itself.
func (item *AttentionItem) parts() []AttentionItem {
	if len(item.members) == 0 {
		return []AttentionItem{*item}
	}
	return item.members
}

// attentionCause gives the cause that makes one item of the items of several workflows, "" for an item that stands by
// itself. An exit code is no cause: each program means something else by it.
func attentionCause(item *AttentionItem) string {
	cause := item.Reason
	switch item.Kind {
	case attentionPaused:
		if item.Workflow == "" {
			return ""
		}
	case attentionOverdue:
		if item.Task != "" {
			return ""
		}
	case attentionFailed:
		if item.Task != "" {
			cause = strings.TrimPrefix(cause, "task "+item.Task+": ")
		}
		for _, own := range []string{"exit ", "signal ", "timed out "} {
			if cause == "" || strings.HasPrefix(cause, own) {
				return ""
			}
		}
	default:
		return ""
	}
	return fmt.Sprintf("%s %v %s", item.Kind, item.Recovered, cause)
}

// merge adds the item of another workflow with the same cause.
func (item *AttentionItem) merge(other AttentionItem) {
	if item.members == nil {
		item.members = []AttentionItem{*item}
	}
	item.members = append(item.members, other)
}

// sum makes the item say what its members say together.
func (item *AttentionItem) sum() {
	newest := item.members[0]
	agents := map[string]bool{}
	item.Reason, item.Workflow, item.Task, item.Exit, item.Agent, item.Agents, item.Runs, item.Count = newest.Reason,
		"", "", nil, newest.Agent, nil, nil, 0
	if newest.Task != "" {
		item.Reason = strings.TrimPrefix(item.Reason, "task "+newest.Task+": ")
	}
	item.First, item.Last = newest.First, newest.Last
	for _, m := range item.members {
		item.Workflows = append(item.Workflows, m.Workflow)
		item.Runs = append(item.Runs, m.Runs...)
		item.Count += m.Count
		if m.First.Before(item.First.Time) {
			item.First = m.First
		}
		for _, name := range append(m.Agents, m.Agent) {
			agents[name] = true
		}
	}
	delete(agents, "")
	if len(agents) > 1 {
		item.Agents = sortedKeys(agents)[:min(len(agents), stateMaxFailureRuns)]
	}
	slices.Sort(item.Runs) // by time
	slices.Reverse(item.Runs)
	item.Runs = item.Runs[:min(len(item.Runs), stateMaxFailureRuns)]
	item.Workflows = item.Workflows[:min(len(item.Workflows), attentionNames)]
}

// eachOverdue hands fn what should have begun: queued runs that no agent can take, one item a workflow, and ticks that
// were not decided.
func (a *attention) eachOverdue(now time.Time, fn func(AttentionItem)) {
	looked, elsewhere := map[string]bool{}, a.dialect.present()
	for _, r := range a.queue.runs {
		if elsewhere || len(looked) == attentionMaxQueue {
			break
		}
		if looked[r.Workflow] {
			continue
		}
		looked[r.Workflow] = true
		since := a.queue.since(r)
		patient := len(a.fleet.links) > 0 && now.Sub(since) < attentionWaits
		spec := a.state.Versions[r.Version]
		if patient || spec == nil || a.fleet.mustWait(r, spec) != "" {
			continue
		}
		if reason := orDefault(a.fleet.noTaker(r, spec), a.fleet.pools.tooFew(spec)); reason != "" {
			item := AttentionItem{Key: stateKey("overdue", r.Workflow, ""), Kind: attentionOverdue,
				Workflow: r.Workflow, Reason: reason,
				First: stampOf(since), Last: stampOf(since)}
			for _, id := range slices.Backward(a.queue.active[r.Workflow]) {
				if a.state.Runs[id].State != runQueued {
					continue
				}
				item.Count++
				if item.Count <= stateMaxFailureRuns {
					item.Runs = append(item.Runs, id)
				}
			}
			fn(item)
		}
	}
	at, ok := a.timetable.sched.firstDue()
	if !ok || now.Sub(at) < attentionLate {
		return
	}
	for _, id := range sortedKeys(a.catalog.files) {
		at, ok := a.timetable.sched.dueOf(id)
		if ok && now.Sub(at) >= attentionLate {
			fn(AttentionItem{Key: stateKey("late", id, ""), Kind: attentionOverdue, Workflow: id,
				Reason: "its fire is not decided", Count: 1,
				First: stampOf(at), Last: stampOf(at)})
		}
	}
}

// changesAt gives when an item may come by time alone: zero when none will. Only on the loop.
func (a *attention) changesAt(now time.Time) (next time.Time) {
	note := func(at time.Time) {
		if at.After(now) {
			next = earlier(next, at)
		}
	}
	for _, agent := range a.state.Agents {
		if agent.State == agentLost {
			note(agent.Seen.Add(attentionAway))
		}
	}
	for _, ack := range a.state.Acks {
		note(ack.Until.Time)
	}
	for id := range a.troubled {
		if ws := a.state.Workflows[id]; ws != nil {
			for _, f := range ws.Failures {
				note(f.Until.Time)
			}
		}
	}
	for _, r := range a.queue.runs {
		note(a.queue.since(r).Add(attentionWaits))
	}
	for _, u := range a.fleet.parts.line {
		note(time.UnixMilli(u.at).Add(attentionWaits))
	}
	for o := range a.listeners.ill {
		note(o.needsNext(now))
	}
	a.expectedAt(now, note)
	for id := range a.wraps {
		note(a.state.wrapped(id).Due.Time)
	}
	a.pausedAt(note)
	if at, ok := a.timetable.sched.firstDue(); ok && !at.After(now) {
		note(at.Add(attentionLate))
	}
	return next
}

// attentionFault names the fault of a file that does not load, "" when it does.
func attentionFault(f *workflowFile) (key, reason string) {
	if f == nil {
		return "", ""
	}
	for _, fault := range f.Faults {
		if !fault.Warning {
			return stateKey("file", f.ID, fault.String()), fault.String()
		}
	}
	return "", ""
}

// noteTrouble keeps the set of workflows that each looks at: those that have a file, and a fault in it or failures.
// Only on the loop.
func (a *attention) noteTrouble(id string) {
	f, ws := a.catalog.files[id], a.state.Workflows[id]
	if expects := f != nil && f.Spec != nil && f.Spec.Expect != nil; expects {
		a.expects[id] = true
	} else if len(a.expects) > 0 {
		delete(a.expects, id)
	}
	key, _ := attentionFault(f)
	if ws != nil && ws.Wrap != nil {
		a.wraps[id] = true
	} else if len(a.wraps) > 0 {
		delete(a.wraps, id)
	}
	failures := (f != nil || a.wraps[id]) && ws != nil && len(ws.Failures) > 0
	if key != "" || failures {
		a.troubled[id] = true
		return
	}
	delete(a.troubled, id)
}

// endFaultAcks takes back the acknowledgements of faults that are mended, so that the same fault is new when it comes
// again. Only on the loop.
func (a *attention) endFaultAcks() {
	for _, key := range sortedKeys(a.state.Acks) {
		kind, rest, _ := strings.Cut(key, ":")
		if kind != attentionFile {
			continue
		}
		id := rest[:max(strings.LastIndexByte(rest, ':'), 0)]
		if now, _ := attentionFault(a.catalog.files[id]); now != key {
			a.emit(&Event{Kind: evAckOver, Workflow: id, Key: key})
		}
	}
}

// count gives how many items nobody has acknowledged. Only on the loop.
func (a *attention) count(grant *authGrant) int {
	return len(a.items(grant, a.cfg.now()))
}

// lookAttention lists what needs a person: the newest first, and last what has recovered by itself.
func (l *looks) lookAttention(c *opCall) {
	items, ok := lookAsk(l, c, func() []AttentionItem { return l.attention.items(c.grant, l.cfg.now()) })
	if !ok {
		return
	}
	sort.Slice(items, func(i, j int) bool { return items[i].before(&items[j]) })
	count := len(items)
	if i := slices.IndexFunc(items, func(item AttentionItem) bool { return item.Key == c.req.After }); i >= 0 {
		items = items[i+1:]
	}
	page := items[:min(len(items), c.req.N.rows(attentionPage, attentionPage))]
	var alarm *AlarmInfo
	cases, ok := lookAsk(l, c, func() (cases []attentionCase) {
		if c.grant.may(protoOpOf("agents")) {
			alarm = l.alarm.info()
		}
		for _, item := range page {
			cases = append(cases, l.attention.caseOf(item))
		}
		return cases
	})
	if !ok || !l.readSlot(c) {
		return
	}
	over := func() bool { return l.gone(c) }
	for i := range cases {
		if over() {
			l.refuseStopping(c)
			return
		}
		l.explain(&cases[i], over)
		page[i] = cases[i].item
	}
	reply := Reply{Items: page[:fitting(page)], Count: count, Alarm: alarm}
	n := len(reply.Items)
	if n < len(items) && n > 0 {
		reply.Next = page[n-1].Key
	}
	c.reply(reply)
}

// before orders items: what stops everything, then the newest, and last what has recovered by itself.
func (item *AttentionItem) before(other *AttentionItem) bool {
	return cmp.Or(cmp.Compare(attentionRank(*item), attentionRank(*other)), other.Last.Compare(item.Last.Time),
		cmp.Compare(item.Key, other.Key)) < 0
}

// attentionRank puts in front what stops everything, and at the end what has recovered.
func attentionRank(item AttentionItem) int {
	switch {
	case item.Kind == attentionDisk, item.Kind == attentionFolder && len(item.Workflows) == 0,
		item.Reason == fleetNoAgent:
		return 0
	case item.Recovered:
		return 2
	}
	return 1
}

// caseOf adds the runs that explain an item, as far as they are in memory. Only on the loop.
func (a *attention) caseOf(item AttentionItem) attentionCase {
	k := attentionCase{item: item}
	if item.Kind != attentionFailed {
		return k
	}
	if len(item.members) > 0 { // the newest member explains all
		newest := a.caseOf(item.members[0])
		k.of, k.failed, k.good = &newest.item, newest.failed, newest.good
		return k
	}
	if r := a.state.Runs[item.Runs[0]]; r != nil {
		k.failed = r.clone()
	}
	ws := a.state.Workflows[item.Workflow]
	if ws == nil {
		return k
	}
	for _, o := range slices.Backward(ws.Recent) {
		r := a.state.Runs[o.Run]
		if r != nil && o.State == runSucceeded && r.Finished.Before(item.Last.Time) {
			k.good = r.clone()
			break
		}
	}
	return k
}

// explain looks up in the history what is missing, and adds the last output and what was different when the workflow
// last went well. It ends early when over says that nobody waits for it. Any goroutine may call it that may wait for
// the disk.
func (l *looks) explain(k *attentionCase, over func() bool) {
	item, of := &k.item, &k.item
	if k.of != nil {
		of = k.of
	}
	item.Reason = protoReason(item.Reason) // that of an old run may have no bound
	if item.Kind != attentionFailed {
		return
	}
	if k.failed == nil {
		since := historyFilter{Workflow: of.Workflow, Since: runTime(of.Runs[0]), over: over}
		l.store.historyList(since, func(r *Run) bool {
			if r.ID == of.Runs[0] {
				k.failed = r
			}
			return k.failed == nil
		})
	}
	if k.good == nil {
		l.store.historyList(historyFilter{Workflow: of.Workflow, State: runSucceeded, Before: of.Last.Time, Limit: 1,
			over: over}, func(r *Run) bool {
			k.good = r
			return false
		})
	}
	if k.good != nil {
		item.Good = k.good.ID
	}
	if k.failed != nil {
		item.Lines, item.Streams = l.lastLines(k.failed, of.Task, over)
		item.Changed = attentionChanged(k.failed, k.good)
	}
}

// lastLines gives the last lines that a task of an ended run wrote to both streams, in order, and the stream of each.
func (l *looks) lastLines(r *Run, task string, over func() bool) (lines []string, streams string) {
	if r.LogDay == "" {
		return nil, ""
	}
	until := r.Finished.UTC().AddDate(0, 0, 1).Format(logDayLayout) // its agent's clock may be behind
	l.logs.read(r.Workflow, r.ID, logPlaceOf(r), logFilter{Task: task, Until: until, Tail: attentionLines, over: over},
		func(line LogLine) error {
			text := strings.ToValidUTF8(string(line.raw()), "\uFFFD")
			lines, streams = append(lines, textHead(text, attentionMaxLine)), streams+line.Stream
			return nil
		})
	return lines, streams
}

// attentionChanged says in short sentences how a failed run differs from the last good one before it.
func attentionChanged(failed, good *Run) (changed []string) {
	if good == nil {
		return []string{"no good run is known"}
	}
	if failed.Version != good.Version {
		changed = append(changed, "the workflow's file was changed")
	}
	if failed.Agent != good.Agent {
		changed = append(changed, fmt.Sprintf("it ran on agent %q, the good one on %q", failed.Agent, good.Agent))
	}
	changes := 0
	for _, name := range sortedKeys(failed.Params) {
		was, ok := good.Params[name]
		if ok && was != failed.Params[name] {
			changes++
			if changes <= attentionParams {
				changed = append(changed, fmt.Sprintf("parameter %s is %q, it was %q", name,
					textHead(failed.Params[name], attentionMaxParam), textHead(was, attentionMaxParam)))
			}
		}
	}
	if changes > attentionParams {
		changed = append(changed, fmt.Sprintf("%d more parameters are others", changes-attentionParams))
	}
	since := failed.Finished.Sub(good.Finished.Time).Round(time.Second)
	return append(changed, fmt.Sprintf("the last good run ended %s before", Duration(since)))
}

// opAck acknowledges an item: it is gone until something new happens, or until a time if the request names one.
func (p *principal) opAck(c *opCall) {
	now := p.cfg.now()
	var found *AttentionItem
	var keys []string // of all that this peer may see
	note := func(item AttentionItem) {
		keys = append(keys, item.Key)
		if item.Key == c.req.Key {
			found = &item
		}
	}
	p.attention.each(c.grant, now, func(item AttentionItem, _ bool) { note(item) })
	for _, item := range p.attention.items(c.grant, now) {
		if len(item.members) > 0 {
			note(item)
		}
	}
	switch until := c.req.Until; {
	case c.req.Key == "":
		c.refuse(refuse(codeInvalid, "ack needs the key of an item (cdktr attention lists them)"))
	case found == nil:
		p.looks.refuseAside(c, refuseNear(fmt.Sprintf("nothing with the key %q needs attention", c.req.Key),
			"cdktr attention lists what does", c.req.Key,
			func() []string { return keys }))
	case !until.IsZero() && !until.After(now):
		c.refuse(refuse(codeInvalid, "until %s is over: name a time to come", until.Format(time.RFC3339)))
	default:
		for _, item := range found.parts() {
			p.emit(&Event{Kind: evAcked, Workflow: item.Workflow, Key: item.Key, Until: until, By: c.by, From: c.from})
		}
		p.whenDurable(func() { c.reply(Reply{}) })
	}
}

// Troubles: what is wrong with the principal itself and with its agents although no run may have failed yet: the disk,
// output that was dropped, the folder of the workflows, an agent's clock. They are in memory only: after a restart a
// trouble is known when it happens again.

// attentionWarned is how many workflows the item of warnings names; the others are only counted.
const attentionWarned = 20

// attentionTroubles is how often the loop looks, while it is awake, whether something that was acknowledged is over.
const attentionTroubles = time.Minute

// noteWarned makes the item of all files that load with warnings, nil when there are none. When the warnings change it
// is a new item, to be acknowledged anew. Only on the loop.
func (a *attention) noteWarned() {
	var item *AttentionItem
	var all []string
	for _, id := range a.catalog.ids {
		faults := a.catalog.files[id].Faults
		if workflowBroken(faults) { // it has an item of its own
			continue
		}
		for _, fault := range faults {
			if item == nil {
				item = &AttentionItem{Kind: attentionFolder, Reason: fault.String()}
			}
			all = append(all, fault.String())
			if item.Workflows == nil || item.Workflows[len(item.Workflows)-1] != id {
				item.Count++
				if len(item.Workflows) < attentionWarned {
					item.Workflows = append(item.Workflows, id)
				}
			}
		}
	}
	if item != nil {
		if len(all) > 1 {
			item.Reason += fmt.Sprintf(" (and %d more: cdktr validate)", len(all)-1)
		}
		item.Key = stateKey("folder", "", strings.Join(all, "\n"))
		item.First = stampOf(a.cfg.now())
		if a.warned != nil && a.warned.Key == item.Key {
			item.First = a.warned.First
		}
		item.Last = item.First
	}
	a.warned = item
}

// eachTrouble hands fn what is wrong and that this peer may see. What belongs to no workflow is for those who may see
// agents. Only on the loop.
func (a *attention) eachTrouble(grant *authGrant, fn func(AttentionItem)) {
	for id, d := range a.output.troubles {
		if grant.sees(id) {
			fn(AttentionItem{Key: stateKey("output", id, d.run), Kind: attentionOutput, Workflow: id,
				Runs: []string{d.run}, Agent: d.agent, Count: 1, First: stampOf(d.last), Last: stampOf(d.last),
				Reason: d.reason()})
		}
	}
	for run, workflow := range a.fleet.left {
		if grant.sees(workflow) {
			fn(attentionOfLeft(workflow, a.state.Workflows[workflow].left(run)))
		}
	}
	a.eachListener(grant, a.cfg.now(), fn)
	a.eachKnot(grant, fn)
	a.eachUnplaced(grant, a.cfg.now(), fn)
	a.eachExpected(grant, a.cfg.now(), fn)
	a.eachWrapLate(grant, a.cfg.now(), fn)
	if !grant.may(protoOpOf("agents")) {
		return
	}
	if err := a.store.failing(); err != nil {
		fn(AttentionItem{Key: stateKey("disk", "journal", ""), Kind: attentionDisk, Count: 1,
			Reason: fmt.Sprintf("the journal cannot be written: %v; new runs are refused", err)})
	}
	if item, failed := a.alarm.item(); failed {
		fn(item)
	}
	if note := a.catalog.folderNote(); note != "" {
		fn(AttentionItem{Key: stateKey("folder", "", note), Kind: attentionFolder, Count: 1, Reason: note})
	}
	if a.warned != nil {
		fn(*a.warned)
	}
	for _, name := range sortedKeys(a.fleet.links) {
		if link := a.fleet.links[name]; link.skew != 0 {
			by := "ahead of"
			if link.skew < 0 {
				by = "behind"
			}
			fn(AttentionItem{Key: stateKey("clock", name, ""), Kind: attentionClock, Agent: name, Count: 1,
				First: stampOf(link.heard), Last: stampOf(link.heard),
				Reason: fmt.Sprintf("its clock is %s %s the principal's: the times of its lines of output are its own",
					Duration(link.skew.Abs().Round(time.Second)), by)})
		}
	}
}

// endTroubleAcks takes back the acknowledgements of troubles that are over, so that the same trouble is new when it
// comes again. It looks once in attentionTroubles. Only on the loop.
func (a *attention) endTroubleAcks(now time.Time) {
	if now.Before(a.troubleAt) || len(a.state.Acks) == 0 {
		return
	}
	a.troubleAt = now.Add(attentionTroubles)
	var there []string
	for _, key := range sortedKeys(a.state.Acks) {
		kind, of, _ := strings.Cut(key, ":")
		switch kind {
		case attentionDisk, attentionFolder, attentionClock, attentionAlarm, attentionExpect, attentionListener,
			attentionPools, attentionPlace:
		default:
			continue
		}
		if kind == attentionListener {
			id := of[:max(strings.LastIndexByte(of, ':'), 0)]
			if o := a.listeners.ofItem(id, key); o != nil && !o.looked {
				continue
			}
		}
		if there == nil {
			there = []string{""}
			a.eachTrouble(authOwner, func(item AttentionItem) { there = append(there, item.Key) })
		}
		if !slices.Contains(there, key) {
			a.emit(&Event{Kind: evAckOver, Key: key})
		}
	}
}

// attentionOfLeft makes the item of a run that left processes which live.
func attentionOfLeft(workflow string, l *RunLeft) AttentionItem {
	first := l.Processes[0]
	return AttentionItem{Key: stateKey("left", workflow, l.Run), Kind: attentionLeft, Workflow: workflow,
		Task: first.Task, Agent: first.Agent, Runs: []string{l.Run}, Count: 1,
		First: l.Since, Last: l.Since, Reason: leftText(l.Processes) + ": " + first.Why + "; end it there, as root"}
}
