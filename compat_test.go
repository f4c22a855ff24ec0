// Tests of CDKTR's dialect: each request and each refusal to the byte, over memory, over a socket, and from libzmq; the
// shapes of its JSON; and what a hostile peer sends. Its agents are in compat_agent_test.go, its log records in
// compat_log_test.go.

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// compatClock is the time of a principal under test: it stands still until it is moved.
type compatClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *compatClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *compatClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// compatWorld is a principal with workflows, and the log that it writes.
type compatWorld struct {
	t     *testing.T
	p     *principal
	dir   string
	files map[string]string
	clock *compatClock
	logMu sync.Mutex
	log   bytes.Buffer
	conns sync.WaitGroup
	stop  func()
}

func (w *compatWorld) Write(b []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(b)
}

// logged gives the principal's log so far.
func (w *compatWorld) logged() string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.String()
}

// compatStart starts a principal with files, by the path below its folder. An internal error in its log fails the test.
func compatStart(t *testing.T, files map[string]string) *compatWorld {
	w := &compatWorld{t: t, dir: t.TempDir(), files: files, clock: &compatClock{at: time.Date(2026, 1, 31, 2, 30, 0, 0,
		time.UTC)}}
	w.start()
	t.Cleanup(func() {
		w.stop()
		if log := w.logged(); strings.Contains(log, "internal error") || strings.Contains(log, "does not fit") {
			t.Errorf("the principal's log:\n%s", log)
		}
	})
	return w
}

func (w *compatWorld) start() {
	w.t.Helper()
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: w.dir, NoSync: true, NoScheduler: true,
		Zone: time.UTC,
		now:  w.clock.now,
		Log:  slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		w.t.Fatal(err)
	}
	p.logs.now = w.clock.now
	var changed []workflowFile
	for _, name := range sortedKeys(w.files) {
		id, err := workflowID(name)
		if err != nil {
			w.t.Fatal(err)
		}
		spec, faults := workflowParse(name, id, []byte(w.files[name]))
		changed = append(changed, workflowFile{ID: id, File: name, Spec: spec, Faults: faults})
	}
	p.setFiles(changed, nil)
	w.p = p
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.runPrincipal(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("principal: %v", err)
		}
		w.conns.Wait()
	})
}

// restart stops the principal and starts another on its state.
func (w *compatWorld) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// connect gives a connection to the principal, in memory, of a peer of that socket type.
func (w *compatWorld) connect(socket string) wireConn { return w.connectFrom(socket, "memory") }

// connectFrom gives one that seems to have come another way.
func (w *compatWorld) connectFrom(socket, transport string) wireConn {
	ours, theirs := wirePipe()
	theirs.(*wireMem).peer.Socket, theirs.(*wireMem).peer.Transport = socket, transport
	if transport == "tcp" {
		theirs.(*wireMem).peer.Key = strings.Repeat("k", 40)
		w.p.cfg.Keys = &authKeys{grants: map[string]*authGrant{strings.Repeat("k", 40): {Name: "somebody",
			Role: roleOperator}}}
	}
	p := w.p
	w.conns.Go(func() { p.runPeer(theirs) })
	guard := time.AfterFunc(2*time.Minute, func() { ours.Cut(errors.New("the test waited for too long")) })
	stop := w.stop
	w.stop = func() { guard.Stop(); ours.Close(); stop() }
	return ours
}

// serve lets peers in at a socket, and gives its endpoint.
func (w *compatWorld) serve() string {
	w.t.Helper()
	endpoint := "ipc://" + wireTestPath(w.t)
	l, err := wireListen(endpoint, wireOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	p := w.p
	w.conns.Go(func() { l.Serve(context.Background(), p.runPeer) })
	stop := w.stop
	w.stop = func() { l.Close(); stop() }
	return endpoint
}

// on has fn done by the principal's loop, and gives it a whole turn before and after.
func (w *compatWorld) on(fn func(p *principal)) {
	w.t.Helper()
	done := make(chan bool)
	if !w.p.call(func() { fn(w.p); close(done) }) {
		w.t.Fatal("the principal is gone")
	}
	<-done
}

// turn moves the clock and sees that the loop has looked at it.
func (w *compatWorld) turn(d time.Duration) {
	w.t.Helper()
	w.clock.add(d)
	w.on(func(p *principal) { p.fleet.giveUpSilent(p.cfg.now()) })
}

// awaitSubscriber waits until the loop knows such a subscriber.
func (w *compatWorld) awaitSubscriber(is func(*subscriber) bool) {
	w.t.Helper()
	for begun, there := time.Now(), false; !there; {
		w.on(func(p *principal) {
			for s := range p.followers.subscribers {
				there = there || is(s)
			}
		})
		if time.Since(begun) > time.Minute {
			w.t.Fatal("the subscriber does not arrive")
		}
	}
}

// run gives a copy of a run.
func (w *compatWorld) run(id string) (r *Run) {
	w.t.Helper()
	w.on(func(p *principal) {
		if p.state.Runs[id] != nil {
			r = p.state.Runs[id].clone()
		}
	})
	return r
}

// newest gives the id of the newest run of a workflow.
func (w *compatWorld) newest(workflow string) (id string) {
	w.t.Helper()
	w.on(func(p *principal) { id = p.copier.newestRun(workflow) })
	return id
}

// compatAsk sends a body as a REQ does, and gives the body of the reply.
func compatAsk(t *testing.T, c wireConn, body string) string {
	t.Helper()
	if err := c.Send([]byte{}, []byte(body)); err != nil {
		t.Fatalf("send %q: %v", body, err)
	}
	return compatReply(t, c)
}

func compatReply(t *testing.T, c wireConn) string {
	t.Helper()
	frames, err := c.Recv()
	if err != nil || len(frames) != 2 || len(frames[0]) != 0 {
		t.Fatalf("reply: %q, %v", frames, err)
	}
	return string(frames[1])
}

// compatWant asks, and fails the test when the answer is another.
func compatWant(t *testing.T, c wireConn, body, want string) {
	t.Helper()
	if got := compatAsk(t, c, body); got != want {
		t.Errorf("%q:\n got %q\nwant %q", body, got, want)
	}
}

const (
	compatSimple = "name: Simple cmd flow\ncron: \"*/2 * * * * *\"\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n " +
		" task1:\n    name: Task 1\n    config: !Subprocess\n      cmd: echo\n      args:\n        - hello\n        " +
		"- world\n"
	compatBad = "name: [\n"
)

// compatRequests are requests and replies, in their order, to a principal that has the workflow etl.daily and broken.
var compatRequests = []struct{ ask, want string }{
	{"PING", "PONG"},
	{"PING\x01x", "PONG"},
	{"LSWORKFLOWS", "SUCCESS\x01" + compatSimpleJSON},
	{"LSWORKFLOWS\x01", "SUCCESS\x01" + compatSimpleJSON},
	{"GETRECENTSTATUSES", "SUCCESS\x01[]"},
	{"GETREGISTEREDAGENTS", "SUCCESS\x01[]"},
	{"RUNTASK\x01etl.nightly", "CLIENTERROR\x01No workflow exists with id etl.nightly"},
	{"RUNTASK\x01", "CLIENTERROR\x01No workflow exists with id "},
	{"RUNTASK", "CLIENTERROR\x01ParseError: Request is missing task_id"},
	{"RUNTASK\x01it's", "CLIENTERROR\x01No workflow exists with id it's"},
	{"REGISTERAGENT", "CLIENTERROR\x01ParseError: Missing arg AGENT_ID"},
	{"REGISTERAGENT\x01me@box/AG1", "OK"},
	{"REGISTERAGENT\x01me@box/AG1\x018999\x012", "OK"},
	{"GETREGISTEREDAGENTS", `SUCCESS` + "\x01" +
		`[{"agent_id":"me@box/AG1","last_ping_timestamp":1769826600000000,"running_tasks":0}]`},
	{"FETCHWORKFLOW", "CLIENTERROR\x01ParseError: Missing agent id"},
	{"FETCHWORKFLOW\x01me@box/AG1", "OK"},
	{"RUNTASK\x01etl.daily", "OK"},
	{"RUNTASK\x01etl.daily\x01more", "OK"},
	{"FETCHWORKFLOW\x01me@box/AG1", "SUCCESS\x01" + compatSimpleOne},
	{"FETCHWORKFLOW\x01me@box/AG1\x01more", "SUCCESS\x01" + compatSimpleOne},
	{"FETCHWORKFLOW\x01me@box/AG1", "OK"},
	{"AGENTWORKFLOWSTATUS", "CLIENTERROR\x01ParseError: Missing arg AGENT_ID"},
	{"AGENTWORKFLOWSTATUS\x01a", "CLIENTERROR\x01ParseError: Missing arg TASK_ID"},
	{"AGENTWORKFLOWSTATUS\x01a\x01w", "CLIENTERROR\x01ParseError: Missing arg TASK_EXECUTION_ID"},
	{"AGENTWORKFLOWSTATUS\x01a\x01w\x01i", "CLIENTERROR\x01ParseError: Missing arg TASK_STATUS"},
	{"AGENTWORKFLOWSTATUS\x01a\x01w\x01i\x01running", "CLIENTERROR\x01ParseError: Unrecognised task status: running"},
	{"AGENTWORKFLOWSTATUS\x01me@box/AG1\x01etl.daily\x01slug-one\x01RUNNING", "OK"},
	{"AGENTWORKFLOWSTATUS\x01me@box/AG1\x01other\x01slug-nine\x01RUNNING", "OK"},
	{"AGENTTASKSTATUS", "CLIENTERROR\x01ParseError: Missing arg AGENT_ID"},
	{"AGENTTASKSTATUS\x01a", "CLIENTERROR\x01ParseError: Missing arg TASK_ID"},
	{"AGENTTASKSTATUS\x01a\x01t", "CLIENTERROR\x01ParseError: Missing arg TASK_EXECUTION_ID"},
	{"AGENTTASKSTATUS\x01a\x01t\x01e", "CLIENTERROR\x01ParseError: Missing arg WORKFLOW_INSTANCE_ID"},
	{"AGENTTASKSTATUS\x01a\x01t\x01e\x01i", "CLIENTERROR\x01ParseError: Missing arg TASK_STATUS"},
	{"AGENTTASKSTATUS\x01a\x01t\x01e\x01i\x01DONE", "CLIENTERROR\x01ParseError: Unrecognised task status: DONE"},
	{"AGENTTASKSTATUS\x01me@box/AG1\x01task1\x01slug-two\x01slug-one\x01PENDING", "OK"},
	{"AGENTTASKSTATUS\x01me@box/AG1\x01no such\x01slug-two\x01slug-one\x01RUNNING", "OK"},
	{"GETREGISTEREDAGENTS", `SUCCESS` + "\x01" +
		`[{"agent_id":"me@box/AG1","last_ping_timestamp":1769826600000000,"running_tasks":2}]`},
	{"QUERYLOGS", "CLIENTERROR\x01ParseError: Missing END_TIMESTAMP"},
	{"QUERYLOGS\x01", "CLIENTERROR\x01ParseError: Missing START_TIMESTAMP parameter"},
	{"QUERYLOGS\x01soon", "CLIENTERROR\x01ParseError: Not a valid end timestamp"},
	{"QUERYLOGS\x01\x01soon", "CLIENTERROR\x01ParseError: Not a valid end timestamp"},
	{"QUERYLOGS\x01-1\x01", "CLIENTERROR\x01ParseError: Not a valid end timestamp"},
	{"QUERYLOGS\x01\x01", "CLIENTERROR\x01ParseError: Missing WORKFLOW_ID parameter"},
	{"QUERYLOGS\x01\x01\x01", "CLIENTERROR\x01ParseError: Missing WORKFLOW_INSTANCE_ID parameter"},
	{"QUERYLOGS\x01\x01\x01\x01", "SUCCESS\x01[]"},
	{"QUERYLOGS\x01+5\x010\x01it's\x01'; DROP TABLE logstore --\x01v", "SUCCESS\x01[]"},
	{"QUERYLOGS\x0118446744073709551615\x010\x01etl.daily\x01\x01", "SUCCESS\x01[]"},
	{"QUERYLOGS\x0118446744073709551616\x010\x01\x01", "CLIENTERROR\x01ParseError: Not a valid end timestamp"},
	{"GETLATESTSTATUS", "CLIENTERROR\x01ParseError: Unrecognised message type: GETLATESTSTATUS"},
	{"ping", "CLIENTERROR\x01ParseError: Unrecognised message type: ping"},
	{"PING ", "CLIENTERROR\x01ParseError: Unrecognised message type: PING "},
	{"A\\x01\"'\x01b", "CLIENTERROR\x01ParseError: Unrecognised message type: A\\x01\"'"},
	{"PING\xff", "CLIENTERROR\x01ParseError: Unrecognised message type: Could not parse string from message"},
	{"x" + strings.Repeat("y", 100_000), "CLIENTERROR\x01ParseError: Unrecognised message type: x" +
		strings.Repeat("y", compatMaxEcho-1)},
	{"PING", "PONG"},
}

const (
	compatSimpleOne = `{"id":"etl.daily","name":"Simple cmd flow","description":null,"path":"etl/daily.yml",` +
		`"dag":{"name":"Simple cmd flow","task_id_node_ix_map":{"task1":0},` +
		`"task_map":{"task1":{"name":"Task 1","description":null,"depends":null,"config":{"Subprocess":{"cmd":"echo","args":["hello","world"]}}}},` +
		`"inner":{"nodes":["task1"],"node_holes":[],"edge_property":"directed","edges":[]},"first_tasks":["task1"]},` +
		`"cron":"*/2 * * * * *","start_time":"2025-01-20T12:30:00+00:00"}`
	compatSimpleJSON = `{"etl.daily":` + compatSimpleOne + `}`
)

func compatRequestWorld(t *testing.T) *compatWorld {
	return compatStart(t, map[string]string{"etl/daily.yml": compatSimple, "broken.yml": compatBad})
}

func TestCompatRequestsMemory(t *testing.T) {
	c := compatRequestWorld(t).connect("REQ")
	for _, r := range compatRequests {
		compatWant(t, c, r.ask, r.want)
	}
}

func TestCompatRequestsSocket(t *testing.T) {
	c := wireTestDial(t, compatRequestWorld(t).serve())
	for _, r := range compatRequests {
		compatWant(t, c, r.ask, r.want)
	}
}

const compatRequestScript = `
import sys, zmq, json
ctx = zmq.Context()
for line in sys.stdin:
    s = ctx.socket(zmq.REQ)          # CDKTR's clients connect anew for each request
    s.linger = 0
    s.rcvtimeo = 60000
    s.connect(sys.argv[1])
    s.send(bytes.fromhex(line))
    print(s.recv().hex(), flush=True)
    s.close()
`

func TestCompatRequestsLibzmq(t *testing.T) {
	cmd := harness.Python(t, compatRequestWorld(t).serve(), compatRequestScript)
	var in strings.Builder
	for _, r := range compatRequests {
		fmt.Fprintf(&in, "%x\n", r.ask)
	}
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("libzmq client: %v", err)
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(compatRequests) {
		t.Fatalf("%d replies to %d requests", len(lines), len(compatRequests))
	}
	for i, r := range compatRequests {
		got, err := hex.DecodeString(lines[i])
		if err != nil || string(got) != r.want {
			t.Errorf("%q:\n got %q\nwant %q", r.ask, got, r.want)
		}
	}
}

func TestCompatFraming(t *testing.T) {
	w := compatRequestWorld(t)
	c := w.connect("DEALER")
	const frames = "CLIENTERROR\x01ParseError: Unrecognised message type: Message must have only 1 frame to convert " +
		"to String"
	for _, x := range []struct {
		name       string
		send, want []string
	}{
		{"without a delimiter", []string{"PING"}, []string{"PONG"}},
		{"with a long envelope", []string{"to", "me", "", "PING"}, []string{"to", "me", "", "PONG"}},
		{"two frames", []string{"", "PING", "x"}, []string{"", frames}},
		{"two frames, no delimiter", []string{"PING", "x"}, []string{frames}},
		{"many", []string{"", "RUNTASK", "etl.daily", "\xff", "", "y"}, []string{"", frames}},
	} {
		var send [][]byte
		for _, f := range x.send {
			send = append(send, []byte(f))
		}
		if err := c.Send(send...); err != nil {
			t.Fatal(err)
		}
		got, err := c.Recv()
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", x.want) {
			t.Errorf("%s: %q, %v, want %q", x.name, got, err, x.want)
		}
	}
	// What is not in the dialect is answered as before, on the same connection.
	for _, body := range []string{"", "1", "\x01PING", "[]", "\xff", `{"op":"ping"}`} {
		if err := c.Send([]byte{}, []byte(body)); err != nil {
			t.Fatal(err)
		}
		var reply Reply
		if text := compatReply(t, c); json.Unmarshal([]byte(text), &reply) != nil ||
			reply.OK != (body == `{"op":"ping"}`) {
			t.Errorf("%q is answered %q", body, text)
		}
	}
}

func TestCompatRefusals(t *testing.T) {
	needs := "params:\n  day: {pattern: '[0-9]+'}\ntasks:\n  a: {cmd: echo}\n"
	w := compatStart(t, map[string]string{"needs.yml": needs, "broken.yml": compatBad, "ok.yml": compatSimple})
	c := w.connect("REQ")
	compatWant(t, c, "RUNTASK\x01needs", "CLIENTERROR\x01parameter day is missing: give it with -p day=VALUE")
	if got := compatAsk(t, c, "RUNTASK\x01broken"); !strings.HasPrefix(got,
		"CLIENTERROR\x01workflow broken does not load: broken.yml:2:") {
		t.Errorf("a workflow that does not load: %q", got)
	}
	w.on(func(p *principal) {
		for range principalMaxQueued {
			p.queue.runs = append(p.queue.runs, &Run{})
		}
	})
	compatWant(t, c, "RUNTASK\x01ok", fmt.Sprintf("SERVERERROR\x01%d runs are queued already", principalMaxQueued))
	w.on(func(p *principal) { p.queue.runs = nil })

	for code, head := range map[string]string{codeInvalid: "CLIENTERROR", codeNotAllowed: "CLIENTERROR",
		codeConflict: "CLIENTERROR",
		codeNoSpace:  "SERVERERROR", codeInternal: "SERVERERROR", codeStopping: "SERVERERROR"} {
		ours, theirs := wirePipe()
		(&compatCall{opCall: &opCall{conn: theirs,
			peer: &lookPeer{party: sharesNew().join("")}}}).refuse(refuse(code, "why"))
		if frames, err := ours.Recv(); err != nil || string(frames[0]) != head+"\x01why" {
			t.Errorf("%s: %q, %v", code, frames, err)
		}
		ours.Close()
	}
}

// TestCompatOps sees that each request names the op that it is like, and that only those who came by the socket may
// speak the dialect.
func TestCompatOps(t *testing.T) {
	want := map[string]string{"PING": "ping", "LSWORKFLOWS": "ls", "RUNTASK": "run", "REGISTERAGENT": "hello",
		"FETCHWORKFLOW":       "hello",
		"AGENTWORKFLOWSTATUS": "hello", "AGENTTASKSTATUS": "hello", "QUERYLOGS": "logs", "GETRECENTSTATUSES": "ps",
		"GETREGISTEREDAGENTS": "agents"}
	if len(compatOps) != len(want) {
		t.Errorf("%d ops, want %d", len(compatOps), len(want))
	}
	for word, op := range want {
		known := slices.ContainsFunc(protoOps, func(v protoOp) bool { return v.Op == op })
		if v := compatOpOf(word); v == nil || v.as != op || v.do == nil || !known {
			t.Errorf("%s: is %+v, want %q", word, v, op)
		}
	}
	w := compatRequestWorld(t)
	c := w.connectFrom("REQ", "tcp")
	for _, ask := range []string{"PING", "RUNTASK\x01etl.daily", "FETCHWORKFLOW\x01a", "nonsense"} {
		compatWant(t, c, ask, "CLIENTERROR\x01this dialect is for peers without a key")
	}
	if id := w.newest("etl.daily"); id != "" {
		t.Errorf("run %s was made", id)
	}
	a := w.agent("a")
	run := a.begin("etl.daily")
	a.flow("etl.daily", "one", "RUNNING")
	a.task("task1", "one", "RUNNING")
	sub := w.connectFrom("SUB", "tcp")
	sub.Send([]byte("\x01etl"))
	sub.Send([]byte("\x01log."))
	w.awaitSubscriber(func(s *subscriber) bool { return len(s.topics) == 2 })
	w.push(w.connectFrom("PUSH", "tcp"), "etl.daily\x01n\x01one\x01Task 1\x01i\x011\x01INFO\x01from afar")
	a.say("etl.daily", "one", "task1", "INFO", "STDOUT near")
	if frames, err := sub.Recv(); err != nil || len(frames) != 2 {
		t.Errorf("subscriber got %q, %v", frames, err)
	}
	if got := w.output(run); got != "o task1 near\n" {
		t.Errorf("output: %q", got)
	}
}

func TestCompatWorkflowJSON(t *testing.T) {
	for _, x := range []struct{ name, file, want string }{
		{"the example of CDKTR's own traffic",
			"name: lat\nstart_time: 2025-01-20T12:30:00+00:00\ntasks:\n  t:\n    name: t\n    config: !Subprocess " +
				"{cmd: bash, args: [-c, 'echo <&> \"${HOME}\" $${x}']}\n",
			`{"id":"w","name":"lat","description":null,"path":"wf2/w.yml","dag":{"name":"lat","task_id_node_ix_map":{"t":0},"task_map":{"t":{"name":"t","description":null,"depends":null,` +
				`"config":{"Subprocess":{"cmd":"bash","args":["-c","echo <&> \"${HOME}\" $${x}"]}}}},"inner":{"nodes":["t"],"node_holes":[],"edge_property":"directed","edges":[]},"first_tasks":["t"]},` +
				`"cron":null,"start_time":"2025-01-20T12:30:00+00:00"}`},
		{"python, in CDKTR's form", "name: x\nstart_time: 2025-01-20T14:30:00.5+02:00\ntasks:\n  t:\n    name: T\n  " +
			"  description: d\n    config: !UvPython {script_path: x.py}\n",
			`{"id":"w","name":"x","description":null,"path":"wf2/w.yml","dag":{"name":"x","task_id_node_ix_map":{"t":0},"task_map":{"t":{"name":"T","description":"d","depends":null,` +
				`"config":{"UvPython":{"script_path":"x.py","is_uv_project":null,"packages":null,"uv_path":null,"working_directory":null}}}},"inner":{"nodes":["t"],"node_holes":[],"edge_property":"directed","edges":[]},"first_tasks":["t"]},` +
				`"cron":null,"start_time":"2025-01-20T12:30:00.500+00:00"}`},
		{"our form, a chain and a fan",
			"description: all of it\nschedule: '0 1 * * *'\ntasks:\n  a: {run: 'echo $HOME'}\n  b: {depends: [a], " +
				"cmd: ls}\n" +
				"  c: {depends: [a], python: {script: y.py, packages: ['pandas>=2'], project: true, uv: /bin/uv, " +
				"working_directory: /srv}}\n",
			`{"id":"w","name":"w","description":"all of it","path":"wf2/w.yml","dag":{"name":"w","task_id_node_ix_map":{"a":0,"b":1,"c":2},"task_map":{` +
				`"a":{"name":"a","description":null,"depends":null,"config":{"Subprocess":{"cmd":"/bin/sh","args":["-c","echo $HOME"]}}},` +
				`"b":{"name":"b","description":null,"depends":["a"],"config":{"Subprocess":{"cmd":"ls","args":[]}}},` +
				`"c":{"name":"c","description":null,"depends":["a"],"config":{"UvPython":{"script_path":"y.py","is_uv_project":true,"packages":["pandas>=2"],"uv_path":"/bin/uv","working_directory":"/srv"}}}},` +
				`"inner":{"nodes":["a","b","c"],"node_holes":[],"edge_property":"directed","edges":[[0,1,0],[0,2,0]]},"first_tasks":["a"]},"cron":"0 1 * * *","start_time":null}`},
		{"no tasks", "tasks: {}\n",
			`{"id":"w","name":"w","description":null,"path":"wf2/w.yml","dag":{"name":"w","task_id_node_ix_map":{},"task_map":{},` +
				`"inner":{"nodes":[],"node_holes":[],"edge_property":"directed","edges":[]},"first_tasks":[]},"cron":null,"start_time":null}`},
	} {
		spec, faults := workflowParse("wf2/w.yml", "w", []byte(x.file))
		if spec == nil {
			t.Fatalf("%s: %v", x.name, faults)
		}
		if got := compatJSON(compatWorkflowOf(spec, "wf2/w.yml", nil)); got != x.want {
			t.Errorf("%s:\n got %s\nwant %s", x.name, got, x.want)
		}
	}
}

// TestCompatIDs holds our workflow ids to the keys that CDKTR's clients know: the examples of its own tests.
func TestCompatIDs(t *testing.T) {
	files := map[string]string{}
	keys := map[string]string{"path/example.yml": "path.example", "workflow1.yaml": "workflow1",
		"sub1/workflow2.yml":       "sub1.workflow2",
		"sub1/sub2/workflow3.yaml": "sub1.sub2.workflow3", "myworkflow.draft.yml": "myworkflow.draft", "a.b.yml": "a.b",
		"with space.yml":   "with space",
		"my-workflows.yml": "my-workflows", "workflows.yml": "workflows"}
	for file := range keys {
		files[file] = compatSimple
	}
	c := compatStart(t, files).connect("REQ")
	var listed map[string]compatWorkflow
	if err := json.Unmarshal([]byte(strings.TrimPrefix(compatAsk(t, c, "LSWORKFLOWS"), "SUCCESS\x01")),
		&listed); err != nil || len(listed) != len(keys) {
		t.Fatalf("%d workflows, %v", len(listed), err)
	}
	for file, key := range keys {
		if w := listed[key]; w.ID != key || w.Path != file {
			t.Errorf("%s: listed as %q of %q, want %q", file, w.ID, w.Path, key)
		}
		compatWant(t, c, "RUNTASK\x01"+key, "OK")
	}
	if id, err := workflowID("README"); err == nil {
		t.Errorf("a file without an extension is the workflow %q", id)
	}
}

func TestCompatRecentStatuses(t *testing.T) {
	files := map[string]string{}
	for i := range 12 {
		files[fmt.Sprintf("w%02d.yml", i)] = compatSimple
	}
	w := compatStart(t, files)
	c := w.connect("REQ")
	for i := range 12 {
		w.clock.add(time.Second)
		compatWant(t, c, fmt.Sprintf("RUNTASK\x01w%02d", i), "OK")
	}
	first := w.newest("w11")
	w.clock.add(time.Second)
	compatWant(t, c, "RUNTASK\x01w11", "OK")
	newest := w.newest("w11")
	var rows []compatStatus
	text := strings.TrimPrefix(compatAsk(t, c, "GETRECENTSTATUSES"), "SUCCESS\x01")
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 10 {
		t.Fatalf("%d rows, %v: %s", len(rows), err, text)
	}
	if want := fmt.Sprintf(`[{"workflow_id":"w11","workflow_instance_id":"%s","status":"PENDING","timestamp_ms":%d},`,
		newest, w.clock.now().UnixMilli()); !strings.HasPrefix(text, want) {
		t.Errorf("first row:\n got %s\nwant %s", text, want)
	}
	if rows[1].Workflow != "w10" || rows[9].Workflow != "w02" || first == newest {
		t.Errorf("rows: %s", text)
	}

	at := stampOf(w.clock.now())
	for _, x := range []struct {
		run    Run
		status string
	}{
		{Run{State: runQueued, Queued: at}, compatPending},
		{Run{State: runRunning, Queued: at}, compatPending},
		{Run{State: runRunning, Started: at}, compatRunning},
		{Run{State: runSucceeded, Finished: at}, compatCompleted},
		{Run{State: runSkipped, Finished: at}, compatCompleted},
		{Run{State: runFailed, Finished: at}, compatFailed},
		{Run{State: runCancelled, Finished: at}, compatFailed},
		{Run{State: runCrashed, Finished: at}, compatCrashed},
	} {
		if s := compatStatusOf(&x.run); s.Status != x.status || s.Time != at.UnixMilli() {
			t.Errorf("%s run: %+v, want %s", x.run.State, s, x.status)
		}
	}
}

// TestCompatTooMuch asks for more than a frame holds: the answer says so, and the connection goes on.
func TestCompatTooMuch(t *testing.T) {
	files := map[string]string{}
	for i := range 4 {
		files[fmt.Sprintf("w%d.yml", i)] = "description: " + strings.Repeat("x", 300<<10) + "\ntasks: {a: {cmd: ls}}\n"
	}
	c := wireTestDial(t, compatStart(t, files).serve())
	if got := compatAsk(t, c, "LSWORKFLOWS"); !strings.HasPrefix(got, "SERVERERROR\x01the reply would take 12") {
		t.Errorf("answered %.100q", got)
	}
	compatWant(t, c, "PING", "PONG")
}

// TestCompatStopping sees that a principal that stops says nothing: an error would end an agent of CDKTR.
func TestCompatStopping(t *testing.T) {
	w := compatRequestWorld(t)
	c := w.connect("REQ")
	compatWant(t, c, "PING", "PONG")
	first := w.stop
	w.stop = func() {}
	done := make(chan bool)
	go func() { first(); close(done) }()
	<-w.p.ended
	c.Send([]byte{}, []byte("FETCHWORKFLOW\x01a"))
	if frames, err := c.Recv(); !errors.Is(err, errWireClosed) {
		t.Errorf("answered %q, %v", frames, err)
	}
	<-done
}

func FuzzCompatRequest(f *testing.F) {
	for _, r := range compatRequests {
		f.Add([]byte(r.ask))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		op, args, refusal, ours := compatRequest([][]byte{body})
		if letter := len(body) > 0 && (body[0] >= 'a' && body[0] <= 'z' || body[0] >= 'A' &&
			body[0] <= 'Z'); ours != letter {
			t.Fatalf("%q: taken for the dialect: %v", body, ours)
		}
		if ours && (op == nil) != strings.HasPrefix(refusal, "CLIENTERROR\x01ParseError: ") {
			t.Fatalf("%q: %v, refused %q", body, op, refusal)
		}
		if op != nil && len(args) < len(op.args) {
			t.Fatalf("%q: %d words for %d", body, len(args), len(op.args))
		}
		compatRecordRead(body)
	})
}

// A word of a request has the bound that the same name has in ours; a request with more words than any needs is no
// fault, and is split into a bounded number.
func TestCompatWordsBound(t *testing.T) {
	name := strings.Repeat("n", protoMaxName)
	for body, want := range map[string]string{
		"RUNTASK\x01" + name: "", "RUNTASK\x01" + name + "n": "word 1 has 257 bytes: it may have 256",
		"FETCHWORKFLOW\x01" + strings.Repeat("x", 1<<20):          "word 1 has 1048576 bytes",
		"QUERYLOGS\x01\x01\x01" + name + "\x01n" + name:           "word 4 has 257 bytes",
		"LSWORKFLOWS" + strings.Repeat("\x01", 1<<20):             "",
		"AGENTTASKSTATUS\x01a\x01t" + name + "\x01e\x01w\x01NONE": "word 2 has 257 bytes",
	} {
		op, args, refusal, ours := compatRequest([][]byte{[]byte(body)})
		if !ours || (op == nil) != (want != "") || !strings.Contains(refusal, want) || len(args) > compatMaxWords {
			t.Errorf("%.40q: %d words, refused with %q, want %q", body, len(args), refusal, want)
		}
	}
}
