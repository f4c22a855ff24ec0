//go:build !noui

// tui.go: the terminal UI: the loop that owns all of it. The terminal, the principal and signals feed it. It is a
// client of the principal like any other. It sleeps while there is nothing to show: no ticker runs.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	tuiFrameGap    = 50 * time.Millisecond  // between two frames; after a longer pause a frame is shown at once
	tuiFrameGapSSH = 100 * time.Millisecond // the same, over ssh
	tuiSettle      = 50 * time.Millisecond  // a new size is drawn once it has not changed for so long
	tuiQuitTwice   = time.Second            // a second ^C within it quits
	tuiDevice      = "/dev/tty"
	tuiMinWidth    = 40 // columns; a narrower terminal is told what the UI needs
	tuiMinHeight   = 10 // rows; so is a lower one
	tuiMaxNote     = 3  // rows that a long message may take
)

// uiVerb is the entry of `ui`.
func uiVerb() cliVerb {
	return cliVerb{name: "ui", help: "look at everything, and act on it, in the terminal", run: tuiRun,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.readonly, "readonly", false, "take the keys away that change something")
		},
		more: `
It may stay open all day: while nothing changes, it sends nothing to the terminal and does not wake. ? shows the keys,
: takes commands as the command line does. Quitting stops nothing: the principal lives on.
Exit codes: 0 quit, 2 no terminal, 128 and the signal's number when a signal ended it.`,
		examples: []string{"cdktr ui", "cdktr ui -H box.example.net", "cdktr ui --readonly"}}
}

// tuiTarget is a principal that the UI can connect to.
type tuiTarget struct {
	name string // for the header
	at   string // its endpoint
	dial func(context.Context) (wireConn, error)

	first wireConn // a connection that stands already; nil: none
}

// tui is the whole program. All fields belong to the goroutine of loop, but for the channels.
type tui struct {
	// The terminal: what came from it becomes keys, and what grid has goes out by painter.
	env     termEnv
	tty     *termTTY
	dec     termDecoder
	painter *termPainter
	grid    *termGrid

	// What a test puts others in place of: the time, the terminal's clipboard, where the trace of a panic goes, what
	// ends the process, and how an endpoint or the name of a context becomes a target.
	now     func() time.Time
	copy    func(string) error
	stderr  io.Writer
	crash   func()
	resolve func(string) (tuiTarget, error)

	// What does not change: the keys, the names of contexts for completion, and whether keys that change something are
	// taken away.
	keys     []tuiBinding
	contexts []string
	readonly bool

	// What is known, and how it is shown: the last screen of stack, with at most one box above it (over) and at most
	// one prompt. flash is what the status row says until the next key. history is of the prompts, by their marks.
	model   *tuiModel
	stack   []tuiScreen
	over    tuiOverlay
	prompt  *tuiPrompt
	flash   string
	history map[string]*viewInput

	// frozen keeps the screens as they are; missed says that something came meanwhile. started: the first screen was
	// chosen.
	frozen, missed, started bool

	// The connection, and the requests that wait for a reply, by id. refused is replies to requests that were refused
	// before they were sent.
	link    tuiLink
	asked   map[string]func(*Reply)
	refused []*Reply
	lastID  int

	// The frame: dirty says that the next one may differ, running counts the rows on the screen whose time goes on.
	dirty     bool
	running   int
	lastFrame time.Time

	// The end: interrupt is when ^C was last pressed; quit ends the loop, and exit is what run gives.
	interrupt time.Time
	quit      bool
	exit      error

	// What wakes the loop. inCh is closed when the terminal is gone. Links and goroutines end with ctx.
	inCh   chan []byte
	msgCh  chan tuiMsg
	sigCh  chan os.Signal
	frameT *time.Timer
	escT   *time.Timer
	tickT  *time.Timer
	staleT *time.Timer
	sizeT  *time.Timer
	wg     sync.WaitGroup
	ctx    context.Context
}

// tuiRun carries out the verb ui.
func tuiRun(ctx context.Context, c *cli, args []string) error {
	env := termEnvOf(c.getenv)
	env.NoColor = env.NoColor || c.flags.color == "never"
	tty, err := termOpen(tuiDevice, c.getenv, "cdktr")
	if err != nil || !env.Usable {
		return &exitError{code: exitUsage, err: errors.New("ui needs a terminal"), hint: "cdktr ps --watch, or --json"}
	}
	debug.SetGCPercent(50) // it runs all day, and is small
	u := tuiNew(env, c.flags.readonly, time.Now)
	u.tty, u.copy, u.stderr, u.crash = tty, tty.copy, c.err, c.crash
	u.resolve = func(name string) (tuiTarget, error) { return tuiResolve(ctx, c, name) }
	for _, known := range c.cfg.contexts {
		u.contexts = append(u.contexts, known.Name)
	}
	target, err := u.resolve("")
	if err != nil {
		return errors.Join(err, tty.close())
	}
	if strings.HasPrefix(target.at, "ssh://") { // ssh may ask for a password: before we take the screen
		fmt.Fprintf(c.err, "cdktr: connecting to %s\n", target.at)
		if t, err := c.dialTo(ctx, false); err == nil {
			target.first, _ = t.dial(ctx) // if it fails, the screen says why and tries again
		}
	}
	return u.run(ctx, target)
}

// tuiNew makes a UI that is connected to nothing.
func tuiNew(env termEnv, readonly bool, now func() time.Time) *tui {
	u := &tui{env: env, readonly: readonly, now: now, model: tuiModelNew(),
		painter: &termPainter{noColor: env.NoColor, ascii: env.ASCII, plain: env.Plain}, grid: termGridNew(80, 24),
		asked: map[string]func(*Reply){}, history: map[string]*viewInput{}, inCh: make(chan []byte, 16),
		msgCh: make(chan tuiMsg, 64), sigCh: make(chan os.Signal, 8)}
	u.keys = tuiBindings(readonly)
	for _, t := range []**time.Timer{&u.frameT, &u.escT, &u.tickT, &u.staleT, &u.sizeT} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	return u
}

// run takes the terminal over, and gives it back however the loop ends.
func (u *tui) run(ctx context.Context, target tuiTarget) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	u.ctx = ctx
	signal.Notify(u.sigCh, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGWINCH,
		syscall.SIGCONT)
	defer signal.Stop(u.sigCh)
	if err := u.tty.enter(); err != nil {
		return errors.Join(err, u.tty.close())
	}
	u.goSafe(func() {
		u.tty.runRead(func(b []byte) {
			select {
			case u.inCh <- b:
			case <-ctx.Done():
			}
		})
		close(u.inCh)
	})
	u.connect(target)
	u.resize()
	func() {
		defer u.tty.guard(u.stderr, u.crash)
		u.loop(ctx)
	}()
	stop()
	err := u.tty.close()
	u.wg.Wait()
	if u.exit != nil {
		return u.exit
	}
	return err
}

// goSafe starts a goroutine that gives the terminal back if it panics.
func (u *tui) goSafe(fn func()) {
	u.wg.Go(func() {
		defer u.tty.guard(u.stderr, u.crash)
		fn()
	})
}

// loop is the only goroutine that changes u. It wakes for keys, for what the principal says, for signals, and for
// timers, which are set only while they are needed. It ends when u.quit is set, or with ctx.
func (u *tui) loop(ctx context.Context) {
	for !u.quit {
		u.takeRefused()
		u.paint()
		select {
		case b, ok := <-u.inCh:
			if !ok { // the terminal is gone
				u.leaveWith(errTermGone)
				return
			}
			for _, k := range u.dec.feed(b) {
				u.key(k)
			}
			if u.dec.pending() {
				u.escT.Reset(u.dec.wait(u.env.SSH))
			}
		case m := <-u.msgCh:
			u.take(m)
			for n := len(u.msgCh); n > 0 && !u.quit; n-- {
				u.take(<-u.msgCh)
			}
		case <-u.escT.C:
			for _, k := range u.dec.flush() {
				u.key(k)
			}
		case s := <-u.sigCh:
			u.signal(s)
		case <-u.tickT.C:
			u.dirty = true
		case <-u.staleT.C:
			u.dirty = true
		case <-u.sizeT.C:
			u.resize()
		case <-u.frameT.C:
		case <-ctx.Done():
			if got, ok := errors.AsType[*signalError](context.Cause(ctx)); ok { // main heard of the signal first
				u.signal(got.signal)
			}
			return
		}
	}
}

// leaveWith ends the loop. When the terminal is gone, the exit code is that of SIGHUP, and there is nobody to tell.
func (u *tui) leaveWith(err error) {
	if errors.Is(err, errTermGone) {
		err = &exitError{code: 128 + int(syscall.SIGHUP)}
	}
	u.quit, u.exit = true, err
}

// signal acts on a signal. WINCH: the size is read once it has settled. CONT: the terminal is taken again. All others
// end the program.
func (u *tui) signal(s os.Signal) {
	switch s {
	case syscall.SIGWINCH:
		u.sizeT.Reset(tuiSettle)
	case syscall.SIGCONT:
		if err := u.tty.enter(); err != nil {
			u.leaveWith(err)
			return
		}
		u.resize()
	default:
		n, _ := s.(syscall.Signal)
		u.leaveWith(&exitError{code: 128 + int(n)})
	}
}

// suspend stops the program, as ^Z does elsewhere, and returns when the shell continues it.
func (u *tui) suspend() {
	if err := u.tty.suspend(); err != nil {
		u.leaveWith(err)
		return
	}
	u.resize()
}

// resize reads the size of the terminal and draws everything anew: nobody knows what the terminal made of its text.
func (u *tui) resize() {
	w, h := u.tty.size()
	u.grid = termGridNew(w, h)
	u.painter.forget()
	u.dirty = true
}

// paint sends a frame with what has changed. If the last frame is too recent, it sets the timer for this one instead.
func (u *tui) paint() {
	if !u.dirty || u.quit {
		return
	}
	gap := tuiFrameGap
	if u.env.SSH {
		gap = tuiFrameGapSSH
	}
	now := u.now()
	if wait := gap - now.Sub(u.lastFrame); wait > 0 && !u.lastFrame.IsZero() {
		u.frameT.Reset(wait)
		return
	}
	u.dirty = false
	u.draw()
	if frame := u.painter.frame(u.grid); frame != nil {
		u.lastFrame = now
		if err := u.tty.write(frame); errors.Is(err, errTermGone) {
			u.leaveWith(err)
		} else if err != nil {
			u.painter.forget()
			u.dirty = true
		}
	}
	if u.running > 0 && !u.frozen && u.live() {
		u.tickT.Reset(time.Second - u.clock().Sub(u.clock().Truncate(time.Second)))
	}
}

// say puts a line into the status row.
func (u *tui) say(format string, args ...any) {
	u.flash = strings.TrimSpace(fmt.Sprintf(format, args...))
	u.dirty = true
}

// clock gives the principal's time, so that ages are right. It stands still while no word comes from the principal.
func (u *tui) clock() time.Time {
	now := u.now()
	if !u.live() && !u.link.last.IsZero() {
		now = u.link.last
	}
	return now.Add(u.model.skew)
}
