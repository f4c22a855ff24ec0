// The terminal UI of a principal with thousands of workflows: how soon a key is answered, and how much memory that
// takes.

package main

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

var (
	uiWorkflowsMany = flag.Int("ui.workflows", 2000, "how many workflows TestUIScale has")
	uiRunsMany      = flag.Int("ui.runs", 10_000, "how many runs they have had")
)

const (
	uiScaleAnswer = 50 * time.Millisecond // for a key
	uiScaleMemory = 32 << 10              // kB of its own, with uiScaleMost workflows; a third of it whatever there is
	uiScaleLooks  = 20                    // at its memory, of which the least counts
	uiScaleMost   = 10_000
	uiScaleSlack  = 10 // times as long, on a machine that is busy with other things
)

// uiScaleState makes the state of a principal whose workflows have had so many runs, the way the principal would:
// events are folded, finished runs go to the history, and in the end there is a snapshot.
func uiScaleState(x *e2e, workflows, runs int) {
	x.T.Helper()
	at := time.Now().Add(-time.Duration(runs) * time.Second)
	s, state, _, err := storeOpen(storeOptions{Dir: x.Dir + "/state", NoSync: true})
	if err != nil {
		x.T.Fatal(err)
	}
	n := uint64(0)
	do := func(e *Event) {
		e.Time = stampOf(at)
		e.Agent = "one"
		if e.Kind == evRunStarted || e.Kind == evTaskStarted || e.Kind == evTaskFinished ||
			e.Kind == evRunFinished {
			n++
			e.N, e.Epoch, e.Attempt, e.Lease = n, "e", 1, 1
		}
		if err := state.apply(e); err != nil {
			x.T.Fatal(err)
		}
	}
	first := &Event{Kind: evAgentUp, Epoch: "e", Capacity: 4, Build: programVersion()}
	do(first)
	s.append([]*Event{first}, storeLate, nil)
	for i := range workflows {
		id := uiScaleName(i)
		x.File(id+".yml", fmt.Sprintf("name: Sends the report %d to its readers\nschedule: \"%d 4 1 1 *\"\ntasks:\n "+
			" fetch: {run: 'true'}\n  send: {depends: [fetch], run: 'true'}\n", i, i%60))
	}
	last, exit := "", 0
	for i := range runs {
		at = at.Add(time.Second)
		id, end, reason := uiScaleName(i*7%workflows), taskSucceeded, ""
		if i%50 == 49 {
			end, reason = taskFailed, "task send: exit 1"
		}
		last = runID(at, last)
		if state.Versions["v"+id] == nil {
			do(&Event{Kind: evVersion, Workflow: id, Version: "v" + id,
				Spec: &Workflow{ID: id, Tasks: []Task{{ID: "fetch", Run: "true"},
					{ID: "send", Depends: []string{"fetch"}, Run: "true"}}}})
		}
		do(&Event{Kind: evQueued, Workflow: id, Run: last, Version: "v" + id, Trigger: triggerCron,
			Scheduled: stampOf(at)})
		do(&Event{Kind: evAssigned, Run: last})
		do(&Event{Kind: evRunStarted, Run: last})
		for _, task := range []string{"fetch", "send"} {
			do(&Event{Kind: evTaskStarted, Run: last, Task: task})
			do(&Event{Kind: evTaskFinished, Run: last, Task: task, State: end, Exit: &exit, Seconds: 0.25})
		}
		do(&Event{Kind: evRunFinished, Run: last, State: end, Reason: reason, Seconds: 0.5})
		s.history(state.Runs[last], nil)
		if i%1000 == 999 {
			state.prune(at)
		}
	}
	saved := make(chan error, 1)
	s.snapshot(state, func(err error) { saved <- err })
	if err := <-saved; err != nil {
		x.T.Fatal(err)
	}
	if err := s.close(); err != nil {
		x.T.Fatal(err)
	}
}

func uiScaleName(i int) string { return fmt.Sprintf("site%03d-report%05d", i%97, i) }

// memory gives what a process has in memory, in kB: all, and of that what is no file's.
func (u *uiPty) memory() (all, own int) {
	u.t.Helper()
	return harness.Memory(u.t, u.cmd.Process.Pid)
}

// lean wants the process's own memory within a bound. One look says little: the collector may stand just before its
// work, and it stands as long as nothing is done. So there is something to do between the looks, and the least counts.
func (u *uiPty) lean(what string, most int) {
	u.t.Helper()
	least := 0
	for i := range uiScaleLooks {
		if _, own := u.memory(); i == 0 || own < least {
			least = own
		}
		if least <= most {
			break
		}
		u.keys("G")
		u.pause(2 * tuiFrameGap)
		u.keys("g")
		u.shows("1 of")
	}
	u.most("kB of its own "+what, least, most)
}

// TestUIScale presses keys on every list of a large site, and looks at the memory afterwards. The figures of
// docs/testing.md: go test -run TestUIScale -v -ui.workflows 10000 -ui.runs 100000 .
func TestUIScale(t *testing.T) {
	x := e2eNew(t)
	x.Bin = harness.Plain(t, x.Dir)
	workflows, runs := *uiWorkflowsMany, *uiRunsMany
	began := time.Now()
	uiScaleState(x, workflows, runs)
	t.Logf("%d workflows and %d runs made in %v", workflows, runs, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	p := x.Principal("--with-agent")
	defer func() { p.Stop() }()
	t.Logf("the principal is ready after %v", time.Since(began).Round(time.Millisecond))
	uiFirstFrame(x)
	u := uiPtyOpen(x, 120, 40)
	u.shows("LIVE")
	u.keys("1")
	u.shows(fmt.Sprintf("1 of %d", workflows))
	all, own := u.memory()
	t.Logf("memory with the lists: %d kB, own %d kB", all, own)

	newest := uiScaleName((runs - 1) * 7 % workflows)
	var took []time.Duration
	for _, step := range []struct{ keys, want string }{
		{"j", "2 of"}, {"j", "3 of"}, {"j", "4 of"}, {"k", "3 of"}, {"\x04", "21 of"}, {"\x04", "39 of"},
		{"\x1b[6~", "75 of"}, {"\x1b[B", "76 of"},
		{"G", fmt.Sprintf("%d of %d", workflows, workflows)}, {"\x1b[5~", fmt.Sprintf("%d of", workflows-36)},
		{"g", "1 of"},
		{"s", "sort:next"}, {"S", "sort:-next"}, {"s", "sort:-last"}, {"s", "sort:-state"}, {"S", "sort:state"},
		{"s", "sort:name"},
		{"/", ""}, {"r", "/r"}, {"e", "/re"}, {"p", "/rep"}, {"o", "/repo"}, {"\x03", "sort:name"},
		{"/", ""}, {"s", "/s"}, {"t", "/st"}, {"a", "/sta"}, {"t", "/stat"}, {"e", "/state"}, {":", "/state:"},
		{"f", "/state:f"}, {"\r", "in all"}, {"\x7f", "sort:name"}, {"G", ""}, {"g", "1 of"},
		{"F", "FROZEN"}, {"F", "LIVE"}, {" ", "1 marked"}, {" ", "2 marked"},
		{"2", "sort:newest"}, {"j", "2 of"}, {"\x1b[6~", "38 of"}, {"G", "1000 of 1"}, {"k", "999 of"}, {"G", ""},
		{"\x1b[5~", " of "}, {"g", "1 of"}, {"s", "sort:workflow"}, {"s", "sort:state"}, {"s", "sort:took"},
		{"s", "sort:newest"},
		{"/", ""}, {"f", "/f"}, {"a", "/fa"}, {"\r", "in all"}, {"\x7f", "sort:newest"}, {"G", ""}, {"g", "1 of"},
		{"\r", " run 01"}, {"j", newest}, {"v", ""}, {"v", ""}, {"v", ""}, {"\x7f", "1 of"}, {"i", "stat"},
		{"\x7f", "1 of"},
		{"3", "Agents"}, {"4", "Events"}, {"0", "Attention"}, {"?", "Move"}, {"q", "Attention"}, {":", ""}, {"g", ":g"},
		{"\x03", ""}, {"1", "sort:name"},
	} {
		<-time.After(tuiFrameGap + 10*time.Millisecond) // a key in the time between two frames waits for its end
		took = append(took, u.answer(step.keys, step.want))
		if took[len(took)-1] > uiScaleAnswer {
			t.Logf("%q: %v", step.keys, took[len(took)-1])
		}
	}
	slices.Sort(took)
	all, own = u.memory()
	t.Logf("%d keys: half within %v, nine of ten within %v, all within %v; %d kB in memory, of it its own %d",
		len(took), took[len(took)/2], took[len(took)*9/10], took[len(took)-1], all, own)
	if half := took[len(took)/2]; *stallMeasure && half > uiScaleAnswer {
		t.Errorf("half of the keys were answered after %v, want %v at most", half, uiScaleAnswer)
	}
	if worst := took[len(took)-1]; *stallMeasure && worst > uiScaleSlack*uiScaleAnswer {
		t.Errorf("a key was answered after %v, want %v at most", worst, uiScaleSlack*uiScaleAnswer)
	}
	most := uiScaleMemory/3 + uiScaleMemory*2/3*workflows/uiScaleMost
	u.lean("after all keys", most)
	p.Kill()
	u.shows("STALE")
	p = x.Principal("--with-agent")
	u.keys(":connect\r")
	u.shows("LIVE")
	all, own = u.memory()
	t.Logf("after the connection was lost: %d kB in memory, of it its own %d", all, own)
	u.lean("after the connection was lost", most)
	u.keys("q")
	if code := u.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	u.given()
	uiOlderPages(x, runs)
}

// uiFirstFrame measures how soon it is there, and the lists.
func uiFirstFrame(x *e2e) {
	var first, live []time.Duration
	for range 5 {
		u := &uiPty{termPty: termPtyOpen(x.T, 80, 24), x: x}
		began := time.Now()
		u.start(x.Env, x.Bin, "ui")
		u.shows("cdktr")
		first = append(first, time.Since(began))
		u.shows("LIVE")
		live = append(live, time.Since(began))
		u.keys("q")
		u.end()
	}
	slices.Sort(first)
	slices.Sort(live)
	x.T.Logf("first frame after %v, %v at most; the lists after %v, %v at most", first[2], first[4], live[2], live[4])
	if *stallMeasure && first[2] > 300*time.Millisecond {
		x.T.Errorf("half of the first frames came after %v", first[2])
	}
}

// answer types keys, and gives how long it took until a frame was there, and the screen showed a text.
func (u *uiPty) answer(keys, want string) time.Duration {
	u.t.Helper()
	from, began := u.written(), time.Now()
	u.keys(keys)
	u.until(fmt.Sprintf("%q after %q", want, keys), func(s *termEmulator) bool {
		return bytes.Contains(u.out[from:], []byte(termSyncEnd)) && strings.Contains(strings.Join(s.lines(), "\n"),
			want)
	})
	return time.Since(began)
}
