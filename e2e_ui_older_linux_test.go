// Runs that the principal no longer has in memory, reached by keys in the real terminal UI; and what a page of them
// costs.

package main

import (
	"fmt"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// TestUIOlder goes back beyond what the principal has in memory, and acts on a run there.
func TestUIOlder(t *testing.T) {
	const history = 2*tuiOlderPage + 50
	x := e2eNew(t)
	uiScaleState(x, 30, stateMaxFinished+history)
	p := x.Principal("--with-agent")
	defer func() { p.Stop() }()
	all := harness.Lines[Run](t, x.OK("ps", "--all", "--json", "-n", "2000"))
	if len(all) != stateMaxFinished+history {
		t.Fatalf("%d runs", len(all))
	}
	first, last := all[stateMaxFinished], all[len(all)-1]
	u := uiPtyOpen(x, 120, 40)
	u.shows("LIVE")
	for _, step := range []struct{ keys, want string }{
		{"2", "1 of 1000  sort:newest  older: G"}, {"G", "1000 of 1200  sort:newest  200 older, more: G"},
		{"j", "1001 of 1200"}, {"", tuiShort(first.ID)}, {"G", "1200 of 1400"}, {"\x1b[6~", "1236 of 1400"},
		{"G", "1400 of 1450  sort:newest  450 older, that is all"}, {"G", "1450 of 1450"}, {"", tuiShort(last.ID)},
		{"\r", "run " + last.ID}, {"", "send"}, {"", last.Workflow}, {"\x7f", "1450 of 1450"},
		{"l", "log"}, {"", tuiShort(last.ID)}, {"\x7f", "1450 of 1450"},
		{"r", "queued as"}, {"t", "succeeded: r runs it again"}, {"/", ""}, {"state:fail\r", "(1451 in all)"},
		{"G", "older, that is all"}, {"t", "is too old to be retried"}, {"\x7f", "of 1451"},
	} {
		u.keys(step.keys)
		u.shows(step.want)
	}
	p.Kill()
	u.shows("STALE")
	p = x.Principal("--with-agent")
	u.keys(":connect\r")
	u.shows("LIVE")
	u.keys("kj")
	u.shows("older, that is all")
	u.keys("q")
	if code := u.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.given()
}

// uiOlderPages measures what a page of the history costs: one that follows the newest, and the last that a list takes.
func uiOlderPages(x *e2e, runs int) {
	for _, workflow := range []string{"", uiScaleName(7)} {
		// behind all that is in memory
		req := Request{Op: "ps", All: true, N: tuiOlderPage, After: "0", Workflow: workflow}
		var took []time.Duration
		for len(took) < tuiOlderMax/tuiOlderPage {
			began := time.Now()
			r, err := x.ask(req)
			if err != nil {
				x.T.Fatal(err)
			}
			took = append(took, time.Since(began).Round(100*time.Microsecond))
			req.After = r.Next
			if r.Next == "" {
				break
			}
		}
		x.T.Logf("pages of %d runs, of %s, in a history of %d: %s", tuiOlderPage, orDefault(workflow, "all workflows"),
			runs, fmt.Sprint(took))
	}
}
