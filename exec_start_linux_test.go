package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procTestHang makes a program whose start hangs, as one on a file system that does not answer does: another open of
// the file, with a lease, holds up each execve of it until free is called. What the program does is to touch the file
// mark.
func procTestHang(t testing.TB) (program, mark string, free func()) {
	t.Helper()
	dir := t.TempDir()
	program, mark = filepath.Join(dir, "program"), filepath.Join(dir, "mark")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n: > "+mark+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	// A child that another test is forking has the file open too, until it becomes its program.
	procTestUntil(t, "a lease of "+program, func() bool {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		return err == nil
	})
	free = func() { // a child that waits has the file open as well
		unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		f.Close()
	}
	t.Cleanup(free)
	return program, mark, free
}

// A start that hangs in the system holds up whoever called it and no end: told to stop, its process never begins.
func TestProcStartHangs(t *testing.T) {
	ps := procTestNew(t)
	program, mark, free := procTestHang(t)
	hung := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	begin := func(ctx context.Context, spec procSpec) <-chan error {
		ended, at := make(chan error, 1), make(chan struct{}, 100)
		spec.Stage = func(what string) {
			if strings.HasPrefix(what, "start ") {
				at <- struct{}{}
			}
		}
		go func() {
			_, err := ps.start(ctx, spec)
			ended <- err
		}()
		procTestRecv(t, at, "the start of "+spec.Argv[0])
		return ended
	}
	first := begin(ctx, procSpec{Argv: []string{program}, Cookie: procTestCookie(t)})
	procTestUntil(t, "a child that waits for its program", func() bool {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		return ps.starting == 1
	})
	runtime.GC() // which stops all threads, but for those of which the runtime knows that they wait
	if res, _ := procTestRun(t, ps, "exit 6"); res.Exit != 6 {
		t.Errorf("meanwhile: %+v", res)
	}
	select {
	case err := <-first:
		t.Fatalf("the first did not hang: %v", err)
	default:
	}
	cancel(hung)
	if err := procTestRecv(t, first, "the one that hung"); !errors.Is(err, hung) {
		t.Errorf("a start that was given up: %v", err)
	}
	free()
	if res, _ := procTestRun(t, ps, "exit 7"); res.Exit != 7 {
		t.Errorf("afterwards: %+v", res)
	}
	ps.close() // all has ended
	if _, err := os.Stat(mark); err == nil {
		t.Error("what was given up ran")
	}
}

// A child whose start hangs has none of our descriptors, which would keep connections and locks, and the pipes of other
// starts: also where the system cannot close many at once, as before Linux 5.9.
func TestProcStartDescriptors(t *testing.T) {
	switch os.Getenv("PROC_OLD") {
	case "":
		// what is forbidden stays so
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcStartDescriptors$", "-test.count=1")
		cmd.Env = append(os.Environ(), "PROC_OLD=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("without close_range: %v: %s", err, out)
		}
	default:
		procTestForbid(t, unix.SYS_CLOSE_RANGE)
		if err := unix.CloseRange(1<<30, 1<<30, 0); err != unix.ENOSYS {
			t.Fatalf("close_range: %v", err)
		}
	}
	ps := procTestNew(t)
	for _, fd := range []int{procForkGap / 2, procForkGap} { // as after many connections, most of them closed
		if err := unix.Dup3(int(ps.null.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	program, _, free := procTestHang(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := ps.start(ctx, procSpec{Argv: []string{program}, Cookie: procTestCookie(t)})
		ended <- err
	}()
	has := ""
	procTestUntil(t, "a child with four descriptors", func() bool {
		for _, kid := range procKids(os.Getpid()) {
			if kid.session != kid.pid {
				continue // it has not got so far yet
			}
			has = ""
			list, _ := os.ReadDir("/proc/" + strconv.Itoa(kid.pid) + "/fd")
			for _, fd := range list {
				has += fd.Name() + " "
			}
		}
		return has == "0 1 2 3 "
	})
	cancel()
	if err := procTestRecv(t, ended, "the start"); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was given up: %v", err)
	}
	free()
}

// A start waits for the end of its process or for output, which show that it has begun; where neither comes it looks.
func TestProcStartLooks(t *testing.T) {
	ps := procTestNew(t)
	for script, quick := range map[string]bool{"exit 3": true, "echo; exec sleep 1000": true,
		"exec sleep 1000": false} {
		ps.look = time.Hour
		if !quick {
			ps.look = time.Nanosecond
		}
		spec := procTestSh(t, script, nil)
		p, err := ps.start(t.Context(), spec)
		if err != nil {
			t.Fatalf("%s: %v", script, err)
		}
		if quick && len(p.early) != 1 {
			t.Errorf("%s: %d descriptors have something to read", script, len(p.early))
		}
		if script != "exit 3" {
			p.kill("enough")
		}
		procTestDone(t, p)
		if res := p.result(); script == "exit 3" && res.Exit != 3 {
			t.Errorf("%s: %+v", script, res)
		}
	}
	ps.look = time.Hour
	_, err := ps.start(t.Context(), procSpec{Argv: []string{"/none"}, Cookie: procTestCookie(t)})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no program: %v", err)
	}
}

// procTestForbid has the system say of a call, from here on and in the whole process, that there is none such.
func procTestForbid(t *testing.T, call uint32) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	procTestFilter(t, filter)
}

// procTestFilter puts a filter of system calls on this process, for good.
func procTestFilter(t *testing.T, filter []unix.SockFilter) {
	t.Helper()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
}

// close does not wait for ever for a fork that the kernel does not let go.
func TestProcCloseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := agentRigProcs(t)
		ps.work.Add(1) // as startIn does
		ended := make(chan struct{})
		go func() {
			ps.close()
			close(ended)
		}()
		time.Sleep(time.Minute)
		select {
		case <-ended:
		default:
			t.Error("close waits")
		}
		ps.work.Done() // close has left these to the end of the process
		close(ps.quitCh)
		ps.loop.Wait()
		ps.sys.close()
		ps.null.Close()
	})
}

// A task has each signal at its default and none blocked, whatever was ignored or blocked where its agent was started,
// as by nohup.
func TestProcStartSignals(t *testing.T) {
	if os.Getenv("PROC_SIGNALS") == "" { // in a process of its own: what signal.Ignore has done nothing takes back
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcStartSignals$", "-test.count=1")
		cmd.Env = append(os.Environ(), "PROC_SIGNALS=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	signal.Ignore(unix.SIGHUP, unix.SIGTTOU, unix.SIGTSTP)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	blocked := unix.Sigset_t{}
	blocked.Val[0] = 1 << (unix.SIGUSR1 - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil); err != nil {
		t.Fatal(err)
	}
	defer unix.PthreadSigmask(unix.SIG_UNBLOCK, &blocked, nil)
	if res, log := procTestRun(t, procTestNew(t), "exec grep -E '^Sig(Ign|Blk)' /proc/self/status"); res.Reason != "" ||
		log.text(false) != "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" {
		t.Errorf("%s%q", res.Reason, log.text(false))
	}
}

// BenchmarkProcFork starts a program in turns by our fork and by that of package syscall, in a process of some memory,
// and gives the medians: of a start, and of writing to each page of that memory afterwards, which is dearer where the
// child had a copy.
func BenchmarkProcFork(b *testing.B) {
	for _, size := range []int{0, 16 << 20, 100 << 20} {
		b.Run(fmt.Sprintf("%dMB", size>>20), func(b *testing.B) {
			ps := procTestNew(b)
			memory := make([]byte, size)
			write := func() {
				for i := 0; i < size; i += os.Getpagesize() {
					memory[i]++
				}
			}
			null := ps.null.Fd()
			attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: []uintptr{null, null, null},
				Sys: &syscall.SysProcAttr{Setsid: true}}
			took := map[string][]float64{}
			measure := func(name string, start func() (int, error)) {
				write()
				began := time.Now()
				pid, err := start()
				started := time.Now()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
					b.Fatal(err)
				}
				again := time.Now()
				write()
				took[name+"-start-µs"] = append(took[name+"-start-µs"], float64(started.Sub(began).Nanoseconds())/1e3)
				took[name+"-write-µs"] = append(took[name+"-write-µs"], float64(time.Since(again).Nanoseconds())/1e3)
			}
			for b.Loop() {
				measure("own", func() (int, error) {
					return ps.sys.fork(b.Context(), "/bin/true", []string{"true"}, attr, procTraits{umask: procNoUmask},
						nil)
				})
				measure("std", func() (int, error) {
					pid, _, err := syscall.StartProcess("/bin/true", []string{"true"}, attr)
					return pid, err
				})
			}
			for name, all := range took {
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2], name)
			}
		})
	}
}

// The child that shares our memory becomes its program, or says why not. Where the system refuses such a child, as
// qemu does, the fork makes a copy; so this also tries the fork that it takes, which stops the thread.
func TestProcForkShared(t *testing.T) {
	ps := procTestNew(t)
	null := ps.null.Fd()
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: []uintptr{null, null, null}}
	for _, flags := range []uintptr{unix.CLONE_VM, unix.CLONE_VM | unix.CLONE_VFORK} {
		for path, want := range map[string]syscall.Errno{"/bin/true": 0, "/none": unix.ENOENT} {
			birth, from, err := ps.sys.birth(path, []string{path}, attr)
			if err != nil {
				t.Fatal(err)
			}
			procBeforeFork()
			pid, errno := procForkShared(flags|uintptr(unix.SIGCHLD), birth)
			procAfterFork()
			unix.Close(int(birth.said))
			switch {
			case errno == unix.EINVAL:
				t.Logf("%#x: this machine or its system does not share", flags)
			case errno != 0:
				t.Errorf("%#x: %v", flags, errno)
			default:
				_, err = procAwaitBirth(t.Context(), int(pid), from, nil)
				if err != error(want) && (err != nil || want != 0) {
					t.Errorf("%#x: %s: %v, want %v", flags, path, err, want)
				}
				unix.Wait4(int(pid), nil, 0, nil)
			}
			unix.Close(from)
			runtime.KeepAlive(birth)
		}
	}
}

// Where a filter of system calls refuses a child that shares our memory, the fork makes a copy.
func TestProcForkRefused(t *testing.T) {
	if os.Getenv("PROC_REFUSED") == "" { // in a process of its own: what is forbidden stays so
		cmd := exec.Command(os.Args[0], "-test.run=^TestProcForkRefused$", "-test.count=1")
		cmd.Env = append(os.Environ(), "PROC_REFUSED=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	flags := uint32(unix.CLONE_VM | unix.SIGCHLD)
	procTestFilter(t, []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // the lower half of its first argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: flags, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
	if res, _ := procTestRun(t, procTestNew(t), "exit 5"); res.Exit != 5 {
		t.Errorf("%+v", res)
	}
}
