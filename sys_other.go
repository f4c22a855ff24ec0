//go:build !linux

// sys_other.go: the clocks and the load on systems that tell less of them than Linux.

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// clockBoot is not known here: each start counts as the first.
func clockBoot() string { return "" }

// clockMonotonic is not known here. Only systemd needs it, which runs on Linux alone.
func clockMonotonic() (time.Duration, bool) { return 0, false }

// clockElapsed gives a function that tells the time since some instant. Whether it counts the machine's sleep depends
// on the system.
func clockElapsed() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// clockFollow returns an error: nothing tells here.
func clockFollow(context.Context, func()) error {
	return errors.New("no system call tells when the clock is set")
}

// diskLocal says no: nothing reports changes of files here.
func diskLocal(string) bool { return false }

// clockUnset says no: it is not known.
func clockUnset() bool { return false }

// diskKind says nothing: the numbers are others here.
func diskKind(*unix.Statfs_t) string { return "" }

// diskSync brings everything that was written to the disk.
func diskSync(*os.File) error { return unix.Sync() }

// loadAverage gives nil: it is not known.
func loadAverage() *float64 { return nil }

// diskChanged gives when a file was last written to: no more is known here.
func diskChanged(info fs.FileInfo) time.Time { return info.ModTime() }
