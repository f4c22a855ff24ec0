// End-to-end tests of pauses that end by themselves.

package e2e

import (
	"strings"
	"testing"
	"time"

	"cdktr/e2e/harness"
)

// pauseShown is a workflow as ls prints it, as far as it tells of a pause.
type pauseShown struct {
	Paused string    `json:"paused"`
	Next   time.Time `json:"next"`
	Pause  *struct {
		By    string    `json:"by"`
		Note  string    `json:"note"`
		Since time.Time `json:"since"`
		Until time.Time `json:"until"`
	} `json:"pause"`
}

// TestPauseEnds: a pause with an end and a note is told of, outlives a principal that is killed, ends by itself, and
// nothing that was due in it runs.
func TestPauseEnds(t *testing.T) {
	x := newSite(t)
	x.File("tick.yml", "schedule: '*/1 * * * * *'\noverlap: allow\ncatchup: all\ntasks:\n  a: {run: 'true'}\n")
	x.File("odd.yml", "schedule: '0 4 * * *'\ntasks:\n  a: {run: 'true'}\n")
	p := x.Principal("--with-agent")
	x.Until("it fires", func() bool { return len(x.decisions("tick")) > 0 })

	out := x.OK("pause", "tick", "--for", "6s", "--note", "a disk is moved \x1b[31m", "--json")
	done := harness.Decode[struct {
		Done, Workflow, Note string
		Until                time.Time
	}](t, out)
	if done.Done != "pause" || done.Workflow != "tick" || !strings.HasPrefix(done.Note, "a disk is moved") {
		t.Errorf("pause says %s", out)
	}
	p.Kill()
	x.Principal("--with-agent")
	w := harness.Decode[pauseShown](t, x.OK("ls", "tick", "--json"))
	if w.Pause != nil && (w.Pause.Until != done.Until || w.Pause.Since.IsZero() || w.Next.Before(done.Until)) {
		t.Errorf("after a restart: %+v %+v", w, w.Pause)
	}
	x.Until("the pause ends", func() bool { return x.workflow("tick").Paused == "" })
	x.Until("it fires again", func() bool { d := x.decisions("tick"); return d[len(d)-1].Fired })
	skipped := 0
	for _, d := range x.decisions("tick") {
		switch held := !d.At.Before(w.Pause.Since) && d.At.Before(done.Until); {
		case held && d.Fired:
			t.Errorf("%s fired in the pause: %+v", d.At, d)
		case held && strings.Contains(d.Reason, "paused by") && strings.Contains(d.Reason, ": a disk is moved"):
			skipped++
		}
	}
	if skipped == 0 {
		t.Errorf("nothing tells of the pause: %s", x.OK("why", "tick"))
	}
	if text := x.OK("events", "-n", "500"); !strings.Contains(text, `"e":"workflow.resumed"`) {
		t.Errorf("events lack the end of the pause: %s", text)
	}

	x.OK("pause", "odd", "--until", "2099-01-01", "--note", "no shop \x1b]0;x\x07is open")
	for _, args := range []string{"ls odd", "show odd", "why odd"} {
		text := x.OK(strings.Fields(args)...)
		if !strings.Contains(text, "2099-01-01") || strings.Contains(text, "\x1b]") {
			t.Errorf("%s says %q", args, text)
		}
	}
	if text := x.OK("show", "odd"); !strings.Contains(text, ", until 2099-01-01 00:00: no shop ") {
		t.Errorf("show says %q", text)
	}
	if r := x.Code(0, "next", "odd", "-n", "1"); !strings.Contains(r.Out, "2099-01-01 04:00:00") ||
		!strings.Contains(r.Err, "nothing fires before 2099-01-01") {
		t.Errorf("next says %q, %q", r.Out, r.Err)
	}
	if r := x.Code(0, "pause", "odd"); !strings.Contains(r.Err, "takes the place of the pause by") {
		t.Errorf("pause again says %q", r.Err)
	}
	if w := harness.Decode[pauseShown](t, x.OK("ls", "odd", "--json")); !w.Pause.Until.IsZero() || w.Pause.Note != "" {
		t.Errorf("paused again: %+v", w.Pause)
	}
	for args, words := range map[string]string{
		"pause odd --for 1h --until 12:00": "not both", "pause odd --for nothing": "is not a duration",
		"pause odd --for -1h": "is not a duration", "pause odd --until 25:00": "is not a time",
		"pause odd --until 2001-01-01": "is over", "pause --all odd --for 1h": "not both",
		"pause odd --note " + strings.Repeat("x", 301): "may have 300",
	} {
		x.Refused(2, []string{words}, strings.Fields(args)...)
	}
}
