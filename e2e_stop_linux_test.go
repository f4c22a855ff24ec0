package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// stopDeaf starts cdktr with standard output and error in a full pipe that nobody reads, and waits until it hangs in a
// write.
func stopDeaf(x *e2e, args ...string) (cmd *exec.Cmd, ended chan struct{}) {
	x.T.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		x.T.Fatal(err)
	}
	for err := error(nil); err == nil; {
		_, err = unix.Write(pipe[1], make([]byte, 4096))
	}
	if err := unix.SetNonblock(pipe[1], false); err != nil {
		x.T.Fatal(err)
	}
	full := os.NewFile(uintptr(pipe[1]), "full")
	defer full.Close()
	x.T.Cleanup(func() { unix.Close(pipe[0]) })
	cmd, ended = exec.Command(x.Bin, args...), make(chan struct{})
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = x.Env, x.Dir, full, full
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		x.T.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(ended)
	}()
	x.T.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	x.Until("it hangs", func() bool {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/*/wchan")
		for _, task := range tasks {
			if at, _ := os.ReadFile(task); strings.Contains(string(at), "pipe_write") {
				return true
			}
		}
		return false
	})
	return cmd, ended
}

// Signals end a process whatever it waits for: the second after some seconds, a third at once.
func TestStopHangs(t *testing.T) {
	for name, args := range map[string][]string{
		"principal":            {"start", "principal"},
		"principal with agent": {"start", "principal", "--with-agent"},
		"agent":                {"start", "agent"},
		"run":                  {"run", "workflows/a.yml"},
	} {
		t.Run(name, func(t *testing.T) {
			x := e2eNew(t)
			x.File("a.yml", "tasks:\n  a: {run: 'echo hi; exec sleep 600'}\n")
			cmd, ended := stopDeaf(x, args...)
			for deadline := time.After(harness.Patience); ; {
				cmd.Process.Signal(syscall.SIGTERM)
				select {
				case <-ended:
					if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
						t.Errorf("exit code %d", code)
					}
					return
				case <-time.After(harness.Poll):
				case <-deadline:
					t.Fatal("it does not end")
				}
			}
		})
	}
	t.Run("two signals", func(t *testing.T) {
		x := e2eNew(t)
		x.File("a.yml", "tasks:\n  a: {run: 'trap \": > "+x.Dir+"/stopped\" TERM; : > "+x.Dir+
			"/begun; echo hi; sleep 600 & wait; sleep 600'}\n")
		cmd, ended := stopDeaf(x, "run", "workflows/a.yml")
		there := func(name string) func() bool {
			return func() bool { _, err := os.Stat(x.Dir + name); return err == nil }
		}
		x.Until("the task runs", there("/begun"))
		cmd.Process.Signal(syscall.SIGINT)
		x.Until("the task is stopped", there("/stopped"))
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit code %d", code)
			}
		case <-time.After(harness.Patience):
			t.Fatal("it does not end")
		}
	})
}

// A stop ends a run and leaves nothing, also when the file for a task's outputs is no regular file, or a program hangs
// in the kernel.
func TestRunFileHangs(t *testing.T) {
	x := e2eNew(t)
	x.File("outputs.yml", "tasks:\n  a: {run: 'mkfifo \"$CDKTR_OUTPUT\"'}\n")
	p := x.Spawn("run", "workflows/outputs.yml")
	if code := p.Wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	p.Saw(&p.Err, "not a regular file")
	program, mark, _ := procTestHang(t)
	x.File("hangs.yml", "tasks:\n  a: {cmd: "+program+"}\n  b: {run: 'echo b'}\n")
	p = x.Spawn("run", "workflows/hangs.yml")
	p.Saw(&p.Out, "b\n")
	p.Signal(syscall.SIGINT)
	if code := p.Wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("it ran after all")
	}
}

// TestHangupTerminal: with a terminal, HUP means that the terminal is gone, and ends a principal in good order.
func TestHangupTerminal(t *testing.T) {
	x := e2eNew(t)
	p := termPtyOpen(t, 200, 50)
	p.start(x.Env, x.Bin, "start", "principal")
	x.Until("the principal answers", func() bool { _, err := x.ask(Request{Op: "ping"}); return err == nil })
	p.signal(syscall.SIGHUP)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
