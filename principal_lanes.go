// principal_lanes.go: the queue as the agents see it. A lane is the queued runs that ask the same of an agent, and the
// agents that have it, those with room in front. Lanes are brought up to date by each event that changes them, so that
// whoever wants to know which agent takes a run, or why none does, needs to look at neither all runs nor all agents.
// All of it runs on the principal's loop.

package main

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

const (
	// how many versions of workflows are known at least before those are forgotten of which no run is queued
	lanesKept = 1000
	// how often, besides once for each agent, agents change their places in lanes without runs before lanes are
	// forgotten that had none meanwhile: it costs more than to make them anew
	lanesMoves = 1000
)

// lane is the queued runs that ask for the same labels and use the same keys of a workflow, and the agents for them.
type lane struct {
	labels map[string]string
	uses   []string

	runs []*Run // in the order of the queue
	at   int    // in a pass of assignQueued: the first of them that was not looked at
	used bool   // a run was queued since lanes.forget looked

	free     []*agentLink          // agents that have room, the most first
	matching int                   // connected agents that have the labels
	able     int                   // of these, those that know the keys and may be given runs, with room or without
	old      map[*agentLink]string // of these, those that do not know all keys, and why
	oldFirst string                // the first of these reasons by the alphabet; "" when it is to be looked for
	oldTold  bool                  // all of these agents know that they were passed over
}

// lanes is all lanes.
type lanes struct {
	of      map[string]*lane // version of a workflow -> its lane
	byAsked map[string]*lane // what is asked for -> the lane
	ready   map[*lane]bool   // those with runs and with agents that have room
	most    int              // versions that are known before some are forgotten
	moves   int              // how often an agent has changed its place in a lane without runs
	sweep   int              // so many moves have lanes forgotten
}

// lanesNew makes lanes of which there are none yet.
func lanesNew() *lanes {
	return &lanes{of: map[string]*lane{}, byAsked: map[string]*lane{}, ready: map[*lane]bool{}, most: lanesKept,
		sweep: lanesMoves}
}

// laneOf gives the lane of a version of a workflow. It makes the lane if there is none.
func (f *fleet) laneOf(version string, spec *Workflow) *lane {
	if l := f.lanes.of[version]; l != nil {
		return l
	}
	if len(f.lanes.of) >= f.lanes.most {
		f.lanes.forgetVersions(f.queue.runs)
		f.lanes.forget(f.links)
	}
	uses := protoUses(spec)
	asked := string(protoEncode(spec.Agent)) + strings.Join(uses, " ") // keys of a map are encoded in order
	l := f.lanes.byAsked[asked]
	if l == nil {
		l = &lane{labels: spec.Agent, uses: uses, old: map[*agentLink]string{}}
		f.lanes.byAsked[asked] = l
		for _, link := range f.links {
			if link.join(l) && link.room() {
				l.free = append(l.free, link)
			}
		}
		sort.Slice(l.free, func(i, j int) bool { return l.free[i].before(l.free[j]) < 0 })
	}
	f.lanes.of[version] = l
	return l
}

// forgetVersions forgets the versions of which no run is queued.
func (ls *lanes) forgetVersions(queued []*Run) {
	used := map[string]bool{}
	for _, r := range queued {
		used[r.Version] = true
	}
	for version := range ls.of {
		if !used[version] {
			delete(ls.of, version)
		}
	}
	ls.most = 2*len(ls.of) + lanesKept
}

// forget forgets the lanes without runs that had none either since it was called last. They are made anew for their
// next run, and cost nothing until then. links are all agents.
func (ls *lanes) forget(links map[string]*agentLink) {
	ls.sweep = ls.moves + len(links) + lanesMoves
	gone := map[*lane]bool{}
	for asked, l := range ls.byAsked {
		if len(l.runs) == 0 && !l.used {
			gone[l] = true
			delete(ls.byAsked, asked)
		}
		l.used = false
	}
	if len(gone) == 0 {
		return
	}
	for version, l := range ls.of {
		if gone[l] {
			delete(ls.of, version)
		}
	}
	for _, link := range links {
		link.lanes = slices.DeleteFunc(link.lanes, func(l *lane) bool { return gone[l] })
	}
}

// line puts a run that is queued now into its lane, or takes one out that is not any more.
func (f *fleet) line(r *Run, queued bool) {
	l := f.laneOf(r.Version, f.state.Versions[r.Version])
	at := sort.Search(len(l.runs), func(i int) bool { return !queuedBefore(l.runs[i], r) })
	switch {
	case queued:
		l.runs, l.used = inserted(l.runs, at, r), true
		f.tellOld(l)
	case at < len(l.runs) && l.runs[at] == r:
		l.runs = slices.Delete(l.runs, at, at+1)
	}
	f.noteReady(l)
}

// noteReady notes whether a lane has both runs and agents with room.
func (f *fleet) noteReady(l *lane) {
	if len(l.runs) > 0 && len(l.free) > 0 {
		f.lanes.ready[l] = true
	} else {
		delete(f.lanes.ready, l)
	}
}

// tellOld notes at the agents that are too old for the runs of a lane that they were passed over.
func (f *fleet) tellOld(l *lane) {
	if l.oldTold || len(l.runs) == 0 {
		return
	}
	l.oldTold = true
	for link, reason := range l.old {
		if link.old == nil {
			link.old = &fleetOld{l.runs[0].Workflow, reason, f.cfg.now()}
			f.stirred = true
		}
	}
}

// before orders agents: the one with the most free places first, of equals by name. So a run is given ahead only when
// no agent has a free place for it.
func (l *agentLink) before(other *agentLink) int {
	return cmp.Or(cmp.Compare(other.free, l.free), cmp.Compare(l.name, other.name))
}

// enroll puts an agent into the lanes that it has the labels for, or puts it in anew when something has changed about
// it: that it drains, what it knows, its room.
func (f *fleet) enroll(link *agentLink) {
	f.withdraw(link)
	a := f.state.Agents[link.name]
	link.labels, link.takes, link.free = a.Labels, !a.Draining && !link.leaving, f.freeOf(link)
	link.extra = f.aheadOf(link)
	for _, l := range f.lanes.byAsked {
		if link.join(l) && link.room() {
			l.place(link)
		}
		f.tellOld(l)
		f.noteReady(l)
	}
}

// withdraw takes an agent out of all lanes.
func (f *fleet) withdraw(link *agentLink) {
	for _, l := range link.lanes {
		l.matching--
		switch _, old := l.old[link]; {
		case old:
			delete(l.old, link)
			l.oldFirst = ""
		case link.takes:
			l.unplace(link)
			l.able--
		}
		f.noteReady(l)
	}
	link.lanes = nil
}

// join puts an agent into a lane if it has the labels, and says whether it can take the runs there. Its place among
// those with room is left to the caller, who may have many of them to place.
func (link *agentLink) join(l *lane) bool {
	if !labelsMatch(l.labels, link.labels) {
		return false
	}
	link.lanes = append(link.lanes, l)
	l.matching++
	if !link.takes {
		return false
	}
	missing := slices.DeleteFunc(slices.Clone(l.uses), func(key string) bool { return !link.lacks[key] })
	if len(missing) > 0 {
		l.old[link] = link.title() + " does not know " + protoKeysText(missing)
		l.oldFirst, l.oldTold = "", false
		return false
	}
	l.able++
	return true
}

// noteRoom moves an agent to its new place in its lanes when it has other room than before.
func (f *fleet) noteRoom(link *agentLink) {
	free, ahead := f.freeOf(link), f.aheadOf(link)
	if free == link.free && ahead == link.extra {
		return
	}
	for _, l := range link.lanes {
		l.unplace(link)
		if len(l.runs) == 0 {
			f.lanes.moves++
		}
	}
	link.free, link.extra = free, ahead
	for _, l := range link.lanes {
		if link.room() && l.has(link) {
			l.place(link)
		}
		f.noteReady(l)
	}
}

// place puts an agent that has room among the others.
func (l *lane) place(link *agentLink) {
	at, _ := slices.BinarySearchFunc(l.free, link, (*agentLink).before)
	l.free = inserted(l.free, at, link)
}

// unplace takes an agent out from among those with room, if it is there. It must have the same room as when it came.
func (l *lane) unplace(link *agentLink) {
	at, found := slices.BinarySearchFunc(l.free, link, (*agentLink).before)
	if found {
		l.free = slices.Delete(l.free, at, at+1)
	}
}

// has says whether an agent is one that can take the runs of the lane, when it has room.
func (l *lane) has(link *agentLink) bool {
	_, old := l.old[link]
	return link.takes && !old && labelsMatch(l.labels, link.labels)
}

// oldest gives the first of the reasons why agents are too old for a lane, "" when none is.
func (l *lane) oldest() string {
	if l.oldFirst == "" {
		for _, reason := range l.old {
			l.oldFirst = lanesFirst(l.oldFirst, reason)
		}
	}
	return l.oldFirst
}

// lanesFirst gives the first of two reasons by the alphabet, so that of several it is always the same one. "" is none.
func lanesFirst(a, b string) string {
	if a == "" || b != "" && b < a {
		return b
	}
	return a
}

// pass gives the lanes that have runs and agents with room, in the order of the first of their runs.
func (ls *lanes) pass() []*lane {
	var pass []*lane
	for l := range ls.ready {
		l.at = 0
		pass = append(pass, l)
	}
	sort.Slice(pass, func(i, j int) bool { return queuedBefore(pass[i].runs[0], pass[j].runs[0]) })
	return pass
}

// lanesNext brings a pass into order again after the first lane was looked at. A lane without more runs to look at, or
// without agents that have room, is left out.
func lanesNext(pass []*lane) []*lane {
	first, rest := pass[0], pass[1:]
	if first.at >= len(first.runs) || len(first.free) == 0 {
		return rest
	}
	r := first.runs[first.at]
	at := sort.Search(len(rest), func(i int) bool { return queuedBefore(r, rest[i].runs[rest[i].at]) })
	copy(pass, rest[:at])
	pass[at] = first
	return pass
}
