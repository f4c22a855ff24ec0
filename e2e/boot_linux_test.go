// Tests of cdktr as a service: a Debian is booted with systemd in a container, cdktr is installed there by the words of
// docs/operations.md, and root, the service's user and others use it, on the box and over ssh. They need root,
// systemd-nspawn and a tree that debootstrap made, which -boot.tree names: .ci/run does all that. Without it only the
// page's words are looked at. What install itself does is in boot_install_linux_test.go.

package e2e

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

var bootTree = flag.String("boot.tree", "", "folder of a Debian with systemd and sshd, of which TestBoot boots a copy")

const (
	bootPage      = "docs/operations.md"
	bootPrincipal = "cdktr-principal"
	bootAgent     = "cdktr-agent"
)

// bootWords is what docs/operations.md says of a service, as commands.
type bootWords struct{ setUp, letIn, upgrade, restart, warnings string }

// bootRead reads the page's section. All that the test knows of the service is from there.
func bootRead(t *testing.T) (w bootWords) {
	t.Helper()
	page, err := os.ReadFile("../" + bootPage)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n## As a service\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, block := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		command := strings.TrimSpace(block[1])
		if command == "./cdktr install" {
			w.upgrade = command
		}
		for mark, into := range map[string]*string{"cdktr init": &w.setUp, "usermod": &w.letIn,
			"systemctl restart": &w.restart, "journalctl": &w.warnings} {
			if strings.Contains(command, mark) {
				*into = command
			}
		}
	}
	if w.setUp == "" || w.letIn == "" || w.upgrade == "" || w.restart == "" || w.warnings == "" {
		t.Fatalf("%s lacks a part of the way to a service: %+v", bootPage, w)
	}
	return w
}

// bootBox is a Debian in a container: a machine of its own, but for the kernel.
type bootBox struct {
	*site
	tree   string
	nspawn *exec.Cmd
	exited chan struct{}
	leader int // process 1 in there, as we count
}

// bootNew copies the tree and puts the program into root's home there. Nothing runs yet.
func bootNew(t *testing.T) *bootBox {
	t.Helper()
	b := &bootBox{site: newSite(t)}
	b.tree = b.Dir + "/tree"
	b.Bin = harness.Plain(t, b.Dir)
	b.host("cp", "-a", "--reflink=auto", *bootTree, b.tree)
	b.host("install", b.Bin, b.tree+"/root/cdktr")
	t.Cleanup(b.off)
	return b
}

// host runs a command outside of the box.
func (b *bootBox) host(args ...string) {
	b.T.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		b.T.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// put writes a file into the tree.
func (b *bootBox) put(name, text string) {
	b.T.Helper()
	name = filepath.Join(b.tree, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		b.T.Fatal(err)
	}
}

// boot switches the machine on and waits until systemd has started all.
func (b *bootBox) boot() {
	b.T.Helper()
	console, err := os.OpenFile(b.Dir+"/console", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.T.Fatal(err)
	}
	defer console.Close()
	b.nspawn = exec.Command("systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "-D", b.tree, "--boot",
		"--console=pipe",
		"--private-network", "systemd.unified_cgroup_hierarchy=0")
	b.nspawn.Stdout, b.nspawn.Stderr = console, console
	b.nspawn.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.nspawn.Start(); err != nil {
		b.T.Fatal(err)
	}
	cmd, exited := b.nspawn, make(chan struct{})
	b.exited = exited
	go func() { // ends with the machine
		cmd.Wait()
		close(exited)
	}()
	b.Until("the machine has booted", func() bool {
		select {
		case <-exited:
			text, _ := os.ReadFile(b.Dir + "/console")
			b.T.Fatalf("the machine does not boot:\n%s", text)
		default:
		}
		for _, b.leader = range bootChildren(cmd.Process.Pid) {
			r := b.sh("systemctl is-system-running --wait")
			if state := strings.TrimSpace(r.Out); state == "running" || state == "degraded" {
				return true
			}
		}
		return false
	})
}

// bootChildren lists the children of a process.
func bootChildren(parent int) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range dirs {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil &&
			fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// off switches the machine off as its power button does, and kills it when that takes too long.
func (b *bootBox) off() {
	if b.nspawn == nil {
		return
	}
	b.sh("systemctl poweroff")
	for _, after := range []time.Duration{30 * time.Second, harness.Patience} {
		select {
		case <-b.exited:
			b.nspawn = nil
			return
		case <-time.After(after):
			b.T.Error("the machine does not go down")
			b.nspawn.Process.Kill()
		}
	}
}

// sh runs a command in there, in root's shell.
func (b *bootBox) sh(command string) harness.Result {
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(b.leader), "--all", "env", "-i", "HOME=/root",
		"LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "bash", "-euo", "pipefail", "-c",
		"cd; "+command)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := harness.Result{Out: out.String(), Err: errs.String()}
	if err != nil {
		r.Code = 1
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			r.Code = exit.ExitCode()
		}
	}
	return r
}

// does wants a command in there to succeed, and gives what it printed.
func (b *bootBox) does(command string) string {
	b.T.Helper()
	return b.ends(0, command).Out
}

// ends wants a command in there to end with a code.
func (b *bootBox) ends(code int, command string) harness.Result {
	b.T.Helper()
	r := b.sh(command)
	if r.Code != code {
		journal := b.sh("journalctl --no-pager --unit 'cdktr-*' --lines 40").Out
		b.T.Fatalf("%s: exit code %d, not %d\n%s%s\nthe journal of the services:\n%s", command, r.Code, code, r.Out,
			r.Err, journal)
	}
	return r
}

// mainPID is the process id of a service, as seen in there.
func (b *bootBox) mainPID(unit string) string {
	b.T.Helper()
	return strings.TrimSpace(b.does("systemctl show --property MainPID --value " + unit))
}

// TestBoot sets the service up as that page says, on a machine that boots.
func TestBoot(t *testing.T) {
	w := bootRead(t)
	if *bootTree == "" {
		return
	}
	b := bootNew(t)
	for _, occasion := range []string{"reboot", "start"} {
		b.put("/etc/cdktr/workflows/at-"+occasion+".yml", "schedule: '@"+occasion+"'\ntasks:\n  a: {run: 'true'}\n")
	}
	b.boot()
	b.does(w.setUp)
	b.hardened()
	b.metrics()
	b.users(w)
	b.journal(w)
	b.reload()
	b.upgrade(w)
	b.edited()
	b.tasksOf(w)
	b.credential(w)
	if boots, starts := b.fired("at-reboot"), b.fired("at-start"); boots != 1 || starts < 3 {
		t.Errorf("before the machine is booted again @reboot has fired %d times, @start %d", boots, starts)
	}
	before := b.does("cdktr ps --all --workflow hello --json")
	b.off()
	b.boot()
	b.does("systemctl is-active " + bootPrincipal + " " + bootAgent)
	if after := b.does("cdktr ps --all --workflow hello --json"); !strings.HasSuffix(after, before) {
		t.Errorf("after it was booted again\n%s\nbefore\n%s", after, before)
	}
	b.does("sudo -u cdktr cdktr run hello --wait")
	if boots := b.fired("at-reboot"); boots != 2 {
		t.Errorf("in two boots @reboot has fired %d times", boots)
	}
	b.uninstalled(before)
	b.ownUnits()
	b.packaged()
}

// fired counts the runs of a workflow.
func (b *bootBox) fired(workflow string) int {
	b.T.Helper()
	return strings.Count(b.does("cdktr ps --all --json --workflow "+workflow), "\n")
}

// users: root, the service's user, a member of its group and a stranger, on the box and over ssh.
func (b *bootBox) users(w bootWords) {
	t := b.T
	t.Helper()
	where := "/run/cdktr/cdktr.sock"
	got := b.does("stat --format '%U %A' /run/cdktr/cdktr.sock /var/lib/cdktr")
	if got != "cdktr srw-rw----\ncdktr drwx------\n" {
		t.Errorf("the socket and the state: %s", got)
	}
	b.does("useradd --create-home alice; useradd --create-home mallory; mkdir -p -m 700 .ssh ~alice/.ssh " +
		"~mallory/.ssh" +
		"; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519; for to in .ssh ~alice/.ssh ~mallory/.ssh; do cp " +
		".ssh/id_ed25519.pub $to/authorized_keys; done" +
		"; chown -R alice: ~alice; chown -R mallory: ~mallory; rm -f /run/nologin")
	b.does(w.letIn)
	const ssh = "CDKTR_SSH='ssh -oStrictHostKeyChecking=no' "
	for _, as := range []string{"", "sudo -u cdktr ", "sudo -u alice ", ssh, ssh +
		"CDKTR_PRINCIPAL=ssh://alice@127.0.0.1 "} {
		h := ""
		if as == ssh {
			h = " -H 127.0.0.1"
		}
		if got := b.does(as + "cdktr ls --json" + h); !strings.Contains(got, `"workflow":"hello"`) {
			t.Errorf("%scdktr ls%s: %s", as, h, got)
		}
		b.does(as + "cdktr run hello --wait" + h)
		got := b.does(as + "cdktr doctor --json" + h)
		if strings.Contains(got, `"state":"bad"`) || h == "" && !strings.HasPrefix(as, ssh) &&
			!strings.Contains(got, where) {
			t.Errorf("%scdktr doctor%s: %s", as, h, got)
		}
	}
	if got := b.does("cdktr doctor"); !strings.Contains(got, "/var/lib/cdktr") {
		t.Errorf("doctor does not look at the service's state:\n%s", got)
	}
	for _, as := range []string{"sudo -u mallory ", ssh + "CDKTR_PRINCIPAL=ssh://mallory@127.0.0.1 "} {
		for _, verb := range []string{"ls", "run hello", "doctor"} {
			r := b.sh(as + "cdktr " + verb)
			said := r.Out + r.Err
			if r.Code == 0 || !strings.Contains(said, where) || !strings.Contains(said, "permission denied") {
				t.Errorf("%scdktr %s: exit code %d\n%s", as, verb, r.Code, said)
			}
		}
	}
	b.ends(exitNotAllowed, "sudo -u mallory cdktr ls")
}

// journal: what did not succeed is a warning, and the status says how it is.
func (b *bootBox) journal(w bootWords) {
	b.T.Helper()
	b.put("/etc/cdktr/workflows/bad.yml", "tasks:\n  a: {run: 'exit 3'}\n")
	b.Until("the service has seen a new file", func() bool {
		return strings.Contains(b.does("cdktr ls --json"),
			`"workflow":"bad"`)
	})
	b.ends(exitFailed, "cdktr run bad --wait")
	b.Until("the journal has the failure", func() bool { // journald takes its time
		return strings.Count(b.does(w.warnings+" --output cat"), `msg="run failed" workflow=bad run=`) == 1
	})
	if got := b.does("systemctl status cdktr-principal"); !regexp.MustCompile(`Status: "\d+ runs?`).MatchString(got) {
		b.T.Errorf("systemctl status: %s", got)
	}
	const watchdog = "systemctl show --property ActiveState,NRestarts --value cdktr-principal | paste -sd' '"
	b.does("mkdir -p /run/systemd/system/cdktr-principal.service.d; printf '[Service]\nWatchdogSec=2\n' > " +
		"/run/systemd/system/cdktr-principal.service.d/w.conf; systemctl daemon-reload; systemctl restart cdktr-principal")
	b.does("sleep 5") // longer than the watchdog: it is fed
	if got := b.does(watchdog); got != "0 active\n" && got != "active 0\n" {
		b.T.Errorf("with a watchdog: %s", got)
	}
	b.does("kill -STOP " + b.mainPID(bootPrincipal))
	b.Until("a service that is stuck is started again",
		func() bool { return strings.Contains(b.sh(watchdog+"; cdktr ping").Out, "answers") })
	if got := b.does(watchdog); !strings.Contains(got, "1") {
		b.T.Errorf("after it was stuck: %s", got)
	}
	b.does("rm -r /run/systemd/system/cdktr-principal.service.d; systemctl daemon-reload; systemctl restart cdktr-principal")
}

// reload: systemctl reload has the folder read, and leaves the process as it is.
func (b *bootBox) reload() {
	b.T.Helper()
	before := b.mainPID(bootPrincipal)
	b.put("/etc/cdktr/workflows/fresh.yml", "tasks:\n  a: {run: 'true'}\n")
	b.does("systemctl reload cdktr-principal cdktr-agent")
	b.Until("the files are read again", func() bool {
		return strings.Contains(b.does("journalctl --no-pager --output cat --unit cdktr-principal"),
			`msg="read the workflows folder again" workflows=`)
	})
	b.does("cdktr run fresh --wait")
	if after := b.mainPID(bootPrincipal); before != after {
		b.T.Errorf("process %s became %s", before, after)
	}
}
