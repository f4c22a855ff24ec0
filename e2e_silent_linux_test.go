// End-to-end tests of file systems that do not answer: a real mount whose server says nothing, like a network mount
// that hangs. The kernel holds up every process that looks at it, and only KILL ends that. They need root, to mount
// one.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cdktr/e2e/harness"
)

// silentMount mounts a file system that does not answer, and gives its folder.
func silentMount(x *e2e) string {
	x.T.Helper()
	dir := filepath.Join(x.Dir, "silent")
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(os.Mkdir(dir, 0o755), syscall.Mount("silent", dir, "fuse", 0,
			fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd())))
	}
	if err != nil {
		harness.Lacks(x.T, "no file system can be mounted here: %v", err)
	}
	x.T.Cleanup(func() {
		// one of the two answers everything with an error
		if err := errors.Join(server.Close(), syscall.Unmount(dir, syscall.MNT_DETACH)); err != nil {
			x.T.Error(err)
		}
	})
	return dir
}

// silentWaits says whether a thread of a process waits for such a file system.
func silentWaits(pid int) bool {
	stacks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
	for _, name := range stacks {
		if at, err := os.ReadFile(name); err == nil && (strings.Contains(string(at), "fuse") ||
			strings.HasPrefix(string(at), "request_wait")) {
			return true
		}
	}
	return false
}

// TestSilentStop: a process that waits for a file which does not answer ends at the first signal, whichever file that
// is.
func TestSilentStop(t *testing.T) {
	x := e2eNew(t)
	dir := silentMount(x)
	x.File("w.yml", "tasks: {a: {run: echo hi}}\n")
	over := func(p *harness.Proc) bool {
		select {
		case <-p.Exited:
			return true
		default:
			return false
		}
	}
	for name, args := range map[string][]string{
		"configuration": {"start", "principal", "--config", dir + "/c.yml"},
		"credential":    {"start", "agent", "--credential", dir + "/c.cred"},
		"of a client":   {"ping", "--credential", dir + "/c.cred"},
		"the workflows": {"start", "principal", "--workflows", dir},
		"one of them":   {"start", "principal"},
		"validate":      {"validate", dir + "/w.yml"},
		"all":           {"validate"},
		"run FILE":      {"run", dir + "/w.yml"},
	} {
		link := x.Dir + "/workflows/link.yml"
		os.Remove(link)
		if name == "one of them" || name == "all" {
			if err := os.Symlink(dir+"/w.yml", link); err != nil {
				t.Fatal(err)
			}
		}
		var p *harness.Proc
		code, inTime := 0, false
		for range 10 { // on a slow machine it may have given up before the signal comes
			p = x.Spawn(args...)
			x.Until(name+": it waits", func() bool { return silentWaits(p.Cmd.Process.Pid) || over(p) })
			_ = p.Cmd.Process.Signal(syscall.SIGTERM) // unless it has ended
			code = p.Wait()
			if !strings.Contains(p.Err.String(), "cdktr: ") ||
				!strings.Contains(p.Err.String(), errDiskSilent.Error()) {
				inTime = true
				break
			}
		}
		if !inTime {
			t.Fatalf("%s: it never waits for the signal", name)
		}
		want := exitInterrupted
		if name == "the workflows" || name == "one of them" {
			want = exitOK
		}
		if code != want || strings.Contains(p.Err.String(), "given up") {
			t.Errorf("%s: exit code %d, want %d: %s", name, code, want, p.Err.String())
		}
	}
}

// TestKill9AgentBirth: an agent is killed while its child waits to start a program. The child never starts it. The same
// agent, started again, kills the child; another agent leaves it alone.
func TestKill9AgentBirth(t *testing.T) {
	x := e2eNew(t)
	program, mark, free := procTestHang(t)
	x.File("w.yml", "tasks: {a: {cmd: "+program+"}}\n")
	x.Principal()
	agent := x.Agent("mortal")
	id := x.Start("w")
	var birth procMember
	x.Until("a child waits for its program", func() bool {
		for _, kid := range procKids(agent.Cmd.Process.Pid) {
			if kid.session == kid.pid && strings.HasPrefix(procName(kid.pid), "birth-") {
				birth = procMember{pid: kid.pid, start: kid.start}
			}
		}
		return birth.pid != 0
	})
	agent.Kill()
	x.Agent("other")
	if !procLives(birth) {
		t.Fatal("it did not outlive its agent, or another one ended it")
	}
	agent = x.Agent("mortal")
	if procLives(birth) {
		t.Error("it lives, and will run its program")
	}
	agent.Saw(&agent.Err, "killed processes that an earlier life of this agent left behind.*count=1")
	free()
	if run := x.await(id); run.State != runCrashed {
		t.Errorf("the run is %s (%s)", run.State, run.Reason)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the program ran")
	}
}
