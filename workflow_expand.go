// workflow_expand.go: the references ${…} in a workflow's texts. One parser serves both the check when a file is read
// and the replacement when a task starts. Pure.

package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// workflowMaxExpanded bounds one text with its references replaced, in bytes. (Linux allows an argument of 128 KiB.)
const workflowMaxExpanded = 1 << 20

// workflowForms are the references that there are, for messages.
const workflowForms = "${params.NAME}, ${tasks.ID.outputs.KEY}, ${run.id}, ${run.scheduled_at}, ${item} or ${env.NAME}"

// workflowText is a text of a file in which references are replaced.
type workflowText struct {
	key   string
	at    *yaml.Node
	text  *string
	loose bool // it is in CDKTR's form: see loosen
}

// workflowPiece is a part of a text: words that stay, or the inside of a reference.
type workflowPiece struct {
	words string
	ref   string
}

// workflowRef is a reference taken apart: params x, tasks id outputs key, run fact, env X.
type workflowRef struct {
	kind string // params, tasks, run, item or env
	name string
	key  string // of tasks: the output
}

// workflowExpand replaces each ${ref} of text by what lookup gives for it; $${ becomes ${. References within the values
// are not replaced. lookup gets the inside of a reference ("params.day", "tasks.dump.outputs.rows"); one that it does
// not know is an error.
func workflowExpand(text string, lookup func(ref string) (string, bool)) (string, error) {
	pieces, err := workflowPieces(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, piece := range pieces {
		words := piece.words
		if piece.ref != "" {
			if _, err := workflowRefParse(piece.ref); err != nil {
				return "", err
			}
			value, ok := lookup(piece.ref)
			if !ok {
				return "", fmt.Errorf("${%s} has no value", piece.ref)
			}
			words = value
		}
		if out.Len()+len(words) > workflowMaxExpanded {
			return "", fmt.Errorf("a text grows past %d bytes with its ${…} replaced", workflowMaxExpanded)
		}
		out.WriteString(words)
	}
	return out.String(), nil
}

// workflowPieces cuts text at its references.
func workflowPieces(text string) ([]workflowPiece, error) {
	var pieces []workflowPiece
	for text != "" {
		at := strings.Index(text, "${")
		switch {
		case at < 0:
			return append(pieces, workflowPiece{words: text}), nil
		case at > 0 && text[at-1] == '$':
			pieces = append(pieces, workflowPiece{words: text[:at-1] + "${"})
			text = text[at+2:]
			continue
		case at > 0:
			pieces = append(pieces, workflowPiece{words: text[:at]})
		}
		ref, rest, closed := strings.Cut(text[at+2:], "}")
		switch {
		case !closed:
			return nil, fmt.Errorf("%s has no closing }: write $${ for a plain ${", workflowQuote(text[at:]))
		case ref == "":
			return nil, errors.New("${} is empty: want " + workflowForms + "; $${ is a plain ${")
		}
		pieces = append(pieces, workflowPiece{ref: ref})
		text = rest
	}
	return pieces, nil
}

// workflowRefParse takes the inside of a reference apart.
func workflowRefParse(ref string) (workflowRef, error) {
	kind, rest, _ := strings.Cut(ref, ".")
	switch kind {
	case "params", "env":
		if workflowName(rest) {
			return workflowRef{kind: kind, name: rest}, nil
		}
	case "run":
		if rest == "id" || rest == "scheduled_at" {
			return workflowRef{kind: kind, name: rest}, nil
		}
	case "tasks":
		const outputs = ".outputs."
		at := strings.LastIndex(rest, outputs)
		if at > 0 && workflowName(rest[at+len(outputs):]) {
			return workflowRef{kind: kind, name: rest[:at], key: rest[at+len(outputs):]}, nil
		}
	case "item":
		if ref == kind || workflowName(rest) {
			return workflowRef{kind: kind, name: rest}, nil
		}
	}
	return workflowRef{}, fmt.Errorf("%s is not a reference: want %s; $${ is a plain ${", workflowQuote("${"+ref+"}"),
		workflowForms)
}

// workflowKnown is what references may point at.
type workflowKnown struct {
	params     map[string]Param
	paramNames []string
	tasks      map[string]int // id to place
	taskNames  []string
	foreach    *Foreach       // of the task that refers, nil when it has none
	before     func(int) bool // whether the task at that place comes before the one that refers to it
}

// references checks the references in texts.
func (r *workflowReader) references(texts []workflowText, known *workflowKnown) {
	for _, t := range texts {
		switch {
		case !strings.Contains(*t.text, "${"):
		case t.loose:
			known.loosen(t.text)
		default:
			pieces, err := workflowPieces(*t.text)
			if err != nil {
				r.errorf(t.at, "%s: %v", t.key, err)
			}
			for _, piece := range pieces {
				if piece.ref == "" {
					continue
				}
				if message, name, words := known.reference(piece.ref); message != "" {
					r.errorf(t.at, "%s: %s%s", t.key, message, r.meant(name, words))
				}
			}
		}
	}
}

// reference says what is wrong with one reference, "" when nothing is. If that is a name, it gives the name, and the
// words that it could have been.
func (known *workflowKnown) reference(text string) (message, name string, words []string) {
	ref, err := workflowRefParse(text)
	if err != nil {
		return err.Error(), "", nil
	}
	switch ref.kind {
	case "item":
		return known.item(text, ref.name), "", nil
	case "params":
		if _, ok := known.params[ref.name]; !ok {
			return fmt.Sprintf("${%s}: there is no parameter %q", text, ref.name), ref.name, known.paramNames
		}
	case "tasks":
		at, ok := known.tasks[ref.name]
		if !ok {
			return fmt.Sprintf("${%s}: there is no task %s", text, workflowQuote(ref.name)), ref.name, known.taskNames
		}
		if !known.before(at) {
			return fmt.Sprintf("${%s}: only a task that depends on %q, directly or not, can use its outputs", text,
				ref.name), "", nil
		}
	}
	return "", "", nil
}

// loosen treats a text in CDKTR's form, in which CDKTR replaces nothing. A reference that is one of ours and points at
// something stays. Any other ${ becomes $${, so that workflowExpand gives it back as the file has it.
func (known *workflowKnown) loosen(to *string) {
	var out strings.Builder
	text := *to
	for text != "" {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		ref, _, closed := strings.Cut(text[at+2:], "}")
		out.WriteString(text[:at])
		keep := closed && (at == 0 || text[at-1] != '$')
		if keep {
			message, _, _ := known.reference(ref)
			keep = message == ""
		}
		if !keep {
			out.WriteByte('$')
		}
		out.WriteString("${")
		text = text[at+2:]
	}
	out.WriteString(text)
	*to = out.String()
}

// workflowUnreplaced warns of a reference in a shell line, which is not replaced there: a shell takes it for an error,
// or for a variable that is not set. Nothing is said of ${item} where the line has a variable of that name.
func workflowUnreplaced(r *workflowReader, p workflowPair, line string, foreach bool) {
	if strings.Contains(line, "${{") {
		r.warnf(p.value, "${{ }} is an error to a shell: a parameter day is $PARAM_DAY here, and an output KEY of a "+
			"task before is $KEY")
		return
	}
	for rest := line; ; {
		_, behind, ok := strings.Cut(rest, "${")
		text, after, closed := strings.Cut(behind, "}")
		if !ok || !closed {
			return
		}
		rest = after
		name := text[strings.LastIndex(text, ".")+1:]
		switch {
		case strings.HasPrefix(text, "params."):
			name = "PARAM_" + strings.ToUpper(name)
		case strings.HasPrefix(text, "tasks.") && strings.Contains(text, ".outputs."), strings.HasPrefix(text, "env."):
		case text == "run.id", text == "run.scheduled_at":
			name = map[string]string{"id": "CDKTR_RUN_ID", "scheduled_at": "CDKTR_SCHEDULED_AT"}[name]
		case foreach && text == "item" && !strings.Contains(line, "item=") && !strings.Contains(line, " item "):
			name = "ITEM"
		case foreach && strings.HasPrefix(text, "item."):
			name = "ITEM_" + name
		default:
			continue
		}
		r.warnf(p.value, "${%s} is not replaced in a shell line: write $%s", text, name)
		return
	}
}
