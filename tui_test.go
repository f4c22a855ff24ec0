// Tests of the terminal UI without a terminal: keys go in, requests and screens come out. The other end of its
// connection is the test; time is a field.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// tuiRig is a UI whose terminal and principal are the test.
type tuiRig struct {
	t    *testing.T
	u    *tui
	now  time.Time
	sent []Request
	wire tuiWire

	copied string
}

// tuiWire is a connection that keeps what is sent. It is used by the loop's goroutine alone, which here is the test's.
type tuiWire struct {
	wireConn
	rig  *tuiRig
	full bool
}

func (w *tuiWire) TrySend(frames ...[]byte) bool {
	if w.full {
		return false
	}
	var req Request
	if err := json.Unmarshal(frames[len(frames)-1], &req); err != nil {
		w.rig.t.Fatal(err)
	}
	w.rig.sent = append(w.rig.sent, req)
	return true
}

func (w *tuiWire) Cut(error) {}

// tuiNoon is when the tests play.
var tuiNoon = time.Date(2026, 3, 4, 12, 4, 31, 0, time.UTC)

// tuiRigOpen makes a UI that is connected, and has its first lists.
func tuiRigOpen(t *testing.T, width, height int, lists *Reply) *tuiRig {
	t.Helper()
	g := &tuiRig{t: t, now: tuiNoon}
	g.u = tuiNew(termEnv{Usable: true}, false, func() time.Time { return g.now })
	g.u.grid = termGridNew(width, height)
	g.u.copy = func(text string) error { g.copied = text; return nil }
	g.u.resolve = func(name string) (tuiTarget, error) { return tuiTarget{}, fmt.Errorf("no principal %q", name) }
	g.u.link = tuiLink{target: tuiTarget{name: "site-42", at: "ipc:///run/cdktr/cdktr.sock"}, number: 1,
		try: make(chan struct{}, 1)}
	g.wire = tuiWire{rig: g}
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	if lists != nil {
		lists.Live = true
		g.reply("watch", lists)
	}
	return g
}

// reply answers the newest request with that op.
func (g *tuiRig) reply(op string, r *Reply) {
	g.t.Helper()
	at := slices.IndexFunc(g.sent, func(req Request) bool { return req.Op == op })
	for i := len(g.sent) - 1; i >= 0; i-- {
		if g.sent[i].Op == op {
			at = i
			break
		}
	}
	if at < 0 {
		g.t.Fatalf("nothing asked for %s: %s", op, g.asked())
	}
	r.ID, r.OK = g.sent[at].ID, r.Error == nil
	r.More = r.More || op == "watch"
	text := protoEncode(r) // as it comes over a wire
	fresh := &Reply{}
	if err := json.Unmarshal(text, fresh); err != nil {
		g.t.Fatal(err)
	}
	g.u.take(tuiMsg{link: 1, reply: fresh})
}

// asked gives what was asked since the last call, without what every screen asks for by itself.
func (g *tuiRig) asked() string {
	var ops []string
	for _, r := range g.sent {
		if slices.Contains([]string{"watch", "ping", "stop", "attention", "show", "logs", "events"}, r.Op) {
			continue
		}
		text := strings.TrimSpace(strings.TrimSpace(r.Op+" "+r.Workflow+r.Run+r.Agent+r.Key) + " " + r.Task)
		for _, k := range sortedKeys(r.Params) {
			text += " " + k + "=" + r.Params[k]
		}
		if r.Force {
			text += " force"
		}
		if r.Comment != "" {
			text += ": " + r.Comment
		}
		ops = append(ops, text)
	}
	g.sent = slices.DeleteFunc(g.sent, func(r Request) bool {
		return !slices.Contains([]string{"watch", "ping", "attention", "show", "logs", "events"}, r.Op)
	})
	return strings.Join(ops, "; ")
}

// keys presses keys by their names, "text:..." types.
func (g *tuiRig) keys(names string) {
	g.t.Helper()
	for _, name := range strings.Fields(names) {
		if text, ok := strings.CutPrefix(name, "text:"); ok {
			for _, r := range text {
				g.u.key(termKey{Code: termKeyRune, Rune: r})
			}
			continue
		}
		k, err := termKeyParse(name)
		if err != nil {
			g.t.Fatal(err)
		}
		g.u.key(k)
	}
}

// screen draws, and gives the rows as text.
func (g *tuiRig) screen() string {
	g.u.draw()
	text, _, _ := strings.Cut(viewPicture(g.u.grid), "cursor ")
	return text
}

// shows fails where one of the texts is missing from the screen.
func (g *tuiRig) shows(wants ...string) {
	g.t.Helper()
	screen := g.screen()
	for _, want := range wants {
		if !strings.Contains(screen, want) {
			g.t.Errorf("the screen does not show %q:\n%s", want, screen)
		}
	}
}

func tuiStamp(text string) Stamp {
	at, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return stampOf(at)
}

// tuiTestRun makes a run that was queued and began at a time, and took so long; 0: it goes on.
func tuiTestRun(n int, workflow, state, began string, took time.Duration, agent, reason string) *Run {
	r := &Run{ID: fmt.Sprintf("01KJ00000000000000R%07d", n), Workflow: workflow, State: state, Reason: reason,
		Trigger: "cron", Agent: agent, Attempt: 1,
		Queued: tuiStamp(began), Started: tuiStamp(began), Tasks: []TaskRun{}, Params: map[string]string{}}
	if took > 0 {
		r.Finished, r.Seconds = stampOf(r.Started.Add(took)), took.Seconds()
	}
	if state == runQueued {
		r.Started = Stamp{}
	}
	return r
}

func tuiRecent(marks string) []Outcome {
	states := map[rune]string{'+': runSucceeded, '!': runFailed, 'x': runCancelled}
	var list []Outcome
	for _, m := range marks {
		list = append(list, Outcome{State: states[m]})
	}
	return list
}

// tuiFixture is the lists of a site.
func tuiFixture() *Reply {
	runs := []*Run{
		tuiTestRun(1280, "site07-backup", runRunning, "2026-03-04 12:02:17", 0, "edge-07", ""),
		tuiTestRun(1279, "site07-report", runSucceeded, "2026-03-04 12:00:00", 3*time.Second, "edge-03", ""),
		tuiTestRun(1271, "site11-sync", runFailed, "2026-03-04 12:00:00", 41*time.Second, "edge-07",
			"task push: exit 3"),
		tuiTestRun(1270, "site12-sync", runQueued, "2026-03-04 12:04:00", 0, "", "no agent with labels gpu=yes"),
		tuiTestRun(1251, "site07-backup", runFailed, "2026-03-03 02:00:00", 581*time.Second, "edge-07",
			"task dump: exit 3"),
		tuiTestRun(1222, "site07-backup", runSucceeded, "2026-03-02 02:00:00", 602*time.Second, "edge-03", ""),
		tuiTestRun(1201, "site07-backup", runCancelled, "2026-03-01 14:11:09", 31*time.Second, "edge-07", "by ana"),
		tuiTestRun(1193, "site07-backup", runCrashed, "2026-03-01 02:00:00", 295*time.Second, "edge-09",
			"agent edge-09 is lost"),
	}
	r := &Reply{Seq: 88123}
	for _, run := range runs {
		done := 9
		if run.State != runSucceeded {
			done = 5
		}
		r.Rows = append(r.Rows, RunRow{Run: run, Done: done, Total: 9})
	}
	workflow := func(id, schedule, next, recent string, last *Run) {
		w := WorkflowInfo{Workflow: id, Name: id, File: id + ".yml", Schedule: []string{schedule}, Tasks: 9,
			Recent: tuiRecent(recent), Last: last}
		if schedule == "" {
			w.Schedule = []string{}
		}
		if next != "" {
			w.Next = tuiStamp(next)
		}
		r.Workflows = append(r.Workflows, w)
	}
	workflow("site07-backup", "0 2 * * *", "2026-03-05 02:00:00", "++!+x++!", runs[0])
	workflow("site07-report", "*/15 * * * *", "2026-03-04 12:15:00", "++++++++++", runs[1])
	workflow("site11-sync", "@hourly", "2026-03-04 13:00:00", "+++++++!!!", runs[2])
	workflow("site12-firmware", "", "", "x", tuiTestRun(1102, "site12-firmware", runCancelled, "2026-03-02 09:12:00",
		7*time.Second, "edge-03", "by ana"))
	workflow("site12-sync", "@hourly", "", "+", runs[3])
	workflow("site20-import", "0 */6 * * *", "2026-03-04 18:00:00", "", nil)
	r.Workflows[4].Paused = "ana"
	r.Workflows[0].Name = "Nightly backup of site 7"
	r.Workflows = append(r.Workflows, WorkflowInfo{Workflow: "site21-import", Name: "site21-import",
		File: "site21-import.yml", Schedule: []string{},
		Error: `site21-import.yml:12:5: task "load": depends on "fetc", which is not a task here (did you mean "fetch"?)`})
	load, high := 0.71, 12.5
	r.Agents = []*Agent{
		{Name: "edge-03", State: agentUp, Labels: map[string]string{"arch": "arm64", "gpu": "no"}, Capacity: 8,
			Running: 4, Version: "0.1.0", Seen: tuiStamp("2026-03-04 12:04:30"), Address: "10.0.3.4:41022",
			Load: &load},
		{Name: "edge-07", State: agentDrain, Labels: map[string]string{"arch": "arm64"}, Capacity: 4, Running: 2,
			Version: "0.1.0", Seen: tuiStamp("2026-03-04 12:04:31"), Address: "local pid 4242", Load: &high},
		{Name: "edge-09", State: agentLost, Labels: map[string]string{"arch": "amd64"}, Capacity: 4, Version: "0.0.9",
			Seen: tuiStamp("2026-03-04 11:58:02"), Address: "192.168.109.109:40100"},
	}
	return r
}

// TestTuiScreens holds the lists to pictures.
func TestTuiScreens(t *testing.T) {
	for _, size := range viewSizes {
		for _, screen := range []struct{ name, keys string }{{"workflows", "1"}, {"runs", "2"}, {"runs-of", "1 enter"},
			{"agents", "3"}} {
			g := tuiRigOpen(t, size[0], size[1], tuiFixture())
			g.keys(screen.keys)
			g.u.draw()
			viewGolden(t, screen.name, g.u.grid)
		}
	}
}

// TestTuiFilter types filters.
func TestTuiFilter(t *testing.T) {
	for _, c := range []struct{ keys, want string }{
		{"/ text:sync enter", "site11-sync site12-sync"},
		{"/ text:SYNC enter", ""},
		{"/ text:!sync enter", "site07-backup site07-report site12-firmware site20-import site21-import"},
		{"/ text:state:fail enter", "site11-sync"},
		{"/ text:state:invalid enter", "site21-import"},
		{"/ text:state:paused enter", "site12-sync"},
		{"/ text:nightly enter", "site07-backup"},
		{"/ text:site1 space text:!firm enter", "site11-sync site12-sync"},
		{"/ text:sync esc", "site07-backup site07-report site11-sync site12-firmware site12-sync site20-import " +
			"site21-import"},
		{"/ text:sync enter esc", "site07-backup site07-report site11-sync site12-firmware site12-sync " +
			"site20-import site21-import"},
		{"/ text:sync backspace backspace backspace backspace backspace",
			"site07-backup site07-report site11-sync site12-firmware site12-sync site20-import site21-import"},
		{"S", "site21-import site20-import site12-sync site12-firmware site11-sync site07-report site07-backup"},
		{"s", "site07-report site11-sync site20-import site07-backup site12-firmware site12-sync site21-import"},
	} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.keys("1 " + c.keys)
		g.u.draw()
		if got := strings.Join(g.u.screen().(*tuiList).ids, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.keys, got, c.want)
		}
	}
}

// TestTuiActs presses keys that change something: what is asked for, and what is said.
func TestTuiActs(t *testing.T) {
	run := func(n int) string { return fmt.Sprintf("01KJ00000000000000R%07d", n) }
	for _, c := range []struct{ keys, asks, says string }{
		{"1 p", "pause site07-backup", "pause site07-backup: asked"},
		{"1 j j j p", "", "site12-firmware has no schedule"},
		{"1 j j j j p", "resume site12-sync", "resume"},
		{"1 G r", "", "has no version that loads"},
		{"1 space space p", "", "Pause 2 rows?"},
		{"1 space space p y", "pause site07-backup; pause site07-report", ""},
		{"1 space space p n", "", ""},
		{"2 x", "", "Cancel run R0001280?"},
		{"2 x y", "cancel " + run(1280), "cancel R0001280: asked"},
		{"2 x n", "", ""},
		{"2 x esc", "", ""},
		{"2 x enter", "", ""},
		{"2 K y", "cancel " + run(1280) + " force", "kill"},
		{"2 j x", "", "is over (succeeded): r runs it again"},
		{"2 j t", "", "succeeded: r runs it again"},
		{"2 t", "", "R0001280 is running: x cancels it"},
		{"2 j j t", "retry " + run(1271), "retry R0001271: asked"},
		{"3 d", "drain edge-03", "drain edge-03: asked"},
		{"3 j u", "undrain edge-07", ""},
		{"3 x", "", "only a lost agent can be forgotten"},
		{"3 G x text:edge-09 enter", "forget edge-09", ""},
		{"3 G x text:edge-0 enter", "", "Forget agent edge-09?"},
		{": text:pause space text:site07-backup enter", "pause site07-backup", ""},
		{": text:paus enter", "", `did you mean "pause"?`},
		{": text:pause enter", "", "usage: :pause WORKFLOW"},
		{": text:pau tab text:site11 tab enter", "pause site11-sync", ""},
		{": text:connect space text:nowhere enter", "", `no principal "nowhere"`},
		{"1 x", "", "Cancel run R0001280?"},
		{"3 t", "", "t does nothing here. Elsewhere: "},
		{"4 x", "", "cancel the run (workflows, runs, run, log,"},
		{"4 x", "", "take a lost agent off the list (agents)"},
	} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.asked()
		g.keys(c.keys)
		if got := g.asked(); got != c.asks {
			t.Errorf("%s asks %q, want %q", c.keys, got, c.asks)
		}
		g.shows(c.says)
	}
}

// What would not arrive as it is is not sent, from any screen, and who asked is told why, as if the principal had said
// so.
func TestTuiUnsound(t *testing.T) {
	g := tuiRigOpen(t, 120, 20, tuiFixture())
	sent := len(g.sent)
	for want, req := range map[string]Request{
		"go: workflow is not UTF-8: byte 2 is 0xff": {Op: "run", Workflow: "w\xff"},
		"go: parameter day has a NUL byte in it": {Op: "run", Workflow: "w",
			Params: map[string]string{"day": "\x00"}},
		"go: parameter half is not UTF-8": {Op: "run", Workflow: "w",
			Params: map[string]string{"half": "\xed\xa0\x80"}},
		`go: field "key" has`: {Op: "ack", Key: strings.Repeat("k", 1<<20)},
		"go: the request has": {Op: "run", Workflow: "w",
			Params: map[string]string{"day": strings.Repeat("d", 1<<20)}},
		"go: the name of parameter \"\\xc0\\x80\" is not": {Op: "run", Workflow: "w",
			Params: map[string]string{"\xc0\x80": ""}},
	} {
		g.u.act("go", req)
		if !strings.HasPrefix(g.u.flash, "go: asked") {
			t.Errorf("%s: said %q before the answer", want, g.u.flash)
		}
		g.u.takeRefused()
		if !strings.HasPrefix(g.u.flash, want) {
			t.Errorf("said %q, want %q", g.u.flash, want)
		}
	}
	g.sent = g.sent[sent:]
	if len(g.sent) > 0 || len(g.u.refused) > 0 {
		t.Errorf("sent %+v; %d replies wait", g.sent, len(g.u.refused))
	}
	for id := range g.u.asked {
		if n, _ := strconv.Atoi(id); n > sent {
			t.Errorf("request %s is still waited for", id)
		}
	}
}

// TestTuiReadonly has no key and no command that changes something.
func TestTuiReadonly(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.u.readonly, g.u.keys = true, tuiBindings(true)
	g.asked()
	for _, screen := range []string{"1", "2", "3"} {
		for _, key := range []string{"r", "t", "x y", "K y", "p", "d", "u", "a", "z",
			": text:pause space text:site07-backup enter"} {
			g.keys(screen + " " + key + " esc")
		}
	}
	if got := g.asked(); got != "" {
		t.Errorf("asked for %s", got)
	}
	g.keys("1 p")
	g.shows("p changes something, and this is --readonly")
	g.keys("m")
	g.shows("m does nothing here: ? shows the keys")
}

// TestTuiStale says so when nothing is heard any more, refuses to act, and stops the clock.
func TestTuiStale(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("2")
	g.now = g.now.Add(tuiStale - time.Second)
	g.shows("LIVE", "2:25")
	g.now = g.now.Add(time.Minute)
	g.shows("STALE since 12:04:31", "2:14", "no word from ipc:///run/cdktr/cdktr.sock")
	g.asked()
	g.keys("x")
	g.shows("needs a connection")
	if got := g.asked(); got != "" {
		t.Errorf("asked for %s", got)
	}
	g.u.take(tuiMsg{link: 1, err: fmt.Errorf("connection refused"), wait: 2 * time.Second})
	g.keys("j")
	g.shows("STALE", "connection refused")
	g.u.take(tuiMsg{link: 1, conn: &g.wire})
	lists := tuiFixture()
	lists.Live = true
	g.reply("watch", lists)
	g.shows("LIVE", "3:25")
	g.u.take(tuiMsg{link: 7, err: fmt.Errorf("of another link")})
	g.shows("LIVE")
}

// TestTuiDeltas takes rows over as they come, keeps the selection on its row, and knows a run that it has not seen.
func TestTuiDeltas(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("2 j")
	g.u.draw()
	before := g.u.screen().(*tuiList).selected()
	g.reply("watch", &Reply{Rows: []RunRow{{Run: tuiTestRun(1281, "site20-import", runRunning, "2026-03-04 12:04:30", 0,
		"edge-03", ""), Total: 4}}})
	g.shows("R0001281", "0/4")
	if got := g.u.screen().(*tuiList).selected(); got != before {
		t.Errorf("the selection went from %s to %s", before, got)
	}
	g.reply("watch", &Reply{GoneAgents: []string{"edge-09"}, Gone: []string{"site21-import"}})
	g.keys("3")
	if screen := g.screen(); strings.Contains(screen, "edge-09") {
		t.Errorf("a forgotten agent is shown:\n%s", screen)
	}
	g.keys("F")
	g.reply("watch", &Reply{Agents: []*Agent{{Name: "edge-10", State: agentUp}}})
	g.shows("FROZEN")
	if screen := g.screen(); strings.Contains(screen, "edge-10") {
		t.Errorf("a frozen screen changed:\n%s", screen)
	}
	g.keys("F")
	lists := tuiFixture()
	lists.Live = true
	lists.Agents = append(lists.Agents, &Agent{Name: "edge-10", State: agentUp})
	g.reply("watch", lists)
	g.shows("edge-10", "LIVE")
}

// TestTuiEarlier shows of a workflow what is known of its newest run when the principal has that in its history only.
func TestTuiEarlier(t *testing.T) {
	g := tuiRigOpen(t, 120, 24, tuiFixture())
	id := runID(tuiNoon.Add(-time.Hour), "")
	recent := append(tuiRecent("++"), Outcome{Run: id, State: runFailed})
	g.reply("watch", &Reply{Workflows: []WorkflowInfo{{Workflow: "aged", Name: "aged", Schedule: []string{"@monthly"},
		Tasks: 1, Recent: recent}}})
	g.keys("1")
	if screen := g.screen(); !regexp.MustCompile(`>  aged +@monthly .* \+\+! 11:04:31 +! fail +- `).MatchString(screen) {
		t.Errorf("its last run is not shown:\n%s", screen)
	}
	if p := g.u.screen().pick(g.u); p.run != id {
		t.Errorf("keys act on %q, want %s", p.run, id)
	}
	g.asked()
	g.keys("x")
	g.shows("is over (failed)")
	if got := g.asked(); got != "" {
		t.Errorf("asked for %s", got)
	}
	g.keys("/ text:aged space text:state:fail enter")
	g.shows("1 of 1")
}

// TestTuiBounds holds what is kept of runs.
func TestTuiBounds(t *testing.T) {
	m := tuiModelNew()
	for i := range 5000 {
		state := runSucceeded
		if i == 7 {
			state = runRunning
		}
		m.apply(&Reply{Rows: []RunRow{{Run: tuiTestRun(i, "w", state, "2026-03-04 12:00:00", time.Second, "", "")}}})
	}
	if len(m.runs) != tuiMaxRuns || len(m.newest) != tuiMaxRuns {
		t.Errorf("%d runs, %d in order", len(m.runs), len(m.newest))
	}
	if first := m.runs[m.newest[0]]; first.State != runRunning {
		t.Errorf("an active run was let go for a newer one that has ended: the oldest is %s", first.ID)
	}
}

// TestTuiHelp has every key of the table in the help, and each key of the last row in the table.
func TestTuiHelp(t *testing.T) {
	g := tuiRigOpen(t, 100, 200, tuiFixture())
	g.keys("1 ?")
	screen := g.screen()
	for _, b := range g.u.keys {
		if key, _, _ := strings.Cut(b.keys, " "); !strings.Contains(screen, key+" ") ||
			!strings.Contains(screen, textCut(b.what, 30)[:min(len(b.what), 20)]) {
			t.Errorf("%s (%s) is missing from the help:\n%s", b.keys, b.what, screen)
		}
		for _, name := range strings.Fields(b.keys) {
			if k, err := termKeyParse(name); err != nil || k.String() != name {
				t.Errorf("%q is no key: %v %v", name, k, err)
			}
		}
	}
}

// TestTuiKeysOnce binds a key to one thing on a screen, has a table for each screen, and no screen without the method
// that its table relies on.
func TestTuiKeysOnce(t *testing.T) {
	screens := map[string]tuiScreen{"attention": &tuiAttentionList{}, "workflows": tuiListNew(tuiWorkflows),
		"runs": tuiListNew(tuiRuns), "agents": tuiListNew(tuiAgents), "events": &tuiEventList{},
		"pools": &tuiPoolList{}, "run": &tuiRunScreen{},
		"log": &tuiLogScreen{}, "stats": &tuiStats{}, "source": &tuiSource{}}
	bindings := tuiBindings(false)
	for name, s := range screens {
		if s.name() != name {
			t.Errorf("screen %q calls itself %q", name, s.name())
		}
		taken, own := map[string]string{}, false
		for _, b := range bindings {
			if !b.fits(name) {
				continue
			}
			own = own || b.on == name
			if _, ok := s.(tuiKeyed); b.do == nil && !ok {
				t.Errorf("%s on %s is bound to nothing, and the screen takes no keys", b.keys, name)
			}
			for _, key := range strings.Fields(b.keys) {
				if taken[key] != "" {
					t.Errorf("%s on %s is %q and %q", key, name, taken[key], b.what)
				}
				taken[key] = b.what
			}
		}
		if !own {
			t.Errorf("screen %s has no table of keys", name)
		}
	}
	for _, b := range bindings {
		for _, name := range strings.Fields(b.on) {
			if screens[name] == nil {
				t.Errorf("%s is bound on %q, which is no screen", b.keys, name)
			}
		}
	}
}

// TestTuiSmall shows one notice on a terminal that is too small, and quits from there.
func TestTuiSmall(t *testing.T) {
	for _, size := range [][2]int{{39, 24}, {80, 9}, {1, 1}, {20, 3}} {
		g := tuiRigOpen(t, size[0], size[1], tuiFixture())
		if size[0] > 30 {
			g.shows(fmt.Sprintf("cdktr: terminal is %dx%d,", size[0], size[1]))
		}
		g.u.draw()
		g.keys("q")
		if !g.u.quit {
			t.Errorf("%v: q does not quit", size)
		}
	}
}

// TestTuiInterrupt is ^C: once it says how to quit, twice within a second it quits, and in a prompt it ends that.
func TestTuiInterrupt(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("^C")
	g.shows("q quits, x cancels a run")
	g.now = g.now.Add(2 * time.Second)
	g.keys("^C")
	if g.u.quit {
		t.Error("two slow ^C quit")
	}
	g.keys(": text:q ^C")
	if g.u.quit || g.u.prompt != nil {
		t.Error("^C does not end a prompt")
	}
	g.now = g.now.Add(2 * time.Second)
	g.keys("^C ^C")
	if !g.u.quit {
		t.Error("^C twice does not quit")
	}
}

// TestTuiDocs holds the pictures of the documentation to what is drawn: behind each mark is the screen of that name.
func TestTuiDocs(t *testing.T) {
	mark := regexp.MustCompile("(?m)^<!-- screen (\\S+) -->\n(?:\n?```\n(?s:.*?)\n```\n)?")
	for _, file := range []string{"docs/terminal-ui.md", "README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		want := mark.ReplaceAllStringFunc(string(text), func(block string) string {
			found++
			name := mark.FindStringSubmatch(block)[1]
			picture, err := os.ReadFile("testdata/screens/" + name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			screen, _, _ := strings.Cut(string(picture), "cursor ")
			var rows []string
			for row := range strings.Lines(screen) {
				row = strings.TrimRight(strings.Trim(row, "|\n"), " ")
				// no more than two empty rows
				if n := len(rows); row != "" || n < 2 || rows[n-1] != "" || rows[n-2] != "" {
					rows = append(rows, row)
				}
			}
			return "<!-- screen " + name + " -->\n\n```\n" + strings.Join(rows, "\n") + "\n```\n"
		})
		if found == 0 {
			t.Errorf("%s has no picture", file)
		}
		if want == string(text) {
			continue
		}
		if !*protocolUpdate {
			t.Errorf("the pictures in %s are not what is drawn: go test -run TestTuiDocs -update .", file)
			continue
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tuiAttentionFixture is what needs a person at the site.
func tuiAttentionFixture() *Reply {
	exit := 3
	return &Reply{Alarm: &AlarmInfo{Time: tuiStamp("2026-03-04 12:01:44"), State: runSucceeded}, Items: []AttentionItem{
		{Key: "failed:site11-sync:push", Kind: attentionFailed, Workflow: "site11-sync", Task: "push", Exit: &exit,
			Agent: "edge-07", Reason: "exit 3", Runs: []string{"01KJ00000000000000R0001271",
				"01KJ00000000000000R0001265"},
			Count: 3, First: tuiStamp("2026-03-04 10:00:00"), Last: tuiStamp("2026-03-04 12:00:41"),
			Lines: []string{"connecting to 10.2.0.9:5432",
				"push: error: connection to server failed: timeout expired"},
			Streams: "oe",
			Changed: []string{"the workflow's file was changed",
				`it ran on agent "edge-07", the good one on "edge-03"`}, Good: "01KJ00000000000000R0001250"},
		{Key: "file:site21-import", Kind: attentionFile, Workflow: "site21-import",
			Reason: `site21-import.yml:12:5: task "load": depends on "fetc", which is not a task here (did you mean "fetch"?)`, Count: 1},
		{Key: "agent:edge-09", Kind: attentionAgent, Agent: "edge-09", Reason: "lost", Count: 1,
			First: tuiStamp("2026-03-04 11:58:02"), Last: tuiStamp("2026-03-04 11:58:02")},
		{Key: "failed:site07-backup:dump", Kind: attentionFailed, Workflow: "site07-backup", Task: "dump", Exit: &exit,
			Agent: "edge-07", Reason: "exit 3", Runs: []string{"01KJ00000000000000R0001251"}, Count: 1,
			First: tuiStamp("2026-03-03 02:09:41"), Last: tuiStamp("2026-03-03 02:09:41"), Recovered: true},
	}}
}

// TestTuiAttention is the first screen where something needs a person: it shows what, and each key acts on it.
func TestTuiAttention(t *testing.T) {
	open := func(w, h int) *tuiRig {
		lists, n := tuiFixture(), 4
		lists.Attention = &n
		g := tuiRigOpen(t, w, h, lists)
		g.reply("attention", tuiAttentionFixture())
		g.asked()
		return g
	}
	for _, size := range viewSizes {
		g := open(size[0], size[1])
		g.u.draw()
		viewGolden(t, "attention", g.u.grid)
	}
	for _, c := range []struct{ keys, asks, says string }{
		{"t", "", "Retry run R0001271 of site11-sync?"},
		{"t y", "retry 01KJ00000000000000R0001271", "retry R0001271: asked"},
		{"t n", "", "1 of 4"},
		{"t enter", "", "1 of 4"},
		{"a", "ack failed:site11-sync:push", "acknowledge site11-sync push: asked"},
		{"j j z", "ack agent:edge-09", "snooze edge-09: asked"},
		{"j t", "", "no run is selected"},
		{"j", "", "did you mean"},
		{"G", "", "a newer run has succeeded since"},
		{"G", "", ">  + recovered site07-backup dump"},
		{"", "", "   # file      site21-import"},
		{"", "", "   ? agent     edge-09"},
	} {
		g := open(80, 24)
		g.keys(c.keys)
		if got := g.asked(); got != c.asks {
			t.Errorf("%s asks %q, want %q", c.keys, got, c.asks)
		}
		g.shows(c.says)
	}
	for keys, want := range map[string]string{"r": "", "r n": "", "r y": "run site11-sync"} {
		g := open(80, 24)
		press, answer, _ := strings.Cut(keys, " ")
		g.keys(press)
		g.reply("show", &Reply{Spec: &Workflow{ID: "site11-sync"}})
		g.shows("Run site11-sync again?")
		g.keys(answer)
		if got := g.asked(); got != want {
			t.Errorf("%s asks %q, want %q", keys, got, want)
		}
	}
	for _, c := range []struct { // in the colours of `cdktr attention`
		item AttentionItem
		want termStyle
	}{{AttentionItem{Kind: attentionFolder}, styleRed | styleBold}, {AttentionItem{Kind: attentionFolder,
		Workflows: []string{"w"}}, styleYellow}, {AttentionItem{Kind: attentionOld}, styleYellow}} {
		if what, _ := tuiAttentionWhat(&c.item); what.style != c.want {
			t.Errorf("%+v: style %x", c.item, what.style)
		}
	}
	g := open(80, 24)
	g.reply("attention", &Reply{Items: []AttentionItem{{Key: "late:a", Kind: attentionOverdue, Workflow: "a",
		Reason: "its fire is not decided", Count: 1}}})
	g.shows(">  . overdue   a ")
	none := 0
	g.reply("watch", &Reply{Attention: &none})
	g.reply("attention", &Reply{})
	g.shows("nothing needs attention")
}

// TestTuiLog follows output, goes back beyond what it holds, and clears a search before it leaves.
func TestTuiLog(t *testing.T) {
	g := tuiRigOpen(t, 80, 24, tuiFixture())
	g.keys("2 l")
	line := func(n int64) *LogLine {
		return &LogLine{Time: tuiStamp("2026-03-04 12:02:17"), Run: "r", N: n, Task: "dump", Attempt: 1, Stream: "o",
			Text: fmt.Sprintf("line %d", n)}
	}
	send := func(from, to int64) {
		for n := from; n <= to; n++ {
			g.reply("logs", &Reply{More: true, Line: line(n)})
		}
	}
	send(2001, 2100)
	g.shows("FOLLOW", "line 2100")
	g.keys("g")
	g.shows("line 2001")
	if last := g.sent[len(g.sent)-1]; last.Op != "logs" || last.Before != 2001 || last.Follow {
		t.Fatalf("at the top of what is held it asks %+v", last)
	}
	send(1951, 2000)
	g.reply("logs", &Reply{})
	g.keys("k k k")
	g.shows("line 1998", "line 2001")
	g.keys("/ text:line space text:2050 enter")
	g.shows("match 1 of 1", "line 2050")
	g.keys("esc")
	if g.u.screen().name() != "log" {
		t.Fatal("esc leaves before it clears the search")
	}
	g.keys("& text:2077 enter")
	if screen := g.screen(); !strings.Contains(screen, "line 2077") || strings.Contains(screen, "line 2076") {
		t.Errorf("& shows more:\n%s", screen)
	}
	g.keys("esc esc")
	if g.u.screen().name() != "runs" {
		t.Error("esc does not leave")
	}
	g.keys("? alt-3") // as esc and 3 come when they are typed fast
	if g.u.over != nil || g.u.screen().name() != "agents" {
		t.Errorf("esc and 3 lead to %s, %v", g.u.screen().name(), g.u.over)
	}
}

// TestTuiSource writes every example out as YAML that says the same again.
func TestTuiSource(t *testing.T) {
	files, err := filepath.Glob("examples/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	odd := &Workflow{ID: "odd", Name: "yes", Description: "a: b # c", Timezone: "1:30",
		Env: map[string]string{"A": "", "B": " x", "C": "- y", "D": "1e3", "E": "null", "F": "two\nlines",
			"G": "ends\n", "H": "bell\a", "I": "'", "J": "\n\nk\n\n", "K": "~", "true": "0x10"},
		Tasks: []Task{{ID: "a", Run: "echo one\n  echo two\n"}, {ID: "b", Cmd: "x",
			Args: []string{"", "-", "a b", "{}", "[x]"}}}}
	specs := []*Workflow{odd}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		spec, faults := workflowParse(file, "x", text)
		if spec == nil {
			t.Fatal(faults)
		}
		specs = append(specs, spec)
	}
	for _, spec := range specs {
		defaults := map[string]string{"env": "defaults.yml", "env.F": "a/defaults.yml", "tasks": "b", "log": "c"}
		text, err := tuiSourceYAML(spec, defaults)
		if err != nil {
			t.Fatal(err)
		}
		var want, got yaml.Node
		if err := errors.Join(yaml.Unmarshal(protoEncode(spec), &want),
			yaml.Unmarshal([]byte(text), &got)); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if want, got := tuiTestYAML(&want), tuiTestYAML(&got); want != got {
			t.Errorf("%s is written as\n%s\nwhich is %v, not %v", spec.ID, text, got, want)
		}
	}
}

// tuiTestYAML writes what a node says, whatever its style.
func tuiTestYAML(n *yaml.Node) string {
	parts := make([]string, len(n.Content))
	for i, child := range n.Content {
		parts[i] = tuiTestYAML(child)
	}
	if n.Kind == yaml.MappingNode { // in whatever order
		for i := 0; i+1 < len(parts); i += 2 {
			parts[i/2] = parts[i] + ": " + parts[i+1]
		}
		parts = parts[:len(parts)/2]
		slices.Sort(parts)
	}
	return fmt.Sprintf("%s %q %q", n.Tag, n.Value, parts)
}

// TestTuiQuit leaves by each key and command that there is for it.
func TestTuiQuit(t *testing.T) {
	for _, keys := range []string{"q", ": text:q enter", ": text:quit enter", "^\\", "^C ^C", "1 enter q", "? ^\\"} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.keys(keys)
		if !g.u.quit || g.u.exit != nil {
			t.Errorf("%s does not quit: %q, %v", keys, g.u.flash, g.u.exit)
		}
	}
}

// TestTuiStops ends each stream that a screen began when the screen is left, by the id of its request, and no other.
func TestTuiStops(t *testing.T) {
	for _, c := range []struct{ keys, op string }{{"2 enter esc", "logs"}, {"2 l esc", "logs"}, {"4 1", "events"}} {
		g := tuiRigOpen(t, 80, 24, tuiFixture())
		g.keys(c.keys)
		var began, stopped []string
		for _, req := range g.sent {
			switch req.Op {
			case c.op:
				began = append(began, req.ID)
			case "stop":
				stopped = append(stopped, req.Of)
			}
		}
		if len(began) != 1 || !slices.Equal(began, stopped) {
			t.Errorf("%s: streams %v began, %v were stopped", c.keys, began, stopped)
		}
	}
}
