package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Shell lines and parameters are full of <, > and &. Their escapes would make six bytes of each.
func TestProtoEncodePlain(t *testing.T) {
	e := &Event{Kind: evQueued, Params: map[string]string{"q": "a<b && c>d"},
		Spec: &Workflow{ID: "w", Timeout: Duration(time.Second), Tasks: []Task{{ID: "a", Run: "x <in >out &"}}}}
	lines := storeEncoder{}
	if _, err := lines.addEvents([]*Event{e}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"message": protoEncode(agentMsg{Items: []agentItem{{Event: e}}}),
		"journal": lines.take()} {
		if strings.Contains(string(text), `\u00`) || !strings.Contains(string(text), "x <in >out &") ||
			!strings.Contains(string(text), "a<b && c>d") {
			t.Errorf("%s: %s", name, text)
		}
	}
	msg, _ := parcelPack("R", 1, []parcelLines{parcelLine(&LogLine{N: 1, Text: "<&>"})},
		[]*Event{{Kind: evTaskFinished, Reason: "a && b"}})
	if strings.Contains(string(msg), `\u00`) {
		t.Errorf("spool: %s", msg)
	}
	for _, text := range []string{`{"params":{"q":"\u003c"}}`, `{"params":{"q":"<"}}`} { // older peers, and ours
		if r := (Request{}); protoDecode([]byte(text), &r) != nil || r.Params["q"] != "<" {
			t.Errorf("%s: %+v", text, r)
		}
	}
	// The name of a version is in journals of before: it must not change.
	if name, _ := (&Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "a && b > c"}}}).hash(); name != "f9e80c4892283bc2" {
		t.Errorf("the version is called %s", name)
	}
}

func TestProtoShortened(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x\x01é", 100_000)
	for _, reason := range []string{"", "exit 3", long, strings.Repeat("<", protoMaxReason-2),
		strings.Repeat("\x02", protoMaxReason), strings.Repeat("ä", protoMaxReason)} {
		got := protoReason(reason)
		if protoSize(got) > protoMaxReason || got != protoReason(got) {
			t.Errorf("%d bytes became %d", len(reason), protoSize(got))
		}
		if fits := protoSize(reason) <= protoMaxReason; fits != (got == reason) || !fits &&
			!strings.HasSuffix(got, fmt.Sprintf("(%d bytes in all)", len(reason))) {
			t.Errorf("%.20q became %q", reason, got[max(0, len(got)-40):])
		}
	}
	// All that an agent may put into an event and a record, from one that keeps to nothing.
	e := &Event{Kind: evTaskFinished, Run: "R", Task: long, State: taskSucceeded, Reason: long,
		Outputs: map[string]string{"a": long}, Params: map[string]string{"a": long},
		Spec: &Workflow{ID: long}, Labels: map[string]string{"a": long}, Build: long, Key: long, LogDay: long,
		Version: long, Trigger: long, By: "root", From: long}
	if got := protoReported(e, 0); protoSize(got) > 3*protoMaxReason || got.Run != "R" || got.State != taskSucceeded ||
		got.Outputs != nil || got.By != "" ||
		!strings.HasPrefix(got.Reason, "its outputs are dropped") {
		t.Errorf("%d bytes: %.300s", protoSize(got), protoEncode(got))
	}
	small := map[string]string{"a": "b"}
	if got := protoReported(&Event{Kind: evTaskFinished, Outputs: small},
		protoMaxOutputs-protoSize(small)); len(got.Outputs) != 1 || got.Reason != "" {
		t.Errorf("%+v", got)
	}
	for _, exit := range []int{-1, 0, 3, 255} { // no process ends with -1
		if got := protoReported(&Event{Kind: evTaskFinished, Exit: &exit}, 0); (got.Exit == nil) != (exit < 0) ||
			got.Exit != nil && *got.Exit != exit {
			t.Errorf("exit %d becomes %v", exit, got.Exit)
		}
	}
	if got := protoReported(&Event{Kind: evTaskFinished, Outputs: small}, protoMaxOutputs); got.Outputs != nil ||
		got.Reason == "" {
		t.Errorf("%+v", got)
	}
	for _, l := range []LogLine{{Text: long}, {Bytes: []byte(long)}, {Text: "short"}} {
		was := l
		if protoLine(&l); len(l.raw()) > protoMaxLine+100 ||
			len(was.raw()) <= protoMaxLine != (string(l.raw()) == string(was.raw())) {
			t.Errorf("a line of %d bytes became %d", len(was.raw()), len(l.raw()))
		}
	}
	// Rows of records as versions before these bounds have left them.
	huge := strings.Repeat("\x01", 300_000)
	r := &Run{ID: "R", State: runFailed, Reason: huge, Params: map[string]string{"a": huge},
		Tasks: []TaskRun{{Task: "a", Reason: huge, Outputs: map[string]string{"a": huge}}}}
	many := &Run{ID: "R", Tasks: make([]TaskRun, 1000)}
	for i := range many.Tasks {
		many.Tasks[i] = TaskRun{Task: fmt.Sprint(i, strings.Repeat("t", 190)), Reason: strings.Repeat("r", 1500)}
	}
	for name, r := range map[string]*Run{"large values": r, "many tasks": many} {
		row, left := protoRunRow(r)
		if protoSize(row) > protoMaxRow || left == "" || row.State != r.State || protoSize(r) <= protoMaxRow {
			t.Errorf("%s: %d bytes (%s)", name, protoSize(row), left)
		}
	}
	if len(r.Params["a"]) != 300_000 || r.Tasks[0].Outputs == nil {
		t.Error("the record itself was changed")
	}
	w := protoWorkflowRow(WorkflowInfo{Workflow: "w", Description: huge, Error: huge,
		Schedule: []string{huge, "* * * * *"}, Warnings: []string{huge}, Last: r})
	if protoSize(w) > protoMaxRow || w.Schedule[1] != "* * * * *" || w.Last.ID != "R" {
		t.Errorf("a workflow has %d bytes", protoSize(w))
	}
	if row := protoEventRow(&Event{Seq: 7, Kind: evQueued, Params: map[string]string{"a": huge},
		Reason: huge}); protoSize(row) > protoMaxRow || row.Seq != 7 || !strings.Contains(row.Reason, "bytes in all") {
		t.Errorf("an event has %d bytes", protoSize(row))
	}
}

// paramsWorkflow has a parameter without a default.
func paramsWorkflow(id string) *Workflow {
	return principalTask(Workflow{ID: id, Params: map[string]Param{"p": {Required: true}}})
}

// Parameters are bounded where they come in, in what they are and not in how they are written: by a request, by one
// that is pushed, and together with the defaults of the file.
func TestParamsBound(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("<", paramsMax-len("PARAM_p=")-1)
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), paramsWorkflow("w"), principalTask(Workflow{ID: "d",
			Params: map[string]Param{"p": {Required: true}, "q": {Default: strings.Repeat("x", 1000)}}}))
		for _, c := range []struct {
			workflow, value string
			refused         bool
		}{{"w", most, false}, {"w", most + "<", true}, {"w", strings.Repeat("\x01", 100_000), false},
			{"w", strings.Repeat("é", paramsMax/2), true}, {"d", most, true}, {"d", most[:len(most)-1100], false}} {
			r := g.ask(Request{Op: "run", Workflow: c.workflow, Params: map[string]string{"p": c.value}})
			if refused := r.Error != nil; refused != c.refused || refused &&
				(r.Error.Code != codeInvalid || !strings.Contains(r.Error.Message, "may have 131072, all together")) {
				t.Errorf("%s, %d bytes: %+v", c.workflow, len(c.value), r.Error)
			}
		}
		ours, theirs := wirePipe()
		g.ends = append(g.ends, ours)
		g.group.Go(func() { g.p.runPusher(theirs, authOwner) })
		ours.Send(protoEncode(map[string]any{"workflow": "w", "params": map[string]string{"p": most + "<"}}))
		synctest.Wait()
		if text := g.log.String(); !strings.Contains(text, "trigger refused") ||
			!strings.Contains(text, "the parameters have 131073 bytes") || len(text) > 10_000 {
			t.Errorf("%d bytes are logged: %.500s", len(text), text)
		}
		if len(g.p.queue.runs) != 3 {
			t.Errorf("%d runs are queued", len(g.p.queue.runs))
		}
		g.stop()
	})
	for text, want := range map[string]string{
		"params: {p: " + most + "}": "", "params: {p: " + most +
			"x}": "params: with their defaults the parameters have 131073 bytes",
		"params:\n  p: " + most[:60_000] + "\n  q: {default: " + strings.Repeat("y", 80_000) +
			"}": "and may have 131072",
	} {
		_, faults := workflowParse("w.yml", "w", []byte("tasks: {a: {run: 'true'}}\n"+text))
		if said := fmt.Sprint(faults); (want == "") != (len(faults) == 0) || !strings.Contains(said, want) ||
			len(said) > 1000 {
			t.Errorf("%.40s: %.300s", text, said)
		}
	}
}

// A run that does not fit into a message with all that belongs to it has failed. Its agent stays, and gets what does
// fit.
func TestAssignTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shell := strings.Repeat("# comment\n", 50_000)
		big := principalTask(Workflow{ID: "big", Params: map[string]Param{"p": {}}})
		big.Tasks[0].Run = shell[:workflowMaxSpec-20_000-len(shell)/10] // a newline is two bytes as JSON
		g := principalRigOpen(t, t.TempDir(), big, principalTask(Workflow{ID: "w"}))
		huge := g.ask(Request{Op: "run", Workflow: "big", Params: map[string]string{"p": strings.Repeat("\x01",
			120_000)}})
		large := g.ask(Request{Op: "run", Workflow: "big", Params: map[string]string{"p": strings.Repeat("<",
			120_000)}})
		small := g.run("w")
		if !huge.OK || !large.OK {
			t.Fatalf("%+v %+v", huge.Error, large.Error)
		}
		a := fleetAgentJoin(g, "x", 3)
		g.expect(huge.Run, runFailed, "it cannot be given to an agent: workflow, parameters and outputs have 1")
		var got []string
		for _, as := range a.assigned() {
			got = append(got, as.Run)
		}
		if !slices.Equal(got, []string{large.Run, small}) || a.cut() {
			t.Errorf("assigned %q, cut %v", got, a.cut())
		}
		if kinds := g.kinds(); strings.Count(kinds, evAgentUp) != 1 || strings.Count(kinds, evAssigned) != 2 {
			t.Errorf("journal: %s", kinds)
		}
		a.gone()
		g.stop()
	})
}

// What agents of another make say of themselves and of runs is bounded, and none is cut off for what it says of a run.
func TestAgentSaysTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		long := strings.Repeat("<&\x01", 100_000)
		for _, hello := range []agentMsg{{Agent: "y", Labels: map[string]string{"a": long}},
			{Agent: "y", Version: long}} {
			hello.Capacity, hello.Epoch = 1, orDefault(hello.Epoch, "e")
			a := &fleetAgent{g: g, hello: hello}
			a.join()
			if m := a.of(msgRefused); len(m) != 1 || !strings.Contains(m[0].Reason, "may have") {
				t.Errorf("%.50v: %+v", hello, m)
			}
		}
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(fleetBegun(as)...)
		line := LogLine{Time: stampOf(time.Now()), Run: id, N: 1, Task: "a", Attempt: 1, Stream: "o", Text: long}
		a.report(agentItem{Lease: 1, Lines: []LogLine{line}})
		end := fleetEvent(as, evRunFinished, "", runFailed)
		end.Event.Reason, end.Event.Spec, end.Event.By = long, &Workflow{ID: "other"}, "root"
		a.report(end)
		for _, op := range []string{"ls", "ps", "why", "attention", "agents", "show"} {
			req := Request{Op: op, All: op == "ps"}
			if op == "why" {
				req.Workflow = "w"
			}
			if op == "show" {
				req.Run = id
			}
			if r := g.ask(req); !r.OK || protoSize(r) > 64<<10 {
				t.Errorf("%s: %d bytes, %+v", op, protoSize(r), r.Error)
			}
		}
		g.expect(id, runFailed, "(300000 bytes in all)")
		if out := g.output(id); !strings.HasSuffix(out, "[cdktr: a line of 300000 bytes is cut here]\n") ||
			len(out) > protoMaxLine+100 {
			t.Errorf("%d bytes of output", len(out))
		}
		if a.cut() || a.acked() != 4 {
			t.Errorf("cut %v, acknowledged %d", a.cut(), a.acked())
		}
		a.gone()
		g.stop()
	})
}

// The outputs of all tasks of a run together are bounded, so that the run fits into every message that it goes into: a
// record, what is told of it, and what an agent is given for another attempt.
func TestRunOutputsFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := principalTask(Workflow{ID: "w", Retries: 1})
		for i := range 20 {
			w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint("t", i), Run: "true"})
		}
		g := principalRigOpen(t, t.TempDir(), w)
		id := g.run("w")
		a := fleetAgentJoin(g, "x", 1)
		as := a.last()
		a.report(fleetEvent(as, evRunStarted, "", ""))
		for i := range 20 { // 60 kB each, as JSON
			end := fleetEvent(as, evTaskFinished, fmt.Sprint("t", i), taskSucceeded)
			end.Event.Outputs = map[string]string{"k": strings.Repeat("\x01", 10_000)}
			a.report(fleetEvent(as, evTaskStarted, fmt.Sprint("t", i), ""), end)
		}
		size, left := 0, 0
		for _, task := range g.show(id).Tasks {
			switch size += len(task.Outputs["k"]) * 6; {
			case task.Task != "a" && task.State != taskSucceeded:
				t.Errorf("%s is %s", task.Task, task.State)
			case strings.HasPrefix(task.Reason, "its outputs are dropped: the run would have "):
				left++
			}
		}
		if size != 360_000 || left != 14 {
			t.Errorf("%d bytes are kept, those of %d tasks are not", size, left)
		}
		a.report(fleetEvent(as, evRunFinished, "", runFailed))
		again := a.last()
		size = 0
		for _, done := range again.Done {
			size += len(done.Outputs["k"]) * 6
		}
		if again.Run != id || again.Lease != 2 || size != 360_000 || a.cut() {
			t.Errorf("given again: %s, lease %d, %d bytes", again.Run, again.Lease, size)
		}
		a.gone()
		g.stop()
	})
}

// Lists whose rows are large come in pages that fit into a message each, and every row of them comes.
func TestListPagesByBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 8
		g := principalRigOpen(t, t.TempDir())
		var files []*Workflow
		for i := range n {
			w := paramsWorkflow(fmt.Sprintf("w%02d", i))
			w.Description = strings.Repeat("<", 100_000)
			files = append(files, w)
		}
		g.do(func() { g.p.setFiles(principalFiles(files...), nil) })
		for _, w := range files {
			if r := g.ask(Request{Op: "run", Workflow: w.ID, Params: map[string]string{"p": strings.Repeat("\x01",
				50_000)}}); !r.OK {
				t.Fatal(r.Error)
			}
		}
		for i := range 120 {
			g.do(func() {
				g.p.emit(&Event{Kind: evAgentUp, Agent: fmt.Sprintf("agent-%03d", i), Epoch: "e",
					Labels: map[string]string{"a": strings.Repeat("x", 10_000)}})
			})
		}
		rows := func(req Request) (ids []string) {
			t.Helper()
			for pages := 0; pages < 50; pages++ {
				r := g.ask(req)
				if !r.OK || protoSize(r) > wireMaxFrame {
					t.Fatalf("%s: %d bytes, %+v", req.Op, protoSize(r), r.Error)
				}
				for _, w := range r.Workflows {
					ids = append(ids, w.Workflow)
				}
				for _, run := range r.Runs {
					ids = append(ids, run.Workflow)
				}
				for _, a := range r.Agents {
					ids = append(ids, a.Name)
				}
				if req.After = r.Next; req.After == "" {
					break
				}
			}
			return ids
		}
		for req, want := range map[*Request]int{{Op: "ls"}: n, {Op: "ps", N: 500}: n, {Op: "agents"}: 120,
			{Op: "agents", N: 7}: 120} {
			ids := rows(*req)
			if slices.Sort(ids); len(ids) != want || len(slices.Compact(ids)) != want {
				t.Errorf("%s, n %d: %d rows, not %d", req.Op, req.N, len(ids), want)
			}
		}
		k := newsClientOpen(g, nil, 50)
		time.Sleep(2 * newsGap)
		synctest.Wait()
		k.mu.Lock()
		if k.ended || len(k.rows) != n || len(k.workflows) != n || len(k.agents) != 120 {
			t.Errorf("watch: %d runs, %d workflows, %d agents, ended %v", len(k.rows), len(k.workflows), len(k.agents),
				k.ended)
		}
		k.mu.Unlock()
		var events []*Event
		reader := &client{conn: g.connect()}
		if err := reader.stream(t.Context(), Request{Op: "events"}, func(r *Reply) error {
			events = append(events, r.Events...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			if e.Seq != uint64(i+1) {
				t.Fatalf("event %d is number %d", i+1, e.Seq)
			}
		}
		if len(events) != 2*n+120 {
			t.Errorf("%d events", len(events))
		}
		g.stop()
	})
}

// A reply that does not fit is an error, and the connection goes on; of a stream it is the last one.
func TestReplyTooLarge(t *testing.T) {
	ours, theirs := wirePipe()
	defer ours.Close()
	c := &opCall{req: Request{ID: "7", Op: "show"}, conn: theirs, stopped: make(chan struct{})}
	big := Reply{Note: strings.Repeat("x", wireMaxFrame)}
	if err := c.send(big); err != nil {
		t.Fatal(err)
	}
	if err := c.send(Reply{}); err == nil {
		t.Error("the stream goes on")
	}
	c.reply(Reply{})
	next := &opCall{req: Request{ID: "8", Op: "show"}, conn: theirs}
	next.reply(big)
	next = &opCall{req: Request{ID: "9", Op: "ping"}, conn: theirs}
	next.reply(Reply{})
	for _, want := range []string{"7 too_large", "8 too_large", "9 "} {
		frames, err := ours.Recv()
		if err != nil {
			t.Fatal(err)
		}
		r := &Reply{}
		if err := protoDecode(frames[len(frames)-1], r); err != nil {
			t.Fatal(err)
		}
		got := r.ID + " "
		if r.Error != nil {
			got += r.Error.Code
		}
		if got != want || r.More {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The queue is bounded in memory as well as in number.
func TestQueueMemory(t *testing.T) {
	t.Parallel()
	if one, two := queueRunMem(nil, 1), queueRunMem(map[string]string{"p": strings.Repeat("x", 100_000)},
		1000); one < 1000 || two < one+100_000+250_000 {
		t.Errorf("runs take %d and %d bytes", one, two)
	}
	synctest.Test(t, func(t *testing.T) {
		w := Workflow{ID: "w"}
		for i := range workflowMaxTasks {
			w.Tasks = append(w.Tasks, Task{ID: fmt.Sprint(i), Run: "true"})
		}
		g := principalRigOpen(t, t.TempDir(), &w)
		most := int(principalMaxQueuedMem / queueRunMem(nil, workflowMaxTasks))
		var refused *protoError
		n := 0
		g.do(func() {
			for ; refused == nil && n < principalMaxQueued; n++ {
				_, refused = g.p.enqueue(&w, runOrder{trigger: triggerManual})
			}
		})
		if refused == nil || refused.Code != codeBusy || !refused.Retry || n < most || n > most+2 {
			t.Fatalf("%d runs are queued, not %d, then %+v", n-1, most, refused)
		}
		g.do(func() {
			for _, r := range slices.Clone(g.p.queue.runs) {
				g.p.fleet.cancelRun(r, "enough", false, "", "")
			}
			if g.p.queue.mem != 0 {
				t.Errorf("an empty queue takes %d bytes", g.p.queue.mem)
			}
		})
		id := g.run("w")
		g.expect(id, runQueued, "")
		g.ask(Request{Op: "cancel", Run: id})
		if r := g.ask(Request{Op: "retry", Run: id}); !r.OK || g.p.queue.mem != queueRunMem(nil, workflowMaxTasks) {
			t.Errorf("%+v, %d bytes", r.Error, g.p.queue.mem)
		}
		g.stop()
	})
}

// A line that fits is looked at for nothing.
func TestProtoLineAllocs(t *testing.T) {
	line := LogLine{Text: strings.Repeat("x", protoMaxLine)}
	if each := allocsOf(100, func() { protoLine(&line) }); each > 0 || len(line.Text) != protoMaxLine {
		t.Errorf("%v allocations", each)
	}
}
