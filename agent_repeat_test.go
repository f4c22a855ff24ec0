package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A task is repeated until it succeeds, until its line `until` does, or until it may not be any more.
func TestAgentRepeatOutcomes(t *testing.T) {
	every := Duration(time.Millisecond)
	workflows := []*Workflow{
		{ID: "succeeds", Tasks: []Task{{ID: "a", Run: `test "$CDKTR_ATTEMPT" = 3`, Repeat: &Repeat{Every: every}}}},
		{ID: "times", Tasks: []Task{{ID: "a", Run: `exit $CDKTR_ATTEMPT`, Repeat: &Repeat{Every: every, Times: 3}}}},
		{ID: "for", Tasks: []Task{{ID: "a", Run: "exit 4",
			Repeat: &Repeat{Every: Duration(time.Hour), For: Duration(90 * time.Minute)}}}},
		{ID: "stuck", Tasks: []Task{{ID: "a", Run: "exec sleep 300",
			Repeat: &Repeat{Every: every, For: Duration(200 * time.Millisecond)}}}},
		{ID: "until", Tasks: []Task{{ID: "a", Run: `echo "STATUS=$CDKTR_ATTEMPT" >> "$CDKTR_OUTPUT"`,
			Repeat: &Repeat{Every: every, Until: `echo "status $STATUS"; test "$STATUS" -ge 2`}},
			{ID: "b", Run: `echo "got $STATUS"`, Depends: []string{"a"}}}},
		{ID: "until alone", Tasks: []Task{{ID: "a", Run: "exit 7",
			Repeat: &Repeat{Every: every, Until: `test "$CDKTR_ATTEMPT" = 2`}}}},
		{ID: "never", Tasks: []Task{{ID: "a", Run: "true", Repeat: &Repeat{Every: every, Times: 2, Until: "exit 9"}}}},
		{ID: "unkept", Tasks: []Task{{ID: "a", Run: `head -c 70000 /dev/zero >"$CDKTR_OUTPUT"; exit 7`,
			Repeat: &Repeat{Every: every, Times: 2, Until: "true"}}}},
		{ID: "both", Tasks: []Task{{ID: "a", Run: "exit 2", Repeat: &Repeat{Every: every, Times: 2, Until: "exit 9"}}}},
	}
	workflows[2].Tasks[0].Repeat.For = Duration(time.Minute) // the second attempt would be too late
	h := agentHost(t, &principalLog{}, workflows...)
	for id, want := range map[string]string{
		"succeeds":    "succeeded: a succeeded 3",
		"times":       "failed: a failed (exit 3; given up after 3 attempts) 3",
		"for":         "failed: a failed (exit 4; given up after 1m, attempt 1) 1",
		"stuck":       "failed: a failed (stopped; given up after 200ms, attempt 1) 1",
		"until":       "succeeded: a succeeded, b succeeded 2",
		"until alone": "succeeded: a succeeded (exit 7, a success by until) 2",
		"never":       "failed: a failed (until: exit 9; given up after 2 attempts) 2",
		"unkept": "failed: a failed (exit 7, outputs are more than 64 KiB: write large data to a file and hand on its " +
			"name; given up after 2 attempts) 2",
		"both": "failed: a failed (exit 2, until: exit 9; given up after 2 attempts) 2",
	} {
		r, lines := agentFollow(t, h, Request{Workflow: id}, nil)
		if got := fmt.Sprintf("%s: %s %d", r.State, agentStates(r), r.Tasks[0].Attempts); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", id, got, want)
		}
		if id == "until" && !slices.Equal(lines, []string{"a|o|status 1", "a|o|status 2", "b|o|got 2"}) {
			t.Errorf("output %q", lines)
		}
		if e := r.Tasks[0].Earlier; id == "times" && (len(e) != 2 || e[0].Reason != "exit 1" ||
			e[1].Reason != "exit 2") {
			t.Errorf("before the last attempt: %+v", e)
		}
	}
}

// repeatWear counts what a repeated task costs.
type repeatWear struct {
	spooled, journal      int // bytes
	spoolings, journalled int // writes
}

// TestRepeatWear: 10,000 attempts stay small on the disk, in the record and on the wire, however often they come. A
// row of docs/performance.md says what a run of one task costs: an attempt costs less.
func TestRepeatWear(t *testing.T) {
	for _, c := range []struct {
		every    time.Duration
		attempts int
		most     repeatWear // of one attempt, in hundredths
	}{
		{time.Minute, 2_000, repeatWear{spooled: 500_00, journal: 500_00, spoolings: 210, journalled: 105}},
		{time.Second, 10_000, repeatWear{spooled: 300_00, journal: 300_00, spoolings: 21, journalled: 11}},
		{100 * time.Millisecond, 10_000, repeatWear{spooled: 60_00, journal: 60_00, spoolings: 3, journalled: 2}},
	} {
		every, attempts := c.every, c.attempts
		wait := func(n int) {
			time.Sleep(time.Duration(n) * every)
			synctest.Wait()
		}
		synctest.Test(t, func(t *testing.T) {
			w := &Workflow{ID: "w", Tasks: []Task{{ID: "a", Cmd: "/no/such/program",
				Repeat: &Repeat{Every: Duration(every), Times: attempts}}}}
			p := principalRigOpen(t, t.TempDir(), w)
			g := &agentRig{t: t, dir: t.TempDir(), log: &principalLog{}, real: p.p}
			g.start()
			is := repeatWear{}
			g.do(func() {
				write := g.a.spool.writeAt
				g.a.spool.writeAt = func(f *os.File, b []byte, at int64) (int, error) {
					is.spooled, is.spoolings = is.spooled+len(b), is.spoolings+1
					return write(f, b, at)
				}
			})
			p.do(func() { // the writer sees it with what the loop hands over next
				write := p.p.store.files.write
				p.p.store.files.write = func(f *os.File, b []byte) (int, error) {
					is.journal, is.journalled = is.journal+len(b), is.journalled+1
					return write(f, b)
				}
			})
			id := p.run("w")
			wait(attempts / 2)
			r := p.show(id)
			task := r.Tasks[0]
			behind := int(repeatQuiet/every) + 1
			if task.State != taskRetrying || task.Attempts < attempts/2-behind || len(task.Earlier) != stateMaxEarlier {
				t.Errorf("every %s, in the middle: %s, %d attempts, %d kept", every, task.State, task.Attempts,
					len(task.Earlier))
			}
			wait(attempts/2 + attempts/10)
			r = p.show(id)
			task = r.Tasks[0]
			if r.State != runFailed || task.Attempts != attempts || len(task.Earlier) != stateMaxEarlier ||
				task.Earlier[stateMaxEarlier-1].Attempt != attempts-1 ||
				task.Earlier[0].Attempt != attempts-stateMaxEarlier {
				t.Errorf("every %s: %s, %d attempts, kept %+v", every, r.State, task.Attempts, task.Earlier)
			}
			t.Logf("every %s: %+v", every, is)
			for of, pair := range map[string][2]int{"bytes of the spool": {is.spooled, c.most.spooled},
				"bytes of the journal": {is.journal, c.most.journal}, "writes of the spool": {is.spoolings,
					c.most.spoolings},
				"writes of the journal": {is.journalled, c.most.journalled}} {
				if pair[0]*100 > pair[1]*attempts {
					t.Errorf("every %s: %s: %d for %d attempts", every, of, pair[0], attempts)
				}
			}
			g.end()
			p.stop()
		})
	}
}

// An attempt of which nothing was reported yet is, when it takes long; and what was kept comes before the end.
func TestAgentRepeatReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := agentRigOpen(t)
		w := Workflow{Tasks: []Task{{ID: "a", Cmd: "/no/such/program", Repeat: &Repeat{Every: Duration(time.Second)}}}}
		g.assign("R1", 1, w)
		time.Sleep(repeatSoon*time.Second - 500*time.Millisecond)
		synctest.Wait()
		soon := strings.Count(g.events("R1"), evTaskRetrying)
		time.Sleep(repeatQuiet / 2)
		synctest.Wait()
		if n := strings.Count(g.events("R1"), evTaskRetrying); soon != repeatSoon-1 && soon != repeatSoon ||
			n > repeatSoon {
			t.Errorf("%d attempts were reported at first, %d a little later", soon, n)
		}
		g.say(&agentMsg{Op: msgStopTask, Run: "R1", Lease: 1, Task: "a", Reason: "cancelled by me"})
		if got := g.events("R1"); strings.Count(got, evTaskRetrying) != 15 || strings.Count(got, evTaskStarted) != 15 ||
			!strings.HasSuffix(got, "task.retrying a, task.finished a cancelled, run.finished failed") {
			t.Errorf("said: %s", got)
		}
		g.end()
	})
}
