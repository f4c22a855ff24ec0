// cli_list.go: the verbs that only look: workflows, runs, schedules, agents, events.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lookVerbs is the verbs that only look.
func lookVerbs() []cliVerb {
	return []cliVerb{
		{name: "ls", args: "[PATTERN]", help: "list workflows: schedule, next fire, last outcomes", run: lookLs,
			flags: func(f *cliFlags) { f.BoolVar(&f.watch, "watch", false, watchHelp) },
			examples: []string{"cdktr ls", "cdktr ls 'etl.*'",
				"cdktr ls --json | jq -r 'select(.error != \"\") | .workflow'"}},
		{name: "show", args: "ID|RUN", help: "tell all of a workflow, or of a run", run: lookShow,
			examples: []string{"cdktr show etl.daily", "cdktr show 01JD3V5K8Q2M4N6P8R0S2T4V6W --json"}},
		{name: "ps", help: "list runs, newest first: the active ones, or with --all every one", run: lookPs,
			flags: func(f *cliFlags) {
				f.BoolVar(&f.all, "all", false, "those that have ended too")
				f.StringVar(&f.workflow, "workflow", "", "of this workflow `ID` only")
				f.StringVar(&f.state, "state", "", "in this `STATE` only")
				f.StringVar(&f.since, "since", "", "queued since: a duration as 24h, or a time")
				f.count(50, "at most `N`")
				f.BoolVar(&f.watch, "watch", false, watchHelp)
			},
			examples: []string{"cdktr ps", "cdktr ps --all --state failed --since 24h",
				"cdktr ps --all --workflow etl.daily -n 5 --json"}},
		{name: "why", args: "ID [TIME]", help: "tell why a fire did or did not become a run", run: lookWhy,
			flags:    func(f *cliFlags) { f.count(10, "at most `N` ticks") },
			examples: []string{"cdktr why etl.daily", "cdktr why etl.daily 2026-03-08T02:30"}},
		{name: "next", args: "[ID]", help: "list the coming fires of a workflow, of all, or of an expression",
			run: lookNext,
			flags: func(f *cliFlags) {
				f.count(10, "`N` fires")
				f.StringVar(&f.cron, "cron", "", "of this `EXPRESSION`, with no principal")
				f.StringVar(&f.tz, "tz", "", "the expression's time `ZONE`")
				f.StringVar(&f.from, "from", "", "after this `TIME` rather than now")
			},
			examples: []string{"cdktr next etl.daily", "cdktr next --cron '0 0 29 2 *' -n 3",
				"cdktr next --cron '30 2 * * *' --tz Europe/London --from 2026-03-28"}},
		{name: "graph", args: "ID|FILE", help: "draw the tasks of a workflow and what they wait for", run: lookGraph,
			flags:    func(f *cliFlags) { f.BoolVar(&f.dot, "dot", false, "for Graphviz") },
			examples: []string{"cdktr graph etl.daily", "cdktr graph ./etl.yml --dot | dot -Tsvg > etl.svg"}},
		{name: "validate", args: "[FILE...]", help: "check workflow files, or all of the workflows folder",
			run:   lookValidate,
			flags: func(f *cliFlags) { f.setting("workflows", "the folder `DIR` (default workflows)") },
			examples: []string{"cdktr validate", "cdktr validate workflows/etl/*.yml",
				"cdktr validate --workflows /etc/cdktr/workflows --json"}},
		{name: "agents", help: "list agents and what they are doing", run: lookAgents,
			flags: func(f *cliFlags) { f.BoolVar(&f.watch, "watch", false, watchHelp) },
			examples: []string{"cdktr agents",
				"cdktr agents --json | jq -r 'select(.state == \"lost\") | .agent'"}},
		{name: "events", help: "print the audit trail, as JSON lines", run: lookEvents,
			flags: func(f *cliFlags) {
				f.BoolVar(&f.follow, "f", false, "go on with what comes")
				f.BoolVar(&f.follow, "follow", false, "the same as -f")
				f.StringVar(&f.since, "since", "", "nothing older: a duration as 10m, or a time")
				f.Uint64Var(&f.seq, "seq", 0, "from this sequence `NUMBER` on")
				f.count(cliAll, "at most `N`")
			},
			examples: []string{"cdktr events --since 1h", "cdktr events -f | jq -c 'select(.e == \"run.finished\")'"}},
		{name: "ping", help: "see whether the principal is there", run: lookPing,
			examples: []string{"cdktr ping", "cdktr ping --principal ipc:///run/cdktr/cdktr.sock"}},
	}
}

func lookLs(ctx context.Context, c *cli, args []string) error {
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
		if r.Note != "" {
			fmt.Fprintln(c.err, "cdktr: "+textSafe(r.Note))
		}
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
	p, now := painterOf(c.out, c.flags.color, c.getenv), time.Now()
	var rows [][]tableCell
	for i := range list {
		rows = append(rows, lsRow(&list[i], now))
	}
	if err := p.table([]string{"WORKFLOW", "SCHEDULE", "NEXT", "LAST", "WHEN", "TOOK", "NAME"}, rows); err != nil {
		return err
	}
	near := ""
	if len(list) == 0 && req.Pattern != "" {
		var ids []string
		if err := conn.askAll(ctx, Request{Op: "ls"}, func(r *Reply) error {
			for i := range r.Workflows {
				ids = append(ids, r.Workflows[i].Workflow)
			}
			return nil
		}); err != nil {
			return err
		}
		near = nearest(req.Pattern, ids)
	}
	c.lsRemarks(list, req.Pattern, near)
	return nil
}

// lsRemarks says beside the list what is not in it: why files do not load, of how many it is warned, and that nothing
// was found, but perhaps a near name.
func (c *cli) lsRemarks(list []WorkflowInfo, pattern, near string) {
	warnings, files, of := 0, 0, ""
	for i := range list {
		if list[i].Error != "" {
			c.say(list[i].Error)
		}
		if n := len(list[i].Warnings); n > 0 {
			warnings, files = warnings+n, files+1
			of = orDefault(of, list[i].Workflow)
		}
	}
	switch {
	case files == 1:
		c.say(countText(warnings, "warning") + " on the file of " + of + ": cdktr show " + of +
			" prints what it is warned of")
	case files > 1:
		c.say(countText(warnings, "warning") + " on the files of " + countText(files, "workflow") + ": cdktr show " +
			of + " prints those of one, cdktr attention names more")
	}
	switch {
	case len(list) > 0:
	case near != "":
		c.say(fmt.Sprintf("no workflow matches %q (did you mean %q?)", textHead(pattern, cliEchoMost), near))
	case pattern != "":
		c.say(fmt.Sprintf("no workflow matches %q: a pattern is a part of the id, or with * in it the whole",
			textHead(pattern, cliEchoMost)))
	default:
		c.say("there are no workflows yet: cdktr init writes an example, and files in the workflows folder are seen " +
			"at once")
	}
}

// nextText is when a workflow fires next; a paused one does not.
func nextText(w *WorkflowInfo, now time.Time) string {
	if w.Paused != "" {
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
	if n := len(w.Recent); n > 0 { // also of a run that is in the history only
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
	schedule := orDefault(strings.Join(w.Schedule, ", "), "manual")
	name := tableCell{text: w.Name}
	if w.Error != "" {
		name = tableCell{"# does not load", colorRed}
	}
	return []tableCell{{text: w.Workflow}, {text: schedule}, next, marks, when, took, name}
}

func lookShow(ctx context.Context, c *cli, args []string) error {
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

// facts prints names and values in two columns, leaving out what has no value.
func (p *painter) facts(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" && pairs[i+1] != "-" {
			fmt.Fprintf(p.w, "%s %s\n", p.paint(colorDim, fmt.Sprintf("%-12s", pairs[i])), textSafe(pairs[i+1]))
		}
	}
}

func (c *cli) showWorkflow(w *WorkflowInfo, spec *Workflow) error {
	p, now := painterOf(c.out, c.flags.color, c.getenv), time.Now()
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
	p, now := painterOf(c.out, c.flags.color, c.getenv), time.Now()
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
		for k, a := range t.tries() { // each on a row of its own
			if name := fmt.Sprint("  try ", a.Attempt); k < len(t.Earlier) {
				row(name, taskFailed, "", true, a)
			} else {
				row(name, t.State, "", over, a)
			}
		}
	}
	return p.table([]string{"TASK", "STATE", "STARTED", "TOOK", "EXIT", "TRIES", "REASON"}, rows)
}

// ownTimes says when a run began and ended by its agent's own clock, where that is far off; "" where it is not.
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

func lookPs(ctx context.Context, c *cli, args []string) error {
	states := []string{runQueued, runRunning, runSucceeded, runFailed, runCancelled, runCrashed}
	if c.flags.state != "" && !slices.Contains(states, c.flags.state) {
		near := nearest(c.flags.state, states)
		if near != "" {
			near = " (did you mean " + near + "?)"
		}
		return usageError("--state %s: there is %s%s", textHead(c.flags.state, cliEchoMost), strings.Join(states, ", "),
			near)
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
	return c.printRuns(runs)
}

// listRuns asks for as many runs as wanted, in pages.
func (c *cli) listRuns(ctx context.Context, conn *client) ([]*Run, error) {
	since, err := sinceOf(c.flags.since, time.Now())
	if err != nil {
		return nil, err
	}
	req := Request{Op: "ps", All: c.flags.all, Workflow: c.flags.workflow, State: c.flags.state, Since: since}
	var runs []*Run
	for len(runs) < c.flags.n {
		req.N = protoCountOf(c.flags.n - len(runs))
		r, err := conn.ask(ctx, req)
		if err != nil {
			return nil, err
		}
		c.note(r)
		runs = append(runs, r.Runs...)
		if req.After = r.Next; req.After == "" {
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
	p, now := painterOf(c.out, c.flags.color, c.getenv), time.Now()
	var rows [][]tableCell
	for _, r := range runs {
		took := "-"
		switch {
		case !r.Finished.IsZero():
			took = tookText(r.Seconds)
		case !r.Started.IsZero():
			took = tookText(now.Sub(r.Started.Time).Seconds())
		}
		rows = append(rows, []tableCell{p.state(r.State), {text: r.ID}, {text: r.Workflow},
			cell("%s", timeText(r.Queued, now)), {text: took},
			cell("%d/%d", r.done(), len(r.Tasks)), {text: orDefault(r.By, r.Trigger)}, {text: orDefault(r.Agent, "-")},
			{text: r.Reason}})
	}
	return p.table([]string{"STATE", "RUN", "WORKFLOW", "QUEUED", "TOOK", "TASKS", "BY", "AGENT", "REASON"}, rows)
}

// whyJSON is a decision as `why --json` prints it.
type whyJSON struct {
	Workflow string `json:"workflow"`
	Decision
}

func lookGraph(ctx context.Context, c *cli, args []string) error {
	name, err := oneArg(args, "graph", "workflow ID or FILE")
	if err != nil {
		return err
	}
	var spec *Workflow
	if isFile(name) {
		if spec, err = c.loadFile(ctx, name); err != nil {
			return err
		}
	} else {
		r, err := c.ask(ctx, Request{Op: "show", Workflow: name})
		if err != nil {
			return err
		}
		if spec = r.Spec; spec == nil {
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
		_, err = fmt.Fprint(c.out, dagText(spec, painterOf(c.out, c.flags.color, c.getenv).width))
	}
	return err
}

// faultJSON is a fault of a file as `validate --json` prints it.
type faultJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Warning bool   `json:"warning"`
}

func lookValidate(ctx context.Context, c *cli, args []string) error {
	zone, err := c.zone()
	if err != nil {
		return err
	}
	clock := workflowClock{time.Now(), zone}
	var faults []workflowFault
	files := 0
	if len(args) == 0 {
		folder := c.cfg.get("workflows")
		f := newWorkflowFolder(folder)
		f.zone = clock.zone
		found, _, err := f.scan(ctx)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			return &exitError{code: exitUsage, err: err}
		}
		for _, f := range found {
			files++
			for _, fault := range f.Faults {
				fault.File = filepath.Join(folder, fault.File) // where an editor finds it from here
				faults = append(faults, fault)
			}
		}
	}
	for _, name := range args {
		files++
		if info, err := diskStat(ctx, nil, name, name); err == nil && info.IsDir() {
			return usageError("%s is a folder: check it with --workflows %s", name, name)
		}
		text, err := c.readFile(ctx, name)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			faults = append(faults, workflowFault{File: name, Message: "cannot be read: " + err.Error()})
			continue
		}
		_, found := workflowParseAt(name, strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), text, clock)
		faults = append(faults, found...)
	}
	bad := 0
	for _, f := range faults {
		if !f.Warning {
			bad++
		}
		if f.Line == 0 { // a fault of the whole file: what reads FILE:LINE:COL finds it at its start
			f.Line, f.Col = 1, 1
		}
		var err error
		if c.flags.json {
			err = printJSON(c.out, faultJSON{f.File, f.Line, f.Col, f.Message, f.Warning})
		} else {
			_, err = fmt.Fprintln(c.out, textSafe(f.String()))
		}
		if err != nil {
			return err
		}
	}
	found := validateFound(bad, len(faults)-bad)
	if bad > 0 {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s in %s", found, countText(files, "file"))}
	}
	if !c.flags.json {
		fmt.Fprintf(c.err, "checked %s: %s\n", countText(files, "file"), found)
	}
	return nil
}

// validateFound counts what is wrong with files and what is warned of.
func validateFound(bad, warned int) string {
	switch {
	case bad > 0 && warned > 0:
		return countText(bad, "fault") + " and " + countText(warned, "warning")
	case bad > 0:
		return countText(bad, "fault")
	case warned > 0:
		return countText(warned, "warning")
	}
	return "no fault"
}

func lookAgents(ctx context.Context, c *cli, args []string) error {
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
	p, now := painterOf(c.out, c.flags.color, c.getenv), time.Now()
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
			fmt.Fprintf(c.err, "cdktr: the clock of %s is %+.0fs off the principal's\n", textSafe(a.Name), a.Skew)
		}
	}
	return p.table([]string{"AGENT", "STATE", "ADDRESS", "RUNS", "LOAD", "SEEN", "VERSION", "LABELS"}, rows)
}

// agentLooks is the state of an agent as a cell.
func agentLooks(state string) tableCell {
	return map[string]tableCell{agentUp: {"+ up", colorGreen}, agentDrain: {"= drain", colorYellow},
		agentLost: {"? lost", colorRed}}[state]
}

func lookEvents(ctx context.Context, c *cli, args []string) error {
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
			if left--; left == 0 {
				return enough
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, enough):
		return nil
	case ctx.Err() != nil && c.flags.follow: // it has no end but this, and nothing to say about it
		return &exitError{code: exitInterrupted}
	}
	return err
}

func lookPing(ctx context.Context, c *cli, args []string) error {
	began := time.Now()
	r, err := c.ask(ctx, Request{Op: "ping"})
	if err != nil {
		return err
	}
	took := time.Since(began)
	if c.flags.json {
		return printJSON(c.out, map[string]any{"principal": c.cfg.get("principal"), "version": r.Version,
			"seconds": took.Seconds(), "seq": r.Seq})
	}
	_, err = fmt.Fprintf(c.out, "principal %s answers at %s in %s\n", r.Version, c.cfg.get("principal"),
		took.Round(10*time.Microsecond))
	return err
}
