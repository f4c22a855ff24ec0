// sys_command.go: one line of shell that this machine runs for the program itself, beside everything else, as the alarm
// is. Whatever the command does, its caller has an answer within a bounded time, and nothing of it is left: it has a
// time, its output has a bound, and what it starts in the background ends a little after it.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	commandKept   = 4 << 10 // bytes of its output that are kept, the last
	commandFloods = 1 << 20 // bytes of output after which it gets no more written, and ends by SIGPIPE
	// how long what it left behind has to end by itself
	commandLinger = 200 * time.Millisecond
	commandGrace  = 2 * time.Second       // between TERM and KILL, and how long KILL may take
	commandLook   = 50 * time.Millisecond // between looks at what it left behind
)

// commandSpec says what to run.
type commandSpec struct {
	Line    string        // for /bin/sh -c
	Stdin   []byte        // a command that reads none of it is fine
	Env     []string      // all of its environment
	Timeout time.Duration // then it is stopped
}

// commandResult says how it ended.
type commandResult struct {
	Exit   *int   // nil: there was no process, or a signal ended it
	Reason string // why it failed, as "exit 3"; "" when it succeeded
	Output string // the last of what it wrote, to both streams
	Took   time.Duration
}

// commandRun runs a command and waits until it has ended: at most for its timeout, or until ctx ends, and then for
// commandGrace once after TERM and once after KILL. What it left behind in its process group is ended too. Any
// goroutine may call it.
//
// The command has a group of its own, in our session: the agent in this process takes children of other sessions for
// its own.
func commandRun(ctx context.Context, spec commandSpec) commandResult {
	began := time.Now()
	out := &commandOutput{}
	cmd := exec.Command("/bin/sh", "-c", spec.Line)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = spec.Env, bytes.NewReader(spec.Stdin), out, out
	cmd.WaitDelay = commandLinger // children in the background may hold its output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return commandResult{Reason: fmt.Sprintf("cannot be started: %v", err)}
	}
	group, ended := cmd.Process.Pid, make(chan struct{})
	go func() { // ends when the command has
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}()
	why, over := commandAwait(ctx, group, spec.Timeout, ended)
	if !over {
		return commandResult{Reason: why + ", and SIGKILL does not end it", Took: time.Since(began)}
	}
	r := commandResult{Took: time.Since(began), Output: out.text()}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Exited() {
		exit := status.ExitStatus()
		r.Exit = &exit
	}
	if r.Reason = why; why == "" {
		r.Reason = out.why(status)
	}
	commandEndGroup(ctx, group)
	return r
}

// commandMissing gives the first word of a line of shell, if that is plain and names nothing that the shell knows; else
// "".
func commandMissing(ctx context.Context, line string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(line, " \t\n"), " ")
	if word == "" || word[0] == '-' || strings.ContainsAny(word, "\"'`$\\|&;<>()={}[]*?#~!\t\n") {
		return ""
	}
	ctx, stop := context.WithTimeout(ctx, commandGrace)
	defer stop()
	err := exec.CommandContext(ctx, "/bin/sh", "-c", `command -v "$1" >/dev/null`, "sh", word).Run()
	if err == nil || ctx.Err() != nil {
		return ""
	}
	return word
}

// commandAwait waits for the end of a command, and stops its group when its time is over or ctx ends. It says why it
// was stopped, "" when it was not, and whether it has ended.
func commandAwait(ctx context.Context, group int, timeout time.Duration, ended chan struct{}) (why string, over bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
		return "", true
	case <-timer.C:
		why = fmt.Sprintf("timed out after %s", timeout)
	case <-ctx.Done():
		why = "stopped with the principal"
	}
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL} {
		_ = unix.Kill(-group, signal)
		timer.Reset(commandGrace)
		select {
		case <-ended:
			return why, true
		case <-timer.C:
		}
	}
	return why, false
}

// commandEndGroup ends what is left of a process group whose first process has ended, and collects those that came to
// us. When ctx ends it asks no more: it kills.
func commandEndGroup(ctx context.Context, group int) {
	over := func(ctx context.Context, within time.Duration) bool {
		for until := time.Now().Add(within); ; {
			for pid, err := 1, error(nil); pid > 0 && err == nil; {
				pid, err = unix.Wait4(-group, nil, unix.WNOHANG, nil)
			}
			if errors.Is(unix.Kill(-group, 0), unix.ESRCH) {
				return true
			}
			if time.Now().After(until) || !sleepFor(ctx, commandLook) {
				return false
			}
		}
	}
	if over(ctx, commandLinger) {
		return
	}
	_ = unix.Kill(-group, unix.SIGTERM)
	if over(ctx, commandGrace) {
		return
	}
	_ = unix.Kill(-group, unix.SIGKILL)
	over(context.WithoutCancel(ctx), commandLinger)
}

// commandOutput keeps the end of what is written to it. The goroutine of exec.Cmd writes, and nobody else looks before
// that has ended.
type commandOutput struct {
	tail  []byte
	taken int
}

// errCommandFloods ends the reading of a command's output.
var errCommandFloods = errors.New("too much output")

func (o *commandOutput) Write(b []byte) (int, error) {
	o.taken += len(b)
	o.tail = append(o.tail, b[max(len(b)-commandKept, 0):]...)
	if over := len(o.tail) - commandKept; over > 0 {
		o.tail = append(o.tail[:0], o.tail[over:]...)
	}
	if o.taken > commandFloods {
		return 0, errCommandFloods
	}
	return len(b), nil
}

// text is what is kept, as UTF-8.
func (o *commandOutput) text() string { return strings.ToValidUTF8(string(o.tail), "\uFFFD") }

// why says why a command failed that nobody has stopped, "" when it succeeded.
func (o *commandOutput) why(status syscall.WaitStatus) string {
	switch {
	case status.Exited() && status.ExitStatus() == 0:
		return ""
	case o.taken > commandFloods:
		return fmt.Sprintf("it wrote more than %d bytes", commandFloods)
	case status.Signaled():
		return "signal " + unix.SignalName(status.Signal())
	case status.ExitStatus() == 127:
		return "exit 127: the shell did not find the command"
	}
	return fmt.Sprintf("exit %d", status.ExitStatus())
}
