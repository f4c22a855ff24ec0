// wire_file.go: the file of an ipc socket, from its making, with mode and group, to its removal. The folder may belong
// to another user, who can put a link or any other file there at any moment. So a change goes to a file that was opened
// and looked at, never to a name (wireSocketFile).

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// wireBind makes the socket file. It never has more rights than mode, not even
// for a moment: the mode is set before bind (see wireSocketMode) less the umask,
// and what the umask took is given back after. The umask itself belongs to the
// whole process and is left alone. file is what it has made, with a group where one
// is named.
func wireBind(path string, mode fs.FileMode, group *int) (ln net.Listener, file fs.FileInfo, err error) {
	var modeErr error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if err := c.Control(func(fd uintptr) { modeErr = wireSocketMode(fd, mode) }); err != nil {
			return err
		}
		return modeErr
	}}
	if ln, err = lc.Listen(context.Background(), "unix", path); err != nil {
		return nil, nil, err
	}
	// Close removes the file itself, after a look at whose it is.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if file, err = wireSocketGive(path, mode, group); err == nil {
		return ln, file, nil
	}
	ln.Close()
	if now, statErr := os.Lstat(path); statErr == nil && wireSocketOurs(path, now) == nil {
		err = errors.Join(err, wireUnlink(path, now))
	}
	return nil, nil, err
}

// wireSocketGive sees to the mode of a socket file that was just bound, and gives it to
// a group, if there is one to give it to. It returns what the file is.
func wireSocketGive(path string, mode fs.FileMode, group *int) (fs.FileInfo, error) {
	f, err := wireSocketOpen(path)
	if err != nil {
		return nil, err
	}
	defer f.close()
	info, err := f.stat()
	if err != nil || group == nil && info.Mode().Perm() == mode.Perm() {
		return info, err
	}
	if err := wireSocketOurs(path, info); err != nil {
		return nil, err
	}
	if group != nil {
		if err := f.chgrp(*group); err != nil {
			return nil, fmt.Errorf("give socket to group %d: %w: the principal's user must be in it", *group, err)
		}
	}
	if info.Mode().Perm() != mode.Perm() {
		if err := f.chmod(mode); err != nil {
			return nil, fmt.Errorf("set socket mode: %w", err)
		}
	}
	return f.stat()
}

// wireSocketOurs refuses what is no socket that this process can have bound: in a folder
// of somebody else the name can be given to another file, as soon as it is there.
func wireSocketOurs(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && info.Mode().Type() == fs.ModeSocket && int64(st.Uid) == int64(os.Geteuid()) && st.Nlink == 1 {
		return nil
	}
	return fmt.Errorf("%s was put in the place of the socket, by somebody who can write in its folder: choose a "+
		"path in a folder that only you can write in", path)
}

// wireUnlink removes a socket file, if it is still the one that file tells of. The folder
// is opened once: another in its place is left alone.
func wireUnlink(path string, file fs.FileInfo) error {
	folder, err := os.OpenRoot(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	name := filepath.Base(path)
	if now, err := folder.Lstat(name); err != nil || !os.SameFile(file, now) {
		return nil
	}
	return folder.Remove(name)
}

// wireRemoveStale unlinks a socket file that nobody listens on. Two processes
// that get here in the same instant can still take each other's file; what keeps
// two principals apart is the lock on their state folder.
func wireRemoveStale(path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket: move it away, or choose another path", path)
	}
	nc, err := net.Dial("unix", path)
	switch {
	case err == nil:
		nc.Close()
		return conflict("another principal is listening there: stop it, or choose another path")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its backlog is full: busy, not gone
		return conflict("another principal is listening there and is too busy to answer: stop it, or choose another " +
			"path")
	case !errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	if err := wireUnlink(path, before); err != nil { // of another that is there now bind will say what it is
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
