// state_attempts_test.go: the attempts in a task's record: how they are folded, and how many are kept.

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// stateAttempts writes the attempts of a task in short: number, reason, exit, seconds after stateEpoch, seconds it
// took.
func stateAttempts(tries []TaskAttempt) string {
	var parts []string
	for _, a := range tries {
		exit, at := "-", "-"
		if a.Exit != nil {
			exit = fmt.Sprint(*a.Exit)
		}
		if !a.Started.IsZero() {
			at = fmt.Sprint(a.Started.Sub(stateEpoch).Seconds())
		}
		parts = append(parts, fmt.Sprintf("%d %s %s @%s %gs", a.Attempt, a.Reason, exit, at, a.Seconds))
	}
	return strings.Join(parts, " | ")
}

// The rig's clock goes on by a second an event: its first has 1, the events of a run's path up to where it runs 2 to 4,
// task a starts at 5.
func TestStateAttempts(t *testing.T) {
	report := func(kind string, attempt int) Event {
		return Event{Kind: kind, Run: "R1", Agent: "x", Lease: 1, Task: "a", Attempt: attempt}
	}
	started := func(attempt int) Event { return report(evTaskStarted, attempt) }
	failed := func(attempt int, seconds float64, reason string) Event {
		e := report(evTaskRetrying, attempt)
		e.Reason, e.Exit, e.Seconds = reason, stateInt(attempt), seconds
		return e
	}
	ended := func(attempt int, state string) Event {
		e := report(evTaskFinished, attempt)
		e.State, e.Reason, e.Exit, e.Seconds = state, "r", stateInt(0), 9
		return e
	}
	again := Event{Kind: evRequeued, Run: "R1", Attempt: 2}
	lost, back := Event{Kind: evRunEnded, Run: "R1", Agent: "x", State: runCrashed},
		Event{Kind: evAdopted, Run: "R1", Agent: "x"}
	tests := []struct {
		name           string
		events         []Event
		earlier, tries string
	}{
		{"the first at work", nil, "", "1  - @5 0s"},
		{"one that waits", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1s")}, "1 exit 3 1 @5 0.25s",
			"1 exit 3 1 @5 0.25s"},
		{"the second at work", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1s"), started(2)},
			"1 exit 3 1 @5 0.25s", "1 exit 3 1 @5 0.25s | 2  - @7 0s"},
		{"the third succeeds", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1s"), started(2),
			failed(2, 0.5, "signal SIGKILL; attempt 3 of 3 in 2s"), started(3), ended(3, taskSucceeded)},
			"1 exit 3 1 @5 0.25s | 2 signal SIGKILL 2 @7 0.5s",
			"1 exit 3 1 @5 0.25s | 2 signal SIGKILL 2 @7 0.5s | 3 r 0 @9 1s"},
		{"cancelled while it waits", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1h"), ended(1, taskCancelled)},
			"1 exit 3 1 @5 0.25s", "1 exit 3 1 @5 0.25s"},
		{"a plain reason", []Event{failed(1, 0.25, "exit 3")}, "1 exit 3 1 @5 0.25s", "1 exit 3 1 @5 0.25s"},
		{"a reason that looks like ours", []Event{failed(1, 0.25,
			"start x; attempt 1 of 1 in y: no; attempt 2 of 3 in 1s")}, "1 start x; attempt 1 of 1 in y: no 1 @5 0.25s",
			"1 start x; attempt 1 of 1 in y: no 1 @5 0.25s"},
		{"a long reason", []Event{failed(1, 0.25, "x"+strings.Repeat("é", 100)+"; attempt 2 of 3 in 1s")}, "1 x" +
			strings.Repeat("é", stateMaxWhy/2-1) + " 1 @5 0.25s", "1 x" + strings.Repeat("é", stateMaxWhy/2-1) +
			" 1 @5 0.25s"},
		{"lost and brought back", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1s"), lost, back, started(2)},
			"1 exit 3 1 @5 0.25s", "1 exit 3 1 @5 0.25s | 2  - @9 0s"},
		{"queued again", []Event{failed(1, 0.25, "exit 3; attempt 2 of 3 in 1s"), started(2), again}, "", ""},
	}
	for _, test := range tests {
		g := stateRigNew(t)
		for _, e := range statePathRunning {
			copied := *e
			g.apply(&copied)
		}
		for i := range test.events {
			g.apply(&test.events[i])
		}
		task := g.s.Runs["R1"].task("a")
		if is := stateAttempts(task.Earlier); is != test.earlier {
			t.Errorf("%s: before the newest are\n%s\nwant\n%s", test.name, is, test.earlier)
		}
		if is := stateAttempts(task.tries()); is != test.tries {
			t.Errorf("%s: all are\n%s\nwant\n%s", test.name, is, test.tries)
		}
		if n := len(test.events); n > 0 && test.events[n-1].Kind == evTaskRetrying &&
			(task.Reason != test.events[n-1].Reason || task.State != taskRetrying) {
			t.Errorf("%s: the task is %s (%s)", test.name, task.State, task.Reason)
		}
		if (task.Attempts > 1) == task.Began.IsZero() {
			t.Errorf("%s: %d attempts, the newest began %v", test.name, task.Attempts, task.Began)
		}
	}
}

// TestStateAttemptsBound: the newest attempts are kept, fewer of each task in a run of many tasks, and what was handed
// out stays as it was.
func TestStateAttemptsBound(t *testing.T) {
	t.Parallel()
	for tasks, kept := range map[int]int{1: stateMaxEarlier, 50: stateMaxEarlier, 51: 19, 400: 2, 1000: 1, 5000: 1} {
		spec := &Workflow{ID: "w"}
		for i := range tasks {
			spec.Tasks = append(spec.Tasks, Task{ID: fmt.Sprint("t", i)})
		}
		s, seq := stateNew(), 0
		apply := func(e Event) {
			t.Helper()
			seq++
			e.Run, e.Agent, e.Lease, e.Task, e.Time = "R1", "x", 1, "t0",
				stampOf(stateEpoch.Add(time.Duration(seq)*time.Second))
			if err := s.apply(&e); err != nil {
				t.Fatal(err)
			}
		}
		apply(Event{Kind: evVersion, Version: "v", Spec: spec})
		apply(Event{Kind: evQueued, Workflow: "w", Version: "v"})
		apply(Event{Kind: evAssigned})
		const tries = 40
		var before *Run
		text := ""
		for n := range tries {
			apply(Event{Kind: evTaskStarted, Attempt: n + 1})
			if before != nil && string(storeText(t, before)) != text {
				t.Fatalf("%d tasks: what was handed out after attempt %d has changed", tasks, n)
			}
			if n < tries-1 {
				apply(Event{Kind: evTaskRetrying, Attempt: n + 1, Reason: "exit 1; attempt of more", Seconds: 1})
			}
			before = s.Runs["R1"].clone()
			text = string(storeText(t, before))
		}
		task := s.Runs["R1"].task("t0")
		if n := len(task.Earlier); n != kept || task.Attempts != tries || task.Earlier[n-1].Attempt != tries-1 ||
			task.Earlier[0].Attempt != tries-kept {
			t.Errorf("%d tasks: %d attempts, kept are %s", tasks, task.Attempts, stateAttempts(task.Earlier))
		}
	}
}
