// End-to-end tests of attacks: while one of them runs at full rate, from the weakest key that can do it, others are
// served, schedules fire, and neither memory nor the log grows with it. What they measure depends on the machine, and is
// logged; what they hold is generous.

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// attackTime is how long each attack goes on. In a suite, beside others, it is short.
var attackTime = flag.Duration("attack", 300*time.Millisecond, "how long each attack of TestAttacks goes on; 2s and more measures something")

const (
	attackHands  = 4                // that attack at once
	attackPing   = 10 * time.Second // the longest that another's ping may take: far above what it does
	attackLate   = 20 * time.Second // the same, of a fire of the schedule
	attackMemory = 64 << 10         // kB that a principal may have more when all is over
	attackLog    = 10 << 10         // bytes of log of one attack
)

// attackWorld is a principal with a workflow that fires each second, and a key of each role.
type attackWorld struct {
	*authTestHub
	held string        // a run that waits for an agent
	over chan struct{} // closed when the attack has lasted long enough
}

func (w *attackWorld) ended() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// flood sends messages with a key, by a socket of some type, as fast as they are taken; whatever comes back is read. It
// connects again where it is cut.
func (w *attackWorld) flood(key, socket string, say func(i int) string) {
	cred, err := credentialRead(w.creds[key])
	if err != nil {
		w.t.Error(err)
		return
	}
	for i := 0; !w.ended(); {
		r, err := wireRawDial(w.endpoint, &curveClient{Pair: cred.Pair, Server: cred.Server}, socket)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(w.context(), func() { r.Close() })
		go io.Copy(io.Discard, r)
		for err == nil && !w.ended() {
			i++
			_, err = r.Write(r.sealed(0, say(i)))
		}
		stop()
		r.Close()
	}
}

// context ends with the attack.
func (w *attackWorld) context() context.Context {
	ctx, cancel := context.WithCancel(w.t.Context())
	go func() { // ends with the attack
		<-w.over
		cancel()
	}()
	return ctx
}

// hold opens connections, says the same on each, and keeps them until the attack is over; then it reads nothing.
func (w *attackWorld) hold(key, socket string, n int, says ...string) {
	cred, err := credentialRead(w.creds[key])
	if err != nil {
		w.t.Error(err)
		return
	}
	for range n {
		if r, err := wireRawDial(w.endpoint, &curveClient{Pair: cred.Pair, Server: cred.Server}, socket); err == nil {
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
		if w.ended() {
			return
		}
	}
	<-w.over
}

// knock connects by tcp again and again, and says something.
func (w *attackWorld) knock(say string) {
	var conns []net.Conn
	for !w.ended() {
		nc, err := net.Dial("tcp", strings.TrimPrefix(w.endpoint, "tcp://"))
		if err != nil {
			continue
		}
		nc.Write([]byte(say))
		if conns = append(conns, nc); len(conns) > 500 {
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

// attacks is each of them, by what it is.
func attacks(w *attackWorld) map[string]func() {
	long := strings.Repeat("n", 900<<10)
	stranger, err := curvePairNew(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	viewer := func(req Request) func() { return func() { w.flood("vi", "DEALER", attackOf(req)) } }
	return map[string]func(){
		"show with a long name":            viewer(Request{Op: "show", Workflow: long}),
		"show of runs that are not there":  viewer(Request{Op: "show", Run: "01JD3V5000000000000000000"}),
		"show of a name that is near none": viewer(Request{Op: "show", Workflow: strings.Repeat("x", protoMaxName)}),
		"ps of everything":                 viewer(Request{Op: "ps", All: true, N: verbsPage}),
		"logs with costly patterns":        viewer(Request{Op: "logs", Workflow: "tick", Grep: strings.Repeat("(a|b|c)*", 120)}),
		"watch as often as it can":         viewer(Request{Op: "watch"}),
		"waits from a REQ": func() {
			w.flood("vi", "REQ", attackOf(Request{Op: "wait", Run: w.held}))
		},
		"connections":    func() { w.hold("vi", "DEALER", 1000, attackRequest(Request{ID: "1", Op: "watch"})) },
		"subscriptions":  func() { w.flood("vi", "SUB", func(i int) string { return fmt.Sprint("\x01", i, long) }) },
		"topics":         func() { w.hold("vi", "SUB", 64, slices.Repeat([]string{"\x01" + strings.Repeat("t", 1<<10)}, 64)...) },
		"never complete": func() { w.hold("ci", "PUSH", 32, long, long, long) },
		"PUSH of nothing there": func() {
			w.flood("ci", "PUSH", func(i int) string { return fmt.Sprintf(`{"workflow":"none%d"}`, i) })
		},
		"a full queue": func() { w.flood("ci", "DEALER", attackOf(Request{Op: "run", Workflow: "nobody"})) },
		"large triggers": func() {
			w.flood("ci", "DEALER", attackOf(Request{Op: "run", Workflow: "nobody", Params: map[string]string{"p": strings.Repeat("<", 175<<10)}}))
		},
		"hello": func() {
			w.flood("vi", "DEALER", func(i int) string { return fmt.Sprintf(`{"v":1,"op":"hello","agent":"%d%s"}`, i, long[:200<<10]) })
		},
		"strangers that say nothing":    func() { w.knock("") },
		"strangers that greet":          func() { w.knock(string(wireRawGreeting("CURVE"))) },
		"strangers that speak nonsense": func() { w.knock("GET / HTTP/1.1\r\n\r\n") },
		"strangers with a key of their own": func() {
			cred, err := credentialRead(w.creds["vi"])
			for err == nil && !w.ended() {
				if r, err := wireRawDial(w.endpoint, &curveClient{Pair: stranger, Server: cred.Server}, "DEALER"); err == nil {
					r.Close()
				}
			}
		},
	}
}

// TestAttacks: see the head of this file.
func TestAttacks(t *testing.T) {
	w := &attackWorld{authTestHub: authTestHubNew(t, "--with-agent", "--capacity", "4")}
	w.file("tick.yml", "schedule: '* * * * * *'\noverlap: allow\ntasks:\n  a: {run: 'true'}\n")
	w.file("nobody.yml", "agent: {site: nowhere}\nparams: {p: {default: ''}}\ntasks:\n  a: {run: 'true'}\n")
	w.authorize("vi", roleViewer)
	w.authorize("ci", roleTrigger, "--workflows", "*")
	w.until("it ticks", func() bool { return len(w.fires(time.Time{})) > 1 })
	w.held = w.start("nobody")
	w.stallPings("before")
	before, all := w.own(w.principal), attacks(w)
	t.Logf("%d kB of its own before", before)
	for _, name := range sortedKeys(all) {
		w.attack(name, all[name])
	}
	ended, now := time.Now(), 0
	w.until("it still fires", func() bool {
		fires := w.fires(ended)
		return len(fires) > 0 && fires[0].Scheduled.After(ended)
	})
	w.until("the memory is given back", func() bool { now = w.own(w.principal); return now < before+attackMemory })
	t.Logf("%d kB of its own after, before it were %d", now, before)
	if state := w.run("etl").State; state != runSucceeded {
		t.Errorf("a run after all that is %s", state)
	}
}

// attack has several hands do it, and measures what others notice of it.
func (w *attackWorld) attack(name string, do func()) {
	t, began, logged := w.t, time.Now(), len(w.principal.err.String())
	w.over = make(chan struct{})
	var hands sync.WaitGroup
	for range attackHands {
		hands.Go(do)
	}
	conn, err := clientDial(context.Background(), "ipc://"+w.dir+"/s", wireOptions{})
	if err != nil {
		t.Fatalf("%s: dial: %v", name, err)
	}
	var took []time.Duration
	peak := 0
	for len(took) < 10 || time.Since(began) < *attackTime {
		asked := time.Now()
		if _, err := conn.ask(context.Background(), Request{Op: "ping"}); err != nil {
			t.Fatalf("%s: ping: %v", name, err)
		}
		took = append(took, time.Since(asked))
		if len(took)%100 == 1 {
			peak = max(peak, w.own(w.principal))
		}
	}
	conn.close()
	close(w.over)
	hands.Wait()
	late := w.late(began)
	slices.Sort(took)
	p99, lines := took[len(took)*99/100], len(w.principal.err.String())-logged
	t.Logf("%-34s ping p50 %6d µs, p99 %7d µs, max %7d µs; fires at most %5d ms late; at most %7d kB of its own; %5d bytes of log", name,
		took[len(took)/2].Microseconds(), p99.Microseconds(), took[len(took)-1].Microseconds(), late.Milliseconds(), peak, lines)
	if p99 > attackPing || late > attackLate || lines > attackLog {
		t.Errorf("%s: p99 of a ping is %s, a fire %s late; %d bytes of log:\n%.2000s", name, p99, late, lines, w.principal.err.String()[logged:])
	}
}

// late gives by how much the latest fire since then was behind its time.
func (w *attackWorld) late(since time.Time) (late time.Duration) {
	for _, r := range w.fires(since) {
		late = max(late, r.Queued.Sub(r.Scheduled.Time))
	}
	return late
}

// fires gives what the schedule has fired since then, newest first.
func (w *attackWorld) fires(since time.Time) []*Run {
	w.t.Helper()
	req := Request{Op: "ps", All: true, Workflow: "tick"}
	if !since.IsZero() {
		req.Since = stampOf(since)
	}
	r, err := w.ask(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Runs
}
