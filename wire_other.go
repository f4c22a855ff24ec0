//go:build !linux

// Wire on macOS and FreeBSD: what the kernel knows of an ipc peer.

package main

import (
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// wirePeerCred fills in who connected, from LOCAL_PEERCRED (unix(4)), which does
// not know the process. It leaves HasCred false for a connection that is not a
// unix socket.
func wirePeerCred(nc net.Conn, peer *wirePeer) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return
	}
	const solLocal = 0
	var cred *unix.Xucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptXucred(int(fd), solLocal, unix.LOCAL_PEERCRED)
	})
	if err != nil || credErr != nil {
		return
	}
	peer.HasCred, peer.UID, peer.GID = true, cred.Uid, cred.Groups[0]
}

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
