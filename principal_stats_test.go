// Tests of the statistics: against the same worked out from all runs at once, and what the verb prints.

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"
)

// statsBrute works the statistics out from every run there is, the simple way.
func statsBrute(runs map[string]*Run, now time.Time) *Stats {
	s := &Stats{Workflow: "w"}
	first := now.Truncate(24*time.Hour).AddDate(0, 0, -statsDays+1)
	rank := map[string]int{runSkipped: 1, runSucceeded: 2, runCancelled: 3, runFailed: 4, runCrashed: 5}
	for day := first; !day.After(now); day = day.AddDate(0, 0, 1) {
		d := StatsDay{Day: day.Format("2006-01-02")}
		for _, r := range runs {
			if r.Finished.UTC().Format("2006-01-02") == d.Day {
				d.Runs++
				if rank[r.State] > rank[d.Worst] {
					d.Worst = r.State
				}
			}
		}
		s.Calendar = append(s.Calendar, d)
	}
	var took []float64
	for _, r := range runs {
		if r.Finished.Before(first) {
			continue
		}
		s.Runs++
		switch r.State {
		case runSucceeded:
			s.Succeeded++
		case runFailed:
			s.Failed++
		case runCancelled:
			s.Cancelled++
		case runCrashed:
			s.Crashed++
		case runSkipped:
			s.Skipped++
			continue
		}
		if !r.Started.IsZero() {
			took = append(took, r.Seconds)
			if s.Longest == nil || r.Seconds > s.Longest.Seconds {
				s.Longest = &StatsLongest{r.ID, r.Seconds}
			}
		}
	}
	if n := s.Runs - s.Cancelled - s.Skipped; n > 0 {
		s.Rate = float64(s.Succeeded) / float64(n)
	}
	within := func(share float64) float64 {
		best := math.Inf(1)
		for _, x := range took {
			n := 0
			for _, y := range took {
				if y <= x {
					n++
				}
			}
			if float64(n) >= share*float64(len(took)) {
				best = min(best, x)
			}
		}
		return best
	}
	if len(took) > 0 {
		s.P50, s.P95 = within(0.5), within(0.95)
	}
	return s
}

// TestStatsBrute: random histories, with runs that were retried, old ones, those of others, and some in memory.
func TestStatsBrute(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed, " round ", round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, round))
				g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}),
					principalTask(Workflow{ID: "v"}))
				time.Sleep(200*24*time.Hour + time.Duration(rnd.IntN(24))*time.Hour)
				now, runs := time.Now().UTC(), map[string]*Run{}
				n := []int{0, 1, 30, 600}[round]
				var lines []*Run
				for i := range n {
					r := historyRun(i, "w", []string{runSucceeded, runFailed, runCancelled, runCrashed,
						runSkipped}[rnd.IntN(5)],
						now.Add(-time.Duration(rnd.Int64N(int64(100*24*time.Hour)))))
					if rnd.IntN(5) > 0 {
						r.Started, r.Seconds = r.Finished, math.Round(math.Exp(rnd.Float64()*12)*1000+float64(i))/1000
					}
					lines = append(lines, r)
					if rnd.IntN(8) == 0 { // it was retried
						again := *r
						again.State, again.Finished = runSucceeded,
							stampOf(r.Finished.Add(time.Duration(rnd.IntN(1000))*time.Second))
						lines = append(lines, &again)
					}
				}
				sort.SliceStable(lines, func(i, j int) bool { return lines[i].Finished.Before(lines[j].Finished.Time) })
				g.do(func() {
					for i, r := range lines {
						runs[r.ID] = r
						g.p.store.history(r, nil)
						g.p.store.history(historyRun(100_000+i, "v", runFailed, r.Finished.Time), nil)
					}
				})
				for range rnd.IntN(5) {
					id := g.run("w")
					g.ask(Request{Op: "cancel", Run: id})
					runs[id] = g.show(id)
				}
				g.run("w") // it has not ended
				time.Sleep(time.Minute)
				got, want := g.ask(Request{Op: "stats", Workflow: "w"}).Stats, statsBrute(runs, now)
				buckets, total, before := got.Histogram, 0, 0.0
				for i, b := range buckets {
					count := 0
					for _, r := range runs {
						if !r.Started.IsZero() && r.State != runSkipped &&
							!r.Finished.Before(now.Truncate(24*time.Hour).AddDate(0, 0,
								-statsDays+1)) &&
							(i == 0 || r.Seconds > before) && r.Seconds <= b.Upto {
							count++
						}
					}
					if b.Upto <= before || b.Count != count {
						t.Errorf("bucket up to %v has %d, want %d", b.Upto, b.Count, count)
					}
					total, before = total+b.Count, b.Upto
				}
				if len(buckets) > statsBuckets || want.Longest != nil && before != want.Longest.Seconds {
					t.Errorf("histogram %v, longest %v", buckets, want.Longest)
				}
				got.Histogram = nil
				if one, two := string(protoEncode(got)), string(protoEncode(want)); one != two {
					t.Errorf("got\n%s\nwant\n%s", one, two)
				}
				g.stop()
			})
		})
	}
}

// TestStatsBound: of very many runs the newest are counted.
func TestStatsBound(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := statsNew("w", now)
	for i := range statsMaxRuns + 1 {
		r := historyRun(i, "w", runSucceeded, now.Add(-time.Duration(i)*time.Second))
		if ok := s.add(r); ok != (i < statsMaxRuns) {
			t.Fatalf("run %d: %v", i, ok)
		}
	}
	if st := s.result(); st.Runs != statsMaxRuns || st.Rate != 1 {
		t.Errorf("%d runs, rate %v", st.Runs, st.Rate)
	}
}

// TestStatsVerb: what the verb prints.
func TestStatsVerb(t *testing.T) {
	x := e2eNew(t)
	x.File("ok.yml", "tasks:\n  a: {run: 'true'}\n")
	x.File("bad.yml", "tasks:\n  a: {run: 'exit 7'}\n")
	x.Principal("--with-agent")
	if out := x.OK("stats", "ok"); out != "ok has no run that ended in the last 84 days\n" {
		t.Errorf("of nothing: %s", out)
	}
	x.await(x.Start("ok"))
	x.await(x.Start("ok"))
	x.await(x.Start("bad"))
	out := x.OK("stats", "ok")
	for _, want := range []string{"runs         2 in 84 days", "rate         100.0%", "2 succeeded, 0 failed",
		"median ", "longest ", "########", " . . . . . . . . . . . +\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if out := x.OK("stats", "bad"); !strings.Contains(out, " . . . . . . . . . . . !\n") ||
		!strings.Contains(out, "rate         0.0%") {
		t.Errorf("of a failure:\n%s", out)
	}
	s := harness.Decode[Stats](t, x.OK("stats", "ok", "--json"))
	if s.Runs != 2 || s.Rate != 1 || len(s.Calendar) != statsDays || s.Calendar[statsDays-1].Worst != runSucceeded ||
		s.Longest == nil || s.P50 > s.P95 {
		t.Errorf("%+v", s)
	}
	x.Refused(5, []string{"did you mean", "bad"}, "stats", "bda")
	x.Refused(2, nil, "stats")
}
