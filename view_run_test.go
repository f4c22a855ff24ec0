package main

import (
	"strings"
	"testing"
	"time"
)

// viewRunBackup is the run of the pictures: one of nine tasks, two of them at it, one failed.
func viewRunBackup() (*Run, *Workflow, *Agent) {
	exit := func(n int) *int { return &n }
	spec := &Workflow{ID: "site07-backup", Schedule: []string{"0 2 * * *"}, Retries: 2, WorkingDirectory: "/var/lib/backup", Env: map[string]string{"PGUSER": "backup"}, Tasks: []Task{
		{ID: "fetch-keys", Run: "scp keys: ."},
		{ID: "freeze", Run: "fsfreeze -f /srv"},
		{ID: "dump", Run: "set -e\npg_dump site07 > site07.sql\nsync\n", Depends: []string{"fetch-keys", "freeze"}, Retries: 2},
		{ID: "dump-audit", Name: "Audit dump", Cmd: "/usr/bin/pg_dump", Args: []string{"-h", "10.2.0.9", "audit"}, Depends: []string{"freeze"},
			Retries: 2, RetryDelay: Duration(10 * time.Second), Timeout: Duration(10 * time.Minute), Env: map[string]string{"PGPASSWORD": "secret"}},
		{ID: "encrypt", Run: "age -r key site07.sql", Depends: []string{"dump"}},
		{ID: "report-audit", Run: "mail", Depends: []string{"dump-audit"}},
		{ID: "upload", Run: "rclone", Depends: []string{"encrypt"}, Retries: 4},
		{ID: "thaw", Run: "fsfreeze -u /srv", Depends: []string{"freeze"}, When: whenAlways},
		{ID: "metrics", Run: "curl", Depends: []string{"freeze"}},
	}}
	run := &Run{ID: "01KJVX3H5T0000000000001280", Workflow: "site07-backup", State: runRunning, Trigger: triggerCron, Agent: "edge-07", Attempt: 1,
		Started: viewStamp("02:00:00"), Tasks: []TaskRun{
			{Task: "fetch-keys", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:00"), Finished: viewStamp("02:00:02"), Seconds: 2},
			{Task: "freeze", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:00"), Finished: viewStamp("02:00:11"), Seconds: 11},
			{Task: "dump", State: taskRunning, Attempts: 2, Started: viewStamp("02:00:16")},
			{Task: "dump-audit", State: taskFailed, Reason: "exit 3", Exit: exit(3), Attempts: 3, Started: viewStamp("02:00:59"), Finished: viewStamp("02:01:40"), Seconds: 40.9},
			{Task: "encrypt", State: taskWaiting},
			{Task: "report-audit", State: taskSkipped, Reason: "dump-audit failed", Finished: viewStamp("02:01:40")},
			{Task: "upload", State: taskWaiting},
			{Task: "thaw", State: taskRunning, Attempts: 1, Started: viewStamp("02:02:11")},
			{Task: "metrics", State: taskSucceeded, Exit: exit(0), Attempts: 1, Started: viewStamp("02:00:11"), Finished: viewStamp("02:00:12"), Seconds: 1},
		}}
	agent := &Agent{Name: "edge-07", State: agentUp, Labels: map[string]string{"arch": "arm64"}, Capacity: 4, Running: 2}
	return run, spec, agent
}

// viewRunLog stands in for the log pane.
func viewRunLog(g *termGrid, a viewArea) {
	p := viewPen{g, a}
	for y := range a.h {
		p.cell(0, y, a.w, 0, "02:01:09 pg_dump: error: connection to server failed: timeout expired"+strings.Repeat(" .", 60))
	}
}

func viewRunFixture() *viewRun {
	run, spec, agent := viewRunBackup()
	v := &viewRun{Agent: agent, Now: viewStamp("02:02:14").Time}
	v.set(run, spec)
	return v
}

func TestViewRunGolden(t *testing.T) {
	screens := []struct {
		name   string
		change func(v *viewRun)
	}{
		{"run", func(v *viewRun) {}},
		{"run-wave", func(v *viewRun) { v.Mode = viewRunWave }},
		{"run-time", func(v *viewRun) { v.Mode = viewRunTime }},
	}
	for _, s := range screens {
		for _, size := range viewSizes {
			v := viewRunFixture()
			s.change(v)
			g := termGridNew(size[0], size[1])
			v.draw(g, viewArea{0, 1, g.w, g.h - 3}, viewRunLog)
			viewGolden(t, s.name, g)
		}
	}
}
