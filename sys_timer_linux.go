// sys_timer_linux.go: timers by timerfd_create(2).

package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wakeTimerNew makes one that is not set. It counts the time that the machine sleeps, as leases do, and so rings at
// once when a machine wakes too late.
func wakeTimerNew() wakeTimer {
	for _, clock := range []int{unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC} { // old kernels have only the second
		fd, err := unix.TimerfdCreate(clock, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			continue
		}
		if a, err := wakeTimerOf(fd); err == nil {
			return a
		}
	}
	return wakeTimerPlain()
}

// wakeTimerOf makes a timer of a timer of the system, and closes that if it cannot. The timer's goroutine ends with
// stop.
func wakeTimerOf(fd int) (wakeTimer, error) {
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // refused where the runtime cannot wait for this file
	}
	if err == nil {
		err = wakeTimerSet(raw, 0)
	}
	if err != nil {
		file.Close()
		return wakeTimer{}, err
	}
	rings := make(chan time.Time, 1)
	ring := func() {
		select {
		case rings <- time.Now():
		default: // the loop has not heard the last one
		}
	}
	go func() { // wakes when it rings
		for raw.Read(wakeTimerRang) == nil {
			ring()
		}
	}()
	reset := func(after time.Duration) {
		if wakeTimerSet(raw, max(after, 1)) != nil {
			time.AfterFunc(after, ring) // late is better than never
		}
	}
	return wakeTimer{C: rings, reset: reset, stop: func() { file.Close() }}, nil
}

// wakeTimerSet has a timer ring after so long, or not at all (0). It does not wait, and so the runtime need not know of
// the call.
func wakeTimerSet(raw syscall.RawConn, after time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(after.Nanoseconds())}
	var errno syscall.Errno
	err := raw.Control(func(fd uintptr) {
		_, _, errno = syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	})
	if errno != 0 {
		return errno
	}
	return err
}

// wakeTimerRang takes a ring. It does not wait, and so the runtime need not know of the call.
func wakeTimerRang(fd uintptr) bool {
	var rings uint64
	_, _, errno := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&rings)), unsafe.Sizeof(rings))
	return errno != unix.EAGAIN && errno != unix.EINTR
}
