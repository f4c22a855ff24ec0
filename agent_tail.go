// agent_tail.go: what a run writes beyond log.max_size. The first quarter of that size goes the usual way, line by
// line. What comes behind it goes to the run's tail (agent_spool_tail.go), of which the last three quarters are wanted;
// they are spooled when the run ends, before the event of its last task, behind a line that counts what lies between.

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
	// agentTailMax is the most of a run's end that is kept, in bytes. It goes into the spool at one time. Of a
	// log.max_size for which this is less than three quarters, the beginning has the rest.
	agentTailMax = 16 << 20
	// agentTailRoom is how many times its text the end of a run may take in the spool. It leaves the rest of the spool
	// to others.
	agentTailRoom = 4
)

// bound sets what of its output a run may have stored.
func (a *agent) bound(r *agentRun) {
	size := r.as.Spec.logMaxSize()
	tail := min(size-size/4, agentTailMax)
	r.budget = newProcBudget(size - tail)
	r.tail = spoolTailNew(a.tailDir(), spoolTailMeta{Run: r.as.Run, Lease: r.as.Lease, Size: size})
}

func (a *agent) tailDir() string { return filepath.Join(a.cfg.StateDir, "tail") }

// agentTag names the stream of an attempt in a tail.
func agentTag(task string, attempt int) string { return strconv.Itoa(attempt) + " " + task }

// restOf makes what takes the output of an attempt that goes beyond the bound of its run. Any goroutine may call that.
func (r *agentRun) restOf(t *taskTry) func(procRest) {
	tag := agentTag(t.task().ID, t.attempt)
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
	r.tail.after(r.as.Lines+lines, bytes)
	r.tail.add(tag, flags, at, text)
}

// tailFirst spools the end of a run's output, where that was kept back, and has the loop call then behind it. False
// when there is none: then is not called. Where it is at that already then is not called either, for what the run goes
// on with is known.
func (a *agent) tailFirst(r *agentRun, then func()) bool {
	switch {
	case r.telling:
		return true
	case r.tail == nil || !r.tail.begun():
		return false
	case r.dropIt:
		r.tail.remove()
		r.tail = nil
		return false
	}
	if r.telling, r.ended = true, a.now(); r.timer != nil {
		r.timer.Stop() // its tasks are over, in time
	}
	tail := r.tail
	limit := max((a.spool.maxBytes-a.spool.bytes())/agentTailRoom, 1)
	a.workers.Go(func() {
		err := a.runTail(r, tail, limit)
		a.call(func() {
			if r.tail = nil; err != nil {
				a.remark(r, nil, fmt.Sprintf(protoRemarkLost+"%v", err))
			}
			a.spoolTurn() // then the files may go
			tail.remove()
			r.telling = false
			then()
		})
	})
	return true
}

// runTail hands the end of a run's output to the loop, in parcels, each when the one before was taken: so it takes
// little memory. It ends with the tail, or with the loop; then the files are left to the agent's next life.
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
	return agentTailLines(x, func(lines []LogLine) error {
		taken := make(chan struct{})
		if !a.call(func() {
			for _, line := range lines {
				if a.runs[r.as.Run] == r && !r.dropIt {
					r.lines++
					line.N = r.lines
					r.output = append(r.output, line)
					a.noted(r, len(line.raw())+100)
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

// agentTailLines gives fn the lines of a tail, numbered from where its run's other lines end, some at once; the first
// says what was left out before it.
func agentTailLines(x *spoolTailReader, fn func([]LogLine) error) error {
	var lines []LogLine
	n, bytes := x.meta.N, 0
	put := func(line LogLine, raw []byte) error {
		n++
		line.Run, line.N = x.meta.Run, n
		line.set(raw)
		lines = append(lines, line)
		if bytes += len(raw) + 100; bytes < agentParcel {
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

// recallTails spools the ends of the output of runs that an earlier life was at when it was killed.
func (a *agent) recallTails() {
	for _, path := range spoolTailsLeft(a.tailDir()) {
		x, err := spoolTailOf(path, 0, nil)
		if err == nil {
			err = agentTailLines(x, func(lines []LogLine) error {
				msg, items := parcelPack(x.meta.Run, x.meta.Lease, lines, nil)
				_, err := a.spool.add(msg, items, false)
				return err
			})
			x.close()
		}
		switch {
		case err != nil:
			a.cfg.Log.Warn("the end of the output of a run that an earlier life was at is lost", "cause", err)
		case x.fault != nil:
			a.cfg.Log.Warn("a part of the end of the output of a run that an earlier life was at is lost", "run",
				x.meta.Run, "cause", x.fault)
		}
		spoolTailRemove(path)
	}
}
