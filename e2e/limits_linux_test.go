// End-to-end tests of limits. An agent that is nobody has no cgroup, and does what it can without. Root's may make
// cgroups below one that a test makes for it, as systemd would. Which controllers there are is the machine's.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// TestLimits: without a cgroup memory is bounded for each process, nice is set, and output, record and show say what is
// not in force, whatever restarts.
func TestLimits(t *testing.T) {
	x := leftRig(t) // its agent is nobody
	x.File("w.yml", `limits: {nice: 15, memory: 64M}
tasks:
  big:
    retries: 1
    retry_delay: 10ms
    run: 'head -c 100M /dev/zero | tail -c 90M >/dev/null'
  own: {run: 'nice; ulimit -Hd', limits: {nice: 17, memory: 1G}}
  each: {foreach: [a, b], run: nice, if: 'test $(nice) = 15'}
  short: {limits: {cpu: 50%, pids: 10}, run: 'exec true'}
  urgent: {limits: {nice: -7}, run: 'test $(nice) -ge 0'}
  not: {if: 'false', run: 'true'}
  until: {repeat: {every: 100ms, times: 2, until: 'false'}, run: 'true'}
on_exit: nice
`)
	p := x.Principal("--with-agent")
	run := x.run("w")
	const why = " (no cgroup is delegated to this agent: its unit needs Delegate=yes)"
	for task, want := range map[string]string{
		"big": "memory: each process alone; nice: set" + why, "own": "memory: each process alone; nice: set" + why,
		"each[a]": "memory: each process alone; nice: set" + why,
		"short":   "memory: each process alone; cpu, pids: not in force; nice: set" + why,
		"urgent": "memory: each process alone; nice: not in force" + strings.TrimSuffix(why, ")") +
			"; only root may go below the agent's own nice)",
	} {
		if got := run.task(task).Limited; got != want {
			t.Errorf("%s: %s, want %s", task, got, want)
		}
	}
	big := run.task("big")
	const reason = "exit 1, and each of its processes could not have more than 64M of memory"
	if big.State != runFailed || big.Reason != reason || len(big.Earlier) != 1 || big.Earlier[0].Reason != reason ||
		big.Earlier[0].Limited != big.Limited {
		t.Errorf("big: %+v", big)
	}
	for task, want := range map[string]string{"not": "if: exit 1",
		"until": "until: exit 1; given up after 2 attempts"} {
		if got := run.task(task).Reason; got != want {
			t.Errorf("%s: %s, want %s: what says no has not failed for its limits", task, got, want)
		}
	}
	for task, want := range map[string]string{"own": "17\n1048576\n", "each[b]": "15\n", "on_exit": "15\n"} {
		if out := x.OK("logs", run.ID, "--task", task); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %q", task, out, want)
		}
	}
	for _, task := range []string{"short", "urgent"} {
		if r := run.task(task); r.State != runSucceeded {
			t.Errorf("%s: %+v", task, r)
		}
	}
	out := x.OK("logs", run.ID)
	for _, said := range []string{run.task("own").Limited, run.task("short").Limited, run.task("urgent").Limited} {
		if n := strings.Count(out, "[cdktr: limits: "+said+"]"); n != 1 {
			t.Errorf("the output says %d times that %s:\n%s", n, said, out)
		}
	}
	p.Kill()
	x.Principal("--with-agent")
	for _, was := range run.Tasks {
		if is := x.show(run.ID).task(was.Task); is.Limited != was.Limited || is.Reason != was.Reason {
			t.Errorf("after a restart: %+v, before it %+v", is, was)
		}
	}
	if out := x.OK("show", run.ID); !strings.Contains(out, "big, own, until, each, on_exit: "+big.Limited+"\n") {
		t.Errorf("show:\n%s", out)
	}
	if out := x.OK("show", "w"); !strings.Contains(out, "memory 64M, nice 15; own memory 1G, nice 17; ") {
		t.Errorf("show w:\n%s", out)
	}
}

// limitsCgroup makes a cgroup, as systemd delegates one, for the agent of x.
func limitsCgroup(t *testing.T, x *site) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		harness.Lacks(t, "only root can make a cgroup")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup2 ") {
			dir = fmt.Sprintf("%s/e2e-%d", f[4], os.Getpid())
			break
		}
	}
	if dir == "" {
		harness.Lacks(t, "this machine has no cgroups of version 2")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // behind the end of the agent
		for _, name := range []string{dir + "/agent", dir} {
			if err := os.Remove(name); err != nil {
				t.Errorf("a cgroup is left: %v", err)
			}
		}
	})
	if err := unix.Setxattr(dir, "trusted.delegate", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	start := x.Dir + "/within"
	script := fmt.Sprintf("#!/bin/sh\n[ $1 != start ] || echo 0 >%s/cgroup.procs\nexec %s \"$@\"\n", dir, x.Bin)
	if err := os.WriteFile(start, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	x.Bin = start
	return dir
}

// TestLimitsCgroups: each attempt with limits has a cgroup, from which nothing escapes, and which is gone after it,
// whatever becomes of the attempt and of its agent. An agent without such tasks stays where it is.
func TestLimitsCgroups(t *testing.T) {
	x := newSite(t)
	dir := limitsCgroup(t, x)
	cgroups := func() []string {
		found, err := filepath.Glob(dir + "/cdktr-*")
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	inside := func(cgroup string) []string {
		text, _ := os.ReadFile(cgroup + "/cgroup.procs") // it may be gone
		return strings.Fields(string(text))
	}
	x.File("plain.yml", "tasks:\n  a: {run: 'exec tail -n 1 /proc/self/cgroup'}\n")
	x.File("short.yml", "limits: {pids: 50, nice: 3}\ntasks:\n  a: {run: 'tail -n 1 /proc/self/cgroup; nice'}\n")
	x.File("slow.yml", `tasks:
  a:
    limits: {pids: 50}
    grace: 1h
    run: 'trap "" TERM; env -i setsid sleep 1000 & env -i setsid sh -c "sleep 1001 & exec sleep 1002" & sleep 1003'
`)
	x.File("leaves.yml", `tasks:
  a:
    limits: {pids: 50}
    run: |
      env -i setsid sleep 1004 &
      while [ "$(cat /proc/$!/comm)" != sleep ]; do sleep 0.01; done
      echo "PID=$!" >>$CDKTR_OUTPUT
  b: {run: 'while [ ! -e $DIR/go ]; do sleep 0.05; done'}
`)
	p := x.Principal("--with-agent")
	where := func(workflow string) string { return x.OK("logs", x.run(workflow).ID) }
	if out := where("plain"); !strings.HasSuffix(out, "/"+filepath.Base(dir)+"\n") || len(inside(dir+"/agent")) > 0 {
		t.Errorf("without limits: %s", out)
	}
	short := x.run("short")
	if out := x.OK("logs", short.ID, "--task", "a"); !strings.Contains(out, "/"+filepath.Base(dir)+"/cdktr-") ||
		!strings.Contains(out, "-1\n3\n") || short.State != runSucceeded {
		t.Errorf("with limits: %+v\n%s", short, out)
	}
	if left := cgroups(); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
	if out := where("plain"); !strings.HasSuffix(out, "/agent\n") {
		t.Errorf("after one with limits: %s", out)
	}
	slow := func() (run string, pids []string) {
		run = x.Start("slow")
		x.Until("five processes are in a cgroup", func() bool {
			if found := cgroups(); len(found) == 1 {
				pids = inside(found[0])
			}
			return len(pids) == 5
		})
		return run, pids
	}
	gone := func(pids []string) {
		t.Helper()
		x.Until("the cgroup is gone, and what was in it", func() bool {
			for _, pid := range pids {
				if _, err := os.Stat("/proc/" + pid); err == nil {
					return false
				}
			}
			return len(cgroups()) == 0
		})
	}
	leaves := x.Start("leaves")
	x.Until("a task is over that leaves something behind, beside another one", func() bool {
		return x.show(leaves).task("a").State == runSucceeded
	})
	gone([]string{x.show(leaves).task("a").Outputs["PID"]})
	if err := os.WriteFile(x.Dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x.await(leaves)
	run, pids := slow()
	x.OK("cancel", run, "--force")
	if r := x.await(run); r.State != runCancelled {
		t.Errorf("cancelled: %+v", r)
	}
	gone(pids)
	run, pids = slow()
	p.Kill()
	x.Principal("--with-agent")
	if r := x.await(run); r.State != "crashed" {
		t.Errorf("after kill -9: %+v", r)
	}
	x.run("short") // with the first limits of its life it clears up
	gone(pids)
}
