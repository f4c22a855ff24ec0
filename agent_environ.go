// agent_values.go: what a task is given: its arguments, its environment, its folder, and how outputs pass from task to
// task. A shell line gets values through its environment alone; ${...} is replaced where no shell reads it. Pure but
// for the reading of env files and outputs.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

const (
	outputsMax    = 64 << 10  // bytes of $CDKTR_OUTPUT
	outputsRunMax = 256 << 10 // bytes of all outputs of a run, as JSON
	envFileMax    = 1 << 20   // bytes of an env_file; a larger one fails the task
	defaultShell  = "/bin/sh -c"
)

// taskValues is how a task's process is started.
type taskValues struct {
	argv []string
	env  []string
	dir  string
}

// taskValuesOf puts together what attempt n of task i is given. Later entries of the environment win: the agent's own,
// env files, the workflow's env, outputs of the tasks before, parameters, the task's env, the facts of the run. Of
// outputs it reads those of the tasks before i alone. stage is told what it is about to wait for: files may hang.
func taskValuesOf(environ []string, as *assignment, d *dag, i, attempt int, outputs []taskOutputs, outputFile string,
	stage func(string)) (taskValues, []string, error) {
	w, task := as.Spec, &as.Spec.Tasks[i]
	env := newEnviron(environ)
	before := func(j int) bool { return d.ancestor(j, i) }
	lookup := func(ref string) (string, bool) { return lookupRef(ref, as, env, outputs, before) }
	for _, file := range w.EnvFile {
		stage("read env_file " + file)
		if err := env.addFile(file); err != nil {
			return taskValues{}, nil, err
		}
	}
	if err := env.expandAll(w.Env, lookup); err != nil {
		return taskValues{}, nil, err
	}
	values, warnings := outputsBefore(w, d, i, outputs)
	for _, k := range sortedKeys(values) {
		env.set(k, values[k])
	}
	for _, k := range sortedKeys(as.Params) {
		env.set("PARAM_"+strings.ToUpper(k), as.Params[k])
	}
	if err := env.expandAll(task.Env, lookup); err != nil {
		return taskValues{}, nil, err
	}
	env.set("CDKTR_RUN_ID", as.Run)
	env.set("CDKTR_WORKFLOW_ID", w.ID)
	env.set("CDKTR_TASK_ID", task.ID)
	env.set("CDKTR_ATTEMPT", strconv.Itoa(attempt))
	env.set("CDKTR_SCHEDULED_AT", scheduledText(as))
	env.set("CDKTR_OUTPUT", outputFile)
	v := taskValues{env: env.list}
	var err error
	if v.dir, err = workflowExpand(orDefault(task.WorkingDirectory, w.WorkingDirectory), lookup); err != nil {
		return v, nil, err
	}
	v.argv, v.dir, err = taskArgv(task, v.dir, lookup)
	return v, warnings, err
}

// taskArgv gives the program and its arguments, and the folder where the task's kind names its own.
func taskArgv(task *Task, dir string, lookup func(string) (string, bool)) ([]string, string, error) {
	var argv []string
	switch {
	case task.Run != "":
		return append(strings.Fields(orDefault(task.Shell, defaultShell)), task.Run), dir, nil
	case task.Python != nil:
		py := task.Python
		argv = []string{orDefault(py.UV, "uv"), "run"}
		if !py.Project {
			for _, p := range py.Packages {
				argv = append(argv, "--with", p)
			}
		}
		argv = append(argv, py.Script)
		if py.WorkingDirectory != "" {
			own, err := workflowExpand(py.WorkingDirectory, lookup)
			if err != nil {
				return nil, dir, err
			}
			dir = own
		}
	default:
		argv = append([]string{task.Cmd}, task.Args...)
	}
	for i := range argv {
		text, err := workflowExpand(argv[i], lookup)
		if err != nil {
			return nil, dir, err
		}
		argv[i] = text
	}
	return argv, dir, nil
}

// scheduledText gives the time that a run stands for: its tick, RFC 3339; empty when it was not fired by a schedule.
func scheduledText(as *assignment) string {
	if as.Scheduled.IsZero() {
		return ""
	}
	return as.Scheduled.Format("2006-01-02T15:04:05Z")
}

// lookupRef gives the value of a reference, as params.day or tasks.dump.outputs.file. Outputs are those of tasks
// before.
func lookupRef(ref string, as *assignment, env *environ, outputs []taskOutputs, before func(int) bool) (string, bool) {
	kind, rest, _ := strings.Cut(ref, ".")
	switch kind {
	case "params":
		v, ok := as.Params[rest]
		return v, ok
	case "env":
		return env.get(rest), true
	case "run":
		switch rest {
		case "id":
			return as.Run, true
		case "scheduled_at":
			return scheduledText(as), true
		}
	case "tasks":
		for i := range as.Spec.Tasks {
			if key, ok := strings.CutPrefix(rest, as.Spec.Tasks[i].ID+".outputs."); ok && before(i) {
				v, ok := outputs[i].values[key]
				return v, ok
			}
		}
	}
	return "", false
}

// outputsBefore gathers what the tasks before task i handed on. Of two that wrote one key the nearer wins; at the same
// distance the one that ended later, and a warning says so.
func outputsBefore(w *Workflow, d *dag, i int, outputs []taskOutputs) (map[string]string, []string) {
	values, from := map[string]string{}, map[string]int{}
	var warnings []string
	seen := map[int]bool{i: true}
	for ring := d.deps(i); len(ring) > 0; {
		var next []int
		here := map[string]bool{} // keys first met in this ring
		for _, j := range ring {
			if seen[j] {
				continue
			}
			seen[j] = true
			next = append(next, d.deps(j)...)
			for _, k := range sortedKeys(outputs[j].values) {
				other, met := from[k]
				switch {
				case !met:
					here[k] = true
				case !here[k]:
					continue
				default:
					winner := j
					if outputs[other].order > outputs[j].order {
						winner = other
					}
					warnings = append(warnings, fmt.Sprintf("both %s and %s hand on %s: %s ended later and wins",
						w.Tasks[other].ID, w.Tasks[j].ID, k, w.Tasks[winner].ID))
					if winner == other {
						continue
					}
				}
				values[k], from[k] = outputs[j].values[k], j
			}
		}
		ring = next
	}
	return values, warnings
}

// outputsRead takes in and removes the file that a task wrote its outputs to. No file is no outputs. It may hang with
// the file system: no loop may call it.
func outputsRead(file string) (map[string]string, error) {
	defer os.Remove(file) // what cannot be removed is removed with the folder
	text, _, err := fileRead(file, outputsMax)
	switch tooLarge := (*fileSizeError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &tooLarge):
		return nil, fmt.Errorf("outputs are more than %d KiB: write large data to a file and hand on its name",
			outputsMax>>10)
	case err != nil:
		return nil, fmt.Errorf("read outputs: $CDKTR_OUTPUT: %w", pathCause(err))
	}
	return outputsParse(text)
}

// outputsSize gives the bytes of outputs, as JSON.
func outputsSize(outputs map[string]string) int {
	if len(outputs) == 0 {
		return 0
	}
	return protoSize(outputs)
}

// envText is text of KEY=value lines: an env file, or outputs.
type envText struct {
	name    string // of the file, for errors
	outputs bool   // what a task hands on: values are as they are written, and may have several lines
	values  map[string]string
}

// envFileParse reads an env file: KEY=value lines. Empty lines and those that begin with # are passed over, `export `
// in front is allowed. A value in quotes is what is between them, and they must be closed on its line; of any other,
// blanks around it and a comment, # behind a blank, are left out.
func envFileParse(text []byte, name string) (map[string]string, error) {
	return (&envText{name: name, values: map[string]string{}}).parse(text)
}

// outputsParse reads outputs: KEY=value lines, and KEY<<END with the lines of the value and a line END behind it. Empty
// lines and those that begin with # are passed over, `export ` in front is allowed, and quotes around a whole value are
// taken off.
func outputsParse(text []byte) (map[string]string, error) {
	return (&envText{name: "$CDKTR_OUTPUT", outputs: true, values: map[string]string{}}).parse(text)
}

// parse reads all lines. An error names the file and the line.
func (e *envText) parse(text []byte) (map[string]string, error) {
	lines := strings.Split(string(text), "\n")
	for at := 0; at < len(lines); at++ {
		line := strings.TrimLeft(strings.TrimSuffix(lines[at], "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		begun := at + 1
		fault := func(format string, args ...any) (map[string]string, error) {
			return nil, fmt.Errorf("%s:%d: "+format, append([]any{e.name, begun}, args...)...)
		}
		line = strings.TrimPrefix(line, "export ")
		key, value, ok := strings.Cut(line, "=")
		before, end, long := strings.Cut(key, "<<")
		if long = long && e.outputs; long {
			if ok {
				end += "=" + value
			}
			if key, value, ok = before, "", end != ""; ok {
				if value, at, ok = envLong(lines, at, end); !ok {
					return fault("%s<<%.60s: there is no line %s that ends the value", before, end, end)
				}
			}
		}
		if key = strings.TrimSpace(key); !ok || !envNameOK(key) {
			return fault("want KEY=value, not %.60q", line)
		}
		if err := textFault(value); err != nil {
			return fault("the value of %s %w", key, err)
		}
		if !long {
			var err error
			if value, err = e.value(value); err != nil {
				return fault("the value of %s %w", key, err)
			}
		}
		e.values[key] = value
	}
	return e.values, nil
}

// envLong gives the lines behind line at, up to one that is end, and the place of that.
func envLong(lines []string, at int, end string) (value string, last int, ok bool) {
	for last = at + 1; last < len(lines); last++ {
		if strings.TrimSuffix(lines[last], "\r") == end {
			return strings.Join(lines[at+1:last], "\n"), last, true
		}
	}
	return "", at, false
}

// value takes off quotes and what is no part of a value.
func (e *envText) value(text string) (string, error) {
	if e.outputs {
		if len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
			text = text[1 : len(text)-1]
		}
		return text, nil
	}
	text = strings.Trim(text, " \t")
	if text == "" || text[0] != '"' && text[0] != '\'' {
		for i := range len(text) {
			if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
				return strings.TrimRight(text[:i], " \t"), nil
			}
		}
		return text, nil
	}
	inside, behind, closed := strings.Cut(text[1:], text[:1])
	switch rest := strings.TrimLeft(behind, " \t"); {
	case !closed:
		return "", fmt.Errorf("begins with %s and nothing on its line closes that", text[:1])
	case rest != "" && (rest[0] != '#' || rest == behind):
		return "", fmt.Errorf("goes on behind the quote that closes it: %.60q", rest)
	}
	return inside, nil
}

// envNameOK says whether a name can be that of an environment variable.
func envNameOK(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// environ is an environment being put together: set replaces.
type environ struct {
	list []string
	at   map[string]int
}

func newEnviron(base []string) *environ {
	e := &environ{at: make(map[string]int, len(base)+16), list: make([]string, 0, len(base)+16)}
	for _, kv := range base {
		if k, v, ok := strings.Cut(kv, "="); ok {
			e.set(k, v)
		}
	}
	return e
}

func (e *environ) set(key, value string) {
	if i, ok := e.at[key]; ok {
		e.list[i] = key + "=" + value
		return
	}
	e.at[key] = len(e.list)
	e.list = append(e.list, key+"="+value)
}

func (e *environ) get(key string) string {
	if i, ok := e.at[key]; ok {
		return e.list[i][len(key)+1:]
	}
	return ""
}

// expandAll sets variables whose values may have references in them.
func (e *environ) expandAll(vars map[string]string, lookup func(string) (string, bool)) error {
	for _, k := range sortedKeys(vars) {
		text, err := workflowExpand(vars[k], lookup)
		if err != nil {
			return fmt.Errorf("env %s: %w", k, err)
		}
		e.set(k, text)
	}
	return nil
}

// addFile reads an env file into e. It may hang with the file system: no loop may call it.
func (e *environ) addFile(file string) error {
	text, _, err := fileRead(file, envFileMax)
	if err != nil {
		return fmt.Errorf("read env_file %s: %w", file, pathCause(err))
	}
	values, err := envFileParse(text, file)
	if err != nil {
		return fmt.Errorf("read env_file: %w", err)
	}
	for _, k := range sortedKeys(values) {
		e.set(k, values[k])
	}
	return nil
}

// Who the user of this process is, by /etc/passwd: what cron and login set for those whom they start,
// and an init system often does not.

const (
	userFile    = "/etc/passwd"
	userFileMax = 4 << 20 // bytes; of a larger one nothing is taken
)

// userVars is what userEnviron sets.
var userVars = []string{"HOME", "USER", "LOGNAME", "SHELL"}

// userEnviron gives environ with HOME, USER, LOGNAME and SHELL where these are missing, as the passwd file has them for
// the user with this number. A user who is not in it, as one of a directory service, or a file that cannot be read,
// sets nothing. It reads the file only where something is missing; no loop may call it.
func userEnviron(environ []string, file string, uid int) []string {
	has := map[string]bool{}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		has[name] = true
	}
	if has["HOME"] && has["USER"] && has["LOGNAME"] && has["SHELL"] {
		return environ
	}
	f := userLine(file, uid)
	if f == nil {
		return environ
	}
	values := map[string]string{"HOME": f[5], "USER": f[0], "LOGNAME": f[0], "SHELL": f[6]}
	if values["SHELL"] == "" {
		values["SHELL"] = "/bin/sh"
	}
	added := append([]string{}, environ...)
	for _, name := range userVars {
		if !has[name] && values[name] != "" {
			added = append(added, name+"="+values[name])
		}
	}
	return added
}

// userLine finds the line of a user in the passwd file: its seven fields, nil when there is none. No loop may call it.
func userLine(file string, uid int) []string {
	text, _, err := fileRead(file, userFileMax)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		// passwd(5): name, password, uid, gid, comment, home, shell
		f := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(f) == 7 && f[2] == strconv.Itoa(uid) && f[0] != "" {
			return f
		}
	}
	return nil
}

// userName gives the name of a user, its number where the passwd file has none. No loop may call it.
func userName(file string, uid int) string {
	if f := userLine(file, uid); f != nil {
		return f[0]
	}
	return strconv.Itoa(uid)
}

// userID gives the number of the user as whom this process acts.
func userID() int { return os.Geteuid() }
