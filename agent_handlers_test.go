package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAgentHandlersAfterCancel: what had become ready when a run was cancelled has no part in its handlers, wherever it
// is in its graph.
func TestAgentHandlersAfterCancel(t *testing.T) {
	work := Task{ID: "work", Run: "echo up; exec sleep 600"}
	after := Task{ID: "after", Run: "echo after", Depends: []string{"work"}, When: whenAlways}
	each := Task{ID: "each", Run: "echo each", Depends: []string{"work"}, When: whenAlways,
		Foreach: &Foreach{Items: []string{"a", "b"}}}
	for _, tasks := range [][]Task{{work, after}, {after, work}, {work, after, each}, {each, after, work}} {
		w := &Workflow{ID: "w", Tasks: tasks, OnExit: []Task{{ID: "on_exit", Run: "echo bye"}}}
		h := agentHost(t, &principalLog{}, w)
		r, lines := agentFollow(t, h, Request{Workflow: "w"}, func(c *client, r *Reply) {
			if r.Line != nil && string(r.Line.raw()) == "up" {
				if err := c.send(Request{Op: "cancel", Run: r.Line.Run}); err != nil {
					t.Error(err)
				}
			}
		})
		if r.State != runCancelled || r.task("on_exit").State != taskSucceeded || r.task("after").State != taskSkipped {
			t.Errorf("%s: %s", r.State, agentStates(r))
		}
		if want := []string{"on_exit|o|bye", "work|o|up"}; !slices.Equal(slices.Sorted(slices.Values(lines)), want) {
			t.Errorf("the output is %q, want %q", lines, want)
		}
	}
}

// What cleans up has an end, whatever it waits for: a handler, and a task behind the timeout of its run.
func TestAgentCleanupLimits(t *testing.T) {
	minute := Duration(time.Minute)
	task := func(w Task) Task { w.Cmd = "/no/such/program"; return w }
	for _, c := range []struct {
		name   string
		task   Task
		after  time.Duration
		reason string // with HANDLER for what a handler is told
	}{
		{"retries", Task{Retries: 1000, RetryDelay: minute, RetryMaxDelay: minute}, agentCleanup,
			"timed out after 5m, REST without a timeout of its own"},
		{"repeat", Task{Repeat: &Repeat{Every: minute}}, agentCleanup,
			"timed out after 5m, REST without a timeout of its own"},
		{"repeat, timeout", Task{Repeat: &Repeat{Every: minute}, Timeout: minute}, agentCleanup,
			"timed out after 5m, REST"},
		{"repeat, long timeout", Task{Repeat: &Repeat{Every: minute}, Timeout: 10 * minute}, 10 * time.Minute,
			"timed out after 10m, REST"},
		{"pool", Task{Pool: map[string]int{"p": 1}}, agentCleanup,
			"timed out after 5m, REST without a timeout of its own"},
		{"pool, timeout", Task{Pool: map[string]int{"p": 1}, Timeout: 2 * minute}, 2 * time.Minute,
			"timed out after 2m, waiting for its places in pools"},
	} {
		for _, handler := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				g := agentRigOpen(t)
				w, name := Workflow{Tasks: agentBroken}, "on_exit"
				rest, c := "all that a task of on_exit has", c
				if c.task = task(c.task); handler {
					c.task.ID = name
					w.OnExit = []Task{c.task}
				} else { // the timeout of the run is over after a second
					c.task.ID, c.task.When, c.task.Depends = "tidy", whenAlways, []string{"a"}
					w.Tasks, w.Timeout = append(slices.Clone(agentWaiting), c.task), Duration(time.Second)
					name, rest = "tidy", "all there is once the run has timed out"
					c.reason = strings.ReplaceAll(c.reason, " without a timeout of its own", "")
				}
				g.assign("R1", 1, w)
				time.Sleep(2*time.Second + c.after - 10*time.Second)
				synctest.Wait()
				if events := g.events("R1"); strings.Contains(events, "finished "+name) {
					t.Errorf("%s: too soon: %s", c.name, events)
				}
				time.Sleep(20 * time.Second)
				synctest.Wait()
				var end *Event
				for _, m := range g.of(msgReport) {
					for _, item := range m.Items {
						if e := item.Event; e != nil && e.Kind == evTaskFinished && e.Task == name {
							end = e
						}
					}
				}
				if end == nil {
					t.Errorf("%s: it goes on for ever: %s", c.name, g.events("R1"))
				} else if want := strings.ReplaceAll(c.reason, "REST", rest); end.State != taskFailed ||
					end.Reason != want {
					t.Errorf("%s: %s: %s, want %s", c.name, end.State, end.Reason, want)
				}
				g.end()
			})
		}
	}
}
