// Tests of pace: how fast one party is served, whatever it sends, and who is not held back.

package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: a key that only looks is heard so often over all of its connections, more when it has waited; others are not held
// back by that, and operators not at all.
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

// TestPaceAgain: who comes back has what it had left, and not more: to connect anew is of no use.
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
			g.p.runPeer(sharesConn{near, wirePeer{Socket: "DEALER", Transport: "tcp", Addr: "tcp://192.0.2.1:4711", Party: "192.0.2.1/32"}})
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

// TestPaceRest: a look's place in its party's share is free when it has rested as long as it worked, an operator's at once.
func TestPaceRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			paced      bool
			took, want time.Duration
		}{{true, 30 * time.Millisecond, 30 * time.Millisecond}, {true, time.Hour, paceRest}, {true, 0, 0}, {false, time.Hour, 0}} {
			share, place := make(chan struct{}, 1), make(chan struct{}, 1)
			share <- struct{}{}
			place <- struct{}{}
			call := &verbCall{paced: c.paced, place: place, share: share, placed: time.Now().Add(-c.took)}
			began := time.Now()
			call.leavePlace()
			if len(place) != 0 {
				t.Error("the place that is everybody's is kept")
			}
			share <- struct{}{}
			if rested := time.Since(began); rested != c.want {
				t.Errorf("a look of %s rested %s, want %s", c.took, rested, c.want)
			}
		}
	})
}

// TestWireAcceptPace: of those who come by tcp some are accepted as they come, and more one after the other; who comes by the box's
// own socket is accepted at once.
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
