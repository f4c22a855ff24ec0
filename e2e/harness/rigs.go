package harness

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Hub is a principal that also listens on tcp, with credentials for that.
type Hub struct {
	Daemon   *Proc // the principal
	Endpoint string
	Creds    map[string]string // name to file
	site     *Site
}

// OpenHub starts the principal of a site, on its socket and on tcp.
func (x *Site) OpenHub(flags ...string) Hub {
	x.T.Helper()
	p := x.Principal(append([]string{"--bind", "tcp://127.0.0.1:0"}, flags...)...)
	endpoint := p.Saw(&p.Err, `(tcp://127\.0\.0\.1:[1-9]\d*)"? state=`)[1]
	return Hub{p, endpoint, map[string]string{}, x}
}

// Authorize makes a credential and gives its file. It is in force at once.
func (h *Hub) Authorize(name, role string, flags ...string) string {
	h.site.T.Helper()
	file := filepath.Join(h.site.Dir, name+".cred")
	h.site.OK(append([]string{"authorize", "--new", name, "--role", role, "--endpoint", h.Endpoint, "-o", file},
		flags...)...)
	h.Creds[name] = file
	return file
}

// Need wants a tool to work, within Patience.
func Need(t *testing.T, hint string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		Lacks(t, "%s: %v: %s", hint, err, out)
	}
}

// Python makes a libzmq peer of a script, which gets the endpoint as its argument. Keys follow: the server's public
// one, and a pair.
func Python(t *testing.T, endpoint, script string, keys ...string) *exec.Cmd {
	t.Helper()
	const python = "/usr/bin/python3"
	Need(t, "no libzmq to test against (apt install python3-zmq)", python, "-c", "import zmq")
	cmd := exec.CommandContext(t.Context(), python, append([]string{"-c", script, endpoint}, keys...)...)
	cmd.Stderr = t.Output()
	return cmd
}

// EndTmux stops a tmux server at the end of the test and waits until it is gone. The function tmux gives the server a
// command.
func EndTmux(t *testing.T, tmux func(...string) string) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(tmux("display-message", "-p", "#{pid}"), &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		for {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || bytes.Contains(stat, []byte(") Z ")) { // nobody may be there to bury it
				return
			}
			<-time.After(Poll)
		}
	})
}

// Notify is the socket on which systemd hears of a service.
type Notify struct {
	t    *testing.T
	conn *net.UnixConn
}

// OpenNotify makes one at that path.
func OpenNotify(t *testing.T, path string) *Notify {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Notify{t, conn}
}

// Next gives the next message.
func (n *Notify) Next() string {
	n.t.Helper()
	buf := make([]byte, 4096)
	n.conn.SetReadDeadline(time.Now().Add(Patience))
	k, err := n.conn.Read(buf)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(buf[:k])
}

// Until reads on until a message matches, and gives all messages before it.
func (n *Notify) Until(pattern string) (before []string) {
	n.t.Helper()
	for re := regexp.MustCompile("^(?:" + pattern + ")$"); ; {
		m := n.Next()
		if re.MatchString(m) {
			return before
		}
		before = append(before, m)
		if len(before) > 1000 {
			n.t.Fatalf("%q never came, but %q", pattern, before)
		}
	}
}

// Switches counts the context switches of all threads of a process.
func Switches(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	sum := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range bytes.Lines(text) {
			if _, count, ok := strings.Cut(string(line), "ctxt_switches:"); ok {
				n, err := strconv.Atoi(strings.TrimSpace(count))
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

// Memory gives the resident memory of a process in kB: all of it, and the part that belongs to no file. The kernel
// decides how much of the program's file is in memory, and the own part includes what the collector has not freed yet:
// take the least of several looks.
func Memory(t *testing.T, pid int) (all, own int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for name, into := range map[string]*int{"VmRSS": &all, "RssAnon": &own} {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
		if m == nil {
			t.Fatalf("process %d has no %s:\n%s", pid, name, status)
		}
		*into, _ = strconv.Atoi(string(m[1]))
	}
	return all, own
}
