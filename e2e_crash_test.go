// End-to-end tests of crashes: kill -9 of the principal and of agents, and the orderly stops beside them. What was
// acknowledged is neither lost nor done twice.

package main

import (
	"context"
	"encoding/json"
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

// e2eAppend is a workflow whose task leaves its run's id in a file. The write is one small append: it is whole or not
// there.
const e2eAppend = "overlap: allow\ntasks:\n  a: {run: 'echo $CDKTR_RUN_ID >> $DIR/ran'}\n"

// acknowledged starts a run with the command line and gives its id at the moment it is printed: the client may be at
// work still.
func (x *e2e) acknowledged(id string) string {
	x.T.Helper()
	p := x.Spawn("run", id, "--detach")
	return p.Saw(&p.Out, `(\w{26})\n`)[1]
}

// crashSlow runs until it is stopped, and says when it has begun.
const crashSlow = "tasks:\n  hold: {run: 'echo holding; exec sleep 600'}\n"

// effects counts how often each run has left its mark.
func (x *e2e) effects() map[string]int {
	x.T.Helper()
	count := map[string]int{}
	text, err := os.ReadFile(x.Dir + "/ran")
	if err != nil {
		x.T.Fatal(err)
	}
	for id := range strings.FieldsSeq(string(text)) {
		count[id]++
	}
	return count
}

// ended waits until no run is active, and gives all there are, by id.
func (x *e2e) ended() map[string]*Run {
	x.T.Helper()
	x.Until("every run has ended", func() bool {
		r, err := x.ask(Request{Op: "ps", N: 1})
		return err == nil && len(r.Runs) == 0
	})
	runs := map[string]*Run{}
	for _, run := range harness.Lines[Run](x.T, x.OK("ps", "--all", "-n", "10000", "--json")) {
		if runs[run.ID] != nil {
			x.T.Errorf("ps shows run %s twice", run.ID)
		}
		runs[run.ID] = &run
	}
	return runs
}

// TestKill9Acknowledged: the principal is killed at once after it acknowledged a run, again and again, while an agent
// of its own process takes what it can get. Every run is there at the end, and ran once.
func TestKill9Acknowledged(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", e2eAppend)
	const rounds, agentLife = 200, 10
	var ids []string
	var agent *harness.Proc
	for i := range rounds {
		p := x.Principal()
		// a new agent tries to connect often; one that finds no principal tries less and less often
		if i%agentLife == 0 {
			if agent != nil {
				agent.Stop()
			}
			agent = x.Spawn("start", "agent", "--name", "far", "--state", x.Dir+"/far")
			agent.Saw(&agent.Err, "agent starts")
		}
		ids = append(ids, x.acknowledged("w"))
		p.Kill()
	}
	agent.Stop()
	p := x.Principal()
	x.Agent("far")
	runs := x.ended()
	effects := x.effects()
	for _, id := range ids {
		if run := runs[id]; run == nil {
			t.Errorf("run %s was acknowledged and is lost", id)
		} else if run.State != runSucceeded || effects[id] != 1 {
			t.Errorf("run %s is %s (%s), attempt %d, and ran %d times", id, run.State, run.Reason, run.Attempt,
				effects[id])
		}
	}
	if len(runs) != rounds || len(effects) != rounds {
		t.Errorf("%d runs were acknowledged, %d are there, %d ran", rounds, len(runs), len(effects))
	}
	p.Stop()
}

// TestKill9WithAgent: the same with the agent in the principal's process. A run that had begun has crashed; one that
// had not begun is run. None runs twice.
func TestKill9WithAgent(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", e2eAppend)
	const rounds = 40
	var ids []string
	for range rounds {
		p := x.Principal("--with-agent")
		ids = append(ids, x.acknowledged("w"))
		p.Kill()
	}
	x.Principal("--with-agent")
	runs, effects, crashed := x.ended(), x.effects(), 0
	for _, id := range ids {
		switch run := runs[id]; {
		case run == nil:
			t.Errorf("run %s was acknowledged and is lost", id)
		case run.State == runSucceeded && effects[id] == 1:
		case run.State == runCrashed && effects[id] <= 1 && strings.Contains(run.Reason, "agent"):
			crashed++
		default:
			t.Errorf("run %s is %s (%s), attempt %d, and ran %d times", id, run.State, run.Reason, run.Attempt,
				effects[id])
		}
	}
	t.Logf("%d runs succeeded, %d crashed with the agent", rounds-crashed, crashed)
}

// TestKill9Agent: an agent dies with runs. They crash, or another agent runs them again, except for the tasks that had
// ended. When the agent is started again it ends the processes of its earlier life.
func TestKill9Agent(t *testing.T) {
	x := e2eNew(t)
	const tasks = "tasks:\n  first: {run: 'echo first >> $DIR/%[1]s'}\n" +
		"  second: {depends: [first], run: 'echo second >> $DIR/%[1]s; [ $CDKTR_TASK_ID != second ] || [ -e " +
		"$DIR/away ] || exec sleep 600'}\n"
	x.File("fail.yml", "failover: fail\n"+fmt.Sprintf(tasks, "fail"))
	x.File("rerun.yml", "failover: rerun\n"+fmt.Sprintf(tasks, "rerun"))
	x.Principal()
	agent := x.Agent("mortal")
	fails, reruns := x.Start("fail"), x.Start("rerun")
	for _, name := range []string{"fail", "rerun"} {
		x.Until("the second task of "+name+" is at work", func() bool {
			text, _ := os.ReadFile(filepath.Join(x.Dir, name))
			return string(text) == "first\nsecond\n"
		})
	}
	agent.Kill()
	if left := harness.Alive(x.Dir + "/mortal|"); len(left) == 0 {
		t.Error("nothing was left behind: this test shows nothing")
	}
	if err := os.WriteFile(x.Dir+"/away", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Agent("heir")
	agent = x.Agent("mortal")
	if left := harness.Alive(x.Dir + "/mortal|"); len(left) > 0 {
		t.Errorf("the agent let its earlier processes live: %v", left)
	}
	if text := agent.Err.String(); !strings.Contains(text,
		"killed processes that an earlier life of this agent left behind") {
		t.Errorf("the agent does not tell of it: %s", text)
	}
	if run := x.await(fails); run.State != runCrashed || !strings.Contains(run.Reason, "mortal") ||
		e2eStates(run) != "first=succeeded second=crashed" {
		t.Errorf("failover fail: the run is %s (%s), %s", run.State, run.Reason, e2eStates(run))
	}
	if run := x.await(reruns); run.State != runSucceeded || run.Attempt != 2 ||
		e2eStates(run) != "first=succeeded second=succeeded" {
		t.Errorf("failover rerun: the run is %s (%s), attempt %d, %s", run.State, run.Reason, run.Attempt,
			e2eStates(run))
	}
	for name, want := range map[string]string{"fail": "first\nsecond\n", "rerun": "first\nsecond\nsecond\n"} {
		if text, _ := os.ReadFile(filepath.Join(x.Dir, name)); string(text) != want {
			t.Errorf("%s ran %q", name, text)
		}
	}
}

// TestKill9AgentStaysAway: an agent that dies in the middle of a run of five tasks and does not come back is given up
// after the heartbeat timeout. The run ends on another agent within two seconds of that, and what was done is not done
// again.
func TestKill9AgentStaysAway(t *testing.T) {
	x := e2eNew(t)
	const task = "{run: 'echo $CDKTR_TASK_ID >> $DIR/ran'%s}\n"
	x.File("rerun.yml", "failover: rerun\ntasks:\n"+
		"  a: "+fmt.Sprintf(task, "")+
		"  b: "+fmt.Sprintf(task, ", depends: [a]")+
		"  c: {run: 'echo $CDKTR_ATTEMPT; echo c >> $DIR/ran; [ -e $DIR/away ] || exec sleep 600', depends: [b]}\n"+
		"  d: "+fmt.Sprintf(task, ", depends: [c]")+
		"  e: "+fmt.Sprintf(task, ", depends: [d]"))
	x.Principal()
	agent := x.Agent("mortal")
	id := x.Start("rerun")
	logs := x.Spawn("logs", id, "-f")
	logs.Saw(&logs.Out, "1\n")
	// else the agent's last word comes just before its end, and the test measures the timeout alone
	<-time.After(agentPaceOf(agentLostAfter).beat / 2)
	killed := time.Now()
	agent.Kill()
	if err := os.WriteFile(x.Dir+"/away", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Agent("heir")
	run := x.await(id)
	if run.State != runSucceeded || run.Agent != "heir" || run.Attempt != 2 ||
		e2eStates(run) != "a=succeeded b=succeeded c=succeeded d=succeeded e=succeeded" {
		t.Errorf("the run is %s (%s) on %s, attempt %d: %s", run.State, run.Reason, run.Agent, run.Attempt,
			e2eStates(run))
	}
	if text, _ := os.ReadFile(x.Dir + "/ran"); string(text) != "a\nb\nc\nc\nd\ne\n" {
		t.Errorf("tasks ran: %q", text)
	}
	took := run.Finished.Sub(killed)
	t.Logf("the run ended %.1f s after its agent was killed", took.Seconds())
	if took > agentLostAfter+2*time.Second {
		t.Errorf("the run ended %s after its agent was killed", took)
	}
	if code := logs.Wait(); code != 0 {
		t.Errorf("logs -f ended with code %d", code)
	}
	x.clear()
}

// clear kills what a killed agent left, when that agent is not started again.
func (x *e2e) clear() {
	for _, text := range harness.Alive(x.Dir) {
		var pid int
		var name string
		if n, _ := fmt.Sscanf(text, "%d (%s", &pid, &name); n == 2 && strings.HasPrefix(name, "sleep") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestStopAgent: TERM lets an agent's runs end and takes no more; a second TERM stops them at once.
func TestStopAgent(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", "overlap: allow\ntasks:\n  a: {run: 'echo begun; while [ ! -e $DIR/open ]; do sleep 0.05; done'}\n")
	x.File("slow.yml", crashSlow)
	x.Principal()
	agent := x.Agent("one")
	id := x.Start("w")
	x.Until("the agent has it", func() bool { return x.OK("logs", id) != "" })
	agent.Signal(syscall.SIGTERM)
	agent.Saw(&agent.Err, "draining: waiting for runs to end")
	later := x.Start("w")
	x.Until("the later run waits", func() bool { return x.show(later).Reason != "" })
	if run := x.show(later); run.State != runQueued {
		t.Errorf("an agent that drains was given a run: it is %s", run.State)
	}
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := agent.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if run := x.await(id); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}

	agent = x.Agent("one")
	if run := x.await(later); run.State != runSucceeded {
		t.Errorf("the later run is %s (%s)", run.State, run.Reason)
	}
	id = x.Start("slow")
	x.Until("the agent has it", func() bool { return x.OK("logs", id) != "" })
	agent.Signal(syscall.SIGTERM)
	agent.Saw(&agent.Err, "draining: waiting for runs to end")
	agent.Signal(syscall.SIGTERM)
	began := time.Now()
	agent.Wait()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s to stop at once", took)
	}
	if run := x.await(id); run.State != runCrashed || !strings.Contains(run.Reason, "was stopped") {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
}

// TestStopPrincipal: TERM of a principal with an agent waits for its runs; after the drain timeout they are stopped,
// and how they ended is on disk.
func TestStopPrincipal(t *testing.T) {
	x := e2eNew(t)
	x.File("short.yml", "tasks:\n  a: {run: 'echo begun; sleep 0.3; echo over'}\n")
	x.File("slow.yml", crashSlow)
	p := x.Principal("--with-agent", "--drain-timeout", "1s")
	short, slow := x.Start("short"), x.Start("slow")
	x.Until("both run", func() bool { return x.OK("logs", "short") != "" && x.OK("logs", "slow") != "" })
	p.Stop()
	x.Principal()
	if run := x.show(short); run.State != runSucceeded {
		t.Errorf("the short run is %s (%s)", run.State, run.Reason)
	}
	if run := x.show(slow); run.State != runCrashed || !strings.Contains(run.Reason, "was stopped") {
		t.Errorf("the slow run is %s (%s)", run.State, run.Reason)
	}
	if text := x.OK("logs", short); text != "begun\nover\n" {
		t.Errorf("the short run said %q", text)
	}
	x.stopTwice()
}

// stopTwice stops a principal with an agent by a second TERM, while it waits for a run.
func (x *e2e) stopTwice() {
	x.T.Helper()
	x.Env = append(slices.Clone(x.Env), "CDKTR_STATE="+x.Dir+"/state2", "CDKTR_SOCKET="+x.Dir+"/s2")
	p := x.Principal("--with-agent", "--drain-timeout", "10m")
	id := x.Start("slow")
	x.Until("it runs", func() bool { return x.OK("logs", "slow") != "" })
	p.Signal(syscall.SIGTERM)
	p.Saw(&p.Err, "draining: waiting for runs to end")
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 0 {
		x.T.Errorf("exit code %d after two TERMs", code)
	}
	x.Principal()
	if out := x.OK("ps", "--all"); !strings.Contains(out, id) || !strings.Contains(out, runCrashed) {
		x.T.Errorf("after two TERMs the run is recorded as:\n%s", out)
	}
}

// TestKill9Follow: somebody who follows the output of a run misses nothing when the principal is killed and started
// again.
func TestKill9Follow(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", "tasks:\n  a: {run: 'echo begun; while [ ! -e $DIR/open ]; do sleep 0.05; done; seq 1000'}\n")
	p := x.Principal()
	x.Agent("one")
	id := x.Start("w")
	logs := x.Spawn("logs", "w", "-f")
	logs.Saw(&logs.Out, "begun\n")
	p.Kill()
	logs.Saw(&logs.Err, "the connection was lost, and is made again for 30s")
	x.Principal()
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.await(id)
	want := "begun\n"
	for i := range 1000 {
		want += fmt.Sprintln(i + 1)
	}
	if code := logs.Wait(); code != 0 || logs.Out.String() != want {
		t.Errorf("exit code %d, %d bytes of %d: %s", code, len(logs.Out.String()), len(want), logs.Err.String())
	}
}

// TestReadFile: reading a pipe that nobody writes into waits, and a signal ends that.
func TestReadFile(t *testing.T) {
	x := e2eNew(t)
	for _, args := range [][]string{{"validate", "./pipe.yml"}, {"run", "./pipe.yml"}, {"graph", "./pipe.yml"}} {
		if err := syscall.Mkfifo(x.Dir+"/pipe.yml", 0o644); err != nil {
			t.Fatal(err)
		}
		p := x.Spawn(args...)
		w, err := os.OpenFile(x.Dir+"/pipe.yml", os.O_WRONLY, 0) // waits until it reads
		if err != nil {
			t.Fatal(err)
		}
		p.Signal(syscall.SIGINT)
		if code := p.Wait(); code != exitInterrupted {
			t.Errorf("%s: exit code %d: %s", args, code, p.Err.String())
		}
		w.Close()
		os.Remove(x.Dir + "/pipe.yml")
	}
}

// readFileLate is a context that ends only when nobody waits for it any more.
type readFileLate struct{ context.Context }

func (readFileLate) Err() error { return context.Canceled }

// TestReadFileInterrupted: an interrupt just after the file was read gives an error: never neither text nor error.
func TestReadFileInterrupted(t *testing.T) {
	c := &cli{in: strings.NewReader("tasks: {a: {run: 'true'}}")}
	if w, err := c.loadFile(readFileLate{context.Background()}, "-"); w != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", w, err)
	}
}

// TestKill9Client: a client that is killed, or whose reader goes away, harms nobody.
func TestKill9Client(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", "tasks:\n  a: {run: 'echo begun; while [ ! -e $DIR/open ]; do sleep 0.05; done; seq 10000'}\n")
	x.Principal("--with-agent")
	p := x.Spawn("run", "w", "--follow")
	id := p.Saw(&p.Err, `run (\w{26})`)[1]
	p.Saw(&p.Out, "begun\n")
	p.Kill()
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if run := x.await(id); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	pipe := exec.Command("sh", "-c", `"$1" logs "$2" | head -n 3; echo done`, "sh", x.Bin, id)
	pipe.Env, pipe.Dir = x.Env, x.Dir
	if out, err := pipe.CombinedOutput(); err != nil || string(out) != "begun\n1\n2\ndone\n" {
		t.Errorf("logs into head: %v, %q", err, out)
	}
}

// TestRunWaitOn: run --wait says why a run does not begin, and reports its outcome although the principal is stopped,
// killed and started again meanwhile. No line of output comes twice.
func TestRunWaitOn(t *testing.T) {
	x := e2eNew(t)
	for _, w := range []string{"good 0", "bad 7"} {
		id, code, _ := strings.Cut(w, " ")
		x.File(id+".yml", "overlap: allow\nagent: {site: london}\ntasks:\n  a: {run: 'echo begun; while [ ! -e "+
			"$DIR/open ]; do sleep 0.05; done; seq 3; exit "+code+"'}\n")
	}
	p := x.Principal()
	waits := map[string]*harness.Proc{}
	for _, args := range []string{"good --wait", "bad --wait", "bad --wait --json", "good --follow", "bad --follow"} {
		waits[args] = x.Spawn(append([]string{"run"}, strings.Fields(args)...)...)
	}
	all := func(pattern string) {
		t.Helper()
		for _, w := range waits {
			w.Saw(&w.Err, pattern)
		}
	}
	all(`cdktr: run \w{26} is queued: no agent is connected\n`)
	x.Agent("paris", "--label", "site=paris")
	all(`no agent is connected\ncdktr: run \w{26} is queued: no agent with labels site=london\n`)
	p.Stop()
	all("the connection was lost")
	p = x.Principal()
	x.Agent("london", "--label", "site=london", "--capacity", "9")
	for _, args := range []string{"good --follow", "bad --follow"} {
		waits[args].Saw(&waits[args].Out, "begun\n")
	}
	p.Kill()
	for _, args := range []string{"good --follow", "bad --follow"} {
		waits[args].Saw(&waits[args].Err, "(?s)the connection was lost.*the connection was lost")
	}
	x.Principal()
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for args, w := range waits {
		want, out := 0, "begun\n1\n2\n3\n"
		if strings.HasPrefix(args, "bad") {
			want = exitFailed
		}
		if code := w.Wait(); code != want {
			t.Errorf("run %s: exit code %d, want %d", args, code, want)
		}
		id := w.Saw(&w.Err, `run (\w{26})`)[1]
		switch {
		case strings.HasSuffix(args, "--wait"):
			out = id + "\n"
		case strings.HasSuffix(args, "--json"):
			if r := harness.Decode[Run](t, w.Out.String()); r.ID != id || r.State != runFailed {
				t.Errorf("run %s printed %s", args, w.Out.String())
			}
			continue
		}
		if w.Out.String() != out {
			t.Errorf("run %s printed %q, want %q", args, w.Out.String(), out)
		}
	}
}

// TestStreamOn: the client asks again for a stream whose connection is lost, also when nothing had come yet.
func TestStreamOn(t *testing.T) {
	x := e2eNew(t)
	l, err := wireListen("ipc://"+x.Dir+"/s", wireOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan Request, 3)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, func(conn wireConn) {
			defer conn.Close()
			frames, err := conn.Recv()
			if err != nil {
				return
			}
			envelope, body, err := protoSplit(frames)
			var req Request
			if err != nil || json.Unmarshal(body, &req) != nil {
				return
			}
			asked <- req
			line := &LogLine{Time: stampOf(time.Now()), Run: "01JD3V5K8Q2M4N6P8R0S2T4V6W", N: 1, Task: "a", Stream: "o",
				Text: "one"}
			switch len(asked) {
			case 1: // gone before a word
			case 2: // gone behind the first line
				conn.Send(append(envelope, protoEncode(&Reply{ID: req.ID, OK: true, More: true, Line: line}))...)
			case 3:
				for _, text := range []string{"one", "two"} {
					line.Text = text
					conn.Send(append(envelope, protoEncode(&Reply{ID: req.ID, OK: true, More: true, Line: line}))...)
					line.N++
				}
				conn.Send(append(envelope, protoEncode(&Reply{ID: req.ID, OK: true}))...)
				conn.Recv() // until it has read all
			}
		})
	}()
	if out := x.OK("logs", "w", "-n", "5"); out != "one\ntwo\n" {
		t.Errorf("printed %q", out)
	}
	cancel()
	<-served
	for _, want := range []Request{{Workflow: "w", Last: 5}, {Workflow: "w", Last: 5},
		{Run: "01JD3V5K8Q2M4N6P8R0S2T4V6W"}} {
		if got := <-asked; got.Workflow != want.Workflow || got.Run != want.Run || got.Last != want.Last {
			t.Errorf("asked for %+v, want %+v", got, want)
		}
	}
}

// TestLogsLost: when the principal goes away under logs -f, the run goes on, and logs says so.
func TestLogsLost(t *testing.T) {
	x := e2eNew(t)
	x.Env = append(x.Env, e2eMainEnv+"=1s")
	x.File("slow.yml", crashSlow)
	p := x.Principal()
	x.Agent("edge-1")
	id := x.Start("slow")
	logs := x.Spawn("logs", "slow", "-f")
	logs.Saw(&logs.Out, "holding\n")
	p.Kill()
	if code := logs.Wait(); code != exitUnreachable || !strings.Contains(logs.Err.String(),
		"hint: the run is not lost: when there is a principal again, cdktr show "+id) {
		t.Errorf("exit code %d, %q", code, logs.Err.String())
	}
	x.Principal()
	x.OK("cancel", id)
	x.await(id)
}

// TestFaultPrincipalAwayTaskGoesOn: with CDKTR's principal away a chatty task froze, and the tasks after it were
// dropped.
func TestFaultPrincipalAwayTaskGoesOn(t *testing.T) {
	x := e2eNew(t)
	x.Env = append(x.Env, e2eMainEnv+"=1s")
	x.File("w.yml", `
tasks:
  a: {run: 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo a-$i; [ $((i%100)) -gt 0 ] || sleep 0.03; done; touch $DIR/a'}
  b: {depends: [a], run: 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo b-$i >&2; [ $((i%300)) -gt 0 ] || sleep 0.03; done'}
  c: {depends: [b], run: 'seq -f c-%.0f 500; touch $DIR/c'}
`)
	p := x.Principal()
	x.Agent("far")
	id := x.Start("w")
	logs := x.Spawn("logs", id, "-f")
	logs.Saw(&logs.Out, "a-500\n")
	p.Kill()
	if code := logs.Wait(); code != exitUnreachable {
		t.Errorf("logs -f ended with code %d", code)
	}
	x.Until("the first task ends with no principal", func() bool { _, err := os.Stat(x.Dir + "/a"); return err == nil })
	p = x.Principal()
	p.Kill() // and once more, perhaps while the agent is catching up
	x.Until("the last task ends with no principal", func() bool { _, err := os.Stat(x.Dir + "/c"); return err == nil })
	x.Principal()
	if run := x.await(id); run.State != runSucceeded || e2eStates(run) != "a=succeeded b=succeeded c=succeeded" {
		t.Errorf("the run is %s (%s), %s", run.State, run.Reason, e2eStates(run))
	}
	var want strings.Builder
	for _, part := range []struct {
		task  string
		lines int
	}{{"a", 3000}, {"b", 3000}, {"c", 500}} {
		for i := range part.lines {
			fmt.Fprintf(&want, "%s-%d\n", part.task, i+1)
		}
	}
	if text := x.OK("logs", id); text != want.String() {
		seen := map[string]int{}
		for line := range strings.Lines(text) {
			seen[line]++
		}
		for line := range strings.Lines(want.String()) {
			if seen[line] != 1 {
				t.Errorf("line %q is there %d times", line, seen[line])
			}
		}
		t.Errorf("the output is not what the tasks wrote: %d bytes, want %d", len(text), want.Len())
	}
}

// e2eStates gives the states of a run's tasks, as "a=succeeded b=failed".
func e2eStates(r *Run) string {
	var list []string
	for _, t := range r.Tasks {
		list = append(list, t.Task+"="+t.State)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
