// End-to-end tests of backfills.

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"cdktr/e2e/harness"
)

// Batch is a batch as `backfill --json` prints it.
type Batch struct {
	Batch                                              string
	State                                              string
	Reason                                             string
	Fires, Made, Succeeded, Failed, Crashed, Cancelled int
}

// TestBackfill: the fires of a schedule get their runs, each with its fire, over a principal that is killed half way;
// what has a run that succeeded is left, and what failed is made again with --failed.
func TestBackfill(t *testing.T) {
	x := newSite(t)
	x.File("daily.yml", `schedule: "30 1 * * *"
timezone: Europe/London
failover: rerun
params: {bad: {default: "2026-03-29"}}
env: {BAD: "${params.bad}"}
tasks:
  a: {run: 'case $CDKTR_SCHEDULED_AT in $BAD*) exit 3 ;; esac; sleep 0.1'}
`)
	p := x.Principal("--with-agent")
	days := []string{"--from", "2026-03-20", "--to", "2026-04-10"}
	fill := func(flags ...string) []string {
		return append(append([]string{"backfill", "daily"}, days...), flags...)
	}
	out := x.Code(0, fill("--dry-run")...)
	// the clock skips that hour: what was to fire in it fires at its end
	if !strings.Contains(out.Out, "2026-03-29 01:00:00 UTC") || !strings.Contains(out.Err, "22 runs of 22 fires") {
		t.Errorf("--dry-run says %s%s", out.Out, out.Err)
	}
	id := strings.TrimSpace(x.OK(fill("--detach")...))
	x.Until("some runs were made", func() bool { return batch(x, id).Made > 3 })
	p.Kill()
	p = x.Principal("--with-agent")
	over := x.Code(1, "backfill", id, "--wait")
	b := batch(x, id)
	if b.State != "failed" || b.Succeeded != 21 || b.Failed != 1 ||
		!strings.Contains(over.Err, "22 of 22 done, 1 failed") {
		t.Errorf("at its end: %+v, %s", b, over.Err)
	}
	if runs := harness.Lines[Run](t, x.OK("ps", "--batch", id, "--json")); len(runs) != 22 {
		t.Errorf("%d runs are of the batch", len(runs))
	}
	if r := x.Code(1, fill("--failed", "--follow")...); !strings.Contains(r.Err, "1 run of 22 fires") {
		t.Errorf("--failed says %s", r.Err)
	}
	if r := x.Code(0, fill("-p", "bad=never", "--follow")...); !strings.Contains(r.Err, "22 runs") {
		t.Errorf("with another parameter it says %s", r.Err)
	}
	if r := x.Code(0, fill("--follow")...); !strings.Contains(r.Err, "nothing to make") ||
		!strings.Contains(r.Err, "22 have a run that succeeded") {
		t.Errorf("when all is done it says %s", r.Err)
	}
	if list := harness.Lines[Batch](t, x.OK("backfill", "--json")); len(list) != 3 || list[2].Batch != id {
		t.Errorf("the list has %+v", list)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{5, "no workflow", []string{"dayly", "--from", "-7d"}},
		{2, "--from TIME is missing", []string{"daily"}},
		{2, "neither a time nor", []string{"daily", "--from", "yesterday"}},
		{2, "is before", []string{"daily", "--from", "2026-03-02", "--to", "2026-03-01"}},
		{5, "one at a time", []string{"daily", "--from", "-7d", "--max-parallel", "3"}},
		{2, "1 to 100", []string{"daily", "--from", "-7d", "--max-parallel", "0"}},
		{2, "more than 10000", []string{"daily", "--from", "1900-01-01"}},
		{2, "no parameter", []string{"daily", "--from", "-7d", "-p", "x=y"}},
		{5, "no batch", []string{"B01M8N8336EXGHM5ZXHR9QKEC3K"}},
		{2, "has begun", []string{id, "--from", "-7d"}},
		{2, "use one of them", []string{"daily", "--from", "-7d", "--all", "--failed"}},
	} {
		x.Refused(c.code, []string{c.want}, append([]string{"backfill"}, c.args...)...)
	}
	p.Stop()
	x.OK("check")
}

// TestBackfillCancel: a batch is cancelled as one; a follower that is interrupted leaves it alone.
func TestBackfillCancel(t *testing.T) {
	x := newSite(t)
	x.File("long.yml", "schedule: '0 * * * *'\noverlap: allow\ntasks: {a: {run: sleep 600}}\n")
	x.Principal("--with-agent", "--capacity", "4")
	p := x.Spawn("backfill", "long", "--from", "-9h", "--max-parallel", "3", "--follow")
	id := strings.TrimSpace(p.Saw(&p.Err, `batch (B\S+):`)[1])
	x.Until("three are active", func() bool { return batch(x, id).Made == 3 })
	p.Signal(2)
	if code := p.Wait(); code != 130 || !strings.Contains(p.Err.String(), "the batch goes on: cdktr backfill "+id) {
		t.Errorf("interrupted: %d, %s", code, p.Err.String())
	}
	x.Refused(5, []string{"no batch"}, "cancel", "B01M8N8336EXGHM5ZXHR9QKEC3K")
	x.OK("cancel", id)
	x.Code(1, "backfill", id, "--wait")
	if b := batch(x, id); b.State != "cancelled" || b.Made != 3 || b.Cancelled != 3 || b.Fires < 9 {
		t.Errorf("%+v", b)
	}
	x.Refused(5, []string{"cancelled already"}, "cancel", id)
	events := x.OK("events")
	if !strings.Contains(events, "batch.begun") || !strings.Contains(events, "batch.stopped") {
		t.Errorf("the audit trail has %s", events)
	}
}

// batch gives a batch as it is.
func batch(x *site, id string) (b Batch) {
	x.T.Helper()
	if err := json.Unmarshal([]byte(x.Cdktr("backfill", id, "--detach", "--json").Out), &b); err != nil {
		x.T.Fatal(err)
	}
	return b
}
