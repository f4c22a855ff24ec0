// verbs.go: the request API, one method a verb. A connection's goroutine reads requests and has the principal's loop
// carry each out; what must read files or wait goes on in a goroutine of its own (follow.go). A request that changes
// something is answered when the change is on disk. May use what principal.go may.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/user"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	verbsPage     = 500       // rows of a list in one reply, at most
	verbsBytes    = 512 << 10 // and about so many bytes: a frame has a limit
	verbsDefaultN = 50        // rows of ps
	verbsMaxFires = 1000      // coming fires that one request may ask for
	verbsMaxKey   = 256       // bytes of an idempotency key: it is kept for a day, in memory and on disk
	verbsNoted    = 10        // workflows that a note names

	verbsMaxStreams = 1024 // requests of one connection that have not had their last reply
)

// verbCall is one request on its way through the principal.
type verbCall struct {
	req      Request
	conn     wireConn
	envelope [][]byte
	by, from string // who asks, and over what
	grant    *authGrant
	single   bool // the peer is a REQ: it can take one reply only

	stopped chan struct{} // of a stream: closed when the peer has had enough of it
	over    atomic.Bool   // the last reply was sent
}

// reply answers the request. A peer that does not take its replies is cut off. Any goroutine may call it.
func (c *verbCall) reply(r Reply) {
	if !r.More {
		c.over.Store(true)
	}
	if !c.conn.TrySend(c.frames(r)...) {
		c.conn.Cut(nil)
	}
}

// send answers with one reply of many, and waits for the peer to take it: for the goroutines of followers alone.
func (c *verbCall) send(r Reply) error {
	select {
	case <-c.stopped:
		return errVerbStopped
	default:
	}
	r.More = true
	return c.conn.Send(c.frames(r)...)
}

// errVerbStopped is an error of a stream that its peer has asked to end.
var errVerbStopped = errors.New("the stream was stopped")

// frames is a reply as it goes out: behind the envelope that the request came in.
func (c *verbCall) frames(r Reply) [][]byte {
	r.V, r.ID, r.OK = protoVersion, c.req.ID, r.Error == nil
	return append(slices.Clone(c.envelope), protoEncode(r))
}

// refuse answers with an error.
func (c *verbCall) refuse(err *protoError) { c.reply(Reply{Error: err}) }

// principalOps is the dispatch of protoVerbs; hello and stop are taken by the connection itself.
var principalOps = map[string]func(*principal, *verbCall){
	"ping": (*principal).opPing, "help": (*principal).opHelp, "ls": (*principal).opLs, "show": (*principal).opShow,
	"ps": (*principal).opPs, "next": (*principal).opNext, "why": (*principal).opWhy, "logs": (*principal).opLogs,
	"events": (*principal).opEvents, "agents": (*principal).opAgents, "wait": (*principal).opWait, "run": (*principal).opRun,
	"cancel": (*principal).opCancel, "retry": (*principal).opRetry, "pause": (*principal).opPause, "resume": (*principal).opPause,
	"drain": (*principal).opDrain, "undrain": (*principal).opDrain, "forget": (*principal).opForget,
	"backup": (*principal).opBackup, "watch": (*principal).opWatch, "attention": (*principal).opAttention,
	"ack": (*principal).opAck, "stats": (*principal).opStats,
}

// runPeer serves one connection until it ends. An agent's hello makes it that agent's.
func (p *principal) runPeer(conn wireConn) {
	defer conn.Close()
	grant := p.grantOf(conn.Peer())
	if grant == nil { // its line was removed while it shook hands
		conn.Cut(nil)
		return
	}
	switch conn.Peer().Socket {
	case "SUB", "XSUB":
		p.runSubscriber(conn, grant, false)
		return
	case "PUSH":
		p.runPusher(conn, grant)
		return
	}
	by, from := peerName(conn.Peer())
	streams := map[string]*verbCall{}
	for {
		frames, err := conn.Recv()
		if err != nil {
			return
		}
		c := &verbCall{conn: conn, by: by, from: from, grant: grant, single: conn.Peer().Socket == "REQ"}
		var body []byte
		c.envelope, body, err = protoSplit(frames)
		if p.compatServe(c, frames[len(c.envelope):]) {
			continue
		}
		if err == nil {
			var op string
			if op, c.req.ID = peek(body); op == msgHello {
				if refused := p.permitHello(c); refused != nil {
					conn.TrySend(append(c.envelope, protoEncode(&agentMsg{V: protoVersion, Op: msgRefused, Reason: refused.Message, Error: refused}))...)
					return // it is of no use to anything that says hello
				}
				hello := &agentMsg{}
				if err = protoDecode(body, hello); err == nil {
					p.runAgentLink(conn, grant, hello)
					return
				}
			} else {
				err = protoRequest(body, &c.req)
			}
		}
		var refused *protoError
		switch {
		case errors.As(err, &refused):
			c.refuse(refused)
			continue
		case c.req.V > protoVersion:
			c.refuse(refuse(codeInvalid, "this principal speaks version %d of the protocol, not %d", protoVersion, c.req.V))
			continue
		}
		if !c.stream(streams) {
			continue
		}
		if !p.call(func() { p.dispatch(c) }) {
			c.refuse(refuse(codeStopping, "the principal is stopping"))
			return
		}
	}
}

// stream keeps count of a connection's streams, by the ids of their requests, and carries out stop, which ends one. False
// when there is nothing more to do.
func (c *verbCall) stream(streams map[string]*verbCall) bool {
	if c.req.Op == "stop" {
		if field := protoVerbOf(c.req.Op).missing(&c.req); field != "" {
			c.refuse(refuse(codeInvalid, "%s needs the field %q", c.req.Op, field))
			return false
		}
		if s := streams[c.req.Of]; s != nil {
			close(s.stopped)
			delete(streams, c.req.Of)
		}
		c.reply(Reply{}) // one that has ended by itself is as good
		return false
	}
	if verb := protoVerbOf(c.req.Op); c.single || verb == nil || !verb.Stream {
		return true
	}
	maps.DeleteFunc(streams, func(_ string, s *verbCall) bool { return s.over.Load() })
	switch {
	case streams[c.req.ID] != nil:
		c.refuse(refuse(codeConflict, "id %q is that of a stream that has not ended", c.req.ID))
		return false
	case len(streams) >= verbsMaxStreams:
		c.refuse(refuse(codeBusy, "%d streams on one connection already: stop one", verbsMaxStreams))
		return false
	}
	c.stopped = make(chan struct{})
	streams[c.req.ID] = c
	return true
}

// dispatch carries a request out, if the peer may ask for it. Only on the loop.
func (p *principal) dispatch(c *verbCall) {
	op := principalOps[c.req.Op]
	if op == nil {
		c.refuse(unknownOp(c.req.Op))
		return
	}
	if refused := p.permit(c.grant, c.req.Op, c.req.Workflow, c.req.Run); refused != nil {
		c.refuse(refused)
		return
	}
	if field := protoVerbOf(c.req.Op).missing(&c.req); field != "" {
		c.refuse(refuse(codeInvalid, "%s needs the field %q", c.req.Op, field))
		return
	}
	op(p, c)
}

// grantOf gives what a peer may do, nil when its key has none. Without a key it came over the box's own socket, or the
// principal was started to let anyone in: it may do all.
func (p *principal) grantOf(peer wirePeer) *authGrant {
	switch {
	case peer.Key == "":
		return authOwner
	case p.cfg.Keys == nil:
		return nil
	}
	return p.cfg.Keys.lookup(peer.Key)
}

// permit is the one place where a request is held against a grant: its op by the table of verbs, and what it names. A run
// that is no longer in memory is held against it where the history has found it (withRun). Only on the loop.
func (p *principal) permit(grant *authGrant, op, workflow, run string) *protoError {
	switch r := p.state.Runs[run]; {
	case !grant.may(protoVerbOf(op)):
		return grant.deny("ask for " + op)
	case workflow != "" && !grant.sees(workflow):
		return grant.denyWorkflow(workflow)
	case r != nil && !grant.sees(r.Workflow):
		return grant.denyWorkflow("that of run " + run)
	}
	return nil
}

// permitHello says whether a peer may begin as an agent at all.
func (p *principal) permitHello(c *verbCall) *protoError {
	if c.grant.may(protoVerbOf(msgHello)) {
		return nil
	}
	p.cfg.Log.Warn("not an agent's key", "name", c.grant.Name, "role", c.grant.Role, "from", c.from)
	return c.grant.deny("begin as an agent")
}

// peerName says who is at the other end of a connection, as the audit trail has it, and how they came: the name of a
// key and an address, or a user and a process.
func peerName(peer wirePeer) (by, from string) {
	from = peer.Transport
	switch {
	case peer.Name != "":
		return peer.Name, peer.Addr
	case !peer.HasCred:
		return "anyone", peer.Addr
	}
	from = fmt.Sprintf("%s pid %d", from, peer.PID)
	uid := strconv.Itoa(int(peer.UID))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, from
	}
	return "uid " + uid, from
}

// peek gives op and id of a body, also where the rest of it makes no sense, so that the refusal finds its asker.
func peek(body []byte) (op, id string) {
	var head struct{ Op, ID string }
	if json.Unmarshal(body, &head) != nil {
		return "", ""
	}
	if len(head.ID) > protoMaxName { // it is refused, and not repeated
		head.ID = ""
	}
	return head.Op, head.ID
}

func unknownOp(op string) *protoError {
	ops := make([]string, 0, len(protoVerbs))
	for _, v := range protoVerbs {
		ops = append(ops, v.Op)
	}
	if near := nearest(op, ops); near != "" {
		return refuse(codeUnknownOp, "there is no op %q (did you mean %q?)", op, near)
	}
	return refuse(codeUnknownOp, "there is no op %q; {\"op\":\"help\"} lists them", op)
}

func (p *principal) opHelp(c *verbCall) { c.reply(Reply{Verbs: protoVerbs, Version: version}) }

// opPing says that the principal is there, and to those who came over the box's own socket where its state is.
func (p *principal) opPing(c *verbCall) {
	r := Reply{Version: version, Seq: p.state.Seq}
	if dir, err := filepath.Abs(p.cfg.StateDir); err == nil && c.conn.Peer().Transport == "ipc" {
		r.Folder = dir
	}
	c.reply(r)
}

// opLs lists workflows by id: those with a file, and nothing of those that are gone.
func (p *principal) opLs(c *verbCall) {
	limit := pageOf(c.req.N, verbsPage)
	var list []WorkflowInfo
	next, count := "", 0
	for _, id := range sortedKeys(p.files) {
		if !c.grant.sees(id) {
			continue
		}
		count++
		if id <= c.req.After || next != "" || !idMatches(c.req.Pattern, id) {
			continue
		}
		if len(list) == limit {
			next = list[len(list)-1].Workflow
			continue
		}
		list = append(list, p.infoOf(p.files[id]))
	}
	if n := fitting(list); n < len(list) {
		list, next = list[:n], list[n-1].Workflow
	}
	c.reply(Reply{Workflows: list, Next: next, Count: count})
}

// fitting gives how many of the rows fit into one reply: at least one, when there is one.
func fitting[T any](rows []T) int {
	size := 0
	for i := range rows {
		if size += len(protoEncode(rows[i])); size > verbsBytes && i > 0 {
			return i
		}
	}
	return len(rows)
}

// pageOf bounds how many rows a reply has.
func pageOf(asked, fallback int) int {
	if asked <= 0 {
		return fallback
	}
	return min(asked, verbsPage)
}

// infoOf tells of one workflow what ls shows.
func (p *principal) infoOf(f *workflowFile) WorkflowInfo {
	info := WorkflowInfo{Workflow: f.ID, Name: f.ID, File: f.File, Schedule: []string{}, Paused: p.pausedBy(f.ID)}
	if w := f.Spec; w != nil {
		info.Name, info.Description, info.Timezone, info.Tasks = orDefault(w.Name, f.ID), w.Description, w.Timezone, len(w.Tasks)
		info.Schedule = append(info.Schedule, w.Schedule...)
	}
	if at, ok := p.sched.nextOf(f.ID); ok {
		info.Next = stampOf(at)
	}
	for _, fault := range f.Faults {
		if fault.Warning {
			info.Warnings = append(info.Warnings, fault.String())
		} else if info.Error == "" {
			info.Error = fault.String()
		}
	}
	if ws := p.state.Workflows[f.ID]; ws != nil {
		info.Recent = ws.Recent
	}
	if last := p.lastRun(f.ID); last != nil {
		info.Last = last.short()
	}
	return info
}

// lastRun gives the newest run of a workflow, without its tasks where it is not in memory any more; nil when there is none.
func (p *principal) lastRun(workflow string) *Run {
	if id := p.newestRun(workflow); id != "" {
		return p.state.Runs[id]
	}
	if ws := p.state.Workflows[workflow]; ws != nil {
		return ws.Last
	}
	return nil
}

// newestRun gives the newest run of a workflow that is in memory, "" when there is none.
func (p *principal) newestRun(workflow string) string {
	newest := ""
	for _, id := range p.active[workflow] {
		newest = max(newest, id)
	}
	if ws := p.state.Workflows[workflow]; ws != nil {
		for _, o := range ws.Recent {
			if p.state.Runs[o.Run] != nil {
				newest = max(newest, o.Run)
			}
		}
	}
	return newest
}

// opShow tells all of one workflow, or of one run.
func (p *principal) opShow(c *verbCall) {
	switch f := p.files[c.req.Workflow]; {
	case c.req.Run != "":
		p.showRun(c)
	case c.req.Workflow == "":
		c.refuse(refuse(codeInvalid, "show needs a workflow or a run"))
	case f == nil:
		c.refuse(p.noWorkflow(c.grant, c.req.Workflow))
	default:
		c.reply(Reply{Workflows: []WorkflowInfo{p.infoOf(f)}, Spec: f.Spec})
	}
}

// showRun tells all of one run, with the version of the workflow that it runs: what the state still has of that, or the
// file when it is the same.
func (p *principal) showRun(c *verbCall) {
	p.withRun(c, func(r *Run) {
		p.workers.Go(func() {
			specs, _ := principalAsk(p, func() (specs [2]*Workflow) {
				specs[0] = p.state.Versions[r.Version]
				if f := p.files[r.Workflow]; f != nil {
					specs[1] = f.Spec
				}
				return specs
			})
			spec := specs[0]
			if spec == nil && specs[1] != nil {
				if hash, _ := specs[1].hash(); hash == r.Version {
					spec = specs[1]
				}
			}
			if spec != nil && len(protoEncode(r))+len(protoEncode(spec)) > verbsBytes*3/2 { // a frame has twice verbsBytes
				spec = nil
			}
			c.reply(Reply{Runs: []*Run{r}, Spec: spec})
		})
	})
}

// withRun finds a run, in memory or else in the history, and has fn answer with a copy of it. fn may run on another
// goroutine.
func (p *principal) withRun(c *verbCall, fn func(*Run)) {
	if r := p.state.Runs[c.req.Run]; r != nil {
		fn(p.shown(r))
		return
	}
	if id := c.req.Run; p.files[id] != nil && c.grant.sees(id) {
		c.refuse(p.notRun(c.req.Op, id))
		return
	}
	p.workers.Go(func() {
		r, err := p.store.historyFind(c.req.Run)
		switch {
		case errors.Is(err, errHistoryNone):
			c.refuse(refuse(codeNotFound, "no run %q (cdktr ps --all lists them)", c.req.Run))
		case err != nil:
			c.refuse(refuse(codeInternal, "read history: %v", err))
		case !c.grant.sees(r.Workflow):
			c.refuse(c.grant.denyWorkflow("that of run " + r.ID))
		default:
			fn(r)
		}
	})
}

// shown copies a run for a reply; of a queued one it says what it waits for.
func (p *principal) shown(r *Run) *Run {
	r = r.clone()
	if r.State == runQueued {
		if wait := p.waitReason(r); r.Reason == "" {
			r.Reason = wait
		} else if wait != "" {
			r.Reason += "; " + wait
		}
	}
	return r
}

// noWorkflow refuses an id that is not there.
func (p *principal) noWorkflow(grant *authGrant, id string) *protoError {
	known := slices.DeleteFunc(sortedKeys(p.files), func(other string) bool { return !grant.sees(other) })
	if near := nearest(id, known); near != "" {
		return refuse(codeNotFound, "no workflow %q (did you mean %q?)", id, near)
	}
	return refuse(codeNotFound, "no workflow %q (cdktr ls lists them)", id)
}

// opPs lists runs, newest first: those in memory by their id, then, where all are wanted, those of the history by when
// they finished. The history is read elsewhere.
func (p *principal) opPs(c *verbCall) {
	limit := pageOf(c.req.N, verbsDefaultN)
	after, before := psCursor(c.req.After)
	match := func(r *Run) bool {
		return c.grant.sees(r.Workflow) && (c.req.All || c.req.State != "" || runActive(r.State)) && (c.req.State == "" || r.State == c.req.State) &&
			(c.req.Workflow == "" || r.Workflow == c.req.Workflow) && (c.req.Since.IsZero() || !r.Queued.Before(c.req.Since.Time))
	}
	var runs []*Run
	for _, r := range p.state.Runs {
		if before.IsZero() && match(r) && (after == "" || r.ID < after) {
			runs = append(runs, r)
		}
	}
	sort.Slice(runs, func(i, j int) bool { return runs[i].ID > runs[j].ID })
	runs = runs[:min(limit+1, len(runs))]
	for i, r := range runs {
		runs[i] = p.shown(r)
	}
	ended := c.req.All || c.req.State != "" && !runActive(c.req.State)
	if len(runs) > limit || !ended || len(p.state.Finished) < stateMaxFinished {
		replyRuns(c, runs, limit, make([]time.Time, len(runs)))
		return
	}
	places := make([]time.Time, len(runs)) // zero for those in memory
	known := make(map[string]bool, len(p.state.Runs))
	for id := range p.state.Runs {
		known[id] = true
	}
	p.workers.Go(func() {
		var place time.Time
		filter := historyFilter{Workflow: c.req.Workflow, State: c.req.State, Since: c.req.Since.Time, tell: func(at time.Time) { place = at }}
		if !before.IsZero() {
			filter.behind, filter.behindAt = after, before
		}
		err := p.store.historyList(filter, func(r *Run) bool {
			if !known[r.ID] && match(r) {
				runs, places = append(runs, r), append(places, place)
			}
			return len(runs) <= limit
		})
		if err != nil {
			c.refuse(refuse(codeInternal, "read history: %v", err))
			return
		}
		replyRuns(c, runs, limit, places)
	})
}

// psCursor reads what replyRuns wrote: the last run of a page, and, for one of the history, its place there.
func psCursor(text string) (run string, place time.Time) {
	run, finished, _ := strings.Cut(text, " ")
	if at, err := time.Parse(time.RFC3339Nano, finished); err == nil {
		place = at
	}
	return run, place
}

// replyRuns answers with the runs that fit, and with where to go on when there are more; places is where those of the history
// lie in it.
func replyRuns(c *verbCall, runs []*Run, limit int, places []time.Time) {
	n := min(limit, fitting(runs))
	reply := Reply{Runs: runs[:n], Count: n}
	if n < len(runs) {
		last := runs[n-1]
		reply.Next = last.ID
		if place := places[n-1]; !place.IsZero() {
			reply.Next += " " + place.Format(time.RFC3339Nano)
		}
	}
	c.reply(reply)
}

// opNext lists coming fires: of one workflow, or the first ones of all that are not paused.
func (p *principal) opNext(c *verbCall) {
	n := min(max(c.req.N, 1), verbsMaxFires)
	from := p.cfg.now()
	if !c.req.At.IsZero() {
		from = c.req.At.Time
	}
	id := c.req.Workflow
	if id == "" {
		note := ""
		if p.state.PausedAll != "" {
			note = "all schedules are paused by " + p.state.PausedAll + ": nothing fires before cdktr resume --all"
		}
		fires := p.sched.comingOfAll(from, n, func(id string) bool { return c.grant.sees(id) && p.pausedBy(id) == "" })
		c.reply(Reply{Fires: fires, Note: note})
		return
	}
	if p.files[id] == nil {
		c.refuse(p.noWorkflow(c.grant, id))
		return
	}
	fires := []Fire{}
	for _, at := range p.sched.coming(id, from, n) {
		fires = append(fires, Fire{Workflow: id, At: stampOf(at)})
	}
	note := ""
	if by := p.pausedBy(id); by != "" && len(fires) > 0 {
		which := id
		if p.state.PausedAll != "" {
			which = "--all" // which resumes those that are paused by themselves too
		}
		note = fmt.Sprintf("%s is paused by %s: none of these will fire until cdktr resume %s", id, by, which)
	}
	c.reply(Reply{Fires: fires, Note: note})
}

// opWhy tells what became of the ticks of a schedule: the newest, or those around a time.
func (p *principal) opWhy(c *verbCall) {
	id := c.req.Workflow
	f, ws := p.files[id], p.state.Workflows[id]
	if f == nil && ws == nil {
		c.refuse(p.noWorkflow(c.grant, id))
		return
	}
	r := Reply{Decisions: []Decision{}}
	if f != nil {
		r.Workflows = []WorkflowInfo{p.infoOf(f)}
	}
	if ws != nil {
		r.Decisions = whyAround(ws.Decisions, c.req.At.Time, pageOf(c.req.N, 10))
	}
	if p.cfg.NoScheduler {
		r.Note = "the principal was started with --no-scheduler: nothing fires by schedule"
	}
	c.reply(r)
}

// whyAround picks n decisions: the newest, or those nearest to a time.
func whyAround(all []Decision, at time.Time, n int) []Decision {
	from := max(0, len(all)-n)
	if !at.IsZero() {
		i := sort.Search(len(all), func(i int) bool { return !all[i].At.Before(at) })
		from = max(0, min(i-n/2, len(all)-n))
	}
	return slices.Clone(all[from:min(len(all), from+n)])
}

// opAgents lists agents.
func (p *principal) opAgents(c *verbCall) {
	agents := []*Agent{}
	for _, name := range sortedKeys(p.state.Agents) {
		agents = append(agents, p.agentOf(name))
	}
	c.reply(Reply{Agents: agents})
}

// agentOf copies an agent, with what only its connection says. Only on the loop.
func (p *principal) agentOf(name string) *Agent {
	a := *p.state.Agents[name]
	a.Running = p.running[name]
	if link := p.links[name]; link != nil {
		a.Seen, a.Skew, a.Load = stampOf(link.heard), link.skew.Round(time.Second).Seconds(), link.load
		if link.leaving {
			a.State = agentDrain
		}
		if link.near {
			a.Seen = stampOf(p.cfg.now())
			if p.cfg.load != nil {
				a.Load = p.cfg.load()
			}
		}
	}
	if a.Labels == nil {
		a.Labels = map[string]string{}
	}
	return &a
}

// opPause stops or starts a schedule (pause and resume), of one workflow or of all.
func (p *principal) opPause(c *verbCall) {
	id, kind := c.req.Workflow, evPaused
	if c.req.Op == "resume" {
		kind = evResumed
	}
	switch {
	case id == "" && !c.req.All:
		c.refuse(refuse(codeInvalid, "%s needs a workflow, or all", c.req.Op))
		return
	case id != "" && p.files[id] == nil:
		c.refuse(p.noWorkflow(c.grant, id))
		return
	}
	p.emit(&Event{Kind: kind, Workflow: id, By: c.by, From: c.from})
	note := ""
	switch {
	case kind == evResumed && id != "" && p.state.PausedAll != "":
		note = "all schedules are still paused by " + p.state.PausedAll + ": cdktr resume --all"
	case kind == evResumed && id == "":
		note = p.resumeEach(c)
	}
	p.afterCommit(func() { c.reply(Reply{Note: note}) })
}

// resumeEach starts the schedules that were paused one by one: all is all. It gives a note of which they were, for
// somebody who would rather have left them.
func (p *principal) resumeEach(c *verbCall) string {
	var ids []string
	for _, id := range sortedKeys(p.state.Workflows) {
		if p.state.Workflows[id].Paused != "" {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		p.emit(&Event{Kind: evResumed, Workflow: id, By: c.by, From: c.from})
	}
	if len(ids) == 0 {
		return ""
	}
	more := ""
	if n := len(ids) - verbsNoted; n > 0 {
		ids, more = ids[:verbsNoted], fmt.Sprintf(" and %d more", n)
	}
	return "also resumed, paused by themselves before: " + strings.Join(ids, ", ") + more
}

// opDrain gives an agent no more runs, or runs again.
func (p *principal) opDrain(c *verbCall) {
	kind := evAgentDrained
	if c.req.Op == "undrain" {
		kind = evAgentUndrain
	}
	if p.state.Agents[c.req.Agent] == nil {
		c.refuse(p.noAgent(c.req.Agent))
		return
	}
	p.emit(&Event{Kind: kind, Agent: c.req.Agent, By: c.by, From: c.from})
	p.assignable = true
	p.afterCommit(func() { c.reply(Reply{}) })
}

// opForget takes a lost agent off the list.
func (p *principal) opForget(c *verbCall) {
	a := p.state.Agents[c.req.Agent]
	switch {
	case a == nil:
		c.refuse(p.noAgent(c.req.Agent))
	case a.State != agentLost:
		c.refuse(refuse(codeConflict, "agent %s is connected: stop it first", a.Name))
	case p.running[a.Name] > 0:
		c.refuse(refuse(codeConflict, "agent %s still has %d runs", a.Name, p.running[a.Name]))
	default:
		p.emit(&Event{Kind: evAgentForgot, Agent: a.Name, By: c.by, From: c.from})
		p.afterCommit(func() { c.reply(Reply{}) })
	}
}

// opBackup has this turn end with a snapshot, and says so once it is saved.
func (p *principal) opBackup(c *verbCall) {
	dir, err := filepath.Abs(p.cfg.StateDir)
	if err != nil {
		c.refuse(refuse(codeInternal, "find state folder: %v", err))
		return
	}
	p.saved = append(p.saved, func(seq uint64, err error) {
		if err != nil {
			c.refuse(refuse(codeNoSpace, "%v", err))
			return
		}
		c.reply(Reply{Folder: dir, Seq: seq})
	})
}

func (p *principal) noAgent(name string) *protoError {
	if near := nearest(name, sortedKeys(p.state.Agents)); near != "" {
		return refuse(codeNotFound, "no agent %q (did you mean %q?)", name, near)
	}
	return refuse(codeNotFound, "no agent %q (cdktr agents lists them)", name)
}
