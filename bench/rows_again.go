// Rows of what is done again and again in one run: an instance for each of many items, and attempt after attempt.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	againItems = 1000 // instances of one task, the most that there may be
	againTasks = 10   // that are repeated beside each other
	againEvery = "100ms"
)

func againGroups() []group {
	written := "What `strace` sees below the state folder, in a run of its own, for each of the "
	return []group{
		{"foreach", []row{
			{name: "foreach-1000", what: "1,000 instances of a task, two at once", unit: inSeconds, bound: mostTimes(2),
				how: "A run of a task (`true`, without a shell) with `foreach`, from the request to the answer that " +
					"it has ended. Beside it, in turns, `seq 1000 | xargs -P2 -n1 true`."},
			{name: "foreach-memory", what: "memory at most meanwhile", unit: inMB, bound: most(memoryBound),
				how: "The most that the process had in memory (`VmHWM`) after these runs."},
			{name: "foreach-written", what: "an instance, as given to write()", unit: inBytes, bound: most(900),
				how: written + "instances."},
		}, (*bench).foreach},
		{"repeat", []row{
			{name: "repeat-10000", what: "an attempt of 10,000, as given to write()", unit: inBytes, bound: most(300),
				how: written + "attempts: 10 tasks with `repeat` make 1,000 each, 100 ms apart."},
			{name: "repeat-memory", what: "memory at most meanwhile", unit: inMB, bound: most(memoryBound),
				how: "The most that the process had in memory (`VmHWM`) after that run."},
		}, (*bench).repeat},
	}
}

// foreach runs an instance for each of many items, beside xargs and once under strace.
func (b *bench) foreach() (map[string]figures, error) {
	xargs, err := need("xargs")
	if err != nil {
		return nil, err
	}
	items := names("", seq(0, againItems), ", ")
	if _, err := b.file("foreach/each.yml", "tasks:\n  a: {cmd: \"true\", max_parallel: 2, foreach: ["+items+
		"]}\n"); err != nil {
		return nil, err
	}
	d, err := b.principal("foreach", "--with-agent", "--no-scheduler")
	if err != nil {
		return nil, err
	}
	took := figures{floorName: "xargs -P2"}
	rounds := b.samples(9, 3)
	for round := range rounds + 1 { // the first is to warm up
		b.say("round %d of %d", round, rounds)
		ours, err := b.ended(d, "each", "succeeded")
		if err != nil {
			return nil, err
		}
		floor, err := b.once("sh", "-c", fmt.Sprintf("seq %d | %s -P2 -n1 true", againItems, xargs))
		if err != nil {
			return nil, err
		}
		if round > 0 {
			took.ours, took.floor = append(took.ours, float64(ours)), append(took.floor, float64(floor.wall))
		}
	}
	memory, err := memory(d.pid, "VmHWM")
	if err := errors.Join(err, d.stop()); err != nil {
		return nil, err
	}
	bytes, _, err := b.wrote("foreach", "each", "succeeded", againItems)
	return map[string]figures{"foreach-1000": took, "foreach-memory": {ours: samples{memory}},
		"foreach-written": bytes}, err
}

// repeat has tasks tried again and again, under strace.
func (b *bench) repeat() (map[string]figures, error) {
	times := b.samples(1000, 100)
	text := "tasks:\n"
	for i := range againTasks {
		text += fmt.Sprintf("  t%d: {cmd: \"false\", repeat: {every: %s, times: %d}}\n", i, againEvery, times)
	}
	if _, err := b.file("repeat/again.yml", text); err != nil {
		return nil, err
	}
	b.say("%d attempts, %s apart, of %d tasks", times, againEvery, againTasks)
	bytes, memory, err := b.wrote("repeat", "again", "failed", times*againTasks)
	return map[string]figures{"repeat-10000": bytes, "repeat-memory": memory}, err
}

// wrote has a workflow run under strace, which must end in that state, and gives how many bytes it has written for each
// of n parts, and the most memory that the principal had.
func (b *bench) wrote(folder, workflow, state string, n int) (bytes, most figures, err error) {
	strace, err := need("strace")
	if err != nil {
		skipped := figures{skipped: err.Error()}
		return skipped, skipped, nil
	}
	trace := filepath.Join(b.dir, folder+".trace")
	d, err := b.principalBehind([]string{strace, "-f", "-y", "-qq", "-o", trace, "-e",
		"trace=write,pwrite64,writev,fsync,fdatasync"}, folder, "--with-agent", "--no-scheduler")
	if err != nil {
		return bytes, most, err
	}
	if _, err := b.ended(d, workflow, state); err != nil {
		return bytes, most, err
	}
	peak, err := memory(d.pid, "VmHWM")
	if err := errors.Join(err, d.stop()); err != nil {
		return bytes, most, err
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		return bytes, most, err
	}
	each, sum := traced(string(text), d.state()), 0.0
	delete(each, traceSyncs)
	delete(each, "reserve") // room that a start sets aside
	for name, size := range each {
		each[name] = size / float64(n)
		sum += each[name]
	}
	return figures{ours: samples{sum}, note: parts(each)}, figures{ours: samples{peak}}, nil
}

// ended runs a workflow to its end, in that state, and gives how long it took.
func (b *bench) ended(d *daemon, workflow, state string) (time.Duration, error) {
	c, err := b.dial(d)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	r, err := c.ask(map[string]any{"op": "run", "workflow": workflow, "wait": true})
	took := time.Since(began)
	if err := errors.Join(err, c.close()); err != nil {
		return 0, err
	}
	if len(r.Runs) != 1 || r.Runs[0].State != state {
		return 0, fmt.Errorf("the run of %s is %+v, want it %s", workflow, r.Runs, strconv.Quote(state))
	}
	return took, nil
}
