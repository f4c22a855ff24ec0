// Tests of ssh://: what an endpoint may say, and the whole way through a real sshd on the loopback address.

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWireSSHParse(t *testing.T) {
	cases := []struct{ endpoint, want string }{ // want: the arguments from -oBatchMode on, or ! and what the error says
		{"ssh://hub", "-- hub cdktr connect --stdio"},
		{"ssh://hub/", "-- hub cdktr connect --stdio"},
		{"ssh://me@hub:2222", "-p 2222 -l me -- hub cdktr connect --stdio"},
		{"ssh://hub/run/it's/cdktr.sock", `-- hub cdktr connect --stdio --socket '/run/it'\''s/cdktr.sock'`},
		{"ssh://[::1]:22", "-p 22 -- ::1 cdktr connect --stdio"},
		{"ssh://", "!write ssh://"},
		{"ssh://hub?x=1", "!write ssh://"},
		{"ssh://-oProxyCommand=x", "!neither a user nor a host"},
		{"ssh://-x@hub", "!neither a user nor a host"},
		{"ssh://me:secret@hub", "!a password does not belong here"},
		{"ssh://hub:port", "!write ssh://"},
	}
	for _, c := range cases {
		target, err := wireSSHParse(c.endpoint)
		got := ""
		if err != nil {
			got = "!" + err.Error()
		} else {
			args := target.args(false)
			got = strings.Join(args[slices.Index(args, "-oBatchMode=yes")+1:], " ")
		}
		if got != c.want && !(strings.HasPrefix(c.want, "!") && strings.Contains(got, c.want[1:])) ||
			strings.Contains(got, "secret") {
			t.Errorf("%s: %s, want %s", c.endpoint, got, c.want)
		}
		if err == nil && slices.Contains(target.args(true), "-oBatchMode=yes") {
			t.Errorf("%s: nothing can be asked", c.endpoint)
		}
	}
}

func TestWireSSHListen(t *testing.T) {
	if _, err := wireListen("ssh://hub", wireOptions{}); err == nil ||
		!strings.Contains(err.Error(), "not for listening") {
		t.Errorf("listen: %v", err)
	}
}

// sshTestServer is a sshd of our own, for our own user, with a key made for it.
type sshTestServer struct {
	x        *e2e
	dir      string
	endpoint string // ssh://127.0.0.1:PORT
}

// sshTestNew starts one. What logs in finds in bin, and nowhere else, a cdktr that is this test binary.
func sshTestNew(t *testing.T, x *e2e) *sshTestServer {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		e2eLacks(t, "apt install openssh-server: %v", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshTestServer{x: x, dir: x.dir + "/ssh"}
	port := s.port()
	if os.Geteuid() == 0 { // where sshd puts its unprivileged half
		err = os.MkdirAll("/run/sshd", 0o755)
	}
	err = errors.Join(err, os.MkdirAll(s.dir+"/bin", 0o755))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
			s.dir+"/"+name).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	public, err := os.ReadFile(s.dir + "/host.pub")
	if err != nil {
		t.Fatal(err)
	}
	s.write("known", fmt.Sprintf("[127.0.0.1]:%s %s", port, public), 0o600)
	s.write("sshd_config", fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s/host\nAuthorizedKeysFile "+
		"%s/user.pub\nPermitRootLogin yes\n"+
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile "+
		"none\nLogLevel VERBOSE\nSetEnv PATH=%s/bin:/usr/bin:/bin\n", port, s.dir, s.dir, s.dir), 0o600)
	s.write("config", fmt.Sprintf("Host *\n  User %s\n  IdentityFile %s/user\n  IdentitiesOnly yes\n  "+
		"UserKnownHostsFile %s/known\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n", me.Username,
		s.dir, s.dir), 0o600)
	s.program()
	s.daemon(sshd)
	x.env = append(x.env, "CDKTR_SSH=ssh -F "+s.dir+"/config")
	s.endpoint = "ssh://127.0.0.1:" + port
	return s
}

func (s *sshTestServer) write(name, text string, mode os.FileMode) {
	s.x.t.Helper()
	if err := os.WriteFile(s.dir+"/"+name, []byte(text), mode); err != nil {
		s.x.t.Fatal(err)
	}
}

// port finds one that is free.
func (s *sshTestServer) port() string {
	s.x.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.x.t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// program makes the cdktr of the other box: the same binary, with the settings of the installation.
func (s *sshTestServer) program() {
	var settings []string
	for _, kv := range s.x.env {
		if strings.HasPrefix(kv, "CDKTR_") && !strings.HasPrefix(kv, "CDKTR_SSH=") {
			settings = append(settings, "'"+kv+"'")
		}
	}
	s.write("bin/cdktr", "#!/bin/sh\nexec env "+strings.Join(settings, " ")+" "+s.x.bin+" \"$@\"\n", 0o755)
}

// daemon runs sshd until the test ends.
func (s *sshTestServer) daemon(sshd string) {
	t := s.x.t
	t.Helper()
	var said e2eLog
	said.grown = make(chan struct{})
	cmd := exec.Command(sshd, "-D", "-e", "-f", s.dir+"/sshd_config")
	cmd.Stderr = &said
	cmd.WaitDelay = 5 * time.Second // sessions hold its standard error
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", said.String())
		}
	})
	deadline := time.After(e2ePatience)
	for {
		text, grown := said.now()
		if strings.Contains(text, "Server listening") {
			return
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("sshd does not listen: %s", text)
		}
	}
}

// TestWireSSH: a client and an agent come in by ssh, and a long output comes through whole.
func TestWireSSH(t *testing.T) {
	x := e2eNew(t)
	s := sshTestNew(t, x)
	x.file("big.yml", "tasks:\n  a:\n    run: seq 1 50000\n")
	x.file("hold.yml", "tasks:\n  a:\n    run: while [ -e $DIR/hold ]; do sleep 0.05; done\n")
	p := x.principal()
	agent := x.spawn("start", "agent", "--name", "far", "--state", x.dir+"/far", "--principal", s.endpoint)
	agent.saw(&agent.err, "connected to the principal")
	out := x.ok("ping", "--principal", s.endpoint)
	if !strings.Contains(out, s.endpoint) {
		t.Errorf("ping: %s", out)
	}
	run := strings.TrimSpace(x.ok("run", "big", "--wait", "-H", strings.TrimPrefix(s.endpoint, "ssh://")))
	if r := x.show(run); r == nil || r.State != runSucceeded || r.Agent != "far" {
		t.Fatalf("run: %+v", r)
	}
	lines := strings.Fields(x.ok("logs", run, "--principal", s.endpoint))
	if len(lines) != 50000 || lines[49999] != "50000" {
		t.Errorf("%d lines came", len(lines))
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range e2eLines[Event](t, x.ok("events", "--principal", s.endpoint)) {
		if (e.Kind == evQueued || e.Kind == evAgentUp) && (e.By != me.Username ||
			!strings.HasPrefix(e.From, "ipc pid ")) {
			t.Errorf("%s by %q from %q", e.Kind, e.By, e.From)
		}
	}
	if r, err := x.ask(Request{Op: "agents"}); err != nil || len(r.Agents) != 1 ||
		!strings.HasPrefix(r.Agents[0].Address, "local pid ") || r.Agents[0].Load == nil {
		t.Errorf("agents: %v, %+v", err, r)
	}
	// A principal that comes back is found again by the agent.
	p.stop()
	x.principal()
	x.until("the agent is back", func() bool {
		r, err := x.ask(Request{Op: "agents"})
		return err == nil && len(r.Agents) == 1 && r.Agents[0].State == agentUp
	})
	// And is given runs.
	authTestWrite(t, x.dir+"/hold", "")
	held := x.start("hold")
	x.until("the run is on", func() bool { r := x.show(held); return r != nil && r.State == runRunning })
	if err := os.Remove(x.dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := x.await(held); r.State != runSucceeded {
		t.Errorf("run: %+v", r)
	}
	agent.stop()
}

// TestWireSSHFaults: what goes wrong on the way is said in words that help.
func TestWireSSHFaults(t *testing.T) {
	x := e2eNew(t)
	s := sshTestNew(t, x)
	ask := func(words []string, flags ...string) {
		t.Helper()
		x.refused(exitUnreachable, words, append([]string{"ping", "--principal", s.endpoint}, flags...)...)
	}
	ask([]string{"no principal has made this socket", x.dir + "/s"})
	x.refused(exitUnreachable, []string{"/no/such/sock"}, "ping", "--principal", s.endpoint+"/no/such/sock")
	x.refused(exitUnreachable, []string{"ssh did not get through", "Connection refused"}, "ping", "--principal",
		"ssh://127.0.0.1:1")
	denied := "Permission denied"
	if os.Geteuid() != 0 { // a sshd that is not root's finds out when it would become that user
		denied = "closed by remote host"
	}
	x.refused(exitUnreachable, []string{"ssh did not get through", denied}, "ping", "--principal",
		strings.Replace(s.endpoint, "127", "nobody@127", 1))
	x.refused(exitUsage, []string{"neither a user nor a host"}, "ping", "-H", "-oProxyCommand=x")
	x.refused(exitUsage, []string{"connect --stdio"}, "connect")
	if err := os.Remove(s.dir + "/bin/cdktr"); err != nil {
		t.Fatal(err)
	}
	ask([]string{"cdktr is not there", "scp "})
	s.write("bin/cdktr", "#!/bin/sh\necho Welcome to this fine box, and whatever else a profile may print before "+
		"the greeting\n", 0o755)
	ask([]string{"does the login shell of that box print something"})
	x.env = append(slices.DeleteFunc(x.env, func(kv string) bool { return strings.HasPrefix(kv, "CDKTR_SSH=") }),
		"CDKTR_SSH=no-such-ssh")
	ask([]string{"CDKTR_SSH"})
}
