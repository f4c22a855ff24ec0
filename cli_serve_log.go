// cli_serve_log.go: the daemons' log, on standard error: lines of key=value, and for journald the priority in front of
// each.

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// serveLevels is what log_level may be. At info there is a line for each run that did not succeed, at runs for each that ended.
var serveLevels = []struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"runs", principalLevelRuns}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}

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
	return nil, usageError("log_level: %q is none of %s", name, serveLevelsText)
}

// serveJournal says whether a stream is the one that systemd has joined to journald, of which JOURNAL_STREAM tells the device and
// the inode (systemd.exec(5)). A service's standard error may have been led elsewhere since.
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

// serveLogTo makes a handler. journald has the time of a line already; its priority it reads from <N> in front (sd-daemon(3)).
func serveLogTo(w io.Writer, level slog.Level, journal bool) slog.Handler {
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) == 0 && a.Key == slog.TimeKey && journal:
			return slog.Attr{}
		case len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == principalLevelRuns:
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
	n  int        // the priority of the line that comes
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

// WithAttrs and WithGroup keep the writer.
func (h *serveJournalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &serveJournalHandler{h.Handler.WithAttrs(attrs), h.p}
}

func (h *serveJournalHandler) WithGroup(name string) slog.Handler {
	return &serveJournalHandler{h.Handler.WithGroup(name), h.p}
}
