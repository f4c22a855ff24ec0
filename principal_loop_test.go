// The principal's loop without its parts: whom emit tells of an event; and a principal that speaks its own language
// alone.

package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoopObservers: emit tells each observer of an event that was applied, in their order, with what the run was
// before; and nobody of one that does not fit.
func TestLoopObservers(t *testing.T) {
	log := &principalLog{}
	l := &principalLoop{state: stateNew(), cfg: principalConfig{now: time.Now, Log: slog.New(slog.NewTextHandler(log,
		nil))}}
	var heard []string
	for _, name := range []string{"first", "second"} {
		l.observers = append(l.observers, func(c change) {
			r := l.state.Runs[c.event.Run]
			if c.run != r {
				t.Errorf("%s of %s: the run is not the one in the state", name, c.event.Kind)
			}
			what := ""
			switch {
			case c.began():
				what = " began"
			case c.ended():
				what = " ended"
			}
			heard = append(heard, name+" "+c.event.Kind+" of "+c.before+" by "+c.agent+what)
		})
	}
	emit := func(e *Event, want ...string) {
		t.Helper()
		heard = nil
		err := l.emit(e)
		if (err == nil) != (want != nil) || strings.Join(heard, "; ") != strings.Join(want, "; ") {
			t.Errorf("%s: %v, heard %q, want %q", e.Kind, err, heard, want)
		}
	}
	w := principalTask(Workflow{ID: "w"})
	hash, _ := w.hash()
	emit(&Event{Kind: evVersion, Workflow: "w", Version: hash, Spec: w}, "first workflow.version of  by ",
		"second workflow.version of  by ")
	emit(&Event{Kind: evQueued, Run: "R", Workflow: "w", Version: hash, Trigger: triggerManual},
		"first run.queued of  by  began", "second run.queued of  by  began")
	emit(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e", Capacity: 1}, "first agent.up of  by ",
		"second agent.up of  by ")
	emit(&Event{Kind: evAssigned, Run: "R", Workflow: "w", Agent: "x"}, "first run.assigned of queued by ",
		"second run.assigned of queued by ")
	if l.batchWait != storeNow {
		t.Error("an assignment goes out before it is on disk")
	}
	emit(&Event{Kind: evAssigned, Run: "gone", Workflow: "w", Agent: "x"})
	far := Stamp{stateEpoch.AddDate(9000, 0, 0)} // it would be in the journal, and could not be read again
	for _, e := range []Event{{Time: far}, {Own: far}, {Until: far}, {Scheduled: far}} {
		e.Kind, e.Workflow, e.Run, e.State = evRunEnded, "w", "R", runCancelled
		emit(&e)
	}
	emit(&Event{Kind: evRunEnded, Run: "R", Workflow: "w", State: runCancelled},
		"first run.ended of running by x ended", "second run.ended of running by x ended")
	if len(l.batch) != 5 || l.batch[4].Seq != 5 {
		t.Errorf("%d events are in the batch", len(l.batch))
	}
}

// TestLoopNoDialect: a principal without a dialect takes its words for a request of its own that cannot be read.
func TestLoopNoDialect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &principalRig{t: t, dir: t.TempDir(), log: &principalLog{}}
		g.cfg = principalConfig{StateDir: g.dir, NoSync: true, Zone: time.UTC,
			Log: slog.New(slog.NewTextHandler(g.log, nil))}
		g.start(principalTask(Workflow{ID: "w"}))
		defer g.stop()
		id := g.run("w")
		g.expect(id, runQueued, fleetNoAgent)
		conn := g.connect()
		if err := conn.Send([]byte{}, []byte("PING")); err != nil {
			t.Fatal(err)
		}
		frames, err := conn.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if text := string(frames[len(frames)-1]); !strings.Contains(text, codeInvalid) {
			t.Errorf("PING: %s", text)
		}
	})
}
