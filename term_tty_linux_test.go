package main

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func termPtyUI(t *testing.T, what string) *termPty {
	t.Helper()
	p := termPtyOpen(t, 80, 24)
	p.start([]string{termMainEnv + "=" + what}, os.Args[0])
	p.shows("80x24 key none stops 0 woken 0")
	if p.cooked() {
		t.Fatal("it runs, and the terminal is not raw")
	}
	p.until("the title", func(s *termEmulator) bool { return s.title == "title ^[]0;pwned" })
	return p
}

// However it ends, the terminal is given back.
func TestTermLifecycle(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(p *termPty)
		code int
		said string // on the screen of the shell
	}{
		{"quit", func(p *termPty) { p.keys("q") }, 0, ""},
		{"TERM", func(p *termPty) { p.signal(unix.SIGTERM) }, 143, ""},
		{"HUP", func(p *termPty) { p.signal(unix.SIGHUP) }, 129, ""},
		{"QUIT", func(p *termPty) { p.signal(unix.SIGQUIT) }, 131, ""},
		{"INT", func(p *termPty) { p.signal(unix.SIGINT) }, 130, ""},
		{"panic", func(p *termPty) { p.keys("p") }, 2, "panic: boom ^[[2J\r\n\r\ngoroutine "},
		{"keys", func(p *termPty) {
			p.keys("\x1b[")
			p.keys("A")
			p.shows("key up")
			p.keys("\x03")
			p.shows("key ^C")
			p.keys("\x1c")
			p.shows(`key ^\`)
			p.keys("q")
		}, 0, ""},
		{"resize", func(p *termPty) {
			p.resize(60, 20)
			p.shows("60x20 key")
			p.resize(100, 30)
			p.shows("100x30 key")
			p.keys("q")
		}, 0, ""},
		{"^Z where nobody could wake it", func(p *termPty) { p.keys("\x1a"); p.shows("stops 1"); p.keys("q") }, 0, ""},
		{"CONT from outside", func(p *termPty) { p.signal(unix.SIGCONT); p.shows("woken 1"); p.keys("q") }, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := termPtyUI(t, "ui")
			c.act(p)
			if code := p.end(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			p.given()
			if c.said != "" && !bytes.Contains(p.screen.outside, []byte(c.said)) {
				t.Errorf("the shell's screen has %q, not %q", p.screen.outside, c.said)
			}
			leave := []byte(termSyncEnd + termLeaveText + termTitlePop)
			if last := bytes.LastIndex(p.out, leave); !bytes.HasPrefix(p.out, []byte(termTitlePush+termEnterText)) ||
				last < 0 || bytes.Contains(p.out[last+len(leave):], []byte("\x1b")) {
				t.Errorf("it begins or ends otherwise: %q", p.out)
			}
		})
	}
}

// A connection that breaks ends it.
func TestTermHangUp(t *testing.T) {
	p := termPtyUI(t, "ui")
	p.hangUp()
	if code := p.end(); code != 1 && code != 129 { // which of the two it learns first is chance
		t.Errorf("exit code %d", code)
	}
}

// Under a shell, ^Z gives it the terminal, and fg takes it again; so does fg after a stop that nobody could prepare
// for.
func TestTermSuspend(t *testing.T) {
	p := termPtyUI(t, "shell")
	for n := range 3 {
		p.keys("\x1a")
		p.until("a stop", func(s *termEmulator) bool {
			return bytes.Count(s.outside,
				[]byte("stopped by stopped")) == n+1
		})
		p.given()
		p.keys("fg\n")
		p.shows("stops " + strconv.Itoa(n+1))
	}
	p.shows("woken 3") // a shell that wakes it while it takes the terminal is another matter
	p.mu.Lock()
	_, text, _ := strings.Cut(p.screen.lines()[0], "pid ")
	p.mu.Unlock()
	pid, err := strconv.Atoi(strings.TrimSuffix(text, "."))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.says("stopped by stopped (signal)")
	p.keys("fg\n")
	p.until("the next frame", func(s *termEmulator) bool {
		return s.modes["?1049"] &&
			strings.Contains(s.lines()[0], "80x24")
	})
	p.keys("x")
	p.shows("key x stops 3")
	if p.cooked() {
		t.Error("it goes on, and the terminal is not raw")
	}
	p.keys("q")
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.given()
}

// A terminal that takes nothing does not keep what must be done from being done.
func TestTermStuck(t *testing.T) {
	p := termPtyOpen(t, 80, 24)
	p.mu.Lock() // its reader stops at the first output
	locked := true
	defer func() {
		if locked {
			p.mu.Unlock()
		}
	}()
	tty, err := termOpen(p.path, os.Getenv, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := tty.enter(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- tty.write(bytes.Repeat([]byte("x"), 1<<20)) }()
	for tty.mu.TryLock() { // until it writes
		tty.mu.Unlock()
		runtime.Gosched()
	}
	tty.leave()
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the frame: %v", err)
	}
	if !p.cooked() {
		t.Error("the terminal is raw")
	}
	if err := tty.write([]byte("x")); !errors.Is(err, errTermLeft) {
		t.Errorf("a frame after the end: %v", err)
	}
	p.mu.Unlock()
	locked = false
	if err := tty.close(); err != nil {
		t.Error(err)
	}
}

func TestTermRead(t *testing.T) {
	p := termPtyOpen(t, 80, 24)
	tty, err := termOpen(p.path, os.Getenv, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := tty.enter(); err != nil {
		t.Fatal(err)
	}
	came, ended := make(chan string), make(chan error, 1)
	read := func() { ended <- tty.runRead(func(b []byte) { came <- string(b) }) }
	go read()
	p.keys("one")
	if got := <-came; got != "one" {
		t.Errorf("read %q", got)
	}
	if !tty.stop() {
		t.Error("the terminal cannot be polled")
	}
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	p.keys("type-ahead\n")
	tty.leave()
	p.settle()
	p.given()
	p.slave.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := p.slave.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("what was typed is left to the shell: %d bytes, %v", n, err)
	}
	if err := tty.close(); err != nil {
		t.Error(err)
	}
	tty.leave() // again, and after the end

	tty, err = termOpen(p.path, os.Getenv, "")
	if err != nil {
		t.Fatal(err)
	}
	go read()
	p.hangUp()
	if err := <-ended; !errors.Is(err, errTermGone) {
		t.Errorf("hung up: %v", err)
	}
	if err := tty.close(); err != nil {
		t.Error(err)
	}
}

func TestTermSize(t *testing.T) {
	p := termPtyOpen(t, 80, 24)
	for _, c := range []struct {
		w, h           int
		columns, lines string
		wantW, wantH   int
	}{{100, 30, "7", "7", 100, 30}, {0, 0, "", "", 80, 24}, {0, 0, "132", "43", 132, 43}, {0, 0, "-1", "x", 80, 24},
		{0, 30, "", "", 80, 24}, {65535, 65535, "", "", termMaxWidth, termMaxHeight}} {
		tty, err := termOpen(p.path, func(name string) string {
			return map[string]string{"COLUMNS": c.columns,
				"LINES": c.lines}[name]
		}, "")
		if err != nil {
			t.Fatal(err)
		}
		termPtyControl(t, p.master, func(fd int) error {
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(c.w), Row: uint16(c.h)})
		})
		if w, h := tty.size(); w != c.wantW || h != c.wantH {
			t.Errorf("%+v: %dx%d", c, w, h)
		}
		if err := tty.close(); err != nil {
			t.Error(err)
		}
	}
}
