package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// The loop does all that its inbox accepts, and put tells a sender when it does not accept: also senders that come at
// the very end, and those that wait for room.
func TestLoopInboxEnd(t *testing.T) {
	t.Parallel()
	for range 200 {
		b := loopInboxNew[int](4)
		var taken, told, done atomic.Int64
		var senders sync.WaitGroup
		for i := range 8 {
			senders.Go(func() {
				for range 8 {
					if b.put(i) {
						taken.Add(1)
					} else {
						told.Add(1)
					}
				}
			})
		}
		for range 10 {
			<-b.ch
			done.Add(1)
		}
		b.end(func(int) { done.Add(1) })
		senders.Wait()
		if taken.Load() != done.Load() || taken.Load()+told.Load() != 64 || len(b.ch) > 0 {
			t.Fatalf("%d were taken in and %d done, %d senders were told, %d are left", taken.Load(), done.Load(),
				told.Load(), len(b.ch))
		}
	}
	b := loopInboxNew[int](64) // with room, so that select alone would have a choice
	b.end(func(int) {})
	for i := range 64 {
		if b.put(i) {
			t.Fatal("an inbox that has ended takes something in")
		}
	}
}

const loopTries = 8 // of what happens every other time

// A principal that is stopped does every request that its loop has taken in by then, and those who asked are told so.
func TestLoopPrincipalStops(t *testing.T) {
	for range loopTries {
		synctest.Test(t, loopTestPrincipal)
	}
}

func loopTestPrincipal(t *testing.T) {
	const requests = principalInbox - 4
	g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
	hold, n := make(chan struct{}), 0
	var last func()
	last = func() { // holds the loop in the last call of a turn: what comes now is for the next
		n++
		if n < principalCallsPerTurn {
			g.p.call(last)
			return
		}
		<-hold
	}
	g.p.call(last)
	synctest.Wait()
	var answered atomic.Int64
	for i := range requests {
		conn := g.connect()
		if err := conn.Send(protoEncode(Request{V: protoVersion, ID: fmt.Sprint(i), Op: "run",
			Workflow: "w"})); err != nil {
			t.Fatal(err)
		}
		g.group.Go(func() {
			frames, err := conn.Recv()
			r := &Reply{}
			if err == nil && json.Unmarshal(frames[0], r) == nil && r.OK && r.Run != "" {
				answered.Add(1)
			}
		})
	}
	synctest.Wait() // all are in the inbox
	g.cancel()
	close(hold)
	<-g.p.ended
	for range principalInbox {
		if g.p.call(func() {}) {
			t.Fatal("a principal that has stopped takes a call")
		}
	}
	synctest.Wait()
	g.stop()
	if n := len(g.p.state.Runs); n != requests || answered.Load() != requests {
		t.Errorf("of %d requests that were taken in %d became runs, %d were answered", requests, n, answered.Load())
	}
}

// An agent that ends does what its loop has taken in.
func TestLoopAgentStops(t *testing.T) {
	for range loopTries {
		synctest.Test(t, func(t *testing.T) {
			g := agentRigOpen(t)
			hold, done := make(chan struct{}), 0
			go g.a.call(func() { <-hold })
			synctest.Wait()
			const calls = 3 * agentTurn / 2 // more than it does in one turn
			for range calls {
				if !g.a.call(func() { done++ }) {
					t.Fatal("not taken")
				}
			}
			g.stop()
			close(g.kill)
			close(hold)
			g.group.Wait()
			if done != calls {
				t.Errorf("%d of %d calls were done", done, calls)
			}
			for range agentInQueue {
				if g.a.call(func() {}) {
					t.Fatal("an agent that has ended takes a call")
				}
			}
		})
	}
}

// Room for bytes is taken up to a bound, by who is larger than that alone; the end lets all in. Beside who has much of
// it, others have a little, as long as all of that is within a bound too.
func TestLoopRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := loopRoom{most: 10, least: 3, all: 20}
		shares := make([]loopShare, 10)
		var in atomic.Int64
		take := func(who, n int) {
			shares[who].room = &r
			go func() {
				shares[who].take(n)
				in.Add(int64(n))
			}()
			synctest.Wait()
		}
		for _, step := range []struct {
			who, take, give int
			want            int64
		}{{who: 0, take: 6, want: 6}, {who: 0, take: 4, want: 10}, {who: 0, take: 1, want: 10}, // it has enough
			{who: 1, take: 2, want: 12}, {who: 1, take: 1, want: 13}, {who: 1, take: 1, want: 13}, // a little
			{who: 2, take: 4, want: 17},                              // at first more than a little
			{who: 3, take: 3, want: 20}, {who: 4, take: 1, want: 20}, // all have enough
			{who: 3, give: 3, want: 21},  // room for one of the little ones
			{who: 0, give: 10, want: 23}, // for all who wait
			{who: 2, give: 4}, {who: 1, give: 4}, {who: 4, give: 1},
			{who: 0, give: 1, want: 23}, {who: 5, take: 30, want: 53}, {who: 5, take: 1, want: 53},
			{who: 6, take: 1, want: 53}, {who: 5, give: 30, want: 55}} {
			if step.take > 0 {
				take(step.who, step.take)
			} else {
				shares[step.who].work(step.give)
				r.give()
				synctest.Wait()
			}
			if n := in.Load(); step.want > 0 && n != step.want {
				t.Fatalf("%+v: %d are in", step, n)
			}
		}
		r.end()
		take(7, 100)
		if in.Load() != 155 {
			t.Fatalf("after the end %d are in", in.Load())
		}
	})
}

// Taking room and giving it back, as each piece of output does, allocates nothing.
func TestLoopRoomAllocs(t *testing.T) {
	turn := loopRoomTurn()
	if n := allocsOf(1000, turn); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

// loopRoomTurn gives what one turn of a loop does that works off three pieces of output of two tasks.
func loopRoomTurn() func() {
	r := &loopRoom{most: 256 << 10, least: 64 << 10, all: 4 << 20}
	one, other := &loopShare{room: r}, &loopShare{room: r}
	return func() {
		for _, s := range []*loopShare{one, other, one} {
			s.take(32 << 10)
			s.work(32 << 10)
		}
		r.give()
	}
}

func BenchmarkLoopRoom(b *testing.B) {
	b.ReportAllocs()
	turn := loopRoomTurn()
	for b.Loop() {
		turn()
	}
}
