// main_completion_fits.go: what the last word of a command line can become: verbs, flags, and values of flags and
// arguments, by the kind that their place says. For what only a principal knows it asks one, if that answers soon.

package main

import (
	"context"
	"flag"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	completionPatience    = 400 * time.Millisecond // how long a key press may wait for the principal
	completionSSHPatience = 2 * time.Second        // the same over ssh, which must log in first
	completionMost        = 1000                   // words; more are left out
	completionHelpMost    = 72                     // bytes of what is said of a word
)

// completionFit is a word that fits, and what it is.
type completionFit struct{ word, help string }

// completion is one key press: what is read of the command line, and what fits.
type completion struct {
	ctx context.Context
	c   *cli

	// what stands before the cursor
	verb    *cliVerb // nil: none yet
	flags   *cliFlags
	args    []string
	pending *flag.Flag // wants its value
	rest    bool       // behind a --
	typed   string     // the word at the cursor
	front   string     // how a word that fits begins: "--flag=", where the value of a flag is typed

	conn *client // to the principal, once it was asked for something
	lost bool    // there is none

	fits    []completionFit
	besides string // "files" or "dirs" fit too
}

// completionFind finds what fits the last of the words. It takes at most its patience.
func completionFind(ctx context.Context, c *cli, words []string) *completion {
	if len(words) == 0 {
		words = []string{""}
	}
	ctx, cancel := context.WithTimeout(ctx, completionSSHPatience)
	defer cancel()
	k := &completion{ctx: ctx, c: c, typed: words[len(words)-1]}
	k.read(words[:len(words)-1])
	k.find()
	if k.conn != nil {
		k.conn.close()
	}
	sort.Slice(k.fits, func(i, j int) bool { return k.fits[i].word < k.fits[j].word })
	all := k.fits
	k.fits = nil
	for i, fit := range all[:min(len(all), completionMost)] {
		if i == 0 || fit.word != all[i-1].word {
			k.fits = append(k.fits, fit)
		}
	}
	return k
}

// add takes a word if it fits what is typed, and no shell or terminal comes to harm by it.
func (k *completion) add(word, help string) {
	if !strings.HasPrefix(word, k.typed) || textSafe(word) != word {
		return
	}
	help = strings.Join(strings.Fields(textSafe(help)), " ")
	if len(help) > completionHelpMost {
		help = help[:max(strings.LastIndexByte(help[:completionHelpMost], ' '), 0)] + " ..."
	}
	k.fits = append(k.fits, completionFit{k.front + word, help})
}

// read goes through the words before the cursor.
func (k *completion) read(words []string) {
	rest := words
	if verb, behind, err := mainFind(words); err == nil && verb != nil {
		k.verb, rest = verb, behind
	}
	k.flags = newCLIFlags("")
	if k.verb != nil && k.verb.flags != nil {
		k.verb.flags(k.flags)
	}
	for _, word := range rest {
		switch {
		case k.pending != nil:
			k.given(k.pending, word)
			k.pending = nil
		case k.rest || !strings.HasPrefix(word, "-") || word == "-":
			k.args = append(k.args, word)
		case word == "--":
			k.rest = true
		default:
			name, value, valued := strings.Cut(strings.TrimLeft(word, "-"), "=")
			switch fl := k.flags.Lookup(name); {
			case fl == nil:
			case valued:
				k.given(fl, value)
			case completionBool(fl):
				k.given(fl, "true")
			default:
				k.pending = fl
			}
		}
	}
}

// given notes a flag: which principal is meant may rest on it. A value that is wrong does not matter here.
func (k *completion) given(fl *flag.Flag, value string) { _ = fl.Value.Set(value) }

func completionBool(fl *flag.Flag) bool {
	b, ok := fl.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// find adds what fits.
func (k *completion) find() {
	name, value, valued := strings.Cut(k.typed, "=")
	fl := k.flags.Lookup(strings.TrimLeft(name, "-"))
	switch {
	case k.pending != nil:
		k.value(k.pending)
	case k.rest && k.verb != nil && strings.Contains(k.verb.args, "--"): // a command
		k.besides = "files"
	case !k.rest && strings.HasPrefix(k.typed, "-") && valued && fl != nil:
		k.front, k.typed = name+"=", value
		k.value(fl)
	case !k.rest && strings.HasPrefix(k.typed, "-") && k.typed != "-" || k.typed == "-" && k.verb != nil:
		k.flags.VisitAll(func(fl *flag.Flag) {
			_, usage := flag.UnquoteUsage(fl)
			k.add(cliFlagName(fl), usage)
		})
	case k.verb == nil:
		k.verbs()
	default:
		k.argument()
	}
}

// verbs adds the verbs that begin with the words before the cursor, a word of each.
func (k *completion) verbs() {
	verbs := mainVerbs()
	for i := range verbs {
		for _, name := range []string{verbs[i].name, verbs[i].other} {
			parts, n := strings.Fields(name), len(k.args)
			if n >= len(parts) || !slices.Equal(parts[:n], k.args) {
				continue
			}
			help := verbs[i].help
			if n < len(parts)-1 {
				help = parts[n] + " " + parts[n+1] + " ..."
			}
			k.add(parts[n], help)
		}
	}
}

// argument adds what fits the argument at the cursor, by the word that stands for it in the help of the verb.
func (k *completion) argument() {
	fields := strings.Fields(k.verb.args)
	at := len(k.args)
	if n := len(fields); n > 0 && at >= n && (strings.Contains(fields[n-1], "...") ||
		strings.Contains(fields[n-1], "VERB")) {
		at = n - 1
	}
	if at >= len(fields) {
		return
	}
	for _, word := range strings.Split(strings.Trim(strings.ReplaceAll(fields[at], "...", ""), "[]"), "|") {
		switch {
		case word == strings.ToUpper(word):
			k.kind(word)
		case !strings.HasPrefix(word, "-"):
			k.add(word, "")
		}
	}
}

// value adds what fits as the value of a flag, by its name, or else by the word that stands for its value.
func (k *completion) value(fl *flag.Flag) {
	shown, _ := flag.UnquoteUsage(fl)
	switch fl.Name {
	case "p":
		k.params()
	case "principal":
		for _, scheme := range []string{"ipc://", "tcp://", "ssh://"} {
			k.add(scheme, "")
		}
		k.besides = "nospace"
	case "context", "task", "workflow", "role", "color", "insecure", "log-level", "timezone":
		k.kind(strings.ToUpper(fl.Name))
	case "pool", "pools":
		k.kind("POOL")
	case "agent", "label", "labels", "l":
		if strings.Contains(shown, "=") || fl.Name != "agent" {
			shown = "LABEL"
		}
		k.kind(strings.ToUpper(orDefault(shown, "AGENT")))
	default:
		k.kind(shown)
	}
}

// completionKinds is what adds the words of each kind. Most of them ask a principal.
var completionKinds = []struct {
	kinds string
	add   func(*completion)
}{
	{"ID PATTERN PATTERNS WORKFLOW", (*completion).workflows},
	{"RUN", (*completion).runs},
	{"BATCH", (*completion).batches},
	{"AGENT", (*completion).agents},
	{"LABEL", (*completion).labels},
	{"POOL", (*completion).pools},
	{"KEY", (*completion).attention},
	{"TASK", (*completion).tasks},
	{"CONTEXT", (*completion).contexts},
	{"ZONE TIMEZONE", (*completion).zones},
	{"TOPIC", (*completion).topics},
	{"CODE", func(k *completion) {
		for i := range doctorFaults {
			k.add(doctorFaults[i].code, doctorFaults[i].means)
		}
	}},
	{"FILE PATH CMD COMMAND ARGS", func(k *completion) { k.besides = "files" }},
	{"DIR FOLDER", func(k *completion) { k.besides = "dirs" }},
}

// completionWords is kinds of which the words are known.
var completionWords = []struct{ kind, words string }{
	{"COLOR", "auto always never"},
	{"INSECURE", "loopback any"},
	{"LOG-LEVEL", "debug runs info warn error"},
	{"STATE", runQueued + " " + runRunning + " " + runSucceeded + " " + runFailed + " " + runCancelled + " " +
		runCrashed + " " + runSkipped},
	{"ROLE", roleAgent + " " + roleOperator + " " + roleTrigger + " " + roleViewer},
}

// kind adds the words of a kind.
func (k *completion) kind(kind string) {
	if kind == "VERB" { // in the table it would make it part of itself
		k.verbs()
	}
	for _, known := range completionWords {
		if known.kind == kind {
			for _, word := range strings.Fields(known.words) {
				k.add(word, "")
			}
		}
	}
	for _, known := range completionKinds {
		if slices.Contains(strings.Fields(known.kinds), kind) {
			known.add(k)
		}
	}
}

func (k *completion) zones() {
	names, _ := zoneNames() // without its copy the program knows none
	for _, name := range names {
		k.add(name, "")
	}
}

func (k *completion) topics() {
	for i := range helpTopics {
		if len(k.args) == 0 {
			k.add(helpTopics[i].name, helpTopics[i].help)
		}
	}
}

func (k *completion) contexts() {
	if k.settings() {
		for i := range k.c.cfg.contexts {
			context := &k.c.cfg.contexts[i]
			k.add(context.Name, orDefault(context.Principal, context.Credential))
		}
	}
}

// settings reads the settings, as the flags before the cursor have them.
func (k *completion) settings() bool {
	if k.c.cfg == nil {
		cfg, err := configLoad(k.ctx, k.flags.set, k.flags.config, k.c.getenv)
		if err != nil {
			return false
		}
		k.c.cfg = cfg
	}
	return true
}

// ask asks the principal, if there is one that answers at once; nil if not.
func (k *completion) ask(req Request) *Reply {
	if k.lost || !k.settings() {
		return nil
	}
	patience := completionPatience
	if strings.HasPrefix(k.c.cfg.get("principal"), "ssh://") {
		patience = completionSSHPatience
	}
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	var err error
	if k.conn == nil {
		if k.conn, err = k.c.dial(ctx); err != nil {
			k.conn, k.lost = nil, true
			return nil
		}
	}
	r, err := k.conn.ask(ctx, req)
	if err != nil {
		return nil
	}
	return r
}

func (k *completion) workflows() {
	if r := k.ask(Request{Op: "ls"}); r != nil {
		for i := range r.Workflows {
			w := &r.Workflows[i]
			name := w.Name
			if name == w.Workflow { // it has none of its own
				name = ""
			}
			k.add(w.Workflow, orDefault(w.Description, orDefault(name, w.fires())))
		}
	}
}

func (k *completion) runs() {
	active := k.verb != nil && k.verb.name == "cancel" // no other run can be
	if r := k.ask(Request{Op: "ps", All: !active, N: 20}); r != nil {
		for _, run := range r.Runs {
			k.add(run.ID, run.Workflow+" "+run.State+" "+timeText(run.Queued, time.Now()))
		}
	}
}

func (k *completion) batches() {
	if r := k.ask(Request{Op: "batches", N: 20}); r != nil {
		for i := range r.Batches {
			b := r.Batches[i]
			if b.State == runRunning || k.verb == nil || k.verb.name != "cancel" {
				k.add(b.ID, b.Workflow+" "+b.State+" "+timeText(b.Begun, time.Now()))
			}
		}
	}
}

func (k *completion) agents() {
	if r := k.ask(Request{Op: "agents"}); r != nil {
		for _, a := range r.Agents {
			k.add(a.Name, a.State+" "+strconv.Itoa(a.Running)+"/"+strconv.Itoa(a.Capacity))
		}
	}
}

func (k *completion) labels() {
	if r := k.ask(Request{Op: "agents"}); r != nil {
		for _, a := range r.Agents {
			for name, value := range a.Labels {
				k.add(name+"="+value, "agent "+a.Name)
			}
		}
	}
}

func (k *completion) pools() {
	flagged := ""
	if k.pending != nil || k.front != "" { // of a flag, where the number of places follows
		flagged = "="
	}
	if r := k.ask(Request{Op: "pools", N: protoNone}); r != nil {
		for i := range r.Pools {
			p := &r.Pools[i]
			k.add(p.Pool+flagged, strconv.Itoa(p.Taken)+" of "+strconv.Itoa(p.Places)+" taken")
		}
	}
}

func (k *completion) attention() {
	if k.verb == nil || k.verb.name != "ack" {
		return
	}
	if r := k.ask(Request{Op: "attention"}); r != nil {
		for i := range r.Items {
			k.add(r.Items[i].Key, r.Items[i].Reason)
		}
	}
}

// spec gives the workflow that the first argument names: an id, a run or a file; nil where that is not known.
func (k *completion) spec() *Workflow {
	switch {
	case len(k.args) == 0 || k.args[0] == "-" || !k.settings():
		return nil
	case isFile(k.args[0]):
		spec, err := k.c.loadFile(k.ctx, k.args[0])
		if err != nil {
			return nil
		}
		return spec
	}
	req := Request{Op: "show", Workflow: k.args[0]}
	if isRunID(k.args[0]) {
		req = Request{Op: "show", Run: k.args[0]}
	}
	if r := k.ask(req); r != nil {
		return r.Spec
	}
	return nil
}

func (k *completion) tasks() {
	if spec := k.spec(); spec != nil {
		for i := range spec.Tasks {
			task := &spec.Tasks[i]
			k.add(task.ID, orDefault(task.Description, task.Name))
		}
	}
}

// params adds the parameters of the workflow as NAME=, or the choices of the one that is typed, as NAME=CHOICE.
func (k *completion) params() {
	spec := k.spec()
	if spec == nil {
		return
	}
	name, _, valued := strings.Cut(k.typed, "=")
	if !valued {
		for _, name := range sortedKeys(spec.Params) {
			p := spec.Params[name]
			k.add(name+"=", p.Description)
		}
		return
	}
	for _, choice := range spec.Params[name].Choices {
		k.add(name+"="+choice, "")
	}
}
