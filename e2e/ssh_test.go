// Tests of ssh://: the whole way through a real sshd on the loopback address.

package e2e

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

	"cdktr/e2e/harness"
)

// sshTestServer is a sshd of our own, for our own user, with a key made for it.
type sshTestServer struct {
	x        *site
	dir      string
	endpoint string // ssh://127.0.0.1:PORT
}

// sshTestNew starts one. Whoever logs in finds a cdktr in bin and nowhere else: the program under test.
func sshTestNew(t *testing.T, x *site) *sshTestServer {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		harness.Lacks(t, "apt install openssh-server: %v", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshTestServer{x: x, dir: x.Dir + "/ssh"}
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
	x.Env = append(x.Env, "CDKTR_SSH=ssh -F "+s.dir+"/config")
	s.endpoint = "ssh://127.0.0.1:" + port
	return s
}

func (s *sshTestServer) write(name, text string, mode os.FileMode) {
	s.x.T.Helper()
	if err := os.WriteFile(s.dir+"/"+name, []byte(text), mode); err != nil {
		s.x.T.Fatal(err)
	}
}

// port finds one that is free.
func (s *sshTestServer) port() string {
	s.x.T.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.x.T.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// program makes the cdktr of the other box: the same binary, with the settings of the installation.
func (s *sshTestServer) program() {
	var settings []string
	for _, kv := range s.x.Env {
		if strings.HasPrefix(kv, "CDKTR_") && !strings.HasPrefix(kv, "CDKTR_SSH=") {
			settings = append(settings, "'"+kv+"'")
		}
	}
	s.write("bin/cdktr", "#!/bin/sh\nexec env "+strings.Join(settings, " ")+" "+s.x.Bin+" \"$@\"\n", 0o755)
}

// daemon runs sshd until the test ends.
func (s *sshTestServer) daemon(sshd string) {
	t := s.x.T
	t.Helper()
	var said harness.Log
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
	deadline := time.After(harness.Patience)
	for {
		text, grown := said.Now()
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
	x := newSite(t)
	s := sshTestNew(t, x)
	x.File("big.yml", "tasks:\n  a:\n    run: seq 1 50000\n")
	x.File("hold.yml", "tasks:\n  a:\n    run: while [ -e $DIR/hold ]; do sleep 0.05; done\n")
	p := x.Principal()
	agent := x.Spawn("start", "agent", "--name", "far", "--state", x.Dir+"/far", "--principal", s.endpoint)
	agent.Saw(&agent.Err, "connected to the principal")
	out := x.OK("ping", "--principal", s.endpoint)
	if !strings.Contains(out, s.endpoint) {
		t.Errorf("ping: %s", out)
	}
	run := strings.TrimSpace(x.OK("run", "big", "--wait", "-H", strings.TrimPrefix(s.endpoint, "ssh://")))
	if r := x.show(run); r == nil || r.State != runSucceeded || r.Agent != "far" {
		t.Fatalf("run: %+v", r)
	}
	lines := strings.Fields(x.OK("logs", run, "--principal", s.endpoint))
	if len(lines) != 50000 || lines[49999] != "50000" {
		t.Errorf("%d lines came", len(lines))
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range harness.Lines[Event](t, x.OK("events", "--principal", s.endpoint)) {
		if (e.Kind == "run.queued" || e.Kind == "agent.up") && (e.By != me.Username ||
			!strings.HasPrefix(e.From, "ipc pid ")) {
			t.Errorf("%s by %q from %q", e.Kind, e.By, e.From)
		}
	}
	if r, err := x.ask(Request{Op: "agents"}); err != nil || len(r.Agents) != 1 ||
		!strings.HasPrefix(r.Agents[0].Address, "local pid ") || r.Agents[0].Load == nil {
		t.Errorf("agents: %v, %+v", err, r)
	}
	// A principal that comes back is found again by the agent.
	p.Stop()
	x.Principal()
	x.Until("the agent is back", func() bool {
		r, err := x.ask(Request{Op: "agents"})
		return err == nil && len(r.Agents) == 1 && r.Agents[0].State == agentUp
	})
	// The agent is given runs again.
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := x.Start("hold")
	x.Until("the run is on", func() bool { r := x.show(held); return r != nil && r.State == runRunning })
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := x.await(held); r.State != runSucceeded {
		t.Errorf("run: %+v", r)
	}
	agent.Stop()
}

// TestWireSSHFaults: the message for each fault on the way says what to do.
func TestWireSSHFaults(t *testing.T) {
	x := newSite(t)
	s := sshTestNew(t, x)
	ask := func(words []string, flags ...string) {
		t.Helper()
		x.Refused(exitUnreachable, words, append([]string{"ping", "--principal", s.endpoint}, flags...)...)
	}
	ask([]string{"no principal has made this socket", x.Dir + "/s"})
	x.Refused(exitUnreachable, []string{"/no/such/sock"}, "ping", "--principal", s.endpoint+"/no/such/sock")
	x.Refused(exitUnreachable, []string{"ssh did not get through", "Connection refused"}, "ping", "--principal",
		"ssh://127.0.0.1:1")
	denied := "Permission denied"
	if os.Geteuid() != 0 { // a sshd that is not root's finds out when it would become that user
		denied = "closed by remote host"
	}
	x.Refused(exitUnreachable, []string{"ssh did not get through", denied}, "ping", "--principal",
		strings.Replace(s.endpoint, "127", "nobody@127", 1))
	x.Refused(exitUsage, []string{"neither a user nor a host"}, "ping", "-H", "-oProxyCommand=x")
	x.Refused(exitUsage, []string{"connect --stdio"}, "connect")
	if err := os.Remove(s.dir + "/bin/cdktr"); err != nil {
		t.Fatal(err)
	}
	ask([]string{"cdktr is not there", "scp "})
	s.write("bin/cdktr", "#!/bin/sh\necho Welcome to this fine box, and whatever else a profile may print before "+
		"the greeting\n", 0o755)
	ask([]string{"does the login shell of that box print something"})
	x.Env = append(slices.DeleteFunc(x.Env, func(kv string) bool { return strings.HasPrefix(kv, "CDKTR_SSH=") }),
		"CDKTR_SSH=no-such-ssh")
	ask([]string{"CDKTR_SSH"})
}
