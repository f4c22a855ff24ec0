// main_completion.go: the verb completion, and what its scripts call. The scripts are a few lines each: this program
// works out what fits, from the table of verbs and, for ids, by asking the principal if that answers at once.

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// completionPatience is how long a key press may wait for the principal.
const completionPatience = 400 * time.Millisecond

// completionScripts is the script for each shell.
var completionScripts = []struct{ shell, script string }{
	{"bash", `_cdktr() {
  local IFS=$'\n'
  local found=$(cdktr completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  local word=${COMP_WORDS[COMP_CWORD]}
  if [ "$word" = "=" ]; then word=; fi
  COMPREPLY=($(compgen -W "$found" -- "$word"))
  case ${COMPREPLY[0]} in *=) compopt -o nospace ;; esac
}
complete -o default -F _cdktr cdktr
`},
	{"zsh", `#compdef cdktr
_cdktr() {
  local -a found
  found=(${(f)"$(cdktr completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( ! $#found )); then _files
  elif [[ $found[1] == *= ]]; then compadd -S '' -a found
  else compadd -a found; fi
}
compdef _cdktr cdktr
`},
	{"fish", `function __cdktr_words
  set -l words (commandline -opc) (commandline -ct)
  cdktr completion words -- $words[2..-1] 2>/dev/null
end
complete -c cdktr -f -a '(__cdktr_words)'
complete -c cdktr -n '__fish_seen_subcommand_from run validate graph restore backup config' -F
`},
}

// completionScript gives the script for a shell, "" where there is none.
func completionScript(shell string) string {
	for _, known := range completionScripts {
		if known.shell == shell {
			return known.script
		}
	}
	return ""
}

// completionVerb is the entry of `completion`.
func completionVerb() cliVerb {
	return cliVerb{name: "completion", args: "bash|zsh|fish",
		help: "print a script that completes verbs, flags and ids", run: doCompletion,
		examples: []string{
			"source <(cdktr completion bash)          # in ~/.bashrc",
			"cdktr completion zsh > ~/.zfunc/_cdktr     # a folder of $fpath",
			"cdktr completion fish > ~/.config/fish/completions/cdktr.fish",
		}}
}

func doCompletion(ctx context.Context, c *cli, args []string) error {
	if len(args) > 0 && args[0] == "words" {
		for _, word := range c.completions(ctx, args[1:]) {
			if _, err := fmt.Fprintln(c.out, word); err != nil {
				return err
			}
		}
		return nil
	}
	shell, err := oneArg(args, "completion", "shell: bash, zsh or fish")
	if err != nil {
		return err
	}
	script := completionScript(shell)
	if script == "" {
		return usageError("no completion for %q: there is bash, zsh and fish", shell)
	}
	_, err = fmt.Fprint(c.out, script)
	return err
}

// completions gives what the last of the words on a command line can become.
func (c *cli) completions(ctx context.Context, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	words, front := completionJoin(words)
	last := words[len(words)-1]
	verb, rest, err := mainFind(words[:len(words)-1])
	var all []string
	switch {
	case err != nil || verb == nil:
		for _, v := range mainVerbs() {
			parts := strings.Fields(v.name)
			if n := len(words) - 1; n < len(parts) && slices.Equal(parts[:n], words[:n]) {
				all = append(all, parts[n])
			}
		}
	case strings.HasPrefix(last, "-"):
		f := newCLIFlags(verb.name)
		if verb.flags != nil {
			verb.flags(f)
		}
		f.VisitAll(func(fl *flag.Flag) { all = append(all, cliFlagName(fl)) })
	case len(rest) > 1 && rest[len(rest)-1] == "-p":
		all = completionParams(ctx, c, rest[:len(rest)-1], last)
	case len(rest) > 1 && (rest[len(rest)-1] == "--task" || verb.name == "retry" && rest[len(rest)-1] == "--from"):
		all = c.completionTasks(ctx, rest)
	case len(rest) > 0 && rest[len(rest)-1] == "--batch":
		all = c.completionIDs(ctx, &cliVerb{args: "BATCH"})
	case len(rest) == 0 || strings.Contains(verb.args, "..."):
		all = c.completionIDs(ctx, verb)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(word string) bool { return !strings.HasPrefix(word, last) })
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], front)
	}
	return all
}

// completionJoin puts together the words that bash takes apart at each =. What fits the last word then begins with
// front, which bash does not want to hear again.
func completionJoin(words []string) (joined []string, front string) {
	for i := 0; i < len(words); i++ {
		if n := len(joined); words[i] == "=" && n > 0 {
			front = joined[n-1] + "="
			joined[n-1] = front
			if i++; i < len(words) {
				joined[n-1] += words[i]
			}
			continue
		}
		front = ""
		joined = append(joined, words[i])
	}
	return joined, front
}

// completionParams gives the parameters of the workflow that one of the words before names, as NAME=, or the choices of
// the one that word begins with, as NAME=CHOICE.
func completionParams(ctx context.Context, c *cli, before []string, word string) (all []string) {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	id := ""
	for i := 0; i < len(before); i++ {
		switch {
		case before[i] == "-p":
			i++
		case id == "" && !strings.HasPrefix(before[i], "-"):
			id = before[i]
		}
	}
	r, err := c.ask(ctx, Request{Op: "show", Workflow: id})
	if id == "" || err != nil || r.Spec == nil {
		return nil
	}
	name, _, valued := strings.Cut(word, "=")
	if !valued {
		for _, name := range sortedKeys(r.Spec.Params) {
			all = append(all, name+"=")
		}
		return all
	}
	for _, choice := range r.Spec.Params[name].Choices {
		all = append(all, name+"="+choice)
	}
	return all
}

// completionIDs asks the principal for the ids that a verb takes. The words in the verb's args say of which kind: ID,
// RUN, BATCH, AGENT or POOL.
func (c *cli) completionIDs(ctx context.Context, verb *cliVerb) []string {
	args := verb.args
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil
	}
	defer conn.close()
	var ids []string
	if strings.Contains(args, "ID") || strings.Contains(args, "PATTERN") {
		if r, err := conn.ask(ctx, Request{Op: "ls"}); err == nil {
			for _, w := range r.Workflows {
				ids = append(ids, w.Workflow)
			}
		}
	}
	if strings.Contains(args, "RUN") {
		ended := verb.name != "cancel" // only active runs can be cancelled
		if r, err := conn.ask(ctx, Request{Op: "ps", All: ended, N: 20}); err == nil {
			for _, run := range r.Runs {
				ids = append(ids, run.ID)
			}
		}
	}
	if strings.Contains(args, "BATCH") {
		if r, err := conn.ask(ctx, Request{Op: "batches", N: 20}); err == nil {
			for _, b := range r.Batches {
				ids = append(ids, b.ID)
			}
		}
	}
	if strings.Contains(args, "POOL") {
		if r, err := conn.ask(ctx, Request{Op: "pools", N: protoNone}); err == nil {
			for i := range r.Pools {
				ids = append(ids, r.Pools[i].Pool)
			}
		}
	}
	if strings.Contains(args, "AGENT") {
		if r, err := conn.ask(ctx, Request{Op: "agents"}); err == nil {
			for _, a := range r.Agents {
				ids = append(ids, a.Name)
			}
		}
	}
	return ids
}

// completionTasks asks the principal for the tasks of the run or workflow that one of the words before names.
func (c *cli) completionTasks(ctx context.Context, before []string) (ids []string) {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	at := slices.IndexFunc(before, func(word string) bool { return !strings.HasPrefix(word, "-") })
	if at < 0 {
		return nil
	}
	req := Request{Op: "show", Workflow: before[at]}
	if isRunID(before[at]) {
		req = Request{Op: "show", Run: before[at]}
	}
	r, err := c.ask(ctx, req)
	if err != nil || r.Spec == nil {
		return nil
	}
	for i := range r.Spec.Tasks {
		ids = append(ids, r.Spec.Tasks[i].ID)
	}
	return ids
}
