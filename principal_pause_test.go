// Tests of pauses that end by themselves, on the principal's loop with a false clock: what fires and what does not,
// also when the principal was down.

package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pauseTest asks for a pause of so long, and fails the test when it is refused.
func (g *principalRig) pauseTest(workflow string, length time.Duration, note string) *Reply {
	g.t.Helper()
	req := Request{Op: "pause", Workflow: workflow, All: workflow == "", Comment: note}
	if length > 0 {
		req.Until = stampOf(time.Now().Add(length))
	}
	r := g.ask(req)
	if !r.OK {
		g.t.Fatal(r.Error)
	}
	return r
}

func pauseWorkflows() []*Workflow {
	return []*Workflow{
		principalTask(Workflow{ID: "all", Schedule: []string{"*/10 * * * *"}, Catchup: catchupAll,
			Overlap: overlapAllow}),
		principalTask(Workflow{ID: "other", Schedule: []string{"5 * * * *"}, Catchup: catchupAll,
			Overlap: overlapAllow}),
	}
}

// A pause ends by itself: the tick of that instant fires, and those before it are decided as paused.
func TestPrincipalPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), pauseWorkflows()...)
		g.pauseTest("all", 30*time.Minute, " the disk is moved ")
		w := g.ask(Request{Op: "ls"}).Workflows[0]
		if p := w.Pause; p == nil || p.Note != "the disk is moved" || w.Paused != p.By || p.All ||
			p.Until.Sub(p.Since.Time) != 30*time.Minute || w.Next.Format("15:04") != "00:30" {
			t.Errorf("ls: %+v %+v", w, w.Pause)
		}
		r := g.ask(Request{Op: "next", N: 2})
		if got := fmt.Sprint(r.Fires[0].Workflow, r.Fires[1].Workflow, r.Fires[1].At.Format(" 15:04")); got !=
			"other"+"all 00:30" {
			t.Errorf("next: %s", got)
		}
		r = g.ask(Request{Op: "next", Workflow: "all", N: 1})
		if !strings.Contains(r.Note, ": the disk is moved: nothing fires before 2000-01-01 00:30:00 UTC") ||
			r.Fires[0].At.Format("15:04") != "00:30" {
			t.Errorf("next: %+v", r)
		}
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		by := w.Paused
		want := fmt.Sprintf("00:10 skipped paused by %s: the disk is moved\n00:20 skipped paused by %[1]s: the disk "+
			"is moved\n00:30 fired\n00:40 fired", by)
		if got := g.decisions("all"); got != want {
			t.Errorf("decisions:\n%s\nwant\n%s", got, want)
		}
		if w := g.ask(Request{Op: "ls"}).Workflows[0]; w.Pause != nil || w.Paused != "" {
			t.Errorf("ls: %+v", w)
		}
		p := g.p.state.Workflows["all"].Pauses
		if len(p) != 1 || p[0].Ended != p[0].Until || p[0].EndedBy != "" {
			t.Errorf("kept: %+v", p)
		}
		g.stop()
	})
}

// What was due in a pause that ended while the principal was down is not caught up; what was due after it is.
func TestPrincipalPauseEndsWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, workflow := range []string{"all", ""} {
			g := principalRigOpen(t, t.TempDir(), pauseWorkflows()...)
			begun := time.Now()
			g.pauseTest(workflow, 30*time.Minute, "")
			g.stop()
			time.Sleep(55*time.Minute + time.Second)
			g.start(pauseWorkflows()...)
			synctest.Wait()
			at := func(minutes int) string {
				return begun.Add(time.Duration(minutes) * time.Minute).UTC().Format("15:04")
			}
			got, by := g.decisions("all"), g.p.state.pauseTestBy(workflow)
			want := fmt.Sprintf("%s skipped missed: the principal was down, and paused by %s\n%s fired caught up: the "+
				"principal was down\n%s fired caught up: the principal was down\n%s fired caught up: the principal was down",
				at(20), by, at(30), at(40), at(50))
			if got != want {
				t.Errorf("paused %q:\n%s\nwant\n%s", workflow, got, want)
			}
			if w := g.ask(Request{Op: "ls"}).Workflows[0]; w.Pause != nil {
				t.Errorf("still paused: %+v", w.Pause)
			}
			g.stop()
			time.Sleep(5*time.Minute - time.Second) // the next round begins at a full hour too
		}
	})
}

// pauseTestBy gives who made the newest pause, which is over.
func (s *State) pauseTestBy(workflow string) string {
	list := s.Pauses
	if workflow != "" {
		list = s.Workflows[workflow].Pauses
	}
	return list[len(list)-1].By
}

// Without a scheduler a pause ends too, and what was due in it is not caught up by a later start with one.
func TestPrincipalPauseWithoutScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), pauseWorkflows()...)
		g.pauseTest("all", 30*time.Minute, "")
		g.stop()
		time.Sleep(25 * time.Minute)
		g.cfg.NoScheduler = true
		g.start(pauseWorkflows()...)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if p := g.p.state.pauseOf("all"); p != nil {
			t.Errorf("still paused: %+v", p)
		}
		g.stop()
		time.Sleep(10 * time.Minute)
		g.cfg.NoScheduler = false
		g.start(pauseWorkflows()...)
		if got := g.decisions("all"); got != "00:40 fired caught up: the principal was down" {
			t.Errorf("decisions:\n%s", got)
		}
		g.stop()
	})
}

// Pausing again changes end and note; a longer pause of all holds back what its own does not any more; a pause in the
// past, a long note and one that is no text are refused.
func TestPrincipalPauseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), pauseWorkflows()...)
		g.pauseTest("all", 5*time.Minute, "one")
		time.Sleep(time.Second)
		if r := g.pauseTest("all", 15*time.Minute, "two"); !strings.Contains(r.Note, "takes the place of the pause") {
			t.Errorf("note %q", r.Note)
		}
		g.pauseTest("", 25*time.Minute, "three")
		if p := g.ask(Request{Op: "ls"}).Workflows[0].Pause; p == nil || p.Note != "three" || !p.All {
			t.Errorf("%+v", p)
		}
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		w := g.p.state.Workflows["all"]
		if len(w.Pauses) != 2 || w.Pauses[0].EndedBy == "" || w.Pauses[1].EndedBy != "" || w.Paused != "" {
			t.Errorf("%+v", w.Pauses)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := g.decisions("all"); strings.Count(got, "skipped paused by") != 2 || g.p.state.PausedAll != "" {
			t.Errorf("decisions:\n%s", got)
		}
		for want, req := range map[string]Request{
			"is over: name a time to come": {Op: "pause", Workflow: "all", Until: stampOf(time.Now())},
			"may have 300":                 {Op: "pause", All: true, Comment: strings.Repeat("x", 301)},
			"has a NUL":                    {Op: "pause", All: true, Comment: "\x00"},
		} {
			if r := g.ask(req); r.OK || !strings.Contains(r.Error.Message, want) {
				t.Errorf("%s: %+v", want, r)
			}
		}
		for n := range 2 * statePauses {
			g.pauseTest("all", time.Hour, fmt.Sprint(n))
		}
		if n := len(g.p.state.Workflows["all"].Pauses); n != statePauses {
			t.Errorf("%d pauses are kept", n)
		}
		g.stop()
	})
}

// A pause without an end needs a person after a day, one item for all that were paused alike; a resume takes its
// acknowledgement back.
func TestPrincipalPauseForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := alarmRigOpen(t, t.TempDir(), alarmConfig{},
			principalTask(Workflow{ID: "a", Schedule: []string{"0 0 1 1 *"}}),
			principalTask(Workflow{ID: "b", Schedule: []string{"0 0 1 1 *"}}),
			principalTask(Workflow{ID: "c", Schedule: []string{"0 0 1 1 *"}}))
		r.x = fleetAgentJoin(r.principalRig, "x", 1)
		r.pauseTest("a", 0, "broken")
		r.pauseTest("b", 0, "broken")
		r.pauseTest("c", 48*time.Hour, "broken")
		r.tells(23*time.Hour + 59*time.Minute)
		r.tells(2*time.Minute, "new 2 workflows are paused")
		items := r.ask(Request{Op: "attention"}).Items
		if len(items) != 1 || items[0].Kind != attentionPaused || !strings.Contains(items[0].Reason, "broken") ||
			len(items[0].Workflows) != 2 {
			t.Fatalf("attention: %+v", items)
		}
		if r := r.ask(Request{Op: "ack", Key: items[0].Key}); !r.OK {
			t.Error(r.Error)
		}
		if n := len(r.ask(Request{Op: "attention"}).Items); n != 0 || len(r.p.state.Acks) != 2 {
			t.Errorf("%d items, acknowledged: %v", n, r.p.state.Acks)
		}
		r.ask(Request{Op: "resume", All: true})
		if len(r.p.state.Acks) != 0 {
			t.Errorf("acknowledged still: %v", r.p.state.Acks)
		}
		r.stop()
	})
}
