// store_journal_line_test.go: lines of the journal with several events.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// TestStoreEventLines: the events of a turn come back from their lines as they were, and jq '., . + .then[]?' gives the
// same events.
func TestStoreEventLines(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for range 300 {
		events := make([]*Event, 1+rng.IntN(6))
		n := uint64(0)
		for i := range events {
			now = now.Add(time.Duration(rng.IntN(3)) * time.Millisecond)
			e := &Event{Seq: uint64(i) + 8, Time: stampOf(now), Workflow: "w",
				Run:   []string{"R", "R", "R", "S", ""}[rng.IntN(5)],
				Kind:  []string{evTaskStarted, evTaskFinished, evRunFinished, evQueued, evTaskRetrying}[rng.IntN(5)],
				State: []string{"", taskSucceeded, taskSkipped}[rng.IntN(3)], Attempt: rng.IntN(3), Lease: rng.IntN(3),
				Seconds: float64(rng.IntN(2)) / 2}
			if rng.IntN(3) > 0 {
				n += uint64(1 + rng.IntN(2))
				e.N, e.Epoch, e.Agent = n, "e", []string{"x", "y & <z>"}[rng.IntN(2)]
			}
			if rng.IntN(2) == 0 {
				exit := rng.IntN(2)
				e.Exit = &exit
			}
			if rng.IntN(3) == 0 {
				e.Outputs, e.Params = map[string]string{"k": fmt.Sprint(rng.IntN(2)), fmt.Sprint(i): "v"},
					map[string]string{"p": ""}
			}
			if rng.IntN(3) == 0 {
				e.Left = make([]LeftProcess, 1+rng.IntN(2))
				for k := range e.Left {
					e.Left[k] = LeftProcess{Agent: "x", PID: rng.IntN(3), Gone: []Stamp{{}, stampOf(now)}[rng.IntN(2)]}
				}
			}
			if rng.IntN(9) == 0 {
				e.Spec = &Workflow{ID: fmt.Sprint(rng.IntN(2))}
			}
			events[i] = e
		}
		var c storeEncoder
		var found []*Event
		for rest := events; len(rest) > 0; {
			n, err := c.addEvents(rest)
			if err != nil {
				t.Fatal(err)
			}
			line := bytes.TrimSuffix(c.take(), []byte("\n"))
			storeEventJQ(t, line, rest[:n])
			read, err := storeLineEvents(line)
			if err != nil || len(read) != n || !storeSound(line) {
				t.Fatalf("%d events of %d: %v\n%s", len(read), n, err, line)
			}
			found, rest = append(found, read...), rest[n:]
		}
		if want, got := storeText(t, events), storeText(t, found); !bytes.Equal(want, got) {
			t.Fatalf("events\n%s\ncome back as\n%s", want, got)
		}
		for i, e := range found { // nothing of one is another's
			if e.Exit != nil {
				*e.Exit = 100 + i
			}
			if e.Outputs != nil {
				e.Outputs["mine"] = fmt.Sprint(i)
			}
			if e.Left != nil {
				e.Left[0].Task = fmt.Sprint(i)
			}
			if e.Spec != nil {
				e.Spec.Name = fmt.Sprint(i)
			}
		}
		for i, e := range found {
			if e.Exit != nil && *e.Exit != 100+i || e.Outputs != nil && e.Outputs["mine"] != fmt.Sprint(i) ||
				e.Left != nil && e.Left[0].Task != fmt.Sprint(i) || e.Spec != nil && e.Spec.Name != fmt.Sprint(i) {
				t.Fatalf("event %d shares what it has: %+v", i, e)
			}
		}
	}
}

// storeEventJQ takes a line apart as the documentation says that jq does, and compares: but for the numbers, and what
// is left out where it is 1.
func storeEventJQ(t *testing.T, line []byte, events []*Event) {
	t.Helper()
	var head map[string]any
	if err := json.Unmarshal(line, &head); err != nil {
		t.Fatal(err)
	}
	then, _ := head["then"].([]any)
	plain := func(m map[string]any) map[string]any {
		for k, v := range m {
			if v == nil || v == "" || v == 0.0 {
				delete(m, k)
			}
		}
		for _, k := range []string{"crc", "seq", "n", "then", "attempt", "lease"} {
			delete(m, k)
		}
		return m
	}
	for i, e := range events {
		got := maps.Clone(head)
		if i > 0 {
			maps.Copy(got, then[i-1].(map[string]any))
		}
		var want map[string]any
		if err := json.Unmarshal(storeText(t, e), &want); err != nil {
			t.Fatal(err)
		}
		if got, want := plain(got), plain(want); !reflect.DeepEqual(got, want) {
			t.Fatalf("event %d of %s\nis %v\nwant %v", i, line, got, want)
		}
	}
}

// TestStoreEventLong: a line takes only so many events, and a reader finds each event by its number, wherever it
// begins.
func TestStoreEventLong(t *testing.T) {
	t.Parallel()
	g := storeRigOpen(t, storeOptions{NoSync: true})
	w := &Workflow{ID: "w"}
	for i := range 1000 {
		w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t", i)})
	}
	g.add(false, &Event{Kind: evVersion, Workflow: "w", Version: "v", Spec: w},
		&Event{Kind: evQueued, Workflow: "w", Version: "v", Run: "R"}, &Event{Kind: evAssigned, Run: "R", Agent: "x"})
	var events []*Event
	for i := range w.Tasks {
		events = append(events, &Event{Kind: evTaskStarted, Run: "R", Task: w.Tasks[i].ID, Attempt: 1, Agent: "x",
			Lease: 1, Epoch: "e", N: uint64(i + 1)})
	}
	g.add(true, events...)
	g.wait()
	text, err := os.ReadFile(filepath.Join(g.dir, storeSegmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(`"spec"`)) {
			longest = max(longest, len(line))
		}
	}
	if longest < storeTogether/2 || longest > storeTogether+1024 {
		t.Errorf("the longest line has %d bytes", longest)
	}
	for from := uint64(1); from <= uint64(len(g.log)); from += 7 {
		next, err := g.s.readEvents(from, 1, func(e *Event) bool {
			if e.Seq != from || !bytes.Equal(storeText(t, e), g.log[from-1]) {
				t.Fatalf("event %d is %s", from, storeText(t, e))
			}
			return true
		})
		if err != nil || next != from+1 {
			t.Fatalf("after event %d comes %d, %v", from, next, err)
		}
	}
}
