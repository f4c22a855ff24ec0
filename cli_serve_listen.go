// cli_serve_listen.go: where a principal listens, and whom it lets in: at its socket its user and group, at tcp://
// everybody who has a key.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// A peer by tcp that says nothing for so long gets a PING; after twice that its place is free again. Clients of
	// ours say something more often. Of agents the fleet knows when they are silent.
	serveHeartbeat = 20 * time.Second

	serveFilesFew = 1024 // where fewer files may be open, a start says how many connections there can be
	// descriptors that a principal with an agent has open while nobody is connected: no connection can have these
	serveFilesOwn = 24
	serveMaxConns = 1_000_000 // the most connections that a setting may ask for
)

// serveBounds shares out the other descriptors of this process: half of them for tcp, all ports together, a quarter for
// the box's own socket, and the rest for files and tasks. So nobody on the network can use up those of the socket.
// conns is how many connections each of the two may have at most.
func serveBounds(conns, files int) (socket, tcp wireBounds) {
	free := max(files-serveFilesOwn, 0)
	return wireBoundsOf(conns, free/4), wireBoundsOf(conns, free/2)
}

// serveDoors is everything that a principal listens on.
type serveDoors struct {
	listeners []*wireListener
	socket    serveSocket
	compat    int       // how many of the listeners, at the end, are CDKTR's ports: 0, or 2 (output in, output out)
	keys      *authKeys // nil without tcp:// or with --insecure
	log       *slog.Logger
	errs      []error // of Serve, one for each listener
}

// openDoors binds the socket and every address of --bind. notes hears of everybody who is turned away there. After an
// error nothing stays bound.
func (c *cli) openDoors(log *slog.Logger, notes *peerNotes) (d *serveDoors, err error) {
	d = &serveDoors{log: log}
	defer func() {
		if err != nil {
			for _, l := range d.listeners {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	files := wireFiles()
	conns, err := c.cfg.maxConnections()
	if err != nil {
		return d, err
	}
	socket, tcp := serveBounds(conns, files)
	asked := c.cfg.values["max_connections"].From != "default"
	if files < serveFilesFew || asked && tcp.MaxConns < conns {
		log.Warn("few files may be open at once, so few may be connected: raise the limit (ulimit -n, LimitNOFILE=)",
			"files", files, "connections", socket.MaxConns, "connections_tcp", tcp.MaxConns)
	}
	intake := wireIntakeNew(wireIntakeMost, wireStall)
	if err := d.openSocket(c.cfg.get("socket"), c.cfg.get("socket_group"),
		wireOptions{wireBounds: socket, Intake: intake, Note: notes.noteWire}); err != nil {
		return d, err
	}
	binds, err := c.cfg.binds()
	if err != nil {
		return d, err
	}
	if len(binds) == 0 {
		if c.flags.compatPorts {
			return d, usageError("--compat-ports needs --bind tcp://ADDR:5561 and --insecure: CDKTR's programs dial " +
				"tcp")
		}
		return d, nil
	}
	insecure, err := c.insecure()
	if err != nil {
		return d, err
	}
	opt := wireOptions{Insecure: insecure == insecureLoopback, InsecureAny: insecure == insecureAny,
		Heartbeat: serveHeartbeat, Note: notes.noteWire,
		Places: wirePlacesNew(tcp), Intake: intake}
	if insecure == "" {
		if err := d.openKeys(c.cfg.get("state")); err != nil {
			return d, err
		}
		opt.CurveServer = &curveServer{Pair: d.keys.pair, Authorize: d.keys.authorize, Agent: d.keys.agent}
	}
	for _, endpoint := range binds {
		l, err := wireListen(endpoint, opt)
		switch {
		case errors.Is(err, errWireNoKeys):
			return d, &exitError{code: exitUsage, err: err,
				hint: "without --insecure it is for those with a key (cdktr authorize); --insecure=any lets " +
					"everybody in"}
		case err != nil:
			return d, err
		}
		d.listeners = append(d.listeners, l)
		if insecure != "" {
			log.Warn("INSECURE: without keys, whoever reaches this address can run any workflow and read everything",
				"listening", serveAddress(l), "insecure", insecure)
		}
	}
	d.sayNext(serveAddress(d.listeners[1]))
	if c.flags.compatPorts {
		return d, d.openCompat(c, binds[0], opt)
	}
	return d, nil
}

// maxConnections reads how many may be connected.
func (c *config) maxConnections() (int, error) {
	conns, err := strconv.Atoi(c.get("max_connections"))
	if err != nil || conns < 1 || conns > serveMaxConns {
		return 0, usageError("max_connections: want a number from 1 to %d, not %q", serveMaxConns,
			c.get("max_connections"))
	}
	return conns, nil
}

// binds reads the addresses of --bind.
func (c *config) binds() ([]string, error) {
	binds := strings.FieldsFunc(c.get("bind"), func(r rune) bool { return r == ',' || r == ' ' })
	for _, endpoint := range binds {
		if network, _, err := wireEndpointParse(endpoint); err != nil || network != "tcp" {
			return nil, usageError("bind %q: write tcp://ADDR:PORT (its own socket a principal has anyway: --socket)",
				endpoint)
		}
	}
	return binds, nil
}

// openCompat binds the two ports that CDKTR's own programs use beside the first: 5562 for output in and 5563 for output
// out, or those that CDKTR's own settings name, at the address of the first --bind. These programs know no keys.
func (d *serveDoors) openCompat(c *cli, bind string, opt wireOptions) error {
	if !opt.Insecure && !opt.InsecureAny {
		return usageError("--compat-ports needs --insecure: CDKTR's programs know no keys")
	}
	host := bind[:strings.LastIndexByte(bind, ':')]
	for _, port := range []struct{ env, number string }{{"CDKTR_LOGS_LISTENING_PORT", "5562"},
		{"CDKTR_LOGS_PUBLISHING_PORT", "5563"}} {
		l, err := wireListen(host+":"+orDefault(c.getenv(port.env), port.number), opt)
		if err != nil {
			return err
		}
		d.listeners = append(d.listeners, l)
		d.compat++
	}
	return nil
}

// serveAddress is the address of a listener, with the real port where port 0 was asked for.
func serveAddress(l *wireListener) string {
	if strings.HasPrefix(l.endpoint, "tcp://") {
		return "tcp://" + l.listening().Addr().String()
	}
	return l.endpoint
}

// addresses lists where the principal listens.
func (d *serveDoors) addresses() (all []string) {
	for _, l := range d.listeners {
		all = append(all, serveAddress(l))
	}
	return all
}

// openKeys reads the keys folder. At the first start it makes the principal's pair.
func (d *serveDoors) openKeys(state string) error {
	keys, faults, err := authOpen(state)
	if err != nil {
		return err
	}
	for _, fault := range faults {
		d.log.Warn("authorized keys", "cause", fault)
	}
	d.keys = keys
	return nil
}

// sayNext logs what must be done before anybody can get in.
func (d *serveDoors) sayNext(address string) {
	switch {
	case d.keys == nil:
		return
	case d.keys.made:
		d.log.Info("made this principal's key pair", "public", d.keys.pair.Public.String(), "folder", d.keys.dir)
	}
	if d.keys.count() == 0 {
		d.log.Info("nobody is authorized on " + address +
			" yet: cdktr authorize --new NAME --role agent --endpoint tcp://THIS-HOST:" +
			address[strings.LastIndexByte(address, ':')+1:] + " -o NAME.cred makes the file that lets an agent in")
	}
}

// serveGroup finds the number of a group.
func serveGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		g, err = user.LookupGroupId(name)
		if err != nil {
			return 0, usageError("socket-group: there is no group %q on this box", name)
		}
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("socket-group %s: %w", name, err)
	}
	return int(gid), nil
}

// serveMember says whether a peer on the socket belongs to a group: because it runs as that group, because the box
// lists its user as a member, or because its process has that group among its others.
func serveMember(p wirePeer, gid uint32, name string) error {
	if !p.HasCred {
		return errors.New("its user cannot be known")
	}
	if p.GID == gid {
		return nil
	}
	want := strconv.FormatUint(uint64(gid), 10)
	if u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10)); err == nil {
		if ids, err := u.GroupIds(); err == nil && slices.Contains(ids, want) {
			return nil
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID)) // proc_pid_status(5)
	if err != nil {
		status = nil
	}
	for line := range strings.Lines(string(status)) {
		ids, ok := strings.CutPrefix(line, "Groups:")
		if ok && slices.Contains(strings.Fields(ids), want) {
			return nil
		}
	}
	return fmt.Errorf("uid %d is not in group %s", p.UID, name)
}

// serve lets the principal answer at every listener until ctx ends, and keeps the authorized keys in force.
func (d *serveDoors) serve(ctx context.Context, group *sync.WaitGroup, p *principal) {
	d.errs = make([]error, len(d.listeners))
	serve := make([]func(wireConn), len(d.listeners))
	for i := range serve {
		serve[i] = p.runPeer
	}
	if n := len(serve); d.compat > 0 {
		serve[n-2] = func(conn wireConn) { compatPull(p, conn) }
		serve[n-1] = func(conn wireConn) { compatPub(p, conn) }
	}
	for i, l := range d.listeners {
		group.Go(func() { d.errs[i] = l.Serve(ctx, serve[i]) })
	}
	group.Go(func() { d.socket.runSocketWatch(ctx, d.log) })
	if d.keys != nil {
		group.Go(func() {
			d.keys.runAuthWatch(ctx, d.cut, func(err error) { d.log.Warn("authorized keys", "cause", err) })
		})
	}
}

// cut ends the connections of a key whose line was removed or changed.
func (d *serveDoors) cut(g *authGrant) {
	key, err := curveKeyParse(g.Key)
	n := 0
	for _, l := range d.listeners {
		if err == nil {
			n += l.CutKey(key, fmt.Errorf("the key of %s was removed or changed", g.Name))
		}
	}
	d.log.Info("a key was removed or changed", "name", g.Name, "role", g.Role, "connections_cut", n)
}

// Below: the principal's own socket. A person, or whatever clears up /run, may remove its file. Then nobody can connect
// any more, and the principal would not notice. So it watches the file, and makes the socket again at once.

// serveSocketAgain is how long after a failure the principal tries again to make the socket, and how often it looks at
// the file where there are no file events.
const serveSocketAgain = 10 * time.Second

// serveSocketSettle is how long after its end the socket is made again: whoever removes the folder is done by then.
const serveSocketSettle = 100 * time.Millisecond

// serveSocket is the socket, and the group that it is open to.
type serveSocket struct {
	listener *wireListener
	path     string
	gid      int
	group    string // "": none
}

// openSocket binds the ipc socket. With a group, its members may connect as well: the file's mode lets them, and
// serveMember checks who they are.
func (d *serveDoors) openSocket(path, group string, opt wireOptions) (err error) {
	if strings.Contains(path, "://") {
		return usageError("socket %q: write a path, such as /run/cdktr/cdktr.sock (tcp:// addresses: --bind)", path)
	}
	s := serveSocket{path: serveSocketAt(path), group: group, gid: -1}
	if group != "" {
		s.gid, err = serveGroup(group)
		if err != nil {
			return err
		}
		opt.SocketMode, opt.SocketGroup = 0o660, &s.gid
		opt.Allow = func(p wirePeer) error { return serveMember(p, uint32(s.gid), group) }
	}
	if err := s.makeFolder(); err != nil {
		return err
	}
	s.listener, err = wireListen("ipc://"+s.path, opt)
	if err != nil {
		return err
	}
	d.listeners = append(d.listeners, s.listener)
	d.socket = s
	if info, err := os.Stat(filepath.Dir(path)); err == nil && group != "" && info.Mode()&0o011 == 0 {
		d.log.Warn("the group cannot reach the socket: its folder lets nobody through", "folder", filepath.Dir(path),
			"mode", info.Mode().Perm().String())
	}
	return nil
}

// serveSocketAt makes a path absolute, so that the socket is made again where clients look for it, even when the
// directory in which this process works was replaced. A path that would get too long for a socket stays as it is.
func serveSocketAt(path string) string {
	if at, err := filepath.Abs(path); err == nil {
		if _, _, err := wireEndpointParse("ipc://" + at); err == nil {
			return at
		}
	}
	return path
}

// makeFolder makes the folder of the socket where there is none, and opens it to the group. It never opens a folder
// that was there before, nor one that another user has put in the place of the new one.
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
	case err == nil && s.group == "", errors.Is(err, fs.ErrExist): // somebody else has made it just now
		return nil
	case err != nil:
		return fmt.Errorf("make folder of the socket: %w", err)
	}
	if err := s.openFolder(root, name); err != nil {
		return fmt.Errorf("open folder of the socket to group %s: %w", s.group, err)
	}
	return nil
}

// openFolder opens a folder that was just made to the group.
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
		return fmt.Errorf("%s was put in its place, by somebody who can write in the folder above it: choose a path "+
			"in a folder that only you can write in", f.Name())
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

// runSocketWatch makes the socket again when its file is gone. It wakes serveSocketSettle after the file has lost its
// name, and each serveSocketAgain where the file cannot be made or watched. It ends with ctx.
func (s serveSocket) runSocketWatch(ctx context.Context, log *slog.Logger) {
	w, _ := watchOpenNames() // without a watch, runWatchLook looks again each serveSocketAgain
	lastFault := ""
	runWatchLook(ctx, w, serveSocketSettle, serveSocketAgain, func(follow func(string) (bool, error)) bool {
		if !s.listener.standing() && ctx.Err() == nil {
			err := s.renew()
			switch {
			case err == nil:
				log.Warn("the socket was removed from outside: made it again", "socket", s.path)
			case err.Error() != lastFault:
				lastFault = err.Error()
				log.Error("the socket was removed from outside, and cannot be made again: nobody can come in there; "+
					"trying on", "socket", s.path, "cause", err)
			}
			if err != nil {
				return false
			}
		}
		lastFault = ""
		_, err := follow(s.path)
		return err == nil && s.listener.standing() // it may have gone before it was watched
	})
}
