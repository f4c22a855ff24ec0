// state_expect.go: how runs of a workflow went that has the key expect: when one has succeeded, and whether the newest
// one took unusually long or short. Pure, as state.go is.

package main

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

const (
	expectRuns   = 30               // newest runs by which a length is judged
	expectLeast  = 10               // fewer of them say nothing
	expectBeyond = 150              // a run is unusual from so many percent of what nine of ten of them took on,
	expectDiffer = 10 * time.Second // and so far from the median
)

// Expected is what is kept of a workflow that has the key expect.
type Expected struct {
	Good Stamp     `json:"good,omitzero"`  // when the newest run ended that succeeded, or was skipped by its if
	Took []float64 `json:"took,omitempty"` // seconds of those that succeeded, newest last
	Odd  *OddRun   `json:"odd,omitempty"`  // the newest that succeeded, if its length was unusual
}

// OddRun is a run whose length was unusual, and what the lengths before it were.
type OddRun struct {
	Run     string      `json:"run"`
	Ended   Stamp       `json:"ended"`
	Seconds float64     `json:"seconds"`
	Usual   UsualLength `json:"usual"`
}

// UsualLength is the lengths of so many runs, in seconds: nine of ten are not below Low, and nine of ten not above
// High.
type UsualLength struct {
	Of     int     `json:"of"`
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// expected gives how the runs of a workflow went, nil while that is not known.
func (s *State) expected(workflow string) *Expected {
	if w := s.Workflows[workflow]; w != nil {
		return w.Expect
	}
	return nil
}

// usual gives the usual length; false while too few runs are known.
func (x *Expected) usual() (u UsualLength, known bool) {
	if x == nil || len(x.Took) < expectLeast {
		return u, false
	}
	took := slices.Clone(x.Took)
	//lint:ignore S1032 sort.Float64s links a sort of its own
	sort.Sort(sort.Float64Slice(took))
	n := len(took)
	return UsualLength{Of: n, Median: took[n/2], Low: took[n/10], High: took[n-1-n/10]}, true
}

// longest gives from how many seconds on a run takes unusually long.
func (u UsualLength) longest() float64 {
	return max(u.High*expectBeyond/100, u.Median+expectDiffer.Seconds())
}

// odd says whether a length is unusual.
func (u UsualLength) odd(seconds float64) bool {
	return seconds > u.longest() || seconds < min(u.Low*100/expectBeyond, u.Median-expectDiffer.Seconds())
}

// text says how unusual a length is. verb is what the run did: took, has run for.
func (u UsualLength) text(verb string, seconds float64) string {
	took := func(seconds float64) Duration {
		d := time.Duration(seconds * float64(time.Second))
		if d >= time.Minute {
			return Duration(d.Round(time.Second))
		}
		return Duration(d.Round(100 * time.Millisecond))
	}
	much := fmt.Sprintf("%.1f times", seconds/max(u.Median, 0.001))
	if seconds < u.Median {
		much = fmt.Sprintf("%.0f %% of", 100*seconds/u.Median)
	}
	return fmt.Sprintf("%s %s, which is %s its usual %s (of the last %d runs most took %s to %s)", verb, took(seconds),
		much, took(u.Median), u.Of, took(u.Low), took(u.High))
}

// noteExpected keeps how a run went of a workflow of which something is expected.
func (w *WorkflowState) noteExpected(r *Run, spec *Workflow) {
	if spec == nil || spec.Expect == nil || r.State != runSucceeded && r.State != runSkipped {
		return
	}
	if w.Expect == nil {
		w.Expect = &Expected{}
	}
	x := w.Expect
	if r.Batch == "" { // one that makes up for another day says nothing of this one
		x.Good = r.Finished
	}
	if r.State == runSkipped {
		return
	}
	x.Odd = nil
	if u, known := x.usual(); known && u.odd(r.Seconds) {
		x.Odd = &OddRun{Run: r.ID, Ended: r.Finished, Seconds: r.Seconds, Usual: u}
	}
	x.Took = append(x.Took[max(len(x.Took)+1-expectRuns, 0):len(x.Took):len(x.Took)], r.Seconds)
}

// expectKey names something that is not as expected of a workflow.
func expectKey(workflow, what string) string { return stateKey("expect", workflow, what) }
