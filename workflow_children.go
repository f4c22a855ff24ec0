// workflow_children.go: what workflows say of each other: which starts a run of which. One file alone does not show
// whether that can work; here all are looked at together.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// children gives the ids of the workflows of which tasks start runs, in the order of the file; nil for most.
func (w *Workflow) children() (ids []string) {
	for _, t := range w.childTasks() {
		ids = append(ids, t.Workflow)
	}
	return ids
}

// childTasks gives the tasks that start runs of others, those of handlers too; nil for most workflows, and for nil.
func (w *Workflow) childTasks() (tasks []*Task) {
	if w == nil {
		return nil
	}
	add := func(list []Task) {
		for i := range list {
			if list[i].Workflow != "" {
				tasks = append(tasks, &list[i])
			}
		}
	}
	add(w.Tasks)
	for _, name := range handlerNames {
		add(w.handler(name))
	}
	return tasks
}

// workflowLoops finds the workflows that would start themselves, directly or through others. It gives a shortest loop
// of each, with the workflow in front and at the end.
func workflowLoops(specs map[string]*Workflow) map[string][]string {
	down := map[string][]string{} // those that start others
	for id, w := range specs {
		if ids := w.children(); ids != nil {
			down[id] = ids
		}
	}
	for cut := true; cut; { // what starts nothing that is left is in no loop
		cut = false
		for id, ids := range down {
			kept := ids[:0:0]
			for _, child := range ids {
				if down[child] != nil {
					kept = append(kept, child)
				}
			}
			if len(kept) == 0 {
				delete(down, id)
				cut = true
			} else {
				down[id] = kept
			}
		}
	}
	loops := map[string][]string{}
	for id := range down {
		if loop := workflowLoop(id, down); loop != nil {
			loops[id] = loop
		}
	}
	return loops
}

// workflowLoop gives a shortest way from a workflow to itself, breadth first; nil when there is none.
func workflowLoop(id string, down map[string][]string) []string {
	from, queue := map[string]string{}, []string{id}
	for at := 0; at < len(queue); at++ {
		for _, child := range down[queue[at]] {
			if child == id {
				loop := []string{id}
				for up := queue[at]; up != id; up = from[up] {
					loop = append([]string{up}, loop...)
				}
				return append([]string{id}, loop...)
			}
			if _, seen := from[child]; !seen {
				from[child] = queue[at]
				queue = append(queue, child)
			}
		}
	}
	return nil
}

// checkChildren holds the files of a folder against each other. A file with a loop has a fault, and its last good
// version stays in force; was gives that. What another file may still mend is a warning.
func checkChildren(files map[string]*workflowFile, was map[string]workflowFile) {
	specs := make(map[string]*Workflow, len(files))
	for id, f := range files {
		specs[id] = f.Spec
	}
	loops := workflowLoops(specs)
	for id, f := range files {
		for _, t := range f.Spec.childTasks() {
			fault, loop := childFault(t, specs), loops[id]
			loops := loop != nil && loop[1] == t.Workflow
			if loops {
				fault = "it would start itself: " + strings.Join(loop, " -> ")
			}
			if fault != "" {
				f.Faults = append(f.Faults[:len(f.Faults):len(f.Faults)], workflowFault{File: f.File, Warning: !loops,
					Message: fmt.Sprintf("task %s: workflow %s: %s", workflowQuote(t.ID), t.Workflow, fault)})
			}
		}
		for _, other := range f.Spec.listensTo() {
			if fault := childUnknown(other, specs); fault != "" {
				f.Faults = append(f.Faults[:len(f.Faults):len(f.Faults)], workflowFault{File: f.File, Warning: true,
					Message: fmt.Sprintf("on: workflow %s: %s", other, fault)})
			}
		}
		if loops[id] != nil {
			f.Spec = was[id].Spec
		}
	}
}

// childUnknown says that there is no workflow of that name, "" when there is one.
func childUnknown(id string, specs map[string]*Workflow) string {
	if _, known := specs[id]; known {
		return ""
	}
	return "there is no such workflow" + nearHint(id, sortedKeys(specs))
}

// childFault says what is wrong with a task that starts a run of one of these workflows, "" when nothing is.
func childFault(t *Task, specs map[string]*Workflow) string {
	child, known := specs[t.Workflow]
	switch {
	case !known:
		return childUnknown(t.Workflow, specs)
	case child == nil: // its own faults say why
		return ""
	}
	for _, name := range sortedKeys(t.Params) {
		if _, ok := child.Params[name]; !ok {
			return fmt.Sprintf("it has no parameter %q", name)
		}
	}
	for _, name := range sortedKeys(child.Params) {
		if _, given := t.Params[name]; child.Params[name].Required && !given {
			return fmt.Sprintf("its parameter %s has no default: give it in params", name)
		}
	}
	if each := t.Foreach; each != nil && child.Overlap == overlapReplace && (each.From != "" || each.count() > 1) &&
		(t.MaxParallel != 1 || !t.waits()) {
		return "it has overlap: replace, so the run of each item would end that of the one before: write overlap: " +
			"queue " +
			"or allow there"
	}
	return ""
}

// childFile finds the file of a workflow in the folder of another one, or in those above it that are a part of the id.
// read reads a file.
func childFile(dir, id string, read func(name string) ([]byte, error)) (name string, text []byte, err error) {
	for {
		for _, path := range childPaths(id) {
			for _, ending := range []string{".yml", ".yaml", ".json"} {
				name = filepath.Join(dir, path+ending)
				text, err = read(name)
				if !errors.Is(err, fs.ErrNotExist) {
					return name, text, err
				}
			}
		}
		base := filepath.Base(dir)
		if !strings.HasPrefix(id, base+".") || filepath.Dir(dir) == dir {
			return "", nil, fs.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
}

// childPaths gives the paths that a workflow's file may have below its folder, without the ending: each dot of the id
// may stand for a slash.
func childPaths(id string) []string {
	head, rest, more := strings.Cut(id, ".")
	if !more || strings.Count(id, ".") > asksMaxDots {
		return []string{id}
	}
	var paths []string
	for _, tail := range childPaths(rest) {
		paths = append(paths, head+"/"+tail, head+"."+tail)
	}
	return paths
}

// asksMaxDots bounds the dots of an id that may stand for a slash, where its file is looked for.
const asksMaxDots = 6

// workflowFamily reads the workflows that w starts, and those that these start, from the files beside it. name is the
// file of w, or a name in its folder. parse reads the text of a file, with the defaults that are for it.
func workflowFamily(ctx context.Context, w *Workflow, name string, read func(name string) ([]byte, error),
	parse func(file, id string, text []byte) (*Workflow, []workflowFault)) (family []workflowFile, err error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", name, err)
	}
	specs := map[string]*Workflow{w.ID: w}
	queue := []*Workflow{w}
	for at := 0; at < len(queue) && ctx.Err() == nil; at++ {
		for _, t := range queue[at].childTasks() {
			if specs[t.Workflow] != nil {
				continue
			}
			file, text, err := childFile(dir, t.Workflow, read)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("task %s of %s: workflow %s: there is no file of it beside %s: want %s.yml "+
					"there",
					t.ID, queue[at].ID, t.Workflow, name, strings.ReplaceAll(t.Workflow, ".", "/"))
			}
			if err != nil {
				return nil, fmt.Errorf("read workflow %s: %w", t.Workflow, err)
			}
			spec, faults := parse(file, t.Workflow, text)
			family = append(family, workflowFile{ID: t.Workflow, File: file, Spec: spec, Faults: faults})
			if specs[t.Workflow] = spec; spec != nil {
				queue = append(queue, spec)
			}
		}
	}
	return family, ctx.Err()
}
