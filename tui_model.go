//go:build !noui

// tui_model.go: what the terminal UI knows of its principal: the rows that the op watch has sent, and how good that
// knowledge is. The loop of tui.go alone uses it.

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"
)

const (
	tuiMaxRuns = 2000             // newest runs held; older ones are asked for (tui_older.go)
	tuiStale   = 12 * time.Second // without a word from the principal, after which the screen counts as old
)

// tuiModel is the lists as the principal last sent them.
type tuiModel struct {
	workflows map[string]*WorkflowInfo
	runs      map[string]*RunRow
	newest    []string  // ids of runs, the oldest first
	letGo     []*RunRow // runs that trim took out after the last reply, the oldest first
	agents    map[string]*Agent
	attention int // things that need a person
	seq       uint64
	complete  bool            // the first lists have come
	changed   map[tuiKind]int // counts up when rows of a kind change
	skew      time.Duration   // the principal's clock less ours
}

// tuiKind is what a list is of.
type tuiKind string

const (
	tuiWorkflows tuiKind = "workflows"
	tuiRuns      tuiKind = "runs"
	tuiAgents    tuiKind = "agents"
	tuiEvents    tuiKind = "events"
	tuiAttention tuiKind = "attention"
	tuiPools     tuiKind = "pools"
)

// tuiModelNew makes a model that knows nothing yet.
func tuiModelNew() *tuiModel {
	return &tuiModel{workflows: map[string]*WorkflowInfo{}, runs: map[string]*RunRow{}, agents: map[string]*Agent{},
		changed: map[tuiKind]int{}}
}

// apply takes one reply of watch: rows as they are now, in place of the old ones.
func (m *tuiModel) apply(r *Reply) {
	for i := range r.Workflows {
		m.workflows[r.Workflows[i].Workflow] = tuiSlim(r.Workflows[i])
	}
	for _, id := range r.Gone {
		delete(m.workflows, id)
	}
	for i := range r.Rows {
		row := r.Rows[i] // a copy: a pointer would keep the whole page
		if m.runs[row.ID] == nil {
			at, _ := slices.BinarySearch(m.newest, row.ID)
			m.newest = inserted(m.newest, at, row.ID)
		}
		m.runs[row.ID] = &row
	}
	m.trim()
	for _, a := range r.Agents {
		m.agents[a.Name] = a
	}
	for _, name := range r.GoneAgents {
		delete(m.agents, name)
	}
	for kind, n := range map[tuiKind]int{tuiWorkflows: len(r.Workflows) + len(r.Gone), tuiRuns: len(r.Rows),
		tuiAgents: len(r.Agents) + len(r.GoneAgents)} {
		if n > 0 {
			m.changed[kind]++
		}
	}
	if r.Attention != nil && m.attention != *r.Attention {
		m.attention = *r.Attention
	}
	m.seq = max(m.seq, r.Seq)
	m.complete = m.complete || r.Live
}

// tuiSlim gives a workflow with only what screens show, because thousands are held all day, and twice as many for a
// moment after a break. Screens need only the newest outcome's run.
func tuiSlim(w WorkflowInfo) *WorkflowInfo {
	recent := make([]Outcome, len(w.Recent))
	for i, o := range w.Recent {
		recent[i].State = unique.Make(o.State).Value()
		if i == len(recent)-1 {
			recent[i].Run = o.Run
		}
	}
	w.Recent = recent
	return &w
}

// tuiLast gives a workflow's newest run: its id, its state, and when it was queued. Where the principal no longer has
// that run at hand, it takes the newest outcome.
func tuiLast(w *WorkflowInfo) (run, state string, queued Stamp) {
	n := len(w.Recent)
	switch {
	case w.Last != nil:
		return w.Last.ID, w.Last.State, w.Last.Queued
	case n > 0:
		return w.Recent[n-1].Run, w.Recent[n-1].State, stampOf(runTime(w.Recent[n-1].Run))
	}
	return "", "", Stamp{}
}

// trim lets the oldest runs that have ended go, down to the bound.
func (m *tuiModel) trim() {
	m.letGo = nil
	over := len(m.newest) - tuiMaxRuns
	if over <= 0 {
		return
	}
	m.newest = slices.DeleteFunc(m.newest, func(id string) bool {
		drop := over > 0 && !runActive(m.runs[id].State)
		if drop {
			over--
			m.letGo = append(m.letGo, m.runs[id])
			delete(m.runs, id)
		}
		return drop
	})
}

// oldest gives the oldest run held that has ended, "" when none has. No run that ended after it is missing.
func (m *tuiModel) oldest() string {
	at := slices.IndexFunc(m.newest, func(id string) bool { return !runActive(m.runs[id].State) })
	if at < 0 {
		return ""
	}
	return m.newest[at]
}

// counts sums everything up for the header.
func (m *tuiModel) counts() string {
	if !m.complete {
		return ""
	}
	running, queued, failing, invalid, lost := 0, 0, 0, 0, 0
	for i := len(m.newest) - 1; i >= 0; i-- {
		switch m.runs[m.newest[i]].State {
		case runRunning:
			running++
		case runQueued:
			queued++
		}
	}
	for _, w := range m.workflows {
		if w.Error != "" {
			invalid++
		}
		if n := len(w.Recent); n > 0 && (w.Recent[n-1].State == runFailed || w.Recent[n-1].State == runCrashed) {
			failing++
		}
	}
	for _, a := range m.agents {
		if a.State == agentLost {
			lost++
		}
	}
	text := fmt.Sprintf("%d wf", len(m.workflows))
	for _, part := range []struct {
		n    int
		word string
	}{{running, "run"}, {queued, "queue"}, {failing, "fail"}, {invalid, "invalid"}, {lost, "lost"}} {
		if part.n > 0 {
			text += fmt.Sprintf("  %s %d", part.word, part.n)
		}
	}
	return text
}

// tuiTerm is one word of a filter. A row passes when all words hold.
type tuiTerm struct {
	not   bool
	field string // "" looks everywhere
	text  string
	fold  bool // any case
}

// tuiFilterParse reads a filter: words that must all be there, !word for one that must not, field:word for one column.
// A word in small letters matches any case.
func tuiFilterParse(text string) []tuiTerm {
	var terms []tuiTerm
	for _, word := range strings.Fields(text) {
		t := tuiTerm{text: word}
		if rest, not := strings.CutPrefix(t.text, "!"); not && rest != "" {
			t.not, t.text = true, rest
		}
		if field, rest, ok := strings.Cut(t.text, ":"); ok && slices.Contains([]string{"state", "agent", "workflow",
			"name", "by", "trigger"}, field) {
			t.field, t.text = field, rest
		}
		t.fold = strings.ToLower(t.text) == t.text
		terms = append(terms, t)
	}
	return terms
}

// tuiField is a column of a row as a filter sees it. The name is empty where no field:word can ask for it.
type tuiField struct{ name, text string }

// tuiMatches says whether a row passes a filter.
func tuiMatches(fields []tuiField, terms []tuiTerm) bool {
	for _, t := range terms {
		found := slices.ContainsFunc(fields, func(f tuiField) bool {
			if t.fold {
				f.text = strings.ToLower(f.text)
			}
			return (t.field == "" || f.name == t.field) && strings.Contains(f.text, t.text)
		})
		if found == t.not {
			return false
		}
	}
	return true
}

// tuiWorkflowFields is what a filter finds of a workflow.
func tuiWorkflowFields(w *WorkflowInfo) []tuiField {
	state := ""
	if run, last, _ := tuiLast(w); run != "" {
		state = tuiStateWords(last)
	}
	if w.Paused != "" {
		state += " paused"
	}
	if w.Error != "" {
		state += " invalid"
	}
	return []tuiField{{"workflow", w.Workflow}, {"name", w.Name}, {"state", state},
		{"", strings.Join(w.Schedule, " ") + " " + w.Error}}
}

// tuiRunFields is what a filter finds of a run.
func tuiRunFields(r *RunRow) []tuiField {
	return []tuiField{{"workflow", r.Workflow}, {"state", tuiStateWords(r.State)}, {"agent", r.Agent}, {"by", r.By},
		{"trigger", r.Trigger}, {"", r.ID + " " + r.Reason}}
}

// tuiAgentFields is what a filter finds of an agent.
func tuiAgentFields(a *Agent) []tuiField {
	labels := ""
	for _, k := range sortedKeys(a.Labels) {
		labels += k + "=" + a.Labels[k] + " "
	}
	return []tuiField{{"agent", a.Name}, {"state", tuiStateWords(a.State)}, {"", labels + a.Version + " " + a.Address}}
}

// tuiStateWords gives the name of a state, and the word that the screen has for it.
func tuiStateWords(state string) string {
	_, word, _ := viewLooks(state)
	return state + " " + word
}
