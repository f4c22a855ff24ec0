// End-to-end tests of wrap, which runs the commands of a crontab.

package e2e

import (
	"os"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestWrap: a command runs as without wrap, also with no principal; what was recorded meanwhile is told in order, once.
func TestWrap(t *testing.T) {
	x := newSite(t)
	r := x.Feed("from cron\n", "wrap", "--name", "job", "--", "sh", "-c", "cat; echo oops >&2; exit 7")
	if r.Code != 7 || r.Out != "from cron\n" || r.Err != "oops\n" {
		t.Errorf("code %d, %q, %q", r.Code, r.Out, r.Err)
	}
	if r := x.Code(0, "wrap", "--name", "job", "--quiet", "--", "echo", ""); r.Out+r.Err != "" {
		t.Errorf("--quiet prints %q", r.Out+r.Err)
	}
	if r := x.Code(1, "wrap", "--name", "loud", "--quiet", "--", "sh", "-c", "echo why; exit 1"); r.Out != "why\n" {
		t.Errorf("--quiet prints %q of what failed", r.Out)
	}
	x.Refused(3, []string{"no principal"}, "wrap", "--flush")
	x.File("daily.yml", "tasks: {a: {run: 'true'}}\n")
	p := x.Principal("--with-agent")
	x.OK("wrap", "--name", "job", "--", "true") // tells what is spooled too
	states := func(name string) (text string) {
		for _, run := range harness.Lines[Run](t, x.OK("ps", "--all", "--workflow", name, "--json")) {
			text = run.State + " " + text
		}
		return text
	}
	if got := states("job"); got != "failed succeeded succeeded " {
		t.Errorf("job has %s", got)
	}
	if got := states("loud"); got != "failed " {
		t.Errorf("loud has %s", got)
	}
	if r := x.Code(0, "wrap", "--flush"); !strings.Contains(r.Err, "0 runs told") {
		t.Errorf("--flush says %s", r.Err)
	}
	if out := x.OK("logs", "loud"); out != "why\n" {
		t.Errorf("its output is kept as %q", out)
	}
	if out := x.OK("attention"); !strings.Contains(out, "loud") {
		t.Errorf("attention says %s", out)
	}
	// the name of a workflow is not for records: the command runs all the same
	x.OK("wrap", "--name", "daily", "--", "true")
	if got := states("daily"); got != "" {
		t.Errorf("daily has %s", got)
	}
	p.Kill()
	x.Code(9, "wrap", "--name", "job", "--schedule", "* * * * *", "--grace", "1s", "--", "sh", "-c", "exit 9")
	p = x.Principal("--with-agent")
	x.Code(0, "wrap", "--flush")
	if got := states("job"); got != "failed succeeded succeeded failed " {
		t.Errorf("after a restart job has %s", got)
	}
	x.OK("wrap", "--forget", "job")
	x.Refused(5, []string{"was recorded"}, "wrap", "--forget", "job")
	p.Stop()
	x.OK("check")
}

// TestWrapLimits: a second one of the same name does not start; a timeout and a TERM end all that the command has
// started; what it leaves behind when it ends by itself goes on.
func TestWrapLimits(t *testing.T) {
	x := newSite(t)
	long := x.Spawn("wrap", "--name", "long", "--", "sh", "-c", "echo begun; sleep 1000 & wait")
	long.Saw(&long.Out, "begun")
	if r := x.Code(75, "wrap", "--name", "long", "--", "echo", "twice"); r.Out != "" ||
		!strings.Contains(r.Err, "still at work (process") {
		t.Errorf("beside another it says %s%s", r.Out, r.Err)
	}
	x.Code(75, "wrap", "--name", "long", "--lock", "10ms", "--quiet", "--", "echo", "twice")
	x.Code(0, "wrap", "--name", "long", "--lock", "none", "--", "true")
	waits := x.Spawn("wrap", "--name", "long", "--lock", "wait", "--", "echo", "after")
	long.Signal(15)
	if code := long.Wait(); code != 143 {
		t.Errorf("after TERM its code is %d: %s", code, long.Err.String())
	}
	if code := waits.Wait(); code != 0 || waits.Out.String() != "after\n" {
		t.Errorf("the one that waited: %d, %s", code, waits.Err.String())
	}
	r := x.Code(124, "wrap", "--name", "slow", "--timeout", "1s", "--", "sh", "-c",
		"(setsid sleep 1000 & echo $! >"+x.Dir+"/pid); sleep 1000")
	if !strings.Contains(r.Err, "timed out after 1s") {
		t.Errorf("a timeout says %s", r.Err)
	}
	pid, err := os.ReadFile(x.Dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)) + "/status"); err == nil {
		t.Errorf("process %s was left", pid)
	}
	x.Code(0, "wrap", "--name", "daemon", "--", "sh", "-c", "(sleep 0.5; echo done >"+x.Dir+"/done) >/dev/null 2>&1 &")
	x.Until("what it has left behind went on", func() bool { _, err := os.Stat(x.Dir + "/done"); return err == nil })
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{127, "not found", []string{"--", "no-such-command"}},
		{126, "executable", []string{"--", x.Dir + "/pid"}},
		{2, "behind --", nil},
		{2, "--lock", []string{"--lock", "maybe", "--", "true"}},
		{2, "--schedule", []string{"--schedule", "61 * * * *", "--", "true"}},
		{2, "--name", []string{"--name", "a/b", "--", "true"}},
	} {
		x.Refused(c.code, []string{c.want}, append([]string{"wrap"}, c.args...)...)
	}
	x.File("../broken", "\x00: [")
	x.Code(3, "wrap", "--config", x.Dir+"/broken", "--", "sh", "-c", "exit 3") // it runs, whatever the settings say
}
