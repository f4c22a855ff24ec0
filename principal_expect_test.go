// Tests of the key expect on the principal's loop, with a false clock: what is late, what takes too long, and what was
// over too soon; also over a restart.

package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// expectRun has the agent bring a run of w to its end, which took so many seconds by its clock.
func (r *alarmRig) expectRun(seconds float64, state string) {
	r.t.Helper()
	r.principalRig.run("w")
	as := r.x.last()
	r.x.report(fleetBegun(as)...)
	over := fleetEvent(as, evRunFinished, "", state)
	over.Event.Seconds = seconds
	r.x.report(fleetEvent(as, evTaskFinished, "a", state), over)
}

// TestExpectBy: by a time of day a run has succeeded since the first tick of the day before, or else that needs
// attention until one does.
func TestExpectBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = "expect w no run has succeeded by 04:00"
		w := principalTask(Workflow{ID: "w", Schedule: []string{"30 2 * * *"}, Expect: &Expect{By: "04:00"}})
		at := func(day int, clock string) time.Duration { // the bubble begins at midnight, on 1 January 2000, UTC
			when, err := time.Parse("2006-01-02 15:04", "2000-01-02 "+clock)
			if err != nil {
				t.Fatal(err)
			}
			return time.Until(when.AddDate(0, 0, day-2))
		}
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{}, w)
		// it has fired on the first day, and that run waits
		r.tells(at(2, "01:00"), "new w is overdue", "new w is not as expected")
		r.wants("in the first night", "overdue w no agent is connected; expect w no run has succeeded by 04:00")
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.end(0)
		r.wants("once it has succeeded", "")

		r.tells(at(2, "02:31"), "over w is overdue", "over w is not as expected")
		r.end(0)
		r.tells(at(2, "05:00"))
		r.wants("a night that went well", "")

		r.tells(at(3, "02:31"))
		r.tells(at(3, "03:59"))
		r.wants("a run that is at work", "")
		r.tells(at(3, "04:01"), "new w is not as expected") // told at once, and by the loop's own waking
		r.wants("late", late)
		as := r.x.last()
		r.x.gone()
		r.stop()
		r.start(w)
		r.wants("after a restart", late)
		r.x.join()
		r.ack(attentionExpect, 0)
		r.wants("acknowledged", "")
		run := r.p.queue.active["w"][0]
		if reply := r.ask(Request{Op: "cancel", Run: run, Force: true}); !reply.OK {
			t.Fatal(reply.Error)
		}
		r.x.report(fleetEvent(as, evRunFinished, "", runCancelled))
		until := stampOf(time.Now().Add(26 * time.Hour))
		if reply := r.ask(Request{Op: "pause", Workflow: "w", Until: until}); !reply.OK {
			t.Fatal(reply.Error)
		}
		r.tells(at(4, "05:00"))
		r.wants("a night in which it was paused", "")
		r.stop()
	})
}

// TestExpectWithin: a run that is not over in time needs attention until it is, whether it waits or is at work, and
// however it ends.
func TestExpectWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Expect: &Expect{Within: Duration(10 * time.Minute)}})
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{}, w)
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		for _, force := range []bool{false, true} {
			run := r.principalRig.run("w")
			r.x.report(fleetBegun(r.x.last())...)
			r.tells(10*time.Minute - 5*time.Second)
			r.wants("in time", "")
			r.tells(10*time.Second, "new w is not as expected")
			r.wants("late", "expect w it is not over 10m after it was queued")
			if reply := r.ask(Request{Op: "cancel", Run: run, Force: force}); !reply.OK {
				t.Fatal(reply.Error)
			}
			r.x.report(fleetEvent(r.x.last(), evRunFinished, "", runCancelled))
			r.wants("cancelled", "")
			r.tells(10*time.Second, "over w is not as expected")
		}
		r.stop()
	})
}

// TestExpectLength: a run is held against the last 30 that succeeded.
func TestExpectLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Expect: &Expect{}})
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{}, w)
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.expectRun(1, runSucceeded) // there is nothing to hold it against
		for i := range 40 {
			r.expectRun(100+float64(i%10), runSucceeded)
		}
		r.expectRun(1, runFailed) // that tells of itself
		r.ack(attentionFailed, 0)
		r.wants("as usual", "")
		if n := len(r.p.state.Workflows["w"].Expect.Took); n != expectRuns {
			t.Errorf("%d lengths are kept", n)
		}
		r.expectRun(2, runSucceeded)
		const short = "expect w it took 2s, which is 2 % of its usual 1m45s (of the last 30 runs most took 1m43s to " +
			"1m46s)"
		got := r.attention()
		if !strings.HasPrefix(got, "expect w it took 2s, which is 2 % of its usual 1m4") {
			t.Errorf("%q, want about %q", got, short)
		}
		r.tells(5*time.Second, "new w is not as expected")
		r.x.gone()
		r.stop()
		r.start(w)
		r.x.join()
		if again := r.attention(); again != got {
			t.Errorf("after a restart %q, before it %q", again, got)
		}
		r.expectRun(101, runSucceeded)
		r.wants("as usual again", "")
		r.tells(5*time.Second, "over w is not as expected")
		r.expectRun(500, runSucceeded)
		if got := r.attention(); !strings.HasPrefix(got,
			"expect w it took 8m20s, which is 4.8 times its usual 1m44s") &&
			!strings.HasPrefix(got, "expect w it took 8m20s, which is 4.8 times its usual 1m45s") {
			t.Error(got)
		}
		r.ack(attentionExpect, 0)
		r.wants("acknowledged", "")
		r.tells(5 * time.Second)

		r.principalRig.run("w") // at work for too long
		as := r.x.last()
		r.x.report(fleetBegun(as)...)
		r.tells(150 * time.Second)
		r.wants("at work", "")
		r.tells(20*time.Second, "new w is not as expected")
		if got := r.attention(); !strings.HasPrefix(got, "expect w it has run for 2m5") {
			t.Error(got)
		}
		over := fleetEvent(as, evRunFinished, "", runSucceeded)
		over.Event.Seconds = 170
		r.x.report(fleetEvent(as, evTaskFinished, "a", taskSucceeded), over)
		if got := r.attention(); !strings.HasPrefix(got, "expect w it took 2m50s, which is 1.6 times its usual 1m4") {
			t.Error(got)
		}
		r.tells(5 * time.Second) // the same run: it was told
		r.stop()
	})
}
