// The simulator of bench/scale: agents and watchers, with keys of their own, over real sockets, against a principal
// that bench/scale has started and says of in the environment (as bench/run does: e2e_bench_test.go). An agent here
// says all that a real one does, and runs nothing: it only waits while a task would run.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkScale is the cases of bench/scale. Each leaves lines of a name, a number and a unit.
func BenchmarkScale(b *testing.B) {
	for name, fn := range map[string]func(*scaleSim){"stuck": scaleStuck, "reconnect": scaleReconnect,
		"churn": scaleChurn, "watchers": scaleWatchers, "connect": scaleConnect} {
		b.Run(name, func(b *testing.B) {
			s := &scaleSim{b: b, ended: make(chan struct{}), given: map[string]time.Time{}}
			fn(s)
			close(s.ended)
			s.all.Wait()
			if err := os.WriteFile(benchSet(b, "OUT"), []byte(strings.Join(s.lines, "")), 0o600); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// scaleSim is one case: who is connected, and what was measured.
type scaleSim struct {
	b     *testing.B
	all   sync.WaitGroup
	ended chan struct{} // closed at the end of the case
	lines []string

	up     atomic.Int64 // agents that are welcome now
	failed atomic.Int64 // handshakes that came to nothing
	bytes  atomic.Int64 // of what watchers were sent
	rows   atomic.Int64 // rows of these

	mu    sync.Mutex
	given map[string]time.Time // run -> when an agent was given it
}

// say leaves a measured number.
func (s *scaleSim) say(name string, value float64, unit string) {
	s.lines = append(s.lines, fmt.Sprintf("%s\t%.2f\t%s\n", name, value, unit))
}

// number gives a size that bench/scale has set.
func (s *scaleSim) number(name string) int {
	n, err := strconv.Atoi(benchSet(s.b, name))
	if err != nil {
		s.b.Fatal(err)
	}
	return n
}

// scaleFlows is how many healthy workflows bench/scale has made: healthy0 and so on.
const scaleFlows = 50

// scaleTask is how long each task of a run lasts.
const scaleTask = 150 * time.Millisecond

// scaleAgent is one simulated agent.
type scaleAgent struct {
	s        *scaleSim
	name     string
	endpoint string
	opt      wireOptions

	mu sync.Mutex // guards n, and is held while a report is sent
	n  uint64     // newest number used
}

// keys authorizes keys of a role, and waits until they are in force.
func (s *scaleSim) keys(name, role string, count int) (pairs []curvePair) {
	file := filepath.Join(benchSet(s.b, "STATE"), authFolder, authFile)
	text, err := os.ReadFile(file)
	for i := 0; i < count && err == nil; i++ {
		var pair curvePair
		pair, err = authNewPair()
		pairs = append(pairs, pair)
		text = fmt.Appendln(text, (&authGrant{Name: fmt.Sprint(name, i), Key: pair.Public.String(), Role: role}).line())
	}
	if err == nil {
		err = authTestReplace(filepath.Dir(file), string(text))
	}
	if err != nil {
		s.b.Fatal(err)
	}
	for {
		conn, err := clientDial(s.b.Context(), benchSet(s.b, "ENDPOINT"), benchKeys(s.b, pairs[count-1]))
		if err == nil {
			conn.close()
			return pairs
		}
	}
}

// agents makes agents with a key each, and has them connect, by endpoint; it waits until all are welcome.
func (s *scaleSim) agents(count int, endpoint string) (took time.Duration) {
	pairs := s.keys("agent-", roleAgent, count)
	began := time.Now()
	for i, pair := range pairs {
		a := &scaleAgent{s: s, name: fmt.Sprint("agent-", i), endpoint: endpoint, opt: benchKeys(s.b, pair)}
		s.all.Go(a.run)
	}
	s.until(func() bool { return int(s.up.Load()) == count }, 2*time.Minute, "agents are connected")
	return time.Since(began)
}

// until waits until something is so, and gives how long that took. It gives up after a while.
func (s *scaleSim) until(so func() bool, most time.Duration, what string) time.Duration {
	began := time.Now()
	for !so() {
		if time.Since(began) > most {
			s.b.Logf("not all %s after %s: %d are up, %d handshakes failed", what, most, s.up.Load(), s.failed.Load())
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(began)
}

// run keeps a connection, as agent.runLink does, until the case ends.
func (a *scaleAgent) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-a.s.ended; cancel() }()
	wait := time.Duration(0)
	for ctx.Err() == nil {
		conn, err := wireDial(ctx, a.endpoint, a.opt)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			if a.talk(conn) {
				wait = 0
			}
			stop()
			conn.Close()
		} else {
			a.s.failed.Add(1)
		}
		wait = min(max(2*wait, agentRedialMin), agentRedialMax)
		select {
		case <-time.After(wait*3/4 + rand.N(wait/2+1)):
		case <-ctx.Done():
		}
	}
}

// talk says hello, beats, and answers, until the connection ends. It says whether the agent was welcome.
func (a *scaleAgent) talk(conn wireConn) (welcome bool) {
	say := func(m agentMsg) {
		m.V = protoVersion
		conn.TrySend(protoEncode(m))
	}
	hello := protoTestHello(a.name, "epoch-"+a.name)
	hello.Capacity, hello.Last = 4, a.n
	say(hello)
	pace := agentPaceOf(agentLostAfter).beat
	var beat *time.Timer
	begun := make(chan struct{}) // beat is set
	beat = time.AfterFunc(rand.N(pace), func() {
		<-begun
		say(agentMsg{Op: msgHeartbeat})
		select {
		case <-conn.Done():
		default:
			beat.Reset(pace)
		}
	})
	close(begun)
	defer beat.Stop()
	for {
		frames, err := conn.Recv()
		if err != nil {
			if welcome {
				a.s.up.Add(-1)
			}
			return welcome
		}
		m := &agentMsg{}
		if err := protoPeer(frames[len(frames)-1], m); err != nil {
			a.s.b.Error(err)
			return welcome
		}
		switch m.Op {
		case msgWelcome:
			a.s.up.Add(1)
			welcome = true
		case msgAssign:
			a.s.mu.Lock()
			a.s.given[m.Assign.Run] = time.Now()
			a.s.mu.Unlock()
			a.carryOut(say, m.Assign)
		}
	}
}

// carryOut reports a run: what it begins with now, and each end of a task, and its own, a while later.
func (a *scaleAgent) carryOut(say func(agentMsg), as *assignment) {
	event := func(e Event) {
		e.Run, e.Lease, e.Attempt, e.Time = as.Run, as.Lease, as.Attempt, stampOf(time.Now())
		a.mu.Lock()
		defer a.mu.Unlock()
		a.n++
		say(agentMsg{Op: msgReport, N: a.n, Items: []agentItem{{Event: &e}}})
	}
	event(Event{Kind: evRunStarted})
	tasks := as.Spec.Tasks
	var next func()
	next = func() {
		if len(tasks) == 0 {
			event(Event{Kind: evRunFinished, State: runSucceeded})
			return
		}
		task := tasks[0].ID
		tasks = tasks[1:]
		event(Event{Kind: evTaskStarted, Task: task})
		time.AfterFunc(scaleTask, func() {
			event(Event{Kind: evTaskFinished, Task: task, State: taskSucceeded})
			next()
		})
	}
	next()
}

// watchers follow the lists, as the terminal UI does, each on a connection of its own. It waits until each has all.
func (s *scaleSim) watchers(count int) {
	const each = 10 // watchers of one operator: more of one party are refused
	var live atomic.Int64
	pairs := s.keys("operator-", roleOperator, (count+each-1)/each)
	for i := range count {
		s.all.Go(func() {
			conn := benchDial(s.b, &pairs[i/each])
			stop := make(chan struct{})
			defer close(stop)
			go func() { // ends with the case, or with the watcher
				select {
				case <-s.ended:
					conn.conn.Close()
				case <-stop:
				}
			}()
			conn.conn.Send(protoEncode(Request{V: protoVersion, ID: "w", Op: "watch"}))
			for {
				frames, err := conn.conn.Recv()
				if err != nil {
					return
				}
				body := frames[len(frames)-1]
				s.bytes.Add(int64(len(body)))
				s.rows.Add(int64(strings.Count(string(body), `"total":`)))
				if strings.Contains(string(body), `"live":true`) {
					live.Add(1)
				}
			}
		})
	}
	s.until(func() bool { return int(live.Load()) == count }, time.Minute, "watchers have the lists")
}

// queue asks for runs as fast as one connection can.
func (s *scaleSim) queue(workflow string, count int) {
	conn := benchDial(s.b, nil)
	defer conn.close()
	for i := range count {
		conn.send(Request{ID: fmt.Sprint(i), Op: "run", Workflow: workflow})
		if i >= 256 {
			conn.conn.Recv()
		}
	}
	for range min(count, 256) {
		conn.conn.Recv()
	}
}

// load asks for so many runs a second for a while, and gives of each that was given to an agent how long that took. It
// pings all the while, and gives how long each ping took.
func (s *scaleSim) load(workflow string, each time.Duration, count int) (given, pings []time.Duration) {
	runs, pinger := benchDial(s.b, nil), benchDial(s.b, nil)
	defer runs.close()
	defer pinger.close()
	over := make(chan struct{})
	var pinging sync.WaitGroup
	pinging.Go(func() { pings = s.pings(pinger, over) })
	asked := map[string]time.Time{}
	began := time.Now()
	var waiting sync.WaitGroup
	var mu sync.Mutex
	for i := range count {
		<-time.After(time.Until(began.Add(time.Duration(i) * each)))
		at := time.Now()
		reply, err := runs.ask(s.b.Context(), Request{Op: "run", Workflow: fmt.Sprint(workflow, i%scaleFlows)})
		if err != nil {
			s.b.Log(err)
			continue
		}
		mu.Lock()
		asked[reply.Run] = at
		mu.Unlock()
	}
	waiting.Wait()
	s.until(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for run := range asked {
			if s.given[run].IsZero() {
				return false
			}
		}
		return true
	}, 10*time.Second, "runs are given")
	close(over)
	pinging.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for run, at := range asked {
		if g := s.given[run]; !g.IsZero() {
			given = append(given, g.Sub(at))
		}
	}
	return given, pings
}

// pings pings 50 times a second until over is closed.
func (s *scaleSim) pings(conn *client, over chan struct{}) (took []time.Duration) {
	for {
		began := time.Now()
		if _, err := conn.ask(s.b.Context(), Request{Op: "ping"}); err != nil {
			s.b.Log(err)
			return took
		}
		took = append(took, time.Since(began))
		select {
		case <-over:
			return took
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// spread says the median, the 99th percentile and the longest of some times, in ms.
func (s *scaleSim) spread(name string, all []time.Duration) {
	slices.Sort(all)
	if len(all) == 0 {
		s.say(name+" p99", 1e9, "ms")
		return
	}
	for part, at := range map[string]int{"p50": len(all) / 2, "p99": len(all) * 99 / 100, "max": len(all) - 1} {
		s.say(name+" "+part, float64(all[at])/1e6, "ms")
	}
}

// cpu gives the processor time that the principal has used.
func (s *scaleSim) cpu() time.Duration {
	text, err := os.ReadFile("/proc/" + benchSet(s.b, "PID") + "/stat")
	if err != nil {
		s.b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// share says what share of one core the principal used during fn.
func (s *scaleSim) share(name string, fn func()) {
	began, before := time.Now(), s.cpu()
	fn()
	s.say(name, 100*float64(s.cpu()-before)/float64(time.Since(began)), "% of a core")
}

// scaleStuck: runs that no agent can take, and healthy ones beside them.
func scaleStuck(s *scaleSim) {
	s.agents(s.number("AGENTS"), benchSet(s.b, "ENDPOINT"))
	s.queue("stuck", s.number("QUEUED"))
	var given, pings []time.Duration
	count := s.number("N")
	s.share("principal", func() { given, pings = s.load("healthy", 100*time.Millisecond, count) })
	s.say("runs given", 100*float64(len(given))/float64(count), "%")
	s.spread("trigger to agent", given)
	s.spread("ping", pings)
}

// scaleReconnect: all links of agents behind one address are cut at once.
func scaleReconnect(s *scaleSim) {
	count, relay := s.number("AGENTS"), scaleRelayOpen(s, 50*time.Millisecond)
	s.agents(count, "tcp://"+relay.ln.Addr().String())
	s.failed.Store(0)
	relay.cut()
	s.until(func() bool { return s.up.Load() < int64(count)/2 }, time.Second, "links are cut")
	s.say("all back after", s.until(func() bool { return int(s.up.Load()) == count }, time.Minute,
		"agents are back").Seconds(), "s")
	s.say("failed handshakes", float64(s.failed.Load()), "")
}

// scaleChurn: the same, while many watch and many runs are queued.
func scaleChurn(s *scaleSim) {
	count, relay := s.number("AGENTS"), scaleRelayOpen(s, time.Millisecond)
	s.agents(count, "tcp://"+relay.ln.Addr().String())
	s.queue("stuck", s.number("QUEUED"))
	s.watchers(s.number("WATCHERS"))
	conn, over := benchDial(s.b, nil), make(chan struct{})
	defer conn.close()
	var pings []time.Duration
	var pinging sync.WaitGroup
	pinging.Go(func() { pings = s.pings(conn, over) })
	s.failed.Store(0)
	relay.cut()
	s.until(func() bool { return s.up.Load() < int64(count)/2 }, time.Second, "links are cut")
	s.say("all back after", s.until(func() bool { return int(s.up.Load()) == count }, time.Minute,
		"agents are back").Seconds(), "s")
	<-time.After(2 * time.Second)
	close(over)
	pinging.Wait()
	s.spread("ping", pings)
}

// scaleWatchers: many watch while runs come and go.
func scaleWatchers(s *scaleSim) {
	s.agents(s.number("AGENTS"), benchSet(s.b, "ENDPOINT"))
	s.share("principal without watchers", func() { s.load("healthy", 20*time.Millisecond, s.number("N")) })
	s.watchers(s.number("WATCHERS"))
	s.bytes.Store(0)
	s.rows.Store(0)
	var pings []time.Duration
	began := time.Now()
	s.share("principal", func() { _, pings = s.load("healthy", 20*time.Millisecond, s.number("N")) })
	s.say("to watchers", float64(s.bytes.Load())/1e6/time.Since(began).Seconds(), "MB/s")
	s.say("rows", float64(s.rows.Load())/time.Since(began).Seconds(), "/s")
	s.spread("ping", pings)
}

// scaleConnect: many agents connect, and then only beat.
func scaleConnect(s *scaleSim) {
	count, kB := s.number("AGENTS"), benchMemory(s.b)
	s.say("connected in", s.agents(count, benchSet(s.b, "ENDPOINT")).Seconds(), "s")
	s.say("connected", float64(s.up.Load()), "agents")
	s.share("principal, idle", func() { <-time.After(2 * agentPaceOf(agentLostAfter).beat) })
	s.say("memory for each", float64(benchMemory(s.b)-kB)/float64(count), "kB")
	conn := benchDial(s.b, nil)
	defer conn.close()
	over := make(chan struct{})
	time.AfterFunc(2*time.Second, func() { close(over) })
	s.spread("ping", s.pings(conn, over))
	var given []time.Duration
	given, _ = s.load("healthy", 5*time.Millisecond, 400)
	s.spread("trigger to agent", given)
}

// scaleRelay passes bytes on to the principal, each a while later, so that all who come through it come from one
// address and from far away.
type scaleRelay struct {
	s    *scaleSim
	ln   net.Listener
	late time.Duration

	mu    sync.Mutex
	conns []net.Conn
}

func scaleRelayOpen(s *scaleSim, late time.Duration) *scaleRelay {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.b.Fatal(err)
	}
	r := &scaleRelay{s: s, ln: ln, late: late}
	go func() { <-s.ended; ln.Close(); r.cut() }()
	s.all.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(benchSet(s.b, "ENDPOINT"), "tcp://"))
			if err != nil {
				near.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			s.all.Go(func() { r.pass(near, far) })
			s.all.Go(func() { r.pass(far, near) })
		}
	})
	return r
}

// cut ends all connections.
func (r *scaleRelay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, nc := range r.conns {
		nc.Close()
	}
	r.conns = nil
}

// pass passes on one direction of a connection until it ends.
func (r *scaleRelay) pass(from, to net.Conn) {
	type flight struct {
		at   time.Time
		data []byte
	}
	flying := make(chan flight, 64)
	r.s.all.Go(func() {
		for f := range flying {
			<-time.After(time.Until(f.at))
			if _, err := to.Write(f.data); err != nil {
				from.Close()
			}
		}
		to.Close()
	})
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			flying <- flight{time.Now().Add(r.late), slices.Clone(buffer[:n])}
		}
		if err != nil {
			close(flying)
			if !errors.Is(err, io.EOF) {
				from.Close()
			}
			return
		}
	}
}
