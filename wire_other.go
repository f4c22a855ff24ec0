//go:build !linux

// wire_other.go: what macOS and FreeBSD know of an ipc peer.

package main

import (
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// wireCredOf fills in who is at the other end of a unix socket, from LOCAL_PEERCRED (unix(4)), which does not know the
// process.
func wireCredOf(fd int, peer *wirePeer) {
	const solLocal = 0
	cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err == nil {
		peer.HasCred, peer.UID, peer.GID = true, cred.Uid, cred.Groups[0]
	}
}

// wireReadNow is read(2) of a socket that does not block.
func wireReadNow(fd uintptr, b []byte) (int, error) { return unix.Read(int(fd), b) }

// wireWriteNow is write(2), the same.
func wireWriteNow(fd uintptr, b []byte) (int, error) { return unix.Write(int(fd), b) }

// wireQuietly does nothing: these systems do not wake a process when the other side has read.
func wireQuietly(nc net.Conn) net.Conn { return nc }

// wireSocketMode does nothing: these systems take no mode before bind. The file
// gets its mode just after, and until then the check of credentials stands alone.
func wireSocketMode(uintptr, fs.FileMode) error { return nil }

// wireSocketFile is a socket file. These systems cannot hold one open: it goes by its
// name, and follows no link.
type wireSocketFile struct{ path string }

// wireSocketOpen does nothing yet.
func wireSocketOpen(path string) (wireSocketFile, error) { return wireSocketFile{path}, nil }

// close does nothing.
func (f wireSocketFile) close() {}

// stat says what has the name now.
func (f wireSocketFile) stat() (fs.FileInfo, error) { return os.Lstat(f.path) }

// chgrp gives it to a group.
func (f wireSocketFile) chgrp(gid int) error { return os.Lchown(f.path, -1, gid) }

// chmod sets its mode.
func (f wireSocketFile) chmod(mode fs.FileMode) error {
	return unix.Fchmodat(unix.AT_FDCWD, f.path, uint32(mode.Perm()), unix.AT_SYMLINK_NOFOLLOW)
}
