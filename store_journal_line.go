// store_journal_line.go: events as lines of the journal. A line holds one event, or several of one run that one turn of
// the loop made. The first is written as it is; of each later one, only what differs from the first:
//
//	{"crc":"1a2b3c4d","seq":7,"t":"…","e":"task.finished","workflow":"w","run":"01JD…","task":"a",…,"n":4,
//	 "then":[{"task":"b"},{"e":"run.finished","task":"","exit":null}]}
//
// jq '., . + .then[]?' gives them all. seq counts up by one from event to event. So does n, where the first has one and
// the later event does not say another. A later event carries only what differs; a field that it does not have, but the
// first has, is written empty. The attempt of a task and the lease are left out where they are 1.

package main

import (
	"encoding/json"
	"strings"
)

// storeTogether is how long a line may become; no further event goes into a longer one.
const storeTogether = 16 << 10

// storeThen is what all lines with several events have in them.
const storeThen = `,"then":[`

// storeLine is a line of the journal.
type storeLine struct {
	*Event
	Attempt *int              `json:"attempt,omitempty"` // nil: what is usual
	Lease   *int              `json:"lease,omitempty"`
	Then    []json.RawMessage `json:"then,omitempty"`
}

// storeUsual gives the attempt and the lease that an event has if its line does not say.
func storeUsual(e *Event) (attempt, lease int) {
	if strings.HasPrefix(e.Kind, "task.") && e.State != taskSkipped {
		attempt = 1
	}
	if e.N > 0 {
		lease = 1
	}
	return attempt, lease
}

// addEvents appends a line with the first of some numbered events, and with those after it that go into the same line.
// It gives how many they are.
func (c *storeEncoder) addEvents(events []*Event) (n int, err error) {
	first := events[0]
	x := eventText{b: c.begin()}
	x.fields(first, &Event{Attempt: first.Attempt, Lease: first.Lease})
	attempt, lease := storeUsual(first)
	x.count("attempt", first.Attempt, attempt)
	x.count("lease", first.Lease, lease)
	then := len(x.b)
	for n = 1; n < len(events) && len(x.b)-then < storeTogether && storeJoins(first, events[n]); n++ {
		if events[n].Kind != first.Kind && storeRow(events[n:]) {
			break // they are shorter in a line of their own, which begins with one of their kind
		}
		if n == 1 {
			x.b = append(x.b, storeThen...)
		} else {
			x.b = append(x.b, ',')
		}
		storeDiffer(&x, first, events[n-1], events[n])
	}
	if n > 1 {
		x.b = append(x.b, ']')
	}
	if x.err != nil {
		return n, x.err
	}
	c.end(append(x.b, "}\n"...))
	return n, nil
}

// storeJoins says whether an event may go into the line of the first one.
func storeJoins(first, e *Event) bool {
	return first.Run != "" && first.Spec == nil && e.Run == first.Run
}

// storeRow says whether the events begin with a row of one kind and run that is worth a line of its own.
func storeRow(events []*Event) bool {
	const row = 4
	for i := 1; i < row; i++ {
		if i >= len(events) || events[i].Kind != events[0].Kind || events[i].Run != events[0].Run {
			return false
		}
	}
	return true
}

// storeDiffer appends, as an object, the fields of an event that do not follow from the first event of its line and the
// numbers of the event before it.
func storeDiffer(x *eventText, first, before, e *Event) {
	usual := *first
	usual.Seq, usual.N = e.Seq, storeCountOn(before)
	attempt, lease := storeUsual(first)
	if usual.Attempt == attempt { // the line does not say
		usual.Attempt, _ = storeUsual(e)
	}
	if usual.Lease == lease {
		_, usual.Lease = storeUsual(e)
	}
	start := len(x.b)
	x.fields(e, &usual)
	if len(x.b) == start {
		x.b = append(x.b, '{')
	}
	x.b[start] = '{' // in place of the first comma
	x.b = append(x.b, '}')
}

// storeCountOn gives the agent's number of the event after this one, 0 when it has none.
func storeCountOn(e *Event) uint64 {
	if e.N == 0 {
		return 0
	}
	return e.N + 1
}

// storeLineEvents reads the events in a sound line.
func storeLineEvents(text []byte) ([]*Event, error) {
	line := storeLine{Event: &Event{}}
	if err := storeDecode(text, &line); err != nil {
		return nil, err
	}
	first := line.Event
	line.settle()
	events := make([]*Event, 1, 1+len(line.Then))
	events[0] = first
	for i, then := range line.Then {
		e := *first
		e.N = storeCountOn(events[i])
		// to decode into these would change the first event as well
		e.Spec, e.Outputs, e.Items, e.Params, e.Labels, e.Left, e.Used = nil, nil, nil, nil, nil, nil, TaskUse{}
		if e.Exit != nil {
			exit := *e.Exit
			e.Exit = &exit
		}
		next := storeLine{Event: &e}
		if err := json.Unmarshal(then, &next); err != nil {
			return nil, err
		}
		if next.Attempt == nil {
			next.Attempt = line.Attempt
		}
		if next.Lease == nil {
			next.Lease = line.Lease
		}
		next.settle()
		e.Seq = first.Seq + uint64(i) + 1
		events = append(events, &e)
	}
	return events, nil
}

// settle gives the event the attempt and the lease that its line says, or the usual ones.
func (l *storeLine) settle() {
	l.Event.Attempt, l.Event.Lease = storeUsual(l.Event)
	if l.Attempt != nil {
		l.Event.Attempt = *l.Attempt
	}
	if l.Lease != nil {
		l.Event.Lease = *l.Lease
	}
}
