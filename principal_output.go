// principal_output.go: the output of runs on its way from their agents into the log. What the disk does not take is
// dropped and counted, and a line of the log says so as soon as there is room for it.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outputComplainAgain is the time between two lines of the principal's log about output that cannot be stored.
const outputComplainAgain = time.Minute

// outputLinesMax is the highest number of a line of a run's output. Lines with higher ones are dropped: only an agent
// that is broken has them.
const outputLinesMax = 1 << 53

// output stores what runs write. It belongs to the principal's loop.
type output struct {
	*principalLoop
	followers *followers
	retention *retention
	parts     *parts                  // the fleet's
	lines     map[string]int64        // active run -> highest line of output stored
	mixed     map[string]*outputMixed // active runs of which other agents do tasks
	dropped   map[string]droppedLines // active run -> output that was dropped, and is not told of in the log yet
	// when it was last logged that output is dropped
	complained time.Time
	lost       int64 // lines that were dropped since the principal started
	// workflow -> its output that was dropped since the principal started
	troubles map[string]outputTrouble
}

// outputNew makes an output that knows of no run.
func outputNew(loop *principalLoop, followers *followers, retention *retention) *output {
	return &output{principalLoop: loop, followers: followers, retention: retention, lines: map[string]int64{},
		mixed: map[string]*outputMixed{}, dropped: map[string]droppedLines{}, troubles: map[string]outputTrouble{}}
}

// observe lets go of the output of a run that has ended.
func (o *output) observe(c change) {
	if c.ended() {
		o.tellDropped(c.run)
		delete(o.lines, c.run.ID)
		delete(o.mixed, c.run.ID)
	}
}

// outputMaxTroubles is the number of workflows of which dropped output is remembered; of others only their logs tell.
const outputMaxTroubles = 1000

// outputTrouble is output that the principal's disk did not take, or that an agent could not keep. It is of the newest
// run of a workflow that has any.
type outputTrouble struct {
	run string
	droppedLines
	agent, said string // what the agent said of it
	last        time.Time
}

// noteTrouble remembers that output of a run was dropped; note adds what is known of it. Only on the loop.
func (o *output) noteTrouble(r *Run, note func(*outputTrouble)) {
	d, known := o.troubles[r.Workflow]
	if !known && len(o.troubles) >= outputMaxTroubles {
		return
	}
	if d.run != r.ID {
		d = outputTrouble{run: r.ID}
		o.stirred = true
	}
	d.last = o.cfg.now()
	note(&d)
	o.troubles[r.Workflow] = d
}

// say adds what an agent says of its dropped output to what it has said of the same run.
func (d *outputTrouble) say(agent, said string) {
	d.agent, d.said = agent, protoReason(strings.TrimPrefix(d.said+"; "+said, "; "))
}

// reason says what was dropped and why.
func (d *outputTrouble) reason() string {
	var parts []string
	if d.lines > 0 {
		parts = append(parts, fmt.Sprintf("%d lines of output could not be stored: %v", d.lines, d.cause))
	}
	if d.said != "" {
		parts = append(parts, "agent "+d.agent+": "+d.said)
	}
	return strings.Join(parts, "; ")
}

// droppedLines is output of an active run that the disk did not take, and why it did not take the first of it.
type droppedLines struct {
	lines int
	cause error
}

// readLines looks up how many lines of a run's output are stored, when the loop does not know it any more. If the disk
// does not answer, the number that was found by then is taken: some lines may be stored twice then, but none is
// missing.
func (o *output) readLines(r *Run) {
	if err := o.countLines(r); err != nil {
		o.cfg.Log.Error("count stored output", "run", r.ID, "cause", err)
	}
}

// countLines is readLines; it gives the error.
func (o *output) countLines(r *Run) error {
	spec := o.state.Versions[r.Version]
	if spec == nil || !spec.hasParts() {
		n, err := o.logs.lastNumber(r.Workflow, r.ID, logPlaceOf(r))
		o.lines[r.ID] = n
		return err
	}
	m, stored := &outputMixed{of: map[string]int64{}}, int64(0)
	n, err := o.logs.lastNumbers(r.Workflow, r.ID, logPlaceOf(r), func(record []byte, lines int64) {
		if bytes.Contains(record, []byte(`"s":"c"`)) && bytes.Contains(record, []byte(outputLost)) {
			return // it has the number of a line that was dropped
		}
		stored += lines
		task := logTask(record)
		if t := r.task(task); t != nil && spec.isPart(orDefault(t.Of, t.Task)) {
			m.of[task] += lines
			m.parts += lines
		}
	})
	// Nobody knows whose lines were dropped. If they are taken for the run's own, its next ones seem to be old.
	m.parts += n - stored
	o.lines[r.ID], o.mixed[r.ID] = n, m
	return err
}

// outputLost is in the line of the log that says how much was dropped.
const outputLost = " lines of output were lost here: "

// outputMixed is how many of the stored lines of a run are of tasks that other agents do: all, and by task. The agents
// number their lines from 1 each, and the run's as if there were no others; lines of the run are numbered as they are
// stored.
type outputMixed struct {
	parts int64
	of    map[string]int64
}

// linesOf gives the number of the newest line of a run as its agent has it.
func (o *output) linesOf(r *Run) int64 {
	if m := o.mixed[r.ID]; m != nil {
		return o.lines[r.ID] - m.parts
	}
	return o.lines[r.ID]
}

// linesOfTask gives the number of the newest line of a task that another agent does, as that has it.
func (o *output) linesOfTask(r *Run, task string) int64 {
	if m := o.mixed[r.ID]; m != nil {
		return m.of[task]
	}
	return 0
}

// mix gives lines of a run in which other agents do tasks the numbers that they have in the log, and those of a part
// the names of its run and task. It gives that run, nil when the lines are of no part. What came before is left out,
// and all that comes behind the end of the run.
func (o *output) mix(link *agentLink, item *agentItem) *Run {
	run := ""
	if len(item.blocks) > 0 {
		run = item.blocks[0].Run
	} else if len(item.Lines) > 0 {
		run = item.Lines[0].Run
	}
	if u := o.parts.at(link, run); u != nil {
		o.mixPart(u, item)
		return u.run
	}
	if m := o.mixed[run]; m != nil {
		for i := range item.blocks {
			item.blocks[i].N += m.parts
		}
		for i := range item.Lines {
			item.Lines[i].N += m.parts
		}
	}
	return nil
}

// mixPart is mix for lines of a part.
func (o *output) mixPart(u *partUse, item *agentItem) {
	r, lines := u.run, item.Lines
	for i := range item.blocks {
		lines = item.blocks[i].lines(lines)
	}
	item.blocks, item.Lines = nil, nil
	if !runActive(r.State) {
		return
	}
	if o.lines[r.ID] == 0 && r.LogDay != "" { // it is queued, and the principal was started again
		o.readLines(r)
	}
	m := o.mixed[r.ID]
	if m == nil {
		m = &outputMixed{of: map[string]int64{}}
		o.mixed[r.ID] = m
	}
	next := o.lines[r.ID]
	for _, line := range lines {
		if line.Run != u.id || line.N <= m.of[u.task] || line.N > outputLinesMax {
			continue
		}
		m.of[u.task] = line.N
		m.parts++
		next++
		line.Run, line.Task, line.N = r.ID, u.task, next
		item.Lines = append(item.Lines, line)
	}
}

// takeLines stores output that is not stored yet. Output of an earlier lease is void: its numbers may be those of other
// lines now.
func (o *output) takeLines(link *agentLink, item *agentItem) {
	var part *Run // the run, where the lines are of a part of it
	if len(o.parts.of)+len(o.mixed) > 0 {
		part = o.mix(link, item)
	}
	if o.takeBlocks(link, item) {
		return
	}
	for lines := item.Lines; len(lines) > 0; {
		r := o.state.Runs[lines[0].Run]
		n := 1
		for n < len(lines) && lines[n].Run == lines[0].Run {
			n++
		}
		batch := lines[:n]
		lines = lines[n:]
		if r == nil || r != part && !link.has(r, item.Lease) {
			continue
		}
		last := o.lines[r.ID]
		batch = slices.DeleteFunc(batch, func(line LogLine) bool {
			if line.N <= last || line.N > outputLinesMax {
				return true
			}
			last = line.N
			return false
		})
		if len(batch) == 0 {
			continue
		}
		for i := range batch {
			protoLine(&batch[i])
			if said := protoDropped(&batch[i]); said != "" {
				o.noteTrouble(r, func(d *outputTrouble) { d.say(link.name, said) })
			}
		}
		o.lines[r.ID] = last
		o.followers.publishLines(r.Workflow, batch)
		o.storeLines(r, batch)
		for i := range batch {
			o.followers.endLive(r.ID, batch[i].Stream, batch[i].Task)
		}
		o.followers.touched[r.ID] = true
	}
}

// takeBlocks is takeLines for output that can go into the log as it is. Where anything else is to be done with it, as
// for a repeat, for somebody who subscribes to it, or when the disk does not take it, it makes lines of it for
// takeLines, and gives false.
func (o *output) takeBlocks(link *agentLink, item *agentItem) bool {
	blocks := item.blocks
	if len(blocks) == 0 {
		return false
	}
	r := o.state.Runs[blocks[0].Run]
	if !link.has(r, item.Lease) {
		return true
	}
	plain := len(o.followers.subscribers) == 0 && o.dropped[r.ID].lines == 0
	end := o.lines[r.ID]
	for i := range blocks {
		plain = plain && blocks[i].N > end && blocks[i].N <= outputLinesMax
		end = blocks[i].N + int64(blocks[i].Lines) - 1
	}
	if !plain || o.logs.appendBlocks(r.Workflow, blocks) != nil {
		for i := range blocks {
			item.Lines = blocks[i].lines(item.Lines)
		}
		return false
	}
	o.lines[r.ID] = end
	for i := range blocks {
		o.followers.endLive(r.ID, blocks[i].Stream, blocks[i].Task)
	}
	o.followers.touched[r.ID] = true
	return true
}

// storeLines puts output into the log. What the disk does not take is dropped and counted; a line in its place says so
// as soon as there is room for that.
func (o *output) storeLines(r *Run, batch []LogLine) {
	lost := o.dropped[r.ID]
	if lost.lines > 0 {
		batch = append([]LogLine{o.droppedLine(r, lost, batch[0].N-1)}, batch...)
	}
	err := o.logs.append(r.Workflow, batch)
	switch {
	case err == nil:
		delete(o.dropped, r.ID)
		return
	case lost.lines > 0:
		batch = batch[1:]
	default:
		lost.cause = err
	}
	if now := o.cfg.now(); now.Sub(o.complained) > outputComplainAgain {
		o.complained = now
		o.cfg.Log.Error("store output: it is dropped and counted until it can be", "run", r.ID, "cause", err)
	}
	for _, line := range batch {
		if line.Stream != "c" || o.logs.remark(r.Workflow, line) != nil {
			lost.lines++
			o.lost++
		}
	}
	o.dropped[r.ID] = lost
	o.noteTrouble(r, func(d *outputTrouble) { d.droppedLines = lost })
	if errors.Is(err, syscall.ENOSPC) {
		o.retention.kick(true)
	}
}

// droppedLine makes the line that says how much was dropped. It has the number of one of the dropped lines.
func (o *output) droppedLine(r *Run, lost droppedLines, n int64) LogLine {
	return LogLine{Time: stampOf(o.cfg.now()), Run: r.ID, N: n, Stream: "c",
		Text: fmt.Sprintf("[cdktr: %d%s%v]", lost.lines, outputLost, lost.cause)}
}

// tellDropped stores, when a run ends, the line about its dropped output that is not stored yet.
func (o *output) tellDropped(r *Run) {
	lost := o.dropped[r.ID]
	if lost.lines == 0 {
		return
	}
	delete(o.dropped, r.ID)
	if err := o.logs.remark(r.Workflow, o.droppedLine(r, lost, o.lines[r.ID])); err != nil {
		o.cfg.Log.Error("output is lost, and the run's log does not say so", "run", r.ID, "lines", lost.lines, "cause",
			err)
	}
}
