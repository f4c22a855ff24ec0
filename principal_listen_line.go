// principal_listen_line.go: a listener to the lines of a command. It keeps the command running, and tells of each line
// that matches. However fast the lines come, few of them wait for the loop; the others are counted.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	listenMaxLine  = 64 << 10 // bytes of a line; of a longer one its beginning counts
	listenMaxLines = 100      // lines that wait for the loop; further ones are dropped, and counted
	listenFlood    = 1000     // lines that are dropped before the next ones are read after listenFloodRest
	// how long a flood of lines is left to wait in the pipe, and the loop to itself: it is not to cost a processor
	listenFloodRest = 50 * time.Millisecond
	listenFirstRest = 1 * time.Second // before a command that has ended is started again; doubled each time
	listenMostRest  = 5 * time.Minute // the doubling ends here
	listenGoodRun   = 1 * time.Minute // a command that ran so long begins with the first rest again
	listenFewEnds   = 3               // ends in a row, each soon after the start, of which a person is told
	listenLastWords = 400             // bytes of its error output that are told when it ends
	listenLastWait  = 5 * time.Second // how long a command that was killed is waited for: a dead disk may hold it
)

// listenLines is a listener to the lines of a command.
type listenLines struct {
	run     string
	environ []string       // nil: that of this process
	match   *regexp.Regexp // nil: each line counts
	tell    listenTeller
	log     *slog.Logger

	heard atomic.Bool // the command has given a line since it was started

	mu      sync.Mutex
	lines   []listenEvent // that wait for the loop
	dropped int
	wake    chan struct{} // there are lines
}

// listenLinesNew makes a listener whose command does not run yet.
func listenLinesNew(on *ListenCommand, tell listenTeller, log *slog.Logger) *listenLines {
	c := &listenLines{run: on.Run, tell: tell, log: log, wake: make(chan struct{}, 1)}
	if on.Match != "" {
		c.match = regexp.MustCompile(on.Match) // the file was checked
	}
	return c
}

// runListenLines keeps the command running until ctx ends, with a rest between that grows while it ends soon. When ctx
// ends, the command and all that it started are killed.
func (c *listenLines) runListenLines(ctx context.Context) {
	var passing sync.WaitGroup
	passing.Go(func() { c.runPass(ctx) })
	defer passing.Wait()
	rest, soon := listenFirstRest, 0
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		soon++
		if time.Since(began) >= listenGoodRun {
			rest, soon = listenFirstRest, 1
		}
		if errors.Is(err, errListenWell) && c.heard.Load() { // some are made to give a line and end
			soon = 0
		}
		text := fmt.Sprintf("the command ended (%v); started again after %s", err, rest)
		if soon > 1 {
			text = fmt.Sprintf("the command ended %d times in a row (%v); started again after %s", soon, err, rest)
		}
		c.tell.trouble(text, soon < listenFewEnds)
		if !sleepFor(ctx, rest) {
			return
		}
		rest = min(2*rest, listenMostRest)
	}
}

// errListenWell says that a command ended as if all was well.
var errListenWell = errors.New("exit 0")

// runPass passes lines on to the loop, until ctx ends. It wakes when there are some.
func (c *listenLines) runPass(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		c.mu.Lock()
		lines, dropped := c.lines, c.dropped
		c.lines, c.dropped = nil, 0
		c.mu.Unlock()
		c.tell.came(lines, dropped)
		if dropped > 0 {
			sleepFor(ctx, listenFloodRest)
		}
	}
}

// once runs the command to its end, and gives why it ended. While it runs, it wakes after listenGoodRun, to say that
// all is well again.
func (c *listenLines) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.run)
	cmd.Env = c.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	words := &listenWords{}
	cmd.Stderr = words
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.heard.Store(false)
	ended := make(chan error, 1)
	go func() { // ends with the command
		c.read(ctx, out)
		ended <- cmd.Wait()
	}()
	err, over := c.await(ctx, ended)
	if !over {
		return ctx.Err()
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it started and left behind
	if err == nil {
		err = errListenWell
	}
	if said := words.String(); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// await waits for the end of the command, and says after listenGoodRun that all is well. When ctx ends it waits for
// listenLastWait; over is false when the command has not ended by then.
func (c *listenLines) await(ctx context.Context, ended <-chan error) (err error, over bool) {
	timer := time.NewTimer(listenGoodRun)
	defer timer.Stop()
	select {
	case err = <-ended:
		return err, true
	case <-timer.C:
		c.tell.trouble("", false)
		select {
		case err = <-ended:
			return err, true
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	timer.Reset(listenLastWait)
	select {
	case err = <-ended:
		return err, true
	case <-timer.C:
		return nil, false
	}
}

// read takes the lines of the command in, until there are no more.
func (c *listenLines) read(ctx context.Context, out io.Reader) {
	r, dropped := bufio.NewReaderSize(out, listenMaxLine), 0
	for {
		line, rest, err := r.ReadLine()
		if err != nil {
			return
		}
		text := strings.ToValidUTF8(string(line), "\uFFFD")
		for rest && err == nil { // the end of a line that is too long
			_, rest, err = r.ReadLine()
		}
		if c.match == nil || c.match.MatchString(text) {
			c.heard.Store(true)
			if !c.take(strings.ReplaceAll(text, "\x00", "\uFFFD")) {
				dropped++
			}
		}
		if dropped == listenFlood {
			dropped = 0
			sleepFor(ctx, listenFloodRest)
		}
	}
}

// take has a line wait for the loop, unless too many do: then it is false.
func (c *listenLines) take(text string) (fits bool) {
	c.mu.Lock()
	fits = len(c.lines) < listenMaxLines
	if fits {
		c.lines = append(c.lines, listenEvent{line: text})
	} else {
		c.dropped++
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return fits
}

// listenWords keeps the end of what a command writes to its error output.
type listenWords struct {
	mu  sync.Mutex
	end []byte
}

// Write takes in what the command has written.
func (w *listenWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = append(w.end, b...)
	if n := len(w.end); n > listenLastWords {
		w.end = append([]byte(nil), w.end[n-listenLastWords:]...)
	}
	return len(b), nil
}

// String gives the last line.
func (w *listenWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(w.end), ""))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
