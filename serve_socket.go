// serve_socket.go: the principal's own socket: who may use it, and that it stays there while it serves. Whatever clears up /run, or a person, may remove its file:
// then nobody comes in any more, while all looks well from inside. It is made again at once. May use what serve.go may.

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
	s := serveSocket{path: path, group: group, gid: -1}
	if group != "" {
		if s.gid, err = serveGroup(group); err != nil {
			return err
		}
		opt.SocketMode = 0o660
		opt.Allow = func(p wirePeer) error { return serveMember(p, uint32(s.gid), group) }
	}
	if err := s.makeFolder(); err != nil {
		return err
	}
	if s.listener, err = wireListen("ipc://"+path, opt); err != nil {
		return err
	}
	d.listeners = append(d.listeners, s.listener)
	d.socket = s
	if err := s.give(); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(path)); err == nil && group != "" && info.Mode()&0o011 == 0 {
		d.log.Warn("the group cannot reach the socket: its folder lets nobody through", "folder", filepath.Dir(path), "mode", info.Mode().Perm().String())
	}
	return nil
}

// makeFolder makes the folder of the socket where there is none, and opens it to the group: it is ours to open, one that
// was there is not.
func (s serveSocket) makeFolder() error {
	dir := filepath.Dir(s.path)
	_, err := os.Stat(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	if !missing || s.group == "" {
		return nil
	}
	if err := errors.Join(os.Chown(dir, -1, s.gid), os.Chmod(dir, 0o750)); err != nil {
		return fmt.Errorf("open folder of the socket to group %s: %w", s.group, err)
	}
	return nil
}

// give lets the group use the socket.
func (s serveSocket) give() error {
	if s.group == "" {
		return nil
	}
	if err := os.Chown(s.path, -1, s.gid); err != nil {
		return fmt.Errorf("give socket to group %s: %w: the principal's user must be in it", s.group, err)
	}
	return nil
}

// renew makes the socket again, with its folder.
func (s serveSocket) renew() error {
	if err := s.makeFolder(); err != nil {
		return err
	}
	return errors.Join(s.listener.renew(), s.give())
}

// runSocketWatch makes the socket again where its file is gone. It wakes when the file loses its name, serveSocketSettle
// after that, and each serveSocketAgain where it cannot be made or watched; it ends with ctx.
func (s serveSocket) runSocketWatch(ctx context.Context, log *slog.Logger) {
	w, _ := watchOpenNames() // without it the file is looked at again and again
	defer func() { w.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case report, ok := <-w.reports():
			if !ok {
				w.close()
				w = nil
			} else {
				w.translate(report)
			}
			timer.Reset(serveSocketSettle)
			continue
		case <-timer.C:
		}
		var err error
		if !s.listener.standing() && ctx.Err() == nil {
			if err = s.renew(); err == nil {
				log.Warn("the socket was removed from outside: made it again", "socket", s.path)
			}
		}
		if err != nil && err.Error() != told {
			log.Error("the socket was removed from outside, and cannot be made again: nobody can come in there; trying on", "socket", s.path, "cause", err)
		}
		told = ""
		if err != nil {
			told = err.Error()
		}
		watched := false
		if w != nil && err == nil {
			_, failure := w.follow([]string{s.path})
			watched = failure == nil && s.listener.standing() // it may have gone before it was watched
		}
		if !watched {
			timer.Reset(serveSocketAgain)
		}
	}
}
