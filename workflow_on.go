// workflow_on.go: the key on: what fires a workflow besides its schedule.

package main

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Bounds of listeners.
const (
	listenMost      = 20                  // listeners of a workflow; more are a fault
	listenRate      = 60                  // fires of a listener a minute, unless its rate says otherwise
	listenMaxRate   = 6000                // the highest rate
	listenSettle    = 2 * time.Second     // how long a file must not have changed, unless settle says otherwise
	listenMaxSettle = Duration(time.Hour) // the longest settle, and the longest debounce
)

// workflowListener is a listener half read.
type workflowListener struct {
	Listener
	at   *yaml.Node
	keys map[string]workflowPair
}

// workflowListenerKeys are the keys of one of on.
var workflowListenerKeys = []workflowKey[*workflowListener]{
	{
		name: "file", kind: "listen file",
		does:    "A file that comes into a folder, or is written to there.",
		example: "file: {path: \"/data/in/*.csv\"}",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.File = &ListenFile{}
			pairs, ok := r.table(p, "a map such as {path: \"/data/in/*.csv\"}")
			r.within("file", func() { workflowFill(r, l, pairs, workflowListenFileKeys, nil) })
			r.required(ok, p, pairs, "path")
		},
	},
	{
		name: "workflow", kind: "listen workflow",
		does:    "A run of another workflow that ends.",
		example: "workflow: {id: etl.daily}",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.Workflow = &ListenWorkflow{}
			pairs, ok := r.table(p, "a map such as {id: etl.daily}")
			r.within("workflow", func() { workflowFill(r, l, pairs, workflowListenWorkflowKeys, nil) })
			r.required(ok, p, pairs, "id")
		},
	},
	{
		name: "command", kind: "listen command",
		does:    "A line that a command writes to standard output. The principal keeps it running.",
		example: "command: {run: journalctl -f -n 0}",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.Command = &ListenCommand{}
			pairs, ok := r.table(p, "a map such as {run: journalctl -f -n 0}")
			r.within("command", func() { workflowFill(r, l, pairs, workflowListenCommandKeys, nil) })
			r.required(ok, p, pairs, "run")
		},
	},
	{
		name: "rate", kind: "1..6000", unset: "`60`",
		does: "How many fires a minute at most. Files and runs wait until there is room; lines are dropped, and " +
			"counted.",
		example: "rate: 10",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			r.whole(p, 1, listenMaxRate, &l.Rate)
		},
	},
	{
		name: "debounce", kind: "duration", unset: "none",
		does:    "Events within this time of the first one make one fire together; at most `1h`.",
		example: "debounce: 5s",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			r.upTo(p, listenMaxSettle, &l.Debounce)
		},
	},
}

// workflowListenFileKeys are the keys of file.
var workflowListenFileKeys = []workflowKey[*workflowListener]{
	{
		name: "path", kind: "path", unset: "required",
		does:    "A full path on the principal's machine. Its last part may be a pattern with `*`, `?` and `[a-z]`.",
		example: "path: \"/data/in/*.csv\"",
		read:    listenPath,
	},
	{
		name: "settle", kind: "duration", unset: "`2s`",
		does: "How long the file must not have changed, nor be open for writing as far as the system tells; at " +
			"most `1h`.",
		example: "settle: 10s",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			r.upTo(p, listenMaxSettle, &l.File.Settle)
		},
	},
}

// workflowListenWorkflowKeys are the keys of workflow.
var workflowListenWorkflowKeys = []workflowKey[*workflowListener]{
	{
		name: "id", kind: "text", unset: "required",
		does:    "The workflow's id.",
		example: "id: etl.daily",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.Workflow.ID = r.filled(p, "the id of a workflow")
		},
	},
	{
		name: "state", kind: "succeeded | failed | cancelled | crashed", unset: "`succeeded`",
		does:    "How the run ends, when none of its own `retries` is left.",
		example: "state: failed",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			r.word(p, &l.Workflow.State, runSucceeded, runFailed, runCancelled, runCrashed)
		},
	},
}

// workflowListenCommandKeys are the keys of command.
var workflowListenCommandKeys = []workflowKey[*workflowListener]{
	{
		name: "run", kind: "text", unset: "required",
		does:    "A shell line, for `/bin/sh -c` on the principal's machine, as the principal's user.",
		example: "run: journalctl -f -n 0 -u app",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.Command.Run = r.filled(p, "a shell line")
		},
	},
	{
		name: "match", kind: "text", unset: "every line",
		does:    "A regular expression (RE2) that the line must have in it.",
		example: "match: \"Out of memory\"",
		read: func(r *workflowReader, l *workflowListener, p workflowPair) {
			l.Command.Match = r.filled(p, "a regular expression")
			if _, err := regexp.Compile(l.Command.Match); err != nil {
				r.errorf(p.value, "match: %s is not a regular expression: %v", workflowQuote(l.Command.Match),
					strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			}
		},
	},
}

// upTo reads p as a duration above 0 that is not longer than most.
func (r *workflowReader) upTo(p workflowPair, most Duration, to *Duration) {
	before := len(r.faults)
	r.duration(p, to)
	if len(r.faults) == before && (*to <= 0 || *to > most) {
		r.errorf(p.value, "%s: want more than 0 and at most %s, not %s", p.key, most, workflowQuote(p.value.Value))
	}
}

// listeners reads on: one listener or a list of them.
func (r *workflowReader) listeners(d *workflowDraft, p workflowPair) {
	list := []*yaml.Node{p.value}
	if p.value.Kind == yaml.SequenceNode {
		list = p.value.Content
	}
	if len(list) > listenMost {
		r.errorf(p.value, "on: there are %d listeners, more than %d", len(list), listenMost)
		return
	}
	known := map[string]bool{}
	for _, n := range list {
		n = r.follow(n)
		l := &workflowListener{at: n, keys: map[string]workflowPair{}}
		before := len(r.faults)
		r.within("on", func() { listenerRead(r, l, n) })
		if len(r.faults) > before {
			continue
		}
		if own := l.Workflow; own != nil && own.ID == d.spec.ID {
			r.errorf(n, "on: the workflow would listen to itself: each run would fire the next one")
		}
		if key := l.key(); known[key] {
			r.errorf(n, "on: %s is there twice", workflowQuote(key))
		} else {
			known[key] = true
		}
		d.spec.On = append(d.spec.On, l.Listener)
	}
}

// listenerRead reads one listener, and checks how its keys go together.
func listenerRead(r *workflowReader, l *workflowListener, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.errorf(n, "want a map such as {file: {path: \"/data/in/*.csv\"}}, not %s%s", workflowKind(n),
			r.foreign(n.Value, nil))
		return
	}
	pairs := r.pairs(n)
	workflowFill(r, l, pairs, workflowListenerKeys, nil)
	switch l.kinds() {
	case 0:
		r.errorf(n, "nothing says what it listens to: write file, workflow or command")
	case 1:
	default:
		r.errorf(n, "it listens to more than one thing: write a listener for each")
	}
}

// kinds counts what a listener listens to: it must be one.
func (l *Listener) kinds() (n int) {
	for _, is := range []bool{l.File != nil, l.Workflow != nil, l.Command != nil} {
		if is {
			n++
		}
	}
	return n
}

// listenPath reads the path of a listener for files.
func listenPath(r *workflowReader, l *workflowListener, p workflowPair) {
	text := r.filled(p, "a full path such as /data/in/*.csv")
	switch dir, name := filepath.Split(text); {
	case text == "":
	case !filepath.IsAbs(text):
		r.errorf(p.value, "path: want a full path such as /data/in/*.csv, not %s", workflowQuote(text))
	case strings.ContainsAny(dir, "*?["):
		r.errorf(p.value, "path: only the last part may be a pattern, and %s has one before it: write a listener for "+
			"each folder", workflowQuote(text))
	case name == "":
		r.errorf(p.value, "path: %s is a folder: write %s*", workflowQuote(text), text)
	default:
		if _, err := path.Match(name, ""); err != nil {
			r.errorf(p.value, "path: %s is no pattern: [ is not closed, or \\ is at the end", workflowQuote(name))
			return
		}
		l.File.Path = filepath.Join(dir, name)
	}
}
