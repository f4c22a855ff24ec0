// Tests of processes that an agent cannot end, because they belong to another user: the processes are root's, the agent
// is not. The tests themselves need root.

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// leftRig is an installation of a user who may start one program as root: a copy of chroot that is root's and has the
// setuid bit.
func leftRig(t *testing.T) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can give a program to root")
	}
	x := newSite(t)
	t.Cleanup(func() { // behind the end of the agent, and before it is looked for what is left
		for _, pid := range leftPids(x) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	x.UID = 65534
	asRoot, err := exec.LookPath("chroot")
	if err != nil {
		asRoot = "/usr/sbin/chroot"
	}
	for from, to := range map[string]string{asRoot: x.Dir + "/asroot", x.Bin: x.Dir + "/cdktr"} {
		// Another process copies: a child that this one forks meanwhile would inherit a file open for writing, and such
		// a program cannot be started.
		if out, err := exec.Command("install", "-m", "755", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	x.Bin = x.Dir + "/cdktr"
	err = filepath.WalkDir(x.Dir, func(name string, _ fs.DirEntry, err error) error {
		if name == x.Dir+"/asroot" {
			return errors.Join(err, os.Chmod(name, 0o755|fs.ModeSetuid))
		}
		return errors.Join(err, os.Chown(name, int(x.UID), int(x.UID)))
	})
	if err := errors.Join(err, os.Chmod(x.Dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return x
}

// leftPids lists the processes of the tests' workflows that are root's.
func leftPids(x *site) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		args, _ := os.ReadFile(dir + "/cmdline")
		environ, _ := os.ReadFile(dir + "/environ")
		if string(args) == "sleep\x001000\x00" && strings.Contains(string(environ), x.Dir) {
			pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern has nothing but digits there
			pids = append(pids, pid)
		}
	}
	return pids
}

// leftAttention gives the items of processes that could not be ended.
func leftAttention(x *site) (items []AttentionItem) {
	r, err := x.ask(Request{Op: "attention"})
	if err != nil {
		x.T.Fatal(err)
	}
	for _, item := range r.Items {
		if item.Kind == "left" {
			items = append(items, item)
		}
	}
	return items
}

// TestLeftOfAnotherUser: a process that a task has started as root outlives the task. The run's record, its output and
// Attention say what it is, whose, and where. Until it is gone no fire becomes a run, even when agent and principal are
// started again.
func TestLeftOfAnotherUser(t *testing.T) {
	x := leftRig(t)
	x.File("w.yml", "schedule: '@every 1s'\ntasks:\n  a: {run: '[ -e $DIR/quiet ] || $DIR/asroot --userspec=0:0 / "+
		"sleep 1000 & echo begun'}\n")
	p := x.Principal()
	agent := x.Agent("edge")
	skips := func(since time.Time) (n int) {
		for _, d := range x.decisions("w") {
			if !d.Fired && d.Made.After(since) && strings.Contains(d.Reason, "left lives on agent edge: pid ") {
				n++
			}
		}
		return n
	}
	made := func() (newest time.Time) {
		for _, d := range x.decisions("w") {
			newest = d.Made
		}
		return newest
	}
	x.Until("a fire is held back", func() bool { return skips(time.Time{}) > 0 })
	pids := leftPids(x)
	run := x.workflow("w").Last.ID
	r := x.show(run)
	if len(pids) != 1 || len(r.Left) != 1 || r.State != runSucceeded {
		t.Fatalf("the processes %d are left, and a %s run says %+v", pids, r.State, r.Left)
	}
	want := LeftProcess{Agent: "edge", Task: "a", Attempt: 1, PID: pids[0], User: "root", Command: "sleep 1000",
		Why: "agent edge may not end what is another user's"}
	if r.Left[0] != want {
		t.Errorf("the run says %+v, want %+v", r.Left[0], want)
	}
	named := "pid " + strconv.Itoa(pids[0]) + " (root): sleep 1000"
	for what, text := range map[string]string{"show": x.OK("show", run), "show --json": x.OK("show", run, "--json"),
		"logs": x.OK("logs", run), "attention": x.OK("attention"),
		"why": x.OK("why", "w"), "the agent's log": agent.Err.String()} {
		if what == "show --json" {
			named := `"pid":` + strconv.Itoa(pids[0]) + `,"user":"root","command":"sleep 1000"`
			if !strings.Contains(text, named) {
				t.Errorf("%s does not name %s:\n%s", what, named, text)
			}
		} else if !strings.Contains(text, named) {
			t.Errorf("%s does not name %s:\n%s", what, named, text)
		}
	}
	if items := leftAttention(x); len(items) != 1 || items[0].Workflow != "w" || items[0].Runs[0] != run ||
		items[0].Agent != "edge" {
		t.Errorf("attention: %+v", items)
	}

	again := func(what string) {
		t.Helper()
		x.Until("a principal answers", func() bool { return x.show(run) != nil })
		since := made()
		x.Until("a fire is held back after "+what, func() bool { return skips(since) > 0 })
		if is := leftPids(x); len(is) != 1 || is[0] != pids[0] || x.workflow("w").Last.ID != run {
			t.Errorf("after %s there are %d, and run %s", what, is, x.workflow("w").Last.ID)
		}
	}
	agent.Kill()
	agent = x.Agent("edge")
	agent.Saw(&agent.Err, "could not end still lives")
	again("the end of the agent")
	p.Kill()
	x.Principal()
	again("the end of the principal")
	agent.Stop()
	x.Agent("edge")
	again("a stop of the agent")

	if err := errors.Join(os.WriteFile(x.Dir+"/quiet", nil, 0o644), syscall.Kill(pids[0],
		syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	x.Until("the next fire becomes a run", func() bool { return x.workflow("w").Last.ID != run })
	if r := x.show(run); len(r.Left) != 1 || r.Left[0].Gone.IsZero() {
		t.Errorf("the run says %+v", r.Left)
	}
	if items := leftAttention(x); len(items) != 0 {
		t.Errorf("attention: %+v", items)
	}
	if text := x.OK("show", run); !strings.Contains(text, "gone since") {
		t.Errorf("show says\n%s", text)
	}
	if _, err := os.Stat(x.Dir + "/edge/" + "left.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the agent's table: %v", err)
	}
}

// TestLeftStop cancels a run whose only process is root's. The record says that the process lives, and with overlap:
// queue the next run waits.
func TestLeftStop(t *testing.T) {
	x := leftRig(t)
	x.File("w.yml", "overlap: queue\ntasks:\n  a: {run: '[ -e $DIR/quiet ] && exit; echo begun; exec $DIR/asroot "+
		"--userspec=0:0 / sleep 1000'}\n")
	x.Principal()
	x.Agent("edge")
	run := x.Start("w")
	x.Until("it is at it", func() bool { return len(leftPids(x)) == 1 })
	x.OK("cancel", run)
	r := x.await(run)
	pids := leftPids(x)
	if r.State != runCancelled || len(pids) != 1 || len(r.Left) != 1 || r.Left[0].PID != pids[0] ||
		r.Left[0].User != "root" {
		t.Fatalf("%d live, and the %s run says %+v", pids, r.State, r.Left)
	}
	if text := x.OK("logs", run); !strings.Contains(text,
		"could not be ended and go on (1): pid "+strconv.Itoa(pids[0])+" (root): sleep 1000") {
		t.Errorf("logs:\n%s", text)
	}
	if err := os.WriteFile(x.Dir+"/quiet", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	next := x.Start("w")
	x.Until("it says what it waits for", func() bool {
		r := x.show(next)
		return r.State == runQueued && strings.Contains(r.Reason,
			"what run "+run+" left lives on agent edge: pid "+strconv.Itoa(pids[0]))
	})
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := x.await(next); r.State != runSucceeded {
		t.Errorf("the next one is %s: %s", r.State, r.Reason)
	}
}
