package main

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// lanesRig is a principal whose loop is the test itself, and whose agents take all that they are sent.
type lanesRig struct {
	t    testing.TB
	p    *principal
	f    *fleet
	uses map[string][]string // version -> the keys that it has
}

// lanesConn is the connection of such an agent.
type lanesConn struct{ wireConn }

func (lanesConn) TrySend(...[]byte) bool { return true }
func (lanesConn) Cut(error)              {}
func (lanesConn) Close() error           { return nil }
func (lanesConn) Peer() wirePeer {
	return wirePeer{Transport: "tcp", Addr: "tcp://192.0.2.1:1", Name: "x"}
}

func lanesRigOpen(t testing.TB) *lanesRig {
	t.Helper()
	p, err := principalOpen(principalConfig{StateDir: t.TempDir(), NoSync: true, Zone: time.UTC,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.commit()
		if err := p.store.close(); err != nil {
			t.Error(err)
		}
		p.logs.close()
	})
	return &lanesRig{t: t, p: p, f: p.fleet, uses: map[string][]string{}}
}

// join takes an agent in.
func (g *lanesRig) join(name string, capacity int, labels map[string]string, knows ...string) {
	link := &agentLink{name: name, conn: lanesConn{}, grant: authOwner, epoch: "e"}
	g.f.welcome(link, &agentMsg{V: protoVersion, Op: msgHello, Agent: name, Epoch: "e", Capacity: capacity,
		Labels: labels, Knows: append(protoKnows(), knows...), Can: protoAgentCan})
	if g.f.links[name] != link {
		g.t.Fatalf("agent %s was not let in", name)
	}
}

// queue queues a run of a workflow.
func (g *lanesRig) queue(w *Workflow) *Run {
	id, refused := g.p.enqueue(w, runOrder{trigger: triggerManual})
	if refused != nil {
		g.t.Fatal(refused)
	}
	return g.p.state.Runs[id]
}

// turn ends a turn of the loop: runs are given, and gives those.
func (g *lanesRig) turn() (given []string) {
	at := len(g.p.batch)
	g.f.assignQueued()
	for _, e := range g.p.batch[at:] {
		given = append(given, e.Run+" "+e.Agent)
	}
	g.p.commit()
	return given
}

// end ends a run.
func (g *lanesRig) end(r *Run) {
	g.p.emit(&Event{Kind: evRunEnded, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, State: runFailed})
}

// unable is why an agent cannot take a run at all, by what is said of agents: labels, keys, refusals.
func (g *lanesRig) unable(link *agentLink, r *Run) string {
	if g.uses[r.Version] == nil {
		g.uses[r.Version] = protoUses(g.p.state.Versions[r.Version])
	}
	if missing := slices.DeleteFunc(slices.Clone(g.uses[r.Version]),
		func(key string) bool { return !link.lacks[key] }); len(missing) > 0 {
		return link.title() + " does not know " + protoKeysText(missing)
	}
	refusal := g.f.refusals[fleetWhat{link.name, r.Version}]
	if refusal != nil && g.f.cfg.now().Before(refusal.until) {
		return refusal.reason
	}
	return ""
}

// expected gives what a pass must give: each queued run in turn, to the agent with the most free places of all, and
// ahead only where none has one.
func (g *lanesRig) expected() (given []string) {
	free, ahead, began := map[string]int{}, map[string]int{}, map[string]bool{}
	kept := g.kept()
	for name, link := range g.f.links {
		free[name], ahead[name] = g.f.freeOf(link), g.f.aheadOf(link)
	}
	for _, r := range g.p.queue.runs {
		spec, best := g.p.state.Versions[r.Version], ""
		for _, name := range sortedKeys(g.f.links) {
			if free[name]+ahead[name] > 0 && labelsMatch(spec.Agent, g.p.state.Agents[name].Labels) &&
				g.unable(g.f.links[name], r) == "" && (best == "" || free[name] > free[best]) {
				best = name
			}
		}
		waits := spec.Overlap == overlapQueue && began[r.Workflow]
		if best == "" || waits || !kept[r.ID] || g.f.mustWait(r, spec) != "" {
			continue
		}
		free[best]--
		began[r.Workflow] = true
		given = append(given, r.ID+" "+best)
	}
	return given
}

// kept gives the queued runs that have their places in pools, or need none: a walk along the whole queue.
func (g *lanesRig) kept() map[string]bool {
	taken, kept := map[string]int{}, map[string]bool{}
	for _, r := range g.p.state.Runs {
		if r.State == runRunning {
			for name, n := range g.p.state.Versions[r.Version].Pool {
				taken[name] += n
			}
		}
	}
	for _, r := range g.p.queue.runs {
		spec, fits := g.p.state.Versions[r.Version], true
		for name, n := range spec.Pool {
			fits = fits && n <= g.f.pools.placesOf(name)
		}
		if len(spec.Pool) > 0 && (!fits || g.f.noTaker(r, spec) != "" || g.f.mustWait(r, spec) != "") {
			continue
		}
		for name, n := range spec.Pool { // what is taken by those in front is so even if they lack other places
			taken[name] += n
			fits = fits && taken[name] <= g.f.pools.placesOf(name)
		}
		kept[r.ID] = fits
	}
	return kept
}

// reason gives why nobody can take a run, by a look at every agent.
func (g *lanesRig) reason(r *Run) string {
	spec := g.p.state.Versions[r.Version]
	matching, able, why := 0, 0, []string{}
	for name, link := range g.f.links {
		a := g.p.state.Agents[name]
		if !labelsMatch(spec.Agent, a.Labels) {
			continue
		}
		matching++
		switch reason := g.unable(link, r); {
		case a.Draining || link.leaving:
		case reason == "":
			able++
		default:
			why = append(why, reason)
		}
	}
	slices.Sort(why)
	switch {
	case len(g.f.links) == 0:
		return fleetNoAgent
	case matching == 0:
		return "no agent with labels " + labelsText(spec.Agent)
	case able > 0:
		return ""
	case len(why) == 0:
		return "all agents that could take it are draining"
	case len(why) == 1:
		return why[0]
	}
	return fmt.Sprintf("%s, and %d more cannot take it either", why[0], len(why)-1)
}

// Whatever agents and runs do, runs are given as if every agent were looked at for each of them, in the order of the
// queue, and what a run waits for is said as if they were.
func TestLanesModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { lanesModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func lanesModel(t *testing.T, rnd *rand.Rand) {
	g := lanesRigOpen(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g.p.cfg.now = func() time.Time { return now }
	labels := []map[string]string{nil, {"gpu": "yes"}, {"os": "linux"}, {"gpu": "yes", "os": "linux"}, {"gpu": "no"}}
	var workflows []*Workflow
	for i, l := range labels {
		for k, overlap := range []string{overlapAllow, overlapQueue, overlapSkip} {
			w := &Workflow{ID: fmt.Sprint("w", i, overlap), Agent: l, Overlap: overlap, Priority: i % 2,
				Tasks: []Task{{ID: "a", Run: "true"}}}
			if k == 0 && i > 1 {
				w.Tasks[0].Env = map[string]string{"A": "b"}
			}
			w.Pool = []map[string]int{nil, {"db": 1}, {"db": 2}, {"db": 1, "tape": 1}}[(i+k)%4]
			workflows = append(workflows, w)
		}
	}
	some := func(of map[string]*agentLink) *agentLink {
		if names := sortedKeys(of); len(names) > 0 {
			return of[names[rnd.IntN(len(names))]]
		}
		return nil
	}
	for step := range 600 {
		now = now.Add(100 * time.Millisecond)
		link, running := some(g.f.links), []*Run{}
		for _, id := range sortedKeys(g.p.state.Runs) {
			if r := g.p.state.Runs[id]; r.State == runRunning {
				running = append(running, r)
			}
		}
		switch n := rnd.IntN(20); {
		case n < 8:
			if w := workflows[rnd.IntN(len(workflows))]; g.f.pools.tooFew(w) == "" {
				g.queue(w)
			}
		case n < 12 && len(running) > 0:
			g.end(running[rnd.IntN(len(running))])
		case n < 14 && len(running) > 0:
			r := running[rnd.IntN(len(running))]
			if link := g.f.links[r.Agent]; link != nil {
				unknown := []string{"tasks.env"}[:rnd.IntN(2)]
				g.f.hearRefused(link, &agentMsg{Run: r.ID, Lease: r.Lease, Unknown: unknown})
			}
		case n < 16:
			g.join(fmt.Sprint("a", rnd.IntN(8)), 1+rnd.IntN(3), labels[rnd.IntN(len(labels))])
		case link == nil:
		case n < 17:
			g.f.dropLink(link, "gone")
		case n < 18:
			g.p.emit(&Event{Kind: evAgentDrained, Agent: link.name})
			g.f.assignable = true
		case n < 19:
			g.p.emit(&Event{Kind: evAgentUndrain, Agent: link.name})
			g.f.assignable = true
		default:
			g.f.hear(link, &agentMsg{Op: msgDrain}, 0)
		}
		if link != nil && rnd.IntN(4) == 0 {
			g.f.noteQuick(link, rnd.IntN(3))
		}
		if rnd.IntN(20) == 0 {
			g.f.pools.declare(map[string]int{"db": 1 + rnd.IntN(5)})
		}
		if rnd.IntN(50) == 0 {
			g.f.lanes.forgetVersions(g.p.queue.runs)
		}
		if rnd.IntN(20) == 0 {
			g.f.lanes.forget(g.f.links)
		}
		g.f.askAgain(now)
		g.f.assignable = true
		want := g.expected()
		if got := g.turn(); !slices.Equal(got, want) {
			t.Fatalf("step %d: given %q, not %q", step, got, want)
		}
		kept := g.kept()
		for _, r := range g.p.queue.runs {
			spec := g.p.state.Versions[r.Version]
			free := g.f.noTaker(r, spec) == "" && g.f.mustWait(r, spec) == ""
			if wait := g.f.pools.waits(r); free && (wait == "") != kept[r.ID] {
				t.Fatalf("step %d: run %s has its places: %v, and waits for %q", step, r.ID, kept[r.ID], wait)
			}
			if got, want := g.f.noTaker(r, g.p.state.Versions[r.Version]), g.reason(r); got != want {
				t.Fatalf("step %d: run %s waits for %q, not %q", step, r.ID, got, want)
			}
		}
		for name, pl := range g.f.pools.of {
			taken := 0
			for _, u := range pl.holders {
				taken += g.p.state.Versions[u.run.Version].Pool[name]
			}
			if taken != pl.taken || pl.waiting+len(pl.holders) == 0 {
				t.Fatalf("step %d: pool %s: %d places taken, not %d; %d wait", step, name, taken, pl.taken, pl.waiting)
			}
		}
		for link := range maps.Values(g.f.links) {
			if link.free != g.f.freeOf(link) {
				t.Fatalf("step %d: agent %s is taken to have room for %d, and has for %d", step, link.name, link.free,
					g.f.freeOf(link))
			}
		}
	}
}

// lanesStuck fills the queue with runs that no agent can take: for want of labels, of room, and of what they know.
func lanesStuck(g *lanesRig, agents, runs int) (healthy *Workflow) {
	for i := range agents {
		g.join(fmt.Sprintf("agent-%04d", i), 4, map[string]string{"zone": fmt.Sprint(i % 7)})
	}
	g.join("small", 1, map[string]string{"size": "small"})
	for i := range runs {
		w := &Workflow{ID: fmt.Sprint("stuck", i), Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
		switch i % 3 {
		case 0:
			w.Agent = map[string]string{"zone": "none"}
		case 1:
			w.Agent = map[string]string{"host": fmt.Sprint("h", i)}
		case 2:
			w.Agent = map[string]string{"size": "small"}
		}
		g.queue(w)
	}
	g.turn()
	return &Workflow{ID: "healthy", Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
}

// However many runs wait that no agent can take, the others are given as if there were none: the work is counted.
func TestLanesWork(t *testing.T) {
	g := lanesRigOpen(t)
	healthy := lanesStuck(g, 300, 900)
	before := g.f.tried
	const runs = 50
	for range runs {
		r := g.queue(healthy)
		if given := g.turn(); len(given) != 1 || r.State != runRunning {
			t.Fatalf("given: %q", given)
		}
		g.end(r)
		g.turn()
	}
	if tried := g.f.tried - before; tried != runs {
		t.Errorf("%d runs were held against agents, to give %d", tried, runs)
	}
	if n := len(g.p.queue.runs); n != 899 {
		t.Errorf("%d runs are queued", n)
	}
}

// A lane that stands empty costs nothing after a while: the changes of places in it are counted. One in which a run
// stands now and then is kept.
func TestLanesEmpty(t *testing.T) {
	g := lanesRigOpen(t)
	const agents, lanes = 50, 40
	for i := range agents {
		has := map[string]string{}
		for k := range lanes {
			has[fmt.Sprint("k", k)] = "yes"
		}
		g.join(fmt.Sprint("agent-", i), 2, has)
	}
	run := func(w *Workflow) (version string) {
		t.Helper()
		r := g.queue(w)
		if given := g.turn(); len(given) != 1 || r.State != runRunning {
			t.Fatalf("given: %q", given)
		}
		g.end(r)
		g.turn()
		return r.Version
	}
	flow := func(id string, labels map[string]string) *Workflow {
		return &Workflow{ID: id, Agent: labels, Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
	}
	for i := range lanes {
		run(flow(fmt.Sprint("rare", i), map[string]string{fmt.Sprint("k", i): "yes"}))
	}
	healthy := flow("healthy", nil)
	for g.f.lanes.moves < 4*(agents+lanesMoves) {
		run(healthy)
	}
	kept, before := g.f.lanes.of[run(healthy)], g.f.lanes.moves
	const runs = 3 * (agents + lanesMoves)
	for range runs {
		run(healthy)
	}
	if n := g.f.lanes.moves - before; n != 2*runs {
		t.Errorf("agents changed their places in lanes without runs %d times for %d runs", n, runs)
	}
	if len(g.f.lanes.byAsked) != 1 || len(g.f.lanes.of) != 1 || g.f.lanes.of[run(healthy)] != kept {
		t.Errorf("%d lanes are kept, of %d versions", len(g.f.lanes.byAsked), len(g.f.lanes.of))
	}
	run(flow("rare0", map[string]string{"k0": "yes"}))
}

// A pass ends even if a run that is given stays in its lane.
func TestLanesPassEnds(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 3, nil)
	w := &Workflow{ID: "w", Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
	r := g.queue(w)
	g.turn()
	g.f.line(r, true) // though it runs
	next, now, asked := g.queue(w), g.p.cfg.now(), 0
	g.p.cfg.now = func() time.Time {
		asked++
		if asked > 1000 {
			t.Fatal("the pass goes on for ever")
		}
		return now
	}
	g.f.assignable = true
	g.turn()
	g.f.line(r, false)
	if next.State != runRunning {
		t.Errorf("the run behind it is %s", next.State)
	}
}

// BenchmarkAssignStuck gives a run to one of 3,000 agents and ends it, while 9,000 runs wait that nobody can take.
func BenchmarkAssignStuck(b *testing.B) {
	g := lanesRigOpen(b)
	healthy := lanesStuck(g, 3000, 8900)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r := g.queue(healthy)
		g.turn()
		g.end(r)
		g.turn()
	}
}

// BenchmarkNoTaker says of 9,000 queued runs why nobody takes them.
func BenchmarkNoTaker(b *testing.B) {
	g := lanesRigOpen(b)
	lanesStuck(g, 3000, 8900)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for _, r := range g.p.queue.runs {
			g.f.waitReason(r)
		}
	}
}
