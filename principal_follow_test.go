// Tests of the verb stop: a stream ends when its peer has had enough, gets its last reply, and leaves nothing behind.

package main

import (
	"encoding/json"
	"testing"
	"testing/synctest"
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
			if n := len(g.p.followers.ofRuns) + len(g.p.followers.news) + len(g.p.followers.ofJournal); n != 0 {
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
