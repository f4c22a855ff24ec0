// Package e2e tests the program from outside: the real binary in processes of its own, driven through its command line
// and its socket, and read by what it prints. Tests that need its internals are beside the code that they test.
package e2e

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

var measure = flag.Bool("measure", false, "hold what is measured to its bounds, on a machine with nothing else to do")

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Program{Find: harness.Build, Source: ".."}))
}

// site is an installation of cdktr.
type site struct{ harness.Site }

// newSite makes one for a test, which runs beside others.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	return newSiteAlone(t)
}

// newSiteAlone makes one for a test that has none of this package beside it.
func newSiteAlone(t *testing.T) *site {
	t.Helper()
	return &site{*harness.Open(t)}
}

// run runs a workflow to its end.
func (x *site) run(id string, flags ...string) *Run {
	x.T.Helper()
	r := x.Cdktr(append([]string{"run", id, "--wait", "--json"}, flags...)...)
	if r.Out == "" {
		x.T.Fatalf("run %s: exit code %d, %s", id, r.Code, r.Err)
	}
	return harness.Decode[Run](x.T, r.Out)
}

// await waits for the end of a run, however often the principal is started anew meanwhile.
func (x *site) await(run string) *Run {
	x.T.Helper()
	var over *Run
	x.Until("end of run "+run, func() bool {
		over = x.show(run)
		return over != nil && over.State != runQueued && over.State != runRunning
	})
	return over
}

// show gives a run as it is, nil when there is no principal.
func (x *site) show(run string) *Run {
	if r, err := x.ask(Request{Op: "show", Run: run}); err == nil && len(r.Runs) == 1 {
		return r.Runs[0]
	}
	return nil
}

// workflow gives a workflow as ls has it, with id "" when it is not there.
func (x *site) workflow(id string) WorkflowInfo {
	r, err := x.ask(Request{Op: "ls", Pattern: id})
	if err == nil {
		for _, w := range r.Workflows {
			if w.Workflow == id {
				return w
			}
		}
	}
	return WorkflowInfo{}
}

// decisions gives what why knows of a workflow's ticks.
func (x *site) decisions(id string) []Decision {
	r, err := x.ask(Request{Op: "why", Workflow: id, N: 50})
	if err != nil {
		return nil
	}
	return r.Decisions
}

// askTimeout is how long an answer may take: with a full disk there may be none.
const askTimeout = 10 * time.Second

// askGreeting and askReady are what a ZeroMQ client says before its first message, by ZMTP 3.0 with no encryption: a
// signature, a version, the mechanism; then that it is a DEALER.
var (
	askGreeting = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + strings.Repeat("\x00", 48)
	askReady    = "\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
)

// ask asks the principal over its socket and gives its last reply. It speaks ZMTP by itself, so that no test rests on
// the program's own reading of it.
func (x *site) ask(req Request) (*Reply, error) {
	conn, err := net.Dial("unix", x.Dir+"/s")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(askTimeout))
	req.V, req.ID = 1, "1"
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint64([]byte{2}, uint64(len(body))) // one long frame, and none behind it
	if _, err := fmt.Fprintf(conn, "%s%s%s%s", askGreeting, askReady, head, body); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if _, err := r.Discard(len(askGreeting)); err != nil {
		return nil, err
	}
	for {
		text, err := askFrame(r)
		if err != nil {
			return nil, err
		}
		reply := struct {
			Reply
			More bool `json:"more"`
		}{}
		if err := json.Unmarshal(text, &reply); err != nil {
			return nil, err
		}
		if !reply.OK {
			return nil, errors.New(string(reply.Error))
		}
		if !reply.More {
			return &reply.Reply, nil
		}
	}
}

// askFrame reads the next frame of a message; commands are passed over.
func askFrame(r *bufio.Reader) ([]byte, error) {
	for {
		flags, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		size := make([]byte, 8)
		length := size[7:]
		if flags&2 != 0 {
			length = size
		}
		if _, err := io.ReadFull(r, length); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint64(size)
		if n > 64<<20 {
			return nil, fmt.Errorf("a frame of %d bytes", n)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		if flags&4 == 0 {
			return text, nil
		}
	}
}
