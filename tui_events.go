//go:build !noui

// tui_events.go: the screen of the audit trail: who did what to what. It holds the newest events, and follows new ones.

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	tuiEventsBack = 500  // events asked for when the screen opens
	tuiEventsMax  = 2000 // events held
)

// tuiEventList is the events that are held, the newest first.
type tuiEventList struct {
	events []*Event // oldest first
	shown  []*Event // newest first, as the filter has it
	filter string
	table  viewTable
	room   int
	stream string
	follow bool // the newest stays selected
	note   string
}

// tuiEventsNew makes the screen, and asks for the newest events.
func tuiEventsNew(u *tui) *tuiEventList {
	l := &tuiEventList{follow: true, table: viewTable{
		cols: []viewColumn{{head: "TIME", width: 12}, {head: "SEQ", width: 8, right: true, minScreen: 72},
			{head: "WHO", width: 10, minScreen: 56}, {head: "WHAT", width: 15}, {head: "ON", grow: 2, width: 10},
			{head: "DETAIL", grow: 2, width: 8}}}}
	l.reload(u)
	return l
}

// reload asks for the newest events, and follows new ones.
func (l *tuiEventList) reload(u *tui) {
	u.forget(l.stream)
	l.events = nil
	from := uint64(1)
	if u.model.seq > tuiEventsBack {
		from = u.model.seq - tuiEventsBack
	}
	l.stream = u.send(Request{Op: "events", Seq: from, Follow: true}, func(r *Reply) {
		if r.Error != nil {
			l.note = r.Error.Message
		}
		for _, e := range r.Events {
			if e.Kind != evVersion {
				l.events = append(l.events, e)
			}
		}
		l.events = l.events[max(len(l.events)-tuiEventsMax, 0):]
		if !u.frozen {
			l.sift()
			u.dirty = true
		}
	})
}

// hold shows the events that came while the UI was frozen.
func (l *tuiEventList) hold(_ *tui, frozen bool) {
	if !frozen {
		l.sift()
	}
}

// sift chooses what is shown. The selection stays on its event.
func (l *tuiEventList) sift() {
	var at *Event
	if l.table.selected < len(l.shown) && !l.follow {
		at = l.shown[l.table.selected]
	}
	l.shown = l.shown[:0]
	terms := tuiFilterParse(l.filter)
	for _, e := range slices.Backward(l.events) {
		fields := []tuiField{{"workflow", e.Workflow}, {"agent", e.Agent}, {"by", e.By}, {"state", e.State},
			{"", e.Kind + " " + e.Run + " " + e.Task + " " + e.Reason}}
		if tuiMatches(fields, terms) {
			l.shown = append(l.shown, e)
		}
	}
	l.table.n = len(l.shown)
	if i := slices.Index(l.shown, at); i >= 0 {
		l.choose(i)
		return
	}
	l.choose(0)
}

func (l *tuiEventList) choose(i int) { l.table.selected = max(min(i, len(l.shown)-1), 0) }

// tuiEventRow is an event in words.
func tuiEventRow(e *Event) (who, what, on, detail string) {
	on = e.Workflow
	if e.Run != "" {
		on = tuiShort(e.Run) + " " + on
	}
	if e.Task != "" {
		on += " " + e.Task
	}
	who = orDefault(e.By, "principal")
	if e.N > 0 {
		who = orDefault(e.Agent, who)
	}
	on = orDefault(on, e.Agent)
	detail = strings.TrimSpace(e.State + " " + e.Reason)
	if e.Exit != nil {
		detail += " exit " + strconv.Itoa(*e.Exit)
	}
	if e.Kind == evQueued {
		detail = strings.TrimSpace(e.Trigger + " " + detail)
	}
	return who, e.Kind, on, detail
}

func (l *tuiEventList) name() string         { return string(tuiEvents) }
func (l *tuiEventList) crumbs(*tui) []string { return []string{"Events"} }
func (l *tuiEventList) leave(u *tui)         { u.forget(l.stream) }

func (l *tuiEventList) draw(u *tui, g *termGrid, a viewArea) {
	now := u.clock()
	l.table.row = func(i int) (viewRowMark, []viewCell) {
		e := l.shown[i]
		who, what, on, detail := tuiEventRow(e)
		style := termStyle(0)
		if e.State != "" {
			_, _, style = viewLooks(e.State)
		}
		return viewRowMark{}, []viewCell{{text: viewWhen(e.Time, now)}, {text: strconv.FormatUint(e.Seq, 10)},
			{text: who}, {text: what}, {text: on}, {text: detail, style: style}}
	}
	switch {
	case len(l.events) == 0:
		l.table.empty = u.blank("the events", l.note)
	default:
		l.table.empty = "nothing matches: esc takes the filter away"
	}
	l.room = l.table.draw(g, a)
}

func (l *tuiEventList) status(*tui) string {
	if l.note != "" {
		return l.note
	}
	text := fmt.Sprintf("%d of %d newest", min(l.table.selected+1, len(l.shown)), len(l.shown))
	if l.filter != "" {
		text += "  /" + l.filter
	}
	if l.follow {
		text += "  following"
	}
	if l.table.selected < len(l.shown) && !l.follow { // its columns are narrow
		_, what, on, detail := tuiEventRow(l.shown[l.table.selected])
		return text + "  " + strings.TrimSpace(what+" "+on+": "+detail)
	}
	return text + "  older: cdktr events"
}

func (l *tuiEventList) pick(*tui) tuiPick {
	if l.table.selected >= len(l.shown) {
		return tuiPick{}
	}
	e := l.shown[l.table.selected]
	return tuiPick{workflow: e.Workflow, run: e.Run, agent: e.Agent}
}

func (l *tuiEventList) move(_ *tui, by int) {
	l.choose(l.table.selected + by)
	l.follow = l.table.selected == 0
}

func (l *tuiEventList) page(u *tui, half int) { l.move(u, half*max(l.room/2, 1)) }

func (l *tuiEventList) edge(u *tui, end bool) {
	if end {
		l.move(u, len(l.shown))
	} else {
		l.move(u, -len(l.shown))
	}
}

func (l *tuiEventList) setFilter(_ *tui, text string) {
	l.filter = text
	l.sift()
}

func (l *tuiEventList) getFilter() string { return l.filter }

func (l *tuiEventList) key(_ *tui, name string) {
	if name == "f" {
		l.follow = !l.follow
		l.sift()
	}
}
