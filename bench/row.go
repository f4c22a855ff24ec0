// What a row is, what was measured of it, and what is said of that.

package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// group is rows that one go measures together.
type group struct {
	name    string
	rows    []row
	measure func(b *bench) (map[string]figures, error) // by the names of rows
}

// row is one line of the table.
type row struct {
	name   string // a word, for the command line
	what   string
	unit   unit
	bound  bound
	readme bool   // it is in the README's table too
	how    string // how it is measured: sentences for docs/performance.md
	why    string // if it misses its bound: what cannot be less, and what was tried
}

// unit says how a value is written.
type unit struct {
	name  string
	scale float64 // values are divided by it
	digit int     // behind the point
	timed bool    // a slower machine has other values
}

var (
	inMillis  = unit{"ms", 1e6, 2, true} // of nanoseconds
	inMicros  = unit{"µs", 1e3, 1, true} // of nanoseconds
	inNanos   = unit{"ns", 1, 0, true}
	inSeconds = unit{"s", 1e9, 2, true} // of nanoseconds
	inMB      = unit{"MB", 1e6, 2, false}
	inKB      = unit{"kB", 1e3, 1, false}
	inLines   = unit{"M lines/s", 1e6, 2, true}
	inBytes   = unit{"B", 1, 0, false}
	inRuns    = unit{"runs/s", 1, 0, true}
	inCount   = unit{"", 1, 1, false}
)

func (u unit) of(v float64) string {
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", u.digit, v/u.scale, u.name))
}

// bound is what a row must keep. The zero bound is none.
type bound struct {
	limit float64 // in the unit's base, or a ratio
	least bool    // limit is the least that is allowed, not the most
	ratio bool    // of the ratio to the floor, not of the value
}

func most(v float64) bound      { return bound{limit: v} }
func least(v float64) bound     { return bound{limit: v, least: true} }
func mostTimes(r float64) bound { return bound{limit: r, ratio: true} }
func leastOf(r float64) bound   { return bound{limit: r, least: true, ratio: true} }

// text writes a bound.
func (b bound) text(u unit) string {
	if b.limit == 0 {
		return ""
	}
	value := u.of(b.limit)
	if b.ratio {
		value = fmt.Sprintf("%.2f times", b.limit)
	}
	if b.least {
		return "at least " + value
	}
	return "at most " + value
}

// missedBy says by which factor a value misses the bound: 1 and less is kept, 0 when there is no bound.
func (b bound) missedBy(value, ratio float64) float64 {
	got := value
	if b.ratio {
		got = ratio
	}
	switch {
	case b.limit == 0:
		return 0
	case math.IsNaN(got):
		return math.Inf(1)
	case b.least && got <= 0:
		return math.Inf(1)
	case b.least:
		return b.limit / got
	}
	return got / b.limit
}

// The quick form runs on machines that are shared, and may be slower than the one on which the bounds were set. What
// others do there only adds time, so it judges the best sample of ours by the best of the floor. A bound on time that
// is no ratio grows by as much as the bare machine is slower. A row fails at quickFactor times its bound, in each of
// quickTries goes.
const (
	quickFactor = 2
	quickTries  = 5
)

// samples is measured values of one thing, in the order in which they were taken.
type samples []float64

// at gives the value that this share of all values does not exceed: the nearest rank.
func (s samples) at(share float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(share * float64(len(s))))
	return sorted[min(max(rank, 1), len(s))-1]
}

// median gives the middle value, of two the mean.
func (s samples) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// best gives the least value, or the largest where more is better.
func (s samples) best(more bool) float64 {
	if more {
		return s.at(1)
	}
	return s.at(0)
}

// figures is what was measured of a row.
type figures struct {
	ours, floor samples // values of the same round have the same place, if both have as many
	floorName   string  // what the floor is
	bare        bool    // the floor is the machine alone doing a part of what is measured: nothing can be below it
	note        string
	skipped     string // why there is nothing; "" when there is
	soft        bool   // what is missing may be missing in CI too
	broken      string // why it could not be measured though all is there; "" when it could
	// by how much the bare machine was slower than the one on which the bounds were set, in the quick form; 0: unknown
	slower float64
}

// ratio gives the median of the ratios of each round, or, without rounds, the ratio of the medians.
func (f figures) ratio() float64 {
	if len(f.floor) == 0 {
		return math.NaN()
	}
	if len(f.floor) != len(f.ours) {
		return f.ours.median() / f.floor.median()
	}
	var ratios samples
	for i := range f.ours {
		ratios = append(ratios, f.ours[i]/f.floor[i])
	}
	return ratios.median()
}

// outcome is a row and what was measured of it.
type outcome struct {
	row
	figures
}

// missedBy is bound.missedBy of what was measured: of the medians, or, in the quick form, of the best. A ratio without
// a floor misses nothing: it is not known.
func (o *outcome) missedBy(quick bool) float64 {
	switch {
	case o.broken != "":
		return math.Inf(1)
	case o.skipped != "" || o.bound.ratio && len(o.floor) == 0:
		return 0
	case quick:
		best := o.ours.best(o.bound.least)
		by := o.bound.missedBy(best, best/o.floor.best(o.bound.least))
		if o.unit.timed && !o.bound.ratio {
			by /= max(1, o.slower)
		}
		return by
	}
	return o.bound.missedBy(o.ours.median(), o.ratio())
}

// fails says whether the row fails the bench. The quick form does not judge a row whose bound the bare machine misses
// in the same turns.
func (o *outcome) fails(quick bool) bool {
	if quick {
		return o.missedBy(quick) > quickFactor && !o.hopeless()
	}
	return o.missedBy(quick) > 1
}

// hopeless says whether the machine alone is beyond the bound just now.
func (o *outcome) hopeless() bool {
	return o.bare && !o.bound.ratio && o.bound.missedBy(o.floor.best(o.bound.least), 0) > 1
}

// verdict says in a word or two what is to be said of the row.
func (o *outcome) verdict(quick bool) string {
	by := o.missedBy(quick)
	switch {
	case o.broken != "":
		return "FAILED: " + o.broken
	case o.skipped != "":
		return "skipped: " + o.skipped
	case o.bound.limit == 0:
		return ""
	case o.bound.ratio && len(o.floor) == 0:
		return "no floor to compare"
	case by <= 1:
		return "ok"
	case quick && o.hopeless():
		return "not judged: the bare machine misses it too"
	case quick && by <= quickFactor:
		return fmt.Sprintf("over, by %.2f times; fails at %d", by, quickFactor)
	}
	return fmt.Sprintf("MISS, by %.2f times", by)
}

// cells gives value, floor, ratio and bound as text.
func (o *outcome) cells() (value, floor, ratio, bound string) {
	bound = o.bound.text(o.unit)
	if len(o.ours) == 0 {
		return "", "", "", bound
	}
	value = o.unit.of(o.ours.median())
	if len(o.floor) > 0 {
		floor = o.unit.of(o.floor.median()) + " (" + o.floorName + ")"
		if r := o.ratio(); !math.IsNaN(r) && !math.IsInf(r, 0) { // the floor may be nothing at all
			ratio = fmt.Sprintf("%.2f", r)
		}
	}
	return value, floor, ratio, bound
}

// text writes what was measured in one line.
func (o *outcome) text() string {
	value, floor, _, bound := o.cells()
	return fmt.Sprintf("%s: %s, beside it %s, %s", o.name, cmp.Or(value, "nothing"), cmp.Or(floor, "nothing"),
		cmp.Or(bound, "no bound"))
}

// printTable writes the rows with their columns under each other.
func printTable(w io.Writer, all []outcome, quick bool) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tVALUE\tFLOOR\tRATIO\tBOUND\tVERDICT")
	for i := range all {
		o := &all[i]
		value, floor, ratio, bound := o.cells()
		verdict := o.verdict(quick)
		if o.note != "" {
			verdict = strings.TrimSpace(verdict + "  (" + o.note + ")")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", o.name, value, floor, ratio, bound, verdict)
	}
	t.Flush()
}
