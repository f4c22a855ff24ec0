// cli_why.go: the verb why: what became of a workflow's fires, and of any instant.

package main

import (
	"context"
	"fmt"
	"time"
)

// whyVerb is the entry of `why`.
func whyVerb() cliVerb {
	return cliVerb{name: "why", args: "ID [TIME]", help: "tell why a fire did or did not become a run", run: doWhy,
		more: `
With a TIME, past or to come, it tells of that instant: which field of the schedule says no, the fires before and
after, what a change of the clock does, and what became of it. With --cron it needs no principal.`,
		flags: func(f *cliFlags) {
			f.count(10, "at most `N` fires")
			f.StringVar(&f.cron, "cron", "", "of this `EXPRESSION` at TIME, with no principal")
			f.StringVar(&f.tz, "tz", "", "the time `ZONE` of TIME and of the expression")
		},
		examples: []string{"cdktr why etl.daily", "cdktr why etl.daily 2026-03-08T02:30",
			"cdktr why --cron '30 2 * * *' 2026-03-08T02:30 --tz America/New_York"}}
}

func doWhy(ctx context.Context, c *cli, args []string) error {
	zone := time.Local
	if c.flags.tz != "" {
		var err error
		zone, err = nextZone(c)
		if err != nil {
			return err
		}
	}
	if c.flags.given("cron") {
		return whyExpression(c, args, zone)
	}
	if len(args) < 1 || len(args) > 2 {
		return usageError("why takes a workflow ID and, if you like, a TIME")
	}
	req := Request{Op: "why", Workflow: args[0], N: protoCountOf(c.flags.n)}
	if len(args) == 2 {
		at, err := whyTime(c, args[1], zone)
		if err != nil {
			return err
		}
		req.At = stampOf(at)
	}
	r, err := c.ask(ctx, req)
	switch {
	case err != nil:
		return err
	case r.Why != nil && c.flags.json:
		return printJSON(c.out, r.Why)
	case r.Why != nil:
		printWhy(c, r.Why, zone)
		return nil
	case c.flags.json:
		for _, d := range r.Decisions {
			if err := printJSON(c.out, whyJSON{args[0], d}); err != nil {
				return err
			}
		}
		return nil
	}
	return whyDecisions(c, r)
}

// whyDecisions prints what became of fires, and when the next one comes.
func whyDecisions(c *cli, r *Reply) error {
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	for _, d := range r.Decisions {
		what := tableCell{"- skipped", colorYellow}
		if d.Fired {
			what = tableCell{"+ fired", colorGreen}
		}
		reason := d.Reason
		if d.Missed > 0 {
			reason += fmt.Sprintf(" (and %d fires before it)", d.Missed)
		}
		rows = append(rows, []tableCell{cell("%s", d.At.Local().Format("2006-01-02 15:04:05 MST")), what,
			{text: orDefault(d.Run, "-")}, cell("%s", timeText(d.Made, now)), {text: reason}})
	}
	if len(rows) > 0 {
		if err := p.table([]string{"FIRE", "OUTCOME", "RUN", "DECIDED", "WHY"}, rows); err != nil {
			return err
		}
	} else if c.flags.n > 0 {
		fmt.Fprintln(c.out, "no fire of this schedule has been decided yet")
	}
	return c.whyNow(p, r, now)
}

// whyNow says when the next fire comes, and what may keep it from firing.
func (c *cli) whyNow(p *painter, r *Reply, now time.Time) error {
	if len(r.Workflows) == 0 {
		p.facts("file", "there is none any more: nothing will fire")
		return nil
	}
	w := r.Workflows[0]
	next := nextText(&w, now)
	switch {
	case next != "-":
	case len(w.Listeners) > 0:
		next = "with the next event: it has no schedule with a fire to come"
	default:
		next = "never: it has no schedule with a fire to come"
	}
	waits := ""
	if w.Last != nil && w.Last.State == runQueued {
		waits = w.Last.ID + ": " + w.Last.Reason
	}
	p.facts("queued", waits, "next", next, "paused by", pausedText(&w, now), "error", w.Error)
	for _, text := range w.Warnings {
		p.facts("warning", text)
	}
	p.facts("note", r.Note)
	return nil
}

// whyJSON is a decision as `why --json` prints it.
type whyJSON struct {
	Workflow string `json:"workflow"`
	Decision
}
