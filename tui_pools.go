//go:build !noui

// tui_pools.go: the screen of pools: who has their places, and who waits for them, in the order in which they are to
// have them.

package main

import (
	"fmt"
	"slices"
)

// tuiPoolUses is how many holders and how many waiters of each pool are asked for.
const tuiPoolUses = 100

// tuiPoolRow is a row: a run that has places of a pool or waits for them, or a pool of which nobody has any.
type tuiPoolRow struct {
	pool *PoolInfo
	use  PoolUse
	what string // "* holds", ". waits", "- free", or "  ..." for those that are not listed
}

// key names the row, for the selection to stay on it.
func (r *tuiPoolRow) key() string { return r.pool.Pool + " " + r.use.Run + " " + r.use.Task }

// tuiPoolList is the pools that the op pools answers with.
type tuiPoolList struct {
	all      []tuiPoolRow
	rows     []tuiPoolRow // those that pass the filter
	filter   string
	selected string // the key of the selected row

	tuiAsk

	table viewTable
	room  int // rows on the screen
}

// tuiPoolsNew makes the screen, and asks for what it shows.
func tuiPoolsNew(u *tui) *tuiPoolList {
	l := &tuiPoolList{table: viewTable{
		cols: []viewColumn{{head: "POOL", grow: 1, width: 9}, {head: "TAKEN", width: 5, right: true},
			{head: "USE", width: 7}, {head: "RUN", width: 8}, {head: "WHERE", grow: 2, width: 10, minScreen: 56},
			{head: "PLACES", width: 6, right: true, minScreen: 72}, {head: "SINCE", width: 12, minScreen: 80},
			{head: "AGENT", width: 8, minScreen: 90}, {head: "REASON", grow: 3, width: 8, minScreen: 90}}}}
	l.tuiAsk = tuiAsk{req: Request{Op: "pools", N: tuiPoolUses}, take: func(r *Reply) { l.set(tuiPoolRows(r.Pools)) }}
	l.reload(u)
	return l
}

// tuiAsk asks for what a screen shows, one request at a time.
type tuiAsk struct {
	req  Request
	take func(*Reply) // shows an answer that is no error

	// A request is under way; another one must follow it; an answer has come; why there are no rows.
	asking, again, asked bool
	note                 string
}

// reload asks on a new connection: what was asked on another is not answered any more.
func (a *tuiAsk) reload(u *tui) {
	a.asking = false
	a.ask(u)
}

// ask asks, or has another request follow the one that is under way.
func (a *tuiAsk) ask(u *tui) {
	if a.asking {
		a.again = true
		return
	}
	a.again = false
	a.asking = u.send(a.req, func(r *Reply) {
		a.asking, a.asked, a.note = false, true, ""
		if r.Error != nil {
			a.note = r.Error.Message
		} else {
			a.take(r)
		}
		u.dirty = true
		if a.again {
			a.ask(u)
		}
	}) != ""
}

// tuiPoolRows makes the rows of pools.
func tuiPoolRows(pools []PoolInfo) (rows []tuiPoolRow) {
	for i := range pools {
		pl := &pools[i]
		for _, u := range pl.Holders {
			rows = append(rows, tuiPoolRow{pl, u, "* holds"})
		}
		if more := pl.Holding - len(pl.Holders); more > 0 {
			rows = append(rows, tuiPoolRow{pl, PoolUse{Reason: fmt.Sprintf("%d more hold", more)}, "  ..."})
		}
		for _, u := range pl.Waiters {
			rows = append(rows, tuiPoolRow{pl, u, ". waits"})
		}
		if more := pl.Waiting - len(pl.Waiters); more > 0 {
			rows = append(rows, tuiPoolRow{pl, PoolUse{Reason: fmt.Sprintf("%d more wait", more)}, "  ..."})
		}
		if pl.Holding+pl.Waiting == 0 {
			rows = append(rows, tuiPoolRow{pl, PoolUse{}, "- free"})
		}
	}
	return rows
}

// set takes new rows. The selection stays on its row.
func (l *tuiPoolList) set(all []tuiPoolRow) {
	terms, rows := tuiFilterParse(l.filter), []tuiPoolRow(nil)
	for _, r := range all {
		if tuiMatches([]tuiField{{"workflow", r.use.Workflow}, {"agent", r.use.Agent}, {"state", r.what},
			{"", r.pool.Pool + " " + r.use.Run + " " + r.use.Task + " " + r.use.Reason}}, terms) {
			rows = append(rows, r)
		}
	}
	l.all, l.rows, l.table.n = all, rows, len(rows)
	if i := slices.IndexFunc(rows, func(r tuiPoolRow) bool { return r.key() == l.selected }); i >= 0 {
		l.table.selected = i
	}
	l.choose(l.table.selected)
}

func (l *tuiPoolList) choose(i int) {
	l.table.selected = max(min(i, len(l.rows)-1), 0)
	if r := l.row(); r != nil {
		l.selected = r.key()
	}
}

// row gives the selected row, nil when there is none.
func (l *tuiPoolList) row() *tuiPoolRow {
	if l.table.selected < len(l.rows) {
		return &l.rows[l.table.selected]
	}
	return nil
}

// news asks anew after a change of runs or of the files that name pools.
func (l *tuiPoolList) news(u *tui, r *Reply) {
	if len(r.Rows) > 0 || len(r.Workflows) > 0 {
		l.ask(u)
	}
}

func (l *tuiPoolList) name() string         { return string(tuiPools) }
func (l *tuiPoolList) crumbs(*tui) []string { return []string{"Pools"} }
func (l *tuiPoolList) leave(*tui)           {}

func (l *tuiPoolList) draw(u *tui, g *termGrid, a viewArea) {
	now := u.clock()
	if !l.asked || l.note != "" && len(l.all) == 0 {
		u.drawBlank(g, a, "the pools", l.note)
		return
	}
	l.table.empty = "there are no pools: no workflow names one (pool: database), and no configuration declares one"
	if len(l.all) > 0 {
		l.table.empty = "nothing matches: esc takes the filter away"
	}
	l.table.row = func(i int) (viewRowMark, []viewCell) {
		r := &l.rows[i]
		use := viewCell{text: r.what, style: styleDim}
		if r.what == "* holds" {
			use.style = styleCyan | styleBold
		}
		taken := viewCell{text: fmt.Sprintf("%d/%d", r.pool.Taken, r.pool.Places)}
		if r.pool.Taken > r.pool.Places {
			taken.style = styleYellow | styleBold
		}
		places, since := "", ""
		if r.use.Run != "" {
			places, since = fmt.Sprint(r.use.Places), viewWhen(r.use.Since, now)
		}
		return viewRowMark{}, []viewCell{{text: r.pool.Pool}, taken, use, {text: tuiShort(r.use.Run)},
			{text: r.use.where()}, {text: places}, {text: since}, {text: r.use.Agent},
			{text: r.use.Reason}}
	}
	l.room = l.table.draw(g, a)
}

// status says what of the selected row the columns have no room for.
func (l *tuiPoolList) status(*tui) string {
	r := l.row()
	switch {
	case l.note != "":
		return l.note
	case r == nil:
		return ""
	}
	text := fmt.Sprintf("%d of %d", l.table.selected+1, len(l.rows))
	if l.filter != "" {
		text += "  /" + l.filter
	}
	switch {
	case r.use.Reason != "":
		text += "  " + r.use.Reason
	case !r.pool.Declared:
		text += "  " + r.pool.Pool + " is not declared: it has one place"
	case r.pool.Workflows == 0:
		text += "  no workflow names " + r.pool.Pool
	}
	return text
}

func (l *tuiPoolList) pick(*tui) tuiPick {
	if r := l.row(); r != nil {
		return tuiPick{workflow: r.use.Workflow, run: r.use.Run, task: r.use.Task, agent: r.use.Agent}
	}
	return tuiPick{}
}

func (l *tuiPoolList) move(_ *tui, by int)   { l.choose(l.table.selected + by) }
func (l *tuiPoolList) page(_ *tui, half int) { l.choose(l.table.selected + half*max(l.room/2, 1)) }

func (l *tuiPoolList) edge(_ *tui, end bool) {
	if end {
		l.choose(len(l.rows) - 1)
	} else {
		l.choose(0)
	}
}

func (l *tuiPoolList) getFilter() string { return l.filter }

func (l *tuiPoolList) setFilter(_ *tui, text string) {
	l.filter = text
	l.set(l.all)
}
