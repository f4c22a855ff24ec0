// term_tty.go: the terminal itself: it is opened, made raw, read and written to, and above all given back as it was,
// whatever ends the program.

package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// termEnv is what the environment says about the terminal.
type termEnv struct {
	Usable  bool // false: there is none, or it cannot move its cursor
	NoColor bool // the user wants no colours
	ASCII   bool // the locale is not UTF-8
	Plain   bool // a terminal that has no title and no synchronized output
	SSH     bool // a network is between
}

// termEnvOf reads the environment.
func termEnvOf(getenv func(string) string) termEnv {
	name := getenv("TERM")
	locale := ""
	for _, variable := range []string{"LANG", "LC_CTYPE", "LC_ALL"} { // the last that is set counts
		if value := getenv(variable); value != "" {
			locale = strings.ToLower(value)
		}
	}
	return termEnv{
		Usable:  name != "" && name != "dumb",
		NoColor: getenv("NO_COLOR") != "",
		ASCII:   !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8"),
		Plain:   strings.HasPrefix(name, "linux") || strings.HasPrefix(name, "vt"),
		SSH:     getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "",
	}
}

const (
	// A screen of our own, no wrapping at the right edge, pastes marked as such; and each undone, in the other order.
	// The end of the scroll region brings the cursor home. What is below is cleared for terminals without a second
	// screen.
	termEnterText = "\x1b[?1049h\x1b[?7l\x1b[?2004h"
	termLeaveText = "\x1b[?2004l\x1b[?7h\x1b[r\x1b[0m\x1b[J\x1b[?25h\x1b[?1049l"
	termTitlePush = "\x1b[22;0t"
	termTitlePop  = "\x1b[23;0t"

	termWriteWait = 2 * time.Second        // for a frame to go out
	termLeaveWait = 200 * time.Millisecond // for the last bytes, so that a terminal that hangs does not keep us
	termStopWait  = 100 * time.Millisecond // for ^Z to stop us; where nobody could wake us, the kernel does not
	termReadSize  = 4096                   // bytes of one read
	termMaxWidth  = 1000                   // columns; more stay empty
	termMaxHeight = 500                    // rows
)

// errTermGone: the terminal was hung up. Nothing can be shown or read any more.
var errTermGone = errors.New("the terminal is gone")

// errTermLeft: a frame came after the terminal was given back.
var errTermLeft = errors.New("the terminal was given back")

// termTTY is the terminal of this process. Any goroutine may call its methods.
type termTTY struct {
	env    termEnv
	title  string // of the window while we have the terminal; "" leaves it
	getenv func(string) string
	file   *os.File
	conn   syscall.RawConn

	leaving atomic.Int32 // calls of leave under way: while there are any, no frame begins
	mu      sync.Mutex   // guards what is written, and the fields below
	in      bool         // we have the terminal
	saved   *term.State  // how it was before we came
}

// termOpen opens the terminal at path, which is /dev/tty except in tests. The file is one of its own, so standard input
// keeps its flags. It does not change the terminal: enter does.
func termOpen(path string, getenv func(string) string, title string) (*termTTY, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	t := &termTTY{env: termEnvOf(getenv), title: title, getenv: getenv, file: file}
	t.conn, err = file.SyscallConn()
	if err == nil {
		// Never File.Fd: it makes the file blocking, and then deadlines do nothing.
		err = t.control(func(fd int) error {
			_, err := term.GetState(fd)
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open terminal %s: %w", path, err), file.Close())
	}
	return t, nil
}

// termControls says whether this process has a controlling terminal, whose end it hears of by HUP (tty(4)).
func termControls() bool {
	file, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	file.Close()
	return true
}

// control calls f with the file's descriptor.
func (t *termTTY) control(f func(fd int) error) error {
	var inner error
	err := t.conn.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// enter takes the terminal: raw, and with a screen of our own. It may be called again, after another program had the
// terminal while we were stopped. The next frame must be a whole one.
func (t *termTTY) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var before *term.State
	err := t.control(func(fd int) (err error) {
		before, err = term.MakeRaw(fd)
		return err
	})
	if err != nil {
		return termFault("make terminal raw", err)
	}
	text := termEnterText
	if !t.in {
		t.saved, t.in = before, true
		if t.titled() {
			text = termTitlePush + text
		}
	}
	if t.titled() {
		text += "\x1b]2;" + textSafe(t.title) + "\a"
	}
	_, err = t.send([]byte(text), termWriteWait)
	return err
}

func (t *termTTY) titled() bool { return t.title != "" && !t.env.Plain }

// leave gives the terminal back as it was. It takes no longer than termLeaveWait, whatever the terminal does. When the
// terminal has been given back already, it does nothing.
func (t *termTTY) leave() {
	t.leaving.Add(1)
	defer t.leaving.Add(-1)
	t.file.SetWriteDeadline(time.Now().Add(termLeaveWait)) // a frame that is stuck fails, and frees mu
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.in {
		return
	}
	t.in = false
	text := termLeaveText
	if !t.env.Plain {
		text = termSyncEnd + text
	}
	if t.titled() {
		text += termTitlePop
	}
	// Both must be tried, and nobody is left to tell of an error.
	t.send([]byte(text), termLeaveWait)
	t.control(func(fd int) error { return errors.Join(term.Restore(fd, t.saved), termDropInput(fd)) })
}

// write sends a frame. After an error nobody knows how much of it the terminal shows, so the next frame must be a whole
// one. After errTermGone there is no use in another.
func (t *termTTY) write(frame []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.in || t.leaving.Load() > 0 {
		return errTermLeft
	}
	_, err := t.send(frame, termWriteWait)
	return err
}

// copy gives text to the clipboard of the terminal (OSC 52). The terminal does not say whether it takes it.
func (t *termTTY) copy(text string) error {
	return t.write([]byte("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a"))
}

// send writes to the terminal, for at most wait. mu is held.
func (t *termTTY) send(b []byte, wait time.Duration) (int, error) {
	// On a system that cannot poll its terminal there are no deadlines, and writes block.
	t.file.SetWriteDeadline(time.Now().Add(wait))
	n, err := t.file.Write(b)
	return n, termFault("write to terminal", err)
}

// termFault turns the errors of a terminal that was hung up into errTermGone.
func termFault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO), errors.Is(err, unix.ENXIO):
		err = errTermGone
	}
	return fmt.Errorf("%s: %w", what, err)
}

// runRead gives each chunk that is typed to give, in a slice of its own. It ends without an error after stop, and with
// errTermGone when the terminal was hung up.
func (t *termTTY) runRead(give func([]byte)) error {
	buf := make([]byte, termReadSize)
	for {
		n, err := t.file.Read(buf)
		if n > 0 {
			give(append([]byte(nil), buf[:n]...))
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return termFault("read terminal", err)
		}
	}
}

// stop ends runRead. It gives false on a system that cannot poll its terminal: there runRead ends with the process.
func (t *termTTY) stop() bool { return t.file.SetReadDeadline(time.Unix(1, 0)) == nil }

// close gives the terminal back, ends runRead, and closes the file.
func (t *termTTY) close() error {
	t.leave()
	t.stop()
	return t.file.Close()
}

// size gives columns and rows. For a terminal without a size it gives what COLUMNS and LINES say, or 80x24.
func (t *termTTY) size() (width, height int) {
	t.control(func(fd int) (err error) { // an error leaves zeros
		width, height, err = term.GetSize(fd)
		return err
	})
	if width <= 0 || height <= 0 {
		width, height = 80, 24
		if n, err := strconv.Atoi(t.getenv("COLUMNS")); err == nil && n > 0 {
			width = n
		}
		if n, err := strconv.Atoi(t.getenv("LINES")); err == nil && n > 0 {
			height = n
		}
	}
	return min(width, termMaxWidth), min(height, termMaxHeight)
}

// suspend is ^Z. It gives the terminal back, stops the whole job, as the shell expects, and takes the terminal again
// when the shell has woken it. The stop comes a moment after the call that asks for it, so suspend waits,
// for termStopWait at most: the kernel never stops a job that nobody could wake.
func (t *termTTY) suspend() error {
	t.leave()
	woken := make(chan os.Signal, 1)
	signal.Notify(woken, unix.SIGCONT)
	defer signal.Stop(woken)
	if err := unix.Kill(0, unix.SIGTSTP); err != nil {
		return errors.Join(fmt.Errorf("stop the job: %w", err), t.enter())
	}
	limit := time.NewTimer(termStopWait)
	defer limit.Stop()
	select {
	case <-woken:
	case <-limit.C:
	}
	return t.enter()
}

// guard is deferred by each goroutine of a user interface. After a panic it gives the terminal back first, writes the
// trace to w, and calls exit, which must end the process: the other goroutines do not know of the panic.
func (t *termTTY) guard(w io.Writer, exit func()) {
	fault := recover()
	if fault == nil {
		return
	}
	t.leave()
	fmt.Fprintf(w, "panic: %s\n\n", textSafe(fmt.Sprint(fault)))
	w.Write(debug.Stack())
	exit()
}
