// cli_run.go: the verb run. An ID is queued at a principal, and followed or waited for; a FILE runs at once within this
// process, with a principal and an agent of its own.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// runVerb is the entry of `run`.
func runVerb() cliVerb {
	return cliVerb{name: "run", other: "task run", args: "ID|FILE|-",
		help: "start a run of a workflow, or run a file here with no principal", run: doRun,
		more: `
A path (it has a slash, or ends in .yml, .yaml or .json) or - for standard input runs at once in this process: there is
no daemon, and nothing is kept unless --state says where. An ID is queued at the principal: on a terminal the run is
followed, else its id is printed (--detach).
Exit codes: 0 the run succeeded or was skipped by its if (or was queued, with --detach), 1 it did not, 2 bad usage or
file, 3 no principal, 5 refused.`,
		flags: func(f *cliFlags) {
			f.Var(&f.params, "p", "a parameter `NAME=VALUE`; may be given again")
			f.BoolVar(&f.follow, "follow", false, "show the run as it goes, and exit by its outcome")
			f.BoolVar(&f.wait, "wait", false, "wait until the run has ended, and exit by its outcome")
			f.BoolVar(&f.detach, "detach", false, "print the run's id and leave")
			f.BoolVar(&f.output, "output", false, "on a terminal: show all output of the tasks above their states")
			f.BoolVar(&f.taskName, "task-name", false, "put the task in front of each line of output")
			f.StringVar(&f.key, "key", "", "a repeat with the same `KEY` within 24 h starts nothing again")
			f.setting("state", "with a file: keep the state in `DIR`")
			f.setting("grace", "with a file: time between TERM and KILL (default 10s)")
		},
		examples: []string{
			"cdktr run ./backup.yml",
			"cdktr run etl.daily -p day=2026-01-31 --wait && echo loaded",
			"id=$(cdktr run etl.daily --detach)",
		}}
}

func doRun(ctx context.Context, c *cli, args []string) error {
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
	if name == execWorkflow {
		return &exitError{code: exitRefused, err: errors.New(name + " is no workflow: it is what cdktr exec has run"),
			hint: "cdktr retry RUN --all runs such a command again"}
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
	follow := c.flags.follow
	if !c.flags.wait && !c.flags.detach && !c.flags.json {
		_, _, terminal := termOf(c.out)
		follow = follow || terminal
	}
	r, err := conn.ask(ctx, Request{Op: "run", Workflow: name, Params: c.flags.params, Key: c.flags.key})
	switch {
	case ctx.Err() != nil && err != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"),
			hint: "cdktr ps --all shows whether a run has begun"}
	case err != nil:
		return err
	case follow:
		return c.followRun(ctx, conn, r.Run)
	case c.flags.wait:
		return c.waitRun(ctx, conn, r.Run)
	case c.flags.json:
		return printJSON(c.out, map[string]string{"run": r.Run})
	}
	return printText(c.out, r.Run)
}

const (
	runWhyQueued = 3 * time.Second // how often to ask why a queued run does not begin
	// how often to ask that of a run that has begun: it is queued again when its agent is lost, or for a retry
	runWhyBegun = time.Minute
)

// runWhy asks, beside a stream that waits for a run, why the run does not begin, and says each reason once.
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

// waitRun waits until a run has ended, and prints its JSON or its id. It asks for the run by its id: so a wait that is
// interrupted can say which run goes on, and one that lost its connection finds the run again.
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
		err = printText(c.out, id)
	}
	if err != nil {
		return err
	}
	return c.runEnded(run)
}

// runLeft is the error of a follower that is interrupted while the run goes on. The id is "" where there is no run yet.
func runLeft(id string) *exitError {
	left := &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	if id != "" {
		left.hint = fmt.Sprintf("the run goes on: cdktr logs -f %s shows it, cdktr cancel %s stops it", id, id)
	}
	return left
}

// runLost adds to an error that the principal went away that the run, which it had accepted, is not lost.
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
		err := printJSON(c.out, r)
		if err != nil && !errors.Is(err, syscall.EPIPE) { // the outcome counts even if nobody reads it
			return err
		}
	}
	if r.State == runSkipped && c.flags.wait && !c.flags.follow { // a success in which nothing was done
		fmt.Fprintf(c.err, "cdktr: run %s was skipped: %s\n", r.ID, r.Reason)
	}
	if runWell(r.State) {
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
	return followBehind(ctx, c, conn, id, 0)
}

// followBehind is followRun without the output up to a line's number.
func followBehind(ctx context.Context, c *cli, conn *client, id string, number int64) error {
	c.flags.follow = true
	view := progressNew(c)
	view.number = number
	say := c.say
	if !view.quiet { // the view must know of each line: it draws over its own
		say = func(text string) { view.take(&Reply{Note: text}) }
	}
	var run *Run
	err := c.streamOn(ctx, &dialStream{conn: conn, req: Request{Op: "wait", Run: id, Follow: true, All: view.live,
		N: protoMaxLines},
		beside: runWhy(id, say), say: say, fn: func(r *Reply) error {
			if len(r.Runs) > 0 {
				run = r.Runs[0]
			}
			err := view.take(r)
			if errors.Is(err, syscall.EPIPE) { // the outcome is not known: this is no orderly end
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

// runLocal runs a workflow file here and now, with a principal and an agent within this process. It keeps the state
// only where --state names a folder.
func runLocal(ctx context.Context, c *cli, name string) (err error) {
	w, err := c.loadFile(ctx, name)
	if err != nil {
		return err
	}
	files, err := runFamily(ctx, c, w, name)
	if err != nil {
		return err
	}
	c.settle()
	state, temporary := c.flags.set["state"], false
	if state == "" {
		state, err = os.MkdirTemp("", "cdktr-")
		if err != nil {
			return fmt.Errorf("make temporary state folder: %w", err)
		}
		temporary = true
		defer func() {
			if rm := os.RemoveAll(state); rm != nil && err == nil {
				err = fmt.Errorf("remove temporary state folder: %w", rm)
			}
		}()
	}
	state, err = filepath.Abs(state)
	if err != nil {
		return fmt.Errorf("find state folder: %w", err)
	}
	to := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelError})
	}
	q := serveErrOpen(c.err)
	q.telling(serveErrLost(to))
	defer q.close() // after h.stop
	log := slog.New(to(q))
	if !temporary {
		if err := c.ownState(state, log); err != nil {
			return err
		}
	}
	declared, err := c.cfg.pools()
	if err != nil {
		return err
	}
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: state, Forget: temporary, NoScheduler: true,
		Alone: true,
		Zone:  time.Local, Pools: poolsFor(files, declared),
		Log: log, turned: processorsByNeed(c.getenv)})
	if err != nil {
		return err
	}
	for i := range files { // the one agent does it all, whatever labels tasks ask for
		tasks := files[i].Spec.Tasks
		for k := range tasks {
			tasks[k].Agent = nil
		}
	}
	p.setFiles(files, nil)
	h := newHost(p)
	connect := func() *client { return &client{conn: h.connect(), endpoint: "this process"} }
	var kin *runKin // a run that starts no others costs nothing for it
	defer func() { err = errors.Join(err, kin.stop(h)) }()
	cfg, err := c.agentConfig(log)
	if err != nil {
		return err
	}
	cfg.StateDir, cfg.Fresh, cfg.Labels, cfg.DrainTimeout = state, temporary, w.Agent, 0
	if len(files) > 1 {
		kin = runKinNew(connect)
	} else {
		cfg.Capacity = 1
	}
	if err := h.startAgent(context.WithoutCancel(ctx), cfg, c.hurry); err != nil {
		return err
	}
	conn := connect()
	defer conn.close()
	return runFollowed(ctx, c, conn, w.ID, kin)
}

// runFollowed runs the workflow in this process to its end, with the runs that it starts. kin is nil where it starts
// none.
func runFollowed(ctx context.Context, c *cli, conn *client, id string, kin *runKin) error {
	outcome := c.followLocal(ctx, conn, id, kin)
	if kin == nil || ctx.Err() != nil {
		return outcome
	}
	if err := runStarted(ctx, c, conn); err != nil {
		return err
	}
	kin.wait(ctx, conn)
	return outcome
}

// runStarted waits for the runs that tasks with wait: false have started: they end with this process, and nobody else
// would take them up. How they end is said, and changes no exit code. It ends with the last of them, or with ctx.
func runStarted(ctx context.Context, c *cli, conn *client) error {
	for {
		r, err := conn.ask(ctx, Request{Op: "ps"})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(r.Runs, func(run *Run) bool { return runActive(run.State) })
		if at < 0 {
			return nil
		}
		run := r.Runs[at]
		c.say("waiting for run " + run.ID + " of " + run.Workflow + ", which it has started")
		err = conn.stream(ctx, Request{Op: "wait", Run: run.ID, Wait: true}, func(r *Reply) error {
			if len(r.Runs) > 0 {
				run = r.Runs[0]
			}
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return &exitError{code: exitInterrupted}
		case err != nil:
			return err
		case !runWell(run.State):
			c.say("run " + run.ID + " " + run.State + ": " + run.Reason)
		}
	}
}

// runFamily reads the workflows that a file's tasks start, from the files beside it, and puts the file in front. They
// all run here: the labels of an agent that the others ask for do not count.
func runFamily(ctx context.Context, c *cli, w *Workflow, name string) ([]workflowFile, error) {
	files := []workflowFile{{ID: w.ID, File: name, Spec: w}}
	if w.children() == nil {
		return files, nil
	}
	more, err := workflowFamily(ctx, w, name, func(name string) ([]byte, error) { return c.readFile(ctx, name) },
		func(file, id string, text []byte) (*Workflow, []workflowFault) {
			spec, faults, _ := workflowParseAt(file, id, text, defaultsAbove(ctx, c, file), workflowClock{})
			return spec, faults
		})
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	specs := map[string]*Workflow{w.ID: w}
	for _, f := range more {
		for _, fault := range f.Faults {
			printText(c.err, fault.String())
		}
		if f.Spec == nil {
			return nil, &exitError{code: exitUsage, err: fmt.Errorf("%s does not load", f.File)}
		}
		f.Spec.Agent = w.Agent
		specs[f.ID] = f.Spec
	}
	if loop := workflowLoops(specs)[w.ID]; loop != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("%s would start itself: %s", w.ID,
			strings.Join(loop, " -> "))}
	}
	return append(files, more...), nil
}

// followLocal runs the workflow and shows it, with what the runs write that kin follows. Interrupted, it cancels the
// run and waits for its tasks to end.
func (c *cli) followLocal(ctx context.Context, conn *client, id string, kin *runKin) error {
	c.flags.follow = true // with --json the run is printed at its end
	view := progressNew(c)
	if kin != nil {
		kin.view = view
	}
	var run *Run
	runID, sent := "", make(chan error, 1)
	unhook := func() bool { return true }
	err := conn.stream(context.WithoutCancel(ctx), Request{Op: "run", Workflow: id, Params: c.flags.params,
		Follow: true, All: view.live, N: protoMaxLines}, func(r *Reply) error {
		if len(r.Runs) > 0 {
			run = r.Runs[0]
		}
		if id := r.Run; id != "" && runID == "" {
			runID = id
			unhook = context.AfterFunc(ctx, func() { sent <- conn.send(Request{Op: "cancel", Run: id}) })
		}
		kin.note(r.Tasks, "", "")
		err := view.take(r)
		if errors.Is(err, syscall.EPIPE) { // a reader such as grep -q has gone: the run goes on to its outcome
			view.mute()
			return nil
		}
		return err
	})
	kin.wait(ctx, conn)
	view.end(run)
	if !unhook() && runID != "" {
		<-sent // it does not matter whether that was refused: the run has ended
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	failed := run != nil && !runWell(run.State)
	if failed && c.flags.wait && !c.flags.json {
		c.say(fmt.Sprintf("run %s: %s", run.State, run.Reason))
	}
	return c.runEnded(run)
}
