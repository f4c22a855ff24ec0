// Rows of many short runs: queued at once beside the bare loop, and what a run costs the daemon.

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cdktr/e2e/harness"
)

func runsGroup() group {
	how := "1,000 runs of one task (`true`, without a shell) wait for an agent that is drained. It is undrained, " +
		"and the time runs until the last run's end is answered; all that is acknowledged is on the disk. Beside it, " +
		"in turns, a loop in C (`bench/floor/loop.c`) forks, executes and waits for as many, so many at once."
	return group{"runs", []row{
		{name: "runs-2", what: "1,000 runs queued at once, 2 places", unit: inRuns, bound: leastOf(0.6), readme: true,
			how: how},
		{name: "runs-8", what: "1,000 runs queued at once, 8 places", unit: inRuns, bound: leastOf(0.6), how: how},
		{name: "run-cpu", what: "processor time of the daemon for one run", unit: inMillis, bound: most(0.35e6),
			readme: true, how: "User and system time of the principal with its agent, without its children, from " +
				"the first request to the last end, for each of these runs with 2 places. The floor is what the " +
				"kernel says that one child of the loop costs."},
	}, (*bench).queued}
}

// queued measures runs that wait together.
func (b *bench) queued() (map[string]figures, error) {
	loop, loopName, err := b.loop()
	if err != nil {
		return nil, err
	}
	if _, err := b.file("queued/one.yml", "overlap: allow\ntasks:\n  a: {cmd: \"true\"}\n"); err != nil {
		return nil, err
	}
	all, cpu := map[string]figures{}, figures{floorName: "the child itself"}
	n := b.samples(1000, 200)
	for _, places := range []int{2, 8} {
		d, err := b.principal("queued", "--with-agent", "--no-scheduler", "--name", "here", "--capacity",
			strconv.Itoa(places))
		if err != nil {
			return nil, err
		}
		c, err := b.dial(d)
		if err != nil {
			return nil, err
		}
		if err := b.agentThere(c); err != nil {
			return nil, err
		}
		f := figures{floorName: loopName}
		rounds := b.samples(5, 2)
		for round := range rounds + 1 { // the first is to warm up
			b.say("%d places, round %d of %d", places, round, rounds)
			used, err := cpuTime(d.pid)
			if err != nil {
				return nil, err
			}
			took, err := c.burst(n)
			if err != nil {
				return nil, err
			}
			usedThen, err := cpuTime(d.pid)
			if err != nil {
				return nil, err
			}
			floor, child, err := b.bare(loop, n, places)
			if err != nil {
				return nil, err
			}
			if round == 0 {
				continue
			}
			f.ours = append(f.ours, float64(n)/took.Seconds())
			f.floor = append(f.floor, float64(n)/floor.Seconds())
			if places == 2 {
				cpu.ours = append(cpu.ours, float64(usedThen-used)/float64(n))
				cpu.floor = append(cpu.floor, float64(child)/float64(n))
			}
		}
		all[fmt.Sprint("runs-", places)] = f
		if err := errors.Join(c.close(), d.stop()); err != nil {
			return nil, err
		}
	}
	all["run-cpu"] = cpu
	return all, nil
}

// agentThere waits until the principal knows its agent: it is ready a moment before.
func (b *bench) agentThere(c *client) error {
	for deadline := time.Now().Add(harness.Patience); ; {
		_, err := c.ask(map[string]any{"op": "drain", "agent": "here"})
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := b.sleep(10 * time.Millisecond); err != nil {
			return err
		}
	}
}

// burst queues n runs of the workflow one at the drained agent here, lets them go, and gives the time until all ended.
func (c *client) burst(n int) (time.Duration, error) {
	if _, err := c.ask(map[string]any{"op": "drain", "agent": "here"}); err != nil {
		return 0, err
	}
	const atOnce = 50
	var last []string // the runs that may be the last to end
	for sent, got := 0, 0; got < n; got++ {
		for ; sent < n && sent < got+atOnce; sent++ {
			if err := c.send(map[string]any{"op": "run", "workflow": "one"}); err != nil {
				return 0, err
			}
		}
		r, err := c.receive()
		if err != nil {
			return 0, err
		}
		if last = append(last, r.Run); len(last) > 16 {
			last = last[1:]
		}
	}
	began := time.Now()
	if _, err := c.ask(map[string]any{"op": "undrain", "agent": "here"}); err != nil {
		return 0, err
	}
	for len(last) > 0 {
		for _, run := range last {
			if _, err := c.ask(map[string]any{"op": "wait", "run": run}); err != nil {
				return 0, err
			}
		}
		left, err := c.ask(map[string]any{"op": "ps", "n": 50})
		if err != nil {
			return 0, err
		}
		last = nil // runs may end in another order
		for _, run := range left.Runs {
			last = append(last, run.Run)
		}
	}
	return time.Since(began), nil
}

// loop makes the bare loop, in C or, without a compiler, of this program itself.
func (b *bench) loop() (argv []string, name string, err error) {
	file := filepath.Join(b.dir, "loop")
	cc, err := need("cc", "gcc")
	if err != nil {
		return nil, "", err
	}
	if out, err := exec.Command(cc, "-O2", "-o", file, "bench/floor/loop.c").CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("%s: %w: %s", cc, err, out)
	}
	return []string{file}, "loop in C", nil
}

// calmRate is how many processes a second the bare loop starts, two at once, on the machine on which the bounds were
// set.
const calmRate = 3200

// slower says by how much the bare machine is slower now than that one: by the best of some loops. 0: nobody knows.
func (b *bench) slower() float64 {
	const starts = 100
	var took samples
	for range 3 {
		if b.calm == nil {
			return 0
		}
		wall, _, err := b.bare(b.calm, starts, 2)
		if err != nil {
			return 0
		}
		took = append(took, wall.Seconds())
	}
	return took.best(false) * calmRate / starts
}

// slowestOf gives the most by which the machine was slower while rows were measured.
func slowestOf(all []outcome) (most float64) {
	for i := range all {
		most = max(most, all[i].slower)
	}
	return most
}

// bare runs the loop and gives its time, and the processor time of it and its children.
func (b *bench) bare(loop []string, n, parallel int) (took, cpu time.Duration, err error) {
	program, err := need("true")
	if err != nil {
		return 0, 0, err
	}
	did, err := b.once(append(loop, strconv.Itoa(n), strconv.Itoa(parallel), program)...)
	if err != nil {
		return 0, 0, err
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(did.out), 10, 64)
	return time.Duration(ns), did.cpu, err
}
