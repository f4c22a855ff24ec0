// cli_exec.go: the verb exec, which has the principal run one command, shows what that writes, and ends as it does.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
)

// Exit codes of exec that are not the command's. env, nohup and timeout have the same.
const (
	execExitTimeout = 124 // the command was stopped by --timeout
	execExitOwn     = 125 // cdktr failed, or the run was cancelled or crashed
	execExitStart   = 126 // the command could not be started
	execExitMissing = 127 // the agent has no such command
)

// execVerb is the entry of `exec`.
func execVerb() cliVerb {
	return cliVerb{name: "exec", args: "-- CMD [ARGS...]",
		help: "run one command on an agent, as a run that is recorded", run: doExec,
		more: `
What the command writes goes to standard output and standard error. It gets its arguments as they are, no shell reads
them, and it has no standard input. An agent with all of the labels does it. When this is interrupted the run goes on.
The run is one of the workflow /exec: ps, logs, show, cancel and retry know it.
Exit codes: the command's; 128 and its number if a signal ended it; 124 if the timeout did; 125 if cdktr itself failed,
or the run was cancelled or crashed; 126 the command cannot be started, 127 there is none; 130 interrupted.`,
		flags: func(f *cliFlags) {
			f.Var(&f.labels, "l", "a label `K=V` that the agent must have; may be given again")
			f.Var(&f.labels, "label", "the same as -l")
			f.StringVar(&f.name, "n", "", "a `NAME` for its task (default that of the command)")
			f.StringVar(&f.name, "name", "", "the same as -n")
			f.Func("timeout", "stop the command after `D`, as 90s or 2h", f.setTimeout)
			f.Var(&f.env, "env", "a variable `K=V` of the command; may be given again")
			f.StringVar(&f.cwd, "cwd", "", "start it in this `FOLDER` of the agent, an absolute path")
			f.BoolVar(&f.detach, "detach", false, "print the run's id and leave")
			f.StringVar(&f.key, "key", "", "a repeat with the same `KEY` within 24 h starts nothing again")
		},
		examples: []string{
			"cdktr exec -l site=london -- df -h /srv",
			"cdktr exec -n vacuum --timeout 2h -- psql -c 'VACUUM ANALYZE' && echo done",
			"id=$(cdktr exec --detach -- /usr/local/bin/resync --all)",
		}}
}

func doExec(ctx context.Context, c *cli, args []string) error {
	f := c.flags
	if len(args) == 0 || args[0] == "" {
		return usageError("exec takes a command behind --: cdktr exec -- CMD ARGS")
	}
	req := Request{Op: "exec", Args: args, Task: f.name, Env: f.env, Directory: f.cwd, Timeout: Duration(f.timeout),
		Labels: f.labels, Key: orDefault(f.key, "exec-"+runID(time.Now(), ""))}
	id, err := execStart(ctx, c, req)
	switch {
	case err != nil && ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: errors.New("interrupted"),
			hint: "cdktr ps --all shows whether the run has begun"}
	case err != nil:
		return err
	case f.detach && f.json:
		return printJSON(c.out, map[string]string{"run": id})
	case f.detach:
		return printText(c.out, id)
	}
	return execFollow(ctx, c, id)
}

// execStart has the command queued, and gives the id of its run. A connection that is lost before the answer came is
// made again: the key sees to it that there is one run.
func execStart(ctx context.Context, c *cli, req Request) (id string, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.patience+clientTimeout, &exitError{code: exitUnreachable,
		err: errors.New("the principal does not answer")})
	defer cancel()
	err = c.streamOn(limited, &dialStream{req: req, say: c.say, fn: func(r *Reply) error {
		id = r.Run
		return nil
	}})
	if err == nil && id == "" {
		err = errNoReply
	}
	return id, err
}

// execFollow shows what the command of a run writes, and ends as it does.
func execFollow(ctx context.Context, c *cli, id string) error {
	view, run := execViewNew(c), (*Run)(nil)
	err := c.streamOn(ctx, &dialStream{req: Request{Op: "wait", Run: id, Follow: true, N: protoMaxLines},
		beside: runWhy(id, c.say), say: c.say, fn: func(r *Reply) error {
			if len(r.Runs) > 0 {
				run = r.Runs[0]
			}
			err := view.take(r)
			if errors.Is(err, syscall.EPIPE) {
				left := runLeft(id)
				left.err = errors.New("nobody reads the output any more")
				return left
			}
			return err
		}})
	switch {
	case err != nil && ctx.Err() != nil:
		return runLeft(id)
	case err != nil:
		return runLost(err, id)
	case run == nil || len(run.Tasks) == 0:
		return errNoReply
	case c.flags.json:
		if err := printJSON(c.out, run); err != nil {
			return err
		}
	}
	return execEnded(run)
}

// execEnded makes the exit code of a run of a command.
func execEnded(r *Run) error {
	t := &r.Tasks[0]
	ended := &exitError{passed: true, err: fmt.Errorf("run %s %s: %s", r.ID, r.State, orDefault(t.Reason, r.Reason))}
	switch {
	case r.State == runSucceeded:
		return nil
	case r.State != runFailed:
		ended.code, ended.hint = execExitOwn, "cdktr show "+r.ID
	case strings.HasPrefix(t.Reason, "timed out"):
		ended.code = execExitTimeout
	case t.Exit == nil && strings.Contains(t.Reason, "not found"):
		ended.code = execExitMissing
	case t.Exit == nil:
		ended.code = execExitStart
	default:
		ended.code = *t.Exit
		if t.Reason == fmt.Sprintf("exit %d", *t.Exit) { // the command has said why
			ended.err = nil
		}
	}
	return ended
}

// execOwn gives an error of exec the code of its own errors, unless its code is a command's.
func execOwn(err error) error {
	exit := &exitError{}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		if exit.passed || exit.code == exitInterrupted {
			return err
		}
	default:
		exit = &exitError{}
	}
	return &exitError{code: execExitOwn, err: err, hint: exit.hint}
}

// execView prints the output of a command, each stream to its own.
type execView struct {
	c      *cli
	number int64 // of the newest line that was printed
	to     [2]io.Writer
	plain  [2]bool // the stream is a terminal
	page   bytes.Buffer
	at     int // the stream that the page is for
}

// execViewNew makes a view that has printed nothing yet.
func execViewNew(c *cli) *execView {
	v := &execView{c: c, to: [2]io.Writer{termRaw(c.out), termRaw(c.err)}}
	_, _, v.plain[0] = termOf(c.out)
	_, _, v.plain[1] = termOf(c.err)
	return v
}

// take prints what a reply brings.
func (v *execView) take(r *Reply) error {
	if v.c.flags.json {
		return nil
	}
	v.c.note(r)
	broken := r.eachLine(func(l *LogLine) error {
		if l.N <= v.number {
			return nil
		}
		v.number = l.N
		to := 0
		if l.Stream != "o" {
			to = 1
		}
		if to != v.at {
			if err := v.flush(); err != nil {
				return err
			}
			v.at = to
		}
		text := string(l.raw())
		if v.plain[to] {
			text = termLogPlain(text)
		}
		v.page.WriteString(text + "\n")
		return nil
	})
	return errors.Join(broken, v.flush())
}

// flush writes the page.
func (v *execView) flush() error {
	_, err := v.to[v.at].Write(v.page.Bytes())
	v.page.Reset()
	return err
}
