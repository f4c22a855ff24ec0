// Tests of CDKTR's agents: one in Go that does what the Rust one does, request by request, and one in Python over
// libzmq. Whole runs, failures, silence, restarts of either side, and words that fit nothing.

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// compatAgent is an agent as CDKTR has them: a REQ connection for requests, a PUSH connection for output.
type compatAgent struct {
	w         *compatWorld
	name      string
	req, push wireConn
}

func (w *compatWorld) agent(name string) *compatAgent {
	a := &compatAgent{w, name, w.connect("REQ"), w.connect("PUSH")}
	a.ok("REGISTERAGENT", name)
	return a
}

// ok asks, and fails the test when the answer is not OK.
func (a *compatAgent) ok(words ...string) {
	a.w.t.Helper()
	compatWant(a.w.t, a.req, strings.Join(words, "\x01"), "OK")
}

// fetch gives the workflow that the agent is given, "" when it is none.
func (a *compatAgent) fetch() string {
	a.w.t.Helper()
	reply := compatAsk(a.w.t, a.req, "FETCHWORKFLOW\x01"+a.name)
	if reply == "OK" {
		return ""
	}
	text, ok := strings.CutPrefix(reply, "SUCCESS\x01")
	if !ok {
		a.w.t.Fatalf("fetch: %q", reply)
	}
	return text
}

func (a *compatAgent) flow(workflow, id, status string) {
	a.w.t.Helper()
	a.ok("AGENTWORKFLOWSTATUS", a.name, workflow, id, status)
}

// task tells of a task; its instance id is TASK-of-ID.
func (a *compatAgent) task(task, id, status string) {
	a.w.t.Helper()
	a.ok("AGENTTASKSTATUS", a.name, task, task+"-of-"+id, id, status)
}

// say pushes a line of output, and sees it taken.
func (a *compatAgent) say(workflow, id, task, level, line string) {
	a.w.t.Helper()
	record := fmt.Sprintf("%s\x01some name\x01%s\x01Task %s\x01%s-of-%s\x01%d\x01%s\x01%s", workflow, id, task, task,
		id, a.w.clock.now().UnixMilli(), level, line)
	a.w.push(a.push, record)
}

// push sends what a PUSH peer sends. When it returns, the principal has dealt with it.
func (w *compatWorld) push(c wireConn, bodies ...string) {
	w.t.Helper()
	for _, body := range bodies {
		if err := c.Send([]byte(body)); err != nil {
			w.t.Fatal(err)
		}
	}
	const kind = "trigger refused"
	mark := fmt.Sprintf("mark %p %d", c, len(w.logged())) // what cannot be a trigger is logged, and comes after
	for begun := time.Now(); !strings.Contains(w.logged(), mark); {
		w.p.notes.tell(kind) // the next one is logged again
		if err := c.Send([]byte(`{"op":"` + mark + `"}`)); err != nil {
			w.t.Fatal(err)
		}
		for noted := false; !noted && !strings.Contains(w.logged(), mark); {
			if time.Since(begun) > time.Minute {
				w.t.Fatalf("the mark does not arrive:\n%s", w.logged())
			}
			w.on(func(p *principal) {
				p.notes.mu.Lock()
				defer p.notes.mu.Unlock()
				noted = p.notes.kinds[kind] != nil
			})
		}
	}
}

// output gives what is stored of a run: stream, task and text of each line.
func (w *compatWorld) output(run string) string {
	w.t.Helper()
	r := w.run(run)
	var b strings.Builder
	last := int64(0)
	if r.LogDay != "" {
		if _, err := w.p.logs.read(r.Workflow, run, logPlaceOf(r), logFilter{}, func(l LogLine) error {
			if l.N != last+1 {
				w.t.Errorf("line %d follows line %d", l.N, last)
			}
			last = l.N
			fmt.Fprintf(&b, "%s %s %s\n", l.Stream, l.Task, l.raw())
			return nil
		}); err != nil {
			w.t.Error(err)
		}
	}
	return b.String()
}

// stands says how a run and its tasks stand.
func (w *compatWorld) stands(run string) string {
	w.t.Helper()
	r := w.run(run)
	text := r.State
	for _, t := range r.Tasks {
		text += " " + t.Task + ":" + t.State
	}
	return text
}

func (w *compatWorld) wantStands(run, want string) {
	w.t.Helper()
	if got := w.stands(run); got != want {
		w.t.Errorf("run: %q, want %q (%s)", got, want, w.run(run).Reason)
	}
}

// compatChain is a workflow with a fan, a failover and names that are not the ids.
const compatChain = "name: The chain\ntasks:\n  a: {name: Task a, cmd: echo, args: [a]}\n  b: {name: Task b, cmd: " +
	"echo, depends: [a]}\n  c: {name: Task c, run: 'exit 3', depends: [a]}\n"

func compatChainWorld(t *testing.T) *compatWorld {
	return compatStart(t, map[string]string{"chain.yml": compatChain, "again.yml": "retries: 0\nfailover: rerun\n" +
		strings.TrimPrefix(compatChain, "name: The chain\n")})
}

// begin queues a run of a workflow and has the agent fetch it.
func (a *compatAgent) begin(workflow string) (run string) {
	a.w.t.Helper()
	a.ok("RUNTASK", workflow)
	run = a.w.newest(workflow)
	if a.fetch() == "" {
		a.w.t.Fatal("nothing to fetch")
	}
	if r := a.w.run(run); r.State != runRunning || r.Agent != a.name || !r.Started.IsZero() {
		a.w.t.Fatalf("after the fetch the run is %s with %q, begun %v", r.State, r.Agent, r.Started)
	}
	return run
}

func TestCompatAgentRun(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("me@box/AG")
	sub := w.connect("SUB")
	sub.Send([]byte("\x01ch"))
	w.awaitSubscriber(func(s *subscriber) bool { return compatWants(s, "chain") })
	run := a.begin("chain")
	a.flow("chain", "old-cat", "RUNNING")
	a.flow("chain", "old-cat", "RUNNING") // asked again after a time-out
	a.task("a", "old-cat", "PENDING")
	w.wantStands(run, "running a:waiting b:waiting c:waiting")
	a.task("a", "old-cat", "RUNNING")
	a.say("chain", "old-cat", "a", "INFO", "STDOUT hello")
	a.say("chain", "old-cat", "a", "ERROR", "STDERR caf\xc3\xa9 \xff\x01 x")
	w.clock.add(1500 * time.Millisecond)
	a.task("a", "old-cat", "COMPLETED")
	a.task("b", "old-cat", "RUNNING")
	a.task("c", "old-cat", "RUNNING")
	w.wantStands(run, "running a:succeeded b:running c:running")
	a.task("b", "old-cat", "COMPLETED")
	a.task("b", "old-cat", "COMPLETED")
	a.task("c", "old-cat", "FAILED")
	a.flow("chain", "old-cat", "FAILED")
	w.wantStands(run, "failed a:succeeded b:succeeded c:failed")
	a.say("chain", "old-cat", "c", "INFO", "STDOUT late")
	a.say("chain", "old-cat", "unheard of", "INFO", "plain")
	if want := "o a hello\ne a caf\xc3\xa9 \xff\x01 x\no c late\no Task unheard of plain\n"; w.output(run) != want {
		t.Errorf("output: %q, want %q", w.output(run), want)
	}
	r := w.run(run)
	if first := r.Tasks[0]; r.Reason != "task c: failed (CDKTR's agents do not say how)" || r.Seconds != 1.5 ||
		first.Seconds != 1.5 || first.Attempts != 1 {
		t.Errorf("run: %q, %v s, task %+v", r.Reason, r.Seconds, first)
	}
	at := time.Date(2026, 1, 31, 2, 30, 0, 0, time.UTC).UnixMilli()
	for _, want := range []string{
		fmt.Sprintf("chain\x01The chain\x01%s\x01Task a\x01a.1\x01%d\x01INFO\x01STDOUT hello", run, at),
		fmt.Sprintf("chain\x01The chain\x01%s\x01Task a\x01a.1\x01%d\x01ERROR\x01STDERR café \uFFFD\uFFFD x", run, at),
		fmt.Sprintf("chain\x01The chain\x01%s\x01Task c\x01c.1\x01%d\x01INFO\x01STDOUT late", run, at+1500),
		fmt.Sprintf("chain\x01The chain\x01%s\x01Task unheard of\x01Task unheard of.1\x01%d\x01INFO\x01STDOUT plain",
			run, at+1500),
	} {
		if frames, err := sub.Recv(); err != nil || len(frames) != 1 || string(frames[0]) != want {
			t.Errorf("subscriber got %q, %v, want %q", frames, err, want)
		}
	}
	if got := a.fetch(); got != "" {
		t.Errorf("there is more: %s", got)
	}
	if w.run(run).Lease != 1 {
		t.Errorf("lease %d", w.run(run).Lease)
	}
}

// TestCompatAgentLostWords ends runs of which much of what the agent said did not arrive.
func TestCompatAgentLostWords(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	for _, x := range []struct {
		name, want string
		say        func(id string)
	}{
		{"only the end", "succeeded a:succeeded b:succeeded c:succeeded",
			func(id string) { a.flow("chain", id, "COMPLETED") }},
		{"no RUNNING of the run", "succeeded a:succeeded b:succeeded c:succeeded", func(id string) {
			a.task("a", id, "RUNNING")
			a.flow("chain", id, "COMPLETED")
		}},
		{"no RUNNING of a task", "failed a:failed b:skipped c:skipped", func(id string) {
			a.flow("chain", id, "RUNNING")
			a.task("a", id, "FAILED")
			a.flow("chain", id, "FAILED")
		}},
		{"no end of a task", "failed a:crashed b:skipped c:skipped", func(id string) {
			a.flow("chain", id, "RUNNING")
			a.task("a", id, "RUNNING")
			a.flow("chain", id, "FAILED")
		}},
		{"a crash", "crashed a:crashed b:skipped c:skipped", func(id string) {
			a.flow("chain", id, "RUNNING")
			a.task("a", id, "CRASHED")
			a.flow("chain", id, "CRASHED")
		}},
		{"output before any word of the task", "succeeded a:succeeded b:succeeded c:succeeded", func(id string) {
			a.flow("chain", id, "RUNNING")
			a.say("chain", id, "a", "INFO", "STDOUT x")
			a.flow("chain", id, "COMPLETED")
		}},
	} {
		run := a.begin("chain")
		x.say(strings.ReplaceAll(x.name, " ", "-"))
		if got := w.stands(run); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	if got := w.output(w.newest("chain")); got != "o a x\n" {
		t.Errorf("output: %q", got)
	}
}

// TestCompatAgentTwo has two agents, and two runs of one workflow on one of them.
func TestCompatAgentTwo(t *testing.T) {
	w := compatChainWorld(t)
	a, b := w.agent("a"), w.agent("b")
	first, second, third := a.begin("chain"), a.begin("chain"), b.begin("chain")
	a.flow("chain", "one", "RUNNING")
	b.flow("chain", "one", "RUNNING") // two agents make the same id
	a.flow("chain", "two", "RUNNING")
	a.task("a", "two", "RUNNING")
	b.task("a", "one", "COMPLETED")
	w.wantStands(first, "running a:waiting b:waiting c:waiting")
	w.wantStands(second, "running a:running b:waiting c:waiting")
	w.wantStands(third, "running a:succeeded b:waiting c:waiting")
	compatWant(t, a.req, "GETREGISTEREDAGENTS",
		fmt.Sprintf(`SUCCESS`+"\x01"+`[{"agent_id":"a","last_ping_timestamp":%d,"running_tasks":2},{"agent_id":"b","last_ping_timestamp":%[1]d,"running_tasks":1}]`,
			w.clock.now().UnixMicro()))
	a.flow("chain", "two", "COMPLETED")
	a.flow("chain", "one", "COMPLETED")
	b.flow("chain", "one", "CRASHED")
	w.wantStands(first, "succeeded a:succeeded b:succeeded c:succeeded")
	w.wantStands(second, "succeeded a:succeeded b:succeeded c:succeeded")
	w.wantStands(third, "crashed a:succeeded b:skipped c:skipped")

	// An id that was used up is free for another run.
	again := a.begin("chain")
	a.task("a", "one", "RUNNING") // a word on the old run, which is over
	w.wantStands(again, "running a:waiting b:waiting c:waiting")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "RUNNING")
	w.wantStands(again, "running a:running b:waiting c:waiting")
}

func TestCompatAgentSilent(t *testing.T) {
	w := compatChainWorld(t)
	a, b := w.agent("a"), w.agent("b")
	begun, rerun, fetched := a.begin("chain"), a.begin("again"), a.begin("chain")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "RUNNING")
	a.say("chain", "one", "a", "INFO", "STDOUT before")
	a.flow("again", "two", "RUNNING")
	w.turn(29 * time.Second)
	b.ok("REGISTERAGENT", "b")
	w.wantStands(begun, "running a:running b:waiting c:waiting")
	w.turn(time.Second)
	w.wantStands(begun, "crashed a:crashed b:skipped c:skipped")
	w.wantStands(rerun, "queued a:waiting b:waiting c:waiting")
	w.wantStands(fetched, "queued a:waiting b:waiting c:waiting")
	if r := w.run(begun); r.Reason != "agent a was lost" || !r.Lost {
		t.Errorf("run: %+v", r)
	}
	w.on(func(p *principal) {
		if one, two := p.state.Agents["a"], p.state.Agents["b"]; one.State != agentLost || two.State != agentUp {
			t.Errorf("agents: %+v, %+v", one, two)
		}
	})
	if b.fetch() == "" {
		t.Fatal("another agent is not given what was lost")
	}
	b.flow("again", "three", "RUNNING")

	// The first comes back: what is its own still goes on, the rest is void.
	a.say("chain", "one", "a", "INFO", "STDOUT while away")
	a.flow("again", "two", "COMPLETED")
	a.task("b", "two", "COMPLETED")
	a.say("again", "two", "b", "INFO", "STDOUT void")
	a.task("a", "one", "COMPLETED")
	w.wantStands(begun, "running a:succeeded b:waiting c:waiting")
	a.say("chain", "one", "a", "INFO", "STDOUT back")
	a.flow("chain", "one", "COMPLETED")
	w.wantStands(begun, "succeeded a:succeeded b:succeeded c:succeeded")
	if got := w.output(begun); got != "o a before\no a while away\no a back\n" {
		t.Errorf("output: %q", got)
	}
	w.wantStands(rerun, "running a:waiting b:waiting c:waiting")
	if got := w.output(rerun); got != "" {
		t.Errorf("output: %q", got)
	}
	if r := w.run(rerun); r.Agent != "b" || r.Attempt != 2 {
		t.Errorf("run: with %s, attempt %d", r.Agent, r.Attempt)
	}
}

// TestCompatAgentUnheard loses the reply to a fetch: the agent lives on and knows nothing of the run.
func TestCompatAgentUnheard(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	run := a.begin("chain")
	for range 5 {
		w.turn(5 * time.Second)
		a.ok("REGISTERAGENT", "a")
	}
	w.wantStands(run, "running a:waiting b:waiting c:waiting")
	w.turn(5 * time.Second)
	w.wantStands(run, "queued a:waiting b:waiting c:waiting")
	if r := w.run(run); r.Reason != "agent a fetched it and did not say that it began; it had not begun" ||
		r.Attempt != 1 {
		t.Errorf("run: attempt %d, %q", r.Attempt, r.Reason)
	}
	if a.fetch() == "" {
		t.Fatal("it is not given again")
	}
	a.flow("chain", "one", "RUNNING")
	for range 10 {
		w.turn(10 * time.Second)
		a.ok("REGISTERAGENT", "a")
	}
	w.wantStands(run, "running a:waiting b:waiting c:waiting")
}

// TestCompatAgentTimer sees that the loop wakes by itself for an agent's silence.
func TestCompatAgentTimer(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	a.begin("chain")
	w.clock.add(10 * time.Second)
	a.ok("REGISTERAGENT", "a")
	w.on(func(p *principal) {
		now := p.cfg.now()
		if wait := p.untilNext(now); wait != 20*time.Second { // the run was fetched 10 s ago
			t.Errorf("the loop sleeps %s", wait)
		}
		p.dialect.(*compat).given = nil
		if wait := p.untilNext(now); wait != 30*time.Second {
			t.Errorf("the loop sleeps %s", wait)
		}
	})
}

// TestCompatAgentRestart restarts the principal under its agents.
func TestCompatAgentRestart(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	begun := a.begin("chain")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "RUNNING")
	a.say("chain", "one", "a", "INFO", "STDOUT before")
	unheard := a.begin("again")
	w.restart()
	a.req, a.push = w.connect("REQ"), w.connect("PUSH")
	a.ok("REGISTERAGENT", "a")
	a.say("chain", "one", "a", "INFO", "STDOUT after")
	a.flow("again", "two", "RUNNING")
	a.task("a", "one", "COMPLETED")
	a.flow("chain", "one", "COMPLETED")
	w.wantStands(begun, "succeeded a:succeeded b:succeeded c:succeeded")
	if got := w.output(begun); got != "o a before\no a after\n" {
		t.Errorf("output: %q", got)
	}
	w.wantStands(unheard, "running a:waiting b:waiting c:waiting")

	// One that does not come back is given up, and what it had fetched goes to another.
	third := a.begin("again")
	w.restart()
	w.turn(compatLostAfter)
	w.wantStands(unheard, "queued a:waiting b:waiting c:waiting")
	w.wantStands(third, "queued a:waiting b:waiting c:waiting")

	// Of two fetched runs one was never heard of: it does not stay with an agent that is alive.
	b := w.agent("b")
	for range 2 {
		if b.fetch() == "" {
			t.Fatal("nothing to fetch")
		}
	}
	b.flow("again", "three", "RUNNING")
	w.restart()
	b.req = w.connect("REQ")
	b.ok("REGISTERAGENT", "b")
	w.turn(20 * time.Second)
	b.ok("REGISTERAGENT", "b")
	w.turn(10 * time.Second)
	w.wantStands(unheard, "running a:waiting b:waiting c:waiting")
	w.wantStands(third, "queued a:waiting b:waiting c:waiting")
	b.flow("again", "three", "COMPLETED")
	w.wantStands(unheard, "succeeded a:succeeded b:succeeded c:succeeded")
}

func TestCompatAgentCancel(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	run := a.begin("chain")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "RUNNING")
	c := w.connect("DEALER")
	c.Send(protoEncode(Request{V: 1, Op: "cancel", Run: run, Task: "a"}))
	if frames, err := c.Recv(); err != nil || !strings.Contains(string(frames[0]), `"code":"conflict"`) ||
		!strings.Contains(string(frames[0]), "agent a is one of CDKTR's, which cannot be told to stop a task") {
		t.Fatalf("cancel of a task: %q, %v", frames, err)
	}
	w.wantStands(run, "running a:running b:waiting c:waiting")
	c.Send(protoEncode(Request{V: 1, Op: "cancel", Run: run}))
	if frames, err := c.Recv(); err != nil || !strings.Contains(string(frames[0]), `"ok":true`) {
		t.Fatalf("cancel: %q, %v", frames, err)
	}
	w.wantStands(run, "cancelled a:cancelled b:skipped c:skipped")
	if r := w.run(run); !strings.HasSuffix(r.Reason, "; CDKTR's agent a cannot be told, its processes go on") {
		t.Errorf("reason %q", r.Reason)
	}
	a.task("a", "one", "COMPLETED")
	a.flow("chain", "one", "COMPLETED")
	w.wantStands(run, "cancelled a:cancelled b:skipped c:skipped")
	compatWant(t, a.req, "GETREGISTEREDAGENTS",
		fmt.Sprintf(`SUCCESS`+"\x01"+`[{"agent_id":"a","last_ping_timestamp":%d,"running_tasks":0}]`,
			w.clock.now().UnixMicro()))
}

// TestCompatAgentRetry gives the rest of a run that failed.
func TestCompatAgentRetry(t *testing.T) {
	w := compatStart(t, map[string]string{"chain.yml": "retries: 1\n" + compatChain})
	a := w.agent("a")
	run := a.begin("chain")
	a.flow("chain", "one", "RUNNING")
	a.task("a", "one", "COMPLETED")
	a.say("chain", "one", "a", "INFO", "STDOUT first")
	a.task("b", "one", "COMPLETED")
	a.task("c", "one", "FAILED")
	a.flow("chain", "one", "FAILED")
	w.wantStands(run, "queued a:succeeded b:succeeded c:waiting")
	text := a.fetch()
	for _, want := range []string{`"task_id_node_ix_map":{"c":0}`, `"depends":null`, `"nodes":["c"]`, `"edges":[]`,
		`"first_tasks":["c"]`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	a.flow("chain", "two", "RUNNING")
	a.say("chain", "one", "c", "INFO", "STDOUT too late")
	a.say("chain", "two", "c", "INFO", "STDOUT second")
	a.flow("chain", "two", "COMPLETED")
	w.wantStands(run, "succeeded a:succeeded b:succeeded c:succeeded")
	if got := w.output(run); got != "o a first\no c second\n" {
		t.Errorf("output: %q", got)
	}
}

func TestCompatUnfit(t *testing.T) {
	for _, x := range []struct{ file, want string }{
		{compatSimple, ""},
		{compatChain, ""},
		{"retries: 2\nfailover: rerun\noverlap: queue\npriority: 3\nschedule: '@daily'\ntasks:\n  a: {cmd: ls}\n", ""},
		{"tasks:\n  a: {run: 'echo $HOME ${x:-y} | wc'}\n", ""},
		{"tasks:\n  a: {python: {script: x.py, packages: [p], working_directory: /srv}}\n", ""},
		{"tasks:\n  a: {cmd: sh, args: [-c, 'echo $${x}']}\n", ""},
		{"tasks: {}\n", "no tasks"},
		{"agent: {site: london}\ntasks:\n  a: {cmd: ls}\n", "agent"},
		{"params: {day: x}\ntasks:\n  a: {cmd: ls}\n", "params"},
		{"env: {A: b}\ntasks:\n  a: {cmd: ls}\n", "env"},
		{"env_file: [x.env]\ntasks:\n  a: {cmd: ls}\n", "env_file"},
		{"working_directory: /srv\ntasks:\n  a: {cmd: ls}\n", "working_directory"},
		{"timeout: 5m\ntasks:\n  a: {cmd: ls}\n", "timeout"},
		{"on_exit: ls\ntasks:\n  a: {cmd: ls}\n", "on_exit"},
		{"max_active_tasks: 1\ntasks:\n  a: {cmd: ls}\n", "max_active_tasks"},
		{"tasks:\n  a: {cmd: ls}\n  b: {cmd: ls}\n  c: {cmd: ls, depends: [a, b]}\n",
			"task c: more than one in depends"},
		{"tasks:\n  a: {cmd: ls}\n  b: {cmd: ls, depends: [a], when: always}\n", "task b: when"},
		{"tasks:\n  a: {cmd: ls}\n  b: {cmd: ls, depends: [a], when: success}\n", ""},
		{"tasks:\n  a: {cmd: ls, retries: 1}\n", "task a: retries"},
		{"tasks:\n  a: {cmd: ls, when: success, retries: 1}\n", "task a: retries"},
		{"tasks:\n  a: {cmd: ls, timeout: 5s}\n", "task a: timeout"},
		{"tasks:\n  a: {cmd: ls, env: {A: b}}\n", "task a: env"},
		{"tasks:\n  a: {cmd: ls, working_directory: /srv}\n", "task a: working_directory"},
		{"tasks:\n  a: {run: ls, shell: bash -c}\n", "task a: shell"},
		{"shell: bash -c\ntasks:\n  a: {run: ls}\n", "shell"},
		{"tasks:\n  a: {run: " + strings.Repeat("x", scriptMax+1) + "}\n", "task a: run of more than 102400 bytes"},
		{"tasks:\n  a: {python: {script: x.py, args: [a]}}\n", "task a: args of python"},
		{"tasks:\n  a: {cmd: ls, success_exit: [0, 24]}\n", "task a: success_exit"},
		{"tasks:\n  a: {cmd: ls, stop_signal: INT}\n", "task a: stop_signal"},
		{"tasks:\n  a: {cmd: ls, grace: 5s}\n", "task a: grace"},
		{"tasks:\n  a: {cmd: ls, stdin: x}\n", "task a: stdin"},
		{"tasks:\n  a: {http: {url: 'http://x'}}\n", "task a: http"},
		{"tasks:\n  a: {run: 'echo rows=1 >> $CDKTR_OUTPUT'}\n", "task a: CDKTR_… of our agents"},
		{"tasks:\n  a: {cmd: sh, args: [-c, 'echo $CDKTR_RUN_ID']}\n", "task a: CDKTR_… of our agents"},
		{"tasks:\n  a: {cmd: echo, args: ['${run.id}']}\n", "task a: a reference ${…}"},
		{"tasks:\n  a: {cmd: '${env.HOME}/x'}\n", "task a: a reference ${…}"},
		{"tasks:\n  a: {python: {script: x.py, working_directory: '${env.HOME}'}}\n", "task a: a reference ${…}"},
	} {
		spec, faults := workflowParse("w.yml", "w", []byte(x.file))
		if spec == nil {
			t.Fatalf("%q: %v", x.file, faults)
		}
		if got := compatUnfit(spec, nil); got != x.want {
			t.Errorf("%q: %q, want %q", x.file, got, x.want)
		}
	}
	spec, _ := workflowParse("w.yml", "w",
		[]byte("tasks:\n  a: {cmd: ls, retries: 1}\n  b: {cmd: ls}\n  c: {cmd: ls, depends: [a, b]}\n"))
	if got := compatUnfit(spec, map[string]bool{"a": true}); got != "" {
		t.Errorf("with a done: %q", got)
	}
	if got := compatUnfit(spec, map[string]bool{"a": true, "b": true, "c": true}); got != "no tasks" {
		t.Errorf("with all done: %q", got)
	}
}

// TestCompatFetchOrder takes runs in the order of the queue, passes over what is not for such agents, and holds to
// overlap.
func TestCompatFetchOrder(t *testing.T) {
	w := compatStart(t, map[string]string{"low.yml": compatSimple,
		"labelled.yml": "agent: {a: b}\npriority: 9\ntasks: {t: {cmd: ls}}\n",
		"high.yml":     "priority: 5\ntasks: {t: {cmd: ls}}\n",
		"single.yml":   "overlap: queue\npriority: 7\ntasks: {t: {cmd: ls}}\n"})
	a := w.agent("a")
	for _, id := range []string{"low", "labelled", "high", "single", "single"} {
		a.ok("RUNTASK", id)
	}
	var got []string
	for range 4 {
		id, _, _ := strings.Cut(strings.TrimPrefix(a.fetch(), `{"id":"`), `"`)
		got = append(got, id)
	}
	if fmt.Sprint(got) != "[single high low ]" {
		t.Errorf("fetched %q", got)
	}
	a.flow("single", "one", "COMPLETED")
	if a.fetch() == "" {
		t.Error("the next of an overlap queue is not given")
	}
	w.on(func(p *principal) { p.emit(&Event{Kind: evAgentDrained, Agent: "a"}) })
	a.ok("RUNTASK", "low")
	if got := a.fetch(); got != "" {
		t.Errorf("draining, it is given %s", got)
	}
}

func TestCompatAgentRefused(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	compatWant(t, a.req, "REGISTERAGENT\x01", "CLIENTERROR\x01ParseError: Missing arg AGENT_ID")
	compatWant(t, a.req, "REGISTERAGENT\x01x\ny", "CLIENTERROR\x01ParseError: an AGENT_ID is text of up to 255 bytes")
	compatWant(t, a.req, "FETCHWORKFLOW\x01"+strings.Repeat("x", 256),
		"CLIENTERROR\x01ParseError: an AGENT_ID is text of up to 255 bytes")

	// One of ours has the name: it keeps it. One of ours comes for the name of one of theirs: it gets it.
	for _, name := range []string{"mine", "a"} {
		ours := w.connect("DEALER")
		ours.Send(protoEncode(protoTestHello(name, "e-"+name)))
		if frames, err := ours.Recv(); err != nil || !strings.Contains(string(frames[0]), `"op":"welcome"`) {
			t.Fatalf("hello of %s: %q, %v", name, frames, err)
		}
	}
	for _, name := range []string{"mine", "a"} {
		for _, ask := range []string{"REGISTERAGENT\x01" + name, "FETCHWORKFLOW\x01" + name, "AGENTWORKFLOWSTATUS\x01" +
			name + "\x01chain\x01i\x01RUNNING", "AGENTTASKSTATUS\x01" + name + "\x01a\x01b\x01i\x01RUNNING"} {
			compatWant(t, a.req, ask, "CLIENTERROR\x01there is another agent named "+name+
				": start this one with another --suffix")
		}
	}
	w.on(func(p *principal) {
		p.dialect.giveUp(p.cfg.now().Add(time.Hour))
		if p.state.Agents["a"].State != agentUp || len(p.dialect.(*compat).heard) != 0 {
			t.Errorf("agent a is %s, heard of: %v", p.state.Agents["a"].State, p.dialect.(*compat).heard)
		}
		for i := range compatMaxAgents {
			name := fmt.Sprint("n", i)
			p.state.Agents[name] = &Agent{Name: name, State: agentLost}
		}
	})
	if got := compatAsk(t, a.req, "REGISTERAGENT\x01new"); !strings.HasPrefix(got,
		"SERVERERROR\x011002 agents are known already") {
		t.Errorf("one too many: %q", got)
	}
}

// TestCompatInstances bounds what is remembered of instance ids, and keeps those that are at work.
func TestCompatInstances(t *testing.T) {
	w := compatChainWorld(t)
	a := w.agent("a")
	run := a.begin("chain")
	a.flow("chain", "kept", "RUNNING")
	w.on(func(p *principal) {
		for i := range compatMaxInstances + 500 {
			p.dialect.(*compat).bind(fmt.Sprint("i", i), &Run{ID: fmt.Sprint("r", i), Workflow: "w", Agent: "a"})
		}
		k := p.dialect.(*compat)
		if len(k.order) != compatMaxInstances || len(k.byAgent) != compatMaxInstances ||
			len(k.byFlow) != compatMaxInstances || len(k.byRun) != compatMaxInstances {
			t.Errorf("remembered: %d, %d, %d, %d", len(k.order), len(k.byAgent), len(k.byFlow), len(k.byRun))
		}
	})
	for i := range 100 {
		a.ok("AGENTTASKSTATUS", "a", "a", fmt.Sprint("t", i), "kept", "PENDING")
	}
	a.flow("chain", "kept", "COMPLETED")
	w.wantStands(run, "succeeded a:succeeded b:succeeded c:succeeded")
	w.on(func(p *principal) {
		if n := len(p.dialect.(*compat).byRun[run].tasks); n != 12 {
			t.Errorf("%d task instances", n)
		}
	})
}

const compatAgentScript = `
import sys, time, zmq, json, subprocess
ctx = zmq.Context()
me = "py@box/AG1"
def ask(*words):
    s = ctx.socket(zmq.REQ)
    s.linger = 0
    s.rcvtimeo = 60000
    s.connect(sys.argv[1])
    s.send_string("\x01".join(words))
    reply = s.recv().decode()
    s.close()
    return reply
def ok(*words):
    reply = ask(*words)
    assert reply == "OK", reply
sub = ctx.socket(zmq.SUB)
sub.rcvtimeo = 60000
sub.connect(sys.argv[1])
sub.subscribe(b"ch")
push = ctx.socket(zmq.PUSH)
push.connect(sys.argv[1])
sys.stdin.readline()                 # the principal has seen the subscription
assert ask("PING") == "PONG"
ok("REGISTERAGENT", me)
ok("FETCHWORKFLOW", me)
ok("RUNTASK", "chain")
head, _, payload = ask("FETCHWORKFLOW", me).partition("\x01")
assert head == "SUCCESS", head
flow = json.loads(payload)
ok("AGENTWORKFLOWSTATUS", me, flow["id"], "odd-dog", "RUNNING")
dag = flow["dag"]
failed, ready, said = False, list(dag["first_tasks"]), []
while ready:
    id = ready.pop(0)
    task, inst = dag["task_map"][id], "slug-" + id
    ok("AGENTTASKSTATUS", me, id, inst, "odd-dog", "PENDING")
    ok("AGENTTASKSTATUS", me, id, inst, "odd-dog", "RUNNING")
    cfg = task["config"]["Subprocess"]
    done = subprocess.run([cfg["cmd"]] + cfg["args"], capture_output=True, text=True)
    for level, name, text in ("INFO", "STDOUT", done.stdout), ("ERROR", "STDERR", done.stderr):
        for line in text.splitlines():
            push.send_string("\x01".join([flow["id"], flow["name"], "odd-dog", task["name"], inst, str(int(time.time() * 1000)), level, name + " " + line]))
            said.append(name + " " + line)
    ok("AGENTTASKSTATUS", me, id, inst, "odd-dog", "FAILED" if done.returncode else "COMPLETED")
    failed = failed or done.returncode != 0
    if not done.returncode:
        at = dag["task_id_node_ix_map"][id]
        ready += [dag["inner"]["nodes"][child] for parent, child, _ in dag["inner"]["edges"] if parent == at]
ok("AGENTWORKFLOWSTATUS", me, flow["id"], "odd-dog", "FAILED" if failed else "COMPLETED")
heard = [sub.recv_multipart() for _ in said]
assert all(len(m) == 1 for m in heard)
fields = [m[0].decode().split("\x01") for m in heard]
assert [f[7] for f in fields] == said, fields
assert {f[0] for f in fields} == {"chain"} and {len(f) for f in fields} == {8}
now = str(int(time.time() * 1000) + 1000)
lines = json.loads(ask("QUERYLOGS", now, "", "chain", "odd-dog").partition("\x01")[2])
assert len(lines) == len(said) and all(l.endswith("] " + s) for l, s in zip(lines, said)), lines
print(json.dumps(said))
ctx.destroy(linger=5000)
`

// TestCompatAgentLibzmq has a whole run done by an agent that shares no code with us.
func TestCompatAgentLibzmq(t *testing.T) {
	w := compatStart(t, map[string]string{"chain.yml": "name: The chain\ntasks:\n  a: {name: Task a, cmd: echo, " +
		"args: [from, a]}\n" +
		"  b: {depends: [a], cmd: sh, args: [-c, 'echo b1; echo b2; echo oops >&2']}\n  c: {depends: [a], run: " +
		"'echo \"last words\" >&2; exit 3'}\n"})
	w.clock.add(time.Since(w.clock.now())) // the agent tells the time
	cmd := harness.Python(t, w.serve(), compatAgentScript)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.awaitSubscriber(func(s *subscriber) bool { return compatWants(s, "chain") })
	in.Close()
	err = cmd.Wait()
	if want := `["STDOUT from a", "STDOUT b1", "STDOUT b2", "STDERR oops", "STDERR last words"]`; err != nil ||
		strings.TrimSpace(out.String()) != want {
		t.Fatalf("agent: %v, %s", err, out.String())
	}
	run := w.newest("chain")
	w.wantStands(run, "failed a:succeeded b:succeeded c:failed")
	if got := w.output(run); got != "o a from a\no b b1\no b b2\ne b oops\ne c last words\n" {
		t.Errorf("output: %q", got)
	}
}
