// principal_stats.go: how a workflow has done: how often it went well, how long it took, and its last twelve weeks day
// by day (the op stats). A goroutine of the request makes it from the runs in memory and from the history, and keeps
// only a number and an outcome of each run.

package main

import (
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	statsMaxRuns = 10_000 // newest runs that are looked at
	statsDays    = 84     // newest days that are looked at
	statsBuckets = 10     // buckets of the histogram
)

// statsOf collects what is counted of runs. It belongs to one goroutine.
type statsOf struct {
	stats Stats
	took  []float64 // seconds of every run that had begun
	first time.Time // midnight of the first day, in the principal's zone
}

// statsNew makes an empty calendar that ends today.
func statsNew(workflow string, now time.Time) *statsOf {
	year, month, day := now.Date()
	s := &statsOf{stats: Stats{Workflow: workflow}, first: time.Date(year, month, day-statsDays+1, 0, 0, 0, 0,
		now.Location())}
	for i := range statsDays {
		s.stats.Calendar = append(s.stats.Calendar, StatsDay{Day: time.Date(year, month, day-statsDays+1+i, 12, 0, 0, 0,
			now.Location()).Format(time.DateOnly)})
	}
	return s
}

// add counts a run that has ended. False when enough are counted.
func (s *statsOf) add(r *Run) bool {
	if s.stats.Runs == statsMaxRuns {
		return false
	}
	s.stats.Runs++
	counts := map[string]*int{runSucceeded: &s.stats.Succeeded, runFailed: &s.stats.Failed,
		runCancelled: &s.stats.Cancelled, runCrashed: &s.stats.Crashed, runSkipped: &s.stats.Skipped}
	*counts[r.State]++
	for i := range r.Tasks {
		s.stats.Used.add(r.Tasks[i].used())
	}
	if !r.Started.IsZero() && r.State != runSkipped { // how long its `if` took says nothing of how long runs take
		s.took = append(s.took, r.Seconds)
		if s.stats.Longest == nil || r.Seconds > s.stats.Longest.Seconds {
			s.stats.Longest = &StatsLongest{Run: r.ID, Seconds: r.Seconds}
		}
	}
	day := r.Finished.In(s.first.Location()).Format(time.DateOnly)
	if i, ok := slices.BinarySearchFunc(s.stats.Calendar, day, func(d StatsDay,
		day string) int {
		return strings.Compare(d.Day, day)
	}); ok {
		d := &s.stats.Calendar[i]
		d.Runs++
		if statsWorse(r.State, d.Worst) {
			d.Worst = r.State
		}
	}
	return true
}

// statsWorse says whether an outcome is worse than another, for the color of a day.
func statsWorse(a, b string) bool {
	order := []string{"", runSkipped, runSucceeded, runCancelled, runFailed, runCrashed}
	return slices.Index(order, a) > slices.Index(order, b)
}

// result computes what needs all runs.
func (s *statsOf) result() *Stats {
	st := &s.stats
	if judged := st.Succeeded + st.Failed + st.Crashed; judged > 0 {
		st.Rate = float64(st.Succeeded) / float64(judged)
	}
	//lint:ignore S1032 sort.Float64s links a sort of its own
	sort.Sort(sort.Float64Slice(s.took))
	st.P50, st.P95 = statsRank(s.took, 0.50), statsRank(s.took, 0.95)
	st.Histogram = statsHistogram(s.took)
	return st
}

// statsRank gives the smallest of the sorted values that a share of them does not exceed, 0 when there is none.
func statsRank(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)]
}

// statsHistogram counts sorted seconds in buckets. The bounds grow by the same factor from one bucket to the next.
func statsHistogram(sorted []float64) []StatsBucket {
	if len(sorted) == 0 {
		return nil
	}
	low, high := max(sorted[0], 0.001), max(sorted[len(sorted)-1], 0.001)
	var buckets []StatsBucket
	for i := range statsBuckets {
		upto := math.Ceil(low*math.Pow(high/low, float64(i+1)/statsBuckets)*1000) / 1000
		if i == statsBuckets-1 || upto >= high {
			upto = high
		}
		n := len(buckets)
		if n == 0 || upto > buckets[n-1].Upto {
			buckets = append(buckets, StatsBucket{Upto: upto})
		}
	}
	at := 0
	for _, seconds := range sorted {
		for at < len(buckets)-1 && seconds > buckets[at].Upto {
			at++
		}
		buckets[at].Count++
	}
	return buckets
}

// lookStats answers the op stats. The loop copies what is in memory; the rest is read from the history.
func (l *looks) lookStats(c *opCall) {
	id := c.req.Workflow
	s := statsNew(id, l.cfg.now().In(l.cfg.Zone))
	known := map[string]bool{} // runs in memory: what the history says of them is old
	refused, ok := lookAsk(l, c, func() *protoError {
		if l.catalog.files[id] == nil && l.state.Workflows[id] == nil {
			return l.catalog.noWorkflow(c, id)
		}
		for _, run := range l.queue.active[id] {
			known[run] = true
		}
		for _, run := range slices.Backward(l.state.Finished) {
			if r := l.state.Runs[run]; r.Workflow == id {
				known[run] = true
				if !r.Finished.Before(s.first) {
					s.add(r)
				}
			}
		}
		return nil
	})
	switch {
	case !ok:
		return
	case refused != nil:
		c.refuse(refused.meant())
		return
	case !l.readSlot(c):
		return
	}
	err := l.store.historyList(historyFilter{Workflow: id, Since: s.first, over: func() bool { return l.gone(c) }},
		func(r *Run) bool {
			return known[r.ID] || s.add(r)
		})
	if refused := l.historyRefused(c, err); refused != nil {
		c.refuse(refused)
		return
	}
	c.reply(Reply{Stats: s.result()})
}
