package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// TestStoreForget: a store that keeps nothing says of all that it is safe, in the order of the calls, and leaves the
// disk alone.
func TestStoreForget(t *testing.T) {
	dir := t.TempDir()
	var said []string
	synced := make(chan struct{}, 100)
	s, state, _, err := storeOpen(storeOptions{Dir: dir, Forget: true, SegmentBytes: 1,
		onSynced: func() { synced <- struct{}{} }})
	if err != nil || state == nil || state.Seq != 0 {
		t.Fatal(state, err)
	}
	say := func(text string) func() { return func() { said = append(said, text) } }
	run := &Run{ID: "01M8KNWDD44JNVDHYXT547JY65", Workflow: "etl", State: runSucceeded,
		Finished: stampOf(time.Unix(2, 0))}
	var want []string
	for i, wait := range []storeWait{storeLate, storeNow, storeSoon} {
		e := &Event{Kind: evPaused, Workflow: "etl"}
		s.append([]*Event{e, {Kind: evResumed, Workflow: "etl"}}, wait, say(fmt.Sprint("batch ", i)))
		if e.Seq != uint64(2*i+1) {
			t.Errorf("batch %d begins with event %d", i, e.Seq)
		}
		s.history(run, say(fmt.Sprint("run ", i)))
		want = append(want, fmt.Sprint("batch ", i), fmt.Sprint("run ", i))
	}
	<-synced // nobody has to ask for it
	if s.wantsSnapshot() {
		t.Error("wants a snapshot of nothing")
	}
	s.snapshot(state, func(err error) { say(fmt.Sprint("snapshot ", err))() })
	want = append(want, "snapshot <nil>")
	if err := s.close(); err != nil || s.failing() != nil || s.saving.Load() {
		t.Error(err, s.failing())
	}
	if err := s.close(); err != nil {
		t.Error("closed again:", err)
	}
	if !slices.Equal(said, want) {
		t.Errorf("it said %q, want %q", said, want)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there is %v in the folder (%v)", entries, err)
	}
	s, _, _, err = storeOpen(storeOptions{Dir: dir, Forget: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.historyFind(run.ID, nil); !errors.Is(err, errHistoryNone) {
		t.Errorf("finds a run that is forgotten: %v", err)
	}
	if next, err := s.readEvents(1, 10, func(*Event) bool { return true }); err != nil || next != 1 {
		t.Errorf("reads events up to %d, %v", next, err)
	}
}
