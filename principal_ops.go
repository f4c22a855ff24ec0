// principal_ops.go: how a request comes in, is checked, carried out and answered; and the ops that change something,
// except those of runs (principal_runs.go) and ack (principal_attention.go). A connection's goroutine reads requests,
// and has each carried out by the principal's loop or by a look. A request that changes something is answered when the
// change is on disk.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	opsPage     = 500       // rows of a list in one reply, at most
	opsBytes    = 512 << 10 // bytes of a list in one reply, about: a frame has a limit
	opsDefaultN = 50        // rows of ps
	opsMaxFires = 1000      // coming fires that one request may ask for
	opsMaxKey   = 256       // bytes of an idempotency key: it is kept for a day, in memory and on disk
	opsNoted    = 10        // workflows that a note names

	opsMaxStreams = 1024 // requests of one connection that have not had their last reply
)

// opCall is one request on its way through the principal.
type opCall struct {
	req      Request
	conn     wireConn
	envelope [][]byte
	by, from string // who asks, and over what
	grant    *authGrant
	single   bool // the peer is a REQ: it can take one reply only
	peer     *lookPeer

	// Of a look; they belong to its goroutine:

	looking   bool          // it is counted as a look of its connection
	slot      chan struct{} // the slot that it has; nil: none
	share     chan struct{} // the slot in its party's share that goes with it
	slotSince time.Time     // when it got these
	paced     bool          // it is held to a pace, see principal_shares.go

	// Of a stream:

	stopped chan struct{} // closed when the peer has had enough of it
	ended   func()        // counts it no more; it may be called any number of times

	over atomic.Bool // the last reply was sent
}

// reply answers the request. A peer that does not take its replies is cut off. Any goroutine may call it.
func (c *opCall) reply(r Reply) {
	frames, last := c.frames(r)
	if c.over.Load() || last && !c.finish() {
		return // a reply that did not fit has ended it
	}
	if !c.conn.TrySend(frames...) {
		c.conn.Cut(nil)
	}
}

// send answers with one reply of many, and waits for the peer to take it. Only followers, on goroutines of their own,
// may wait like that.
func (c *opCall) send(r Reply) error {
	select {
	case <-c.stopped:
		return errOpStopped
	default:
	}
	if c.over.Load() {
		return errOpStopped
	}
	r.More = true
	frames, last := c.frames(r)
	if last {
		c.finish()
	}
	return c.conn.Send(frames...)
}

// sendBody is send for a reply of a stream that is encoded already, and may be sent to others too.
func (c *opCall) sendBody(body []byte) error {
	select {
	case <-c.stopped:
		return errOpStopped
	default:
	}
	if c.over.Load() {
		return errOpStopped
	}
	return c.conn.Send(append(slices.Clone(c.envelope), body)...)
}

// finish notes that the last reply is about to be sent. False when one was sent already.
func (c *opCall) finish() bool {
	if c.over.Swap(true) {
		return false
	}
	if c.ended != nil {
		c.ended()
	}
	return true
}

// errOpStopped is the error of a stream that has ended, mostly because its peer has asked for that.
var errOpStopped = errors.New("the stream was stopped")

// frames gives a reply as it goes out, behind the envelope that the request came in, and whether it is the last one. A
// reply that does not fit into a frame becomes an error, which ends a stream. That is rare: what goes into lists and
// records is bounded.
func (c *opCall) frames(r Reply) (frames [][]byte, last bool) {
	r.V, r.ID, r.OK = protoVersion, c.req.ID, r.Error == nil
	body := protoEncode(r)
	if len(body) > wireMaxFrame {
		r = Reply{V: protoVersion, ID: c.req.ID, Error: refuse(codeTooLarge,
			"the reply to %s would have %d bytes, and a message may have %d", c.req.Op, len(body), wireMaxFrame)}
		body = protoEncode(r)
	}
	return append(slices.Clone(c.envelope), body), !r.More
}

// refuse answers with an error.
func (c *opCall) refuse(err *protoError) { c.reply(Reply{Error: err}) }

// principalOps is the table of the ops that the loop carries out: those that change something or wait for it.
// principalLooks has those that only look. The connection itself takes hello and stop.
var principalOps = opTable[*principal]{
	{"ping", (*principal).opPing}, {"wait", (*principal).opWait}, {"run", (*principal).opRun},
	{"exec", (*principal).opExec},
	{"approve", (*principal).opApprove}, {"reject", (*principal).opApprove},
	{"cancel", (*principal).opCancel}, {"retry", (*principal).opRetry}, {"pause", (*principal).opPause},
	{"resume", (*principal).opPause}, {"drain", (*principal).opDrain}, {"undrain", (*principal).opDrain},
	{"forget", (*principal).opForget}, {"backup", (*principal).opBackup}, {"ack", (*principal).opAck},
	{"alarm", (*principal).opAlarm}, {"backfill", (*principal).opBackfill},
	{"record", (*principal).opRecord},
}

// opTable says what carries each op out. Unlike a map it costs the start of the process nothing.
type opTable[T any] []struct {
	op string
	do func(T, *opCall)
}

// of gives what carries an op out, nil where the table has none.
func (t opTable[T]) of(op string) func(T, *opCall) {
	for i := range t {
		if t[i].op == op {
			return t[i].do
		}
	}
	return nil
}

// runPeer serves one connection until it ends. With the hello of an agent it becomes that agent's connection.
func (p *principal) runPeer(conn wireConn) {
	conn, leave := p.metrics.traffic.join(conn)
	defer leave()
	defer conn.Close()
	grant := p.grantOf(conn.Peer())
	if grant == nil { // its key was removed while it shook hands
		conn.Cut(nil)
		return
	}
	if p.runOneWay(conn, grant) {
		return
	}
	by, from := peerName(conn.Peer())
	party := p.shares.join(conn.Peer().Party)
	defer party.leave()
	peer, streams := &lookPeer{party: party}, &opStreams{party: party, byID: map[string]*opCall{}}
	defer streams.end()
	paced := p.paced(grant, by)
	for {
		frames, err := conn.Recv()
		if err != nil {
			return
		}
		c := &opCall{conn: conn, paced: paced, by: by, from: from, grant: grant, single: conn.Peer().Socket == "REQ",
			peer: peer}
		var body []byte
		c.envelope, body, err = protoSplit(frames)
		if paced && !party.pace(conn, p.ended, frames) {
			return
		}
		if p.dialect.serve(c, frames[len(c.envelope):]) {
			continue
		}
		if err == nil {
			err = protoRequest(body, &c.req)
			op := c.req.Op
			if err != nil { // a hello has other fields
				op, c.req.ID = peek(body)
			}
			if op == msgHello {
				if refused := p.permitHello(c); refused != nil {
					conn.TrySend(append(c.envelope, protoEncode(&agentMsg{V: protoVersion, Op: msgRefused,
						Reason: refused.Message, Error: refused}))...)
					return // what says hello has no other use for the connection
				}
				hello := &agentMsg{}
				err = protoPeer(body, hello)
				if err == nil { // only the fleet looks after an agent's silence: nothing else becomes one
					if err := conn.AsAgent(); err != nil {
						conn.TrySend(append(c.envelope, protoEncode(&agentMsg{V: protoVersion, Op: msgRefused,
							Reason: err.Error()}))...)
						return
					}
					p.fleet.runAgentLink(conn, grant, hello)
					return
				}
			}
		}
		var refused *protoError
		switch {
		case errors.As(err, &refused):
			c.refuse(refused)
			continue
		case c.req.V > protoVersion:
			c.refuse(refuse(codeInvalid, "this principal speaks version %d of the protocol, not %d", protoVersion,
				c.req.V))
			continue
		}
		if !streams.admit(c) {
			continue
		}
		if !p.take(c) {
			c.refuse(refuse(codeStopping, "the principal is stopping"))
			return
		}
	}
}

// runOneWay serves a peer that only listens, or only pushes; false for any other.
func (p *principal) runOneWay(conn wireConn, grant *authGrant) bool {
	switch conn.Peer().Socket {
	case "SUB", "XSUB":
		p.runSubscriber(conn, grant, p.dialect.topic)
	case "PUSH":
		p.runPusher(conn, grant)
	default:
		return false
	}
	return true
}

// take has a request carried out: by a look if it only looks, else by the loop. False when the principal stops.
func (p *principal) take(c *opCall) bool {
	p.metrics.traffic.request(c.req.Op)
	if look := principalLooks.of(c.req.Op); look != nil {
		return p.looks.start(c, look)
	}
	if c.req.Op == "run" || c.req.Op == "backfill" {
		c.req.checked = p.paramsCheck(&c.req)
	}
	return p.call(func() { p.dispatch(c) })
}

// dispatch carries a request out, if it may be. Only on the loop.
func (p *principal) dispatch(c *opCall) {
	if refused := p.mayAsk(c); refused != nil {
		c.refuse(refused)
		return
	}
	principalOps.of(c.req.Op)(p, c)
}

// mayAsk says why a request cannot be carried out, nil when it can. Only on the loop.
func (l *principalLoop) mayAsk(c *opCall) *protoError {
	if principalOps.of(c.req.Op) == nil && principalLooks.of(c.req.Op) == nil {
		return unknownOp(c.req.Op)
	}
	if refused := l.permit(c.grant, c.req.Op, c.req.Workflow, c.req.Run); refused != nil {
		return refused
	}
	if field := protoOpOf(c.req.Op).missing(&c.req); field != "" {
		return refuse(codeInvalid, "%s needs the field %q", c.req.Op, field)
	}
	return nil
}

// grantOf gives what a peer may do, nil when its key has no grant. A peer without a key may do all: it came over the
// box's own socket, or the principal was started to let anyone in.
func (p *principal) grantOf(peer wirePeer) *authGrant {
	switch {
	case peer.Key == "":
		return authOwner
	case p.cfg.Keys == nil:
		return nil
	}
	return p.cfg.Keys.lookup(peer.Key)
}

// permit holds a request against a grant: its op by the table of ops, and the workflow or the run that it names. There
// are three more such places: permitHello for an agent's first message, runSubscriber and runPusher for a one-way
// connection, and oldRun for a run that is only in the history. Only on the loop.
func (l *principalLoop) permit(grant *authGrant, op, workflow, run string) *protoError {
	switch r := l.state.Runs[run]; {
	case !grant.may(protoOpOf(op)):
		return grant.deny("ask for " + op)
	case workflow != "" && !grant.sees(workflow):
		return grant.denyWorkflow(workflow)
	case r != nil && !grant.sees(r.Workflow):
		return grant.denyWorkflow("that of run " + run)
	}
	return nil
}

// permitHello says why a peer may not be an agent, nil when it may.
func (p *principal) permitHello(c *opCall) *protoError {
	if c.grant.may(protoOpOf(msgHello)) {
		return nil
	}
	p.note("not an agent's key", c.conn.Peer(), "role", c.grant.Role)
	return c.grant.deny("begin as an agent")
}

// peerAnyone is the name of those who came by tcp without a key.
const peerAnyone = "anyone"

// peerName says who is at the other end of a connection, and how they came, as the audit trail has it: the name of a
// key and an address, or a user and a process.
func peerName(peer wirePeer) (by, from string) {
	from = peer.Transport
	switch {
	case peer.Name != "":
		return peer.Name, peer.Addr
	case !peer.HasCred:
		return peerAnyone, peer.Addr
	}
	from = fmt.Sprintf("%s pid %d", from, peer.PID)
	uid := strconv.Itoa(int(peer.UID))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, from
	}
	return "uid " + uid, from
}

// peek gives op and id of a body, even if the rest of it makes no sense: a refusal needs the id to find its asker.
func peek(body []byte) (op, id string) {
	var head struct{ Op, ID string }
	if json.Unmarshal(body, &head) != nil {
		return "", ""
	}
	if len(head.ID) > protoMaxName { // such an id is refused, and not repeated
		head.ID = ""
	}
	return head.Op, head.ID
}

func unknownOp(op string) *protoError {
	ops := make([]string, 0, len(protoOps))
	for _, v := range protoOps {
		ops = append(ops, v.Op)
	}
	return refuse(codeUnknownOp, "there is no op %q%s", op, orDefault(nearHint(op, ops),
		"; {\"op\":\"help\"} lists them"))
}

// opPing says that the principal is there. To peers on the box's own socket it says where its state is and where it
// listens.
func (p *principal) opPing(c *opCall) {
	r := Reply{Version: programVersion(), Seq: p.state.Seq}
	dir, err := filepath.Abs(p.cfg.StateDir)
	if err == nil && c.conn.Peer().Transport == "ipc" {
		r.Folder, r.Listening = dir, p.cfg.Listening
	}
	c.reply(r)
}

// opDrain has an agent be given no more runs, or runs again (drain and undrain).
func (p *principal) opDrain(c *opCall) {
	kind := evAgentDrained
	if c.req.Op == "undrain" {
		kind = evAgentUndrain
	}
	if p.state.Agents[c.req.Agent] == nil {
		p.looks.refuseAside(c, p.noAgent(c.req.Agent))
		return
	}
	p.emit(&Event{Kind: kind, Agent: c.req.Agent, By: c.by, From: c.from})
	p.fleet.assignable = true
	if c.req.Op == "drain" {
		p.fleet.recall(c.req.Agent)
	}
	p.whenDurable(func() { c.reply(Reply{}) })
}

// opForget takes a lost agent off the list.
func (p *principal) opForget(c *opCall) {
	a := p.state.Agents[c.req.Agent]
	switch {
	case a == nil:
		p.looks.refuseAside(c, p.noAgent(c.req.Agent))
	case a.State != agentLost:
		c.refuse(refuse(codeConflict, "agent %s is connected: stop it first", a.Name))
	case p.fleet.running[a.Name] > 0:
		begun, ahead := p.fleet.runsAt(a.Name)
		if ahead > 0 {
			c.refuse(refuse(codeConflict, "agent %s still has %d runs, and %d queued ones that it was given ahead",
				a.Name,
				begun, ahead))
			return
		}
		c.refuse(refuse(codeConflict, "agent %s still has %d runs", a.Name, begun))
	default:
		p.emit(&Event{Kind: evAgentForgot, Agent: a.Name, By: c.by, From: c.from})
		p.whenDurable(func() { c.reply(Reply{}) })
	}
}

// opBackup has this turn end with a snapshot, and answers when that is saved.
func (p *principal) opBackup(c *opCall) {
	dir, err := filepath.Abs(p.cfg.StateDir)
	if err != nil {
		c.refuse(refuse(codeInternal, "find state folder: %v", err))
		return
	}
	p.onSnapshot = append(p.onSnapshot, func(seq uint64, err error) {
		if err != nil {
			c.refuse(refuse(codeNoSpace, "%v", err))
			return
		}
		c.reply(Reply{Folder: dir, Seq: seq})
	})
}

// noAgent refuses a name that no agent has. Only on the loop.
func (p *principal) noAgent(name string) *protoError {
	known := sortedKeys(p.state.Agents)
	return refuseNear(fmt.Sprintf("no agent %q", name), "cdktr agents lists them", name,
		func() []string { return known })
}
