// End-to-end tests of a disk that is full: a real file system of a few megabytes, with the whole state of a principal
// and its agent on it. They need root, to mount one.

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

const diskFlood = 300_000 // lines

// diskEnded waits until no run is active, and gives the state of each, by id, and how often it has left its mark.
func diskEnded(x *site) (states map[string]string, ran map[string]int) {
	x.T.Helper()
	x.Until("every run has ended", func() bool {
		r, err := x.ask(Request{Op: "ps", N: 1})
		return err == nil && len(r.Runs) == 0
	})
	states, ran = map[string]string{}, map[string]int{}
	for _, run := range harness.Lines[Run](x.T, x.OK("ps", "--all", "-n", "10000", "--json")) {
		if states[run.ID] != "" {
			x.T.Errorf("ps shows run %s twice", run.ID)
		}
		states[run.ID] = run.State
	}
	text, err := os.ReadFile(x.Dir + "/ran")
	if err != nil {
		x.T.Fatal(err)
	}
	for id := range strings.FieldsSeq(string(text)) {
		ran[id]++
	}
	return states, ran
}

// diskDoctor gives what doctor says of a thing, and its exit code.
func diskDoctor(x *site, what string) (Finding, int) {
	x.T.Helper()
	r := x.Cdktr("doctor", "--json")
	for _, f := range harness.Lines[Finding](x.T, r.Out) {
		if f.What == what {
			return f, r.Code
		}
	}
	return Finding{}, r.Code
}

// diskFill fills the disk of a principal that has its agent inside. It waits until the start has written all that it
// writes: else the principal gives its reserve up for that while the disk is being filled, and the reserve is filled
// too.
func diskFill(x *site) {
	x.T.Helper()
	x.Until("the start has written what it writes", func() bool {
		for _, name := range []string{"reserve", "snapshot.json", "index/whole"} {
			if _, err := os.Stat(x.Dir + "/state/" + name); err != nil {
				return false
			}
		}
		return strings.Contains(x.OK("events"), "agent.up")
	})
	x.FillDisk("state/ballast")
}

// TestDiskFull: with the disk full, runs still run and are recorded, also one that prints without end; when the reserve
// is spent too, new ones are refused. Nothing acknowledged is lost, and work goes on by itself when there is room
// again.
func TestDiskFull(t *testing.T) {
	x := newSite(t)
	x.SmallDisk("state", 8<<20)
	x.File("w.yml", "overlap: allow\ntasks:\n  a: {run: 'echo $CDKTR_RUN_ID >> $DIR/ran'}\n")
	x.File("long.yml", "tasks:\n  a: {run: 'echo begun; while [ ! -e $DIR/open ]; do sleep 0.05; done; echo over'}\n")
	x.File("flood.yml", fmt.Sprintf("tasks:\n  a: {run: 'seq 1 %d'}\n", diskFlood))
	x.File("clean.yml", "tasks:\n  a: {run: 'rm $DIR/state/ballast'}\n")
	p := x.Principal("--with-agent", "--no-scheduler")
	long := x.Start("long")
	x.Until("it talks", func() bool { return x.OK("logs", long) == "begun\n" })

	diskFill(x)
	var acknowledged []string
	for range 5 {
		run := x.run("w")
		acknowledged = append(acknowledged, run.ID)
		if run.State != runSucceeded {
			t.Fatalf("on a full disk the run is %s (%s)", run.State, run.Reason)
		}
	}
	began := time.Now()
	if run := x.run("flood"); run.State != runSucceeded {
		t.Fatalf("on a full disk a run that prints much is %s (%s)", run.State, run.Reason)
	}
	t.Logf("the flood took %s", time.Since(began).Round(time.Millisecond))
	if run := x.run("w"); run.State != runSucceeded {
		t.Fatalf("after the flood the run is %s (%s)", run.State, run.Reason)
	}
	stored, told := 0, 0
	for line := range strings.Lines(x.OK("logs", "flood")) {
		if n := 0; !strings.HasPrefix(line, "[cdktr: ") {
			stored++
		} else if _, err := fmt.Sscanf(line, "[cdktr: %d lines of output", &n); err == nil {
			told += n
		}
	}
	if stored+told != diskFlood || told == 0 {
		t.Errorf("of %d lines %d are stored, and %d are told of", diskFlood, stored, told)
	}

	x.FillDisk("state/ballast2")
	refused := ""
	for range 2000 {
		r := x.Cdktr("run", "w", "--detach")
		if r.Code == 0 {
			acknowledged = append(acknowledged, strings.TrimSpace(r.Out))
			continue
		}
		refused = r.Err
		if strings.Contains(refused, "no space left on device") {
			break
		} // else the disk was full between the question and its answer: nobody knows before there is room
	}
	if !strings.Contains(refused, "no space left on device") {
		t.Fatalf("with nothing left a run is refused with %q", refused)
	}
	if err := os.WriteFile(x.Dir+"/open", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(x.Dir + "/state/ballast2"); err != nil {
		t.Fatal(err)
	}
	x.Until("runs are taken again", func() bool {
		r := x.Cdktr("run", "clean", "--wait")
		return r.Code == 0
	})
	if run := x.await(long); run.State != runSucceeded {
		t.Errorf("the long run is %s (%s)", run.State, run.Reason)
	}
	diskEnded(x)
	p.Stop()
	x.Principal("--with-agent", "--no-scheduler")
	states, ran := diskEnded(x)
	for _, id := range acknowledged {
		if states[id] != runSucceeded || ran[id] != 1 {
			t.Errorf("acknowledged run %s: %s, ran %d times", id, states[id], ran[id])
		}
	}
	t.Logf("%d runs were acknowledged on a full disk", len(acknowledged))
}

// diskItem gives the item of a kind that needs a person, nil when there is none.
func diskItem(x *site, kind string) *AttentionItem {
	x.T.Helper()
	r, err := x.ask(Request{Op: "attention"})
	if err != nil {
		x.T.Fatal(err)
	}
	for i := range r.Items {
		if r.Items[i].Kind == kind {
			return &r.Items[i]
		}
	}
	return nil
}

// TestDiskTold: doctor calls a disk that is nearly full bad, also by its exit code. When output finds no room,
// Attention says so until somebody acknowledges it; when the journal finds none, until there is room again.
func TestDiskTold(t *testing.T) {
	x := newSite(t)
	x.SmallDisk("state", 8<<20)
	x.File("w.yml", "overlap: allow\ntasks:\n  a: {run: 'seq 1 100'}\n")
	x.Principal("--with-agent", "--no-scheduler")
	if says, code := diskDoctor(x, "disk"); code != exitOK || says.State == "bad" {
		t.Errorf("with room: exit code %d, %+v", code, says)
	}
	diskFill(x)
	if says, code := diskDoctor(x, "disk"); code != exitFailed || says.State != "bad" ||
		says.Code != "disk-full" {
		t.Errorf("without: exit code %d, %+v", code, says)
	}
	if item := diskItem(x, "disk"); item != nil {
		t.Errorf("the journal has its reserve, and attention says %+v", item)
	}
	run := x.run("w")
	item := diskItem(x, "output")
	if item == nil || item.Workflow != "w" || item.Runs[0] != run.ID ||
		!strings.Contains(item.Reason, "lines of output could not be stored: ") ||
		!strings.Contains(item.Reason, "space") {
		t.Fatalf("output was dropped, and attention says %+v", item)
	}
	x.OK("ack", item.Key)
	if item := diskItem(x, "output"); item != nil {
		t.Errorf("acknowledged, and still there: %+v", item)
	}
	x.FillDisk("state/ballast2")
	x.Until("the journal cannot be written", func() bool {
		for range 50 { // one after the other, until the reserve is spent
			if _, err := x.ask(Request{Op: "run", Workflow: "w"}); err != nil {
				break
			}
		}
		if item := diskItem(x, "disk"); item == nil || !strings.Contains(item.Reason,
			"no space left on device") {
			return false
		}
		return true
	})
	for _, text := range []string{x.OK("attention"), x.OK("attention", "--json")} {
		if !strings.Contains(text, "new runs are refused") {
			t.Errorf("attention says\n%s", text)
		}
	}
	if err := errors.Join(os.Remove(x.Dir+"/state/ballast2"), os.Remove(x.Dir+"/state/ballast")); err != nil {
		t.Fatal(err)
	}
	x.Until("it can be again", func() bool { return diskItem(x, "disk") == nil })
	if run := x.run("w"); run.State != runSucceeded {
		t.Errorf("the run is %s: %s", run.State, run.Reason)
	}
}

// TestDiskAgentTold: the principal's Attention says that output found no room on the disk of an agent, both for output
// as it comes and for the end of output that is longer than log.max_size.
func TestDiskAgentTold(t *testing.T) {
	x := newSite(t)
	x.SmallDisk("small", 4<<20)
	x.File("w.yml", "tasks:\n  a: {run: 'seq 1 100'}\n")
	x.File("much.yml", "log: {max_size: 1K}\ntasks:\n  a: {run: 'seq 1 100000'}\n")
	x.Principal("--no-scheduler")
	x.Agent("small")
	x.run("w")
	if diskItem(x, "output") != nil {
		t.Error("with room output needs a person")
	}
	f, err := os.Create(x.Dir + "/small/ballast")
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"w": "agent small: 100 " + "lines of output were dropped on the agent: ",
		"much": "agent small: " +
			"the end of the output of this run is lost: "} {
		run := x.run(id)
		item := diskItem(x, "output")
		if item == nil || item.Workflow != id || item.Agent != "small" || item.Runs[0] != run.ID ||
			!strings.Contains(item.Reason, want) || !strings.Contains(item.Reason, "space") {
			t.Fatalf("%s (%s): attention says %+v\n%s", id, run.State, item, x.OK("logs", run.ID))
		}
		if text := x.OK("attention"); !strings.Contains(text, id+" lost output") {
			t.Errorf("attention says\n%s", text)
		}
		x.OK("ack", item.Key)
	}
	if err := os.Remove(x.Dir + "/small/ballast"); err != nil {
		t.Fatal(err)
	}
	x.run("w")
	if diskItem(x, "output") != nil {
		t.Error("with room again output needs a person")
	}
}

// TestDiskReadOnly: a disk has become read-only, as a failing card does. The start and doctor name it, nothing is
// changed on it, and all is there when it can be written again.
func TestDiskReadOnly(t *testing.T) {
	x := newSite(t)
	x.SmallDisk("state", 8<<20)
	remount := func(flags uintptr) {
		if err := syscall.Mount("", x.Dir+"/state", "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	x.File("w.yml", "tasks:\n  a: {run: 'true'}\n")
	p := x.Principal("--with-agent")
	run := x.run("w")
	p.Stop()
	remount(syscall.MS_RDONLY)
	x.Refused(1, []string{x.Dir + "/state", "read-only file system"}, "start", "principal")
	if says, _ := diskDoctor(x, "state"); says.State != "bad" || !strings.Contains(says.Text,
		"read-only file system") {
		t.Errorf("doctor says %+v", says)
	}
	remount(0)
	x.Principal("--with-agent")
	if again := x.show(run.ID); again == nil || again.State != runSucceeded {
		t.Errorf("the run is %+v", again)
	}
}

// TestDiskRetention: when the disk is full, old output is removed, the oldest first, and new output is stored whole
// again.
func TestDiskRetention(t *testing.T) {
	x := newSite(t)
	x.SmallDisk("state", 8<<20)
	old := x.Dir + "/state/logs/old/"
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"2025-01-01": 3 << 20, "2025-01-02": 1 << 10, "2025-01-03": 1 << 10} {
		if err := os.WriteFile(old+name+".jsonl", []byte(strings.Repeat("x\n", size/2)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x.File("w.yml", "overlap: allow\ntasks:\n  a: {run: 'seq 1 1000'}\n")
	x.Principal("--with-agent", "--retain-age", "0")
	diskFill(x)
	x.run("w") // what it prints finds no room
	x.Until("old output goes", func() bool {
		_, err := os.Stat(old + "2025-01-01" + ".jsonl")
		return errors.Is(err,
			fs.ErrNotExist)
	})
	if run := x.run("w"); strings.Count(x.OK("logs", run.ID), "\n") != 1000 {
		t.Errorf("there is room again, and the run's output is %.300s", x.OK("logs", run.ID))
	}
	if _, err := os.Stat(old + "2025-01-03" + ".jsonl"); err != nil {
		t.Error("the newest file of a workflow went too")
	}
}

// TestDiskPipes puts a pipe in the place of each file and folder that the principal and its agent keep. Nothing waits
// for the pipe, every verb answers, and a stop ends both. The next start says what is wrong.
func TestDiskPipes(t *testing.T) {
	x := newSite(t)
	x.File("w.yml", "tasks:\n  a: {run: 'echo one; head -c 3000000 /dev/zero | tr \"\\0\" x | fold'}\n")
	p := x.Principal("--with-agent")
	id := x.run("w").ID
	state := x.Dir + "/state/"
	var names []string
	for _, pattern := range []string{"out", "tails", "left*", "synced", "snapshot.json*", "history/*", "history/*/*",
		"logs/*", "logs/*/*"} {
		found, _ := filepath.Glob(state + pattern)
		names = append(names, found...)
	}
	if len(names) < 4 {
		t.Fatalf("the state folder has only %q", names)
	}
	names = append(names, state+"snapshot.json.tmp", state+"synced.tmp")
	slices.Reverse(names) // what is in a folder first
	for _, name := range names {
		if err := os.Rename(name, name+".aside"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"ping"}, {"run", "w", "--wait"}, {"ps", "--all"}, {"show", id}, {"logs", "w"},
			{"logs", id, "-n", "3"}, {"attention"}, {"stats"}, {"doctor"}} {
			if r := x.Cdktr(args...); r.Code < 0 || strings.Contains(r.Err, "does not answer") {
				t.Fatalf("%s is a pipe, and %q: exit code %d, %s", strings.TrimPrefix(name, state), args, r.Code, r.Err)
			}
		}
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code < 0 {
		t.Errorf("it had to be killed: exit code %d", code)
	}
	again := x.Spawn("start", "principal", "--with-agent")
	x.Until("the next start is ready or says why not", func() bool {
		return strings.Contains(again.Err.String(), "msg=ready") || strings.Contains(again.Err.String(),
			"not a regular file")
	})
	if r := x.Cdktr("check"); r.Code < 0 {
		t.Errorf("check: exit code %d, %s", r.Code, r.Err)
	}
}
