package main

import (
	"log/slog"
	"testing"
	"time"
)

// TestAgentLeaseFromSending: the lease of a run counts from when the heartbeat that was answered last was sent. An answer
// that was on its way for long says nothing of what the principal heard since. It counts by the clock that goes on while the
// machine sleeps: here the other one stands still.
func TestAgentLeaseFromSending(t *testing.T) {
	now := time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC)
	spool, err := spoolOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer spool.close()
	near, theirs := wirePipe()
	far := farConn{near}
	defer theirs.Close()
	a := &agent{cfg: agentConfig{Name: "one", Log: slog.New(slog.DiscardHandler), now: time.Now, count: func() time.Time { return now }}, spool: spool,
		runs: map[string]*agentRun{}, ends: map[string]heldEnd{}}
	hold := func() {
		a.runs["r"] = &agentRun{as: &assignment{Run: "r", Lease: 1, Spec: &Workflow{ID: "w", Failover: failoverRerun}}}
	}
	a.connected(far)
	a.hear(far, &agentMsg{Op: msgWelcome})
	hold()
	for _, step := range []struct {
		after time.Duration
		do    func()
		held  bool
	}{
		{5 * time.Second, a.beat, true},
		{8 * time.Second, func() { a.hear(far, &agentMsg{Op: msgHeartbeat}) }, true}, // 13 s: the answer to that of 5 s
		{1 * time.Second, a.endLeases, true},
		{1 * time.Second, a.endLeases, false}, // 15 s
	} {
		now = now.Add(step.after)
		step.do()
		if (a.runs["r"] != nil) != step.held {
			t.Fatalf("at second %d the run is held: %v", now.Second(), !step.held)
		}
	}
	hold()
	a.disconnected(far)
	a.connected(far)
	now = now.Add(9 * time.Second)
	a.hear(far, &agentMsg{Op: msgWelcome})
	now = now.Add(time.Second)
	if a.endLeases(); a.runs["r"] != nil {
		t.Error("a welcome that took 9 s holds a run for longer than 10 s from the hello")
	}
}
