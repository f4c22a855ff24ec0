// Tests of retried tasks through the agent and the real program: what is said while one waits, and what is known of its
// attempts.

package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// While a task waits it says what comes next; what is kept of the attempt is only why it failed, and how long it took.
func TestAgentRunRetryReason(t *testing.T) {
	w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: `sleep 0.1; test "$CDKTR_ATTEMPT" = 3`, Retries: 2,
		RetryDelay: Duration(time.Millisecond)}}}
	h := agentHost(t, &principalLog{}, w)
	r, _ := agentFollow(t, h, Request{Workflow: "w"}, nil)
	if is := agentStates(r); r.State != runSucceeded || is != "a succeeded" {
		t.Fatalf("%s: %s", r.State, is)
	}
	waits, n := regexp.MustCompile(`^exit 1; attempt ([23]) of 3 in [01]\d?m?s$`), 0
	if _, err := h.p.store.readEvents(1, 1000, func(e *Event) bool {
		if e.Kind == evTaskRetrying {
			n++
			if m := waits.FindStringSubmatch(e.Reason); m == nil || m[1] != fmt.Sprint(n+1) || e.Seconds < 0.1 ||
				e.Attempt != n {
				t.Errorf("attempt %d failed after %gs: %q", e.Attempt, e.Seconds, e.Reason)
			}
		}
		return true
	}); err != nil || n != 2 {
		t.Errorf("%d attempts failed, %v", n, err)
	}
	task := r.task("a")
	for i, a := range task.Earlier {
		if a.Attempt != i+1 || a.Reason != "exit 1" || a.Exit == nil || *a.Exit != 1 || a.Seconds < 0.1 ||
			a.Started.IsZero() {
			t.Errorf("kept of attempt %d is %+v", i+1, a)
		}
	}
	tries := task.tries()
	if len(tries) != 3 || task.Attempts != 3 || tries[0].Started != task.Started || tries[2].Started != task.Began ||
		tries[2].Seconds < 0.1 {
		t.Fatalf("%d attempts: %+v", task.Attempts, tries)
	}
	for i := range 2 {
		over := tries[i].Started.Add(time.Duration(tries[i].Seconds * float64(time.Second)))
		if over.After(tries[i+1].Started.Add(2 * time.Millisecond)) {
			t.Errorf("attempt %d ended %v, the next began %v", i+1, over, tries[i+1].Started)
		}
	}
}

// A task that fails twice and then succeeds: the command line tells of all three, and does so after a restart.
func TestAgentRunRetryShown(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", `
tasks:
  flaky: {run: 'sleep 0.1; exit $((CDKTR_ATTEMPT == 3 ? 0 : CDKTR_ATTEMPT + 2))', retries: 2, retry_delay: 10ms}
  plain: {run: 'true'}
`)
	p := x.Principal("--with-agent")
	id := x.Start("w")
	if run := x.await(id); run.State != runSucceeded {
		t.Fatalf("the run is %+v", run)
	}
	see := func(when string) {
		t.Helper()
		text := x.OK("show", id, "--json")
		run := harness.Decode[Run](t, text)
		flaky := run.task("flaky")
		if flaky.Attempts != 3 || len(flaky.Earlier) != 2 || flaky.Began.IsZero() {
			t.Fatalf("%s: %s", when, text)
		}
		for i, a := range flaky.Earlier {
			if a.Attempt != i+1 || a.Exit == nil || *a.Exit != i+3 || a.Reason != fmt.Sprint("exit ", i+3) ||
				a.Seconds < 0.1 || a.Started.IsZero() {
				t.Errorf("%s: attempt %d is %+v", when, i+1, a)
			}
		}
		if n := strings.Count(text, `"earlier"`) + strings.Count(text, `"began"`); n != 2 {
			t.Errorf("%s: also a task that was not retried has attempts: %s", when, text)
		}
		row := regexp.MustCompile(`flaky +\+ succeeded .* 0 +3 *\n  try 1 +! failed +[\d:]+ +\d\.\ds +3 +exit 3\n  try 2 +! failed +[\d:]+ +\d\.\ds +4 +exit 4\n  try 3 +\+ succeeded +[\d:]+ +\d\.\ds +0 *\nplain `)
		if text := x.OK("show", id); !row.MatchString(text) || strings.Count(text, "try") != 3 {
			t.Errorf("%s it prints:\n%s", when, text)
		}
	}
	see("at first")
	p.Stop()
	x.Principal("--with-agent")
	see("after a restart")
}
