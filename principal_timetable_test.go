package main

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// TestPrincipalBoot: @reboot fires at the first start since the machine booted, @start at each. Neither fires for a
// file that comes later or where nothing fires. Where schedules wait for the clock, both fire when they begin.
func TestPrincipalBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot := principalTask(Workflow{ID: "boot", Schedule: []string{"@reboot"}, Overlap: overlapAllow})
		start := principalTask(Workflow{ID: "start", Schedule: []string{"@start"}, Overlap: overlapAllow})
		g := principalRigOpen(t, t.TempDir()) // a first start, before there were files
		expect := func(what string, boots, starts int) {
			t.Helper()
			synctest.Wait()
			counts := map[string]int{}
			for _, r := range g.p.state.Runs {
				counts[r.Trigger]++
			}
			if got, want := fmt.Sprint(counts[triggerReboot], counts[triggerStart]),
				fmt.Sprint(boots, starts); got != want {
				t.Errorf("%s: %s runs of @reboot and @start, want %s", what, got, want)
			}
		}
		again := func(boot string, noScheduler bool, files ...*Workflow) {
			t.Helper()
			g.stop()
			g.cfg.Boot, g.cfg.NoScheduler = boot, noScheduler
			g.start(files...)
		}
		expect("a start without a file", 0, 0)
		again("one", true, boot, start)
		expect("nothing fires with --no-scheduler", 0, 0)
		again("one", false, boot, start)
		expect("the first start that may", 1, 1)
		again("one", false, boot, start)
		expect("a second start of one boot", 1, 2)
		again("one", false)
		g.do(func() {
			g.p.timetable.held, g.p.timetable.loaded, g.p.cfg.Boot = true, false, "two"
			g.p.setFiles(principalFiles(boot, start), nil)
		})
		expect("while the clock is waited for", 1, 2)
		g.do(g.p.timetable.begin)
		expect("once it is set", 2, 3)
		again("two", false)
		g.do(func() { g.p.setFiles(principalFiles(boot, start), nil) })
		expect("files that come later", 2, 3)
		again("three", false)
		g.do(func() { g.p.setFiles(principalFiles(boot, start), nil) })
		expect("files that come later, in another boot", 2, 3)
		again("", false, boot, start)
		expect("a machine that does not say", 3, 4)
		again("", false, boot, start)
		expect("a second start of it", 4, 5)
		g.stop()
	})
}
