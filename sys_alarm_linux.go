// sys_alarm_linux.go: alarms by timerfd_create(2).

package main

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarmNew makes an alarm that is not set. Its goroutine ends with stop.
func alarmNew() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return alarmTimer()
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return alarmTimer()
	}
	rings := make(chan time.Time, 1)
	go func() { // wakes when it rings
		for raw.Read(alarmRang) == nil {
			select {
			case rings <- time.Now():
			default: // the loop has not heard the last one
			}
		}
	}()
	set := func(after time.Duration) {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(after, 1).Nanoseconds())}
		raw.Control(func(fd uintptr) {
			syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
		})
	}
	return alarm{C: rings, reset: set, stop: func() { file.Close() }}
}

// alarmRang takes a ring. It does not wait, and so the runtime need not know of the call.
func alarmRang(fd uintptr) bool {
	var rings uint64
	_, _, errno := syscall.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&rings)), unsafe.Sizeof(rings))
	return errno != unix.EAGAIN && errno != unix.EINTR
}
