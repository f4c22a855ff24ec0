package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Steps that hang are given up after their time, and hold up neither the loop nor the steps of other workflows. Of a
// workflow with as many of them as may be, the next fails at once, until the files answer again.
func TestStepBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		answer, ended := make(chan struct{}), map[string]string{}
		begin := func(workflow, name string, hang bool) {
			g.do(func() {
				spec := &Workflow{ID: workflow, Tasks: []Task{{ID: "a"}}}
				try := &taskTry{run: &agentRun{as: &assignment{Spec: spec}}, of: &spec.Tasks[0], since: time.Now()}
				g.a.stepBegin(try, func(s *step) func() {
					if s.at("read " + name); hang {
						<-answer
					}
					return func() { ended[name] = "done" }
				}, func(reason string) { ended[name] = reason })
			})
		}
		is := func(name, want string) {
			t.Helper()
			g.do(func() {
				if got := ended[name]; got != want && (want == "" || !strings.Contains(got, want)) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			})
		}
		for i := range stepEach + 1 {
			begin("w", fmt.Sprint("w", i), true)
		}
		begin("other", "other", false)
		is("other", "done")
		is("w0", "")
		time.Sleep(stepLimit + time.Second)
		for i := range stepEach {
			is(fmt.Sprint("w", i), fmt.Sprintf("read w%d: no answer for 10s", i))
		}
		is(fmt.Sprint("w", stepEach), "8 attempts before this one still wait for files that do not answer")
		begin("w", "more", false)
		is("more", "8 of them of this workflow")
		begin("other", "another", false)
		is("another", "done")

		for i := range stepHung - stepEach { // of as many workflows as it takes
			begin(fmt.Sprint("v", i), fmt.Sprint("v", i), true)
		}
		time.Sleep(stepHung/stepMost*stepLimit + time.Minute)
		begin("other", "too much", false)
		is("too much", fmt.Sprint(stepHung, " attempts before this one"))
		g.do(func() {
			if got := &g.a.steps; got.hung != stepHung || got.live != 0 || len(got.queue) != 0 {
				t.Errorf("%d hang, %d live, %d wait", got.hung, got.live, len(got.queue))
			}
		})
		close(answer)
		synctest.Wait()
		begin("w", "at last", false)
		is("at last", "done")
		is("w0", "no answer for 10s") // what comes late has no effect
		g.do(func() {
			if got := &g.a.steps; got.hung+got.live+len(got.queue)+len(got.count)+len(got.hangs) != 0 {
				t.Errorf("left: %+v", got)
			}
		})
		g.end()
	})
}

// A step is ended by the timeout of its task, also while it waits for its turn. One that reads outputs is too, but not
// for waiting, and has a second at least.
func TestStepTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		answer, ended, took := make(chan struct{}), map[string]string{}, map[string]time.Duration{}
		for _, name := range []string{"first", "waits", "outputs", "late outputs"} {
			g.do(func() {
				began := time.Now()
				w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Timeout: Duration(3 * time.Second)}}}
				try := &taskTry{run: &agentRun{as: &assignment{Spec: w}}, of: &w.Tasks[0], since: began}
				switch name {
				case "waits":
					g.a.steps.count["w"] += stepEach
				case "outputs", "late outputs":
					w.ID, try.proc = "v", &proc{}
					if name == "late outputs" {
						try.since = began.Add(-3 * time.Second)
					}
				}
				g.a.stepBegin(try, func(s *step) func() {
					s.at("read x")
					<-answer
					return func() {}
				}, func(reason string) { ended[name], took[name] = reason, time.Since(began) })
			})
		}
		time.Sleep(time.Minute)
		g.do(func() {
			want := map[string]string{"first": "timed out after 3s, waiting to read x",
				"waits": "timed out after 3s, waiting to get its turn: much else is being prepared on this " +
					"agent",
				"outputs":      "timed out after 3s, waiting to read x",
				"late outputs": "timed out after 3s, waiting to read x"}
			if fmt.Sprint(ended) != fmt.Sprint(want) || took["first"] != 3*time.Second ||
				took["waits"] != 3*time.Second || took["outputs"] != 3*time.Second ||
				took["late outputs"] != time.Second {
				t.Errorf("%q after %v", ended, took)
			}
		})
		close(answer)
		g.end()
	})
}
