//go:build !noui

// tui_link.go: the terminal UI's end of the connection to the principal. Everything goes over one: the lists and their
// changes, the output that is followed, and requests; ids tell them apart. A goroutine dials and reads. The loop sends,
// which never waits.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	tuiRetryFirst = 1 * time.Second        // after a connection was lost; doubled each time, up to tuiRetryMax
	tuiRetryMax   = 30 * time.Second       // longest wait between two tries to connect
	tuiRetryBlink = 100 * time.Millisecond // before the first try after one that stood
)

// tuiLink is what the loop knows of the connection.
type tuiLink struct {
	target tuiTarget
	number int      // of the target: what an earlier one still says is ignored
	conn   wireConn // nil while there is none
	err    error    // why there is none
	last   time.Time
	retry  time.Time     // when the next try is
	theirs string        // version of the principal, where it is not ours
	lists  string        // id of the request whose replies keep the lists up to date
	try    chan struct{} // a token in it starts the next try at once
	cancel context.CancelFunc
}

// tuiMsg is what the goroutine of a link tells the loop: a connection, a reply, or that the connection is gone.
type tuiMsg struct {
	link  int
	conn  wireConn
	reply *Reply
	err   error
	wait  time.Duration // before the next try
}

// tuiResolve gives the target of an endpoint or a context of the configuration; "" is the one that the settings name.
func tuiResolve(ctx context.Context, c *cli, name string) (tuiTarget, error) {
	at := *c
	switch {
	case strings.Contains(name, "://"):
		at.cfg = c.cfg.with("principal", name, ":connect").with("context", "", ":connect")
	case name != "":
		cfg, err := c.cfg.at(name)
		if err != nil {
			return tuiTarget{}, err
		}
		at.cfg = cfg
	}
	t, err := at.dialTo(ctx, true)
	if err != nil {
		return tuiTarget{}, err
	}
	fromContext := func(key string) bool { return strings.HasPrefix(at.cfg.values[key].From, "context ") }
	site := at.cfg.get("context")
	if !fromContext("principal") && !fromContext("credential") { // something stronger than the context names it
		site = ""
	}
	if scheme, host, _ := strings.Cut(t.endpoint, "://"); scheme != "ipc" { // a principal of this box has no name
		site = orDefault(site, host)
	}
	return tuiTarget{name: site, at: t.endpoint, dial: t.dial}, nil
}

// connect leaves the present principal for another.
func (u *tui) connect(target tuiTarget) {
	if u.link.cancel != nil {
		u.link.cancel()
	}
	for _, s := range u.stack {
		s.leave(u)
	}
	u.model, u.asked, u.stack, u.started = tuiModelNew(), map[string]func(*Reply){}, nil, false
	ctx, cancel := context.WithCancel(u.ctx)
	u.link = tuiLink{target: target, number: u.link.number + 1, try: make(chan struct{}, 1), cancel: cancel}
	number, try := u.link.number, u.link.try
	u.goSafe(func() { u.runLink(ctx, number, target, try) })
	u.dirty = true
}

// runLink keeps up a connection: it dials, gives the connection to the loop, and passes on what comes. After a break it
// tries again when its time has come, or at once after a token in try. It ends with ctx.
func (u *tui) runLink(ctx context.Context, number int, target tuiTarget, try <-chan struct{}) {
	tell := func(m tuiMsg) {
		m.link = number
		select {
		case u.msgCh <- m:
		case <-ctx.Done():
		}
	}
	wait, conn := tuiRetryFirst, target.first
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			conn, err = target.dial(ctx)
		}
		pause := wait
		if err == nil {
			tell(tuiMsg{conn: conn})
			stop := context.AfterFunc(ctx, func() { conn.Cut(nil) })
			err = tuiRead(conn, func(r *Reply) { tell(tuiMsg{reply: r}) })
			stop()
			conn.Cut(nil)
			conn, wait, pause = nil, tuiRetryFirst, tuiRetryBlink
		} else {
			wait = min(2*wait, tuiRetryMax)
		}
		tell(tuiMsg{err: err, wait: pause})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-try:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// tuiRead gives every reply that comes over a connection to fn, until it ends.
func tuiRead(conn wireConn, fn func(*Reply)) error {
	for {
		frames, err := conn.Recv()
		if err != nil {
			return err
		}
		_, body, err := protoSplit(frames)
		if err != nil {
			return err
		}
		r := &Reply{}
		if err := json.Unmarshal(body, r); err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		fn(r)
	}
}

// take acts on what the goroutine of the link says.
func (u *tui) take(m tuiMsg) {
	if m.link != u.link.number {
		if m.conn != nil {
			m.conn.Cut(nil)
		}
		return
	}
	switch {
	case m.conn != nil:
		u.link.conn, u.link.err = m.conn, nil
		u.heard()
		u.subscribe()
		u.compare()
	case m.reply != nil:
		u.heard()
		u.takeReply(m.reply)
	default:
		u.link.conn, u.link.err, u.link.retry = nil, m.err, u.now().Add(m.wait)
		u.asked = map[string]func(*Reply){}
		u.dirty = true
	}
}

// compare asks for the principal's version. If it is not ours, some keys may not do what the help says.
func (u *tui) compare() {
	u.link.theirs = ""
	u.send(Request{Op: "ping"}, func(r *Reply) {
		if r.Error == nil && r.Version != programVersion() {
			u.link.theirs = orDefault(r.Version, "unknown")
			u.say("the principal is version %s, this program %s: what only one of them knows does not work; update "+
				"the older one", u.link.theirs, programVersion())
		}
	})
}

// heard notes that the principal has just said something.
func (u *tui) heard() {
	if !u.live() {
		u.dirty = true
	}
	u.link.last = u.now()
	u.staleT.Reset(tuiStale)
}

// takeReply gives a reply to the function that waits for it.
func (u *tui) takeReply(r *Reply) {
	fn := u.asked[r.ID]
	if fn == nil {
		return
	}
	if !r.More || r.Error != nil {
		delete(u.asked, r.ID)
	}
	fn(r)
}

// send asks the principal, and does not wait. fn gets each reply, and never before send returns. send gives the
// request's id, or "" when it could not be sent. A request that is refused before it is sent is answered like others.
func (u *tui) send(req Request, fn func(*Reply)) string {
	if u.link.conn == nil {
		return ""
	}
	u.lastID++
	id := strconv.Itoa(u.lastID)
	body, err := protoAsk(req, id, wireMaxFrame)
	if refused, ok := errors.AsType[*protoError](err); ok {
		u.refused = append(u.refused, &Reply{ID: id, Error: refused})
	} else if !u.link.conn.TrySend([]byte{}, body) {
		return ""
	}
	u.asked[id] = fn
	return id
}

// takeRefused delivers the replies to requests that were refused before they were sent, each once.
func (u *tui) takeRefused() {
	own := u.refused
	u.refused = nil
	for _, r := range own {
		u.takeReply(r)
	}
}

// forget ends the stream of a request, and ignores what still comes of it.
func (u *tui) forget(id string) {
	if u.asked[id] == nil {
		return
	}
	delete(u.asked, id)
	u.send(Request{Op: "stop", Of: id}, func(*Reply) {})
}

// subscribe asks for the lists anew. The present ones are shown until the new ones are complete.
func (u *tui) subscribe() {
	u.forget(u.link.lists)
	fresh := tuiModelNew()
	u.link.lists = u.send(Request{Op: "watch", N: tuiMaxRuns}, func(r *Reply) {
		switch {
		case r.Error != nil:
			u.say("%s", r.Error.Message)
			return
		case u.frozen && u.model == fresh:
			u.missed = true
			return
		}
		fresh.apply(r)
		if !r.Clock.IsZero() {
			fresh.skew = r.Clock.Sub(u.now())
		}
		if !fresh.complete {
			return
		}
		if u.model != fresh {
			u.adopt(fresh)
		}
		u.news(r)
	})
}

// adopt takes complete lists in place of the old ones, and lets the screens ask for what else they show.
func (u *tui) adopt(fresh *tuiModel) {
	for kind, n := range u.model.changed {
		fresh.changed[kind] += n + 1
	}
	u.model, u.missed = fresh, false
	u.begin()
	for _, s := range u.stack {
		if s, ok := s.(tuiReloaded); ok {
			s.reload(u)
		}
	}
}

// begin chooses the first screen: what needs a person, or the workflows where nothing does.
func (u *tui) begin() {
	if u.started {
		return
	}
	u.started = true
	if len(u.stack) > 0 {
		return // the user chose a screen before the connection stood
	}
	if u.model.attention > 0 {
		u.goTo(tuiAttentionNew(u))
		return
	}
	u.goTo(tuiListNew(tuiWorkflows))
	u.say("nothing needs attention")
}

// news tells the screens that the lists have changed.
func (u *tui) news(r *Reply) {
	if len(r.Rows)+len(r.Workflows)+len(r.Agents)+len(r.Gone)+len(r.GoneAgents) > 0 || r.Live || r.Attention != nil {
		u.dirty = true
	}
	for _, s := range u.stack {
		if s, ok := s.(tuiInformed); ok {
			s.news(u, r)
		}
	}
}

// live says whether the screen shows how things are now.
func (u *tui) live() bool { return u.link.conn != nil && u.now().Sub(u.link.last) < tuiStale }

// linkText is the right corner of the header.
func (u *tui) linkText() (text string, bad bool) {
	switch {
	case u.frozen:
		return "FROZEN", true
	case u.live() && u.model.complete && u.link.theirs != "":
		return "LIVE v" + u.link.theirs, true
	case u.live() && u.model.complete:
		return "LIVE", false
	case u.live():
		return "LOADING", false
	case u.link.last.IsZero():
		return "NOT CONNECTED", true
	}
	return "STALE since " + u.link.last.Local().Format("15:04:05"), true
}

// staleText says why the screen is old, and when that may change.
func (u *tui) staleText() string {
	if u.link.conn != nil {
		return "no word from " + u.link.target.at + " since " + u.link.last.Local().Format("15:04:05")
	}
	if u.link.err == nil {
		return "connecting to " + u.link.target.at
	}
	why := strings.TrimPrefix(u.link.err.Error(), "dial "+u.link.target.at+": ")
	if errno := syscall.Errno(0); errors.As(u.link.err, &errno) { // the endpoint stands in the text already
		why = errno.Error()
	}
	return fmt.Sprintf("no answer from %s: %s; next try %s, or :connect now", u.link.target.at, why,
		u.link.retry.Local().Format("15:04:05"))
}
