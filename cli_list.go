// cli_list.go: the verbs that list: ls (workflows), ps (runs), agents.

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lsVerb is the entry of `ls`.
func lsVerb() cliVerb {
	return cliVerb{name: "ls", args: "[PATTERN]", help: "list workflows: schedule, next fire, last outcomes", run: doLs,
		flags: func(f *cliFlags) { f.BoolVar(&f.watch, "watch", false, watchHelp) },
		examples: []string{
			"cdktr ls",
			"cdktr ls 'etl.*'",
			"cdktr ls --json | jq -r 'select(.error != \"\") | .workflow'",
		}}
}

func doLs(ctx context.Context, c *cli, args []string) error {
	if len(args) > 1 {
		return usageError("ls takes one PATTERN: quote it, so that the shell leaves it alone")
	}
	req := Request{Op: "ls", Pattern: strings.Join(args, "")}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	if c.flags.watch {
		return c.watchWorkflows(ctx, conn, req.Pattern)
	}
	var list []WorkflowInfo
	if err := conn.askAll(ctx, req, func(r *Reply) error {
		c.note(r)
		list = append(list, r.Workflows...)
		return nil
	}); err != nil {
		return err
	}
	if c.flags.json {
		for i := range list {
			if err := printJSON(c.out, &list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	for i := range list {
		rows = append(rows, lsRow(&list[i], now))
	}
	if err := p.table([]string{"WORKFLOW", "SCHEDULE", "NEXT", "LAST", "WHEN", "TOOK", "NAME"}, rows); err != nil {
		return err
	}
	if len(list) > 0 {
		c.lsFaults(list)
		return nil
	}
	var ids []string
	if req.Pattern != "" {
		if err := conn.askAll(ctx, Request{Op: "ls"}, func(r *Reply) error {
			for i := range r.Workflows {
				ids = append(ids, r.Workflows[i].Workflow)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	c.lsNothing(req.Pattern, ids)
	return nil
}

// lsFaults says, on standard error, which files do not load and how many have warnings.
func (c *cli) lsFaults(list []WorkflowInfo) {
	warnings, files, first := 0, 0, "" // first: the first workflow that has warnings
	for i := range list {
		if list[i].Error != "" {
			c.say(list[i].Error)
		}
		if n := len(list[i].Warnings); n > 0 {
			warnings, files = warnings+n, files+1
			first = orDefault(first, list[i].Workflow)
		}
	}
	switch {
	case files == 1:
		c.say(countText(warnings, "warning") + " on the file of " + first + ": cdktr show " + first +
			" prints what it is warned of")
	case files > 1:
		c.say(countText(warnings, "warning") + " on the files of " + countText(files, "workflow") + ": cdktr show " +
			first + " prints those of one, cdktr attention names more")
	}
}

// lsNothing says, on standard error, that no workflow matches a pattern, and names one of ids that comes near.
func (c *cli) lsNothing(pattern string, ids []string) {
	near := nearHint(pattern, ids)
	switch {
	case near != "":
		c.say(fmt.Sprintf("no workflow matches %q%s", textHead(pattern, cliEchoMost), near))
	case pattern != "":
		c.say(fmt.Sprintf("no workflow matches %q: a pattern is a part of the id, or with * in it the whole",
			textHead(pattern, cliEchoMost)))
	default:
		c.say("there are no workflows yet: cdktr init writes an example, and files in the workflows folder are seen " +
			"at once")
	}
}

// nextText says when a workflow fires next, or that it is paused.
func nextText(w *WorkflowInfo, now time.Time) string {
	switch {
	case w.Paused == "":
	case w.Pause != nil && !w.Pause.Until.IsZero():
		return "= paused to " + timeText(w.Pause.Until, now)
	default:
		return "= paused"
	}
	return timeText(w.Next, now)
}

// lsRow is a workflow as a row.
func lsRow(w *WorkflowInfo, now time.Time) []tableCell {
	next := cell("%s", nextText(w, now))
	if w.Paused != "" {
		next.color = colorYellow
	}
	marks := tableCell{text: "-"}
	if len(w.Recent) > 0 {
		marks.text = ""
		for _, o := range w.Recent {
			glyph, color := stateLooks(o.State)
			marks = tableCell{marks.text + glyph, color}
		}
	}
	when, took := cell("-"), cell("-")
	if n := len(w.Recent); n > 0 { // the run may be in the history only
		when = cell("%s", timeText(stampOf(runTime(w.Recent[n-1].Run)), now))
	}
	if w.Last != nil {
		when = cell("%s", timeText(w.Last.Queued, now))
		if !w.Last.Finished.IsZero() {
			took = cell("%s", tookText(w.Last.Seconds))
		} else {
			glyph, color := stateLooks(w.Last.State)
			took = tableCell{glyph + " " + w.Last.State, color}
		}
	}
	schedule := w.fires()
	name := tableCell{text: w.Name}
	if w.Error != "" {
		name = tableCell{"# does not load", colorRed}
	}
	return []tableCell{{text: w.Workflow}, {text: schedule}, next, marks, when, took, name}
}

// psVerb is the entry of `ps`.
func psVerb() cliVerb {
	return cliVerb{name: "ps", help: "list runs, newest first: the active ones, or with --all every one", run: doPs,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.all, "all", false, "those that have ended too")
			f.StringVar(&f.workflow, "workflow", "", "of this workflow `ID` only")
			f.StringVar(&f.batch, "batch", "", "of this `BATCH` of a backfill only, those that have ended too")
			f.StringVar(&f.state, "state", "", "in this `STATE` only")
			f.StringVar(&f.since, "since", "", "queued since: a duration as 24h, or a time")
			f.count(50, "at most `N`")
			f.BoolVar(&f.watch, "watch", false, watchHelp)
			f.BoolVar(&f.tree, "tree", false, "runs that another has started or fired, below that one")
		},
		examples: []string{
			"cdktr ps",
			"cdktr ps --all --tree",
			"cdktr ps --all --state failed --since 24h",
			"cdktr ps --all --workflow etl.daily -n 5 --json",
		}}
}

// runStateKnown refuses a state of runs that is none. "" is any.
func runStateKnown(state string) error {
	states := []string{runQueued, runRunning, runSucceeded, runFailed, runCancelled, runCrashed, runSkipped}
	if state == "" || slices.Contains(states, state) {
		return nil
	}
	return usageError("--state %s: there is %s%s", textHead(state, cliEchoMost), strings.Join(states, ", "),
		nearHint(state, states))
}

func doPs(ctx context.Context, c *cli, args []string) error {
	if err := runStateKnown(c.flags.state); err != nil {
		return err
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	if c.flags.watch {
		return c.watchRuns(ctx, conn)
	}
	runs, err := c.listRuns(ctx, conn)
	if err != nil {
		return err
	}
	if len(runs) == 0 && c.flags.workflow != "" { // is there such a workflow at all?
		if _, err := conn.ask(ctx, Request{Op: "show", Workflow: c.flags.workflow}); err != nil {
			c.say(err.Error())
		}
	}
	return c.printRuns(runs)
}

// listRuns asks for the runs that the flags want, page by page.
func (c *cli) listRuns(ctx context.Context, conn *client) ([]*Run, error) {
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return nil, err
	}
	req := Request{Op: "ps", All: c.flags.all || c.flags.batch != "", Workflow: c.flags.workflow, Batch: c.flags.batch,
		State: c.flags.state, Since: since}
	var runs []*Run
	for len(runs) < c.flags.n {
		req.N = protoCountOf(c.flags.n - len(runs))
		r, err := conn.ask(ctx, req)
		if err != nil {
			return nil, err
		}
		c.note(r)
		runs = append(runs, r.Runs...)
		req.After = r.Next
		if req.After == "" {
			break
		}
	}
	return runs, nil
}

func (c *cli) printRuns(runs []*Run) error {
	if c.flags.json {
		for _, r := range runs {
			if err := printJSON(c.out, r); err != nil {
				return err
			}
		}
		return nil
	}
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	depths := make([]int, len(runs))
	if c.flags.tree {
		runs, depths = runTree(runs)
	}
	for i, r := range runs {
		took := "-"
		switch {
		case !r.Finished.IsZero():
			took = tookText(r.Seconds)
		case !r.Started.IsZero():
			took = tookText(now.Sub(r.Started.Time).Seconds())
		}
		rows = append(rows, []tableCell{p.state(r.State), {text: strings.Repeat("  ", depths[i]) + r.ID},
			{text: r.Workflow},
			cell("%s", timeText(r.Queued, now)), {text: took},
			cell("%d/%d", r.done(), r.total()), {text: orDefault(r.By, r.Trigger)}, {text: orDefault(r.Agent, "-")},
			{text: r.Reason}})
	}
	return p.table([]string{"STATE", "RUN", "WORKFLOW", "QUEUED", "TOOK", "TASKS", "BY", "AGENT", "REASON"}, rows)
}

// agentsVerb is the entry of `agents`.
func agentsVerb() cliVerb {
	return cliVerb{name: "agents", help: "list agents and what they are doing", run: doAgents,
		flags: func(f *cliFlags) { f.BoolVar(&f.watch, "watch", false, watchHelp) },
		examples: []string{
			"cdktr agents",
			"cdktr agents --json | jq -r 'select(.state == \"lost\") | .agent'",
		}}
}

func doAgents(ctx context.Context, c *cli, args []string) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	if c.flags.watch {
		return c.watchAgents(ctx, conn)
	}
	var agents []*Agent
	if err := conn.askAll(ctx, Request{Op: "agents"}, func(r *Reply) error {
		agents = append(agents, r.Agents...)
		return nil
	}); err != nil {
		return err
	}
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	for _, a := range agents {
		if c.flags.json {
			if err := printJSON(c.out, a); err != nil {
				return err
			}
			continue
		}
		labels := ""
		if len(a.Labels) > 0 {
			labels = labelsText(a.Labels)
		}
		rows = append(rows, []tableCell{{text: a.Name}, agentLooks(a.State), {text: orDefault(a.Address, "-")},
			cell("%d/%d", a.Running, a.Capacity), {text: a.loadText()}, cell("%s", timeText(a.Seen, now)),
			{text: a.Version}, {text: labels}})
	}
	if c.flags.json {
		return nil
	}
	for _, a := range agents {
		if a.Skew != 0 {
			c.say(fmt.Sprintf("the clock of %s is %+.0fs off the principal's", a.Name, a.Skew))
		}
	}
	return p.table([]string{"AGENT", "STATE", "ADDRESS", "RUNS", "LOAD", "SEEN", "VERSION", "LABELS"}, rows)
}

// agentLooks gives the cell for the state of an agent.
func agentLooks(state string) tableCell {
	return map[string]tableCell{agentUp: {"+ up", colorGreen}, agentDrain: {"= drain", colorYellow},
		agentLost: {"? lost", colorRed}}[state]
}
