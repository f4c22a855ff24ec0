// tui_older.go: the runs before the newest. The principal keeps them in its history, and a list of runs asks for a page
// of them when its end is reached. They have ended, and stay as they came.

package main

import (
	"fmt"
	"slices"
)

const (
	tuiOlderPage = 200  // runs asked for at once
	tuiOlderMax  = 2000 // that one list holds; those before them are in `cdktr ps --all`
)

// tuiOlder is the older runs of one list. None of them is in the lists of tuiModel, but for one that was retried.
type tuiOlder struct {
	rows map[string]*RunRow
	ids  []string // the one that ended last in front
	next string   // where the next page begins; "" before the first, and when all has come
	all  bool     // there are none before these
}

// begun says whether they follow the newest without a gap, so that they must take over what the lists let go.
func (o *tuiOlder) begun() bool { return o.next != "" || o.all }

// add takes a page over, without what the lists have, or it has itself.
func (o *tuiOlder) add(m *tuiModel, r *Reply) {
	if o.rows == nil {
		o.rows = map[string]*RunRow{}
	}
	o.next, o.all = r.Next, r.Next == ""
	for _, run := range r.Runs {
		if m.runs[run.ID] != nil || o.rows[run.ID] != nil {
			continue
		}
		if len(o.ids) == tuiOlderMax {
			o.all = false
			return
		}
		row := protoRowOf(run) // without its tasks: the run's own screen asks for them
		o.ids, o.rows[run.ID] = append(o.ids, run.ID), &row
	}
}

// take puts a run in front that the lists have let go.
func (o *tuiOlder) take(row *RunRow) {
	if o.rows == nil {
		o.rows = map[string]*RunRow{}
	}
	if o.rows[row.ID] == nil {
		o.ids = slices.Insert(o.ids, 0, row.ID)
	}
	o.rows[row.ID] = row
	if len(o.ids) > tuiOlderMax {
		delete(o.rows, o.ids[tuiOlderMax])
		o.ids, o.all = o.ids[:tuiOlderMax], false
	}
}

// run gives a run of the list, nil when it is not there.
func (l *tuiList) run(m *tuiModel, id string) *RunRow {
	if r := m.runs[id]; r != nil {
		return r
	}
	return l.older.rows[id]
}

// more asks for the runs before the oldest one, unless that is under way, or there are none. The principal lists the
// runs of an agent in no other way than those of all: there the list ends with the newest.
func (l *tuiList) more(u *tui) {
	can := l.kind == tuiRuns && l.agent == "" && u.model.complete
	wants := !l.older.all && len(l.older.ids) < tuiOlderMax
	if can && wants && l.asking == "" {
		l.ask(u, l.older, len(l.older.ids)+1)
	}
}

// ask has older runs put into a place until it has want of them, or all: a page may bring only what is here already.
// Then the list shows that place.
func (l *tuiList) ask(u *tui, into *tuiOlder, want int) {
	from := into.next
	if from == "" {
		from = u.model.oldest()
	}
	l.asking = u.send(Request{Op: "ps", All: true, Workflow: l.workflow, N: tuiOlderPage, After: from}, func(r *Reply) {
		l.asking, u.dirty = "", true
		if r.Error != nil {
			u.say("older runs: %s", r.Error.Message)
			return
		}
		into.add(u.model, r)
		if len(into.ids) < want && !into.all {
			l.ask(u, into, want)
			return
		}
		l.older, l.built = into, -1
	})
}

// reload asks for as many older runs as there are, now that the lists have been told anew: who knows what ended between
// those and these. Until they have come, these stay.
func (l *tuiList) reload(u *tui) {
	want := len(l.older.ids)
	if l.asking != "" {
		u.forget(l.asking)
		l.asking = ""
		want++
	}
	if want == 0 {
		l.older = &tuiOlder{}
		return
	}
	l.ask(u, &tuiOlder{}, min(want, tuiOlderMax))
}

// news takes over what the lists have let go for newer runs.
func (l *tuiList) news(u *tui, _ *Reply) {
	for _, row := range u.model.let {
		if l.kind == tuiRuns && l.older.begun() && l.lists(row) {
			l.older.take(row)
		}
	}
}

// noMatch says that the filter has nothing, of how many, and where others may be.
func (l *tuiList) noMatch() string {
	const end = "esc takes the filter away"
	n := fmt.Sprintf("%d runs", l.total)
	if l.total == 1 {
		n = "1 run"
	}
	switch {
	case l.kind != tuiRuns:
		return "nothing matches: " + end
	case l.older.all:
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

// olderText is what the status row says of older runs.
func (l *tuiList) olderText(m *tuiModel) string {
	not := ""
	if l.filter != "" {
		not = " not searched"
	}
	switch n := len(l.older.ids); {
	case l.asking != "":
		return "  loading older runs"
	case n >= tuiOlderMax || l.agent != "" && len(m.newest) >= stateMaxFinished:
		return "  older: cdktr ps --all"
	case l.older.all:
		return fmt.Sprintf("  %d older, that is all", n)
	case n > 0:
		return fmt.Sprintf("  %d older, more%s: G", n, not)
	case len(m.newest) >= stateMaxFinished: // the principal has no more of them at hand
		return "  older" + not + ": G"
	}
	return ""
}
