// agent_tail.go: what becomes of a run's output beyond log.max_size. The first quarter of that size goes the usual way,
// line by line. What comes after it goes to the run's tail (agent_spool_tail.go). When the run ends the last three
// quarters are spooled, before the event of its last task, behind a line that counts what was left out between.

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// agentTailMax is how many bytes of a run's end are kept at most: they go into the spool at one time. Where this is
	// less than three quarters of log.max_size, the beginning has the rest.
	agentTailMax = 16 << 20
	// agentTailRoom divides the room that the spool has left: the quotient is how much text of a run's end goes into
	// it. In the spool that text is longer, and others need room too.
	agentTailRoom = 4
)

// bound sets how much of its output a run may have stored.
func (a *agent) bound(r *agentRun) {
	size := r.as.Spec.logMaxSize()
	if part := r.as.Part; part != nil && part.Share > 1 {
		size = min(size, max(size/int64(part.Share), partLogLeast))
	}
	r.counted = r.lines
	tail := min(size-size/4, agentTailMax)
	r.budget = newProcBudget(size - tail)
	r.tail = spoolTailNew(a.tailDir(), spoolTailMeta{Run: r.as.Run, Lease: r.as.Lease, Size: size})
}

// tailDir is the folder of all tails.
func (a *agent) tailDir() string { return filepath.Join(a.cfg.StateDir, "tail") }

// agentTag names the stream of an attempt in a tail.
func agentTag(task string, attempt int) string { return strconv.Itoa(attempt) + " " + task }

// restOf makes the function that takes the output of an attempt beyond the bound of its run. Any goroutine may call it.
func (r *agentRun) restOf(t *taskTry) func(procRest) {
	tag := agentTag(t.name(), t.attempt)
	return func(x procRest) {
		flags := 0
		if x.Err {
			flags |= spoolTailErr
		}
		if x.Begun {
			flags |= spoolTailBegun
		}
		r.keep(tag, flags, x.Time, x.Text)
	}
}

// keep adds to the tail of a run. Any goroutine may call it.
func (r *agentRun) keep(tag string, flags int, at time.Time, text []byte) {
	lines, bytes := r.budget.given()
	r.tail.after(r.counted+lines, bytes)
	r.tail.add(tag, flags, at, text)
}

// tailFirst spools the end of a run's output that was kept back, and calls next on the loop once that is spooled.
// False: nothing was kept back, and next is not called. While an earlier call is still spooling, tailFirst gives true
// and does not call next: the next of that call says what follows.
func (a *agent) tailFirst(r *agentRun, next func()) bool {
	switch {
	case r.spoolingTail:
		return true
	case r.tail == nil || !r.tail.begun():
		return false
	case r.dropIt:
		r.tail.remove()
		r.tail = nil
		return false
	}
	r.spoolingTail, r.endedAt = true, a.now()
	if r.timer != nil {
		r.timer.Stop() // its tasks are over, in time
	}
	tail := r.tail
	limit := max((a.spool.maxBytes-a.spool.bytes())/agentTailRoom, 1)
	a.workers.Go(func() {
		err := a.runTail(r, tail, limit)
		a.call(func() {
			r.tail = nil
			if err != nil {
				a.remark(r, nil, fmt.Sprintf(protoRemarkLost+"%v", err))
			}
			a.spoolTurn() // then the files may go
			tail.remove()
			r.spoolingTail = false
			next()
		})
	})
	return true
}

// runTail hands the end of a run's output to the loop, in parcels, each when the one before was taken, so that it takes
// little memory. It ends with the tail. When the loop ends first the files are left to the agent's next life.
func (a *agent) runTail(r *agentRun, tail *spoolTail, limit int64) error {
	total, fault := tail.total()
	x, err := spoolTailOf(tail.path, min(limit, total.Limit), &total)
	if err != nil {
		return errors.Join(err, fault)
	}
	defer x.close()
	if fault != nil {
		x.fault = fault
	}
	return agentTailLines(x, r.kept, func(lines []parcelLines) error {
		taken := make(chan struct{})
		if !a.call(func() {
			for _, line := range lines {
				if a.runs[r.as.Run] == r && !r.dropIt {
					r.lines++
					line.N = r.lines
					r.output = append(r.output, line)
					a.noted(r, len(line.Text)+agentLineRest)
				}
			}
			close(taken)
		}) {
			return errProcsClosed
		}
		select {
		case <-taken:
			return nil
		case <-a.ended:
			return errProcsClosed
		}
	})
}

// agentTailLines gives fn the lines of a tail, some at a time, numbered from where the run's other lines end. The first
// line says what was left out before it. They go to kept as well, if there is one.
func agentTailLines(x *spoolTailReader, kept *agentKept, fn func([]parcelLines) error) error {
	var lines []parcelLines
	n, bytes := x.meta.N, 0
	put := func(line LogLine, raw []byte) error {
		n++
		line.Run, line.N = x.meta.Run, n
		line.set(raw)
		lines = append(lines, parcelLine(&line))
		if kept != nil {
			kept.add(line.Task, raw)
		}
		bytes += len(raw) + agentLineRest
		if bytes < agentParcel {
			return nil
		}
		full := lines
		lines, bytes = nil, 0
		return fn(full)
	}
	if x.lines > 0 || x.bytes > 0 {
		why := ""
		if x.fault != nil {
			why = fmt.Sprintf(", and "+protoRemarkTail+"%v", x.fault)
		}
		text := fmt.Sprintf("[cdktr: %d lines of output, %d bytes, are left out here: more than log.max_size, %s%s]",
			x.lines, x.bytes, sizeText(x.meta.Size), why)
		if err := put(LogLine{Time: stampOf(x.since), Stream: "c"}, []byte(text)); err != nil {
			return err
		}
	}
	err := x.each(func(l spoolTailLineOf) error {
		attempt, task, _ := strings.Cut(l.tag, " ")
		line := LogLine{Time: stampOf(l.at), Task: task, Stream: l.stream}
		line.Attempt, _ = strconv.Atoi(attempt)
		return put(line, l.text)
	})
	if err == nil && len(lines) > 0 {
		err = fn(lines)
	}
	return err
}

// recallTails spools the end of the output of each run that an earlier life had when it was killed.
func (a *agent) recallTails() {
	for _, path := range spoolTailsLeft(a.tailDir()) {
		x, err := spoolTailOf(path, 0, nil)
		if err == nil {
			err = agentTailLines(x, nil, func(lines []parcelLines) error {
				msg, items := parcelPack(x.meta.Run, x.meta.Lease, lines, nil)
				_, err := a.spool.add(msg, items, false)
				return err
			})
			x.close()
		}
		switch {
		case err != nil:
			a.cfg.Log.Warn("the end of the output of a run that an earlier life had is dropped", "cause", err)
		case x.fault != nil:
			a.cfg.Log.Warn("a part of the end of the output of a run that an earlier life had is dropped", "run",
				x.meta.Run, "cause", x.fault)
		}
		spoolTailRemove(path)
	}
}
