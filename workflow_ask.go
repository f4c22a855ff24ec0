// workflow_ask.go: the keys of tasks that have no process, but ask the principal for something (model_ask.go).

package main

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// child reads workflow: the id of the workflow of which the task starts a run. It has no references: which workflow
// starts which is known from the files alone.
func (t *workflowTask) child(r *workflowReader, p workflowPair) {
	t.Workflow = r.filled(p, "the id of a workflow, such as etl.daily")
	switch err := workflowWord(t.Workflow); {
	case strings.Contains(t.Workflow, "${"):
		r.errorf(p.value, "workflow: ${…} is not replaced here: write the id of a workflow, such as etl.daily")
	case workflowEnding(t.Workflow) != "":
		r.errorf(p.value, "workflow: want the id of a workflow, not its file: etl/daily.yml is etl.daily")
	case err != nil:
		r.errorf(p.value, "workflow: %v", err)
	}
}

// childParams reads the parameters of the run that a task starts.
func (t *workflowTask) childParams(r *workflowReader, p workflowPair) {
	pairs, _ := r.table(p, `a map such as {day: "${params.day}"}`)
	if len(pairs) > workflowMaxParams {
		r.errorf(p.value, "params: there are %d parameters, more than %d", len(pairs), workflowMaxParams)
		return
	}
	for _, one := range pairs {
		if !workflowName(one.key) {
			r.errorf(one.at, "params: %s cannot name a parameter: want letters, digits and _, no digit first",
				workflowQuote(one.key))
			continue
		}
		if workflowNull(one.value) {
			continue
		}
		text, ok := r.scalar(workflowPair{"params: " + one.key, one.at, one.value}, "text")
		if !ok {
			continue
		}
		if t.Params == nil {
			t.Params = make(map[string]string, len(pairs))
		}
		t.Params[one.key] = text
		t.texts = append(t.texts, workflowText{key: "params: " + one.key, at: one.value, text: &text})
	}
}

// childWait reads wait. That a task waits is not kept: it does so anyway.
func (t *workflowTask) childWait(r *workflowReader, p workflowPair) {
	wait := true
	r.flag(p, &wait)
	if !wait {
		t.Wait = &wait
	}
}

// approve reads the question to a person.
func (t *workflowTask) approve(r *workflowReader, p workflowPair) {
	t.Approve = r.filled(p, "a question such as Ship to production?")
	t.texts = append(t.texts, workflowText{key: p.key, at: p.value, text: &t.Approve})
}

// approvers reads who may answer it.
func (t *workflowTask) approvers(r *workflowReader, p workflowPair) {
	items, _ := r.texts(p, `a list such as [ana, "uid:1000"]`, false)
	if len(items) == 0 {
		r.errorf(p.value, "approvers: nobody could approve: name somebody, or leave the key out for whoever may "+
			"operate")
	}
	if len(items) > workflowMaxApprovers {
		r.errorf(p.value, "approvers: there are %d, more than %d", len(items), workflowMaxApprovers)
		return
	}
	for _, item := range items {
		uid, isUID := strings.CutPrefix(item.text, approverUID)
		switch {
		case isUID && (uid == "" || strings.Trim(uid, "0123456789") != ""):
			r.errorf(item.at, "approvers: %s: want a number behind uid:", workflowQuote(item.text))
		case !isUID && strings.Trim(item.text, workflowInName+".-@") != "" || item.text == "":
			r.errorf(item.at, "approvers: %s is no name of a key or a user", workflowQuote(item.text))
		}
		t.Approvers = append(t.Approvers, item.text)
	}
}

// agentAlone refuses agent in a task that no agent does.
func (t *workflowTask) agentAlone(r *workflowReader) {
	p, has := t.keys["agent"]
	switch what := t.asks(); {
	case !has:
	case what == askWorkflow:
		r.errorf(p.at, "agent does not go with workflow: write it into the file of %s", t.Workflow)
	case what != "":
		r.errorf(p.at, "agent is for a process, and a task with %s has none: leave it out", what)
	case len(t.Agent) == 0 && p.value.Kind == yaml.MappingNode && len(p.value.Content) == 0:
		r.errorf(p.value, "agent: there are no labels: name some, or leave the key out for the agent of the run")
	}
}

// workflowMaxApprovers bounds those who may approve a task; more are a fault.
const workflowMaxApprovers = 100

// asksAlone refuses what does nothing in a task that asks, and what only such a task may have.
func (t *workflowTask) asksAlone(r *workflowReader) {
	_, starts := t.keys["workflow"]
	for _, key := range []string{"params", "wait"} {
		if p, has := t.keys[key]; has && !starts {
			r.errorf(p.at, "%s goes only with workflow", key)
		}
	}
	if p, has := t.keys["approvers"]; has && t.keys["approve"].value == nil {
		r.errorf(p.at, "approvers goes only with approve")
	}
	if p, has := t.keys["retries"]; has && t.Approve != "" {
		r.errorf(p.at, "a person is asked once: leave retries out")
	}
	if p, has := t.keys["foreach"]; has && t.Approve != "" {
		r.errorf(p.at, "foreach does not go with approve: one question is enough")
	}
	what := t.asks()
	for _, key := range []string{"env", "working_directory", "success_exit", "retry_exit", "stop_signal", "grace",
		"stdin", "umask", "user", "limits", "repeat"} {
		if p, has := t.keys[key]; has && what != "" {
			r.errorf(p.at, "%s is for a process, and a task with %s has none: leave it out", key, what)
		}
	}
}
