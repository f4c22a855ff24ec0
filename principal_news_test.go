package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// newsCrowdOpen is followers of the lists of a principal whose loop is the test itself, half of them operators and half
// viewers, who have seen all so far.
func newsCrowdOpen(g *lanesRig, n int) (crowd []*newsFollower) {
	for i := range n {
		w := &newsFollower{follower: follower{ch: make(chan struct{}, 1)}, conn: lanesConn{}, attention: -1,
			grant: &authGrant{Name: fmt.Sprint("k", i), Role: []string{roleOperator, roleViewer}[i%2]}}
		g.p.followers.news.join(w)
		crowd = append(crowd, w)
	}
	newsTakeAll(g, crowd)
	return crowd
}

// newsTakeAll has each of a crowd take what has changed, in the next tick, and gives what the first was sent.
func newsTakeAll(g *lanesRig, crowd []*newsFollower) (first Reply) {
	n := g.p.followers.news
	n.tickAt = time.Time{}
	n.wakeAll()
	for i, w := range crowd {
		taken := n.take(w)
		bodies := taken.page.replies("w")
		for !taken.rest.empty() { // this machine is too slow for all rows in newsTurn
			bodies = append(bodies, n.page(w, taken.rest).replies("w")...)
		}
		for _, body := range bodies {
			if i > 0 {
				break
			}
			part := Reply{}
			if err := json.Unmarshal(body, &part); err != nil {
				g.t.Fatal(err)
			}
			first.Rows, first.Agents = append(first.Rows, part.Rows...), append(first.Agents, part.Agents...)
		}
	}
	return first
}

// However many follow the lists, a changed row is marked, copied and encoded once, and what needs a person is counted
// once for all with the same rights. The work is counted.
func TestNewsShared(t *testing.T) {
	g := lanesRigOpen(t)
	g.join("a", 1, nil)
	crowd, n := newsCrowdOpen(g, 200), g.p.followers.news
	marks, work := n.number, n.work
	var runs []*Run
	for i := range 10 {
		runs = append(runs, g.queue(&Workflow{ID: fmt.Sprint("w", i), Overlap: overlapAllow,
			Tasks: []Task{{ID: "a", Run: "true"}}}))
	}
	g.turn()
	sent := newsTakeAll(g, crowd)
	if len(sent.Rows) != 10 || len(sent.Agents) != 1 || sent.Agents[0].Running != 1 {
		t.Errorf("sent %+v", sent)
	}
	if got := n.work.copied - work.copied; got != 11 { // no workflow has a file
		t.Errorf("%d rows were copied", got)
	}
	if got := n.work.counted - work.counted; got != 2 {
		t.Errorf("what needs a person was counted %d times", got)
	}
	if got := n.number - marks; got > 40 {
		t.Errorf("%d marks", got)
	}
	newsTakeAll(g, crowd)
	if n.marks.Len() != 0 {
		t.Errorf("%d marks that all have seen are kept", n.marks.Len())
	}
	g.p.emit(&Event{Kind: evCancelling, Run: runs[0].ID, Workflow: "w0", Reason: "r"})
	n.tickAt = time.Time{}
	one, other := n.take(crowd[0]).page.replies("w"), n.take(crowd[2]).page.replies("w")
	if len(one) != 1 || &one[0][0] != &other[0][0] {
		t.Errorf("two operators are sent replies of their own")
	}
	allocs := testing.AllocsPerRun(100, func() { n.take(crowd[4]).page.replies("w") })
	if allocs > 4 {
		t.Errorf("%v allocations for a follower with nothing of its own to be sent", allocs)
	}
}

// An agent that comes or goes is one mark for the whole queue, and only the runs that wait for something else now are
// sent again.
func TestNewsQueue(t *testing.T) {
	g := lanesRigOpen(t)
	gpu := &Workflow{ID: "gpu", Overlap: overlapAllow, Agent: map[string]string{"gpu": "yes"},
		Tasks: []Task{{ID: "a", Run: "true"}}}
	none := &Workflow{ID: "none", Overlap: overlapAllow, Agent: map[string]string{"zone": "none"},
		Tasks: []Task{{ID: "a", Run: "true"}}}
	g.join("first", 1, nil)
	crowd, n := newsCrowdOpen(g, 20), g.p.followers.news
	for i := range 300 {
		g.queue([]*Workflow{gpu, none}[i%2])
	}
	g.turn()
	if sent := newsTakeAll(g, crowd); len(sent.Rows) != 300 ||
		sent.Rows[0].Reason != "no agent with labels zone=none" {
		t.Fatalf("sent %d rows, %+v", len(sent.Rows), sent.Rows[0])
	}
	marks, work := n.number, n.work
	for i := range 50 {
		g.join(fmt.Sprint("plain", i), 1, nil)
		g.turn()
	}
	sent := newsTakeAll(g, crowd)
	if marks := n.number - marks; len(sent.Rows) != 0 || len(sent.Agents) != 50 || marks != 50 ||
		n.work.copied-work.copied != 50 {
		t.Errorf("50 agents came: %d marks; sent %d rows and %d agents", marks, len(sent.Rows), len(sent.Agents))
	}
	g.join("gpu", 1, map[string]string{"gpu": "yes"})
	g.turn()
	if sent := newsTakeAll(g, crowd); len(sent.Rows) != 150 || sent.Rows[0].Reason != "all agents are busy" {
		t.Errorf("an agent came that can take half of the runs: sent %d rows", len(sent.Rows))
	}
}

// BenchmarkNews is a run that begins and ends while 200 follow the lists.
func BenchmarkNews(b *testing.B) {
	g := lanesRigOpen(b)
	g.join("a", 4, nil)
	crowd := newsCrowdOpen(g, 200)
	w := &Workflow{ID: "w", Overlap: overlapAllow, Tasks: []Task{{ID: "a", Run: "true"}}}
	b.ReportAllocs()
	for b.Loop() {
		r := g.queue(w)
		g.turn()
		newsTakeAll(g, crowd)
		g.end(r)
		newsTakeAll(g, crowd)
	}
}
