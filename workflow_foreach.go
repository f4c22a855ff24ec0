// workflow_foreach.go: reads the keys foreach and max_parallel of a task.

package main

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// workflowForeachWant says what foreach may be, for messages.
const workflowForeachWant = "a list such as [eu, us], a map of lists such as {os: [linux, mac]}, ${params.NAME} or " +
	"${tasks.ID.outputs.KEY}"

// foreach reads for which items a task is done.
func (r *workflowReader) foreach(t *workflowTask, p workflowPair) {
	t.Foreach = &Foreach{}
	switch p.value.Kind {
	case yaml.ScalarNode:
		t.foreachFrom(r, p)
	case yaml.MappingNode:
		for _, list := range r.pairs(p.value) {
			if !workflowName(list.key) {
				r.errorf(list.at, "foreach: %s cannot name a list: want letters, digits and _, no digit first",
					workflowQuote(list.key))
				continue
			}
			t.Foreach.Lists = append(t.Foreach.Lists, ForeachList{list.key,
				t.foreachItems(r, workflowPair{"foreach: " + list.key, list.at, list.value})})
		}
	default:
		t.Foreach.Items = t.foreachItems(r, p)
	}
	if n := t.Foreach.count(); n > foreachMax {
		r.errorf(p.value, "foreach: there are more than %d items: split the task", foreachMax)
	}
}

// foreachFrom reads a reference that the items come from.
func (t *workflowTask) foreachFrom(r *workflowReader, p workflowPair) {
	text, ok := r.scalar(p, workflowForeachWant)
	if !ok {
		return
	}
	pieces, err := workflowPieces(text)
	one := err == nil && len(pieces) == 1 && pieces[0].ref != ""
	if !one || !strings.HasPrefix(pieces[0].ref, "params.") && !strings.HasPrefix(pieces[0].ref, "tasks.") {
		r.errorf(p.value, "foreach: want %s, not %s", workflowForeachWant, workflowQuote(text))
		return
	}
	t.Foreach.From = text
	t.texts = append(t.texts, workflowText{key: p.key, at: p.value, text: &t.Foreach.From})
}

// foreachItems reads a list of items.
func (t *workflowTask) foreachItems(r *workflowReader, p workflowPair) (texts []string) {
	items, _ := r.texts(p, workflowForeachWant, false)
	for _, item := range items {
		if strings.Contains(item.text, "${") {
			r.errorf(item.at, "%s: an item is taken as it is written, and %s is a reference: write foreach: "+
				"${params.NAME} for a whole list", p.key, workflowQuote(item.text))
		}
		texts = append(texts, item.text)
	}
	return texts
}

// foreachFits checks the keys of a task that go with foreach.
func (t *workflowTask) foreachFits(r *workflowReader) {
	if p, has := t.keys["max_parallel"]; has && t.Foreach == nil {
		r.errorf(p.at, "max_parallel goes only with foreach")
	}
}

// item says what is wrong with a reference to the item of a task with foreach, "" when nothing is.
func (known *workflowKnown) item(text, key string) string {
	switch {
	case known.foreach == nil:
		return "${" + text + "}: only a task with foreach has an item, in its own keys"
	case key == "" || known.foreach.From != "":
		return ""
	}
	for i := range known.foreach.Lists {
		if known.foreach.Lists[i].Name == key {
			return ""
		}
	}
	return "${" + text + "}: foreach has no list " + workflowQuote(key)
}
