// Tests of the clients in clients/: programs in other languages that a user may copy. Each is run against a real
// principal, over its socket and, where the client can, over tcp with a credential.

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// clientsFlow is what the clients run: parameters, output on both streams, bytes that are no text, a failure to ask
// for.
const clientsFlow = `
params: {day: {default: "0"}, exit: {default: "0"}}
tasks:
  out: {run: 'echo "day $PARAM_DAY"; echo oops >&2; printf "\377\n"'}
  end: {depends: [out], run: 'exit $PARAM_EXIT'}
`

// clientsHold runs until it is let go.
const clientsHold = "tasks:\n  a: {run: 'echo held; while [ -e $DIR/hold ]; do sleep 0.05; done; echo over'}\n"

// hub is a site whose principal also listens on tcp.
type hub struct {
	*site
	harness.Hub
}

// clientsNew starts a principal with workflows, on its socket and on tcp, and gives a credential of each role.
func clientsNew(t *testing.T) *hub {
	t.Helper()
	x := newSite(t)
	x.File("etl/daily.yml", clientsFlow)
	x.File("hold.yml", clientsHold)
	x.File("cron.yml", "schedule: '0 3 1 1 *'\ntasks:\n  a: {run: 'true'}\n")
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h := &hub{x, x.OpenHub("--with-agent")}
	h.Authorize("op", "operator")
	h.Authorize("ci", "trigger", "--workflows", "etl.*")
	return h
}

// clientsResult is how a client ended.
type clientsResult struct {
	out, err string
	code     int
}

// clientsRun runs a program of another language to its end, with more environment variables. Any goroutine may call it.
// The code is -1 when the program did not end by itself.
func clientsRun(h *site, env []string, args ...string) clientsResult {
	ctx, cancel := context.WithTimeout(context.Background(), 2*harness.Patience)
	defer cancel()
	var out, stderr strings.Builder
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(slices.Clone(h.Env), "PYTHONDONTWRITEBYTECODE=1"), env...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil || ctx.Err() != nil {
		return clientsResult{out.String(), fmt.Sprintf("%s%v, %v", stderr.String(), err, ctx.Err()), -1}
	}
	return clientsResult{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

const clientsPython = "/usr/bin/python3" // that of the distribution, which has python3-zmq

// clientsPythonTest asks everything once, and holds each answer to what the flow does.
const clientsPythonTest = `
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from cdktr import Client, Error, Unreachable
key = "key%d" % len(sys.argv)
where = dict(endpoint=sys.argv[2]) if len(sys.argv) == 3 else dict(credential=sys.argv[3])

def refused(code, fn, *args, **kw):
    try:
        fn(*args, **kw)
    except Error as e:
        assert e.code == code, (e.code, str(e))
    else:
        raise AssertionError("not refused: %s %s" % (fn, args))

with Client(timeout=60, **where) as c:
    assert c.ping()["version"], c.ping()
    run = c.run("etl.daily", {"day": 7}, key=key, wait=True)
    assert run["state"] == "succeeded" and run["params"] == {"day": "7", "exit": "0"}, run
    assert c.run("etl.daily", {"day": 7}, key=key) == run["run"]
    refused("conflict", c.run, "etl.daily", {"day": 9}, key=key)
    assert c.wait(run["run"]) == run

    items = list(c.follow(c.run("etl.daily", {"day": 8, "exit": 3})))
    lines = [i for k, i in items if k == "line"]
    assert [(l["stream"], l["line"]) for l in lines if l["stream"] == "out"][0] == ("out", "day 8"), lines
    assert sorted(l["line"] for l in lines if l["stream"] != "cdktr") == sorted(["day 8", "oops", "\ufffd"]), lines
    assert items[-1][0] == "run" and items[-1][1]["state"] == "failed", items[-1]
    tasks = [i for k, i in items if k == "task"]
    assert tasks[-1]["task"] == "end" and tasks[-1]["exit"] == 3, tasks
    failed = items[-1][1]["run"]

    assert [l["line"] for l in c.logs(run["run"], stream="out", grep="day")] == ["day 7"]
    assert [l["line"] for l in c.logs(workflow="etl.daily", task="out", stream="err")] == ["oops"]
    assert [l["bytes"] for l in c.logs(run["run"]) if "bytes" in l] == ["/w=="]
    assert len(list(c.logs(failed, last=1))) == 1

    everything = list(c.events())
    seqs = [e["seq"] for e in everything]
    assert seqs == sorted(set(seqs)) and any(e["e"] == "run.finished" for e in everything), everything
    assert [e["seq"] for e in c.events(seqs[-2])][:2] == seqs[-2:]
    following = c.events(seqs[-1], follow=True)
    assert next(following)["seq"] == seqs[-1]

    assert {r["run"] for r in c.ps(all=True)} >= {run["run"], failed} and len(c.ps(all=True, n=1)) == 1
    assert [r["run"] for r in c.ps(state="failed", workflow="etl.daily")][0] == failed
    assert [w["workflow"] for w in c.ls()] == ["cron", "etl.daily", "hold"] and [w["workflow"] for w in c.ls("etl.*")] == ["etl.daily"]
    assert c.show("etl.daily")["spec"]["tasks"][0]["id"] == "out" and c.show(run=run["run"]) == run
    assert c.agents()[0]["state"] == "up"
    c.pause("cron"); assert c.show("cron")["paused"]
    c.resume("cron"); assert not c.show("cron")["paused"]

    held = c.run("hold")
    follow = c.follow(held)
    while next(follow)[0] != "line": pass
    assert c.ps()[0]["run"] == held
    c.cancel(held, force=True)
    assert c.wait(held)["state"] == "cancelled" and list(follow)[-1][1]["state"] == "cancelled"
    refused("conflict", c.cancel, held)
    c.retry(failed)
    assert c.wait(failed)["attempt"] == 2
    refused("not_found", c.run, "etl.dayly")
    refused("invalid", c.run, "etl.daily", {"dya": 1})
    refused("invalid", c.show)

    # What a subscriber sees, and what a pusher starts. The subscription takes a moment to be in force.
    seen = threading.Event()
    def push():
        with Client(timeout=60, **where) as other:
            while not seen.wait(0.1):
                other.push("etl.daily", {"day": 9})
    pusher = threading.Thread(target=push)
    pusher.start()
    want = {"event.etl.daily.": "e", "log.etl.daily.": "line"}
    for m in c.subscribe(list(want)):
        assert m.dropped == 0, m
        for topic in [t for t in want if m.topic.startswith(t)]:
            assert want[topic] in m.body, m
            del want[topic]
        if not want:
            break
    seen.set()
    pusher.join()

try:
    Client("ipc:///nowhere", timeout=0.3).ping()
    raise AssertionError("nobody is there")
except Unreachable as e:
    assert e.code == "unreachable", e.code
print("fine")
`

// TestClientPython asks every method of clients/python/cdktr.py, over both kinds of endpoint.
func TestClientPython(t *testing.T) {
	harness.Need(t, "apt install python3-zmq", clientsPython, "-c", "import zmq")
	h := clientsNew(t)
	folder, err := filepath.Abs("../clients/python")
	if err != nil {
		t.Fatal(err)
	}
	script := h.Dir + "/test.py"
	if err := os.WriteFile(script, []byte(clientsPythonTest), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, where := range [][]string{{"ipc://" + h.Dir + "/s"}, {"", h.Creds["op"]}} {
		r := clientsRun(h.site, nil, append([]string{clientsPython, script, folder}, where...)...)
		if r.out != "fine\n" || r.code != 0 {
			t.Fatalf("%q: exit code %d\n%s%s", where, r.code, r.out, r.err)
		}
	}
}

// TestClientPythonMain runs it as a program: output, exit codes, and a key that may not, or is not known.
func TestClientPythonMain(t *testing.T) {
	harness.Need(t, "apt install python3-zmq", clientsPython, "-c", "import zmq")
	h := clientsNew(t)
	for _, c := range []struct {
		args     string
		code     int
		out, err string
	}{
		{"run etl.daily -p day=5", 0, "day 5\n", " succeeded"},
		{"--credential ci run etl.daily -p day=6", 0, "day 6\n", " succeeded"},
		{"run etl.daily -p exit=1", exitFailed, "day 0\n", " failed"},
		{"run nothing", exitRefused, "", "no workflow"},
		{"run etl.daily -p dya=1", exitUsage, "", "did you mean"},
		{"--credential ci run hold", exitNotAllowed, "", "for the workflows etl.*"},
		{"--credential ci pause cron", exitNotAllowed, "", "role trigger"},
		{"--credential nobody ping", exitUsage, "", "nobody"},
		{"--principal ipc:///nowhere --timeout 0.3 ping", exitUnreachable, "", "does not answer"},
		{"--principal ssh://hub ping", exitUsage, "", "want ipc://"},
		{"ls etl", 0, `"workflow": "etl.daily"`, ""},
		{"ping", 0, `"version"`, ""},
	} {
		args := strings.Fields(c.args)
		for i, arg := range args {
			if file := h.Creds[arg]; file != "" {
				args[i] = file
			}
		}
		r := clientsRun(h.site, nil, append([]string{clientsPython, "../clients/python/cdktr.py"}, args...)...)
		if r.code != c.code || !strings.Contains(r.out, c.out) || !strings.Contains(r.err, c.err) ||
			strings.Contains(r.err, "Traceback") {
			t.Errorf("%s: exit code %d, want %d with %q and %q\n%s%s", c.args, r.code, c.code, c.out, c.err, r.out,
				r.err)
		}
	}
	h.OK("authorize", "--remove", "ci")
	h.Until("the key is gone", func() bool {
		r := clientsRun(h.site, nil, clientsPython, "../clients/python/cdktr.py", "--credential", h.Creds["ci"], "ping")
		return r.code == exitNotAllowed && strings.Contains(r.err, "does not know our key")
	})
}

// clientsPythonRestart follows a run while its principal is killed and started again. It makes a file when it has seen
// the first line.
const clientsPythonRestart = `
import sys, threading
sys.path.insert(0, sys.argv[1])
from cdktr import Client
there, gap = threading.Event(), threading.Event()
def listen():
    with Client(sys.argv[2], timeout=60, patience=120) as other:
        for m in other.subscribe("event."):
            there.set()
            if m.dropped == -1:
                gap.set()
                return
threading.Thread(target=listen).start()
with Client(sys.argv[2], timeout=60, patience=120) as c:
    while not there.wait(0.05):
        c.run("cron", wait=True)
    events = c.events(follow=True)
    seqs = [next(events)["seq"]]
    run = c.run("hold")
    lines = []
    for kind, item in c.follow(run):
        if kind == "line" and item["stream"] == "out":
            lines.append(item["line"])
            if len(lines) == 1:
                open(sys.argv[3], "w").close()
    assert kind == "run" and item["state"] == "succeeded" and lines == ["held", "over"], (item, lines)
    c.ping()
    for event in events:
        seqs.append(event["seq"])
        if event["e"] == "run.finished" and event["run"] == run:
            break
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), seqs
    while not gap.wait(0.05):
        c.run("cron", wait=True)
print("fine")
`

// TestClientPythonRestart: a principal that is killed and comes back costs a client nothing: no line twice, no event
// lost, and a subscriber is told of the gap.
func TestClientPythonRestart(t *testing.T) {
	harness.Need(t, "apt install python3-zmq", clientsPython, "-c", "import zmq")
	x := newSite(t)
	x.File("hold.yml", clientsHold)
	x.File("cron.yml", "tasks:\n  a: {run: 'true'}\n")
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := x.Principal()
	x.Agent("a")
	folder, err := filepath.Abs("../clients/python")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan clientsResult, 1)
	go func() {
		done <- clientsRun(x, nil, clientsPython, "-c", clientsPythonRestart, folder, "ipc://"+x.Dir+"/s",
			x.Dir+"/seen")
	}()
	x.Until("the client sees the first line", func() bool {
		_, err := os.Stat(x.Dir + "/seen")
		return err == nil
	})
	p.Kill()
	x.Principal()
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.out != "fine\n" {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
}

// TestClientC compiles clients/c/trigger.c and runs it.
func TestClientC(t *testing.T) {
	h := clientsNew(t)
	bin := h.Dir + "/trigger"
	harness.Need(t, "apt install gcc libc6-dev libzmq3-dev", "gcc", "-std=c99", "-D_POSIX_C_SOURCE=200112L", "-Wall",
		"-Wextra", "-Werror", "-O2", "-o", bin, "../clients/c/trigger.c", "-lzmq")
	clientsTrigger(h, bin)
	clientsRestart(t, bin)
}

// TestClientNode installs what clients/node/package.json names, and runs trigger.mjs.
func TestClientNode(t *testing.T) {
	harness.Need(t, "apt install nodejs npm", "sh", "-c", "node --version && npm --version")
	h := clientsNew(t)
	dir := h.Dir + "/node"
	if err := os.CopyFS(dir, os.DirFS("../clients/node")); err != nil {
		t.Fatal(err)
	}
	harness.Need(t, "npm reaches its registry", "npm", "install", "--prefer-offline", "--prefix", dir, "--no-audit",
		"--no-fund", "--ignore-scripts")
	clientsTrigger(h, "node", dir+"/trigger.mjs")
	clientsRestart(t, "node", dir+"/trigger.mjs")
}

// clientsTrigger runs a client that is called with ENDPOINT WORKFLOW [NAME=VALUE...], over both kinds of endpoint.
func clientsTrigger(h *hub, command ...string) {
	h.T.Helper()
	socket := "ipc://" + h.Dir + "/s"
	odd := "a \"b\" \\ 'c' $HOME\t\u00e9\n."
	for _, c := range []struct {
		endpoint, credential, workflow, pair string
		code                                 int
		err                                  string
	}{
		{socket, "", "etl.daily", "day=" + odd, 0, " succeeded"},
		{socket, "", "etl.daily", "exit=4", exitFailed, " failed"},
		{socket, "", "nothing", "", exitRefused, "no workflow"},
		{socket, "", "etl.daily", "dya=1", exitRefused, "did you mean"},
		{socket, "", "etl.daily", "day", exitUsage, "NAME=VALUE"},
		{h.Endpoint, h.Creds["ci"], "etl.daily", "day=" + odd, 0, " succeeded"},
	} {
		args := append(slices.Clone(command), c.endpoint, c.workflow)
		if c.pair != "" {
			args = append(args, c.pair)
		}
		r := clientsRun(h.site, []string{"CDKTR_CREDENTIAL=" + c.credential}, args...)
		if r.code != c.code || !strings.Contains(r.err, c.err) {
			h.T.Errorf("%q: exit code %d, want %d and %q\n%s%s", args, r.code, c.code, c.err, r.out, r.err)
		}
		if strings.HasSuffix(c.pair, odd) {
			if run := clientsNewest(h.site); run == nil || run.Params["day"] != odd {
				h.T.Errorf("%q: the newest run is %+v", args, run)
			}
		}
	}
}

// clientsRestart kills the principal while a client waits for a run, and starts another: the client sees the end.
func clientsRestart(t *testing.T, command ...string) {
	t.Helper()
	x := newSiteAlone(t) // with an agent of its own, which goes on
	x.File("hold.yml", clientsHold)
	if err := os.WriteFile(x.Dir+"/hold", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := x.Principal()
	x.Agent("a")
	done := make(chan clientsResult, 1)
	go func() { done <- clientsRun(x, nil, append(slices.Clone(command), "ipc://"+x.Dir+"/s", "hold")...) }()
	x.Until("the run is at it", func() bool {
		r := clientsNewest(x)
		return r != nil && r.State == runRunning
	})
	p.Kill()
	x.Principal()
	if err := os.Remove(x.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.code != 0 || !strings.Contains(r.err, " succeeded") || strings.Count(r.out, "held") > 1 {
		t.Errorf("%q: %+v", command, r)
	}
}

// clientsNewest gives the newest run.
func clientsNewest(x *site) *Run {
	if r, err := x.ask(Request{Op: "ps", All: true, N: 1}); err == nil && len(r.Runs) == 1 {
		return r.Runs[0]
	}
	return nil
}

// TestClientShell runs clients/shell/trigger.sh, with cdktr here and behind what looks like ssh.
func TestClientShell(t *testing.T) {
	h := clientsNew(t)
	bin := h.Dir + "/bin"
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(h.Bin, bin+"/cdktr"),
		os.WriteFile(bin+"/ssh", []byte("#!/bin/sh\nshift\nexec sh -c \"$*\"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	const odd = "it's \"b\" \\ $HOME *\té"
	for _, shell := range []string{"", "ssh hub"} {
		env := []string{path, "CDKTR_SHELL=" + shell}
		r := clientsRun(h.site, env, "sh", "../clients/shell/trigger.sh", "etl.daily", "day="+odd)
		run := clientsNewest(h.site)
		if run == nil || r.code != 0 || r.out != run.ID+" succeeded\n" || run.Params["day"] != odd {
			t.Errorf("%q: %+v, the newest run is %+v", shell, r, run)
		}
		r = clientsRun(h.site, env, "sh", "../clients/shell/trigger.sh", "etl.daily", "exit=2")
		if r.code != exitFailed || !strings.HasSuffix(r.out, " failed\n") {
			t.Errorf("%q: %+v", shell, r)
		}
		r = clientsRun(h.site, env, "sh", "../clients/shell/trigger.sh", "nothing")
		if r.code != exitRefused || r.out != "" || !strings.Contains(r.err, "no workflow") {
			t.Errorf("%q: %+v", shell, r)
		}
	}
}
