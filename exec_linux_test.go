// Tests of exec_linux.go: processes that escape, what is inherited, what is left. The rules are those of exec_test.go.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// TestProcSetsidGrandchildIsKilled: ways out of the group, while the main process runs and after its end.
func TestProcSetsidGrandchildIsKilled(t *testing.T) {
	for name, escape := range map[string]string{
		"setsid":        "setsid sh -c 'echo $$; exec sleep 1000' & ",
		"ignores":       "setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000; sleep 1000' & ",
		"double":        "(setsid sh -c '(echo $(exec sh -c \"echo \\$PPID\"); exec sleep 1000) &' &) ; ",
		"no cookie":     "setsid env -i sh -c 'echo $$; sleep 1000' & ",
		"double, blank": "(setsid env -i /bin/sh -c '(sleep 1000; :) & echo $!' & ) ; ",
		"own group":     "timeout 1000 sh -c 'trap \"\" TERM; echo $$; sleep 1000; :' & ",
	} {
		for _, end := range []string{"read x", "exit 5"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				ps := procTestNew(t)
				output, pid := procTestLine()
				script := escape + "sleep 1000"
				if end == "exit 5" { // the main process ends when the escaped one has told its pid
					script = "{ " + escape + " :; } | { read x; echo $x; exit 5; }"
				}
				spec := procTestSh(t, script, nil)
				spec.Output = procTestEach(output)
				p := procTestStart(t, ps, spec)
				n, err := strconv.Atoi(procTestRecv(t, pid, "pid"))
				if err != nil {
					t.Fatal(err)
				}
				st, _ := procStatOf(n)
				if end == "exit 5" {
					if r := procTestDone(t, p); r.Exit != 5 {
						t.Errorf("%+v", r)
					}
				} else {
					procTestStop(t, p, spec.Grace)
				}
				ps.work.Wait()
				if procLives(procMember{pid: n, start: st.start}) {
					t.Errorf("%d lives", n)
					unix.Kill(n, unix.SIGKILL)
				}
				procTestNoneLeft(t, ps, spec.Cookie)
			})
		}
	}
}

func TestProcDoubleForkDaemonNoZombie(t *testing.T) {
	ps := procTestNew(t)
	output, ready := procTestLine()
	// Daemons that end while the main process lives: their zombies come to us.
	spec := procTestSh(t, "for i in 1 2 3 4 5; do (setsid sh -c 'true &' &); done; (setsid sh -c 'exit 3' &); echo "+
		"ready; exec sleep 1000", nil)
	spec.Output = procTestEach(output)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	procTestUntil(t, "only the main process left, and no zombie", func() bool {
		return len(procTestZombies()) == 0 && len(procTestAlive(ps, spec.Cookie)) == 1
	})
	procTestStop(t, p, spec.Grace)
}

func TestProcForkBomb(t *testing.T) {
	for name, script := range map[string]string{
		"group": `f() { trap "" TERM; while :; do (exec sleep 0.02); (f2 &); done; }; f2() { exec sleep 0.05; }
			i=0; while [ $i -lt 25 ]; do f & i=$((i+1)); done; echo ready; wait`,
		"sessions": `export S='trap "" TERM; sleep 0.03; setsid sh -c "$S" & exit'
			i=0; while [ $i -lt 20 ]; do setsid sh -c "$S" & i=$((i+1)); done; echo ready; trap "" TERM; wait; sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			ps := procTestNew(t)
			output, ready := procTestLine()
			spec := procTestSh(t, script, nil)
			spec.Output = procTestEach(output)
			p := procTestStart(t, ps, spec)
			procTestRecv(t, ready, "line")
			procTestStop(t, p, spec.Grace)
			ps.work.Wait()
			procTestNoneLeft(t, ps, spec.Cookie)
		})
	}
}

// TestProcInheritedFds runs itself with a descriptor too many.
func TestProcInheritedFds(t *testing.T) {
	const inner = "PROC_TEST_INNER_FDS"
	if os.Getenv(inner) == "" {
		extra, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer extra.Close()
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcInheritedFds$", "-test.v")
		cmd.Env = append(os.Environ(), inner+"=1")
		cmd.ExtraFiles = []*os.File{extra, extra, extra, extra, extra}
		text, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(text, []byte("--- PASS")) {
			t.Errorf("%v: %s", err, text)
		}
		return
	}
	for fd := 3; fd <= 7; fd++ { // set by nobody before newProcs
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			t.Fatalf("fd %d did not come: %v %v", fd, flags, err)
		}
	}
	ps := procTestNew(t)
	_, log := procTestRun(t, ps, "ls /proc/$$/fd")
	if got := log.text(false); got != "0\n1\n2\n" {
		t.Errorf("descriptors of a task: %q", got)
	}
	for fd := 3; fd <= 7; fd++ { // the way of older kernels
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	if err := procSealFds(); err != nil {
		t.Error(err)
	}
	if _, log = procTestRun(t, ps, "ls /proc/$$/fd"); log.text(false) != "0\n1\n2\n" {
		t.Errorf("descriptors of a task: %q", log.text(false))
	}
}

// procTestFds counts our descriptors, without those that are kept for the next processes.
func procTestFds(t testing.TB, ps *procs) int {
	t.Helper()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(dir) - len(ps.polls)
}

// procTestFdsLeft waits until no more descriptors are open than before. The collector, which is a goroutine of its own,
// may look at a process of /proc just now, and has some of its files open while it does.
func procTestFdsLeft(t testing.TB, ps *procs, before int) {
	t.Helper()
	procTestUntil(t, "as many descriptors as before", func() bool { return procTestFds(t, ps) <= before })
}

func TestProcFdLeak(t *testing.T) {
	ps := procTestNew(t)
	procTestRun(t, ps, "echo")
	before, goroutines := procTestFds(t, ps), runtime.NumGoroutine()
	for range 200 {
		p := procTestStart(t, ps, procTestSh(t, "echo", nil))
		procTestDone(t, p)
	}
	ps.work.Wait()
	procTestFdsLeft(t, ps, before)
	procTestUntil(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestProcNoZombies: our processes, their orphans, and children of other code, all at the same time.
func TestProcNoZombies(t *testing.T) {
	ps := procTestNew(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 15 {
				spec := procTestSh(t, "(setsid true &); (sleep 0.01 &); exit 9", nil)
				spec.Cookie += fmt.Sprint(i, "/", j) // or each would end the orphans of the others
				p, err := ps.start(context.Background(), spec)
				if err != nil {
					t.Error(err)
					return
				}
				if r := procTestDone(t, p); r.Exit != 9 {
					t.Errorf("%+v", r)
				}
			}
		})
		wg.Go(func() {
			for range 25 {
				var exit *exec.ExitError
				if err := exec.Command("sh", "-c", "true; exit 8").Run(); !errors.As(err, &exit) ||
					exit.ExitCode() != 8 {
					t.Errorf("os/exec: %v", err)
				}
			}
		})
	}
	wg.Wait()
	ps.work.Wait()
	procTestNoneLeft(t, ps, procTestCookie(t))
}

// TestProcWithoutReaper: the ways of a kernel that does not list children.
func TestProcWithoutReaper(t *testing.T) {
	ps := procTestNew(t)
	ps.sys.close()
	ps.sys.reaper = false
	output, ready := procTestLine()
	spec := procTestSh(t, "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000; :' &); (timeout "+
		"1000 sleep 1000 &); sleep 1000; sleep 1000", nil)
	spec.Output = procTestEach(output)
	p := procTestStart(t, ps, spec)
	procTestRecv(t, ready, "line")
	procTestStop(t, p, spec.Grace)
	ps.work.Wait()
	procTestNoneLeft(t, ps, spec.Cookie)
	p = procTestStart(t, ps, procTestSh(t, "(setsid sleep 1000 &); sleep 1000 & exit 1", nil))
	if r := procTestDone(t, p); r.Exit != 1 {
		t.Errorf("%+v", r)
	}
	ps.work.Wait()
}

// TestProcAwaitSteps: the ways of a kernel without pidfds.
func TestProcAwaitSteps(t *testing.T) {
	ps := procTestNew(t)
	p := procTestStart(t, ps, procTestSh(t, "exec sleep 1000", nil))
	members := p.members()
	if len(members) != 1 {
		t.Fatalf("%v", members)
	}
	cut := make(chan struct{})
	close(cut)
	procAwaitSteps(members, procLives, time.NewTimer(procTestWait), cut, nil)
	procAwaitSteps(members, procLives, time.NewTimer(time.Millisecond), nil, nil)
	if !procLives(members[0]) {
		t.Error("ended")
	}
	ps.signal(members, unix.SIGKILL)
	procAwaitSteps(members, procLives, time.NewTimer(procTestWait), nil, nil)
	if procLives(members[0]) {
		t.Error("lives")
	}
	procTestDone(t, p)
}

// TestProcInNamespace: where our session was begun by somebody outside of our PID namespace, as it is for what docker
// exec and unshare start, the kernel says 0 for it, which it says of its own threads, too.
func TestProcInNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		harness.Lacks(t, "only root can make a PID namespace")
	}
	out, err := exec.Command("unshare", "-pf", "--mount-proc", os.Args[0], "-test.v",
		"-test.run=^(TestProcLeftovers|TestProcSetsidGrandchildIsKilled)$").CombinedOutput()
	if err != nil || bytes.Count(out, []byte("\n--- PASS")) != 2 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestProcLeftovers: what an earlier life left is found by its cookie; what others left is not touched.
func TestProcLeftovers(t *testing.T) {
	ps := procTestNew(t)
	var cmds []*exec.Cmd
	for _, c := range []struct{ cookie, script string }{
		{"agent7/r1/a/1", "echo; exec sleep 1000"},
		{"agent7/r1/b/1", "trap '' TERM; echo; read forever"}, // no child, which would be left to us
		{"agent8/r1/a/1", "echo; exec sleep 1000"},
	} {
		cmd := exec.Command("sh", "-c", c.script)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), procTestKey + "=" + c.cookie}
		if _, err := cmd.StdinPipe(); err != nil { // open until Wait: nothing comes
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.Read(make([]byte, 1)) // it has set its trap
		t.Cleanup(func() { cmd.Process.Kill() })
		time.AfterFunc(procTestWait, func() { cmd.Process.Kill() })
		cmds = append(cmds, cmd)
	}
	begin := time.Now()
	n, _ := ps.killLeftovers(func(c string) bool { return strings.HasPrefix(c, "agent7/") }, 300*time.Millisecond)
	if n < 2 || n > 3 || time.Since(begin) > 10*time.Second {
		t.Errorf("found %d in %v", n, time.Since(begin))
	}
	for i, want := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL} {
		cmds[i].Wait()
		if ws := cmds[i].ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != want {
			t.Errorf("%d: %v", i, ws.Signal())
		}
	}
	if st, ok := procStatOf(cmds[2].Process.Pid); !ok || st.dead {
		t.Error("another agent's process was killed")
	}
	cmds[2].Process.Kill()
	cmds[2].Wait()
	if n, _ := ps.killLeftovers(func(c string) bool { return strings.HasPrefix(c, "agent7/") }, time.Hour); n != 0 {
		t.Errorf("%d left", n)
	}
}

// Where the system has no descriptor for the end of a process, as before Linux 5.3, SIGCHLD alone says so.
func TestProcUntold(t *testing.T) {
	if os.Getenv("PROC_UNTOLD") == "" { // in a process of its own: what is forbidden stays so
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcUntold$", "-test.count=1")
		cmd.Env = append(os.Environ(), "PROC_UNTOLD=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	procTestForbid(t, unix.SYS_PIDFD_OPEN)
	t.Run("exit", TestProcExitCodes)
	t.Run("storm", TestProcStorm)
	t.Run("leaves", TestProcNoZombies)
	t.Run("blocked", TestProcBlockedCallbackEnds)
	t.Run("stopped", TestProcBlockedCallbackStop)
	t.Run("descriptors", TestProcFdLeak)
}

// What a process costs our memory is held to a number, and processes one after the other share one set of descriptors.
func TestProcAllocs(t *testing.T) {
	ps := procTestNew(t)
	spec := procSpec{Argv: []string{"/bin/true"}, Output: func(procLines) {}, Cookie: procTestCookie(t)}
	n := allocsOf(50, func() {
		p, err := ps.start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		procTestRecv(t, p.readDone, "end of the reader")
	})
	if n > 50 {
		t.Errorf("%v allocations for a process", n)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.polls) != 1 {
		t.Errorf("%d sets of descriptors", len(ps.polls))
	}
}

// A process costs so many calls of the system and no more: ours, and those of its child up to the program. What the
// runtime does to wait, and to wake its threads, is not counted: that depends on the machine.
func TestProcCalls(t *testing.T) {
	if n, err := strconv.Atoi(os.Getenv("PROC_CALLS")); err == nil {
		ps := procTestNew(t)
		for range n {
			p := procTestStart(t, ps, procSpec{Argv: []string{"/bin/true"}, Cookie: procTestCookie(t)})
			procTestRecv(t, p.readDone, "end of reader")
		}
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		harness.Lacks(t, "apt install strace: %v", err)
	}
	const few, runs = 10, 50
	own, births := procTestCalls(t, strace, few)
	moreOwn, moreBirths := procTestCalls(t, strace, few+runs)
	sum := 0
	for name := range moreOwn {
		moreOwn[name] -= own[name]
		sum += moreOwn[name]
	}
	t.Logf("of %d processes: %d calls of ours, %d of the children: %v", runs, sum, moreBirths-births, moreOwn)
	if sum > 34*runs || moreBirths-births > 73*runs {
		t.Error("that is more than 34 and 73 for each")
	}
}

// procTestCalls counts the calls of TestProcCalls with so many processes.
func procTestCalls(t *testing.T, strace string, n int) (own map[string]int, births int) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(strace, "-ff", "-qq", "-o", dir+"/trace", "-e", "signal=none", "-e", "trace=clone,pipe2,close,"+
		"close_range,dup3,fcntl,epoll_create1,epoll_ctl,read,pread64,openat,newfstatat,access,wait4,kill,pidfd_open,"+
		"rt_sigaction,rt_sigprocmask,setsid,prctl,prlimit64,chdir,execve", os.Args[0], "-test.run=^TestProcCalls$",
		"-test.count=1")
	cmd.Env = append(os.Environ(), "PROC_CALLS="+strconv.Itoa(n), "GOGC=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, err := filepath.Glob(dir + "/trace.*")
	if err != nil {
		t.Fatal(err)
	}
	own = map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if birth, _, is := strings.Cut(string(text), `execve("/bin/true"`); is {
			births += strings.Count(birth, "\n") + 1
			continue
		}
		for line := range strings.Lines(string(text)) {
			name, _, _ := strings.Cut(line, "(")
			own[name]++
		}
	}
	return own, births
}

// Children that end one soon after the other, without end, put the collecting off by procReap and no more.
func TestProcCollectsAmid(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ps := &procs{sigCh: make(chan os.Signal, 1), quitCh: make(chan struct{}), mains: map[int]*proc{}}
		p := &proc{ps: ps, pid: cmd.Process.Pid}
		ps.mains[p.pid] = p
		ps.loop.Go(ps.runCollect)
		for range 10 {
			ps.sigCh <- unix.SIGCHLD
			time.Sleep(procReap / 2)
		}
		ps.mu.Lock()
		if !p.ended {
			t.Error("it was not collected while others ended")
		}
		ps.mu.Unlock()
		close(ps.quitCh)
		ps.loop.Wait()
	})
}

// A process of whose end only SIGCHLD tells has each signal looked at while it lives, and no longer.
func TestProcUntoldWhileItLives(t *testing.T) {
	ps := procTestNew(t)
	long := procSpec{Argv: []string{"sleep", "1000"}, Env: []string{"PATH=" + procPath}, Cookie: procTestCookie(t)}
	p, err := ps.begin(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	ps.mu.Lock()
	p.poll.remove(p.endFd)
	unix.Close(p.endFd)
	p.endFd, p.untold, ps.untold = -1, true, ps.untold+1 // as for want of a descriptor
	ps.mu.Unlock()
	if !ps.someUntold() {
		t.Error("it is not counted")
	}
	go p.run()
	p.kill("enough")
	procTestRecv(t, p.done(), "the end of the process")
	if ps.someUntold() {
		t.Error("it counts though it has ended")
	}
}

// The last process that closes an output wakes nobody: its end does.
func TestProcCloseOutput(t *testing.T) {
	p := &proc{ps: procTestNew(t)}
	if err := p.openPipes(); err != nil {
		t.Fatal(err)
	}
	defer p.closePipes()
	theirs, err := unix.Dup(p.out[0].end)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(theirs)
	if ready, ok := p.poll.wait(false); len(ready) > 0 || !ok {
		t.Errorf("ready: %v %v", ready, ok)
	}
}

// From a SIGCHLD until the dead are collected the system drops further ones, unless one alone tells of an end.
func TestProcDeaf(t *testing.T) {
	handler := func() (action procAction) {
		if errno := procSigaction(unix.SIGCHLD, nil, &action); errno != 0 {
			t.Fatal(errno)
		}
		return action
	}
	runtime := handler()
	synctest.Test(t, func(t *testing.T) {
		ps := &procs{sigCh: make(chan os.Signal, 1), quitCh: make(chan struct{}), mains: map[int]*proc{}}
		ps.loop.Go(ps.runCollect)
		signal := func(deaf bool) {
			t.Helper()
			ps.sigCh <- unix.SIGCHLD
			synctest.Wait()
			if (handler() == procAction{}) != deaf {
				t.Errorf("deaf: %v, want %v", !deaf, deaf)
			}
			time.Sleep(procReap)
			synctest.Wait()
			if handler() != runtime {
				t.Error("it does not hear any more")
			}
		}
		signal(true)
		ps.mu.Lock()
		ps.untold = 1
		ps.mu.Unlock()
		signal(false)
		ps.mu.Lock()
		ps.untold = 0
		ps.mu.Unlock()
		ps.sigCh <- unix.SIGCHLD
		synctest.Wait()
		close(ps.quitCh)
		ps.loop.Wait()
		if handler() != runtime {
			t.Error("it does not hear at its end")
		}
	})
}

// A text is there for the process alone, whether or not it reads it, and leaves no descriptor with us.
func TestProcStdinText(t *testing.T) {
	ps := procTestNew(t)
	before := procTestFds(t, ps)
	text := strings.Repeat("a line\n", 9000)
	for _, c := range []struct{ script, want string }{{"sleep 0.01; cat", text}, {"true", ""},
		{"read a; echo $a; wc -c", "a line\n62993\n"}, {"cat >/dev/null; cat", ""}} {
		log := &procTestLog{}
		spec := procTestSh(t, c.script, log)
		spec.Stdin = text
		if r := procTestDone(t, procTestStart(t, ps, spec)); r.Exit != 0 {
			t.Errorf("%s: %+v, %s", c.script, r, log.text(true))
		}
		if got := strings.ReplaceAll(log.text(false), " ", ""); got != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%s: it read %d bytes: %.80q", c.script, len(got), got)
		}
	}
	ps.work.Wait()
	procTestFdsLeft(t, ps, before)
}
