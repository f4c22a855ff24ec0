package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// principalRig is a real principal in a synctest bubble, with its loop running, and what it logs.
type principalRig struct {
	t      *testing.T
	p      *principal
	dir    string
	cfg    principalConfig
	cancel context.CancelFunc
	group  sync.WaitGroup
	log    *principalLog
	asked  int
	ends   []wireConn
}

// principalLog keeps the log of a principal or an agent for the test that failed, and to be searched.
type principalLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *principalLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *principalLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// principalRigOpen starts a principal on a folder. Only in a bubble; stop must be called.
func principalRigOpen(t *testing.T, dir string, workflows ...*Workflow) *principalRig {
	t.Helper()
	g := &principalRig{t: t, dir: dir, log: &principalLog{}}
	g.cfg = principalConfig{dialect: compatNew, StateDir: dir, NoSync: true, Zone: time.UTC,
		Log: slog.New(slog.NewTextHandler(g.log, nil))}
	g.start(workflows...)
	return g
}

func (g *principalRig) start(workflows ...*Workflow) {
	g.t.Helper()
	p, err := principalOpen(g.cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.p = p
	p.listeners.run = func(func()) {} // files and processes are none of a bubble's
	p.setFiles(principalFiles(workflows...), nil)
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.group.Go(func() {
		if err := p.runPrincipal(ctx); err != nil {
			g.t.Errorf("the principal ended: %v", err)
		}
	})
	synctest.Wait()
}

func principalFiles(workflows ...*Workflow) []workflowFile {
	var files []workflowFile
	for _, w := range workflows {
		days, err := schedDaysOf(w, calendarTestNone)
		if err != nil {
			panic(err)
		}
		files = append(files, workflowFile{ID: w.ID, File: w.ID + ".yml", Spec: w, Days: days})
	}
	return files
}

// stop ends the principal as TERM does, and looks at what it leaves: the state on disk is the one it had.
func (g *principalRig) stop() {
	g.t.Helper()
	g.cancel()
	<-g.p.ended
	for _, end := range g.ends {
		end.Close()
	}
	g.group.Wait()
	g.ends = nil
	if strings.Contains(g.log.String(), "internal error") {
		g.t.Errorf("logged:\n%s", g.log)
	}
	held := g.p.state
	s, found, _, err := storeOpen(storeOptions{Dir: g.dir, NoSync: true})
	if err != nil {
		g.t.Fatal(err)
	}
	s.close()
	for _, state := range []*State{held, found} {
		state.prune(time.Now())
		for _, a := range state.Agents { // what only the connection says is not in the journal
			a.N, a.Seen = 0, Stamp{}
		}
	}
	if one, two := storeText(g.t, held), storeText(g.t, found); !bytes.Equal(one, two) {
		g.t.Errorf("the journal folds to another state:\n%s\n%s", one, two)
	}
}

// do runs fn on the loop and waits for it.
func (g *principalRig) do(fn func()) {
	g.t.Helper()
	done := make(chan bool)
	if !g.p.call(func() { fn(); close(done) }) {
		g.t.Fatal("the principal has stopped")
	}
	<-done
	synctest.Wait()
}

// connect gives one end of a connection that the principal serves.
func (g *principalRig) connect() wireConn {
	ours, near := wirePipe()
	theirs := farConn{near} // agents on it can go silent
	g.group.Go(func() { g.p.runPeer(theirs) })
	g.ends = append(g.ends, ours)
	return ours
}

// ask sends a request on a connection of its own and gives the last reply.
func (g *principalRig) ask(req Request) *Reply {
	g.t.Helper()
	conn := g.connect()
	defer conn.Close()
	g.asked++
	req.V, req.ID = protoVersion, fmt.Sprint(g.asked)
	if err := conn.Send([]byte{}, protoEncode(req)); err != nil {
		g.t.Fatal(err)
	}
	for {
		frames, err := conn.Recv()
		if err != nil {
			g.t.Fatalf("%s: no reply: %v", req.Op, err)
		}
		r := &Reply{}
		if _, body, err := protoSplit(frames); err != nil || json.Unmarshal(body, r) != nil || r.ID != req.ID {
			g.t.Fatalf("%s: reply %q: %v", req.Op, frames, err)
		}
		if !r.More {
			synctest.Wait()
			return r
		}
	}
}

// run queues a run and gives its id.
func (g *principalRig) run(workflow string) string {
	g.t.Helper()
	r := g.ask(Request{Op: "run", Workflow: workflow})
	if !r.OK || r.Run == "" {
		g.t.Fatalf("run %s: %+v", workflow, r.Error)
	}
	return r.Run
}

// show gives a run as it is.
func (g *principalRig) show(id string) *Run {
	g.t.Helper()
	r := g.ask(Request{Op: "show", Run: id})
	if !r.OK || len(r.Runs) != 1 {
		g.t.Fatalf("show %s: %+v", id, r.Error)
	}
	return r.Runs[0]
}

// expect holds a run to a state and a part of its reason.
func (g *principalRig) expect(id, state, reason string) {
	g.t.Helper()
	if r := g.show(id); r.State != state || !strings.Contains(r.Reason, reason) {
		g.t.Errorf("run %s is %s (%s), want %s (%s)", id, r.State, r.Reason, state, reason)
	}
}

// kinds lists the kinds of all events in the journal, with the reasons of those that have one.
func (g *principalRig) kinds() string {
	g.t.Helper()
	var kinds []string
	if _, err := g.p.store.readEvents(1, 10_000, func(e *Event) bool {
		kinds = append(kinds, e.Kind)
		return true
	}); err != nil {
		g.t.Fatal(err)
	}
	return strings.Join(kinds, " ")
}

func principalTask(w Workflow) *Workflow {
	w.Tasks = append(w.Tasks, Task{ID: "a", Run: "true"})
	return &w
}

// decisions gives what `why` says, in short.
func (g *principalRig) decisions(workflow string) string {
	g.t.Helper()
	r := g.ask(Request{Op: "why", Workflow: workflow, N: 50})
	var parts []string
	for _, d := range r.Decisions {
		what := "skipped"
		if d.Fired {
			what = "fired"
		}
		parts = append(parts, strings.TrimSpace(d.At.UTC().Format("15:04 ")+what+" "+strings.ReplaceAll(d.Reason, d.Run,
			"")))
	}
	return strings.Join(parts, "\n")
}

// In a bubble the clock begins at midnight UTC on 2000-01-01.
func TestPrincipalTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "skip", Schedule: []string{"* * * * *"}}),
			principalTask(Workflow{ID: "queue", Schedule: []string{"* * * * *"}, Overlap: overlapQueue}),
			principalTask(Workflow{ID: "replace", Schedule: []string{"* * * * *"}, Overlap: overlapReplace}),
			principalTask(Workflow{ID: "allow", Schedule: []string{"* * * * *"}, Overlap: overlapAllow}),
			principalTask(Workflow{ID: "boot", Schedule: []string{"@reboot"}}), principalTask(Workflow{ID: "asked"}))
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		states := map[string]string{}
		for _, r := range g.ask(Request{Op: "ps", All: true}).Runs {
			states[r.Workflow] += r.State + " "
		}
		want := map[string]string{"skip": "queued ", "queue": "queued queued queued ",
			"replace": "queued cancelled cancelled ", "allow": "queued queued queued ", "boot": "queued "}
		if !reflect.DeepEqual(states, want) {
			t.Errorf("runs: %v", states)
		}
		if got := g.decisions("skip"); !strings.HasPrefix(got, "00:01 fired\n00:02 skipped overlap: run 0") ||
			strings.Count(got, "\n") != 2 {
			t.Errorf("skip:\n%s", got)
		}
		if got := g.decisions("boot"); got != "00:00 fired" {
			t.Errorf("boot: %s", got)
		}
		if r := g.ask(Request{Op: "pause", Workflow: "allow"}); !r.OK {
			t.Error(r.Error)
		}
		g.ask(Request{Op: "pause", All: true})
		time.Sleep(time.Minute)
		if r := g.ask(Request{Op: "resume", Workflow: "allow"}); !r.OK ||
			!strings.Contains(r.Note, "all schedules are still paused by ") {
			t.Errorf("%+v", r)
		}
		g.ask(Request{Op: "resume", All: true})
		time.Sleep(time.Minute)
		got := strings.Split(g.decisions("allow"), "\n")
		if len(got) != 5 || !strings.HasPrefix(got[3], "00:04 skipped paused by ") || got[4] != "00:05 fired" {
			t.Errorf("allow: %q", got)
		}
		g.stop()
	})
}

// A day that a calendar keeps off costs one decision, and its ticks are not missed. In a bubble 2000-01-01 is a
// Saturday.
func TestPrincipalDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		workflows := []*Workflow{
			principalTask(Workflow{ID: "week", Schedule: []string{"*/10 * * * *"}, Except: []string{"sat-sun"},
				Catchup: catchupAll, Overlap: overlapAllow}),
			principalTask(Workflow{ID: "once", Schedule: []string{"0 12 * * *"}, Only: []string{"01-02"},
				Catchup: catchupAll}),
			principalTask(Workflow{ID: "start", Schedule: []string{"@start"}, Except: []string{"2000-01-01"}})}
		g := principalRigOpen(t, t.TempDir(), workflows...)
		time.Sleep(6*time.Hour + time.Minute)
		g.stop()
		time.Sleep(6 * time.Hour)
		g.start(workflows...) // on Saturday at 12:01
		fires := g.ask(Request{Op: "next", Workflow: "week", N: protoCountOf(1)}).Fires
		if len(fires) != 1 || fires[0].At.Format("Mon 15:04") != "Mon 00:00" {
			t.Errorf("next: %v", fires)
		}
		time.Sleep(36*time.Hour - time.Minute) // until Monday at 00:01
		synctest.Wait()
		if got, want := g.decisions("week"), "00:10 skipped except: sat-sun (and 142 more fires of that day)\n"+
			"12:10 skipped except: sat-sun (and 70 more fires of that day)\n"+
			"00:00 skipped except: sat-sun (and 143 more fires of that day)\n00:00 fired"; got != want {
			t.Errorf("week:\n%s\nwant\n%s", got, want)
		}
		if got, want := g.decisions("once"),
			"12:00 fired"; got != want {
			t.Errorf("once:\n%s\nwant\n%s", got, want)
		}
		if got, want := g.decisions("start"),
			"00:00 skipped except: 2000-01-01\n12:01 skipped except: 2000-01-01"; got != want {
			t.Errorf("start:\n%s\nwant\n%s", got, want)
		}
		g.stop()
	})
}

// What becomes of ticks while the principal is down, by policy. A paused schedule does not catch up.
func TestPrincipalCatchup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = "*/10 * * * *"
		workflows := []*Workflow{principalTask(Workflow{ID: "skip", Schedule: []string{every}}),
			principalTask(Workflow{ID: "once", Schedule: []string{every}, Catchup: catchupOnce}),
			principalTask(Workflow{ID: "all", Schedule: []string{every}, Catchup: catchupAll}),
			principalTask(Workflow{ID: "paused", Schedule: []string{every}, Catchup: catchupAll}),
			principalTask(Workflow{ID: "changed", Schedule: []string{every}, Catchup: catchupAll})}
		g := principalRigOpen(t, t.TempDir(), workflows...)
		g.ask(Request{Op: "pause", Workflow: "paused"})
		g.stop()
		time.Sleep(31 * time.Minute)
		workflows[4] = principalTask(Workflow{ID: "changed", Schedule: []string{"*/5 * * * *"}, Catchup: catchupAll})
		g.start(workflows...)
		counts := map[string]int{}
		for _, r := range g.ask(Request{Op: "ps"}).Runs {
			counts[r.Workflow]++
			if r.Trigger != triggerCatchup {
				t.Errorf("%s was fired by %s", r.Workflow, r.Trigger)
			}
		}
		if want := map[string]int{"once": 1, "all": 3}; !reflect.DeepEqual(counts, want) {
			t.Errorf("caught up: %v", counts)
		}
		if got := g.decisions("skip"); got != "00:30 skipped missed: the principal was down (catchup: skip)" {
			t.Errorf("skip: %s", got)
		}
		if got := g.decisions("paused"); !strings.HasPrefix(got,
			"00:30 skipped missed: the principal was down, and paused by ") {
			t.Errorf("paused: %s", got)
		}
		if got := g.decisions("changed"); got != "" {
			t.Errorf("changed: %s", got)
		}
		// Runs that make up for ticks go one after the other, though overlap skip lets one that a person starts go
		// beside.
		a := fleetAgentJoin(g, "x", 10)
		if got := len(a.assigned()); got != 2 {
			t.Errorf("%d runs were given out at once", got)
		}
		a.gone()
		g.stop()
	})
}

// A tick waits for its jitter: a restart or a changed file in between does not lose it, nor fire it twice.
func TestPrincipalJitterSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Schedule: []string{"0 * * * *"}, Jitter: Duration(50 * time.Minute)})
		g := principalRigOpen(t, t.TempDir(), w)
		jitter := g.p.timetable.sched.entries["w"].jitter
		if jitter < time.Minute {
			t.Fatalf("choose another id: its jitter is %v", jitter)
		}
		time.Sleep(time.Hour + jitter/2)
		changed := *w
		changed.Description = "changed"
		g.do(func() { g.p.setFiles(principalFiles(&changed), nil) })
		if at, ok := g.p.timetable.sched.dueOf("w"); !ok || !at.Equal(time.Date(2000, 1, 1, 1, 0, 0, 0,
			time.UTC).Add(jitter)) {
			t.Errorf("after a change it fires at %v", at)
		}
		g.stop()
		g.start(&changed)
		time.Sleep(jitter)
		if got := g.decisions("w"); got != "01:00 fired" {
			t.Errorf("decided: %s", got)
		}
		g.stop()
		g.start(&changed)
		if got := g.decisions("w"); got != "01:00 fired" {
			t.Errorf("decided after a restart: %s", got)
		}
		g.stop()
	})
}

// Requests that make no sense, and what each says.
func TestPrincipalRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "etl", Params: map[string]Param{"day": {Pattern: `\d+`, Required: true},
			"mode": {Default: "full"}}})
		g := principalRigOpen(t, t.TempDir(), w, principalTask(Workflow{ID: "plain"}))
		g.do(func() {
			g.p.setFiles([]workflowFile{{ID: "broken", File: "broken.yml",
				Faults: []workflowFault{{File: "broken.yml", Message: "no tasks"}}}}, nil)
		})
		done := g.run("plain")
		g.ask(Request{Op: "cancel", Run: done})
		for _, c := range []struct {
			req        Request
			code, text string
		}{
			{Request{Op: "rnu"}, codeUnknownOp, `did you mean "run"?`},
			{Request{Op: "zzzzzzzz"}, codeUnknownOp, `{"op":"help"} lists them`},
			{Request{Op: "run", Workflow: "elt"}, codeNotFound, `did you mean "etl"?`},
			{Request{Op: "run", Workflow: "broken"}, codeConflict, "no tasks"},
			{Request{Op: "run", Workflow: "etl"}, codeInvalid, "parameter day is missing"},
			{Request{Op: "run", Workflow: "etl", Params: map[string]string{"day": "x"}}, codeInvalid,
				"does not match the pattern"},
			{Request{Op: "run", Workflow: "etl", Params: map[string]string{"dya": "1"}}, codeInvalid,
				`did you mean "day"?`},
			{Request{Op: "run", Workflow: "plain", Params: map[string]string{"x": "1"}}, codeInvalid,
				"has no parameter"},
			{Request{Op: "show"}, codeInvalid, "needs a workflow or a run"},
			{Request{Op: "show", Workflow: "x"}, codeNotFound, "no workflow"},
			{Request{Op: "show", Run: "x"}, codeNotFound, "no run"}, {Request{Op: "wait", Run: "x"}, codeNotFound,
				"no run"},
			{Request{Op: "cancel", Run: "x"}, codeNotFound, "no run"},
			{Request{Op: "cancel", Run: done}, codeConflict, "is cancelled already"},
			{Request{Op: "retry", Run: "x"}, codeNotFound, "no run"}, {Request{Op: "pause"}, codeInvalid,
				"pause needs a workflow, or all"},
			{Request{Op: "resume"}, codeInvalid, "resume needs"}, {Request{Op: "pause", Workflow: "x"}, codeNotFound,
				"no workflow"},
			{Request{Op: "drain", Agent: "x"}, codeNotFound, "no agent"},
			{Request{Op: "forget", Agent: "x"}, codeNotFound, "no agent"},
			{Request{Op: "run"}, codeInvalid, `run needs the field "workflow"`},
			{Request{Op: "cancel"}, codeInvalid, `needs the field "run"`},
			{Request{Op: "drain"}, codeInvalid, `needs the field "agent"`},
			{Request{Op: "why"}, codeInvalid, `needs the field "workflow"`},
			{Request{Op: "run", Workflow: "plain", Key: strings.Repeat("k", opsMaxKey+1)}, codeInvalid,
				"key of 257 bytes: it may have 256"},
			{Request{Op: "logs", Workflow: "etl"}, codeNotFound, "has not run yet"},
			{Request{Op: "logs", Run: done, Grep: "("}, codeInvalid, "grep"},
			{Request{Op: "why", Workflow: "x"}, codeNotFound, "no workflow"},
			{Request{Op: "next", Workflow: "x"}, codeNotFound, "no workflow"},
		} {
			r := g.ask(c.req)
			if r.OK || r.Error == nil || r.Error.Code != c.code || !strings.Contains(r.Error.Message, c.text) {
				t.Errorf("%+v: %+v, want %s with %q", c.req, r.Error, c.code, c.text)
			}
		}
		r := g.ask(Request{Op: "run", Workflow: "etl", Params: map[string]string{"day": "5"}})
		if run := g.show(r.Run); run.Params["day"] != "5" || run.Params["mode"] != "full" || run.By == "" {
			t.Errorf("%+v", run)
		}
		g.stop()
	})
}

// show gives the version of the workflow that the run runs, not what the file says now; for a run of the history too,
// while that is known.
func TestPrincipalShowSpec(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := principalTask(Workflow{ID: "w", Description: "old"})
		g := principalRigOpen(t, t.TempDir(), old)
		first := g.run("w")
		g.ask(Request{Op: "cancel", Run: first})
		g.do(func() { g.p.setFiles(principalFiles(principalTask(Workflow{ID: "w", Description: "new"})), nil) })
		second := g.run("w")
		spec := func(run, want string) {
			t.Helper()
			r := g.ask(Request{Op: "show", Run: run})
			if !r.OK || len(r.Runs) != 1 || r.Runs[0].ID != run || (r.Spec == nil) != (want == "") || r.Spec != nil &&
				r.Spec.Description != want {
				t.Errorf("%+v, want %q", r, want)
			}
		}
		spec(first, "old")
		spec(second, "new")
		for range stateMaxFinished {
			g.ask(Request{Op: "cancel", Run: g.run("w")})
		}
		g.do(func() { g.p.state.prune(time.Now()) })
		if g.p.state.Runs[first] != nil {
			t.Fatal("the first run is in memory still")
		}
		spec(first, "")
		g.do(func() { g.p.setFiles(principalFiles(old), nil) })
		spec(first, "old")
		g.stop()
	})
}

// Overlap replace cancels active runs only when there will be a new run.
func TestPrincipalReplaceRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Overlap: overlapReplace,
			Params: map[string]Param{"day": {Required: true}}})
		g := principalRigOpen(t, t.TempDir(), w)
		one := g.ask(Request{Op: "run", Workflow: "w", Params: map[string]string{"day": "1"}}).Run
		if r := g.ask(Request{Op: "run", Workflow: "w"}); r.OK {
			t.Errorf("%+v", r)
		}
		g.expect(one, runQueued, "")
		two := g.ask(Request{Op: "run", Workflow: "w", Params: map[string]string{"day": "2"}}).Run
		g.expect(one, runCancelled, "replaced by a newer run")
		g.expect(two, runQueued, "")
		g.stop()
	})
}

func TestPrincipalKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		one := g.ask(Request{Op: "run", Workflow: "w", Key: "k"}).Run
		if two := g.ask(Request{Op: "run", Workflow: "w", Key: "k"}).Run; two != one || one == "" {
			t.Errorf("a repeat made %s beside %s", two, one)
		}
		if other := g.ask(Request{Op: "run", Workflow: "w", Key: "l"}).Run; other == one {
			t.Error("another key, but no other run")
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "w"}))
		if two := g.ask(Request{Op: "run", Workflow: "w", Key: "k"}).Run; two != one {
			t.Errorf("after a restart a repeat made %s beside %s", two, one)
		}
		time.Sleep(stateKeyLife + time.Second)
		if later := g.ask(Request{Op: "run", Workflow: "w", Key: "k"}).Run; later == one || later == "" {
			t.Errorf("a day later: %s", later)
		}
		g.stop()
	})
}

// TestPrincipalKeyParams: a key stands for one run and its parameters, with the defaults of that time.
func TestPrincipalKeyParams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := func(day string) *Workflow {
			return principalTask(Workflow{ID: "w", Params: map[string]Param{"day": {Default: day}}})
		}
		g := principalRigOpen(t, t.TempDir(), spec("1"))
		one := g.ask(Request{Op: "run", Workflow: "w", Key: "k"}).Run
		g.stop()
		g.start(spec("2")) // the file has changed: what is repeated is the request of then
		for _, c := range []struct {
			params map[string]string
			code   string
		}{{nil, ""}, {map[string]string{"day": "1"}, ""}, {map[string]string{"day": "2"}, codeConflict},
			{map[string]string{"night": "1"}, codeInvalid}} {
			r := g.ask(Request{Op: "run", Workflow: "w", Key: "k", Params: c.params})
			switch {
			case c.code == "" && (r.Error != nil || r.Run != one):
				t.Errorf("%v: %s, %v, want %s", c.params, r.Run, r.Error, one)
			case c.code != "" && (r.Error == nil || r.Error.Code != c.code):
				t.Errorf("%v: %s, %v, want %s", c.params, r.Run, r.Error, c.code)
			}
		}
		g.stop()
	})
}

func TestPrincipalQueueBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		g.do(func() {
			for range principalMaxQueued - sharesQueueOwn {
				if _, refused := g.p.enqueue(g.p.catalog.files["w"].Spec, runOrder{trigger: triggerManual,
					grant: authOwner}); refused != nil {
					t.Error(refused)
					return
				}
			}
		})
		if r := g.ask(Request{Op: "run", Workflow: "w"}); r.OK || r.Error.Code != codeBusy || !r.Error.Retry {
			t.Errorf("%+v", r.Error)
		}
		oldest := ""
		g.do(func() { oldest = g.p.queue.runs[0].ID })
		g.ask(Request{Op: "cancel", Run: oldest})
		if r := g.ask(Request{Op: "run", Workflow: "w"}); !r.OK {
			t.Errorf("with room again: %+v", r.Error)
		}
		g.stop()
	})
}

// Whoever waits for a run is told its end, or that the principal stops.
func TestPrincipalWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		id := g.run("w")
		replies := make(chan *Reply, 1)
		conn := g.connect()
		conn.Send([]byte{}, protoEncode(Request{V: protoVersion, ID: "1", Op: "wait", Run: id}))
		go func() {
			frames, err := conn.Recv()
			r := &Reply{}
			if err != nil || json.Unmarshal(frames[len(frames)-1], r) != nil {
				t.Errorf("%q: %v", frames, err)
			}
			replies <- r
		}()
		synctest.Wait()
		if len(replies) != 0 {
			t.Fatalf("answered at once: %+v", <-replies)
		}
		g.do(func() { g.p.fleet.cancelRun(g.p.state.Runs[id], "by the test", false, "", "") })
		if r := <-replies; len(r.Runs) != 1 || r.Runs[0].State != runCancelled {
			t.Errorf("%+v", r)
		}
		if r := g.ask(Request{Op: "wait", Run: id}); len(r.Runs) != 1 {
			t.Errorf("of a run that has ended: %+v", r)
		}
		g.stop()
	})
}

// The queue's order: priority, then age.
func TestPrincipalQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "low", Priority: -1}),
			principalTask(Workflow{ID: "mid"}), principalTask(Workflow{ID: "high", Priority: 5}))
		for _, w := range []string{"mid", "low", "high", "mid", "high", "low"} {
			g.run(w)
		}
		var got []string
		g.do(func() {
			for _, r := range g.p.queue.runs {
				got = append(got, r.Workflow)
			}
			if !slices.IsSortedFunc(g.p.queue.runs, func(a, b *Run) int {
				if queuedBefore(a, b) {
					return -1
				}
				return 1
			}) {
				t.Error("the queue is not in order")
			}
		})
		if want := []string{"high", "high", "mid", "mid", "low", "low"}; !slices.Equal(got, want) {
			t.Errorf("queue: %v", got)
		}
		a := fleetAgentJoin(g, "x", 6)
		got = nil
		for _, as := range a.assigned() {
			got = append(got, as.Spec.ID)
		}
		if want := []string{"high", "high", "mid", "mid", "low", "low"}; !slices.Equal(got, want) {
			t.Errorf("given out: %v", got)
		}
		a.gone()
		g.stop()
	})
}

// farConn is a connection in memory that passes for one to another process.
type farConn struct{ wireConn }

func (c farConn) Peer() wirePeer {
	peer := c.wireConn.Peer()
	peer.Transport = "ipc"
	return peer
}
