// principal_listen_trouble.go: what goes wrong with a listener, as a person sees it: what keeps it from listening, as
// its goroutine says; why its events make no runs; and that they are too many. All of it runs on the principal's loop.

package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	// how long events are held back by the rate before a person is told
	listenHeldLong = 5 * time.Minute
	// how long none may be lost for that to be over
	listenCalm = 10 * time.Minute
)

// listenNoRun stands in front of why the events of a listener make no runs.
const listenNoRun = "its events make no runs: "

// listenTroubles is what is wrong with a listener; for each thing the time says since when, and zero that it is not.
type listenTroubles struct {
	looked bool // its goroutine has told how it is since the principal began

	deaf      string // what keeps it from listening
	deafSince time.Time
	deafBrief bool // it may be over before anybody comes

	unfit      string // why its events make no runs, of the newest one
	unfitSince time.Time

	heldSince time.Time // the rate has held events back since then, without a pause

	// Events that are lost because they are too many: how many, since when, and when the last.
	lost      int
	lostSince time.Time
	lostLast  time.Time
}

// text gives what keeps a listener from listening or its events from making runs, "" when nothing does.
func (t *listenTroubles) text() string {
	if t.deaf == "" && t.unfit != "" {
		return listenNoRun + t.unfit
	}
	return t.deaf
}

// needs says why a person must look at a listener now, and since when; "" when none must.
func (o *listening) needs(now time.Time) (reason string, since time.Time) {
	switch {
	case o.deaf != "" && !o.deafBrief:
		return o.deaf, o.deafSince
	case o.unfit != "":
		return listenNoRun + o.unfit, o.unfitSince
	case !o.lostSince.IsZero() && now.Sub(o.lostLast) < listenCalm:
		return fmt.Sprintf("%s lost, since more than %d a minute came (rate): a tighter match lets fewer through, "+
			"debounce joins them", countText(o.lost, "line"), o.rate()), o.lostSince
	case !o.heldSince.IsZero() && now.Sub(o.heldSince) >= listenHeldLong:
		return fmt.Sprintf("more events come than %d a minute (rate), and they wait: debounce joins several into one "+
			"run", o.rate()), o.heldSince
	}
	return "", time.Time{}
}

// needsNext gives when a listener may need a person, or need none any more, by time alone; zero when it will not.
func (o *listening) needsNext(now time.Time) (next time.Time) {
	for _, at := range []time.Time{o.heldSince.Add(listenHeldLong), o.lostLast.Add(listenCalm)} {
		if at.After(now) {
			next = earlier(next, at)
		}
	}
	return next
}

// noteIll takes in that the troubles of a listener have changed. was is what needs said before.
func (l *listeners) noteIll(o *listening, was string) {
	if o.deaf+o.unfit != "" || !o.heldSince.IsZero() || !o.lostSince.IsZero() {
		l.ill[o] = true
	} else {
		delete(l.ill, o)
	}
	l.stirred = true
	if now, _ := o.needs(l.cfg.now()); (now == "") != (was == "") {
		l.touch(o.spec.ID)
	}
}

// hearTrouble takes in what keeps a listener from listening, "" for nothing.
func (l *listeners) hearTrouble(o *listening, text string, brief bool) {
	if !l.listens(o) {
		return
	}
	fresh := !o.looked
	o.looked = true
	if text == o.deaf && brief == o.deafBrief {
		l.stirred = l.stirred || fresh
		return
	}
	was, _ := o.needs(l.cfg.now())
	if text != "" && text != o.deaf {
		l.cfg.Log.Warn("a listener does not work", "workflow", o.spec.ID, "listener", o.key, "cause", text)
	}
	if o.deaf == "" || o.deafBrief && !brief {
		o.deafSince = l.cfg.now()
	}
	o.deaf, o.deafBrief = text, brief
	l.noteIll(o, was)
	l.touch(o.spec.ID)
}

// hearRefused takes in why the newest event of a listener made no run; nil: it made one.
func (l *listeners) hearRefused(o *listening, refused *protoError) {
	text := ""
	if refused != nil {
		text = refused.Message
	}
	if text == o.unfit {
		return
	}
	was, _ := o.needs(l.cfg.now())
	if o.unfit == "" {
		o.unfitSince = l.cfg.now()
	}
	o.unfit = text
	l.noteIll(o, was)
	l.touch(o.spec.ID)
}

// hold takes in that the rate keeps the events of a listener back. Lines are lost: nothing brings them back.
func (l *listeners) hold(o *listening) {
	if o.Command != nil {
		n := len(o.waiting)
		o.waiting = nil
		l.lose(o, n)
		return
	}
	if o.heldSince.IsZero() {
		o.heldSince = l.cfg.now()
		l.noteIll(o, "")
	}
}

// relieve takes in that the rate holds no event of a listener back any more.
func (l *listeners) relieve(o *listening) {
	if o.heldSince.IsZero() {
		return
	}
	was, _ := o.needs(l.cfg.now())
	o.heldSince = time.Time{}
	l.noteIll(o, was)
}

// lose takes in that lines of a listener are lost, for they are too many.
func (l *listeners) lose(o *listening, n int) {
	now := l.cfg.now()
	was, _ := o.needs(now)
	if now.Sub(o.lostLast) >= listenCalm {
		o.lost, o.lostSince = 0, now
	}
	o.dropped += n
	o.lost += n
	o.lostLast = now
	if was == "" {
		l.noteIll(o, was)
	}
}

// eachListener hands fn the listeners that need a person. Only on the loop.
func (a *attention) eachListener(grant *authGrant, now time.Time, fn func(AttentionItem)) {
	for o := range a.listeners.ill {
		reason, since := o.needs(now)
		if reason != "" && grant.sees(o.spec.ID) {
			fn(AttentionItem{Key: o.itemKey(), Kind: attentionListener, Workflow: o.spec.ID, Count: 1,
				First: stampOf(since), Last: stampOf(since), Reason: o.key + ": " + reason})
		}
	}
}

// itemKey names the item of a listener.
func (o *listening) itemKey() string { return stateKey(attentionListener, o.spec.ID, o.key) }

// ofItem gives the listener of an item of a workflow, nil when there is none such.
func (l *listeners) ofItem(workflow, key string) *listening {
	for _, o := range l.all[workflow] {
		if o.itemKey() == key {
			return o
		}
	}
	return nil
}

// unsure says whether it is not known yet, after a start, whether what reason says of a listener is still so.
func (o *listening) unsure(reason string) bool {
	return !o.looked || o.fired == 0 && strings.Contains(reason, listenNoRun)
}
