// workflow_task.go: the tasks of a workflow file, in the short form (run, cmd, python) and in CDKTR's long form (config
// with a tag), which become the same Task.

package main

import (
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// How long a task with retries waits between attempts if its file does not say.
const (
	workflowRetryDelay    = Duration(10 * time.Second) // retry_delay, where retries are set and it is not
	workflowRetryMaxDelay = Duration(5 * time.Minute)  // retry_max_delay, the same
)

// workflowTask is a task half read: what it says so far, and the places of that.
type workflowTask struct {
	Task
	at      *yaml.Node // its id
	keys    map[string]workflowPair
	depends []workflowItem // one for each of Task.Depends
	texts   []workflowText
}

// workflowActions are the keys of which a task has exactly one.
var workflowActions = []string{"run", "cmd", "python", "config"}

// workflowActionsLater are such keys that the file format has, but this version does not support.
var workflowActionsLater = []string{"http", "approve", "workflow"}

// workflowTaskLater are all keys of a task that the file format has, but this version does not support.
var workflowTaskLater = append([]string{"foreach", "max_parallel", "if", "params", "user", "limits", "secrets", "log",
	"expect", "gate", "on", "on_failure"}, workflowActionsLater...)

// workflowTaskKeys are the keys of a task, in the order that messages list them.
var workflowTaskKeys = []workflowKey[*workflowTask]{
	{"name", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Name, _ = r.scalar(p, "text") }},
	{"description", func(r *workflowReader, t *workflowTask, p workflowPair) {
		t.Description,
			_ = r.scalar(p, "text")
	}},
	{"run", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Run = r.filled(p, "a shell line") }},
	{"shell", func(r *workflowReader, t *workflowTask, p workflowPair) {
		t.Shell = r.filled(p, "a shell such as bash -euo pipefail -c")
	}},
	{"cmd", (*workflowReader).cmd},
	{"args", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Args = r.args(p, &t.texts) }},
	{"python", (*workflowReader).python},
	{"config", (*workflowReader).config},
	{"depends", (*workflowReader).depends},
	{"when", func(r *workflowReader, t *workflowTask, p workflowPair) {
		r.word(p, &t.When, whenSuccess, whenFailure, whenAlways)
	}},
	{"retries", func(r *workflowReader, t *workflowTask, p workflowPair) {
		r.whole(p, 0, workflowMaxRetries, &t.Retries)
	}},
	{"retry_delay", func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.RetryDelay) }},
	{"retry_max_delay", func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.RetryMaxDelay) }},
	{"timeout", func(r *workflowReader, t *workflowTask, p workflowPair) { r.duration(p, &t.Timeout) }},
	{"env", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Env = r.env(p, &t.texts) }},
	{"working_directory", func(r *workflowReader, t *workflowTask, p workflowPair) {
		t.WorkingDirectory = r.expanded(p, "a path", &t.texts)
	}},
}

// tasks reads the map of tasks.
func (r *workflowReader) tasks(d *workflowDraft, p workflowPair) {
	pairs, _ := r.table(p, "a map of tasks by their id")
	if len(pairs) > workflowMaxTasks {
		r.errorf(pairs[workflowMaxTasks].at, "there are %d tasks, more than %d: split the workflow", len(pairs),
			workflowMaxTasks)
		pairs = pairs[:workflowMaxTasks]
	}
	for _, one := range pairs {
		t := &workflowTask{Task: Task{ID: one.key}, at: one.at, keys: map[string]workflowPair{}}
		d.tasks = append(d.tasks, t)
		r.within("task "+workflowQuote(one.key), func() {
			r.taskID(one)
			if one.value.Kind == yaml.MappingNode {
				r.task(t, one.value)
				return
			}
			r.errorf(one.value, "want a map such as {run: make}, not %s", workflowKind(one.value))
		})
	}
}

// taskID checks a task's id, which becomes part of log lines and of an environment variable.
func (r *workflowReader) taskID(p workflowPair) {
	err := workflowWord(p.key)
	switch {
	case err != nil:
		r.errorf(p.at, "%v", err)
	case p.key == "", p.key == ".", p.key == "..":
		r.errorf(p.at, "this is no id")
	case !r.legacy && !workflowLabel(p.key):
		r.errorf(p.at, "an id may hold letters, digits and _ . - only")
	}
}

// task reads the keys of one task and checks how they go together.
func (r *workflowReader) task(t *workflowTask, n *yaml.Node) {
	r.plain(n)
	pairs, later := r.pairs(n), false
	for _, p := range pairs {
		later = later || slices.Contains(workflowActionsLater, p.key)
		if !workflowNull(p.value) {
			t.keys[p.key] = p
		}
	}
	r.dependencies(t, pairs)
	pairs = slices.DeleteFunc(pairs, func(p workflowPair) bool { return p.key == "dependencies" })
	workflowFill(r, t, pairs, workflowTaskKeys, workflowTaskLater)
	var actions []string
	for _, key := range workflowActions {
		if _, ok := t.keys[key]; ok {
			actions = append(actions, key)
		}
	}
	switch {
	case len(actions) == 0 && !later:
		r.errorf(t.at, "nothing says what it does: write one of %s", workflowOr(workflowActions))
	case len(actions) > 1:
		r.errorf(t.keys[actions[1]].at, "has %s: write only one of them", strings.Join(actions, " and "))
	}
	for _, rule := range [][2]string{{"args", "cmd"}, {"shell", "run"}} {
		key, has := t.keys[rule[0]]
		_, with := t.keys[rule[1]]
		if has && !with {
			r.errorf(key.at, "%s goes only with %s", rule[0], rule[1])
		}
	}
	r.retryDelays(t)
	r.habits(t)
}

// habits warns of what is usual in scripts but means something else in a task.
func (r *workflowReader) habits(t *workflowTask) {
	if p, ok := t.keys["cmd"]; ok && workflowSudo(t.Cmd) {
		r.warnf(p.value, "%s", workflowSudoText)
	}
	p, ok := t.keys["run"]
	if !ok {
		return
	}
	lines := strings.Split(strings.TrimSpace(t.Run), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if strings.HasSuffix(last, "&") && !strings.HasSuffix(last, "&&") {
		r.warnf(p.value, "& starts a command in the background, which is ended with the task: leave the & "+
			"out, or write wait after it")
	}
	if at := strings.LastIndex(last, "||"); at >= 0 {
		switch strings.TrimSpace(last[at+2:]) {
		case "true", ":", "exit 0":
			r.warnf(p.value, "%s at the end hides that the command before it has failed: the task always succeeds",
				last[at:])
		}
	}
	for _, line := range lines {
		for _, command := range strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(";|&(", c) }) {
			if words := strings.Fields(command); len(words) > 0 && workflowSudo(words[0]) {
				r.warnf(p.value, "%s", workflowSudoText)
				return
			}
		}
	}
}

// workflowSudoText warns of a task that becomes another user.
const workflowSudoText = "an agent that is not root cannot end what sudo starts: a timeout or cancel may leave it " +
	"running; start an agent as the user that is needed"

// workflowSudo says whether a command runs another command as another user.
func workflowSudo(command string) bool {
	return slices.Contains([]string{"sudo", "doas"}, path.Base(command))
}

// retryDelays fills in the delays that are not written. A task without retries has none.
func (r *workflowReader) retryDelays(t *workflowTask) {
	delay, delayed := t.keys["retry_delay"]
	most, limited := t.keys["retry_max_delay"]
	if t.Retries == 0 {
		_, written := t.keys["retries"]
		switch {
		case !written && delayed:
			r.warnf(delay.at, "%s does nothing without retries", delay.key)
		case !written && limited:
			r.warnf(most.at, "%s does nothing without retries", most.key)
		}
		t.RetryDelay, t.RetryMaxDelay = 0, 0
		return
	}
	if !delayed {
		t.RetryDelay = workflowRetryDelay
		if limited {
			t.RetryDelay = min(t.RetryDelay, t.RetryMaxDelay)
		}
	}
	if !limited {
		t.RetryMaxDelay = max(workflowRetryMaxDelay, t.RetryDelay)
	}
	if t.RetryDelay > t.RetryMaxDelay {
		r.errorf(most.value, "retry_max_delay %s is shorter than retry_delay %s", t.RetryMaxDelay, t.RetryDelay)
	}
}

// filled reads p as a text that may not be blank.
func (r *workflowReader) filled(p workflowPair, want string) string {
	text, ok := r.scalar(p, want)
	if ok && strings.TrimSpace(text) == "" {
		r.errorf(p.value, "%s is empty: want %s", p.key, want)
	}
	return text
}

// dependencies reads the key that CDKTR's own example has in place of depends, and that CDKTR ignores.
func (r *workflowReader) dependencies(t *workflowTask, pairs []workflowPair) {
	p, ok := t.keys["dependencies"]
	if !ok {
		return
	}
	if _, both := t.keys["depends"]; both {
		r.complainf(p.at, "dependencies and depends are the same key: write depends")
		return
	}
	r.warnf(p.at, "dependencies is read as depends: write depends (CDKTR ignores it)")
	r.depends(t, p)
}

// depends reads the ids of the tasks that come before, each once.
func (r *workflowReader) depends(t *workflowTask, p workflowPair) {
	items, _ := r.texts(p, "the id of a task or a list of them", true)
	if len(items) > workflowMaxTasks {
		r.errorf(p.value, "depends: there are %d ids, more than %d", len(items), workflowMaxTasks)
		return
	}
	for _, item := range items {
		if !slices.Contains(t.Depends, item.text) {
			t.Depends, t.depends = append(t.Depends, item.text), append(t.depends, item)
		}
	}
}

// args reads the arguments of a program. A null among them is the text as it is written.
func (r *workflowReader) args(p workflowPair, texts *[]workflowText) []string {
	items, _ := r.texts(p, "a list such as [-v, file]", false)
	args := make([]string, len(items))
	for i, item := range items {
		args[i] = item.text
		*texts = append(*texts, workflowText{key: p.key, at: item.at, text: &args[i]})
	}
	if len(args) == 0 {
		return nil
	}
	return args
}

// workflowPythonKeys are the keys of python, the short form.
var workflowPythonKeys = []workflowKey[*workflowTask]{
	{"script", (*workflowReader).script},
	{"packages", (*workflowReader).packages},
	{"project", func(r *workflowReader, t *workflowTask, p workflowPair) { r.flag(p, &t.Python.Project) }},
	{"uv", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Python.UV, _ = r.scalar(p, "a path") }},
	{"working_directory", (*workflowReader).pythonDirectory},
}

// workflowUvPythonKeys are the keys of config: !UvPython, and workflowSubprocessKeys those of config: !Subprocess.
var (
	workflowUvPythonKeys = []workflowKey[*workflowTask]{
		{"script_path", (*workflowReader).script},
		{"packages", (*workflowReader).packages},
		{"is_uv_project", func(r *workflowReader, t *workflowTask, p workflowPair) { r.flag(p, &t.Python.Project) }},
		{"uv_path", func(r *workflowReader, t *workflowTask, p workflowPair) {
			t.Python.UV,
				_ = r.scalar(p, "a path")
		}},
		{"working_directory", (*workflowReader).pythonDirectory},
	}
	workflowSubprocessKeys = []workflowKey[*workflowTask]{
		{"cmd", (*workflowReader).cmd},
		{"args", func(r *workflowReader, t *workflowTask, p workflowPair) { t.Args = r.args(p, &t.texts) }},
	}
)

// cmd reads the program of a task. Its arguments belong in args: a whole command line here is no program's name.
func (r *workflowReader) cmd(t *workflowTask, p workflowPair) {
	t.Cmd = r.filled(p, "a program")
	t.texts = append(t.texts, workflowText{key: p.key, at: p.value, text: &t.Cmd})
	words := strings.Fields(t.Cmd)
	if len(words) < 2 {
		return
	}
	if strings.Contains(words[0], "/") && !strings.HasPrefix(words[1], "-") { // a path may have a space in it
		return
	}
	r.warnf(p.value, "cmd is one program without its arguments, and %q is none: write cmd: %s with args: [%s], or "+
		"run: for a shell line", t.Cmd, words[0], strings.Join(words[1:], ", "))
}

func (r *workflowReader) script(t *workflowTask, p workflowPair) {
	t.Python.Script = r.filled(p, "the path of a script")
}

func (r *workflowReader) packages(t *workflowTask, p workflowPair) {
	items, _ := r.texts(p, "a list such as [pandas]", false)
	for _, item := range items {
		t.Python.Packages = append(t.Python.Packages, item.text)
	}
}

func (r *workflowReader) pythonDirectory(t *workflowTask, p workflowPair) {
	t.Python.WorkingDirectory, _ = r.scalar(p, "a path")
	t.texts = append(t.texts, workflowText{key: p.key, at: p.value, text: &t.Python.WorkingDirectory})
}

// python reads the short form of !UvPython.
func (r *workflowReader) python(t *workflowTask, p workflowPair) {
	t.Python = &Python{}
	pairs, ok := r.table(p, "a map such as {script: report.py}")
	r.within("python", func() { workflowFill(r, t, pairs, workflowPythonKeys, nil) })
	r.required(ok, p, pairs, "script")
}

// config reads the form that CDKTR has in place of cmd and python: a map with a tag. CDKTR replaces nothing in its
// texts, so a ${…} that is no reference of ours stays as it is: shell commands in args are full of them.
func (r *workflowReader) config(t *workflowTask, p workflowPair) {
	tag := ""
	if p.value.Style&yaml.TaggedStyle != 0 {
		tag = p.value.Tag
	}
	tags := []string{"!Subprocess", "!UvPython"}
	switch {
	case tag == "":
		r.errorf(p.value, "config: want the tag !Subprocess or !UvPython before the map, as in config: !Subprocess "+
			"{cmd: ls}")
		return
	case !slices.Contains(tags, tag):
		r.errorf(p.value, "config: tag %s is not known: want !Subprocess or !UvPython%s", tag, r.meant(tag, tags))
		return
	case p.value.Kind != yaml.MappingNode:
		r.errorf(p.value, "config: want a map after %s", tag)
		return
	}
	before, pairs := len(t.texts), r.pairs(p.value)
	if tag == "!Subprocess" {
		r.within("config", func() { workflowFill(r, t, pairs, workflowSubprocessKeys, nil) })
		r.required(true, p, pairs, "cmd")
	} else {
		t.Python = &Python{}
		r.within("config", func() { workflowFill(r, t, pairs, workflowUvPythonKeys, nil) })
		r.required(true, p, pairs, "script_path")
	}
	for i := range t.texts[before:] {
		t.texts[before+i].loose = true
	}
}

// required notes a fault if a map, read well so far, does not have a key that it must have.
func (r *workflowReader) required(read bool, p workflowPair, pairs []workflowPair, key string) {
	has := slices.ContainsFunc(pairs, func(p workflowPair) bool { return p.key == key && !workflowNull(p.value) })
	if read && !has {
		r.errorf(p.value, "%s: %s is missing", p.key, key)
	}
}

// expanded reads p as a text in which references are replaced when it is used. It adds the text to texts, to be
// checked.
func (r *workflowReader) expanded(p workflowPair, want string, texts *[]workflowText) string {
	text, ok := r.scalar(p, want)
	if ok {
		*texts = append(*texts, workflowText{key: p.key, at: p.value, text: &text})
	}
	return text
}
