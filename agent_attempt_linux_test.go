package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Files that a user names and that are none: nothing is waited for, and the reason names the file. (Not beside other
// tests: this process would take what they start for orphans of its tasks.)
func TestAgentStartFifo(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o700); err != nil {
		t.Fatal(err)
	}
	one := func(task Task) []Task { task.ID = "a"; return []Task{task} }
	workflows := []*Workflow{
		{ID: "env_file", EnvFile: []string{fifo}, Tasks: one(Task{Run: "echo hi"})},
		{ID: "endless env_file", EnvFile: []string{"/dev/zero"}, Tasks: one(Task{Run: "echo hi"})},
		{ID: "folder as env_file", EnvFile: []string{dir}, Tasks: one(Task{Run: "echo hi"})},
		{ID: "outputs", Tasks: one(Task{Run: `mkfifo "$CDKTR_OUTPUT"`})},
		{ID: "endless outputs", Tasks: one(Task{Run: `ln -s /dev/zero "$CDKTR_OUTPUT"`})},
		{ID: "outputs of a failure", Tasks: one(Task{Run: `mkfifo "$CDKTR_OUTPUT"; exit 3`})},
		{ID: "program", Tasks: one(Task{Cmd: fifo})},
		{ID: "directory", Tasks: one(Task{Cmd: "true", WorkingDirectory: fifo})},
	}
	h := agentHost(t, &principalLog{}, workflows...)
	for id, want := range map[string]string{
		"env_file":             "read env_file " + fifo + ": not a regular file",
		"endless env_file":     "read env_file /dev/zero: not a regular file",
		"folder as env_file":   "read env_file " + dir + ": not a regular file",
		"outputs":              "read outputs: $CDKTR_OUTPUT: not a regular file",
		"endless outputs":      "read outputs: $CDKTR_OUTPUT: not a regular file",
		"outputs of a failure": "exit 3", "program": "make it executable", "directory": fifo + " is not a directory",
	} {
		r, _ := agentFollow(t, h, Request{Workflow: id}, nil)
		if got := agentStates(r); r.State != runFailed || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", id, got, want)
		}
	}
}

// A start that hangs in the system: it ends with its timeout, with that of the run, and when somebody stops it, all the
// while other tasks end, and the next attempt begins once the system answers again.
func TestAgentStartHangs(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, all time.Duration
		stop         *Request
		want         string
	}{
		"timeout of the task": {timeout: time.Second,
			want: "failed (task b: timed out after 500ms): b failed (timed out after 500ms), c succeeded, a failed " +
				"(timed out after 1s, waiting to start PROGRAM)"},
		"timeout of the run": {all: time.Second,
			want: "failed (timed out after 1s): b failed (timed out after 500ms), c succeeded, a failed (timed out " +
				"after 1s)"},
		"cancel": {stop: &Request{Op: "cancel"},
			want: "cancelled (BY): b failed (timed out after 500ms), c succeeded, a cancelled (BY)"},
		"force": {stop: &Request{Op: "cancel", Force: true},
			want: "cancelled (BY): b failed (timed out after 500ms), c succeeded, a cancelled (BY)"},
		"cancel of the task": {stop: &Request{Op: "cancel", Task: "a"},
			want: "failed (task b: timed out after 500ms): b failed (timed out after 500ms), c succeeded, a " +
				"cancelled (BY)"},
		"answers again": {want: "failed (task b: timed out after 500ms): b failed (timed out after 500ms), c " +
			"succeeded, a succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			program, mark, free := procTestHang(t)
			begun := filepath.Join(t.TempDir(), "begun") // b runs before a hangs, and is timed out while it does
			w := &Workflow{ID: "w", Timeout: Duration(c.all), Tasks: []Task{{ID: "b", Run: ": > " + begun +
				"; exec sleep 300", Timeout: Duration(500 * time.Millisecond)},
				{ID: "c", Run: "while [ ! -e " + begun + " ]; do sleep 0.01; done"},
				{ID: "a", Cmd: program, Timeout: Duration(c.timeout), Depends: []string{"c"}}}}
			h := agentHost(t, &principalLog{}, w)
			id, asked := "", false
			r, _ := agentFollow(t, h, Request{Workflow: "w"}, func(cl *client, r *Reply) {
				id = orDefault(r.Run, id)
				for _, task := range r.Tasks {
					if task.Task != "b" || task.State != taskFailed || asked {
						continue
					}
					asked = true
					switch {
					case c.stop != nil:
						req := *c.stop
						req.Run = id
						if err := cl.send(req); err != nil {
							t.Error(err)
						}
					case c.timeout == 0 && c.all == 0:
						free()
					}
				}
			})
			got := fmt.Sprintf("%s (%s): %s", r.State, r.Reason, agentStates(r))
			by := r.task("a").Reason
			if want := strings.NewReplacer("BY", by, "PROGRAM", program).Replace(c.want); got != want ||
				c.stop != nil && !strings.HasPrefix(by, "cancelled by ") {
				t.Errorf("%s\nwant %s", got, want)
			}
			if _, err := os.Stat(mark); (err == nil) != (name == "answers again") {
				t.Errorf("whether it ran: %v", err)
			}
		})
	}
}
