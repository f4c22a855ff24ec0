// principal_metrics_file.go: the file of the setting metrics_file, for the textfile collector of node_exporter. A
// goroutine beside the loop writes it, whole and by another name first, when something has changed. A file system that
// is full, or does not answer, holds up nobody but that goroutine. A principal that stops removes the file, so that
// nobody takes old numbers for new ones.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	metricsFileGap = 15 * time.Second // between two writes, at least
	// how old the file may be when the loop wakes for something else, and nothing has changed
	metricsFileAnew  = 5 * time.Minute
	metricsFileRetry = time.Minute // after a write that failed, if nothing changes before
	metricsFileEnd   = time.Second // how long a stop waits for the file to be removed
)

// metricsFile is the file of metrics. A nil one is not kept, and does nothing.
type metricsFile struct {
	path   string
	failed atomic.Int64 // writes that failed; any goroutine's

	// The loop's:

	dirty bool      // something has changed since it was asked for
	asked time.Time // when it was asked for last
	wake  chan struct{}

	// Of the goroutine that writes:

	waits    *diskWaits
	tries    int
	complain bool // the last write failed, and the log says so
}

// metricsFileNew gives the file that the settings name, nil where they name none.
func metricsFileNew(cfg principalConfig) *metricsFile {
	if cfg.MetricsFile == "" {
		return nil
	}
	return &metricsFile{path: cfg.MetricsFile, wake: make(chan struct{}, 1), waits: diskWaitsNew()}
}

// changed notes that the numbers have changed. Only on the loop.
func (f *metricsFile) changed() {
	if f != nil {
		f.dirty = true
	}
}

// turn has the file written at the end of a turn of the loop, if something has changed or the file is old. Only on the
// loop.
func (f *metricsFile) turn(now time.Time) {
	if f == nil || !f.dirty && now.Sub(f.asked).Abs() < metricsFileAnew {
		return
	}
	f.dirty, f.asked = false, now
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// runFile writes the file. It wakes when the loop says that something has changed, but metricsFileGap after the last
// write at the soonest; when something may need a person by time alone; and to try again after a failure. It ends with
// the principal.
func (m *meters) runFile() {
	f := m.file
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the loop
		<-m.ended
		cancel()
	}()
	for {
		again := m.write(ctx)
		gap, due := time.NewTimer(metricsFileGap), time.NewTimer(max(again, metricsFileGap))
		wake := (<-chan struct{})(nil) // nobody is heard before the gap is over
		for waiting := true; waiting; {
			select {
			case <-gap.C:
				wake = f.wake
			case <-wake:
				waiting = false
			case <-due.C:
				waiting = false
			case <-f.waits.back: // what was given up has come back, and may have put old numbers there
				waiting = false
			case <-m.ended:
				gap.Stop()
				due.Stop()
				f.end()
				return
			}
		}
		gap.Stop()
		due.Stop()
	}
}

// write writes the file once, and says after which time it is to be written again though nobody asks.
func (m *meters) write(ctx context.Context) time.Duration {
	f := m.file
	f.waits.turn()
	again := 24 * time.Hour
	disk, read := metricsDisk{}, &metricsDisk{} // the latter may still be written when a look is given up
	_, err := diskWait(ctx, f.waits, m.cfg.StateDir, func() (fs.FileInfo, error) { return read.read(m.store) })
	if err == nil {
		disk = *read
	}
	seen, ok := m.see(disk)
	if !ok {
		return again
	}
	if next := seen.next; !next.IsZero() {
		again = min(again, next.Sub(seen.now))
	}
	text := seen.text()
	f.tries++
	temp := fmt.Sprintf("%s/.%s.%d-%d.tmp", filepath.Dir(f.path), filepath.Base(f.path), os.Getpid(), f.tries)
	_, err = diskWait(ctx, f.waits, f.path, func() (fs.FileInfo, error) {
		return nil, metricsReplace(temp, f.path, text)
	})
	switch {
	case err != nil && ctx.Err() == nil:
		f.failed.Add(1)
		again = min(again, metricsFileRetry)
		if !f.complain {
			m.cfg.Log.Warn("cannot write the metrics file", "file", f.path, "cause", pathCause(err))
		}
		f.complain = true
	case err == nil && f.complain:
		f.complain = false
		m.cfg.Log.Info("the metrics file can be written again", "file", f.path)
	}
	return again
}

// end removes the file, and what another write may have left.
func (f *metricsFile) end() {
	ctx, cancel := context.WithTimeout(context.Background(), metricsFileEnd)
	defer cancel()
	f.waits.turn()
	diskWait(ctx, f.waits, f.path, func() (fs.FileInfo, error) { return nil, os.Remove(f.path) })
}

// metricsReplace puts a text in the place of a file at once. It does not sync: after a power cut nobody wants the old
// numbers. No loop may call it.
func metricsReplace(temp, path string, text []byte) error {
	os.Remove(temp) // a process with our number may have left it
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	err = errors.Join(err, out.Chmod(0o644), out.Close()) // another user collects it
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}
