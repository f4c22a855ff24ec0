// term_tty.go: the terminal itself: opened, made raw, read, written to, and above all given back as it was, whatever
// ends the program. Knows nothing of what is shown.

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
	Usable  bool // false: it cannot move its cursor, or there is none
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
	// The screen of its own, no wrapping at the right edge, pastes marked as such; and each of them undone, in the
	// other order. The end of the scroll region brings the cursor home, and what is below is cleared for the terminals
	// that have no other screen to go back to.
	termEnterText = "\x1b[?1049h\x1b[?7l\x1b[?2004h"
	termLeaveText = "\x1b[?2004l\x1b[?7h\x1b[r\x1b[0m\x1b[J\x1b[?25h\x1b[?1049l"
	termTitlePush = "\x1b[22;0t"
	termTitlePop  = "\x1b[23;0t"

	termWriteWait = 2 * time.Second        // for a frame to go out
	termLeaveWait = 200 * time.Millisecond // for the last bytes: a terminal that hangs does not keep us
	termStopWait  = 100 * time.Millisecond // for ^Z to stop us; the kernel ignores it where nobody could wake us again
	termReadSize  = 4096                   // bytes that are read at once
	termMaxWidth  = 1000                   // columns; what is more stays empty
	termMaxHeight = 500                    // rows
)

// errTermGone is an error of a terminal that was hung up: nothing can be shown or asked any more.
var errTermGone = errors.New("the terminal is gone")

// errTermLeft is an error of a frame that comes when the terminal was given back.
var errTermLeft = errors.New("the terminal was given back")

// termTTY is the terminal of this process. Any goroutine may call its methods.
type termTTY struct {
	env    termEnv
	title  string // of the window, while we are in; empty: as it is
	getenv func(string) string
	file   *os.File
	conn   syscall.RawConn

	leaving atomic.Int32 // calls of leave that have begun: no frame begins any more
	mu      sync.Mutex   // holds the order of what is written, and what follows
	in      bool
	saved   *term.State // how it was before we came
}

// termOpen opens the terminal at path, which is /dev/tty but for tests. It reads and writes it through a file of its
// own: standard input and what its flags are stay as they were. The terminal itself is touched by enter only.
func termOpen(path string, getenv func(string) string, title string) (*termTTY, error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	t := &termTTY{env: termEnvOf(getenv), title: title, getenv: getenv, file: file}
	t.conn, err = file.SyscallConn()
	if err == nil {
		// Never File.Fd: it would make the file blocking, and its deadlines would be ignored without a word.
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

// termControls says whether this process has a terminal that controls it, whose end is told by HUP (tty(4)).
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

// enter takes the terminal: raw, and a screen of its own. Called again, it takes it once more, for after somebody else
// had it while we were stopped. The next frame must be a whole one.
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

// leave gives the terminal back as it was. It takes no longer than termLeaveWait, whatever the terminal does, and
// nothing when it was given back before.
func (t *termTTY) leave() {
	t.leaving.Add(1)
	defer t.leaving.Add(-1)
	t.file.SetWriteDeadline(time.Now().Add(termLeaveWait)) // a frame that is stuck fails and lets us in
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
	// Nobody is left to tell of an error, and the one must be tried when the other has failed.
	t.send([]byte(text), termLeaveWait)
	t.control(func(fd int) error { return errors.Join(term.Restore(fd, t.saved), termDropInput(fd)) })
}

// write sends a frame. After an error nobody knows what of it the terminal shows: the next must be a whole one. It is
// errTermGone when no other will do.
func (t *termTTY) write(frame []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.in || t.leaving.Load() > 0 {
		return errTermLeft
	}
	_, err := t.send(frame, termWriteWait)
	return err
}

// copy hands text to the clipboard of the terminal (OSC 52), where it has one and allows it: it does not say.
func (t *termTTY) copy(text string) error {
	return t.write([]byte("\x1b]52;c;" + base64.StdEncoding.EncodeToString([]byte(text)) + "\a"))
}

// send writes to the terminal within the time. mu is held.
func (t *termTTY) send(b []byte, wait time.Duration) (int, error) {
	// where there are none (a system that cannot poll its terminal) writes wait
	t.file.SetWriteDeadline(time.Now().Add(wait))
	n, err := t.file.Write(b)
	return n, termFault("write to terminal", err)
}

// termFault makes errTermGone of the errors of a terminal that was hung up.
func termFault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO), errors.Is(err, unix.ENXIO):
		err = errTermGone
	}
	return fmt.Errorf("%s: %w", what, err)
}

// runRead hands each chunk that is typed to give, in a slice of its own. It ends without an error after stop, and with
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

// stop ends runRead. It says false where a system cannot poll its terminal: there the end of the process ends it.
func (t *termTTY) stop() bool { return t.file.SetReadDeadline(time.Unix(1, 0)) == nil }

// close gives the terminal back, ends runRead, and closes the file.
func (t *termTTY) close() error {
	t.leave()
	t.stop()
	return t.file.Close()
}

// size gives columns and rows, and 80x24 or what LINES and COLUMNS say where the terminal does not know.
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

// suspend is ^Z: it gives the terminal back, stops the whole job, as the shell expects, and takes the terminal again
// when the shell has woken it. The stop comes a moment after the call that asks for it, hence a wait for being woken;
// it has an end because a job that nobody could wake is not stopped at all.
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

// guard is deferred by each goroutine of a user interface. A panic gives the terminal back before anything else, then
// its trace is written to w, and exit must end the process: the other goroutines know nothing of it.
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
