// Tests of what why tells of one instant, on the principal's loop with a false clock.

package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// whyTest asks why of w at so many minutes after midnight, and gives outcome and reason.
func (g *principalRig) whyTest(minutes int) string {
	g.t.Helper()
	at := time.Date(2000, 1, 1, 0, minutes, 0, 0, time.UTC)
	r := g.ask(Request{Op: "why", Workflow: "w", At: stampOf(at)})
	if r.Why == nil {
		g.t.Fatalf("why says %+v", r)
	}
	w := r.Why
	if w.Fired != (w.Run != "") || w.Fired != (w.Outcome == whyFired) {
		g.t.Errorf("at %s: %+v", at, w)
	}
	text := strings.Join(strings.Fields(w.Outcome+" "+w.State+" "+w.Reason), " ")
	if w.Pause != nil {
		text += " [" + w.Pause.Note + "]"
	}
	return text
}

func TestPrincipalWhyInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Schedule: []string{"*/10 * * * *", "5 0 * * *"}, Catchup: catchupOnce,
			Overlap: overlapAllow, Except: []string{"2000-01-03"},
			EndTime: stampOf(time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC))})
		g := principalRigOpen(t, t.TempDir(), w)
		expect := func(minutes int, want string) {
			t.Helper()
			if got := g.whyTest(minutes); got != want {
				t.Errorf("%d minutes after midnight:\n%s\nwant\n%s", minutes, got, want)
			}
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		expect(5, "fired queued")
		expect(10, "fired queued")
		expect(7, "no_fire no schedule of it fires then")
		expect(20, "coming")
		expect(2*24*60, "no_fire except: 2000-01-03")
		expect(5*24*60, "no_fire it lies after end_time, 2000-01-05T00:00:00Z")
		g.pauseTest("w", 20*time.Minute, "moved") // until 00:35
		by := g.p.state.Workflows["w"].Paused
		expect(20, fmt.Sprintf("paused paused by %s: moved [moved]", by))
		expect(40, "coming")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		expect(20, fmt.Sprintf("skipped paused by %s: moved [moved]", by))
		g.stop()
		time.Sleep(60 * time.Minute) // until 01:25
		g.start(w)
		expect(30, fmt.Sprintf("skipped missed: the principal was down, and paused by %s: moved [moved]", by))
		expect(60, "skipped missed: the principal was down (catchup: once) (one decision speaks for several fires)")
		expect(80, "fired queued caught up: the principal was down")
		expect(20, fmt.Sprintf("skipped paused by %s: moved [moved]", by))
		expect(-20, "not_kept nothing is kept of it: the workflow was not there yet or had another schedule, or many "+
			"fires were decided since")
		g.stop()
	})
}

// A run whose decision is not kept any more is found in the history.
func TestPrincipalWhyHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Schedule: []string{"* * * * *"},
			Overlap: overlapReplace}))
		time.Sleep((stateMaxFinished + 10) * time.Minute)
		synctest.Wait()
		if got := g.whyTest(2); got != "fired cancelled" {
			t.Errorf("the second minute: %s", got)
		}
		g.stop()
	})
}
