// Tests of the runs before the newest in the terminal UI. The rig is tui_test.go's; the principal's history is a slice.

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// tuiHistory answers requests for pages of a history, as the principal does: by a cursor that the client does not look
// into.
type tuiHistory struct {
	runs  []*Run // the one that ended last in front
	asked []Request
}

// tuiHistoryOf makes a history of n runs that end with the given number, of three workflows in turn.
func tuiHistoryOf(last, n int) *tuiHistory {
	h := &tuiHistory{}
	for i := range n {
		r := tuiTestRun(last-i, fmt.Sprintf("old%d", i%3), runSucceeded, "2026-02-03 02:00:00", 90*time.Second,
			"edge-03", "")
		if i%10 == 9 {
			r.State, r.Reason, r.Params = runFailed, "task dump: exit 3", map[string]string{"day": fmt.Sprint(i)}
		}
		r.Tasks = []TaskRun{{Task: "fetch", State: taskSucceeded}, {Task: "dump", State: taskSucceeded},
			{Task: "send", State: taskSkipped}}
		h.runs = append(h.runs, r)
	}
	return h
}

// serve answers the requests for runs that have come since; false when there was none.
func (h *tuiHistory) serve(g *tuiRig) bool {
	served := false
	for i := 0; i < len(g.sent); i++ {
		req := g.sent[i]
		if req.Op != "ps" || slices.ContainsFunc(h.asked, func(had Request) bool { return had.ID == req.ID }) {
			continue
		}
		h.asked = append(h.asked, req)
		at, r := 0, &Reply{}
		if _, place, paged := strings.Cut(req.After, " "); paged {
			fmt.Sscan(place, &at)
		}
		for ; at < len(h.runs) && len(r.Runs) < int(req.N); at++ {
			if req.Workflow == "" || h.runs[at].Workflow == req.Workflow {
				r.Runs = append(r.Runs, h.runs[at])
			}
		}
		if at < len(h.runs) {
			r.Next = fmt.Sprintf("%s %d", h.runs[at-1].ID, at)
		}
		g.reply("ps", r)
		served = true
	}
	return served
}

// tuiOlderShown gives the list that is shown, and fails where a run is in it twice.
func tuiOlderShown(t *testing.T, g *tuiRig) *tuiList {
	t.Helper()
	g.u.draw()
	l := g.u.screen().(*tuiList)
	if ids := slices.Sorted(slices.Values(l.ids)); len(slices.Compact(ids)) != len(l.ids) {
		t.Errorf("%d rows, some of them twice", len(l.ids))
	}
	return l
}

// TestTuiOlder goes back beyond the newest runs, page by page, until there are no more.
func TestTuiOlder(t *testing.T) {
	h := tuiHistoryOf(1100, 450)
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	for range 7 {
		g.keys("2 j j j j j j j")
	}
	if h.serve(g) {
		t.Error("older runs are asked for before the end of the list is reached")
	}
	g.keys("j j G PgDn")
	g.shows("8 of 8", "loading older runs")
	h.serve(g)
	if len(h.asked) != 1 || h.asked[0].After != "01KJ00000000000000R0001193" {
		t.Fatalf("asked %+v, want once, for what is before the oldest run that has ended", h.asked)
	}
	g.shows("8 of 208", "200 older, more: G")
	g.keys("j")
	g.shows(">  + ok    R0001100 old0", "9 of 208", "1:30     3/3")
	g.keys("G")
	g.shows("208 of 208", "loading older runs", "R0000901")
	g.keys("k k j")
	g.shows("207 of 208")
	h.serve(g)
	g.keys("G")
	h.serve(g)
	g.keys("G")
	g.shows("458 of 458", "450 older, that is all")
	g.keys("j G PgDn")
	if h.serve(g) || len(h.asked) != 3 {
		t.Errorf("%d requests for 450 runs and their end", len(h.asked))
	}
	tuiOlderShown(t, g)
	g.keys("/ text:state:fail space text:old enter G")
	g.shows("45 of 45 (458 in all)", "task dump: exit 3")
	g.keys("esc S g")
	g.shows("1 of 458", ">  ! fail  R0000651 old2")
	g.keys("1 2")
	g.shows("1 of 8 ")
}

// TestTuiOlderFilter says of a filter that has nothing how far it looked, and what looks further.
func TestTuiOlderFilter(t *testing.T) {
	t.Parallel()
	says := func(g *tuiRig, want string) {
		t.Helper()
		if screen := strings.Join(strings.Fields(strings.ReplaceAll(g.screen(), "|", " ")),
			" "); !strings.Contains(screen, want) {
			t.Errorf("the screen does not say %q:\n%s", want, g.screen())
		}
	}
	h := tuiHistoryOf(1100, 450)
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("2 / text:R0000750 enter")
	says(g, "nothing matches in the newest 8 runs: G looks in older ones, esc takes the filter away")
	g.keys("S")
	says(g, "nothing matches in the newest 8 runs: g looks in older ones")
	g.keys("S G")
	says(g, "loading older runs")
	h.serve(g)
	says(g, "nothing matches in the newest 208 runs: G looks in older ones")
	says(g, "200 older, more not searched: G")
	g.keys("G")
	h.serve(g)
	says(g, "1 of 1 (408 in all) /R0000750 sort:newest 400 older, more not searched: G")
	g.keys("/ text:x enter G")
	h.serve(g)
	says(g, "nothing matches in all 458 runs: esc takes the filter away")
	says(g, "450 older, that is all")
	g.keys("1 / text:nosuch enter")
	says(g, "nothing matches: esc takes the filter away")
	g.keys("3 enter / text:nosuch enter")
	says(g, "nothing matches in the newest 2 runs: cdktr ps --all has older ones, esc takes the filter away")

	lists := &Reply{}
	for i := range stateMaxFinished {
		lists.Rows = append(lists.Rows, RunRow{Run: tuiTestRun(5000+i, "w", runSucceeded, "2026-03-04 12:00:00",
			time.Second, "", "")})
	}
	g = tuiRigOpen(t, 80, 24, lists)
	g.keys("2 / text:R0005007 enter")
	says(g, "1 of 1 (1000 in all) /R0005007 sort:newest older not searched: G")
	h = tuiHistoryOf(4900, 2*tuiOlderMax)
	g.keys("/ text:x enter")
	for range tuiOlderMax / tuiOlderPage {
		g.keys("G")
		h.serve(g)
	}
	says(g, "nothing matches in the newest 3000 runs: cdktr ps --all has older ones, esc takes the filter away")
}

// TestTuiOlderActs opens a run that is in the history only, shows its output, and runs it again.
func TestTuiOlderActs(t *testing.T) {
	last := "01KJ00000000000000R0001100"
	for _, c := range []struct{ keys, asks, shows string }{
		{"enter", "show " + last, "asking for the run"},
		{"l", "logs " + last, "old0  R0001100  log"},
		{"t", "retry " + last, "retry R0001100: asked"},
		{"x", "", "R0001100 is over (failed): r runs it again"},
		{"i", "stats old0", "old0"},
		{"y", "", "copied " + last},
		{"r", "show old0", ""},
	} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.reply("watch", &Reply{Workflows: []WorkflowInfo{{Workflow: "old0", Name: "old0", Tasks: 3}}})
		h := tuiHistoryOf(1100, 3)
		h.runs[0].State = runFailed
		g.keys("2 G")
		h.serve(g)
		g.keys("j")
		g.sent = nil
		g.keys(c.keys)
		got := ""
		if len(g.sent) > 0 {
			got = g.sent[0].Op + " " + g.sent[0].Workflow + g.sent[0].Run
		}
		if got != c.asks {
			t.Errorf("%s asks %q, want %q", c.keys, got, c.asks)
		}
		g.shows(c.shows)
	}
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.reply("watch", &Reply{Workflows: []WorkflowInfo{{Workflow: "old0", Name: "old0", Tasks: 3}}})
	h := tuiHistoryOf(1100, 10)
	g.keys("2 G")
	h.serve(g)
	g.keys("G r")
	g.reply("show", &Reply{Spec: &Workflow{ID: "old0", Params: map[string]Param{"day": {}}}})
	g.asked()
	g.keys("^S")
	if got := g.asked(); got != "run old0 day=9" {
		t.Errorf("ran again: %s, want the parameters that it had", got)
	}
}

// TestTuiOlderOf pages through the runs of one workflow, also where none of them is among the newest.
func TestTuiOlderOf(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.reply("watch", &Reply{Workflows: []WorkflowInfo{{Workflow: "old1", Name: "old1", Tasks: 3,
		Recent: tuiRecent("++")}}})
	h := tuiHistoryOf(1100, 30)
	g.keys("1 j enter")
	if h.serve(g) {
		t.Error("asks for what nobody has gone to")
	}
	g.keys("esc g enter")
	g.shows("loading older runs")
	h.serve(g)
	g.shows("1 of 10", "10 older, that is all", "R0001099")
	if h.asked[0].Workflow != "old1" {
		t.Errorf("asked %+v", h.asked[0])
	}
	g.keys("3 enter G")
	if h.serve(g) {
		t.Error("the runs of an agent are asked for, which the principal does not tell from those of others")
	}
}

// TestTuiOlderLive keeps the list whole while runs come, end, and are retried: none is there twice, and none is
// missing.
func TestTuiOlderLive(t *testing.T) {
	t.Parallel()
	lists := &Reply{}
	for i := range tuiMaxRuns {
		lists.Rows = append(lists.Rows, RunRow{Run: tuiTestRun(5000+i, "w", runSucceeded, "2026-03-04 12:00:00",
			time.Second, "", "")})
	}
	g := tuiRigOpen(t, 80, 24, lists)
	h := tuiHistoryOf(5100, 450) // the newest hundred of them are in the lists
	g.keys("2 G")
	h.serve(g)
	l := tuiOlderShown(t, g)
	if len(l.ids) != tuiMaxRuns+99 || len(l.older.ids) != 99 {
		t.Fatalf("%d rows", len(l.ids))
	}
	for i := range 50 {
		g.reply("watch", &Reply{Rows: []RunRow{{Run: tuiTestRun(9000+i, "w", runRunning, "2026-03-04 12:00:00", 0, "",
			"")}}})
	}
	l = tuiOlderShown(t, g)
	if len(l.ids) != tuiMaxRuns+99+50 || l.run(g.u.model,
		"01KJ00000000000000R0005010") == nil {
		t.Errorf("%d rows after 50 new runs: what the lists let go is not among the older ones", len(l.ids))
	}
	again := tuiTestRun(4950, "old2", runRunning, "2026-02-03 02:00:00", 0, "", "")
	g.reply("watch", &Reply{Rows: []RunRow{{Run: again}}})
	l = tuiOlderShown(t, g)
	if l.run(g.u.model, again.ID).State != runRunning || !slices.Contains(l.ids, again.ID) {
		t.Error("a run that was retried is shown as it was")
	}
	// the oldest that has ended: it is let go at once
	again = tuiTestRun(4950, "old2", runFailed, "2026-02-03 02:00:00", time.Minute, "", "")
	g.reply("watch", &Reply{Rows: []RunRow{{Run: again}}})
	l = tuiOlderShown(t, g)
	if l.run(g.u.model, again.ID).State != runFailed || !slices.Contains(l.ids, again.ID) {
		t.Error("a run that has ended again is shown as it was")
	}
}

// TestTuiOlderBound holds what is kept of older runs, and names what lists the others.
func TestTuiOlderBound(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, &Reply{Rows: []RunRow{{Run: tuiTestRun(9000, "w", runSucceeded, "2026-03-04 12:00:00",
		time.Second, "", "")}}})
	h := tuiHistoryOf(8000, 2*tuiOlderMax)
	g.keys("2")
	for range 2 * tuiOlderMax / tuiOlderPage {
		g.keys("G")
		h.serve(g)
	}
	if l := tuiOlderShown(t, g); len(l.older.ids) != tuiOlderMax || len(l.older.rows) != tuiOlderMax ||
		len(h.asked) != tuiOlderMax/tuiOlderPage {
		t.Errorf("%d older runs, %d rows, %d requests", len(l.older.ids), len(l.older.rows), len(h.asked))
	}
	g.shows("older: cdktr ps --all")
	l := g.u.screen().(*tuiList)
	l.older.take(&RunRow{Run: tuiTestRun(1, "w", runSucceeded, "2026-03-04 12:00:00", time.Second, "", "")})
	if len(l.older.ids) != tuiOlderMax || len(l.older.rows) != tuiOlderMax {
		t.Errorf("%d older runs, %d rows", len(l.older.ids), len(l.older.rows))
	}
}

// TestTuiOlderAgain loses the connection on a row of the history, while a page is under way: the row stays selected,
// and as many runs are asked for as were there.
func TestTuiOlderAgain(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	h := tuiHistoryOf(1100, 900)
	g.keys("2 G")
	h.serve(g)
	g.keys("G")
	h.serve(g)
	g.keys("k k G")
	at := tuiOlderShown(t, g).selected()
	g.u.take(tuiMsg{link: 1, err: fmt.Errorf("connection refused"), wait: 2 * time.Second})
	g.keys("G j")
	g.shows("STALE", "no answer from")
	g.sent = nil
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	lists := tuiFixture() // while nobody looked, a hundred runs came and went
	lists.Rows = append(lists.Rows, RunRow{Run: tuiTestRun(1281, "w", runRunning, "2026-03-04 12:04:30", 0, "", "")})
	lists.Live = true
	g.reply("watch", lists)
	g.shows("409 of 409", "loading older runs")
	h.runs = append(tuiHistoryOf(1250, 100).runs, h.runs...)
	for h.serve(g) {
	}
	l := tuiOlderShown(t, g)
	if l.selected() != at || len(l.older.ids) < 401 || l.older.rows["01KJ00000000000000R0001240"] == nil {
		t.Errorf("%s is selected, want %s; %d older runs", l.selected(), at, len(l.older.ids))
	}
	g.keys("G")
	g.reply("ps", &Reply{Error: &protoError{Code: codeInternal, Message: "read history: it is gone"}})
	g.shows("older runs: read history: it is gone")
	g.keys("G 1")
	if last := g.sent[len(g.sent)-1]; last.Op != "stop" {
		t.Errorf("a page that nobody waits for is not given up: %+v", last)
	}
	if l.request != "" && g.u.asked[l.request] != nil {
		t.Error("the answer to it is still waited for")
	}
}

// TestTuiOlderScreens holds the list to pictures.
func TestTuiOlderScreens(t *testing.T) {
	for _, size := range viewSizes {
		g := tuiRigOpen(t, size[0], size[1], tuiFixture())
		g.keys("2 G")
		tuiHistoryOf(1100, 10).serve(g)
		g.keys("G k k")
		g.u.draw()
		viewGolden(t, "runs-older", g.u.grid)
	}
}
