// Parts of TestBoot: what cdktr install and uninstall make of a machine.

package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"

	"cdktr/e2e/harness"
)

// bootExposure is how much systemd-analyze security may find of a principal.
const bootExposure = 1.5

// hardened: systemd finds little that the principal may do and need not. What it finds of the agent is recorded.
func (b *bootBox) hardened() {
	t := b.T
	t.Helper()
	for unit, most := range map[string]float64{bootPrincipal: bootExposure, bootAgent: 10} {
		said := b.does("systemd-analyze security --no-pager " + unit + ".service; " +
			"systemd-analyze verify /etc/systemd/system/" + unit + ".service")
		m := regexp.MustCompile(`exposure level for \S+ ([0-9.]+)`).FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("systemd-analyze says nothing of %s:\n%s", unit, said)
		}
		got, err := strconv.ParseFloat(m[1], 64)
		if err != nil || got > most {
			t.Errorf("%s: exposure %s, more than %.1f\n%s", unit, m[1], most, said)
		}
		t.Logf("%s: exposure %s", unit, m[1])
	}
	boot := b.does("cat /proc/sys/kernel/random/boot_id")
	if seen := b.does("cdktr events | grep machine.booted"); !strings.Contains(seen, strings.TrimSpace(boot)) {
		t.Errorf("this boot is %s, and to the principal %s", boot, seen)
	}
	got := b.does("stat --format '%U %A' /var/lib/cdktr-agent /etc/cdktr /usr/local/bin/cdktr")
	if got != "cdktr-agent drwx------\nroot drwxr-xr-x\nroot -rwxr-xr-x\n" {
		t.Errorf("the agent's state, the settings and the program: %s", got)
	}
	b.quiet("./cdktr install")
}

// quiet wants a call of install to find nothing to do.
func (b *bootBox) quiet(command string) {
	b.T.Helper()
	for line := range strings.Lines(b.does(command)) {
		if !strings.HasPrefix(line, "already so") {
			b.T.Errorf("%s once more: %s", command, line)
		}
	}
}

// metrics: Prometheus gets an answer by HTTP, from a process that systemd starts for it.
func (b *bootBox) metrics() {
	b.T.Helper()
	b.says("./cdktr install --metrics 127.0.0.1:9464", "started     cdktr-metrics.socket")
	ask := "exec 3<>/dev/tcp/127.0.0.1/9464; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
	for range 3 {
		b.says(ask, "HTTP/1.1 200 OK", "cdktr_")
	}
	b.quiet("./cdktr install")
	b.says("./cdktr install --metrics 127.0.0.2:9465", "restarted   cdktr-metrics.socket")
	b.says(strings.Replace(ask, "127.0.0.1/9464", "127.0.0.2/9465", 1), "HTTP/1.1 200 OK")
	b.does("systemd-analyze verify /etc/systemd/system/cdktr-metrics.socket")
}

// says wants a command to succeed and to print each text.
func (b *bootBox) says(command string, wants ...string) {
	b.T.Helper()
	got := b.does(command)
	for _, want := range wants {
		if !strings.Contains(got, want) {
			b.T.Errorf("%s: no %q in\n%s", command, want, got)
		}
	}
}

// upgrade: a new program takes over, and a task goes on meanwhile.
func (b *bootBox) upgrade(w bootWords) {
	t := b.T
	t.Helper()
	b.put("/etc/cdktr/workflows/slow.yml",
		"tasks:\n  a: {run: 'touch begun; while ! [ -e go ]; do sleep 0.1; done; echo done'}\n")
	b.does("cdktr rescan")
	run := strings.TrimSpace(b.does("cdktr run slow --detach"))
	b.Until("a task has begun", func() bool { return b.sh("test -e /var/lib/cdktr-agent/begun").Code == 0 })
	b.Until("the agent has told systemd so", func() bool { // once a second at most
		return strings.Contains(b.does("systemctl show --property StatusText "+bootAgent), "=1 run")
	})
	principal, agent := b.mainPID(bootPrincipal), b.mainPID(bootAgent)
	text, err := os.ReadFile(b.Bin)
	if err == nil { // another program that does the same
		err = os.WriteFile(b.tree+"/root/cdktr", append(text, "new"...), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.says(w.upgrade, "replaced    /usr/local/bin/cdktr\n", "restarted   cdktr-principal.service: the program is new\n",
		"left        cdktr-agent.service: the program is new, and it goes on as it was, with 1 run: "+
			"systemctl restart cdktr-agent.service waits 1m")
	b.Until("the run goes on at the new principal", func() bool {
		return strings.Contains(b.does("cdktr show "+run+" --json"), `"state":"running"`)
	})
	if now := b.mainPID(bootPrincipal); now == principal {
		t.Error("the principal is still the old one")
	}
	if now := b.mainPID(bootAgent); now != agent {
		t.Error("the agent was started again")
	}
	ended := make(chan harness.Result, 1)
	go func() { ended <- b.sh(w.restart) }()
	b.Until("the agent stops", func() bool {
		return strings.Contains(b.does("systemctl show --property ActiveState "+bootAgent), "deactivating")
	})
	b.does("touch /var/lib/cdktr-agent/go")
	if r := <-ended; r.Code != 0 {
		t.Fatalf("%s: exit code %d\n%s", w.restart, r.Code, r.Err)
	}
	b.says("cdktr wait "+run, "succeeded")
	for _, unit := range []string{bootPrincipal, bootAgent} {
		exe := strings.TrimSpace(b.does("readlink /proc/" + b.mainPID(unit) + "/exe"))
		if exe != "/usr/local/bin/cdktr" { // an old one says (deleted)
			t.Errorf("%s: its program is %s", unit, exe)
		}
	}
	b.quiet(w.upgrade)
}

// edited: a unit that was changed by hand is kept and shown, a drop-in stays, and a service that was disabled too.
func (b *bootBox) edited() {
	t := b.T
	t.Helper()
	const unit = "/etc/systemd/system/cdktr-agent.service"
	b.does("echo '# mine' >> " + unit + "; mkdir " + unit + ".d; printf '[Service]\nNice=5\n' > " + unit + ".d/n.conf")
	b.says("./cdktr install", "kept        "+unit+": it was changed by hand", "\n    - # mine\n", "/n.conf")
	b.says("./cdktr install --json", `{"done":"kept","what":"`+unit+`"`, `"diff":"- # mine\n"`)
	b.does("grep -qx '# mine' " + unit)
	b.says("rm "+unit+"; ./cdktr install agent", "wrote       "+unit)
	b.does("systemctl disable --now cdktr-agent")
	b.says("./cdktr install", "left        cdktr-agent.service: it is disabled")
	b.does("rm -r " + unit + ".d; systemctl enable --now cdktr-agent")
	b.put("/etc/systemd/system/cdktr.service", "[Unit]\n")
	if r := b.ends(exitRefused, "./cdktr install"); !strings.Contains(r.Err, "systemctl disable --now cdktr;") {
		t.Errorf("beside the unit of before: %s", r.Err)
	}
	b.does("rm /etc/systemd/system/cdktr.service")
	b.put("/etc/cdktr/config.yml", "bind: nonsense\n")
	r := b.sh("systemctl stop cdktr-principal; ./cdktr install principal")
	if r.Code != exitFailed || !strings.Contains(r.Err, "nonsense") || !strings.Contains(r.Err, "hint: journalctl") {
		t.Errorf("a principal that does not start: exit code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	b.does("rm /etc/cdktr/config.yml; ./cdktr install")
}

// tasksOf: whose the tasks are, and whether sudo helps them.
func (b *bootBox) tasksOf(w bootWords) {
	t := b.T
	t.Helper()
	b.put("/etc/sudoers.d/tasks", "cdktr-agent ALL=(ALL) NOPASSWD: ALL\n")
	b.put("/etc/cdktr/workflows/who.yml",
		"tasks:\n  a: {run: 'echo $(id -un) $HOME $(umask) $(sudo -n id -un 2>&1 | tail -n 1)'}\n")
	b.does("chmod 440 /etc/sudoers.d/tasks; cdktr rescan")
	for _, test := range []struct{ flags, want string }{
		{"", `cdktr-agent /var/lib/cdktr-agent 0027 sudo: .*\n`},
		{"--sudo", `cdktr-agent /var/lib/cdktr-agent 0027 root\n`},
		{"--sudo=false --user alice", `alice /home/alice 0027 sudo: .*\n`},
		{"--user root", `root /root 0022 root\n`},
		{"", `root /root 0022 root\n`}, // as before
		{"--user cdktr-agent", `cdktr-agent /var/lib/cdktr-agent 0027 sudo: .*\n`},
	} {
		b.does("./cdktr install agent " + test.flags)
		b.does(w.restart)
		b.does("cdktr run who --wait")
		got := b.does("cdktr logs who")
		if !regexp.MustCompile(`^` + test.want + `$`).MatchString(got) {
			t.Errorf("install agent %s: a task says %q, want %s", test.flags, got, test.want)
		}
	}
	b.ends(exitRefused, "./cdktr install --user nobody-such")
	b.ends(exitNotAllowed, "cd /; sudo -u alice cdktr install")
	b.says("cd /; sudo -u alice cdktr install --print", "[Service]\n", "User=cdktr\n")
}

// credential: an agent that a credential leads to its principal, as on a second box.
func (b *bootBox) credential(w bootWords) {
	b.T.Helper()
	b.put("/etc/cdktr/config.yml", "bind: tcp://127.0.0.1:5561\n")
	b.does("systemctl restart cdktr-principal; cdktr authorize --new edge --role agent --endpoint " +
		"tcp://127.0.0.1:5561 -o edge.cred; cdktr authorize --new ops --role operator --endpoint " +
		"tcp://127.0.0.1:5561 -o ops.cred")
	b.ends(exitRefused, "./cdktr install agent --credential ops.cred")
	b.ends(exitUsage, "./cdktr install agent --credential /etc/passwd")
	b.says("./cdktr install agent --credential edge.cred", "wrote       /etc/cdktr/agent.cred")
	b.does(w.restart)
	if got := b.does("stat --format '%U %a' /etc/cdktr/agent.cred"); got != "root 600\n" {
		b.T.Errorf("the credential: %s", got)
	}
	b.Until("the agent of the credential is there", func() bool {
		return strings.Contains(b.does("cdktr agents --json"), `"agent":"edge","state":"up"`)
	})
	b.quiet("./cdktr install")
	b.does("rm /etc/cdktr/agent.cred /etc/cdktr/config.yml; systemctl restart cdktr-principal; ./cdktr install; " +
		w.restart)
}

// uninstalled: what is made goes, what people have made stays, unless that is to go too. Below --root all of it comes
// into a machine that is off.
func (b *bootBox) uninstalled(history string) {
	t := b.T
	t.Helper()
	b.says("cdktr uninstall", "stopped     cdktr-agent.service", "removed     /usr/local/bin/cdktr",
		"kept        /etc/cdktr")
	b.ends(1, "ls /etc/systemd/system | grep cdktr || ls /usr/local/bin | grep cdktr || pgrep cdktr")
	b.does("./cdktr install")
	if got := b.does("cdktr ps --all --workflow hello --json"); !strings.HasSuffix(got, history) {
		t.Errorf("after it was installed again\n%s\nbefore\n%s", got, history)
	}
	if r := b.ends(exitRefused, "./cdktr uninstall --purge"); !strings.Contains(r.Err, "nothing was removed") {
		t.Errorf("uninstall --purge asks nobody: %s", r.Err)
	}
	b.does("systemctl is-active cdktr-principal; ./cdktr uninstall --purge --yes")
	left := b.sh("ls -d /etc/cdktr /var/lib/cdktr* /etc/systemd/system/*cdktr* /usr/local/bin/cdktr; getent passwd cdktr")
	if left.Out != "" {
		t.Errorf("after a purge there is %s", left.Out)
	}
	b.off()
	b.host(b.Bin, "install", "--root", b.tree)
	b.boot()
	b.does("systemctl is-active cdktr-principal cdktr-agent; cdktr agents --json | grep up")
	b.quiet("./cdktr install --user cdktr-agent | grep -v '^left\\|usr/local/bin\\|^restarted\\|^replaced'")
}

// ownUnits: services of a user, without root. The small Debian lacks what starts a user's systemd at a login.
func (b *bootBox) ownUnits() {
	b.T.Helper()
	b.put("/etc/systemd/system/user@.service.d/x.conf", "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n")
	b.does("useradd --create-home --uid 4711 bob; install -d -o bob -g bob -m 700 /run/user/4711; systemctl " +
		"daemon-reload; systemctl start user@4711; install -m 755 cdktr /usr/share/cdktr-new")
	as := "cd /; sudo -u bob env HOME=/home/bob USER=bob XDG_RUNTIME_DIR=/run/user/4711 "
	b.ends(exitRefused, "cd /; sudo -u bob env -u XDG_RUNTIME_DIR /usr/share/cdktr-new install --user-unit")
	b.says(as+"/usr/share/cdktr-new install --user-unit", "started     cdktr-agent.service")
	b.quiet(as + "/usr/share/cdktr-new install --user-unit")
	b.Until("the user's agent is there", func() bool {
		return strings.Contains(b.sh(as+"cdktr agents --json").Out, `"state":"up"`)
	})
	b.does(as + "cdktr init /home/bob/.config/cdktr; " + as + "cdktr rescan; " + as + "cdktr run hello --wait")
	b.does(as + "cdktr uninstall --user-unit --purge --yes")
	if got := b.does("find /home/bob -name '*cdktr*'"); got != "" {
		b.T.Errorf("after a purge there is %s", got)
	}
}

// packaged: the package for Debian makes the same services. Its upgrade stops no task, removing it keeps what people
// have made, and a purge does not.
func (b *bootBox) packaged() {
	t := b.T
	t.Helper()
	arch := strings.TrimSpace(b.does("dpkg --print-architecture"))
	for _, version := range []string{"1.0-dev+1", "1.0"} {
		b.host("bash", "../.ci/deb", b.Bin, arch, version, b.tree+"/root/"+version+".deb")
	}
	b.put("/root/slow.yml", "tasks:\n  a: {run: 'touch begun; until [ -e go ]; do sleep 0.1; done; echo done'}\n")
	if r := b.ends(1, "dpkg -i 1.0-dev+1.deb"); !strings.Contains(r.Err, "cdktr uninstall") {
		t.Errorf("beside services that install has made: %s", r.Err)
	}
	b.does("./cdktr uninstall --purge --yes; dpkg -i 1.0-dev+1.deb; systemctl is-active cdktr-principal cdktr-agent")
	if r := b.ends(exitRefused, "./cdktr install"); !strings.Contains(r.Err, "package") {
		t.Errorf("beside the package install says %s", r.Err)
	}
	b.says("systemctl is-enabled cdktr-principal cdktr-agent; ls /usr/share/man/man1/cdktr-run.1.gz", "enabled\nenabled\n")
	run := strings.TrimSpace(b.does("cp slow.yml /etc/cdktr/workflows/; cdktr rescan; cdktr run slow --detach"))
	b.Until("a task has begun", func() bool { return b.sh("test -e /var/lib/cdktr-agent/begun").Code == 0 })
	principal, agent := b.mainPID(bootPrincipal), b.mainPID(bootAgent)
	b.says("dpkg -i 1.0.deb", "systemctl restart cdktr-agent waits")
	if b.mainPID(bootPrincipal) == principal || b.mainPID(bootAgent) != agent {
		t.Error("an upgrade has left the principal alone, or started the agent again")
	}
	b.says("touch /var/lib/cdktr-agent/go; cdktr wait "+run, "succeeded")
	b.does("echo 'log_level: runs' >> /etc/cdktr/config.yml; dpkg -r cdktr")
	b.does("! pgrep cdktr; ! ls /usr/bin/cdktr /usr/lib/systemd/system/cdktr-agent.service")
	b.says("dpkg -i 1.0.deb; grep log_level /etc/cdktr/config.yml; cdktr show "+run, "log_level: runs", "succeeded")
	b.does("dpkg -P cdktr")
	left := b.sh("ls -d /etc/cdktr /var/lib/cdktr* /etc/systemd/system/*.wants/cdktr*; getent passwd cdktr cdktr-agent")
	if left.Out != "" {
		t.Errorf("after the package was purged there is %s", left.Out)
	}
}
