// cli_serve_notify.go: what a service tells systemd by sd_notify(3): that it is ready, reads its files again, or stops;
// how many runs it has; and, where a watchdog is set, that its loops go on.

package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	serveNotifyGap  = 1 * time.Second // the least time between two status texts: each one wakes systemd
	serveNotifyWait = 1 * time.Second // how long systemd may take to accept a message; it is lost after that
	servePulses     = 4               // how often a loop shows itself within the time of the watchdog
)

// serveNotify is the way to systemd. Any goroutine may call its methods. Loops may call only tell and the methods of
// servePulse, which never wait: run sends for them.
type serveNotify struct {
	conn  *net.UnixConn // nil: systemd does not want to hear
	every time.Duration // how often each loop must show itself; 0 without a watchdog
	wake  chan struct{}
	done  chan struct{} // closed by close
	log   *slog.Logger

	sending sync.Mutex // one message at a time
	stopped sync.Once

	mu       sync.Mutex
	runs     int // how it is
	queued   int
	lack     string
	told     bool // tell was called
	stopping bool
	pulses   map[*servePulse]bool // whether each loop has shown itself since the last message
	alive    bool                 // all have: run must tell systemd
}

// serveNotifyOpen opens the socket that systemd names in the environment. Without one, the methods of its result do
// nothing.
func serveNotifyOpen(getenv func(string) string) (*serveNotify, error) {
	n := &serveNotify{wake: make(chan struct{}, 1), done: make(chan struct{}), pulses: map[*servePulse]bool{}}
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return n, nil
	}
	if socket[0] == '@' {
		socket = "\x00" + socket[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return n, fmt.Errorf("reach systemd by NOTIFY_SOCKET: %w", err)
	}
	n.conn = conn
	pid := getenv("WATCHDOG_PID")
	ours := pid == "" || pid == strconv.Itoa(os.Getpid())
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if ours && err == nil && usec > 0 {
		n.every = time.Duration(usec) * time.Microsecond / servePulses
	}
	go n.run()
	return n, nil
}

// run sends what the loops have to say. It wakes when there is something, and when the next status text may go out. It
// ends with close.
func (n *serveNotify) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	sent, last := "", time.Time{}
	for {
		select {
		case <-n.wake:
		case <-timer.C:
		case <-n.done:
			return
		}
		n.mu.Lock()
		alive, text := n.alive, ""
		n.alive = false
		if n.told {
			text = serveStatus(n.runs, n.queued, n.lack, n.stopping)
		}
		n.mu.Unlock()
		if alive {
			_ = n.send("WATCHDOG=1") // if it is lost, the next one comes soon
		}
		if text == sent {
			continue
		}
		if left := serveNotifyGap - time.Since(last); left > 0 {
			timer.Reset(left)
			continue
		}
		sent, last = text, time.Now()
		_ = n.send("STATUS=" + text) // if it is lost, people look again
	}
}

// send sends one message.
func (n *serveNotify) send(text string) error {
	if n.conn == nil {
		return nil
	}
	n.sending.Lock()
	defer n.sending.Unlock()
	err := n.conn.SetWriteDeadline(time.Now().Add(serveNotifyWait))
	if err == nil {
		_, err = n.conn.Write([]byte(text))
	}
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// kick wakes run.
func (n *serveNotify) kick() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// ready says that the service is up, or has read its files again.
func (n *serveNotify) ready() { n.say("READY=1") }

// reloading says that it is about to read its files again; ready says that it has.
func (n *serveNotify) reloading() {
	text := "RELOADING=1"
	if now, ok := clockMonotonic(); ok { // what Type=notify-reload wants to know
		text += fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Microseconds())
	}
	n.say(text)
}

// stop says once that the service stops. Each caller returns after that was said. From then on runs are drained, and
// one loop may end before the other.
func (n *serveNotify) stop() {
	n.stopped.Do(func() {
		n.mu.Lock()
		n.stopping = true
		n.mu.Unlock()
		n.kick()
		n.say("STOPPING=1")
	})
}

// say sends a message that matters, and logs when it could not.
func (n *serveNotify) say(text string) {
	if err := n.send(text); err != nil {
		n.log.Warn("systemd does not hear that", "message", text, "cause", err)
	}
}

// tell says how many runs go on and how many wait. lack says what is missing, "" where nothing is.
func (n *serveNotify) tell(runs, queued int, lack string) {
	n.mu.Lock()
	n.runs, n.queued, n.lack, n.told = runs, queued, lack, true
	n.mu.Unlock()
	n.kick()
}

// serveStatus is the text that `systemctl status` shows.
func serveStatus(runs, queued int, lack string, stopping bool) string {
	text := countText(runs, "run")
	switch {
	case stopping && runs > 0:
		return "draining " + text
	case stopping:
		return "stopping"
	case queued > 0:
		text += fmt.Sprintf(", %d queued", queued)
	}
	if lack != "" {
		text += ", " + lack
	}
	return text
}

// servePulse is one loop's sign of life.
type servePulse struct {
	n    *serveNotify
	last time.Time // only the loop's goroutine uses it
}

// agent is tell for an agent that is a service of its own.
func (n *serveNotify) agent(runs int, connected bool) {
	lack := ""
	if !connected {
		lack = "no principal"
	}
	n.tell(runs, 0, lack)
}

// pulse gives a loop a function to call in each turn, which says how long the loop may sleep; nil where no watchdog is
// set. systemd hears that the service is alive each time that all its loops have called theirs; while the service
// stops, one loop is enough.
func (n *serveNotify) pulse() func() time.Duration {
	if n.every == 0 {
		return nil
	}
	p := &servePulse{n: n}
	n.mu.Lock()
	n.pulses[p] = false
	n.mu.Unlock()
	return p.beat
}

// beat is for the loop alone to call: a loop that hangs must not look alive.
func (p *servePulse) beat() time.Duration {
	now := time.Now()
	if since := now.Sub(p.last); !p.last.IsZero() && since < p.n.every {
		return p.n.every - since
	}
	p.last = now
	p.n.shown(p)
	return p.n.every
}

// shown notes that a loop goes on, and wakes run when all of them do.
func (n *serveNotify) shown(p *servePulse) {
	n.mu.Lock()
	n.pulses[p] = true
	all := true
	for _, is := range n.pulses {
		all = all && (is || n.stopping)
	}
	if all {
		n.alive = true
		for p := range n.pulses {
			n.pulses[p] = false
		}
	}
	n.mu.Unlock()
	if all {
		n.kick()
	}
}

// close ends run.
func (n *serveNotify) close() {
	if n.conn != nil {
		close(n.done)
		n.conn.Close()
	}
}
