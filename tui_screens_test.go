// Tests of the terminal UI's screens at the edges: nothing there yet, messages that are long, names that are wrong,
// another version at the other end. The rig is tui_test.go's.

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tuiTestSpec is the workflow that the fixtures of a run are of.
func tuiTestSpec() *Workflow {
	return &Workflow{ID: "site11-sync", Name: "Sync of site 11", Description: "Pulls what changed and pushes it on",
		Tasks: []Task{{ID: "pull", Run: "pull"}, {ID: "check", Depends: []string{"pull"}, Run: "check"},
			{ID: "push", Depends: []string{"check"}, Run: "push --to 10.2.0.9:5432 --with everything that was pulled " +
				strings.Repeat("x", 60)}, {ID: "report", Depends: []string{"push"}, Run: "report"}}}
}

// tuiRunOpen opens the failed run of the fixture, with its tasks.
func tuiRunOpen(t *testing.T, w, h int) *tuiRig {
	g := tuiRigOpen(t, w, h, tuiFixture())
	g.keys("2 j j enter")
	run, exit := tuiTestRun(1271, "site11-sync", runFailed, "2026-03-04 12:00:00", 41e9, "edge-07",
		"task push: exit 3"), 3
	for _, task := range []struct{ id, state string }{{"pull", taskSucceeded}, {"check", taskSucceeded},
		{"push", taskFailed}, {"report", taskSkipped}} {
		tr := TaskRun{Task: task.id, State: task.state, Attempts: 1, Started: run.Started, Finished: run.Finished}
		if task.state == taskFailed {
			tr.Exit, tr.Reason = &exit, "exit 3"
		}
		run.Tasks = append(run.Tasks, tr)
	}
	g.reply("show", &Reply{Runs: []*Run{run}, Spec: tuiTestSpec()})
	for i, text := range []string{"connecting", "push: error: refused", "push: error: gave up"} {
		g.reply("logs", &Reply{More: true, Line: &LogLine{Time: run.Started, Run: run.ID, N: int64(i + 1), Task: "push",
			Stream: "e", Text: text}})
	}
	return g
}

// TestTuiRunSearch looks for tasks of a run, and for text in its output.
func TestTuiRunSearch(t *testing.T) {
	g := tuiRunOpen(t, 80, 24)
	s := g.u.screen().(*tuiRunScreen)
	at := func(keys, want string) {
		t.Helper()
		g.keys(keys)
		if s.view.Selected != want {
			t.Errorf("%s selects %s, want %s", keys, s.view.Selected, want)
		}
	}
	g.shows("-- push  exit 3 ---", "3 lines  end --", "push: error: gave up")
	if screen := g.screen(); strings.Count(screen, "-- push") != 1 {
		t.Errorf("the heading of the output is there twice:\n%s", screen)
	}
	at("/ text:rep", "report")
	at("esc", "push")
	at("/ text:state:ok enter", "pull")
	g.shows("/state:ok  2 of 4 tasks")
	at("n", "check")
	at("n", "pull")
	at("N", "check")
	at("/ ^U text:nothing enter", "check")
	g.shows("/nothing  no task matches")
	at("esc", "check")
	if g.u.screen() != s || s.search != "" {
		t.Error("esc leaves before it clears the search")
	}
	g.keys("n")
	g.shows("nothing is searched for: / does")
	at("G k tab / text:error enter", "push")
	g.shows(">- push", "match 2 of 2")
	g.keys("n")
	g.shows("search goes on at the other end")
	g.keys("+ -")
	g.shows("match 1 of 2")
	g.keys("esc l")
	if log, ok := g.u.screen().(*tuiLogScreen); !ok || log.task != "" {
		t.Error("l does not show the output of all tasks")
	}
}

// TestTuiKillTask kills one task of a run and no other, after a question, and only one that is at work.
func TestTuiKillTask(t *testing.T) {
	for _, c := range []struct{ keys, asks, says string }{
		{"K", "", "Kill task check of R0001280?"},
		{"K", "", "It is RUNNING on edge-07 for 2:14."},
		{"K", "", "Tasks that need it are skipped, others go on."},
		{"K y", "cancel 01KJ00000000000000R0001280 check force", "kill check of R0001280: asked"},
		{"K n", "", ""},
		{"K enter", "", ""},
		{"tab K y", "cancel 01KJ00000000000000R0001280 check force", ""}, // the output is that of the task
		{"G K", "", "report has not begun: x cancels the whole run"},
		{"g K", "", "pull is over (succeeded): x cancels the whole run"},
		{"G k K y", "cancel 01KJ00000000000000R0001280 push force", ""},
		{"G k", "", "being stopped: cancelled by ana"},
		{"x y", "cancel 01KJ00000000000000R0001280", "cancel R0001280: asked"},
	} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.keys("2 enter")
		run := tuiTestRun(1280, "site11-sync", runRunning, "2026-03-04 12:02:17", 0, "edge-07", "")
		for _, task := range []struct{ id, state, stopping string }{{"pull", taskSucceeded, ""},
			{"check", taskRunning, ""}, {"push", taskRetrying, "cancelled by ana"}, {"report", taskWaiting, ""}} {
			tr := TaskRun{Task: task.id, State: task.state, Cancelling: task.stopping}
			if task.state != taskWaiting {
				tr.Attempts, tr.Started = 1, run.Started
			}
			run.Tasks = append(run.Tasks, tr)
		}
		g.reply("show", &Reply{Runs: []*Run{run}, Spec: tuiTestSpec()})
		if c.keys == "K" {
			g.shows("K kill task")
		}
		g.asked()
		g.keys(c.keys)
		if got := g.asked(); got != c.asks {
			t.Errorf("%s asks %q, want %q", c.keys, got, c.asks)
		}
		g.shows(c.says)
	}
	g := tuiRunOpen(t, 80, 24)
	g.asked()
	g.keys("K")
	g.shows("push is over (failed)")
	if g.asked() != "" {
		t.Error("it asks for the end of a task that has ended")
	}
	g.u.readonly, g.u.keys = true, tuiBindings(true)
	g.keys("K")
	g.shows("K changes something, and this is --readonly")
}

// TestTuiNotes shows a message that is longer than the screen is wide whole, above the keys, and the selected row above
// it.
func TestTuiNotes(t *testing.T) {
	g := tuiRigOpen(t, 40, 10, tuiFixture())
	g.keys("1 G")
	g.shows(">  site21-import", "site21-import.yml:12:5: task \"load\":", "depends on \"fetc\", which is not a task")
	g.u.say("%s", strings.Repeat("word ", 60))
	if got := strings.Count(g.screen(), "| word"); got != tuiMaxNote {
		t.Errorf("%d rows of a message without end:\n%s", got, g.screen())
	}
	g.shows(">  site21-import")
	g.keys("G")
	g.shows("q quit", "? help")
	if screen := g.screen(); strings.Contains(screen, "word") {
		t.Errorf("the message stays:\n%s", screen)
	}
}

// TestTuiBlank says in the place of what is not here why it is not.
func TestTuiBlank(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("2")
	lost := fmt.Errorf("dial ipc:///run/cdktr/cdktr.sock: %w", syscall.ECONNREFUSED)
	g.u.take(tuiMsg{link: 1, err: lost})
	g.shows("no answer from ipc:///run/cdktr/cdktr.sock: connection refused; next try", "12:04:31, or :connect now",
		"site07-backup")
	for _, keys := range []string{"enter", "l", "i", "e", "0", "4", ": text:stats space text:site11-sync enter"} {
		g.keys("2 " + keys)
		g.shows("not here yet, it comes with the connection")
	}
	g.keys("2 r")
	g.shows("r (run) needs a connection: no answer")
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	g.keys("i")
	g.shows("asking for what the history has of it")
	g.reply("stats", &Reply{Error: &protoError{Code: codeNotFound, Message: "no workflow of that name"}})
	g.shows("no workflow of that name")

	g = tuiRigOpen(t, 80, 24, &Reply{})
	for keys, want := range map[string]string{"1": "put a file into", "2": "r on a workflow starts one",
		"3": "cdktr start agent"} {
		g.keys(keys)
		g.shows(want)
	}
	g = tuiRigOpen(t, 80, 24, nil)
	g.u.take(tuiMsg{link: 1, err: lost})
	g.keys(": text:goto space text:agents enter")
	g.shows("the list: not here yet", "connection refused")
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	lists := tuiFixture()
	lists.Live = true
	g.reply("watch", lists)
	g.shows("edge-03")
	if g.u.screen().name() != "agents" {
		t.Error("the first lists take the screen away that one had gone to")
	}
}

// TestTuiNamed takes the names that people see, and says what is wrong with others before it asks anything.
func TestTuiNamed(t *testing.T) {
	whole := "01KJ00000000000000R0009999"
	for _, c := range []struct{ command, asks, says string }{
		{"cancel R0001280", "", "Cancel run R0001280?"},
		{"cancel site07-backup", "", "Cancel run R0001280?"},
		{"retry r0001271", "retry 01KJ00000000000000R0001271", ""},
		{"retry " + whole, "retry " + whole, ""},
		{"cancel 280", "", "no run 280 among the newest"},
		{"cancel nothing", "", "the whole id of | | an older one"},
		{"pause site07-bakup", "", "did you mean site07-backup?"},
		{"run qqqqqqqqqqqq", "", "no workflow qqqqqqqqqqqq: tab offers"},
		{"drain edge-1", "", "no agent edge-1: did you mean"},
		{"logs R0001271", "", "R0001271  log"},
		{"stats nosuch", "", "stats: no workflow nosuch"},
		{"show R0001271", "", "Runs R0001271"},
		{"show r0001271", "", "Runs R0001271"},
		{"show " + whole, "", "R0009999"},
		{"show site11-sync", "", "site11-sync source"},
		{"show site11-sinc", "", "show: no workflow or run site11-sinc: did you mean site11-sync?"},
		{"show R0009999", "", "show: no workflow or run R0009999"},
	} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.asked()
		g.keys("1 : text:" + strings.ReplaceAll(c.command, " ", " space text:") + " enter")
		if got := g.asked(); got != c.asks {
			t.Errorf("%s asks %q, want %q", c.command, got, c.asks)
		}
		if screen := strings.Join(strings.Fields(g.screen()), " "); !strings.Contains(screen,
			strings.Join(strings.Fields(c.says), " ")) {
			t.Errorf("%s does not say %q:\n%s", c.command, c.says, g.screen())
		}
	}
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	h := tuiHistoryOf(1100, 10) // a run that has been loaded, of which the lists know nothing
	g.keys("2 G")
	h.serve(g)
	for command, asks := range map[string]string{"retry": "retry 01KJ00000000000000R0001095", "show": "",
		"cancel": ""} {
		g.asked()
		g.keys(": text:" + command + " space text:R0001095 enter")
		if got := g.asked(); got != asks {
			t.Errorf("%s of an older run asks %q, want %q", command, got, asks)
		}
		g.shows("R0001095")
		if command == "show" {
			if _, ok := g.u.screen().(*tuiRunScreen); !ok {
				t.Error("an older run is not shown")
			}
		}
		g.keys("esc")
	}
	g = tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys(": text:show space text:site11 tab enter")
	g.shows("site11-sync  source")
	if words := g.u.completions("show "); !slices.Contains(words, "site11-sync") ||
		!slices.Contains(words, "01KJ00000000000000R0001280") {
		t.Errorf("tab offers %v", words)
	}
	g = tuiRigOpen(t, 80, 24, tuiFixture())
	g.u.contexts = []string{"london", "paris"}
	g.keys(": text:connect space tab")
	g.shows("london", "paris")
}

// TestTuiVersion says once that the principal is of another version, and marks it for as long as it is.
func TestTuiVersion(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.reply("ping", &Reply{Version: programVersion()})
	if screen := g.screen(); strings.Contains(screen, "version") {
		t.Errorf("the same version is told of:\n%s", screen)
	}
	g.u.take(tuiMsg{link: 1, err: syscall.EPIPE})
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	g.reply("ping", &Reply{Version: "9.9.9"})
	g.shows("the principal is version 9.9.9, this program "+version, "LIVE v9.9.9")
	g.keys("j")
	if screen := g.screen(); strings.Contains(screen, "this program") || !strings.Contains(screen, "LIVE v9.9.9") {
		t.Errorf("not one flash and a mark:\n%s", screen)
	}
}

// TestTuiResolve names in the header the place that one is connected to, and no other.
func TestTuiResolve(t *testing.T) {
	file := configFile(t, "context: here\ncontexts:\n  here: {principal: \"ipc:///run/here.sock\"}\n  away: "+
		"{principal: \"ssh://ops@away.example\"}\n")
	cfg, err := configLoad(t.Context(), nil, file, configEnvOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{cfg: cfg, getenv: configEnvOf(nil), err: io.Discard}
	for _, want := range []struct{ name, site, at string }{
		{"", "here", "ipc:///run/here.sock"}, {"away", "away", "ssh://ops@away.example"},
		{"here", "here", "ipc:///run/here.sock"},
		{"ssh://other.example", "other.example", "ssh://other.example"}, {"ipc:///run/x.sock", "", "ipc:///run/x.sock"},
	} {
		got, err := tuiResolve(t.Context(), c, want.name)
		if err != nil || got.name != want.site || got.at != want.at {
			t.Errorf(":connect %s leads to %q at %s (%v), want %q at %s", want.name, got.name, got.at, err, want.site,
				want.at)
		}
	}
	if c.cfg, err = configLoad(t.Context(), map[string]string{"principal": "ssh://third.example"}, file,
		configEnvOf(nil)); err != nil {
		t.Fatal(err)
	}
	if got, err := tuiResolve(t.Context(), c, ""); err != nil || got.name != "third.example" {
		t.Errorf("--principal leads to %q at %s (%v)", got.name, got.at, err)
	}
	if _, err := tuiResolve(t.Context(), c, "nowhere"); err == nil {
		t.Error("a place that nobody knows is one")
	}
}

// TestTuiForm says what is going to run, and runs a run again with what that was given.
func TestTuiForm(t *testing.T) {
	lists := tuiFixture()
	lists.Rows[2].Params = map[string]string{"day": "2026-03-03", "mode": "full", "note": "two\nlines"}
	spec := tuiTestSpec()
	spec.Params = map[string]Param{"day": {Required: true, Pattern: "[0-9-]+", Description: "the day"},
		"mode": {Default: "full"}, "note": {Default: "none"}}
	open := func(keys string) *tuiRig {
		g := tuiRigOpen(t, 80, 24, lists)
		g.asked()
		g.keys(keys)
		g.reply("show", &Reply{Spec: spec})
		g.shows("Sync of site 11", "Pulls what changed and pushes it on", "the day")
		return g
	}
	g := open("1 j j r")
	g.keys("^S")
	if g.asked() != "" {
		t.Error("ran without what is required")
	}
	g = open("2 j j r")
	g.keys("^S")
	if got := g.asked(); got != "run site11-sync day=2026-03-03" {
		t.Errorf("ran again: %s", got)
	}
}

// TestTuiSourceScreen reads a definition: it is whole, and is searched as output is.
func TestTuiSourceScreen(t *testing.T) {
	for _, size := range viewSizes {
		g := tuiRigOpen(t, size[0], size[1], tuiFixture())
		g.keys("1 j j e")
		g.reply("show", &Reply{Spec: tuiTestSpec(), Workflows: []WorkflowInfo{{Workflow: "site11-sync",
			File:  "site11-sync.yml",
			Error: `site11-sync.yml:12:5: task "load": depends on "fetc", which is not a task here (did you mean "fetch"?)`}}})
		g.u.draw()
		viewGolden(t, "source", g.u.grid)
		g.keys("/ text:depends enter")
		g.shows("match 1 of 4")
		g.keys("n")
		g.shows("match 2 of 4")
		if size[0] >= 80 {
			g.reply("watch", &Reply{Gone: []string{"site11-sync"}})
			g.shows("its file is gone: this is what was in force", "id: site11-sync")
			g.keys("r")
			g.shows("site11-sync has no file any more")
		}
		g.keys("w l l h w esc")
		if g.u.screen().name() != "source" {
			t.Fatal("esc leaves before it clears the search")
		}
		g.keys("G")
		if size[0] >= 80 {
			g.shows("- id: report")
		}
		g.keys("esc")
		if g.u.screen().name() != "workflows" {
			t.Error("esc does not leave")
		}
	}
}

// TestTuiKeyRow shows what can be done with the selected row, the most important first, and always the way out and the
// help.
func TestTuiKeyRow(t *testing.T) {
	g := tuiRunOpen(t, 80, 24)
	row := func(want string) {
		t.Helper()
		rows := strings.Split(strings.TrimSpace(g.screen()), "\n")
		if got := strings.TrimSpace(strings.Trim(rows[len(rows)-1], "|")); got != want {
			t.Errorf("the keys are\n%s, want\n%s", got, want)
		}
	}
	row("enter log  t retry  r run  / search  v view  l all output  esc back  ? help")
	g.keys("1 G")
	row("enter runs  / filter  i stats  e source  : cmd  q quit  ? help")
	g.keys("3")
	row("enter its runs  d drain  / filter  : cmd  q quit  ? help")
	g.keys("j")
	row("enter its runs  u undrain  / filter  : cmd  q quit  ? help")
	g.keys("u j d")
	g.shows("edge-09")
	g.keys("1 / text:nothing enter")
	row("/ filter  : cmd  q quit  ? help")
	g.u.grid = termGridNew(40, 10)
	g.keys("esc enter")
	row("enter open  x cancel  esc back  ? help")
}

// TestTuiMany tells the answers of many requests as one, and takes marks away by esc.
func TestTuiMany(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("3 space space")
	g.shows("2 marked")
	g.keys("esc")
	if screen := g.screen(); strings.Contains(screen, "marked") || g.u.screen().name() != "agents" {
		t.Errorf("esc does not take the marks away:\n%s", screen)
	}
	g.asked()
	g.keys("g space space d y")
	g.shows("drain: asked of 2")
	first := len(g.sent) - 2
	for i, answer := range []*Reply{{}, {Error: &protoError{Code: codeConflict, Message: "it is drained already"}}} {
		answer.ID = g.sent[first+i].ID
		g.u.take(tuiMsg{link: 1, reply: answer})
	}
	g.shows("drain: 2 of 2 answered; edge-07: it is drained already")
	g.keys("2 x")
	g.shows("site07-backup is RUNNING on edge-07 for 2:14.", "4 of 9 tasks are not over.")
}

// TestTuiFrozen keeps output and events as they are while they come.
func TestTuiFrozen(t *testing.T) {
	g := tuiRunOpen(t, 80, 24)
	more := func(n int) {
		for ; n > 0; n-- {
			g.reply("logs", &Reply{More: true, Line: &LogLine{Run: "r", N: int64(100 + n), Task: "push", Stream: "o",
				Text: fmt.Sprintf("more %d", n)}})
		}
	}
	g.keys("F")
	before := g.screen()
	more(2)
	if g.screen() != before {
		t.Errorf("a frozen screen changed:\n%s", g.screen())
	}
	g.keys("F")
	more(2)
	g.shows("more 1 ", "2 lines  end")
	g.keys("4")
	event := func(seq uint64) *Reply {
		return &Reply{More: true, Events: []*Event{{Seq: seq, Time: tuiStamp("2026-03-04 12:03:07"), Kind: evPaused,
			Workflow: "site12-sync", By: "ana"}}}
	}
	g.reply("events", event(88122))
	g.keys("F")
	g.reply("events", event(88124))
	if strings.Contains(g.screen(), "88124") {
		t.Errorf("frozen events changed:\n%s", g.screen())
	}
	g.keys("F")
	g.shows("88124")
}

// TestTuiEvents opens what an event is about, and tells all of the selected one.
func TestTuiEvents(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("4")
	g.reply("events", &Reply{More: true, Events: []*Event{
		{Seq: 88121, Time: tuiStamp("2026-03-04 12:00:00"), Kind: evQueued, Run: "01KJ00000000000000R0001271",
			Workflow: "site11-sync", Trigger: "cron"},
		{Seq: 88122, Time: tuiStamp("2026-03-04 12:03:07"), Kind: evPaused, Workflow: "site12-sync", By: "ana"},
		{Seq: 88123, Time: tuiStamp("2026-03-04 12:04:01"), Kind: evAgentLost, Agent: "edge-09",
			Reason: "no word from it for a long time, and longer than is shown in a column"},
	}})
	g.shows("edge-09", "following")
	g.keys("j k")
	for _, c := range []struct{ keys, screen string }{{"g", "agents"}, {"g j", "source"}, {"G", "run"}} {
		g.keys(c.keys + " enter")
		if got := g.u.screen().name(); got != c.screen {
			t.Errorf("%s opens %s, want %s", c.keys, got, c.screen)
		}
		g.keys("esc")
	}
	g.keys("G")
	g.shows("run.queued R0001271 site11-sync: cron")
}

// TestTuiBudget holds screens that are full to the bytes that they may take as a whole frame.
func TestTuiBudget(t *testing.T) {
	lists := tuiFixture()
	for i := range 60 {
		id := fmt.Sprintf("site%02d-report", i)
		lists.Workflows = append(lists.Workflows, WorkflowInfo{Workflow: id, Name: fmt.Sprintf("Report of site %d", i),
			File: id + ".yml", Schedule: []string{fmt.Sprintf("%d 4 1 1 *", i)},
			Tasks: 1, Next: tuiStamp("2027-01-01 04:00:00")})
		row := lists.Rows[i%8]
		run := *row.Run
		run.ID, row.Run = tuiTestRun(2000+i, "w", "", "2026-03-04 12:00:00", 0, "", "").ID, &run
		lists.Rows = append(lists.Rows, row)
	}
	for _, size := range viewSizes {
		g := tuiRigOpen(t, size[0], size[1], lists)
		for _, keys := range []string{"1", "2", "3"} {
			g.keys(keys)
			g.u.draw()
			viewBudget(t, "the list of "+g.u.screen().name(), g.u.grid)
		}
		g = tuiRunOpen(t, size[0], size[1])
		for i := range 40 {
			g.reply("logs", &Reply{More: true, Line: &LogLine{Time: stampOf(tuiNoon), Run: "r", N: int64(10 + i),
				Task: "push", Stream: "o", Text: termScreenLogLine(i)}})
		}
		for range viewRunTime + 1 {
			g.u.draw()
			viewBudget(t, "a run with its output", g.u.grid)
			g.keys("v")
		}
	}
}

// TestTuiPictures holds whole screens to pictures, as the documentation shows them: a run as tasks, as waves and in
// time, its output, and the statistics of its workflow.
func TestTuiPictures(t *testing.T) {
	for _, size := range viewSizes {
		g := tuiRigOpen(t, size[0], size[1], tuiFixture())
		g.now = viewStamp("02:02:14").Time
		picture := func(name, keys string) {
			g.keys(keys)
			g.u.draw()
			viewGolden(t, name, g.u.grid)
		}
		g.keys("2 enter")
		run, spec, _ := viewRunBackup()
		run.ID = g.u.screen().(*tuiRunScreen).run
		g.reply("show", &Reply{Runs: []*Run{run}, Spec: spec})
		lines := []string{"02:00:59 o connecting to 10.2.0.9:5432",
			"02:01:10 e pg_dump: error: connection to server failed: timeout expired",
			"02:01:20 o connecting to 10.2.0.9:5432",
			"02:01:33 e pg_dump: error: connection to server failed: timeout expired",
			"02:01:53 o connecting to 10.2.0.9:5432",
			"02:02:09 e pg_dump: error: connection to server failed: timeout expired"}
		output := func() {
			for i, text := range lines {
				g.reply("logs", &Reply{More: true, Line: &LogLine{Time: viewStamp(text[:8]), Run: run.ID,
					N: int64(i + 1), Task: "dump-audit", Stream: text[9:10], Text: text[11:]}})
			}
		}
		output()
		picture("whole-run", "g G k k k k k")
		picture("whole-wave", "v")
		picture("whole-time", "v")
		g.keys("enter")
		output()
		picture("whole-log", "t")
		g.keys("esc esc i")
		g.reply("stats", &Reply{Stats: viewStatsFixture().Stats})
		picture("whole-stats", "")
		g.keys("P")
		g.reply("pools", &Reply{Pools: tuiPoolsFixture()})
		picture("pools", "j")
	}
}
