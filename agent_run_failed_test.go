// Test of which task an agent names as the one for which a run has failed.

package main

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAgentRunBlames: the task that failed first is named, wherever it stands, and neither one that was skipped for it
// nor one that ran and failed because of it. So does attention.
func TestAgentRunBlames(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{{"a", "b", "a"}, {"b", "a", "b"}} {
		dir := t.TempDir()
		if err := unix.Mkfifo(dir+"/over", 0o600); err != nil {
			t.Fatal(err)
		}
		exits := map[string]int{"a": 3, "b": 4}
		w := &Workflow{ID: "w", Tasks: []Task{{ID: "a"}, {ID: "b"},
			{ID: "c", Run: "exit 5", Depends: []string{c.first}, When: whenFailure},
			{ID: "d", Run: fmt.Sprintf(": >%s/over; exit 6", dir), Depends: []string{"c"}, When: whenAlways},
			{ID: "e", Run: "true", Depends: []string{c.first}}}}
		for i := range w.Tasks[:2] {
			task := &w.Tasks[i]
			task.Run = fmt.Sprintf("exit %d", exits[task.ID])
			if task.ID == c.second { // it ends behind all that follows from the first
				task.Run = fmt.Sprintf("read x <%s/over; %s", dir, task.Run)
			}
		}
		h := agentHost(t, &principalLog{}, w)
		r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
		if want := fmt.Sprintf("task %s: exit %d", c.want, exits[c.want]); r.State != runFailed || r.Reason != want {
			t.Errorf("%s first: %s %q, want %q", c.first, r.State, r.Reason, want)
		}
		if f := runFailure(r); f.Task != c.want || f.Exit == nil || *f.Exit != exits[c.want] {
			t.Errorf("%s first: attention blames %s", c.first, f.Task)
		}
	}
}
