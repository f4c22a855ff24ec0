// agent.go: the owner loop of an agent, and its connection to the principal. The loop takes runs (agent_run.go executes
// them), writes everything that happens to the spool, and sends the spool to the principal while there is one. A
// principal that is away stops nothing.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	agentUnanswered = 3                     // after so many heartbeats without an answer it gives up the connection
	agentRedialMin  = 50 * time.Millisecond // first wait between two attempts to connect; each later one is doubled
	agentRedialMax  = 10 * time.Second      // longest wait between two attempts to connect
	agentSteady     = 5 * time.Second       // a connection that held for so long is made again at once
	agentWindow     = 1 << 20               // bytes sent and not acknowledged
	agentReports    = 768                   // the same in messages: a connection has room for so many
	agentParcel     = 48 << 10              // about so many bytes of one run go into one message of the spool
	// bytes that each piece of output is taken to have in a message beside its text
	agentLineRest = 64
	// how long the loop keeps what happened in a run with several tasks at work, or one that has just written
	// something, to send more of it together
	agentGather  = 10 * time.Millisecond
	agentInQueue = 1024 // calls that wait for the loop
	// bytes of output that were read and that the loop has not spooled; tasks that write more wait
	agentInBytes = 256 << 10
	// of such bytes an attempt may have so many in any case: it does not wait because another one writes much
	agentInShare = 64 << 10
	agentInAll   = 4 << 20 // of such bytes all attempts together have no more, whatever each may have
	// as long as there is a principal, tasks that write wait also while more bytes than this are unacknowledged
	agentLag       = 1 << 20
	agentLagMost   = 5 * time.Second // for as long, at most, if it acknowledges nothing at all meanwhile
	agentTurn      = 512             // of these the loop handles before one flush
	agentLastWords = 2 * time.Second // how long a stopping agent waits for its last reports to be acknowledged
)

// agentConfig is what an agent is started with.
type agentConfig struct {
	// Who it is. Capacity is how many runs it takes at once; Environ is what its tasks inherit.
	Name     string
	Labels   map[string]string
	Capacity int
	Environ  []string

	// Credentials is the folder that systemd has made of credentials for the agent, "" when there is none.
	Credentials string

	// StateDir is an absolute path; the spool lies in it. Fresh: it is new, so there is no earlier life to clear up
	// after, and goes away with the agent. Boot names this boot of the machine, "" when it is not known.
	StateDir string
	Fresh    bool
	Boot     string

	// How long a process has between TERM and KILL, and how long a stopping agent waits for its runs.
	Grace        time.Duration
	DrainTimeout time.Duration

	// Dial connects to the principal.
	Dial func(context.Context) (wireConn, error)
	Log  *slog.Logger

	// The clock on the wall, and one for leases, which goes on while the machine sleeps and which nobody sets; count
	// may be nil: then it is now.
	now   func() time.Time
	count func() time.Time

	// Each may be nil. The loop calls tell when the number of its runs or the connection has changed, and pulse in each
	// turn: it may sleep for as long as pulse says. load says how busy this machine is, nil when nobody knows.
	tell  func(runs int, connected bool)
	pulse func() time.Duration
	load  func() *float64

	// Each may be nil. timer makes what wakes it for heartbeats. The loop calls turned at the end of each turn.
	timer  func() wakeTimer
	turned func()
}

// agent takes runs from the principal and executes them. Its fields belong to the goroutine of runAgent.
type agent struct {
	cfg   agentConfig
	spool *spool
	procs *procs
	runs  map[string]*agentRun
	ahead []aheadRun // wait for a place, in order
	asks  agentAsks
	ends  map[string]heldEnd // runs that are over, but whose end is not acknowledged
	steps steps

	environ *environBase // what tasks begin with; any goroutine may use it

	// The connection; conn is nil while there is no principal. welcomed: the principal said from where to send the
	// spool. theirs are the messages that it takes besides the first ones. refused is why it did not let this agent in,
	// as it was logged; "" once it did.
	conn     wireConn
	welcomed bool
	theirs   []string
	refused  string

	// The lease of all runs: it counts from leaseFrom, when the newest hello or heartbeat that the principal answered
	// was sent. asked is when those that are not answered yet were sent by this connection, and heard is when it last
	// brought anything, or need not have done so. beaten is when the last heartbeat was due, and pace says when the
	// next one is.
	heard     time.Time
	leaseFrom time.Time
	asked     []time.Time
	beaten    time.Time
	pace      agentPace
	beats     int // sent by this connection

	// Reports on their way: said is the newest number sent by this connection, or acknowledged before it; inflight is
	// the bytes of sent.
	said     uint64
	sent     []sentReport
	inflight int

	// What is not spooled yet, and what is spooled and not sent: the runs that have some of it. gathering: it waits for
	// more; gathered: it has waited long enough. moment is the time of this turn, once somebody asked. troubled: the
	// spool's disk takes nothing.
	turn      []*agentRun
	unsent    []*agentRun
	gathering bool
	gathered  bool
	moment    time.Time
	troubled  bool

	ending []*agentRun // runs whose handlers begin once the principal has safe that their graph is over

	followed map[string]bool // runs that somebody follows, as the principal says
	draining bool            // it takes no more runs

	left agentLeftovers // processes that could not be ended and live

	told agentTold

	// What the loop is asked to do: output comes the same way as the end of its task, and is not overtaken by it. room
	// bounds the output. patience runs while the tasks wait for a principal that is behind; impatient: it has run out.
	in        *loopInbox[func()]
	room      loopRoom
	patience  *time.Timer
	impatient bool

	ended   chan struct{} // the inbox's: closed when the loop is over
	workers sync.WaitGroup
}

// agentTold is what cfg.tell has heard.
type agentTold struct {
	runs      int
	connected bool
	once      bool
}

// heldEnd is the end of a run: the lease of the run, and the number of the event.
type heldEnd struct {
	lease int
	n     uint64
}

// sentReport is a report on its way: up to which number, how many bytes.
type sentReport struct {
	n    uint64
	size int
}

// folder gives where files of a kind lie. In a fresh folder they lie together: to make and remove each folder would
// cost a run of one task more than its files.
func (c *agentConfig) folder(kind string) string {
	if c.Fresh {
		return c.StateDir
	}
	return filepath.Join(c.StateDir, kind)
}

// agentOpen opens the spool and kills what an earlier life of this agent left running.
func agentOpen(cfg agentConfig) (*agent, error) {
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.count == nil {
		cfg.count = cfg.now
	}
	spool, err := spoolOpen(cfg.folder("spool"))
	if err != nil {
		return nil, err
	}
	spool.lazy = cfg.Fresh
	procs, err := newProcs("CDKTR_COOKIE", cfg.StateDir)
	if err != nil {
		spool.close()
		return nil, err
	}
	a := newAgent(cfg, spool, procs)
	if !cfg.Fresh {
		mine := func(cookie string) bool {
			_, ok := attemptCookieOf(cookie, cfg.StateDir)
			return ok
		}
		n, left := a.procs.killLeftovers(mine, cfg.Grace)
		if userID() == 0 {
			userOutClear(cfg.StateDir)
		}
		for _, processes := range left {
			n -= len(processes)
			for i := range processes { // the secrets that its arguments may have are not known any more
				processes[i].Command, _, _ = strings.Cut(processes[i].Command, " ")
			}
		}
		if n > 0 {
			cfg.Log.Warn("killed processes that an earlier life of this agent left behind", "count", n)
		}
		if err := os.RemoveAll(cfg.folder("out")); err != nil { // files of attempts of that life
			cfg.Log.Warn("cannot remove what attempts of an earlier life left behind", "cause", err)
		}
		a.left.read(left, func(of agentAttempt, left []procLeft) { a.procs.lookAfter(left, a.leftOf(of)) })
	}
	if err := spool.damage(); err != nil {
		cfg.Log.Warn("some of what an earlier life spooled cannot be read", "cause", err)
	}
	a.recallTails()
	if !cfg.Fresh {
		os.RemoveAll(agentKeptDir(cfg.StateDir))
	}
	return a, a.recallEnds()
}

// newAgent puts an agent together.
func newAgent(cfg agentConfig, spool *spool, procs *procs) *agent {
	if cfg.timer == nil {
		cfg.timer = wakeTimerPlain
	}
	in := loopInboxNew[func()](agentInQueue)
	a := &agent{cfg: cfg, spool: spool, procs: procs, environ: newEnvironBase(cfg.Environ),
		runs: map[string]*agentRun{}, ends: map[string]heldEnd{},
		followed: map[string]bool{}, left: agentLeftoversNew(&cfg),
		steps: steps{count: map[string]int{}, hangs: map[string]int{}, work: make(chan func())}, in: in,
		room: loopRoom{most: agentInBytes, least: agentInShare, all: agentInAll}, ended: in.ended,
		leaseFrom: cfg.count(), pace: agentPaceOf(0)}
	a.asks.a = a
	return a
}

// recallEnds finds the ends of runs that an earlier life has spooled and the principal has not acknowledged.
func (a *agent) recallEnds() error {
	for {
		first, msgs, err := a.spool.next(1)
		if err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if len(msgs) == 0 {
			break
		}
		items, _ := parcelItems(msgs[0]) // flush logs one that cannot be read
		for i, item := range items {
			if item.Event != nil && item.Event.Kind == evRunFinished {
				a.ends[item.Event.Run] = heldEnd{item.Event.Lease, first + uint64(i)}
			}
		}
	}
	return nil
}

// call has the loop do fn. It is false when the loop is over: then fn is not done. The loop itself may not call it.
func (a *agent) call(fn func()) bool { return a.in.put(fn) }

// runAgent is the loop. It wakes for output and ends of tasks, for messages of the principal, for retries that are due,
// and for heartbeats while connected. When ctx ends it takes no more runs, waits for those that it has as long as
// the drain timeout says, and stops what is left. It returns when all is reported or nobody listens. kill cuts that
// short.
func (a *agent) runAgent(ctx context.Context, kill <-chan struct{}) error {
	linkCtx, stopLink := context.WithCancel(context.Background())
	a.workers.Go(func() { a.runLink(linkCtx) })
	beat, every, leased := a.cfg.timer(), time.Duration(0), false
	defer beat.stop()
	life := time.NewTimer(time.Hour)
	defer life.Stop()
	var deadline <-chan time.Time
	stop, waited := ctx.Done(), false
	for over := false; !over && !a.mayEnd(); {
		select {
		case m := <-a.in.ch:
			a.endLeases() // after a sleep of the machine a message may come before the beat that is due
			a.handle(m)
			for n := 1; n < agentTurn && len(a.in.ch) > 0; n++ {
				a.handle(<-a.in.ch)
			}
		case <-beat.C:
			a.beat()
			every = 0
		case <-life.C: // showLife below is all that is to be done
		case <-stop:
			stop, deadline = nil, time.After(a.cfg.DrainTimeout)
			a.drain()
		case <-deadline:
			// First the drain timeout, then that of the stops. What is not acknowledged by then stays in the spool.
			over = waited || len(a.runs) == 0
			waited = true
			deadline = time.After(agentGraceMost(a.runs, a.cfg.Grace) + agentLastWords)
			a.stopRuns(false)
		case <-kill:
			kill, stop = nil, nil
			deadline = time.After(agentLastWords)
			a.draining, waited = true, true
			a.giveAllBack()
			a.stopRuns(true)
		}
		a.flush()
		a.asks.giveBack()
		a.showLife(life)
		if a.cfg.turned != nil {
			a.cfg.turned()
		}
		first := len(a.runs) > 0 && !leased
		if first || every != a.every() { // a beat is over, the first run has come, or the connection has come or gone
			every = a.every()
			beat.reset(a.untilBeat())
		}
		leased = len(a.runs) > 0
	}
	a.conn = nil // nothing more goes to the principal: what comes now goes into the spool
	a.room.end()
	a.in.end(a.handle) // handles the output and ends of tasks that wait
	a.spoolTurn()
	a.flush()
	stopLink()
	a.procs.close()
	procWait(&a.workers, agentLastWords) // they end with the above; one that hangs in the system is left alone
	a.spool.close()
	return nil
}

// showLife tells those who look after the process that a turn has ended.
func (a *agent) showLife(life *time.Timer) {
	if a.cfg.pulse != nil {
		life.Reset(a.cfg.pulse())
	}
	now := agentTold{len(a.runs), a.conn != nil && a.welcomed, true}
	if a.cfg.tell != nil && now != a.told {
		a.cfg.tell(now.runs, now.connected)
		a.told = now
	}
}

// redial cuts the connection; runLink makes the next one by cfg.Dial as it is now. Any goroutine may call it.
func (a *agent) redial() {
	a.call(func() {
		if a.conn != nil {
			a.conn.Cut(nil)
		}
	})
}

// mayEnd says whether a draining agent is done: nothing runs, and all is acknowledged or nobody is connected.
func (a *agent) mayEnd() bool {
	if !a.draining || len(a.runs) > 0 {
		return false
	}
	unsent, _ := a.spool.pending()
	return unsent == 0 || a.conn == nil
}

// handle does one thing that came in.
func (a *agent) handle(fn func()) {
	a.moment = time.Time{}
	fn()
}

// drain has the agent take no more runs.
func (a *agent) drain() {
	a.draining = true
	if len(a.runs) > 0 {
		a.cfg.Log.Info("draining: waiting for runs to end", "runs", len(a.runs), "at_most", a.cfg.DrainTimeout.String())
	}
	a.send(&agentMsg{Op: msgDrain})
	a.giveAllBack()
}

// runLink keeps a connection to the principal. It connects at once, and again whenever the connection has ended, after
// a wait that doubles up to agentRedialMax, with jitter. It wakes when the connection ends or the wait is over, and
// ends with ctx.
func (a *agent) runLink(ctx context.Context) {
	wait, logged := time.Duration(0), ""
	for ctx.Err() == nil {
		conn, err := a.cfg.Dial(ctx)
		if err == nil {
			logged = ""
			began := a.cfg.now()
			stopClose := context.AfterFunc(ctx, func() { conn.Close() })
			welcome := a.readLink(conn)
			stopClose()
			conn.Close()
			a.call(func() { a.disconnected(conn) })
			switch {
			case welcome && a.cfg.now().Sub(began) > agentSteady:
				wait = 0
			case welcome: // a principal that comes and goes: soon, but not at once
				wait = agentRedialMin
			}
		} else if gist := strings.Map(agentNoDigits, err.Error()); gist != logged && ctx.Err() == nil {
			logged = gist // each cause is logged once
			a.cfg.Log.Warn("no principal; trying again until there is one", "cause", err)
		}
		if wait > 0 || err != nil {
			timer := time.NewTimer(wait*3/4 + rand.N(wait/2+1))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
		wait = min(max(2*wait, agentRedialMin), agentRedialMax)
	}
}

// agentNoDigits drops digits: two causes that differ in a port or in the number of a process are the same cause.
func agentNoDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}

// readLink reads what the principal says until the connection ends. It says whether the principal took this agent in.
func (a *agent) readLink(conn wireConn) (welcome bool) {
	if !a.call(func() { a.connected(conn) }) {
		return false
	}
	var specs protoSpecs
	for {
		frames, err := conn.Recv()
		if err != nil {
			return welcome
		}
		_, body, err := protoSplit(frames)
		var m *agentMsg
		if err == nil {
			m, err = protoOfPrincipal(body, &specs)
		}
		if err != nil {
			a.cfg.Log.Error("the principal sent what cannot be read", "cause", err)
			return welcome
		}
		welcome = welcome || m.Op == msgWelcome && m.stranger() == ""
		if !a.call(func() { a.hear(conn, m) }) {
			return welcome
		}
	}
}

// connected begins a connection: hello says who this is and what it holds.
func (a *agent) connected(conn wireConn) {
	a.spoolTurn() // hello lists an end once it is spooled
	a.conn, a.welcomed, a.heard = conn, false, a.cfg.count()
	a.asked, a.beaten, a.beats = []time.Time{a.heard}, a.heard, 0
	a.hello()
}

// hello says who this is, what it can and knows, and what it holds.
func (a *agent) hello() {
	hello := &agentMsg{V: protoVersion, Op: msgHello, Agent: a.cfg.Name, Labels: a.cfg.Labels, Capacity: a.cfg.Capacity,
		Version: programVersion(), Knows: protoKnows(), Can: protoAgentCan,
		Epoch: a.spool.epoch(), Last: a.spool.last, N: a.spool.acked, Clock: stampOf(a.cfg.now()), Left: a.left.held()}
	for _, id := range sortedKeys(a.runs) {
		as := a.runs[id].as
		if next := a.runs[id].next; next != nil {
			as = next
		}
		hello.Holds = append(hello.Holds, heldRun{id, as.Lease})
	}
	for _, id := range sortedKeys(a.ends) {
		hello.Holds = append(hello.Holds, heldRun{id, a.ends[id].lease})
	}
	a.left.unsaid = false
	a.send(hello)
}

// disconnected notes that a connection is over.
func (a *agent) disconnected(conn wireConn) {
	if a.conn != conn {
		return
	}
	if a.near() { // from now on the lease counts
		a.leaseFrom = a.cfg.count()
	}
	a.conn, a.welcomed, a.asked, a.sent, a.inflight = nil, false, nil, nil, 0
	a.followNone()
	for len(a.ahead) > 0 {
		a.aheadGone(a.ahead[0].as.Run, 0)
	}
}

// hear does what the principal says.
func (a *agent) hear(conn wireConn, m *agentMsg) {
	if a.conn != conn {
		return
	}
	a.heard = a.cfg.count()
	switch m.Op {
	case msgWelcome:
		if fault := m.stranger(); fault != "" {
			a.turnedAway(fault)
			return
		}
		a.welcomed, a.refused, a.theirs = true, "", m.Can
		a.pace = agentPaceOf(time.Duration(m.LostAfter) * time.Second)
		a.ack(m.N)
		a.spool.rewind(m.N)
		a.said = a.spool.acked
		a.answered(1)
		a.cfg.Log.Info("connected to the principal", "agent", a.cfg.Name)
		if a.cfg.load != nil { // a hello does not say it
			a.beat()
		}
		a.tellLeft()
		if a.draining {
			a.send(&agentMsg{Op: msgDrain})
		}
	case msgAssign, msgPart:
		if m.Assign == nil {
			return
		}
		if reason := m.Assign.unfit(); reason != "" {
			a.cfg.Log.Error("a run is refused: this agent is too old for it", "run", m.Assign.Run, "cause", reason)
			a.send(&agentMsg{Op: msgRefused, Run: m.Assign.Run, Lease: m.Assign.Lease, Reason: reason,
				Unknown: m.Assign.unknown})
			return
		}
		a.take(m.Assign)
	case msgCancel:
		a.cancel(m)
	case msgRecall:
		a.giveAllBack()
		a.asks.recall()
	case msgFollow:
		a.follow(m)
	case msgStopTask:
		a.cancelTask(m)
	case msgAnswer:
		a.asks.hear(m)
	case msgAck:
		a.ack(m.N)
	case msgHeartbeat: // the answer to ours
		a.answered(max(m.N, 1))
	case msgRefused:
		a.turnedAway(m.Reason)
	case "": // a principal that takes the hello for a request answers as it answers a client
		if m.Error != nil && !a.welcomed {
			a.turnedAway(m.Error.Message)
		}
	default:
		a.cfg.Log.Warn("the principal sent a message that is not known", "op", textHead(m.Op, 100))
	}
}

// turnedAway ends a connection that was refused. It logs each cause once, because runLink tries again
// every ten seconds.
func (a *agent) turnedAway(why string) {
	if why != a.refused {
		a.cfg.Log.Error("the principal refused this agent; asking again until it does not", "cause", why)
		a.refused = why
	}
	a.conn.Cut(nil)
}

// ack forgets what the principal has safe.
func (a *agent) ack(n uint64) {
	a.spool.ack(n)
	a.patient()
	if len(a.ending) > 0 {
		agentHandlers{a}.begin(n)
	}
	for len(a.sent) > 0 && a.sent[0].n <= n {
		a.inflight -= a.sent[0].size
		a.sent = a.sent[1:]
	}
	for id, end := range a.ends {
		if end.n <= n {
			delete(a.ends, id)
		}
	}
}

// send gives the principal a message, if there is one. A connection that does not take it is over.
func (a *agent) send(m *agentMsg) {
	if a.conn != nil && !a.conn.TrySend(protoEncode(m)) {
		a.conn.Cut(nil)
	}
}

// now gives the time. It is the same for all that the loop does about one thing: what happens at once has one time.
func (a *agent) now() time.Time {
	if a.moment.IsZero() {
		a.moment = a.cfg.now()
	}
	return a.moment
}
