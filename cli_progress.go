// cli_progress.go: shows a run that goes on to the person who started it. On a terminal each task has a line that is
// drawn again and again. Elsewhere each change is a line on standard error, and the output of the tasks goes to
// standard output.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	progressTail = 10                     // how many last lines are shown of a task that failed
	progressTick = 200 * time.Millisecond // how often the time of a running task is drawn

	progressFrameRows = 3 // of the screen hold no task: the count of those left out, the cursor, and one to spare
	progressFrameCols = 3 // of a row hold no text: the glyph, the blank after it, and the last, where lines would wrap
)

// progress shows one run. Its methods may be called from any goroutine.
type progress struct {
	// how it shows the run
	out      io.Writer // for the output of the tasks, where it is not live
	err      *painter
	live     bool // it draws over its lines on a terminal
	height   int  // of the terminal
	output   bool // it shows all output on a terminal too
	taskName bool
	quiet    bool // it says nothing, with --json or --wait

	mu      sync.Mutex // guards the fields below
	run     string
	tasks   []TaskRun
	index   map[string]int       // where each task is in tasks
	last    map[string][]string  // the last lines of each task
	unended map[string]string    // the line that each task has begun; only where it is live
	seen    map[string]time.Time // when each task was first seen running
	drawn   int                  // how many lines on the screen it has drawn
	number  int64                // of the newest line of output that was taken
	ended   bool                 // it has shown how the run ended

	// What one reply prints, which is written at once: where it is not live, output and what is said of the run.
	page, said bytes.Buffer

	quit chan struct{} // closed by end
	done sync.WaitGroup
}

// progressNew begins to show a run.
func progressNew(c *cli) *progress {
	p := &progress{
		out: termRaw(c.out), err: painterOf(c.err, c.flags.color, c.getenv),
		output: c.flags.output, taskName: c.flags.taskName, quiet: c.flags.json || c.flags.wait,
		index: map[string]int{}, last: map[string][]string{}, unended: map[string]string{},
		seen: map[string]time.Time{}, quit: make(chan struct{}),
	}
	_, height, errTerminal := termOf(c.err)
	_, _, outTerminal := termOf(c.out)
	p.height = height
	if errTerminal && outTerminal && c.getenv("TERM") != "dumb" {
		p.live = !p.quiet
	}
	if p.live {
		p.done.Go(p.runClock)
	}
	return p
}

// runClock draws the times of running tasks. It wakes each progressTick, and ends with the run.
func (p *progress) runClock() {
	t := time.NewTicker(progressTick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.mu.Lock()
			p.draw(nil)
			p.mu.Unlock()
		case <-p.quit:
			return
		}
	}
}

// take shows one reply of a run that is followed. Lines of output that it was given before, it passes over.
func (p *progress) take(r *Reply) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Run != "" && p.run == "" {
		p.run = r.Run
		if !p.live && !p.quiet {
			p.say(p.err.paint("", "run "+r.Run))
		}
	}
	var above []string
	broken := r.eachLine(func(l *LogLine) error {
		above = append(above, p.line(l)...)
		return nil
	})
	for i := range r.Tasks {
		p.task(&r.Tasks[i])
	}
	note := p.err.paint("", "cdktr: "+r.Note)
	switch {
	case r.Note == "":
	case p.live:
		above = append(above, note)
	case !p.quiet:
		p.say(note)
	}
	if p.live && (len(above) > 0 || len(r.Tasks) > 0) {
		p.draw(above)
	}
	return errors.Join(broken, p.flush())
}

// say has a line written to standard error by flush.
func (p *progress) say(text string) { p.said.WriteString(text + "\n") }

// flush writes what there is: output, and then what is said. The error is of the output.
func (p *progress) flush() (err error) {
	if p.page.Len() > 0 {
		_, err = p.out.Write(p.page.Bytes())
		p.page.Reset()
	}
	if p.said.Len() > 0 {
		p.err.w.Write(p.said.Bytes()) // if nobody reads it, the run goes on all the same
		p.said.Reset()
	}
	return err
}

// line takes one line of output, and gives it to be shown above the tasks, or puts it into the page as the task wrote
// it. Where the tasks are drawn it keeps the line for the end.
func (p *progress) line(l *LogLine) (above []string) {
	if l.N > 0 && l.N <= p.number {
		return nil
	}
	p.number = max(p.number, l.N)
	switch {
	case p.quiet:
		return nil
	case !p.live:
		if p.taskName {
			p.page.WriteString(l.Task + ": ")
		}
		p.page.Write(l.raw())
		p.page.WriteByte('\n')
		return nil
	}
	safe := textSafe(string(bytes.TrimRight(l.raw(), "\r")))
	if l.N == 0 {
		p.unended[l.Task] = safe
		return nil
	}
	delete(p.unended, l.Task)
	kept := append(p.last[l.Task], safe)
	p.last[l.Task] = kept[max(0, len(kept)-progressTail):]
	if p.output {
		above = []string{p.err.paint(colorDim, textCut(l.Task, 16)+" | ") + safe}
	}
	return above
}

// takeKin shows what a run has written that a task of this one, top, has started, or one of that. name is top with the
// tasks in between; number that of the newest line that was shown, and is changed. Where the tasks are drawn, the lines
// are kept as those of top.
func (p *progress) takeKin(r *Reply, name, top string, number *int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var above []string
	broken := r.eachLine(func(l *LogLine) error {
		if l.N <= *number {
			return nil
		}
		*number = l.N
		of := *l
		of.Task, of.N = name+"/"+l.Task, p.number+1
		if p.live {
			of.Task = top
		}
		number := p.number
		above = append(above, p.line(&of)...)
		p.number = number
		return nil
	})
	switch {
	case len(above) == 0:
	case p.ended:
		io.WriteString(p.err.w, strings.Join(above, "\n")+"\n")
	default:
		p.draw(above)
	}
	return errors.Join(broken, p.flush())
}

// mute ends the printing of output: nobody reads it any more.
func (p *progress) mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = io.Discard
}

// task takes a task's new state.
func (p *progress) task(t *TaskRun) {
	i, known := p.index[t.Task]
	if !known {
		i = len(p.tasks)
		p.index[t.Task] = i
		p.tasks = append(p.tasks, *t)
	}
	before := p.tasks[i]
	p.tasks[i] = *t
	if t.State == taskRunning && p.seen[t.Task].IsZero() {
		p.seen[t.Task] = time.Now()
	}
	news := t.State != taskWaiting
	if known {
		news = before.State != t.State || before.Attempts != t.Attempts
	}
	if p.live || p.quiet || !news {
		return
	}
	text := t.shownState()
	if t.Reason != "" {
		text += ": " + t.Reason
	}
	if !taskActive(t.State) && t.State != taskSkipped {
		text += " (" + tookText(t.Seconds) + ")"
	}
	glyph, color := stateLooks(t.shownState())
	p.say(p.err.paint(color, glyph) + " " + p.err.paint("", t.Task+" "+text))
}

// draw prints the lines in above, then the tasks again, in place of those that it drew last.
func (p *progress) draw(above []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", p.drawn)
	}
	for _, line := range above {
		b.WriteString(line + "\n")
	}
	rows := p.rows()
	for _, row := range rows {
		b.WriteString(row + "\n")
	}
	p.drawn = len(rows)
	io.WriteString(p.err.w, b.String()) // if the terminal is gone, a signal says so
}

// rows gives a line for each task. Where not all fit on the screen, it leaves out all tasks at rest, then what still
// does not fit, and counts them.
func (p *progress) rows() []string {
	width := 4
	for _, t := range p.tasks {
		width = min(max(width, len(t.Task)), 32)
	}
	var rows []string
	hidden, room := 0, p.height-progressFrameRows
	for _, t := range p.tasks {
		atRest := slices.Contains([]string{taskWaiting, taskSucceeded, taskSkipped}, t.State)
		if len(rows) >= room || atRest && len(p.tasks) > room {
			hidden++
			continue
		}
		glyph, color := stateLooks(t.shownState())
		took := "     -"
		switch {
		case !taskActive(t.State) && t.State != taskSkipped:
			took = fmt.Sprintf("%6s", tookText(t.Seconds))
		case !p.seen[t.Task].IsZero() && t.State != taskSkipped:
			took = fmt.Sprintf("%6s", tookText(time.Since(p.seen[t.Task]).Seconds()))
		}
		tail, lines := t.why(), p.last[t.Task]
		switch {
		case tail != "":
		case p.unended[t.Task] != "":
			tail = p.unended[t.Task]
		case len(lines) > 0:
			tail = lines[len(lines)-1]
		}
		// A row that is longer than a line of the screen would take two, and the next draw would miss one.
		head := textCut(fmt.Sprintf("%-*s  %-9s %s  ", width, textCut(textSafe(t.Task), width), t.shownState(), took),
			p.err.width-progressFrameCols)
		tailRoom := p.err.width - progressFrameCols - textWidth(head)
		rows = append(rows, p.err.paint(color, glyph)+" "+head+p.err.tint(colorDim, textCut(textSafe(tail), tailRoom)))
	}
	if hidden > 0 {
		rows = append(rows, textCut(fmt.Sprintf("  ... and %d more tasks", hidden), p.err.width-1))
	}
	return rows
}

// end shows how the run ended, with the last lines of tasks that failed.
func (p *progress) end(r *Run) {
	close(p.quit)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.quiet || r == nil {
		return
	}
	for i := range r.Tasks {
		p.task(&r.Tasks[i])
	}
	p.flush()
	if p.live {
		p.draw(nil)
		for _, t := range r.Tasks {
			if t.State == taskFailed && len(p.last[t.Task]) > 0 && !p.output {
				heading := p.err.paint("", t.Task+", last lines:")
				fmt.Fprintf(p.err.w, "\n%s\n  %s\n", heading, strings.Join(p.last[t.Task], "\n  "))
			}
		}
	}
	glyph, color := stateLooks(r.State)
	text := fmt.Sprintf("run %s %s in %s", r.ID, r.State, tookText(r.Seconds))
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	fmt.Fprintln(p.err.w, p.err.paint(color, glyph), p.err.paint("", text))
}
