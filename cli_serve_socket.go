// cli_serve_socket.go: the principal's own socket: who may use it, and that it stays there while it serves. Whatever
// clears up /run, or a person, may remove its file: then nobody comes in any more, while all looks well from inside. It
// is made again at once.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// serveSocketAgain is how long after a failure it is tried again to make the socket, and how often it is looked at where the
// system tells of no changes.
const serveSocketAgain = 10 * time.Second

// serveSocketSettle is how long after its end the socket is made again: who removes the folder is done by then.
const serveSocketSettle = 100 * time.Millisecond

// serveSocket is the socket, and the group that it is open to.
type serveSocket struct {
	listener *wireListener
	path     string
	gid      int
	group    string // "": none
}

// openSocket binds the ipc socket. With a group its members may come in as well: by the mode of the file, which the
// kernel holds them to, and by who they are.
func (d *serveDoors) openSocket(path, group string, opt wireOptions) (err error) {
	s := serveSocket{path: serveSocketAt(path), group: group, gid: -1}
	if group != "" {
		if s.gid, err = serveGroup(group); err != nil {
			return err
		}
		opt.SocketMode, opt.SocketGroup = 0o660, &s.gid
		opt.Allow = func(p wirePeer) error { return serveMember(p, uint32(s.gid), group) }
	}
	if err := s.makeFolder(); err != nil {
		return err
	}
	if s.listener, err = wireListen("ipc://"+s.path, opt); err != nil {
		return err
	}
	d.listeners = append(d.listeners, s.listener)
	d.socket = s
	if info, err := os.Stat(filepath.Dir(path)); err == nil && group != "" && info.Mode()&0o011 == 0 {
		d.log.Warn("the group cannot reach the socket: its folder lets nobody through", "folder", filepath.Dir(path), "mode", info.Mode().Perm().String())
	}
	return nil
}

// serveSocketAt gives the path from / on, so that the socket is made again where clients look for it when our own folder was replaced under
// us. Only where the system takes no path of that length it stays as it was given.
func serveSocketAt(path string) string {
	if at, err := filepath.Abs(path); err == nil {
		if _, _, err := wireEndpointParse("ipc://" + at); err == nil {
			return at
		}
	}
	return path
}

// makeFolder makes the folder of the socket where there is none, and opens it to the group: it is ours to open, one that
// was there is not. What is opened is the folder that was made, and not what another user has put in its place.
func (s serveSocket) makeFolder() error {
	dir := filepath.Dir(s.path)
	switch _, err := os.Stat(dir); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	above, name := filepath.Dir(dir), filepath.Base(dir)
	if err := os.MkdirAll(above, 0o700); err != nil {
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	root, err := os.OpenRoot(above)
	if err != nil {
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	defer root.Close()
	switch err := root.Mkdir(name, 0o700); {
	case err == nil && s.group == "", errors.Is(err, fs.ErrExist): // another has made it just now
		return nil
	case err != nil:
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	if err := s.openFolder(root, name); err != nil {
		return fmt.Errorf("open folder of the socket to group %s: %w", s.group, err)
	}
	return nil
}

// openFolder lets the group into a folder that was just made.
func (s serveSocket) openFolder(root *os.Root, name string) error {
	made, err := root.Lstat(name)
	if err != nil {
		return err
	}
	f, err := diskOpenIn(root, name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if uid, _ := ownerIDs(now); !now.IsDir() || !os.SameFile(made, now) || uid != os.Geteuid() {
		return fmt.Errorf("%s was put in its place, by somebody who can write in the folder above it: choose a path in a folder that only you can write in", f.Name())
	}
	return errors.Join(f.Chown(-1, s.gid), f.Chmod(0o750))
}

// renew makes the socket again, with its folder.
func (s serveSocket) renew() error {
	if err := s.makeFolder(); err != nil {
		return err
	}
	return s.listener.renew()
}

// runSocketWatch makes the socket again where its file is gone. It wakes when the file loses its name, serveSocketSettle
// after that, and each serveSocketAgain where it cannot be made or watched; it ends with ctx.
func (s serveSocket) runSocketWatch(ctx context.Context, log *slog.Logger) {
	w, _ := watchOpenNames() // without it the file is looked at again and again
	told := ""
	runWatchLook(ctx, w, serveSocketSettle, serveSocketAgain, func(follow func(string) (bool, error)) bool {
		if !s.listener.standing() && ctx.Err() == nil {
			err := s.renew()
			switch {
			case err == nil:
				log.Warn("the socket was removed from outside: made it again", "socket", s.path)
			case err.Error() != told:
				told = err.Error()
				log.Error("the socket was removed from outside, and cannot be made again: nobody can come in there; trying on", "socket", s.path, "cause", err)
			}
			if err != nil {
				return false
			}
		}
		told = ""
		_, err := follow(s.path)
		return err == nil && s.listener.standing() // it may have gone before it was watched
	})
}
