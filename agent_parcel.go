// agent_parcel.go: what one turn of the agent's loop has of one run, as one message of the spool: the output, and
// behind it what happened. Run, lease and time are written once. Each part has its milliseconds from there, and leaves
// out what is usual. On the way to the principal each part is an agentItem of its own again.

package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// parcel is a message of the spool.
type parcel struct {
	Lease  int            `json:"lease,omitempty"` // of the run
	Run    string         `json:"run,omitempty"`
	Time   Stamp          `json:"t,omitzero"`
	Output []parcelOutput `json:"output,omitempty"`
	Events []parcelEvent  `json:"events,omitempty"`
}

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
}

// parcelPack makes one message of output and events of a run, of which one may be empty. It gives how many items they
// are.
func parcelPack(run string, lease int, output []LogLine, events []*Event) (msg []byte, items int) {
	p := parcel{Lease: lease, Run: run}
	if len(output) > 0 {
		p.Time, items = output[0].Time, 1
	} else {
		p.Time = events[0].Time
	}
	for i := range output {
		p.addLine(output, i)
	}
	for _, e := range events {
		packed := parcelEvent{MS: e.Time.Sub(p.Time.Time).Milliseconds(), Kind: e.Kind, Task: e.Task,
			Attempt: e.Attempt, State: e.State,
			Reason: e.Reason, Exit: e.Exit, Seconds: e.Seconds, Outputs: e.Outputs}
		good := e.State == taskSucceeded && e.Exit != nil && *e.Exit == 0
		switch {
		case e.Kind == evTaskStarted && e.Attempt == 1:
			packed.Attempt = 0
		case e.Kind == evTaskFinished && e.Attempt == 1 && good:
			packed.State, packed.Attempt, packed.Exit = "", 0, nil
		case e.Kind == evRunFinished && e.State == runSucceeded:
			packed.State = ""
		}
		p.Events = append(p.Events, packed)
	}
	return protoEncode(&p), items + len(events)
}

// addLine puts line i of the output behind those before it.
func (p *parcel) addLine(output []LogLine, i int) {
	line := &output[i]
	packed := parcelOutput{MS: line.Time.Sub(p.Time.Time).Milliseconds(), Task: line.Task, Attempt: line.Attempt,
		Stream: line.Stream}
	if packed.Task != "" && packed.Attempt == 1 {
		packed.Attempt = 0
	}
	if packed.Stream == "o" {
		packed.Stream = ""
	}
	follows := i > 0 && line.N == output[i-1].N+1
	if !follows {
		packed.N = line.N
	}
	if line.Bytes != nil {
		packed.Bytes = [][]byte{line.Bytes}
		p.Output = append(p.Output, packed)
		return
	}
	if follows {
		last := &p.Output[len(p.Output)-1]
		alike := last.MS == packed.MS && last.Task == packed.Task && last.Attempt == packed.Attempt &&
			last.Stream == packed.Stream
		if alike && last.Bytes == nil {
			last.Text = append(last.Text, line.Text)
			return
		}
	}
	packed.Text = []string{line.Text}
	p.Output = append(p.Output, packed)
}

// parcelItems gives the items of a message of the spool, in the order of their numbers.
func parcelItems(msg []byte) ([]agentItem, error) {
	p := parcel{}
	if err := json.Unmarshal(msg, &p); err != nil {
		return nil, fmt.Errorf("read parcel: %w", err)
	}
	var items []agentItem
	if lines := p.lines(); len(lines) > 0 {
		items = append(items, agentItem{Lines: lines, Lease: p.Lease})
	}
	for i := range p.Events {
		packed := &p.Events[i]
		e := &Event{Time: p.at(packed.MS), Kind: packed.Kind, Run: p.Run, Task: packed.Task, Attempt: packed.Attempt,
			State:  packed.State,
			Reason: packed.Reason, Exit: packed.Exit, Seconds: packed.Seconds, Outputs: packed.Outputs, Lease: p.Lease}
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
	return items, nil
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

// at gives the time that is so many milliseconds after the parcel's.
func (p *parcel) at(ms int64) Stamp {
	return stampOf(p.Time.Add(time.Duration(ms) * time.Millisecond))
}
