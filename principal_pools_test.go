package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// poolsTask is a workflow with a pool.
func poolsTask(id string, pool map[string]int) *Workflow {
	return principalTask(Workflow{ID: id, Overlap: overlapAllow, Pool: pool})
}

// waits gives what a run waits for.
func (g *lanesRig) waits(r *Run) string { return g.f.waitReason(r) }

// begun says which of some runs have an agent.
func poolsBegun(runs ...*Run) (text string) {
	for _, r := range runs {
		if r.State == runRunning {
			text += "*"
		} else {
			text += "."
		}
	}
	return text
}

// Runs have the places of a pool in the order of the queue, and who wants two is not overtaken for ever by those who
// want one. A run that no agent can take keeps nobody waiting.
func TestPoolsOrder(t *testing.T) {
	g := lanesRigOpen(t)
	g.p.declarePools(map[string]int{"db": 2})
	g.join("a", 10, nil)
	one, two := poolsTask("one", map[string]int{"db": 1}), poolsTask("two", map[string]int{"db": 2})
	riscv := poolsTask("riscv", map[string]int{"db": 2})
	riscv.Agent = map[string]string{"arch": "riscv"}
	urgent := poolsTask("urgent", map[string]int{"db": 1})
	urgent.Priority = 5
	r := []*Run{g.queue(one), g.queue(riscv), g.queue(two), g.queue(one), g.queue(one), g.queue(poolsTask("none", nil))}
	expect := func(want string) {
		t.Helper()
		g.turn()
		if got := poolsBegun(r...); got != want {
			t.Fatalf("begun: %s, want %s", got, want)
		}
	}
	expect("*....*")
	for i, want := range []string{"", "no agent with labels arch=riscv", "waiting: pool db, held by " + r[0].ID,
		"waiting: pool db, behind " + r[2].ID} {
		if got := g.waits(r[i]); i > 0 && got != want {
			t.Errorf("run %d waits for %q, want %q", i, got, want)
		}
	}
	r = append(r, g.queue(urgent)) // a higher priority does overtake
	expect("*....**")
	g.end(r[0])
	expect(".....**")
	g.end(r[6])
	expect("..*..*.")
	if got, want := g.waits(r[3]), "waiting: pool db, held by "+r[2].ID; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
	g.end(r[2])
	expect("...***.")
	g.join("b", 1, map[string]string{"arch": "riscv"})
	expect("...***.")
	if got, want := g.waits(r[1]), "waiting: pool db, held by "+r[3].ID+" and 1 more"; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
}

// A run takes its places in all its pools or in none, and those for whom a busy agent is all that is missing are not
// overtaken.
func TestPoolsSeveral(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 10, nil)
	g.join("b", 1, map[string]string{"disk": "tape"})
	tape := poolsTask("tape", map[string]int{"tape": 1})
	both := poolsTask("both", map[string]int{"tape": 1, "db": 1})
	busy := poolsTask("busy", nil)
	busy.Agent = map[string]string{"disk": "tape"}
	both.Agent = busy.Agent
	r := []*Run{g.queue(busy), g.queue(tape), g.queue(both), g.queue(poolsTask("db", map[string]int{"db": 1}))}
	g.turn()
	if got := poolsBegun(r...); got != "**.." {
		t.Fatalf("begun: %s", got)
	}
	if got, want := g.waits(r[2]), "waiting: pool tape, held by "+r[1].ID; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
	g.end(r[1])
	g.turn()
	if got, want := g.waits(r[2]), "all agents are busy"; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
	if got, want := g.waits(r[3]), "waiting: pool db, behind "+r[2].ID; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
	g.end(r[0])
	g.turn()
	if got := poolsBegun(r...); got != "..*." {
		t.Fatalf("begun: %s", got)
	}
	if g.f.cancelRun(r[2], "x", false, "", ""); poolsBegun(r...) != "..*." {
		t.Fatal("a run that is being stopped has no places any more")
	}
}

// A run that wants more places than a pool has is refused; one that was queued when the pool had more keeps nobody
// waiting, and goes when the pool has them again.
func TestPoolsTooFew(t *testing.T) {
	g := lanesRigOpen(t)
	g.p.declarePools(map[string]int{"db": 3})
	g.join("a", 10, nil)
	three := poolsTask("three", map[string]int{"db": 3})
	one := poolsTask("one", map[string]int{"db": 1})
	first := g.queue(one)
	g.turn()
	big := g.queue(three)
	g.p.declarePools(map[string]int{"db": 2})
	small := g.queue(one)
	g.turn()
	if got := poolsBegun(first, big, small); got != "*.*" {
		t.Fatalf("begun: %s", got)
	}
	want := "it wants 3 places of pool db, which has 2: declare more in the principal's configuration, as pools: " +
		"{db: 3}"
	if got := g.waits(big); got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
	if _, refused := g.p.enqueue(three, runOrder{trigger: triggerManual}); refused == nil ||
		refused.Message != "workflow three cannot run: "+want || refused.Code != codeConflict {
		t.Errorf("refused: %+v", refused)
	}
	g.p.declarePools(nil) // fewer than are taken: nobody loses his
	g.turn()
	if pl := g.f.pools.of["db"]; pl.taken != 2 || pl.places != 1 || poolsBegun(first, big, small) != "*.*" {
		t.Errorf("%d of %d places are taken", pl.taken, pl.places)
	}
	g.p.declarePools(map[string]int{"db": 3})
	g.end(first)
	g.end(small)
	g.turn()
	if poolsBegun(big) != "*" {
		t.Error("it does not go with enough places")
	}
}

// Whoever waits in one place for others of its workflow does not keep the places of a pool from other workflows.
func TestPoolsOverlap(t *testing.T) {
	g := lanesRigOpen(t)
	g.p.declarePools(map[string]int{"db": 2})
	g.join("a", 10, nil)
	serial := poolsTask("serial", map[string]int{"db": 1})
	serial.Overlap = overlapQueue
	r := []*Run{g.queue(serial), g.queue(serial), g.queue(serial), g.queue(poolsTask("other", map[string]int{"db": 1}))}
	g.turn()
	if got := poolsBegun(r...); got != "*..*" {
		t.Fatalf("begun: %s", got)
	}
	if got, want := g.waits(r[1]), "waiting for run "+r[0].ID; got != want {
		t.Errorf("waits for %q, want %q", got, want)
	}
}

// A place is given back when the agent is lost. A run that its agent brings back has its place again, even beside the
// one that has taken it meanwhile, and nobody else gets one before there is one. A restart changes nothing of that.
func TestPoolsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolsTask("w", map[string]int{"db": 1})
		g := principalRigOpen(t, t.TempDir(), w)
		defer func() { g.stop() }()
		a := fleetAgentJoin(g, "a", 4)
		lost := g.run("w")
		a.report(fleetBegun(a.last())...)
		second := g.run("w")
		g.expect(second, runQueued, "waiting: pool db, held by "+lost)
		a.gone()
		time.Sleep(agentLostAfter + 2*time.Second)
		synctest.Wait()
		g.expect(lost, runCrashed, "agent a was lost")
		b := fleetAgentJoin(g, "b", 4)
		b.report(fleetBegun(b.last())...)
		third := g.run("w")
		g.expect(third, runQueued, "waiting: pool db, held by "+second)

		a.hello.Holds = []heldRun{{lost, 1}}
		a.join()
		g.expect(lost, runRunning, "")
		pools := g.ask(Request{Op: "pools"}).Pools
		if len(pools) != 1 || pools[0].Taken != 2 || pools[0].Places != 1 || pools[0].Holding != 2 {
			t.Fatalf("%+v", pools)
		}
		g.stop()
		g.start(w)
		if again := g.ask(Request{Op: "pools"}).Pools; len(again) != 1 || again[0].Taken != 2 || again[0].Waiting != 1 {
			t.Fatalf("after a restart: %+v", again)
		}
		a.hello.N, b.hello.N, b.hello.Holds = a.n, b.n, []heldRun{{second, 1}}
		a.join()
		b.join()
		a.report(fleetEvent(&assignment{Run: lost, Lease: 1}, evRunFinished, "", runSucceeded))
		g.expect(third, runQueued, "waiting: pool db, held by "+second)
		b.report(fleetEvent(&assignment{Run: second, Lease: 1}, evRunFinished, "", runSucceeded))
		g.expect(third, runRunning, "")
	})
}

// A run that is tried again stands in line again, in its old place, and a run that was given ahead has its place too.
func TestPoolsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := poolsTask("w", map[string]int{"db": 1})
		w.Retries = 1
		g := principalRigOpen(t, t.TempDir(), w)
		defer g.stop()
		a := fleetAgentJoin(g, "a", 1)
		first := g.run("w")
		second := g.run("w")
		a.report(append(fleetBegun(a.last()), fleetEvent(a.last(), evTaskFinished, "a", taskFailed),
			fleetEvent(a.last(), evRunFinished, "", runFailed))...)
		if as := a.last(); as.Run != first || as.Attempt != 2 {
			t.Fatalf("assigned: %+v", as)
		}
		g.expect(second, runQueued, "waiting: pool db, held by "+first)
		a.report(append(fleetBegun(a.last()), fleetEvent(a.last(), evTaskFinished, "a", taskSucceeded),
			fleetEvent(a.last(), evRunFinished, "", runSucceeded))...)
		if as := a.last(); as.Run != second {
			t.Fatalf("assigned: %+v", as)
		}
		if r := g.ask(Request{Op: "retry", Run: first, All: true}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		g.expect(first, runQueued, "waiting: pool db, held by "+second)
		if r := g.ask(Request{Op: "cancel", Run: second, Force: true}); !r.OK {
			t.Fatalf("%+v", r.Error)
		}
		g.expect(first, runQueued, "waiting: pool db, held by "+second) // its processes may still live
		a.report(append(fleetBegun(a.last()), fleetEvent(a.last(), evTaskFinished, "a", taskCancelled),
			fleetEvent(a.last(), evRunFinished, "", runCancelled))...)
		if as := a.last(); as.Run != first || as.Attempt != 3 {
			t.Fatalf("assigned: %+v", as)
		}
	})
}

// The op lists who has places and who waits, in order, and says how many there are beyond those that it names.
func TestPoolsList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), poolsTask("w", map[string]int{"db": 1}),
			poolsTask("idle", map[string]int{"tape": 1}))
		defer g.stop()
		g.do(func() { g.p.declarePools(map[string]int{"db": 2, "unused": 3}) })
		var ids []string
		for range 30 {
			ids = append(ids, g.run("w"))
		}
		r := g.ask(Request{Op: "pools"})
		var text []string
		for _, pl := range r.Pools {
			text = append(text, fmt.Sprint(pl.Pool, pl.Taken, "/", pl.Places, pl.Declared, pl.Workflows, pl.Holding,
				len(pl.Holders), pl.Waiting, len(pl.Waiters)))
		}
		if got, want := strings.Join(text, "\n"),
			"db0/2true10030 20\ntape0/1false10000\nunused0/3true00000"; strings.ReplaceAll(got, " ", "") !=
			strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s, want %s", got, want)
		}
		var waiters []string
		for _, u := range r.Pools[0].Waiters {
			waiters = append(waiters, u.Run)
		}
		if !slices.Equal(waiters, ids[:20]) {
			t.Errorf("waiters %q", waiters)
		}
		r = g.ask(Request{Op: "pools", Pattern: "d", N: 1})
		if len(r.Pools) != 2 || len(r.Pools[0].Waiters) != 1 || r.Pools[0].Waiters[0].Reason != fleetNoAgent {
			t.Errorf("%+v", r.Pools)
		}
	})
}

// 10,000 runs that wait for one pool cost the loop nothing but their turn, whether they are of one workflow or each of
// its own.
func TestPoolsMany(t *testing.T) {
	for _, workflows := range []int{1, 100} {
		g := lanesRigOpen(t)
		var all []*Workflow
		for i := range workflows {
			all = append(all, poolsTask(fmt.Sprint("w", i), map[string]int{"db": 1}))
		}
		var runs []*Run
		for i := range 1000 {
			runs = append(runs, g.queue(all[i%workflows]))
		}
		g.join("a", 10, nil)
		looked := 0
		for _, r := range runs {
			g.f.assignable = true
			fresh, _ := g.f.pools.keep(func(u *poolUse) (bool, bool) { looked++; return g.f.pools.barred(u) })
			for _, u := range fresh {
				g.f.line(u.run, true)
			}
			g.turn()
			if poolsBegun(r) != "*" {
				t.Fatal("it does not go in its turn")
			}
			g.end(r)
		}
		if looked > 2*len(runs) {
			t.Errorf("%d looks at runs, for %d that went", looked, len(runs))
		}
	}
}

// BenchmarkPoolsQueue has a run of 10,000 that wait for one pool go and end.
func BenchmarkPoolsQueue(b *testing.B) {
	for _, workflows := range []int{1, 10_000} {
		b.Run(fmt.Sprint(workflows, " workflows"), func(b *testing.B) {
			g := lanesRigOpen(b)
			g.join("a", 10, nil)
			var all []*Workflow
			for i := range workflows {
				all = append(all, poolsTask(fmt.Sprint("w", i), map[string]int{"db": 1}))
			}
			var next []*Run
			for i := range 9_999 {
				next = append(next, g.queue(all[i%workflows]))
			}
			g.p.commit()
			b.ResetTimer()
			for i := range b.N {
				next = append(next, g.queue(all[i%workflows]))
				g.f.assignQueued()
				g.end(next[i])
				g.p.commit()
			}
		})
	}
}

// poolsLine names those who wait for a pool, in order, and how many places are taken.
func poolsLine(p *pools) (lines []string) {
	for _, name := range sortedKeys(p.of) {
		pl, text := p.of[name], ""
		pl.each(func(_ *poolGroup, u *poolUse) poolNext {
			text += " " + u.name()
			return poolGoOn
		})
		lines = append(lines, fmt.Sprintf("%s %d/%d, %d hold, %d wait:%s", name, pl.taken, pl.places, len(pl.holders),
			pl.waiting, text))
	}
	return lines
}

// poolsWaiter is who wants places, as the state alone has it.
type poolsWaiter struct {
	r    *Run
	t    *TaskRun // nil: it is the run
	want map[string]int
	at   int64
}

// poolsWaiters gives those who wait, in the order in which they came, and what is taken: from the state alone.
func (g *lanesRig) poolsWaiters() (waiters []poolsWaiter, taken map[string]int) {
	taken = map[string]int{}
	take := func(want map[string]int) {
		for name, n := range want {
			taken[name] += n
		}
	}
	for _, r := range g.p.state.Runs {
		spec := g.p.state.Versions[r.Version]
		switch {
		case r.State == runQueued && len(spec.Pool) > 0:
			waiters = append(waiters, poolsWaiter{r, nil, spec.Pool, runTime(r.ID).UnixMilli()})
		case r.State == runRunning:
			take(spec.Pool)
		}
		for i := range r.Tasks {
			switch t := &r.Tasks[i]; {
			case r.State != runRunning || !taskActive(t.State):
			case t.Pooled:
				take(spec.task(t.Task).Pool)
			case t.Ask != nil && t.Ask.Answer == nil && r.Cancelling+t.Cancelling == "":
				waiters = append(waiters, poolsWaiter{r, t, spec.task(t.Task).Pool, t.Ask.Since.UnixMilli()})
			}
		}
	}
	slices.SortFunc(waiters, func(a, b poolsWaiter) int {
		name := func(w poolsWaiter) string {
			if w.t == nil {
				return ""
			}
			return w.t.Task
		}
		return cmp.Or(cmp.Compare(b.r.Priority, a.r.Priority), cmp.Compare(a.at, b.at), cmp.Compare(a.r.ID, b.r.ID),
			cmp.Compare(name(a), name(b)))
	})
	return waiters, taken
}

// poolsFits says whether it is the turn of somebody, and takes his places from those behind him, whether it is or not,
// unless he could not go even with them.
func (g *lanesRig) poolsFits(w poolsWaiter, taken map[string]int) bool {
	fits, away := true, w.t != nil && g.f.links[w.r.Agent] == nil
	for name, n := range w.want {
		away = away || n > g.f.pools.placesOf(name)
	}
	if away || w.t == nil && g.f.noTaker(w.r, g.p.state.Versions[w.r.Version]) != "" {
		return false
	}
	for name, n := range w.want {
		taken[name] += n
		fits = fits && taken[name] <= g.f.pools.placesOf(name)
	}
	return fits
}

// Tasks that wait or have places are lost with their agent, and come back with it as they were.
func TestPoolsTaskAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Workflow{ID: "w", Overlap: overlapAllow,
			Tasks: []Task{{ID: "a", Run: "true", Pool: map[string]int{"db": 1}}}}
		g := principalRigOpen(t, t.TempDir(), w)
		defer g.stop()
		a := fleetAgentJoin(g, "a", 4)
		asked := func(as *assignment) []agentItem {
			e := fleetEvent(as, evTaskAsked, "a", "")
			e.Event.Asks = askPool
			return []agentItem{fleetEvent(as, evRunStarted, "", ""), e}
		}
		one := g.run("w")
		a.report(asked(a.last())...)
		answers := a.of(msgAnswer)
		if len(answers) != 1 || answers[0].Run != one || answers[0].Task != "a" || answers[0].Answer == nil ||
			answers[0].Answer.State != "" {
			t.Fatalf("answers: %+v", answers)
		}
		a.report(fleetEvent(a.last(), evTaskStarted, "a", ""))
		two := g.run("w")
		a.report(asked(a.last())...)
		wait := "waiting: pool db, held by " + one + " a"
		if r := g.show(two); r.Tasks[0].State != taskWaiting || r.Tasks[0].Reason != wait || !r.Parked {
			t.Errorf("%+v", r)
		}
		a.gone()
		time.Sleep(agentLostAfter + 2*time.Second)
		synctest.Wait()
		g.expect(one, runCrashed, "lost")
		if pools := g.ask(Request{Op: "pools"}).Pools; pools[0].Taken != 0 || pools[0].Waiting != 0 {
			t.Errorf("while the agent is lost: %+v", pools)
		}
		a.hello.Holds = []heldRun{{one, 1}, {two, 1}}
		a.join()
		if r := g.show(two); r.State != runRunning || r.Tasks[0].Reason != wait {
			t.Errorf("%+v", r)
		}
		a.report(fleetEvent(&assignment{Run: one, Lease: 1}, evTaskFinished, "a", taskSucceeded),
			fleetEvent(&assignment{Run: one, Lease: 1}, evRunFinished, "", runSucceeded))
		if answers := a.of(msgAnswer); len(answers) != 1 || answers[0].Run != two {
			t.Errorf("answers: %+v", answers)
		}
		a.gone() // before it has heard of that
		a.join()
		if answers := a.of(msgAnswer); len(answers) != 1 || answers[0].Run != two {
			t.Errorf("after another hello: %+v", answers)
		}
	})
}

// Whatever runs and tasks do, nobody waits whose turn it is, nobody has places whose turn it is not, and a restart
// changes nothing of who has places and who waits.
func TestPoolsModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { poolsModel(t, rand.New(rand.NewPCG(seed, 2))) })
	}
}

func poolsModel(t *testing.T, rnd *rand.Rand) {
	g := lanesRigOpen(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g.p.cfg.now = func() time.Time { return now }
	g.p.declarePools(map[string]int{"db": 3})
	var workflows []*Workflow
	pools := []map[string]int{nil, {"db": 1}, {"db": 2}, {"tape": 1}, {"db": 1, "tape": 1}}
	for i, pool := range pools {
		w := &Workflow{ID: fmt.Sprint("w", i), Overlap: overlapAllow, Priority: i % 2, Pool: pool}
		for k, own := range pools {
			if len(pool) == 0 || len(own) == 0 {
				w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t", k), Run: "true", Pool: own})
			}
		}
		workflows = append(workflows, w)
	}
	for step := range 800 {
		now = now.Add(time.Duration(rnd.IntN(3)) * time.Millisecond)
		var running []*Run
		for _, id := range sortedKeys(g.p.state.Runs) {
			if r := g.p.state.Runs[id]; r.State == runRunning {
				running = append(running, r)
			}
		}
		switch n := rnd.IntN(20); {
		case n < 4:
			if w := workflows[rnd.IntN(len(workflows))]; g.f.pools.tooFew(w) == "" && len(g.p.queue.runs) < 40 {
				g.queue(w)
			}
		case n == 4:
			name := fmt.Sprint("a", rnd.IntN(3))
			g.join(name, 4, nil)
		case n == 5 && rnd.IntN(4) == 0:
			g.p.declarePools(map[string]int{"db": 2 + rnd.IntN(4)})
		case n == 6 && rnd.IntN(3) == 0:
			if names := sortedKeys(g.f.links); len(names) > 0 {
				g.f.dropLink(g.f.links[names[rnd.IntN(len(names))]], "gone")
			}
		case len(running) == 0:
		default:
			poolsStep(g, running[rnd.IntN(len(running))], n, rnd)
		}
		g.f.assignable = true
		var told, turn []string
		waiters, taken := g.poolsWaiters()
		for _, w := range waiters {
			if g.poolsFits(w, taken) && w.t != nil {
				turn = append(turn, w.r.ID+" "+w.t.Task)
			}
		}
		at := len(g.p.batch)
		g.f.assignQueued()
		for _, e := range g.p.batch[at:] {
			if e.Kind == evTaskAnswered {
				told = append(told, e.Run+" "+e.Task)
			}
		}
		g.p.commit()
		if !slices.Equal(told, turn) {
			t.Fatalf("step %d: tasks that were told to go on: %q, want %q", step, told, turn)
		}
		waiters, taken = g.poolsWaiters()
		for name, pl := range g.f.pools.of {
			if pl.taken != taken[name] {
				t.Fatalf("step %d: pool %s: %d places are taken, not %d", step, name, pl.taken, taken[name])
			}
		}
		for _, w := range waiters {
			text := g.f.pools.waits(w.r)
			if w.t != nil {
				text = g.f.pools.taskWaits(w.r, w.t.Task)
			}
			if fits := g.poolsFits(w, taken); fits && (w.t != nil || text != "") {
				t.Fatalf("step %d: run %s has its places, and waits for %q", step, w.r.ID, text)
			} else if !fits && text == "" && w.t != nil && g.f.links[w.r.Agent] != nil {
				t.Fatalf("step %d: run %s has no places, and waits for nothing", step, w.r.ID)
			}
		}
		anew := poolsNew(g.f)
		anew.declared = g.f.pools.declared
		for _, id := range sortedKeys(g.p.state.Runs) {
			anew.count(g.p.state.Runs[id], "")
			anew.recall(g.p.state.Runs[id])
		}
		if one, two := poolsLine(g.f.pools), poolsLine(anew); !slices.Equal(one, two) {
			t.Fatalf("step %d: after a restart\n%s\nis\n%s", step, strings.Join(one, "\n"), strings.Join(two, "\n"))
		}
	}
}

// poolsStep has something happen in a run: to one of its tasks, or to the run as a whole.
func poolsStep(g *lanesRig, r *Run, n int, rnd *rand.Rand) {
	agent := func(kind, task, state, asks string) {
		e := &Event{Kind: kind, Run: r.ID, Workflow: r.Workflow, Agent: r.Agent, Lease: r.Lease, Task: task,
			State: state,
			Asks:  asks}
		if err := g.p.emit(e); err != nil {
			g.t.Fatal(err)
		}
	}
	task := &r.Tasks[rnd.IntN(len(r.Tasks))]
	pooled := len(g.p.state.Versions[r.Version].task(task.Task).Pool) > 0
	switch {
	case n == 7 && rnd.IntN(3) == 0:
		agent(evRunFinished, "", runSucceeded, "")
	case n == 8 && rnd.IntN(3) == 0:
		g.f.giveUpRun(r, "lost", false)
	case n == 9 && rnd.IntN(3) == 0:
		g.f.cancelRun(r, "by somebody", false, "", "")
	case n == 10:
		for _, id := range sortedKeys(g.p.state.Runs) {
			if old := g.p.state.Runs[id]; old.Lost && rnd.IntN(2) == 0 {
				g.p.emit(&Event{Kind: evAdopted, Run: old.ID, Workflow: old.Workflow, Agent: old.Agent})
			}
		}
	case !taskActive(task.State):
	case pooled && !task.Pooled && task.Ask == nil:
		agent(evTaskAsked, task.Task, "", askPool)
	case task.Ask != nil && task.Ask.Answer == nil:
		if rnd.IntN(10) == 0 {
			agent(evTaskFinished, task.Task, taskCancelled, "")
		}
	case task.State != taskRunning:
		agent(evTaskStarted, task.Task, "", "")
	case rnd.IntN(3) == 0:
		agent(evTaskRetrying, task.Task, "", "")
	default:
		agent(evTaskFinished, task.Task, taskSucceeded, "")
	}
}
