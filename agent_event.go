// agent_event.go: what the tasks of a run are told of the event that fired it.

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// setEvent adds the event of a run to the environment of a task; its paths are in the file env.paths.
func (env *environ) setEvent(e *RunEvent) {
	if e == nil {
		return
	}
	env.set("EVENT_KIND", e.Kind)
	env.set("EVENT_COUNT", strconv.Itoa(max(1, e.Count)))
	switch e.Kind {
	case listenOnFile:
		env.set("EVENT_PATH", e.Path)
	case listenOnWorkflow:
		env.set("EVENT_WORKFLOW", e.Workflow)
		env.set("EVENT_RUN", e.Run)
		env.set("EVENT_STATE", e.State)
	default:
		env.set("EVENT", e.Line)
	}
	if env.paths != "" {
		env.set("EVENT_PATHS", env.paths)
	}
}

// hasPaths says whether the event of the run has paths, for $EVENT_PATHS.
func (start *attemptStart) hasPaths() bool {
	return start.run.Event != nil && len(start.run.Event.Paths) > 0
}

// writePaths writes the paths of the event, one a line, for the user whom the process is to run as; nil is our own. It
// may hang with the file system.
func (start *attemptStart) writePaths(user *procUser) error {
	start.paths = eventPaths(start.output)
	text := strings.Join(start.run.Event.Paths, "\n") + "\n"
	if err := attemptWrite(start.paths, strings.NewReader(text), user); err != nil {
		return fmt.Errorf("write the paths of the event: %w", err)
	}
	return nil
}

// dropPaths removes the file with the paths, and the folder that was made for it alone.
func (start *attemptStart) dropPaths() {
	if start.guards && userOutFile(start.paths) {
		outputsDrop(start.paths)
	} else {
		os.Remove(start.paths) // if it stays, it goes with the folder
	}
}

// eventPaths names the file of $EVENT_PATHS, by that of $CDKTR_OUTPUT.
func eventPaths(outputFile string) string { return outputFile + ".paths" }
