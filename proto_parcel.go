// proto_parcel.go: what one turn of the agent's loop has of one run, as one message: the output, and behind it what
// happened. Run, lease and time are written once. Each part has its milliseconds from there, and leaves out what is
// usual. A parcel is made once: the agent's spool keeps it, and it is sent as it was spooled, in a message "parcel".
// How the principal reads that is in proto_parcel_scan.go.

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parcel is the output and the events of one run.
type parcel struct {
	Lease  int            `json:"lease,omitempty"` // of the run
	Run    string         `json:"run,omitempty"`
	Time   Stamp          `json:"t,omitzero"`
	Output []parcelOutput `json:"output,omitempty"`
	Events []parcelEvent  `json:"events,omitempty"`
}

// parcelMaxLines is how many lines of output a parcel may have. An agent puts in fewer: what it has read of a task at
// once, 64 KiB, is at most 65,536 lines, and with agentParcel bytes before it no more comes behind it.
const parcelMaxLines = 1 << 17

// parcelOutput is lines of one attempt, stream and millisecond, with successive numbers.
type parcelOutput struct {
	MS      int64    `json:"ms,omitempty"`
	N       int64    `json:"i,omitempty"` // of the first line; 0: it follows the line before
	Task    string   `json:"k,omitempty"`
	Attempt int      `json:"n,omitempty"` // of a task; 0: the first
	Stream  string   `json:"s,omitempty"` // "": o
	Text    []string `json:"m,omitempty"`
	Bytes   [][]byte `json:"b,omitempty"` // one line that is no text; then there is no Text
}

// parcelEvent is an event. An end without a state is a success; that of a task is of its first attempt, with exit code
// 0.
type parcelEvent struct {
	MS      int64             `json:"ms,omitempty"`
	Kind    string            `json:"e"`
	Task    string            `json:"task,omitempty"`
	Attempt int               `json:"attempt,omitempty"`
	State   string            `json:"state,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	Exit    *int              `json:"exit,omitempty"`
	Seconds float64           `json:"seconds,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
	Used    TaskUse           `json:"used,omitzero"`
	Limited string            `json:"limited,omitempty"`
	Allowed bool              `json:"allowed,omitempty"`
	Params  map[string]string `json:"params,omitempty"`
	Asks    string            `json:"asks,omitempty"`
	Items   []string          `json:"items,omitempty"`
}

// parcelLines is lines of output of one attempt and stream on their way into a parcel, with successive numbers.
type parcelLines struct {
	Time    Stamp
	N       int64 // the number of the first line
	Count   int
	Task    string
	Attempt int
	Stream  string
	Text    []byte // JSON strings, with commas between them
	Bytes   bool   // Text has one line that is no text, as base64
}

// parcelCut makes what goes into a parcel of output as it was read, lines with their newlines. The caller fills in
// whose they are. It keeps nothing of the text. Any goroutine may call it.
func parcelCut(text []byte) (all []parcelLines) {
	room := make([]byte, 0, len(text)+2*bytes.Count(text, []byte{'\n'})+2)
	put := func(from, count int, isBytes bool) {
		all = append(all, parcelLines{Count: count, Text: room[from:len(room):len(room)], Bytes: isBytes})
	}
	for len(text) > 0 {
		from, count := len(room), 0
		room, count, text = linesAppend(room, text)
		if count > 0 {
			put(from, count, false)
		}
		if len(text) > 0 { // a line that is no text
			var line []byte
			line, text, _ = bytes.Cut(text, []byte{'\n'})
			from = len(room)
			room = append(base64.StdEncoding.AppendEncode(append(room, '"'), line), '"')
			put(from, 1, true)
		}
	}
	return all
}

// parcelLine makes what goes into a parcel of one line. It may have a newline in it.
func parcelLine(line *LogLine) parcelLines {
	x := parcelLines{Time: line.Time, N: line.N, Count: 1, Task: line.Task, Attempt: line.Attempt, Stream: line.Stream}
	if line.Bytes != nil {
		x.Bytes, x.Text = true, protoEncode(line.Bytes)
	} else {
		x.Text = parcelText(nil, line.Text)
	}
	return x
}

// parcelText appends a text as a JSON string.
func parcelText(b []byte, text string) []byte {
	from := len(b)
	b, used := linesString(append(b, '"'), []byte(text))
	if used < len(text) || strings.HasSuffix(text, "\n") {
		return append(b[:from], protoEncode(text)...)
	}
	return append(b, '"')
}

// parcelPack makes one message of output and events of a run, of which one may be empty. It gives how many items they
// are.
func parcelPack(run string, lease int, output []parcelLines, events []*Event) (msg []byte, items int) {
	size, base := 0, Stamp{}
	for i := range output {
		size += len(output[i].Text) + 64
	}
	if len(output) > 0 {
		base, items = output[0].Time, 1
	} else {
		base = events[0].Time
	}
	b := append(make([]byte, 0, size+200*len(events)+200), '{')
	if lease != 0 {
		b = append(strconv.AppendInt(append(b, `"lease":`...), int64(lease), 10), ',')
	}
	b = append(parcelText(append(b, `"run":`...), run), ',')
	if stamp, err := base.MarshalJSON(); err == nil && !base.IsZero() {
		b = append(append(append(b, `"t":`...), stamp...), ',')
	}
	if len(output) > 0 {
		b = append(parcelOutputs(append(b, `"output":[`...), base, output), "],"...)
	}
	if len(events) > 0 {
		b = append(parcelEvents(append(b, `"events":[`...), base, events), "],"...)
	}
	b[len(b)-1] = '}'
	return b, items + len(events)
}

// parcelOutputs appends the output of a parcel: each parcelOutput as JSON has it, with commas between them.
func parcelOutputs(b []byte, base Stamp, output []parcelLines) []byte {
	for i := range output {
		x := &output[i]
		follows := false
		if i > 0 {
			last := &output[i-1]
			follows = x.N == last.N+int64(last.Count)
			alike := x.Time == last.Time && x.Task == last.Task && x.Attempt == last.Attempt && x.Stream == last.Stream
			if follows && alike && !x.Bytes && !last.Bytes {
				b = append(append(append(b[:len(b)-len("]}")], ','), x.Text...), "]}"...)
				continue
			}
			b = append(b, ',')
		}
		b = append(b, '{')
		if ms := x.Time.Sub(base.Time).Milliseconds(); ms != 0 {
			b = append(strconv.AppendInt(append(b, `"ms":`...), ms, 10), ',')
		}
		if !follows && x.N != 0 {
			b = append(strconv.AppendInt(append(b, `"i":`...), x.N, 10), ',')
		}
		if x.Task != "" {
			b = append(parcelText(append(b, `"k":`...), x.Task), ',')
		}
		if x.Attempt != 0 && (x.Task == "" || x.Attempt != 1) {
			b = append(strconv.AppendInt(append(b, `"n":`...), int64(x.Attempt), 10), ',')
		}
		if x.Stream != "o" {
			b = append(parcelText(append(b, `"s":`...), x.Stream), ',')
		}
		if x.Bytes {
			b = append(b, `"b":[`...)
		} else {
			b = append(b, `"m":[`...)
		}
		b = append(append(b, x.Text...), "]}"...)
	}
	return b
}

// parcelEvents appends the events of a parcel: each parcelEvent as JSON has it, with commas between them.
func parcelEvents(b []byte, base Stamp, events []*Event) []byte {
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		x := parcelEvent{MS: e.Time.Sub(base.Time).Milliseconds(), Kind: e.Kind, Task: e.Task, Attempt: e.Attempt,
			State: e.State, Reason: e.Reason, Exit: e.Exit, Seconds: e.Seconds, Outputs: e.Outputs, Used: e.Used,
			Limited: e.Limited, Allowed: e.Allowed, Params: e.Params, Asks: e.Asks, Items: e.Items}
		good := e.State == taskSucceeded && e.Exit != nil && *e.Exit == 0
		switch {
		case e.Kind == evTaskStarted && e.Attempt == 1:
			x.Attempt = 0
		case e.Kind == evTaskFinished && e.Attempt == 1 && good:
			x.State, x.Attempt, x.Exit = "", 0, nil
		case e.Kind == evRunFinished && e.State == runSucceeded:
			x.State = ""
		}
		b = x.append(b)
	}
	return b
}

// append appends the event as JSON.
func (x *parcelEvent) append(b []byte) []byte {
	if len(x.Outputs)+len(x.Items) > 0 || x.Asks != "" {
		return append(b, protoEncode(x)...)
	}
	b = append(b, '{')
	if x.MS != 0 {
		b = append(strconv.AppendInt(append(b, `"ms":`...), x.MS, 10), ',')
	}
	b = parcelText(append(b, `"e":`...), x.Kind)
	if x.Task != "" {
		b = parcelText(append(b, `,"task":`...), x.Task)
	}
	if x.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"attempt":`...), int64(x.Attempt), 10)
	}
	if x.State != "" {
		b = parcelText(append(b, `,"state":`...), x.State)
	}
	if x.Reason != "" {
		b = parcelText(append(b, `,"reason":`...), x.Reason)
	}
	if x.Exit != nil {
		b = strconv.AppendInt(append(b, `,"exit":`...), int64(*x.Exit), 10)
	}
	if x.Seconds != 0 {
		b = strconv.AppendFloat(append(b, `,"seconds":`...), x.Seconds, 'f', -1, 64)
	}
	used := eventText{b: b}
	used.used(x.Used, TaskUse{})
	used.text("limited", x.Limited, "")
	used.flag("allowed", x.Allowed, false)
	return append(used.b, '}')
}

// parcelItems gives the items of a parcel, in the order of their numbers.
func parcelItems(msg []byte) ([]agentItem, error) {
	p := parcel{}
	if err := json.Unmarshal(msg, &p); err != nil {
		return nil, fmt.Errorf("read parcel: %w", err)
	}
	return p.items(), nil
}

// unpack makes the report of a message "parcel" that it stands for.
func (m *agentMsg) unpack() {
	if m.Op != msgParcel {
		return
	}
	m.Op = msgReport
	if m.Parcel != nil {
		m.Items, m.Parcel = m.Parcel.items(), nil
	}
}

// items gives the items of a parcel, in the order of their numbers.
func (p *parcel) items() (items []agentItem) {
	if lines := p.lines(); len(lines) > 0 {
		items = append(items, agentItem{Lines: lines, Lease: p.Lease})
	}
	return append(items, p.events()...)
}

// events gives the items that are events.
func (p *parcel) events() (items []agentItem) {
	for i := range p.Events {
		packed := &p.Events[i]
		e := &Event{Time: p.at(packed.MS), Kind: packed.Kind, Run: p.Run, Task: packed.Task, Attempt: packed.Attempt,
			State:  packed.State,
			Reason: packed.Reason, Exit: packed.Exit, Seconds: packed.Seconds, Outputs: packed.Outputs,
			Used: packed.Used, Limited: packed.Limited, Items: packed.Items, Allowed: packed.Allowed,
			Params: packed.Params, Asks: packed.Asks,
			Lease: p.Lease}
		switch {
		case e.Kind == evTaskStarted && e.Attempt == 0:
			e.Attempt = 1
		case e.Kind == evTaskFinished && e.State == "":
			e.State, e.Attempt, e.Exit = taskSucceeded, 1, new(int)
		case e.Kind == evRunFinished && e.State == "":
			e.State = runSucceeded
		}
		items = append(items, agentItem{Event: e})
	}
	return items
}

// count gives how many lines of output are in a parcel. There need not be one.
func (p *parcel) count() (n int) {
	if p == nil {
		return 0
	}
	for i := range p.Output {
		n += len(p.Output[i].Text) + len(p.Output[i].Bytes)
	}
	return n
}

// lines gives the output in a parcel, line by line.
func (p *parcel) lines() (lines []LogLine) {
	n := int64(0)
	for i := range p.Output {
		packed := &p.Output[i]
		if packed.N != 0 {
			n = packed.N - 1
		}
		line := LogLine{Time: p.at(packed.MS), Run: p.Run, Task: packed.Task, Attempt: packed.Attempt,
			Stream: orDefault(packed.Stream, "o")}
		if line.Task != "" && line.Attempt == 0 {
			line.Attempt = 1
		}
		for _, raw := range packed.Bytes {
			n++
			line.N, line.Bytes = n, raw
			lines = append(lines, line)
		}
		for _, text := range packed.Text {
			n++
			line.N, line.Text = n, text
			lines = append(lines, line)
		}
	}
	return lines
}

// at gives the time that is so many milliseconds after the parcel's. One that nobody could read again once it is
// written, far beyond all years that a Stamp can have, is the parcel's.
func (p *parcel) at(ms int64) Stamp {
	at := time.UnixMilli(p.Time.UnixMilli() + ms) // where that wraps, the year is far beyond too
	if !stampable(at) {
		return p.Time
	}
	return stampOf(at)
}
