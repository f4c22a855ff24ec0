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

// wireBind makes the socket file, with a group where one is named; file is what it has made. The file never has more
// rights than mode, not even for a moment: the mode is set before bind (see wireSocketMode), less the umask, and what
// the umask took is given back after. The umask itself belongs to the whole process and is left alone.
func wireBind(path string, mode fs.FileMode, group *int) (ln net.Listener, file fs.FileInfo, err error) {
	var modeErr error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if err := c.Control(func(fd uintptr) { modeErr = wireSocketMode(fd, mode) }); err != nil {
			return err
		}
		return modeErr
	}}
	ln, err = lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, err
	}
	// Close removes the file, after a look at whose it is.
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	file, err = wireSocketGive(path, mode, group)
	if err == nil {
		return ln, file, nil
	}
	ln.Close()
	if now, statErr := os.Lstat(path); statErr == nil && wireSocketOurs(path, now) == nil {
		err = errors.Join(err, wireUnlink(path, now))
	}
	return nil, nil, err
}

// wireSocketGive sets the mode of a socket file that was just bound, and gives it to a group, if one is named. It
// returns what the file is.
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

// wireSocketOurs refuses a file that is no socket that this process can have bound: in a folder of somebody else that
// user can give the name to another file at once.
func wireSocketOurs(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	isSocket := info.Mode().Type() == fs.ModeSocket
	if ok && isSocket && int64(st.Uid) == int64(os.Geteuid()) && st.Nlink == 1 {
		return nil
	}
	return fmt.Errorf("%s was put in the place of the socket, by somebody who can write in its folder: choose a "+
		"path in a folder that only you can write in", path)
}

// wireUnlink removes a socket file, if it is still the one that file describes. It opens the folder once, and leaves
// alone another that takes its place.
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
	if err := wireUnlink(path, before); err != nil { // if another is there now, bind says what it is
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
