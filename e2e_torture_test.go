// The torture program: a principal and three agents as processes of their own, clients that trigger and cancel runs
// through a proxy, and hands that kill, stop and freeze all of them at random. Tasks write what they do to a file that
// the program knows nothing of, the oracle. At the end everything is brought up again, and when nothing is active any
// more the checks of e2e_torture_check_test.go hold what was recorded, what was acknowledged and what the oracle saw
// against each other.
//
//	go test -run Torture -torture 60s -torture.seed 7
//
// The seed decides what is done and in which order, but not what the processes are at when it is done to them: the same
// seed is the same storm, not the same run.

package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

var (
	tortureFor = flag.Duration("torture", 6*time.Second,
		"how long TestTorture goes on; 80s and more has cuts and freezes past the heartbeat timeout")
	tortureSeed = flag.Uint64("torture.seed", 0, "seed of TestTorture (0: any)")
)

const (
	tortureMainEnv  = "CDKTR_TEST_TORTURE" // makes tortureMain of this binary, for seeds that are even
	tortureAgents   = 3
	tortureClients  = 5
	torturePatience = 3 * time.Minute        // for all runs to end once everything is up again
	tortureLong     = 80 * time.Second       // a storm of that length has time for silences past agentLostAfter
	tortureSilence  = 32 * time.Second       // such a silence
	tortureWaking   = 3 * time.Second        // how long what was frozen may go on before it learns that it was given up
	torturePause    = 250 * time.Millisecond // of a client between requests, at most
)

// tortureTask is what every task runs: it writes to the oracle what it does, one line a write, and prints numbered
// lines. Arguments: beats of 0.1 s, lines, the first attempt that succeeds, and, if there is one, to kill the agent
// first.
const tortureTask = `
me=$TORTURE_LIFE$$
say() { read -r up rest </proc/uptime; echo "$1 $CDKTR_RUN_ID $CDKTR_TASK_ID $CDKTR_ATTEMPT $me $up" >>"$DIR/oracle"; }
say start
if [ -n "$4" ] && read -r pid <"$DIR/pid-$TORTURE_LIFE"; then kill -9 $pid; fi
i=0
while [ $i -lt $2 ]; do i=$((i+1)); echo "$me $i"; done
i=0
while [ $i -lt $1 ]; do i=$((i+1)); sleep 0.1; say beat; done
[ "$CDKTR_ATTEMPT" -ge $3 ] || { say fail; exit 1; }
say end $2
`

// tortureWorkflows are the workflows of the storm, and whether a run of one may be given to a second agent.
var tortureWorkflows = []struct {
	id    string
	rerun bool
	lines map[string]int // that each task prints
	text  string
}{
	{"one", false, map[string]int{"a": 3}, "tasks:\n  a: {run: 'sh $DIR/task 1 3 1'}\n"},
	{"graph", false, map[string]int{"a": 1, "b": 20, "c": 5, "d": 1}, `
failover: fail
tasks:
  a: {run: 'echo "FROM=$CDKTR_RUN_ID" >> $CDKTR_OUTPUT; sh $DIR/task 0 1 1'}
  b: {depends: [a], run: 'sh $DIR/task 3 20 1'}
  c: {depends: [a], run: 'sh $DIR/task 1 5 1'}
  d: {depends: [b, c], run: '[ "$FROM" = "$CDKTR_RUN_ID" ] && sh $DIR/task 0 1 1'}
`},
	{"chatty", true, map[string]int{"a": 3000, "b": 500}, `
failover: rerun
tasks:
  a: {run: 'sh $DIR/task 2 3000 1'}
  b: {depends: [a], run: 'sh $DIR/task 1 500 1'}
`},
	{"rerun", true, map[string]int{"a": 10, "b": 10, "c": 10}, `
failover: rerun
tasks:
  a: {run: 'sh $DIR/task 5 10 1'}
  b: {depends: [a], run: 'sh $DIR/task 12 10 1'}
  c: {depends: [b], run: 'sh $DIR/task 5 10 1'}
`},
	{"flaky", false, map[string]int{"a": 7, "b": 7}, `
failover: fail
tasks:
  a: {run: 'sh $DIR/task 1 7 3', retries: 3, retry_delay: 100ms}
  b: {depends: [a], run: 'sh $DIR/task 0 7 1'}
`},
	{"again", true, map[string]int{"a": 4, "b": 4}, `
retries: 2
tasks:
  a: {run: 'sh $DIR/task 1 4 1'}
  b: {depends: [a], run: '[ -e $DIR/again-$CDKTR_RUN_ID ] || { touch $DIR/again-$CDKTR_RUN_ID; exit 3; }; sh $DIR/task 1 4 1'}
`},
	{"traitor", false, map[string]int{"a": 1}, "failover: fail\ntasks:\n  a: {run: 'sh $DIR/task 1 1 1 kill'}\n"},
	{"queue", false, map[string]int{"a": 2}, "overlap: queue\ntasks:\n  a: {run: 'sh $DIR/task 2 2 1'}\n"},
}

// torture is one storm.
type torture struct {
	*e2e
	seed  uint64
	long  bool // there is time for silences past agentLostAfter
	proxy *tortureProxy
	ends  time.Time
	hands sync.WaitGroup
	poke  chan struct{} // kills the principal now

	mu       sync.Mutex
	lives    map[string]int           // process name -> how often it was started
	up       map[string]*harness.Proc // by name: the process as it is now, for the end
	acked    map[string]string        // run -> workflow, of every acknowledged request
	keys     map[string]string        // key -> run
	told     map[string]string        // run -> the end that a waiting client was told
	silences []tortureFreeze
	counts   map[string]int
	faults   []string
	quiet    time.Time // no long silence before this, so that they do not all come at once
}

// tortureFreeze is a time in which a life of an agent could not act, by the clock of the oracle.
type tortureFreeze struct {
	life     string
	from, to float64
}

func TestTorture(t *testing.T) {
	x := &torture{e2e: e2eNew(t), seed: *tortureSeed, long: *tortureFor >= tortureLong, lives: map[string]int{},
		up:    map[string]*harness.Proc{},
		acked: map[string]string{}, keys: map[string]string{}, told: map[string]string{},
		poke: make(chan struct{}, tortureClients), counts: map[string]int{}}
	if x.seed == 0 {
		x.seed = rand.Uint64N(1 << 32)
	}
	t.Logf("torture for %s: go test -run Torture -torture %s -torture.seed %d", *tortureFor, *tortureFor, x.seed)
	for _, w := range tortureWorkflows {
		x.File(w.id+".yml", w.text)
	}
	if err := os.WriteFile(x.Dir+"/task", []byte(tortureTask), 0o644); err != nil {
		t.Fatal(err)
	}
	x.proxy = tortureProxyStart(t, x.Dir+"/p", x.Dir+"/s")
	x.ends = time.Now().Add(*tortureFor)
	x.hand(0, func(r *rand.Rand) { x.runHand(r, "principal") })
	for i := range tortureAgents {
		x.hand(1+i, func(r *rand.Rand) { x.runHand(r, "agent"+strconv.Itoa(i)) })
	}
	x.hand(10, x.runNetwork)
	for i := range tortureClients {
		x.hand(20+i, func(r *rand.Rand) { x.runClient(r, i) })
	}
	x.hands.Wait()
	x.check()
	x.proxy.close()
}

// tortureMain is start principal, but for a journal that goes to a new segment, and makes a snapshot, every 48 KiB: so
// a short storm has many of them.
func tortureMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: os.Getenv("CDKTR_STATE"), Zone: time.UTC,
		Log: log})
	if err != nil {
		log.Error("open", "cause", err)
		return 1
	}
	p.store.opt.SegmentBytes = 48 << 10
	listener, err := wireListen("ipc://"+os.Getenv("CDKTR_SOCKET"), wireOptions{})
	if err != nil {
		log.Error("listen", "cause", err)
		return 1
	}
	changed, removed, err := newWorkflowFolder(os.Getenv("CDKTR_WORKFLOWS")).scan(context.Background())
	if err != nil {
		log.Error("read workflows", "cause", err)
	}
	p.setFiles(changed, removed)
	h := newHost(p)
	h.group.Go(func() {
		if err := listener.Serve(h.ctx, p.runPeer); err != nil {
			log.Error("serve", "cause", err)
		}
	})
	log.Info("ready")
	<-ctx.Done()
	if err := h.stop(); err != nil {
		log.Error("stop", "cause", err)
		return 1
	}
	return 0
}

// hand starts a goroutine of the storm with random numbers of its own.
func (x *torture) hand(n int, fn func(*rand.Rand)) {
	r := rand.New(rand.NewPCG(x.seed, uint64(n)))
	x.hands.Go(func() { fn(r) })
}

// rests waits for a random time up to most. False when the storm is over.
func (x *torture) rests(r *rand.Rand, most time.Duration) bool {
	x.waits(min(tortureUpTo(r, most), time.Until(x.ends)))
	return time.Now().Before(x.ends)
}

// tortureUpTo gives a random time up to most.
func tortureUpTo(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

// waits lets time pass, of which nothing tells.
func (x *torture) waits(d time.Duration) { <-time.After(d) }

func (x *torture) count(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts[what]++
}

// fault notes a violation.
func (x *torture) fault(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults = append(x.faults, fmt.Sprintf(format, args...))
}

// maySilence says whether now is a time for a silence past the heartbeat timeout, and takes it.
func (x *torture) maySilence(r *rand.Rand) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if !x.long || now.Before(x.quiet) || x.ends.Sub(now) < tortureSilence/2 || r.IntN(3) > 0 {
		return false
	}
	x.quiet = now.Add(tortureSilence / 2)
	return true
}

// waitsPoked is rests for the hand of a process; poked says that it must kill it now.
func (x *torture) waitsPoked(r *rand.Rand, name string, p *harness.Proc) (poked, goOn bool) {
	poke := x.poke
	if name != "principal" {
		poke = nil
	}
	select {
	case <-time.After(min(tortureUpTo(r, 3*time.Second), time.Until(x.ends))):
	case <-poke:
		poked = true
	case <-p.Exited:
	}
	return poked, time.Now().Before(x.ends)
}

// begin starts a new life of the principal or an agent. What its tasks write bears the name of that life.
func (x *torture) begin(name string) *harness.Proc {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lives[name]++
	y := *x.e2e
	y.Env = append(slices.Clone(x.Env), "TORTURE_LIFE="+x.life(name))
	args := []string{"start", "principal"}
	if name == "principal" && x.seed%2 == 0 {
		y.Env = append(y.Env, tortureMainEnv+"=1")
	}
	if name != "principal" {
		args = []string{"start", "agent", "--name", name, "--state", x.Dir + "/" + name, "--principal", "ipc://" +
			x.Dir + "/p"}
	}
	p := y.Spawn(args...)
	x.up[name] = p
	pid := x.Dir + "/pid-" + x.life(name)
	if err := os.WriteFile(pid+"new", []byte(strconv.Itoa(p.Cmd.Process.Pid)+"\n"), 0o644); err == nil {
		os.Rename(pid+"new", pid)
	}
	return p
}

// life names the present life of a process; the caller holds mu, or is its hand.
func (x *torture) life(name string) string { return name + "." + strconv.Itoa(x.lives[name]) + "." }

// everyone lists the processes of a life: the agent and all its tasks.
func (x *torture) everyone(life string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		environ, _ := os.ReadFile(dir + "/environ")
		if text := "\x00" + string(environ); strings.Contains(text, "\x00DIR="+x.Dir+"\x00") &&
			strings.Contains(text, "\x00TORTURE_LIFE="+life+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// runHand does to one process what befalls processes, until the storm is over. Then the process is up.
func (x *torture) runHand(r *rand.Rand, name string) {
	kind := strings.TrimRight(name, "012")
	for p := x.begin(name); p != nil; {
		poked, goOn := x.waitsPoked(r, name, p)
		what := r.IntN(10)
		select {
		case <-p.Exited:
			if p.Code != -1 || kind == "principal" {
				x.fault("%s ended by itself with code %d:\n%s", p.What, p.Code, p.Err.String())
				return
			}
			x.count("kill -9 of agent by its task")
			p = x.begin(name)
			continue
		default:
		}
		switch {
		case !goOn:
			return
		case poked:
			x.count("kill -9 of principal at an answer")
			p.Cmd.Process.Kill()
			<-p.Exited
			p = x.begin(name)
		case x.maySilence(r):
			p = x.silence(r, name, p)
		case what < 4:
			x.count("kill -9 of " + kind)
			p.Cmd.Process.Kill()
			<-p.Exited
			x.waits(tortureUpTo(r, time.Second))
			p = x.begin(name)
		case what < 5 && kind == "agent":
			x.count("power cut of agent")
			x.each(name, syscall.SIGKILL)
			<-p.Exited
			p = x.begin(name)
		case what < 7:
			x.count("TERM of " + kind)
			p = x.terminate(r, name, p)
		default:
			x.count("short STOP of " + kind)
			p.Cmd.Process.Signal(syscall.SIGSTOP)
			x.waits(tortureUpTo(r, 1500*time.Millisecond))
			p.Cmd.Process.Signal(syscall.SIGCONT)
		}
	}
}

// terminate stops a process as systemd would, or kills it while it stops, and starts it anew: nil when it does not end.
func (x *torture) terminate(r *rand.Rand, name string, p *harness.Proc) *harness.Proc {
	p.Cmd.Process.Signal(syscall.SIGTERM)
	if r.IntN(3) == 0 {
		x.waits(tortureUpTo(r, 100*time.Millisecond))
		p.Cmd.Process.Kill()
	}
	select {
	case <-p.Exited:
		return x.begin(name)
	case <-time.After(harness.Patience):
		x.fault("%s does not end:\n%s", p.What, p.Err.String())
		return nil
	}
}

// each sends a signal to all processes of the present life, and those they start meanwhile: to the agent first, so that
// it does not see what befalls its tasks.
func (x *torture) each(name string, sig syscall.Signal) {
	x.mu.Lock()
	life := x.life(name)
	x.up[name].Cmd.Process.Signal(sig)
	x.mu.Unlock()
	for range 2 {
		for _, pid := range x.everyone(life) {
			syscall.Kill(pid, sig)
		}
	}
}

// silence makes a process silent past the heartbeat timeout: frozen, with its tasks as a machine that sleeps, or dead.
func (x *torture) silence(r *rand.Rand, name string, p *harness.Proc) *harness.Proc {
	long := 10*time.Second + tortureUpTo(r, tortureSilence-10*time.Second)
	if r.IntN(2) == 0 {
		long = tortureSilence
	}
	short := strings.TrimRight(name, "012")
	if r.IntN(3) == 0 {
		x.count("long absence of " + short)
		x.each(name, syscall.SIGKILL)
		<-p.Exited
		x.waits(long)
		return x.begin(name)
	}
	x.count("long STOP of " + short)
	x.mu.Lock()
	freeze := tortureFreeze{life: x.life(name), from: tortureUptime()}
	x.mu.Unlock()
	x.each(name, syscall.SIGSTOP)
	x.waits(long)
	x.each(name, syscall.SIGCONT)
	freeze.to = tortureUptime()
	x.mu.Lock()
	x.silences = append(x.silences, freeze)
	x.mu.Unlock()
	return p
}

// tortureUptime is the clock of the oracle.
func tortureUptime() float64 {
	text, _ := os.ReadFile("/proc/uptime")
	up, _, _ := strings.Cut(string(text), " ")
	seconds, _ := strconv.ParseFloat(up, 64)
	return seconds
}

// runNetwork is the bad network. At its end everything passes.
func (x *torture) runNetwork(r *rand.Rand) {
	for x.rests(r, time.Second) {
		switch what := r.IntN(8); {
		case what == 0 && x.maySilence(r):
			x.count("long hold of network")
			from := tortureSilence
			if r.IntN(2) == 0 {
				from = tortureUpTo(r, tortureSilence) // answers come late, and nothing goes
			}
			x.proxy.hold(tortureSilence, from)
			x.waits(tortureSilence)
		case what < 3:
			x.proxy.cutSome(r, 0.3, false)
		case what < 4:
			x.proxy.cutSome(r, 1, false)
		case what < 6:
			x.proxy.cutSome(r, 0.3, true)
		default:
			x.proxy.hold(tortureUpTo(r, time.Second), tortureUpTo(r, time.Second))
		}
	}
	x.proxy.hold(0, 0)
}

// runClient triggers runs, half of them with a key, and asks again until there is an answer. Some are cancelled.
func (x *torture) runClient(r *rand.Rand, n int) {
	var conn *client
	ask := func(req Request) *Reply {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var err error
		if conn == nil {
			conn, err = clientDial(ctx, "ipc://"+x.Dir+"/p", wireOptions{})
			if err != nil {
				return nil
			}
		}
		reply, err := conn.ask(ctx, req)
		if err != nil {
			conn.close()
			conn = nil
			return nil
		}
		return reply
	}
	for i := 0; x.rests(r, torturePause); i++ {
		req := Request{Op: "run", Workflow: tortureWorkflows[r.IntN(len(tortureWorkflows))].id}
		if req.Workflow == "traitor" && r.IntN(6) > 0 {
			req.Workflow = "one"
		}
		if r.IntN(2) == 0 {
			req.Key = fmt.Sprintf("key-%d-%d", n, i)
		}
		for again := r.IntN(4) == 0; ; again = false { // a quarter of those answered are asked once more
			reply := ask(req)
			if reply == nil {
				x.count("lost answer")
				if !x.rests(r, torturePause) {
					break
				}
				continue
			}
			if r.IntN(40) == 0 {
				select {
				case x.poke <- struct{}{}: // the principal is killed with the answer hardly read
				default:
				}
			}
			x.answered(req, reply.Run)
			if r.IntN(20) == 0 {
				ask(Request{Op: "cancel", Run: reply.Run})
				x.count("cancel")
			}
			if r.IntN(4) == 0 {
				x.ended(ask(Request{Op: "wait", Run: reply.Run}))
			}
			if !again || req.Key == "" {
				break
			}
		}
	}
	if conn != nil {
		conn.close()
	}
}

// ended notes the end of a run that a client was told.
func (x *torture) ended(reply *Reply) {
	if reply == nil || len(reply.Runs) != 1 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts["end of a run told"]++
	x.told[reply.Runs[0].ID] = reply.Runs[0].State
}

// answered notes an acknowledged request.
func (x *torture) answered(req Request, run string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts["acknowledged request"]++
	x.acked[run] = req.Workflow
	if req.Key == "" {
		return
	}
	if before := x.keys[req.Key]; before != "" && before != run {
		x.faults = append(x.faults, fmt.Sprintf("key %s: it was answered with run %s, then with run %s", req.Key,
			before, run))
	}
	x.keys[req.Key] = run
}
