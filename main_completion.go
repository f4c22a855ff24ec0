// main_completion.go: the verb completion, and what its scripts call. The scripts are a few lines each: this program
// works out what fits (main_completion_fits.go).

package main

import (
	"context"
	"fmt"
	"strings"
)

// completionScripts is the script for each shell. Each asks with the words up to the cursor. The first line of the
// answer says what fits besides: files, dirs, and whether no blank is to follow (nospace). Each further line is a word,
// and behind a tab what it is. Bash gets the rest of the word instead, written as the shell reads it; its own compgen
// would run what stands in $( ) in a name.
var completionScripts = []struct{ shell, script string }{
	{"bash", `_cdktr() {
  local kind= line
  COMPREPLY=()
  {
    IFS= read -r kind
    while IFS= read -r line; do COMPREPLY+=("$line"); done
  } < <(cdktr completion for bash "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  case $kind in *files*) compopt -o default ;; *dirs*) compopt -o dirnames ;; esac
  case $kind in *nospace*) compopt -o nospace ;; esac
} 2>/dev/null
complete -F _cdktr cdktr
`},
	{"zsh", `#compdef cdktr
_cdktr() {
  local -a lines found open
  local line word
  lines=("${(@f)$(cdktr completion for zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  for line in "${(@)lines[2,-1]}"; do
    word=${line%%$'\t'*}
    word=${word//\\/\\\\}
    word=${word//:/\\:}
    [[ $line == *$'\t'* ]] && word+=:${line#*$'\t'}
    if [[ ${line%%$'\t'*} == *= ]]; then open+=("$word"); else found+=("$word"); fi
  done
  (( $#found )) && _describe cdktr found
  (( $#open )) && _describe cdktr open -S ''
  if [[ $lines[1] == (*files*|*dirs*) ]]; then
    [[ $PREFIX == -*=* ]] && compset -P '*='
    if [[ $lines[1] == *dirs* ]]; then _files -/; else _files; fi
  fi
}
if [[ $funcstack[1] == _cdktr ]]; then _cdktr "$@"; else compdef _cdktr cdktr; fi
`},
	{"fish", `function __cdktr_fits
  set -l before (commandline -opc)
  set -l word (commandline -ct)
  set -l found (cdktr completion for fish -- $before[2..-1] "$word" 2>/dev/null)
  set -l flag (string match -r -- '^-[^=]*=' $word)
  set -l rest (string replace -r -- '^-[^=]*=' '' $word)
  switch "$found[1]"
    case '*files*'
      printf "$flag%s\n" (__fish_complete_path $rest)
    case '*dirs*'
      printf "$flag%s\n" (__fish_complete_directories $rest)
  end
  test (count $found) -gt 1; and printf '%s\n' $found[2..-1]
end
complete -c cdktr -f -a '(__cdktr_fits)'
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
	return cliVerb{name: "completion", args: "bash|zsh|fish", unset: true,
		help: "print a script that completes verbs, flags and ids", run: doCompletion,
		examples: []string{
			"source <(cdktr completion bash)          # in ~/.bashrc",
			"cdktr completion zsh > ~/.zfunc/_cdktr     # a folder of $fpath",
			"cdktr completion fish > ~/.config/fish/completions/cdktr.fish",
		}}
}

func doCompletion(ctx context.Context, c *cli, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "words": // scripts of earlier versions ask so
		words, front := completionJoin(args[1:])
		for _, fit := range completionFind(ctx, c, words).fits {
			if _, err := fmt.Fprintln(c.out, strings.TrimPrefix(fit.word, front)); err != nil {
				return err
			}
		}
		return nil
	case len(args) > 3 && args[0] == "for" && args[1] == "bash":
		return completionBash(ctx, c, args[2], args[3])
	case len(args) > 2 && args[0] == "for":
		words := args[2:]
		if last := &words[len(words)-1]; args[1] == "fish" { // gives what is typed, with the quote that is open
			*last = strings.TrimLeft(*last, `"'`)
		}
		k := completionFind(ctx, c, words)
		var b strings.Builder
		b.WriteString(":" + k.besides + "\n")
		for _, fit := range k.fits {
			b.WriteString(fit.word)
			if fit.help != "" {
				b.WriteString("\t" + fit.help)
			}
			b.WriteString("\n")
		}
		_, err := fmt.Fprint(c.out, b.String())
		return err
	}
	shell, err := oneArg(args, "completion", "shell: bash, zsh or fish")
	if err != nil {
		return err
	}
	script := completionScript(shell)
	if script == "" {
		return usageError("no completion for %q: there is bash, zsh and fish%s", textHead(shell, cliEchoMost),
			nearHint(shell, []string{"bash", "zsh", "fish"}))
	}
	_, err = fmt.Fprint(c.out, script)
	return err
}

// completionBash answers bash, which replaces only what stands behind the last of its breaks, such as = and :.
func completionBash(ctx context.Context, c *cli, breaks, line string) error {
	words, typed := completionLine(line, breaks)
	k := completionFind(ctx, c, words)
	var b strings.Builder
	for _, fit := range k.fits {
		if strings.HasSuffix(fit.word, "=") {
			k.besides += " nospace"
			break
		}
	}
	b.WriteString(":" + k.besides + "\n")
	for _, fit := range k.fits {
		b.WriteString(completionQuote(fit.word[min(typed.front, len(fit.word)):], typed.quote) + "\n")
	}
	_, err := fmt.Fprint(c.out, b.String())
	return err
}

// completionTyped says of the last word of a line where bash begins to replace it, and in which quote it is.
type completionTyped struct {
	front int // bytes
	quote rune
}

// completionLine takes a line apart as a shell does, without the command. The last word is empty behind a blank.
func completionLine(line, breaks string) (words []string, typed completionTyped) {
	var word strings.Builder
	begun, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
			word.WriteRune(r)
		case r == '\\' && typed.quote != '\'':
			escaped, begun = true, true
		case typed.quote != 0 && r == typed.quote:
			typed.quote = 0
		case typed.quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			typed, begun = completionTyped{front: word.Len(), quote: r}, true
		case r == ' ' || r == '\t' || r == '\n':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun, typed = false, completionTyped{}
		default:
			word.WriteRune(r)
			begun = true
			if strings.ContainsRune(breaks, r) {
				typed.front = word.Len()
			}
		}
	}
	words = append(words, word.String())
	if len(words) > 1 {
		words = words[1:]
	}
	return words, typed
}

// completionQuote writes a word so that bash takes it for one, in the quote that is open.
func completionQuote(word string, quote rune) string {
	special := " \t\n\\\"'`$&|;<>()[]{}*?!#^~"
	switch quote {
	case '\'':
		return strings.ReplaceAll(word, "'", `'\''`)
	case '"':
		special = "\\\"`$"
	}
	var b strings.Builder
	for _, r := range word {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// completionJoin puts together the words that bash takes apart at each =. What fits the last word then begins with
// front, which bash does not want to hear again.
func completionJoin(words []string) (joined []string, front string) {
	const between = "\x00"
	text := strings.ReplaceAll(strings.Join(words, between), between+"="+between, "=")
	text = strings.TrimSuffix(text, between+"=")
	if n := len(words); n > 1 && words[n-1] == "=" {
		text += "="
	}
	joined = strings.Split(text, between)
	last := joined[len(joined)-1]
	if n := len(words); n > 0 && last != words[n-1] {
		front = last[:strings.LastIndexByte(last, '=')+1]
	}
	return joined, front
}
