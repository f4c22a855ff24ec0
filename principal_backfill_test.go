package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// backfillRig is a principal with a daily workflow, and an agent.
type backfillRig struct {
	*principalRig
	a *fleetAgent
}

func backfillRigOpen(t *testing.T, w Workflow) *backfillRig {
	w.ID, w.Schedule = "w", []string{"0 3 * * *"}
	g := principalRigOpen(t, t.TempDir(), principalTask(w))
	return &backfillRig{g, fleetAgentJoin(g, "x", 4)}
}

// end ends the run that the agent was given last.
func (g *backfillRig) end(state string) *assignment {
	g.t.Helper()
	as := g.a.last()
	g.a.report(append(fleetBegun(as), fleetEvent(as, evTaskFinished, "a", state),
		fleetEvent(as, evRunFinished, "", state))...)
	time.Sleep(time.Second)
	synctest.Wait()
	return as
}

// begin asks for a backfill of the last days.
func (g *backfillRig) begin(days int, req Request) *Reply {
	g.t.Helper()
	req.Op, req.Workflow, req.Since = "backfill", "w", stampOf(time.Now().Add(-time.Duration(days)*24*time.Hour))
	r := g.ask(req)
	if r.Error != nil {
		g.t.Fatalf("%+v", r.Error)
	}
	return r
}

func (g *backfillRig) batch(id string) *Batch {
	g.t.Helper()
	r := g.ask(Request{Op: "batches", Batch: id})
	if r.Error != nil {
		g.t.Fatalf("%+v", r.Error)
	}
	return r.Batches[0]
}

// planOf gives a plan in short.
func planOf(p *BatchPlan) string {
	return fmt.Sprintf("make %d of %d, %d good, %d active, %d others", p.Make, p.Fires, p.Succeeded, p.Active, p.Others)
}

// The runs of a batch go one after the other, oldest fire first, over a restart; asked for again it makes nothing, and
// what failed is made anew when it is over.
func TestBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := backfillRigOpen(t, Workflow{})
		dry := g.begin(5, Request{Dry: true})
		if got := planOf(dry.Plan); got != "make 5 of 5, 0 good, 0 active, 0 others" || dry.Batch != "" ||
			len(dry.Plan.Rows) != 5 || len(g.a.assigned()) > 0 {
			t.Fatalf("a dry run: %s, %+v", got, dry)
		}
		r := g.begin(5, Request{})
		if !isBatchID(r.Batch) || planOf(r.Plan) != "make 5 of 5, 0 good, 0 active, 0 others" {
			t.Fatalf("%q %s", r.Batch, planOf(r.Plan))
		}
		if again := g.begin(5, Request{}); again.Batch != "" || again.Plan.Active != 5 {
			t.Errorf("asked for again: %+v", again)
		}
		first := g.a.last()
		if first.Trigger != triggerBackfill || !first.Scheduled.Equal(dry.Plan.First.Time) {
			t.Errorf("the first run: %+v", first)
		}
		g.end(runSucceeded)
		g.end(runFailed)
		if n := len(g.a.assigned()); n != 3 {
			t.Errorf("%d runs were given to the agent, want 3", n)
		}
		g.a.gone()
		g.stop()
		g.start(principalTask(Workflow{ID: "w", Schedule: []string{"0 3 * * *"}}))
		g.a.hello.Holds = []heldRun{{Run: g.a.last().Run, Lease: 1}}
		third := g.a.last()
		g.a.join()
		g.a.report(append(fleetBegun(third), fleetEvent(third, evTaskFinished, "a", taskSucceeded),
			fleetEvent(third, evRunFinished, "", runSucceeded))...)
		g.end(runSucceeded)
		g.end(runSucceeded)
		b := g.batch(r.Batch)
		if b.State != runFailed || b.Succeeded != 4 || b.Failed != 1 || b.Made != 5 {
			t.Errorf("%+v", b)
		}
		failed := g.begin(5, Request{Dry: true, State: runFailed}).Plan
		if planOf(failed) != "make 1 of 5, 4 good, 0 active, 0 others" || failed.First != failed.Rows[1].At {
			t.Errorf("those that failed: %s", planOf(failed))
		}
		if got := planOf(g.begin(5, Request{Dry: true, All: true}).Plan); !strings.HasPrefix(got, "make 5 of 5") {
			t.Errorf("all again: %s", got)
		}
		runs := g.ask(Request{Op: "ps", All: true, Batch: r.Batch}).Runs
		if len(runs) != 5 || runs[0].Batch != r.Batch {
			t.Errorf("ps: %d runs", len(runs))
		}
		g.stop()
	})
}

// A fire of the schedule that comes while a run of a batch is at work is not passed over, whatever overlap says, and
// goes before the next of the batch; the batch's run is not ended for it.
func TestBackfillOverlap(t *testing.T) {
	for _, overlap := range []string{"", overlapQueue, overlapReplace} {
		t.Run(overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := backfillRigOpen(t, Workflow{Overlap: overlap})
				id := g.begin(3, Request{}).Batch
				g.a.report(fleetBegun(g.a.last())...)
				g.a.beat(3*time.Hour + time.Minute)
				if n := len(g.a.assigned()); n != 1 {
					t.Fatalf("%d runs were given to the agent while one is at work", n)
				}
				as := g.a.last()
				g.a.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded),
					fleetEvent(as, evRunFinished, "", runSucceeded))
				live := g.end(runSucceeded)
				if live.Trigger == triggerBackfill || !live.Scheduled.After(as.Scheduled.Time) {
					t.Errorf("behind the run of the batch went %+v", live)
				}
				if next := g.a.last(); next.Trigger != triggerBackfill {
					t.Errorf("then went %+v", next)
				}
				if d := g.decisions("w"); !strings.Contains(d, "fired") || strings.Contains(d, "skipped") {
					t.Errorf("decided: %s", d)
				}
				g.end(runSucceeded)
				g.end(runSucceeded)
				if b := g.batch(id); b.State != runSucceeded || b.Succeeded != 3 {
					t.Errorf("%+v", b)
				}
				g.stop()
			})
		})
	}
}

// With overlap: allow so many runs of a batch are active as were asked for; a cancelled batch makes no more.
func TestBackfillParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := backfillRigOpen(t, Workflow{Overlap: overlapAllow})
		id := g.begin(9, Request{N: 3, Reverse: true}).Batch
		list := g.a.assigned()
		if len(list) != 3 || !list[0].Scheduled.After(list[1].Scheduled.Time) {
			t.Fatalf("%d runs, the first for %v", len(list), list[0].Scheduled)
		}
		w := make(chan *Reply)
		go func() { w <- g.ask(Request{Op: "batches", Batch: id, Follow: true}) }()
		g.end(runSucceeded)
		if n := len(g.a.assigned()); n != 4 {
			t.Errorf("%d runs, want 4", n)
		}
		if r := g.ask(Request{Op: "cancel", Batch: id}); !r.OK || r.Batch != id {
			t.Errorf("cancel: %+v", r)
		}
		if n := len(g.a.of(msgCancel)); n != 3 {
			t.Errorf("%d runs are told to stop", n)
		}
		for _, as := range g.a.assigned() {
			if g.ask(Request{Op: "show", Run: as.Run}).Runs[0].State == runRunning {
				g.a.report(append(fleetBegun(as), fleetEvent(as, evRunFinished, "", runCancelled))...)
			}
		}
		if b := (<-w).Batches[0]; b.State != runCancelled || b.Made != 4 || b.Cancelled != 3 {
			t.Errorf("at its end: %+v", b)
		}
		if r := g.ask(Request{Op: "cancel", Batch: id}); r.Error == nil || r.Error.Code != codeConflict {
			t.Errorf("cancelled again: %+v", r)
		}
		g.stop()
	})
}

// What is passed over because the principal was down is among those that failed; with parameters only runs that had
// the same count.
func TestBackfillChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := backfillRigOpen(t, Workflow{Params: map[string]Param{"p": {Default: "a"}}})
		file := principalTask(Workflow{ID: "w", Schedule: []string{"0 3 * * *"},
			Params: map[string]Param{"p": {Default: "a"}}})
		time.Sleep(25 * time.Hour)
		g.a.gone()
		g.stop()
		time.Sleep(72 * time.Hour)
		g.start(file)
		g.a.join()
		plan := g.begin(5, Request{Dry: true, State: runFailed}).Plan
		states := make([]string, len(plan.Rows))
		for i, row := range plan.Rows {
			states[i] = row.State
		}
		if want := []string{"", runRunning, batchMissed, batchMissed, batchMissed}; !slices.Equal(states, want) ||
			plan.Make != 3 {
			t.Errorf("%q, want %q: %s", states, want, planOf(plan))
		}
		g.end(runSucceeded)
		for value, want := range map[string]int{"a": 4, "b": 5} {
			if got := g.begin(5, Request{Dry: true, Params: map[string]string{"p": value}}).Plan.Make; got != want {
				t.Errorf("with p=%s %d runs, want %d", value, got, want)
			}
		}
		g.stop()
	})
}

func TestBackfillRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Schedule: []string{"* * * * *"}}),
			principalTask(Workflow{ID: "plain"}), principalTask(Workflow{ID: "many", Schedule: []string{"0 * * * *"},
				Overlap: overlapAllow}))
		ago := func(d time.Duration) Stamp { return stampOf(time.Now().Add(-d)) }
		day := 24 * time.Hour
		for _, c := range []struct {
			req  Request
			code string
			want string
		}{
			{Request{Workflow: "v", Since: ago(day)}, codeNotFound, "no workflow"},
			{Request{Workflow: "plain", Since: ago(day)}, codeConflict, "no schedule"},
			{Request{Workflow: "w"}, codeInvalid, "since"},
			{Request{Workflow: "w", Since: ago(-day)}, codeInvalid, "nothing lies between"},
			{Request{Workflow: "w", Since: ago(day), N: 2}, codeConflict, "overlap: allow"},
			{Request{Workflow: "many", Since: ago(day), N: 1000}, codeInvalid, "1 to 100"},
			{Request{Workflow: "w", Since: ago(day), State: "odd"}, codeInvalid, "state"},
			{Request{Workflow: "w", Since: ago(day), State: runFailed, All: true}, codeInvalid, "without all"},
			{Request{Workflow: "w", Since: ago(8 * day)}, codeInvalid, "more than 10000 times"},
			{Request{Workflow: "w", Since: ago(day), Params: map[string]string{"x": "y"}}, codeInvalid, "no parameter"},
		} {
			c.req.Op = "backfill"
			r := g.ask(c.req)
			if r.Error == nil || r.Error.Code != c.code || !strings.Contains(r.Error.Message, c.want) {
				t.Errorf("%+v: %+v, want %s %q", c.req, r.Error, c.code, c.want)
			}
		}
		for i := range batchMaxOpen {
			from := time.Duration(3*i+9) * time.Hour
			r := g.ask(Request{Op: "backfill", Workflow: "many", Since: ago(from), Until: ago(from - 2*time.Hour)})
			if r.Error != nil {
				t.Fatalf("%+v", r.Error)
			}
		}
		r := g.ask(Request{Op: "backfill", Workflow: "many", Since: ago(4 * time.Hour)})
		if r.Error == nil || r.Error.Code != codeBusy {
			t.Errorf("one more batch: %+v", r)
		}
		g.stop()
	})
}
