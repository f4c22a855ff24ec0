// Tests of streams: they end when their peer has had enough, get their last reply, and leave nothing behind; and logs
// may have many lines in one reply.

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"cdktr/e2e/harness"
)

// followTestSay sends a request and gives the replies that have come by the time that nothing moves any more, by id.
func followTestSay(t *testing.T, conn wireConn, got map[string][]*Reply, req Request) {
	t.Helper()
	req.V = protoVersion
	if err := conn.Send([]byte{}, protoEncode(req)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if len(got[req.ID]) == 0 && req.Op != "wait" {
		t.Fatalf("%s: no reply", req.Op)
	}
}

func TestFollowStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		defer g.stop()
		run := g.run("w") // no agent: it stays queued
		conn := g.connect()
		got := map[string][]*Reply{}
		g.group.Go(func() {
			for {
				frames, err := conn.Recv()
				if err != nil {
					return
				}
				r := &Reply{}
				if err := json.Unmarshal(frames[len(frames)-1], r); err != nil {
					t.Error(err)
				}
				got[r.ID] = append(got[r.ID], r)
			}
		})
		for id, req := range map[string]Request{
			"watch": {Op: "watch"}, "events": {Op: "events", Follow: true},
			"wait": {Op: "wait", Run: run, Follow: true}, "run": {Op: "run", Workflow: "w", Follow: true},
		} {
			req.ID = id
			followTestSay(t, conn, got, req)
			for _, r := range got[id] {
				if !r.More {
					t.Fatalf("%s ended by itself: %s", id, protoEncode(r))
				}
			}
			followTestSay(t, conn, got, Request{ID: id, Op: req.Op, Run: run, Workflow: "w", Follow: true})
			if last := got[id][len(got[id])-1]; last.Error == nil || last.Error.Code != codeConflict {
				t.Errorf("%s: a second stream by the same id: %s", id, protoEncode(last))
			}
			followTestSay(t, conn, got, Request{ID: "stop " + id, Op: "stop", Of: id})
			if last := got[id][len(got[id])-1]; last.More || last.Error != nil {
				t.Errorf("%s, stopped: %s", id, protoEncode(last))
			}
			if last := got["stop "+id]; len(last) != 1 || !last[0].OK {
				t.Errorf("stop: %+v", last)
			}
		}
		g.do(func() {
			fs := g.p.followers
			if n := len(fs.ofRuns) + len(fs.news.followers) + len(fs.ofJournal); n != 0 {
				t.Errorf("%d followers are left of streams that were stopped", n)
			}
		})
		followTestSay(t, conn, got, Request{ID: "none", Op: "stop", After: "watch"})
		if r := got["none"][0]; r.Error == nil || r.Error.Code != codeInvalid {
			t.Errorf("stop that does not say of what: %s", protoEncode(r))
		}
		followTestSay(t, conn, got, Request{ID: "again", Op: "stop", Of: "watch"})
		if r := got["again"][0]; !r.OK {
			t.Errorf("stop of what has ended: %+v", r.Error)
		}
	})
}

func TestFollowStreamsBound(t *testing.T) {
	streams := &opStreams{party: sharesNew().join(""), byID: map[string]*opCall{}}
	conn, peer := wirePipe()
	defer conn.Close()
	defer peer.Close()
	open := func(id string) *opCall {
		c := &opCall{req: Request{Op: "watch", ID: id}, conn: conn}
		if streams.admit(c) {
			return c
		}
		return nil
	}
	first := open("first")
	for i := range opsMaxStreams {
		if c := open(string(rune('a' + i))); (c == nil) != (i == opsMaxStreams-1) {
			t.Fatalf("stream %d: taken %v", i, c != nil)
		}
	}
	first.reply(Reply{})
	if open("next") == nil {
		t.Error("a stream that has ended still counts")
	}
}

// Output comes many lines a reply to those who ask for that with n, and else one by one. The lines are the same, with
// every filter, even if they are six times as long as JSON.
func TestLogsManyLinesAReply(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", `tasks: {a: {run: "seq 1 2000; echo err >&2; head -c 250000 /dev/zero | tr '\\0' '\\1' | fold -w 60000; echo; printf '\\377\\n'; seq 2001 3000"}}`)
	x.Principal("--with-agent")
	id := x.run("w").ID
	for _, c := range []struct {
		req   Request
		first string // and last, of all lines
		lines int
	}{
		{Request{}, "1 3000", 3007},
		{Request{N: 1}, "1 3000", 3007},
		{Request{N: 100}, "1 3000", 3007},
		{Request{N: 1 << 30}, "1 3000", 3007},
		{Request{N: 1 << 30, Follow: true}, "1 3000", 3007},
		{Request{N: 7, Last: 10}, "2991 3000", 10},
		{Request{N: 1 << 30, Before: 1500, Last: 1000}, "500 1499", 1000},
		{Request{N: 1 << 30, Grep: "^5.*9$"}, "59 599", 11},
		{Request{N: 1 << 30, Stream: "e"}, "err err", 1},
		{Request{N: protoNone}, "", 0},
		{Request{N: 100, Last: protoNone}, "", 0},
		{Request{Op: "wait", Follow: true}, "1 3000", 3007},
		{Request{Op: "wait", Follow: true, N: 1 << 30}, "1 3000", 3007},
		{Request{Op: "wait", Follow: true, N: protoNone}, "", 0},
	} {
		c.req.Op, c.req.Run = orDefault(c.req.Op, "logs"), id
		conn, err := clientDial(t.Context(), "ipc://"+filepath.Join(x.Dir, "s"), wireOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		var last int64
		replies := 0
		err = conn.stream(t.Context(), c.req, func(r *Reply) error {
			n := 0
			err := r.eachLine(func(l *LogLine) error {
				if n++; l.N <= last || l.Run != id || l.Task != "a" || l.Time.IsZero() {
					return fmt.Errorf("line %+v behind %d", l, last)
				}
				last, texts = l.N, append(texts, string(l.raw()))
				return nil
			})
			if n > 0 {
				replies++
			}
			if (c.req.N == 0) != (r.Lines == nil) && n > 0 || n > max(1, int(c.req.N)) || n > protoMaxLines {
				return fmt.Errorf("%d lines in a reply, %d records", n, len(r.Lines))
			}
			return err
		})
		conn.close()
		if got := append(texts, "")[0] + " " + append([]string{""}, texts...)[len(texts)]; err != nil ||
			strings.TrimSpace(got) != c.first || len(texts) != c.lines {
			t.Errorf("%s: n %d, last %d, grep %q: %v, %d lines, want %d; the first and the last are %.40q, want %q",
				c.req.Op, c.req.N, c.req.Last, c.req.Grep, err, len(texts), c.lines, got, c.first)
		}
		if c.req.N == 1<<30 && c.lines > 2500 && replies > 60 {
			t.Errorf("%d lines come in %d replies", len(texts), replies)
		}
		if c.lines > 3000 && !slices.Contains(texts, "\xff") {
			t.Errorf("n %d: the line that is no text is not there", c.req.N)
		}
	}
	if out := x.OK("logs", id); strings.Count(out, "\n") != 3007 || !strings.HasPrefix(out, "1\n2\n") ||
		!strings.HasSuffix(out, "\n2999\n3000\n") || !strings.Contains(out, "\n\xff\n") {
		t.Errorf("cdktr logs prints %d lines: %.50q", strings.Count(out, "\n"), out)
	}
	if n := len(harness.Lines[logJSON](t, x.OK("logs", id, "--json"))); n != 3007 {
		t.Errorf("cdktr logs --json prints %d lines", n)
	}
}

// Each field of a task counts when a follower looks for what has changed.
func TestTaskRunSame(t *testing.T) {
	exit := func(n int) *int { return &n }
	whole := func() TaskRun {
		return TaskRun{Exit: exit(0), Outputs: map[string]string{"a": "b"}, Earlier: []TaskAttempt{{Exit: exit(1)}}}
	}
	changed := func(change func(*TaskRun)) bool {
		before, now := whole(), whole()
		change(&now)
		return len(tasksChanged([]TaskRun{before}, []TaskRun{now})) == 1
	}
	if changed(func(*TaskRun) {}) {
		t.Error("two that are alike differ")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[TaskRun]()) {
		if !changed(func(run *TaskRun) { *run = fieldFilled(t, *run, field) }) {
			t.Errorf("a change of %s goes unseen", field.Name)
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[TaskAttempt]()) {
		if !changed(func(run *TaskRun) { run.Earlier[0] = fieldFilled(t, run.Earlier[0], field) }) {
			t.Errorf("a change of %s of an earlier attempt goes unseen", field.Name)
		}
	}
}
