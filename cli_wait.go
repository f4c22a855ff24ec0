// cli_wait.go: the verb wait, which waits for the end of runs.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	waitMaxID = 256 // bytes that an id on standard input may have; a longer line is no id
	// remarks on why runs do not begin: of thousands that wait for the same agent a few are enough
	waitMaxSaid = 20
)

// waitVerb is the entry of `wait`.
func waitVerb() cliVerb {
	return cliVerb{name: "wait", args: "RUN...|-", help: "wait for the end of runs, and exit by the worst of them",
		run: doWait,
		more: `
A line is printed for each run as it ends, with --json the run. With - the ids are read from standard input, one a line.
A principal that restarts is found again.
Exit codes: 0 all succeeded or were skipped by their if, 1 one did not, or the timeout came first, 5 one is not known.`,
		flags: func(f *cliFlags) { f.Func("timeout", "wait no longer than `D`, as 90s or 2h", f.setTimeout) },
		examples: []string{
			"cdktr wait 01JD3V5K8Q2M4N6P8R0S2T4V6W && echo loaded",
			"cdktr ps --workflow etl.daily --json | jq -r .run | cdktr wait - --timeout 2h",
			"cdktr wait $a $b --json | jq -r .state",
		}}
}

// setTimeout is the value of a flag --timeout.
func (f *cliFlags) setTimeout(text string) (err error) {
	f.timeout, err = parseDuration(text)
	if err == nil && f.timeout <= 0 {
		err = errors.New("want more than 0: leave it out to wait without an end")
	}
	return err
}

// errWaitTimeout is the cause of a wait that its --timeout has ended.
var errWaitTimeout = errors.New("timeout")

// waiting is the runs that wait waits for. It belongs to the goroutine of manyAsks.run.
type waiting struct {
	c     *cli
	paint *painter
	page  bytes.Buffer      // lines that are not written yet
	open  map[string]string // asked and not ended: why it was said not to begin, "" where that was not said
	bar   bool              // there is a line on the terminal that counts
	drawn bool              // it is there now

	asked, bad, unknown, said int
}

func doWait(ctx context.Context, c *cli, args []string) error {
	if len(args) == 0 {
		return &exitError{code: exitUsage, err: errors.New("wait takes one RUN or more, or - for standard input"),
			hint: "cdktr wait --help"}
	}
	if d := c.flags.timeout; d > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, d, errWaitTimeout)
		defer cancel()
		ctx = limited
	}
	w := &waiting{c: c, paint: c.painter(), open: map[string]string{}}
	_, _, w.bar = termOf(c.err)
	w.bar = w.bar && c.getenv("TERM") != "dumb" && !c.flags.json
	next, quit := make(chan *manyAsk), make(chan struct{})
	defer close(quit)
	var broken error // of standard input; it is read when next is closed
	go func() {      // ends with the ids, or with the verb
		defer close(next)
		put := func(id string) bool {
			select {
			case next <- &manyAsk{req: Request{Op: "wait", Run: id, Wait: true}}:
				return true
			case <-quit:
				return false
			}
		}
		for _, id := range args {
			if id == "-" {
				broken = manyLines(c.in, waitMaxID, func(line int, id string, long bool) bool {
					if long {
						id = fmt.Sprintf("of line %d, which is too long", line)
					}
					id = strings.TrimSpace(id)
					return id == "" || put(id)
				})
			} else if !put(id) {
				return
			}
		}
	}()
	m := &manyAsks{c: c, next: next, asked: w.ask, took: w.take, idle: w.idle, say: w.say,
		beside: &clientBeside{req: Request{Op: "ps", State: runQueued, N: opsPage}, delay: runWhyQueued, fn: w.why}}
	err := m.run(ctx)
	if err == nil {
		err = broken
	}
	w.wipe()
	return w.outcome(ctx, errors.Join(err, w.flush()))
}

// ask notes a run that is asked for.
func (w *waiting) ask(one *manyAsk) {
	w.asked++
	w.open[one.req.Run] = ""
}

// take prints how a run has ended.
func (w *waiting) take(one *manyAsk) error {
	id := one.req.Run
	delete(w.open, id)
	switch {
	case one.refused != nil && one.refused.Code == codeNotAllowed:
		return one.refused
	case one.refused != nil:
		w.unknown++
		w.say(textHead(id, cliEchoMost) + ": " + one.refused.Message)
		return nil
	case len(one.reply.Runs) == 0:
		return errNoReply
	}
	r := one.reply.Runs[0]
	if !runWell(r.State) {
		w.bad++
	}
	if w.c.flags.json {
		return printJSON(&w.page, r)
	}
	_, err := fmt.Fprintln(&w.page, w.paint.watchedRun(protoRowOf(r)))
	return err
}

// idle writes what was printed, and draws the line that counts.
func (w *waiting) idle() error {
	if w.page.Len() > 0 {
		w.wipe()
	}
	err := w.flush()
	if w.bar && !w.drawn && len(w.open) > 0 {
		w.drawn = true
		fmt.Fprintf(w.c.err, "waiting: %d of %s over", w.asked-len(w.open), countText(w.asked, "run"))
	}
	return err
}

// flush writes the lines that were printed.
func (w *waiting) flush() error {
	_, err := w.paint.w.Write(w.page.Bytes())
	w.page.Reset()
	return err
}

// wipe takes the line that counts off the terminal.
func (w *waiting) wipe() {
	if w.drawn {
		w.drawn = false
		io.WriteString(termRaw(w.c.err), "\r\x1b[K")
	}
}

// say prints a remark on standard error.
func (w *waiting) say(text string) {
	w.wipe()
	w.c.say(text)
}

// why says of runs that are queued why they do not begin, each reason once.
func (w *waiting) why(r *Reply) time.Duration {
	delay := runWhyBegun
	for _, run := range r.Runs {
		said, ours := w.open[run.ID]
		if !ours {
			continue
		}
		delay = runWhyQueued
		if run.Reason != "" && run.Reason != said && w.said < waitMaxSaid {
			w.open[run.ID] = run.Reason
			w.said++
			w.say("run " + run.ID + " is queued: " + run.Reason)
		}
	}
	return delay
}

// outcome makes the exit code.
func (w *waiting) outcome(ctx context.Context, err error) error {
	left := countText(len(w.open), "run") + " had not ended"
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errWaitTimeout):
		return &exitError{code: exitFailed, err: fmt.Errorf("timeout after %s: %s", Duration(w.c.flags.timeout), left),
			hint: "they go on: cdktr ps shows them"}
	case err != nil && ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: fmt.Errorf("interrupted: %s", left),
			hint: "they go on: cdktr ps shows them"}
	case err != nil:
		return err
	case w.unknown > 0:
		return &exitError{code: exitRefused, err: fmt.Errorf("%s could not be waited for", countText(w.unknown, "id"))}
	case w.bad > 0:
		return &exitError{code: exitFailed,
			err: fmt.Errorf("%d of %s did not succeed", w.bad, countText(w.asked, "run"))}
	}
	return nil
}
