// The terminal UI in a terminal that is stricter than any, the real binary with a real principal: what it costs on a
// slow line, how it sleeps, and how it leaves.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// uiPty is a `cdktr ui` that runs in a terminal of ours.
type uiPty struct {
	*termPty
	x    *e2e
	over []string // within least: what was more than it may be
	held bool     // most keeps it there
}

// uiPtyOpen starts one, with more environment.
func uiPtyOpen(x *e2e, w, h int, env ...string) *uiPty {
	x.T.Helper()
	u := &uiPty{termPty: termPtyOpen(x.T, w, h), x: x}
	u.start(slices.Concat(x.Env, env), x.Bin, "ui")
	return u
}

// written gives how much has come so far.
func (u *uiPty) written() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.out)
}

// since gives what has come from there on, and how many frames that is.
func (u *uiPty) since(from int) (text []byte, frames int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	text = bytes.Clone(u.out[from:])
	return text, bytes.Count(text, []byte(termSyncBegin))
}

// rest waits until no frame comes for a while: what was due is there.
func (u *uiPty) rest() { u.pause(4 * tuiFrameGap) }

// pause waits until nothing comes for so long.
func (u *uiPty) pause(quiet time.Duration) {
	for {
		u.mu.Lock()
		came := u.came
		u.mu.Unlock()
		select {
		case <-came:
		case <-time.After(quiet):
			return
		}
	}
}

// costs types keys, waits for the screen to say so, and gives what was sent.
func (u *uiPty) costs(keys, want string) (text []byte, frames int) {
	u.t.Helper()
	u.rest()
	from := u.written()
	u.keys(keys)
	u.shows(want)
	u.rest()
	return u.since(from)
}

// most fails where something is more than it may be.
func (u *uiPty) most(what string, n, most int) {
	u.t.Helper()
	u.t.Logf("%s: %d, of %d", what, n, most)
	switch text := fmt.Sprintf("%s: %d, want %d at most", what, n, most); {
	case n <= most:
	case u.held:
		u.over = append(u.over, text)
	default:
		u.t.Error(text)
	}
}

// least measures until nothing is more than it may be, some times at most: a machine that has other things to do can
// only add, for what was sent late counts with what came after it.
func (u *uiPty) least(measure func()) {
	u.t.Helper()
	u.held = true
	for range 5 {
		u.over = nil
		measure()
		if len(u.over) == 0 {
			break
		}
	}
	u.held = false
	for _, text := range u.over {
		u.t.Error(text)
	}
}

// uiMany writes workflows until there are more than a screen has rows.
func uiMany(x *e2e, n int) {
	for i := range n {
		x.File(fmt.Sprintf("site%02d-report.yml",
			i), fmt.Sprintf("name: Report of site %d\nschedule: \"%d 4 1 1 *\"\ntasks: {send: {run: 'true'}}\n", i, i))
	}
}

// TestUIBytes counts what is sent: a frame, a key, a window that is dragged larger.
func TestUIBytes(t *testing.T) {
	x := e2eNew(t)
	uiMany(x, 60)
	p := x.Principal("--with-agent")
	defer p.Stop()
	for range 3 {
		x.run("site07-report")
	}
	u := uiPtyOpen(x, 80, 24)
	u.shows("LIVE")
	u.keys("1")
	u.shows("1 of 60")
	for _, size := range []struct{ w, h, frame, key int }{{80, 24, 2500, 300}, {120, 40, 4500, 350}} {
		what := fmt.Sprintf("%dx%d: ", size.w, size.h)
		u.least(func() {
			u.rest()
			from := u.written()
			u.resize(size.w, size.h+1)
			u.resize(size.w, size.h)
			u.shows("1 of 60")
			u.rest()
			text, frames := u.since(from)
			u.most(what+"bytes of a whole frame", len(text), size.frame)
			u.most(what+"frames for it", frames, 1)
			for _, key := range []struct{ key, want string }{{"j", "2 of 60"}, {"k", "1 of 60"}} {
				text, frames = u.costs(key.key, key.want)
				u.most(what+"bytes of the key "+key.key, len(text), size.key)
				u.most(what+"frames of it", frames, 1)
			}
			_, frames = u.costs(strings.Repeat("j", 30), "31 of 60")
			u.most(what+"frames of 30 keys at once", frames, 1)
			text, frames = u.costs("\x1b[6~j", "of 60")
			u.most(what+"frames of two keys at once", frames, 1)
			u.most(what+"bytes of a page", len(text), size.frame)
			text, _ = u.costs("2", "sort:newest")
			u.most(what+"bytes of another screen", len(text), size.frame)
			u.costs("1", "1 of 60")
		})
	}
	u.keys("q")
	if code := u.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.given()
}

// TestUIDrag has a window grow in many steps: it is drawn when it rests.
func TestUIDrag(t *testing.T) {
	x := e2eNew(t)
	u := uiPtyOpen(x, 120, 44) // the largest window: what was drawn for a smaller one fits in
	u.window(80, 24)
	u.shows("NOT CONNECTED")
	u.rest()
	from, began := u.written(), time.Now()
	steps := time.NewTicker(10 * time.Millisecond)
	defer steps.Stop()
	for i := range 20 {
		<-steps.C
		u.window(82+2*i, 25+i)
	}
	dragged := time.Since(began)
	u.rest()
	_, frames := u.since(from)
	u.most("frames of a drag of 20 steps", frames, 3+int(max(dragged-200*time.Millisecond, 0)/tuiSettle)) // one is due
	if row := u.row(43); !strings.Contains(row, "quit") {
		t.Errorf("the last row of 44 is %q", row)
	}
}

// row gives a row of the screen.
func (u *uiPty) row(y int) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.screen.lines()[y]
}

// TestUIRunning has rows on the screen whose time goes on, on three screens: a frame a second, and each of few bytes.
func TestUIRunning(t *testing.T) {
	const span = 3 * time.Second
	x := e2eNew(t)
	x.File("long.yml", "overlap: allow\ntasks: {a: {run: exec sleep 120}, b: {run: exec sleep 120}}\n")
	p := x.Principal("--with-agent")
	defer p.Stop()
	var runs []string
	for range 3 {
		runs = append(runs, x.Start("long"))
	}
	u := uiPtyOpen(x, 80, 24)
	u.shows("run 3")
	for _, screen := range []struct {
		keys, want string
		rows       int
	}{{"1", "sort:name", 1}, {"2", "sort:newest", 3}, {"\r", "* run", 2}} {
		u.keys(screen.keys)
		u.shows(screen.want)
		u.rest()
		from, began := u.written(), time.Now()
		<-time.After(span)
		text, frames := u.since(from)
		seconds := int(time.Since(began)/time.Second) + 1
		u.most(screen.want+": frames", frames, seconds+1)
		u.most(screen.want+": bytes", len(text), (seconds+1)*2*(16+12*screen.rows))
		if frames < 2 {
			t.Errorf("%d frames in %v: time stands still", frames, span)
		}
	}
	u.keys("q")
	u.end()
	for _, run := range runs {
		x.OK("cancel", run)
	}
}

// TestUIFollow follows output: what a line costs, and what is sent when output comes as fast as a task can write.
func TestUIFollow(t *testing.T) {
	const line, lines, span = 40, 8, 2 * time.Second
	x := e2eNew(t)
	fifo := x.Dir + "/lines"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	x.File("steady.yml", "tasks: {a: {run: \"echo ready; exec cat $DIR/lines\"}}\n")
	x.File("flood.yml", "tasks: {a: {run: \"while sleep 0.02; do seq 700000 700200; done\"}}\n")
	p := x.Principal("--with-agent")
	steady, flood := x.Start("steady"), x.Start("flood")
	defer func() {
		x.OK("cancel", flood)
		p.Stop()
	}()
	in, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	u := uiPtyOpen(x, 80, 24)
	u.shows("run 2")
	u.keys("1")
	u.shows("sort:name")
	u.keys("Gl")
	u.shows("ready")
	for i := range 40 { // until the screen is full
		fmt.Fprintf(in, "filler %d\n", i)
	}
	u.shows("filler 39")
	u.rest()
	from := u.written()
	for i := range lines {
		fmt.Fprintf(in, "%-*d\n", line-1, i)
		u.shows(fmt.Sprintf("line %d of", 42+i))
		u.rest()
	}
	text, frames := u.since(from)
	u.most("bytes of a line of output", len(text)/lines, line+90)
	u.most("frames of it", frames, lines)
	u.keys("q")
	u.end()
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	x.await(steady)

	for _, c := range []struct {
		env    string
		frames int
	}{{"SSH_CONNECTION=", int(time.Second / tuiFrameGap)}, {"SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22",
		int(time.Second / tuiFrameGapSSH)}} {
		u := uiPtyOpen(x, 80, 24, c.env)
		u.shows("run 1")
		u.keys("1")
		u.shows("sort:name")
		u.keys("gl")
		u.shows("700")
		from, began := u.written(), time.Now()
		<-time.After(span)
		text, frames := u.since(from)
		took := time.Since(began)
		u.most(c.env+" frames of a flood", frames, int(took*time.Duration(c.frames)/time.Second)+1)
		u.most(c.env+" bytes of it", len(text), frames*2500)
		if frames < c.frames/4 {
			t.Errorf("%s: %d frames in %v: output does not move", c.env, frames, took)
		}
		began = time.Now()
		u.keys("k") // it stops where it is, and goes on
		u.until("the end of FOLLOW", func(s *termEmulator) bool { return !strings.Contains(s.lines()[0], "FOLLOW") })
		t.Logf("a key in the flood is answered after %v", time.Since(began))
		all, own := u.memory()
		t.Logf("%d kB in memory, of it its own %d", all, own)
		u.keys("q")
		u.end()
		u.given()
	}
}

// TestUIIdle lets it be: nothing is drawn, and it wakes when the principal says that it is there.
func TestUIIdle(t *testing.T) {
	const (
		most = 15 // context switches from one word of the principal to the next, of all threads: it takes 5 to 9
	)
	spans := 1
	if *stallMeasure {
		spans = 3
	}
	x := e2eNew(t)
	uiMany(x, 20)
	p := x.Principal("--with-agent")
	defer p.Stop()
	x.run("site07-report")
	u := uiPtyOpen(x, 80, 24)
	u.shows("LIVE")
	u.keys("1")
	u.shows("1 of 20")
	u.rest()
	from := u.written()
	var switches []int // in the first span the runtime hands memory back yet
	for range spans {
		before := harness.Switches(t, u.cmd.Process.Pid)
		<-time.After(newsHeartbeat)
		switches = append(switches, harness.Switches(t, u.cmd.Process.Pid)-before)
	}
	if text, frames := u.since(from); len(text) > 0 {
		t.Errorf("%d frames in %v: %q", frames, time.Duration(spans)*newsHeartbeat, text)
	}
	all, own := u.memory()
	t.Logf("context switches in spans of %v: %v; %d kB in memory, of it its own %d", newsHeartbeat, switches, all, own)
	if *stallMeasure {
		u.most("context switches in a span", slices.Min(switches), most)
	}
	u.keys("q")
	u.end()
	u.given()
}

// TestUILeaves ends it in every way there is: the terminal is given back, and the exit code says why.
func TestUILeaves(t *testing.T) {
	x := e2eNew(t)
	x.File("one.yml", "tasks: {a: {run: 'true'}}")
	p := x.Principal("--with-agent")
	defer p.Stop()
	for _, c := range []struct {
		name string
		act  func(u *uiPty)
		code int
	}{
		{"q", func(u *uiPty) { u.keys("q") }, 0},
		{":q", func(u *uiPty) { u.keys(":q\r") }, 0},
		{"^C twice", func(u *uiPty) { u.keys("\x03"); u.shows("q quits, x cancels a run"); u.keys("\x03") }, 0},
		{"^\\", func(u *uiPty) { u.keys("\x1c") }, 0},
		{"^\\ in a box", func(u *uiPty) { u.keys("?"); u.shows("Move"); u.keys("\x1c") }, 0},
		{"TERM", func(u *uiPty) { u.signal(syscall.SIGTERM) }, 143},
		{"HUP", func(u *uiPty) { u.signal(syscall.SIGHUP) }, 129},
		{"QUIT", func(u *uiPty) { u.signal(syscall.SIGQUIT) }, 131},
		{"INT", func(u *uiPty) { u.signal(syscall.SIGINT) }, 130},
		{"CONT", func(u *uiPty) { u.signal(syscall.SIGCONT); u.keys("q") }, 0},
	} {
		u := uiPtyOpen(x, 80, 24)
		u.shows("LIVE")
		if u.cooked() {
			t.Errorf("%s: it runs, and the terminal is not raw", c.name)
		}
		c.act(u)
		if code := u.end(); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, code, c.code)
		}
		u.given()
		if text := bytes.ReplaceAll(u.screen.outside, []byte("<so far>"), nil); len(text) > 0 {
			t.Errorf("%s: the shell's screen has %q", c.name, text)
		}
		leave := []byte(termSyncEnd + termLeaveText + termTitlePop)
		if last := bytes.LastIndex(u.out, leave); !bytes.HasPrefix(u.out, []byte(termTitlePush+termEnterText)) ||
			last < 0 || bytes.Contains(u.out[last+len(leave):], []byte("\x1b")) {
			t.Errorf("%s: it begins or ends otherwise: %q", c.name, u.out)
		}
	}
}

// TestUIHangUp: a connection that breaks ends it, with a signal that says so or without.
func TestUIHangUp(t *testing.T) {
	x := e2eNew(t)
	u := uiPtyOpen(x, 80, 24)
	u.shows("NOT CONNECTED")
	u.hangUp()
	if code := u.end(); code != 129 {
		t.Errorf("exit code %d, want 129", code)
	}
	p := termPtyOpen(t, 80, 24)
	in, ended := uiInside(p), make(chan error, 1)
	go func() { ended <- in.run(t.Context(), uiNowhere) }()
	p.shows("NOT CONNECTED")
	p.hangUp()
	if exit, ok := errors.AsType[*exitError](<-ended); !ok || exit.code != 129 {
		t.Errorf("without a signal: %v, want exit code 129", exit)
	}
}

// uiNowhere is a principal that is not there.
var uiNowhere = tuiTarget{at: "nowhere", dial: func(context.Context) (wireConn, error) {
	return nil,
		errors.New("nobody is there")
}}

// uiInside makes a UI on a terminal of ours, within this process.
func uiInside(p *termPty) *tui {
	p.t.Helper()
	tty, err := termOpen(p.path, func(name string) string { return map[string]string{"TERM": "xterm"}[name] }, "cdktr")
	if err != nil {
		p.t.Fatal(err)
	}
	u := tuiNew(termEnv{Usable: true}, false, time.Now)
	u.tty = tty
	return u
}

// TestUISuspend: under a shell, ^Z gives it the terminal, and fg draws everything anew.
func TestUISuspend(t *testing.T) {
	x := e2eNew(t)
	x.File("one.yml", "tasks: {a: {run: 'true'}}")
	p := x.Principal("--with-agent")
	defer p.Stop()
	u := &uiPty{termPty: termPtyOpen(t, 80, 24), x: x}
	u.start(append(slices.Clone(x.Env), termMainEnv+"=shell"), os.Args[0], "ui")
	u.shows("LIVE")
	u.keys("1")
	u.shows("1 of 1")
	for n := range 2 {
		u.keys("\x1a")
		u.until("a stop", func(s *termEmulator) bool {
			return bytes.Count(s.outside,
				[]byte("stopped by stopped")) == n+1
		})
		u.given()
		x.File(fmt.Sprintf("new%d.yml", n), "tasks: {a: {run: 'true'}}")
		u.keys("fg\n")
		u.shows(fmt.Sprintf("of %d  sort:name", 2+n))
		if u.cooked() {
			t.Error("it goes on, and the terminal is not raw")
		}
	}
	u.keys("q")
	if code := u.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.given()
}

// TestUIPanic: a fault in the loop, or in another goroutine, gives the terminal back before it is told of.
func TestUIPanic(t *testing.T) {
	for _, in := range []string{"loop", "link"} {
		p := termPtyOpen(t, 80, 24)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		u, said, crashed, target := uiInside(p), bytes.Buffer{}, false, uiNowhere
		u.stderr, u.crash = &said, func() { crashed = true; stop() }
		u.resolve = func(string) (tuiTarget, error) { panic("boom \x1b[2J") }
		if in == "link" {
			target.dial = func(context.Context) (wireConn, error) { panic("boom \x1b[2J") }
		}
		ended := make(chan error, 1)
		go func() { ended <- u.run(ctx, target) }()
		if in == "loop" {
			p.shows("NOT CONNECTED")
			p.keys(":connect x\r")
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", in, err)
		}
		p.settle()
		p.given()
		if !crashed || !strings.HasPrefix(said.String(), "panic: boom ^[[2J\n\ngoroutine ") {
			t.Errorf("%s: crashed: %t; it said %q", in, crashed, said.String())
		}
	}
}

// TestUIAlone starts without a principal: everything that needs none works.
func TestUIAlone(t *testing.T) {
	x := e2eNew(t)
	u := uiPtyOpen(x, 80, 24)
	u.shows("NOT CONNECTED")
	u.shows("cdktr start principal --with-agent")
	for _, step := range []struct{ keys, want string }{
		{"j", "not connected yet"}, {"?", "half a screen down"}, {"q", "NOT CONNECTED"}, {":", ""},
		{"connect nowhere\r", "nowhere"},
		{":goto x\r", ""}, {"\x1b[200~pasted\x1b[201~", "paste ignored"}, {"\x1b[A", "not connected yet"},
		{":connect ipc://" + x.Dir + "/other\r", "connecting to ipc://" + x.Dir + "/other"},
	} {
		u.keys(step.keys)
		u.shows(step.want)
	}
	x.File("one.yml", "tasks: {a: {run: 'true'}}")
	p := x.Principal("--with-agent")
	defer p.Stop()
	u.keys(":connect ipc://" + x.Dir + "/s\r")
	u.shows("LIVE")
	u.shows("1 wf")
	u.keys("q")
	if code := u.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.given()
}
