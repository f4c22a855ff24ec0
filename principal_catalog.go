// principal_catalog.go: what the workflows folder says now: the workflows by their ids, and what is wrong with them.

package main

import (
	"fmt"
	"strings"
)

// catalog is the workflows that there are. It belongs to the principal's loop.
type catalog struct {
	*principalLoop
	files  map[string]*workflowFile
	ids    []string             // of files, sorted; never changed, only replaced: looks keep it
	hashes map[*Workflow]string // of specs of files, as far as they were run
}

// catalogNew makes an empty catalog.
func catalogNew(loop *principalLoop) *catalog {
	return &catalog{principalLoop: loop, files: map[string]*workflowFile{}, hashes: map[*Workflow]string{}}
}

// folderNote says what is wrong with the workflows folder; "" when nothing is. Any goroutine may call it.
func (k *catalog) folderNote() string {
	if k.cfg.Folder == nil {
		return ""
	}
	err := k.cfg.Folder.fault()
	if err == nil {
		return ""
	}
	first, more, _ := strings.Cut(err.Error(), "\n") // a line for each directory: there may be thousands
	if more != "" {
		first += fmt.Sprintf(" (and %d more)", strings.Count(more, "\n")+1)
	}
	return first + "; what was read before stays in force"
}

// noWorkflow refuses an id that is not there. Only on the loop.
func (k *catalog) noWorkflow(c *opCall, id string) *protoError {
	return noWorkflowAmong(k.ids, c.grant, id)
}

// noWorkflowAmong refuses an id that is not among those of the workflows.
func noWorkflowAmong(ids []string, grant *authGrant, id string) *protoError {
	return refuseNear(fmt.Sprintf("no workflow %q", id), "cdktr ls lists them", id,
		func() []string { return visible(ids, grant) })
}

// put takes over what a file says. It gives what the file said before, nil when it is new. sortIDs must follow.
func (k *catalog) put(f *workflowFile) (before *workflowFile) {
	before = k.files[f.ID]
	if before != nil && before.Spec != f.Spec {
		delete(k.hashes, before.Spec)
	}
	k.files[f.ID] = f
	return before
}

// remove forgets a workflow whose file is gone. sortIDs must follow.
func (k *catalog) remove(id string) {
	if f := k.files[id]; f != nil {
		delete(k.hashes, f.Spec)
	}
	delete(k.files, id)
}

// sortIDs makes the list of ids anew.
func (k *catalog) sortIDs() { k.ids = sortedKeys(k.files) }

// hashOf is the hash of a workflow that a file has now, which is made once for each version of the file.
func (k *catalog) hashOf(w *Workflow) (name string) {
	name, ok := k.hashes[w]
	if !ok {
		name, _ = w.hash()
		f := k.files[w.ID]
		if f != nil && f.Spec == w { // what comes and goes with its file
			k.hashes[w] = name
		}
	}
	return name
}
