//go:build !noui

// tui_log.go: the screen of the output of a run or of one of its tasks.

package main

import (
	"slices"
	"strings"
)

// tuiOutput brings the output of one run into the log that a screen shows.
type tuiOutput struct {
	run   string
	lines int // newest ones to ask for
	log   *viewLog

	// The request that brings new lines, "" when all have come, and why there are none.
	stream string
	note   string

	// Older lines have been asked for; lines came while the UI was frozen.
	older  bool
	missed bool
}

// hold asks anew for the lines that came while the UI was frozen.
func (o *tuiOutput) hold(u *tui, frozen bool) {
	if !frozen && o.missed {
		o.follow(u)
	}
}

// follow asks for the newest lines, and follows new ones.
func (o *tuiOutput) follow(u *tui) {
	u.forget(o.stream)
	o.log.reset()
	o.note, o.older, o.missed = "", false, false
	o.stream = u.send(Request{Op: "logs", Run: o.run, Follow: true, All: true, Last: protoCount(o.lines)},
		func(r *Reply) {
			switch {
			case r.Error != nil:
				o.note = r.Error.Message
			case r.Line != nil && r.Line.N == 0:
				if !u.frozen {
					o.log.begun(*r.Line)
				}
			case r.Line != nil:
				if u.frozen && (o.log.follow || o.missed) {
					o.missed = true
				} else {
					o.log.add(*r.Line)
				}
			case r.Note != "":
				o.log.gap(r.Note)
			}
			if !r.More {
				o.stream = ""
			}
			u.dirty = true
		})
}

// loadOlder asks for the lines before the oldest one held, if that one is on the screen.
func (o *tuiOutput) loadOlder(u *tui) {
	oldest := o.log.oldest()
	if oldest <= 1 || o.older || !o.log.atTop() {
		return
	}
	var lines []LogLine
	o.older = u.send(Request{Op: "logs", Run: o.run, Before: oldest, Last: tuiOlderLines}, func(r *Reply) {
		if r.Line != nil {
			lines = append(lines, *r.Line)
		}
		if !r.More {
			o.older = false
			if o.log.oldest() == oldest { // else the log was loaded anew meanwhile
				o.log.prepend(lines...)
			}
			u.dirty = true
		}
	}) != ""
}

// news follows again where a run that had ended goes on, because it was retried.
func (o *tuiOutput) news(u *tui, r *Reply) {
	for i := range r.Rows {
		if r.Rows[i].ID == o.run && runActive(r.Rows[i].State) && o.stream == "" {
			o.follow(u)
		}
	}
}

// leave ends the stream.
func (o *tuiOutput) leave(u *tui) { u.forget(o.stream) }

// tuiLogScreen is the output of a run, or of one task of it.
type tuiLogScreen struct {
	run, workflow, task string
	view                *viewLog
	out                 tuiOutput
}

// openLog shows the output of what a row is about.
func (u *tui) openLog(p tuiPick) {
	s := &tuiLogScreen{run: p.run, workflow: p.workflow, task: p.task, view: viewLogNew()}
	s.out = tuiOutput{run: p.run, lines: viewLogLines, log: s.view}
	s.view.setTask(p.task)
	u.open(s)
	s.out.follow(u)
}

// openRunLog shows the output of all tasks of a run.
func (u *tui) openRunLog(p tuiPick) {
	p.task = ""
	u.openLog(p)
}

func (s *tuiLogScreen) reload(u *tui)            { s.out.follow(u) }
func (s *tuiLogScreen) news(u *tui, r *Reply)    { s.out.news(u, r) }
func (s *tuiLogScreen) hold(u *tui, frozen bool) { s.out.hold(u, frozen) }
func (s *tuiLogScreen) name() string             { return "log" }
func (s *tuiLogScreen) leave(u *tui)             { s.out.leave(u) }

// getFilter gives the search or the filter, which esc clears.
func (s *tuiLogScreen) getFilter() string { return s.view.search.text + s.view.only.text }

// setFilter clears both; promptFilter and promptOnly set them.
func (s *tuiLogScreen) setFilter(*tui, string) {
	s.view.setSearch("")
	s.view.setOnly("")
}

func (s *tuiLogScreen) crumbs(*tui) []string {
	crumbs := []string{s.workflow, tuiShort(s.run), s.task, "log"}
	return slices.DeleteFunc(crumbs, func(crumb string) bool { return crumb == "" })
}

// counts tells in the header that new lines are followed.
func (s *tuiLogScreen) counts(*tui) string {
	if s.view.follow {
		return "FOLLOW"
	}
	return ""
}

func (s *tuiLogScreen) draw(u *tui, g *termGrid, a viewArea) {
	s.view.draw(g, a)
	waits := s.out.stream != "" || !u.live()
	if waits && len(s.view.shown) == 0 && s.getFilter() == "" {
		u.drawBlank(g, a, "output", s.out.note)
	}
	g.cursorX, g.cursorY = a.x, a.y+a.h-1
}

func (s *tuiLogScreen) status(u *tui) string {
	if s.out.note != "" {
		return s.out.note
	}
	left, right := s.view.status()
	return left + strings.Repeat(" ", max(u.grid.w-2-textWidth(left)-textWidth(right), 0)) + right
}

func (s *tuiLogScreen) pick(*tui) tuiPick {
	return tuiPick{run: s.run, workflow: s.workflow, task: s.task}
}

func (s *tuiLogScreen) move(u *tui, by int) {
	s.view.move(by)
	if by < 0 {
		s.out.loadOlder(u)
	}
}

func (s *tuiLogScreen) page(u *tui, half int) {
	if half%2 == 0 { // whole screens keep a line in sight
		s.view.page(half / 2)
	} else {
		s.view.halfPage(half)
	}
	if half < 0 {
		s.out.loadOlder(u)
	}
}

func (s *tuiLogScreen) edge(u *tui, end bool) {
	switch {
	case !end:
		s.view.home()
		s.out.loadOlder(u)
	case s.view.behind > 0: // newer lines were let go while older ones were read
		s.out.follow(u)
	default:
		s.view.end()
	}
}

// key does what the keys of output do.
func (s *tuiLogScreen) key(u *tui, name string) {
	v := s.view
	switch name {
	case "f":
		if !v.follow && v.behind > 0 {
			s.out.follow(u)
			return
		}
		v.toggleFollow()
	case "n":
		u.nextHit(v, 1)
	case "N":
		u.nextHit(v, -1)
	case "w":
		v.toggleWrap()
	case "t":
		v.times = !v.times
	case "o":
		v.cycleStreams()
	case "c":
		v.colour = !v.colour
	case "h", "left":
		v.panBy(-tuiPanBy)
	case "l", "right":
		v.panBy(tuiPanBy)
	}
}

// nextHit goes to the next hit of a search in a text, or with -1 to the one before.
func (u *tui) nextHit(v *viewLog, dir int) {
	if v.next(dir) {
		u.say("search goes on at the other end")
	}
}
