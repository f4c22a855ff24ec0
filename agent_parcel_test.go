// agent_parcel_test.go: what is packed for the spool comes out as it was.

package main

import (
	"bytes"
	"math/rand/v2"
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
