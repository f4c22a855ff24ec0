// tui_source.go: the screen of a workflow's definition, with the faults of its file. May use what tui.go may.

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// tuiSource is the definition of a workflow that is in force, above it what is wrong with its file.
type tuiSource struct {
	workflow string
	lines    []viewCell
	top      int
	room     int
	note     string
}

// openSource shows the definition of the workflow that a row is about.
func (u *tui) openSource(p tuiPick) {
	s := &tuiSource{workflow: p.workflow, note: "asking"}
	u.open(s)
	s.reload(u)
}

func (s *tuiSource) reload(u *tui) {
	u.send(Request{Op: "show", Workflow: s.workflow}, func(r *Reply) {
		u.dirty = true
		if r.Error != nil {
			s.note = r.Error.Message
			return
		}
		s.note = ""
		s.lines = tuiSourceLines(r)
	})
}

func (s *tuiSource) news(u *tui, r *Reply) {
	for i := range r.Workflows {
		if r.Workflows[i].Workflow == s.workflow {
			s.reload(u)
		}
	}
}

// tuiSourceLines writes a workflow out: where it comes from, what is wrong, and the version in force with its defaults.
func tuiSourceLines(r *Reply) []viewCell {
	var lines []viewCell
	add := func(style termStyle, text string) {
		for line := range strings.Lines(text) {
			lines = append(lines, viewCell{text: strings.TrimRight(line, "\n"), style: style})
		}
	}
	for _, info := range r.Workflows {
		add(styleDim, "# "+info.File)
		for _, warning := range info.Warnings {
			add(styleYellow, "# "+warning)
		}
		if info.Error != "" {
			add(styleRed|styleBold, "# does not load: "+info.Error)
			if r.Spec != nil {
				add(styleYellow, "# this is its last good version, which stays in force:")
			}
		}
	}
	if r.Spec == nil {
		return lines
	}
	text, err := tuiSourceYAML(r.Spec)
	if err != nil {
		add(styleRed, "# "+err.Error())
	}
	add(0, text)
	return lines
}

// tuiSourceYAML writes a workflow as YAML, its keys in the order of the documentation.
func tuiSourceYAML(w *Workflow) (string, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("write workflow: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return "", fmt.Errorf("write workflow: %w", err)
	}
	var block func(n *yaml.Node)
	block = func(n *yaml.Node) {
		n.Style = 0
		for _, c := range n.Content {
			block(c)
		}
	}
	block(&doc)
	out, err := yaml.Marshal(&doc)
	return string(out), err
}

func (s *tuiSource) name() string         { return "source" }
func (s *tuiSource) crumbs(*tui) []string { return []string{s.workflow, "source"} }
func (s *tuiSource) pick(*tui) tuiPick    { return tuiPick{workflow: s.workflow} }
func (s *tuiSource) leave(*tui)           {}

func (s *tuiSource) draw(_ *tui, g *termGrid, a viewArea) {
	s.room = a.h
	s.top = max(min(s.top, len(s.lines)-a.h), 0)
	for y := 0; y < a.h && s.top+y < len(s.lines); y++ {
		line := s.lines[s.top+y]
		g.cell(a.x+1, a.y+y, a.w-1, line.style, line.text)
	}
	g.cursorX, g.cursorY = a.x, a.y
}

func (s *tuiSource) status(*tui) string {
	if s.note != "" {
		return s.note
	}
	return fmt.Sprintf("line %d of %d", min(s.top+1, len(s.lines)), len(s.lines))
}

func (s *tuiSource) move(_ *tui, by int)   { s.top = max(s.top+by, 0) }
func (s *tuiSource) page(_ *tui, half int) { s.top = max(s.top+half*max(s.room/2, 1), 0) }
func (s *tuiSource) edge(_ *tui, end bool) { s.top = map[bool]int{true: len(s.lines)}[end] }
