package main

import (
	"encoding/json"
	"fmt"
	"slices"
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
	allocs := allocsOf(100, func() { n.take(crowd[4]).page.replies("w") })
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

// newsGapOpen is followers of a principal with a clock that the test moves on, who have taken all so far, at the begin
// of a tick.
func newsGapOpen(t *testing.T, n int) (g *lanesRig, crowd []*newsFollower, now *time.Time) {
	g = lanesRigOpen(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g.p.cfg.now = func() time.Time { return at }
	g.join("a", 1, nil)
	g.join("b", 1, nil)
	crowd = newsCrowdOpen(g, n)
	g.p.followers.news.tickAt = at
	return g, crowd, &at
}

// newsSent gives the agents that a follower is sent.
func newsSent(t *testing.T, taken *newsTaken) (names []string) {
	t.Helper()
	for _, body := range taken.page.replies("w") {
		r := Reply{}
		if err := json.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		for _, a := range r.Agents {
			names = append(names, a.Name)
		}
	}
	return names
}

// A row that changes all the time is sent to a follower that takes what has changed between two ticks, once for each.
func TestNewsBusyRow(t *testing.T) {
	g, crowd, now := newsGapOpen(t, 2)
	n, sent := g.p.followers.news, 0
	for range 10 {
		*now = now.Add(n.gap() / 2)
		n.ofAgent("a")
		*now = now.Add(n.gap() / 2)
		n.ofAgent("a")
		if got := newsSent(t, n.take(crowd[0])); !slices.Equal(got, []string{"a"}) {
			t.Errorf("at a tick %q is sent", got)
		}
		*now = now.Add(n.gap() / 2)
		n.ofAgent("a")
		sent += len(newsSent(t, n.take(crowd[1])))
		*now = now.Add(n.gap() / 2)
	}
	if sent != 10 {
		t.Errorf("a row that changed all the time was sent %d times in 10 ticks, to one who takes between them", sent)
	}
	if got := newsSent(t, n.take(crowd[1])); !slices.Equal(got, []string{"a"}) {
		t.Errorf("at the end %q is sent", got)
	}
	if got := newsSent(t, n.take(crowd[1])); got != nil {
		t.Errorf("then %q", got)
	}
}

// A tick that is due while a follower takes what has changed begins with the next one, and nobody misses what came
// between: who has not taken all is woken.
func TestNewsTickDue(t *testing.T) {
	g, crowd, now := newsGapOpen(t, 3)
	n := g.p.followers.news
	n.ofAgent("a")
	*now = now.Add(n.gap())
	n.beginTick()
	n.ofAgent("b")
	*now = now.Add(n.gap() - 1)
	g.p.cfg.now = func() time.Time {
		*now = now.Add(1)
		return now.Add(-1)
	}
	sent, same := map[*newsFollower][]string{}, []*newsFollower{crowd[0], crowd[2]}
	for _, w := range same {
		w.wake()
	}
	for range 4 {
		for _, w := range same { // they have the same rights
			select {
			case <-w.ch:
				sent[w] = append(sent[w], newsSent(t, n.take(w))...)
			default:
			}
		}
		*now = now.Add(n.gap())
	}
	for i, w := range same {
		slices.Sort(sent[w])
		if !slices.Equal(sent[w], []string{"a", "b"}) || w.seen != n.number {
			t.Errorf("follower %d is sent %q, and has seen %d of %d", i, sent[w], w.seen, n.number)
		}
	}
}

// Each page says up to which event it goes, also one without rows. It never goes back, and goes no further than the
// tick.
func TestNewsSeq(t *testing.T) {
	g, crowd, now := newsGapOpen(t, 2)
	n := g.p.followers.news
	none := &newsFollower{follower: follower{ch: make(chan struct{}, 1)}, conn: lanesConn{}, attention: -1,
		grant: &authGrant{Name: "none", Role: roleTrigger, Workflows: []string{"none"}}}
	n.join(none)
	n.more(none, &newsNames{})
	g.queue(&Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}})
	*now = now.Add(n.gap())
	taken, want := n.take(none), g.p.state.Seq
	if got := taken.page.head.Seq; got != want || len(taken.page.replies("w")) != 0 {
		t.Errorf("an empty page goes up to event %d, not %d", got, want)
	}
	g.queue(&Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: "true"}}})
	if got := n.take(crowd[0]).page.head.Seq; got != want {
		t.Errorf("between two ticks a page goes up to event %d, not %d", got, want)
	}
	again := *none
	n.join(&again)
	joined := n.more(&again, &newsNames{}).head.Seq
	if got := n.take(&again).page.head.Seq; got < joined || joined != g.p.state.Seq {
		t.Errorf("a page goes up to event %d after one that went up to %d, of %d", got, joined, g.p.state.Seq)
	}
}

// However many ids the requests of followers have, a page keeps its replies for one of them.
func TestNewsReplies(t *testing.T) {
	g, crowd, now := newsGapOpen(t, 1)
	n := g.p.followers.news
	n.ofAgent("a")
	*now = now.Add(n.gap())
	page := n.take(crowd[0]).page
	first := &page.replies("first")[0][0]
	if again := page.replies("first"); &again[0][0] != first {
		t.Error("two with the same id are sent replies of their own")
	}
	other := Reply{}
	if err := json.Unmarshal(page.replies("other")[0], &other); err != nil || other.ID != "other" ||
		len(other.Agents) != 1 {
		t.Errorf("%v, %+v", err, other)
	}
	if page.id != "other" || len(page.bodies) != 1 {
		t.Errorf("replies to %q are kept", page.id)
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
