// cli_show.go: the verbs show and graph, which tell all about one workflow or one run.

package main

import (
	"context"
	"fmt"
	"slices"
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
		"timezone", w.Timezone, "user", specUser(spec), "limits", specLimits(spec), "secrets", specSecrets(spec),
		"next", nextText(w, now),
		"paused by", pausedText(w, now), "error",
		w.Error)
	for _, text := range w.Warnings {
		p.facts("warning", text)
	}
	for _, key := range sortedKeys(w.Defaults) {
		p.facts("default", key+" of "+w.Defaults[key])
	}
	if spec == nil {
		return nil
	}
	p.facts("pool", poolsText(spec.Pool))
	spec.eachTask(func(t *Task) {
		if len(t.Pool) > 0 {
			p.facts("pool", poolsText(t.Pool)+", by task "+t.ID)
		}
		if len(t.Agent) > 0 {
			p.facts("agent", labelsText(t.Agent)+", for task "+t.ID)
		}
	})
	for i := range w.Listeners {
		p.facts("on", w.Listeners[i].String())
	}
	p.facts("expect", spec.Expect.text())
	p.facts("except", strings.Join(spec.Except, ", "), "only", strings.Join(spec.Only, ", "), "if",
		strings.TrimSpace(spec.If))
	for _, name := range sortedKeys(spec.Params) {
		param := spec.Params[name]
		p.facts("param", strings.TrimSpace(fmt.Sprintf("%s=%s  %s %s", name, param.Default, param.Description,
			param.Pattern+strings.Join(param.Choices, ", "))))
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
	trigger := strings.TrimSpace(r.Trigger + " " + r.By)
	if r.Event != nil {
		trigger += ": " + r.Event.String()
	}
	p.facts("run", r.ID, "workflow", r.Workflow, "state", r.State, "reason", r.Reason, "handlers",
		r.handlersText(), "trigger", trigger, "batch", r.Batch, "parent",
		strings.TrimSpace(r.Parent+" "+r.ParentTask),
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
	for _, text := range runLimited(r) {
		p.facts("limits", text)
	}
	fmt.Fprintln(c.out)
	return (&showTasks{p: p, now: now}).print(r)
}

// runLimited says how the limits of the tasks of a run were in force, those together of which the same is true.
func runLimited(r *Run) (texts []string) {
	var ways []string
	names := map[string][]string{}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		name, way := orDefault(t.Of, t.Task), t.Limited
		switch {
		case way == "":
		case names[way] == nil:
			ways, names[way] = append(ways, way), []string{name}
		case !slices.Contains(names[way], name):
			names[way] = append(names[way], name)
		}
	}
	for _, way := range ways {
		texts = append(texts, strings.Join(names[way], ", ")+": "+way)
	}
	return texts
}

// specUser gives whom the tasks of a workflow run as, "" for the agent's user.
func specUser(spec *Workflow) string {
	if spec == nil {
		return ""
	}
	text := spec.User
	spec.eachTask(func(t *Task) {
		if t.User != "" && t.User != spec.User {
			text += ", " + t.ID + " as " + t.User
		}
	})
	return strings.TrimPrefix(text, ", ")
}

// specLimits gives the limits of the tasks of a workflow, "" when there are none.
func specLimits(spec *Workflow) string {
	if spec == nil {
		return ""
	}
	parts := []string{spec.Limits.text()}
	spec.eachTask(func(t *Task) {
		if t.Limits != nil {
			parts = append(parts, t.ID+" "+t.Limits.text())
		}
	})
	return strings.TrimPrefix(strings.Join(parts, "; "), "; ")
}

// specSecrets names the secrets that tasks of a workflow get.
func specSecrets(spec *Workflow) string {
	if spec == nil {
		return ""
	}
	names := slices.Clone(spec.Secrets)
	spec.eachTask(func(t *Task) { names = append(names, t.Secrets...) })
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
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
