// agent_output.go: the way of what happens in runs from an agent's loop to the principal. What tasks write, and events,
// are gathered for a turn of the loop, go into the spool as one parcel for each run, and from there to the principal as
// they are. A task that writes faster than the principal takes it in is held up; it is read on when there is none.

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// outputOf makes the function that takes the output of an attempt as it is read. It makes JSON of it before it gives it
// to the loop, so that tasks that write much do that beside each other. It waits while the loop has enough of this
// attempt.
func (a *agent) outputOf(t *taskTry) func(procLines) {
	share := &loopShare{room: &a.room}
	return func(l procLines) {
		lines, size, stream, name := parcelCut(l.Text), 0, "o", t.name()
		if l.Err {
			stream = "e"
		}
		for i := range lines {
			x := &lines[i]
			x.Time, x.Task, x.Attempt, x.Stream = stampOf(l.Time), name, t.attempt, stream
			size += len(x.Text)
		}
		share.take(size)
		if t.run.kept != nil {
			t.run.kept.add(t.task().ID, l.Text)
		}
		a.call(func() {
			share.work(size)
			a.takeLines(t.run, lines)
		})
	}
}

// takeLines adds output to that of its run.
func (a *agent) takeLines(r *agentRun, lines []parcelLines) {
	if a.runs[r.as.Run] != r || r.dropIt {
		return
	}
	for i := range lines {
		x := &lines[i]
		x.N = r.lines + 1
		r.lines += int64(x.Count)
		r.live.ended(x.Stream, x.Task)
		r.output = append(r.output, *x)
		a.noted(r, len(x.Text)+agentLineRest)
	}
}

// makeRoom gives room for more output to the tasks, unless the principal is behind with what it has: a task that writes
// faster than the principal stores is held up, and not dropped. One that writes little is not. When there is no
// principal, or it has acknowledged nothing for agentLagMost, all goes on as long as the spool has room.
func (a *agent) makeRoom() {
	lags := a.conn != nil && a.welcomed && !a.impatient && a.spool.bytes() > agentLag
	switch {
	case len(a.room.owing) == 0:
	case !lags:
		a.room.give()
	case a.patience == nil:
		a.patience = time.AfterFunc(agentLagMost, func() { a.call(func() { a.impatient = true }) })
	}
}

// patient has the tasks wait anew for a principal that is behind: it has acknowledged something, or is another one.
func (a *agent) patient() {
	if a.patience != nil {
		a.patience.Stop()
	}
	a.patience, a.impatient = nil, false
}

// noted has something new of a run spooled, of size bytes: at the end of the turn, or now when it has become much.
func (a *agent) noted(r *agentRun, size int) {
	if r.size == 0 {
		a.turn = append(a.turn, r)
	}
	r.size += size
	if r.size >= agentParcel {
		a.spoolRun(r)
	}
}

// spoolTurn spools all that is new of runs.
func (a *agent) spoolTurn() {
	turn := a.turn
	a.turn = nil
	for _, r := range turn {
		a.spoolRun(r)
		if !slices.Contains(a.unsent, r) {
			a.unsent = append(a.unsent, r)
		}
	}
}

// spoolRun spools what is new of a run: its output, and after it what happened. Events and remarks must go in. Output
// of tasks that a full spool does not take is dropped and counted, and the end of the run says how much.
func (a *agent) spoolRun(r *agentRun) {
	output, events := r.output, r.events
	r.output, r.events, r.size, r.spooled = nil, nil, 0, a.now()
	if r.dropIt {
		return // nobody wants to hear of it
	}
	ends := len(events) > 0 && events[len(events)-1].Kind == evRunFinished
	last, dropped := uint64(0), false
	for len(output)+len(events) > 0 {
		said := output
		if ends && r.dropped > 0 {
			text := fmt.Sprintf("%d "+protoRemarkDropped+"%v", r.dropped, r.dropWhy)
			said = append(slices.Clip(output), a.remarkLine(r, r.lines+1, text))
		}
		isTask := func(x parcelLines) bool { return x.Stream != "c" }
		must := dropped || !slices.ContainsFunc(output, isTask)
		msg, items := parcelPack(r.as.Run, r.as.Lease, said, events)
		n, err := a.spool.add(msg, items, must)
		if err == nil || must {
			last = n
			if err != nil && len(events) > 0 { // even memory is full
				a.cfg.Log.Error("events are dropped: the spool cannot be written", "count", len(events), "first",
					events[0].Kind, "run", r.as.Run, "cause", err)
			}
			break
		}
		if r.dropped == 0 {
			r.dropWhy = err
		}
		for i := range output {
			if isTask(output[i]) {
				r.dropped += int64(output[i].Count)
			}
		}
		output, dropped = slices.DeleteFunc(output, isTask), true
	}
	r.last = max(r.last, last)
	if ends {
		a.ends[r.as.Run] = heldEnd{r.as.Lease, last}
	}
}

// gathers says whether what happened is kept for a moment, because more of the same runs is about to come: they have
// several tasks at work, or have just written something, or begun a task. Sent together it costs a fraction, here and
// at the principal. The end of a run does not wait, nor do tasks that are to begin: their starts are spooled at once
// (startTasks), and sent with the rest.
func (a *agent) gathers() bool {
	quiet := func(r *agentRun) bool { // little more of it is to come
		if a.runs[r.as.Run] != r {
			return true // it has ended, and the principal has its place to fill
		}
		if len(r.events) == 0 && a.now().Sub(r.spooled) < agentGather {
			return false
		}
		return len(r.tries) < 2 || r.stopState != ""
	}
	none := len(a.turn)+len(a.unsent) == 0
	much := a.spool.bytes()-int64(a.inflight) > agentParcel
	if a.gathered || none || much || slices.ContainsFunc(a.turn, quiet) || slices.ContainsFunc(a.unsent, quiet) {
		a.gathering, a.gathered = false, false
		return false
	}
	if !a.gathering {
		a.gathering = true
		time.AfterFunc(agentGather, func() { a.call(func() { a.gathered = true }) })
	}
	return true
}

// flush ends a turn of the loop: what happened goes to the spool, and what the spool has to the principal.
func (a *agent) flush() {
	gathers := a.gathers()
	if !gathers {
		a.spoolTurn()
		clear(a.unsent)
		a.unsent = a.unsent[:0]
	}
	a.moment = time.Time{}
	err := a.spool.trouble()
	if (err != nil) != a.troubled {
		a.troubled = err != nil
		if a.troubled {
			a.cfg.Log.Error("the spool cannot be written: output is dropped, events are kept in memory", "cause", err)
		} else {
			a.cfg.Log.Info("the spool can be written again")
		}
	}
	if !gathers {
		a.sendSpool()
	}
	a.makeRoom()
}

// sendSpool sends the principal what the spool has, as much as may be on its way.
func (a *agent) sendSpool() {
	for a.conn != nil && a.welcomed && a.inflight < agentWindow && len(a.sent) < agentReports {
		first, msgs, err := a.spool.next(1)
		if err != nil {
			a.cfg.Log.Error("read spool", "cause", err)
			return
		}
		if len(msgs) == 0 {
			a.sayAll()
			return
		}
		body, err := a.report(first, msgs[0])
		if err != nil { // the next report says that these numbers are skipped
			a.cfg.Log.Error("some of what was spooled is dropped", "first", first, "cause", err)
			continue
		}
		if !a.conn.TrySend(body) {
			a.conn.Cut(nil)
			return
		}
		a.said = a.spool.sent
		a.sent = append(a.sent, sentReport{a.said, len(body)})
		a.inflight += len(body)
	}
}

// report makes a message of what was spooled from a number on: as it was spooled, unless the principal is too old for a
// parcel, or has a part of it; of such a part the output, which is the first, is no longer there to be said.
func (a *agent) report(first uint64, msg []byte) (body []byte, err error) {
	if first > a.said && slices.Contains(a.theirs, msgParcel) {
		body = parcelMessage(first, first-1-a.said, msg)
	} else {
		items, err := parcelItems(msg)
		if err != nil {
			return nil, err
		}
		if first <= a.said {
			items, first = items[min(a.said+1-first, uint64(len(items))):], a.said+1
		}
		m := &agentMsg{V: protoVersion, Op: msgReport, N: first, Skip: first - 1 - a.said, Items: items}
		body = protoEncode(m)
		for len(body) > wireMaxFrame && len(items) > 0 && len(items[0].Lines) > 1 {
			items[0].Lines = a.halved(items[0].Lines)
			body = protoEncode(m)
		}
	}
	if len(body) > wireMaxFrame {
		return nil, fmt.Errorf("%d bytes do not fit into a message", len(body))
	}
	return body, nil
}

// halved drops the second half of lines, and says so in place of the last that stays. Short lines are many times as
// long one by one as in a parcel; what happened comes with them, and must not be lost with them.
func (a *agent) halved(lines []LogLine) []LogLine {
	keep := len(lines) / 2
	lost := int64(len(lines) - keep + 1)
	if last := lines[len(lines)-1]; last.Stream == "c" { // it has the number of those before
		number, _, _ := strings.Cut(strings.TrimPrefix(last.Text, "[cdktr: "), " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			lost += n - 1
		}
	}
	text := fmt.Sprintf("%d "+protoRemarkDropped+"the principal is too old to take so many short lines", lost)
	lines[keep-1] = LogLine{Time: lines[keep-1].Time, Run: lines[keep-1].Run, N: lines[keep-1].N, Stream: "c",
		Text: agentRemark(text)}
	return lines[:keep]
}

// sayAll tells the principal that all there is was sent, where the last numbers have no message: after a restart, and
// after damage to the spool. The principal would wait for them for ever.
func (a *agent) sayAll() {
	if a.said < a.spool.last {
		a.send(&agentMsg{Op: msgReport, N: a.spool.last + 1, Skip: a.spool.last - a.said})
		a.said = a.spool.last
	}
}
