// principal_pools.go: pools: places that runs and tasks share, whatever their workflows and agents. A run that names
// pools goes to no agent before it has its places in all of them, and has them until it ends. A task that does is begun
// by its agent when it has them, and has them for one attempt. Who has places follows from the state: the runs that
// agents have, and the tasks that were told to go on. Who waits stands in line: higher priority first, then who came
// first. All of it runs on the principal's loop.
//
// The line is kept strictly: what is free is kept for those in front, so that runs that want one place never overtake
// one that wants two. Only a run that could not go even with its places is passed over: no agent that is there can take
// it, or it waits for another run of its workflow. So that 10,000 runs in one line cost little, those of one version of
// a workflow stand together in a group, which is passed over as a whole.

package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// poolsUndeclared is how many places a pool has that nobody has declared: its name alone is a lock.
const poolsUndeclared = 1

// pools is who has places, and who waits for them. It belongs to the principal's loop.
type pools struct {
	*principalLoop
	fleet    *fleet
	declared map[string]int                 // pool -> its places
	of       map[string]*pool               // those that somebody has places of or waits for
	groups   map[poolKey]*poolGroup         // those who wait
	open     map[*pool]bool                 // those with free places and with somebody who waits
	runs     map[string]*poolUse            // of each run that names pools, while it is active
	tasks    map[string]map[string]*poolUse // run -> task -> its use, while it waits or has places
	kept     map[*poolUse]bool              // queued runs that have their places, and wait only for an agent
	moved    map[*pool]bool                 // those with other holders, places or waiters than a turn before
	changed  map[*pool]bool                 // the same since followers of the lists looked; nil: there are none
	knots    *poolKnots
}

// pool is one of them.
type pool struct {
	name    string
	places  int
	taken   int          // may be more than there are: see docs/operations.md
	holders []*poolUse   // who has taken places, the first in front
	line    []*poolGroup // who waits, by the first of each group
	waiting int          // how many wait, in all groups
	ahead   *poolUse     // the first that places are kept for, as was seen last; nil: there is none
}

// poolUse is a run, or a task of one, that has places or waits for them.
type poolUse struct {
	run  *Run
	task string         // "": it is the run itself
	want map[string]int // pool -> places
	at   int64          // when it came, in milliseconds
	has  bool           // it has its places; else it waits for them, in group

	group *poolGroup
}

// poolUseOf makes the use of a run. It came when it was queued first.
func poolUseOf(r *Run, want map[string]int) *poolUse {
	return &poolUse{run: r, want: want, at: runTime(r.ID).UnixMilli()}
}

// before is the order of the line: higher priority first, then who came first.
func (u *poolUse) before(other *poolUse) bool {
	a, b := u.run, other.run
	switch {
	case a.Priority != b.Priority:
		return a.Priority > b.Priority
	case u.at != other.at:
		return u.at < other.at
	case a != b:
		return a.ID < b.ID
	}
	return u.task < other.task
}

// name names a use for people: RUN, or RUN TASK.
func (u *poolUse) name() string { return strings.TrimSuffix(u.run.ID+" "+u.task, " ") }

// poolKey names a group.
type poolKey struct {
	// Of runs:

	version string
	catchup bool // they make up for missed ticks: such runs go one by one, whatever others of their workflow do

	// Of a task, which is a group of its own:

	run, task string
}

// poolGroup is those who wait for the same, and may go or not for the same reasons.
type poolGroup struct {
	key   poolKey
	want  map[string]int // pool -> places
	pools []*pool        // the same
	uses  []*poolUse     // in the order of the line
}

// poolsNew makes pools that nobody has places of.
func poolsNew(fleet *fleet) *pools {
	p := &pools{principalLoop: fleet.principalLoop, fleet: fleet, declared: fleet.cfg.Pools, of: map[string]*pool{},
		groups: map[poolKey]*poolGroup{}, open: map[*pool]bool{}, runs: map[string]*poolUse{},
		tasks: map[string]map[string]*poolUse{}, kept: map[*poolUse]bool{}, moved: map[*pool]bool{}}
	p.knots = knotsNew(p)
	return p
}

// placesOf gives how many places a pool has.
func (p *pools) placesOf(name string) int {
	if n, ok := p.declared[name]; ok {
		return n
	}
	return poolsUndeclared
}

// declare puts other numbers of places in force. Who has a place keeps it: a pool may have more holders than places
// until some have ended.
func (p *pools) declare(places map[string]int) {
	p.declared = places
	for name, pl := range p.of {
		if n := p.placesOf(name); n != pl.places {
			pl.places = n
			p.note(pl)
		}
	}
}

// tooFew says that a workflow, or a task of it, wants more places than a pool has, "" when none does: it could never
// go.
func (p *pools) tooFew(w *Workflow) (text string) {
	w.eachPool(func(name string, places int) {
		if text == "" && places > p.placesOf(name) {
			text = p.fewText(name, places)
		}
	})
	return text
}

// tooFewIn is tooFew for the workflow of a file, as a warning of that file.
func (p *pools) tooFewIn(f *workflowFile) string {
	if f.Spec == nil {
		return ""
	}
	few := p.tooFew(f.Spec)
	if few == "" {
		return ""
	}
	return workflowFault{File: f.File, Message: "no run of it can start: " + few, Warning: true}.String()
}

// fewText says that a pool has too few places for somebody.
func (p *pools) fewText(name string, want int) string {
	return fmt.Sprintf("it wants %d places of pool %s, which has %d: declare more in the principal's configuration, "+
		"as "+
		"pools: {%s: %d}", want, name, p.placesOf(name), name, want)
}

// heldAbove says that a run which a task is to start would wait for ever: it names a pool in which the run of that
// task, or one above it, has places until the new one ends. "" when that is not so.
func (p *pools) heldAbove(w *Workflow, parent, task string) (text string) {
	for r := p.state.Runs[parent]; r != nil; r, task = p.state.Runs[r.Parent], r.ParentTask {
		spec, asked := p.state.Versions[r.Version], r.task(task)
		if spec == nil || asked == nil {
			return text
		}
		if t := spec.task(orDefault(asked.Of, task)); t == nil || !t.waits() {
			return text
		}
		w.eachPool(func(name string, _ int) {
			if spec.Pool[name] > 0 && text == "" {
				text = fmt.Sprintf("it needs pool %s, in which run %s of %s has places until it has ended: one of "+
					"the two "+
					"files must leave the pool out", name, r.ID, r.Workflow)
			}
		})
	}
	return text
}

// count takes in that a run has another state now, and says whether it is in line. before is what it was. A run that is
// queued for its handlers alone stands in no line: it has places beside those who took them, once it goes.
func (p *pools) count(r *Run, before string) (inLine bool) {
	spec := p.state.Versions[r.Version]
	if spec == nil || len(spec.Pool) == 0 {
		return false
	}
	if u := p.runs[r.ID]; u != nil {
		p.leave(u)
		delete(p.runs, r.ID)
	}
	if !runActive(r.State) || r.State == runQueued && r.Ending != "" {
		return false
	}
	u := poolUseOf(r, spec.Pool)
	p.runs[r.ID] = u
	if r.State == runQueued {
		p.join(u, poolKey{version: r.Version, catchup: goesAlone(r.Trigger)})
		return true
	}
	p.take(u)
	return false
}

// observe takes in what an event has changed in the tasks of a run that ask for places or have some.
func (p *pools) observe(c change) {
	if c.run == nil {
		return
	}
	asked := c.event.Kind == evTaskAsked && c.event.Asks == askPool
	if asked || c.event.Kind == evAdopted || p.tasks[c.run.ID] != nil {
		p.recall(c.run)
	}
}

// recall compares the tasks of a run with what is known of them.
func (p *pools) recall(r *Run) {
	spec, known := p.state.Versions[r.Version], p.tasks[r.ID]
	if spec == nil {
		return
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		active := runActive(r.State) && taskActive(t.State)
		has := active && t.Pooled
		waits := active && t.waitsForPool() && r.stopping(t) == ""
		u := known[t.Task]
		if u == nil && !has && !waits || u != nil && u.has == has && waits == !has {
			continue
		}
		p.fleet.assignable = true
		if u != nil {
			p.leave(u)
			delete(known, t.Task)
		}
		task := spec.task(orDefault(t.Of, t.Task))
		if !has && !waits || task == nil || len(task.Pool) == 0 {
			continue
		}
		u = poolUseOf(r, task.Pool)
		u.task = t.Task
		if t.Ask != nil && !t.Ask.Since.IsZero() {
			u.at = t.Ask.Since.UnixMilli()
		}
		if known == nil {
			known = map[string]*poolUse{}
			p.tasks[r.ID] = known
		}
		known[t.Task] = u
		if has {
			p.take(u)
		} else {
			p.join(u, poolKey{run: r.ID, task: t.Task})
		}
	}
	if len(known) == 0 {
		delete(p.tasks, r.ID)
	}
}

// pool gives a pool by its name. It makes one if there is none: tidy must follow once nobody has a place of it or
// waits.
func (p *pools) pool(name string) *pool {
	pl := p.of[name]
	if pl == nil {
		pl = &pool{name: name, places: p.placesOf(name)}
		p.of[name] = pl
	}
	return pl
}

// tidy forgets a pool that nobody has places of or waits for.
func (p *pools) tidy(pl *pool) {
	if len(pl.holders)+pl.waiting == 0 {
		delete(p.of, pl.name)
	}
}

// note notes that there are other holders, other places or others who wait.
func (p *pools) note(pl *pool) {
	if pl.waiting > 0 && pl.taken < pl.places {
		p.open[pl] = true
	} else {
		delete(p.open, pl)
	}
	p.moved[pl] = true
}

// take gives somebody his places.
func (p *pools) take(u *poolUse) {
	u.has = true
	for name, places := range u.want {
		pl := p.pool(name)
		pl.taken += places
		pl.holders = append(pl.holders, u)
		p.note(pl)
	}
}

// leave takes the places back that somebody has, or takes him out of the line.
func (p *pools) leave(u *poolUse) {
	if !u.has {
		p.leaveLine(u)
		return
	}
	for name, places := range u.want {
		pl := p.pool(name)
		if at := slices.Index(pl.holders, u); at >= 0 {
			pl.holders = queueWithout(pl.holders, at)
			pl.taken -= places
		}
		p.note(pl)
		p.tidy(pl)
	}
}

// join puts somebody into the line of each of his pools.
func (p *pools) join(u *poolUse, key poolKey) {
	g := p.groups[key]
	if g == nil {
		g = &poolGroup{key: key, want: u.want}
		for name := range u.want {
			g.pools = append(g.pools, p.pool(name))
		}
		p.groups[key] = g
	}
	u.group = g
	at := g.at(u)
	if at == 0 {
		g.leave()
	}
	g.uses = inserted(g.uses, at, u)
	if at == 0 {
		g.enter()
	}
	for _, pl := range g.pools {
		pl.waiting++
		p.note(pl)
	}
	p.knots.joined(u)
}

// leaveLine takes somebody out of the line, and out of those that places are kept for.
func (p *pools) leaveLine(u *poolUse) {
	g := u.group
	delete(p.kept, u)
	p.knots.left(u)
	at := g.at(u)
	if at == len(g.uses) || g.uses[at] != u {
		return
	}
	if at == 0 {
		g.leave()
	}
	g.uses = queueWithout(g.uses, at)
	if at == 0 {
		g.enter()
	}
	if len(g.uses) == 0 {
		delete(p.groups, g.key)
	}
	for _, pl := range g.pools {
		pl.waiting--
		if pl.ahead == u {
			pl.ahead = nil
		}
		p.note(pl)
		p.tidy(pl)
	}
}

// wantsTooMany says whether a pool has fewer places than each of the group wants.
func (g *poolGroup) wantsTooMany() bool {
	return slices.ContainsFunc(g.pools, func(pl *pool) bool { return g.want[pl.name] > pl.places })
}

// at gives the place of a use in the group, or where it would be.
func (g *poolGroup) at(u *poolUse) int {
	return sort.Search(len(g.uses), func(i int) bool { return !g.uses[i].before(u) })
}

// enter puts a group that is not empty into the lines of its pools, by the first of it.
func (g *poolGroup) enter() {
	if len(g.uses) == 0 {
		return
	}
	for _, pl := range g.pools {
		pl.line = inserted(pl.line, pl.at(g), g)
	}
}

// leave takes a group out of the lines. Its first must be as it was when it entered.
func (g *poolGroup) leave() {
	if len(g.uses) == 0 {
		return
	}
	for _, pl := range g.pools {
		if at := pl.at(g); at < len(pl.line) && pl.line[at] == g {
			pl.line = queueWithout(pl.line, at)
		}
	}
}

// at gives the place of a group in the line, or where it would be.
func (pl *pool) at(g *poolGroup) int {
	return sort.Search(len(pl.line), func(i int) bool { return !pl.line[i].uses[0].before(g.uses[0]) })
}

// What a look at one who waits says of the next ones.
type poolNext int

const (
	poolGoOn      poolNext = iota
	poolPassGroup          // the others of its group need not be looked at
	poolStop
)

// poolCursor is how far a look along the line has come in a group.
type poolCursor struct {
	group *poolGroup
	at    int
}

func (c poolCursor) use() *poolUse { return c.group.uses[c.at] }

// each hands fn those who wait for the pool, in the order of the line.
func (pl *pool) each(fn func(g *poolGroup, u *poolUse) poolNext) {
	var begun []poolCursor // groups of which some were looked at, in the order of their next
	for at := 0; at < len(pl.line) || len(begun) > 0; {
		var c poolCursor
		if len(begun) > 0 && (at == len(pl.line) || begun[0].use().before(pl.line[at].uses[0])) {
			c, begun = begun[0], begun[1:]
		} else {
			c = poolCursor{group: pl.line[at]}
			at++
		}
		switch fn(c.group, c.use()) {
		case poolStop:
			return
		case poolPassGroup:
			continue
		}
		if c.at++; c.at < len(c.group.uses) {
			i := sort.Search(len(begun), func(i int) bool { return c.use().before(begun[i].use()) })
			begun = inserted(begun, i, c)
		}
	}
}

// keepPlaces finds who has his places now: runs wait for an agent then, tasks are told to go on. It says whether there
// are new runs that wait so.
func (p *pools) keepPlaces() bool {
	fresh, gone := p.keep(p.barred)
	for _, u := range gone {
		p.fleet.line(u.run, false)
	}
	runs := false
	for _, u := range fresh {
		if u.task != "" {
			p.goOn(u)
		} else {
			p.fleet.line(u.run, true)
			runs = true
		}
	}
	p.knots.look(len(p.moved) > 0)
	p.tellMoved()
	return runs
}

// tellMoved tells who follows runs, or the lists, that those in line may wait for something else than they did.
func (p *pools) tellMoved() {
	fs := p.fleet.followers
	for pl := range p.moved {
		if p.changed != nil {
			p.changed[pl] = true
			fs.news.ofPools()
		}
		if len(fs.ofRuns) > 0 {
			pl.eachOf(newsSiblings, func(u *poolUse) { fs.touched[u.run.ID] = true })
		}
	}
	clear(p.moved)
}

// goOn tells a task that has its places now to begin.
func (p *pools) goOn(u *poolUse) {
	p.emit(&Event{Kind: evTaskAnswered, Run: u.run.ID, Workflow: u.run.Workflow, Task: u.task})
	fleetAnswer(p.fleet, u.run, u.run.task(u.task))
}

// barred says whether somebody could not go even if he had his places, and whether that is so of his whole group.
// Places are kept for a run that waits for a busy agent: else runs behind it could take them for ever.
func (p *pools) barred(u *poolUse) (itself, group bool) {
	r, spec := u.run, p.state.Versions[u.run.Version]
	if u.task != "" { // its agent must hear of it
		link := p.fleet.links[r.Agent]
		return link == nil || !link.synced, false
	}
	if p.fleet.noTaker(r, spec) != "" {
		return true, true
	}
	if p.fleet.mustWait(r, spec) == "" {
		return false, false
	}
	return true, !fleetWaitsAlone(r, spec)
}

// keep finds who has his places now, by a walk along the line of each pool that has free places. barred says whether
// something else keeps him from going, and whether it keeps the others of his group too. keep gives those who have
// places now and had none, and those that had places which somebody in front of them is to have.
func (p *pools) keep(barred func(*poolUse) (itself, group bool)) (fresh, gone []*poolUse) {
	if len(p.open)+len(p.kept) == 0 {
		return nil, nil
	}
	reached, now := map[*poolUse]int{}, map[*poolUse]bool{} // in how many pools each has its places
	for pl := range p.open {
		left, ahead := pl.places-pl.taken, (*poolUse)(nil)
		pl.each(func(g *poolGroup, u *poolUse) poolNext {
			itself, group := barred(u)
			switch {
			case group || g.wantsTooMany():
				return poolPassGroup
			case itself:
				return poolGoOn
			}
			if ahead == nil {
				ahead = u
			}
			left -= g.want[pl.name]
			if left >= 0 {
				if reached[u]++; reached[u] == len(g.pools) {
					now[u] = true
				}
			}
			if left <= 0 {
				return poolStop
			}
			return poolGoOn
		})
		if pl.ahead != ahead {
			pl.ahead = ahead
			p.note(pl)
		}
	}
	for u := range now {
		if !p.kept[u] {
			fresh = append(fresh, u)
		}
	}
	for u := range p.kept {
		if !now[u] {
			gone = append(gone, u)
		}
	}
	sort.Slice(fresh, func(i, j int) bool { return fresh[i].before(fresh[j]) })
	p.kept = now
	return fresh, gone
}

// waits says what a queued run waits for, "" when it has its places or needs none.
func (p *pools) waits(r *Run) string {
	if u := p.runs[r.ID]; u != nil && !u.has && !p.kept[u] {
		return p.waitsFor(u)
	}
	return ""
}

// taskWaits says what a task of a run waits for, "" when it waits for no place.
func (p *pools) taskWaits(r *Run, task string) string {
	if u := p.tasks[r.ID][task]; u != nil && !u.has {
		return p.waitsFor(u)
	}
	return ""
}

// waitsFor says what somebody in line waits for, "" when his places are there.
func (p *pools) waitsFor(u *poolUse) string {
	if text := p.knots.textOf(u); text != "" {
		return text
	}
	names := sortedKeys(u.want)
	for _, name := range names {
		switch pl := p.of[name]; {
		case u.want[name] > pl.places:
			return p.fewText(name, u.want[name])
		case pl.taken+u.want[name] > pl.places:
			return fmt.Sprintf("waiting: pool %s, held by %s", name, pl.heldBy())
		}
	}
	for _, name := range names {
		if pl := p.of[name]; pl.ahead != nil && pl.ahead != u {
			return fmt.Sprintf("waiting: pool %s, behind %s", name, pl.ahead.name())
		}
	}
	return ""
}

// heldBy names who has places: the one that has had them for longest, and how many more there are.
func (pl *pool) heldBy() string {
	if len(pl.holders) == 0 {
		return "nobody"
	}
	text := pl.holders[0].name()
	if more := len(pl.holders) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// follow has the pools noted of which followers are to be told, or noted no more.
func (p *pools) follow(on bool) {
	p.changed = nil
	if on {
		p.changed = map[*pool]bool{}
	}
}

// eachOf hands fn those in front of the line, most at most.
func (pl *pool) eachOf(most int, fn func(u *poolUse)) {
	pl.each(func(_ *poolGroup, u *poolUse) poolNext {
		if most--; most < 0 {
			return poolStop
		}
		fn(u)
		return poolGoOn
	})
}

// eachChanged hands fn the runs that, or whose tasks, may wait for something else than they did, since it was asked
// last: those in front of each line, most of each at most.
func (p *pools) eachChanged(most int, fn func(r *Run)) {
	for pl := range p.changed {
		pl.eachOf(most, func(u *poolUse) { fn(u.run) })
	}
	clear(p.changed)
}
