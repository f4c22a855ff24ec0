package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// knotsHolder is a workflow that has places until it ends, and has a task for each of some pools.
func knotsHolder(id string, pool map[string]int, tasks ...string) *Workflow {
	w := &Workflow{ID: id, Overlap: overlapAllow, Pool: pool}
	for _, name := range tasks {
		w.Tasks = append(w.Tasks, Task{ID: name, Run: "true", Pool: map[string]int{name: 1}})
	}
	w.Tasks = append(w.Tasks, Task{ID: "other", Run: "true"})
	return w
}

// knotsReport has the agent of a run say something of a task.
func knotsReport(g *lanesRig, r *Run, kind, task, state, asks string) {
	g.t.Helper()
	if err := g.p.emit(&Event{Kind: kind, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, Lease: r.Lease, Task: task,
		State: state, Asks: asks}); err != nil {
		g.t.Fatal(err)
	}
}

// Two runs that hold each other's pools are told of, in their reasons and in Attention, until one of them is cancelled.
func TestKnots(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 10, nil)
	wait := func(r *Run, task, want string) {
		t.Helper()
		g.turn()
		if got := g.f.pools.taskWaits(r, task); got != want {
			t.Errorf("%s %s: %q, want %q", r.ID, task, got, want)
		}
	}
	items := func() (keys []string) {
		g.p.attention.eachTrouble(authOwner, func(item AttentionItem) { keys = append(keys, item.Key+" "+item.Reason) })
		return keys
	}
	a, b := g.queue(knotsHolder("a", map[string]int{"p1": 1}, "p2")), g.queue(knotsHolder("b", map[string]int{"p2": 1},
		"p1"))
	g.turn()
	knotsReport(g, a, evTaskAsked, "p2", "", askPool)
	wait(a, "p2", "waiting: pool p2, held by "+b.ID)
	if got := items(); len(got) != 0 {
		t.Errorf("with one who waits: %q", got)
	}
	g.p.stirred = false
	knotsReport(g, b, evTaskAsked, "p1", "", askPool)
	none := ": none of them goes on before one is cancelled"
	wait(a, "p2", fmt.Sprintf("waiting: pool p2, held by %s; %s p1 waits for pool p1, held by %s%s", b.ID, b.ID, a.ID,
		none))
	wait(b, "p1", fmt.Sprintf("waiting: pool p1, held by %s; %s p2 waits for pool p2, held by %s%s", a.ID, a.ID, b.ID,
		none))
	if got := items(); len(got) != 1 || !strings.Contains(got[0], none) || !g.p.stirred {
		t.Errorf("with a knot: %q, %v", got, g.p.stirred)
	}
	behind := g.queue(knotsHolder("c", map[string]int{"p1": 1}))
	g.turn()
	if got, want := g.waits(behind), "waiting: pool p1, held by "+a.ID; got != want {
		t.Errorf("behind the knot: %q, want %q", got, want)
	}
	g.f.cancelRun(b, "by a person", false, "", "")
	knotsReport(g, b, evRunFinished, "", runCancelled, "")
	g.turn()
	if got := items(); len(got) != 0 || !a.task("p2").Pooled {
		t.Errorf("after a cancel: %q, %+v", got, a.task("p2"))
	}
}

// More places than the knot has undo it. One that a place is kept for may be in a knot, and so may a run that a task
// has started.
func TestKnotsFront(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 10, nil)
	first := g.queue(knotsHolder("first", map[string]int{"p2": 1}))
	a := g.queue(knotsHolder("a", map[string]int{"p1": 1}, "p2"))
	g.turn()
	both := knotsHolder("both", map[string]int{"p1": 1, "p2": 1})
	both.Priority = 5
	c := g.queue(both)
	g.turn()
	knotsReport(g, a, evTaskAsked, "p2", "", askPool)
	g.turn()
	want := fmt.Sprintf("waiting: pool p2, behind %s; %s waits for pool p1, held by %s: none", c.ID, c.ID, a.ID)
	if got := g.f.pools.taskWaits(a, "p2"); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	knotsReport(g, first, evRunFinished, "", runSucceeded, "")
	g.turn()
	if got := g.f.pools.taskWaits(a, "p2"); !strings.HasPrefix(got, want) {
		t.Errorf("after the first has ended: %q, want %q", got, want)
	}
	g.p.declarePools(map[string]int{"p2": 2})
	g.turn()
	if len(g.f.pools.knots.all) != 0 || !a.task("p2").Pooled {
		t.Errorf("with more places: %+v", g.f.pools.knots.all)
	}

	parent := g.queue(knotsHolder("parent", map[string]int{"p3": 1}))
	x := g.queue(knotsHolder("x", map[string]int{"p4": 1}, "p3"))
	g.turn()
	knotsReport(g, x, evTaskAsked, "p3", "", askPool)
	child := g.queue(knotsHolder("child", map[string]int{"p4": 1}))
	parent.task("other").Child, child.Parent, child.ParentTask = child.ID, parent.ID, "other"
	u := g.f.pools.runs[child.ID]
	g.f.pools.knots.joined(u)
	g.turn()
	want = fmt.Sprintf("waiting: pool p4, held by %s; %s p3 waits for pool p3, held by %s, which has started %s: none",
		x.ID, x.ID, parent.ID, child.ID)
	if got := g.f.pools.waits(child); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	g.p.state.Runs = nil // the links above are in no journal
}

// Whoever is in a knot does not go on, whatever the others do; and where somebody never goes on, a knot is told of.
func TestKnotsModel(t *testing.T) {
	knots := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		g := lanesRigOpen(t)
		g.join("a", 100, nil)
		g.p.declarePools(map[string]int{"p1": 1 + rnd.IntN(4)/3})
		names := []string{"p1", "p2", "p3"}
		var runs []*Run
		for i := range 7 {
			pool := map[string]int{}
			for _, name := range names {
				if rnd.IntN(2) == 0 {
					pool[name] = 1
				}
			}
			own := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
				return pool[name] > 0 ||
					rnd.IntN(2) == 0
			})
			w := knotsHolder(fmt.Sprint("w", seed, "-", i), pool, own...)
			w.Priority = rnd.IntN(2)
			runs = append(runs, g.queue(w))
			g.turn()
			for _, r := range runs {
				for j := range r.Tasks {
					if t := &r.Tasks[j]; r.State == runRunning && t.Task != "other" && t.Ask == nil && !t.Pooled &&
						rnd.IntN(2) == 0 {
						knotsReport(g, r, evTaskAsked, t.Task, "", askPool)
					}
				}
			}
			g.turn()
		}
		told := map[*poolUse]bool{}
		for u := range g.f.pools.knots.of {
			told[u] = true
		}
		if len(told) > 0 {
			knots++
		}
		for moved := true; moved; { // all end who can, and ask no more
			moved = false
			for _, r := range runs {
				if r.State == runRunning && len(g.f.pools.tasks[r.ID]) == 0 {
					knotsReport(g, r, evRunFinished, "", runSucceeded, "")
					moved = true
				}
				for j := range r.Tasks {
					if t := &r.Tasks[j]; r.State == runRunning && t.Pooled {
						knotsReport(g, r, evTaskFinished, t.Task, taskSucceeded, "")
						moved = true
					}
				}
			}
			g.turn()
		}
		left := 0
		for _, r := range runs {
			if runActive(r.State) {
				left++
			}
		}
		for u := range told {
			if !g.f.pools.knots.waits(u) {
				t.Fatalf("seed %d: %s was told to be in a knot, and went on", seed, u.name())
			}
		}
		if left > 0 && len(told) == 0 {
			t.Fatalf("seed %d: %d runs never end, and nobody was told", seed, left)
		}
	}
	if knots < 20 {
		t.Errorf("only %d of the cases had a knot", knots)
	}
}

// Who looks for a knot comes to a few only, however many wait.
func TestKnotsBounded(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 3000, nil)
	holder := g.queue(knotsHolder("h", map[string]int{"p1": 1}, "p2"))
	g.queue(knotsHolder("h2", map[string]int{"p2": 1}))
	g.turn()
	knotsReport(g, holder, evTaskAsked, "p2", "", askPool)
	g.turn()
	for range 2000 {
		g.queue(knotsHolder("many", map[string]int{"p1": 1, "p2": 1}))
	}
	last := g.queue(knotsHolder("last", map[string]int{"p1": 1, "p2": 1}))
	l := &poolLook{knots: g.f.pools.knots, stuck: map[*poolUse]bool{}}
	l.reach(g.f.pools.runs[last.ID])
	if n := len(l.all); n < 3 || n > 3*knotsFront {
		t.Errorf("it came to %d", n)
	}
	g.turn()
}
