// cli_change.go: the verbs that change one thing and have little to say: cancel, retry, pause, resume, drain, undrain,
// forget, rescan.

package main

import (
	"context"
	"errors"
	"fmt"
)

// cancelVerb is the entry of `cancel`.
func cancelVerb() cliVerb {
	return cliVerb{name: "cancel", args: "RUN", help: "stop a run, or one task of it: TERM, and KILL after the grace",
		run: doChange("cancel"),
		more: `
A task that is stopped ends as cancelled and is not tried again. Tasks that need its success are skipped; tasks with
when: failure or when: always run, and so do all that do not depend on it. The run then ends as failed, and its retries
do not start it again: use cdktr retry.`,
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

// retryVerb is the entry of `retry`.
func retryVerb() cliVerb {
	return cliVerb{name: "retry", args: "RUN", help: "run again what failed in a run that has ended, and all behind it",
		run:   doChange("retry"),
		flags: func(f *cliFlags) { f.BoolVar(&f.all, "all", false, "run all of it again") },
		examples: []string{
			"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W",
			"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W --all",
		}}
}

// pauseVerb is the entry of `pause`.
func pauseVerb() cliVerb {
	return cliVerb{name: "pause", args: "ID|--all", help: "stop the schedule of a workflow", run: doChange("pause"),
		flags:    func(f *cliFlags) { f.BoolVar(&f.all, "all", false, "every workflow") },
		examples: []string{"cdktr pause etl.daily", "cdktr pause --all"}}
}

// resumeVerb is the entry of `resume`.
func resumeVerb() cliVerb {
	return cliVerb{name: "resume", args: "ID|--all", help: "start the schedule of a workflow again",
		run:      doChange("resume"),
		flags:    func(f *cliFlags) { f.BoolVar(&f.all, "all", false, "every workflow") },
		examples: []string{"cdktr resume etl.daily", "cdktr resume --all"}}
}

// drainVerb is the entry of `drain`.
func drainVerb() cliVerb {
	return cliVerb{name: "drain", args: "AGENT", help: "give an agent no more runs", run: doChange("drain"),
		examples: []string{"cdktr drain edge-07", "cdktr drain edge-07 && cdktr ps"}}
}

// undrainVerb is the entry of `undrain`.
func undrainVerb() cliVerb {
	return cliVerb{name: "undrain", args: "AGENT", help: "give a drained agent runs again", run: doChange("undrain"),
		examples: []string{"cdktr undrain edge-07"}}
}

// forgetVerb is the entry of `forget`.
func forgetVerb() cliVerb {
	return cliVerb{name: "forget", args: "AGENT", help: "take an agent that is lost off the list",
		run: doChange("forget"), examples: []string{"cdktr forget edge-07"}}
}

// rescanVerb is the entry of `rescan`.
func rescanVerb() cliVerb {
	return cliVerb{name: "rescan", help: "have the principal look at its workflows folder at once", run: doRescan,
		more: `
The principal sees changes by itself, but on a network file system only within a minute. This verb answers once the
changes are in force. Exit codes: 0 all was read, 1 something could not be.`,
		examples: []string{"cdktr rescan", "git pull && cdktr rescan && cdktr ls"}}
}

// doChange makes the verbs that change one thing and have little to say.
func doChange(op string) func(context.Context, *cli, []string) error {
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

// changeJSON says what a verb did to what.
type changeJSON struct {
	Done     string `json:"done"`
	Run      string `json:"run,omitempty"`
	Task     string `json:"task,omitempty"`
	Workflow string `json:"workflow,omitempty"`
	Agent    string `json:"agent,omitempty"`
}

// doRescan has the workflows folder read, and says what there is.
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
