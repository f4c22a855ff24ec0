// Tests of the op watch: a client that folds its replies has the same lists as a new client is shown; many changes, and
// readers that do not read, cost little; and there is a heartbeat when nothing changes.

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// newsClient folds the replies of one watch, as a client is to do it. Its fields are guarded by mu.
type newsClient struct {
	g         *principalRig
	conn      wireConn
	mu        sync.Mutex
	workflows map[string]string // id to JSON
	rows      map[string]RunRow
	agents    map[string]string
	live      bool
	replies   []*Reply
	at        []time.Time // of each reply
	refused   *protoError
	ended     bool
}

// newsClientOpen watches on a connection of its own, or on the given one.
func newsClientOpen(g *principalRig, conn wireConn, n int) *newsClient {
	g.t.Helper()
	k := &newsClient{g: g, conn: conn, workflows: map[string]string{}, rows: map[string]RunRow{},
		agents: map[string]string{}}
	if conn == nil {
		k.conn = g.connect()
	}
	if err := k.conn.Send([]byte{}, protoEncode(Request{V: protoVersion, ID: "w", Op: "watch",
		N: protoCount(n)})); err != nil {
		g.t.Fatal(err)
	}
	g.group.Go(func() {
		for {
			frames, err := k.conn.Recv()
			r := &Reply{}
			k.mu.Lock()
			if k.ended = err != nil || json.Unmarshal(frames[len(frames)-1], r) != nil; k.ended {
				k.mu.Unlock()
				return
			}
			k.fold(r)
			k.mu.Unlock()
		}
	})
	synctest.Wait()
	return k
}

func (k *newsClient) fold(r *Reply) {
	k.replies, k.at = append(k.replies, r), append(k.at, time.Now())
	k.live = k.live || r.Live
	k.refused = r.Error
	for _, info := range r.Workflows {
		k.workflows[info.Workflow] = string(protoEncode(info))
	}
	for _, row := range r.Rows {
		k.rows[row.ID] = row
	}
	for _, a := range r.Agents {
		a.Seen, a.N = Stamp{}, 0 // what changes all the time is no news
		k.agents[a.Name] = string(protoEncode(a))
	}
	for _, id := range r.Gone {
		delete(k.workflows, id)
	}
	for _, id := range r.GoneRuns {
		delete(k.rows, id)
	}
	for _, name := range r.GoneAgents {
		delete(k.agents, name)
	}
}

// count gives the number of replies so far.
func (k *newsClient) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.replies)
}

// since gives the replies after the first n.
func (k *newsClient) since(n int) []*Reply {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.replies[n:])
}

// compare holds what was folded against what a new client is shown.
func (k *newsClient) compare(when string) {
	k.g.t.Helper()
	time.Sleep(2 * newsGap)
	synctest.Wait()
	fresh := newsClientOpen(k.g, nil, opsPage)
	defer fresh.conn.Close()
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh.mu.Lock()
	defer fresh.mu.Unlock()
	if !k.live || !fresh.live {
		k.g.t.Fatalf("%s: live %v and %v", when, k.live, fresh.live)
	}
	if !maps.Equal(k.workflows, fresh.workflows) {
		k.g.t.Fatalf("%s: workflows\n%v\nwant\n%v", when, k.workflows, fresh.workflows)
	}
	if !maps.Equal(k.agents, fresh.agents) {
		k.g.t.Fatalf("%s: agents\n%v\nwant\n%v", when, k.agents, fresh.agents)
	}
	for id, row := range fresh.rows {
		if one, two := string(protoEncode(k.rows[id])), string(protoEncode(row)); one != two {
			k.g.t.Fatalf("%s: run\n%s\nwant\n%s", when, one, two)
		}
	}
	for id, row := range k.rows {
		if _, ok := fresh.rows[id]; !ok && runActive(row.State) {
			k.g.t.Fatalf("%s: run %s is %s for ever", when, id, row.State)
		}
	}
}

// newsWorld does random things to a principal.
type newsWorld struct {
	g      *principalRig
	rnd    *rand.Rand
	agents []*fleetAgent
	begun  map[string]bool
}

// newsFile makes a file of the folder: good, or one that does not load.
func (x *newsWorld) newsFile(id string) workflowFile {
	w := principalTask(Workflow{ID: id, Schedule: []string{"* * * * *"}, Description: fmt.Sprint(x.rnd.IntN(1000)),
		Overlap: []string{"", overlapQueue, overlapReplace, overlapAllow}[x.rnd.IntN(4)]})
	f := workflowFile{ID: id, File: id + ".yml", Spec: w}
	if x.rnd.IntN(4) == 0 {
		w.Agent = map[string]string{"gpu": "1"}
	}
	if x.rnd.IntN(5) == 0 {
		f.Faults = []workflowFault{{File: f.File, Message: fmt.Sprint("fault ", x.rnd.IntN(1000))}}
	}
	return f
}

func (x *newsWorld) step() string {
	id := string(rune('a' + x.rnd.IntN(4)))
	agent := x.agents[x.rnd.IntN(len(x.agents))]
	switch x.rnd.IntN(12) {
	case 0, 1, 2:
		x.g.ask(Request{Op: "run", Workflow: id})
		return "run " + id
	case 3:
		for _, r := range x.g.ask(Request{Op: "ps"}).Runs {
			x.g.ask(Request{Op: "cancel", Run: r.ID})
			return "cancel " + r.ID
		}
	case 4:
		x.g.ask(Request{Op: []string{"pause", "resume"}[x.rnd.IntN(2)], Workflow: id})
		return "pause or resume " + id
	case 5:
		x.g.ask(Request{Op: []string{"pause", "resume"}[x.rnd.IntN(2)], All: true})
		return "pause or resume all"
	case 6:
		f := x.newsFile(id)
		x.g.do(func() { x.g.p.setFiles([]workflowFile{f}, nil) })
		return "change " + id
	case 7:
		x.g.do(func() { x.g.p.setFiles(nil, []string{id}) })
		return "remove " + id
	case 8:
		if agent.conn == nil || agent.cut() {
			agent.join()
			return "join " + agent.hello.Agent
		}
		agent.gone()
		return "leave " + agent.hello.Agent
	case 9:
		op := []string{"drain", "undrain", "forget"}[x.rnd.IntN(3)]
		x.g.ask(Request{Op: op, Agent: agent.hello.Agent})
		return op + " " + agent.hello.Agent
	case 10:
		time.Sleep(time.Duration(x.rnd.IntN(20)) * time.Second)
		return "wait"
	default:
		if agent.conn == nil || agent.cut() {
			return ""
		}
		for _, as := range agent.assigned() {
			switch key := fmt.Sprint(as.Run, as.Lease); {
			case !x.begun[key]:
				x.begun[key] = true
				agent.report(fleetBegun(as)...)
			case x.begun[key] && !x.begun["over "+key]:
				x.begun["over "+key] = true
				state := []string{runSucceeded, runFailed}[x.rnd.IntN(2)]
				agent.report(fleetEvent(as, evTaskFinished, "a", state), fleetEvent(as, evRunFinished, "", state))
			}
		}
		return "report by " + agent.hello.Agent
	}
	return ""
}

// TestNewsFold lets random things happen, and compares a client that follows with one that comes anew.
func TestNewsFold(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &newsWorld{g: principalRigOpen(t, t.TempDir()), rnd: rand.New(rand.NewPCG(seed, 1)),
					begun: map[string]bool{}}
				for _, name := range []string{"x", "y"} {
					x.agents = append(x.agents, &fleetAgent{g: x.g,
						hello: agentMsg{Agent: name, Capacity: 2, Epoch: "epoch-" + name, Version: "0"}})
				}
				k := newsClientOpen(x.g, nil, 0)
				for n := range 60 {
					did := []string{fmt.Sprint("after step ", n)}
					for range 1 + x.rnd.IntN(3) {
						did = append(did, x.step())
					}
					k.compare(strings.Join(did, ", "))
				}
				for _, a := range x.agents {
					if a.conn != nil {
						a.gone()
					}
				}
				k.conn.Close()
				x.g.stop()
			})
		})
	}
}

// The lists come newest first, in pages, and their end is told. Runs come without their tasks.
func TestNewsSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var workflows []*Workflow
		for i := range 1200 {
			workflows = append(workflows, principalTask(Workflow{ID: fmt.Sprintf("w%04d", i),
				Description: strings.Repeat("x", 1000)}))
		}
		g := principalRigOpen(t, t.TempDir(), workflows...)
		var ended, active []string
		for range 5 {
			id := g.run("w0001")
			g.ask(Request{Op: "cancel", Run: id})
			ended = append(ended, id)
			active = append(active, g.run("w0002"))
		}
		k := newsClientOpen(g, nil, 3)
		if len(k.workflows) != 1200 || !k.live || k.replies[len(k.replies)-1].Seq != g.p.state.Seq {
			t.Fatalf("%d workflows, live %v", len(k.workflows), k.live)
		}
		var ids, runs []string
		for i, r := range k.replies {
			for _, info := range r.Workflows {
				ids = append(ids, info.Workflow)
			}
			for _, row := range r.Rows {
				runs = append(runs, row.ID)
				if len(row.Tasks) != 0 || row.Total != 1 || row.Done != 0 { // nothing of them has run
					t.Errorf("row %+v", row)
				}
			}
			if len(r.Workflows) > opsPage || len(protoEncode(r)) > opsBytes+4096 ||
				r.Live != (i == len(k.replies)-1) || !r.More {
				t.Errorf("reply %d: %d workflows, %d bytes, live %v", i, len(r.Workflows), len(protoEncode(r)), r.Live)
			}
		}
		want := slices.Concat(ended[2:], active)
		slices.Sort(want)
		slices.Reverse(want)
		if !slices.IsSorted(ids) || !slices.Equal(runs, want) {
			t.Errorf("runs %v, want %v", runs, want)
		}
		k.conn.Close()
		g.stop()
	})
}

// A queued run is sent again when it waits for something else, though nothing has happened to the run itself.
func TestNewsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w", Overlap: overlapQueue}))
		one, two, three := g.run("w"), g.run("w"), g.run("w")
		k := newsClientOpen(g, nil, 0)
		if got := k.rows[three].Reason; got != "waiting for run "+one {
			t.Errorf("at first %q", got)
		}
		g.ask(Request{Op: "cancel", Run: one})
		k.compare("the first is cancelled")
		if got := k.rows[three].Reason; got != "waiting for run "+two {
			t.Errorf("then %q", got)
		}
		k.conn.Close()
		g.stop()
	})
}

// newsStuck is a connection whose sender waits at a gate.
type newsStuck struct {
	farConn
	gate chan struct{}
}

func (c newsStuck) Send(frames ...[]byte) error {
	<-c.gate
	return c.farConn.Send(frames...)
}

// A thousand changes while the reader does not read are one row each when it reads, and until then only names.
func TestNewsBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}), principalTask(Workflow{ID: "v"}))
		ours, near := wirePipe()
		stuck := newsStuck{farConn{near}, make(chan struct{})}
		g.group.Go(func() { g.p.runPeer(stuck) })
		g.ends = append(g.ends, ours)
		k := newsClientOpen(g, ours, 0)
		id := g.run("v")
		flip := func(n int) {
			g.do(func() {
				for i := range n {
					g.p.emit(&Event{Kind: []string{evPaused, evResumed}[i%2], Workflow: "w", By: fmt.Sprint(i)})
				}
			})
		}
		flip(1000)
		g.ask(Request{Op: "cancel", Run: id})
		g.do(func() {
			for w := range g.p.followers.news.followers {
				g.p.followers.news.tick = g.p.followers.news.number
				if names := g.p.followers.news.since(w); len(names.workflows) != 2 || len(names.runs) != 1 {
					t.Errorf("%v wait", names)
				}
			}
		})
		close(stuck.gate)
		synctest.Wait()
		time.Sleep(newsGap)
		synctest.Wait()
		seen := 0
		for _, r := range k.since(0) {
			seen += len(r.Rows)
		}
		if n := k.count(); seen != 1 || n > 3 || k.rows[id].State != runCancelled {
			t.Errorf("%d replies with %d rows: %+v", n, seen, k.rows[id])
		}
		// Under load at most one reply in newsGap; the first change after a pause goes out at once.
		time.Sleep(time.Second)
		before, began := k.count(), time.Now()
		for range 1000 {
			flip(1)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(newsGap)
		synctest.Wait()
		if n := k.count() - before; n < 9 || n > 12 || !k.at[before].Equal(began) {
			t.Errorf("%d replies, the first after %v", n, k.at[before].Sub(began))
		}
		k.conn.Close()
		synctest.Wait()
		g.do(func() {
			if n := g.p.followers.news; len(n.followers)+n.marks.Len()+len(n.copies) != 0 {
				t.Error("a follower without a reader is left")
			}
		})
		g.stop()
	})
}

// While nothing changes there is a heartbeat and nothing else. A reader for whom too much waits is cut off.
func TestNewsHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "w"}))
		g.run("w")
		k := newsClientOpen(g, nil, 0)
		first := k.count()
		time.Sleep(time.Minute)
		synctest.Wait()
		beats := k.since(first)
		if len(beats) != int(time.Minute/newsHeartbeat) {
			t.Errorf("%d heartbeats in a minute", len(beats))
		}
		for i, r := range beats {
			if !r.OK || !r.More || r.Seq == 0 || len(r.Workflows)+len(r.Rows)+len(r.Agents) > 0 {
				t.Errorf("heartbeat %+v", r)
			}
			if gap := k.at[first+i].Sub(k.at[first+i-1]); gap != newsHeartbeat {
				t.Errorf("after %v", gap)
			}
		}
		g.do(func() {
			for i := range newsMaxDirty + 1 {
				g.p.followers.news.mark(newsOfRun, fmt.Sprint(i), "w")
			}
		})
		if !k.ended {
			t.Error("a reader for whom too many changes wait is not cut off")
		}
		var crowd []*newsClient
		for range newsMax + 1 {
			crowd = append(crowd, newsClientOpen(g, nil, 0))
		}
		if k = crowd[0]; k.refused != nil || crowd[newsMax].refused == nil || crowd[newsMax].refused.Code != codeBusy {
			t.Errorf("the first of a crowd: %+v, the last: %+v", k.refused, crowd[newsMax].refused)
		}
		g.cancel()
		<-g.p.ended
		synctest.Wait()
		if k.refused == nil || k.refused.Code != codeStopping {
			t.Errorf("at the end: %+v", k.refused)
		}
		g.stop()
	})
}
