// A principal or an agent as a process of its own, and a client that asks a principal as any ZeroMQ client would.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
)

// daemon is a principal, with or without an agent, or an agent.
type daemon struct {
	*process
	pid    int // of the daemon: the process may be strace
	dir    string
	socket string
	log    *daemonLog
	took   time.Duration // from the start of the process to "ready"
}

// daemonLog keeps what a daemon says, and closes ready when it is ready.
type daemonLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	mark  string // of the line that says so
	ready chan struct{}
	line  string // that line
}

func (l *daemonLog) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(data)
	if l.line == "" {
		for line := range strings.Lines(l.text.String()) {
			if strings.Contains(line, l.mark) && strings.HasSuffix(line, "\n") {
				l.line = line
				close(l.ready)
				break
			}
		}
	}
	return len(data), nil
}

func (l *daemonLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// principal starts a principal on a folder of workflows, relative to that of the bench, and waits until it is ready.
// Nothing fires by itself, and nothing is removed, unless args say otherwise.
func (b *bench) principal(workflows string, args ...string) (*daemon, error) {
	return b.principalBehind(nil, workflows, args...)
}

// principalBehind is principal with a command in front: env to set variables, strace to watch it.
func (b *bench) principalBehind(before []string, workflows string, args ...string) (*daemon, error) {
	folder := filepath.Join(b.dir, workflows)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "state.")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, socket: filepath.Join(dir, "sock")}
	argv := append([]string{b.cdktr, "start", "principal", "--workflows", folder, "--state", d.state(),
		"--socket", d.socket, "--retain-bytes", "0"}, args...)
	return d, b.serve(d, "msg=ready", append(before, argv...))
}

// agent starts an agent of its own on a principal, and waits until it is connected.
func (b *bench) agent(endpoint string, args ...string) (*daemon, error) {
	dir, err := os.MkdirTemp(b.dir, "agent.")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir}
	argv := []string{b.cdktr, "start", "agent", "--state", d.state(), "--name", "apart"}
	if endpoint != "" { // a credential has its own
		argv = append(argv, "--principal", endpoint)
	}
	argv = append(argv, args...)
	return d, b.serve(d, "connected to the principal", argv)
}

// state is its state folder.
func (d *daemon) state() string { return filepath.Join(d.dir, "state") }

// endpoint is where its clients connect.
func (d *daemon) endpoint() string { return "ipc://" + d.socket }

// serve starts a daemon and waits for the line of its log that says it is ready.
func (b *bench) serve(d *daemon, mark string, argv []string) (err error) {
	d.log = &daemonLog{mark: mark, ready: make(chan struct{})}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stderr = b.dir, d.log
	began := time.Now()
	if d.process, err = b.procs.start(cmd); err != nil {
		return err
	}
	select {
	case <-d.log.ready:
	case <-d.ended:
		return fmt.Errorf("%s ended before it was ready: %w: %s", argv[0], d.err, d.log)
	case <-time.After(time.Minute):
		return fmt.Errorf("%s is not ready after a minute: %s", argv[0], d.log)
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	d.took = time.Since(began)
	d.pid = cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.pid, d.pid))
	if argv[0] == b.cdktr || err != nil || strings.TrimSpace(string(text)) == "" { // env has become the daemon
		return err
	}
	d.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return err
}

// stop ends it; that it did not end well is an error.
func (d *daemon) stop() error {
	if err := d.process.stop(); err != nil {
		return fmt.Errorf("daemon: %w: %s", err, d.log)
	}
	return nil
}

// client is a connection to a principal. One goroutine uses it.
type client struct {
	socket zmq4.Socket
	sent   int
}

// reply is the part of a principal's reply that the bench reads.
type reply struct {
	ID    string
	OK    bool
	Error json.RawMessage
	Run   string
	Count int
	Runs  []struct{ Run, State string }
}

// dial connects as a DEALER, which may send many requests at once.
func (b *bench) dial(d *daemon) (*client, error) {
	s := zmq4.NewDealer(b.ctx)
	if err := s.Dial(d.endpoint()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &client{socket: s}, nil
}

func (c *client) close() error {
	if err := c.socket.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// send sends a request.
func (c *client) send(request map[string]any) error {
	c.sent++
	request["v"], request["id"] = 1, strconv.Itoa(c.sent)
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return c.socket.Send(zmq4.NewMsg(body))
}

// receive reads one reply; a refusal is an error.
func (c *client) receive() (r reply, err error) {
	msg, err := c.socket.Recv()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(msg.Bytes(), &r); err != nil {
		return r, err
	}
	if !r.OK {
		return r, fmt.Errorf("refused: %s", r.Error)
	}
	return r, nil
}

// ask sends a request and reads its reply.
func (c *client) ask(request map[string]any) (reply, error) {
	if err := c.send(request); err != nil {
		return reply{}, err
	}
	return c.receive()
}
