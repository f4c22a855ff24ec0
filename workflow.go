// workflow.go: what a workflow file may say. It reads the keys of a file, checks that they make sense together, and
// names every fault with line and column. One reading reports all faults of a file, and only a file without faults
// becomes a Workflow. Pure: bytes in, values out; all it asks the system for is the time zone database.
//
//	workflow_keys.go    reads a map by a table of its keys; reports a key that is not known
//	workflow_keys_*.go  the tables: of the top of a file, and of a task
//	workflow_foreign.go the keys of other systems, and what each is here
//	workflow_schema.go  the tables as JSON Schema, for editors
//	workflow_task.go    the keys of a task
//	workflow_expand.go  the references ${…} in texts
//	workflow_yaml.go    from bytes to values with a place; knows YAML, and no key of a workflow
//	workflow_folder.go  the folder of workflow files, and how it is followed

package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of what a workflow says.
const (
	workflowMaxTasks     = 1000      // of a workflow; more are a fault
	workflowMaxSchedules = 100       // of a workflow; more are a fault
	workflowMaxChoices   = 100       // of a parameter; more are a fault
	workflowMaxParams    = 100       // of a workflow; more are a fault
	workflowMaxRetries   = 1000      // of a task or a run; more are a fault
	workflowMaxPriority  = 1000      // and as far below zero
	workflowMaxID        = 200       // bytes, of a workflow or a task
	workflowMaxStdin     = 64 << 10  // bytes; more are a fault
	workflowMinLog       = 1024      // bytes of output
	workflowMaxExit      = 255       // the highest exit code that there is
	workflowMaxGrace     = time.Hour // of a task; a longer one is a fault
	// bytes of an if, which is one argument of its shell: the system takes 128 KiB
	workflowMaxIf = 100 << 10
	// bytes of it as JSON: it must fit into a frame, with what goes with it; more are a fault
	workflowMaxSpec = 512 << 10
)

// workflowFault is one thing that is wrong with a workflow file. Line and Col count from 1, Col in characters; both are
// 0 for a fault of the whole file. A file with only warnings loads.
type workflowFault struct {
	File      string
	Line, Col int
	Message   string
	Warning   bool
}

// Error gives the line that every command shows: etl/daily.yml:14:5: task "load": depends on "transfrom", which …
func (f workflowFault) Error() string {
	place, grade := f.File, ""
	if f.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
	}
	if f.Warning {
		grade = "warning: "
	}
	return place + ": " + grade + f.Message
}

func (f workflowFault) String() string { return f.Error() }

// workflowBroken says whether one of faults keeps the file from loading.
func workflowBroken(faults []workflowFault) bool {
	return slices.ContainsFunc(faults, func(f workflowFault) bool { return !f.Warning })
}

// workflowParse reads a workflow file: JSON if its name ends in .json, else YAML. file is the name that faults carry,
// id the name of the workflow (see workflowID). It gives all faults that one reading can find, in the order of the
// file. The Workflow is nil when one of them is not a warning. Any goroutine may call it.
func workflowParse(file, id string, data []byte) (*Workflow, []workflowFault) {
	w, faults, _ := workflowParseAt(file, id, data, nil, workflowClock{})
	return w, faults
}

// workflowClock is what a reading needs to warn about times: that a schedule is over, and what daylight saving does to
// it. With the zero value it warns of neither.
type workflowClock struct {
	now  time.Time
	zone *time.Location // of files that name none; nil: not known
}

// workflowParseAt is workflowParse with defaults, the nearest first, and with warnings about times. It also gives which
// key came from which file of defaults, see workflowInherit.
func workflowParseAt(file, id string, data []byte, defaults []workflowDefaults, clock workflowClock) (w *Workflow,
	faults []workflowFault, from map[string]string) {
	root, fault := workflowTree(file, data)
	if fault != nil {
		return nil, []workflowFault{*fault}, nil
	}
	r := &workflowReader{file: file, clock: clock, ofTasks: workflowNames(workflowTaskKeys),
		ofWorkflows: workflowNames(workflowKeys)}
	root = r.follow(root)
	r.legacy = workflowLegacy(root)
	d := &workflowDraft{spec: &Workflow{ID: id, Tasks: []Task{}}, root: root, keys: map[string]workflowPair{}}
	if root.Kind == yaml.MappingNode {
		from = workflowInherit(r, root, defaults)
		d.read(r)
	} else {
		r.errorf(root, "want a map of keys such as schedule and tasks, not %s", workflowKind(root))
	}
	sort.SliceStable(r.faults, func(i, j int) bool {
		a, b := &r.faults[i], &r.faults[j]
		if a.File != b.File { // those of the file itself first
			return a.File == file || b.File != file && a.File < b.File
		}
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
	faults = slices.Compact(r.faults) // each alias (*name) repeats the faults of its anchor
	if r.unshown > 0 {
		faults = append(faults, workflowFault{File: file, Message: fmt.Sprintf("%d more faults are not shown",
			r.unshown)})
	}
	if workflowBroken(faults) {
		return nil, faults, nil
	}
	return d.spec, faults, from
}

// workflowLegacy says whether a file is wholly in the form that CDKTR, the system before this one, reads: all its tasks
// have config. Such a file must load as it is, so for what CDKTR ignores in it there are only warnings.
func workflowLegacy(root *yaml.Node) bool {
	tasks := workflowChild(root, "tasks")
	if tasks == nil || tasks.Kind != yaml.MappingNode {
		return tasks != nil && workflowNull(tasks)
	}
	for i := 1; i < len(tasks.Content); i += 2 {
		task := tasks.Content[i]
		for task.Kind == yaml.AliasNode {
			task = task.Alias
		}
		hasOther := slices.ContainsFunc(workflowActions, func(key string) bool {
			return key != "config" && workflowChild(task, key) != nil
		})
		if hasOther || workflowChild(task, "config") == nil {
			return false
		}
	}
	return true
}

// workflowChild gives the value that a map has under key, or nil.
func workflowChild(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			value := n.Content[i+1]
			for value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			return value
		}
	}
	return nil
}

// workflowDraft is a file half read: what it says so far, and the places of what is checked at the end.
type workflowDraft struct {
	spec      *Workflow
	root      *yaml.Node
	keys      map[string]workflowPair // the keys at the top
	schedules []workflowItem
	zone      *time.Location // nil: the principal's
	texts     []workflowText // of the workflow, not of its tasks
	tasks     []*workflowTask
	handlers  []*workflowHandler
}

// read reads the whole file, and then checks what can only be checked when all of it is known.
func (d *workflowDraft) read(r *workflowReader) {
	pairs := r.pairs(d.root)
	for _, p := range pairs {
		d.keys[p.key] = p
	}
	workflowFill(r, d, slices.DeleteFunc(pairs, workflowOwn), workflowKeys, workflowLater)
	if tasks, ok := d.keys["tasks"]; !ok {
		r.errorf(d.root, `key "tasks" is missing: a workflow is a map of them`)
	} else if len(d.tasks) == 0 && (workflowNull(tasks.value) || len(tasks.value.Content) == 0) {
		r.warnf(tasks.at, "there are no tasks: each run succeeds at once")
	}
	_, schedule := d.keys["schedule"]
	p, cron := d.keys["cron"]
	if schedule && cron {
		r.errorf(p.at, "cron and schedule are the same key: "+
			"write one of them, as a list where there are several expressions")
	}
	if r.legacy && d.spec.Timezone == "" && len(d.schedules) > 0 {
		d.spec.Timezone = "UTC" // CDKTR knows no other zone
	}
	d.checkTimes(r)
	d.checkOver(r)
	d.checkDays(r)
	d.checkPools(r)
	d.checkExpect(r)
	d.checkGraph(r)
	d.checkHandlers(r)
	d.checkScripts(r)
	d.checkSize(r)
}

// checkSize finds a workflow that no agent could be sent. One that is far from that is not measured.
func (d *workflowDraft) checkSize(r *workflowReader) {
	const plain, escaped = 32, 8 // bytes around a value, and what a byte of text becomes, at most about
	if workflowBroken(r.faults) || r.values*plain+r.text*escaped < workflowMaxSpec {
		return
	}
	if _, size := d.spec.hash(); size > workflowMaxSpec {
		r.errorf(d.root, "the workflow is too large to be sent to an agent: %d bytes, at most %d: put long texts into "+
			"files of their own, or split it", size, workflowMaxSpec)
	}
}

// checkScripts finds scripts that their shell could not be given, and warns of what no shell replaces in them.
func (d *workflowDraft) checkScripts(r *workflowReader) {
	tasks := d.tasks
	for _, h := range d.handlers {
		tasks = append(tasks[:len(tasks):len(tasks)], h.tasks...)
	}
	if p, ok := d.keys["if"]; ok {
		workflowUnreplaced(r, p, d.spec.If, false)
	}
	for _, t := range tasks {
		if shell := d.spec.shellOf(&t.Task); len(shell) > 0 && scriptReads(shell[0]) != "" {
			r.within("task "+workflowQuote(t.ID), func() {
				for _, key := range []string{"run", "if"} {
					if p, ok := t.keys[key]; ok {
						workflowUnreplaced(r, p, p.value.Value, t.Foreach != nil)
					}
				}
			})
		}
		if len(t.Run) > scriptMax && len(d.spec.shellOf(&t.Task)) > 0 {
			if _, err := scriptArgv(d.spec.shellOf(&t.Task), ""); err != nil {
				r.within("task "+workflowQuote(t.ID), func() { r.errorf(t.keys["run"].value, "run: %v", err) })
			}
		}
	}
}

// checkTimes checks the window, and the schedule in its zone. Without a zone it takes UTC: that is good enough to know
// whether an expression ever fires.
func (d *workflowDraft) checkTimes(r *workflowReader) {
	start, end := d.spec.StartTime, d.spec.EndTime
	if !start.IsZero() && !end.IsZero() && !end.After(start.Time) {
		r.errorf(d.keys["end_time"].value, "end_time %s is not after start_time %s", end.Format(time.RFC3339),
			start.Format(time.RFC3339))
	}
	zone := d.zone
	if zone == nil {
		zone = time.UTC
	}
	for _, item := range d.schedules {
		expr, err := cronParse(item.text, d.spec.ID)
		if err != nil {
			r.errorf(item.at, "schedule: %v", err)
			continue
		}
		if expr.neverFires(zone) {
			r.warnf(item.at, "schedule %s never fires", workflowQuote(item.text))
		} else {
			d.checkClock(r, item, expr)
		}
		for _, odd := range expr.odd {
			r.warnf(item.at, "schedule %s: %s", workflowQuote(item.text), odd)
		}
		if difference := expr.upstreamDifference(); r.legacy && difference != "" {
			r.warnf(item.at, "schedule %s: %s", workflowQuote(item.text), difference)
		}
	}
}

// workflowShiftAhead is how far ahead a warning looks for changes of the clock: a zone that has any has one in that
// time.
const workflowShiftAhead = 366 * 24 * time.Hour

// checkClock warns of a schedule that has no fire left, and of the next change of the clock that moves, drops or
// doubles a fire.
func (d *workflowDraft) checkClock(r *workflowReader, item workflowItem, expr *cronExpr) {
	now, zone := r.clock.now, d.zone
	if zone == nil {
		zone = r.clock.zone
	}
	if d.spec.Timezone == "UTC" {
		zone = time.UTC
	}
	if now.IsZero() || zone == nil || expr.firesAt() != "" {
		return
	}
	begin := now
	if d.spec.StartTime.After(now) {
		begin = d.spec.StartTime.Add(-time.Second) // a fire at that very second counts
	}
	ends := !d.spec.EndTime.IsZero()
	next, ok := expr.next(begin, zone)
	switch {
	case ends && !d.spec.EndTime.After(now): // checkOver warns of that
	case !ok:
		r.warnf(item.at, "schedule %s has no fire left: it never fires again", workflowQuote(item.text))
	case ends && next.After(d.spec.EndTime.Time):
		r.warnf(item.at, "schedule %s has no fire left before end_time: it never fires again", workflowQuote(item.text))
	default:
		shift, ok := expr.shifted(now, now.Add(workflowShiftAhead), zone)
		if !ok {
			return
		}
		what := "leaves out"
		does := "what lies there does not fire"
		switch {
		case shift.twice:
			what, does = "shows twice", "what lies there fires twice"
		case shift.fires:
			does = "what lies there fires at " + shift.at.Format("15:04")
		}
		r.warnf(item.at, "schedule %s: on %s the clock of %s %s %s to %s: %s", workflowQuote(item.text),
			shift.at.Format("2006-01-02"), zone, what, shift.from, shift.to, does)
	}
}

// checkOver warns of a window that is over, and of parameters that no schedule can give.
func (d *workflowDraft) checkOver(r *workflowReader) {
	if len(d.schedules) == 0 {
		return
	}
	end := d.spec.EndTime
	if !r.clock.now.IsZero() && !end.IsZero() && !end.After(r.clock.now) {
		r.warnf(d.keys["end_time"].value, "end_time %s is over: the schedule fires no more", end.Format(time.RFC3339))
	}
	for _, name := range sortedKeys(d.spec.Params) {
		if d.spec.Params[name].Required {
			r.warnf(d.keys["params"].at, "parameter %s has no default, and a schedule gives none: its fires cannot run",
				workflowQuote(name))
		}
	}
}

// checkGraph puts the tasks together and checks how they depend on and refer to each other.
func (d *workflowDraft) checkGraph(r *workflowReader) {
	for _, t := range d.tasks {
		d.spec.Tasks = append(d.spec.Tasks, t.Task)
	}
	graph, err := dagBuild(d.spec.Tasks)
	var faults dagErrors
	if errors.As(err, &faults) {
		workflowGraphFaults(r, d.tasks, faults)
	} else if err != nil {
		r.errorf(d.keys["tasks"].at, "%v", err)
	}
	known := d.known()
	known.before = func(int) bool { return false }
	d.secretsApart(r)
	r.references(d.texts, known)
	for i, t := range d.tasks {
		known.before = func(j int) bool { return graph == nil || graph.ancestor(j, i) }
		known.foreach = t.Foreach
		r.within("task "+workflowQuote(t.ID), func() { r.references(t.texts, known) })
		d.spec.Tasks[i] = t.Task
	}
}

// workflowGraphFaults notes what is wrong with a graph of these tasks.
func workflowGraphFaults(r *workflowReader, tasks []*workflowTask, faults dagErrors) {
	for _, fault := range faults {
		at := tasks[fault.Index].at
		if fault.Depends >= 0 {
			at = tasks[fault.Index].depends[fault.Depends].at
		}
		r.errorf(at, "%s", fault.Text)
	}
}

// known gives what references may point at: parameters, and the tasks of the workflow's graph.
func (d *workflowDraft) known() *workflowKnown {
	known := &workflowKnown{params: d.spec.Params, paramNames: sortedKeys(d.spec.Params),
		tasks: make(map[string]int, len(d.tasks))}
	for i, t := range d.tasks {
		known.tasks[t.ID] = i
		known.taskNames = append(known.taskNames, t.ID)
	}
	return known
}

// schedule reads schedule or cron: one expression or a list of them.
func (r *workflowReader) schedule(d *workflowDraft, p workflowPair) {
	items, ok := r.texts(p, `a cron expression such as "30 2 * * *", or a list of them`, true)
	if !ok {
		return
	}
	if len(items) > workflowMaxSchedules {
		r.errorf(p.value, "%s: there are %d expressions, more than %d", p.key, len(items), workflowMaxSchedules)
		return
	}
	d.schedules, d.spec.Schedule = items, nil
	for _, item := range items {
		d.spec.Schedule = append(d.spec.Schedule, item.text)
	}
}

// time reads p as RFC 3339, with a T or a space in the middle.
func (r *workflowReader) time(p workflowPair, to *Stamp) {
	text, ok := r.scalar(p, "a time such as 2026-01-31T02:30:00Z")
	if !ok {
		return
	}
	upper := strings.ToUpper(text)
	if len(upper) > 10 && upper[10] == ' ' {
		upper = upper[:10] + "T" + upper[11:]
	}
	t, err := time.Parse(time.RFC3339, upper)
	if err != nil || !stampable(t) {
		r.errorf(p.value, "%s: want a time such as 2026-01-31T02:30:00Z or 2026-01-31T02:30:00+01:00, not %s", p.key,
			workflowQuote(text))
		return
	}
	*to = stampOf(t)
}

// workflowZones are the names that a misspelt time zone is compared with: zones that most people write.
var workflowZones = []string{"UTC", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Madrid", "Europe/Paris",
	"Europe/Brussels", "Europe/Amsterdam", "Europe/Berlin", "Europe/Zurich", "Europe/Vienna", "Europe/Rome",
	"Europe/Prague", "Europe/Warsaw", "Europe/Copenhagen", "Europe/Oslo", "Europe/Stockholm", "Europe/Helsinki",
	"Europe/Athens", "Europe/Bucharest", "Europe/Kyiv", "Europe/Istanbul", "Europe/Moscow", "Africa/Cairo",
	"Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka",
	"Asia/Bangkok", "Asia/Jakarta", "Asia/Singapore", "Asia/Hong_Kong", "Asia/Shanghai", "Asia/Taipei", "Asia/Manila",
	"Asia/Seoul", "Asia/Tokyo", "Asia/Jerusalem", "Australia/Perth", "Australia/Adelaide", "Australia/Brisbane",
	"Australia/Sydney", "Australia/Melbourne", "Pacific/Auckland", "Pacific/Honolulu", "America/Anchorage",
	"America/Los_Angeles", "America/Denver", "America/Phoenix", "America/Chicago", "America/New_York",
	"America/Toronto",
	"America/Halifax", "America/Mexico_City", "America/Bogota", "America/Lima", "America/Santiago", "America/Sao_Paulo",
	"America/Argentina/Buenos_Aires", "Atlantic/Reykjavik"}

// timezone reads the name of a zone of the IANA database.
func (r *workflowReader) timezone(d *workflowDraft, p workflowPair) {
	text, ok := r.scalar(p, "a name such as Europe/London, or UTC")
	switch {
	case !ok || text == "":
		return
	case strings.EqualFold(text, "local"):
		r.errorf(p.value, "timezone: leave it out for the principal's own zone; Local means another one on each "+
			"machine")
		return
	}
	zone, err := zoneLoad(text)
	if err == nil {
		d.spec.Timezone, d.zone = text, zone
		return
	}
	r.errorf(p.value, "timezone: want a name such as Europe/London, or UTC, not %s%s", workflowQuote(text),
		nearMeans(workflowZoneMeant(text)))
}

// workflowZoneMeant gives the zone that was likely meant by text that names none: the same name in other letters, a
// city alone, or a name that is close; "" if nothing is close.
func workflowZoneMeant(text string) string {
	title := workflowTitle(text)
	if _, err := zoneLoad(title); err == nil {
		return title
	}
	for _, zone := range workflowZones {
		if path.Base(zone) == strings.ReplaceAll(title, " ", "_") {
			return zone
		}
	}
	return nearest(text, workflowZones)
}

// workflowTitle writes text as the names of the zone database are written: america/new_york as America/New_York.
func workflowTitle(text string) string {
	start := true
	return strings.Map(func(c rune) rune {
		first := start
		start = !unicode.IsLetter(c)
		if first {
			return unicode.ToUpper(c)
		}
		return unicode.ToLower(c)
	}, text)
}

// workflowLabel says whether text has the form of a label of an agent, and of a task's id in the short form.
func workflowLabel(text string) bool {
	return text != "" && strings.Trim(text, workflowInName+".-") == ""
}

// workflowName says whether text has the form of an environment variable's name, and of other names that become one.
func workflowName(text string) bool {
	return text != "" && strings.Trim(text, workflowInName) == "" && text[0] > '9'
}

// workflowInName is letters, digits and _.
const workflowInName = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

// labels reads agent: the labels that the agent must have. A label without a value is a fault: if it were left out, the
// runs would go to any agent.
func (r *workflowReader) labels(p workflowPair, to *map[string]string) {
	pairs, _ := r.table(p, "a map of labels such as {site: london}")
	for _, label := range pairs {
		if workflowNull(label.value) {
			r.errorf(label.at, "agent: label %s has no value: write one, or leave the label out",
				workflowQuote(label.key))
			continue
		}
		text, ok := r.scalar(workflowPair{"agent: " + label.key, label.at, label.value}, "text")
		if !ok {
			continue
		}
		for _, part := range []struct {
			at   *yaml.Node
			text string
		}{{label.at, label.key}, {label.value, text}} {
			if !workflowLabel(part.text) {
				r.errorf(part.at, "agent: label %s may hold letters, digits and _ . - only", workflowQuote(part.text))
			}
		}
		if *to == nil {
			*to = make(map[string]string, len(pairs))
		}
		(*to)[label.key] = text
	}
}

// env reads a map of environment variables. A variable without a value counts as not written. The references in the
// values are checked later, as part of texts.
func (r *workflowReader) env(p workflowPair, texts *[]workflowText) map[string]string {
	pairs, _ := r.table(p, "a map such as {PGHOST: db1}")
	var env map[string]string
	for _, v := range pairs {
		if !workflowName(v.key) {
			r.errorf(v.at, "env: %s cannot name a variable: want letters, digits and _, no digit first",
				workflowQuote(v.key))
			continue
		}
		if workflowNull(v.value) {
			continue
		}
		if env == nil {
			env = make(map[string]string, len(pairs))
		}
		env[v.key] = r.expanded(workflowPair{"env: " + v.key, v.at, v.value}, "text", texts)
	}
	return env
}

// envFiles reads env_file: one path or a list of them.
func (r *workflowReader) envFiles(d *workflowDraft, p workflowPair) {
	items, _ := r.texts(p, "a path or a list of them", true)
	for _, item := range items {
		if item.text == "" {
			r.errorf(item.at, "env_file: the path is empty")
			continue
		}
		d.spec.EnvFile = append(d.spec.EnvFile, item.text)
	}
}

// params reads the parameters of a run.
func (r *workflowReader) params(d *workflowDraft, p workflowPair) {
	pairs, _ := r.table(p, "a map such as {day: 2026-01-31}")
	if len(pairs) > workflowMaxParams {
		r.errorf(p.value, "params: there are %d parameters, more than %d", len(pairs), workflowMaxParams)
		return
	}
	upper := make(map[string]string, len(pairs))
	for _, one := range pairs {
		if !workflowName(one.key) {
			r.errorf(one.at, "params: %s cannot name a parameter: want letters, digits and _, no digit first",
				workflowQuote(one.key))
			continue
		}
		variable := "PARAM_" + strings.ToUpper(one.key)
		if other := upper[variable]; other != "" {
			r.errorf(one.at, "params: %q and %q would both be $%s", other, one.key, variable)
		}
		upper[variable] = one.key
		if d.spec.Params == nil {
			d.spec.Params = make(map[string]Param, len(pairs))
		}
		r.within("params: "+one.key, func() { d.spec.Params[one.key] = r.param(one) })
	}
	defaults := map[string]string{}
	for name, param := range d.spec.Params {
		defaults[name] = param.Default
	}
	if err := paramsFault(defaults); err != nil {
		r.errorf(p.value, "params: with their defaults %v", err)
	}
}

// workflowParam is a parameter half read.
type workflowParam struct {
	Param
	keys map[string]workflowPair
}

// param reads one parameter: its default alone, or a map.
func (r *workflowReader) param(p workflowPair) Param {
	one := &workflowParam{Param: Param{Required: true}, keys: map[string]workflowPair{}}
	switch p.value.Kind {
	case yaml.MappingNode:
		pairs := r.pairs(p.value)
		for _, p := range pairs {
			one.keys[p.key] = p
		}
		workflowFill(r, one, pairs, workflowParamKeys, nil)
	case yaml.ScalarNode:
		if !workflowNull(p.value) {
			one.Default, _ = r.scalar(workflowPair{"default", p.at, p.value}, "text")
			one.Required = false
		}
	default:
		r.errorf(p.value, "want a default or a map such as {default: a, pattern: \"[a-z]+\"}, not %s",
			workflowKind(p.value))
	}
	if one.Choices != nil {
		one.choicesFit(r)
		return one.Param
	}
	if one.Pattern == "" {
		return one.Param
	}
	pattern, err := paramPattern(one.Pattern)
	switch {
	case err != nil:
		r.errorf(one.keys["pattern"].value, "pattern: %s is not a regular expression: %v", workflowQuote(one.Pattern),
			err)
	case one.Default != "" && !pattern.MatchString(one.Default):
		r.errorf(one.keys["default"].value, "default %s does not match the pattern %s", workflowQuote(one.Default),
			workflowQuote(one.Pattern))
	}
	return one.Param
}

// workflowChoices reads the values that a parameter may have.
func workflowChoices(r *workflowReader, one *workflowParam, p workflowPair) {
	items, good := r.texts(p, "a list such as [full, quick]", false)
	one.Choices = make([]string, 0, len(items))
	for _, item := range items {
		if slices.Contains(one.Choices, item.text) {
			r.errorf(item.at, "choices: %s is here a second time", workflowQuote(item.text))
		}
		one.Choices = append(one.Choices, item.text)
	}
	switch {
	case good && len(items) == 0:
		r.errorf(p.value, "choices: the list is empty: want a list such as [full, quick]")
	case len(items) > workflowMaxChoices:
		r.errorf(p.value, "choices: there are %d, more than %d", len(items), workflowMaxChoices)
	}
}

// choicesFit checks what else is said of a parameter with choices.
func (one *workflowParam) choicesFit(r *workflowReader) {
	if p, ok := one.keys["pattern"]; ok && !workflowNull(p.value) {
		r.errorf(p.at, "pattern and choices: write only one of them")
	}
	if !one.Required && len(one.Choices) > 0 && !slices.Contains(one.Choices, one.Default) {
		r.errorf(one.keys["default"].value, "default %s is not among the choices %s%s", workflowQuote(one.Default),
			workflowOr(one.Choices), r.meant(one.Default, one.Choices))
	}
}

// workflowNamed says whether a file's name is one of a workflow file.
func workflowNamed(path string) bool {
	return workflowEnding(path) != "" && !strings.HasPrefix(filepath.Base(path), ".")
}

// workflowEnding gives the ending that makes name a workflow file (.yml, .yaml or .json, in any case), or "".
func workflowEnding(name string) string {
	ending := path.Ext(name)
	if slices.Contains([]string{".yml", ".yaml", ".json"}, strings.ToLower(ending)) {
		return ending
	}
	return ""
}

// workflowID makes the id of the file at rel, a path below the workflow folder with slashes: etl/daily.yml is
// etl.daily. An id may hold any printable character but / and \; it has at most workflowMaxID bytes.
func workflowID(rel string) (string, error) {
	ending := workflowEnding(rel)
	id := strings.ReplaceAll(strings.TrimSuffix(rel, ending), "/", ".")
	outside := path.IsAbs(rel) || rel == ".." || strings.HasPrefix(rel, "../")
	switch {
	case ending == "":
		return "", fmt.Errorf("name workflow %q: a workflow file ends in .yml, .yaml or .json", rel)
	case outside || path.Base(rel) == ending || path.Clean(rel) != rel:
		return "", fmt.Errorf("name workflow %q: not the path of a file below the workflow folder", rel)
	}
	if err := workflowWord(id); err != nil {
		return "", fmt.Errorf("name workflow %q: %w: rename the file", rel, err)
	}
	return id, nil
}

// workflowWord says what keeps text from being an id of a workflow, or of a task in CDKTR's form.
func workflowWord(text string) error {
	switch {
	case len(text) > workflowMaxID:
		return fmt.Errorf("an id of %d bytes is longer than %d", len(text), workflowMaxID)
	case !utf8.ValidString(text):
		return errors.New("an id must be UTF-8 text")
	}
	for _, c := range text {
		if c == '/' || c == '\\' || !unicode.IsPrint(c) {
			return fmt.Errorf("an id cannot hold %q", c)
		}
	}
	return nil
}
