// proto_bounds.go: how large the parts of a message may be, as JSON. No connection is cut because of the size of
// something that it only passes on: what agents say of themselves and of runs is bounded where it comes in, and a row
// of a list that would not fit into a message goes without what makes it so large.

package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	protoMaxMessage = 4 << 10 // bytes of the message of an error; a longer one is shortened
	// bytes of a reason that an agent gives; the agent shortens a longer one, else the principal does
	protoMaxReason  = 4 << 10
	protoMaxLimited = 512      // bytes of how the limits of an attempt were in force; a longer text is shortened
	protoMaxLabels  = 16 << 10 // bytes of all labels of an agent; an agent with more is not let in
	// attempts of which an agent tells at one time that it could not end their processes; it does not tell of more
	protoMaxLeft = 64
	// bytes of all outputs of a run, as the principal keeps them; an agent has a lower bound: outputsRunMax
	protoMaxOutputs = 384 << 10
	// bytes of a line of output, not as JSON; a longer one is shortened. Agents end a line there
	protoMaxLine  = 64 << 10
	protoMaxLines = 4096      // lines of output in a reply; a client that asks for more gets several replies
	protoMaxRow   = 960 << 10 // bytes of a row of a list: a message has room for one, and for what is around it
)

// protoSize gives how many bytes a value has in a message.
func protoSize(v any) int { return len(protoEncode(v)) }

// protoReason shortens a reason to protoMaxReason.
func protoReason(reason string) string {
	short := reason
	for most := protoMaxReason; protoSize(short) > protoMaxReason; most /= 2 {
		short = textHead(reason, most)
	}
	return short
}

// protoReported gives what an agent may say by an event, and nothing else that is in it. outputs is how many bytes of
// outputs the run has already. Outputs that would be too many are left out, and the reason says so.
func protoReported(e *Event, outputs int) *Event {
	name := func(text string) string { return textHead(text, protoMaxName) }
	kept := &Event{Time: e.Time, Kind: name(e.Kind), Run: name(e.Run), Task: name(e.Task), Attempt: e.Attempt,
		Reason: protoReason(e.Reason), Exit: e.Exit, Seconds: e.Seconds,
		Used: e.Used, Limited: textHead(e.Limited, protoMaxLimited), Lease: e.Lease}
	if e.Exit != nil && *e.Exit < 0 { // no process ends so
		kept.Exit = nil
	}
	if e.Kind == evTaskFinished || e.Kind == evRunEnding || e.Kind == evRunFinished {
		kept.State = e.State
	}
	mayBe := e.State == taskFailed || e.State == taskSkipped
	kept.Allowed = e.Allowed && mayBe && e.Kind == evTaskFinished
	if e.Kind == evTaskAsked {
		if e.State == taskCancelled {
			kept.State, kept.Force = e.State, e.Force
		}
		kept.Asks = name(e.Asks)
		if paramsFault(e.Params) == nil { // an agent that knows the bound asks for no such run
			kept.Params = e.Params
		}
	}
	if e.Kind == evTaskStarted {
		for _, item := range e.Items[:min(len(e.Items), foreachMax)] {
			kept.Items = append(kept.Items, textHead(item, 2*foreachNameMax))
		}
	}
	if n := len(e.Outputs); n > 0 && e.Kind == evTaskFinished {
		if size := outputs + protoSize(e.Outputs); size <= protoMaxOutputs {
			kept.Outputs = e.Outputs
		} else {
			dropped := fmt.Sprintf("its outputs are dropped: the run would have %d bytes of them, and may have %d; ",
				size, protoMaxOutputs)
			kept.Reason = protoReason(strings.TrimSuffix(dropped+e.Reason, "; "))
		}
	}
	return kept
}

// An agent that could not keep some output of a run says so in a line of its own among that output, which begins with
// one of these. The principal looks for them: they need a person. So they are the same in all versions.
const (
	protoRemarkDropped = "lines of output were dropped on the agent: " // their number stands before it
	// what was left out because of log.max_size stands before it
	protoRemarkTail = "the disk did not take all of the end: "
	protoRemarkLost = "the end of the output of this run is lost: "
)

// protoDropped gives what a line says of output that the agent could not keep, "" when it is any other line.
func protoDropped(l *LogLine) string {
	if l.Stream != "c" {
		return ""
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(l.raw()), "[cdktr: "), "]")
	for _, remark := range []string{protoRemarkDropped, protoRemarkTail, protoRemarkLost} {
		if strings.Contains(text, remark) {
			return protoReason(text)
		}
	}
	return ""
}

// protoLine shortens a line of output to protoMaxLine.
func protoLine(l *LogLine) {
	size := len(l.Text)
	if l.Bytes != nil {
		size = len(l.Bytes)
	}
	if size <= protoMaxLine {
		return
	}
	note := fmt.Sprintf(" [cdktr: a line of %d bytes is cut here]", size)
	if l.Bytes != nil {
		l.Bytes = append(slices.Clone(l.Bytes[:protoMaxLine]), note...)
	} else {
		l.Text = strings.ToValidUTF8(l.Text[:protoMaxLine], "") + note
	}
}

// protoRunRow gives a run as it fits into a row. One that is too large goes without parameters and outputs, and if that
// is not enough without its tasks. left says what is left out, "" when nothing is.
func protoRunRow(r *Run) (row *Run, left string) {
	if r == nil || protoSize(r) <= protoMaxRow {
		return r, ""
	}
	row = r.clone()
	row.Params, row.Reason = map[string]string{}, protoReason(r.Reason)
	for i := range row.Tasks {
		t := &row.Tasks[i]
		t.Outputs, t.Earlier, t.Reason = nil, nil, protoReason(t.Reason)
	}
	left = "parameters, outputs and earlier attempts"
	if protoSize(row) > protoMaxRow {
		row, left = row.short(), "parameters and tasks"
	}
	return row, fmt.Sprintf("run %s is too large for a message: its %s are left out here", r.ID, left)
}

// protoWorkflowRow gives a workflow as it fits into a row: one that is too large has its long texts shortened.
func protoWorkflowRow(w WorkflowInfo) WorkflowInfo {
	if protoSize(w) <= protoMaxRow {
		return w
	}
	w.Description, w.Error = protoReason(w.Description), protoReason(w.Error)
	w.Schedule, w.Warnings = slices.Clone(w.Schedule), slices.Clone(w.Warnings)
	for _, list := range [][]string{w.Schedule, w.Warnings} {
		for i := range list {
			list[i] = protoReason(list[i])
		}
	}
	if w.Last != nil && protoSize(w.Last) > protoMaxRow/2 {
		w.Last = w.Last.short()
		w.Last.Params, w.Last.Reason = map[string]string{}, protoReason(w.Last.Reason)
	}
	return w
}

// protoEventRow gives an event as it fits into a row: one that is too large goes without its large parts.
func protoEventRow(e *Event) *Event {
	if protoSize(e) <= protoMaxRow {
		return e
	}
	row := *e
	row.Spec, row.Params, row.Outputs, row.Labels = nil, nil, nil, nil
	const note = "; this event is too large for a message: parts are left out"
	row.Reason = protoReason(strings.TrimPrefix(e.Reason+note, "; "))
	row.Build = protoReason(e.Build)
	return &row
}
