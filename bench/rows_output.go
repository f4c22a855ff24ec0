// Rows of output: how many lines a second come from a task to the disk.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lineBytes is the length of a line, without its end.
const lineBytes = 80

// memoryBound is the most that a daemon may have had in memory while output goes through it.
const memoryBound = 30e6

func outputGroups() []group {
	how := "A task prints a file of 10,000,000 lines of 80 bytes with `cat`; `log.max_size` has room for all. Lines " +
		"a second are from the request to the answer that the run has ended, when all lines are stored. The floor is " +
		"`cat` of that file to another, with a sync, in turns."
	most30 := "The most that the process had in memory (`VmHWM`) after that; of two processes the larger."
	return []group{
		{"output", []row{
			{name: "output-inside", what: "output, agent in the principal's process", unit: inLines,
				bound: least(1e6), readme: true, how: how},
			{name: "output-memory", what: "memory at most meanwhile", unit: inMB, bound: most(memoryBound),
				how: most30},
		}, func(b *bench) (map[string]figures, error) { return b.output(false) }},
		{"apart", []row{
			{name: "output-apart", what: "output, agent in a process of its own", unit: inLines,
				bound: least(0.5e6), readme: true, how: how},
			{name: "apart-memory", what: "memory at most meanwhile, the larger of the two", unit: inMB,
				bound: most(memoryBound), how: most30},
		}, func(b *bench) (map[string]figures, error) { return b.output(true) }},
	}
}

// output measures a task that prints.
func (b *bench) output(apart bool) (map[string]figures, error) {
	n := b.samples(10_000_000, 300_000)
	input, err := b.lines(n)
	if err != nil {
		return nil, err
	}
	defer os.Remove(input)
	if _, err := b.file("output/out.yml", "overlap: allow\nlog: {max_size: 4G}\ntasks:\n  a: {cmd: cat, args: ["+input+
		"]}\n"); err != nil {
		return nil, err
	}
	lines, peak := figures{floorName: "cat, sync"}, figures{}
	rounds := b.samples(3, 2)
	for round := range rounds {
		b.say("%d lines, round %d of %d", n, round+1, rounds)
		took, most, sum, err := b.printed(apart, int64(n*lineBytes))
		if err != nil {
			return nil, err
		}
		copied := filepath.Join(b.dir, "copied")
		floor, err := b.once("sh", "-c", `cat "$1" >"$2" && sync "$2"`, "sh", input, copied)
		if err != nil {
			return nil, err
		}
		os.Remove(copied)
		lines.ours = append(lines.ours, float64(n)/took.Seconds())
		lines.floor = append(lines.floor, float64(n)/floor.wall.Seconds())
		peak.ours = append(peak.ours, most)
		if apart {
			peak.note = fmt.Sprintf("both together %s", inMB.of(sum))
		}
	}
	if apart {
		return map[string]figures{"output-apart": lines, "apart-memory": peak}, nil
	}
	return map[string]figures{"output-inside": lines, "output-memory": peak}, nil
}

// printed has one run print its file, and gives its time and the most that the processes had in memory: the largest,
// and all together.
func (b *bench) printed(apart bool, bytes int64) (took time.Duration, most, sum float64, err error) {
	args := []string{"--no-scheduler"}
	if !apart {
		args = append(args, "--with-agent")
	}
	d, err := b.principal("output", args...)
	if err != nil {
		return 0, 0, 0, err
	}
	daemons := []*daemon{d}
	if apart {
		a, err := b.agent(d.endpoint())
		if err != nil {
			return 0, 0, 0, err
		}
		daemons = []*daemon{a, d}
	}
	c, err := b.dial(d)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	r, err := c.ask(map[string]any{"op": "run", "workflow": "out", "wait": true})
	took = time.Since(began)
	if err == nil && (len(r.Runs) != 1 || r.Runs[0].State != "succeeded") {
		err = fmt.Errorf("the run that prints: %+v: %s", r, d.log)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	for _, d := range daemons {
		peak, err := memory(d.pid, "VmHWM")
		if err != nil {
			return 0, 0, 0, err
		}
		most, sum = max(most, peak), sum+peak
	}
	if err := c.close(); err != nil {
		return 0, 0, 0, err
	}
	for _, d := range daemons {
		if err := d.stop(); err != nil {
			return 0, 0, 0, err
		}
	}
	var stored int64
	files, err := filepath.Glob(d.state() + "/logs/*/*")
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, 0, 0, err
		}
		stored += info.Size()
	}
	if stored < bytes {
		return 0, 0, 0, fmt.Errorf("%d bytes of %d were stored", stored, bytes)
	}
	for _, d := range daemons {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return took, most, sum, err
}

// lines writes the file that is printed.
func (b *bench) lines(n int) (name string, err error) {
	name = filepath.Join(b.dir, "lines")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintf(w, "%010d the quick brown fox jumps over the lazy dog, and the \"dog\" says:%c ok\n", i, 'a'+i%26)
	}
	return name, errors.Join(w.Flush(), f.Close())
}
