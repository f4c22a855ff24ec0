//go:build linux

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

// TestExecBudget cuts output at every place of small budgets. What is delivered is the beginning, what comes from the
// tail is the end, as long as was asked for give or take a line, and what is left out between them is counted, line for
// line.
func TestExecBudget(t *testing.T) {
	ps := procTestNew(t)
	long := strings.Repeat("x", 200_000)
	for _, test := range []struct {
		script string
		text   string
	}{
		{`printf 'a\nbb\n\nccc\ndddd'`, "a\nbb\n\nccc\ndddd"},
		{`printf 'a\nb\nc\n'`, "a\nb\nc\n"},
		{`printf x`, "x"},
		{`printf '\n\n'; printf '\nend'`, "\n\n\nend"},
		{`head -c 200000 /dev/zero | tr '\0' x; echo; echo last`, long + "\nlast\n"},
		{`echo first; head -c 200000 /dev/zero | tr '\0' x`, "first\n" + long},
		{`i=0; while [ $i -lt 99 ]; do echo line $i; i=$((i+1)); done`, execNumbered(99)},
	} {
		for _, size := range []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 40, 100, 500, 70_000, 140_000, 1 << 20} {
			tail := spoolTailNew(t.TempDir(), spoolTailMeta{Run: "R", Lease: 1, Size: size})
			budget := newProcBudget(size / 4)
			var got strings.Builder
			pieces := int64(0)
			spec := procTestSh(t, test.script, nil)
			spec.Budget, spec.Rest = budget, func(x procRest) {
				flags := 0
				if x.Begun {
					flags = spoolTailBegun
				}
				tail.after(budget.given())
				tail.add("1 a", flags, x.Time, x.Text)
			}
			spec.Output = procTestEach(func(l procLine) {
				if pieces++; tail.begun() {
					t.Errorf("%s with %d: a line after the cut: %q", test.script, size, l.Text)
				}
				if got.Write(l.Text); !l.Partial {
					got.WriteString("\n")
				}
			})
			procTestDone(t, procTestStart(t, ps, spec))
			head, end := got.String(), ""
			if !strings.HasSuffix(test.text, "\n") && !tail.begun() {
				head = strings.TrimSuffix(head, "\n")
			}
			lines, bytes := int64(0), int64(0)
			if tail.begun() {
				total, fault := tail.total()
				x, err := spoolTailOf(tail.path, total.Limit, &total)
				if err != nil || fault != nil {
					t.Fatal(err, fault)
				}
				if x.meta.N != pieces {
					t.Errorf("%s with %d: the tail is behind line %d, and %d were delivered", test.script, size,
						x.meta.N, pieces)
				}
				x.each(func(l spoolTailLineOf) error {
					if end += string(l.text); l.ended {
						end += "\n"
					}
					return nil
				})
				lines, bytes = x.lines, x.bytes
				x.close()
			}
			tail.remove()
			middle := int64(len(test.text) - len(head) - len(end))
			if !strings.HasPrefix(test.text, head) || !strings.HasSuffix(test.text, end) || bytes != middle {
				t.Errorf("%s with %d: %d bytes and %d, and %d left out", test.script, size, len(head), len(end), bytes)
				continue
			}
			if want := spoolTailLines([]byte(test.text[:int64(len(head))+middle]),
				false) - int64(strings.Count(head, "\n")); lines != want && lines != want-1 {
				t.Errorf("%s with %d: %d lines left out, want %d", test.script, size, lines, want)
			}
			if int64(len(head)) > size/4 || int64(len(head)+len(end)) > size || int64(len(test.text)) <= size &&
				bytes > 0 {
				t.Errorf("%s with %d: %d bytes and %d are stored, of %d", test.script, size, len(head), len(end),
					len(test.text))
			}
		}
	}
}

// execNumbered gives so many numbered lines.
func execNumbered(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("line %d\n", i)
	}
	return text
}

// TestExecFlood lets a task write 1 GB, and then why it fails. It ends in seconds, the log stays within its bound,
// memory stays flat, the counts are exact, the end is there, and a run beside it does not wait.
func TestExecFlood(t *testing.T) {
	const size, wrote = 200 << 10, 1_000_000_000
	flood := &Workflow{ID: "flood", LogMaxSize: size, Tasks: []Task{{ID: "a",
		Run: fmt.Sprintf("yes | head -c %d; echo REASON >&2; exit 3", wrote)}}}
	small := &Workflow{ID: "small", Tasks: []Task{{ID: "a", Run: "echo hello"}}}
	h := agentHost(t, &principalLog{}, flood, small)
	beside := make(chan string, 1)
	before, behind, peak, counted := 0, 0, uint64(0), ""
	began := time.Now()
	r, lines := agentFollow(t, h, Request{Workflow: "flood"}, func(c *client, r *Reply) {
		if r.Line != nil && r.Line.N == 1 {
			go func() { beside <- execBeside(h) }()
		}
		if r.Line == nil || r.Line.N%1000 == 1 { // it stops the world
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	})
	for i, line := range lines {
		switch {
		case line == "a|o|y" && counted == "":
			before++
		case line == "a|o|y":
			behind++
		case strings.HasPrefix(line, "|c|") && counted == "":
			counted = line
		case line == "a|e|REASON" && i == len(lines)-1:
		default:
			t.Errorf("line %d of %d: %q", i, len(lines), line)
		}
	}
	const reason = len("REASON\n")
	left := wrote/2 - before - behind
	want := fmt.Sprintf("|c|[cdktr: %d lines of output, %d bytes, are left out here: more than log.max_size, 200K]",
		left, 2*left)
	if r.State != runFailed || counted != want || before != size/4/2 || behind != (size-size/4-reason)/2 ||
		lines[len(lines)-1] != "a|e|REASON" {
		t.Errorf("%s: kept %d lines and %d; the count says %q, want %q", r.State, before, behind, counted, want)
	}
	if text := <-beside; text != "succeeded a|o|hello" {
		t.Errorf("the run beside it: %s", text)
	}
	if peak > 64<<20 {
		t.Errorf("the flood took %d MiB of memory", peak>>20)
	}
	if left := spoolTailsLeft(h.p.cfg.StateDir + "/tail"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
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

// Where much has been written it comes in pieces that grow, each of whole lines.
func TestExecPieces(t *testing.T) {
	ps := procTestNew(t)
	pieces, size := 0, 0
	written := t.TempDir() + "/written"
	spec := procTestSh(t, "echo first; yes 0123456789 | head -c 55000; : >"+written, nil)
	spec.Output = func(x procLines) {
		if pieces++; pieces == 1 { // the rest lies in the pipe; what was read may end within a line
			procTestUntil(t, "a full pipe", func() bool {
				_, err := os.Stat(written)
				return err == nil
			})
		}
		if x.Text[len(x.Text)-1] != '\n' || x.Partial {
			t.Errorf("a piece of %d bytes, partial %v", len(x.Text), x.Partial)
		}
		size += len(x.Text)
	}
	procTestDone(t, procTestStart(t, ps, spec))
	if size != len("first\n")+55000 || pieces > 7 {
		t.Errorf("%d bytes in %d pieces", size, pieces)
	}
}
