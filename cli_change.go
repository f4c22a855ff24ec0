// cli_change.go: the verbs that change one thing and have little to say: cancel, drain, undrain, forget, rescan.

package main

import (
	"context"
	"errors"
	"fmt"
)

// cancelVerb is the entry of `cancel`.
func cancelVerb() cliVerb {
	return cliVerb{name: "cancel", args: "RUN|BATCH", run: doCancel,
		help: "stop a run, or one task of it: TERM, and KILL after the grace",
		more: `
No further task starts, whatever its when. A run that a task waits for is cancelled too. Then on_exit runs; a second
cancel, or one with --force, ends that as well.

With --task the task ends as cancelled and is not tried again. Tasks that need its success are skipped; tasks with
when: failure or when: always run, and so do all that do not depend on it. The run then ends as failed, and its retries
do not start it again: use cdktr retry.

A BATCH of a backfill makes no more runs, and those that are active are cancelled.`,
		flags: func(f *cliFlags) {
			f.Func("task", "stop this `TASK` only, and let the rest of the run go on", func(id string) error {
				f.task = id
				if id == "" { // an empty variable of a script must not stop the whole run
					return errors.New("no task is named")
				}
				return nil
			})
			f.BoolVar(&f.force, "force", false, "kill at once, without TERM first")
		},
		examples: []string{
			"cdktr cancel 01JD3V5K8Q2M4N6P8R0S2T4V6W",
			"cdktr cancel 01JD3V5K8Q2M4N6P8R0S2T4V6W --task load",
			"cdktr ps --workflow etl.daily --json | jq -r .run | xargs -n1 cdktr cancel --force",
		}}
}

// approveVerb is the entry of `approve`.
func approveVerb() cliVerb {
	return cliVerb{name: "approve", args: "RUN [TASK]", help: "say yes to what a run waits for",
		run: doApprove("approve"),
		more: `
A task with approve waits for this. TASK is needed where several tasks of the run wait. Who may answer is said in the
workflow; else it is whoever may operate.`,
		flags: approveFlags,
		examples: []string{
			"cdktr approve 01JD3V5K8Q2M4N6P8R0S2T4V6W",
			"cdktr approve 01JD3V5K8Q2M4N6P8R0S2T4V6W ship --comment 'after the freeze'",
		}}
}

// rejectVerb is the entry of `reject`.
func rejectVerb() cliVerb {
	return cliVerb{name: "reject", args: "RUN [TASK]", help: "say no to what a run waits for: its task fails",
		run: doApprove("reject"), flags: approveFlags,
		examples: []string{"cdktr reject 01JD3V5K8Q2M4N6P8R0S2T4V6W --comment 'the tests were red'"}}
}

func approveFlags(f *cliFlags) {
	f.StringVar(&f.comment, "comment", "", "a `TEXT` that is kept with the answer")
}

// doApprove makes the verbs approve and reject.
func doApprove(verb string) func(context.Context, *cli, []string) error {
	return func(ctx context.Context, c *cli, args []string) error {
		task := ""
		if len(args) == 2 {
			task, args = args[1], args[:1]
		}
		id, err := oneArg(args, verb, "RUN")
		if err != nil {
			return err
		}
		done := map[string]string{"approve": "approved", "reject": "rejected"}[verb]
		if task != "" {
			done += " task " + task + " of"
		}
		return c.change(ctx, Request{Op: verb, Run: id, Task: task, Comment: c.flags.comment}, done+" run "+id)
	}
}

// drainVerb is the entry of `drain`.
func drainVerb() cliVerb {
	return cliVerb{name: "drain", args: "AGENT", help: "give an agent no more runs",
		run:      doAgent("drain", "no more runs for "),
		examples: []string{"cdktr drain edge-07", "cdktr drain edge-07 && cdktr ps"}}
}

// undrainVerb is the entry of `undrain`.
func undrainVerb() cliVerb {
	return cliVerb{name: "undrain", args: "AGENT", help: "give a drained agent runs again",
		run:      doAgent("undrain", "runs again for "),
		examples: []string{"cdktr undrain edge-07"}}
}

// forgetVerb is the entry of `forget`.
func forgetVerb() cliVerb {
	return cliVerb{name: "forget", args: "AGENT", help: "take an agent that is lost off the list",
		run: doAgent("forget", "forgot "), examples: []string{"cdktr forget edge-07"}}
}

// rescanVerb is the entry of `rescan`.
func rescanVerb() cliVerb {
	return cliVerb{name: "rescan", help: "have the principal look at its workflows folder at once", run: doRescan,
		more: `
The principal sees changes by itself, but on a network file system only within a minute. This verb answers once the
changes are in force. Exit codes: 0 all was read, 1 something could not be.`,
		examples: []string{"cdktr rescan", "git pull && cdktr rescan && cdktr ls"}}
}

// doCancel stops a run, or one task of it.
func doCancel(ctx context.Context, c *cli, args []string) error {
	id, err := oneArg(args, "cancel", "RUN or BATCH")
	if err != nil {
		return err
	}
	if isBatchID(id) {
		return c.change(ctx, Request{Op: "cancel", Batch: id, Task: c.flags.task, Force: c.flags.force},
			"cancelling batch "+id)
	}
	done := "cancelling run " + id
	if c.flags.task != "" {
		done = "cancelling task " + c.flags.task + " of run " + id
	}
	return c.change(ctx, Request{Op: "cancel", Run: id, Task: c.flags.task, Force: c.flags.force}, done)
}

// doAgent makes the verbs drain, undrain and forget. done goes before the agent's name.
func doAgent(verb, done string) func(context.Context, *cli, []string) error {
	return func(ctx context.Context, c *cli, args []string) error {
		name, err := oneArg(args, verb, "AGENT")
		if err != nil {
			return err
		}
		return c.change(ctx, Request{Op: verb, Agent: name}, done+name)
	}
}

// change asks for a change, and says what was done: as JSON, or in the words of done.
func (c *cli) change(ctx context.Context, req Request, done string) error {
	r, err := c.ask(ctx, req)
	if err != nil {
		return err
	}
	c.note(r)
	if c.flags.json {
		return printJSON(c.out, changeJSON{req.Op, req.Run, req.Batch, req.Task, req.Workflow, req.Agent})
	}
	_, err = fmt.Fprintln(c.err, done)
	return err
}

// changeJSON says what a verb did to what.
type changeJSON struct {
	Done     string `json:"done"`
	Run      string `json:"run,omitempty"`
	Batch    string `json:"batch,omitempty"`
	Task     string `json:"task,omitempty"`
	Workflow string `json:"workflow,omitempty"`
	Agent    string `json:"agent,omitempty"`
}

// doRescan makes the principal read its workflows folder, and says how many workflows there are.
func doRescan(ctx context.Context, c *cli, args []string) error {
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
