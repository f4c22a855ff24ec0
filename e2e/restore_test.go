// End-to-end tests of backup and restore: the state of a principal that is killed goes on in another folder.

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// TestRestore: a backup is taken of a live principal, which is then killed. Another one goes on from the backup in a
// folder of its own: the agent gets in with its old credential and brings the run that it has gone on with, the history
// is there, and nothing is damaged.
func TestRestore(t *testing.T) {
	x := newSite(t)
	x.File("quick.yml", "tasks:\n  a: {run: 'echo done'}\n")
	x.File("slow.yml", "tasks:\n  a: {run: 'echo begun; while [ ! -e "+x.Dir+"/go ]; do sleep 0.1; done; echo over'}\n")
	h := x.OpenHub()
	cred := h.Authorize("edge", "agent")
	far := *x
	far.Env = append(slices.Clone(x.Env), "CDKTR_AGENT_NAME=edge")
	agent := far.Spawn("start", "agent", "--credential", cred, "--state", x.Dir+"/edge")
	agent.Saw(&agent.Err, "msg=.connected to the principal")
	first := x.run("quick")
	slow := x.Start("slow")
	x.Until("the slow run has begun", func() bool { return strings.Contains(x.Cdktr("logs", slow).Out, "begun") })
	file := x.Dir + "/b.tar.gz"
	if r := x.Code(0, "backup", "--all", "--workflows", x.Dir+"/workflows", file); !strings.Contains(r.Err,
		"not in it: secrets of agents") || !strings.Contains(r.Err, "cdktr restore") {
		t.Errorf("backup says %s", r.Err)
	}
	x.Refused(5, []string{"holds it since", "stop that one first"}, "restore", file)
	h.Daemon.Kill()
	x.Refused(5, []string{"is not empty", "hint: name another folder with --state"}, "restore", file)

	dir := x.Dir + "/third"
	before, err := os.ReadDir(x.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := x.Code(0, "restore", "--dry-run", "--state", dir, file); !strings.Contains(r.Out, "would restore") {
		t.Errorf("--dry-run says %s", r.Out)
	}
	if after, err := os.ReadDir(x.Dir); err != nil || len(after) != len(before) {
		t.Errorf("--dry-run left something: %v, %v", after, err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if r := x.Feed(string(archive[:len(archive)/2]), "restore", "--state", dir, "-"); r.Code != 2 || !strings.Contains(
		r.Err, "it ends too early") {
		t.Errorf("half of it: exit code %d, %s", r.Code, r.Err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("half of it left a folder")
	}
	r := x.Feed(string(archive), "restore", "--state", dir, "--json", "-")
	harness.Fields(t, r.Out, "file state dry_run files bytes event saved newest keys active agents missed notes")
	told := harness.Decode[struct {
		Newest string
		Keys   bool
		Active []string
		Agents []string
	}](t, r.Out)
	if r.Code != 0 || !told.Keys || told.Newest != slow || len(told.Active) != 1 || told.Active[0] != slow ||
		strings.Join(told.Agents, " ") != "edge" {
		t.Errorf("exit code %d, %s%s", r.Code, r.Out, r.Err)
	}
	if _, err := os.Stat(dir + "/files/workflows/slow.yml"); err != nil {
		t.Error(err)
	}
	x.OK("check", "--state", dir)

	x.Env = append(x.Env, "CDKTR_STATE="+dir)
	p := x.Principal("--bind", h.Endpoint)
	agent.Saw(&agent.Err, `(?s)msg=.connected to the principal.*msg=.connected to the principal`)
	if err := os.WriteFile(x.Dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if run := x.await(slow); run.State != runSucceeded {
		t.Errorf("the run that went on: %+v", run)
	}
	if out := x.OK("logs", slow); !strings.Contains(out, "over\n") {
		t.Errorf("its output: %q", out)
	}
	if out := x.OK("logs", first.ID); out != "done\n" {
		t.Errorf("the output of the run before the backup: %q", out)
	}
	x.run("quick")
	p.Stop()
	x.OK("check", "--state", dir)
}
