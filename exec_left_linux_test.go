// Tests of what cannot be ended. The rules are those of exec_test.go. That a process is another user's is played: the
// system is not asked to signal it. e2e/left_linux_test.go has the real ones.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// procTestDeny has the system refuse each signal, and gives what counts those of KILL.
func procTestDeny(ps *procs) *atomic.Int64 {
	var kills atomic.Int64
	ps.kill = func(_ int, sig syscall.Signal) error {
		if sig == unix.SIGKILL {
			kills.Add(1)
		}
		return unix.EPERM
	}
	return &kills
}

// procTestLeft has a spec tell what is left into a channel.
func procTestLeft(spec *procSpec) chan []procLeft {
	told := make(chan []procLeft, 100)
	spec.Left = func(left []procLeft) { told <- left }
	return told
}

// What may not be signalled is told of before the end of the task, and not counted among what is being ended; once it
// has gone, that is told as well.
func TestProcLeftDenied(t *testing.T) {
	for _, test := range []struct {
		name, script, reason string
		stop, main           bool
	}{
		{name: "a child", script: "sleep 1000 & echo $!"},
		{name: "the main process", script: "echo $$; exec sleep 1000", stop: true, main: true,
			reason: "stopped by test (process %d is another user's, and goes on)"},
		{name: "a child in a session of its own", script: "setsid sh -c 'echo $$; exec sleep 1000' & wait", stop: true,
			reason: "stopped by test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ps := procTestNew(t)
			output, line := procTestLine()
			spec := procTestSh(t, test.script, nil)
			spec.Output = procTestEach(output)
			told := procTestLeft(&spec)
			procTestDeny(ps)
			p := procTestStart(t, ps, spec)
			pid, err := strconv.Atoi(procTestRecv(t, line, "pid"))
			if err != nil {
				t.Fatal(err)
			}
			procTestUntil(t, "it sleeps", func() bool { return procName(pid) == "sleep" })
			if test.stop {
				p.stop("stopped by test")
				if !test.main {
					unix.Kill(p.pid, unix.SIGKILL) // it alone may be signalled
				}
			}
			r := procTestDone(t, p)
			if test.main {
				test.reason = fmt.Sprintf(test.reason, pid)
			}
			if r.Reason != test.reason || len(r.Left) != 0 {
				t.Errorf("%+v", r)
			}
			st, _ := procStatOf(pid)
			want := procLeft{PID: pid, Start: st.start, UID: os.Geteuid(), Command: "sleep 1000", Denied: true}
			select { // what it was told of first may have had the shell in it
			case left := <-told:
				for len(told) > 0 {
					left = <-told
				}
				if len(left) == 1 && left[0].Command != want.Command { // it was just becoming that
					left[0].Command = want.Command
				}
				if !slices.Equal(left, []procLeft{want}) {
					t.Errorf("told of %+v, want %+v", left, want)
				}
			default:
				t.Error("it has ended, and nothing was told of before")
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
			for left := []procLeft{want}; len(left) > 0; { // or what it is was only known now
				left = procTestRecv(t, told, "word that it has gone")
			}
			ps.work.Wait()
		})
	}
}

// What is another user's and forks all the time keeps nobody busy.
func TestProcLeftForks(t *testing.T) {
	ps := procTestNew(t)
	file := t.TempDir() + "/forks"
	output, line := procTestLine()
	spec := procTestSh(t, "(while :; do /bin/true; printf x >> "+file+"; done) & echo $!", nil)
	spec.Output, spec.Grace = procTestEach(output), 10*time.Millisecond
	told := procTestLeft(&spec)
	kills := procTestDeny(ps)
	p := procTestStart(t, ps, spec)
	pid, _ := strconv.Atoi(procTestRecv(t, line, "pid"))
	defer unix.Kill(pid, unix.SIGKILL)
	procTestDone(t, p)
	procTestRecv(t, told, "word of it")
	procTestUntil(t, "KILL", func() bool { return kills.Load() > 0 })
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	from := size()
	procTestUntil(t, "300 forks", func() bool { return size() > from+300 })
	if n := kills.Load(); n > 60 {
		t.Errorf("KILL was tried %d times while it forked 300 times", n)
	}
	unix.Kill(-p.pid, unix.SIGKILL)
	ps.work.Wait()
}

// Whoever belonged to a task once belongs to it until it has ended, whatever finds it.
func TestProcRoster(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	st, _ := procStatOf(cmd.Process.Pid)
	found := []procMember{{pid: st.pid, group: st.group, start: st.start}, {pid: os.Getpid()}}
	r := procRoster{find: func() []procMember { return found }}
	if is := r.look(); !slices.Equal(is, found) {
		t.Errorf("%+v", is)
	}
	found = nil
	for range 2 {
		if is := r.look(); len(is) != 1 || is[0] != (procMember{pid: st.pid, start: st.start}) {
			t.Errorf("after it is not found any more: %+v", is)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if is := r.look(); len(is) != 0 {
		t.Errorf("after its end: %+v", is)
	}
}

// What an earlier life left is found by its cookie, and with it what shows none and is in its session or descends from
// it; not what shows that it is somebody else's. What cannot be ended is named, by that cookie.
func TestProcLeftoversWithoutCookie(t *testing.T) {
	ps := procTestNew(t)
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `note() { until [ "$(cat /proc/$1/comm)" = sleep ]; do :; done; echo $1 > `+dir+`/$2; }
		env -i sleep 1000 & note $! session
		setsid env -i sleep 1000 & note $! child
		`+procTestKey+`=other setsid sleep 1000 & note $! other
		: > `+dir+`/ready; wait`)
	mine := procTestCookie(t) + "mine"
	cmd.Env, cmd.SysProcAttr = []string{"PATH=" + os.Getenv("PATH"), procTestKey + "=" + mine},
		&unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	procTestUntil(t, "all are there", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
	pid := map[string]int{}
	for _, name := range []string{"session", "child", "other"} {
		text, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		pid[name], _ = strconv.Atoi(strings.TrimSpace(string(text)))
		if pid[name] == 0 {
			t.Fatalf("%s: %q", name, text)
		}
	}
	find := func(s string) bool { return s == mine }
	deny := pid["child"]
	ps.kill = func(pid int, sig syscall.Signal) error {
		if pid == deny || pid == -deny {
			return unix.EPERM
		}
		return unix.Kill(pid, sig)
	}
	n, left := ps.killLeftovers(find, 100*time.Millisecond)
	if n != 3 || len(left) != 1 || len(left[mine]) != 1 || left[mine][0].PID != deny || !left[mine][0].Denied {
		t.Errorf("found %d, and left are %+v; the child is %d", n, left, deny)
	}
	for name, lives := range map[string]bool{"session": false, "child": true, "other": true} {
		if st, ok := procStatOf(pid[name]); (ok && !st.dead) != lives {
			t.Errorf("%s lives: %v", name, !lives)
		}
		unix.Kill(pid[name], unix.SIGKILL)
	}
	for name := range pid { // they have come to us
		procTestUntil(t, "the end of "+name, func() bool { _, ok := procStatOf(pid[name]); return !ok })
	}
}
