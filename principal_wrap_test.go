package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wrapTestRecord gives a record of a run that has just ended.
func wrapTestRecord(n uint64, state string) *WrapRecord {
	return &WrapRecord{Source: "spool", N: n, Host: "box", Command: "backup.sh", State: state, Exit: stateInt(0),
		Ended: stampOf(time.Now()), Seconds: 60}
}

// A run that is recorded is one as any other, each record counts once, also after a restart, and none can be run again.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		time.Sleep(time.Hour)
		rec := wrapTestRecord(1, runFailed)
		rec.Reason, rec.Exit = "exit 3", stateInt(3)
		rec.Lines = []LogLine{{Stream: "o", Text: "one"}, {Stream: "e", Bytes: []byte{0xff}},
			{Stream: "o", Text: "two"}}
		first := g.ask(Request{Op: "record", Workflow: "box.backup", Record: rec})
		if first.Error != nil || first.Run == "" {
			t.Fatalf("%+v", first.Error)
		}
		r := g.ask(Request{Op: "show", Run: first.Run}).Runs[0]
		if r.State != runFailed || r.Trigger != triggerWrap || r.Agent != "box" || r.Seconds != 60 ||
			!r.Finished.Equal(rec.Ended.Time) || r.Finished.Sub(r.Started.Time) != time.Minute ||
			*r.Tasks[0].Exit != 3 {
			t.Errorf("%+v", r)
		}
		if text := g.output(first.Run); text != "one\n\ntwo\n" {
			t.Errorf("its output is %q", text)
		}
		items := g.ask(Request{Op: "attention"}).Items
		if len(items) != 1 || items[0].Kind != attentionFailed || items[0].Workflow != "box.backup" {
			t.Errorf("attention: %+v", items)
		}
		if r := g.ask(Request{Op: "retry", Run: first.Run}); r.Error == nil || r.Error.Code != codeConflict {
			t.Errorf("retry: %+v", r)
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "w"}))
		if again := g.ask(Request{Op: "record", Workflow: "box.backup", Record: rec}); again.Run != "" || !again.OK {
			t.Errorf("told again: %+v", again)
		}
		next := g.ask(Request{Op: "record", Workflow: "box.backup", Record: wrapTestRecord(2, runSucceeded)})
		if !next.OK || next.Run <= first.Run {
			t.Errorf("the next: %+v", next)
		}
		old := wrapTestRecord(3, runSucceeded)
		old.Ended = stampOf(time.Now().Add(-48 * time.Hour))
		g.ask(Request{Op: "record", Workflow: "box.backup", Record: old})
		if runs := g.ask(Request{Op: "ps", All: true, Workflow: "box.backup"}).Runs; len(runs) != 3 {
			t.Errorf("%d runs", len(runs))
		}
		g.stop()
	})
}

// A name whose next run is late needs attention until one comes, or it is forgotten. A run that was skipped is no word.
func TestRecordLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir())
		late := func(want bool) {
			t.Helper()
			items := g.ask(Request{Op: "attention"}).Items
			if got := len(items) == 1 && items[0].Kind == attentionExpect; got != want || !want && len(items) > 0 {
				t.Errorf("attention: %+v, want it late: %v", items, want)
			}
		}
		n := uint64(0)
		tell := func(state string) {
			n++
			rec := wrapTestRecord(n, state)
			rec.Due = stampOf(time.Now().Add(time.Hour))
			g.ask(Request{Op: "record", Workflow: "job", Record: rec})
		}
		tell(runSucceeded)
		time.Sleep(59 * time.Minute)
		late(false)
		time.Sleep(2 * time.Minute)
		late(true)
		tell(runSkipped)
		late(true)
		g.stop()
		g.start()
		late(true)
		tell(runSucceeded)
		late(false)
		time.Sleep(2 * time.Hour)
		late(true)
		g.ask(Request{Op: "record", Workflow: "job", Force: true})
		late(false)
		if r := g.ask(Request{Op: "record", Workflow: "job", Force: true}); r.Error == nil {
			t.Error("it was forgotten twice")
		}
		g.stop()
	})
}

func TestRecordRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		with := func(fn func(*WrapRecord)) *WrapRecord {
			rec := wrapTestRecord(1, runSucceeded)
			fn(rec)
			return rec
		}
		for _, c := range []struct {
			name, code string
			rec        *WrapRecord
		}{
			{"w", codeConflict, with(func(*WrapRecord) {})},
			{"a/b", codeInvalid, with(func(*WrapRecord) {})},
			{"01M82RWEWWX30S2JBQW37JT9N7", codeInvalid, with(func(*WrapRecord) {})},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.State = runRunning })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Command = "" })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Host = strings.Repeat("x", wrapMaxWord+1) })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Seconds = -1 })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Ended = Stamp{} })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Lines = []LogLine{{Stream: "x"}} })},
			{"j", codeInvalid, with(func(r *WrapRecord) { r.Lines = make([]LogLine, wrapMaxLines+1) })},
			{"j", codeInvalid, nil},
		} {
			r := g.ask(Request{Op: "record", Workflow: c.name, Record: c.rec})
			if r.Error == nil || r.Error.Code != c.code {
				t.Errorf("%s %+v: %+v, want %s", c.name, c.rec, r.Error, c.code)
			}
		}
		ahead := with(func(r *WrapRecord) { r.Ended = stampOf(time.Now().AddDate(100, 0, 0)) })
		id := g.ask(Request{Op: "record", Workflow: "ahead", Record: ahead}).Run
		if r := g.ask(Request{Op: "show", Run: id}).Runs[0]; r.Finished.After(time.Now().Add(time.Minute)) {
			t.Errorf("it ended %s", r.Finished)
		}
		g.stop()
	})
}

func TestStateRecorded(t *testing.T) {
	g := stateRigNew(t)
	for i := range wrapSources + 2 {
		g.apply(&Event{Kind: evRecorded, Run: fmt.Sprint("R", i), Workflow: "j", Version: "v1", State: runSucceeded,
			Own: stampOf(stateEpoch), Key: wrapKey(fmt.Sprint("s", i), 7)})
	}
	w := g.s.wrapped("j")
	if len(w.From) != wrapSources || w.told("s0", 1) || !w.told("s65", 7) || w.told("s65", 8) || w.told("", 1) {
		t.Errorf("%d sources: %+v", len(w.From), w.From[0])
	}
	for _, e := range []*Event{{Run: "R1", Version: "v1", State: runSucceeded},
		{Run: "RX", Version: "v1", State: "odd"},
		{Run: "RX", Version: "none", State: runSucceeded}} {
		e.Kind, e.Workflow = evRecorded, "j"
		if g.try(e) == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}
