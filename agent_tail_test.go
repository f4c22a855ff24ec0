// Tests of output beyond log.max_size: what is stored of it, in which order, and what becomes of it when a run is
// stopped or its agent killed.

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAgentRunTail: the end is stored behind the beginning, before the run is over, with the count of what lies
// between.
func TestAgentRunTail(t *testing.T) {
	count := func(n int, word string) string {
		return fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo %s $i; i=$((i+1)); done", n, word)
	}
	h := agentHost(t, &principalLog{},
		// 3,890 bytes and 4
		&Workflow{ID: "fits", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(400, "line") + "; echo END >&2"}}},
		&Workflow{ID: "flood", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(2000, "line") +
			"; echo REASON >&2; exit 3"}}},
		&Workflow{ID: "two", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(2000, "a")},
			{ID: "b", Run: "echo hello; printf end", Depends: []string{"a"}}}},
		&Workflow{ID: "side", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(2000, "a")},
			{ID: "b", Run: count(2000, "b") + "; exit 4"}}},
		&Workflow{ID: "again", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(2000, "a") +
			`; exit $((2-CDKTR_ATTEMPT))`, Retries: 1}}},
		&Workflow{ID: "leaves", LogMaxSize: 4000, Tasks: []Task{{ID: "a", Run: count(2000, "a") +
			"; setsid sleep 300 & sleep 0.1"}}},
	)
	for _, test := range []struct {
		id, state string
		left      bool
		end       string // of the output
	}{
		{"fits", runSucceeded, false, "a|o|line 399,a|e|END"},
		{"flood", runFailed, true, "a|o|line 1999,a|e|REASON"},
		{"two", runSucceeded, true, "a|o|a 1999,b|o|hello,b|o|end"},
		{"side", runFailed, true, " 1999"},
		{"again", runSucceeded, true, "a|o|a 1998,a|o|a 1999"},
		{"leaves", runSucceeded, true, "a|o|a 1999,a|c|[cdktr: the task left processes behind, which are being " +
			"ended (1): sleep]"},
	} {
		over := false
		r, lines := agentFollow(t, h, Request{Workflow: test.id}, func(_ *client, r *Reply) {
			if over = over || len(r.Runs) > 0; over && r.Line != nil {
				t.Errorf("%s: a line behind the end: %q", test.id, r.Line.Text)
			}
		})
		bytes, counted := 0, 0
		for _, line := range lines {
			switch text := line[strings.LastIndexByte(line, '|')+1:]; {
			case strings.HasPrefix(line, "|c|") && strings.Contains(line,
				"left out here: more than log.max_size, 4000"):
				counted++
			case strings.HasPrefix(text, "[cdktr: "):
			default:
				bytes += len(text) + 1
			}
		}
		if r.State != test.state || !strings.HasSuffix(strings.Join(lines, ","), test.end) ||
			(counted == 1) != test.left {
			t.Errorf("%s: %s, with %d lines, %d counts, of which the last are %q", test.id, r.State, len(lines),
				counted, lines[max(0, len(lines)-3):])
		}
		if bytes > 4000 || test.left && bytes < 3900 {
			t.Errorf("%s: %d bytes are stored", test.id, bytes)
		}
	}
}

// TestAgentRunTailCancelled: of a run that is stopped in a flood the end is told, too.
func TestAgentRunTailCancelled(t *testing.T) {
	h := agentHost(t, &principalLog{}, &Workflow{ID: "w", LogMaxSize: 4000,
		Tasks: []Task{{ID: "a", Run: "exec 2>/dev/null; trap 'kill %1; wait; echo BYE; exit 1' TERM; yes & wait"}}})
	r, lines := agentFollow(t, h, Request{Workflow: "w"}, func(c *client, r *Reply) {
		if r.Line != nil && r.Line.N == 400 {
			other := &client{conn: h.connect(), endpoint: "here"}
			defer other.close()
			if _, err := other.ask(context.Background(), Request{Op: "cancel", Run: r.Line.Run}); err != nil {
				t.Error(err)
			}
		}
	})
	if r.State != runCancelled || lines[len(lines)-1] != "a|o|BYE" {
		t.Errorf("%s, the last of %d lines: %q", r.State, len(lines), lines[len(lines)-1])
	}
}

// TestAgentRunTailKilled: an agent is killed in a flood, and so is, in another run, the process that is principal and
// agent. The end is told by the next life, once.
func TestAgentRunTailKilled(t *testing.T) {
	for _, within := range []bool{false, true} {
		t.Run(fmt.Sprint("within ", within), func(t *testing.T) {
			x := e2eNew(t)
			x.File("w.yml", "log: {max_size: 40K}\ntasks:\n  a: {run: 'seq 1 500000; echo REASON >&2; exec sleep "+
				"600'}\n")
			flags := []string{}
			if within {
				flags = append(flags, "--with-agent")
			}
			p := x.Principal(flags...)
			if !within {
				p = x.Agent("a")
			}
			run := x.Start("w")
			x.Until("the agent has read all that the task has written", func() bool {
				kept := ""
				filepath.WalkDir(x.Dir, func(name string, _ fs.DirEntry, _ error) error {
					if strings.HasSuffix(name, spoolTailEnd) {
						text, _ := os.ReadFile(name) // it may have gone meanwhile
						kept += string(text)
					}
					return nil
				})
				return strings.Contains(kept, "500000\n") && strings.Contains(kept, "REASON")
			})
			p.Kill()
			if within {
				x.Principal(flags...)
			} else {
				x.Agent("a")
			}
			if r := x.await(run); r.State != runCrashed {
				t.Errorf("%s: %s", r.State, r.Reason)
			}
			lines := strings.Split(strings.TrimSpace(x.OK("logs", run)), "\n")
			last, counted, size := 0, 0, 0
			for _, line := range lines {
				n := 0
				if strings.HasPrefix(line, "[cdktr: ") {
					counted++
					continue
				}
				if fmt.Sscan(line, &n); n != 0 && n <= last {
					t.Errorf("%d behind %d", n, last)
				}
				last, size = n, size+len(line)+1
			}
			if lines[0] != "1" || lines[len(lines)-1] != "REASON" || lines[len(lines)-2] != "500000" || counted != 1 ||
				size > 40<<10 || size < 39<<10 {
				t.Errorf("%d lines, %d counts, %d bytes; the last are %q", len(lines), counted, size,
					lines[max(0, len(lines)-3):])
			}
		})
	}
}
