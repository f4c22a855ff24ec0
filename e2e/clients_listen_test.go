// The listeners of one's own in clients/, against a principal that is killed and started anew meanwhile.

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// clientsSaid waits until the runs of a workflow have these values of a parameter, each once.
func clientsSaid(x *site, id, param string, want ...string) {
	x.T.Helper()
	x.Until(fmt.Sprintf("%s ran for %q", id, want), func() bool {
		r, err := x.ask(Request{Op: "ps", Workflow: id, All: true, N: 500})
		if err != nil {
			return false
		}
		var said []string
		for _, run := range r.Runs {
			said = append(said, run.Params[param])
		}
		slices.Sort(said)
		return slices.Equal(said, want)
	})
}

// TestClientListenPython: each datagram fires one run, also those that came while the principal was dead.
func TestClientListenPython(t *testing.T) {
	harness.Need(t, "apt install python3-zmq", clientsPython, "-c", "import zmq")
	x := newSite(t)
	x.File("w.yml", "params: {value: none}\ntasks: {a: {run: 'true'}}\n")
	p := x.Principal("--with-agent")
	cmd := exec.CommandContext(t.Context(), clientsPython, "../clients/python/listen.py", "w", "--port", "0", "--param",
		"value", "--principal", "ipc://"+x.Dir+"/s")
	cmd.Env = append(slices.Clone(x.Env), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var port int
	first, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscanf(first, "listening on port %d", &port); err != nil || scanErr != nil {
		t.Fatalf("%q: %v, %v", first, err, scanErr)
	}
	send := func(text string) {
		t.Helper()
		conn, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			_, err = fmt.Fprint(conn, text)
			conn.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const odd = "2 'x' $(y) é"
	send("1")
	send(odd)
	clientsSaid(x, "w", "value", "1", odd)
	p.Kill()
	send("3")
	x.Principal("--with-agent")
	clientsSaid(x, "w", "value", "1", odd, "3")
}

// TestClientListenShell: the same for lines of standard input.
func TestClientListenShell(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "params: {value: none}\ntasks: {a: {run: 'true'}}\n")
	p := x.Principal("--with-agent")
	bin := filepath.Join(x.Dir, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(x.Bin, bin+"/cdktr")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "../clients/shell/listen.sh", "w", "value")
	cmd.Env = append(slices.Clone(x.Env), "PATH="+bin+":"+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stdout = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const odd = `2 'x' $(y) \ é`
	fmt.Fprintf(in, "1\n%s\n", odd)
	clientsSaid(x, "w", "value", "1", odd)
	p.Kill()
	fmt.Fprint(in, "3\n")
	x.Principal("--with-agent")
	clientsSaid(x, "w", "value", "1", odd, "3")
	in.Close()
	if err := cmd.Wait(); err != nil || strings.Count(said.String(), "\n") != 3 {
		t.Errorf("%v: %q", err, said.String())
	}
}
