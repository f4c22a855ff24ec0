package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestTermTextSafe(t *testing.T) {
	for text, want := range map[string]string{
		"plain ~ text": "plain ~ text", "": "", "ü 日本 é": "ü 日本 é", "a\tb": "a    b",
		"\x1b[31mred\x1b[0m": "^[[31mred^[[0m", "\x1b]0;title\a": "^[]0;title^G", "a\rb\nc\x00": "a^Mb^Jc^@",
		"\x7f":    "^?",
		"\x9b31m": "\uFFFD31m", "\u009b31m": "\uFFFD31m", "\xff\xc3": "\uFFFD\uFFFD",
		"user\u202Etxt.exe": "user\uFFFDtxt.exe", "\u2066x\u2069": "\uFFFDx\uFFFD", "a\u200Bb": "a\uFFFDb",
		"\uFEFFx":        "\uFFFDx",
		"a\u2028b\u2029": "a\uFFFDb\uFFFD", "\uFFFD": "\uFFFD", "\U000E0041": "\uFFFD", "\u00ad": "\uFFFD",
	} {
		if got := textSafe(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzTermTextSafe(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff", 5)
	f.Add("日本語 text", 3)
	f.Fuzz(func(t *testing.T, text string, width int) {
		safe := textSafe(text)
		for _, r := range safe {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
				t.Fatalf("%q has %U", safe, r)
			}
		}
		if !utf8.ValidString(safe) || textSafe(safe) != safe {
			t.Fatalf("%q is not safe", safe)
		}
		width = min(max(width, -5), 100)
		if cut := textCut(safe, width); textWidth(cut) > max(width, 0) || !utf8.ValidString(cut) ||
			textWidth(safe) <= width && cut != safe {
			t.Fatalf("%q cut to %d is %q", safe, width, cut)
		}
	})
}

func TestTermTextCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab~"}, {"", 0, ""}, {"a", 0, ""}, {"ab", 1, ""}, {"ab", -3, ""},
		{"äöüß", 3, "äö~"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本~"}, {"日本語", 4, "日~"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"}} {
		if got := textCut(c.text, c.width); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestTableTook(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0.0s", 0.04: "0.0s", 12.34: "12.3s", 59.94: "59.9s",
		59.96: "1:00", 60: "1:00", 134: "2:14", 3599.9: "59:59", 3600: "1:00:00", 3734: "1:02:14",
		360000: "100:00:00"} {
		if got := tookText(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

func TestTableTime(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 59, 0, time.Local)
	for at, want := range map[time.Time]string{now: "23:59:59", now.Add(-23 * time.Hour): "00:59:59",
		now.Add(-24 * time.Hour): "Jan 30 23:59:59", now.Add(time.Second): "Feb 01 00:00:00",
		now.AddDate(-1, 0, 0): "2025-01-31 23:59", {}: "-"} {
		if got := timeText(stampOf(at), now); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestTableLayout(t *testing.T) {
	rows := func(p *painter) [][]tableCell {
		return [][]tableCell{{cell("etl"), p.state(runSucceeded), cell("fine")},
			{cell("日本"), p.state(taskRetrying), cell("a long reason \x1b[31m that goes on")},
			{cell("x%d", 1), p.state("what"), cell("")}}
	}
	for _, c := range []struct {
		name  string
		p     painter
		want  string
		heads []string
	}{
		{"to a file", painter{}, "ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long " +
			"reason ^[[31m that goes on\nx1    ? what       \n", []string{"ID", "STATE", "REASON"}},
		{"to a terminal", painter{width: 30},
			"ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long rea~\nx1    ? what       \n",
			[]string{"ID", "STATE", "REASON"}},
		{"to a tiny terminal", painter{width: 5},
			"ID    STATE        REASON\netl   + succeeded  fine\n日本  ~ retrying   a long ~\nx1    ? what       \n",
			[]string{"ID", "STATE", "REASON"}},
	} {
		var out bytes.Buffer
		c.p.w = &out
		if err := c.p.table(c.heads, rows(&c.p)); err != nil || out.String() != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, out.String(), c.want)
		}
	}
	var out bytes.Buffer
	p := &painter{w: &out, color: true}
	if err := p.table([]string{"S"}, [][]tableCell{{p.state(runFailed)}}); err != nil ||
		out.String() != colorBold+"S"+colorReset+"\n"+colorRed+"! failed"+colorReset+"\n" {
		t.Errorf("%q", out.String())
	}
	getenv := func(set string) func(string) string {
		return func(name string) string {
			if name == set {
				return "1"
			}
			return ""
		}
	}
	for _, c := range []struct {
		mode, env string
		want      bool
		// to what is no terminal
	}{{"auto", "", false}, {"always", "", true}, {"always", "NO_COLOR", true}, {"never", "", false}} {
		if p := painterOf(&out, c.mode, getenv(c.env)); p.color != c.want || p.width != 0 {
			t.Errorf("%+v: %+v", c, p)
		}
	}
	for _, state := range []string{runQueued, runRunning, runSucceeded, runFailed, runCancelled, runCrashed,
		taskWaiting, taskRetrying, taskSkipped} {
		if glyph, _ := stateLooks(state); len(glyph) != 1 || glyph == "?" {
			t.Errorf("%s is shown as %q", state, glyph)
		}
	}
}

// termScreen is a terminal: it knows what progress uses of one, wraps, and scrolls.
type termScreen struct {
	width, height int
	lines         []string // all of them, those that scrolled away too
	row, col      int
	above         int // lines that have scrolled away and cannot be drawn over
	fault         string
}

func (s *termScreen) Write(b []byte) (int, error) {
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

func (s *termScreen) down() {
	s.row, s.col = s.row+1, 0
	if s.row == len(s.lines) {
		s.lines = append(s.lines, "")
	}
	s.above = max(s.above, s.row-s.height+1)
}

func progressNewOn(screen *termScreen) *progress {
	return &progress{live: true, err: &painter{w: screen, width: screen.width, color: true}, out: screen,
		height: screen.height, index: map[string]int{},
		last: map[string][]string{}, unended: map[string]string{}, seen: map[string]time.Time{}, began: time.Now(),
		quit: make(chan struct{})}
}

// TestProgressUnended: what a task has begun to write is in its row until that ends.
func TestProgressUnended(t *testing.T) {
	p := progressNewOn(&termScreen{width: 80, height: 24, lines: []string{""}})
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
		screen := &termScreen{width: size[0], height: size[1], lines: []string{""}}
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
			p.take(&Reply{Line: &LogLine{N: 1, Task: tasks[i].Task, Text: "out"}})
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
