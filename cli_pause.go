// cli_pause.go: the verbs pause and resume, and how a pause is told of.

package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// pauseVerb is the entry of `pause`.
func pauseVerb() cliVerb {
	return cliVerb{name: "pause", args: "ID|--all", help: "stop the schedule of a workflow, until a time if you like",
		run: doPause,
		more: `
With --for or --until it ends by itself, by the clock of the principal. What was due meanwhile is not caught up. To
pause again changes the end and the note.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.all, "all", false, "every workflow")
			f.StringVar(&f.pauseFor, "for", "", "for a `DURATION`, as 90m, 2h or 1d")
			f.StringVar(&f.until, "until", "", "until a `TIME`, as 18:30 or 2026-01-31T02:30")
			f.StringVar(&f.note, "note", "", "say why, for others: a `TEXT` of at most 300 bytes")
		},
		examples: []string{
			"cdktr pause etl.daily",
			"cdktr pause etl.daily --for 2h --note 'the warehouse is being moved'",
			"cdktr pause --all --until 18:30",
		}}
}

// resumeVerb is the entry of `resume`.
func resumeVerb() cliVerb {
	return cliVerb{name: "resume", args: "ID|--all", help: "start the schedule of a workflow again",
		run: func(ctx context.Context, c *cli, args []string) error {
			req, err := scheduleRequest(c, "resume", args)
			if err != nil {
				return err
			}
			return c.change(ctx, req, "resumed "+orDefault(req.Workflow, "all schedules"))
		},
		flags:    func(f *cliFlags) { f.BoolVar(&f.all, "all", false, "every workflow") },
		examples: []string{"cdktr resume etl.daily", "cdktr resume --all"}}
}

// scheduleRequest makes the request of pause or resume: of one workflow or of all.
func scheduleRequest(c *cli, verb string, args []string) (req Request, err error) {
	req = Request{Op: verb, All: c.flags.all}
	switch {
	case c.flags.all && len(args) > 0:
		return req, usageError("%s takes an ID or --all, not both", verb)
	case !c.flags.all:
		req.Workflow, err = oneArg(args, verb, "workflow ID (or --all)")
	}
	return req, err
}

func doPause(ctx context.Context, c *cli, args []string) error {
	req, err := scheduleRequest(c, "pause", args)
	if err != nil {
		return err
	}
	length := time.Duration(0)
	req.Comment = c.flags.note
	switch {
	case c.flags.pauseFor != "" && c.flags.until != "":
		return usageError("pause takes --for or --until, not both")
	case c.flags.pauseFor != "":
		length, err = parseDuration(c.flags.pauseFor)
		if err != nil || length <= 0 {
			return usageError("--for: %q is not a duration: write it as 30m, 4h or 1d",
				textHead(c.flags.pauseFor, cliEchoMost))
		}
	case c.flags.until != "":
		zone, err := c.zone()
		if err != nil {
			return err
		}
		at, err := pauseEnd(c.flags.until, time.Now(), zone)
		if err != nil {
			return err
		}
		req.Until = stampOf(at)
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	if length > 0 || !req.Until.IsZero() || req.Comment != "" {
		clock, err := pauseKnown(ctx, conn)
		if err != nil {
			return err
		}
		if length > 0 {
			req.Until = stampOf(clock.Add(length))
		}
	}
	r, err := conn.ask(ctx, req)
	if err != nil {
		return err
	}
	c.note(r)
	if c.flags.json {
		return printJSON(c.out, pauseJSON{changeJSON{Done: req.Op, Workflow: req.Workflow}, req.Until, req.Comment})
	}
	done := "paused " + orDefault(req.Workflow, "all schedules")
	if !req.Until.IsZero() {
		done += " until " + timeText(req.Until, time.Now())
	}
	return printText(c.err, done)
}

// pauseJSON says what pause did.
type pauseJSON struct {
	changeJSON
	Until Stamp  `json:"until,omitzero"`
	Note  string `json:"note,omitempty"`
}

// pauseEnd reads the value of --until: a time of day that comes next, or a time.
func pauseEnd(text string, now time.Time, zone *time.Location) (time.Time, error) {
	at, err := timeOf(text, zone)
	if clock, bad := time.Parse("15:04", text); bad == nil {
		y, m, d := now.In(zone).Date()
		at, err = time.Date(y, m, d, clock.Hour(), clock.Minute(), 0, 0, zone), nil
		if !at.After(now) {
			at = time.Date(y, m, d+1, clock.Hour(), clock.Minute(), 0, 0, zone)
		}
	}
	switch {
	case err != nil:
		return at, usageError("--until: %q is not a time: write it as 18:30 or 2026-01-31T02:30",
			textHead(text, cliEchoMost))
	case !at.After(now):
		return at, usageError("--until: %s is over: name a time to come", at.Format("2006-01-02 15:04:05 MST"))
	}
	return at, nil
}

// pauseKnown says whether the principal knows pauses that end and have a note, and what its clock shows: an older one
// would pause without an end.
func pauseKnown(ctx context.Context, conn *client) (Stamp, error) {
	r, err := conn.ask(ctx, Request{Op: "help"})
	if err != nil {
		return Stamp{}, err
	}
	i := slices.IndexFunc(r.Verbs, func(op protoOp) bool { return op.Op == "pause" })
	if i < 0 || !slices.Contains(r.Verbs[i].Fields, "until") || r.Clock.IsZero() {
		return Stamp{}, &exitError{code: exitRefused,
			err: fmt.Errorf("the principal (%s) is too old for a pause with an end or a note: nothing was paused",
				textHead(r.Version, protoMaxName)), hint: "cdktr pause without them, or update the principal"}
	}
	return r.Clock, nil
}

// pausedText says of a workflow who paused it, why, since when and until when; "" when it is not paused.
func pausedText(w *WorkflowInfo, now time.Time) string {
	p := w.Pause
	if p == nil || w.Paused == "" { // an older principal says only who
		return w.Paused
	}
	text := p.By
	if !p.Since.IsZero() {
		text += " since " + timeText(p.Since, now)
	}
	if !p.Until.IsZero() {
		text += ", until " + timeText(p.Until, now)
	}
	if p.All {
		text += ", with all others"
	}
	if p.Note != "" {
		text += ": " + p.Note
	}
	return text
}
