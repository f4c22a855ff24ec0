// Tests of a run as it goes, and of output that is followed on a terminal.

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestLogsLive: a line that has not ended is drawn over below the others, takes one row at most, and leaves nothing.
func TestLogsLive(t *testing.T) {
	var out bytes.Buffer
	c := &cli{flags: &cliFlags{}}
	v := &logsLive{c: c, p: &painter{w: &out, width: 20}, lines: map[string]LogLine{}}
	const clear = "\r\x1b[K"
	for i, step := range []struct {
		line LogLine
		want string
	}{
		{LogLine{Task: "a", Stream: "o", Text: "10%"}, "a: 10%"},
		{LogLine{Task: "a", Stream: "o", Text: "20%"}, clear + "a: 20%"},
		{LogLine{Task: "b", Stream: "e", N: 1, Text: "x"}, clear + "b: x\na: 20%"},
		{LogLine{Task: "a", Stream: "o", Text: strings.Repeat("=", 30) + ">"}, clear + "a: " + strings.Repeat("=", 15) +
			">"},
		{LogLine{Task: "a", Stream: "o", Text: "日本語の長いタスク"}, clear + "a: 本語の長いタスク"},
		{LogLine{Task: "a", Stream: "o", N: 2, Text: "done"}, clear + "a: done\n"},
		{LogLine{Task: "a", Stream: "o", N: 3, Text: "more"}, "a: more\n"},
		{LogLine{Task: "a", Stream: "e", Text: "?"}, "a: ?"},
		{LogLine{Task: "a", Stream: "e"}, clear},
	} {
		out.Reset()
		if err := v.print(&step.line); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if at := strings.Index(got, "00:00.000 "); at > 0 { // the time in front
			got = got[:at-3] + got[at+len("00:00.000 "):]
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

// progressScreen is a terminal: it knows what progress uses of one, wraps, and scrolls.
type progressScreen struct {
	width, height int
	lines         []string // all of them, those that scrolled away too
	row, col      int
	above         int // lines that have scrolled away and cannot be drawn over
	fault         string
}

func (s *progressScreen) Write(b []byte) (int, error) {
	for text := string(b); text != ""; {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexAny(rest, "ABCDJKm")
			n := 0
			for _, c := range rest[:end] {
				n = n*10 + int(c-'0')
			}
			switch rest[end] {
			case 'A':
				if s.row-n < s.above {
					s.fault = "it draws over lines that have scrolled away"
				}
				s.row = max(s.row-n, s.above)
			case 'J':
				s.lines = append(s.lines[:s.row:s.row], "")
			case 'm':
			default:
				s.fault = "unknown sequence " + rest[:end+1]
			}
			text = rest[end+1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch {
		case r == '\n':
			s.down()
		case r == '\r':
			s.col = 0
		default:
			if s.col+textRuneWidth(r) > s.width {
				s.down()
				s.fault = "a line is longer than the screen is wide"
			}
			s.lines[s.row] += string(r)
			s.col += textRuneWidth(r)
		}
	}
	return len(b), nil
}

func (s *progressScreen) down() {
	s.row, s.col = s.row+1, 0
	if s.row == len(s.lines) {
		s.lines = append(s.lines, "")
	}
	s.above = max(s.above, s.row-s.height+1)
}

func progressNewOn(screen *progressScreen) *progress {
	return &progress{live: true, err: &painter{w: screen, width: screen.width, color: true}, out: screen,
		height: screen.height, index: map[string]int{},
		last: map[string][]string{}, unended: map[string]string{}, seen: map[string]time.Time{},
		quit: make(chan struct{})}
}

// TestProgressUnended: what a task has begun to write is in its row until that ends.
func TestProgressUnended(t *testing.T) {
	p := progressNewOn(&progressScreen{width: 80, height: 24, lines: []string{""}})
	p.take(&Reply{Run: "R", Tasks: []TaskRun{{Task: "a", State: taskRunning}}})
	for _, step := range []struct {
		line LogLine
		want string
	}{{LogLine{Task: "a", Text: "10%"}, "10%"}, {LogLine{Task: "a", Text: "20%"}, "20%"},
		{LogLine{N: 1, Task: "a", Text: "done"}, "done"},
		{LogLine{Task: "a", Text: "\x1b[2Jagain"}, "again"}, {LogLine{Task: "a"}, "done"}} {
		p.take(&Reply{Line: &step.line})
		if rows := p.rows(); len(rows) != 1 || !strings.Contains(rows[0], step.want) ||
			strings.Contains(rows[0], "[2J\x1b") || strings.Contains(rows[0], "\x1b[2J") {
			t.Errorf("%+v: %q", step.line, rows)
		}
	}
	if kept := p.last["a"]; len(kept) != 1 {
		t.Errorf("kept for the end: %q", kept)
	}
}

// Whatever the size of the screen, tasks are drawn over: at the end each is there once.
func TestProgressLive(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {40, 10}, {20, 5}, {10, 4}, {6, 2}, {200, 6}} {
		screen := &progressScreen{width: size[0], height: size[1], lines: []string{""}}
		p := progressNewOn(screen)
		p.output = size[0] >= 40 // what is shown above may be longer than a line
		tasks := []TaskRun{{Task: "first", State: taskWaiting}, {Task: "second", State: taskWaiting},
			{Task: strings.Repeat("long", 20), State: taskWaiting}, {Task: "日本語のタスク", State: taskWaiting}, {Task: "t5"},
			{Task: "t6"}, {Task: "t7"}, {Task: "t8"}}
		for i := range tasks {
			tasks[i].State = orDefault(tasks[i].State, taskWaiting)
		}
		if err := p.take(&Reply{Run: "R1", Tasks: tasks, More: true}); err != nil {
			t.Fatal(err)
		}
		for i := range tasks {
			tasks[i].State, tasks[i].Attempts = taskRunning, 1
			p.take(&Reply{Tasks: tasks[i : i+1]})
			p.take(&Reply{Line: &LogLine{N: int64(i + 1), Task: tasks[i].Task, Text: "out"}})
			p.last[tasks[i].Task] = []string{strings.Repeat("日本", 150) + "\x1b[2J"}
			p.mu.Lock()
			p.draw(nil)
			p.mu.Unlock()
			tasks[i].State, tasks[i].Seconds, tasks[i].Reason = []string{taskSucceeded, taskFailed, taskCrashed,
				taskCancelled}[i%4], 4000, strings.Repeat("reason ", 30)
			p.take(&Reply{Tasks: tasks[i : i+1]})
			if rows := p.rows(); len(rows) > max(screen.height-2, 1) {
				t.Errorf("%v: %d rows", size, len(rows))
			}
		}
		if screen.fault != "" {
			t.Errorf("%v: %s\n%s", size, screen.fault, strings.Join(screen.lines, "\n"))
		}
		text := strings.Join(screen.lines, "\n")
		if size[1] == 24 {
			for _, task := range tasks[:2] {
				if n := strings.Count(text, task.Task+" "); n != 2 { // its row, and the line of its output
					t.Errorf("%v: %s is there %d times:\n%s", size, task.Task, n, text)
				}
			}
		}
		screen.width = 10_000
		p.end(&Run{ID: "R1", State: runFailed, Reason: "task second: exit 1", Seconds: 65, Tasks: tasks})
		if last := screen.lines[len(screen.lines)-2]; last != "! run R1 failed in 1:05: task second: exit 1" {
			t.Errorf("%v: ends with %q", size, last)
		}
	}
}

func TestProgressPlain(t *testing.T) {
	var out, errs bytes.Buffer
	p := &progress{err: &painter{w: &errs}, out: &out, index: map[string]int{}, last: map[string][]string{},
		seen: map[string]time.Time{}, quit: make(chan struct{}), taskName: true}
	for _, r := range []Reply{
		{Run: "R1"}, {Tasks: []TaskRun{{Task: "a", State: taskWaiting}, {Task: "b", State: taskWaiting},
			{Task: "c", State: taskWaiting}}}, {Tasks: []TaskRun{{Task: "a", State: taskRunning, Attempts: 1}}},
		{Line: &LogLine{Task: "a", Text: "one\x1b[31m"}}, {Line: &LogLine{Task: "a", Bytes: []byte{0xff, '\r'}}},
		{Tasks: []TaskRun{{Task: "a", State: taskRunning, Attempts: 1}}},
		{Tasks: []TaskRun{{Task: "a", State: taskRetrying, Attempts: 1, Reason: "exit 1; attempt 2 of 2 in 1s"}}},
		{Tasks: []TaskRun{{Task: "a", State: taskRunning, Attempts: 2}}}, {Note: "a note"},
		{Tasks: []TaskRun{{Task: "a", State: taskFailed, Reason: "exit 1\x1b[2J", Attempts: 2, Seconds: 61},
			{Task: "b", State: taskSkipped, Reason: "a failed"}}},
	} {
		if err := p.take(&r); err != nil {
			t.Fatal(err)
		}
	}
	p.end(&Run{ID: "R1", State: runFailed, Reason: "task a: exit 1", Seconds: 62.5,
		Tasks: []TaskRun{{Task: "a", State: taskFailed, Attempts: 2}, {Task: "c", State: taskSucceeded, Attempts: 1,
			Seconds: 1.25}}})
	want := "run R1\n* a running\n~ a retrying: exit 1; attempt 2 of 2 in 1s\n* a running\ncdktr: a note\n! a " +
		"failed: exit 1^[[2J (1:01)\n- b skipped: a failed\n+ c succeeded (1.2s)\n! run R1 failed in 1:02: task a: " +
		"exit 1\n"
	if errs.String() != want {
		t.Errorf("standard error:\n%s\nwant\n%s", errs.String(), want)
	}
	if want := "a: one\x1b[31m\na: \xff\r\n"; out.String() != want {
		t.Errorf("standard output: %q, want %q", out.String(), want)
	}
}

func TestProgressLogJSON(t *testing.T) {
	for stream, want := range map[string]string{"o": "out", "e": "err", "c": "cdktr"} {
		if j := logJSONOf(&LogLine{Stream: stream, Bytes: []byte("a\xff")}); j.Stream != want || j.Line != "a\uFFFD" ||
			j.Bytes != "Yf8=" {
			t.Errorf("%+v", j)
		}
	}
	if j := logJSONOf(&LogLine{Stream: "o", Text: "x"}); j.Bytes != "" || j.Line != "x" {
		t.Errorf("%+v", j)
	}
}

// progressWrites counts writes.
type progressWrites struct {
	bytes.Buffer
	n int
}

func (w *progressWrites) Write(b []byte) (int, error) {
	w.n++
	return w.Buffer.Write(b)
}

// TestProgressWritesOnce: what one reply says is written at once, and lines that come again are passed over.
func TestProgressWritesOnce(t *testing.T) {
	var out, errs progressWrites
	p := &progress{err: &painter{w: &errs}, out: &out, index: map[string]int{}, seen: map[string]time.Time{},
		quit: make(chan struct{})}
	r := Reply{Lines: []LogRecord{
		{LogLine: LogLine{N: 1, Task: "a", Attempt: 1, Stream: "o", Text: "1\n2\n3"}, Last: 3},
		{LogLine: LogLine{N: 4, Task: "b", Attempt: 1, Stream: "o", Text: "4"}}}}
	for i := range 100 {
		r.Tasks = append(r.Tasks, TaskRun{Task: fmt.Sprint(i), State: taskRunning, Attempts: 1})
	}
	for range 2 { // the second has nothing new
		if err := p.take(&r); err != nil {
			t.Fatal(err)
		}
	}
	if out.n != 1 || out.String() != "1\n2\n3\n4\n" {
		t.Errorf("output: %d writes of %q", out.n, out.String())
	}
	if lines := strings.Count(errs.String(), "\n"); errs.n != 1 || lines != 100 {
		t.Errorf("tasks: %d writes of %d lines", errs.n, lines)
	}
}
