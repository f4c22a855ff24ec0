//go:build !noui

// tui_stats.go: the screen of a workflow's statistics.

package main

import "slices"

// tuiStats is the statistics of a workflow.
type tuiStats struct {
	workflow string
	view     viewStats
	room     int
	note     string
}

// openStats shows the statistics of the workflow that a row is about.
func (u *tui) openStats(p tuiPick) {
	s := &tuiStats{workflow: p.workflow}
	u.open(s)
	s.reload(u)
}

func (s *tuiStats) reload(u *tui) {
	u.send(Request{Op: "stats", Workflow: s.workflow}, func(r *Reply) {
		u.dirty = true
		switch {
		case r.Error != nil:
			s.note = r.Error.Message
		case r.Stats != nil:
			s.note, s.view.Stats = "", r.Stats
		}
	})
}

func (s *tuiStats) news(u *tui, r *Reply) {
	ended := func(row RunRow) bool { return row.Workflow == s.workflow && !runActive(row.State) }
	if slices.ContainsFunc(r.Rows, ended) {
		s.reload(u)
	}
}

func (s *tuiStats) name() string         { return "stats" }
func (s *tuiStats) crumbs(*tui) []string { return []string{s.workflow, "statistics"} }

func (s *tuiStats) pick(*tui) tuiPick  { return tuiPick{workflow: s.workflow} }
func (s *tuiStats) status(*tui) string { return s.note }
func (s *tuiStats) leave(*tui)         {}

func (s *tuiStats) draw(u *tui, g *termGrid, a viewArea) {
	s.room = a.h
	if s.view.Stats == nil {
		u.drawBlank(g, a, "what the history has of it", s.note)
		return
	}
	s.view.draw(g, a)
}

func (s *tuiStats) move(_ *tui, by int)   { s.view.scroll(by) }
func (s *tuiStats) page(_ *tui, half int) { s.view.scroll(half * max(s.room/2, 1)) }
func (s *tuiStats) edge(_ *tui, end bool) {
	far := -1000
	if end {
		far = 1000
	}
	s.view.scroll(far)
}
