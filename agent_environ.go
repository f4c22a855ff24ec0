// agent_environ.go: what a task is given. Its environment, its arguments and its folder are made here (environOfTask),
// and outputs pass from task to task. A shell line gets values through its environment alone; ${...} is replaced only
// where no shell reads it. All of it is pure, except that env files, outputs and the passwd file are read.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	outputsMax    = 64 << 10  // bytes of $CDKTR_OUTPUT
	outputsRunMax = 256 << 10 // bytes of all outputs of a run, as JSON
	envFileMax    = 1 << 20   // bytes of an env_file; a larger one fails the task

	// what is said of outputs that are more
	outputsRunText = "more than 256 KiB as JSON in all: write large data to a file and hand on its name"
)

// taskValues is how a task's process is started.
type taskValues struct {
	argv  []string
	env   []string
	dir   string
	stdin string // of a request; else the task says
	// Of a task that asks the principal, in place of a process: the parameters of a run, the question to a person.
	params   map[string]string
	question string
}

// environOfTask puts together what an attempt of task i is given.
func environOfTask(env *environ, as *assignment, walk *agentWalk, i, attempt int, outputFile string,
	stage func(string)) (taskValues, []string, error) {
	task := &walk.tasks[i]
	lookup, warnings, err := env.ofTask(as, walk, task, i, attempt, outputFile, stage)
	if err != nil {
		return taskValues{}, nil, err
	}
	v := taskValues{env: env.list}
	switch task.asks() {
	case askWorkflow:
		v.params, err = taskParams(task, lookup)
		return v, warnings, err
	case askApprove:
		v.question, err = workflowExpand(task.Approve, lookup)
		return v, warnings, err
	}
	if task.HTTP != nil {
		v.argv = httpArgv()
		v.stdin, err = httpConfig(task.HTTP, outputFile, lookup)
		return v, warnings, err
	}
	if v.argv, err = taskArgv(as.Spec, task, outputFile, lookup); err == nil {
		v.dir, err = workflowExpand(taskFolder(task, as.Spec), lookup)
	}
	return v, warnings, err
}

// environOfIf puts together what the `if` of task i is given, or with ifOfRun that of the run: the shell, environment
// and folder of the task, but no file to write outputs to.
func environOfIf(env *environ, as *assignment, walk *agentWalk, task *Task, i, attempt int, outputFile string,
	stage func(string)) (taskValues, []string, error) {
	lookup, warnings, err := env.ofTask(as, walk, task, i, attempt, outputFile, stage)
	if err != nil {
		return taskValues{}, nil, err
	}
	env.set("CDKTR_OUTPUT", os.DevNull)
	v := taskValues{env: env.list, argv: append(as.Spec.shellOf(task), task.If)}
	v.dir, err = workflowExpand(taskFolder(task, as.Spec), lookup)
	return v, warnings, err
}

// ofTask makes the environment of a task, which is the i-th of its graph or ifOfRun. Later ones win: env as it comes,
// which is the agent's own, env files, the workflow's env, outputs of the tasks before, parameters, the task's env, the
// facts of the run. It reads the outputs of no other tasks. It tells stage what it is about to wait for: files may
// hang. lookup gives the values of references.
func (env *environ) ofTask(as *assignment, walk *agentWalk, task *Task, i, attempt int, outputFile string,
	stage func(string)) (lookup func(string) (string, bool), warnings []string, err error) {
	w := as.Spec
	lookup = func(ref string) (string, bool) { return lookupRef(ref, as, env, walk, i) }
	for _, file := range w.EnvFile {
		stage("read env_file " + file)
		if err := env.addFile(file); err != nil {
			return nil, nil, err
		}
	}
	if err := env.expandAll(w.Env, lookup); err != nil {
		return nil, nil, err
	}
	if walk.given != nil {
		walk.given.setOutputs(env)
	}
	if i != ifOfRun {
		var values map[string]string
		values, warnings = outputsBefore(walk, i)
		for _, k := range sortedKeys(values) {
			env.set(k, values[k])
		}
	}
	for _, k := range sortedKeys(as.Params) {
		env.set("PARAM_"+strings.ToUpper(k), as.Params[k])
	}
	env.setItem()
	if err := env.expandAll(task.Env, lookup); err != nil {
		return nil, nil, err
	}
	env.set("CDKTR_RUN_ID", as.of())
	env.set("CDKTR_WORKFLOW_ID", w.ID)
	env.set("CDKTR_TASK_ID", task.ID)
	env.set("CDKTR_ATTEMPT", strconv.Itoa(attempt))
	env.set("CDKTR_SCHEDULED_AT", scheduledText(as))
	env.set("CDKTR_OUTPUT", outputFile)
	env.setEvent(as.Event)
	if walk.given != nil {
		walk.given.setFacts(env)
	}
	return lookup, warnings, nil
}

// taskFolder gives the folder of a task, with its references: that of python, its own, or the workflow's.
func taskFolder(task *Task, w *Workflow) string {
	dir := orDefault(task.WorkingDirectory, w.WorkingDirectory)
	if task.Python != nil {
		dir = orDefault(task.Python.WorkingDirectory, dir)
	}
	return dir
}

// taskArgv gives the program and its arguments. A script that is too long for an argument is beside outputFile.
func taskArgv(w *Workflow, task *Task, outputFile string,
	lookup func(string) (string, bool)) (argv []string, err error) {
	switch {
	case len(task.Run) > scriptMax:
		return scriptArgv(w.shellOf(task), outputFile+attemptScript)
	case task.Run != "":
		return append(w.shellOf(task), task.Run), nil
	case task.Python != nil:
		py := task.Python
		argv = []string{orDefault(py.UV, "uv"), "run"}
		if !py.Project {
			for _, p := range py.Packages {
				argv = append(argv, "--with", p)
			}
		}
		argv = append(append(argv, py.Script), py.Args...)
	default:
		argv = append([]string{task.Cmd}, task.Args...)
	}
	for i := range argv {
		text, err := workflowExpand(argv[i], lookup)
		if err != nil {
			return nil, err
		}
		argv[i] = text
	}
	return argv, nil
}

// taskParams gives the parameters of the run that a task asks for.
func taskParams(task *Task, lookup func(string) (string, bool)) (map[string]string, error) {
	params := make(map[string]string, len(task.Params))
	for _, name := range sortedKeys(task.Params) {
		value, err := workflowExpand(task.Params[name], lookup)
		if err != nil {
			return nil, err
		}
		params[name] = value
	}
	return params, paramsFault(params)
}

// scheduledText gives the tick that a run is for, as RFC 3339; it is empty when no schedule has fired the run.
func scheduledText(as *assignment) string {
	if as.Scheduled.IsZero() {
		return ""
	}
	return as.Scheduled.Format("2006-01-02T15:04:05Z")
}

// lookupRef gives the value of a reference of task i, as params.day or tasks.dump.outputs.file. Only outputs of tasks
// before it can be referred to; in a handler all those of the workflow's graph are.
func lookupRef(ref string, as *assignment, env *environ, walk *agentWalk, i int) (string, bool) {
	kind, rest, _ := strings.Cut(ref, ".")
	switch kind {
	case "params":
		v, ok := as.Params[rest]
		return v, ok
	case "env":
		return env.get(rest), true
	case "item":
		return env.itemRef(rest)
	case "run":
		switch rest {
		case "id":
			return as.of(), true
		case "scheduled_at":
			return scheduledText(as), true
		}
	case "tasks":
		for j := range walk.tasks {
			key, ok := strings.CutPrefix(walk.within(rest), walk.tasks[j].ID+".outputs.")
			if ok && i != ifOfRun && walk.dag.ancestor(j, i) {
				v, ok := walk.outputs[j].values[key]
				return v, ok
			}
		}
		if walk.given != nil {
			return walk.given.output(rest)
		}
	}
	return "", false
}

// outputsBefore gathers what the tasks before task i handed on. Where two wrote one key the nearer one wins; at the
// same distance the one that ended later wins, and a warning says so.
func outputsBefore(walk *agentWalk, i int) (map[string]string, []string) {
	d, outputs := walk.dag, walk.outputs
	any := false
	for j := range outputs { // not of others: their outputs may be being set
		any = any || d.ancestor(j, i) && len(outputs[j].values) > 0
	}
	if !any {
		return nil, nil
	}
	values := map[string]string{}
	writer := map[string]int{} // of each key
	var warnings []string
	seen := make([]bool, len(outputs))
	seen[i] = true
	for ring := d.deps(i); len(ring) > 0; {
		var farther []int
		here := map[string]bool{} // keys first met in this ring
		for _, j := range ring {
			if seen[j] {
				continue
			}
			seen[j] = true
			farther = append(farther, d.deps(j)...)
			for _, k := range sortedKeys(outputs[j].values) {
				other, met := writer[k]
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
						walk.tasks[other].ID, walk.tasks[j].ID, k, walk.tasks[winner].ID))
					if winner == other {
						continue
					}
				}
				values[k], writer[k] = outputs[j].values[k], j
			}
		}
		ring = farther
	}
	return values, warnings
}

// outputsRead reads and removes the file that a task wrote its outputs to. Without a file there are no outputs. It may
// hang with the file system: no loop may call it.
func outputsRead(file string) (map[string]string, error) {
	defer outputsDrop(file)
	text, err := outputsText(file)
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

// outputsText reads what a task has left in its file of outputs, of outputsMax bytes at most. It may hang as
// outputsRead does.
func outputsText(file string) ([]byte, error) {
	if userOutFile(file) {
		return userOutRead(file)
	}
	text, _, err := fileRead(file, outputsMax)
	return text, err
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
	outputs bool   // it is what a task hands on: values are taken as they are written, and may have several lines
	values  map[string]string
}

// envFileParse reads an env file: KEY=value lines. It passes over empty lines and those that begin with #, and allows
// `export ` in front. A value in quotes is what stands between them; they must be closed on its line. Of any other
// value it leaves out blanks around it and a comment, which is a # behind a blank.
func envFileParse(text []byte, name string) (map[string]string, error) {
	return (&envText{name: name, values: map[string]string{}}).parse(text)
}

// outputsParse reads outputs: KEY=value lines, and KEY<<END with the lines of the value and a line END behind it. It
// passes over empty lines and those that begin with #, allows `export ` in front, and takes off quotes around a whole
// value.
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
		long = long && e.outputs
		if long {
			if ok { // the = is a part of END
				end += "=" + value
			}
			key, value, ok = before, "", end != ""
			if ok {
				value, at, ok = envLong(lines, at, end)
				if !ok {
					return fault("%s<<%.60s: there is no line %s that ends the value", before, end, end)
				}
			}
		}
		key = strings.TrimSpace(key)
		if !ok || !envNameOK(key) {
			return fault("want KEY=value, not %.60q", line)
		}
		if err := textFault(value); err != nil {
			return fault("the value of %s %w", key, err)
		}
		if !long {
			var err error
			value, err = e.value(value)
			if err != nil {
				return fault("the value of %s %w", key, err)
			}
		}
		e.values[key] = value
	}
	return e.values, nil
}

// envLong gives the lines behind line at, up to the one that is end, and the place of that one.
func envLong(lines []string, at int, end string) (value string, last int, ok bool) {
	for last = at + 1; last < len(lines); last++ {
		if strings.TrimSuffix(lines[last], "\r") == end {
			return strings.Join(lines[at+1:last], "\n"), last, true
		}
	}
	return "", at, false
}

// value takes off quotes, and what is no part of a value.
func (e *envText) value(text string) (string, error) {
	if e.outputs {
		quoted := len(text) >= 2 && (text[0] == '"' || text[0] == '\'')
		if quoted && text[len(text)-1] == text[0] {
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
		lower, upper, digit := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9'
		letter := c == '_' || lower || upper
		if !letter && (i == 0 || !digit) {
			return false
		}
	}
	return name != ""
}

// environ is an environment that is being put together. set replaces what is there.
type environ struct {
	list []string
	base map[string]int // where in list those are that it was copied with; shared, and never changed
	at   map[string]int // where the others are
	item *foreachItem   // that it is for; nil: it is for no instance of a task with foreach

	paths string // the file $EVENT_PATHS, "" when there is none
}

// newEnviron begins with what is in base.
func newEnviron(base []string) *environ {
	e := &environ{at: make(map[string]int, len(base)), list: make([]string, 0, len(base))}
	for _, kv := range base {
		if k, _, ok := strings.Cut(kv, "="); ok {
			e.put(k, kv)
		}
	}
	return e
}

// copy gives an environment that begins with what is in e, which newEnviron made. Any goroutine may copy.
func (e *environ) copy() *environ {
	return &environ{list: append(make([]string, 0, len(e.list)+16), e.list...), base: e.at, at: map[string]int{}}
}

// set gives a variable a value.
func (e *environ) set(key, value string) { e.put(key, key+"="+value) }

// put is set; kv is key=value.
func (e *environ) put(key, kv string) {
	if i, ok := e.find(key); ok {
		e.list[i] = kv
		return
	}
	e.at[key] = len(e.list)
	e.list = append(e.list, kv)
}

// find gives the place of a variable.
func (e *environ) find(key string) (int, bool) {
	i, ok := e.base[key]
	if !ok {
		i, ok = e.at[key]
	}
	return i, ok
}

// get gives the value of a variable, "" when it is not there.
func (e *environ) get(key string) string {
	if i, ok := e.find(key); ok {
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

// From here on: who the user of this process is, by /etc/passwd. cron and login set that for those whom they start, and
// an init system often does not.

const (
	userFile    = "/etc/passwd"
	userFileMax = 4 << 20 // bytes; a larger one is not read
)

// userVars is what userEnviron sets.
var userVars = []string{"HOME", "USER", "LOGNAME", "SHELL"}

// userEnviron adds HOME, USER, LOGNAME and SHELL to environ where they are missing, as the passwd file has them for the
// user with this number. It adds nothing for a user who is not in the file, as one of a directory service, nor when the
// file cannot be read. It reads the file only where something is missing; no loop may call it.
func userEnviron(environ []string, file string, uid int) []string {
	if !userMissing(environ) {
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
		if !environHas(environ, name) && values[name] != "" {
			added = append(added, name+"="+values[name])
		}
	}
	return added
}

// userMissing says whether one of userVars is missing.
func userMissing(environ []string) bool {
	return slices.ContainsFunc(userVars, func(name string) bool { return !environHas(environ, name) })
}

// environHas says whether a variable is in an environment.
func environHas(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(kv string) bool {
		return len(kv) > len(name) && kv[len(name)] == '=' && kv[:len(name)] == name
	})
}

// environBase is what all tasks of an agent begin with: its own environment, and who its user is. It reads the passwd
// file only when that has changed. Any goroutine may use it, but no loop: the file may hang.
type environBase struct {
	own   []string
	file  string
	uid   int
	wants bool // what the passwd file says

	mu   sync.Mutex // never held over the file
	made *environ
	of   fs.FileInfo // the passwd file that it was made with, nil when there was none
}

// newEnvironBase makes one of an agent's own environment.
func newEnvironBase(own []string) *environBase {
	return &environBase{own: own, file: userFile, uid: userID(), wants: userMissing(own)}
}

// copy gives an environment to go on with.
func (b *environBase) copy() *environ {
	var now fs.FileInfo
	if b.wants {
		now, _ = os.Stat(b.file) // nil when there is none
	}
	b.mu.Lock()
	made, of := b.made, b.of
	b.mu.Unlock()
	if made == nil || !fileUnchanged(of, now) {
		made = newEnviron(userEnviron(b.own, b.file, b.uid))
		b.mu.Lock()
		b.made, b.of = made, now
		b.mu.Unlock()
	}
	return made.copy()
}

// fileUnchanged says whether a file is still as it was; nil: there is none.
func fileUnchanged(was, is fs.FileInfo) bool {
	if was == nil || is == nil {
		return was == nil && is == nil
	}
	return os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size()
}

// userLine gives the seven fields of a user's line in the passwd file, nil when there is none. No loop may call it.
func userLine(file string, uid int) []string {
	f, _ := userEntry(file, func(f []string) bool { return f[2] == strconv.Itoa(uid) })
	return f
}

// userName gives the name of a user, or the number where the passwd file has no name. No loop may call it.
func userName(file string, uid int) string {
	if f := userLine(file, uid); f != nil {
		return f[0]
	}
	return strconv.Itoa(uid)
}

// userID gives the number of the user that this process acts as.
func userID() int { return os.Geteuid() }
