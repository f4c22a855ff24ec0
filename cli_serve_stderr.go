// cli_serve_stderr.go: standard error for those who must not wait for its reader. A pipe that nobody empties holds up
// whoever writes to it, and the loops of a daemon log. So lines are held here, and written by a goroutine that may
// wait.

package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	serveErrMost = 256 << 10   // bytes of lines that wait for the reader, beside as many that are on their way; more are dropped, and counted
	serveErrEnd  = time.Second // what the reader has at the end, for the lines that wait
)

// serveErr is a writer that waits for nobody. Any goroutine may call Write, with whole lines.
type serveErr struct {
	w io.Writer

	mu   sync.Mutex
	held bytes.Buffer          // lines that wait, in their order
	lost int                   // lines that were dropped behind these
	tell func(lost int) []byte // makes the line that says how many, nil: nobody is told
	wake chan struct{}         // there is something to write
	over bool                  // close was called
	done chan struct{}         // all is written, and no more comes
}

// serveErrOpen begins to write to w. close ends it.
func serveErrOpen(w io.Writer) *serveErr {
	q := &serveErr{w: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// telling says how lost lines are told.
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

// tellLost puts the line about those that were dropped where they would stand. q.mu is held.
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
			q.held = bytes.Buffer{} // there is little to say, mostly: nothing is kept for it
			over := q.over
			q.mu.Unlock()
			if len(lines) == 0 {
				if over {
					return
				}
				break
			}
			_, _ = q.w.Write(lines) // a reader that has gone hears no more
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

// close waits until what is held is written, for serveErrEnd at most. What is written later is dropped.
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
