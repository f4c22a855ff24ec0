// cli_serve_log.go: the log of the daemons on standard error. Its lines are key=value; for journald each line begins
// with its priority.

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serveLevels is the values of log_level. At info there is a line for each run that did not succeed, at runs a line for
// each run that ended.
var serveLevels = []struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"runs", logLevelRuns}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn},
	{"error", slog.LevelError}}

// serveLevelsText lists them for people.
const serveLevelsText = "debug, runs, info, warn or error"

// logger makes the daemon's log.
func (c *cli) logger() (*slog.Logger, error) {
	name := c.cfg.get("log_level")
	for _, l := range serveLevels {
		if strings.EqualFold(l.name, name) {
			to := func(w io.Writer) slog.Handler {
				return serveLogTo(w, l.level, serveJournal(c.err, c.getenv("JOURNAL_STREAM")))
			}
			if q, ok := termRaw(c.err).(*serveErr); ok {
				q.telling(serveErrLost(to))
			}
			return slog.New(to(c.err)), nil
		}
	}
	var names []string
	for _, l := range serveLevels {
		names = append(names, l.name)
	}
	return nil, usageError("log_level: %q is none of %s%s", textHead(name, cliEchoMost), serveLevelsText,
		nearHint(name, names))
}

// serveJournal says whether a stream leads to journald. systemd puts the device and the inode of that stream into
// JOURNAL_STREAM (systemd.exec(5)), which is told; standard error may lead elsewhere since.
func serveJournal(stream io.Writer, told string) bool {
	stream = termRaw(stream)
	if q, ok := stream.(*serveErr); ok {
		stream = q.w
	}
	file, ok := stream.(*os.File)
	if !ok || told == "" {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && told == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// serveLogTo makes a handler. journald notes the time of a line itself, and reads its priority from <N> in front
// (sd-daemon(3)).
func serveLogTo(w io.Writer, level slog.Level, journal bool) slog.Handler {
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) == 0 && a.Key == slog.TimeKey && journal:
			return slog.Attr{}
		case len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == logLevelRuns:
			return slog.String(slog.LevelKey, slog.LevelInfo.String())
		}
		return a
	}}
	if !journal {
		return slog.NewTextHandler(w, opt)
	}
	p := &servePriority{w: w}
	return &serveJournalHandler{slog.NewTextHandler(p, opt), p}
}

// servePriority writes lines with a priority in front of each.
type servePriority struct {
	w  io.Writer
	mu sync.Mutex // held from when the level is set until its line is written
	n  int        // the priority of the next line
}

// Write is called with a whole line.
func (p *servePriority) Write(line []byte) (int, error) {
	if _, err := p.w.Write(slices.Concat(fmt.Appendf(nil, "<%d>", p.n), line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// serveJournalHandler gives each record's priority to the writer below the handler that makes its line.
type serveJournalHandler struct {
	slog.Handler
	p *servePriority
}

// Handle writes one record; any goroutine may call it.
func (h *serveJournalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	switch { // syslog(3)
	case r.Level >= slog.LevelError:
		h.p.n = 3
	case r.Level >= slog.LevelWarn:
		h.p.n = 4
	case r.Level > slog.LevelDebug:
		h.p.n = 6
	default:
		h.p.n = 7
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the writer, as WithGroup does.
func (h *serveJournalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &serveJournalHandler{h.Handler.WithAttrs(attrs), h.p}
}

func (h *serveJournalHandler) WithGroup(name string) slog.Handler {
	return &serveJournalHandler{h.Handler.WithGroup(name), h.p}
}

// Below: standard error for loops, which must not wait for its reader. A write to a pipe that nobody empties hangs. So
// serveErr holds the lines, and another goroutine writes them.

const (
	// how many bytes of lines may wait for the reader, while as many are being written; more are dropped and counted
	serveErrMost = 256 << 10
	serveErrEnd  = time.Second // how long close waits for the reader to take the last lines
)

// serveErr is a writer that does not wait for its reader. Any goroutine may call Write, with whole lines.
type serveErr struct {
	w io.Writer

	mu   sync.Mutex
	held bytes.Buffer          // lines that wait, in their order
	lost int                   // how many lines were dropped behind these
	tell func(lost int) []byte // makes the line that says how many were lost; nil: nobody is told
	wake chan struct{}         // gets one when there is something to write
	over bool                  // close was called
	done chan struct{}         // closed when all is written and no more comes
}

// serveErrOpen begins to write to w. close ends it.
func serveErrOpen(w io.Writer) *serveErr {
	q := &serveErr{w: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// telling sets the function that makes the line about lost lines.
func (q *serveErr) telling(tell func(lost int) []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell = tell
}

// Write takes lines, or drops them where too many wait. It never fails: nobody could be told.
func (q *serveErr) Write(lines []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.over, q.held.Len()+len(lines) > serveErrMost:
		q.lost += max(bytes.Count(lines, []byte("\n")), 1)
	default:
		q.tellLost()
		q.held.Write(lines)
	}
	q.kick()
	return len(lines), nil
}

// tellLost puts a line about the dropped lines in their place. q.mu is held.
func (q *serveErr) tellLost() {
	if q.lost > 0 && q.tell != nil {
		q.held.Write(q.tell(q.lost))
	}
	q.lost = 0
}

// kick wakes run.
func (q *serveErr) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes what is held. It wakes for each write, and ends when all is written after close, or with the process.
func (q *serveErr) run() {
	defer close(q.done)
	for range q.wake {
		for {
			q.mu.Lock()
			if q.held.Len() == 0 {
				q.tellLost()
			}
			lines := q.held.Bytes()
			q.held = bytes.Buffer{} // keeps no memory: mostly there is little to say
			over := q.over
			q.mu.Unlock()
			if len(lines) == 0 {
				if over {
					return
				}
				break
			}
			_, _ = q.w.Write(lines) // nobody could be told of an error
		}
	}
}

// serveErrLost makes lines that say how many were dropped.
func serveErrLost(to func(io.Writer) slog.Handler) func(lost int) []byte {
	return func(lost int) []byte {
		var line bytes.Buffer
		slog.New(to(&line)).Warn("lines of this log were lost: nobody read standard error", "lines", lost)
		return line.Bytes()
	}
}

// close waits until the held lines are written, but no longer than serveErrEnd. Later lines are dropped.
func (q *serveErr) close() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.kick()
	select {
	case <-q.done:
	case <-time.After(serveErrEnd):
	}
}
