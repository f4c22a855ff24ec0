// Tests of lines that have not ended: who follows and asks for them sees them grow, they are stored once, and for
// nobody else they are told.

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAgentRunLive lets a task draw over a line of its own, step by step, each when the follower has seen the one
// before.
func TestAgentRunLive(t *testing.T) {
	for _, op := range []string{"run", "logs"} {
		dir := t.TempDir()
		if err := unix.Mkfifo(dir+"/go", 0o600); err != nil {
			t.Fatal(err)
		}
		steps := []string{"10%", "20%", "!what?", "30%"}
		script := fmt.Sprintf(`step() { until read x <%s/go; do :; done; }; printf '10%%%%\r'; step; printf '20%%%%'; step; printf 'what?' >&2; step; printf '\r30%%%%'; step; echo; echo no >&2`, dir)
		h := agentHost(t, &principalLog{}, &Workflow{ID: "w", Tasks: []Task{{ID: "a", Run: script}}})
		var seen, stored []string
		gone := 0
		take := func(r *Reply) {
			if r.Line == nil {
				return
			}
			text := r.Line.Text
			if r.Line.Stream == "e" {
				text = "!" + text
			}
			switch {
			case r.Line.N != 0:
				stored = append(stored, text)
			case r.Line.Text == "":
				gone++
			case len(seen) == 0 || seen[len(seen)-1] != text:
				seen = append(seen, text)
				go os.WriteFile(dir+"/go", []byte("\n"), 0) // it waits for the reader
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), agentWait)
		c := &client{conn: h.connect(), endpoint: "here"}
		req := Request{Op: "run", Workflow: "w", Follow: true, All: true}
		if op == "logs" {
			r, err := c.ask(ctx, Request{Op: "run", Workflow: "w"})
			if err != nil {
				t.Fatal(err)
			}
			req = Request{Op: "logs", Run: r.Run, Follow: true, All: true}
		}
		err := c.stream(ctx, req, func(r *Reply) error {
			take(r)
			return nil
		})
		if err != nil || strings.Join(seen, " ") != strings.Join(steps, " ") {
			t.Errorf("%s: seen %q, want %q; %v", op, seen, steps, err)
		}
		if got := strings.Join(stored, "|"); got != "10%\r20%\r30%|!what?no" && got != "!what?no|10%\r20%\r30%" {
			t.Errorf("%s: stored %q", op, got)
		}
		if gone == 0 {
			t.Errorf("%s: it was not told that the lines have ended", op)
		}
		for deadline := time.Now().Add(agentWait); ; runtime.Gosched() { // the follower leaves behind its last reply
			if n, _ := principalAsk(h.p, func() int { return len(h.p.followers.live) }); n == 0 {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: %d runs are followed still", op, n)
			}
		}
		c.close()
		cancel()
	}
}

// TestAgentRunLiveNobody: a follower that does not ask for them gets none, and a run that nobody follows tells none.
func TestAgentRunLiveNobody(t *testing.T) {
	h := agentHost(t, &principalLog{}, &Workflow{ID: "w", Tasks: []Task{{ID: "a",
		Run: "printf 10%%; sleep 0.5; echo; echo done"}}})
	r, lines := agentFollow(t, h, Request{Workflow: "w"}, func(_ *client, r *Reply) {
		if r.Line != nil && r.Line.N == 0 {
			t.Errorf("a line without an end: %+v", r.Line)
		}
	})
	if r.State != runSucceeded || strings.Join(lines, ",") != "a|o|10%,a|o|done" {
		t.Errorf("%s %q", r.State, lines)
	}
	if n, _ := principalAsk(h.p, func() int { return len(h.p.followers.live) }); n != 0 {
		t.Errorf("%d runs are followed", n)
	}
}

// TestAgentRunLiveBounds: what an agent sends as a line without an end is shown of its own runs and tasks only, and
// within bounds.
func TestAgentRunLiveBounds(t *testing.T) {
	r := &Run{ID: "R", State: runRunning, Agent: "x", Lease: 2, Tasks: []TaskRun{{Task: "a"}}}
	f := followersNew(&principalLoop{state: stateNew()}, nil, nil)
	f.live["R"] = &liveRun{lines: map[string]LogLine{}}
	f.state.Runs["R"] = r
	good := LogLine{Run: "R", Task: "a", Stream: "o", Text: "10%"}
	for name, change := range map[string]func(*agentLink, *agentItem){
		"":               func(*agentLink, *agentItem) {},
		"another agent":  func(l *agentLink, _ *agentItem) { l.name = "y" },
		"another lease":  func(_ *agentLink, i *agentItem) { i.Lease = 1 },
		"another run":    func(_ *agentLink, i *agentItem) { i.Lines[0].Run = "Q" },
		"another task":   func(_ *agentLink, i *agentItem) { i.Lines[0].Task = "b" },
		"another stream": func(_ *agentLink, i *agentItem) { i.Lines[0].Stream = "c" },
		"too long":       func(_ *agentLink, i *agentItem) { i.Lines[0].Text = strings.Repeat("x", followMaxLive+1) },
	} {
		link, item := &agentLink{name: "x"}, agentItem{Lease: 2, Lines: []LogLine{good}}
		change(link, &item)
		clear(f.live["R"].lines)
		f.takeLive(link, &agentMsg{Items: []agentItem{item}}, partsNew(nil))
		if n := len(f.live["R"].lines); n != map[bool]int{true: 1}[name == ""] {
			t.Errorf("%s: %d lines are shown", name, n)
		}
	}
}
