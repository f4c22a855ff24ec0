// agent_parcel_test.go: what is packed for the spool comes out as it was.

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestParcel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tick := func() Stamp {
		now = now.Add(time.Duration(rng.IntN(5)-1) * time.Millisecond)
		return stampOf(now)
	}
	for range 500 {
		var output []LogLine
		var events []*Event
		n := int64(1)
		for range rng.IntN(6) {
			line := LogLine{Time: tick(), Run: "R", N: n, Task: []string{"a", "a", "b"}[rng.IntN(3)], Attempt: 1 +
				rng.IntN(2), Stream: []string{"o", "o", "e"}[rng.IntN(3)],
				Text: []string{"", "x & <y>", "é"}[rng.IntN(3)]}
			switch rng.IntN(6) {
			case 0:
				line.Text, line.Bytes = "", []byte{0xff, byte(rng.IntN(256))}
			case 1:
				line.Task, line.Attempt, line.Stream = "", 0, "c"
			}
			output = append(output, line)
			n += int64(1 + rng.IntN(5)/4)
		}
		for range rng.IntN(5) {
			e := &Event{Time: tick(), Kind: []string{evRunStarted, evTaskStarted, evTaskRetrying, evTaskFinished,
				evRunFinished}[rng.IntN(5)], Run: "R", Lease: 3,
				Task: "a", Attempt: 1 + rng.IntN(2), Reason: "r", Seconds: float64(rng.IntN(3))}
			switch e.Kind {
			case evTaskFinished, evRunFinished:
				e.State = []string{taskSucceeded, taskFailed, taskSkipped}[rng.IntN(3)]
			}
			if exit := rng.IntN(3); exit < 2 {
				e.Exit = &exit
			}
			if e.State == taskSucceeded {
				e.Outputs = map[string]string{"k": "v"}
			}
			events = append(events, e)
		}
		if len(output)+len(events) == 0 {
			continue
		}
		msg, count := parcelPack("R", 3, output, events)
		items, err := parcelItems(msg)
		var want []agentItem
		if len(output) > 0 {
			want = append(want, agentItem{Lines: output, Lease: 3})
		}
		for _, e := range events {
			want = append(want, agentItem{Event: e})
		}
		if err != nil || count != len(want) || !bytes.Equal(protoEncode(items), protoEncode(want)) {
			t.Fatalf("%d items, %v:\n%s\ncame out as\n%s\nwant\n%s", count, err, msg, protoEncode(items),
				protoEncode(want))
		}
	}
}

// A spool of the version of before: an item a line. All that is not acknowledged is there, under its numbers.
func TestParcelFormat1(t *testing.T) {
	dir := t.TempDir()
	storeFormat1(t, "agent", dir)
	s := spoolNew(t, filepath.Join(dir, "spool"))
	defer s.close()
	lines, events, next := 0, 0, uint64(37)
	for {
		first, msgs, err := s.next(1)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			break
		}
		items, err := parcelItems(msgs[0])
		if err != nil || len(items) != 1 || first != next {
			t.Fatalf("%d items from %d, want one from %d: %v", len(items), first, next, err)
		}
		next++
		if lines += len(items[0].Lines); items[0].Event != nil {
			events++
		}
	}
	if lines != 3 || events != 6 || s.damage() != nil {
		t.Errorf("%d lines, %d events, %v", lines, events, s.damage())
	}
}

// TestFormat1: a principal and an agent go on where those of the version before were killed.
func TestFormat1(t *testing.T) {
	x := e2eNew(t)
	storeFormat1(t, "principal", x.Dir+"/state")
	storeFormat1(t, "agent", x.Dir+"/worker")
	x.Principal("--no-scheduler", "--retain-age", "36500d")
	x.Agent("worker")
	const long = "01M875GATYQ89PBMMW9X8KRVJC"
	if r := x.await(long); r.State != runSucceeded || len(r.Tasks) != 2 || r.Seconds != 0.817 || r.Lease != 1 {
		t.Errorf("the run that was under way: %+v", r)
	}
	if out := x.OK("logs", long); out != "begun\ndone\nlast\n" {
		t.Errorf("its output: %q", out)
	}
	x.Until("a snapshot is beside that of before", func() bool {
		_, err := os.Stat(x.Dir +
			"/state/snapshot.json.1")
		return err == nil
	})
}
