package e2e

import (
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// compatPython is a client of CDKTR as its own are: three ports, no keys. It starts a run and reads its output from
// the publishing port, pushes a record that makes no sense, and looks again whether the principal is there.
const compatPython = `
import sys, zmq
ports, ctx = sys.argv[1:], zmq.Context()
def sock(kind, at):
    s = ctx.socket(kind); s.setsockopt(zmq.LINGER, 2000); s.setsockopt(zmq.RCVTIMEO, 30000)
    if kind == zmq.SUB: s.setsockopt(zmq.SUBSCRIBE, b"")
    s.connect(at); return s
req, push, sub = sock(zmq.REQ, ports[0]), sock(zmq.PUSH, ports[1]), sock(zmq.SUB, ports[2])
def ask(body):
    req.send(body); return req.recv()
assert ask(b"PING") == b"PONG"
assert ask(b"RUNTASK\x01talk") == b"OK"
sub.setsockopt(zmq.RCVTIMEO, 300)
for _ in range(100): # a subscription takes effect some time after connect
    try:
        fields = sub.recv().split(b"\x01"); break
    except zmq.Again:
        assert ask(b"RUNTASK\x01talk") == b"OK"
assert len(fields) == 8 and fields[0] == b"talk" and fields[6:] == [b"INFO", b"STDOUT hello"], fields
push.send(b"a\x01b\x01c"); push.send(b"talk\x01talk\x01nobody\x01t\x01t\x011\x01INFO\x01STDOUT lost")
assert ask(b"PING") == b"PONG"
ask(b"PING")
print("fine")
`

// TestCompatPorts: CDKTR's own programs find their three ports, where --insecure lets them in.
func TestCompatPorts(t *testing.T) {
	x := newSite(t)
	x.File("talk.yml", "tasks:\n  t: {run: echo hello}\n")
	x.Refused(2, []string{"--bind", "--insecure"}, "start", "principal", "--compat-ports")
	x.Refused(2, []string{"--insecure", "keys"}, "start", "principal", "--compat-ports", "--bind", "tcp://127.0.0.1:0")
	x.Env = append(x.Env, "CDKTR_LOGS_LISTENING_PORT=0", "CDKTR_LOGS_PUBLISHING_PORT=0")
	p := x.Principal("--with-agent", "--bind", "tcp://127.0.0.1:0", "--insecure", "--compat-ports")
	listening := p.Saw(&p.Err, `msg=ready .*listening="([^"]*)"`)[1]
	ports := strings.Fields(listening)
	if len(ports) != 4 {
		t.Fatalf("listening on %q", listening)
	}
	out, err := harness.Python(t, ports[1], compatPython, ports[2:]...).Output()
	if err != nil || string(out) != "fine\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}
