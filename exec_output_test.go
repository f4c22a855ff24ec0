// Tests of the bound on output: what is counted, and that a flood is cut, cheap, and nobody else's burden.

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestExecBudgetCounts cuts output at every place of a small budget, and wants each line delivered or counted, once.
func TestExecBudgetCounts(t *testing.T) {
	ps, err := newProcs("CDKTR_TEST_COOKIE")
	if err != nil {
		t.Fatal(err)
	}
	defer ps.close()
	for _, test := range []struct {
		script  string
		lines   int64
		bytes   int64
		unended bool // the last line has no newline
	}{
		{`printf 'a\nbb\n\nccc\ndddd'`, 5, 14, true},
		{`printf 'a\nb\nc\n'`, 3, 6, false},
		{`printf x`, 1, 1, true},
		{`printf '\n\n'; printf '\nend'`, 4, 6, true},
		{`head -c 200000 /dev/zero | tr '\0' x; echo; echo last`, 2, 200_006, false},
	} {
		for _, size := range []int64{0, 1, 99, 100, 101, 150, 201, 202, 203, 304, 500, 70_000, 1 << 20} {
			cuts, lines, bytes := 0, int64(0), int64(0)
			budget := newProcBudget(size, func() { cuts++ })
			p, err := ps.start(procSpec{Argv: []string{"/bin/sh", "-c", test.script}, Env: []string{"PATH=/usr/bin:/bin"}, Cookie: fmt.Sprint(test.script, size), Budget: budget,
				Output: func(l procLine) {
					if cuts > 0 {
						t.Errorf("%s with %d: a line after the cut: %q", test.script, size, l.Text)
					}
					bytes += int64(len(l.Text))
					if !l.Partial {
						lines, bytes = lines+1, bytes+1
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			<-p.done()
			dropped, droppedBytes := budget.dropped()
			if test.unended && dropped == 0 {
				bytes-- // counted with a newline
			}
			if lines+dropped != test.lines || bytes+droppedBytes != test.bytes {
				t.Errorf("%s with %d: %d lines and %d bytes, and dropped %d and %d; want %d and %d in all",
					test.script, size, lines, bytes, dropped, droppedBytes, test.lines, test.bytes)
			}
			if (dropped > 0) != (cuts == 1) || cuts > 1 {
				t.Errorf("%s with %d: dropped %d lines and said so %d times", test.script, size, dropped, cuts)
			}
		}
	}
}

// TestExecFlood lets a task write 1 GB. It ends in seconds, the log stays within its bound, memory stays flat, the counts are
// exact, and a run beside it does not wait.
func TestExecFlood(t *testing.T) {
	const size, wrote = 200 << 10, 1_000_000_000
	flood := &Workflow{ID: "flood", LogMaxSize: size, Tasks: []Task{{ID: "a", Run: fmt.Sprintf("yes | head -c %d", wrote)}}}
	small := &Workflow{ID: "small", Tasks: []Task{{ID: "a", Run: "echo hello"}}}
	h := runnerHost(t, &principalLog{}, flood, small)
	beside := make(chan string, 1)
	kept, peak, cut, counted := 0, uint64(0), 0, ""
	began := time.Now()
	r, lines := runnerFollow(t, h, Request{Workflow: "flood"}, func(c *client, r *Reply) {
		if r.Line != nil && strings.Contains(r.Line.Text, "is cut here") {
			go func() { beside <- execBeside(h) }()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	})
	for _, line := range lines {
		switch {
		case line == "a|o|y" && cut == 0:
			kept++
		case strings.HasPrefix(line, "|c|") && strings.Contains(line, "is cut here"):
			cut++
		case strings.HasPrefix(line, "|c|"):
			counted = line
		default:
			t.Errorf("a line %q", line)
		}
	}
	want := fmt.Sprintf("|c|[cdktr: %d lines of output, %d bytes, were dropped: more than log.max_size]", wrote/2-kept, wrote-2*kept)
	if r.State != runSucceeded || cut != 1 || counted != want || kept != size/(1+procLineCost) {
		t.Errorf("%s: kept %d lines, %d cuts; the count says %q, want %q", r.State, kept, cut, counted, want)
	}
	if text := <-beside; text != "succeeded a|o|hello" {
		t.Errorf("the run beside it: %s", text)
	}
	if peak > 64<<20 {
		t.Errorf("the flood took %d MiB of memory", peak>>20)
	}
	info, err := os.Stat(h.p.cfg.StateDir + "/logs/flood/" + r.LogDay + ".jsonl")
	if err != nil || info.Size() > size*3/2 {
		t.Errorf("the log: %v, %v", info, err)
	}
	t.Logf("%s, at most %d MiB", time.Since(began).Round(time.Millisecond), peak>>20)
}

// execBeside runs the small workflow, and says how it went.
func execBeside(h *host) string {
	c := &client{conn: h.connect(), endpoint: "here"}
	defer c.close()
	text := ""
	err := c.stream(context.Background(), Request{Op: "run", Workflow: "small", Follow: true}, func(r *Reply) error {
		if r.Line != nil {
			text = r.Line.Task + "|" + r.Line.Stream + "|" + r.Line.Text
		}
		if len(r.Runs) > 0 {
			text = r.Runs[0].State + " " + text
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return text
}
