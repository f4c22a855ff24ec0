//go:build !noui

// tui_source.go: the screen of a workflow's definition, with the faults of its file.

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"
)

// tuiSourceMax is how many lines of a definition are shown.
const tuiSourceMax = viewLogLines - 1

// tuiSource is the definition of a workflow that is in force, below what is wrong with its file. One reads and searches
// it like output.
type tuiSource struct {
	workflow string
	view     *viewLog
	note     string
}

// openSource shows the definition of the workflow that a row is about.
func (u *tui) openSource(p tuiPick) {
	s := &tuiSource{workflow: p.workflow, view: viewLogNew()}
	s.view.times, s.view.wrap = false, true
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
		top := s.view.top
		s.view.reset()
		s.view.add(tuiSourceLines(r)...)
		s.view.follow, s.view.top = false, top
	})
}

func (s *tuiSource) news(u *tui, r *Reply) {
	if slices.Contains(r.Gone, s.workflow) {
		s.note = "its file is gone: this is what was in force"
	}
	for i := range r.Workflows {
		if r.Workflows[i].Workflow == s.workflow {
			s.reload(u)
		}
	}
}

// tuiSourceLines writes a workflow out: its file, what is wrong with that, and the version in force with its defaults.
func tuiSourceLines(r *Reply) []LogLine {
	var lines []LogLine
	add := func(stream, text string) { // e stands out
		for line := range strings.Lines(text) {
			lines = append(lines, LogLine{Stream: stream, Text: strings.TrimRight(line, "\n")})
		}
	}
	for _, info := range r.Workflows {
		add("o", "# "+info.File)
		if info.Pause != nil {
			add("e", "# paused by "+pausedText(&info, time.Now()))
		}
		for _, warning := range info.Warnings {
			add("e", "# "+warning)
		}
		if info.Error != "" {
			add("e", "# does not load: "+info.Error)
			if r.Spec != nil {
				add("e", "# this is its last good version, which stays in force:")
			}
		}
	}
	if r.Spec == nil {
		return lines
	}
	var defaults map[string]string
	for _, info := range r.Workflows {
		defaults = info.Defaults
	}
	text, err := tuiSourceYAML(r.Spec, defaults)
	if err != nil {
		add("e", "# "+err.Error())
	}
	add("o", text)
	if more := len(lines) - tuiSourceMax; more > 0 {
		lines = append(lines[:tuiSourceMax], LogLine{Stream: "c", Text: fmt.Sprintf("%d more lines: cdktr show %s",
			more, r.Spec.ID)})
	}
	return lines
}

// tuiSourceYAML writes a workflow as YAML, its keys in the order of the documentation. Behind each key that comes from
// a defaults.yml it says from which; defaults has those, as WorkflowInfo does.
func tuiSourceYAML(w *Workflow, defaults map[string]string) (string, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("write workflow: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML
		return "", fmt.Errorf("write workflow: %w", err)
	}
	out := tuiSourceText{defaults: defaults}
	out.node(&doc, "", "")
	return out.String(), nil
}

// tuiSourceText is a workflow as YAML while it is written.
type tuiSourceText struct {
	strings.Builder
	defaults map[string]string // which keys came from which defaults.yml
}

// node writes a node and all below it. Each line but the first begins with indent: a value begins in the line of its
// key. In is the key that the node is below, with a point behind it, "" at the top. The library's own writer would make
// the program larger by a tenth of a megabyte.
func (b *tuiSourceText) node(n *yaml.Node, indent, in string) {
	switch {
	case n.Kind == yaml.DocumentNode:
		b.node(n.Content[0], indent, in)
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
			b.node(item, indent+"  ", in+"-.")
		}
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteString(indent)
			}
			b.pair(n.Content[i], n.Content[i+1], indent, in)
		}
	}
}

// pair writes a key and its value.
func (b *tuiSourceText) pair(key, value *yaml.Node, indent, in string) {
	below := tuiSourceText{defaults: b.defaults}
	name := in + key.Value
	if value.Kind == yaml.ScalarNode || len(value.Content) == 0 {
		below.WriteString(" ")
	} else {
		below.WriteString("\n" + indent + "  ")
	}
	below.node(value, indent+"  ", name+".")
	first, rest, _ := strings.Cut(below.String(), "\n")
	if strings.HasPrefix(name, "log_") { // both are of the key log
		name = "log"
	}
	if file := b.defaults[name]; file != "" {
		first += "  # from " + file
	}
	b.WriteString(tuiSourceScalar(key, indent) + ":" + first + "\n" + rest)
}

// tuiSourcePlain matches what YAML reads without quotes. It may still be a number or the like: see tuiSourceIsText.
var tuiSourcePlain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z_./$][A-Za-z0-9_./$=,+*() -]*[A-Za-z0-9_./$=,+*()-]$|^[A-Za-z_]$`)
})

// tuiSourceScalar writes one value: plain where YAML reads that back, several lines as a block, all else in quotes.
func tuiSourceScalar(n *yaml.Node, indent string) string {
	v := n.Value
	switch {
	case n.Tag != "!!str":
		return v
	case tuiSourceBlock(v):
		mark := "|"
		if !strings.HasSuffix(v, "\n") {
			mark = "|-"
		}
		return mark + "\n" + indent + "  " + strings.ReplaceAll(strings.TrimRight(v, "\n"), "\n", "\n"+indent+"  ")
	case tuiSourcePlain().MatchString(v) && tuiSourceIsText(v):
		return v
	}
	quoted, err := json.Marshal(v)
	if err != nil {
		return strconv.Quote(v)
	}
	return string(quoted)
}

// tuiSourceBlock says whether text can stand as a block of lines.
func tuiSourceBlock(v string) bool {
	if strings.HasPrefix(v, " ") || strings.HasSuffix(v, "\n\n") {
		return false
	}
	letters := strings.NewReplacer("\n", "", "\t", "").Replace(v)
	return strings.Contains(v, "\n") && textIsSafe(letters)
}

// tuiSourceIsText says whether YAML reads a value without quotes as text, and not as a number or the like.
func tuiSourceIsText(v string) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(v), &doc); err != nil || len(doc.Content) != 1 {
		return false
	}
	return doc.Content[0].Tag == "!!str"
}

func (s *tuiSource) name() string         { return "source" }
func (s *tuiSource) crumbs(*tui) []string { return []string{s.workflow, "source"} }
func (s *tuiSource) pick(*tui) tuiPick    { return tuiPick{workflow: s.workflow} }
func (s *tuiSource) leave(*tui)           {}

// getFilter gives the search, which esc clears.
func (s *tuiSource) getFilter() string             { return s.view.search.text }
func (s *tuiSource) setFilter(_ *tui, text string) { s.view.setSearch(text) }

func (s *tuiSource) draw(u *tui, g *termGrid, a viewArea) {
	if len(s.view.shown) == 0 {
		u.drawBlank(g, a, "the definition", s.note)
		return
	}
	s.view.draw(g, viewArea{a.x + 1, a.y, a.w - 1, a.h})
}

func (s *tuiSource) status(*tui) string {
	left, _ := s.view.status()
	if s.note != "" {
		left = strings.TrimSpace(s.note + "   " + left)
	}
	return strings.TrimSpace(fmt.Sprintf("%s   line %d of %d", left, s.view.bottom(), len(s.view.shown)))
}

// key takes the keys that move in a text.
func (s *tuiSource) key(u *tui, name string) {
	switch name {
	case "n":
		u.nextHit(s.view, 1)
	case "N":
		u.nextHit(s.view, -1)
	case "w":
		s.view.toggleWrap()
	case "h", "left":
		s.view.panBy(-tuiPanBy)
	case "l", "right":
		s.view.panBy(tuiPanBy)
	}
}

func (s *tuiSource) move(_ *tui, by int)   { s.view.move(by) }
func (s *tuiSource) page(_ *tui, half int) { s.view.halfPage(half) }
func (s *tuiSource) edge(_ *tui, end bool) {
	s.view.home()
	if end {
		s.view.move(len(s.view.shown) * viewLogLines)
	}
}
