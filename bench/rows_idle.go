// Rows of what goes on while nothing happens: memory, wakeups, bytes on the link of an agent; and beside supercronic
// how late a tick comes.

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// supercronicModule is the peer for schedules, built from the Go module proxy.
const supercronicModule = "github.com/aptible/supercronic@v0.2.48"

func idleGroups() []group {
	idle := "100 scheduled workflows, none of which fires. The voluntary context switches of all threads are " +
		"counted for a minute " +
		"that begins once the start is over"
	return []group{
		{"idle", []row{
			{name: "idle-inside", what: "idle wakeups a minute, agent in the principal's process", unit: inCount,
				bound: most(5), readme: true, how: idle + "; beside supercronic with 100 jobs."},
			{name: "idle-apart", what: "idle wakeups for each heartbeat, agent apart", unit: inCount, bound: most(2),
				how: idle + ", of the principal or the agent, whichever has more, over the unix socket, for each " +
					"heartbeat that the agent's link in the row idle-link had meanwhile."},
			{name: "idle-memory", what: "idle memory, principal with its agent", unit: inMB, bound: most(12e6),
				readme: true, how: "`VmRSS` at the end of that minute, beside supercronic's."},
			{name: "idle-link", what: "link of an idle agent, a day", unit: inMB, bound: most(1.5e6), readme: true,
				how: "Bytes in both directions between an agent with a key and its principal, over tcp through a " +
					"proxy that counts, from the first heartbeat of that minute to the last, times a day. Headers of " +
					"tcp and ip are not counted: with them it is about 2.3 times as much."},
		}, (*bench).idle},
		{"tick", []row{
			{name: "tick", what: "second of a schedule to the task's first instruction", unit: inMillis, readme: true,
				how: "A workflow fires in every even second, and supercronic's job in every odd one; each asks " +
					"`date` how late it is."},
		}, (*bench).tick},
	}
}

// supercronic builds the peer.
func (b *bench) supercronic() (string, error) {
	file := filepath.Join(b.dir, "supercronic")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if b.noCronic {
		return "", &missing{tool: "supercronic", soft: true}
	}
	b.say("building supercronic")
	cmd := exec.Command("go", "install", "-trimpath", "-ldflags", "-s -w", supercronicModule)
	cmd.Env = append(os.Environ(), "GOBIN="+b.dir, "CGO_ENABLED=0", "GOFLAGS=")
	if _, err := b.do(cmd); b.ctx.Err() != nil {
		return "", b.ctx.Err()
	} else if err != nil {
		b.noCronic = true
		b.say("%v", err)
		return "", &missing{tool: "supercronic", soft: true}
	}
	return file, nil
}

// cronic starts supercronic on a crontab; nil when there is none.
func (b *bench) cronic(crontab string) (*process, error) {
	peer, err := b.supercronic()
	var lacks *missing
	if errors.As(err, &lacks) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	file, err := b.file("crontab", crontab)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(peer, "-quiet", file)
	cmd.Dir = b.dir
	return b.procs.start(cmd)
}

// idle has three pairs and supercronic sit there for the same minute.
func (b *bench) idle() (map[string]figures, error) {
	hour := (time.Now().UTC().Hour() + 12) % 24
	hundred, err := b.hundred(hour)
	if err != nil {
		return nil, err
	}
	peer, err := b.cronic(strings.Repeat(fmt.Sprintf("0 %d * * * true\n", hour), 100))
	if err != nil {
		return nil, err
	}
	inside, err := b.principal(hundred, "--with-agent")
	if err != nil {
		return nil, err
	}
	principal, err := b.principal(hundred)
	if err != nil {
		return nil, err
	}
	agent, err := b.agent(principal.endpoint())
	if err != nil {
		return nil, err
	}
	far, tcp, err := b.keyed(hundred)
	if err != nil {
		return nil, err
	}
	link, err := proxy(strings.TrimPrefix(tcp, "tcp://"))
	if err != nil {
		return nil, err
	}
	defer link.close()
	credential, err := b.authorize(far, "apart", "agent", "tcp://"+link.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	farAgent, err := b.agent("", "--credential", credential)
	if err != nil {
		return nil, err
	}
	// a principal and an agent are idle from the second heartbeat behind their last work
	settle, window := 30*time.Second, time.Minute
	if b.quick {
		window = 36 * time.Second
	}
	b.say("%s to settle and %s to watch", settle, window)
	if err := b.sleep(settle); err != nil {
		return nil, err
	}
	pids := []int{inside.pid, principal.pid, agent.pid}
	if peer != nil {
		pids = append(pids, peer.Process.Pid)
	}
	link.begin()
	before, err := wakeupsOf(pids)
	if err != nil {
		return nil, err
	}
	if err := b.sleep(window); err != nil {
		return nil, err
	}
	after, err := wakeupsOf(pids)
	if err != nil {
		return nil, err
	}
	minute := func(i int) float64 { return (after[i] - before[i]) / window.Minutes() }
	bytes, period := link.rate()
	if period == 0 {
		return nil, fmt.Errorf("an idle agent said less than twice in %s that it is there", window)
	}
	beats := time.Minute.Seconds() / period.Seconds()
	rss, err := memory(inside.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	private, err := memory(inside.pid, "RssAnon")
	if err != nil {
		return nil, err
	}
	all := map[string]figures{
		"idle-inside": {ours: samples{minute(0)}},
		"idle-apart": {ours: samples{max(minute(1), minute(2)) / beats},
			note: fmt.Sprintf("a minute: principal %.0f, agent %.0f; %.1f heartbeats", minute(1), minute(2), beats)},
		"idle-memory": {ours: samples{rss}, note: "private " + inMB.of(private)},
		"idle-link": {ours: samples{bytes * 24 * time.Hour.Seconds()},
			note: fmt.Sprintf("%.0f bytes every %s", bytes*period.Seconds(), period.Round(100*time.Millisecond))},
	}
	if peer == nil {
		f := all["idle-inside"]
		f.note = "no supercronic beside it"
		all["idle-inside"] = f
	} else {
		peerRSS, err := memory(peer.Process.Pid, "VmRSS")
		if err != nil {
			return nil, err
		}
		for name, floor := range map[string]float64{"idle-inside": minute(3), "idle-memory": peerRSS} {
			f := all[name]
			f.floor, f.floorName = samples{floor}, "supercronic"
			all[name] = f
		}
		peer.stop() // its exit status is its own affair
	}
	return all, errors.Join(farAgent.stop(), far.stop(), agent.stop(), principal.stop(), inside.stop())
}

// wakeupsOf gives the wakeups of several processes.
func wakeupsOf(pids []int) (all []float64, err error) {
	for _, pid := range pids {
		n, err := wakeups(pid)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// counter is a proxy of tcp connections that keeps when how many bytes went through, in both directions.
type counter struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	sends []sent
	conns []net.Conn
}

// sent is bytes that went through together.
type sent struct {
	at    time.Time
	bytes int
}

// proxy listens on a port of the loopback, and connects to an address whoever comes.
func proxy(to string) (*counter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{listener: l, to: to}
	go func() { // ends with close
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			peer, err := net.Dial("tcp", to)
			if err != nil {
				conn.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn, peer)
			c.mu.Unlock()
			go c.copy(conn, peer)
			go c.copy(peer, conn)
		}
	}()
	return c, nil
}

// copy passes bytes on until one side ends.
func (c *counter) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			c.mu.Lock()
			c.sends = append(c.sends, sent{time.Now(), n})
			c.mu.Unlock()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// begin forgets what went through so far.
func (c *counter) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sends = nil
}

// rate gives the bytes a second since begin, and the time from one heartbeat to the next.
func (c *counter) rate() (bytes float64, period time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sentRate(c.sends)
}

// sentRate takes what comes within a second for one heartbeat with its answers. It counts from the first heartbeat to
// the last, without the last, so that it does not matter when the counting began. With less than two, period is 0.
func sentRate(sends []sent) (bytes float64, period time.Duration) {
	if len(sends) == 0 {
		return 0, 0
	}
	last, beats, sum, whole := sends[0].at, 0, 0, 0
	for i, s := range sends {
		if i > 0 && s.at.Sub(sends[i-1].at) > time.Second {
			last, whole = s.at, sum
			beats++
		}
		sum += s.bytes
	}
	if beats == 0 {
		return 0, 0
	}
	took := last.Sub(sends[0].at)
	return float64(whole) / took.Seconds(), took / time.Duration(beats)
}

// close ends the proxy and its connections.
func (c *counter) close() {
	c.listener.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// tick has a workflow and a job of supercronic fire in turns.
func (b *bench) tick() (map[string]figures, error) {
	ours, theirs := filepath.Join(b.dir, "ticks.ours"), filepath.Join(b.dir, "ticks.theirs")
	if _, err := b.file("tick/tick.yml",
		"schedule: \"*/2 * * * * *\"\ntasks:\n  a: {run: date +%N >>"+ours+"}\n"); err != nil {
		return nil, err
	}
	d, err := b.principal("tick", "--with-agent")
	if err != nil {
		return nil, err
	}
	peer, err := b.cronic("1-59/2 * * * * * * date +%N >>" + theirs + "\n")
	if err != nil {
		return nil, err
	}
	window := time.Duration(b.samples(60, 14)) * time.Second
	b.say("%s of ticks", window)
	if err := b.sleep(window); err != nil {
		return nil, err
	}
	f := figures{note: "no supercronic beside it"}
	if f.ours, err = nanoseconds(ours); err != nil {
		return nil, err
	}
	if peer != nil {
		f.note = ""
		peer.stop() // its exit status is its own affair
		f.floorName = "supercronic"
		if f.floor, err = nanoseconds(theirs); err != nil {
			return nil, err
		}
	}
	return map[string]figures{"tick": f}, d.stop()
}

// nanoseconds reads a file of lines of nine digits. The first is left out: it came while others started.
func nanoseconds(file string) (samples, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all, err := numbers(string(text))
	if err != nil {
		return nil, err
	}
	return all[1:], nil
}
