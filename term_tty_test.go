package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// termMainEnv makes termMain of this binary, as what it says: ui or shell.
const termMainEnv = "CDKTR_TEST_TERM"

// termMain is a user interface that shows what happens to it, for tests of the terminal: q quits, p is a panic, ^Z
// stops.
func termMain() int {
	if os.Getenv(termMainEnv) == "shell" {
		return termMainShell()
	}
	tty, err := termOpen("/dev/tty", os.Getenv, "title \x1b]0;pwned")
	if err == nil {
		err = tty.enter()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer tty.close()
	in, gone := make(chan []byte), make(chan error, 1)
	safe := func(f func()) {
		go func() { // ends with the process
			defer tty.guard(os.Stderr, func() { os.Exit(2) })
			f()
		}()
	}
	safe(func() { gone <- tty.runRead(func(b []byte) { in <- b }) })
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGINT, unix.SIGCONT, unix.SIGWINCH)
	var painter termPainter
	var decoder termDecoder
	last, stops, woken := "none", 0, 0
	for {
		g := termGridNew(tty.size())
		g.put(0, 0, 0, fmt.Sprintf("%dx%d key %s stops %d woken %d pid %d.", g.w, g.h, last, stops, woken, os.Getpid()))
		if err := tty.write(painter.frame(g)); err != nil {
			painter.forget()
		}
		select {
		case chunk := <-in:
			for _, key := range decoder.feed(chunk) {
				switch last = key.String(); last {
				case "q":
					return 0
				case "p":
					safe(func() { panic("boom \x1b[2J") })
				case "^Z":
					if err := tty.suspend(); err != nil {
						return 3
					}
					painter.forget()
					stops++
				}
			}
		case s := <-signals:
			switch s {
			case unix.SIGWINCH:
			case unix.SIGCONT:
				switch err := tty.enter(); { // the end of a terminal is told by HUP and CONT
				case errors.Is(err, errTermGone):
					return 1
				case err != nil:
					return 3
				}
				painter.forget()
				woken++
			default:
				return 128 + int(s.(syscall.Signal))
			}
		case <-gone:
			return 1
		}
	}
}

// termMainShell is as much of a shell as job control needs: it starts the user interface, which is termMain, or with
// arguments the program under test; and when that is stopped it takes the terminal, says so, and wakes it on a line of
// input.
func termMainShell() int {
	saved, err := term.GetState(0)
	if err != nil {
		return 4
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), termMainEnv+"=ui")
	if len(os.Args) > 1 {
		cmd.Env = append(os.Environ(), termMainEnv+"=")
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		return 4
	}
	signal.Ignore(unix.SIGTTOU, unix.SIGTTIN)
	lines := bufio.NewReader(os.Stdin)
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil {
			return 4
		}
		if !status.Stopped() {
			return status.ExitStatus()
		}
		unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
		if status.StopSignal() == unix.SIGSTOP { // it had no chance: what a shell and reset do
			term.Restore(0, saved)
			os.Stdout.WriteString("\x1b[?2004l\x1b[?7h\x1b[?1049l")
		}
		fmt.Println("stopped by", status.StopSignal())
		if _, err := lines.ReadString('\n'); err != nil {
			return 4
		}
		unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, cmd.Process.Pid)
		unix.Kill(-cmd.Process.Pid, unix.SIGCONT)
	}
}

func TestTermEnv(t *testing.T) {
	utf8 := termEnv{Usable: true}
	with := func(change func(*termEnv)) termEnv {
		env := utf8
		change(&env)
		return env
	}
	for vars, want := range map[string]termEnv{
		"TERM=xterm LANG=en_US.UTF-8":                            utf8,
		"TERM=xterm LANG=C LC_CTYPE=de_DE.utf8":                  utf8,
		"TERM=xterm LANG=C LC_CTYPE=C LC_ALL=C.UTF-8":            utf8,
		"TERM=xterm LC_CTYPE=UTF-8":                              utf8,
		"TERM=xterm":                                             with(func(e *termEnv) { e.ASCII = true }),
		"TERM=xterm LANG=en_US.UTF-8 LC_ALL=C":                   with(func(e *termEnv) { e.ASCII = true }),
		"TERM=xterm LANG=en_US.UTF-8 LC_CTYPE=POSIX":             with(func(e *termEnv) { e.ASCII = true }),
		"TERM=xterm LANG=de_DE.ISO-8859-1":                       with(func(e *termEnv) { e.ASCII = true }),
		"LANG=C.UTF-8":                                           with(func(e *termEnv) { e.Usable = false }),
		"TERM=dumb LANG=C.UTF-8":                                 with(func(e *termEnv) { e.Usable = false }),
		"TERM=linux LANG=C.UTF-8":                                with(func(e *termEnv) { e.Plain = true }),
		"TERM=vt220 LANG=C.UTF-8":                                with(func(e *termEnv) { e.Plain = true }),
		"TERM=xterm LANG=C.UTF-8 NO_COLOR=1":                     with(func(e *termEnv) { e.NoColor = true }),
		"TERM=xterm LANG=C.UTF-8 NO_COLOR=":                      utf8,
		"TERM=xterm LANG=C.UTF-8 SSH_TTY=/dev/pts/1":             with(func(e *termEnv) { e.SSH = true }),
		"TERM=xterm LANG=C.UTF-8 SSH_CONNECTION=192.0.2.1":       with(func(e *termEnv) { e.SSH = true }),
		"TERM=xterm LANG=C.UTF-8 SSH_CONNECTION= SSH_TTY= TMUX=": utf8,
	} {
		values := map[string]string{}
		for field := range strings.FieldsSeq(vars) {
			name, value, _ := strings.Cut(field, "=")
			values[name] = value
		}
		if got := termEnvOf(func(name string) string { return values[name] }); got != want {
			t.Errorf("%s: %+v, want %+v", vars, got, want)
		}
	}
}

func TestTermOpenFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file + "-none": "open terminal: open " + file + "-none: no such file",
		file: "open terminal " + file + ": ", os.DevNull: "open terminal /dev/null: "} {
		if _, err := termOpen(path, os.Getenv, ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}
