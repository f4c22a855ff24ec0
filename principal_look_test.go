// Tests of requests that only look: that they have bounds, and keep neither the loop nor others waiting.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lookTestConn is a connection that keeps the replies which have come, by the ids of their requests.
type lookTestConn struct {
	t    *testing.T
	conn wireConn
	got  map[string][]*Reply
}

// lookTestOpen connects. Only in a bubble.
func lookTestOpen(t *testing.T, g *principalRig) *lookTestConn {
	k := &lookTestConn{t: t, conn: g.connect(), got: map[string][]*Reply{}}
	g.group.Go(func() {
		for {
			frames, err := k.conn.Recv()
			if err != nil {
				return
			}
			r := &Reply{}
			if err := json.Unmarshal(frames[len(frames)-1], r); err != nil {
				t.Error(err)
			}
			k.got[r.ID] = append(k.got[r.ID], r)
		}
	})
	return k
}

// send sends a request and does not wait for the reply.
func (k *lookTestConn) send(req Request) {
	k.t.Helper()
	req.V = protoVersion
	if err := k.conn.Send(protoEncode(req)); err != nil {
		k.t.Fatal(err)
	}
}

// codes counts the replies by what they say.
func (k *lookTestConn) codes() map[string]int {
	codes := map[string]int{}
	for _, replies := range k.got {
		for _, r := range replies {
			if r.Error == nil {
				codes["ok"]++
			} else {
				codes[r.Error.Code]++
			}
		}
	}
	return codes
}

// lookTestSlots takes all slots of a kind, and gives what gives them back.
func lookTestSlots(slots chan struct{}) (free func()) {
	for range cap(slots) {
		slots <- struct{}{}
	}
	return func() {
		for range cap(slots) {
			<-slots
		}
	}
}

// A connection that asks for too much is told so at once. Others are served meanwhile, and so are its own requests that
// need no file. All of it ends with the connection.
func TestLookBoundsOfConnection(t *testing.T) {
	t.Parallel()
	unknown := func(i int) string { return fmt.Sprintf("01JD3V5K8Q2M4N6P8R0S%06d", i) }
	for name, req := range map[string]func(i int) Request{
		"show":      func(i int) Request { return Request{Op: "show", Run: unknown(i)} },
		"logs":      func(i int) Request { return Request{Op: "logs", Run: unknown(i)} },
		"wait":      func(i int) Request { return Request{Op: "wait", Run: unknown(i)} },
		"cancel":    func(i int) Request { return Request{Op: "cancel", Run: unknown(i)} },
		"stats":     func(int) Request { return Request{Op: "stats", Workflow: "w"} },
		"attention": func(int) Request { return Request{Op: "attention"} },
		"approve":   func(i int) Request { return Request{Op: "approve", Run: unknown(i)} },
		"reject":    func(i int) Request { return Request{Op: "reject", Run: unknown(i)} },
		"retry":     func(i int) Request { return Request{Op: "retry", Run: unknown(i)} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
				free := lookTestSlots(g.p.looks.reading) // the disk is slow
				k := lookTestOpen(t, g)
				const many = 300
				for i := range many {
					r := req(i)
					r.ID = fmt.Sprint(i)
					k.send(r)
				}
				synctest.Wait()
				if codes := k.codes(); codes[codeBusy] != many-lookMaxUnder || len(codes) != 1 {
					t.Errorf("while files cannot be read: %v", codes)
				}
				k.send(Request{ID: "ping", Op: "ping"})
				synctest.Wait()
				if len(k.got["ping"]) != 1 || !g.ask(Request{Op: "ls"}).OK ||
					!g.ask(Request{Op: "run", Workflow: "w"}).OK {
					t.Error("ping, ls or run wait for files")
				}
				gone := lookTestOpen(t, g)
				for i := range lookMaxUnder {
					r := req(i)
					r.ID = fmt.Sprint(i)
					gone.send(r)
				}
				synctest.Wait()
				gone.conn.Cut(nil)
				free()
				synctest.Wait()
				if codes := k.codes(); codes[codeBusy] != many-lookMaxUnder ||
					codes[codeNotFound]+codes["ok"]-1 != lookMaxUnder {
					t.Errorf("when files can be read again: %v", codes)
				}
				if len(gone.got) > 0 || len(g.p.looks.reading) > 0 || len(g.p.looks.asking) > 0 {
					t.Errorf("a connection that is gone has %d answers; %d and %d slots are taken", len(gone.got),
						len(g.p.looks.reading), len(g.p.looks.asking))
				}
				g.stop()
			})
		})
	}
}

// One party never has more than its share of the slots, over all of its connections, so that there is one for the next
// party. Its looks that read do not keep it from asking.
func TestLookShare(t *testing.T) {
	for _, c := range []struct {
		name    string
		kind    func(p *principal) chan struct{}
		parties []string // of the connections, one after another
	}{
		{"one connection reads", func(p *principal) chan struct{} { return p.looks.reading }, []string{""}},
		{"connections of one key read", func(p *principal) chan struct{} { return p.looks.reading },
			[]string{"key vi", "key vi", "key vi", "key vi"}},
		{"connections of one user read", func(p *principal) chan struct{} { return p.looks.reading },
			[]string{"uid 1000", "uid 1000"}},
		{"connections of one address ask", func(p *principal) chan struct{} { return p.looks.asking },
			[]string{"192.0.2.1/32", "192.0.2.1/32", "192.0.2.1/32"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
				slots := c.kind(g.p)
				for range cap(slots) - sharesLooksAtOnce - 1 {
					slots <- struct{}{}
				}
				if slots == g.p.looks.asking { // it has two in all: here there are three
					g.p.looks.asking = make(chan struct{}, sharesLooksAtOnce+1)
					slots = g.p.looks.asking
				}
				hold := make(chan struct{})
				start := func(peer *lookPeer) *opCall {
					conn, other := wirePipe()
					g.ends = append(g.ends, conn, other)
					call := &opCall{req: Request{ID: "1", Op: "ls"}, conn: conn, grant: authOwner, peer: peer}
					g.p.looks.start(call, func(l *looks, call *opCall) {
						if slots == l.asking || l.readSlot(call) {
							<-hold
							call.reply(Reply{})
						}
					})
					synctest.Wait()
					return call
				}
				var greedy []*opCall
				for _, name := range c.parties {
					peer := &lookPeer{party: g.p.shares.join(name)}
					for range lookMaxUnder {
						greedy = append(greedy, start(peer))
					}
				}
				if n := len(slots); n != cap(slots)-1 {
					t.Errorf("%d of %d slots are taken", n, cap(slots))
				}
				next := start(&lookPeer{party: g.p.shares.join("another")})
				if next.slot != slots {
					t.Error("the next party has no slot, beside one that has asked for many")
				}
				if slots == g.p.looks.reading {
					asks := &opCall{req: Request{ID: "1", Op: "ls"}, conn: next.conn, grant: authOwner,
						peer: greedy[0].peer}
					if !g.p.looks.waitSlot(asks, g.p.looks.asking) {
						t.Error("who reads cannot ask")
					}
					asks.leaveSlot()
				}
				close(hold)
				synctest.Wait()
				for _, call := range append(greedy, next) {
					if !call.over.Load() || call.slot != nil {
						t.Error("a look was not answered, or keeps its slot")
					}
				}
				g.stop()
			})
		})
	}
}

// Lists of many rows are copied a few at a time, and are complete.
func TestLookCopyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var workflows []*Workflow
		for i := range 3*lookRows + 7 {
			workflows = append(workflows, principalTask(Workflow{ID: fmt.Sprintf("w%04d", i)}))
		}
		g := principalRigOpen(t, t.TempDir(), workflows...)
		defer g.stop()
		for i := range 2*lookRows + 3 {
			g.run(workflows[i].ID)
		}
		if r := g.ask(Request{Op: "ls"}); len(r.Workflows) != len(workflows) ||
			r.Workflows[len(workflows)-1].Workflow != workflows[len(workflows)-1].ID || r.Next != "" {
			t.Errorf("ls gives %d of %d workflows", len(r.Workflows), len(workflows))
		}
		if r := g.ask(Request{Op: "ls", Pattern: "w*1", N: 10}); len(r.Workflows) != 10 ||
			r.Next != r.Workflows[9].Workflow {
			t.Errorf("a page of ls: %d workflows, next %q", len(r.Workflows), r.Next)
		}
		if r := g.ask(Request{Op: "ps", N: 500}); len(r.Runs) != 2*lookRows+3 ||
			r.Runs[0].Workflow != workflows[2*lookRows+2].ID {
			t.Errorf("ps gives %d runs", len(r.Runs))
		}
	})
}

// A regular expression that grows without measure when its counts are written out is refused before it is compiled.
func TestFollowGrep(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"ERROR|timeout": true, `(?i)^\d{4}-\d{2}.{0,200}failed`: true, `\pL+ing`: true, strings.Repeat("a", 1024): true,
		`[a-z]{1,100}@[a-z]{1,100}`:               true,
		strings.Repeat(`[a-z0-9]{1000}`, 3000/14): false, strings.Repeat(`\pL{1000}`, 100): false,
		`((a{100}){10}){10}`: false, `(x{30}y{30}){300}`: false, `\w{0,1000}\w{0,1000}`: false,
		"[": false, "a{1001}": false, "(": false,
	} {
		re, err := followGrep(text)
		if (err == nil) != ok || ok && re == nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	if re, err := followGrep("a{2}|b"); err != nil || !re.MatchString("xaax") || re.MatchString("a") {
		t.Errorf("what is taken means what it says: %v", err)
	}
}

// Whoever reads files for nobody stops.
func TestLookOver(t *testing.T) {
	t.Parallel()
	s := storeRigOpen(t, storeOptions{NoSync: true})
	for n := range 500 {
		s.s.history(historyRun(n, fmt.Sprint("w", n%3), runSucceeded, time.Date(2026, 3, 1, 0, 0, n, 0, time.UTC)), nil)
	}
	s.wait()
	for _, after := range []int{0, 2, 5} {
		asked, given := 0, 0
		err := s.s.historyList(historyFilter{over: func() bool { asked++; return asked > after }},
			func(*Run) bool { given++; return true })
		if !errors.Is(err, errHistoryOver) || given > 64*after {
			t.Errorf("over when asked %d times: %d runs were given, %v", after+1, given, err)
		}
	}
	if _, err := s.s.historyFind(runID(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), ""),
		func() bool { return true }); !errors.Is(err, errHistoryOver) {
		t.Errorf("find: %v", err)
	}
	l, err := logsOpen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var lines []LogLine
	for i := range 4 * logsLook {
		lines = append(lines, LogLine{Time: stampOf(time.Now()), Run: "r", N: int64(i + 1), Task: "a", Attempt: 1,
			Stream: "o", Text: "text"})
	}
	if err := l.append("w", lines); err != nil {
		t.Fatal(err)
	}
	for _, f := range []logFilter{{}, {Grep: regexp.MustCompile("nothing")}, {Tail: 4 * logsLook},
		{Tail: 1, Grep: regexp.MustCompile("nothing")}} {
		f.over = func() bool { return true }
		given := 0
		if _, err := l.read("w", "r", logPlace{}, f, func(LogLine) error { given++; return nil }); !errors.Is(err,
			errLogsOver) || given >= logsLook {
			t.Errorf("%+v: %d lines, %v", f, given, err)
		}
	}
}

// Zero is zero, for every op that takes a number: n or last of 0 is not the same as none given. A new op with such a
// field is tested by itself.
func TestLookNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Schedule: []string{"* * * * *"},
			Pool: map[string]int{"p": 1}}), principalTask(Workflow{ID: "v"}))
		defer g.stop()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		failed := g.run("v")
		g.do(func() {
			g.p.emit(&Event{Kind: evRunEnded, Run: failed, Workflow: "v", State: runFailed, Reason: "it is so"})
			if err := g.p.logs.append("v", []LogLine{{Time: stampOf(time.Now()), Run: failed, N: 1, Task: "a",
				Attempt: 1, Stream: "o", Text: "one"}}); err != nil {
				t.Error(err)
			}
			g.p.emit(&Event{Kind: evAgentUp, Agent: "x", Epoch: "e", Capacity: 1})
			batch := batchPrefix + runID(time.Now(), g.p.state.LastRun)
			g.p.emit(&Event{Kind: evBatch, Workflow: "v", Batch: batch, Times: batchTimes([]int64{1}), Parallel: 1})
			g.p.emit(&Event{Kind: evBatchStopped, Workflow: "v", Batch: batch})
			g.p.state.Runs[failed].LogDay = "2000-01-01" // as an agent's report does
		})
		defer g.do(func() { g.p.state.Runs[failed].LogDay = "" }) // no event said so
		fields := map[string]string{"run": failed, "workflow": "w"}
		rows := func(op, count string) int {
			body := map[string]any{"v": 1, "id": op, "op": op, "all": true}
			if op != "ps" {
				delete(body, "all")
			}
			if op == "wait" {
				body["follow"] = true
			}
			for _, field := range protoOpOf(op).Fields {
				if name := strings.TrimSuffix(field, "*"); fields[name] != "" &&
					(name != field || op == "logs" && name == "run") {
					body[name] = fields[name]
				}
			}
			if count != "" {
				body[count] = 0
			}
			k := lookTestOpen(t, g)
			if err := k.conn.Send(protoEncode(body)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			k.conn.Cut(nil)
			n := 0
			for _, r := range k.got[op] {
				if r.Error != nil {
					t.Errorf("%s: %s", op, r.Error.Message)
				}
				for _, row := range r.Rows {
					if !runActive(row.State) { // of watch, n is how many that have ended
						n++
					}
				}
				if op == "wait" { // n is how many lines a reply brings; it ends with the run
					r.Runs = nil
				}
				n += len(r.Batches)
				if n += len(r.Runs) + len(r.Fires) + len(r.Decisions) + len(r.Events) + len(r.Items); op == "agents" {
					n += len(r.Agents)
				}
				if r.Line != nil {
					n++
				}
				for i := range r.Pools { // n is how many of those who have places and who wait
					n += len(r.Pools[i].Holders) + len(r.Pools[i].Waiters)
				}
				if op == "ls" {
					n += len(r.Workflows)
				}
				if count != "" && r.Next != "" {
					t.Errorf("%s of none goes on at %q", op, r.Next)
				}
			}
			return n
		}
		for _, v := range protoOps {
			for _, count := range []string{"n", "last"} {
				// run: as wait; of backfill, n is no number of rows
				if !strings.Contains(" "+strings.Join(v.Fields, " ")+" ", " "+count+" ") || v.Op == "run" ||
					v.Op == "backfill" {
					continue
				}
				if some, none := rows(v.Op, ""), rows(v.Op, count); some == 0 || none != 0 {
					t.Errorf("%s: %d rows without %s, and %d where it is 0", v.Op, some, count, none)
				}
			}
		}
	})
}

func TestProtoCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]protoCount{`{}`: 0, `{"n":0}`: protoNone, `{"n":7}`: 7, `{"n":null}`: 0,
		`{"last":0}`: protoNone} {
		var r Request
		if err := protoDecode([]byte(text), &r); err != nil || r.N+r.Last != want {
			t.Errorf("%s is %d and %d, %v", text, r.N, r.Last, err)
		}
		again := Request{}
		if err := protoDecode(protoEncode(r), &again); err != nil || again.N != r.N || again.Last != r.Last {
			t.Errorf("%s comes back as %s, %v", text, protoEncode(r), err)
		}
	}
	for _, text := range []string{`{"n":-1}`, `{"n":1.5}`, `{"n":"3"}`, `{"n":99999999999999999999}`, `{"last":-5}`} {
		if err := protoDecode([]byte(text), &Request{}); err == nil || !strings.Contains(err.Error(), "not below 0") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for n, want := range map[protoCount]int{0: 50, protoNone: 0, 1: 1, 700: 500} {
		if got := n.rows(50, 500); got != want {
			t.Errorf("%d is %d rows", n, got)
		}
	}
}

// Parameters are checked against their patterns before the loop has the request, and a version of a workflow is hashed
// once. A file that changes meanwhile or afterwards counts as it is then.
func TestRunChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := func(pattern string) *Workflow {
			return principalTask(Workflow{ID: "w", Params: map[string]Param{"day": {Pattern: pattern, Default: "mon"}}})
		}
		g := principalRigOpen(t, t.TempDir(), w("[a-z]+"))
		defer g.stop()
		ask := func(day, want string) {
			t.Helper()
			if r := g.ask(Request{Op: "run", Workflow: "w", Params: map[string]string{"day": day}}); want == "" &&
				(r.Error != nil || g.show(r.Run).Params["day"] != day) || want != "" &&
				(r.Error == nil || !strings.Contains(r.Error.Message, want)) {
				t.Errorf("%q: %s, want %q", day, protoEncode(r), want)
			}
		}
		ask("tue", "")
		ask("7", "does not match the pattern [a-z]+")
		g.do(func() {
			if len(g.p.catalog.hashes) != 1 {
				t.Errorf("%d hashes are kept of one file", len(g.p.catalog.hashes))
			}
			g.p.setFiles(principalFiles(w("[0-9]+")), nil)
			if len(g.p.catalog.hashes) != 0 {
				t.Error("the hash of a version that is gone is kept")
			}
		})
		ask("7", "")
		ask("tue", "does not match the pattern [0-9]+")
		stale := Request{Op: "run", Workflow: "w", Params: map[string]string{"day": "7"}}
		if stale.checked = g.p.paramsCheck(&stale); stale.checked == nil || stale.checked.refused != nil ||
			stale.checked.params["day"] != "7" {
			t.Fatalf("%+v", stale.checked)
		}
		g.do(func() {
			stale.checked.params["day"] = "checked"
			if id, refused := g.p.trigger(authOwner, stale, "x", ""); refused != nil ||
				g.p.state.Runs[id].Params["day"] != "checked" {
				t.Errorf("what was checked is checked again: %v", refused)
			}
			g.p.setFiles(principalFiles(w("[a-z]+")), nil)
			if _, refused := g.p.trigger(authOwner, stale, "x", ""); refused == nil {
				t.Error("the file has changed since the check, and the check counts")
			}
			g.p.setFiles(nil, []string{"w"})
			if len(g.p.catalog.hashes) != 0 {
				t.Error("the hash of a file that is gone is kept")
			}
		})
	})
}
