package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// procTestHang makes a program whose start hangs, as one on a file system that does not answer does: another open of the file, with
// a lease, holds up each execve of it until free is called. What the program does is to touch the file mark.
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
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
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

// A task has each signal at its default and none blocked, whatever was ignored or blocked where its agent was started, as by nohup.
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
	if res, log := procTestRun(t, procTestNew(t), "exec grep -E '^Sig(Ign|Blk)' /proc/self/status"); res.Reason != "" || log.text(false) != "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" {
		t.Errorf("%s%q", res.Reason, log.text(false))
	}
}
