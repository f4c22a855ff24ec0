package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The timeout of a run stops its tasks, and not what cleans up or raises the alarm behind them, nor what of that is at
// work.
func TestAgentRunLate(t *testing.T) {
	sleep, limit := "exec sleep 300", Duration(400*time.Millisecond)
	clean := func(id string, depends ...string) Task {
		return Task{ID: id, Run: "echo " + id, Depends: depends, When: whenAlways}
	}
	alarm := func(id string, depends ...string) Task {
		return Task{ID: id, Run: "echo " + id, Depends: depends, When: whenFailure}
	}
	for id, c := range map[string]struct {
		most  int
		tasks []Task
		want  string
	}{
		"behind": {0, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: "true", Depends: []string{"a"}}, clean("c", "b"),
			alarm("d", "a"), {ID: "e", Run: "echo e", Depends: []string{"c"}}, alarm("f", "e")},
			"a failed (LATE), b skipped (a failed), c succeeded, d succeeded, e cancelled (LATE), f succeeded"},
		"waits for a place": {1, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: "echo b"}, alarm("c", "b"),
			{ID: "d", Run: "true", Depends: []string{"b"}}},
			"a failed (LATE), b cancelled (LATE), c succeeded, d skipped (b was cancelled)"},
		"at work": {0, []Task{{ID: "z", Run: "true"}, {ID: "a", Run: "sleep 1; echo a", Depends: []string{"z"},
			When: whenAlways}},
			"z succeeded, a succeeded"},
		"is tried again": {0, []Task{{ID: "a", Run: "exit 1", Retries: 5, RetryDelay: Duration(time.Hour)},
			{ID: "b", Run: `test "$CDKTR_ATTEMPT" = 2`, Depends: []string{"a"}, When: whenFailure, Retries: 1,
				RetryDelay: Duration(time.Millisecond)}},
			"a failed (LATE), b succeeded"},
		"has its own": {0, []Task{{ID: "a", Run: sleep}, {ID: "b", Run: sleep, Depends: []string{"a"}, When: whenAlways,
			Timeout: Duration(100 * time.Millisecond)}},
			"a failed (LATE), b failed (timed out after 100ms)"},
	} {
		t.Run(id, func(t *testing.T) {
			h := agentHost(t, &principalLog{}, &Workflow{ID: "w", Timeout: limit, MaxActiveTasks: c.most,
				Tasks: c.tasks})
			r, lines := agentFollow(t, h, Request{Workflow: "w"}, nil)
			got := fmt.Sprintf("%s (%s): %s", r.State, r.Reason, agentStates(r))
			if want := strings.ReplaceAll("failed (LATE): "+c.want, "LATE", "timed out after 400ms"); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			for _, line := range lines {
				if strings.HasPrefix(line, "e|o|") || id == "waits for a place" && strings.HasPrefix(line, "b|o|") {
					t.Errorf("it ran: %q", line)
				}
			}
			if id == "at work" && !slices.Contains(lines, "a|o|a") {
				t.Errorf("output %q", lines)
			}
		})
	}
}

// What cleans up after the run's timeout has five minutes for all its attempts; and a cancel ends it like anything
// else.
func TestAgentRunLateCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := Task{Cmd: "/no/such/program", Retries: 1000, RetryDelay: Duration(30 * time.Second),
			RetryMaxDelay: Duration(30 * time.Second)}
		a, b := again, again
		a.ID, b.ID, b.When, b.Depends = "a", "b", whenAlways, []string{"a"}
		w := Workflow{Timeout: Duration(time.Hour), Tasks: []Task{a, b}}
		g := agentRigOpen(t)
		began := time.Now()
		g.assign("R1", 1, w)
		time.Sleep(2 * time.Hour)
		last := g.lastEvent("R1")
		if took := last.Time.Sub(began); last.Kind != evRunFinished || last.State != runFailed ||
			last.Reason != "timed out after 1h" || took < time.Hour+5*time.Minute ||
			took > time.Hour+5*time.Minute+time.Second {
			t.Errorf("%s %s %q after %v", last.Kind, last.State, last.Reason, took)
		}
		if got := g.events("R1"); !strings.HasSuffix(got, "task.finished b failed, run.finished failed") ||
			strings.Count(got, "task.finished a failed") != 1 {
			t.Error(got)
		}
		g.assign("R2", 2, w)
		time.Sleep(time.Hour + time.Minute)
		g.say(&agentMsg{Op: msgCancel, Run: "R2", Reason: "enough"})
		if got := g.events("R2"); !strings.HasSuffix(got, "task.finished b cancelled, run.finished cancelled") {
			t.Error(got)
		}
		g.end()
	})
}
