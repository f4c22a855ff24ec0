// Tests of shares: how much one key may have of what is bounded, and how much is left for others.

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sharesConn is a connection that passes for one of some peer.
type sharesConn struct {
	wireConn
	peer wirePeer
}

func (c sharesConn) Peer() wirePeer { return c.peer }

// sharesRig is a principal that knows some keys.
type sharesRig struct{ *principalRig }

func sharesRigOpen(t *testing.T, workflows ...*Workflow) sharesRig {
	g := principalRigOpen(t, t.TempDir(), workflows...)
	grants := map[string]*authGrant{}
	for name, role := range map[string]string{"op": roleOperator, "vi": roleViewer, "ci": roleTrigger,
		"cd": roleTrigger} {
		grants[name] = &authGrant{Name: name, Key: name, Role: role}
		if role == roleTrigger {
			grants[name].Workflows = []string{"*"}
		}
	}
	for i := range newsMax {
		name := fmt.Sprint("vi", i)
		grants[name] = &authGrant{Name: name, Key: name, Role: roleViewer}
	}
	g.do(func() { g.p.cfg.Keys = &authKeys{grants: grants} })
	return sharesRig{g}
}

// with connects with a key, "" for none, by a socket of some type. It gives our end, and what that is told, by request.
func (g sharesRig) with(key, socket string) *sharesPeer {
	ours, near := wirePipe()
	peer := wirePeer{Socket: socket, Transport: "tcp", Addr: "tcp://192.0.2.1:4711", Key: key, Name: key,
		Party: "key " + key}
	if key == "" {
		peer.Party = "192.0.2.1/32"
	}
	g.group.Go(func() { g.p.runPeer(sharesConn{near, peer}) })
	g.ends = append(g.ends, ours)
	s := &sharesPeer{g: g, conn: ours, replies: map[string][]Reply{}}
	g.group.Go(func() {
		for {
			frames, err := ours.Recv()
			if err != nil {
				return
			}
			var r Reply
			if err := json.Unmarshal(frames[len(frames)-1], &r); err != nil {
				g.t.Error(err)
			}
			s.replies[r.ID] = append(s.replies[r.ID], r)
		}
	})
	return s
}

type sharesPeer struct {
	g       sharesRig
	conn    wireConn
	asked   int
	replies map[string][]Reply // read after synctest.Wait
}

// ask gives the last reply that came at once, nil when none did.
func (s *sharesPeer) ask(req Request) *Reply {
	s.g.t.Helper()
	s.asked++
	req.V, req.ID = protoVersion, fmt.Sprint(s.asked)
	if err := s.conn.Send([]byte{}, protoEncode(req)); err != nil {
		s.g.t.Fatal(err)
	}
	time.Sleep(paceEach) // more often than that nobody who only looks is heard
	synctest.Wait()
	if all := s.replies[req.ID]; len(all) > 0 {
		return &all[len(all)-1]
	}
	return nil
}

// busy holds a reply to a refusal as busy, with these words in it.
func (s *sharesPeer) busy(req Request, words string) {
	s.g.t.Helper()
	if r := s.ask(req); r == nil || r.Error == nil || r.Error.Code != codeBusy || !r.Error.Retry ||
		!strings.Contains(r.Error.Message, words) {
		s.g.t.Errorf("%s is answered %s, want busy: %s", protoEncode(req), protoEncode(r), words)
	}
}

// goes holds a reply to a good one, or one that is still to come.
func (s *sharesPeer) goes(req Request) *Reply {
	s.g.t.Helper()
	r := s.ask(req)
	if r != nil && r.Error != nil {
		s.g.t.Fatalf("%s is refused: %v", protoEncode(req), r.Error)
	}
	return r
}

// TestSharesREQ: a REQ socket has one request in flight, whichever it is, and the next when that is answered.
func TestSharesREQ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		run := g.run("w")
		one := g.with("vi", "REQ")
		one.goes(Request{Op: "wait", Run: run})
		for range 3 {
			one.busy(Request{Op: "wait", Run: run}, "a REQ socket asks one at a time")
		}
		one.busy(Request{Op: "ping"}, "not answered yet")
		g.do(func() {
			if n := len(g.p.followers.ofRuns); n != 1 {
				t.Errorf("%d followers of the run, want that of the first", n)
			}
		})
		g.ask(Request{Op: "cancel", Run: run})
		if all := one.replies["1"]; len(all) != 1 || all[0].Error != nil {
			t.Errorf("the first is answered %+v", all)
		}
		for range 3 {
			if r := one.goes(Request{Op: "ping"}); r == nil {
				t.Error("no answer to a ping when nothing is in flight")
			}
		}
		g.stop()
	})
}

// TestSharesStreams: a key has a number of streams over all of its connections. Those that have ended, were stopped or
// went with their connection do not count.
func TestSharesStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		run := g.run("w")
		one, two := g.with("vi", "DEALER"), g.with("vi", "DEALER")
		for range sharesStreams - 1 {
			one.goes(Request{Op: "wait", Run: run})
		}
		follow := Request{Op: "events", Follow: true}
		two.goes(follow)
		two.busy(follow, fmt.Sprintf("key vi has %d streams already", sharesStreams))
		g.with("ci", "DEALER").goes(follow) // another's share
		one.goes(Request{Op: "stop", Of: "1"})
		two.goes(follow)
		two.busy(follow, "streams already")
		one.conn.Close()
		synctest.Wait()
		for range sharesStreams - 2 {
			two.goes(follow)
		}
		two.busy(follow, "streams")
		two.conn.Close()
		g.ask(Request{Op: "cancel", Run: run})
		g.stop()
		for name, party := range g.p.shares.parties {
			if party.streams+party.looks+party.conns == 0 {
				continue
			}
			t.Errorf("of %s there are left %d streams, %d looks, %d connections", name, party.streams, party.looks,
				party.conns)
		}
	})
}

// TestSharesLooks: a key has a number of looks over all of its connections, and another key has its own. Looks of a
// connection that has gone are over.
func TestSharesLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		free := lookTestSlots(g.p.looks.reading) // the disk is slow
		looks := []Request{{Op: "show", Run: runID(time.Now(), "")}, {Op: "stats", Workflow: "w"}, {Op: "attention"},
			{Op: "logs", Run: runID(time.Now(), "")}}
		var conns []*sharesPeer
		for range sharesLooks / lookMaxUnder {
			one := g.with("vi", "DEALER")
			for i := range lookMaxUnder {
				one.goes(looks[i%len(looks)])
			}
			one.busy(looks[0], "on this connection")
			conns = append(conns, one)
		}
		late := g.with("vi", "DEALER")
		for _, look := range append(looks, Request{Op: "ls"}) {
			late.busy(look, fmt.Sprintf("%d requests of key vi that only look", sharesLooks))
		}
		if late.goes(Request{Op: "ping"}) == nil {
			t.Error("a ping has no answer")
		}
		if r := g.with("vi1", "DEALER").goes(Request{Op: "ls"}); r == nil {
			t.Error("another key has no answer")
		}
		conns[0].conn.Close()
		synctest.Wait()
		for range lookMaxUnder {
			late.goes(looks[0])
		}
		late.busy(looks[0], "on this connection")
		free()
		g.stop()
		for name, party := range g.p.shares.parties {
			if party.streams+party.looks+party.conns == 0 {
				continue
			}
			t.Errorf("of %s there are left %d streams, %d looks, %d connections", name, party.streams, party.looks,
				party.conns)
		}
	})
}

// TestSharesAgain: what goes on when its connection has gone still counts for the party: it gains nothing by connecting
// again.
func TestSharesAgain(t *testing.T) { synctest.Test(t, sharesAgain) }

func sharesAgain(t *testing.T) {
	s := sharesNew()
	first := s.join("key vi")
	for range sharesLooks {
		first.take(&first.looks, sharesLooks)
	}
	first.leave()
	again, other := s.join("key vi"), s.join("key ci")
	if again.take(&again.looks, sharesLooks) || !other.take(&other.looks, sharesLooks) {
		t.Error("the share of one that has come again is not what it was, or that of another is none")
	}
	first.give(&first.looks)
	if !again.take(&again.looks, sharesLooks) {
		t.Error("what has ended counts on")
	}
	other.give(&other.looks)
	other.leave()
	for range sharesLooks {
		again.give(&again.looks)
	}
	again.leave()
	time.Sleep(paceRest)
	if s.join("key vi") != again {
		t.Error("who comes back at once is new")
	}
	again.leave()
	time.Sleep(paceRest + time.Millisecond)
	if s.join("key op").leave(); len(s.parties) != 1 {
		t.Errorf("%d parties are kept that have nothing", len(s.parties)-1)
	}
	one, two := s.join(""), s.join("")
	if one.take(&one.looks, 1); !two.take(&two.looks, 1) {
		t.Error("two that are nobody share")
	}
}

// TestSharesWatches: one viewer cannot be all of the followers, nor can many viewers be those that are kept for
// operators.
func TestSharesWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t)
		one := g.with("vi", "DEALER")
		for range sharesNews {
			one.goes(Request{Op: "watch"})
		}
		g.with("vi", "DEALER").busy(Request{Op: "watch"}, fmt.Sprintf("key vi watches %d times already", sharesNews))
		for i := range newsMax - sharesNewsKept - sharesNews {
			g.with(fmt.Sprint("vi", i), "DEALER").goes(Request{Op: "watch"})
		}
		g.with("ci", "DEALER").busy(Request{Op: "watch"}, "the rest is for operators")
		g.with("op", "DEALER").goes(Request{Op: "watch"})
		newsClientOpen(g.principalRig, nil, 0)
		if r := g.with("op", "DEALER").goes(Request{Op: "watch"}); r == nil || !r.Live {
			t.Errorf("an operator is told %s", protoEncode(r))
		}
		g.stop()
	})
}

// TestSharesQueue: a trigger key fills its own share of the queue, and many keys fill theirs; there is always room for
// operators and for the schedule.
func TestSharesQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		fill := func(by string, n int) {
			g.do(func() {
				for range n {
					if _, refused := g.p.enqueue(g.p.catalog.files["w"].Spec, runOrder{trigger: triggerManual,
						by: by}); refused != nil {
						t.Fatal(refused)
					}
				}
			})
		}
		run := Request{Op: "run", Workflow: "w"}
		fill("ci", sharesQueued-1)
		ci := g.with("ci", "DEALER")
		last := ci.goes(run)
		ci.busy(run, fmt.Sprintf("%d runs of ci are queued already", sharesQueued))
		g.with("cd", "DEALER").goes(run)
		g.with("op", "DEALER").goes(run)
		g.ask(Request{Op: "cancel", Run: last.Run})
		ci.goes(run)
		ci.busy(run, "of ci")

		fill(peerAnyone, sharesQueued)
		g.with("", "DEALER").busy(run, "runs of anyone are queued")
		fill("op", principalMaxQueued-sharesQueueOwn-sharesQueueOperators-len(g.p.queue.runs))
		g.with("cd", "DEALER").busy(run, "8000 runs are queued already")
		g.with("op", "DEALER").goes(run)
		if r := g.ask(run); !r.OK { // the box's own user
			t.Errorf("the owner is told %+v", r.Error)
		}
		fill("op", sharesQueueOperators-2) // but for the two just queued
		g.with("op", "DEALER").busy(run, "9000 runs are queued already")
		g.do(func() {
			if _, refused := g.p.enqueue(g.p.catalog.files["w"].Spec, runOrder{trigger: triggerCron}); refused != nil {
				t.Errorf("a fire of the schedule: %v", refused)
			}
		})
		fill("", sharesQueueOwn-1)
		g.do(func() {
			if _, refused := g.p.enqueue(g.p.catalog.files["w"].Spec, runOrder{trigger: triggerCron}); refused == nil ||
				!strings.HasPrefix(refused.Message, "10000 runs") {
				t.Errorf("a fire of the schedule when all is full: %v", refused)
			}
		})
		g.cancel() // stop would look through all of them
		<-g.p.ended
		for _, end := range g.ends {
			end.Close()
		}
		g.group.Wait()
	})
}

// TestSharesQueueRestart: after a restart it is known how many runs each has queued.
func TestSharesQueueRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		ci := g.with("ci", "DEALER")
		for range 3 {
			ci.goes(Request{Op: "run", Workflow: "w"})
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "w"}))
		g.do(func() {
			if n := g.p.queue.by["ci"]; n != 3 {
				t.Errorf("%d runs of ci are queued, want 3", n)
			}
		})
		g.stop()
	})
}

// TestSharesTopics: how long a subscription may be, and how many a peer has.
func TestSharesTopics(t *testing.T) {
	for _, c := range []struct {
		name  string
		sends [][]byte
		ends  bool
	}{
		{"the longest", [][]byte{[]byte("\x01" + strings.Repeat("t", publishMaxTopic))}, false},
		{"too long", [][]byte{[]byte("\x01" + strings.Repeat("t", publishMaxTopic+1))}, true},
		{"too long, to be forgotten", [][]byte{[]byte("\x00" + strings.Repeat("t", 1<<20-1))}, true},
		{"as many as there may be", sharesTopics(publishMaxTopics), false},
		{"too many", sharesTopics(publishMaxTopics + 1), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := sharesRigOpen(t)
				sub := g.with("vi", "SUB")
				for _, send := range c.sends {
					if err := sub.conn.Send(send); err != nil {
						break
					}
				}
				synctest.Wait()
				select {
				case <-sub.conn.Done():
					if !c.ends {
						t.Error("the connection has ended")
					}
				default:
					if c.ends {
						t.Error("the connection goes on")
					}
				}
				g.stop()
			})
		})
	}
}

func sharesTopics(n int) (sends [][]byte) {
	for i := range n {
		sends = append(sends, fmt.Appendf(nil, "\x01event.%d", i))
	}
	return sends
}

// TestPace: a key that only looks is served at a pace over all of its connections, and faster after it has waited.
// Others are not held back by it, and operators are not held to it.
func TestPace(t *testing.T) {
	const floods = 500
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		flood := func(key, socket string) *sharesPeer {
			s := g.with(key, socket)
			g.group.Go(func() {
				for range floods {
					s.conn.Send([]byte{}, []byte(`{"v":1,"id":"x","op":"ping"}`))
				}
			})
			return s
		}
		heard := func(who string, want int, peers ...*sharesPeer) {
			t.Helper()
			synctest.Wait()
			n := 0
			for _, s := range peers {
				n += len(s.replies["x"])
			}
			g.do(func() {}) // what is read here is read before the next replies come
			if n != want {
				t.Errorf("%s: %d requests are answered, want %d", who, n, want)
			}
		}
		one, two, op := flood("vi", "DEALER"), flood("vi", "DEALER"), flood("op", "DEALER")
		heard("two connections of a viewer", paceBurst, one, two)
		heard("an operator", floods, op)
		time.Sleep(100 * paceEach)
		heard("the viewer, later", paceBurst+100, one, two)
		heard("a trigger key beside it", paceBurst, flood("ci", "DEALER"))
		heard("somebody without a key", paceBurst, flood("", "DEALER"))
		time.Sleep(2 * floods * paceEach)
		heard("the viewer, at the end", 2*floods, one, two)
		if three := g.with("vi", "DEALER"); three.goes(Request{Op: "ping"}) == nil {
			t.Error("a viewer that has waited is not answered at once")
		}
		g.stop()
	})
}

// TestPaceAgain: who comes back has what it had left: it gains nothing by connecting again.
func TestPaceAgain(t *testing.T) {
	const floods = 2000
	synctest.Test(t, func(t *testing.T) {
		s, began := sharesNew(), time.Now()
		conn, _ := wirePipe()
		p := s.join("key vi")
		for i := range floods {
			if p.pace(conn, nil, nil); i%paceBurst == paceBurst-1 {
				p.leave()
				p = s.join("key vi")
			}
		}
		if took, want := time.Since(began), (floods-paceBurst)*paceEach; took != want {
			t.Errorf("%d messages over %d connections took %s, want %s", floods, floods/paceBurst, took, want)
		}
	})
}

// TestPaceCompat: requests of the older dialect wait like others.
func TestPaceCompat(t *testing.T) {
	const floods = 500
	synctest.Test(t, func(t *testing.T) {
		g := sharesRigOpen(t, principalTask(Workflow{ID: "w"}))
		ours, near := wirePipe()
		g.ends = append(g.ends, ours)
		g.group.Go(func() {
			g.p.runPeer(sharesConn{near, wirePeer{Socket: "DEALER", Transport: "tcp", Addr: "tcp://192.0.2.1:4711",
				Party: "192.0.2.1/32"}})
		})
		g.group.Go(func() {
			for range floods {
				ours.Send([]byte{}, []byte("LSWORKFLOWS"))
			}
		})
		answers := 0
		g.group.Go(func() {
			for _, err := ours.Recv(); err == nil; _, err = ours.Recv() {
				answers++
			}
		})
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{0, paceBurst}, {100 * paceEach, paceBurst + 100}, {floods * paceEach, floods}} {
			time.Sleep(c.after)
			synctest.Wait()
			if answers != c.want {
				t.Errorf("%s later: %d answers, want %d", c.after, answers, c.want)
			}
			g.do(func() {})
		}
		g.stop()
	})
}

// TestPaceBytes: large messages cost more.
func TestPaceBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := wirePipe()
		party := sharesNew().join("key x")
		for _, c := range []struct {
			frames [][]byte
			n      int
			want   time.Duration
		}{
			{[][]byte{nil, make([]byte, 100)}, paceBurst, 0},
			{[][]byte{nil, make([]byte, 100)}, 3, 3 * paceEach},
			{[][]byte{make([]byte, 1<<20)}, 2, 2 * (paceEach + 1024*paceKiB)},
			{[][]byte{make([]byte, 1<<20), make([]byte, 1<<10)}, 1, paceEach + 1025*paceKiB},
		} {
			began := time.Now()
			for range c.n {
				party.pace(conn, nil, c.frames)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("%d messages of %d frames took %s, want %s", c.n, len(c.frames), took, c.want)
			}
		}
		conn.Close()
		began := time.Now()
		if party.pace(conn, nil, [][]byte{make([]byte, 4<<20)}) || time.Since(began) != 0 {
			t.Error("a connection that has ended is waited for")
		}
		conn, _ = wirePipe()
		ended := make(chan struct{})
		close(ended)
		if party.pace(conn, ended, [][]byte{nil}) || time.Since(began) != 0 {
			t.Error("a principal that has stopped goes on")
		}
	})
}

// TestPaceRest: a look's slot in its party's share is free when it has rested as long as it worked, an operator's at
// once.
func TestPaceRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			paced      bool
			took, want time.Duration
		}{{true, 30 * time.Millisecond, 30 * time.Millisecond}, {true, time.Hour, paceRest}, {true, 0, 0},
			{false, time.Hour, 0}} {
			share, slot := make(chan struct{}, 1), make(chan struct{}, 1)
			share <- struct{}{}
			slot <- struct{}{}
			call := &opCall{paced: c.paced, slot: slot, share: share, slotSince: time.Now().Add(-c.took)}
			began := time.Now()
			call.leaveSlot()
			if len(slot) != 0 {
				t.Error("the slot that is everybody's is kept")
			}
			share <- struct{}{}
			if rested := time.Since(began); rested != c.want {
				t.Errorf("a look of %s rested %s, want %s", c.took, rested, c.want)
			}
		}
	})
}

// TestWireAcceptPace: of those who come by tcp some are accepted as they come, and more one after the other; who comes
// by the box's own socket is accepted at once.
func TestWireAcceptPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			path string
			want time.Duration
		}{{"", 100 * wireAcceptEach}, {"/s", 0}} {
			l, paid, began := &wireListener{path: c.path, stop: make(chan struct{})}, time.Time{}, time.Now()
			for range wireAcceptBurst + 100 {
				paid = l.acceptPace(paid)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("took %s, want %s", took, c.want)
			}
			close(l.stop)
			if began = time.Now(); l.acceptPace(paid) == paid && c.path == "" || time.Since(began) != 0 {
				t.Error("a listener that is closed waits")
			}
		}
	})
}
