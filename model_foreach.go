// model_foreach.go: a task with foreach is one node of the graph, and has an instance for each item. In the record of a
// run the instances of all tasks are TaskRuns behind those of the tasks, named ship[eu]. Pure.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	foreachMax      = 1000 // instances of a task
	foreachRunMax   = 2000 // instances of all tasks of a run: its record must fit into a message
	foreachParallel = 10   // instances of a task at once, if its file does not say

	// bytes of the part of an instance's name that is made of its item; more is cut
	foreachNameMax = 60
)

// Foreach says for which items a task is done: for those that are written, for every combination of lists, or for
// those that a parameter or an output has. With none of the three there are no items.
type Foreach struct {
	Items []string      `json:"items,omitempty"`
	Lists []ForeachList `json:"lists,omitempty"`
	From  string        `json:"from,omitempty"` // ${params.x} or ${tasks.id.outputs.k}
}

// ForeachList is one of the lists that are combined.
type ForeachList struct {
	Name  string   `json:"name"`
	Items []string `json:"items"`
}

// foreachItem is an item: its name within that of the instance, unique in its task; its text, $ITEM; and, of a
// combination or of a map in a JSON list, its values, $ITEM_NAME.
type foreachItem struct {
	name   string
	text   string
	values []foreachValue
}

// foreachValue is a value of an item that has several.
type foreachValue struct{ name, text string }

// count gives how many items are written, and 0 where they come from elsewhere.
func (f *Foreach) count() int {
	if len(f.Lists) == 0 {
		return len(f.Items)
	}
	n := 1
	for i := range f.Lists {
		n = min(n*len(f.Lists[i].Items), foreachMax+1)
	}
	return n
}

// text says how many items there are, or where they come from, in ASCII.
func (f *Foreach) text() string {
	if f.From != "" {
		return dagName(f.From)
	}
	return strconv.Itoa(f.count())
}

// items gives the items; from is the text that From stands for. There are at most foreachMax.
func (f *Foreach) items(from string) ([]foreachItem, error) {
	var items []foreachItem
	switch {
	case f.From != "":
		var err error
		items, err = foreachRead(from)
		if err != nil {
			return nil, err
		}
	case len(f.Lists) > 0:
		if f.count() <= foreachMax {
			items = f.combine()
		}
	default:
		for _, text := range f.Items {
			items = append(items, foreachItem{text: text})
		}
	}
	if n := max(len(items), f.count()); n > foreachMax {
		return nil, fmt.Errorf("there are %d items, more than %d", n, foreachMax)
	}
	foreachName(items)
	return items, nil
}

// combine gives every combination of the lists; the last list turns fastest.
func (f *Foreach) combine() []foreachItem {
	items := []foreachItem{{}}
	for i := range f.Lists {
		var longer []foreachItem
		for k := range items {
			for _, text := range f.Lists[i].Items {
				values := items[k].values
				longer = append(longer, foreachItem{
					values: append(values[:len(values):len(values)], foreachValue{f.Lists[i].Name, text})})
			}
		}
		items = longer
	}
	for i := range items {
		items[i].text = foreachText(items[i].values)
	}
	return items
}

// foreachText writes the values of an item as a JSON object.
func foreachText(values []foreachValue) string {
	object := make(map[string]string, len(values))
	for _, v := range values {
		object[v.name] = v.text
	}
	text, err := jsonText(object)
	if err != nil {
		panic("cdktr: internal error: encode item: " + err.Error()) // texts cannot fail
	}
	return string(text)
}

// foreachRead reads items from a text: a JSON list, or one item a line.
func foreachRead(text string) (items []foreachItem, err error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				items = append(items, foreachItem{text: line})
			}
		}
		return items, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("want a JSON list, or one item a line: %w", err)
	}
	for i, raw := range list {
		item := foreachItem{}
		item.text, err = foreachScalar(raw)
		if err == nil && raw[0] == '{' {
			item.values, err = foreachValues(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("item %d %w", i+1, err)
		}
		items = append(items, item)
	}
	return items, nil
}

// foreachScalar gives the text of a JSON value: of a string what is in it, else the JSON.
func foreachScalar(raw json.RawMessage) (text string, err error) {
	switch {
	case string(raw) == "null":
		return "", errors.New("is null")
	case raw[0] != '"':
		return string(raw), nil
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", err
	}
	return text, textFault(text)
}

// foreachValues gives the values of a JSON object, by name.
func foreachValues(raw json.RawMessage) (values []foreachValue, err error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(fields) {
		text, err := foreachScalar(fields[name])
		if err != nil {
			return nil, fmt.Errorf("has a value %q that %w", name, err)
		}
		values = append(values, foreachValue{name, text})
	}
	return values, nil
}

// foreachName gives each item its name: its text, or its values with commas between them, where what could confuse a
// terminal, a shell or a reader is written as _. A name that an earlier item has, and a long or empty one, ends in ~
// and the place of the item.
func foreachName(items []foreachItem) {
	taken := make(map[string]bool, len(items))
	for i := range items {
		item, place := &items[i], "~"+strconv.Itoa(i+1)
		name := item.text
		if item.values != nil {
			texts := make([]string, len(item.values))
			for k, v := range item.values {
				texts[k] = v.text
			}
			name = strings.Join(texts, ",")
		}
		name = strings.Map(foreachRune, strings.TrimSpace(name))
		if len(name) > foreachNameMax {
			name = strings.ToValidUTF8(name[:foreachNameMax-len(place)], "") + place
		}
		if name == "" || taken[name] {
			name += place
		}
		taken[name], item.name = true, name // no text has a ~ in it here, so that name is another one
	}
}

// foreachRune gives a letter as it may be in a name.
func foreachRune(r rune) rune {
	if !unicode.IsPrint(r) || r == unicode.ReplacementChar || strings.ContainsRune(" []{}()\\\"'`$;&|<>*?!#~", r) {
		return '_'
	}
	return r
}

// foreachInstance names the instance of a task.
func foreachInstance(task, item string) string { return task + "[" + item + "]" }

// foreachIs says whether a name is that of an instance of a task.
func foreachIs(name, task string) bool {
	return strings.HasPrefix(name, task) && strings.HasPrefix(name[len(task):], "[")
}

// instances gives the records of the instances of a task, in the order of its items; none of a task without foreach.
// They stand side by side.
func (r *Run) instances(task string) []TaskRun {
	from, to := r.instancesAt(task)
	return r.Tasks[from:to]
}

// instancesAt gives where in r.Tasks the instances of a task begin, and where they end.
func (r *Run) instancesAt(task string) (from, to int) {
	from = r.total()
	for from < len(r.Tasks) && r.Tasks[from].Of != task {
		from++
	}
	to = from
	for to < len(r.Tasks) && r.Tasks[to].Of == task {
		to++
	}
	return from, to
}

// total counts the tasks of a run: those of its graph, not their instances, nor those of handlers.
func (r *Run) total() (n int) {
	for n < len(r.Tasks) && r.Tasks[n].Of == "" && r.Tasks[n].Handler == "" { // they stand in front of all others
		n++
	}
	return n
}

// instancesCount says in which states instances are, as "12 succeeded, 2 running, 26 waiting".
func instancesCount(instances []TaskRun) string {
	count := map[string]int{}
	for i := range instances {
		count[instances[i].State]++
	}
	var parts []string
	for _, state := range []string{taskFailed, taskCrashed, taskCancelled, taskSucceeded, taskRunning, taskRetrying,
		taskWaiting, taskSkipped} {
		if n := count[state]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+state)
		}
	}
	return strings.Join(parts, ", ")
}

// instancesText gives the reason of a task's state, and of one with foreach, while it is at work, how its instances
// are.
func instancesText(t *TaskRun, instances []TaskRun) string {
	why := t.why()
	if len(instances) == 0 || why != "" && !taskActive(t.State) {
		return why
	}
	if why != "" {
		why += "; "
	}
	return why + instancesCount(instances)
}
