package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// viewStatsFixture is a workflow that has run for some weeks, badly at times.
func viewStatsFixture() *viewStats {
	v := &viewStats{Stats: &Stats{Workflow: "site07-backup", Runs: 211, Succeeded: 203, Failed: 5, Crashed: 1,
		Cancelled: 2, Rate: 203.0 / 209, P50: 552, P95: 843.4,
		Longest: &StatsLongest{"01KJVX3H5T0000000000001102", 3734}}}
	for i, n := range []int{2, 14, 103, 61, 22, 0, 8, 1} {
		v.Histogram = append(v.Histogram, StatsBucket{Upto: []float64{5, 60, 540, 600, 720, 900, 1800, 0}[i], Count: n})
	}
	last := viewStamp("00:00:00")
	for i := range 84 {
		day := StatsDay{Day: last.AddDate(0, 0, i-83).Format(time.DateOnly), Worst: runSucceeded, Runs: 3}
		switch {
		case i < 9:
			day.Worst, day.Runs = "", 0
		case i%29 == 0:
			day.Worst = runFailed
		case i == 50:
			day.Worst = runCrashed
		case i == 70 || i == 33:
			day.Worst = runCancelled
		}
		v.Calendar = append(v.Calendar, day)
	}
	return v
}

func TestViewStatsGolden(t *testing.T) {
	for _, size := range viewSizes {
		g := termGridNew(size[0], size[1])
		viewStatsFixture().draw(g, viewArea{0, 1, g.w, g.h - 3})
		viewGolden(t, "stats", g)
	}
}

// TestViewStatsScroll looks at everything through the smallest screen.
func TestViewStatsScroll(t *testing.T) {
	v := viewStatsFixture()
	seen := ""
	for range 30 {
		g := termGridNew(40, 10)
		v.draw(g, viewArea{0, 1, 40, 7})
		seen += viewPicture(g)
		v.scroll(1)
	}
	for _, want := range []string{"site07-backup", "211 runs", "success 97.1%", "+ 203 ok", "! 1 crashed",
		"x 2 cancelled", "p95 14:03", "longest 1:02:14", "longer", "Sun", "x cancelled  . none"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is nowhere to be seen", want)
		}
	}
	before := v.top
	v.scroll(1)
	g := termGridNew(40, 10)
	v.draw(g, viewArea{0, 1, 40, 7})
	if v.top >= before {
		t.Errorf("the first row is %d after %d: past the end", v.top, before)
	}
}

func TestViewStatsTexts(t *testing.T) {
	for rate, want := range map[float64]string{1: "100%", 0: "0%", 0.99999: "99.9%", 0.5: "50%", 0.975: "97.5%",
		0.29: "29%"} {
		if got := viewStatsPercent(rate); got != want {
			t.Errorf("a rate of %v is %s, want %s", rate, got, want)
		}
	}
	for seconds, want := range map[float64]string{-1: "0.0s", 0.34: "0.3s", 9.98: "9.9s", 0.3: "0.3s", 10: "0:10",
		75: "1:15", 1e300: "104166d16h"} {
		if got := viewStatsTook(seconds); got != want {
			t.Errorf("%v seconds are %s, want %s", seconds, got, want)
		}
	}
}

// TestViewStatsBars has no two bars that read alike.
func TestViewStatsBars(t *testing.T) {
	v, g := viewStatsFixture(), termGridNew(80, 24)
	v.Histogram = []StatsBucket{{Upto: 1.01, Count: 7}, {Upto: 1.02, Count: 2}, {Upto: 1.08}, {Upto: 1.11, Count: 3},
		{Count: 1}}
	v.draw(g, viewArea{0, 1, 80, 21})
	text := strings.Join(viewRows(g), "\n")
	for _, want := range []string{"1.0s  9 ====", "1.1s  3 ===", "longer  1 ="} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, text)
		}
	}
	if strings.Count(text, "1.0s") != 1 {
		t.Errorf("bars that read alike:\n%s", text)
	}
}

func TestViewStatsWithin(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	hostile := func() string { return viewHostile[random.IntN(len(viewHostile))] }
	for range 400 {
		v := viewStatsFixture()
		v.Workflow, v.Longest, v.Rate = hostile(), &StatsLongest{hostile(), random.NormFloat64() * 1e9},
			random.Float64()
		for i := range v.Calendar {
			if random.IntN(5) == 0 {
				v.Calendar[i] = StatsDay{Day: []string{hostile(), "2026-02-30", "0001-01-01",
					"9999-12-31"}[random.IntN(4)], Worst: hostile(), Runs: random.IntN(2)}
			}
		}
		v.Histogram = v.Histogram[:random.IntN(8)]
		for range random.IntN(30) {
			v.Histogram = append(v.Histogram, StatsBucket{Upto: random.NormFloat64() * 1e6,
				Count: random.IntN(1 << 30)})
		}
		v.top = random.IntN(40)
		viewWithin(t, random, v.draw)
	}
}

func BenchmarkViewStatsDraw(b *testing.B) {
	v, g := viewStatsFixture(), termGridNew(120, 40)
	for i := range 20 {
		v.Histogram = append(v.Histogram, StatsBucket{Upto: float64(i), Count: i})
	}
	b.ReportAllocs()
	for b.Loop() {
		v.draw(g, viewArea{0, 1, 120, 37})
	}
}
