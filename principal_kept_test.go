// Tests of how much of the runs that have ended is kept in memory.

package main

import (
	"strings"
	"testing"
	"testing/synctest"
)

// Runs of large parameters leave the memory before there are a thousand of them, and only that: they are listed and shown, out of
// the history, also after a restart.
func TestKeptBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each, most, many = 30 << 10, 1 << 20, 50
		w := principalTask(Workflow{ID: "w", Params: map[string]Param{"day": {Default: strings.Repeat("d", each)}}})
		g := principalRigOpen(t, t.TempDir(), w, principalTask(Workflow{ID: "small"}))
		g.do(func() { g.p.kept.most = most })
		small := g.run("small")
		var runs []string
		for range many {
			runs = append(runs, g.run("w"))
			g.ask(Request{Op: "cancel", Run: runs[len(runs)-1]})
		}
		first, last := runs[0], runs[many-1]
		held := func() {
			t.Helper()
			g.do(func() {
				n := len(g.p.state.Finished)
				if g.p.kept.all > most || g.p.kept.all < most-2*each || len(g.p.kept.runs) != n || n >= many-10 {
					t.Errorf("%d of %d runs, %d counted, of %d bytes are kept", n, many, len(g.p.kept.runs), g.p.kept.all)
				}
				if g.p.state.Runs[first] != nil || g.p.state.Runs[last] == nil || g.p.state.Runs[small] == nil {
					t.Error("not the oldest of those that have ended was dropped")
				}
			})
			all := map[string]int{}
			for after := ""; ; {
				r := g.ask(Request{Op: "ps", All: true, Workflow: "w", N: 15, After: after})
				for _, run := range r.Runs {
					all[run.ID]++
				}
				if after = r.Next; after == "" || r.Error != nil {
					break
				}
			}
			for _, id := range runs {
				if all[id] != 1 {
					t.Fatalf("ps lists %d runs of %d, and %s %d times", len(all), many, id, all[id])
				}
			}
			if r := g.show(first); r.State != runCancelled || len(r.Params["day"]) != each {
				t.Errorf("show of one that was dropped: %s with %d bytes of a parameter", r.State, len(r.Params["day"]))
			}
		}
		held()
		if r := g.ask(Request{Op: "retry", Run: first}); r.Error == nil || !strings.Contains(r.Error.Message, "or 32 MiB of them") {
			t.Errorf("retry of one that was dropped: %s", protoEncode(r))
		}
		g.stop()
		g.start(w)
		g.do(func() {
			if g.p.kept.most != principalMaxKept {
				t.Errorf("a principal keeps up to %d bytes", g.p.kept.most)
			}
			g.p.kept.most = most
		})
		held()
		if r := g.ask(Request{Op: "retry", Run: last}); !r.OK {
			t.Errorf("retry of the newest: %s", protoEncode(r))
		}
		g.do(func() {
			if g.p.kept.runs[last] != 0 {
				t.Error("a run that is queued counts among those that have ended")
			}
		})
		g.stop()
	})
}

// The newest are kept, whatever they take, and whoever waits for one is told how it ended. What a version without this bound
// wrote folds to what it was then, and is brought within the bound.
func TestKeptNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w"})
		g := principalRigOpen(t, t.TempDir(), w)
		g.do(func() { g.p.kept.most = 1 << 40 }) // as a version that does not count
		var runs []string
		for range 3 * principalMinKept {
			runs = append(runs, g.run("w"))
			g.ask(Request{Op: "cancel", Run: runs[len(runs)-1]})
		}
		if r := g.ask(Request{Op: "retry", Run: runs[0]}); !r.OK {
			t.Errorf("%s", protoEncode(r))
		}
		g.stop()
		g.start(w)
		g.do(func() { g.p.kept.most = 0 })
		k := lookTestOpen(t, g)
		k.send(Request{ID: "1", Op: "wait", Run: runs[0]})
		synctest.Wait()
		if r := g.ask(Request{Op: "cancel", Run: runs[0]}); !r.OK {
			t.Errorf("%s", protoEncode(r))
		}
		if got := k.got["1"]; len(got) != 1 || len(got[0].Runs) != 1 || got[0].Runs[0].State != runCancelled {
			t.Errorf("who waited is told %s", protoEncode(got))
		}
		k.conn.Cut(nil)
		g.do(func() {
			if n := len(g.p.state.Finished); n != principalMinKept || g.p.state.Finished[n-1] != runs[0] || g.p.state.Runs[runs[len(runs)-1]] == nil || g.p.state.Runs[runs[1]] != nil {
				t.Errorf("%d runs are kept, the newest %q", n, g.p.state.Finished[n-1])
			}
		})
		g.stop()
	})
}

// What is large in a run counts.
func TestKeptMem(t *testing.T) {
	t.Parallel()
	const each = 1 << 20
	text := strings.Repeat("x", each)
	for name, r := range map[string]*Run{
		"parameters":      {Params: map[string]string{"a": text}},
		"the name of one": {Params: map[string]string{text: ""}},
		"its reason":      {Reason: text},
		"an output":       {Tasks: []TaskRun{{}, {Outputs: map[string]string{"a": text}}}},
		"a task's reason": {Tasks: []TaskRun{{Reason: text}}},
		"attempts before": {Tasks: []TaskRun{{Earlier: []TaskAttempt{{Reason: text[:each/2]}, {Reason: text[:each/2]}}}}},
		"many tasks":      {Tasks: make([]TaskRun, each/300+1)},
	} {
		if n := principalKeptMem(r); n < each || n > 2*each {
			t.Errorf("%s of %d bytes count as %d", name, each, n)
		}
	}
}
