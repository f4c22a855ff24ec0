// Tests of who gets in: the authorized file, roles, and every verb by every role over a real connection.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

const (
	authTestKey   = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID" // of RFC 26's examples
	authTestOther = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
)

func TestAuthLine(t *testing.T) {
	cases := []struct{ line, want string }{ // want: the line as written back, or ! and what the error says
		{"", ""},
		{"   # edge " + authTestKey + " role=agent", ""},
		{"edge " + authTestKey + " role=agent", "edge " + authTestKey + " role=agent"},
		{"\tedge-07.x@y_z  " + authTestKey + "   role=viewer \r", "edge-07.x@y_z " + authTestKey + " role=viewer"},
		{"ci " + authTestKey + " workflows=etl.*,x role=trigger", "ci " + authTestKey +
			" role=trigger workflows=etl.*,x"},
		{"edge " + authTestKey, "!want NAME KEY role=ROLE"},
		{"edge " + authTestKey[1:] + " role=agent", "!39 characters"},
		{"edge " + strings.Replace(authTestKey, "@", "~", 1) + " role=agent", "!not one of Z85"},
		{"edge " + authTestKey + " role=root", `!role "root"`},
		{"edge " + authTestKey + " role=owner", `!role "owner"`},
		{"edge " + authTestKey + " role=", `!role ""`},
		{"edge " + authTestKey + " role=agent role=operator", "!once each"},
		{"edge " + authTestKey + " role=agent x=1", `!"x=1" is neither`},
		{"edge " + authTestKey + " role=operator workflows=etl", "!would have all of them"},
		{"ci " + authTestKey + " role=trigger", "!needs workflows="},
		{"ci " + authTestKey + " role=trigger workflows=", `!"" is not a pattern`},
		{"ci " + authTestKey + " role=trigger workflows=a,[", `!"[" is not a pattern`},
		{"-x " + authTestKey + " role=agent", `!name "-x"`},
		{"ü " + authTestKey + " role=agent", "!name"},
		{strings.Repeat("x", 65) + " " + authTestKey + " role=agent", "!1 to 64"},
	}
	for _, c := range cases {
		g, err := authParseLine(c.line)
		got := ""
		switch {
		case err != nil:
			got = "!" + err.Error()
		case g != nil:
			got = g.line()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "!") && strings.HasPrefix(got, "!") &&
			strings.Contains(got, c.want[1:])) {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

// TestAuthFile: a bad line is told of with its place and stands alone.
func TestAuthFile(t *testing.T) {
	text := "# who\n\na " + authTestKey + " role=agent\nbad\nb " + authTestKey + " role=viewer\na " + authTestOther +
		" role=viewer\nc " + authTestOther + " role=operator"
	grants, faults := authParse("keys/authorized", []byte(text))
	if len(grants) != 2 || grants[0].Name != "a" || grants[1].Name != "c" {
		t.Errorf("grants: %v", grants)
	}
	want := []string{"keys/authorized:4: want NAME", "keys/authorized:5: the key is on line 3",
		"keys/authorized:6: the name a is on line 3"}
	if len(faults) != len(want) {
		t.Fatalf("faults: %v", faults)
	}
	for i := range want {
		if !strings.HasPrefix(faults[i].Error(), want[i]) {
			t.Errorf("fault %q, want %q", faults[i], want[i])
		}
	}
}

// TestAuthMay is the whole table of roles and verbs, written down by hand: a verb that is added must be added here.
func TestAuthMay(t *testing.T) {
	// verb to those who may, by the first letter of the role: agent, operator, trigger, viewer
	want := map[string]string{
		"ping": "aotv", "help": "aotv", "stop": "aotv", "hello": "a", "run": "ot",
		"backfill": "ot", "batches": "otv", "record": "ot",
		"ls": "otv", "show": "otv", "ps": "otv", "next": "otv", "why": "otv", "logs": "otv", "events": "otv",
		"wait": "otv", "agents": "ov", "pools": "ov", "watch": "otv", "attention": "otv", "stats": "otv", "ack": "o",
		"metrics": "ov",
		"exec":    "o",
		"alarm":   "o",
		"cancel":  "o", "retry": "o", "pause": "o", "resume": "o", "drain": "o", "undrain": "o", "forget": "o",
		"backup": "o", "rescan": "o", "approve": "otv", "reject": "otv", // their tasks say to whom they are
	}
	for i := range protoOps {
		v, got := &protoOps[i], ""
		for _, role := range authRoles {
			if (&authGrant{Role: role}).may(v) {
				got += role[:1]
			}
		}
		if allowed, ok := want[v.Op]; !ok || got != allowed {
			t.Errorf("%s: %q may, want %q", v.Op, got, allowed)
		}
		if !authOwner.may(v) {
			t.Errorf("%s: the owner may not", v.Op)
		}
		if (&authGrant{}).may(v) && v.Role != roleAny {
			t.Errorf("%s: a grant without a role may", v.Op)
		}
	}
}

func TestAuthSees(t *testing.T) {
	g := &authGrant{Role: roleTrigger, Workflows: []string{"etl.*", "x"}}
	for id, want := range map[string]bool{"etl.daily": true, "x": true, "etl": false, "xx": false, "": false,
		"ops": false} {
		if g.sees(id) != want {
			t.Errorf("sees %q: %v", id, !want)
		}
	}
	if all := (&authGrant{Role: roleTrigger, Workflows: []string{"*"}}); !all.sees("ops") || all.sees("") {
		t.Error("* is every workflow, and not what belongs to none")
	}
	if !authOwner.sees("") || !(&authGrant{Role: roleViewer}).sees("ops") {
		t.Error("the other roles see everything")
	}
}

// TestAuthFolder: the keys folder is made once, is nobody else's, and a change of it is seen.
func TestAuthFolder(t *testing.T) {
	state := t.TempDir()
	k, faults, err := authOpen(state)
	if err != nil || len(faults) > 0 || !k.made {
		t.Fatal(k, faults, err)
	}
	for name, mode := range map[string]os.FileMode{"": os.ModeDir | 0o700, authServerKey: 0o600, authServerPub: 0o600} {
		if info, err := os.Stat(filepath.Join(k.dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	again, _, err := authOpen(state)
	if err != nil || again.made || again.pair.Public != k.pair.Public {
		t.Fatalf("opened again: %v, %v", again, err)
	}
	file := filepath.Join(k.dir, authFile)
	authTestWrite(t, file, "a "+authTestKey+" role=agent\n")
	if gone, _, err := k.load(); err != nil || len(gone) > 0 || k.lookup(authTestKey) == nil {
		t.Fatalf("after a line: %v, %v", gone, err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.load(); err == nil || k.lookup(authTestKey) == nil {
		t.Errorf("a file that all can write: %v", err)
	}
	if err := errors.Join(os.Chmod(file, 0o600), os.Chmod(filepath.Join(k.dir, authServerKey), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := authOpen(state); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret that all can read: %v", err)
	}
}

// TestAuthWatch: lines that change are told of, whether the file is replaced, written in place or removed.
func TestAuthWatch(t *testing.T) {
	k, _, err := authOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(k.dir, authFile)
	line := "a " + authTestKey + " role="
	authTestWrite(t, file, line+"agent\n")
	if _, _, err := k.load(); err != nil {
		t.Fatal(err)
	}
	gone, faults := make(chan string, 9), make(chan error, 9)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.runAuthWatch(ctx, func(g *authGrant) { gone <- g.Name + " " + g.Role }, func(err error) { faults <- err })
	}()
	steps := []struct {
		change func() error
		want   string
	}{
		{func() error { return authTestReplace(k.dir, line+"viewer\n") }, "a agent"},
		{func() error { return os.WriteFile(file, []byte(line+"operator\n"), 0o600) }, "a viewer"},
		{func() error { return os.Remove(file) }, "a operator"},
	}
	for _, step := range steps {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		if got := authTestNext(t, gone); got != step.want {
			t.Errorf("gone: %q, want %q", got, step.want)
		}
	}
	authTestWrite(t, file, "nonsense\n")
	if err := authTestNext(t, faults); !strings.Contains(err.Error(), "authorized:1: ") {
		t.Errorf("fault: %v", err)
	}
	cancel()
	<-ended
}

// TestAuthCredential: what is written is read back, and what is wrong is told without the secret.
func TestAuthCredential(t *testing.T) {
	pair, err := authNewPair()
	if err != nil {
		t.Fatal(err)
	}
	c := &credential{Endpoint: "tcp://hub:5561", Name: "ci", Role: roleTrigger, Workflows: "etl.*", Server: pair.Public,
		Pair: pair}
	file := filepath.Join(t.TempDir(), "ci.cred")
	authTestWrite(t, file, c.text())
	back, err := credentialRead(t.Context(), nil, file)
	if err != nil || back.text() != c.text() {
		t.Fatalf("%v\n%s", err, c.text())
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := credentialRead(t.Context(), nil, file); err == nil ||
		!strings.Contains(err.Error(), "others can read") {
		t.Errorf("a file that others can read: %v", err)
	}
	secret := pair.Secret.Text()
	for _, bad := range []struct{ old, new, want string }{
		{"server-key", "serverkey", "has no server-key"},
		{secret, secret[1:], "secret-key: key has 39"},
		{pair.Public.String() + "\"\n    secret", authTestKey + "\"\n    secret", "not of one pair"},
		{"\"tcp", "tcp", ":4: want NAME"},
	} {
		_, err := credentialParse("f", strings.Replace(c.text(), bad.old, bad.new, 1))
		if err == nil || !strings.Contains(err.Error(), bad.want) || strings.Contains(err.Error(), secret[2:20]) {
			t.Errorf("%s: %v", bad.want, err)
		}
	}
}

// authTestReplace puts another authorized file in the place of the one in a keys folder.
func authTestReplace(dir, text string) error {
	d, err := authDirOpen(dir, false)
	if err != nil {
		return err
	}
	defer d.close()
	return d.write(authFile, text)
}

func authTestWrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authTestNext waits for what must come.
func authTestNext[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(harness.Patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// authTestHub is a principal with a tcp:// address, two workflows, and a credential of each role.
type authTestHub struct {
	*e2e
	harness.Hub
}

func authTestHubNew(t *testing.T, flags ...string) *authTestHub {
	t.Helper()
	x := e2eNew(t)
	x.File("etl.yml", "tasks:\n  a:\n    run: echo of etl\n")
	x.File("ops.yml", "tasks:\n  a:\n    run: echo of ops; while [ -e $DIR/hold ]; do sleep 0.05; done\n")
	return &authTestHub{x, x.OpenHub(flags...)}
}

// dial connects with a credential.
func (h *authTestHub) dial(name string) (wireConn, error) {
	cred, err := credentialRead(context.Background(), nil, h.Creds[name])
	if err != nil {
		return nil, err
	}
	return wireDial(context.Background(), cred.Endpoint, wireOptions{CurveClient: &curveClient{Pair: cred.Pair,
		Server: cred.Server}})
}

// conn is dial that must work.
func (h *authTestHub) conn(name string) wireConn {
	h.T.Helper()
	conn, err := h.dial(name)
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(func() { conn.Close() })
	return conn
}

// say sends any JSON and reads one answer.
func authTestSay(t *testing.T, conn wireConn, v any) *Reply {
	t.Helper()
	if err := conn.Send([]byte{}, protoEncode(v)); err != nil {
		t.Fatal(err)
	}
	frames, err := conn.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return harness.Decode[Reply](t, string(frames[len(frames)-1]))
}

// TestAuthMatrix asks every verb with every role over the wire, and wants exactly the answer that it deserves.
func TestAuthMatrix(t *testing.T) {
	h := authTestHubNew(t, "--with-agent")
	etl, ops := h.run("etl").ID, h.run("ops").ID
	h.Authorize("ed", roleAgent)
	h.Authorize("op", roleOperator)
	h.Authorize("ci", roleTrigger, "--workflows", "etl*")
	h.Authorize("vi", roleViewer)
	no := codeNotAllowed
	rows := []struct {
		req            Request
		ed, op, ci, vi string // code of the answer, "" for a good one
	}{
		{Request{Op: "ping"}, "", "", "", ""},
		{Request{Op: "help"}, "", "", "", ""},
		{Request{Op: "ls"}, no, "", "", ""},
		{Request{Op: "show", Workflow: "etl"}, no, "", "", ""},
		{Request{Op: "show", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "show", Workflow: "gone"}, no, codeNotFound, no, codeNotFound},
		{Request{Op: "show", Run: etl}, no, "", "", ""},
		{Request{Op: "show", Run: ops}, no, "", no, ""},
		{Request{Op: "show", Workflow: "etl", Run: ops}, no, "", no, ""},
		{Request{Op: "ps"}, no, "", "", ""},
		{Request{Op: "ps", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "next"}, no, "", "", ""},
		{Request{Op: "next", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "why", Workflow: "etl"}, no, "", "", ""},
		{Request{Op: "why", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "logs", Run: etl}, no, "", "", ""},
		{Request{Op: "logs", Run: ops}, no, "", no, ""},
		{Request{Op: "logs", Run: ops, Follow: true}, no, "", no, ""},
		{Request{Op: "logs", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "events"}, no, "", "", ""},
		{Request{Op: "agents"}, no, "", no, ""},
		{Request{Op: "pools"}, no, "", no, ""},
		{Request{Op: "watch"}, no, "", "", ""},
		{Request{Op: "stop", Of: "x"}, "", "", "", ""},
		{Request{Op: "attention"}, no, "", "", ""},
		{Request{Op: "stats", Workflow: "etl"}, no, "", "", ""},
		{Request{Op: "stats", Workflow: "ops"}, no, "", no, ""},
		{Request{Op: "metrics"}, no, "", no, ""},
		{Request{Op: "ack", Key: "agent:none"}, no, codeNotFound, no, no},
		{Request{Op: "alarm"}, no, codeConflict, no, no},
		{Request{Op: "wait", Run: etl}, no, "", "", ""},
		{Request{Op: "wait", Run: ops}, no, "", no, ""},
		{Request{Op: "run", Workflow: "etl", Key: "k"}, no, "", "", no},
		{Request{Op: "run", Workflow: "ops", Key: "o"}, no, "", no, no},
		// others have that key too, for another workflow
		{Request{Op: "run", Workflow: "etl", Key: "o"}, no, "", "", no},
		{Request{Op: "backfill", Workflow: "etl"}, no, codeConflict, codeConflict, no},
		{Request{Op: "backfill", Workflow: "ops"}, no, codeConflict, no, no},
		{Request{Op: "record", Workflow: "etl"}, no, codeInvalid, codeInvalid, no},
		{Request{Op: "record", Workflow: "ops"}, no, codeInvalid, no, no},
		{Request{Op: "record", Workflow: "etl", Force: true}, no, codeNotFound, no, no},
		{Request{Op: "record", Workflow: "etl", Record: &WrapRecord{Command: "x", State: runSucceeded,
			Ended: stampOf(time.Now())}}, no, codeConflict, codeConflict, no}, // nobody may pretend that it ran
		{Request{Op: "batches"}, no, "", "", ""},
		{Request{Op: "batches", Batch: "B1"}, no, codeNotFound, codeNotFound, codeNotFound},
		{Request{Op: "exec", Args: []string{"true"}}, no, "", no, no},
		{Request{Op: "cancel", Run: etl}, no, codeConflict, no, no},
		{Request{Op: "cancel", Batch: "B1"}, no, codeNotFound, no, no},
		{Request{Op: "retry", Run: etl}, no, codeConflict, no, no},
		// its tasks say to whom they are
		{Request{Op: "approve", Run: etl}, no, codeConflict, codeConflict, codeConflict},
		{Request{Op: "reject", Run: ops}, no, codeConflict, no, codeConflict},
		{Request{Op: "pause", Workflow: "etl"}, no, "", no, no},
		{Request{Op: "resume", Workflow: "etl"}, no, "", no, no},
		{Request{Op: "pause", All: true}, no, "", no, no},
		{Request{Op: "resume", All: true}, no, "", no, no},
		{Request{Op: "drain", Agent: "one"}, no, "", no, no},
		{Request{Op: "undrain", Agent: "one"}, no, "", no, no},
		{Request{Op: "forget", Agent: "one"}, no, codeConflict, no, no},
		{Request{Op: "backup"}, no, "", no, no},
		{Request{Op: "rescan"}, no, "", no, no},
		{Request{Op: "gone"}, codeUnknownOp, codeUnknownOp, codeUnknownOp, codeUnknownOp},
	}
	asked := map[string]bool{"hello": true} // below
	for _, row := range rows {
		asked[row.req.Op] = true
		// The operator goes first: the run under the key o is its own.
		for i, want := range []string{row.op, row.ed, row.ci, row.vi} {
			name := []string{"op", "ed", "ci", "vi"}[i]
			row.req.V, row.req.ID = protoVersion, "x"
			r := authTestSay(t, h.conn(name), row.req)
			code := ""
			if r.Error != nil {
				code = r.Error.Code
			}
			if code != want || r.ID != "x" || r.OK != (want == "") {
				t.Errorf("%s asks %s: %q, want %q: %+v", name, protoEncode(row.req), code, want, r.Error)
			}
		}
	}
	for _, v := range protoOps {
		if !asked[v.Op] {
			t.Errorf("%s was not asked", v.Op)
		}
	}
	for name, want := range map[string]string{"ed": msgWelcome, "op": msgRefused, "ci": msgRefused, "vi": msgRefused} {
		conn := h.conn(name)
		if err := conn.Send(protoEncode(protoTestHello(name, "e"))); err != nil {
			t.Fatal(err)
		}
		frames, err := conn.Recv()
		if err != nil {
			t.Fatal(err)
		}
		m := harness.Decode[agentMsg](t, string(frames[len(frames)-1]))
		if m.Op != want || want == msgRefused && (m.Error == nil || m.Error.Code != codeNotAllowed) {
			t.Errorf("hello of %s: %s", name, frames)
		}
	}
}

// TestAuthTrigger: what a trigger key is told of is its own workflows only, in lists, in events and in near misses.
func TestAuthTrigger(t *testing.T) {
	h := authTestHubNew(t, "--with-agent")
	h.run("ops")
	h.Authorize("ci", roleTrigger, "--workflows", "etl*")
	cred := []string{"--credential", h.Creds["ci"]}
	mine := strings.TrimSpace(h.OK(append([]string{"run", "etl", "--wait"}, cred...)...))
	for _, args := range [][]string{{"ls", "--json"}, {"ps", "--all", "--json"}, {"events"}, {"next", "--json"}} {
		out := h.OK(append(args, cred...)...)
		if strings.Contains(out, "ops") || args[0] == "events" && (strings.Contains(out, "agent.") ||
			!strings.Contains(out, mine)) {
			t.Errorf("%v: %s", args, out)
		}
	}
	h.Refused(exitNotAllowed, []string{"for the workflows etl* only"}, append([]string{"logs", "ops"}, cred...)...)
	h.Refused(exitNotAllowed, []string{"etl* only"}, append([]string{"run", "ops", "--detach"}, cred...)...)
	h.Refused(exitNotAllowed, []string{"role trigger"}, append([]string{"cancel", mine}, cred...)...)
	if r := h.Code(exitRefused, append([]string{"show", "etlops"}, cred...)...); strings.Contains(r.Err, `"ops"`) {
		t.Errorf("a near miss tells: %s", r.Err)
	}
	if out := h.OK("logs", "etl", "--credential", h.Creds["ci"]); out != "of etl\n" {
		t.Errorf("logs: %q", out)
	}
	// The trail names the key and where it came from.
	for _, e := range harness.Lines[Event](t, h.OK("events")) {
		if e.Kind == evQueued && e.Run == mine && (e.By != "ci" || !strings.HasPrefix(e.From, "tcp://127.0.0.1:")) {
			t.Errorf("by %q from %q", e.By, e.From)
		}
	}
}

// TestAuthAgent: an agent's key is that agent. It cannot take another's name, nor report on another's run.
func TestAuthAgent(t *testing.T) {
	h := authTestHubNew(t, "--with-agent")
	authTestWrite(t, h.Dir+"/hold", "")
	run := h.Start("ops")
	h.Until("the run is on", func() bool {
		r := h.show(run)
		return r != nil && len(r.Tasks) == 1 &&
			r.Tasks[0].State == taskRunning
	})
	h.Authorize("ed", roleAgent)
	conn := h.conn("ed")
	hear := func(conn wireConn, want string) *agentMsg {
		t.Helper()
		for {
			frames, err := conn.Recv()
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if m := harness.Decode[agentMsg](t, string(frames[0])); m.Op == want {
				return m
			}
		}
	}
	say := func(conn wireConn, m agentMsg) {
		t.Helper()
		m.V = protoVersion
		if err := conn.Send(protoEncode(m)); err != nil {
			t.Fatal(err)
		}
	}
	other := h.conn("ed")
	say(other, protoTestHello("one", "e"))
	if m := hear(other, msgRefused); !strings.Contains(m.Reason, `this key is agent "ed", not "one"`) {
		t.Errorf("another's name: %s", m.Reason)
	}
	hello := protoTestHello("ed", "e")
	hello.Holds, hello.Labels = []heldRun{{run, 1}}, map[string]string{"x": "y"}
	say(conn, hello)
	hear(conn, msgWelcome)
	if m := hear(conn, msgCancel); m.Run != run || !m.Drop {
		t.Errorf("it says it holds another's run: %+v", m)
	}
	now := stampOf(time.Now())
	forged := []agentItem{
		{Lines: []LogLine{{Time: now, Run: run, N: 99, Task: "a", Attempt: 1, Stream: "o", Text: "forged"}}},
		{Event: &Event{Time: now, Kind: evTaskFinished, Run: run, Task: "a", State: taskSucceeded, Lease: 1,
			Agent: "one"}},
		{Event: &Event{Time: now, Kind: evRunFinished, Run: run, State: runSucceeded, Lease: 1, Agent: "one",
			By: "forger"}},
		{Event: &Event{Time: now, Kind: evPaused, By: "forger"}},
		{Event: &Event{Time: now, Kind: evQueued, Run: run[:25] + "Z", Workflow: "ops", Version: "x"}},
	}
	say(conn, agentMsg{Op: msgReport, N: 1, Items: forged})
	say(conn, agentMsg{Op: msgHeartbeat, Clock: now}) // what is said in order is answered in order
	hear(conn, msgHeartbeat)
	// of the second it counts
	h.Daemon.Saw(&h.Daemon.Err, "an event that is not an agent's.* event=workflow.paused")
	if r := h.show(run); r.State != runRunning || r.Tasks[0].State != taskRunning {
		t.Errorf("after forged reports: %s, %s", r.State, r.Tasks[0].State)
	}
	if out := h.OK("logs", run); out != "of ops\n" {
		t.Errorf("logs: %q", out)
	}
	if out := h.OK("events"); strings.Contains(out, `"forger"`) {
		t.Errorf("events: %s", out)
	}
	if err := os.Remove(h.Dir + "/hold"); err != nil {
		t.Fatal(err)
	}
	if r := h.await(run); r.State != runSucceeded || r.Agent != "one" {
		t.Errorf("the run: %+v", r)
	}
}

// TestAuthCut: a removed line ends what is connected with its key, and a changed one too.
func TestAuthCut(t *testing.T) {
	h := authTestHubNew(t)
	h.Authorize("ed", roleAgent)
	h.Authorize("vi", roleViewer)
	agent := h.Spawn("start", "agent", "--credential", h.Creds["ed"], "--state", h.Dir+"/a", "--name", "ed")
	agent.Saw(&agent.Err, "connected to the principal")
	h.Until("the principal knows where the agent is and how busy", func() bool {
		text := h.OK("agents", "--json")
		return strings.Contains(text, `"address":"127.0.0.1:`) && strings.Contains(text, `"load":`)
	})
	viewer, stays := h.conn("vi"), h.conn("ed")
	h.OK("authorize", "--remove", "ed")
	if _, err := stays.Recv(); err == nil {
		t.Error("the agent's other connection says something")
	}
	agent.Saw(&agent.Err, "does not know our key")
	h.Daemon.Saw(&h.Daemon.Err, "removed or changed.*name=ed.*connections_cut=[23]")
	h.Refused(exitNotAllowed, []string{"authorize it there", "hint: ", "cdktr authorize"}, "ping", "--credential",
		h.Creds["ed"])
	if r := authTestSay(t, viewer, Request{V: 1, ID: "1", Op: "ls"}); !r.OK {
		t.Errorf("the viewer: %+v", r.Error)
	}
	file := h.Dir + "/state/keys/authorized"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	authTestWrite(t, file, strings.Replace(string(text), "role=viewer", "role=operator", 1)+"\nrubbish\n")
	if _, err := viewer.Recv(); err == nil {
		t.Error("the viewer is not cut when its role changes")
	}
	h.Daemon.Saw(&h.Daemon.Err, regexp.QuoteMeta(file)+`:\d+: want NAME KEY`)
	h.Until("the new role", func() bool { return h.Cdktr("pause", "etl", "--credential", h.Creds["vi"]).Code == 0 })
}

// TestAuthUnknown: keys that do not fit, on either side, and what the exit codes say.
func TestAuthUnknown(t *testing.T) {
	h := authTestHubNew(t)
	file := h.Authorize("vi", roleViewer)
	cred, err := credentialRead(t.Context(), nil, file)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := authNewPair()
	if err != nil {
		t.Fatal(err)
	}
	unknown, wrong := *cred, *cred
	unknown.Pair, wrong.Server = stranger, stranger.Public
	authTestWrite(t, h.Dir+"/unknown", unknown.text())
	authTestWrite(t, h.Dir+"/wrong", wrong.text())
	h.Refused(exitNotAllowed, []string{"does not know our key", stranger.Public.String()}, "ping", "--credential",
		h.Dir+"/unknown")
	h.Daemon.Saw(&h.Daemon.Err, "connection refused.*"+regexp.QuoteMeta(stranger.Public.String()))
	h.Refused(exitUnreachable, []string{"HELLO does not open", "hint: the credential is for another principal"}, "ping",
		"--credential", h.Dir+"/wrong")
	h.Refused(exitUnreachable, []string{"nothing listens there"}, "ping", "--credential", file, "--principal",
		"tcp://127.0.0.1:1")
	h.Refused(exitUsage, []string{"--credential FILE"}, "ping", "--principal", h.Endpoint)
	h.Refused(exitUsage, []string{"no such file"}, "ping", "--credential", h.Dir+"/none")
	h.Refused(exitUnreachable, []string{"wants keys"}, "ping", "--principal", h.Endpoint, "--insecure")
	h.Refused(exitNotAllowed, []string{"role viewer", "pause"}, "pause", "etl", "--credential", file)
	h.OK("ping", "--credential", file, "--principal", h.Endpoint)
	h.Env = append(h.Env, "CDKTR_CREDENTIAL="+file, "CDKTR_PRINCIPAL_HOST=127.0.0.1",
		"CDKTR_PRINCIPAL_PORT="+h.Endpoint[strings.LastIndex(h.Endpoint, ":")+1:])
	if out := h.OK("ping"); !strings.Contains(out, h.Endpoint) {
		t.Errorf("ping: %s", out)
	}
}

// TestAuthVerbs: keygen and authorize on a state folder that no principal has seen.
func TestAuthVerbs(t *testing.T) {
	x := e2eNew(t)
	x.Refused(exitRefused, []string{"is not there", "hint: "}, "keygen", "--show-server")
	x.Refused(exitRefused, []string{"is not there", "hint: "}, "authorize", "--new", "ci", "--role", "viewer",
		"--endpoint", "tcp://hub:1")
	if err := os.Mkdir(x.Dir+"/state", 0o700); err != nil {
		t.Fatal(err)
	}
	x.Refused(exitRefused, []string{"no principal with a tcp:// address", "hint: "}, "keygen", "--show-server")
	x.OK("authorize", "ci", authTestKey, "--role", "trigger", "--workflows", "etl.*,x")
	x.Refused(exitRefused, []string{"ci is authorized already"}, "authorize", "ci", authTestOther, "--role", "viewer")
	x.Refused(exitRefused, []string{"authorized already, as ci"}, "authorize", "cj", authTestKey, "--role", "viewer")
	x.Refused(exitUsage, []string{"role \"root\""}, "authorize", "cj", authTestOther, "--role", "root")
	x.Refused(exitUsage, []string{"say with --role"}, "authorize", "cj", authTestOther)
	x.Refused(exitUsage, []string{"hint: "}, "authorize", "cj", "--role", "viewer")
	x.Refused(exitUsage, []string{"needs workflows="}, "authorize", "--new", "cj", "--role", "trigger")
	x.Refused(exitUsage, []string{"as the other box can reach it"}, "authorize", "--new", "cj", "--role", "viewer",
		"--endpoint", "tcp://*:5561")
	authTestWrite(t, x.Dir+"/there", "")
	x.Refused(exitRefused, []string{"is there already", "no principal has keys in " + x.Dir}, "authorize", "--new",
		"cj", "--role", "viewer", "-o", x.Dir+"/there")
	r := x.Code(0, "authorize", "--new", "op", "--role", "operator", "--endpoint", "tcp://hub:5561")
	if strings.Contains(r.Err, "no principal") {
		t.Errorf("the second time in a folder: %s", r.Err)
	}
	cred, err := credentialParse("out", r.Out)
	if err != nil || cred.Name != "op" || cred.Endpoint != "tcp://hub:5561" {
		t.Fatalf("%v\n%s", err, r.Out)
	}
	if got := strings.TrimSpace(x.OK("keygen", "--show-server")); got != cred.Server.String() {
		t.Errorf("server key %s, in the credential %s", got, cred.Server)
	}
	list := harness.Lines[authGrant](t, x.OK("authorize", "--list", "--json"))
	if len(list) != 2 || list[0].Name != "ci" || !slices.Equal(list[0].Workflows, []string{"etl.*", "x"}) ||
		list[1].Key != cred.Pair.Public.String() {
		t.Errorf("list: %+v", list)
	}
	x.Refused(exitRefused, []string{`no key of "nobody"`}, "authorize", "--remove", "nobody")
	x.OK("authorize", "--remove", "ci")
	if out := x.OK("authorize", "--list"); strings.Contains(out, "ci ") || !strings.Contains(out, "op ") {
		t.Errorf("list: %s", out)
	}
	public := strings.TrimSpace(x.OK("keygen", "-o", x.Dir+"/pair"))
	info, err := os.Stat(x.Dir + "/pair")
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("pair: %v, %v", info, err)
	}
	x.OK("authorize", "laptop", public, "--role", "viewer")
	pair := harness.Decode[map[string]string](t, x.OK("keygen", "--json"))
	if p, err := curvePairParse((*pair)["secret"]); err != nil || p.Public.String() != (*pair)["public"] {
		t.Errorf("pair: %v, %v", pair, err)
	}
}

// TestAuthInsecure: without keys only on loopback, unless any is said; and a warning each time.
func TestAuthInsecure(t *testing.T) {
	x := e2eNew(t)
	x.File("etl.yml", "tasks:\n  a:\n    run: echo hi\n")
	x.Refused(exitUsage, []string{"no loopback address", "--insecure=any"}, "start", "principal", "--bind",
		"tcp://0.0.0.0:0", "--insecure")
	x.Refused(exitUsage, []string{"no loopback address", "--insecure=any", "--credential"}, "ping", "--principal",
		"tcp://192.0.2.1:9", "--insecure")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	x.Refused(exitRefused, []string{"another program listens there"}, "start", "principal", "--bind",
		"tcp://"+taken.Addr().String(), "--insecure")
	x.Refused(exitUsage, []string{"insecure"}, "start", "principal", "--bind", "tcp://127.0.0.1:0", "--insecure=maybe")
	x.Refused(exitUsage, []string{"write tcp://ADDR:PORT"}, "start", "principal", "--bind", "ipc:///x")
	x.Refused(exitUsage, []string{"write a path"}, "start", "principal", "--socket", "tcp://127.0.0.1:5561")
	for _, flag := range []string{"--insecure", "--insecure=any"} {
		bind := map[string]string{"--insecure": "tcp://127.0.0.1:0", "--insecure=any": "tcp://0.0.0.0:0"}[flag]
		p := x.Principal("--bind", bind, flag)
		p.Saw(&p.Err, "level=WARN msg=.INSECURE")
		port := p.Saw(&p.Err, `tcp://\S+:([1-9]\d*)"? state=`)[1]
		x.OK("ls", "--principal", "tcp://127.0.0.1:"+port, "--insecure")
		x.Refused(exitUsage, []string{"needs a key"}, "ls", "--principal", "tcp://127.0.0.1:"+port)
		p.Stop()
		if _, err := os.Stat(x.Dir + "/state/keys/server.key"); err == nil {
			t.Error("keys were made that nobody uses")
		}
	}
}

// TestAuthSocketGroup: the mode and the group of the socket, and who is a member. As root it sends a member and a
// stranger.
func TestAuthSocketGroup(t *testing.T) {
	x := e2eNew(t)
	x.Refused(exitUsage, []string{"no group"}, "start", "principal", "--socket-group", "no-such-group")
	gid := uint32(os.Getegid())
	if os.Geteuid() == 0 {
		gid = 65534
		x.Bin = harness.Plain(t, x.Dir) // others can reach it
		if err := os.Chmod(x.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket := x.Dir + "/run/s" // in a folder that is not there yet
	x.Env = append(x.Env, "CDKTR_SOCKET="+socket)
	x.Principal("--socket-group", fmt.Sprint(gid))
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("its folder: %v, %v", info, err)
	}
	x.OK("ping")
	if os.Geteuid() == 0 {
		for uid, want := range map[uint32]int{gid: exitOK, 12345: exitNotAllowed} {
			x.UID = uid // and a group of the same number
			if p := x.Spawn("ping"); p.Wait() != want {
				t.Errorf("uid %d: exit code %d, want %d: %s", uid, p.Code, want, p.Err.String())
			}
		}
	}
	me := wirePeer{HasCred: true, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: int32(os.Getpid())}
	if err := serveMember(me, me.GID, "mine"); err != nil {
		t.Errorf("our own group: %v", err)
	}
	if err := serveMember(me, 4_000_000, "theirs"); err == nil || !strings.Contains(err.Error(),
		"not in group theirs") {
		t.Errorf("another group: %v", err)
	}
	if err := serveMember(wirePeer{}, 0, "root"); err == nil {
		t.Error("somebody unknown is in")
	}
}

// TestAuthOneWay: SUB and PUSH peers by role, on connections in memory.
func TestAuthOneWay(t *testing.T) {
	k, _, err := authOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	var text strings.Builder
	for _, role := range authRoles {
		pair, err := authNewPair()
		if err != nil {
			t.Fatal(err)
		}
		g := authGrant{Name: role, Key: pair.Public.String(), Role: role}
		if role == roleTrigger {
			g.Workflows = []string{"etl"}
		}
		keys[role] = g.Key
		text.WriteString(g.line() + "\n")
	}
	authTestWrite(t, filepath.Join(k.dir, authFile), text.String())
	if _, _, err := k.load(); err != nil {
		t.Fatal(err)
	}
	p, err := principalOpen(principalConfig{dialect: compatNew, StateDir: t.TempDir(), NoSync: true, NoScheduler: true,
		Zone: time.UTC,
		Log:  slog.New(slog.DiscardHandler), Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"etl", "ops"} {
		w, faults := workflowParse(id+".yml", id, []byte("tasks:\n  a:\n    run: echo hi\n"))
		if w == nil {
			t.Fatal(faults)
		}
		p.setFiles([]workflowFile{{ID: id, File: id + ".yml", Spec: w}}, nil)
	}
	h := newHost(p)
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	connect := func(socket, key string) wireConn {
		ours, theirs := wirePipe()
		peer := &theirs.(*wireMem).peer
		peer.Socket, peer.Key, peer.HasCred = socket, key, false
		h.group.Go(func() { p.runPeer(theirs) })
		t.Cleanup(func() { ours.Close() })
		return ours
	}
	for _, role := range []string{roleAgent, ""} {
		key := keys[role]
		if role == "" {
			key = authTestKey // which nobody has authorized
		}
		for _, socket := range []string{"SUB", "PUSH", "DEALER"} {
			if role == roleAgent && socket == "DEALER" {
				continue
			}
			conn := connect(socket, key)
			if _, err := conn.Recv(); err == nil {
				t.Errorf("%s by %q is let in", socket, role)
			}
		}
	}
	if _, err := connect("PUSH", keys[roleViewer]).Recv(); err == nil {
		t.Error("a viewer may push")
	}
	var subs []wireConn
	for _, role := range []string{roleOperator, roleViewer, roleTrigger} {
		sub := connect("SUB", keys[role])
		if err := sub.Send([]byte("\x01event.")); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	subscribed := func() (n int) {
		done := make(chan struct{})
		p.call(func() {
			for s := range p.followers.subscribers {
				n += len(s.topics)
			}
			close(done)
		})
		<-done
		return n
	}
	for deadline := time.Now().Add(harness.Patience); subscribed() < len(subs); {
		if time.Now().After(deadline) {
			t.Fatal("the subscriptions do not arrive")
		}
		<-time.After(time.Millisecond)
	}
	push := connect("PUSH", keys[roleTrigger])
	for _, workflow := range []string{"ops", "etl"} {
		if err := push.Send(protoEncode(map[string]string{"workflow": workflow})); err != nil {
			t.Fatal(err)
		}
	}
	if err := connect("PUSH", keys[roleOperator]).Send(protoEncode(map[string]string{"workflow": "ops"})); err != nil {
		t.Fatal(err)
	}
	hear := func(sub wireConn) string {
		frames, err := sub.Recv()
		if err != nil {
			t.Fatal(err)
		}
		e := harness.Decode[Event](t, string(frames[1]))
		return e.Kind + " " + e.Workflow + " by " + e.By
	}
	for i, sub := range subs[:2] { // both runs, in whichever order; the trigger's ops was refused
		got := []string{hear(sub), hear(sub)}
		slices.Sort(got)
		if len(got) != 2 || got[0] != "run.queued etl by anyone" || got[1] != "run.queued ops by anyone" {
			t.Errorf("subscriber %d: %q", i, got)
		}
	}
	if got := hear(subs[2]); got != "run.queued etl by anyone" {
		t.Errorf("the trigger hears %q", got)
	}
	if err := connect("PUSH", keys[roleTrigger]).Send(protoEncode(map[string]string{"workflow": "etl"})); err != nil {
		t.Fatal(err)
	}
	if got := hear(subs[2]); got != "run.queued etl by anyone" { // and nothing of ops in between
		t.Errorf("the trigger hears %q", got)
	}
}
