// cli_show.go: the verbs show and graph, which tell all about one workflow or one run.

package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// showVerb is the entry of `show`.
func showVerb() cliVerb {
	return cliVerb{name: "show", args: "ID|RUN", help: "tell all of a workflow, or of a run", run: doShow,
		examples: []string{"cdktr show etl.daily", "cdktr show 01JD3V5K8Q2M4N6P8R0S2T4V6W --json"}}
}

func doShow(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "show", "workflow ID or RUN")
	if err != nil {
		return err
	}
	req := Request{Op: "show", Workflow: name}
	if isRunID(name) {
		req = Request{Op: "show", Run: name}
	}
	r, err := c.ask(ctx, req)
	if err != nil {
		return err
	}
	c.note(r)
	switch {
	case len(r.Runs) == 1 && c.flags.json:
		return printJSON(c.out, r.Runs[0])
	case len(r.Runs) == 1:
		return c.showRun(r.Runs[0])
	case len(r.Workflows) == 0:
		return errNoReply
	case c.flags.json:
		return printJSON(c.out, struct {
			WorkflowInfo
			Spec *Workflow `json:"spec"`
		}{r.Workflows[0], r.Spec})
	}
	return c.showWorkflow(&r.Workflows[0], r.Spec)
}

func (c *cli) showWorkflow(w *WorkflowInfo, spec *Workflow) error {
	p, now := c.painter(), time.Now()
	p.facts("workflow", w.Workflow, "name", w.Name, "description", w.Description, "file", w.File, "schedule",
		strings.Join(w.Schedule, ", "),
		"timezone", w.Timezone, "next", nextText(w, now), "paused by", w.Paused, "error", w.Error)
	for _, text := range w.Warnings {
		p.facts("warning", text)
	}
	if spec == nil {
		return nil
	}
	for _, name := range sortedKeys(spec.Params) {
		param := spec.Params[name]
		p.facts("param", strings.TrimSpace(fmt.Sprintf("%s=%s  %s %s", name, param.Default, param.Description,
			param.Pattern)))
	}
	if w.Last != nil {
		p.facts("last run", fmt.Sprintf("%s %s %s", w.Last.ID, w.Last.State, w.Last.Reason))
	}
	_, err := fmt.Fprintf(c.out, "\n%s", dagText(spec, p.width))
	return err
}

func (c *cli) showRun(r *Run) error {
	p, now := c.painter(), time.Now()
	var params []string
	for _, k := range sortedKeys(r.Params) {
		params = append(params, k+"="+r.Params[k])
	}
	took := ""
	if r.Seconds > 0 {
		took = tookText(r.Seconds)
	}
	p.facts("run", r.ID, "workflow", r.Workflow, "state", r.State, "reason", r.Reason, "trigger",
		strings.TrimSpace(r.Trigger+" "+r.By),
		"params", strings.Join(params, " "), "agent", r.Agent, "attempt", fmt.Sprint(r.Attempt), "scheduled",
		timeText(r.Scheduled, now),
		"queued", timeText(r.Queued, now), "started", timeText(r.Started, now), "finished", timeText(r.Finished, now),
		"took", took, "agent's clock", ownTimes(r))
	for i := range r.Left {
		l := &r.Left[i]
		if l.Gone.IsZero() {
			p.facts("left alive", fmt.Sprintf("on agent %s by task %s, attempt %d: %s: %s", l.Agent, l.Task, l.Attempt,
				l, l.Why))
		} else {
			p.facts("left", fmt.Sprintf("on agent %s by task %s, attempt %d, gone since %s: %s", l.Agent, l.Task,
				l.Attempt, timeText(l.Gone, now), l))
		}
	}
	fmt.Fprintln(c.out)
	var rows [][]tableCell
	row := func(name, state, tries string, over bool, a TaskAttempt) {
		exit, took := "-", "-"
		if a.Exit != nil {
			exit = fmt.Sprint(*a.Exit)
		}
		if over {
			took = tookText(a.Seconds)
		}
		rows = append(rows, []tableCell{{text: name}, p.state(state), {text: timeText(a.Started, now)}, {text: took},
			{text: exit}, {text: tries}, {text: a.Reason}})
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		over := !t.Finished.IsZero()
		row(t.Task, t.State, fmt.Sprint(t.Attempts), over, TaskAttempt{Reason: t.why(), Exit: t.Exit,
			Started: t.Started, Seconds: t.Seconds})
		if len(t.Earlier) == 0 {
			continue
		}
		for k, a := range t.tries() { // each try has a row of its own
			if name := fmt.Sprint("  try ", a.Attempt); k < len(t.Earlier) {
				row(name, taskFailed, "", true, a)
			} else {
				row(name, t.State, "", over, a)
			}
		}
	}
	return p.table([]string{"TASK", "STATE", "STARTED", "TOOK", "EXIT", "TRIES", "REASON"}, rows)
}

// ownTimes says when a run began and ended by the clock of its agent, if that is far off; else "".
func ownTimes(r *Run) string {
	if r.OwnStarted.IsZero() && r.OwnFinished.IsZero() {
		return ""
	}
	text := func(at Stamp) string {
		if at.IsZero() {
			return "as here"
		}
		return at.Local().Format("2006-01-02 15:04:05")
	}
	return "is off: by it, started " + text(r.OwnStarted) + ", finished " + text(r.OwnFinished)
}

// graphVerb is the entry of `graph`.
func graphVerb() cliVerb {
	return cliVerb{name: "graph", args: "ID|FILE", help: "draw the tasks of a workflow and what they wait for",
		run:      doGraph,
		flags:    func(f *cliFlags) { f.BoolVar(&f.dot, "dot", false, "for Graphviz") },
		examples: []string{"cdktr graph etl.daily", "cdktr graph ./etl.yml --dot | dot -Tsvg > etl.svg"}}
}

func doGraph(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "graph", "workflow ID or FILE")
	if err != nil {
		return err
	}
	var spec *Workflow
	if isFile(name) {
		spec, err = c.loadFile(ctx, name)
		if err != nil {
			return err
		}
	} else {
		r, err := c.ask(ctx, Request{Op: "show", Workflow: name})
		if err != nil {
			return err
		}
		spec = r.Spec
		if spec == nil {
			return &exitError{code: exitRefused, err: fmt.Errorf("workflow %s does not load", name),
				hint: "cdktr show " + name}
		}
	}
	switch {
	case c.flags.json:
		return printJSON(c.out, spec)
	case c.flags.dot:
		_, err = fmt.Fprint(c.out, dagDot(spec))
	default:
		_, err = fmt.Fprint(c.out, dagText(spec, c.painter().width))
	}
	return err
}
