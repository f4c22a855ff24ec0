// sys_linux.go: the clocks and the load, as Linux tells them.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockBoot names this boot of the machine (random(4)); "" when the kernel does not say. In a container it names the
// boot of the host. Any goroutine may call it.
func clockBoot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// clockMonotonic gives the kernel's CLOCK_MONOTONIC, by which systemd counts. Any goroutine may call it.
func clockMonotonic() (time.Duration, bool) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano()), err == nil
}

// clockElapsed gives a function that tells the time since some instant, with the machine's sleep. Any goroutine may
// call that function.
func clockElapsed() func() time.Duration {
	return func() time.Duration {
		var ts unix.Timespec
		// It never waits, and so the runtime, which would wake a thread to watch over it, need not know of it.
		_, _, errno := syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
		if errno != 0 {
			panic("cdktr: read the clock since boot: " + errno.Error()) // Linux has it since 2.6.39
		}
		return time.Duration(ts.Nano())
	}
}

// clockUnset says whether nothing has set the clock since the machine started, as far as the kernel was told
// (STA_UNSYNC of adjtimex(2)): NTP daemons tell it.
func clockUnset() bool {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC != 0
}

// clockFollow calls set each time that somebody sets the clock, or the machine has slept, until ctx ends. It returns an
// error when it hears of that no more.
func clockFollow(ctx context.Context, set func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("follow the clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	defer timer.Close()
	never := unix.NsecToTimespec(math.MaxInt64)
	if never.Nano() != math.MaxInt64 { // it counts with 32 bits
		never = unix.NsecToTimespec(math.MaxInt32 * int64(time.Second))
	}
	err = unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &unix.ItimerSpec{Value: never},
		nil)
	defer context.AfterFunc(ctx, func() { timer.Close() })()
	for err == nil {
		_, err = timer.Read(make([]byte, 8))
		if errors.Is(err, unix.ECANCELED) {
			set()
			err = nil
		} else if err == nil {
			err = errors.New("its last second has come")
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("follow the clock: %w", err)
}

// diskLocal says whether a file lies on a file system that only this machine changes, and that reports each change. It
// follows links. It waits for a network file system that hangs: no loop may call it.
func diskLocal(path string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC:
		return true
	}
	return false
}

// diskKind says of which kind a file system is, see diskFacts.
func diskKind(st *unix.Statfs_t) string {
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.V9FS_MAGIC,
		0xff534d42, 0xfe534d42: // CIFS, SMB2
		return "network"
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "memory"
	case unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC:
		return "fat"
	}
	return ""
}

// diskSync brings everything that was written to the file system of an open folder to the disk, in one go.
func diskSync(f *os.File) error { return unix.Syncfs(int(f.Fd())) }

// loadAverage says how many processes ran or waited to run, on average over the last minute and to a hundredth; nil
// when the system does not say. It reads no file. Any goroutine may call it.
func loadAverage() *float64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return nil
	}
	load := math.Round(float64(info.Loads[0])/(1<<16)*100) / 100 // sysinfo(2) has 16 bits behind the point
	return &load
}

// diskChanged gives when a file was last changed, its name and owner included: the time at which it was moved to where
// it is counts too.
func diskChanged(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}
