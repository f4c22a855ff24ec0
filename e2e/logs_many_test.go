package e2e

import (
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestLogsMany: logs over many runs: which fit, in which order, how many lines, and what stands in front of them.
func TestLogsMany(t *testing.T) {
	x := newSite(t)
	x.File("etl/load.yml", "agent: {site: near}\nparams: {n: {default: '1'}}\ntasks:\n  a: {run: 'echo load $PARAM_N; "+
		"echo again $PARAM_N'}\n")
	x.File("etl/bad.yml", "agent: {site: near}\ntasks:\n  a: {run: 'echo told; echo warned >&2; exit 3'}\n")
	x.File("other.yml", "agent: {site: far}\ntasks:\n  b: {run: 'echo other'}\n")
	x.Principal("--with-agent", "--label", "site=near")
	far := x.Spawn("start", "agent", "--name", "far", "--label", "site=far", "--state", x.Dir+"/far")
	x.Until("both agents are there", func() bool { return strings.Count(x.OK("agents"), "\n") == 3 })
	for _, n := range []string{"1", "2"} {
		x.OK("run", "etl.load", "--wait", "-p", "n="+n)
	}
	x.Code(1, "run", "etl.bad", "--wait")
	x.OK("run", "other", "--wait")

	for _, c := range []struct{ args, want string }{
		{"--workflow etl.*", "load 1\nagain 1\nload 2\nagain 2\ntold\nwarned\n"},
		{"--workflow etl.load", "load 1\nagain 1\nload 2\nagain 2\n"},
		{"--workflow etl.load --grep ^again", "again 1\nagain 2\n"},
		{"--since 1h -n 3", "told\nwarned\nother\n"},
		{"--since 1h -n 4", "again 2\ntold\nwarned\nother\n"},
		{"--since 1h -n 0", ""},
		{"--state failed", "told\nwarned\n"},
		{"--state failed --err", "warned\n"},
		{"--workflow * --task b", "other\n"},
		{"-l site=far", "other\n"},
		{"--agent far", "other\n"},
		{"--agent one --state failed", "told\nwarned\n"},
		{"-l site=far --workflow etl.*", ""},
		{"--workflow nothing", ""},
	} {
		if r := x.Code(0, append([]string{"logs"}, strings.Fields(c.args)...)...); r.Out != c.want {
			t.Errorf("logs %s prints %q, want %q", c.args, r.Out, c.want)
		} else if c.want == "" && !strings.Contains(r.Err, "no run fits") && !strings.Contains(c.args, "-n 0") {
			t.Errorf("logs %s says %q", c.args, r.Err)
		}
	}
	if out := x.OK("logs", "--state", "failed", "--task-name", "--err"); !strings.HasPrefix(out, "etl.bad 01") ||
		!strings.HasSuffix(out, " a: warned\n") {
		t.Errorf("with its task a line is %q", out)
	}
	harness.Fields(t, x.OK("logs", "--agent", "far", "--json"), "workflow t run task attempt stream line")
	for _, args := range []string{"etl.load --state failed", "-f --workflow etl.*", "--workflow [", "--state bad -n 1",
		"--workflow x --grep (", "tail --agent far"} {
		x.Refused(2, nil, append([]string{"logs"}, strings.Fields(args)...)...)
	}
	x.Refused(5, []string{"labels", "cdktr agents"}, "logs", "-l", "site=mars")
	far.Stop()
}
