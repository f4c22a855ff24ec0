// wire_ssh.go: connections over ssh. The ssh program is started as git starts it, and its standard input and output,
// here one end of a socket pair, are the connection. At the other end `cdktr connect --stdio` joins them to the ipc
// socket of that box, whose principal sees a process of the user who logged in. ssh's own configuration, keys and jump
// hosts do the rest.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	wireSSHScheme    = "ssh://"
	wireSSHHandshake = 30 * time.Second // logging in takes its time
	wireSSHLinger    = 3 * time.Second  // how long ssh may take to end when we hang up
	wireSSHSaid      = 4 << 10          // bytes of its standard error that are kept, the last ones
)

// wireSSHTarget is where ssh://[USER@]HOST[:PORT][/SOCKET] goes.
type wireSSHTarget struct {
	user, host, port string
	socket           string // "" for the one that the other box's cdktr finds
}

// wireSSHParse reads an ssh:// endpoint. Nothing of it can be taken for a flag of ssh.
func wireSSHParse(endpoint string) (wireSSHTarget, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return wireSSHTarget{}, fmt.Errorf("endpoint %q: write ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET]", endpoint)
	}
	t := wireSSHTarget{host: u.Hostname(), port: u.Port(), socket: strings.TrimRight(u.Path, "/")}
	if u.User != nil {
		if _, has := u.User.Password(); has {
			return t, fmt.Errorf("endpoint ssh://%s: a password does not belong here: ssh asks for it, or use a key",
				u.Host)
		}
		t.user = u.User.Username()
	}
	for _, word := range []string{t.user, t.host} {
		if strings.HasPrefix(word, "-") || strings.ContainsAny(word, " \t\r\n\x00") {
			return t, fmt.Errorf("endpoint %q: %q is neither a user nor a host", endpoint, word)
		}
	}
	return t, nil
}

// args gives the arguments for the ssh program: no terminal, no forwarding of anything, and no questions unless ask is
// set.
func (t wireSSHTarget) args(ask bool) []string {
	args := []string{"-T", "-a", "-x", "-oClearAllForwardings=yes"}
	if !ask {
		args = append(args, "-oBatchMode=yes")
	}
	if t.port != "" {
		args = append(args, "-p", t.port)
	}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	args = append(args, "--", t.host, "cdktr connect --stdio")
	if t.socket != "" { // the other side's shell reads it
		args[len(args)-1] += " --socket '" + strings.ReplaceAll(t.socket, "'", `'\''`) + "'"
	}
	return args
}

// wireSSHConn is the connection to a running ssh.
type wireSSHConn struct {
	*net.UnixConn
	cmd   *exec.Cmd
	said  wireTail      // its standard error
	ended chan struct{} // closed when ssh has ended; cmd.ProcessState is set then
	once  sync.Once
}

// Close hangs up. What was written still goes to the other side; ssh ends by itself,
// or is killed a little later.
func (c *wireSSHConn) Close() error {
	err := c.UnixConn.Close()
	c.once.Do(func() {
		late := time.AfterFunc(wireSSHLinger, func() { c.cmd.Process.Kill() })
		go func() { // ends with ssh
			<-c.ended
			late.Stop()
		}()
	})
	return err
}

// wireTail keeps the end of what is written to it.
type wireTail struct {
	mu   sync.Mutex
	text []byte
}

// Write never fails.
func (t *wireTail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - wireSSHSaid; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// String is what is kept, in one line.
func (t *wireTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for line := range bytes.Lines(t.text) {
		if text := strings.TrimSpace(string(line)); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "; ")
}

// wireDialSSH starts ssh and shakes hands with the principal behind it. Only ctx bounds how long that takes: with
// SSHAsk somebody may be typing.
func wireDialSSH(ctx context.Context, endpoint string, opt wireOptions) (wireConn, error) {
	target, err := wireSSHParse(endpoint)
	if err != nil {
		return nil, err
	}
	nc, err := wireSSHStart(target, opt)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	opt.Handshake = max(opt.Handshake, wireSSHHandshake)
	c, err := wireGreetWithin(ctx, nc, endpoint, opt)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, nc.explain(ctx, target, err))
	}
	return c, nil
}

// wireSSHStart starts ssh on one end of a socket pair and gives the other.
func wireSSHStart(target wireSSHTarget, opt wireOptions) (*wireSSHConn, error) {
	program := opt.SSH
	if len(program) == 0 {
		program = []string{"ssh"}
	}
	syscall.ForkLock.RLock() // no other child may inherit them: it would hold one end open
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ssh"), os.NewFile(uintptr(fds[1]), "ssh")
	defer theirs.Close()
	defer ours.Close() // FileConn makes its own
	nc, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("make socket pair: %w", err)
	}
	c := &wireSSHConn{UnixConn: nc.(*net.UnixConn), ended: make(chan struct{})}
	c.cmd = exec.Command(program[0], append(program[1:len(program):len(program)], target.args(opt.SSHAsk)...)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = theirs, theirs, &c.said
	c.cmd.WaitDelay = wireSSHLinger // a master connection that it leaves behind may hold its standard error
	// A group of its own keeps the terminal's signals from it: we handle them. But an ssh that asks must be in the
	// foreground.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !opt.SSHAsk}
	if err := c.cmd.Start(); err != nil {
		nc.Close()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("%w: install the ssh client, or name it in CDKTR_SSH", err)
		}
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	go func() { // ends with ssh
		_ = c.cmd.Wait() // what it says is in ProcessState
		close(c.ended)
	}()
	return c, nil
}

// explain says why there is no connection. What ssh or the other side's cdktr has said tells more than the end of the
// connection.
func (c *wireSSHConn) explain(ctx context.Context, target wireSSHTarget, err error) error {
	c.Close()
	timer := time.NewTimer(wireSSHLinger + time.Second) // Close has it ended by then
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-ctx.Done():
		return err
	case <-timer.C:
		return err
	}
	said := c.said.String()
	switch code := c.cmd.ProcessState.ExitCode(); {
	case code == 127:
		return fmt.Errorf("cdktr is not there: copy it to that box, as: scp \"$(command -v cdktr)\" "+
			"%s:/usr/local/bin/ (it said: %s)", target.host, said)
	case code == 255:
		return fmt.Errorf("ssh did not get through: %s", said)
	case code > 0 && said != "":
		return fmt.Errorf("%s: %s", target.host, strings.TrimPrefix(said, "cdktr: "))
	case strings.Contains(err.Error(), "not ZeroMQ"):
		return fmt.Errorf("%w: does the login shell of that box print something? It must be silent without a terminal",
			err)
	case said != "":
		return fmt.Errorf("%w (ssh said: %s)", err, said)
	}
	return err
}

// wireJoin carries bytes between a socket and a pair of streams, both ways, and returns when the socket has ended. When
// in ends it passes that on to the socket.
func wireJoin(socket *net.UnixConn, in io.Reader, out io.Writer) error {
	go func() { // ends with in, or with the process
		if _, err := io.Copy(socket, in); err == nil {
			_ = socket.CloseWrite()
			return
		}
		socket.Close()
	}()
	_, err := io.Copy(out, socket)
	return err
}
