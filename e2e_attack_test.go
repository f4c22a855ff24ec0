// End-to-end tests of attacks: while an attack runs at full rate, from the weakest key that can make it, others are
// served, schedules fire, and neither memory nor the log grows. The attackers are processes of their own. With -measure
// nothing runs beside them, and what others notice is held to targets; without it, only what does not depend on the
// machine.

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// How long each attack lasts (short in the whole suite), and which attacks are made.
var (
	attackTime = flag.Duration("attack", 300*time.Millisecond,
		"how long each attack of TestAttacks goes on; with -measure 2s and more")
	attackOnly = flag.String("attack.only", "", "a pattern: the other attacks are left out")
)

const (
	attackMainEnv = "CDKTR_TEST_ATTACK" // makes an attacker of this binary, and says of what kind and of whom
	attackHands   = 4                   // that attack at once
	attackGreets  = "attacking\n"

	// Bounds for a measurement, and for the whole suite, where an answer only has to come at all.
	attackLate    = 50 * time.Millisecond // the latest fire of the schedule
	attackMemory  = 10 << 10              // kB that a principal may have more when all is over
	attackPatient = 20 * time.Second      // the longest for a ping or a fire in a suite
	attackRough   = 64 << 10              // kB, the same
	attackLog     = 10 << 10              // bytes of log of one attack, anywhere
)

// attacker is a process that attacks a principal with all its hands until its standard input ends.
type attacker struct {
	Attack, Endpoint string
	Creds            map[string]string // files, by the name of the key
	Held             string            // a run that waits for an agent

	over context.Context
}

// attackMain is main of the attacker's process.
func attackMain() int {
	a := &attacker{}
	if err := json.Unmarshal([]byte(os.Getenv(attackMainEnv)), a); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		return exitUsage
	}
	over, stop := context.WithCancel(context.Background())
	a.over = over
	do := attacks(a)[a.Attack]
	var hands sync.WaitGroup
	for range attackHands {
		hands.Go(do)
	}
	fmt.Print(attackGreets)
	io.Copy(io.Discard, os.Stdin)
	stop()
	hands.Wait()
	return 0
}

func (a *attacker) ended() bool { return a.over.Err() != nil }

// keys gives the options of a connection with that key.
func (a *attacker) keys(key string) *curveClient {
	cred, err := credentialRead(context.Background(), nil, a.Creds[key])
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(exitUsage)
	}
	return &curveClient{Pair: cred.Pair, Server: cred.Server}
}

// flood sends messages with a key, on a socket of some type, as fast as they are taken, and reads all that comes back.
// When it is cut off it connects again.
func (a *attacker) flood(key, socket string, say func(i int) string) {
	keys := a.keys(key)
	for i := 0; !a.ended(); {
		r, err := wireRawDial(a.Endpoint, keys, socket)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(a.over, func() { r.Close() })
		go io.Copy(io.Discard, r)
		for err == nil && !a.ended() {
			i++
			_, err = r.Write(r.sealed(0, say(i)))
		}
		stop()
		r.Close()
	}
}

// hold opens connections, says the same on each, and keeps them until the attack is over; then it reads nothing.
func (a *attacker) hold(key, socket string, n int, says ...string) {
	keys := a.keys(key)
	for range n {
		if r, err := wireRawDial(a.Endpoint, keys, socket); err == nil {
			defer r.Close()
			r.SetWriteDeadline(time.Now().Add(time.Second))
			for _, text := range says {
				flags := byte(0)
				if socket == "PUSH" { // and never the last one
					flags = curveFlagMore
				}
				r.Write(r.sealed(flags, text))
			}
		}
		if a.ended() {
			return
		}
	}
	<-a.over.Done()
}

// knock connects by tcp again and again, and says something.
func (a *attacker) knock(say string) {
	var conns []net.Conn
	for !a.ended() {
		nc, err := net.Dial("tcp", strings.TrimPrefix(a.Endpoint, "tcp://"))
		if err != nil {
			continue
		}
		nc.Write([]byte(say))
		conns = append(conns, nc)
		if len(conns) > 500 {
			conns[0].Close()
			conns = conns[1:]
		}
	}
	for _, nc := range conns {
		nc.Close()
	}
}

// attackRequest is a request, and attackOf one with a number in its id.
func attackRequest(req Request) string { return string(protoEncode(req)) }

func attackOf(req Request) func(i int) string {
	return func(i int) string {
		req.ID = fmt.Sprint(i)
		return attackRequest(req)
	}
}

// attacks has all of them by name.
func attacks(a *attacker) map[string]func() {
	long := strings.Repeat("n", 900<<10)
	stranger, err := curvePairNew(nil)
	if err != nil {
		panic(err)
	}
	viewer := func(req Request) func() { return func() { a.flood("vi", "DEALER", attackOf(req)) } }
	return map[string]func(){
		"show with a long name":            viewer(Request{Op: "show", Workflow: long}),
		"show of runs that are not there":  viewer(Request{Op: "show", Run: "01JD3V5000000000000000000"}),
		"show of a name that is near none": viewer(Request{Op: "show", Workflow: strings.Repeat("x", protoMaxName)}),
		"ps of everything":                 viewer(Request{Op: "ps", All: true, N: opsPage}),
		"logs with costly patterns": viewer(Request{Op: "logs", Workflow: "tick",
			Grep: strings.Repeat("(a|b|c)*", 120)}),
		"watch as often as it can": viewer(Request{Op: "watch"}),
		"waits from a REQ": func() {
			a.flood("vi", "REQ", attackOf(Request{Op: "wait", Run: a.Held}))
		},
		"connections":   func() { a.hold("vi", "DEALER", 1000, attackRequest(Request{ID: "1", Op: "watch"})) },
		"subscriptions": func() { a.flood("vi", "SUB", func(i int) string { return fmt.Sprint("\x01", i, long) }) },
		"topics": func() {
			a.hold("vi", "SUB", 64, slices.Repeat([]string{"\x01" + strings.Repeat("t", 1<<10)},
				64)...)
		},
		"never complete": func() { a.hold("ci", "PUSH", 32, long, long, long) },
		"PUSH of nothing there": func() {
			a.flood("ci", "PUSH", func(i int) string { return fmt.Sprintf(`{"workflow":"none%d"}`, i) })
		},
		"a full queue": func() { a.flood("ci", "DEALER", attackOf(Request{Op: "run", Workflow: "nobody"})) },
		"large triggers": func() {
			a.flood("ci", "DEALER", attackOf(Request{Op: "run", Workflow: "nobody",
				Params: map[string]string{"p": strings.Repeat("<", 175<<10)}}))
		},
		"hello": func() {
			a.flood("vi", "DEALER", func(i int) string {
				return fmt.Sprintf(`{"v":1,"op":"hello","agent":"%d%s"}`, i,
					long[:200<<10])
			})
		},
		"strangers that say nothing":    func() { a.knock("") },
		"strangers that greet":          func() { a.knock(string(wireRawGreeting("CURVE"))) },
		"strangers that speak nonsense": func() { a.knock("GET / HTTP/1.1\r\n\r\n") },
		"strangers with a key of their own": func() {
			for keys := (&curveClient{Pair: stranger, Server: a.keys("vi").Server}); !a.ended(); {
				if r, err := wireRawDial(a.Endpoint, keys, "DEALER"); err == nil {
					r.Close()
				}
			}
		},
	}
}

// attackWorld is a principal with a workflow that fires each second, and a key of each role.
type attackWorld struct {
	*authTestHub
	held string // a run that waits for an agent
}

// TestAttacks: see the head of this file.
func TestAttacks(t *testing.T) {
	w := &attackWorld{authTestHub: authTestHubNew(t, "--with-agent", "--capacity", "4")}
	w.File("tick.yml", "schedule: '* * * * * *'\noverlap: allow\ntasks:\n  a: {run: 'true'}\n")
	w.File("nobody.yml", "agent: {site: nowhere}\nparams: {p: {default: ''}}\ntasks:\n  a: {run: 'true'}\n")
	w.Authorize("vi", roleViewer)
	w.Authorize("ci", roleTrigger, "--workflows", "*")
	w.Until("it ticks", func() bool { return len(w.fires(time.Time{})) > 1 })
	w.held = w.Start("nobody")
	w.stallPings("before")
	before := w.own(w.Daemon)
	t.Logf("%d kB of its own before", before)
	for _, name := range sortedKeys(attacks(&attacker{})) {
		if regexp.MustCompile(*attackOnly).MatchString(name) {
			bad := w.attack(name)
			for again := 0; *stallMeasure && bad != "" && again < 2; again++ { // what others do to the machine passes
				bad = w.attack(name)
			}
			if bad != "" {
				t.Errorf("%s: %s", name, bad)
			}
		}
	}
	ended, now, room := time.Now(), 0, attackRough
	if *stallMeasure {
		room = attackMemory
	}
	w.Until("it still fires", func() bool {
		fires := w.fires(ended)
		return len(fires) > 0 && fires[0].Scheduled.After(ended)
	})
	w.Until("the memory is given back", func() bool { now = w.own(w.Daemon); return now < before+room })
	t.Logf("%d kB of its own %.0f s after, before it were %d", now, time.Since(ended).Seconds(), before)
	if state := w.run("etl").State; state != runSucceeded {
		t.Errorf("a run after all that is %s", state)
	}
}

// attack has an attacker do it, measures what others notice of it, and says what of that may not be.
func (w *attackWorld) attack(name string) (bad string) {
	t := w.T
	conn, err := clientDial(t.Context(), "ipc://"+w.Dir+"/s", wireOptions{})
	if err != nil {
		t.Fatalf("%s: dial: %v", name, err)
	}
	defer conn.close()
	text, err := json.Marshal(&attacker{Attack: name, Endpoint: w.Endpoint, Creds: w.Creds, Held: w.held})
	if err != nil {
		t.Fatal(err)
	}
	logged := len(w.Daemon.Err.String())
	cmd := exec.Command(w.Bin)
	cmd.Env = append(w.Env, attackMainEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // to the kernel's scheduler it is somebody else
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := w.Watch(name, cmd)
	p.Saw(&p.Out, attackGreets)
	began, peak := time.Now(), 0
	var took []time.Duration
	for len(took) < 10 || time.Since(began) < *attackTime {
		took = append(took, w.stallPing(name, conn))
		if len(took)%100 == 1 {
			peak = max(peak, w.own(w.Daemon))
		}
	}
	stdin.Close()
	if code := p.Wait(); code != 0 {
		t.Errorf("%s: the attacker ended with code %d: %s", name, code, p.Err.String())
	}
	late := w.late(began)
	slices.Sort(took)
	p99, lines := took[len(took)*99/100], len(w.Daemon.Err.String())-logged
	t.Logf("%-34s ping p50 %6d µs, p99 %7d µs, max %7d µs; fires at most %5d ms late; at most %7d kB of its own; "+
		"%5d bytes of log", name,
		took[len(took)/2].Microseconds(), p99.Microseconds(), took[len(took)-1].Microseconds(), late.Milliseconds(),
		peak, lines)
	soon, intime := attackPatient, attackPatient
	if *stallMeasure {
		soon, intime = stallTarget, attackLate
	}
	if p99 > soon || late > intime || lines > attackLog {
		bad = fmt.Sprintf("p99 of a ping is %s, a fire %s late; %d bytes of log:\n%.2000s", p99, late, lines,
			w.Daemon.Err.String()[logged:])
	}
	return bad
}

// late gives the delay of the fire since then that was latest.
func (w *attackWorld) late(since time.Time) (late time.Duration) {
	for _, r := range w.fires(since) {
		late = max(late, r.Queued.Sub(r.Scheduled.Time))
	}
	return late
}

// fires gives what the schedule has fired since then, newest first.
func (w *attackWorld) fires(since time.Time) []*Run {
	w.T.Helper()
	req := Request{Op: "ps", All: true, Workflow: "tick"}
	if !since.IsZero() {
		req.Since = stampOf(since)
	}
	r, err := w.ask(req)
	if err != nil {
		w.T.Fatal(err)
	}
	return r.Runs
}
