package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// Output comes many lines a reply to who asks for that with n, and one by one to who does not; the lines are the same,
// with every filter, and also where as JSON they are six times as long.
func TestLogsManyLinesAReply(t *testing.T) {
	x := e2eNew(t)
	x.File("w.yml", `tasks: {a: {run: "seq 1 2000; echo err >&2; head -c 250000 /dev/zero | tr '\\0' '\\1' | fold -w 60000; echo; printf '\\377\\n'; seq 2001 3000"}}`)
	x.Principal("--with-agent")
	id := x.run("w").ID
	for _, c := range []struct {
		req   Request
		first string // and last, of all lines
		lines int
	}{
		{Request{}, "1 3000", 3007},
		{Request{N: 1}, "1 3000", 3007},
		{Request{N: 100}, "1 3000", 3007},
		{Request{N: 1 << 30}, "1 3000", 3007},
		{Request{N: 1 << 30, Follow: true}, "1 3000", 3007},
		{Request{N: 7, Last: 10}, "2991 3000", 10},
		{Request{N: 1 << 30, Before: 1500, Last: 1000}, "500 1499", 1000},
		{Request{N: 1 << 30, Grep: "^5.*9$"}, "59 599", 11},
		{Request{N: 1 << 30, Stream: "e"}, "err err", 1},
		{Request{N: protoNone}, "", 0},
		{Request{N: 100, Last: protoNone}, "", 0},
	} {
		c.req.Op, c.req.Run = "logs", id
		conn, err := clientDial(t.Context(), "ipc://"+filepath.Join(x.Dir, "s"), wireOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		var last int64
		replies := 0
		err = conn.stream(t.Context(), c.req, func(r *Reply) error {
			n := 0
			err := r.eachLine(func(l *LogLine) error {
				if n++; l.N <= last || l.Run != id || l.Task != "a" || l.Time.IsZero() {
					return fmt.Errorf("line %+v behind %d", l, last)
				}
				last, texts = l.N, append(texts, string(l.raw()))
				return nil
			})
			if n > 0 {
				replies++
			}
			if (c.req.N == 0) != (r.Lines == nil) && n > 0 || n > max(1, int(c.req.N)) || n > protoMaxLines {
				return fmt.Errorf("%d lines in a reply, %d records", n, len(r.Lines))
			}
			return err
		})
		conn.close()
		if got := append(texts, "")[0] + " " + append([]string{""}, texts...)[len(texts)]; err != nil ||
			strings.TrimSpace(got) != c.first || len(texts) != c.lines {
			t.Errorf("n %d, last %d, grep %q: %v, %d lines, want %d; the first and the last are %.40q, want %q",
				c.req.N, c.req.Last, c.req.Grep, err, len(texts), c.lines, got, c.first)
		}
		if c.req.N == 1<<30 && c.lines > 2500 && replies > 60 {
			t.Errorf("%d lines come in %d replies", len(texts), replies)
		}
		if c.lines > 3000 && !slices.Contains(texts, "\xff") {
			t.Errorf("n %d: the line that is no text is not there", c.req.N)
		}
	}
	if out := x.OK("logs", id); strings.Count(out, "\n") != 3007 || !strings.HasPrefix(out, "1\n2\n") ||
		!strings.HasSuffix(out, "\n2999\n3000\n") || !strings.Contains(out, "\n\xff\n") {
		t.Errorf("cdktr logs prints %d lines: %.50q", strings.Count(out, "\n"), out)
	}
	if n := len(harness.Lines[logJSON](t, x.OK("logs", id, "--json"))); n != 3007 {
		t.Errorf("cdktr logs --json prints %d lines", n)
	}
}
