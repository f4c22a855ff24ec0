// cli_why.go: the verbs why and next: what became of a workflow's past fires, and when the next ones come.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// whyVerb is the entry of `why`.
func whyVerb() cliVerb {
	return cliVerb{name: "why", args: "ID [TIME]", help: "tell why a fire did or did not become a run", run: doWhy,
		flags:    func(f *cliFlags) { f.count(10, "at most `N` fires") },
		examples: []string{"cdktr why etl.daily", "cdktr why etl.daily 2026-03-08T02:30"}}
}

func doWhy(ctx context.Context, c *cli, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usageError("why takes a workflow ID and, if you like, a TIME")
	}
	req := Request{Op: "why", Workflow: args[0], N: protoCountOf(c.flags.n)}
	if len(args) == 2 {
		at, err := timeOf(args[1], time.Local)
		if err != nil {
			return err
		}
		req.At = stampOf(at)
	}
	r, err := c.ask(ctx, req)
	if err != nil {
		return err
	}
	if c.flags.json {
		for _, d := range r.Decisions {
			if err := printJSON(c.out, whyJSON{args[0], d}); err != nil {
				return err
			}
		}
		return nil
	}
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

// nextVerb is the entry of `next`.
func nextVerb() cliVerb {
	return cliVerb{name: "next", args: "[ID]", help: "list the coming fires of a workflow, of all, or of an expression",
		run: doNext,
		flags: func(f *cliFlags) {
			f.count(10, "`N` fires")
			f.StringVar(&f.cron, "cron", "", "of this `EXPRESSION`, with no principal")
			f.StringVar(&f.tz, "tz", "", "the expression's time `ZONE`")
			f.StringVar(&f.from, "from", "", "after this `TIME` rather than now")
		},
		examples: []string{
			"cdktr next etl.daily",
			"cdktr next --cron '0 0 29 2 *' -n 3",
			"cdktr next --cron '30 2 * * *' --tz Europe/London --from 2026-03-28",
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
	var fires []Fire
	given := false // whether --cron is; --cron '' is too, and wrong
	c.flags.Visit(func(f *flag.Flag) { given = given || f.Name == "cron" })
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

// whyJSON is a decision as `why --json` prints it.
type whyJSON struct {
	Workflow string `json:"workflow"`
	Decision
}
