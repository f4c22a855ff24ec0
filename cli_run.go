// cli_run.go: the verbs that ask a principal to do something: run, cancel, retry, pause and their like, and logs.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp/syntax"
	"slices"
	"strings"
	"syscall"
	"time"
)

// runVerbs is the verbs that ask a principal to do something, and logs.
func runVerbs() []cliVerb {
	paramFlags := func(f *cliFlags) {
		f.Var(&f.params, "p", "a parameter `NAME=VALUE`; may be given again")
		f.BoolVar(&f.follow, "follow", false, "show the run as it goes, and exit by its outcome")
		f.BoolVar(&f.wait, "wait", false, "wait until the run has ended, and exit by its outcome")
		f.BoolVar(&f.detach, "detach", false, "print the run's id and leave")
		f.BoolVar(&f.output, "output", false, "on a terminal: show all output of the tasks above their states")
		f.BoolVar(&f.taskName, "task-name", false, "put the task in front of each line of output")
		f.StringVar(&f.key, "key", "", "a repeat with the same `KEY` within 24 h starts nothing again")
		f.setting("state", "with a file: keep the state in `DIR`")
		f.setting("grace", "with a file: time between TERM and KILL (default 10s)")
	}
	cancelFlags := func(f *cliFlags) {
		f.Func("task", "stop this `TASK` only, and let the rest of the run go on", func(id string) error {
			if f.task = id; id == "" { // a variable of a script that is empty must not stop the whole run
				return errors.New("no task is named")
			}
			return nil
		})
		f.BoolVar(&f.force, "force", false, "kill at once, without TERM first")
	}
	allFlag := func(help string) func(*cliFlags) {
		return func(f *cliFlags) { f.BoolVar(&f.all, "all", false, help) }
	}
	logFlags := func(f *cliFlags) {
		f.BoolVar(&f.follow, "f", false, "go on until the run ends")
		f.BoolVar(&f.follow, "follow", false, "the same as -f")
		f.StringVar(&f.task, "task", "", "of this `TASK` only")
		f.StringVar(&f.since, "since", "", "nothing older: a duration as 10m, or a time")
		f.StringVar(&f.grep, "grep", "", "lines that match this `REGEXP`")
		f.BoolVar(&f.stderr, "err", false, "standard error only")
		f.BoolVar(&f.raw, "raw", false, "on a terminal: bytes as they were")
		f.BoolVar(&f.time, "time", false, "put the time in front of each line")
		f.BoolVar(&f.taskName, "task-name", false, "put the task in front of each line")
		f.count(cliAll, "the last `N` lines only")
	}
	return []cliVerb{
		{name: "run", other: "task run", args: "ID|FILE|-",
			help: "start a run of a workflow, or run a file here with no principal", run: runRun, flags: paramFlags,
			more: "A path (it has a slash, or ends in .yml, .yaml or .json) or - for standard input runs at " +
				"once in this process: no\ndaemon, nothing kept unless --state says where. An ID is queued at the " +
				"principal; on a terminal the run is followed,\nelse its id is printed (--detach).\nExit codes: 0 " +
				"the run succeeded (or was queued, with --detach), 1 it did not, 2 bad usage or file, 3 no " +
				"principal, 5 refused.",
			examples: []string{"cdktr run ./backup.yml", "cdktr run etl.daily -p day=2026-01-31 --wait && echo loaded",
				"id=$(cdktr run etl.daily --detach)"}},
		{name: "cancel", args: "RUN", help: "stop a run, or one task of it: TERM, and KILL after the grace",
			run: runChange("cancel"), flags: cancelFlags,
			more: "A task that is stopped ends as cancelled and is not tried again. What needs its success is " +
				"skipped, what has when: failure\nor always runs, and so does all that does not depend on it; the " +
				"run then ends as failed, and its retries do not begin it\nagain: cdktr retry does.",
			examples: []string{"cdktr cancel 01JD3V5K8Q2M4N6P8R0S2T4V6W",
				"cdktr cancel 01JD3V5K8Q2M4N6P8R0S2T4V6W --task load",
				"cdktr ps --workflow etl.daily --json | jq -r .run | xargs -n1 cdktr cancel --force"}},
		{name: "retry", args: "RUN", help: "run again what failed in a run that has ended, and all behind it",
			run: runChange("retry"), flags: allFlag("run all of it again"),
			examples: []string{"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W",
				"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W --all"}},
		{name: "logs", other: "logs query", args: "RUN|ID",
			help: "print the output of a run, or of a workflow's newest run", run: runLogs, flags: logFlags,
			examples: []string{"cdktr logs etl.daily -f", "cdktr logs 01JD3V5K8Q2M4N6P8R0S2T4V6W --task load --err",
				"cdktr logs etl.daily --grep 'ERROR|timeout' -n 20"}},
		{name: "pause", args: "ID|--all", help: "stop the schedule of a workflow", run: runChange("pause"),
			flags:    allFlag("every workflow"),
			examples: []string{"cdktr pause etl.daily", "cdktr pause --all"}},
		{name: "resume", args: "ID|--all", help: "start the schedule of a workflow again", run: runChange("resume"),
			flags:    allFlag("every workflow"),
			examples: []string{"cdktr resume etl.daily", "cdktr resume --all"}},
		{name: "rescan", help: "have the principal look at its workflows folder at once", run: runRescan,
			more: "It sees changes by itself, but on a file system over a network only within a minute. This " +
				"answers when what has changed is\nin force. Exit codes: 0 all was read, 1 something could not be.",
			examples: []string{"cdktr rescan", "git pull && cdktr rescan && cdktr ls"}},
		{name: "drain", args: "AGENT", help: "give an agent no more runs", run: runChange("drain"),
			examples: []string{"cdktr drain edge-07", "cdktr drain edge-07 && cdktr ps"}},
		{name: "undrain", args: "AGENT", help: "give a drained agent runs again", run: runChange("undrain"),
			examples: []string{"cdktr undrain edge-07"}},
		{name: "forget", args: "AGENT", help: "take an agent that is lost off the list", run: runChange("forget"),
			examples: []string{"cdktr forget edge-07"}},
	}
}

// ask does one request on a connection of its own.
func (c *cli) ask(ctx context.Context, req Request) (*Reply, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(ctx, req)
}

// askAt does one request on a connection of its own to a socket of this box.
func (c *cli) askAt(ctx context.Context, endpoint string, req Request) (*Reply, error) {
	conn, err := clientDial(ctx, endpoint, wireOptions{})
	if err != nil {
		return nil, err
	}
	defer conn.close()
	return conn.ask(ctx, req)
}

// say prints a remark on standard error.
func (c *cli) say(text string) { fmt.Fprintln(c.err, "cdktr: "+textSafe(text)) }

// note prints what the principal remarks on a reply, on standard error.
func (c *cli) note(r *Reply) {
	if r.Note != "" {
		c.say(r.Note)
	}
}

// oneArg gives the only argument of a verb.
func oneArg(args []string, verb, what string) (string, error) {
	if len(args) != 1 {
		return "", &exitError{code: exitUsage, err: fmt.Errorf("%s takes one %s, not %d", verb, what, len(args)),
			hint: "cdktr " + verb + " --help"}
	}
	return args[0], nil
}

// isRunID says whether an argument is a run's id rather than a workflow's.
func isRunID(text string) bool {
	return len(text) == 26 && strings.Trim(text, ulidDigits) == "" && text[0] <= '7'
}

// isFile says whether the argument of run is a file rather than a workflow's id.
func isFile(text string) bool {
	ext := strings.ToLower(filepath.Ext(text))
	return text == "-" || strings.Contains(text, "/") || slices.Contains([]string{".yml", ".yaml", ".json"}, ext)
}

func runRun(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "run", "workflow ID or FILE")
	if err != nil && len(args) > 1 && strings.Contains(args[1], "=") {
		return &exitError{code: exitUsage, err: err, hint: "did you mean -p " + textHead(args[1], cliEchoMost) + "?"}
	}
	if err != nil {
		return err
	}
	if c.flags.detach && (c.flags.wait || c.flags.follow) {
		return usageError("--detach leaves at once: it cannot go with --wait or --follow")
	}
	if err := paramsFault(c.flags.params); err != nil {
		return usageError("-p: %w", err)
	}
	if isFile(name) {
		if c.flags.detach {
			return usageError("a file runs within this process: it cannot be detached (start a principal and run it " +
				"by its id)")
		}
		if c.flags.key != "" {
			return usageError("--key is for runs of a principal: nothing remembers it when a file runs within this " +
				"process")
		}
		return runLocal(ctx, c, name)
	}
	conn, err := c.dial(ctx)
	if err != nil {
		if _, stat := os.Stat(name); stat == nil {
			return errors.Join(err, fmt.Errorf("to run the file %s in this process write ./%s", name, name))
		}
		return err
	}
	defer conn.close()
	_, _, terminal := termOf(c.out)
	r, err := conn.ask(ctx, Request{Op: "run", Workflow: name, Params: c.flags.params, Key: c.flags.key})
	switch {
	case ctx.Err() != nil && err != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"),
			hint: "cdktr ps --all shows whether a run has begun"}
	case err != nil:
		return err
	case c.flags.follow || terminal && !c.flags.wait && !c.flags.detach && !c.flags.json:
		return c.followRun(ctx, conn, r.Run)
	case c.flags.wait:
		return c.waitRun(ctx, conn, r.Run)
	case c.flags.json:
		return printJSON(c.out, map[string]string{"run": r.Run})
	}
	_, err = fmt.Fprintln(c.out, r.Run)
	return err
}

const (
	runWhyQueued = 3 * time.Second // a run that is queued so long is asked why, and again after as long
	// one that has begun is asked so often: it is queued again when its agent is lost, or it is retried
	runWhyBegun = time.Minute
)

// runWhy asks, beside a stream that waits for a run, why that does not begin, and says so; once for each reason.
func runWhy(id string, say func(string)) *clientBeside {
	said := ""
	return &clientBeside{req: Request{Op: "show", Run: id}, delay: runWhyQueued, fn: func(r *Reply) time.Duration {
		if len(r.Runs) == 0 || r.Runs[0].State != runQueued {
			said = ""
			return runWhyBegun
		}
		if reason := r.Runs[0].Reason; reason != "" && reason != said {
			said = reason
			say("run " + id + " is queued: " + reason)
		}
		return runWhyQueued
	}}
}

// waitRun waits until a run has ended, and prints it: JSON, or its id. It is asked for by its id, so that an
// interrupted wait can say which run it leaves alone, and one that lost its connection finds the run again.
func (c *cli) waitRun(ctx context.Context, conn *client, id string) error {
	var run *Run
	err := c.streamOn(ctx, &dialStream{conn: conn, req: Request{Op: "wait", Run: id, Wait: true},
		beside: runWhy(id, c.say), say: c.say, fn: func(r *Reply) error {
			if len(r.Runs) > 0 {
				run = r.Runs[0]
			}
			return nil
		}})
	switch {
	case err != nil && ctx.Err() != nil:
		return runLeft(id)
	case err != nil:
		return runLost(err, id)
	case run == nil:
		return errNoReply
	case c.flags.json:
		err = printJSON(c.out, run)
	default:
		_, err = fmt.Fprintln(c.out, id)
	}
	if err != nil {
		return err
	}
	return c.runEnded(run)
}

// runLeft is what an interrupted follower says of the run that it leaves alone; the id is "" while there is none.
func runLeft(id string) *exitError {
	left := &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	if id != "" {
		left.hint = fmt.Sprintf("the run goes on: cdktr logs -f %s shows it, cdktr cancel %s stops it", id, id)
	}
	return left
}

// runLost says, when the principal went away, that a run which it has acknowledged did not go with it.
func runLost(err error, id string) error {
	if lost, ok := errors.AsType[*exitError](err); ok && lost.code == exitUnreachable && id != "" {
		lost.hint = "the run is not lost: when there is a principal again, cdktr show " + id + " tells of it"
	}
	return err
}

// runEnded makes the exit code of a run that has ended.
func (c *cli) runEnded(r *Run) error {
	switch {
	case r == nil:
		return errNoReply
	case c.flags.json && c.flags.follow:
		if err := printJSON(c.out, r); err != nil && !errors.Is(err, syscall.EPIPE) { // the outcome counts all the same
			return err
		}
	}
	if r.State == runSucceeded {
		return nil
	}
	if c.flags.wait && !c.flags.follow {
		text := "run " + r.ID + " " + r.State
		if r.Reason != "" {
			text += ": " + r.Reason
		}
		return &exitError{code: exitFailed, err: errors.New(text), hint: "cdktr logs " + r.ID}
	}
	return &exitError{code: exitFailed}
}

// followRun shows a run until it ends. Interrupted, it leaves the run alone and says so.
func (c *cli) followRun(ctx context.Context, conn *client, id string) error {
	c.flags.follow = true
	view := progressNew(c)
	say := c.say
	if !view.quiet { // what is drawn over must know of it
		say = func(text string) { view.take(&Reply{Note: text}) }
	}
	var run *Run
	number := int64(0)
	err := c.streamOn(ctx, &dialStream{conn: conn, req: Request{Op: "wait", Run: id, Follow: true, All: view.live},
		beside: runWhy(id, say), say: say, fn: func(r *Reply) error {
			if len(r.Runs) > 0 {
				run = r.Runs[0]
			}
			if r.Line != nil && r.Line.N > 0 {
				if r.Line.N <= number {
					return nil
				}
				number = r.Line.N
			}
			err := view.take(r)
			if errors.Is(err, syscall.EPIPE) { // no outcome is known, so this is not an end in order
				left := runLeft(id)
				left.err = errors.New("nobody reads the output any more")
				return left
			}
			return err
		}})
	view.end(run)
	switch {
	case err != nil && ctx.Err() != nil:
		return runLeft(id)
	case err != nil:
		return runLost(err, id)
	}
	return c.runEnded(run)
}

// runChange makes the verbs that change one thing and have little to say.
func runChange(op string) func(context.Context, *cli, []string) error {
	return func(ctx context.Context, c *cli, args []string) error {
		req := Request{Op: op, Force: c.flags.force, All: c.flags.all}
		done := ""
		switch op {
		case "cancel", "retry":
			id, err := oneArg(args, op, "RUN")
			if err != nil {
				return err
			}
			req.Run, req.Task = id, c.flags.task
			done = map[string]string{"cancel": "cancelling run " + id, "retry": "run " + id + " is queued again"}[op]
			if req.Task != "" {
				done = "cancelling task " + req.Task + " of run " + id
			}
		case "pause", "resume":
			if c.flags.all && len(args) == 0 {
				args = []string{""}
			} else if c.flags.all {
				return usageError("%s takes an ID or --all, not both", op)
			}
			id, err := oneArg(args, op, "workflow ID (or --all)")
			if err != nil {
				return err
			}
			req.Workflow = id
			done = op + "d " + orDefault(id, "all schedules")
		default:
			name, err := oneArg(args, op, "AGENT")
			if err != nil {
				return err
			}
			req.Agent = name
			done = map[string]string{"drain": "no more runs for ", "undrain": "runs again for ",
				"forget": "forgot "}[op] + name
		}
		r, err := c.ask(ctx, req)
		if err != nil {
			return err
		}
		c.note(r)
		if c.flags.json {
			return printJSON(c.out, changeJSON{op, req.Run, req.Task, req.Workflow, req.Agent})
		}
		_, err = fmt.Fprintln(c.err, done)
		return err
	}
}

// runRescan has the workflows folder read, and says what there is.
func runRescan(ctx context.Context, c *cli, args []string) error {
	r, err := c.ask(ctx, Request{Op: "rescan"})
	if err != nil {
		return err
	}
	if c.flags.json {
		err = printJSON(c.out, rescanJSON{r.Count, r.Note})
	} else if r.Note == "" {
		_, err = fmt.Fprintf(c.err, "read the workflows folder: %s\n", countText(r.Count, "workflow"))
	}
	if err == nil && r.Note != "" {
		err = &exitError{code: exitFailed, err: errors.New(r.Note)}
	}
	return err
}

// rescanJSON says what a rescan has found.
type rescanJSON struct {
	Workflows int    `json:"workflows"`
	Note      string `json:"note,omitempty"`
}

// changeJSON says what a verb did to what.
type changeJSON struct {
	Done     string `json:"done"`
	Run      string `json:"run,omitempty"`
	Task     string `json:"task,omitempty"`
	Workflow string `json:"workflow,omitempty"`
	Agent    string `json:"agent,omitempty"`
}

// sinceOf reads a --since: a duration before now, or a time.
func sinceOf(text string, now time.Time) (Stamp, error) {
	if text == "" {
		return Stamp{}, nil
	}
	if d, err := parseDuration(text); err == nil {
		return stampOf(now.Add(-d)), nil
	}
	t, err := timeOf(text, time.Local)
	if err != nil {
		return Stamp{}, usageError("%q is neither a time nor how long ago: write it as 2026-01-31T02:30, 90m or 2d",
			textHead(text, cliEchoMost))
	}
	return stampOf(t), nil
}

// timeOf reads a time as people write it: RFC 3339, or a date with or without a time of day in the given zone.
func timeOf(text string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError("%q is not a time: write it as 2026-01-31T02:30, or with a zone as "+
		"2026-01-31T02:30:00Z", textHead(text, cliEchoMost))
}

func runLogs(ctx context.Context, c *cli, args []string) error {
	if len(args) == 2 && args[0] == "tail" { // CDKTR's word
		args, c.flags.follow = args[1:], true
	}
	name, err := oneArg(args, "logs", "RUN or workflow ID")
	if err != nil {
		return err
	}
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return err
	}
	// the principal compiles it, and calls it by the name that requests have
	if _, err := syntax.Parse(c.flags.grep, syntax.Perl); err != nil {
		return usageError("--grep %q is no regular expression: %w", textHead(c.flags.grep, cliEchoMost), err)
	}
	s := &dialStream{say: c.say}
	req := &s.req
	*req = Request{Op: "logs", Follow: c.flags.follow, Task: c.flags.task, Grep: c.flags.grep, Since: since,
		Last: protoCountOf(c.flags.n), N: protoMaxLines}
	if c.flags.stderr {
		req.Stream = "e"
	}
	if isRunID(name) {
		req.Run = name
	} else {
		req.Workflow = name
	}
	_, _, terminal := termOf(c.out)
	paint := painterOf(c.out, c.flags.color, c.getenv)
	var page bytes.Buffer // what one reply prints is written at once: whole lines
	to := paint.w
	if paint.w = &page; c.flags.json {
		to = c.out
	}
	flush := func() error {
		_, err := to.Write(page.Bytes())
		page.Reset()
		return err
	}
	run, number := req.Run, int64(0)
	live := lookLive{c: c, p: paint, lines: map[string]LogLine{}}
	req.All = terminal && c.flags.follow && !c.flags.json && !c.flags.raw && c.getenv("TERM") != "dumb"
	defer func() {
		live.clear()
		flush()
	}()
	line := func(l *LogLine) error {
		if req.All && l.N == 0 {
			return live.print(l)
		}
		if l.N <= number || c.flags.n == 0 && !c.flags.follow {
			return nil
		}
		run, number = l.Run, l.N
		req.Run, req.Workflow, req.Last = run, "", 0
		switch {
		case c.flags.json:
			return printJSON(&page, logJSONOf(l))
		case req.All:
			return live.print(l)
		}
		return c.printLogLine(paint, terminal, l)
	}
	s.fn = func(r *Reply) error {
		c.note(r)
		return errors.Join(r.eachLine(line), flush())
	}
	err = c.streamOn(ctx, s)
	switch {
	case err != nil && ctx.Err() != nil && c.flags.follow:
		return runLeft(run)
	case err != nil && c.flags.follow:
		return runLost(err, run)
	}
	return err
}

// printLogLine prints a line of output: with time and task in front on a terminal, bare in a pipe.
func (c *cli) printLogLine(p *painter, terminal bool, l *LogLine) error {
	text := string(l.raw())
	if terminal && !c.flags.raw {
		text = termLogPlain(text)
	}
	front := ""
	if c.flags.time || terminal && !c.flags.raw {
		front = l.Time.Local().Format("15:04:05.000 ")
	}
	if c.flags.taskName || terminal && !c.flags.raw {
		front += textSafe(l.Task) + ": "
	}
	color := ""
	if l.Stream == "e" {
		color = colorYellow
	}
	if front != "" {
		front = p.paint(colorDim, front)
	}
	_, err := fmt.Fprintln(p.w, front+p.paint(color, text))
	return err
}
