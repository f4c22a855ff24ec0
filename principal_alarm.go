// principal_alarm.go: the alarm, which tells people of what attention shows while nobody looks: a command of the
// principal's owner, which gets what is new, what is still there after a long time, and what is over. This file finds
// out what there is to tell and when, on the loop; principal_alarm_run.go runs the command.
//
// The loop looks only when something stirs (principalLoop.stirred) or when an item can come or go by time alone, and
// then in a turn that it has anyway or at the time of the next such thing. What was told is in the state (Told), noted
// once the command has succeeded: so a thing is told twice if the principal is killed in between, and never lost.

package main

import (
	"sort"
	"strings"
	"time"
)

const (
	alarmPause     = 1 * time.Second // between two looks at what needs a person, at least
	alarmRetry     = 1 * time.Minute // after a failure; twice as long after each further one
	alarmRetryMost = 1 * time.Hour   // the longest such time
	alarmDelayMost = 24 * time.Hour  // the longest alarm_delay
	alarmRepeatMin = 1 * time.Minute // the shortest alarm_repeat
)

// alarmConfig is the alarm as the settings have it.
type alarmConfig struct {
	Command string        // for /bin/sh -c; "": there is no alarm
	Delay   time.Duration // how long what is new waits for more of it
	Repeat  time.Duration // after which what is still there is told again; 0: never
	Host    string        // the machine, for people
	Environ []string      // of the command

	run alarmRunner // nil: commandRun
}

// alarm belongs to the principal's loop. A nil one is not set, and does nothing.
type alarm struct {
	*principalLoop
	set       alarmConfig
	attention *attention
	looks     *looks

	looked    time.Time // when it looked last
	lookAt    time.Time // when something may come or go by time alone; zero: nothing will
	queueAt   time.Time // when a run that was queued since may be overdue; zero: none was
	since     time.Time // when the first of what is to be told was seen; zero: there is nothing
	settled   time.Time // by then the agents are back after the principal's start: nothing is overdue before
	notBefore time.Time // after a failure: nothing is told before
	running   *alarmRun // nil: none
	said      string    // what the command wrote when it failed last
}

// alarmNew makes the alarm of a principal, nil where none is set.
func alarmNew(p *principal) *alarm {
	set := p.cfg.Alarm
	if set.Command == "" {
		return nil
	}
	if set.run == nil {
		set.run = commandRun
	}
	p.stirred = true
	return &alarm{principalLoop: p.principalLoop, set: set, attention: p.attention, looks: p.looks,
		settled: p.cfg.now().Add(attentionAway)}
}

// observe has the alarm look after an event that may bring or end something that needs a person.
func (a *alarm) observe(c change) {
	e := c.event
	if a.attention.expects[e.Workflow] || e.Kind == evRecorded {
		switch e.Kind {
		case evQueued, evRequeued, evRunStarted, evRunFinished, evRunEnded, evRecorded:
			a.stirred = true
		}
	}
	switch e.Kind {
	case evQueued:
		a.queued()
	case evRequeued, evAdopted:
		a.queued()
		a.stirred = a.stirred || a.toldOf(e.Workflow)
	case evAssigned:
		if _, told := a.state.Told[stateKey("overdue", e.Workflow, "")]; told {
			a.stirred = true
		}
	case evWrapForgot:
		a.stirred = true
	case evRunFinished, evRunEnded, evRecorded:
		bad := c.run != nil && (c.run.State == runFailed || c.run.State == runCrashed)
		a.stirred = a.stirred || bad || a.toldOf(e.Workflow)
	case evSkipped, evTaskAnswered, evCancelling:
		a.stirred = a.stirred || a.toldOf(e.Workflow)
	case evTaskAsked:
		switch t := c.run.task(e.Task); {
		case t.Ask == nil:
		case t.Ask.For == askApprove:
			a.stirred = true
		case t.Ask.For == askAgent:
			a.queued()
		}
	case evTaskPlaced:
		a.stirred = a.stirred || a.toldOf(e.Workflow)
	case evAgentUp, evAgentLost, evAgentDrained, evAgentUndrain, evAgentForgot, evAcked, evAckOver, evLeft:
		a.stirred = true
	}
}

// queued notes that a run, or a task, waits for an agent from now on: it may be overdue later, and is at once where
// there is no agent.
func (a *alarm) queued() {
	if a.queueAt.IsZero() {
		a.queueAt = a.cfg.now().Add(attentionWaits)
	}
	a.stirred = a.stirred || len(a.attention.fleet.links) == 0
}

// toldOf says whether the alarm has told of something of a workflow.
func (a *alarm) toldOf(workflow string) bool {
	for _, told := range a.state.Told {
		if told.Workflow == workflow {
			return true
		}
	}
	return false
}

// until gives how long the loop may sleep: wait, or less.
func (a *alarm) until(now time.Time, wait time.Duration) time.Duration {
	if a == nil || a.running != nil { // its end is a call
		return wait
	}
	if len(a.attention.queue.runs)+len(a.attention.fleet.parts.line) == 0 {
		a.queueAt = time.Time{}
	}
	for _, at := range []time.Time{a.lookAt, a.queueAt} {
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait
}

// turn looks at what needs a person, if it is time to, and runs the command if there is something to tell. Once in each
// turn of the loop, before its events are written.
func (a *alarm) turn(now time.Time) {
	if a == nil || a.running != nil {
		return
	}
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	if !a.stirred && !due(a.lookAt) && !due(a.queueAt) {
		return
	}
	if next := a.looked.Add(alarmPause); now.Before(next) {
		a.stirred, a.lookAt, a.queueAt = true, next, time.Time{}
		return
	}
	a.stirred, a.looked, a.queueAt = false, now, time.Time{}
	report := a.report(now)
	a.lookAt = earlier(a.attention.changesAt(now), report.next)
	if report.empty() {
		a.since = time.Time{}
		return
	}
	if a.since.IsZero() {
		a.since = now
	}
	tell := a.since.Add(a.set.Delay)
	if tell.Before(a.notBefore) {
		tell = a.notBefore
	}
	if now.Before(tell) {
		a.lookAt = earlier(a.lookAt, tell)
		return
	}
	a.begin(report)
}

// earlier gives the earlier of two times, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// alarmNews is what there is to tell: items as attention lists them.
type alarmNews struct {
	fresh []AttentionItem // never told
	still []AttentionItem // told long ago, and still there
	over  []AttentionItem // told, and over

	next time.Time // when something will have been told long ago; zero: nothing will
}

func (n *alarmNews) empty() bool { return len(n.fresh)+len(n.still)+len(n.over) == 0 }

// report finds out what there is to tell now. What has gone together with its workflow or agent is forgotten on the
// way: whoever removed that knows.
func (a *alarm) report(now time.Time) *alarmNews {
	news, there := &alarmNews{}, map[string]bool{} // there: false for what is over, and shown still
	var items []AttentionItem
	a.attention.each(authOwner, now, func(item AttentionItem, seen bool) {
		there[stateToldKey(item.Key)] = seen || !item.Recovered
		if !seen {
			items = append(items, item)
		}
	})
	for _, item := range attentionGroups(items) {
		switch {
		case item.Recovered, item.Kind == attentionAlarm, a.attended(&item):
			continue
		case item.Kind == attentionOverdue && now.Before(a.settled):
			news.next = earlier(news.next, a.settled)
			continue
		}
		members, known, last := item.parts(), 0, time.Time{}
		for i := range members {
			if told, ok := a.state.Told[stateToldKey(members[i].Key)]; ok {
				known++
				if told.Time.After(last) {
					last = told.Time.Time
				}
			}
		}
		again := last.Add(a.set.Repeat)
		switch {
		case known == 0, known < len(members) && item.Kind != attentionOverdue: // one cause makes ever more overdue
			news.fresh = append(news.fresh, item)
		case a.set.Repeat <= 0:
		case now.Before(again):
			news.next = earlier(news.next, again)
		default:
			news.still = append(news.still, item)
		}
	}
	for _, key := range sortedKeys(a.state.Told) {
		if there[key] {
			continue
		}
		told := a.state.Told[key]
		switch a.fate(key, &told, there) {
		case toldOver:
			news.over = append(news.over, told.item(key))
		case toldGone:
			a.emit(&Event{Kind: evTold, Key: key, Workflow: told.Workflow, Agent: told.Agent, State: toldGone})
		}
	}
	for _, list := range [][]AttentionItem{news.fresh, news.still, news.over} {
		sort.Slice(list, func(i, j int) bool { return list[i].before(&list[j]) })
	}
	return news
}

// attended says whether somebody is at work on an item: an agent that is drained may be away.
func (a *alarm) attended(item *AttentionItem) bool {
	agent := a.state.Agents[item.Agent]
	return item.Kind == attentionAgent && agent != nil && agent.Draining
}

// fate says what has become of something that was told and that attention does not show any more: toldOver, toldGone,
// or "" while that is not known. After a start of the principal some things are not known before they happen again.
// shown are the keys of what attention knows of.
func (a *alarm) fate(key string, told *Told, shown map[string]bool) string {
	link, w := a.attention.fleet.links[told.Agent], a.state.Workflows[told.Workflow]
	if told.Workflow != "" && a.attention.catalog.files[told.Workflow] == nil {
		if a.attention.catalog.folderNote() != "" {
			return ""
		}
		return toldGone
	}
	switch kind := attentionKindOf(key); kind {
	case attentionFailed:
		_, marked := shown[key] // as recovered
		well := w != nil && len(w.Recent) > 0 && w.Recent[len(w.Recent)-1].State == runSucceeded
		if !marked && !well { // a run of it may be tried again just now
			return ""
		}
	case attentionOutput:
		return toldGone
	case attentionClock, attentionOld:
		if a.state.Agents[told.Agent] == nil {
			return toldGone
		}
		if link == nil || kind == attentionOld && strings.Contains(told.Reason, link.title()) {
			return ""
		}
	case attentionPools:
		if a.cfg.now().Before(a.settled) { // agents may come that have some of it
			return ""
		}
	case attentionListener:
		o := a.attention.listeners.ofItem(told.Workflow, key)
		if o == nil { // it listens to something else now
			return toldGone
		}
		if o.unsure(told.Reason) {
			return ""
		}
	case attentionFolder:
		for other := range shown { // others have come in the place of these
			if attentionKindOf(other) == kind {
				return toldGone
			}
		}
	}
	return toldOver
}

// item is what was told, as an item that is over.
func (t *Told) item(key string) AttentionItem {
	return AttentionItem{Key: key, Kind: attentionKindOf(key), Workflow: t.Workflow, Task: t.Task, Exit: t.Exit,
		Agent: t.Agent, Reason: t.Reason, Count: 1, First: t.Time, Last: t.Time, Recovered: true}
}

// attentionKindOf gives the kind of an item by its key.
func attentionKindOf(key string) string {
	kind, _, _ := strings.Cut(key, ":")
	if kind == "late" || kind == attentionPlace {
		return attentionOverdue
	}
	return kind
}
