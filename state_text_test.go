// Tests of events as JSON.

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// eventTexts are texts that JSON writes in different ways.
var eventTexts = []string{"", "a", "run.started", `"`, `\`, "\n", "\x7f", "<&>", "é", "\u2028", "\xff", "a b", "\x00"}

// eventRandom gives an event with random fields of every kind that Event has.
func eventRandom(t *testing.T, rng *rand.Rand) *Event {
	t.Helper()
	e := &Event{}
	v := reflect.ValueOf(e).Elem()
	text := func() string { return eventTexts[rng.IntN(len(eventTexts))] }
	stamps := []time.Time{{}, time.Date(2026, 1, 31, 2, 30, 0, 7e6, time.UTC),
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(999, 12, 31, 23, 59, 59, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)}
	for i := range v.NumField() {
		if rng.IntN(3) == 0 {
			continue
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = text()
		case *uint64:
			*f = rng.Uint64N(3) * rng.Uint64()
		case *int:
			*f = rng.IntN(5) - 2
		case *int64:
			*f = []int64{0, 1, 7, math.MaxInt32 + 1, math.MaxUint32 + 2, math.MaxInt64}[rng.IntN(6)]
		case *float64:
			*f = []float64{0, 1, 0.5, 0.001, 1e-7, 1e21, 123456.789, -2, math.MaxFloat64, rng.Float64()}[rng.IntN(10)]
		case *bool:
			*f = true
		case *Stamp:
			*f = stampOf(stamps[rng.IntN(len(stamps))])
		case **int:
			exit := rng.IntN(3)
			*f = &exit
		case *map[string]string:
			*f = map[string]string{}
			for range rng.IntN(4) {
				(*f)[text()] = text()
			}
		case *TaskUse:
			size := func() int64 { return rng.Int64N(2) * rng.Int64() }
			*f = TaskUse{CPU: []float64{0, 0.004, 12.5}[rng.IntN(3)], Memory: size(), Read: size(), Written: size()}
		case *[]LeftProcess:
			*f = make([]LeftProcess, rng.IntN(3))
		case **RunEvent:
			*f = &RunEvent{Line: text()}
		case *[]string:
			*f = make([]string, rng.IntN(3))
		case *[]EventSeen:
			*f = make([]EventSeen, rng.IntN(3))
		case **Workflow:
			*f = &Workflow{ID: text()}
		default:
			t.Fatalf("field %s: %T", v.Type().Field(i).Name, f)
		}
	}
	e.Seq, e.Kind, e.Time = e.Seq|1, "e"+e.Kind, stampOf(stamps[1])
	return e
}

// Events are written as encoding/json writes them, and the fields that differ between two are those that do.
func TestEventText(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		one, two := eventRandom(t, rng), eventRandom(t, rng)
		want, err := jsonText(one)
		if err != nil {
			t.Fatal(err)
		}
		var x eventText
		x.fields(one, &Event{})
		if x.b[0] = '{'; x.err != nil || string(x.b)+"}" != string(want) {
			t.Fatalf("%v\n%s}\nis not\n%s", x.err, x.b, want)
		}
		// what differs, laid over the usual one, gives the event
		x = eventText{}
		x.fields(one, two)
		if len(x.b) == 0 {
			continue
		}
		x.b[0] = '{'
		over := *two
		over.Outputs, over.Params, over.Labels, over.Left, over.Spec = nil, nil, nil, nil, nil
		over.Used = TaskUse{}
		over.Event, over.Seen, over.Items = nil, nil, nil
		if over.Exit != nil {
			exit := *over.Exit
			over.Exit = &exit
		}
		if err := json.Unmarshal(append(x.b, '}'), &over); err != nil || x.err != nil {
			t.Fatal(err, x.err)
		}
		got, err := jsonText(&over)
		if err != nil || !bytes.Equal(jsonThere(t, got), jsonThere(t, want)) {
			t.Fatalf("%v\n%s\nis not\n%s", err, got, want)
		}
	}
	far := eventText{}
	if far.fields(&Event{LogAt: 5 << 30}, &Event{}); string(far.b) != `,"log_at":5368709120` {
		t.Errorf("%s", far.b)
	}
	bad := eventText{}
	bad.fields(&Event{Seconds: math.NaN()}, &Event{})
	if bad.err == nil {
		t.Error("NaN was written")
	}
}

// jsonThere gives an event's JSON as it is after a trip there and back: what is no UTF-8 is replaced.
func jsonThere(t *testing.T, text []byte) []byte {
	t.Helper()
	e := &Event{}
	if err := json.Unmarshal(text, e); err != nil {
		t.Fatal(err)
	}
	text, err := jsonText(e)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// eventsOfRun are the events that one turn has of a run that ends.
func eventsOfRun() []*Event {
	exit := 0
	at := stampOf(time.Date(2026, 1, 31, 2, 30, 0, 7e6, time.UTC))
	return []*Event{
		{Seq: 7, Time: at, Kind: evTaskFinished, Workflow: "w", Run: "01JD0000000000000000000000", Task: "a",
			State: taskSucceeded, Exit: &exit, Seconds: 0.003, Agent: "x", Epoch: "e", Attempt: 1, Lease: 1, N: 3},
		{Seq: 8, Time: at, Kind: evRunFinished, Workflow: "w", Run: "01JD0000000000000000000000",
			State: runSucceeded, Seconds: 0.004, Agent: "x", Epoch: "e", Lease: 1, N: 4}}
}

// A line of the journal takes no memory but that of its text.
func TestEventLineAllocs(t *testing.T) {
	events := eventsOfRun()
	var c storeEncoder
	if n := allocsOf(100, func() {
		c.buf.Reset()
		if n, err := c.addEvents(events); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a line, want none", n)
	}
}

func BenchmarkJournalLine(b *testing.B) {
	events := eventsOfRun()
	var c storeEncoder
	b.ReportAllocs()
	for b.Loop() {
		c.buf.Reset()
		if _, err := c.addEvents(events); err != nil {
			b.Fatal(err)
		}
	}
}
