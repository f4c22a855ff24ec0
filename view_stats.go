//go:build !noui

// view_stats.go: the statistics of a workflow as a screen of text: how often it succeeds, how long it takes, a
// histogram of that, and a calendar of the last weeks.

package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	viewStatsWide  = 80 // columns: histogram and calendar side by side
	viewStatsLabel = 12 // columns of what a bar stands for
	// columns of the calendar beside its weeks: the days before, and what the last month's name needs behind
	viewStatsMargin = 10
)

// viewStats is the statistics and the first row shown. One goroutine uses it at a time. The last bar of the histogram
// may have no upper bound.
type viewStats struct {
	*Stats
	top int // first row shown: draw keeps it within what there is
}

// viewStatsPart is a piece of text that is not broken.
type viewStatsPart struct {
	glyph, text string
	style       termStyle // of the glyph
}

// scroll goes that many rows down, or up.
func (v *viewStats) scroll(delta int) { v.top = max(v.top+delta, 0) }

// draw shows the statistics in an area, which it makes blank first. scroll reaches what does not fit.
func (v *viewStats) draw(g *termGrid, a viewArea) {
	p := viewPen{g, a}
	p.clear()
	rows := v.drawFrom(p.part(0, 0, p.w, 0), 0) // draws nothing, but counts
	v.top = min(v.top, max(rows-p.h, 0))
	v.drawFrom(p, -v.top)
	p.park(0)
}

// drawFrom draws everything from row y on, which may lie above the area, and gives the row behind it.
func (v *viewStats) drawFrom(p viewPen, y int) int {
	if v.Runs == 0 {
		p.cell(1, y, p.w-2, 0, orDefault(v.Workflow, "it")+" has not run yet")
		return y + 1
	}
	y = v.drawParts(p, y, []viewStatsPart{{text: v.Workflow, style: styleBold}, {text: viewStatsCount(v.Runs, "run")}})
	parts := []viewStatsPart{{text: "success " + viewStatsPercent(v.Rate)}}
	for _, c := range []struct {
		n           int
		state, word string
	}{{v.Succeeded, runSucceeded, "ok"}, {v.Failed, runFailed, "failed"}, {v.Crashed, runCrashed, "crashed"},
		{v.Cancelled, runCancelled, "cancelled"}, {v.Skipped, runSkipped, "skipped"}} {
		if glyph, _, style := viewLooks(c.state); c.n > 0 {
			parts = append(parts, viewStatsPart{glyph, strconv.Itoa(c.n) + " " + c.word, style})
		}
	}
	y = v.drawParts(p, y, parts)
	longest := ""
	if v.Longest != nil {
		longest = "longest " + viewStatsTook(v.Longest.Seconds) + " in " + v.Longest.Run
	}
	y = v.drawParts(p, y, []viewStatsPart{{text: "p50 " + viewStatsTook(v.P50)}, {text: "p95 " + viewStatsTook(v.P95)},
		{text: longest}})
	if used := v.Used.text(); used != "" {
		y = v.drawParts(p, y, []viewStatsPart{{text: "used " + used}})
	}
	y++
	if p.w < viewStatsWide {
		y = v.drawHistogram(p, y) + 1
		return v.drawCalendar(p, y)
	}
	width := viewStatsMargin + 3*v.calendarWeeks()
	end := v.drawHistogram(p.part(0, 0, p.w-width-2, p.h), y)
	return max(end, v.drawCalendar(p.part(p.w-width, 0, width, p.h), y))
}

// drawParts writes parts one after the other, in as many rows as they need.
func (v *viewStats) drawParts(p viewPen, y int, parts []viewStatsPart) int {
	x := 1
	for _, part := range parts {
		width := textWidth(part.text)
		if part.glyph != "" {
			width += 2
		}
		if x > 1 && x+width > p.w-1 {
			x, y = 1, y+1
		}
		style := part.style
		from := x
		if part.glyph != "" {
			p.put(x, y, style, part.glyph)
			from, style = x+2, 0
		}
		p.cell(from, y, min(x+width, p.w-1)-from, style, part.text)
		x += width + 3
	}
	return y + 1
}

// drawHistogram shows one row a bar: what it counts, the count, and the bar in proportion to the largest.
func (v *viewStats) drawHistogram(p viewPen, y int) int {
	p.put(1, y, styleBold, "TOOK UP TO")
	p.put(1+viewStatsLabel, y, styleBold, "RUNS")
	bars := slices.Clone(v.Histogram[:min(len(v.Histogram), 1)])
	for _, bar := range v.Histogram[len(bars):] {
		// bounds that look the same here are one bar
		if last := &bars[len(bars)-1]; viewStatsUpto(bar) == viewStatsUpto(*last) {
			last.Count += bar.Count
		} else {
			bars = append(bars, bar)
		}
	}
	most, longest := 1, 1
	for _, bar := range bars {
		most = max(most, bar.Count)
		longest = max(longest, len(strconv.Itoa(bar.Count)))
	}
	room := p.w - 1 - viewStatsLabel - longest - 2
	for _, bar := range bars {
		y++
		label := viewStatsUpto(bar)
		p.right(1, y, viewStatsLabel-2, 0, label)
		x := p.right(1+viewStatsLabel, y, longest, 0, strconv.Itoa(bar.Count)) + 1
		if width := int64(bar.Count) * int64(room) / int64(most); bar.Count > 0 {
			p.line(x, y, max(int(width), 1), styleCyan, '=') // even one run is seen
		}
	}
	return y + 1
}

// viewStatsUpto says what a bar counts: the runs up to a time.
func viewStatsUpto(bar StatsBucket) string {
	if bar.Upto > 0 && !math.IsInf(bar.Upto, 1) {
		return viewStatsTook(bar.Upto)
	}
	return "longer"
}

// drawCalendar shows a column for each week and a row for each weekday, with the glyph of the day's worst outcome.
func (v *viewStats) drawCalendar(p viewPen, y int) int {
	weeks, step := v.calendarWeeks(), 3
	if weeks == 0 {
		return y
	}
	if viewStatsMargin+step*weeks > p.w {
		step = 2
	}
	p.put(1, y, styleBold, "WORST OF EACH DAY")
	for k, day := range []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		p.put(1, y+2+k, 0, day)
	}
	var monday time.Time // of the first column
	month, free := time.Month(0), 0
	for _, d := range v.Calendar {
		at, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			continue
		}
		weekday := (int(at.Weekday()) + 6) % 7
		if monday.IsZero() {
			monday = at.AddDate(0, 0, -weekday)
		}
		x := 6 + step*(int(at.Sub(monday)/(24*time.Hour))/7)
		if at.Month() != month && x >= free && x+3 <= p.w {
			month = at.Month()
			free = p.put(x, y+1, styleDim, at.Format("Jan")) + 1
		}
		glyph, _, style := viewLooks(d.Worst)
		if d.Runs == 0 {
			glyph, style = ".", styleDim
		}
		p.put(x, y+2+weekday, style, glyph)
	}
	p.cell(1, y+9, p.w-1, styleDim, "+ ok  ! failed  x cancelled  . none")
	return y + 10
}

// calendarWeeks gives the number of weeks in the calendar, from Monday to Sunday.
func (v *viewStats) calendarWeeks() int {
	if len(v.Calendar) == 0 {
		return 0
	}
	first, err := time.Parse(time.DateOnly, v.Calendar[0].Day)
	if err != nil {
		return 0
	}
	return ((int(first.Weekday())+6)%7 + len(v.Calendar) + 6) / 7
}

// viewStatsTook writes seconds as viewTook does, but short times with a decimal. Both round down.
func viewStatsTook(seconds float64) string {
	if seconds < 10 {
		return strconv.FormatFloat(math.Floor(max(seconds, 0)*10+1e-9)/10, 'f', 1, 64) + "s"
	}
	return viewTook(time.Duration(min(seconds, 9e9) * float64(time.Second)))
}

// viewStatsPercent writes a rate with one decimal, rounded down: a single failure is not 100%.
func viewStatsPercent(rate float64) string {
	text := strconv.FormatFloat(math.Floor(rate*1000+1e-9)/10, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0") + "%"
}

// viewStatsCount writes a number of things.
func viewStatsCount(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
