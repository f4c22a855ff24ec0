// cli_next.go: the verb next: when the coming fires are.

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// nextVerb is the entry of `next`.
func nextVerb() cliVerb {
	return cliVerb{name: "next", args: "[ID]", help: "list the coming fires of a workflow, of all, or of an expression",
		run: doNext,
		more: `
With --load it counts the fires of the coming days by the minute of the day, names times at which many fire at once, and
the quietest minute. With --ical it writes them as a calendar (RFC 5545). Both take a PATTERN in place of an ID.`,
		flags: func(f *cliFlags) {
			f.count(10, "`N` fires")
			f.StringVar(&f.cron, "cron", "", "of this `EXPRESSION`, with no principal")
			f.StringVar(&f.tz, "tz", "", "the expression's time `ZONE`")
			f.StringVar(&f.from, "from", "", "after this `TIME` rather than now")
			f.BoolVar(&f.load, "load", false, "count them by the minute of the day, and find the quietest")
			f.BoolVar(&f.ical, "ical", false, "write them as a calendar")
			f.IntVar(&f.days, "days", 7, "with --load and --ical: of so many `DAYS`")
		},
		examples: []string{
			"cdktr next etl.daily",
			"cdktr next --cron '0 0 29 2 *' -n 3",
			"cdktr next --cron '30 2 * * *' --tz Europe/London --from 2026-03-28",
			"cdktr next --load --days 1",
			"cdktr next --ical 'etl.*' > fires.ics",
		}}
}

func doNext(ctx context.Context, c *cli, args []string) error {
	zone, err := nextZone(c)
	if err != nil {
		return err
	}
	from := time.Now()
	if c.flags.from != "" {
		from, err = timeOf(c.flags.from, zone)
		if err != nil {
			return err
		}
	}
	if c.flags.load || c.flags.ical {
		return nextFires(ctx, c, args, from, zone)
	}
	if c.flags.given("days") {
		return usageError("--days goes with --load or --ical; -n says how many fires")
	}
	var fires []Fire
	given := c.flags.given("cron") // --cron '' is too, and wrong
	switch {
	case given && len(args) > 0:
		return usageError("next takes an ID or --cron, not both")
	case given:
		fires, err = nextOfExpression(c.flags.cron, zone, from, c.flags.n)
	case len(args) > 1 || len(args) == 1 && strings.ContainsAny(args[0], " *@"):
		return &exitError{code: exitUsage, err: errors.New("next takes one ID"),
			hint: "an expression stands behind --cron, in quotes: cdktr next --cron '30 8 * * mon-fri'"}
	default:
		var r *Reply
		r, err = c.ask(ctx, Request{Op: "next", Workflow: strings.Join(args, ""), N: protoCountOf(c.flags.n),
			At: stampOf(from)})
		if err == nil {
			fires = r.Fires
			c.note(r)
		}
	}
	if err != nil {
		return err
	}
	for _, f := range fires {
		switch {
		case c.flags.json:
			err = printJSON(c.out, f)
		case given || len(args) == 1:
			_, err = fmt.Fprintln(c.out, f.At.In(zone).Format("Mon 2006-01-02 15:04:05 MST"))
		default:
			err = printText(c.out, f.At.In(zone).Format("Mon 2006-01-02 15:04:05 MST")+"  "+f.Workflow)
		}
		if err != nil {
			return err
		}
	}
	if len(fires) == 0 && c.flags.n > 0 {
		fmt.Fprintln(c.err, "cdktr: no fire is to come")
	}
	return nil
}

// nextZone is the time zone of next: that of --tz, else that of the settings.
func nextZone(c *cli) (*time.Location, error) {
	if c.flags.tz == "" {
		return c.zone()
	}
	zone, err := zoneLoad(c.flags.tz)
	if err != nil {
		return nil, usageError("--tz %q names no time zone that is known here: write it as Europe/London, or UTC%s",
			textHead(c.flags.tz, cliEchoMost), nearMeans(workflowZoneMeant(c.flags.tz)))
	}
	return zone, nil
}

// nextOfExpression lists the coming fires of a cron expression.
func nextOfExpression(text string, zone *time.Location, from time.Time, n int) ([]Fire, error) {
	expr, err := cronParse(text, "")
	if err != nil {
		return nil, usageError("%w", err)
	}
	var fires []Fire
	for len(fires) < n {
		at, ok := expr.next(from, zone)
		if !ok {
			break
		}
		fires = append(fires, Fire{At: stampOf(at)})
		from = at
	}
	if len(fires) == 0 && n > 0 && expr.firesAt() == "" {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("%q never fires", text)}
	}
	return fires, nil
}
