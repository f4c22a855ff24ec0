package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listenTestItems gives what attention shows of the listeners of w.
func listenTestItems(g *principalRig) (items []AttentionItem) {
	g.t.Helper()
	for _, item := range g.ask(Request{Op: "attention"}).Items {
		if item.Kind == attentionListener {
			items = append(items, item)
		}
	}
	return items
}

// What keeps a listener from firing needs a person, until it is over; what may be over at once does not.
func TestListenTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}, Rate: 1})
		tell := listenTold(g.p.listeners, o)
		want := func(what, reason string) {
			t.Helper()
			synctest.Wait()
			items := listenTestItems(g)
			switch {
			case reason == "" && len(items) == 0:
			case len(items) != 1 || !strings.HasPrefix(items[0].Reason, "file /nowhere/*: "+reason) ||
				items[0].Workflow != "w" || items[0].First.IsZero():
				t.Errorf("%s: %+v, want %q", what, items, reason)
			}
		}
		want("at first", "")
		tell.trouble("the command ended", true)
		want("what is brief", "")
		tell.trouble("there is no folder /nowhere", false)
		want("a missing folder", "there is no folder /nowhere")
		key := listenTestItems(g)[0].Key
		g.ask(Request{Op: "ack", Key: key})
		want("acknowledged", "")
		tell.trouble("", false)
		time.Sleep(2 * attentionTroubles)
		g.do(func() {})
		tell.trouble("there is no folder /nowhere", false)
		want("once more", "there is no folder /nowhere")
		tell.trouble("", false)
		want("the folder is back", "")

		for i := range 10 {
			tell.came([]listenEvent{listenTestEvent(fmt.Sprint(i), i+1)}, 0)
		}
		want("a few that wait for the rate", "")
		time.Sleep(listenHeldLong)
		want("they wait for long", "more events come than 1 a minute (rate), and they wait")
		time.Sleep(5 * time.Minute)
		want("all have fired", "")
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{Command: &ListenCommand{Run: "x"}, Rate: 2})
		listenTold(g.p.listeners, o).came([]listenEvent{{line: "1"}, {line: "2"}, {line: "3"}}, 4)
		synctest.Wait()
		if items := listenTestItems(g); len(items) != 1 || !strings.HasPrefix(items[0].Reason,
			"command x: 5 lines lost, since more than 2 a minute came") {
			t.Errorf("%+v", items)
		}
		time.Sleep(listenCalm)
		if items := listenTestItems(g); len(items) != 0 {
			t.Errorf("after a calm: %+v", items)
		}
		g.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		spec := principalTask(Workflow{ID: "w", On: []Listener{{Command: &ListenCommand{Run: "x"}}},
			Params: map[string]Param{"x": {Required: true}}})
		g := principalRigOpen(t, t.TempDir(), spec)
		o, _ := principalAsk(g.p, func() *listening { return g.p.listeners.all["w"][0] })
		listenTold(g.p.listeners, o).came([]listenEvent{{line: "1"}}, 0)
		synctest.Wait()
		if items := listenTestItems(g); len(items) != 1 || !strings.Contains(items[0].Reason,
			"its events make no runs: parameter x is missing") {
			t.Errorf("%+v", items)
		}
		g.do(func() { g.p.setFiles(nil, []string{"w"}) })
		if items := listenTestItems(g); len(items) != 0 {
			t.Errorf("without the file: %+v", items)
		}
		g.stop()
	})
}

// A listener that needs a person is told of by the alarm, and so is that it is well again; neither before it is known.
func TestListenAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, o := listenTestOpen(t, Listener{File: &ListenFile{Path: "/nowhere/*"}})
		g.do(func() {
			a := &alarm{principalLoop: g.p.principalLoop, attention: g.p.attention}
			count := func(fresh, over int) {
				t.Helper()
				if news := a.report(g.p.cfg.now()); len(news.fresh) != fresh || len(news.over) != over {
					t.Errorf("%d new, %d over; want %d and %d", len(news.fresh), len(news.over), fresh, over)
				}
			}
			l := g.p.listeners
			g.p.stirred = false
			l.hearTrouble(o, "there is no folder", false)
			if !g.p.stirred {
				t.Error("the alarm does not look")
			}
			count(1, 0)
			g.p.emit(&Event{Kind: evTold, Key: o.itemKey(), Workflow: "w", Reason: "file /nowhere/*: no folder"})
			count(0, 0)
			o.listenTroubles = listenTroubles{} // as after a start
			delete(l.ill, o)
			count(0, 0)
			g.p.stirred = false
			l.hearTrouble(o, "", false)
			if !g.p.stirred {
				t.Error("the alarm does not look when all is well")
			}
			count(0, 1)
		})
		g.stop()
	})
}

// A command that ends soon, again and again, needs a person, and one that gives a line and ends does not. A stop waits
// for no rest.
func TestListenEnds(t *testing.T) {
	for run, grave := range map[string]bool{"exit 3": true, "exit 0": true, "echo x": false, "echo x; exit 3": true} {
		told := make(chan string, 100)
		c := listenLinesNew(&ListenCommand{Run: run}, listenTeller{came: func([]listenEvent, int) {},
			trouble: func(text string, brief bool) { told <- fmt.Sprint(brief, " ", text) }},
			slog.New(slog.NewTextHandler(io.Discard, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() {
			c.runListenLines(ctx)
			close(ended)
		}()
		var texts []string
		for range listenFewEnds {
			texts = append(texts, <-told)
		}
		cancel()
		<-ended
		last := texts[len(texts)-1]
		if strings.HasPrefix(last, "false ") != grave || grave && !strings.Contains(last, "ended 3 times in a row") ||
			slices.ContainsFunc(texts[:2], func(s string) bool {
				return !strings.HasPrefix(s,
					"true the command ended")
			}) {
			t.Errorf("%s: %q", run, texts)
		}
	}
}
