package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBatchTimes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		var times []int64
		for at := int64(1767139200); len(times) < 1+random.IntN(50); at += 60 * int64(random.IntN(5)-2) {
			for range random.IntN(4) {
				times = append(times, at)
				at += 3600
			}
		}
		if got := batchRead(batchTimes(times)); !slices.Equal(got, times) {
			t.Fatalf("%q: %v, want %v", batchTimes(times), got, times)
		}
	}
	daily := make([]int64, batchMaxFires)
	for i := range daily {
		daily[i] = int64(i) * 86400
	}
	if text := batchTimes(daily); text != "0 86400*9999" {
		t.Errorf("%q", text)
	}
	for _, text := range []string{"", "x", "0 1*x", "0 1*-1", "0 1*0", "5*3", "0 1*10000", "0 1*9999 1",
		"99999999999999999999"} {
		if times := batchRead(text); times != nil {
			t.Errorf("%q: %d times", text, len(times))
		}
	}
}

// A batch counts its runs as they end, are tried again, and end again, and is over when none is left.
func TestStateBatch(t *testing.T) {
	g := stateRigNew(t)
	id := func(i int) string { return fmt.Sprintf("B01M8N8336EXGHM5ZXHR9QKE%03d", i) }
	begun := func(i, n int) *Event {
		return &Event{Kind: evBatch, Workflow: "w", Batch: id(i), Times: fmt.Sprintf("0 60*%d", n-1), Parallel: 1}
	}
	g.apply(begun(0, 3))
	b := func() *Batch { return g.s.Batches[id(0)] }
	is := func(want string) {
		t.Helper()
		got := fmt.Sprintf("%s %d made %d active %d good %d failed %d crashed, over %v", b().State, b().Made,
			b().active(), b().Succeeded, b().Failed, b().Crashed, !b().Finished.IsZero())
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	queued := func(run string) {
		g.apply(&Event{Kind: evQueued, Run: run, Workflow: "w", Version: "v1", Batch: id(0),
			Scheduled: stampOf(stateEpoch)})
	}
	ended := func(run, state string) {
		g.apply(&Event{Kind: evRunEnded, Run: run, Workflow: "w", State: state})
	}
	queued("R1")
	is("running 1 made 1 active 0 good 0 failed 0 crashed, over false")
	if d := g.s.Workflows["w"]; d != nil && len(d.Decisions) > 0 {
		t.Errorf("the schedule has decided: %+v", d.Decisions)
	}
	ended("R1", runFailed)
	queued("R2")
	ended("R2", runSucceeded)
	queued("R3")
	is("running 3 made 1 active 1 good 1 failed 0 crashed, over false")
	ended("R3", runSucceeded)
	is("failed 3 made 0 active 2 good 1 failed 0 crashed, over true")
	g.apply(&Event{Kind: evRequeued, Run: "R1", Workflow: "w", Attempt: 2})
	is("running 3 made 1 active 2 good 0 failed 0 crashed, over false")
	ended("R1", runSucceeded)
	is("succeeded 3 made 0 active 3 good 0 failed 0 crashed, over true")
	if err := g.try(&Event{Kind: evBatchStopped, Batch: id(0)}); err == nil {
		t.Error("it was stopped, and makes nothing")
	}
	for _, e := range []*Event{begun(0, 2), {Kind: evBatch, Batch: id(1), Times: "x"},
		{Kind: evBatch, Batch: "B1", Times: "0"}} {
		if err := g.try(e); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
	for i := 1; i <= stateMaxBatch; i++ {
		g.apply(begun(i, 2))
	}
	if b() != nil || len(g.s.Batches) != stateMaxBatch {
		t.Errorf("%d batches, and the one that is over: %+v", len(g.s.Batches), b())
	}
	g.apply(&Event{Kind: evBatchStopped, Batch: id(1), Reason: "enough"})
	if b := g.s.Batches[id(1)]; b.State != runCancelled || b.Finished.IsZero() || b.Reason != "enough" {
		t.Errorf("%+v", b)
	}
}
