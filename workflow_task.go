// workflow_task.go: the tasks of a workflow file, in the short form (run, cmd, python) and in CDKTR's long form (config
// with a tag), which become the same Task.

package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
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

// tasks reads the map of tasks.
func (r *workflowReader) tasks(d *workflowDraft, p workflowPair) {
	d.tasks = r.taskMap(p, workflowMaxTasks)
}

// taskMap reads a map of tasks, of which there may be so many.
func (r *workflowReader) taskMap(p workflowPair, most int) (tasks []*workflowTask) {
	pairs, _ := r.table(p, "a map of tasks by their id")
	if len(pairs) > most {
		r.errorf(pairs[most].at, "there are %d tasks, more than %d: split the workflow", len(pairs), most)
		pairs = pairs[:most]
	}
	for _, one := range pairs {
		t := &workflowTask{Task: Task{ID: one.key}, at: one.at, keys: map[string]workflowPair{}}
		tasks = append(tasks, t)
		r.within("task "+workflowQuote(one.key), func() {
			r.taskID(one)
			if one.value.Kind == yaml.MappingNode {
				r.task(t, one.value)
				return
			}
			r.errorf(one.value, "want a map such as {run: make}, not %s", workflowKind(one.value))
		})
	}
	return tasks
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
	pairs := r.pairs(n)
	for _, p := range pairs {
		if !workflowNull(p.value) {
			t.keys[p.key] = p
		}
	}
	r.dependencies(t, pairs)
	pairs = slices.DeleteFunc(pairs, func(p workflowPair) bool { return p.key == "dependencies" || workflowOwn(p) })
	workflowFill(r, t, pairs, workflowTaskKeys, nil)
	var actions []string
	for _, key := range workflowActions {
		if _, ok := t.keys[key]; ok {
			actions = append(actions, key)
		}
	}
	switch {
	case len(actions) == 0:
		r.errorf(t.at, "nothing says what it does: write one of %s", workflowOr(workflowActions))
	case len(actions) > 1:
		r.errorf(t.keys[actions[1]].at, "has %s: write only one of them", strings.Join(actions, " and "))
	}
	if grace, has := t.keys["grace"]; has && t.StopSignal == "KILL" {
		r.errorf(grace.at, "grace does nothing with stop_signal: KILL, which ends the task at once: write one of them")
	}
	has := func(key string) bool { _, ok := t.keys[key]; return ok }
	if has("args") && !has("cmd") {
		r.errorf(t.keys["args"].at, "args goes only with cmd")
	}
	if has("shell") && !has("run") && !has("if") && (t.Repeat == nil || t.Repeat.Until == "") {
		r.errorf(t.keys["shell"].at, "shell goes only with run or if")
	}
	t.repeatAlone(r)
	t.foreachFits(r)
	t.asksAlone(r)
	t.poolAlone(r)
	t.agentAlone(r)
	t.httpAlone(r)
	r.retryDelays(t)
	t.exitsAgree(r)
	r.habits(t)
}

// workflowAsksForProgram warns of a condition that looks for a program: some shells end with 127 where there is none.
func workflowAsksForProgram(r *workflowReader, p workflowPair, line string) {
	for command := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(";|&\n", c) }) {
		words := strings.Fields(strings.TrimLeft(command, " !"))
		if len(words) > 2 && words[0] == "command" && words[1] == "-v" {
			r.warnf(p.value, "where there is no %s, some shells end command -v with 127, which is no answer but a "+
				"failure: write test -n \"$(command -v %[1]s)\"", words[2])
			return
		}
	}
}

// habits warns of what is usual in scripts but means something else in a task.
func (r *workflowReader) habits(t *workflowTask) {
	if p, ok := t.keys["if"]; ok {
		workflowAsksForProgram(r, p, t.If)
	}
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
	if guard, _, ok := strings.Cut(last, "&&"); ok && workflowGuard(guard) && !strings.Contains(last, "||") {
		r.warnf(p.value, "where %s says no, the task has failed: write that as its if, which skips it",
			workflowQuote(strings.TrimSpace(guard)))
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

// workflowGuard says whether the front of a line, up to its first &&, is a test, as of a file that may be missing.
func workflowGuard(front string) bool {
	front = strings.TrimSpace(front)
	return strings.HasPrefix(front, "[") || strings.HasPrefix(front, "test ")
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
		case !written && len(t.RetryExit) > 0:
			r.warnf(t.keys["retry_exit"].at, "retry_exit does nothing without retries")
		}
		t.RetryDelay, t.RetryMaxDelay, t.RetryExit = 0, 0, nil
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

// exits reads p as exit codes from lo up: one, or a list of them.
func (r *workflowReader) exits(p workflowPair, lo int) (codes []int) {
	want := fmt.Sprintf("exit codes from %d to %d, such as [%d, 24]", lo, workflowMaxExit, lo)
	items, good := r.texts(p, want, true)
	for _, item := range items {
		code, err := strconv.Atoi(item.text)
		switch {
		case !good: // texts has said what is wrong
		case err != nil || code < lo || code > workflowMaxExit:
			r.errorf(item.at, "%s: want %s, not %s", p.key, want, workflowQuote(item.text))
		case !slices.Contains(codes, code):
			codes = append(codes, code)
		}
	}
	if good && len(items) == 0 {
		r.errorf(p.value, "%s: the list is empty: want %s", p.key, want)
	}
	return codes
}

// allowFailure reads with which exit codes a failure is allowed: true for every failure, or a code or a list of them.
func (r *workflowReader) allowFailure(t *workflowTask, p workflowPair) {
	if p.value.Kind == yaml.ScalarNode {
		switch strings.ToLower(p.value.Value) {
		case "true":
			t.AllowFailure = ExitCodes{}
			return
		case "false":
			return
		case "yes", "no":
			r.errorf(p.value, "allow_failure: want true, or exit codes from 1 to 255 such as [1, 24], not %s",
				workflowQuote(p.value.Value))
			return
		}
	}
	t.AllowFailure = r.exits(p, 1)
}

// guard reads an if: a shell line. It is an argument of the shell, and so has a bound.
func (r *workflowReader) guard(p workflowPair, to *string) {
	*to = r.filled(p, "a shell line such as test -x /usr/bin/pg_dump")
	if len(*to) > workflowMaxIf {
		r.errorf(p.value, "if has %d bytes and may have %d: put it into a script, and name that here", len(*to),
			workflowMaxIf)
	}
}

// exitsAgree finds exit codes that are a success and are to be tried again, or allowed to be none.
func (t *workflowTask) exitsAgree(r *workflowReader) {
	for _, code := range t.AllowFailure {
		if t.succeedsWith(code) {
			r.errorf(t.keys["allow_failure"].value, "allow_failure: %d is in success_exit: it is no failure", code)
		}
	}
	for _, code := range t.RetryExit {
		if t.succeedsWith(code) {
			r.errorf(t.keys["retry_exit"].value,
				"retry_exit: %d is in success_exit: what has succeeded is not tried again",
				code)
		}
	}
}

// signal reads p as one of stopSignals, with or without SIG and in letters of any case.
func (r *workflowReader) signal(p workflowPair, to *string) {
	text, ok := r.scalar(p, workflowOr(stopSignals))
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	switch _, err := strconv.Atoi(text); {
	case !ok:
	case slices.Contains(stopSignals, name):
		*to = name
	case err == nil:
		r.errorf(p.value, "%s: want the name of a signal, %s: a number is another signal on another machine", p.key,
			workflowOr(stopSignals))
	default:
		r.errorf(p.value, "%s: want %s, not %s%s", p.key, workflowOr(stopSignals), workflowQuote(text),
			r.meant(name, stopSignals))
	}
}

// workflowGrace reads how long a stop waits before KILL.
func workflowGrace(r *workflowReader, t *workflowTask, p workflowPair) {
	r.duration(p, &t.Grace)
	if text, err := parseDuration(p.value.Value); err == nil && (text <= 0 || text > workflowMaxGrace) {
		r.errorf(p.value, "grace: want more than 0 and at most %s, not %s (stop_signal: KILL ends a task at once)",
			Duration(workflowMaxGrace), workflowQuote(p.value.Value))
	}
}

// workflowStdin reads a text for standard input. It ends in a newline, as the lines that somebody types do.
func workflowStdin(r *workflowReader, t *workflowTask, p workflowPair) {
	text, ok := r.scalar(p, "text")
	if len(text) > workflowMaxStdin {
		r.errorf(p.value, "stdin: %d bytes are more than %d: have the task read a file", len(text), workflowMaxStdin)
	}
	if ok && text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	t.Stdin = text
}

// workflowUmask reads a file mode creation mask.
func workflowUmask(r *workflowReader, t *workflowTask, p workflowPair) {
	const want = `three octal digits such as "027"`
	text, ok := r.scalar(p, want)
	digits := text
	if len(text) == 4 {
		digits = strings.TrimPrefix(text, "0")
	}
	if ok && (len(digits) != 3 || strings.Trim(digits, "01234567") != "") {
		r.errorf(p.value, "umask: want %s, not %s", want, workflowQuote(text))
		return
	}
	t.Umask = digits
}

// shell reads a shell with its options.
func (r *workflowReader) shell(p workflowPair) string {
	text := r.filled(p, "a shell such as bash -euo pipefail -c")
	words := strings.Fields(text)
	takesScript := func(word string) bool {
		return strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--") && strings.Contains(word, "c")
	}
	if len(words) > 0 && scriptReads(words[0]) != "" && !slices.ContainsFunc(words[1:], takesScript) {
		r.warnf(p.value, "shell: %s takes the script for the name of a file: write %[1]s -c", strings.Join(words, " "))
	}
	return text
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

// script reads the script that uv runs.
func (r *workflowReader) script(t *workflowTask, p workflowPair) {
	t.Python.Script = r.filled(p, "the path of a script")
}

// packages reads the packages that uv gives to a script.
func (r *workflowReader) packages(t *workflowTask, p workflowPair) {
	items, _ := r.texts(p, "a list such as [pandas]", false)
	for _, item := range items {
		t.Python.Packages = append(t.Python.Packages, item.text)
	}
}

// pythonDirectory reads the folder in which a script starts.
func (r *workflowReader) pythonDirectory(t *workflowTask, p workflowPair) {
	t.Python.WorkingDirectory, _ = r.scalar(p, "a path")
	t.texts = append(t.texts, workflowText{key: p.key, at: p.value, text: &t.Python.WorkingDirectory})
}

// python reads the short form of !UvPython.
func (r *workflowReader) python(t *workflowTask, p workflowPair) {
	t.Python = &Python{}
	pairs, ok := r.table(p, "a map such as {script: report.py}")
	r.within("python", func() {
		workflowFill(r, t, pairs, workflowPythonKeys, nil)
		workflowUnusedPackages(r, t, pairs)
	})
	r.required(ok, p, pairs, "script")
}

// workflowUnusedPackages warns of packages of a project, which come to nothing.
func workflowUnusedPackages(r *workflowReader, t *workflowTask, pairs []workflowPair) {
	for _, p := range pairs {
		if p.key == "packages" && t.Python.Project && len(t.Python.Packages) > 0 {
			r.warnf(p.at, "packages does nothing in a project: write them into its pyproject.toml")
		}
	}
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
		r.within("config", func() {
			workflowFill(r, t, pairs, workflowUvPythonKeys, nil)
			workflowUnusedPackages(r, t, pairs)
		})
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
