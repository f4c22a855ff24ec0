// tui_link.go: the terminal UI's end of one connection to the principal. Everything goes over it: the stream of watch,
// output that is followed, and requests, told apart by their ids. A goroutine dials and reads; the loop sends, which
// never waits.

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
	number int      // counts targets: what an earlier one still says is passed over
	conn   wireConn // nil while there is none
	err    error    // why there is none
	last   time.Time
	retry  time.Time     // when the next try is
	theirs string        // version of the principal, where it is not ours
	watch  string        // the id of the request that keeps the lists up to date
	try    chan struct{} // a token has the next try made at once
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
	site, said := at.cfg.get("context"), func(key string) bool {
		return strings.HasPrefix(at.cfg.values[key].From,
			"context ")
	}
	if !said("principal") && !said("credential") { // something stronger says where the principal is
		site = ""
	}
	if scheme, host, _ := strings.Cut(t.endpoint, "://"); scheme != "ipc" { // without either it is this box
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

// runLink keeps up a connection: it dials, hands it to the loop, and passes on what comes. After a break it tries again
// when its time has come, or at once when try says so. It ends with ctx.
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

// take acts on what the link says.
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

// compare asks which version the principal is of: where it is not ours, a key may not do what the help says.
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

// heard notes that the principal is there.
func (u *tui) heard() {
	if !u.live() {
		u.dirty = true
	}
	u.link.last = u.now()
	u.staleT.Reset(tuiStale)
}

// takeReply gives a reply to who asked for it.
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

// send asks the principal, without waiting; fn gets each reply, and is not called from within. It gives the request's
// id, or "" when it could not be sent. One that is refused before it is sent is answered like others.
func (u *tui) send(req Request, fn func(*Reply)) string {
	if u.link.conn == nil {
		return ""
	}
	u.lastID++
	id := strconv.Itoa(u.lastID)
	body, err := protoAsk(req, id, wireMaxFrame)
	if refused, ok := errors.AsType[*protoError](err); ok {
		u.own = append(u.own, &Reply{ID: id, Error: refused})
	} else if !u.link.conn.TrySend([]byte{}, body) {
		return ""
	}
	u.asked[id] = fn
	return id
}

// takeOwn gives the replies of our own to who asked for them: once for what was asked up to now.
func (u *tui) takeOwn() {
	own := u.own
	u.own = nil
	for _, r := range own {
		u.takeReply(r)
	}
}

// forget passes over what still comes for a request, and ends its stream.
func (u *tui) forget(id string) {
	if u.asked[id] == nil {
		return
	}
	delete(u.asked, id)
	u.send(Request{Op: "stop", Of: id}, func(*Reply) {})
}

// subscribe asks for the lists anew. What is shown stays until they are complete.
func (u *tui) subscribe() {
	u.forget(u.link.watch)
	fresh := tuiModelNew()
	u.link.watch = u.send(Request{Op: "watch", N: tuiMaxRuns}, func(r *Reply) {
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

// adopt shows complete lists in place of what was known, and has the screens ask for what else they show.
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

// begin chooses the first screen: what needs a person, if there is such, else the workflows.
func (u *tui) begin() {
	if u.started {
		return
	}
	u.started = true
	if len(u.stack) > 0 {
		return // somebody went to a screen before the connection stood
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

// live says whether what is shown is how things are.
func (u *tui) live() bool { return u.link.conn != nil && u.now().Sub(u.link.last) < tuiStale }

// linkText is the corner of the header.
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

// staleText says why what is shown is old, and when that may change.
func (u *tui) staleText() string {
	if u.link.conn != nil {
		return "no word from " + u.link.target.at + " since " + u.link.last.Local().Format("15:04:05")
	}
	if u.link.err == nil {
		return "connecting to " + u.link.target.at
	}
	why := strings.TrimPrefix(u.link.err.Error(), "dial "+u.link.target.at+": ")
	if errno := syscall.Errno(0); errors.As(u.link.err, &errno) { // the name of the place is enough once
		why = errno.Error()
	}
	return fmt.Sprintf("no answer from %s: %s; next try %s, or :connect now", u.link.target.at, why,
		u.link.retry.Local().Format("15:04:05"))
}
