package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCommandRun: what a command can do to the one who runs it, and what is said of it.
func TestCommandRun(t *testing.T) {
	exit := func(n int) *int { return &n }
	pid := func(dir string) string { return " echo $! >" + dir + "/pid; " }
	for _, c := range []struct {
		name    string
		line    func(dir string) string
		timeout time.Duration
		exit    *int
		reason  string
		output  string // that its output ends with
	}{
		{name: "well", line: func(string) string { return `printf %s "$A"; cat` }, exit: exit(0), output: "of Aof stdin"},
		{name: "reads nothing", line: func(string) string { return `exec <&-; echo ok >&2` }, exit: exit(0), output: "ok\n"},
		{name: "fails", line: func(string) string { return `echo no; exit 3` }, exit: exit(3), reason: "exit 3",
			output: "no\n"},
		{name: "not found", line: func(string) string { return `/no/such/thing` }, exit: exit(127),
			reason: "exit 127: the shell did not find the command", output: "found\n"},
		{name: "killed", line: func(string) string { return `kill -9 $$` }, reason: "signal SIGKILL"},
		{name: "hangs", line: func(string) string { return `echo slow; sleep 1000` }, timeout: 200 * time.Millisecond,
			reason: "timed out after 200ms", output: "slow\n"},
		{name: "ignores TERM", line: func(string) string { return `trap "" TERM; while :; do sleep 0.1; done` },
			timeout: 100 * time.Millisecond, reason: "timed out after 100ms"},
		{name: "floods", line: func(string) string { return `exec yes flood` },
			reason: fmt.Sprintf("it wrote more than %d bytes", commandFloods)},
		{name: "leaves a child that holds its output",
			line: func(dir string) string { return `sleep 1000 &` + pid(dir) + `echo gone` }, exit: exit(0), output: "gone\n"},
		{name: "leaves a child that ignores TERM", line: func(dir string) string {
			return `(trap "" TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 &` + pid(dir) + `exit 5`
		}, exit: exit(5), reason: "exit 5"},
		{name: "no UTF-8", line: func(string) string { return `printf 'a\377'` }, exit: exit(0), output: "a\uFFFD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.timeout == 0 {
				c.timeout = time.Minute
			}
			r := commandRun(t.Context(), commandSpec{Line: c.line(dir), Stdin: []byte("of stdin"),
				Env: append(os.Environ(), "A=of A"), Timeout: c.timeout})
			if fmt.Sprint(ptrText(r.Exit)) != fmt.Sprint(ptrText(c.exit)) || r.Reason != c.reason ||
				!strings.HasSuffix(r.Output, c.output) || len(r.Output) > commandKept {
				t.Errorf("exit %s, reason %q, output of %d bytes %.100q", ptrText(r.Exit), r.Reason, len(r.Output),
					r.Output)
			}
			var left int
			if text, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
				fmt.Sscan(string(text), &left)
				procTestUntil(t, "the end of what it left behind", func() bool { // init may be slow to collect it
					stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", left))
					return unix.Kill(left, 0) == unix.ESRCH || strings.Contains(string(stat), ") Z ")
				})
			}
		})
	}
}

// TestCommandStops: the end of the principal ends a command.
func TestCommandStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	r := commandRun(ctx, commandSpec{Line: "sleep 1000", Timeout: time.Hour})
	if r.Exit != nil || r.Reason != "stopped with the principal" {
		t.Errorf("%+v", r)
	}
}

func ptrText(n *int) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprint(*n)
}
