package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A run is filed by the principal's clock, whatever time its agent thinks it is. The agent's own times are kept when
// they are far off. What an agent with a good clock says late keeps its time.
func TestDispatchTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		ahead func(now time.Time) time.Duration
		marks bool
	}{
		{"good", func(time.Time) time.Duration { return 0 }, false},
		{"a little off", func(time.Time) time.Duration { return 3 * time.Second }, false},
		{"a minute behind", func(time.Time) time.Duration { return -time.Minute }, true},
		{"an hour ahead", func(time.Time) time.Duration { return time.Hour }, true},
		{"1970", func(now time.Time) time.Duration { return time.Unix(5, 0).Sub(now) }, true},
		{"2099", func(now time.Time) time.Duration { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).Sub(now) },
			true},
	} {
		for _, known := range []bool{false, true} { // whether it said what time it is
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
					ahead := c.ahead(time.Now())
					theirs := func() Stamp { return stampOf(time.Now().Add(ahead)) }
					a := &fleetAgent{g: g, hello: agentMsg{Agent: "x", Capacity: 1, Epoch: "e"}}
					if known {
						a.hello.Clock = theirs()
					}
					a.join()
					for range 2 {
						if known {
							a.send(&agentMsg{Op: msgHeartbeat, Clock: theirs()})
						}
					}
					id := g.run("w")
					as := a.last()
					say := func(kind, task, state string) {
						item := fleetEvent(as, kind, task, state)
						item.Event.Time = theirs()
						a.report(item)
					}
					time.Sleep(time.Second)
					began := time.Now()
					say(evRunStarted, "", "")
					say(evTaskStarted, "a", "")
					time.Sleep(10 * time.Second)
					say(evTaskFinished, "a", taskSucceeded)
					ended := theirs()
					say(evRunFinished, "", runSucceeded)
					r := g.show(id)
					near := func(at Stamp, want time.Time) bool { return at.Sub(want).Abs() <= fleetSkew }
					if !near(r.Started, began) || !near(r.Finished, time.Now()) ||
						!near(r.task("a").Finished, time.Now()) || r.Finished.Before(r.Started.Time) {
						t.Errorf("started %s, finished %s, and it is %s", r.Started, r.Finished, time.Now())
					}
					if marked := !r.OwnFinished.IsZero(); marked != c.marks || marked &&
						!r.OwnFinished.Equal(ended.Time) || r.OwnStarted.IsZero() == c.marks {
						t.Errorf("by its own clock %s to %s", r.OwnStarted, r.OwnFinished)
					}
					if file := historyPlaceOf(r).month; file != time.Now().UTC().Format("2006-01") {
						t.Errorf("it is filed in %s", file)
					}
					a.gone()
					g.stop()
				})
			})
		}
	}
	// What was spooled for hours while the link was down keeps its time.
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		a := fleetAgentJoin(g, "x", 1)
		id := g.run("w")
		as := a.last()
		a.report(fleetBegun(as)...)
		a.gone()
		time.Sleep(5 * time.Second)
		end := fleetEvent(as, evRunFinished, "", runSucceeded)
		time.Sleep(3 * time.Hour)
		a.hello.Holds, a.hello.Clock = []heldRun{{id, 1}}, stampOf(time.Now())
		a.join()
		a.report(end)
		if r := g.show(id); r.State != runSucceeded || !r.Finished.Equal(end.Event.Time.Time) ||
			!r.OwnFinished.IsZero() {
			t.Errorf("%s at %s, own %s, want %s", r.State, r.Finished, r.OwnFinished, end.Event.Time)
		}
		a.gone()
		g.stop()
	})
}

// What an agent says happened beyond all years that can be written, whichever way its message is read, is in no file
// that the next life could not read.
func TestDispatchTimeFar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := principalRigOpen(t, dir, principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 4)
		var ids []string
		for _, far := range []string{
			`"t":"9999-12-31T23:59:59.999Z","output":[{"ms":86400000,"i":1,"k":"a","m":["x"]}],` +
				`"events":[{"ms":86400000,"e":"run.started"},{"ms":86400000,"e":"run.finished"}]`,
			`"t":"9999-12-31T23:59:59.999Z","output":[{"ms":9223372036854775807,"i":1,"k":"a","m":["x"]}],` +
				`"events":[{"ms":9223372036854775807,"e":"run.started"},{"ms":1,"e":"run.finished"}]`,
			`"t":"0000-01-01T00:00:00.000Z","output":[{"ms":-1,"i":1,"k":"a","m":["x"]}],` +
				`"events":[{"ms":-86400000,"e":"run.started"},{"ms":-1,"e":"run.finished"}]`,
		} {
			ids = append(ids, g.run("w"))
			as := a.last()
			a.conn.Send([]byte(fmt.Sprintf(parcelFront+`%d,"parcel":{"lease":%d,"run":"%s",%s}}`, a.n+1, as.Lease,
				as.Run, far)))
			a.n += 3
			time.Sleep(time.Second)
			synctest.Wait()
		}
		a.gone()
		g.stop()
		g = principalRigOpen(t, dir, principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		for _, id := range ids {
			r := g.show(id)
			if r.OwnFinished.IsZero() || r.State != runSucceeded {
				t.Errorf("%s at %s, by its own clock %s", r.State, r.Finished, r.OwnFinished)
			}
		}
		g.stop()
	})
}

// TestDispatchLogDay: a run's record names the file of the day in which its output begins, and the place in it: neither
// the day before nor the day after, on both sides of midnight, whatever time its agent has. The history says the same.
func TestDispatchLogDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapAllow}))
		a := fleetAgentJoin(g, "x", 1)
		midnight := time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
		for _, c := range []struct {
			at   time.Duration // after midnight
			own  time.Duration // of the agent's clock, from ours
			file string
		}{{-time.Hour, 0, "2000-01-01"}, {-time.Millisecond, 2 * time.Hour, "2000-01-01"},
			{0, -2 * time.Hour, "2000-01-02"}, {time.Hour, -48 * time.Hour, "2000-01-02"},
			{23 * time.Hour, 48 * time.Hour, "2000-01-02"}} {
			for until := midnight.Add(c.at); time.Now().Before(until); {
				time.Sleep(min(time.Until(until), agentPaceOf(agentLostAfter).beat))
				a.send(&agentMsg{Op: msgHeartbeat})
			}
			id := g.run("w")
			as := a.last()
			items := append(fleetBegun(as), fleetLines(as, 1, 2),
				fleetEvent(as, evTaskFinished, "a", taskSucceeded),
				fleetEvent(as, evRunFinished, "", runSucceeded))
			for _, item := range items {
				if item.Event != nil {
					item.Event.Time = stampOf(item.Event.Time.Add(c.own))
				}
			}
			a.report(items...)
			text, err := os.ReadFile(g.dir + "/logs/w/" + c.file + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			r := g.show(id)
			if first, _, _ := strings.Cut(string(text[min(int(r.LogAt), len(text)):]), "\n"); r.LogDay != c.file ||
				!strings.Contains(first, id) {
				t.Errorf("%v from midnight, with an agent at %v: it begins at %d of %s, want %s", c.at, c.own, r.LogAt,
					r.LogDay, c.file)
			}
			if kept, err := g.p.store.historyFind(id, nil); err != nil || kept.LogDay != c.file ||
				kept.LogAt != r.LogAt {
				t.Errorf("in the history: %+v, %v", kept, err)
			}
		}
		a.gone()
		g.stop()
	})
}
