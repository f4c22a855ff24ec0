// exec.go: one process for a task: it is started, read, timed out, stopped, and what it leaves behind is cleared up.
// The parts of the room:
//
//	exec.go             procs, which all processes share, and the stop of one
//	exec_run.go         the life of a process from its start to its end
//	exec_start.go       the start: program, environment, folder
//	exec_output.go      what a process writes: lines, and what goes beyond the bound of its run
//	exec_mask.go        secrets in what a process writes
//	exec_left.go        what cannot be ended
//	exec_limits.go      how much of the machine it may take; exec_cgroup_linux.go by cgroups
//	exec_linux.go       on Linux: who belongs to a task; waiting for several things at once
//	exec_fork_linux.go  on Linux: the fork; exec_fork_shared.go where the child shares our memory
//	exec_other.go       the same on other systems
//
// A task's main process gets a session, and so a process group, of its own. A group alone would leave it the agent's
// terminal: a password prompt would then stop the task for ever, while without a terminal it fails at once. Nobody can
// join a session from outside, so every process of a task lives outside our session. That tells the orphans of tasks
// from children that other code of this program started (see collect).
//
// A task ends when its main process ends. Children that still hold its output delay nothing: what was in the pipes by
// then is delivered, and the children get TERM, the grace, and KILL while the caller has gone on.
//
// Goroutines: one collects the dead that nobody else does (procs.runCollect, woken by SIGCHLD). For each process one
// reads its output and ends it (run). One more goes on while it has left something behind (runLinger), and one while
// there is something to stop (runEnding).

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	procMaxLine  = 64 << 10               // bytes of a line that are delivered in one piece
	procMinBuf   = 4 << 10                // first size of a stream's buffer; it grows to procMaxLine+1
	procShown    = 1 << 10                // bytes of a line without an end that unended gives
	procGrace    = 10 * time.Second       // between TERM and KILL unless the task says otherwise
	procKillWait = 150 * time.Millisecond // a stop ends so long after KILL, come what may
	// how long what the main process left behind has to end by itself, as the tee of "exec > >(tee log)" does
	procLinger   = 200 * time.Millisecond
	procLastWait = 2 * time.Second // how long close and killLeftovers wait after KILL
	procPatience = time.Minute     // between looks at what SIGKILL cannot end
	// how long after SIGCHLD the dead are collected that their own goroutine does not collect: one walk for many
	procReap = 10 * time.Millisecond
	// so long a start waits for the end of its process, or output of it, before it looks whether that has begun: most
	// tasks are short, and wake us once
	procBirthLook = 2 * time.Millisecond
	procPolls     = 32 // sets of descriptors that are kept for the next processes
	procPath      = "/usr/local/bin:/usr/bin:/bin"
)

// errProcsClosed is the answer to a start after close.
var errProcsClosed = errors.New("agent is stopping: no process is started any more")

// procSpec says what to run.
type procSpec struct {
	// Program and arguments; a program without a slash is looked up in PATH of Env. Env is the whole environment
	// ("K=V") apart from the cookie; nothing of ours is added. Dir is the working directory, "" is ours.
	Argv []string
	Env  []string
	Dir  string

	// Input is the file that it reads on standard input; nil: Stdin is what it reads there, "" is nothing. Umask
	// is its file mode creation mask in octal digits, "" is ours.
	Input *os.File
	Stdin string
	Umask string

	// Stay: what the main process leaves behind when it ends by itself may go on.
	Stay bool

	// User is whom it runs as; nil: as we do.
	User *procUser

	// Limits is how much it may take; nil: whatever it likes.
	Limits *procLimits

	// Cookie is the value of the cookie variable: each attempt has another, and all that it starts has the same.
	Cookie string

	// Timeout counts from Begun, or when that is zero from the start; 0 is none. A stop begins with StopSignal, 0 is
	// TERM. Grace is the time between that and KILL; 0 is 10 s.
	Timeout    time.Duration
	Begun      time.Time
	StopSignal syscall.Signal
	Grace      time.Duration

	// Output gets the lines, as many at once as were read. Calls come from one goroutine at a time and none begins
	// after done. It may block: then the pipe fills and the process waits. It must return at some time after done:
	// until then it holds a goroutine and six file descriptors, as a running process does. A stop does not wait for it.
	// nil throws the output away.
	Output func(procLines)

	// Mask hides secrets in what Output and Rest get; nil: there are none.
	Mask *procMask

	// Budget bounds what Output gets, of this process and perhaps of others; nil is no bound. Rest gets what goes
	// beyond it, under the terms of Output; nil throws that away.
	Budget *procBudget
	Rest   func(procRest)

	// Unended is called when the end of what was read is a line without an end, see unended. It must be quick.
	Unended func()

	// Left hears of the processes of the task that cannot be ended, whenever that has changed: first before done, if
	// there are any by then, and perhaps long after it. An empty list says that none are left. The calls come one after
	// the other, each from some goroutine that may wait. nil: nobody asks.
	Left func([]procLeft)

	// Stage hears what start is about to wait for, as "look for the program x", in the goroutine of start. nil: nobody
	// asks.
	Stage func(string)
}

// procUser is a user for a process. Only root can start a process of another.
type procUser struct {
	Name     string // for errors
	UID, GID uint32
	Groups   []uint32 // all, with GID
}

// procLines is output as it was read: whole lines, or the one that has no newline.
type procLines struct {
	Time time.Time // when it was read
	Err  bool      // from stderr
	// Text is any bytes, at most procMaxLine of them in a line. Each line has its newline, but for the last of the
	// output and for a line that is too long: that one goes on in the next call for the stream, if Partial is set. The
	// callee may use the text until it returns.
	Text    []byte
	Partial bool
}

// procNoExit is the exit code where there was no process: it could not be prepared or started, or was stopped before.
const procNoExit = -1

// procResult says how a process ended.
type procResult struct {
	// Exit is the exit code, 128+signal if a signal ended it, procNoExit if there was no process. Signal is as
	// "SIGKILL", "" if it exited. Reason is "" for success, else as "exit 3", "signal SIGSEGV", "timed out after 30m",
	// or what stop was told. A timeout is not a stop: at most one of them is set.
	Exit              int
	Signal            string
	Reason            string
	TimedOut, Stopped bool

	// Exited: it ended by itself, and Exit is the code that it gave.
	Exited bool

	// Started is before the fork, Finished is when its end was seen, and Elapsed is the time between, by the monotonic
	// clock.
	Started, Finished time.Time
	Elapsed           time.Duration

	// Used is what the process used, together with the children that it waited for.
	Used procUse

	// Limited says how its limits were in force, "" where it has none, and Struck which it has run into.
	Limited string
	Struck  procStruck

	// Left names the processes that it left behind, which did not end by themselves and are being ended; those that
	// cannot be ended are procSpec.Left's.
	Left []string
}

// procUse is what a process used of its machine. What is not known is 0.
type procUse struct {
	CPU           time.Duration // its own and the system's for it
	Memory        int64         // bytes, at most, of the largest; see procSys.used
	Read, Written int64         // bytes from a disk and to one
}

// procs is what the processes of an agent share. A program makes one: it takes over SIGCHLD and, on Linux, the orphans
// of the program's descendants. Any goroutine may call its methods.
type procs struct {
	key  string // name of the cookie variable
	sys  procSys
	null *os.File                                // stdin of every process that is given no text
	kill func(pid int, sig syscall.Signal) error // unix.Kill, replaced by a test
	look time.Duration                           // procBirthLook, replaced by a test

	sigCh  chan os.Signal
	quitCh chan struct{} // closed last: ends runCollect
	hurry  chan struct{} // closed by close: nobody gets any more grace
	loop   sync.WaitGroup
	work   sync.WaitGroup // every run and runEnding

	mu       sync.Mutex // never held over a fork, a walk of /proc or a callback
	closed   bool
	starting int                // starts that may have forked, and are not in mains yet
	mains    map[int]*proc      // main processes not yet collected
	untold   int                // of these, those of whose end only SIGCHLD tells
	live     map[*proc]struct{} // not done yet, or ending
	polls    []*procPoll        // empty ones
}

// proc is a process that was started.
type proc struct {
	ps   *procs
	spec procSpec
	pid  int
	out  [2]procStream

	// These belong to run. endFd is a descriptor that has something to read when the main process has ended, -1 where
	// only SIGCHLD says so; endTold: it has. lingers: runLinger was begun.
	// early are those of its descriptors that had something to read before run began.
	endFd            int
	endTold, lingers bool
	early            []int

	readDone chan struct{} // closed when run has ended
	force    chan struct{} // closed by kill: no more grace
	doneCh   chan struct{} // closed by finish

	sealed  atomic.Bool // no further callback
	started time.Time
	res     procResult // written before doneCh is closed
	roster  procRoster // who belongs to the task
	hold    *procHold  // its limits, nil: it has none

	leftMu sync.Mutex // held over spec.Left
	spent  bool       // KILL had its time
	told   []procLeft // what spec.Left was told

	// ps.mu guards these. poll is what run waits in, nil once it has ended. ended: the main process has, and exit says
	// how; cleared: it has left nothing behind that is still waited for; ending: runEnding goes on; isDone: doneCh is
	// closed, and whenDone was called. left names what the main process left behind. reason, stopped and timedOut are
	// of the first stop; forced: one was a kill.
	poll                           *procPoll
	exit                           *procExit
	ended, cleared, ending, isDone bool
	whenDone                       func(procResult)
	left                           []string
	stopped, timedOut              bool
	forced                         bool
	untold                         bool // it counts in ps.untold until it has ended
	reason                         string
	timeout, giveUpTimer           *time.Timer
}

// procExit is the end of a main process as collect saw it.
type procExit struct {
	at     time.Time
	status syscall.WaitStatus
	usage  unix.Rusage
	taken  bool // somebody else collected the status
}

// procMember is a live process that belongs to a task.
type procMember struct {
	pid, group int
	start      string // start time since boot: with pid, names a process for good
}

// newProcs prepares this program to run processes. cookieKey names the environment variable that marks them. life is
// what this agent has in common with its earlier lives and with nobody else, as its folder: see killLeftovers. On Linux
// it makes this program the parent of its descendants' orphans, and sees to it that no child inherits a file descriptor
// above 2 that this program has inherited.
func newProcs(cookieKey, life string) (*procs, error) {
	if cookieKey == "" || strings.ContainsAny(cookieKey, "=\x00") {
		return nil, fmt.Errorf("prepare processes: bad name of the cookie variable %q", cookieKey)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("prepare processes: %w", err)
	}
	ps := &procs{
		key: cookieKey, null: null, kill: unix.Kill, look: procBirthLook,
		sigCh: make(chan os.Signal, 1), quitCh: make(chan struct{}), hurry: make(chan struct{}),
		mains: map[int]*proc{}, live: map[*proc]struct{}{},
	}
	if err := ps.sys.open(life); err != nil {
		null.Close()
		return nil, fmt.Errorf("prepare processes: %w", err)
	}
	signal.Notify(ps.sigCh, unix.SIGCHLD)
	ps.loop.Go(ps.runCollect)
	return ps, nil
}

// close kills what still runs, waits until it is gone, and ends the goroutine. From here on start fails. It leaves a
// process that SIGKILL cannot end, after procLastWait, and what the system itself holds up, a fork or a read of /proc,
// after twice that.
func (ps *procs) close() {
	ps.mu.Lock()
	if ps.closed {
		ps.mu.Unlock()
		return
	}
	ps.closed = true
	var live []*proc
	for p := range ps.live {
		live = append(live, p)
	}
	ps.mu.Unlock()
	close(ps.hurry)
	for _, p := range live {
		p.kill("agent stopped")
	}
	if !procWait(&ps.work, 2*procLastWait) {
		return // a goroutine that hangs may still use what would be closed here
	}
	signal.Stop(ps.sigCh)
	close(ps.quitCh)
	if !procWait(&ps.loop, procLastWait) {
		return
	}
	ps.sys.close()
	ps.null.Close()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, poll := range ps.polls { // keepPoll adds none any more
		poll.close()
	}
	ps.polls = nil
}

// procWait waits for a group, at most d. It is false when the group has not ended by then: a goroutine goes on waiting.
func procWait(group *sync.WaitGroup, d time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// runCollect collects dead children, procReap after SIGCHLD at the latest: the goroutine of a process collects that
// itself where the system tells it of the end. Until then further signals would only cost time, and the system drops
// them. It ends with quitCh.
func (ps *procs) runCollect() {
	reap, armed := time.NewTimer(time.Hour), false
	defer reap.Stop()
	for {
		select {
		case <-ps.sigCh:
			switch {
			case ps.someUntold():
				ps.collect()
			case !armed:
				armed = true
				reap.Reset(procReap)
				ps.sys.deafen()
			}
		case <-reap.C:
			armed = false
			ps.sys.hear()
			ps.collect()
		case <-ps.quitCh:
			ps.sys.hear()
			ps.collect()
			return
		}
	}
}

// someUntold says whether there is a process of whose end only SIGCHLD tells.
func (ps *procs) someUntold() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.untold > 0
}

// collect takes the status of main processes by their own pids, and then that of orphans that came to us. It leaves all
// other children to whoever started them; procSys.orphans tells them apart.
func (ps *procs) collect() {
	ps.mu.Lock()
	for _, p := range ps.mains {
		if p.collect() {
			p.wake()
		}
	}
	ps.mu.Unlock()
	for ps.reapOrphans() > 0 {
		// One that was reaped may have hidden others from the list while we read it: read again.
	}
}

// reapOrphans frees the zombies among our orphans and returns how many there were.
func (ps *procs) reapOrphans() int {
	n := 0
	for _, st := range ps.orphans() {
		if !st.dead {
			continue
		}
		if pid, err := unix.Wait4(st.pid, nil, unix.WNOHANG, nil); err == nil && pid == st.pid {
			n++
		}
	}
	return n
}

// orphans are the children that came to us because their parent ended.
func (ps *procs) orphans() []procStat {
	var found []procStat
	for _, st := range ps.sys.orphans() {
		ps.mu.Lock()
		_, ours := ps.mains[st.pid]
		ps.mu.Unlock()
		if !ours {
			found = append(found, st)
		}
	}
	return found
}

// collect notes the end of p's main process if it has ended. It says whether it has noted it now. The caller holds
// ps.mu.
func (p *proc) collect() bool {
	if p.ended {
		return false
	}
	exit := procExit{}
	pid, err := unix.Wait4(p.pid, (*unix.WaitStatus)(&exit.status), unix.WNOHANG, &exit.usage)
	if pid != p.pid && !errors.Is(err, unix.ECHILD) {
		return false
	}
	exit.taken = err != nil
	exit.at = time.Now()
	p.ended, p.exit = true, &exit
	delete(p.ps.mains, p.pid)
	if p.untold {
		p.ps.untold--
	}
	return true
}

// wake has run look at what has changed. The caller holds ps.mu.
func (p *proc) wake() {
	if p.poll != nil {
		p.poll.interrupt()
	}
}

// register makes a new process known to collect. It misses no end, timeout or close that came before.
func (p *proc) register() {
	ps := p.ps
	ps.mu.Lock()
	ps.starting--
	ps.mains[p.pid] = p
	ps.live[p] = struct{}{}
	if p.endFd < 0 {
		p.untold = true
		ps.untold++
		if p.collect() {
			p.wake()
		}
	}
	closed := ps.closed
	if p.spec.Timeout > 0 && !p.ended {
		left := p.spec.Timeout
		if !p.spec.Begun.IsZero() {
			left -= time.Since(p.spec.Begun)
		}
		p.timeout = time.AfterFunc(left, p.expire)
	}
	ps.mu.Unlock()
	if closed {
		p.kill("agent stopped")
	}
}

// done is closed when the main process has ended and its output was delivered, or a stop has run out of time.
func (p *proc) done() <-chan struct{} { return p.doneCh }

// result says how the process ended. Call it after done.
func (p *proc) result() procResult { return p.res }

// then has fn called with the result when the process is done, in a goroutine that may wait. It is false, and fn is not
// called, when it is done already. It is called once at most. Any goroutine may call it.
func (p *proc) then(fn func(procResult)) bool {
	p.ps.mu.Lock()
	defer p.ps.mu.Unlock()
	p.whenDone = fn
	return !p.isDone
}

// stop sends the stop signal to everything of the task now, and KILL after the grace. done is closed at grace + 0.2 s
// at the latest. The first reason that is given is reported; a process that has ended keeps its own. Any goroutine may
// call it.
func (p *proc) stop(reason string) { p.end(reason, false, false) }

// kill is stop without grace. It also ends the grace of an earlier stop, and that of leftovers after done.
func (p *proc) kill(reason string) {
	p.end(reason, true, false)
	p.hold.kill()
}

// expire is the stop that a timeout makes.
func (p *proc) expire() {
	p.end("timed out after "+procDuration(p.spec.Timeout), false, true)
}

// end does the work of stop, kill and expire.
func (p *proc) end(reason string, force, timeout bool) {
	p.ps.mu.Lock()
	defer p.ps.mu.Unlock()
	if force && !p.forced {
		p.forced = true
		close(p.force)
	}
	if p.isDone {
		return
	}
	if p.collect() {
		p.wake()
	}
	if !p.ended && p.reason == "" {
		if reason == "" {
			reason = "stopped"
		}
		p.reason, p.timedOut, p.stopped = reason, timeout, !timeout
	}
	limit := p.spec.Grace + procKillWait
	if force {
		limit = procKillWait
	}
	switch {
	case p.giveUpTimer == nil:
		p.giveUpTimer = time.AfterFunc(limit, p.giveUp)
	case force && p.giveUpTimer.Stop():
		p.giveUpTimer.Reset(limit)
	}
	p.startEnding()
}

// startEnding starts the removal of everything of the task, unless it goes on already. The caller holds ps.mu. Either
// finish has not returned, or something else keeps ps.work above zero.
func (p *proc) startEnding() {
	if !p.ending {
		p.ending = true
		p.ps.work.Add(1)
		go p.runEnding()
	}
}

// runEnding removes everything of the task. It ends when nothing is left. What a task left behind gets TERM, whatever
// its own stop signal is: a shell has its background jobs ignore INT and QUIT.
func (p *proc) runEnding() {
	defer p.ps.work.Done()
	first := unix.SIGTERM
	p.ps.mu.Lock()
	if p.reason != "" && p.spec.StopSignal != 0 {
		first = p.spec.StopSignal
	}
	p.ps.mu.Unlock()
	p.ps.endAll(p.roster.look, first, p.spec.Grace, procPatience, p.force, p.tellLeft)
	p.ps.mu.Lock()
	p.ending = false
	p.forget()
	p.ps.mu.Unlock()
	p.leaveCgroup()
}

// endAll sends first to what find returns, waits up to grace, and then sends KILL until find returns nothing. It
// returns how many it found at first. The ends of these processes wake it; so do force and ps.hurry, which end the
// grace. Where force is closed already it does not send first: no process shall begin to clean up and be killed in it.
// It looks again at what SIGKILL has not ended after each patience, until ps.hurry; if patience is procLastWait, only
// once. It calls tell whenever what could not be ended may have changed, with spent once SIGKILL had procLastWait to
// end it.
func (ps *procs) endAll(find func() []procMember, first syscall.Signal, grace, patience time.Duration,
	force <-chan struct{}, tell func(spent bool)) int {
	found := find()
	n := len(found)
	select {
	case <-force:
		grace = 0
	default:
		ps.signal(found, first)
		ps.signal(found, unix.SIGCONT) // a stopped process gets the other signal only now
	}
	tell(false)
	for end := time.Now().Add(grace); len(found) > 0; found = find() {
		left := time.Until(end)
		if left <= 0 || ps.sys.await(found, left, force, ps.hurry) {
			break
		}
	}
	known := map[procMember]bool{}
	wait := min(procLastWait, patience)
	for last, spent := false, false; ; {
		found = find()
		if spent || len(found) == 0 {
			tell(true)
		}
		if len(found) == 0 {
			return n
		}
		reached, fresh := ps.signal(found, unix.SIGKILL), false
		for _, m := range reached {
			fresh = fresh || !known[m]
			known[m] = true
		}
		if fresh {
			continue // at once: faster than they can fork
		}
		if last {
			return n
		}
		hurried := ps.sys.await(found, wait, nil, ps.hurry)
		if hurried && len(reached) > 0 {
			ps.sys.await(found, procLastWait, nil, nil)
		}
		last = hurried || patience == procLastWait
		spent, wait = true, patience
	}
}

// procStep is the first wait between two looks whether a process lives; later ones double, up to procStepMost.
const procStep = 20 * time.Millisecond

// procAwaitSteps waits until alive is false of all members, or timer has fired, or force or hurry is closed; then it
// returns true. It is for systems where the end of a process that is not our child wakes nobody. It looks only while
// something is being stopped.
func procAwaitSteps(members []procMember, alive func(procMember) bool, timer *time.Timer,
	force, hurry <-chan struct{}) (cut bool) {
	wait := procStep
	step := time.NewTimer(wait)
	defer step.Stop()
	for i, m := range members { // one step at least, or the caller would spin
		for lives := i == 0 || alive(m); lives; lives = alive(m) {
			select {
			case <-step.C:
				wait = min(2*wait, procStepMost) // what cannot be ended may be there for long
				step.Reset(wait)
			case <-timer.C:
				return false
			case <-force:
				return true
			case <-hurry:
				return true
			}
		}
	}
	return false
}

// signal sends sig to the groups of the members, once each: the kernel signals all of a group at one stroke, so that no
// fork slips through. KILL also goes to each pid, in case one has changed its group; then signal gives those that we
// may signal. A pid that was freed between find and here is not yet another's: the kernel gives out all others first.
func (ps *procs) signal(members []procMember, sig syscall.Signal) (reached []procMember) {
	sent := map[int]bool{}
	for _, m := range members {
		if m.group <= 1 {
			ps.kill(m.pid, sig)
		} else if !sent[m.group] {
			sent[m.group] = true
			ps.kill(-m.group, sig)
		}
	}
	if sig != unix.SIGKILL {
		return nil
	}
	for _, m := range members {
		if err := ps.kill(m.pid, sig); !errors.Is(err, unix.EPERM) {
			reached = append(reached, m)
		}
	}
	return reached
}

// killLeftovers ends processes of an earlier life of this agent: those whose cookie match accepts, what belongs to
// them, and what was about to become one. It returns how many it found, once they have ended, and by their cookies
// those that it could not end. It is called at the agent's start, before the first process.
func (ps *procs) killLeftovers(match func(cookie string) bool, grace time.Duration) (int, map[string][]procLeft) {
	cookies := map[int]string{}
	roster := procRoster{find: func() []procMember {
		found, by := ps.sys.withCookie(ps.key, match)
		maps.Copy(cookies, by) // one that shows none may be an orphan the next time
		return append(found, ps.sys.births()...)
	}}
	n := ps.endAll(roster.look, unix.SIGTERM, grace, procLastWait, nil, func(bool) {})
	alive, left := map[string][]procMember{}, map[string][]procLeft{}
	for _, m := range roster.look() {
		alive[cookies[m.pid]] = append(alive[cookies[m.pid]], m)
	}
	for cookie, members := range alive {
		left[cookie] = ps.leftOf(members, true)
	}
	return n, left
}

// procDuration gives d as text without the zeros of Duration.String: 30m, not 30m0s.
func procDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
