// cli_dial.go: connects to the principal that the settings name, and says with which exit code a verb ends where that
// fails. cli_config.go finds the path of the socket (configDialPath). The second half is the client's end of the
// request API.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dialHeartbeat  = 10 * time.Second // of a client over a network; a principal that is gone is noticed after two
	dialSSHTimeout = 40 * time.Second // for ssh to log in and the principal behind it to answer
	dialAskTimeout = 5 * time.Minute  // the same, where a person may have to type a password

	dialPatience = 30 * time.Second       // how long to try again: the principal may be starting again
	dialAgain    = 250 * time.Millisecond // between two tries
	dialHeld     = 5 * time.Second        // a connection that held this long was a good one, even without a reply
)

// dialTarget is where the principal is, and how to get in.
type dialTarget struct {
	endpoint string
	opt      wireOptions
	timeout  time.Duration
	name     string // of the credential, "" without one
}

// dialTo finds out where the principal is and how to get in. For a daemon, ssh must not ask for a password.
func (c *cli) dialTo(ctx context.Context, daemon bool) (*dialTarget, error) {
	t := &dialTarget{timeout: clientTimeout}
	insecure, err := c.insecure()
	if err != nil {
		return nil, err
	}
	t.opt.Insecure, t.opt.InsecureAny = insecure == insecureLoopback, insecure == insecureAny
	if file := c.cfg.get("credential"); file != "" {
		read := credentialRead
		if dir := c.getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Dir(file) == filepath.Clean(dir) {
			read = credentialReadHanded
		}
		cred, err := read(ctx, c.waits, file)
		if err != nil && ctx.Err() != nil {
			return nil, &exitError{code: exitInterrupted, err: err}
		}
		if err != nil {
			return nil, &exitError{code: exitUsage, err: err}
		}
		c.cfg.set("principal", cred.Endpoint, "credential "+file)
		t.opt.CurveClient = &curveClient{Pair: cred.Pair, Server: cred.Server}
		t.name = cred.Name
	}
	t.endpoint = c.cfg.get("principal")
	scheme, _, _ := strings.Cut(t.endpoint, "://")
	switch scheme {
	case "ssh":
		_, err = wireSSHParse(t.endpoint)
		t.opt.SSH = strings.Fields(c.getenv("CDKTR_SSH"))
		_, _, terminal := termOf(c.err)
		t.opt.SSHAsk = terminal && !daemon
		t.opt.Heartbeat, t.timeout = dialHeartbeat, dialSSHTimeout
		if t.opt.SSHAsk {
			t.timeout = dialAskTimeout
		}
	case "tcp":
		t.opt.Heartbeat = dialHeartbeat
		if t.opt.CurveClient == nil && insecure == "" {
			return nil, &exitError{code: exitUsage,
				err: fmt.Errorf("%s needs a key: name a credential with --credential FILE or CDKTR_CREDENTIAL",
					t.endpoint),
				hint: "on the principal's box: cdktr authorize --new NAME --role operator -o FILE"}
		}
		fallthrough
	default:
		_, _, err = wireEndpointParse(t.endpoint)
	}
	if t.endpoint == "" {
		err = errors.New("the credential names no endpoint: give it with --principal tcp://HOST:PORT")
	}
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return t, nil
}

// same says whether two targets have the same endpoint and the same keys.
func (t *dialTarget) same(other *dialTarget) bool {
	a, b := t.opt.CurveClient, other.opt.CurveClient
	if t.endpoint != other.endpoint {
		return false
	}
	if a == nil || b == nil {
		return a == b
	}
	return a.Pair.Public == b.Pair.Public && a.Server == b.Server
}

// dial connects once; an agent calls it again and again.
func (t *dialTarget) dial(ctx context.Context) (wireConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return wireDial(ctx, t.endpoint, t.opt)
}

// agentNameOf gives the name of an agent: that of its credential, else that of the settings. A setting that differs
// from the credential is an error.
func agentNameOf(setting configValue, t *dialTarget) (string, error) {
	switch {
	case t.name == "" || t.opt.CurveClient == nil || setting.Value == t.name:
		return setting.Value, nil
	case setting.From != "default":
		return "", usageError("the credential is for the agent %s, and %s names it %s: leave that out", t.name,
			setting.From, setting.Value)
	}
	return t.name, nil
}

// dial connects to the principal that the settings name.
func (c *cli) dial(ctx context.Context) (*client, error) {
	t, err := c.dialTo(ctx, false)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	conn, err := clientDial(limited, t.endpoint, t.opt)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	case errors.Is(err, errWireNoKeys):
		return nil, &exitError{code: exitUsage, err: err,
			hint: "--credential FILE names a key; --insecure=any does without on every address"}
	case errors.Is(err, errWireUnauthorized):
		return nil, &exitError{code: exitNotAllowed, err: err,
			hint: fmt.Sprintf("on the principal's box: cdktr authorize NAME '%s' --role ROLE",
				t.opt.CurveClient.Pair.Public)}
	case errors.Is(err, fs.ErrPermission):
		return nil, &exitError{code: exitNotAllowed, err: err,
			hint: "the principal's user, root and, with --socket-group, its group may use it"}
	case err != nil && strings.HasPrefix(t.endpoint, "ipc:"):
		switch { // the usual causes in few words, with the path once; the hint says what to do
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("no principal has made the socket %s", t.endpoint)
		case errors.Is(err, syscall.ECONNREFUSED):
			err = fmt.Errorf("no principal listens at %s any more: one that is gone left this socket", t.endpoint)
		}
		return nil, &exitError{code: exitUnreachable, err: err,
			hint: "is it running? start one with `cdktr start principal --with-agent`, or name it with --principal"}
	case err != nil && strings.Contains(err.Error(), errCurveHello.Error()):
		return nil, &exitError{code: exitUnreachable, err: err,
			hint: "the credential is for another principal, or this one has a new key: cdktr keygen --show-server " +
				"on its box prints it"}
	case err != nil:
		return nil, &exitError{code: exitUnreachable, err: err}
	}
	return conn, nil
}

// stateUsual is where a service keeps its state if it was set up as the documentation says. Messages name it where it
// exists.
const stateUsual = "/var/lib/cdktr"

// stateFound is the state folder that a verb of the principal's own box works on, and how it was found.
type stateFound struct {
	dir      string
	named    bool     // --state names it
	set      bool     // some setting names it
	answered bool     // it is the folder of a principal that has answered
	endpoint string   // the endpoint that was asked
	told     string   // the folder of the principal that answered there, "" for none
	listens  []string // where that principal listens; nil where none answered, or it did not say
}

// stateFind finds the state folder of this box's principal: the folder of --state, else that of the principal that
// answers on the box's socket, else that of the settings.
func (c *cli) stateFind(ctx context.Context) (stateFound, error) {
	f := stateFound{dir: c.cfg.get("state"), endpoint: c.cfg.get("principal")}
	_, f.named = c.flags.set["state"]
	f.set = c.cfg.values["state"].From != "default"
	if !strings.HasPrefix(f.endpoint, "ipc:") {
		if _, ok := c.flags.set["principal"]; ok && !f.named {
			return f, usageError("the principal's keys and state are files on its own box: run this there, not with "+
				"--principal %s", f.endpoint)
		}
		f.endpoint = "ipc://" + c.cfg.get("socket") // the setting names the principal of another box
	}
	var err error
	f.told, f.listens, err = c.stateTold(ctx, f.endpoint)
	switch {
	case f.named: // this folder is meant, whoever answers
		f.answered = f.told != "" && stateSame(f.told, f.dir)
	case err != nil:
		return f, err
	case f.told != "":
		f.dir, f.answered = f.told, true
	}
	return f, nil
}

// stateTold asks the principal at a socket for its state folder and where it listens. The folder is "" when nobody
// answers, or the principal does not say.
func (c *cli) stateTold(ctx context.Context, endpoint string) (folder string, listens []string, err error) {
	limited, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	conn, err := clientDial(limited, endpoint, wireOptions{})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", nil, &exitError{code: exitNotAllowed, err: err,
			hint: "ask as the principal's user, or as root; or name the state folder with --state"}
	case err != nil && ctx.Err() != nil:
		return "", nil, &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	case err != nil: // nobody is there
		return "", nil, nil
	}
	defer conn.close()
	r, err := conn.ask(limited, Request{Op: "ping"})
	if err != nil || r.Folder == "" {
		return "", nil, err
	}
	peer := conn.conn.Peer()
	trusted := !peer.HasCred || peer.UID == 0 // root may name any folder
	if o, err := ownerOf(r.Folder); err == nil && !trusted && o.uid != int(peer.UID) {
		return "", nil, &exitError{code: exitRefused,
			err: fmt.Errorf("the principal at %s runs as %s, and says that its state is in %s, which belongs to %s",
				endpoint, ownerName(int(peer.UID)), r.Folder, ownerName(o.uid)),
			hint: "name the state folder with --state"}
	}
	return r.Folder, r.Listening, nil
}

// stateSame says whether two paths lead to the same folder.
func stateSame(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// nothing is the error, with an exit code, for a folder that is no principal's. Its hint says what to do.
func (f *stateFound) nothing(code int, why string) error {
	text := fmt.Sprintf("state folder %s %s", f.dir, why)
	hint := "name the folder that the principal has: --state DIR"
	switch {
	case f.answered:
		text, hint = fmt.Sprintf("%s, where the principal at %s keeps its state, %s as seen from here", f.dir,
			f.endpoint, why), "does it run in a container? run this there"
	case !f.named:
		text = fmt.Sprintf("no principal answers at %s, and %s", f.endpoint, text)
		hint = "start the principal first, or name its state folder: --state DIR"
	}
	if _, err := os.Stat(stateUsual); err == nil && !f.answered && f.dir != stateUsual {
		hint += " (there is " + stateUsual + ")"
	}
	return &exitError{code: code, err: errors.New(text), hint: hint}
}

// dialStream is the stream that streamOn reads.
type dialStream struct {
	conn   *client            // the first connection, which streamOn closes; nil: streamOn makes it
	req    Request            // fn changes it, so that the next connection asks for what is still missing
	beside *clientBeside      // asked meanwhile; nil: nothing is
	say    func(string)       // tells the user that the connection was lost
	fn     func(*Reply) error // takes each reply; it must pass over what comes twice
}

// streamOn reads a stream that outlives its connection. A connection is lost when the principal is started again, or
// when this end reads nothing for too long, as behind a pager. Then streamOn makes another one and asks again. It gives
// up after c.patience without a reply or a connection that held for dialHeld.
func (c *cli) streamOn(ctx context.Context, s *dialStream) error {
	conn, been := s.conn, s.conn != nil // been: there was a connection
	lost := time.Time{}                 // since when there is none that works
	for {
		var err error
		if conn == nil {
			conn, err = c.dial(ctx)
		}
		if err == nil {
			been = true
			began := time.Now()
			err = conn.streamBeside(ctx, s.req, s.beside, func(r *Reply) error {
				lost = time.Time{}
				return s.fn(r)
			})
			conn.close()
			if time.Since(began) >= dialHeld {
				lost = time.Time{}
			}
		}
		conn = nil
		if !been || !dialLost(err) {
			return err
		}
		if lost.IsZero() {
			lost = time.Now()
			s.say(fmt.Sprintf("the connection was lost, and is made again for %s", c.patience))
		} else if time.Since(lost) > c.patience {
			return err
		}
		select {
		case <-time.After(dialAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// dialLost says whether an error means that the principal is away or stopping, and may come back.
func dialLost(err error) bool {
	if refused, ok := errors.AsType[*protoError](err); ok && refused.Code == codeStopping {
		return true
	}
	exit, ok := errors.AsType[*exitError](err)
	return ok && exit.code == exitUnreachable
}

// The values of --insecure.
const (
	insecureLoopback = "loopback"
	insecureAny      = "any"
)

// insecure gives the setting of that name, checked.
func (c *cli) insecure() (string, error) {
	switch v := c.cfg.get("insecure"); v {
	case "", insecureLoopback, insecureAny:
		return v, nil
	default:
		return "", usageError("insecure: %q is neither %s nor %s", v, insecureLoopback, insecureAny)
	}
}

// Below: the client's end of the request API. It asks and gets one reply, or asks and reads a stream.

// clientTimeout is how long a request that needs no waiting may take.
const clientTimeout = 10 * time.Second

// client is a connection to a principal. One goroutine uses it at a time.
type client struct {
	conn     wireConn
	endpoint string
	next     int
}

// clientDial connects. Its error means that there is no principal, or that the principal does not let us in.
func clientDial(ctx context.Context, endpoint string, opt wireOptions) (*client, error) {
	conn, err := wireDial(ctx, endpoint, opt)
	if err != nil {
		return nil, fmt.Errorf("reach the principal: %w", err)
	}
	return &client{conn: conn, endpoint: endpoint}, nil
}

// close ends the connection. A reader of its stream gets an error.
func (c *client) close() { c.conn.Close() }

// ask sends a request and gives the reply; a refusal is a *protoError.
func (c *client) ask(ctx context.Context, req Request) (*Reply, error) {
	if !req.Wait {
		limited, cancel := context.WithTimeoutCause(ctx, clientTimeout, &exitError{code: exitUnreachable,
			err: fmt.Errorf("the principal at %s does not answer (waited %s)", c.endpoint, clientTimeout)})
		defer cancel()
		ctx = limited
	}
	var last *Reply
	err := c.stream(ctx, req, func(r *Reply) error {
		last = r
		return nil
	})
	return last, err
}

// askAll asks for a list page by page, and gives each page to fn.
func (c *client) askAll(ctx context.Context, req Request, fn func(*Reply) error) error {
	for {
		r, err := c.ask(ctx, req)
		if err != nil {
			return err
		}
		if err := fn(r); err != nil || r.Next == "" {
			return err
		}
		req.After = r.Next
	}
}

// clientBesideID is the id of a request that is asked beside a stream. The ids of streams are numbers.
const clientBesideID = "beside"

// clientBeside is a request that is asked again and again on the connection of a stream: first after delay, then after
// the time that fn gives, until fn gives 0 or the principal refuses. It is never asked before the last one was
// answered. The goroutine that reads the stream calls fn.
type clientBeside struct {
	req   Request
	delay time.Duration
	fn    func(*Reply) time.Duration
}

// stream sends a request and gives each reply to fn, up to the last one. It ends early when ctx ends or fn fails.
func (c *client) stream(ctx context.Context, req Request, fn func(*Reply) error) error {
	return c.streamBeside(ctx, req, nil, fn)
}

// streamBeside is stream, and asks something else meanwhile if beside is not nil.
func (c *client) streamBeside(ctx context.Context, req Request, beside *clientBeside, fn func(*Reply) error) error {
	c.next++
	req.ID = strconv.Itoa(c.next)
	body, err := protoAsk(req, req.ID, wireMaxFrame)
	if err != nil {
		return err
	}
	var again []byte
	if beside != nil {
		again, err = protoAsk(beside.req, clientBesideID, wireMaxFrame)
		if err != nil {
			return err
		}
	}
	if err := c.conn.Send([]byte{}, body); err != nil {
		return &exitError{code: exitUnreachable, err: fmt.Errorf("ask the principal at %s: %w", c.endpoint, err)}
	}
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	var next *time.Timer
	if beside != nil {
		next = time.AfterFunc(beside.delay, func() {
			c.conn.Send([]byte{}, again) // the loop below notices a connection that has ended
		})
		defer next.Stop()
	}
	for {
		frames, err := c.conn.Recv()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return &exitError{code: exitUnreachable, err: fmt.Errorf("the principal at %s went away: %w", c.endpoint,
				err)}
		}
		_, body, err := protoSplit(frames)
		if err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		r := &Reply{}
		if err := json.Unmarshal(body, r); err != nil { // unknown fields are fine: the principal may be newer
			return fmt.Errorf("read reply: %w", err)
		}
		switch {
		case beside != nil && r.ID == clientBesideID:
			if r.Error == nil {
				if delay := beside.fn(r); delay > 0 {
					next.Reset(delay)
				}
			}
			continue
		case r.ID != req.ID:
			continue // it answers a request that was given up
		case r.Error != nil:
			return r.Error
		}
		if err := fn(r); err != nil {
			return err
		}
		if !r.More {
			return nil
		}
	}
}

// send sends a request and waits for no reply. stream passes over the reply.
func (c *client) send(req Request) error {
	body, err := protoAsk(req, "-", wireMaxFrame)
	if err != nil {
		return err
	}
	return c.conn.Send([]byte{}, body)
}

// errNoReply is the error of a reply that lacks what was asked for.
var errNoReply = errors.New("the principal's reply is not complete: is it of another version?")
