// values.go: what a task is given: its arguments, its environment, its folder, and how outputs pass from task to task.
// A shell line gets values through its environment alone; ${...} is replaced where no shell reads it. Pure but for the
// reading of env files and outputs. May use workflow (expansion), dag and model.

package main

import (
	"bufio"
	"bytes"
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
	envFileMax    = 1 << 20
	defaultShell  = "/bin/sh -c"
)

// taskValues is how a task's process is started.
type taskValues struct {
	argv []string
	env  []string
	dir  string
}

// taskValuesOf puts together what attempt n of task i is given. Later entries of the environment win: the agent's own,
// env files, the workflow's env, outputs of the tasks before, parameters, the task's env, the facts of the run. Of outputs
// it reads those of the tasks before i alone. stage is told what it is about to wait for: files may hang.
func taskValuesOf(environ []string, as *assignment, d *dag, i, attempt int, outputs []taskOutputs, outputFile string, stage func(string)) (taskValues, []string, error) {
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

// lookupRef gives the value of a reference, as params.day or tasks.dump.outputs.file. Outputs are those of tasks before.
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

// outputsRead takes in and removes the file that a task wrote its outputs to. No file is no outputs. It may hang with the
// file system: no loop may call it.
func outputsRead(file string) (map[string]string, error) {
	defer os.Remove(file) // what cannot be removed is removed with the folder
	text, _, err := fileRead(file, outputsMax)
	switch tooLarge := (*fileSizeError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &tooLarge):
		return nil, fmt.Errorf("outputs are more than %d KiB: write large data to a file and hand on its name", outputsMax>>10)
	case err != nil:
		return nil, fmt.Errorf("read outputs: $CDKTR_OUTPUT: %w", pathCause(err))
	}
	return envParse(text, "$CDKTR_OUTPUT")
}

// outputsSize gives the bytes of outputs, as JSON.
func outputsSize(outputs map[string]string) int {
	if len(outputs) == 0 {
		return 0
	}
	return protoSize(outputs)
}

// envParse reads KEY=value lines. Empty lines and those that begin with # are passed over, `export ` in front is
// allowed, and quotes around a whole value are taken off.
func envParse(text []byte, name string) (map[string]string, error) {
	values := map[string]string{}
	scan := bufio.NewScanner(bytes.NewReader(text))
	scan.Buffer(nil, len(text)+1)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSuffix(scan.Text(), "\r")
		if line = strings.TrimLeft(line, " \t"); line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		key = strings.TrimSpace(key)
		if !ok || !envNameOK(key) {
			return nil, fmt.Errorf("%s:%d: want KEY=value, not %.60q", name, n, line)
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		if strings.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("%s:%d: the value of %s has a NUL byte in it", name, n, key)
		}
		values[key] = value
	}
	return values, scan.Err()
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
	values, err := envParse(text, file)
	if err != nil {
		return fmt.Errorf("read env_file: %w", err)
	}
	for _, k := range sortedKeys(values) {
		e.set(k, values[k])
	}
	return nil
}
