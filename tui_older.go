//go:build !noui

// tui_older.go: the runs before the newest. The principal has them in its history. A list of runs asks for a page of
// them when the user reaches its end. They have ended, and do not change.

package main

import (
	"fmt"
)

const (
	tuiOlderPage = 200  // runs asked for at once
	tuiOlderMax  = 2000 // that one list holds; those before them are in `cdktr ps --all`
)

// tuiOlder is the older runs of one list. None of them is in tuiModel, except one that was retried.
type tuiOlder struct {
	rows     map[string]*RunRow
	ids      []string // the one that ended last in front
	nextPage string   // where the next page begins; "" before the first, and when all has come
	complete bool     // there are none before these
}

// begun says whether these runs follow the newest without a gap. Then they must take what the model lets go.
func (o *tuiOlder) begun() bool { return o.nextPage != "" || o.complete }

// add takes a page, without the runs that the model has, or that are here already.
func (o *tuiOlder) add(m *tuiModel, r *Reply) {
	if o.rows == nil {
		o.rows = map[string]*RunRow{}
	}
	o.nextPage, o.complete = r.Next, r.Next == ""
	for _, run := range r.Runs {
		if m.runs[run.ID] != nil || o.rows[run.ID] != nil {
			continue
		}
		if len(o.ids) == tuiOlderMax {
			o.complete = false
			return
		}
		row := protoRowOf(run) // without its tasks: the run's own screen asks for them
		o.ids, o.rows[run.ID] = append(o.ids, run.ID), &row
	}
}

// take puts a run in front that the model has let go.
func (o *tuiOlder) take(row *RunRow) {
	if o.rows == nil {
		o.rows = map[string]*RunRow{}
	}
	if o.rows[row.ID] == nil {
		o.ids = inserted(o.ids, 0, row.ID)
	}
	o.rows[row.ID] = row
	if len(o.ids) > tuiOlderMax {
		delete(o.rows, o.ids[tuiOlderMax])
		o.ids, o.complete = o.ids[:tuiOlderMax], false
	}
}

// run gives a run of the list, nil when it is not there.
func (l *tuiList) run(m *tuiModel, id string) *RunRow {
	if r := m.runs[id]; r != nil {
		return r
	}
	return l.older.rows[id]
}

// more asks for the runs before the oldest one, unless a request is under way, or there are none. The list of an
// agent's runs ends with the newest: the principal has no way to list an agent's older runs.
func (l *tuiList) more(u *tui) {
	can := l.kind == tuiRuns && l.agent == "" && u.model.complete
	wants := !l.older.complete && len(l.older.ids) < tuiOlderMax
	if can && wants && l.request == "" {
		l.ask(u, l.older, len(l.older.ids)+1)
	}
}

// ask fetches older runs into a tuiOlder until it has want of them, or all. One page may not do: all of it may be known
// already. Then the list shows that tuiOlder.
func (l *tuiList) ask(u *tui, into *tuiOlder, want int) {
	from := into.nextPage
	if from == "" {
		from = u.model.oldest()
	}
	l.request = u.send(Request{Op: "ps", All: true, Workflow: l.workflow, N: tuiOlderPage, After: from},
		func(r *Reply) {
			l.request, u.dirty = "", true
			if r.Error != nil {
				u.say("older runs: %s", r.Error.Message)
				return
			}
			into.add(u.model, r)
			if len(into.ids) < want && !into.complete {
				l.ask(u, into, want)
				return
			}
			l.older, l.built = into, -1
		})
}

// reload asks anew for as many older runs as there are, after the lists have come anew: runs may have ended between.
// The present ones stay until the new ones have come.
func (l *tuiList) reload(u *tui) {
	want := len(l.older.ids)
	if l.request != "" {
		u.forget(l.request)
		l.request = ""
		want++
	}
	if want == 0 {
		l.older = &tuiOlder{}
		return
	}
	l.ask(u, &tuiOlder{}, min(want, tuiOlderMax))
}

// news takes the runs that the model has let go for newer ones.
func (l *tuiList) news(u *tui, _ *Reply) {
	for _, row := range u.model.letGo {
		if l.kind == tuiRuns && l.older.begun() && l.holds(row) {
			l.older.take(row)
		}
	}
}

// noMatch says that nothing matches the filter, how many rows were searched, and where older ones are.
func (l *tuiList) noMatch() string {
	const end = "esc takes the filter away"
	n := fmt.Sprintf("%d runs", l.total)
	if l.total == 1 {
		n = "1 run"
	}
	switch {
	case l.kind != tuiRuns:
		return "nothing matches: " + end
	case l.older.complete:
		return "nothing matches in all " + n + ": " + end
	case l.agent != "" || len(l.older.ids) >= tuiOlderMax:
		return "nothing matches in the newest " + n + ": cdktr ps --all has older ones, " + end
	}
	key := "G"
	if l.reverse {
		key = "g"
	}
	return "nothing matches in the newest " + n + ": " + key + " looks in older ones, " + end
}

// olderText gives what the status row says about older runs.
func (l *tuiList) olderText(m *tuiModel) string {
	not := ""
	if l.filter != "" {
		not = " not searched"
	}
	switch n := len(l.older.ids); {
	case l.request != "":
		return "  loading older runs"
	case n >= tuiOlderMax || l.agent != "" && len(m.newest) >= stateMaxFinished:
		return "  older: cdktr ps --all"
	case l.older.complete:
		return fmt.Sprintf("  %d older, that is all", n)
	case n > 0:
		return fmt.Sprintf("  %d older, more%s: G", n, not)
	case len(m.newest) >= stateMaxFinished: // the principal has no more of them at hand
		return "  older" + not + ": G"
	}
	return ""
}
