// Each fault that doctor knows is provoked, and docs/troubleshooting.md is made of them.

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// doctorCase provokes a fault. It gets a doctor with places of the test's own, and a folder.
type doctorCase struct {
	code string
	do   func(t *testing.T, d *doctor, dir string)
}

// doctorTestSay has doctor ask for a principal at an endpoint.
func doctorTestSay(endpoint string, settings ...string) func(*testing.T, *doctor, string) {
	return func(t *testing.T, d *doctor, dir string) {
		d.c.cfg = d.c.cfg.with("principal", strings.ReplaceAll(endpoint, "DIR", dir), "flag --principal")
		for i := 0; i+1 < len(settings); i += 2 {
			d.c.cfg = d.c.cfg.with(settings[i], strings.ReplaceAll(settings[i+1], "DIR", dir), "flag")
		}
		d.principal(t.Context())
	}
}

// doctorTestErr has doctor name an error that cannot be had here.
func doctorTestErr(endpoint string, err error) func(*testing.T, *doctor, string) {
	return func(t *testing.T, d *doctor, dir string) {
		d.c.cfg = d.c.cfg.with("principal", strings.ReplaceAll(endpoint, "DIR", dir), "flag --principal")
		d.fault(d.unreached(err), "%v", err)
	}
}

// doctorTestDisk looks at a state folder whose file system says that.
func doctorTestDisk(facts diskFacts) func(*testing.T, *doctor, string) {
	return func(t *testing.T, d *doctor, dir string) {
		d.box.disk = func(*os.File) (diskFacts, error) { return facts, nil }
		d.folder(dir)
	}
}

// doctorTestUnit looks at a principal whose unit has these lines.
func doctorTestUnit(lines string) func(*testing.T, *doctor, string) {
	return func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/units/cdktr.service", "[Service]\nExecStart=/usr/bin/cdktr start principal "+
			"--with-agent\n"+lines)
		doctorTestPut(t, dir+"/proc/7/cgroup", "0::/system.slice/cdktr.service\n")
		d.pid, d.limits = 7, true
		d.process()
	}
}

// doctorTestPut writes a file, and makes its folder.
func doctorTestPut(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// doctorTestJudge looks at workflows and agents.
func doctorTestJudge(info WorkflowInfo, spec *Workflow, rootless bool, agents ...*Agent) func(*testing.T, *doctor,
	string) {
	return func(t *testing.T, d *doctor, dir string) {
		d.judge(&Reply{Workflows: []WorkflowInfo{info}}, agents, rootless, func(string) *Workflow { return spec })
	}
}

const doctorTestRoom = 1 << 40

var doctorCases = []doctorCase{
	{"config-faults", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/c.yml", "capcity: 1\n")
		d.c.flags.config = dir + "/c.yml"
		if err := d.all(t.Context()); err != nil {
			t.Error(err)
		}
	}},
	{"principal-absent", doctorTestSay("ipc://DIR/none")},
	{"socket-stale", func(t *testing.T, d *doctor, dir string) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		doctorTestSay("ipc://DIR/s")(t, d, dir)
	}},
	{"socket-denied", doctorTestErr("ipc://DIR", &exitError{code: exitNotAllowed, err: syscall.EACCES})},
	{"socket-folder", func(t *testing.T, d *doctor, dir string) {
		code := d.socketLook(&os.PathError{Op: "stat", Err: syscall.EACCES}, nil, true)
		d.fault(code, "x")
	}},
	{"principal-refused", func(t *testing.T, d *doctor, dir string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // its port stays free for a while
		doctorTestSay("tcp://"+l.Addr().String(), "insecure", "loopback")(t, d, dir)
	}},
	{"principal-silent", doctorTestErr("tcp://192.0.2.1:5561", fmt.Errorf("reach: %w", context.DeadlineExceeded))},
	{"principal-silent", doctorTestErr("tcp://192.0.2.1:5561", &net.OpError{Err: syscall.EHOSTUNREACH})},
	{"principal-name", doctorTestErr("tcp://no.invalid:1", fmt.Errorf("reach: %w", &net.DNSError{IsNotFound: true}))},
	{"key-unknown", doctorTestErr("tcp://h:1", &exitError{code: exitNotAllowed, err: errWireUnauthorized})},
	{"key-server", doctorTestErr("tcp://h:1", &exitError{code: exitUnreachable, err: errCurveHello})},
	{"key-missing", doctorTestSay("tcp://127.0.0.1:1")},
	{"key-missing", doctorTestSay("tcp://127.0.0.1:1", "credential", "DIR/none")},
	{"principal-fault", doctorTestErr("ssh://h", errors.New("ssh ended with code 255"))},
	{"versions-differ", func(t *testing.T, d *doctor, dir string) { d.version("0.0.1", 0) }},
	{"agents-none", func(t *testing.T, d *doctor, dir string) { d.agents(nil, "1") }},
	{"agents-lost", func(t *testing.T, d *doctor, dir string) {
		d.agents([]*Agent{{Name: "a", State: agentLost, Version: "1"}}, "1")
	}},
	{"agents-version", func(t *testing.T, d *doctor, dir string) {
		d.agents([]*Agent{{Name: "a", State: "up", Version: "0"}}, "1")
	}},
	{"agents-clock", func(t *testing.T, d *doctor, dir string) {
		d.agents([]*Agent{{Name: "a", State: "up", Version: "1", Skew: -7}}, "1")
	}},
	{"agents-labels", doctorTestJudge(WorkflowInfo{Workflow: "w"}, &Workflow{Agent: map[string]string{"gpu": "1"}},
		false, &Agent{State: "up"}, &Agent{State: agentLost, Labels: map[string]string{"gpu": "1"}})},
	{"agents-labels", doctorTestJudge(WorkflowInfo{Workflow: "w"}, &Workflow{Tasks: []Task{{Agent: map[string]string{
		"a": "b"}}}}, false, &Agent{State: "up"})},
	{"alarm-failed", func(t *testing.T, d *doctor, dir string) { d.alarm(t.Context(), &AlarmInfo{Failed: 1}) }},
	{"alarm-command", func(t *testing.T, d *doctor, dir string) {
		d.endpoint, d.c.cfg = "ipc://x", d.c.cfg.with("alarm", "no-such-command-here x", "flag")
		d.alarm(t.Context(), &AlarmInfo{})
	}},
	{"workflows-folder", func(t *testing.T, d *doctor, dir string) { d.judge(&Reply{Note: "x"}, nil, false, nil) }},
	{"workflows-none", func(t *testing.T, d *doctor, dir string) { d.judge(&Reply{}, nil, false, nil) }},
	{"workflows-broken", doctorTestJudge(WorkflowInfo{Workflow: "w", Error: "x"}, nil, false)},
	{"workflows-never", doctorTestJudge(WorkflowInfo{Workflow: "w", Schedule: []string{"0 0 30 2 *"}}, nil, false)},
	{"workflows-user", doctorTestJudge(WorkflowInfo{Workflow: "w"}, &Workflow{User: "bob"}, true, &Agent{State: "up"})},
	{"state-missing", func(t *testing.T, d *doctor, dir string) { d.folder(dir + "/none") }},
	{"state-denied", func(t *testing.T, d *doctor, dir string) {
		d.told = dir
		d.noFolder(dir, syscall.EACCES)
	}},
	{"state-write", func(t *testing.T, d *doctor, dir string) { d.writable(dir, syscall.EROFS, "", false) }},
	{"state-other", func(t *testing.T, d *doctor, dir string) {
		d.pid = 1 << 30
		d.folder(dir)
	}},
	{"state-owner", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/synced", "")
		if err := os.Lchown(dir+"/synced", 4242, 4242); err != nil {
			harness.Lacks(t, "only root can give a file away: %v", err)
		}
		d.folder(dir)
	}},
	{"state-network", doctorTestDisk(diskFacts{free: doctorTestRoom, kind: "network"})},
	{"state-memory", doctorTestDisk(diskFacts{free: doctorTestRoom, kind: "memory"})},
	{"state-fat", doctorTestDisk(diskFacts{free: doctorTestRoom, kind: "fat"})},
	{"keys-doubt", func(t *testing.T, d *doctor, dir string) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		d.folder(dir)
	}},
	{"disk-full", doctorTestDisk(diskFacts{free: 100})},
	{"disk-low", doctorTestDisk(diskFacts{free: 2 << 20})},
	{"disk-reserve", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/"+storeSnapshot, "{}\n")
		doctorTestDisk(diskFacts{free: doctorTestRoom})(t, d, dir)
	}},
	{"disk-retain", doctorTestDisk(diskFacts{free: 100 << 20})},
	{"inodes-low", doctorTestDisk(diskFacts{free: doctorTestRoom, inodes: 100_000, inodesFree: 3})},
	{"clock-unset", func(t *testing.T, d *doctor, dir string) {
		d.box.unset = func() bool { return true }
		if err := d.all(t.Context()); err != nil {
			t.Error(err)
		}
	}},
	{"clock-behind", func(t *testing.T, d *doctor, dir string) {
		var c storeEncoder
		if err := c.add(&Event{Seq: 1, Time: stampOf(d.now.Add(time.Hour)), Kind: evPaused}); err != nil {
			t.Fatal(err)
		}
		doctorTestPut(t, dir+"/"+storeSegmentName(1), string(c.take()))
		d.folder(dir)
	}},
	{"timezone-unknown", func(t *testing.T, d *doctor, dir string) { d.zone("Foo/Bar", true) }}, // see TestDoctorZone
	{"files-low", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/proc/self/limits", "Limit   Soft Limit  Hard Limit  Units\n"+
			"Max open files   256   1024  files\n")
		d.process()
	}},
	{"inotify-low", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/proc/sys/fs/inotify/max_user_watches", "100\n")
		d.process()
	}},
	{"unit-killmode", doctorTestUnit("Delegate=yes\nRestart=always\nWatchdogSec=1\n")},
	{"unit-delegate", doctorTestUnit("KillMode=mixed\nRestart=always\nWatchdogSec=1\nDelegate=no\n")},
	{"unit-restart", doctorTestUnit("KillMode=mixed\nDelegate=yes\nWatchdogSec=1\n")},
	{"unit-watchdog", doctorTestUnit("KillMode=mixed\nDelegate=yes\nRestart=on-failure\n")},
	{"linger", func(t *testing.T, d *doctor, dir string) {
		doctorTestPut(t, dir+"/proc/7/cgroup", "0::/user.slice/user-4242.slice/user@4242.service/"+
			"app.slice/cdktr.service\n")
		d.pid = 7
		d.process()
	}},
}

// TestDoctorFaults: every fault of the table is found where it is, and is not where it is not.
func TestDoctorFaults(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	for _, c := range doctorCases {
		tried[c.code] = true
		t.Run(c.code, func(t *testing.T) {
			cli, _, _ := clientCLI(t)
			dir, err := os.MkdirTemp("", "cdktr") // short, for sockets
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			cli.flags.config = os.DevNull
			d := &doctor{c: cli, now: time.Now(), box: doctorBox{proc: dir + "/proc", linger: dir + "/linger",
				units: []string{dir + "/units"}, unset: func() bool { return false },
				disk: func(*os.File) (diskFacts, error) { return diskFacts{free: doctorTestRoom}, nil }}}
			c.do(t, d, dir)
			found := false
			for _, f := range d.findings {
				switch {
				case f.Code == c.code:
					found = f.What != "" && f.Means != "" && f.Do != "" && f.Text != "" && f.State != doctorOK
				case f.State == doctorOK, f.Code == "principal-absent", f.Code == "state-missing",
					c.code == "workflows-folder":
				default:
					t.Errorf("it also says %+v", f)
				}
			}
			if !found {
				t.Errorf("it says %+v", d.findings)
			}
		})
	}
	for i := range doctorFaults {
		if code := doctorFaults[i].code; !tried[code] {
			t.Errorf("no test provokes %s", code)
		}
	}
}

// TestDoctorWell: on a box that is well, doctor finds nothing of it.
func TestDoctorWell(t *testing.T) {
	t.Parallel()
	for _, do := range []func(*testing.T, *doctor, string){
		doctorTestUnit("KillMode=mixed\nDelegate=yes\nRestart=on-failure\nWatchdogSec=60\n"),
		doctorTestDisk(diskFacts{free: doctorTestRoom, inodes: 100_000, inodesFree: 90_000}),
		doctorTestJudge(WorkflowInfo{Workflow: "w", Schedule: []string{"@reboot"}}, &Workflow{Agent: map[string]string{
			"a": "b"}, User: "bob"}, false, &Agent{State: "up", Labels: map[string]string{"a": "b", "c": "d"}}),
	} {
		cli, _, _ := clientCLI(t)
		dir := t.TempDir()
		d := &doctor{c: cli, now: time.Now(), box: doctorBox{proc: dir + "/proc", units: []string{dir + "/units"},
			disk: func(*os.File) (diskFacts, error) { return diskFacts{free: doctorTestRoom}, nil }}}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		do(t, d, dir)
		for _, f := range d.findings {
			if f.State != doctorOK {
				t.Errorf("%+v", f)
			}
		}
	}
}

// TestDocsDoctor holds docs/troubleshooting.md to the table; with -update it is written anew.
func TestDocsDoctor(t *testing.T) {
	const file = "docs/troubleshooting.md"
	var b strings.Builder
	b.WriteString(docsRead(t, "testdata/troubleshooting.md"))
	what := ""
	for i := range doctorFaults {
		f := &doctorFaults[i]
		if f.what != what {
			what = f.what
			fmt.Fprintf(&b, "\n## %s\n\n| Code | | Means | Do |\n|---|---|---|---|\n",
				strings.ToUpper(what[:1])+what[1:])
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.code, f.state, strings.ReplaceAll(f.means, "|", "\\|"),
			strings.ReplaceAll(f.do, "|", "\\|"))
	}
	if *protocolUpdate {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != b.String() {
		t.Errorf("%s is not what doctor knows: go test -run TestDocsDoctor -update .", file)
	}
}
