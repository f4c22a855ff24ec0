// workflow_defaults.go: defaults.yml, which says what holds for every workflow in its folder and below, unless the
// workflow, or a defaults.yml nearer to it, says otherwise. Its keys are put into the map of a file before that is
// read, so they mean there what they mean in any workflow.

package main

import (
	"bytes"
	"path"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v4"
)

// workflowDefaultsName is the name of such a file. It is no workflow.
const workflowDefaultsName = "defaults.yml"

// workflowDefaultsNot are the keys that each workflow says by itself.
var workflowDefaultsNot = []string{"name", "tasks", "schedule", "cron", "params", "on"}

// workflowDefaultsMerge are the keys that are joined name by name.
var workflowDefaultsMerge = []string{"env", "agent", "limits"}

// workflowDefaults is a file of defaults.
type workflowDefaults struct {
	file  string // as faults and users are told
	data  []byte
	fault *workflowFault // why it could not be read; nil: it was
}

// workflowIsDefaults says whether a file of that name has defaults.
func workflowIsDefaults(name string) bool { return path.Base(name) == workflowDefaultsName }

// workflowInherit puts the keys of files of defaults, the nearest first, into the map of a workflow. It gives which key
// came from which file, with those of env, agent and limits as env.NAME; nil when none did. A fault of theirs is one of
// the workflow.
func workflowInherit(r *workflowReader, root *yaml.Node, all []workflowDefaults) (from map[string]string) {
	if len(all) > 0 {
		workflowFlatten(r, root)
	}
	for _, d := range all {
		if d.fault != nil {
			r.faults = append(r.faults, *d.fault)
			continue
		}
		if len(bytes.TrimSpace(d.data)) == 0 {
			continue
		}
		tree, fault := workflowTree(d.file, d.data)
		if fault != nil {
			r.faults = append(r.faults, *fault)
			continue
		}
		if r.files == nil {
			r.files, from = map[*yaml.Node]string{}, map[string]string{}
		}
		workflowOfFile(r.files, tree, d.file)
		tree = r.follow(tree)
		if tree.Kind != yaml.MappingNode {
			r.errorf(tree, "want a map of keys such as env and on_failure, not %s", workflowKind(tree))
			continue
		}
		for _, p := range r.pairs(tree) {
			switch {
			case workflowNull(p.value):
			case slices.Contains(workflowDefaultsNot, p.key):
				r.errorf(p.at, "key %q does not belong in %s: each workflow says it by itself", p.key,
					workflowDefaultsName)
			default:
				workflowInheritKey(root, p, d.file, from)
			}
		}
	}
	return from
}

// workflowFlatten makes the keys that "<<" merges into the map of a file its own: they win over defaults too.
func workflowFlatten(r *workflowReader, root *yaml.Node) {
	if workflowChild(root, "<<") == nil {
		return
	}
	for _, p := range r.pairs(root) {
		if workflowChild(root, p.key) == nil {
			root.Content = append(root.Content, p.at, p.value)
		}
	}
}

// workflowInheritKey puts one key into the map of a workflow, if that does not have it.
func workflowInheritKey(root *yaml.Node, p workflowPair, file string, from map[string]string) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != p.key {
			continue
		}
		own := root.Content[i+1]
		for own.Kind == yaml.AliasNode {
			own = own.Alias
		}
		switch {
		case workflowNull(own):
			root.Content[i], root.Content[i+1] = p.at, p.value
			from[p.key] = file
		case slices.Contains(workflowDefaultsMerge, p.key) && own.Kind == yaml.MappingNode &&
			p.value.Kind == yaml.MappingNode:
			joined := *own // the map may be that of an anchor
			joined.Content = slices.Clone(own.Content)
			for k := 0; k+1 < len(p.value.Content); k += 2 {
				name := p.value.Content[k]
				if workflowChild(own, name.Value) == nil {
					joined.Content = append(joined.Content, name, p.value.Content[k+1])
					from[p.key+"."+name.Value] = file
				}
			}
			root.Content[i+1] = &joined
		}
		return
	}
	root.Content = append(root.Content, p.at, p.value)
	from[p.key] = file
}

// workflowOfFile notes that a node, with all that is in it, is of another file.
func workflowOfFile(files map[*yaml.Node]string, n *yaml.Node, file string) {
	if n == nil || files[n] != "" {
		return
	}
	files[n] = file
	workflowOfFile(files, n.Alias, file)
	for _, part := range n.Content {
		workflowOfFile(files, part, file)
	}
}

// From here on: defaults in the folder of workflows.

// folderOrder gives the files of a walk in the order in which they are read: those with defaults before all others.
func folderOrder(w *folderWalk) []string {
	rels := sortedKeys(w.found)
	sort.SliceStable(rels, func(i, j int) bool { return workflowIsDefaults(rels[i]) && !workflowIsDefaults(rels[j]) })
	return rels
}

// spoilDefaults notes the files of defaults that could not be looked at, before workflows are read with them.
func (f *workflowFolder) spoilDefaults(w *folderWalk) {
	for _, rel := range sortedKeys(w.broken) {
		if workflowIsDefaults(rel) {
			f.spoil(rel, w.broken[rel])
		}
	}
}

// defaultsChanged has the workflows read again that rel reaches, if that is a file of defaults.
func (f *workflowFolder) defaultsChanged(rel string) {
	if !workflowIsDefaults(rel) {
		return
	}
	for other, entry := range f.entries {
		below := path.Dir(rel) == "." || strings.HasPrefix(other, path.Dir(rel)+"/")
		if below && !workflowIsDefaults(other) {
			entry.info = nil
		}
	}
}

// defaultsOf gives the defaults of a workflow file, the nearest first.
func (f *workflowFolder) defaultsOf(rel string) (all []workflowDefaults) {
	for dir := path.Dir(rel); ; dir = path.Dir(dir) {
		name := path.Join(dir, workflowDefaultsName)
		if entry := f.entries[name]; entry != nil {
			d := workflowDefaults{file: name, data: entry.data}
			if len(entry.faults) > 0 {
				d.fault = &entry.faults[0]
			}
			all = append(all, d)
		}
		if dir == "." {
			return all
		}
	}
}
