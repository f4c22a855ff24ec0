// End-to-end tests of what is kept of a task's use of its machine.

package e2e

import (
	"regexp"
	"testing"

	"cdktr/e2e/harness"
)

// TestTaskUsed: each attempt's use is in the run's record, in show, in the journal and in stats, and a restart changes
// nothing of it.
func TestTaskUsed(t *testing.T) {
	x := newSite(t)
	x.File("use.yml", `tasks:
  big:
    retries: 1
    retry_delay: 10ms
    run: |
      dd if=/dev/zero of=/dev/null bs=$((256 * CDKTR_ATTEMPT))M count=1 2>/dev/null
      [ $CDKTR_ATTEMPT = 2 ]
  none: {depends: [big], when: failure, run: 'true'}
`)
	p := x.Principal("--with-agent")
	run := x.run("use").ID
	check := func() {
		t.Helper()
		task := x.show(run).task("big")
		if n := len(task.Earlier); n != 1 {
			t.Fatalf("%d attempts before the last", n)
		}
		first, second := task.Earlier[0].Used, task.Used
		if first.Memory < 256<<20 || first.Memory > 320<<20 || second.Memory < 512<<20 || second.Memory > 576<<20 ||
			second.CPU <= 0 {
			t.Errorf("used %+v and then %+v", first, second)
		}
		if none := x.show(run).task("none"); none.Used != (TaskUse{}) {
			t.Errorf("a task that did not run used %+v", none.Used)
		}
		for _, args := range [][]string{{"show", run}, {"stats", "use"}} {
			if out := x.OK(args...); !regexp.MustCompile(`[\d.ms]+ cpu, 5[12]\d(\.\d)?M memory`).MatchString(out) {
				t.Errorf("%q says\n%s", args, out)
			}
		}
	}
	check()
	p.Kill()
	x.Principal("--with-agent")
	check()
	used := 0
	for _, e := range harness.Lines[map[string]any](t, x.OK("events", "--json")) {
		if u, ok := e["used"].(map[string]any); ok && u["memory"] != nil {
			used++
		}
	}
	if used != 2 {
		t.Errorf("%d events have it", used)
	}
}
