// cli_dial.go: from the settings to a connection: which endpoint, with which keys, and what a connection that does not
// come about means for the exit code.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	dialHeartbeat  = 5 * time.Second  // over a network: a principal that is gone is seen in two
	dialSSHTimeout = 40 * time.Second // for ssh to log in, and the principal behind it to answer
	dialAskTimeout = 5 * time.Minute  // somebody types a password

	dialPatience = 30 * time.Second       // for a principal that is started again
	dialAgain    = 250 * time.Millisecond // between two tries
	dialHeld     = 5 * time.Second        // a connection that held so long was a good one, though no reply came over it
)

// dialTarget is where the principal is, and how to get in.
type dialTarget struct {
	endpoint string
	opt      wireOptions
	timeout  time.Duration
	name     string // of the credential, "" without one
}

// dialTo settles where the principal is. A daemon is asked nothing by ssh.
func (c *cli) dialTo(ctx context.Context, daemon bool) (*dialTarget, error) {
	t := &dialTarget{timeout: clientTimeout}
	insecure, err := c.insecure()
	if err != nil {
		return nil, err
	}
	t.opt.Insecure, t.opt.InsecureAny = insecure == insecureLoopback, insecure == insecureAny
	if file := c.cfg.get("credential"); file != "" {
		cred, err := credentialRead(ctx, c.waits, file)
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

// same says whether two targets are one: the same place, and the same way in.
func (t *dialTarget) same(other *dialTarget) bool {
	a, b := t.opt.CurveClient, other.opt.CurveClient
	return t.endpoint == other.endpoint && (a == nil) == (b == nil) &&
		(a == nil || a.Pair.Public == b.Pair.Public && a.Server == b.Server)
}

// dial connects once; an agent calls it again and again.
func (t *dialTarget) dial(ctx context.Context) (wireConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return wireDial(ctx, t.endpoint, t.opt)
}

// agentNameOf gives an agent its name: that of its credential, which it must be, unless it has none.
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
		switch { // the usual causes in a few words: the path once, and what to do is the hint's
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

// stateUsual is where a service keeps its state as the documentation has it; messages name it where it is there.
const stateUsual = "/var/lib/cdktr"

// stateFound is the state folder that a verb of the principal's own box works on, and how it was found.
type stateFound struct {
	dir      string
	named    bool     // by --state
	set      bool     // by any setting, not only by default
	answered bool     // a principal that answers has told it
	endpoint string   // that was asked
	told     string   // the folder of the principal that answers there, "" for none
	listens  []string // where that one listens; nil when none answers, or it does not say
}

// stateFind finds the state folder of this box's principal: that of --state, else the one that the principal tells
// which answers on the box's socket, else that of the settings.
func (c *cli) stateFind(ctx context.Context) (stateFound, error) {
	f := stateFound{dir: c.cfg.get("state"), endpoint: c.cfg.get("principal")}
	_, f.named = c.flags.set["state"]
	f.set = c.cfg.values["state"].From != "default"
	if !strings.HasPrefix(f.endpoint, "ipc:") {
		if _, ok := c.flags.set["principal"]; ok && !f.named {
			return f, usageError("the principal's keys and state are files on its own box: run this there, not with "+
				"--principal %s", f.endpoint)
		}
		f.endpoint = "ipc://" + c.cfg.get("socket") // the setting is for clients and agents of another box's
	}
	var err error
	f.told, f.listens, err = c.stateTold(ctx, f.endpoint)
	switch {
	case f.named: // whoever may answer: this folder is meant
		f.answered = f.told != "" && stateSame(f.told, f.dir)
	case err != nil:
		return f, err
	case f.told != "":
		f.dir, f.answered = f.told, true
	}
	return f, nil
}

// stateTold asks the principal at a socket for its state folder, "" when nobody answers or it does not say, and where
// it listens.
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
	if o, err := ownerOf(r.Folder); err == nil && peer.HasCred && peer.UID != 0 && o.uid != int(peer.UID) {
		return "", nil, &exitError{code: exitRefused,
			err: fmt.Errorf("the principal at %s runs as %s, and says that its state is in %s, which belongs to %s",
				endpoint, ownerName(int(peer.UID)), r.Folder, ownerName(o.uid)),
			hint: "name the state folder with --state"}
	}
	return r.Folder, r.Listening, nil
}

// stateSame says whether two names are one folder.
func stateSame(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// nothing refuses, with an exit code, to work on a folder that is no principal's, and says what to name.
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

// dialStream is what streamOn reads, and how.
type dialStream struct {
	conn   *client            // the first connection, which streamOn closes; nil: it makes that too
	req    Request            // fn changes it so that it asks, on the next connection, for what is missing
	beside *clientBeside      // nil: nothing
	say    func(string)       // tells the user that the connection was lost
	fn     func(*Reply) error // it passes over what comes twice
}

// streamOn is a stream that outlives its connection. Where that is lost, because the principal was started again or
// this end took nothing for too long, as behind a pager, another is made and the request asked once more. It gives up
// when there was neither a reply nor a connection that held for dialHeld within c.patience.
func (c *cli) streamOn(ctx context.Context, s *dialStream) error {
	conn, been, lost := s.conn, s.conn != nil, time.Time{}
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

// dialLost says whether an error means that the principal is away, or is going, and may come back.
func dialLost(err error) bool {
	exit, ok := errors.AsType[*exitError](err)
	refused, told := errors.AsType[*protoError](err)
	return ok && exit.code == exitUnreachable || told && refused.Code == codeStopping
}

// What --insecure may say.
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

// The client's end of the request API: ask and be answered, or ask and read a stream.

// clientTimeout is how long a request that needs no waiting may take.
const clientTimeout = 10 * time.Second

// client is a connection to a principal. One goroutine uses it at a time.
type client struct {
	conn     wireConn
	endpoint string
	next     int
}

// clientDial connects. An error of it means that there is no principal to talk to, or that it does not know us.
func clientDial(ctx context.Context, endpoint string, opt wireOptions) (*client, error) {
	conn, err := wireDial(ctx, endpoint, opt)
	if err != nil {
		return nil, fmt.Errorf("reach the principal: %w", err)
	}
	return &client{conn: conn, endpoint: endpoint}, nil
}

// close ends the connection; whoever reads a stream of it gets an error.
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

// askAll asks for a list page by page, and gives each of them to fn.
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

// clientBesideID is the id of a request that is asked beside a stream; those of streams are numbers.
const clientBesideID = "beside"

// clientBeside is a request that is asked again and again while a stream is read, on the same connection: first after
// delay, then each time after what fn gives, and no more once that is 0 or the principal refuses it. It is never asked
// before it was answered. fn is called by the goroutine that reads the stream.
type clientBeside struct {
	req   Request
	delay time.Duration
	fn    func(*Reply) time.Duration
}

// stream sends a request and gives each reply to fn, up to the last one. It ends early when ctx does, or fn fails.
func (c *client) stream(ctx context.Context, req Request, fn func(*Reply) error) error {
	return c.streamBeside(ctx, req, nil, fn)
}

// streamBeside is stream that asks something else meanwhile, where beside is not nil.
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
			c.conn.Send([]byte{}, again) // a connection that has ended is noticed by the loop below
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
		if err := json.Unmarshal(body, r); err != nil { // unknown fields are a newer principal's, and fine
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
			continue // of a request that was given up
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

// send asks and waits for no reply; what comes is passed over by stream.
func (c *client) send(req Request) error {
	body, err := protoAsk(req, "-", wireMaxFrame)
	if err != nil {
		return err
	}
	return c.conn.Send([]byte{}, body)
}

// errNoReply is for verbs that must have an answer in the last reply and find none.
var errNoReply = errors.New("the principal's reply is not complete: is it of another version?")
