// End-to-end tests of faults: those that ended, hung or misled CDKTR, the system that this one follows, a test each,
// and those of the machine: a damaged journal, a folder that cannot be written, peers that speak nonsense.

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// oneRun starts a principal with an agent and one workflow, runs it, and wants that end of the run and its tasks.
func oneRun(t *testing.T, workflow, state, tasks string) (*site, *Run) {
	t.Helper()
	x := newSite(t)
	x.File("w.yml", workflow)
	x.Principal("--with-agent")
	run := x.run("w")
	if run.State != state || statesOf(run) != tasks {
		t.Errorf("the run is %s (%s) with %s; want %s with %s", run.State, run.Reason, statesOf(run), state, tasks)
	}
	return x, run
}

// TestFaultDiamond: CDKTR ran the last task twice and never ended the run.
func TestFaultDiamond(t *testing.T) {
	x, _ := oneRun(t, `
tasks:
  start: {run: echo start}
  a: {depends: [start], run: echo a}
  b: {depends: [start], run: 'sleep 0.2; echo b'}
  end: {depends: [a, b], run: echo end}
`, runSucceeded, "a=succeeded b=succeeded end=succeeded start=succeeded")
	if text := x.OK("logs", "w"); text != "start\na\nb\nend\n" {
		t.Errorf("the tasks ran as %q", text)
	}
}

// TestFaultFailingRoot: CDKTR hung for ever when the root of a diamond failed.
func TestFaultFailingRoot(t *testing.T) {
	_, run := oneRun(t, `
tasks:
  start: {run: exit 3}
  a: {depends: [start], run: echo a}
  b: {depends: [start], run: echo b}
  end: {depends: [a, b], run: echo end}
`, runFailed, "a=skipped b=skipped end=skipped start=failed")
	if run.Reason != "task start: exit 3" {
		t.Errorf("the reason is %q", run.Reason)
	}
}

// TestFault34StderrLines: CDKTR hung for ever at the 33rd line on standard error.
func TestFault34StderrLines(t *testing.T) {
	x, _ := oneRun(t, "tasks:\n  a: {run: 'seq 34 >&2; echo out'}\n", runSucceeded, "a=succeeded")
	if n := strings.Count(x.OK("logs", "w", "--err"), "\n"); n != 34 {
		t.Errorf("%d lines of standard error", n)
	}
}

// TestFault200kBStderr: CDKTR hung for ever at 64 KiB on standard error while standard output was open.
func TestFault200kBStderr(t *testing.T) {
	x, _ := oneRun(t, "tasks:\n  a: {run: 'yes 123456789 | head -n 20000 >&2; head -c 200000 /dev/zero | tr "+
		"\"\\0\" x >&2; echo done'}\n", runSucceeded, "a=succeeded")
	if n := strings.Count(x.OK("logs", "w", "--err", "--grep", "^123456789$"), "\n"); n != 20000 {
		t.Errorf("%d lines of standard error", n)
	}
	if text := x.OK("logs", "w", "--grep", "^done$"); text != "done\n" {
		t.Errorf("standard output is %q", text)
	}
}

// TestFaultNonUTF8Output: CDKTR's agent lost a slot for ever at the first byte that was not UTF-8.
func TestFaultNonUTF8Output(t *testing.T) {
	x, _ := oneRun(t, "tasks:\n  a: {run: 'printf \"\\377\\376 caf\\351\\n\"; printf \"fine\\n\"; printf "+
		"\"\\200\" >&2'}\n", runSucceeded, "a=succeeded")
	if text := x.OK("logs", "w", "--task", "a", "--grep", "."); !strings.Contains(text, "\xff\xfe caf\xe9\n") ||
		!strings.Contains(text, "fine\n") || !strings.Contains(text, "\x80\n") {
		t.Errorf("the output is %q", text)
	}
}

// TestFaultStrayFile: CDKTR's principal ended at a file without an ending.
func TestFaultStrayFile(t *testing.T) {
	x := newSite(t)
	for name, text := range map[string]string{"README": "read me", "notes.txt": "x", ".hidden.yml": "{{{",
		"a.yml~": "{{{", "w.yml": "tasks:\n  a: {run: 'true'}\n"} {
		x.File(name, text)
	}
	if err := syscall.Mkfifo(x.Dir+"/workflows/pipe.yml", 0o600); err != nil {
		t.Fatal(err)
	}
	p := x.Principal("--with-agent")
	if list := harness.Lines[WorkflowInfo](t, x.OK("ls", "--json")); len(list) != 2 || list[1].Workflow != "w" ||
		list[0].Error != "pipe.yml: read file: not a regular file" {
		t.Errorf("ls shows %+v", list)
	}
	x.File("LATER", "x")
	x.File("later.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Until("later.yml is seen", func() bool { return x.workflow("later").File != "" })
	if run := x.run("later"); run.State != runSucceeded {
		t.Errorf("the run is %s", run.State)
	}
	p.Stop()
}

// TestFaultBadCron: in CDKTR one bad cron expression ended the scheduler for all.
func TestFaultBadCron(t *testing.T) {
	x := newSite(t)
	x.File("bad.yml", "schedule: 'every day at noon'\ntasks:\n  a: {run: 'true'}\n")
	x.File("bad2.yml", "schedule: '61 * * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.File("good.yml", "schedule: '* * * * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent")
	x.Until("the good one fires", func() bool { return len(x.decisions("good")) >= 2 })
	if r := x.Code(0, "ls"); !strings.Contains(r.Err, "bad.yml:1:11:") || !strings.Contains(r.Err, "bad2.yml:1:11:") {
		t.Errorf("ls says %q", r.Err)
	}
	x.Refused(5, []string{"does not load"}, "run", "bad")
}

// TestFaultDeletedFile: in CDKTR the scheduler ended when the file of a scheduled workflow was deleted.
func TestFaultDeletedFile(t *testing.T) {
	x := newSite(t)
	x.File("gone.yml", "schedule: '* * * * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.File("stays.yml", "schedule: '* * * * * *'\ntasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent")
	x.Until("both fire", func() bool { return len(x.decisions("gone")) > 0 && len(x.decisions("stays")) > 0 })
	if err := os.Remove(x.Dir + "/workflows/gone.yml"); err != nil {
		t.Fatal(err)
	}
	x.Until("the file's workflow is gone", func() bool { return x.workflow("gone").File == "" })
	gone, stays := len(x.decisions("gone")), len(x.decisions("stays"))
	x.Until("the other goes on firing", func() bool { return len(x.decisions("stays")) >= stays+2 })
	if n := len(x.decisions("gone")); n != gone {
		t.Errorf("it fired %d times after its file was deleted", n-gone)
	}
}

// TestFaultEmptyTasks: CDKTR ran a workflow without tasks for ever. Such a file loads, as it did there, and its run is
// over at once.
func TestFaultEmptyTasks(t *testing.T) {
	x, _ := oneRun(t, "name: Empty\ntasks: {}\n", runSucceeded, "")
	x.File("none.yml", "name: None\n")
	x.File("void.yml", "")
	for _, id := range []string{"none", "void"} {
		x.Until(id+" is seen", func() bool { return x.workflow(id).Error != "" })
		x.Refused(5, []string{id + ".yml", "does not load"}, "run", id)
	}
	if text := x.OK("agents", "--json"); !strings.Contains(text, `"running":0`) {
		t.Errorf("agents says %s", text)
	}
}

// TestFaultFanInSlowParent: CDKTR started a task when the first of its parents had ended.
func TestFaultFanInSlowParent(t *testing.T) {
	x, _ := oneRun(t, `
tasks:
  fast: {run: echo fast}
  slow: {run: 'sleep 0.5; echo slow'}
  both: {depends: [fast, slow], run: echo both}
`, runSucceeded, "both=succeeded fast=succeeded slow=succeeded")
	if text := x.OK("logs", "w"); text != "fast\nslow\nboth\n" {
		t.Errorf("the tasks ran as %q", text)
	}
}

// TestFaultFanInFailingParent: CDKTR ran a task though one of its parents failed later, and never ended the run.
func TestFaultFanInFailingParent(t *testing.T) {
	_, run := oneRun(t, `
tasks:
  fast: {run: echo fast}
  slow: {run: 'sleep 0.3; exit 9'}
  both: {depends: [fast, slow], run: echo both}
  after: {depends: [both], when: always, run: echo after}
`, runFailed, "after=succeeded both=skipped fast=succeeded slow=failed")
	if run.Reason != "task slow: exit 9" {
		t.Errorf("the reason is %q", run.Reason)
	}
}

// TestFaultUnknownDependency: CDKTR took such a file and hung for ever.
func TestFaultUnknownDependency(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  transform: {run: 'true'}\n  load: {run: 'true', depends: [transfrom]}\n")
	x.Principal("--with-agent")
	x.Refused(5, []string{"w.yml:3:", "transfrom", `did you mean "transform"`}, "run", "w")
}

// TestFaultSlotLeak: CDKTR's agent lost a slot at every run that failed, until it took no more runs.
func TestFaultSlotLeak(t *testing.T) {
	x := newSite(t)
	for name, task := range map[string]string{"exit": "run: exit 1", "missing": "cmd: no-such-program-here",
		"bytes": "run: 'printf \"\\377\"; exit 1'",
		"dir":   "run: 'true', working_directory: /no/such/folder", "killed": "run: 'kill -9 $$'",
		"outputs": "run: 'echo \"not a pair\" >> \"$CDKTR_OUTPUT\"'"} {
		x.File(name+".yml", "tasks:\n  a: {"+task+"}\n")
	}
	x.File("env.yml", "env_file: [/no/such/file]\ntasks:\n  a: {run: 'true'}\n")
	x.File("timeout.yml", "tasks:\n  a: {run: 'sleep 600', timeout: 100ms}\n")
	x.File("good.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Principal("--with-agent", "--capacity", "2")
	for _, id := range []string{"exit", "missing", "bytes", "dir", "killed", "outputs", "env", "timeout"} {
		if run := x.run(id); run.State != runFailed || run.Reason == "" {
			t.Errorf("%s: the run is %s (%s)", id, run.State, run.Reason)
		}
	}
	if run := x.run("good"); run.State != runSucceeded {
		t.Errorf("after all of them a run is %s (%s)", run.State, run.Reason)
	}
	if text := x.OK("agents", "--json"); !strings.Contains(text, `"running":0`) {
		t.Errorf("agents says %s", text)
	}
}

// TestFaultQueuedRunsSurviveKill: CDKTR had its queue in memory alone.
func TestFaultQueuedRunsSurviveKill(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "params: {n: {}}\ntasks:\n  a: {run: 'echo $PARAM_N >> $DIR/ran'}\n")
	p := x.Principal()
	var ids []string
	want := ""
	for i := range 5 {
		ids = append(ids, x.Start("w", "-p", fmt.Sprint("n=", i)))
		want += fmt.Sprintln(i)
	}
	p.Kill()
	x.Principal()
	if n := len(harness.Lines[Run](t, x.OK("ps", "--state", "queued", "--json"))); n != len(ids) {
		t.Errorf("%d runs are queued after the kill, of %d", n, len(ids))
	}
	x.Agent("two", "--capacity", "1")
	for _, id := range ids {
		if run := x.await(id); run.State != runSucceeded {
			t.Errorf("run %s is %s (%s)", id, run.State, run.Reason)
		}
	}
	if ran, _ := os.ReadFile(x.Dir + "/ran"); string(ran) != want {
		t.Errorf("they ran in the order %q", ran)
	}
}

// TestFaultAgentTwiceSameName: in CDKTR two agents of one name were taken for one.
func TestFaultAgentTwiceSameName(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'true'}\n")
	x.Principal()
	first := x.Agent("twin")
	second := x.Spawn("start", "agent", "--name", "twin", "--state", x.Dir+"/other")
	second.Saw(&second.Err, `another agent named .*twin.* --name`)
	third := x.Spawn("start", "agent", "--name", "else", "--state", x.Dir+"/twin")
	if code := third.Wait(); code == 0 || !strings.Contains(third.Err.String(), "twin") {
		t.Errorf("a second agent on one state folder ended with code %d: %s", code, third.Err.String())
	}
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	first.Stop()
	second.Saw(&second.Err, "connected to the principal") // the name is free: it is taken in now
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
}

// TestFaultLostReplies: CDKTR dropped replies, and with them runs, when requests came close together.
func TestFaultLostReplies(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {cmd: 'true'}\n")
	x.Principal("--with-agent")
	const clients, each = 8, 25
	ids := make([][]string, clients)
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			for range each {
				if r, err := x.ask(Request{Op: "run", Workflow: "w"}); err != nil {
					t.Errorf("client %d: %v", i, err)
				} else {
					ids[i] = append(ids[i], r.Run)
				}
			}
		})
	}
	group.Wait()
	for _, list := range ids {
		for _, id := range list {
			if run := x.await(id); run.State != runSucceeded {
				t.Errorf("run %s is %s (%s)", id, run.State, run.Reason)
			}
		}
	}
	if n := len(harness.Lines[Run](t, x.OK("ps", "--all", "-n", "1000", "--json"))); n != clients*each {
		t.Errorf("there are %d runs, want %d", n, clients*each)
	}
}

// TestFaultHostilePeers: one reset, or a few bytes of nonsense, ended CDKTR's principal.
func TestFaultHostilePeers(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'true'}\n")
	p := x.Principal("--with-agent")
	greeting := "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + strings.Repeat("\x00", 48)
	idle, err := net.Dial("unix", x.Dir+"/s") // one that never says anything must not be in the way
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	for _, text := range []string{"", "GET / HTTP/1.1\r\n\r\n", greeting, greeting + "\x04\x05\x05READY", greeting +
		"\x06\xff\xff\xff\xff\xff\xff\xff\xff",
		greeting + "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x03BAD", strings.Repeat("\x00", 5000)} {
		conn, err := net.Dial("unix", x.Dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(text)) // it may be cut off before it has said all
		conn.Close()
	}
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	p.Stop()
}

// TestTornJournal: a line that a crash left half written is dropped and reported, once.
func TestTornJournal(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'true'}\n")
	p := x.Principal("--with-agent")
	first := x.run("w")
	p.Kill()
	segments, err := filepath.Glob(x.Dir + "/state/journal/*")
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	newest := segments[len(segments)-1]
	f, err := os.OpenFile(newest, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":99,"t":"2026-01`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	p = x.Principal("--with-agent")
	if text := p.Err.String(); !strings.Contains(text, filepath.Base(newest)) || !strings.Contains(text, "level=WARN") {
		t.Errorf("it does not say what it dropped: %s", text)
	}
	if run := x.show(first.ID); run == nil || run.State != runSucceeded {
		t.Errorf("the run from before is %+v", run)
	}
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	p.Stop()
	p = x.Principal("--with-agent")
	if text := p.Err.String(); strings.Contains(text, "level=WARN") {
		t.Errorf("it complains still: %s", text)
	}
}

// TestNoStart: a principal that cannot start says why.
func TestNoStart(t *testing.T) {
	x := newSite(t)
	x.Principal()
	other := x.Env
	x.Refused(5, []string{"state", "cdktr"}, "start", "principal", "--socket", x.Dir+"/other")
	x.Refused(5, []string{x.Dir + "/s"}, "start", "principal", "--state", x.Dir+"/other")
	long := x.Dir + "/" + strings.Repeat("long/", 30) + "s"
	x.Refused(1, []string{"long", "path"}, "start", "principal", "--socket", long, "--state", x.Dir+"/third")
	x.Env = append(other, "CDKTR_LOG_LEVEL=loud")
	x.Refused(2, []string{"loud", "debug"}, "start", "principal")
	x.Env = append(other, "CDKTR_AGENT_CAPACITY=many")
	x.Refused(2, []string{"many"}, "start", "principal", "--with-agent")
	x.Env = other
	x.Refused(2, []string{"Nowhere"}, "start", "principal", "--timezone", "Nowhere/Land")
	x.Refused(2, nil, "start", "principal", "now")
	x.Refused(2, []string{"tcp"}, "start", "agent", "--principal", "tcp://127.0.0.1:1")
}

// TestStateReadOnly: a principal that may not write its state folder does not start. Root may write anywhere, so the
// test runs it as nobody.
func TestStateReadOnly(t *testing.T) {
	x := newSite(t)
	x.Bin = harness.Plain(t, x.Dir)
	if err := os.Mkdir(x.Dir+"/locked", 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(x.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		x.UID = 65534
	}
	p := x.Spawn("start", "principal", "--state", x.Dir+"/locked/state")
	if code := p.Wait(); code != 1 || !strings.Contains(p.Err.String(), "locked/state") ||
		!strings.Contains(p.Err.String(), "permission denied") {
		t.Errorf("exit code %d: %s", code, p.Err.String())
	}
}

// TestTaskSignals: a task does not ignore SIGPIPE. One that writes into a pipe without a reader must die of it, and not
// complain on standard error for ever.
func TestTaskSignals(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'sed -n s/SigIgn:.//p /proc/self/status; yes | head -n 1'}\n")
	lines := strings.Fields(x.OK("run", x.Dir+"/workflows/w.yml"))
	if len(lines) != 2 || lines[1] != "y" {
		t.Fatalf("output %q", lines)
	}
	mask, err := strconv.ParseUint(lines[0], 16, 64)
	if pipe := uint64(1) << (syscall.SIGPIPE - 1); err != nil || mask&pipe != 0 {
		t.Errorf("a task ignores the signals %s, SIGPIPE among them (%v)", lines[0], err)
	}
}
