// A terminal for processes under test, with a termEmulator for a screen: tests type on it, look at it, and see that it
// was given back.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"

	"golang.org/x/sys/unix"
)

// termPty is a terminal, from the side of the screen and the keyboard.
type termPty struct {
	t      *testing.T
	path   string   // of the side of the programs
	master *os.File // ours
	slave  *os.File // theirs: held open, so that it can be looked at when they have gone
	cmd    *exec.Cmd

	mu     sync.Mutex // holds what follows
	screen *termEmulator
	out    []byte        // all that was written
	came   chan struct{} // closed when more has been written
}

// termPtyOpen makes a terminal, which goes away with the test.
func termPtyOpen(t *testing.T, w, h int) *termPty {
	t.Helper()
	p := &termPty{t: t, screen: termEmulatorNew(w, h), came: make(chan struct{})}
	var err error
	p.master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	termPtyControl(t, p.master, func(fd int) error {
		n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		p.path = fmt.Sprintf("/dev/pts/%d", n)
		return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	})
	p.slave, err = os.OpenFile(p.path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.resize(w, h)
	done := make(chan struct{})
	t.Cleanup(func() {
		p.hangUp()
		p.slave.Close()
		<-done
	})
	go func() { // ends with the master
		defer close(done)
		p.read()
	}()
	return p
}

// termPtyControl calls f with a file's descriptor, and leaves the file as it is.
func termPtyControl(t *testing.T, file *os.File, f func(fd int) error) {
	t.Helper()
	conn, err := file.SyscallConn()
	if err == nil {
		err = errors.Join(conn.Control(func(fd uintptr) { err = f(int(fd)) }), err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *termPty) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.out = append(p.out, buf[:n]...)
		p.screen.Write(buf[:n])
		close(p.came)
		p.came = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// start starts a program as one that leads a session on the terminal. At the end of the test it is killed, if it is
// there yet.
func (p *termPty) start(env []string, name string, args ...string) {
	p.t.Helper()
	p.cmd = exec.Command(name, args...)
	p.cmd.Env = append(append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=", "SSH_CONNECTION=", "SSH_TTY="),
		env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
}

// keys types.
func (p *termPty) keys(text string) {
	p.t.Helper()
	if _, err := p.master.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// signal sends a signal to the program.
func (p *termPty) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// resize changes the size of the window; the kernel tells the programs.
func (p *termPty) resize(w, h int) {
	p.t.Helper()
	p.mu.Lock()
	if p.screen.w != w || p.screen.h != h {
		p.screen.resize(w, h)
	}
	p.mu.Unlock()
	p.window(w, h)
}

// window makes the window so large, and leaves the screen as it is.
func (p *termPty) window(w, h int) {
	p.t.Helper()
	termPtyControl(p.t, p.master, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(w), Row: uint16(h)})
	})
}

// hangUp is the end of a connection.
func (p *termPty) hangUp() { p.master.Close() }

// until waits until ok says so of the screen, between frames.
func (p *termPty) until(what string, ok func(screen *termEmulator) bool) {
	p.t.Helper()
	limit := time.After(harness.Patience)
	for {
		p.mu.Lock()
		found := ok(p.screen) && (!p.screen.modes["?2026"] || p.screen.fault != "")
		came, lines, fault, outside := p.came, p.screen.lines(), p.screen.fault, string(p.screen.outside)
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-came:
		case <-limit:
			p.t.Fatalf("waited for %s; %s\n%s\noutside: %q", what, fault, strings.Join(lines, "\n"), outside)
		}
	}
}

// shows waits until a text is on the screen that programs have of their own, says until it is on the other one.
func (p *termPty) shows(text string) {
	p.t.Helper()
	p.until(text, func(s *termEmulator) bool {
		return s.modes["?1049"] && strings.Contains(strings.Join(s.lines(), "\n"), text)
	})
}

func (p *termPty) says(text string) {
	p.t.Helper()
	p.until(text, func(s *termEmulator) bool { return bytes.Contains(s.outside, []byte(text)) })
}

// cooked says whether the terminal is as a shell wants it.
func (p *termPty) cooked() bool {
	p.t.Helper()
	var mode *unix.Termios
	termPtyControl(p.t, p.slave, func(fd int) (err error) {
		mode, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return mode.Lflag&unix.ICANON != 0 && mode.Lflag&unix.ECHO != 0 && mode.Lflag&unix.ISIG != 0 &&
		mode.Oflag&unix.OPOST != 0
}

// given fails unless the terminal is as it was before a program had it.
func (p *termPty) given() {
	p.t.Helper()
	p.mu.Lock()
	left := p.screen.given()
	p.mu.Unlock()
	if left != "" || !p.cooked() {
		p.t.Errorf("the terminal was not given back: cooked: %t, %s", p.cooked(), left)
	}
}

// settle waits until all is there that was written so far.
func (p *termPty) settle() {
	p.t.Helper()
	const mark = "<so far>"
	p.mu.Lock()
	before := bytes.Count(p.out, []byte(mark))
	p.mu.Unlock()
	if _, err := p.slave.WriteString(mark); err == nil { // after a hang-up there is nothing to come
		p.until(mark, func(*termEmulator) bool { return bytes.Count(p.out, []byte(mark)) > before })
	}
}

// end waits for the end of the program, and until all that it wrote is there. It gives the exit code, as a shell does.
func (p *termPty) end() int {
	p.t.Helper()
	limit := time.AfterFunc(harness.Patience, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	if !limit.Stop() {
		p.t.Fatalf("it did not end within %v", harness.Patience)
	}
	p.settle()
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
