//go:build !noui

// tui_run.go: the screen of one run: its tasks, and the output of the selected one. It shows what the principal said
// last, and asks anew after each change of the run.

package main

import (
	"fmt"
	"slices"
)

const (
	tuiTailLines  = 1000 // newest lines that the screen of a run asks for
	tuiOlderLines = 1000 // lines in one request for older ones
	tuiPanBy      = 8    // columns
)

// tuiRunScreen is one run.
type tuiRunScreen struct {
	run  string
	view viewRun
	out  tuiOutput

	// A request for the run is under way; the run has changed since; why the run cannot be shown.
	asking bool
	again  bool
	fault  string

	// The search for a task, and the task that was selected when it began.
	search       string
	searchedFrom string
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

// show asks for the run as it is now, one request at a time.
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
	s.view.Now, s.view.Stale, s.view.LogPlace = u.clock(), !u.live(), s.out.log.whereText()
	if s.view.Run == nil {
		u.drawBlank(g, a, "the run", s.fault)
		return
	}
	s.view.draw(g, a, s.out.log.tail)
	u.running += s.view.growing()
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

// matches says whether a task matches the search: by its name, its state, or the reason for that.
func (s *tuiRunScreen) matches(t *TaskRun) bool {
	return tuiMatches([]tuiField{{"name", t.Task}, {"state", tuiStateWords(t.State)}, {"", t.Reason}},
		tuiFilterParse(s.search))
}

// found says how many tasks match the search.
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

// find selects the first task that matches, from one task on, or with -1 back from it; here includes that one.
func (s *tuiRunScreen) find(from string, dir int, here bool) {
	s.view.Selected = from
	if s.search != "" {
		s.view.openMatching(s.matches)
		s.view.find(dir, here, s.matches)
	}
	s.out.log.setTask(s.view.Selected)
}

// getFilter gives the search of the pane that has the focus, which esc clears.
func (s *tuiRunScreen) getFilter() string {
	if s.view.Pane == 1 {
		return s.out.log.search.text
	}
	return s.search
}

// setFilter sets that search. A task is looked for while it is typed.
func (s *tuiRunScreen) setFilter(_ *tui, text string) {
	if s.view.Pane == 1 {
		s.out.log.setSearch(text)
		return
	}
	s.search = text
	if text != "" {
		s.find(s.searchedFrom, 1, true)
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
	switch name {
	case "+":
		s.view.Split++
	case "-":
		s.view.Split--
	case "n":
		s.next(u, 1)
	case "N":
		s.next(u, -1)
	}
}

// next goes to the next hit in the pane that has the focus, or with -1 to the one before.
func (s *tuiRunScreen) next(u *tui, dir int) {
	if s.view.Pane == 1 {
		u.nextHit(s.out.log, dir)
		return
	}
	s.find(s.view.Selected, dir, false)
}

// nextView goes from the table to the waves, to the timeline, and back.
func (u *tui) nextView(tuiPick) {
	if s, ok := u.screen().(*tuiRunScreen); ok {
		s.view.Mode = (s.view.Mode + 1) % (viewRunTime + 1)
	}
}

// tuiFold opens a task with foreach, or closes it.
func tuiFold(u *tui, _ tuiPick) {
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.fold() {
		s.out.log.setTask(s.view.Selected)
	}
}

// whyNotFold says why the selected task cannot be opened.
func whyNotFold(u *tui, _ tuiPick) string {
	if s, ok := u.screen().(*tuiRunScreen); ok && s.view.Run != nil && s.view.folds() {
		return ""
	}
	return "the task has no foreach: it has no instances"
}

// nextPane moves the keys that move between the tasks and the output.
func (u *tui) nextPane(tuiPick) {
	if s, ok := u.screen().(*tuiRunScreen); ok {
		s.view.Pane = 1 - s.view.Pane
	}
}
