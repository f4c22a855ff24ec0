// cli_logs.go: the verbs logs and events: what tasks have written, and what has happened.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"
	"time"
	"unicode/utf8"
)

// logsVerb is the entry of `logs`.
func logsVerb() cliVerb {
	return cliVerb{name: "logs", other: "logs query", args: "[RUN|ID]",
		help: "print the output of a run, of a workflow's newest run, or of many runs", run: doLogs,
		more: `
Without RUN and ID it prints the output of all runs that fit, one run after the other, the oldest first. The newest
1000 of them are read: --since says how far back.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.follow, "f", false, "go on until the run ends")
			f.BoolVar(&f.follow, "follow", false, "the same as -f")
			f.StringVar(&f.task, "task", "", "of this `TASK` only")
			f.StringVar(&f.workflow, "workflow", "", "of many runs: of this `WORKFLOW`, or pattern, as 'etl.*'")
			f.StringVar(&f.state, "state", "", "of many runs: in this `STATE`")
			f.StringVar(&f.agent, "agent", "", "of many runs: that were on this `AGENT`, or a task of which was")
			f.Var(&f.labels, "l", "of many runs: on agents with this label `K=V`; may be given again")
			f.StringVar(&f.since, "since", "", "nothing older: a duration as 10m, or a time")
			f.StringVar(&f.grep, "grep", "", "lines that match this `REGEXP`")
			f.BoolVar(&f.stderr, "err", false, "standard error only")
			f.BoolVar(&f.raw, "raw", false, "on a terminal: bytes as they were")
			f.BoolVar(&f.time, "time", false, "put the time in front of each line")
			f.BoolVar(&f.taskName, "task-name", false, "put the task in front of each line")
			f.count(cliAll, "the last `N` lines only")
		},
		examples: []string{
			"cdktr logs etl.daily -f",
			"cdktr logs 01JD3V5K8Q2M4N6P8R0S2T4V6W --task load --err",
			"cdktr logs --workflow 'etl.*' --state failed --since 1d --grep 'ERROR|timeout'",
			"cdktr logs -l site=london --since 1h --json",
		}}
}

func doLogs(ctx context.Context, c *cli, args []string) error {
	if many, err := logsAreMany(c, args); many || err != nil {
		if err == nil {
			err = doLogsMany(ctx, c)
		}
		return err
	}
	req, err := c.logsRequest(args)
	if err != nil {
		return err
	}
	s := &dialStream{req: req, say: c.say}
	p := logsPrinterNew(c, &s.req)
	defer p.end()
	s.fn = p.reply
	err = c.streamOn(ctx, s)
	switch {
	case err != nil && ctx.Err() != nil && c.flags.follow:
		return runLeft(s.req.Run)
	case err != nil && c.flags.follow:
		return runLost(err, s.req.Run)
	}
	return err
}

// logsRequest makes the first request of the flags.
func (c *cli) logsRequest(args []string) (req Request, err error) {
	if len(args) == 2 && args[0] == "tail" { // CDKTR's word
		args, c.flags.follow = args[1:], true
	}
	if len(args) == 0 {
		return req, usageError("name a RUN, a workflow ID, or which runs: --since 1h, --workflow, --state, --agent, -l")
	}
	name, err := oneArg(args, "logs", "RUN or workflow ID")
	if err != nil {
		return req, err
	}
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return req, err
	}
	// checked here, because the principal's error would name a field of the request, not the flag
	if _, err := syntax.Parse(c.flags.grep, syntax.Perl); err != nil {
		return req, usageError("--grep %q is no regular expression: %w", textHead(c.flags.grep, cliEchoMost), err)
	}
	req = Request{Op: "logs", Follow: c.flags.follow, Task: c.flags.task, Grep: c.flags.grep, Since: since,
		Last: protoCountOf(c.flags.n), N: protoMaxLines}
	if c.flags.stderr {
		req.Stream = "e"
	}
	if isRunID(name) {
		req.Run = name
	} else {
		req.Workflow = name
	}
	return req, nil
}

// logsPrinter prints the lines that the principal sends. One goroutine uses it.
type logsPrinter struct {
	c        *cli
	req      *Request // what is asked next: what comes behind the lines that were printed
	number   int64    // of the newest of these
	workflow string   // of the run, where there are many
	terminal bool
	live     *logsLive // nil: lines that have not ended are not asked for

	paint *painter     // writes into page
	page  bytes.Buffer // what one reply prints, which is written at once: whole lines
	to    io.Writer
}

// logsPrinterNew makes a printer, and asks also for lines that have not ended where it can draw them.
func logsPrinterNew(c *cli, req *Request) *logsPrinter {
	p := &logsPrinter{c: c, req: req, paint: c.painter()}
	p.to, p.paint.w = p.paint.w, &p.page
	if c.flags.json {
		p.to = c.out
	}
	_, _, p.terminal = termOf(c.out)
	if p.terminal && c.flags.follow && c.getenv("TERM") != "dumb" && !c.flags.json && !c.flags.raw {
		req.All = true
		p.live = &logsLive{c: c, p: p.paint, lines: map[string]LogLine{}}
	}
	return p
}

// reply prints what a reply brings.
func (p *logsPrinter) reply(r *Reply) error {
	p.c.note(r)
	return errors.Join(r.eachLine(p.line), p.flush())
}

// line prints a line, but not one that came before.
func (p *logsPrinter) line(l *LogLine) error {
	if p.live != nil && l.N == 0 {
		return p.live.print(l)
	}
	if l.N <= p.number || p.c.flags.n == 0 && !p.c.flags.follow {
		return nil
	}
	p.number = l.N
	p.req.Run, p.req.Workflow, p.req.Last = l.Run, "", 0
	switch {
	case p.c.flags.json:
		if p.workflow != "" {
			return printJSON(&p.page, logsManyJSON{p.workflow, logJSONOf(l)})
		}
		return printJSON(&p.page, logJSONOf(l))
	case p.live != nil:
		return p.live.print(l)
	case p.workflow != "":
		named := *l
		named.Task = p.workflow + " " + l.Task
		if !p.terminal { // a terminal has a line for each run
			named.Task = p.workflow + " " + l.Run + " " + l.Task
		}
		l = &named
	}
	return p.c.printLogLine(p.paint, p.terminal, l)
}

// flush writes what was printed.
func (p *logsPrinter) flush() error {
	_, err := p.to.Write(p.page.Bytes())
	p.page.Reset()
	return err
}

// end takes what has not ended off the screen.
func (p *logsPrinter) end() {
	if p.live != nil {
		p.live.clear()
		p.flush()
	}
}

// printLogLine prints a line of output: with time and task in front on a terminal, bare in a pipe.
func (c *cli) printLogLine(p *painter, terminal bool, l *LogLine) error {
	pretty := terminal && !c.flags.raw // else the bytes are the task's own
	front := ""
	if c.flags.time || pretty {
		front = l.Time.Local().Format("15:04:05.000 ")
	}
	if c.flags.taskName || pretty {
		front += l.Task + ": "
	}
	color := ""
	if l.Stream == "e" {
		color = colorYellow
	}
	if front != "" {
		front = p.paint(colorDim, front)
	}
	text := string(l.raw())
	if pretty {
		text = termLogPlain(text)
	}
	_, err := fmt.Fprintln(p.w, front+p.tint(color, text))
	return err
}

// logsLive prints the lines of a run on a terminal. A line that has not ended, such as a progress bar, stands below the
// others and is drawn over until it ends. One goroutine uses it.
type logsLive struct {
	c     *cli
	p     *painter
	lines map[string]LogLine // the lines that have not ended, by stream and task
	shown string             // which of them is on the screen; "": none
}

// print prints a line that has ended, or draws one that has not. The latter has no number; an empty text removes it.
func (v *logsLive) print(l *LogLine) error {
	key := l.Stream + l.Task
	delete(v.lines, key)
	if err := v.clear(); err != nil {
		return err
	}
	if l.N == 0 {
		if l.Text == "" {
			return nil
		}
		v.lines[key] = *l
		return v.draw(key)
	}
	if err := v.c.printLogLine(v.p, true, l); err != nil {
		return err
	}
	for _, another := range sortedKeys(v.lines) {
		return v.draw(another)
	}
	return nil
}

// clear takes the line that has not ended off the screen.
func (v *logsLive) clear() error {
	if v.shown == "" {
		return nil
	}
	v.shown = ""
	_, err := fmt.Fprint(v.p.w, "\r\x1b[K")
	return err
}

// draw draws a line below the others. It shows only the end of a line that is longer than a row of the screen.
func (v *logsLive) draw(key string) error {
	l := v.lines[key]
	front, text := textSafe(l.Task)+": ", termLogPlain(l.Text)
	for room := max(v.p.width-1-textWidth(front), 1); textWidth(text) > room; {
		_, n := utf8.DecodeRuneInString(text)
		text = text[n:]
	}
	v.shown = key
	_, err := fmt.Fprint(v.p.w, v.p.tint(colorDim, front+text))
	return err
}

// eventsVerb is the entry of `events`.
func eventsVerb() cliVerb {
	return cliVerb{name: "events", help: "print the audit trail, as JSON lines", run: doEvents,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.follow, "f", false, "go on with what comes")
			f.BoolVar(&f.follow, "follow", false, "the same as -f")
			f.StringVar(&f.since, "since", "", "nothing older: a duration as 10m, or a time")
			f.Uint64Var(&f.seq, "seq", 0, "from this sequence `NUMBER` on")
			f.count(cliAll, "at most `N`")
		},
		examples: []string{
			"cdktr events --since 1h",
			"cdktr events -f | jq -c 'select(.e == \"run.finished\")'",
		}}
}

func doEvents(ctx context.Context, c *cli, args []string) error {
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	left := c.flags.n
	enough := errors.New("enough")
	err = conn.stream(ctx, Request{Op: "events", Follow: c.flags.follow, Since: since, Seq: c.flags.seq,
		N: protoCountOf(c.flags.n)}, func(r *Reply) error {
		for _, e := range r.Events {
			if left == 0 { // none is wanted
				return enough
			}
			if err := printJSON(c.out, e); err != nil {
				return err
			}
			left--
			if left == 0 {
				return enough
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, enough):
		return nil
	case ctx.Err() != nil && c.flags.follow: // the usual end of events -f
		return &exitError{code: exitInterrupted}
	}
	return err
}
