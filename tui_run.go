// tui_run.go: the screen of one run with its tasks, and the screen of its output. Both show what the principal said
// last, and ask anew when it says that the run has changed.

package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	tuiTailLines  = 1000 // newest lines of a run that its own screen asks for
	tuiOlderLines = 1000 // lines asked for at once when one goes back beyond those
	tuiPanBy      = 8    // columns
)

// tuiOutput is the output of one run as it comes in, in a log that a screen shows.
type tuiOutput struct {
	run    string
	lines  int // newest ones asked for
	log    *viewLog
	stream string // the request that brings it; "" when all has come
	older  bool   // lines from before those that are held have been asked for
	note   string // why there is none
	missed bool   // lines came while the UI was frozen
}

// hold asks anew, once the UI is no longer frozen, for the lines that came meanwhile.
func (o *tuiOutput) hold(u *tui, frozen bool) {
	if !frozen && o.missed {
		o.follow(u)
	}
}

// follow asks for the output from the start of what is wanted, and for what comes.
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
			case r.Line != nil && u.frozen && (o.log.follow || o.missed):
				o.missed = true
			case r.Line != nil:
				o.log.add(*r.Line)
			case r.Note != "":
				o.log.gap(r.Note)
			}
			if !r.More {
				o.stream = ""
			}
			u.dirty = true
		})
}

// back asks for the lines before the oldest one held, when that is on the screen.
func (o *tuiOutput) back(u *tui) {
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
			if o.log.oldest() == oldest { // nothing was loaded anew meanwhile
				o.log.prepend(lines...)
			}
			u.dirty = true
		}
	}) != ""
}

// news follows again when a run that had ended goes on: it was retried.
func (o *tuiOutput) news(u *tui, r *Reply) {
	for i := range r.Rows {
		if r.Rows[i].ID == o.run && runActive(r.Rows[i].State) && o.stream == "" {
			o.follow(u)
		}
	}
}

func (o *tuiOutput) leave(u *tui) { u.forget(o.stream) }

// tuiRunScreen is one run.
type tuiRunScreen struct {
	run    string
	view   viewRun
	out    tuiOutput
	asking bool // show is under way
	again  bool // the run has changed since
	fault  string
	search string // words of the task that is looked for
	from   string // the task that was selected when the search was begun
}

// openRun shows the run that a row is about.
func (u *tui) openRun(p tuiPick) {
	s := &tuiRunScreen{run: p.run, out: tuiOutput{run: p.run, lines: tuiTailLines, log: viewLogNew()}}
	s.out.log.times = u.grid.w >= viewRunWide
	u.open(s)
	s.reload(u)
}

func (s *tuiRunScreen) reload(u *tui) {
	s.asking = false
	s.show(u)
	s.out.follow(u)
}

// show asks for the run as it is; one question at a time.
func (s *tuiRunScreen) show(u *tui) {
	if s.asking {
		s.again = true
		return
	}
	s.again = false
	s.asking = u.send(Request{Op: "show", Run: s.run}, func(r *Reply) {
		s.asking = false
		switch {
		case r.Error != nil:
			s.fault = r.Error.Message
		case len(r.Runs) > 0:
			s.fault = ""
			spec := r.Spec
			if spec == nil {
				spec = s.view.Spec
			}
			s.view.set(r.Runs[0], spec)
			s.view.Agent = u.model.agents[r.Runs[0].Agent]
			s.out.log.setTask(s.view.Selected)
		}
		u.dirty = true
		if s.again {
			s.show(u)
		}
	}) != ""
}

func (s *tuiRunScreen) news(u *tui, r *Reply) {
	if slices.ContainsFunc(r.Rows, func(row RunRow) bool { return row.ID == s.run }) {
		s.show(u)
	}
	s.out.news(u, r)
}

func (s *tuiRunScreen) hold(u *tui, frozen bool) { s.out.hold(u, frozen) }

func (s *tuiRunScreen) name() string { return "run" }

func (s *tuiRunScreen) crumbs(*tui) []string {
	crumbs := []string{"Runs"}
	if s.view.Run != nil {
		crumbs = append(crumbs, s.view.Run.Workflow)
	}
	return append(crumbs, tuiShort(s.run))
}

func (s *tuiRunScreen) draw(u *tui, g *termGrid, a viewArea) {
	s.view.Now, s.view.Stale, s.view.Place = u.clock(), !u.live(), s.out.log.place()
	if s.view.Run == nil {
		u.drawBlank(g, a, "the run", s.fault)
		return
	}
	s.view.draw(g, a, s.out.log.tail)
	u.running += s.view.running()
}

func (s *tuiRunScreen) status(*tui) string {
	if s.fault != "" {
		return s.fault
	}
	if s.out.note != "" {
		return s.out.note
	}
	if left, _ := s.out.log.status(); s.view.Pane == 1 && left != "" {
		return left
	}
	if s.search != "" {
		return s.found() + "   n next"
	}
	return "run " + s.run
}

// matches says whether a task is what is looked for: by its name, its state, or why it is so.
func (s *tuiRunScreen) matches(t *TaskRun) bool {
	return tuiMatches([]tuiField{{"name", t.Task}, {"state", tuiStateWords(t.State)}, {"", t.Reason}},
		tuiFilterParse(s.search))
}

// found says how many tasks there are of what is looked for.
func (s *tuiRunScreen) found() string {
	n := 0
	for i := range s.view.Run.Tasks {
		if s.matches(&s.view.Run.Tasks[i]) {
			n++
		}
	}
	if n == 0 {
		return "/" + s.search + "  no task matches"
	}
	return fmt.Sprintf("/%s  %d of %d tasks", s.search, n, len(s.view.Run.Tasks))
}

// find selects the first task that is looked for from some task on, that one included where here says so.
func (s *tuiRunScreen) find(from string, dir int, here bool) {
	s.view.Selected = from
	if s.search != "" {
		s.view.find(dir, here, s.matches)
	}
	s.out.log.setTask(s.view.Selected)
}

// getFilter gives what esc clears before it leaves: what is searched for, in the pane that has the focus.
func (s *tuiRunScreen) getFilter() string {
	if s.view.Pane == 1 {
		return s.out.log.search.text
	}
	return s.search
}

// setFilter clears it, or looks for a task while it is typed.
func (s *tuiRunScreen) setFilter(_ *tui, text string) {
	if s.view.Pane == 1 {
		s.out.log.setSearch(text)
	} else if s.search = text; text != "" {
		s.find(s.from, 1, true)
	}
}

func (s *tuiRunScreen) pick(*tui) tuiPick {
	p := tuiPick{run: s.run, task: s.view.Selected}
	if s.view.Run != nil {
		p.workflow = s.view.Run.Workflow
	}
	return p
}

func (s *tuiRunScreen) move(_ *tui, by int) {
	if s.view.Pane == 1 {
		s.out.log.move(by)
		return
	}
	s.view.move(by)
	s.out.log.setTask(s.view.Selected)
}

func (s *tuiRunScreen) page(u *tui, half int) {
	if s.view.Pane == 1 {
		s.out.log.halfPage(half)
		return
	}
	s.move(u, 5*half)
}

func (s *tuiRunScreen) edge(_ *tui, end bool) {
	switch {
	case s.view.Pane == 1 && end:
		s.out.log.end()
	case s.view.Pane == 1:
		s.out.log.home()
	default:
		s.view.moveTo(end)
		s.out.log.setTask(s.view.Selected)
	}
}

func (s *tuiRunScreen) leave(u *tui) { s.out.leave(u) }

func (s *tuiRunScreen) key(u *tui, name string) {
	switch dir := map[string]int{"n": 1, "N": -1}[name]; {
	case dir == 0:
		s.view.Split += map[string]int{"+": 1, "-": -1}[name]
	case s.view.Pane == 1:
		u.nextHit(s.out.log, dir)
	default:
		s.find(s.view.Selected, dir, false)
	}
}

// nextHit goes to the next hit of a search in a text.
func (u *tui) nextHit(v *viewLog, dir int) {
	if v.next(dir) {
		u.say("search goes on at the other end")
	}
}

// nextView goes from the table to the waves, to the timeline, and back.
func (u *tui) nextView(tuiPick) {
	if s, ok := u.screen().(*tuiRunScreen); ok {
		s.view.Mode = (s.view.Mode + 1) % (viewRunTime + 1)
	}
}

// nextPane moves the keys that move between the tasks and the output.
func (u *tui) nextPane(tuiPick) {
	if s, ok := u.screen().(*tuiRunScreen); ok {
		s.view.Pane = 1 - s.view.Pane
	}
}

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

// getFilter gives what esc clears before it leaves: what is searched for, or the only lines shown.
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

// counts stands in the header in place of what there is in all.
func (s *tuiLogScreen) counts(*tui) string {
	if s.view.follow {
		return "FOLLOW"
	}
	return ""
}

func (s *tuiLogScreen) draw(u *tui, g *termGrid, a viewArea) {
	s.view.draw(g, a)
	if len(s.view.shown) == 0 && s.view.search.text+s.view.only.text == "" && (s.out.stream != "" || !u.live()) {
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
		s.out.back(u)
	}
}

func (s *tuiLogScreen) page(u *tui, half int) {
	if half%2 == 0 { // whole screens keep a line in sight
		s.view.page(half / 2)
	} else {
		s.view.halfPage(half)
	}
	if half < 0 {
		s.out.back(u)
	}
}

func (s *tuiLogScreen) edge(u *tui, end bool) {
	switch {
	case !end:
		s.view.home()
		s.out.back(u)
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
	case "n", "N":
		u.nextHit(v, map[string]int{"n": 1, "N": -1}[name])
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
