// principal_pools_knot.go: runs that wait for each other's places. One has places of a pool until it has ended, and a
// task of it waits for places of another pool; who has these waits for the first. None of them ever goes on by itself,
// so a person must be told. A knot is looked for when somebody begins to wait, from him alone; while there is one, each
// change of its pools says whether it is undone. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	knotsMost     = 256 // runs and tasks that a look comes to; in a larger crowd it finds no knot
	knotsFront    = 16  // of those who wait in front of somebody, and of what waits in a run, so many are looked at
	knotsSuspects = 256 // looks in a turn; of more who begin to wait together, the last
	knotsTold     = 6   // of those in a knot so many are named
)

// poolKnots is the knots in pools.
type poolKnots struct {
	pools *pools

	// who waits and has something, or somebody above him who waits for his end: no knot is without such a one
	linked   map[*poolUse]bool
	suspects []*poolUse // who has begun to wait since it was looked
	again    bool       // an agent has come: who was passed over for want of it may count now
	all      []*poolKnot
	of       map[*poolUse]*poolKnot // of those who wait in a knot
}

// poolKnot is those who wait for each other in a circle: each for the next, and the last for the first.
type poolKnot struct {
	uses  []*poolUse
	texts []string // "waits for pool NAME, held by RUN", of each
}

// poolLook is a look from one who waits at all on whom that may depend. stuck loses those who can go on.
type poolLook struct {
	knots *poolKnots
	all   []*poolUse // those that it came to, in this order
	stuck map[*poolUse]bool
}

// knotsNew makes knots of which there are none.
func knotsNew(p *pools) *poolKnots {
	return &poolKnots{pools: p, linked: map[*poolUse]bool{}, of: map[*poolUse]*poolKnot{}}
}

// joined takes in that somebody waits from now on.
func (k *poolKnots) joined(u *poolUse) {
	if u.task != "" || u.run.Parent != "" {
		k.linked[u] = true
	}
	if len(k.linked) > 0 {
		k.suspects = append(k.suspects, u)
	}
}

// left takes in that somebody waits no more.
func (k *poolKnots) left(u *poolUse) { delete(k.linked, u) }

// look finds the knots that have come or gone. moved: pools have other holders, places or waiters than a turn before.
func (k *poolKnots) look(moved bool) {
	if len(k.all) > 0 && moved {
		for _, knot := range slices.Clone(k.all) {
			if now := k.from(knot.uses[0]); now == nil || !slices.Equal(now.texts, knot.texts) {
				k.untie(knot)
				k.suspects = append(k.suspects, knot.uses...)
			}
		}
	}
	if k.again {
		for u := range k.linked {
			k.suspects = append(k.suspects, u)
		}
	}
	for _, u := range k.suspects[max(len(k.suspects)-knotsSuspects, 0):] {
		if len(k.linked) == 0 {
			break
		}
		if k.of[u] == nil {
			k.tie(k.from(u))
		}
	}
	k.suspects, k.again = nil, false
}

// tie takes a knot in; nil is none.
func (k *poolKnots) tie(knot *poolKnot) {
	if knot == nil || slices.ContainsFunc(knot.uses, func(u *poolUse) bool { return k.of[u] != nil }) {
		return
	}
	k.all = append(k.all, knot)
	for _, u := range knot.uses {
		k.of[u] = knot
	}
	k.tell(knot)
	k.pools.cfg.Log.Warn("runs wait for each other's places", "pools", knot.text(0))
}

// untie takes a knot out.
func (k *poolKnots) untie(knot *poolKnot) {
	k.all = slices.DeleteFunc(k.all, func(other *poolKnot) bool { return other == knot })
	for _, u := range knot.uses {
		delete(k.of, u)
	}
	k.tell(knot)
}

// tell has those look again who look at what needs a person.
func (k *poolKnots) tell(knot *poolKnot) {
	k.pools.stirred = true
	for _, u := range knot.uses {
		k.pools.fleet.followers.news.ofWorkflow(u.run.Workflow)
	}
}

// from finds the knot that keeps somebody waiting, nil when there is none, or he does not wait.
func (k *poolKnots) from(u *poolUse) *poolKnot {
	l := &poolLook{knots: k, stuck: map[*poolUse]bool{}}
	if !l.reach(u) || !l.free(u) {
		return nil
	}
	at, next := map[*poolUse]int{}, u
	knot := &poolKnot{}
	for {
		if first, seen := at[next]; seen { // the others only wait for those in the circle
			knot.uses, knot.texts = knot.uses[first:], knot.texts[first:]
			return knot
		}
		at[next] = len(knot.uses)
		text, behind := l.why(next)
		knot.uses, knot.texts = append(knot.uses, next), append(knot.texts, text)
		next = behind
	}
}

// waits says whether somebody still stands in line, and could ever have his places.
func (k *poolKnots) waits(u *poolUse) bool {
	return !u.has && u.group != nil && u.group.holds(u) && !u.group.wantsTooMany()
}

// holds says whether a use is in the group.
func (g *poolGroup) holds(u *poolUse) bool {
	at := g.at(u)
	return at < len(g.uses) && g.uses[at] == u
}

// reach gathers all on whom the first one may depend; false when they are too many, or he does not wait.
func (l *poolLook) reach(first *poolUse) bool {
	k := l.knots
	add := func(u *poolUse) {
		if !l.stuck[u] {
			l.stuck[u] = true
			l.all = append(l.all, u)
		}
	}
	if k.waits(first) {
		add(first)
	}
	for i := 0; i < len(l.all); i++ {
		if len(l.all) > knotsMost {
			return false
		}
		u := l.all[i]
		if u.has {
			k.below(u.run, u.task, knotsFront, add)
			continue
		}
		for _, pl := range u.group.pools {
			for _, holder := range pl.holders[:min(len(pl.holders), knotsMost)] {
				add(holder)
			}
			k.front(pl, u, add)
		}
	}
	return len(l.all) > 0
}

// front hands fn those in front of somebody in the line of a pool for whom places are kept there.
func (k *poolKnots) front(pl *pool, u *poolUse, fn func(*poolUse)) {
	most := knotsFront
	pl.each(func(g *poolGroup, other *poolUse) poolNext {
		if most--; most < 0 || !other.before(u) {
			return poolStop
		}
		itself, group := k.pools.barred(other)
		switch {
		case group || g.wantsTooMany():
			return poolPassGroup
		case !itself:
			fn(other)
		}
		return poolGoOn
	})
}

// below hands fn what waits for places in a run, or in a task of it, and in the runs that this has started and waits
// for: most of each run at most.
func (k *poolKnots) below(r *Run, task string, most int, fn func(*poolUse)) {
	hand := func(u *poolUse) {
		if u != nil && k.waits(u) {
			fn(u)
		}
	}
	if task == "" {
		waiting := sortedKeys(k.pools.tasks[r.ID])
		for _, id := range waiting[:min(len(waiting), most)] {
			hand(k.pools.tasks[r.ID][id])
		}
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		child := k.pools.state.Runs[t.Child]
		if child == nil || !taskActive(t.State) || !runActive(child.State) || task != "" && task != t.Task {
			continue
		}
		hand(k.pools.runs[child.ID])
		if most--; most < 0 {
			return
		}
		k.below(child, "", most, fn) // a run is at most eight deep
	}
}

// under says whether somebody must go on for another, who has places, to end.
func (k *poolKnots) under(u, holder *poolUse) bool {
	r, task := u.run, u.task
	for r != nil {
		if r == holder.run {
			return (holder.task == "" || holder.task == task) && (r != u.run || u.task != holder.task)
		}
		r, task = k.pools.state.Runs[r.Parent], r.ParentTask
	}
	return false
}

// free takes those out of stuck who can go on, and those for whom that is enough, and says whether the first is left.
func (l *poolLook) free(first *poolUse) bool {
	for changed := true; changed && l.stuck[first]; {
		changed = false
		for _, u := range l.all {
			if l.stuck[u] && l.goesOn(u) {
				delete(l.stuck, u)
				changed = true
			}
		}
	}
	return l.stuck[first]
}

// goesOn says whether somebody goes on once all have ended who are not stuck.
func (l *poolLook) goesOn(u *poolUse) bool {
	if u.has {
		return l.waiter(u) == nil
	}
	name, _, _ := l.short(u)
	return name == ""
}

// waiter gives one who is stuck and must go on for somebody to end who has places; nil when there is none.
func (l *poolLook) waiter(holder *poolUse) *poolUse {
	for _, u := range l.all {
		if l.stuck[u] && !u.has && l.knots.under(u, holder) {
			return u
		}
	}
	return nil
}

// short gives the pool in which somebody has too few places while those have theirs who are stuck, "" when there is
// none: one of these who has places, and one for whom some are kept.
func (l *poolLook) short(u *poolUse) (pool string, holder, front *poolUse) {
	for _, name := range sortedKeys(u.want) {
		left := l.knots.pools.of[name].places
		holder, front = nil, nil
		for _, other := range l.all {
			places := other.want[name]
			if places == 0 || !l.stuck[other] || other == u || !other.has && !other.before(u) {
				continue
			}
			left -= places
			if other.has {
				holder = other
			} else {
				front = other
			}
		}
		if left < u.want[name] {
			return name, holder, front
		}
	}
	return "", nil, nil
}

// why says what somebody who is stuck waits for, and who must go on for that to end. Once free has ended.
func (l *poolLook) why(u *poolUse) (text string, behind *poolUse) {
	pool, holder, front := l.short(u)
	if holder == nil {
		return fmt.Sprintf("waits for pool %s, behind %s", pool, front.name()), front
	}
	behind = l.waiter(holder)
	text = fmt.Sprintf("waits for pool %s, held by %s", pool, holder.name())
	if behind.run != holder.run {
		text += ", which has started " + behind.run.ID
	}
	return text, behind
}

// text tells the knot, from the one at place i on, and what to do.
func (k *poolKnot) text(i int) string {
	n := len(k.uses)
	var parts []string
	for j := range min(n, knotsTold) {
		at := (i + j) % n
		parts = append(parts, k.uses[at].name()+" "+k.texts[at])
	}
	if n > knotsTold {
		parts = append(parts, fmt.Sprintf("and %d more", n-knotsTold))
	}
	return strings.Join(parts, "; ") + ": none of them goes on before one is cancelled"
}

// textOf tells the knot that somebody waits in, "" when there is none.
func (k *poolKnots) textOf(u *poolUse) string {
	knot := k.of[u]
	if knot == nil {
		return ""
	}
	text := knot.text(slices.Index(knot.uses, u))
	return "waiting: " + strings.TrimPrefix(text, u.name()+" waits for ") // as others say it who wait
}

// eachKnot hands fn an item for the runs that wait for each other, those that this peer may see all of. Only on the
// loop.
func (a *attention) eachKnot(grant *authGrant, fn func(AttentionItem)) {
	for _, knot := range a.fleet.pools.knots.all {
		sees, at, runs, workflows := true, int64(0), map[string]bool{}, map[string]bool{}
		for _, u := range knot.uses {
			sees = sees && grant.sees(u.run.Workflow)
			at = max(at, u.at)
			runs[u.run.ID], workflows[u.run.Workflow] = true, true
		}
		if !sees {
			continue
		}
		since := stampOf(time.UnixMilli(at))
		item := AttentionItem{Kind: attentionPools, Runs: sortedKeys(runs), Count: len(runs), First: since, Last: since,
			Workflow: knot.uses[0].run.Workflow, Reason: knot.text(0)}
		item.Key = stateKey(attentionPools, item.Runs[0], "")
		slices.Reverse(item.Runs)
		item.Runs = item.Runs[:min(len(item.Runs), stateMaxFailureRuns)]
		if len(workflows) > 1 {
			item.Workflow, item.Workflows = "", sortedKeys(workflows)
		}
		fn(item)
	}
}
