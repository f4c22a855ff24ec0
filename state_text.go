// state_text.go: events as JSON, field by field. The journal takes several for each run, and encoding/json looks at all
// fields of each by reflection. What is rare it writes here too. TestEventText holds this to what it writes. The lines
// of the history are written in the same way (store_history_line.go).

package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// eventText is JSON that grows by fields, each with a comma in front. Only fields that differ from the usual value are
// written, without the escapes for HTML. err is the first error.
type eventText struct {
	b   []byte
	err error
}

// fields appends the fields of an event that differ from those of the usual one, in the order of Event. A map, a
// list, or what was used is written unless both are empty, for it may not be shared.
func (x *eventText) fields(e, usual *Event) {
	if e.Seq != usual.Seq {
		x.number("seq", e.Seq)
	}
	x.stamp("t", e.Time, usual.Time)
	x.text("e", e.Kind, usual.Kind)

	x.text("workflow", e.Workflow, usual.Workflow)
	x.text("run", e.Run, usual.Run)
	x.text("task", e.Task, usual.Task)
	x.count("attempt", e.Attempt, usual.Attempt)
	x.text("state", e.State, usual.State)
	x.text("reason", e.Reason, usual.Reason)
	x.given("exit", e.Exit, usual.Exit)

	x.seconds("seconds", e.Seconds, usual.Seconds)
	x.texts("outputs", e.Outputs, usual.Outputs)
	x.used(e.Used, usual.Used)
	x.text("limited", e.Limited, usual.Limited)
	x.flag("allowed", e.Allowed, usual.Allowed)
	if len(e.Items)+len(usual.Items) > 0 {
		x.other("items", e.Items)
	}

	x.texts("params", e.Params, usual.Params)
	x.text("version", e.Version, usual.Version)
	if e.Spec != nil || usual.Spec != nil {
		x.other("spec", e.Spec)
	}
	x.text("trigger", e.Trigger, usual.Trigger)
	x.stamp("scheduled", e.Scheduled, usual.Scheduled)
	x.text("schedule", e.Schedule, usual.Schedule)
	x.count("missed", e.Missed, usual.Missed)
	if e.Event != nil || usual.Event != nil {
		x.other("event", e.Event)
	}
	if len(e.Seen)+len(usual.Seen) > 0 {
		x.other("seen", e.Seen)
	}
	x.count("priority", e.Priority, usual.Priority)
	x.text("parent", e.Parent, usual.Parent)
	x.text("batch", e.Batch, usual.Batch)
	x.text("times", e.Times, usual.Times)
	x.count("parallel", e.Parallel, usual.Parallel)
	x.text("asks", e.Asks, usual.Asks)
	x.text("key", e.Key, usual.Key)
	x.text("scope", e.Scope, usual.Scope)

	x.flag("all", e.All, usual.All)
	x.flag("force", e.Force, usual.Force)
	x.flag("ahead", e.Ahead, usual.Ahead)
	x.stamp("until", e.Until, usual.Until)

	x.stamp("own", e.Own, usual.Own)

	x.texts("labels", e.Labels, usual.Labels)
	x.count("capacity", e.Capacity, usual.Capacity)
	x.text("build", e.Build, usual.Build)

	x.text("log_day", e.LogDay, usual.LogDay)
	x.offset("log_at", e.LogAt, usual.LogAt)

	x.text("by", e.By, usual.By)
	x.text("from", e.From, usual.From)
	x.text("agent", e.Agent, usual.Agent)
	x.count("lease", e.Lease, usual.Lease)
	x.text("epoch", e.Epoch, usual.Epoch)
	if e.N != usual.N {
		x.number("n", e.N)
	}
	if len(e.Left)+len(usual.Left) > 0 {
		x.other("left", e.Left)
	}
}

// name appends the name of a field.
func (x *eventText) name(name string) {
	x.b = append(append(append(x.b, `,"`...), name...), `":`...)
}

func (x *eventText) number(name string, v uint64) {
	x.name(name)
	x.b = strconv.AppendUint(x.b, v, 10)
}

// count appends a number if it is not the usual one.
func (x *eventText) count(name string, v, usual int) { x.offset(name, int64(v), int64(usual)) }

// offset is count for a place in a file, which may lie behind what an int holds on a machine of 32 bits.
func (x *eventText) offset(name string, v, usual int64) {
	if v != usual {
		x.name(name)
		x.b = strconv.AppendInt(x.b, v, 10)
	}
}

// flag appends true or false if it is not the usual one.
func (x *eventText) flag(name string, v, usual bool) {
	if v != usual {
		x.name(name)
		x.b = strconv.AppendBool(x.b, v)
	}
}

// text appends a text if it is not the usual one.
func (x *eventText) text(name, v, usual string) {
	if v != usual {
		x.name(name)
		x.b = appendJSONText(x.b, v)
	}
}

// always appends a text, also an empty one.
func (x *eventText) always(name, v string) {
	x.name(name)
	x.b = appendJSONText(x.b, v)
}

// stamp appends a time if it is not the usual one.
func (x *eventText) stamp(name string, v, usual Stamp) {
	if !v.Equal(usual.Time) {
		x.name(name)
		x.b = v.appendJSON(x.b)
	}
}

// given appends a number that may be missing.
func (x *eventText) given(name string, v, usual *int) {
	switch {
	case v == nil && usual == nil, v != nil && usual != nil && *v == *usual:
	case v == nil:
		x.name(name)
		x.b = append(x.b, "null"...)
	default:
		x.name(name)
		x.b = strconv.AppendInt(x.b, int64(*v), 10)
	}
}

// seconds appends a number of seconds if it is not the usual one; NaN is the usual one of none.
func (x *eventText) seconds(name string, v, usual float64) {
	switch {
	case v == usual:
	case math.IsNaN(v) || math.IsInf(v, 0):
		x.fail(fmt.Errorf("%s is %v", name, v))
	case v < 1e-6 || v >= 1e21: // not as 0.0000001
		x.other(name, v)
	default:
		x.name(name)
		x.b = strconv.AppendFloat(x.b, v, 'f', -1, 64)
	}
}

// texts appends names with their texts, unless there are none and usually are none.
func (x *eventText) texts(name string, v, usual map[string]string) {
	switch {
	case len(v)+len(usual) == 0:
	case len(v) == 0:
		x.other(name, v)
	default:
		x.name(name)
		sep := byte('{')
		for _, key := range sortedKeys(v) {
			x.b = append(appendJSONText(append(x.b, sep), key), ':')
			x.b = appendJSONText(x.b, v[key])
			sep = ','
		}
		x.b = append(x.b, '}')
	}
}

// used appends what was used, unless it and the usual are nothing: a reader may lay it over the usual.
func (x *eventText) used(v, usual TaskUse) {
	if v == usual && v == (TaskUse{}) {
		return
	}
	x.name("used")
	start := len(x.b)
	x.seconds("cpu", v.CPU, 0)
	x.offset("memory", v.Memory, 0)
	x.offset("read", v.Read, 0)
	x.offset("written", v.Written, 0)
	if len(x.b) == start {
		x.b = append(x.b, ',')
	}
	x.b[start] = '{' // in place of the first comma
	x.b = append(x.b, '}')
}

// other appends what is rare.
func (x *eventText) other(name string, v any) {
	text, err := jsonText(v)
	x.fail(err)
	x.name(name)
	x.b = append(x.b, text...)
}

func (x *eventText) fail(err error) {
	if x.err == nil {
		x.err = err
	}
}

// appendJSON appends the stamp as MarshalJSON gives it.
func (s Stamp) appendJSON(b []byte) []byte {
	if s.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	year, month, day := s.UTC().Date()
	hour, minute, second := s.UTC().Clock()
	if year < 1000 || year > 9999 {
		b = s.UTC().AppendFormat(b, stampLayout)
		return append(b, '"')
	}
	b = append(appendTwo(appendTwo(b, year/100), year%100), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = append(appendTwo(b, second), '.')
	milli := s.Nanosecond() / int(time.Millisecond)
	b = appendTwo(append(b, byte('0'+milli/100)), milli%100)
	return append(b, `Z"`...)
}

// appendTwo appends a number of two digits.
func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// appendJSONText appends a text as JSON. Only plain ASCII is written here.
func appendJSONText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := jsonText(text)
			if err != nil {
				panic("cdktr: internal error: encode text: " + err.Error()) // a string cannot fail
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// writable is an error for an event that nobody could read again once it is written: with a year of five digits the
// journal would be whole, and no principal could start on it.
func (e *Event) writable() error {
	for _, at := range [...]Stamp{e.Time, e.Scheduled, e.Until, e.Own} {
		if !stampable(at.Time) {
			return fmt.Errorf("event %s of run %q has the time %v, which cannot be written", e.Kind, e.Run, at.Time)
		}
	}
	return nil
}
