// principal_exec.go: the op exec, which queues a run of one command. The run has a version of a workflow as any other
// has, made of the request in place of a file: so it survives whatever other runs survive.

package main

import (
	"path"
	"slices"
	"strings"
)

const (
	// bytes of a command with its environment and labels; a longer one is refused. The version of each is in memory
	execMaxBytes  = 32 << 10
	execMaxActive = 1000 // runs of commands that have not ended; further ones are refused as busy
)

// opExec queues a run of a command, or finds the run that an earlier request with its key has queued.
func (p *principal) opExec(c *opCall) {
	id, refused := p.execute(c)
	if refused != nil {
		p.looks.refuseAside(c, refused)
		return
	}
	p.looks.followRun(c, id)
}

func (p *principal) execute(c *opCall) (string, *protoError) {
	spec, refused := execSpec(&c.req)
	if refused != nil {
		return "", refused
	}
	c.req.Workflow = execWorkflow
	if used := p.keyUse(c.grant, c.req); used != "" {
		if r := p.state.Runs[used]; r != nil && r.Version != p.catalog.hashOf(spec) {
			return "", refuse(codeConflict, "key %q was used for run %s of another command", c.req.Key, used)
		}
		return used, nil
	}
	if len(p.queue.active[execWorkflow]) >= execMaxActive {
		return "", refuse(codeBusy, "%d commands of exec have not ended", execMaxActive)
	}
	return p.enqueue(spec, runOrder{trigger: triggerManual, key: c.req.Key, scope: c.grant.scope(), grant: c.grant,
		by: c.by, from: c.from})
}

// execSpec makes the workflow of a request for a command.
func execSpec(req *Request) (*Workflow, *protoError) {
	if len(req.Args) == 0 || req.Args[0] == "" {
		return nil, refuse(codeInvalid, "exec needs the field \"args\": the program and its arguments")
	}
	if len(req.Key) > opsMaxKey {
		return nil, refuse(codeInvalid, "key of %d bytes: it may have %d", len(req.Key), opsMaxKey)
	}
	size := 0
	for _, arg := range req.Args {
		size += len(arg) + 1
	}
	for name, value := range req.Env {
		size += len(name) + len(value) + 2
	}
	for name, value := range req.Labels {
		size += len(name) + len(value) + 2
	}
	if size > execMaxBytes {
		return nil, refuse(codeInvalid, "the command has %d bytes with its environment and may have %d: put a script "+
			"on the agents, or make a workflow of it", size, execMaxBytes)
	}
	for _, arg := range req.Args {
		if err := textFault(arg); err != nil {
			return nil, refuse(codeInvalid, "argument %q %v", textHead(arg, principalMaxEcho), err)
		}
	}
	task := Task{ID: req.Task, Cmd: execPlain(req.Args[0]), WorkingDirectory: execPlain(req.Directory),
		Timeout: req.Timeout}
	for _, arg := range req.Args[1:] {
		task.Args = append(task.Args, execPlain(arg))
	}
	for _, name := range sortedKeys(req.Env) {
		value := req.Env[name]
		switch err := textFault(value); {
		case !workflowName(name):
			return nil, refuse(codeInvalid, "env: %q cannot name a variable: want letters, digits and _, no digit "+
				"first", textHead(name, principalMaxEcho))
		case err != nil:
			return nil, refuse(codeInvalid, "env: the value of %s %v", name, err)
		}
		if task.Env == nil {
			task.Env = map[string]string{}
		}
		task.Env[name] = execPlain(value)
	}
	switch {
	case req.Directory != "" && !path.IsAbs(req.Directory):
		return nil, refuse(codeInvalid, "directory %q: want an absolute path, on the agent",
			textHead(req.Directory, principalMaxEcho))
	case req.Timeout < 0:
		return nil, refuse(codeInvalid, "the timeout is below 0")
	case task.ID == "":
		task.ID = execName(req.Args[0])
	case !workflowLabel(task.ID) || len(task.ID) > workflowMaxID || strings.Trim(task.ID, ".") == "":
		return nil, refuse(codeInvalid, "name %q: want letters, digits and ._-, not more than %d bytes",
			textHead(task.ID, principalMaxEcho), workflowMaxID)
	}
	return &Workflow{ID: execWorkflow, Name: task.ID, Agent: req.Labels, Tasks: []Task{task}}, nil
}

// execPlain writes a text so that an agent, which replaces ${…} in it, gets it back as it is.
func execPlain(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// execName makes the name of the task of a program's path.
func execName(program string) string {
	base := []byte(path.Base(program))
	for i, b := range base {
		if !slices.Contains([]byte("._-"), b) && strings.IndexByte(workflowInName, b) < 0 {
			base[i] = '-'
		}
	}
	if name := strings.TrimLeft(string(base), "._-"); workflowLabel(name) {
		return name
	}
	return "exec"
}
