package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// queueAhead is what ahead must give, by a look at all runs: whether one must end before r goes.
func queueAhead(q *queue, r *Run) bool {
	for _, id := range q.active[r.Workflow] {
		if other := q.state.Runs[id]; other != r && (other.State == runRunning || queuedBefore(other, r)) {
			return true
		}
	}
	return false
}

// Of runs that go one by one, each knows whether it must wait, whatever happened to the others.
func TestQueueLine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	g := lanesRigOpen(t)
	g.join("a", 3, nil)
	var runs []*Run
	for step := range 1500 {
		switch n := rnd.IntN(6); {
		case n < 2 && len(g.p.queue.runs) < 30:
			w := principalTask(Workflow{ID: fmt.Sprint("w", rnd.IntN(3)), Overlap: overlapQueue, Priority: rnd.IntN(3)})
			runs = append(runs, g.queue(w))
		case n == 2:
			g.turn()
		case len(runs) == 0:
		default:
			r := runs[rnd.IntN(len(runs))]
			switch {
			case r.State == runQueued && n == 3:
				g.f.cancelRun(r, "by somebody", false, "", "")
			case r.State == runRunning && n == 3:
				g.f.giveUpRun(r, "it is lost", true) // it has not begun: it is queued again
			case r.State == runRunning:
				g.end(r)
			case !runActive(r.State) && n == 5 && rnd.IntN(10) == 0 && g.p.state.Runs[r.ID] == r && !r.nothingLeft():
				g.p.emit(&Event{Kind: evRequeued, Run: r.ID, Workflow: r.Workflow, Attempt: r.Attempt + 1})
			}
		}
		for _, r := range g.p.queue.runs {
			if other := g.p.queue.ahead(r); (other != nil) != queueAhead(g.p.queue, r) || other == r {
				t.Fatalf("step %d: run %s waits for %v", step, r.ID, other)
			}
		}
	}
	for _, r := range runs {
		if runActive(r.State) {
			g.f.cancelRun(r, "by somebody", false, "", "")
		}
		if r.State == runRunning {
			g.end(r)
		}
	}
	if n := len(g.p.queue.lines); n != 0 {
		t.Errorf("%d lines are left without runs", n)
	}
}

// BenchmarkQueueLine asks each of 10,000 runs of one workflow whether it must wait, those behind with the higher
// priority.
func BenchmarkQueueLine(b *testing.B) {
	g := lanesRigOpen(b)
	for i := range 10_000 {
		r := &Run{ID: fmt.Sprintf("R%06d", i), Workflow: "w", State: runQueued, Priority: i / 5000}
		g.p.state.Runs[r.ID] = r
		g.p.queue.observe(change{event: &Event{}, run: r})
	}
	b.ResetTimer()
	for range b.N {
		for _, r := range g.p.queue.runs {
			g.p.queue.ahead(r)
		}
	}
	b.StopTimer()
	clear(g.p.state.Runs)
}

// TestFleetOutputs: the outputs of a run are summed up once, however many of its tasks say some, and the sum is right.
func TestFleetOutputs(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 3, nil)
	w := &Workflow{ID: "w", Overlap: overlapAllow}
	for i := range 100 {
		w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t", i), Run: "true"})
	}
	r := g.queue(w)
	g.turn()
	sum, said := 0, &Event{Run: r.ID, Outputs: map[string]string{"k": "v"}}
	for i := range w.Tasks {
		if got := g.f.sums.of(said); got != sum {
			t.Fatalf("before task %d: %d bytes, not %d", i, got, sum)
		}
		out := map[string]string{"out": fmt.Sprint("value ", i)}
		for _, e := range []*Event{{Kind: evTaskStarted, Attempt: 1},
			{Kind: evTaskFinished, State: taskSucceeded, Outputs: out}} {
			e.Run, e.Workflow, e.Agent, e.Lease, e.Task = r.ID, "w", "a", r.Lease, w.Tasks[i].ID
			if err := g.p.emit(e); err != nil {
				t.Fatal(err)
			}
		}
		sum += protoSize(out)
	}
	if n := allocsOf(10, func() { g.f.sums.of(said) }); n > 0 {
		t.Errorf("to ask costs %.0f allocations", n)
	}
	g.end(r)
	if len(g.f.sums.bytes) != 0 {
		t.Errorf("%d sums are left of runs that have ended", len(g.f.sums.bytes))
	}
}
