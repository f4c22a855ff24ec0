// workflow_rights.go: keys that say as whom tasks run, and which secrets they get.

package main

import (
	"slices"
	"strings"
)

const workflowMaxSecrets = 32 // secrets of a workflow or a task; more are a fault

// workflowMaxUser bounds the name of a user, in bytes; a longer one is a fault.
const workflowMaxUser = 64

// workflowUser reads the name of a user. Whether there is one of that name only the agent knows.
func workflowUser(r *workflowReader, p workflowPair, to *string) {
	const want = "the name of a user, such as backup"
	text, ok := r.scalar(p, want)
	switch {
	case !ok:
	case strings.Trim(text, "0123456789") == "" && text != "":
		r.errorf(p.value, "user: want %s, not a number: %s may be another user on another machine", want, text)
	case !workflowLabel(strings.TrimSuffix(text, "$")) || text[0] == '-' || len(text) > workflowMaxUser:
		r.errorf(p.value, "user: want %s, not %s", want, workflowQuote(text))
	default:
		*to = text
	}
}

// workflowSecrets reads the names of secrets.
func workflowSecrets(r *workflowReader, p workflowPair, to *[]string) {
	items, _ := r.texts(p, "the name of a secret or a list of them, such as [PGPASSWORD]", true)
	if len(items) > workflowMaxSecrets {
		r.errorf(p.value, "secrets: there are %d, more than %d", len(items), workflowMaxSecrets)
		return
	}
	for _, item := range items {
		switch {
		case !workflowName(item.text):
			r.errorf(item.at, "secrets: %s cannot name a variable, which each secret becomes: want letters, digits "+
				"and _, no "+
				"digit first", workflowQuote(item.text))
		case strings.HasPrefix(item.text, "CDKTR_"):
			r.errorf(item.at, "secrets: %s would replace a variable of cdktr's own", item.text)
		case !slices.Contains(*to, item.text):
			*to = append(*to, item.text)
		}
	}
}

// secretsApart finds what would show a secret, or would set it to something else.
func (d *workflowDraft) secretsApart(r *workflowReader) {
	workflowSecretsWithin(r, d.spec.Secrets, d.spec.Env, d.keys["env"], d.texts)
	tasks := slices.Clone(d.tasks)
	for _, h := range d.handlers {
		tasks = append(tasks, h.tasks...)
	}
	for _, t := range tasks {
		r.within("task "+workflowQuote(t.ID), func() {
			all := slices.Concat(d.spec.Secrets, t.Secrets)
			texts := t.texts
			if t.HTTP != nil { // which curl is told through a pipe
				texts = slices.DeleteFunc(slices.Clone(texts), func(text workflowText) bool {
					return text.key == "url" || text.key == "body" || strings.HasPrefix(text.key, "headers: ")
				})
			}
			workflowSecretsWithin(r, all, t.Env, t.keys["env"], texts)
			for _, name := range t.Secrets {
				if _, set := d.spec.Env[name]; set {
					r.errorf(t.keys["secrets"].value,
						"secrets: env of the workflow sets %s too: write only one of them", name)
				}
			}
		})
	}
}

// workflowSecretsWithin looks at the env and the texts of a workflow, or of a task, that has these secrets.
func workflowSecretsWithin(r *workflowReader, names []string, env map[string]string, at workflowPair,
	texts []workflowText) {
	for _, name := range names {
		if _, set := env[name]; set {
			r.errorf(at.value, "env: %s is in secrets too: write only one of them", name)
		}
	}
	for _, text := range texts {
		pieces, _ := workflowPieces(*text.text) // what is wrong with them is said elsewhere
		for _, piece := range pieces {
			name, is := strings.CutPrefix(piece.ref, "env.")
			if is && slices.Contains(names, name) && !strings.HasPrefix(text.key, "env: ") {
				r.errorf(text.at, "%s: ${env.%s} is a secret, and everybody on the agent's machine may read it "+
					"there: let "+
					"the program read the variable %[2]s", text.key, name)
			}
		}
	}
}
