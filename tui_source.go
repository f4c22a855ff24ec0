// tui_source.go: the screen of a workflow's definition, with the faults of its file. May use what tui.go may.

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
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
	var b strings.Builder
	tuiSourceNode(&b, &doc, "")
	return b.String(), nil
}

// tuiSourceNode writes a node and all below it, each line behind an indent; what writes a value goes on in the line of its
// key. The library's own writer is not used: it would make the program larger by a tenth of a megabyte.
func tuiSourceNode(b *strings.Builder, n *yaml.Node, indent string) {
	switch {
	case n.Kind == yaml.DocumentNode:
		tuiSourceNode(b, n.Content[0], indent)
	case n.Kind == yaml.ScalarNode:
		b.WriteString(tuiSourceScalar(n, indent) + "\n")
	case len(n.Content) == 0:
		b.WriteString(map[yaml.Kind]string{yaml.MappingNode: "{}\n", yaml.SequenceNode: "[]\n"}[n.Kind])
	case n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString("- ")
			tuiSourceNode(b, item, indent+"  ")
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString(tuiSourceScalar(key, indent) + ":")
			if value.Kind == yaml.ScalarNode || len(value.Content) == 0 {
				b.WriteString(" ")
			} else {
				b.WriteString("\n" + indent + "  ")
			}
			tuiSourceNode(b, value, indent+"  ")
		}
	}
}

// tuiSourcePlain is text that YAML takes for text without quotes; what looks like another kind of value is not.
var tuiSourcePlain = regexp.MustCompile(`^[A-Za-z_./$][A-Za-z0-9_./$=,+*() -]*[A-Za-z0-9_./$=,+*()-]$|^[A-Za-z_]$`)

// tuiSourceScalar writes one value: plain where that can be read back, several lines as they are, else in quotes.
func tuiSourceScalar(n *yaml.Node, indent string) string {
	v := n.Value
	var looksLike yaml.Node
	switch {
	case n.Tag != "!!str":
		return v
	case strings.Contains(v, "\n") && textIsSafe(strings.NewReplacer("\n", "", "\t", "").Replace(v)) && !strings.HasPrefix(v, " ") && !strings.HasSuffix(v, "\n\n"):
		mark := "|"
		if !strings.HasSuffix(v, "\n") {
			mark = "|-"
		}
		return mark + "\n" + indent + "  " + strings.ReplaceAll(strings.TrimRight(v, "\n"), "\n", "\n"+indent+"  ")
	case tuiSourcePlain.MatchString(v) && yaml.Unmarshal([]byte(v), &looksLike) == nil && len(looksLike.Content) == 1 && looksLike.Content[0].Tag == "!!str":
		return v
	}
	quoted, err := json.Marshal(v)
	if err != nil {
		return strconv.Quote(v)
	}
	return string(quoted)
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
