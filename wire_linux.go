// Wire on Linux: what the kernel knows of an ipc peer, and the mode of a socket
// that is not bound yet. Uses x/sys only.

package main

import (
	"io/fs"
	"net"

	"golang.org/x/sys/unix"
)

// wirePeerCred fills in who connected, from SO_PEERCRED (unix(7)). It leaves
// HasCred false for a connection that is not a unix socket.
func wirePeerCred(nc net.Conn, peer *wirePeer) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil {
		return
	}
	peer.HasCred, peer.UID, peer.GID, peer.PID = true, cred.Uid, cred.Gid, cred.Pid
}

// wireSocketMode sets the mode that bind will give the socket file. Linux makes
// the file with the mode of the socket's own inode, less the umask (unix_bind_bsd
// in net/unix/af_unix.c).
func wireSocketMode(fd uintptr, mode fs.FileMode) error {
	return unix.Fchmod(int(fd), uint32(mode.Perm()))
}
