// End-to-end tests of what a service is to those who look after it: HUP, what systemd hears, and what the log says of
// runs. The real systemd is in boot_linux_test.go.

package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// serviceNew starts a principal that listens on tcp, and has two workflows.
func serviceNew(t *testing.T) *hub {
	t.Helper()
	x := newSite(t)
	x.File("etl.yml", "tasks:\n  a:\n    run: echo of etl\n")
	x.File("ops.yml", "tasks:\n  a:\n    run: echo of ops\n")
	return &hub{x, x.OpenHub()}
}

// TestHangupPrincipal: without a terminal, HUP makes a principal read its files again and go on.
func TestHangupPrincipal(t *testing.T) {
	h := serviceNew(t)
	h.Authorize("vi", "viewer")
	for i, c := range []struct{ file, text, want string }{
		{"new.yml", "tasks: {a: {run: 'true'}}\n", "workflows=3 keys=1"},
		{"new.yml", "tasks: {a: {rum: 'true'}}\n", "workflows=3 keys=1"}, // a fault, with the version before in force
		{"other.yml", "tasks: {a: {run: 'true'}}\n", "workflows=4 keys=1"},
	} {
		h.File(c.file, c.text)
		before := strings.Count(h.Daemon.Err.String(), "keys again")
		h.Daemon.Signal(syscall.SIGHUP)
		h.Daemon.Saw(&h.Daemon.Err,
			`(?s)(msg="read the workflows folder and the keys again".*){`+string(rune('1'+before))+`}`)
		lines := regexp.MustCompile(`keys again" (.*)`).FindAllStringSubmatch(h.Daemon.Err.String(), -1)
		if len(lines) != i+1 || lines[i][1] != c.want {
			t.Errorf("%s: %q, want %s", c.file, lines, c.want)
		}
	}
	h.OK("ping")
	h.Daemon.Stop()
}

// TestHangupTwice: when a terminal goes away, the kernel and the shell both send HUP. The two count as one, and the run
// is stopped in good order.
func TestHangupTwice(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'trap \"sleep 1; touch $DIR/cleaned; exit 3\" TERM; touch $DIR/on; while :; "+
		"do sleep 0.1; done'}\n")
	run := x.Spawn("run", "./workflows/w.yml")
	x.Until("the task runs", func() bool { _, err := os.Stat(x.Dir + "/on"); return err == nil })
	for range 3 {
		run.Signal(syscall.SIGHUP)
		<-time.After(harness.Poll)
	}
	if code := run.Wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(x.Dir + "/cleaned"); err != nil {
		t.Errorf("the task was not let to clean up: %v", err)
	}
}

// TestHangupAgent: without a terminal, HUP makes an agent read its credential again. A new one is used at once; a bad
// one is reported and changes nothing.
func TestHangupAgent(t *testing.T) {
	h := serviceNew(t)
	file := h.Authorize("ed", "agent")
	agent := h.Spawn("start", "agent", "--name", "ed", "--credential", file, "--state", h.Dir+"/ed")
	agent.Saw(&agent.Err, "msg=.connected to the principal")
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	agent.Signal(syscall.SIGHUP)
	agent.Saw(&agent.Err, `level=WARN msg="read the credential again: the old one stays in force" cause=".*ed\.cred:1`)
	h.OK("authorize", "--remove", "ed")
	agent.Saw(&agent.Err, "no principal; trying again")
	os.Remove(file)
	h.Authorize("ed", "agent")
	agent.Signal(syscall.SIGHUP)
	agent.Saw(&agent.Err, `msg="read the credential again" principal=tcp://\S+ changed=true`)
	agent.Saw(&agent.Err, `(?s)changed=true.*msg="connected to the principal"`)
	agent.Signal(syscall.SIGHUP)
	agent.Saw(&agent.Err, `changed=false`)
	run := h.Start("etl")
	if r := h.await(run); r.State != runSucceeded || r.Agent != "ed" {
		t.Errorf("with the new credential: %+v", r)
	}
	agent.Stop()
}

// TestServiceNotify: what systemd hears of a principal from its start to its end.
func TestServiceNotify(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'while ! [ -e $DIR/go ]; do sleep 0.05; done'}\n")
	systemd := harness.OpenNotify(t, x.Dir+"/n")
	x.Env = append(x.Env, "NOTIFY_SOCKET="+x.Dir+"/n", "WATCHDOG_USEC=400000")
	p := x.Spawn("start", "principal", "--with-agent")
	systemd.Until("READY=1")
	for range 3 {
		systemd.Until("WATCHDOG=1")
	}
	run := x.Start("w")
	systemd.Until("STATUS=1 run")
	p.Signal(syscall.SIGHUP)
	systemd.Until("RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*")
	systemd.Until("READY=1")
	p.Signal(syscall.SIGTERM)
	if got := systemd.Until("STATUS=draining 1 run"); !slices.Contains(got, "STOPPING=1") {
		systemd.Until("STOPPING=1")
	}
	systemd.Until("WATCHDOG=1") // also while it waits
	if err := os.WriteFile(x.Dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	x.Principal()
	if r := x.show(run); r.State != runSucceeded {
		t.Errorf("the run that was drained: %+v", r)
	}
}

// TestServiceNotifyAgent: an agent notifies systemd too, also when there is no principal.
func TestServiceNotifyAgent(t *testing.T) {
	x := newSite(t)
	systemd := harness.OpenNotify(t, x.Dir+"/n")
	p := x.Principal()
	x.Env = append(x.Env, "NOTIFY_SOCKET="+x.Dir+"/n", "WATCHDOG_USEC=400000")
	agent := x.Spawn("start", "agent", "--state", x.Dir+"/a")
	systemd.Until("READY=1")
	systemd.Until("STATUS=0 runs")
	systemd.Until("WATCHDOG=1")
	p.Stop()
	systemd.Until("STATUS=0 runs, no principal")
	agent.Signal(syscall.SIGTERM)
	systemd.Until("STOPPING=1")
	if code := agent.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestServiceRunsLogged: the log has a line for each run that did not succeed, and for each run where that is asked
// for.
func TestServiceRunsLogged(t *testing.T) {
	const end = `msg="run (\w+)" workflow=(\w+) run=(\S+)(.*)`
	for level, want := range map[string]string{"info": "WARN failed bad", "error": "",
		"runs": "WARN failed bad|INFO succeeded good|INFO cancelled slow"} {
		t.Run(level, func(t *testing.T) {
			x := newSite(t)
			x.File("bad.yml", "tasks:\n  a: {run: 'exit 3'}\n")
			x.File("good.yml", "tasks:\n  a: {run: 'true'}\n")
			x.File("slow.yml", "tasks:\n  a: {run: 'sleep 1000'}\n")
			p := x.Spawn("start", "principal", "--with-agent", "--log-level", level)
			x.Until("the principal answers", func() bool { _, err := x.ask(Request{Op: "ping"}); return err == nil })
			x.run("bad")
			x.run("good")
			slow := x.Start("slow")
			x.OK("cancel", slow)
			x.await(slow)
			p.Stop()
			var got []string
			for _, m := range regexp.MustCompile(`level=(\w+) `+end).FindAllStringSubmatch(p.Err.String(), -1) {
				got = append(got, m[1]+" "+m[2]+" "+m[3])
				if m[2] == "failed" && m[5] != ` cause="task a: exit 3" agent=one` {
					t.Errorf("the line of the failure ends with %s", m[5])
				}
			}
			if text := strings.Join(got, "|"); text != want {
				t.Errorf("the log has %q, want %q", text, want)
			}
		})
	}
}
