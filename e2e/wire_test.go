// End-to-end tests of the request API as others use it: a program in Python with libzmq; and what a principal costs
// when nothing happens.

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// wirePython is a client: it gets the endpoint, and ends with 0 when every reply was as it should be.
const wirePython = `
import json, sys, zmq
ctx = zmq.Context()

def sock(kind):
    s = ctx.socket(kind)
    s.setsockopt(zmq.LINGER, 0)
    s.setsockopt(zmq.RCVTIMEO, 30000)
    s.connect(sys.argv[1])
    return s

req = sock(zmq.REQ)
def ask(text, **want):
    """One request as text or fields; one reply, which must have what is wanted."""
    if isinstance(text, dict):
        text = json.dumps(dict({"v": 1, "id": "7"}, **text))
    req.send(text.encode() if isinstance(text, str) else text)
    frames = req.recv_multipart()
    assert len(frames) == 1, frames
    reply = json.loads(frames[0])
    assert reply["v"] == 1, reply
    for key, value in want.items():
        got = reply["error"]["code"] if key == "code" else reply.get(key)
        assert got == value, (text, key, got, value, reply)
    assert reply["ok"] == ("code" not in want), reply
    assert not reply.get("more"), reply
    return reply

assert ask({"op": "ping"}, id="7")["version"]
verbs = {v["op"]: v for v in ask({"op": "help"})["verbs"]}
assert {"run", "ps", "logs", "cancel"} <= set(verbs), verbs
assert "workflow*" in verbs["run"]["fields"], verbs["run"]
done = ask({"op": "run", "workflow": "w", "params": {"n": "5"}, "wait": True}, id="7")
run = done["runs"][0]
assert run["state"] == "succeeded" and run["params"] == {"n": "5"} and run["tasks"][0]["exit"] == 0, run
# A REQ takes one reply: of a stream it gets the last.
done = ask({"op": "run", "workflow": "w", "params": {"n": "5"}, "follow": True})
assert done["runs"][0]["state"] == "succeeded", done
assert [r["run"] for r in ask({"op": "ps", "all": True})["runs"]] == [done["run"], run["run"]]
ask("1 nonsense", code="invalid")
ask("", code="invalid")
ask("[1, 2]", code="invalid")
ask('{"v": 1, "op": ', code="invalid")
ask(b'{"v": 1, "op": "\xff\xfe"}', code="invalid")
ask({"op": "pong"}, code="unknown_op", id="7")
ask({"op": "run", "workflow": "w", "parms": {}}, code="invalid")
ask({"op": "run", "workflow": "v"}, code="not_found", id="7")
ask({"op": "run", "workflow": "w", "params": {"n": "5", "m": "1"}}, code="invalid")
ask({"op": "run", "workflow": "w", "params": {"n": 5}}, code="invalid")
ask({"op": "run", "workflow": 5}, code="invalid")
ask({"op": "cancel", "run": done["run"]}, code="conflict")
ask({"op": "cancel", "run": "nothing"}, code="not_found")
ask({"op": "logs", "run": done["run"]}, code="invalid")
req.send(b"nonsense")                # what begins with a letter is in the older dialect
assert req.recv() == b"CLIENTERROR\x01ParseError: Unrecognised message type: nonsense"
req.send_multipart([b"{two", b"frames"])
assert json.loads(req.recv())["error"]["code"] == "invalid"
ask({"op": "ping"})

def follow(frames, strip):
    """A DEALER follows a run: every reply comes as it asked, with its id, and the last has no more."""
    dealer = sock(zmq.DEALER)
    dealer.send_multipart(frames + [json.dumps({"v": 1, "id": "a", "op": "run", "workflow": "w", "params": {"n": "300"}, "follow": True}).encode()])
    lines, states = [], []
    while True:
        got = dealer.recv_multipart()
        assert got[:-1] == frames, got
        reply = json.loads(got[-1])
        assert reply["ok"] and reply["id"] == "a", reply
        if "line" in reply:
            lines.append(reply["line"]["m"])
        states += [t["state"] for t in reply.get("tasks", [])]
        if not reply.get("more"):
            break
    assert lines == [str(i + 1) for i in range(300)], lines
    assert reply["runs"][0]["state"] == "succeeded" and states[-1] == "succeeded", (states, reply)

follow([], 0)
follow([b""], 1)
# Two requests on one DEALER, both answered, by their ids.
dealer = sock(zmq.DEALER)
for name in "xyz":
    dealer.send(json.dumps({"v": 1, "id": name, "op": "ping"}).encode())
assert sorted(json.loads(dealer.recv())["id"] for _ in "xyz") == ["x", "y", "z"]
print("fine")
`

// TestInterop: libzmq, through Python, is a client like ours.
func TestInterop(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "params: {n: {}}\ntasks:\n  a: {run: 'seq $PARAM_N'}\n")
	x.Principal("--with-agent")
	out, err := harness.Python(t, "ipc://"+x.Dir+"/s", wirePython).Output()
	if err != nil || string(out) != "fine\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestIdle: what a principal with an agent costs while nothing happens, and how soon it is ready.
func TestIdle(t *testing.T) {
	x := newSite(t)
	x.Bin = harness.Plain(t, x.Dir)
	for i := range 100 {
		x.File(fmt.Sprintf("group%d/w%d.yml", i%10,
			i), fmt.Sprintf("name: Workflow %d\ndescription: one of a hundred\nschedule: '%d 3 1 1 *'\ntasks:\n"+
			"  a: {run: echo a}\n  b: {depends: [a], cmd: echo, args: [b]}\n  c: {depends: [a, b], run: echo c}\n", i,
			i%60))
	}
	x.Principal("--with-agent").Stop() // the second start is the usual one
	p := x.Principal("--with-agent")
	ready, err := time.ParseDuration(p.Saw(&p.Err, `msg=ready.* workflows=100 .* in=(\S+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	if *measure && ready > 250*time.Millisecond {
		t.Errorf("ready after %s", ready)
	}
	// The first seconds belong to the start: the lazy fsync of what it wrote, the threads that go to sleep.
	const seconds, most = 5, 3
	var wakes []float64
	kB := 0 // of its own, the least that was seen: what a collection is about to free says nothing
	for len(wakes) == 0 || *measure && wakes[len(wakes)-1] > most && len(wakes) < 6 {
		before := harness.Switches(t, p.Cmd.Process.Pid)
		<-time.After(seconds * time.Second)
		wakes = append(wakes, float64(harness.Switches(t, p.Cmd.Process.Pid)-before)/seconds)
		if _, own := harness.Memory(t, p.Cmd.Process.Pid); kB == 0 || own < kB {
			kB = own
		}
	}
	all, _ := harness.Memory(t, p.Cmd.Process.Pid)
	t.Logf("ready in %s; idle: %d kB resident, %d kB its own, %.1f context switches a second, in spans of %d s", ready,
		all, kB, wakes, seconds)
	if kB > 10<<10 {
		t.Errorf("%d kB of its own, want 10 MB at most", kB)
	}
	if *measure && wakes[len(wakes)-1] > most {
		t.Errorf("%.1f context switches a second, want %d at most", wakes, most)
	}
}

// TestRunFileTime: how long `cdktr run FILE` of one `true` takes, from start to end.
func TestRunFileTime(t *testing.T) {
	x := newSite(t)
	x.Bin = harness.Plain(t, x.Dir)
	x.File("w.yml", "tasks:\n  a: {cmd: 'true'}\n")
	var took []time.Duration
	for range 20 {
		began := time.Now()
		x.OK("run", "workflows/w.yml")
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("median %s, fastest %s, slowest %s", took[10], took[0], took[19])
	if *measure && took[10] > 100*time.Millisecond {
		t.Errorf("the median of 20 is %s, want 100 ms at most", took[10])
	}
}

// TestSocketRemoved removes the socket of a principal, or its folder, or puts something else in its place. The
// principal makes it again, keeps its connections, and touches nothing that is not its own.
func TestSocketRemoved(t *testing.T) {
	x := newSite(t)
	dir := x.Dir + "/run"
	path := dir + "/s"
	x.Env = append(x.Env, "CDKTR_SOCKET="+path)
	x.File("w.yml", "tasks: {a: {run: 'true'}}")
	p := x.Principal()
	x.Agent("edge-1")
	if r := x.run("w"); r.State != runSucceeded {
		t.Fatalf("the run is %s", r.State)
	}
	for what, remove := range map[string]func() error{
		"removed":         func() error { return os.Remove(path) },
		"moved away":      func() error { return os.Rename(path, x.Dir+"/elsewhere") },
		"with its folder": func() error { return os.RemoveAll(dir) },
		"stale": func() error { // somebody else's that was killed
			ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: x.Dir + "/other"})
			if err != nil {
				return err
			}
			ln.SetUnlinkOnClose(false)
			return errors.Join(ln.Close(), os.Rename(x.Dir+"/other", path))
		},
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		x.Until("a client comes in again after the socket was "+what,
			func() bool { return x.Cdktr("ping").Code == exitOK })
		if r := x.run("w"); r.State != runSucceeded || r.Agent != "edge-1" {
			t.Errorf("%s: the run is %s at %s", what, r.State, r.Agent)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if text := p.Err.String(); strings.Count(text, "agent=edge-1") > 1 || !strings.Contains(text, "made it again") {
		t.Errorf("the agent came anew, or the log does not say why:\n%s", text)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	x.Until("the log says that a file is in the way", func() bool {
		return strings.Contains(p.Err.String(),
			"exists and is not a socket")
	})
	p.Stop()
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("a file that was put there: %q, %v", text, err)
	}
}

// TestSocketFolderReplaced replaces the folder in which a principal was started by another of the same name, as a
// deployment does. The principal serves the new folder, at the same path.
func TestSocketFolderReplaced(t *testing.T) {
	x := newSite(t)
	in := x.Dir + "/app"
	folder := func(dir, prints string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir+"/workflows", 0o755), os.WriteFile(dir+"/workflows/w.yml",
			[]byte("tasks: {a: {run: 'echo "+prints+"'}}\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	folder(in, "old")
	folder(in+".new", "new")
	y := *x
	y.Dir, y.Env = in, append(x.Env, "CDKTR_SOCKET=s", "CDKTR_WORKFLOWS=workflows", "CDKTR_STATE="+x.Dir+"/state")
	y.Principal("--with-agent")
	if text := y.OK("run", "w", "--follow"); !strings.Contains(text, "old") {
		t.Errorf("before: %s", text)
	}
	if err := errors.Join(os.Rename(in, in+".old"), os.Rename(in+".new", in)); err != nil {
		t.Fatal(err)
	}
	x.Until("the new folder is served, at its path", func() bool {
		r := y.Cdktr("run", "w", "--follow")
		return r.Code == exitOK && strings.Contains(r.Out, "new")
	})
}
