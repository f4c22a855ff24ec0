// cli_stats.go: the verb stats, which tells how a workflow has done: in numbers, a histogram and a calendar.

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	statsBar  = 40 // the longest bar of the histogram, in columns
	statsWeek = 7  // days
)

// statsVerb is the entry of `stats`.
func statsVerb() cliVerb {
	return cliVerb{name: "stats", args: "ID",
		help: "tell how a workflow has done: success rate, durations, the last twelve weeks", run: doStats,
		examples: []string{"cdktr stats etl.daily", "cdktr stats etl.daily --json | jq '{rate, p95}'"}}
}

func doStats(ctx context.Context, c *cli, args []string) error {
	id, err := oneArg(args, "stats", "workflow ID")
	if err != nil {
		return err
	}
	r, err := c.ask(ctx, Request{Op: "stats", Workflow: id})
	switch {
	case err != nil:
		return err
	case r.Stats == nil:
		return errNoReply
	case c.flags.json:
		return printJSON(c.out, r.Stats)
	}
	p := c.painter()
	s := r.Stats
	if s.Runs == 0 {
		text := fmt.Sprintf("%s has no run that ended in the last %d days", s.Workflow, len(s.Calendar))
		return printText(c.out, text)
	}
	skipped := ""
	if s.Skipped > 0 {
		skipped = fmt.Sprintf(", %d skipped", s.Skipped)
	}
	p.facts("workflow", s.Workflow, "runs", fmt.Sprintf("%d in %d days", s.Runs, len(s.Calendar)), "rate", statsRate(s),
		"outcomes", fmt.Sprintf("%d succeeded, %d failed, %d crashed, %d cancelled", s.Succeeded, s.Failed, s.Crashed,
			s.Cancelled)+skipped)
	if s.Longest != nil {
		p.facts("median", tookText(s.P50), "95 of 100", "within "+tookText(s.P95), "longest",
			tookText(s.Longest.Seconds)+"  "+s.Longest.Run)
	}
	p.facts("used", s.Used.text())
	_, err = fmt.Fprint(p.w, p.statsHistogram(s.Histogram)+p.statsCalendar(s.Calendar))
	return err
}

// statsRate writes the share of the runs that succeeded, among those that nobody cancelled.
func statsRate(s *Stats) string {
	if s.Succeeded+s.Failed+s.Crashed == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*s.Rate)
}

// statsHistogram draws a line for each bucket of durations.
func (p *painter) statsHistogram(buckets []StatsBucket) string {
	most := 0
	for _, b := range buckets {
		most = max(most, b.Count)
	}
	text := ""
	for _, b := range buckets {
		bar := strings.Repeat("#", (b.Count*statsBar+most-1)/most) // rounded up: one run shows
		text += strings.TrimRight(fmt.Sprintf("  to %8s %6d %s", tookText(b.Upto), b.Count, bar), " ") + "\n"
	}
	if text != "" {
		text = "\n" + text
	}
	return text
}

// statsCalendar draws the worst outcome of each day: a column for each week, the newest at the right, and a line for
// each day of the week.
func (p *painter) statsCalendar(days []StatsDay) string {
	var b strings.Builder
	b.WriteString("\n")
	for line := range min(statsWeek, len(days)) {
		name := ""
		if day, err := time.Parse(time.DateOnly, days[line].Day); err == nil {
			name = day.Format("Mon")
		}
		fmt.Fprintf(&b, "  %3s", name)
		for i := line; i < len(days); i += statsWeek {
			glyph, color := ".", colorDim
			if days[i].Worst != "" {
				glyph, color = stateLooks(days[i].Worst)
			}
			b.WriteString(" " + p.paint(color, glyph))
		}
		b.WriteString("\n")
	}
	if n := len(days); n > 0 {
		b.WriteString("      " + p.paint("", days[0].Day+" to "+days[n-1].Day) + "\n")
	}
	return b.String()
}
