// crontab_export.go: from workflows to a crontab. A workflow becomes a line if that means the same to cron: what the
// line would be read as is compared with the workflow. All others are named with the reason why not.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sort"
	"strings"
	"time"
)

// crontabLine is a workflow as a line of a crontab, with what stands above it, or why it is none.
type crontabLine struct {
	Workflow string   `json:"workflow"`
	Lines    []string `json:"lines,omitempty"`
	Why      string   `json:"why,omitempty"`

	spec    *Workflow
	env     map[string]string
	entries []string // a line for each schedule
}

// crontabExporter is one export.
type crontabExporter struct {
	system bool    // lines have a column of users
	self   string  // whose crontab it is, where they have none
	mail   *[]Task // the on_exit of crontabDefaults
}

// export makes lines of workflows, in such an order that variables which a line does not have come after it.
func (x *crontabExporter) export(workflows []*Workflow) []*crontabLine {
	var lines []*crontabLine
	for _, w := range workflows {
		l := &crontabLine{Workflow: w.ID, spec: w}
		if err := x.line(l); err != nil {
			l.Why = err.Error()
		}
		lines = append(lines, l)
	}
	sort.SliceStable(lines, func(i, k int) bool { return len(lines[i].env) < len(lines[k].env) })
	now := map[string]string{"SHELL": crontabShell, "PATH": crontabPath}
	for _, l := range lines {
		for _, name := range sortedKeys(now) {
			if _, has := l.env[name]; !has && name != "PATH" && l.Why == "" {
				l.Why = "a line above sets " + name + ", and a crontab cannot take that back"
			}
		}
		if l.Why != "" {
			continue
		}
		for _, name := range sortedKeys(l.env) {
			if now[name] != l.env[name] || l.env[name] == "" {
				l.Lines = append(l.Lines, name+"="+crontabValue(l.env[name]))
				now[name] = l.env[name]
			}
		}
		if l.spec.Description != "" {
			l.Lines = append(l.Lines, "# "+strings.Join(strings.Fields(l.spec.Description), " "))
		}
		l.Lines = append(l.Lines, l.entries...)
	}
	return lines
}

// crontabValue writes the value of a variable.
func crontabValue(value string) string {
	switch {
	case strings.Contains(value, `"`) && strings.Trim(value, " \t\"'") != value:
		return "'" + value + "'"
	case value == "", strings.Trim(value, " \t\"'") != value:
		return `"` + value + `"`
	}
	return value
}

// line fills in what a workflow is as a line; the error says why it is none.
func (x *crontabExporter) line(l *crontabLine) error {
	w := l.spec
	switch {
	case len(w.Tasks) == 0:
		return errors.New("its file does not load")
	case len(w.Schedule) == 0:
		return errors.New("it has no schedule")
	case len(w.Tasks) > 1:
		return fmt.Errorf("it has %d tasks", len(w.Tasks))
	}
	if err := x.leftover(w); err != nil {
		return err
	}
	if err := x.variables(l); err != nil {
		return err
	}
	front := ""
	switch {
	case x.system && w.User == "":
		return errors.New("it names no user")
	case x.system:
		front = w.User + " "
	case w.User != "" && w.User != x.self:
		return fmt.Errorf("its user is %s: export it with --system", w.User)
	}
	command, err := crontabCommand(w)
	if err != nil {
		return err
	}
	for _, schedule := range w.Schedule {
		fields, err := crontabFields(schedule)
		if err != nil {
			return err
		}
		l.entries = append(l.entries, fields+" "+front+command)
	}
	return x.check(l)
}

// crontabSays are the keys of a workflow, and then those of a task, that a line can say, or that say nothing about what
// is done.
var crontabSays = [2]string{" id name description schedule timezone overlap jitter env working_directory if shell " +
	"user tasks priority log_max_size log_keep expect ", " id name description run stdin timeout "}

// leftover finds what a workflow has and a line cannot say.
func (x *crontabExporter) leftover(w *Workflow) error {
	left := *w
	if string(crontabJSON(w.OnExit)) == string(crontabJSON(*x.mail)) {
		left.OnExit = nil
	}
	first := "" // one is enough, always the same
	for i, text := range [][]byte{crontabJSON(&left), crontabJSON(&w.Tasks[0])} {
		found := map[string]any{}
		if err := json.Unmarshal(text, &found); err != nil {
			return err
		}
		for key := range found {
			if !strings.Contains(crontabSays[i], " "+key+" ") && (first == "" || key < first) {
				first = key
			}
		}
	}
	switch {
	case first != "":
		return errors.New("cron has nothing for its " + first)
	case w.Tasks[0].Run == "":
		return errors.New("its task has no run")
	}
	return nil
}

// crontabJSON gives a value of our own as JSON, which never fails.
func crontabJSON(value any) []byte {
	text, _ := json.Marshal(value)
	return text
}

// variables finds the variables of a line.
func (x *crontabExporter) variables(l *crontabLine) error {
	w := l.spec
	l.env = map[string]string{"SHELL": crontabShell}
	maps.Copy(l.env, w.Env)
	if w.Timezone != "" {
		l.env["CRON_TZ"] = w.Timezone
	}
	if len(w.OnExit) == 0 { // nobody gets mail
		l.env["MAILTO"] = ""
	}
	if w.Shell != "" {
		shell, ok := strings.CutSuffix(w.Shell, " -c")
		if !ok || strings.Contains(shell, " ") {
			return fmt.Errorf("its shell has options: %s", w.Shell)
		}
		l.env["SHELL"] = shell
	}
	for name, value := range l.env {
		if strings.Contains(strings.ReplaceAll(value, "$${", ""), "${") || strings.ContainsAny(value, "\r\n") ||
			strings.ContainsAny(name, "'\" \t=#") {
			return fmt.Errorf("cron has no such value for %s", name)
		}
		l.env[name] = strings.ReplaceAll(value, "$${", "${")
	}
	return nil
}

// crontabFields writes a schedule as cron reads it.
func crontabFields(schedule string) (string, error) {
	lacks := errors.New("cron has no " + schedule)
	expr, err := cronParse(schedule, "")
	switch {
	case err != nil, expr.every > 0, expr.occasion == cronStart, expr.years != nil:
		return "", lacks
	case strings.HasPrefix(schedule, "@"):
		return schedule, nil
	}
	fields := strings.Fields(schedule)
	if len(fields) == 6 && fields[0] == "0" {
		fields = fields[1:]
	}
	if len(fields) != 5 {
		return "", lacks
	}
	for i, field := range fields {
		spec := &cronSpecs[cronMinute+i]
		items := strings.Split(field, ",")
		for k, item := range items {
			r, err := spec.item(strings.ToUpper(item))
			base, step, stepped := strings.Cut(item, "/")
			switch {
			case err != nil, r.kind == '~', r.hi > spec.top:
				return "", lacks
			case r.kind == 'H':
				items[k] = fmt.Sprintf("%d~%d", r.lo, r.hi)
			case stepped && base != "*":
				items[k] = fmt.Sprintf("%d-%d", r.lo, r.hi)
			default:
				items[k] = strings.ReplaceAll(item, "?", "*")
				continue
			}
			if stepped {
				items[k] += "/" + step
			}
		}
		fields[i] = strings.Join(items, ",")
	}
	return strings.Join(fields, " "), nil
}

// crontabCommand writes the command of a line, with what stands around it in place of keys.
func crontabCommand(w *Workflow) (string, error) {
	task := &w.Tasks[0]
	command := task.Run
	if strings.ContainsAny(strings.TrimSpace(command), "\n\r") {
		return "", errors.New("its script has several lines: put it into a file")
	}
	command = strings.TrimSpace(command)
	parts, _, ok := shellSplit(command)
	simple := ok && len(parts) == 1 && parts[0].op == ""
	locked := w.Overlap == "" || w.Overlap == "skip" || w.Overlap == "queue"
	if (locked || task.Timeout > 0) && !simple {
		command, simple = "sh -c "+shellQuote(command), true
	}
	if task.Timeout > 0 {
		command = fmt.Sprintf("timeout %d %s", int64(time.Duration(task.Timeout)/time.Second), command)
	}
	switch {
	case locked:
		option := "-n "
		if w.Overlap == "queue" {
			option = ""
		}
		command = "flock " + option + shellQuote("/var/lock/"+w.ID+".lock") + " " + command
	case w.Overlap != "allow":
		return "", fmt.Errorf("cron has no overlap: %s", w.Overlap)
	}
	linked := simple || ok && shellLinked(parts)
	below, home := strings.CutPrefix(w.WorkingDirectory, crontabHome)
	if w.WorkingDirectory != "" && w.WorkingDirectory != crontabHome {
		folder := shellQuote(w.WorkingDirectory)
		if home {
			folder = "~" + shellQuote(below)
		}
		if !linked {
			command, linked = "{ "+command+"; }", true
		}
		command = "cd " + folder + " && " + command
	}
	switch {
	case w.If == "":
	case strings.Contains(w.If, "\n"):
		return "", errors.New("its if has several lines")
	case linked:
		command = w.If + " && " + command
	default:
		command = "if " + w.If + "; then " + command + "; fi"
	}
	if w.Jitter > 0 {
		command = fmt.Sprintf("sleep $(shuf -i 0-%d -n 1) && %s", int64(time.Duration(w.Jitter)/time.Second), command)
	}
	var b strings.Builder
	for i := range len(command) {
		rest := command[i+1:]
		if command[i] == '%' || command[i] == '\\' && (rest == "" || rest[0] == '\\' || rest[0] == '%') {
			b.WriteByte('\\')
		}
		b.WriteByte(command[i])
	}
	if input := strings.TrimSuffix(task.Stdin, "\n"); task.Stdin != "" {
		b.WriteString("%" + strings.ReplaceAll(strings.ReplaceAll(input, "%", `\%`), "\n", "%"))
	}
	return b.String(), nil
}

// check reads the lines as an import would, and compares what comes of it with the workflow.
func (x *crontabExporter) check(l *crontabLine) error {
	source := crontabSource{Kind: crontabOfUser, User: l.spec.User}
	if x.system {
		source.Kind = crontabOfSystem
	}
	for _, name := range sortedKeys(l.env) {
		source.Text += name + "=" + crontabValue(l.env[name]) + "\n"
	}
	source.Text += l.entries[0] + "\n"
	jobs := crontabRead([]crontabSource{source}, time.Time{}, time.UTC)
	if len(jobs) != 1 || jobs[0].Spec == nil {
		return errors.New("its command cannot be written as a line")
	}
	want, got := crontabMeaning(l.spec), crontabMeaning(jobs[0].Spec)
	for i := range want {
		if want[i] != got[i] {
			return fmt.Errorf("as a line it would not be the same: %q in place of %q", textHead(got[i], 100),
				textHead(want[i], 100))
		}
	}
	return nil
}

// crontabMeaning gives what a line must say again.
func crontabMeaning(w *Workflow) []string {
	task := &w.Tasks[0]
	return []string{strings.TrimSpace(task.Run), task.Stdin, w.If, w.Jitter.String(), task.Timeout.String(), w.User,
		w.Timezone, orDefault(w.WorkingDirectory, crontabHome)}
}
