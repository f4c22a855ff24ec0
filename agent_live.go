// agent_live.go: lines that a task has begun and not ended, told to the principal while somebody follows the run. While
// nobody does they cost nothing but a look at a flag. What is told is not spooled: the line is, when it ends.

package main

import (
	"strings"
	"sync/atomic"
	"time"
)

// runnerLiveAfter is how long after something was read it is told that it is a line without an end, and how often at most.
const runnerLiveAfter = 300 * time.Millisecond

// runnerLiveMax bounds the runs that an agent knows to be followed. Of more than these nothing is told before it is stored.
const runnerLiveMax = 1000

// runnerLive is whether, and of what, a run is told.
type runnerLive struct {
	on   atomic.Bool       // somebody follows it
	due  atomic.Bool       // it is to be told soon
	told map[string]string // by tag and stream, what was; the loop's
}

// unendedOf makes what is called when a process has written a line without an end. Any goroutine may call that.
func (a *agent) unendedOf(r *agentRun) func() {
	return func() {
		if r.live.on.Load() && r.live.due.CompareAndSwap(false, true) {
			time.AfterFunc(runnerLiveAfter, func() { a.call(func() { a.tellLive(r) }) })
		}
	}
}

// follow begins to tell, or ends it, because the principal says so; perhaps before it gives the run to this agent.
func (a *agent) follow(m *agentMsg) {
	switch {
	case m.Drop:
		delete(a.followed, m.Run)
	case len(a.followed) < runnerLiveMax:
		a.followed[m.Run] = true
	}
	if r := a.runs[m.Run]; r != nil {
		a.beginLive(r)
	}
}

// beginLive tells what a run has begun to write, if somebody follows it.
func (a *agent) beginLive(r *agentRun) {
	r.live.told = map[string]string{}
	r.live.on.Store(a.followed[r.as.Run])
	a.tellLive(r)
}

// followNone ends it for all runs: the connection is over.
func (a *agent) followNone() {
	clear(a.followed)
	for _, r := range a.runs {
		r.live.on.Store(false)
	}
}

// tellLive tells the lines without an end that were not told yet.
func (a *agent) tellLive(r *agentRun) {
	r.live.due.Store(false)
	if !r.live.on.Load() || a.runs[r.as.Run] != r || a.conn == nil || !a.welcomed {
		return
	}
	a.moment = time.Time{}
	var lines []LogLine
	for _, i := range r.dagOrder() {
		t := r.tries[i]
		if t == nil || t.proc == nil {
			continue
		}
		for _, stream := range []string{"o", "e"} {
			text, key := strings.ToValidUTF8(t.proc.unended(stream == "e"), "\uFFFD"), stream+t.task().ID
			if text != "" && r.live.told[key] != text {
				r.live.told[key] = text
				lines = append(lines, LogLine{Time: stampOf(a.now()), Run: r.as.Run, Task: t.task().ID, Attempt: t.attempt, Stream: stream, Text: text})
			}
		}
	}
	if len(lines) > 0 {
		a.send(&agentMsg{Op: msgLive, Items: []agentItem{{Lines: lines, Lease: r.as.Lease}}})
	}
}

// ended notes that a line has ended: what is told next of its stream is another.
func (l *runnerLive) ended(line *LogLine) {
	if l.on.Load() {
		delete(l.told, line.Stream+line.Task)
	}
}
