package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWakeTimerClock: a timer goes on while the machine sleeps, as leases do.
func TestWakeTimerClock(t *testing.T) {
	a := wakeTimerNew()
	defer a.stop()
	want := fmt.Sprintf("clockid: %d\n", unix.CLOCK_BOOTTIME)
	files, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.ReadFile("/proc/self/fdinfo/" + f.Name()); err == nil &&
			strings.Contains(string(info), want) {
			return
		}
	}
	t.Error("no timer counts the time that the machine sleeps")
}

// TestWakeTimerOf: what cannot ring makes no timer that never rings.
func TestWakeTimerOf(t *testing.T) {
	path := t.TempDir() + "/file"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wakeTimerOf(fd); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("a file, for which the runtime cannot wait, is a timer, or is refused for something else: %v", err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	if _, err := wakeTimerOf(pipe[0]); err == nil {
		t.Error("a pipe, which cannot be set, is a timer")
	}
}
