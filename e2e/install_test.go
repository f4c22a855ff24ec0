// End-to-end tests of install and uninstall, below a folder that looks like a machine's. TestBoot has a real one.

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installTree makes a folder that looks like a machine with that systemd, and with both users.
func installTree(x *site, systemd string) string {
	x.T.Helper()
	root := x.Dir + "/root"
	exampleWrite(x.T, root+"/usr/lib/systemd/libsystemd-shared-"+systemd+".so", "")
	exampleWrite(x.T, root+"/etc/passwd", "root:x:0:0::/root:/bin/sh\ncdktr:x:901:901::/:/bin/sh\n"+
		"cdktr-agent:x:902:902::/:/bin/sh\n")
	exampleWrite(x.T, root+"/etc/group", "root:x:0:\ncdktr:x:901:\ncdktr-agent:x:902:\n")
	return root
}

// installFiles lists the files below a folder, without those that were there before.
func installFiles(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		path = strings.TrimPrefix(path, root)
		if err == nil && !d.IsDir() && !strings.HasPrefix(path, "/usr/lib/") &&
			!strings.HasPrefix(path, "/etc/passwd") && !strings.HasPrefix(path, "/etc/group") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestInstallRoot: a second call finds nothing to do, a change by hand is kept and shown, and uninstall leaves what
// people have put there.
func TestInstallRoot(t *testing.T) {
	x := newSite(t)
	root := installTree(x, "257")
	install := func(args ...string) (done map[string]string) {
		t.Helper()
		done = map[string]string{}
		for line := range strings.Lines(x.OK(append([]string{"install", "--json", "--root", root}, args...)...)) {
			var d struct{ Done, What, Note, Diff string }
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			done[d.What] = d.Done
		}
		return done
	}
	const unit = "/etc/systemd/system/cdktr-agent.service"
	first := install()
	for _, file := range append(installFiles(t, root), "cdktr-agent.service") {
		if strings.Contains(file, ".wants/") || strings.Contains(file, "/man/") { // of which it tells together
			continue
		}
		if got := first[file]; got != "wrote" && got != "enabled" {
			t.Errorf("%s is there, and was %q", file, got)
		}
	}
	for what, done := range install() {
		if done != "same" {
			t.Errorf("once more: %s %s", done, what)
		}
	}
	text, err := os.ReadFile(root + unit)
	if err != nil || !strings.Contains(string(text), "\nType=notify-reload\n") ||
		!strings.Contains(string(text), "\nDelegateSubgroup=agent\n") {
		t.Errorf("%v: the unit is not for systemd 257:\n%s", err, text)
	}
	if to, err := os.Readlink(root + "/etc/systemd/system/multi-user.target.wants/cdktr-agent.service"); to != unit {
		t.Errorf("the link that enables the agent leads to %q: %v", to, err)
	}
	exampleWrite(t, root+unit, string(text)+"# mine\n")
	if got := install("--user", "root")[unit]; got != "kept" {
		t.Errorf("a unit that was changed by hand: %q", got)
	}
	exampleWrite(t, root+unit, string(text))
	if got := install("--user", "root")[unit]; got != "replaced" {
		t.Errorf("a unit for another user: %q", got)
	}
	if got := install("agent")[unit]; got != "same" {
		t.Errorf("without the flag that was given before: %q", got)
	}
	exampleWrite(t, root+"/etc/cdktr/workflows/mine.yml", "tasks: {}\n")
	x.OK("uninstall", "--root", root)
	if left := installFiles(t, root); len(left) != 1 || left[0] != "/etc/cdktr/workflows/mine.yml" {
		t.Errorf("uninstall has left %q", left)
	}
	x.Code(exitRefused, "uninstall", "--root", root, "--purge")
}

// TestInstallRefused: what cannot be done says so, and changes nothing.
func TestInstallRefused(t *testing.T) {
	x := newSite(t)
	root := installTree(x, "252")
	bare := x.Dir + "/bare"
	if err := os.Mkdir(bare, 0o755); err != nil {
		t.Fatal(err)
	}
	exampleWrite(t, x.Dir+"/bad.cred", "nonsense\n")
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"install --root " + bare, exitRefused, "there is no systemd here"},
		{"uninstall --purge --root " + root, exitRefused, "--yes"},
		{"install --root " + root + " --user nobody-such", exitRefused, `no user "nobody-such"`},
		{"install --root " + root + " both", exitUsage, "principal or agent"},
		{"install --root " + root + " principal --agent", exitUsage, "leave out"},
		{"install --root " + root + " principal --user root", exitUsage, "goes with an agent"},
		{"install --root " + root + " --user a:b", exitUsage, "goes with an agent"},
		{"install --root " + root + " agent --credential " + x.Dir + "/none.cred", exitUsage, "none.cred"},
		{"install --root " + root + " agent --credential " + x.Dir + "/bad.cred", exitUsage, "bad.cred"},
		{"install --root " + x.Dir + "/nowhere", exitUsage, "no such file"},
		{"install --root " + x.Dir + "/bad.cred", exitUsage, "no folder"},
		{"install --user-unit --system", exitUsage, "not both"},
		{"install --user-unit --root " + root, exitUsage, "leave out"},
		{"install --print --systemd -3", exitUsage, "--systemd"},
		{"install --print --config " + x.Dir + "/none.yml", exitUsage, "none.yml"},
		{"install --print --metrics 9464", exitUsage, "127.0.0.1:9464"},
		{"install --print --metrics host:http", exitUsage, "127.0.0.1:9464"},
		{"install --print agent --metrics 127.0.0.1:9464", exitUsage, "goes with a principal"},
		{"uninstall now", exitUsage, "takes no arguments"},
	} {
		if r := x.Code(test.code, strings.Fields(test.args)...); !strings.Contains(r.Err, test.want) {
			t.Errorf("%s: no %q in %s", test.args, test.want, r.Err)
		}
	}
	if left := installFiles(t, root); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
	exampleWrite(t, root+"/etc/systemd/system/cdktr.service", "[Unit]\n")
	if r := x.Code(exitRefused, "install", "--root", root); !strings.Contains(r.Err, "written by hand") {
		t.Errorf("beside the unit of before: %s", r.Err)
	}
}

// TestInstallPrint prints units for anybody, and changes nothing.
func TestInstallPrint(t *testing.T) {
	x := newSite(t)
	text := x.OK("install", "--print", "--systemd", "252")
	for _, want := range []string{"# /etc/systemd/system/cdktr-principal.service\n", "\nType=notify\n",
		"\nUser=cdktr\n", "# /etc/systemd/system/cdktr-agent.service\n", "\nDelegate=yes\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	exampleWrite(t, x.Dir+"/c.yml", "workflows: /home/ana/wf\nstate: /srv/state\nsocket: /srv/run/s\nsocket_group: ops\n"+
		"drain_timeout: 5m\ngrace: 30s\nwait_for_clock: 2m\n")
	text = x.OK("install", "--print", "--systemd", "252", "--config", x.Dir+"/c.yml")
	for _, want := range []string{"\nTimeoutStopSec=350\n", "\nSupplementaryGroups=ops\n", "ipc:///srv/run/s\n",
		"\nProtectHome=read-only\n", "\nSystemCallFilter=adjtimex\n", "\nReadWritePaths=-/srv/state\n",
		"cdktr start principal --config " + x.Dir + "/c.yml\n", "\n# with --config " + x.Dir + "/c.yml\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := x.OK("completion", "words", "--", "install", ""); got != "agent\nprincipal\n" {
		t.Errorf("behind install the shell completes %q", got)
	}
}
