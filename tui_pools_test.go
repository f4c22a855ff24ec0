package main

import (
	"strings"
	"testing"
)

// tuiPoolsFixture is pools as a principal tells of them.
func tuiPoolsFixture() []PoolInfo {
	run := func(n int, workflow, agent string, places int, reason string) PoolUse {
		r := tuiTestRun(n, workflow, runQueued, "2026-03-04 12:00:00", 0, "", "")
		return PoolUse{Run: r.ID, Workflow: workflow, Places: places, Since: viewStamp("01:30:00"), Agent: agent,
			Reason: reason}
	}
	held := "waiting: pool database, held by " + run(1280, "", "", 0, "").Run
	return []PoolInfo{
		{Pool: "database", Places: 2, Declared: true, Taken: 2, Workflows: 3, Holding: 1, Waiting: 103,
			Holders: []PoolUse{run(1280, "site07-backup", "edge-03", 2, "")},
			Waiters: []PoolUse{run(1281, "site07-report", "", 1, held), run(1282, "site11-sync", "", 1, held)}},
		{Pool: "licences", Places: 10, Declared: true},
		{Pool: "tape", Places: 1, Taken: 2, Workflows: 1, Holding: 2,
			Holders: []PoolUse{run(1270, "site12-sync", "edge-07", 1, ""),
				run(1271, "site20-import", "edge-09", 1, "")}},
	}
}

// The screen of pools asks anew when runs change, says why where it may not, and opens the runs that it shows.
func TestTuiPools(t *testing.T) {
	g := tuiRigOpen(t, 120, 24, tuiFixture())
	g.keys("P")
	g.shows("asking for the pools")
	g.reply("pools", &Reply{Error: &protoError{Code: codeNotAllowed, Message: "key x may not ask for pools"}})
	g.shows("key x may not ask for pools")
	g.keys("esc P")
	g.reply("pools", &Reply{Pools: tuiPoolsFixture()})
	g.shows("database", "2/2", "* holds", "101 more wait", "- free", "2/1")
	g.keys("j")
	g.shows("2 of 7  ")
	g.keys("G")
	g.shows("7 of 7  tape is not declared")
	g.keys("/ text:report enter")
	if screen := g.screen(); strings.Contains(screen, "tape") || !strings.Contains(screen, "site07-report") {
		t.Errorf("filtered:\n%s", screen)
	}
	g.keys("esc g enter")
	if s, ok := g.u.screen().(*tuiRunScreen); !ok || s.run != tuiPoolsFixture()[0].Holders[0].Run {
		t.Errorf("it opened %s", g.u.screen().name())
	}
	g.keys("esc")
	asked := g.u.screen().(*tuiPoolList)
	asked.news(g.u, &Reply{Rows: []RunRow{{}}})
	if !asked.asking {
		t.Error("it does not ask anew when a run has changed")
	}
}
