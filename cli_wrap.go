// cli_wrap.go: the verb wrap: it runs a command for those who keep cron as the clock, with a lock and a timeout, and
// tells the principal how that went. The command starts at once, whether or not there is a principal; what cannot be
// told waits in a spool (cli_wrap_spool.go).

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// wrapExitBusy is the exit code when the last run is still at work: sysexits calls it EX_TEMPFAIL.
const wrapExitBusy = 75

const (
	wrapHead    = 16 << 10         // bytes of the first lines of output that are recorded,
	wrapTail    = 40 << 10         // and of the last
	wrapLine    = 4 << 10          // bytes of a line that are recorded
	wrapQuiet   = 1 << 20          // bytes of output that --quiet keeps, the last
	wrapDial    = 2 * time.Second  // to reach the principal, once the command is over
	wrapTell    = 5 * time.Second  // in all, to tell it what is spooled
	wrapPatient = 10 * time.Minute // a run may be so late, and twice as long as the last one, before it is overdue
)

// cliWrap is the flags of wrap.
type cliWrap struct {
	name, lock, schedule, forget string
	every, grace                 time.Duration
	quiet, flush                 bool
}

// wrapVerb is the entry of `wrap`.
func wrapVerb() cliVerb {
	return cliVerb{name: "wrap", args: "-- CMD ARGS...", run: doWrap, unset: true,
		help: "run a command of a crontab: locked, timed, recorded, missed when it does not come",
		more: `
CMD starts at once, with the environment, the folder and standard input of this command; its output goes where it went
before, and its exit code is that of wrap. A second one of the same name and user does not start beside it. When it is
over the principal is told of it as a run of NAME; its output is kept there, the first and the last of it. With no
principal in reach the record waits in ~/.local/state/cdktr-wrap for the next wrap.
Exit codes: the command's, 128+N for signal N, 124 timed out, 75 the last run is still at work, 126 and 127 it cannot be
started or found, 125 anything else.`,
		flags: func(f *cliFlags) {
			w := &f.wrap
			f.StringVar(&w.name, "name", "", "of the job (default this machine's, a dot, and the command's)")
			f.durationVar(&f.timeout, "timeout", "end the command, and all that it has started, after this time")
			f.StringVar(&w.lock, "lock", "skip", "while its last run goes on: `skip`, wait, none, or how long to wait")
			f.durationVar(&w.every, "every", "it comes so often: Attention tells when it does not")
			f.StringVar(&w.schedule, "schedule", "", "it comes at these `TIMES`, as in the crontab: the same")
			f.durationVar(&w.grace, "grace", "how late its end may be then (default 10m and twice what it took)")
			f.BoolVar(&w.quiet, "quiet", false, "print its output only when it fails")
			f.BoolVar(&w.flush, "flush", false, "run nothing: tell the principal what is spooled")
			f.StringVar(&w.forget, "forget", "", "run nothing: have the principal wait for no more runs of `NAME`")
		},
		examples: []string{
			"0 3 * * *  cdktr wrap --schedule '0 3 * * *' --timeout 2h -- /usr/local/bin/backup.sh --full",
			"*/5 * * * *  cdktr wrap --name shop.sync --every 5m --quiet -- php sync.php",
			"cdktr wrap --flush",
		}}
}

// durationVar makes a flag that is a duration as workflow files have it.
func (f *cliFlags) durationVar(d *time.Duration, name, help string) {
	f.Func(name, help, func(text string) (err error) {
		*d, err = parseDuration(text)
		return err
	})
}

// wrapJob is one go of wrap.
type wrapJob struct {
	c     *cli
	argv  []string
	name  string
	spool *wrapSpool
	began time.Time
	times *cronExpr
	rec   WrapRecord
	code  int
}

func doWrap(ctx context.Context, c *cli, args []string) error {
	w := &c.flags.wrap
	switch {
	case w.forget != "" || w.flush:
		if err := configure(ctx, c); err != nil {
			return err
		}
	case len(args) == 0:
		return &exitError{code: exitUsage, err: errors.New("wrap what? the command stands behind --"),
			hint: "cdktr wrap --timeout 1h -- backup.sh"}
	}
	switch {
	case w.forget != "":
		return c.change(ctx, Request{Op: "record", Workflow: w.forget, Force: true}, "forgot "+w.forget)
	case w.flush:
		return wrapFlush(ctx, c)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	j := &wrapJob{c: c, argv: args, name: orDefault(w.name, host+"."+filepath.Base(args[0])), began: time.Now()}
	if _, err := workflowID(j.name + ".yml"); err != nil || strings.Contains(j.name, "/") {
		return usageError("--name %q: use letters, digits and ._-", textHead(j.name, cliEchoMost))
	}
	if w.schedule != "" {
		if j.times, err = cronParse(w.schedule, j.name); err != nil {
			return usageError("--schedule: %w", err)
		}
	}
	wait, err := wrapWait(w.lock)
	if err != nil {
		return err
	}
	c.settle()
	j.rec = WrapRecord{Host: textHead(host, wrapMaxWord), Command: textHead(filepath.Base(args[0]), wrapMaxWord),
		State: runSkipped}
	j.spool, err = wrapSpoolOpen(c.getenv)
	if err != nil {
		c.say(fmt.Sprintf("nothing locks and records this run: %v", err))
	}
	if wait >= 0 && j.spool != nil {
		unlock, busy := j.spool.lock(ctx, host, j.name, wait)
		if busy != "" {
			j.code, j.rec.Reason = wrapExitBusy, "overlap: "+busy
			if !w.quiet {
				c.say(j.name + " is not started: " + busy)
			}
			return j.over(ctx)
		}
		defer unlock()
	}
	j.run(ctx)
	return j.over(ctx)
}

// wrapWait reads --lock: how long to wait for the lock, below 0 for taking none.
func wrapWait(text string) (time.Duration, error) {
	switch text {
	case "skip":
		return 0, nil
	case "wait":
		return durationMax, nil
	case "none":
		return -1, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return 0, usageError("--lock %q: want skip, wait, none, or how long to wait, as 10m",
			textHead(text, cliEchoMost))
	}
	return d, nil
}

// run runs the command to its end.
func (j *wrapJob) run(ctx context.Context) {
	c := j.c
	j.began = time.Now()
	fail := func(code int, err error) {
		j.code, j.rec.State = code, runFailed
		j.rec.Reason = textHead("it cannot be started: "+err.Error(), protoMaxReason)
		c.say(j.name + ": " + err.Error())
	}
	ps, err := newProcs("CDKTR_WRAP", j.name)
	if err != nil {
		fail(execExitOwn, err)
		return
	}
	defer ps.close()
	out := wrapOutput{quiet: c.flags.wrap.quiet, to: [2]io.Writer{termRaw(c.out), termRaw(c.err)}}
	input, _ := c.in.(*os.File)
	p, err := ps.start(context.Background(), procSpec{Argv: j.argv, Env: c.environ, Input: input, Stay: true,
		Cookie: fmt.Sprint(os.Getpid()), Timeout: c.flags.timeout, Output: out.take})
	switch {
	case errors.Is(err, os.ErrNotExist):
		fail(execExitMissing, errors.New(textHead(j.argv[0], cliEchoMost)+": not found"))
		return
	case err != nil:
		fail(execExitStart, err)
		return
	}
	stop := context.AfterFunc(ctx, func() { p.stop("stopped: " + context.Cause(ctx).Error()) })
	select {
	case <-p.done():
	case <-c.hurry:
		p.kill("stopped at once")
		<-p.done()
	}
	stop()
	res := p.result()
	j.code = res.Exit
	if res.TimedOut {
		j.code = execExitTimeout
	}
	j.rec.State, j.rec.Exit, j.rec.Reason, j.rec.Seconds = runFailed, &res.Exit, res.Reason, res.Elapsed.Seconds()
	j.rec.Used = TaskUse{CPU: res.Used.CPU.Seconds(), Memory: res.Used.Memory, Read: res.Used.Read,
		Written: res.Used.Written}
	switch {
	case res.Stopped:
		j.rec.State = runCancelled
	case j.code == 0:
		j.rec.State = runSucceeded
	}
	j.rec.Lines = out.lines()
	if j.code != 0 {
		out.print()
	}
	if res.TimedOut || res.Stopped {
		c.say(j.name + " " + res.Reason)
	}
}

// over records how it went, and gives the exit code.
func (j *wrapJob) over(ctx context.Context) error {
	c, now := j.c, time.Now()
	j.rec.Ended, j.rec.Due = stampOf(now), j.due()
	told := ""
	if j.spool != nil {
		err := j.spool.put(j.name, &j.rec)
		if err != nil {
			c.say(fmt.Sprintf("this run is not recorded: %v", err))
		} else {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), wrapTell)
			if err = configure(limited, c); err == nil {
				told, _ = j.spool.tell(limited, c, wrapDial, nil) // else the next one does
			} else {
				c.say(fmt.Sprintf("no principal is told of this run yet: %v", err))
			}
			cancel()
		}
	}
	if c.flags.json {
		printJSON(c.err, wrapJSON{j.name, j.rec.State, j.rec.Reason, j.code, j.rec.Seconds, told})
	}
	if j.code == 0 {
		return nil
	}
	return &exitError{code: j.code}
}

// wrapJSON is how a run of wrap went, as --json prints it on standard error.
type wrapJSON struct {
	Name    string  `json:"name"`
	State   string  `json:"state"`
	Reason  string  `json:"reason,omitempty"`
	Exit    int     `json:"exit"`
	Seconds float64 `json:"seconds"`
	Run     string  `json:"run,omitempty"` // "": the principal was not told yet
}

// due gives by when the next run is to have ended, zero where nobody says when it comes.
func (j *wrapJob) due() Stamp {
	w := &j.c.flags.wrap
	grace := w.grace
	if grace == 0 {
		grace = wrapPatient + 2*time.Duration(j.rec.Seconds*float64(time.Second))
		if limit := j.c.flags.timeout; limit > 0 {
			grace = wrapPatient + limit
		}
	}
	next := j.began.Add(w.every)
	if j.times != nil {
		at, ok := j.times.next(j.began, time.Local)
		if !ok {
			return Stamp{}
		}
		next = at
	}
	if !next.After(j.began) || !stampable(next.Add(grace)) {
		return Stamp{}
	}
	return stampOf(next.Add(grace))
}

// wrapFlush tells the principal all that is spooled.
func wrapFlush(ctx context.Context, c *cli) error {
	spool, err := wrapSpoolOpen(c.getenv)
	if err != nil {
		return err
	}
	n := 0
	_, err = spool.tell(ctx, c, clientTimeout, func(name string, refused error) {
		if refused != nil {
			c.say(fmt.Sprintf("a run of %s is refused, and set aside in %s: %v", name, spool.dir, refused))
			return
		}
		n++
	})
	if err != nil {
		return batchOld(err)
	}
	if c.flags.json {
		return printJSON(c.out, map[string]int{"told": n})
	}
	c.say(countText(n, "run") + " told")
	return nil
}

// wrapOutput passes output on, and keeps of it what is recorded. One goroutine at a time uses it.
type wrapOutput struct {
	to    [2]io.Writer
	quiet bool
	kept  []wrapChunk // with quiet: the last of it
	size  int         // of kept
	cut   int         // bytes that kept has no more

	head, last         []LogLine
	headSize, lastSize int
	dropped            int // lines between the two
}

// wrapChunk is output as it was read.
type wrapChunk struct {
	err  int // 1: of standard error
	text string
}

// take takes output of the command.
func (o *wrapOutput) take(l procLines) {
	stream := 0
	if l.Err {
		stream = 1
	}
	if o.quiet {
		o.kept, o.size = append(o.kept, wrapChunk{stream, string(l.Text)}), o.size+len(l.Text)
		for o.size > wrapQuiet && len(o.kept) > 1 {
			o.size -= len(o.kept[0].text)
			o.cut += len(o.kept[0].text)
			o.kept = o.kept[1:]
		}
	} else {
		o.to[stream].Write(l.Text) // as without us: whoever does not read it does not stop the command
	}
	for text := string(l.Text); text != ""; {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		o.note(l.Time, "oe"[stream:stream+1], line)
	}
}

// note keeps a line for the record.
func (o *wrapOutput) note(at time.Time, stream, text string) {
	line := LogLine{Time: stampOf(at), Stream: stream}
	line.set([]byte(text[:min(len(text), wrapLine)]))
	if o.headSize+len(text) <= wrapHead && len(o.last) == 0 && len(o.head) < wrapMaxLines/4 {
		o.head, o.headSize = append(o.head, line), o.headSize+len(text)
		return
	}
	o.last, o.lastSize = append(o.last, line), o.lastSize+min(len(text), wrapLine)
	for o.lastSize > wrapTail || len(o.last) > wrapMaxLines/2 {
		o.lastSize -= len(o.last[0].raw())
		o.last = o.last[1:]
		o.dropped++
	}
}

// lines gives what is recorded.
func (o *wrapOutput) lines() []LogLine {
	lines := o.head
	if o.dropped > 0 {
		lines = append(lines, LogLine{Time: o.last[0].Time, Stream: "c",
			Text: fmt.Sprintf("[cdktr: %d lines of output are left out here]", o.dropped)})
	}
	return append(lines, o.last...)
}

// print prints what quiet has kept.
func (o *wrapOutput) print() {
	if o.cut > 0 {
		fmt.Fprintf(o.to[1], "[cdktr: %d bytes of output are left out here]\n", o.cut)
	}
	for _, chunk := range o.kept {
		io.WriteString(o.to[chunk.err], chunk.text)
	}
	o.kept = nil
}

// wrapHolder says who holds a lock, as its file has it.
func wrapHolder(f *os.File) string {
	text := make([]byte, 100)
	n, _ := f.ReadAt(text, 0)
	return strings.TrimSpace("its last run is still at work " + strings.ToValidUTF8(string(text[:n]), ""))
}

// wrapTry takes a lock if nobody has it.
func wrapTry(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
