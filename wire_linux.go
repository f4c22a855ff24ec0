// wire_linux.go: what Linux knows of an ipc peer, and the mode of a socket that is not bound yet.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wireCredOf fills in who is at the other end of a unix socket, from SO_PEERCRED (unix(7)).
func wireCredOf(fd int, peer *wirePeer) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil {
		peer.HasCred, peer.UID, peer.GID, peer.PID = true, cred.Uid, cred.Gid, cred.Pid
	}
}

// wireReadNow is read(2) of a socket that does not block; b is not empty. It is a call of which the runtime knows
// nothing, and so it must not wait.
func wireReadNow(fd uintptr, b []byte) (int, error) { return wireCallNow(unix.SYS_READ, fd, b) }

// wireWriteNow is write(2), the same.
func wireWriteNow(fd uintptr, b []byte) (int, error) { return wireCallNow(unix.SYS_WRITE, fd, b) }

// wireCallNow makes one of these calls.
func wireCallNow(number, fd uintptr, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// wireSocketMode sets the mode that bind will give the socket file. Linux makes
// the file with the mode of the socket's own inode, less the umask (unix_bind_bsd
// in net/unix/af_unix.c).
func wireSocketMode(fd uintptr, mode fs.FileMode) error {
	return unix.Fchmod(int(fd), uint32(mode.Perm()))
}

// wireSocketFile is a socket file, held whatever becomes of its name.
type wireSocketFile struct{ file *os.File }

// wireSocketOpen takes hold of a file, and follows no link. What it is is for the
// caller to look at.
func wireSocketOpen(path string) (f wireSocketFile, err error) {
	f.file, err = os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	return f, err
}

// close lets go of it.
func (f wireSocketFile) close() { f.file.Close() }

// stat says what it is now.
func (f wireSocketFile) stat() (fs.FileInfo, error) { return f.file.Stat() }

// chgrp gives it to a group, which must be one of this process's or its user root.
func (f wireSocketFile) chgrp(gid int) error {
	return unix.Fchownat(int(f.file.Fd()), "", -1, gid, unix.AT_EMPTY_PATH)
}

// chmod goes by /proc, as the C libraries do it: fchmod takes no such descriptor, and
// fchmodat2 is in kernels from 6.6 on.
func (f wireSocketFile) chmod(mode fs.FileMode) error {
	err := os.Chmod(fmt.Sprint("/proc/self/fd/", f.file.Fd()), mode)
	if errors.Is(err, fs.ErrNotExist) {
		return unix.Fchmodat(int(f.file.Fd()), "", uint32(mode.Perm()), unix.AT_EMPTY_PATH)
	}
	return err
}
