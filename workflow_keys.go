// workflow_keys.go: reads a map by a table of its keys. A key that is not known is reported here, with what it may be
// called or where it belongs: the keys of other tools are here, and which keys only a task or only a workflow has.

package main

import (
	"fmt"
	"slices"
	"strings"
)

// workflowKey is a key that a map may have, and what reads it into a T.
type workflowKey[T any] struct {
	name string
	read func(r *workflowReader, to T, p workflowPair)
}

// workflowFill reads the pairs of a map by a table of its keys. A key without a value counts as not written. later are
// keys of the file format that this version does not support.
func workflowFill[T any](r *workflowReader, to T, pairs []workflowPair, keys []workflowKey[T], later []string) {
	for _, p := range pairs {
		at := slices.IndexFunc(keys, func(k workflowKey[T]) bool { return k.name == p.key })
		switch {
		case at >= 0 && workflowNull(p.value):
		case at >= 0:
			keys[at].read(r, to, p)
		case slices.Contains(later, p.key):
			r.complainf(p.at, "key %q is not supported by this version", p.key)
		default:
			names := make([]string, len(keys))
			for i := range keys {
				names[i] = keys[i].name
			}
			hint := r.elsewhere(p.key, names)
			if hint == "" && !r.legacy {
				hint = ": want " + workflowOr(names)
			}
			r.complainf(p.at, "key %s is not known%s", workflowQuote(p.key), hint)
		}
	}
}

// workflowElsewhere says what keys of other tools are called here. A key is written as one word in small letters. The
// first of its names here that is allowed at the place is given.
var workflowElsewhere = []struct{ words, ours string }{
	{"command script bash sh exec", "run"},
	{"program executable", "cmd"},
	{"arguments", "args params"},
	{"steps jobs", "tasks"},
	{"needs requires after upstream", "depends"},
	{"every interval crontab oncalendar", "schedule"},
	{"tz crontz", "timezone"},
	{"startdate", "start_time"},
	{"enddate", "end_time"},
	{"concurrencypolicy maxactiveruns", "overlap"},
	{"misfire", "catchup"},
	{"attempts maxretries retry retrypolicy", "retries"},
	{"retryinterval backoff", "retry_delay"},
	{"deadline maxruntime executiontimeout runtimemaxsec", "timeout"},
	{"condition triggerrule runif", "when"},
	{"cwd workdir dir chdir", "working_directory"},
	{"environment vars variables", "env"},
	{"dotenv environmentfile", "env_file"},
	{"inputs parameters", "params"},
	{"concurrency parallelism maxactivesteps", "max_active_tasks"},
	{"labels runson nodeselector", "agent"},
	{"title", "name"},
	{"doc comment", "description"},
}

// workflowOtherwise says how to do what other tools have a key for and no key does here. Keys are written as in
// workflowElsewhere.
var workflowOtherwise = []struct{ words, how string }{
	{"handleron onfail onsuccess onexit finally cleanup", "a task with when: failure or when: always does that"},
	{"mailon mailto mail email emailonfailure notify notifications alerts",
		"no mail is sent: a task with when: failure can tell whom you like"},
	{"continueon continueonerror allowfailure ignoreerrors",
		"tasks that depend on it and have when: always run anyway"},
	{"enabled disabled disable paused suspend ispausedoncreation",
		"cdktr pause ID stops a schedule, and cdktr resume ID starts it again"},
	{"image container docker executor", "tasks run on the agent's machine: run: docker run IMAGE is one"},
}

// The keys that only a task has, and those that only a workflow has.
var (
	workflowTasksOwn = []string{"run", "shell", "cmd", "args", "python", "config", "depends", "when", "retry_delay",
		"retry_max_delay"}
	workflowWorkflowsOwn = []string{"schedule", "cron", "timezone", "start_time", "end_time", "catchup",
		"catchup_window", "overlap", "jitter", "priority", "failover", "agent",
		"params", "env_file", "max_active_tasks", "log", "tasks"}
)

// elsewhere ends the message about a key that is not one of names: it says what the key is called here, or where it
// belongs.
func (r *workflowReader) elsewhere(key string, names []string) string {
	word := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
	for _, other := range workflowElsewhere {
		if !slices.Contains(strings.Fields(other.words), word) {
			continue
		}
		for ours := range strings.FieldsSeq(other.ours) {
			if slices.Contains(names, ours) {
				return fmt.Sprintf(" (here it is %q)", ours)
			}
		}
	}
	for _, other := range workflowOtherwise {
		if slices.Contains(strings.Fields(other.words), word) {
			return ": " + other.how
		}
	}
	switch {
	case slices.Contains(workflowTasksOwn, key):
		return ": it belongs to a task"
	case slices.Contains(workflowWorkflowsOwn, key):
		return ": it belongs to the workflow, not to a part of it"
	}
	return r.meant(key, names)
}
