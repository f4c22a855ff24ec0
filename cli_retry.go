// cli_retry.go: the verb retry, which runs again what failed in a run, or what somebody names, or says what that would
// do.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// retryVerb is the entry of `retry`.
func retryVerb() cliVerb {
	return cliVerb{name: "retry", args: "RUN", help: "run again what failed in a run that has ended, and all behind it",
		run: doRetry,
		more: `
What succeeded is not done again, its outputs are used again. With --from a task that succeeded runs again too, and all
behind it. The run does what the workflow's file said when it was queued; --dry-run says what has changed since.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.all, "all", false, "run all of it again")
			f.Func("from", "run this `TASK` and all behind it again too", func(id string) error {
				f.from = id
				if id == "" {
					return errors.New("no task is named")
				}
				return nil
			})
			f.BoolVar(&f.dryRun, "dry-run", false, "only say what would run, and what the file says otherwise now")
			f.BoolVar(&f.follow, "follow", false, "show the run as it goes, and exit by its outcome")
			f.BoolVar(&f.wait, "wait", false, "wait until the run has ended, and exit by its outcome")
		},
		examples: []string{
			"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W --wait",
			"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W --from load --dry-run",
			"cdktr retry 01JD3V5K8Q2M4N6P8R0S2T4V6W --from load --follow",
		}}
}

func doRetry(ctx context.Context, c *cli, args []string) error {
	f := c.flags
	id, err := oneArg(args, "retry", "RUN")
	switch {
	case err != nil:
		return err
	case f.all && f.from != "":
		return usageError("--all runs every task again: it cannot go with --from")
	case f.dryRun && (f.wait || f.follow):
		return usageError("--dry-run runs nothing: it cannot go with --wait or --follow")
	}
	req := Request{Op: "retry", Run: id, All: f.all, From: f.from, Dry: f.dryRun}
	if !f.wait && !f.follow && !f.dryRun {
		return c.change(ctx, req, "run "+id+" is queued again")
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	shown := int64(0) // the newest line of the attempts before
	if f.follow {
		if err := conn.stream(ctx, Request{Op: "logs", Run: id, Last: 1}, func(r *Reply) error {
			return r.eachLine(func(l *LogLine) error {
				shown = l.N
				return nil
			})
		}); err != nil {
			return err
		}
	}
	r, err := conn.ask(ctx, req)
	switch {
	case err != nil:
		return err
	case f.dryRun:
		return retryPlan(ctx, c, conn, r)
	}
	c.note(r)
	if f.follow {
		return followBehind(ctx, c, conn, id, shown)
	}
	return c.waitRun(ctx, conn, id)
}

// retryPlanned is what a retry would do, as --json prints it.
type retryPlanned struct {
	Run      string             `json:"run"`
	Workflow string             `json:"workflow"`
	Attempt  int                `json:"attempt"`
	File     string             `json:"file"` // same, changed, gone, or "" where that is not known
	Tasks    []retryPlannedTask `json:"tasks"`
	New      []string           `json:"new,omitempty"` // tasks that only the file has
}

// retryPlannedTask is what a retry would do with a task.
type retryPlannedTask struct {
	Task  string `json:"task"`
	State string `json:"state"`          // now
	Again bool   `json:"again"`          // it would run again; else its outcome is used again
	File  string `json:"file,omitempty"` // as of the workflow
}

// How a file, or a task in it, is to what a run has of it.
const (
	retrySame    = "same"
	retryChanged = "changed"
	retryGone    = "gone"
)

// retryPlan says what a retry would do, by the principal's answer to a dry one.
func retryPlan(ctx context.Context, c *cli, conn *client, dry *Reply) error {
	shown, err := conn.ask(ctx, Request{Op: "show", Run: dry.Run})
	if err != nil {
		return err
	}
	if len(shown.Runs) == 0 {
		return errNoReply
	}
	run := shown.Runs[0]
	now := dry // a command of exec has no file
	if run.Workflow != execWorkflow {
		now, err = conn.ask(ctx, Request{Op: "show", Workflow: run.Workflow})
		var refused *protoError
		gone := errors.As(err, &refused) && refused.Code == codeNotFound
		switch {
		case gone:
			now = nil
		case err != nil:
			return err
		}
	}
	plan := retryPlanOf(run, dry, now)
	if c.flags.json {
		return printJSON(c.out, plan)
	}
	p := c.painter()
	var rows [][]tableCell
	for _, t := range plan.Tasks {
		then := tableCell{text: "its outcome is used again"}
		if t.Again {
			then = tableCell{"runs again", colorCyan}
		}
		file := "-"
		if t.File != retrySame {
			file = orDefault(t.File, "-")
		}
		rows = append(rows, []tableCell{{text: t.Task}, p.state(t.State), then, {text: file}})
	}
	if err := p.table([]string{"TASK", "NOW", "THEN", "IN THE FILE"}, rows); err != nil {
		return err
	}
	c.say(fmt.Sprintf("nothing was done; this would be attempt %d of run %s", plan.Attempt, plan.Run))
	switch plan.File {
	case retryGone:
		c.say("the file of " + plan.Workflow + " is gone, or does not load: the retry does what it said")
	case retryChanged:
		if plan.New != nil {
			c.say("only the file has: " + strings.Join(plan.New, ", "))
		}
		c.note(dry)
	}
	return nil
}

// retryPlanOf puts together what a retry would do: dry has the tasks as they would be, now is the workflow as its file
// has it, nil where that is gone.
func retryPlanOf(run *Run, dry, now *Reply) *retryPlanned {
	plan := &retryPlanned{Run: run.ID, Workflow: run.Workflow, Attempt: run.Attempt + 1, File: retryGone}
	old, file := dry.Spec, (*Workflow)(nil)
	if now != nil {
		file = now.Spec
	}
	switch {
	case file == nil && now != nil && now.Note != "": // it was too large to be shown
		plan.File = ""
	case file == nil:
	case dry.Note != "":
		plan.File = retryChanged
	default:
		plan.File = retrySame
	}
	for i := range dry.Tasks {
		t := &dry.Tasks[i]
		was := run.task(t.Task)
		if was == nil {
			continue
		}
		task := retryPlannedTask{Task: t.Task, State: was.State, Again: t.State == taskWaiting}
		if t.Of == "" && old != nil && file != nil {
			task.File = retryDiffers(old.task(t.Task), file.task(t.Task))
		}
		plan.Tasks = append(plan.Tasks, task)
	}
	if old != nil && file != nil {
		file.eachTask(func(t *Task) {
			if old.task(t.ID) == nil {
				plan.New = append(plan.New, t.ID)
			}
		})
	}
	return plan
}

// retryDiffers says how a task of the file is to that of a run.
func retryDiffers(old, file *Task) string {
	switch {
	case old == nil:
		return ""
	case file == nil:
		return retryGone
	case !bytes.Equal(protoEncode(old), protoEncode(file)):
		return retryChanged
	}
	return retrySame
}
