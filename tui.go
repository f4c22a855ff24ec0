// tui.go: the terminal UI: one loop that owns all of it, fed by the terminal, the principal and signals. It is a client
// of the principal like any other, and sleeps when there is nothing to show: no ticker runs.

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
	tuiFrameGap    = 50 * time.Millisecond  // between two frames; a frame after a pause is shown at once
	tuiFrameGapSSH = 100 * time.Millisecond // the same, over ssh
	tuiSettle      = 50 * time.Millisecond  // a size that changes is drawn once it has rested
	tuiQuitTwice   = time.Second            // within it, a second ^C quits
	tuiDevice      = "/dev/tty"
	tuiMinWidth    = 40 // columns; on a smaller terminal it says what it needs
	tuiMinHeight   = 10 // rows; the same
	tuiMaxNote     = 3  // rows of a message that is longer than the screen is wide
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

	first wireConn // a connection that stands already, nil: none
}

// tui is the whole program. All fields belong to the goroutine of loop, but for the channels.
type tui struct {
	env      termEnv
	tty      *termTTY
	dec      termDecoder
	painter  *termPainter
	grid     *termGrid
	readonly bool
	now      func() time.Time
	copy     func(string) error              // to the terminal's clipboard
	stderr   io.Writer                       // for the trace of a panic
	crash    func()                          // ends the process
	resolve  func(string) (tuiTarget, error) // an endpoint or the name of a context
	contexts []string                        // names, for completion

	model   *tuiModel
	stack   []tuiScreen // the last one is shown
	over    tuiOverlay  // a box above it, nil: none
	prompt  *tuiPrompt  // the row of a prompt, nil: none
	flash   string      // what the status row says until the next key
	frozen  bool
	missed  bool // something came while frozen
	history map[string]*viewInput
	keys    []tuiBinding

	link    tuiLink
	asked   map[string]func(*Reply) // requests that wait for a reply, by id
	own     []*Reply                // to those that were refused before they were sent
	lastID  int
	started bool // the first screen was chosen

	dirty     bool
	running   int // rows on the screen whose time goes on
	lastFrame time.Time
	interrupt time.Time // the last ^C
	quit      bool
	exit      error

	inCh   chan []byte // closed when the terminal is gone
	msgCh  chan tuiMsg
	sigCh  chan os.Signal
	frameT *time.Timer
	escT   *time.Timer
	tickT  *time.Timer
	staleT *time.Timer
	sizeT  *time.Timer
	wg     sync.WaitGroup
	ctx    context.Context // links end with it
}

// tuiRun carries out the verb.
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
	if strings.HasPrefix(target.at, "ssh://") { // it may ask for a password, which it cannot do once the screen is ours
		fmt.Fprintf(c.err, "cdktr: connecting to %s\n", target.at)
		if t, err := c.dialTo(ctx, false); err == nil {
			target.first, _ = t.dial(ctx) // without one the screen says why, and tries again
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
// timers that are set only while something on the screen goes on; it ends when u.quit is set.
func (u *tui) loop(ctx context.Context) {
	for !u.quit {
		u.takeOwn()
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
			if got, ok := errors.AsType[*signalError](context.Cause(ctx)); ok { // main may hear of it before us
				u.signal(got.signal)
			}
			return
		}
	}
}

// leaveWith ends the loop. That the terminal is gone is what SIGHUP tells others, and there is nobody to tell.
func (u *tui) leaveWith(err error) {
	if errors.Is(err, errTermGone) {
		err = &exitError{code: 128 + int(syscall.SIGHUP)}
	}
	u.quit, u.exit = true, err
}

// signal acts on one: the size is looked at when it has rested, all others but CONT end the program.
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

// suspend stops the program as ^Z does elsewhere; it goes on where the shell continues it.
func (u *tui) suspend() {
	if err := u.tty.suspend(); err != nil {
		u.leaveWith(err)
		return
	}
	u.resize()
}

// resize takes the size of the terminal over and draws everything anew: what a terminal made of its text is not known.
func (u *tui) resize() {
	w, h := u.tty.size()
	u.grid = termGridNew(w, h)
	u.painter.forget()
	u.dirty = true
}

// paint shows what has changed, if the last frame was long enough ago; else it sets the timer for it.
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

// clock is the time as the principal has it, so that what runs there is shown with the right age. While what is known
// is old it stands still.
func (u *tui) clock() time.Time {
	now := u.now()
	if !u.live() && !u.link.last.IsZero() {
		now = u.link.last
	}
	return now.Add(u.model.skew)
}
