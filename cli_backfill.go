// cli_backfill.go: the verb backfill: it has the principal make runs for past fires of a schedule, shows how far that
// is, and lists what was begun.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// backfillVerb is the entry of `backfill`.
func backfillVerb() cliVerb {
	return cliVerb{name: "backfill", args: "[ID|BATCH]", run: doBackfill,
		help: "make the runs that a schedule would have fired, as a batch",
		more: `
A run is made for each fire of ID between two times, both included, that has no run which succeeded; $CDKTR_SCHEDULED_AT
is the fire. A date without a time of day is that whole day; -7d is seven days ago. With -p a run counts only if it had
these values. The principal makes one run after the other, also when this command has ended or the principal was started
again. Where runs must not overlap the workflow's own fires come in between, and none is passed over.
With a BATCH its progress is shown, with nothing all batches are listed; cdktr cancel BATCH ends one.
Exit codes: 0 all runs succeeded (or the batch has begun, with --detach), 1 one did not, 5 refused.`,
		flags: func(f *cliFlags) {
			b := &f.backfill
			f.StringVar(&f.from, "from", "", "the first `TIME`")
			f.StringVar(&b.to, "to", "", "the last `TIME` (default now)")
			f.Var(&f.params, "p", "a parameter `NAME=VALUE`; may be given again")
			f.BoolVar(&f.dryRun, "dry-run", false, "list the fires, and make nothing")
			f.BoolVar(&b.failed, "failed", false, "only fires whose newest run failed or crashed, or that were missed")
			f.BoolVar(&f.all, "all", false, "also fires whose run succeeded")
			f.BoolVar(&b.reverse, "reverse", false, "the newest fire first")
			f.IntVar(&b.parallel, "max-parallel", 1, "so many runs at once, `N`, where overlap: allow lets them be")
			f.BoolVar(&f.follow, "follow", false, "show the progress, and exit by the outcome")
			f.BoolVar(&f.wait, "wait", false, "wait until all is over, and exit by the outcome")
			f.BoolVar(&f.detach, "detach", false, "print the batch's id and leave")
		},
		examples: []string{
			"cdktr backfill etl.daily --from 2026-03-01 --to 2026-03-31 --dry-run",
			"cdktr backfill etl.daily --from -7d --failed",
			"cdktr backfill etl.daily --from 2026-03-01 -p full=yes --detach",
		}}
}

// cliBackfill is the flags of backfill.
type cliBackfill struct {
	to              string
	failed, reverse bool
	parallel        int
}

func doBackfill(ctx context.Context, c *cli, args []string) error {
	f := &c.flags.backfill
	switch {
	case len(args) > 1:
		return usageError("backfill takes one workflow ID, or one batch, not %d", len(args))
	case len(args) == 0 && (c.flags.from != "" || f.to != ""):
		return usageError("which workflow? cdktr backfill ID --from TIME")
	case c.flags.detach && (c.flags.wait || c.flags.follow):
		return usageError("--detach leaves at once: it cannot go with --wait or --follow")
	case len(args) == 0:
		return listBatches(ctx, c)
	case isBatchID(args[0]):
		if c.flags.from+f.to != "" || c.flags.dryRun || f.failed {
			return usageError("%s is a batch that has begun: --from and the like are for a workflow's ID", args[0])
		}
		return followBatch(ctx, c, nil, args[0])
	case c.flags.from == "":
		return &exitError{code: exitUsage, err: errors.New("from when on? --from TIME is missing"),
			hint: "cdktr backfill " + textHead(args[0], cliEchoMost) + " --from -7d --dry-run"}
	case f.parallel < 1 || f.parallel > batchMaxParallel:
		return usageError("--max-parallel %d: want 1 to %d", f.parallel, batchMaxParallel)
	case f.failed && c.flags.all:
		return usageError("--failed is for fires whose run failed, --all for every fire: use one of them")
	}
	if err := paramsFault(c.flags.params); err != nil {
		return usageError("-p: %w", err)
	}
	return beginBatch(ctx, c, args[0], time.Now())
}

// batchTime reads a time of backfill: as --since does, or how long ago with a minus in front. A date alone is that day:
// its beginning, or its end.
func batchTime(text string, now time.Time, end bool) (Stamp, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil && end {
		return stampOf(day.AddDate(0, 0, 1).Add(-time.Second)), nil
	}
	at, err := sinceOf(strings.TrimPrefix(text, "-"), now)
	if err == nil && !stampable(at.Time) {
		err = usageError("%q is too long ago", textHead(text, cliEchoMost))
	}
	return at, err
}

// beginBatch asks for a batch, or for what one would make.
func beginBatch(ctx context.Context, c *cli, id string, now time.Time) error {
	f := &c.flags.backfill
	req := Request{Op: "backfill", Workflow: id, Params: c.flags.params, N: protoCountOf(f.parallel), All: c.flags.all,
		Dry: c.flags.dryRun, Reverse: f.reverse}
	if f.failed {
		req.State = runFailed
	}
	var err error
	if req.Since, err = batchTime(c.flags.from, now, false); err != nil {
		return err
	}
	if f.to != "" {
		if req.Until, err = batchTime(f.to, now, true); err != nil {
			return err
		}
		if req.Until.Before(req.Since.Time) {
			return usageError("--to %s is before --from %s", textHead(f.to, cliEchoMost),
				textHead(c.flags.from, cliEchoMost))
		}
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	var last *Reply
	var rows []BatchFire
	limited, cancel := context.WithTimeout(ctx, dialBatch)
	defer cancel()
	err = conn.stream(limited, req, func(r *Reply) error {
		last = r
		if r.Plan != nil {
			rows = append(rows, r.Plan.Rows...)
		}
		return nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"),
			hint: "cdktr backfill shows whether a batch has begun"}
	case err != nil:
		return batchOld(err)
	case last.Plan == nil:
		return errNoReply
	case c.flags.dryRun:
		return printPlan(c, id, last.Plan, rows)
	case last.Batch == "":
		if c.flags.json {
			return printJSON(c.out, batchJSON{Workflow: id, Plan: last.Plan})
		}
		c.say("nothing to make: " + planText(last.Plan))
		return nil
	}
	_, _, terminal := termOf(c.out)
	if c.flags.detach || !terminal && !c.flags.follow && !c.flags.wait {
		if c.flags.json {
			return printJSON(c.out, batchJSON{last.Batch, id, last.Plan})
		}
		return printText(c.out, last.Batch)
	}
	if !c.flags.json {
		c.say("batch " + last.Batch + ": " + planText(last.Plan))
	}
	return followBatch(ctx, c, conn, last.Batch)
}

// dialBatch is how long the search for what a backfill is to make may take: it reads the workflow's history.
const dialBatch = 5 * time.Minute

// batchJSON is what backfill has begun, as --json prints it.
type batchJSON struct {
	Batch    string     `json:"batch,omitempty"`
	Workflow string     `json:"workflow"`
	Plan     *BatchPlan `json:"plan"`
}

// batchOld adds to the refusal of a principal that does not know what is asked that it is too old.
func batchOld(err error) error {
	if refused, ok := errors.AsType[*protoError](err); ok && refused.Code == codeUnknownOp {
		return &exitError{code: exitRefused, err: err, hint: "the principal is too old: cdktr ping shows its version"}
	}
	return err
}

// planText says what a backfill makes, in one line.
func planText(p *BatchPlan) string {
	text := fmt.Sprintf("%s of %s", countText(p.Make, "run"), countText(p.Fires, "fire"))
	if p.Make > 0 {
		text += fmt.Sprintf(", %s to %s", batchAt(p.First), batchAt(p.Last))
	}
	for _, more := range []struct {
		n    int
		what string
	}{{p.Succeeded, "have a run that succeeded"}, {p.Active, "have one that is active or to come"},
		{p.Others, "have not failed"}} {
		if more.n > 0 {
			text += fmt.Sprintf("; %d %s", more.n, more.what)
		}
	}
	return text
}

// batchAt writes a fire.
func batchAt(at Stamp) string { return at.Local().Format("2006-01-02 15:04:05 MST") }

// printPlan prints what a backfill would make of each fire.
func printPlan(c *cli, id string, plan *BatchPlan, fires []BatchFire) error {
	var rows [][]tableCell
	for _, f := range fires {
		if c.flags.json {
			if err := printJSON(c.out, planJSON{id, f}); err != nil {
				return err
			}
			continue
		}
		what := tableCell{"+ make", colorGreen}
		if !f.Make {
			what = tableCell{"- leave", colorDim}
		}
		rows = append(rows, []tableCell{cell("%s", batchAt(f.At)), what, {text: orDefault(f.State, "-")},
			{text: orDefault(f.Run, "-")}})
	}
	if c.flags.json {
		return nil
	}
	if err := c.painter().table([]string{"FIRE", "BACKFILL", "STATE", "RUN"}, rows); err != nil {
		return err
	}
	c.say("would make " + planText(plan))
	return nil
}

// planJSON is a fire as backfill --dry-run --json prints it.
type planJSON struct {
	Workflow string `json:"workflow"`
	BatchFire
}

// listBatches lists the batches that the principal knows.
func listBatches(ctx context.Context, c *cli) error {
	r, err := c.ask(ctx, Request{Op: "batches"})
	if err != nil {
		return batchOld(err)
	}
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	for _, b := range r.Batches {
		if c.flags.json {
			if err := printJSON(c.out, b); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []tableCell{p.state(b.State), {text: b.ID}, {text: b.Workflow},
			cell("%s", timeText(b.Begun, now)), cell("%d/%d", b.ended(), b.Fires),
			cell("%d", b.Failed+b.Crashed+b.Cancelled), {text: orDefault(b.By, "-")}, {text: b.Reason}})
	}
	if c.flags.json {
		return nil
	}
	if len(rows) == 0 {
		c.say("there is no batch: cdktr backfill ID --from TIME begins one")
		return nil
	}
	return p.table([]string{"STATE", "BATCH", "WORKFLOW", "BEGUN", "DONE", "FAILED", "BY", "REASON"}, rows)
}

// followBatch shows how far a batch is until it is over, and gives its outcome. conn may be nil.
func followBatch(ctx context.Context, c *cli, conn *client, id string) error {
	if c.flags.detach { // how it is now
		r, err := c.ask(ctx, Request{Op: "batches", Batch: id})
		if err == nil && len(r.Batches) == 0 {
			err = errNoReply
		}
		if err != nil {
			return batchOld(err)
		}
		return batchOver(c, r.Batches[0])
	}
	show := batchProgress{out: termRaw(c.err), quiet: c.flags.json || c.flags.wait && !c.flags.follow}
	show.width, _, show.live = termOf(c.err)
	var last *Batch
	err := c.streamOn(ctx, &dialStream{conn: conn, req: Request{Op: "batches", Batch: id, Follow: true},
		say: func(text string) { show.clear(); c.say(text) }, fn: func(r *Reply) error {
			if len(r.Batches) > 0 {
				last = r.Batches[0]
				show.take(last, time.Now())
			}
			return nil
		}})
	show.clear()
	switch {
	case ctx.Err() != nil && err != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"), hint: fmt.Sprintf(
			"the batch goes on: cdktr backfill %s shows it, cdktr cancel %s ends it", id, id)}
	case err != nil:
		return batchOld(err)
	case last == nil:
		return errNoReply
	}
	return batchOver(c, last)
}

// batchOver prints how a batch is, and gives the exit code of one that is over.
func batchOver(c *cli, b *Batch) error {
	var err error
	if c.flags.json {
		err = printJSON(c.out, b)
	} else {
		p := painterOf(c.err, c.flags.color, c.getenv)
		glyph, color := stateLooks(b.State)
		fmt.Fprintln(p.w, p.paint(color, glyph), p.paint("", fmt.Sprintf("batch %s of %s %s: %s", b.ID, b.Workflow,
			b.State, batchText(b))))
	}
	if err != nil || b.State == runRunning || b.State == runSucceeded {
		return err
	}
	return &exitError{code: exitFailed, hint: "cdktr ps --batch " + b.ID + " lists its runs"}
}

// batchText says how far a batch is.
func batchText(b *Batch) string {
	text := fmt.Sprintf("%d of %d done", b.ended(), b.Fires)
	for _, more := range []struct {
		n    int
		what string
	}{{b.Failed + b.Crashed, "failed"}, {b.Cancelled, runCancelled}, {b.Skipped, runSkipped}, {b.active(), "active"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	if b.Reason != "" {
		text += "; " + b.Reason
	}
	return text
}

// batchProgress shows how far a batch is: on a terminal in one line that is drawn again and again, elsewhere in a line
// for each hundredth part and each failure.
type batchProgress struct {
	out         io.Writer
	quiet, live bool
	width       int
	drawn       bool

	said, failed, begun int
	since               time.Time
}

func (p *batchProgress) take(b *Batch, now time.Time) {
	done, failed := b.ended(), b.Failed+b.Crashed
	if p.since.IsZero() {
		p.since, p.begun, p.said = now, done, -1
	}
	news := failed != p.failed || p.said < 0 || (done-p.said)*100 >= b.Fires
	if p.quiet || !p.live && !news {
		return
	}
	p.said, p.failed = done, failed
	text := textSafe(batchText(b))
	if n := done - p.begun; n > 0 && done < b.Fires && b.State == runRunning {
		text += fmt.Sprintf(", about %s to go", tookText(now.Sub(p.since).Seconds()/float64(n)*float64(b.Fires-done)))
	}
	if !p.live {
		io.WriteString(p.out, text+"\n")
		return
	}
	io.WriteString(p.out, "\r\x1b[K"+textCut(text, max(p.width-1, 10)))
	p.drawn = true
}

// clear takes the line away.
func (p *batchProgress) clear() {
	if p.drawn {
		io.WriteString(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
