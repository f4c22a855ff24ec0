// cli_why_instant.go: what why tells of one instant, past or to come.

package main

import (
	"fmt"
	"strings"
	"time"
)

// whyTime reads the TIME of why: as timeOf does, or a time of today. It says what a change of the clock makes of it: a
// time that the clock leaves out is the instant of the change, and of one that comes twice the first is meant.
func whyTime(c *cli, text string, zone *time.Location) (time.Time, error) {
	full := text
	if _, err := time.Parse("15:04:05", text); err == nil {
		full = time.Now().In(zone).Format("2006-01-02T") + text
	} else if _, err := time.Parse("15:04", text); err == nil {
		full = time.Now().In(zone).Format("2006-01-02T") + text
	}
	at, err := timeOf(full, zone)
	if err != nil {
		return at, err
	}
	if at.Unix() < 0 {
		return at, usageError("%q is before 1970: no schedule is known from then", textHead(text, cliEchoMost))
	}
	if _, err := time.Parse(time.RFC3339, full); err == nil { // it names its own zone
		return at.In(zone), nil
	}
	wanted, err := timeOf(full, time.UTC) // what the clock is to show
	if err != nil {
		return at, err
	}
	_, offset := at.Zone()
	began, ends := at.ZoneBounds()
	if shown := at.Add(time.Duration(offset) * time.Second); !shown.Equal(wanted) {
		change := began
		if change.IsZero() || !ends.IsZero() && ends.Sub(at).Abs() < at.Sub(began).Abs() {
			change = ends
		}
		c.say(fmt.Sprintf("%s is left out in %s: the clock is set ahead then, to %s", text, zone,
			change.Format("15:04:05 MST")))
		return change, nil
	}
	if first := whyOtherPass(at, began.Add(-time.Second)); !began.IsZero() && first.Before(began) {
		c.say(fmt.Sprintf("%s comes twice in %s: the first is meant, and the second is %s", text, zone,
			at.Format(time.RFC3339)))
		return first, nil
	}
	if second := whyOtherPass(at, ends); !ends.IsZero() && !second.Before(ends) {
		c.say(fmt.Sprintf("%s comes twice in %s: the first is meant, and the second is %s", text, zone,
			second.Format(time.RFC3339)))
	}
	return at, nil
}

// whyOtherPass gives the instant at which the clock shows the same as at, by the offset in force at other.
func whyOtherPass(at, other time.Time) time.Time {
	_, here := at.Zone()
	_, there := other.Zone()
	return at.Add(time.Duration(here-there) * time.Second)
}

// whyExpression is why --cron: what an expression says of an instant.
func whyExpression(c *cli, args []string, zone *time.Location) error {
	switch {
	case len(args) == 0:
		return usageError("why --cron takes a TIME: cdktr why --cron '30 2 * * *' 2026-03-08T02:30")
	case len(args) > 1:
		return usageError("why takes an ID or --cron, not both; and an expression stands in quotes")
	}
	expr, err := cronParse(c.flags.cron, "")
	if err != nil {
		return usageError("%w", err)
	}
	if c.flags.tz == "" { // the expression's zone is that of next --cron
		zone, err = c.zone()
		if err != nil {
			return err
		}
	}
	at, err := whyTime(c, args[0], zone)
	if err != nil {
		return err
	}
	e, err := schedNew(zone).entryOf(&Workflow{Schedule: []string{c.flags.cron}})
	if err != nil {
		return err
	}
	w := &WhyInstant{At: stampOf(at.Truncate(time.Second)), Outcome: whyNoFire, Schedules: e.why(at)}
	if w.Schedules[0].Fires {
		w.Outcome = "fires"
	} else {
		w.Reason = w.Schedules[0].reason()
	}
	if theirs := expr.upstreamDifference(); theirs != "" {
		w.Schedules[0].Others = append(w.Schedules[0].Others, theirs)
	}
	if c.flags.json {
		return printJSON(c.out, w)
	}
	printWhy(c, w, zone)
	return nil
}

// printWhy prints what became of an instant, with a block for each schedule.
func printWhy(c *cli, w *WhyInstant, zone *time.Location) {
	p, now := c.painter(), time.Now()
	show := func(at Stamp) string {
		if at.IsZero() {
			return "none"
		}
		return at.In(zone).Format("Mon 2006-01-02 15:04:05 MST")
	}
	p.facts("workflow", w.Workflow, "instant", show(w.At), "outcome", whyOutcome(w))
	p.facts("run", strings.TrimSpace(w.Run+" "+w.State), "decided", timeText(w.Decided, now))
	if w.Jitter > 0 {
		p.facts("jitter", fmt.Sprintf("its fires are moved by %s: to %s",
			Duration(time.Duration(w.Jitter*float64(time.Second)).Round(time.Second)), show(w.Due)))
	}
	if w.Pause != nil {
		p.facts("paused by", pausedText(&WorkflowInfo{Paused: w.Pause.By, Pause: w.Pause}, now))
	}
	p.facts("days", w.Days, "window", w.Window)
	if w.Outcome == whySkipped && strings.HasPrefix(w.Reason, "missed") {
		p.facts("catchup", orDefault(w.Catchup, catchupSkip))
	}
	for i := range w.Schedules {
		s := &w.Schedules[i]
		fires := "no"
		if s.Fires {
			fires = "yes"
		}
		p.facts("schedule", s.Schedule, "  its clock", s.Clock, "  fires", fires)
		for _, f := range s.Against {
			p.facts("  against", f.text())
		}
		p.facts("  before", show(s.Before), "  after", show(s.After))
		for _, note := range s.Notes {
			p.facts("  change", note)
		}
		for _, other := range s.Others {
			p.facts("  elsewhere", other)
		}
	}
}

// whyOutcome says in a few words what became of an instant.
func whyOutcome(w *WhyInstant) string {
	said := map[string]string{whyFired: "+ fired", whySkipped: "- skipped", whyNoFire: "- no fire",
		whyComing: ". to come", whyPaused: "= to come, but paused", whyUnknown: "? not kept",
		whyPending: ". not decided yet"}[w.Outcome]
	said = orDefault(said, w.Outcome)
	if w.Reason != "" {
		said += ": " + w.Reason
	}
	return said
}
