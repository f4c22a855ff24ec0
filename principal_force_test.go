package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// What an agent that was away is told is what was asked for: --force is not forgotten, also not by a principal that was
// started again, nor by somebody who asks once more without it; and it is over with what it was asked for.
func TestDispatchForce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		task  string
		asked []bool
		force bool
	}{
		{"run", "", []bool{true}, true}, {"run, without", "", []bool{false}, false},
		{"run, then with", "", []bool{false, true}, true}, {"run, then without", "", []bool{true, false}, true},
		{"task", "load", []bool{true}, true}, {"task, without", "load", []bool{false}, false},
		{"task, then with", "load", []bool{false, true}, true}, {"task, then without", "load", []bool{true, false},
			true},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g, a, as, _ := fleetWorking(t)
					spec := as.Spec
					a.gone()
					for _, force := range c.asked {
						if r := g.ask(Request{Op: "cancel", Run: as.Run, Task: c.task, Force: force}); !r.OK {
							t.Fatal(r.Error)
						}
					}
					if restart {
						g.stop()
						g.start(spec)
					}
					a.hello.Holds, a.n = []heldRun{{as.Run, 1}}, 4
					a.join()
					told := append(a.of(msgCancel), a.of(msgStopTask)...)
					if len(told) != 1 || told[0].Force != c.force || (told[0].Op == msgStopTask) != (c.task != "") {
						t.Fatalf("told %+v", told)
					}
					a.report(fleetEvent(as, evTaskFinished, "load", taskCancelled),
						fleetEvent(as, evRunFinished, "", runCancelled))
					r := g.show(as.Run)
					if r.Force || r.task("load").Force || r.State != runCancelled {
						t.Errorf("%s, force %v, of the task %v", r.State, r.Force, r.task("load").Force)
					}
					if r := g.ask(Request{Op: "retry", Run: as.Run}); !r.OK {
						t.Fatal(r.Error)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					next := a.last()
					a.report(fleetEvent(next, evRunStarted, "", ""))
					a.hello.Holds = []heldRun{{next.Run, next.Lease}}
					a.gone()
					a.join()
					if told := append(a.of(msgCancel), a.of(msgStopTask)...); len(told) > 0 {
						t.Errorf("of the retry it is told %+v", told)
					}
					a.gone()
					g.stop()
				})
			})
		}
	}
}
