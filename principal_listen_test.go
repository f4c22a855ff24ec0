package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listenTestOpen begins a principal with a workflow that listens so, and gives its listener.
func listenTestOpen(t *testing.T, on Listener) (*principalRig, *listening) {
	t.Helper()
	g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", On: []Listener{on}}))
	l, ok := principalAsk(g.p, func() *listening { return g.p.listeners.all["w"][0] })
	if !ok {
		t.Fatal("the principal has ended")
	}
	listenTestBegin(g)
	return g, l
}

// listenTestBegin has the listeners to files of w look for the first time; nothing is there.
func listenTestBegin(g *principalRig) {
	all, _ := principalAsk(g.p, func() []*listening { return slices.Clone(g.p.listeners.all["w"]) })
	for _, l := range all {
		if l.File != nil {
			listenTold(g.p.listeners, l).began(nil, g.p.cfg.now())
		}
	}
}

// listenTestEvents gives the events of the runs of w, the oldest first.
func listenTestEvents(g *principalRig) (events []string) {
	for _, r := range g.ask(Request{Op: "ps", Workflow: "w", All: true, N: protoCountOf(500)}).Runs {
		events = append(events, r.Event.String())
	}
	slices.Reverse(events)
	return events
}

// A listener fires as often as its rate says: files wait for their turn, lines are dropped and counted.
func TestListenRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}, Rate: 3})
		var events []listenEvent
		for i := range 7 {
			events = append(events, listenEvent{EventSeen: EventSeen{Key: fmt.Sprint("/nowhere/", i),
				At: stampOf(time.Now().Add(time.Second))}})
		}
		listenTold(g.p.listeners, o).came(events, 0)
		listenTold(g.p.listeners, o).came(events[:2], 0) // told twice
		synctest.Wait()
		if got := listenTestEvents(g); len(got) != 3 || got[0] != "file /nowhere/0" {
			t.Errorf("at once: %q", got)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := listenTestEvents(g); len(got) != 4 {
			t.Errorf("after 20 s: %q", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := listenTestEvents(g); len(got) != 7 || got[6] != "file /nowhere/6" {
			t.Errorf("in the end: %q", got)
		}
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{Command: &ListenCommand{Run: "x"}, Rate: 2})
		var events []listenEvent
		for i := range 5 {
			events = append(events, listenEvent{line: fmt.Sprint("line ", i)})
		}
		listenTold(g.p.listeners, o).came(events, 7)
		synctest.Wait()
		if got, want := listenTestEvents(g), "line line 0|line line 1"; strings.Join(got, "|") != want {
			t.Errorf("%q, want %s", got, want)
		}
		if info := g.ask(Request{Op: "ls", Pattern: "w"}).Workflows[0].Listeners[0]; info.Dropped != 10 ||
			info.Fired != 2 {
			t.Errorf("%+v", info)
		}
		g.stop()
	})
}

// An event that no run can be made of is on record, and does not come back.
func TestListenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := principalTask(Workflow{ID: "w", On: []Listener{{File: &ListenFile{Path: "/nowhere/*"}}},
			Params: map[string]Param{"x": {Required: true}}})
		g := principalRigOpen(t, t.TempDir(), spec)
		event := []listenEvent{{EventSeen: EventSeen{Key: "/nowhere/a", At: stampOf(time.Now().Add(time.Second))}}}
		tell := func() {
			o, _ := principalAsk(g.p, func() *listening { return g.p.listeners.all["w"][0] })
			listenTestBegin(g)
			listenTold(g.p.listeners, o).came(event, 0)
			synctest.Wait()
		}
		tell()
		want := "00:00 skipped file /nowhere/a: parameter x is missing: give it with -p x=VALUE"
		if got := g.decisions("w"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		g.stop()
		g.start(spec)
		tell()
		if got := g.decisions("w"); got != want {
			t.Errorf("after a restart: %s, want %s", got, want)
		}
		g.stop()
	})
}

// What is known of a listener has a bound; beyond it the time alone says what is new.
func TestListenSeen(t *testing.T) {
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(n int) EventSeen {
		return EventSeen{Key: fmt.Sprint(n), At: stampOf(epoch.Add(time.Duration(n) * time.Second)),
			Sign: fmt.Sprint(n)}
	}
	l := &Listened{Since: stampOf(epoch)}
	if l.isNew(at(0)) || l.isNew(at(-5)) || !l.isNew(at(1)) {
		t.Errorf("what came before counts: %+v", l)
	}
	const most = 2 * listenMaxSeen
	for n := 1; n <= most; n++ {
		if !l.isNew(at(n)) {
			t.Fatalf("%d is not new", n)
		}
		l.saw(at(n))
	}
	if len(l.Seen) != listenMaxSeen || !l.Since.Equal(at(most-listenMaxSeen).At.Time) {
		t.Errorf("%d are known, since %v", len(l.Seen), l.Since)
	}
	for n := 1; n <= most; n++ {
		if l.isNew(at(n)) {
			t.Errorf("%d is new", n)
		}
	}
	again := at(most)
	again.At = at(most + 1).At
	if l.isNew(again) {
		t.Error("new rights make an event")
	}
	again.Sign = "other"
	if !l.isNew(again) {
		t.Error("new content makes none")
	}
}

// A listener whose file changes begins anew, one that stays goes on, and none is left when its workflow goes.
func TestListenSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, first := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}})
		spec := principalTask(Workflow{ID: "w", Name: "new", On: []Listener{{Workflow: &ListenWorkflow{ID: "up"}},
			{File: &ListenFile{Path: "/nowhere/*"}}}})
		g.do(func() { g.p.setFiles(principalFiles(spec), nil) })
		now, _ := principalAsk(g.p, func() []*listening { return slices.Clone(g.p.listeners.all["w"]) })
		if len(now) != 2 || now[1] != first || now[1].spec != spec {
			t.Errorf("%v", now)
		}
		g.do(func() { g.p.setFiles(nil, []string{"w"}) })
		left, _ := principalAsk(g.p, func() int {
			return len(g.p.listeners.all) + len(g.p.listeners.ends["up"]) + len(g.p.listeners.wait)
		})
		if left != 0 {
			t.Errorf("%d are left", left)
		}
		g.stop()
	})
}

// TestListenFaults: what a file may get wrong about listeners, each with its place.
func TestListenFaults(t *testing.T) {
	const tasks = "tasks: {a: {run: x}}\n"
	workflowTestFaults(t, []workflowFaultCase{
		{"nothing", "on: [{rate: 5}]\n" + tasks,
			"w.yml:1:6: on: nothing says what it listens to: write file, workflow or command"},
		{"two", "on: {file: {path: /a/*}, command: {run: x}}\n" + tasks,
			"w.yml:1:5: on: it listens to more than one thing: write a listener for each"},
		{"paths", "on:\n  - file: {path: a/*.csv}\n  - file: {path: /a/*/b}\n  - file: {path: /a/}\n  - file: " +
			"{path: '/a/[b'}\n" +
			"  - file: {}\n" + tasks,
			"w.yml:2:18: on: file: path: want a full path such as /data/in/*.csv, not \"a/*.csv\"\n" +
				"w.yml:3:18: on: file: path: only the last part may be a pattern, and \"/a/*/b\" has one before it: " +
				"write a " +
				"listener for each folder\n" +
				"w.yml:4:18: on: file: path: \"/a/\" is a folder: write /a/*\n" +
				"w.yml:5:18: on: file: path: \"[b\" is no pattern: [ is not closed, or \\ is at the end\n" +
				"w.yml:6:11: on: file: path is missing"},
		{"own", "on: {workflow: {id: w}}\n" + tasks,
			"w.yml:1:5: on: the workflow would listen to itself: each run would fire the next one"},
		{"match", "on: {command: {run: x, match: '('}, debounce: 2h}\n" + tasks,
			"w.yml:1:31: on: command: match: \"(\" is not a regular expression: missing closing ): `(`\n" +
				"w.yml:1:47: on: debounce: want more than 0 and at most 1h, not \"2h\""},
		{"twice", "on: [{workflow: {id: a}}, {workflow: {id: a, state: succeeded}}]\n" + tasks,
			"w.yml:1:27: on: \"workflow a succeeded\" is there twice"},
		{"github", "on: push\n" + tasks,
			"w.yml:1:5: on: want a map such as {file: {path: \"/data/in/*.csv\"}}, not \"push\": nothing follows a " +
				"repository by itself: its hook says " +
				"cdktr run ID -p branch=main"},
	})
}

// listenTestEvent makes the event of a file, so many seconds from now.
func listenTestEvent(name string, seconds int) listenEvent {
	return listenEvent{EventSeen: EventSeen{Key: name,
		At: stampOf(time.Now().Add(time.Duration(seconds) * time.Second))}}
}

// What comes when the turn has looked for events already does not wait for another turn to come by itself. An event
// that comes again goes behind those that came before it, as its time does.
func TestListenTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}})
		g.do(func() {
			l, now := g.p.listeners, g.p.cfg.now()
			if wait := l.until(now, time.Hour); wait != time.Hour {
				t.Errorf("without an event the loop wakes after %v", wait)
			}
			for i, name := range []string{"a", "b", "a"} {
				l.came(o, listenTestEvent(name, i+1))
			}
			if wait := l.until(now, time.Hour); wait != 0 {
				t.Errorf("with an event it sleeps for %v", wait)
			}
		})
		if got := strings.Join(listenTestEvents(g), "|"); got != "file b|file a" {
			t.Errorf("%s", got)
		}
		g.stop()
	})
}

// What did not fit among those that wait is looked for again once they have fired.
func TestListenMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}, Debounce: Duration(time.Second)})
		again := 0
		g.do(func() {
			o.more = func() { again++ }
			for i := range listenMaxWaiting + 2 {
				g.p.listeners.came(o, listenTestEvent(fmt.Sprint(i), 1))
			}
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if events := listenTestEvents(g); len(events) != listenMaxWaiting/listenMaxJoined || again != 1 ||
			o.dropped != 2 {
			t.Errorf("%d fires, %d dropped, looked for again %d times", len(events), o.dropped, again)
		}
		g.do(func() {
			for i := range 4 { // a run that is for all of them would fit into no message
				g.p.listeners.came(o, listenTestEvent(fmt.Sprint(i, strings.Repeat("x", listenMaxPaths/3)), 2))
			}
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if now := len(listenTestEvents(g)); now != listenMaxWaiting/listenMaxJoined+2 {
			t.Errorf("%d fires", now)
		}
		g.stop()
	})
}

// Of lines that wait for a debounce the newest is kept, and none while the workflow is paused.
func TestListenLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{Command: &ListenCommand{Run: "x"}, Debounce: Duration(time.Second)})
		come := func() {
			g.do(func() {
				for i := range 3 {
					g.p.listeners.came(o, listenEvent{line: fmt.Sprint(i)})
				}
				if o.waiting[0].line != "" || o.waiting[2].line != "2" {
					t.Errorf("%+v", o.waiting)
				}
			})
		}
		come()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		g.ask(Request{Op: "pause", Workflow: "w"})
		come()
		if o.dropped != 3 || len(o.waiting) != 0 {
			t.Errorf("%d dropped, %d wait", o.dropped, len(o.waiting))
		}
		g.ask(Request{Op: "resume", Workflow: "w"})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := strings.Join(listenTestEvents(g), "|"); got != "line 2 and 2 more" {
			t.Errorf("%s", got)
		}
		g.stop()
	})
}

// A flood of events leaves places in the queue for schedules and operators, and waits.
func TestListenQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}})
		g.do(func() {
			most := principalMaxQueued - sharesQueueOwn - sharesQueueOperators
			for range most - 1 {
				if _, refused := g.p.enqueue(o.spec, runOrder{trigger: triggerManual}); refused != nil {
					t.Error(refused)
					return
				}
			}
			for i := range 3 {
				g.p.listeners.came(o, listenTestEvent(fmt.Sprint(i), 1))
			}
			g.p.listeners.fireDue(g.p.cfg.now())
			if len(g.p.queue.runs) != most || len(o.waiting) != 2 || !strings.Contains(o.unfit,
				"are queued already") {
				t.Errorf("%d are queued, %d wait: %s", len(g.p.queue.runs), len(o.waiting), o.unfit)
			}
			if _, refused := g.p.enqueue(o.spec, runOrder{trigger: triggerCron}); refused != nil {
				t.Error(refused)
			}
		})
		g.cancel() // stop would look through all of them
		g.group.Wait()
	})
}

// Two workflows that fire each other through a run which a task starts are found as two that listen to each other are.
func TestListenDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{Workflow: &ListenWorkflow{ID: "child"}})
		g.do(func() {
			g.p.state.Runs["A"] = &Run{ID: "A", Workflow: "w", State: runRunning,
				Event: &RunEvent{Depth: listenMaxDepth}}
			r := &Run{ID: "B", Workflow: "child", Parent: "A", State: runSucceeded, Attempt: 1,
				Finished: stampOf(time.Now().Add(time.Second))}
			g.p.listeners.endOf(o, r, g.p.state.Seq+1)
			delete(g.p.state.Runs, "A")
			if len(o.waiting) != 1 || o.waiting[0].depth != listenMaxDepth+1 {
				t.Errorf("%+v", o.waiting)
			}
			o.waiting = nil
		})
		g.stop()
	})
}

// Nothing is listened to before the clock is right: its times say what is new.
func TestListenHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir())
		g.stop()
		p, err := principalOpen(g.cfg)
		if err != nil {
			t.Fatal(err)
		}
		p.timetable.held, p.listeners.run = true, func(func()) {}
		p.setFiles(principalFiles(principalTask(Workflow{ID: "w",
			On: []Listener{{File: &ListenFile{Path: "/nowhere/*"}}}})),
			nil)
		p.timetable.whenInForce(func() { p.listeners.begin(t.Context()) })
		before := len(p.listeners.all)
		p.timetable.begin()
		if before != 0 || len(p.listeners.all) != 1 {
			t.Errorf("%d listeners before, %d after", before, len(p.listeners.all))
		}
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Neither ticks nor events push out all decisions about the others.
func TestListenDecisions(t *testing.T) {
	w := &WorkflowState{}
	count := func() (events int) {
		for _, d := range w.Decisions {
			if d.Event {
				events++
			}
		}
		return events
	}
	for _, events := range []bool{false, true, false} {
		for range 3 * stateMaxDecisions {
			w.decided(Decision{Event: events})
		}
		if all := len(w.Decisions); all != stateMaxDecisions || count() != 0 && count() != stateMaxDecisions/2 {
			t.Errorf("%d decisions, %d of events", all, count())
		}
	}
	if count() != stateMaxDecisions/2 {
		t.Errorf("%d decisions of events", count())
	}
}

// A folder through which many files go is heard of for ever, also where the system tells of no file that goes. A name
// that no message can have is told of.
func TestListenFolder(t *testing.T) {
	dir, trouble := t.TempDir(), ""
	f := listenFilesNew(&ListenFile{Path: dir + "/*"}, false, listenTeller{came: func([]listenEvent, int) {},
		trouble: func(text string, _ bool) { trouble = text }})
	f.settle = 0
	for i := range 3 {
		name := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f.look(t.Context())
		f.settled(t.Context())
		if len(f.known) != 1 || trouble != "" {
			t.Errorf("%d files are known: %s", len(f.known), trouble)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/\xff", nil, 0o600); err != nil {
		return // this file system has no such names
	}
	f.look(t.Context())
	if len(f.fresh) != 0 || !strings.Contains(trouble, `/\xff" is not UTF-8`) {
		t.Errorf("%d files are fresh: %s", len(f.fresh), trouble)
	}
}

// However often a file names another folder, no more is known of its listeners than a few of them need.
func TestListenKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}})
		for i := range 2 * listenMaxKnown {
			spec := principalTask(Workflow{ID: "w", On: []Listener{{File: &ListenFile{Path: "/nowhere/*"}},
				{File: &ListenFile{Path: fmt.Sprint("/nowhere/", i)}}}})
			g.do(func() { g.p.setFiles(principalFiles(spec), nil) })
			listenTestBegin(g)
			g.do(func() {})
			known := g.p.state.Workflows["w"].Listens
			if len(known) > listenMaxKnown || known["file /nowhere/*"] == nil || known[spec.On[1].key()] == nil {
				t.Fatalf("after %d: %d are known", i, len(known))
			}
		}
		g.stop()
	})
}

// A flood of lines is left to wait in its pipe for a while, again and again.
func TestListenFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := listenLinesNew(&ListenCommand{Run: "x"}, listenTeller{}, nil)
		began := time.Now()
		c.read(t.Context(), strings.NewReader(strings.Repeat("x\n", listenMaxLines+5*listenFlood)))
		if took := time.Since(began); took != 5*listenFloodRest || c.dropped != 5*listenFlood {
			t.Errorf("%d lines were dropped in %v", c.dropped, took)
		}
	})
}

// listenTestFolder is a listener to the files of a folder, driven by hand, with what it told.
type listenTestFolder struct {
	t     *testing.T
	f     *listenFiles
	dir   string
	state *Listened
	told  []string // what was told of and is new
	text  string   // the trouble
}

// listenTestFolderOpen makes one for a folder; as a principal does that is started anew when the state has something.
func listenTestFolderOpen(t *testing.T, dir string, state *Listened) *listenTestFolder {
	x := &listenTestFolder{t: t, dir: dir, state: state}
	x.f = listenFilesNew(&ListenFile{Path: dir + "/*"}, state == nil, listenTeller{
		began: func(there []EventSeen, since time.Time) { x.state = &Listened{Since: stampOf(since), Seen: there} },
		came: func(events []listenEvent, _ int) {
			for _, e := range events {
				if e.live || x.state.isNew(e.EventSeen) {
					x.state.saw(e.EventSeen)
					x.told = append(x.told, strings.TrimPrefix(e.Key, dir+"/"))
				}
			}
		},
		trouble: func(text string, _ bool) { x.text = text }})
	x.f.settle = 0
	return x
}

// put writes a file whose content is from that time.
func (x *listenTestFolder) put(name, text string, modified time.Time) {
	x.t.Helper()
	path := x.dir + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	if err := os.Chtimes(path, modified, modified); err != nil {
		x.t.Fatal(err)
	}
}

// tells has it look, and compares what it tells of with what it should.
func (x *listenTestFolder) tells(want ...string) {
	x.t.Helper()
	x.told = nil
	x.f.look(x.t.Context())
	x.f.settled(x.t.Context())
	slices.Sort(x.told)
	if !slices.Equal(x.told, want) {
		x.t.Errorf("told of %q, want %q (%+v)", x.told, want, x.state)
	}
}

// Whatever the clock of a file system says, and however old or young files are, what was there before the listener does
// not count, what comes is told of once, and what comes while nobody looks is told of by the next who does.
func TestListenClocks(t *testing.T) {
	old, young := time.Unix(0, 0), time.Now().AddDate(100, 0, 0)
	dir := t.TempDir()
	x := listenTestFolderOpen(t, dir, nil)
	x.put("before", "x", old)
	x.put("before2", "x", young)
	x.tells()
	// As if that file system was a day ahead of us when all this was, and a day behind from now on.
	ahead := stampOf(time.Now().AddDate(0, 0, 1))
	for i := range x.state.Seen {
		x.state.Seen[i].At = ahead
	}
	x.state.Since = ahead
	x.put("old", "x", old)
	x.put("young", "x", young)
	x.tells("old", "young")
	x.tells()
	x.put("old", "other", old)
	x.tells("old")
	x.f.forget()
	x.tells()

	// And a day behind us when it began.
	dir = t.TempDir()
	x = listenTestFolderOpen(t, dir, nil)
	x.put("before", "x", young)
	x.tells()
	x.put("a", "x", old)
	x.tells("a")
	if x.state.Since.After(time.Now().Add(-time.Hour)) {
		t.Errorf("our clock says what counts in a folder that has one of its own: %+v", x.state)
	}
	x = listenTestFolderOpen(t, dir, x.state)
	x.put("b", "x", old)
	x.tells("b")
	x.tells()

	// A folder that is missing, and comes with what is to be worked on.
	x = listenTestFolderOpen(t, dir+"/in", nil)
	x.tells()
	if x.text != "there is no folder "+dir+"/in" {
		t.Errorf("trouble: %q", x.text)
	}
	if err := os.Mkdir(dir+"/in", 0o700); err != nil {
		t.Fatal(err)
	}
	x.pass()
	x.put("c", "x", old)
	x.tells("c")
}

// Of many files of one instant each fires once, also when the principal is started anew in the midst of them.
func TestListenInstant(t *testing.T) {
	at := stampOf(time.Now())
	var events []EventSeen
	for i := range 2 * listenMaxSeen {
		events = append(events, EventSeen{Key: fmt.Sprintf("f%04d", i), At: at, Sign: "s"})
	}
	l := &Listened{}
	const dealt = listenMaxSeen + 44
	for _, e := range events[:dealt] {
		l.saw(e)
	}
	for i, e := range events {
		if l.isNew(e) != (i >= dealt) {
			t.Fatalf("%d of %d: new is %v", i, dealt, l.isNew(e))
		}
	}
}

// pass waits until the file system's clock, which moves in steps, has moved on: what is made from then on is new.
func (x *listenTestFolder) pass() {
	x.t.Helper()
	probe := x.t.TempDir() + "/probe"
	stamp := func() time.Time {
		if err := os.WriteFile(probe, []byte("x"), 0o600); err != nil {
			x.t.Fatal(err)
		}
		info, err := os.Stat(probe)
		if err != nil {
			x.t.Fatal(err)
		}
		return info.ModTime()
	}
	for first := stamp(); stamp().Sub(first) < 10*time.Millisecond; {
		runtime.Gosched()
	}
}

// A folder with more files than the state can know has its begin all the same.
func TestListenMany(t *testing.T) {
	x := listenTestFolderOpen(t, t.TempDir(), nil)
	for i := range listenMaxSeen + 50 {
		x.put(fmt.Sprint("f", i), "x", time.Now())
	}
	x.tells()
	if len(x.state.Seen) != listenMaxSeen || x.state.Since.IsZero() {
		t.Errorf("%d are known by name, since %v", len(x.state.Seen), x.state.Since)
	}
	x = listenTestFolderOpen(t, x.dir, x.state)
	x.pass()
	x.put("new", "x", time.Unix(0, 0))
	x.tells("new")
}

// What was mounted there and is mounted again is not told of anew.
func TestListenMounted(t *testing.T) {
	dir := t.TempDir() + "/in"
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(os.Mkdir(dir, 0o700))
	x := listenTestFolderOpen(t, dir, nil)
	x.put("a", "x", time.Now())
	x.tells()
	ok(os.Rename(dir, dir+".away"))
	ok(os.Mkdir(dir, 0o700))
	x.tells()
	ok(os.Remove(dir))
	ok(os.Rename(dir+".away", dir))
	x.tells()
	x.pass()
	x.put("b", "x", time.Now())
	x.tells("b")
}

// The end of a run counts by when the principal heard of it: the clock of its agent says nothing, nor does a way that
// took long. An id may have spaces.
func TestListenRunClock(t *testing.T) {
	for _, workflow := range []string{"up", "once a day"} {
		synctest.Test(t, func(t *testing.T) { listenTestRunClock(t, workflow) })
	}
}

func listenTestRunClock(t *testing.T, workflow string) {
	g, o := listenTestOpen(t, Listener{Workflow: &ListenWorkflow{ID: workflow}, Debounce: Duration(time.Minute)})
	g.do(func() {
		l, s := g.p.listeners, g.p.state
		up := &Workflow{ID: workflow, Tasks: []Task{{ID: "a"}}}
		for i, ended := range []time.Duration{-time.Hour, time.Hour, -2 * time.Hour} {
			id := fmt.Sprint("R", i)
			l.emit(&Event{Kind: evVersion, Workflow: workflow, Version: "v", Spec: up})
			l.emit(&Event{Kind: evQueued, Run: id, Workflow: workflow, Version: "v"})
			l.emit(&Event{Kind: evRunEnded, Run: id, Workflow: workflow, State: runSucceeded,
				Time: stampOf(time.Now().Add(ended))})
			if len(o.waiting) != i+1 {
				t.Errorf("after run %d: %+v", i, o.waiting)
			}
		}
		seen := o.waiting[0].EventSeen
		l.emit(&Event{Kind: evEventSkipped, Workflow: "w", Event: &RunEvent{Listener: o.key},
			Seen: []EventSeen{seen}})
		o.waiting, o.queued = nil, map[string]bool{}
		o.more()
		if len(o.waiting) != 2 || o.waiting[0].run != "R1" || o.waiting[1].run != "R2" {
			t.Errorf("after a start: %+v", o.waiting)
		}
		l.emit(&Event{Kind: evArchived, Run: "R1", Workflow: workflow})
		if ends := s.Workflows[workflow].Ends; len(ends) != 2 || ends[1].Run != "R2" {
			t.Errorf("%+v", ends)
		}
		o.waiting, o.queued = nil, map[string]bool{}
	})
	g.stop()
}

// However many runs are known, a listener looks at those of its workflow alone when it begins.
func TestListenOpenFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{Workflow: &ListenWorkflow{ID: "up"}})
		g.do(func() {
			l := g.p.listeners
			for i := range 500 {
				r := &Run{ID: fmt.Sprint("R", i), Workflow: "other", State: runSucceeded}
				g.p.state.Runs[r.ID] = r
				l.observe(change{event: &Event{Seq: uint64(i) + 1000}, run: r, before: runRunning})
			}
			allocs := testing.AllocsPerRun(10, o.more)
			if allocs > 0 || len(o.waiting) > 0 {
				t.Errorf("%.0f allocations, %d wait", allocs, len(o.waiting))
			}
			clear(g.p.state.Runs)
		})
		g.stop()
	})
}
