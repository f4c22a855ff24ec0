// The terminal UI from end to end: the real binary in a real terminal (tmux), with a principal and an agent of its own.

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// uiTmux is a window of tmux with a shell in it, in which cdktr is the program under test.
type uiTmux struct {
	*site
	dir string
}

// uiTmuxOpen makes one, and a script `ui` in its PATH that starts the terminal UI.
func uiTmuxOpen(x *site, w, h int) *uiTmux {
	x.T.Helper()
	harness.Need(x.T, "the test needs tmux", "tmux", "-V")
	return uiTmuxAt(x, filepath.Join(x.Dir, "tmux"), w, h)
}

// uiTmuxAt makes one with a folder of its own.
func uiTmuxAt(x *site, dir string, w, h int) *uiTmux {
	x.T.Helper()
	u := &uiTmux{site: x, dir: dir}
	err := errors.Join(os.Mkdir(u.dir, 0o755), os.Symlink(x.Bin, u.dir+"/cdktr"))
	if err != nil {
		x.T.Fatal(err)
	}
	u.tmux("start-server", ";", "set", "-g", "status", "off", ";", "set", "-g", "escape-time", "0", ";",
		"new-session", "-d", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h), "PS1='shell$ ' exec sh")
	harness.EndTmux(x.T, u.tmux)
	u.shows("shell$")
	return u
}

// tmux gives an order to the server.
func (u *uiTmux) tmux(args ...string) string {
	u.T.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", filepath.Join(u.dir, "socket")},
		args...)...)
	cmd.Dir = u.site.Dir
	cmd.Env = append(u.Env, "TERM=xterm", "TMUX=", "PATH="+u.dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		u.T.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// keys types keys, as tmux names them.
func (u *uiTmux) keys(keys ...string) {
	u.T.Helper()
	u.tmux(append([]string{"send-keys"}, keys...)...)
}

// shows waits until the screen shows all of the texts, and gives it.
func (u *uiTmux) shows(wants ...string) string {
	u.T.Helper()
	return u.sees(wants, true)
}

// hides waits until the screen shows none of the texts.
func (u *uiTmux) hides(texts ...string) {
	u.T.Helper()
	u.sees(texts, false)
}

// sees looks at the screen until each of the texts is there, or is not.
func (u *uiTmux) sees(texts []string, there bool) string {
	u.T.Helper()
	for deadline := time.Now().Add(harness.Patience); ; {
		screen := u.tmux("capture-pane", "-p")
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(screen, text) != there }) {
			return screen
		}
		if !time.Now().Before(deadline) {
			u.T.Fatalf("waited %s for the screen to show %q (%v):\n%s", harness.Patience, texts, there, screen)
		}
		<-time.After(harness.Poll)
	}
}

// uiWorkflows writes the workflows that the scripts use.
func uiWorkflows(x *site) {
	x.File("greet.yml", `
name: Greets by name
params: {name: {default: world, pattern: "[a-z]+", description: whom}}
tasks: {hello: {run: 'echo "hello, $PARAM_NAME"'}}`)
	x.File("slow.yml", `
tasks:
  count: {run: 'i=0; while sleep 0.2; do i=$((i+1)); echo "line $i"; done'}
  after: {depends: [count], run: "true"}`)
	x.File("bad.yml", `tasks: {a: {depends: [b], run: "true"}}`)
}

// TestUIBrowse goes through the screens as a user does: look, filter, run with parameters, follow, cancel, quit.
func TestUIBrowse(t *testing.T) {
	x := newSite(t)
	uiWorkflows(x)
	p := x.Principal("--with-agent")
	defer p.Stop()
	u := uiTmuxOpen(x, 100, 30)
	u.keys("cdktr ui; echo code $?", "Enter")
	u.shows("Attention", "bad", "LIVE")
	u.keys("1")
	u.shows("Workflows", "greet", "slow", "INVALID", "3 wf")

	u.keys("/", "gre")
	u.hides("slow")
	u.keys("Enter", "r")
	u.shows("run greet with these parameters", "whom")
	u.keys("C-u", "ADA", "Enter")
	u.shows("must match [a-z]+")
	u.keys("C-u", "ada", "Enter")
	u.shows("run greet: queued as", "+ ok")
	u.keys("l")
	u.shows("hello, ada")
	u.keys("Escape", "Escape")
	u.shows("slow")

	u.keys("G", "r")
	u.shows("run slow: queued as", "* run")
	u.keys("Enter")
	u.shows("Runs  slow")
	u.keys("Enter")
	u.shows("o after", "* count", "line 3")
	u.keys("v", "v")
	u.shows("critical path")
	u.keys("v", "Enter")
	u.shows("count  log", "FOLLOW", "line 5")
	u.keys("k", "k")
	u.hides("FOLLOW")
	u.keys("/", "line 2", "Enter")
	u.shows("match")
	u.keys("Escape")
	u.hides("match 1 of")
	u.keys("x")
	u.shows("Cancel run", "Keep running")
	u.keys("Enter") // is no
	u.hides("Keep running")
	u.keys("x", "y")
	u.shows("x canc")
	u.keys("?")
	u.shows("half a screen down", "show only lines that match") // keys of the screen come first
	u.keys("G")
	u.shows("Glyphs", "was lost together with its agent")
	u.keys("Escape", "4")
	u.shows("run.cancelling", "Events")
	u.keys("3")
	u.shows("+ up", "one")
	u.keys("q")
	u.shows("code 0", "shell$")
	u.hides("Agents")
}

// TestUINight looks at a failed run as somebody does who is called at night: the first screen says what is wrong, two
// keys show all output, and one key runs it again.
func TestUINight(t *testing.T) {
	x := newSite(t)
	x.File("dump.yml", `
name: Dump
params: {db: {default: shop}}
tasks:
  fetch: {run: "echo fetched"}
  dump: {depends: [fetch], run: 'echo "dumping $PARAM_DB"; echo "server does not answer" >&2; test -e go || exit 3'}
  send: {depends: [dump], run: "echo sent"}`)
	p := x.Principal("--with-agent")
	defer p.Stop()
	x.run("dump", "-p", "db=crm")
	u := uiTmuxOpen(x, 80, 24)
	u.keys("cdktr ui", "Enter")
	u.shows("Attention", "! failed", "dump dump", "exit 3", "server does not answer", "t retry", "q quit")
	u.keys("Enter")
	u.shows("! FAILED", "- skip", "-- dump  exit 3", "2 lines  end", "esc back")
	u.keys("Enter")
	u.shows("dumping crm", "server does not answer", "line 2 of 2")
	u.keys("Escape", "l")
	u.shows("fetched", "dumping crm")
	u.keys("Escape", "/", "send", "Enter")
	u.shows("/send  1 of 3 tasks")
	u.keys("Escape", "r")
	u.shows("Dump", "run dump with these parameters", "crm")
	u.keys("Escape")
	u.hides("with these parameters")
	u.keys("e")
	u.shows("id: dump", "line ")
	u.keys("m")
	u.shows("m does nothing here: ? shows the keys")
	u.keys(":", "retry dump", "Enter")
	u.shows("retry", "done")
	u.keys(":", "cancel nothing", "Enter")
	u.shows("no run nothing among the newest")
}

// TestUIConnection loses the principal, and gets it back.
func TestUIConnection(t *testing.T) {
	x := newSite(t)
	uiWorkflows(x)
	u := uiTmuxOpen(x, 80, 24)
	u.keys("cdktr ui", "Enter")
	u.shows("NOT CONNECTED", "cdktr start principal --with-agent")
	u.keys("?")
	u.shows("Move")
	u.keys("Escape")
	p := x.Principal("--with-agent")
	u.keys(":", "connect", "Enter")
	u.shows("LIVE")
	u.keys("1")
	u.shows("greet")
	p.Kill()
	u.shows("STALE since", "next try", "greet")
	u.keys("G", "r")
	u.shows("needs a connection")
	p = x.Principal("--with-agent")
	u.shows("LIVE")
	x.File("new.yml", `tasks: {a: {run: "true"}}`)
	u.shows("new", "4 wf")
	p.Stop()
	u.shows("STALE")
	u.keys("q")
	u.shows("shell$")
}

// TestUITerminal resizes the terminal, suspends the program, and sees that the shell gets it back as it was.
func TestUITerminal(t *testing.T) {
	x := newSite(t)
	uiWorkflows(x)
	p := x.Principal("--with-agent")
	defer p.Stop()
	u := uiTmuxOpen(x, 80, 24)
	before := u.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}")
	u.keys("stty -a > before; cdktr ui", "Enter")
	u.shows("LIVE")
	u.keys("1")
	u.shows("greet")
	u.tmux("resize-window", "-x", "39", "-y", "24")
	u.shows("terminal is 39x24")
	u.tmux("resize-window", "-x", "120", "-y", "40")
	u.shows("TITLE", "Greets by name")
	u.keys("C-z")
	u.shows("shell$")
	u.hides("TITLE")
	u.keys("fg", "Enter")
	u.shows("TITLE", "Greets by name")
	u.keys("q")
	u.shows("shell$")
	u.keys("echo code $?; stty -a > after", "Enter")
	u.shows("code 0")
	u.Until("the shell has the terminal back", func() bool { _, err := os.Stat(x.Dir + "/after"); return err == nil })
	if after := u.tmux("display-message", "-p",
		"#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}"); after != before {
		t.Errorf("the terminal was left as %s, and was %s", after, before)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT} {
		u.keys("clear; cdktr ui; echo ended $?", "Enter")
		u.shows("LIVE")
		u.tmux("run-shell", fmt.Sprintf("kill -%d $(pgrep -P #{pane_pid})", sig))
		u.shows(fmt.Sprintf("ended %d", 128+sig), "shell$")
		if after := u.tmux("display-message", "-p",
			"#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}"); after != before {
			t.Errorf("%v: the terminal was left as %s, and was %s", sig, after, before)
		}
	}
	modes := func(name string) string {
		text, err := os.ReadFile(filepath.Join(x.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, modes, _ := strings.Cut(string(text), ";") // behind speed and size
		_, modes, _ = strings.Cut(modes, "\n")
		return modes
	}
	if modes("before") != modes("after") {
		t.Errorf("stty before:\n%s\nafter:\n%s", modes("before"), modes("after"))
	}
}

// TestUIOverSSH shows and runs what is on another box, with nothing but a login there.
func TestUIOverSSH(t *testing.T) {
	x := newSite(t)
	uiWorkflows(x)
	s := sshTestNew(t, x)
	p := x.Principal("--with-agent")
	defer p.Stop()
	u := uiTmuxOpen(x, 80, 24)
	u.keys("cdktr ui -H "+strings.TrimPrefix(s.endpoint, "ssh://"), "Enter")
	u.shows("Attention", "127.0.0.1", "LIVE")
	u.keys("1")
	u.shows("greet")
	u.keys("j", "r")
	u.shows("run greet with these parameters")
	u.keys("Enter")
	u.shows("run greet: queued as", "+ ok")
	u.keys("q")
	u.shows("shell$")
}
