// workflow_keys.go: reads a map by a table of its keys. The tables are in workflow_keys_top.go and
// workflow_keys_task.go. A key that is not known is reported here, with what it may be called or where it belongs.

package main

import (
	"slices"
	"strconv"
	"strings"
)

// workflowKey is a key that a map may have: what its user is told of it, and what reads it into a T. The parser, the
// tables in docs/workflow-files.md and the schema of the file (workflow_schema.go) are all made of these.
type workflowKey[T any] struct {
	name    string
	kind    string // what its value may be: a name in workflowKinds, words (a | b), or a range of numbers (0..1000)
	unset   string // what counts where the key is not written, for people; "" where nothing needs to be said
	does    string // what it means, in sentences of Markdown
	example string // a line with it
	read    func(r *workflowReader, to T, p workflowPair)
}

// workflowKinds are the kinds of values: what the documentation calls each, and what it is in JSON Schema.
var workflowKinds = []struct{ name, text, schema string }{
	{"text", "text", `{"$ref":"#/definitions/text"}`},
	{"list", "list", `{"type":["array","null"],"items":{"$ref":"#/definitions/text"}}`},
	{"ids", "id or list of ids", `{"$ref":"#/definitions/texts"}`},
	{"path", "path", `{"$ref":"#/definitions/text"}`},
	{"paths", "path or list of paths", `{"$ref":"#/definitions/texts"}`},
	{"cron", "expression or list of them", `{"$ref":"#/definitions/texts"}`},
	{"days", "day or list of them", `{"$ref":"#/definitions/texts"}`},
	{"on", "list", `{"type":["array","null"],"items":{"$ref":"#/definitions/listener"}}`},
	{"listen file", "map", `{"$ref":"#/definitions/listen_file"}`},
	{"listen workflow", "map", `{"$ref":"#/definitions/listen_workflow"}`},
	{"listen command", "map", `{"$ref":"#/definitions/listen_command"}`},
	{"zone", "IANA name", `{"type":["string","null"]}`},
	{"clock", "time of day", `{"type":["string","null"]}`},
	{"time", "RFC 3339", `{"type":["string","null"]}`},
	{"flag", "`true`, `false`", `{"type":["boolean","null"]}`},
	{"duration", "duration", `{"$ref":"#/definitions/duration"}`},
	{"size", "size", `{"$ref":"#/definitions/size"}`},
	{"percent", "percent", `{"type":["string","null"]}`},
	{"limits", "map", `{"$ref":"#/definitions/limits"}`},
	{"names", "name or list of them", `{"$ref":"#/definitions/texts"}`},
	{"exits", "exit code or list of them", `{"$ref":"#/definitions/texts"}`},
	{"allowed", "`true`, exit code or list of them", `{"$ref":"#/definitions/texts"}`},
	{"signal", "`TERM`, `INT`, `HUP`, `QUIT`, `USR1`, `USR2`, `ALRM`, `ABRT`, `WINCH`, `KILL`",
		`{"$ref":"#/definitions/text"}`},
	{"pools", "name, or map of names and places", `{"anyOf":[{"$ref":"#/definitions/text"},` +
		`{"type":"object","additionalProperties":{"type":["integer","null"],"minimum":1}}]}`},
	{"env", "map", `{"$ref":"#/definitions/texts_by_name"}`},
	{"labels", "map of labels", `{"$ref":"#/definitions/texts_by_name"}`},
	{"params", "map", `{"type":["object","null"],"additionalProperties":{"anyOf":[` +
		`{"$ref":"#/definitions/text"},{"$ref":"#/definitions/param"}]}}`},
	{"tasks", "map", `{"type":["object","null"],"additionalProperties":{"$ref":"#/definitions/task"}}`},
	{"handler", "map of tasks, or a shell line", `{"anyOf":[{"$ref":"#/definitions/text"},{"type":"object",` +
		`"additionalProperties":{"$ref":"#/definitions/task"}}]}`},
	{"expect", "map", `{"$ref":"#/definitions/expect"}`},
	{"log", "map", `{"$ref":"#/definitions/log"}`},
	{"foreach", "list, map of lists or reference", `{"anyOf":[{"$ref":"#/definitions/texts"},` +
		`{"type":"object","additionalProperties":{"$ref":"#/definitions/texts"}}]}`},
	{"repeat", "map", `{"$ref":"#/definitions/repeat"}`},
	{"http", "map", `{"$ref":"#/definitions/http"}`},
	{"statuses", "status or list of them", `{"$ref":"#/definitions/texts"}`},
	{"python", "map", `{"$ref":"#/definitions/python"}`},
	{"config", "tagged map", `{"type":"object"}`},
}

// workflowKindWords gives the words of a kind that is a choice (a | b), nil for another one.
func workflowKindWords(kind string) []string {
	if !strings.Contains(kind, " | ") {
		return nil
	}
	return strings.Split(kind, " | ")
}

// workflowKindRange gives the bounds of a kind that is a range of whole numbers, as -1000..1000.
func workflowKindRange(kind string) (lo, hi int, ok bool) {
	low, high, found := strings.Cut(kind, "..")
	lo, errLow := strconv.Atoi(low)
	hi, errHigh := strconv.Atoi(high)
	return lo, hi, found && errLow == nil && errHigh == nil
}

// workflowKindText gives what the documentation calls a kind, "" for one that there is not.
func workflowKindText(kind string) string {
	if words := workflowKindWords(kind); words != nil {
		return "`" + strings.Join(words, "`, `") + "`"
	}
	if lo, hi, ok := workflowKindRange(kind); ok {
		return strconv.Itoa(lo) + " to " + strconv.Itoa(hi)
	}
	for _, k := range workflowKinds {
		if k.name == kind {
			return k.text
		}
	}
	return ""
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
			names := workflowNames(keys)
			hint := r.elsewhere(p.key, names)
			if hint == "" && !r.legacy {
				hint = ": want " + workflowOr(names)
			}
			r.complainf(p.at, "key %s is not known%s", workflowQuote(p.key), hint)
		}
	}
}

// workflowOwn says whether a key is the author's own: we read nothing of it. Such keys hold anchors, and notes for
// other programs. The workflow may have them, and each task.
func workflowOwn(p workflowPair) bool { return strings.HasPrefix(p.key, workflowOwnPrefix) }

// workflowOwnPrefix begins the author's own keys.
const workflowOwnPrefix = "x-"

// workflowNames gives the names of keys, in their order.
func workflowNames[T any](keys []workflowKey[T]) []string {
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].name
	}
	return names
}

// elsewhere ends the message about a key that is not one of names: it says what the key is called here, or where it
// belongs.
func (r *workflowReader) elsewhere(key string, names []string) string {
	if hint := r.foreign(key, names); hint != "" {
		return hint
	}
	switch {
	case strings.HasPrefix(key, workflowOwnPrefix):
		return ": keys of your own are for the workflow and its tasks, not for a part of them"
	case slices.Contains(r.ofTasks, key) && !slices.Contains(names, key):
		return ": it belongs to a task"
	case slices.Contains(r.ofWorkflows, key) && !slices.Contains(names, key):
		return ": it belongs to the workflow, not to a part of it"
	}
	return r.meant(key, names)
}
